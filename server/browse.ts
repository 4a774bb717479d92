// The past of a served tree, by names that nothing below has: `.snapshots/NAME` in every directory that has a past, `FILE@NAME`,
// and `@NAME` for the directory itself, which an attach name may end in. A file of such a name comes first. Node.at does
// the rest, so that it works through any stack.

import { Dt, QT, S, errno, isErrno } from 'ninep'
import type { Attr, Qid } from 'ninep'
import { after } from '../translators/forward.ts'
import { SyntheticHandle, SyntheticNode, mayOnlyRead, syntheticAttr } from '../translators/synthetic.ts'
import type { Awaitable, DirSink, Handle, Node, Translator, Volume } from '../translators/translator.ts'
import type { File } from './namespace.ts'

/** The directory that has the snapshots. It is not listed. */
export const SNAPSHOTS = '.snapshots'
/** Whether a name that nothing has may mean the past. */
export function meansPast(name: string): boolean { return name.includes('@') || name === SNAPSHOTS }

/** Numbers in it are those of the directories. */
const volumes = new WeakMap<Volume, Volume>()
/** The directory of the snapshots of a directory. ENOENT: there are none. */
export async function snapshotsOf(dir: File): Promise<Node> {
  if ((await names(dir.mount.translator)).length === 0) throw errno('ENOENT', 'walk', SNAPSHOTS)
  let volume = volumes.get(dir.node.volume)
  if (!volume) volumes.set(dir.node.volume, volume = { label: `${dir.node.volume.label} ${SNAPSHOTS}` })
  return new Snapshots(dir.retain(), volume)
}
async function names(translator: Translator): Promise<string[]> {
  const all: string[] = []
  if (translator.snapshots) for await (const { name } of translator.snapshots()) all.push(name)
  return all
}

/** FILE@NAME in a directory: the file that has that name now, as it was then, or else the one that had it; @NAME is the directory itself. ENOENT */
export async function pastOf(dir: File, name: string): Promise<Node> {
  const cut = name.lastIndexOf('@'), base = name.slice(0, cut), snapshot = name.slice(cut + 1)
  if (cut < 0 || snapshot === '' || !dir.mount.translator.snapshots) throw errno('ENOENT', 'walk', name)
  if (base === '') return dir.node.at(snapshot)
  try {
    await using file = await dir.node.walk(base)
    return await file.at(snapshot)
  } catch (e) { if (!isErrno(e, 'ENOENT')) throw e }
  await using then = await dir.node.at(snapshot)
  return await then.walk(base)
}

/** dir: retained for it. */
export class Snapshots extends SyntheticNode {
  readonly qid: Qid
  constructor(readonly dir: File, readonly volume: Volume) {
    super()
    this.qid = { type: QT.DIR, version: 0, path: dir.node.qid.path }
  }
  override walk(name: string): Awaitable<Node> { return this.dir.node.at(name) }
  override at = (snapshot: string): Awaitable<Node> => this.dir.node.at(snapshot)
  override getattr(mask: number): Awaitable<Attr> {
    return after(this.dir.node.getattr(mask), ({ mode, uid, gid, ctime }) => syntheticAttr(this.qid, S.IFDIR | (mode & 0o555), ctime, { uid, gid }))
  }
  override open(flags: number): Handle {
    mayOnlyRead(this.qid, flags)
    return new Listing(this)
  }
  override close(): void { this.dir.release() }
}

/** Those in which the directory was. */
class Listing extends SyntheticHandle {
  #all: { readonly name: string; readonly path: bigint; readonly attr: Attr }[] = []
  constructor(override readonly node: Snapshots) { super(node) }
  override async readdir(cookie: bigint, sink: DirSink, mask: number): Promise<boolean> {
    const { dir } = this.node
    if (cookie === 0n) {
      this.#all = []
      for (const name of await names(dir.mount.translator)) {
        try {
          await using then = await dir.node.at(name)
          this.#all.push({ name, path: then.qid.path, attr: await then.getattr(mask) })
        } catch (e) { if (!isErrno(e)) throw e }
      }
    }
    for (let i = Number(cookie); i < this.#all.length; i++) {
      const { name, path, attr } = this.#all[i]!
      if (!sink.add(path, Dt.DIR, BigInt(i + 1), name, mask ? attr : undefined)) return false
    }
    return true
  }
}
