// The flat face of a translator, for trees above it: its own, or one made of files in its root, which then holds nothing else.
//
//     format                    16 bytes: "ninefold blobs 1"; written last, when the rest is there
//     blobs/AAAA/B{26}/ID       one blob, its bytes and nothing more. ID: the 16 bytes of the id as 32 hex digits, small;
//                               A its digits 0-3, B its digits 4-29: no folder holds more than 256 blobs, and the order of
//                               names is the order of ids. Ids that count up in their last bytes fill their folders.
//     records/NAME              one record, its bytes and nothing more
//     tmp/N                     what is being written: to be removed at the start. N: a count, in decimal digits
//
// A blob or record is written under tmp/, fsynced, and then renamed: so it is there whole or not at all, at a kill and at
// power loss. Folders that changed are fsynced by sync(). Calls into directories go one at a time, for a translator
// need not be concurrent; the bytes of different blobs travel side by side.

import { AT_REMOVEDIR, Attrs, errno, isErrno, O } from 'ninep'
import { after } from './forward.ts'
import type { StatFs } from 'ninep'
import type { Awaitable, BlobId, Blobs, Call, Handle, Node, Translator } from './translator.ts'

/** The largest blob and the largest record, bytes. */
export const MAX_BLOB = 64 * 2 ** 20
export const MAX_RECORD = 2 ** 20
const FORMAT = 'ninefold blobs 1'

/** Whether this may name a record. */
export function isRecordName(name: string): boolean { return /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$/.test(name) }
/** EINVAL unless this may name a record. */
export function checkRecordName(name: string, op: string): void { if (!isRecordName(name)) throw errno('EINVAL', op, name) }
/** ESTALE unless what stands in a record's place is what was expected, if anything was. An empty one expects none. */
export function checkExpected(there: Uint8Array | undefined, expect: Uint8Array | undefined, name: string): void {
  if (!expect) return
  if (expect.length === 0 ? there !== undefined : !there || Buffer.compare(there, expect) !== 0) throw errno('ESTALE', 'putRecord', name)
}
/** A blob's id as 32 hex digits, which sort as ids do. EINVAL: it is not of 16 bytes. */
export function hexOf(id: BlobId, op: string): string {
  const hex = Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString('hex')
  if (hex.length !== 32) throw errno('EINVAL', op, hex)
  return hex
}

const faces = new WeakMap<Translator, Awaitable<Blobs>>()
/** The flat face of a translator, its own or else made of its root: always the same one. */
export function blobsFace(translator: Translator): Awaitable<Blobs> {
  let face = faces.get(translator)
  if (face) return face
  face = translator.blobs?.() ?? after(translator.attach(''), blobsOf)
  faces.set(translator, face)
  if (face instanceof Promise) face.catch(() => faces.delete(translator))
  return face
}

/** Blobs kept as files in an empty directory, or in one that was made so before (else ENOTEMPTY at the first call); another format is
 *  EPROTONOSUPPORT. The node is the result's from here on. One for each directory: it takes itself to be alone. */
export function blobsOf(root: Node): Blobs { return new FileBlobs(root) }

const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
/** Names held at a time while listing. */
const BATCH = 1024
const FOLDERS = ['blobs', 'records', 'tmp']

class FileBlobs implements Blobs {
  #ready: Promise<void> | undefined
  #last: Promise<unknown> = Promise.resolve()             // of the calls into directories
  #lastRecord: Promise<unknown> = Promise.resolve()       // of the changes of records
  #temporary = 0
  /** Folders changed since they were synced. */
  #changed = new Set<string>()
  constructor(readonly root: Node) {}

  async put(id: BlobId, bytes: readonly Uint8Array[], call?: Call): Promise<void> {
    const hex = hexOf(id, 'put')
    if (bytes.reduce((sum, b) => sum + b.length, 0) > MAX_BLOB) throw errno('EFBIG', 'put', hex)
    await this.#write(folderOf(hex), hex, bytes, true, call)
  }
  async get(id: BlobId, into: Uint8Array, offset: number, call?: Call): Promise<Uint8Array> {
    const hex = hexOf(id, 'get')
    await using handle = await this.#open(folderOf(hex), hex, 'get')
    return await readAll(handle, into, offset, call)      // the handle is open until then
  }
  async drop(ids: readonly BlobId[]): Promise<void> {
    for (const id of ids) {
      const hex = hexOf(id, 'drop'), folder = folderOf(hex)
      await this.#unlink(folder, hex)
    }
  }
  async list(after: BlobId | null, max: number): Promise<{ id: BlobId; size: number }[]> {
    const from = after ? `${hexOf(after, 'list')}\0` : '', found: { id: BlobId; size: number }[] = []
    for await (const [a] of this.#names('blobs', from.slice(0, 4), 4)) {
      for await (const [b] of this.#names(`blobs/${a}`, a === from.slice(0, 4) ? from.slice(4, 30) : '', 26)) {
        for await (const [hex, size] of this.#names(`blobs/${a}/${b}`, from, 32)) {
          if (found.length >= max) return found
          const known = size ?? await this.#size(`blobs/${a}/${b}`, hex)
          if (known !== undefined) found.push({ id: Buffer.from(hex, 'hex'), size: known })
        }
      }
    }
    return found
  }

  async putRecord(name: string, bytes: Uint8Array, expect?: Uint8Array): Promise<void> {
    checkRecordName(name, 'putRecord')
    if (bytes.length > MAX_RECORD) throw errno('EFBIG', 'putRecord', name)
    await this.#afterRecords(async () => {
      if (expect) checkExpected(await this.#record(name), expect, name)
      await this.#write('records', name, [bytes], false)
    })
  }
  async getRecord(name: string): Promise<Uint8Array> {
    checkRecordName(name, 'getRecord')
    const bytes = await this.#record(name)
    if (!bytes) throw errno('ENOENT', 'getRecord', name)
    return bytes
  }
  async listRecords(prefix: string): Promise<string[]> {
    const found: string[] = []
    for await (const [name] of this.#names('records', prefix)) {
      if (!name.startsWith(prefix)) break
      found.push(name)
    }
    return found
  }
  async dropRecord(name: string): Promise<void> {
    checkRecordName(name, 'dropRecord')
    await this.#afterRecords(() => this.#unlink('records', name))
  }

  async sync(): Promise<void> {
    await this.#start()
    const folders = [...this.#changed]
    this.#changed.clear()
    try {
      for (const folder of folders) {
        const handle = await this.#alone(() => this.#at(folder, false, (dir) => dir.open(O.RDONLY | O.DIRECTORY)).catch(absent))
        if (handle) try { await handle.fsync(false) } finally { await handle.close() }
      }
    } catch (e) {
      for (const folder of folders) this.#changed.add(folder)
      throw e
    }
  }

  statfs(): Awaitable<StatFs> { return this.root.statfs() }

  async #record(name: string): Promise<Uint8Array | undefined> {
    const handle = await this.#open('records', name, 'getRecord').catch(absent)
    if (!handle) return undefined
    try { return await readAll(handle, new Uint8Array((await handle.getattr(Attrs.SIZE)).size), 0) } finally { await handle.close() }
  }
  #afterRecords<T>(f: () => Promise<T>): Promise<T> {
    const run = this.#lastRecord.then(f, f)
    this.#lastRecord = run
    return run
  }

  /** A file, whole or not at all. exclusive: EEXIST if the name is there. */
  async #write(folder: string, name: string, parts: readonly Uint8Array[], exclusive: boolean, call?: Call): Promise<void> {
    await this.#start()
    const temporary = String(this.#temporary++)
    const handle = await this.#alone(() => this.#at('tmp', false, async (dir) => {
      const { node, handle } = await dir.create(temporary, O.WRONLY, 0o600, owner)
      await node.close()
      return handle
    }))
    try {
      try {
        await writeAll(handle, parts, call)
        await handle.fsync(false, call)
      } finally { await handle.close() }
      await this.#alone(() => this.#at('tmp', false, (tmp) => this.#at(folder, true, async (dir) => {
        if (exclusive) {
          const there = await find(dir, name)
          if (there) { await there.close(); throw errno('EEXIST', 'put', name) }
        }
        await tmp.renameat(temporary, dir, name)
        this.#changed.add(folder)
      })))
    } catch (e) {
      await this.#alone(() => this.#at('tmp', false, (dir) => dir.unlinkat(temporary, 0))).catch(() => {}) // the first error says more
      throw e
    }
  }
  async #open(folder: string, name: string, op: string): Promise<Handle> {
    await this.#start()
    return this.#alone(() => this.#at(folder, false, async (dir) => {
      await using node = await dir.walk(name)
      return await node.open(O.RDONLY)
    })).catch((e: unknown) => { throw isErrno(e, 'ENOENT') ? errno('ENOENT', op, name, e) : e })
  }
  /** An absent name is no error. A folder of blobs that is empty then goes too. */
  async #unlink(folder: string, name: string): Promise<void> {
    await this.#start()
    await this.#alone(async () => {
      const gone = await this.#at(folder, false, async (dir) => { await dir.unlinkat(name, 0); return true }).catch(absent)
      if (!gone) return
      this.#changed.add(folder)
      for (let at = folder.lastIndexOf('/'); at > 0; at = folder.lastIndexOf('/')) {
        const above = folder.slice(0, at)
        try { await this.#at(above, false, (dir) => dir.unlinkat(folder.slice(at + 1), AT_REMOVEDIR)) } catch (e) {
          if (isErrno(e)) return                          // mostly ENOTEMPTY; what was asked is done in any case
          throw e
        }
        this.#changed.delete(folder)
        this.#changed.add(above)
        folder = above
      }
    })
  }
  #size(folder: string, name: string): Promise<number | undefined> {
    return this.#alone(() => this.#at(folder, false, async (dir) => {
      await using node = await dir.walk(name)
      return (await node.getattr(Attrs.SIZE)).size
    }).catch(absent))
  }

  /** The names of a folder from `from` on, sorted, and sizes where the child tells. length: of names that are ours. */
  async *#names(folder: string, from: string, length?: number): AsyncGenerator<[name: string, size?: number]> {
    await this.#start()
    for (;;) {
      const found = await this.#alone(() => this.#at(folder, false, (dir) => least(dir, from, length)).catch(absent))
      if (!found) return
      yield* found
      if (found.length < BATCH) return
      from = `${found.at(-1)![0]}\0`
    }
  }

  /** f of a folder, which is made where `make` says so. */
  async #at<T>(folder: string, make: boolean, f: (dir: Node) => Awaitable<T>): Promise<T> {
    const opened: Node[] = []
    try {
      let dir = this.root, path = ''
      for (const name of folder === '' ? [] : folder.split('/')) {
        let next = await find(dir, name)
        if (!next && !make) throw errno('ENOENT', 'walk', name)
        if (!next) {
          next = await dir.mkdir(name, 0o700, owner)
          this.#changed.add(path)
        }
        opened.push(next)
        dir = next
        path = path === '' ? name : `${path}/${name}`
      }
      return await f(dir)
    } finally {
      for (const node of opened.reverse()) await node.close()
    }
  }
  /** f when all that was asked before is done. */
  #alone<T>(f: () => Promise<T>): Promise<T> {
    const run = this.#last.then(f, f)
    this.#last = run
    return run
  }

  #start(): Promise<void> {
    return this.#ready ??= this.#alone(() => this.#prepare()).catch((e: unknown) => {
      this.#ready = undefined                             // the next call tries again
      throw e
    })
  }
  async #prepare(): Promise<void> {
    const format = await this.#at('', false, async (dir) => {
      await using node = await dir.walk('format')
      await using handle = await node.open(O.RDONLY)
      return Buffer.from(await readAll(handle, new Uint8Array(64), 0)).toString()
    }).catch(absent)
    if (format !== undefined && format !== FORMAT) throw errno('EPROTONOSUPPORT', 'blobs', format)
    if (format === undefined) await this.#make()
    for (;;) {
      const left = await this.#at('tmp', false, (dir) => least(dir, ''))
      if (left.length === 0) return
      await this.#at('tmp', false, async (dir) => { for (const [name] of left) await dir.unlinkat(name, 0) })
    }
  }
  async #make(): Promise<void> {
    const other = (await least(this.root, '')).find(([name]) => !FOLDERS.includes(name))   // those: from a start that did not end
    if (other && other[0] !== 'format.new') throw errno('ENOTEMPTY', 'blobs', other[0])
    for (const folder of FOLDERS) await this.#at(folder, true, () => {})
    if (other) await this.root.unlinkat(other[0], 0)
    const { node, handle } = await this.root.create('format.new', O.WRONLY, 0o600, owner)
    await node.close()
    try {
      await writeAll(handle, [Buffer.from(FORMAT)])
      await handle.fsync(false)
    } finally { await handle.close() }
    await this.root.renameat('format.new', this.root, 'format')
    await using root = await this.root.open(O.RDONLY | O.DIRECTORY)
    await root.fsync(false)
  }
}

/** The least names of a directory from `from` on, sorted, at most BATCH: so that none of any size is held whole. */
async function least(dir: Node, from: string, length?: number): Promise<[name: string, size?: number][]> {
  let found: [string, number?][] = [], ended = false, last = 0n
  const cut = () => { found = found.sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0).slice(0, BATCH) }
  await using handle = await dir.open(O.RDONLY | O.DIRECTORY)
  while (!ended) {
    ended = await handle.readdir(last, {
      add(_path, _type, cookie, bytes, attr) {
        const name = typeof bytes === 'string' ? bytes : Buffer.from(bytes).toString('latin1')
        last = cookie
        if (name >= from && (length === undefined || name.length === length)) found.push([name, attr?.size])
        return true
      },
    }, length === 32 ? Attrs.SIZE : 0)
    if (found.length > 2 * BATCH) cut()
  }
  cut()
  return found
}

async function find(dir: Node, name: string): Promise<Node | undefined> {
  try { return await dir.walk(name) } catch (e) { return absent(e) }
}

async function writeAll(handle: Handle, parts: readonly Uint8Array[], call?: Call): Promise<void> {
  let at = 0
  for (const part of parts) for (let done = 0; done < part.length;) {
    const n = await handle.write(part.subarray(done), at, call)
    done += n
    at += n
  }
}
/** As many bytes as there are, into.length at most. */
export async function readAll(handle: Handle, into: Uint8Array, offset: number, call?: Call): Promise<Uint8Array> {
  let done = 0
  while (done < into.length) {
    const rest = into.subarray(done), got = await handle.read(rest, offset + done, call)
    if (got.length === 0) break
    if (got.length === into.length) return got
    if (got.buffer !== rest.buffer || got.byteOffset !== rest.byteOffset) rest.set(got)
    done += got.length
  }
  return into.subarray(0, done)
}

/** Where a blob of this name is. */
export function folderOf(hex: string): string { return `blobs/${hex.slice(0, 4)}/${hex.slice(4, 30)}` }
/** ENOENT is an answer. */
function absent(e: unknown): undefined { if (!isErrno(e, 'ENOENT')) throw e }
