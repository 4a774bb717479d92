// Blobs as files of the peer, laid out as translators/blobs.ts has it. What that does one after the other, since a translator need not
// be concurrent, goes side by side here where data are carried, and by a walk for a path, not for each of its names.

import { errno, isErrno, O } from 'ninep'
import { blobsOf, folderOf, hexOf, MAX_BLOB, readAll } from '../blobs.ts'
import type { BlobId, Blobs, Call } from '../translator.ts'
import type { RemoteNode } from './node.ts'

const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
/** Its numbers under tmp/ are from here on, so that they are not those of the other. */
const FROM = 2 ** 40
/** How often a folder is made anew that a drop of its last blob took away meanwhile. */
const TRIES = 10

export class RemoteBlobs implements Blobs {
  readonly #files: Blobs
  #ready: Promise<unknown> | undefined
  #count = FROM
  readonly #putting = new Set<string>()
  constructor(readonly root: RemoteNode) { this.#files = blobsOf(root) }

  async put(id: BlobId, bytes: readonly Uint8Array[], call?: Call): Promise<void> {
    const hex = hexOf(id, 'put')
    if (bytes.reduce((sum, b) => sum + b.length, 0) > MAX_BLOB) throw errno('EFBIG', 'put', hex)
    if (this.#putting.has(hex)) throw errno('EEXIST', 'put', hex)
    this.#putting.add(hex)
    try { await this.#put(hex, bytes, call) } finally { this.#putting.delete(hex) }
  }
  async #put(hex: string, bytes: readonly Uint8Array[], call?: Call): Promise<void> {
    await this.#start()
    const temporary = String(this.#count++)
    await using tmp = await this.root.reach('tmp')
    const { node, handle } = await tmp.create(temporary, O.WRONLY, 0o600, owner)
    node.close()
    try {
      try {
        let at = 0
        const writes = await Promise.allSettled(bytes.map((part) => handle.write(part, (at += part.length) - part.length, call)))
        for (const write of writes) if (write.status === 'rejected') throw write.reason
        await handle.fsync(false, call)
      } finally { await handle.close() }
      await this.#into(folderOf(hex), hex, (folder) => tmp.renameat(temporary, folder, hex))
    } catch (e) {
      await Promise.resolve(tmp.unlinkat(temporary, 0)).catch(() => {})   // the first error says more
      throw e
    }
  }
  /** Does it in a folder, which is made where it is not there. EEXIST: the name is. */
  async #into(path: string, name: string, f: (folder: RemoteNode) => Promise<void>): Promise<void> {
    for (let tries = 0; ; tries++) {
      try {
        await using folder = await this.#folder(path)
        const there = await this.#find(folder, name)
        if (there) {
          there.close()
          throw errno('EEXIST', 'put', name)
        }
        return await f(folder)
      } catch (e) {
        if (tries >= TRIES || !(isErrno(e, 'ENOENT') || isErrno(e, 'ESTALE'))) throw e
      }
    }
  }
  async #folder(path: string): Promise<RemoteNode> {
    try { return await this.root.reach(...path.split('/')) } catch (e) { if (!isErrno(e, 'ENOENT')) throw e }
    let dir = await this.root.reach()
    for (const name of path.split('/')) {
      try {
        const next = await this.#find(dir, name) ?? await dir.mkdir(name, 0o700, owner).catch((e: unknown) => { if (isErrno(e, 'EEXIST')) return dir.reach(name); throw e }) as RemoteNode
        dir.close()
        dir = next
      } catch (e) {
        dir.close()
        throw e
      }
    }
    return dir
  }
  async #find(dir: RemoteNode, name: string): Promise<RemoteNode | undefined> {
    try { return await dir.reach(name) } catch (e) {
      if (isErrno(e, 'ENOENT')) return undefined
      throw e
    }
  }

  async get(id: BlobId, into: Uint8Array, offset: number, call?: Call): Promise<Uint8Array> {
    const hex = hexOf(id, 'get')
    await this.#start()
    await using node = await this.root.reach(...folderOf(hex).split('/'), hex).catch((e: unknown) => { throw isErrno(e, 'ENOENT') ? errno('ENOENT', 'get', hex, e) : e })
    await using handle = await node.open(O.RDONLY, call)
    return await readAll(handle, into, offset, call)      // the handle is open until then
  }

  drop(ids: readonly BlobId[]) { return this.#files.drop(ids) }
  list(after: BlobId | null, max: number) { return this.#files.list(after, max) }
  putRecord(name: string, bytes: Uint8Array, expect?: Uint8Array) { return this.#files.putRecord(name, bytes, expect) }
  getRecord(name: string) { return this.#files.getRecord(name) }
  listRecords(prefix: string) { return this.#files.listRecords(prefix) }
  dropRecord(name: string) { return this.#files.dropRecord(name) }
  async sync(): Promise<void> {
    await this.#files.sync()
    await this.root.peer.sync()
  }
  /** When the folders are there, and what is left under tmp/ is not. */
  #start(): Promise<unknown> {
    return this.#ready ??= Promise.resolve(this.#files.getRecord('-')).catch((e: unknown) => {
      if (isErrno(e, 'ENOENT')) return
      this.#ready = undefined
      throw e
    })
  }
}
