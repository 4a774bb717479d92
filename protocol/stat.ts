// Stats of 9P2000 and 9P2000.u: in Rstat, in Twstat, and one behind the other as the content of a directory.
//
//   size[2] type[2] dev[4] qid[13] mode[4] atime[4] mtime[4] length[8] name[s] uid[s] gid[s] muid[s]
//   .u:     extension[s] n_uid[4] n_gid[4] n_muid[4]
//
// size counts what follows it.

import { errno } from './errno.ts'
import { getQid, getSize, getU16, getU32, putStatHead, putU16, putU32, statHead } from './fixed.ts'
import { nameOfBytes, putName } from './names.ts'
import type { Stat, UnixStat } from './types.ts'

/** Bytes before the first string. */
const HEAD = 2 + statHead.size
/** Bytes after the last one, in .u. */
const NUMBERS = 12
/** Bytes of a stat, its size[2] included: in Rstat and Twstat stands n[2] before it. */
const MOST = 0xffff

/** Twstat of this asks for nothing: servers take it for an fsync. Fields to be changed go over it. */
export const DONT_TOUCH: UnixStat = {
  type: 0xffff, dev: 0xffffffff, qid: { type: 0xff, version: 0xffffffff, path: (1n << 64n) - 1n }, mode: 0xffffffff, atime: 0xffffffff, mtime: 0xffffffff,
  length: 2 ** 64, name: '', uid: '', gid: '', muid: '', extension: '', nUid: 0xffffffff, nGid: 0xffffffff, nMuid: 0xffffffff,
}

/** Writes a stat of 9P2000 and returns its end; -1, and nothing is to be made of what stands there, if that would pass `limit`.
 *  ENAMETOOLONG: its strings together are longer than a stat can say. EILSEQ: one can't be sent. EINVAL: a length below 0. */
export function putStat(into: Uint8Array, at: number, limit: number, stat: Stat): number {
  return sized(into, at, putStrings(into, at, limit, stat))
}
/** The same of 9P2000.u. */
export function putUnixStat(into: Uint8Array, at: number, limit: number, stat: UnixStat): number {
  let end = putStrings(into, at, limit - NUMBERS, stat)
  if (end >= 0) end = putString(into, end, limit - NUMBERS, stat.extension)
  if (end < 0) return -1
  putU32(into, end, stat.nUid)
  putU32(into, end + 4, stat.nGid)
  putU32(into, end + 8, stat.nMuid)
  return sized(into, at, end + NUMBERS)
}
function putStrings(into: Uint8Array, at: number, limit: number, stat: Stat): number {
  if (at + HEAD > limit) return -1
  putStatHead(into, at + 2, stat)
  let end = putString(into, at + HEAD, limit, stat.name)
  if (end >= 0) end = putString(into, end, limit, stat.uid)
  if (end >= 0) end = putString(into, end, limit, stat.gid)
  return end < 0 ? -1 : putString(into, end, limit, stat.muid)
}
function putString(into: Uint8Array, at: number, limit: number, value: string): number {
  const end = putName(value, into, at + 2, limit)
  if (end >= 0) putU16(into, at, end - at - 2)
  return end
}
function sized(into: Uint8Array, at: number, end: number): number {
  if (end - at > MOST) throw errno('ENAMETOOLONG', 'encode', 'stat')
  if (end >= 0) putU16(into, at, end - at - 2)
  return end
}

/** The stat that stands from `at` to at most `end`. EINVAL: it is longer, or a string in it is. */
export function getStat(bytes: Uint8Array, at: number, end: number): Stat { return new Reader(bytes, at, end).stat() }
/** The same of 9P2000.u. */
export function getUnixStat(bytes: Uint8Array, at: number, end: number): UnixStat {
  const reader = new Reader(bytes, at, end), stat = reader.stat() as { -readonly [F in keyof UnixStat]: UnixStat[F] }
  stat.extension = reader.string()                         // `...stat` would take 4 us
  stat.nUid = reader.number()
  stat.nGid = reader.number()
  stat.nMuid = reader.number()
  return stat
}

/** The entries of what was read from a directory. EINVAL: the last one is cut. */
export function statsOf(data: Uint8Array): Stat[] { return entries(data, getStat) }
/** The same of 9P2000.u. */
export function unixStatsOf(data: Uint8Array): UnixStat[] { return entries(data, getUnixStat) }
function entries<T>(data: Uint8Array, get: (bytes: Uint8Array, at: number, end: number) => T): T[] {
  const all: T[] = []
  for (let at = 0; at < data.length;) {
    if (at + 2 > data.length) throw cut()
    const end = at + 2 + getU16(data, at)
    if (end > data.length) throw cut()
    all.push(get(data, at, end))
    at = end
  }
  return all
}
function cut(): Error { return errno('EINVAL', 'decode', 'stat') }

/** Reads one stat, and never beyond what it says its size is. */
class Reader {
  readonly #bytes: Uint8Array
  readonly #start: number
  readonly #end: number
  #at: number
  constructor(bytes: Uint8Array, at: number, end: number) {
    this.#bytes = bytes
    this.#start = at
    this.#end = at + HEAD > end ? 0 : at + 2 + getU16(bytes, at)
    this.#at = at + HEAD
    if (this.#at > this.#end || this.#end > end) throw cut()
  }
  stat(): Stat {
    const b = this.#bytes, at = this.#start
    return {
      type: getU16(b, at + 2), dev: getU32(b, at + 4), qid: getQid(b, at + 8), mode: getU32(b, at + 21), atime: getU32(b, at + 25), mtime: getU32(b, at + 29),
      length: getSize(b, at + 33), name: this.string(), uid: this.string(), gid: this.string(), muid: this.string(),
    }
  }
  string(): string {
    const start = this.#at + 2
    const end = start > this.#end ? this.#end + 1 : start + getU16(this.#bytes, this.#at)
    if (end > this.#end) throw cut()
    this.#at = end
    return nameOfBytes(this.#bytes, start, end)
  }
  number(): number {
    if (this.#at + 4 > this.#end) throw cut()
    this.#at += 4
    return getU32(this.#bytes, this.#at - 4)
  }
}
