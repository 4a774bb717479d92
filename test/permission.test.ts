// What a server that runs as root must do for the kernel: one test a row. That the rows are Linux's is shown by
// permission-oracle.test.ts; here they have names.

import { O, S, isErrno } from 'ninep'
import type { Attr, Code, SetAttr } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { afterSetAcl, afterWrite, allows, changes, mayCreate, mayLink, mayMknod, mayOpen, mayRename, mayUnlink, mayWalk, mayXattr, newFile, visibleXattr } from '../server/permission.ts'
import type { User } from '../server/permission.ts'
import { Tag, chmodAcl, equivalentMode, formatAcl, inherit, mapAcl, modeAfterSetAcl, parseAcl } from '../translators/acl.ts'

const test = suite('permission')

const user = (uid: number, gid: number, ...groups: number[]): User => ({ uid, gid, groups: new Set([gid, ...groups]) })
const root = user(0, 0), alice = user(1000, 1000, 50), bob = user(1001, 1001, 50), eve = user(1002, 1002)

let inode = 1n
/** Attributes of a file of alice's, unless said otherwise. */
function attr(mode: number, uid = 1000, gid = 1000, acl?: Uint8Array): Attr {
  const time = { sec: 0, nsec: 0 }
  return {
    valid: 0, qid: { type: 0, version: 0, path: inode++ }, mode, uid, gid, nlink: 1, rdev: 0n, size: 0, blksize: 4096, blocks: 0,
    atime: time, mtime: time, ctime: time, btime: time, gen: 0n, dataVersion: 0n, ...(acl ? { acl } : {}),
  }
}
const file = (mode: number, uid?: number, gid?: number, acl?: Uint8Array) => attr(S.IFREG | mode, uid, gid, acl)
const dir = (mode: number, uid?: number, gid?: number, acl?: Uint8Array) => attr(S.IFDIR | mode, uid, gid, acl)
/** An ACL in the letters of setfacl: acl('u::rw u:1001:r g::- m::rw o::-'). */
function acl(text: string): Uint8Array {
  return formatAcl(text.split(' ').map((word) => {
    const [who, id, letters] = word.split(':') as [string, string, string]
    const tag = who === 'u' ? (id ? Tag.USER : Tag.USER_OBJ) : who === 'g' ? (id ? Tag.GROUP : Tag.GROUP_OBJ) : who === 'm' ? Tag.MASK : Tag.OTHER
    const perm = (letters.includes('r') ? 4 : 0) | (letters.includes('w') ? 2 : 0) | (letters.includes('x') ? 1 : 0)
    return { tag, perm, id: id ? Number(id) : 0xffffffff }
  }))
}
function refused(code: Code, f: () => unknown): void {
  try { f() } catch (e) {
    if (!isErrno(e)) throw e
    assert.is(e.code, code)
    return
  }
  assert.unreachable(`allowed, and should be ${code}`)
}
/** A row: what is done, and the errno that refuses it, or what comes of it. */
const refuses = (name: string, code: Code, f: () => unknown) => test(`${name}: ${code}`, () => refused(code, f))
const gives = (name: string, f: () => unknown, value: unknown) => test(name, () => assert.equal(f(), value))

// Mode bits
gives('the owner goes by the owner\'s bits, even where others may more', () => allows(alice, file(0o077), 4), false)
gives('a member of the group goes by the group\'s bits', () => allows(bob, file(0o640, 1000, 50), 4), true)
gives('a supplementary group counts, and then others\' bits do not', () => allows(bob, file(0o604, 1000, 50), 4), false)
gives('others go by the last three', () => allows(eve, file(0o604), 4), true)
gives('all that is wanted must be there', () => allows(eve, file(0o604), 6), false)
gives('root reads and writes anything', () => allows(root, file(0), 6), true)
gives('root executes what has an x bit of anyone', () => allows(root, file(0o001), 1), true)
gives('root does not execute what has none', () => allows(root, file(0o666), 1), false)
gives('root searches any directory', () => allows(root, dir(0), 1), true)
gives('gid 0 is no root', () => allows(user(1002, 0), file(0o700, 0, 0), 4), false)

// ACLs
const named = acl('u::rw u:1001:rw g::r g:50:rwx m::rw o::-')
gives('a named user goes by his entry', () => allows(bob, file(0o660, 1000, 1000, named), 6), true)
gives('the mask limits a named user', () => allows(bob, file(0o640, 1000, 1000, acl('u::rw u:1001:rw g::r m::r o::-')), 2), false)
gives('the mask limits a named group', () => allows(user(7, 7, 50), file(0o660, 1000, 1000, named), 1), false)
gives('a named group gives what the owning group lacks', () => allows(user(7, 1000, 50), file(0o660, 1000, 1000, named), 2), true)
gives('no one group may all that is wanted: refused', () => allows(user(7, 1000, 50), file(0o676, 1000, 1000, acl('u::rw g::r g:50:wx m::rwx o::rw')), 6), false)
gives('a member of a listed group does not fall through to others', () => allows(user(7, 50), file(0o664, 1000, 1000, acl('u::rw g::- g:50:- m::rw o::r')), 4), false)
gives('who is listed nowhere goes by others', () => allows(eve, file(0o664, 1000, 1000, acl('u::rw u:1001:- g::- m::rw o::r')), 4), true)
gives('the owner is above the ACL', () => allows(alice, file(0o060, 1000, 1000, acl('u::- u:1000:rw g::- m::rw o::-')), 4), false)
gives('with an empty mask Linux looks at the mode alone', () => allows(bob, file(0o604, 1000, 1000, acl('u::rw u:1001:- g::- m::- o::r')), 4), true)
gives('root is above any ACL, even a broken one', () => allows(root, file(0o070, 1000, 1000, new Uint8Array(3)), 4), true)
refuses('an ACL that is none decides nothing', 'EINVAL', () => allows(eve, file(0o070, 1000, 1000, new Uint8Array(3)), 4))

// Walking and opening
refuses('to walk takes search permission', 'EACCES', () => mayWalk(eve, dir(0o744)))
gives('and no read permission', () => mayWalk(eve, dir(0o711)), undefined)
refuses('to read takes r', 'EACCES', () => mayOpen(eve, file(0o602), O.RDONLY))
refuses('to write takes w', 'EACCES', () => mayOpen(eve, file(0o604), O.WRONLY))
refuses('both take both', 'EACCES', () => mayOpen(eve, file(0o604), O.RDWR))
refuses('access mode 3 takes both', 'EACCES', () => mayOpen(eve, file(0o604), O.ACCMODE))
refuses('O_TRUNC takes w, even of a reader', 'EACCES', () => mayOpen(eve, file(0o604), O.RDONLY | O.TRUNC))
refuses('O_NOATIME is the owner\'s', 'EPERM', () => mayOpen(eve, file(0o604), O.NOATIME))
gives('O_APPEND, O_CREAT and O_EXCL change nothing', () => mayOpen(eve, file(0o602), O.WRONLY | O.APPEND | O.CREAT | O.EXCL), undefined)
refuses('a directory is not written', 'EISDIR', () => mayOpen(root, dir(0o777), O.WRONLY))
refuses('a symlink is not opened', 'ELOOP', () => mayOpen(root, attr(S.IFLNK | 0o777), O.RDONLY))
refuses('O_DIRECTORY of a file', 'ENOTDIR', () => mayOpen(root, file(0o777), O.DIRECTORY))

// Names in directories
refuses('to create takes w of the directory', 'EACCES', () => mayCreate(eve, dir(0o755)))
refuses('and x', 'EACCES', () => mayCreate(eve, dir(0o756)))
refuses('to unlink takes w of the directory, whoever owns the file', 'EACCES', () => mayUnlink(alice, dir(0o755, 0), file(0o600)))
gives('and none of the file', () => mayUnlink(eve, dir(0o777), file(0)), undefined)
refuses('sticky: not another\'s file', 'EPERM', () => mayUnlink(eve, dir(0o1777, 0), file(0o666)))
gives('sticky: one\'s own file', () => mayUnlink(alice, dir(0o1777, 0), file(0o666)), undefined)
gives('sticky: any in one\'s own directory', () => mayUnlink(alice, dir(0o1777), file(0o666, 1001)), undefined)
gives('sticky: root', () => mayUnlink(root, dir(0o1777), file(0o666, 1001)), undefined)
refuses('rename takes w of where it comes from', 'EACCES', () => mayRename(eve, { from: dir(0o755), source: file(0o666), to: dir(0o777) }))
refuses('rename takes w of where it goes', 'EACCES', () => mayRename(eve, { from: dir(0o777), source: file(0o666), to: dir(0o755) }))
refuses('rename out of a sticky directory: not another\'s', 'EPERM', () => mayRename(eve, { from: dir(0o1777, 0), source: file(0o666), to: dir(0o777) }))
refuses('rename over another\'s file in a sticky directory', 'EPERM', () => mayRename(eve, { from: dir(0o777), source: file(0o666), to: dir(0o1777, 0), target: file(0o666) }))
gives('rename into a sticky directory, under a free name', () => mayRename(eve, { from: dir(0o777), source: file(0o666), to: dir(0o1777, 0) }), undefined)
refuses('a directory that moves must be writable itself', 'EACCES', () => mayRename(eve, { from: dir(0o777), source: dir(0o755), to: dir(0o777) }))
gives('but not one that stays in its directory', () => { const here = dir(0o777); mayRename(eve, { from: here, source: dir(0o755), to: { ...here } }) }, undefined)
refuses('a device is root\'s', 'EPERM', () => mayMknod(alice, dir(0o777), S.IFBLK | 0o600, 0x801n))
refuses('a character device too', 'EPERM', () => mayMknod(alice, dir(0o777), S.IFCHR | 0o600, 0x103n))
gives('0:0 is no device but a whiteout', () => mayMknod(alice, dir(0o777), S.IFCHR, 0n), undefined)
gives('anyone makes a FIFO, a socket or a file', () => { for (const type of [S.IFIFO, S.IFSOCK, S.IFREG]) mayMknod(alice, dir(0o777), type, 0n) }, undefined)
refuses('mknod of a directory', 'EPERM', () => mayMknod(root, dir(0o777), S.IFDIR, 0n))
refuses('mknod of no type', 'EINVAL', () => mayMknod(root, dir(0o777), 0o644, 0n))

// Hard links
gives('a link to one\'s own file, whatever it is', () => mayLink(alice, file(0o4000), dir(0o777)), undefined)
gives('a link to another\'s that one can read and write', () => mayLink(eve, file(0o606), dir(0o777)), undefined)
refuses('a link to another\'s that one can only read', 'EPERM', () => mayLink(eve, file(0o604), dir(0o777)))
refuses('a link to another\'s setuid program', 'EPERM', () => mayLink(eve, file(0o4777), dir(0o777)))
refuses('a link to another\'s setgid program', 'EPERM', () => mayLink(eve, file(0o2777), dir(0o777)))
gives('setgid without group execution is no program', () => mayLink(eve, file(0o2767), dir(0o777)), undefined)
refuses('a link to another\'s FIFO', 'EPERM', () => mayLink(eve, attr(S.IFIFO | 0o666), dir(0o777)))
refuses('a link to a directory, of root too', 'EPERM', () => mayLink(root, dir(0o777), dir(0o777)))
refuses('a link takes w of the directory', 'EACCES', () => mayLink(alice, file(0o600), dir(0o755, 0)))

// New files
const NONE = 0xffffffff
gives('a new file is its maker\'s, in his primary group', () => newFile(alice, dir(0o777, 0, 0), 0o644, NONE, false), { mode: 0o644, owner: { uid: 1000, gid: 1000 } })
gives('a group of one\'s own may be chosen', () => newFile(alice, dir(0o777, 0, 0), 0o644, 50, false).owner.gid, 50)
gives('another\'s group may not: the primary one it is', () => newFile(alice, dir(0o777, 0, 0), 0o644, 51, false).owner.gid, 1000)
gives('root chooses any', () => newFile(root, dir(0o777), 0o644, 51, false).owner.gid, 51)
gives('a setgid directory gives its group, whatever is chosen', () => newFile(alice, dir(0o2777, 0, 60), 0o644, 50, false).owner.gid, 60)
gives('and to directories the bit', () => newFile(alice, dir(0o2777, 0, 60), 0o755, NONE, true), { mode: 0o2755, owner: { uid: 1000, gid: 60 } })
gives('mkdir takes setuid and setgid from nowhere else', () => newFile(alice, dir(0o777, 0, 60), 0o7755, NONE, true).mode, 0o1755)
gives('a setgid program of a group that is not one\'s own loses the bit', () => newFile(alice, dir(0o2777, 0, 60), 0o2755, NONE, false).mode, 0o755)
gives('not in a group of one\'s own', () => newFile(alice, dir(0o2777, 0, 50), 0o2755, NONE, false).mode, 0o2755)
gives('not without group execution', () => newFile(alice, dir(0o2777, 0, 60), 0o2745, NONE, false).mode, 0o2745)
gives('not for root', () => newFile(root, dir(0o2777, 0, 60), 0o2755, NONE, false).mode, 0o2755)
gives('setuid and sticky of a file stay', () => newFile(alice, dir(0o777), 0o5644, NONE, false).mode, 0o5644)
gives('type bits do not get into the mode', () => newFile(alice, dir(0o777), S.IFREG | 0o644, NONE, false).mode, 0o644)

// Tsetattr
const set = (who: User, of: Attr, what: SetAttr, opened: { writable: boolean } | null = null) => changes(who, of, what, opened)
gives('chmod by the owner', () => set(alice, file(0o644), { mode: S.IFREG | 0o600 }), { mode: 0o600 })
refuses('chmod by another', 'EPERM', () => set(bob, file(0o666), { mode: 0o600 }))
gives('chmod by root', () => set(root, file(0o644), { mode: 0o7777 }), { mode: 0o7777 })
gives('chmod loses setgid where the group is not one\'s own', () => set(alice, file(0o755, 1000, 60), { mode: 0o2755 }), { mode: 0o755 })
gives('also on a directory', () => set(alice, dir(0o755, 1000, 60), { mode: 0o2755 }), { mode: 0o755 })
gives('not in one\'s own group', () => set(alice, file(0o755, 1000, 50), { mode: 0o6755 }), { mode: 0o6755 })
refuses('chmod of a symlink', 'EOPNOTSUPP', () => set(alice, attr(S.IFLNK | 0o777), { mode: 0o600 }))
gives('a writer may clear setuid and setgid, as kernels ask before a write', () => set(bob, file(0o6757), { mode: 0o757 }), { mode: 0o757 })
gives('also by a handle that may write', () => set(bob, file(0o4755), { mode: 0o755 }, { writable: true }), { mode: 0o755 })
refuses('but no reader', 'EPERM', () => set(bob, file(0o4755), { mode: 0o755 }))
refuses('and no other bit', 'EPERM', () => set(bob, file(0o4757), { mode: 0o747 }))
refuses('nor set them', 'EPERM', () => set(bob, file(0o757), { mode: 0o4757 }))
refuses('chown by the owner', 'EPERM', () => set(alice, file(0o644), { uid: 1001 }))
gives('chown to who it is already', () => set(alice, file(0o644), { uid: 1000 }), { uid: 1000 })
gives('chown by root', () => set(root, file(0o644), { uid: 1001 }), { uid: 1001 })
gives('chgrp by the owner, to a group of his own', () => set(alice, file(0o644), { gid: 50 }), { gid: 50 })
refuses('chgrp to another', 'EPERM', () => set(alice, file(0o644), { gid: 51 }))
refuses('chgrp by a member who is not the owner', 'EPERM', () => set(bob, file(0o666, 1000, 50), { gid: 1001 }))
refuses('chown to no uid', 'EINVAL', () => set(root, file(0o644), { uid: NONE }))
gives('chgrp clears setuid and setgid', () => set(alice, file(0o6755), { gid: 50 }), { gid: 50, mode: 0o755 })
gives('chown by root does, too', () => set(root, file(0o6755), { uid: 1001 }), { uid: 1001, mode: 0o755 })
gives('and leaves setgid without group execution', () => set(root, file(0o2745), { uid: 1001 }), { uid: 1001 })
gives('chown of a directory clears nothing', () => set(root, dir(0o6755), { uid: 1001 }), { uid: 1001 })
gives('a mode that comes with a chown is set after it', () => set(root, file(0o755), { uid: 1001, mode: 0o4755 }), { uid: 1001, mode: 0o4755 })
refuses('to truncate takes w', 'EACCES', () => set(eve, file(0o604), { size: 0 }))
gives('ftruncate goes by how the handle was opened', () => set(eve, file(0o600), { size: 0 }, { writable: true }), { size: 0 })
gives('a handle opened to read is no hindrance where the mode allows', () => set(eve, file(0o602), { size: 0 }, { writable: false }), { size: 0 })
refuses('and no help where it does not', 'EACCES', () => set(eve, file(0o604), { size: 0 }, { writable: false }))
refuses('truncate of a directory', 'EISDIR', () => set(root, dir(0o777), { size: 0 }))
refuses('truncate of a FIFO', 'EINVAL', () => set(root, attr(S.IFIFO | 0o777), { size: 0 }))
gives('truncation clears setuid and setgid', () => set(bob, file(0o6777), { size: 0 }), { size: 0, mode: 0o777 })
gives('of the owner\'s too', () => set(alice, file(0o4755), { size: 0 }), { size: 0, mode: 0o755 })
gives('root\'s does not', () => set(root, file(0o6755), { size: 0 }), { size: 0 })
gives('a mode that comes with a size is cleared by it', () => set(alice, file(0o644), { mode: 0o4755, size: 0 }), { size: 0, mode: 0o755 })
gives('O_TRUNC\'s mtime comes with the size', () => set(eve, file(0o602), { size: 0, mtime: 'now' }, { writable: true }), { size: 0, mtime: 'now' })
gives('both times now, by a writer', () => set(eve, file(0o602), { atime: 'now', mtime: 'now' }), { atime: 'now', mtime: 'now' })
refuses('both times now, by a reader', 'EACCES', () => set(eve, file(0o604), { atime: 'now', mtime: 'now' }))
refuses('one time now is the owner\'s', 'EPERM', () => set(eve, file(0o606), { mtime: 'now' }))
refuses('a time of one\'s choice is the owner\'s', 'EPERM', () => set(eve, file(0o606), { atime: { sec: 1, nsec: 0 }, mtime: 'now' }))
refuses('also along with a size', 'EPERM', () => set(eve, file(0o606), { size: 0, mtime: { sec: 1, nsec: 0 } }))
gives('of the owner', () => set(alice, file(0), { atime: { sec: 1, nsec: 0 } }), { atime: { sec: 1, nsec: 0 } })
gives('ctime alone is anyone\'s', () => set(eve, file(0), { ctime: 'now' }), { ctime: 'now' })

// Writing
gives('a write clears setuid', () => afterWrite(bob, file(0o4757)), 0o757)
gives('and setgid', () => afterWrite(bob, file(0o2757)), 0o757)
gives('of the owner, too', () => afterWrite(alice, file(0o6755)), 0o755)
gives('root\'s clears nothing', () => afterWrite(root, file(0o6755)), null)
gives('setgid without group execution stays for members', () => afterWrite(bob, file(0o2767, 1000, 50)), null)
gives('and goes for others', () => afterWrite(eve, file(0o2766, 1000, 50)), 0o766)
gives('almost always there is nothing to do', () => afterWrite(bob, file(0o1777)), null)

// Extended attributes
refuses('trusted.* is not there for users', 'ENODATA', () => mayXattr(alice, file(0o777), 'trusted.x', 'get'))
refuses('nor to be set', 'EPERM', () => mayXattr(alice, file(0o777), 'trusted.x', 'set'))
gives('root sets trusted.*', () => mayXattr(root, file(0), 'trusted.x', 'set'), undefined)
refuses('security.* is root\'s to set', 'EPERM', () => mayXattr(alice, file(0o777), 'security.capability', 'set'))
gives('and anyone\'s to read', () => mayXattr(eve, file(0), 'security.capability', 'get'), undefined)
gives('a writer may remove security.capability, as kernels do before a write', () => mayXattr(eve, file(0o602), 'security.capability', 'remove'), undefined)
refuses('but no reader', 'EPERM', () => mayXattr(eve, file(0o604), 'security.capability', 'remove'))
refuses('and no other security.*', 'EPERM', () => mayXattr(eve, file(0o606), 'security.selinux', 'remove'))
refuses('to read user.* takes r', 'EACCES', () => mayXattr(eve, file(0o602), 'user.x', 'get'))
refuses('to set user.* takes w', 'EACCES', () => mayXattr(eve, file(0o604), 'user.x', 'set'))
refuses('to remove user.* takes w', 'EACCES', () => mayXattr(eve, file(0o604), 'user.x', 'remove'))
refuses('user.* of a symlink', 'EPERM', () => mayXattr(root, attr(S.IFLNK | 0o777), 'user.x', 'set'))
refuses('user.* of a FIFO is not there', 'ENODATA', () => mayXattr(alice, attr(S.IFIFO | 0o777), 'user.x', 'get'))
refuses('user.* of a sticky directory is its owner\'s to set', 'EPERM', () => mayXattr(eve, dir(0o1777), 'user.x', 'set'))
refuses('an ACL is the owner\'s to set', 'EPERM', () => mayXattr(eve, file(0o666), 'system.posix_acl_access', 'set'))
gives('and anyone\'s to read', () => mayXattr(eve, file(0), 'system.posix_acl_access', 'get'), undefined)
refuses('a default ACL is for directories', 'EACCES', () => mayXattr(alice, file(0o666), 'system.posix_acl_default', 'set'))
refuses('an ACL of a symlink', 'EOPNOTSUPP', () => mayXattr(alice, attr(S.IFLNK | 0o777), 'system.posix_acl_access', 'set'))
refuses('another system.*', 'EOPNOTSUPP', () => mayXattr(root, file(0o777), 'system.nfs4_acl', 'get'))
refuses('no namespace', 'EOPNOTSUPP', () => mayXattr(root, file(0o777), 'com.apple.x', 'set'))
refuses('a namespace alone', 'EINVAL', () => mayXattr(alice, file(0o777), 'user.', 'set'))
refuses('no name', 'ERANGE', () => mayXattr(alice, file(0o777), '', 'set'))
refuses('a name of 256 bytes', 'ERANGE', () => mayXattr(alice, file(0o777), 'user.' + 'ä'.repeat(125) + 'a', 'set'))
for (const name of ['user.virtfs.uid', 'user.ninefold.x', 'user.translator']) {
  refuses(`${name} is not there for anyone`, 'ENODATA', () => mayXattr(root, file(0o777), name, 'get'))
  refuses(`${name} is no one's to set`, 'EPERM', () => mayXattr(root, file(0o777), name, 'set'))
  refuses(`${name} is no one's to remove`, 'EPERM', () => mayXattr(root, file(0o777), name, 'remove'))
  gives(`${name} is not listed`, () => visibleXattr(root, name), false)
}
gives('user.virtfs, user.translators: names like others', () => ['user.virtfs', 'user.translators'].every((name) => visibleXattr(alice, name)), true)
gives('trusted.* is listed for root alone', () => [root, alice].map((who) => visibleXattr(who, 'trusted.x')), [true, false])
gives('security.* and ACLs are listed for all', () => ['security.capability', 'system.posix_acl_access'].map((name) => visibleXattr(alice, name)), [true, true])
gives('to set an ACL loses setgid where the group is not one\'s own', () => afterSetAcl(alice, file(0o2755, 1000, 60)), 0o755)
gives('not in one\'s own', () => afterSetAcl(alice, file(0o2755, 1000, 50)), null)

// ACLs as bytes
const entries = (bytes: Uint8Array | undefined) => bytes && parseAcl(bytes)!.map(({ tag, perm, id }) => [tag, perm, id])
gives('an ACL comes back from its bytes', () => formatAcl(parseAcl(named)!), named)
gives('no entries, or no bytes: no ACL', () => [parseAcl(new Uint8Array([2, 0, 0, 0])), parseAcl(new Uint8Array())], [null, null])
for (const [what, text] of [['no mask', 'u::r u:7:r g::r o::r'], ['two owners', 'u::r u::r g::r o::r'], ['no others', 'u::r g::r'], ['no owner', 'g::r o::r'], ['a wrong order', 'u::r g::r u:7:r m::r o::r']] as const) {
  refuses(`an ACL with ${what}`, 'EINVAL', () => parseAcl(acl(text)))
}
gives('a view into a larger buffer reads the same', () => { const big = new Uint8Array(99); big.set(named, 7); return entries(big.subarray(7, 7 + named.length)) }, entries(named))
gives('an ACL that is a mode', () => equivalentMode(acl('u::rw g::r o::x')), 0o641)
gives('one with a mask is none', () => equivalentMode(acl('u::rw g::r m::r o::x')), undefined)
gives('the mask is the mode\'s group bits', () => modeAfterSetAcl(acl('u::rw g::rwx m::r o::x'), S.IFREG | 0o4777), S.IFREG | 0o4641)
gives('chmod moves the mask', () => entries(chmodAcl(named, 0o751)), entries(acl('u::rwx u:1001:rw g::r g:50:rwx m::rx o::x')))
gives('chmod moves the group where there is no mask', () => entries(chmodAcl(acl('u::r g::r o::r'), 0o751)), entries(acl('u::rwx g::rx o::x')))
gives('no default ACL: the mode as it is', () => inherit(undefined, 0o2644, false), { mode: 0o2644 })
gives('a file inherits what its mode allows', () => { const got = inherit(acl('u::rwx u:1001:rwx g::rwx m::rwx o::rx'), 0o640, false); return [got.mode, entries(got.access), got.default] },
  [0o640, entries(acl('u::rw u:1001:rwx g::rwx m::r o::-')), undefined])
gives('a directory hands the ACL on', () => { const given = acl('u::rwx u:1001:rx g::rx m::rx o::-'), got = inherit(given, 0o777, true); return [got.mode, entries(got.access), got.default] },
  [0o750, entries(acl('u::rwx u:1001:rx g::rx m::rx o::-')), acl('u::rwx u:1001:rx g::rx m::rx o::-')])
gives('a default ACL without names is but a mode', () => inherit(acl('u::rwx g::rx o::-'), 0o666, false), { mode: 0o640 })
gives('ids are mapped where there are any', () => entries(mapAcl(named, (id) => id + 1, (id) => id + 2)), entries(acl('u::rw u:1002:rw g::r g:52:rwx m::rw o::-')))

test.run()
