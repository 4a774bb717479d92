// One client: its fids, its requests, its dialect. Frames come from a Connection, calls go to the namespace, replies go
// back. What each message does stands in handlers/; here is what they share: tags, flush, clunk, the end.

import { HEADER, NOFID, PAYLOAD_HEAD, decoders, encoders, errno, errnos, isErrno, payloadHead, typeOf } from 'ninep'
import type { Fields } from 'ninep'
import type { Log } from '../translators/options.ts'
import type { Awaitable } from '../translators/translator.ts'
import { lastly } from '../translators/turn.ts'
import { COPY } from './connection.ts'
import type { Connection, Receiver } from './connection.ts'
import { ERROR, agreed, spoken } from './dialect.ts'
import type { Entry, Spoken } from './dialect.ts'
import { drive, get } from './drive.ts'
import type { Steps } from './drive.ts'
import { Fid } from './fid.ts'
import type { Attach, Removal } from './fid.ts'
import { UNVERSIONED_MSIZE } from './limits.ts'
import type { Limits } from './limits.ts'
import type { LockTable } from './locks.ts'
import type { File, Namespace } from './namespace.ts'
import type { Passive } from './passive.ts'
import type { Peer } from './peer.ts'
import { Request } from './request.ts'
import type { Gate } from './gate.ts'
import type { Repeats } from './repeats.ts'
import type { Watch } from './watch.ts'
import type { Work } from './work.ts'

/** What all sessions share. */
export interface Shared {
  readonly namespace: Namespace
  readonly passive: Passive
  readonly locks: LockTable
  readonly gate: Gate
  /** The root of the control tree. */
  readonly control: File
  readonly limits: Limits
  readonly log: Log
  /** Requests that translators are at, of connections that are gone too. */
  readonly work: Work
  readonly watch: Watch
  /** For warnings that many connections may give cause for at once. */
  readonly repeats: Repeats
  /** Asks for `session.finish()` once in this turn of the loop. */
  later(session: Session): void
}

/** Requests that change nothing: a flush need not wait for them. */
const pure: ReadonlySet<number> = new Set((['Tread', 'Treaddir', 'Tgetattr', 'Tstatfs', 'Tstat', 'Treadlink', 'Tgetlock', 'Twalk', 'Txattrwalk'] as const).map((name) => typeOf[name]))
const { Tversion, Tflush, Twrite, Tread, Treaddir } = typeOf
/** What came of a request that had to wait. */
interface Done { readonly request: Request; readonly entry: Entry; readonly error?: unknown; readonly result?: unknown }

export class Session implements Receiver {
  msize = UNVERSIONED_MSIZE
  readonly fids = new Map<number, Fid>()
  /** Handles that are open, bytes of extended attributes held. */
  handles = 0
  /** Whose connection it is, once that is known: a uid, or an address. */
  who: number | string | undefined
  xattrBytes = 0
  connection!: Connection
  #versioned = false
  /** Before a version, errors are told as the one that was asked for tells them, else as 9P2000 does. */
  #spoken: Spoken = spoken['9P2000']
  #pending = new Map<number, Request>()
  /** Those of them that translators are at. Waits for locks are not: what ends them must still be read. */
  #working = 0
  #inFlight = 0
  #done: Done[] = []
  #waiting = false
  #ended = false
  #gone = false
  #stopping = false
  #last: NodeJS.Timeout | undefined
  /** Who is at the other end, once that is known. */
  knownPeer: Peer | undefined
  readonly #since = new Date()
  #requests = 0
  /** name: where it came in, and its number: 'tcp://127.0.0.1:5640#7'. */
  constructor(readonly shared: Shared, readonly peer: Awaitable<Peer>, readonly name: string) {
    if (peer instanceof Promise) void peer.then((peer) => { this.knownPeer = peer })
    else this.knownPeer = peer
  }

  /** For who looks: bytes and counts since it began, and what is there now. */
  get figures(): { readonly since: Date; readonly dialect: string | undefined; readonly [name: string]: number | string | Date | undefined } {
    const { received, sent, unsent } = this.connection
    return {
      since: this.#since, dialect: this.#versioned ? this.#spoken.version : undefined, msize: this.msize, requests: this.#requests, pending: this.#pending.size,
      fids: this.fids.size, handles: this.handles, received, sent, unsent,
    }
  }

  /** Whether anything was agreed yet. */
  get versioned(): boolean { return this.#versioned }

  /** Whether its connection is gone. */
  get over(): boolean { return this.#gone }

  get frameTimeout(): number { return this.shared.limits['frame-timeout'] }
  get sendTimeout(): number { return this.shared.limits['send-timeout'] }

  ready(): boolean {
    const { limits, watch } = this.shared, held = this.#inFlight + this.connection.unsent
    const room = this.#working < limits.requests && held < limits['bytes-in-flight'] && (held === 0 || !watch.short)
    return room && !this.#stopping
  }

  frame(bytes: Buffer, at: number, end: number, stable: boolean): boolean {
    const type = bytes[at + 4]!, tag = bytes[at + 5]! | bytes[at + 6]! << 8
    this.#requests++
    if (type === Tversion) { this.#version(bytes, at, end, tag); return false }
    if (!this.#versioned) { this.#error(tag, errnos.EINVAL); return false }
    if (type === Tflush) { this.#flush(tag, bytes, at, end); return false }
    const entry = this.#spoken.entries[type]
    if (!entry) { this.#error(tag, errnos.EOPNOTSUPP); return false }
    if (this.#pending.has(tag)) {
      this.connection.destroy(`tag ${tag} was used again before its request was answered`)
      return false
    }
    const request = new Request(tag, type)
    let result: Awaitable<unknown>
    try {
      let fields = entry.decode(bytes, at + HEADER, end)
      if (type === Twrite && !stable && fields.data.length > 0) fields = { ...fields, data: Buffer.from(fields.data) }
      result = entry.run(this, fields, request)
    } catch (e) {
      this.#fail(request, entry, e)
      return false
    }
    if (!(result instanceof Promise)) {
      this.#answer(request, entry, result)
      return false
    }
    this.#wait(request, entry, result, stable ? bytes.length : end - at)
    return stable && type === Twrite
  }

  // What takes more than this turn

  #wait(request: Request, entry: Entry, result: Promise<unknown>, holds: number): void {
    this.#pending.set(request.tag, request)
    if (request.type === Twrite) request.holds = holds
    else if (request.bytes) request.holds = request.bytes.length - request.at
    this.#inFlight += request.holds
    this.shared.watch.lends(request.holds)
    if (request.cancel) request.locks = true
    else {
      this.#working++
      this.shared.work.begin()
    }
    this.connection.loaded = true
    result.then((value) => this.#settle({ request, entry, result: value }), (error) => this.#settle({ request, entry, error: error ?? errno('EIO') }))
  }

  #settle(done: Done): void {
    const { request } = done
    this.#inFlight -= request.holds
    this.shared.watch.lends(-request.holds)
    if (!request.locks) {
      this.#working--
      this.shared.work.end()
    }
    if (request.silent) {
      this.connection.resume()
      return
    }
    this.#done.push(done)
    if (this.#waiting) return
    this.#waiting = true
    this.shared.later(this)
  }

  /** Answers what settled in this turn, in one write. */
  finish(): void {
    this.#waiting = false
    for (const done of this.#done.splice(0)) {
      const { request, entry } = done
      if (request.silent) continue
      this.#pending.delete(request.tag)
      if (done.error !== undefined) this.#fail(request, entry, done.error)
      else this.#answer(request, entry, done.result)
      for (const tag of request.flushes ?? []) this.#flushed(tag)
    }
    if (this.#gone) return
    this.connection.flush()
    if ((this.#ended || this.#stopping) && this.#pending.size === 0) this.connection.close()
    else this.connection.resume()
  }

  // Replies

  #answer(request: Request, entry: Entry, result: unknown): void {
    const { connection } = this
    if (request.type === Tread || request.type === Treaddir) { this.#payload(request, result as Uint8Array); return }
    const bytes = connection.room(entry.long ? this.msize : 512), at = connection.at
    let end: number
    try { end = entry.encode(request.tag, result, bytes, at) } catch (e) { this.#fail(request, entry, e); return }
    if (end - at > this.msize) this.#fail(request, entry, errno('EMSGSIZE', entry.name))
    else connection.wrote(end)
  }

  /** The frame of a payload, which stands in place or elsewhere, in the scratch or in a buffer of its own. */
  #payload(request: Request, got: Uint8Array): void {
    const { connection } = this, { bytes, at, type, tag } = request, payload = at + PAYLOAD_HEAD
    const inPlace = bytes !== null && got.buffer === bytes.buffer && got.byteOffset === bytes.byteOffset + payload
    const lent = bytes !== null && request.holds > 0
    if (inPlace) {
      payloadHead(type + 1, tag, got.length, bytes, at)
      if (lent) connection.send(bytes.subarray(at, payload + got.length))
      else connection.wrote(payload + got.length)
      return
    }
    const copy = got.length <= COPY
    const into = connection.room(PAYLOAD_HEAD + (copy ? got.length : 0)), start = connection.at
    payloadHead(type + 1, tag, got.length, into, start)
    if (copy) into.set(got, start + PAYLOAD_HEAD)
    connection.wrote(start + PAYLOAD_HEAD + (copy ? got.length : 0))
    if (!copy) connection.send(got)
  }

  #fail(request: Request, entry: Entry, error: unknown): void {
    if (isErrno(error)) {
      if (error.cause !== undefined) this.shared.log.warn({ session: this.name, message: entry.name, err: error }, 'a request failed')
      this.#error(request.tag, error.errno)
      return
    }
    this.shared.log.error({ session: this.name, message: entry.name, err: error }, 'a request met a bug')
    this.#error(request.tag, errnos.EIO)
  }
  #error(tag: number, ecode: number): void {
    const bytes = this.connection.room(ERROR)
    this.connection.wrote(this.#spoken.error(tag, ecode, bytes, this.connection.at))
  }
  #flushed(tag: number): void {
    const bytes = this.connection.room(HEADER)
    this.connection.wrote(encoders.Rflush(tag, {}, bytes, this.connection.at))
  }

  // Tversion, Tflush

  #version(bytes: Buffer, at: number, end: number, tag: number): void {
    let asked: Fields<'Tversion'>
    try { asked = decoders.Tversion(bytes, at + HEADER, end) } catch { this.#error(tag, errnos.EINVAL); return }
    this.#reset()
    this.#versioned = false
    this.msize = UNVERSIONED_MSIZE
    const version = agreed(asked.version)
    this.#spoken = spoken[version ?? '9P2000']
    if (version && asked.msize < this.#spoken.leastMsize) { this.#error(tag, errnos.EMSGSIZE); return }
    const msize = Math.min(asked.msize, this.shared.limits.msize)
    const into = this.connection.room(64)
    this.connection.wrote(encoders.Rversion(tag, { msize, version: version ?? 'unknown' }, into, this.connection.at))
    if (!version) return
    this.#versioned = true
    this.msize = msize
  }

  #flush(tag: number, bytes: Buffer, at: number, end: number): void {
    let oldtag: number
    try { oldtag = decoders.Tflush(bytes, at + HEADER, end).oldtag } catch { this.#error(tag, errnos.EINVAL); return }
    const request = this.#pending.get(oldtag)
    if (request && !this.#cancel(request)) {
      this.#behind(request.flushes ??= new Set(), tag)
      return
    }
    if (!request) {
      // A flush that waits is flushed by standing behind it.
      for (const { flushes } of this.#pending.values()) if (flushes?.has(oldtag)) { this.#behind(flushes, tag); return }
    }
    for (const earlier of request?.flushes ?? []) this.#flushed(earlier)
    this.#flushed(tag)
  }

  #behind(flushes: Set<number>, tag: number): void {
    if (flushes.has(tag)) this.connection.destroy(`tag ${tag} was used again before its Tflush was answered`)
    flushes.add(tag)
  }

  /** Ends a request without a reply, if it is one that may: true. Else it was told to hurry. */
  #cancel(request: Request): boolean {
    const waits = request.cancel?.() ?? false
    if (waits || (pure.has(request.type) && !this.#settled(request))) {
      this.#silence(request)
      return true
    }
    request.abort(this.#abortFailed)
    return false
  }
  #turn: Promise<unknown> = Promise.resolve()
  /** Runs one after the other what would else take places that others wait for: lookups of users, each a process. */
  inTurn<T>(f: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(f)
    this.#turn = mine.catch(() => {})
    return mine
  }
  #abortFailed = (err: unknown): void => { this.shared.log.error({ session: this.name, err }, 'an abort met a bug') }
  #settled(request: Request): boolean { return this.#done.some((done) => done.request === request) }
  #silence(request: Request): void {
    request.silent = true
    this.#pending.delete(request.tag)
    const made = request.reserves
    if (made?.state === 'reserved') this.fids.delete(made.number)
    request.abort(this.#abortFailed)
  }

  // Fids

  /** A fid for use: EBADF unless it stands for something. */
  fid(number: number, op: string): Fid {
    const fid = this.fids.get(number)
    if (!fid || fid.state === 'reserved') throw errno('EBADF', op, String(number))
    return fid
  }
  /** The same, for what needs a file: an attribute's fid has none. */
  file(number: number, op: string): Fid {
    const fid = this.fid(number, op)
    if (fid.xattr) throw errno('EBADF', op, `${number} is an extended attribute`)
    return fid
  }
  /** Takes a number for a new fid on a file. EBADF: it is taken; EMFILE: too many. */
  reserve(number: number, file: File, attach: Attach, op: string): Fid {
    if (number === NOFID) throw errno('EINVAL', op, 'NOFID')
    if (this.fids.has(number)) throw errno('EBADF', op, `${number} is in use`)
    if (this.fids.size >= this.shared.limits.fids) throw errno('EMFILE', op, `more than ${this.shared.limits.fids} fids`)
    const fid = new Fid(number, file, attach)
    this.fids.set(number, fid)
    return fid
  }

  /** Runs what needs the fid's handle to stay, also where that takes long and a clunk comes in between. */
  using<T>(fid: Fid, request: Request, f: () => Awaitable<T>): Awaitable<T> {
    fid.uses++
    request.fid = fid
    let result: Awaitable<T>
    try { result = f() } catch (e) { this.#used(fid); throw e }
    if (result instanceof Promise) return result.finally(() => this.#used(fid))
    this.#used(fid)
    return result
  }
  #used(fid: Fid): void {
    if (--fid.uses > 0) return
    fid.idle()
    if (fid.state !== 'gone' || !fid.handle) return
    fid.file.mount.close(fid.handle)
    fid.handle = null
    fid.file.release()
    this.handles--
  }

  /**
   * Takes a fid out of the table at once, ends what waits on it, gives its locks back and closes its handle: before this
   * settles, or where requests are still at work on that, when they end.
   */
  release(fid: Fid): Awaitable<void> {
    if (this.fids.get(fid.number) === fid) this.fids.delete(fid.number)
    for (const request of this.#pending.values()) if (request.fid === fid) request.abort(this.#abortFailed)
    if (fid.xattr) this.xattrBytes -= fid.xattr.writing ? fid.xattr.size : fid.xattr.value.length
    const { handle, file, removal } = fid
    if (handle && !handle.lock) this.shared.locks.releaseFid(fid)
    if (handle) file.retain()                               // its mount must not end before the handle has
    if (removal && fid.state !== 'gone') return drive(this.#removed(fid, removal))
    if (fid.state !== 'gone') fid.drop()
    return this.#closed(fid)
  }
  #closed(fid: Fid): Awaitable<void> {
    const { handle, file } = fid
    if (!handle || fid.uses > 0) return
    fid.handle = null
    this.handles--
    return lastly(() => handle.close(), () => file.release())
  }
  /** The end of a fid whose file goes with it. That the file can't be removed is no failure of the clunk. */
  *#removed(fid: Fid, removal: Removal): Steps<void> {
    const { file, dir, name, attach } = fid
    file.retain()
    dir?.retain()
    attach.root.retain()
    fid.drop()
    try { yield* get(this.#closed(fid)) } finally {
      try { yield* removal(this.shared.namespace, attach, file, dir, name) } catch (err) {
        this.shared.repeats.warn({ session: this.name, file: name, err }, 'a file that was to be removed when it is closed is still there')
      } finally {
        attach.root.release()
        dir?.release()
        file.release()
      }
    }
  }

  // Ends

  /** Everything that a client had, as at Tversion and at its end: nothing pending is ever answered. */
  #reset(): void {
    for (const request of [...this.#pending.values()]) this.#silence(request)
    this.#done.length = 0
    for (const fid of [...this.fids.values()]) this.#drop(fid)
    this.fids.clear()
    this.shared.locks.releaseConnection(this)
  }
  #drop(fid: Fid): void {
    if (fid.state === 'reserved') { fid.drop(); return }
    const { file } = fid
    file.mount.close({ close: () => this.release(fid) })
  }

  ended(): void {
    this.#ended = true
    this.ending()
    this.#drain()
  }
  /** It may wait for its replies, or be dead: a request that never ends must not keep its locks for ever. */
  ending(): void {
    if (this.#gone) return
    const seconds = this.shared.limits['finish-timeout']
    this.#last ??= setTimeout(() => this.connection.destroy(`its requests were not done ${seconds} s after it had gone`), seconds * 1000)
  }
  gone(why?: string): void {
    if (this.#gone) return
    this.#gone = true
    clearTimeout(this.#last)
    if (why !== undefined) this.shared.repeats.warn({ session: this.name, why }, 'connection ended')
    this.#reset()
    this.onGone()
  }
  onGone: () => void = () => {}

  /** Nothing more is read; what was accepted is answered, then the connection ends. */
  stop(): void {
    this.#stopping = true
    this.#drain()
  }
  /** Waits for locks are over; the rest is answered, then the connection ends. */
  #drain(): void {
    for (const request of [...this.#pending.values()]) {
      if (request.cancel?.()) this.#silence(request)
      else if (request.locks) request.abort(this.#abortFailed)
    }
    if (this.#pending.size === 0) this.connection.close()
  }
}
