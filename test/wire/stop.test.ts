// The end of a server, and of clients in the middle of something.

import { existsSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Limits } from '../../server/limits.ts'
import { frame, Raw, within } from './raw.ts'
import { brick, onMemory, Stand } from './stand.ts'
import { slow } from './slow.ts'

const test = suite('stop')

/** A server over a slow memory, of which `closed` says what was still at work when it was synced and closed. */
async function standing(limits: Partial<Limits> = {}) {
  const closed: string[] = []
  const stand = await Stand.start({
    name: 'slow memory', make: async (control) => {
      const root = await slow(control, await brick('/'))
      const { sync, close } = root
      root.sync = () => { closed.push(`sync, ${control.calls} at work`); return sync.call(root) }
      root.close = () => { closed.push(`close, ${control.calls} at work, ${control.nodes} nodes and ${control.handles} handles open`); return close.call(root) }
      return { root }
    },
  }, { limits })
  return { stand, control: stand.control, closed }
}
const cleanly = ['sync, 0 at work', 'close, 0 at work, 0 nodes and 0 handles open']

test('what was accepted is answered, then the connection ends, then the translator', async () => {
  const { stand, control, closed } = await standing()
  const raw = await Raw.versioned(stand.tcp), idle = await Raw.versioned(stand.unix), path = stand.unix.slice(5)
  await raw.attach(0)
  await raw.create(0, 1, 'f')
  const go = control.stop('write')
  for (let i = 0; i < 10; i++) raw.send('Twrite', 100 + i, { fid: 1, offset: i, data: Buffer.from('x') })
  await control.stopped('write', 10)
  const stopped = stand.server.stop()
  await within(2, 'who has nothing pending is let go', idle.closed)
  const late = await Raw.connect(stand.tcp).then(() => 'connected', (e: Error & { code?: string }) => e.code)
  assert.is(late, 'ECONNREFUSED')
  assert.not(existsSync(path))
  assert.equal(closed, [])
  go()
  for (let i = 0; i < 10; i++) assert.equal((await raw.reply(100 + i)).fields, { count: 1 })
  await raw.closed
  await stopped
  assert.equal(closed, cleanly)
  assert.equal([control.violations, stand.log.bugs], [[], []])
  await stand.stop()
})

test('a wait for a lock ends with the server', async () => {
  const { stand, closed } = await standing()
  const [a, b] = [await Raw.versioned(stand.tcp), await Raw.versioned(stand.tcp)]
  const lock = { fid: 1, type: 1, start: 0n, length: 0n, procId: 1, clientId: 'c' }
  await a.attach(0)
  await a.create(0, 1, 'f')
  await b.attach(0)
  await b.walk(0, 1, 'f')
  await b.open(1, 2)
  await a.ok('Tlock', { ...lock, flags: 0 })
  b.send('Tlock', 100, { ...lock, flags: 1 })
  await b.getattr(0)
  await within(2, 'the stop', stand.server.stop())
  assert.equal(closed, cleanly)
  assert.equal(b.strays, [])
  await stand.stop()
})

test('what clients that are gone had begun is waited for', async () => {
  const { stand, control, closed } = await standing()
  const raw = await Raw.versioned(stand.unix)
  await raw.attach(0)
  await raw.create(0, 1, 'f')
  const go = control.stop('write')
  for (let i = 0; i < 10; i++) raw.send('Twrite', 100 + i, { fid: 1, offset: i, data: Buffer.from('x') })
  await control.stopped('write', 10)
  await raw.end()
  await new Promise((resolve) => setTimeout(resolve, 20))
  const stopped = stand.server.stop()
  await new Promise((resolve) => setTimeout(resolve, 20))
  assert.equal(closed, [])
  go()
  await stopped
  assert.equal(closed, cleanly)
  assert.equal(control.violations, [])
  await stand.stop()
})

test('who does not take his replies, and a translator that hangs, are given up after finish-timeout', async () => {
  const { stand, control, closed } = await standing({ 'finish-timeout': 0.3 })
  const deaf = await Raw.versioned(stand.tcp, 1048600), raw = await Raw.versioned(stand.unix)
  await deaf.attach(0)
  await deaf.create(0, 1, 'f', Buffer.alloc(2 ** 20, 'x'))
  deaf.socket.pause()
  for (let i = 0; i < 16; i++) deaf.send('Tread', 100 + i, { fid: 1, offset: 0, count: 2 ** 20 })
  await raw.attach(0)
  await new Promise((resolve) => setTimeout(resolve, 50))
  const go = control.stop('mkdir')
  raw.send('Tmkdir', 100, { dfid: 0, name: 'd', mode: 0o755, gid: 0 })
  await control.stopped('mkdir')
  const begun = performance.now()
  await within(3, 'the stop', stand.server.stop())
  assert.ok(performance.now() - begun > 250)
  assert.ok(/^close, [1-9]/.test(closed[1] ?? ''), closed.join())
  assert.ok(stand.log.warnings.some(({ message }) => message.includes('still at work')))
  go()
  deaf.socket.destroy()
  await control.idle(0).catch(() => {})
  await stand.stop()
})

test('stopNow ends everything at once', async () => {
  const { stand, control } = await standing()
  const raw = await Raw.versioned(stand.tcp)
  await raw.attach(0)
  const go = control.stop('getattr')
  raw.send('Tgetattr', 100, { fid: 0, mask: 1 })
  await control.stopped('getattr')
  const stopped = stand.server.stop()
  await new Promise((resolve) => setTimeout(resolve, 10))
  stand.server.stopNow()
  await within(1, 'the connection', raw.closed)
  await within(1, 'the stop', stopped)
  go()
  await stand.stop()
})

test('a hundred clients that vanish in the middle leave neither nodes nor handles nor locks', async () => {
  const { stand, control, closed } = await standing()
  for (let i = 0; i < 100; i++) {
    const raw = await Raw.versioned(i % 2 ? stand.tcp : stand.unix)
    raw.bytes(
      frame('Tattach', 1, { fid: 0, afid: 0xffffffff, uname: '', aname: '', nUname: process.getuid!() }), frame('Tattach', 2, { fid: 1, afid: 0xffffffff, uname: '', aname: 'ro', nUname: process.getuid!() }),
    )
    if (i % 3) await raw.reply(1)
    raw.bytes(
      frame('Twalk', 3, { fid: 0, newfid: 2, names: [] }), frame('Twalk', 4, { fid: 0, newfid: 3, names: ['ro'] }), frame('Tlcreate', 5, { fid: 2, name: `f${i % 10}`, flags: 0x42, mode: 0o644, gid: 0 }),
      frame('Txattrwalk', 6, { fid: 0, newfid: 4, name: '' }), frame('Tlopen', 7, { fid: 0, flags: 0 }), frame('Twalk', 8, { fid: 0, newfid: 5, names: ['ro', '..', 'ro'] }), frame('Tremove', 9, { fid: 3 }),
    )
    if (i % 4 === 0) await new Promise((resolve) => setTimeout(resolve, i % 5))
    if (i % 2) raw.reset()
    else raw.socket.destroy()
  }
  for (let tries = 0; stand.server.connections > 0 && tries < 500; tries++) await new Promise((resolve) => setTimeout(resolve, 2))
  await control.idle(1)
  assert.equal([control.violations, stand.log.bugs], [[], []])
  await stand.server.stop()
  assert.equal(closed, cleanly)
  await stand.stop()
})

test('a server that was stopped stops again without a word', async () => {
  const stand = await Stand.start(onMemory)
  await Promise.all([stand.server.stop(), stand.server.stop()])
  stand.server.stopNow()
  await stand.stop()
})

test.run()
