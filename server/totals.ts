// What all meters have counted, those of translators that have ended too, for whom a counter may never go down.

import { Meters } from '../translators/meter.ts'
import type { Meter, OpStats } from '../translators/meter.ts'

/** Pairs of path and translator that have labels of their own, and those that have ended among them: what is beyond counts under the path "other". */
const PAIRS = 500, ENDED = 100

/** What was counted of one operation: see OpStats. */
export interface Sum { calls: number; errors: number; bytes: number; timed: number; own: number; readonly buckets: number[] }
/** By operation. */
export type Sums = Map<string, Sum>
export interface Pair { readonly path: string; readonly translator: string; readonly sums: Sums; pending: number }

function add(to: Sums, ops: Iterable<OpStats | [string, Sum]>): void {
  for (const each of ops) {
    const [op, stats] = Array.isArray(each) ? each : [each.op, each]
    let sum = to.get(op)
    if (!sum) to.set(op, sum = { calls: 0, errors: 0, bytes: 0, timed: 0, own: 0, buckets: stats.buckets.map(() => 0) })
    for (const key of ['calls', 'errors', 'bytes', 'timed', 'own'] as const) sum[key] += stats[key]
    stats.buckets.forEach((count, i) => { sum.buckets[i]! += count })
  }
}

/** Meters whose counts stay when they end: a counter never goes down. */
export class Totals extends Meters {
  readonly #ended = new Map<string, Pair>()
  readonly #other: Pair = { path: 'other', translator: 'other', sums: new Map(), pending: 0 }

  override delete(meter: Meter): void {
    super.delete(meter)
    const key = keyOf(meter), pair = this.#ended.get(key) ?? pairOf(meter)
    this.#ended.delete(key)
    this.#ended.set(key, pair)
    add(pair.sums, meter)
    if (this.#ended.size <= ENDED) return
    const [oldest, { sums }] = this.#ended.entries().next().value!
    this.#ended.delete(oldest)
    add(this.#other.sums, sums)
  }

  /** All counts, by path and translator. */
  pairs(): Pair[] {
    const all = new Map<string, Pair>(), other: Pair = { ...this.#other, sums: new Map() }
    add(other.sums, this.#other.sums)
    for (const meter of this) {
      const key = keyOf(meter)
      let pair = all.get(key)
      if (!pair) {
        if (all.size < PAIRS) all.set(key, pair = pairOf(meter))
        else pair = other
      }
      add(pair.sums, meter)
      pair.pending += meter.pending
    }
    for (const [key, ended] of this.#ended) {
      let pair = all.get(key)
      if (!pair) all.set(key, pair = { ...ended, sums: new Map() })
      add(pair.sums, ended.sums)
    }
    return other.sums.size > 0 ? [...all.values(), other] : [...all.values()]
  }
}
function keyOf(meter: Meter): string { return `${meter.path}\0${translatorOf(meter)}` }
function pairOf(meter: Meter): Pair { return { path: meter.path, translator: translatorOf(meter), sums: new Map(), pending: 0 } }
/** A layer `stats` has a meter of its own, for what is below it. */
function translatorOf({ translator, position }: Meter): string { return position === '' ? `${translator} (below)` : translator }
