import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as net from 'node:net'
import * as os from 'node:os'
import * as path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { deviceNumber, deviceParts, isErrno } from 'ninep'
import type { Code } from 'ninep'
import * as sys from '../translators/sys.ts'

const test = suite('sys')

/** That f is refused with this errno, and with a message that names the call. */
function refused(code: Code, op: string, f: () => unknown): void {
  try { f() } catch (e) {
    assert.ok(isErrno(e, code), `${String(e)} is not ${code}`)
    assert.ok((e as Error).message.startsWith(`${code}: ${op}`), (e as Error).message)
    return
  }
  assert.unreachable(`${op} was not refused with ${code}`)
}

test('dupCloexec: another number for the same file, not inherited', () => {
  const fd = fs.openSync('/dev/null', 'r')
  const copy = sys.dupCloexec(fd)
  assert.is.not(copy, fd)
  assert.is(fs.readlinkSync(`/proc/self/fd/${copy}`), '/dev/null')
  assert.match(fs.readFileSync(`/proc/self/fdinfo/${copy}`, 'utf8'), /^flags:\s+0?2[0-7]{6}$/m)
  fs.closeSync(copy)
  fs.closeSync(fd)
  refused('EBADF', 'dup', () => sys.dupCloexec(copy))
})

test('peerCredentials: who is at the other end of a unix socket', async () => {
  const at = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'ninefold-sys-')), 's')
  const server = net.createServer().listen(at)
  try {
    const accepted = new Promise<net.Socket>((resolve) => server.once('connection', resolve))
    const client = net.connect(at)
    const socket = await accepted
    const fd = (socket as unknown as { _handle: { fd: number } })._handle.fd
    assert.equal(sys.peerCredentials(fd), { pid: process.pid, uid: process.getuid!(), gid: process.getgid!() })
    client.destroy()
    socket.destroy()
  } finally {
    server.close()
    fs.rmSync(path.dirname(at), { recursive: true })
  }
  const fd = fs.openSync('/dev/null', 'r')
  refused('EIO', 'getsockopt', () => sys.peerCredentials(fd))   // ENOTSOCK: none of the protocol's numbers
  fs.closeSync(fd)
})

// Each call does what it says, and what the kernel refuses is that errno, with the call's name.

function inFolder(run: (dir: string, fd: number) => void): () => void {
  return () => {
    const dir = fs.mkdtempSync(path.join(fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir(), 'ninefold-sys-'))
    const before = fs.readdirSync('/proc/self/fd').length, fd = sys.openPath(dir, sys.Open.PATH | sys.Open.DIRECTORY)
    try { run(dir, fd) } finally {
      sys.close(fd)
      fs.rmSync(dir, { recursive: true, force: true })
    }
    assert.is(fs.readdirSync('/proc/self/fd').length, before)
  }
}
const { Open, stat } = sys

test('openat, openPath, reopen, openParent, close', inFolder((dir, fd) => {
  const file = sys.openat(fd, 'f', Open.RDWR | Open.CREAT | Open.EXCL, 0o600)
  assert.is(fs.readlinkSync(`/proc/self/fd/${file}`), `${dir}/f`)
  refused('EEXIST', 'open', () => sys.openat(fd, 'f', Open.RDWR | Open.CREAT | Open.EXCL, 0o600))
  refused('ENOENT', 'open', () => sys.openat(fd, 'none', Open.RDONLY))
  refused('EISDIR', 'open', () => sys.reopen(fd, Open.WRONLY))
  refused('ENOTDIR', 'open', () => sys.openat(file, 'x', Open.RDONLY))
  refused('ENAMETOOLONG', 'open', () => sys.openat(fd, 'x'.repeat(256), Open.RDONLY))
  refused('ENAMETOOLONG', 'open', () => sys.openPath('x/'.repeat(4096), Open.RDONLY))
  for (const name of ['', '.', '..', 'a/b', 'a\0b']) refused('EINVAL', 'open', () => sys.openat(fd, name, Open.RDONLY))
  fs.symlinkSync('f', `${dir}/l`)
  refused('ELOOP', 'open', () => sys.openat(fd, 'l', Open.RDONLY | Open.NOFOLLOW))
  const again = sys.reopen(file, Open.RDONLY), listing = sys.reopenDirectory(fd), above = sys.openParent(fd)
  assert.is(fs.readlinkSync(`/proc/self/fd/${above}`), path.dirname(dir))
  for (const open of [file, again, listing, above]) sys.close(open)
  refused('EBADF', 'close', () => sys.close(file))
  refused('EBADF', 'open', () => sys.reopenDirectory(file))
}))

test('stat: what fs.stat says, of what is open, of an entry, or of none', inFolder((dir, fd) => {
  fs.writeFileSync(`${dir}/f`, 'abc')
  fs.utimesSync(`${dir}/f`, -1.5, 5_000_000_000)
  fs.symlinkSync('f', `${dir}/l`)
  for (const name of ['f', 'l']) {
    sys.statAt(fd, name)
    const is = fs.lstatSync(`${dir}/${name}`, { bigint: true })
    assert.equal([stat.mode, stat.nlink, stat.uid, stat.gid, stat.size, stat.blocks, stat.blksize, BigInt(stat.ino)].map(Number),
      [is.mode, is.nlink, is.uid, is.gid, is.size, is.blocks, is.blksize, is.ino].map(Number))
    for (const [time, ns] of [[stat.atime, is.atimeNs], [stat.mtime, is.mtimeNs], [stat.ctime, is.ctimeNs], [stat.btime, is.birthtimeNs]] as const) {
      assert.is(BigInt(time.sec) * 10n ** 9n + BigInt(time.nsec), ns)
    }
    assert.equal([stat.mtimeSec, stat.mtimeNsec], [stat.mtime.sec, stat.mtime.nsec])
    assert.equal([stat.ctimeSec, stat.ctimeNsec, stat.btimeSec, stat.btimeNsec], [stat.ctime.sec, stat.ctime.nsec, stat.btime.sec, stat.btime.nsec])
  }
  sys.statFd(fd)
  assert.is(BigInt(stat.ino), fs.statSync(dir, { bigint: true }).ino)
  assert.is(sys.statIfAny(fd, 'none'), false)
  assert.is(sys.statIfAny(fd, 'f'), true)
  refused('ENOENT', 'stat', () => sys.statAt(fd, 'none'))
  refused('ENAMETOOLONG', 'stat', () => sys.statIfAny(fd, 'x'.repeat(300)))
  refused('EBADF', 'stat', () => sys.statFd(999_999))
}))

test('device numbers are packed as Linux packs them', () => {
  const nothing = sys.openPath('/dev/null', Open.PATH)
  sys.statFd(nothing)
  assert.is(stat.rdev, 0x103)
  sys.close(nothing)
  assert.is(deviceNumber(0xabc, 0x12345), 0x123abc45)
  assert.is(deviceNumber(0xfff, 0xfffff), 0xffffffff)
  for (const [major, minor] of [[0x1000, 0], [0, 0x100000]] as const) refused('EINVAL', 'device', () => deviceNumber(major, minor))
  assert.equal(deviceParts(0x123abc45n), { major: 0xabc, minor: 0x12345 })
})

test('names in directories', inFolder((dir, fd) => {
  sys.mkdirat(fd, 'd', 0o700)
  refused('EEXIST', 'mkdir', () => sys.mkdirat(fd, 'd', 0o700))
  sys.mknodat(fd, 'p', 0o010600, 0)
  assert.ok(fs.lstatSync(`${dir}/p`).isFIFO())
  refused('EINVAL', 'mknod', () => sys.mknodat(fd, 'q', 0o170000, 0))
  sys.symlinkat('tärget', fd, 'l')
  refused('EEXIST', 'symlink', () => sys.symlinkat('x', fd, 'l'))
  const link = sys.openat(fd, 'l', Open.PATH | Open.NOFOLLOW), file = sys.openat(fd, 'p', Open.PATH | Open.NOFOLLOW)
  assert.is(sys.readlinkFd(link), 'tärget')
  refused('EINVAL', 'readlink', () => sys.readlinkFd(file))
  sys.linkFd(link, fd, 'l2')
  assert.is(fs.readlinkSync(`${dir}/l2`), 'tärget')
  refused('EEXIST', 'link', () => sys.linkFd(file, fd, 'd'))
  refused('EPERM', 'link', () => sys.linkFd(fd, fd, 'dir'))
  sys.renameat(fd, 'p', fd, 'q')
  refused('ENOENT', 'rename', () => sys.renameat(fd, 'p', fd, 'r'))
  refused('EEXIST', 'rename', () => sys.moveAnew(fd, 'q', fd, 'l2'))
  sys.moveAnew(fd, 'q', fd, 'r')
  refused('EISDIR', 'unlink', () => sys.unlinkat(fd, 'd', 0))
  refused('ENOTDIR', 'unlink', () => sys.unlinkat(fd, 'r', 0x200))
  for (const name of ['l', 'l2', 'r']) sys.unlinkat(fd, name, 0)
  sys.unlinkat(fd, 'd', 0x200)
  refused('ENOENT', 'unlink', () => sys.unlinkat(fd, 'd', 0))
  assert.equal(fs.readdirSync(dir), [])
  sys.close(link)
  sys.close(file)
}))

test('getdents and seek: entries from a cookie on', inFolder((dir, fd) => {
  for (const name of ['a', 'b', 'c']) fs.writeFileSync(`${dir}/${name}`, '')
  const listing = sys.reopenDirectory(fd), to = Buffer.alloc(4096)
  const size = sys.getdents(listing, to), seen: [string, bigint][] = []
  for (let at = 0; at < size; at += to.readUInt16LE(at + 16)) seen.push([to.toString('utf8', at + 19, to.indexOf(0, at + 19)), to.readBigInt64LE(at + 8)])
  assert.equal(seen.map(([name]) => name).sort(), ['.', '..', 'a', 'b', 'c'])
  assert.is(sys.getdents(listing, to), 0)
  sys.seek(listing, seen[2]![1])
  const rest = sys.getdents(listing, to)
  assert.is(to.toString('utf8', 19, to.indexOf(0, 19)), seen[3]![0])
  assert.ok(rest < size)
  sys.seek(listing, 0n)
  refused('EINVAL', 'getdents', () => sys.getdents(listing, Buffer.alloc(8)))
  refused('EBADF', 'getdents', () => sys.getdents(fd, to))
  refused('EINVAL', 'lseek', () => sys.seek(listing, -1n))
  sys.close(listing)
}))

test('attributes by a descriptor that is open for nothing', inFolder((dir, fd) => {
  fs.writeFileSync(`${dir}/f`, 'abc')
  const file = sys.openat(fd, 'f', Open.PATH | Open.NOFOLLOW), is = () => fs.statSync(`${dir}/f`, { bigint: true })
  sys.chmod(file, 0o4711)
  assert.is(Number(is().mode & 0o7777n), 0o4711)
  sys.chown(file, undefined, undefined)
  if (process.geteuid!() === 0) {
    sys.chown(file, 70000, undefined)
    sys.chown(file, undefined, 70001)
    assert.equal([is().uid, is().gid], [70000n, 70001n])
  }
  sys.truncate(file, 1, false)
  assert.is(is().size, 1n)
  refused('EINVAL', 'truncate', () => sys.truncate(file, -1, false))
  refused('EBADF', 'truncate', () => sys.truncate(file, 1, true))
  refused('EISDIR', 'truncate', () => sys.truncate(fd, 1, false))
  sys.utimens(file, { sec: -3, nsec: 4 }, undefined)
  const mtime = is().mtimeNs
  assert.equal([is().atimeNs, is().mtimeNs], [-3n * 10n ** 9n + 4n, mtime])
  sys.utimens(file, undefined, { sec: 4_000_000_000, nsec: 999_999_999 })
  assert.is(is().mtimeNs, 4_000_000_000_999_999_999n)
  sys.utimens(file, 'now', 'now')
  assert.ok(Math.abs(Number(is().mtimeMs) - Date.now()) < 5000)
  refused('EBADF', 'utimens', () => sys.utimens(999_999, 'now', 'now'))
  fs.symlinkSync('f', `${dir}/l`)
  const link = sys.openat(fd, 'l', Open.PATH | Open.NOFOLLOW)
  refused('EOPNOTSUPP', 'chmod', () => sys.chmod(link, 0o700))
  sys.close(link)
  sys.close(file)
}))

test('extended attributes', inFolder((dir, fd) => {
  fs.writeFileSync(`${dir}/f`, '')
  const file = sys.openat(fd, 'f', Open.PATH | Open.NOFOLLOW)
  assert.is(sys.xattrIfAny(file, 'user.a'), undefined)
  try { sys.setxattr(file, 'user.a', Buffer.from('value'), 0) } catch (e) {
    if (!isErrno(e, 'EOPNOTSUPP')) throw e                // tmpfs before kernel 6.6
    sys.close(file)
    return
  }
  assert.is(Buffer.from(sys.getxattr(file, 'user.a')).toString(), 'value')
  sys.setxattr(file, 'user.ä', new Uint8Array(), 0)
  assert.is(sys.xattrIfAny(file, 'user.ä')!.length, 0)
  assert.equal(sys.listxattr(file).sort(), ['user.a', 'user.ä'])
  refused('EEXIST', 'setxattr', () => sys.setxattr(file, 'user.a', Buffer.from('x'), 1))
  refused('ENODATA', 'setxattr', () => sys.setxattr(file, 'user.b', Buffer.from('x'), 2))
  refused('ENODATA', 'getxattr', () => sys.getxattr(file, 'user.b'))
  refused('EOPNOTSUPP', 'getxattr', () => sys.getxattr(file, 'nonsense'))
  refused('E2BIG', 'setxattr', () => sys.setxattr(file, 'user.big', new Uint8Array(65537), 0))
  sys.removexattr(file, 'user.a')
  refused('ENODATA', 'removexattr', () => sys.removexattr(file, 'user.a'))
  sys.close(file)
}))

test('contents: pread, pwrite, what is cached, read and write', inFolder((_dir, fd) => {
  const file = sys.openat(fd, 'f', Open.RDWR | Open.CREAT, 0o600), into = Buffer.alloc(10)
  assert.is(sys.pwrite(file, Buffer.from('hello'), 3), 5)
  assert.is(sys.pread(file, into, 1), 7)
  assert.is(into.toString('latin1', 0, 7), '\0\0hello')
  assert.is(sys.pread(file, into.subarray(2, 4), 3), 2)
  assert.is(into.toString('latin1', 2, 4), 'he')
  assert.is(sys.pwrite(file, Buffer.from('x'), 5_000_000_000), 1)
  assert.is(sys.pread(file, into, 5_000_000_000), 1)
  let cached: number | undefined
  try { cached = sys.preadCached(file, into.subarray(0, 5), 3) } catch (e) { if (!isErrno(e, 'EOPNOTSUPP')) throw e }
  assert.ok(cached === undefined || (cached === 5 && into.toString('latin1', 0, 5) === 'hello'))
  refused('EINVAL', 'read', () => sys.pread(file, into, -1))
  refused('EINVAL', 'write', () => sys.pwrite(file, into, -1))
  const reader = sys.reopen(file, Open.RDONLY)
  refused('EBADF', 'write', () => sys.pwrite(reader, into, 0))
  sys.close(reader)
  sys.close(file)
  sys.mknodat(fd, 'p', 0o010600, 0)
  const end = sys.openat(fd, 'p', Open.RDWR | Open.NONBLOCK)
  refused('EAGAIN', 'read', () => sys.read(end, into))
  assert.is(sys.write(end, Buffer.from('abc')), 3)
  assert.is(sys.read(end, into), 3)
  for (let room = true; room;) try { sys.write(end, Buffer.alloc(65536)) } catch (e) { room = false; assert.ok(isErrno(e, 'EAGAIN')) }
  sys.close(end)
}))

test('statfs and syncfs', async () => {
  const fd = sys.openPath(os.tmpdir(), Open.RDONLY), is = fs.statfsSync(os.tmpdir()), said = sys.statfs(fd)
  assert.equal([said.type, said.unit, said.blocks, said.files], [is.type, is.bsize, is.blocks, is.files])
  assert.ok(said.namelen >= 255 && said.bfree >= said.bavail)
  await sys.syncfs(fd)
  sys.close(fd)
  refused('EBADF', 'statfs', () => sys.statfs(fd))
  let told: unknown
  await sys.syncfs(fd).catch((e: unknown) => { told = e })
  assert.ok(isErrno(told, 'EIO'))
})

test('handles: the same for one file, another for the next of its number', inFolder((dir, fd) => {
  fs.writeFileSync(`${dir}/f`, 'x')
  const file = sys.openat(fd, 'f', Open.PATH), bytes = sys.handleOf(file)
  if (!bytes) return sys.close(file)                      // some file systems have none
  assert.equal(sys.handleOf(file), bytes)
  assert.not.equal(sys.handleOf(fd), bytes)
  const mount = sys.reopenDirectory(fd)
  if (process.geteuid!() === 0) {
    fs.renameSync(`${dir}/f`, `${dir}/g`)
    const found = sys.openHandle(mount, bytes)
    assert.is(fs.readlinkSync(`/proc/self/fd/${found}`), `${dir}/g`)
    sys.close(found)
    fs.unlinkSync(`${dir}/g`)
    sys.close(file)
    refused('ESTALE', 'open by handle', () => sys.openHandle(mount, bytes))
  } else {
    refused('EPERM', 'open by handle', () => sys.openHandle(mount, bytes))
    sys.close(file)
  }
  sys.close(mount)
}))

test('locks: one descriptor has it, and gives it back', inFolder((_dir, fd) => {
  const one = sys.reopenDirectory(fd), two = sys.reopenDirectory(fd)
  assert.equal([sys.tryLock(one), sys.tryLock(two)], [true, false])
  sys.unlock(one)
  assert.is(sys.tryLock(two), true)
  sys.close(two)
  assert.is(sys.tryLock(one), true)
  sys.close(one)
  refused('EBADF', 'flock', () => sys.tryLock(one))
}))

test('the limit of descriptors is the hard one', () => {
  const limit = sys.descriptorLimit()
  const said = /^Max open files\s+(\S+)\s+(\S+)/m.exec(fs.readFileSync('/proc/self/limits', 'utf8'))!
  assert.is(said[1], said[2])
  assert.is(said[1] === 'unlimited' ? 2 ** 30 : Math.min(Number(said[1]), 2 ** 30), limit)
})

test('without koffi the module loads, and the first call says what is missing', () => {
  const script = `
    import Module from 'node:module'
    const load = Module._load
    Module._load = (name, ...rest) => { if (name === 'koffi') throw new Error('no binary'); return load(name, ...rest) }
    const sys = await import(${JSON.stringify(new URL('../translators/sys.js', import.meta.url).href)})
    try { sys.dupCloexec(0) } catch (e) { console.log(e.message) }`
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
  assert.match(stdout, /koffi does not load on this machine\. Run npm ci/, stderr)
})

test.run()
