// npm run crash -- --kills 5000 --seed 1: as the test does, for as long as it takes.

import { parseArgs } from 'node:util'
import { kills } from './kills.ts'

const { values } = parseArgs({ options: { kills: { type: 'string', default: '1000' }, seed: { type: 'string', default: '1' } } })
const begun = Date.now()
const tally = await kills(Number(values.kills), Number(values.seed), Infinity, ({ kills, steps }) => { if (kills % 100 === 0) console.log(`${kills} kills, ${steps} steps`) })
console.log(`${tally.kills} kills of seed ${values.seed} in ${Math.round((Date.now() - begun) / 1000)} s: ${tally.steps} steps acknowledged and none lost; under way were ${[...tally.under].sort(([, a], [, b]) => b - a).map(([what, n]) => `${what} ${n}`).join(', ')}; of those ${tally.half} had been done`)
process.exit()                                            // connections to servers that are dead take their time
