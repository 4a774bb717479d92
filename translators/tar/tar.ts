// A tar archive as a tree to read. Its index is made once, by reading headers and passing over data; bytes are read where they
// stand. Attributes that few files have, and the maps of sparse ones, are read again when they are asked for.

import { Attrs, NAME_MAX, O, S, direntType, errno, qidType } from 'ninep'
import type { Attr, Qid, StatFs } from 'ninep'
import { int, text, translator } from '../options.ts'
import type { Log } from '../options.ts'
import { SyntheticHandle, SyntheticNode, mayOnlyRead } from '../synthetic.ts'
import type { Awaitable, Call, DirSink, Handle, Node, Translator, Volume } from '../translator.ts'
import { readMember } from './header.ts'
import type { Member, Source } from './header.ts'
import { scan, sourceOf } from './scan.ts'
import { extentsOf, pieceAt } from './sparse.ts'
import type { Extents } from './sparse.ts'
import { NONE } from './table.ts'
import type { Table } from './table.ts'

export const tar = translator({
  name: 'tar',
  about: 'A tar archive below as a tree, to read: ustar, pax, GNU and star.',
  children: 1,
  concurrent: true,
  options: {
    file: text({ about: 'where in the child the archive is; none: the child is the archive itself', positional: true, default: '/' }),
    members: int({ about: 'files it may hold, at some 120 bytes of memory each', min: 1, max: 2 ** 30, default: 4_000_000 }),
  },
  async start({ file, members }, [child], env) {
    const node = await find(child, file)
    try {
      if (node.qid.type !== 0) throw new Error(`tar: ${file} is no regular file of the child`)
      const handle = await node.open(O.RDONLY)
      try {
        const { size } = await handle.getattr(Attrs.SIZE)
        const { table, left, leftOut } = await scan(sourceOf(handle, size), size, members).catch((e: Error) => { throw new Error(`tar: ${file}: ${e.message}`, { cause: e }) })
        if (leftOut > 0) env.log.warn({ translator: env.name, left, count: leftOut }, 'some of the archive has no place in a tree')
        return new Tar(child, handle, size, table, env.name, env.log)
      } catch (e) {
        await handle.close()
        throw e
      }
    } finally { await node.close() }
  },
})

/** A file below, by its path. Errors are ENOENT and such. */
async function find(child: Translator, path: string): Promise<Node> {
  let node = await child.attach('')
  for (const name of path.split('/').filter((name) => name !== '' && name !== '.')) {
    if (name === '..') { await node.close(); throw errno('EINVAL', 'tar: a path with ".."', path) }
    const from = node
    try { node = await from.walk(name) } finally { await from.close() }
  }
  return node
}

class Tar implements Translator {
  readonly name = 'tar'
  readonly volume: Volume
  constructor(readonly child: Translator, readonly archive: Handle, readonly size: number, readonly table: Table, instance: string, readonly log: Log) {
    this.volume = { label: `tar:${instance}` }
  }
  attach(aname: string): Node {
    if (aname !== '' && aname !== '/') throw errno('ENOENT', 'attach', aname)
    return new TarNode(this, 0)
  }
  sync(): Awaitable<void> { return this.child.sync() }
  async close(): Promise<void> {
    try { await this.archive.close() } finally { await this.child.close() }
  }
  async [Symbol.asyncDispose](): Promise<void> { await this.close() }

  /** A file's headers, read again. EIO: they are not what they were. */
  async member(file: number): Promise<{ member: Member; source: Source }> {
    const source = sourceOf(this.archive, this.size)
    const member = await readMember(source, this.table.head.values[file]!, this.size, new Map()).catch((e: unknown) => { throw errno('EIO', 'tar: the archive changed', String(e)) })
    if (!member) throw errno('EIO', 'tar: the archive changed')
    return { member, source }
  }
}

class TarNode extends SyntheticNode {
  readonly qid: Qid
  constructor(readonly tar: Tar, readonly file: number) {
    super()
    this.qid = { type: qidType(tar.table.mode.values[file]!), version: 1, path: BigInt(file + 1) }
  }
  get volume(): Volume { return this.tar.volume }
  get mode(): number { return this.tar.table.mode.values[this.file]! }
  #is(type: number): boolean { return (this.mode & S.IFMT) === type }

  override walk(name: string): Node {
    const { tar, file } = this
    if (!this.#is(S.IFDIR)) throw errno('ENOTDIR', 'walk', name)
    const entry = tar.table.find(file, name)
    if (entry === NONE) throw errno('ENOENT', 'walk', name)
    return new TarNode(tar, tar.table.file.values[entry]!)
  }
  override parent(): Node {
    if (!this.#is(S.IFDIR)) throw errno('ENOTDIR', 'parent')
    return new TarNode(this.tar, this.tar.table.parent.values[this.file]!)
  }
  override getattr(): Attr {
    const { tar: { table }, file, qid } = this, time = { sec: table.sec.values[file]!, nsec: table.nsec.values[file]! }
    return {
      valid: Attrs.BASIC | Attrs.GEN, qid, mode: this.mode, uid: table.uid.values[file]!, gid: table.gid.values[file]!, nlink: table.nlink.values[file]!,
      rdev: BigInt(table.rdev.values[file]!), size: table.size.values[file]!, blksize: 4096, blocks: Math.ceil(table.stored.values[file]! / 512),
      atime: time, mtime: time, ctime: time, btime: time, gen: 0n, dataVersion: 0n,
    }
  }
  override open(flags: number): Awaitable<Handle> {
    mayOnlyRead(this.qid, flags)
    if (this.#is(S.IFDIR)) return new DirectoryHandle(this)
    if (!this.#is(S.IFREG)) throw errno('ENXIO', 'open')
    return (this.tar.table.flags.values[this.file]! & 1) === 0 ? new FileHandle(this) : this.#openSparse()
  }
  async #openSparse(): Promise<Handle> {
    const { member, source } = await this.tar.member(this.file)
    try { return new SparseHandle(this, await extentsOf(source, member)) } catch (e) { throw errno('EIO', 'open', (e as Error).message) }
  }
  override async readlink(): Promise<string> {
    if (!this.#is(S.IFLNK)) throw errno('EINVAL', 'readlink')
    return (await this.tar.member(this.file)).member.target
  }
  async #xattrs(): Promise<ReadonlyMap<string, Uint8Array>> {
    return (this.tar.table.flags.values[this.file]! & 2) === 0 ? new Map() : (await this.tar.member(this.file)).member.xattrs
  }
  override async listxattr(): Promise<string[]> { return [...(await this.#xattrs()).keys()] }
  override async getxattr(name: string): Promise<Uint8Array> {
    const value = (await this.#xattrs()).get(name)
    if (!value) throw errno('ENODATA', 'getxattr', name)
    return value
  }
  override statfs(): StatFs {
    const { tar: { size, table } } = this
    return { type: 0x01021997, bsize: 512, blocks: Math.ceil(size / 512), bfree: 0, bavail: 0, files: table.files, ffree: 0, fsid: 0n, namelen: NAME_MAX }
  }
}

class DirectoryHandle extends SyntheticHandle {
  constructor(override readonly node: TarNode) { super(node) }
  /** A cookie is the number of the entry before. */
  override readdir(cookie: bigint, sink: DirSink, mask: number): boolean {
    const { node: { tar, file } } = this, { table } = tar
    let entry = table.first.values[file]!
    if (cookie > 0n) {
      const before = Number(cookie) - 1
      if (before >= table.names || table.directory.values[before] !== file) throw errno('EINVAL', 'readdir', 'cookie')
      entry = table.next.values[before]!
    }
    for (; entry !== NONE; entry = table.next.values[entry]!) {
      const child = table.file.values[entry]!
      if (!sink.add(BigInt(child + 1), direntType(table.mode.values[child]!), BigInt(entry + 1), table.bytes(entry), mask ? new TarNode(tar, child).getattr() : undefined)) return false
    }
    return true
  }
}

class FileHandle extends SyntheticHandle {
  readonly #data: number
  readonly #size: number
  constructor(override readonly node: TarNode) {
    super(node)
    this.#data = node.tar.table.data.values[node.file]!
    this.#size = node.tar.table.size.values[node.file]!
  }
  override read(into: Uint8Array, offset: number, call?: Call): Awaitable<Uint8Array> {
    const length = Math.min(into.length, this.#size - offset)
    return length <= 0 ? into.subarray(0, 0) : there(this.node.tar.archive.read(into.subarray(0, length), this.#data + offset, call))
  }
}
/** EIO where bytes that the index knows of are gone. */
function there(got: Awaitable<Uint8Array>): Awaitable<Uint8Array> {
  if (got instanceof Promise) return got.then(there)
  if (got.length === 0) throw errno('EIO', 'read', 'the archive became shorter')
  return got
}

class SparseHandle extends SyntheticHandle {
  constructor(override readonly node: TarNode, readonly extents: Extents) { super(node) }
  override async read(into: Uint8Array, offset: number, call?: Call): Promise<Uint8Array> {
    const { node: { tar, file }, extents: { offsets, lengths, at } } = this
    const end = Math.min(offset + into.length, tar.table.size.values[file]!)
    let done = offset
    for (let i = pieceAt(this.extents, offset); done < end;) {
      const start = i < offsets.length ? offsets[i]! : end
      if (done < start) {
        into.fill(0, done - offset, Math.min(start, end) - offset)
        done = Math.min(start, end)
        continue
      }
      const stop = Math.min(start + lengths[i]!, end)
      while (done < stop) {
        const bytes = await there(tar.archive.read(into.subarray(done - offset, stop - offset), at[i]! + done - start, call))
        into.set(bytes, done - offset)
        done += bytes.length
      }
      i++
    }
    return into.subarray(0, Math.max(0, done - offset))
  }
}
