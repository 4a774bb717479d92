// C89-C97: making, linking, moving, removing names.

import { O, S } from 'ninep'
import * as assert from 'uvu/assert'
import { c } from '../stand.ts'
import { REMOVEDIR, among, file, getXattr, ls, setattr } from './common.ts'

export const names = [
  c(89, 'Tmkdir: mode, EEXIST, and the fid stays the directory, open or not', async ({ raw }) => {
    const { qid } = await raw.mkdir(0, 'd', 0o755)
    assert.is(qid.type, 0x80)
    await raw.walk(0, 1, 'd')
    const attr = await raw.getattr(1)
    assert.equal([attr.mode, attr.qid.path], [0o40755, qid.path])
    assert.is(await raw.refused('Tmkdir', { dfid: 0, name: 'd', mode: 0o755, gid: 0 }), 'EEXIST')
    await raw.open(1)
    await raw.mkdir(1, 'in')
    assert.is(await raw.refused('Tmkdir', { dfid: 1, name: 'in', mode: 0o755, gid: 0 }), 'EEXIST')
    assert.ok((await raw.getattr(1)).nlink >= 1)
    assert.equal(await ls(raw, 'd'), ['in'])
  }),
  c(89, 'a setgid directory gives its group and, to directories, its bit', async (t) => {
    if (!t.stand.owners) return
    const { raw } = t
    await raw.mkdir(0, 'd')
    await raw.walk(0, 1, 'd')
    assert.is(await setattr(raw, 1, 5, { gid: 1001, mode: 0o2775 }), 'ok')
    await raw.ok('Tmkdir', { dfid: 1, name: 'in', mode: 0o755, gid: 0 })
    await raw.walk(1, 2, 'in')
    const dir = await raw.getattr(2)
    assert.equal([dir.mode, dir.gid], [0o42755, 1001])
    await raw.ok('Tlcreate', { fid: 1, name: 'f', flags: 0x42, mode: 0o644, gid: 0 })
    const made = await raw.getattr(1)
    assert.equal([made.mode, made.gid], [0o100644, 1001])
  }),
  c(90, 'Tsymlink and Treadlink: the same bytes, up to 4095', async (t) => {
    const { raw } = t
    for (const [i, target] of ['f', '../../etc/passwd', '/', 't'.repeat(4095), 'a//b/./..', '\udcff\udc80x', '\u00e4\u20ac'].entries()) {
      const { qid } = await raw.ok('Tsymlink', { dfid: 0, name: `l${i}`, target, gid: 0 })
      assert.is(qid.type, 0x02)
      await raw.walk(0, 1, `l${i}`)
      assert.equal(await raw.ok('Treadlink', { fid: 1 }), { target })
      await raw.clunk(1)
    }
    assert.is(await raw.refused('Tsymlink', { dfid: 0, name: 'l0', target: 'x', gid: 0 }), 'EEXIST')
    assert.is(await raw.refused('Tsymlink', { dfid: 0, name: 'long', target: 't'.repeat(4096), gid: 0 }), 'ENAMETOOLONG')
    among(await raw.refused('Tsymlink', { dfid: 0, name: 'empty', target: '', gid: 0 }), 'ENOENT', 'EINVAL')
    await raw.create(0, 1, 'f')
    assert.is(await raw.refused('Treadlink', { fid: 1 }), 'EINVAL')
    assert.is(await raw.refused('Treadlink', { fid: 0 }), 'EINVAL')
  }),
  c(91, 'Tmknod makes files, FIFOs and sockets; devices are for root', async (t) => {
    const { raw } = t
    await raw.ok('Tmknod', { dfid: 0, name: 'f', mode: S.IFREG | 0o644, major: 0, minor: 0, gid: 0 })
    await raw.walk(0, 1, 'f')
    assert.is((await raw.getattr(1)).mode, 0o100644)
    await raw.open(1, 2)
    await raw.write(1, 'text')
    const { qid } = await raw.ok('Tmknod', { dfid: 0, name: 'p', mode: S.IFIFO | 0o600, major: 0, minor: 0, gid: 0 })
    assert.is(qid.type, 0)
    await raw.walk(0, 2, 'p')
    assert.is((await raw.getattr(2)).mode, S.IFIFO | 0o600)
    await raw.ok('Tmknod', { dfid: 0, name: 's', mode: S.IFSOCK | 0o600, major: 0, minor: 0, gid: 0 })
    assert.is(await raw.refused('Tmknod', { dfid: 0, name: 'f', mode: S.IFREG | 0o644, major: 0, minor: 0, gid: 0 }), 'EEXIST')
    among(await raw.refused('Tmknod', { dfid: 0, name: 'd', mode: S.IFDIR | 0o755, major: 0, minor: 0, gid: 0 }), 'EPERM', 'EINVAL')
    const user = await t.client(65536, 1000)
    for (const mode of [S.IFCHR | 0o666, S.IFBLK | 0o666]) assert.is(await user.refused('Tmknod', { dfid: 0, name: 'dev', mode, major: 1, minor: 3, gid: 0xffffffff }), 'EPERM')
    assert.equal(await ls(raw), ['f', 'p', 's'])
    // A number of both words, as the kernel packs it.
    if (process.getuid!() !== 0) return
    const made = await raw.outcome('Tmknod', { dfid: 0, name: 'c', mode: S.IFCHR | 0o600, major: 0x123, minor: 0x45678, gid: 0 })
    if (made === 'EPERM') return
    assert.is(made, 'ok')
    await raw.walk(0, 3, 'c')
    const { rdev, mode } = await raw.getattr(3)
    assert.equal([rdev, mode], [0x45612378n, S.IFCHR | 0o600])
  }),
  c(92, 'Tlink: one file, two names', async (t) => {
    const { raw } = t
    await raw.create(0, 1, 'f', 'text')
    await raw.walk(0, 2, 'f')
    await raw.ok('Tlink', { dfid: 0, fid: 2, name: 'g' })
    await raw.walk(0, 3, 'g')
    const [f, g] = [await raw.getattr(2), await raw.getattr(3)]
    assert.equal([f.nlink, g.nlink, f.qid.path], [2, 2, g.qid.path])
    await raw.write(1, 'TEXT')
    assert.is(await raw.content(0, 'g'), 'TEXT')
    await raw.mkdir(0, 'd')
    await raw.walk(0, 4, 'd')
    assert.is(await raw.refused('Tlink', { dfid: 0, fid: 4, name: 'e' }), 'EPERM')
    assert.is(await raw.refused('Tlink', { dfid: 0, fid: 2, name: 'g' }), 'EEXIST')
    assert.is(await raw.refused('Tlink', { dfid: 2, fid: 3, name: 'x' }), 'ENOTDIR')
    await raw.attach(5, '/other')
    assert.is(await raw.refused('Tlink', { dfid: 5, fid: 2, name: 'x' }), 'EXDEV')
    await raw.ok('Tunlinkat', { dirfid: 0, name: 'f', flags: 0 })
    assert.is((await raw.getattr(3)).nlink, 1)
    assert.is((await raw.getattr(2)).nlink, 1, 'the fid of the name that is gone')
    assert.is(await raw.content(0, 'g'), 'TEXT')
  }),
  c(93, 'Tunlinkat and its refusals', async (t) => {
    const { raw } = t
    const unlink = (name: string, flags = 0, dirfid = 0) => raw.outcome('Tunlinkat', { dirfid, name, flags })
    await file(t, 'f')
    await raw.mkdir(0, 'd')
    await raw.walk(0, 1, 'd')
    await raw.mkdir(1, 'in')
    assert.is(await unlink('d'), 'EISDIR')
    assert.is(await unlink('f', REMOVEDIR), 'ENOTDIR')
    assert.is(await unlink('d', REMOVEDIR), 'ENOTEMPTY')
    assert.is(await unlink('missing'), 'ENOENT')
    assert.is(await unlink('missing', REMOVEDIR), 'ENOENT')
    for (const flags of [1, 0x201, 0x80000000]) assert.is(await unlink('f', flags), 'EINVAL')
    assert.is(await unlink('.', REMOVEDIR), 'EINVAL')
    among(await unlink('..', REMOVEDIR), 'ENOTEMPTY', 'EINVAL')
    among(await unlink(''), 'ENOENT', 'EINVAL')
    assert.is(await unlink('n'.repeat(256)), 'ENAMETOOLONG')
    await raw.create(0, 2, 'g')
    assert.is(await unlink('x', 0, 2), 'ENOTDIR')
    await raw.open(1)
    assert.is(await unlink('in', REMOVEDIR, 1), 'ok', 'a directory that is open')
    assert.is(await unlink('d', REMOVEDIR), 'ok')
    assert.is(await unlink('f'), 'ok')
    assert.equal(await ls(raw), ['g'])
  }),
  c(94, 'Trenameat over a file replaces it, and is never seen half done', async (t) => {
    const { raw } = t
    await file(t, 'a', 'new')
    await file(t, 'b', 'old')
    const rename = (oldname: string, newname: string, olddirfid = 0, newdirfid = 0) => raw.outcome('Trenameat', { olddirfid, oldname, newdirfid, newname })
    assert.is(await rename('a', 'b'), 'ok')
    assert.is(await raw.content(0, 'b'), 'new')
    assert.equal(await ls(raw), ['b'])
    assert.is(await rename('missing', 'x'), 'ENOENT')
    assert.is(await rename('b', 'b'), 'ok')
    await raw.walk(0, 1, 'b')
    await raw.ok('Tlink', { dfid: 0, fid: 1, name: 'c' })
    assert.is(await rename('b', 'c'), 'ok', 'two names of one file: nothing happens')
    assert.equal(await ls(raw), ['b', 'c'])
    await raw.mkdir(0, 'd')
    await raw.mkdir(0, 'e')
    await raw.walk(0, 2, 'd')
    await raw.walk(0, 3, 'e')
    await raw.mkdir(3, 'in')
    assert.is(await rename('d', 'e'), 'ENOTEMPTY')
    assert.is(await rename('b', 'd'), 'EISDIR')
    assert.is(await rename('d', 'b'), 'ENOTDIR')
    assert.is(await rename('e', 'x', 0, 3), 'EINVAL', 'into itself')
    await raw.walk(3, 4, 'in')
    assert.is(await rename('e', 'x', 0, 4), 'EINVAL', 'into what is below itself')
    assert.is(await rename('in', 'd', 3, 0), 'ok', 'over an empty directory')
    assert.is(await rename('b', 'x', 0, 1), 'ENOTDIR')
    await raw.attach(5, '/other')
    assert.is(await rename('b', 'b', 0, 5), 'EXDEV')
    among(await rename('.', 'x'), 'EEXIST', 'EISDIR', 'EINVAL', 'EBUSY')
    among(await rename('b', '..'), 'EEXIST', 'EISDIR', 'EINVAL', 'EBUSY')
    assert.is(await rename('b', 'in', 0, 3), 'ok')
    assert.equal([await ls(raw), await ls(raw, 'e')], [['c', 'd', 'e'], ['in']])
  }),
  c(94, 'while a file is replaced again and again, its name is always there', async (t) => {
    const { raw } = t, other = await t.client()
    await file(t, 'target', 'x')
    let done = false
    const looking = (async () => {
      for (let looked = 0; !done; looked++) {
        await other.walk(0, 1, 'target')
        await other.clunk(1)
        if (looked > 5000) return
      }
    })()
    for (let i = 0; i < 50; i++) {
      await file(t, 'fresh', `${i}`)
      await raw.ok('Trenameat', { olddirfid: 0, oldname: 'fresh', newdirfid: 0, newname: 'target' })
    }
    done = true
    await looking
  }),
  c(95, 'after a directory moved, all fids below it go on, with the same qids', async (t) => {
    const { raw } = t
    await raw.mkdir(0, 'a')
    await raw.mkdir(0, 'b')
    await raw.walk(0, 1, 'a')
    await raw.mkdir(1, 'in')
    await raw.walk(1, 2, 'in')
    await raw.create(2, 3, 'f', 'text')
    await raw.walk(2, 4, 'f')
    await raw.walk(1, 5, 'in')
    await raw.open(5)
    const before = await Promise.all([1, 2, 3, 4, 5].map(async (fid) => (await raw.getattr(fid)).qid.path))
    await raw.walk(0, 6, 'b')
    await raw.ok('Trenameat', { olddirfid: 0, oldname: 'a', newdirfid: 6, newname: 'moved' })
    assert.equal(await Promise.all([1, 2, 3, 4, 5].map(async (fid) => (await raw.getattr(fid)).qid.path)), before)
    assert.is(await raw.read(3), 'text')
    await raw.open(4, 2)
    assert.is(await raw.write(4, 'TEXT'), 4)
    await raw.create(2, 7, 'g')
    assert.equal(await ls(raw, 'b', 'moved', 'in'), ['f', 'g'])
    assert.equal((await raw.walk(2, 8, '..', '..', '..')).qids.map(({ path }) => path), [before[0], (await raw.getattr(6)).qid.path, (await raw.getattr(0)).qid.path])
    assert.is(await raw.content(0, 'b', 'moved', 'in', 'f'), 'TEXT')
    await raw.ok('Tremove', { fid: 4 })
    assert.equal(await ls(raw, 'b', 'moved', 'in'), ['g'])
  }),
  c(95, 'open, rename, getattr: the file is found; of another client too', async (t) => {
    const { raw } = t, other = await t.client()
    await raw.create(0, 1, 'f', 'text')
    await other.walk(0, 1, 'f')
    await other.walk(0, 2, 'f')
    await other.open(2)
    for (let i = 0; i < 5; i++) {
      await raw.ok('Trenameat', { olddirfid: 0, oldname: i ? `g${i - 1}` : 'f', newdirfid: 0, newname: `g${i}` })
      for (const [who, fid] of [[raw, 1], [other, 1], [other, 2]] as const) assert.is((await who.getattr(fid)).size, 4)
    }
    assert.is(await other.read(2), 'text')
    await other.ok('Tremove', { fid: 1 })
    assert.equal(await ls(raw), [], 'it went by the name that the file has now')
  }),
  c(96, 'Trename moves the fid, one that Tlcreate made too', async (t) => {
    const { raw } = t
    await raw.create(0, 1, 'f', 'text')
    await raw.mkdir(0, 'd')
    await raw.walk(0, 2, 'd')
    await raw.ok('Trename', { fid: 1, dfid: 2, name: 'g' })
    assert.is((await raw.getattr(1)).size, 4)
    assert.is(await raw.read(1), 'text')
    assert.equal([await ls(raw), await ls(raw, 'd')], [['d'], ['g']])
    await raw.ok('Trename', { fid: 1, dfid: 0, name: 'h' })
    await raw.ok('Trename', { fid: 2, dfid: 0, name: 'e' })
    await raw.mkdir(2, 'in')
    assert.equal([await ls(raw), await ls(raw, 'e')], [['e', 'h'], ['in']])
    among(await raw.refused('Trename', { fid: 0, dfid: 2, name: 'root' }), 'EBUSY', 'EINVAL', 'EPERM')
    assert.is(await raw.refused('Trename', { fid: 2, dfid: 2, name: 'self' }), 'EINVAL')
    await raw.ok('Tremove', { fid: 1 })
    assert.equal(await ls(raw), ['e'])
  }),
  c(97, 'a read-only export: each change is EROFS, reading is not', async (t) => {
    const { raw } = t
    await raw.attach(1, '/')
    await raw.walk(1, 2, 'ro')
    const dir = `dir-${t.aname}`
    await raw.mkdir(2, dir)
    await raw.walk(2, 3, dir)
    await raw.file(3, 'f', 'text')
    await raw.ok('Tsymlink', { dfid: 3, name: 'l', target: 'f', gid: 0 })
    await raw.mkdir(3, 'd')
    for (const uid of [process.getuid!(), 1000]) {
      const user = await t.connect()
      await user.version()
      await user.attach(0, `/ro/${dir}`, uid)
      await user.walk(0, 1, 'f')
      await user.walk(0, 2, 'd')
      const gid = 0xffffffff
      const changes = {
        mkdir: user.outcome('Tmkdir', { dfid: 0, name: 'x', mode: 0o755, gid }), symlink: user.outcome('Tsymlink', { dfid: 0, name: 'x', target: 't', gid }),
        mknod: user.outcome('Tmknod', { dfid: 0, name: 'x', mode: 0o100644, major: 0, minor: 0, gid }), link: user.outcome('Tlink', { dfid: 0, fid: 1, name: 'x' }),
        unlinkat: user.outcome('Tunlinkat', { dirfid: 0, name: 'f', flags: 0 }), rmdir: user.outcome('Tunlinkat', { dirfid: 0, name: 'd', flags: REMOVEDIR }),
        renameat: user.outcome('Trenameat', { olddirfid: 0, oldname: 'f', newdirfid: 0, newname: 'x' }), rename: user.outcome('Trename', { fid: 1, dfid: 2, name: 'x' }),
        chmod: setattr(user, 1, 1, { mode: 0o777 }), utimes: setattr(user, 1, 0x30), truncate: setattr(user, 1, 8, { size: 0 }), ctime: setattr(user, 1, 0x40),
        xattr: user.outcome('Txattrcreate', { fid: 1, name: 'user.a', attrSize: 1, flags: 0 }),
      }
      for (const [what, outcome] of Object.entries(changes)) assert.is(await outcome, 'EROFS', `${what} by ${uid}`)
      if (uid === process.getuid!()) {
        for (const flags of [O.WRONLY, O.RDWR, O.RDONLY | O.TRUNC, O.RDWR | O.APPEND]) assert.is(await user.refused('Tlopen', { fid: 1, flags }), 'EROFS')
        assert.is(await user.refused('Tlcreate', { fid: 0, name: 'f', flags: O.RDWR | O.CREAT, mode: 0o644, gid }), 'EROFS')
        assert.is(await user.refused('Tlcreate', { fid: 0, name: 'x', flags: O.RDWR | O.CREAT, mode: 0o644, gid }), 'EROFS')
      }
      await user.walk(0, 4, 'f')
      assert.is(await user.refused('Tremove', { fid: 4 }), 'EROFS')
      await user.open(1)
      assert.is(await user.read(1), 'text')
      assert.equal(await ls(user), ['d', 'f', 'l'])
      await user.walk(0, 5, 'l')
      assert.equal(await user.ok('Treadlink', { fid: 5 }), { target: 'f' })
      await user.ok('Tlock', { fid: 1, type: 0, flags: 0, start: 0n, length: 0n, procId: 1, clientId: 'c' })
      await user.ok('Tfsync', { fid: 1, datasync: 0 })
      await user.ok('Tstatfs', { fid: 0 })
      assert.is(await getXattr(user, 'f', 'user.none').then((e) => ['errno 61', 'errno 95'].includes(e)), true)
    }
  }),
]
