// Snapshots by the clock: one for each hour, day and so on, and so many of each are kept. Their names say which they are: only those are
// ever deleted, and never one that is held.

import { isErrno } from 'ninep'
import type { Epochs } from '../tree/epochs.ts'

/** When the period began that a moment is in; UTC, weeks from Monday. */
const periods = {
  minutely: (d: Date) => new Date(Date.UTC(d.getUTCFullYear(), d.getUTCMonth(), d.getUTCDate(), d.getUTCHours(), d.getUTCMinutes())),
  hourly: (d: Date) => new Date(Date.UTC(d.getUTCFullYear(), d.getUTCMonth(), d.getUTCDate(), d.getUTCHours())),
  daily: (d: Date) => new Date(Date.UTC(d.getUTCFullYear(), d.getUTCMonth(), d.getUTCDate())),
  weekly: (d: Date) => new Date(Date.UTC(d.getUTCFullYear(), d.getUTCMonth(), d.getUTCDate() - (d.getUTCDay() + 6) % 7)),
  monthly: (d: Date) => new Date(Date.UTC(d.getUTCFullYear(), d.getUTCMonth())),
  yearly: (d: Date) => new Date(Date.UTC(d.getUTCFullYear(), 0)),
} as const
export type Keep = Readonly<Record<string, number>>
export const kinds: readonly string[] = Object.keys(periods)

/** hourly-20261122T1600Z */
function nameOf(kind: string, begin: Date): string { return `${kind}-${begin.toISOString().slice(0, 16).replace(/[-:]/g, '')}Z` }
const pattern = new RegExp(`^(${kinds.join('|')})-\\d{8}T\\d{4}Z$`)

/** Makes the snapshots that are due, and deletes those that are more than is to be kept. */
export async function tick(epochs: Epochs, keep: Keep, now = new Date()): Promise<void> {
  for (const [kind, count] of Object.entries(keep)) {
    const name = nameOf(kind, periods[kind as keyof typeof periods](now))
    if (count > 0 && !epochs.has(name)) await epochs.create(name)
    const all = epochs.list().filter(({ value }) => pattern.exec(value.name)?.[1] === kind && value.holds.length === 0)
    for (const { value } of all.slice(0, Math.max(0, all.length - count))) {
      try { await epochs.delete(value.name) } catch (e) { if (!isErrno(e, 'ENOENT') && !isErrno(e, 'EBUSY')) throw e }   // somebody was faster
    }
  }
}
