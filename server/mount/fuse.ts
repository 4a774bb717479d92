// The FUSE protocol as one table of layouts: what requests carry and replies say, in the order of linux/fuse.h (7.12 and later, which
// is Linux 2.6.31). Little-endian, as all machines are that Ninefold runs on. Readers and writers are made of the table as text and
// compiled when this module loads, as ninep does it: each request passes here twice.

/** What a kind of field is in memory. u64: a size, offset or handle, of which all mean something below 2^53; id: all 64 bits count. */
interface Kinds { u16: number; u32: number; u64: number; i64: number; id: bigint }
type Layout = Readonly<Record<string, keyof Kinds>>
type Values<L extends Layout> = { readonly [F in keyof L]: Kinds[L[F]] }

/** Before every request: len[4] opcode[4] unique[8] nodeid[8] uid[4] gid[4] pid[4] extensions[2] padding[2] */
const head = { len: 'u32', opcode: 'u32', unique: 'u64', nodeid: 'u64', uid: 'u32', gid: 'u32', pid: 'u32' } as const satisfies Layout
export const IN_HEADER = 40
/** len[4] error[4] unique[8], before every reply. */
export const OUT_HEADER = 16

const io = { fh: 'u64', offset: 'u64', size: 'u32', ioFlags: 'u32', owner: 'id', flags: 'u32', pad: 'u32' } as const satisfies Layout
/** offset is a cookie of the server's. */
const listing = { ...io, offset: 'id' } as const satisfies Layout
const release = { fh: 'u64', flags: 'u32', releaseFlags: 'u32', owner: 'id' } as const satisfies Layout
const lock = { start: 'id', end: 'id', type: 'u32', pid: 'u32' } as const satisfies Layout
const lk = { fh: 'u64', owner: 'id', ...lock, lkFlags: 'u32', pad: 'u32' } as const satisfies Layout
const fsync = { fh: 'u64', fsyncFlags: 'u32', pad: 'u32' } as const satisfies Layout
const none = {} as const satisfies Layout

/** Opcode, fixed fields, and how many names (each ends with a NUL) stand behind those. */
const table = {
  LOOKUP: [1, none, 1],
  FORGET: [2, { nlookup: 'u64' }, 0],
  GETATTR: [3, { getattrFlags: 'u32', pad: 'u32', fh: 'u64' }, 0],
  SETATTR: [4, {
    valid: 'u32', pad: 'u32', fh: 'u64', size: 'u64', owner: 'id', atime: 'i64', mtime: 'i64', ctime: 'i64',
    atimensec: 'u32', mtimensec: 'u32', ctimensec: 'u32', mode: 'u32', pad2: 'u32', uid: 'u32', gid: 'u32', pad3: 'u32',
  }, 0],
  READLINK: [5, none, 0],
  SYMLINK: [6, none, 2],
  MKNOD: [8, { mode: 'u32', rdev: 'u32', umask: 'u32', pad: 'u32' }, 1],
  MKDIR: [9, { mode: 'u32', umask: 'u32' }, 1],
  UNLINK: [10, none, 1],
  RMDIR: [11, none, 1],
  RENAME: [12, { newdir: 'u64' }, 2],
  LINK: [13, { oldnodeid: 'u64' }, 1],
  OPEN: [14, { flags: 'u32', openFlags: 'u32' }, 0],
  READ: [15, io, 0],
  /** `size` bytes of data follow. */
  WRITE: [16, io, 0],
  STATFS: [17, none, 0],
  RELEASE: [18, release, 0],
  FSYNC: [20, fsync, 0],
  /** The name, then the value: behind twice as many fixed bytes where SETXATTR_EXT was agreed on, which is not. */
  SETXATTR: [21, { size: 'u32', flags: 'u32' }, 1],
  GETXATTR: [22, { size: 'u32', pad: 'u32' }, 1],
  LISTXATTR: [23, { size: 'u32', pad: 'u32' }, 0],
  REMOVEXATTR: [24, none, 1],
  FLUSH: [25, { fh: 'u64', pad: 'u32', pad2: 'u32', owner: 'id' }, 0],
  /** From 7.36 on there is more, of which flags2[4] comes next. */
  INIT: [26, { major: 'u32', minor: 'u32', maxReadahead: 'u32', flags: 'u32' }, 0],
  OPENDIR: [27, { flags: 'u32', openFlags: 'u32' }, 0],
  READDIR: [28, listing, 0],
  RELEASEDIR: [29, release, 0],
  FSYNCDIR: [30, fsync, 0],
  GETLK: [31, lk, 0],
  SETLK: [32, lk, 0],
  SETLKW: [33, lk, 0],
  CREATE: [35, { flags: 'u32', mode: 'u32', umask: 'u32', openFlags: 'u32' }, 1],
  INTERRUPT: [36, { target: 'u64' }, 0],
  DESTROY: [38, none, 0],
  /** `count` times nodeid[8] nlookup[8] follow. */
  BATCH_FORGET: [42, { count: 'u32', pad: 'u32' }, 0],
  READDIRPLUS: [44, listing, 0],
  RENAME2: [45, { newdir: 'u64', flags: 'u32', pad: 'u32' }, 2],
} as const satisfies Record<string, readonly [opcode: number, layout: Layout, names: number]>

const attr = {
  ino: 'id', size: 'u64', blocks: 'u64', atime: 'i64', mtime: 'i64', ctime: 'i64', atimensec: 'u32', mtimensec: 'u32', ctimensec: 'u32',
  mode: 'u32', nlink: 'u32', uid: 'u32', gid: 'u32', rdev: 'u32', blksize: 'u32', flags: 'u32',
} as const satisfies Layout
const replies = {
  attr: { attrValid: 'u64', attrValidNsec: 'u32', pad: 'u32', ...attr },
  entry: { nodeid: 'u64', generation: 'u64', entryValid: 'u64', attrValid: 'u64', entryValidNsec: 'u32', attrValidNsec: 'u32', ...attr },
  open: { fh: 'u64', openFlags: 'u32', pad: 'u32' },
  write: { size: 'u32', pad: 'u32' },
  /** Of GETXATTR and LISTXATTR that ask for a size of 0. */
  xattr: { size: 'u32', pad: 'u32' },
  lock,
  statfs: { blocks: 'u64', bfree: 'u64', bavail: 'u64', files: 'u64', ffree: 'u64', bsize: 'u32', namelen: 'u32', frsize: 'u32', pad: 'u32', spare0: 'id', spare1: 'id', spare2: 'id' },
  /** Kernels before 7.23 want the first 24 bytes. */
  init: {
    major: 'u32', minor: 'u32', maxReadahead: 'u32', flags: 'u32', maxBackground: 'u16', congestion: 'u16', maxWrite: 'u32', timeGran: 'u32',
    maxPages: 'u16', mapAlignment: 'u16', flags2: 'u32', spare0: 'u32', spare1: 'id', spare2: 'id', spare3: 'id',
  },
  /** A notice: that what is known of a node is out of date; offset -1: its contents are not meant. */
  stale: { nodeid: 'u64', offset: 'i64', length: 'i64' },
  /** Before an entry's name, which is padded to 8 bytes. */
  dirent: { ino: 'id', off: 'id', namelen: 'u32', type: 'u32' },
} as const satisfies Record<string, Layout>

export type Operation = keyof typeof table
export type Args<O extends Operation> = Values<(typeof table)[O][1]>
export type Head = Values<typeof head>

/** Bits of INIT, the low 32. */
export const Init = {
  ASYNC_READ: 1, POSIX_LOCKS: 2, ATOMIC_O_TRUNC: 8, BIG_WRITES: 0x20, DONT_MASK: 0x40, FLOCK_LOCKS: 0x400, AUTO_INVAL_DATA: 0x1000, DO_READDIRPLUS: 0x2000,
  READDIRPLUS_AUTO: 0x4000, ASYNC_DIO: 0x8000, PARALLEL_DIROPS: 0x40000, POSIX_ACL: 0x100000, MAX_PAGES: 0x400000, HANDLE_KILLPRIV_V2: 0x10000000, INIT_EXT: 0x40000000,
} as const
/** Bits of INIT's flags2. */
export const Init2 = { DIRECT_IO_ALLOW_MMAP: 0x10 } as const
/** SETATTR's valid. */
export const Valid = {
  MODE: 1, UID: 2, GID: 4, SIZE: 8, ATIME: 0x10, MTIME: 0x20, FH: 0x40, ATIME_NOW: 0x80, MTIME_NOW: 0x100, CTIME: 0x400,
} as const
export const GETATTR_FH = 1
/** READ's and WRITE's ioFlags. CACHE: from mapped pages, by whichever handle there is. */
export const WRITE_CACHE = 1
export const FSYNC_DATA_ONLY = 1
export const LK_FLOCK = 1
/** RELEASE's: the flock that this file holds is to end. */
export const RELEASE_FLOCK = 2
/** OPEN's reply. */
export const FOpen = { DIRECT_IO: 1, KEEP_CACHE: 2 } as const
export const RENAME_NOREPLACE = 1
/** What a notice is about stands where replies have an error. */
export const NOTIFY_INVAL_INODE = 2
export const ROOT_ID = 1

const size: Readonly<Record<keyof Kinds, number>> = { u16: 2, u32: 4, u64: 8, i64: 8, id: 8 }
const sizeOf = (layout: Layout) => Object.values(layout).reduce((sum, kind) => sum + size[kind], 0)

const int = (o: number, bytes: number) => Array.from({ length: bytes }, (_, i) => `b[p + ${o + i}] << ${8 * i}`).join(' | ')
const getters: Readonly<Record<keyof Kinds, (o: number) => string>> = {
  u16: (o) => `(${int(o, 2)})`,
  u32: (o) => `((${int(o, 4)}) >>> 0)`,
  u64: (o) => `(((${int(o + 4, 4)}) >>> 0) * 0x100000000 + ((${int(o, 4)}) >>> 0))`,
  i64: (o) => `((${int(o + 4, 4)}) * 0x100000000 + ((${int(o, 4)}) >>> 0))`,
  id: (o) => `(BigInt((${int(o + 4, 4)}) >>> 0) << 32n | BigInt((${int(o, 4)}) >>> 0))`,
}
const bytes = (o: number, count: number) => Array.from({ length: count }, (_, i) => `b[p + ${o + i}] = t >>> ${8 * i};`).join(' ')
const wide = (o: number, value: string) => `t = ${value}; ${bytes(o, 4)} t = Math.floor(t / 0x100000000); ${bytes(o + 4, 4)}`
const putters: Readonly<Record<keyof Kinds, (o: number, value: string) => string>> = {
  u16: (o, value) => `t = ${value}; ${bytes(o, 2)}`,
  u32: (o, value) => `t = ${value}; ${bytes(o, 4)}`,
  u64: wide,
  i64: wide,
  id: (o, value) => `words[0] = ${value}; t = halves[0]; ${bytes(o, 4)} t = halves[1]; ${bytes(o + 4, 4)}`,
}
const words = new BigUint64Array(1), halves = new Uint32Array(words.buffer)

/** Each field of a layout with its place. */
function placed(layout: Layout): { field: string; kind: keyof Kinds; at: number }[] {
  let at = 0
  return Object.entries(layout).map(([field, kind]) => ({ field, kind, at: (at += size[kind]) - size[kind] }))
}
function reader<L extends Layout>(layout: L): (b: Uint8Array, p: number) => Values<L> {
  const fields = placed(layout).filter(({ field }) => !field.startsWith('pad')).map(({ field, kind, at }) => `${field}: ${getters[kind](at)}`)
  return new Function(`return (b, p) => ({ ${fields.join(', ')} })`)() as (b: Uint8Array, p: number) => Values<L>
}
/** Fields of padding, and those that are spare, need not be given: they are 0. */
type Writer<L extends Layout> = (b: Uint8Array, p: number, fields: { readonly [F in keyof L as F extends `pad${string}` | `spare${string}` ? never : F]: Kinds[L[F]] }) => number
function writer<L extends Layout>(layout: L): Writer<L> {
  const lines = placed(layout).map(({ field, kind, at }) => putters[kind](at, /^(pad|spare)/.test(field) ? kind === 'id' ? '0n' : '0' : `f.${field}`))
  return new Function('words', 'halves', `return (b, p, f) => { let t; ${lines.join(' ')} return p + ${sizeOf(layout)} }`)(words, halves) as Writer<L>
}

/** The header of a request. */
export const getHead = reader(head)
/** put.attr(buffer, at, fields): the end of what it wrote. */
export const put = Object.fromEntries(Object.entries(replies).map(([name, layout]) => [name, writer(layout)])) as { readonly [R in keyof typeof replies]: Writer<(typeof replies)[R]> }
/** Bytes of each. */
export const replySize = Object.fromEntries(Object.entries(replies).map(([name, layout]) => [name, sizeOf(layout)])) as { readonly [R in keyof typeof replies]: number }

/** How a request is read: its name, its fixed fields and how many bytes those are, and how many names come behind. */
export interface Shape { readonly operation: Operation; readonly read: (b: Uint8Array, p: number) => object; readonly fixed: number; readonly names: number }
const shapes = new Map<number, Shape>(Object.entries(table).map(([operation, [opcode, layout, names]]) =>
  [opcode, { operation: operation as Operation, read: reader(layout), fixed: sizeOf(layout), names }]))
/** undefined: an opcode that is not answered, but with ENOSYS. */
export function shapeOf(opcode: number): Shape | undefined { return shapes.get(opcode) }
/** For who makes requests: tests. */
export function opcodeOf(operation: Operation): number { return table[operation][0] }

/** Bytes of a directory entry. */
export function direntSize(nameBytes: number): number { return (replySize.dirent + nameBytes + 7) & ~7 }
