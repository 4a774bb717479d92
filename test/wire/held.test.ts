// What a client can make the server hold: half a message, replies that it does not take, a place to read into. All of it is
// bounded, and none of it is held for ever; who is idle holds nothing.

import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { NOTAG } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { defaultLimits } from '../../server/limits.ts'
import type { Limits } from '../../server/limits.ts'
import { dice } from '../../server/dice.ts'
import { frame, Raw, within } from './raw.ts'
import { onMemory, onSlow, Stand } from './stand.ts'
import type { Stack } from './stand.ts'

const test = suite('held')
const KiB = 2 ** 10, MiB = 2 ** 20, MSIZE = 1048600

async function on(stack: Stack, limits: Partial<Limits>, run: (stand: Stand, good: Raw) => Promise<void>): Promise<void> {
  const stand = await Stand.start(stack, { limits })
  try {
    const good = await Raw.versioned(stand.tcp, MSIZE)
    await good.attach(0)
    await good.create(0, 1, 'good', 'well')
    await run(stand, good)
    assert.is(await good.read(1), 'well')
    await good.end()
    await until('all is given back', () => stand.server.connections === 0 && stand.server.held === 0)
    assert.equal(stand.log.bugs, [])
  } finally { await stand.stop() }
}
async function until(what: string, done: () => boolean): Promise<void> {
  await within(20, what, (async () => { while (!done()) await sleep(5) })())
}
async function attached(url: string): Promise<Raw> {
  const raw = await Raw.versioned(url, MSIZE)
  await raw.attach(0)
  return raw
}
const whys = (stand: Stand) => stand.log.warnings.map(({ fields }) => String(fields.why))

test('minutes pass before a client is given up that stands still: it may be a machine that was stopped', () => {
  assert.equal([defaultLimits['frame-timeout'], defaultLimits['send-timeout']], [600, 600])
})

for (const kind of ['tcp', 'unix'] as const) {
  test(`${kind}: who sends a byte now and then is dropped in the end; who is idle, or sends whole messages in two halves, is not`, () => on(onMemory, { 'frame-timeout': 0.4 }, async (stand) => {
    const slow = await attached(stand[kind]), idle = await attached(stand[kind]), halves = await attached(stand[kind])
    const message = frame('Tgetattr', 7, { fid: 0, mask: 0x7ff })
    const gone = within(20, 'the slow one is dropped', slow.closed)
    let sent = 0, ended = false
    const over = () => { ended = true }
    gone.then(over, over)
    const trickle = (async () => { for (; !ended; sent++) { slow.bytes(message.subarray(sent % 18, sent % 18 + 1)); await sleep(100) } })()
    for (let i = 0; !ended || i < 20; i++) {
      halves.bytes(frame('Tgetattr', i, { fid: 0, mask: 1 }).subarray(0, 10))
      await sleep(40)
      halves.bytes(frame('Tgetattr', i, { fid: 0, mask: 1 }).subarray(10))
      assert.is((await halves.reply(i)).name, 'Rgetattr')
      halves.bytes(message.subarray(0, 3))                  // and the next one has begun
      await sleep(20)
      halves.bytes(message.subarray(3))
      await halves.reply(7)
    }
    await gone
    await trickle
    assert.ok(whys(stand).some((why) => why.includes('not whole')), whys(stand).join('\n'))
    await idle.getattr(0)
    assert.is(await idle.outcome('Tgetattr', { fid: 0, mask: 1 }), 'ok')
    for (const raw of [idle, halves]) await raw.end()
  }))
}

test('a message whose rest is not read, because its sender has as many requests at work as may be, is not late', () => on(onSlow, { requests: 2, 'frame-timeout': 0.2 }, async (stand) => {
  const raw = await attached(stand.unix), go = stand.control.stop('statfs'), last = frame('Tstatfs', 3, { fid: 0 })
  raw.bytes(frame('Tstatfs', 1, { fid: 0 }), frame('Tstatfs', 2, { fid: 0 }), last.subarray(0, 9))
  await stand.control.stopped('statfs', 2)
  await sleep(1000)
  raw.bytes(last.subarray(9))
  await sleep(50)
  go()
  for (const tag of [1, 2, 3]) assert.is((await raw.reply(tag)).name, 'Rstatfs')
  await raw.end()
}))

test('a message takes memory as it comes, not as it says', () => on(onMemory, {}, async (stand) => {
  const all = await Promise.all(Array.from({ length: 60 }, (_, i) => attached(i % 2 ? stand.tcp : stand.unix)))
  const message = frame('Twrite', 9, { fid: 1, offset: 0, data: Buffer.alloc(MiB, 'x') })
  for (const raw of all) raw.bytes(message.subarray(0, 5))
  await until('five bytes', () => stand.server.held > 0)
  await sleep(50)
  assert.ok(stand.server.held <= 60 * 4 * KiB, `${stand.server.held / 60} bytes each for five`)
  for (const raw of all) raw.bytes(message.subarray(5, 8 * KiB))
  await sleep(200)
  assert.ok(stand.server.held <= 60 * 128 * KiB, `${stand.server.held / 60} bytes each for 8 KiB`)
  for (const raw of all) raw.socket.destroy()
  await until('they are given back', () => stand.server.held === 0)
}))

test('a message that comes in any pieces is what was sent', () => on(onMemory, {}, async (stand) => {
  const roll = dice(7)
  for (const url of [stand.unix, stand.tcp]) {
    const raw = await attached(url)
    await raw.create(0, 1, `pieces-${url.slice(0, 3)}`)
    for (const size of [100, 5000, 70_000, 300_000, MiB - 100]) {
      const data = Buffer.from(Array.from({ length: size }, (_, i) => (i * 31 + (i >> 8) + size) & 255))
      const both = Buffer.concat([frame('Twrite', 8, { fid: 1, offset: 0, data }), frame('Twrite', 9, { fid: 1, offset: size, data })])
      for (let at = 0; at < both.length;) {
        const n = Math.min(both.length - at, [1 + roll(7), 1 + roll(4096), 1 + roll(200_000)][roll(3)]!)
        raw.bytes(both.subarray(at, at += n))
        if (roll(4) === 0) await new Promise(setImmediate)
      }
      for (const tag of [8, 9]) assert.equal((await raw.reply(tag)).fields, { count: size })
      for (const offset of [0, size]) assert.ok(Buffer.from((await raw.ok('Tread', { fid: 1, offset, count: size })).data).equals(data), `${size} at ${offset}`)
    }
    await raw.end()
  }
}))

test('all together hold what they may; who has stood still longest makes room', () => on(onMemory, { 'bytes-held': 16 * MiB }, async (stand) => {
  const all: Raw[] = []
  const message = frame('Twrite', 9, { fid: 1, offset: 0, data: Buffer.alloc(MiB - 100, 'x') })
  for (let i = 0; i < 60; i++) {
    const raw = await attached(stand.unix)
    await raw.create(0, 1, `f${i}`)
    all.push(raw)
    raw.bytes(message.subarray(0, 700_000))
    await until('it has come', () => stand.server.held >= Math.min(all.length, 14) * 700_000)
    assert.ok(stand.server.held <= 16 * MiB, `${stand.server.held}`)
  }
  await until('some have made room', () => all.filter(({ ended }) => ended).length >= 40)
  const first = all.findIndex(({ ended }) => !ended)
  assert.ok(first >= 40 && all.slice(first).every(({ ended }) => !ended), 'the oldest have')
  const last = all.at(-1)!
  last.bytes(message.subarray(700_000))
  assert.equal((await last.reply(9)).fields, { count: MiB - 100 })
  for (const raw of all.slice(first)) raw.socket.destroy()
  // A line for each of the first ten; the others are one line, later.
  assert.ok(whys(stand).filter((why) => why.startsWith('memory is short')).length < 40)
}))

test('who holds half of it with replies that he does not take is dropped soon, and others take turns until then', () => on(onMemory, { 'bytes-held': 16 * MiB }, async (stand, good) => {
  await good.create(0, 2, 'big', Buffer.alloc(MiB - 24, 'x'))
  const bad = await attached(stand.unix)
  await bad.walk(0, 1, 'big')
  await bad.open(1)
  bad.socket.pause()
  bad.bytes(...Array.from({ length: 40 }, (_, i) => frame('Tread', i, { fid: 1, offset: 0, count: MiB - 24 })))
  await until('half of it is held', () => stand.server.held > 8 * MiB)
  await sleep(200)
  assert.ok(stand.server.held < 11 * MiB && stand.server.connections === 2, `${stand.server.held}`)
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 20; i++) good.send('Tread', 200 + i, { fid: 2, offset: 0, count: MiB - 24 })
    for (let i = 0; i < 20; i++) assert.is((await good.reply(200 + i)).fields.data.length, MiB - 24)
    assert.ok(stand.server.held < 12 * MiB, `${stand.server.held}`)
  }
  await until('the other is gone', () => stand.server.connections === 1)
  assert.ok(whys(stand).some((why) => why.startsWith('memory is short')))
  bad.socket.destroy()
}))

test('whose messages wait for a translator that hangs is not dropped for it, and others go on', () => on(onSlow, { 'bytes-held': 16 * MiB, 'bytes-in-flight': 2 * MiB, 'frame-timeout': 0.5, 'send-timeout': 0.5 }, async (stand, good) => {
  const all = await Promise.all(Array.from({ length: 12 }, () => attached(stand.unix))), data = Buffer.alloc(300_000, 'x')
  for (const [i, raw] of all.entries()) await raw.create(0, 1, `f${i}`)
  const go = stand.control.stop('write')
  for (const raw of all) for (let i = 0; i < 20; i++) raw.send('Twrite', 100 + i, { fid: 1, offset: i * data.length, data })
  await until('half of it is held', () => stand.server.held > 8 * MiB)
  for (let i = 0; i < 65; i++) {
    assert.is(await good.read(1), 'well')
    await sleep(100)
  }
  assert.is(stand.server.connections, 13)
  go()
  for (const raw of all) {
    for (let i = 0; i < 20; i++) assert.equal((await raw.reply(100 + i)).fields, { count: data.length })
    await raw.end()
  }
}))

test('replies that are not taken count with the memory that they keep from others', () => on(onMemory, { 'bytes-held': 16 * MiB }, async (stand, good) => {
  await good.create(0, 2, 'some', Buffer.alloc(4096, 'x'))
  const all: Raw[] = []
  for (let i = 0; i < 24; i++) {
    const bad = await attached(stand.unix)
    all.push(bad)
    await bad.walk(0, 1, 'some')
    await bad.open(1)
    bad.socket.pause()
    const before = stand.server.held
    for (let n = 0; n < 100 && stand.server.held === before; n++) {
      bad.bytes(...Array.from({ length: 8 }, (_, j) => frame('Tread', n * 8 + j, { fid: 1, offset: 0, count: 4096 })))
      await good.getattr(0)
      await new Promise(setImmediate)
    }
    // Replies that are taken stand behind those that are not.
    for (let n = 0; n < 350; n += 50) {
      for (let j = 0; j < 50; j++) good.send('Tread', j, { fid: 2, offset: 0, count: 4096 })
      for (let j = 0; j < 50; j++) await good.reply(j)
    }
    assert.ok(stand.server.held < 18 * MiB, `${stand.server.held}`)
  }
  await until('some have made room', () => whys(stand).some((why) => why.startsWith('memory is short')))
  for (const raw of all) raw.socket.destroy()
}))

for (const kind of ['tcp', 'unix'] as const) {
  test(`${kind}: who takes nothing of his replies is dropped in the end; who takes some now and then is not, though more are added`, () => on(onMemory, { 'send-timeout': 3 }, async (stand, good) => {
    await good.create(0, 2, 'big', Buffer.alloc(MiB - 24, 'x'))
    const stand2: Raw[] = []
    for (let i = 0; i < 2; i++) {
      const raw = await attached(stand[kind])
      await raw.walk(0, 1, 'big')
      await raw.open(1)
      raw.socket.removeAllListeners('data')
      raw.socket.pause()
      raw.bytes(...Array.from({ length: 60 }, (_, tag) => frame('Tread', tag, { fid: 1, offset: 0, count: MiB - 24 })))
      stand2.push(raw)
    }
    const [never, slowly] = stand2 as [Raw, Raw]
    let came = 0, ended = false
    slowly.socket.on('data', (chunk: Buffer) => { came += chunk.length; slowly.socket.pause() })
    slowly.socket.pause()
    const gone = until('it is dropped', () => whys(stand).some((why) => why.includes('was taken'))).finally(() => { ended = true })
    gone.catch(() => {})
    // A request now and then is no sign of life: what counts is what is taken.
    const asking = (async () => { for (let tag = 100; !ended; tag++) { never.send('Tgetattr', tag, { fid: 1, mask: 1 }); await sleep(50) } })()
    for (let i = 0; i < 80 || !ended; i++) { slowly.socket.resume(); await sleep(50) }
    await gone
    await asking
    assert.is(stand.server.connections, 2, 'the slow one stays')
    assert.is(whys(stand).filter((why) => why.includes('was taken')).length, 1)
    slowly.socket.removeAllListeners('data').on('data', (chunk: Buffer) => { came += chunk.length }).resume()
    await until('all of it came', () => came === 60 * (MiB - 24 + 11))
    never.socket.destroy()
    slowly.socket.destroy()
  }))
}

test('who has written in bulk and is idle now has no place to read into, and writes on as before', () => on(onMemory, {}, async (stand) => {
  const all = await Promise.all(Array.from({ length: 20 }, (_, i) => attached(i % 2 ? stand.tcp : stand.unix)))
  for (let round = 0; round < 2; round++) {
    const data = Buffer.alloc(64 * KiB, `round ${round}`)
    for (const [i, raw] of all.entries()) {
      if (round === 0) await raw.create(0, 1, `bulk${i}`)
      for (const offset of [0, data.length]) assert.is(await raw.write(1, data, offset), data.length)
    }
    assert.ok(stand.server.held >= 20 * 256 * KiB, `${stand.server.held}`)
    await until('nothing is held', () => stand.server.held === 0)
    for (const [i, raw] of all.entries()) {
      assert.is((await raw.getattr(1)).size, 2 * data.length, `${i}`)
      assert.ok(Buffer.from((await raw.ok('Tread', { fid: 1, offset: 0, count: data.length })).data).equals(data))
    }
  }
  assert.is(stand.server.connections, 21)
  for (const raw of all) await raw.end()
}))

test('who is one too many is let go with an end, not a reset, whatever he has said; a line for the first and one for the rest', () => on(onMemory, { connections: 3 }, async (stand) => {
  const third = await Raw.versioned(stand.unix), fourth = await Raw.versioned(stand.tcp), hello = frame('Tversion', NOTAG, { msize: 8192, version: '9P2000.L' })
  const ends = await Promise.all(Array.from({ length: 40 }, (_, i) => new Promise<string>((resolve) => {
    const socket: Socket = i % 2 ? connect(stand.unix.slice(5)) : connect(Number(stand.tcp.slice(stand.tcp.lastIndexOf(':') + 1)), '127.0.0.1')
    socket.on('connect', () => { for (let n = 0; n < 20; n++) socket.write(hello) })
    socket.on('end', () => resolve('end')).on('error', (e) => resolve(e.message)).resume()
  })))
  assert.equal([...new Set(ends)], ['end'])
  const lines = () => stand.log.warnings.filter(({ message }) => message.startsWith('too many connections'))
  assert.is(lines().length, 1)
  await until('the rest is told', () => lines().length === 2)
  assert.is(lines()[1]!.fields.times, 39)
  await fourth.end()
  await third.end()
}))

test.run()
