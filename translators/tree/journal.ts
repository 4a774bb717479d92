// The journal: segments in a folder, each a file that only grows, as FORMAT.md has them. Appending is one synchronous write, for it
// costs less than a hop to another thread; making durable is asynchronous, and done once for all who wait.

import * as fs from 'node:fs'
import { join } from 'node:path'
import { errno } from 'ninep'
import { be64, u64 } from './keys.ts'
import { decodeHead, HEAD, MAX_RECORD, wholeRecord } from './record.ts'
import { VERSION } from './values.ts'

const MAGIC = Buffer.from('9ftreej\n')
/** magic[8] version[4] zero[4] uuid[16] */
const BEGIN = 32
const NO_BLOB = '\0\0\0\0\0\0\0\0'

/** What the extents of a chunk call a segment, and whether an id is one. */
export const segmentId = (first: number): string => NO_BLOB + be64(first)
export const isSegment = (id: string): boolean => id.startsWith(NO_BLOB)
export const segmentOf = (id: string): number => u64(id, 8)

/** first, last: numbers of its records; last is less than first while it has none. */
export interface Segment { readonly first: number; readonly id: string; readonly fd: number; last: number; size: number; synced: boolean }
/** bytes: the whole record, to be used before the next one is asked for. */
export interface Found { readonly segment: Segment; readonly seq: number; readonly at: number; readonly bytes: Buffer }

export class Journal {
  /** Oldest first. */
  #segments: Segment[] = []
  #folder: number
  /** Segments that were made, and how many of them have a name that is durable. */
  #made = 0
  #named = 0
  /** Of the last record, and of the last that is durable. */
  seq = 0
  durable = 0
  #syncing: Promise<void> | undefined
  /** async: records that were not handed to the kernel yet, and where in the segment they begin. */
  #pending: Buffer[] = []
  #pendingAt = 0
  #pendingBytes = 0
  /** When a segment is full, and no more is appended to it. */
  onFull: (() => void) | undefined

  /** full: bytes after which the next segment begins; held: records are kept in memory until push(). */
  constructor(readonly dir: string, readonly uuid: Buffer, readonly full: number, readonly held = false) {
    fs.mkdirSync(dir, { recursive: true, mode: 0o700 })
    this.#folder = fs.openSync(dir, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
    const names = fs.readdirSync(dir).filter((name) => /^[0-9a-f]{16}$/.test(name)).sort()
    for (const name of names) {
      const fd = fs.openSync(join(dir, name), fs.constants.O_RDWR), first = parseInt(name, 16)
      this.#segments.push({ first, id: segmentId(first), fd, last: first - 1, size: fs.fstatSync(fd).size, synced: false })
    }
  }
  get segments(): readonly Segment[] { return this.#segments }
  get current(): Segment { return this.#segments.at(-1)! }

  /**
   * The records from `from` on, up to the first that is not whole; what comes after that is not history, and is put out of the way.
   * EIO: records before the first that there is are missing.
   */
  *replay(from: number, log: (message: string) => void): Generator<Found> {
    const begin = this.#segments.findLastIndex((segment) => segment.first <= from), [oldest] = this.#segments
    if (begin === -1 && oldest) throw errno('EIO', `journal: begins with record ${oldest.first}, and ${from} is the next that the database needs`)
    this.seq = from - 1
    for (let i = 0; i < begin; i++) this.#segments[i]!.last = this.#segments[i + 1]!.first - 1
    for (let i = begin; i >= 0 && i < this.#segments.length; i++) {
      const segment = this.#segments[i]!, next = this.#segments[i + 1]
      if (i > begin && segment.first !== this.seq + 1) return this.#cut(i, log)
      let end = BEGIN
      for (const found of scan(segment, this.uuid)) {
        segment.last = found.seq
        end = found.at + found.bytes.length
        if (found.seq < from) continue
        this.seq = found.seq
        yield found
      }
      if (segment.last < from - 1) throw errno('EIO', `journal: record ${segment.last + 1} is damaged, and those after it are needed`, nameOf(segment.first))
      if (end < segment.size && next?.first !== this.seq + 1) {
        log(`${join(this.dir, nameOf(segment.first))}: ${segment.size - end} bytes after record ${this.seq}, the last whole one, are cut off`)
        fs.ftruncateSync(segment.fd, end)
        fs.fdatasyncSync(segment.fd)
        segment.size = end
      }
    }
  }
  /** Ends history before segment i: what is whole but lies behind the end must never be history again. */
  #cut(i: number, log: (message: string) => void): void {
    for (const segment of this.#segments.slice(i)) {
      log(`${join(this.dir, nameOf(segment.first))}: does not go on from record ${this.seq}, which is the last whole one, and is removed`)
      this.#remove(segment)
    }
    fs.fsyncSync(this.#folder)
  }

  /** History ends before this record. */
  cut({ segment, seq, at }: Found): void {
    fs.ftruncateSync(segment.fd, at)
    fs.fdatasyncSync(segment.fd)
    segment.last = seq - 1
    segment.size = at
    this.seq = seq - 1
    this.#cut(this.#segments.indexOf(segment) + 1, () => {})
  }

  /** To be called after replay: what is appended goes into a new segment. seq: the last there ever was. */
  begin(seq: number): void {
    this.seq = seq
    this.durable = 0
    for (const segment of [...this.#segments]) {
      if (segment.last >= segment.first) continue
      this.#remove(segment)                               // nothing whole in it
    }
    this.#open()
  }
  #open(): void {
    if (this.#named < this.#made) {                        // else its name may survive power loss, and that of the one before not
      fs.fsyncSync(this.#folder)
      this.#named = this.#made
    }
    const first = this.seq + 1, name = join(this.dir, nameOf(first)), head = Buffer.alloc(BEGIN)
    MAGIC.copy(head)
    head.writeUInt32BE(VERSION, 8)
    this.uuid.copy(head, 16)
    const fd = fs.openSync(name, 'wx+', 0o600)
    try { writeAll(fd, head, 0) } catch (e) {
      fs.closeSync(fd)
      fs.unlinkSync(name)
      throw full(e)
    }
    this.#segments.push({ first, id: segmentId(first), fd, last: this.seq, size: BEGIN, synced: false })
    this.#made++
    this.#pendingAt = BEGIN
  }

  /** Where a record of that length will begin: the next call is append. ENOSPC EIO */
  place(length: number): { segment: Segment; at: number } {
    if (this.current.size + length > this.full && this.current.last >= this.current.first) {
      this.push()
      this.#open()
      this.onFull?.()
    }
    return { segment: this.current, at: this.current.size }
  }
  /** Takes the record over into the file, or into memory until push(). Throws ENOSPC EIO, and nothing was added. */
  append(record: Buffer): void {
    const segment = this.current
    if (this.held) {
      this.#pending.push(Buffer.from(record))
      this.#pendingBytes += record.length
    } else {
      try { writeAll(segment.fd, record, segment.size) } catch (e) {
        try { fs.ftruncateSync(segment.fd, segment.size) } catch {}   // the checksum tells, too
        throw full(e)
      }
    }
    segment.size += record.length
    segment.last = ++this.seq
    segment.synced = false
    if (this.#pendingBytes >= 2 ** 20) this.push()
  }
  /** Hands what is held to the kernel. */
  push(): void {
    if (this.#pendingBytes === 0) return
    const all = Buffer.concat(this.#pending)
    try { writeAll(this.current.fd, all, this.#pendingAt) } catch (e) { throw full(e) }
    this.current.synced = false                           // it may count as synced, with what there was before
    this.#pendingAt += all.length
    this.#pending = []
    this.#pendingBytes = 0
  }
  get waiting(): boolean { return this.#pendingBytes > 0 }

  /** Bytes of a segment, into all of `into`. EIO: it has no such bytes. */
  read(id: string, at: number, into: Uint8Array): void {
    const first = segmentOf(id), segment = this.#segments.find((s) => s.first === first)
    if (!segment) throw errno('EIO', 'journal: there is no segment', nameOf(first))
    if (segment === this.current && at + into.length > this.#pendingAt) this.push()
    for (let done = 0; done < into.length;) {
      const n = fs.readSync(segment.fd, into, done, into.length - done, at + done)
      if (n === 0) throw errno('EIO', 'journal: ends before', `${nameOf(first)}:${at}`)
      done += n
    }
  }

  /** All records up to now survive power loss. What they name besides is the caller's to have made durable. */
  async sync(): Promise<void> {
    const want = this.seq
    while (this.durable < want) {
      this.#syncing ??= this.#sync().finally(() => { this.#syncing = undefined })
      await this.#syncing
    }
  }
  async #sync(): Promise<void> {
    this.push()
    const seq = this.seq
    const made = this.#made
    if (this.#named < made) {
      await call((done) => fs.fsync(this.#folder, done))
      this.#named = Math.max(this.#named, made)
    }
    for (const segment of this.#segments.filter(({ synced }) => !synced)) {
      segment.synced = true
      try { await call((done) => fs.fdatasync(segment.fd, done)) } catch (e) { segment.synced = false; throw e }
    }
    this.durable = Math.max(this.durable, seq)
  }
  /** The same, while everybody waits: for what is needed at once and seldom. */
  syncNow(): void {
    this.push()
    fs.fsyncSync(this.#folder)
    for (const segment of this.#segments.filter(({ synced }) => !synced)) fs.fdatasyncSync(segment.fd)
    this.durable = this.seq
  }

  /** The records of a segment that is not appended to any more. */
  scan(segment: Segment): Generator<Found> { return scan(segment, this.uuid) }
  remove(segment: Segment): void { if (this.#segments.includes(segment) && segment !== this.current) this.#remove(segment) }
  #remove(segment: Segment): void {
    this.#segments.splice(this.#segments.indexOf(segment), 1)
    fs.closeSync(segment.fd)
    fs.unlinkSync(join(this.dir, nameOf(segment.first)))
  }
  close(): void {
    for (const { fd } of this.#segments.splice(0)) fs.closeSync(fd)
    fs.closeSync(this.#folder)
  }
}

const nameOf = (first: number): string => first.toString(16).padStart(16, '0')

/** Whole records, in order, until one is not. EPROTONOSUPPORT: another version; EIO: another instance's. */
function* scan(segment: Segment, uuid: Buffer): Generator<Found> {
  const head = Buffer.alloc(BEGIN)
  if (readFrom(segment.fd, head, 0) < BEGIN || !head.subarray(0, 8).equals(MAGIC)) return
  if (head.readUInt32BE(8) !== VERSION) throw errno('EPROTONOSUPPORT', `journal: is of version ${head.readUInt32BE(8)}, and this server reads version ${VERSION}`)
  if (!head.subarray(16, 32).equals(uuid)) throw errno('EIO', 'journal: belongs to another tree', nameOf(segment.first))
  let buffer = Buffer.allocUnsafe(Math.min(4 * 2 ** 20, fs.fstatSync(segment.fd).size)), have = readFrom(segment.fd, buffer, BEGIN), base = BEGIN, p = 0, seq = segment.first
  for (;;) {
    const left = have - p, needed = left >= 4 ? buffer.readUInt32BE(p) : HEAD
    if (left < needed && have === buffer.length && needed <= MAX_RECORD) {                // perhaps more of it is in the file
      const next = needed > buffer.length ? Buffer.allocUnsafe(needed + 4 * 2 ** 20) : Buffer.allocUnsafe(buffer.length)
      have = readFrom(segment.fd, next, base + p)
      base += p
      p = 0
      buffer = next
      continue
    }
    const length = wholeRecord(buffer.subarray(0, have), p)
    if (length === 0) return
    const bytes = buffer.subarray(p, p + length)
    if (decodeHead(bytes).seq !== seq) return
    yield { segment, seq, at: base + p, bytes }
    seq++
    p += length
  }
}
function readFrom(fd: number, into: Buffer, at: number): number {
  let done = 0
  while (done < into.length) {
    const n = fs.readSync(fd, into, done, into.length - done, at + done)
    if (n === 0) break
    done += n
  }
  return done
}
function writeAll(fd: number, bytes: Buffer, at: number): void {
  for (let done = 0; done < bytes.length;) done += fs.writeSync(fd, bytes, done, bytes.length - done, at + done)
}
function full(e: unknown): Error {
  const { code } = e as NodeJS.ErrnoException
  return errno(code === 'ENOSPC' || code === 'EDQUOT' ? code : 'EIO', 'journal', undefined, e)
}
function call(f: (done: (e: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => f((e) => e ? reject(full(e)) : resolve()))
}
