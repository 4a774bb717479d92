// ninefold put and get.

import { basename, dirname, resolve } from 'node:path'
import { Attrs, deviceParts, errno, isErrno, O, QT, S } from 'ninep'
import type { File, SetAttr } from 'ninep'
import { openFile } from './cat.ts'
import { copy, measure } from './copy.ts'
import type { Place, Sink, Source, Stat } from './copy.ts'
import { complain, failure, Failure } from './failure.ts'
import { Local } from './local.ts'
import { Progress } from './progress.ts'
import { pump, writeOut } from './pump.ts'
import { isDir, list, namesOf, session } from './remote.ts'
import type { Where } from './remote.ts'
import { streamFiller } from './stream.ts'

export interface TransferOptions { readonly tree: boolean; readonly keep: boolean; readonly progress: boolean }

/** A file of the server. above: the directories that it was reached through. */
class RemotePlace implements Place {
  constructor(readonly path: string, private readonly file: File, private readonly above: readonly File[] = []) {}
  /** ELOOP: 9P2000 shows links as what they lead to, and this one leads back. */
  async walk(name: string): Promise<RemotePlace> {
    const file = await this.file.walk(name), above = [...this.above, this.file]
    if (this.file.client.dialect === '9P2000' && isDir(file) && above.some(({ qid }) => qid.path === file.qid.path)) {
      await file.clunk()
      throw errno('ELOOP', 'walk', name)
    }
    return new RemotePlace(`${this.path.replace(/\/$/, '')}/${name}`, file, above)
  }
  async stat(): Promise<Stat> {
    const { qid, mode, uid, gid, nlink, size, blocks, rdev, atime, mtime } = await this.file.getattr()
    return { id: String(qid.path), mode, uid, gid, nlink, size, blocks, rdev, atime, mtime }
  }
  async names(): Promise<string[]> {
    const names: string[] = []
    for await (const { name } of list(this.file)) names.push(name)
    return names
  }
  readlink(): Promise<string> { return this.file.readlink() }
  async xattrs(): Promise<(readonly [string, Uint8Array])[]> {
    if (this.file.qid.type & QT.SYMLINK) return []          // as the other side has it, and nfs-ganesha fails
    const names = await this.file.listxattr().catch((e: unknown) => { if (isErrno(e, 'EOPNOTSUPP')) return []; throw e })
    return Promise.all(names.map(async (name) => [name, await this.file.getxattr(name)] as const))
  }
  async open(): Promise<Source> {
    const file = await openFile(this.file.clone())
    return { fill: (into, offset) => file.readInto(into, offset), close: () => file.clunk() }
  }
  async create(name: string, mode: number): Promise<Sink> {
    const file = await this.file.create(name, O.WRONLY | O.CREAT | O.TRUNC, mode)
    if ((await file.getattr(Attrs.SIZE)).size > 0) await file.setattr({ size: 0 })   // nfs-ganesha does not hear O_TRUNC
    return sinkOf(file)
  }
  async mkdir(name: string, mode: number): Promise<void> { await this.file.mkdir(name, mode) }
  async symlink(name: string, target: string): Promise<void> { await this.file.symlink(name, target) }
  async mknod(name: string, mode: number, rdev: bigint): Promise<void> {
    const { major, minor } = deviceParts(rdev)
    await this.file.mknod(name, mode, major, minor)
  }
  link(target: RemotePlace, name: string): Promise<void> { return this.file.link(target.file, name) }
  unlink(name: string): Promise<void> { return this.file.unlinkat(name) }
  setattr(attr: SetAttr): Promise<void> { return this.file.setattr(attr) }
  setxattr(name: string, value: Uint8Array): Promise<void> { return this.file.setxattr(name, value) }
  close(): Promise<void> { return this.file.clunk() }
}
function sinkOf(file: File): Sink {
  return { drain: (bytes, offset) => file.write(bytes, offset), truncate: (size) => file.setattr({ size }), close: () => file.clunk() }
}

/** Copies from here to the server. */
export async function put(where: Where, local: string, path: string, options: TransferOptions): Promise<void> {
  await session(where, async (remote) => {
    try {
      const { dir, name, above: abovePath } = await remote.target(path, local === '-' ? '' : basename(resolve(local)), !options.keep)
      const above = new RemotePlace(abovePath, dir)
      if (local !== '-') return await transfer('put', reading(local, options.keep), above, name, options)
      if (name === '') throw errno('EISDIR', 'create', path)
      const progress = new Progress(options.progress, undefined)
      const sink = await above.create(name, 0o666 & ~process.umask())
      const fill = streamFiller(process.stdin)
      const forget = onInterrupt('put', path, progress)
      try {
        await pump(async (into, offset) => { const count = await fill(into, offset); progress.add(count); return count }, sink.drain)
      } finally {
        forget()
        progress.end()
        await sink.close()
      }
    } catch (e) { throw failure(path, e) }
  })
}
function reading(path: string, keep: boolean): Local {
  try { return Local.open(path, !keep) } catch (e) { throw failure(path, e) }
}

/** Copies from the server to here. */
export async function get(where: Where, path: string, local: string, options: TransferOptions): Promise<void> {
  await session(where, async (remote) => {
    try {
      const found = await remote.find(path, !options.keep)
      if (local === '-') {
        const file = await openFile(Promise.resolve(found))
        const progress = new Progress(options.progress, (await file.getattr()).size)
        await pump(async (into, offset) => { const count = await file.readInto(into, offset); progress.add(count); return count }, writeOut)
        return progress.end()
      }
      const { above, name } = localTarget(local, namesOf(path).at(-1))
      await transfer('get', new RemotePlace(path, found), above, name, options)
    } catch (e) { throw failure(path, e) }
  })
}
/** Where a file called `name` goes: into the directory that is there, else under that name. */
function localTarget(path: string, name: string | undefined): { above: Local; name: string } {
  try {
    const there = Local.open(path, true)
    if (there.isDirectory) {
      if (name !== undefined) return { above: there, name }
      throw new Failure(`${path}: is there already. Give the root a new name: ninefold get -a / ${path.replace(/\/$/, '')}/root`)
    }
    void there.close()
  } catch (e) { if (!isErrno(e, 'ENOENT') || path.endsWith('/')) throw failure(path, e) }
  try { return { above: Local.open(dirname(resolve(path)), true), name: basename(resolve(path)) } } catch (e) { throw failure(path, e) }
}

async function transfer(verb: string, from: Place, above: Place, name: string, options: TransferOptions): Promise<void> {
  const stat = await from.stat(), directory = (stat.mode & S.IFMT) === S.IFDIR
  if (directory && !options.tree) throw failure(from.path, new Failure(`${from.path}: Is a directory. Copy it with -r, or -a`))
  const progress = new Progress(options.progress, options.progress && directory ? await measure(from) : stat.size)
  const forget = onInterrupt(verb, from.path, progress)
  try {
    await copy(from, above, name, { keep: options.keep, progress, complain: (error) => complain(verb, error) })
  } finally {
    forget()
    progress.end()
  }
}

/** Has a Ctrl-C say what it leaves before it ends all. Returns what undoes that. */
function onInterrupt(verb: string, path: string, progress: Progress): () => void {
  const tell = () => {
    progress.end()
    complain(verb, failure(path, new Error('interrupted. What was written stays, and may be a part of a file')))
    process.kill(process.pid, 'SIGINT')                    // nobody hears it now: the shell sees what ended us
  }
  process.once('SIGINT', tell)
  return () => { process.off('SIGINT', tell) }
}
