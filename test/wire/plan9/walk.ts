// C21-C33 in 9P2000 and 9P2000.u: walking.

import { DM } from 'ninep'
import * as assert from 'uvu/assert'
import { among, file } from '../cases/common.ts'
import { both, plain, unix } from './common.ts'

export const walk = [
  both(21, 'nwname 0 to a new fid makes one of the same file; to the same fid it changes nothing', async ({ p }) => {
    await p.file(0, 'f')
    await p.walk(0, 1, 'f')
    assert.equal(await p.walk(1, 2), { qids: [] })
    assert.equal((await p.stat(2)).qid, (await p.stat(1)).qid)
    await p.clunk(1)
    assert.equal(await p.walk(2, 2), { qids: [] })
    await p.stat(2)
  }),
  both(22, 'nwname 0 on an open fid gives one that is not open, and can be opened apart', async ({ p }) => {
    await p.create(0, 1, 'f')
    await p.write(1, 'text')
    await p.walk(1, 2)
    among(await p.refused('Tread', { fid: 2, offset: 0, count: 4 }), 'EBADF', 'EINVAL')
    await p.open(2)
    assert.is(await p.read(2), 'text')
    among(await p.refused('Twalk', { fid: 2, newfid: 2, names: [] }), 'EINVAL', 'EBADF')
    assert.is(await p.read(2), 'text')
  }),
  both(23, 'nwname 1 from a directory that is open', async ({ p }) => {
    await p.file(0, 'f', 'text')
    await p.walk(0, 1)
    await p.open(1)
    assert.is((await p.walk(1, 2, 'f')).qids.length, 1)
    await p.open(2)
    assert.is(await p.read(2), 'text')
    assert.equal((await p.listing(1)).map(({ name }) => name), ['f'])
  }),
  both(24, 'newfid equal to fid: it moves if all names are found, and else stays', async ({ p }) => {
    await p.mkdir(0, 'd')
    await p.walk(0, 1)
    const here = (await p.stat(1)).qid.path
    assert.is(await p.refused('Twalk', { fid: 1, newfid: 1, names: ['missing'] }), 'ENOENT')
    assert.is((await p.walk(1, 1, 'd', 'missing')).qids.length, 1)
    assert.is((await p.stat(1)).qid.path, here)
    const { qids } = await p.walk(1, 1, 'd')
    assert.equal((await p.stat(1)).qid.path, qids[0]!.path)
  }),
  both(25, 'newfid in use is refused, also where the walk would be partial; both fids stay', async ({ p }) => {
    await p.mkdir(0, 'd')
    await p.file(0, 'f', 'text')
    await p.walk(0, 1, 'f')
    await p.walk(0, 2)
    for (const names of [['d'], [], ['d', 'missing'], ['missing']]) among(await p.refused('Twalk', { fid: 2, newfid: 1, names }), 'EBADF', 'EINVAL')
    await p.open(1)
    assert.is(await p.read(1), 'text')
    assert.is((await p.stat(2)).qid.path, (await p.stat(0)).qid.path)
  }),
  both(26, 'a fid that nobody made is Bad file descriptor', async ({ p }) => {
    const fid = 77
    for (const refused of [
      p.refused('Twalk', { fid, newfid: 78, names: [] }), p.refused('Tclunk', { fid }), p.refused('Tremove', { fid }), p.refused('Tstat', { fid }), p.wstat(fid, {}), p.refused('Topen', { fid, mode: 0 }),
      p.refused('Tread', { fid, offset: 0, count: 1 }), p.refused('Twrite', { fid, offset: 0, data: Buffer.from('x') }), p.refused('Tcreate', { fid, name: 'n', perm: 0, mode: 0, extension: '' }),
    ]) assert.is(await refused, 'EBADF')
  }),
  both(27, 'one missing name is an error, and newfid stays unused', async ({ p }) => {
    assert.is(await p.refused('Twalk', { fid: 0, newfid: 1, names: ['missing'] }), 'ENOENT')
    assert.is(await p.refused('Tclunk', { fid: 1 }), 'EBADF')
    await p.walk(0, 1)
  }),
  both(28, 'a name that is missing later gives the qids before, and no newfid', async ({ p }) => {
    await p.mkdir(0, 'dir')
    assert.is((await p.walk(0, 1, 'dir', 'missing', 'more')).qids.length, 1)
    assert.is(await p.refused('Tclunk', { fid: 1 }), 'EBADF')
  }),
  both(29, 'through a file it goes no further', async ({ p }) => {
    await p.file(0, 'file')
    assert.is((await p.walk(0, 1, 'file', 'x')).qids.length, 1)
    assert.is(await p.refused('Tclunk', { fid: 1 }), 'EBADF')
    await p.walk(0, 1, 'file')
    assert.is(await p.refused('Twalk', { fid: 1, newfid: 2, names: ['x'] }), 'ENOTDIR')
  }),
  both(30, '16 names are walked, 17 are Invalid argument', async ({ p }) => {
    const names: string[] = []
    await p.walk(0, 1)
    for (let i = 0; i < 16; i++) {
      names.push(`d${i}`)
      await p.mkdir(1, `d${i}`)
      await p.walk(1, 1, `d${i}`)
    }
    assert.is((await p.walk(0, 2, ...names)).qids.length, 16)
    assert.is((await p.stat(2)).name, 'd15')
    assert.is(await p.refused('Twalk', { fid: 0, newfid: 3, names: [...names, 'x'] }), 'EINVAL')
    assert.is(await p.refused('Tclunk', { fid: 3 }), 'EBADF')
  }),
  both(31, '.. at the root is the root', async ({ p }) => {
    const root = (await p.stat(0)).qid.path
    await p.mkdir(0, 'a')
    assert.equal((await p.walk(0, 1, '..')).qids.map(({ path }) => path), [root])
    const { qids } = await p.walk(0, 2, '..', '..', 'a')
    assert.equal(qids.map(({ path }) => path), [root, root, (await p.walk(0, 3, 'a')).qids[0]!.path])
    assert.equal((await p.walk(3, 4, '..')).qids.map(({ path }) => path), [root])
    assert.is((await p.stat(4)).name, '/')
  }),
  both(32, 'names that are none never resolve', async ({ p }) => {
    await p.mkdir(0, 'a')
    await p.walk(0, 1, 'a')
    await p.mkdir(1, 'b')
    for (const name of ['a/b', '', 'a\0', '\0', '/', 'a/', '/a', '../a']) among(await p.refused('Twalk', { fid: 0, newfid: 2, names: [name] }), 'EINVAL', 'ENOENT')
    assert.is(await p.refused('Twalk', { fid: 0, newfid: 2, names: ['n'.repeat(256)] }), 'ENAMETOOLONG')
  }),
  unix(33, 'a symlink is itself, and in the middle the end', async (t) => {
    const { p, raw } = t
    await p.mkdir(0, 'd')
    await p.walk(0, 1, 'd')
    await p.file(1, 'f')
    await raw.ok('Tsymlink', { dfid: 0, name: 'l', target: 'd', gid: 0 })
    const { qids } = await p.walk(0, 2, 'l')
    assert.is(qids[0]!.type, 0x02)
    const stat = await p.stat(2)
    assert.equal([stat.qid, stat.mode & DM.SYMLINK, stat.extension], [qids[0], DM.SYMLINK, 'd'])
    assert.is((await p.walk(0, 3, 'l', 'f')).qids.length, 1)
    assert.is(await p.refused('Tclunk', { fid: 3 }), 'EBADF')
    assert.is(await p.refused('Twalk', { fid: 2, newfid: 3, names: ['f'] }), 'ENOTDIR')
    assert.is(await p.refused('Topen', { fid: 2, mode: 0 }), 'ELOOP')
  }),
  plain(33, 'a symlink is what it points at', async (t) => {
    const { p, raw } = t
    const link = (name: string, target: string, dfid = 0) => raw.ok('Tsymlink', { dfid, name, target, gid: 0 })
    await p.mkdir(0, 'd')
    await p.walk(0, 1, 'd')
    await p.file(1, 'f', 'text')
    await raw.walk(0, 1, 'd')
    await link('dir', 'd')
    await link('file', 'd/f')
    await link('twice', 'dir/f')
    await link('up', '../d/f', 1)
    for (const names of [['file'], ['twice'], ['dir', 'f'], ['d', 'up'], ['dir', 'up']]) {
      assert.is((await p.walk(0, 2, ...names)).qids.length, names.length, names.join('/'))
      assert.equal((await p.stat(2)).qid.path, (await p.statAt(0, 'd', 'f')).qid.path)
      assert.is(await p.content(2), 'text')
      await p.clunk(2)
    }
    const [dir, file, d] = [await p.statAt(0, 'dir'), await p.statAt(0, 'file'), await p.statAt(0, 'd')]
    assert.equal([dir.name, dir.mode, dir.qid], ['dir', d.mode, d.qid])
    assert.equal([file.name, file.mode & ~0o777, file.qid.type, file.length], ['file', 0, 0, 4])
    assert.equal(await p.ls(0), ['d', 'dir', 'file', 'twice'])
    assert.equal(await p.ls(0, 'dir'), ['f', 'up'])
  }),
  plain(33, 'what a symlink points at is looked for inside the attach root', async (t) => {
    const { p, raw } = t
    await raw.attach(9, '/')
    await raw.file(9, `secret-${t.aname}`, 'secret')
    await raw.file(0, 'inner', 'inside')
    await raw.mkdir(0, 'd')
    await raw.walk(0, 1, 'd')
    const link = (name: string, target: string, dfid = 0) => raw.ok('Tsymlink', { dfid, name, target, gid: 0 })
    await link('relative', `../secret-${t.aname}`)
    await link('far', `../../../../../../../../etc/passwd`)
    await link('absolute', '/etc/passwd')
    await link('deep', `../../secret-${t.aname}`, 1)
    for (const names of [['relative'], ['far'], ['absolute'], ['d', 'deep']]) {
      const reply = await p.call('Twalk', { fid: 0, newfid: 2, names })
      if (names.length === 1) among(await p.refused('Twalk', { fid: 0, newfid: 2, names }), 'ENOENT', 'ENOTDIR')
      else assert.is(reply.fields.qids.length, 1)
      assert.is(await p.refused('Tclunk', { fid: 2 }), 'EBADF', names.join('/'))
    }
    await link('home', '/inner')
    await link('above', '../../inner')
    for (const name of ['home', 'above']) {
      const reply = await p.call('Twalk', { fid: 0, newfid: 2, names: [name] })
      if (reply.name === 'Rwalk') {
        assert.is(await p.content(2), 'inside', name)
        await p.clunk(2)
      }
    }
    await raw.ok('Tunlinkat', { dirfid: 9, name: `secret-${t.aname}`, flags: 0 })
  }),
  plain(33, 'what 9P2000 has no word for is hidden: dangling and circular links, FIFOs, sockets', async (t) => {
    const { p, raw } = t
    await file(t.bench, 'f')
    await raw.ok('Tsymlink', { dfid: 0, name: 'dangling', target: 'nowhere', gid: 0 })
    await raw.ok('Tsymlink', { dfid: 0, name: 'loop', target: 'loop', gid: 0 })
    await raw.ok('Tsymlink', { dfid: 0, name: 'a', target: 'b', gid: 0 })
    await raw.ok('Tsymlink', { dfid: 0, name: 'b', target: 'a', gid: 0 })
    await raw.ok('Tmknod', { dfid: 0, name: 'fifo', mode: 0o10644, major: 0, minor: 0, gid: 0 })
    await raw.ok('Tmknod', { dfid: 0, name: 'socket', mode: 0o140644, major: 0, minor: 0, gid: 0 })
    assert.equal(await p.ls(0), ['f'])
    for (const name of ['dangling', 'loop', 'a', 'fifo', 'socket']) among(await p.refused('Twalk', { fid: 0, newfid: 1, names: [name] }), 'ENOENT', 'ELOOP')
    // Their names are taken all the same.
    for (const name of ['dangling', 'fifo']) assert.is(await p.creation(0, name), 'EEXIST')
  }),
  plain(33, 'removing or renaming a symlink leaves what it points at where it is', async (t) => {
    const { p, raw } = t
    await raw.mkdir(0, 'd')
    await raw.walk(0, 1, 'd')
    await raw.file(1, 'f', 'text')
    await raw.ok('Tsymlink', { dfid: 0, name: 'l', target: 'd/f', gid: 0 })
    await raw.ok('Tsymlink', { dfid: 0, name: 'm', target: 'd/f', gid: 0 })
    await p.walk(0, 1, 'l')
    const renamed = await p.wstat(1, { name: 'n' })
    await p.walk(0, 2, 'm')
    const removed = await p.outcome('Tremove', { fid: 2 })
    assert.equal(await p.ls(0), ['d', renamed === 'ok' ? 'n' : 'l', ...removed === 'ok' ? [] : ['m']].sort())
    assert.is(await p.content(0, 'd', 'f'), 'text')
  }),
]
