// Bytes of one connection: frames in, replies out. Nothing here knows a message beyond size[4], but that Twrite comes in bulk.
//
// In: idle connections share one static read buffer. A frame that is not whole is moved to a buffer of its own, where
// the rest of it lands; a connection that writes in bulk gets a ring, whose payloads are handed on without a copy.
// Out: replies of one burst are encoded one behind the other into a scratch buffer of the process and leave in one write;
// what the kernel does not take at once stays there, by reference, until the socket drains.

import type { Socket } from 'node:net'
import { typeOf } from 'ninep'
import { otherEnd } from '../translators/sys.ts'

const SHARED = 256 * 1024, RING = 256 * 1024
/** A burst with a Twrite of at least this makes the next read land in a ring. */
const BULK = 16 * 1024
const OWN = 4096
/** Replies of this many bytes are sent before the burst is over: what is in cache leaves from there. */
const FLUSH = 256 * 1024
const SCRATCH = FLUSH + 1024 * 1024 + 1024
/** Foreign memory (a read's result that is not in place) up to here is copied behind its head rather than sent on its own. */
export const COPY = 16 * 1024
const SPARE = 8
/** How long a client may take to read its last replies, milliseconds. */
const LINGER = 5000

const shared = Buffer.allocUnsafeSlow(SHARED)

/** Where replies are encoded. users: connections whose unsent bytes still stand in it. lent: never to be used again. */
interface Scratch { readonly bytes: Buffer; users: number; lent: boolean }
const spare: Scratch[] = []
function newScratch(): Scratch { return spare.pop() ?? { bytes: Buffer.allocUnsafeSlow(SCRATCH), users: 0, lent: false } }
function doneWith(scratch: Scratch): void {
  if (--scratch.users === 0 && scratch !== current && !scratch.lent && spare.length < SPARE) spare.push(scratch)
}
let current = newScratch()
/** Bytes start..end of the scratch are encoded and not yet handed to a socket. */
let start = 0, end = 0

/** What a connection tells whom it belongs to. */
export interface Receiver {
  /** The largest frame now allowed. */
  readonly msize: number
  /** A frame. stable: the bytes stay as they are for as long as they are referred to; else they are lent for this call. true: they were kept. */
  frame(bytes: Buffer, at: number, end: number, stable: boolean): boolean
  /** Whether another burst may be read now. */
  ready(): boolean
  /** The client will send no more, and may still read. */
  ended(): void
  /** The client will send no more than what waits to be read. */
  ending(): void
  /** The connection is over: why, if it was not the client's wish. */
  gone(why?: string): void
}

export class Connection {
  #socket: Socket
  #receiver: Receiver
  #own: Buffer | null = null
  #have = 0
  #ring: Buffer | null = null
  /** Where the next read lands, as the socket was told. */
  #into: Buffer = shared
  #held: Scratch[] = []
  #closed = false
  #ending = false
  #late: NodeJS.Timeout | undefined
  #paused = false
  #silent = true
  /** Something is kept now that counts against the limits: they are to be looked at before the next frame. */
  loaded = false

  constructor(receiver: Receiver, open: (onread: { buffer: () => Buffer; callback: (n: number) => boolean }) => Socket) {
    this.#receiver = receiver
    this.#socket = open({ buffer: () => this.#next(), callback: (n) => this.#received(n) })
    this.#socket.on('drain', () => { this.#drained(); this.resume() })
    this.#socket.on('error', (e: NodeJS.ErrnoException) => { this.#over(e.code === 'ECONNRESET' || e.code === 'EPIPE' ? undefined : e.message) })
    this.#socket.on('end', () => this.#receiver.ended())
    this.#socket.on('close', () => this.#over())
    this.#socket.resume()
  }

  /** Bytes of replies that the kernel has not taken yet. */
  get unsent(): number { return this.#socket.writableLength }
  /** Nothing has come in yet. */
  get silent(): boolean { return this.#silent }

  // In

  #next(): Buffer {
    const own = this.#own
    return this.#into = !own ? this.#ring ?? shared : own.length > this.#have ? own.subarray(this.#have) : shared
  }

  #received(n: number): boolean {
    if (this.#closed) return false
    this.#silent = false
    const into = this.#into
    if (this.#own) this.#append(into, n)
    const kept = this.#own ?? into, ready = this.#frames(kept, this.#own ? this.#have : n, into.buffer !== shared.buffer || this.#own !== null)
    this.#paused = !ready
    return ready
  }

  /** Bytes that were read stand behind those that were there. */
  #append(into: Buffer, n: number): void {
    const own = this.#own!, have = this.#have
    this.#have += n
    if (into.buffer === own.buffer && into.byteOffset === own.byteOffset + have) return
    if (own.length < have + n) {
      this.#own = Buffer.allocUnsafeSlow(Math.max(have + n, have >= 4 ? own.readUInt32LE(0) : 0, OWN))
      own.copy(this.#own, 0, 0, have)
    }
    into.copy(this.#own!, have, 0, n)
  }

  /** Hands on the frames among the first `have` bytes, and keeps the rest. False: no more is to be read now. */
  #frames(bytes: Buffer, have: number, stable: boolean): boolean {
    let at = 0, bulk = false, kept = false, ready = true
    while (have - at >= 4) {
      const size = bytes.readUInt32LE(at)
      if (size < 7 || size > this.#receiver.msize) {
        this.destroy(`a frame of ${size} bytes; from 7 to ${this.#receiver.msize} are allowed`)
        return false
      }
      if (have - at < size) break
      if (this.loaded) {
        this.loaded = false
        if (!(ready = this.#receiver.ready())) break
      }
      bulk ||= size >= BULK && bytes[at + 4] === typeOf.Twrite
      kept = this.#receiver.frame(bytes, at, at + size, stable) || kept
      if (this.#closed) return false
      at += size
    }
    this.#keep(bytes, at, have, bulk, kept)
    this.flush()
    return ready && this.#receiver.ready()
  }

  /** Where the next bytes land: behind what is not done yet, else in the ring of a bulk writer, else in the shared buffer. */
  #keep(bytes: Buffer, at: number, have: number, bulk: boolean, kept: boolean): void {
    const rest = have - at
    if (kept && bytes === this.#ring) this.#ring = null
    if (bulk) this.#ring ??= Buffer.allocUnsafeSlow(RING)
    else if (rest === 0) this.#ring = null
    this.#have = rest
    if (rest === 0) { this.#own = null; return }
    const size = Math.max(rest >= 4 ? bytes.readUInt32LE(at) : 0, rest, OWN)
    if (bytes === this.#own && at === 0 && size <= bytes.length) return
    const own = this.#ring && size <= RING ? this.#ring : Buffer.allocUnsafeSlow(size)
    bytes.copy(own, 0, at, have)
    this.#own = own
  }

  /** Goes on, if it had stopped and may: with the frames that came before it stopped, then reading. */
  resume(): void {
    if (!this.#paused || this.#closed || !this.#receiver.ready()) return
    if (this.#own && !this.#frames(this.#own, this.#have, true)) return
    this.#paused = false
    this.#socket.resume()
  }

  /** While nothing is read nobody tells us that the client has gone, with all its locks: to be called now and then. */
  look(): void {
    if (!this.#paused || this.#closed) return
    const end = otherEnd((this.#socket as unknown as { _handle: { fd: number } })._handle.fd)
    if (end === 'gone') this.#over()
    else if (end === 'ended') this.#receiver.ending()
  }

  // Out. Between encoding and flush nothing else runs: the scratch belongs to who encodes.

  /** Room for n more bytes: the buffer, and in `at` where they go. Follow by `wrote`. */
  room(n: number): Buffer {
    if (end - start >= FLUSH) this.flush()
    if (current.bytes.length - end < n) {
      this.flush()
      if (current.bytes.length - end < n) exchange()
    }
    return current.bytes
  }
  get at(): number { return end }
  wrote(to: number): void { end = to }

  /** Sends what is encoded. */
  flush(): void {
    if (end === start) return
    const bytes = current.bytes.subarray(start, end)
    start = end
    this.#write(bytes, current)
    if (current.users === 0) start = end = 0
  }

  /** What `room` gave last stays with the caller, who writes there later: what was encoded before it leaves now. */
  lend(): void {
    this.flush()
    current.lent = true
    exchange()
  }

  /** A buffer that will not change again, after what is encoded. */
  send(bytes: Uint8Array): void {
    this.#socket.cork()
    this.flush()
    this.#write(bytes)
    this.#socket.uncork()
  }

  #write(bytes: Uint8Array, from?: Scratch): void {
    if (this.#closed || this.#ending) return
    this.#socket.write(bytes)
    if (this.#socket.writableLength === 0) return
    this.loaded = true
    if (from && !this.#held.includes(from)) {
      this.#held.push(from)
      from.users++
    }
  }
  #drained(): void {
    for (const scratch of this.#held.splice(0)) doneWith(scratch)
  }

  // End

  /** Sends what is encoded and queued, then closes. */
  close(): void {
    if (this.#closed || this.#ending) return
    this.flush()
    this.#ending = true
    this.#late = setTimeout(() => this.#over(`its last replies were not read within ${LINGER} ms`), LINGER)
    this.#socket.end(() => this.#socket.destroy())
  }
  /** Closes now; what is encoded is still tried. */
  destroy(why?: string): void {
    if (!this.#closed) this.flush()
    this.#over(why)
  }
  #over(why?: string): void {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#late)
    this.#socket.destroy()
    this.#drained()
    this.#receiver.gone(why)
  }
}

function exchange(): void {
  current = newScratch()
  start = end = 0
}
