// Garbage: blobs that no record came to name, or that were not dropped in time. Found by comparing what there is with what is known,
// in service, a thousand at a time.

import type { Instance } from './instance.ts'
import { blobKey } from './keys.ts'

const PAGE = 1000
export interface Garbage { readonly blobs: number; readonly bytes: number }

/** Drops blobs below that none of these trees knows. Those of this run are left alone: what is being put has no name yet. progress: how many were looked at. */
export async function gc(instance: Instance, trees: readonly number[], progress: (looked: number) => void = () => {}): Promise<Garbage> {
  const { blobs } = instance.setting
  let after: Uint8Array | null = null, looked = 0, count = 0, bytes = 0
  for (;;) {
    const page: readonly { id: Uint8Array; size: number }[] = await blobs.list(after, PAGE)
    if (page.length === 0) return { blobs: count, bytes }
    const gone: Uint8Array[] = []
    for (const { id, size } of page) {
      const name = Buffer.from(id).toString('latin1')
      if (instance.isOurs(name) || instance.isDoomed(name) || trees.some((t) => instance.store.find(blobKey(t, name)))) continue
      gone.push(id)
      count++
      bytes += size
    }
    if (gone.length > 0) await blobs.drop(gone)
    progress(looked += page.length)
    after = page.at(-1)!.id
    await new Promise(setImmediate)
  }
}
