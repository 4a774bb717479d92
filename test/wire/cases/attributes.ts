// C64-C74: attributes, file system, fsync.

import { O, S, typeOf } from 'ninep'
import * as assert from 'uvu/assert'
import { anyFrame } from '../raw.ts'
import { c } from '../stand.ts'
import { among, file, setattr } from './common.ts'

const now = () => Math.floor(Date.now() / 1000)

export const attributes = [
  c(64, 'Rgetattr has the basic fields, whatever was asked', async (t) => {
    const { raw } = t
    await file(t, 'f', 'text')
    await raw.mkdir(0, 'd')
    await raw.ok('Tsymlink', { dfid: 0, name: 'l', target: 'f', gid: 0 })
    await raw.ok('Tmknod', { dfid: 0, name: 'p', mode: S.IFIFO | 0o644, major: 0, minor: 0, gid: 0 })
    for (const [name, type] of [['f', S.IFREG], ['d', S.IFDIR], ['l', S.IFLNK], ['p', S.IFIFO]] as const) {
      await raw.walk(0, 1, name)
      for (const mask of [0x7ff, 0x3fff, 0x17ff]) {
        const { bytes, fields } = await raw.call('Tgetattr', { fid: 1, mask })
        assert.is(bytes.length, 160)
        assert.is(fields.valid & 0x7ff, 0x7ff, name)
        assert.is(fields.valid & ~0x3fff, 0, 'no bit of our own')
        assert.is(fields.mode & S.IFMT, type, name)
        assert.ok(fields.nlink >= 1 && fields.blksize > 0, name)
        assert.ok(Math.abs(fields.mtime.sec - now()) < 100 && fields.mtime.nsec < 1e9, name)
      }
      await raw.clunk(1)
    }
  }),
  c(64, 'on a fid that is open as on one that is not', async ({ raw }) => {
    await raw.create(0, 1, 'f', 'text')
    await raw.walk(0, 2, 'f')
    const [open, not] = [await raw.getattr(1, 0x3fff), await raw.getattr(2, 0x3fff)]
    assert.equal(open, not)
    assert.is(open.size, 4)
    await raw.walk(0, 3)
    await raw.open(3)
    assert.equal(await raw.getattr(3, 0x3fff), await raw.getattr(0, 0x3fff))
  }),
  c(65, 'the qid is that of the walk, and of no other file, nor of another mount', async (t) => {
    const { raw } = t
    await file(t, 'f')
    await raw.attach(8, '/other')
    const { qids: [walked] } = await raw.walk(0, 1, 'f')
    const attr = (await raw.ok('Tgetattr', { fid: 1, mask: 0 })).qid
    assert.equal(attr, walked)
    assert.equal((await raw.open(1)).qid, walked)
    assert.equal((await raw.getattr(1)).qid, walked)
    const made = await raw.create(0, 2, 'g'), elsewhere = await raw.create(8, 3, t.aname)
    const paths = [walked!.path, made.qid.path, elsewhere.qid.path, (await raw.getattr(0)).qid.path, (await raw.getattr(8)).qid.path]
    assert.is(new Set(paths).size, 5)
    for (const path of paths) assert.ok(path < 2n ** 56n, 'bits that 9pfuse needs are free')
    await raw.ok('Tlink', { dfid: 0, fid: 1, name: 'h' })
    assert.is((await raw.walk(0, 4, 'h')).qids[0]!.path, walked!.path)
  }),
  c(65, 'a number that was a removed file is told from it', async ({ raw }) => {
    for (let i = 0; i < 5; i++) {
      const { qid } = await raw.create(0, 1, 'f', 'one')
      const before = await raw.getattr(1, 0x3fff)
      await raw.ok('Tremove', { fid: 1 })
      const again = (await raw.create(0, 1, 'f', 'two')).qid, after = await raw.getattr(1, 0x3fff)
      assert.ok(again.path !== qid.path || (after.valid & 0x1000 ? after.gen !== before.gen : false), 'path or generation')
      assert.is(await raw.read(1), 'two')
      await raw.ok('Tremove', { fid: 1 })
    }
  }),
  c(66, 'a symlink is one, and as long as its target', async ({ raw }) => {
    await raw.ok('Tsymlink', { dfid: 0, name: 'l', target: 'ein Ziel: \u00e4', gid: 0 })
    await raw.walk(0, 1, 'l')
    const { mode, size } = await raw.getattr(1)
    assert.equal([mode & S.IFMT, size], [S.IFLNK, 12])
    assert.is(await setattr(raw, 1, 1, { mode: 0o600 }), 'EOPNOTSUPP')
    assert.is(await setattr(raw, 1, 0x1f0, { atime: { sec: 5, nsec: 0 }, mtime: { sec: 6, nsec: 0 } }), 'ok')
    assert.is((await raw.getattr(1)).mtime.sec, 6)
    if (process.getuid!() === 0) assert.is(await setattr(raw, 1, 6, { uid: 1000, gid: 1001 }), 'ok')
  }),
  c(67, 'qid.version is not 0, and moves with the content', async ({ raw }) => {
    const seen = new Set([(await raw.create(0, 1, 'f')).qid.version])
    assert.ok(!seen.has(0))
    for (let i = 0; i < 5; i++) {
      await raw.write(1, `${i}`, i)
      await new Promise((resolve) => setTimeout(resolve, 5))
      const { qid } = await raw.getattr(1)
      assert.ok(qid.version !== 0 && !seen.has(qid.version), `write ${i}`)
      seen.add(qid.version)
    }
    const { qid } = await raw.getattr(1)
    await raw.read(1)
    assert.is((await raw.getattr(1)).qid.version, qid.version, 'reading changes nothing')
    await raw.walk(0, 2, 'f')
    assert.is((await raw.getattr(2)).qid.version, qid.version)
  }),
  c(68, 'chmod leaves the type alone', async (t) => {
    const { raw } = t
    await raw.create(0, 1, 'f')
    assert.is(await setattr(raw, 1, 0x41, { mode: 0o100600 }), 'ok')
    assert.is((await raw.getattr(1)).mode, 0o100600)
    assert.is(await setattr(raw, 1, 1, { mode: 0o040755 }), 'ok')
    assert.is((await raw.getattr(1)).mode, 0o100755)
    await raw.mkdir(0, 'd')
    await raw.walk(0, 2, 'd')
    assert.is(await setattr(raw, 2, 1, { mode: 0o1777 }), 'ok')
    assert.is((await raw.getattr(2)).mode, 0o041777)
  }),
  c(69, 'times: now without the SET bits, exact with them', async ({ raw }) => {
    await raw.create(0, 1, 'f')
    for (const time of [{ sec: 1_000_000_000, nsec: 123_456_789 }, { sec: 0, nsec: 0 }, { sec: 4_000_000_000, nsec: 999_999_999 }, { sec: -86_400, nsec: 5 }]) {
      assert.is(await setattr(raw, 1, 0x1f0, { atime: time, mtime: { sec: time.sec, nsec: time.nsec } }), 'ok')
      const { atime, mtime } = await raw.getattr(1)
      assert.equal([atime, mtime], [time, time])
    }
    assert.is(await setattr(raw, 1, 0x10, { atime: { sec: 1, nsec: 1 } }), 'ok')
    assert.ok(Math.abs((await raw.getattr(1)).atime.sec - now()) < 10)
    assert.is((await raw.getattr(1)).mtime.sec, -86_400)
    assert.is(await setattr(raw, 1, 0x20, { mtime: { sec: 1, nsec: 1 } }), 'ok')
    assert.ok(Math.abs((await raw.getattr(1)).mtime.sec - now()) < 10)
    assert.is(await setattr(raw, 1, 0x1f0, { atime: { sec: 1, nsec: 1e9 }, mtime: { sec: 1, nsec: 0 } }), 'EINVAL')
  }),
  c(70, 'truncation by an open fid, and by one that is not', async (t) => {
    const { raw } = t
    await file(t, 'f', '0123456789')
    await raw.walk(0, 1, 'f')
    await raw.open(1, O.WRONLY)
    assert.is(await setattr(raw, 1, 0x68, { size: 4 }), 'ok')
    assert.is((await raw.getattr(1)).size, 4)
    assert.is(await setattr(raw, 1, 0x68, { size: 8 }), 'ok')
    await raw.walk(0, 2, 'f')
    assert.is(await setattr(raw, 2, 0x41, { mode: 0o600 }), 'ok')
    assert.is(await raw.content(0, 'f'), '0123\0\0\0\0')
    assert.is(await setattr(raw, 2, 0x48, { size: 0 }), 'ok')
    assert.is((await raw.getattr(1)).size, 0)
    await raw.walk(0, 3)
    among(await setattr(raw, 3, 0x48, { size: 0 }), 'EISDIR', 'EINVAL')
    await raw.open(3)
    among(await setattr(raw, 3, 0x48, { size: 0 }), 'EISDIR', 'EINVAL')
  }),
  c(71, 'nothing to set, or the change time alone, is well', async ({ raw }) => {
    await raw.create(0, 1, 'f')
    for (const fid of [0, 1]) for (const valid of [0, 0x40, 0x180, 0x200, 0xfffffe00]) assert.is(await setattr(raw, fid, valid), 'ok', valid.toString(16))
  }),
  c(72, 'fields whose bit is not set are not looked at', async (t) => {
    const { raw } = t
    await raw.create(0, 1, 'f', 'text', 0o640)
    const before = await raw.getattr(1)
    assert.is(await setattr(raw, 1, 0x40, { uid: 12, gid: 13, mode: 0o777, size: 1 }), 'ok')
    const after = await raw.getattr(1)
    assert.equal([after.uid, after.gid, after.mode, after.size], [before.uid, before.gid, before.mode, before.size])
    if (!t.stand.owners) return
    assert.is(await setattr(raw, 1, 0x42, { uid: 1000 }), 'ok')
    assert.is(await setattr(raw, 1, 0x44, { gid: 1001 }), 'ok')
    const { uid, gid } = await raw.getattr(1)
    assert.equal([uid, gid], [1000, 1001])
  }),
  c(73, 'Tstatfs on any fid', async ({ raw }) => {
    await raw.create(0, 1, 'f')
    await raw.ok('Tsymlink', { dfid: 0, name: 'l', target: 'f', gid: 0 })
    await raw.walk(0, 2, 'l')
    for (const fid of [0, 1, 2]) {
      const { bytes, fields } = await raw.call('Tstatfs', { fid })
      assert.is(bytes.length, 67)
      assert.ok(fields.bsize > 0 && fields.blocks >= fields.bfree && fields.bfree >= fields.bavail)
      assert.is(fields.namelen, 255)
    }
  }),
  c(74, 'Tfsync with datasync and without, on files and directories, open or not', async ({ raw }) => {
    await raw.create(0, 1, 'f', 'text')
    await raw.walk(0, 2)
    await raw.open(2)
    for (const fid of [1, 2, 0]) {
      for (const body of ['', '00000000', '01000000']) {
        const head = Buffer.alloc(4)
        head.writeUInt32LE(fid)
        const reply = raw.reply(60001)
        raw.bytes(anyFrame(typeOf.Tfsync, 60001, Buffer.concat([head, Buffer.from(body, 'hex')])))
        assert.is((await reply).name, 'Rfsync', `fid ${fid} ${body}`)
      }
    }
  }),
]
