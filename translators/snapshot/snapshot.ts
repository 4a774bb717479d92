// A file system of its own over the blobs of any translator: names and attributes in LevelDB, data in blobs that never change.

import { resolve } from 'node:path'
import { errno } from 'ninep'
import { blobsFace } from '../blobs.ts'
import { BadOption, choice, int, map, path, size, translator } from '../options.ts'
import type { Env, Values } from '../options.ts'
import type { Node, SnapshotInfo, Translator } from '../translator.ts'
import { Instance } from '../tree/instance.ts'

import { TreeNode } from '../tree/node.ts'
import { kinds, tick } from './keep.ts'
import type { Keep } from './keep.ts'
import { tell } from './tell.ts'
import { Packer } from '../tree/packer.ts'
import { resume } from '../tree/reclaim.ts'
import { emptyTree, Tree } from '../tree/tree.ts'

const options = {
  state: path({ about: 'folder for names and attributes; unless told, one in the server\'s state', default: '' }),
  durability: choice(['group', 'sync', 'async'], { about: 'what a reply means: survives a kill (group), power loss (sync), or neither (async)', default: 'group' }),
  keep: map(int({ about: 'how many' }), { about: `snapshots made by the clock, and how many of each to keep: ${kinds.join(', ')} (hourly:24,daily:7)`, default: {}, live: true }),
  segment: size({ about: 'bytes of journal after which data of small writes are moved to blobs', min: 65536, max: 2 ** 30, default: 64 * 2 ** 20 }),
  mode: int({ about: 'permission bits of the root, when it is made', max: 0o7777, default: 0o1777 }),
  uid: int({ about: 'owner of the root, when it is made', max: 0xfffffffe, default: process.getuid?.() ?? 0 }),
  gid: int({ about: 'group of the root, when it is made', max: 0xfffffffe, default: process.getgid?.() ?? 0 }),
}

/** A full file system over blobs, with its names in LevelDB. */
export const snapshot = translator({
  name: 'snapshot',
  about: 'A file system with its names in a database and its data in blobs below.',
  children: 1,
  concurrent: true,
  exclusive: (options, env) => { const dir = folder(options, env); return dir === undefined ? [] : [`leveldb:${dir}`] },
  options,
  async start(values, [child], env) {
    const dir = folder(values, env)
    if (dir === undefined) throw new BadOption('snapshot: needs a folder for what it knows. Write state: ./state into the config, or snapshot state=./names')
    checkKeep(values.keep)
    const blobs = await blobsFace(child)
    const instance = await Instance.open({ dir, blobs, durability: values.durability, segment: values.segment, log: env.log }, () => emptyTree(1, values.mode, values))
    const snapshot = new Snapshot(child, instance)
    await snapshot.tree.epochs.open()
    snapshot.keep(values.keep)
    return snapshot
  },
})
function folder({ state }: Values<typeof options>, env: Env): string | undefined { return state !== '' ? resolve(state) : env.state && resolve(env.state) }

/** What keeps the files of a snapshot; undefined: it is none. For tests and tools. */
export function instanceOf(translator: Translator): Instance | undefined { return translator instanceof Snapshot ? translator.instance : undefined }
/** Ends an instance as a killed process would; for tests. */
export async function kill(translator: Translator): Promise<void> { if (translator instanceof Snapshot) await translator.instance.kill() }

function checkKeep(keep: Keep): void {
  for (const kind of Object.keys(keep)) if (!kinds.includes(kind)) throw new BadOption(`snapshot: keep: "${kind}" is no period. There are: ${kinds.join(', ')}.`, 'keep')
}
/** How often the clock is looked at, milliseconds. */
const LOOK = 20_000

/** What it is made of; for tests. */
export function insides(translator: Translator): { readonly tree: Tree; readonly packer: Packer } { return translator as Snapshot }

class Snapshot implements Translator {
  readonly name = 'snapshot'
  readonly tree: Tree
  readonly packer: Packer
  #resuming: Promise<void>
  constructor(readonly child: Translator, readonly instance: Instance) {
    this.tree = new Tree(instance, 1)
    this.packer = new Packer(instance)
    void this.packer.run()                                // of what an earlier start left
    this.#resuming = resume(this.tree).catch((err: unknown) => { if (!instance.closed) instance.setting.log.warn({ err }, 'what was to be deleted is still there') })
  }
  attach(aname: string): Node {
    if (aname !== '' && aname !== '/') throw errno('ENOENT', 'attach', aname)
    return new TreeNode(this.tree, this.tree.files.retain(this.tree.root))
  }
  async *snapshots(): AsyncIterable<SnapshotInfo> { for (const { value: { name, time } } of this.tree.epochs.list()) yield { name, time } }
  tell = (words: readonly string[], say: (line: readonly string[]) => void): Promise<void> => tell(this.tree, words, say)
  #clock: NodeJS.Timeout | undefined
  #ticking: Promise<void> | undefined
  /** Makes snapshots by the clock from here on. */
  keep(keep: Keep): void {
    clearInterval(this.#clock)
    if (Object.keys(keep).length === 0) return
    const look = () => {
      this.#ticking ??= tick(this.tree.epochs, keep)
        .catch((err: unknown) => { if (!this.instance.closed) this.instance.setting.log.warn({ err }, 'snapshots could not be made or deleted by the clock') })
        .finally(() => { this.#ticking = undefined })
    }
    this.#clock = setInterval(look, LOOK).unref()
    look()
  }
  reconfigure({ keep }: Values<typeof options>): boolean {
    checkKeep(keep)
    this.keep(keep)
    return true
  }
  sync(): Promise<void> { return this.instance.sync() }
  async close(): Promise<void> {
    await this.#resuming
    clearInterval(this.#clock)
    await this.#ticking
    await this.packer.close()
    await this.tree.epochs.idle()
    try { await this.instance.close() } finally { await this.child.close() }
  }
  async [Symbol.asyncDispose](): Promise<void> { await this.close() }
}
