// The network lies: what a hostile client may send, and what must not come of it.

import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { Server as NetServer, connect } from 'node:net'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { File, NOFID, NONUNAME, OPEN, direntsOf, errno, putDirent } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ForwardHandle, ForwardNode, ForwardTranslator } from '../translators/forward.ts'
import { text, translator } from '../translators/options.ts'
import { posix } from '../translators/posix/posix.ts'
import { Progress } from '../server/cli/progress.ts'
import { complete } from '../server/cli/remote.ts'
import { serve } from '../server/server.ts'
import type { Server, ServerConfig } from '../server/server.ts'
import { attachRules } from '../server/users.ts'
import type { Call, DirSink, Handle, Node, Translator } from '../translators/translator.ts'
import { skipping } from './needs.ts'
import { fails, talk } from './scripted.ts'
import { setXattr } from './wire/cases/common.ts'
import { Plan9 } from './wire/plan9/client.ts'
import { Raw, frame, within } from './wire/raw.ts'
import { Control, slow } from './wire/slow.ts'
import { Kept, brick } from './wire/stand.ts'

const MiB = 2 ** 20
const test = suite('attack')
const asRoot = process.getuid!() === 0 ? test : skipping(test, 'needs root, to be several users')
const folder = mkdtempSync(join(tmpdir(), 'ninefold-attack-'))
test.after(() => { rmSync(folder, { recursive: true }) })
let count = 0
/** A server of this translator on a socket of its own. */
async function stand(root: Translator, config: Partial<ServerConfig> = {}): Promise<{ server: Server; url: string; log: Kept }> {
  const log = new Kept(), url = `unix:${folder}/${count++}`
  return { server: await serve({ listen: [url], namespace: new Map([['/', root]]), log, ...config }), url, log }
}
/** Whether the server still answers a newcomer. */
async function alive(url: string): Promise<void> {
  const raw = await Raw.versioned(url)
  await raw.attach(0)
  await raw.getattr(0)
  await raw.end()
}

test('a burst of reads by one who does not read the replies takes 16 MiB, not all that was asked for; all are answered in the end', async () => {
  const { server, url } = await stand(await brick('/')), reads = 300, count = MiB - 1024
  const raw = await Raw.versioned(url, MiB)
  await raw.attach(0)
  await raw.create(0, 1, 'f', Buffer.alloc(MiB, 7))
  raw.socket.pause()
  const before = process.memoryUsage().arrayBuffers
  raw.bytes(...Array.from({ length: reads }, (_, tag) => frame('Tread', tag, { fid: 1, offset: 0, count })))
  await sleep(200)
  const taken = process.memoryUsage().arrayBuffers - before
  assert.ok(taken < 40 * MiB, `${Math.round(taken / MiB)} MiB are held`)
  let came = 0
  raw.socket.removeAllListeners('data')
  raw.socket.on('data', (chunk: Buffer) => { came += chunk.length })
  raw.socket.resume()
  for (let i = 0; i < 400 && came < reads * (11 + count); i++) await sleep(25)
  assert.is(came, reads * (11 + count))
  raw.socket.destroy()
  await server.stop()
})

test('a lock is not a place to keep 64 KiB of client id', async () => {
  const { server, url } = await stand(await brick('/'))
  const raw = await Raw.versioned(url, MiB)
  await raw.attach(0)
  await raw.create(0, 1, 'f')
  const want = { fid: 1, type: 0, flags: 0, start: 0n, length: 1n, procId: 1 }
  assert.is(await raw.refused('Tlock', { ...want, clientId: 'x'.repeat(65_000) }), 'EINVAL')
  assert.is((await raw.ok('Tlock', { ...want, clientId: 'x'.repeat(64) })).status, 0)
  await raw.end()
  await server.stop()
})

test('a second Tflush with the tag of one that waits ends the connection: it would have no answer', async () => {
  const control = new Control(), { server, url } = await stand(await slow(control, await brick('/')))
  const raw = await Raw.versioned(url), go = control.stop('mkdir')
  await raw.attach(0)
  raw.bytes(frame('Tmkdir', 1, { dfid: 0, name: 'd', mode: 0o755, gid: 0 }), frame('Tflush', 2, { oldtag: 1 }), frame('Tflush', 2, { oldtag: 1 }))
  await within(5, 'the end', raw.closed)
  go()
  await alive(url)
  await server.stop()
})

test('one who does not read the replies can not hold up the end', async () => {
  const { server, url, log } = await stand(await brick('/'))
  const raw = await Raw.versioned(url, MiB)
  await raw.attach(0)
  await raw.create(0, 1, 'f', Buffer.alloc(MiB, 7))
  raw.socket.pause()
  raw.bytes(...Array.from({ length: 8 }, (_, tag) => frame('Tread', tag, { fid: 1, offset: 0, count: MiB - 1024 })))
  await sleep(100)
  await within(10, 'stop', server.stop())
  assert.match(JSON.stringify(log.warnings), /not read/)
  raw.socket.destroy()
})

test('a connection that can not be accepted is told, and the next one is', async () => {
  const { server, url, log } = await stand(await brick('/'))
  const handles = (process as unknown as { _getActiveHandles(): unknown[] })._getActiveHandles()
  const listener = handles.find((handle) => handle instanceof NetServer && `unix:${String(handle.address())}` === url) as NetServer
  for (let i = 0; i < 3; i++) listener.emit('error', new Error('accept EMFILE'))    // as node does
  assert.is(log.warnings.length, 3)
  await alive(url)
  await server.stop()
})

test('one who claims a thousand names keeps no one else from coming in', async () => {
  const { server, url } = await stand(await brick('/'))
  const raw = await Raw.versioned(url), other = await Raw.versioned(url)
  raw.socket.removeAllListeners('data')
  raw.socket.resume()
  const claims = Array.from({ length: 1000 }, (_, fid) => frame('Tattach', fid, { fid, afid: NOFID, uname: `nobody-${fid}`, aname: '', nUname: NONUNAME }))
  raw.bytes(...claims)
  await sleep(50)
  await within(2.5, 'attach', other.attach(0, '', process.getuid!() || 54_321))
  raw.socket.destroy()
  await other.end()
  await server.stop()
})

asRoot('one user has half of all connections and no more', async () => {
  chmodSync(folder, 0o755)
  const url = `unix:${folder}/${count++}`, log = new Kept()
  const server = await serve({ listen: [`${url}?mode=0666`], namespace: new Map([['/', await brick('/')]]), limits: { connections: 8 }, log })
  const sockets: Socket[] = []
  process.seteuid!(1000)                                    // what SO_PEERCRED tells is who connected
  try { for (let i = 0; i < 8; i++) sockets.push(connect(url.slice(5)).on('error', () => {})) } finally { process.seteuid!(0) }
  for (let i = 0; i < 1000 && !(server.connections === 4 && log.warnings.length > 0); i++) await sleep(10)
  assert.is(server.connections, 4)
  assert.match(JSON.stringify(log.warnings), /uid 1000/)
  await alive(url)
  for (const socket of sockets) socket.destroy()
  await server.stop()
})

test('a listing leaves the loop to others after 64 KiB', async () => {
  const { server, url } = await stand(await brick('/'))
  const raw = await Raw.versioned(url, MiB)
  await raw.attach(0)
  for (let i = 0; i < 400; i++) await raw.mkdir(0, String(i).padEnd(250, '.'))
  await raw.walk(0, 1)
  await raw.open(1)
  let entries = 0
  for (let offset = 0n; ;) {
    const { data } = await raw.ok('Treaddir', { fid: 1, offset, count: MiB })
    if (data.length === 0) break
    assert.ok(data.length <= 64 * 1024)
    const some = direntsOf(data)
    entries += some.length
    offset = some.at(-1)!.cookie
  }
  assert.is(entries, 402)
  await raw.end()
  await server.stop()
})

// The client knows more names for a file than one

/** Memory in which calls of some names stand still for as long as a test wants. */
async function slowly(): Promise<{ control: Control; root: Translator }> {
  const control = new Control([0])
  return { control, root: await slow(control, await brick('/')) }
}
const size = (fid: number) => ({ fid, valid: 8, mode: 0, uid: 0, gid: 0, size: 0, atime: { sec: 0, nsec: 0 }, mtime: { sec: 0, nsec: 0 } })

asRoot('a fid that is walked and opened at once is not the handle of one file and the checks of another', async () => {
  const { control, root } = await slowly(), { server, url } = await stand(root)
  const raw = await Raw.versioned(url)
  await raw.attach(0, '', 0)
  await raw.ok('Tsetattr', { ...size(0), valid: 1, mode: 0o1777 })
  await raw.create(0, 9, 'victim', 'precious', 0o644)
  await raw.attach(1, '', 1000)
  const go = control.stop('walk')
  const walked = raw.call('Twalk', { fid: 1, newfid: 1, names: ['victim'] })
  await control.stopped('walk')
  await raw.ok('Tlcreate', { fid: 1, name: 'mine', flags: 0, mode: 0o600, gid: 1000 })
  go()
  await walked
  await raw.outcome('Tsetattr', size(1))
  assert.is((await raw.getattr(9)).size, 8)
  await raw.end()
  await server.stop()
})

for (const [name, make] of [['memory', () => brick('/')], ['posix', () => posix({ path: mkdtempSync(join(folder, 'export-')) })]] as const) {
  asRoot(`${name}: a directory that was moved out of an attach point does not lead on from there`, async () => {
    const { server, url } = await stand(await make(), { attach: new Map([['/', attachRules()], ['/share', attachRules()]]) })
    const raw = await Raw.versioned(url)
    await raw.attach(0, '', 0)
    for (const dir of ['share', 'secret']) await raw.mkdir(0, dir)
    await raw.walk(0, 1, 'share')
    await raw.mkdir(1, 'x')
    await raw.walk(1, 2, 'x')
    await raw.mkdir(2, 'y')
    await raw.attach(3, 'share', 0)
    await raw.walk(3, 4, 'x', 'y')
    assert.is((await raw.walk(4, 5, '..', '..', '..', 'x')).qids.length, 4)
    await raw.clunk(5)
    await raw.ok('Trenameat', { olddirfid: 1, oldname: 'x', newdirfid: 0, newname: 'x' })
    assert.is((await raw.call('Twalk', { fid: 4, newfid: 5, names: ['..', '..', 'secret'] })).fields.qids.length, 1)
    assert.is(await raw.refused('Tgetattr', { fid: 5, mask: 0x7ff }), 'EBADF')
    assert.is(await raw.refused('Twalk', { fid: 4, newfid: 4, names: ['..'] }), 'ENOENT')
    assert.is((await raw.walk(0, 5, 'x', 'y', '..', '..', 'secret')).qids.length, 5)
    await raw.end()
    await server.stop()
  })
}

test('who climbs out of a deep tree, to see that it is none, lets others have their turn', async () => {
  const { server, url } = await stand(await brick('/')), deep = 2000
  const raw = await Raw.versioned(url)
  await raw.attach(0)
  await raw.mkdir(0, 'root')
  await raw.attach(1, 'root')
  for (let i = 0; i < deep; i++) {
    await raw.mkdir(1, 'd')
    await raw.walk(1, 1, 'd')
  }
  raw.bytes(frame('Twalk', 1, { fid: 1, newfid: 2, names: ['..', 'd', '..', 'd'] }), frame('Tgetattr', 2, { fid: 0, mask: 0x7ff }))
  assert.equal((await raw.strayed(2)).map(({ name, tag }) => [name, tag]), [['Rgetattr', 2], ['Rwalk', 1]])
  raw.strays.length = 0
  await raw.end()
  await server.stop()
})

test('from a read-only attach point nothing is linked into one that is not', async () => {
  const { server, url } = await stand(await brick('/'), { attach: new Map([['/', attachRules()], ['/ro', attachRules({ 'read-only': true })]]) })
  const raw = await Raw.versioned(url)
  await raw.attach(0)
  await raw.mkdir(0, 'ro')
  await raw.walk(0, 1, 'ro')
  await raw.file(1, 'f')
  await raw.attach(2, 'ro')
  await raw.walk(2, 3, 'f')
  assert.is(await raw.refused('Tlink', { dfid: 0, fid: 3, name: 'g' }), 'EROFS')
  await raw.end()
  await server.stop()
})

test('the name of an attribute ends where it says, not at a NUL', async () => {
  const { server, url } = await stand(await posix({ path: mkdtempSync(join(folder, 'export-')) }))
  const raw = await Raw.versioned(url)
  await raw.attach(0)
  for (const name of ['user.translator\0', 'user.x\0y']) {
    assert.is(await raw.refused('Txattrwalk', { fid: 0, newfid: 1, name }), 'EINVAL')
    assert.is(await raw.refused('Txattrcreate', { fid: 0, name, attrSize: 0, flags: 0 }), 'EINVAL')
  }
  await raw.end()
  await server.stop()
})

// A translator lies

/** What a translator does to the server that no translator may. */
const lies: Record<string, (handle: Handle, into: Uint8Array, call: Call) => unknown> = {
  'reads nothing at all': () => undefined,
  'reads text': () => 'text',
  'reads more than was asked for': (_, into) => new Uint8Array(into.length + 1),
  'reads beyond what it was lent': (_, into) => new Uint8Array(into.buffer, into.byteOffset, into.length + 64),
  'reads more than was asked for, later': async (_, into) => new Uint8Array(into.length + 100_000),
  'reads what will be bytes, in a promise of its own': () => ({ then(f: (bytes: Uint8Array) => void) { f(new Uint8Array(1)) } }),
  'throws null': () => { throw null },
  'throws text': () => { throw 'text' },
  'rejects with nothing': () => Promise.reject(undefined),
  'throws where it is told of an abort': (_, __, call) => new Promise((_, reject) => { call.onAbort(() => { reject(new Error('aborted')); throw new Error('in a callback') }) }),
}
class LyingHandle extends ForwardHandle<{ lie: string }> {
  override read(into: Uint8Array, _: number, call?: Call) { return lies[this.layer.lie]!(this.child, into, call!) as Uint8Array }
  override readdir(cookie: bigint, sink: DirSink, mask: number, call?: Call) {
    setTimeout(() => { assert.not(sink.add(1n, 8, 1n, 'late')); tooLate++ }, 5)
    return super.readdir(cookie, sink, mask, call)
  }
}
let tooLate = 0
class LyingNode extends ForwardNode<{ lie: string }> {
  protected override wrap(child: Node): Node { return new LyingNode(child, this.layer) }
  protected override wrapHandle(child: Handle): Handle { return new LyingHandle(child, this.layer) }
}
const liar = translator({
  name: 'liar', about: 'Lie.', children: 1, options: { lie: text({ about: 'how' }) }, concurrent: true,
  start: ({ lie }, [child]) => new ForwardTranslator('liar', child, (root) => new LyingNode(root, { lie })),
})
for (const lie of Object.keys(lies)) {
  test(`a translator that ${lie} is EIO to who asked, and nothing to others`, async () => {
    const { server, url } = await stand(await liar({ lie }, await brick('/')))
    const raw = await Raw.versioned(url)
    await raw.attach(0)
    await raw.create(0, 1, 'f', 'content')
    const tag = raw.tag(), read = raw.reply(tag)
    raw.send('Tread', tag, { fid: 1, offset: 0, count: 100 })
    if (lie.includes('abort')) await raw.ok('Tclunk', { fid: 1 })
    assert.is((await read).fields.ecode, 5)
    await alive(url)
    await raw.end()
    await server.stop()
  })
}
test('a directory entry that comes too late is not written over what others are told', async () => {
  const { server, url } = await stand(await liar({ lie: 'throws null' }, await brick('/')))
  const raw = await Raw.versioned(url)
  await raw.attach(0)
  await raw.walk(0, 1)
  await raw.open(1)
  await raw.ok('Treaddir', { fid: 1, offset: 0n, count: 1000 })
  for (let i = 0; i < 100 && tooLate === 0; i++) await sleep(5)
  assert.is(tooLate, 1)
  await raw.end()
  await server.stop()
})

// A server lies to our verbs

test('a directory that is listed anew for ever ends', async () => {
  const { client, peer } = await talk()
  const dir = new File(client, client.takeFid(), { type: 0x80, version: 0, path: 1n })
  const listed = (async () => { for await (const { name } of dir.readdir()) assert.is(name, 'a') })()
  listed.catch(() => {})
  const entry = Buffer.alloc(100), end = putDirent(entry, 0, 100, 0, 0, 1n, 7n, 8, 'a')
  for (const reply of ['Rwalk', 'Rlopen', 'Rreaddir', 'Rreaddir'] as const) {
    const { tag } = await peer.next()
    if (reply === 'Rwalk') peer.send(reply, tag, { qids: [] })
    else if (reply === 'Rlopen') peer.send(reply, tag, { qid: dir.qid, iounit: 0 })
    else peer.send(reply, tag, { data: entry.subarray(0, end) })
  }
  const { tag } = await peer.next()
  peer.send('Rclunk', tag, {})
  await fails('EPROTO', /same entries/, listed)
  await client.close()
})

test('what a server calls its files is neither run by a shell nor obeyed by a terminal', async () => {
  const { server, url } = await stand(await brick('/'))
  const raw = await Raw.versioned(url)
  await raw.attach(0)
  for (const name of ['plain', 'a blank', 'größe.txt', 'x$(id)', 'x`id`', 'x;id', "x'", 'x"', 'x\\', 'x\n', 'x\x1b[2J', 'x&', 'x|y', '\udcff', '!x', '~x', '*']) await raw.file(0, name)
  assert.equal(await complete({ server: url, aname: '', dialects: ['9P2000.L'] }, '/'), ['/a blank', '/größe.txt', '/plain'])
  await raw.end()
  await server.stop()
  const { write } = process.stderr, said: string[] = []
  process.stderr.write = ((text: string) => said.push(text) > 0) as typeof write
  try {
    const progress = new Progress(true, undefined)
    progress.begin('/x\x1b]0;y\x07')
    progress.end()
  } finally { process.stderr.write = write }
  assert.match(said.join(''), '/x\\033]0;y\\007')
})

/** Moves files, not back, and changes nothing else of them. */
class OneWay extends ForwardNode<object> {
  protected override wrap(child: Node) { return new OneWay(child, this.layer) }
  override setattr(): never { throw errno('EIO', 'setattr') }
  override renameat(name: string, dir: Node, newName: string) {
    if (name.startsWith('new')) throw errno('EIO', 'renameat')
    return super.renameat(name, dir, newName)
  }
}
const oneWay = translator({
  name: 'one-way', about: 'Move files, not back.', children: 1, options: {}, concurrent: true,
  start: (_options, [child]) => new ForwardTranslator('one-way', child, (root) => new OneWay(root, {})),
})
test('failures that anybody can cause at will are told a few times each, and then counted', async () => {
  const { server, url, log } = await stand(await oneWay({}, await brick('/')), { passive: { allow: ['posix'] } })
  const raw = await Raw.versioned(url), old = await Plan9.versioned(url, '9P2000.u'), began = performance.now()
  await raw.attach(0)
  await old.attach(0)
  for (let i = 0; i < 60; i++) {
    await raw.file(0, `old-${i}`)
    await old.walk(0, 1, `old-${i}`)
    assert.is(await old.wstat(1, { name: `new-${i}`, mode: 0o600 }), 'EIO')
    await old.clunk(1)
    await old.create(0, 1, `closed-${i}`, 0o644, OPEN.RDWR | OPEN.RCLOSE)
    await raw.ok('Tunlinkat', { dirfid: 0, name: `closed-${i}`, flags: 0 })
    await old.clunk(1)
    await raw.file(0, `passive-${i}`)
    assert.is(await setXattr(raw, `passive-${i}`, 'user.translator', Buffer.from('posix /nowhere')), 'ok')
    await raw.walk(0, 1, `passive-${i}`)
    await raw.clunk(1)
  }
  const few = 10 * Math.ceil((performance.now() - began) / 5000 + 1)
  for (const says of ['has the new name still', 'is still there', 'a passive translator did not start']) {
    const told = log.warnings.filter(({ message }) => message.endsWith(says)).length
    assert.ok(told >= 10 && (told <= few || few >= 60), `${says}: ${told} times`)
  }
  await raw.end()
  await old.end()
  await server.stop()
  assert.equal(log.bugs, [])
})

test.run()
