import { errno } from 'ninep'
import type { Awaitable, Call } from '../translator.ts'

/** A write of at most this many bytes stands in one piece, whoever else writes. */
export const PIPE_BUF = 4096

/** A call that can't go on yet. attempt: does it and says what came of it, or undefined where it must go on waiting. */
interface Waiter { attempt(): unknown; resolve(value: any): void; reject(error: unknown): void }

/** Bytes on their way between ends that come and go. What waits is served in the order it came. */
export class Pipe {
  #readers = 0
  #writers = 0
  /** Ends that ever were: an open that waits for the other end is over even if that was gone again at once. */
  #readersEver = 0
  #writersEver = 0
  #chunks: Uint8Array[] = []
  #held = 0
  #opening: Waiter[] = []
  #reading: Waiter[] = []
  #writing: Waiter[] = []
  constructor(readonly capacity: number) {}

  get empty(): boolean { return this.#held === 0 }

  /** Adds an end, and waits for the other. ENXIO: to write without waiting, and nobody reads; EINTR: aborted. */
  open(reads: boolean, writes: boolean, waits: boolean, call?: Call): Awaitable<void> {
    if (writes && !reads && !waits && this.#readers === 0) throw errno('ENXIO', 'open')
    if (reads) { this.#readers++; this.#readersEver++ }
    if (writes) { this.#writers++; this.#writersEver++ }
    this.#go()
    if ((reads && writes) || !waits) return
    const ever = reads ? this.#writersEver : this.#readersEver
    if ((reads ? this.#writers : this.#readers) > 0) return
    const attempt = () => (reads ? this.#writersEver : this.#readersEver) !== ever || undefined
    return this.#wait<boolean>(this.#opening, attempt, 'open', call).then(() => {}, (e) => { this.close(reads, writes); throw e })
  }
  /** An end less. With the last goes what nobody read. */
  close(reads: boolean, writes: boolean): void {
    if (reads) this.#readers--
    if (writes) this.#writers--
    if (this.#readers === 0 && this.#writers === 0) { this.#chunks.length = 0; this.#held = 0 }
    this.#go()
  }

  /** What there is, at most into.length bytes; nothing: there is none, and nobody writes. EAGAIN: not to wait; EINTR: aborted. */
  read(into: Uint8Array, waits: boolean, call?: Call): Awaitable<Uint8Array> {
    const attempt = () => this.#held > 0 ? this.#take(into) : this.#writers === 0 ? into.subarray(0, 0) : undefined
    const got = this.#reading.length === 0 ? attempt() : undefined
    if (got) { this.#go(); return got }
    if (!waits) throw errno('EAGAIN', 'read')
    return this.#wait(this.#reading, attempt, 'read', call)
  }

  /**
   * All of the bytes, waiting for room; without waiting, what there is room for, and of PIPE_BUF or less all or nothing. EPIPE: nobody
   * reads; EAGAIN: no room, not to wait; EINTR: aborted. Where some were taken already, it is their number instead.
   */
  write(bytes: Uint8Array, waits: boolean, call?: Call): Awaitable<number> {
    let done = 0
    const attempt = () => {
      if (this.#readers === 0) {
        if (done === 0) throw errno('EPIPE', 'write')
        return done
      }
      const room = this.capacity - this.#held
      if (bytes.length > PIPE_BUF || room >= bytes.length) {
        const end = Math.min(bytes.length, done + room)
        if (end > done) this.#put(bytes.subarray(done, end))
        done = end
      }
      return done === bytes.length ? done : undefined
    }
    const at = this.#writing.length === 0 || !waits ? attempt() : undefined
    this.#go()
    if (at !== undefined) return at
    if (!waits) {
      if (done === 0) throw errno('EAGAIN', 'write')
      return done
    }
    return this.#wait(this.#writing, attempt, 'write', call).catch((e) => {
      if (done === 0) throw e
      return done
    })
  }
  /** Nobody waits any more: EIO. */
  end(): void {
    for (const queue of [this.#opening, this.#reading, this.#writing]) for (const waiter of queue.splice(0)) waiter.reject(errno('EIO', 'fifo: it is closed'))
  }

  #put(bytes: Uint8Array): void {
    this.#chunks.push(Uint8Array.from(bytes))               // lent
    this.#held += bytes.length
  }
  #take(into: Uint8Array): Uint8Array {
    let have = 0
    while (have < into.length && this.#chunks.length > 0) {
      const chunk = this.#chunks[0]!, part = chunk.subarray(0, into.length - have)
      into.set(part, have)
      have += part.length
      if (part.length === chunk.length) this.#chunks.shift()
      else this.#chunks[0] = chunk.subarray(part.length)
    }
    this.#held -= have
    return into.subarray(0, have)
  }

  #wait<T>(queue: Waiter[], attempt: () => T | undefined, op: string, call: Call | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const waiter = { attempt, resolve, reject }
      queue.push(waiter)
      call?.onAbort(() => {
        const at = queue.indexOf(waiter)
        if (at < 0) return
        queue.splice(at, 1)
        reject(errno('EINTR', op))
        this.#go()                                          // who stood behind it
      })
    })
  }
  /** Serves who can go on now, until nobody can. */
  #go(): void {
    for (const waiter of [...this.#opening]) this.#serve(this.#opening, waiter)
    for (let moved = true; moved;) {
      const reader = this.#reading[0], writer = this.#writing[0], held = this.#held
      moved = (reader !== undefined && this.#serve(this.#reading, reader)) || (writer !== undefined && (this.#serve(this.#writing, writer) || this.#held !== held))
    }
  }
  #serve(queue: Waiter[], waiter: Waiter): boolean {
    let value: unknown
    try { value = waiter.attempt() } catch (e) {
      queue.splice(queue.indexOf(waiter), 1)
      waiter.reject(e)
      return true
    }
    if (value === undefined) return false
    queue.splice(queue.indexOf(waiter), 1)
    waiter.resolve(value)
    return true
  }
}
