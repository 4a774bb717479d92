// What a crash would lose, and how to lose it. The model, the strictest that POSIX allows:
//
// - fsync of a file keeps its data, attributes and xattrs (with dataOnly: its data and size); a write by a handle opened
//   O_SYNC or O_DSYNC has done so when it returns. It does not keep the file's name.
// - fsync of a directory keeps its names, and its own attributes. A rename between two directories is one change: to sync
//   either of them keeps both, and the way to the new one where that is not synced yet. sync() keeps everything.
// - At a crash each file has the data and each directory the names it had when it was last synced. A file without a name
//   then is gone, and one whose unlinking was not synced is back: as the same file where it still has a name
//   somewhere, else as a copy, under another qid.path and, for the times of its names, alone.
// - At `torn-rate`, a file keeps a prefix of its changes instead, the last write of them in part; and a directory all of its.
//
// To that end the child always holds the present, and this a log of how to undo it: of each file a list, of each directory
// what each changed name stood for. Changes go one at a time while there is a log. Times of directories are not restored.

import { AT_REMOVEDIR, Attrs, entryName, isErrno, O, QT, S } from 'ninep'
import type { Attr, SetAttr } from 'ninep'
import type { Awaitable, Handle, Node, Translator } from '../translator.ts'
import type { Chance } from './chance.ts'

/** A node that lives while the layer above or the log needs it. */
export class Pin {
  #count = 1
  constructor(readonly node: Node) {}
  retain(): this { this.#count++; return this }
  release(): Awaitable<void> { if (--this.#count === 0) return this.node.close() }
}

/** How much is read at a time to see whether it is zero, bytes. */
const PIECE = 65536

interface FileLog {
  readonly pin: Pin
  readonly before: Attr
  /** Open to read and write, once its data change: it must work when the file has lost its names. */
  io: Handle | undefined
  changes: Change[]
  /** Up to here any byte may be other than zero; from there on, only those that the changes wrote. */
  filled: number
}
interface Change {
  /** Whether fdatasync keeps it. */
  readonly data: boolean
  /** What it wrote. */
  readonly offset: number
  readonly length: number
  /** Takes it back, less its first `keep` bytes. */
  undo(keep: number): Promise<void>
}
interface DirLog {
  readonly pin: Pin
  /** What each changed name stood for when the directory was last synced; null: nothing. */
  readonly names: Map<string, Entry | null>
  /** Those that are synced with it, itself among them. */
  group: Set<DirLog>
}
interface Entry { readonly key: string; readonly pin: Pin; readonly attr: Attr; readonly reader: Handle | undefined; readonly target: string }

export class Unsynced {
  #files = new Map<string, FileLog>()
  #dirs = new Map<string, DirLog>()
  /** Where directories have their place since it was last synced, and it has not been since. */
  #moved = new Map<string, DirLog>()
  #volumes = new Map<object, number>()
  #last: Promise<unknown> = Promise.resolve()

  /** f, when all changes before it are made. */
  alone<T>(f: () => Promise<T>): Promise<T> {
    const run = this.#last.then(f, f)
    this.#last = run.catch(() => {})
    return run
  }

  // Notes of what is about to change.

  async write(pin: Pin, offset: number | undefined, length: number): Promise<void> {
    const log = await this.#file(pin), io = log.io ??= await pin.node.open(O.RDWR)
    const { size } = await io.getattr(Attrs.SIZE), at = offset ?? size
    const old = await read(io, at, Math.min(length, Math.max(0, size - at)))
    log.changes.push({
      data: true, offset: at, length,
      async undo(keep) {
        const now = (await io.getattr(Attrs.SIZE)).size
        await write(io, old.subarray(keep), at + keep)
        await io.setattr({ size: keep > 0 ? Math.max(size, Math.min(at + keep, now)) : size })
      },
    })
  }
  async attr(pin: Pin, attr: SetAttr): Promise<void> {
    const log = await this.#file(pin), { node } = pin
    if (attr.size !== undefined && (log.before.mode & S.IFMT) === S.IFREG) {
      const io = log.io ??= await node.open(O.RDWR), { size } = await io.getattr(Attrs.SIZE)
      const pieces = new Set<number>(), cut: [number, Uint8Array][] = [] // a scan of all would take hours where a file is mostly hole
      const add = (from: number, to: number) => { for (let i = Math.floor(from / PIECE); i * PIECE < to; i++) pieces.add(i) }
      add(attr.size, Math.min(size, log.filled))
      if (attr.size < size) for (const { offset, length } of log.changes) add(Math.max(offset, attr.size), Math.min(offset + length, size))
      for (const i of pieces) {
        const at = Math.max(i * PIECE, attr.size), end = Math.min((i + 1) * PIECE, size)
        const piece = await read(io, at, Math.max(0, end - at))
        if (piece.some((byte) => byte !== 0)) cut.push([at, piece])
      }
      const undo = async () => {
        await io.setattr({ size })
        for (const [at, piece] of cut) await write(io, piece, at)
      }
      log.changes.push({ data: true, offset: 0, length: 0, undo })
    }
    const { mode, uid, gid, atime, mtime } = await node.getattr(Attrs.ALL)
    const old: SetAttr = {
      ...attr.mode === undefined ? {} : { mode: mode & 0o7777 }, ...attr.uid === undefined ? {} : { uid }, ...attr.gid === undefined ? {} : { gid },
      ...attr.atime === undefined ? {} : { atime }, ...attr.mtime === undefined ? {} : { mtime },
    }
    if (Object.keys(old).length > 0) log.changes.push({ data: false, offset: 0, length: 0, undo: async () => node.setattr(old) })
  }
  async xattr(pin: Pin, name: string): Promise<void> {
    const log = await this.#file(pin), { node } = pin
    const old = await answer(() => node.getxattr(name)), { mode } = await node.getattr(Attrs.MODE)
    log.changes.push({
      data: false, offset: 0, length: 0,
      async undo() {
        if (old) await node.setxattr(name, old, 0)
        else await answer(() => node.removexattr(name))
        if (name.startsWith('system.')) await node.setattr({ mode: mode & 0o7777 })   // an ACL moves it
      },
    })
  }
  async name(dir: Pin, name: string): Promise<void> { await this.#name(this.#dir(dir), name) }
  async rename(dir: Pin, name: string, newDir: Pin, newName: string): Promise<void> {
    const from = this.#dir(dir), to = this.#dir(newDir)
    await this.#name(from, name)
    await this.#name(to, newName)
    merge(from, to)
    for (const key of await this.#above(newDir.node)) {
      const log = this.#moved.get(key)
      if (log) merge(from, log)
    }
    await this.#arrives(dir, name, to)
  }
  /** A directory of that name is about to have its place in `to`, made there or moved: until that is synced, what is moved into it needs it. */
  async #arrives(dir: Pin, name: string, to: DirLog): Promise<void> {
    const node = await answer(() => dir.node.walk(name))
    if (!node) return
    if (isDir(node)) this.#moved.set(this.#key(node), to)
    await node.close()
  }
  /** A directory was made there. */
  made(dir: Pin, node: Node): void { this.#moved.set(this.#key(node), this.#dir(dir)) }
  /** This directory and all above it. */
  async #above(node: Node): Promise<string[]> {
    const keys = [this.#key(node)]
    for (let at = await node.parent(); ;) {
      const key = this.#key(at), above = key === keys.at(-1) ? undefined : await at.parent()
      await at.close()
      if (!above) return keys
      keys.push(key)
      at = above
    }
  }
  async #name(log: DirLog, name: string): Promise<void> {
    if (log.names.has(name)) return
    const node = await answer(() => log.pin.node.walk(name))
    if (!node) { log.names.set(name, null); return }
    const attr = await node.getattr(Attrs.ALL), type = attr.mode & S.IFMT
    log.names.set(name, {
      key: this.#key(node), pin: new Pin(node), attr, reader: type === S.IFREG ? await node.open(O.RDONLY) : undefined,
      target: type === S.IFLNK ? await node.readlink() : '',
    })
  }

  // What no crash can lose any more.

  /** This file or directory has been synced. */
  async synced(pin: Pin, dataOnly: boolean): Promise<void> {
    const key = this.#key(pin.node), file = this.#files.get(key), dir = this.#dirs.get(key)
    if (file && dataOnly) {
      file.changes = file.changes.filter((change) => !change.data)
      file.filled = Infinity
    }
    if (file && (!dataOnly || file.changes.length === 0)) await this.#forgetFile(key, file)
    if (dir) for (const log of dir.group) await this.#forgetDir(log)
  }
  /** Everything is, once f is done. */
  sync(f: () => Awaitable<void>): Promise<void> {
    return this.alone(async () => {
      await f()
      await this.#forget()
    })
  }
  async #forget(): Promise<void> {
    for (const [key, log] of this.#files) await this.#forgetFile(key, log)
    for (const log of this.#dirs.values()) await this.#forgetDir(log)
  }
  async #forgetFile(key: string, log: FileLog): Promise<void> {
    this.#files.delete(key)
    await log.io?.close()
    await log.pin.release()
  }
  async #forgetDir(log: DirLog): Promise<void> {
    this.#dirs.delete(this.#key(log.pin.node))
    for (const [key, there] of this.#moved) if (there === log) this.#moved.delete(key)
    for (const entry of log.names.values()) {
      await entry?.reader?.close()
      await entry?.pin.release()
    }
    await log.pin.release()
  }

  /** Makes the child what it would be after a crash now. */
  crash(child: Translator, chance: Chance, tornRate: number): Promise<void> {
    return this.alone(async () => {
      for (const log of this.#files.values()) await undoFile(log, chance, tornRate)
      const groups = new Set([...this.#dirs.values()].map((log) => log.group))
      const lost = [...groups].filter(() => !chance.hits('torn names', tornRate)).flatMap((group) => [...group])
      await using root = await child.attach('')
      if (lost.length > 0) await new Undo(root, lost, (node) => this.#key(node)).run()
      await this.#forget()
    })
  }

  #key(node: Node): string {
    let volume = this.#volumes.get(node.volume)
    if (volume === undefined) this.#volumes.set(node.volume, volume = this.#volumes.size)
    return `${volume}:${node.qid.path}`
  }
  async #file(pin: Pin): Promise<FileLog> {
    const key = this.#key(pin.node)
    let log = this.#files.get(key)
    if (!log) {
      const before = await pin.node.getattr(Attrs.ALL)
      this.#files.set(key, log = { pin: pin.retain(), before, io: undefined, changes: [], filled: before.size })
    }
    return log
  }
  #dir(pin: Pin): DirLog {
    const key = this.#key(pin.node)
    let log = this.#dirs.get(key)
    if (!log) {
      this.#dirs.set(key, log = { pin: pin.retain(), names: new Map(), group: new Set() })
      log.group.add(log)
    }
    return log
  }
}

/** From here on they are synced together. */
function merge(a: DirLog, b: DirLog): void {
  if (a.group === b.group) return
  for (const log of b.group) {
    a.group.add(log)
    log.group = a.group
  }
}

async function undoFile({ pin, before: { atime, mtime }, changes }: FileLog, chance: Chance, tornRate: number): Promise<void> {
  const keep = changes.length > 0 && chance.hits('torn file', tornRate) ? chance.below('torn changes', changes.length + 1) : 0
  for (let i = changes.length - 1; i >= keep; i--) await changes[i]!.undo(0)
  const last = changes[keep - 1]
  if (last && last.length > 1) await last.undo(1 + chance.below('torn length', last.length - 1))
  if (keep === 0 && changes.length > 0) await pin.node.setattr({ atime, mtime })
}

/** Puts names back. All that stand where they should not go to an attic first, so that none is in the way of another. */
class Undo {
  #attic!: Node
  #count = 0
  /** Names in the attic, by what they stand for. */
  #kept = new Map<string, string[]>()
  /** What came back as a copy. */
  #copies = new Map<string, Node>()
  constructor(readonly root: Node, readonly logs: readonly DirLog[], readonly keyOf: (node: Node) => string) {}

  async run(): Promise<void> {
    const name = `.fault-${process.pid}-${Date.now()}`
    this.#attic = await this.root.mkdir(name, 0o700, { uid: 0, gid: 0 })
    try {
      const waiting = new Set(this.logs), gone = new Set<DirLog>()
      for (const log of this.logs) if (await isGone(log.pin.node)) gone.add(log)
      for (const log of this.logs) if (!gone.has(log)) for (const [name, entry] of log.names) await this.#clear(log.pin.node, name, entry)
      for (let before = -1; before !== waiting.size;) {   // a directory may be back only when that above it is
        before = waiting.size
        for (const log of waiting) {
          const dir = gone.has(log) ? this.#copies.get(this.keyOf(log.pin.node)) : log.pin.node
          if (!dir) continue
          waiting.delete(log)
          for (const [name, entry] of log.names) if (entry) await this.#place(dir, name, entry)
        }
      }
    } finally {
      for (const node of this.#copies.values()) await node.close()
      await removeAll(this.#attic)
      await this.#attic.close()
      await this.root.unlinkat(name, AT_REMOVEDIR)
    }
  }
  /** Takes away what the name stands for now, unless that is what it should. */
  async #clear(dir: Node, name: string, entry: Entry | null): Promise<void> {
    const node = await answer(() => dir.walk(name))
    if (!node) return
    const key = this.keyOf(node)
    await node.close()
    if (key === entry?.key) return
    const kept = String(this.#count++)
    await dir.renameat(name, this.#attic, kept)
    this.#kept.set(key, [...this.#kept.get(key) ?? [], kept])
  }
  async #place(dir: Node, name: string, entry: Entry): Promise<void> {
    const there = await answer(() => dir.walk(name))
    if (there) return there.close()                       // it never left
    const kept = this.#kept.get(entry.key)?.pop()
    if (kept !== undefined) return this.#attic.renameat(kept, dir, name)
    if (!isDir(entry.pin.node)) try { return await dir.link(this.#copies.get(entry.key) ?? entry.pin.node, name) } catch (e) { if (!isErrno(e)) throw e }
    const copy = await copyOf(dir, name, entry)
    if (this.#copies.has(entry.key)) await copy.close()
    else this.#copies.set(entry.key, copy)
  }
}

/** The file that has lost all its names, made again. */
async function copyOf(dir: Node, name: string, { pin: { node: old }, attr, reader, target }: Entry): Promise<Node> {
  const { mode, uid, gid, rdev, atime, mtime, size } = await answer(() => old.getattr(Attrs.ALL)) ?? attr
  const type = mode & S.IFMT
  let node: Node
  if (reader) {
    const made = await dir.create(name, O.RDWR, mode & 0o7777, { uid, gid })
    node = made.node
    try {
      for (let at = 0; at < size; at += PIECE) {
        const piece = await read(reader, at, Math.min(PIECE, size - at))
        if (piece.some((byte) => byte !== 0)) await write(made.handle, piece, at)
      }
      await made.handle.setattr({ size })
    } finally { await made.handle.close() }
  } else if (type === S.IFDIR) node = await dir.mkdir(name, mode & 0o7777, { uid, gid })
  else if (type === S.IFLNK) node = await dir.symlink(name, target, { uid, gid })
  else node = await dir.mknod(name, mode, rdev, { uid, gid })
  for (const name of await answer(() => old.listxattr()) ?? []) await node.setxattr(name, await old.getxattr(name), 0)
  await node.setattr({ ...type === S.IFLNK ? {} : { mode: mode & 0o7777 }, atime, mtime })
  return node
}

function isDir(node: Node): boolean { return (node.qid.type & QT.DIR) !== 0 }
async function isGone(node: Node): Promise<boolean> {
  const attr = await answer(() => node.getattr(Attrs.NLINK))
  return !attr || attr.nlink === 0
}
/** What f gives, or nothing where it refuses. */
async function answer<T>(f: () => Awaitable<T>): Promise<T | undefined> {
  try { return await f() } catch (e) { if (!isErrno(e)) throw e }
}
async function namesOf(dir: Node): Promise<string[]> {
  await using handle = await dir.open(O.RDONLY)
  const names: string[] = []
  let last = 0n
  while (!await handle.readdir(last, { add(_path, _type, cookie, name) { last = cookie; names.push(entryName(name)); return true } }, 0));
  return names
}
async function removeAll(dir: Node): Promise<void> {
  for (const name of await namesOf(dir)) {
    const node = await dir.walk(name), directory = isDir(node)
    if (directory) await removeAll(node)
    await node.close()
    await dir.unlinkat(name, directory ? AT_REMOVEDIR : 0)
  }
}
async function read(handle: Handle, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  for (let done = 0; done < length;) {
    const got = await handle.read(new Uint8Array(length - done), offset + done)
    if (got.length === 0) break
    bytes.set(got, done)
    done += got.length
  }
  return bytes
}
async function write(handle: Handle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await handle.write(bytes.subarray(done), offset + done)
}
