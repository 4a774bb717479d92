// What fsck looks at: of a tree that runs, or of a folder that nobody has open.

import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { errno } from 'ninep'
import type { Blobs } from '../translator.ts'
import type { View } from './fsck.ts'
import { Journal } from './journal.ts'
import { bytesOfKey, META } from './keys.ts'
import { attempt } from './fsck.ts'
import { decodeMeta } from './values.ts'
import type { Instance } from './instance.ts'

type Database = ClassicLevel<Buffer, Buffer>
type Snapshot = ReturnType<Database['snapshot']>

async function* range(db: Database, snapshot: Snapshot, from: string, to: string): AsyncGenerator<[string, Buffer]> {
  const iterator = db.iterator({ gte: bytesOfKey(from), lt: bytesOfKey(to), snapshot, highWaterMarkBytes: 2 ** 18, fillCache: false })
  try {
    for (;;) {
      const more = await iterator.nextv(1000)
      if (more.length === 0) return
      for (const [key, value] of more) yield [key.toString('latin1'), value]
    }
  } finally { await iterator.close() }
}
const over = (db: Database, snapshot: Snapshot): Pick<View, 'range' | 'get'> => ({
  range: (from, to) => range(db, snapshot, from, to),
  get: (keys) => db.getMany(keys.map(bytesOfKey), { snapshot }),
})

/** f over the state that LevelDB has now, all changes before in it. What dies meanwhile is kept until it is done. */
export async function viewing<T>(instance: Instance, f: (view: View) => Promise<T>): Promise<T> {
  await instance.settle()
  return instance.reading(async () => {
    const { store, journal } = instance, snapshot = store.db.snapshot()
    try {
      return await f({
        ...over(store.db, snapshot), blobs: instance.setting.blobs, segments: [...journal.segments], live: true,
        scan: (segment) => journal.scan(segment),
        still: async (key) => !!store.find(key),
        isNew: (id) => instance.isOurs(id),
      })
    } finally { await snapshot.close() }
  })
}

/** f over a folder as it lies there. Nothing is changed, and what the journal has and the database has not is not seen. EBUSY: somebody has it open. */
export async function viewingFolder<T>(dir: string, blobs: Blobs, f: (view: View) => Promise<T>): Promise<T> {
  const db: Database = new ClassicLevel(join(dir, 'db'), { keyEncoding: 'buffer', valueEncoding: 'buffer', createIfMissing: false })
  try { await db.open() } catch (e) {
    const { cause } = e as { cause?: { code?: string; message?: string } }
    throw errno(cause?.code === 'LEVEL_LOCKED' ? 'EBUSY' : 'EIO', `tree: ${dir}: ${cause?.message ?? (e as Error).message}`, undefined, e)
  }
  const value = await db.get(bytesOfKey(META)), meta = value && attempt(() => decodeMeta(value))
  const journal = new Journal(join(dir, 'journal'), meta?.uuid ?? Buffer.alloc(16), 0), snapshot = db.snapshot()
  try {
    return await f({ ...over(db, snapshot), blobs, segments: journal.segments, live: false, scan: (segment) => journal.scan(segment), still: async () => true, isNew: () => false })
  } finally {
    await snapshot.close()
    journal.close()
    await db.close()
  }
}
