// Nodes and handles of the head.

import { Attrs, bytesOfName, direntType, errno, nameOfBytes, O, S } from 'ninep'
import type { Attr, Qid, SetAttr, StatFs } from 'ninep'
import { ACL_ACCESS } from '../acl.ts'
import { after } from '../forward.ts'
import type { Awaitable, Call, Created, DirSink, Handle, Node, Owner, Volume } from '../translator.ts'
import { read, write } from './data.ts'
import { attrOf } from './file.ts'
import type { File } from './file.ts'
import { be64, kindPrefix, u64 } from './keys.ts'
import { pastNode } from './past.ts'
import type { Tree } from './tree.ts'
import { decodeEntry } from './values.ts'
import type { Dent } from './values.ts'
import { checkName, removeXattr, setXattr } from './xattrs.ts'

/** Entries of a directory that are asked of LevelDB at a time. */
const SOME = 512

function getattr(tree: Tree, file: File, mask: number): Attr {
  const attr = attrOf(file.v, file.qid, mask)
  if (!(mask & Attrs.ACL) || attr.acl || !file.v.xattrs?.has(ACL_ACCESS)) return attr
  return { ...attr, acl: tree.xattr(file, ACL_ACCESS)! } // too large for the inode
}

/** f, as soon as the tree is not being made another. */
function open<T>(tree: Tree, f: () => Awaitable<T>): Awaitable<T> { return tree.gate ? tree.gate.then(() => open(tree, f)) : f() }

export class TreeNode implements Node {
  /** file: retained for it. */
  constructor(readonly tree: Tree, readonly file: File) {}
  get volume(): Volume { return this.tree.volume }
  get qid(): Qid { return this.file.qid }

  #open<T>(f: () => Awaitable<T>): Awaitable<T> { return open(this.tree, f) }
  #node(file: File): TreeNode { return new TreeNode(this.tree, this.tree.files.retain(file)) }
  walk(name: string): Awaitable<Node> { return this.#open(() => this.#node(this.tree.lookup(this.file, name))) }
  parent(): Awaitable<Node> {
    if (!this.file.isDirectory) throw errno('ENOTDIR', 'parent')
    return this.#open(() => this.#node(this.tree.files.get(this.file.v.parent)))
  }
  at(snapshot: string): Node { return pastNode(this.tree.epochs.past(snapshot), this.file.ino) }
  getattr(mask: number): Awaitable<Attr> { return this.#open(() => getattr(this.tree, this.file, mask)) }
  setattr(attr: SetAttr): Awaitable<void> { return this.#open(() => this.tree.setattr(this.file, attr)) }
  readlink(): string {
    const { file } = this
    if (!file.is(S.IFLNK)) throw errno('EINVAL', 'readlink')
    return file.v.inline ? nameOfBytes(file.v.inline, 0, file.v.inline.length) : ''
  }
  statfs(): Awaitable<StatFs> { return this.tree.statfs() }

  open(flags: number): Awaitable<Handle> {
    const { tree, file } = this, type = file.v.mode & S.IFMT
    if (type === S.IFDIR) {
      if ((flags & O.ACCMODE) !== O.RDONLY || flags & O.TRUNC) throw errno('EISDIR', 'open')
      return new DirectoryHandle(tree, file)
    }
    if (type === S.IFLNK) throw errno('ELOOP', 'open')
    if (flags & O.DIRECTORY) throw errno('ENOTDIR', 'open')
    if (type !== S.IFREG) throw errno('ENXIO', 'open')
    if (flags & O.TRUNC) return after(this.setattr({ size: 0 }), () => new FileHandle(tree, file, flags))
    return new FileHandle(tree, file, flags)
  }
  create(name: string, flags: number, mode: number, owner: Owner): Awaitable<Created> {
    return after(this.#open(() => this.tree.make(this.file, name, S.IFREG | (mode & 0o7777), owner, 'create')), (file) => ({ node: new TreeNode(this.tree, file), handle: new FileHandle(this.tree, file, flags) }))
  }
  mkdir(name: string, mode: number, owner: Owner): Awaitable<Node> { return this.#made(name, S.IFDIR | (mode & 0o7777), owner, 'mkdir') }
  symlink(name: string, target: string, owner: Owner): Awaitable<Node> { return this.#made(name, S.IFLNK | 0o777, owner, 'symlink', 0n, Buffer.from(bytesOfName(target))) }
  mknod(name: string, mode: number, rdev: bigint, owner: Owner): Awaitable<Node> {
    const type = mode & S.IFMT, device = type === S.IFBLK || type === S.IFCHR
    if (!device && type !== S.IFREG && type !== S.IFIFO && type !== S.IFSOCK) throw errno('EINVAL', 'mknod', name)
    return this.#made(name, mode, owner, 'mknod', device ? rdev : 0n)
  }
  #made(name: string, mode: number, owner: Owner, op: string, rdev?: bigint, inline?: Buffer): Awaitable<Node> {
    return after(this.#open(() => this.tree.make(this.file, name, mode, owner, op, rdev, inline)), (file) => new TreeNode(this.tree, file))
  }
  link(target: Node, name: string): Awaitable<void> { return this.#open(() => this.tree.link(this.#ours(target, 'link').file, this.file, name)) }
  renameat(name: string, dir: Node, newName: string, expect?: bigint): Awaitable<void> { return this.#open(() => this.tree.rename(this.file, name, this.#ours(dir, 'renameat').file, newName, expect)) }
  unlinkat(name: string, flags: number, expect?: bigint): Awaitable<void> { return this.#open(() => this.tree.unlink(this.file, name, flags, expect)) }
  #ours(node: Node, op: string): TreeNode {
    if (node instanceof TreeNode && node.tree === this.tree) return node
    throw errno('EXDEV', op)
  }

  getxattr(name: string): Awaitable<Uint8Array> {
    return this.#open(() => {
      checkName(this.file.v.mode, name, 'getxattr')
      const value = this.tree.xattr(this.file, name)
      if (!value) throw errno('ENODATA', 'getxattr', name)
      return value
    })
  }
  setxattr(name: string, value: Uint8Array, flags: number): Awaitable<void> { return this.#open(() => setXattr(this.tree, this.file, name, value, flags)) }
  listxattr(): Awaitable<string[]> { return this.#open(() => [...this.file.v.xattrs?.keys() ?? []]) }
  removexattr(name: string): Awaitable<void> { return this.#open(() => removeXattr(this.tree, this.file, name)) }

  close(): void { this.tree.release(this.file) }
  async [Symbol.asyncDispose](): Promise<void> { this.close() }
}

abstract class TreeHandle implements Handle {
  constructor(readonly tree: Tree, readonly file: File) { tree.files.retain(file) }
  abstract read(into: Uint8Array, offset: number, call?: Call): Awaitable<Uint8Array>
  abstract write(bytes: Uint8Array, offset: number): Awaitable<number>
  abstract readdir(cookie: bigint, sink: DirSink, mask: number): Awaitable<boolean>
  getattr(mask: number): Awaitable<Attr> { return open(this.tree, () => getattr(this.tree, this.file, mask)) }
  setattr(attr: SetAttr): Awaitable<void> { return open(this.tree, () => this.tree.setattr(this.file, attr)) }
  fsync(): Awaitable<void> { return this.tree.instance.sync() }
  close(): void { this.tree.release(this.file) }
  async [Symbol.asyncDispose](): Promise<void> { this.close() }
}

class FileHandle extends TreeHandle {
  constructor(tree: Tree, file: File, readonly flags: number) { super(tree, file) }
  read(into: Uint8Array, offset: number, call?: Call): Awaitable<Uint8Array> {
    const { tree, file } = this
    if ((this.flags & O.ACCMODE) === O.WRONLY) throw errno('EBADF', 'read')
    if (tree.gate) return tree.gate.then(() => this.read(into, offset, call))
    if (file.gone) throw errno('ESTALE', 'read')
    if (!(this.flags & O.NOATIME)) tree.accessed(file)
    return read(tree, file.v, (chunk) => tree.instance.chunks.extents(tree.t, file.ino, chunk), into, offset, call)
  }
  write(bytes: Uint8Array, offset: number): Awaitable<number> {
    if ((this.flags & O.ACCMODE) === O.RDONLY) throw errno('EBADF', 'write')
    return open(this.tree, () => write(this.tree, this.file, bytes, this.flags & O.APPEND ? null : offset))
  }
  readdir(): never { throw errno('ENOTDIR', 'readdir') }
  override setattr(attr: SetAttr): Awaitable<void> {
    if (attr.size !== undefined && (this.flags & O.ACCMODE) === O.RDONLY) throw errno('EINVAL', 'setattr')
    return super.setattr(attr)
  }
}

class DirectoryHandle extends TreeHandle {
  /** Entries from here on came after the listing began: without an end, one that renames what it finds would never end. */
  #end: number
  /** Where a listing from memory stands: the map it goes through, the cookie shown last, and what comes next. */
  #walk: { names: Map<string, Dent | null>; rest: Iterator<[string, Dent | null]>; last: number; next: [string, Dent] | null } | null = null
  constructor(tree: Tree, file: File) {
    super(tree, file)
    this.#end = tree.instance.nextCookie
  }
  read(): never { throw errno('EISDIR', 'read') }
  write(): never { throw errno('EBADF', 'write') }
  readdir(cookie: bigint, sink: DirSink, mask: number): Awaitable<boolean> {
    const { tree, file } = this
    if (tree.gate) return tree.gate.then(() => this.readdir(cookie, sink, mask))
    if (cookie === 0n) this.#end = tree.instance.nextCookie
    tree.accessed(file)
    if (file.v.size === 0) return true
    return file.complete ? this.#fromMemory(Number(cookie), sink, mask) : this.#fromStore(Number(cookie), sink, mask)
  }
  #fromMemory(cookie: number, sink: DirSink, mask: number): boolean {
    const { names } = this.file
    let walk = this.#walk
    if (!walk || walk.names !== names || walk.last !== cookie) walk = this.#walk = { names, rest: names[Symbol.iterator](), last: cookie, next: null }
    for (;;) {
      const entry = walk.next ?? next(walk.rest)
      walk.next = null
      if (!entry) { this.#walk = null; return true }
      const [name, dent] = entry
      if (dent.cookie <= cookie || names.get(name) !== dent && names.get(name)?.cookie !== dent.cookie) continue
      if (dent.cookie >= this.#end) return true
      const now = names.get(name)!
      if (!this.#show(sink, mask, now.ino, now.type, now.cookie, name)) { walk.next = [name, now]; return false }
      walk.last = now.cookie
    }
  }
  async #fromStore(cookie: number, sink: DirSink, mask: number): Promise<boolean> {
    const dir = kindPrefix(this.tree.t, 'C') + be64(this.file.ino)
    for (;;) {
      const { found, whole } = await this.tree.instance.store.entries(dir, cookie, SOME)
      for (const [rest, value] of found) {
        const at = u64(rest, 0)
        if (at >= this.#end) return true
        const { ino, type, name } = decodeEntry(value)
        if (!this.#show(sink, mask, ino, type, at, name)) return false
        cookie = at
      }
      if (whole) return true
    }
  }
  #show(sink: DirSink, mask: number, ino: number, type: number, cookie: number, name: string | Uint8Array): boolean {
    let attr: Attr | undefined
    if (mask) try { attr = getattr(this.tree, this.tree.files.get(ino), mask) } catch { return true } // gone since
    return sink.add(BigInt(ino), direntType(type), BigInt(cookie), name, attr)
  }
}
function next(rest: Iterator<[string, Dent | null]>): [string, Dent] | null {
  for (;;) {
    const { done, value } = rest.next()
    if (done) return null
    if (value[1] && value[1].ino > 0) return value as [string, Dent]
  }
}
