// A node: an Inode, asked for by name and to be closed by whoever asked.

import { AT_REMOVEDIR, bytesOfName, errno, isErrno, nameOfBytes, O, S, TARGET_MAX, type Attr, type Qid, type SetAttr, type StatFs } from 'ninep'
import { ACL_ACCESS, ACL_DEFAULT } from '../acl.ts'
import * as sys from '../sys.ts'
import { stat } from '../sys.ts'
import type { Awaitable, Created, Handle, Node, Owner, Volume } from '../translator.ts'
import { MARKER } from './blobs.ts'
import type { Brick } from './brick.ts'
import { statfsOf } from './device.ts'
import { DirectoryHandle, FileHandle } from './handle.ts'
import type { Inode } from './inode.ts'
import { OWN } from './owner.ts'
import { setattr } from './setattr.ts'

/** How long a clock of the kernel's stands still at most, milliseconds, and some more. */
const TICK = 50

export class PosixNode implements Node {
  #closed = false
  /** Takes a reference that was counted for it. */
  constructor(readonly brick: Brick, readonly inode: Inode) {}
  get volume(): Volume { return this.inode.device.volume }
  get qid(): Qid { return this.inode.qid }

  walk(name: string): Node {
    const { inode } = this, dir = this.#directory('walk')
    const known = inode.children?.get(name)
    if (known?.open) {
      sys.statAt(dir, name)
      if (known.is()) {
        known.noteVersion()
        return new PosixNode(this.brick, known.ref())
      }
    }
    return this.#reach(dir, name)
  }
  /** The entry as it stands in the directory now. */
  #reach(dir: number, name: string): PosixNode {
    const { brick, inode } = this
    inode.held++
    try {
      brick.descriptors.makeRoom()
      return new PosixNode(brick, brick.reach(dir, inode, name).ref())
    } finally { inode.held-- }
  }

  parent(): Node {
    const { brick, inode } = this
    if (!inode.isDirectory) throw errno('ENOTDIR', 'parent')
    if (inode === brick.root) return new PosixNode(brick, inode.ref())
    const above = inode.parent
    if (above && sys.statIfAny(above.access(), inode.name) && inode.is()) return new PosixNode(brick, above.ref())
    return this.#climb()
  }
  /** The directory above, of one that others moved, or that was removed: if the root is further up. */
  #climb(): Node {
    const { brick, inode } = this, { root } = brick
    brick.descriptors.makeRoom()
    const found = sys.openParent(inode.access())
    let fd = found
    try {
      for (let levels = 0; levels < 4096; levels++) {
        sys.statFd(fd)
        if (root.is()) {
          if (fd !== found) sys.close(fd)
          fd = -1
          sys.statFd(found)
          return new PosixNode(brick, brick.inode(found, null, '').ref())
        }
        const { ino, device } = stat, up = sys.openParent(fd)
        if (fd !== found) sys.close(fd)
        sys.statFd(fd = up)
        if (stat.ino === ino && stat.device === device) break
      }
    } finally { if (fd !== -1 && fd !== found) sys.close(fd) }
    sys.close(found)
    throw errno('ESTALE', 'parent')
  }
  at(snapshot: string): never { throw errno('ENOENT', 'at', snapshot) }

  getattr(mask: number): Attr { return this.inode.attr(mask) }
  setattr(attr: SetAttr): void {
    this.inode.stat()
    setattr(this.inode, this.inode.access(), false, attr)
  }

  open(flags: number): Handle {
    const { brick, inode } = this
    if (inode.isDirectory) {
      if ((flags & O.ACCMODE) !== O.RDONLY || flags & O.TRUNC) throw errno('EISDIR', 'open')
      brick.descriptors.reserve('open')
      return giveBack(brick, () => new DirectoryHandle(inode, sys.reopenDirectory(inode.access())))
    }
    if (flags & O.DIRECTORY) throw errno('ENOTDIR', 'open')
    this.#checkOpen()
    brick.descriptors.reserve('open')
    return giveBack(brick, () => {
      const fd = sys.reopen(inode.access(), hostFlags(flags) | (flags & O.TRUNC ? sys.Open.TRUNC : 0))
      if (flags & O.TRUNC) inode.written()
      return new FileHandle(inode, fd, flags)
    })
  }
  #checkOpen(): void {
    const { type, native } = this.inode
    if (type === S.IFLNK) throw errno('ELOOP', 'open')
    if (type === S.IFSOCK || type !== native) throw errno('ENXIO', 'open')
    if ((type === S.IFCHR || type === S.IFBLK) && !this.brick.devices) throw errno('EPERM', 'open: devices=off')
  }

  create(name: string, flags: number, mode: number, owner: Owner): Created {
    const { brick, inode } = this, whole = S.IFREG | (mode & 0o7777)
    this.#writable('create', name)
    brick.descriptors.reserve('create')
    return giveBack(brick, () => {
      const dir = inode.access()
      const fd = sys.openat(dir, name, hostFlags(flags) | sys.Open.CREAT | sys.Open.EXCL | sys.Open.NOFOLLOW, brick.owner.first(whole))
      try {
        sys.statFd(fd)
        if (brick.owner.settle(fd, dir, whole, 0n, owner)) sys.statFd(fd)
        const made = brick.find(fd) ?? brick.make(fd)
        made.bind(inode, name)
        return { node: new PosixNode(brick, made.ref()), handle: new FileHandle(made, fd, flags) }
      } catch (e) {
        sys.close(fd)
        unmake(dir, name, 0)
        throw e
      }
    })
  }
  mkdir(name: string, mode: number, owner: Owner): Node {
    return this.#make(name, S.IFDIR | (mode & 0o7777), 0n, owner, (dir, first) => sys.mkdirat(dir, name, first))
  }
  symlink(name: string, target: string, owner: Owner): Node {
    if (target === '') throw errno('ENOENT', 'symlink', name)
    const { brick } = this
    if (!brick.owner.disguises) return this.#make(name, S.IFLNK | 0o777, 0n, owner, (dir) => sys.symlinkat(target, dir, name))
    const bytes = bytesOfName(target)
    if (bytes.length > TARGET_MAX) throw errno('ENAMETOOLONG', 'symlink', name)
    return this.#make(name, S.IFLNK | 0o777, 0n, owner, (dir, first) => {
      const fd = sys.openat(dir, name, sys.Open.WRONLY | sys.Open.CREAT | sys.Open.EXCL | sys.Open.NOFOLLOW, first)
      try { sys.pwrite(fd, bytes, 0) } finally { sys.close(fd) }
    })
  }
  mknod(name: string, mode: number, rdev: bigint, owner: Owner): Node {
    const type = mode & S.IFMT, device = type === S.IFCHR || type === S.IFBLK
    if (type !== S.IFREG && type !== S.IFIFO && type !== S.IFSOCK && !device) throw errno('EINVAL', 'mknod', name)
    if (device && !this.brick.devices) throw errno('EPERM', 'mknod', name)
    const native = this.brick.owner.disguises ? S.IFREG : type
    return this.#make(name, type | (mode & 0o7777), device ? rdev : 0n, owner,
      (dir, first) => sys.mknodat(dir, name, native | first, native === type ? Number(rdev) : 0))
  }
  /** Makes something that is not opened by being made; then it is looked at, and must be what was just made. */
  #make(name: string, mode: number, rdev: bigint, owner: Owner, make: (dir: number, first: number) => void): Node {
    const { brick, inode } = this, native = brick.owner.disguises && (mode & S.IFMT) !== S.IFDIR ? S.IFREG : mode & S.IFMT
    const dir = this.#writable('create', name)
    inode.held++
    try {
      brick.descriptors.makeRoom()
      const since = Date.now() - TICK
      make(dir, brick.owner.first(mode))
      let fd = -1
      try {
        fd = sys.openat(dir, name, sys.Open.PATH | sys.Open.NOFOLLOW)
        sys.statFd(fd)
        const fresh = (stat.mode & S.IFMT) === native && stat.uid === process.geteuid!()
          && (!stat.hasBtime || !inode.device.local || stat.btimeSec * 1000 + stat.btimeNsec / 1e6 >= since)
        if (!fresh) throw errno('ESTALE', 'create', name) // someone else's, put there in between: not to be given away
        if (brick.owner.settle(fd, dir, mode, rdev, owner)) sys.statFd(fd)
      } catch (e) {
        if (fd >= 0) sys.close(fd)
        if (!isErrno(e, 'ESTALE')) unmake(dir, name, native === S.IFDIR ? AT_REMOVEDIR : 0)
        throw e
      }
      return new PosixNode(brick, brick.inode(fd, inode, name).ref())
    } finally { inode.held-- }
  }

  link(target: Node, name: string): void {
    const file = this.#ours(target, 'link').inode, { inode } = this
    if (file.isDirectory) throw errno('EPERM', 'link', name)
    this.#writable('link', name)
    inode.held++
    try {
      const fd = file.access()
      sys.linkFd(fd, inode.access(), name)
      if (!file.parent) file.bind(inode, name)
    } finally { inode.held-- }
  }
  renameat(name: string, dir: Node, newName: string, expect?: bigint): Awaitable<void> {
    const to = this.#ours(dir, 'rename'), from = this
    from.#writable('rename', name)
    to.#writable('rename', newName)
    from.inode.held++
    to.inode.held++
    try {
      const moved = from.inode.children?.get(name), replaced = to.inode.children?.get(newName)
      replaced?.secure()
      const fd = from.inode.access(), toFd = to.inode.access()
      if (expect !== undefined) check(fd, name, expect)
      return this.brick.losing(toFd, replaced ? '' : newName, () => {
        sys.renameat(fd, name, toFd, newName)
        if (replaced && replaced !== moved && !(sys.statIfAny(toFd, newName) && replaced.is())) replaced.unbind()
        moved?.bind(to.inode, newName)
      })
    } finally {
      from.inode.held--
      to.inode.held--
    }
  }
  unlinkat(name: string, flags: number, expect?: bigint): Awaitable<void> {
    const { brick, inode } = this
    if (flags & ~AT_REMOVEDIR) throw errno('EINVAL', 'unlink', name)
    this.#writable('unlink', name)
    inode.held++
    try {
      const known = inode.children?.get(name)
      known?.secure()
      const dir = inode.access()
      if (expect !== undefined) check(dir, name, expect)
      return brick.losing(dir, known ? '' : name, () => {
        sys.unlinkat(dir, name, flags)
        known?.unbind()
      })
    } finally { inode.held-- }
  }
  readlink(): string {
    const { inode } = this
    if (inode.type !== S.IFLNK) throw errno('EINVAL', 'readlink')
    const fd = inode.access()
    if (inode.native === S.IFLNK) return sys.readlinkFd(fd)
    const opened = sys.reopen(fd, sys.Open.RDONLY)
    const bytes = Buffer.alloc(TARGET_MAX)
    try { return nameOfBytes(bytes, 0, sys.pread(opened, bytes, 0)) } finally { sys.close(opened) }
  }
  statfs(): StatFs { return statfsOf(this.inode.access()) }

  getxattr(name: string): Uint8Array {
    switch (kind(name, this.brick.hostCaps)) {
      case 'host': return this.#userless(name) ? fail('ENODATA', 'getxattr', name) : sys.getxattr(this.inode.access(), name)
      case 'acl': return this.brick.owner.getAcl(this.inode, name)
      case 'own': throw errno('ENODATA', 'getxattr', name)
      default: throw errno('EOPNOTSUPP', 'getxattr', name)
    }
  }
  setxattr(name: string, value: Uint8Array, flags: number): void {
    switch (kind(name, this.brick.hostCaps)) {
      case 'host': return this.#userless(name) ? fail('EPERM', 'setxattr', name) : sys.setxattr(this.inode.access(), name, value, flags)
      case 'acl': return this.brick.owner.setAcl(this.inode, name, value, flags), this.inode.forgetAcl()
      default: throw errno(refusal(name), 'setxattr', name)
    }
  }
  listxattr(): string[] {
    const { brick, inode } = this
    let names: string[]
    try { names = sys.listxattr(inode.access()) } catch (e) {
      if (isErrno(e, 'EOPNOTSUPP')) return []
      throw e
    }
    if (brick.owner.storesAcls) {
      names = names.filter((name) => !ACLS.has(name)).map((name) => ACLS.has(name.slice(OWN.length)) && name.startsWith(OWN) ? name.slice(OWN.length) : name)
    }
    return names.filter((name) => kind(name, brick.hostCaps) === 'host' || kind(name, brick.hostCaps) === 'acl')
  }
  removexattr(name: string): void {
    switch (kind(name, this.brick.hostCaps)) {
      case 'host': return this.#userless(name) ? fail('EPERM', 'removexattr', name) : sys.removexattr(this.inode.access(), name)
      case 'acl': return this.brick.owner.removeAcl(this.inode, name), this.inode.forgetAcl()
      case 'own': throw errno('ENODATA', 'removexattr', name)
      default: throw errno(refusal(name), 'removexattr', name)
    }
  }
  /** user.* is for regular files and directories; a file in disguise must not have what the real thing can't. */
  #userless(name: string): boolean { return this.inode.type !== this.inode.native && name.startsWith('user.') }

  close(): Awaitable<void> {
    if (this.#closed) return
    this.#closed = true
    return this.inode.unref()
  }
  async [Symbol.asyncDispose](): Promise<void> { await this.close() }

  /** A descriptor of this directory. ENOTDIR; ENOENT: it is a store of blobs. */
  #directory(op: string): number {
    const { inode } = this
    if (!inode.isDirectory) throw errno('ENOTDIR', op)
    if (inode.store !== false && this.brick.isStore(inode)) throw errno('ENOENT', `${op}: a store of blobs shows no files`)
    return inode.access()
  }
  /** The same, for changing it. */
  #writable(op: string, name: string): number {
    const { inode } = this
    if (name === MARKER) throw errno('EPERM', op, name)
    if (inode.isDirectory && inode.store !== false && this.brick.isStore(inode)) throw errno('EPERM', `${op}: a store of blobs is not for files`)
    return this.#directory(op)
  }
  #ours(node: Node, op: string): PosixNode {
    if (node instanceof PosixNode && node.brick === this.brick) return node
    throw errno('EXDEV', op)
  }
}

/** open(), or the descriptor that was reserved for it is given back. */
function giveBack<T>(brick: Brick, open: () => T): T {
  try { return open() } catch (e) {
    brick.descriptors.release()
    throw e
  }
}
function unmake(dir: number, name: string, flags: number): void { try { sys.unlinkat(dir, name, flags) } catch { /* as good as it gets */ } }
function check(dir: number, name: string, expect: bigint): void {
  sys.statAt(dir, name)
  if (BigInt(stat.ino) !== expect) throw errno('ESTALE', 'expect', name)
}
function fail(code: 'ENODATA' | 'EPERM', op: string, name: string): never { throw errno(code, op, name) }

/** Never following, never waiting (FIFOs), never becoming a controlling terminal. O_NOFOLLOW is not here: /proc/self/fd/N is a link. */
function hostFlags(flags: number): number {
  const { Open } = sys, access = flags & O.ACCMODE
  return (access === O.RDONLY ? Open.RDONLY : access === O.WRONLY ? Open.WRONLY : Open.RDWR) | Open.NONBLOCK | Open.NOCTTY
    | (flags & O.APPEND ? Open.APPEND : 0) | (flags & O.DSYNC ? ((flags & O.SYNC) === O.SYNC ? Open.SYNC : Open.DSYNC) : 0)
}

const ACLS = new Set([ACL_ACCESS, ACL_DEFAULT])
type Kind = 'host' | 'acl' | 'own' | 'caps' | 'other'
function kind(name: string, hostCaps: boolean): Kind {
  if (name.startsWith(OWN)) return 'own'
  if (name.startsWith('user.')) return 'host'
  if (ACLS.has(name)) return 'acl'
  if (name.startsWith('trusted.') || name.startsWith('security.')) return hostCaps ? 'host' : 'caps'
  return 'other'
}
function refusal(name: string): 'EPERM' | 'EOPNOTSUPP' { return kind(name, false) === 'other' ? 'EOPNOTSUPP' : 'EPERM' }
