// C105-C116: locks, flush, and what a connection leaves behind.

import { readdirSync } from 'node:fs'
import { NOTAG, typeOf } from 'ninep'
import type { Fields } from 'ninep'
import * as assert from 'uvu/assert'
import { anyFrame, frame } from '../raw.ts'
import { c, onDisk, onSlow } from '../stand.ts'
import type { Bench } from '../stand.ts'
import { REMOVEDIR, file, getXattr, listing, ls, quiet } from './common.ts'

const [READ, WRITE, UNLOCK] = [0, 1, 2]
function lock(fid: number, type: number, procId: number, start = 0n, length = 0n, flags = 0): Fields<'Tlock'> { return { fid, type, flags, start, length, procId, clientId: 'c' } }
function ask(fid: number, type: number, procId: number, start = 0n, length = 0n): Fields<'Tgetlock'> { return { fid, type, start, length, procId, clientId: 'c' } }

/** The file f, open for reading and writing as fid 1, in `count` connections. */
async function opened(t: Bench, count: number) {
  await file(t, 'f', 'text')
  const all = [t.raw, ...await Promise.all(Array.from({ length: count - 1 }, () => t.client()))]
  for (const raw of all) {
    await raw.walk(0, 1, 'f')
    await raw.open(1, 2)
  }
  return all
}
/** Bytes of a file that is slow to read: only of a stack that can be stopped. */
const stoppable = (t: Bench) => t.stand.stack === onSlow

export const life = [
  c(105, 'a lock of another is status 1, and when that is given back 0', async (t) => {
    const [a, b] = await opened(t, 2) as [typeof t.raw, typeof t.raw]
    assert.equal(await a.ok('Tlock', lock(1, WRITE, 1)), { status: 0 })
    assert.equal(await b.ok('Tlock', lock(1, WRITE, 1)), { status: 1 }, 'the same process number of another connection')
    assert.equal(await a.ok('Tlock', lock(1, WRITE, 2)), { status: 1 }, 'another process of the same connection')
    assert.equal(await b.ok('Tlock', lock(1, READ, 1)), { status: 1 })
    assert.equal(await a.ok('Tlock', lock(1, WRITE, 1)), { status: 0 }, 'its own')
    assert.equal(await a.ok('Tlock', lock(1, UNLOCK, 1)), { status: 0 })
    assert.equal(await b.ok('Tlock', lock(1, READ, 1)), { status: 0 })
    assert.equal(await a.ok('Tlock', lock(1, READ, 1)), { status: 0 })
    assert.equal(await a.ok('Tlock', lock(1, WRITE, 1)), { status: 1 })
    await a.walk(0, 2, 'f')
    assert.is(await a.refused('Tlock', lock(2, READ, 1)), 'EBADF', 'a fid that is not open')
    assert.is(await a.refused('Tgetlock', ask(2, READ, 1)), 'EBADF')
    assert.is(await a.refused('Tlock', lock(1, 3, 1)), 'EINVAL')
    assert.is(await a.refused('Tlock', lock(1, READ, 1, 0n, 0n, 4)), 'EINVAL')
  }),
  c(106, 'ranges are upgraded, split and merged; length 0 is to the end', async (t) => {
    const [a, b] = await opened(t, 2) as [typeof t.raw, typeof t.raw]
    const held = async () => {
      const found: string[] = []
      for (let at = 0n; at < 120n; at += 10n) {
        const reader = (await b.ok('Tgetlock', ask(1, READ, 9, at, 10n))).type, writer = (await b.ok('Tgetlock', ask(1, WRITE, 9, at, 10n))).type
        found.push(writer === UNLOCK ? '-' : reader === UNLOCK ? 'r' : 'w')
      }
      return found.join('')
    }
    await a.ok('Tlock', lock(1, READ, 1, 0n, 100n))
    assert.is(await held(), 'rrrrrrrrrr--')
    await a.ok('Tlock', lock(1, WRITE, 1, 20n, 20n))
    assert.is(await held(), 'rrwwrrrrrr--')
    await a.ok('Tlock', lock(1, UNLOCK, 1, 50n, 10n))
    assert.is(await held(), 'rrwwr-rrrr--')
    await a.ok('Tlock', lock(1, READ, 1, 20n, 10n))
    assert.is(await held(), 'rrrwr-rrrr--')
    await a.ok('Tlock', lock(1, WRITE, 1, 90n, 0n))
    assert.is(await held(), 'rrrwr-rrrwww')
    assert.equal(await b.ok('Tlock', lock(1, READ, 1, 2n ** 63n - 1n, 1n)), { status: 1 })
    await a.ok('Tlock', lock(1, UNLOCK, 1))
    assert.is(await held(), '------------')
    assert.equal(await a.ok('Tlock', lock(1, UNLOCK, 1, 5n, 5n)), { status: 0 }, 'what is not held')
    assert.is(await a.refused('Tlock', lock(1, READ, 1, 2n ** 63n, 1n)), 'EINVAL')
    assert.is(await a.refused('Tlock', lock(1, READ, 1, 2n ** 63n - 1n, 2n)), 'EOVERFLOW')
  }),
  c(107, 'a lock that waits is granted, within 50 ms of the other\'s unlock', async (t) => {
    const [a, b] = await opened(t, 2) as [typeof t.raw, typeof t.raw]
    for (const end of ['unlock', 'clunk', 'close', 'reset'] as const) {
      const holder = end === 'close' || end === 'reset' ? await t.client() : a
      await holder.walk(0, 2, 'f')
      await holder.open(2, 2)
      await holder.ok('Tlock', lock(2, WRITE, 1))
      b.send('Tlock', 60001, lock(1, WRITE, 1, 0n, 0n, 1))
      assert.ok(await quiet(b))
      await b.getattr(1)
      const granted = b.reply(60001), begun = performance.now()
      if (end === 'unlock') holder.send('Tlock', 60002, lock(2, UNLOCK, 1))
      else if (end === 'clunk') holder.send('Tclunk', 60002, { fid: 2 })
      else if (end === 'close') holder.socket.end()
      else holder.reset()
      assert.equal((await granted).fields, { status: 0 }, end)
      const took = performance.now() - begun
      assert.ok(took < 50, `${end}: ${took.toFixed(0)} ms`)
      await b.ok('Tlock', lock(1, UNLOCK, 1))
      if (end === 'unlock') { await holder.reply(60002); await holder.clunk(2) }
      if (end === 'clunk') await holder.reply(60002)
    }
  }),
  c(107, 'a lock that waits is ended by Tflush, and leaves nothing', async (t) => {
    const [a, b] = await opened(t, 2) as [typeof t.raw, typeof t.raw]
    await a.ok('Tlock', lock(1, WRITE, 1))
    b.send('Tlock', 60001, lock(1, WRITE, 1, 0n, 0n, 1))
    await b.ok('Tflush', { oldtag: 60001 })
    await b.getattr(1, 0x7ff)
    await a.ok('Tlock', lock(1, UNLOCK, 1))
    assert.ok(await quiet(b))
    assert.is((await a.ok('Tgetlock', ask(1, WRITE, 9))).type, UNLOCK, 'it was not granted')
    // The tag is free.
    assert.equal(await b.ok('Tlock', lock(1, WRITE, 1), 60001), { status: 0 })
  }),
  c(107, 'a lock that waits ends with the clunk of its fid', async (t) => {
    const [a, b] = await opened(t, 2) as [typeof t.raw, typeof t.raw]
    await a.ok('Tlock', lock(1, WRITE, 1))
    b.send('Tlock', 60001, lock(1, WRITE, 1, 0n, 0n, 1))
    await b.clunk(1)
    const { name, fields } = await b.reply(60001)
    assert.ok(name === 'Rlerror' || fields.status === 2)
    await a.ok('Tlock', lock(1, UNLOCK, 1))
    assert.is((await a.ok('Tgetlock', ask(1, WRITE, 9))).type, UNLOCK)
  }),
  c(108, 'Tgetlock names who is in the way, and asks as a writer where it says type 2', async (t) => {
    const [a, b] = await opened(t, 2) as [typeof t.raw, typeof t.raw]
    await a.ok('Tlock', { ...lock(1, READ, 77, 10n, 20n), clientId: 'the holder' })
    const held = { type: READ, start: 10n, length: 20n, procId: 77, clientId: 'the holder' }
    assert.equal(await b.ok('Tgetlock', ask(1, UNLOCK, 1, 15n, 1n)), held)
    assert.equal(await b.ok('Tgetlock', ask(1, WRITE, 1, 0n, 0n)), held)
    assert.equal(await b.ok('Tgetlock', ask(1, READ, 1, 0n, 0n)), { type: UNLOCK, start: 0n, length: 0n, procId: 1, clientId: 'c' })
    assert.equal(await b.ok('Tgetlock', ask(1, UNLOCK, 1, 30n, 5n)), { type: UNLOCK, start: 30n, length: 5n, procId: 1, clientId: 'c' })
    assert.is((await a.ok('Tgetlock', { ...ask(1, UNLOCK, 77), clientId: 'the holder' })).type, UNLOCK, 'its own is in nobody\'s way')
  }),
  c(109, 'clunk and disconnect give locks back', async (t) => {
    const [a, b] = await opened(t, 2) as [typeof t.raw, typeof t.raw]
    await a.walk(0, 2, 'f')
    await a.open(2, 2)
    await a.ok('Tlock', lock(2, WRITE, 1, 0n, 10n))
    await a.ok('Tlock', lock(1, WRITE, 1, 20n, 10n))
    await a.clunk(2)
    assert.equal(await b.ok('Tlock', lock(1, WRITE, 1, 0n, 10n)), { status: 0 })
    assert.equal(await b.ok('Tlock', lock(1, WRITE, 1, 20n, 10n)), { status: 1 }, 'the other fid\'s stays')
    a.socket.destroy()
    await a.closed
    await new Promise((resolve) => setTimeout(resolve, 20))
    assert.equal(await b.ok('Tlock', lock(1, WRITE, 1)), { status: 0 })
  }),
  c(110, 'Tflush is always answered: unknown tags, its own, many for one, and that of a Tflush', async (t) => {
    const { raw } = t
    for (const oldtag of [0, 4711, NOTAG]) await raw.ok('Tflush', { oldtag })
    await raw.ok('Tflush', { oldtag: 60001 }, 60001)
    const [a, b] = await opened(t, 2) as [typeof t.raw, typeof t.raw]
    await a.ok('Tlock', lock(1, WRITE, 1))
    const before = b.arrived.length
    b.bytes(frame('Tlock', 60001, lock(1, WRITE, 1, 0n, 0n, 1)), frame('Tflush', 60002, { oldtag: 60001 }), frame('Tflush', 60003, { oldtag: 60001 }), frame('Tflush', 60004, { oldtag: 60002 }))
    for (const tag of [60002, 60003, 60004]) assert.is((await b.reply(tag)).name, 'Rflush')
    assert.equal(b.arrived.slice(before).map(({ tag }) => tag), [60002, 60003, 60004])
    // A frame that is cut can't say what it means: even then there is an answer.
    const reply = b.reply(60005)
    b.bytes(anyFrame(typeOf.Tflush, 60005, Buffer.alloc(1)))
    await reply
  }),
  c(110, 'flushes of one request that can not be taken back come behind its reply, in order', async (t) => {
    if (!stoppable(t)) return
    const { raw, stand: { control } } = t
    const go = control.stop('mkdir')
    const before = raw.arrived.length
    raw.bytes(
      frame('Tmkdir', 60001, { dfid: 0, name: 'd', mode: 0o755, gid: 0 }), frame('Tflush', 60002, { oldtag: 60001 }), frame('Tflush', 60003, { oldtag: 60001 }),
      frame('Tflush', 60004, { oldtag: 60002 }), frame('Tflush', 60005, { oldtag: 60004 }),
    )
    await control.stopped('mkdir')
    assert.ok(await quiet(raw))
    go()
    for (const tag of [60001, 60002, 60003, 60004, 60005]) await raw.reply(tag)
    const order = raw.arrived.slice(before).map(({ tag }) => tag)
    assert.equal(order.filter((tag) => tag <= 60003), [60001, 60002, 60003])
    assert.ok(order.indexOf(60004) > order.indexOf(60002) && order.indexOf(60005) > order.indexOf(60004), order.join())
    assert.equal(await ls(raw), ['d'])
  }),
  c(111, 'Tflush of a slow read: nothing comes for its tag afterwards, which means something new at once', async (t) => {
    const { raw } = t
    await raw.create(0, 1, 'f', 'text')
    for (let round = 0; round < 20; round++) {
      const go = stoppable(t) && round < 5 ? t.stand.control.stop('read') : undefined
      const before = raw.arrived.length
      raw.bytes(frame('Tread', 60001, { fid: 1, offset: 0, count: 100 }), frame('Tflush', 60002, { oldtag: 60001 }))
      assert.is((await raw.reply(60002)).name, 'Rflush')
      const came = raw.arrived.slice(before).map(({ name }) => name)
      assert.ok(came.join() === 'Rflush' || came.join() === 'Rread,Rflush', came.join())
      raw.strays.length = 0
      const attr = raw.call('Tgetattr', { fid: 0, mask: 1 }, 60001)
      go?.()
      assert.is((await attr).name, 'Rgetattr')
    }
    assert.ok(await quiet(raw))
    assert.equal(raw.strays, [])
  }),
  c(112, 'Tflush of a Twalk: without an Rwalk the new fid is free, with one it is there', async (t) => {
    const { raw } = t
    await raw.mkdir(0, 'd')
    for (let round = 0; round < 20; round++) {
      const go = stoppable(t) && round < 5 ? t.stand.control.stop('walk') : undefined
      for (const [makes, request] of [
        [true, frame('Twalk', 60001, { fid: 0, newfid: 5, names: ['d'] })], [false, frame('Twalk', 60001, { fid: 0, newfid: 5, names: ['d', 'missing'] })],
        [true, frame('Txattrwalk', 60001, { fid: 0, newfid: 5, name: '' })],
      ] as const) {
        const before = raw.arrived.length
        raw.bytes(request, frame('Tflush', 60002, { oldtag: 60001 }))
        await raw.reply(60002)
        const reply = raw.arrived.slice(before).find(({ tag }) => tag === 60001)
        const made = makes && reply !== undefined && reply.name !== 'Rlerror'
        raw.strays.length = 0
        assert.is(await raw.outcome('Tclunk', { fid: 5 }), made ? 'ok' : 'EBADF', `${reply?.name}`)
        await raw.walk(0, 5)
        await raw.clunk(5)
      }
      go?.()
    }
    // One that moves its own fid has moved it only if it says so.
    for (let round = 0; round < 10; round++) {
      const before = raw.arrived.length, here = (await raw.getattr(0)).qid.path
      await raw.walk(0, 6)
      raw.bytes(frame('Twalk', 60001, { fid: 6, newfid: 6, names: ['d'] }), frame('Tflush', 60002, { oldtag: 60001 }))
      await raw.reply(60002)
      const moved = raw.arrived.slice(before).some(({ tag }) => tag === 60001)
      raw.strays.length = 0
      await new Promise((resolve) => setTimeout(resolve, 5))
      assert.is((await raw.getattr(6)).qid.path !== here, moved)
      await raw.clunk(6)
    }
  }),
  c(112, 'Tflush of what changes: the reply comes, or nothing was done', async (t) => {
    const { raw } = t
    const undone = async (request: Buffer, check: (replied: boolean) => Promise<void>) => {
      const before = raw.arrived.length
      raw.bytes(request, frame('Tflush', 60002, { oldtag: 60001 }))
      await raw.reply(60002)
      const replied = raw.arrived.slice(before).some(({ tag }) => tag === 60001)
      raw.strays.length = 0
      await check(replied)
    }
    await raw.walk(0, 1)
    await undone(frame('Tlcreate', 60001, { fid: 1, name: 'f', flags: 0x42, mode: 0o644, gid: 0 }), async (replied) => {
      assert.is(await raw.outcome('Twrite', { fid: 1, offset: 0, data: Buffer.from('x') }), replied ? 'ok' : 'EBADF')
      assert.equal(await ls(raw), replied ? ['f'] : [])
    })
    await undone(frame('Tclunk', 60001, { fid: 1 }), async () => { assert.is(await raw.refused('Tclunk', { fid: 1 }), 'EBADF', 'a clunk is done in any case') })
    await raw.walk(0, 2, 'f')
    await undone(frame('Tlopen', 60001, { fid: 2, flags: 0 }), async (replied) => { assert.is(await raw.outcome('Tread', { fid: 2, offset: 0, count: 1 }), replied ? 'ok' : 'EBADF') })
    await undone(frame('Tremove', 60001, { fid: 2 }), async () => {
      assert.is(await raw.refused('Tclunk', { fid: 2 }), 'EBADF')
      assert.equal(await ls(raw), [])
    })
    await raw.create(0, 3, 'g')
    await undone(frame('Tlock', 60001, lock(3, WRITE, 1)), async (replied) => { assert.is((await raw.ok('Tgetlock', ask(3, WRITE, 2))).type, replied ? WRITE : UNLOCK) })
  }),
  c(113, 'a connection that ends in the middle of requests leaves nothing, and others come', async (t) => {
    await file(t, 'f', 'x'.repeat(100_000))
    for (let round = 0; round < 12; round++) {
      const raw = await t.client()
      await raw.walk(0, 1, 'f')
      await raw.open(1, 2)
      await raw.walk(0, 2, 'f')
      await raw.ok('Txattrcreate', { fid: 2, name: 'user.a', attrSize: 60000, flags: 0 })
      await raw.ok('Tlock', lock(1, WRITE, 1))
      raw.bytes(
        frame('Tread', 1, { fid: 1, offset: 0, count: 60_000 }), frame('Twalk', 2, { fid: 0, newfid: 3, names: ['f'] }), frame('Twalk', 3, { fid: 0, newfid: 4, names: [] }),
        frame('Tlcreate', 4, { fid: 4, name: `made${round}`, flags: 0x42, mode: 0o644, gid: 0 }), frame('Tlopen', 5, { fid: 3, flags: 0 }), frame('Twrite', 6, { fid: 1, offset: 0, data: Buffer.alloc(5000, 'y') }),
        frame('Txattrwalk', 7, { fid: 0, newfid: 9, name: '' }), frame('Treaddir', 8, { fid: 0, offset: 0n, count: 100 }), frame('Tgetattr', 9, { fid: 1, mask: 0x3fff }).subarray(0, 9 + round % 5),
      )
      if (round % 4 !== 0) await new Promise((resolve) => setTimeout(resolve, round % 4 - 1))
      if (round % 2) raw.reset()
      else raw.socket.destroy()
      await raw.closed
      raw.strays.length = 0
    }
    assert.equal(await t.raw.ok('Twalk', { fid: 0, newfid: 1, names: ['f'] }).then(({ qids }) => qids.length), 1)
    await t.raw.open(1, 2)
    for (let tries = 0; (await t.raw.ok('Tlock', lock(1, WRITE, 1))).status !== 0; tries++) {
      assert.ok(tries < 100, 'its locks are free')
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    if (t.stand.xattrs) assert.is(await getXattr(t.raw, 'f', 'user.a'), 'errno 61')
  }),
  c(113, 'a client that has said all it will still gets its replies', async (t) => {
    const raw = await t.client()
    await raw.create(0, 1, 'f', 'text')
    raw.bytes(...Array.from({ length: 20 }, (_, i) => frame('Tread', 60000 + i, { fid: 1, offset: 0, count: 10 })))
    raw.socket.end()
    for (let i = 0; i < 20; i++) assert.is((await raw.reply(60000 + i)).name, 'Rread')
    await raw.closed
  }),
  c(114, 'many fids that are not open take no descriptors', async (t) => {
    const { raw } = t, count = t.stand.stack === onDisk ? 100_000 : 5000
    const names = Array.from({ length: 100 }, (_, i) => `f${i}`)
    for (const name of names) await raw.ok('Tmknod', { dfid: 0, name, mode: 0o100644, major: 0, minor: 0, gid: 0 })
    const before = readdirSync('/proc/self/fd').length
    for (let from = 0; from < count; from += 500) {
      const tags = Array.from({ length: 500 }, (_, i) => 50_000 + i)
      raw.bytes(...tags.map((tag, i) => frame('Twalk', tag, { fid: 0, newfid: 1000 + from + i, names: [names[i % 100]!] })))
      for (const tag of tags) assert.is((await raw.reply(tag)).name, 'Rwalk')
    }
    assert.ok(readdirSync('/proc/self/fd').length - before < 1000)
    assert.is((await raw.getattr(1000)).qid.path, (await raw.getattr(1000 + count - 100)).qid.path)
    await raw.open(1000 + count - 1)
  }),
  c(115, 'a request that waits for ever delays no other', async (t) => {
    const [a, b] = await opened(t, 2) as [typeof t.raw, typeof t.raw]
    await a.ok('Tlock', lock(1, WRITE, 1))
    b.send('Tlock', 60001, lock(1, WRITE, 1, 0n, 0n, 1))
    for (let i = 0; i < 20; i++) {
      await b.getattr(1)
      assert.is(await b.read(1), 'text')
    }
    await b.ok('Tflush', { oldtag: 60001 })
    if (!stoppable(t)) return
    const go = t.stand.control.stop('read')
    b.send('Tread', 60001, { fid: 1, offset: 0, count: 10 })
    await t.stand.control.stopped('read')
    await b.mkdir(0, 'd')
    await b.write(1, 'TEXT')
    await b.walk(0, 5, 'd')
    go()
    await b.reply(60001)
  }),
  c(115, 'a FIFO that nobody else has open delays no other, and is given up by Tflush', async (t) => {
    const { raw } = t
    await raw.ok('Tmknod', { dfid: 0, name: 'p', mode: 0o10644, major: 0, minor: 0, gid: 0 })
    await raw.create(0, 9, 'f', 'text')
    for (const flags of [0, 1]) {
      await raw.walk(0, 1, 'p')
      const before = raw.arrived.length
      raw.send('Tlopen', 60001, { fid: 1, flags })
      for (let i = 0; i < 10; i++) {
        assert.is(await raw.read(9), 'text')
        await raw.mkdir(0, `d${flags}${i}`)
      }
      const opened = () => raw.arrived.slice(before).find(({ tag }) => tag === 60001)?.name
      if (opened() === 'Rlopen' && flags === 0) {
        raw.send('Tread', 60002, { fid: 1, offset: 0, count: 10 })
        assert.is(await raw.read(9), 'text')
        await raw.ok('Tflush', { oldtag: 60002 })
      } else await raw.ok('Tflush', { oldtag: 60001 })
      raw.strays.length = 0
      await raw.clunk(1)
    }
    await raw.walk(0, 1, 'p')
    raw.send('Tlopen', 60001, { fid: 1, flags: 0 })
    await raw.getattr(9)
    raw.strays.length = 0
  }),
  c(116, 'names that are not UTF-8 are listed, opened, renamed and removed to the byte', async ({ raw }) => {
    const odd = ['\udcff', 'caf\udce9', '\udc80\udc81\udcfe', 'a\udcc3', '\u00e9\udce9', '\udced\udca0\udc80', '\ud83d\ude00', 'e\u0301']
    for (const [i, name] of odd.entries()) await raw.file(0, name, String(i))
    assert.equal(await ls(raw), [...odd].sort())
    const bytes = Buffer.concat((await (async () => {
      await raw.walk(0, 1)
      await raw.open(1)
      return (await raw.ok('Treaddir', { fid: 1, offset: 0n, count: 8000 })).data
    })()).length > 0 ? [Buffer.from((await raw.ok('Treaddir', { fid: 1, offset: 0n, count: 8000 })).data)] : [])
    assert.ok(bytes.includes(Buffer.from([0x63, 0x61, 0x66, 0xe9])), 'as bytes on the wire')
    for (const [i, name] of odd.entries()) {
      assert.is(await raw.content(0, name), String(i))
      await raw.ok('Trenameat', { olddirfid: 0, oldname: name, newdirfid: 0, newname: `\udcfe${name}` })
      assert.is(await raw.content(0, `\udcfe${name}`), String(i))
      await raw.ok('Tunlinkat', { dirfid: 0, name: `\udcfe${name}`, flags: 0 })
    }
    await raw.mkdir(0, '\udcaa')
    await raw.ok('Tunlinkat', { dirfid: 0, name: '\udcaa', flags: REMOVEDIR })
    assert.equal((await listing(raw, 1)).length, 2)
  }),
]
