// This machine's side of a copy: files by descriptors, so that no link that is planted meanwhile leads elsewhere.

import { fstatSync, ftruncate, read, write } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { promisify } from 'node:util'
import { deviceNumber, deviceParts, nameOfBytes } from 'ninep'
import type { SetAttr } from 'ninep'
import * as sys from '../../translators/sys.ts'
import type { Place, Sink, Source, Stat } from './copy.ts'
import type { Drain, Fill } from './pump.ts'

const { Open } = sys
const readAt = promisify(read), writeAt = promisify(write), truncateTo = promisify(ftruncate)

export class Local implements Place {
  private constructor(readonly path: string, private readonly fd: number) {}

  /** A path of this machine. follow: a symbolic link at its end too. */
  static open(path: string, follow: boolean): Local { return new Local(path, sys.openPath(path, Open.PATH | (follow ? 0 : Open.NOFOLLOW))) }

  async walk(name: string): Promise<Local> { return new Local(`${this.path.replace(/\/$/, '')}/${name}`, sys.openat(this.fd, name, Open.PATH | Open.NOFOLLOW)) }
  async stat(): Promise<Stat> {
    const s = fstatSync(this.fd, { bigint: true })
    const time = (ns: bigint) => { const nsec = ((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n; return { sec: Number((ns - nsec) / 1_000_000_000n), nsec: Number(nsec) } }
    return {
      id: `${s.dev}:${s.ino}`, mode: Number(s.mode), uid: Number(s.uid), gid: Number(s.gid), nlink: Number(s.nlink), size: Number(s.size),
      blocks: Number(s.blocks), rdev: s.rdev, atime: time(s.atimeNs), mtime: time(s.mtimeNs),
    }
  }
  get isDirectory(): boolean { return fstatSync(this.fd).isDirectory() }
  async names(): Promise<string[]> {
    return (await readdir(`/proc/self/fd/${this.fd}`, { encoding: 'buffer' })).map((name) => nameOfBytes(name, 0, name.length))
  }
  async readlink(): Promise<string> { return sys.readlinkFd(this.fd) }
  async xattrs(): Promise<(readonly [string, Uint8Array])[]> {
    return fstatSync(this.fd).isSymbolicLink() ? [] : sys.listxattr(this.fd).map((name) => [name, sys.getxattr(this.fd, name)] as const)
  }

  async open(): Promise<Source> {
    const fd = sys.reopen(this.fd, Open.RDONLY)
    return { fill: filler(fd), close: async () => sys.close(fd) }
  }
  async create(name: string, mode: number): Promise<Sink> { return sinkOf(sys.openat(this.fd, name, Open.WRONLY | Open.CREAT | Open.TRUNC | Open.NOFOLLOW, mode)) }
  async mkdir(name: string, mode: number): Promise<void> { sys.mkdirat(this.fd, name, mode) }
  async symlink(name: string, target: string): Promise<void> { sys.symlinkat(target, this.fd, name) }
  async mknod(name: string, mode: number, rdev: bigint): Promise<void> {
    const { major, minor } = deviceParts(rdev)
    sys.mknodat(this.fd, name, mode, deviceNumber(major, minor))
  }
  async link(target: Local, name: string): Promise<void> { sys.linkFd(target.fd, this.fd, name) }
  async unlink(name: string): Promise<void> { sys.unlinkat(this.fd, name, 0) }

  async setattr({ mode, uid, gid, atime, mtime }: SetAttr): Promise<void> {
    if (uid !== undefined || gid !== undefined) sys.chown(this.fd, uid, gid)
    if (mode !== undefined) sys.chmod(this.fd, mode)
    if (atime !== undefined || mtime !== undefined) sys.utimens(this.fd, atime, mtime)
  }
  async setxattr(name: string, value: Uint8Array): Promise<void> { sys.setxattr(this.fd, name, value, 0) }
  async close(): Promise<void> { sys.close(this.fd) }
}

/** Reads an open descriptor where it is asked to. */
function filler(fd: number): Fill {
  return async (into, offset) => (await readAt(fd, into, 0, into.length, offset)).bytesRead
}
/** Writes to an open descriptor, and closes it. */
function sinkOf(fd: number): Sink {
  const drain: Drain = async (bytes, offset) => {
    for (let at = 0; at < bytes.length;) at += (await writeAt(fd, bytes, at, bytes.length - at, offset + at)).bytesWritten
  }
  return { drain, truncate: (size) => truncateTo(fd, size), close: async () => sys.close(fd) }
}
