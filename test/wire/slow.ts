// A layer that makes each call take a while, stops calls on demand, and watches the server: what it does to nodes and
// handles that are closed, or still at work, is written down.

import { errno } from 'ninep'
import type { Attr, SetAttr, StatFs } from 'ninep'
import { ForwardHandle, ForwardNode, ForwardTranslator } from '../../translators/forward.ts'
import { translator } from '../../translators/options.ts'
import type { Awaitable, Call, Created, DirSink, Handle, Node, Owner, Translator } from '../../translators/translator.ts'

interface Gate { readonly open: Promise<void>; waiting: number }

/** What a test holds of a slow layer. */
export class Control {
  /** What the server must not have done. */
  readonly violations: string[] = []
  /** Open now. */
  nodes = 0
  handles = 0
  /** At work now. */
  calls = 0
  /** Stopped calls end with EINTR when their request is aborted. */
  yields = false
  #gates = new Map<string, Gate>()
  #step = 0
  /** delays: milliseconds, taken in turn; 0 is a turn of the loop. */
  constructor(private readonly delays: readonly number[] = [0, 1, 0, 0, 2, 0, 0, 0, 1]) {}

  /** Stops all calls of this name before they begin, until the result is called. */
  stop(op: string): () => void {
    let go!: () => void
    this.#gates.set(op, { open: new Promise((resolve) => { go = resolve }), waiting: 0 })
    return () => { this.#gates.delete(op); go() }
  }
  /** Waits until so many calls of this name stand still. */
  async stopped(op: string, count = 1): Promise<void> {
    for (let tries = 0; (this.#gates.get(op)?.waiting ?? 0) < count; tries++) {
      if (tries > 500) throw new Error(`${op}: ${this.#gates.get(op)?.waiting} calls came, not ${count}`)
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  }
  async pass(op: string, call?: Call): Promise<void> {
    const gate = this.#gates.get(op)
    if (gate) {
      gate.waiting++
      const aborted = new Promise<void>((_, reject) => { if (this.yields) call?.onAbort(() => reject(errno('EINTR', op))) })
      try { await Promise.race([gate.open, aborted]) } finally { gate.waiting-- }
    }
    const ms = this.delays[this.#step++ % this.delays.length]!
    await new Promise<void>((resolve) => { ms === 0 ? setImmediate(resolve) : setTimeout(resolve, ms) })
  }
  /** Waits until nothing is at work, and no more than this is open. */
  async idle(nodes: number, handles = 0): Promise<void> {
    const settled = () => this.calls === 0 && this.nodes <= nodes && this.handles <= handles
    for (let tries = 0; !settled(); tries++) {
      if (tries > 500) throw new Error(`${this.calls} calls are at work, ${this.nodes} nodes and ${this.handles} handles are open; ${nodes} and ${handles} should be`)
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  }
}

/** The child, slowed down under this control. */
export function slow(control: Control, child: Translator): Promise<Translator> {
  const layer = translator({
    name: 'slow', about: 'Take a while.', children: 1, options: {}, concurrent: true,
    start: (_, [below]) => new ForwardTranslator('slow', below, (root) => new SlowNode(root, control)),
  })
  return layer({}, child)
}

/** Calls on something that is open, and its close. */
class Life {
  #closed = false
  #busy = 0
  constructor(private readonly control: Control, private readonly what: 'node' | 'handle') { this.#count(1) }
  #count(by: number): void { if (this.what === 'node') this.control.nodes += by; else this.control.handles += by }
  async run<T>(op: string, f: () => Awaitable<T>, call?: Call): Promise<T> {
    const { control, what } = this
    if (this.#closed) control.violations.push(`${op} on a ${what} that is closed`)
    this.#busy++
    control.calls++
    try {
      await control.pass(op, call)
      return await f()
    } finally {
      this.#busy--
      control.calls--
    }
  }
  async close(f: () => Awaitable<void>): Promise<void> {
    const { control, what } = this
    if (this.#closed) { control.violations.push(`a ${what} was closed twice`); return }
    if (this.#busy > 0) control.violations.push(`a ${what} was closed while ${this.#busy} calls were at work on it`)
    this.#closed = true
    control.calls++
    try {
      await control.pass(`close ${what}`)
      await f()
    } finally {
      control.calls--
      this.#count(-1)
    }
  }
}

class SlowNode extends ForwardNode<Control> {
  #life: Life
  constructor(child: Node, control: Control) { super(child, control); this.#life = new Life(control, 'node') }
  protected override wrap(child: Node): Node { return new SlowNode(child, this.layer) }
  protected override wrapHandle(child: Handle): Handle { return new SlowHandle(child, this.layer) }
  override walk(name: string) { return this.#life.run('walk', () => super.walk(name)) }
  override parent() { return this.#life.run('parent', () => super.parent()) }
  override getattr(mask: number) { return this.#life.run('getattr', () => super.getattr(mask)) }
  override setattr(attr: SetAttr) { return this.#life.run('setattr', () => super.setattr(attr)) }
  override open(flags: number, call?: Call) { return this.#life.run('open', () => super.open(flags, call), call) }
  override create(name: string, flags: number, mode: number, owner: Owner): Promise<Created> { return this.#life.run('create', () => super.create(name, flags, mode, owner)) }
  override mkdir(name: string, mode: number, owner: Owner) { return this.#life.run('mkdir', () => super.mkdir(name, mode, owner)) }
  override symlink(name: string, target: string, owner: Owner) { return this.#life.run('symlink', () => super.symlink(name, target, owner)) }
  override mknod(name: string, mode: number, rdev: bigint, owner: Owner) { return this.#life.run('mknod', () => super.mknod(name, mode, rdev, owner)) }
  override link(target: Node, name: string) { return this.#life.run('link', () => super.link(target, name)) }
  override renameat(name: string, dir: Node, newName: string, expect?: bigint) { return this.#life.run('renameat', () => super.renameat(name, dir, newName, expect)) }
  override unlinkat(name: string, flags: number, expect?: bigint) { return this.#life.run('unlinkat', () => super.unlinkat(name, flags, expect)) }
  override readlink() { return this.#life.run('readlink', () => super.readlink()) }
  override statfs(): Promise<StatFs> { return this.#life.run('statfs', () => super.statfs()) }
  override getxattr(name: string) { return this.#life.run('getxattr', () => super.getxattr(name)) }
  override setxattr(name: string, value: Uint8Array, flags: number) { return this.#life.run('setxattr', () => super.setxattr(name, value, flags)) }
  override listxattr() { return this.#life.run('listxattr', () => super.listxattr()) }
  override removexattr(name: string) { return this.#life.run('removexattr', () => super.removexattr(name)) }
  override close() { return this.#life.close(() => super.close()) }
}

class SlowHandle extends ForwardHandle<Control> {
  #life: Life
  constructor(child: Handle, control: Control) { super(child, control); this.#life = new Life(control, 'handle') }
  override read(into: Uint8Array, offset: number, call?: Call) { return this.#life.run('read', () => super.read(into, offset, call), call) }
  override async write(bytes: Uint8Array, offset: number, call?: Call) {
    const before = Buffer.from(bytes)
    return this.#life.run('write', () => {
      if (!before.equals(bytes)) this.layer.violations.push('bytes that were lent to a write changed')
      return super.write(bytes, offset, call)
    }, call)
  }
  override readdir(cookie: bigint, sink: DirSink, mask: number, call?: Call) { return this.#life.run('readdir', () => super.readdir(cookie, sink, mask, call), call) }
  override getattr(mask: number): Promise<Attr> { return this.#life.run('handle getattr', () => super.getattr(mask)) }
  override setattr(attr: SetAttr) { return this.#life.run('handle setattr', () => super.setattr(attr)) }
  override fsync(dataOnly: boolean, call?: Call) { return this.#life.run('fsync', () => super.fsync(dataOnly, call), call) }
  override close() { return this.#life.close(() => super.close()) }
}
