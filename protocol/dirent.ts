// Payloads that are written in place: what stands in Rread and Rreaddir never passes through another buffer.

import { errno } from './errno.ts'
import { getQid, getU16, getU64, putU16, putU32, putU64 } from './fixed.ts'
import { nameOfBytes, putName } from './names.ts'
import type { Dirent } from './types.ts'

/** size[4] type[1] tag[2] count[4]: what comes before the payload of Rread and Rreaddir. */
export const PAYLOAD_HEAD = 11
/** Writes the head of a frame whose payload of `count` bytes already stands at `at` + 11. */
export function payloadHead(type: number, tag: number, count: number, into: Uint8Array, at: number): void {
  putU32(into, at, PAYLOAD_HEAD + count)
  into[at + 4] = type
  putU16(into, at + 5, tag)
  putU32(into, at + 7, count)
}

// An entry: qid[13] cookie[8] type[1] name[s]
const HEAD = 24
/** Bytes of an entry whose name has this many. */
export function direntSize(nameBytes: number): number { return HEAD + nameBytes }

/** Writes an entry and returns its end; -1, and nothing is to be made of what stands there, if that would pass `limit`. */
export function putDirent(
  into: Uint8Array, at: number, limit: number, qtype: number, version: number, path: bigint, cookie: bigint, dtype: number, name: string | Uint8Array,
): number {
  let end = at + HEAD + name.length
  if (typeof name === 'string') end = putName(name, into, at + HEAD, limit)
  else if (end > limit) end = -1
  else into.set(name, at + HEAD)
  if (end < 0) return -1
  into[at] = qtype
  putU32(into, at + 1, version)
  putU64(into, at + 5, path)
  putU64(into, at + 13, cookie)
  into[at + 21] = dtype
  putU16(into, at + 22, end - at - HEAD)
  return end
}

/** The entries of an Rreaddir's data. EINVAL: the last one is cut. */
export function direntsOf(data: Uint8Array): Dirent[] {
  const entries: Dirent[] = []
  for (let at = 0; at < data.length;) {
    const end = at + HEAD > data.length ? data.length + 1 : at + HEAD + getU16(data, at + 22)
    if (end > data.length) throw errno('EINVAL', 'decode', 'Rreaddir')
    entries.push({ qid: getQid(data, at), cookie: getU64(data, at + 13), type: data[at + 21]!, name: nameOfBytes(data, at + HEAD, end) })
    at = end
  }
  return entries
}
