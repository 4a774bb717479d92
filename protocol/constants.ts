// The numbers of the protocol: Linux's generic ones, whatever the host's are. Source: linux/include/net/9p/9p.h,
// include/uapi/asm-generic/fcntl.h, diod's protocol.md.

import { errno } from './errno.ts'

export const NOTAG = 0xffff
export const NOFID = 0xffffffff
export const NONUNAME = 0xffffffff
export const MAXWELEM = 16
/** size[4] type[1] tag[2] */
export const HEADER = 7
/** What clients subtract from msize for the head of the largest Tread, Twrite or Treaddir. */
export const IOHDRSZ = 24
/** A name on Linux, in bytes. */
export const NAME_MAX = 255
/** The target of a symbolic link on Linux, in bytes. */
export const TARGET_MAX = 4095

/** Qid.type bits. */
export const QT = { DIR: 0x80, APPEND: 0x40, EXCL: 0x20, MOUNT: 0x10, AUTH: 0x08, TMP: 0x04, SYMLINK: 0x02, LINK: 0x01, FILE: 0 } as const

/** st_mode bits. */
export const S = {
  IFMT: 0o170000, IFSOCK: 0o140000, IFLNK: 0o120000, IFREG: 0o100000, IFBLK: 0o060000, IFDIR: 0o040000, IFCHR: 0o020000, IFIFO: 0o010000,
  ISUID: 0o4000, ISGID: 0o2000, ISVTX: 0o1000,
} as const

/** Open flags of Tlopen and Tlcreate. */
export const O = {
  ACCMODE: 3, RDONLY: 0, WRONLY: 1, RDWR: 2, CREAT: 0x40, EXCL: 0x80, NOCTTY: 0x100, TRUNC: 0x200, APPEND: 0x400, NONBLOCK: 0x800,
  DSYNC: 0x1000, DIRECT: 0x4000, LARGEFILE: 0x8000, DIRECTORY: 0x10000, NOFOLLOW: 0x20000, NOATIME: 0x40000, CLOEXEC: 0x80000, SYNC: 0x101000,
} as const

/** Topen and Tcreate: an access mode, and bits beside it. APPEND is Linux's, in 9P2000.u. */
export const OPEN = { ACCESS: 3, READ: 0, WRITE: 1, RDWR: 2, EXEC: 3, TRUNC: 0x10, CEXEC: 0x20, RCLOSE: 0x40, APPEND: 0x80 } as const

/** Bits of Stat.mode and Tcreate's perm above the permission bits 0777; from SYMLINK on they are 9P2000.u's. */
export const DM = {
  DIR: 0x80000000, APPEND: 0x40000000, EXCL: 0x20000000, MOUNT: 0x10000000, AUTH: 0x08000000, TMP: 0x04000000,
  SYMLINK: 0x02000000, LINK: 0x01000000, DEVICE: 0x00800000, NAMEDPIPE: 0x00200000, SOCKET: 0x00100000,
  SETUID: 0x00080000, SETGID: 0x00040000, SETVTX: 0x00010000,
} as const

/** Bits of Tgetattr's mask and Rgetattr's valid. ACL is ours: it never leaves the server. */
export const Attrs = {
  MODE: 1, NLINK: 2, UID: 4, GID: 8, RDEV: 0x10, ATIME: 0x20, MTIME: 0x40, CTIME: 0x80, INO: 0x100, SIZE: 0x200, BLOCKS: 0x400,
  BTIME: 0x800, GEN: 0x1000, DATA_VERSION: 0x2000, BASIC: 0x7ff, ALL: 0x3fff, ACL: 0x10000,
} as const

/** Bits of Tsetattr's valid. */
export const SetAttrs = {
  MODE: 1, UID: 2, GID: 4, SIZE: 8, ATIME: 0x10, MTIME: 0x20, CTIME: 0x40, ATIME_SET: 0x80, MTIME_SET: 0x100,
} as const

/** Tlock: types, flags, statuses. */
export const Lock = {
  RDLCK: 0, WRLCK: 1, UNLCK: 2, BLOCK: 1, RECLAIM: 2, SUCCESS: 0, BLOCKED: 1, ERROR: 2, GRACE: 3,
} as const

/** Directory entry types. */
export const Dt = { UNKNOWN: 0, FIFO: 1, CHR: 2, DIR: 4, BLK: 6, REG: 8, LNK: 10, SOCK: 12 } as const

export const AT_REMOVEDIR = 0x200
export const XATTR_CREATE = 1
export const XATTR_REPLACE = 2
/** The largest value of an extended attribute on Linux, bytes. */
export const XATTR_SIZE_MAX = 65536

/** The Qid.type of an entry of this Dt value. */
export function qidTypeOf(dt: number): number { return dt === Dt.DIR ? QT.DIR : dt === Dt.LNK ? QT.SYMLINK : QT.FILE }
/** The Qid.type of a file of this mode. */
export function qidType(mode: number): number {
  const type = mode & S.IFMT
  return type === S.IFDIR ? QT.DIR : type === S.IFLNK ? QT.SYMLINK : QT.FILE
}
/** A device's number as Rgetattr carries it, Linux's 32 bits: minor 7..0, major 19..8, the rest of minor 31..20. EINVAL: more than that. */
export function deviceNumber(major: number, minor: number): number {
  if (major > 0xfff || minor > 0xfffff) throw errno('EINVAL', 'device', `${major}:${minor}`)
  return ((minor & 0xff) | major << 8 | (minor & 0xfff00) << 12) >>> 0
}
/** Its two parts; of glibc's 64 bits too. */
export function deviceParts(rdev: bigint): { major: number; minor: number } {
  return { major: Number((rdev >> 8n & 0xfffn) | (rdev >> 32n & 0xfffff000n)), minor: Number((rdev & 0xffn) | (rdev >> 12n & 0xffffff00n)) }
}
/** The Dt value of a file of this mode. */
export function direntType(mode: number): number { return (mode & S.IFMT) >> 12 }
