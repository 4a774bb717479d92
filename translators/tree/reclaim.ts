// What is too large to go in one record goes in pieces, behind the back of everybody: chunks that were cut off, files without a
// name. What says that they are to go (U, O) goes last, so that a start goes on where it ended.

import { errno } from 'ninep'
import { CHUNK } from './chunks.ts'
import type { File } from './file.ts'
import { afterPrefix, chunkKey, cutKey, inodePrefix, kindPrefix, u32, u64 } from './keys.ts'
import { TRIM } from './record.ts'
import { MANY } from './tree.ts'
import type { Tree } from './tree.ts'
import { CUT } from './values.ts'

/** A rollback made the file another meanwhile: what is to be deleted of it is found anew. */
class Superseded extends Error {}
/** Deletes the chunks of a file from one on, some with each record. */
async function deleteChunks(tree: Tree, file: File, from: number): Promise<void> {
  const { instance: { store, chunks }, t } = tree, { ino } = file
  const { era } = tree
  const begin = chunkKey(t, ino, from), end = afterPrefix(inodePrefix(t, 'K', ino))
  let some: number[] = []
  const go = async () => {
    while (tree.gate && tree.era === era) await tree.gate
    if (tree.era !== era) throw new Superseded()
    const change = tree.change()
    let gone = 0
    for (const chunk of new Set(some.splice(0))) {               // one that has changed may be in LevelDB as well
      const extents = chunks.extents(t, ino, chunk)
      if (extents.length === 0) continue
      for (const { len } of extents) gone += len
      change.ops.push({ op: TRIM, t, ino, chunk, keep: 0 })
    }
    if (change.ops.length === 0) return
    change.used = -gone
    change.inode(file, { ...file.v, used: file.v.used - gone })
    await change.commit()
  }
  for (const key of store.changed(begin, end)) {
    some.push(u32(key, 13))
    if (some.length >= MANY) await go()
  }
  for await (const [key] of store.range(begin, end)) {
    some.push(u32(key, 13))
    if (some.length >= MANY) await go()
  }
  await go()
}

/** Settles when the file may become longer: when what is being cut off is gone, be it that an earlier run began it. null: at once. EIO */
export function cutting(tree: Tree, file: File): Promise<void> | null {
  if (!(file.v.flags & CUT)) return file.cutting
  return cut(tree, file).then(() => { if (file.v.flags & CUT) throw errno('EIO', 'tree: what was cut off could not be deleted') })
}
/** Finishes a truncate. */
export function cut(tree: Tree, file: File): Promise<void> {
  return file.cutting ??= (async () => {
    const { era } = tree
    tree.files.retain(file)
    try {
      const from = tree.instance.store.get(cutKey(tree.t, file.ino))
      if (from) await deleteChunks(tree, file, from.readUInt32BE(8))
      if (tree.era !== era) throw new Superseded()
      const change = tree.change()
      change.remove(cutKey(tree.t, file.ino))
      change.inode(file, { ...file.v, flags: file.v.flags & ~CUT })
      await change.commit()
    } catch (err) { leave(tree, file, err) } finally {
      file.cutting = null
      tree.release(file)
    }
  })()
}

/** Ends a file that has no name and that nobody has. */
export async function reclaim(tree: Tree, file: File): Promise<void> {
  if (file.refs > 0) return
  tree.files.retain(file)
  try { await deleteChunks(tree, file, 0) } catch (err) { leave(tree, file, err) }
  if (file.v.used === 0) tree.release(file)
  else tree.files.release(file)                           // the next start tries again
}
function leave(tree: Tree, file: File, err: unknown): void {
  if (!tree.instance.closed && !(err instanceof Superseded)) tree.instance.setting.log.warn({ ino: file.ino, err }, 'data that are not needed could not be deleted: the next start tries again')
}

/** Goes on with what an end interrupted. */
export async function resume(tree: Tree): Promise<void> {
  const { t, instance: { store } } = tree
  for (const kind of ['U', 'O']) {
    const prefix = kindPrefix(t, kind), end = afterPrefix(prefix), fresh = store.changed(prefix, end)
    const one = async (key: string) => {
      const value = store.get(key)
      if (!value || value.length === 8 || tree.instance.closed || tree.instance.failed) return
      const file = tree.files.get(u64(key, 5))
      if (kind === 'U') await cut(tree, file)
      else if (file.refs === 0 && file.v.nlink === 0) {
        tree.files.retain(file)
        if (file.v.size > MANY * CHUNK && file.v.used > 0) { tree.files.release(file); await reclaim(tree, file) } else tree.release(file)
      }
    }
    for (const key of fresh) await one(key)
    for await (const [key] of store.range(prefix, end)) await one(key)
  }
}
