// The checklist of the protocol, C1 to C116, over real sockets, for each stack and transport.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { attributes } from './cases/attributes.ts'
import { directories } from './cases/directories.ts'
import { life } from './cases/life.ts'
import { names } from './cases/names.ts'
import { open } from './cases/open.ts'
import { session } from './cases/session.ts'
import { walk } from './cases/walk.ts'
import { xattrs } from './cases/xattrs.ts'
import { within } from './raw.ts'
import { Bench, onDisk, onMemory, onShm, onSlow, Stand } from './stand.ts'
import type { Case } from './stand.ts'

const cases: readonly Case[] = [...session, ...walk, ...open, ...attributes, ...directories, ...names, ...xattrs, ...life]

/** Points of 9P2000 and 9P2000.u alone. */
const elsewhere: Readonly<Record<number, string>> = {
  13: 'what an Rstat and an Rerror of 9P2000 are made of',
  56: 'Tcreate with DMDIR',
  57: 'Tcreate with DMSYMLINK, DMDEVICE, DMNAMEDPIPE, DMLINK',
  58: 'Topen with ORCLOSE',
  75: 'Tstat',
  76: 'Twstat that touches nothing',
  77: 'Twstat that renames',
  78: 'Twstat that is refused in part',
  87: 'Tread of a directory',
  88: 'Tread of a directory from the beginning again',
}

for (const [stack, ...transports] of [[onMemory, 'tcp', 'unix'], [onDisk, 'tcp'], [onShm, 'unix'], [onSlow, 'tcp', 'unix']] as const) {
  for (const transport of transports) {
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

const checklist = suite('the checklist')
checklist('has a case for each of C1 to C116, or a reason why there is none', () => {
  const wanting = Array.from({ length: 116 }, (_, i) => i + 1).filter((n) => !cases.some(({ number }) => number === n) && !elsewhere[n])
  assert.equal(wanting, [])
})
checklist.run()
