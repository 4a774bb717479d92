// The fuzzer as a program: slices over stacks and dialects, one after the other. What it finds it leaves as a transcript.

import { randomInt } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { dialects } from 'ninep'
import type { Dialect } from 'ninep'
import { run } from './rounds.ts'
import type { Outcome } from './rounds.ts'
import { stacks } from './serve.ts'
import type { StackName } from './serve.ts'
import { about, minimise, write } from './transcript.ts'

const usage = `npm run fuzz -- [--seconds N] [--seed S] [--messages N] [--dialect 9P2000|9P2000.u|9P2000.L]... [--stack ${stacks.join('|')}]... [--raw] [--round N] [--size N]`
const text = { type: 'string' } as const, many = { type: 'string', multiple: true } as const
const { values } = parseArgs({ options: { seconds: text, seed: text, messages: text, dialect: many, stack: many, raw: { type: 'boolean' }, round: text, size: text } })

function number(value: string | undefined, otherwise: number, name: string): number {
  if (value === undefined) return otherwise
  if (!(Number(value) >= 0)) { console.error(`--${name} takes a number, not ${value}.\n${usage}`); process.exit(2) }
  return Number(value)
}
function among<T extends string>(given: readonly string[] | undefined, all: readonly T[], name: string): readonly T[] {
  for (const one of given ?? []) if (!all.includes(one as T)) { console.error(`--${name}: there is no ${one}.\n${usage}`); process.exit(2) }
  return (given as readonly T[] | undefined) ?? all
}

const seed = number(values.seed, randomInt(2 ** 31), 'seed'), messages = number(values.messages, Infinity, 'messages')
const seconds = number(values.seconds, values.messages ? Infinity : 60, 'seconds')
const slices = among<StackName>(values.stack, stacks, 'stack').flatMap((stack) =>
  among<Dialect>(values.dialect, Object.keys(dialects) as Dialect[], 'dialect').map((dialect) => ({ stack, dialect })))

console.log(`seed ${seed}: ${slices.length} slices`)
const outcomes: Outcome[] = []
for (const { stack, dialect } of slices) {
  let last = 0
  const plan = { stack, dialect, raw: values.raw ?? false, seed, size: number(values.size, 50_000, 'size'), seconds: seconds / slices.length, messages: messages / slices.length, from: number(values.round, 0, 'round') }
  const outcome = await run(plan, (line) => {
    if (performance.now() - last < 5000) return
    last = performance.now()
    console.log(line)
  })
  outcomes.push(outcome)
  const { failure } = outcome
  console.log(`${failure ? 'FAILED' : 'ok    '} ${stack}, ${dialect}${plan.raw ? ', raw' : ''}: ${outcome.messages} messages in ${outcome.rounds} rounds, ${Math.round(outcome.messages / outcome.seconds)}/s`)
  if (process.env.NINEFOLD_FUZZ_ENDS) console.log(outcome.ended)
  if (failure) {
    const { round, error, deeds } = failure
    console.log(`seed ${seed}, round ${round}: ${error.message}`)
    const whole = { about: about(stack, dialect, seed, round, error), stack, deeds }
    const kind = (e: Error) => e.message.replace(/\d+|\n[^]*/g, '').slice(0, 40)
    console.log(`Making the ${deeds.length} deeds of that round fewer...`)
    const least = await minimise(whole, (e) => kind(e) === kind(error), Number(process.env.NINEFOLD_FUZZ_MINIMISE ?? 120))
    const file = join(tmpdir(), `ninefold-fuzz-${seed}-${round}.txt`)
    writeFileSync(file, write(least))
    console.log(`${least.deeds.length} deeds are left, in ${file}. In test/fuzz/found/ it is a test.`)
    process.exitCode = 1
    break
  }
}
console.log(`${outcomes.reduce((sum, { messages }) => sum + messages, 0)} messages; seed ${seed}`)
