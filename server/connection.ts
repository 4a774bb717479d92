// Bytes of one connection: frames in, replies out. Nothing here knows a message beyond size[4], but that Twrite comes in bulk.
//
// In: idle connections share one static read buffer. A frame that is not whole is moved to a buffer of its own, where
// the rest of it lands, and which grows with what has come, not by what the frame says of itself; a connection that writes in
// bulk gets a ring, whose payloads are handed on without a copy.
// Out: replies of one burst are encoded one behind the other into a scratch buffer of the process and leave in one write;
// what the kernel does not take at once stays there, by reference, until the socket drains.

import type { Socket } from 'node:net'
import { typeOf } from 'ninep'
import { otherEnd } from '../translators/sys.ts'
import type { Holder, Watch } from './watch.ts'

const SHARED = 256 * 1024, RING = 256 * 1024
/** A burst with a Twrite of at least this makes the next read land in a ring. */
const BULK = 16 * 1024
const OWN = 4096
/** A frame's own buffer has room for so many times what has come of it; where that is some, for all of it, to spare copies. */
const GROW = 16, SOME = 16 * 1024
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
  if (--scratch.users > 0 || scratch === current) return
  pinned -= SCRATCH
  if (!scratch.lent && spare.length < SPARE) spare.push(scratch)
}
let pinned = 0
/** Bytes of scratches that are full, and kept for what is unsent of them, be it little. */
export function pinnedBytes(): number { return pinned }
let current = newScratch()
/** Bytes start..end of the scratch are encoded and not yet handed to a socket. */
let start = 0, end = 0

/** What a connection tells whom it belongs to. */
export interface Receiver {
  /** The largest frame now allowed. */
  readonly msize: number
  /** How long a frame may take to arrive, and replies may stand still, seconds. */
  readonly frameTimeout: number
  readonly sendTimeout: number
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

/** How a socket is taken over, to read where we say: the one that is given is let go. */
export type Adopt = (socket: Socket, onread: { buffer: () => Buffer; callback: (n: number) => boolean }) => Socket
/** What net.Socket knows and does not tell. */
interface Handle { readonly fd: number; readonly bytesWritten: number; readonly writeQueueSize: number }

export class Connection implements Holder {
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
  #holding = false
  /** Something was read since `look` came by. */
  #read = false
  /** Since when the frame that is not whole is seen, and replies stand still at so many bytes sent; seconds, NaN: not yet. */
  #begun = NaN
  #stuck = NaN
  #sent = 0
  /** Something is kept now that counts against the limits: they are to be looked at before the next frame. */
  loaded = false

  constructor(receiver: Receiver, accepted: Socket, private readonly adopt: Adopt, private readonly watch: Watch) {
    this.#receiver = receiver
    this.#socket = this.#take(accepted)
  }
  #take(from: Socket): Socket {
    const socket = this.adopt(from, { buffer: () => this.#next(), callback: (n) => this.#received(n) })
    socket.on('drain', () => { this.#drained(); this.resume() })
    socket.on('error', (e: NodeJS.ErrnoException) => { this.#over(e.code === 'ECONNRESET' || e.code === 'EPIPE' ? undefined : e.message) })
    socket.on('end', () => this.#receiver.ended())
    socket.on('close', () => this.#over())
    return socket.resume()
  }

  /** Bytes of replies that the kernel has not taken yet. */
  get unsent(): number { return this.#socket.writableLength }
  /** Bytes since it began. */
  get received(): number { return this.#socket.bytesRead }
  get sent(): number { return this.#socket.bytesWritten }
  /** Nothing has come in yet. */
  get silent(): boolean { return this.#silent }
  get #handle(): Handle { return (this.#socket as unknown as { _handle: Handle })._handle }

  // In

  #next(): Buffer {
    const own = this.#own
    return this.#into = !own ? this.#ring ?? shared : own.length > this.#have ? own.subarray(this.#have) : shared
  }

  #received(n: number): boolean {
    if (this.#closed) return false
    this.#silent = false
    this.#read = true
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
      this.#own = Buffer.allocUnsafeSlow(Math.max(have + n, OWN))
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
    if (at > 0) this.#begun = NaN
    if (rest === 0) this.#own = null
    else if (bytes !== this.#own || at > 0 || rest === bytes.length) {
      const claimed = rest >= 4 ? bytes.readUInt32LE(at) : 0, size = Math.max(rest, OWN, rest >= SOME ? claimed : Math.min(claimed, rest * GROW))
      if (bytes !== this.#own || at > 0 || size > rest) {
        const own = this.#ring && size <= RING ? this.#ring : Buffer.allocUnsafeSlow(size)
        bytes.copy(own, 0, at, have)
        this.#own = own
      }
    }
    this.#hold(at > 0)
  }
  /** Tells what of memory it keeps, and whether it has got on. */
  #hold(moved: boolean): void {
    const own = this.#own, ring = this.#ring, unsent = this.#socket.writableLength
    if (!own && !ring && unsent === 0 && !this.#holding) return
    const bytes = this.#closed ? 0 : (own ? own.length : 0) + (ring && ring !== own ? RING : 0) + unsent
    this.#holding = bytes > 0
    this.watch.holds(this, bytes, moved)
  }

  /** Goes on, if it had stopped and may: with the frames that came before it stopped, then reading. */
  resume(): void {
    if (!this.#paused || this.#closed || !this.#receiver.ready()) return
    if (this.#own && !this.#frames(this.#own, this.#have, true)) return
    this.#paused = false
    this.#socket.resume()
  }

  /** While nothing is read nobody tells us that the client has gone, with all its locks: to be called now and then. */
  lookAfter(): void {
    if (!this.#paused || this.#closed) return
    const end = otherEnd(this.#handle.fd)
    if (end === 'gone') this.#over()
    else if (end === 'ended') this.#receiver.ending()
  }

  // What it holds

  look(now: number): void {
    const unsent = this.#socket.writableLength
    if (!this.#read && this.#idle) { this.#letGo(); return }
    this.#read = false
    // A frame whose rest is not read, because others are at work, is not late.
    if (this.#have === 0 || this.#paused) this.#begun = NaN
    else if (Number.isNaN(this.#begun)) this.#begun = now
    else if (now - this.#begun >= this.#receiver.frameTimeout) { this.#over(`a message was not whole ${this.#receiver.frameTimeout} s after it began`); return }
    if (unsent === 0 || this.#ending) { this.#stuck = NaN; return }
    const { bytesWritten, writeQueueSize } = this.#handle, sent = bytesWritten - writeQueueSize
    if (Number.isNaN(this.#stuck) || sent !== this.#sent) {
      this.#stuck = now
      this.#sent = sent
    } else if (now - this.#stuck >= this.#receiver.sendTimeout) this.#over(`nothing of its replies was taken for ${this.#receiver.sendTimeout} s`)
  }
  yield(): void {
    if (this.#idle) this.#letGo()
    else if ((this.#have > 0 && !this.#paused) || this.#socket.writableLength > 0) this.#over('memory is short, and it stood still longest')
  }
  /** It has a ring, and nothing to do with it. */
  get #idle(): boolean {
    const socket = this.#socket
    return this.#ring !== null && this.#have === 0 && socket.writableLength === 0 && !this.#paused && !this.#ending && !socket.readableEnded
  }
  /** Gives the ring up. The socket has been told to read there, so another takes its place. */
  #letGo(): void {
    const before = this.#socket
    this.#ring = null
    before.removeAllListeners().on('error', () => {})
    try { this.#socket = this.#take(before) } catch (e) { this.#over((e as Error).message); return }
    this.#hold(false)
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
    this.#hold(false)
  }
  #drained(): void {
    for (const scratch of this.#held.splice(0)) doneWith(scratch)
    this.#stuck = NaN
    this.#hold(true)
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
  if (current.users > 0) pinned += SCRATCH
  current = newScratch()
  start = end = 0
}
