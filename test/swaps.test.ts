// 2 000 exchanges of translators over the control tree, of a server in a process of its own, while clients write, rename, walk and read, and
// keep files open: nobody sees an error, what is open goes on on the rest of the old stack, and nothing is left behind.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { AT_REMOVEDIR, connect, O } from 'ninep'
import type { File } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { dice } from '../server/dice.ts'
import type { Held } from './swapping.ts'

const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'ninefold-swaps-')), url = `unix:${join(folder, 's.sock')}`
const brick = join(folder, 'brick'), other = join(folder, 'other'), shared = `posix ${brick} owner=none`
for (const dir of [brick, other]) mkdirSync(dir)
const CLIENTS = 4
/** One brick goes on below them. */
const overOne = (i: number) => [shared, `stats | ${shared}`, `fault | ${shared}`, `stats | fault | ${shared}`, `trace ${join(folder, 'trace')} ops=sync | ${shared}`, `union (${shared})`][i % 6]!
/** Others each time. */
const exchanged = (i: number) => ['memory mode=0777', `posix ${other} owner=none`, 'memory mode=0755', 'rot13 | memory', 'union (memory, memory)'][i % 5]!

/** Works until it is told to stop: how often it went round. */
async function client(n: number, running: () => boolean): Promise<number> {
  const client = await connect(url), root = await client.attach(), roll = dice(n + 1), open: { file: File; content: Buffer }[] = []
  const whole = async ({ file, content }: { file: File; content: Buffer }) => assert.ok(Buffer.from(await file.read(0, content.length + 1)).equals(content), 'what is open is what it was')
  let rounds = 0
  for (; running(); rounds++) {
    // what is kept goes on being found, whatever stands in front
    const dir = await root.walk('v', `client ${n}`), name = `file ${roll(8)}`, content = Buffer.alloc(1 + roll(30_000), String.fromCharCode(65 + rounds % 26))
    const made = await dir.create('new', O.RDWR | O.EXCL, 0o644)
    await made.write(content, 0)
    await dir.renameat('new', dir, name)
    const again = await root.walk('v', `client ${n}`, name)
    assert.is((await again.getattr()).size, content.length)
    await again.open(O.RDWR)
    open.push({ file: again, content })
    await whole(open.at(-1)!)
    // some stay open over many exchanges, and are not of a name any more by then
    const { file, content: before } = open[roll(open.length)]!, patch = Buffer.alloc(1 + roll(Math.min(100, before.length)), 'p')
    await file.write(patch, 0)
    patch.copy(before)
    await whole({ file, content: before })
    if (open.length > 6) for (const { file } of open.splice(roll(4), 3)) await file.clunk()
    if (rounds % 10 === 0) {
      await dir.mkdir('d', 0o755)
      const names = new Set<string>()
      for await (const { name } of dir.readdir()) names.add(name)
      assert.ok(names.has('d') && names.has(name), [...names].join(', '))
      await dir.unlinkat('d', AT_REMOVEDIR)
    }
    // what is exchanged whole: whose root one has, has its files
    const inside = await root.walk('m'), own = `c${n} ${rounds}`, temporary = await inside.create(own, O.RDWR | O.EXCL, 0o644)
    await temporary.write(content, 0)
    await inside.renameat(own, inside, `${own} moved`)
    const moved = await inside.walk(`${own} moved`)
    await moved.open(O.RDONLY)
    await whole({ file: moved, content })
    await inside.unlinkat(`${own} moved`)
    for (const each of [dir, made, inside, temporary, moved]) await each.clunk()
    const top = new Set<string>()
    for await (const { name } of root.readdir()) top.add(name)
    assert.equal([...top].filter((name) => name !== 'x').sort(), ['m', 'v'])
  }
  await client.close()
  return rounds
}

const test = suite('swaps')
test.after(() => rmSync(folder, { recursive: true, force: true }))
test('2 000 under load: no error, no descriptor, no instance and no memory more', async () => {
  const program = fileURLToPath(new URL('swapping.js', import.meta.url))
  const server = fork(program, [join(folder, 's.sock'), join(folder, 'state'), '/=memory', `/v=${overOne(0)}`, `/m=${exchanged(0)}`], { execArgv: ['--expose-gc', '--enable-source-maps'] })
  await once(server, 'message')
  const ended = once(server, 'exit'), client0 = await connect(url), ctl = await (await client0.attach({ aname: 'ctl' })).walk('ctl'), root = await client0.attach()
  const v = await root.walk('v')
  for (let n = 0; n < CLIENTS; n++) await v.mkdir(`client ${n}`, 0o755)
  await v.clunk()
  const does = async (verb: string) => {
    await using file = await (await ctl.clone()).open(O.RDWR)
    await file.write(Buffer.from(verb), 0)
  }
  const told = async () => {
    server.send('tell')
    return (await once(server, 'message'))[0] as Held
  }
  /** When all that left has ended. */
  const held = async (): Promise<Held> => {
    for (let tries = 0; ; tries++) {
      const now = await told()
      if (now.mounts.every((line) => line.endsWith('running')) && now.ends === 0 && now.requests <= 1 || tries > 1000) return now
      await sleep(20)
    }
  }
  let swaps = 0, rounds = 0
  const load = async (count: number): Promise<Held> => {
    let running = true
    const work = Promise.all(Array.from({ length: CLIENTS }, (_, n) => client(n, () => running)))
    work.catch(() => { running = false })
    for (let end = swaps + count; running && swaps < end; swaps++) {
      await does(swaps % 3 === 2 ? `settrans /m ${exchanged(swaps / 3 | 0)}` : `settrans /v ${overOne(swaps)}`)
      if (swaps % 20 === 0) await does('settrans /x/y memory')
      if (swaps % 20 === 10) await does('settrans -g -f /x/y')
    }
    running = false
    rounds += (await work).reduce((sum, each) => sum + each, 0)
    for (const verb of [`settrans /v ${overOne(0)}`, `settrans /m ${exchanged(0)}`, 'settrans /x/y memory']) await does(verb)
    return held()
  }
  try {
    const before = await load(500), after: Held[] = []
    for (let part = 0; part < 4; part++) after.push(await load(500))
    const last = after.at(-1)!
    assert.is(swaps, 2500)
    assert.ok(rounds > 100, `${rounds} rounds of the clients`)
    assert.equal(last.warnings, [])
    for (const each of ['mounts', 'descriptors', 'instances', 'meters', 'fids'] as const) assert.equal(last[each], before[each], each)
    assert.equal([...last.mounts].sort(), ['/ running', '/m running', '/v running', '/x/y running'])
    assert.ok(last.heap - before.heap < 2.5e6, `${before.heap} bytes of heap, then ${last.heap}`)
    assert.ok(last.rss - after[0]!.rss < 24e6, `${after[0]!.rss} bytes resident, then ${last.rss}`)
    await client0.close()
  } finally { server.disconnect() }
  assert.is((await ended)[0], 0)
})
test.run()
