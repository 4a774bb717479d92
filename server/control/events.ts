// What happens, for those who read it: one line of JSON each. Nothing is made while nobody reads.

import { errno } from 'ninep'
import type { Stream } from '../../translators/synthetic.ts'
import type { Awaitable, Call } from '../../translators/translator.ts'

/** Bytes of events that wait for one reader. */
const HELD = 256 * 1024

export class Events {
  readonly #readers = new Set<Reader>()
  #over = false

  /** Tells all who read. make: what there is to tell, but for the time. */
  emit(event: string, make: () => object): void {
    if (this.#readers.size === 0) return
    const line = lineOf(event, make())
    for (const reader of this.#readers) reader.take(line)
  }
  /** Reads what happens from now on: a read waits until something has. Whoever reads too slowly loses some, and a line tells how many. */
  open(): Stream {
    const reader: Reader = new Reader(() => this.#readers.delete(reader))
    if (this.#over) reader.end()
    this.#readers.add(reader)
    return reader
  }
  /** No more happens: readers come to an end. */
  end(): void {
    this.#over = true
    for (const reader of this.#readers) reader.end()
  }
}

function lineOf(event: string, fields: object): Buffer { return Buffer.from(`${JSON.stringify({ time: new Date().toISOString(), event, ...fields })}\n`) }

interface Waiter { readonly length: number; give(bytes: Uint8Array): void }

class Reader implements Stream {
  #lines: Buffer[] = []
  #held = 0
  #lost = 0
  #ended = false
  #waiters = new Set<Waiter>()
  constructor(private readonly gone: () => void) {}

  take(line: Buffer): void {
    if (this.#held + line.length > HELD) { this.#lost++; return }
    this.#tell()
    this.#add(line)
    for (const waiter of this.#waiters) {
      if (this.#held === 0) return
      this.#waiters.delete(waiter)
      waiter.give(this.#next(waiter.length))
    }
  }
  #add(line: Buffer): void {
    this.#lines.push(line)
    this.#held += line.length
  }
  #tell(): void {
    if (this.#lost > 0) this.#add(lineOf('lost', { count: this.#lost }))
    this.#lost = 0
  }
  #next(length: number): Uint8Array {
    const all = this.#lines.length === 1 ? this.#lines[0]! : Buffer.concat(this.#lines), given = all.subarray(0, length)
    this.#lines = given.length < all.length ? [all.subarray(given.length)] : []
    this.#held -= given.length
    if (this.#held === 0) this.#tell()
    return given
  }

  read(into: Uint8Array, _offset: number, call?: Call): Awaitable<Uint8Array> {
    if (this.#held > 0) return this.#next(into.length)
    if (this.#ended) return into.subarray(0, 0)
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { length: into.length, give: resolve }
      this.#waiters.add(waiter)
      call?.onAbort(() => { if (this.#waiters.delete(waiter)) reject(errno('EINTR', 'read')) })
    })
  }
  write(): number { throw errno('EBADF', 'write') }
  end(): void {
    this.#ended = true
    for (const waiter of this.#waiters) waiter.give(new Uint8Array(0))
    this.#waiters.clear()
  }
  close(): void {
    this.end()
    this.gone()
  }
}
