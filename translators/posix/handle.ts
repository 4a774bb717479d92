// Open files and directories. Reads and writes of what is in memory are answered in the turn they are asked in; what may
// wait for a device goes through the thread pool. How it is known which is which: Device.reads.

import * as fs from 'node:fs'
import { errno, isErrno, nameOfBytes, O, S, type Attr, type SetAttr } from 'ninep'
import * as sys from '../sys.ts'
import { stat } from '../sys.ts'
import type { Awaitable, Call, DirSink, Handle } from '../translator.ts'
import type { Inode } from './inode.ts'
import { setattr } from './node.ts'
import { readAt, type Pooled } from './reads.ts'

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
    inode.unref()
    if (inode.device.local) return sys.close(fd)
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

/** Entries are read this many bytes at a time: what a sink does not take is read again. */
const entries = Buffer.alloc(8192)
const words = new BigInt64Array(entries.buffer, entries.byteOffset, entries.length / 8)

export class DirectoryHandle extends OpenFile {
  /** The cookie at which the kernel stands. */
  #at: bigint | undefined
  read(): never { throw errno('EISDIR', 'read') }
  write(): never { throw errno('EBADF', 'write') }
  setattr(attr: SetAttr): void {
    sys.statFd(this.fd)
    setattr(this.inode, this.fd, false, attr)
  }

  readdir(cookie: bigint, sink: DirSink, mask: number): boolean {
    const { inode, fd } = this
    if (inode.brick.isStore(inode)) return true
    if (cookie === 0n || cookie !== this.#at) sys.seek(fd, cookie)
    this.#at = undefined                                  // until it is known again
    let last = cookie
    for (;;) {
      const size = sys.getdents(fd, entries)
      if (size === 0) {
        this.#at = last
        return true
      }
      for (let at = 0; at < size;) {
        const length = entries[at + 16]! | entries[at + 17]! << 8, next = words[(at >> 3) + 1]!
        let end = Math.max(at + 19, at + length - 8)      // records are padded to 8 bytes: the name ends in the last ones
        while (entries[end] !== 0) end++
        if (!isDots(at + 19, end) && !this.#offer(at, end, next, sink, mask)) return false
        last = next
        at += length
      }
    }
  }
  /** false: the sink is full. */
  #offer(at: number, end: number, cookie: bigint, sink: DirSink, mask: number): boolean {
    const { inode } = this, name = entries.subarray(at + 19, end), type = entries[at + 18]!
    const path = BigInt.asUintN(64, words[at >> 3]!)
    if (mask === 0 && !(inode.brick.owner.disguises && type === 8)) return sink.add(path, type, cookie, name)
    const text = nameOfBytes(entries, at + 19, end), found = this.#lookUp(text)
    if (!found) return true                               // it has gone since
    try { return sink.add(path, found.type >> 12, cookie, text, mask ? found.attr(mask) : undefined) } finally { found.unref() }
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

function isDots(at: number, end: number): boolean {
  return entries[at] === 0x2e && (end - at === 1 || (end - at === 2 && entries[at + 1] === 0x2e))
}
