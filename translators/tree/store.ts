// LevelDB, and over it what the journal has and LevelDB does not have yet: two generations of changes, the one that grows and the one
// that is being written. A value is its bytes, or something that has them when they are needed.

import { ClassicLevel } from 'classic-level'
import { errno } from 'ninep'
import { afterPrefix, be64, bytesOfKey, META, u64 } from './keys.ts'
import { encodeMeta } from './values.ts'
import type { Meta } from './values.ts'

/** Made into bytes when it is written, at which time it does not change any more. */
export interface Lazy { encode(): Buffer }
export type Value = Buffer | Lazy
/** Characters of an entry's key up to its directory. */
const DIR = 13

/** Keys of one generation. Entries of directories, of the head and of the past, can be found by directory as well: by what their keys begin with, the rest of the keys and values. */
class Generation {
  readonly keys = new Map<string, Value | null>()
  readonly entries = new Map<string, Map<string, Buffer | null>>()
  bytes = 0
  put(key: string, value: Value | null): void {
    this.keys.set(key, value)
    this.bytes += key.length + 64 + (Buffer.isBuffer(value) ? value.length : 0)
    if (key[4] !== 'C' && key[4] !== 'c') return
    const dir = key.slice(0, DIR)
    let rest = this.entries.get(dir)
    if (!rest) this.entries.set(dir, rest = new Map())
    rest.set(key.slice(DIR), value as Buffer | null)
  }
}

export type Database = ClassicLevel<Buffer, Buffer>
/** LevelDB in a folder; cache: bytes. */
export function levelDB(path: string, cache: number): Database {
  return new ClassicLevel(path, { keyEncoding: 'buffer', valueEncoding: 'buffer', cacheSize: cache, writeBufferSize: 4 * 2 ** 20, compression: true })
}

export class Store {
  #now = new Generation()
  #frozen: Generation | null = null
  /** Counts generations: what was changed in an older one is being written, or was. */
  generation = 0

  /** db: one that is not open yet. */
  constructor(readonly db: Database) {}
  /** EBUSY: another process has it. EIO */
  async open(): Promise<void> {
    try { await this.db.open() } catch (e) {
      const cause = (e as { cause?: { code?: string; message?: string } }).cause
      throw errno(cause?.code === 'LEVEL_LOCKED' ? 'EBUSY' : 'EIO', `tree: ${this.db.location}: ${cause?.code === 'LEVEL_LOCKED' ? 'another server has it open' : cause?.message ?? (e as Error).message}`, undefined, e)
    }
  }

  /** What is under a key, once all that was applied is. null and undefined: nothing. */
  find(key: string): Value | null | undefined {
    let value = this.#now.keys.get(key)
    if (value !== undefined) return value
    if (this.#frozen) {
      value = this.#frozen.keys.get(key)
      if (value !== undefined) return value
    }
    return this.db.getSync(bytesOfKey(key))
  }
  get(key: string): Buffer | undefined {
    const value = this.find(key)
    return value ? bytesOf(value) : undefined
  }
  put(key: string, value: Value | null): void { this.#now.put(key, value) }
  /** Bytes of changes that are not being written yet. */
  get bytes(): number { return this.#now.bytes }
  get dirty(): boolean { return this.#now.keys.size > 0 }

  /** Ends a generation, to be written. The one before must have been. */
  freeze(): void {
    this.#frozen = this.#now
    this.#now = new Generation()
    this.generation++
  }
  /** Writes what was frozen, durably; what it throws may be tried again. */
  async write(meta: Meta): Promise<void> {
    const frozen = this.#frozen
    if (!frozen) return
    const batch = this.db.batch()
    let count = 0
    try {
      for (const [key, value] of frozen.keys) {
        if (value === null) batch.del(bytesOfKey(key))
        else batch.put(bytesOfKey(key), bytesOf(value))
        if (++count % 2000 === 0) await new Promise(setImmediate)   // others have their turn
      }
      batch.put(bytesOfKey(META), encodeMeta(meta))
    } catch (e) { await batch.close(); throw e }
    try { await batch.write({ sync: true }) } catch (e) {
      const { message } = (e as { cause?: Error }).cause ?? e as Error
      throw errno(/No space left/.test(message) ? 'ENOSPC' : 'EIO', `tree: ${this.db.location}: ${message}`, undefined, e)
    }
    this.#frozen = null
  }
  /** After a failed write LevelDB refuses all others until it was opened anew, which takes room as well; what could not be written is kept. */
  async reopen(): Promise<void> {
    if (this.db.status === 'open') await this.db.close()
    await this.open()
  }
  get writing(): boolean { return this.#frozen !== null }

  /**
   * Entries of a directory as of now, after a cookie, in order: what is left of their keys behind `dir`, and values. dir: tree, kind (C or c) and inode. At most
   * about `max`; whole: there are no more. What comes after the last one is not told, unless whole.
   */
  async entries(dir: string, cookie: number, max: number): Promise<{ found: [rest: string, value: Buffer][]; whole: boolean }> {
    const after = be64(cookie + 1), fresh = new Map<string, Buffer | null>()
    for (const generation of [this.#frozen, this.#now]) {
      for (const [rest, value] of generation?.entries.get(dir) ?? []) if (rest >= after) fresh.set(rest, value)
    }
    const iterator = this.db.iterator({ gte: bytesOfKey(dir + after), lt: bytesOfKey(afterPrefix(dir)), limit: max, highWaterMarkBytes: 2 ** 20 })   // sees what there is at this moment
    const old: [string, Buffer][] = []
    try {
      while (old.length < max) {
        const more = await iterator.nextv(max - old.length)
        if (more.length === 0) break
        for (const [key, value] of more) old.push([key.toString('latin1', DIR), value])
      }
    } finally { await iterator.close() }
    const whole = old.length < max, end = old.at(-1)?.[0] ?? '', found: [string, Buffer][] = []
    let i = 0
    for (const [rest, value] of [...fresh].sort(([a], [b]) => a < b ? -1 : 1)) {
      if (!whole && rest > end) break
      while (i < old.length && old[i]![0] < rest) found.push(old[i++]!)
      if (old[i]?.[0] === rest) i++
      if (value) found.push([rest, value])
    }
    while (i < old.length) found.push(old[i++]!)
    return found.length > 0 || whole ? { found, whole } : this.entries(dir, u64(end, 0), max)
  }

  /** Keys and values of a range [from, to), as LevelDB has them: what is fresher is to be looked up. */
  async *range(from: string, to: string): AsyncGenerator<[key: string, value: Buffer]> {
    const iterator = this.db.iterator({ gte: bytesOfKey(from), lt: bytesOfKey(to), highWaterMarkBytes: 2 ** 18 })
    try {
      for (;;) {
        const more = await iterator.nextv(1000)
        if (more.length === 0) return
        for (const [key, value] of more) yield [key.toString('latin1'), value]
      }
    } finally { await iterator.close() }
  }
  /** Keys of a range that have changed since LevelDB was written. */
  changed(from: string, to: string): string[] {
    const found = new Set<string>()
    for (const generation of [this.#frozen, this.#now]) for (const key of generation?.keys.keys() ?? []) if (key >= from && key < to) found.add(key)
    return [...found]
  }
  close(): Promise<void> { return this.db.close() }
}

function bytesOf(value: Value): Buffer { return Buffer.isBuffer(value) ? value : (value as Lazy).encode() }
