// A layer that changes nothing and sees everything: each call below goes through one function. What traces or measures
// starts from here.

import type { Attr, Flock, LockStatus, SetAttr, StatFs } from 'ninep'
import { ForwardHandle, ForwardNode, ForwardTranslator } from './forward.ts'
import type { Awaitable, BlobId, Blobs, Call, Created, DirSink, Handle, Node, Owner, Translator } from './translator.ts'

/** All calls there are, by number. Those of blobs have the prefix that tells them from files'. */
export const ops = [
  'walk', 'parent', 'at', 'getattr', 'setattr', 'open', 'create', 'mkdir', 'symlink', 'mknod', 'link', 'renameat', 'unlinkat', 'readlink', 'statfs',
  'getxattr', 'setxattr', 'listxattr', 'removexattr', 'read', 'write', 'readdir', 'fsync', 'lock', 'getlock', 'close', 'sync',
  'blobs.put', 'blobs.get', 'blobs.drop', 'blobs.list', 'blobs.putRecord', 'blobs.getRecord', 'blobs.listRecords', 'blobs.dropRecord', 'blobs.sync',
] as const
export type Op = typeof ops[number]
const Op = Object.fromEntries(ops.map((op, i) => [op, i])) as Record<Op, number>
const {
  walk, parent, at, getattr, setattr, open, create, mkdir, symlink, mknod, link, renameat, unlinkat, readlink, statfs, getxattr, setxattr, listxattr,
  removexattr, read, write, readdir, fsync, lock, getlock, close, sync,
} = Op

/** Who sees it. on: where it is called; null: the translator or its blobs. a, b, c: the arguments, as far as they tell something. */
export interface Observer {
  around<T>(op: number, on: AroundNode | AroundHandle | null, f: () => Awaitable<T>, a?: unknown, b?: unknown, c?: unknown): Awaitable<T>
}

/** A translator, seen by an observer. It is the same one, but for that. */
export class AroundTranslator extends ForwardTranslator {
  /** wrapRoot: a root as its own class has it. */
  constructor(child: Translator, readonly observer: Observer, name = child.name, wrapRoot = (root: Node): AroundNode => new AroundNode(root, observer)) { super(name, child, wrapRoot) }
  override sync(): Awaitable<void> { return this.observer.around(sync, null, () => this.child.sync()) }
  #face: Blobs | undefined
  get blobs(): Translator['blobs'] {
    const { child } = this
    return child.blobs && (() => this.#face ??= new AroundBlobs(child.blobs!(), this.observer))
  }
}

export class AroundNode extends ForwardNode<Observer> {
  /** For the observer: the path by which it was reached. */
  path = ''
  protected override wrap(child: Node): Node { return new AroundNode(child, this.layer) }
  protected override wrapHandle(child: Handle): Handle { return new AroundHandle(child, this.layer) }

  override walk(name: string): Awaitable<Node> { return this.layer.around(walk, this, () => super.walk(name), name) }
  override parent(): Awaitable<Node> { return this.layer.around(parent, this, () => super.parent()) }
  override at(snapshot: string): Awaitable<Node> { return this.layer.around(at, this, () => super.at(snapshot), snapshot) }
  override getattr(mask: number): Awaitable<Attr> { return this.layer.around(getattr, this, () => this.child.getattr(mask), mask) }
  override setattr(attr: SetAttr): Awaitable<void> { return this.layer.around(setattr, this, () => this.child.setattr(attr), attr) }
  override open(flags: number, call?: Call): Awaitable<Handle> { return this.layer.around(open, this, () => super.open(flags, call), flags) }
  override create(name: string, flags: number, mode: number, owner: Owner): Awaitable<Created> { return this.layer.around(create, this, () => super.create(name, flags, mode, owner), name, flags, mode) }
  override mkdir(name: string, mode: number, owner: Owner): Awaitable<Node> { return this.layer.around(mkdir, this, () => super.mkdir(name, mode, owner), name, mode) }
  override symlink(name: string, target: string, owner: Owner): Awaitable<Node> { return this.layer.around(symlink, this, () => super.symlink(name, target, owner), name, target) }
  override mknod(name: string, mode: number, rdev: bigint, owner: Owner): Awaitable<Node> { return this.layer.around(mknod, this, () => super.mknod(name, mode, rdev, owner), name, mode, rdev) }
  override link(target: Node, name: string): Awaitable<void> { return this.layer.around(link, this, () => super.link(target, name), target, name) }
  override renameat(name: string, dir: Node, newName: string, expect?: bigint): Awaitable<void> { return this.layer.around(renameat, this, () => super.renameat(name, dir, newName, expect), name, dir, newName) }
  override unlinkat(name: string, flags: number, expect?: bigint): Awaitable<void> { return this.layer.around(unlinkat, this, () => super.unlinkat(name, flags, expect), name, flags) }
  override readlink(): Awaitable<string> { return this.layer.around(readlink, this, () => this.child.readlink()) }
  override statfs(): Awaitable<StatFs> { return this.layer.around(statfs, this, () => this.child.statfs()) }
  override getxattr(name: string): Awaitable<Uint8Array> { return this.layer.around(getxattr, this, () => this.child.getxattr(name), name) }
  override setxattr(name: string, value: Uint8Array, flags: number): Awaitable<void> { return this.layer.around(setxattr, this, () => this.child.setxattr(name, value, flags), name, value.length, flags) }
  override listxattr(): Awaitable<string[]> { return this.layer.around(listxattr, this, () => this.child.listxattr()) }
  override removexattr(name: string): Awaitable<void> { return this.layer.around(removexattr, this, () => this.child.removexattr(name), name) }
  override close(): Awaitable<void> { return this.layer.around(close, this, () => this.child.close()) }
}

export class AroundHandle extends ForwardHandle<Observer> {
  path = ''
  override read(into: Uint8Array, offset: number, call?: Call): Awaitable<Uint8Array> { return this.layer.around(read, this, () => this.child.read(into, offset, call), into.length, offset) }
  override write(bytes: Uint8Array, offset: number, call?: Call): Awaitable<number> { return this.layer.around(write, this, () => this.child.write(bytes, offset, call), bytes.length, offset) }
  override readdir(cookie: bigint, sink: DirSink, mask: number, call?: Call): Awaitable<boolean> { return this.layer.around(readdir, this, () => this.child.readdir(cookie, sink, mask, call), cookie, mask) }
  override getattr(mask: number): Awaitable<Attr> { return this.layer.around(getattr, this, () => this.child.getattr(mask), mask) }
  override setattr(attr: SetAttr): Awaitable<void> { return this.layer.around(setattr, this, () => this.child.setattr(attr), attr) }
  override fsync(dataOnly: boolean, call?: Call): Awaitable<void> { return this.layer.around(fsync, this, () => this.child.fsync(dataOnly, call), dataOnly) }
  override get lock(): Handle['lock'] {
    const { child, layer } = this
    return child.lock && ((want: Flock, call?: Call): Awaitable<LockStatus> => layer.around(lock, this, () => child.lock!(want, call), want))
  }
  override get getlock(): Handle['getlock'] {
    const { child, layer } = this
    return child.getlock && ((want: Flock): Awaitable<Flock> => layer.around(getlock, this, () => child.getlock!(want), want))
  }
  override close(): Awaitable<void> { return this.layer.around(close, this, () => this.child.close()) }
}

class AroundBlobs implements Blobs {
  constructor(readonly child: Blobs, readonly observer: Observer) {}
  put(id: BlobId, bytes: readonly Uint8Array[], call?: Call): Awaitable<void> {
    return this.observer.around(Op['blobs.put'], null, () => this.child.put(id, bytes, call), id, bytes.reduce((sum, b) => sum + b.length, 0))
  }
  get(id: BlobId, into: Uint8Array, offset: number, call?: Call): Awaitable<Uint8Array> { return this.observer.around(Op['blobs.get'], null, () => this.child.get(id, into, offset, call), id, into.length, offset) }
  drop(ids: readonly BlobId[]): Awaitable<void> { return this.observer.around(Op['blobs.drop'], null, () => this.child.drop(ids), ids.length) }
  list(after: BlobId | null, max: number): Awaitable<{ id: BlobId; size: number }[]> { return this.observer.around(Op['blobs.list'], null, () => this.child.list(after, max), after, max) }
  putRecord(name: string, bytes: Uint8Array, expect?: Uint8Array): Awaitable<void> { return this.observer.around(Op['blobs.putRecord'], null, () => this.child.putRecord(name, bytes, expect), name, bytes.length) }
  getRecord(name: string): Awaitable<Uint8Array> { return this.observer.around(Op['blobs.getRecord'], null, () => this.child.getRecord(name), name) }
  listRecords(prefix: string): Awaitable<string[]> { return this.observer.around(Op['blobs.listRecords'], null, () => this.child.listRecords(prefix), prefix) }
  dropRecord(name: string): Awaitable<void> { return this.observer.around(Op['blobs.dropRecord'], null, () => this.child.dropRecord(name), name) }
  sync(): Awaitable<void> { return this.observer.around(Op['blobs.sync'], null, () => this.child.sync()) }
  get statfs(): Blobs['statfs'] { return this.child.statfs && (() => this.child.statfs!()) }
}
