// How each kind of field whose size is its own to say is read and written. Those of fixed size: fixed.ts.

import { errno } from './errno.ts'
import { getQid, getU16, getU32, putQid, putU16, putU32, qid } from './fixed.ts'
import type { Kinds } from './messages.ts'
import { nameOfBytes, putBytes } from './names.ts'
import { getStat, getUnixStat, putStat, putUnixStat } from './stat.ts'
import type { Qid, Stat, UnixStat } from './types.ts'

/** put returns the end of what it wrote; RangeError: there is no room. end is where
 *  a field that begins at p ends: beyond limit if it claims more than there is, and then get must not be called. */
interface Varying<T> {
  put(b: Uint8Array, p: number, v: T): number
  end(b: Uint8Array, p: number, limit: number): number
  get(b: Uint8Array, p: number, end: number): T
}

export function noRoom(): RangeError { return new RangeError('no room for the message') }
function room(b: Uint8Array, end: number): void { if (end > b.length) throw noRoom() }

const orNone: Varying<number> = {
  put(b, p, v) {
    room(b, p + 4)
    putU32(b, p, v)
    return p + 4
  },
  end(_, p, limit) { return limit >= p + 4 ? p + 4 : p },
  get(b, p, end) { return end > p ? getU32(b, p) : 0 },
}

const name: Varying<string> = {
  put(b, p, v) {
    const end = putBytes(v, b, p + 2)
    if (end - p - 2 > 0xffff) throw errno('ENAMETOOLONG', 'encode')
    putU16(b, p, end - p - 2)
    return end
  },
  end(b, p, limit) { return p + 2 > limit ? limit + 1 : p + 2 + getU16(b, p) },
  get(b, p, end) { return nameOfBytes(b, p + 2, end) },
}

const data: Varying<Uint8Array> = {
  put(b, p, v) {
    const end = p + 4 + v.length
    room(b, end)
    putU32(b, p, v.length)
    b.set(v, p + 4)
    return end
  },
  end(b, p, limit) { return p + 4 > limit ? limit + 1 : p + 4 + getU32(b, p) },
  get(b, p, end) { return b.subarray(p + 4, end) },
}
const payload: Varying<Uint8Array> = { ...data, end: (b, p, limit) => data.end(b, p, limit) === limit ? limit : limit + 1 }

const names: Varying<readonly string[]> = {
  put(b, p, v) {
    room(b, p + 2)
    putU16(b, p, v.length)
    let end = p + 2
    for (let i = 0; i < v.length; i++) end = name.put(b, end, v[i]!)
    return end
  },
  end(b, p, limit) {
    if (p + 2 > limit) return limit + 1
    let end = p + 2
    for (let n = getU16(b, p); n > 0 && end <= limit; n--) end = name.end(b, end, limit)
    return end
  },
  get(b, p) {
    const v: string[] = []
    let at = p + 2
    for (let n = getU16(b, p); n > 0; n--) {
      const end = at + 2 + getU16(b, at)
      v.push(name.get(b, at, end))
      at = end
    }
    return v
  },
}

const qids: Varying<readonly Qid[]> = {
  put(b, p, v) {
    const end = p + 2 + qid.size * v.length
    room(b, end)
    putU16(b, p, v.length)
    for (let i = 0; i < v.length; i++) putQid(b, p + 2 + qid.size * i, v[i]!)
    return end
  },
  end(b, p, limit) { return p + 2 > limit ? limit + 1 : p + 2 + qid.size * getU16(b, p) },
  get(b, p) {
    const v: Qid[] = []
    for (let i = 0, n = getU16(b, p); i < n; i++) v.push(getQid(b, p + 2 + qid.size * i))
    return v
  },
}

const statKind = <T>(putInto: (b: Uint8Array, p: number, limit: number, v: T) => number, getFrom: (b: Uint8Array, p: number, end: number) => T): Varying<T> => ({
  put(b, p, v) {
    const end = putInto(b, p + 2, b.length, v)
    if (end < 0) throw noRoom()
    putU16(b, p, end - p - 2)
    return end
  },
  end(b, p, limit) { return p + 2 > limit ? limit + 1 : p + 2 + getU16(b, p) },
  get(b, p, end) { return getFrom(b, p + 2, end) },
})
const stat = statKind<Stat>(putStat, getStat), unixStat = statKind<UnixStat>(putUnixStat, getUnixStat)

export const varying: { readonly [K in keyof Kinds]?: Varying<Kinds[K]> } = { 'u32?': orNone, name, data, payload, names, qids, stat, unixStat }
