/**
 * Decisions by seed: the nth draw under a name is the same in every run, whatever is drawn under other names meanwhile.
 * So the third write fails again, though reads came in another order.
 */
export class Chance {
  #drawn = new Map<string, number>()
  constructor(readonly seed: number) {}
  /** A number in [0, 1). */
  draw(name: string): number {
    const n = this.#drawn.get(name) ?? 0
    this.#drawn.set(name, n + 1)
    let h = mix(this.seed ^ 0x9e3779b9)
    for (let i = 0; i < name.length; i++) h = mix(h ^ name.charCodeAt(i))
    return mix(h + Math.imul(n, 0x6d2b79f5)) / 2 ** 32
  }
  /** Whether what happens at this rate happens now. */
  hits(name: string, rate: number): boolean { return rate > 0 && (rate >= 1 || this.draw(name) < rate) }
  /** A whole number in [0, n). */
  below(name: string, n: number): number { return Math.floor(this.draw(name) * n) }
}

/** The finalizer of MurmurHash3: 32 bits to 32 bits. */
function mix(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
