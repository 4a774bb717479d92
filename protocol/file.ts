// A fid as an object: what a program does with a file on a server.

import type { CallOptions, Client } from './client.ts'
import { allocate } from './bytes.ts'
import { AT_REMOVEDIR, Attrs, IOHDRSZ, MAXWELEM, NONUNAME, O, QT, SetAttrs, XATTR_REPLACE } from './constants.ts'
import { direntsOf } from './dirent.ts'
import { errno, isErrno } from './errno.ts'
import { bytesOfName, nameOfBytes } from './names.ts'
import type { Attr, Dirent, Flock, LockStatus, Qid, SetAttr, StatFs, Time } from './types.ts'

/** Messages of one read or write in flight together. */
const WINDOW = 16
/** What stream() reads at a time, at most, and how many of those ahead. */
const STREAM_PIECE = 256 * 1024
const STREAM_AHEAD = 4
/** No attribute of Linux is longer, and no list of them. A server's claim beyond is not believed. */
const XATTR_MOST = 1024 * 1024

export interface StreamOptions extends CallOptions {
  readonly signal?: AbortSignal
  /** Where to end, bytes from the start of the file. Default: where the file does. */
  readonly end?: number
}
export interface ReaddirOptions extends CallOptions {
  /** Yield '.' and '..' too. */
  readonly dots?: boolean
}

/**
 * A file on the server, by a fid that is this object's until clunk(). After that every call is EBADF.
 * Names are one path element each and hold no '/'. A gid that is left out is the server's choice.
 */
export class File implements AsyncDisposable {
  readonly client: Client
  /** As of the walk or open that made it. */
  readonly qid: Qid
  readonly #fid: number
  #dead = false
  /** Open flags; undefined before open(). */
  protected flags: number | undefined
  /** Bytes of one read or write. */
  protected piece: number

  /** Of a fid that is known to exist. */
  constructor(client: Client, fid: number, qid: Qid) {
    this.client = client
    this.qid = qid
    this.#fid = fid
    this.piece = client.msize - IOHDRSZ
  }
  get fid(): number {
    if (this.#dead) throw errno('EBADF', 'use of a file after its clunk')
    return this.#fid
  }

  /** The file that is reached by these names, any number of them; by none, the same file unopened. ENOENT ENOTDIR */
  async walk(...names: string[]): Promise<File> {
    let from = this.fid
    const fid = this.client.takeFid()
    let qid = this.qid
    for (let at = 0; at === 0 || at < names.length; at += MAXWELEM) {
      const chunk = names.slice(at, at + MAXWELEM)
      try {
        const { qids } = await this.client.rpc('Twalk', { fid: from, newfid: fid, names: chunk })
        qid = qids.at(-1) ?? qid
        if (qids.length < chunk.length) throw errno(qid.type & QT.DIR ? 'ENOENT' : 'ENOTDIR', 'walk', names.slice(0, at + qids.length + 1).join('/'))
      } catch (error) {
        if (from === fid) await this.of(fid, qid).#giveUp()
        else this.client.freeFid(fid)
        throw error
      }
      from = fid
    }
    return this.of(fid, qid)
  }
  /** What walk() makes of a fid. */
  protected of(fid: number, qid: Qid): File { return new File(this.client, fid, qid) }
  /** The same file, unopened. */
  clone(): Promise<File> { return this.walk() }

  /** Opens it, for good. flags: O. */
  async open(flags: number = O.RDONLY, options?: CallOptions): Promise<this> {
    const { iounit } = await this.client.rpc('Tlopen', { fid: this.fid, flags }, options)
    this.opened(flags, iounit)
    return this
  }
  /** A new file in this directory, opened; an existing one unless flags has O.EXCL. This file stays what it is. */
  async create(name: string, flags: number, mode: number, gid: number = NONUNAME): Promise<File> {
    const dir = await this.clone()
    try {
      const { qid, iounit } = await this.client.rpc('Tlcreate', { fid: dir.fid, name, flags, mode, gid })
      const file = new File(this.client, dir.fid, qid)
      file.opened(flags, iounit)
      return file
    } catch (error) {
      await dir.#giveUp()
      throw error
    }
  }
  protected opened(flags: number, iounit: number): void {
    this.flags = flags
    if (iounit > 0) this.piece = Math.min(this.piece, iounit)
  }

  /** Up to `length` bytes from `offset`; fewer only where the file ends. Memory is taken for all of `length`. */
  async read(offset: number, length: number, options?: CallOptions): Promise<Uint8Array> {
    const bytes = allocate(length)
    return bytes.subarray(0, await this.readInto(bytes, offset, options))
  }
  /** Fills `into` from `offset`: how many bytes there were. It is lent until this settles. */
  async readInto(into: Uint8Array, offset: number, options?: CallOptions): Promise<number> {
    notBelow0(offset)
    let end = offset + into.length
    await this.#inPieces(into.length, WINDOW, async (start, stop) => {
      if (offset + start >= end) return
      const count = await this.#fill(into.subarray(start, stop), offset + start, options)
      if (count < stop - start) end = Math.min(end, offset + start + count)
    })
    return end - offset
  }
  /** One piece, or less of it where the file ends. */
  async #fill(into: Uint8Array, offset: number, options?: CallOptions): Promise<number> {
    let done = 0
    while (done < into.length) {
      const count = await this.client.read(this.fid, offset + done, done === 0 ? into : into.subarray(done), options)
      if (count === 0) break
      done += count
    }
    return done
  }

  /** Writes all of it. After an error any part of it may have been written. The bytes are lent until this settles. */
  async write(bytes: Uint8Array, offset: number, options?: CallOptions): Promise<number> {
    notBelow0(offset)
    const appends = this.flags !== undefined && (this.flags & O.APPEND) !== 0   // pieces that race would change places
    await this.#inPieces(bytes.length, appends ? 1 : WINDOW, async (start, stop) => {
      for (let at = start; at < stop;) {
        const { count } = await this.client.rpc('Twrite', { fid: this.fid, offset: offset + at, data: bytes.subarray(at, stop) }, options)
        if (count === 0 || count > stop - at) throw errno('EPROTO', `the server wrote ${count} of ${stop - at} bytes`)
        at += count
      }
    })
    return bytes.length
  }

  /** Runs `work` on every piece of `length` bytes, `window` of them at a time. Settles when none runs any more. */
  async #inPieces(length: number, window: number, work: (start: number, stop: number) => Promise<void>): Promise<void> {
    if (length <= this.piece) return length > 0 ? work(0, length) : undefined
    let next = 0
    let failed = false
    const lane = async () => {
      while (next < length && !failed) {
        const start = next
        next = Math.min(length, start + this.piece)
        await work(start, next).catch((error: unknown) => {
          failed = true
          throw error
        })
      }
    }
    const lanes = await Promise.allSettled(Array.from({ length: Math.min(window, Math.ceil(length / this.piece)) }, lane))
    for (const lane of lanes) if (lane.status === 'rejected') throw lane.reason
  }

  /** The file from `offset` on, in buffers that are the caller's to keep; some are read ahead. */
  async *stream(offset = 0, { signal, end = Infinity }: StreamOptions = {}): AsyncGenerator<Uint8Array, void, void> {
    notBelow0(offset)
    const left = new AbortController()
    const options = { signal: signal ? AbortSignal.any([signal, left.signal]) : left.signal }
    const ahead: Promise<{ bytes: Uint8Array; last: boolean }>[] = []
    const readAhead = () => {
      while (ahead.length < STREAM_AHEAD && offset < end) {
        const bytes = allocate(Math.min(this.piece, STREAM_PIECE, end - offset))
        const piece = this.#fill(bytes, offset, options).then((count) => ({ bytes: bytes.subarray(0, count), last: count < bytes.length }))
        piece.catch(() => {})                              // told when its turn comes
        ahead.push(piece)
        offset += bytes.length
      }
    }
    try {
      for (readAhead(); ahead.length > 0; readAhead()) {
        const { bytes, last } = await ahead.shift()!
        if (bytes.length > 0) yield bytes
        if (last) return void await Promise.allSettled(ahead)
      }
    } finally {
      left.abort()                                         // nobody waits for what was read ahead
      await Promise.allSettled(ahead)
    }
  }

  /** The entries of a directory; of one that is not open, by a fid of its own. */
  async *readdir({ dots = false, signal }: ReaddirOptions = {}): AsyncGenerator<Dirent, void, void> {
    const dir = this.flags === undefined ? await this.clone() : this
    try {
      if (dir !== this) await dir.open(O.RDONLY | O.DIRECTORY)
      for (let offset = 0n;;) {
        const entries = await dir.entries(offset, { signal })
        if (entries.length === 0) return
        const from = offset
        for (const entry of entries) {
          offset = entry.cookie
          if (dots || (entry.name !== '.' && entry.name !== '..')) yield entry
        }
        if (offset === from) throw errno('EPROTO', 'the server lists the same entries again')
      }
    } finally {
      if (dir !== this) await dir.#giveUp()
    }
  }

  /** Those after a cookie, of a directory that is open: as many as one message brings. */
  protected async entries(offset: bigint, options: CallOptions): Promise<Dirent[]> {
    return direntsOf((await this.client.rpc('Treaddir', { fid: this.fid, offset, count: this.piece }, options)).data)
  }

  /** mask: Attrs. */
  async getattr(mask: number = Attrs.ALL): Promise<Attr> { return this.client.rpc('Tgetattr', { fid: this.fid, mask }) }

  async setattr({ mode, uid, gid, size, atime, mtime, ctime }: SetAttr): Promise<void> {
    const bit = (value: unknown, mask: number) => value === undefined ? 0 : mask
    const time = (value: Time | 'now' | undefined) => typeof value === 'object' ? value : { sec: 0, nsec: 0 }
    const valid = bit(mode, SetAttrs.MODE) | bit(uid, SetAttrs.UID) | bit(gid, SetAttrs.GID) | bit(size, SetAttrs.SIZE) |
      bit(atime, SetAttrs.ATIME) | bit(mtime, SetAttrs.MTIME) | bit(ctime, SetAttrs.CTIME) |
      (typeof atime === 'object' ? SetAttrs.ATIME_SET : 0) | (typeof mtime === 'object' ? SetAttrs.MTIME_SET : 0)
    await this.client.rpc('Tsetattr', {
      fid: this.fid, valid, mode: mode ?? 0, uid: uid ?? NONUNAME, gid: gid ?? NONUNAME, size: size ?? 0, atime: time(atime), mtime: time(mtime),
    })
  }

  async statfs(): Promise<StatFs> { return this.client.rpc('Tstatfs', { fid: this.fid }) }
  async fsync(dataOnly = false, options?: CallOptions): Promise<void> {
    await this.client.rpc('Tfsync', { fid: this.fid, datasync: dataOnly ? 1 : 0 }, options)
  }
  async readlink(): Promise<string> { return (await this.client.rpc('Treadlink', { fid: this.fid })).target }

  async mkdir(name: string, mode: number, gid: number = NONUNAME): Promise<Qid> {
    return (await this.client.rpc('Tmkdir', { dfid: this.fid, name, mode, gid })).qid
  }
  async symlink(name: string, target: string, gid: number = NONUNAME): Promise<Qid> {
    return (await this.client.rpc('Tsymlink', { dfid: this.fid, name, target, gid })).qid
  }
  /** mode: with S.IFMT. */
  async mknod(name: string, mode: number, major = 0, minor = 0, gid: number = NONUNAME): Promise<Qid> {
    return (await this.client.rpc('Tmknod', { dfid: this.fid, name, mode, major, minor, gid })).qid
  }
  /** One more name, in this directory, for `target`. */
  async link(target: File, name: string): Promise<void> { await this.client.rpc('Tlink', { dfid: this.fid, fid: target.fid, name }) }
  /** Moves this file, whatever its name is now. */
  async rename(dir: File, name: string): Promise<void> { await this.client.rpc('Trename', { fid: this.fid, dfid: dir.fid, name }) }
  /** Moves what is called `name` in this directory. */
  async renameat(name: string, dir: File, newName: string): Promise<void> {
    await this.client.rpc('Trenameat', { olddirfid: this.fid, oldname: name, newdirfid: dir.fid, newname: newName }).catch(async (error) => {
      if (!isErrno(error, 'EOPNOTSUPP')) throw error
      const file = await this.walk(name)                   // an old server
      await file.#ended(() => file.rename(dir, newName))
    })
  }
  /** flags: AT_REMOVEDIR for a directory, else 0. */
  async unlinkat(name: string, flags = 0): Promise<void> {
    await this.client.rpc('Tunlinkat', { dirfid: this.fid, name, flags }).catch(async (error) => {
      if (!isErrno(error, 'EOPNOTSUPP')) throw error
      const file = await this.walk(name)                   // an old server, whose Tremove takes either
      const isDir = (file.qid.type & QT.DIR) !== 0
      await file.#ended(async () => {
        if (isDir !== ((flags & AT_REMOVEDIR) !== 0)) throw errno(isDir ? 'EISDIR' : 'ENOTDIR', 'unlinkat', name)
        await file.remove()
      })
    })
  }

  /** ENODATA EOPNOTSUPP */
  async getxattr(name: string): Promise<Uint8Array> {
    const fid = this.client.takeFid()
    let size: number
    try {
      size = (await this.client.rpc('Txattrwalk', { fid: this.fid, newfid: fid, name })).size
    } catch (error) {
      this.client.freeFid(fid)
      throw error
    }
    const value = new File(this.client, fid, this.qid)
    return value.#ended(async () => {
      if (size > XATTR_MOST) throw errno('E2BIG', 'getxattr', name)
      const bytes = await value.read(0, size)
      if (bytes.length < size) throw errno('EIO', 'getxattr', name)
      return bytes
    })
  }
  async listxattr(): Promise<string[]> {
    const list = await this.getxattr('')
    const names: string[] = []
    for (let at = 0, end; at < list.length; at = end + 1) {
      end = list.indexOf(0, at)
      if (end < 0) end = list.length
      names.push(nameOfBytes(list, at, end))
    }
    return names
  }
  /** flags: XATTR_CREATE, XATTR_REPLACE or 0. Most of its errors come when all is said: E2BIG ENOSPC EEXIST ENODATA EOPNOTSUPP */
  async setxattr(name: string, value: Uint8Array, flags = 0): Promise<void> {
    const target = await this.clone()
    await target.#ended(async () => {
      await this.client.rpc('Txattrcreate', { fid: target.fid, name, attrSize: value.length, flags })
      await target.write(value, 0)
    })
  }
  /** ENODATA */
  removexattr(name: string): Promise<void> { return this.setxattr(name, new Uint8Array(0), XATTR_REPLACE) }

  /** With Lock.BLOCK in its flags the answer may take as long as the lock does. */
  async lock(want: Flock, options?: CallOptions): Promise<LockStatus> {
    return (await this.client.rpc('Tlock', { fid: this.fid, ...want }, options)).status as LockStatus
  }
  /** The lock that `want` would meet; type UNLCK: none. */
  async getlock({ flags, ...want }: Flock): Promise<Flock> { return { ...await this.client.rpc('Tgetlock', { fid: this.fid, ...want }), flags } }

  /** Removes the file, and ends this object whether that succeeds or not. */
  remove(): Promise<void> { return this.#finish('Tremove') }
  /** Ends this object, whether it succeeds or not: what the server had put off may fail now. A second time it does nothing. */
  async clunk(): Promise<void> { if (!this.#dead) await this.#finish('Tclunk') }
  async #finish(name: 'Tclunk' | 'Tremove'): Promise<void> {
    const { fid } = this
    this.#dead = true
    try {
      await this.client.rpc(name, { fid })
    } finally {
      this.client.freeFid(fid)                             // an Rlerror frees it too
    }
  }
  /** What `work` gives, and then clunk(). Of two errors the first is told. */
  async #ended<T>(work: () => Promise<T>): Promise<T> {
    let result: T
    try { result = await work() } catch (error) {
      await this.#giveUp()
      throw error
    }
    await this.clunk()
    return result
  }
  /** clunk(), where another error is to be told. */
  async #giveUp(): Promise<void> { await this.clunk().catch(() => {}) }
  /** clunk(), where there still is something to end. */
  async [Symbol.asyncDispose](): Promise<void> { if (!this.client.closed) await this.clunk() }
}

/** The codec would say so too, but of the first part only, when others are on their way. */
function notBelow0(offset: number): void { if (!(offset >= 0)) throw errno('EINVAL', `an offset of ${offset}`) }
