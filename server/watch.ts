// What connections hold of the process's memory: frames that have begun, replies that are not read, a ring to read into; and
// requests. Who is idle holds nothing, is not in here, and may be idle for ever.

import type { Limits } from './limits.ts'

/** A connection, as long as it holds something. */
export interface Holder {
  /** Ends what has stood still for too long. now: seconds of the monotonic clock. */
  look(now: number): void
  /** Gives its memory back at once, if that is the client's to do; if it is the memory of his messages, it ends. Sends nothing. */
  yield(): void
}

/** Who has not got on for so many seconds goes first where memory is short. */
const PATIENCE = 5

interface Entry { bytes: number; since: number }

export class Watch {
  /** In the order in which they last got on: who finished a frame, or got rid of its replies, stands last. */
  #holders = new Map<Holder, Entry>()
  #held = 0
  #lent = 0
  #now = performance.now() / 1000
  /** common: bytes that are held by several, or it is not known by whom. */
  constructor(private readonly limits: Limits, private readonly common: () => number) {}

  /** Bytes that are held, by requests too. */
  get total(): number { return this.#held + this.#lent + this.common() }
  /** More than half of what all together may hold is held: who has something is to give it back before he gets more. */
  get short(): boolean { return this.total > this.limits['bytes-held'] / 2 }

  /** What a connection holds now. moved: it has got on since it said so last. */
  holds(holder: Holder, bytes: number, moved: boolean): void {
    const known = this.#holders.get(holder)
    this.#held += bytes - (known?.bytes ?? 0)
    if (bytes === 0 || moved) this.#holders.delete(holder)
    if (bytes === 0) return
    if (known && !moved) known.bytes = bytes
    else this.#holders.set(holder, { bytes, since: this.#now })
    if (this.#over) this.#make(holder)
  }
  /** What a request holds, or gives back: no end of a connection does that for it. */
  lends(bytes: number): void { this.#lent += bytes }

  /** To be called now and then. */
  look(): void {
    const now = this.#now = performance.now() / 1000
    for (const holder of [...this.#holders.keys()]) holder.look(now)
    this.#make()
    for (const [holder, { since }] of [...this.#holders]) {
      if (!this.short || now - since < PATIENCE) break
      holder.yield()
    }
  }
  /** More is held than may be; and not by requests, which no one's end would end. */
  get #over(): boolean { return this.total > this.limits['bytes-held'] && this.total - this.#lent > this.limits['bytes-held'] / 2 }
  /** Makes room, at the cost of who has stood still longest. */
  #make(but?: Holder): void {
    for (const holder of [...this.#holders.keys()]) {
      if (!this.#over) return
      if (holder !== but) holder.yield()
    }
  }
}
