// POSIX ACLs as bytes: the value of system.posix_acl_access and system.posix_acl_default, which is also how Attr.acl
// comes along. What a file system does with them is Linux's fs/posix_acl.c; the layout its uapi/linux/posix_acl_xattr.h:
// version u32 = 2, then entries of tag u16, perm u16, id u32, little-endian, in the order of the tags.

import { errno } from 'ninep'

/** The xattrs that hold an access and a default ACL. */
export const ACL_ACCESS = 'system.posix_acl_access'
export const ACL_DEFAULT = 'system.posix_acl_default'

/** The tags of entries. USER and GROUP have an id, the others 0xffffffff. */
export const Tag = { USER_OBJ: 1, USER: 2, GROUP_OBJ: 4, GROUP: 8, MASK: 0x10, OTHER: 0x20 } as const
/** perm: 4 read, 2 write, 1 execute. */
export interface AclEntry { readonly tag: number; readonly perm: number; readonly id: number }

const NO_ID = 0xffffffff

/**
 * The entries of an ACL, checked as the kernel checks them: an owner, named users, the owning group, named groups, a
 * mask (needed where there are named ones), others; in this order. EINVAL for anything else, EOPNOTSUPP for another
 * version. No entries at all is null: to set that is to remove the ACL.
 */
export function parseAcl(bytes: Uint8Array): readonly AclEntry[] | null {
  if (bytes.length === 0) return null
  if (bytes.length < 4) throw errno('EINVAL', 'acl')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint32(0, true) !== 2) throw errno('EOPNOTSUPP', 'acl')
  if ((bytes.length - 4) % 8 !== 0) throw errno('EINVAL', 'acl')
  if (bytes.length === 4) return null
  const entries: AclEntry[] = []
  let last = 0, named = false
  for (let at = 4; at < bytes.length; at += 8) {
    const tag = view.getUint16(at, true), perm = view.getUint16(at + 2, true)
    const many = tag === Tag.USER || tag === Tag.GROUP
    const id = many ? view.getUint32(at + 4, true) : NO_ID
    const known = many || tag === Tag.USER_OBJ || tag === Tag.GROUP_OBJ || tag === Tag.MASK || tag === Tag.OTHER
    if (!known || perm > 7 || tag < last || (tag === last && !many) || (many && id === NO_ID)) throw errno('EINVAL', 'acl')
    if (last < Tag.USER_OBJ && tag !== Tag.USER_OBJ) throw errno('EINVAL', 'acl')
    if (last < Tag.GROUP_OBJ && tag > Tag.GROUP_OBJ) throw errno('EINVAL', 'acl')
    if (tag === Tag.OTHER && named && last !== Tag.MASK) throw errno('EINVAL', 'acl')
    named ||= many
    last = tag
    entries.push({ tag, perm, id })
  }
  if (last !== Tag.OTHER) throw errno('EINVAL', 'acl')
  return entries
}

/** The bytes of these entries. They are not checked again. */
export function formatAcl(entries: readonly AclEntry[]): Uint8Array {
  const bytes = new Uint8Array(4 + 8 * entries.length), view = new DataView(bytes.buffer)
  view.setUint32(0, 2, true)
  for (const [i, { tag, perm, id }] of entries.entries()) {
    view.setUint16(4 + 8 * i, tag, true)
    view.setUint16(6 + 8 * i, perm, true)
    view.setUint32(8 + 8 * i, id, true)
  }
  return bytes
}

/** The permission bits (0777) of an ACL that says no more than a mode does, which is then not stored; undefined for one
 *  with a mask or named entries. EINVAL as parseAcl. */
export function equivalentMode(acl: Uint8Array): number | undefined {
  const entries = entriesOf(acl)
  return entries.length === 3 ? bits(entries) : undefined
}

/** The mode of a file once this is its access ACL: its group bits are the mask. The bits above 0777 stay. EINVAL as parseAcl. */
export function modeAfterSetAcl(acl: Uint8Array, mode: number): number {
  return (mode & ~0o777) | bits(entriesOf(acl))
}

/** The access ACL after chmod to `mode`: owner, others, and the mask, or the owning group where there is none. */
export function chmodAcl(acl: Uint8Array, mode: number): Uint8Array {
  const entries = entriesOf(acl), group = groupTag(entries)
  return formatAcl(entries.map((entry) => entry.tag === Tag.USER_OBJ ? { ...entry, perm: (mode >> 6) & 7 }
    : entry.tag === group ? { ...entry, perm: (mode >> 3) & 7 }
    : entry.tag === Tag.OTHER ? { ...entry, perm: mode & 7 } : entry))
}

/** What something new inherits: its mode, and the ACLs to store on it. */
export interface Inherited { readonly mode: number; readonly access?: Uint8Array; readonly default?: Uint8Array }

/**
 * What a file or directory that is created with `mode` (symlinks never inherit) gets from the default ACL of its
 * directory: each may do what both the ACL and the mode allow, and a directory hands the default ACL on. Bits above 0777
 * stay as they are.
 */
export function inherit(defaultAcl: Uint8Array | undefined, mode: number, isDir: boolean): Inherited {
  const given = defaultAcl && parseAcl(defaultAcl)
  if (!given) return { mode }
  const group = groupTag(given)
  const entries = given.map((entry) => entry.tag === Tag.USER_OBJ ? { ...entry, perm: entry.perm & (mode >> 6) }
    : entry.tag === group ? { ...entry, perm: entry.perm & (mode >> 3) }
    : entry.tag === Tag.OTHER ? { ...entry, perm: entry.perm & mode } : entry)
  return {
    mode: (mode & ~0o777) | bits(entries),
    ...(entries.length > 3 ? { access: formatAcl(entries) } : {}),
    ...(isDir ? { default: defaultAcl } : {}),
  }
}

/** The same ACL with the ids of named users and groups replaced. EINVAL as parseAcl; an empty one comes back as it is. */
export function mapAcl(acl: Uint8Array, uid: (id: number) => number, gid: (id: number) => number): Uint8Array {
  const entries = parseAcl(acl)
  return entries ? formatAcl(entries.map((e) => e.tag === Tag.USER ? { ...e, id: uid(e.id) } : e.tag === Tag.GROUP ? { ...e, id: gid(e.id) } : e)) : acl
}

function entriesOf(acl: Uint8Array): readonly AclEntry[] {
  const entries = parseAcl(acl)
  if (!entries) throw errno('EINVAL', 'acl')
  return entries
}
/** Whose permission the group bits of the mode are. */
function groupTag(entries: readonly AclEntry[]): number { return entries.some((e) => e.tag === Tag.MASK) ? Tag.MASK : Tag.GROUP_OBJ }
function bits(entries: readonly AclEntry[]): number {
  const group = groupTag(entries)
  let mode = 0
  for (const { tag, perm } of entries) mode |= tag === Tag.USER_OBJ ? perm << 6 : tag === group ? perm << 3 : tag === Tag.OTHER ? perm : 0
  return mode
}
