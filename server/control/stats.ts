// What layers counted, as the control tree says it: see FORMAT.md.

import { bounds } from '../../translators/meter.ts'
import type { OpStats } from '../../translators/meter.ts'
import type { Layer } from '../mounts.ts'
import { pairs } from './words.ts'

/** A line for each layer, and one for each kind of call of it. */
export function statsOf(layers: readonly Layer[]): string[] {
  return layers.flatMap(({ name, meter }, i) => meter ? [`${i} ${name} pending=${meter.pending}`, ...[...meter].map((op) => `${i} ${name} ${op.op} ${opStats(op)}`)] : [])
}
/** Seconds as decimals, so that anything can read them. */
function opStats({ calls, errors, bytes, timed, total, own, buckets }: OpStats): string {
  const filled = buckets.flatMap((count, i) => count > 0 ? [`${bounds[i] === Infinity ? 'inf' : bounds[i]!.toFixed(6)}:${count}`] : [])
  return pairs({ calls, errors, bytes, timed, total: total.toFixed(9), own: own.toFixed(9), buckets: filled.length > 0 ? filled.join(',') : undefined })
}
