// Blobs and records as files, in a directory that is marked as their store. The layout is in FORMAT.md.
//
// A blob or record is written under a temporary name and moved to its own when it is whole: a kill leaves the old, or the
// new. sync() makes what was moved durable, files first and then the directories that name them. A blob that a power cut
// tore (its name was written, its bytes were not) is known by its length, and is an EIO.

import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { errno, isErrno } from 'ninep'
import type { StatFs } from 'ninep'
import { checkExpected, checkRecordName, hexOf, isRecordName, MAX_BLOB, MAX_RECORD } from '../blobs.ts'
import { after as then } from '../forward.ts'
import * as sys from '../sys.ts'
import { stat } from '../sys.ts'
import { lastly } from '../turn.ts'
import type { Awaitable, BlobId, Blobs } from '../translator.ts'
import type { Brick } from './brick.ts'
import { statfsOf } from './device.ts'
import { readAt } from './waits.ts'

/** A file of this name makes a directory a store. */
export const MARKER = 'ninefold-blobs'
const VERSION = 1
const MAGIC = Buffer.from('9fblob1\n')
/** magic[8] length[8] id[16] */
const HEAD = 32
/** What is written in one turn; more goes through the thread pool. */
const LONG = 2 ** 20
/** With more files than this to make durable, the whole file system is cheaper. */
const MANY = 64
/** A temporary file this old was left behind: ms. */
const STALE = 3600_000

/** users: reads under way. gone: to be closed by the last of them. */
interface Held { readonly fd: number; readonly size: bigint; users: number; gone: boolean }
/** How many. */
const HELD = 64

interface Folders { readonly root: number; readonly blobs: number; readonly records: number; readonly temporary: number }

export class PosixBlobs implements Blobs {
  #folders: Folders | undefined
  #opening: Promise<Folders> | undefined
  /** What is not yet durable: blobs by name, and folders: 'blobs', 'records' or a byte of ids in hex. */
  #files = new Set<string>()
  #names = new Set<string>()
  #failed: unknown
  /** Files of blobs that were read last, by name, open: a name is looked up, and a head read, once. */
  #held = new Map<string, Held>()
  /** Whether it has synced: what an earlier process put and did not, it knows nothing of. */
  #synced = false
  #count = 0

  constructor(private readonly brick: Brick) {}

  put(id: BlobId, bytes: readonly Uint8Array[]): Awaitable<void> {
    const size = bytes.reduce((sum, part) => sum + part.length, 0)
    if (size > MAX_BLOB) throw errno('EFBIG', 'put')
    const name = hexOf(id, 'put'), head = Buffer.alloc(HEAD)
    MAGIC.copy(head)
    head.writeBigUInt64LE(BigInt(size), 8)
    head.set(id, 16)
    return this.#in((folders) => {
      const temporary = this.#temporary(), fd = create(folders.temporary, temporary)
      const written = guarded(fd, () => this.#write(fd, [head, ...bytes], HEAD + size), () => remove(folders.temporary, temporary))
      return then(written, () => {
        try {
          this.#fanned(name, true, (folder) => sys.moveAnew(folders.temporary, temporary, folder, name))
        } catch (e) {
          remove(folders.temporary, temporary)
          throw e
        }
        this.#files.add(name)
        this.#names.add(name.slice(0, 2))
      })
    })
  }
  get(id: BlobId, into: Uint8Array, offset: number): Awaitable<Uint8Array> {
    const name = hexOf(id, 'get')
    return this.#in(() => {
      const held = this.#held.get(name)
      if (held) {
        this.#held.delete(name)
        this.#held.set(name, held)
        return this.#readHeld(held, name, into, offset)
      }
      const fd = this.#fanned(name, false, (folder) => sys.openat(folder, name, sys.Open.RDONLY | sys.Open.NOFOLLOW | sys.Open.NONBLOCK))
      let head: Awaitable<Uint8Array>
      try { head = this.#read(fd, Buffer.alloc(HEAD), 0) } catch (e) { sys.close(fd); throw e }
      return then(head instanceof Promise ? head.catch((e: unknown) => { sys.close(fd); throw e }) : head, (head) => {
        const size = head.length === HEAD && MAGIC.equals(head.subarray(0, 8)) && Buffer.compare(head.subarray(16), id) === 0 ? Buffer.from(head).readBigUInt64LE(8) : -1n
        const held = { fd, size, users: 0, gone: false }
        this.#letGo(name)                                 // perhaps somebody was faster
        this.#held.set(name, held)
        if (this.#held.size > HELD) this.#letGo(this.#held.keys().next().value!)
        return this.#readHeld(held, name, into, offset)
      })
    })
  }
  #readHeld(held: Held, name: string, into: Uint8Array, offset: number): Awaitable<Uint8Array> {
    held.users++
    return lastly(() => {
      sys.statFd(held.fd)
      if (stat.nlink === 0) {                             // dropped, while it was opened
        this.#letGo(name)
        throw errno('ENOENT', 'get', name)
      }
      if (held.size !== BigInt(stat.size - HEAD)) throw errno('EIO', 'get: the blob is not whole', name)
      return this.#read(held.fd, into, HEAD + offset)
    }, () => { if (--held.users === 0 && held.gone) sys.close(held.fd) })
  }
  /** Closes the file of a blob that is kept open, when nobody reads it any more. */
  #letGo(name: string): void {
    const held = this.#held.get(name)
    if (!held) return
    this.#held.delete(name)
    held.gone = true
    if (held.users === 0) sys.close(held.fd)
  }
  drop(ids: readonly BlobId[]): Awaitable<void> {
    return this.#in(async () => {
      await Promise.all(ids.map(async (id) => {
        const name = hexOf(id, 'drop')
        this.#files.delete(name)
        this.#letGo(name)
        await this.#unlink(name)
      }))
    })
  }
  /** In the thread pool: the blocks of a large file take their time to be freed. */
  async #unlink(name: string): Promise<void> {
    try {
      const folder = this.#fanned(name, false, sys.dupCloexec)
      try { await this.brick.pooled((done) => fs.unlink(`/proc/self/fd/${folder}/${name}`, done)) } finally { sys.close(folder) }
      this.#names.add(name.slice(0, 2))
    } catch (e) {
      if (!isErrno(e, 'ENOENT')) throw e
    }
  }
  async list(after: BlobId | null, max: number): Promise<{ id: BlobId; size: number }[]> {
    const from = after ? hexOf(after, 'list') : '', found: { id: BlobId; size: number }[] = []
    const { blobs } = await this.#open()
    const fans = (await this.#entries(blobs)).filter((fan) => /^[0-9a-f]{2}$/.test(fan) && fan >= from.slice(0, 2)).sort()
    for (const fan of fans) {
      if (found.length >= max) break
      const folder = sys.openat(blobs, fan, sys.Open.RDONLY | sys.Open.DIRECTORY | sys.Open.NOFOLLOW)
      try {
        for (const name of (await this.#entries(folder)).filter((name) => /^[0-9a-f]{32}$/.test(name) && name > from).sort()) {
          if (found.length >= max) break
          if (sys.statIfAny(folder, name)) found.push({ id: Uint8Array.from(Buffer.from(name, 'hex')), size: Math.max(0, stat.size - HEAD) })
        }
      } finally { sys.close(folder) }
    }
    return found
  }

  async putRecord(name: string, bytes: Uint8Array, expect?: Uint8Array): Promise<void> {
    checkRecordName(name, 'putRecord')
    if (bytes.length > MAX_RECORD) throw errno('EFBIG', 'putRecord', name)
    const { records, temporary } = await this.#open()
    const made = this.#temporary(), fd = create(temporary, made)
    try {
      await guarded(fd, async () => {
        await this.#write(fd, [bytes], bytes.length)
        await this.brick.pooled((done) => fs.fsync(fd, done))   // renamed before its bytes are down, it could be neither old nor new
      })
      await locked(records, () => {
        if (expect) this.#compare(records, name, expect)
        sys.renameat(temporary, made, records, name)
      })
      this.#names.add('records')
    } catch (e) {
      remove(temporary, made)
      throw e
    }
  }
  #compare(records: number, name: string, expect: Uint8Array): void {
    let there: Uint8Array | undefined
    try { there = readRecord(records, name) } catch (e) {
      if (!isErrno(e, 'ENOENT')) throw e
    }
    checkExpected(there, expect, name)
  }
  getRecord(name: string): Awaitable<Uint8Array> {
    checkRecordName(name, 'getRecord')
    return this.#in(({ records }) => readRecord(records, name))
  }
  async listRecords(prefix: string): Promise<string[]> {
    const { records } = await this.#open()
    return (await this.#entries(records)).filter((name) => isRecordName(name) && name.startsWith(prefix)).sort()
  }
  dropRecord(name: string): Awaitable<void> {
    checkRecordName(name, 'dropRecord')
    return this.#in(({ records }) => {
      try { sys.unlinkat(records, name, 0) } catch (e) {
        if (!isErrno(e, 'ENOENT')) throw e
      }
      this.#names.add('records')
    })
  }

  /** Files, then the folders that name them. What fails once is not tried again: the kernel has forgotten which bytes it lost. */
  async sync(): Promise<void> {
    const folders = await this.#open()
    if (this.#failed) throw errno('EIO', 'sync: an earlier one failed', undefined, this.#failed)
    const files = [...this.#files], names = [...this.#names]
    this.#files.clear()
    this.#names.clear()
    try {
      if (!this.#synced || files.length > MANY) {
        await sys.syncfs(folders.root)
        this.#synced = true
        return
      }
      await Promise.all(files.map((name) => this.#durable(() => this.#fanned(name, false, (folder) => sys.openat(folder, name, sys.Open.RDONLY)))))
      await Promise.all(names.map((name) => this.#durable(() => name.length === 2
        ? sys.openat(folders.blobs, name, sys.Open.RDONLY | sys.Open.DIRECTORY)
        : sys.openat(folders.root, name, sys.Open.RDONLY | sys.Open.DIRECTORY))))
    } catch (e) {
      this.#failed = e
      throw e
    }
  }
  async statfs(): Promise<StatFs> { return statfsOf((await this.#open()).root) }
  async #durable(open: () => number): Promise<void> {
    let fd: number
    try { fd = open() } catch (e) {
      if (isErrno(e, 'ENOENT')) return                    // dropped since
      throw e
    }
    try { await this.brick.pooled((done) => fs.fsync(fd, done)) } finally { sys.close(fd) }
  }

  close(): void {
    for (const name of [...this.#held.keys()]) this.#letGo(name)
    if (!this.#folders) return
    for (const fd of Object.values(this.#folders) as number[]) sys.close(fd)
    this.#folders = undefined
  }

  #in<T>(use: (folders: Folders) => Awaitable<T>): Awaitable<T> { return this.#folders ? use(this.#folders) : this.#open().then(use) }
  /** use() of the folder that a blob of this name is in. */
  #fanned<T>(name: string, make: boolean, use: (folder: number) => T): T {
    const { blobs } = this.#folders!, fan = name.slice(0, 2), flags = sys.Open.PATH | sys.Open.DIRECTORY | sys.Open.NOFOLLOW
    let folder: number
    try { folder = sys.openat(blobs, fan, flags) } catch (e) {
      if (!make || !isErrno(e, 'ENOENT')) throw e
      if (mkdir(blobs, fan)) this.#names.add('blobs')
      folder = sys.openat(blobs, fan, flags)
    }
    try { return use(folder) } finally { sys.close(folder) }
  }
  #temporary(): string { return `${process.pid}-${this.#count++}-${randomBytes(6).toString('hex')}` }
  #entries(fd: number): Promise<string[]> { return this.brick.pooled((done) => fs.readdir(`/proc/self/fd/${fd}`, done)) }
  #read(fd: number, into: Uint8Array, offset: number): Awaitable<Uint8Array> { return readAt(fd, this.brick.root.device, this.brick.pooled, into, offset) }
  #write(fd: number, parts: readonly Uint8Array[], size: number): Awaitable<void> {
    if (size > LONG) return this.#writeLong(fd, parts, size)
    let at = 0
    for (const part of parts) for (let from = 0; from < part.length;) {
      const wrote = sys.pwrite(fd, from === 0 ? part : part.subarray(from), at)
      if (wrote === 0) throw errno('ENOSPC', 'put')
      from += wrote
      at += wrote
    }
  }
  async #writeLong(fd: number, parts: readonly Uint8Array[], size: number): Promise<void> {
    let rest = parts.filter((part) => part.length > 0)
    for (let at = 0; at < size;) {
      const some = rest.slice(0, 512)                     // IOV_MAX is 1024
      let wrote = await this.brick.pooled<number>((done) => fs.writev(fd, some, at, done))
      if (wrote === 0) throw errno('ENOSPC', 'put')
      at += wrote
      let whole = 0
      while (whole < some.length && wrote >= some[whole]!.length) wrote -= some[whole++]!.length
      rest = rest.slice(whole)
      if (wrote > 0) rest[0] = rest[0]!.subarray(wrote)
    }
  }

  #open(): Promise<Folders> { return this.#folders ? Promise.resolve(this.#folders) : this.#opening ??= this.#openAnew().finally(() => { this.#opening = undefined }) }
  async #openAnew(): Promise<Folders> {
    const { brick } = this, root = sys.reopenDirectory(brick.root.access())
    const open = [root]
    try {
      const marked = sys.statIfAny(root, MARKER)
      if (marked) checkMarker(root, brick.path)
      else await this.#checkEmpty(root)
      const [blobs, records, temporary] = ['blobs', 'records', 'temporary'].map((name) => {
        mkdir(root, name)
        open.push(sys.openat(root, name, sys.Open.RDONLY | sys.Open.DIRECTORY | sys.Open.NOFOLLOW))
        return open.at(-1)!
      }) as [number, number, number]
      if (!marked) await this.#mark(root, temporary)
      await this.#sweep(temporary)
      brick.root.store = true
      return this.#folders = { root, blobs, records, temporary }
    } catch (e) {
      for (const fd of open) sys.close(fd)
      throw e
    }
  }
  /** Files of somebody's are not to be mixed with ours; what an earlier start left unmarked is ours. */
  async #checkEmpty(root: number): Promise<void> {
    for (const name of await this.#entries(root)) {
      if (name === 'lost+found') continue
      const ours = name === 'blobs' || name === 'records' || name === 'temporary'
      if (!ours) throw errno('ENOTEMPTY', `blobs: ${this.brick.path} holds files already, and blobs want a folder of their own`)
    }
  }
  async #mark(root: number, temporary: number): Promise<void> {
    const name = this.#temporary(), fd = create(temporary, name)
    await guarded(fd, async () => {
      sys.pwrite(fd, Buffer.from(`ninefold blobs\nversion ${VERSION}\nid ${randomBytes(16).toString('hex')}\n`), 0)
      await this.brick.pooled((done) => fs.fsync(fd, done))
    })
    sys.renameat(temporary, name, root, MARKER)
    await this.brick.pooled((done) => fs.fsync(root, done))
  }
  async #sweep(temporary: number): Promise<void> {
    for (const name of await this.#entries(temporary)) {
      if (sys.statIfAny(temporary, name) && stat.mtimeSec * 1000 < Date.now() - STALE) remove(temporary, name)
    }
  }
}

function readRecord(records: number, name: string): Uint8Array {
  const fd = sys.openat(records, name, sys.Open.RDONLY | sys.Open.NOFOLLOW | sys.Open.NONBLOCK)
  try {
    sys.statFd(fd)
    const bytes = new Uint8Array(Math.min(stat.size, MAX_RECORD))
    return bytes.subarray(0, bytes.length ? sys.pread(fd, bytes, 0) : 0)
  } finally { sys.close(fd) }
}
function checkMarker(root: number, path: string): void {
  const text = Buffer.from(readRecord(root, MARKER)).toString('latin1')
  const version = /^ninefold blobs\nversion (\d+)\nid [0-9a-f]{32}\n$/.exec(text)?.[1]
  if (version === undefined) throw errno('EIO', `blobs: ${path}/${MARKER} is damaged`)
  if (Number(version) !== VERSION) throw errno('EIO', `blobs: ${path} has format version ${version}, and this build reads ${VERSION}. Use a later build.`)
}

function create(folder: number, name: string): number { return sys.openat(folder, name, sys.Open.RDWR | sys.Open.CREAT | sys.Open.EXCL | sys.Open.NOFOLLOW, 0o600) }
function remove(folder: number, name: string): void { try { sys.unlinkat(folder, name, 0) } catch { /* an hour later the next start sweeps it */ } }
/** Whether it was made now. */
function mkdir(folder: number, name: string): boolean {
  try { sys.mkdirat(folder, name, 0o700) } catch (e) {
    if (isErrno(e, 'EEXIST')) return false
    throw e
  }
  return true
}
/** use(), after which fd is closed, and undone where it failed. */
function guarded<T>(fd: number, use: () => Awaitable<T>, undo?: () => void): Awaitable<T> {
  const failed = (e: unknown): never => {
    sys.close(fd)
    undo?.()
    throw e
  }
  let value: Awaitable<T>
  try { value = use() } catch (e) { return failed(e) }
  if (value instanceof Promise) return value.then((v) => { sys.close(fd); return v }, failed)
  sys.close(fd)
  return value
}
/** use() while no other process, and no other instance, changes a record. EAGAIN: one holds on to the lock for seconds. */
async function locked<T>(fd: number, use: () => T): Promise<T> {
  for (let tries = 0; !sys.tryLock(fd); tries++) {
    if (tries === 2000) throw errno('EAGAIN', 'records')
    await new Promise((resolve) => { setTimeout(resolve, 1) })
  }
  try { return use() } finally { sys.unlock(fd) }
}
