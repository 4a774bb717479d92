// What is made up rather than stored. A node of a tree that can only be read starts from SyntheticNode, which refuses all
// that it does not override; a translator that is one file says by a Face what reading and writing it means.

import { Attrs, NAME_MAX, O, QT, S, errno, qidType } from 'ninep'
import type { Attr, Qid, SetAttr, StatFs, Time } from 'ninep'
import { now } from './clock.ts'
import { after } from './forward.ts'
import { int } from './options.ts'
import type { Env } from './options.ts'
import type { Awaitable, Call, Created, DirSink, Handle, Node, Translator, Volume } from './translator.ts'

const EMPTY = new Uint8Array(0)
const refuse = (op: string) => (): never => { throw errno('EROFS', op) }
const unsupported = (op: string) => (): never => { throw errno('EOPNOTSUPP', op) }

/** Attributes of what is made up: those given, and for the others what is true of a file that takes no space. */
export function syntheticAttr(qid: Qid, mode: number, time: Time, more: Partial<Attr> = {}): Attr {
  return {
    valid: Attrs.BASIC | Attrs.GEN, qid, mode, uid: 0, gid: 0, nlink: qid.type & QT.DIR ? 2 : 1, rdev: 0n, size: 0, blksize: 4096, blocks: 0,
    atime: time, mtime: time, ctime: time, btime: time, gen: 0n, dataVersion: 0n, ...more,
  }
}

/** A node that changes nothing and refuses to be changed: EROFS. */
export abstract class SyntheticNode implements Node {
  abstract readonly volume: Volume
  abstract readonly qid: Qid
  abstract getattr(mask: number): Awaitable<Attr>
  abstract open(flags: number, call?: Call): Awaitable<Handle>
  walk(name: string): Awaitable<Node> { throw errno('ENOTDIR', 'walk', name) }
  parent(): Awaitable<Node> { throw errno('ENOTDIR', 'parent') }
  readlink(): Awaitable<string> { throw errno('EINVAL', 'readlink') }
  statfs(): Awaitable<StatFs> { return { type: 0x01021997, bsize: 4096, blocks: 0, bfree: 0, bavail: 0, files: 0, ffree: 0, fsid: 0n, namelen: NAME_MAX } }
  listxattr(): Awaitable<string[]> { return [] }
  getxattr(name: string): Awaitable<Uint8Array> { throw errno('ENODATA', 'getxattr', name) }
  close(): Awaitable<void> {}
  at: (snapshot: string) => Awaitable<Node> = unsupported('at')
  setattr: (attr: SetAttr) => Awaitable<void> = refuse('setattr')
  create: (...a: never) => Created = refuse('create')
  mkdir = refuse('mkdir')
  symlink = refuse('symlink')
  mknod = refuse('mknod')
  link = refuse('link')
  renameat = refuse('renameat')
  unlinkat = refuse('unlinkat')
  setxattr = refuse('setxattr')
  removexattr = refuse('removexattr')
  async [Symbol.asyncDispose](): Promise<void> { await this.close() }
}

/** A node of that kind opened: what is not overridden can't be done with it. */
export abstract class SyntheticHandle implements Handle {
  constructor(readonly node: SyntheticNode) {}
  read(_into: Uint8Array, _offset: number, _call?: Call): Awaitable<Uint8Array> { throw errno(this.node.qid.type & QT.DIR ? 'EISDIR' : 'EBADF', 'read') }
  write(_bytes: Uint8Array, _offset: number, _call?: Call): Awaitable<number> { throw errno('EBADF', 'write') }
  readdir(_cookie: bigint, _sink: DirSink, _mask: number, _call?: Call): Awaitable<boolean> { throw errno('ENOTDIR', 'readdir') }
  getattr(mask: number): Awaitable<Attr> { return this.node.getattr(mask) }
  setattr(attr: SetAttr): Awaitable<void> { return this.node.setattr(attr) }
  fsync(): Awaitable<void> {}
  close(): Awaitable<void> {}
  async [Symbol.asyncDispose](): Promise<void> { await this.close() }
}

/** Refuses what can't be opened so: writing (EISDIR for a directory, else EROFS), a symbolic link (ELOOP), and a file as a directory. */
export function mayOnlyRead(qid: Qid, flags: number): void {
  const directory = (qid.type & QT.DIR) !== 0
  if ((flags & O.ACCMODE) !== O.RDONLY || flags & O.TRUNC) throw errno(directory ? 'EISDIR' : 'EROFS', 'open')
  if (qid.type & QT.SYMLINK) throw errno('ELOOP', 'open')
  if (flags & O.DIRECTORY && !directory) throw errno('ENOTDIR', 'open')
}

/** What one open file gives and takes. Its methods are a Handle's. */
export interface Stream {
  read(into: Uint8Array, offset: number, call?: Call): Awaitable<Uint8Array>
  write(bytes: Uint8Array, offset: number, call?: Call): Awaitable<number>
  close?(): void
}
/** A file that is made up. size: bytes, as far as there is an end. writable: false refuses to be opened for it. */
export interface Face {
  readonly size: number
  readonly writable: boolean
  open(flags: number, call?: Call): Awaitable<Stream>
  close?(): void
}

/** The option of those that are written to: who may. */
export const modeOption = int({ about: 'permission bits of the file', max: 0o777, default: 0o666 })

/** A translator that is one file. Its owner is the server's user, or that of the node that it is recorded on; chmod, chown and times last as long as it runs. */
export class FileTranslator implements Translator {
  readonly volume: Volume
  readonly qid: Qid
  attr: Attr
  constructor(readonly name: string, { name: instance, owner }: Env, mode: number, readonly face: Face) {
    this.volume = { label: `${name}:${instance}` }
    this.qid = { type: qidType(S.IFREG), version: 0, path: 1n }
    this.attr = syntheticAttr(this.qid, S.IFREG | mode, now(), { ...owner ?? { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }, size: face.size })
  }
  attach(aname: string): Node {
    if (aname !== '' && aname !== '/') throw errno('ENOENT', 'attach', aname)
    return new FileNode(this)
  }
  sync(): void {}
  close(): void { this.face.close?.() }
  async [Symbol.asyncDispose](): Promise<void> { this.close() }
}

class FileNode extends SyntheticNode {
  constructor(readonly file: FileTranslator) { super() }
  get volume(): Volume { return this.file.volume }
  get qid(): Qid { return this.file.qid }
  override getattr(): Attr { return this.file.attr }
  override open(flags: number, call?: Call): Awaitable<Handle> {
    const { face } = this.file
    if (flags & O.DIRECTORY) throw errno('ENOTDIR', 'open')
    if (!face.writable) mayOnlyRead(this.qid, flags)
    return after(face.open(flags, call), (stream) => new FileHandle(this, stream, flags & O.ACCMODE))
  }
  /** A size is taken and means nothing: that is what `> file` needs. */
  override setattr = ({ mode, uid, gid, size, atime, mtime }: SetAttr): void => {
    const { file } = this, { attr } = file, time = now()
    if (size !== undefined && !file.face.writable) throw errno('EROFS', 'setattr')
    file.attr = {
      ...attr, mode: mode === undefined ? attr.mode : S.IFREG | (mode & 0o7777), uid: uid ?? attr.uid, gid: gid ?? attr.gid, ctime: time,
      atime: atime === 'now' ? time : atime ?? attr.atime, mtime: mtime === 'now' ? time : mtime ?? attr.mtime,
    }
  }
}

class FileHandle extends SyntheticHandle {
  constructor(node: FileNode, readonly stream: Stream, readonly mode: number) { super(node) }
  override read(into: Uint8Array, offset: number, call?: Call): Awaitable<Uint8Array> {
    if (this.mode === O.WRONLY) throw errno('EBADF', 'read')
    return into.length === 0 ? EMPTY : this.stream.read(into, offset, call)
  }
  override write(bytes: Uint8Array, offset: number, call?: Call): Awaitable<number> {
    if (this.mode === O.RDONLY) throw errno('EBADF', 'write')
    return this.stream.write(bytes, offset, call)
  }
  override close(): void { this.stream.close?.() }
}
