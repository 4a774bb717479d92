// What becomes of chunks, and of the blobs that they name, when a record is applied: alike when it was just made and when the
// journal is read again. FORMAT.md, "Chunks" and "Epochs".

import { blobKey, chunkKey, deadKey, historyKey, ledgerKey } from './keys.ts'
import { isSegment } from './journal.ts'
import type { Moved } from './record.ts'
import type { Lazy, Store } from './store.ts'
import { decodeBlobInfo, decodeExtents, encodeBlobInfo, encodeExtents, versionOf } from './values.ts'
import type { BlobInfo, Extent, State } from './values.ts'

/** Bytes of a chunk. */
export const CHUNK = 4 * 2 ** 20
export const EMPTY = Buffer.alloc(0)
const NONE: readonly Extent[] = []
/** Chunks that are kept in memory, twice that at most. */
const KEPT = 512

/** A chunk in memory; without extents it is none, or a tombstone. It is changed in place only in the generation that it was made in. */
class Chunk implements Lazy {
  constructor(public birth: number, public prev: number, readonly extents: Extent[], readonly generation: number) {}
  encode(): Buffer { return encodeExtents(this.birth, this.prev, this.extents) }
}

export class Chunks {
  #young = new Map<string, Chunk>()
  #old = new Map<string, Chunk>()
  /** Bytes that heads have in the journal. */
  pending = 0
  /** Blobs that are mostly dead, and that no snapshot holds, with their trees; and how many bytes of them are dead. */
  readonly sparse = new Map<string, number>()
  wasted = 0
  /** state: of a tree, as the record being applied finds it; doom: a blob that nothing refers to any more. */
  constructor(private readonly store: Store, private readonly state: (t: number) => State, private readonly doom: (id: string, size: number) => void) {}

  /** What a chunk of the head has, in order. It is not to be kept: it changes. */
  extents(t: number, ino: number, chunk: number): readonly Extent[] { return this.#find(chunkKey(t, ino, chunk))?.extents ?? NONE }
  /** The same, and its version, of a chunk of the head or of the past by its key. */
  at(key: string): { birth: number; prev: number; extents: readonly Extent[] } | undefined { return this.#find(key) }
  forget(key: string): void {
    this.#young.delete(key)
    this.#old.delete(key)
  }
  forgetAll(): void {
    this.#young.clear()
    this.#old.clear()
  }

  #find(key: string): Chunk | undefined {
    let chunk = this.#young.get(key)
    if (chunk) return chunk
    chunk = this.#old.get(key)
    if (!chunk) {
      const value = this.store.find(key)
      if (!value) return undefined
      if (value instanceof Chunk) chunk = value
      else {
        const { birth, prev } = versionOf(value as Buffer)
        chunk = new Chunk(birth, prev, decodeExtents(value as Buffer), -1)
      }
    }
    this.#keep(key, chunk)
    return chunk
  }
  #keep(key: string, chunk: Chunk): void {
    if (this.#young.size >= KEPT) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(key, chunk)
  }

  /** The chunk to be changed in place, its past kept as far as a snapshot holds it. */
  #change(t: number, key: string): Chunk {
    const { s, e, lists } = this.state(t), old = this.#find(key), { store } = this
    if (s > 0 && (!old || old.birth < e)) store.put(ledgerKey(key, e), EMPTY)
    let chunk = old
    if (!old) chunk = new Chunk(e, 0, [], store.generation)
    else if (old.birth <= s) {
      const past = historyKey(key, s)
      store.put(past, old.encode())
      store.put(deadKey(t, lists.at(-1)!, old.birth, past.slice(4)), EMPTY)
      chunk = new Chunk(e, s, [...old.extents], store.generation)
    } else if (old.generation !== store.generation) chunk = new Chunk(e, old.prev, [...old.extents], store.generation)
    chunk!.birth = e
    this.#put(key, chunk!)
    return chunk!
  }
  #put(key: string, chunk: Chunk): void {
    this.store.put(key, chunk)
    if (this.#young.get(key) !== chunk) this.#keep(key, chunk)
  }
  /** After a change: a chunk without extents is not kept, but for what it says of the past. */
  #done(key: string, chunk: Chunk): void {
    if (chunk.extents.length > 0 || chunk.prev > 0) return
    this.store.put(key, null)
    this.forget(key)
  }

  /** New data of a chunk, over what there was. */
  map(t: number, ino: number, index: number, extent: Extent): void {
    const key = chunkKey(t, ino, index), chunk = this.#change(t, key)
    this.#live(t, extent.blob, extent.len)
    for (const { blob, len } of replace(chunk.extents, extent.off, extent.off + extent.len, extent)) this.#live(t, blob, -len)
    this.#done(key, chunk)
  }
  /** A chunk ends at `keep`. */
  trim(t: number, ino: number, index: number, keep: number): void {
    const key = chunkKey(t, ino, index), chunk = this.#change(t, key)
    for (const { blob, len } of replace(chunk.extents, keep, CHUNK)) this.#live(t, blob, -len)
    this.#done(key, chunk)
  }
  /** The same data are elsewhere; of the head or of the past. A chunk that is gone meanwhile has none of them. */
  move(t: number, key: string, moves: readonly Moved[]): void {
    const old = this.#find(key)
    if (!old) return
    const head = key[4] === 'K', by = new Map<string, Moved[]>()
    for (const move of moves) {
      const list = by.get(move.from)
      if (list) list.push(move)
      else by.set(move.from, [move])
    }
    const extents: Extent[] = []
    for (const extent of old.extents) for (const part of moved(extent, by.get(extent.blob))) {
      if (head && part.blob !== extent.blob) {
        this.#live(t, part.blob, part.len)
        this.#live(t, extent.blob, -part.len)
      }
      const last = extents.at(-1)
      if (last && joins(last, part)) extents[extents.length - 1] = { ...last, len: last.len + part.len }
      else extents.push(part)
    }
    this.#put(key, new Chunk(old.birth, old.prev, extents, this.store.generation))
  }

  #live(t: number, id: string, by: number): void {
    if (isSegment(id)) { this.pending += by; return }
    const key = blobKey(t, id), value = this.store.get(key)
    if (!value) return                                    // fsck's to find
    const info = decodeBlobInfo(value), live = info.live + by
    if (live <= 0 && by < 0) { this.die(t, id, info); return }
    if (info.list > 0) {                                  // it lives again
      this.store.put(deadKey(t, info.list, info.birth, `b${id}`), null)
      this.store.put(key, encodeBlobInfo({ ...info, live, list: 0 }))
      return
    }
    this.store.put(key, encodeBlobInfo({ ...info, live }))
    if (by > 0 || 2 * live >= info.size || info.birth <= this.state(t).s) return
    if (this.sparse.has(id)) this.wasted -= by
    else {
      this.sparse.set(id, t)
      this.wasted += info.size - live
    }
  }
  /** Nothing of the head refers to it. list: the one that it goes to, if not the current one. */
  die(t: number, id: string, info: BlobInfo, given?: number): void {
    const { s, lists } = this.state(t), key = blobKey(t, id)
    if (this.sparse.delete(id)) this.wasted -= info.size - info.live
    if (info.birth > s) {
      this.store.put(key, null)
      this.doom(id, info.size)
      return
    }
    const list = given ?? lists.at(-1)!
    this.store.put(key, encodeBlobInfo({ ...info, live: 0, list }))
    this.store.put(deadKey(t, list, info.birth, `b${id}`), EMPTY)
  }
  /** What is known of a blob. */
  info(t: number, id: string): BlobInfo | undefined {
    const value = this.store.get(blobKey(t, id))
    return value && decodeBlobInfo(value)
  }
}

/** Where the first of the extents that end behind `off` is. */
export function find(extents: readonly Extent[], off: number): number {
  let low = 0, high = extents.length
  while (low < high) {
    const middle = (low + high) >> 1, { off: o, len } = extents[middle]!
    if (o + len <= off) low = middle + 1
    else high = middle
  }
  return low
}
/** How many bytes of [from, to) there are. */
export function covered(extents: readonly Extent[], from: number, to: number): number {
  let sum = 0
  for (let i = find(extents, from); i < extents.length && extents[i]!.off < to; i++) {
    const { off, len } = extents[i]!
    sum += Math.min(off + len, to) - Math.max(off, from)
  }
  return sum
}
function joins(a: Extent, b: Extent): boolean { return a.off + a.len === b.off && a.blob === b.blob && a.at + a.len === b.at }

/** Takes [from, to) out of the extents, and puts one in its place. Returns what was taken. */
function replace(extents: Extent[], from: number, to: number, by?: Extent): Extent[] {
  const begin = find(extents, from), taken: Extent[] = [], left: Extent[] = []
  let end = begin
  for (; end < extents.length && extents[end]!.off < to; end++) {
    const { off, len, blob, at } = extents[end]!, a = Math.max(off, from), b = Math.min(off + len, to)
    taken.push({ off: a, len: b - a, blob, at: at + a - off })
    if (off < from) left.push({ off, len: from - off, blob, at })
    if (off + len > to) left.push({ off: to, len: off + len - to, blob, at: at + to - off })
  }
  if (by) {
    const i = left.length > 0 && left[0]!.off < from ? 1 : 0
    left.splice(i, 0, by)
    if (begin === end && i === 0 && begin > 0 && joins(extents[begin - 1]!, by)) {       // a file that is appended to
      const last = extents[begin - 1]!
      extents[begin - 1] = { ...last, len: last.len + by.len }
      return taken
    }
  }
  extents.splice(begin, end - begin, ...left)
  return taken
}

/** The parts of an extent, those that moved at their new place. */
function* moved(extent: Extent, moves: readonly Moved[] | undefined): Generator<Extent> {
  let { off, len, at } = extent
  for (const { fromAt, len: n, to, toAt } of moves ?? []) {   // in the order of fromAt
    if (fromAt + n <= at) continue
    if (len === 0 || fromAt >= at + len) break
    if (fromAt > at) {
      const before = fromAt - at
      yield { off, len: before, blob: extent.blob, at }
      off += before
      at += before
      len -= before
    }
    const take = Math.min(len, fromAt + n - at)
    yield { off, len: take, blob: to, at: toAt + at - fromAt }
    off += take
    at += take
    len -= take
  }
  if (len > 0) yield { off, len, blob: extent.blob, at }
}
