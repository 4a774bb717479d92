// Memory for pages of data. V8 counts each array buffer against a limit of its own and collects the whole heap for every
// 64 MiB of new ones: with a million files on the heap that is most of the time. So pages are cut from few large slabs,
// of which the host gives what is touched; a slab that holds nothing goes back. In a slab: Knuth's buddy system. At the
// worst one block in use keeps each page from being given out whole: then the host gives four times what files take.

/** Bytes of the smallest piece, and of the largest. */
export const BLOCK = 4096
export const PAGE = 16384
/** Pieces of an order are 2^order blocks; the largest is a page. */
const ORDERS = Math.log2(PAGE / BLOCK) + 1
const MAX_SLAB = 256 * 2 ** 20

/** Gives out pages of 1 to PAGE / BLOCK blocks, with whatever they held before. */
export class Arena {
  #slabs = new Map<ArrayBufferLike, Slab>()
  /** Where the last page was found. */
  #last: Slab | undefined
  #bytes = 0

  alloc(blocks: number): Uint8Array {
    const at = this.#last?.alloc(blocks) ?? -1
    if (at >= 0) return this.#last!.view(at, blocks)
    for (const slab of this.#slabs.values()) {
      const at = slab.alloc(blocks)
      if (at < 0) continue
      this.#last = slab
      return slab.view(at, blocks)
    }
    const slab = new Slab(Math.min(MAX_SLAB, Math.max(2 ** 20, this.#bytes))) // each as large as all before
    this.#slabs.set(slab.buffer, slab)
    this.#bytes += slab.buffer.byteLength
    this.#last = slab
    return slab.view(slab.alloc(blocks), blocks)
  }
  /** Takes back a page, or the blocks of one from `from` on. */
  free(page: Uint8Array, from = 0): void {
    const slab = this.#slabs.get(page.buffer)!
    slab.free(page.byteOffset / BLOCK + from, page.length / BLOCK - from)
    if (!slab.empty || this.#slabs.size === 1) return
    const other = [...this.#slabs.values()].find((s) => s !== slab && s.empty)
    if (!other) return                                    // one is kept, so that one page made and freed does not cost a slab
    const goes = other.buffer.byteLength > slab.buffer.byteLength ? other : slab
    this.#slabs.delete(goes.buffer)
    this.#bytes -= goes.buffer.byteLength
    if (this.#last === goes) this.#last = undefined
  }
  /** Bytes asked of the host. */
  get bytes(): number { return this.#bytes }
}

class Slab {
  readonly buffer: ArrayBuffer
  readonly #blocks: number
  #used = 0
  /** At the first block of a free piece: its order + 1; else 0. */
  readonly #order: Uint8Array
  // The free pieces of each order, a list in both directions; -1 ends it.
  readonly #heads = new Int32Array(ORDERS).fill(-1)
  readonly #next: Int32Array
  readonly #previous: Int32Array

  /** bytes: a multiple of PAGE. */
  constructor(bytes: number) {
    this.buffer = new ArrayBuffer(bytes)
    this.#blocks = bytes / BLOCK
    this.#order = new Uint8Array(this.#blocks)
    this.#next = new Int32Array(this.#blocks)
    this.#previous = new Int32Array(this.#blocks)
    for (let at = this.#blocks - PAGE / BLOCK; at >= 0; at -= PAGE / BLOCK) this.#push(at, ORDERS - 1)
  }
  get empty(): boolean { return this.#used === 0 }
  view(at: number, blocks: number): Uint8Array { return new Uint8Array(this.buffer, at * BLOCK, blocks * BLOCK) }

  /** The first of so many blocks in a row, or -1. */
  alloc(blocks: number): number {
    const order = blocks === 1 ? 0 : 32 - Math.clz32(blocks - 1)
    let have = order
    while (have < ORDERS && this.#heads[have] === -1) have++
    if (have === ORDERS) return -1
    const at = this.#heads[have]!
    this.#remove(at, have)
    while (have > order) this.#push(at + (1 << --have), have)
    this.#used += 1 << order
    if (1 << order > blocks) this.free(at + blocks, (1 << order) - blocks)
    return at
  }
  free(at: number, blocks: number): void {
    this.#used -= blocks
    for (const end = at + blocks; at < end;) {
      let order = at === 0 ? ORDERS - 1 : Math.min(ORDERS - 1, 31 - Math.clz32(at & -at))   // what `at` is aligned to
      while (at + (1 << order) > end) order--
      this.#merge(at, order)
      at += 1 << order
    }
  }
  #merge(at: number, order: number): void {
    for (; order < ORDERS - 1; order++) {
      const buddy = at ^ (1 << order)
      if (this.#order[buddy] !== order + 1) break
      this.#remove(buddy, order)
      at = Math.min(at, buddy)
    }
    this.#push(at, order)
  }
  #push(at: number, order: number): void {
    const head = this.#heads[order]!
    this.#order[at] = order + 1
    this.#next[at] = head
    this.#previous[at] = -1
    if (head !== -1) this.#previous[head] = at
    this.#heads[order] = at
  }
  #remove(at: number, order: number): void {
    const next = this.#next[at]!, previous = this.#previous[at]!
    this.#order[at] = 0
    if (previous === -1) this.#heads[order] = next
    else this.#next[previous] = next
    if (next !== -1) this.#previous[next] = previous
  }
}
