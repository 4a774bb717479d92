// A file system in LevelDB owes what every other one owes, whatever its data lie in.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { memory } from '../translators/memory/memory.ts'
import { posix } from '../translators/posix/posix.ts'
import { kill, snapshot } from '../translators/snapshot/snapshot.ts'
import type { Translator } from '../translators/translator.ts'
import { conform } from './conform/conform.ts'

const own = mkdtempSync(join(process.env.NINEFOLD_TEST_DIR ?? '/dev/shm', 'ninefold-snapshot-'))
process.on('exit', () => rmSync(own, { recursive: true, force: true }))

interface Made { readonly state: string; readonly child: () => Promise<Translator>; readonly options: { readonly durability?: 'sync' | 'async'; readonly segment?: number } }
const made = new WeakMap<Translator, Made>()
let count = 0
async function start(what: Made): Promise<Translator> {
  const layer = await snapshot({ state: what.state, ...what.options }, await what.child())
  made.set(layer, what)
  return layer
}
/** The process was killed: what it held open goes with this one. */
async function crash(layer: Translator): Promise<Translator> {
  await kill(layer)
  return start(made.get(layer)!)
}
const over = (below: (dir: string) => () => Promise<Translator>, options: Made['options'] = {}) => () => {
  const dir = join(own, String(count++))
  return start({ state: join(dir, 'state'), child: below(dir), options })
}
const inMemory = () => { let child: Promise<Translator> | undefined; return () => child ??= memory({}) }
const onDisk = (dir: string) => async () => posix({ path: mkdirs(join(dir, 'data')) })
function mkdirs(path: string): string { mkdirSync(path, { recursive: true }); return path }

/** Others take from the same device. */
const lacks = ['own-space'] as const
conform('snapshot over memory', over(inMemory), { crash })
conform('snapshot over posix, segments of 64 KiB', over(onDisk, { segment: 65536 }), { lacks, crash })
conform('snapshot over posix, durability=sync', over(onDisk, { durability: 'sync' }), { lacks, crash, quick: true })
conform('snapshot over posix, durability=async', over(onDisk, { durability: 'async' }), { lacks, crash, quick: true })
conform('snapshot over snapshot', over((dir) => async () => snapshot({ state: join(dir, 'below') }, await onDisk(dir)())), { lacks, quick: true })
