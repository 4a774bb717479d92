// The running translator: one exported directory, and all that is in use below it.

import * as fs from 'node:fs'
import { codeOf, errno, S } from 'ninep'
import * as sys from '../sys.ts'
import { stat } from '../sys.ts'
import type { Log } from '../options.ts'
import type { Awaitable, Blobs, Node, Translator } from '../translator.ts'
import { MARKER, PosixBlobs } from './blobs.ts'
import type { Descriptors } from './descriptors.ts'
import { Device } from './device.ts'
import { Inode } from './inode.ts'
import { PosixNode } from './node.ts'
import type { Ownership } from './owner.ts'
import { MUCH, type Pooled } from './waits.ts'

/** How many calls of one brick may be in the thread pool: half of the 32 threads that the launcher asks for. */
const LANES = 16

export class Brick implements Translator {
  readonly name = 'posix'
  readonly root: Inode
  /** Whether files can be opened by their handle: root may. */
  readonly byHandle: boolean
  #devices = new Map<number, Device>()
  #blobs: PosixBlobs | undefined
  #closed = false

  constructor(readonly path: string, readonly owner: Ownership, readonly descriptors: Descriptors, readonly devices: boolean, readonly hostCaps: boolean, readonly log: Log) {
    const fd = sys.openPath(path, sys.Open.PATH | sys.Open.DIRECTORY)
    sys.statFd(fd)
    const device = this.#device(fd)
    this.root = new Inode(this, device, S.IFDIR)
    this.root.refs = 1                                    // for good: it is never parked
    this.root.fd = fd
    descriptors.keep()
    device.inodes.set(this.root.ino, this.root)
    this.byHandle = mayOpenByHandle(device, fd)
  }

  attach(aname: string): Node {
    if (aname !== '' && aname !== '/') throw errno('ENOENT', 'attach', aname)
    if (this.isStore(this.root)) throw errno('EBUSY', `attach: ${this.path} is a store of blobs, not a folder of files`)
    return new PosixNode(this, this.root.ref())
  }
  blobs(): Blobs { return this.#blobs ??= new PosixBlobs(this) }
  async sync(): Promise<void> { await Promise.all(Array.from(this.#devices.values(), (device) => device.sync())) }
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.sync()
    this.#blobs?.close()
    for (const device of this.#devices.values()) {
      device.close()
      this.descriptors.release()
    }
    this.root.close()
    this.descriptors.close()
  }
  async [Symbol.asyncDispose](): Promise<void> { await this.close() }

  /** Whether the directory holds blobs, and shows no files. */
  isStore(directory: Inode): boolean {
    if (directory.store !== undefined) return directory.store
    const there = sys.statIfAny(directory.access(), MARKER)
    return directory.store = there && (stat.mode & S.IFMT) === S.IFREG && stat.uid === process.geteuid!()
  }

  #device(fd: number): Device {
    const number = stat.device
    let device = this.#devices.get(number)
    if (!device) {
      this.#devices.set(number, device = new Device(number, fd, (stat.mode & S.IFMT) === S.IFDIR))
      this.descriptors.keep()
    }
    return device
  }

  /** The file that `name` is now in the directory that dir and parent are. */
  reach(dir: number, parent: Inode, name: string): Inode {
    const fd = sys.openat(dir, name, sys.Open.PATH | sys.Open.NOFOLLOW)
    try { sys.statFd(fd) } catch (e) {
      sys.close(fd)
      throw e
    }
    return this.inode(fd, parent, name)
  }
  /** The file of an O_PATH descriptor, which it takes, and which `stat` describes; found as `name` in `parent`, or somehow (null). */
  inode(fd: number, parent: Inode | null, name: string): Inode {
    const inode = this.find(fd) ?? this.make(fd)
    if (inode.fd >= 0) sys.close(fd)
    else {
      this.descriptors.makeRoom()
      inode.adopt(fd)
    }
    if (parent) inode.bind(parent, name)
    else inode.pin()
    return inode
  }
  /** The file in use that `stat` and fd describe. */
  find(fd: number): Inode | undefined {
    const inode = this.#devices.get(stat.device)?.inodes.get(stat.ino)
    if (!inode || inode.open || inode.matches(fd)) return inode
    inode.unbind()                                        // its number is another file's now
    return undefined
  }
  make(fd: number): Inode {
    const device = this.#device(fd)
    const inode = new Inode(this, device, this.owner.type(fd))
    device.inodes.set(inode.ino, inode)
    return inode
  }

  /** Closes what may be the last of an unlinked file: to free much takes long, and goes to the thread pool. */
  closeLast(fd: number): Awaitable<void> {
    sys.statFd(fd)
    if (stat.nlink > 0 || stat.blocks < MUCH) return sys.close(fd)
    return this.pooled((done) => fs.close(fd, done))
  }

  /** change(), which may take the last name of an entry of a directory ('' for one that is in use): if that is large, it is freed apart. */
  losing(dir: number, name: string, change: () => void): Awaitable<void> {
    if (name === '' || !sys.statIfAny(dir, name) || stat.blocks < MUCH) return change()
    const fd = sys.openat(dir, name, sys.Open.PATH | sys.Open.NOFOLLOW)
    try { change() } catch (e) {
      sys.close(fd)
      throw e
    }
    return this.closeLast(fd)
  }

  #running = 0
  #waiting: (() => void)[] = []
  /** At most LANES at a time. What fails is an errno. */
  readonly pooled: Pooled = (work) => new Promise((resolve, reject) => {
    const run = () => work((error, value) => {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#running--
      if (error) reject(error.errno === undefined ? error : errno(codeOf(-error.errno), error.syscall ?? 'call', undefined, error))
      else resolve(value!)
    })
    if (this.#running === LANES) return void this.#waiting.push(run)
    this.#running++
    run()
  })
}

function mayOpenByHandle(device: Device, fd: number): boolean {
  try {
    const handle = sys.handleOf(fd)
    if (!handle || device.root < 0) return false
    fs.closeSync(sys.openHandle(device.root, handle))
    return true
  } catch { return false }
}
