// A tree: the operations on names, each one change. They are made in the turn they are asked for in, which is all that keeps their order:
// what has to be looked up is in memory, or LevelDB has it at once.

import { AT_REMOVEDIR, errno, NAME_MAX, nameLength, S } from 'ninep'
import type { SetAttr, StatFs, Time } from 'ninep'
import { ACL_ACCESS, ACL_DEFAULT, chmodAcl, inherit } from '../acl.ts'
import { now } from '../clock.ts'
import { after } from '../forward.ts'
import type { Awaitable, Owner, Volume } from '../translator.ts'
import { Change } from './change.ts'
import { CHUNK } from './chunks.ts'
import { bytesOf, truncate } from './data.ts'
import { Epochs } from './epochs.ts'
import { File, Files } from './file.ts'
import type { Instance } from './instance.ts'
import { inodeKey, nameKey, orphanKey, parentKey, stateKey, xattrKey } from './keys.ts'
import { cutting, reclaim } from './reclaim.ts'
import { PUT, TRIM } from './record.ts'
import type { Op } from './record.ts'
import { decodeDent, decodeInode, encodeInode, encodeState, NAMES } from './values.ts'
import type { Dent, Inode, Xattr } from './values.ts'

/** Inodes that are kept in memory though nobody has them. */
const KEPT = 50_000
/** More chunks than this go in pieces. */
export const MANY = 64
const ROOT = 1
/** Files that there may be, for statfs: inode numbers have 40 bits. */
const MOST = 2 ** 40
const MAGIC = 0x39667472                                  // '9ftr'

/** Operations that make an empty tree. */
export function emptyTree(t: number, mode: number, { uid, gid }: Owner): Op[] {
  const root = { ...blank(S.IFDIR | mode, { uid, gid }, now()), birth: 1, nlink: 2, parent: ROOT }
  return [
    { op: PUT, key: stateKey(t), value: encodeState({ s: 0, e: 1, next: 2, root: ROOT, origin: 0, at: 0, lists: [1] }) },
    { op: PUT, key: inodeKey(t, ROOT), value: encodeInode(root) },
  ]
}
function blank(mode: number, { uid, gid }: Owner, time: Time, rdev = 0n): Inode {
  return {
    birth: 0, prev: 0, mode, uid, gid, nlink: 1, size: 0, used: 0, version: 1, rdev, atime: time, mtime: time, ctime: time, btime: time,
    parent: 0, cookie: 0, flags: 0, xattrs: null, inline: null,
  }
}
const next = (version: number): number => version === 0xffffffff ? 1 : version + 1
/** The content is another. */
export function modified(v: Inode, time: Time): Inode { return { ...v, version: next(v.version), mtime: time, ctime: time } }

export class Tree {
  readonly files: Files
  readonly volume: Volume
  readonly epochs: Epochs
  /** While all of it is made another, nobody sees anything. */
  gate: Promise<void> | null = null
  /** Counts rollbacks: what was being deleted before one may be needed after it. */
  era = 0
  constructor(readonly instance: Instance, readonly t: number) {
    this.volume = { label: `tree:${instance.uuid.toString('hex')}:${t}` }
    this.epochs = new Epochs(this)
    instance.pause = (open) => {
      if (this.gate) return
      const gate = this.gate = open.finally(() => { if (this.gate === gate) this.gate = null })
      gate.catch(() => {})
    }
    this.files = new Files(KEPT, (ino) => this.#load(ino))
    this.files.retain(this.files.get(ROOT))
  }
  get root(): File { return this.files.get(ROOT) }
  change(): Change { return new Change(this.instance, this.t) }

  #load(ino: number): File {
    const value = this.instance.store.get(inodeKey(this.t, ino))
    if (!value || value.length === 8) throw errno('EIO', 'tree: there is no inode', String(ino))
    const file = new File(this.t, ino, decodeInode(value))
    file.orphan = file.v.nlink === 0
    return file
  }

  /** Files in memory are as the database has them. */
  refresh(): void {
    for (const file of this.files) {
      const value = this.instance.store.get(file.key)
      file.forget()
      if (value && value.length > 8) {
        file.set(decodeInode(value))
        file.orphan = file.v.nlink === 0
      } else {
        file.gone = true
        file.v = { ...file.v, nlink: 0 }
      }
      if (file.refs === 0) this.files.forget(file)
    }
  }

  /** What is under a name, or was: ino 0. ENOTDIR */
  #dent(dir: File, name: string, op: string): Dent | null {
    if (!dir.isDirectory) throw errno('ENOTDIR', op)
    let dent = dir.names.get(name)
    if (dent !== undefined || dir.complete) return dent ?? null
    if (nameLength(name) > NAME_MAX) return null
    const value = this.instance.store.get(nameKey(this.t, dir.ino, name))
    if (!value) dent = null
    else dent = decodeDent(value) ?? { birth: value.readUInt32BE(0), prev: value.readUInt32BE(4), ino: 0, cookie: 0, type: 0 }
    dir.name(name, dent)
    return dent
  }
  /** ENOENT; ESTALE: it is not the file expected. */
  #taken(dir: File, name: string, op: string, expect?: bigint): Dent {
    const dent = this.#dent(dir, name, op)
    if (!dent || dent.ino === 0) throw errno('ENOENT', op, name)
    if (expect !== undefined && BigInt(dent.ino) !== expect) throw errno('ESTALE', op, name)
    return dent
  }
  /** What was under a name that is free now. ENOENT: the directory is gone; EEXIST ENAMETOOLONG */
  #free(dir: File, name: string, op: string): Dent | null {
    const dent = this.#dent(dir, name, op)
    if (dir.v.nlink === 0) throw errno('ENOENT', op, name)
    if (dent && dent.ino > 0) throw errno('EEXIST', op, name)
    if (nameLength(name) > NAME_MAX) throw errno('ENAMETOOLONG', op, name)
    return dent
  }
  lookup(dir: File, name: string): File { return this.files.get(this.#taken(dir, name, 'walk').ino) }

  /** A new file under a name, retained for the caller. inline: the target of a symbolic link. */
  make(dir: File, name: string, mode: number, owner: Owner, op: string, rdev = 0n, inline: Buffer | null = null): Awaitable<File> {
    const old = this.#free(dir, name, op), time = now(), isDir = (mode & S.IFMT) === S.IFDIR
    const inherited = inherit((mode & S.IFMT) === S.IFLNK ? undefined : this.acl(dir, ACL_DEFAULT), mode, isDir)
    const change = this.change(), ino = this.instance.takeIno()
    const cookie = change.enter(dir, name, old, ino, mode & S.IFMT)
    const v = { ...blank(inherited.mode, owner, time, rdev), nlink: isDir ? 2 : 1, size: inline?.length ?? 0, parent: dir.ino, cookie, inline }
    const file = new File(this.t, ino, v)
    file.stored = false
    file.complete = isDir
    const acls: [string, Uint8Array][] = []
    if (inherited.access) acls.push([ACL_ACCESS, inherited.access])
    if (inherited.default) acls.push([ACL_DEFAULT, inherited.default])
    change.inode(file, acls.length > 0 ? this.#withXattrs(change, file, v, acls) : v)
    change.inode(dir, { ...modified(dir.v, time), size: dir.v.size + 1, nlink: dir.v.nlink + (isDir ? 1 : 0) })
    change.files = 1
    const done = change.commit()
    this.files.add(file)
    this.files.retain(file)
    return after(done, () => file)
  }

  link(file: File, dir: File, name: string): Awaitable<void> {
    const old = this.#free(dir, name, 'link')
    if (file.isDirectory) throw errno('EPERM', 'link', name)
    if (file.v.nlink === 0) throw errno('ENOENT', 'link', name)
    const change = this.change(), time = now(), { v } = file
    const cookie = change.enter(dir, name, old, file.ino, v.mode & S.IFMT)
    if (!(v.flags & NAMES)) change.set(parentKey(this.t, file.ino, v.parent, v.cookie))
    change.set(parentKey(this.t, file.ino, dir.ino, cookie))
    change.inode(file, { ...v, nlink: v.nlink + 1, flags: v.flags | NAMES, ctime: time })
    change.inode(dir, { ...modified(dir.v, time), size: dir.v.size + 1 })
    return change.commit()
  }

  unlink(dir: File, name: string, flags: number, expect?: bigint): Awaitable<void> {
    const dent = this.#taken(dir, name, 'unlinkat', expect), file = this.files.get(dent.ino)
    if (!file.isDirectory) {
      if (flags & AT_REMOVEDIR) throw errno('ENOTDIR', 'unlinkat', name)
    } else {
      if (!(flags & AT_REMOVEDIR)) throw errno('EISDIR', 'unlinkat', name)
      if (file.v.size > 0) throw errno('ENOTEMPTY', 'unlinkat', name)
    }
    const change = this.change(), time = now()
    change.leave(dir, name, dent)
    change.inode(dir, { ...modified(dir.v, time), size: dir.v.size - 1, nlink: dir.v.nlink - (file.isDirectory ? 1 : 0) })
    this.#unnamed(change, file, dir, dent.cookie, time)
    return change.commit()
  }
  /** A name of the file is gone; with the last one goes the file, once nobody has it. */
  #unnamed(change: Change, file: File, dir: File, cookie: number, time: Time): void {
    const v = change.of(file), nlink = file.isDirectory ? 0 : v.nlink - 1
    if (v.flags & NAMES) change.remove(parentKey(this.t, file.ino, dir.ino, cookie))
    change.inode(file, { ...v, nlink, ctime: time })
    if (nlink > 0) return
    if (file.refs > 0 || !this.#short(v)) {
      change.set(orphanKey(this.t, file.ino))
      file.orphan = true
      if (file.refs === 0) change.after(() => { void reclaim(this, file) })
    } else this.end(change, file)
  }
  /** Whether it can go in one record. */
  #short(v: Inode): boolean { return v.used === 0 || v.size <= MANY * CHUNK }

  /** Nobody has the file, or a name for it. */
  release(file: File): void {
    if (this.gate) { void this.gate.then(() => this.release(file), () => {}); return }
    if (!this.files.release(file) || file.gone || file.v.nlink > 0 || this.instance.closed || this.instance.failed) return
    if (!this.#short(file.v)) { void reclaim(this, file); return }
    const change = this.change()
    this.end(change, file)
    try { void after(change.commit(), () => {}) } catch (e) { // it is reclaimed at the next start
      this.instance.setting.log.warn({ ino: file.ino, err: e }, 'an unlinked file could not be reclaimed')
    }
  }
  /** The file ends with this change; what is left of it goes along. */
  end(change: Change, file: File): void {
    const v = change.of(file), chunks = v.used > 0 ? Math.ceil(v.size / CHUNK) : 0
    for (let i = 0; i < chunks; i++) if (this.instance.chunks.extents(this.t, file.ino, i).length > 0) change.ops.push({ op: TRIM, t: this.t, ino: file.ino, chunk: i, keep: 0 })
    for (const [name, { value }] of v.xattrs ?? []) if (!value) change.remove(xattrKey(this.t, file.ino, name))
    if (file.orphan) change.remove(orphanKey(this.t, file.ino))
    change.used -= bytesOf(v)
    change.files -= 1
    change.forget(file)
    change.after(() => this.files.forget(file))
  }

  rename(from: File, name: string, to: File, newName: string, expect?: bigint): Awaitable<void> {
    const dent = this.#taken(from, name, 'renameat', expect), file = this.files.get(dent.ino)
    if (!to.isDirectory) throw errno('ENOTDIR', 'renameat')
    if (file.isDirectory) for (let up = to; ; up = this.files.get(up.v.parent)) {
      if (up === file) throw errno('EINVAL', 'renameat', newName)
      if (up.ino === ROOT) break
    }
    const there = this.#dent(to, newName, 'renameat'), victim = there && there.ino > 0 ? this.files.get(there.ino) : null
    if (victim === file) return
    if (victim) {
      if (file.isDirectory) {
        if (!victim.isDirectory) throw errno('ENOTDIR', 'renameat', newName)
        if (victim.v.size > 0) throw errno('ENOTEMPTY', 'renameat', newName)
      } else if (victim.isDirectory) throw errno('EISDIR', 'renameat', newName)
    } else this.#free(to, newName, 'renameat')

    const change = this.change(), time = now(), isDir = file.isDirectory
    change.leave(from, name, dent)
    const cookie = change.enter(to, newName, there, file.ino, dent.type)
    change.inode(from, { ...modified(from.v, time), size: from.v.size - 1, nlink: from.v.nlink - (isDir ? 1 : 0) })
    const into = change.of(to)
    change.inode(to, { ...(to === from ? into : modified(into, time)), size: into.size + (victim ? 0 : 1), nlink: into.nlink + (isDir ? 1 : 0) - (victim?.isDirectory ? 1 : 0) })
    if (file.v.flags & NAMES) {
      change.remove(parentKey(this.t, file.ino, from.ino, dent.cookie))
      change.set(parentKey(this.t, file.ino, to.ino, cookie))
    }
    change.inode(file, { ...file.v, parent: to.ino, cookie, ctime: time })
    if (victim) this.#unnamed(change, victim, to, cookie, time)
    return change.commit()
  }

  /** Size before times, which it moves. */
  setattr(file: File, attr: SetAttr): Awaitable<void> {
    const { mode, uid, gid, size, atime, mtime, ctime } = attr
    if (mode !== undefined && file.is(S.IFLNK)) throw errno('EOPNOTSUPP', 'setattr')
    if (size !== undefined && !file.is(S.IFREG)) throw errno(file.isDirectory ? 'EISDIR' : 'EINVAL', 'setattr')
    const wait = size === undefined ? null : cutting(this, file)
    if (wait) return wait.then(() => this.setattr(file, attr))
    const change = this.change(), time = now()
    if (size !== undefined) truncate(this, change, file, size, time)
    let v = change.of(file)
    if (mode !== undefined) {
      const acl = this.acl(file, ACL_ACCESS)
      if (acl) v = this.#withXattrs(change, file, v, [[ACL_ACCESS, chmodAcl(acl, mode)]])
    }
    if (mode !== undefined || uid !== undefined || gid !== undefined || atime !== undefined || mtime !== undefined || ctime !== undefined) {
      v = {
        ...v, mode: mode === undefined ? v.mode : (v.mode & S.IFMT) | (mode & 0o7777), uid: uid ?? v.uid, gid: gid ?? v.gid, ctime: time,
        atime: atime === undefined ? v.atime : atime === 'now' ? time : atime, mtime: mtime === undefined ? v.mtime : mtime === 'now' ? time : mtime,
      }
    } else if (size === undefined) return
    change.inode(file, v)
    return change.commit()
  }
  /** Read: as a relatime mount of Linux has it, so that reading alone is no change most of the time. A tree that takes none forgets it. */
  accessed(file: File): void {
    const { v } = file, { atime, mtime, ctime } = v
    if (later(atime, mtime) && later(atime, ctime) && Date.now() < (atime.sec + 86400) * 1000) return
    if (this.instance.failed || this.instance.closed) return
    const change = this.change()
    change.inode(file, { ...v, atime: now() })
    try { void change.commit() } catch {}                 // the reader has what he read
  }

  /** The value of an attribute, from wherever it is. */
  xattr(file: File, name: string): Uint8Array | undefined {
    const there = file.v.xattrs?.get(name)
    if (!there) return undefined
    if (there.value) return there.value
    const value = this.instance.store.get(xattrKey(this.t, file.ino, name))
    if (!value) throw errno('EIO', 'tree: an extended attribute is missing', name)
    return value.subarray(8)
  }
  acl(file: File, name: string): Uint8Array | undefined { return file.v.xattrs ? this.xattr(file, name) : undefined }
  /** The inode with these attributes; undefined: without. */
  withXattr(change: Change, file: File, name: string, value: Uint8Array | undefined): void {
    change.inode(file, this.#withXattrs(change, file, { ...change.of(file), ctime: now() }, [[name, value]]))
  }
  #withXattrs(change: Change, file: File, v: Inode, changes: readonly (readonly [string, Uint8Array | undefined])[]): Inode {
    const xattrs = new Map<string, Xattr>(v.xattrs ?? [])
    for (const [name, value] of changes) {
      const key = xattrKey(this.t, file.ino, name)
      if (xattrs.get(name)?.value === null) change.remove(key)
      xattrs.delete(name)
      if (!value) continue
      let inside = 0
      for (const { value } of xattrs.values()) inside += value?.length ?? 0
      const acl = name === ACL_ACCESS || name === ACL_DEFAULT            // asked for with every getattr
      if (acl && value.length <= 2048 || value.length <= 512 && inside + value.length <= 2048) xattrs.set(name, { value: Uint8Array.from(value), length: value.length })
      else {
        xattrs.set(name, { value: null, length: value.length })
        change.set(key, value)
      }
    }
    return { ...v, xattrs: xattrs.size > 0 ? xattrs : null }
  }

  async statfs(): Promise<StatFs> {
    const { instance } = this, below = await instance.setting.blobs.statfs?.(), bsize = 4096
    const scale = (below?.bsize ?? bsize) / bsize, back = Math.floor((instance.doomedBytes - instance.chunks.pending) / bsize)
    const blocks = below ? Math.floor(below.blocks * scale) : 2 ** 40, free = (n: number) => Math.max(0, Math.min(blocks, Math.floor(n * scale) + back))
    return {
      type: MAGIC, bsize, blocks, bfree: free(below?.bfree ?? 2 ** 40), bavail: free(below?.bavail ?? 2 ** 40),
      files: MOST, ffree: MOST - instance.files, fsid: instance.uuid.readBigUInt64BE(0), namelen: NAME_MAX,
    }
  }
}
function later(a: Time, b: Time): boolean { return a.sec > b.sec || (a.sec === b.sec && a.nsec > b.nsec) }
