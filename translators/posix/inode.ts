// A file in use: all nodes and handles of one file share its Inode, which knows how to get at the file.
//
// It is open (an O_PATH descriptor of its own, or that of a handle), or parked: then it is found again under the name
// it is bound to, in a directory that may be parked in turn, and what is found must be the same file. With the right
// to open by handle (root) neither name nor directory is needed.

import { Attrs, errno, isErrno, qidType, S, type Attr, type Qid } from 'ninep'
import * as sys from '../sys.ts'
import { stat } from '../sys.ts'
import type { Awaitable } from '../translator.ts'
import type { Brick } from './brick.ts'
import type { Parkable } from './descriptors.ts'
import type { Device } from './device.ts'
import type { Identity } from './owner.ts'

const zero = 0n

export class Inode implements Parkable {
  readonly ino: number | bigint
  readonly path: bigint
  /** S_IFMT bits, as clients see them; `native`: as the host has them. */
  readonly type: number
  readonly native: number
  /** Nodes, handles, and files bound to names in it. */
  refs = 0
  /** O_PATH, or -1. */
  fd = -1
  /** Descriptors of its open handles: as good as fd while they last. */
  #handles: number[] | undefined
  /** Where it is bound: `parent` has it as its child `name`. null: nowhere, or it is the root. */
  parent: Inode | null = null
  name = ''
  /** Files in use that are bound to names in this directory. */
  children: Map<string, Inode> | undefined
  /** Whether this directory is a store of blobs, which shows no files. Known when it was first asked. */
  store: boolean | undefined
  hot = false
  slot = -1
  /** Above 0, it must not be parked. */
  held = 0
  /** Whether its descriptor is one that must stay: it has no name to be found by. */
  pinned = false
  /** What ownership says in place of the host, as of a ctime. */
  identity: Identity | undefined
  #handle: Uint8Array | undefined | null                  // null: not asked yet
  #gen = zero
  #btimeSec: number
  #btimeNsec: number
  #sum = 0
  #writes = 0
  #qid: Qid | undefined
  #acl: Uint8Array | undefined
  #aclSec = NaN
  #aclNsec = 0

  /** Of the file that `stat` describes. */
  constructor(readonly brick: Brick, readonly device: Device, type: number) {
    this.ino = stat.ino
    this.path = BigInt(this.ino)
    this.native = stat.mode & S.IFMT
    this.type = type
    this.#btimeSec = stat.btimeSec
    this.#btimeNsec = stat.btimeNsec
    this.#handle = null
    this.noteVersion()
  }
  get isDirectory(): boolean { return this.type === S.IFDIR }

  // Getting at the file

  /** A descriptor for *at and /proc/self/fd, good until the next descriptor is opened. ENOENT, ESTALE: it is gone, or others moved it. */
  access(): number {
    if (this.fd >= 0) {
      this.hot = true
      return this.fd
    }
    return this.#handles ? this.#handles[0]! : this.#find()
  }
  /** Whether it can be got at without looking for it. */
  get open(): boolean { return this.fd >= 0 || this.#handles !== undefined }
  /** Whether `stat` describes this file. Trustworthy while it is open: then its number can't be another's. */
  is(): boolean { return stat.ino === this.ino && stat.device === this.device.number }

  /** Finds a parked file: by its handle, else by names from the nearest directory that is open. */
  #find(): number {
    const chain: Inode[] = [this]
    if (!this.#byHandle()) for (let up = this.parent; up && !up.open; up = up.parent) {
      chain.push(up)
      if (up.#byHandle()) break
    }
    for (let i = chain.length - 1; i >= 0; i--) if (!chain[i]!.open) chain[i]!.#byName()
    return this.fd
  }
  /** From its directory, which is open. */
  #byName(): void {
    const { brick, parent, name } = this
    if (!parent) throw errno('ESTALE', 'find', name)
    parent.held++                                         // or the room that is made may be its own
    try { brick.descriptors.makeRoom() } finally { parent.held-- }
    const fd = sys.openat(parent.access(), name, sys.Open.PATH | sys.Open.NOFOLLOW)
    sys.statFd(fd)
    if (!this.matches(fd)) {
      sys.close(fd)
      throw errno('ESTALE', 'find', name)
    }
    this.adopt(fd)
  }
  #byHandle(): boolean {
    if (!this.#handle || !this.brick.byHandle) return false
    this.brick.descriptors.makeRoom()
    this.adopt(sys.openHandle(this.device.root, this.#handle))
    return true
  }
  #same(): boolean { return this.is() && stat.btimeSec === this.#btimeSec && stat.btimeNsec === this.#btimeNsec }
  /** Whether this parked file is the one of fd, which `stat` describes: number and generation. */
  matches(fd: number): boolean {
    if (!this.#same()) return false
    if (!this.#handle) return true
    const handle = sys.handleOf(fd)
    return handle !== undefined && Buffer.compare(handle, this.#handle) === 0
  }

  /** Takes an O_PATH descriptor of this file. */
  adopt(fd: number): void {
    this.fd = fd
    this.brick.descriptors.add(this)
  }
  park(): boolean {
    if (this.held > 0 || !this.findable) return false
    if (!this.#handles) this.handle()
    this.brick.descriptors.remove(this)
    sys.close(this.fd)
    this.fd = -1
    return true
  }
  /** Whether it could be found again if it were parked. */
  get findable(): boolean { return this.parent !== null }
  /** Its generation to the kernel. */
  handle(): Uint8Array | undefined {
    if (this.#handle === null) this.#handle = sys.handleOf(this.access())
    return this.#handle
  }

  /** To be called before its last known name may go: from here its descriptor must stay. */
  secure(): void {
    try { if (!this.open && this.brick.descriptors.makeRoom()) this.#find() } catch (e) {
      if (!isErrno(e)) throw e                            // it was gone before
    }
  }

  // Names

  bind(parent: Inode, name: string): void {
    if (this.parent === parent && this.name === name) return
    if (this.isDirectory) for (let up: Inode | null = parent; up; up = up.parent) if (up === this) { parent.unbind(); break }
    parent.refs++
    this.unbind()
    parent.children ??= new Map()
    parent.children.get(name)?.unbind()
    parent.children.set(name, this)
    this.parent = parent
    this.name = name
    if (this.pinned) {
      this.pinned = false
      this.brick.descriptors.unpin()
      this.brick.descriptors.add(this)
    }
  }
  /** The name it is bound to is not its own any more. */
  unbind(): void {
    const { parent } = this
    if (!parent) return
    if (parent.children!.get(this.name) === this) parent.children!.delete(this.name)
    this.parent = null
    this.pin()
    parent.unref()
  }
  /** Without a name, its descriptor is all there is of it. With too many such, it is lost (ESTALE), unless others gave it
   *  names and it can be opened by its handle. */
  pin(): void {
    if (this.parent || this.slot < 0) return
    this.brick.descriptors.remove(this)
    this.pinned = this.brick.descriptors.pin()
    if (this.pinned) return
    this.handle()
    sys.close(this.fd)
    this.fd = -1
  }

  // Lives

  ref(): this {
    this.refs++
    return this
  }
  unref(): Awaitable<void> {
    let closed: Awaitable<void> = undefined
    for (let inode: Inode | null = this; inode && --inode.refs === 0;) {
      const above: Inode | null = inode.parent
      if (above?.children!.get(inode.name) === inode) above.children!.delete(inode.name)
      inode.parent = null
      const last = inode.#forget()
      closed ??= last
      inode = above
    }
    return closed
  }
  #forget(): Awaitable<void> {
    const { brick, fd } = this
    if (this.device.inodes.get(this.ino) === this) this.device.inodes.delete(this.ino)
    if (fd < 0) return
    if (this.slot >= 0) brick.descriptors.remove(this)
    if (this.pinned) brick.descriptors.unpin()
    this.fd = -1
    return this.pinned ? brick.closeLast(fd) : sys.close(fd)
  }
  /** A handle of it was opened. */
  opened(fd: number): void { (this.#handles ??= []).push(fd) }
  /** A handle of it is about to be closed: keeps a descriptor where nodes are left and could not find the file again. */
  closing(fd: number): void {
    const handles = this.#handles!
    if (this.refs > 1 && this.fd < 0 && handles.length === 1) {
      if (this.findable && this.brick.byHandle) this.handle()
      else {
        this.brick.descriptors.makeRoom()
        this.adopt(sys.reopen(fd, sys.Open.PATH))
        this.pin()
      }
    }
    if (handles.length > 1) handles.splice(handles.indexOf(fd), 1)
    else this.#handles = undefined
  }

  /** The root's descriptor goes with the brick. */
  close(): void {
    sys.close(this.fd)
    this.fd = -1
    this.brick.descriptors.release()
  }

  // What it is

  /** Reads what it is now into `stat`. */
  stat(): void {
    const { parent } = this
    if (this.open || !parent || !parent.open) return sys.statFd(this.access())
    const there = sys.statIfAny(parent.access(), this.name)   // parked in an open directory: one call, and no descriptor
    if (!there || !this.#same()) sys.statFd(this.#find())
  }

  /** Changes with the content: from times and size, and from the writes seen here, since clocks stand still for milliseconds. */
  get qid(): Qid { return this.#qid ??= { type: qidType(this.type), version: version(this.#sum + this.#writes), path: this.path } }
  written(): void {
    this.#writes++
    this.#qid = undefined
  }
  /** Takes the version from `stat`. */
  noteVersion(): void {
    const sum = sumOf()
    if (sum === this.#sum) return
    this.#sum = sum
    this.#qid = undefined
  }

  /** Attributes as of now; `fd`: a descriptor of it, where the caller has one. */
  attr(mask: number, fd?: number): Attr {
    if (fd === undefined) this.stat()
    else sys.statFd(fd)
    this.noteVersion()
    const attr = attrOf(this.qid)
    const { ctime } = attr
    const identity = this.brick.owner.identity(this)
    const acl = mask & Attrs.ACL && this.type !== S.IFLNK ? this.#aclAt(ctime.sec, ctime.nsec) : undefined
    if (!identity && !acl && !(mask & (Attrs.GEN | Attrs.ACL))) return attr
    return {
      ...attr, valid: attr.valid | (mask & (Attrs.GEN | Attrs.ACL)), ...(identity ? { mode: identity.mode, uid: identity.uid, gid: identity.gid, rdev: identity.rdev } : {}),
      gen: mask & Attrs.GEN ? this.gen() : zero, ...(acl ? { acl } : {}),
    }
  }
  /** Never the same for two files that had one number after the other. */
  gen(): bigint {
    if (this.#gen === zero) {
      const bytes = this.handle() ?? new TextEncoder().encode(`${this.#btimeSec}.${this.#btimeNsec}`)
      let h = 0x811c9dc5
      for (const byte of bytes) h = Math.imul(h ^ byte, 0x01000193)
      this.#gen = BigInt((h >>> 0) || 1)
    }
    return this.#gen
  }

  forgetAcl(): void { this.#aclSec = NaN }
  /** The access ACL, kept while the ctime stands, so that a check of permission costs nothing. */
  #aclAt(sec: number, nsec: number): Uint8Array | undefined {
    if (!this.device.acls) return undefined
    if (this.#aclSec === sec && this.#aclNsec === nsec) return this.#acl
    this.#acl = this.brick.owner.acl(this)
    if (Date.now() - (sec * 1000 + nsec / 1e6) > 20) {    // a later change would show: clocks tick every 1 to 10 ms
      this.#aclSec = sec
      this.#aclNsec = nsec
    } else this.#aclSec = NaN
    return this.#acl
  }
}

/** What `stat` says, all that needs no more than that. */
export function attrOf(qid: Qid): Attr {
  const { mode, hasBtime } = stat, type = mode & S.IFMT
  return {
    valid: Attrs.BASIC | Attrs.DATA_VERSION | (hasBtime ? Attrs.BTIME : 0), qid, mode, uid: stat.uid, gid: stat.gid, nlink: stat.nlink,
    rdev: type === S.IFCHR || type === S.IFBLK ? BigInt(stat.rdev) : zero, size: stat.size, blksize: stat.blksize, blocks: stat.blocks,
    atime: stat.atime, mtime: stat.mtime, ctime: stat.ctime, btime: stat.btime, gen: zero, dataVersion: BigInt(qid.version),
  }
}
/** The qid of the file that `stat` describes, where it is not in use. */
export function qidOf(): Qid { return { type: qidType(stat.mode), version: version(sumOf()), path: BigInt(stat.ino) } }

function version(sum: number): number { return sum >>> 0 || 1 }
/** 32 bits of the times and size in `stat`. */
function sumOf(): number {
  let h = Math.imul(stat.mtimeNsec ^ stat.ctimeSec, 0x9e3779b1) ^ stat.mtimeSec
  h = Math.imul(h ^ h >>> 15, 0x85ebca6b) ^ stat.ctimeNsec
  h = Math.imul(h ^ h >>> 13, 0xc2b2ae35) ^ stat.size ^ Math.floor(stat.size / 2 ** 32)
  return Math.imul(h ^ h >>> 16, 0x27d4eb2f)
}
