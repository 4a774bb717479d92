// The server is killed: see crash/kills.ts. `npm run crash` does it for longer.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { kills } from './crash/kills.ts'

const seed = Number(process.env.NINEFOLD_SEED ?? 1)

const test = suite('crash')
test('killed up to 60 times at random instants, a server has lost nothing that it acknowledged', async () => {
  const tally = await kills(60, seed, Date.now() + 70_000)
  console.log(`  ${tally.kills} kills, ${tally.steps} steps`)
  assert.ok(tally.kills >= 5 && tally.steps > 0)
})
test.run()
