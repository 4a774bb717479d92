// A POSIX file system in memory. Every call is answered in the turn it was made in: that alone keeps the order, and
// makes each of them atomic. What it counts: pages of data, blobs, targets, attributes and second names against `size`, files
// against `inodes`; a file that was unlinked counts until its last node and handle are closed.

import { randomInt } from 'node:crypto'
import { AT_REMOVEDIR, direntType, errno, NAME_MAX, nameLength, O, S } from 'ninep'
import type { Attr, Qid, SetAttr, StatFs } from 'ninep'
import { ACL_DEFAULT, inherit } from '../acl.ts'
import { now } from '../clock.ts'
import { int, size, translator } from '../options.ts'
import type { Values } from '../options.ts'
import type { Blobs, Created, DirSink, Handle, Node, Owner, Translator, Volume } from '../translator.ts'
import { BLOCK } from './arena.ts'
import { MemoryBlobs } from './blobs.ts'
import { Directory } from './directory.ts'
import type { Entry } from './directory.ts'
import { Inode, Target } from './inode.ts'
import type { Body } from './inode.ts'
import { Pages } from './pages.ts'
import { Space } from './space.ts'
import { chmodXattr, getXattr, inheritAcls, removeXattr, removeXattrs, setXattr } from './xattrs.ts'

const options = {
  size: size({ about: 'bytes of data it may hold', default: 2 ** 30, live: true }),
  inodes: int({ about: 'files it may hold', min: 1, default: 1_000_000, live: true }),
  mode: int({ about: 'permission bits of the root', max: 0o7777, default: 0o1777 }),
  uid: int({ about: 'owner of the root', max: 0xfffffffe, default: process.getuid?.() ?? 0 }),
  gid: int({ about: 'group of the root', max: 0xfffffffe, default: process.getgid?.() ?? 0 }),
}

/** A file system in memory, bounded in bytes and files. */
export const memory = translator({
  name: 'memory',
  about: 'Files in memory: fast, bounded, and gone when the server ends.',
  children: 0,
  concurrent: true,
  volatile: true,
  holds: ({ size, inodes }) => size + inodes * INODE,
  options,
  start: (values, _children, env) => new Memory(values, env.name),
})

/** What a file takes beside its data, about: bytes. */
const INODE = 1024
/** What a second name of a file takes of the space. */
const LINK_COST = 512
/** tmpfs's number in Rstatfs. */
const TMPFS_MAGIC = 0x01021994

class Memory implements Translator {
  readonly name = 'memory'
  readonly volume: Volume
  readonly space: Space
  /** Differs from instance to instance, for their numbers are the same. */
  readonly gen = BigInt(randomInt(1, 2 ** 32))
  readonly fsid = BigInt(randomInt(1, 2 ** 32))
  readonly root: Inode
  #flat: MemoryBlobs
  #paths = 0

  constructor(values: Values<typeof options>, name: string) {
    this.volume = { label: `memory:${name}` }
    this.space = new Space(values.size, values.inodes)
    this.#flat = new MemoryBlobs(this.space, () => this.statfs())
    const names = new Directory(null)
    this.root = this.make(S.IFDIR | values.mode, values, names)
    this.root.nlink = 2
    this.root.refs = 1                                    // for good
    names.parent = this.root
  }
  attach(aname: string): Node {
    if (aname !== '' && aname !== '/') throw errno('ENOENT', 'attach', aname)
    return this.node(this.root)
  }
  sync(): void {}
  blobs(): Blobs { return this.#flat }
  /** size and inodes can change; to less than what is held, too: then nothing is added until enough is gone. */
  reconfigure({ size, inodes }: Values<typeof options>): boolean {
    this.space.size = size
    this.space.inodes = inodes
    return true
  }
  close(): void {}
  async [Symbol.asyncDispose](): Promise<void> {}

  node(inode: Inode): MemoryNode {
    inode.refs++
    return new MemoryNode(this, inode)
  }
  /** A file without a name yet. ENOSPC */
  make(mode: number, owner: Owner, body: Body, rdev?: bigint): Inode {
    if (this.space.files >= this.space.inodes) throw errno('ENOSPC', 'create')
    this.space.files++
    return new Inode(++this.#paths, mode, owner, body, rdev)
  }
  /** To be called when a name, node or handle has gone: with the last of them goes the file. */
  release(inode: Inode): void {
    if (inode.refs > 0 || inode.nlink > 0) return
    const { body } = inode
    if (body instanceof Pages) body.truncate(0)
    else if (body instanceof Target) this.space.give(body.bytes)
    removeXattrs(this.space, inode)
    this.space.files--
  }
  statfs(): StatFs {
    const { space } = this
    const free = Math.floor(space.free / BLOCK)
    return {
      type: TMPFS_MAGIC, bsize: BLOCK, blocks: Math.floor(space.size / BLOCK), bfree: free, bavail: free,
      files: space.inodes, ffree: Math.max(0, space.inodes - space.files), fsid: this.fsid, namelen: NAME_MAX,
    }
  }
}

class MemoryNode implements Node {
  constructor(readonly fs: Memory, readonly inode: Inode) {}
  get volume(): Volume { return this.fs.volume }
  get qid(): Qid { return this.inode.qid }

  walk(name: string): MemoryNode { return this.fs.node(this.#entry(name, 'walk').inode!) }
  parent(): MemoryNode { return this.fs.node(this.#names('parent').parent!) }
  at(snapshot: string): never { throw errno('ENOENT', 'at', snapshot) }
  getattr(mask: number): Attr { return this.inode.attr(mask, this.fs.gen) }
  setattr(attr: SetAttr): void { setattr(this.inode, attr) }
  readlink(): string {
    const { body } = this.inode
    if (!(body instanceof Target)) throw errno('EINVAL', 'readlink')
    return body.text
  }
  statfs(): StatFs { return this.fs.statfs() }

  open(flags: number): Handle {
    const { inode } = this
    if (inode.body instanceof Directory) {
      if ((flags & O.ACCMODE) !== O.RDONLY || flags & O.TRUNC) throw errno('EISDIR', 'open')
      return new DirectoryHandle(this.fs, inode, inode.body)
    }
    if (inode.body instanceof Target) throw errno('ELOOP', 'open')
    if (flags & O.DIRECTORY) throw errno('ENOTDIR', 'open')
    if (!(inode.body instanceof Pages)) throw errno('ENXIO', 'open')
    if (flags & O.TRUNC) truncate(inode, inode.body, 0)
    return new FileHandle(this.fs, inode, inode.body, flags)
  }

  create(name: string, flags: number, mode: number, owner: Owner): Created {
    const pages = new Pages(this.fs.space)
    const node = this.#add(name, S.IFREG | (mode & 0o7777), owner, pages, 'create')
    return { node, handle: new FileHandle(this.fs, node.inode, pages, flags) }
  }
  mkdir(name: string, mode: number, owner: Owner): Node {
    const node = this.#add(name, S.IFDIR | (mode & 0o7777), owner, new Directory(this.inode), 'mkdir')
    node.inode.nlink = 2
    this.inode.nlink++
    return node
  }
  symlink(name: string, target: string, owner: Owner): Node {
    const body = new Target(target, nameLength(target))
    if (!this.fs.space.take(body.bytes)) throw errno('ENOSPC', 'symlink', name)
    try { return this.#add(name, S.IFLNK | 0o777, owner, body, 'symlink') } catch (e) {
      this.fs.space.give(body.bytes)
      throw e
    }
  }
  mknod(name: string, mode: number, rdev: bigint, owner: Owner): Node {
    const type = mode & S.IFMT, device = type === S.IFBLK || type === S.IFCHR
    if (!device && type !== S.IFREG && type !== S.IFIFO && type !== S.IFSOCK) throw errno('EINVAL', 'mknod', name)
    return this.#add(name, mode, owner, type === S.IFREG ? new Pages(this.fs.space) : null, 'mknod', device ? rdev : 0n)
  }
  #add(name: string, mode: number, owner: Owner, body: Body, op: string, rdev?: bigint): MemoryNode {
    const names = this.#free(name, op)
    const acl = body instanceof Target ? undefined : this.inode.xattrs?.get(ACL_DEFAULT)
    const inherited = inherit(acl, mode, body instanceof Directory)
    const inode = this.fs.make(inherited.mode, owner, body, rdev)
    try { inheritAcls(this.fs.space, inode, inherited) } catch (e) { this.fs.space.files--; throw e }
    names.add(name, inode)
    this.inode.modified()
    return this.fs.node(inode)
  }

  link(target: Node, name: string): void {
    const { inode } = this.#ours(target, 'link')
    const names = this.#free(name, 'link')
    if (inode.body instanceof Directory) throw errno('EPERM', 'link', name)
    if (inode.nlink === 0) throw errno('ENOENT', 'link', name)
    if (!this.fs.space.take(LINK_COST)) throw errno('ENOSPC', 'link', name)
    names.add(name, inode)
    inode.nlink++
    inode.changed()
    this.inode.modified()
  }
  unlinkat(name: string, flags: number, expect?: bigint): void {
    const entry = this.#entry(name, 'unlinkat', expect), inode = entry.inode!
    if (!(inode.body instanceof Directory)) {
      if (flags & AT_REMOVEDIR) throw errno('ENOTDIR', 'unlinkat', name)
    } else {
      if (!(flags & AT_REMOVEDIR)) throw errno('EISDIR', 'unlinkat', name)
      if (inode.body.count > 0) throw errno('ENOTEMPTY', 'unlinkat', name)
    }
    this.#names('unlinkat').delete(entry)
    this.inode.modified()
    this.#unlinked(inode, this.inode)
  }
  /** A name of the file is gone from this directory. */
  #unlinked(inode: Inode, directory: Inode): void {
    if (inode.body instanceof Directory) {
      inode.nlink = 0
      directory.nlink--
    } else if (--inode.nlink > 0) this.fs.space.give(LINK_COST)
    inode.changed()
    this.fs.release(inode)
  }
  renameat(name: string, dir: Node, newName: string, expect?: bigint): void {
    const to = this.#ours(dir, 'renameat')
    const entry = this.#entry(name, 'renameat', expect), inode = entry.inode!
    const names = to.#names('renameat')
    const moved = inode.body instanceof Directory ? inode.body : undefined
    if (moved) for (let up = to.inode; ; up = (up.body as Directory).parent!) {
      if (up === inode) throw errno('EINVAL', 'renameat', newName)
      if (up === this.fs.root) break
    }
    const old = names.get(newName), victim = old?.inode
    if (victim === inode) return
    if (victim) {
      if (moved) {
        if (!(victim.body instanceof Directory)) throw errno('ENOTDIR', 'renameat', newName)
        if (victim.body.count > 0) throw errno('ENOTEMPTY', 'renameat', newName)
      } else if (victim.body instanceof Directory) throw errno('EISDIR', 'renameat', newName)
    } else to.#free(newName, 'renameat')

    if (old) old.inode = inode                            // the name stays, and its place in listings
    else names.add(newName, inode)
    this.#names('renameat').delete(entry)
    if (moved && to.inode !== this.inode) {
      moved.parent = to.inode
      this.inode.nlink--
      to.inode.nlink++
    }
    if (victim) this.#unlinked(victim, to.inode)
    inode.changed()
    this.inode.modified()
    if (to.inode !== this.inode) to.inode.modified()
  }

  getxattr(name: string): Uint8Array { return getXattr(this.inode, name) }
  setxattr(name: string, value: Uint8Array, flags: number): void { setXattr(this.fs.space, this.inode, name, value, flags) }
  listxattr(): string[] { return this.inode.xattrs ? [...this.inode.xattrs.keys()] : [] }
  removexattr(name: string): void { removeXattr(this.fs.space, this.inode, name) }

  close(): void {
    this.inode.refs--
    this.fs.release(this.inode)
  }
  async [Symbol.asyncDispose](): Promise<void> { this.close() }

  /** The names of this directory. ENOTDIR */
  #names(op: string): Directory {
    const { body } = this.inode
    if (!(body instanceof Directory)) throw errno('ENOTDIR', op)
    return body
  }
  /** The entry of that name. ENOENT; ESTALE: it is not the file expected. */
  #entry(name: string, op: string, expect?: bigint): Entry {
    const entry = this.#names(op).get(name)
    if (!entry) throw errno('ENOENT', op, name)
    if (expect !== undefined && entry.inode!.qid.path !== expect) throw errno('ESTALE', op, name)
    return entry
  }
  /** The names of this directory, where the name is free. ENOENT: the directory is gone; EEXIST; ENOSPC: it is full. */
  #free(name: string, op: string): Directory {
    const names = this.#names(op)
    if (this.inode.nlink === 0) throw errno('ENOENT', op, name)
    if (names.get(name)) throw errno('EEXIST', op, name)
    if (nameLength(name) > NAME_MAX) throw errno('ENAMETOOLONG', op, name)
    if (names.full) throw errno('ENOSPC', op, name)
    return names
  }
  #ours(node: Node, op: string): MemoryNode {
    if (node instanceof MemoryNode && node.fs === this.fs) return node
    throw errno('EXDEV', op)
  }
}

/** Size before times, which it moves; and first, so that where it can't be, nothing else is changed. */
function setattr(inode: Inode, attr: SetAttr): void {
  const { mode, uid, gid, size, atime, mtime, ctime } = attr
  if (mode !== undefined && inode.is(S.IFLNK)) throw errno('EOPNOTSUPP', 'setattr')
  if (size !== undefined) {
    if (inode.body instanceof Directory) throw errno('EISDIR', 'setattr')
    if (!(inode.body instanceof Pages)) throw errno('EINVAL', 'setattr')
    truncate(inode, inode.body, size)
  }
  if (uid !== undefined) inode.uid = uid
  if (gid !== undefined) inode.gid = gid
  if (mode !== undefined) {
    inode.mode = (inode.mode & S.IFMT) | (mode & 0o7777)
    chmodXattr(inode, mode)
  }
  if (atime !== undefined) inode.atime = atime === 'now' ? now() : atime
  if (mtime !== undefined) inode.mtime = mtime === 'now' ? now() : mtime
  if (mode !== undefined || uid !== undefined || gid !== undefined || atime !== undefined || mtime !== undefined || ctime !== undefined) inode.changed()
}
/** EFBIG */
function truncate(inode: Inode, pages: Pages, size: number): void {
  pages.truncate(size)
  inode.modified()
}

abstract class MemoryHandle implements Handle {
  constructor(readonly fs: Memory, readonly inode: Inode) { inode.refs++ }
  abstract read(into: Uint8Array, offset: number): Uint8Array
  abstract write(bytes: Uint8Array, offset: number): number
  abstract readdir(cookie: bigint, sink: DirSink, mask: number): boolean
  getattr(mask: number): Attr { return this.inode.attr(mask, this.fs.gen) }
  setattr(attr: SetAttr): void { setattr(this.inode, attr) }
  fsync(): void {}
  close(): void {
    this.inode.refs--
    this.fs.release(this.inode)
  }
  async [Symbol.asyncDispose](): Promise<void> { this.close() }
}

class FileHandle extends MemoryHandle {
  constructor(fs: Memory, inode: Inode, readonly pages: Pages, readonly flags: number) { super(fs, inode) }
  read(into: Uint8Array, offset: number): Uint8Array {
    if ((this.flags & O.ACCMODE) === O.WRONLY) throw errno('EBADF', 'read')
    if (!(this.flags & O.NOATIME)) this.inode.accessed()
    return this.pages.read(into, offset)
  }
  write(bytes: Uint8Array, offset: number): number {
    if ((this.flags & O.ACCMODE) === O.RDONLY) throw errno('EBADF', 'write')
    const n = this.pages.write(bytes, this.flags & O.APPEND ? this.pages.size : offset)
    if (n > 0) this.inode.modified()
    return n
  }
  readdir(): never { throw errno('ENOTDIR', 'readdir') }
  override setattr(attr: SetAttr): void {
    if (attr.size !== undefined && (this.flags & O.ACCMODE) === O.RDONLY) throw errno('EINVAL', 'setattr')
    super.setattr(attr)
  }
}

class DirectoryHandle extends MemoryHandle {
  /** Entries from here on came after the listing began: without an end, one that renames what it finds would never end. */
  #end: number
  constructor(fs: Memory, inode: Inode, readonly names: Directory) {
    super(fs, inode)
    this.#end = names.next
  }
  read(): never { throw errno('EISDIR', 'read') }
  write(): never { throw errno('EBADF', 'write') }
  readdir(cookie: bigint, sink: DirSink, mask: number): boolean {
    if (cookie === 0n) this.#end = this.names.next
    this.inode.accessed()
    return this.names.list(Number(cookie), this.#end, ({ name, cookie }, inode) =>
      sink.add(inode.qid.path, direntType(inode.mode), BigInt(cookie), name, mask ? inode.attr(mask, this.fs.gen) : undefined))
  }
}
