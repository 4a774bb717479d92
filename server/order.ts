// Keeps the marks of translator.ts for a translator that does not order its calls itself: [r] beside other [r] of that
// node, [w] alone in that directory, unmarked beside anything; a rename takes its two directories in identity order
// and, moving a directory, one lock of the instance. A forwarding layer like any other, put on at mount time.

import { QT } from 'ninep'
import { Files, ForwardNode, ForwardTranslator } from '../translators/forward.ts'
import type { Attr, SetAttr } from 'ninep'
import { Turn, lastly } from '../translators/turn.ts'
import type { Awaitable, Call, Created, Handle, Node, Owner, Translator, Volume } from '../translators/translator.ts'

/** The same translator with its calls in order. */
export function ordered(translator: Translator): Translator {
  const layer: Turns = { files: new Files(() => new Turn()), renames: new Turn(), ranks: new WeakMap(), seen: 0 }
  return new ForwardTranslator(translator.name, translator, (root) => new OrderedNode(root, layer))
}

/** ranks: an order of volumes, that of their first rename. */
interface Turns { readonly files: Files<Turn>; readonly renames: Turn; readonly ranks: WeakMap<Volume, number>; seen: number }

class OrderedNode extends ForwardNode<Turns> {
  protected override wrap(child: Node): Node { return new OrderedNode(child, this.layer) }

  #turn<T>(write: boolean, f: () => Awaitable<T>): Awaitable<T> {
    const { child, layer: { files } } = this, turn = files.acquire(child)
    return lastly(() => turn.take(write, f), () => files.release(child))
  }
  /** Whether this directory's turn is taken first: everybody asks in the same order. */
  #before(other: Node): boolean {
    if (other.volume === this.volume) return this.qid.path < other.qid.path
    const { layer } = this, { ranks } = layer
    for (const volume of [this.volume, other.volume]) if (!ranks.has(volume)) ranks.set(volume, layer.seen++)
    return ranks.get(this.volume)! < ranks.get(other.volume)!
  }

  override walk(name: string): Awaitable<Node> { return this.#turn(false, () => super.walk(name)) }
  override getattr(mask: number): Awaitable<Attr> { return this.#turn(false, () => super.getattr(mask)) }
  override open(flags: number, call?: Call): Awaitable<Handle> { return this.#turn(false, () => super.open(flags, call)) }
  override setattr(attr: SetAttr): Awaitable<void> { return this.#turn(true, () => super.setattr(attr)) }
  override create(name: string, flags: number, mode: number, owner: Owner): Awaitable<Created> { return this.#turn(true, () => super.create(name, flags, mode, owner)) }
  override mkdir(name: string, mode: number, owner: Owner): Awaitable<Node> { return this.#turn(true, () => super.mkdir(name, mode, owner)) }
  override symlink(name: string, target: string, owner: Owner): Awaitable<Node> { return this.#turn(true, () => super.symlink(name, target, owner)) }
  override mknod(name: string, mode: number, rdev: bigint, owner: Owner): Awaitable<Node> { return this.#turn(true, () => super.mknod(name, mode, rdev, owner)) }
  override link(target: Node, name: string): Awaitable<void> { return this.#turn(true, () => super.link(target, name)) }
  override unlinkat(name: string, flags: number, expect?: bigint): Awaitable<void> { return this.#turn(true, () => super.unlinkat(name, flags, expect)) }

  override async renameat(name: string, dir: Node, newName: string, expect?: bigint): Promise<void> {
    this.unwrap(dir, 'renameat')
    const other = dir as OrderedNode
    const rename = () => super.renameat(name, dir, newName, expect)
    const inBoth = () => {
      if (other.volume === this.volume && other.qid.path === this.qid.path) return this.#turn(true, rename)
      const [first, second] = this.#before(other) ? [this, other] : [other, this]
      return first.#turn(true, () => second.#turn(true, rename))
    }
    // Two directories that moved into each other at the same time would make a loop.
    await using moved = await this.walk(name)
    await ((moved.qid.type & QT.DIR) === 0 ? inBoth() : this.layer.renames.take(true, inBoth))
  }
}
