// The budget of descriptors: which files in use are open (as O_PATH), and which are parked and will be found again by
// name when they are next needed.

import { errno } from 'ninep'
import { claimDescriptors } from '../sys.ts'

/** A file that may be open now. */
export interface Parkable {
  /** Whether it was used since the hand last came by. */
  hot: boolean
  /** Its place among the open ones, -1 while it is not there. */
  slot: number
  /** Gives its descriptor up, and leaves. false: it can't now. */
  park(): boolean
}

/** What must be left for finding parked files again, however many handles are open. */
const SPARE = 8

/** At most `limit` descriptors, for files in use and for handles; the oldest unused file gives way (a clock with one hand). */
export class Descriptors {
  #open: Parkable[] = []
  #reserved = 0
  #pinned = 0
  #hand = 0
  /** own: of one brick alone, which gives it up when it closes. */
  constructor(readonly limit: number, private readonly own = false) { claimDescriptors(limit) }
  close(): void { if (this.own) claimDescriptors(-this.limit) }

  /** How many are open now. */
  get count(): number { return this.#open.length + this.#reserved + this.#pinned }

  /** To be called before a descriptor is opened for `add`. false: nothing gives way. */
  makeRoom(): boolean {
    for (let tries = 2 * this.#open.length; this.count >= this.limit && tries > 0 && this.#open.length > 0; tries--) {
      if (this.#hand >= this.#open.length) this.#hand = 0
      const file = this.#open[this.#hand]!
      if (file.hot) file.hot = false
      else file.park()                                    // the newest takes its place: on, or that would be next
      this.#hand++
    }
    return this.count < this.limit
  }
  add(file: Parkable): void {
    file.slot = this.#open.length
    this.#open.push(file)
  }
  remove(file: Parkable): void {
    const last = this.#open.pop()!
    if (last !== file) {
      this.#open[file.slot] = last
      last.slot = file.slot
    }
    file.slot = -1
  }
  /** Takes one for a handle: it gives way to nothing. EMFILE: there is none left. */
  reserve(op: string): void {
    this.makeRoom()
    if (this.#reserved + this.#pinned >= this.limit - SPARE) throw errno('EMFILE', op)
    this.#reserved++
  }
  /** The same for one that is always open. */
  keep(): void { this.#reserved++ }
  release(): void { this.#reserved-- }
  /** Keeps one that is open, for a file without a name; such take half of all at most. false: it has to be closed. */
  pin(): boolean {
    if (this.#pinned >= this.limit >> 1 || this.#reserved + this.#pinned >= this.limit - SPARE) return false
    this.#pinned++
    return true
  }
  unpin(): void { this.#pinned-- }
}
