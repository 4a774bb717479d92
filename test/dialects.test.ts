// What a client says to servers that speak 9P2000 and 9P2000.u, and what it makes of their answers: message by message, against a
// peer that a test scripts.

import { duplexPair } from 'node:stream'
import { Attrs, Client, DM, DONT_TOUCH, Dt, NONUNAME, NOTAG, O, OPEN, putStat, putUnixStat, QT, S } from 'ninep'
import type { Dialect, Errno, File, Stat, UnixStat } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fails, frame, Peer } from './scripted.ts'

const test = suite('dialects')
const all = ['9P2000.L', '9P2000.u', '9P2000'] as const
const dirQid = { type: QT.DIR, version: 1, path: 1n }, fileQid = { type: 0, version: 1, path: 7n }
const plain: Stat = { type: 0, dev: 0, qid: fileQid, mode: 0o644, atime: 11, mtime: 22, length: 33, name: 'f', uid: 'glenda', gid: 'sys', muid: 'bob' }
const unix: UnixStat = { ...plain, extension: '', nUid: 1000, nGid: 1001, nMuid: NONUNAME }

/** A client that proposes these, and who answers it. */
function proposing(dialect?: Dialect | readonly Dialect[]): { client: Promise<Client>; peer: Peer } {
  const [ours, theirs] = duplexPair()
  return { client: Client.over(ours, dialect ? { dialect } : {}), peer: new Peer(theirs) }
}
/** Attached, with a file walked to: fids 0 and 1. */
async function attached(dialect: '9P2000' | '9P2000.u', qid = fileQid): Promise<{ client: Client; peer: Peer; root: File; file: File; answer: typeof answer }> {
  const { client: opening, peer } = proposing(dialect)
  peer.send('Rversion', (await peer.next()).tag, { msize: 8192, version: dialect })
  peer.dialect = dialect
  const client = await opening, attaching = client.attach({ uname: 'me', uid: 5 })
  const answer = async (asked: string, fields: object, name: string, reply: object) => {
    const request = await peer.next()
    assert.equal([request.name, request.fields], [asked, fields])
    peer.say(name, request.tag, reply)
  }
  await answer('Tattach', { fid: 0, afid: 0xffffffff, uname: 'me', aname: '', ...(dialect === '9P2000' ? {} : { nUname: 5 }) }, 'Rattach', { qid: dirQid })
  const root = await attaching, walking = root.walk('f')
  await answer('Twalk', { fid: 0, newfid: 1, names: ['f'] }, 'Rwalk', { qids: [qid] })
  return { client, peer, root, file: await walking, answer }
}

test('one dialect after the other is proposed, until the server answers with what was proposed', async () => {
  const { client: opening, peer } = proposing(all)
  for (const [i, [version, msize]] of ([['unknown', 0], ['9P2000', 8192], ['9P2000', 4096]] as const).entries()) {
    const { tag, fields } = await peer.next()
    assert.equal([tag, fields], [NOTAG, { msize: 1048600, version: all[i] }])
    peer.send('Rversion', NOTAG, { msize, version })
  }
  const client = await opening
  assert.equal([client.dialect, client.msize], ['9P2000', 4096])
  await client.close()
})
test('a dialect that is refused with an error of any dialect is not spoken', async () => {
  const { client: opening, peer } = proposing(all)
  await peer.next()
  peer.send('Rlerror', NOTAG, { ecode: 5 })
  await peer.next()
  peer.stream.write(frame('Rerror', NOTAG, { ename: 'version not known' }, '9P2000'))
  await peer.next()
  peer.stream.write(Buffer.from('0b0000006bffff16000000', 'hex'))      // as nfs-ganesha: a number
  await fails('EPROTONOSUPPORT', /refused 9P2000 \(EINVAL: version "9P2000"\)/, opening)
})
test('unless told, 9P2000.L is spoken', async () => {
  const { client, peer } = proposing()
  assert.is((await peer.next()).fields.version, '9P2000.L')
  peer.send('Rversion', NOTAG, { msize: 8192, version: '9P2000.L' })
  assert.is((await client).dialect, '9P2000.L')
  const odd = (await client).rpc('Tstat', { fid: 0 })
  await fails('EOPNOTSUPP', /^EOPNOTSUPP: stat$/, odd)
  const named = (await client).rpc('Tclunk', { fid: 0 }), { tag } = await peer.next()
  peer.stream.write(Buffer.from(`0b0000006b${Buffer.from([tag, 0]).toString('hex')}02000000`, 'hex'))
  await fails('ENOENT', /clunk/, named)
  await (await client).close()
})

for (const dialect of ['9P2000', '9P2000.u'] as const) {
  const dotu = dialect === '9P2000.u', stat = dotu ? unix : plain
  /** All that is to be left alone, as the dialect has it. */
  const untouched = (({ extension, nUid, nGid, nMuid, ...rest }: UnixStat) => dotu ? { ...rest, extension, nUid, nGid, nMuid } : rest)(DONT_TOUCH)
  const creating = (fields: object, extension = '') => ({ fid: 2, ...fields, ...(dotu ? { extension } : {}) })

  test(`${dialect}: errors by number or by words`, async () => {
    const { client, peer, file } = await attached(dialect)
    for (const [ename, errno, code, says] of [
      ['No such file or directory', 2, 'ENOENT', /^ENOENT: stat$/],
      ['file does not exist', 0, 'ENOENT', /^ENOENT: stat$/],
      ['PERMISSION DENIED', 0, 'EACCES', /^EACCES: stat$/],
      ['phase of the moon', 0, 'EIO', /^EIO: stat \(phase of the moon\)$/],
      ['phase of the moon', 4000, 'EIO', /^EIO: stat \(phase of the moon\)$/],
      ...(dotu ? [['phase of the moon', 17, 'EEXIST', /^EEXIST: stat$/] as const] : []),
    ] as const) {
      const asking = file.getattr()
      peer.say('Rerror', (await peer.next()).tag, { ename, errno })
      await fails(code, says, asking)
    }
    const asking = file.getattr().catch((error: Error) => error.cause)
    peer.say('Rerror', (await peer.next()).tag, { ename: 'phase of the moon', errno: 0 })
    assert.is((await asking as Error).message, 'phase of the moon')
    await client.close()
  })

  test(`${dialect}: a file is opened, read and written`, async () => {
    const { client, file, answer } = await attached(dialect)
    const opening = file.open(O.RDWR | O.TRUNC | O.NOFOLLOW | O.CLOEXEC)
    await answer('Topen', { fid: 1, mode: OPEN.RDWR | OPEN.TRUNC }, 'Ropen', { qid: fileQid, iounit: 1000 })
    await opening
    const writing = file.write(Buffer.alloc(1500, 1), 10)
    await answer('Twrite', { fid: 1, offset: 10, data: Buffer.alloc(1000, 1) }, 'Rwrite', { count: 1000 })
    await answer('Twrite', { fid: 1, offset: 1010, data: Buffer.alloc(500, 1) }, 'Rwrite', { count: 500 })
    await writing
    const reading = file.read(3, 10)
    await answer('Tread', { fid: 1, offset: 3, count: 10 }, 'Rread', { data: Buffer.from('abc') })
    await answer('Tread', { fid: 1, offset: 6, count: 7 }, 'Rread', { data: Buffer.alloc(0) })
    assert.is(String(await reading), 'abc')
    const syncing = file.fsync()
    await answer('Twstat', { fid: 1, stat: untouched }, 'Rwstat', {})
    await syncing
    await fails('ENOTDIR', /open/, file.open(O.DIRECTORY))
    await client.close()
  })

  test(`${dialect}: an append goes where the file ends now`, async () => {
    const { client, file, answer } = await attached(dialect)
    const opening = file.open(O.WRONLY | O.APPEND)
    await answer('Topen', { fid: 1, mode: OPEN.WRITE | (dotu ? OPEN.APPEND : 0) }, 'Ropen', { qid: fileQid, iounit: 0 })
    await opening
    const writing = file.write(Buffer.from('x'), 0)
    await answer('Tstat', { fid: 1 }, 'Rstat', { stat })
    await answer('Twrite', { fid: 1, offset: 33, data: Buffer.from('x') }, 'Rwrite', { count: 1 })
    await writing
    await client.close()
  })

  test(`${dialect}: create opens what is there, unless that is forbidden`, async () => {
    const { client, peer, root, answer } = await attached(dialect)
    const existing = root.create('a', O.RDWR, 0o640)
    await answer('Twalk', { fid: 0, newfid: 2, names: ['a'] }, 'Rwalk', { qids: [fileQid] })
    await answer('Topen', { fid: 2, mode: OPEN.RDWR }, 'Ropen', { qid: fileQid, iounit: 0 })
    const closing = (await existing).clunk()
    await answer('Tclunk', { fid: 2 }, 'Rclunk', {})
    await closing
    // it comes and goes: walk ENOENT, create EEXIST, walk again
    const racing = root.create('a', O.RDWR | O.TRUNC, 0o640)
    await answer('Twalk', { fid: 0, newfid: 2, names: ['a'] }, 'Rerror', { ename: 'file not found', errno: 0 })
    await answer('Twalk', { fid: 0, newfid: 2, names: [] }, 'Rwalk', { qids: [] })
    await answer('Tcreate', creating({ name: 'a', perm: 0o640, mode: OPEN.RDWR }), 'Rerror', { ename: 'file exists', errno: 0 })
    await answer('Tclunk', { fid: 2 }, 'Rclunk', {})
    await answer('Twalk', { fid: 0, newfid: 2, names: ['a'] }, 'Rwalk', { qids: [fileQid] })
    await answer('Topen', { fid: 2, mode: OPEN.RDWR | OPEN.TRUNC }, 'Ropen', { qid: fileQid, iounit: 0 })
    await racing
    const exclusive = root.create('a', O.RDWR | O.EXCL, 0o640)
    await answer('Twalk', { fid: 0, newfid: 3, names: [] }, 'Rwalk', { qids: [] })
    await answer('Tcreate', { ...creating({ name: 'a', perm: 0o640, mode: OPEN.RDWR }), fid: 3 }, 'Rerror', { ename: 'file exists', errno: 0 })
    await answer('Tclunk', { fid: 3 }, 'Rclunk', {})
    await fails('EEXIST', /create "a"/, exclusive)
    await fails('EOPNOTSUPP', /create "a"/, root.create('a', O.RDWR, 0o640, 5))
    assert.ok(await peer.quiet())
    await client.close()
  })

  test(`${dialect}: mkdir, and plain files by mknod`, async () => {
    const { client, root, answer } = await attached(dialect)
    for (const [make, perm] of [[() => root.mkdir('d', 0o40755), (DM.DIR | 0o755) >>> 0], [() => root.mknod('d', S.IFREG | 0o600), 0o600]] as const) {
      const making = make()
      await answer('Twalk', { fid: 0, newfid: 2, names: [] }, 'Rwalk', { qids: [] })
      await answer('Tcreate', creating({ name: 'd', perm, mode: OPEN.READ }), 'Rcreate', { qid: dirQid, iounit: 0 })
      await answer('Tclunk', { fid: 2 }, 'Rclunk', {})
      assert.equal(await making, dirQid)
    }
    await client.close()
  })

  test(`${dialect}: a directory is read by byte offsets, whole entries at a time`, async () => {
    const { client, root, answer } = await attached(dialect)
    const listing = root.readdir(), first = listing.next()
    const entries = [plain, { ...plain, name: 'd', mode: (DM.DIR | 0o755) >>> 0, qid: dirQid }, { ...plain, name: 'caf\udce9' }]
    const pack = (stats: Stat[]) => {
      const into = Buffer.alloc(4096)
      return into.subarray(0, stats.reduce((at, one) => dotu ? putUnixStat(into, at, 4096, { ...unix, ...one }) : putStat(into, at, 4096, one), 0))
    }
    await answer('Twalk', { fid: 0, newfid: 2, names: [] }, 'Rwalk', { qids: [] })
    await answer('Topen', { fid: 2, mode: OPEN.READ }, 'Ropen', { qid: dirQid, iounit: 0 })
    const data = pack(entries.slice(0, 2))
    await answer('Tread', { fid: 2, offset: 0, count: 8168 }, 'Rread', { data })
    assert.equal((await first).value, { qid: fileQid, cookie: BigInt(data.length), type: Dt.REG, name: 'f' })
    assert.equal((await listing.next()).value, { qid: dirQid, cookie: BigInt(data.length), type: Dt.DIR, name: 'd' })
    const third = listing.next()
    await answer('Tread', { fid: 2, offset: data.length, count: 8168 }, 'Rread', { data: pack(entries.slice(2)) })
    assert.is((await third).value!.name, 'caf\udce9')
    const end = listing.next()
    const cut = data.subarray(0, data.length - 1)
    await answer('Tread', { fid: 2, offset: data.length + pack(entries.slice(2)).length, count: 8168 }, 'Rread', { data: cut })
    await answer('Tclunk', { fid: 2 }, 'Rclunk', {})
    await fails('EINVAL', /decode "stat"/, end)
    await client.close()
  })

  test(`${dialect}: what getattr makes of a stat`, async () => {
    const { client, file, answer } = await attached(dialect)
    const ask = async (changes: object) => {
      const asking = file.getattr()
      await answer('Tstat', { fid: 1 }, 'Rstat', { stat: { ...stat, ...changes } })
      return asking
    }
    const basic = Attrs.MODE | Attrs.ATIME | Attrs.MTIME | Attrs.INO | Attrs.SIZE
    const attr = await ask({})
    assert.equal([attr.mode, attr.size, attr.atime, attr.mtime, attr.qid, attr.names], [S.IFREG | 0o644, 33, { sec: 11, nsec: 0 }, { sec: 22, nsec: 0 }, fileQid, { uid: 'glenda', gid: 'sys', muid: 'bob' }])
    assert.equal([attr.valid, attr.uid, attr.gid], dotu ? [basic | Attrs.UID | Attrs.GID, 1000, 1001] : [basic, NONUNAME, NONUNAME])
    assert.is((await ask({ mode: (DM.DIR | 0o700) >>> 0 })).mode, S.IFDIR | 0o700)
    assert.equal([(await ask({ uid: '77', nUid: NONUNAME })).uid, (await ask({ mode: DM.APPEND | 0o600 })).mode], [77, S.IFREG | 0o600])
    if (dotu) {
      assert.is((await ask({ mode: DM.SYMLINK | 0o777, extension: 'a/b' })).mode, S.IFLNK | 0o777)
      assert.is((await ask({ mode: DM.NAMEDPIPE | DM.SETUID | DM.SETVTX | 0o600 })).mode, S.IFIFO | 0o5600)
      assert.is((await ask({ mode: DM.SOCKET | DM.SETGID })).mode, S.IFSOCK | 0o2000)
      const device = await ask({ mode: DM.DEVICE | 0o600, extension: 'c 1 3' })
      assert.equal([device.mode, device.rdev, device.valid & Attrs.RDEV], [S.IFCHR | 0o600, 0x103n, Attrs.RDEV])
      assert.is((await ask({ mode: DM.DEVICE, extension: 'b 8 0' })).mode, S.IFBLK)
      const linked = await ask({ extension: ' HARDLINKCOUNT 3' })
      assert.equal([linked.nlink, linked.valid & Attrs.NLINK], [3, Attrs.NLINK])
    } else {
      assert.is((await ask({ mode: DM.SYMLINK | DM.SETUID | 0o777 })).mode, S.IFREG | 0o777)
    }
    await client.close()
  })

  test(`${dialect}: setattr is one Twstat`, async () => {
    const { client, peer, root, file, answer } = await attached(dialect, { ...fileQid, type: QT.APPEND })
    const set = async (what: Parameters<File['setattr']>[0], stat: object, of = file) => {
      const setting = of.setattr(what)
      await answer('Twstat', { fid: of.fid, stat: { ...untouched, ...stat } }, 'Rwstat', {})
      await setting
    }
    await set({ mode: 0o100600, size: 5, mtime: { sec: 7, nsec: 9 } }, { mode: DM.APPEND | 0o600, length: 5, mtime: 7 })
    await set({ mode: 0o755 }, { mode: (DM.DIR | 0o755) >>> 0 }, root)
    await set({ ctime: 'now' }, {})
    const before = Math.floor(Date.now() / 1000), now = file.setattr({ atime: 'now' }), { tag, fields } = await peer.next()
    peer.say('Rwstat', tag, {})
    await now
    assert.ok(fields.stat.atime >= before && fields.stat.atime <= Date.now() / 1000)
    if (dotu) {
      await set({ uid: 5, gid: 6 }, { nUid: 5, nGid: 6 })
      await set({ mode: 0o7711 }, { mode: DM.APPEND | DM.SETUID | DM.SETGID | DM.SETVTX | 0o711 })
    } else {
      await fails('EOPNOTSUPP', /setattr/, file.setattr({ uid: 5, mode: 0o600 }))
      await fails('EOPNOTSUPP', /setattr/, file.setattr({ mode: 0o4755 }))
    }
    await fails('EOVERFLOW', /setattr/, file.setattr({ mtime: { sec: -1, nsec: 0 } }))
    await fails('EOVERFLOW', /setattr/, file.setattr({ mtime: { sec: 0xffffffff, nsec: 0 } }))
    await fails('EFBIG', /setattr/, file.setattr({ size: 2 ** 64 }))
    assert.ok(await peer.quiet())
    await client.close()
  })

  test(`${dialect}: a rename stays within its directory`, async () => {
    const { client, peer, root, file, answer } = await attached(dialect)
    const moving = root.renameat('a', root, 'b')
    await answer('Twalk', { fid: 0, newfid: 2, names: ['a'] }, 'Rwalk', { qids: [fileQid] })
    await answer('Twstat', { fid: 2, stat: { ...untouched, name: 'b' } }, 'Rerror', { ename: 'file exists', errno: 0 })
    await answer('Tclunk', { fid: 2 }, 'Rclunk', {})
    await fails('EEXIST', /wstat "b"/, moving)
    await fails('EXDEV', /rename "a"/, root.renameat('a', file, 'b'))
    assert.ok(await peer.quiet())
    for (const [path, code] of [[7n, undefined], [8n, 'EXDEV']] as const) {
      const renaming = file.rename(root, 'g')
      await answer('Tstat', { fid: 1 }, 'Rstat', { stat })
      await answer('Twalk', { fid: 0, newfid: 2, names: ['f'] }, 'Rwalk', { qids: [{ ...fileQid, path }] })
      await answer('Tclunk', { fid: 2 }, 'Rclunk', {})
      if (code) await fails(code, /rename "g"/, renaming)
      else {
        await answer('Twstat', { fid: 1, stat: { ...untouched, name: 'g' } }, 'Rwstat', {})
        await renaming
      }
    }
    await client.close()
  })

  test(`${dialect}: unlinkat is a walk and a Tremove, of the kind that was meant`, async () => {
    const { client, root, answer } = await attached(dialect)
    const removing = root.unlinkat('a')
    await answer('Twalk', { fid: 0, newfid: 2, names: ['a'] }, 'Rwalk', { qids: [fileQid] })
    await answer('Tremove', { fid: 2 }, 'Rremove', {})
    await removing
    const wrong = root.unlinkat('d')
    await answer('Twalk', { fid: 0, newfid: 2, names: ['d'] }, 'Rwalk', { qids: [dirQid] })
    await answer('Tclunk', { fid: 2 }, 'Rclunk', {})
    await fails('EISDIR', /"d"/, wrong)
    await client.close()
  })

  test(`${dialect}: what it has no words for is EOPNOTSUPP, and nothing is sent`, async () => {
    const { client, peer, root, file } = await attached(dialect)
    const lock = { type: 0, flags: 0, start: 0n, length: 0n, procId: 1, clientId: 'x' }
    for (const [what, trying] of [
      ['extended attributes', () => file.getxattr('user.a')], ['extended attributes', () => file.listxattr()],
      ['extended attributes', () => file.setxattr('user.a', new Uint8Array(1))], ['extended attributes', () => file.removexattr('user.a')],
      ['sizes of file systems', () => root.statfs()], ['locks', () => file.lock(lock)], ['locks', () => file.getlock(lock)],
      ...(dotu ? [] : [
        ['symbolic links', () => root.symlink('l', 't')], ['symbolic links', () => file.readlink()], ['hard links', () => root.link(file, 'l')],
        ['pipes', () => root.mknod('p', S.IFIFO | 0o600)], ['devices', () => root.mknod('p', S.IFCHR | 0o600, 1, 3)], ['sockets', () => root.mknod('p', S.IFSOCK | 0o600)],
        ['set-user-id, set-group-id and sticky bits', () => root.mkdir('d', 0o1777)],
      ] as const),
    ] as const) {
      const error = await (trying() as Promise<unknown>).then(() => undefined, (error: Errno) => error)
      assert.equal([error?.code, (error?.cause as Error).message], ['EOPNOTSUPP', `${dialect} has no ${what}`])
    }
    assert.ok(await peer.quiet())
    await client.close()
  })
}

test('9P2000.u: links, pipes, sockets and devices are made by Tcreate', async () => {
  const { client, root, file, answer } = await attached('9P2000.u')
  for (const [making, perm, extension] of [
    [() => root.symlink('x', 'a/b'), DM.SYMLINK | 0o777, 'a/b'],
    [() => root.link(file, 'x'), DM.LINK, '1\n'],
    [() => root.mknod('x', S.IFIFO | 0o600), DM.NAMEDPIPE | 0o600, ''],
    [() => root.mknod('x', S.IFSOCK | 0o600), DM.SOCKET | 0o600, ''],
    [() => root.mknod('x', S.IFCHR | 0o600, 1, 3), DM.DEVICE | 0o600, 'c 1 3'],
    [() => root.mknod('x', S.IFBLK | 0o4600, 8, 17), DM.DEVICE | DM.SETUID | 0o600, 'b 8 17'],
  ] as const) {
    const made = making()
    await answer('Twalk', { fid: 0, newfid: 2, names: [] }, 'Rwalk', { qids: [] })
    await answer('Tcreate', { fid: 2, name: 'x', perm, mode: OPEN.READ, extension }, 'Rcreate', { qid: fileQid, iounit: 0 })
    await answer('Tclunk', { fid: 2 }, 'Rclunk', {})
    await made
  }
  for (const [mode, code] of [[DM.SYMLINK | 0o777, undefined], [0o644, 'EINVAL']] as const) {
    const reading = file.readlink()
    await answer('Tstat', { fid: 1 }, 'Rstat', { stat: { ...unix, mode, extension: 'a/b' } })
    if (code) await fails(code, /readlink/, reading)
    else assert.is(await reading, 'a/b')
  }
  await client.close()
})
test.run()
