// Keeps the marks of translator.ts for a translator that does not order its calls itself: [r] beside other [r] of that
// node, [w] alone in that directory, unmarked beside anything; a rename takes its two directories in identity order
// and, moving a directory, one lock of the instance. A forwarding layer like any other, put on at mount time.

import { QT } from 'ninep'
import { ForwardNode, ForwardTranslator } from '../translators/forward.ts'
import type { Attr, SetAttr } from 'ninep'
import type { Awaitable, Call, Created, Handle, Node, Owner, Translator, Volume } from '../translators/translator.ts'

/** The same translator with its calls in order. */
export function ordered(translator: Translator): Translator {
  const layer: Turns = { volumes: new Map(), ranks: new WeakMap(), seen: 0, renames: new Turn(() => {}) }
  return new ForwardTranslator(translator.name, translator, (root) => new OrderedNode(root, layer))
}

/** ranks: an order of volumes, that of their first rename. */
interface Turns { readonly volumes: Map<Volume, Map<bigint, Turn>>; readonly ranks: WeakMap<Volume, number>; seen: number; readonly renames: Turn }

/** A queue of readers and writers, first come first served; `idle` is called when nobody holds or waits. */
class Turn {
  #readers = 0
  #writing = false
  #waiting: { write: boolean; go: () => void }[] = []
  constructor(private readonly idle: () => void) {}

  enter(write: boolean): Awaitable<void> {
    if (this.#waiting.length === 0 && !this.#writing && (!write || this.#readers === 0)) { this.#hold(write); return }
    return new Promise((go) => { this.#waiting.push({ write, go }) })
  }
  leave(write: boolean): void {
    if (write) this.#writing = false
    else this.#readers--
    for (;;) {
      const next = this.#waiting[0]
      if (!next || this.#writing || (next.write && this.#readers > 0)) break
      this.#waiting.shift()
      this.#hold(next.write)
      next.go()
    }
    if (!this.#writing && this.#readers === 0) this.idle()
  }
  #hold(write: boolean): void { if (write) this.#writing = true; else this.#readers++ }
}

class OrderedNode extends ForwardNode<Turns> {
  protected override wrap(child: Node): Node { return new OrderedNode(child, this.layer) }

  get #turn(): Turn {
    const { volume, qid: { path } } = this.child, { volumes } = this.layer
    let paths = volumes.get(volume)
    if (!paths) volumes.set(volume, paths = new Map())
    let turn = paths.get(path)
    if (!turn) {
      const of = paths
      paths.set(path, turn = new Turn(() => { of.delete(path); if (of.size === 0) volumes.delete(volume) }))
    }
    return turn
  }

  override walk(name: string): Awaitable<Node> { return inTurn(() => this.#turn, false, () => super.walk(name)) }
  override getattr(mask: number): Awaitable<Attr> { return inTurn(() => this.#turn, false, () => super.getattr(mask)) }
  override open(flags: number, call?: Call): Awaitable<Handle> { return inTurn(() => this.#turn, false, () => super.open(flags, call)) }
  override setattr(attr: SetAttr): Awaitable<void> { return inTurn(() => this.#turn, true, () => super.setattr(attr)) }
  override create(name: string, flags: number, mode: number, owner: Owner): Awaitable<Created> { return inTurn(() => this.#turn, true, () => super.create(name, flags, mode, owner)) }
  override mkdir(name: string, mode: number, owner: Owner): Awaitable<Node> { return inTurn(() => this.#turn, true, () => super.mkdir(name, mode, owner)) }
  override symlink(name: string, target: string, owner: Owner): Awaitable<Node> { return inTurn(() => this.#turn, true, () => super.symlink(name, target, owner)) }
  override mknod(name: string, mode: number, rdev: bigint, owner: Owner): Awaitable<Node> { return inTurn(() => this.#turn, true, () => super.mknod(name, mode, rdev, owner)) }
  override link(target: Node, name: string): Awaitable<void> { return inTurn(() => this.#turn, true, () => super.link(target, name)) }
  override unlinkat(name: string, flags: number, expect?: bigint): Awaitable<void> { return inTurn(() => this.#turn, true, () => super.unlinkat(name, flags, expect)) }

  /** Whether this directory's turn is taken first: everybody asks in the same order. */
  #before(other: Node): boolean {
    if (other.volume === this.volume) return this.qid.path < other.qid.path
    const { layer } = this, { ranks } = layer
    for (const volume of [this.volume, other.volume]) if (!ranks.has(volume)) ranks.set(volume, layer.seen++)
    return ranks.get(this.volume)! < ranks.get(other.volume)!
  }
  override async renameat(name: string, dir: Node, newName: string, expect?: bigint): Promise<void> {
    const other = this.unwrap(dir, 'renameat')
    const rename = () => super.renameat(name, dir, newName, expect)
    const inBoth = () => {
      if (other.volume === this.volume && other.qid.path === this.qid.path) return inTurn(() => this.#turn, true, rename)
      const [first, second] = this.#before(other) ? [this, dir as OrderedNode] : [dir as OrderedNode, this]
      return inTurn(() => first.#turn, true, () => inTurn(() => second.#turn, true, rename))
    }
    // Two directories that moved into each other at the same time would make a loop.
    await using moved = await this.walk(name)
    await ((moved.qid.type & QT.DIR) === 0 ? inBoth() : inTurn(() => this.layer.renames, true, inBoth))
  }
}

/** `of` is asked when the turn is taken: one that nobody held may have been let go since. */
function inTurn<T>(of: () => Turn, write: boolean, f: () => Awaitable<T>): Awaitable<T> {
  const turn = of()
  const turned = turn.enter(write)
  if (turned instanceof Promise) return turned.then(() => held(turn, write, f))
  return held(turn, write, f)
}
function held<T>(turn: Turn, write: boolean, f: () => Awaitable<T>): Awaitable<T> {
  let result: Awaitable<T>
  try { result = f() } catch (e) { turn.leave(write); throw e }
  if (result instanceof Promise) return result.finally(() => turn.leave(write))
  turn.leave(write)
  return result
}
