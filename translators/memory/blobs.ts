import { errno } from 'ninep'
import type { StatFs } from 'ninep'
import type { BlobId, Blobs } from '../translator.ts'
import { checkExpected, checkRecordName, hexOf, MAX_BLOB, MAX_RECORD } from '../blobs.ts'
import { Sorted } from './sorted.ts'
import type { Space } from './space.ts'

/** What a blob or record takes of the space besides its bytes. */
const COST = 256

/** Blobs and records in maps. A blob never changes, so what get returns is the blob itself. */
export class MemoryBlobs implements Blobs {
  #blobs = new Map<string, Uint8Array>()
  #ids = new Sorted()
  #records = new Map<string, Uint8Array>()
  constructor(readonly space: Space, readonly statfs: () => StatFs) {}

  put(id: BlobId, bytes: readonly Uint8Array[]): void {
    const key = hexOf(id, 'put')
    if (this.#blobs.has(key)) throw errno('EEXIST', 'put', key)
    const length = bytes.reduce((sum, b) => sum + b.length, 0)
    if (length > MAX_BLOB) throw errno('EFBIG', 'put', key)
    if (!this.space.take(length + COST)) throw errno('ENOSPC', 'put')
    const blob = Buffer.allocUnsafeSlow(length)
    let at = 0
    for (const b of bytes) { blob.set(b, at); at += b.length }
    this.#blobs.set(key, blob)
    this.#ids.add(key)
  }
  get(id: BlobId, into: Uint8Array, offset: number): Uint8Array {
    const key = hexOf(id, 'get'), blob = this.#blobs.get(key)
    if (!blob) throw errno('ENOENT', 'get', key)
    return blob.subarray(Math.min(offset, blob.length), Math.min(offset + into.length, blob.length))
  }
  drop(ids: readonly BlobId[]): void {
    for (const id of ids) {
      const key = hexOf(id, 'drop'), blob = this.#blobs.get(key)
      if (!blob) continue
      this.#blobs.delete(key)
      this.#ids.delete(key)
      this.space.give(blob.length + COST)
    }
  }
  list(after: BlobId | null, max: number): { id: BlobId; size: number }[] {
    const from = after ? `${hexOf(after, 'list')}\0` : ''  // the next string there can be
    return this.#ids.take(from, max).map((key) => ({ id: Buffer.from(key, 'hex'), size: this.#blobs.get(key)!.length }))
  }
  putRecord(name: string, bytes: Uint8Array, expect?: Uint8Array): void {
    checkRecordName(name, 'putRecord')
    if (bytes.length > MAX_RECORD) throw errno('EFBIG', 'putRecord', name)
    const old = this.#records.get(name)
    checkExpected(old, expect, name)
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
