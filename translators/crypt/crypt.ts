// Encryption over any child. What it keeps from whom: THREATS.md. What it stores: FORMAT.md. Over a child's blobs for the trees above
// (blobs.ts), or over its files and directories (node.ts).

import { blobsFace } from '../blobs.ts'
import { unlock } from '../keys.ts'
import type { VolumeKey } from '../keys.ts'
import { BadOption, path, text, translator } from '../options.ts'
import type { Log } from '../options.ts'
import { canLock } from '../sodium.ts'
import type { Awaitable, Blobs, Node, SnapshotInfo, Translator } from '../translator.ts'
import { SealedBlobs } from './blobs.ts'
import { CryptNode, Vault } from './node.ts'
import { Ring } from './ring.ts'

export const crypt = translator({
  name: 'crypt',
  about: 'Encrypt and authenticate contents, names, attributes, or the blobs of a tree, by the key of a key file.',
  children: 1,
  options: {
    'key-file': path({ about: 'made by `ninefold key new`', positional: true, reserved: true }),
    unlock: text({ about: 'where what opens it comes from: file:PATH, env:NAME, command:LINE', default: 'env:NINEFOLD_KEY', reserved: true }),
  },
  async start(options, [child], env) {
    if (!canLock()) env.log.warn({}, 'crypt: keys may be swapped to disk, for this user may not lock memory. Raise the limit: ulimit -l, or LimitMEMLOCK= of systemd')
    try { return new Crypt(child, await unlock(options['key-file'], options.unlock), env.log) } catch (e) {
      throw e instanceof Error && e.name === 'KeyError' ? new BadOption(`crypt: ${e.message}`) : e
    }
  },
})

class Crypt implements Translator {
  readonly name = 'crypt'
  #blobs: SealedBlobs | undefined
  readonly #ring: Ring
  readonly #vault: Vault
  constructor(private readonly child: Translator, private readonly key: VolumeKey, private readonly log: Log) {
    this.#ring = new Ring(key)
    this.#vault = new Vault(this.#ring, log, () => child.attach(''))
  }
  async attach(aname: string): Promise<Node> {
    const root = new CryptNode(await this.child.attach(aname), this.#vault, '/', null)
    try { await root.id('attach') } catch (e) {
      await root.close()
      throw e
    }
    return root
  }
  blobs(): Blobs { return this.#blobs ??= new SealedBlobs(() => blobsFace(this.child), this.key, this.log) }
  sync(): Awaitable<void> { return this.child.sync() }
  async *snapshots(): AsyncIterable<SnapshotInfo> { if (this.child.snapshots) yield* this.child.snapshots() }
  async close(): Promise<void> {
    try { await this.child.close() } finally {
      this.#blobs?.close()
      this.#ring.close()
      this.key.close()
    }
  }
  async [Symbol.asyncDispose](): Promise<void> { await this.close() }
}
