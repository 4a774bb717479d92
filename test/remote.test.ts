// remote where its peer goes, comes again, lies, or is a program of its own. The promises of every translator: conform.remote.test.ts.

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createConnection, createServer } from 'node:net'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Attrs, Lock, O, QT, S, attrOf, connect, isErrno, serve as answer } from 'ninep'
import type { Flock, Handlers, Qid, Session } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { serve } from '../server/server.ts'
import { parseStack } from '../server/stack.ts'
import { memory } from '../translators/memory/memory.ts'
import type { Log } from '../translators/options.ts'
import { remote } from '../translators/remote/remote.ts'
import type { Handle, Node, Translator } from '../translators/translator.ts'
import { fails, get, put, text } from './conform/conform.ts'
import { dice } from '../server/dice.ts'

const test = suite('remote'), bin = join(resolve(fileURLToPath(import.meta.url), '../../..'), 'bin/ninefold')
const folder = mkdtempSync(join(tmpdir(), 'ninefold-remote-test-')), me = { uid: process.getuid!(), gid: process.getgid!() }
const children = new Set<ChildProcess>()
test.after(() => {
  for (const child of children) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

class Lines implements Log {
  readonly said: string[] = []
  debug(): void {}
  info(_: object, message: string): void { this.said.push(`info ${message}`) }
  warn(_: object, message: string): void { this.said.push(`warn ${message}`) }
  error(_: object, message: string): void { this.said.push(`error ${message}`) }
}
const start = (log: Log, options: Record<string, unknown>) => remote.start(options, [], { name: 'test: remote', log })
/** Until it is so: a machine may be slow. */
async function until(what: string, is: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 6000; tries++) {
    if (await is()) return
    await sleep(10)
  }
  throw new Error(`not ${what} after a minute`)
}
/** A server in a process of its own, over a folder. */
async function server(socket: string, dir: string): Promise<ChildProcess> {
  const child = spawn(bin, ['serve', '--at', `/=posix ${dir}`, '--listen', `unix:${socket}`], { stdio: 'ignore' })
  children.add(child)
  await until('serving', async () => {
    assert.is(child.exitCode, null)
    return connect(`unix:${socket}`, { timeout: 1000 }).then(async (client) => { await client.close(); return true }, () => false)
  })
  return child
}
async function end(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  const ended = once(child, 'exit')
  child.kill(signal)
  await ended
  children.delete(child)
}

test('a peer that is killed and comes again finds its nodes and handles going on; what is gone is ESTALE', async () => {
  const dir = join(folder, 'killed'), socket = join(folder, 'killed.sock'), lines = new Lines()
  mkdirSync(dir)
  let peer = await server(socket, dir)
  const t = await start(lines, { url: `unix:${socket}`, timeout: 120, connections: 2 }), root = await t.attach('')
  const make = async (dir: Node, name: string) => dir.create(name, O.RDWR, 0o644, me)
  const sub = await root.mkdir('sub', 0o755, me), deep = await sub.mkdir('deep', 0o755, me), moved = await make(deep, 'file')
  await moved.handle.write(text('kept'), 0)
  await root.renameat('sub', root, 'other')               // the names of all below change with it
  const removed = await make(root, 'removed'), replaced = await make(root, 'replaced')
  await root.unlinkat('removed', 0)

  // Four writers, each with a file of its own: record i stands at 8 * i.
  let over = false
  const counts = [0, 0, 0, 0]
  const write = async (n: number, { handle }: { handle: Handle }) => {
    const record = Buffer.alloc(8)
    while (!over) {
      record.writeBigUInt64LE(BigInt(counts[n]! + 1))
      assert.is(await handle.write(record, 8 * counts[n]!), 8)
      assert.equal(Buffer.from(await handle.read(new Uint8Array(8), 8 * counts[n]!)), record)
      counts[n]!++
    }
  }
  const writers = await Promise.all(counts.map((_, n) => make(root, `writer-${n}`)))
  const work = Promise.all(writers.map((writer, n) => write(n, writer)))
  work.catch(() => {})
  await until('at work', () => counts.every((count) => count > 10))
  await end(peer)
  writeFileSync(join(dir, 'fresh'), 'another file')
  renameSync(join(dir, 'fresh'), join(dir, 'replaced'))
  const before = [...counts]
  peer = await server(socket, dir)
  await until('at work again', () => counts.every((count, n) => count > before[n]! + 10))
  over = true
  await work
  for (const [n, count] of counts.entries()) {
    const bytes = readFileSync(join(dir, `writer-${n}`))
    assert.is(bytes.length, 8 * count)
    for (let i = 0; i < count; i++) assert.is(bytes.readBigUInt64LE(8 * i), BigInt(i + 1))
  }

  assert.is(Buffer.from(await moved.handle.read(new Uint8Array(9), 0)).toString(), 'kept')
  assert.is((await moved.node.getattr(Attrs.SIZE)).size, 4)
  assert.is(Buffer.from(await get(deep, 'file')).toString(), 'kept')
  for (const gone of [removed, replaced]) {
    await fails('ESTALE', () => gone.handle.read(new Uint8Array(1), 0))
    await fails('ESTALE', () => gone.node.getattr(Attrs.ALL))
  }
  await fails('EIO', () => writers[0]!.handle.fsync(false))  // what was written before may be lost: told once
  await writers[0]!.handle.fsync(false)
  await fails('EIO', () => t.sync())                      // and of all that nobody has open
  await t.sync()
  assert.is(lines.said.filter((line) => line.startsWith('warn the peer is gone')).length, 1, lines.said.join('\n'))
  assert.is(lines.said.filter((line) => line === 'info the peer is back').length, 1)
  await t.close()
  await end(peer)
})

test('calls wait for a peer that is gone, or that is stopped, as long as they may: ETIMEDOUT', async () => {
  const dir = join(folder, 'stopped'), socket = join(folder, 'stopped.sock')
  mkdirSync(dir)
  const peer = await server(socket, dir), t = await start(new Lines(), { url: `unix:${socket}`, timeout: 0.5 }), root = await t.attach('')
  const answers = async () => { try { return (await root.getattr(Attrs.ALL)).valid > 0 } catch { return false } }
  await until('reached', answers)
  peer.kill('SIGSTOP')
  await fails('ETIMEDOUT', () => root.getattr(Attrs.ALL))
  await fails('ETIMEDOUT', () => root.create('f', O.RDWR, 0o644, me))
  peer.kill('SIGCONT')
  await until('answering again', answers)
  await end(peer)
  await fails(['ETIMEDOUT', 'EIO'], () => root.getattr(Attrs.ALL))
  await fails('ETIMEDOUT', () => root.walk('f'))
  await t.close()
})

/** Between a client and a server: can cut all connections, and be closed to new ones. */
async function between(socket: string, url: string): Promise<{ cut(): void; end(): void }> {
  const sockets = new Set<Socket>()
  const listener = createServer((near) => {
    const far = createConnection(url.slice('unix:'.length))
    for (const [one, other] of [[near, far], [far, near]] as const) {
      sockets.add(one)
      one.on('error', () => {}).on('close', () => { sockets.delete(one); other.destroy() }).pipe(other)
    }
  }).listen(socket)
  await once(listener, 'listening')
  const cut = () => { for (const socket of sockets) socket.destroy() }
  return { cut, end: () => { cut(); listener.close() } }
}
test('after a lost connection the peer holds the locks that there were, and no other', async () => {
  await using tree = await memory({})
  await using host = await serve({ listen: [`unix:${join(folder, 'locks.sock')}`], namespace: new Map<string, Translator>([['/', tree]]) })
  const url = host.urls[0]!, way = await between(join(folder, 'way.sock'), url)
  const t = await start(new Lines(), { url: `unix:${join(folder, 'way.sock')}`, timeout: 60 }), root = await t.attach('')
  const { node, handle: a } = await root.create('f', O.RDWR, 0o666, me), b = await node.open(O.RDWR)
  const want = (type: number, start: bigint, length: bigint, procId = 1): Flock => ({ type, flags: 0, start, length, procId, clientId: 'host' })
  const { WRLCK, UNLCK, SUCCESS } = Lock
  await a.fsync(false)
  await t.sync()
  assert.is(await a.lock!(want(WRLCK, 0n, 0n)), SUCCESS)
  assert.is(await b.lock!(want(UNLCK, 10n, 10n)), SUCCESS)  // by another handle of the same process
  assert.is(await b.lock!(want(WRLCK, 14n, 2n, 2)), SUCCESS)
  assert.is(await a.lock!(want(UNLCK, 30n, 0n)), SUCCESS)
  assert.is(await b.lock!(want(UNLCK, 14n, 2n, 2)), SUCCESS)

  const client = await connect(url), file = await (await client.attach()).walk('f')
  await file.open(O.RDWR)
  const held = async () => {
    const spans: string[] = []
    for (let at = 0n; ;) {
      const { type, start, length, procId } = await file.getlock({ ...want(WRLCK, at, 0n, 9), clientId: 'other' })
      if (type === UNLCK) return spans
      spans.push(`${procId}: ${start} ${length}`)
      if (length === 0n) return spans
      at = start + length
    }
  }
  assert.equal(await held(), ['1: 0 10', '1: 20 10'])
  way.cut()
  await until('let go', async () => (await held()).length === 0)
  await Promise.all([a, b].map((handle) => handle.getattr(Attrs.SIZE)))
  assert.equal(await held(), ['1: 0 10', '1: 20 10'])
  await a.close()
  assert.equal(await held(), [])
  way.cut()
  await b.getattr(Attrs.SIZE)
  assert.equal(await held(), [])
  for (const closing of [b, node, root]) await closing.close()
  await client.close()
  await t.close()
  way.end()
})
test('a peer that hangs up each time is called ever more seldom, and told of once; who waits for it can be sent away', async () => {
  const path = join(folder, 'hangs-up.sock'), lines = new Lines()
  let calls = 0, hangsUp = false
  const listener = createServer((socket) => {
    calls++
    answer<Thing>(socket, ({ fids }) => ({ Tattach: ({ fid }) => fids.add(fid, top), Tgetattr: ({ fid }) => { if (hangsUp) socket.destroy(); return attrOf(fids.get(fid)) }, Twalk: (walk) => fids.walk(walk, () => undefined), Tlopen: () => { socket.destroy(); return { qid: top.qid, iounit: 0 } }, Tclunk: ({ fid }) => fids.remove(fid) })).catch(() => {})
    if (hangsUp) setTimeout(() => socket.destroy(), 5)
  }).listen(path)
  await once(listener, 'listening')
  const t = await start(lines, { url: `unix:${path}`, timeout: 1.5 }), root = await t.attach('')
  await root.getattr(Attrs.ALL)
  hangsUp = true
  await fails('ETIMEDOUT', () => root.getattr(Attrs.ALL))
  assert.ok(calls > 2 && calls < 12, `${calls} connections in 1.5 s`)
  const call = { aborted: false, told: [] as (() => void)[], onAbort(f: () => void) { this.told.push(f) } }
  const waits = fails('ETIMEDOUT', () => root.getattr(Attrs.ALL)), leaves = fails('ECANCELED', () => root.open(O.RDONLY, call))
  await until('waiting', () => call.told.length > 0)
  call.aborted = true
  for (const tell of call.told) tell()
  assert.is(await Promise.race([leaves.then(() => 'leaves'), waits.then(() => 'waits')]), 'leaves')
  await waits
  hangsUp = false
  await until('back', async () => { try { return (await root.getattr(Attrs.ALL)).valid > 0 } catch { return false } })
  assert.ok(lines.said.length <= 2, lines.said.join('\n'))
  await t.close()
  listener.close()
})

// A peer that says what it must not, over a tree of a directory with one file.
interface Thing { readonly qid: Qid; readonly mode: number; readonly size: number }
const top: Thing = { qid: { type: QT.DIR, version: 1, path: 1n }, mode: S.IFDIR | 0o755, size: 0 }
const file: Thing = { qid: { type: QT.FILE, version: 1, path: 2n }, mode: S.IFREG | 0o644, size: 5 }
const entry = (name: string, cookie: bigint) => {
  const bytes = Buffer.from(name), head = Buffer.alloc(24)
  head.writeBigUInt64LE(2n, 5)
  head.writeBigUInt64LE(cookie, 13)
  head[21] = 8
  head.writeUInt16LE(bytes.length, 22)
  return Buffer.concat([head, bytes])
}
const list = async (root: Node) => {
  await using dir = await root.open(O.RDONLY)
  return await dir.readdir(0n, { add: () => true }, 0)   // it is open until then
}
const open = async (root: Node, use: (handle: Handle) => unknown) => {
  await using node = await root.walk('file')
  await using handle = await node.open(O.RDWR)
  await use(handle)
}
const lies: Readonly<Record<string, [Handlers, (root: Node) => Promise<unknown>]>> = {
  'a name that is empty': [{ Treaddir: () => ({ data: entry('', 1n) }) }, list],
  'a name with a slash': [{ Treaddir: () => ({ data: entry('../etc', 1n) }) }, list],
  'a name with a NUL': [{ Treaddir: () => ({ data: entry('a\0', 1n) }) }, list],
  'a name of 300 bytes': [{ Treaddir: () => ({ data: entry('x'.repeat(300), 1n) }) }, list],
  'a cookie of 0': [{ Treaddir: () => ({ data: entry('x', 0n) }) }, list],
  'a cookie beyond 2^63': [{ Treaddir: () => ({ data: entry('x', 1n << 63n) }) }, list],
  'cookies that come again': [{ Treaddir: ({ offset }) => ({ data: entry('x', offset === 3n ? 1n : offset + 1n) }) }, list],
  'an entry that is cut': [{ Treaddir: () => ({ data: entry('x', 1n).subarray(0, 20) }) }, list],
  'a file that becomes a directory': [{ Tgetattr: () => attrOf({ ...file, qid: { ...file.qid, type: QT.DIR } }) }, (root) => open(root, (handle) => handle.getattr(Attrs.ALL))],
  'a file that becomes another': [{ Tgetattr: () => attrOf({ ...file, qid: { ...file.qid, path: 3n } }) }, (root) => open(root, (handle) => handle.getattr(Attrs.ALL))],
  'a mode that is another type\'s': [{ Tgetattr: () => attrOf({ ...file, mode: S.IFDIR }) }, (root) => open(root, (handle) => handle.getattr(Attrs.ALL))],
  'more bytes than were asked for': [{ Tread: () => ({ data: new Uint8Array(100) }) }, (root) => open(root, (handle) => handle.read(new Uint8Array(10), 0))],
  'more bytes written than there were': [{ Twrite: () => ({ count: 100 }) }, (root) => open(root, (handle) => handle.write(new Uint8Array(10), 0))],
  'a status of a lock that is none': [{ Tlock: () => ({ status: 9 }) }, (root) => open(root, (handle) => handle.lock!({ type: Lock.WRLCK, flags: 0, start: 0n, length: 0n, procId: 1, clientId: 'h' }))],
  'a lock of a type that is none': [{ Tgetlock: (want) => ({ ...want, type: 9 }) }, (root) => open(root, (handle) => handle.getlock!({ type: Lock.WRLCK, flags: 0, start: 0n, length: 0n, procId: 1, clientId: 'h' }))],
  'none written': [{ Twrite: () => ({ count: 0 }) }, (root) => open(root, (handle) => handle.write(new Uint8Array(10), 0))],
}
for (const [what, [handlers, use]] of Object.entries(lies)) {
  test(`a peer that tells of ${what} is EIO, and one line in the log`, async () => {
    const path = join(folder, `liar-${Object.keys(lies).indexOf(what)}.sock`), lines = new Lines()
    const tree = ({ fids }: Session<Thing>): Handlers => ({
      Tattach: ({ fid }) => fids.add(fid, top),
      Twalk: (walk) => fids.walk(walk, async (_dir, name) => name === 'file' ? file : undefined),
      Tgetattr: ({ fid }) => attrOf(fids.get(fid)),
      Tlopen: ({ fid }) => ({ qid: fids.get(fid).qid, iounit: 0 }),
      Tclunk: ({ fid }) => fids.remove(fid),
      Tfsync: () => ({}),
      ...handlers,
    })
    const listener = createServer((socket) => { answer<Thing>(socket, tree).catch(() => {}) }).listen(path)
    await once(listener, 'listening')
    const t = await start(lines, { url: `unix:${path}`, timeout: 30 }), root = await t.attach('')
    try {
      for (let again = 0; again < 2; again++) await fails('EIO', () => use(root))
      assert.is(lines.said.filter((line) => line.startsWith('error the peer breaks the protocol')).length, 1, lines.said.join('\n'))
    } finally {
      await t.close()
      listener.close()
    }
  })
}

test('a peer that makes up its answers gets no further than an errno, and what it is believed can be told on', async () => {
  const path = join(folder, 'makes-up.sock'), some = dice(9), one = <T>(...of: T[]): T => of[some(of.length)]!
  const u64 = () => one(0n, 1n, 2n, 3n, 1n << 32n, (1n << 63n) - 1n, 1n << 63n, (1n << 64n) - 1n), size = () => one(0, 1, 5, 4096, 2 ** 32, 2 ** 53, 2 ** 63), u32 = () => one(0, 1, 2, 24, 0xffff, 2 ** 31, 2 ** 32 - 1)
  const qid = () => ({ type: one(QT.DIR, QT.FILE, QT.SYMLINK, 0xff), version: u32(), path: one(1n, 2n, u64()) }), time = () => ({ sec: one(0, -1, 2 ** 40, 2 ** 62), nsec: one(0, 5, 10 ** 9) })
  const name = () => one('file', '.', '..', '', 'a/b', 'x'.repeat(some(400)), 'a\0', '\udcff'), mode = () => one(0, S.IFDIR | 0o755, S.IFREG | 0o644, S.IFLNK, 0xffff), bytes = (most: number) => Buffer.from(Array.from({ length: some(most) }, () => some(256)))
  const dirent = () => {
    const text = Buffer.from(name()), head = Buffer.alloc(24)
    head.writeBigUInt64LE(u64(), 5)
    head.writeBigUInt64LE(u64(), 13)
    head.writeUInt16LE(text.length, 22)
    return Buffer.concat([head, text]).subarray(0, some(50) ? undefined : 10)
  }
  const tree = (): Handlers => ({
    Tattach: () => ({ qid: qid() }), Twalk: ({ names }) => ({ qids: Array.from({ length: some(6) ? names.length : some(5) }, qid) }), Tclunk: () => ({}), Tlopen: () => ({ qid: qid(), iounit: u32() }), Tlcreate: () => ({ qid: qid(), iounit: u32() }),
    Tgetattr: () => ({ valid: u32(), qid: qid(), mode: mode(), uid: u32(), gid: u32(), nlink: size(), rdev: u64(), size: size(), blksize: size(), blocks: size(), atime: time(), mtime: time(), ctime: time(), btime: time(), gen: u64(), dataVersion: u64() }),
    Tsetattr: () => ({}), Tread: ({ count }) => ({ data: bytes(Math.min(count, 64)) }), Twrite: ({ data }) => ({ count: some(5) ? data.length : u32() }), Tfsync: () => ({}),
    Treaddir: () => ({ data: Buffer.concat(Array.from({ length: some(4) }, dirent)) }), Treadlink: () => ({ target: one('t', '', '\0', 'x'.repeat(5000)) }), Tmkdir: () => ({ qid: qid() }), Tsymlink: () => ({ qid: qid() }), Tmknod: () => ({ qid: qid() }),
    Tstatfs: () => ({ type: u32(), bsize: u32(), blocks: size(), bfree: size(), bavail: size(), files: size(), ffree: size(), fsid: u64(), namelen: u32() }), Tunlinkat: () => ({}), Trenameat: () => ({}), Tlink: () => ({}),
    Txattrwalk: () => ({ size: size() }), Txattrcreate: () => ({}), Tlock: () => ({ status: u32() & 255 }), Tgetlock: (want) => ({ ...want, type: u32() & 255, clientId: one('h', 'x'.repeat(300)) }),
  })
  const listener = createServer((socket) => { answer(socket, tree).catch(() => {}) }).listen(path)
  await once(listener, 'listening')
  const t = await start(new Lines(), { url: `unix:${path}`, timeout: 0.3, connections: 2, owner: 'host' }), want: Flock = { type: Lock.WRLCK, flags: 0, start: 0n, length: 0n, procId: 1, clientId: 'h' }
  let answers = 0, refusals = 0
  const ask = async <T>(what: () => T | Promise<T>): Promise<T | undefined> => {
    try { const result = await what(); answers++; return result } catch (e) {
      if (!isErrno(e)) throw e
      refusals++
      return undefined
    }
  }
  for (let round = 0, end = Date.now() + 5000; round < 400 && (Date.now() < end || answers <= 50 || refusals <= 50); round++) {
    const root = await t.attach(''), node = await ask(() => root.walk('file')), dir = await ask(() => root.mkdir('d', 0o7755, { uid: 5, gid: 5 })), made = await ask(() => root.create('f', O.RDWR, 0o644, me))
    const handle = node && await ask(() => node.open(O.RDWR)), listing = await ask(() => root.open(O.RDONLY))
    for (const each of [root, node, dir, made?.node]) {
      if (!each) continue
      const attr = await ask(() => each.getattr(Attrs.ALL | Attrs.ACL))
      if (attr) for (const value of [attr.size, attr.blocks, attr.nlink, attr.mtime.sec]) assert.ok(Number.isSafeInteger(value), String(value))
      const space = await ask(() => each.statfs())
      if (space) assert.ok(Number.isSafeInteger(space.bfree))
      for (const what of [() => each.listxattr(), () => each.getxattr('user.a'), () => each.setxattr('user.a', text('v'), 0), () => each.readlink(), () => each.setattr({ mode: 0o600, uid: 7 }), () => each.unlinkat('x', 0, 2n), () => each.renameat('a', root, 'b'), () => each.parent()]) {
        const got = await ask<unknown>(what)
        if (got && typeof got === 'object' && 'close' in got) await ask(() => (got as Node).close())
      }
    }
    for (const each of [handle, made?.handle, listing]) {
      if (!each) continue
      const into = new Uint8Array(200), got = await ask(() => each.read(into, 0))
      if (got) assert.ok(got.length <= 200)
      await ask(() => each.readdir(0n, { add: (_path, _type, cookie, name) => { assert.ok(cookie > 0n && !String(name).includes('/')); return true } }, one(0, Attrs.ALL)))
      for (const what of [() => each.write(into, 0), () => each.lock!(want), () => each.getlock!(want), () => each.getattr(Attrs.ALL), () => each.fsync(false), () => each.close()]) await ask<unknown>(what)
    }
    for (const each of [root, node, dir, made?.node]) if (each) await ask(() => each.close())
  }
  await ask(() => t.sync())
  await ask(() => t.close())
  assert.ok(answers > 50 && refusals > 50, `${answers} answers, ${refusals} refusals`)
  listener.close()
})

test('a program is run as the peer, is started again when it is killed, and ends with the translator', async () => {
  const dir = join(folder, 'program'), pid = join(folder, 'pid'), lines = new Lines()
  mkdirSync(dir)
  const t = await start(lines, { command: `echo $$ > ${pid}; exec ${bin} serve --at '/=posix ${dir}' --listen unix:{socket}`, timeout: 120 })
  const running = () => Number(readFileSync(pid, 'utf8'))
  await put(t, 'note', text('kept'))
  await t.sync()
  const first = running()
  process.kill(first, 'SIGKILL')
  await until('another one', () => existsSync(pid) && running() !== first && running() > 0)
  assert.is(Buffer.from(await get(t, 'note')).toString(), 'kept')
  const second = running()
  assert.ok(lines.said.some((line) => /the program ended \(SIGKILL\)/.test(line)), lines.said.join('\n'))
  await t.close()
  assert.throws(() => process.kill(second, 0), (e: NodeJS.ErrnoException) => e.code === 'ESRCH')
})

test('what makes no sense is said when it is written, and a record on a node runs no program', async () => {
  for (const [options, says] of [[{}, /either where the peer is/], [{ url: 'http://x' }, /is no address/], [{ url: 'unix:/x', command: 'y {socket}' }, /either/], [{ command: 'y' }, /\{socket\}/]] as const) {
    const error = await start(new Lines(), options).then(() => undefined, (e: Error) => e)
    assert.match(error?.message ?? '', says)
  }
  await fails(['ENOENT', 'ECONNREFUSED'], () => start(new Lines(), { url: `unix:${join(folder, 'nobody')}` }))
  await using tree = await memory({})
  await using host = await serve({ listen: [`unix:${join(folder, 'host.sock')}`], namespace: new Map<string, Translator>([['/', tree]]), passive: { allow: ['remote'] } })
  const client = await connect(host.urls[0]!), root = await client.attach()
  await root.mkdir('d', 0o755)
  const d = await root.walk('d'), record = (stack: string) => d.setxattr('user.translator', text(stack))
  await record('remote unix:/nowhere')
  for (const stack of [`remote command='touch ${join(folder, 'run')}; {socket}'`, `remote unix:/x command='touch ${join(folder, 'run')} {socket}'`]) {
    assert.ok(isErrno(await record(stack).catch((e: unknown) => e), 'EPERM'), stack)
  }
  assert.not(existsSync(join(folder, 'run')))
  await client.close()
  assert.is(parseStack(`remote command='x {socket}'`).options.command, 'x {socket}')
})

test.run()
