// Each limit is exceeded on purpose by one client, while another's work goes on.

import { NOTAG, typeOf } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { defaultLimits } from '../../server/limits.ts'
import type { Limits } from '../../server/limits.ts'
import { anyFrame, frame, Raw, within } from './raw.ts'
import { onMemory, onSlow, Stand } from './stand.ts'
import type { Stack } from './stand.ts'

const test = suite('limits')
const MiB = 2 ** 20

/** A server with these limits, a client to misbehave, and one that works on. */
async function with2(stack: Stack, limits: Partial<Limits>, run: (bad: Raw, good: Raw, stand: Stand) => Promise<void>): Promise<void> {
  const stand = await Stand.start(stack, { limits })
  try {
    const bad = await Raw.versioned(stand.unix, 1048600), good = await Raw.versioned(stand.tcp)
    await bad.attach(0)
    await good.attach(0)
    await good.create(0, 1, 'good', 'well')
    await run(bad, good, stand)
    assert.is(await good.read(1), 'well')
    await good.mkdir(0, 'goes on')
    bad.strays.length = 0
    await bad.end()
    await good.end()
    for (let tries = 0; stand.server.connections > 0; tries++) {
      assert.ok(tries < 500, 'connections end')
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    if (stack === onSlow) await stand.control.idle(1)
    assert.equal([stand.control.violations, stand.log.bugs], [[], []])
  } finally { await stand.stop() }
}
/** Bytes outside the heap and in it, after a while to settle. */
function memory(): number { return process.memoryUsage.rss() }

test('the defaults are what is promised', () => {
  assert.equal([defaultLimits.msize, defaultLimits['bytes-in-flight'], defaultLimits.requests, defaultLimits.connections], [1048600, 16 * MiB, 1024, 10_000])
})

test('msize: a smaller one is what clients get, and no frame above it is read', () => with2(onMemory, { msize: 16384 }, async (bad, _good, stand) => {
  assert.is(bad.msize, 16384)
  const head = anyFrame(typeOf.Twrite, 1)
  head.writeUInt32LE(16385, 0)
  const other = await Raw.versioned(stand.tcp)
  other.bytes(head)
  await other.closed
}))

test('fids: one more is EMFILE; when one is clunked there is room', () => with2(onMemory, { fids: 16 }, async (bad) => {
  for (let fid = 1; fid < 16; fid++) await bad.walk(0, fid)
  assert.is(await bad.refused('Twalk', { fid: 0, newfid: 16, names: [] }), 'EMFILE')
  assert.is(await bad.refused('Txattrwalk', { fid: 0, newfid: 16, name: '' }), 'EMFILE')
  assert.is(await bad.refused('Tattach', { fid: 16, afid: 0xffffffff, uname: '', aname: '', nUname: 0 }), 'EMFILE')
  await bad.clunk(7)
  await bad.walk(0, 16)
  await bad.clunk(0)
  await bad.attach(0)
}))

test('handles: one more open file is EMFILE, and nothing is created', () => with2(onMemory, { handles: 16 }, async (bad) => {
  for (let fid = 1; fid <= 16; fid++) await bad.create(0, fid, `f${fid}`)
  await bad.walk(0, 17)
  assert.is(await bad.refused('Tlcreate', { fid: 17, name: 'more', flags: 0x42, mode: 0o644, gid: 0 }), 'EMFILE')
  assert.is(await bad.refused('Tlopen', { fid: 17, flags: 0 }), 'EMFILE')
  assert.is(await bad.refused('Twalk', { fid: 0, newfid: 18, names: ['more'] }), 'ENOENT')
  await bad.clunk(3)
  await bad.open(17)
}))

test('requests: what is beyond is not read until others are answered', () => with2(onSlow, { requests: 8 }, async (bad, good, { control }) => {
  const go = control.stop('statfs')
  bad.bytes(...Array.from({ length: 2000 }, (_, i) => frame('Tstatfs', 100 + i, { fid: 0 })))
  await control.stopped('statfs', 8)
  await new Promise((resolve) => setTimeout(resolve, 30))
  await control.stopped('statfs', 8)
  assert.is(control.calls, 8, 'no more than eight are at work')
  for (let i = 0; i < 20; i++) assert.is(await good.read(1), 'well')
  go()
  for (let i = 0; i < 2000; i++) assert.is((await bad.reply(100 + i)).name, 'Rstatfs')
}))

test('requests: flushing them makes no room that is not there', () => with2(onSlow, { requests: 8 }, async (bad, good, { control }) => {
  const go = control.stop('getattr')
  bad.bytes(...Array.from({ length: 1000 }, (_, i) => [frame('Tgetattr', 20_000 + i, { fid: 0, mask: 1 }), frame('Tflush', 101 + i, { oldtag: 20_000 + i })]).flat())
  await control.stopped('getattr', 8)
  await new Promise((resolve) => setTimeout(resolve, 30))
  assert.ok(control.calls <= 8, `${control.calls} are at work`)
  assert.is(await good.read(1), 'well')
  go()
  for (let i = 0; i < 1000; i++) assert.is((await bad.reply(101 + i)).name, 'Rflush')
}))

test('requests: waits for locks do not count, so that what ends them is read', () => with2(onMemory, { requests: 4 }, async (bad, good) => {
  await bad.walk(0, 1, 'good')
  await bad.open(1, 2)
  const lock = { fid: 1, start: 0n, length: 0n, clientId: 'c' }
  await good.ok('Tlock', { ...lock, type: 1, flags: 0, procId: 1 })
  for (let i = 0; i < 50; i++) bad.send('Tlock', 100 + i, { ...lock, type: 1, flags: 1, procId: i })
  await bad.getattr(0)
  for (let i = 1; i < 50; i++) await bad.ok('Tflush', { oldtag: 100 + i })
  await good.ok('Tlock', { ...lock, type: 2, flags: 0, procId: 1 })
  assert.equal((await bad.reply(100)).fields, { status: 0 })
}))

for (const [end, reads] of [['close', 20], ['reset', 20], ['end', 20], ['end', 3]] as const) {
  test(`a client that ends by ${end}, with ${reads} requests stuck, of which 4 may be at work, gives its locks back`, () => with2(onSlow, { requests: 4, 'finish-timeout': 0.2 }, async (_bad, good, stand) => {
    const { control } = stand, raw = await Raw.versioned(end === 'close' ? stand.unix : stand.tcp)
    await raw.attach(0)
    await raw.walk(0, 1, 'good')
    await raw.open(1, 2)
    const lock = { fid: 1, type: 1, start: 0n, length: 0n, procId: 1, clientId: 'c' }
    await raw.ok('Tlock', { ...lock, flags: 0 })
    const go = control.stop('read')
    for (let i = 0; i < reads; i++) raw.send('Tread', 100 + i, { fid: 1, offset: 0, count: 10 })
    await control.stopped('read', Math.min(reads, 4))
    good.send('Tlock', 100, { ...lock, flags: 1 })
    await good.getattr(1)
    if (end === 'close') raw.socket.destroy()
    else if (end === 'reset') raw.reset()
    else raw.socket.end()
    const begun = performance.now()
    assert.equal((await good.reply(100)).fields, { status: 0 })
    assert.ok(performance.now() - begun < 2500)
    go()
    raw.socket.destroy()
    await good.ok('Tlock', { ...lock, type: 2, flags: 0 })
  }))
}

test('bytes in flight: a segment full of Treads of a mebibyte each, whose replies nobody takes', () => with2(onMemory, { 'bytes-in-flight': 2 * MiB }, async (bad, good) => {
  await bad.create(0, 1, 'big', Buffer.alloc(MiB, 'x'))
  const before = memory()
  bad.socket.pause()
  bad.bytes(...Array.from({ length: 3000 }, (_, i) => frame('Tread', 100 + i, { fid: 1, offset: 0, count: MiB })))
  for (let i = 0; i < 40; i++) {
    assert.is(await good.read(1), 'well')
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  const grown = (memory() - before) / MiB
  assert.ok(grown < 64, `${grown.toFixed(0)} MiB more`)
  // It gets all of it, when it takes it.
  let got = 0
  bad.socket.removeAllListeners('data')
  const all = new Promise<void>((resolve) => bad.socket.on('data', (chunk: Buffer) => { if ((got += chunk.length) === 200 * (MiB + 11)) { bad.socket.pause(); resolve() } else if (got > 200 * (MiB + 11)) resolve() }))
  bad.socket.resume()
  await within(20, 'two hundred replies', all)
  assert.ok((memory() - before) / MiB < 96)
}))

test('bytes in flight: a segment full of Treads that a slow translator answers late', () => with2(onSlow, { 'bytes-in-flight': 4 * MiB }, async (bad, good, { control }) => {
  await bad.create(0, 1, 'big', Buffer.alloc(MiB, 'x'))
  await bad.read(1, 0, 10)
  const go = control.stop('read'), before = memory()
  bad.bytes(...Array.from({ length: 500 }, (_, i) => frame('Tread', 100 + i, { fid: 1, offset: 0, count: MiB })))
  await control.stopped('read', 4)
  await new Promise((resolve) => setTimeout(resolve, 30))
  assert.ok(control.calls <= 6, `${control.calls} are at work`)
  await good.getattr(1)
  assert.ok((memory() - before) / MiB < 64)
  go()
  for (let i = 0; i < 50; i++) assert.is((await bad.reply(100 + i)).fields.data.length, MiB)
}))

test('bytes in flight: writes that a slow translator keeps', () => with2(onSlow, { 'bytes-in-flight': 4 * MiB }, async (bad, good, { control }) => {
  await bad.create(0, 1, 'big')
  const go = control.stop('write'), data = Buffer.alloc(200_000, 'x'), before = memory()
  for (let i = 0; i < 200; i++) bad.send('Twrite', 100 + i, { fid: 1, offset: i * data.length, data })
  await control.stopped('write', 8)
  await new Promise((resolve) => setTimeout(resolve, 50))
  assert.ok(control.calls < 40, `${control.calls} are at work`)
  assert.is(await good.read(1), 'well')
  assert.ok((memory() - before) / MiB < 128)                // what the sender has not got rid of is ours as well
  go()
  for (let i = 0; i < 200; i++) assert.equal((await bad.reply(100 + i)).fields, { count: data.length })
  assert.is((await bad.getattr(1)).size, 200 * data.length)
}))

test('a client that never takes its replies costs a bounded amount, and no other waits', () => with2(onMemory, {}, async (bad, good) => {
  await bad.create(0, 1, 'big', Buffer.alloc(MiB, 'x'))
  bad.socket.pause()
  const before = memory()
  const request = frame('Tread', 100, { fid: 1, offset: 0, count: 60_000 })
  let refused = false
  for (let i = 0; i < 5000 && !refused; i++) refused = !bad.socket.write(request) && i > 4000
  for (let i = 0; i < 100; i++) assert.is(await good.read(1), 'well')
  assert.ok((memory() - before) / MiB < 96, `${((memory() - before) / MiB).toFixed(0)} MiB`)
}))

test('connections: one more is closed at once, and one less makes room', () => with2(onMemory, { connections: 4 }, async (_bad, good, stand) => {
  const third = await Raw.versioned(stand.tcp), fourth = await Raw.versioned(stand.unix)
  const fifth = await Raw.connect(stand.tcp)
  await within(2, 'the fifth is closed', fifth.closed)
  assert.ok(stand.log.warnings.some(({ message }) => message.startsWith('too many connections')))
  await fourth.end()
  await new Promise((resolve) => setTimeout(resolve, 20))
  const sixth = await Raw.versioned(stand.tcp)
  assert.is(await good.read(1), 'well')
  await third.end()
  await sixth.end()
}))

test('version-timeout: who says nothing, or never a version we speak, is cut off', () => with2(onMemory, { 'version-timeout': 0.2 }, async (_bad, good, stand) => {
  const silent = await Raw.connect(stand.tcp), half = await Raw.connect(stand.unix), foreign = await Raw.connect(stand.tcp), fine = await Raw.versioned(stand.tcp)
  half.bytes(frame('Tversion', NOTAG, { msize: 8192, version: '9P2000.L' }).subarray(0, 10))
  await foreign.ok('Tversion', { msize: 8192, version: '9P1999' }, NOTAG)
  await within(2, 'they are closed', Promise.all([silent.closed, half.closed, foreign.closed]))
  await fine.attach(0)
  assert.is(await good.read(1), 'well')
  await fine.end()
}))

test('version-timeout: a unix socket may be held ready for a later mount', () => with2(onMemory, { 'version-timeout': 0.1 }, async (_bad, _good, stand) => {
  const early = await Raw.connect(stand.unix)
  await new Promise((resolve) => setTimeout(resolve, 350))
  await early.ok('Tversion', { msize: 8192, version: '9P2000.L' }, NOTAG)
  await early.attach(0)
  await new Promise((resolve) => setTimeout(resolve, 250))
  assert.is(await early.outcome('Tgetattr', { fid: 0, mask: 1 }), 'ok')
  await early.end()
}))

test('xattr-bytes: beyond it is ENOBUFS, for writing and for reading', () => with2(onMemory, { 'xattr-bytes': 65536 }, async (bad) => {
  await bad.create(0, 1, 'f')
  const set = async (fid: number, name: string, size: number) => {
    await bad.walk(0, fid, 'f')
    const begun = await bad.outcome('Txattrcreate', { fid, name, attrSize: size, flags: 0 })
    if (begun === 'ok') await bad.write(fid, Buffer.alloc(size, 'v'))
    return begun
  }
  assert.is(await set(2, 'user.a', 40_000), 'ok')
  assert.is(await set(3, 'user.b', 40_000), 'ENOBUFS')
  await bad.clunk(2)
  assert.is(await bad.outcome('Txattrcreate', { fid: 3, name: 'user.b', attrSize: 10_000, flags: 0 }), 'ok')
  await bad.ok('Txattrwalk', { fid: 1, newfid: 4, name: 'user.a' })
  assert.is(await bad.refused('Txattrwalk', { fid: 1, newfid: 5, name: 'user.a' }), 'ENOBUFS')
  assert.is(await bad.refused('Tclunk', { fid: 5 }), 'EBADF')
  await bad.clunk(4)
  await bad.ok('Txattrwalk', { fid: 1, newfid: 5, name: 'user.a' })
  // A new Tversion gives all of it back.
  await bad.version()
  await bad.attach(0)
  await bad.walk(0, 2, 'f')
  await bad.ok('Txattrcreate', { fid: 2, name: 'user.c', attrSize: 65536, flags: 0 })
}))

test('200 idle connections hold little', async () => {
  const stand = await Stand.start(onMemory)
  const all: Raw[] = []
  for (let i = 0; i < 20; i++) all.push(await Raw.versioned(i % 2 ? stand.tcp : stand.unix, 1048600))
  const before = process.memoryUsage()
  for (let i = 0; i < 200; i++) {
    const raw = await Raw.versioned(i % 2 ? stand.tcp : stand.unix, 1048600)
    await raw.attach(0)
    all.push(raw)
  }
  const after = process.memoryUsage()
  // Both ends are ours: what the test's own sockets hold is in it.
  assert.ok(after.arrayBuffers - before.arrayBuffers < 200 * 80 * 1024, `${((after.arrayBuffers - before.arrayBuffers) / 200 / 1024).toFixed(0)} KiB a pair`)
  for (const raw of all) await raw.end()
  await stand.stop()
})

test('what was encoded for a connection that is cut off never reaches another', async () => {
  const stand = await Stand.start(onMemory)
  for (let round = 0; round < 20; round++) {
    const bad = await Raw.versioned(stand.unix), good = await Raw.versioned(stand.unix)
    await bad.attach(0)
    await good.attach(0)
    const head = anyFrame(typeOf.Tgetattr, 7)
    head.writeUInt32LE(3, 0)
    bad.bytes(frame('Tgetattr', 5, { fid: 0, mask: 1 }), frame('Tstatfs', 6, { fid: 0 }), head)
    await bad.closed
    await good.getattr(0)
    assert.equal(good.strays, [])
    bad.strays.length = 0
    await good.end()
  }
  await stand.stop()
})

test('a tag that is used again before its reply ends the connection; nothing leaks to another', async () => {
  const stand = await Stand.start(onSlow)
  for (let round = 0; round < 5; round++) {
    const bad = await Raw.versioned(stand.unix), good = await Raw.versioned(stand.unix)
    await bad.attach(0)
    await good.attach(0)
    bad.bytes(frame('Tclunk', 9, { fid: 77 }), frame('Tgetattr', 5, { fid: 0, mask: 1 }), frame('Tclunk', 8, { fid: 78 }), frame('Tgetattr', 5, { fid: 0, mask: 1 }), frame('Tgetattr', 6, { fid: 0, mask: 1 }))
    await bad.closed
    await good.getattr(0)
    assert.equal(good.strays, [])
    await good.end()
  }
  await stand.control.idle(1)
  assert.equal(stand.control.violations, [])
  await stand.stop()
})

test.run()
