// Extended attributes as Linux keeps them, ACLs among them: those are checked, and agree with the mode.

import { errno, NAME_MAX, nameLength, S, XATTR_CREATE, XATTR_REPLACE, XATTR_SIZE_MAX } from 'ninep'
import { ACL_ACCESS, ACL_DEFAULT, equivalentMode, modeAfterSetAcl, parseAcl } from '../acl.ts'
import type { Awaitable } from '../translator.ts'
import type { File } from './file.ts'
import type { Tree } from './tree.ts'

/** The longest list of names that Linux reads, bytes with their NULs. */
const LIST_MAX = 65536

/** Which names there may be. user.* is for files and directories only, ACLs are for all but links. */
export function checkName(mode: number, name: string, op: 'getxattr' | 'setxattr' | 'removexattr'): void {
  const type = mode & S.IFMT
  if (name === ACL_ACCESS || name === ACL_DEFAULT) {
    if (type === S.IFLNK) throw errno('EOPNOTSUPP', op, name)
    return
  }
  const dot = name.indexOf('.'), kind = name.slice(0, dot)
  if (kind !== 'user' && kind !== 'trusted' && kind !== 'security') throw errno('EOPNOTSUPP', op, name)
  if (dot === name.length - 1) throw errno('EINVAL', op, name)
  if (kind === 'user' && type !== S.IFREG && type !== S.IFDIR) throw errno(op === 'getxattr' ? 'ENODATA' : 'EPERM', op, name)
}

export function setXattr(tree: Tree, file: File, name: string, value: Uint8Array, flags: number): Awaitable<void> {
  checkName(file.v.mode, name, 'setxattr')
  if (flags & ~(XATTR_CREATE | XATTR_REPLACE)) throw errno('EINVAL', 'setxattr', name)
  if (value.length > XATTR_SIZE_MAX) throw errno('E2BIG', 'setxattr', name)
  if (name === ACL_ACCESS || name === ACL_DEFAULT) return setAcl(tree, file, name, value)
  const there = file.v.xattrs?.has(name) ?? false
  if (there && flags & XATTR_CREATE) throw errno('EEXIST', 'setxattr', name)
  if (!there && flags & XATTR_REPLACE) throw errno('ENODATA', 'setxattr', name)
  checkRoom(file, name, there)
  const change = tree.change()
  tree.withXattr(change, file, name, value)
  return change.commit()
}
/** ERANGE: the name is too long; ENOSPC: the list is. */
function checkRoom(file: File, name: string, there: boolean): void {
  if (there) return
  const length = nameLength(name)
  if (length > NAME_MAX) throw errno('ERANGE', 'setxattr', name)
  let list = length + 1
  for (const other of file.v.xattrs?.keys() ?? []) list += nameLength(other) + 1
  if (list > LIST_MAX) throw errno('ENOSPC', 'setxattr', name)
}
/** An empty one, or one that says no more than a mode, is not kept. As for Linux, flags mean nothing here. */
function setAcl(tree: Tree, file: File, name: string, value: Uint8Array): Awaitable<void> {
  const acl = parseAcl(value), change = tree.change()
  if (name === ACL_DEFAULT && acl && !file.isDirectory) throw errno('EACCES', 'setxattr', name)
  const kept = acl && (name === ACL_DEFAULT || equivalentMode(value) === undefined) ? value : undefined
  tree.withXattr(change, file, name, kept)
  if (acl && name === ACL_ACCESS) {
    const v = change.of(file)
    change.inode(file, { ...v, mode: modeAfterSetAcl(value, v.mode) })
  }
  return change.commit()
}

export function removeXattr(tree: Tree, file: File, name: string): Awaitable<void> {
  checkName(file.v.mode, name, 'removexattr')
  if (!file.v.xattrs?.has(name)) throw errno('ENODATA', 'removexattr', name)
  const change = tree.change()
  tree.withXattr(change, file, name, undefined)
  return change.commit()
}
