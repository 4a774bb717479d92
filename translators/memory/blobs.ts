import { errno } from 'ninep'
import type { BlobId, Blobs } from '../translator.ts'
import { checkRecordName, MAX_BLOB, MAX_RECORD } from '../blobs.ts'
import { Sorted } from './sorted.ts'
import type { Space } from './space.ts'

/** What a blob or record takes of the space besides its bytes. */
const COST = 256

/** Blobs and records in maps. A blob never changes, so what get returns is the blob itself. */
export class MemoryBlobs implements Blobs {
  #blobs = new Map<string, Uint8Array>()
  #ids = new Sorted()
  #records = new Map<string, Uint8Array>()
  constructor(readonly space: Space) {}

  put(id: BlobId, bytes: readonly Uint8Array[]): void {
    const key = keyOf(id, 'put')
    if (this.#blobs.has(key)) throw errno('EEXIST', 'put', Buffer.from(id).toString('hex'))
    const length = bytes.reduce((sum, b) => sum + b.length, 0)
    if (length > MAX_BLOB) throw errno('EFBIG', 'put', Buffer.from(id).toString('hex'))
    if (!this.space.take(length + COST)) throw errno('ENOSPC', 'put')
    const blob = Buffer.allocUnsafeSlow(length)
    let at = 0
    for (const b of bytes) { blob.set(b, at); at += b.length }
    this.#blobs.set(key, blob)
    this.#ids.add(key)
  }
  get(id: BlobId, into: Uint8Array, offset: number): Uint8Array {
    const blob = this.#blobs.get(keyOf(id, 'get'))
    if (!blob) throw errno('ENOENT', 'get', Buffer.from(id).toString('hex'))
    return blob.subarray(Math.min(offset, blob.length), Math.min(offset + into.length, blob.length))
  }
  drop(ids: readonly BlobId[]): void {
    for (const id of ids) {
      const key = keyOf(id, 'drop'), blob = this.#blobs.get(key)
      if (!blob) continue
      this.#blobs.delete(key)
      this.#ids.delete(key)
      this.space.give(blob.length + COST)
    }
  }
  list(after: BlobId | null, max: number): { id: BlobId; size: number }[] {
    const from = after ? `${keyOf(after, 'list')}\0` : ''  // the next string there can be
    return this.#ids.take(from, max).map((key) => ({ id: Buffer.from(key, 'latin1'), size: this.#blobs.get(key)!.length }))
  }
  putRecord(name: string, bytes: Uint8Array, expect?: Uint8Array): void {
    checkRecordName(name, 'putRecord')
    if (bytes.length > MAX_RECORD) throw errno('EFBIG', 'putRecord', name)
    const old = this.#records.get(name)
    if (expect && Buffer.compare(old ?? new Uint8Array(0), expect) !== 0) throw errno('ESTALE', 'putRecord', name)
    if (!this.space.take(bytes.length - (old ? old.length : -COST))) throw errno('ENOSPC', 'putRecord', name)
    this.#records.set(name, Uint8Array.from(bytes))
  }
  getRecord(name: string): Uint8Array {
    checkRecordName(name, 'getRecord')
    const found = this.#records.get(name)
    if (!found) throw errno('ENOENT', 'getRecord', name)
    return found
  }
  listRecords(prefix: string): string[] { return [...this.#records.keys()].filter((name) => name.startsWith(prefix)).sort() }
  dropRecord(name: string): void {
    checkRecordName(name, 'dropRecord')
    const old = this.#records.get(name)
    if (!old) return
    this.#records.delete(name)
    this.space.give(old.length + COST)
  }
  sync(): void {}
}

/** The id as a string that sorts as its bytes do. EINVAL: not 16 bytes. */
function keyOf(id: BlobId, op: string): string {
  if (id.length !== 16) throw errno('EINVAL', op, Buffer.from(id).toString('hex'))
  return Buffer.from(id.buffer, id.byteOffset, id.length).toString('latin1')
}
