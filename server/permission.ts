// The one permission check, for every translator alike: what Linux does for a local file system (fs/namei.c, attr.c,
// posix_acl.c, xattr.c, inode.c), as pure functions of a user and attributes. A server that runs as root is checked by no
// kernel, so what is missing here is missing. Attributes are as fresh as the caller can have them, with Attrs.ACL asked for.
// Refusals are EACCES (no permission bit) or EPERM (not the owner), whichever Linux says. `name` is for the sentence only.

import { Attrs, O, S, errno } from 'ninep'
import type { Attr, SetAttr } from 'ninep'
import { ACL_ACCESS, ACL_DEFAULT, Tag, parseAcl } from '../translators/acl.ts'
import type { Owner } from '../translators/translator.ts'

/** Who asks. groups hold gid too. uid 0 may do what CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_CHOWN, CAP_FSETID, CAP_MKNOD and CAP_SYS_ADMIN allow. */
export interface User { readonly uid: number; readonly gid: number; readonly groups: ReadonlySet<number> }

/** What getattr must be asked for before any of these are: root's rights hang on no ACL, and to look for one has its price. */
export function needed(user: User): number { return user.uid === 0 ? Attrs.MODE | Attrs.UID | Attrs.GID : Attrs.MODE | Attrs.UID | Attrs.GID | Attrs.ACL }

/** Bits of `want`, as in a mode: ls shows them rwx. */
export const R = 4, W = 2, X = 1

/**
 * Whether the user may read (4), write (2), execute or search (1) this: all bits of `want`. Root may all but execute a
 * file without any x bit. The owner goes by the owner's bits alone; then an ACL decides, unless its mask is empty (Linux does
 * not look at it then); else group or other bits. EINVAL where attr.acl is not an ACL.
 */
export function allows(user: User, attr: Attr, want: number): boolean {
  const { mode } = attr
  if (user.uid === 0) return (want & X) === 0 || isDir(attr) || (mode & 0o111) !== 0
  if (user.uid === attr.uid) return (want & ~(mode >> 6)) === 0
  if (attr.acl !== undefined && (mode & 0o070) !== 0) {
    const decided = aclAllows(user, attr, attr.acl, want)
    if (decided !== undefined) return decided
  }
  return (want & ~(user.groups.has(attr.gid) ? mode >> 3 : mode)) === 0
}

/** posix_acl_permission(), for who is not the owner. undefined: there are no entries. */
function aclAllows(user: User, attr: Attr, acl: Uint8Array, want: number): boolean | undefined {
  const entries = parseAcl(acl)
  if (!entries) return undefined
  const mask = entries.find((e) => e.tag === Tag.MASK)?.perm ?? 7
  let member = false
  for (const { tag, perm, id } of entries) {
    if (tag === Tag.USER && id === user.uid) return (want & ~(perm & mask)) === 0
    if (tag === Tag.GROUP_OBJ ? user.groups.has(attr.gid) : tag === Tag.GROUP && user.groups.has(id)) {
      if ((want & ~perm) === 0) return (want & ~mask) === 0
      member = true
    }
    if (tag === Tag.OTHER) return !member && (want & ~perm) === 0
  }
  return false
}

/** Twalk through a directory, '..' too: search permission. EACCES. */
export function mayWalk(user: User, dir: Attr, name?: string): void { demand(user, dir, X, 'walk', name) }

/**
 * Tlopen: flags are O bits, access mode 3 asks for both. O_TRUNC wants write permission whatever the access mode. ELOOP for a
 * symlink, EISDIR for writing a directory, ENOTDIR for O_DIRECTORY on something else, EACCES, EPERM for another's O_NOATIME.
 */
export function mayOpen(user: User, attr: Attr, flags: number, name?: string): void {
  const mode = flags & O.ACCMODE
  const want = (mode === O.WRONLY ? W : mode === O.RDONLY ? R : R | W) | (flags & O.TRUNC ? W : 0)
  if (flags & O.DIRECTORY && !isDir(attr)) throw errno('ENOTDIR', 'open', name)
  if ((attr.mode & S.IFMT) === S.IFLNK) throw errno('ELOOP', 'open', name)
  if (isDir(attr) && want & W) throw errno('EISDIR', 'open', name)
  demand(user, attr, want, 'open', name)
  if (flags & O.NOATIME && !owns(user, attr)) throw errno('EPERM', 'open', name)
}

/** Topen to execute: x instead of r, for a file. EISDIR, ELOOP, EACCES. */
export function mayExecute(user: User, attr: Attr, flags: number, name?: string): void {
  if (isDir(attr)) throw errno('EISDIR', 'open', name)
  if ((attr.mode & S.IFMT) === S.IFLNK) throw errno('ELOOP', 'open', name)
  demand(user, attr, X | (flags & O.TRUNC ? W : 0), 'open', name)
}

/** To make anything in a directory under a name that is free. EACCES. */
export function mayCreate(user: User, dir: Attr, name?: string): void { demand(user, dir, W | X, 'create', name) }

/** Tmknod: mayCreate, and devices (other than the 0:0 that overlays use) are root's. EACCES; EPERM for a device or directory; EINVAL for no type. */
export function mayMknod(user: User, dir: Attr, mode: number, rdev: bigint, name?: string): void {
  const type = mode & S.IFMT
  if (type === S.IFDIR) throw errno('EPERM', 'mknod', name)
  if (type !== S.IFREG && type !== S.IFIFO && type !== S.IFSOCK && type !== S.IFCHR && type !== S.IFBLK) throw errno('EINVAL', 'mknod', name)
  mayCreate(user, dir, name)
  const device = type === S.IFBLK || (type === S.IFCHR && rdev !== 0n)
  if (device && user.uid !== 0) throw errno('EPERM', 'mknod', name)
}

/** To take a name out of a directory: write permission there and, where it is sticky, to own the file or the directory. EACCES EPERM. */
export function mayUnlink(user: User, dir: Attr, victim: Attr, name?: string): void {
  demand(user, dir, W | X, 'unlink', name)
  sticky(user, dir, victim, 'unlink', name)
}

/** What a rename touches: source moves from `from` to `to` (one directory, if their qid.path is equal), over target if there is one. */
export interface Rename { readonly from: Attr; readonly source: Attr; readonly to: Attr; readonly target?: Attr }

/**
 * Trenameat of two different files: to unlink both names, to create in `to`, and write permission on a directory that moves
 * to another, since its '..' changes. EACCES EPERM. ENOTDIR, EISDIR, ENOTEMPTY and the like are not looked at.
 */
export function mayRename(user: User, { from, source, to, target }: Rename, name?: string): void {
  demand(user, from, W | X, 'rename', name)
  sticky(user, from, source, 'rename', name)
  demand(user, to, W | X, 'rename', name)
  if (target) sticky(user, to, target, 'rename', name)
  if (from.qid.path !== to.qid.path && isDir(source)) demand(user, source, W, 'rename', name)
}

/**
 * Tlink, as with fs.protected_hardlinks=1: one's own file; another's only if it is regular, not setuid, not setgid with group
 * execution, and readable and writable to this user. Directories never. EPERM, then EACCES for the directory.
 */
export function mayLink(user: User, target: Attr, dir: Attr, name?: string): void {
  const { mode } = target
  const safe = isFile(target) && (mode & S.ISUID) === 0 && !groupSetgid(mode) && allows(user, target, R | W)
  if (!safe && !owns(user, target)) throw errno('EPERM', 'link', name)
  mayCreate(user, dir, name)
  if (isDir(target)) throw errno('EPERM', 'link', name)
}

/** What something new starts with. mode: permission bits 07777, before a default ACL has its say (the translator's inherit()). */
export interface NewFile { readonly mode: number; readonly owner: Owner }

/**
 * Mode and owner of what the user makes in a directory. A setgid directory gives its group, and to subdirectories its bit
 * (mkdir takes that bit, and setuid, from nowhere else). Elsewhere wantedGid counts (the fsgid that kernels send) where it is
 * one of the user's groups or the user is root; else, as for 0xffffffff, the primary group. A file with setgid and group
 * execution loses the former where its group comes from the directory and is none of the user's.
 */
export function newFile(user: User, dir: Attr, mode: number, wantedGid: number, isDirectory: boolean): NewFile {
  const inherits = (dir.mode & S.ISGID) !== 0
  const chosen = wantedGid !== 0xffffffff && inGroup(user, wantedGid) ? wantedGid : user.gid
  const owner = { uid: user.uid, gid: inherits ? dir.gid : chosen }
  if (isDirectory) return { mode: (mode & 0o1777) | (inherits ? S.ISGID : 0), owner }
  const strip = groupSetgid(mode) && !inGroup(user, owner.gid)
  return { mode: mode & 0o7777 & ~(strip ? S.ISGID : 0), owner }
}

/**
 * Tsetattr: what to apply, in the order owner, mode, size, times; or EPERM, EACCES, EINVAL, EISDIR, EOPNOTSUPP (chmod of a
 * symlink), before anything is. `opened`: the fid's handle, if it has one. The result has a mode also where none was asked
 * for: chown of a non-directory (root's too) and truncation by others than root clear setuid and setgid. A size may pass by
 * write permission although the handle is not writable: then the node, not the handle, must take it.
 *
 * A writer who is not the owner may clear setuid and setgid by name, since kernels ask just that before they write.
 */
export function changes(user: User, attr: Attr, set: SetAttr, opened: { readonly writable: boolean } | null, name?: string): SetAttr {
  const { uid, gid, size, atime, mtime } = set, root = user.uid === 0, own = owns(user, attr)
  if (uid === 0xffffffff || gid === 0xffffffff) throw errno('EINVAL', 'chown', name)
  if (uid !== undefined && !root && !(own && uid === attr.uid)) throw errno('EPERM', 'chown', name)
  if (gid !== undefined && !root && !(own && (gid === attr.gid || user.groups.has(gid)))) throw errno('EPERM', 'chgrp', name)

  const writable = opened?.writable === true || allows(user, attr, W)
  const newGid = gid ?? attr.gid
  let mode = attr.mode & 0o7777
  if ((uid !== undefined || gid !== undefined) && !isDir(attr)) mode = withoutPrivileges(user, mode, attr.gid)
  if (set.mode !== undefined) {
    if ((attr.mode & S.IFMT) === S.IFLNK) throw errno('EOPNOTSUPP', 'chmod', name)
    const wanted = set.mode & 0o7777
    const clearing = isFile(attr) && writable && (wanted | S.ISUID | S.ISGID) === (attr.mode & 0o7777 | S.ISUID | S.ISGID) && (wanted & ~attr.mode) === 0
    if (!own && !clearing) throw errno('EPERM', 'chmod', name)
    mode = inGroup(user, newGid) ? wanted : wanted & ~S.ISGID
  }
  if (size !== undefined) {
    if (isDir(attr)) throw errno('EISDIR', 'truncate', name)
    if (!isFile(attr)) throw errno('EINVAL', 'truncate', name)
    if (!writable) throw errno('EACCES', 'truncate', name)
    if (!root) mode = withoutPrivileges(user, mode, newGid)
  }
  const explicit = typeof atime === 'object' || typeof mtime === 'object'
  const implied = size !== undefined && atime === undefined && !explicit     // a truncation moves mtime itself
  if ((atime !== undefined || mtime !== undefined) && !own && !implied) {
    if (atime !== 'now' || mtime !== 'now') throw errno('EPERM', 'utimes', name)
    demand(user, attr, W, 'utimes', name)
  }
  return set.mode !== undefined || mode !== (attr.mode & 0o7777) ? { ...set, mode } : set
}

/** After a write by this user: the mode without setuid and setgid where the write must clear them, null where there is
 *  nothing to do (almost always; root's writes clear nothing). setgid without group execution stays for members of the group. */
export function afterWrite(user: User, attr: Attr): number | null {
  if ((attr.mode & (S.ISUID | S.ISGID)) === 0 || user.uid === 0 || !isFile(attr)) return null
  const mode = attr.mode & 0o7777, cleared = withoutPrivileges(user, mode, attr.gid)
  return cleared === mode ? null : cleared
}

/** After this user set an access ACL (attr: as it is then): the mode without setgid where the file's group is none of the
 *  user's, null where there is nothing to do. */
export function afterSetAcl(user: User, attr: Attr): number | null {
  return attr.mode & S.ISGID && !inGroup(user, attr.gid) ? attr.mode & 0o7777 & ~S.ISGID : null
}

// Extended attributes

/** Names that a translator keeps for itself, and the record of a passive translator, which the server alone handles. */
const own = /^user\.(virtfs\.|ninefold\.|translator$)/

/**
 * Whether the user may read, set or remove this attribute. user.*: by the file's permission, on regular files and
 * directories, setting on a sticky directory by its owner; trusted.*: root; security.*: read by all, set by root, but
 * a writer may take security.capability off a file, since kernels do that before they write;
 * system.posix_acl_*: read by all, set by the owner. Refused are EACCES and EPERM; what this user is not to see is ENODATA;
 * EOPNOTSUPP names no namespace of ours; ERANGE, EINVAL: no name.
 */
export function mayXattr(user: User, attr: Attr, name: string, op: 'get' | 'set' | 'remove'): void {
  const call = `${op}xattr`, hidden = op === 'get' ? 'ENODATA' : 'EPERM'
  const namespace = name.slice(0, name.indexOf('.') + 1)
  if (name === '' || Buffer.byteLength(name) > 255) throw errno('ERANGE', call, name)
  if (name === ACL_ACCESS || name === ACL_DEFAULT) {
    if ((attr.mode & S.IFMT) === S.IFLNK) throw errno('EOPNOTSUPP', call, name)
    if (op === 'get') return
    if (name === ACL_DEFAULT && !isDir(attr)) {
      if (op === 'set') throw errno('EACCES', call, name)
      return                                                // there is none to remove
    }
    if (!owns(user, attr)) throw errno('EPERM', call, name)
    return
  }
  if (own.test(name)) throw errno(hidden, call, name)
  switch (namespace) {
    case 'security.':
      if (op === 'get' || user.uid === 0 || (op === 'remove' && name === 'security.capability' && isFile(attr) && allows(user, attr, W))) break
      throw errno('EPERM', call, name)
    case 'trusted.':
      if (user.uid !== 0) throw errno(hidden, call, name)
      break
    case 'user.':
      if (!isFile(attr) && !isDir(attr)) throw errno(hidden, call, name)
      if (op !== 'get' && isDir(attr) && attr.mode & S.ISVTX && !owns(user, attr)) throw errno('EPERM', call, name)
      demand(user, attr, op === 'get' ? R : W, call, name)
      break
    default:
      if (namespace !== 'system.') demand(user, attr, op === 'get' ? R : W, call, name)
      throw errno('EOPNOTSUPP', call, name)
  }
  if (name === namespace) throw errno('EINVAL', call, name)
}

/** Whether a listing of attributes shows this user this name. */
export function visibleXattr(user: User, name: string): boolean {
  return !own.test(name) && (user.uid === 0 || !name.startsWith('trusted.'))
}

function demand(user: User, attr: Attr, want: number, op: string, name?: string): void {
  if (!allows(user, attr, want)) throw errno('EACCES', op, name)
}
function sticky(user: User, dir: Attr, victim: Attr, op: string, name?: string): void {
  if (dir.mode & S.ISVTX && user.uid !== victim.uid && user.uid !== dir.uid && user.uid !== 0) throw errno('EPERM', op, name)
}
function owns(user: User, attr: Attr): boolean { return user.uid === attr.uid || user.uid === 0 }
function inGroup(user: User, gid: number): boolean { return user.uid === 0 || user.groups.has(gid) }
function isDir(attr: Attr): boolean { return (attr.mode & S.IFMT) === S.IFDIR }
function isFile(attr: Attr): boolean { return (attr.mode & S.IFMT) === S.IFREG }
/** setgid that takes effect, rather than mean mandatory locking. */
function groupSetgid(mode: number): boolean { return (mode & (S.ISGID | 0o010)) === (S.ISGID | 0o010) }
/** setattr_should_drop_suidgid(). */
function withoutPrivileges(user: User, mode: number, gid: number): number {
  return mode & ~S.ISUID & ~(groupSetgid(mode) || !inGroup(user, gid) ? S.ISGID : 0)
}
