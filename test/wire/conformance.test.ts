// The checklist of the protocol, C1 to C116, over real sockets, for each stack and transport.

import { suite } from 'uvu'
import { open } from './cases/open.ts'
import { session } from './cases/session.ts'
import { walk } from './cases/walk.ts'
import { within } from './raw.ts'
import { Bench, onDisk, onMemory, onShm, onSlow, Stand } from './stand.ts'
import type { Case } from './stand.ts'

const cases: readonly Case[] = [...session, ...walk, ...open]

for (const stack of [onMemory, onDisk, onShm, onSlow]) {
  for (const transport of ['tcp', 'unix'] as const) {
    const test = suite(`${stack.name}, ${transport}`)
    let stand: Stand
    test.before(async () => { stand = await Stand.start(stack) })
    test.after(() => stand.stop())
    cases.forEach(({ number, title, run }, i) => {
      test(`C${number}: ${title}`, async () => {
        const bench = await Bench.set(stand, stand[transport], `case${i}`)
        try { await within(20, 'the case', run(bench)) } catch (e) {
          await bench.end().catch(() => {})
          throw e
        }
        await bench.end()
      })
    })
    test.run()
  }
}
