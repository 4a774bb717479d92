// The whole-file-system model against translators: the model itself first, against one that is known to be right.

import { suite } from 'uvu'
import { memory } from '../translators/memory/memory.ts'
import { run } from './tree/run.ts'

const seed = Number(process.env.NINEFOLD_SEED ?? 1), count = Number(process.env.NINEFOLD_STEPS ?? 3000)

const test = suite('tree model')
test('memory does what the model does', () => run(async () => {
  const translator = await memory({ uid: 0, gid: 0, mode: 0o755 })
  return { root: async () => translator.attach(''), verbs: { sync: async () => {} }, check: async () => [], end: async () => translator.close() }
}, seed, count, { far: true, files: 40, weights: {} }))
test.run()
