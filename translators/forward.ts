// What a layer starts from: everything goes to the child. A layer overrides what it changes, and `wrap`, so that what
// is walked to is layered too. Blobs are not forwarded: that would carry plaintext around an encrypting layer; a layer
// that leaves bytes alone passes `blobs` on in a line.

import { errno } from 'ninep'
import type { Attr, Qid, SetAttr, StatFs } from 'ninep'
import type { Awaitable, Call, Created, DirSink, Handle, Node, Owner, SnapshotInfo, Translator, Volume } from './translator.ts'

/** `f` of a value: in the same turn where it is there, else when its promise settles. */
export function after<T, U>(value: Awaitable<T>, f: (value: T) => Awaitable<U>): Awaitable<U> {
  return value instanceof Promise ? value.then(f) : f(value)
}

export class ForwardTranslator implements Translator {
  constructor(readonly name: string, readonly child: Translator, private readonly wrapRoot: (root: Node) => Node) {}
  attach(aname: string): Awaitable<Node> { return after(this.child.attach(aname), this.wrapRoot) }
  sync(): Awaitable<void> { return this.child.sync() }
  async *snapshots(): AsyncIterable<SnapshotInfo> { if (this.child.snapshots) yield* this.child.snapshots() }
  close(): Awaitable<void> { return this.child.close() }
  async [Symbol.asyncDispose](): Promise<void> { await this.close() }
}

/** The same for a layer that leaves bytes as they are: its blobs are the child's. */
export class PassingTranslator extends ForwardTranslator {
  get blobs(): Translator['blobs'] { const { child } = this; return child.blobs && (() => child.blobs!()) }
}

export abstract class ForwardNode<Layer extends object> implements Node {
  // Declared, so that no code defines them first and sets them then: over classes of many layers that costs 0.2 us each.
  declare readonly child: Node
  declare readonly layer: Layer
  /** Who answers getattr: the first below that does not hand it on. Found when it is asked for. */
  declare protected answers: Node | null
  /** layer: what its nodes share; its identity. */
  constructor(child: Node, layer: Layer) {
    this.child = child
    this.layer = layer
    this.answers = null
  }
  protected abstract wrap(child: Node): Node
  protected wrapHandle(child: Handle): Handle { return child }
  /** The child of a node that came as an argument; EXDEV if it is not of this layer. */
  protected unwrap(node: Node, op: string): Node {
    if (node instanceof ForwardNode && node.layer === this.layer) return node.child
    throw errno('EXDEV', op)
  }

  get volume(): Volume { return this.child.volume }
  get qid(): Qid { return this.child.qid }
  walk(name: string): Awaitable<Node> {                   // no turn of the loop when the child has it in memory
    const c = this.child.walk(name)
    return c instanceof Promise ? c.then((n) => this.wrap(n)) : this.wrap(c)
  }
  parent(): Awaitable<Node> { return after(this.child.parent(), (n) => this.wrap(n)) }
  at(snapshot: string): Awaitable<Node> { return after(this.child.at(snapshot), (n) => this.wrap(n)) }
  getattr(mask: number): Awaitable<Attr> { return (this.answers ??= answering(this.child)).getattr(mask) }
  setattr(attr: SetAttr): Awaitable<void> { return this.child.setattr(attr) }
  open(flags: number, call?: Call): Awaitable<Handle> { return after(this.child.open(flags, call), (h) => this.wrapHandle(h)) }
  create(name: string, flags: number, mode: number, owner: Owner): Awaitable<Created> {
    return after(this.child.create(name, flags, mode, owner), ({ node, handle }) => ({ node: this.wrap(node), handle: this.wrapHandle(handle) }))
  }
  mkdir(name: string, mode: number, owner: Owner): Awaitable<Node> { return after(this.child.mkdir(name, mode, owner), (n) => this.wrap(n)) }
  symlink(name: string, target: string, owner: Owner): Awaitable<Node> { return after(this.child.symlink(name, target, owner), (n) => this.wrap(n)) }
  mknod(name: string, mode: number, rdev: bigint, owner: Owner): Awaitable<Node> { return after(this.child.mknod(name, mode, rdev, owner), (n) => this.wrap(n)) }
  link(target: Node, name: string): Awaitable<void> { return this.child.link(this.unwrap(target, 'link'), name) }
  renameat(name: string, dir: Node, newName: string, expect?: bigint): Awaitable<void> { return this.child.renameat(name, this.unwrap(dir, 'renameat'), newName, expect) }
  unlinkat(name: string, flags: number, expect?: bigint): Awaitable<void> { return this.child.unlinkat(name, flags, expect) }
  readlink(): Awaitable<string> { return this.child.readlink() }
  statfs(): Awaitable<StatFs> { return this.child.statfs() }
  getxattr(name: string): Awaitable<Uint8Array> { return this.child.getxattr(name) }
  setxattr(name: string, value: Uint8Array, flags: number): Awaitable<void> { return this.child.setxattr(name, value, flags) }
  listxattr(): Awaitable<string[]> { return this.child.listxattr() }
  removexattr(name: string): Awaitable<void> { return this.child.removexattr(name) }
  close(): Awaitable<void> { return this.child.close() }
  async [Symbol.asyncDispose](): Promise<void> { await this.close() }
}

/** What is asked most goes past the layers that would only hand it on: five of different classes cost a getattr 6 in 100. */
function answering(node: Node): Node {
  while (handsOn(node)) node = node.child
  return node
}
/** Whether a node is of a layer that leaves getattr to its child. */
export function handsOn(node: Node): node is ForwardNode<object> { return node instanceof ForwardNode && node.getattr === ForwardNode.prototype.getattr }

export class ForwardHandle<Layer extends object> implements Handle {
  declare readonly child: Handle
  declare readonly layer: Layer
  constructor(child: Handle, layer: Layer) {
    this.child = child
    this.layer = layer
  }
  read(into: Uint8Array, offset: number, call?: Call): Awaitable<Uint8Array> { return this.child.read(into, offset, call) }
  write(bytes: Uint8Array, offset: number, call?: Call): Awaitable<number> { return this.child.write(bytes, offset, call) }
  readdir(cookie: bigint, sink: DirSink, mask: number, call?: Call): Awaitable<boolean> { return this.child.readdir(cookie, sink, mask, call) }
  getattr(mask: number): Awaitable<Attr> { return this.child.getattr(mask) }
  setattr(attr: SetAttr): Awaitable<void> { return this.child.setattr(attr) }
  fsync(dataOnly: boolean, call?: Call): Awaitable<void> { return this.child.fsync(dataOnly, call) }
  get lock(): Handle['lock'] { const { child } = this; return child.lock && ((want, call) => child.lock!(want, call)) }
  get getlock(): Handle['getlock'] { const { child } = this; return child.getlock && ((want) => child.getlock!(want)) }
  close(): Awaitable<void> { return this.child.close() }
  async [Symbol.asyncDispose](): Promise<void> { await this.close() }
}

/**
 * State per file: one T for each (volume, path), however many nodes and handles there are. Counted: it goes with the
 * last release.
 */
export class Files<T> {
  #volumes = new Map<Volume, Map<bigint, { value: T; count: number }>>()
  constructor(private readonly make: () => T) {}
  /** The file's T, made if this is the first to ask; one release is owed. */
  acquire(file: { readonly volume: Volume; readonly qid: Qid }): T {
    let paths = this.#volumes.get(file.volume)
    if (!paths) this.#volumes.set(file.volume, paths = new Map())
    let entry = paths.get(file.qid.path)
    if (!entry) paths.set(file.qid.path, entry = { value: this.make(), count: 0 })
    entry.count++
    return entry.value
  }
  release(file: { readonly volume: Volume; readonly qid: Qid }): void {
    const paths = this.#volumes.get(file.volume), entry = paths?.get(file.qid.path)
    if (!paths || !entry) throw new TypeError('released more often than acquired')
    if (--entry.count > 0) return
    paths.delete(file.qid.path)
    if (paths.size === 0) this.#volumes.delete(file.volume)
  }
}
