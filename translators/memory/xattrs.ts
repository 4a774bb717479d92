// Extended attributes as Linux keeps them, ACLs among them: those are checked, agree with the mode, and are inherited.

import { errno, NAME_MAX, nameLength, S, XATTR_CREATE, XATTR_REPLACE, XATTR_SIZE_MAX } from 'ninep'
import { ACL_ACCESS, ACL_DEFAULT, chmodAcl, equivalentMode, modeAfterSetAcl, parseAcl } from '../acl.ts'
import type { Inherited } from '../acl.ts'
import type { Inode } from './inode.ts'
import type { Space } from './space.ts'

/** The longest list of names that Linux reads, bytes with their NULs. */
const XATTR_LIST_MAX = 65536
/** What an attribute takes of the space: its bytes, and what keeps them. */
function cost(name: string, value: Uint8Array): number { return 128 + name.length + value.length }

/** ENODATA EOPNOTSUPP EINVAL */
export function getXattr(inode: Inode, name: string): Uint8Array {
  check(inode, name, 'getxattr')
  const value = inode.xattrs?.get(name)
  if (!value) throw errno('ENODATA', 'getxattr', name)
  return value
}

/** EEXIST ENODATA E2BIG ENOSPC EPERM EACCES EOPNOTSUPP EINVAL */
export function setXattr(space: Space, inode: Inode, name: string, value: Uint8Array, flags: number): void {
  check(inode, name, 'setxattr')
  if (flags & ~(XATTR_CREATE | XATTR_REPLACE)) throw errno('EINVAL', 'setxattr', name)
  if (value.length > XATTR_SIZE_MAX) throw errno('E2BIG', 'setxattr', name)
  if (name === ACL_ACCESS || name === ACL_DEFAULT) setAcl(space, inode, name, value)
  else {
    const there = inode.xattrs?.has(name)
    if (there && flags & XATTR_CREATE) throw errno('EEXIST', 'setxattr', name)
    if (!there && flags & XATTR_REPLACE) throw errno('ENODATA', 'setxattr', name)
    put(space, inode, name, value)
  }
  inode.changed()
}
/** An empty one, or one that says no more than a mode, is not kept. As for Linux, flags mean nothing here. */
function setAcl(space: Space, inode: Inode, name: string, value: Uint8Array): void {
  const acl = parseAcl(value)
  if (name === ACL_DEFAULT) {
    if (acl && !inode.is(S.IFDIR)) throw errno('EACCES', 'setxattr', name)
    if (acl) put(space, inode, name, value)
    else remove(space, inode, name)
    return
  }
  if (acl && equivalentMode(value) === undefined) put(space, inode, name, value)
  else remove(space, inode, name)
  if (acl) inode.mode = modeAfterSetAcl(value, inode.mode)
}

/** ENODATA EPERM EOPNOTSUPP EINVAL */
export function removeXattr(space: Space, inode: Inode, name: string): void {
  check(inode, name, 'removexattr')
  if (!remove(space, inode, name)) throw errno('ENODATA', 'removexattr', name)
  inode.changed()
}
export function removeXattrs(space: Space, inode: Inode): void { for (const name of inode.xattrs?.keys() ?? []) remove(space, inode, name) }

/** What a new file gets from the default ACL of its directory. ENOSPC, and it has none then. */
export function inheritAcls(space: Space, inode: Inode, { access, default: own }: Inherited): void {
  if (access) put(space, inode, ACL_ACCESS, access)
  if (own) try { put(space, inode, ACL_DEFAULT, own) } catch (e) { removeXattrs(space, inode); throw e }
}
/** The ACL as chmod leaves it. */
export function chmodXattr(inode: Inode, mode: number): void {
  const acl = inode.xattrs?.get(ACL_ACCESS)
  if (acl) inode.xattrs!.set(ACL_ACCESS, chmodAcl(acl, mode))
}

/** Which names there may be. user.* is for files and directories only, ACLs are for all but links. */
function check(inode: Inode, name: string, op: 'getxattr' | 'setxattr' | 'removexattr'): void {
  if (name === ACL_ACCESS || name === ACL_DEFAULT) {
    if (inode.is(S.IFLNK)) throw errno('EOPNOTSUPP', op, name)
    return
  }
  const dot = name.indexOf('.'), kind = name.slice(0, dot)
  if (kind !== 'user' && kind !== 'trusted' && kind !== 'security') throw errno('EOPNOTSUPP', op, name)
  if (dot === name.length - 1) throw errno('EINVAL', op, name)
  if (kind === 'user' && !inode.is(S.IFREG) && !inode.is(S.IFDIR)) throw errno(op === 'getxattr' ? 'ENODATA' : 'EPERM', op, name)
}

/** ENOSPC: the space or the list is full. ERANGE: the name is too long. */
function put(space: Space, inode: Inode, name: string, value: Uint8Array): void {
  const old = inode.xattrs?.get(name)
  if (!old && nameLength(name) > NAME_MAX) throw errno('ERANGE', 'setxattr', name)
  if (!old && listLength(inode) + nameLength(name) + 1 > XATTR_LIST_MAX) throw errno('ENOSPC', 'setxattr', name)
  if (!space.take(cost(name, value) - (old ? cost(name, old) : 0))) throw errno('ENOSPC', 'setxattr', name)
  ;(inode.xattrs ??= new Map()).set(name, Uint8Array.from(value))
}
function remove(space: Space, inode: Inode, name: string): boolean {
  const old = inode.xattrs?.get(name)
  if (!old) return false
  inode.xattrs!.delete(name)
  if (inode.xattrs!.size === 0) inode.xattrs = undefined
  space.give(cost(name, old))
  return true
}
function listLength(inode: Inode): number {
  let sum = 0
  for (const name of inode.xattrs?.keys() ?? []) sum += nameLength(name) + 1
  return sum
}
