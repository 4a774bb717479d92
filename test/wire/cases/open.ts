// C35-C63: opening, creating, reading, writing, ending.

import { O } from 'ninep'
import * as assert from 'uvu/assert'
import { frame } from '../raw.ts'
import { c } from '../stand.ts'
import { REMOVEDIR, among, entries, file, ls, setattr } from './common.ts'

export const open = [
  c(35, 'a directory opens for reading alone', async ({ raw }) => {
    await raw.walk(0, 1)
    for (const flags of [1, 2, O.TRUNC]) assert.is(await raw.refused('Tlopen', { fid: 1, flags }), 'EISDIR', String(flags))
    const { qid } = await raw.open(1, O.DIRECTORY | O.LARGEFILE | O.NONBLOCK)
    assert.equal(qid, (await raw.getattr(0)).qid)
  }),
  c(36, 'a fid that is open is not opened again, and stays', async ({ raw }) => {
    await raw.create(0, 1, 'f', 'text')
    among(await raw.refused('Tlopen', { fid: 1, flags: 0 }), 'EINVAL', 'EBADF')
    assert.is(await raw.read(1), 'text')
    await raw.walk(0, 2)
    raw.bytes(frame('Tlopen', 60001, { fid: 2, flags: 0 }), frame('Tlopen', 60002, { fid: 2, flags: 0 }))
    assert.equal([(await raw.reply(60001)).name, (await raw.reply(60002)).name], ['Rlopen', 'Rlerror'])
    assert.is((await entries(raw, 2)).length, 3)
  }),
  c(37, 'a fid that could not be opened can be opened with less', async (t) => {
    await file(t, 'f', 'text', 0o444)
    const raw = await t.client(65536, 1000)
    await raw.walk(0, 1, 'f')
    assert.is(await raw.refused('Tlopen', { fid: 1, flags: 2 }), 'EACCES')
    assert.is(await raw.refused('Tlopen', { fid: 1, flags: 1 }), 'EACCES')
    await raw.open(1, 0)
    assert.is(await raw.read(1), 'text')
  }),
  c(38, 'bits that say nothing to a server are no reason to refuse', async (t) => {
    const { raw } = t
    await file(t, 'f', 'text')
    for (const flags of [0x280c2, 0xffc00000, 0x7ff00000, O.DIRECT | O.CLOEXEC | O.NOFOLLOW, O.SYNC | 2, O.DSYNC | 1, 0x2000, O.NOCTTY]) {
      await raw.walk(0, 1, 'f')
      await raw.open(1, flags)
      await raw.clunk(1)
    }
    assert.is(await raw.content(0, 'f'), 'text')
    await raw.walk(0, 1, 'f')
    assert.is(await raw.refused('Tlopen', { fid: 1, flags: O.DIRECTORY }), 'ENOTDIR')
    await raw.open(1, O.TRUNC | 1)
    assert.is((await raw.getattr(1)).size, 0)
  }),
  c(39, 'iounit is 0, or leaves room', async ({ raw }) => {
    const { iounit } = await raw.create(0, 1, 'f')
    assert.ok(iounit === 0 || iounit <= raw.msize - 24)
    await raw.walk(0, 2)
    assert.is((await raw.open(2)).iounit, 0, 'a directory is never throttled')
  }),
  c(40, 'Tlcreate makes its fid the new file, open', async ({ raw }) => {
    const { qid } = await raw.create(0, 1, 'f')
    assert.is(await raw.write(1, 'text'), 4)
    const attr = await raw.getattr(1)
    assert.is(attr.mode & 0o170000, 0o100000)
    assert.equal([attr.qid.path, attr.qid.type], [qid.path, 0])
    assert.is(await raw.refused('Twalk', { fid: 1, newfid: 2, names: ['x'] }), 'ENOTDIR')
    assert.is((await raw.walk(0, 2, 'f')).qids[0]!.path, qid.path)
    assert.is(await raw.refused('Tmkdir', { dfid: 1, name: 'd', mode: 0o755, gid: 0 }), 'ENOTDIR')
  }),
  c(41, 'after a Tlcreate that failed the fid is the directory', async (t) => {
    const { raw } = t
    await file(t, 'f', 'text')
    await raw.walk(0, 1)
    const create = (name: string, flags: number) => raw.refused('Tlcreate', { fid: 1, name, flags, mode: 0o644, gid: 0 })
    assert.is(await create('f', 0xc2), 'EEXIST')
    await raw.mkdir(1, 'd')
    assert.is(await create('d', 0x42), 'EISDIR')
    assert.is(await create('n'.repeat(256), 0x42), 'ENAMETOOLONG')
    await raw.open(1)
    assert.equal(await ls(raw), ['d', 'f'])
  }),
  c(41, 'nor is it lost where a symlink has the name', async ({ raw }) => {
    await raw.ok('Tsymlink', { dfid: 0, name: 'l', target: 'elsewhere', gid: 0 })
    await raw.walk(0, 1)
    for (const flags of [0x42, 0xc2, 0x242]) among(await raw.refused('Tlcreate', { fid: 1, name: 'l', flags, mode: 0o644, gid: 0 }), 'EEXIST', 'ELOOP')
    await raw.mkdir(1, 'd')
    assert.equal(await ls(raw), ['d', 'l'])
  }),
  c(42, 'Tlcreate without O_EXCL opens what is there, and empties it only by O_TRUNC', async (t) => {
    const { raw } = t
    await file(t, 'f', 'text')
    await raw.walk(0, 1)
    await raw.ok('Tlcreate', { fid: 1, name: 'f', flags: 0x42, mode: 0o600, gid: 0 })
    assert.is(await raw.read(1), 'text')
    assert.is((await raw.getattr(1)).mode & 0o777, 0o644, 'its mode is its own')
    await raw.walk(0, 2)
    await raw.ok('Tlcreate', { fid: 2, name: 'f', flags: 0x242, mode: 0o600, gid: 0 })
    assert.is(await raw.read(1), '')
  }),
  c(42, 'many who create one name at once without O_EXCL get one file', async (t) => {
    const { raw } = t
    for (let fid = 1; fid <= 20; fid++) await raw.walk(0, fid)
    const made = await Promise.all(Array.from({ length: 20 }, (_, i) => raw.ok('Tlcreate', { fid: i + 1, name: 'f', flags: 0x42, mode: 0o644, gid: 0 })))
    assert.is(new Set(made.map(({ qid }) => qid.path)).size, 1)
    assert.equal(await ls(raw), ['f'])
  }),
  c(42, 'many who create one name at once with O_EXCL make one file', async (t) => {
    const { raw } = t
    for (let fid = 1; fid <= 20; fid++) await raw.walk(0, fid)
    const made = await Promise.all(Array.from({ length: 20 }, (_, i) => raw.outcome('Tlcreate', { fid: i + 1, name: 'f', flags: 0xc2, mode: 0o644, gid: 0 })))
    assert.equal(made.sort(), [...Array(19).fill('EEXIST'), 'ok'])
  }),
  c(43, 'the mode is kept, with its high bits and without its type', async ({ raw }) => {
    const before = process.umask(0o077)
    try {
      for (const [i, mode] of [0o104755, 0o755, 0o666, 0o1777, 0o102755, 0, 0o140644].entries()) {
        await raw.walk(0, 1)
        await raw.ok('Tlcreate', { fid: 1, name: `f${i}`, flags: 0x42, mode, gid: process.getgid!() })
        assert.is((await raw.getattr(1)).mode, 0o100000 | (mode & 0o7777), mode.toString(8))
        await raw.clunk(1)
        await raw.ok('Tmkdir', { dfid: 0, name: `d${i}`, mode: 0o40000 | mode, gid: process.getgid!() })
        await raw.walk(0, 1, `d${i}`)
        assert.is((await raw.getattr(1)).mode & 0o1777, mode & 0o1777, mode.toString(8))
        await raw.clunk(1)
      }
    } finally { process.umask(before) }
  }),
  c(44, 'names that can not be made', async ({ raw }) => {
    const all: readonly (readonly [string, ...string[]])[] = [
      ['.', 'EEXIST', 'EINVAL'], ['..', 'EEXIST', 'EINVAL'], ['n'.repeat(256), 'ENAMETOOLONG'], ['a/b', 'ENOENT', 'EINVAL'], ['', 'ENOENT', 'EINVAL'], ['a\0b', 'ENOENT', 'EINVAL'], ['/', 'ENOENT', 'EINVAL'],
    ]
    await raw.create(0, 9, 'real')
    for (const [name, ...allowed] of all) {
      await raw.walk(0, 1)
      among(await raw.refused('Tlcreate', { fid: 1, name, flags: 0x42, mode: 0o644, gid: 0 }), ...allowed)
      among(await raw.refused('Tmkdir', { dfid: 0, name, mode: 0o755, gid: 0 }), ...allowed)
      among(await raw.refused('Tsymlink', { dfid: 0, name, target: 't', gid: 0 }), ...allowed)
      among(await raw.refused('Tmknod', { dfid: 0, name, mode: 0o100644, major: 0, minor: 0, gid: 0 }), ...allowed)
      among(await raw.refused('Tlink', { dfid: 0, fid: 9, name }), ...allowed)
      among(await raw.refused('Trenameat', { olddirfid: 0, oldname: 'real', newdirfid: 0, newname: name }), ...allowed, 'EISDIR', 'EBUSY')
      among(await raw.refused('Trename', { fid: 9, dfid: 0, name }), ...allowed, 'EISDIR', 'EBUSY')
      await raw.clunk(1)
    }
    assert.equal(await ls(raw), ['real'])
    const longest = 'n'.repeat(255)
    await raw.mkdir(0, longest)
    assert.equal(await ls(raw), [longest, 'real'])
  }),
  c(45, 'Tlcreate on a fid that is open, or no directory', async (t) => {
    const { raw } = t
    await raw.walk(0, 1)
    await raw.open(1)
    assert.is(await raw.refused('Tlcreate', { fid: 1, name: 'x', flags: 0x42, mode: 0o644, gid: 0 }), 'EINVAL')
    await file(t, 'f')
    await raw.walk(0, 2, 'f')
    assert.is(await raw.refused('Tlcreate', { fid: 2, name: 'x', flags: 0x42, mode: 0o644, gid: 0 }), 'ENOTDIR')
    await raw.create(0, 3, 'g')
    among(await raw.refused('Tlcreate', { fid: 3, name: 'x', flags: 0x42, mode: 0o644, gid: 0 }), 'EINVAL', 'ENOTDIR')
    assert.equal(await ls(raw), ['f', 'g'])
  }),
  c(46, 'reading at the end, and across it', async ({ raw }) => {
    await raw.create(0, 1, 'f', '0123456789')
    assert.is(await raw.read(1, 8, 100), '89')
    for (const offset of [10, 11, 2 ** 31, 2 ** 32, 2 ** 40]) assert.is(await raw.read(1, offset, 100), '')
    assert.is(await raw.read(1, 3, 0), '')
    assert.is(await raw.read(1, 3, 2), '34')
  }),
  c(47, 'Tread of 2^32 - 1 bytes gets what fits', async (t) => {
    const raw = await t.client(8192)
    await raw.create(0, 1, 'f', Buffer.alloc(30_000, 'x'))
    for (const count of [0xffffffff, 0x80000000, 0x7fffffff, 8192, 8181]) assert.is((await raw.read(1, 0, count)).length, 8181)
    assert.is((await raw.read(1, 29_990, 0xffffffff)).length, 10)
  }),
  c(48, 'Tread needs a fid that is open for reading', async (t) => {
    const { raw } = t
    await file(t, 'f', 'text')
    await raw.walk(0, 1, 'f')
    among(await raw.refused('Tread', { fid: 1, offset: 0, count: 4 }), 'EBADF', 'EINVAL')
    await raw.open(1, 1)
    among(await raw.refused('Tread', { fid: 1, offset: 0, count: 4 }), 'EBADF', 'EINVAL')
    assert.is(await raw.write(1, 'T'), 1)
    await raw.walk(0, 2, 'f')
    among(await raw.refused('Twrite', { fid: 2, offset: 0, data: Buffer.from('x') }), 'EBADF', 'EINVAL')
    await raw.open(2, 0)
    among(await raw.refused('Twrite', { fid: 2, offset: 0, data: Buffer.from('x') }), 'EBADF', 'EINVAL')
    assert.is(await raw.read(2), 'Text')
  }),
  c(49, 'Tread and Twrite on a directory that is open', async ({ raw }) => {
    await raw.walk(0, 1)
    among(await raw.refused('Tread', { fid: 1, offset: 0, count: 4 }), 'EBADF', 'EISDIR')
    await raw.open(1)
    among(await raw.refused('Tread', { fid: 1, offset: 0, count: 4 }), 'EISDIR', 'EOPNOTSUPP')
    among(await raw.refused('Twrite', { fid: 1, offset: 0, data: Buffer.from('x') }), 'EBADF', 'EISDIR')
  }),
  c(50, 'a write beyond the end leaves a hole of zeros', async ({ raw }) => {
    await raw.create(0, 1, 'f', 'head')
    assert.is(await raw.write(1, 'tail', 100_000), 4)
    assert.is((await raw.getattr(1)).size, 100_004)
    const text = await raw.read(1, 0, 65000) + await raw.read(1, 65000, 65000)
    assert.is(text, 'head' + '\0'.repeat(99_996) + 'tail')
    assert.is(await raw.write(1, 'x', 2 ** 32 + 5), 1)
    assert.is(await raw.read(1, 2 ** 32, 100), '\0\0\0\0\0x')
  }),
  c(51, 'Twrite of nothing is 0; on a full disk it is ENOSPC, never 0', async (t) => {
    const { raw } = t
    await raw.create(0, 1, 'f', 'text')
    assert.is(await raw.write(1, ''), 0)
    assert.is((await raw.getattr(1)).size, 4)
    await raw.attach(2, '/full')
    await raw.create(2, 3, t.aname)
    let at = 0, refusal = ''
    while (refusal === '' && at < 2 ** 20) {
      const reply = await raw.call('Twrite', { fid: 3, offset: at, data: Buffer.alloc(40_000, 'x') })
      if (reply.name === 'Rlerror') refusal = String(reply.fields.ecode)
      else { assert.ok(reply.fields.count > 0); at += reply.fields.count }
    }
    assert.is(refusal, '28')
    assert.is((await raw.getattr(3)).size, at)
    await raw.ok('Tremove', { fid: 3 })
  }),
  c(52, 'Twrite whose count is not what the frame holds is EINVAL', async ({ raw }) => {
    await raw.create(0, 1, 'f', 'text')
    for (const lie of [3, 5, 0, 0xffffffff, 0x7fffffff]) {
      const bytes = frame('Twrite', 60001, { fid: 1, offset: 0, data: Buffer.from('DATA') })
      bytes.writeUInt32LE(lie, 19)
      raw.bytes(bytes)
      const reply = await raw.reply(60001)
      assert.equal([reply.name, reply.fields], ['Rlerror', { ecode: 22 }], String(lie))
    }
    assert.is(await raw.read(1), 'text')
  }),
  c(53, 'O_APPEND: each write goes to the end, whatever its offset', async (t) => {
    const { raw } = t
    await file(t, 'f', 'one')
    await raw.walk(0, 1, 'f')
    await raw.open(1, O.APPEND | 2)
    await raw.walk(0, 2, 'f')
    await raw.open(2, O.APPEND | 1)
    await raw.write(1, ' two', 0)
    await raw.write(2, ' three', 1)
    await raw.write(1, ' four', 99)
    assert.is(await raw.read(1), 'one two three four')
    await Promise.all(Array.from({ length: 50 }, (_, i) => raw.write(1 + i % 2, String.fromCharCode(65 + i % 26).repeat(10), 0)))
    const tail = (await raw.read(1)).slice(18)
    assert.is(tail.length, 500)
    assert.ok(/^(([A-Z])\2{9}){50}$/.test(tail), 'each write is whole')
  }),
  c(54, 'offsets from 2^53 on are refused or are the end; none is rounded', async ({ raw }) => {
    await raw.create(0, 1, 'f', 'text')
    const exact = (name: 'Tread' | 'Twrite', offset: bigint) => {
      const bytes = name === 'Tread' ? frame('Tread', 60001, { fid: 1, offset: 0, count: 4 }) : frame('Twrite', 60001, { fid: 1, offset: 0, data: Buffer.from('x') })
      bytes.writeBigUInt64LE(offset, 11)
      raw.bytes(bytes)
      return raw.reply(60001)
    }
    for (const offset of [2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 62n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 4n, 2n ** 64n - 1n]) {
      const read = await exact('Tread', offset)
      assert.ok(read.name === 'Rread' ? read.fields.data.length === 0 : [22, 27, 75].includes(read.fields.ecode), `Tread ${offset}`)
      const write = await exact('Twrite', offset)
      assert.is(write.name, 'Rlerror', `Twrite ${offset}`)
      assert.ok([22, 27].includes(write.fields.ecode), `Twrite ${offset}: ${write.fields.ecode}`)
    }
    for (const size of [2 ** 53, 2 ** 62, 2 ** 63, 2 ** 64 - 2048]) among(await setattr(raw, 1, 8, { size }), 'EFBIG', 'EINVAL')
    assert.is(await raw.read(1), 'text')
    assert.is((await raw.getattr(1)).size, 4)
  }),
  c(55, '50 reads and writes of one fid at once, each with its own data', async ({ raw }) => {
    await raw.create(0, 1, 'f')
    const block = (i: number) => Buffer.alloc(1000, String.fromCharCode(48 + i % 60) + i)
    await Promise.all(Array.from({ length: 50 }, async (_, i) => assert.is(await raw.write(1, block(i), i * 1000), 1000)))
    await Promise.all(Array.from({ length: 50 }, async (_, i) => {
      if (i % 5 === 0) await raw.write(1, block(i + 100), i * 1000)
      else assert.is(await raw.read(1, i * 1000, 1000), block(i).toString('latin1'))
    }))
    for (let i = 0; i < 50; i++) assert.is(await raw.read(1, i * 1000, 1000), block(i % 5 === 0 ? i + 100 : i).toString('latin1'))
  }),
  c(55, 'the same in one segment, with large blocks', async (t) => {
    const raw = await t.client(1048600)
    await raw.create(0, 1, 'f')
    const block = (i: number) => Buffer.alloc(40_000, String.fromCharCode(65 + i))
    raw.bytes(...Array.from({ length: 50 }, (_, i) => frame('Twrite', 61000 + i, { fid: 1, offset: i * 40_000, data: block(i) })))
    for (let i = 0; i < 50; i++) assert.equal((await raw.reply(61000 + i)).fields, { count: 40_000 })
    raw.bytes(...Array.from({ length: 50 }, (_, i) => frame('Tread', 62000 + i, { fid: 1, offset: i * 40_000, count: 40_000 })))
    for (let i = 49; i >= 0; i--) assert.ok(block(i).equals((await raw.reply(62000 + i)).fields.data), `block ${i}`)
  }),

  c(59, 'the second Tclunk is EBADF; the number is free at once', async (t) => {
    const { raw } = t
    await raw.walk(0, 1)
    await raw.clunk(1)
    assert.is(await raw.refused('Tclunk', { fid: 1 }), 'EBADF')
    await raw.create(0, 1, 'f', 'text')
    raw.bytes(frame('Tclunk', 60001, { fid: 1 }), frame('Twalk', 60002, { fid: 0, newfid: 1, names: [] }))
    assert.equal([(await raw.reply(60001)).name, (await raw.reply(60002)).name], ['Rclunk', 'Rwalk'])
    await raw.clunk(1)
    for (let i = 0; i < 100; i++) {
      await raw.walk(0, 1, 'f')
      await raw.open(1)
      await raw.clunk(1)
    }
  }),
  c(60, 'a Tclunk that fails frees its fid', async ({ raw }) => {
    await raw.walk(0, 1)
    await raw.ok('Txattrcreate', { fid: 1, name: 'user.a', attrSize: 10, flags: 0 })
    assert.is(await raw.refused('Tclunk', { fid: 1 }), 'EINVAL')
    assert.is(await raw.refused('Tclunk', { fid: 1 }), 'EBADF')
    await raw.walk(0, 1)
  }),
  c(61, 'Tremove frees its fid, whether it removes or not', async (t) => {
    const { raw } = t
    await raw.create(0, 1, 'f', 'text')
    await raw.ok('Tremove', { fid: 1 })
    assert.is(await raw.refused('Tclunk', { fid: 1 }), 'EBADF')
    await raw.mkdir(0, 'd')
    await raw.walk(0, 2, 'd')
    await raw.mkdir(2, 'in')
    assert.is(await raw.refused('Tremove', { fid: 2 }), 'ENOTEMPTY')
    assert.is(await raw.refused('Tclunk', { fid: 2 }), 'EBADF')
    await raw.walk(0, 2, 'd', 'in')
    await raw.ok('Tremove', { fid: 2 })
    await raw.walk(0, 2, 'd')
    await raw.ok('Tremove', { fid: 2 })
    assert.equal(await ls(raw), [])
  }),
  c(61, 'Tremove leaves another file alone that has the name by now', async (t) => {
    const { raw } = t
    await file(t, 'f', 'first')
    await raw.walk(0, 1, 'f')
    await raw.ok('Tunlinkat', { dirfid: 0, name: 'f', flags: 0 })
    await file(t, 'f', 'second')
    assert.is(await raw.refused('Tremove', { fid: 1 }), 'ENOENT')
    assert.is(await raw.content(0, 'f'), 'second')
  }),
  c(61, 'what other fids have of a removed file goes on', async (t) => {
    const { raw } = t
    await raw.create(0, 1, 'f', 'text')
    await raw.walk(0, 2, 'f')
    await raw.ok('Tremove', { fid: 2 })
    assert.is(await raw.read(1), 'text')
  }),
  c(62, 'Tremove of the root is refused, and frees its fid', async (t) => {
    const { raw } = t
    await raw.walk(0, 1)
    among(await raw.refused('Tremove', { fid: 1 }), 'EBUSY', 'EPERM', 'EINVAL')
    assert.is(await raw.refused('Tclunk', { fid: 1 }), 'EBADF')
    await raw.attach(3, '/')
    among(await raw.refused('Tremove', { fid: 3 }), 'EBUSY', 'EPERM', 'EINVAL')
    assert.is(await raw.refused('Tclunk', { fid: 3 }), 'EBADF')
    await raw.getattr(0)
  }),
  c(63, 'a file unlinked while open goes on', async ({ raw }) => {
    await raw.create(0, 1, 'f', 'text')
    const { qid } = await raw.getattr(1)
    await raw.ok('Tunlinkat', { dirfid: 0, name: 'f', flags: 0 })
    assert.is(await raw.refused('Twalk', { fid: 0, newfid: 2, names: ['f'] }), 'ENOENT')
    assert.is(await raw.read(1), 'text')
    await raw.write(1, 'TEXT more', 0)
    const attr = await raw.getattr(1, 0x3fff)
    assert.equal([attr.nlink, attr.size, attr.qid.path], [0, 9, qid.path])
    assert.is(await setattr(raw, 1, 0x68, { size: 2 }), 'ok')
    assert.is(await setattr(raw, 1, 0x41, { mode: 0o100600 }), 'ok')
    assert.is(await raw.read(1), 'TE')
    assert.is((await raw.getattr(1)).mode, 0o100600)
    await raw.ok('Tfsync', { fid: 1, datasync: 0 })
    assert.equal(await raw.ok('Tlock', { fid: 1, type: 1, flags: 0, start: 0n, length: 0n, procId: 1, clientId: 'c' }), { status: 0 })
    // Linux clones the fid of an open file to look at it.
    await raw.walk(1, 2)
    await raw.getattr(2)
    await raw.create(0, 3, 'f', 'new')
    assert.is(await raw.read(1), 'TE')
    assert.is.not((await raw.getattr(3)).qid.path, qid.path)
  }),
  c(42, 'what is there and does not open is not held on to', async ({ raw }) => {
    await raw.ok('Tmknod', { dfid: 0, name: 'pipe', mode: 0o010644, major: 0, minor: 0, gid: 0 })
    await raw.walk(0, 1)
    assert.is(await raw.refused('Tlcreate', { fid: 1, name: 'pipe', flags: O.WRONLY, mode: 0o644, gid: 0 }), 'ENXIO')
    await raw.ok('Tunlinkat', { dirfid: 0, name: 'pipe', flags: 0 })
  }),
  c(63, 'who has not opened what lost its last name is told that it is gone, and who has is not', async (t) => {
    const { raw } = t, other = await t.client()
    await raw.create(0, 1, 'f', 'text')
    await raw.walk(0, 2, 'f')
    await other.walk(0, 2, 'f')
    await raw.ok('Tunlinkat', { dirfid: 0, name: 'f', flags: 0 })
    assert.is((await raw.getattr(2)).nlink, 0)
    assert.is(await other.refused('Tgetattr', { fid: 2, mask: 0x3fff }), 'ENOENT')
    await raw.clunk(1)
    assert.is(await raw.refused('Tgetattr', { fid: 2, mask: 0x3fff }), 'ENOENT')
  }),
  c(63, 'a directory removed while open lists nothing, and takes nothing', async ({ raw }) => {
    await raw.mkdir(0, 'd')
    await raw.walk(0, 1, 'd')
    await raw.walk(0, 2, 'd')
    await raw.open(1)
    await raw.ok('Tunlinkat', { dirfid: 0, name: 'd', flags: REMOVEDIR })
    const reply = await raw.call('Treaddir', { fid: 1, offset: 0n, count: 4000 })
    assert.ok(reply.name === 'Rreaddir' || reply.fields.ecode === 2)
    assert.is(await raw.refused('Tmkdir', { dfid: 2, name: 'x', mode: 0o755, gid: 0 }), 'ENOENT')
    assert.is(await raw.refused('Tlcreate', { fid: 2, name: 'x', flags: 0x42, mode: 0o644, gid: 0 }), 'ENOENT')
  }),
  c(63, 'a file replaced while open goes on', async (t) => {
    const { raw } = t
    await raw.create(0, 1, 'f', 'old')
    await file(t, 'g', 'new')
    await raw.ok('Trenameat', { olddirfid: 0, oldname: 'g', newdirfid: 0, newname: 'f' })
    assert.is(await raw.read(1), 'old')
    assert.is(await raw.write(1, 'OLD'), 3)
    assert.is(await raw.content(0, 'f'), 'new')
    assert.is((await raw.getattr(1)).nlink, 0)
  }),
]
