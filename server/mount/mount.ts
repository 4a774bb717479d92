// A mount at work: requests of the kernel on one side, a server of 9P2000.L on the other.
//
// Each request is one attempt after the other until there is an answer. An attempt belongs to one session (link.ts); where the connection
// ends before its answer came, the next attempt begins from the start in the next session, with `again` set. What is harmless twice takes no notice:
// looking, reading, attributes, locks, and writing the same bytes to the same place. The rest asks the server what became of the
// first attempt: a name that was to be made is there and is what would have been made (names.ts), one that was to be moved or removed is
// not that file any more (names.ts), bytes that were to be appended stand where the file's end was (files.ts). Only what was not done is done.
// What is open is opened again by its path, if what is found there is the same file by qid.path, or is found among the entries of its directory
// by that; else it is ESTALE. Locks are taken again before anybody else is let to the new session; where another client was quicker, the
// open file is EIO from there on.

import { hostname } from 'node:os'
import { QT, direntsOf, errno, errnos, isErrno } from 'ninep'
import type { Attr, Qid } from 'ninep'
import type { Log } from '../../translators/options.ts'
import { attributes } from './attributes.ts'
import { Device } from './device.ts'
import { files } from './files.ts'
import { Init, Init2, NOTIFY_INVAL_INODE, OUT_HEADER, getHead, opcodeOf, put } from './fuse.ts'
import type { Operation } from './fuse.ts'
import { Handles } from './handles.ts'
import { rootOf, wasLost } from './link.ts'
import type { Link, Session } from './link.ts'
import { Procs, locks } from './locks.ts'
import { names } from './names.ts'
import { Nodes } from './nodes.ts'
import type { Node } from './nodes.ts'
import type { MountOptions } from './options.ts'
import { Request, parse } from './request.ts'
import { listings } from './listings.ts'
import { xattrs } from './xattrs.ts'

/** What answers one operation: by mount.device, once, or by what it throws. */
export type Handler<O extends Operation> = (mount: Mount, session: Session, request: Request<O>) => Promise<void> | void
export type Handlers = { readonly [O in Operation]?: Handler<O> }

const handlers: Handlers = { ...names, ...attributes, ...files, ...listings, ...xattrs, ...locks }
/** What uses no node's fid, and may take for ever. */
const lasting: ReadonlySet<Operation> = new Set(['READ', 'WRITE', 'SETLKW', 'SETLK', 'GETLK', 'FSYNC', 'FLUSH', 'READDIR'])
/** Of the protocol: what we know best, and the oldest that is understood. */
const MINOR = 39, OLDEST = 12
/** Milliseconds for an answer to come by itself before an interrupt becomes a Tflush: most are there at once, and a program that has
 *  a timer does not expect EINTR of a file. */
const GRACE = 300
/** Fids of nodes that are kept. Beyond, those that were held longest go, and are walked to again. */
const HELD = 32_768
/** Requests that the kernel keeps under way for its own ends, like reading ahead. */
const BACKGROUND = 64

export interface Setting {
  readonly options: MountOptions
  readonly link: Link
  readonly log: Log
  /** The root as the first user came in. */
  readonly root: Qid
}

export class Mount {
  readonly options: MountOptions
  readonly device: Device
  readonly link: Link
  readonly log: Log
  readonly nodes: Nodes
  readonly handles = new Handles()
  readonly procs = new Procs()
  readonly host = hostname()
  /** Bytes of one READ or WRITE. */
  readonly maxWrite: number
  /** Settles when it is unmounted; rejects when it broke. */
  readonly ended: Promise<void>
  /** Settles when the kernel has agreed on a version. */
  readonly begun: Promise<void>
  #begin!: () => void
  #end!: (error: unknown) => void
  #ready = false
  /** Whether the kernel leaves umasks to us. */
  masks = false
  readonly #active = new Map<number, Request>()
  #order = 0
  readonly #retired: { readonly order: number; readonly session: Session; readonly fid: number }[] = []
  readonly #held: Node[] = []
  readonly #buffers: Buffer[] = []

  constructor(fd: number, { options, link, log, root }: Setting) {
    this.options = options
    this.link = link
    this.log = log
    this.nodes = new Nodes(root)
    this.begun = new Promise((done) => { this.#begin = done })
    this.ended = new Promise((done, fail) => { this.#end = (error) => error === undefined ? done() : fail(error) })
    const pages = Math.floor((link.session!.client.msize - 24) / 4096)
    this.maxWrite = Math.max(1, Math.min(256, pages)) * 4096
    this.device = new Device(fd, this.maxWrite, (buffer, size) => this.#received(buffer, size), (error) => this.#end(error))
    this.device.drains = () => this.#active.size > 1
    link.renew = (session) => this.handles.relock(this, session)
  }

  #received(buffer: Buffer, size: number): void {
    const request = parse(buffer, size)
    if (!(request instanceof Request)) {
      if (request.unique !== 0 && !forgets(getHead(buffer, 0).opcode)) this.device.refuse(request.unique, errnos[request.refuse])
      return
    }
    if (!this.#ready) {
      if (request.operation === 'INIT') this.#init(request as Request<'INIT'>)
      else this.device.refuse(request.unique, errnos.EIO)
      return
    }
    switch (request.operation) {
      case 'INIT': this.device.refuse(request.unique, errnos.EIO); return
      case 'FORGET': this.forget(request.nodeid, (request as Request<'FORGET'>).args.nlookup); return
      case 'BATCH_FORGET': this.#batchForget(request as Request<'BATCH_FORGET'>); return
      case 'INTERRUPT': this.#interrupt((request as Request<'INTERRUPT'>).args.target); return
      case 'DESTROY': this.device.send(request.unique); return
      default: void this.#serve(request)
    }
  }

  // The life of a request

  async #serve(request: Request): Promise<void> {
    const { operation } = request, handler = handlers[operation] as Handler<Operation>
    const keeps = operation === 'WRITE' || operation === 'SETXATTR' ? this.device.keep() : undefined
    request.order = this.#order++
    this.#active.set(request.unique, request)
    let session = this.link.session
    for (;;) {
      try {
        session ??= await this.#session(request)
        await handler(this, session, request)
        break
      } catch (error) {
        if (session && wasLost(session, error)) {
          request.again = true
          this.link.lost(session)
          session = undefined
          continue
        }
        this.#refuse(request, error)
        break
      }
    }
    this.#active.delete(request.unique)
    if (keeps) this.device.give(keeps)
    if (this.#retired.length > 0) this.#clunkRetired()
  }
  /** A session, when there is one: who is interrupted waits no longer. */
  #session({ signal }: Request): Promise<Session> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      const interrupted = () => reject(signal.reason)
      signal.addEventListener('abort', interrupted)
      this.link.ready().then(resolve, reject).finally(() => signal.removeEventListener('abort', interrupted))
    })
  }
  #refuse({ unique, operation }: Request, error: unknown): void {
    if (!isErrno(error)) this.log.error({ err: error, operation }, 'a request met a bug')
    try { this.device.refuse(unique, isErrno(error) ? error.errno : errnos.EIO) } catch (error) { this.#end(error) }
  }
  #interrupt(unique: number): void {
    const request = this.#active.get(unique)
    if (!request) return
    if (request.operation === 'SETLKW' || !this.link.session) return request.interrupt()
    setTimeout(() => { if (this.#active.get(unique) === request) request.interrupt() }, GRACE).unref()
  }

  // INIT

  #init({ unique, args: { major, minor, maxReadahead, flags }, rest }: Request<'INIT'>): void {
    const { scratch } = this.device
    const answer = { major: 7, minor: MINOR, maxReadahead, flags: 0, maxBackground: BACKGROUND, congestion: BACKGROUND * 3 / 4, maxWrite: this.maxWrite, timeGran: 1, maxPages: 0, mapAlignment: 0, flags2: 0 }
    if (major < 7 || (major === 7 && minor < OLDEST)) {
      this.device.refuse(unique, errnos.EPROTO)
      return this.#end(errno('EPROTO', `the kernel speaks FUSE ${major}.${minor}; this needs 7.${OLDEST} or later`))
    }
    if (major > 7) return void this.device.send(unique, put.init(scratch, OUT_HEADER, answer))   // it will ask for this one
    const { options } = this
    let want = Init.ASYNC_READ | Init.POSIX_LOCKS | Init.FLOCK_LOCKS | Init.ATOMIC_O_TRUNC | Init.BIG_WRITES | Init.AUTO_INVAL_DATA | Init.ASYNC_DIO |
      Init.PARALLEL_DIROPS | Init.MAX_PAGES | Init.HANDLE_KILLPRIV_V2 | Init.INIT_EXT
    if (options.cache !== 'none') want |= Init.DO_READDIRPLUS | Init.READDIRPLUS_AUTO
    if (options.defaultPermissions) want |= Init.POSIX_ACL | Init.DONT_MASK
    const agreed = want & flags, flags2 = agreed & Init.INIT_EXT && rest.length >= 4 ? Init2.DIRECT_IO_ALLOW_MMAP & rest.readUInt32LE(0) : 0
    this.masks = (agreed & Init.DONT_MASK) !== 0
    const paged = (agreed & Init.MAX_PAGES) !== 0
    const end = put.init(scratch, OUT_HEADER, {
      ...answer, minor: Math.min(minor, MINOR), flags: agreed >>> 0, flags2, maxPages: paged ? this.maxWrite / 4096 : 0,
      maxWrite: paged ? this.maxWrite : Math.min(this.maxWrite, agreed & Init.BIG_WRITES ? 128 * 1024 : 4096),
    })
    this.#ready = true
    this.device.send(unique, minor < 23 ? OUT_HEADER + 24 : end)
    this.#begin()
  }

  // Nodes and their fids

  /** The node of a request. */
  node(request: { readonly nodeid: number }): Node { return this.nodes.get(request.nodeid) }

  /** A fid of this user for a node: at once where there is one. ESTALE: it is not where it was, nor near it. */
  fid(session: Session, node: Node, uid: number): number | Promise<number> { return node.fid(session, uid) ?? this.#reach(session, node, uid) }

  async #reach(session: Session, node: Node, uid: number): Promise<number> {
    if (node === this.nodes.root) {
      const { fid } = await rootOf(session, uid, this.options.aname)
      node.hold(session, uid, fid)
      return fid
    }
    if (!node.parent) throw errno('ESTALE', 'walk', node.name)
    const from = await this.fid(session, node.parent, uid), here = node.fid(session, uid)
    if (here !== undefined) return here
    let found = await this.walk(session, from, [node.name]).catch((error: unknown) => { if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return undefined; throw error })
    if (found && found.qid.path !== node.qid.path) {
      this.clunk(session, found.fid)
      found = undefined
    }
    if (!found && node.others?.length) {
      this.nodes.lost(node.parent, node.name)
      return this.#reach(session, node, uid)
    }
    found ??= await this.#search(session, from, node)
    if (!found) throw errno('ESTALE', 'walk', node.name)
    this.hold(session, node, uid, found.fid)
    return found.fid
  }
  /** Looks for a file by what it is, in the directory where it was: somebody else may have moved it there. */
  async #search(session: Session, dir: number, node: Node): Promise<Found | undefined> {
    const { client } = session, { fid } = await this.walk(session, dir, [])
    try {
      await client.rpc('Tlopen', { fid, flags: 0o200000 })
      for (let offset = 0n; ;) {
        const entries = direntsOf((await client.rpc('Treaddir', { fid, offset, count: Math.min(65536, client.msize - 24) })).data)
        if (entries.length === 0) return undefined
        const entry = entries.find(({ qid, name }) => qid.path === node.qid.path && name !== '.' && name !== '..')
        if (entry) {
          const found = await this.walk(session, dir, [entry.name])
          if (found.qid.path !== node.qid.path) {
            this.clunk(session, found.fid)
            return undefined
          }
          if (node.parent) this.nodes.place(node, node.parent, entry.name)
          return found
        }
        offset = entries.at(-1)!.cookie
      }
    } catch (error) {
      if (wasLost(session, error) || !isErrno(error)) throw error
      return undefined
    } finally {
      this.clunk(session, fid)
    }
  }

  /** A new fid for what these names lead to. */
  async walk({ client }: Session, fid: number, names: readonly string[]): Promise<Found> {
    const newfid = client.takeFid()
    try {
      const { qids } = await client.rpc('Twalk', { fid, newfid, names })
      if (qids.length < names.length) throw errno('ENOENT', 'walk', names.join('/'))
      return { fid: newfid, qid: qids.at(-1) ?? nowhere }
    } catch (error) {
      client.freeFid(newfid)
      throw error
    }
  }
  /** A fid that is not needed any more. */
  clunk({ client }: Session, fid: number): void {
    if (client.closed) return
    const free = () => client.freeFid(fid)
    client.rpc('Tclunk', { fid }).then(free, free)
  }
  /** Keeps a fid for a node. */
  hold(session: Session, node: Node, uid: number, fid: number): void {
    const first = node.anyFid(session) === undefined, before = node.hold(session, uid, fid)
    if (before !== undefined) this.retire(session, before)
    if (!first || node === this.nodes.root) return
    if (this.#held.push(node) > 2 * HELD) for (const old of this.#held.splice(0, HELD)) if (!old.isDirectory) this.release(old)
  }
  /** Gives a node's fids back. */
  release(node: Node): void {
    const { session } = this.link
    for (const fid of node.drop(session)) this.retire(session!, fid)
  }
  /** Clunks a fid that requests under way may still name, when they are done: its number must not mean another file to them. */
  retire(session: Session, fid: number): void {
    this.#retired.push({ order: this.#order, session, fid })
    this.#clunkRetired()
  }
  #clunkRetired(): void {
    let oldest = this.#order
    for (const { order, operation } of this.#active.values()) {
      if (lasting.has(operation)) continue
      oldest = order
      break
    }
    while (this.#retired.length > 0 && this.#retired[0]!.order <= oldest) {
      const { session, fid } = this.#retired.shift()!
      this.clunk(session, fid)
    }
  }

  forget(id: number, count: number): void {
    const node = this.nodes.forget(id, count)
    if (node) this.release(node)
  }
  #batchForget({ args: { count }, rest }: Request<'BATCH_FORGET'>): void {
    for (let i = 0, at = 0; i < count && at + 16 <= rest.length; i++, at += 16) {
      this.forget(Number(rest.readBigUInt64LE(at)), Number(rest.readBigUInt64LE(at + 8)))
    }
  }

  // Replies that many give

  /** An entry for what was found under a name: one more reference for the kernel. fid: its, to keep or to give back; undefined: there is none. */
  entry(session: Session, request: Request, dir: Node, name: string, attr: Attr, fid: number | undefined): Node {
    const node = this.nodes.found(dir, name, attr.qid, attr)
    this.nodes.refer(node)
    if (fid !== undefined) this.hold(session, node, request.uid, fid)
    const end = this.putEntry(this.device.scratch, OUT_HEADER, node, attr)
    if (!this.device.send(request.unique, end)) this.forget(node.id, 1)
    return node
  }
  putEntry(into: Buffer, at: number, node: Node, attr: Attr): number {
    node.told = attr
    const { attrTimeout, entryTimeout } = this.options
    return put.entry(into, at, {
      nodeid: node.id, generation: 0, entryValid: Math.floor(entryTimeout), entryValidNsec: nsec(entryTimeout),
      attrValid: Math.floor(attrTimeout), attrValidNsec: nsec(attrTimeout), ...fieldsOf(attr),
    })
  }
  /** Whether the kernel knows these attributes, as far as contents go. */
  isTold({ told }: Node, { size, mtime, ctime }: Attr): boolean {
    return told !== undefined && told.size === size && told.mtime.sec === mtime.sec && told.mtime.nsec === mtime.nsec && told.ctime.sec === ctime.sec && told.ctime.nsec === ctime.nsec
  }
  /** Has the kernel ask for attributes again. Contents are left to what opens the file: they may be locked by who waits for us. */
  outdated(node: Node): void {
    node.cached = 0
    this.device.notify(NOTIFY_INVAL_INODE, put.stale(this.device.scratch, OUT_HEADER, { nodeid: node.id, offset: -1, length: 0 }))
  }
  attr(request: Request, node: Node, attr: Attr): void {
    node.told = attr
    const { attrTimeout } = this.options
    const end = put.attr(this.device.scratch, OUT_HEADER, { attrValid: Math.floor(attrTimeout), attrValidNsec: nsec(attrTimeout), ...fieldsOf(attr) })
    this.device.send(request.unique, end)
  }

  /** A mode that is to be made, without what the caller's umask takes off: nothing where the directory has a default ACL. */
  async masked(session: Session, { uid }: Request, dir: Node, mode: number, umask: number): Promise<number> {
    if (!this.masks || (umask & 0o777) === 0) return mode
    if (!(dir.defaultAcl && dir.defaultAcl.until > Date.now())) {
      const there = await this.#hasDefaultAcl(session, dir, uid)
      dir.defaultAcl = { there, until: Date.now() + this.options.attrTimeout * 1000 }
    }
    return dir.defaultAcl.there ? mode : mode & ~umask
  }
  async #hasDefaultAcl(session: Session, dir: Node, uid: number): Promise<boolean> {
    const { client } = session, fid = await this.fid(session, dir, uid), newfid = client.takeFid()
    try {
      const { size } = await client.rpc('Txattrwalk', { fid, newfid, name: 'system.posix_acl_default' })
      this.clunk(session, newfid)
      return size > 0
    } catch (error) {
      client.freeFid(newfid)
      if (wasLost(session, error)) throw error
      return false
    }
  }

  /** Memory for a reply of this size, with OUT_HEADER before it; to be given back. */
  buffer(size: number): Buffer {
    if (size > this.maxWrite) return Buffer.allocUnsafeSlow(OUT_HEADER + size)
    return this.#buffers.pop() ?? Buffer.allocUnsafeSlow(OUT_HEADER + this.maxWrite)
  }
  give(buffer: Buffer): void { if (buffer.length === OUT_HEADER + this.maxWrite && this.#buffers.length < 8) this.#buffers.push(buffer) }

  /** Stops: unmounted, or not to be helped. */
  close(): void { this.device.close() }
  /** Requests under way. */
  get busy(): number { return this.#active.size }
}

export interface Found { readonly fid: number; readonly qid: Qid }
const nowhere: Qid = { type: QT.DIR, version: 0, path: 0n }

/** What of a timeout is below a second. */
function nsec(seconds: number): number { return Math.round((seconds - Math.floor(seconds)) * 1e9) }
function forgets(opcode: number): boolean { return opcode === opcodeOf('FORGET') || opcode === opcodeOf('BATCH_FORGET') || opcode === opcodeOf('INTERRUPT') }
/** Rgetattr as the kernel has it. */
export function fieldsOf({ qid, size, blocks, atime, mtime, ctime, mode, nlink, uid, gid, rdev, blksize }: Attr) {
  return {
    ino: qid.path, size, blocks, atime: atime.sec, mtime: mtime.sec, ctime: ctime.sec, atimensec: atime.nsec, mtimensec: mtime.nsec, ctimensec: ctime.nsec,
    mode, nlink, uid, gid, rdev: Number(rdev & 0xffffffffn), blksize, flags: 0,
  }
}
