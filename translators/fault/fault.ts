// Faults on purpose, for tests and drills. What can go wrong, each by operation and rate, decided by seed: an error, a
// delay, a short read, a full disk. And a crash, which `drop-unsynced` prepares: see unsynced.ts for what it leaves.

import { errno, errnos, O } from 'ninep'
import type { Attr, Code, SetAttr, StatFs } from 'ninep'
import { after, ForwardHandle, ForwardNode } from '../forward.ts'
import { choice, choose, duration, flag, int, rate, size, text, translator } from '../options.ts'
import type { Values } from '../options.ts'
import type { Awaitable, Blobs, Call, Created, DirSink, Handle, Node, Owner, SnapshotInfo, Translator } from '../translator.ts'
import { FaultBlobs } from './blobs.ts'
import { Chance } from './chance.ts'
import { Pin, Unsynced } from './unsynced.ts'

const ops = [
  'walk', 'parent', 'getattr', 'setattr', 'open', 'create', 'mkdir', 'symlink', 'mknod', 'link', 'renameat', 'unlinkat', 'readlink', 'statfs',
  'getxattr', 'setxattr', 'listxattr', 'removexattr', 'read', 'write', 'readdir', 'fsync', 'sync',
  'put', 'get', 'drop', 'list', 'putRecord', 'getRecord', 'listRecords', 'dropRecord',
] as const
type Op = typeof ops[number]

const options = {
  seed: int({ about: 'what decides: the same seed, the same faults', default: 1, live: true }),
  ops: text({ about: 'the calls that errors and delays befall, with commas: read,write', default: 'all', live: true }),
  error: choice(Object.keys(errnos) as Code[], { about: 'the errno they fail with', default: 'EIO', live: true }),
  'error-rate': rate({ about: 'how many of them fail', default: 0, live: true }),
  delay: duration({ about: 'how long one that is delayed waits', default: 0, live: true }),
  'delay-rate': rate({ about: 'how many of them are delayed, if delay is set', default: 1, live: true }),
  'short-read-rate': rate({ about: 'how many reads return less than there is', default: 0, live: true }),
  'full-after': size({ about: 'bytes written until the disk is full', default: Number.MAX_SAFE_INTEGER, live: true }),
  'drop-unsynced': flag({ about: 'keep what a crash needs to lose all that was not synced', default: false }),
  'torn-rate': rate({ about: 'how many unsynced changes outlive a crash after all, the last in part; how many failing writes write a part', default: 0, live: true }),
}

/** A layer that fails on purpose: seeded errors, delays, short reads, a full disk, and crashes. */
export const fault = translator({
  name: 'fault',
  about: 'Fail on purpose, by seed: errors, delays, short reads, a full disk, lost writes. For tests and drills.',
  children: 1,
  concurrent: true,
  options,
  start: (values, [child]) => new Fault(child, values),
})

/**
 * Power loss below a running fault layer: its child becomes what would be found after it, and all nodes and handles above are ESTALE but for
 * close. TypeError unless the translator is a fault with drop-unsynced=on.
 */
export async function crash(translator: Translator): Promise<void> {
  if (!(translator instanceof Fault)) throw new TypeError(`${translator.name}: is no fault`)
  await translator.crash()
}

export class Fault implements Translator {
  readonly name = 'fault'
  readonly unsynced: Unsynced | undefined
  /** How often it crashed. */
  epoch = 0
  #values!: Values<typeof options>
  #ops!: ReadonlySet<string> | undefined                  // undefined: all
  chance!: Chance
  #written = 0
  #flat: FaultBlobs | undefined

  constructor(readonly child: Translator, values: Values<typeof options>) {
    this.#set(values)
    if (values['drop-unsynced']) this.unsynced = new Unsynced()
  }
  #set(values: Values<typeof options>): void {
    this.#ops = values.ops === 'all' ? undefined : choose('fault: ops', values.ops, ops)
    this.#values = values
    this.chance = new Chance(values.seed)
    this.#written = 0
  }
  get tornRate(): number { return this.#values['torn-rate'] }
  /** All but drop-unsynced, which needs to know all since the start. Draws and the count of bytes begin again. */
  reconfigure(values: Values<typeof options>): boolean {
    this.#set(values)
    return true
  }

  attach(aname: string): Awaitable<Node> { return after(this.child.attach(aname), (root) => new FaultNode(root, this)) }
  sync(): Awaitable<void> {
    const { unsynced } = this
    return this.at('sync', () => unsynced ? unsynced.sync(async () => {
      const noted = this.#flat?.noted ?? 0
      await this.child.sync()
      this.#flat?.synced(noted)
    }) : this.child.sync())
  }
  /** Only where the child has one of its own: an adaptor stands above, so that the faults of files are its. */
  get blobs(): (() => Blobs) | undefined {
    const { child } = this
    return child.blobs && (() => this.#flat ??= new FaultBlobs(child.blobs!(), this))
  }
  async *snapshots(): AsyncIterable<SnapshotInfo> { if (this.child.snapshots) yield* this.child.snapshots() }
  async crash(): Promise<void> {
    if (!this.unsynced) throw new TypeError('fault: crash() needs drop-unsynced=on')
    this.epoch++
    await this.unsynced.crash(this.child, this.chance, this.tornRate)
    await this.#flat?.crash()
    await this.child.sync()
  }
  async close(): Promise<void> {
    await this.unsynced?.sync(() => {})
    await this.child.close()
  }
  async [Symbol.asyncDispose](): Promise<void> { await this.close() }

  /** The call, or what befalls it. failing: what an error may do first. */
  at<T>(op: Op, f: () => Awaitable<T>, call?: Call, failing?: () => Awaitable<unknown>): Awaitable<T> {
    const { chance } = this, values = this.#values
    if (this.#ops && !this.#ops.has(op)) return f()
    const fails = chance.hits(`${op} error`, values['error-rate'])
    const waits = values.delay > 0 && chance.hits(`${op} delay`, values['delay-rate'])
    if (!fails && !waits) return f()
    const { epoch } = this
    const run = (): Awaitable<T> => {
      if (epoch !== this.epoch) throw errno('ESTALE', op)
      if (!fails) return f()
      const refuse = (): never => { throw errno(values.error, op) }
      return failing && chance.hits('torn write', values['torn-rate']) ? after(failing(), refuse) : refuse()
    }
    return waits ? sleep(values.delay, op, call).then(run) : run()
  }
  /** How many of so many bytes may be read. */
  readable(length: number): number {
    return length > 1 && this.chance.hits('short read', this.#values['short-read-rate']) ? 1 + this.chance.below('short read length', length - 1) : length
  }
  /** How many of so many bytes may still be written. ENOSPC: none of at least one. */
  writable(op: Op, length: number): number {
    const left = Math.max(0, this.#values['full-after'] - this.#written)
    if (left === 0) throw errno('ENOSPC', op)
    return Math.min(left, length)
  }
  wrote(length: number): void { this.#written += length }
  get left(): number { return Math.max(0, this.#values['full-after'] - this.#written) }
}

/** EINTR: aborted meanwhile. */
function sleep(seconds: number, op: string, call: Call | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000)
    call?.onAbort(() => {
      clearTimeout(timer)
      reject(errno('EINTR', op))
    })
  })
}

class FaultNode extends ForwardNode<Fault> {
  readonly pin: Pin
  readonly epoch: number
  constructor(child: Node, layer: Fault) {
    super(child, layer)
    this.pin = new Pin(child)
    this.epoch = layer.epoch
  }
  protected override wrap(child: Node): Node { return new FaultNode(child, this.layer) }
  #at<T>(op: Op, f: () => Awaitable<T>, call?: Call): Awaitable<T> {
    if (this.epoch !== this.layer.epoch) throw errno('ESTALE', op)
    return this.layer.at(op, f, call)
  }
  /** A change: noted first, where a crash is to undo it, and made when those before it are. */
  #change<T>(op: Op, note: (unsynced: Unsynced) => Awaitable<void>, make: () => Awaitable<T>, call?: Call): Awaitable<T> {
    const { unsynced } = this.layer
    return this.#at(op, () => unsynced ? unsynced.alone(async () => { await note(unsynced); return await make() }) : make(), call)
  }
  #add<T>(op: Op, name: string, make: () => Awaitable<T>): Awaitable<T> {
    return this.#change(op, (u) => u.name(this.pin, name), () => { this.layer.writable(op, 1); return make() })
  }

  override walk(name: string): Awaitable<Node> { return this.#at('walk', () => super.walk(name)) }
  override parent(): Awaitable<Node> { return this.#at('parent', () => super.parent()) }
  override getattr(mask: number): Awaitable<Attr> { return this.#at('getattr', () => super.getattr(mask)) }
  override setattr(attr: SetAttr): Awaitable<void> { return this.#change('setattr', (u) => u.attr(this.pin, attr), () => super.setattr(attr)) }
  override open(flags: number, call?: Call): Awaitable<Handle> {
    const open = () => after(this.child.open(flags, call), (h) => new FaultHandle(h, this, flags))
    return flags & O.TRUNC ? this.#change('open', (u) => u.attr(this.pin, { size: 0 }), open, call) : this.#at('open', open, call)
  }
  override create(name: string, flags: number, mode: number, owner: Owner): Awaitable<Created> {
    return this.#add('create', name, () => after(this.child.create(name, flags, mode, owner), ({ node: child, handle }) => {
      const node = new FaultNode(child, this.layer)
      return { node, handle: new FaultHandle(handle, node, flags) }
    }))
  }
  override mkdir(name: string, mode: number, owner: Owner): Awaitable<Node> {
    return this.#add('mkdir', name, () => after(super.mkdir(name, mode, owner), (node) => {
      this.layer.unsynced?.made(this.pin, node)
      return node
    }))
  }
  override symlink(name: string, target: string, owner: Owner): Awaitable<Node> { return this.#add('symlink', name, () => super.symlink(name, target, owner)) }
  override mknod(name: string, mode: number, rdev: bigint, owner: Owner): Awaitable<Node> { return this.#add('mknod', name, () => super.mknod(name, mode, rdev, owner)) }
  override link(target: Node, name: string): Awaitable<void> { return this.#add('link', name, () => super.link(target, name)) }
  override renameat(name: string, dir: Node, newName: string, expect?: bigint): Awaitable<void> {
    const note = async (u: Unsynced) => { if (dir instanceof FaultNode) await u.rename(this.pin, name, dir.pin, newName) }
    return this.#change('renameat', note, () => super.renameat(name, dir, newName, expect))
  }
  override unlinkat(name: string, flags: number, expect?: bigint): Awaitable<void> {
    return this.#change('unlinkat', (u) => u.name(this.pin, name), () => super.unlinkat(name, flags, expect))
  }
  override readlink(): Awaitable<string> { return this.#at('readlink', () => super.readlink()) }
  override statfs(): Awaitable<StatFs> {
    return this.#at('statfs', () => after(super.statfs(), (fs) => {
      const left = Math.floor(this.layer.left / fs.bsize)
      return left >= fs.bfree ? fs : { ...fs, bfree: left, bavail: Math.min(left, fs.bavail) }
    }))
  }
  override getxattr(name: string): Awaitable<Uint8Array> { return this.#at('getxattr', () => super.getxattr(name)) }
  override setxattr(name: string, value: Uint8Array, flags: number): Awaitable<void> {
    return this.#change('setxattr', (u) => u.xattr(this.pin, name), () => { this.layer.writable('setxattr', 1); return super.setxattr(name, value, flags) })
  }
  override listxattr(): Awaitable<string[]> { return this.#at('listxattr', () => super.listxattr()) }
  override removexattr(name: string): Awaitable<void> { return this.#change('removexattr', (u) => u.xattr(this.pin, name), () => super.removexattr(name)) }
  override close(): Awaitable<void> { return this.pin.release() }
}

class FaultHandle extends ForwardHandle<Fault> {
  readonly pin: Pin
  readonly epoch: number
  constructor(child: Handle, node: FaultNode, readonly flags: number) {
    super(child, node.layer)
    this.pin = node.pin.retain()
    this.epoch = node.epoch
  }
  #at<T>(op: Op, f: () => Awaitable<T>, call?: Call, failing?: () => Awaitable<unknown>): Awaitable<T> {
    if (this.epoch !== this.layer.epoch) throw errno('ESTALE', op)
    return this.layer.at(op, f, call, failing)
  }
  override read(into: Uint8Array, offset: number, call?: Call): Awaitable<Uint8Array> {
    return this.#at('read', () => {
      const length = this.layer.readable(into.length)
      return this.child.read(length === into.length ? into : into.subarray(0, length), offset, call)
    }, call)
  }
  override write(bytes: Uint8Array, offset: number, call?: Call): Awaitable<number> {
    const torn = () => this.#write(bytes.subarray(0, this.layer.chance.below('torn write length', bytes.length)), offset, call)
    return this.#at('write', () => this.#write(bytes, offset, call), call, torn)
  }
  #write(bytes: Uint8Array, offset: number, call?: Call): Awaitable<number> {
    const { unsynced } = this.layer
    if (bytes.length === 0) return 0
    const write = () => {
      const length = this.layer.writable('write', bytes.length)
      return after(this.child.write(length === bytes.length ? bytes : bytes.subarray(0, length), offset, call), (n) => { this.layer.wrote(n); return n })
    }
    if (!unsynced) return write()
    return unsynced.alone(async () => {
      await unsynced.write(this.pin, this.flags & O.APPEND ? undefined : offset, bytes.length)
      const n = await write()
      if (this.flags & O.DSYNC) await unsynced.synced(this.pin, (this.flags & O.SYNC) !== O.SYNC)
      return n
    })
  }
  override readdir(cookie: bigint, sink: DirSink, mask: number, call?: Call): Awaitable<boolean> { return this.#at('readdir', () => super.readdir(cookie, sink, mask, call), call) }
  override getattr(mask: number): Awaitable<Attr> { return this.#at('getattr', () => super.getattr(mask)) }
  override setattr(attr: SetAttr): Awaitable<void> {
    const { unsynced } = this.layer
    return this.#at('setattr', () => unsynced ? unsynced.alone(async () => { await unsynced.attr(this.pin, attr); await super.setattr(attr) }) : super.setattr(attr))
  }
  override fsync(dataOnly: boolean, call?: Call): Awaitable<void> {
    const { unsynced } = this.layer
    return this.#at('fsync', () => unsynced ? unsynced.alone(async () => {
      await super.fsync(dataOnly, call)
      await unsynced.synced(this.pin, dataOnly)
    }) : super.fsync(dataOnly, call), call)
  }
  override close(): Awaitable<void> { return after(this.child.close(), () => this.pin.release()) }
}
