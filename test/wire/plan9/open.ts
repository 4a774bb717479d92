// C35-C63 in 9P2000 and 9P2000.u: opening, creating, reading, writing, ending.

import { DM, OPEN, S } from 'ninep'
import * as assert from 'uvu/assert'
import { among } from '../cases/common.ts'
import { frameOf } from '../raw.ts'
import { both, iosize, plain, unix } from './common.ts'

const { READ, WRITE, RDWR, EXEC, TRUNC, CEXEC, RCLOSE, APPEND } = OPEN

export const open = [
  both(35, 'a directory opens for reading alone', async ({ p }) => {
    await p.walk(0, 1)
    for (const mode of [WRITE, RDWR, READ | TRUNC, WRITE | TRUNC, READ | RCLOSE]) among(await p.refused('Topen', { fid: 1, mode }), 'EISDIR', 'EACCES')
    const { qid } = await p.open(1)
    assert.equal(qid, (await p.stat(0)).qid)
  }),
  both(36, 'a fid that is open is not opened again, and stays', async ({ p }) => {
    await p.create(0, 1, 'f')
    await p.write(1, 'text')
    among(await p.refused('Topen', { fid: 1, mode: 0 }), 'EINVAL', 'EBADF')
    assert.is(await p.read(1), 'text')
  }),
  both(37, 'a fid that could not be opened can be opened with less', async (t) => {
    await t.p.file(0, 'f', 'text', 0o444)
    if (!t.stand.owners) return
    const p = await t.client(65536, t.somebody)
    await p.walk(0, 1, 'f')
    for (const mode of [WRITE, RDWR, READ | TRUNC, EXEC]) assert.is(await p.refused('Topen', { fid: 1, mode }), 'EACCES', String(mode))
    await p.open(1)
    assert.is(await p.read(1), 'text')
  }),
  both(38, 'OEXEC wants the x bit and reads; OCEXEC says nothing to a server', async ({ p }) => {
    await p.file(0, 'f', 'text', 0o644)
    await p.walk(0, 1, 'f')
    assert.is(await p.refused('Topen', { fid: 1, mode: EXEC }), 'EACCES')
    await p.open(1, READ | CEXEC)
    await p.file(0, 'x', 'program', 0o755)
    await p.walk(0, 2, 'x')
    await p.open(2, EXEC)
    assert.is(await p.read(2), 'program')
    among(await p.refused('Twrite', { fid: 2, offset: 0, data: Buffer.from('x') }), 'EBADF', 'EINVAL')
  }),
  both(38, 'OTRUNC empties, with every mode that may write', async ({ p }) => {
    for (const mode of [WRITE, RDWR]) {
      await p.file(0, `f${mode}`, 'text')
      await p.walk(0, 1, `f${mode}`)
      await p.open(1, mode | TRUNC)
      assert.is((await p.stat(1)).length, 0)
      assert.is(await p.write(1, 'x'), 1)
      await p.clunk(1)
      assert.is(await p.content(0, `f${mode}`), 'x')
    }
  }),
  both(39, 'iounit is 0, or leaves room', async ({ p }) => {
    const { iounit } = await p.create(0, 1, 'f')
    assert.ok(iounit === 0 || iounit <= iosize(p))
    await p.walk(0, 2)
    assert.is((await p.open(2)).iounit, 0)
  }),
  both(40, 'Tcreate makes its fid the new file, open', async ({ p }) => {
    const { qid } = await p.create(0, 1, 'f')
    assert.is(await p.write(1, 'text'), 4)
    const stat = await p.stat(1)
    assert.equal([stat.name, stat.mode, stat.length, stat.qid.path, stat.qid.type], ['f', 0o644, 4, qid.path, 0])
    assert.is(await p.refused('Twalk', { fid: 1, newfid: 2, names: ['x'] }), 'ENOTDIR')
    assert.is((await p.walk(0, 2, 'f')).qids[0]!.path, qid.path)
  }),
  both(40, 'it is open as the mode says', async ({ p }) => {
    for (const [mode, reads, writes] of [[READ, 'ok', 'EBADF'], [WRITE, 'EBADF', 'ok'], [RDWR, 'ok', 'ok'], [WRITE | TRUNC, 'EBADF', 'ok']] as const) {
      await p.create(0, 1, `f${mode}`, 0o666, mode)
      assert.is(await p.outcome('Tread', { fid: 1, offset: 0, count: 1 }), reads, `mode ${mode}`)
      assert.is(await p.outcome('Twrite', { fid: 1, offset: 0, data: Buffer.from('x') }), writes, `mode ${mode}`)
      await p.clunk(1)
    }
    await p.create(0, 1, 'unwritable', 0o444, WRITE)
    assert.is(await p.write(1, 'x'), 1, 'who makes a file may write it')
  }),
  both(41, 'after a Tcreate that failed the fid is the directory', async ({ p }) => {
    await p.file(0, 'f', 'text')
    await p.walk(0, 1)
    for (const [name, perm, mode] of [['f', 0o644, RDWR], ['f', 0o644, RDWR | TRUNC], ['f', DM.DIR + 0o755, READ]] as const) {
      assert.is(await p.refused('Tcreate', { fid: 1, name, perm, mode, extension: '' }), 'EEXIST')
    }
    assert.is(await p.content(0, 'f'), 'text')
    await p.ok('Tcreate', { fid: 1, name: 'g', perm: 0o644, mode: RDWR, extension: '' })
    assert.equal(await p.ls(0), ['f', 'g'])
  }),
  both(42, 'many who create one name at once make one file', async ({ p }) => {
    for (let fid = 1; fid <= 20; fid++) await p.walk(0, fid)
    const made = await Promise.all(Array.from({ length: 20 }, (_, i) => p.outcome('Tcreate', { fid: i + 1, name: 'f', perm: 0o644, mode: RDWR, extension: '' })))
    assert.equal(made.sort(), [...Array(19).fill('EEXIST'), 'ok'])
  }),
  plain(43, 'the permission of what is made is no more than its directory has', async ({ p }) => {
    await p.mkdir(0, 'd', 0o750)
    await p.walk(0, 1, 'd')
    assert.is((await p.stat(1)).mode, DM.DIR + 0o750)
    for (const [name, perm, got] of [['f', 0o666, 0o640], ['x', 0o777, 0o751], ['o', 0o604, 0o600]] as const) {
      await p.file(1, name, '', perm)
      assert.is((await p.statAt(1, name)).mode, got, perm.toString(8))
    }
    await p.mkdir(1, 'dir', 0o777)
    assert.is((await p.statAt(1, 'dir')).mode, DM.DIR + 0o750)
  }),
  unix(43, 'the permission is as asked, with the bits of 9P2000.u and without the server\'s umask', async ({ p, raw }) => {
    const before = process.umask(0o077)
    try {
      await p.mkdir(0, 'd', 0o750)
      await p.walk(0, 1, 'd')
      await p.file(1, 'f', '', 0o666)
      assert.is((await p.statAt(1, 'f')).mode, 0o666)
      await p.create(1, 2, 's', DM.SETUID + DM.SETVTX + 0o755)
      assert.is((await p.stat(2)).mode, DM.SETUID + DM.SETVTX + 0o755)
      await raw.walk(0, 2, 'd', 's')
      assert.is((await raw.getattr(2)).mode, S.IFREG | 0o5755)
    } finally { process.umask(before) }
  }),
  both(44, 'names that can not be made', async ({ p }) => {
    const all: readonly (readonly [string, ...string[]])[] = [
      ['.', 'EEXIST', 'EINVAL'], ['..', 'EEXIST', 'EINVAL'], ['n'.repeat(256), 'ENAMETOOLONG'], ['a/b', 'ENOENT', 'EINVAL'], ['', 'ENOENT', 'EINVAL'], ['a\0b', 'ENOENT', 'EINVAL'], ['/', 'ENOENT', 'EINVAL'],
    ]
    for (const [name, ...allowed] of all) {
      among(await p.creation(0, name), ...allowed)
      among(await p.creation(0, name, DM.DIR + 0o755), ...allowed)
    }
    assert.equal(await p.ls(0), [])
    await p.mkdir(0, 'n'.repeat(255))
  }),
  both(45, 'Tcreate on a fid that is open, or no directory', async ({ p }) => {
    await p.walk(0, 1)
    await p.open(1)
    assert.is(await p.refused('Tcreate', { fid: 1, name: 'x', perm: 0o644, mode: READ, extension: '' }), 'EINVAL')
    await p.file(0, 'f')
    await p.walk(0, 2, 'f')
    assert.is(await p.refused('Tcreate', { fid: 2, name: 'x', perm: 0o644, mode: READ, extension: '' }), 'ENOTDIR')
    assert.equal(await p.ls(0), ['f'])
  }),
  both(46, 'reading at the end, and across it', async ({ p }) => {
    await p.create(0, 1, 'f')
    await p.write(1, '0123456789')
    assert.is(await p.read(1, 8, 100), '89')
    for (const offset of [10, 11, 2 ** 32, 2 ** 40]) assert.is(await p.read(1, offset, 100), '')
    assert.is(await p.read(1, 3, 0), '')
  }),
  both(47, 'Tread of 2^32 - 1 bytes gets what fits', async (t) => {
    const p = await t.client(8192)
    await p.create(0, 1, 'f')
    for (let at = 0; at < 24000; at += 8000) await p.write(1, Buffer.alloc(8000, 'x'), at)
    for (const count of [0xffffffff, 8192, 8181]) assert.is((await p.data(1, 0, count)).length, 8181)
  }),
  both(48, 'Tread and Twrite need a fid that is open for it', async ({ p }) => {
    await p.file(0, 'f', 'text')
    await p.walk(0, 1, 'f')
    among(await p.refused('Tread', { fid: 1, offset: 0, count: 4 }), 'EBADF', 'EINVAL')
    among(await p.refused('Twrite', { fid: 1, offset: 0, data: Buffer.from('x') }), 'EBADF', 'EINVAL')
    await p.open(1, WRITE)
    among(await p.refused('Tread', { fid: 1, offset: 0, count: 4 }), 'EBADF', 'EINVAL')
    await p.walk(0, 2, 'f')
    await p.open(2)
    among(await p.refused('Twrite', { fid: 2, offset: 0, data: Buffer.from('x') }), 'EBADF', 'EINVAL')
  }),
  both(49, 'Tread on a directory gives entries; Twrite is refused', async ({ p }) => {
    await p.file(0, 'f')
    among(await p.refused('Tread', { fid: 0, offset: 0, count: 4000 }), 'EBADF', 'EINVAL')
    await p.walk(0, 1)
    await p.open(1)
    assert.equal((await p.entries(1)).stats.map(({ name }) => name), ['f'])
    among(await p.refused('Twrite', { fid: 1, offset: 0, data: Buffer.from('x') }), 'EBADF', 'EISDIR')
  }),
  both(50, 'a write beyond the end leaves a hole of zeros', async ({ p }) => {
    await p.create(0, 1, 'f')
    assert.is(await p.write(1, 'tail', 4000), 4)
    assert.is(await p.read(1, 0, 8000), '\0'.repeat(4000) + 'tail')
    assert.is((await p.stat(1)).length, 4004)
  }),
  both(51, 'Twrite of nothing is 0; on a full disk it is an error, never 0', async (t) => {
    const { p } = t
    await p.create(0, 1, 'f')
    await p.write(1, 'text')
    assert.is(await p.write(1, ''), 0)
    assert.is((await p.stat(1)).length, 4)
    await p.attach(2, '/full')
    await p.create(2, 3, `${t.aname}-${t.unix}`)
    let at = 0, refusal = 'ok'
    while (refusal === 'ok' && at < 2 ** 20) {
      refusal = await p.outcome('Twrite', { fid: 3, offset: at, data: Buffer.alloc(40_000, 'x') })
      at = (await p.stat(3)).length
    }
    assert.is(refusal, 'ENOSPC')
    await p.ok('Tremove', { fid: 3 })
  }),
  both(52, 'Twrite whose count is not what the frame holds is Invalid argument', async ({ p, dialect }) => {
    await p.create(0, 1, 'f')
    await p.write(1, 'text')
    for (const lie of [3, 5, 0, 0xffffffff]) {
      const bytes = frameOf(dialect, 'Twrite', 60001, { fid: 1, offset: 0, data: Buffer.from('DATA') })
      bytes.writeUInt32LE(lie, 19)
      p.bytes(bytes)
      assert.is((await p.reply(60001)).fields.ename, 'Invalid argument', String(lie))
    }
    assert.is(await p.read(1), 'text')
  }),
  unix(53, 'Topen with 0x80 appends: each write goes to the end, whatever its offset', async ({ p }) => {
    await p.file(0, 'f', 'one')
    await p.walk(0, 1, 'f')
    await p.open(1, RDWR | APPEND)
    await p.write(1, ' two', 0)
    await p.write(1, ' three', 99)
    assert.is(await p.read(1), 'one two three')
  }),
  plain(53, 'Topen with 0x80 is no reason to refuse', async ({ p }) => {
    await p.file(0, 'f', 'one')
    await p.walk(0, 1, 'f')
    await p.open(1, READ | APPEND)
    assert.is(await p.read(1), 'one')
  }),
  both(54, 'offsets from 2^53 on are refused or are the end; none is rounded', async ({ p, dialect }) => {
    await p.create(0, 1, 'f')
    await p.write(1, 'text')
    for (const offset of [2n ** 53n, 2n ** 53n + 1n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n]) {
      for (const bytes of [frameOf(dialect, 'Tread', 60001, { fid: 1, offset: 0, count: 4 }), frameOf(dialect, 'Twrite', 60001, { fid: 1, offset: 0, data: Buffer.from('x') })]) {
        bytes.writeBigUInt64LE(offset, 11)
        p.bytes(bytes)
        const { name, fields } = await p.reply(60001)
        assert.ok(name === 'Rread' ? fields.data.length === 0 : ['File too large', 'Invalid argument'].includes(fields.ename), `${offset}: ${name}`)
      }
    }
    assert.is(await p.read(1), 'text')
  }),
  both(55, '50 reads and writes of one fid at once, each with its own data', async ({ p }) => {
    await p.create(0, 1, 'f')
    const block = (i: number) => Buffer.alloc(1000, String.fromCharCode(48 + i % 60) + i)
    await Promise.all(Array.from({ length: 50 }, (_, i) => p.write(1, block(i), i * 1000)))
    await Promise.all(Array.from({ length: 50 }, async (_, i) => {
      if (i % 5 === 0) await p.write(1, block(i + 100), i * 1000)
      else assert.is(await p.read(1, i * 1000, 1000), block(i).toString('latin1'))
    }))
  }),
  both(56, 'Tcreate with DMDIR makes a directory, open for reading', async ({ p }) => {
    const { qid } = await p.create(0, 1, 'd', DM.DIR + 0o755, READ)
    assert.is(qid.type, 0x80)
    assert.is((await p.entries(1)).length, 0)
    const stat = await p.stat(1)
    assert.equal([stat.name, stat.mode, stat.length, stat.qid.path], ['d', DM.DIR + 0o755, 0, qid.path])
    assert.is(await p.creation(0, 'd', DM.DIR + 0o755), 'EEXIST')
    assert.is(await p.creation(0, 'd'), 'EEXIST')
    for (const mode of [WRITE, RDWR, READ | TRUNC, READ | RCLOSE]) among(await p.creation(0, 'e', DM.DIR + 0o755, mode), 'EISDIR', 'EINVAL', 'EACCES', 'EPERM')
    assert.equal(await p.ls(0), ['d'])
    await p.walk(0, 2, 'd')
    await p.file(2, 'in')
    assert.equal((await p.listing(1)).map(({ name }) => name), ['in'])
  }),
  both(56, 'a name that a hidden or dangling thing has is taken', async (t) => {
    await t.raw.ok('Tsymlink', { dfid: 0, name: 'l', target: 'elsewhere', gid: 0 })
    assert.is(await t.p.creation(0, 'l'), 'EEXIST')
    assert.is(await t.p.creation(0, 'l', DM.DIR + 0o755), 'EEXIST')
  }),
  unix(57, 'Tcreate with DMSYMLINK, DMNAMEDPIPE, DMSOCKET and DMLINK', async ({ p, raw }) => {
    await p.file(0, 'f', 'text')
    await p.walk(0, 7, 'f')
    for (const [fid, name, perm, extension] of [
      [1, 'symlink', DM.SYMLINK + 0o777, 't'], [2, 'pipe', DM.NAMEDPIPE + 0o640, ''], [3, 'socket', DM.SOCKET + 0o600, ''], [4, 'link', DM.LINK + 0o644, '7\n'], [5, 'link2', DM.LINK + 0o644, '7'],
    ] as const) {
      await p.create(0, fid, name, perm, READ, extension)
      among(await p.refused('Tread', { fid, offset: 0, count: 10 }), 'EBADF', 'EINVAL')
      await p.clunk(fid)
    }
    const modes: Record<string, number> = {}
    for (const name of ['symlink', 'pipe', 'socket', 'link', 'link2']) {
      await raw.walk(0, 1, name)
      const { mode, nlink } = await raw.getattr(1)
      modes[name] = mode & S.IFMT
      if (name.startsWith('link')) assert.is(nlink, 3)
      if (name === 'pipe') assert.is(mode & 0o777, 0o640)
      await raw.clunk(1)
    }
    assert.equal(modes, { symlink: S.IFLNK, pipe: S.IFIFO, socket: S.IFSOCK, link: S.IFREG, link2: S.IFREG })
    assert.is(await p.content(0, 'link'), 'text')
    const stats = Object.fromEntries(await Promise.all(['symlink', 'pipe', 'socket'].map(async (name, i) => {
      await p.walk(0, 20 + i, name)
      return [name, await p.stat(20 + i)] as const
    })))
    assert.equal([stats['symlink']!.mode & DM.SYMLINK, stats['symlink']!.extension, stats['symlink']!.qid.type], [DM.SYMLINK, 't', 0x02])
    assert.equal([stats['pipe']!.mode, stats['socket']!.mode], [DM.NAMEDPIPE + 0o640, DM.SOCKET + 0o600])
    assert.equal((await p.walk(0, 9, 'link')).qids[0]!.path, (await p.stat(7)).qid.path)
  }),
  unix(57, 'the extension of a symlink is kept to the byte, and of each of its lengths', async ({ p, raw }) => {
    for (const [i, target] of ['t'.repeat(4095), '../../a b', 'caf\udce9', '/absolute'].entries()) {
      await p.create(0, 1, `l${i}`, DM.SYMLINK + 0o777, READ, target)
      await p.clunk(1)
      assert.is((await p.statAt(0, `l${i}`)).extension, target)
      await raw.walk(0, 1, `l${i}`)
      assert.equal(await raw.ok('Treadlink', { fid: 1 }), { target })
      await raw.clunk(1)
    }
    among(await p.creation(0, 'empty', DM.SYMLINK + 0o777, READ, ''), 'ENOENT', 'EINVAL')
  }),
  unix(57, 'a DMDEVICE is made for who may, and tells its numbers', async (t) => {
    const { p } = t
    const outcome = await p.creation(0, 'null', DM.DEVICE + 0o600, READ, 'c 1 3')
    among(outcome, 'ok', 'EPERM')
    if (outcome === 'ok') {
      const { mode, extension } = await p.statAt(0, 'null')
      assert.equal([mode, extension], [DM.DEVICE + 0o600, 'c 1 3'])
    }
    for (const extension of ['', 'x 1 3', 'c', 'c 1', 'c a b', 'c -1 3', 'c 1 3 5', 'c 99999999999 1']) among(await p.creation(0, 'odd', DM.DEVICE + 0o600, READ, extension), 'EINVAL')
    if (t.stand.owners) assert.is(await (await t.client(65536, t.somebody)).creation(0, 'mine', DM.DEVICE + 0o600, READ, 'b 8 0'), 'EPERM')
    assert.equal(await p.ls(0), outcome === 'ok' ? ['null'] : [])
  }),
  unix(57, 'a DMLINK to what can not be linked', async ({ p }) => {
    await p.mkdir(0, 'd')
    await p.walk(0, 7, 'd')
    assert.is(await p.creation(0, 'l', DM.LINK, READ, '7\n'), 'EPERM')
    assert.is(await p.creation(0, 'l', DM.LINK, READ, '99\n'), 'EBADF')
    for (const extension of ['', 'x', '-1', '7 7', '4294967296']) among(await p.creation(0, 'l', DM.LINK, READ, extension), 'EINVAL', 'EBADF')
    await p.attach(8, '/other')
    await p.file(8, 'f')
    await p.walk(8, 9, 'f')
    assert.is(await p.creation(0, 'l', DM.LINK, READ, '9\n'), 'EXDEV')
    await p.ok('Tremove', { fid: 9 })
    assert.equal(await p.ls(0), ['d'])
  }),
  plain(57, 'the bits of 9P2000.u make nothing in 9P2000', async ({ p }) => {
    for (const bit of [DM.SYMLINK, DM.LINK, DM.DEVICE, DM.NAMEDPIPE, DM.SOCKET]) {
      const outcome = await p.creation(0, 'x', bit + 0o644)
      if (outcome === 'ok') throw new Error(`perm ${bit.toString(16)}: made`)
    }
    assert.equal(await p.ls(0), [])
  }),
  both(57, 'what nothing would hold clients of 9P2000.L to is refused: DMAPPEND, DMEXCL; DMTMP promises nothing', async ({ p }) => {
    await p.file(0, 'f')
    await p.walk(0, 1, 'f')
    for (const bit of [DM.APPEND, DM.EXCL, DM.AUTH, DM.MOUNT]) {
      among(await p.creation(0, 'x', bit + 0o644), 'EOPNOTSUPP', 'EPERM', 'EINVAL')
      among(await p.wstat(1, { mode: bit + 0o600, name: 'g' }), 'EOPNOTSUPP', 'EPERM', 'EINVAL')
    }
    assert.equal([await p.ls(0), (await p.stat(1)).mode], [['f'], 0o644])
    assert.is(await p.creation(0, 'tmp', DM.TMP + 0o644), 'ok')
    assert.is((await p.statAt(0, 'tmp')).mode, 0o644)
  }),
  both(58, 'ORCLOSE: the file vanishes at the clunk', async ({ p }) => {
    await p.file(0, 'f', 'text')
    await p.walk(0, 1, 'f')
    await p.open(1, READ | RCLOSE)
    assert.is(await p.read(1), 'text')
    assert.equal(await p.ls(0), ['f'])
    await p.clunk(1)
    assert.equal(await p.ls(0), [])
    await p.create(0, 2, 'g', 0o644, RDWR | RCLOSE)
    await p.write(2, 'text')
    assert.equal(await p.ls(0), ['g'])
    await p.clunk(2)
    assert.equal(await p.ls(0), [])
  }),
  both(58, 'ORCLOSE: at the end of the connection, however it ends, and at a Tversion', async (t) => {
    for (const [i, end] of ['end', 'reset', 'destroy', 'version'].entries()) {
      const p = await t.client()
      await p.create(0, 1, `f${i}`, 0o644, RDWR | RCLOSE)
      await p.file(0, `g${i}`)
      await p.walk(0, 2, `g${i}`)
      await p.open(2, READ | RCLOSE)
      if (end === 'version') await p.version()
      else {
        if (end === 'reset') p.reset()
        else if (end === 'end') p.socket.end()
        else p.socket.destroy()
        await p.closed
      }
      for (let tries = 0; (await t.p.ls(0)).length > 0; tries++) {
        assert.ok(tries < 500, `${end}: ${await t.p.ls(0)}`)
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    }
  }),
  both(58, 'ORCLOSE needs the right to remove', async (t) => {
    if (!t.stand.owners) return
    const { p } = t
    await p.mkdir(0, 'd', 0o755)
    await p.walk(0, 1, 'd')
    await p.file(1, 'f', 'text', 0o666)
    const other = await t.client(65536, t.somebody)
    await other.walk(0, 1, 'd', 'f')
    assert.is(await other.refused('Topen', { fid: 1, mode: READ | RCLOSE }), 'EACCES')
    await other.open(1)
    assert.is(await other.read(1), 'text')
    await other.clunk(1)
    assert.equal(await p.ls(0, 'd'), ['f'])
  }),
  both(58, 'ORCLOSE that fails frees the fid, and leaves what has the name by now', async ({ p, raw }) => {
    await p.create(0, 1, 'e', 0o644, RDWR | RCLOSE)
    await raw.ok('Tunlinkat', { dirfid: 0, name: 'e', flags: 0 })
    await p.clunk(1)
    assert.is(await p.refused('Tclunk', { fid: 1 }), 'EBADF')
    await p.create(0, 3, 'f', 0o644, RDWR | RCLOSE)
    await raw.ok('Tunlinkat', { dirfid: 0, name: 'f', flags: 0 })
    await raw.file(0, 'f', 'another')
    await p.clunk(3)
    assert.is(await p.content(0, 'f'), 'another')
  }),
  both(59, 'the second Tclunk is Bad file descriptor; the number is free at once', async ({ p, dialect }) => {
    await p.create(0, 1, 'f')
    await p.clunk(1)
    assert.is(await p.refused('Tclunk', { fid: 1 }), 'EBADF')
    await p.walk(0, 1, 'f')
    await p.open(1)
    p.bytes(frameOf(dialect, 'Tclunk', 60001, { fid: 1 }), frameOf(dialect, 'Twalk', 60002, { fid: 0, newfid: 1, names: [] }))
    assert.equal([(await p.reply(60001)).name, (await p.reply(60002)).name], ['Rclunk', 'Rwalk'])
  }),
  both(61, 'Tremove frees its fid, whether it removes or not', async ({ p }) => {
    await p.create(0, 1, 'f')
    await p.ok('Tremove', { fid: 1 })
    assert.is(await p.refused('Tclunk', { fid: 1 }), 'EBADF')
    await p.mkdir(0, 'd')
    await p.walk(0, 2, 'd')
    await p.mkdir(2, 'in')
    assert.is(await p.refused('Tremove', { fid: 2 }), 'ENOTEMPTY')
    assert.is(await p.refused('Tclunk', { fid: 2 }), 'EBADF')
    await p.walk(0, 2, 'd', 'in')
    await p.ok('Tremove', { fid: 2 })
    await p.walk(0, 2, 'd')
    await p.open(2)
    await p.ok('Tremove', { fid: 2 })
    assert.equal(await p.ls(0), [])
  }),
  both(62, 'Tremove of the attach root is refused, and its fid is free', async (t) => {
    const p = await t.client()
    among(await p.refused('Tremove', { fid: 0 }), 'EBUSY', 'EPERM', 'EINVAL')
    assert.is(await p.refused('Tclunk', { fid: 0 }), 'EBADF')
    await t.p.stat(0)
  }),
  both(63, 'removed while open: the open fid goes on', async ({ p, unix }) => {
    await p.create(0, 1, 'f')
    await p.write(1, 'text')
    await p.walk(0, 2, 'f')
    const { qid } = await p.stat(1)
    await p.ok('Tremove', { fid: 2 })
    assert.is(await p.read(1), 'text')
    assert.is(await p.write(1, 'TEXT+'), 5)
    const stat = await p.stat(1)
    assert.equal([stat.length, stat.qid.path], [5, qid.path])
    if (unix) assert.is(stat.extension.trim(), 'HARDLINKCOUNT 0', 'as Linux reads how many names there are')
    assert.is(await p.wstat(1, { length: 2 }), 'ok')
    assert.is(await p.wstat(1, { mode: 0o600 }), 'ok')
    assert.is(await p.wstat(1, {}), 'ok', 'fsync')
    assert.is(await p.read(1), 'TE')
    assert.equal(await p.ls(0), [])
    await p.file(0, 'f', 'another')
    await p.clunk(1)
    assert.is(await p.content(0, 'f'), 'another')
  }),
]
