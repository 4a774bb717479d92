// A real server over a snapshot on real files, killed (SIGKILL) at random instants under a random workload that is written down, and started
// again: all that was acknowledged is there, what was under way is there whole or not at all, its books agree, and snapshots are as they were.

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { connect, O } from 'ninep'
import * as assert from 'uvu/assert'
import { dice } from '../../server/dice.ts'
import { remote } from '../../translators/remote/remote.ts'
import { describe, Model } from '../tree/model.ts'
import type { Step } from '../tree/model.ts'
import { equal } from '../tree/run.ts'
import { describeNode, Doer, randomStep } from '../tree/steps.ts'

export interface Tally { kills: number; steps: number; under: Map<string, number>; half: number }
const ways = { far: true, files: 40, weights: { fsync: 1, sync: 0.5, snapshot: 2, delete: 1.5, rollback: 1, gc: 0.7 } }

/** Kills a server so often, or until a time. Throws what is not as it should be, with the steps of that round. told: after each kill. */
export async function kills(count: number, seed: number, end = Infinity, told: (tally: Tally) => void = () => {}): Promise<Tally> {
  const below = dice(seed), dir = mkdtempSync(join(process.env.NINEFOLD_TEST_DIR ?? tmpdir(), 'ninefold-crash-')), tally: Tally = { kills: 0, steps: 0, under: new Map(), half: 0 }
  let model = new Model(), server: ChildProcess | undefined, round: string[] = []
  mkdirSync(join(dir, 'data'))
  try {
    let url = `unix:${dir}/0.sock`
    server = await start(dir, url)
    for (; tally.kills < count && Date.now() < end; told(tally)) {
      round = []
      const here = url, line = async (text: string) => void await verb(here, text), tree = await remote({ url, user: '0', owner: 'host', timeout: 8 })
      const doer = new Doer(async () => tree.attach(''), {
        sync: async () => tree.sync(), snapshot: (name) => line(`snapshot create / ${name}`), delete: (name) => line(`snapshot delete / ${name}`),
        rollback: (name) => line(`snapshot rollback / ${name}`), gc: () => line('gc /'),
      })
      // After so many steps, and then at any instant: nobody waits for anything, the server may be anywhere.
      const most = below(4) ? below(12) : below(120), dead = { yes: false }
      let under: Step | undefined, enough = () => {}
      const death = new Promise<void>((resolve) => { enough = resolve })
      const running = (async () => {
        for (let i = 0; !dead.yes; i++) {
          if (i === most) enough()
          under = randomStep(model, below, ways)
          round.push(JSON.stringify(under))
          await doer.apply(under)
          if (dead.yes) break                             // its reply came too late to tell
          model.apply(under)
          tally.steps++
          under = undefined
        }
      })()
      await Promise.race([death, running])
      const wait = below(3000) / 1000
      for (const from = performance.now(); performance.now() - from < wait;) await new Promise(setImmediate)
      dead.yes = true
      server.kill('SIGKILL')
      if (server.exitCode === null && server.signalCode === null) await once(server, 'exit')
      await Promise.race([running.catch(() => {}), sleep(300)])      // what was under way has no answer, or a refusal
      void Promise.resolve(tree.close()).catch(() => {})      // its server is dead: that takes its time
      model.slots.clear()
      url = `unix:${dir}/${++tally.kills}.sock`
      server = await start(dir, url)
      model = await after(url, model, under, tally)
    }
    return tally
  } catch (e) {
    const { message, details } = e as Error & { details?: string }
    throw new Error(`kill ${tally.kills} of seed ${seed}: ${message}${details ?? ''}\n${(e as Error).stack}\nthe steps of that round:\n${round.slice(-30).join('\n')}`)
  } finally {
    server?.kill('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  }
}

/** What came back: the model, or the model with the step that was under way. */
async function after(url: string, model: Model, under: Step | undefined, tally: Tally): Promise<Model> {
  await using tree = await remote({ url, user: '0', owner: 'host', timeout: 60 })
  await using root = await tree.attach('')
  const models = [model]
  if (under) {
    const more = new Model()
    more.root = model.root.copy()
    for (const [name, past] of model.snapshots) more.snapshots.set(name, past)
    try { more.apply(under); more.slots.clear(); models.push(more) } catch { /* its handle is not there any more */ }
    tally.under.set(under.do, (tally.under.get(under.do) ?? 0) + 1)
  }
  const names = (await verb(url, 'snapshot list /')).split('\n').filter(Boolean).map((l) => l.split(' ')[0]!).sort()
  let right: Model | undefined, found: string[] = []
  for (const each of models.reverse()) {
    found = await describeNode(root, describe(each.root))
    if (same(found, describe(each.root)) && same(names, [...each.snapshots.keys()].sort())) { right = each; break }
  }
  if (!right) {
    assert.equal(names, [...model.snapshots.keys()].sort(), `snapshots, with ${JSON.stringify(under)} under way`)
    equal(found, describe(model.root), `the head, with ${JSON.stringify(under)} under way`)
  }
  if (right !== model) tally.half++
  for (const [name, past] of right!.snapshots) {
    await using folder = await root.walk('.snapshots')
    await using at = await folder.walk(name)
    equal(await describeNode(at, describe(past)), describe(past), `snapshot ${name}`)
  }
  assert.match(await verb(url, 'fsck -d /'), /lost=0\n$/, 'what fsck says')
  assert.not.match(await verb(url, 'fsck /'), /^(wrong|lost) /m, 'what fsck says')
  return right!
}
const same = (a: readonly string[], b: readonly string[]): boolean => a.length === b.length && a.every((l, i) => l === b[i])

async function start(dir: string, url: string): Promise<ChildProcess> {
  const server = spawn(process.execPath, [fileURLToPath(import.meta.resolve('./serve.js')), url, dir], { stdio: ['ignore', 'pipe', 'inherit'] })
  await Promise.race([once(server.stdout, 'data'), once(server, 'exit').then(([code]) => { throw new Error(`the server did not start: it ended with ${code}`) })])
  return server
}
async function verb(url: string, line: string): Promise<string> {
  const client = await connect(url)
  try {
    await using ctl = await (await (await client.attach({ aname: 'ctl', uid: process.getuid!() })).walk('ctl')).open(O.RDWR)
    const say = async () => { let text = ''; for (;;) { const part = await ctl.read(text.length, 8192); if (part.length === 0) return text; text += Buffer.from(part).toString('latin1') } }
    await ctl.write(Buffer.from(line), 0).catch(async (e: unknown) => { throw new Error(`${line}: ${await say().catch(() => String(e))}`) })
    return await say()
  } finally { await client.close() }
}
