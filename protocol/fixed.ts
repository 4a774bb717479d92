// How each kind of field that has a fixed size is read and written: as text, which codec.ts pastes into its functions, since as
// calls they would be too many for V8 to inline, and an Rgetattr cost 270 ns instead of 120. In it b is the buffer, p the
// place, t a variable for the moment. All is done byte by byte: a DataView would have to be made for every buffer.

import { errno } from './errno.ts'
import type { Kinds } from './messages.ts'
import type { Qid, Stat } from './types.ts'

/** Statements that write `value` at p + o, and an expression that reads it there. */
interface Fixed { readonly size: number; put(o: number, value: string): string; get(o: number): string }

const putInt = (o: number, size: number) => Array.from({ length: size }, (_, i) => `b[p + ${o + i}] = t >>> ${8 * i};`).join(' ')
const getInt = (o: number, size: number) => Array.from({ length: size }, (_, i) => `b[p + ${o + i}] << ${8 * i}`).join(' | ')
const integer = (size: number): Fixed => ({ size, put: (o, value) => `t = ${value}; ${putInt(o, size)}`, get: (o) => `((${getInt(o, size)}) >>> 0)` })
const u32 = integer(4)
const size: Fixed = {
  size: 8,
  put: (o, value) => `${u32.put(o, value)} if (!(t >= 0)) throw noSize(t); t = t > 0xffffffff ? Math.floor(t / 0x100000000) : 0; ${putInt(o + 4, 4)}`,
  get: (o) => `(${u32.get(o + 4)} * 0x100000000 + ${u32.get(o)})`,
}
/** Two's complement. */
const seconds: Fixed = {
  size: 8,
  put: (o, value) => `${u32.put(o, value)} t = Math.floor(t / 0x100000000); ${putInt(o + 4, 4)}`,
  get: (o) => `((${getInt(o + 4, 4)}) * 0x100000000 + ${u32.get(o)})`,
}
/** By way of eight bytes of our own: V8 then makes no bigint on the way. */
const u64: Fixed = {
  size: 8,
  put: (o, value) => `scratch.setBigUint64(0, ${value}, true); ${Array.from({ length: 8 }, (_, i) => `b[p + ${o + i}] = bytes[${i}];`).join(' ')}`,
  get: (o) => `getU64(b, p + ${o})`,
}
/** A size of which all ones stand for none: as a double 2^64, and that is what it is written from. */
const length: Fixed = {
  size: 8,
  put: (o, value) => `if (${value} >= ${2 ** 64}) { ${Array.from({ length: 8 }, (_, i) => `b[p + ${o + i}] = 255;`).join(' ')} } else { ${size.put(o, value)} }`,
  get: size.get,
}
function struct(fields: Readonly<Record<string, Fixed>>): Fixed {
  let end = 0
  const placed = Object.entries(fields).map(([name, kind]) => ({ name, kind, offset: (end += kind.size) - kind.size }))
  return {
    size: end,
    put: (o, value) => placed.map(({ name, kind, offset }) => kind.put(o + offset, `${value}.${name}`)).join(' '),
    get: (o) => `{ ${placed.map(({ name, kind, offset }) => `${name}: ${kind.get(o + offset)}`).join(', ')} }`,
  }
}
const mask: Fixed = { size: 8, put: (o, value) => `${u32.put(o, value)} t = 0; ${putInt(o + 4, 4)}`, get: u32.get }
const nanoseconds: Fixed = { ...mask, get: size.get }
export const qid = struct({ type: integer(1), version: u32, path: u64 })
/** What every stat begins with. */
export const statHead = struct({ type: integer(2), dev: u32, qid, mode: u32, atime: u32, mtime: u32, length })
export const fixed: { readonly [K in keyof Kinds]?: Fixed } = {
  u8: integer(1), u16: integer(2), u32, size, mask, u64, qid, time: struct({ sec: seconds, nsec: nanoseconds }),
}

/** What the texts refer to. */
export const bytes = new Uint8Array(8)
export const scratch = new DataView(bytes.buffer)
/** A size of -1 would go out as some other. */
export function noSize(value: number): Error { return errno('EINVAL', `encode a size of ${value}`) }
export function getU64(b: Uint8Array, p: number): bigint {
  for (let i = 0; i < 8; i++) bytes[i] = b[p + i]!
  return scratch.getBigUint64(0, true)
}

// The same as functions.
const putter = <T>(kind: Fixed) =>
  new Function('bytes', 'scratch', 'noSize', `return (b, p, v) => { let t; ${kind.put(0, 'v')} }`)(bytes, scratch, noSize) as (b: Uint8Array, p: number, v: T) => void
const getter = <T>(kind: Fixed) => new Function('getU64', `return (b, p) => (${kind.get(0)})`)(getU64) as (b: Uint8Array, p: number) => T
export const putU16 = putter<number>(integer(2))
export const getU16 = getter<number>(integer(2))
export const putU32 = putter<number>(u32)
export const getU32 = getter<number>(u32)
export const putU64 = putter<bigint>(u64)
export const putQid = putter<Qid>(qid)
export const getQid = getter<Qid>(qid)
export const putStatHead = putter<Omit<Stat, 'name' | 'uid' | 'gid' | 'muid'>>(statHead)
export const getSize = getter<number>(size)
