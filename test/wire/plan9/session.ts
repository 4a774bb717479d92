// C1-C20 in 9P2000 and 9P2000.u: framing, version, attach.

import { DM, enameOf, NOFID, NOTAG, typeOf } from 'ninep'
import * as assert from 'uvu/assert'
import { among, file, quiet } from '../cases/common.ts'
import { anyFrame, codeIn, frameOf } from '../raw.ts'
import { both, plain, unix, type Table } from './common.ts'

const tstat = ({ dialect }: Table, tag: number, fid = 0) => frameOf(dialect, 'Tstat', tag, { fid })
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')

export const session = [
  both(1, 'two requests in one segment, and one byte by byte, are both answered', async (t) => {
    const { p } = t
    p.bytes(tstat(t, 1), tstat(t, 2))
    assert.equal([(await p.reply(1)).name, (await p.reply(2)).name], ['Rstat', 'Rstat'])
    for (const byte of tstat(t, 3)) {
      p.bytes(Uint8Array.of(byte))
      await new Promise(setImmediate)
    }
    assert.is((await p.reply(3)).name, 'Rstat')
  }),
  both(2, 'a frame of size 6 ends its connection, and no other', async (t) => {
    const bad = await t.client()
    const bytes = Buffer.alloc(16)
    bytes.writeUInt32LE(6, 0)
    bad.bytes(bytes)
    await bad.closed
    await t.p.stat(0)
  }),
  both(3, 'a frame of msize + 1 ends its connection; one of msize is taken', async (t) => {
    const raw = await t.client(8192)
    await raw.create(0, 1, 'f')
    assert.is(await raw.write(1, Buffer.alloc(8192 - 23, 'x')), 8192 - 23)
    const head = anyFrame(typeOf.Twrite, 1)
    head.writeUInt32LE(8193, 0)
    raw.bytes(head)
    await raw.closed
    await t.p.stat(0)
  }),
  both(4, 'every request, cut after each of its bytes, is answered by Invalid argument', async ({ p, dialect }) => {
    const { stat } = await p.ok('Tstat', { fid: 0 })
    const whole = [
      frameOf(dialect, 'Topen', 1, { fid: 9, mode: 0 }), frameOf(dialect as '9P2000.u', 'Tcreate', 1, { fid: 9, name: 'n', perm: 0, mode: 0, extension: 'e' }), frameOf(dialect, 'Tstat', 1, { fid: 9 }),
      frameOf(dialect as '9P2000.u', 'Twstat', 1, { fid: 9, stat }), frameOf(dialect as '9P2000.u', 'Tauth', 1, { afid: 9, uname: 'u', aname: 'a', nUname: 0 }),
      frameOf(dialect as '9P2000.u', 'Tattach', 1, { fid: 9, afid: NOFID, uname: 'u', aname: 'a', nUname: 0 }), frameOf(dialect, 'Twalk', 1, { fid: 9, newfid: 8, names: ['n', 'm'] }),
      frameOf(dialect, 'Tread', 1, { fid: 9, offset: 0, count: 1 }), frameOf(dialect, 'Twrite', 1, { fid: 9, offset: 0, data: Buffer.from('data') }),
      frameOf(dialect, 'Tclunk', 1, { fid: 9 }), frameOf(dialect, 'Tremove', 1, { fid: 9 }),
    ]
    for (const full of whole) {
      for (let body = 0; body < full.length - 7; body++) {
        const reply = p.reply(1)
        p.bytes(anyFrame(full[4]!, 1, full.subarray(7, 7 + body)))
        assert.is(codeIn(await reply), 'EINVAL', `type ${full[4]} with ${body} of ${full.length - 7} bytes`)
      }
    }
    await p.stat(0)
  }),
  both(4, 'a Twstat whose two lengths lie is Invalid argument, and changes nothing', async ({ p, dialect }) => {
    await p.create(0, 1, 'f', 0o644)
    const stat = { ...await p.stat(1), name: 'g' }
    const good = frameOf(dialect as '9P2000.u', 'Twstat', 60001, { fid: 1, stat })
    for (const [at, by] of [[13, 1], [13, -1], [13, 1000], [13, -40], [11, 1000], [11, -2]] as const) {
      const bytes = Buffer.from(good)
      bytes.writeUInt16LE(bytes.readUInt16LE(at) + by, at)
      p.bytes(bytes)
      const reply = await p.reply(60001)
      // Bytes behind the last field may be tolerated; a stat that says it is shorter than its strings may not.
      if (reply.name === 'Rwstat') throw new Error(`length at ${at} off by ${by}: done`)
      assert.is(codeIn(reply), 'EINVAL', `length at ${at} off by ${by}`)
    }
    assert.equal(await p.ls(0), ['f'])
  }),
  both(5, 'a reply from a client is refused, and the server lives', async ({ p }) => {
    for (const type of [125, 107, 7, 25, 101, 109, 111, 6, 106]) {
      const reply = p.reply(3)
      p.bytes(anyFrame(type, 3, Buffer.alloc(200)))
      assert.is(codeIn(await reply), 'EOPNOTSUPP', String(type))
    }
    await p.stat(0)
  }),
  both(6, 'a type that is no message of the dialect is Operation not supported', async ({ p, unix }) => {
    for (const type of [200, 0, 1, 98, 128, 255, typeOf.Tlopen, typeOf.Tlcreate, typeOf.Tgetattr, typeOf.Tsetattr, typeOf.Treaddir, typeOf.Tmkdir, typeOf.Tstatfs, typeOf.Txattrwalk, typeOf.Tlock]) {
      const reply = p.reply(3)
      p.bytes(anyFrame(type, 3, Buffer.alloc(80)))
      const { bytes } = await reply
      const text = Buffer.from('Operation not supported')
      assert.ok(bytes.subarray(7).equals(Buffer.concat([hex('1700'), text, ...unix ? [hex('5f000000')] : []])), `${type}: ${bytes.toString('hex')}`)
    }
    await p.stat(0)
  }),
  both(7, 'any request before Tversion is refused as 9P2000 has it, which all can read', async (t) => {
    const p = await t.connect(), { dialect } = p
    p.dialect = '9P2000'
    for (const type of [typeOf.Tattach, typeOf.Tflush, typeOf.Twalk, typeOf.Tstat, typeOf.Topen, typeOf.Tgetattr, 200]) {
      const reply = p.reply(0)
      p.bytes(anyFrame(type, 0, Buffer.alloc(40)))
      assert.is((await reply).name, 'Rerror', String(type))
    }
    p.dialect = dialect
    await p.version()
    await p.attach(0, t.aname)
  }),
  both(8, 'msize is the smaller of what both can', async (t) => {
    const p = await t.connect()
    p.msize = 2 ** 32
    for (const [asked, got] of [[10_000_000, 1048600], [8192, 8192], [8216, 8216], [4096, 4096], [65536, 65536]] as const) {
      assert.equal(await p.version(asked), { msize: got, version: t.dialect })
    }
    assert.is(await p.refused('Tversion', { msize: 100, version: t.dialect }), 'EMSGSIZE')
    among(await p.refused('Tattach', { fid: 0, afid: NOFID, uname: '', aname: '', nUname: 0 }), 'EINVAL')
  }),
  plain(9, 'what has a dot behind it, or a later number, is 9P2000; what is something else is unknown', async (t) => {
    const p = await t.connect()
    const asked = {
      '9P2000': '9P2000', '9P2000.foo': '9P2000', '9P2000.': '9P2000', '9P2000.W': '9P2000', '9P2000.uu': '9P2000', '9P2001': '9P2000', '9P2000.LL': '9P2000', foo: 'unknown', '': 'unknown', '9P1999': 'unknown',
      '9p2000': 'unknown', '9P': 'unknown', ['x'.repeat(1000)]: 'unknown',
    }
    for (const [version, answer] of Object.entries(asked)) {
      const got = await p.ok('Tversion', { msize: 8192, version }, NOTAG)
      assert.equal(got, { msize: 8192, version: answer }, version)
    }
  }),
  both(9, 'the name of the dialect is echoed, and what follows is in that', async (t) => {
    const p = await t.connect()
    assert.equal(await p.ok('Tversion', { msize: 8192, version: t.dialect }, NOTAG), { msize: 8192, version: t.dialect })
    await p.attach(0, t.aname)
    assert.is((await p.stat(0)).mode, DM.DIR + 0o777)
  }),
  plain(9, 'a client that asks for 9P2000.foo goes on in 9P2000', async (t) => {
    const p = await t.connect()
    await p.ok('Tversion', { msize: 8192, version: '9P2000.foo' }, NOTAG)
    await p.attach(0, t.aname)
    await p.stat(0)
    assert.is(await p.refused('Twalk', { fid: 0, newfid: 1, names: ['missing'] }), 'ENOENT')
  }),
  both(10, 'Tversion with another tag than NOTAG is answered with that', async (t) => {
    const p = await t.connect()
    for (const tag of [1, 0, 77, NOTAG]) assert.is((await p.ok('Tversion', { msize: 8192, version: t.dialect }, tag)).version, t.dialect)
  }),
  both(11, 'after unknown nothing but a good Tversion helps', async (t) => {
    const p = await t.client()
    await p.ok('Tversion', { msize: 8192, version: 'foo' }, NOTAG)
    p.bytes(frameOf('9P2000', 'Tattach', 5, { fid: 5, afid: NOFID, uname: '', aname: '' }))
    const dialect = p.dialect
    p.dialect = '9P2000'                                   // no dialect was agreed on: a plain Rerror is what anybody reads
    await p.reply(5).then(codeIn, () => {})
    p.dialect = dialect
    if (p.ended) return
    await p.version()
    assert.is(await p.refused('Tstat', { fid: 0 }), 'EBADF')
    await p.attach(0, t.aname)
  }),
  both(12, 'a second Tversion ends all fids and what waits, without a word', async (t) => {
    const { p } = t
    await p.create(0, 1, 'f', 0o644)
    await p.write(1, 'text')
    await p.walk(0, 2, 'f')
    await p.open(2)
    const go = t.stoppable ? t.stand.control.stop('read') : undefined
    if (go) {
      p.send('Tread', 500, { fid: 2, offset: 0, count: 10 })
      await t.stand.control.stopped('read')
    }
    const again = p.version()
    go?.()
    await again
    for (const fid of [0, 1, 2]) assert.is(await p.refused('Tstat', { fid }), 'EBADF')
    await p.attach(0, t.aname)
    assert.is(await p.content(0, 'f'), 'text')
    assert.ok(await quiet(p), 'no late reply')
    assert.equal(p.strays, [])
    await p.ok('Tstat', { fid: 0 }, 500)
  }),
  both(12, 'a second Tversion may ask for another dialect', async (t) => {
    const { p } = t
    for (const dialect of ['9P2000', '9P2000.u', '9P2000'] as const) {
      p.dialect = dialect
      await p.version()
      await p.attach(0, t.aname)
      assert.is((await p.stat(0)).mode, DM.DIR + 0o777)
      assert.is(await p.refused('Twalk', { fid: 0, newfid: 1, names: ['missing'] }), 'ENOENT')
      await p.open(0)
      assert.equal(await p.listing(0), [])
    }
  }),
  both(12, 'the three dialects at once see one tree', async (t) => {
    const { p, raw } = t, other = await t.bench.old(t.unix ? '9P2000' : '9P2000.u')
    await other.version()
    await other.attach(0, t.aname)
    await p.file(0, 'f', 'old')
    await raw.file(0, 'g', 'linux')
    await other.file(0, 'h', 'other')
    for (const who of [p, other]) assert.equal([await who.content(0, 'f'), await who.content(0, 'g'), await who.content(0, 'h')], ['old', 'linux', 'other'])
    assert.is(await raw.content(0, 'f'), 'old')
    await raw.walk(0, 1, 'f')
    const { qid } = await raw.getattr(1)
    assert.equal([(await p.statAt(0, 'f')).qid, (await other.statAt(0, 'f')).qid], [qid, qid])
  }),
  plain(13, 'a stat is exactly as long as 9P2000 has it, and Rerror ends behind its string', async ({ p }) => {
    await p.create(0, 1, 'name', 0o644)
    const { bytes, fields } = await p.call('Tstat', { fid: 1 })
    const { name, uid, gid, muid } = fields.stat
    const length = 49 + name.length + uid.length + gid.length + muid.length
    assert.equal([bytes.length, bytes.readUInt16LE(7), bytes.readUInt16LE(9)], [9 + length, length, length - 2])
    const { bytes: error } = await p.call('Twalk', { fid: 0, newfid: 2, names: ['missing'] }, 1)
    assert.is(error.toString('hex'), `${hex('22000000').toString('hex')}6b01001900${Buffer.from('No such file or directory').toString('hex')}`)
    const { bytes: exists } = await p.call('Tcreate', { fid: 0, name: 'name', perm: 0o644, mode: 0, extension: '' }, 1)
    assert.is(exists.toString('hex'), '140000006b01000b0046696c6520657869737473')
    // A directory holds the same stats.
    await p.open(0)
    const { data } = await p.ok('Tread', { fid: 0, offset: 0, count: 8000 })
    assert.is(data.length, length)
    assert.ok(Buffer.from(data).equals(bytes.subarray(9)))
  }),
  unix(13, 'a stat has the tail of 9P2000.u, and Rerror its number', async ({ p }) => {
    await p.create(0, 1, 'name', 0o644)
    const { bytes, fields } = await p.call('Tstat', { fid: 1 })
    const { name, uid, gid, muid, extension } = fields.stat
    const length = 63 + name.length + uid.length + gid.length + muid.length + extension.length
    assert.equal([bytes.length, bytes.readUInt16LE(7), bytes.readUInt16LE(9)], [9 + length, length, length - 2])
    const { bytes: exists } = await p.call('Tcreate', { fid: 0, name: 'name', perm: 0o644, mode: 0, extension: '' }, 1)
    assert.is(exists.toString('hex'), '180000006b01000b0046696c652065786973747311000000')
    await p.open(0)
    const { data } = await p.ok('Tread', { fid: 0, offset: 0, count: 8000 })
    assert.ok(Buffer.from(data).equals(bytes.subarray(9)))
  }),
  both(13, 'errors are told in the words that clients map back', async (t) => {
    const { p } = t
    await p.mkdir(0, 'd')
    await p.file(0, 'd2')
    await p.walk(0, 1, 'd')
    await p.file(1, 'in')
    const words = async (reply: Promise<{ fields: { ename: string } }>) => (await reply).fields.ename
    assert.is(await words(p.call('Twalk', { fid: 0, newfid: 2, names: ['missing'] })), 'No such file or directory')
    assert.is(await words(p.call('Tclunk', { fid: 99 })), 'Bad file descriptor')
    assert.is(await words(p.call('Topen', { fid: 1, mode: 1 })), 'Is a directory')
    await p.walk(0, 2, 'd2')
    assert.is(await words(p.call('Twalk', { fid: 2, newfid: 3, names: ['x'] })), 'Not a directory')
    assert.is(await words(p.call('Tremove', { fid: 1 })), 'Directory not empty')
    assert.is(await words(p.call('Twalk', { fid: 0, newfid: 3, names: ['n'.repeat(256)] })), 'File name too long')
    const ro = await t.client(8192, undefined, '/ro')
    await ro.walk(0, 1)
    assert.is(await words(ro.call('Tcreate', { fid: 1, name: 'x', perm: 0o644, mode: 0, extension: '' })), 'Read-only file system')
    assert.is(enameOf('EACCES'), 'Permission denied')
  }),
  both(14, 'no reply is longer than msize, and no error string than 126 bytes', async (t) => {
    const p = await t.client(4096)
    await p.create(0, 1, 'f', 0o644)
    for (let at = 0; at < 20_000; at += 4000) await p.write(1, Buffer.alloc(4000, 'x'), at)
    assert.is((await p.ok('Tread', { fid: 1, offset: 0, count: 100_000 })).data.length, 4096 - 11)
    for (let i = 0; i < 30; i++) await p.mkdir(0, 'n'.repeat(250) + i)
    await p.walk(0, 2)
    await p.open(2)
    const { length } = await p.entries(2, 0, 0xffffffff)
    assert.ok(length > 3000 && length <= 4096 - 11, `${length} bytes`)
    const deep = Array.from({ length: 16 }, () => 'd'.repeat(200))
    assert.is(await p.refused('Twalk', { fid: 0, newfid: 3, names: deep }), 'ENOENT')
    assert.is(await p.creation(0, `${'x'.repeat(200)}/${'y'.repeat(50)}`), 'EINVAL')
  }),

  both(15, 'Tauth is refused, and its afid stays free', async (t) => {
    const { p } = t
    for (const afid of [5, 0]) among(await p.refused('Tauth', { afid, uname: 'nobody', aname: '', nUname: 0xffffffff }), 'ENOENT', 'EOPNOTSUPP', 'ENOSYS', 'EBADF')
    assert.is(await p.refused('Tclunk', { fid: 5 }), 'EBADF')
    await p.walk(0, 5)
    assert.is(await p.refused('Tattach', { fid: 6, afid: 5, uname: '', aname: '', nUname: 0 }), 'EINVAL')
    // As the first thing that is said, with the fid that the Tattach after it has.
    const first = await t.connect()
    await first.version()
    assert.is(await first.refused('Tauth', { afid: 0, uname: 'nobody', aname: t.aname, nUname: 0xffffffff }), 'ENOENT')
    await first.attach(0, t.aname)
  }),
  both(16, 'Tattach without a name gives the root, a directory', async (t) => {
    const { p } = t, { qid } = await p.attach(7)
    assert.is(qid.type, 0x80)
    assert.equal((await p.stat(7)).qid.path, qid.path)
    await t.raw.attach(7)
    assert.is((await t.raw.getattr(7)).qid.path, qid.path)
    assert.is(await p.attach(8, '/').then(({ qid: { path } }) => path), qid.path)
  }),
  both(17, 'Tattach to a fid in use is Bad file descriptor, and that fid stays', async ({ p }) => {
    const { path } = (await p.stat(0)).qid
    assert.is(await p.refused('Tattach', { fid: 0, afid: NOFID, uname: '', aname: '', nUname: 0 }), 'EBADF')
    assert.is((await p.stat(0)).qid.path, path)
  }),
  both(18, 'an attach name that is not there is refused, and none leads out', async (t) => {
    const { p } = t
    for (const aname of ['nothing', '../../etc', '..', `${t.aname}/..`, '/../etc/passwd', '/etc']) {
      among(await p.refused('Tattach', { fid: 1, afid: NOFID, uname: '', aname, nUname: 0xffffffff }), 'ENOENT', 'EPERM')
    }
    await file(t.bench, 'f', 'text')
    await p.attach(1, `${t.aname}/f`)
    await p.open(1)
    assert.is(await p.read(1), 'text', 'a file may be the root of a tree')
  }),
  both(19, 'users by name: each is himself, on one connection', async (t) => {
    const { p } = t
    await p.attach(1, t.aname, 'daemon')
    await p.attach(2, t.aname, '1001')
    await p.attach(3, t.aname, 'no such user')
    for (const [fid, uid, name] of [[1, 1, 'daemon'], [2, 1001, ''], [3, 65534, 'nobody']] as const) {
      await p.mkdir(fid, `by${fid}`)
      const stat = await p.statAt(0, `by${fid}`)
      if (!t.stand.owners) continue
      if (name !== '') assert.is(stat.uid, name)
      if (t.unix) assert.is(stat.nUid, uid)
      await t.raw.walk(0, 9, `by${fid}`)
      assert.is((await t.raw.getattr(9)).uid, uid)
      await t.raw.clunk(9)
    }
  }),
  unix(19, 'n_uname counts where it is given, else uname', async (t) => {
    const { p } = t
    for (const [fid, uname, nUname, uid] of [[1, '', 1000, 1000], [2, 'daemon', 0xffffffff, 1], [3, 'root', 1002, 1002]] as const) {
      await p.attach(fid, t.aname, uname, nUname)
      await p.mkdir(fid, `by${fid}`)
      if (t.stand.owners) assert.is((await p.statAt(0, `by${fid}`)).nUid, uid)
    }
  }),
  both(20, 'fid 0 is a fid, and NOFID is none', async ({ p }) => {
    among(await p.refused('Tattach', { fid: NOFID, afid: NOFID, uname: '', aname: '', nUname: 0xffffffff }), 'EINVAL', 'EBADF')
    among(await p.refused('Twalk', { fid: 0, newfid: NOFID, names: [] }), 'EINVAL', 'EBADF')
    await p.stat(0)
    await p.clunk(0)
    assert.is(await p.refused('Tstat', { fid: 0 }), 'EBADF')
  }),
]
