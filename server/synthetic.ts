// Empty directories that stand where the namespace has a path and no translator has one. Read-only; made by attach.

import { createHash } from 'node:crypto'
import { QT, S, errno } from 'ninep'
import type { Attr, Qid, Time } from 'ninep'
import { now } from '../translators/clock.ts'
import { translator } from '../translators/options.ts'
import { SyntheticHandle, SyntheticNode, mayOnlyRead, syntheticAttr } from '../translators/synthetic.ts'
import type { Handle, Node, Translator, Volume } from '../translators/translator.ts'

/** A translator whose attach(PATH) is an empty directory, the same one for the same PATH. */
export const Synthetic = translator({
  name: 'namespace', about: 'Empty directories on the way to mount points.', children: 0, options: {}, concurrent: true,
  start: (): Translator => {
    const volume: Volume = { label: 'namespace' }, born = now()
    return {
      name: 'namespace',
      attach(path) {
        // A number that is the path's own, so that it is the same whatever else is mounted, and after a restart.
        const number = createHash('sha256').update(path).digest().readUIntBE(0, 5)
        return new Empty(volume, { type: QT.DIR, version: 1, path: BigInt(number) }, born)
      },
      sync() {}, close() {}, async [Symbol.asyncDispose]() {},
    }
  },
})

class Empty extends SyntheticNode {
  constructor(readonly volume: Volume, readonly qid: Qid, private readonly born: Time) { super() }
  override walk(name: string): Node { throw errno('ENOENT', 'walk', name) }
  override parent(): Node { return this }
  override getattr(): Attr { return syntheticAttr(this.qid, S.IFDIR | 0o555, this.born) }
  override open(flags: number): Handle {
    mayOnlyRead(this.qid, flags)
    return new Listing(this)
  }
}
class Listing extends SyntheticHandle {
  override readdir(): boolean { return true }
}
