// What stands over a node whose passive translator did not start: it can be looked at, and nothing else, so that it is seen which
// node it is, and its record can be changed.

import { errno } from 'ninep'
import type { Attr, StatFs } from 'ninep'
import { translator } from '../translators/options.ts'
import { SyntheticNode } from '../translators/synthetic.ts'
import type { Awaitable, Handle, Node, Translator } from '../translators/translator.ts'
import type { File } from './namespace.ts'
import type { AnyFactory } from './translators.ts'

/** A brick of one file that has the attributes of this one, and is EIO but for them. */
export function failing(file: File, why: Error): AnyFactory {
  return translator({
    name: 'failed', about: 'What did not start.', children: 0, options: {}, concurrent: true,
    start: (): Translator => ({ name: 'failed', attach: () => new Failed(file, why), sync() {}, close() {}, async [Symbol.asyncDispose]() {} }),
  }) as unknown as AnyFactory
}
class Failed extends SyntheticNode {
  constructor(private readonly file: File, private readonly why: Error) { super() }
  #fail(op: string): never { throw errno('EIO', `${op}: the passive translator did not start: ${this.why.message}`) }
  override get volume() { return this.file.node.volume }
  override get qid() { return this.file.node.qid }
  override getattr(mask: number): Awaitable<Attr> { return this.file.node.getattr(mask) }
  override statfs(): Awaitable<StatFs> { return this.file.node.statfs() }
  override walk(): Node { return this.#fail('walk') }
  override parent(): Awaitable<Node> { return this.file.node.parent() }
  override open(): Handle { return this.#fail('open') }
}
