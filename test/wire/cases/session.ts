// C1-C20: framing, version, attach.

import { NOFID, NOTAG, typeOf } from 'ninep'
import * as assert from 'uvu/assert'
import { Plan9 } from '../plan9/client.ts'
import { anyFrame, frame } from '../raw.ts'
import { c, onMemory } from '../stand.ts'
import { among, file, quiet, setXattr } from './common.ts'

const getattr = (tag: number, fid = 0) => frame('Tgetattr', tag, { fid, mask: 0x7ff })

export const session = [
  c(1, 'two requests in one segment, and one byte by byte, are both answered', async ({ raw }) => {
    raw.bytes(getattr(1), getattr(2))
    assert.equal([(await raw.reply(1)).name, (await raw.reply(2)).name], ['Rgetattr', 'Rgetattr'])
    for (const byte of getattr(3)) {
      raw.bytes(Uint8Array.of(byte))
      await new Promise(setImmediate)
    }
    assert.is((await raw.reply(3)).name, 'Rgetattr')
  }),
  c(1, 'a request and a half, then the other half and one more', async ({ raw }) => {
    const whole = Buffer.concat([getattr(1), getattr(2), getattr(3)])
    for (const cut of [20, 23, 30, 38, 40]) {
      raw.bytes(whole.subarray(0, cut))
      await new Promise((resolve) => setTimeout(resolve, 3))
      raw.bytes(whole.subarray(cut))
      for (const tag of [1, 2, 3]) assert.is((await raw.reply(tag)).name, 'Rgetattr')
    }
  }),
  c(2, 'a frame of size 6 ends its connection, and no other', async (t) => {
    for (const size of [6, 0, 4]) {
      const bad = await t.client()
      const bytes = Buffer.alloc(16)
      bytes.writeUInt32LE(size, 0)
      bad.bytes(bytes)
      await bad.closed
    }
    await t.raw.getattr(0)
  }),
  c(3, 'a frame of msize + 1 ends its connection, and no memory is taken for it', async (t) => {
    const before = process.memoryUsage().arrayBuffers
    for (const size of [65537, 0x7fffffff, 0xffffffff]) {
      const bad = await t.client(65536)
      const head = anyFrame(typeOf.Twrite, 1)
      head.writeUInt32LE(size, 0)
      bad.bytes(head)
      await bad.closed
    }
    assert.ok(process.memoryUsage().arrayBuffers - before < 64 * 2 ** 20)
    await t.raw.getattr(0)
  }),
  c(3, 'before Tversion a frame has at most 8192 bytes', async (t) => {
    const bad = await t.connect()
    const head = anyFrame(typeOf.Tversion, NOTAG)
    head.writeUInt32LE(8193, 0)
    bad.bytes(head)
    await bad.closed
  }),
  c(3, 'a frame of exactly msize is taken', async (t) => {
    const raw = await t.client(8192)
    await raw.create(0, 1, 'f')
    assert.is(await raw.write(1, Buffer.alloc(8192 - 23, 'x')), 8192 - 23)
  }),
  c(4, 'Twalk that promises more names than it holds is EINVAL, and the connection goes on', async ({ raw }) => {
    for (const body of ['00000000 01000000 0300 0100 61', '00000000 01000000 0100 ff00 61', '00000000 0100', '']) {
      const reply = raw.reply(7)
      raw.bytes(anyFrame(typeOf.Twalk, 7, Buffer.from(body.replaceAll(' ', ''), 'hex')))
      const { name, fields } = await reply
      assert.equal([name, fields], ['Rlerror', { ecode: 22 }])
    }
    assert.is(await raw.refused('Tclunk', { fid: 1 }), 'EBADF')
    await raw.getattr(0)
  }),
  c(4, 'every request, cut after each of its bytes, is answered by an error', async ({ raw }) => {
    const time = { sec: 0, nsec: 0 }
    const whole = [
      frame('Tlopen', 1, { fid: 9, flags: 0 }), frame('Tlcreate', 1, { fid: 9, name: 'n', flags: 0, mode: 0, gid: 0 }), frame('Tsymlink', 1, { dfid: 9, name: 'n', target: 't', gid: 0 }),
      frame('Tmknod', 1, { dfid: 9, name: 'n', mode: 0, major: 0, minor: 0, gid: 0 }), frame('Trename', 1, { fid: 9, dfid: 9, name: 'n' }), frame('Treadlink', 1, { fid: 9 }),
      frame('Tgetattr', 1, { fid: 9, mask: 1 }), frame('Tsetattr', 1, { fid: 9, valid: 0, mode: 0, uid: 0, gid: 0, size: 0, atime: time, mtime: time }),
      frame('Txattrwalk', 1, { fid: 9, newfid: 8, name: 'n' }), frame('Txattrcreate', 1, { fid: 9, name: 'n', attrSize: 0, flags: 0 }), frame('Treaddir', 1, { fid: 9, offset: 0n, count: 9 }),
      frame('Tfsync', 1, { fid: 9, datasync: 0 }), frame('Tlock', 1, { fid: 9, type: 0, flags: 0, start: 0n, length: 0n, procId: 0, clientId: 'c' }),
      frame('Tgetlock', 1, { fid: 9, type: 0, start: 0n, length: 0n, procId: 0, clientId: 'c' }), frame('Tlink', 1, { dfid: 9, fid: 9, name: 'n' }), frame('Tmkdir', 1, { dfid: 9, name: 'n', mode: 0, gid: 0 }),
      frame('Trenameat', 1, { olddirfid: 9, oldname: 'n', newdirfid: 9, newname: 'm' }), frame('Tunlinkat', 1, { dirfid: 9, name: 'n', flags: 0 }), frame('Tauth', 1, { afid: 9, uname: 'u', aname: 'a', nUname: 0 }),
      frame('Tattach', 1, { fid: 9, afid: NOFID, uname: 'u', aname: 'a', nUname: 0 }), frame('Twalk', 1, { fid: 9, newfid: 8, names: ['n', 'm'] }), frame('Tread', 1, { fid: 9, offset: 0, count: 1 }),
      frame('Twrite', 1, { fid: 9, offset: 0, data: Buffer.from('data') }), frame('Tclunk', 1, { fid: 9 }), frame('Tremove', 1, { fid: 9 }), frame('Tstatfs', 1, { fid: 9 }),
    ]
    for (const full of whole) {
      for (let body = 0; body < full.length - 7; body++) {
        const reply = raw.reply(1)
        raw.bytes(anyFrame(full[4]!, 1, full.subarray(7, 7 + body)))
        const { name, fields } = await reply
        assert.is(name, 'Rlerror', `type ${full[4]} with ${body} of ${full.length - 7} bytes`)
        assert.ok(fields.ecode === 22 || (full[4] === typeOf.Tfsync && body >= 4), `type ${full[4]} with ${body} bytes: ${fields.ecode}`)
      }
    }
    await raw.getattr(0)
  }),
  c(4, 'bytes after the last field are tolerated', async ({ raw }) => {
    const reply = raw.reply(5)
    raw.bytes(anyFrame(typeOf.Tgetattr, 5, Buffer.concat([getattr(5).subarray(7), Buffer.alloc(9)])))
    assert.is((await reply).name, 'Rgetattr')
  }),
  c(5, 'a reply from a client is refused, and the server lives', async ({ raw }) => {
    for (const type of [25, 7, 101, 109, 111, 6, 106, 107]) {
      const reply = raw.reply(3)
      raw.bytes(anyFrame(type, 3, Buffer.alloc(200)))
      assert.equal((await reply).fields, { ecode: 95 }, String(type))
    }
    await raw.getattr(0)
  }),
  c(6, 'a type that is no message is EOPNOTSUPP', async ({ raw }) => {
    for (const type of [200, 0, 1, 98, 112, 114, 124, 126, 128, 130, 132, 255]) {
      const reply = raw.reply(3)
      raw.bytes(anyFrame(type, 3, Buffer.alloc(8)))
      assert.equal((await reply).fields, { ecode: 95 }, String(type))
    }
  }),
  c(7, 'any request before Tversion is refused, as 9P2000 refuses', async (t) => {
    const raw = await Plan9.connect(t.url, '9P2000')
    for (const type of [typeOf.Tattach, typeOf.Tflush, typeOf.Twalk, typeOf.Twrite, 200]) {
      const reply = raw.reply(0)
      raw.bytes(anyFrame(type, 0, Buffer.alloc(40)))
      assert.equal([(await reply).name], ['Rerror'])
    }
    await raw.version()
    await raw.attach(0)
    await raw.end()
  }),
  c(8, 'msize is the smaller of what both can', async (t) => {
    const raw = await t.connect()
    raw.msize = 2 ** 32
    for (const [asked, got] of [[10_000_000, 1048600], [0xffffffff, 1048600], [8192, 8192], [4096, 4096], [65536, 65536]] as const) {
      assert.equal(await raw.version(asked), { msize: got, version: '9P2000.L' })
    }
    assert.is(await raw.refused('Tversion', { msize: 4095, version: '9P2000.L' }), 'EMSGSIZE')
    assert.is(await raw.refused('Tattach', { fid: 0, afid: NOFID, uname: '', aname: '', nUname: 0 }), 'EINVAL')
  }),
  c(9, 'the dialects are echoed; others of 2000 or later are 9P2000; what nobody speaks is unknown, and not an error', async (t) => {
    const raw = await t.connect()
    const all = {
      '9P2000.L': ['9P2000.L'], '9P2000.u': ['9P2000.u'], '9P2000': ['9P2000', '9P2000.foo', '9P2000.LL', '9P2000.l', '9P2000.', '9P2000.u.L', '9P2000.W', '9P2001', '9P10000'],
      unknown: ['foo', '', '9P1999', '9P1999.L', '9P2000L', '9p2000', '9P', '9P200', ' 9P2000', 'toString', 'x'.repeat(1000)],
    }
    for (const [version, asked] of Object.entries(all)) {
      for (const each of asked) assert.equal(await raw.ok('Tversion', { msize: 8192, version: each }, NOTAG), { msize: 8192, version }, each)
    }
  }),
  c(10, 'Tversion with another tag than NOTAG is answered with that', async (t) => {
    const raw = await t.connect()
    for (const tag of [1, 0, 77, NOTAG]) assert.is((await raw.ok('Tversion', { msize: 8192, version: '9P2000.L' }, tag)).version, '9P2000.L')
  }),
  c(11, 'after unknown nothing but a good Tversion helps', async (t) => {
    const raw = await Plan9.versioned(t.url, '9P2000')
    await raw.attach(0, t.aname)
    await raw.ok('Tversion', { msize: 8192, version: 'foo' }, NOTAG)
    assert.is(await raw.refused('Tattach', { fid: 5, afid: NOFID, uname: '', aname: '', nUname: 0 }), 'EINVAL')
    assert.is(await raw.refused('Tstat', { fid: 0 }), 'EINVAL')
    await raw.version()
    assert.is(await raw.refused('Tstat', { fid: 0 }), 'EBADF')
    await raw.attach(0, t.aname)
    await raw.end()
  }),
  c(12, 'a second Tversion ends fids, locks and what waits, without a word', async (t) => {
    const { raw } = t, other = await t.client()
    await raw.create(0, 1, 'f', 'text')
    await other.walk(0, 1, 'f')
    await other.open(1, 2)
    const lock = { flags: 0, start: 0n, length: 0n, clientId: 'c' }
    assert.equal(await raw.ok('Tlock', { ...lock, fid: 1, type: 1, procId: 1 }), { status: 0 })
    await other.walk(0, 2, 'f')
    await other.open(2, 2)
    await file(t, 'g')
    await other.walk(0, 3, 'g')
    await other.open(3, 2)
    assert.equal(await other.ok('Tlock', { ...lock, fid: 3, type: 1, procId: 9 }), { status: 0 })
    await raw.walk(0, 2, 'g')
    await raw.open(2, 2)
    raw.send('Tlock', 500, { ...lock, flags: 1, fid: 2, type: 1, procId: 1 })
    assert.ok(await quiet(raw))
    await raw.version()
    assert.is(await raw.refused('Tgetattr', { fid: 0, mask: 1 }), 'EBADF')
    assert.is(await raw.refused('Tread', { fid: 1, offset: 0, count: 1 }), 'EBADF')
    assert.equal(await other.ok('Tlock', { ...lock, fid: 1, type: 1, procId: 9 }), { status: 0 }, 'its lock is free')
    await other.clunk(3)
    await raw.attach(0, t.aname)
    assert.is(await raw.content(0, 'f'), 'text')
    assert.ok(await quiet(raw), 'no late reply')
    assert.equal(raw.strays, [])
    // The same tag means something new now.
    await raw.ok('Tgetattr', { fid: 0, mask: 1 }, 500)
  }),
  c(12, 'a Tversion behind requests of the same segment: none of them lives on', async (t) => {
    const { raw } = t
    await file(t, 'f', 'text')
    for (let round = 0; round < 5; round++) {
      await raw.version()
      await raw.attach(0, t.aname)
      raw.bytes(
        frame('Tattach', 60010, { fid: 1, afid: NOFID, uname: '', aname: t.aname, nUname: process.getuid!() }), frame('Twalk', 60011, { fid: 0, newfid: 2, names: ['f'] }),
        frame('Twalk', 60012, { fid: 0, newfid: 3, names: [] }), frame('Tlopen', 60013, { fid: 0, flags: 0 }), frame('Txattrwalk', 60014, { fid: 0, newfid: 4, name: '' }),
        frame('Tversion', NOTAG, { msize: 65536, version: '9P2000.L' }),
      )
      const reply = await raw.reply(NOTAG)
      assert.is(reply.name, 'Rversion')
      const seen = raw.arrived.length
      for (const fid of [0, 1, 2, 3, 4]) assert.is(await raw.refused('Tclunk', { fid }), 'EBADF', `fid ${fid}`)
      await new Promise((resolve) => setTimeout(resolve, 10))
      for (const fid of [0, 1, 2, 3, 4]) assert.is(await raw.refused('Tclunk', { fid }), 'EBADF', `fid ${fid}, later`)
      assert.equal(raw.arrived.slice(seen).map(({ name }) => name), Array(10).fill('Rlerror'))
      raw.strays.length = 0
    }
  }),
  c(14, 'no reply is longer than msize', async (t) => {
    const raw = await t.client(4096)
    await raw.create(0, 1, 'f', Buffer.alloc(20_000, 'x'))
    assert.is((await raw.ok('Tread', { fid: 1, offset: 0, count: 100_000 })).data.length, 4096 - 11)
    for (let i = 0; i < 30; i++) await raw.mkdir(0, 'n'.repeat(250) + i)
    await raw.walk(0, 2)
    await raw.open(2)
    const { data } = await raw.ok('Treaddir', { fid: 2, offset: 0n, count: 0xffffffff })
    assert.ok(data.length > 3000 && data.length <= 4096 - 11)
    await t.raw.ok('Tsymlink', { dfid: 0, name: 'l', target: 't'.repeat(4090), gid: 0 })
    await raw.walk(0, 3, 'l')
    assert.is(await raw.refused('Treadlink', { fid: 3 }), 'EMSGSIZE')
    const { raw: big } = t
    await big.walk(0, 9, 'f')
    await big.open(9)
    const lock = { type: 0, flags: 0, start: 0n, length: 0n, procId: 1 }
    assert.is(await big.refused('Tlock', { fid: 9, ...lock, clientId: 'c'.repeat(5000) }), 'EINVAL')   // Rgetlock would tell it to others
  }),
  c(14, 'nor is the value of an attribute', async (t) => {
    if (!t.stand.xattrs) return
    const raw = await t.client(4096)
    await file(t, 'f')
    await setXattr(t.raw, 'f', 'user.big', Buffer.alloc(3500, 'v'))
    for (let i = 0; i < 30; i++) await setXattr(t.raw, 'f', `user.${'n'.repeat(200)}${i}`, Buffer.from('v'))
    await raw.walk(0, 1, 'f')
    const { size } = await raw.ok('Txattrwalk', { fid: 1, newfid: 2, name: '' })
    assert.is((await raw.ok('Tread', { fid: 2, offset: 0, count: 65536 })).data.length, Math.min(size, 4096 - 11))
    if (t.stand.stack === onMemory) assert.ok(size > 6000)        // a host's file system may have no room for so many
  }),

  c(15, 'Tauth is refused, and its afid stays free', async ({ raw }) => {
    assert.is(await raw.refused('Tauth', { afid: 5, uname: 'nobody', aname: '', nUname: 0xffffffff }), 'ENOENT')
    assert.is(await raw.refused('Tclunk', { fid: 5 }), 'EBADF')
    await raw.walk(0, 5)
    assert.is(await raw.refused('Tattach', { fid: 6, afid: 5, uname: '', aname: '', nUname: 0 }), 'EINVAL')
  }),
  c(16, 'Tattach without a name gives the root, a directory', async ({ raw }) => {
    const { qid } = await raw.attach(7)
    assert.is(qid.type, 0x80)
    assert.equal((await raw.getattr(7)).qid.path, qid.path)
    assert.equal((await raw.attach(8, '/')).qid.path, qid.path)
  }),
  c(17, 'Tattach to a fid in use is EBADF, and that fid stays', async (t) => {
    const { raw } = t, { path } = (await raw.getattr(0)).qid
    assert.is(await raw.refused('Tattach', { fid: 0, afid: NOFID, uname: '', aname: '', nUname: 0 }), 'EBADF')
    assert.is((await raw.getattr(0)).qid.path, path)
    // Both at once: one wins, the other is refused, and nothing is left over.
    const attach = (tag: number) => frame('Tattach', tag, { fid: 3, afid: NOFID, uname: '', aname: t.aname, nUname: process.getuid!() })
    raw.bytes(attach(1), attach(2))
    assert.equal([(await raw.reply(1)).name, (await raw.reply(2)).name].sort(), ['Rattach', 'Rlerror'])
    await raw.getattr(3)
  }),
  c(18, 'an attach name that is not there is ENOENT, and none leads out', async (t) => {
    const { raw } = t
    const attach = (aname: string) => raw.outcome('Tattach', { fid: 1, afid: NOFID, uname: '', aname, nUname: process.getuid!() })
    for (const aname of ['nothing', '../../etc', '..', `${t.aname}/..`, `${t.aname}/../..`, '.', '/../etc/passwd', `${t.aname}/nothing`, '/etc']) assert.is(await attach(aname), 'ENOENT', aname)
    among(await attach('a\0b'), 'ENOENT', 'EINVAL')
    await file(t, 'f')
    assert.is(await attach(`${t.aname}/f/x`), 'ENOTDIR')
    assert.is(await attach(`/${t.aname}//f/`), 'ok', 'a file may be the root of a tree')
    assert.is((await raw.getattr(1)).qid.type, 0)
  }),
  c(19, 'n_uname counts where it is given, else uname; both live on one connection', async (t) => {
    const { raw } = t
    const attach = (fid: number, uname: string, nUname: number) => raw.ok('Tattach', { fid, afid: NOFID, uname, aname: t.aname, nUname })
    await attach(1, '', 1000)
    await attach(2, '1001', 0xffffffff)
    await attach(3, 'root', 1002)
    await attach(4, 'no such user', 0xffffffff)
    for (const [fid, uid] of [[1, 1000], [2, 1001], [3, 1002], [4, 65534]] as const) {
      await raw.ok('Tmkdir', { dfid: fid, name: `by${fid}`, mode: 0o755, gid: 0xffffffff })
      await raw.walk(0, 9, `by${fid}`)
      if (t.stand.owners) assert.is((await raw.getattr(9)).uid, uid)
      await raw.clunk(9)
    }
  }),
  c(20, 'fid 0 is a fid, and NOFID is none', async (t) => {
    const raw = await t.connect()
    await raw.version()
    await raw.attach(0)
    assert.is(await raw.refused('Tattach', { fid: NOFID, afid: NOFID, uname: '', aname: '', nUname: 0 }), 'EINVAL')
    assert.is(await raw.refused('Twalk', { fid: 0, newfid: NOFID, names: [] }), 'EINVAL')
    await raw.getattr(0)
    await raw.clunk(0)
  }),
]
