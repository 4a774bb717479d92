// A tree whose process is killed (SIGKILL) at any moment: what was answered is there, and what was not is there as a whole or not at all.
// NINEFOLD_KILLS: how often; NINEFOLD_SEED: the first of the seeds.

import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { dice } from '../server/dice.ts'
import { posix } from '../translators/posix/posix.ts'
import { instanceOf, snapshot } from '../translators/snapshot/snapshot.ts'
import { fsck } from '../translators/tree/fsck.ts'
import { viewing } from '../translators/tree/fsck-view.ts'
import { Model } from './tree/model.ts'
import { compare, steps } from './tree/run.ts'
import { told } from './tree/snapshot.ts'
import { kills } from './tree/ways.ts'

const count = Number(process.env.NINEFOLD_KILLS ?? (process.env.CI === 'true' ? 60 : 12)), first = Number(process.env.NINEFOLD_SEED ?? 1), STEPS = 600
const base = mkdtempSync(join(process.env.NINEFOLD_TEST_DIR ?? '/dev/shm', 'ninefold-kill-'))
process.on('exit', () => rmSync(base, { recursive: true, force: true }))
const program = join(fileURLToPath(import.meta.url), '../tree/killed.js')

/** Kills a process after so many answers, and some microseconds; how many there were. */
async function killed(state: string, data: string, seed: number, after: number, durability: string, late: number): Promise<number> {
  const child = spawn(process.execPath, ['--enable-source-maps', program, state, data, String(seed), String(STEPS), durability], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  const end = () => { const from = process.hrtime.bigint(); while (process.hrtime.bigint() - from < late * 1000); child.kill('SIGKILL') }
  child.stdout.setEncoding('utf8').on('data', (more: string) => {
    text += more
    if (text.endsWith('all\n') || text.split('\n').length > after) end()
  })
  await new Promise((resolve) => child.once('close', resolve))
  assert.is(child.signalCode, 'SIGKILL', 'it ended by itself')
  return text.split('\n').filter((line) => /^\d+$/.test(line)).length
}

const test = suite('tree kill')
// 1094: a large file without a name is being reclaimed when a rollback brings the name back.
for (const [i, seed] of [1094, ...Array.from({ length: count }, (_, i) => first + i)].entries()) {
  const below = dice(seed * 7919), durability = i % 3 === 1 ? 'sync' : 'group'
  test(`seed ${seed}, durability=${durability}`, async () => {
    const dir = join(base, String(i)), state = join(dir, 'state'), data = join(dir, 'data'), model = new Model()
    mkdirSync(data, { recursive: true })
    const answered = await killed(state, data, seed, below(STEPS), durability, below(2000))
    const layer = await snapshot({ state }, await posix({ path: data }))
    try {
      const next = steps(model, seed, STEPS, kills)
      for (let k = 0; k < answered; k++) model.apply(next.next().value!)
      model.slots.clear()                                 // who had them open is dead
      const root = await layer.attach('')
      try { await compare(root, model) } catch (e) {      // the one under way, perhaps
        const again = new Model(), more = steps(again, seed, STEPS, kills)
        for (let k = 0; k <= answered; k++) { const { value } = more.next(); if (value) again.apply(value) }
        again.slots.clear()
        try { await compare(root, again) } catch { throw e }
      }
      const problems: string[] = []
      await viewing(instanceOf(layer)!, (view) => fsck(view, { data: true, report: (problem) => { if (problem.severity !== 'garbage') problems.push(told(problem)) } }))
      assert.equal(problems, [])
    } finally { await layer.close() }
    rmSync(dir, { recursive: true })
  })
}
test.run()
