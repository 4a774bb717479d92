// The blobs face: blobs in frames, records whole. Layout: FORMAT.md, "The blobs face".

import { setImmediate as turn } from 'node:timers/promises'
import { errno } from 'ninep'
import type { StatFs } from 'ninep'
import { checkRecordName, hexOf } from '../blobs.ts'
import type { VolumeKey } from '../keys.ts'
import type { Log } from '../options.ts'
import { hash, KEY, locked, NONCE, open, randomInto, seal, TAG, wipe } from '../sodium.ts'
import type { Awaitable, BlobId, Blobs, Call } from '../translator.ts'

const FRAME = 8192, SALT = 16, HEAD = SALT + 8 + TAG
/** The largest blob that fits into the child's 64 MiB. */
const LARGEST = 66_977_992
/** Frames that are sealed in one turn of the loop: 0.7 ms. */
const BATCH = 128
/** Heads that are kept. */
const KEPT = 4096
const VERSION = 1

const sealedSize = (size: number): number => HEAD + size + TAG * Math.ceil(size / FRAME)
/** Less than 0: nothing is stored in so few. */
const plainSize = (stored: number): number => stored - HEAD - TAG * Math.ceil((stored - HEAD) / (FRAME + TAG))
const nonceOf = (frame: number): Buffer => {
  const nonce = Buffer.alloc(NONCE, frame < 0 ? 0xff : 0)
  if (frame >= 0) nonce.writeBigUInt64BE(BigInt(frame), 16)
  return nonce
}

interface Head { readonly salt: Uint8Array; readonly size: number }

export class SealedBlobs implements Blobs {
  /** Of a blob: derived anew after each await, since all calls share it. */
  readonly #blob = locked(KEY)
  readonly #record = locked(2 * KEY)
  #heads = new Map<string, Head>()
  #told = new Set<string>()
  constructor(private readonly child: () => Awaitable<Blobs>, private readonly key: VolumeKey, private readonly log: Log) { key.derive(this.#record, 'record') }
  close(): void { wipe(this.#blob); wipe(this.#record) }

  #derive(salt: Uint8Array, id: BlobId): Buffer {
    this.key.derive(this.#blob, 'blob', salt, id)
    return this.#blob
  }
  /** EIO, with one line in the log for each place. */
  #damage(what: string, where: object): never {
    const place = JSON.stringify(where)
    if (!this.#told.has(place) && this.#told.size < 1000) this.log.error(where, `crypt: ${what}: altered, or sealed by another key`)
    this.#told.add(place)
    throw errno('EIO', 'get', `${what}: altered, or sealed by another key`)
  }

  async put(lent: BlobId, parts: readonly Uint8Array[], call?: Call): Promise<void> {
    const size = parts.reduce((sum, part) => sum + part.length, 0), hex = hexOf(lent, 'put'), id = Buffer.from(hex, 'hex')
    if (size > LARGEST) throw errno('EFBIG', 'put', hex)
    const salt = Buffer.alloc(SALT), head = Buffer.alloc(HEAD), length = Buffer.alloc(8), out: Uint8Array[] = [head]
    randomInto(salt)
    head.set(salt)
    length.writeBigUInt64BE(BigInt(size))
    seal(head.subarray(SALT), length, nonceOf(-1), this.#derive(salt, id))
    const nonce = nonceOf(0), joined = Buffer.alloc(FRAME)
    let part = 0, at = 0                                  // where in the parts the next frame begins
    for (let frame = 0, frames = Math.ceil(size / FRAME); frame < frames;) {
      if (frame > 0) await turn()
      const key = this.#derive(salt, id), first = frame, end = Math.min(frame + BATCH, frames)
      const sealed = Buffer.allocUnsafe(sealedSize(Math.min(size, end * FRAME)) - sealedSize(first * FRAME))
      for (; frame < end; frame++) {
        const n = Math.min(FRAME, size - frame * FRAME)
        while (at === parts[part]!.length) { part++; at = 0 }
        let text = parts[part]!.subarray(at, at + n)
        at += text.length
        if (text.length < n) {
          let have = text.length
          joined.set(text)
          while (have < n) {
            const next = parts[++part]!.subarray(0, n - have)
            joined.set(next, have)
            have += next.length
            at = next.length
          }
          text = joined.subarray(0, n)
        }
        nonce.writeBigUInt64BE(BigInt(frame), 16)
        const from = (frame - first) * (FRAME + TAG)
        seal(sealed.subarray(from, from + n + TAG), text, nonce, key)
      }
      out.push(sealed)
    }
    await (await this.child()).put(id, out, call)
  }

  async get(lent: BlobId, into: Uint8Array, offset: number, call?: Call): Promise<Uint8Array> {
    const hex = hexOf(lent, 'get'), id = Buffer.from(hex, 'hex'), child = await this.child()
    const { salt, size } = this.#heads.get(hex) ?? await this.#head(child, hex, id)
    const length = Math.min(into.length, size - offset)
    if (length <= 0) return into.subarray(0, 0)
    const first = Math.floor(offset / FRAME), end = Math.ceil((offset + length) / FRAME), from = HEAD + first * (FRAME + TAG)
    const stored = sealedSize(Math.min(size, end * FRAME)) - from, last = end * FRAME >= size
    const sealed = await whole(child, id, Buffer.allocUnsafe(stored + (last ? 1 : 0)), from, call)     // one byte more: there is none
    if (sealed.length !== stored) this.#damage('a blob', { blob: hex, block: last ? end - 1 : first, has: sealed.length, wants: stored })
    for (let frame = first; frame < end;) {
      if (frame > first) await turn()
      const key = this.#derive(salt, id), stop = Math.min(frame + BATCH, end), nonce = nonceOf(0)
      for (; frame < stop; frame++) {
        const at = (frame - first) * (FRAME + TAG), text = sealed.subarray(at, Math.min(at + FRAME + TAG, stored)), n = text.length - TAG
        const lo = Math.max(offset - frame * FRAME, 0), hi = Math.min(offset + length - frame * FRAME, n), to = frame * FRAME + lo - offset
        nonce.writeBigUInt64BE(BigInt(frame), 16)
        const inside = lo === 0 && hi === n, plain = inside ? into.subarray(to, to + n) : text.subarray(0, n)
        if (!open(plain, text, nonce, key)) this.#damage('a blob', { blob: hex, block: frame })
        if (!inside) into.set(plain.subarray(lo, hi), to)
      }
    }
    return into.subarray(0, length)
  }
  async #head(child: Blobs, hex: string, id: Buffer): Promise<Head> {
    const head = await whole(child, id, Buffer.alloc(HEAD), 0), salt = head.subarray(0, SALT), length = Buffer.alloc(8)
    if (head.length < HEAD || !open(length, head.subarray(SALT), nonceOf(-1), this.#derive(salt, id))) this.#damage('the head of a blob', { blob: hex, block: 'head' })
    const known = { salt, size: Number(length.readBigUInt64BE()) }
    if (known.size === 0 && (await whole(child, id, Buffer.alloc(1), HEAD)).length > 0) this.#damage('a blob', { blob: hex, block: 0 })
    if (this.#heads.size >= KEPT) this.#heads.delete(this.#heads.keys().next().value!)
    this.#heads.set(hex, known)
    return known
  }
  async drop(ids: readonly BlobId[]): Promise<void> {
    await (await this.child()).drop(ids)
    for (const id of ids) this.#heads.delete(hexOf(id, 'drop'))
  }
  async list(after: BlobId | null, max: number): Promise<{ id: BlobId; size: number }[]> {
    return (await (await this.child()).list(after, max)).map(({ id, size }) => ({ id, size: Math.max(0, plainSize(size)) }))
  }

  /** What the child calls a record. */
  #name(name: string): string {
    const out = Buffer.alloc(24)
    hash(out, this.#record.subarray(0, KEY), Buffer.from(name))
    return out.toString('base64url')
  }
  async putRecord(name: string, bytes: Uint8Array, expect?: Uint8Array): Promise<void> {
    checkRecordName(name, 'putRecord')
    const child = await this.child(), stored = this.#name(name)
    const message = Buffer.concat([Buffer.of(name.length), Buffer.from(name), bytes]), sealed = Buffer.alloc(1 + NONCE + message.length + TAG)
    sealed[0] = VERSION
    randomInto(sealed.subarray(1, 1 + NONCE))
    seal(sealed.subarray(1 + NONCE), message, sealed.subarray(1, 1 + NONCE), this.#record.subarray(KEY), Buffer.from(stored))
    if (!expect || expect.length === 0) return child.putRecord(stored, sealed, expect)
    let there: Uint8Array
    try { there = await child.getRecord(stored) } catch (e) { throw (e as { code?: unknown }).code === 'ENOENT' ? errno('ESTALE', 'putRecord', name) : e }
    if (Buffer.compare(this.#open(stored, there).bytes, expect) !== 0) throw errno('ESTALE', 'putRecord', name)
    return child.putRecord(stored, sealed, there)
  }
  #open(stored: string, sealed: Uint8Array): { name: string; bytes: Uint8Array } {
    if (sealed.length > 0 && sealed[0] !== VERSION) this.#damage(`a record of version ${sealed[0]}, and this one knows ${VERSION}`, { record: stored })
    const message = Buffer.alloc(Math.max(0, sealed.length - 1 - NONCE - TAG))
    if (message.length < 1 || !open(message, sealed.subarray(1 + NONCE), sealed.subarray(1, 1 + NONCE), this.#record.subarray(KEY), Buffer.from(stored))) this.#damage('a record', { record: stored })
    const name = message.toString('latin1', 1, 1 + message[0]!)
    return { name, bytes: message.subarray(1 + message[0]!) }
  }
  async getRecord(name: string): Promise<Uint8Array> {
    checkRecordName(name, 'getRecord')
    const stored = this.#name(name)
    let sealed: Uint8Array
    try { sealed = await (await this.child()).getRecord(stored) } catch (e) { throw (e as { code?: unknown }).code === 'ENOENT' ? errno('ENOENT', 'getRecord', name) : e }
    return this.#open(stored, sealed).bytes
  }
  async listRecords(prefix: string): Promise<string[]> {
    const child = await this.child(), found: string[] = []
    for (const stored of await child.listRecords('')) {
      let sealed: Uint8Array
      try { sealed = await child.getRecord(stored) } catch (e) {
        if ((e as { code?: unknown }).code === 'ENOENT') continue
        throw e
      }
      const { name } = this.#open(stored, sealed)
      if (name.startsWith(prefix)) found.push(name)
    }
    return found.sort()
  }
  async dropRecord(name: string): Promise<void> {
    checkRecordName(name, 'dropRecord')
    await (await this.child()).dropRecord(this.#name(name))
  }
  async sync(): Promise<void> { await (await this.child()).sync() }
  async statfs(): Promise<StatFs> {
    const child = await this.child()
    if (!child.statfs) throw errno('EOPNOTSUPP', 'statfs')
    return child.statfs()
  }
}

/** As much as there is, at most into.length, in memory that may be written to. */
async function whole(child: Blobs, id: BlobId, into: Buffer, offset: number, call?: Call): Promise<Buffer> {
  let have = 0
  while (have < into.length) {
    const rest = into.subarray(have), got = await child.get(id, rest, offset + have, call)
    if (got.length === 0) break
    if (got.buffer !== rest.buffer || got.byteOffset !== rest.byteOffset) rest.set(got)
    have += got.length
  }
  return into.subarray(0, have)
}
