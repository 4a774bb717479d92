// Latencies in buckets whose width is below 1.6 % of what they count.

const STEPS = 64, POWERS = 40

export class Histogram {
  count = 0
  /** us. */
  sum = 0
  most = 0
  readonly #buckets = new Uint32Array(STEPS * POWERS)
  /** us: kept to a tenth of them. */
  add(us: number): void {
    this.count++
    this.sum += us
    if (us > this.most) this.most = us
    const tenths = Math.min(us * 10, 2 ** 31) | 0
    this.#buckets[tenths < STEPS ? tenths : place(tenths)]!++
  }
  get mean(): number { return this.count > 0 ? this.sum / this.count : 0 }
  /** us that this share of all stayed below: 0.99. */
  quantile(share: number): number {
    let left = Math.floor(share * this.count)
    for (const [i, count] of this.#buckets.entries()) {
      if (count > left) return Math.min(middle(i) / 10, this.most)
      left -= count
    }
    return this.most
  }
}
function place(value: number): number {
  const shift = 25 - Math.clz32(value)
  return (shift + 1) * STEPS + ((value >>> shift) & (STEPS - 1))
}
function middle(i: number): number {
  if (i < STEPS) return i
  const shift = Math.floor(i / STEPS) - 1
  return (STEPS + i % STEPS) * 2 ** shift + 2 ** shift / 2
}
