// Blobs as FORMAT.md has them: data, a checksum of each block of it, and whose the data are.

import { crc32 } from 'node:zlib'
import { errno, isErrno } from 'ninep'
import { after as then } from '../forward.ts'
import { get64, put64 } from './keys.ts'
import type { Awaitable, Blobs, Call } from '../translator.ts'

const MAGIC = Buffer.from('9ftreeb\n')
const BLOCK = 4096, HEAD = 52, PIECE = 28
/** The most data of one blob, bytes: with its tables it stays below what Blobs takes. */
export const MAX_DATA = 16 * 2 ** 20
/** Checksums that are so many bytes away are read along with the data. */
const NEAR = 2 ** 18
/** Bytes of checksums that are kept. */
const ROOM = 16 * 2 ** 20

/** Whose bytes [at, at + len) of a blob were when it was put: [off, off + len) of that chunk. */
export interface Piece { readonly t: number; readonly ino: number; readonly chunk: number; readonly off: number; readonly len: number; readonly at: number }

/** What is to be put for these data, in order. */
export function encodeBlob(uuid: Uint8Array, id: string, data: readonly Uint8Array[], pieces: readonly Piece[]): Uint8Array[] {
  const n = data.reduce((sum, part) => sum + part.length, 0), blocks = Math.ceil(n / BLOCK)
  const table = Buffer.allocUnsafe(4 * blocks + HEAD), tail = Buffer.allocUnsafe(PIECE * pieces.length + 4)
  let block = 0, room = BLOCK, crc = 0
  for (const part of data) for (let from = 0; from < part.length;) {
    const take = Math.min(room, part.length - from)
    crc = crc32(part.subarray(from, from + take), crc)
    from += take
    room -= take
    if (room > 0) continue
    table.writeUInt32BE(crc, 4 * block++)
    room = BLOCK
    crc = 0
  }
  if (room < BLOCK) table.writeUInt32BE(crc, 4 * block)
  const h = 4 * blocks
  MAGIC.copy(table, h)
  table.set(uuid, h + 8)
  table.write(id, h + 24, 16, 'latin1')
  table.writeUInt32BE(n, h + 40)
  table.writeUInt32BE(pieces.length, h + 44)
  table.writeUInt32BE(crc32(table.subarray(0, h + 48)), h + 48)
  let p = 0
  for (const { t, ino, chunk, off, len, at } of pieces) {
    tail.writeUInt32BE(t, p)
    put64(tail, ino, p + 4)
    tail.writeUInt32BE(chunk, p + 12)
    tail.writeUInt32BE(off, p + 16)
    tail.writeUInt32BE(len, p + 20)
    tail.writeUInt32BE(at, p + 24)
    p += PIECE
  }
  tail.writeUInt32BE(crc32(tail.subarray(0, p)), p)
  return [...data, table, tail]
}

/** Reads blobs and believes nothing that their checksums do not say. */
export class Reader {
  /** Checksums by blob, the one that was not asked for the longest first. */
  #tables = new Map<string, Buffer>()
  #room = ROOM
  constructor(private readonly blobs: Blobs, private readonly uuid: Buffer) {}

  /** Bytes [at, at + into.length) of the data of a blob of `size` bytes of data, into all of `into`. EIO: they are damaged, or gone. */
  read(id: string, size: number, at: number, into: Uint8Array, call?: Call): Awaitable<void> {
    const table = this.#tables.get(id)
    if (!table) return size - at <= NEAR ? this.#both(id, size, at, into, call) : this.#load(id, size).then((table) => this.#read(id, size, table, at, into, call))
    this.#tables.delete(id)
    this.#tables.set(id, table)
    return this.#read(id, size, table, at, into, call)
  }
  #read(id: string, size: number, table: Buffer, at: number, into: Uint8Array, call?: Call): Awaitable<void> {
    const end = at + into.length
    if (end > size) throw errno('EIO', 'blob: is shorter than what a file has of it', hex(id))
    const from = at - at % BLOCK, to = Math.min(size, Math.ceil(end / BLOCK) * BLOCK)
    const space = from === at && to === end ? into : Buffer.allocUnsafe(to - from)
    return then(this.#get(id, space, from, call), (got) => this.#give(id, got, from, table, at, into))
  }
  /** Checks what was read from `from` on, and gives what was asked for. */
  #give(id: string, got: Uint8Array, from: number, table: Buffer, at: number, into: Uint8Array): void {
    for (let p = 0; p < got.length; p += BLOCK) {
      if (crc32(got.subarray(p, Math.min(p + BLOCK, got.length))) !== table.readUInt32BE(4 * ((from + p) / BLOCK))) throw errno('EIO', `blob: the checksum of the block at ${from + p} is wrong`, hex(id))
    }
    if (got.buffer !== into.buffer || got.byteOffset !== into.byteOffset) into.set(got.subarray(at - from, at - from + into.length))
  }
  /** The same where the checksums come soon after: in one read. */
  #both(id: string, size: number, at: number, into: Uint8Array, call?: Call): Awaitable<void> {
    if (at + into.length > size) throw errno('EIO', 'blob: is shorter than what a file has of it', hex(id))
    const from = at - at % BLOCK, space = Buffer.allocUnsafe(size + 4 * Math.ceil(size / BLOCK) + HEAD - from)
    return then(this.#get(id, space, from, call), (got) => {
      const table = this.#keep(id, size, Buffer.from(got.subarray(size - from)))
      this.#give(id, got.subarray(0, Math.min(size, Math.ceil((at + into.length) / BLOCK) * BLOCK) - from), from, table, at, into)
    })
  }
  async #load(id: string, size: number): Promise<Buffer> {
    return this.#keep(id, size, Buffer.from(await this.#get(id, Buffer.allocUnsafe(4 * Math.ceil(size / BLOCK) + HEAD), size)))
  }
  /** Checks and keeps what comes behind the data. */
  #keep(id: string, size: number, all: Buffer): Buffer {
    const length = 4 * Math.ceil(size / BLOCK)
    const right = MAGIC.equals(all.subarray(length, length + 8)) && crc32(all.subarray(0, length + 48)) === all.readUInt32BE(length + 48)
    if (!right) throw errno('EIO', 'blob: its checksums are damaged', hex(id))
    if (all.toString('latin1', length + 24, length + 40) !== id || all.readUInt32BE(length + 40) !== size || !this.uuid.equals(all.subarray(length + 8, length + 24))) throw errno('EIO', 'blob: is another one', hex(id))
    const table = all.subarray(0, length)
    if (!this.#tables.has(id)) this.#room -= all.length
    this.#tables.set(id, table)
    for (const [other, { length }] of this.#tables) {
      if (this.#room >= 0) break
      this.#tables.delete(other)
      this.#room += length + HEAD
    }
    return table
  }
  /** Exactly into.length bytes. */
  #get(id: string, into: Uint8Array, at: number, call?: Call): Awaitable<Uint8Array> {
    const whole = (got: Uint8Array): Uint8Array => {
      if (got.length < into.length) throw errno('EIO', 'blob: ends early', hex(id))
      return got
    }
    const gone = (e: unknown): never => { throw isErrno(e, 'ENOENT') ? errno('EIO', 'blob: is gone', hex(id), e) : e }
    let got: Awaitable<Uint8Array>
    try { got = this.blobs.get(Buffer.from(id, 'latin1'), into, at, call) } catch (e) { return gone(e) }
    return got instanceof Promise ? got.then(whole, gone) : whole(got)
  }
  /** Reads all of it. EIO: it is not whole. */
  async verify(id: string, size: number): Promise<void> {
    const into = Buffer.allocUnsafe(Math.min(size, 2 ** 20))
    for (let at = 0; at < size; at += into.length) await this.read(id, size, at, into.subarray(0, Math.min(into.length, size - at)))
    await this.pieces(id, size)
  }
  /** Whose its data were. */
  async pieces(id: string, size: number): Promise<Piece[]> {
    const length = 4 * Math.ceil(size / BLOCK), head = await this.#get(id, Buffer.allocUnsafe(HEAD), size + length)
    const count = Buffer.from(head).readUInt32BE(44)
    if (count > size) throw errno('EIO', 'blob: more pieces than bytes', hex(id))
    const b = Buffer.from(await this.#get(id, Buffer.allocUnsafe(PIECE * count + 4), size + length + HEAD))
    if (crc32(b.subarray(0, PIECE * count)) !== b.readUInt32BE(PIECE * count)) throw errno('EIO', 'blob: the list of its pieces is damaged', hex(id))
    return Array.from({ length: count }, (_, i) => {
      const p = PIECE * i
      return { t: b.readUInt32BE(p), ino: get64(b, p + 4), chunk: b.readUInt32BE(p + 12), off: b.readUInt32BE(p + 16), len: b.readUInt32BE(p + 20), at: b.readUInt32BE(p + 24) }
    })
  }
  forget(id: string): void {
    const table = this.#tables.get(id)
    if (!table) return
    this.#tables.delete(id)
    this.#room += table.length + HEAD
  }
}

export const hex = (id: string): string => Buffer.from(id, 'latin1').toString('hex')
