// Every instant of a run, ended: see tree/points.ts. NINEFOLD_POINTS=20000 does so many, however long it takes; without it, as many of
// them as there is time for.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { points, record } from './tree/points.ts'

const seed = Number(process.env.NINEFOLD_SEED ?? 1), wanted = Number(process.env.NINEFOLD_POINTS ?? 20_000), limit = process.env.NINEFOLD_POINTS ? Infinity : 60_000

const test = suite('tree crash points')
for (const [durability, share] of [['group', 0.6], ['sync', 0.2], ['async', 0.2]] as const) {
  test(`durability=${durability}: crash points leave a prefix of history, with all that was promised`, async () => {
    const end = Date.now() + limit * share
    let done = 0
    for (let run = 0; done < wanted * share && (run === 0 || Date.now() < end); run++) {
      const recording = await record(seed * 1000 + run, 150, { far: false, files: 25, weights: { sync: 1.5, fsync: 4, snapshot: 1.5, delete: 1, rollback: 0.5, pack: 0.7, gc: 0.3 } }, durability)
      done += await points(recording, 6, wanted * share - done, run, end)
    }
    console.log(`  durability=${durability}: ${done} crash points`)
    assert.ok(done > 0)
  })
}
test.run()
