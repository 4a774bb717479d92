// remote where its peer goes, comes again, lies, or is a program of its own. The promises of every translator: conform.remote.test.ts.

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Attrs, O, QT, S, attrOf, connect, isErrno, serve as answer } from 'ninep'
import type { Handlers, Qid, Session } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { serve } from '../server/server.ts'
import { parseStack } from '../server/stack.ts'
import { memory } from '../translators/memory/memory.ts'
import type { Log } from '../translators/options.ts'
import { remote } from '../translators/remote/remote.ts'
import type { Handle, Node, Translator } from '../translators/translator.ts'
import { fails, get, put, text } from './conform/conform.ts'

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
