// The flat face of a translator, for trees above it: its own, or one made of its files.

import { errno } from 'ninep'

/** The largest blob and the largest record, bytes. */
export const MAX_BLOB = 64 * 2 ** 20
export const MAX_RECORD = 2 ** 20

/** EINVAL unless this may name a record. */
export function checkRecordName(name: string, op: string): void {
  if (!/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$/.test(name)) throw errno('EINVAL', op, name)
}
