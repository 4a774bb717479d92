// The whole-file-system model against translators: the model itself first, against one that is known to be right.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import { memory } from '../translators/memory/memory.ts'
import { posix } from '../translators/posix/posix.ts'
import { snapshot } from '../translators/snapshot/snapshot.ts'
import type { Translator } from '../translators/translator.ts'
import { run } from './tree/run.ts'
import { subject } from './tree/snapshot.ts'

const seed = Number(process.env.NINEFOLD_SEED ?? 1), count = Number(process.env.NINEFOLD_STEPS ?? 3000)

const onDisk = async (dir: string) => {
  mkdirSync(join(dir, 'data'), { recursive: true })
  return posix({ path: join(dir, 'data') })
}
/** What memory holds outlives its end as long as somebody has it. */
const inMemory = () => { let child: Promise<Translator> | undefined; return () => child ??= memory({}) }

const test = suite('tree model')
test('memory does what the model does', () => run(async () => {
  const translator = await memory({ uid: 0, gid: 0, mode: 0o755 })
  return { root: async () => translator.attach(''), verbs: { sync: async () => {} }, check: async () => [], end: async () => translator.close() }
}, seed, count, { far: true, files: 40, weights: {} }))

const weights = { restart: 0.5, snapshot: 1, delete: 0.8, rollback: 0.4, pack: 0.5, gc: 0.2 }, ways = { far: true, files: 40, weights }
test('snapshot over posix does what the model does, and its books agree', () => run(() => subject(onDisk), seed, count, ways))
test('snapshot over memory likewise, with durability=async', () => run(() => subject(inMemory(), 'async', true), seed + 1, count, ways))
test('snapshot over snapshot likewise', () => run(() => subject(async (dir) => snapshot({ state: join(dir, 'below') }, await onDisk(dir))), seed + 2, count / 3, { ...ways, far: false }))
const past = { ...ways, weights: { restart: 0.5, snapshot: 2, delete: 1.6, rollback: 1, pack: 0.5, gc: 0.3 } }
test('so do its snapshots', () => run(() => subject(onDisk, 'group', true, 65536), seed + 3, count, past))
test.run()
