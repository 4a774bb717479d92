// The checklist of the protocol for 9P2000 and 9P2000.u, over real sockets, for each stack.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { attributes } from './plan9/attributes.ts'
import { declare, olds } from './plan9/common.ts'
import { directories } from './plan9/directories.ts'
import { life } from './plan9/life.ts'
import { open } from './plan9/open.ts'
import { session } from './plan9/session.ts'
import { walk } from './plan9/walk.ts'
import { onDisk, onMemory, onSlow } from './stand.ts'

const cases = [...session, ...walk, ...open, ...attributes, ...directories, ...life]
/** Points of the checklist that are about messages of 9P2000.L alone. */
const elsewhere: readonly number[] = [
  34, 60, 71, 73, 74, 81, 84, 85, 86, ...Array.from({ length: 6 }, (_, i) => 89 + i), 96, ...Array.from({ length: 12 }, (_, i) => 98 + i),
]

for (const [stack, transport] of [[onMemory, 'tcp'], [onDisk, 'unix'], [onSlow, 'tcp']] as const) declare(cases, stack, transport)

const checklist = suite('the checklist in older dialects')
for (const dialect of olds) {
  checklist(`has a case of ${dialect} for each of C1 to C116 that is not of 9P2000.L alone`, () => {
    const has = (n: number) => cases.some(({ number, only }) => number === n && (only === undefined || only === dialect))
    const wanting = Array.from({ length: 116 }, (_, i) => i + 1).filter((n) => !has(n) && !elsewhere.includes(n))
    assert.equal(wanting, dialect === '9P2000' ? [66] : [])
  })
}
checklist.run()
