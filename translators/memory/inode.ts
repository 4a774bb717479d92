import { Attrs, qidType, S } from 'ninep'
import type { Attr, Qid, Time } from 'ninep'
import { ACL_ACCESS } from '../acl.ts'
import { now } from '../clock.ts'
import type { Owner } from '../translator.ts'
import type { Directory } from './directory.ts'
import { Pages } from './pages.ts'

/** What a file is made of: data, names, the target of a symbolic link (with its bytes), or nothing at all (devices and such). */
export type Body = Pages | Directory | Target | null
export class Target { constructor(readonly text: string, readonly bytes: number) {} }

const zero = 0n

/** A file: what all its names, nodes and handles share. It ends, and gives back its space, when none of them is left. */
export class Inode {
  qid: Qid
  uid: number
  gid: number
  nlink = 1
  /** Nodes and handles that stand for it. */
  refs = 0
  xattrs: Map<string, Uint8Array> | undefined
  atime: Time
  mtime: Time
  ctime: Time
  readonly btime: Time

  constructor(path: number, public mode: number, owner: Owner, readonly body: Body, readonly rdev: bigint = zero) {
    this.qid = { type: qidType(mode), version: 1, path: BigInt(path) }
    this.uid = owner.uid
    this.gid = owner.gid
    this.atime = this.mtime = this.ctime = this.btime = now()
  }

  is(type: number): boolean { return (this.mode & S.IFMT) === type }

  /** The content is another now. */
  modified(): void {
    const { type, version, path } = this.qid
    this.qid = { type, version: version === 0xffffffff ? 1 : version + 1, path }
    this.mtime = this.ctime = now()
  }
  changed(): void { this.ctime = now() }
  /** Read: as a relatime mount of Linux has it, so that reading alone is no change most of the time. */
  accessed(): void {
    const { atime, mtime, ctime } = this
    if (later(atime, mtime) && later(atime, ctime) && Date.now() < (atime.sec + 86400) * 1000) return
    this.atime = now()
  }

  attr(mask: number, gen: bigint): Attr {
    const { body } = this
    const pages = body instanceof Pages ? body : undefined
    return {
      valid: mask & Attrs.ACL ? Attrs.ALL | Attrs.ACL : Attrs.ALL, qid: this.qid, mode: this.mode, uid: this.uid, gid: this.gid, nlink: this.nlink,
      rdev: this.rdev, size: pages ? pages.size : body instanceof Target ? body.bytes : body ? 4096 : 0, blksize: 4096,
      blocks: pages ? pages.allocated / 512 : 0, atime: this.atime, mtime: this.mtime, ctime: this.ctime, btime: this.btime, gen,
      dataVersion: mask & Attrs.DATA_VERSION ? BigInt(this.qid.version) : zero, acl: mask & Attrs.ACL ? this.xattrs?.get(ACL_ACCESS) : undefined,
    }
  }
}
function later(a: Time, b: Time): boolean { return a.sec > b.sec || (a.sec === b.sec && a.nsec > b.nsec) }
