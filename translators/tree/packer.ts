// Data go from where they were first to where they can stay: slices of full segments of the journal into blobs, and what is left of
// blobs that are mostly dead into others. What a reader sees does not change. One at a time, behind the back of everybody.

import { encodeBlob, MAX_DATA } from './blob.ts'
import type { Piece } from './blob.ts'
import type { Instance } from './instance.ts'
import type { Segment } from './journal.ts'
import { isSegment } from './journal.ts'
import { blobKey, chunkKey, historyKey, treeOf, u32, u64 } from './keys.ts'
import { decodeOps, MOVE, PUT, SLICE } from './record.ts'
import type { Moved, Op } from './record.ts'
import { encodeBlobInfo } from './values.ts'

/** Chunks that the data of one blob may be of: all of them change in one turn of the loop. */
const MOST = 256
/** Blobs are merged when so many bytes are to be won, and full segments may be so many before replies wait. */
const WORTH = 32 * 2 ** 20, WAITING = 8
/** Bytes that are looked at in one turn of the loop. */
const IN_A_TURN = 2 ** 20
/** After a failure, milliseconds. */
const AGAIN = 5000

/** Bytes of one chunk that are to move. off: in the chunk; at: where they are in `id`. */
interface Range { readonly key: string; readonly id: string; readonly off: number; readonly len: number; readonly at: number }

export class Packer {
  #running: Promise<void> | undefined
  /** Packed, up to that record: they can go when LevelDB has it. */
  #packed = new Map<Segment, number>()
  #retry: NodeJS.Timeout | undefined
  constructor(private readonly instance: Instance) {
    instance.onFlush = () => this.#remove()
    instance.crowded = () => this.#full().length > WAITING ? this.run() : undefined
    instance.journal.onFull = () => { void this.run() }
  }

  #full(): Segment[] { return this.instance.journal.segments.slice(0, -1).filter((segment) => !this.#packed.has(segment)) }
  /** Packs all full segments, and merges blobs where it is worth it. It does not throw: what fails is tried again. */
  run(): Promise<void> {
    return this.#running ??= this.#run().catch((err: unknown) => {
      if (this.instance.closed || this.instance.failed) return
      this.instance.setting.log.warn({ tree: this.instance.setting.dir, err }, 'data could not be moved out of the journal: it grows until they can')
      this.#retry ??= setTimeout(() => { this.#retry = undefined; void this.run() }, AGAIN).unref()
    }).finally(() => { this.#running = undefined })
  }
  async #run(): Promise<void> {
    const { instance } = this
    for (let segment = this.#full()[0]; segment && !this.#stopped; segment = this.#full()[0]) {
      await this.#pack(segment)
      this.#packed.set(segment, instance.journal.seq)
      this.#remove()
    }
    while (!this.#stopped && instance.chunks.wasted >= WORTH) await this.#merge()
  }
  get #stopped(): boolean { return this.instance.closed || this.instance.failed !== undefined }
  #remove(): void {
    const { instance } = this
    for (const [segment, seq] of this.#packed) {
      if (Math.max(seq, segment.last) > instance.applied) continue
      this.#packed.delete(segment)
      instance.journal.remove(segment)
    }
  }

  async #pack(segment: Segment): Promise<void> {
    const keys = new Set<string>()
    let turn = 0
    for (const { bytes, at } of this.instance.journal.scan(segment)) {
      for (const op of decodeOps(bytes, at)) if (op.op === SLICE) keys.add(chunkKey(op.t, op.ino, op.chunk))
      if ((turn += bytes.length) < IN_A_TURN) continue
      turn = 0
      await new Promise(setImmediate)
    }
    await this.#move(keys, new Set([segment.id]))
  }
  async #merge(): Promise<void> {
    const { chunks, reader } = this.instance, keys = new Set<string>(), ids = new Set<string>()
    let bytes = 0
    for (const [id, t] of chunks.sparse) {
      chunks.sparse.delete(id)
      const info = chunks.info(t, id)
      chunks.wasted = Math.max(0, chunks.wasted - (info ? info.size - info.live : 0))
      if (!info || info.birth <= this.instance.state(t).s || info.list > 0) continue
      for (const { t, ino, chunk } of await reader.pieces(id, info.size)) keys.add(chunkKey(t, ino, chunk))
      ids.add(id)
      bytes += info.live
      if (bytes >= MAX_DATA) break
    }
    if (ids.size === 0) chunks.wasted = 0
    await this.#move(keys, ids)
  }
  /** Merges all that can be, however little it brings. */
  async compact(): Promise<void> {
    while (this.#running) await this.#running
    this.#running = (async () => { while (this.instance.chunks.sparse.size > 0 && !this.#stopped) await this.#merge() })().finally(() => { this.#running = undefined })
    await this.#running
  }

  /** Moves what these chunks, and what snapshots see of them, have in these places. */
  async #move(keys: Iterable<string>, ids: ReadonlySet<string>): Promise<void> {
    let ranges: Range[] = [], bytes = 0, chunks = 0
    for (const key of [...keys].sort()) {
      if (this.#stopped) return
      const found = this.#ranges(key, ids)
      if (found.length === 0) continue
      const more = found.reduce((sum, { len }) => sum + len, 0)
      if (chunks >= MOST || bytes + more > MAX_DATA) {
        await this.#put(ranges, ids)
        ranges = []
        bytes = chunks = 0
      }
      ranges.push(...found)
      bytes += more
      chunks++
      if (chunks % 32 === 0) await new Promise(setImmediate)
    }
    if (ranges.length > 0) await this.#put(ranges, ids)
  }
  /** The keys of a chunk and of what it was. */
  #versions(key: string): string[] {
    const { chunks } = this.instance, keys = [key]
    for (let prev = chunks.at(key)?.prev ?? 0; prev > 0;) {
      const past = historyKey(key, prev)
      keys.push(past)
      prev = chunks.at(past)?.prev ?? 0
    }
    return keys
  }
  /** What any version of a chunk has there, in the order of the chunk; of one place that several have, once. */
  #ranges(key: string, ids: ReadonlySet<string>): Range[] {
    const found: Range[] = []
    for (const version of this.#versions(key)) for (const { off, len, blob, at } of this.instance.chunks.at(version)?.extents ?? []) if (ids.has(blob)) found.push({ key, id: blob, off, len, at })
    if (found.length < 2) return found
    found.sort((a, b) => a.id < b.id ? -1 : a.id > b.id ? 1 : a.at - b.at)
    const joined: Range[] = [found[0]!]
    for (const range of found) {
      const last = joined.at(-1)!, over = last.at + last.len - range.at
      if (range.id !== last.id || over < 0 || range.off - range.at !== last.off - last.at) joined.push(range)
      else if (over < range.len) joined[joined.length - 1] = { ...last, len: range.at + range.len - last.at }
    }
    return joined.sort((a, b) => a.off - b.off)
  }

  async #put(ranges: readonly Range[], ids: ReadonlySet<string>): Promise<void> {
    const { instance } = this, { chunks, journal, reader } = instance, t = treeOf(ranges[0]!.key)
    const size = ranges.reduce((sum, { len }) => sum + len, 0), data = Buffer.allocUnsafe(size), pieces: Piece[] = [], moves = new Map<string, Moved[]>()
    const id = instance.takeBlob()
    let at = 0, turn = 0
    await instance.reading(async () => {
      for (const range of ranges) {
        if ((turn += range.len) >= IN_A_TURN) {
          turn = 0
          await new Promise(setImmediate)
        }
        const into = data.subarray(at, at + range.len)
        if (isSegment(range.id)) journal.read(range.id, range.at, into)
        else {
          const info = chunks.info(t, range.id)
          if (info) await reader.read(range.id, info.size, range.at, into)   // else it died meanwhile, and nothing of it will move
        }
        pieces.push({ t, ino: u64(range.key, 5), chunk: u32(range.key, 13), off: range.off, len: range.len, at })
        const move = { from: range.id, fromAt: range.at, len: range.len, to: id, toAt: at }, list = moves.get(range.key)
        if (list) list.push(move)
        else moves.set(range.key, [move])
        at += range.len
      }
    })
    await instance.setting.blobs.put(Buffer.from(id, 'latin1'), encodeBlob(instance.uuid, id, [data], pieces))
    // From here on in one turn: chunks may have become others meanwhile, and snapshots may have been made.
    let birth = Infinity
    const ops: Op[] = []
    for (const [key, list] of moves) {
      list.sort((a, b) => a.from < b.from ? -1 : a.from > b.from ? 1 : a.fromAt - b.fromAt)
      for (const version of this.#versions(key)) {
        const chunk = chunks.at(version)
        if (!chunk?.extents.some(({ blob }) => ids.has(blob))) continue
        ops.push({ op: MOVE, key: version, moves: list })
        birth = Math.min(birth, chunk.birth)
      }
    }
    if (ops.length === 0 || this.#stopped) return void await instance.setting.blobs.drop([Buffer.from(id, 'latin1')])
    ops.unshift({ op: PUT, key: blobKey(t, id), value: encodeBlobInfo({ birth, size, live: 0, list: 0 }) })
    await instance.commit(ops, 0, 0)
  }

  async close(): Promise<void> {
    clearTimeout(this.#retry)
    await this.#running
  }
}
