// What a process hands to the kernel and to what is below it, written down in order; and what of that a crash may leave. A killed process
// leaves all, and of the last write a beginning. A machine that loses power leaves what was synced, and of the rest whatever it likes:
// writes are there, or are not, or are there in part, and so are names.

import nodeFs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { dirname, join } from 'node:path'
import { errno } from 'ninep'
import { hexOf } from '../../translators/blobs.ts'
import type { BlobId, Blobs } from '../../translators/translator.ts'
import { MapLevel } from './level.ts'

/** upto: events before that number are what was synced. */
type Event =
  | { readonly what: 'create' | 'unlink'; readonly file: string }
  | { readonly what: 'rename'; readonly file: string; readonly to: string }
  | { readonly what: 'write'; readonly file: string; readonly at: number; readonly bytes: Buffer }
  | { readonly what: 'truncate'; readonly file: string; readonly size: number }
  | { readonly what: 'fsync'; readonly file: string; readonly upto: number }
  | { readonly what: 'batch'; readonly changes: readonly (readonly [key: string, value: Buffer | null])[] }
  | { readonly what: 'put'; readonly id: string; readonly bytes: Buffer }
  | { readonly what: 'drop'; readonly id: string }
  | { readonly what: 'record'; readonly name: string; readonly bytes: Buffer }
  | { readonly what: 'sync'; readonly upto: number }
  | { readonly what: 'mark'; readonly mark: unknown }

/** Files by name with their bytes, keys, blobs and records. */
export interface Left { readonly files: Map<string, Buffer>; readonly keys: Map<string, Buffer>; readonly blobs: Map<string, Buffer>; readonly records: Map<string, Buffer> }

const SECTOR = 512

/** Writes down what is done below a folder, from watch() to unwatch(), and what is done to its database and blobs. */
export class Disk {
  readonly events: Event[] = []
  #files = new Map<number, string>()
  #undo: (() => void) | undefined
  constructor(readonly dir: string) {}
  mark(mark: unknown): void { this.events.push({ what: 'mark', mark }) }

  watch(): void {
    const fs = nodeFs as unknown as Record<string, (...args: never[]) => unknown>, real = { ...fs }, { events } = this, below = (path: unknown) => typeof path === 'string' && path.startsWith(`${this.dir}/`)
    const patched: string[] = [], patch = (name: string, f: (...args: never[]) => unknown) => { fs[name] = f; patched.push(name) }
    const name = (path: string) => path.slice(this.dir.length + 1)
    patch('openSync', ((path: string, flags: string | number, mode?: number) => {
      const fresh = below(path) && !nodeFs.existsSync(path), fd = real['openSync']!(path as never, flags as never, mode as never) as number
      if (below(path)) this.#files.set(fd, name(path))
      if (fresh) events.push({ what: 'create', file: name(path) })
      return fd
    }) as never)
    patch('closeSync', ((fd: number) => { this.#files.delete(fd); return real['closeSync']!(fd as never) }) as never)
    patch('writeSync', ((fd: number, bytes: Buffer, from = 0, length = bytes.length - from, at: number | null = null) => {
      const file = this.#files.get(fd)
      if (file !== undefined) {
        if (at === null) throw new TypeError('a write that says where was expected')
        events.push({ what: 'write', file, at, bytes: Buffer.from(bytes.subarray(from, from + length)) })
      }
      return real['writeSync']!(fd as never, bytes as never, from as never, length as never, at as never)
    }) as never)
    patch('ftruncateSync', ((fd: number, size: number) => {
      const file = this.#files.get(fd)
      if (file !== undefined) events.push({ what: 'truncate', file, size })
      return real['ftruncateSync']!(fd as never, size as never)
    }) as never)
    patch('unlinkSync', ((path: string) => {
      if (below(path)) events.push({ what: 'unlink', file: name(path) })
      return real['unlinkSync']!(path as never)
    }) as never)
    patch('renameSync', ((path: string, to: string) => {
      if (below(path)) events.push({ what: 'rename', file: name(path), to: name(to) })
      return real['renameSync']!(path as never, to as never)
    }) as never)
    for (const sync of ['fsyncSync', 'fdatasyncSync']) patch(sync, ((fd: number) => {
      const file = this.#files.get(fd)
      if (file !== undefined) events.push({ what: 'fsync', file, upto: events.length })
    }) as never)
    for (const sync of ['fsync', 'fdatasync']) patch(sync, ((fd: number, done: (e: Error | null) => void) => {
      const file = this.#files.get(fd), upto = events.length
      setImmediate(() => {                                // what is written meanwhile is not in it
        if (file !== undefined) events.push({ what: 'fsync', file, upto })
        done(null)
      })
    }) as never)
    syncBuiltinESMExports()
    this.#undo = () => {
      for (const name of patched) fs[name] = real[name]!
      syncBuiltinESMExports()
    }
  }
  unwatch(): void { this.#undo?.() }

  /** Keys and values whose batches are written down. */
  level(keys = new Map<string, Buffer>()): MapLevel { return new MapLevel(keys, async (changes) => { await turn(); this.events.push({ what: 'batch', changes }) }) }
  blobs(blobs = new Map<string, Buffer>(), records = new Map<string, Buffer>()): MapBlobs { return new MapBlobs(blobs, records, this.events) }

  /** What is there after the process was killed when `count` events had begun, the last one maybe half done. */
  killed(count: number, below: (n: number) => number): Left {
    return this.#left(count, false, below, (event) => event.what === 'write' ? 'torn' : 'all', () => false)
  }
  /** What is there after power was lost; keep: how likely it is, of 10, that what was not synced is there. */
  unpowered(count: number, below: (n: number) => number, keep: number): Left {
    const synced = new Set<number>()
    for (const event of this.events.slice(0, count)) {
      if (event.what === 'fsync') for (let i = 0; i < event.upto; i++) {
        const e = this.events[i]!
        if ('file' in e && (e.file === event.file && (e.what === 'write' || e.what === 'truncate') || dirname(e.file) === event.file && (e.what === 'create' || e.what === 'unlink' || e.what === 'rename'))) synced.add(i)
      }
      if (event.what === 'sync') for (let i = 0; i < event.upto; i++) if (/^(put|drop|record)$/.test(this.events[i]!.what)) synced.add(i)
    }
    return this.#left(count, true, below, () => below(10) >= keep ? 'none' : below(4) === 0 ? 'torn' : 'all', (i) => synced.has(i) || this.events[i]!.what === 'batch')
  }
  /** fate: of what is not safe; while killing, only the last event is. */
  #left(count: number, power: boolean, below: (n: number) => number, fate: (event: Event) => 'all' | 'none' | 'torn', safe: (i: number) => boolean): Left {
    const files = new Map<string, Bytes>(), keys = new Map<string, Buffer>(), blobs = new Map<string, Buffer>(), records = new Map<string, Buffer>()
    for (let i = 0; i < count; i++) {
      const event = this.events[i]!, last = i === count - 1
      const how = safe(i) ? last && event.what === 'batch' && below(2) ? 'none' : 'all' : power || last ? fate(event) : 'all'
      if (how === 'none') {
        if (event.what === 'create') files.delete(event.file)
        continue
      }
      switch (event.what) {
        case 'create': if (!files.has(event.file)) files.set(event.file, new Bytes()); break
        case 'unlink': files.delete(event.file); break
        case 'rename': { const bytes = files.get(event.file); if (bytes) { files.set(event.to, bytes); files.delete(event.file) } break }
        case 'write': {
          const there = files.get(event.file)
          if (!there) break                               // its name was lost
          const { bytes, at } = event
          let end = bytes.length
          if (how === 'torn' && power) {                  // sectors in any order
            for (let from = 0; from < end;) {
              const to = Math.min(end, from + SECTOR - (at + from) % SECTOR)
              if (below(2)) there.put(bytes.subarray(from, to), at + from)
              from = to
            }
            there.size = Math.max(there.size, at + end)
            break
          }
          if (how === 'torn') end = below(end + 1)
          there.put(bytes.subarray(0, end), at)
          break
        }
        case 'truncate': files.get(event.file)?.cut(event.size); break
        case 'batch': for (const [key, value] of event.changes) value ? keys.set(key, value) : keys.delete(key); break
        case 'put': blobs.set(event.id, how === 'torn' ? event.bytes.subarray(0, below(event.bytes.length)) : event.bytes); break
        case 'drop': blobs.delete(event.id); break
        case 'record': records.set(event.name, event.bytes)
      }
    }
    return { files: new Map([...files].map(([name, { all, size }]) => [name, all.subarray(0, size)])), keys, blobs, records }
  }
}
/** A file that grows. */
class Bytes {
  all = Buffer.alloc(4096)
  size = 0
  put(bytes: Uint8Array, at: number): void {
    const end = at + bytes.length
    if (end > this.all.length) this.all = Buffer.concat([this.all], Math.max(2 * this.all.length, end))
    this.all.set(bytes, at)
    this.size = Math.max(this.size, end)
  }
  cut(size: number): void {
    if (size < this.size) this.all.fill(0, size, this.size)
    this.size = size
  }
}
/** Puts files where a start looks for them. */
export function lay(dir: string, { files }: Left): void {
  for (const [name, bytes] of files) {
    const path = join(dir, name)
    nodeFs.mkdirSync(dirname(path), { recursive: true })
    nodeFs.writeFileSync(path, bytes)
  }
}

const turn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })

/** Blobs in memory; each call takes a turn of the loop, as it would below. */
export class MapBlobs implements Blobs {
  constructor(readonly all: Map<string, Buffer>, readonly records: Map<string, Buffer>, private readonly events: Event[]) {}
  async put(id: BlobId, bytes: readonly Uint8Array[]): Promise<void> {
    const key = hexOf(id, 'put'), all = Buffer.concat(bytes)
    await turn()
    if (this.all.has(key)) throw errno('EEXIST', 'put', key)
    this.events.push({ what: 'put', id: key, bytes: all })
    this.all.set(key, all)
  }
  get(id: BlobId, into: Uint8Array, offset: number): Uint8Array {
    const bytes = this.all.get(hexOf(id, 'get'))
    if (!bytes) throw errno('ENOENT', 'get', hexOf(id, 'get'))
    const part = bytes.subarray(offset, offset + into.length)
    into.set(part)
    return into.subarray(0, part.length)
  }
  drop(ids: readonly BlobId[]): void {
    for (const id of ids) {
      const key = hexOf(id, 'drop')
      if (this.all.delete(key)) this.events.push({ what: 'drop', id: key })
    }
  }
  list(after: BlobId | null, max: number): { id: BlobId; size: number }[] {
    const from = after ? hexOf(after, 'list') : ''
    return [...this.all.keys()].filter((key) => key > from).sort().slice(0, max).map((key) => ({ id: Buffer.from(key, 'hex'), size: this.all.get(key)!.length }))
  }
  putRecord(name: string, bytes: Uint8Array): void {
    this.events.push({ what: 'record', name, bytes: Buffer.from(bytes) })
    this.records.set(name, Buffer.from(bytes))
  }
  getRecord(name: string): Uint8Array {
    const record = this.records.get(name)
    if (!record) throw errno('ENOENT', 'getRecord', name)
    return record
  }
  listRecords(prefix: string): string[] { return [...this.records.keys()].filter((name) => name.startsWith(prefix)).sort() }
  dropRecord(name: string): void { this.records.delete(name) }
  async sync(): Promise<void> {
    const upto = this.events.length
    await turn()
    this.events.push({ what: 'sync', upto })
  }
}
