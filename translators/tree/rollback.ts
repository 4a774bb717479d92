// Back to a snapshot: every key that has changed since is made again what it was. It is intended first, done key by key, and goes on
// after a crash before anybody is let in; until it is done nobody sees anything. FORMAT.md, "Epochs".

import type { Change } from './change.ts'
import { bytesOf } from './data.ts'
import type { Tree } from './tree.ts'
import { be32, chunkKey, entryKey, kindPrefix, u32, u64 } from './keys.ts'
import { extentsAt, valueAt } from './past.ts'
import { MAP, TRIM } from './record.ts'
import { decodeDent, decodeInode, encodeDent, encodeEntry, encodeInode } from './values.ts'

/** Keys that one record makes again what they were. */
const PIECE = 64

/** Makes all keys again what they were at an epoch. Nobody may be at work on the tree. */
export async function restore(tree: Tree, epoch: number, progress: (done: number) => void): Promise<void> {
  const { t, instance: { store } } = tree, from = kindPrefix(t, 'E') + be32(epoch + 1), to = kindPrefix(t, 'E') + be32(0xffffffff)
  let done = 0
  const some = new Set<string>()
  const go = async () => {
    const change = tree.change()
    for (const key of some) one(tree, change, key, epoch)
    some.clear()
    if (change.ops.length > 0) await change.commit()
    progress(done)
    await new Promise(setImmediate)
  }
  const take = async (line: string) => {
    some.add(line.slice(0, 4) + line.slice(9))
    done++
    if (some.size >= PIECE) await go()
  }
  await tree.instance.settle()                            // so that the ledger is all in one place; what is added from here on is what is done here
  for await (const [line] of store.range(from, to)) await take(line)
  await go()
}

function one(tree: Tree, change: Change, key: string, epoch: number): void {
  const { t, instance: { store, chunks } } = tree, then = valueAt(tree, key, epoch), now = store.get(key), there = now !== undefined && now.length > 8
  switch (key[4]) {
    case 'I': {
      const old = there ? decodeInode(now) : undefined, v = then && decodeInode(then)
      change.files += (v ? 1 : 0) - (old ? 1 : 0)
      change.used += (v ? bytesOf(v) : 0) - (old ? bytesOf(old) : 0)
      if (!v) { if (there) change.remove(key) }
      else change.replace(key, (birth, prev) => encodeInode({ ...v, birth, prev, version: (Math.max(v.version, old?.version ?? 0) % 0xffffffff) + 1 }))   // it was seen with other contents
      return
    }
    case 'N': {
      const dir = u64(key, 5), name = Buffer.from(key.slice(13), 'latin1'), old = there ? decodeDent(now) : null, dent = then ? decodeDent(then) : null
      if (old) {
        change.bury(dir, name, old)
        if (old.cookie !== dent?.cookie) change.delete(entryKey(t, dir, old.cookie))
      }
      if (!dent) { if (there) change.remove(key) }
      else {
        change.replace(key, (birth, prev) => encodeDent({ ...dent, birth, prev }))
        change.put(entryKey(t, dir, dent.cookie), encodeEntry(change.state.e, dent.ino, dent.type, name))
      }
      return
    }
    case 'K': {
      const ino = u64(key, 5), chunk = u32(key, 13)
      if (chunks.extents(t, ino, chunk).length > 0) change.ops.push({ op: TRIM, t, ino, chunk, keep: 0 })
      for (const { off, len, blob, at } of extentsAt(tree, chunkKey(t, ino, chunk), epoch)) change.ops.push({ op: MAP, t, ino, chunk, off, len, blob, at })
      return
    }
    default:
      if (then) change.set(key, then.subarray(8))
      else if (there) change.remove(key)
  }
}
