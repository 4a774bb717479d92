// A tree as it was when a snapshot was made: read-only nodes and handles over the versions that it holds.

import { Attrs, direntType, errno, nameLength, NAME_MAX, nameOfBytes, O, qidType, S } from 'ninep'
import type { Attr, Qid, StatFs } from 'ninep'
import { ACL_ACCESS } from '../acl.ts'
import type { Awaitable, Call, DirSink, Handle, Node, Volume } from '../translator.ts'
import { read } from './data.ts'
import { attrOf } from './file.ts'
import { be64, chunkKey, historyKey, inodeKey, kindPrefix, nameKey, u32, u64, xattrKey } from './keys.ts'
import type { Tree } from './tree.ts'
import { decodeDent, decodeEntry, decodeInode, versionOf } from './values.ts'
import type { Entry, Extent, Inode } from './values.ts'
import { checkName } from './xattrs.ts'

/** Files of a snapshot that are kept in memory, and entries that are asked of LevelDB at a time. */
const KEPT = 4096, SOME = 512

/** What is under a key at an epoch; undefined: nothing, or a tombstone. */
export function valueAt(tree: Tree, key: string, epoch: number): Buffer | undefined {
  const { store } = tree.instance
  for (let value = store.get(key); value;) {
    const { birth, prev } = versionOf(value)
    if (birth <= epoch) return value.length > 8 ? value : undefined
    if (prev === 0) return undefined
    value = store.get(historyKey(key, prev))
  }
  return undefined
}
/** What a chunk has at an epoch. */
export function extentsAt(tree: Tree, key: string, epoch: number): readonly Extent[] {
  const { chunks } = tree.instance
  for (let chunk = chunks.at(key); chunk;) {
    if (chunk.birth <= epoch) return chunk.extents
    if (chunk.prev === 0) return []
    chunk = chunks.at(historyKey(key, chunk.prev))
  }
  return []
}
/** Entries of a directory at an epoch, after a cookie, in order. */
export async function* entriesAt(tree: Tree, ino: number, epoch: number, cookie = 0): AsyncGenerator<[cookie: number, entry: Entry]> {
  const { store } = tree.instance, head = kindPrefix(tree.t, 'C') + be64(ino), gone = kindPrefix(tree.t, 'c') + be64(ino)
  for (let whole = false, some = SOME; !whole;) {
    const [now, then] = await Promise.all([store.entries(head, cookie, SOME), store.entries(gone, cookie, some)])
    const last = ({ found, whole }: typeof now) => whole ? Infinity : u64(found.at(-1)![0], 0)
    let end = last(now)
    if (!then.whole) end = Math.min(end, last(then) - 1)     // there may be more of its last cookie
    if (end <= cookie) { some *= 2; continue }             // one cookie has had more names than that
    const merged: [number, Entry][] = []
    for (const [rest, value] of now.found) {
      const entry = decodeEntry(value)
      if (entry.birth <= epoch && u64(rest, 0) <= end) merged.push([u64(rest, 0), entry])
    }
    for (const [rest, value] of then.found) {
      const entry = decodeEntry(value)
      if (entry.birth <= epoch && epoch <= u32(rest, 8) && u64(rest, 0) <= end) merged.push([u64(rest, 0), entry])
    }
    yield* merged.sort(([a], [b]) => a - b)
    whole = now.whole && then.whole
    cookie = end
  }
}

interface PastFile { readonly ino: number; readonly v: Inode; readonly qid: Qid }

/** One snapshot of a tree. */
export class Past {
  readonly volume: Volume
  /** Once it was deleted. */
  gone = false
  #files = new Map<number, PastFile>()
  constructor(readonly tree: Tree, readonly epoch: number) { this.volume = { label: `${tree.volume.label}@${epoch}` } }
  /** ENOENT: it was not there then. */
  file(ino: number): PastFile {
    this.check()
    let file = this.#files.get(ino)
    if (file) return file
    const value = valueAt(this.tree, inodeKey(this.tree.t, ino), this.epoch)
    if (!value) throw errno('ENOENT', 'at', String(ino))
    const v = decodeInode(value)
    if (v.nlink === 0) throw errno('ENOENT', 'at', String(ino))
    file = { ino, v, qid: { type: qidType(v.mode), version: v.version, path: BigInt(ino) } }
    if (this.#files.size >= KEPT) this.#files.clear()
    this.#files.set(ino, file)
    return file
  }
  check(): void { if (this.gone) throw errno('ESTALE', 'the snapshot was deleted') }
  xattr({ ino, v }: PastFile, name: string): Uint8Array | undefined {
    const there = v.xattrs?.get(name)
    return there ? there.value ?? valueAt(this.tree, xattrKey(this.tree.t, ino, name), this.epoch)?.subarray(8) : undefined
  }
  attr(file: PastFile, mask: number): Attr {
    const attr = attrOf(file.v, file.qid, mask)
    return mask & Attrs.ACL && !attr.acl && file.v.xattrs?.has(ACL_ACCESS) ? { ...attr, acl: this.xattr(file, ACL_ACCESS)! } : attr
  }
}
export function pastNode(past: Past, ino: number): PastNode { return new PastNode(past, past.file(ino)) }

class PastNode implements Node {
  constructor(readonly past: Past, readonly file: PastFile) {}
  get volume(): Volume { return this.past.volume }
  get qid(): Qid { return this.file.qid }
  #directory(op: string): void {
    this.past.check()
    if ((this.file.v.mode & S.IFMT) !== S.IFDIR) throw errno('ENOTDIR', op)
  }
  walk(name: string): Node {
    this.#directory('walk')
    const { past, file } = this
    const value = nameLength(name) > NAME_MAX ? undefined : valueAt(past.tree, nameKey(past.tree.t, file.ino, name), past.epoch), dent = value && decodeDent(value)
    if (!dent) throw errno('ENOENT', 'walk', name)
    return pastNode(past, dent.ino)
  }
  parent(): Node {
    this.#directory('parent')
    return pastNode(this.past, this.file.v.parent)
  }
  at(snapshot: string): Node { return pastNode(this.past.tree.epochs.past(snapshot), this.file.ino) }
  getattr(mask: number): Attr {
    this.past.check()
    return this.past.attr(this.file, mask)
  }
  open(flags: number): Handle {
    const { past, file } = this, type = file.v.mode & S.IFMT
    past.check()
    if (type === S.IFDIR) {
      if ((flags & O.ACCMODE) !== O.RDONLY || flags & O.TRUNC) throw errno('EISDIR', 'open')
      return new PastHandle(past, file)
    }
    if (type === S.IFLNK) throw errno('ELOOP', 'open')
    if (flags & O.DIRECTORY) throw errno('ENOTDIR', 'open')
    if (type !== S.IFREG) throw errno('ENXIO', 'open')
    if ((flags & O.ACCMODE) !== O.RDONLY || flags & O.TRUNC) throw errno('EROFS', 'open')
    return new PastHandle(past, file)
  }
  readlink(): string {
    const { mode, inline } = this.file.v
    if ((mode & S.IFMT) !== S.IFLNK) throw errno('EINVAL', 'readlink')
    return inline ? nameOfBytes(inline, 0, inline.length) : ''
  }
  statfs(): Awaitable<StatFs> { return this.past.tree.statfs() }
  getxattr(name: string): Uint8Array {
    this.past.check()
    checkName(this.file.v.mode, name, 'getxattr')
    const value = this.past.xattr(this.file, name)
    if (!value) throw errno('ENODATA', 'getxattr', name)
    return value
  }
  listxattr(): string[] { return [...this.file.v.xattrs?.keys() ?? []] }
  setattr(): never { throw errno('EROFS', 'setattr') }
  create(name: string): never { throw errno('EROFS', 'create', name) }
  mkdir(name: string): never { throw errno('EROFS', 'mkdir', name) }
  symlink(name: string): never { throw errno('EROFS', 'symlink', name) }
  mknod(name: string): never { throw errno('EROFS', 'mknod', name) }
  link(_target: Node, name: string): never { throw errno('EROFS', 'link', name) }
  renameat(name: string): never { throw errno('EROFS', 'renameat', name) }
  unlinkat(name: string): never { throw errno('EROFS', 'unlinkat', name) }
  setxattr(name: string): never { throw errno('EROFS', 'setxattr', name) }
  removexattr(name: string): never { throw errno('EROFS', 'removexattr', name) }
  close(): void {}
  async [Symbol.asyncDispose](): Promise<void> {}
}

class PastHandle implements Handle {
  constructor(readonly past: Past, readonly file: PastFile) {}
  read(into: Uint8Array, offset: number, call?: Call): Awaitable<Uint8Array> {
    const { past: { tree, epoch }, file } = this
    this.past.check()
    if ((file.v.mode & S.IFMT) === S.IFDIR) throw errno('EISDIR', 'read')
    return read(tree, file.v, (chunk) => extentsAt(tree, chunkKey(tree.t, file.ino, chunk), epoch), into, offset, call)
  }
  write(): never { throw errno('EBADF', 'write') }
  async readdir(cookie: bigint, sink: DirSink, mask: number): Promise<boolean> {
    const { past, file } = this
    past.check()
    if ((file.v.mode & S.IFMT) !== S.IFDIR) throw errno('ENOTDIR', 'readdir')
    for await (const [at, { ino, type, name }] of entriesAt(past.tree, file.ino, past.epoch, Number(cookie))) {
      if (!sink.add(BigInt(ino), direntType(type), BigInt(at), name, mask ? past.attr(past.file(ino), mask) : undefined)) return false
    }
    return true
  }
  getattr(mask: number): Attr {
    this.past.check()
    return this.past.attr(this.file, mask)
  }
  setattr(): never { throw errno('EROFS', 'setattr') }
  fsync(): void {}
  close(): void {}
  async [Symbol.asyncDispose](): Promise<void> {}
}
