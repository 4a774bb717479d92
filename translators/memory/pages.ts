import { errno } from 'ninep'
import { BLOCK, PAGE } from './arena.ts'
import type { Space } from './space.ts'

/** The end of the largest file: offsets are numbers. */
const MAX_SIZE = Number.MAX_SAFE_INTEGER

/**
 * The bytes of one file. Each page holds its first bytes, as many as were written to, in whole blocks; what lies behind,
 * and pages that are absent, are holes: they read as zeros and take no space. Bytes of a page past `size` are zero.
 */
export class Pages {
  size = 0
  /** Bytes taken from the space, a multiple of BLOCK. */
  allocated = 0
  #first: Uint8Array | undefined                          // most files are small: no map for those
  #rest: Map<number, Uint8Array> | undefined
  constructor(readonly space: Space) {}

  #get(index: number): Uint8Array | undefined { return index === 0 ? this.#first : this.#rest?.get(index) }
  #set(index: number, page: Uint8Array | undefined): void {
    if (index === 0) this.#first = page
    else if (page) (this.#rest ??= new Map()).set(index, page)
    else this.#rest?.delete(index)
  }

  read(into: Uint8Array, offset: number): Uint8Array {
    const length = Math.min(into.length, this.size - offset)
    if (length <= 0) return into.subarray(0, 0)
    for (let done = 0; done < length;) {
      const index = Math.floor((offset + done) / PAGE), from = offset + done - index * PAGE
      const n = Math.min(PAGE - from, length - done)
      const page = this.#get(index)
      const held = page ? Math.max(0, Math.min(page.length - from, n)) : 0
      if (held > 0) into.set(held === page!.length ? page! : page!.subarray(from, from + held), done)
      if (held < n) into.fill(0, done + held, done + n)
      done += n
    }
    return length === into.length ? into : into.subarray(0, length)
  }

  /** Returns how many were written: fewer where space ends. EFBIG, ENOSPC if there was none at all. */
  write(bytes: Uint8Array, offset: number): number {
    const { length } = bytes
    if (offset > MAX_SIZE - length) throw errno('EFBIG', 'write')
    let done = 0
    while (done < length) {
      const index = Math.floor((offset + done) / PAGE), from = offset + done - index * PAGE
      let n = Math.min(PAGE - from, length - done)
      const page = this.#room(index, from, from + n)
      if (!page || page.length <= from) break
      n = Math.min(n, page.length - from)
      page.set(n === length ? bytes : bytes.subarray(done, done + n), from)
      done += n
    }
    if (done === 0 && length > 0) throw errno('ENOSPC', 'write')
    if (done > 0 && offset + done > this.size) this.size = offset + done
    return done
  }

  /** The page with room for what is about to be written to [from, to), or to the head of it where space ends. */
  #room(index: number, from: number, to: number): Uint8Array | undefined {
    const old = this.#get(index), held = old ? old.length : 0
    if (to <= held) return old
    const need = Math.ceil(to / BLOCK) * BLOCK
    let capacity = Math.min(PAGE, Math.max(need, 2 * held)) // a file that grows by little is not copied each time
    if (!this.space.take(capacity - held)) {
      capacity = Math.min(need, held + Math.floor(this.space.free / BLOCK) * BLOCK)
      if (capacity <= from || !this.space.take(capacity - held)) return old
    }
    this.allocated += capacity - held
    const page = this.space.arena.alloc(capacity / BLOCK)
    if (old) {
      page.set(old)
      this.space.arena.free(old)
    }
    if (from > held) page.fill(0, held, from)
    if (to < capacity) page.fill(0, to)
    this.#set(index, page)
    return page
  }

  /** Cuts, giving back what lay behind, or lengthens by a hole. EFBIG. */
  truncate(size: number): void {
    if (size > MAX_SIZE) throw errno('EFBIG', 'truncate')
    if (size < this.size) this.#cut(size)
    this.size = size
  }
  #cut(size: number): void {
    const last = Math.floor(size / PAGE), keep = size - last * PAGE
    const page = this.#get(last)
    if (page && keep < page.length) {
      const blocks = Math.ceil(keep / BLOCK)
      if (blocks * BLOCK < page.length) this.#free(page, blocks)
      this.#set(last, blocks > 0 ? page.subarray(0, blocks * BLOCK) : undefined)
      this.#get(last)?.fill(0, keep)
    }
    if (!this.#rest) return
    const end = Math.floor((this.size - 1) / PAGE)
    // The shorter way: by number where few are cut, else through all there are.
    if (end - last < this.#rest.size) for (let i = last + 1; i <= end; i++) this.#drop(i)
    else for (const i of this.#rest.keys()) if (i > last) this.#drop(i)
    if (this.#rest.size === 0) this.#rest = undefined
  }
  #drop(index: number): void {
    const page = this.#rest!.get(index)
    if (!page) return
    this.#rest!.delete(index)
    this.#free(page, 0)
  }
  /** Gives back the blocks of a page from that one on. */
  #free(page: Uint8Array, from: number): void {
    const bytes = page.length - from * BLOCK
    this.space.arena.free(page, from)
    this.allocated -= bytes
    this.space.give(bytes)
  }
}
