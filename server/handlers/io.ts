// Tlopen, Tlcreate, Tread, Twrite, Treaddir, Tfsync: files and directories that are open.

import { Dt, O, PAYLOAD_HEAD, QT, errno, isErrno, putDirent, qidTypeOf } from 'ninep'
import type { Attr, Fields } from 'ninep'
import type { Awaitable, DirSink, Handle, Node } from '../../translators/translator.ts'
import { drive, get } from '../drive.ts'
import type { Steps } from '../drive.ts'
import type { Attach, Fid } from '../fid.ts'
import type { File } from '../namespace.ts'
import { afterWrite, mayCreate, mayOpen, mayWalk, newFile } from '../permission.ts'
import type { User } from '../permission.ts'
import type { Request } from '../request.ts'
import type { Session } from '../session.ts'
import { NOTHING, checkName, directory, keep, mayChange, qidOf, rights } from './common.ts'
import type { Handlers } from './handlers.ts'

/** Bytes of one Rreaddir at most: a listing is made in one turn of the loop, and what stands in the way of others must be short. */
const LISTING = 64 * 1024
/** What a translator is told of how to open; the rest of Linux's bits is the client's own business. */
const OPEN = O.ACCMODE | O.TRUNC | O.APPEND | O.NONBLOCK | O.SYNC | O.NOATIME

export const io: Pick<Handlers, 'Tlopen' | 'Tlcreate' | 'Tread' | 'Twrite' | 'Treaddir' | 'Tfsync'> = {
  Tlopen(session, fields, request) {
    const fid = session.file(fields.fid, 'open')
    return keep(fid.file, drive(open(session, fid, fields.flags, request)))
  },
  Tlcreate(session, fields, request) {
    const fid = session.file(fields.fid, 'create')
    return keep(fid.file, drive(create(session, fid, fields, request)))
  },

  Tread(session, { fid: number, offset, count }, request) {
    const fid = session.fid(number, 'read')
    if (fid.xattr) return readXattr(fid, offset, Math.min(count, session.msize - PAYLOAD_HEAD))
    const handle = opened(fid, O.RDONLY, 'read')
    if (fid.file.isDirectory) throw errno('EISDIR', 'read')
    if (offset > Number.MAX_SAFE_INTEGER) throw errno('EINVAL', 'read', 'offset')
    const into = payload(session, fid, request, Math.min(count, session.msize - PAYLOAD_HEAD))
    return lent(session, fid, request, () => bounded(handle.read(into, offset, request), into.length))
  },

  Twrite(session, { fid: number, offset, data }, request) {
    const fid = session.fid(number, 'write')
    if (fid.xattr) return { count: writeXattr(fid, offset, data) }
    const handle = opened(fid, O.WRONLY, 'write')
    if (data.length === 0) return { count: 0 }
    if (offset + data.length > Number.MAX_SAFE_INTEGER) throw errno('EFBIG', 'write', 'offset')
    const written = session.using(fid, request, () => fid.attach.user.uid === 0 ? handle.write(data, offset, request) : drive(writeAs(fid, handle, data, offset, request)))
    return written instanceof Promise ? written.then((count) => checked(count, data)) : checked(written, data)
  },

  Treaddir(session, { fid: number, offset, count }, request) {
    const fid = session.file(number, 'readdir')
    if (!fid.file.isDirectory) throw errno('ENOTDIR', 'readdir')
    const handle = opened(fid, O.RDONLY, 'readdir')
    const into = payload(session, fid, request, Math.min(count, session.msize - PAYLOAD_HEAD, LISTING))
    return keep(fid.file, lent(session, fid, request, () => drive(list(session, fid, handle, offset, into, request))))
  },

  Tfsync(session, { fid: number, datasync }, request) {
    const fid = session.file(number, 'fsync'), { handle } = fid
    if (!handle) return NOTHING
    const synced = session.using(fid, request, () => handle.fsync(datasync !== 0, request))
    return synced instanceof Promise ? synced.then(() => NOTHING) : NOTHING
  },
}

/** The handle of a fid that is open for this: EBADF. */
function opened(fid: Fid, want: number, op: string): Handle {
  const mode = fid.flags & O.ACCMODE
  if (!fid.handle || (mode !== want && mode !== O.RDWR)) throw errno('EBADF', op)
  return fid.handle
}
function checked(count: number, data: Uint8Array): Fields<'Rwrite'> {
  if (!(count > 0 && count <= data.length)) throw errno('EIO', `write: a translator wrote ${count} of ${data.length} bytes`)
  return { count }
}

/** Room for a payload of at most `count` bytes. A fid whose last read had to wait gets a buffer of its own. */
function payload(session: Session, fid: Fid, request: Request, count: number): Buffer {
  if (fid.waits) {
    request.bytes = Buffer.allocUnsafeSlow(PAYLOAD_HEAD + count)
    request.at = 0
  } else {
    request.bytes = session.connection.room(PAYLOAD_HEAD + count)
    request.at = session.connection.at
  }
  return request.bytes.subarray(request.at + PAYLOAD_HEAD, request.at + PAYLOAD_HEAD + count)
}
/** What a translator read, if it is bytes and no more of them than were asked for: else EIO, for no client could take that. */
function bounded(got: Awaitable<Uint8Array>, count: number): Awaitable<Uint8Array> {
  if (got instanceof Promise) return got.then((bytes) => bounded(bytes, count))
  if (got instanceof Uint8Array && got.length <= count) return got
  throw errno('EIO', `read: a translator gave ${got instanceof Uint8Array ? `${got.length} bytes for ${count}` : `${typeof got} for bytes`}`)
}
/** Runs what fills it. Where that takes longer than this turn, the scratch it stands in is not used again. */
function lent(session: Session, fid: Fid, request: Request, f: () => Awaitable<Uint8Array>): Awaitable<Uint8Array> {
  const got = session.using(fid, request, f)
  const waits = got instanceof Promise
  if (waits && !fid.waits) session.connection.lend()
  else if (!waits && fid.waits) request.bytes = null      // nothing is lent: it is copied to where replies stand
  fid.waits = waits
  return got
}

function readXattr({ xattr }: Fid, offset: number, count: number): Uint8Array {
  if (!xattr || xattr.writing) throw errno('EBADF', 'read')
  return xattr.value.subarray(Math.min(offset, xattr.value.length), Math.min(offset + count, xattr.value.length))
}
function writeXattr({ xattr }: Fid, offset: number, data: Uint8Array): number {
  if (!xattr?.writing) throw errno('EBADF', 'write')
  if (offset + data.length > xattr.size) throw errno('ENOSPC', 'write', `more than the ${xattr.size} bytes announced`)
  xattr.value ??= new Uint8Array(xattr.size)
  xattr.value.set(data, offset)
  xattr.got += data.length
  return data.length
}

/** A write by somebody who may not leave setuid and setgid behind. */
function* writeAs({ attach }: Fid, handle: Handle, data: Uint8Array, offset: number, request: Request): Steps<number> {
  yield* unprivileged(attach.user, yield* get(rights(handle, attach.user)), handle)
  return yield* get(handle.write(data, offset, request))
}
/** Takes off setuid and setgid, where they would not outlive a write or truncation by this user. */
function* unprivileged(user: User, attr: Attr, of: Node | Handle): Steps<void> {
  const mode = afterWrite(user, attr)
  if (mode !== null) yield* get(of.setattr({ mode }))
}

function* open(session: Session, fid: Fid, flags: number, request: Request): Steps<Fields<'Rlopen'>> {
  const { attach, file } = fid
  if (fid.handle || fid.state === 'opening') throw errno('EINVAL', 'open', `${fid.number} is open`)
  room(session, 'open')
  fid.state = 'opening'
  try {
    hold(session, fid, flags, yield* openAs(attach, file, flags, fid.name, request))
  } finally {
    if (fid.state === 'opening') fid.state = 'ready'
  }
  return { qid: qidOf(file), iounit: 0 }
}

/** A handle of a file that is there, as this client may have it. */
function* openAs(attach: Attach, { node }: File, flags: number, name: string, request: Request): Steps<Handle> {
  const { user } = attach, attr = yield* get(rights(node, user))
  mayOpen(user, attr, flags, name)
  if ((flags & O.ACCMODE) !== O.RDONLY || flags & O.TRUNC) mayChange(attach, 'open')
  if (flags & O.TRUNC) yield* unprivileged(user, attr, node)
  return yield* get(node.open(flags & OPEN, request))
}
/** Refuses one open file more than there may be; those being opened count when they are. */
function room(session: Session, op: string): void {
  const { handles } = session.shared.limits
  if (session.handles >= handles) throw errno('EMFILE', op, `more than ${handles} open files`)
}
/** Gives a fid the handle that an open made, unless it is gone by then. */
function hold(session: Session, fid: Fid, flags: number, handle: Handle): void {
  const { mount } = fid.file
  if (fid.state === 'gone') {
    mount.close(handle)
    throw errno('EBADF', 'open', `${fid.number} was clunked`)
  }
  session.handles++
  fid.handle = handle
  fid.flags = flags
}

function* create(session: Session, fid: Fid, { name, flags, mode, gid }: Fields<'Tlcreate'>, request: Request): Steps<Fields<'Rlcreate'>> {
  if (fid.handle || fid.state === 'opening') throw errno('EINVAL', 'create', `${fid.number} is open`)
  room(session, 'create')
  const dir = directory(fid, 'create')
  checkName(name, 'create')
  fid.state = 'opening'
  try {
    const { file, handle } = yield* make(session, fid, dir, name, flags, mode, gid, request)
    try {
      hold(session, fid, flags, handle)
      fid.reachedBy(dir, name)
      fid.become(file.retain())
    } finally { file.release() }
  } finally {
    if (fid.state === 'opening') fid.state = 'ready'
  }
  return { qid: qidOf(fid.file), iounit: 0 }
}

/** A new file, or without O_EXCL the one that is there. Two clients at once: whoever comes second opens the first one's. */
function* make(session: Session, { attach }: Fid, dir: File, name: string, flags: number, mode: number, gid: number, request: Request): Steps<{ file: File; handle: Handle }> {
  const { user } = attach, { namespace } = session.shared
  const exclusive = (flags & O.EXCL) !== 0
  if (dir.place?.children.has(name)) throw errno(exclusive ? 'EEXIST' : 'EISDIR', 'create', name)
  const dirAttr = yield* get(rights(dir.node, user))
  mayWalk(user, dirAttr, name)
  for (let tries = 0; ; tries++) {
    let refused: unknown
    try {
      mayCreate(user, dirAttr, name)
      mayChange(attach, 'create')
      const fresh = newFile(user, dirAttr, mode & 0o7777, gid, false)
      const { node, handle } = yield* get(dir.node.create(name, flags & OPEN & ~O.TRUNC, fresh.mode, fresh.owner))
      return { file: yield* get(dir.mount.adopt(node)), handle }
    } catch (e) {
      if (isErrno(e, 'EEXIST') ? exclusive : !isErrno(e, 'EACCES') && !isErrno(e, 'EROFS')) throw e
      refused = e
    }
    let file: File
    try { file = yield* get(namespace.step(dir, name)) } catch (e) {
      if (!isErrno(e, 'ENOENT')) throw e
      if (isErrno(refused, 'EEXIST') && tries < 8) continue
      throw refused
    }
    try {
      if (exclusive) throw errno('EEXIST', 'create', name)
      if (file.isDirectory) throw errno('EISDIR', 'create', name)
      const handle = yield* openAs(attach, file, flags, name, request)
      return { file: file.retain(), handle }
    } finally { file.release() }
  }
}

// Treaddir. Cookies of '.' and '..' and of entries that are mount points are 1..k; a translator's own stand k higher, but
// for the few below 2^63 that have no room: those are all the last one.

const LAST = (1n << 63n) - 1n

function* list(session: Session, fid: Fid, handle: Handle, offset: bigint, into: Buffer, request: Request): Steps<Uint8Array> {
  const { file } = fid, { place } = file
  if (offset > LAST) throw errno('EINVAL', 'readdir', 'offset')
  const over = place ? [...place.children] : [], base = BigInt(2 + over.length)
  const sink = new Sink(into, file, base)
  let full = false
  if (offset < base) {
    if (offset === 0n) full = !sink.put(file.wire, QT.DIR, 1n, Dt.DIR, '.')
    if (!full && offset < 2n) {
      const above = file === fid.attach.root ? file.retain() : yield* get(session.shared.namespace.up(file))
      full = !sink.put(above.wire, QT.DIR, 2n, Dt.DIR, '..')
      above.release()
    }
    for (let i = Math.max(0, Number(offset) - 2); i < over.length && !full; i++) {
      const [name, { file: { wire, node } }] = over[i]!
      full = !sink.put(wire, node.qid.type, BigInt(3 + i), (node.qid.type & QT.DIR) !== 0 ? Dt.DIR : Dt.REG, name)
    }
  }
  try {
    if (!full) full = !(yield* get(handle.readdir(offset <= base ? 0n : offset - base, sink, 0, request)))
  } finally { sink.closed = true }
  if (full && sink.end === 0) throw errno('EINVAL', 'readdir', 'no entry fits')
  return into.subarray(0, sink.end)
}

class Sink implements DirSink {
  end = 0
  /** What it wrote to may be another's by now. */
  closed = false
  constructor(private readonly into: Buffer, private readonly dir: File, private readonly base: bigint) {}
  add(path: bigint, type: number, cookie: bigint, name: string | Uint8Array): boolean {
    if (this.closed) return false
    const { dir } = this
    if (dir.place?.children.has(typeof name === 'string' ? name : Buffer.from(name).toString())) return true
    const at = cookie + this.base
    return this.put(dir.mount.wire(dir.node.volume, path), qidTypeOf(type), at > LAST ? LAST : at, type, name)
  }
  put(wire: bigint, qtype: number, cookie: bigint, type: number, name: string | Uint8Array): boolean {
    const end = putDirent(this.into, this.end, this.into.length, qtype, 0, wire, cookie, type, name)
    if (end < 0) return false
    this.end = end
    return true
  }
}
