// Open files and directories. Reads and writes of what is in memory are answered in the turn they are asked in; what may
// wait for a device goes through the thread pool. How it is known which is which: Device.reads.

import * as fs from 'node:fs'
import { Attrs, direntType, errno, isErrno, nameOfBytes, O, S, type Attr, type SetAttr } from 'ninep'
import * as sys from '../sys.ts'
import { stat } from '../sys.ts'
import type { Awaitable, Call, DirSink, Handle } from '../translator.ts'
import { attrOf, qidOf, type Inode } from './inode.ts'
import { readAt, type Pooled } from './waits.ts'
import { setattr } from './setattr.ts'

/** Writes up to this go to the page cache at once; longer ones are worth a thread. */
const LONG = 2 ** 20

abstract class OpenFile implements Handle {
  #using = 0
  #closed = false
  #closing: (() => void) | undefined
  /** Takes a descriptor, that was reserved for it. */
  constructor(readonly inode: Inode, protected readonly fd: number) {
    inode.ref().opened(fd)
  }
  abstract read(into: Uint8Array, offset: number, call?: Call): Awaitable<Uint8Array>
  abstract write(bytes: Uint8Array, offset: number, call?: Call): Awaitable<number>
  abstract readdir(cookie: bigint, sink: DirSink, mask: number, call?: Call): Awaitable<boolean>
  abstract setattr(attr: SetAttr): void

  getattr(mask: number): Attr { return this.inode.attr(mask, this.fd) }
  /** The kernel tells a failed write-back once to each open file: so does this. */
  fsync(dataOnly: boolean): Promise<void> {
    return this.pooled((done) => dataOnly ? fs.fdatasync(this.fd, done) : fs.fsync(this.fd, done))
  }
  /** In the thread pool; the descriptor stays open until then. */
  protected readonly pooled: Pooled = async (work) => {
    this.#using++
    try { return await this.inode.brick.pooled(work) } finally { if (--this.#using === 0) this.#closing?.() }
  }
  close(): Awaitable<void> {
    if (this.#closed) return
    this.#closed = true
    if (this.#using === 0) return this.#end()
    return new Promise((resolve) => { this.#closing = () => resolve(this.#end()) })
  }
  #end(): Awaitable<void> {
    const { inode, fd } = this, { brick } = inode
    inode.closing(fd)
    brick.descriptors.release()
    const unlinked = inode.parent === null
    const last = inode.unref()
    if (last instanceof Promise) return last.then(() => brick.closeLast(fd))
    if (inode.device.local) return unlinked ? brick.closeLast(fd) : sys.close(fd)
    return brick.pooled<void>((done) => fs.close(fd, done))   // NFS and the like flush here
  }
  async [Symbol.asyncDispose](): Promise<void> { await this.close() }
}

export class FileHandle extends OpenFile {
  readonly #readable: boolean
  readonly #writable: boolean
  /** FIFOs and character devices: no offsets. */
  readonly #stream: boolean
  /** Each write waits for the device. */
  readonly #durable: boolean
  constructor(inode: Inode, fd: number, flags: number) {
    super(inode, fd)
    const access = flags & O.ACCMODE
    this.#readable = access === O.RDONLY || access === O.RDWR
    this.#writable = access === O.WRONLY || access === O.RDWR
    this.#stream = inode.type === S.IFIFO || inode.type === S.IFCHR
    this.#durable = (flags & O.DSYNC) !== 0
  }

  read(into: Uint8Array, offset: number): Awaitable<Uint8Array> {
    if (!this.#readable) throw errno('EBADF', 'read')
    if (this.#stream) return into.subarray(0, sys.read(this.fd, into))
    return readAt(this.fd, this.inode.device, this.pooled, into, offset)
  }

  write(bytes: Uint8Array, offset: number): Awaitable<number> {
    if (!this.#writable) throw errno('EBADF', 'write')
    if (bytes.length === 0) return 0
    if (this.#stream) return sys.write(this.fd, bytes)
    if (offset + bytes.length > Number.MAX_SAFE_INTEGER) throw errno('EFBIG', 'write')
    if (bytes.length <= LONG && !this.#durable) return this.#wrote(sys.pwrite(this.fd, bytes, offset))
    return this.pooled<number>((done) => fs.write(this.fd, bytes, 0, bytes.length, offset, done)).then((wrote) => this.#wrote(wrote))
  }
  #wrote(count: number): number {
    if (count === 0) throw errno('ENOSPC', 'write')       // 0 would be asked again, for ever
    this.inode.written()
    return count
  }
  readdir(): never { throw errno('ENOTDIR', 'readdir') }
  setattr(attr: SetAttr): void {
    if (attr.size !== undefined && !this.#writable) throw errno('EINVAL', 'truncate')
    sys.statFd(this.fd)
    setattr(this.inode, this.fd, true, attr)
  }
}

/** What getdents fills: linux_dirent64 records, whose numbers are aligned. */
interface Records { readonly bytes: Buffer; readonly words: BigInt64Array }
function records(size: number): Records {
  const bytes = Buffer.allocUnsafeSlow(size)
  return { bytes, words: new BigInt64Array(bytes.buffer, 0, size / 8) }
}
/** Entries are read this many bytes at a time: what a sink does not take is read again. */
const some = records(8192)

export class DirectoryHandle extends OpenFile {
  /** The cookie at which the kernel stands. */
  #at: bigint | undefined
  /** The directory as it was at the start, on a device that is not steady. */
  #list: { from: Records; starts: number[] } | undefined
  read(): never { throw errno('EISDIR', 'read') }
  write(): never { throw errno('EBADF', 'write') }
  setattr(attr: SetAttr): void {
    sys.statFd(this.fd)
    setattr(this.inode, this.fd, false, attr)
  }

  readdir(cookie: bigint, sink: DirSink, mask: number): boolean {
    const { inode, fd } = this
    if (inode.brick.isStore(inode)) return true
    if (!inode.device.steady) return this.#readList(cookie, sink, mask)
    if (cookie === 0n || cookie !== this.#at) sys.seek(fd, cookie)
    this.#at = undefined                                  // until it is known again
    let last = cookie
    for (;;) {
      const size = sys.getdents(fd, some.bytes)
      if (size === 0) {
        this.#at = last
        return true
      }
      for (let at = 0; at < size; at += lengthOf(some, at)) {
        const next = some.words[(at >> 3) + 1]!
        if (!this.#offer(some, at, next, sink, mask)) return false
        last = next
      }
    }
  }
  /** Where cookies of the kernel's do not hold, the whole is read at the start, and ours count along that. */
  #readList(cookie: bigint, sink: DirSink, mask: number): boolean {
    if (cookie === 0n || !this.#list) this.#list = this.#readWhole()
    const { from, starts } = this.#list
    for (let i = Number(cookie); i < starts.length; i++) if (!this.#offer(from, starts[i]!, BigInt(i + 1), sink, mask)) return false
    return true
  }
  #readWhole(): { from: Records; starts: number[] } {
    sys.seek(this.fd, 0n)
    const parts: Buffer[] = []
    for (let size; (size = sys.getdents(this.fd, some.bytes)) > 0;) parts.push(Buffer.from(some.bytes.subarray(0, size)))
    const from = records(parts.reduce((sum, part) => sum + part.length, 0)), starts: number[] = []
    let end = 0
    for (const part of parts) end += part.copy(from.bytes, end)
    for (let at = 0; at < end; at += lengthOf(from, at)) starts.push(at)
    return { from, starts }
  }
  /** The entry at `at`, unless it is a dot. false: the sink is full. */
  #offer(from: Records, at: number, cookie: bigint, sink: DirSink, mask: number): boolean {
    const { inode } = this, { bytes, words } = from, start = at + 19
    let end = Math.max(start, at + lengthOf(from, at) - 8)   // records are padded to 8 bytes: the name ends in the last ones
    while (bytes[end] !== 0) end++
    if (bytes[start] === 0x2e && (end - start === 1 || (end - start === 2 && bytes[start + 1] === 0x2e))) return true
    const type = bytes[at + 18]!
    if (mask === 0 && !(inode.brick.owner.disguises && type === 8)) return sink.add(BigInt.asUintN(64, words[at >> 3]!), type, cookie, bytes.subarray(start, end))
    const text = nameOfBytes(bytes, start, end)
    if (!inode.brick.owner.disguises && !(mask & (Attrs.GEN | Attrs.ACL))) {
      if (!sys.statIfAny(this.fd, text)) return true      // it has gone since
      const known = stat.device === inode.device.number ? inode.device.inodes.get(stat.ino) : undefined
      known?.noteVersion()
      const attr = attrOf(known?.qid ?? qidOf())
      return sink.add(attr.qid.path, direntType(attr.mode), cookie, text, attr)
    }
    const found = this.#lookUp(text)
    if (!found) return true
    try { return sink.add(found.path, found.type >> 12, cookie, text, mask ? found.attr(mask) : undefined) } finally { void found.unref() }
  }
  #lookUp(name: string): Inode | undefined {
    const { brick } = this.inode
    brick.descriptors.makeRoom()
    try { return brick.reach(this.fd, this.inode, name).ref() } catch (e) {
      if (isErrno(e, 'ENOENT') || isErrno(e, 'ESTALE')) return undefined
      throw e
    }
  }
}

function lengthOf({ bytes }: Records, at: number): number { return bytes[at + 16]! | bytes[at + 17]! << 8 }
