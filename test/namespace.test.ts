// The tree while it changes: mounts that come, go and are exchanged under clients that are in them.

import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { isErrno } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Server, ServerConfig } from '../server/server.ts'
import { parseStack } from '../server/stack.ts'
import type { Stack } from '../server/stack.ts'
import { translators } from '../server/translators.ts'
import type { AnyFactory } from '../server/translators.ts'
import { attachRules } from '../server/users.ts'
import { ForwardTranslator } from '../translators/forward.ts'
import { memory } from '../translators/memory/memory.ts'
import { duration, int, text, translator } from '../translators/options.ts'
import { entries, listing, ls } from './wire/cases/common.ts'
import { Raw } from './wire/raw.ts'
import { serving as standing } from './wire/stand.ts'
import type { Kept } from './wire/stand.ts'

/** What was started and closed, in order. */
const seen: string[] = []
/** A brick that only one may have by its name, that starts slowly or not at all, and can grow while it runs. */
const vault = translator({
  name: 'vault', about: 'One of a kind.', children: 0, concurrent: true,
  options: {
    at: text({ about: 'its name', positional: true }), takes: duration({ about: 'to start', default: 0 }), fail: text({ about: 'why', default: '' }),
    size: int({ about: 'how large', default: 1, live: true }), kind: int({ about: 'which', default: 0 }),
  },
  exclusive: ({ at }) => [`vault:${at}`],
  start: async (options, _, env) => {
    await new Promise((resolve) => setTimeout(resolve, options.takes * 1000).unref())
    if (options.fail) throw new Error(options.fail)
    const child = await memory.start({}, [], { ...env, name: `${env.name} ${options.kind}` })
    seen.push(`start ${options.at}`)
    return Object.assign(new ForwardTranslator('vault', child, (node) => node), {
      close: async () => { seen.push(`close ${options.at}`); await child.close() },
      reconfigure: ({ size }: { size?: number }) => { if (size! > 99) throw new Error('too large'); seen.push(`size ${size}`); return true },
    })
  },
})
const known = new Map<string, AnyFactory>([...translators, ['vault', vault as unknown as AnyFactory]])
const stack = (line: string): Stack => parseStack(line, known)
const stacks = (lines: Readonly<Record<string, string>>) => new Map(Object.entries(lines).map(([path, line]) => [path, stack(line)]))

async function serving(lines: Readonly<Record<string, string>>, run: (server: Server, raw: Raw, log: Kept) => Promise<void>, config: Partial<ServerConfig> = {}): Promise<void> {
  seen.length = 0
  await standing({ namespace: stacks(lines), ...config }, run)
}
async function refusal(f: Promise<unknown>): Promise<Error> { return f.then(() => assert.unreachable('it was not refused') as never, (e: Error) => e) }
/** Waits for what comes soon, or not at all. */
async function soon(what: string, holds: () => boolean): Promise<void> {
  for (let i = 0; !holds(); i++) {
    if (i > 2000) throw new Error(`${what}: not within 20 s`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
function folder(under = tmpdir()): { path: string; end: () => void } {
  const path = mkdtempSync(join(under, 'ninefold-namespace-'))
  return { path, end: () => rmSync(path, { recursive: true }) }
}
const states = (server: Server) => server.mounts.list().map(({ path, state }) => `${path} ${state}`)

const test = suite('namespace')

test('a stack comes to a path that is there, or is not, and goes again', () => serving({ '/': 'memory' }, async (server, raw) => {
  const { mounts } = server
  await raw.mkdir(0, 'd')
  await raw.walk(0, 1, 'd')
  await raw.file(1, 'below', 'covered')
  const before = (await raw.getattr(1)).qid.path
  await mounts.set('/d', stack('memory'))
  await mounts.set('/new/deep/er', stack('memory'))
  assert.equal(await ls(raw), ['d', 'new'])
  assert.equal(await ls(raw, 'd'), [])
  assert.equal(await ls(raw, 'new', 'deep'), ['er'])
  await raw.walk(0, 2, 'd')
  assert.is.not((await raw.getattr(2)).qid.path, before)
  assert.is((await raw.walk(2, 3, '..')).qids[0]!.path, (await raw.getattr(0)).qid.path)
  // Who was there goes on there.
  assert.is(await raw.content(1, 'below'), 'covered')
  await raw.file(2, 'above', 'text')
  assert.equal(await ls(raw, 'd'), ['above'])
  await raw.clunk(2)
  await mounts.remove('/d')
  await mounts.remove('/new/deep/er')
  assert.equal([await ls(raw), await ls(raw, 'd')], [['d'], ['below']])
  assert.is((await raw.walk(0, 4, 'd')).qids[0]!.path, before)
  assert.is((await refusal(mounts.remove('/d'))).message, 'ENOENT: /d: nothing is mounted there')
  assert.is(await raw.outcome('Tunlinkat', { dirfid: 4, name: 'below', flags: 0 }), 'ok')
  assert.is(await raw.outcome('Tunlinkat', { dirfid: 0, name: 'd', flags: 0x200 }), 'ok', 'no mount holds it')
}))

test('what is in use is not sent away, until it is let go, or by force', () => serving({ '/': 'memory', '/m': 'memory' }, async ({ mounts }, raw) => {
  await raw.walk(0, 1, 'm')
  await raw.create(1, 2, 'f', 'text')
  const refused = await refusal(mounts.remove('/m'))
  assert.ok(isErrno(refused, 'EBUSY'))
  assert.match(refused.message, new RegExp(`/m: 2 fids are in it, of uid ${process.getuid!()}\\.`))
  const waiting = mounts.remove('/m', { timeout: 20 })
  await raw.clunk(1)
  await raw.clunk(2)
  await waiting
  assert.equal(await ls(raw), [])
  await mounts.set('/m', stack('memory'))
  await raw.walk(0, 1, 'm')
  await raw.create(1, 2, 'f', 'text')
  await raw.mkdir(1, 'd')
  await raw.walk(1, 3, 'd')
  await mounts.remove('/m', { force: true })
  for (const refused of [
    await raw.refused('Tgetattr', { fid: 1, mask: 0x7ff }), await raw.refused('Tread', { fid: 2, offset: 0, count: 10 }), await raw.refused('Twrite', { fid: 2, offset: 0, data: Buffer.from('x') }),
    await raw.refused('Twalk', { fid: 3, newfid: 4, names: ['x'] }), await raw.refused('Tlopen', { fid: 3, flags: 0 }), await raw.refused('Tfsync', { fid: 2, datasync: 0 }),
  ]) assert.is(refused, 'ENXIO')
  await raw.walk(3, 4)
  assert.is(await raw.refused('Tgetattr', { fid: 4, mask: 0x7ff }), 'ENXIO')
  assert.equal(await ls(raw), [])
  await raw.clunk(1, 2, 3, 4)
}))

test('fids go on in the old stack until they are clunked, and new walks see the new; it ends with the last', () => serving({ '/': 'memory', '/v': 'vault a' }, async (server, raw) => {
  const { mounts } = server
  await raw.walk(0, 1, 'v')
  await raw.create(1, 2, 'f', 'old')
  const applied = await mounts.set('/v', stack('vault b'))
  assert.equal(applied.replaced, ['/v'])
  assert.equal(states(server), ['/ running', '/v running', '/v leaving'])
  assert.equal([await ls(raw, 'v'), await raw.read(2), await raw.content(1, 'f')], [[], 'old', 'old'])
  await raw.file(1, 'g', 'still')
  await raw.walk(0, 3, 'v')
  assert.is.not((await raw.getattr(3)).qid.path, (await raw.getattr(1)).qid.path)
  assert.is(await raw.refused('Trenameat', { olddirfid: 1, oldname: 'g', newdirfid: 3, newname: 'g' }), 'EXDEV')
  assert.is((await raw.walk(1, 4, '..')).qids[0]!.path, (await raw.getattr(0)).qid.path)
  await raw.clunk(1)
  assert.equal(seen, ['start a', 'start b'])
  await raw.clunk(2)
  await soon('the old one ends', () => seen.length === 3)
  assert.is(seen[2], 'close a')
  assert.equal(states(server), ['/ running', '/v running'])
}))

test('a file that is opened, then removed below and swapped above, is read to its end', () => serving({ '/': 'memory', '/v': 'memory' }, async ({ mounts }, raw) => {
  await raw.walk(0, 1, 'v')
  await raw.create(1, 2, 'f', 'text')
  await raw.ok('Tunlinkat', { dirfid: 1, name: 'f', flags: 0 })
  for (let i = 0; i < 5; i++) await mounts.set('/v', stack(`rot13 shift=${i + 1} | memory mode=070${i}`))
  assert.is(await raw.read(2), 'text')
  await raw.clunk(1, 2)
}))

test('what both stacks have goes on: a brick under another layer is the same brick, with the same numbers', async () => {
  const { path, end } = folder()
  try {
    writeFileSync(join(path, 'f'), 'Hurd')
    await serving({ '/': 'memory', '/r': `rot13 | vault x`, '/p': `rot13 | posix ${path} owner=none` }, async ({ mounts }, raw) => {
      await raw.walk(0, 1, 'r')
      await raw.create(1, 2, 'f', 'Hurd!')
      await raw.walk(0, 3, 'p', 'f')
      const number = (await raw.getattr(3)).qid.path, root = (await raw.getattr(1)).qid.path
      await mounts.set('/r', stack('rot13 shift=3 | vault x'))
      await mounts.set('/p', stack(`posix ${path} owner=none`))
      assert.equal(seen, ['start x'])
      assert.is(await raw.read(2), 'Hurd!', 'the old layer turns back what it turned')
      assert.is(await raw.content(0, 'r', 'f'), 'Rebn!', 'by 13 on its way down, by 3 on its way up')
      await raw.walk(0, 4, 'p', 'f')
      assert.is((await raw.getattr(4)).qid.path, number)
      await raw.walk(0, 5, 'r')
      assert.is((await raw.getattr(5)).qid.path, root)
      assert.equal(mounts.list().map(({ path, state, stack }) => [path, state, stack.split(' ')[0]]), [['/', 'running', 'memory'], ['/r', 'running', 'rot13'], ['/p', 'running', 'posix'], ['/r', 'leaving', 'rot13'], ['/p', 'leaving', 'rot13']])
      assert.is(mounts.state('/r').layers[1]!.held, 2)
      await raw.clunk(1, 2, 3)
      await soon('they leave', () => mounts.list().length === 3)
      assert.is(mounts.state('/r').layers[1]!.held, 1)
      await mounts.set('/r', stack('vault x'))
      assert.equal(seen, ['start x'])
    })
  } finally { end() }
})

test('two mounts of one text are two: files of the one are not in the other', () => serving({ '/a': 'memory', '/b': 'memory' }, async (_, raw) => {
  await raw.walk(0, 1, 'a')
  await raw.file(1, 'f')
  assert.equal(await ls(raw, 'b'), [])
  await raw.walk(0, 2, 'b')
  assert.is.not((await raw.getattr(1)).qid.path, (await raw.getattr(2)).qid.path)
}))

test('mounts below stay where they are when what is around them is exchanged, or goes', () => serving({ '/': 'memory', '/m': 'memory', '/m/x/y': 'memory' }, async ({ mounts }, raw) => {
  await raw.walk(0, 1, 'm', 'x', 'y')
  await raw.file(1, 'deep', 'text')
  await raw.walk(0, 2, 'm', 'x')
  const old = (await raw.getattr(2)).qid.path
  await mounts.set('/m', stack('rot13 | memory'))
  assert.is(await raw.content(0, 'm', 'x', 'y', 'deep'), 'text')
  assert.is((await raw.walk(0, 3, 'm', 'x')).qids[1]!.path, old, 'an empty directory of a path has one number')
  await raw.walk(0, 4, 'm')
  await raw.mkdir(4, 'own')
  assert.equal(await ls(raw, 'm'), ['own', 'x'])
  await raw.clunk(4)
  await mounts.remove('/m')
  assert.is(await raw.content(0, 'm', 'x', 'y', 'deep'), 'text')
  assert.equal(await ls(raw, 'm'), ['x'])
  assert.is((await raw.walk(1, 5, '..', '..', '..')).qids[2]!.path, (await raw.getattr(0)).qid.path)
  await raw.clunk(1, 2, 3, 5)
  await mounts.remove('/m/x/y')
  assert.equal(await ls(raw), [])
  // A file in the way, or a path that is none.
  await raw.file(0, 'f')
  assert.match((await refusal(mounts.set('/f/x', stack('memory')))).message, /^ENOTDIR: \/f: is no directory/)
  assert.match((await refusal(mounts.set('f', stack('memory')))).message, /begins with/)
  assert.equal(await ls(raw), ['f'])
}))

test('the root is exchanged: who came in before stays in the old, and new attaches see the new', () => serving({ '/': 'memory', '/m': 'memory' }, async (server, raw) => {
  await raw.file(0, 'old')
  await server.mounts.set('/', stack('memory mode=0755'))
  assert.equal(await ls(raw), ['m', 'old'])
  const late = await Raw.versioned(server.urls[0]!)
  await late.attach(0)
  assert.equal(await ls(late), ['m'])
  await raw.walk(0, 1, 'm')
  assert.is((await raw.walk(1, 2, '..')).qids.length, 1)
  assert.equal(await ls(raw, 'm', '..'), ['m'])
  await late.end()
}))

test('a listing under way is not disturbed by mounts that come and go', () => serving({ '/': 'memory', '/a': 'memory', '/b': 'memory' }, async ({ mounts }, raw) => {
  for (let i = 0; i < 40; i++) await raw.file(0, `file${i}`)
  await raw.walk(0, 1)
  await raw.open(1)
  const names: string[] = []
  let offset = 0n
  for (let round = 0; ; round++) {
    const some = await entries(raw, 1, offset, 150)
    if (some.length === 0) break
    names.push(...some.map(({ name }) => name))
    offset = some.at(-1)!.cookie
    if (round === 1) await mounts.set('/c', stack('memory'))
    if (round === 2) await mounts.remove('/a')
    if (round === 3) await mounts.set('/file39', stack('memory'))
  }
  assert.is(new Set(names).size, names.length, 'none twice')
  for (let i = 0; i < 40; i++) assert.ok(names.includes(`file${i}`), `file${i}`)
  assert.equal((await listing(raw, 1)).map(({ name }) => name).filter((name) => !name.startsWith('f')), ['.', '..', 'b', 'c'])
}))

test('one that does not start changes nothing, and says why', () => serving({ '/': 'memory', '/v': 'rot13 | vault a' }, async (server, raw) => {
  const { mounts } = server
  await raw.walk(0, 1, 'v')
  await raw.file(1, 'f', 'text')
  for (const [line, says] of [['vault b fail=sorry', /sorry/], ['rot13 | vault b fail=sorry', /sorry/], ['vault b takes=1h', /did not start within 0\.05 s/]] as const) {
    assert.match((await refusal(mounts.set('/v', stack(line), { timeout: 0.05 }))).message, says)
    assert.is(await raw.content(0, 'v', 'f'), 'text')
    assert.match((await refusal(mounts.set('/other', stack(line), { timeout: 0.05 }))).message, says)
    assert.equal(await ls(raw), ['v'])
  }
  // One that starts after its time is closed.
  await refusal(mounts.set('/v', stack('vault late takes=0.2'), { timeout: 0.01 }))
  await soon('it is closed', () => seen.includes('close late'))
  assert.equal(seen, ['start a', 'start late', 'close late'])
}))

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
const load = suite('under load')

load('2 000 swaps while clients walk, read and write: no call fails but by what it asks for, and nothing is left', async () => {
  const { path, end } = folder(existsSync('/dev/shm') ? '/dev/shm' : tmpdir())   // each end syncs its disk
  try {
    writeFileSync(join(path, 'f'), 'Hurd!')
    await serving({ '/': 'memory', '/v': `posix ${path} owner=none`, '/m': 'memory' }, async (server) => {
      const { mounts } = server, clients = await Promise.all(Array.from({ length: 4 }, () => Raw.versioned(server.urls[0]!)))
      for (const client of clients) await client.attach(0)
      const swap = async (i: number) => {
        await mounts.set('/v', stack(`rot13 shift=${1 + i % 25} | posix ${path} owner=none${i % 7 === 0 ? ' devices=on' : ''}`))
        if (i % 3 === 0) await mounts.set('/m', stack(`memory mode=${i % 2 ? '0700' : '0755'}`))
        if (i % 10 === 0) await mounts.set('/x/y', stack('memory'))
        if (i % 10 === 5) await mounts.remove('/x/y', { force: true })
      }
      let running = true, rounds = 0, number: bigint | undefined
      const work = clients.map(async (client, c) => {
        while (running) {
          const { qids } = await client.walk(0, 1, 'v', 'f')
          assert.is(qids.length, 2)
          assert.is(qids[1]!.path, number ??= qids[1]!.path, 'one number for one file')
          await client.open(1)
          assert.is((await client.read(1)).length, 5)
          await client.walk(0, 2, 'm')
          assert.is(await client.outcome('Tmkdir', { dfid: 2, name: `d${c}`, mode: 0o755, gid: 0 }) === 'ENXIO', false)
          await client.clunk(1, 2)
          rounds++
        }
      })
      const settled = async () => {
        await soon('what left has ended', () => mounts.list().every(({ state }) => state === 'running'))
        for (let i = 0; i < 3; i++) { collect(); await new Promise((resolve) => setTimeout(resolve, 20)) }
        return { descriptors: readdirSync('/proc/self/fd').length, instances: mounts.instances.count, heap: process.memoryUsage().heapUsed }
      }
      const worked = Promise.all(work).finally(() => { running = false })
      worked.catch(() => {})
      for (let i = 0; i < 200; i++) await swap(i)
      const before = await settled()
      for (let i = 200; i < 2200; i++) await swap(i)
      assert.ok(rounds > 20, `${rounds} rounds of the clients`)
      running = false
      await worked
      const after = await settled()
      assert.ok(Math.abs(after.instances - before.instances) <= 2, `${before.instances} instances, then ${after.instances}`)
      assert.ok(after.descriptors - before.descriptors <= 8, `${before.descriptors} descriptors, then ${after.descriptors}`)
      assert.ok(after.heap - before.heap < 8e6, `${before.heap} bytes, then ${after.heap}`)
      for (const client of clients) await client.end()
    })
  } finally { end() }
})

load('clients that are cut off by force again and again are told so, and by nothing else', () => serving({ '/': 'memory', '/m': 'fault ops=read,getattr,walk,open delay=1ms | memory' }, async (server) => {
  const { mounts } = server, clients = await Promise.all(Array.from({ length: 6 }, () => Raw.versioned(server.urls[0]!)))
  let running = true
  const told = new Set<string>(), work = clients.map(async (client, c) => {
    await client.attach(0)
    while (running) {
      const walked = await client.outcome('Twalk', { fid: 0, newfid: 1, names: ['m'] })
      told.add(walked)
      if (walked !== 'ok') continue
      await client.walk(1, 2).catch(() => {})
      const made = await client.outcome('Tlcreate', { fid: 2, name: `f${c}`, flags: 0x42, mode: 0o100644, gid: 0 })
      told.add(made)
      const asked = [client.outcome('Tgetattr', { fid: 1, mask: 0x7ff }), client.outcome('Twalk', { fid: 1, newfid: 3, names: [`f${c}`] })]
      if (made === 'ok') asked.push(client.outcome('Twrite', { fid: 2, offset: 0, data: Buffer.from('text') }), client.outcome('Tread', { fid: 2, offset: 0, count: 10 }), client.outcome('Tclunk', { fid: 2 }))
      for (const each of await Promise.all(asked)) told.add(each)
      for (const fid of [1, 2, 3]) await client.outcome('Tclunk', { fid })
    }
  })
  const worked = Promise.all(work).finally(() => { running = false })
  worked.catch(() => {})
  for (let i = 0; i < 150 && running; i++) {
    await mounts.set('/m', stack(`fault ops=read,getattr,walk,open delay=1ms seed=${i} | memory mode=0${i % 2 ? 777 : 755}`), { force: true })
    await new Promise((resolve) => setTimeout(resolve, i % 5))
  }
  running = false
  await worked
  assert.equal([...told].filter((code) => !['ok', 'ENXIO', 'ENOENT', 'EBADF', 'EINTR'].includes(code)), [])
  assert.ok(told.has('ENXIO'), [...told].join(' '))
  for (const client of clients) await client.end()
  await soon('what left has ended', () => mounts.list().length === 2)
}))

load('volumes that have gone leave their prefix to those that come', async () => {
  const { path, end } = folder()
  try {
    await serving({ '/': 'memory', '/m': 'memory' }, async ({ mounts }, raw) => {
      for (let i = 0; i < 60; i++) {
        await mounts.set('/m', stack(`memory mode=0${i % 2 ? 700 : 755}`))
        await raw.walk(0, 1, 'm')
        await raw.clunk(1)
      }
    }, { state: path })
    const { volumes } = JSON.parse(readFileSync(join(path, 'volumes.json'), 'utf8')) as { volumes: Record<string, number> }
    assert.ok(Object.keys(volumes).length < 12, Object.keys(volumes).join(', '))
  } finally { end() }
})

load('a walk costs no more among a thousand mounts than among ten', () => serving({ '/': 'memory', '/d/e/f': 'memory' }, async ({ mounts }, raw) => {
  await raw.walk(0, 1, 'd', 'e', 'f')
  for (const name of ['g', 'h']) await raw.mkdir(1, name)
  const { namespace } = mounts
  const cost = () => {
    const began = process.cpuUsage()
    for (let i = 0; i < 20_000; i++) {
      let file = namespace.root.file.retain()
      for (const name of ['d', 'e', 'f', 'g', '..', '..', '..', '..']) {
        const next = namespace.step(file, name) as typeof file
        file.release()
        file = next
      }
      file.release()
    }
    const { user } = process.cpuUsage(began)
    return user
  }
  const least = () => Math.min(...Array.from({ length: 5 }, cost))
  for (let i = 0; i < 10; i++) await mounts.set(`/d/e/m${i}`, stack('null'))
  const few = least()
  await mounts.apply(new Map(Array.from({ length: 1000 }, (_, i) => [`/d/e/m${i}`, stack('null')])), [])
  assert.is((await ls(raw, 'd', 'e')).length, 1001)
  const many = least()
  assert.ok(many < 5 * few,          // a hundred times, if it went by their number
    `${few} us among ten, ${many} among a thousand`)
}))

const exclusive = suite('exclusive')

exclusive('one that needs what another mount has is refused, and told who has it', () => serving({ '/': 'memory', '/v': 'rot13 | vault a' }, async ({ mounts }, raw) => {
  const refused = await refusal(mounts.set('/w', stack('vault a')))
  assert.ok(isErrno(refused, 'EBUSY'))
  assert.match(refused.message, /\/w: vault: vault:a is in use by \/v: vault/)
  assert.equal(await ls(raw), ['v'])
}))
exclusive('other options that it takes while it runs: the same goes on, though it is in use', () => serving({ '/': 'memory', '/v': 'rot13 | vault a' }, async ({ mounts }, raw) => {
  await raw.walk(0, 1, 'v')
  await raw.create(1, 2, 'f', 'text')
  assert.equal((await mounts.set('/v', stack('rot13 | vault a size=7'))).changed, ['/v'])
  assert.equal((await mounts.set('/v', stack('vault a size=8'))).replaced, ['/v'])
  assert.equal(seen, ['start a', 'size 7', 'size 8'])
  assert.is(mounts.state('/v').stack, 'vault a size=8')
  assert.match((await refusal(mounts.set('/v', stack('rot13 | vault a size=100')))).message, /too large/)
  assert.is(mounts.state('/v').stack, 'vault a size=8')
}))
exclusive('other options that it does not take: waits for the last fid, then the new one starts', () => serving({ '/': 'memory', '/v': 'vault a' }, async (server, raw) => {
  const { mounts } = server
  await raw.walk(0, 1, 'v')
  const refused = await refusal(mounts.set('/v', stack('vault a kind=2'), { timeout: 0.05 }))
  assert.match(refused.message, /^EBUSY: \/v: 1 fid is in it/)
  await raw.walk(0, 2, 'v')
  await raw.clunk(2)
  const swapped = mounts.set('/v', stack('vault a kind=2'), { timeout: 20 })
  await raw.clunk(1)
  await swapped
  assert.equal(seen, ['start a', 'close a', 'start a'])
  assert.is(mounts.state('/v').stack, 'vault a kind=2')
  // Its place waits while there is nothing there: the old one has ended, and the new one is slow.
  const slow = mounts.set('/v', stack('vault a kind=3 takes=0.3'))
  await soon('the old one ends', () => seen.length === 4)
  const [walked, listed] = await Promise.all([raw.walk(0, 3, 'v'), ls(raw)])
  assert.equal([walked.qids.length, listed], [1, ['v']])
  await slow
  await raw.file(3, 'in the new one')
  assert.equal(await ls(raw, 'v'), ['in the new one'])
  await raw.clunk(3)
}))
exclusive('where the new one does not start, the old one is started again', () => serving({ '/': 'memory', '/v': 'vault a' }, async ({ mounts }, raw) => {
  assert.match((await refusal(mounts.set('/v', stack('vault a kind=2 fail=sorry')))).message, /sorry/)
  assert.equal(seen, ['start a', 'close a', 'start a'])
  assert.is(mounts.state('/v').stack, 'vault a')
  assert.is((await raw.walk(0, 1, 'v')).qids.length, 1)
}))
exclusive('what is beside it in the stack goes on through the wait, and where the new one does not start', () => serving({ '/': 'memory', '/v': 'union (memory, vault a)' }, async ({ mounts }, raw) => {
  await raw.walk(0, 1, 'v')
  await raw.create(1, 2, 'f', 'text')
  await raw.clunk(1, 2)
  const kept = async () => {
    await raw.walk(0, 3, 'v', 'f')
    await raw.open(3)
    assert.is(await raw.read(3), 'text')
    await raw.clunk(3)
  }
  assert.equal((await mounts.set('/v', stack('union (memory, vault a kind=2)'))).replaced, ['/v'])
  assert.equal(seen, ['start a', 'close a', 'start a'])
  await kept()
  assert.match((await refusal(mounts.set('/v', stack('union (memory, vault a kind=3 fail=sorry)')))).message, /sorry/)
  assert.equal(seen, ['start a', 'close a', 'start a', 'close a', 'start a'])
  assert.is(mounts.state('/v').stack, 'union (memory, vault a kind=2)')
  await kept()
}))
exclusive('by force, who is in it is cut off', () => serving({ '/': 'memory', '/v': 'vault a' }, async ({ mounts }, raw) => {
  await raw.walk(0, 1, 'v')
  await raw.create(1, 2, 'f', 'text')
  await mounts.set('/v', stack('vault a kind=2'), { force: true })
  assert.equal(seen, ['start a', 'close a', 'start a'])
  assert.is(await raw.refused('Tread', { fid: 2, offset: 0, count: 10 }), 'ENXIO')
  assert.equal(await ls(raw, 'v'), [])
  await raw.clunk(1, 2)
}))
exclusive('it moves to another path with a config', () => serving({ '/': 'memory', '/v': 'vault a' }, async ({ mounts }, raw) => {
  assert.equal(await mounts.apply(stacks({ '/': 'memory', '/w': 'vault a' }), ['/', '/v']), { kept: ['/'], changed: [], started: ['/w'], replaced: [], removed: ['/v'] })
  assert.equal([seen, await ls(raw)], [['start a', 'close a', 'start a'], ['w']])
}))

const config = suite('a changed config')

config('what did not change keeps running, with its fids; the rest is exchanged', () => serving({ '/': 'memory', '/a': 'vault a', '/b': 'vault b', '/c': 'vault c' }, async (server, raw) => {
  const { mounts } = server
  await raw.walk(0, 1, 'a')
  await raw.create(1, 2, 'f', 'text')
  await raw.walk(0, 3, 'c')
  await mounts.set('/live', stack('vault live'))
  const before = ['/', '/a', '/b', '/c']
  assert.equal(await mounts.apply(stacks({ '/': 'memory', '/a': 'vault a', '/b': 'rot13 | vault b', '/d': 'vault d' }), before),
    { kept: ['/', '/a'], changed: [], started: ['/d'], replaced: ['/b'], removed: ['/c'] })
  assert.equal(seen, ['start a', 'start b', 'start c', 'start live', 'start d'])
  assert.equal(await ls(raw), ['a', 'b', 'd', 'live'])
  assert.is(await raw.read(2), 'text')
  assert.is(await raw.outcome('Tgetattr', { fid: 3, mask: 0x7ff }), 'ok')
  await raw.clunk(3)
  await soon('what left is closed', () => seen.includes('close c'))
}))
config('one that is wrong in a part changes no part', () => serving({ '/': 'memory', '/a': 'vault a size=2' }, async (server, raw) => {
  const { mounts } = server, before = states(server)
  await raw.file(0, 'file')
  for (const [lines, says] of [
    [{ '/': 'memory', '/a': 'vault a size=3', '/b': 'vault b', '/c': 'vault c fail=sorry' }, /sorry/],
    [{ '/': 'memory', '/a': 'vault a size=3', '/b': 'vault b size=4', '/file/x': 'vault d' }, /ENOTDIR/],
    [{ '/': 'memory size=5MiB', '/a': 'vault a size=100', '/b': 'vault b' }, /too large/],
    [{ '/': 'memory', '/x': 'vault y', '/y': 'vault y' }, /vault:y is wanted by/],
  ] as const) {
    assert.match((await refusal(mounts.apply(stacks(lines), ['/', '/a']))).message, says)
    assert.equal(states(server), before)
    assert.equal(mounts.list().map(({ stack }) => stack), ['memory', 'vault a size=2'])
    assert.equal(await ls(raw), ['a', 'file'])
  }
}))
config('its rules hold for who comes from then on', () => serving({ '/': 'memory', '/a': 'vault a' }, async (server, raw) => {
  await server.mounts.set('/live', stack('memory'))
  const { replaced, removed } = await server.apply({ namespace: stacks({ '/': 'memory', '/a': 'vault b' }), attach: new Map([['/', attachRules({ 'read-only': true })]]), limits: { handles: 16 } })
  assert.equal([replaced, removed, await ls(raw)], [['/a'], [], ['a', 'live']])
  await raw.file(0, 'f')
  const late = await Raw.versioned(server.urls[0]!)
  await late.attach(0)
  assert.is(await late.refused('Tmkdir', { dfid: 0, name: 'd', mode: 0o755, gid: 0 }), 'EROFS')
  for (let i = 1; i <= 16; i++) { await late.walk(0, i); await late.open(i) }
  await late.walk(0, 17)
  assert.is(await late.refused('Tlopen', { fid: 17, flags: 0 }), 'EMFILE')
  await late.end()
  assert.equal((await server.apply({ namespace: stacks({ '/': 'memory' }) })).removed, ['/a'])
  assert.equal(await ls(raw), ['f', 'live'])
  const { message } = await refusal(server.apply({ namespace: stacks({ '/': 'memory', '/x': 'vault x fail=sorry' }), attach: new Map([['/', attachRules({ squash: 'all' })]]) }))
  assert.match(message, /sorry/)
  await raw.attach(40)
  await raw.mkdir(40, 'by me')
}))
config('a layer takes other options where it can, and says which where it can not', () => serving({ '/': 'memory', '/r': 'rot13 | memory size=1MiB' }, async ({ mounts }, raw) => {
  await raw.walk(0, 1, 'r')
  assert.is((await raw.ok('Tstatfs', { fid: 1 })).blocks, 256)
  assert.is((await mounts.options('/r', { size: '2MiB' }, 1)).options.size, 2 ** 21)
  assert.is((await raw.ok('Tstatfs', { fid: 1 })).blocks, 512)
  assert.is(mounts.state('/r').stack, 'rot13 | memory size=2MiB')
  const refused = await refusal(mounts.options('/r', { mode: '0700' }, 1))
  assert.ok(isErrno(refused, 'EOPNOTSUPP'))
  assert.match(refused.message, /\/r: memory: mode can't change while it runs\. These can: size, inodes/)
  assert.match((await refusal(mounts.options('/r', { shift: 3 }))).message, /EOPNOTSUPP.*None can/)
  assert.match((await refusal(mounts.options('/r', { sise: 3 }, 1))).message, /no option "sise". Did you mean "size"/)
  assert.ok(isErrno(await refusal(mounts.options('/r', {}, 2)), 'ENOENT'))
}))

test.run()
load.run()
exclusive.run()
config.run()
