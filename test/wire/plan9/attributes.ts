// C64-C78 and C94-C97 in 9P2000 and 9P2000.u: Tstat, Twstat.

import { DM, DONT_TOUCH, OPEN, S } from 'ninep'
import type { UnixStat } from 'ninep'
import * as assert from 'uvu/assert'
import { among } from '../cases/common.ts'
import { anyFrame } from '../raw.ts'
import { both, plain, unix } from './common.ts'
import { me } from './client.ts'

/** What a refused Twstat must not have changed. */
const kept = ({ qid: { path }, mode, mtime, length, name, uid, gid }: UnixStat) => ({ path, mode, mtime, length, name, uid, gid })

export const attributes = [
  both(64, 'a stat says what a Tgetattr says', async ({ p, raw, unix, stand }) => {
    await p.file(0, 'f', 'text', 0o640)
    await p.walk(0, 1, 'f')
    await raw.walk(0, 1, 'f')
    await raw.ok('Tsetattr', { fid: 1, valid: 0x1b0, mode: 0, uid: 0, gid: 0, size: 0, atime: { sec: 1e9, nsec: 5 }, mtime: { sec: 1.1e9, nsec: 7 } })
    const { qid, ...stat } = await p.stat(1), attr = await raw.getattr(1)
    assert.equal(qid, attr.qid)
    assert.equal([stat.type, stat.dev, stat.name, stat.mode, stat.length, stat.atime, stat.mtime], [0, 0, 'f', 0o640, 4, 1e9, 1.1e9])
    if (stand.owners) assert.is(stat.uid, me)
    assert.ok(stat.uid !== '' && stat.gid !== '')
    if (unix) assert.equal([stat.nUid, stat.nGid, stat.extension], [attr.uid, attr.gid, stat.extension.trim() === '' ? stat.extension : ` HARDLINKCOUNT ${attr.nlink}`])
  }),
  both(65, 'the same file has the same qid in Rwalk, Rstat, Ropen and in a directory; another has another', async ({ p }) => {
    await p.file(0, 'f')
    await p.mkdir(0, 'd')
    const seen: bigint[] = []
    for (const name of ['f', 'd']) {
      const { qids: [qid] } = await p.walk(0, 1, name)
      assert.equal((await p.stat(1)).qid, qid)
      assert.equal((await p.open(1)).qid, qid)
      await p.clunk(1)
      await p.walk(0, 2)
      await p.open(2)
      assert.equal((await p.listing(2)).find((stat) => stat.name === name)!.qid, qid)
      await p.clunk(2)
      seen.push(qid!.path)
    }
    assert.is.not(seen[0], seen[1])
    for (const path of seen) assert.ok(path < 2n ** 56n, '9pfuse keeps the type in the highest byte')
  }),
  unix(66, 'a symlink is as long as its target; special files have their bits', async ({ p, raw }) => {
    await raw.ok('Tsymlink', { dfid: 0, name: 'l', target: 'caf\udce9', gid: 0 })
    await raw.ok('Tmknod', { dfid: 0, name: 'p', mode: S.IFIFO | 0o644, major: 0, minor: 0, gid: 0 })
    await raw.ok('Tmknod', { dfid: 0, name: 's', mode: S.IFSOCK | 0o644, major: 0, minor: 0, gid: 0 })
    const link = await p.statAt(0, 'l')
    assert.equal([link.mode, link.extension, link.length, link.qid.type], [DM.SYMLINK + 0o777, 'caf\udce9', 4, 0x02])
    assert.equal([(await p.statAt(0, 'p')).mode, (await p.statAt(0, 's')).mode], [DM.NAMEDPIPE + 0o644, DM.SOCKET + 0o644])
  }),
  both(67, 'the version moves with the content, and is not 0', async ({ p }) => {
    await p.create(0, 1, 'f')
    const versions = [(await p.stat(1)).qid.version]
    for (const [does, text] of [['write', 'a'], ['write', 'b'], ['truncate', '']] as const) {
      await new Promise((resolve) => setTimeout(resolve, 20))     // where it is made of the time of the last change
      if (does === 'write') await p.write(1, text)
      else assert.is(await p.wstat(1, { length: 0 }), 'ok')
      versions.push((await p.stat(1)).qid.version)
    }
    assert.is(new Set(versions).size, 4, versions.join())
    assert.ok(!versions.includes(0))
  }),
  plain(68, 'the bits of 9P2000.u are not shown in 9P2000', async ({ p, raw }) => {
    await raw.file(0, 'f', '', 0o6755)
    await raw.walk(0, 1, 'f')
    await raw.ok('Tsetattr', { fid: 1, valid: 1, mode: 0o7755, uid: 0, gid: 0, size: 0, atime: { sec: 0, nsec: 0 }, mtime: { sec: 0, nsec: 0 } })
    assert.is((await p.statAt(0, 'f')).mode, 0o755)
    // A chmod that could not see them does not take them.
    await p.walk(0, 1, 'f')
    assert.is(await p.wstat(1, { mode: 0o700 }), 'ok')
    assert.is((await raw.getattr(1)).mode & 0o777, 0o700)
  }),
  both(68, 'Twstat of the mode sets the permission', async ({ p, raw, unix }) => {
    await p.file(0, 'f')
    await p.mkdir(0, 'd')
    await p.walk(0, 1, 'f')
    await p.walk(0, 2, 'd')
    for (const mode of [0o600, 0, 0o777]) {
      assert.is(await p.wstat(1, { mode }), 'ok')
      assert.is((await p.stat(1)).mode, mode)
      assert.is(await p.wstat(2, { mode: DM.DIR + mode }), 'ok')
      assert.is((await p.stat(2)).mode, DM.DIR + mode)
    }
    if (!unix) return
    assert.is(await p.wstat(1, { mode: DM.SETUID + DM.SETGID + DM.SETVTX + 0o755 }), 'ok')
    assert.is((await p.stat(1)).mode, DM.SETUID + DM.SETGID + DM.SETVTX + 0o755)
    await raw.walk(0, 1, 'f')
    assert.is((await raw.getattr(1)).mode, S.IFREG | 0o7755)
  }),
  both(69, 'Twstat of the times sets whole seconds', async ({ p }) => {
    await p.create(0, 1, 'f')
    assert.is(await p.wstat(1, { mtime: 1_000_000_000 }), 'ok')
    const after = await p.stat(1)
    assert.is(after.mtime, 1_000_000_000)
    assert.is(await p.wstat(1, { atime: 1_100_000_000, mtime: 1_200_000_000 }), 'ok', 'from 9pfuse')
    const both = await p.stat(1)
    assert.equal([both.atime, both.mtime], [1_100_000_000, 1_200_000_000])
    assert.is(await p.wstat(1, { atime: 1_300_000_000 }), 'ok')
    assert.equal([(await p.stat(1)).atime, (await p.stat(1)).mtime], [1_300_000_000, 1_200_000_000])
    for (const mtime of [0, 2 ** 31, 2 ** 32 - 2]) {
      assert.is(await p.wstat(1, { mtime }), 'ok', String(mtime))
      assert.is((await p.stat(1)).mtime, mtime)
    }
  }),
  both(70, 'Twstat of the length alone truncates and extends, on open fids and others', async ({ p }) => {
    await p.create(0, 1, 'f', 0o644, OPEN.WRITE)
    await p.write(1, '0123456789')
    await p.walk(0, 2, 'f')
    for (const fid of [1, 2]) {
      for (const length of [4, 12, 0, 5]) {
        assert.is(await p.wstat(fid, { length }), 'ok')
        assert.is((await p.stat(2)).length, length)
      }
    }
    assert.is(await p.content(2), '\0\0\0\0\0')
    await p.mkdir(0, 'd')
    await p.walk(0, 3, 'd')
    assert.is(await p.wstat(3, { length: 0 }), 'ok', 'of a directory nothing but 0')
    among(await p.wstat(3, { length: 1 }), 'EISDIR', 'EINVAL')
    among(await p.wstat(1, { length: 2 ** 60 }), 'EFBIG', 'EINVAL')
  }),
  unix(72, 'owners change by their numbers, and stay where those are all ones', async (t) => {
    const { p } = t
    if (!t.stand.owners) return
    await p.create(0, 1, 'f')
    const before = await p.stat(1)
    assert.is(await p.wstat(1, { nUid: 1000 }), 'ok')
    assert.equal([(await p.stat(1)).nUid, (await p.stat(1)).nGid], [1000, before.nGid])
    assert.is(await p.wstat(1, { nGid: 1001 }), 'ok')
    assert.equal([(await p.stat(1)).nUid, (await p.stat(1)).nGid], [1000, 1001])
    const other = await t.client(65536, t.somebody)
    await other.walk(0, 1, 'f')
    among(await other.wstat(1, { nUid: 65534 }), 'EPERM', 'EACCES')
    among(await other.wstat(1, { nGid: 65534 }), 'EPERM', 'EACCES')
  }),
  both(72, 'the group changes by its name', async (t) => {
    const { p } = t
    if (!t.stand.owners) return
    await p.create(0, 1, 'f')
    assert.is(await p.wstat(1, { gid: 'daemon' }), 'ok')
    assert.is((await p.stat(1)).gid, 'daemon')
    among(await p.wstat(1, { gid: 'no such group' }), 'EINVAL', 'EPERM', 'ENOENT')
    assert.is((await p.stat(1)).gid, 'daemon')
  }),
  both(75, 'Tstat of the root: its name is /, and n is the inner size and 2', async (t) => {
    const p = await t.client(8192, me, '')
    const { bytes, fields: { stat } } = await p.call('Tstat', { fid: 0 })
    assert.equal([stat.name, stat.length, stat.qid.type, stat.mode & DM.DIR, stat.type, stat.dev], ['/', 0, 0x80, stat.mode & DM.DIR, 0, 0])
    assert.is(bytes.readUInt16LE(7), bytes.readUInt16LE(9) + 2)
    assert.is((await t.p.stat(0)).name, '/', 'so is the root of an attach further down')
    assert.ok(stat.mode >= DM.DIR)
  }),
  both(76, 'Twstat that touches nothing is an fsync of any fid', async (t) => {
    const { p } = t
    await p.file(0, 'f', 'text', 0o444)
    await p.mkdir(0, 'd')
    for (const name of ['f', 'd']) {
      await p.walk(0, 1, name)
      const before = await p.stat(1)
      assert.is(await p.wstat(1, {}), 'ok')
      await p.open(1)
      assert.is(await p.wstat(1, {}), 'ok')
      assert.equal(await p.stat(1), before)
      await p.clunk(1)
    }
    await p.create(0, 2, 'g')
    await p.write(2, 'x')
    assert.is(await p.wstat(2, {}), 'ok')
    assert.is(await p.wstat(0, {}), 'ok')
    const ro = await t.client(8192, t.somebody, '/ro')
    assert.is(await ro.wstat(0, {}), 'ok', 'where nothing may be changed')
    if (!t.stand.owners) return
    const other = await t.client(65536, t.somebody)
    await other.walk(0, 1, 'f')
    assert.is(await other.wstat(1, {}), 'ok', 'of another\'s file')
  }),
  plain(76, 'the frame of it, as the reference has it', async ({ p }) => {
    await p.create(0, 1, 'f')
    const body = '01000000 3100 2f00 ffff ffffffff ff ffffffff ffffffffffffffff ffffffff ffffffff ffffffff ffffffffffffffff 0000 0000 0000 0000'
    const reply = p.reply(1)
    p.bytes(anyFrame(126, 1, Buffer.from(body.replaceAll(' ', ''), 'hex')))
    assert.is((await reply).bytes.toString('hex'), '070000007f0100')
  }),
  both(77, 'Twstat of the name renames in its directory, and the fid follows', async (t) => {
    const { p } = t
    await p.create(0, 1, 'f')
    await p.write(1, 'text')
    await p.walk(0, 2, 'f')
    assert.is(await p.wstat(2, { name: 'g' }), 'ok')
    assert.equal([(await p.stat(1)).name, (await p.stat(2)).name, await p.ls(0)], ['g', 'g', ['g']])
    assert.is(await p.wstat(1, { name: 'h', muid: 'glenda' }), 'ok', 'with muid, as Linux says it, on a fid that is open')
    assert.equal([await p.ls(0), await p.read(1)], [['h'], 'text'])
    assert.is(await p.wstat(1, { name: 'h' }), 'ok', 'to what it is called')
    for (const name of ['a/b', '/', '.', '..', 'n'.repeat(256), 'x\0']) among(await p.wstat(1, { name }), 'EINVAL', 'ENOENT', 'EEXIST', 'ENAMETOOLONG', 'EBUSY', 'EISDIR')
    assert.equal(await p.ls(0), ['h'])
    await p.mkdir(0, 'd')
    await p.walk(0, 3, 'd')
    await p.file(3, 'in')
    assert.is(await p.wstat(3, { name: 'e' }), 'ok')
    assert.equal([await p.ls(0), await p.ls(3)], [['e', 'h'], ['in']])
    await p.clunk(2)
    await p.walk(3, 2, 'in')
    assert.is(await p.wstat(2, { name: 'out' }), 'ok')
    assert.equal(await p.ls(3), ['out'])
    among(await p.wstat(0, { name: 'root' }), 'EBUSY', 'EINVAL', 'EPERM', 'EACCES')
  }),
  plain(77, 'to a name that exists it is File exists', async ({ p }) => {
    await p.file(0, 'f', 'f')
    await p.file(0, 'g', 'g')
    await p.mkdir(0, 'd')
    await p.walk(0, 1, 'f')
    for (const name of ['g', 'd']) assert.is(await p.wstat(1, { name }), 'EEXIST')
    assert.equal([await p.content(0, 'f'), await p.content(0, 'g')], ['f', 'g'])
  }),
  unix(77, 'to a name that exists it replaces that, or is refused, and nothing is lost', async ({ p }) => {
    await p.file(0, 'f', 'f')
    await p.file(0, 'g', 'g')
    await p.mkdir(0, 'd')
    await p.walk(0, 1, 'f')
    among(await p.wstat(1, { name: 'd' }), 'EEXIST', 'EISDIR')
    const outcome = await p.wstat(1, { name: 'g' })
    among(outcome, 'ok', 'EEXIST')
    assert.equal(await p.ls(0), outcome === 'ok' ? ['d', 'g'] : ['d', 'f', 'g'])
    assert.is(await p.content(0, 'g'), outcome === 'ok' ? 'f' : 'g')
  }),
  both(77, 'Twstat of a name wants the right to write the directory, and not to own the file', async (t) => {
    if (!t.stand.owners) return
    const { p } = t
    await p.mkdir(0, 'd', 0o755)
    await p.walk(0, 1, 'd')
    await p.file(1, 'f')
    const other = await t.client(65536, t.somebody)
    await other.walk(0, 1, 'd', 'f')
    assert.is(await other.wstat(1, { name: 'g' }), 'EACCES')
    assert.is(await p.wstat(1, { mode: DM.DIR + 0o777 }), 'ok')
    assert.is(await other.wstat(1, { name: 'g' }), 'ok')
    for (const change of [{ mode: 0o777 }, { mtime: 1e9 }, { length: 0 }] as const) among(await other.wstat(1, change), 'EPERM', 'EACCES')
    assert.equal(await p.ls(1), ['g'])
  }),
  both(78, 'all or nothing: what is illegal in one field keeps the others from being changed', async (t) => {
    const { p } = t
    await p.file(0, 'f', 'text')
    await p.mkdir(0, 'd')
    await p.file(0, 'taken')
    for (const [name, wrong] of [
      ['f', { mode: DM.DIR + 0o600, name: 'x', mtime: 1e9 }], ['f', { mode: DM.DIR + 0o600, length: 0 }], ['d', { mode: 0o700, name: 'x' }], ['d', { length: 7, name: 'x', mode: DM.DIR + 0o700 }],
      ['f', { name: 'a/b', mode: 0o600, length: 0 }], ['f', { name: '.', mode: 0o600, length: 0, mtime: 1e9 }], ['f', { length: 2 ** 62, mode: 0o600, name: 'x' }],
      ['f', { qid: { type: 0, version: 0, path: 0n }, name: 'x' }], ['f', { type: 1, name: 'x' }], ['f', { dev: 1, name: 'x' }], ['f', { uid: 'another', mode: 0o600, name: 'x' }],
      ['f', { gid: 'no such group', mode: 0o600, name: 'x', length: 0 }],
      ...t.unix ? [] : [['f', { name: 'taken', mode: 0o600, length: 0 }]] as const,
    ] as readonly (readonly [string, Partial<UnixStat>])[]) {
      await p.walk(0, 1, name)
      const before = kept(await p.stat(1))
      const outcome = await p.wstat(1, wrong)
      const shown = JSON.stringify(wrong, (_, value: unknown) => typeof value === 'bigint' ? String(value) : value)
      assert.is.not(outcome, 'ok', shown)
      assert.equal(kept(await p.stat(1)), before, shown)
      assert.equal(await p.ls(0), ['d', 'f', 'taken'], shown)
      await p.clunk(1)
    }
  }),
  both(78, 'all at once, where all is legal', async ({ p, unix }) => {
    await p.create(0, 1, 'f')
    await p.write(1, 'text')
    assert.is(await p.wstat(1, { name: 'g', mode: 0o600, mtime: 1e9, length: 2 }), 'ok')
    const { name, mode, mtime, length } = await p.stat(1)
    assert.equal([name, mode, mtime, length], ['g', 0o600, 1e9, 2])
    // The whole stat as it was read, with one field changed, is what careless clients send.
    const stat = { ...await p.stat(1), name: 'h' }
    assert.is(await p.outcome('Twstat', { fid: 1, stat }), 'ok')
    assert.equal(await p.ls(0), ['h'])
    if (unix) assert.is(await p.outcome('Twstat', { fid: 1, stat: { ...DONT_TOUCH, name: 'i', extension: 'ignored' } }), 'ok')
  }),
  both(95, 'after a rename by anybody all fids go on, with the same qids', async ({ p, raw }) => {
    await p.mkdir(0, 'a')
    await p.mkdir(0, 'b')
    await p.walk(0, 1, 'a')
    await p.create(1, 2, 'f')
    await p.write(2, 'text')
    await p.walk(1, 3, 'f')
    const before = [(await p.stat(1)).qid.path, (await p.stat(2)).qid.path]
    await raw.walk(0, 6, 'b')
    await raw.ok('Trenameat', { olddirfid: 0, oldname: 'a', newdirfid: 6, newname: 'moved' })
    assert.equal([(await p.stat(1)).qid.path, (await p.stat(2)).qid.path], before)
    assert.equal([(await p.stat(1)).name, await p.read(2)], ['moved', 'text'])
    assert.is(await p.wstat(3, { name: 'g' }), 'ok')
    assert.equal(await p.ls(0, 'b', 'moved'), ['g'])
    await p.ok('Tremove', { fid: 3 })
    assert.equal(await p.ls(0, 'b', 'moved'), [])
  }),
  both(97, 'a read-only export: each change is refused, reading is not', async (t) => {
    const { raw } = t, dir = `old-${t.aname}-${t.unix}`
    await raw.attach(1, '/')
    await raw.walk(1, 2, 'ro')
    await raw.mkdir(2, dir)
    await raw.walk(2, 3, dir)
    await raw.file(3, 'f', 'text')
    await raw.mkdir(3, 'd')
    const p = await t.client(65536, me, `/ro/${dir}`)
    await p.walk(0, 1, 'f')
    for (const change of [
      () => p.creation(0, 'x'), () => p.creation(0, 'x', DM.DIR + 0o755), () => p.creation(0, 'f'),
      () => p.outcome('Topen', { fid: 1, mode: OPEN.WRITE }), () => p.outcome('Topen', { fid: 1, mode: OPEN.TRUNC }), () => p.outcome('Topen', { fid: 1, mode: OPEN.RCLOSE }),
      () => p.wstat(1, { name: 'x' }), () => p.wstat(1, { mode: 0o600 }), () => p.wstat(1, { length: 0 }), () => p.wstat(1, { mtime: 1 }),
    ]) {
      const outcome = await change()
      if (outcome !== 'EEXIST') assert.is(outcome, 'EROFS')
    }
    await p.walk(0, 2, 'd')
    assert.is(await p.refused('Tremove', { fid: 2 }), 'EROFS')
    assert.is(await p.wstat(1, {}), 'ok')
    await p.open(1)
    assert.is(await p.read(1), 'text')
    assert.equal(await p.ls(0), ['d', 'f'])
  }),
]
