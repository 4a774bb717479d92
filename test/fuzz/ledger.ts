// What one connection is owed: each frame that leaves is written down, cut from the stream as a server must cut it, and each
// frame that comes is held against that. What comes must be a reply by the table of the dialect in force, of the message that
// its tag asked for, no longer than was agreed; once; and never after the Rflush or Rversion that ended its request.

import { HEADER, codecs, dialects, nameOf, typeOf } from 'ninep'
import type { Dialect } from 'ninep'

/** Before Tversion, and after one that failed. */
const UNVERSIONED = 8192
/** The largest that this server ever agrees to. */
const LARGEST = 1024 * 1024 + 24
const { Tversion, Rversion, Tflush, Rflush, Twalk, Tread, Treaddir, Twrite, Tlock, Rlerror, Rerror, Rread, Rreaddir, Rwalk, Rwrite } = typeOf
const BLOCK = 1
const TRAIL = 128
/** An ename of more may not fit what Linux keeps for a small reply. */
const ENAME_MOST = 126

/** A request that left. fid, newfid: the first numbers of its body, whatever they mean there; asked: bytes, or names. */
export interface Due {
  readonly type: number
  readonly seq: number
  readonly fid: number
  readonly newfid: number
  readonly asked: number
  /** A lock's wait, which may have no end. */
  readonly waits: boolean
  /** Of an open: its flags, or mode. */
  readonly how: number
  /** Not where a Tversion that was refused may have ended it. */
  owed: boolean
  next: Due | undefined
}

export class Wrong extends Error {}
function wrong(what: string): never { throw new Wrong(what) }

export class Ledger {
  /** Requests that a reply is owed to. */
  open = 0
  /** Those of them that may wait for ever. */
  waiting = 0
  /** Frames that left, replies that came. */
  frames = 0
  replies = 0
  /** The server may end the connection now: something was sent that no one need bear. */
  mayClose = false
  /** It must, and nothing that is sent now is looked at. */
  doomed = false
  /** In force, by the replies. */
  dialect: Dialect | undefined
  msize = UNVERSIONED
  /** Told of each reply, with the request. */
  learn: (due: Due, type: number, bytes: Buffer, at: number, end: number) => void = () => {}
  /** By tag, the oldest first. */
  #due = new Map<number, Due>()
  /** Tags that several requests had at once: their replies can't be told apart. */
  #muddled = new Set<number>()
  #seq = 0
  /** A Tversion was refused: by its msize, then no dialect is in force any more, or as no message at all. */
  #unsure = false
  /** What msize may be now, at the least and at the most. */
  #least = UNVERSIONED
  #most = UNVERSIONED
  /** A frame that was begun, on either side. */
  /** The last frames in either direction: type, tag, and the first number of the body. */
  #trail = new Int32Array(3 * TRAIL)
  #steps = 0
  #out: Buffer = nothing
  #have = 0
  #in: Buffer = nothing
  #came = 0

  /** Bytes that a frame lacks that was begun; 0: none was. */
  get lacks(): number {
    if (this.#have === 0 || this.doomed) return 0
    return this.#have < 4 ? HEADER : this.#out.readUInt32LE(0) - this.#have
  }
  /** In force for sure. */
  get agreed(): Dialect | undefined { return this.#unsure ? undefined : this.dialect }
  /** The least msize that may be in force when what is sent now arrives. */
  get least(): number { return this.#least }
  /** Tags whose requests have no reply. */
  get tags(): readonly number[] { return [...this.#due.keys()] }
  has(tag: number): boolean { return this.#due.has(tag) }
  /** What is missing, for people. */
  get missing(): string {
    return [...this.#due].flatMap(([tag, first]) => {
      const all: string[] = []
      for (let due: Due | undefined = first; due; due = due.next) if (due.owed) all.push(`${nameOfAny(due.type)} tag ${tag} fid ${due.fid}`)
      return all
    }).slice(0, 20).join(', ')
  }

  #step(type: number, tag: number, first: number): void {
    const at = 3 * (this.#steps++ % TRAIL)
    this.#trail[at] = type
    this.#trail[at + 1] = tag
    this.#trail[at + 2] = first
  }
  /** The last frames in either direction, for people. */
  get trail(): string {
    const steps: string[] = []
    for (let step = Math.max(0, this.#steps - TRAIL); step < this.#steps; step++) {
      const [type, tag, first] = this.#trail.subarray(3 * (step % TRAIL))
      steps.push(`${nameOfAny(type!)} ${tag}${first! < 0 ? '' : ` (${first})`}`)
    }
    return steps.join(', ')
  }

  // Out

  /** Bytes that leave, in order. */
  sent(bytes: Buffer): void {
    let at = 0
    while (at < bytes.length && !this.doomed) {
      if (this.#have === 0 && bytes.length - at >= 4) {
        const size = bytes.readUInt32LE(at)
        if (!this.#begins(size)) return
        if (bytes.length - at >= size) {
          this.#frame(bytes, at, at + size)
          at += size
          continue
        }
      }
      at = this.#gather(bytes, at)
    }
  }
  #begins(size: number): boolean {
    if (size > this.#least) this.mayClose = true
    if (size >= HEADER && size <= this.#most) return true
    this.mayClose = this.doomed = true
    return false
  }
  #gather(bytes: Buffer, at: number): number {
    const target = this.#have < 4 ? 4 : this.#out.readUInt32LE(0)
    this.#out = roomy(this.#out, target)
    const n = bytes.copy(this.#out, this.#have, at, Math.min(bytes.length, at + target - this.#have))
    this.#have += n
    if (this.#have < 4) return at + n
    const size = this.#out.readUInt32LE(0)
    if (!this.#begins(size)) return bytes.length
    if (this.#have === size) {
      this.#have = 0
      this.#frame(this.#out, 0, size)
    }
    return at + n
  }

  #frame(b: Buffer, at: number, end: number): void {
    this.frames++
    const type = b[at + 4]!, tag = b.readUInt16LE(at + 5), size = end - at
    let fid = -1, newfid = -1, asked = 0, waits = false, how = 0
    if (size >= 11) fid = b.readUInt32LE(at + 7)
    if (size >= 15) newfid = b.readUInt32LE(at + 11)
    switch (type) {
      case Tversion: {
        // What it agrees on, if it does: known when it is answered. Until then either may be in force.
        const asks = size >= 11 ? fid : 0
        this.#least = Math.min(this.#least, Math.max(asks, 0), UNVERSIONED)
        this.#most = Math.max(this.#most, Math.min(asks, LARGEST))
        break
      }
      case Tflush: fid = size >= 9 ? b.readUInt16LE(at + 7) : -1; break
      case Tread: case Treaddir: asked = size >= 23 ? b.readUInt32LE(at + 19) : 0; break
      case Twrite: asked = size - 23; break
      case Twalk: asked = size >= 17 ? b.readUInt16LE(at + 15) : 0; break
      case Tlock: waits = size >= 16 && (b[at + 12]! & BLOCK) !== 0; break
      case typeOf.Tlopen: how = newfid; break
      case typeOf.Topen: how = size >= 12 ? b[at + 11]! : 0; break
      case typeOf.Tlcreate: case typeOf.Tcreate: {
        const after = size >= 13 ? at + 13 + b.readUInt16LE(at + 11) : end
        how = type === typeOf.Tlcreate ? after + 4 <= end ? b.readUInt32LE(after) : 0 : after + 5 <= end ? b[after + 4]! : 0
        break
      }
      default:
    }
    const due: Due = { type, seq: this.#seq++, fid, newfid, asked, waits, how, owed: true, next: undefined }
    this.#step(type, tag, fid)
    this.open++
    if (waits) this.waiting++
    let last = this.#due.get(tag)
    if (!last) { this.#due.set(tag, due); return }
    // A tag in use: the connection may end, or the later one be answered first.
    this.mayClose = true
    this.#muddled.add(tag)
    while (last.next) last = last.next
    last.next = due
  }

  // In

  /** Bytes that came. Throws Wrong. */
  came(bytes: Buffer): void {
    let at = 0
    if (this.#came > 0) {
      while (at < bytes.length) {
        const target = this.#came < 4 ? 4 : this.#in.readUInt32LE(0)
        this.#in = roomy(this.#in, target)
        const n = bytes.copy(this.#in, this.#came, at, Math.min(bytes.length, at + target - this.#came))
        this.#came += n
        at += n
        if (this.#came < 4) return
        const size = this.#size(this.#in.readUInt32LE(0))
        if (this.#came < size) continue
        this.#came = 0
        this.#reply(this.#in, 0, size)
        break
      }
    }
    while (bytes.length - at >= 4) {
      const size = this.#size(bytes.readUInt32LE(at))
      if (bytes.length - at < size) break
      this.#reply(bytes, at, at + size)
      at += size
    }
    if (at === bytes.length) return
    this.#in = roomy(this.#in, bytes.length - at)
    this.#came += bytes.copy(this.#in, this.#came, at)
  }
  #size(size: number): number {
    if (size < HEADER || size > Math.max(this.msize, UNVERSIONED)) wrong(`a frame of ${size} bytes came, and msize is ${this.msize}`)
    return size
  }

  #reply(b: Buffer, at: number, end: number): void {
    this.replies++
    const type = b[at + 4]!, tag = b.readUInt16LE(at + 5), size = end - at
    this.#step(type, tag, size >= 11 ? b.readUInt32LE(at + 7) : -1)
    const refused = type === Rlerror || type === Rerror
    let before: Due | undefined, due = this.#due.get(tag)
    // Where a Tversion is among those with its tag, an error may be the answer to that.
    if (refused) for (let one = due; one; one = one.next) if (one.type === Tversion) this.#unversioned(one, due!)
    // Of several requests with one tag an error answers the first, but no Tflush that can be read, once there is a dialect.
    // Of several Tversions it may be that the first was refused, and that its error was taken for another's.
    const belongs = (due: Due) => refused ? due.type !== Tflush || due.fid < 0 || !this.agreed : due.type + 1 === type && (type !== Rversion || !due.next || due.fid >= b.readUInt32LE(at + 7))
    for (; due && !belongs(due); due = due.next) before = due
    if (!due && refused) [before, due] = [undefined, this.#due.get(tag)]
    if (!due && this.#muddled.has(tag)) {
      this.#take(tag, undefined, this.#due.get(tag)!)
      return
    }
    if (!due) {
      const asked = this.#due.get(tag)
      wrong(`${nameOfAny(type)} came with tag ${tag}, which ${asked ? `is that of ${nameOfAny(asked.type)}` : 'no request has'}`)
    }
    this.#take(tag, before, due)
    if (type === Rversion) this.#versioned(due, b, at, end)
    else {
      if (size > this.msize) wrong(`${nameOfAny(type)} of ${size} bytes came, and msize is ${this.msize}`)
      if (refused) this.#refused(due, type, b, at, end)
      else this.#held(due, type, b, at, end)
      if (type === Rflush) this.#drop((old) => old.seq < due.seq, due.fid)
    }
    this.learn(due, type, b, at, end)
  }

  /** That the reply is one, by the table, and what was asked for. */
  #held({ asked }: Due, type: number, b: Buffer, at: number, end: number): void {
    const { dialect } = this, name = nameOfAny(type)
    if (!dialect || !(name in dialects[dialect])) wrong(`${name} came, which ${dialect ?? 'no dialect'} has not`)
    if (type === Rread || type === Rreaddir) {
      if (end - at < 11) wrong(`${name} of ${end - at} bytes`)
      const count = b.readUInt32LE(at + 7)
      if (end - at !== 11 + count) wrong(`${name} says ${count} bytes, and has ${end - at - 11}`)
      if (count > asked) wrong(`${name} has ${count} bytes, and ${asked} were asked for`)
      return
    }
    exact(dialect, name, b, at, end)
    if (type === Rwrite) {
      const count = b.readUInt32LE(at + 7)
      if (count > asked || (count === 0 && asked > 0)) wrong(`Rwrite says ${count} of ${asked} bytes`)
    }
    if (type === Rwalk) {
      const count = b.readUInt16LE(at + 7)
      if (count > asked || (count === 0 && asked > 0)) wrong(`Rwalk has ${count} qids for ${asked} names`)
    }
  }

  /** That it is an error as the dialect has it. */
  #refused(due: Due, type: number, b: Buffer, at: number, end: number): void {
    // A Tversion that is refused may be told so in the form of what it asked for.
    const dialect = due.type === Tversion ? undefined : this.agreed
    if (dialect && (type === Rlerror) !== (dialect === '9P2000.L')) wrong(`${nameOfAny(type)} came, and the dialect is ${dialect}`)
    if (type === Rlerror) {
      exact('9P2000.L', 'Rlerror', b, at, end)
      const code = b.readUInt32LE(at + 7)
      if (code < 1 || code > 511) wrong(`Rlerror ${code}`)
    } else {
      const length = end - at >= 9 ? b.readUInt16LE(at + 7) : 0
      if (length < 1 || length > ENAME_MOST) wrong(`Rerror with an ename of ${length} bytes`)
      // Before a dialect is agreed on, either will do.
      const form = dialect ?? (end - at === 9 + length ? '9P2000' : '9P2000.u')
      exact(form, 'Rerror', b, at, end)
      const code = form === '9P2000.u' ? b.readUInt32LE(end - 4) : 1
      if (code < 1 || code > 511) wrong(`Rerror with errno ${code}`)
    }
    if (due.type === Tflush && dialect && due.fid >= 0) wrong('a Tflush was answered with an error')
  }
  /** A Tversion was refused, or may have been: by its msize, which ends all that was, or as no message at all, which ends nothing. */
  #unversioned(version: Due, first: Due): void {
    this.#unsure = true
    // Which of those with its tag is answered by what comes now, no one can tell.
    for (let one: Due | undefined = first; one; one = one.next) this.#forgive(one)
    for (const first of this.#due.values()) for (let old: Due | undefined = first; old; old = old.next) if (old.seq <= version.seq) this.#forgive(old)
    this.msize = Math.max(this.msize, UNVERSIONED)
  }

  #versioned(due: Due, b: Buffer, at: number, end: number): void {
    exact('9P2000', 'Rversion', b, at, end)
    const msize = b.readUInt32LE(at + 7), version = b.toString('latin1', at + 13, end)
    if (msize > due.fid) wrong(`Rversion says msize ${msize}, and ${due.fid} was asked for`)
    this.#drop((old) => old.seq < due.seq)
    this.#unsure = false
    this.dialect = version in dialects ? version as Dialect : undefined
    if (!this.dialect && version !== 'unknown') wrong(`Rversion says ${JSON.stringify(version)}`)
    this.msize = this.dialect ? msize : UNVERSIONED
    if (!this.#some((due) => due.type === Tversion)) this.#least = this.#most = this.msize
  }

  #take(tag: number, before: Due | undefined, due: Due): void {
    if (before) before.next = due.next
    else if (due.next) this.#due.set(tag, due.next)
    else {
      this.#due.delete(tag)
      this.#muddled.delete(tag)
    }
    this.#forgive(due)
  }
  #forgive(due: Due): void {
    if (!due.owed) return
    due.owed = false
    this.open--
    if (due.waits) this.waiting--
  }
  /** Forgets requests that will have no reply: of one tag, or all. */
  #drop(which: (due: Due) => boolean, only?: number): void {
    for (const tag of only === undefined ? this.tags : [only]) {
      let before: Due | undefined
      for (let due = this.#due.get(tag); due; due = due.next) {
        if (which(due)) this.#take(tag, before, due)
        else before = due
      }
    }
  }
  #some(which: (due: Due) => boolean): boolean {
    for (const first of this.#due.values()) for (let due: Due | undefined = first; due; due = due.next) if (which(due)) return true
    return false
  }
}

const nothing = Buffer.alloc(0)
/** The same bytes, with room for so many. */
function roomy(bytes: Buffer, size: number): Buffer {
  if (bytes.length >= size) return bytes
  const larger = Buffer.allocUnsafe(Math.max(size, 256))
  bytes.copy(larger)
  return larger
}

const scratch = Buffer.allocUnsafeSlow(LARGEST + 65536)
/** That a frame is, to the byte, what the codec writes of what it reads. */
function exact(dialect: Dialect, name: string, b: Buffer, at: number, end: number): void {
  const { encoders, decoders } = codecs[dialect] as unknown as {
    encoders: Record<string, (tag: number, fields: object, into: Buffer, at: number) => number>
    decoders: Record<string, (b: Buffer, at: number, end: number) => object>
  }
  let size = 0
  try { size = encoders[name]!(b.readUInt16LE(at + 5), decoders[name]!(b, at + HEADER, end), scratch, 0) } catch (e) { wrong(`${name} can't be read: ${(e as Error).message}: ${b.toString('hex', at, Math.min(end, at + 100))}`) }
  if (size !== end - at || b.compare(scratch, 0, size, at, end) !== 0) wrong(`${name} has bytes that don't belong: ${b.toString('hex', at, Math.min(end, at + 100))}`)
}

/** The name of a message of whichever dialect. */
export function nameOfAny(type: number): string {
  for (const dialect of Object.keys(dialects) as Dialect[]) {
    const name = nameOf(type, dialect)
    if (name) return name
  }
  return `type ${type}`
}
