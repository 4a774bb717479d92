// Between a stream of bytes and frames: whole frames come out of an Inbox where they were read, and an Outbox gathers the
// frames of one turn into one write.

import { allocate } from './bytes.ts'
import { codecs } from './codec.ts'
import { HEADER } from './constants.ts'
import { errno } from './errno.ts'
import { getU32, putU32 } from './fixed.ts'
import type { Dialect, Fields } from './messages.ts'
import type { DuplexStream } from './stream.ts'

const READ_BUFFER = 256 * 1024
const WRITE_BUFFER = 64 * 1024
/** From here on a payload is handed to the socket as it is: below, copying it is cheaper than one more part to a write. */
const BY_REFERENCE = 32 * 1024
/** What may wait in a socket before more is held back. */
const HIGH_WATER = 512 * 1024
/** Bytes of Twrite before its data. */
const WRITE_HEAD = 23
const nothing = new Uint8Array(0)
type Encoder = (tag: number, fields: object, into: Uint8Array, at: number) => number
/** Runs at the end of this turn; in Node that is after the promises which it resolves. */
const atEnd: (work: () => void) => void = globalThis.process?.nextTick ?? ((work) => void Promise.resolve().then(work))

/** Cuts what is read into frames. A frame is shown in place and only during the call; one that is too short or too long for
 *  any message, or than `limit`, is told to `broken`, and nothing after it is looked at. */
export class Inbox {
  #buffer = allocate(READ_BUFFER)
  #start = 0
  #end = 0
  #stopped = false
  limit: number
  readonly #frame: (buffer: Uint8Array, start: number, end: number) => void
  readonly #broken: (size: number) => void
  constructor(limit: number, frame: (buffer: Uint8Array, start: number, end: number) => void, broken: (size: number) => void) {
    this.limit = limit
    this.#frame = frame
    this.#broken = broken
  }

  stop(): void { this.#stopped = true }

  /** Where to read to: never empty. */
  room(): Uint8Array { return this.#buffer.subarray(this.#end) }

  /** `count` bytes were read to there. */
  taken(count: number): void {
    this.#end += count
    this.#start = this.#cut(this.#buffer, this.#start, this.#end)
    if (this.#start === this.#end) this.#start = this.#end = 0
    else this.#makeRoom()
  }

  /** Bytes that were read elsewhere: frames that are whole in there are shown there. */
  feed(chunk: Uint8Array): void {
    let at = this.#start === this.#end ? this.#cut(chunk, 0, chunk.length) : 0
    while (at < chunk.length && !this.#stopped) {
      const count = Math.min(chunk.length - at, this.#buffer.length - this.#end)
      this.#buffer.set(chunk.subarray(at, at + count), this.#end)
      at += count
      this.taken(count)
    }
  }

  #cut(buffer: Uint8Array, start: number, end: number): number {
    while (end - start >= 4 && !this.#stopped) {
      const size = getU32(buffer, start)
      if (size < HEADER || size > this.limit) {
        this.#stopped = true
        this.#broken(size)
      } else if (end - start < size) break
      else this.#frame(buffer, start, start += size)
    }
    return this.#stopped ? end : start
  }

  /** The frame that has begun must fit behind its start. */
  #makeRoom(): void {
    const size = this.#end - this.#start < 4 ? HEADER : getU32(this.#buffer, this.#start)
    if (this.#start + size <= this.#buffer.length) return
    const to = size > this.#buffer.length ? allocate(this.limit + READ_BUFFER) : this.#buffer
    to.set(this.#buffer.subarray(this.#start, this.#end))
    this.#buffer = to
    this.#end -= this.#start
    this.#start = 0
  }
}

/** Gathers frames and hands them to a stream when the turn ends, in the order in which they came. */
export class Outbox {
  readonly #stream: DuplexStream
  readonly #copies: boolean
  #buffer = allocate(WRITE_BUFFER)
  #written = 0
  #end = 0
  #corked = false
  /** Of the frames that are to come. */
  dialect: Dialect = '9P2000.L'
  /** copies: what was written, and does not wait any more, is not looked at again. */
  constructor(stream: DuplexStream, copies = false) {
    this.#stream = stream
    this.#copies = copies
  }

  /** Whether frames should be held back until the stream's next 'drain'. */
  get full(): boolean { return this.#stream.writableLength > HIGH_WATER }

  /** Adds a frame. EMSGSIZE: it is larger than `limit`; EOPNOTSUPP: the dialect has none of this name; else as an Encoder.
   *  Payloads are lent until they are answered. */
  put(name: string, tag: number, fields: object, limit: number): void {
    const data = name === 'Twrite' ? (fields as Fields<'Twrite'>).data : nothing
    if (data.length < BY_REFERENCE) {
      this.#encode(name, tag, fields, limit)
      this.#cork()
      return
    }
    if (WRITE_HEAD + data.length > limit) throw errno('EMSGSIZE', name)
    const start = this.#encode('Twrite', tag, { ...fields as Fields<'Twrite'>, data: nothing }, limit)
    putU32(this.#buffer, start, WRITE_HEAD + data.length)
    putU32(this.#buffer, start + WRITE_HEAD - 4, data.length)
    this.#cork()
    this.#hand()
    this.#stream.write(data)
  }

  /** Where the frame begins that this added. */
  #encode(name: string, tag: number, fields: object, limit: number): number {
    const start = this.#end
    const encoder = (codecs[this.dialect].encoders as Readonly<Record<string, Encoder | undefined>>)[name]
    if (!encoder) throw errno('EOPNOTSUPP', name.slice(1), undefined, new Error(`${this.dialect} has no ${name}`))
    try {
      const end = encoder(tag, fields, this.#buffer, start)
      if (end - start > limit) throw errno('EMSGSIZE', name)
      this.#end = end
      return start
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      if (start === 0 && this.#buffer.length >= limit) throw errno('EMSGSIZE', name)
      this.#hand()
      this.#fresh(start === 0 ? limit : WRITE_BUFFER)
      return this.#encode(name, tag, fields, limit)
    }
  }

  #fresh(size: number): void {
    this.#buffer = allocate(size)
    this.#written = this.#end = 0
  }

  #hand(): void {
    if (this.#end > this.#written) this.#stream.write(this.#buffer.subarray(this.#written, this.#end))
    this.#written = this.#end
  }

  #cork(): void {
    if (this.#corked) return
    this.#corked = true
    this.#stream.cork()
    atEnd(this.flush)
  }

  /** Hands over what there is, without waiting for the end of the turn. */
  readonly flush = (): void => {
    if (!this.#corked) return
    this.#corked = false
    this.#hand()
    this.#stream.uncork()
    if (this.#copies && this.#stream.writableLength === 0) this.#written = this.#end = 0
  }
}
