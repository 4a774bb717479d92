// Files and trees from one place to another: what put and get share. A Place is a file on either side.

import { isErrno, S } from 'ninep'
import type { SetAttr, Time } from 'ninep'
import { failure, Failure, reason } from './failure.ts'
import { escape, sizeString } from './format.ts'
import { pump, sparsely } from './pump.ts'
import type { Drain, Fill } from './pump.ts'
import type { Progress } from './progress.ts'

/** What a copy must know of a file. id: the same for two names of one file. blocks: units of 512 bytes. */
export interface Stat {
  readonly id: string; readonly mode: number; readonly uid: number; readonly gid: number; readonly nlink: number
  readonly size: number; readonly blocks: number; readonly rdev: bigint; readonly atime: Time; readonly mtime: Time
}
export interface Source { readonly fill: Fill; close(): Promise<void> }
export interface Sink { readonly drain: Drain; truncate(size: number): Promise<void>; close(): Promise<void> }

/** A file, or a directory in which others are made. Names are bytes (ninep). Errors carry a code. */
export interface Place {
  readonly path: string                                   // to tell it by
  stat(): Promise<Stat>
  names(): Promise<string[]>
  walk(name: string): Promise<Place>
  readlink(): Promise<string>
  xattrs(): Promise<(readonly [name: string, value: Uint8Array])[]>
  open(): Promise<Source>
  /** Empties a file that is there. */
  create(name: string, mode: number): Promise<Sink>
  mkdir(name: string, mode: number): Promise<void>
  symlink(name: string, target: string): Promise<void>
  mknod(name: string, mode: number, rdev: bigint): Promise<void>
  link(target: Place, name: string): Promise<void>
  unlink(name: string): Promise<void>
  setattr(attr: SetAttr): Promise<void>
  setxattr(name: string, value: Uint8Array): Promise<void>
  close(): Promise<void>
}

export interface CopyOptions {
  /** Links, owners, modes, times, attributes, devices, holes: as they are. Else the modes less the umask, and no devices. */
  readonly keep: boolean
  readonly progress: Progress
  /** Hears of each file that could not be copied; the rest goes on. */
  readonly complain: (error: Failure) => void
}

const AT_ONCE = 16                                        // files

/** Sum of the sizes of a tree's files, for a progress that knows where it ends. */
export async function measure(from: Place): Promise<number> {
  const { mode, size } = await from.stat()
  if ((mode & S.IFMT) !== S.IFDIR) return (mode & S.IFMT) === S.IFREG ? size : 0
  let sum = 0
  for (const name of await from.names()) {
    const child = await from.walk(name).catch(() => undefined)   // the copy will tell
    if (!child) continue
    sum += await measure(child)
    await child.close()
  }
  return sum
}

/** Copies a file or a tree to `name` in a directory; a directory that is there is filled, other files are replaced. */
export async function copy(from: Place, dir: Place, name: string, options: CopyOptions): Promise<void> {
  const copier = new Copier(dir, options)
  await copier.copy(from, dir, [name])
  for (const [what, { count, why }] of copier.lost) {
    options.complain(new Failure(`${what} of ${count === 1 ? 'a file' : `${count} files`} could not be kept: ${why}`))
  }
}

class Copier {
  /** What could not be kept, and why first. */
  readonly lost = new Map<string, { count: number; why: string }>()
  /** Where the files with more names than one were copied to, by id. */
  #copied = new Map<string, Promise<readonly string[]>>()
  #running = 0
  #queue: (() => void)[] = []
  constructor(private readonly top: Place, private readonly options: CopyOptions) {}

  /** names: of the copy, from the top; the last one is made in `dir`. A failure is told, and no more. */
  async copy(from: Place, dir: Place, names: readonly string[]): Promise<void> {
    const name = names.at(-1)!, { keep, complain } = this.options
    try {
      const stat = await from.stat(), type = stat.mode & S.IFMT
      if (type === S.IFDIR) return await this.#directory(from, stat, dir, names)
      if (keep && stat.nlink > 1) {
        const first = this.#copied.get(stat.id)
        if (first) return await this.#again(await first, dir, name)
        let done!: (names: readonly string[]) => void
        this.#copied.set(stat.id, new Promise((resolve) => { done = resolve }))
        try { await this.#one(from, stat, dir, name) } finally { done(names) }
        return
      }
      await this.#one(from, stat, dir, name)
    } catch (e) { complain(failure(from.path, e)) }
  }

  async #directory(from: Place, stat: Stat, dir: Place, names: readonly string[]): Promise<void> {
    const name = names.at(-1)!, mode = this.options.keep ? stat.mode & 0o777 : stat.mode & 0o777 & ~process.umask()
    await dir.mkdir(name, mode | 0o700).catch((e: unknown) => { if (!isErrno(e, 'EEXIST')) throw e })
    const made = await dir.walk(name)
    try {
      if (((await made.stat()).mode & S.IFMT) !== S.IFDIR) throw new Failure(`${escape(made.path)}: is there, and is not a directory`)
      const running: Promise<void>[] = []
      for (const childName of await from.names()) {
        const child = await from.walk(childName).catch((e: unknown) => { this.options.complain(failure(`${from.path}/${childName}`, e)) })
        if (!child) continue
        const childNames = [...names, childName]
        if (((await child.stat()).mode & S.IFMT) === S.IFDIR) await this.copy(child, made, childNames).finally(() => child.close())
        else {
          await this.#enter()
          running.push(this.copy(child, made, childNames).finally(() => { this.#leave(); return child.close() }))
        }
      }
      await Promise.all(running)
      if (this.options.keep) await this.#dress(made, from, stat)
      else if ((mode & 0o700) !== 0o700) await made.setattr({ mode })
    } finally {
      await made.close()
    }
  }

  /** One more name of a file that was copied. */
  async #again(first: readonly string[], dir: Place, name: string): Promise<void> {
    let at = this.top
    try {
      for (const step of first) {
        const next = await at.walk(step)
        if (at !== this.top) await at.close()
        at = next
      }
      await this.#replacing(dir, name, () => dir.link(at, name))
    } finally {
      if (at !== this.top) await at.close()
    }
  }

  async #one(from: Place, stat: Stat, dir: Place, name: string): Promise<void> {
    const type = stat.mode & S.IFMT, { keep } = this.options
    if (type === S.IFREG) await this.#contents(from, stat, dir, name)
    else if (type === S.IFLNK) {
      const target = await from.readlink()
      await this.#replacing(dir, name, () => dir.symlink(name, target))
    } else if (keep) await this.#replacing(dir, name, () => dir.mknod(name, stat.mode, stat.rdev))
    else throw new Failure(`${escape(from.path)}: is no regular file. Copy it with -a`)
    if (!keep) return
    const made = await dir.walk(name)
    await this.#dress(made, from, stat).finally(() => made.close())
  }

  async #contents(from: Place, stat: Stat, dir: Place, name: string): Promise<void> {
    const { keep, progress } = this.options
    const source = await from.open()
    let filled = 0, sink: Sink | undefined
    try {
      sink = await dir.create(name, keep ? stat.mode & 0o777 : stat.mode & 0o777 & ~process.umask())
      progress.begin(from.path)
      const fill: Fill = async (into, offset) => {
        const count = await source.fill(into, offset)
        filled += count
        progress.add(count)
        return count
      }
      const sparse = keep && stat.blocks * 512 < stat.size
      const size = await pump(fill, sparse ? sparsely(sink.drain) : sink.drain, stat.size)
      if (sparse) await sink.truncate(size)
      const closing = sink
      sink = undefined
      await closing.close()                               // what was put off fails now
    } catch (e) {
      if (filled === 0) throw e
      throw new Failure(`${escape(from.path)}: ${reason(e)}. What was written of it, at most ${sizeString(filled)} of ${sizeString(stat.size)}, is left as ${escape(`${dir.path}/${name}`.replace('//', '/'))}`)
    } finally {
      await sink?.close().catch(() => {})                  // another error is being told
      await source.close()
    }
  }

  /** Makes something, in place of what is there. */
  async #replacing(dir: Place, name: string, make: () => Promise<void>): Promise<void> {
    try { await make() } catch (e) {
      if (!isErrno(e, 'EEXIST')) throw e
      await dir.unlink(name)
      await make()
    }
  }

  /** Attributes, then owner, mode and times: each undoes or forbids what would come before it. */
  async #dress(made: Place, from: Place, stat: Stat): Promise<void> {
    const link = (stat.mode & S.IFMT) === S.IFLNK, mode = stat.mode & 0o7777
    for (const [name, value] of await from.xattrs()) await this.#keep(`attribute ${escape(name)}`, () => made.setxattr(name, value))
    const now = await made.stat()
    if (now.uid !== stat.uid || now.gid !== stat.gid) await this.#keep('owner', () => made.setattr({ uid: stat.uid, gid: stat.gid }))
    if (!link && ((now.mode & 0o7777) !== mode || (mode & 0o6000) !== 0)) await this.#keep('mode', () => made.setattr({ mode }))
    await this.#keep('times', () => made.setattr({ atime: stat.atime, mtime: stat.mtime }))
  }
  async #keep(what: string, set: () => Promise<void>): Promise<void> {
    try { await set() } catch (e) {
      const entry = this.lost.get(what)
      if (entry) entry.count++
      else this.lost.set(what, { count: 1, why: reason(e) })
    }
  }

  async #enter(): Promise<void> {
    if (this.#running >= AT_ONCE) await new Promise<void>((go) => { this.#queue.push(go) })
    else this.#running++
  }
  #leave(): void {
    const next = this.#queue.shift()
    if (next) next()
    else this.#running--
  }
}
