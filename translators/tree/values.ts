// Values of the database, as FORMAT.md has them. Numbers are whole and below 2^53; names are strings (D2), keys and ids of
// blobs strings of bytes (keys.ts).

import { bytesOfName, errno, nameOfBytes } from 'ninep'
import type { Time } from 'ninep'
import { get64, put64 } from './keys.ts'

export const VERSION = 1
/** What all versioned values begin with. */
export interface Versioned { readonly birth: number; readonly prev: number }

export const INLINE = 1, CUT = 2, NAMES = 4
/** value: null where it is under a key of its own, of that length. */
export interface Xattr { readonly value: Uint8Array | null; readonly length: number }

export interface Inode extends Versioned {
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly nlink: number
  readonly size: number
  readonly used: number
  readonly version: number
  readonly rdev: bigint
  readonly atime: Time
  readonly mtime: Time
  readonly ctime: Time
  readonly btime: Time
  readonly parent: number
  readonly cookie: number
  readonly flags: number
  readonly xattrs: ReadonlyMap<string, Xattr> | null
  /** Of a symbolic link its target, of a file with INLINE its data. */
  readonly inline: Buffer | null
}

const FIXED = 129, APART = 0x80000000

function putTime(into: Buffer, { sec, nsec }: Time, at: number): void {
  into.writeInt32BE(Math.floor(sec / 2 ** 32), at)
  into.writeUInt32BE(sec >>> 0, at + 4)
  into.writeUInt32BE(nsec, at + 8)
}
function getTime(from: Buffer, at: number): Time {
  return { sec: from.readInt32BE(at) * 2 ** 32 + from.readUInt32BE(at + 4), nsec: from.readUInt32BE(at + 8) }
}

export function encodeInode(v: Inode): Buffer {
  const names: Uint8Array[] = []
  let length = FIXED + (v.inline?.length ?? 0)
  if (v.xattrs) for (const [name, { value }] of v.xattrs) {
    const bytes = bytesOfName(name)
    names.push(bytes)
    length += 5 + bytes.length + (value?.length ?? 0)
  }
  const b = Buffer.allocUnsafe(length)
  b.writeUInt32BE(v.birth, 0)
  b.writeUInt32BE(v.prev, 4)
  b.writeUInt32BE(v.mode, 8)
  b.writeUInt32BE(v.uid, 12)
  b.writeUInt32BE(v.gid, 16)
  b.writeUInt32BE(v.nlink, 20)
  put64(b, v.size, 24)
  put64(b, v.used, 32)
  b.writeUInt32BE(v.version, 40)
  if (v.rdev === 0n) b.fill(0, 44, 52)
  else b.writeBigUInt64BE(v.rdev, 44)
  putTime(b, v.atime, 52)
  putTime(b, v.mtime, 64)
  putTime(b, v.ctime, 76)
  putTime(b, v.btime, 88)
  put64(b, v.parent, 100)
  put64(b, v.cookie, 108)
  b[116] = v.flags
  b.fill(0, 117, 127)                                     // for what version 1 does not know yet
  b.writeUInt16BE(names.length, 127)
  let at = FIXED, i = 0
  if (v.xattrs) for (const { value, length } of v.xattrs.values()) {
    const name = names[i++]!
    b[at] = name.length
    b.writeUInt32BE(value ? value.length : (length | APART) >>> 0, at + 1)
    b.set(name, at + 5)
    at += 5 + name.length
    if (value) { b.set(value, at); at += value.length }
  }
  if (v.inline) b.set(v.inline, at)
  return b
}

export function decodeInode(b: Buffer): Inode {
  if (b.length < FIXED) throw damaged('inode')
  const count = b.readUInt16BE(127)
  let xattrs: Map<string, Xattr> | null = null, at = FIXED
  for (let i = 0; i < count; i++) {
    if (at + 5 > b.length) throw damaged('inode')
    const nlen = b[at]!, word = b.readUInt32BE(at + 1), apart = word >= APART, length = apart ? word - APART : word
    const name = nameOfBytes(b, at + 5, at + 5 + nlen)
    at += 5 + nlen
    ;(xattrs ??= new Map()).set(name, { value: apart ? null : b.subarray(at, at + length), length })
    if (!apart) at += length
  }
  if (at > b.length) throw damaged('inode')
  return {
    birth: b.readUInt32BE(0), prev: b.readUInt32BE(4), mode: b.readUInt32BE(8), uid: b.readUInt32BE(12), gid: b.readUInt32BE(16), nlink: b.readUInt32BE(20),
    size: get64(b, 24), used: get64(b, 32), version: b.readUInt32BE(40), rdev: b.readBigUInt64BE(44),
    atime: getTime(b, 52), mtime: getTime(b, 64), ctime: getTime(b, 76), btime: getTime(b, 88), parent: get64(b, 100), cookie: get64(b, 108),
    flags: b[116]!, xattrs, inline: at < b.length ? b.subarray(at) : null,
  }
}

/** A name of the head or of the past; type: S_IFMT bits. */
export interface Dent extends Versioned { readonly ino: number; readonly cookie: number; readonly type: number }
export function encodeDent({ birth, prev, ino, cookie, type }: Dent): Buffer {
  const b = Buffer.allocUnsafe(25)
  b.writeUInt32BE(birth, 0)
  b.writeUInt32BE(prev, 4)
  put64(b, ino, 8)
  put64(b, cookie, 16)
  b[24] = type >>> 12
  return b
}
/** null: a tombstone. */
export function decodeDent(b: Buffer): Dent | null {
  if (b.length === 8) return null
  if (b.length !== 25) throw damaged('name')
  return { birth: b.readUInt32BE(0), prev: b.readUInt32BE(4), ino: get64(b, 8), cookie: get64(b, 16), type: b[24]! << 12 }
}

/** An entry of a listing; name: its bytes. */
export interface Entry { readonly birth: number; readonly ino: number; readonly type: number; readonly name: Buffer }
export function encodeEntry(birth: number, ino: number, type: number, name: Uint8Array): Buffer {
  const b = Buffer.allocUnsafe(13 + name.length)
  b.writeUInt32BE(birth, 0)
  put64(b, ino, 4)
  b[12] = type >>> 12
  b.set(name, 13)
  return b
}
export function decodeEntry(b: Buffer): Entry {
  if (b.length < 14) throw damaged('entry')
  return { birth: b.readUInt32BE(0), ino: get64(b, 4), type: b[12]! << 12, name: b.subarray(13) }
}

/** One that has nothing but birth and prev, followed by these bytes. Without any it may be a tombstone. */
export function encodeVersioned(birth: number, prev: number, rest?: Uint8Array): Buffer {
  const b = Buffer.allocUnsafe(8 + (rest?.length ?? 0))
  b.writeUInt32BE(birth, 0)
  b.writeUInt32BE(prev, 4)
  if (rest) b.set(rest, 8)
  return b
}
export function versionOf(b: Buffer): Versioned { return { birth: b.readUInt32BE(0), prev: b.readUInt32BE(4) } }

/** Bytes [off, off + len) of a chunk; at: where they are in the blob, or in the segment of the journal that the id names. */
export interface Extent { readonly off: number; readonly len: number; readonly blob: string; readonly at: number }
const EXTENT = 28
export function encodeExtents(birth: number, prev: number, extents: readonly Extent[]): Buffer {
  const b = Buffer.allocUnsafe(8 + EXTENT * extents.length)
  b.writeUInt32BE(birth, 0)
  b.writeUInt32BE(prev, 4)
  let p = 8
  for (const { off, len, blob, at } of extents) {
    b.writeUInt32BE(off, p)
    b.writeUInt32BE(len, p + 4)
    b.write(blob, p + 8, 16, 'latin1')
    b.writeUInt32BE(at, p + 24)
    p += EXTENT
  }
  return b
}
export function decodeExtents(b: Buffer): Extent[] {
  if ((b.length - 8) % EXTENT !== 0) throw damaged('chunk')
  const extents: Extent[] = []
  let blob = ''
  for (let p = 8; p < b.length; p += EXTENT) {
    const id = b.toString('latin1', p + 8, p + 24)
    if (id !== blob) blob = id                            // neighbours share the string
    extents.push({ off: b.readUInt32BE(p), len: b.readUInt32BE(p + 4), blob, at: b.readUInt32BE(p + 24) })
  }
  return extents
}

export interface BlobInfo { readonly birth: number; readonly size: number; readonly live: number; readonly list: number }
export function encodeBlobInfo({ birth, size, live, list }: BlobInfo): Buffer {
  const b = Buffer.allocUnsafe(16)
  b.writeUInt32BE(birth, 0)
  b.writeUInt32BE(size, 4)
  b.writeUInt32BE(live, 8)
  b.writeUInt32BE(list, 12)
  return b
}
export function decodeBlobInfo(b: Buffer): BlobInfo {
  if (b.length !== 16) throw damaged('blob')
  return { birth: b.readUInt32BE(0), size: b.readUInt32BE(4), live: b.readUInt32BE(8), list: b.readUInt32BE(12) }
}

/** The state of a tree. s: the newest snapshot; e: the current epoch; lists: dead lists of the head, the current one last; origin, at: of a clone, what it is one of. */
export interface State { readonly s: number; readonly e: number; readonly next: number; readonly root: number; readonly origin: number; readonly at: number; readonly lists: readonly number[] }
export function encodeState({ s, e, next, root, origin, at, lists }: State): Buffer {
  const b = Buffer.allocUnsafe(36 + 4 * lists.length)
  b.writeUInt32BE(s, 0)
  b.writeUInt32BE(e, 4)
  b.writeUInt32BE(lists.at(-1)!, 8)
  b.writeUInt32BE(next, 12)
  put64(b, root, 16)
  b.writeUInt32BE(origin, 24)
  b.writeUInt32BE(at, 28)
  b.writeUInt32BE(lists.length, 32)
  lists.forEach((list, i) => b.writeUInt32BE(list, 36 + 4 * i))
  return b
}
export function decodeState(b: Buffer): State {
  if (b.length < 40 || b.length !== 36 + 4 * b.readUInt32BE(32)) throw damaged('state')
  return {
    s: b.readUInt32BE(0), e: b.readUInt32BE(4), next: b.readUInt32BE(12), root: get64(b, 16), origin: b.readUInt32BE(24), at: b.readUInt32BE(28),
    lists: numbers(b, 36, b.readUInt32BE(32)),
  }
}

export interface SnapshotValue { readonly name: string; readonly time: Time; readonly holds: readonly string[]; readonly lists: readonly number[] }
export function encodeSnapshot({ name, time, holds, lists }: SnapshotValue): Buffer {
  const head = Buffer.allocUnsafe(14)
  putTime(head, time, 0)
  head.writeUInt16BE(holds.length, 12)
  const tail = Buffer.allocUnsafe(4 + 4 * lists.length)
  tail.writeUInt32BE(lists.length, 0)
  lists.forEach((list, i) => tail.writeUInt32BE(list, 4 + 4 * i))
  const words = [name, ...holds].map((word) => {
    const bytes = bytesOfName(word), b = Buffer.allocUnsafe(2 + bytes.length)
    b.writeUInt16BE(bytes.length, 0)
    b.set(bytes, 2)
    return b
  })
  return Buffer.concat([head, ...words, tail])
}
export function decodeSnapshot(b: Buffer): SnapshotValue {
  const words: string[] = [], count = b.readUInt16BE(12)
  let at = 14
  for (let i = 0; i <= count; i++) {
    const n = b.readUInt16BE(at)
    words.push(nameOfBytes(b, at + 2, at + 2 + n))
    at += 2 + n
  }
  return { name: words[0]!, time: getTime(b, 0), holds: words.slice(1), lists: numbers(b, at + 4, b.readUInt32BE(at)) }
}

/** used: of data that heads refer to. mount: the first half of the ids of blobs. */
export interface Meta { readonly version: number; readonly uuid: Buffer; readonly applied: number; readonly files: number; readonly used: number; readonly mount: string }
export function encodeMeta({ version, uuid, applied, files, used, mount }: Meta): Buffer {
  const b = Buffer.alloc(56)
  b.writeUInt32BE(version, 0)
  uuid.copy(b, 8)
  put64(b, applied, 24)
  put64(b, files, 32)
  put64(b, used, 40)
  b.write(mount, 48, 8, 'latin1')
  return b
}
export function decodeMeta(b: Buffer): Meta {
  return { version: b.readUInt32BE(0), uuid: b.subarray(8, 24), applied: get64(b, 24), files: get64(b, 32), used: get64(b, 40), mount: b.toString('latin1', 48, 56) }
}
export function encodeReserved(ino: number, cookie: number): Buffer {
  const b = Buffer.allocUnsafe(16)
  put64(b, ino, 0)
  put64(b, cookie, 8)
  return b
}
export function decodeReserved(b: Buffer): { ino: number; cookie: number } { return { ino: get64(b, 0), cookie: get64(b, 8) } }

function numbers(b: Buffer, at: number, count: number): number[] { return Array.from({ length: count }, (_, i) => b.readUInt32BE(at + 4 * i)) }
function damaged(what: string): Error { return errno('EIO', `tree: the value of ${what === 'inode' || what === 'entry' ? 'an' : 'a'} ${what} is damaged`) }
