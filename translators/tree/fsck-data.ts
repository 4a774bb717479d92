// What is checked of data: that extents lead to what blobs and segments of the journal have, that `live` counts them, and that blobs are
// there and whole.

import { fstatSync } from 'node:fs'
import { isErrno } from 'ninep'
import { hex, Reader } from './blob.ts'
import { attempt, fixOf } from './fsck.ts'
import type { Check, TreeInfo } from './fsck.ts'
import { isSegment } from './journal.ts'
import { blobKey, kindPrefix, u32, u64 } from './keys.ts'
import { decodeOps, SLICE } from './record.ts'
import { decodeBlobInfo, decodeExtents, encodeBlobInfo } from './values.ts'
import type { BlobInfo, Extent } from './values.ts'

/** Blobs whose bytes are counted in one walk through all chunks. */
const AT_ONCE = 250_000
const CHUNK = 4 * 2 ** 20, BLOCK = 4096

export async function checkData(check: Check, trees: ReadonlyMap<number, TreeInfo>): Promise<void> {
  const slices = await journal(check), bad = await blobs(check, trees)
  for (const tree of trees.values()) {
    for (let from: string | undefined = ''; from !== undefined;) from = await count(check, tree, trees, from, slices)
    if (bad.size > 0) await affected(check, tree, bad)
  }
}

/** Slices of a segment, in the order of where they are. */
class Slices {
  #at: number[] = []
  #len: number[] = []
  #ino: number[] = []
  #chunk: number[] = []
  add(at: number, len: number, ino: number, chunk: number): void {
    this.#at.push(at)
    this.#len.push(len)
    this.#ino.push(ino)
    this.#chunk.push(chunk)
  }
  /** Whether [at, at + len) is data of that chunk: of one slice, or of some that lie one behind the other. */
  has(at: number, len: number, ino: number, chunk: number): boolean {
    let low = 0, high = this.#at.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#at[middle]! + this.#len[middle]! <= at) low = middle + 1
      else high = middle
    }
    for (let i = low; len > 0; i++) {
      if (i >= this.#at.length || at < this.#at[i]! || this.#ino[i] !== ino || this.#chunk[i] !== chunk) return false
      const take = Math.min(len, this.#at[i]! + this.#len[i]! - at)
      at += take
      len -= take
    }
    return true
  }
}

async function journal(check: Check): Promise<Map<string, Slices>> {
  const { view, meta } = check, all = new Map<string, Slices>(), segments = [...view.segments]
  let end = 0
  for (const [i, segment] of segments.entries()) {
    const slices = new Slices(), name = segment.first.toString(16).padStart(16, '0')
    let reached = 32, last = segment.first - 1
    all.set(segment.id, slices)
    try {
      for (const { seq, at, bytes } of view.scan(segment)) {
        check.step('journal')
        try { for (const op of decodeOps(bytes, at)) if (op.op === SLICE) slices.add(op.at, op.data.length, op.ino, op.chunk) } catch (e) {
          if (!(e instanceof RangeError)) throw e
          await check.report('lost', name, `record ${seq} is whole, and makes no sense`)
        }
        reached = at + bytes.length
        last = seq
      }
    } catch (e) {
      if (!isErrno(e)) throw e
      await check.report('lost', name, e.message)
      continue
    }
    const size = fstatSync(segment.fd).size, growing = view.live && i === segments.length - 1
    if (size > reached && !growing) await check.report('wrong', name, `a segment of the journal is whole up to ${reached} and goes on to ${size}: record ${last + 1} is not whole`)
    if (size < 32) await check.report('wrong', name, 'a segment of the journal has no beginning')
    if (end > 0 && segment.first <= end) await check.report('wrong', name, `begins with record ${segment.first}, and the one before ends with ${end}`)
    if (meta && last > meta.applied && segment.first > meta.applied + 1 && segment.first !== end + 1) await check.report('lost', name, `records ${Math.max(end, meta.applied) + 1} to ${segment.first - 1} are missing`)
    end = Math.max(end, last)
  }
  if (meta && end < meta.applied) await check.report('lost', 'journal', `ends with record ${end}, and the database has ${meta.applied}`)
  return all
}

/** What the child has, against what is known of it. Returns what of them can't be read: blobs by id, [from, to) of their data. */
async function blobs(check: Check, trees: ReadonlyMap<number, TreeInfo>): Promise<Map<string, [number, number][]>> {
  const { view, meta } = check, bad = new Map<string, [number, number][]>(), reader = new Reader(view.blobs, meta?.uuid ?? Buffer.alloc(16))
  const known = [...trees.keys()].map((t) => check.range('blobs', kindPrefix(t, 'B'))), next = await Promise.all(known.map(async (k) => (await k.next()).value as [string, Buffer] | undefined))
  let listed: { id: Uint8Array; size: number }[] = [], after: Uint8Array | null = null, at = 0
  for (;;) {
    if (at === listed.length) {
      listed = await view.blobs.list(after, 1000)
      at = 0
      after = listed.at(-1)?.id ?? after
    }
    const blob = listed[at], there = blob && Buffer.from(blob.id.buffer, blob.id.byteOffset, 16).toString('latin1')
    const id = next.reduce<string | undefined>((least, entry) => entry && (least === undefined || entry[0].slice(5) < least) ? entry[0].slice(5) : least, there)
    if (id === undefined) break
    if (id === there) { at++; check.blobs++ }
    let info: BlobInfo | undefined, key = ''
    for (const [i, entry] of next.entries()) {
      if (!entry || entry[0].slice(5) !== id) continue
      key = entry[0]
      info = attempt(() => decodeBlobInfo(entry[1])) ?? info
      if (id.length !== 16) await check.report('wrong', key, 'is no key of version 1')
      else if (!info) await check.report('wrong', key, 'what is known of a blob is damaged')
      next[i] = (await known[i]!.next()).value as [string, Buffer] | undefined
    }
    if (key === '') {
      if (!view.isNew(id)) await check.report('garbage', hex(id), `a blob of ${blob!.size} bytes that nothing names`, undefined, { ops: [], expect: new Map(), drop: Buffer.from(id, 'latin1') })
      continue
    }
    if (!info) continue
    if (id !== there) {
      if (!await view.still(key)) continue
      await check.report('lost', hex(id), `a blob is gone, with ${info.live} bytes of the head`)
      bad.set(id, [[0, info.size]])
      continue
    }
    check.bytes += info.size
    const spare = blob!.size - info.size - 4 * Math.ceil(info.size / BLOCK) - 56
    if (spare < 0 || spare % 28 !== 0) await check.report('wrong', hex(id), `a blob of ${info.size} bytes of data is ${blob!.size} long`)
    try {
      await reader.read(id, info.size, 0, new Uint8Array(Math.min(1, info.size)))
      await reader.pieces(id, info.size)
    } catch (e) {
      if (!isErrno(e, 'EIO')) throw e
      if (!await view.still(key)) continue
      await check.report('lost', hex(id), e.message)
      if (!check.options.data && spare >= 0) bad.set(id, await damaged(reader, id, info.size))
    }
    if (check.options.data) {
      const ranges = await damaged(reader, id, info.size)
      if (ranges.length > 0 && await view.still(key)) {
        if (!bad.has(id)) await check.report('lost', hex(id), `${ranges.reduce((sum, [a, b]) => sum + b - a, 0)} of ${info.size} bytes of a blob can't be read`)
        bad.set(id, ranges)
      }
    }
    if (spare < 0) bad.set(id, await damaged(reader, id, info.size))
    reader.forget(id)
  }
  return bad
}
async function damaged(reader: Reader, id: string, size: number): Promise<[number, number][]> {
  const bad: [number, number][] = [], into = Buffer.allocUnsafe(2 ** 20)
  const fine = async (from: number, to: number): Promise<boolean> => {
    try { await reader.read(id, size, from, into.subarray(0, to - from)); return true } catch (e) {
      if (isErrno(e, 'EIO')) return false
      throw e
    }
  }
  for (let from = 0; from < size; from += into.length) {
    const end = Math.min(size, from + into.length)
    if (await fine(from, end)) continue
    for (let at = from; at < end; at += BLOCK) {
      const to = Math.min(end, at + BLOCK)
      if (await fine(at, to)) continue
      const last = bad.at(-1)
      if (last && last[1] === at) last[1] = to
      else bad.push([at, to])
    }
  }
  return bad
}

/** Extents against the blobs from `from` on, as many as are counted at once, and in the first walk against all else. Returns where to go on. */
async function count(check: Check, tree: TreeInfo, trees: ReadonlyMap<number, TreeInfo>, from: string, slices: ReadonlyMap<string, Slices>): Promise<string | undefined> {
  const { t } = tree, known = new Map<string, { info: BlobInfo; value: Buffer; live: number; held: boolean }>()
  let next: string | undefined
  for await (const [key, value] of check.view.range(blobKey(t, from), kindPrefix(t, 'C'))) {
    if (known.size === AT_ONCE) { next = key.slice(5); break }
    const info = attempt(() => decodeBlobInfo(value))
    known.set(key.slice(5), { info: info ?? { birth: 0, size: Infinity, live: -1, list: 0 }, value, live: 0, held: false })
  }
  const first = from === ''
  for await (const { key, head, last, birth, ino, chunk, extents } of chunks(check, t)) {
    for (const extent of extents) {
      const { blob, at, len } = extent, where = { t, ino, at: last }
      if (isSegment(blob)) {
        if (!first) continue
        const segment = slices.get(blob)
        if (segment?.has(at, len, ino, chunk)) continue
        if (await check.view.still(key)) await check.report('lost', key, `${range(chunk, extent)} are not in the journal: ${segment ? 'there is something else, or nothing' : 'the segment is gone'}`, where)
        continue
      }
      const entry = known.get(blob)
      if (entry) {
        if (head) entry.live += len
        else entry.held = true
        const { size, birth: born } = entry.info
        if (at + len > size) await check.report('lost', key, `${range(chunk, extent)} lie behind the end of their blob`, where)
        if (born > birth) await check.report('wrong', key, `a value of epoch ${birth} refers to a blob of ${born}, which may be gone before it`, where)
        continue
      }
      if (first && (blob < from || next === undefined || blob < next) && !await elsewhere(check, trees, t, blob)) {
        await check.report('lost', key, `${range(chunk, extent)} are in blob ${hex(blob)}, of which nothing is known`, where)
      }
    }
  }
  for (const [id, { info, value, live, held }] of known) {
    const key = blobKey(t, id)
    if (info.live < 0) {
      await check.report('lost', key, 'what is known of a blob is damaged')
      continue
    }
    const fix = fixOf(key, value, encodeBlobInfo({ ...info, live }))
    if (info.live !== live) await check.report('wrong', key, `the head refers to ${live} bytes of a blob, which says ${info.live}`, undefined, fix)
    else if (live === 0 && info.list === 0) await check.report('garbage', key, held ? 'a blob that only snapshots have is on no dead list' : 'a blob that nothing refers to')
    else if (live > 0 && info.list > 0) await check.report('wrong', key, 'a blob that is in use is on a dead list', undefined, fixOf(key, value, encodeBlobInfo({ ...info, list: 0 })))
  }
  return next
}
/** Whether another tree has what a clone refers to. */
async function elsewhere(check: Check, trees: ReadonlyMap<number, TreeInfo>, t: number, id: string): Promise<boolean> {
  for (const other of trees.keys()) if (other !== t && await check.get(blobKey(other, id))) return true
  return false
}

interface ChunkOf { key: string; head: boolean; last: number; birth: number; ino: number; chunk: number; extents: Extent[] }
/** All chunks of a tree, of now and then, as far as they make sense. last: the last epoch that it is of, 0 for the head. */
async function* chunks(check: Check, t: number): AsyncGenerator<ChunkOf> {
  for (const [prefix, from] of [[kindPrefix(t, 'K'), 5], [`${kindPrefix(t, 'h')}K`, 6]] as const) {
    const head = from === 5
    for await (const [key, value] of check.range('data', prefix)) {
      const extents = value.length > 8 && key.length === (head ? 17 : 22) ? attempt(() => decodeExtents(value)) : undefined
      if (extents) yield { key, head, last: head ? 0 : u32(key, 18), birth: value.readUInt32BE(0), ino: u64(key, from), chunk: u32(key, from + 8), extents }
    }
  }
}
/** Tells which files have data in blobs that can't be read. */
async function affected(check: Check, { t }: TreeInfo, bad: ReadonlyMap<string, readonly [number, number][]>): Promise<void> {
  for await (const { key, last, ino, chunk, extents } of chunks(check, t)) for (const extent of extents) {
    for (const [from, to] of bad.get(extent.blob) ?? []) {
      const a = Math.max(from, extent.at), b = Math.min(to, extent.at + extent.len)
      if (a < b) await check.report('lost', key, `${range(chunk, { off: extent.off + a - extent.at, len: b - a })} can't be read`, { t, ino, at: last })
    }
  }
}
function range(chunk: number, { off, len }: { off: number; len: number }): string { return `bytes ${chunk * CHUNK + off} to ${chunk * CHUNK + off + len - 1}` }
