import { BadOption } from '../options.ts'

/** The id that has no meaning: chown's "leave it", and no one's. */
const NO_ID = 0xffffffff

interface Range { readonly above: number; readonly below: number; readonly count: number }

/** Ids on both sides of a layer, by ranges. */
export class Ids {
  readonly #ranges: readonly Range[]
  /** text: ABOVE:BELOW:COUNT, with commas between. overflow: who those have above that no range holds. BadOption. */
  constructor(option: string, text: string, readonly overflow: number) {
    this.#ranges = text === '' ? [] : text.split(',').map((part) => {
      const m = /^(\d+):(\d+)(?::(\d+))?$/.exec(part.trim())
      const [above, below, count] = m ? [Number(m[1]), Number(m[2]), Number(m[3] ?? 1)] : [NaN, NaN, NaN]
      if (!(count! >= 1 && above! + count! <= NO_ID && below! + count! <= NO_ID)) throw new BadOption(`idmap: ${option}: "${part}" is no range of ids. Write ABOVE:BELOW:COUNT: 0:100000:65536.`)
      return { above: above!, below: below!, count: count! }
    })
    for (const side of ['above', 'below'] as const) {
      const sorted = [...this.#ranges].sort((a, b) => a[side] - b[side])
      for (let i = 1; i < sorted.length; i++) {
        if (sorted[i - 1]![side] + sorted[i - 1]!.count > sorted[i]![side]) throw new BadOption(`idmap: ${option}: ${sorted[i]![side]} is mapped twice (${side}). Each id has one on the other side.`)
      }
    }
    if (this.below(overflow) !== undefined) throw new BadOption(`idmap: ${option}: the overflow id ${overflow} is mapped, and would own what is nobody's. Choose another: ${0xfffffffe}.`)
  }
  /** The id below of one above; undefined: it has none. */
  below(id: number): number | undefined {
    for (const { above, below, count } of this.#ranges) if (id >= above && id - above < count) return below + id - above
    return undefined
  }
  /** The id above of one below; undefined: it has none. */
  above(id: number): number | undefined {
    for (const { above, below, count } of this.#ranges) if (id >= below && id - below < count) return above + id - below
    return undefined
  }
}
