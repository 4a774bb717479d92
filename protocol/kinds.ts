// How each kind of field is read and written: b is the buffer, p the place, v the value. Small functions of numbers,
// byte by byte: V8 inlines them into the compiled messages, and no view or bigint is made on the way.

import { errno } from './errno.ts'
import type { Kinds } from './messages.ts'
import { nameOfBytes, putBytes } from './names.ts'
import type { Qid, Time } from './types.ts'

/** Always the same number of bytes, which the caller has checked are there. */
interface Fixed<T> { readonly size: number; put(b: Buffer, p: number, v: T): void; get(b: Buffer, p: number): T }
/** put checks the room and returns the end of what it wrote. end says where a field that begins at p ends: beyond
 *  limit if it claims more than there is, and then get must not be called. */
interface Varying<T> { put(b: Buffer, p: number, v: T): number; end(b: Buffer, p: number, limit: number): number; get(b: Buffer, p: number, end: number): T }
type Codec = { readonly [K in keyof Kinds]: Fixed<Kinds[K]> | Varying<Kinds[K]> }

export function noRoom(): RangeError { return new RangeError('no room for the message') }
export function room(b: Buffer, end: number): void { if (end > b.length) throw noRoom() }

function putU8(b: Buffer, p: number, v: number): void { b[p] = v }
function getU8(b: Buffer, p: number): number { return b[p]! }
export function putU16(b: Buffer, p: number, v: number): void {
  b[p] = v
  b[p + 1] = v >>> 8
}
export function getU16(b: Buffer, p: number): number { return b[p]! | b[p + 1]! << 8 }
export function putU32(b: Buffer, p: number, v: number): void {
  b[p] = v
  b[p + 1] = v >>> 8
  b[p + 2] = v >>> 16
  b[p + 3] = v >>> 24
}
function getI32(b: Buffer, p: number): number { return b[p]! | b[p + 1]! << 8 | b[p + 2]! << 16 | b[p + 3]! << 24 }
export function getU32(b: Buffer, p: number): number { return getI32(b, p) >>> 0 }

/** Two's complement below 0, so that it serves seconds too. */
function putSize(b: Buffer, p: number, v: number): void {
  putU32(b, p, v >>> 0)
  putU32(b, p + 4, Math.floor(v / 0x1_0000_0000) >>> 0)
}
function getSize(b: Buffer, p: number): number { return getU32(b, p + 4) * 0x1_0000_0000 + getU32(b, p) }

const bytes = new Uint8Array(8)
const scratch = new DataView(bytes.buffer)
export function putU64(b: Buffer, p: number, v: bigint): void {
  scratch.setBigUint64(0, v, true)
  for (let i = 0; i < 8; i++) b[p + i] = bytes[i]!
}
export function getU64(b: Buffer, p: number): bigint {
  for (let i = 0; i < 8; i++) bytes[i] = b[p + i]!
  return scratch.getBigUint64(0, true)
}

export function putQid(b: Buffer, p: number, v: Qid): void {
  b[p] = v.type
  putU32(b, p + 1, v.version)
  putU64(b, p + 5, v.path)
}
export function getQid(b: Buffer, p: number): Qid { return { type: b[p]!, version: getU32(b, p + 1), path: getU64(b, p + 5) } }

function putTime(b: Buffer, p: number, v: Time): void {
  putSize(b, p, v.sec)
  putU32(b, p + 8, v.nsec)
  putU32(b, p + 12, 0)
}
function getTime(b: Buffer, p: number): Time { return { sec: getI32(b, p + 4) * 0x1_0000_0000 + getU32(b, p), nsec: getSize(b, p + 8) } }

function putName(b: Buffer, p: number, v: string): number {
  const end = putBytes(v, b, p + 2)
  if (end - p - 2 > 0xffff) throw errno('ENAMETOOLONG', 'encode')
  putU16(b, p, end - p - 2)
  return end
}
function nameEnd(b: Buffer, p: number, limit: number): number { return p + 2 > limit ? limit + 1 : p + 2 + getU16(b, p) }
function getName(b: Buffer, p: number, end: number): string { return nameOfBytes(b, p + 2, end) }

function putData(b: Buffer, p: number, v: Uint8Array): number {
  const end = p + 4 + v.length
  room(b, end)
  putU32(b, p, v.length)
  b.set(v, p + 4)
  return end
}
function dataEnd(b: Buffer, p: number, limit: number): number { return p + 4 > limit ? limit + 1 : p + 4 + getU32(b, p) }
function payloadEnd(b: Buffer, p: number, limit: number): number { return dataEnd(b, p, limit) === limit ? limit : limit + 1 }
function getData(b: Buffer, p: number, end: number): Buffer { return b.subarray(p + 4, end) }

function putNames(b: Buffer, p: number, v: readonly string[]): number {
  room(b, p + 2)
  putU16(b, p, v.length)
  let end = p + 2
  for (let i = 0; i < v.length; i++) end = putName(b, end, v[i]!)
  return end
}
function namesEnd(b: Buffer, p: number, limit: number): number {
  if (p + 2 > limit) return limit + 1
  let end = p + 2
  for (let n = getU16(b, p); n > 0 && end <= limit; n--) end = nameEnd(b, end, limit)
  return end
}
function getNames(b: Buffer, p: number): string[] {
  const v: string[] = []
  let at = p + 2
  for (let n = getU16(b, p); n > 0; n--) {
    const end = at + 2 + getU16(b, at)
    v.push(getName(b, at, end))
    at = end
  }
  return v
}

function putQids(b: Buffer, p: number, v: readonly Qid[]): number {
  const end = p + 2 + 13 * v.length
  room(b, end)
  putU16(b, p, v.length)
  for (let i = 0; i < v.length; i++) putQid(b, p + 2 + 13 * i, v[i]!)
  return end
}
function getQids(b: Buffer, p: number): Qid[] {
  const v: Qid[] = []
  for (let i = 0, n = getU16(b, p); i < n; i++) v.push(getQid(b, p + 2 + 13 * i))
  return v
}

export const kinds: Codec = {
  u8: { size: 1, put: putU8, get: getU8 },
  u16: { size: 2, put: putU16, get: getU16 },
  u32: { size: 4, put: putU32, get: getU32 },
  size: { size: 8, put: putSize, get: getSize },
  mask: { size: 8, put: (b, p, v) => putSize(b, p, v >>> 0), get: getU32 },
  u64: { size: 8, put: putU64, get: getU64 },
  qid: { size: 13, put: putQid, get: getQid },
  time: { size: 16, put: putTime, get: getTime },
  'u32?': {
    put: (b, p, v) => {
      room(b, p + 4)
      putU32(b, p, v)
      return p + 4
    },
    end: (_, p, limit) => limit >= p + 4 ? p + 4 : p,
    get: (b, p, end) => end > p ? getU32(b, p) : 0,
  },
  name: { put: putName, end: nameEnd, get: getName },
  data: { put: putData, end: dataEnd, get: getData },
  payload: { put: putData, end: payloadEnd, get: getData },
  names: { put: putNames, end: namesEnd, get: getNames },
  qids: { put: putQids, end: (b, p, limit) => p + 2 > limit ? limit + 1 : p + 2 + 13 * getU16(b, p), get: getQids },
}
