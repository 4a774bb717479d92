// A tree of synthetic files that is made of tables: what is in it is made when it is looked for, and what a file says when
// it is opened, so that a tree at which nobody looks costs nothing.

import { Dt, O, QT, S, errno } from 'ninep'
import type { Attr, Qid, SetAttr, Time } from 'ninep'
import { now } from '../../translators/clock.ts'
import { after } from '../../translators/forward.ts'
import { translator } from '../../translators/options.ts'
import { SyntheticHandle, SyntheticNode, mayOnlyRead, syntheticAttr } from '../../translators/synthetic.ts'
import type { Stream } from '../../translators/synthetic.ts'
import type { Awaitable, Call, DirSink, Handle, Node, Translator, Volume } from '../../translators/translator.ts'

/** A file; writable: also by its owner. Its size is 0, as in /proc: what it says is made by open. */
export interface Leaf { readonly writable: boolean; open(): Awaitable<Stream> }
/** A directory of fixed names, or of numbers: those that there are now, each with the same fixed names. */
export type Branch = { readonly names: Readonly<Record<string, Entry>> } | { readonly numbers: () => Iterable<number>; readonly has: (number: number) => boolean; readonly each: (number: number) => Readonly<Record<string, Leaf>> }
export type Entry = Leaf | Branch

/** A file that can be read: what `say` gives when it is opened. */
export function text(say: () => string): Leaf {
  return {
    writable: false,
    open() {
      const bytes = Buffer.from(say())
      return { read: (into, offset) => bytes.subarray(Math.min(offset, bytes.length), Math.min(offset + into.length, bytes.length)), write: () => { throw errno('EBADF', 'write') } }
    },
  }
}

/** The same of what may be long: lines that are asked for as they are read, from beginning to end. */
export function told(lines: () => AsyncIterable<string>): Leaf { return { writable: false, open: () => new Telling(lines()[Symbol.asyncIterator]()) } }
class Telling implements Stream {
  #held = Buffer.alloc(0)
  #at = 0
  #turn: Promise<unknown> = Promise.resolve()
  constructor(private readonly lines: AsyncIterator<string>) {}
  read(into: Uint8Array, offset: number): Promise<Uint8Array> {
    const mine = this.#turn.then(() => this.#next(into.length, offset))
    this.#turn = mine.catch(() => {})
    return mine
  }
  async #next(length: number, offset: number): Promise<Uint8Array> {
    if (offset !== this.#at) throw errno('ESPIPE', 'read', 'elsewhere than where the last read ended')
    const pieces = [this.#held]
    for (let got = this.#held.length, next; got < length && !(next = await this.lines.next()).done;) {
      const line = Buffer.from(next.value)
      pieces.push(line)
      got += line.length
    }
    const all = Buffer.concat(pieces), given = all.subarray(0, length)
    this.#held = all.subarray(given.length)
    this.#at += given.length
    return given
  }
  write(): number { throw errno('EBADF', 'write') }
  close(): void { void this.lines.return?.() }
}

/** The tree of these names as a translator. All of it belongs to the server's user, and only he, and root, may look. */
export function treeOf(names: Readonly<Record<string, Entry>>): Promise<Translator> {
  return translator({
    name: 'ctl', about: 'The server itself as files.', children: 0, options: {}, concurrent: true,
    start: (): Translator => {
      const tree: Tree = { volume: { label: 'ctl' }, born: now(), uid: process.getuid!(), gid: process.getgid!() }
      return { name: 'ctl', attach: () => new TreeNode(tree, { names }, 1, null), sync() {}, close() {}, async [Symbol.asyncDispose]() {} }
    },
  })({})
}

interface Tree { readonly volume: Volume; readonly born: Time; readonly uid: number; readonly gid: number }
/** Qid.path: the root is 1, its entries from 2 on; below one of these, of each number and its entries, sixteen from there. At most 2^40. */
const NUMBERED = 2 ** 36, EACH = 16

class TreeNode extends SyntheticNode {
  readonly qid: Qid
  constructor(readonly tree: Tree, readonly entry: Entry, readonly number: number, readonly above: TreeNode | null) {
    super()
    this.qid = { type: 'open' in entry ? QT.FILE : QT.DIR, version: 0, path: BigInt(number) }
  }
  get volume(): Volume { return this.tree.volume }
  override walk(name: string): Node {
    const { entry } = this
    if ('open' in entry) throw errno('ENOTDIR', 'walk', name)
    const child = this.child(entry, name)
    if (!child) throw errno('ENOENT', 'walk', name)
    return child
  }
  child(branch: Branch, name: string): TreeNode | undefined {
    const { tree, number } = this
    if ('names' in branch) {
      const at = Object.keys(branch.names).indexOf(name)
      return at < 0 ? undefined : new TreeNode(tree, branch.names[name]!, number + 1 + at, this)
    }
    const n = /^[1-9]\d{0,9}$/.test(name) ? Number(name) : 0
    return n > 0 && n < 2 ** 32 && branch.has(n) ? new TreeNode(tree, { names: branch.each(n) }, this.#below(n), this) : undefined
  }
  #below(n: number): number { return (this.number - 1) * NUMBERED + n * EACH }
  /** What is in it, with the number and the kind of each. */
  list(branch: Branch): { name: string; path: number; directory: boolean }[] {
    if ('numbers' in branch) return Array.from(branch.numbers(), (n) => ({ name: String(n), path: this.#below(n), directory: true }))
    return Object.entries(branch.names).map(([name, entry], at) => ({ name, path: this.number + 1 + at, directory: !('open' in entry) }))
  }
  override parent(): Node {
    if ('open' in this.entry) throw errno('ENOTDIR', 'parent')
    return this.above ?? this
  }
  override getattr(): Attr {
    const { tree: { born, uid, gid }, entry } = this
    const mode = 'open' in entry ? S.IFREG | (entry.writable ? 0o600 : 0o400) : S.IFDIR | 0o500
    return syntheticAttr(this.qid, mode, born, { uid, gid })
  }
  /** `> ctl` sets a size and times first: that means nothing. */
  override setattr = ({ mode, uid, gid }: SetAttr): void => {
    if (!('open' in this.entry && this.entry.writable) || mode !== undefined || uid !== undefined || gid !== undefined) throw errno('EROFS', 'setattr')
  }
  override open(flags: number): Awaitable<Handle> {
    const { entry } = this
    if (!('open' in entry)) {
      mayOnlyRead(this.qid, flags)
      return new Listing(this, entry)
    }
    if (flags & O.DIRECTORY) throw errno('ENOTDIR', 'open')
    if (!entry.writable) mayOnlyRead(this.qid, flags)
    return after(entry.open(), (stream) => new TreeHandle(this, stream))
  }
}

class TreeHandle extends SyntheticHandle {
  constructor(node: TreeNode, readonly stream: Stream) { super(node) }
  override read(into: Uint8Array, offset: number, call?: Call): Awaitable<Uint8Array> { return into.length === 0 ? into : this.stream.read(into, offset, call) }
  override write(bytes: Uint8Array, offset: number, call?: Call): Awaitable<number> { return this.stream.write(bytes, offset, call) }
  override close(): void { this.stream.close?.() }
}

class Listing extends SyntheticHandle {
  #list: ReturnType<TreeNode['list']> = []
  constructor(override readonly node: TreeNode, private readonly branch: Branch) { super(node) }
  override readdir(cookie: bigint, sink: DirSink): boolean {
    if (cookie === 0n) this.#list = this.node.list(this.branch)
    for (let at = Number(cookie); at < this.#list.length; at++) {
      const { name, path, directory } = this.#list[at]!
      if (!sink.add(BigInt(path), directory ? Dt.DIR : Dt.REG, BigInt(at + 1), name)) return false
    }
    return true
  }
}
