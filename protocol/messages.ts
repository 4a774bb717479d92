// Every message of the three dialects as one table of layouts: types, encoders and decoders come from it and from nothing
// else. A body is its fields in the order written here. Source: 9p(5), the 9P2000.u draft, diod's protocol.md.

import type { Qid, Stat, Time, UnixStat } from './types.ts'

/** What a kind of field is in memory, and on the wire. Integers are little-endian. */
export interface Kinds {
  u8: number
  u16: number
  u32: number
  /** 4 bytes that old clients leave out at the end of a body: 0 then. */
  'u32?': number
  /** A size or offset: 8 bytes. From 2^53 on the nearest double: not exact, but never below 2^53. */
  size: number
  /** A set of bits: 8 bytes, of which all that mean anything are in the low 4. */
  mask: number
  /** An identity or cookie: 8 bytes. */
  u64: bigint
  /** length[2] bytes; not always UTF-8: see names.ts. */
  name: string
  /** type[1] version[4] path[8] */
  qid: Qid
  /** sec[8] nsec[8]; sec is signed. */
  time: Time
  /** count[4] bytes. Decoded, it is a view of the frame: copy what must outlive that. */
  data: Uint8Array
  /** The same, and nothing may follow: a lying count is worth an error where data are to be written. */
  payload: Uint8Array
  /** count[2], then as many. */
  names: readonly string[]
  qids: readonly Qid[]
  /** n[2] and then a stat, which begins with its own size[2] = n - 2: see stat.ts. */
  stat: Stat
  /** The same as 9P2000.u has it. */
  unixStat: UnixStat
}
export type Layout = Readonly<Record<string, keyof Kinds>>

/** type[1], then the fields of the body. */
type Table = Record<string, readonly [type: number, layout: Layout]>

/** Alike in all dialects. */
const common = {
  Tversion: [100, { msize: 'u32', version: 'name' }],
  Rversion: [101, { msize: 'u32', version: 'name' }],
  Rauth: [103, { qid: 'qid' }],
  Rattach: [105, { qid: 'qid' }],
  Tflush: [108, { oldtag: 'u16' }],
  Rflush: [109, {}],
  Twalk: [110, { fid: 'u32', newfid: 'u32', names: 'names' }],
  Rwalk: [111, { qids: 'qids' }],
  Tread: [116, { fid: 'u32', offset: 'size', count: 'u32' }],
  Rread: [117, { data: 'data' }],
  Twrite: [118, { fid: 'u32', offset: 'size', data: 'payload' }],
  Rwrite: [119, { count: 'u32' }],
  Tclunk: [120, { fid: 'u32' }],
  Rclunk: [121, {}],
  Tremove: [122, { fid: 'u32' }],
  Rremove: [123, {}],
} as const satisfies Table

/** What 9P2000 and 9P2000.u have instead of the messages of .L. */
const plan9 = {
  Topen: [112, { fid: 'u32', mode: 'u8' }],
  Ropen: [113, { qid: 'qid', iounit: 'u32' }],
  Rcreate: [115, { qid: 'qid', iounit: 'u32' }],
  Tstat: [124, { fid: 'u32' }],
  Rwstat: [127, {}],
} as const satisfies Table

/** Users by number as well as by name. */
const numbered = {
  Tauth: [102, { afid: 'u32', uname: 'name', aname: 'name', nUname: 'u32' }],
  Tattach: [104, { fid: 'u32', afid: 'u32', uname: 'name', aname: 'name', nUname: 'u32' }],
} as const satisfies Table

const linux = {
  Rlerror: [7, { ecode: 'u32' }],
  Tstatfs: [8, { fid: 'u32' }],
  Rstatfs: [9, {
    type: 'u32', bsize: 'u32', blocks: 'size', bfree: 'size', bavail: 'size', files: 'size', ffree: 'size', fsid: 'u64', namelen: 'u32',
  }],
  Tlopen: [12, { fid: 'u32', flags: 'u32' }],
  Rlopen: [13, { qid: 'qid', iounit: 'u32' }],
  Tlcreate: [14, { fid: 'u32', name: 'name', flags: 'u32', mode: 'u32', gid: 'u32' }],
  Rlcreate: [15, { qid: 'qid', iounit: 'u32' }],
  Tsymlink: [16, { dfid: 'u32', name: 'name', target: 'name', gid: 'u32' }],
  Rsymlink: [17, { qid: 'qid' }],
  Tmknod: [18, { dfid: 'u32', name: 'name', mode: 'u32', major: 'u32', minor: 'u32', gid: 'u32' }],
  Rmknod: [19, { qid: 'qid' }],
  Trename: [20, { fid: 'u32', dfid: 'u32', name: 'name' }],
  Rrename: [21, {}],
  Treadlink: [22, { fid: 'u32' }],
  Rreadlink: [23, { target: 'name' }],
  Tgetattr: [24, { fid: 'u32', mask: 'mask' }],
  Rgetattr: [25, {
    valid: 'mask', qid: 'qid', mode: 'u32', uid: 'u32', gid: 'u32', nlink: 'size', rdev: 'u64', size: 'size', blksize: 'size', blocks: 'size',
    atime: 'time', mtime: 'time', ctime: 'time', btime: 'time', gen: 'u64', dataVersion: 'u64',
  }],
  Tsetattr: [26, { fid: 'u32', valid: 'u32', mode: 'u32', uid: 'u32', gid: 'u32', size: 'size', atime: 'time', mtime: 'time' }],
  Rsetattr: [27, {}],
  Txattrwalk: [30, { fid: 'u32', newfid: 'u32', name: 'name' }],
  Rxattrwalk: [31, { size: 'size' }],
  Txattrcreate: [32, { fid: 'u32', name: 'name', attrSize: 'size', flags: 'u32' }],
  Rxattrcreate: [33, {}],
  Treaddir: [40, { fid: 'u32', offset: 'u64', count: 'u32' }],
  Rreaddir: [41, { data: 'data' }],
  Tfsync: [50, { fid: 'u32', datasync: 'u32?' }],
  Rfsync: [51, {}],
  Tlock: [52, { fid: 'u32', type: 'u8', flags: 'u32', start: 'u64', length: 'u64', procId: 'u32', clientId: 'name' }],
  Rlock: [53, { status: 'u8' }],
  Tgetlock: [54, { fid: 'u32', type: 'u8', start: 'u64', length: 'u64', procId: 'u32', clientId: 'name' }],
  Rgetlock: [55, { type: 'u8', start: 'u64', length: 'u64', procId: 'u32', clientId: 'name' }],
  Tlink: [70, { dfid: 'u32', fid: 'u32', name: 'name' }],
  Rlink: [71, {}],
  Tmkdir: [72, { dfid: 'u32', name: 'name', mode: 'u32', gid: 'u32' }],
  Rmkdir: [73, { qid: 'qid' }],
  Trenameat: [74, { olddirfid: 'u32', oldname: 'name', newdirfid: 'u32', newname: 'name' }],
  Rrenameat: [75, {}],
  Tunlinkat: [76, { dirfid: 'u32', name: 'name', flags: 'u32' }],
  Runlinkat: [77, {}],
} as const satisfies Table

/** The messages of each dialect. */
export const dialects = {
  '9P2000': {
    ...common, ...plan9,
    Tauth: [102, { afid: 'u32', uname: 'name', aname: 'name' }],
    Tattach: [104, { fid: 'u32', afid: 'u32', uname: 'name', aname: 'name' }],
    Rerror: [107, { ename: 'name' }],
    Tcreate: [114, { fid: 'u32', name: 'name', perm: 'u32', mode: 'u8' }],
    Rstat: [125, { stat: 'stat' }],
    Twstat: [126, { fid: 'u32', stat: 'stat' }],
  },
  '9P2000.u': {
    ...common, ...plan9, ...numbered,
    Rerror: [107, { ename: 'name', errno: 'u32' }],
    Tcreate: [114, { fid: 'u32', name: 'name', perm: 'u32', mode: 'u8', extension: 'name' }],
    Rstat: [125, { stat: 'unixStat' }],
    Twstat: [126, { fid: 'u32', stat: 'unixStat' }],
  },
  '9P2000.L': { ...common, ...numbered, ...linux },
} as const satisfies Record<string, Table>

export type Dialect = keyof typeof dialects
/** The names of a dialect's messages. */
export type Name<D extends Dialect = '9P2000.L'> = keyof (typeof dialects)[D] & string
/** The fields of a message as a value: `Fields<'Rgetattr'>` is what types.ts calls Attr. */
export type Fields<N extends Name<D>, D extends Dialect = '9P2000.L'> = Values<(typeof dialects)[D][N]>
type Values<Row> = Row extends readonly [number, infer L] ? { readonly [F in keyof L]: L[F] extends keyof Kinds ? Kinds[L[F]] : never } : never
/** A request, and what answers it. */
export type Request<D extends Dialect = '9P2000.L'> = Extract<Name<D>, `T${string}`>
export type Reply<N extends Request<D>, D extends Dialect = '9P2000.L'> = N extends `T${infer Rest}` ? Extract<Name<D>, `R${Rest}`> : never

/** The number of each message, as type[1] has it: one for all dialects. */
export const typeOf = Object.fromEntries(Object.values(dialects).flatMap((table) => Object.entries(table)).map(([name, [type]]) => [name, type])) as
  Readonly<Record<{ [D in Dialect]: Name<D> }[Dialect], number>>
const byType = Object.fromEntries(Object.entries(dialects).map(([dialect, table]) =>
  [dialect, Array.from({ length: 256 }, (_, type) => Object.entries(table).find((row) => row[1][0] === type)?.[0])])) as Record<Dialect, (string | undefined)[]>
/** The name of a message of this number; undefined where the dialect has none. */
export function nameOf<D extends Dialect = '9P2000.L'>(type: number, dialect = '9P2000.L' as D): Name<D> | undefined { return byType[dialect][type] as Name<D> | undefined }
