// C21-C34: walking.

import * as assert from 'uvu/assert'
import { frame } from '../raw.ts'
import { c } from '../stand.ts'
import { among, file, ls, setXattr } from './common.ts'

export const walk = [
  c(21, 'nwname 0 to a new fid makes one of the same file', async (t) => {
    const { raw } = t
    await file(t, 'f')
    await raw.ok('Tsymlink', { dfid: 0, name: 'l', target: 'f', gid: 0 })
    for (const name of [[], ['f'], ['l']]) {
      await raw.walk(0, 1, ...name)
      assert.equal(await raw.walk(1, 2), { qids: [] })
      assert.equal((await raw.getattr(2)).qid, (await raw.getattr(1)).qid)
      await raw.clunk(1)
      await raw.getattr(2)
      await raw.clunk(2)
    }
  }),
  c(21, 'nwname 0 to the same fid changes nothing', async ({ raw }) => {
    const { qid } = await raw.getattr(0)
    assert.equal(await raw.walk(0, 0), { qids: [] })
    assert.equal((await raw.getattr(0)).qid, qid)
  }),
  c(22, 'nwname 0 on an open fid gives one that is not open, and can be opened apart', async ({ raw }) => {
    await raw.create(0, 1, 'f', 'text')
    await raw.walk(1, 2)
    assert.is(await raw.refused('Tread', { fid: 2, offset: 0, count: 4 }), 'EBADF')
    await raw.open(2)
    assert.is(await raw.read(2), 'text')
    await raw.clunk(1)
    assert.is(await raw.read(2), 'text')
    assert.is(await raw.refused('Twalk', { fid: 2, newfid: 2, names: [] }), 'EINVAL')
    assert.is(await raw.read(2), 'text')
  }),
  c(23, 'nwname 1 from a directory that is open', async (t) => {
    const { raw } = t
    await file(t, 'f', 'text')
    await raw.walk(0, 1)
    await raw.open(1)
    assert.is((await raw.walk(1, 2, 'f')).qids.length, 1)
    await raw.open(2)
    assert.is(await raw.read(2), 'text')
    assert.is(await raw.refused('Twalk', { fid: 1, newfid: 1, names: ['f'] }), 'EINVAL')
    await raw.ok('Treaddir', { fid: 1, offset: 0n, count: 4000 })
  }),
  c(24, 'newfid equal to fid: it moves if all names are found, and else stays', async (t) => {
    const { raw } = t
    await raw.mkdir(0, 'd')
    await raw.walk(0, 1)
    const here = (await raw.getattr(1)).qid
    assert.is(await raw.refused('Twalk', { fid: 1, newfid: 1, names: ['missing'] }), 'ENOENT')
    assert.equal((await raw.getattr(1)).qid, here)
    assert.is((await raw.walk(1, 1, 'd', 'missing')).qids.length, 1)
    assert.equal((await raw.getattr(1)).qid, here)
    const { qids } = await raw.walk(1, 1, 'd')
    assert.equal((await raw.getattr(1)).qid.path, qids[0]!.path)
    assert.is.not(qids[0]!.path, here.path)
  }),
  c(25, 'newfid in use is EBADF, also where the walk would be partial or fail; both fids stay', async (t) => {
    const { raw } = t
    await raw.mkdir(0, 'd')
    await file(t, 'f', 'text')
    await raw.walk(0, 1, 'f')
    await raw.walk(0, 2)
    for (const names of [['d'], [], ['d', 'missing'], ['missing']]) assert.is(await raw.refused('Twalk', { fid: 2, newfid: 1, names }), 'EBADF', names.join())
    await raw.open(1)
    assert.is(await raw.read(1), 'text')
    assert.equal((await raw.getattr(2)).qid.path, (await raw.getattr(0)).qid.path)
  }),
  c(26, 'a fid that nobody made is EBADF', async ({ raw }) => {
    const fid = 77
    for (const refused of [
      raw.refused('Twalk', { fid, newfid: 78, names: [] }), raw.refused('Tclunk', { fid }), raw.refused('Tremove', { fid }), raw.refused('Tgetattr', { fid, mask: 1 }),
      raw.refused('Tlopen', { fid, flags: 0 }), raw.refused('Tread', { fid, offset: 0, count: 1 }), raw.refused('Twrite', { fid, offset: 0, data: Buffer.from('x') }),
      raw.refused('Treaddir', { fid, offset: 0n, count: 100 }), raw.refused('Tmkdir', { dfid: fid, name: 'd', mode: 0o755, gid: 0 }), raw.refused('Tlink', { dfid: 0, fid, name: 'l' }),
      raw.refused('Tlink', { dfid: fid, fid: 0, name: 'l' }), raw.refused('Trename', { fid, dfid: 0, name: 'x' }), raw.refused('Trename', { fid: 0, dfid: fid, name: 'x' }).then((e) => e === 'EBUSY' ? 'EBADF' : e),
      raw.refused('Trenameat', { olddirfid: fid, oldname: 'a', newdirfid: 0, newname: 'b' }), raw.refused('Trenameat', { olddirfid: 0, oldname: 'a', newdirfid: fid, newname: 'b' }),
      raw.refused('Tunlinkat', { dirfid: fid, name: 'a', flags: 0 }), raw.refused('Txattrwalk', { fid, newfid: 78, name: '' }), raw.refused('Txattrcreate', { fid, name: 'user.a', attrSize: 1, flags: 0 }),
      raw.refused('Tstatfs', { fid }), raw.refused('Tfsync', { fid, datasync: 0 }), raw.refused('Treadlink', { fid }),
      raw.refused('Tlock', { fid, type: 0, flags: 0, start: 0n, length: 0n, procId: 1, clientId: '' }), raw.refused('Tgetlock', { fid, type: 0, start: 0n, length: 0n, procId: 1, clientId: '' }),
      raw.refused('Tsymlink', { dfid: fid, name: 'l', target: 't', gid: 0 }), raw.refused('Tmknod', { dfid: fid, name: 'n', mode: 0o100644, major: 0, minor: 0, gid: 0 }),
      raw.refused('Tlcreate', { fid, name: 'n', flags: 0, mode: 0, gid: 0 }),
    ]) assert.is(await refused, 'EBADF')
  }),
  c(27, 'one missing name is ENOENT, and newfid stays unused', async ({ raw }) => {
    assert.is(await raw.refused('Twalk', { fid: 0, newfid: 1, names: ['missing'] }), 'ENOENT')
    assert.is(await raw.refused('Tclunk', { fid: 1 }), 'EBADF')
    await raw.walk(0, 1)
  }),
  c(28, 'a name that is missing later gives the qids before, and no newfid', async (t) => {
    const { raw } = t
    await raw.mkdir(0, 'dir')
    assert.is((await raw.walk(0, 1, 'dir', 'missing')).qids.length, 1)
    assert.is(await raw.refused('Tclunk', { fid: 1 }), 'EBADF')
    await raw.walk(0, 1, 'dir')
    await raw.mkdir(1, 'in')
    assert.is((await raw.walk(0, 2, 'dir', 'in', 'missing', 'more')).qids.length, 2)
    assert.is(await raw.refused('Tclunk', { fid: 2 }), 'EBADF')
  }),
  c(29, 'through a file it goes no further', async (t) => {
    const { raw } = t
    await file(t, 'file')
    assert.is((await raw.walk(0, 1, 'file', 'x')).qids.length, 1)
    assert.is(await raw.refused('Tclunk', { fid: 1 }), 'EBADF')
    await raw.walk(0, 1, 'file')
    assert.is(await raw.refused('Twalk', { fid: 1, newfid: 2, names: ['x'] }), 'ENOTDIR')
    assert.is(await raw.refused('Twalk', { fid: 1, newfid: 2, names: ['..'] }), 'ENOTDIR')
    assert.is(await raw.refused('Twalk', { fid: 1, newfid: 1, names: ['x'] }), 'ENOTDIR')
  }),
  c(30, '16 names are walked, 17 are EINVAL', async ({ raw }) => {
    const names: string[] = []
    await raw.walk(0, 1)
    for (let i = 0; i < 16; i++) {
      names.push(`d${i}`)
      await raw.mkdir(1, `d${i}`)
      await raw.walk(1, 1, `d${i}`)
    }
    const { qids } = await raw.walk(0, 2, ...names)
    assert.is(qids.length, 16)
    assert.is(new Set(qids.map(({ path }) => path)).size, 16)
    assert.equal((await raw.getattr(2)).qid, (await raw.getattr(1)).qid)
    assert.is(await raw.refused('Twalk', { fid: 0, newfid: 3, names: [...names, 'x'] }), 'EINVAL')
    assert.is(await raw.refused('Tclunk', { fid: 3 }), 'EBADF')
    assert.is((await raw.walk(0, 3, ...names.slice(0, 2))).qids.length, 2)
  }),
  c(31, '.. at the root is the root', async (t) => {
    const { raw } = t, root = (await raw.getattr(0)).qid.path
    await raw.mkdir(0, 'a')
    const up = await raw.walk(0, 1, '..')
    assert.equal(up.qids.map(({ path }) => path), [root])
    const { qids } = await raw.walk(0, 2, '..', '..', 'a')
    assert.equal(qids.map(({ path }) => path), [root, root, (await raw.walk(0, 3, 'a')).qids[0]!.path])
    assert.equal((await raw.walk(3, 4, '..')).qids.map(({ path }) => path), [root])
    assert.equal((await raw.walk(2, 5, '..', '..', '..', 'a')).qids.length, 4)
    // What was reached by '..' is a fid like any other.
    await raw.mkdir(4, 'b')
    assert.equal(await ls(raw), ['a', 'b'])
  }),
  c(32, 'names that are none never resolve', async (t) => {
    const { raw } = t
    await raw.mkdir(0, 'a')
    await raw.walk(0, 1, 'a')
    await raw.mkdir(1, 'b')
    for (const name of ['a/b', '', 'a\0', '\0', '/', 'a/', '/a', '../a']) {
      among(await raw.refused('Twalk', { fid: 0, newfid: 2, names: [name] }), 'EINVAL', 'ENOENT')
      assert.is((await raw.walk(0, 2, 'a', name)).qids.length, 1, JSON.stringify(name))
      assert.is(await raw.refused('Tclunk', { fid: 2 }), 'EBADF')
    }
    assert.is(await raw.refused('Twalk', { fid: 0, newfid: 2, names: ['n'.repeat(256)] }), 'ENAMETOOLONG')
    assert.is(await raw.refused('Twalk', { fid: 0, newfid: 2, names: ['\u00e9'.repeat(128)] }), 'ENAMETOOLONG')
  }),
  c(32, 'a dot is the directory it is asked of', async (t) => {
    const { raw } = t
    await raw.mkdir(0, 'a')
    await file(t, 'f')
    const { qids: [a] } = await raw.walk(0, 1, 'a'), root = (await raw.getattr(0)).qid
    assert.equal((await raw.walk(0, 2, '.')).qids, [root])
    assert.equal((await raw.walk(0, 3, '.', 'a', '.', '.')).qids, [root, a, a, a])
    assert.equal((await raw.walk(1, 1, '.')).qids, [a])
    await raw.mkdir(1, 'b')
    assert.equal(await ls(raw, 'a'), ['b'])
    assert.is((await raw.walk(0, 4, 'f', '.')).qids.length, 1)
    await raw.ok('Tremove', { fid: 2 }).then(() => assert.unreachable('the root is gone'), () => {})
    await raw.walk(1, 5, 'b')
    await raw.walk(5, 6, '.')
    await raw.ok('Trename', { fid: 6, dfid: 0, name: 'moved' })
    assert.equal(await ls(raw), ['a', 'f', 'moved'])
  }),
  c(33, 'a symlink is itself, and in the middle the end', async (t) => {
    const { raw } = t
    await raw.mkdir(0, 'd')
    await raw.walk(0, 1, 'd')
    await raw.file(1, 'f')
    await raw.ok('Tsymlink', { dfid: 0, name: 'l', target: 'd', gid: 0 })
    const { qids } = await raw.walk(0, 2, 'l')
    assert.is(qids[0]!.type, 0x02)
    assert.equal((await raw.getattr(2)).qid, qids[0])
    assert.is((await raw.walk(0, 3, 'l', 'f')).qids.length, 1)
    assert.is(await raw.refused('Tclunk', { fid: 3 }), 'EBADF')
    assert.is(await raw.refused('Twalk', { fid: 2, newfid: 3, names: ['f'] }), 'ENOTDIR')
    assert.is(await raw.refused('Tlopen', { fid: 2, flags: 0 }), 'ELOOP')
  }),
  c(34, 'from the fid of an attribute nothing is walked', async (t) => {
    const { raw } = t
    if (t.stand.xattrs) await setXattr(raw, '', 'user.a', Buffer.from('value'))
    await raw.ok('Txattrwalk', { fid: 0, newfid: 1, name: '' })
    for (const names of [[], ['x'], ['..']]) among(await raw.refused('Twalk', { fid: 1, newfid: 2, names }), 'EBADF', 'EINVAL')
    among(await raw.refused('Twalk', { fid: 1, newfid: 1, names: [] }), 'EBADF', 'EINVAL')
    among(await raw.refused('Tlopen', { fid: 1, flags: 0 }), 'EBADF', 'EINVAL')
    among(await raw.refused('Tgetattr', { fid: 1, mask: 1 }), 'EBADF', 'EINVAL')
    among(await raw.refused('Txattrwalk', { fid: 1, newfid: 3, name: '' }), 'EBADF', 'EINVAL')
    among(await raw.refused('Tmkdir', { dfid: 1, name: 'd', mode: 0o755, gid: 0 }), 'EBADF', 'EINVAL')
    await raw.clunk(1)
  }),
  c(34, 'a walk in the same segment as what it needs, or what ends it', async (t) => {
    const { raw } = t
    await raw.mkdir(0, 'd')
    for (let round = 0; round < 10; round++) {
      raw.bytes(
        frame('Twalk', 60001, { fid: 0, newfid: 1, names: ['d'] }), frame('Tclunk', 60002, { fid: 1 }), frame('Twalk', 60003, { fid: 0, newfid: 1, names: ['d'] }),
        frame('Tgetattr', 60004, { fid: 1, mask: 1 }), frame('Twalk', 60005, { fid: 1, newfid: 1, names: ['..'] }),
      )
      const [walked, clunked, again] = [await raw.reply(60001), await raw.reply(60002), await raw.reply(60003)]
      assert.is(walked.name, 'Rwalk')
      // Where walks take their time the clunk finds no fid yet, and the second walk a number that is taken.
      assert.equal([clunked.name, again.name].sort(), clunked.name === 'Rclunk' ? ['Rclunk', 'Rwalk'] : ['Rlerror', 'Rlerror'])
      await raw.reply(60004)
      await raw.reply(60005)
      await raw.clunk(1)
      assert.is(await raw.refused('Tclunk', { fid: 1 }), 'EBADF')
    }
  }),
]
