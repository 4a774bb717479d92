// Tlopen, Tlcreate, Tread, Twrite, Treaddir, Tfsync: files and directories that are open.

import { Dt, O, PAYLOAD_HEAD, QT, entryName, errno, putDirent, qidTypeOf } from 'ninep'
import type { Fields } from 'ninep'
import type { Awaitable, DirSink, Handle } from '../../translators/translator.ts'
import { drive, get } from '../drive.ts'
import type { Steps } from '../drive.ts'
import type { Fid } from '../fid.ts'
import type { File, Place } from '../namespace.ts'
import type { Request } from '../request.ts'
import type { Session } from '../session.ts'
import { NOTHING, keep, namesOver, nothing, rights } from './common.ts'
import type { Handlers } from './handlers.ts'
import { become, create, open, opened, unprivileged } from './opening.ts'

/** Bytes of one listing at most: a listing is made in one turn of the loop, and what stands in the way of others must be short. */
export const LISTING = 64 * 1024
export const io: Pick<Handlers, 'Tlopen' | 'Tlcreate' | 'Tread' | 'Twrite' | 'Treaddir' | 'Tfsync'> = {
  Tlopen(session, fields, request) {
    const fid = session.file(fields.fid, 'open')
    return keep(fid.file, drive(open(session, fid, fields.flags, request)))
  },
  Tlcreate(session, fields, request) {
    const fid = session.file(fields.fid, 'create')
    const { name, flags, mode, gid } = fields
    return keep(fid.file, drive(become(session, fid, name, flags, (dir) => create(session, fid.attach, dir, name, flags, () => ({ mode, gid }), request))))
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
    return nothing(session.using(fid, request, () => handle.fsync(datasync !== 0, request)))
  },
}

function checked(count: number, data: Uint8Array): Fields<'Rwrite'> {
  if (!(count > 0 && count <= data.length)) throw errno('EIO', `write: a translator wrote ${count} of ${data.length} bytes`)
  return { count }
}

/** Room for a payload of at most `count` bytes. A fid whose last read had to wait gets a buffer of its own. */
export function payload(session: Session, fid: Fid, request: Request, count: number): Buffer {
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
export function lent(session: Session, fid: Fid, request: Request, f: () => Awaitable<Uint8Array>): Awaitable<Uint8Array> {
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
// Treaddir. Cookies of '.' and '..' and of entries that are mount points are 1..k; a translator's own stand k higher, but
// for the few below 2^63 that have no room: those are all the last one. Mounts that come and go while a listing is under way
// are seen by the next: else its cookies would move.

const LAST = (1n << 63n) - 1n
const NONE: readonly Place[] = []

function* list(session: Session, fid: Fid, handle: Handle, offset: bigint, into: Buffer, request: Request): Steps<Uint8Array> {
  const { file } = fid, { place } = file
  if (offset > LAST) throw errno('EINVAL', 'readdir', 'offset')
  if (offset === 0n) fid.over = place && place.children.size > 0 ? [...place.children.values()] : NONE
  const { over } = fid, base = BigInt(2 + over.length)
  const sink = new Sink(into, file, over)
  let full = false
  if (offset < base) {
    if (offset === 0n) full = !sink.put(file.wire, QT.DIR, 1n, Dt.DIR, '.')
    if (!full && offset < 2n) {
      const above = file === fid.attach.root ? file.retain() : yield* get(session.shared.namespace.up(file))
      full = !sink.put(above.wire, QT.DIR, 2n, Dt.DIR, '..')
      above.release()
    }
    for (let i = Math.max(0, Number(offset) - 2); i < over.length && !full; i++) {
      const { name, file: { wire, node }, stands } = over[i]!
      if (stands) full = !sink.put(wire, node.qid.type, BigInt(3 + i), (node.qid.type & QT.DIR) !== 0 ? Dt.DIR : Dt.REG, name)
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
  readonly #names: ReadonlySet<string> | null
  readonly #base: bigint
  constructor(private readonly into: Buffer, private readonly dir: File, over: readonly Place[]) {
    this.#names = namesOver(over)
    this.#base = BigInt(2 + over.length)
  }
  add(path: bigint, type: number, cookie: bigint, name: string | Uint8Array): boolean {
    if (this.closed) return false
    const { dir } = this
    if (this.#names?.has(entryName(name))) return true
    const at = cookie + this.#base
    return this.put(dir.mount.wire(dir.node.volume, path), qidTypeOf(type), at > LAST ? LAST : at, type, name)
  }
  put(wire: bigint, qtype: number, cookie: bigint, type: number, name: string | Uint8Array): boolean {
    const end = putDirent(this.into, this.end, this.into.length, qtype, 0, wire, cookie, type, name)
    if (end < 0) return false
    this.end = end
    return true
  }
}
