// Records of the journal, as FORMAT.md has them: one operation of the file system, as operations on keys and chunks.

import { crc32 } from 'node:zlib'
import { get64, put64 } from './keys.ts'

export const PUT = 1, DELETE = 2, SLICE = 3, MAP = 4, TRIM = 5, MOVE = 6, BARRIER = 7
/** Which chunk of which file of which tree. */
interface Where { readonly t: number; readonly ino: number; readonly chunk: number }
export interface Put { readonly op: typeof PUT; readonly key: string; readonly value: Buffer }
export interface Delete { readonly op: typeof DELETE; readonly key: string }
/** at: where the data are in the segment; known once the record is placed. */
export interface Slice extends Where { readonly op: typeof SLICE; readonly off: number; readonly data: Uint8Array; readonly crc: number; at: number }
export interface Map_ extends Where { readonly op: typeof MAP; readonly off: number; readonly len: number; readonly blob: string; readonly at: number }
export interface Trim extends Where { readonly op: typeof TRIM; readonly keep: number }
export interface Moved { readonly from: string; readonly fromAt: number; readonly len: number; readonly to: string; readonly toAt: number }
export interface Move { readonly op: typeof MOVE; readonly key: string; readonly moves: readonly Moved[] }
/** upto: blobs that records up to that one name are durable. */
export interface Barrier { readonly op: typeof BARRIER; readonly upto: number }
export type Op = Put | Delete | Slice | Map_ | Trim | Move | Barrier

/** What the head of a record says. used: bytes of data; time: microseconds. */
export interface Head { readonly seq: number; readonly files: number; readonly used: number; readonly time: number }
/** length[4] crc[4] seq[8] files[8] used[8] time[8] */
export const HEAD = 40
/** A longer one is not whole. */
export const MAX_RECORD = 64 * 2 ** 20

export const slice = (t: number, ino: number, chunk: number, off: number, data: Uint8Array): Slice => ({ op: SLICE, t, ino, chunk, off, data, crc: crc32(data), at: 0 })

function lengthOf(op: Op): number {
  switch (op.op) {
    case PUT: return 7 + op.key.length + op.value.length
    case DELETE: return 3 + op.key.length
    case SLICE: return 29 + op.data.length
    case MAP: return 45
    case TRIM: return 21
    case MOVE: return 7 + op.key.length + 44 * op.moves.length
    case BARRIER: return 9
  }
}

let scratch = Buffer.allocUnsafe(2 ** 18)
/** The bytes of a record, to be used before the next call. Slices get to know where in it their data are. */
export function encodeRecord({ seq, files, used, time }: Head, ops: readonly Op[]): Buffer {
  let length = HEAD
  for (const op of ops) length += lengthOf(op)
  if (length > scratch.length) scratch = Buffer.allocUnsafe(length)
  const b = scratch
  b.writeUInt32BE(length, 0)
  put64(b, seq, 8)
  put64(b, files, 16)
  put64(b, used, 24)
  put64(b, time, 32)
  let p = HEAD
  for (const op of ops) {
    b[p] = op.op
    switch (op.op) {
      case PUT:
        b.writeUInt16BE(op.key.length, p + 1)
        b.writeUInt32BE(op.value.length, p + 3)
        b.write(op.key, p + 7, op.key.length, 'latin1')
        p += 7 + op.key.length
        b.set(op.value, p)
        p += op.value.length
        break
      case DELETE:
        b.writeUInt16BE(op.key.length, p + 1)
        b.write(op.key, p + 3, op.key.length, 'latin1')
        p += 3 + op.key.length
        break
      case SLICE:
        p = putWhere(b, op, p)
        b.writeUInt32BE(op.off, p)
        b.writeUInt32BE(op.data.length, p + 4)
        b.writeUInt32BE(op.crc, p + 8)
        b.set(op.data, p + 12)
        op.at = p + 12
        p += 12 + op.data.length
        break
      case MAP:
        p = putWhere(b, op, p)
        b.writeUInt32BE(op.off, p)
        b.writeUInt32BE(op.len, p + 4)
        b.write(op.blob, p + 8, 16, 'latin1')
        b.writeUInt32BE(op.at, p + 24)
        p += 28
        break
      case TRIM:
        p = putWhere(b, op, p)
        b.writeUInt32BE(op.keep, p)
        p += 4
        break
      case MOVE:
        b.writeUInt16BE(op.key.length, p + 1)
        b.writeUInt32BE(op.moves.length, p + 3)
        b.write(op.key, p + 7, op.key.length, 'latin1')
        p += 7 + op.key.length
        for (const { from, fromAt, len, to, toAt } of op.moves) {
          b.write(from, p, 16, 'latin1')
          b.writeUInt32BE(fromAt, p + 16)
          b.writeUInt32BE(len, p + 20)
          b.write(to, p + 24, 16, 'latin1')
          b.writeUInt32BE(toAt, p + 40)
          p += 44
        }
        break
      case BARRIER:
        put64(b, op.upto, p + 1)
        p += 9
    }
  }
  b.writeUInt32BE(crc32(b.subarray(8, length)), 4)
  return b.subarray(0, length)
}
function putWhere(b: Buffer, { t, ino, chunk }: Where, p: number): number {
  b.writeUInt32BE(t, p + 1)
  put64(b, ino, p + 5)
  b.writeUInt32BE(chunk, p + 13)
  return p + 17
}

/** Whether a whole record begins at `at`: its length, else 0. b goes to the end of what there is, or at least MAX_RECORD further. */
export function wholeRecord(b: Buffer, at: number): number {
  if (at + HEAD > b.length) return 0
  const length = b.readUInt32BE(at)
  if (length < HEAD || length > MAX_RECORD || at + length > b.length) return 0
  return crc32(b.subarray(at + 8, at + length)) === b.readUInt32BE(at + 4) ? length : 0
}
export function decodeHead(b: Buffer): Head { return { seq: get64(b, 8), files: get64(b, 16), used: get64(b, 24), time: get64(b, 32) } }

/** The operations of a whole record. position: where it is in its segment. Throws RangeError: it is not of this format. */
export function* decodeOps(b: Buffer, position: number): Generator<Op> {
  for (let p = HEAD; p < b.length;) {
    const op = b[p]
    switch (op) {
      case PUT: {
        const klen = b.readUInt16BE(p + 1), vlen = b.readUInt32BE(p + 3), k = p + 7, v = k + klen
        p = v + vlen
        yield { op, key: b.toString('latin1', k, v), value: Buffer.from(b.subarray(v, p)) }
        break
      }
      case DELETE: {
        const klen = b.readUInt16BE(p + 1), k = p + 3
        p = k + klen
        yield { op, key: b.toString('latin1', k, p) }
        break
      }
      case SLICE: {
        const at = p + 29, len = b.readUInt32BE(p + 21), where = getWhere(b, p)
        yield { op, ...where, off: b.readUInt32BE(p + 17), data: b.subarray(at, at + len), crc: b.readUInt32BE(p + 25), at: position + at }
        p = at + len
        break
      }
      case MAP:
        yield { op, ...getWhere(b, p), off: b.readUInt32BE(p + 17), len: b.readUInt32BE(p + 21), blob: b.toString('latin1', p + 25, p + 41), at: b.readUInt32BE(p + 41) }
        p += 45
        break
      case TRIM:
        yield { op, ...getWhere(b, p), keep: b.readUInt32BE(p + 17) }
        p += 21
        break
      case MOVE: {
        const klen = b.readUInt16BE(p + 1), n = b.readUInt32BE(p + 3), k = p + 7, moves: Moved[] = []
        p = k + klen
        const key = b.toString('latin1', k, p)
        for (let i = 0; i < n; i++, p += 44) {
          moves.push({ from: b.toString('latin1', p, p + 16), fromAt: b.readUInt32BE(p + 16), len: b.readUInt32BE(p + 20), to: b.toString('latin1', p + 24, p + 40), toAt: b.readUInt32BE(p + 40) })
        }
        yield { op, key, moves }
        break
      }
      case BARRIER:
        yield { op, upto: get64(b, p + 1) }
        p += 9
        break
      default: throw new RangeError(`no operation ${op}`)
    }
  }
}
function getWhere(b: Buffer, p: number): Where { return { t: b.readUInt32BE(p + 1), ino: get64(b, p + 5), chunk: b.readUInt32BE(p + 13) } }
