// Who owns files, and how that is kept: the three ways of the option `owner`.
//
// host    owner and mode are the host's; needs root.
// mapped  owner, mode, type and device number are in xattrs user.virtfs.*, as QEMU's mapped-xattr shares keep them; the
//         host's files are the server's own, 0600 and 0700. FORMAT.md has the bytes.
// none    files are the server's own, with the modes that clients give them.
//
// POSIX ACLs are the host's with `host`. With the others they name users that the host must not go by: they are kept
// in user.virtfs.system.posix_acl_*, and inherited here.

import { errno, S, type Code } from 'ninep'
import { ACL_ACCESS, ACL_DEFAULT, chmodAcl, equivalentMode, inherit, modeAfterSetAcl, parseAcl, Tag } from '../acl.ts'
import * as sys from '../sys.ts'
import { stat } from '../sys.ts'
import type { Owner } from '../translator.ts'
import type { Inode } from './inode.ts'

/** What stands in place of the host's attributes. As of a ctime. */
export interface Identity {
  readonly mode: number; readonly uid: number; readonly gid: number; readonly rdev: bigint
  readonly ctimeSec: number; readonly ctimeNsec: number
}

/** The prefix of what mapped and none keep, hidden and refused whatever the option says. */
export const OWN = 'user.virtfs.'

export interface Ownership {
  /** Whether symbolic links, FIFOs, sockets and devices are regular files of the host, with the type in an xattr. */
  readonly disguises: boolean
  /** Whether ACLs are kept in xattrs of ours. */
  readonly storesAcls: boolean
  /** S_IFMT of the file that `stat` describes, as clients see it; fd may be O_PATH. */
  type(fd: number): number
  /** In place of the host's, for the file that `stat` describes; undefined: the host's it is. */
  identity(inode: Inode): Identity | undefined
  /** The permission bits to make it with: never more than it will have, and no set-id bits. mode has S_IFMT. */
  first(mode: number): number
  /** Gives what was just made, and `stat` describes, its owner and exact mode, and what it inherits of the directory dir.
   *  Whether that changed anything. */
  settle(fd: number, dir: number, mode: number, rdev: bigint, owner: Owner): boolean
  chown(inode: Inode, fd: number, uid: number | undefined, gid: number | undefined): void
  /** Refuses what chown would, before anything is changed. `stat` describes the file. */
  checkChown(uid: number | undefined, gid: number | undefined): void
  chmod(inode: Inode, fd: number, mode: number): void
  acl(inode: Inode): Uint8Array | undefined
  getAcl(inode: Inode, name: string): Uint8Array
  setAcl(inode: Inode, name: string, value: Uint8Array, flags: number): void
  removeAcl(inode: Inode, name: string): void
}

export class HostOwner implements Ownership {
  readonly disguises = false
  readonly storesAcls = false
  type(): number { return stat.mode & S.IFMT }
  identity(): undefined {}
  first(mode: number): number { return mode & 0o777 }
  settle(fd: number, dir: number, mode: number, _rdev: bigint, owner: Owner): boolean {
    const got = stat.mode & 0o7777, foreign = stat.uid !== owner.uid || stat.gid !== owner.gid
    if (foreign) sys.chown(fd, owner.uid, owner.gid)
    return settleMode(fd, dir, got, mode) || foreign
  }
  chown(_inode: Inode, fd: number, uid: number | undefined, gid: number | undefined): void { sys.chown(fd, uid, gid) }
  checkChown(): void {}
  chmod(_inode: Inode, fd: number, mode: number): void { sys.chmod(fd, mode & 0o7777) }
  acl(inode: Inode): Uint8Array | undefined {
    try { return sys.getxattr(inode.access(), ACL_ACCESS) } catch (e) { return none(e, () => { inode.device.acls = false }) }
  }
  getAcl(inode: Inode, name: string): Uint8Array { return sys.getxattr(inode.access(), name) }
  setAcl(inode: Inode, name: string, value: Uint8Array, flags: number): void { sys.setxattr(inode.access(), name, value, flags) }
  removeAcl(inode: Inode, name: string): void { sys.removexattr(inode.access(), name) }
}

/** The exact mode, whatever umask and set-group-id directories made of it; but a default ACL of the host's directory has the last word. */
function settleMode(fd: number, dir: number, got: number, mode: number): boolean {
  if ((mode & S.IFMT) === S.IFLNK) return false
  let want = mode & 0o7777
  if ((got ^ want) & 0o777 && sys.xattrIfAny(dir, ACL_DEFAULT)) want = (want & 0o7000) | (got & 0o777)
  if (got !== want) sys.chmod(fd, want)
  return got !== want
}

/** undefined for ENODATA, and for EOPNOTSUPP, which is also told. */
function none(e: unknown, unsupported?: () => void): undefined {
  const code = (e as { code?: Code }).code
  if (code === 'EOPNOTSUPP') unsupported?.()
  else if (code !== 'ENODATA') throw e
}

/** ACLs in xattrs of ours: what mapped and none share. */
abstract class StoredAcls {
  readonly storesAcls = true
  abstract readonly disguises: boolean
  abstract chmod(inode: Inode, fd: number, mode: number): void
  protected abstract mode(inode: Inode): number
  acl(inode: Inode): Uint8Array | undefined {
    try { return sys.getxattr(inode.access(), OWN + ACL_ACCESS) } catch (e) {
      // A mode that denies the server's own user reading hides the record too. The file is as closed to those the ACL names.
      return (e as { code?: Code }).code === 'EACCES' ? undefined : none(e, () => { inode.device.acls = false })
    }
  }
  getAcl(inode: Inode, name: string): Uint8Array { return sys.getxattr(inode.access(), OWN + name) }
  setAcl(inode: Inode, name: string, value: Uint8Array, flags: number): void {
    if (inode.type === S.IFLNK) throw errno('EOPNOTSUPP', 'setxattr', name)
    if (name === ACL_DEFAULT && !inode.isDirectory) throw errno('EACCES', 'setxattr', name)
    const entries = parseAcl(value), fd = inode.access()
    if (!entries) return this.#remove(fd, name)
    if (name === ACL_DEFAULT) return sys.setxattr(fd, OWN + name, value, flags)
    const mode = modeAfterSetAcl(value, this.mode(inode))
    if (equivalentMode(value) === undefined) sys.setxattr(fd, OWN + name, value, flags)
    else this.#remove(fd, name)
    this.chmod(inode, fd, mode)
  }
  removeAcl(inode: Inode, name: string): void { sys.removexattr(inode.access(), OWN + name) }
  #remove(fd: number, name: string): void { try { sys.removexattr(fd, OWN + name) } catch (e) { none(e) } }

  /** What a default ACL makes of a mode; stores the ACLs. */
  protected inherited(fd: number, dir: number, mode: number): number {
    if ((mode & S.IFMT) === S.IFLNK) return mode
    const from = sys.xattrIfAny(dir, OWN + ACL_DEFAULT)
    if (!from) return mode
    const type = mode & S.IFMT, got = inherit(from, mode, type === S.IFDIR)
    if (got.access && type !== S.IFREG && type !== S.IFDIR && !this.disguises) {
      // a FIFO of the host has no user.*: its group gets what the ACL gave the group, and not the mask
      const group = parseAcl(got.access)!.find(({ tag }) => tag === Tag.GROUP_OBJ)!.perm
      return got.mode & ~0o070 | got.mode & group << 3
    }
    if (got.access) sys.setxattr(fd, OWN + ACL_ACCESS, got.access, 0)
    if (got.default) sys.setxattr(fd, OWN + ACL_DEFAULT, got.default, 0)
    return got.mode
  }
  /** The access ACL goes with the mode. */
  protected follow(inode: Inode, fd: number, mode: number): void {
    if (!inode.device.acls) return
    const acl = sys.xattrIfAny(fd, OWN + ACL_ACCESS)
    if (acl) sys.setxattr(fd, OWN + ACL_ACCESS, chmodAcl(acl, mode), 0)
  }
}

export class NoOwner extends StoredAcls implements Ownership {
  readonly disguises = false
  type(): number { return stat.mode & S.IFMT }
  identity(): undefined {}
  first(mode: number): number { return mode & 0o777 }
  settle(fd: number, dir: number, mode: number): boolean {
    const got = stat.mode & 0o7777
    return settleMode(fd, dir, got, this.inherited(fd, dir, mode))
  }
  checkChown(uid: number | undefined, gid: number | undefined): void {
    if ((uid ?? stat.uid) !== stat.uid || (gid ?? stat.gid) !== stat.gid) throw errno('EPERM', 'chown')
  }
  chown(_inode: Inode, fd: number): void { touch(fd) }
  chmod(inode: Inode, fd: number, mode: number): void {
    sys.chmod(fd, mode & 0o7777)
    this.follow(inode, fd, mode)
  }
  protected mode(inode: Inode): number {
    inode.stat()
    return stat.mode & 0o7777
  }
}

/** A new ctime, and no other change. */
export function touch(fd: number): void {
  sys.statFd(fd)
  if ((stat.mode & S.IFMT) === S.IFLNK) sys.chown(fd, undefined, undefined)
  else sys.chmod(fd, stat.mode & 0o7777)                  // chown would clear set-id bits
}

export class MappedOwner extends StoredAcls implements Ownership {
  readonly disguises = true
  type(fd: number): number {
    const type = stat.mode & S.IFMT
    if (type !== S.IFREG) return type
    const said = (word(fd, 'mode') ?? 0) & S.IFMT
    return said === 0 || said === S.IFDIR ? type : said   // a directory it can't be
  }
  identity(inode: Inode): Identity {
    const { ctimeSec, ctimeNsec } = stat, known = inode.identity
    if (known && known.ctimeSec === ctimeSec && known.ctimeNsec === ctimeNsec) return known
    const { mode, uid, gid } = stat, fd = inode.access()
    const rdev = inode.type === S.IFCHR || inode.type === S.IFBLK ? sys.xattrIfAny(fd, OWN + 'rdev') : undefined
    return inode.identity = {
      mode: inode.type | ((word(fd, 'mode') ?? mode) & 0o7777), uid: word(fd, 'uid') ?? uid, gid: word(fd, 'gid') ?? gid,
      rdev: rdev?.length === 8 ? Buffer.from(rdev).readBigUInt64LE() : 0n, ctimeSec, ctimeNsec,
    }
  }
  first(mode: number): number { return (mode & S.IFMT) === S.IFDIR ? 0o700 : 0o600 }
  settle(fd: number, dir: number, mode: number, rdev: bigint, owner: Owner): boolean {
    setWord(fd, 'uid', owner.uid)
    setWord(fd, 'gid', owner.gid)
    setWord(fd, 'mode', this.inherited(fd, dir, mode))
    const type = mode & S.IFMT
    if (type === S.IFCHR || type === S.IFBLK) {
      const bytes = Buffer.alloc(8)
      bytes.writeBigUInt64LE(rdev)
      sys.setxattr(fd, OWN + 'rdev', bytes, 0)
    }
    return true
  }
  checkChown(): void {}
  chown(inode: Inode, fd: number, uid: number | undefined, gid: number | undefined): void {
    if (uid !== undefined) setWord(fd, 'uid', uid)
    if (gid !== undefined) setWord(fd, 'gid', gid)
    inode.identity = undefined
  }
  chmod(inode: Inode, fd: number, mode: number): void {
    setWord(fd, 'mode', inode.type | (mode & 0o7777))
    this.follow(inode, fd, mode)
    inode.identity = undefined
  }
  protected mode(inode: Inode): number {
    inode.stat()
    return this.identity(inode).mode & 0o7777
  }
}

function word(fd: number, name: string): number | undefined {
  const bytes = sys.xattrIfAny(fd, OWN + name)
  return bytes && bytes.length === 4 ? Buffer.from(bytes).readUInt32LE() : undefined
}
function setWord(fd: number, name: string, value: number): void {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  sys.setxattr(fd, OWN + name, bytes, 0)
}
