// A slice of fuzzing: one server, rounds of attacks on it, and after each round all that must be as it was.

import type { Dialect } from 'ninep'
import { dice } from '../../server/dice.ts'
import { within } from '../wire/raw.ts'
import { attack } from './attacker.ts'
import type { Deed } from './attacker.ts'
import type { Holdings, StackName } from './serve.ts'
import { LIMIT, Subject } from './subject.ts'
import { growth } from './trend.ts'
import { Cleaner, Witness } from './witness.ts'

export interface Plan {
  readonly stack: StackName
  readonly dialect: Dialect
  readonly raw: boolean
  readonly seed: number
  /** Frames of a round. */
  readonly size: number
  /** It ends with the round in which the first of them is over. */
  readonly seconds: number
  readonly messages: number
  /** The round to begin with. */
  readonly from?: number
}
export interface Outcome {
  readonly plan: Plan
  readonly messages: number
  readonly rounds: number
  readonly seconds: number
  /** Why connections were ended by the server, and how often. */
  readonly ended: Readonly<Record<string, number>>
  /** Heap after gc and resident set after each round, bytes. */
  readonly heap: readonly number[]
  readonly rss: readonly number[]
  readonly failure?: { readonly round: number; readonly error: Error; readonly deeds: readonly Deed[] }
}

/** Who send the frames of a round. */
const ATTACKERS = 5
/** What of a growth is a leak: more than caches and compiled code can be, bytes; and more than the server's spare buffers for replies, eight of 1.25 MiB. */
const LEAK = { heap: 6 << 20, buffers: 12 << 20, rss: 160 << 20 }

/** Runs it. What fails is told in the outcome, and ends it. */
export async function run(plan: Plan, progress: (text: string) => void = () => {}): Promise<Outcome> {
  let started = performance.now()
  const seconds = () => (performance.now() - started) / 1000
  const heap: number[] = [], rss: number[] = [], buffers: number[] = [], ended: Record<string, number> = {}
  let messages = 0, round = plan.from ?? 0, deeds: Deed[] = [], failure: Outcome['failure']
  const subject = await Subject.start(plan.stack)
  try {
    const witness = await Witness.enter(subject), cleaner = await Cleaner.enter(subject)
    const base = await calm(subject, undefined)
    started = performance.now()
    do {
      deeds = []
      messages += await storm(plan, round, subject, witness, deeds)
      await witness.check()
      await witness.tidy()
      const ends = (await calm(subject, base)).ended
      await cleaner.clean()
      if (subject.harm) throw new Error(subject.harm)
      const now = await calm(subject, base)
      for (const [why, count] of Object.entries(ends)) ended[why] = (ended[why] ?? 0) + count
      heap.push(now.heap)
      buffers.push(now.buffers)
      rss.push(subject.rss)
      for (const [what, values] of Object.entries({ heap, buffers, rss })) {
        const grown = growth(values)
        if (grown > LEAK[what as keyof typeof LEAK]) throw new Error(`memory grows: ${what} by ${mib(grown)} MiB over ${heap.length} rounds: ${values.map(mib).join(' ')}`)
      }
      round++
      progress(`${plan.stack}, ${plan.dialect}${plan.raw ? ', raw' : ''}: round ${round}, ${messages} messages, ${Math.round(messages / seconds())}/s, heap ${mib(now.heap)} MiB, resident ${mib(rss.at(-1)!)} MiB`)
    } while (seconds() < plan.seconds && messages < plan.messages)
    await witness.leave()
    await cleaner.leave()
    await subject.stop()
  } catch (e) {
    // Where the server is gone, that is what happened; the rest came of it.
    await new Promise((resolve) => setTimeout(resolve, 300))
    const error = subject.ended && subject.ended !== 'stopped' ? new Error(subject.ended) : e as Error
    failure = { round, error, deeds }
  } finally { subject.kill() }
  return { plan, messages, rounds: round - (plan.from ?? 0), seconds: seconds(), ended, heap, rss, ...failure && { failure } }
}

/** A round: all attack at once, while somebody works. */
async function storm(plan: Plan, round: number, subject: Subject, witness: Witness, deeds: Deed[]): Promise<number> {
  let over = false
  const work = (async () => {
    const roll = dice(seedOf(plan.seed, round, 99))
    while (!over) {
      await witness.step(roll)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  })()
  work.catch(() => {})
  try {
    const counts = await Promise.all(Array.from({ length: ATTACKERS }, (_, i) =>
      attack({ urls: subject.urls, dialect: plan.dialect, raw: plan.raw, roll: dice(seedOf(plan.seed, round, i)), deeds }, String(i), plan.size / ATTACKERS)))
    return counts.reduce((a, b) => a + b)
  } finally {
    over = true
    await work
  }
}
function seedOf(seed: number, round: number, who: number): number { return Math.imul(seed, 0x9e3779b1) ^ Math.imul(round + 1, 0x85ebca6b) ^ Math.imul(who + 1, 0xc2b2ae35) }

/** Waits until nothing is at work and no one is there but us two, and the server holds no more than it did; what it holds then. */
export async function calm(subject: Subject, base: Holdings | undefined, limit = LIMIT): Promise<Holdings> {
  const wait = async () => {
    for (let tries = 0; ; tries++) {
      const now = await subject.holdings()
      if (now.bugs.length > 0) throw new Error(`the server met a bug:\n${now.bugs.slice(0, 5).join('\n')}`)
      if (now.violations.length > 0) throw new Error(`the server broke a translator's rules: ${[...new Set(now.violations)].join(', ')}`)
      const rest = excess(now, base)
      if (rest === '') return now
      if (tries > limit * 10) throw new Error(`a round later the server still has ${rest}`)
      await new Promise((resolve) => setTimeout(resolve, Math.min(100, 5 * tries)))
    }
  }
  return within(3 * limit, 'calm', wait())
}
function excess(now: Holdings, base: Holdings | undefined): string {
  const all = [[now.connections, 2, 'connections'], [now.calls, 0, 'calls at work']] as [number, number, string][]
  if (base) all.push([now.nodes, base.nodes, 'nodes'], [now.handles, base.handles, 'handles'], [now.descriptors.length, base.descriptors.length, 'descriptors'])
  return all.filter(([has, may]) => has > may).map(([has, may, what]) => `${has} ${what} (${may})`).join(', ')
}

export function mib(bytes: number): string { return (bytes / 2 ** 20).toFixed(1) }
