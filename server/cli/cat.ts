// ninefold cat.

import { errno } from 'ninep'
import type { File } from 'ninep'
import { complain, failure } from './failure.ts'
import { isDir, session } from './remote.ts'
import type { Where } from './remote.ts'
import { pump, writeOut } from './pump.ts'

/** Writes files to standard output, one after the other, in constant memory. */
export async function cat(where: Where, paths: readonly string[]): Promise<void> {
  await session(where, async (remote) => {
    for (const path of paths) {
      try {
        await using file = await openFile(remote.find(path))
        await pump((into, offset) => file.readInto(into, offset), writeOut)
      } catch (e) { complain('cat', failure(path, e)) }
    }
  })
}

/** What was found, opened to be read. EISDIR */
export async function openFile(found: Promise<File>): Promise<File> {
  const file = await found
  try {
    if (isDir(file)) throw errno('EISDIR', 'open')
    return await file.open()
  } catch (e) {
    await file.clunk()
    throw e
  }
}
