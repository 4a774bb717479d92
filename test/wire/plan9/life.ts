// C110-C116 in 9P2000 and 9P2000.u: flushing, ending, names.

import { DM, NOTAG, OPEN } from 'ninep'
import { readdirSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { quiet } from '../cases/common.ts'
import { frameOf } from '../raw.ts'
import { both, type Table } from './common.ts'

/** Sends a request and its Tflush in one segment; whether the request was answered, when its flush is. */
async function flushed({ p, dialect }: Table, request: Buffer): Promise<string | undefined> {
  const before = p.arrived.length
  p.bytes(request, frameOf(dialect, 'Tflush', 60002, { oldtag: 60001 }))
  assert.is((await p.reply(60002)).name, 'Rflush')
  const came = p.arrived.slice(before).filter(({ tag }) => tag === 60001)
  p.strays.length = 0
  assert.ok(came.length <= 1)
  return came[0]?.name
}

export const life = [
  both(110, 'Tflush is always answered', async (t) => {
    const { p } = t
    for (const oldtag of [0, 4711, NOTAG]) await p.ok('Tflush', { oldtag })
    await p.ok('Tflush', { oldtag: 60001 }, 60001)
    if (!t.stoppable) return
    await p.create(0, 1, 'f')
    await p.write(1, 'text')
    const go = t.stand.control.stop('read')
    const before = p.arrived.length
    p.bytes(
      frameOf(t.dialect, 'Tread', 60001, { fid: 1, offset: 0, count: 10 }), frameOf(t.dialect, 'Tflush', 60002, { oldtag: 60001 }), frameOf(t.dialect, 'Tflush', 60003, { oldtag: 60001 }),
      frameOf(t.dialect, 'Tflush', 60004, { oldtag: 60002 }),
    )
    await t.stand.control.stopped('read').catch(() => {})
    go()
    for (const tag of [60002, 60003, 60004]) assert.is((await p.reply(tag)).name, 'Rflush')
    p.strays.length = 0
    assert.equal(p.arrived.slice(before).map(({ tag }) => tag).filter((tag) => tag > 60001), [60002, 60003, 60004])
  }),
  both(111, 'Tflush of a slow read: nothing comes for its tag afterwards, which means something new at once', async (t) => {
    const { p } = t
    await p.create(0, 1, 'f')
    await p.write(1, 'text')
    await p.mkdir(0, 'd')
    await p.walk(0, 2)
    await p.open(2)
    for (let round = 0; round < 20; round++) {
      const go = t.stoppable && round < 5 ? t.stand.control.stop('read') : undefined
      const name = await flushed(t, frameOf(t.dialect, 'Tread', 60001, { fid: 1 + round % 2, offset: 0, count: 1000 }))
      assert.ok(name === undefined || name === 'Rread', name)
      const stat = p.call('Tstat', { fid: 0 }, 60001)
      go?.()
      assert.is((await stat).name, 'Rstat')
    }
    assert.ok(await quiet(p))
    // A flushed directory read has moved nothing that its client does not know of: from the beginning it goes in any case.
    assert.equal((await p.listing(2)).map(({ name }) => name).sort(), ['d', 'f'])
  }),
  both(112, 'Tflush of what changes: the reply comes, or nothing was done', async (t) => {
    const { p } = t
    await p.mkdir(0, 'd')
    for (let round = 0; round < 10; round++) {
      const go = t.stoppable && round < 3 ? t.stand.control.stop('walk') : undefined
      const walked = await flushed(t, frameOf(t.dialect, 'Twalk', 60001, { fid: 0, newfid: 5, names: ['d'] }))
      assert.is(await p.outcome('Tclunk', { fid: 5 }), walked === 'Rwalk' ? 'ok' : 'EBADF')
      go?.()
      await p.walk(0, 5)
      const created = await flushed(t, frameOf(t.dialect as '9P2000.u', 'Tcreate', 60001, { fid: 5, name: `f${round}`, perm: 0o644, mode: OPEN.RDWR, extension: '' }))
      assert.is(await p.outcome('Twrite', { fid: 5, offset: 0, data: Buffer.from('x') }), created === 'Rcreate' ? 'ok' : 'EBADF')
      assert.is((await p.ls(0)).includes(`f${round}`), created === 'Rcreate')
      await p.clunk(5)
      await p.walk(0, 6, 'd')
      const opened = await flushed(t, frameOf(t.dialect, 'Topen', 60001, { fid: 6, mode: 0 }))
      assert.is(await p.outcome('Tread', { fid: 6, offset: 0, count: 1000 }), opened === 'Ropen' ? 'ok' : 'EBADF')
      const renamed = await flushed(t, frameOf(t.dialect as '9P2000.u', 'Twstat', 60001, { fid: 6, stat: { ...await p.stat(6), name: 'e' } }))
      assert.is((await p.ls(0)).includes('e'), renamed === 'Rwstat')
      if (renamed === 'Rwstat') assert.is(await p.wstat(6, { name: 'd' }), 'ok')
      await flushed(t, frameOf(t.dialect, 'Tclunk', 60001, { fid: 6 }))
      assert.is(await p.refused('Tclunk', { fid: 6 }), 'EBADF', 'a clunk is done in any case')
    }
  }),
  both(113, 'a connection that ends in the middle of requests leaves nothing, and others come', async (t) => {
    await t.p.file(0, 'f', 'x'.repeat(10_000))
    for (let round = 0; round < 12; round++) {
      const p = await t.client(), d = t.dialect as '9P2000.u'
      await p.walk(0, 1, 'f')
      await p.open(1, OPEN.RDWR)
      p.bytes(
        frameOf(d, 'Tread', 1, { fid: 1, offset: 0, count: 9000 }), frameOf(d, 'Twalk', 2, { fid: 0, newfid: 3, names: ['f'] }), frameOf(d, 'Twalk', 3, { fid: 0, newfid: 4, names: [] }),
        frameOf(d, 'Tcreate', 4, { fid: 4, name: `made${round}`, perm: 0o644, mode: OPEN.RDWR | OPEN.RCLOSE, extension: '' }), frameOf(d, 'Topen', 5, { fid: 3, mode: OPEN.READ }),
        frameOf(d, 'Tstat', 6, { fid: 0 }), frameOf(d, 'Twalk', 7, { fid: 0, newfid: 8, names: [] }), frameOf(d, 'Topen', 8, { fid: 8, mode: 0 }), frameOf(d, 'Tread', 9, { fid: 8, offset: 0, count: 4000 }),
        frameOf(d, 'Tstat', 10, { fid: 1 }).subarray(0, 7 + round % 4),
      )
      if (round % 4 !== 0) await new Promise((resolve) => setTimeout(resolve, round % 4 - 1))
      if (round % 2) p.reset()
      else p.socket.destroy()
      await p.closed
      p.strays.length = 0
    }
    for (let tries = 0; (await t.p.ls(0)).length > 1; tries++) {
      assert.ok(tries < 500, (await t.p.ls(0)).join())
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    assert.equal(await t.p.ls(0), ['f'])
  }),
  both(114, 'many fids that are not open take no descriptors', async (t) => {
    const { p } = t
    for (let i = 0; i < 100; i++) await p.file(0, `f${i}`)
    const before = readdirSync('/proc/self/fd').length
    for (let from = 0; from < 5000; from += 500) {
      const tags = Array.from({ length: 500 }, (_, i) => 50_000 + i)
      p.bytes(...tags.map((tag, i) => frameOf(t.dialect, 'Twalk', tag, { fid: 0, newfid: 1000 + from + i, names: [`f${i % 100}`] })))
      for (const tag of tags) assert.is((await p.reply(tag)).name, 'Rwalk')
    }
    assert.ok(readdirSync('/proc/self/fd').length - before < 1000)
    await p.open(5999)
  }),
  both(115, 'a request that waits for ever delays no other', async (t) => {
    if (!t.stoppable) return
    const { p } = t
    await p.create(0, 1, 'f')
    await p.write(1, 'text')
    const go = t.stand.control.stop('read')
    p.send('Tread', 60001, { fid: 1, offset: 0, count: 10 })
    await t.stand.control.stopped('read')
    await p.mkdir(0, 'd')
    await p.write(1, 'TEXT')
    await p.walk(0, 5, 'd')
    assert.is(await p.wstat(5, { name: 'e' }), 'ok')
    assert.equal(await p.ls(0), ['e', 'f'])
    go()
    assert.is((await p.reply(60001)).name, 'Rread')
  }),
  both(116, 'names that are not UTF-8 are listed, opened, renamed and removed to the byte', async ({ p, raw }) => {
    const odd = ['\udcff', 'caf\udce9', '\udc80\udc81\udcfe', 'a\udcc3', '\u00e9\udce9', '\udced\udca0\udc80', '\ud83d\ude00', 'e\u0301']
    for (const [i, name] of odd.entries()) await p.file(0, name, String(i))
    assert.equal(await p.ls(0), [...odd].sort())
    for (const [i, name] of odd.entries()) {
      assert.is(await raw.content(0, name), String(i))
      await p.walk(0, 1, name)
      assert.is(await p.wstat(1, { name: `\udcfe${name}` }), 'ok')
      assert.is(await p.content(0, `\udcfe${name}`), String(i))
      assert.is((await p.stat(1)).name, `\udcfe${name}`)
      await p.ok('Tremove', { fid: 1 })
    }
    await p.create(0, 1, '\udcaa', DM.DIR + 0o755, OPEN.READ)
    await p.ok('Tremove', { fid: 1 })
    assert.equal(await p.ls(0), [])
  }),
]
