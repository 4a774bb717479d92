import { errno, isErrno } from 'ninep'
import type { Awaitable, BlobId, Blobs, Call } from '../translator.ts'
import type { Fault } from './fault.ts'

/**
 * Blobs that fail on purpose. A crash loses the blobs put and the changes of records since the last sync; a blob that was
 * dropped stays so, as the worse of what may be. At torn-rate each of them is kept instead, or comes back, and always whole.
 */
export class FaultBlobs implements Blobs {
  /** What has not been synced, oldest first. undo: what the crash does about it, told whether chance spares it. */
  #log: { readonly number: number; undo(spared: boolean): Awaitable<void> }[] = []
  /** How many changes there have been. */
  noted = 0
  constructor(readonly child: Blobs, readonly layer: Fault) {}

  async put(id: BlobId, bytes: readonly Uint8Array[], call?: Call): Promise<void> {
    const { layer, child } = this, length = bytes.reduce((sum, b) => sum + b.length, 0)
    await layer.at('put', async () => {
      if (layer.writable('put', length) < length) throw errno('ENOSPC', 'put')
      await child.put(id, bytes, call)
      layer.wrote(length)
      const own = Uint8Array.from(id)
      this.#note((spared) => spared ? undefined : child.drop([own]))
    }, call)
  }
  async get(id: BlobId, into: Uint8Array, offset: number, call?: Call): Promise<Uint8Array> {
    const { layer, child } = this, length = layer.readable(into.length)
    return layer.at('get', () => child.get(id, length === into.length ? into : into.subarray(0, length), offset, call), call)
  }
  async drop(ids: readonly BlobId[]): Promise<void> {
    const { layer, child } = this
    await layer.at('drop', async () => {
      if (layer.tornRate > 0 && layer.unsynced) for (const id of ids) await this.#saved(id)
      await child.drop(ids)
    })
  }
  /** Notes how to bring it back. */
  async #saved(id: BlobId): Promise<void> {
    const own = Uint8Array.from(id), [found] = await this.child.list(before(own), 1)
    if (!found || Buffer.compare(found.id, own) !== 0) return
    const bytes = Uint8Array.from(await this.child.get(own, new Uint8Array(found.size), 0))
    this.#note((spared) => spared ? this.child.put(own, [bytes]) : undefined)
  }
  async list(after: BlobId | null, max: number): Promise<{ id: BlobId; size: number }[]> { return this.layer.at('list', () => this.child.list(after, max)) }

  async putRecord(name: string, bytes: Uint8Array, expect?: Uint8Array): Promise<void> {
    const { layer, child } = this
    await layer.at('putRecord', async () => {
      if (layer.writable('putRecord', bytes.length) < bytes.length) throw errno('ENOSPC', 'putRecord', name)
      const undo = await this.#record(name)
      await child.putRecord(name, bytes, expect)
      layer.wrote(bytes.length)
      this.#note(undo)
    })
  }
  async getRecord(name: string): Promise<Uint8Array> { return this.layer.at('getRecord', () => this.child.getRecord(name)) }
  async listRecords(prefix: string): Promise<string[]> { return this.layer.at('listRecords', () => this.child.listRecords(prefix)) }
  async dropRecord(name: string): Promise<void> {
    await this.layer.at('dropRecord', async () => {
      const undo = await this.#record(name)
      await this.child.dropRecord(name)
      this.#note(undo)
    })
  }
  /** How to make the record what it is now. */
  async #record(name: string): Promise<(spared: boolean) => Awaitable<void>> {
    const { child } = this
    if (!this.layer.unsynced) return () => {}
    try {
      const old = Uint8Array.from(await child.getRecord(name))
      return (spared) => spared ? undefined : child.putRecord(name, old)
    } catch (e) {
      if (!isErrno(e, 'ENOENT')) throw e
      return (spared) => spared ? undefined : child.dropRecord(name)
    }
  }

  async sync(): Promise<void> {
    await this.layer.at('sync', async () => {
      const { noted } = this                              // what comes meanwhile may not be covered
      await this.child.sync()
      this.synced(noted)
    })
  }
  get statfs(): Blobs['statfs'] { return this.child.statfs && (() => this.child.statfs!()) }
  /** So many of the changes there were are safe. */
  synced(noted: number): void { this.#log = this.#log.filter(({ number }) => number > noted) }
  async crash(): Promise<void> {
    for (const change of this.#log.splice(0).reverse()) await change.undo(this.layer.chance.hits('torn blob', this.layer.tornRate))
  }
  #note(undo: (spared: boolean) => Awaitable<void>): void { if (this.layer.unsynced) this.#log.push({ number: ++this.noted, undo }) }
}

/** The id before this one: where a list begins that begins with it. */
function before(id: BlobId): BlobId | null {
  const less = Uint8Array.from(id)
  for (let i = less.length - 1; i >= 0; i--) if (less[i]!-- > 0) return less
  return null
}
