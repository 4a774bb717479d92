// A connection under load. Each slot of it has one request on its way: its script puts a frame, yields, and goes on when the
// reply is there. What the scripts of a burst of replies put leaves in one write. Replies are looked at where they arrived.

import { connect } from 'node:net'
import type { NetConnectOpts, Socket } from 'node:net'
import { HEADER, codeOf, decoders, encoders, errno, typeOf } from 'ninep'
import type { Fields, Name } from 'ninep'

/** Frames from here on are not gathered with others, but go out from where they are. */
const LARGE = 8192
const OUT = 64 * 1024
const { Rlerror, Rversion, Rattach, Rwalk, Rlopen, Rclunk } = typeOf
/** What some servers have for Rlerror; Linux takes both. */
const RERROR = 107

/** What a slot does: each yield is for one reply. */
export type Script = Generator<void, void, void>

/** One request on its way at a time, under a tag of its own. fids: its eight own ones begin there. */
export class Slot {
  /** Of the last reply: the errno, 0: none. */
  error = 0
  script: Script | undefined
  /** ms, when its operation began; which one it is. */
  began = 0
  index = 0
  constructor(readonly line: Line, readonly tag: number, readonly fids: number) {}
  /** A frame made ahead, to be put often. */
  frame<N extends Name>(name: N, fields: Fields<N>): Buffer {
    const into = Buffer.alloc(this.line.msize), end = encoderOf(name)(this.tag, fields, into, 0)
    return Buffer.from(into.subarray(0, end))
  }
  put(frame: Buffer): void { this.line.put(frame) }
  /** One that is different each time. */
  send<N extends Name>(name: N, fields: Fields<N>): void { this.line.encode(encoderOf(name), this.tag, fields) }
}
type Encode = (tag: number, fields: object, into: Uint8Array, at: number) => number
function encoderOf(name: Name): Encode { return encoders[name] as unknown as Encode }

/** Writes an offset into a Tread, Twrite or Treaddir that was made ahead. */
export function setOffset(frame: Buffer, offset: number): void {
  frame.writeUInt32LE(offset % 2 ** 32, HEADER + 4)
  frame.writeUInt32LE(Math.floor(offset / 2 ** 32), HEADER + 8)
}

export class Line {
  readonly slots: Slot[] = []
  msize: number
  /** The reply that a script looks at: its body is bytes[at, end). */
  bytes: Buffer
  at = 0
  end = 0
  /** ms, when the replies that are being looked at came; replies so far. */
  now = 0
  replies = 0
  lost: Error | undefined
  /** Offset of the next sequential request. */
  next = 0
  #filled = 0
  #out = Buffer.allocUnsafeSlow(OUT)
  #outAt = 0
  #outFrom = 0
  #pieces: Buffer[] = []
  #asking: Slot | undefined
  #socket!: Socket
  #running = 0
  #done: ((error?: Error) => void) | undefined

  /** number: which of several. */
  private constructor(readonly url: string, readonly number: number, msize: number) {
    this.msize = msize
    this.bytes = Buffer.allocUnsafeSlow(2 * msize + OUT)
  }

  /** Connects and attaches at fid 0. */
  static async open(url: string, number: number, { msize, depth, aname, uname, uid }: { msize: number; depth: number; aname: string; uname: string; uid: number }): Promise<Line> {
    const line = new Line(url, number, msize)
    await line.#connect()
    await line.ask('Tversion', { msize, version: '9P2000.L' }, 0xffff, Rversion)
    const { msize: least, version } = decoders.Rversion(line.bytes, line.at, line.end)
    if (version !== '9P2000.L') throw errno('EPROTONOSUPPORT', `connect: the server speaks ${version}`, url)
    line.msize = Math.min(msize, least)
    await line.ask('Tattach', { fid: 0, afid: 0xffffffff, uname, aname, nUname: uid }, 0, Rattach)
    for (let tag = 0; tag < depth; tag++) line.slots.push(new Slot(line, tag, 16 + tag * 8))
    return line
  }

  #connect(): Promise<void> {
    const place = this.url.startsWith('unix:') ? { path: this.url.slice(5) } : (([, host, port]) => ({ host: host!.replace(/^\[|\]$/g, ''), port: Number(port) }))(/^tcp:\/\/(.+):(\d+)$/.exec(this.url)!)
    return new Promise((resolve, reject) => {
      const onread = { buffer: () => this.bytes.subarray(this.#filled), callback: (count: number) => { this.#taken(count); return true } }
      const socket = this.#socket = connect({ ...place, onread, noDelay: true } as unknown as NetConnectOpts)
      socket.once('connect', () => resolve())
      socket.on('error', (e) => { reject(e); this.#lose(e) })
      socket.on('close', () => this.#lose(new Error('the server closed the connection')))
    })
  }

  /** One request beside the load, before it begins. */
  async ask<N extends Name>(name: N, fields: Fields<N>, tag: number, reply: number): Promise<void> {
    const slot = this.#asking = new Slot(this, tag, 0)
    function* script(): Script {
      slot.send(name, fields)
      yield
    }
    try { await this.run(script, [slot]) } finally { this.#asking = undefined }
    if (slot.error) throw errno(codeOf(slot.error), name, this.url)
    const type = this.bytes[this.at - 3]!
    if (type !== reply) throw errno('EPROTO', `${name}: answered by message ${type}`, this.url)
  }

  /** Makes newfid what the names lead to, opened if there are flags. */
  async walkTo(fid: number, newfid: number, names: readonly string[], flags?: number): Promise<void> {
    await this.ask('Twalk', { fid, newfid, names }, 0, Rwalk)
    if (decoders.Rwalk(this.bytes, this.at, this.end).qids.length < names.length) throw errno('ENOENT', 'walk', names.join('/'))
    if (flags !== undefined) await this.ask('Tlopen', { fid: newfid, flags }, 0, Rlopen)
  }
  clunk(fid: number): Promise<void> { return this.ask('Tclunk', { fid }, 0, Rclunk) }

  /** Runs a script in each slot to its end. Rejects when the connection is lost, and when nothing came for `patience` ms. */
  run(script: (slot: Slot) => Script | undefined, slots: readonly Slot[] = this.slots, patience = 20_000): Promise<void> {
    if (this.lost) return Promise.reject(this.lost)
    return new Promise((resolve, reject) => {
      let seen = -1
      const timer = setInterval(() => {
        if (this.replies === seen) this.#lose(new Error(`no answer for ${patience / 1000} s`))
        seen = this.replies
      }, patience)
      this.#done = (error) => {
        clearInterval(timer)
        this.#done = undefined
        if (error) reject(error); else resolve()
      }
      this.#running = slots.length
      this.now = performance.now()
      for (const slot of slots) {
        slot.script = script(slot)
        this.#step(slot)
      }
      this.#flush()
      this.#end()
    })
  }
  #step(slot: Slot): void {
    if (!slot.script || slot.script.next().done) {
      slot.script = undefined
      this.#running--
    }
  }
  #end(): void { if (this.#running === 0) this.#done?.() }

  put(frame: Buffer): void {
    if (frame.length >= LARGE) {
      this.#piece()
      this.#pieces.push(frame)
      return
    }
    this.#room(frame.length)
    frame.copy(this.#out, this.#outAt)
    this.#outAt += frame.length
  }
  encode(encoder: Encode, tag: number, fields: object): void {
    this.#room(LARGE)
    this.#outAt = encoder(tag, fields, this.#out, this.#outAt)
  }
  #room(bytes: number): void {
    if (this.#outAt + bytes <= this.#out.length) return
    this.#piece()
    this.#out = Buffer.allocUnsafeSlow(OUT)
    this.#outAt = this.#outFrom = 0
  }
  /** What was gathered so far is one piece of the write. */
  #piece(): void {
    if (this.#outAt > this.#outFrom) this.#pieces.push(this.#out.subarray(this.#outFrom, this.#outAt))
    this.#outFrom = this.#outAt
  }
  #flush(): void {
    this.#piece()
    const pieces = this.#pieces, socket = this.#socket
    if (pieces.length === 0) return
    if (pieces.length === 1) socket.write(pieces[0]!)
    else {
      socket.cork()
      for (const piece of pieces) socket.write(piece)
      socket.uncork()
    }
    this.#pieces = []
    // What the kernel took at once needs no other buffer.
    if (this.#outAt > 0 && socket.writableLength > 0) this.#out = Buffer.allocUnsafeSlow(OUT)
    this.#outAt = this.#outFrom = 0
  }

  #taken(count: number): void {
    const { bytes, slots } = this
    this.now = performance.now()
    this.#filled += count
    const filled = this.#filled
    let p = 0
    while (filled - p >= HEADER) {
      const size = bytes.readUInt32LE(p)
      if (size < HEADER || size > this.msize + 24) return this.#lose(errno('EPROTO', `a message of ${size} bytes`, this.url))
      if (filled - p < size) break
      const type = bytes[p + 4]!, slot = this.#asking ?? slots[bytes[p + 5]! | bytes[p + 6]! << 8]
      if (!slot?.script) return this.#lose(errno('EPROTO', `an answer that was not asked for, of type ${type}`, this.url))
      this.at = p + HEADER
      this.end = p += size
      slot.error = type === Rlerror || type === RERROR ? bytes.readUInt32LE(this.at) || 5 : 0
      this.replies++
      this.#step(slot)
    }
    if (p > 0 && p < filled) bytes.copyWithin(0, p, filled)
    this.#filled = filled - p
    this.#flush()
    this.#end()
  }
  #lose(error: Error): void {
    if (this.lost) return
    this.lost = error
    this.#socket.destroy()
    this.#done?.(error)
  }
  close(): void { this.#lose(new Error('closed')) }
}
