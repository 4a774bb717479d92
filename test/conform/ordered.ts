import { Files, ForwardNode, ForwardTranslator } from '../../translators/forward.ts'
import type { Attr, SetAttr } from 'ninep'
import type { Awaitable, Call, Created, Handle, Node, Owner, Translator } from '../../translators/translator.ts'

/** A layer that keeps the marks of translator.ts, for a translator that is not `concurrent`: [r] beside other [r] of
 *  the node, [w] alone in the directory, unmarked beside anything. */
export function ordered(child: Translator): Translator {
  const layer: Order = { locks: new Files(() => new Lock()), moves: new Lock() }
  return new ForwardTranslator(child.name, child, (root) => new OrderedNode(root, layer))
}
interface Order { readonly locks: Files<Lock>; readonly moves: Lock }

/** Readers together, a writer alone, in the order they came. */
class Lock {
  #writer: Promise<unknown> = Promise.resolve()
  #readers: Promise<unknown>[] = []
  shared<T>(f: () => Awaitable<T>): Promise<T> {
    const run = this.#writer.then(f)
    this.#readers.push(run.catch(() => {}))
    return run
  }
  alone<T>(f: () => Awaitable<T>): Promise<T> {
    const run = Promise.all([this.#writer, ...this.#readers]).then(f)
    this.#writer = run.catch(() => {})
    this.#readers = []
    return run
  }
}

class OrderedNode extends ForwardNode<Order> {
  protected override wrap(child: Node) { return new OrderedNode(child, this.layer) }
  async #shared<T>(f: () => Awaitable<T>): Promise<T> {
    const lock = this.layer.locks.acquire(this.child)
    try { return await lock.shared(f) } finally { this.layer.locks.release(this.child) }
  }
  async #alone<T>(f: () => Awaitable<T>): Promise<T> {
    const lock = this.layer.locks.acquire(this.child)
    try { return await lock.alone(f) } finally { this.layer.locks.release(this.child) }
  }
  override walk(name: string): Awaitable<Node> { return this.#shared(() => super.walk(name)) }
  override getattr(mask: number): Awaitable<Attr> { return this.#shared(() => super.getattr(mask)) }
  override setattr(attr: SetAttr): Awaitable<void> { return this.#alone(() => super.setattr(attr)) }
  override open(flags: number, call?: Call): Awaitable<Handle> { return this.#shared(() => super.open(flags, call)) }
  override create(name: string, flags: number, mode: number, owner: Owner): Awaitable<Created> {
    return this.#alone(() => super.create(name, flags, mode, owner))
  }
  override mkdir(name: string, mode: number, owner: Owner): Awaitable<Node> { return this.#alone(() => super.mkdir(name, mode, owner)) }
  override symlink(name: string, target: string, owner: Owner): Awaitable<Node> { return this.#alone(() => super.symlink(name, target, owner)) }
  override mknod(name: string, mode: number, rdev: bigint, owner: Owner): Awaitable<Node> {
    return this.#alone(() => super.mknod(name, mode, rdev, owner))
  }
  override link(target: Node, name: string): Awaitable<void> { return this.#alone(() => super.link(target, name)) }
  override unlinkat(name: string, flags: number, expect?: bigint): Awaitable<void> { return this.#alone(() => super.unlinkat(name, flags, expect)) }
  override renameat(name: string, dir: Node, newName: string, expect?: bigint): Awaitable<void> {
    const move = () => super.renameat(name, dir, newName, expect)
    if (!(dir instanceof OrderedNode) || dir.layer !== this.layer) return this.#alone(move)
    if (dir.volume === this.volume && dir.qid.path === this.qid.path) return this.#alone(move)
    const [first, second] = this.qid.path < dir.qid.path ? [this, dir] : [dir, this]
    return this.layer.moves.alone(() => first.#alone(() => second.#alone(move)))
  }
}
