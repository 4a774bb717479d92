// The subject of a run: snapshot over a child that outlives its restarts.

import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { gc } from '../../translators/tree/gc.ts'
import { fsck } from '../../translators/tree/fsck.ts'
import type { Problem } from '../../translators/tree/fsck.ts'
import { viewing } from '../../translators/tree/fsck-view.ts'
import { insides, instanceOf, kill, snapshot } from '../../translators/snapshot/snapshot.ts'
import type { Translator } from '../../translators/translator.ts'
import type { Subject } from './run.ts'

const base = mkdtempSync(join(process.env.NINEFOLD_TEST_DIR ?? '/dev/shm', 'ninefold-tree-'))
process.on('exit', () => rmSync(base, { recursive: true, force: true }))
let count = 0
/** A folder that goes with the process. */
export const folder = (): string => join(base, String(count++))

/** child: what is below, at each start: of the same folder the same files. deep: the check reads all data. */
export async function subject(child: (dir: string) => Promise<Translator>, durability: 'group' | 'sync' | 'async' = 'group', deep = false, segment = 2 ** 20): Promise<Subject> {
  const dir = folder()
  let below: Translator
  const start = async () => snapshot({ state: join(dir, 'state'), durability, segment, uid: 0, gid: 0, mode: 0o755 }, below = await child(dir))
  let translator = await start(), restarts = 0
  return {
    root: async () => translator.attach(''),
    verbs: {
      sync: async () => translator.sync(),
      snapshot: (name) => insides(translator).tree.epochs.create(name),
      delete: (name) => insides(translator).tree.epochs.delete(name),
      rollback: (name) => insides(translator).tree.epochs.rollback(name),
      gc: async () => void await gc(insides(translator).tree.instance, [1]),
      pack: async () => { await insides(translator).packer.run(); await insides(translator).packer.compact() },
      restart: async () => {
        if (restarts++ % 2 && durability !== 'async') {
          await kill(translator)
          await kill(below)
        } else await translator.close()
        translator = await start()
      },
    },
    async check() {
      const problems: Problem[] = []
      await viewing(instanceOf(translator)!, (view) => fsck(view, { data: deep, report: (problem) => problems.push(problem) }))
      return problems.map(told)
    },
    async end() {
      await translator.close()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
export const told = ({ severity, path, what, key }: Problem): string => `${severity}: ${path === undefined ? '' : `${path}: `}${what} (${key})`
