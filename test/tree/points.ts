// Crash points, simulated: a run of steps is written down as it reaches the kernel, cut off at each instant, and started again from what
// that leaves. What comes back is to be the state after one of the steps, none of those missing that were promised.

import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { dice } from '../../server/dice.ts'
import { assemble, silent } from './assembled.ts'
import { Disk, lay, MapBlobs } from './disk.ts'
import type { Left } from './disk.ts'
import { MapLevel } from './level.ts'
import { describe, Model } from './model.ts'
import type { Step } from './model.ts'
import { equal } from './run.ts'
import { folder } from './snapshot.ts'
import { describeNode, Doer, randomStep } from './steps.ts'
import type { Ways } from './steps.ts'

/** After so many steps; done: its reply came; durable: that promised that it survives power loss. */
interface Mark { readonly steps: number; readonly done: boolean; readonly durable: boolean }
export interface Recording { readonly disk: Disk; readonly states: readonly string[][]; readonly models: readonly Model[]; readonly steps: readonly Step[]; readonly names: readonly string[]; readonly durability: 'sync' | 'group' | 'async' }
const SEGMENT = 48 * 1024

/** Does steps and writes down what reaches the disk, and what each of them makes of the model. */
export async function record(seed: number, count: number, ways: Ways, durability: Recording['durability']): Promise<Recording> {
  const below = dice(seed), dir = folder(), disk = new Disk(dir), model = new Model(), steps: Step[] = [], states: string[][] = [], models: Model[] = []
  const note = () => { states.push(plain(model)); const copy = new Model(); copy.root = model.root.copy(); for (const [name, past] of model.snapshots) copy.snapshots.set(name, past); models.push(copy) }
  mkdirSync(dir, { recursive: true })
  disk.watch()
  try {
    const tree = await assemble({ dir, blobs: disk.blobs(), database: disk.level() as never, durability, segment: SEGMENT, log: silent })
    const doer = new Doer(tree.root, tree.verbs)
    note()
    disk.mark({ steps: 0, done: true, durable: true } satisfies Mark)
    for (let i = 1; i <= count; i++) {
      const step = randomStep(model, below, ways)
      steps.push(step)
      disk.mark({ steps: i, done: false, durable: false } satisfies Mark)
      if (below(25) === 0) void tree.instance.flush().catch(() => {})
      await doer.apply(step)
      model.apply(step)
      note()
      disk.mark({ steps: i, done: true, durable: durability === 'sync' || /^(fsync|sync|snapshot|delete|rollback)$/.test(step.do) } satisfies Mark)
    }
    await doer.end()
    await tree.kill()
  } finally { disk.unwatch() }
  rmSync(dir, { recursive: true, force: true })
  return { disk, states, models, steps, names: steps.flatMap((step) => step.do === 'snapshot' ? [step.name] : []).sort(), durability }
}
const plain = (model: Model): string[] => model.describe().map(untimed)
/** Without the times, which are compared elsewhere. */
function untimed(line: string): string { return line.replace(/ -?\d+\.\d+(?= |$)/, ' -') }

/** Starts from what was left, and says which state it is: at least `least`, at most `most`. Goes on from there by some steps, and starts once more. */
export async function recover(recording: Recording, left: Left, least: number, most: number, seed: number): Promise<number> {
  const dir = folder()
  mkdirSync(dir, { recursive: true })
  lay(dir, left)
  const blobs = new MapBlobs(left.blobs, left.records, []), database = () => new MapLevel(left.keys, async () => {}) as never
  const start = () => assemble({ dir, blobs, database: database(), durability: 'group', segment: SEGMENT, log: silent })
  let tree = await start()
  try {
    const found = await look(tree), at = recording.states.findIndex((state, i) => i >= least && i <= most && same(state, found))
    if (at < 0) {
      const other = recording.states.findIndex((state) => same(state, found))
      if (other >= 0) assert.unreachable(`the state after ${other} steps came back, and ${least} to ${most} were promised`)
      equal(found, recording.states[least]!, `no state of ${least} to ${most}; compared with ${least}`)
    }
    if (seed % 3 === 0) assert.equal(await tree.check(), [], 'what the check says')
    if (seed % 8 > 0) return at
    const model = new Model(), below = dice(seed), doer = new Doer(tree.root, tree.verbs)
    model.root = recording.models[at]!.root.copy()
    for (const [name, past] of recording.models[at]!.snapshots) model.snapshots.set(name, past)
    for (let i = 0; i < 6; i++) {
      const step = randomStep(model, below, { far: false, files: 40, weights: {} })
      await doer.apply(step)
      model.apply(step)
    }
    await doer.end()
    await tree.kill()
    tree = await start()
    equal(await look(tree), plain(model), `after it went on by six steps from ${at}`)
    assert.equal(await tree.check(), [], 'what the check says after it went on')
    return at
  } finally {
    await tree.kill()
    rmSync(dir, { recursive: true, force: true })
  }
  async function look({ root }: { root: () => Promise<import('../../translators/translator.ts').Node> }): Promise<string[]> {
    const at = await root(), lines = (await describeNode(at)).map(untimed)
    for (const name of recording.names) {
      const past = await (async () => at.at(name))().catch(() => undefined)
      if (past) lines.push(...(await describeNode(past)).map((l) => `@${name} ${untimed(l)}`))
    }
    await at.close()
    return lines
  }
}
const same = (a: readonly string[], b: readonly string[]): boolean => a.length === b.length && a.every((l, i) => l === b[i])

/** All points of a recording, `each` ways of each; stops after `limit`, or at a time. Returns how many there were. */
export async function points(recording: Recording, each: number, limit: number, seed: number, end: number): Promise<number> {
  const { disk: { events }, durability } = recording
  const from = events.findIndex(({ what }) => what === 'mark') + 1
  let done = 0, acknowledged = 0, promised = 0, begun = 0
  for (let count = from; count <= events.length && done < limit && Date.now() < end; count++) {
    const event = events[count - 1]!
    if (event.what === 'mark') {
      const { steps, done, durable } = event.mark as Mark
      begun = steps
      if (done) acknowledged = steps
      if (done && durable) promised = steps
      continue
    }
    for (let i = 0; i < each; i++, done++) {
      const number = seed + count * 100 + i, below = dice(number), kill = i % 3 === 0
      const left = kill ? recording.disk.killed(count, below) : recording.disk.unpowered(count, below, [0, 5, 9, 10][below(4)]!)
      try { await recover(recording, left, kill && durability !== 'async' ? acknowledged : promised, begun, number) } catch (e) {
        const { message } = e as Error, after = events.slice(Math.max(from, count - 12), count).map((event) => `  ${short(event)}`).join('\n')
        throw new Error(`${kill ? 'killed' : 'without power'} after event ${count} (number ${number}), with ${begun} steps begun, ${acknowledged} acknowledged, ${promised} promised: ${message}${(e as { details?: string }).details ?? (e as Error).stack}\n${after}`)
      }
    }
  }
  return done
}
function short(event: object): string { return JSON.stringify(event, (_, value: unknown) => value && typeof value === 'object' && 'type' in value && (value as { type: string }).type === 'Buffer' ? `${(value as unknown as { data: number[] }).data.length} bytes` : value).slice(0, 160) }
