// Layers that a namespace needs: readonly, idmap, trace, stats, and the meters of a server.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AT_REMOVEDIR, Attrs, O, S } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseStack } from '../server/stack.ts'
import { fault } from '../translators/fault/fault.ts'
import { formatAcl, parseAcl } from '../translators/acl.ts'
import { idmap } from '../translators/idmap/idmap.ts'
import { memory } from '../translators/memory/memory.ts'
import { Meters, bounds, measured, meterOf } from '../translators/meter.ts'
import type { Meter, OpStats } from '../translators/meter.ts'
import { BadOption, describe, reconfigure, silent } from '../translators/options.ts'
import { readonly } from '../translators/readonly/readonly.ts'
import { stats } from '../translators/stats/stats.ts'
import { trace } from '../translators/trace/trace.ts'
import type { Translator } from '../translators/translator.ts'
import { conform, conformBlobs, fails, get, put, text } from './conform/conform.ts'
import { entries, find, stat } from './conform/tools.ts'
import { startStack } from './started.ts'

const folder = mkdtempSync(join(tmpdir(), 'ninefold-layers-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
let files = 0

const shifted = { uids: '0:100000:65536', gids: '0:100000:65536' }
/** Also the highest ids there are. */
const whole = { uids: '0:100000:65534,4294967293:65534:2', gids: '4294967293:7:2,0:100000:65534' }
const quick = { quick: true }
conform('idmap', async () => idmap({ ...whole, 'overflow-uid': 65534, 'overflow-gid': 65534 }, await memory({ uid: 100000, gid: 100000 })), quick)
conform('trace', async () => trace({ file: join(folder, `trace-${++files}`) }, await memory({})), quick)
conform('stats', async () => stats({}, await memory({})), quick)
conform('what is measured', async () => measured(await memory({}), new Meters(3), '/: memory', '0', []), quick)
conformBlobs('what is measured', async () => measured(await memory({}), new Meters(3), '/: memory', '0', []))

const owner = { uid: 1000, gid: 1000 }
const test = suite('layers')

test('readonly: all is there to read, and every change is EROFS', async () => {
  const brick = await memory({})
  await put(brick, 'f', text('text'))
  const below = await brick.attach('')
  await below.mkdir('d', 0o755, owner)
  await below.symlink('s', 'f', owner)
  await using layer = await readonly({}, brick)
  const root = await layer.attach(''), f = await root.walk('f'), d = await root.walk('d')
  assert.equal(await get(layer, 'f'), text('text'))
  assert.is(await (await root.walk('s')).readlink(), 'f')
  assert.is((await stat(f)).size, 4)
  await fails('EISDIR', () => d.open(O.RDWR))
  for (const change of [
    () => f.open(O.RDWR), () => f.open(O.RDONLY | O.TRUNC), () => f.setattr({ mode: 0 }), () => root.create('g', O.RDWR, 0o644, owner),
    () => root.mkdir('g', 0o755, owner), () => root.symlink('g', 'f', owner), () => root.mknod('g', S.IFREG, 0n, owner), () => root.link(f, 'g'),
    () => root.renameat('f', root, 'g'), () => root.unlinkat('d', AT_REMOVEDIR), () => f.setxattr('user.a', text('a'), 0), () => f.removexattr('user.a'),
    async () => (await f.open(O.RDONLY)).setattr({ size: 0 }),
  ]) await fails('EROFS', change)
})

const aclOf = (...named: number[]) => formatAcl([
  { tag: 1, perm: 7, id: 0xffffffff }, ...named.map((id) => ({ tag: 2, perm: 4, id })), { tag: 4, perm: 4, id: 0xffffffff },
  { tag: 8, perm: 4, id: named[0]! }, { tag: 16, perm: 4, id: 0xffffffff }, { tag: 32, perm: 0, id: 0xffffffff },
])
const named = (acl: Uint8Array) => parseAcl(acl)!.filter(({ tag }) => tag === 2 || tag === 8).map(({ id }) => id)
test('idmap: owners and ACLs have other numbers above, both ways, wherever they come along', async () => {
  const brick = await memory({ uid: 100000, gid: 100000 }), below = await brick.attach('')
  await using layer = await idmap(shifted, brick)
  const root = await layer.attach('')
  const { node, handle } = await root.create('f', O.RDWR, 0o640, { uid: 5, gid: 6 })
  const under = await below.walk('f')
  const both = async () => [await stat(node), await stat(handle), await stat(under)].map(({ uid, gid }) => [uid, gid])
  assert.equal(await both(), [[5, 6], [5, 6], [100005, 100006]])
  await handle.setattr({ uid: 7 })
  await node.setattr({ gid: 8 })
  assert.equal(await both(), [[7, 8], [7, 8], [100007, 100008]])
  await node.setxattr('system.posix_acl_access', aclOf(9, 10), 0)
  assert.equal(named(await under.getxattr('system.posix_acl_access')), [100009, 100010, 100009])
  assert.equal(named(await node.getxattr('system.posix_acl_access')), [9, 10, 9])
  assert.equal(named((await node.getattr(Attrs.ACL)).acl!), [9, 10, 9])
  const seen = (await entries(await root.open(O.RDONLY), { mask: Attrs.ALL | Attrs.ACL })).list[0]!
  assert.equal([seen.attr!.uid, seen.attr!.gid, named(seen.attr!.acl!)], [7, 8, [9, 10, 9]])
})
test('idmap: what is nobody\'s above is the overflow id\'s, is read, and is changed by nobody until it has owners', async () => {
  const brick = await memory({ uid: 100000, gid: 100000 }), below = await brick.attach('')
  for (const [name, uid, gid] of [['u', 5, 100000], ['g', 100000, 5]] as const) await below.create(name, O.RDWR, 0o666, { uid, gid })
  await using layer = await idmap({ ...shifted, 'overflow-gid': 70000 }, brick)
  const root = await layer.attach(''), u = await root.walk('u'), g = await root.walk('g')
  assert.equal([(await stat(u)).uid, (await stat(u)).gid, (await stat(g)).uid, (await stat(g)).gid], [0xfffffffe, 0, 0, 70000])
  await u.open(O.RDONLY)
  for (const node of [u, g]) {
    await fails('EACCES', () => node.open(O.RDWR))
    await fails('EACCES', () => node.setxattr('user.a', text('a'), 0))
    await fails('EOVERFLOW', () => node.setattr({ mode: 0 }))
  }
  await fails('EOVERFLOW', () => u.setattr({ gid: 1 }))
  await fails('EOVERFLOW', () => u.setattr({ uid: 65536 }))
  await fails('EOVERFLOW', () => root.create('x', O.RDWR, 0o600, { uid: 65536, gid: 0 }))
  await fails('EOVERFLOW', () => root.mkdir('x', 0o700, { uid: 0, gid: 65536 }))
  await fails('EINVAL', () => root.setxattr('system.posix_acl_access', aclOf(65536), 0))
  await u.setattr({ uid: 1 })
  await u.open(O.RDWR)
  await below.mkdir('d', 0o777, { uid: 5, gid: 100000 })
  const d = await root.walk('d')
  for (const change of [() => d.create('x', O.RDWR, 0o644, owner), () => d.mkdir('x', 0o755, owner), () => d.unlinkat('x', 0), () => d.link(u, 'x'), () => root.renameat('u', d, 'x'), () => d.renameat('x', root, 'u')]) await fails('EACCES', change)
})
test('idmap: ranges that meet, an overflow id that is somebody, and what is no range are refused with a remedy', async () => {
  for (const [options, says] of [
    [{ uids: '0:1000:10,9:2000:10' }, /9 is mapped twice \(above\)/], [{ gids: '0:1000:10,100:1009:1' }, /1009 is mapped twice \(below\)/],
    [{ uids: '0:0:65536', 'overflow-uid': 65534 }, /overflow id 65534 is mapped/], [{ uids: '1' }, /Write ABOVE:BELOW:COUNT/], [{ uids: '0:0:4294967296' }, /no range/],
  ] as const) {
    const brick = await memory({})
    await idmap(options, brick).then(() => assert.unreachable(), (e: Error) => { assert.instance(e, BadOption); assert.match(e.message, says) })
    await brick.close()
  }
  parseStack('idmap uids=0:100000:65536,70000:1000 gids=5:6 | memory')
  parseStack('stats (idmap uids=0:100000:65536,70000:1000 (memory))')
})

const lines = (file: string) => readFileSync(file, 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line))
test('trace: every call is a line, with its time, its arguments and what came of it, and no contents', async () => {
  const file = join(folder, 'trace')
  const layer = await trace({ file }, await memory({}))
  const root = await layer.attach(''), d = await root.mkdir('d', 0o755, owner)
  const { node, handle } = await d.create('f\udc80', O.RDWR, 0o600, owner)
  await handle.write(text('secret'), 3)
  await handle.read(new Uint8Array(10), 0)
  await node.setxattr('user.a', text('secret'), 0)
  await fails('ENOENT', () => root.walk('nobody'))
  await root.renameat('d', root, 'e')
  await handle.close()
  await node.close()
  await layer.close()
  const raw = readFileSync(file, 'utf8'), got = lines(file)
  assert.not.match(raw, /secret/)
  assert.equal(got.map(({ op, path, name }) => [op, path, name]), [
    ['mkdir', '/', 'd'], ['create', '/d', 'f\udc80'], ['write', '/d/f\udc80', undefined], ['read', '/d/f\udc80', undefined],
    ['setxattr', '/d/f\udc80', 'user.a'], ['walk', '/', 'nobody'], ['renameat', '/', 'd'], ['close', '/d/f\udc80', undefined], ['close', '/d/f\udc80', undefined],
  ])
  assert.equal([got[2].bytes, got[2].offset, got[3].bytes, got[4].length, got[5].error, got[6].newName, got[6].dir], [6, 3, 9, 6, 'ENOENT', 'e', '/'])
  assert.ok(got.every(({ time, seconds }) => Math.abs(Date.parse(time) - Date.now()) < 3600_000 && seconds >= 0))
})
test('trace: some calls alone, and to the log where no file is named; a file that can\'t be written stops the start', async () => {
  const seen: any[] = []
  const layer = await trace.start({ ops: 'unlinkat,walk' }, [await memory({})], { name: '/t: trace', log: { ...silent, info: (fields, message) => { seen.push([message, (fields as any).op, (fields as any).error]) } } })
  const root = await layer.attach('')
  await put(layer, 'f', text('x'))
  await root.unlinkat('f', 0)
  await fails('ENOENT', () => root.unlinkat('f', 0))
  await layer.close()
  assert.equal(seen, [['/t: trace', 'unlinkat', undefined], ['/t: trace', 'unlinkat', 'ENOENT']])
  const brick = await memory({})
  await trace({ file: join(folder, 'no', 'where') }, brick).then(() => assert.unreachable(), (e) => assert.is(e.code, 'ENOENT'))
  await trace({ ops: 'wlak' }, brick).then(() => assert.unreachable(), (e) => assert.match(e.message, /Did you mean "walk"/))
  await brick.close()
})

const of = (meter: Iterable<OpStats>, op: string): OpStats => [...meter].find((each) => each.op === op)!
test('stats: a line in the log has calls, errors, bytes and times', async () => {
  const seen: any[] = []
  const meters = new Meters()
  const layer = await stats.start({ log: '20ms' }, [await fault({ ops: 'write', delay: 0.03 }, await memory({}))], { name: '/s: stats', log: { ...silent, info: (fields, message) => { seen.push([message, fields]) } }, meters })
  await put(layer, 'f', text('12345'))
  await fails('ENOTDIR', async () => (await find(layer, 'f')).walk('x'))
  for (let tries = 0; (seen.length === 0 || !seen.at(-1)[1].stats.walk?.errors) && tries < 500; tries++) await new Promise((resolve) => setTimeout(resolve, 5))
  const [message, fields] = seen.at(-1)!
  assert.is(message, '/s: stats')
  assert.equal([fields.stats.write.calls, fields.stats.write.bytes, fields.stats.walk.errors], [1, 5, 1])
  assert.ok(fields.stats.write.mean >= 0.029, String(fields.stats.write.mean))
  const [meter] = [...meters] as [Meter]
  assert.equal([meter.name, meter.path, meter.translator, of(meter, 'write').calls], ['/s: stats', '/s', 'stats', 1])
  await layer.close()
  assert.equal([...meters], [])
})
test('a measured stack: one meter an instance, counts exact, each time its own and not its child\'s', async () => {
  const meters = new Meters(1)
  const stack = await startStack(parseStack('rot13 | fault ops=read,getattr delay=40ms | memory'), { path: '/m', log: silent, meters })
  assert.equal([...meters].map(({ name, position }) => [name, position]).sort(), [['/m: fault', '0.0'], ['/m: memory', '0.0.0'], ['/m: rot13', '0']])
  assert.is(describe(stack).definition.name, 'rot13')
  await put(stack, 'f', text('abc'))
  for (let i = 0; i < 3; i++) await get(stack, 'f')
  const f = await find(stack, 'f')
  await Promise.all([stat(f), stat(f), stat(f)])
  await fails('EISDIR', async () => (await stack.attach('')).open(O.RDWR))
  const [rot, slow, brick] = ['rot13', 'fault', 'memory'].map((name) => [...meters].find(({ translator }) => translator === name)!) as [Meter, Meter, Meter]
  for (const meter of [rot, slow, brick]) {
    assert.equal([of(meter, 'read').calls, of(meter, 'read').bytes, of(meter, 'write').bytes, of(meter, 'open').errors, meter.pending], [6, 9, 3, 1, 0], meter.name)
    for (const { calls, timed, buckets } of meter) assert.equal([timed, buckets.reduce((a, b) => a + b)], [calls, calls])
  }
  // Six reads of 40 ms, and three getattrs beside each other: all of it in the layer that waits.
  assert.ok(of(slow, 'read').own >= 6 * 0.039, String(of(slow, 'read').own))
  assert.ok(of(slow, 'getattr').own >= 3 * 0.039)
  for (const op of ['read', 'getattr']) {
    assert.ok(of(rot, op).total >= of(slow, op).own * 0.95, op)
    assert.ok(of(rot, op).own < of(rot, op).total / 2, `${op}: ${of(rot, op).own} of ${of(rot, op).total}`)
    assert.ok(of(brick, op).total < of(slow, op).own / 2)
  }
  assert.is(of(slow, 'read').buckets.slice(0, bounds.findIndex((bound) => bound > 0.039)).reduce((a, b) => a + b), 0)
  await stack.close()
  assert.equal([...meters], [])
})
test('of many calls some are timed; all are counted', async () => {
  const meters = new Meters(50), stack = await startStack(parseStack('rot13 | memory'), { path: '/', log: silent, meters })
  const root = await stack.attach('')
  for (let i = 0; i < 10_000; i++) await root.getattr(0)
  for (const meter of meters) {
    const { calls, timed } = of(meter, 'getattr')
    assert.is(calls, 10_000)
    assert.ok(timed > 100 && timed < 400, String(timed))
  }
  await stack.close()
})
test('a getattr that is not timed: each instance on its way counts the call, its error, and that it has not come back', async () => {
  const meters = new Meters(2 ** 30)
  const stack = await startStack(parseStack('rot13 | readonly | idmap | fault ops=getattr error-rate=0.5 | fault ops=getattr delay=20ms delay-rate=0.5 | memory'), { path: '/', log: silent, meters })
  const root = await stack.attach(''), all = [...meters]
  let failed = 0, waited = 0
  for (let i = 0; i < 100; i++) {
    const attr = (async () => root.getattr(0))()
    const waiting = all.filter(({ pending }) => pending > 0).map(({ translator, position }) => `${translator} ${position}`).sort()
    assert.ok(waiting.length === 0 || waiting.length === 5, waiting.join())          // all but memory
    if (waiting.length > 0) waited++
    await attr.catch(() => { failed++ })
  }
  assert.ok(failed > 20 && failed < 80 && waited > 10 && waited < 60, `${failed}, ${waited}`)
  for (const meter of all) {
    const { calls, errors, timed } = of(meter, 'getattr'), above = meter.position.length <= '0.0.0.0'.length
    assert.equal([calls, errors, meter.pending], above ? [100, failed, 0] : [100 - failed, 0, 0], `${meter.name} ${meter.position}`)
    assert.ok(timed <= 1)
  }
  await stack.close()
})
test('what is measured still takes new options', async () => {
  const stack: Translator = await startStack(parseStack('memory size=1MiB'), { path: '/', log: silent, meters: new Meters() })
  assert.is(await reconfigure(stack, { size: '2MiB' }), true)
  assert.is((await (await stack.attach('')).statfs()).blocks, 512)
  assert.is(describe(stack).options.size, 2 ** 21)
  await stack.close()
  const rot = await startStack(parseStack('rot13 | memory'), { path: '/', log: silent, meters: new Meters() })
  assert.is(await reconfigure(rot, { shift: 2 }), false)
  await rot.close()
})
test.run()
