import type { Inode } from './inode.ts'

/** A name. inode: null once it is gone. */
export interface Entry { readonly name: string; readonly cookie: number; inode: Inode | null }

/** What a directory may hold: a JavaScript Map ends at 2^24. */
const MAX_ENTRIES = 2 ** 24 - 1

/**
 * The names of one directory: a map for lookup, and an array in the order of cookies, which count up and are never used
 * again, for listing. Entries that are gone stay in the array until they are as many as the others.
 */
export class Directory {
  #names = new Map<string, Entry>()
  #order: Entry[] = []
  /** The cookie of the next entry; all there are have smaller ones. */
  next = 1
  constructor(public parent: Inode | null) {}

  get count(): number { return this.#names.size }
  get(name: string): Entry | undefined { return this.#names.get(name) }
  get full(): boolean { return this.#names.size >= MAX_ENTRIES }
  /** The name must be absent, and the directory not full. */
  add(name: string, inode: Inode): void {
    const entry = { name, cookie: this.next++, inode }
    this.#names.set(name, entry)
    this.#order.push(entry)
  }
  delete(entry: Entry): void {
    this.#names.delete(entry.name)
    entry.inode = null
    if (this.#order.length > 16 && this.#order.length > 2 * this.#names.size) this.#order = this.#order.filter((e) => e.inode)
  }

  /** Shows the entries with cookies in (cookie, end), in order, until `show` says false: false. It must not change them. */
  list(cookie: number, end: number, show: (entry: Entry, inode: Inode) => boolean): boolean {
    const order = this.#order
    let low = 0, high = order.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (order[middle]!.cookie <= cookie) low = middle + 1
      else high = middle
    }
    for (; low < order.length; low++) {
      const entry = order[low]!
      if (entry.cookie >= end) break
      if (entry.inode && !show(entry, entry.inode)) return false
    }
    return true
  }
}
