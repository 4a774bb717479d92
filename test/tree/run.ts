// Runs of random steps, on a subject and on the model side by side; one that fails is made shorter until nothing can be left out.

import * as assert from 'uvu/assert'
import type { Node } from '../../translators/translator.ts'
import { dice } from '../../server/dice.ts'
import { describe, Model } from './model.ts'
import type { Step } from './model.ts'
import { describeNode, Doer, randomStep } from './steps.ts'
import type { Verbs, Ways } from './steps.ts'

/** What steps are done to, fresh and empty. */
export interface Subject {
  readonly verbs: Verbs
  root(): Promise<Node>
  /** Of its own bookkeeping: what is not as it should be. */
  check(): Promise<readonly string[]>
  end(): Promise<void>
}
export interface Failure { readonly message: string; readonly steps: readonly Step[] }

/** Times of the files of a snapshot, as they were when it was made. */
type Times = Map<string, string>

/** Compares the head and each snapshot with the model; times: those seen at each snapshot. */
export async function compare(root: Node, model: Model, times = new Map<string, Times>()): Promise<void> {
  equal(await describeNode(root, describe(model.root)), describe(model.root), 'the head')
  for (const [name, past] of model.snapshots) {
    const expected = describe(past), seen: Times = new Map()
    await using at = await root.at(name)
    const note = (path: string, { mtime, ctime, btime, qid }: { mtime: object; ctime: object; btime: object; qid: { version: number } }) => { seen.set(path, JSON.stringify([mtime, ctime, btime, qid.version])) }
    equal(await describeNode(at, expected, note), expected, `snapshot ${name}`)
    const then = times.get(name)
    if (!then) times.set(name, seen)
    else for (const [path, time] of then) assert.is(seen.get(path), time, `snapshot ${name}: times of ${path}`)
  }
}
/** Says the first line in which they differ. */
export function equal(actual: readonly string[], expected: readonly string[], what: string): void {
  const at = actual.findIndex((l, i) => l !== expected[i])
  if (at < 0 && actual.length === expected.length) return
  assert.unreachable(`${what}: ${actual[at < 0 ? expected.length : at] ?? 'no more'}\n  expected: ${expected[at < 0 ? actual.length : at] ?? 'no more'}`)
}

/** Does the steps and compares now and then, always at the end. */
export async function play(subject: Subject, steps: Iterable<Step>, every: number, model = new Model()): Promise<Failure | undefined> {
  const doer = new Doer(() => subject.root(), subject.verbs), done: Step[] = [], times = new Map<string, Times>()
  const all = async () => {
    await using root = await subject.root()
    for (const name of times.keys()) if (!model.snapshots.has(name)) times.delete(name)
    await compare(root, model, times)
    assert.equal(await subject.check(), [], 'what the check says')
  }
  try {
    for (const step of steps) {
      done.push(step)
      await doer.apply(step)
      model.apply(step)
      if (done.length % every === 0) await all()
    }
    await doer.end()
    model.slots.clear()
    await all()
  } catch (e) {
    return { message: e instanceof assert.Assertion ? `${e.message}${e.details ?? ''}` : (e as Error).stack ?? String(e), steps: done }
  } finally {
    await doer.end().catch(() => {})
    await subject.end()
  }
  return undefined
}

/** Steps that can be done one after the other, for as long as somebody asks; the model is changed by who does them. */
export function* steps(model: Model, seed: number, count: number, ways: Ways): Generator<Step> {
  const below = dice(seed)
  for (let i = 0; i < count; i++) yield randomStep(model, below, ways)
}
/** Those of the steps that can still be done, after others were left out. */
function possible(all: readonly Step[]): Step[] {
  const model = new Model()
  return all.filter((step) => {
    const has = (path: string) => model.find(path) !== undefined, parent = (path: string) => model.find(path.slice(0, Math.max(0, path.lastIndexOf('/'))))?.kind === 'directory'
    const file = (path: string) => model.find(path)?.kind === 'file'
    const ok = 'slot' in step && step.slot >= 0 ? step.do === 'open' ? file(step.path) && !model.slots.has(step.slot) : model.slots.has(step.slot)
      : step.do === 'make' ? parent(step.path) && !has(step.path)
      : step.do === 'link' ? has(step.path) && model.find(step.path)!.kind !== 'directory' && parent(step.to) && !has(step.to)
      : step.do === 'rename' ? has(step.path) && parent(step.to) && renames(model, step.path, step.to)
      : step.do === 'unlink' ? has(step.path) && model.find(step.path)!.names.size === 0
      : step.do === 'write' || step.do === 'cut' ? file(step.path)
      : step.do === 'xattr' ? /^(file|directory)$/.test(model.find(step.path)?.kind ?? '') && (step.length >= 0 || model.find(step.path)!.xattrs.has(step.name))
      : step.do === 'snapshot' ? !model.snapshots.has(step.name)
      : step.do === 'delete' || step.do === 'rollback' ? model.snapshots.has(step.name)
      : 'path' in step ? has(step.path) : true
    if (ok) model.apply(step)
    return ok
  })
}
function renames(model: Model, path: string, to: string): boolean {
  const file = model.find(path)!, victim = model.find(to)
  return !to.startsWith(`${path}/`) && (!victim || (file.kind === 'directory') === (victim.kind === 'directory') && victim.names.size === 0)
}

const sort = (message: string): string => message.replace(/[^a-z ]+/g, '').slice(0, 40)

/** A run of so many steps; throws what failed, made shorter, with the steps that it takes. */
export async function run(make: () => Promise<Subject>, seed: number, count: number, ways: Ways, every = 200): Promise<void> {
  const model = new Model()
  let failure = await play(await make(), steps(model, seed, count, ways), every, model)
  if (!failure) return
  const end = Date.now() + 1000 * Number(process.env.NINEFOLD_SHRINK ?? 30), { message, steps: { length } } = failure
  for (let part = Math.ceil(length / 2); part >= 1; part = part === 1 ? 0 : Math.ceil(part / 2)) {
    for (let at = failure.steps.length - part; at >= 0 && Date.now() < end; at -= part) {
      const shorter = await play(await make(), possible(failure.steps.filter((_, i) => i < at || i >= at + part)), Infinity)
      if (shorter && sort(shorter.message) === sort(message)) failure = shorter
      at = Math.min(at, failure.steps.length)
    }
  }
  const story = failure.steps.slice(-60).map((step) => `  ${JSON.stringify(step)}`).join('\n')
  throw Object.assign(new Error(`${message}\nseed ${seed}, step ${length}, made shorter to ${failure.steps.length}: ${failure.message}\n${story}`), { stack: '' })
}
