// What a fuzzer puts into fields: mostly what leads on, at times what should not be there. Pools are small, so that names
// meet, locks conflict, and a value comes back where it hurts.

import { DM, DONT_TOUCH, NOFID, NONUNAME, O, S } from 'ninep'
import type { Dialect, UnixStat } from 'ninep'

export type Roll = (below: number) => number
export function one<T>(roll: Roll, of: readonly T[]): T { return of[roll(of.length)]! }

/** Where clients come in: all that they may change lies below. */
export const PIT = 'pit'
/** A mount point in there. */
export const MOUNT = 'mount'

const uid = process.getuid!(), gid = process.getgid!()
const plain = ['a', 'b', 'c', 'd', 'e', 'f', 'g', MOUNT]
/** 255 bytes are the longest name, 65535 the longest string. U+DCxx: the byte xx, which is no UTF-8. */
const hostile = [
  '', '.', '..', '/', '../a', 'a/b', 'a/', 'a\0b', '\0', 'x'.repeat(255), 'x'.repeat(256), 'é'.repeat(127) + 'x', 'é'.repeat(128), 'y'.repeat(65535),
  '\udcff', '\udcc3(', '\udced\udca0\udc80', '😀', 'a\n', ' ', '-rf', '.snapshots', 'a@b', '@', '~', 'A', 'é', 'é',
]
/** Long ones are dear: they are sent now and then. */
const long = ['y'.repeat(65535), 'x'.repeat(4096), 'é'.repeat(2000)]
function string(roll: Roll, of: readonly string[]): string { return roll(200) > 0 ? one(roll, of) : one(roll, long) }
export function name(roll: Roll): string { return roll(16) > 0 ? one(roll, plain) : string(roll, hostile) }

export const outside = '../outside/file'
const targets = ['a', 'b', '../a', './a/b', '', '/', '..', outside, '../../outside/file', '../outside', '/etc/passwd', '/proc/self/mem', 't'.repeat(4095), 't'.repeat(4096), 'a\0b', '\udcff', 'loop', 'a/'.repeat(200)]
const extensions = [...targets, 'b 8 0', 'c 1 3', 'c 5 0', 'b', 'c 4294967296 1', 'b -1 0', 'c 1 3 5', '3\n', '1', '99999999999', '0', '']
const anames = [PIT, PIT, PIT, PIT, PIT, PIT, PIT, `/${PIT}/`, `${PIT}/a`, `${PIT}/${MOUNT}`, '', '/', '..', `${PIT}/..`, `${PIT}/../..`, 'ctl', '@a', `${PIT}@a`, 'none', 'a\0b', '\udcff']
const unames = ['', '', 'root', 'nobody', '0', '1000', 'no-such-user', '-x', '+0', 'a b', 'a\0b', '\udcff', 'u'.repeat(300)]
const xattrs = ['user.a', 'user.b', 'user.c', '', 'user.', 'user', 'system.posix_acl_access', 'system.posix_acl_default', 'trusted.a', 'security.capability', 'user.translator', 'user.a\0b', 'user.\udcff', `user.${'x'.repeat(250)}`, `user.${'x'.repeat(251)}`]
const clientIds = ['c', 'c', 'd', '', '\0', '\udcff', 'h'.repeat(255), 'h'.repeat(256)]

export const u32Edges = [0, 1, 2, 3, 7, 0x7f, 0xff, 0x100, 0xfff, 0x1000, 0x7fff, 0xffff, 0x10000, 0xfffff, 0x7fffffff, 0x80000000, 0xfffffff0, 0xfffffffe, 0xffffffff]
/** As doubles: what is above 2^53 is the nearest. */
const sizes = [0, 0, 0, 1, 2, 100, 511, 4095, 4096, 4097, 65535, 65536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40, 2 ** 44, 2 ** 52, 2 ** 53 - 1, 2 ** 53, 2 ** 62, 2 ** 63 - 1024, 2 ** 63, 2 ** 64 - 2048]
export function size(roll: Roll): number { return roll(8) > 0 ? roll(6000) : one(roll, sizes) }
const u64s = [0n, 1n, 2n, 3n, 4n, 5n, 10n, 100n, 2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 62n, 2n ** 63n - 2n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n]
export function u64(roll: Roll): bigint { return roll(4) > 0 ? BigInt(roll(8)) : one(roll, u64s) }

/** How many bytes to read. msize: what was agreed. */
export function count(roll: Roll, msize: number): number {
  switch (roll(8)) {
    case 0: return one(roll, u32Edges)
    case 1: return msize - 24 + roll(28)
    case 2: return roll(64)
    default: return roll(4096)
  }
}
/** How many to write: short ones, or there would be no room for others. */
export function length(roll: Roll, msize: number): number {
  switch (roll(40)) {
    case 0: return Math.max(0, msize - 23 - roll(3))
    case 1: return 0
    case 2: return roll(20_000)
    default: return roll(300)
  }
}

const openFlags = [O.RDONLY, O.RDONLY, O.RDWR, O.RDWR, O.WRONLY, O.RDWR | O.TRUNC, O.WRONLY | O.APPEND, O.RDWR | O.APPEND, O.RDONLY | O.TRUNC, O.RDWR | O.CREAT, O.RDWR | O.CREAT | O.EXCL,
  O.RDONLY | O.DIRECTORY, O.RDONLY | O.NONBLOCK, O.RDWR | O.SYNC, O.RDWR | O.DIRECT | O.NOATIME, 3, 0xffffffff, 0x80000000]
const openModes = [0, 0, 1, 2, 2, 3, 0x10 | 2, 0x40, 0x42, 0x20, 0x82, 0x11, 0x13, 0xff]
const permissions = [0o777, 0o755, 0o644, 0o666, 0o700, 0, 0o7777, 0o4755, 0o2775, 0o1777, 0o444]
const types = [S.IFREG, S.IFREG, S.IFDIR, S.IFIFO, S.IFSOCK, S.IFLNK, S.IFCHR, S.IFBLK, 0, S.IFMT]
const perms = [0, 0, 0, DM.DIR, DM.DIR, DM.DIR, DM.SYMLINK, DM.LINK, DM.DEVICE, DM.NAMEDPIPE, DM.SOCKET, DM.APPEND, DM.EXCL, DM.TMP, DM.SETUID, DM.AUTH, DM.MOUNT, DM.DIR | DM.SYMLINK, 0xfffffe00]
const users = [uid, uid, uid, uid, 1000, 1000, 65534, NONUNAME, 0]
const groups = [gid, gid, 1000, 0xffffffff]
const versions: readonly string[] = ['9P2000', '9P2000.u', '9P2000.L']
const oddVersions = ['', '9P', '9P2000.', '9P2000.x', '9P2001', '9p2000.L', '9P2000.L\0', 'unknown', 'v'.repeat(65535), '\udcff']
const msizes = [8192, 8192, 65536, 65560, 131072, 1024 * 1024 + 24]
const oddMsizes = [0, 1, 6, 7, 23, 24, 128, 255, 256, 511, 512, 4095, 4096, 0x7fffffff, 0xffffffff]

export function version(roll: Roll, dialect: Dialect): { msize: number; version: string } {
  return {
    msize: roll(12) > 0 ? one(roll, msizes) : one(roll, oddMsizes),
    version: roll(16) > 0 ? dialect : roll(2) ? one(roll, versions) : one(roll, oddVersions),
  }
}

function mode(roll: Roll): number { return one(roll, types) | one(roll, permissions) }
function perm(roll: Roll): number { return (one(roll, perms) | one(roll, permissions)) >>> 0 }
function time(roll: Roll): { sec: number; nsec: number } {
  return { sec: one(roll, [0, 1, -1, 1e9, 2 ** 31, 2 ** 32, 2 ** 40, -(2 ** 40), 2 ** 62]), nsec: one(roll, [0, 1, 999_999_999, 1_000_000_000, 2 ** 32 - 1, 2 ** 63]) }
}
function stat(roll: Roll): UnixStat {
  const some: { -readonly [F in keyof UnixStat]?: UnixStat[F] } = {}
  for (let n = roll(4); n > 0; n--) {
    switch (roll(12)) {
      case 0: case 1: some.name = name(roll); break
      case 2: case 3: some.length = size(roll); break
      case 4: case 5: some.mode = perm(roll); break
      case 6: some.mtime = one(roll, u32Edges); break
      case 7: some.atime = one(roll, u32Edges); break
      case 8: some.gid = string(roll, unames); some.nGid = one(roll, groups); break
      case 9: some.uid = string(roll, unames); some.nUid = one(roll, users); break
      case 10: some.muid = string(roll, unames); some.dev = one(roll, u32Edges); break
      default: some.extension = one(roll, extensions); some.qid = { type: roll(256), version: one(roll, u32Edges), path: u64(roll) }
    }
  }
  return { ...DONT_TOUCH, ...some }
}

/** A value by the name of its field, where that tells more than its kind does. */
export const byField: Readonly<Record<string, (roll: Roll) => unknown>> = {
  name, oldname: name, newname: name, stat, mode, perm, atime: time, mtime: time,
  target: (roll) => one(roll, targets),
  extension: (roll) => one(roll, extensions),
  aname: (roll) => string(roll, anames),
  uname: (roll) => string(roll, unames),
  nUname: (roll) => one(roll, users),
  uid: (roll) => one(roll, users),
  gid: (roll) => one(roll, groups),
  clientId: (roll) => string(roll, clientIds),
  valid: (roll) => roll(6) > 0 ? 1 << roll(9) | 1 << roll(9) : one(roll, u32Edges),
  mask: (roll) => roll(4) > 0 ? 0x7ff : one(roll, [0, 0x3fff, 0xffffffff, 0x10000]),
  attrSize: (roll) => roll(8) > 0 ? roll(40) : one(roll, [0, 65536, 65537, 2 ** 32, 2 ** 53, 2 ** 64 - 2048]),
  major: (roll) => one(roll, [0, 1, 8, 0xfff, 0x1000, 0xffffffff]),
  minor: (roll) => one(roll, [0, 3, 0xff, 0xfffff, 0x100000, 0xffffffff]),
  procId: (roll) => roll(3),
  datasync: (roll) => roll(3),
}
/** The same, of one message. A message's mode may be a byte of Topen, or bits of st_mode. */
export const byMessage: Readonly<Record<string, Readonly<Record<string, (roll: Roll) => unknown>>>> = {
  Topen: { mode: (roll) => one(roll, openModes) },
  Tcreate: { mode: (roll) => one(roll, openModes) },
  Tlopen: { flags: (roll) => one(roll, openFlags) },
  Tlcreate: { flags: (roll) => one(roll, openFlags) },
  Tlock: { type: (roll) => roll(8) > 0 ? roll(3) : roll(256), flags: (roll) => roll(8) > 0 ? roll(2) : one(roll, u32Edges) },
  Tgetlock: { type: (roll) => roll(8) > 0 ? roll(3) : roll(256) },
  Txattrwalk: { name: (roll) => string(roll, xattrs) },
  Txattrcreate: { name: (roll) => string(roll, xattrs), flags: (roll) => roll(16) > 0 ? roll(3) : one(roll, u32Edges) },
  Tunlinkat: { flags: (roll) => one(roll, [0, 0, 0x200, 0x200, 0xffffffff]) },
  Tauth: { afid: (roll) => one(roll, [NOFID, 5, 6]) },
  Tattach: { afid: (roll) => roll(16) > 0 ? NOFID : one(roll, u32Edges) },
}
