// The server half of ninep, by its own client and frame by frame.

import { once } from 'node:events'
import { createServer, connect as dial, type AddressInfo } from 'node:net'
import { duplexPair } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { attrOf, Client, codecs, connect, errno, errnos, Fids, isErrno, listing, NOFID, O, QT, S, serve } from 'ninep'
import type { ByteStream, Dialect, Handlers, Qid, ServeOptions, Session } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fails, frame, Peer } from './scripted.ts'

const test = suite('serve')

interface Thing { readonly name: string; readonly qid: Qid; readonly mode: number; readonly size: number; readonly things?: readonly Thing[] }
const content = Buffer.alloc(3_000_000, 'Hello, Hurd!\n')
let paths = 0n
const file = (name: string, size = 13): Thing => ({ name, qid: { type: QT.FILE, version: 1, path: paths++ }, mode: S.IFREG | 0o444, size })
const dir = (name: string, ...things: Thing[]): Thing => ({ name, qid: { type: QT.DIR, version: 1, path: paths++ }, mode: S.IFDIR | 0o555, size: 0, things })
const root = dir('/', file('hello.txt'), file('caf\u00e9'), file('\udcff'), file('large', content.length), dir('many', ...Array.from({ length: 3000 }, (_, i) => file(`file-${i}`))), dir('a', dir('b', file('c'))))

/** A tree that can be read, and what more a test wants. */
function tree(more: (session: Session<Thing>) => Handlers = () => ({})): (session: Session<Thing>) => Handlers {
  return (session) => ({
    Tattach: ({ fid }) => session.fids.add(fid, root),
    Twalk: (walk) => session.fids.walk(walk, async (dir, name) => name === '..' ? root : dir.things!.find((thing) => thing.name === name)),
    Tgetattr: ({ fid }) => attrOf(session.fids.get(fid)),
    Tlopen: ({ fid }) => ({ qid: session.fids.get(fid).qid, iounit: 0 }),
    Treaddir: (ask) => listing(session.fids.get(ask.fid).things!, ask),
    Tread: ({ fid, offset, count }) => ({ data: content.subarray(offset, Math.min(offset + count, session.fids.get(fid).size)) }),
    Tclunk: ({ fid }) => session.fids.remove(fid),
    ...more(session),
  })
}

const pairs: Readonly<Record<string, () => [ByteStream, ByteStream]>> = {
  'a Duplex': () => duplexPair(),
  'streams of the Web': () => {
    const there = new TransformStream<Uint8Array, Uint8Array>(), back = new TransformStream<Uint8Array, Uint8Array>()
    return [{ readable: back.readable, writable: there.writable }, { readable: there.readable, writable: back.writable }]
  },
}
for (const [name, pair] of Object.entries(pairs)) {
  test(`a tree is listed and read over ${name}`, async () => {
    const [ours, theirs] = pair()
    const over = serve(theirs, tree())
    const client = await Client.over(ours, { msize: 65536 }), top = await client.attach()
    const names: string[] = []
    for await (const entry of top.readdir()) names.push(entry.name)
    assert.equal(names, root.things!.map((thing) => thing.name))
    let many = 0
    for await (const entry of (await top.walk('many')).readdir()) assert.is(entry.name, `file-${many++}`)
    assert.is(many, 3000)
    await using large = await (await top.walk('large')).open()
    assert.ok(content.equals(await large.read(0, content.length + 100)))
    const parts: Uint8Array[] = []
    for await (const part of large.stream(1)) parts.push(part)
    assert.ok(content.subarray(1).equals(Buffer.concat(parts)))
    for (const name of ['caf\u00e9', '\udcff']) assert.is((await (await top.walk(name)).getattr()).size, 13)
    assert.equal((await (await top.walk('a', 'b', 'c')).getattr()).qid, root.things!.at(-1)!.things![0]!.things![0]!.qid)
    await fails('ENOENT', /walk "a\/x"/, top.walk('a', 'x', 'y'))
    await fails('ENOTDIR', /walk "hello.txt\/x"/, top.walk('hello.txt', 'x'))
    await fails('ENOENT', /walk/, top.walk('nobody'))
    await fails('EOPNOTSUPP', /mkdir/, top.mkdir('new', 0o755))
    await large.clunk()
    await client.close()
    assert.is(await over, undefined)
  })

  test(`what is written over ${name} arrives, also faster than it is taken`, async () => {
    const [ours, theirs] = pair(), got = Buffer.alloc(content.length)
    let atWork = 0, most = 0
    void serve(theirs, tree(() => ({
      async Twrite({ offset, data }) {
        most = Math.max(most, ++atWork)
        await sleep(1)
        got.set(data, offset)
        atWork--
        return { count: data.length }
      },
    })), { requests: 4 })
    const client = await Client.over(ours, { msize: 4096 }), top = await client.attach()
    const file = await (await top.walk('large')).open(O.WRONLY)
    await Promise.all([0, 1, 2].map((i) => file.write(content.subarray(i * 1_000_000, (i + 1) * 1_000_000), i * 1_000_000)))
    assert.ok(got.equals(content))
    assert.ok(most > 1, 'one after the other')
    got.fill(0)
    const pieces = Array.from({ length: 1000 }, (_, i) => i * 3000)
    await Promise.all(pieces.map((at) => client.rpc('Twrite', { fid: file.fid, offset: at, data: content.subarray(at, at + 3000) })))
    assert.ok(got.equals(content))
    assert.ok(most < 100, `${most} at work`)
    await client.close()
  })
}

test('over a socket; a client that is gone ends the session', async () => {
  let ended: Promise<unknown> | undefined, over: Promise<unknown> | undefined
  const server = createServer((socket) => { over = serve(socket, tree(({ signal }) => { ended = once(signal, 'abort'); return {} })) }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = await connect(`tcp://127.0.0.1:${(server.address() as AddressInfo).port}`)
  await client.attach()
  await client.close()
  await ended!
  assert.is(await over, undefined)
  server.close()
})

/** The server, and a client that sends frames as it likes. */
function raw(session = tree(), options?: ServeOptions<'9P2000.L'>): { peer: Peer; over: Promise<unknown> } {
  const [ours, theirs] = duplexPair()
  return { peer: new Peer(ours), over: serve(theirs, session, options) }
}
async function begun(session = tree(), options?: ServeOptions<'9P2000.L'>): Promise<ReturnType<typeof raw>> {
  const made = raw(session, options)
  made.peer.send('Tversion', 0xffff, { msize: 8192, version: '9P2000.L' })
  assert.equal(await made.peer.next(), { name: 'Rversion', tag: 0xffff, fields: { msize: 8192, version: '9P2000.L' } })
  made.peer.send('Tattach', 1, { fid: 0, afid: NOFID, uname: '', aname: '', nUname: 0 })
  assert.equal(await made.peer.next(), { name: 'Rattach', tag: 1, fields: { qid: root.qid } })
  return made
}
const refused = (tag: number, code: keyof typeof errnos) => ({ name: 'Rlerror', tag, fields: { ecode: errnos[code] } })

test('versions: the smaller msize, another dialect is unknown, nothing before one is agreed on', async () => {
  const { peer } = raw(tree(), { msize: 10_000 })
  peer.send('Tclunk', 7, { fid: 0 })
  assert.equal(await peer.next(), refused(7, 'EINVAL'))
  for (const version of ['9P2000', '9P2000.u', 'foo', '']) {
    peer.send('Tversion', 3, { msize: 8192, version })
    assert.equal(await peer.next(), { name: 'Rversion', tag: 3, fields: { msize: 8192, version: 'unknown' } })
    peer.send('Tclunk', 7, { fid: 0 })
    assert.equal(await peer.next(), refused(7, 'EINVAL'))
  }
  for (const [asked, msize] of [[1 << 20, 10_000], [600, 600], [0xffff_ffff, 10_000]] as const) {
    peer.send('Tversion', 0xffff, { msize: asked, version: '9P2000.L' })
    assert.equal((await peer.next()).fields, { msize, version: '9P2000.L' })
  }
  peer.stream.destroy()
})

test('a Tversion ends what was: fids are gone, what is at work is told and never answered', async () => {
  let aborted = 0, sessions = 0
  const { peer } = await begun(tree(({ fids, signal }) => {
    sessions++
    signal.addEventListener('abort', () => { aborted += [...fids.values()].length })
    return { Tgetattr: (_, call) => once(call.signal, 'abort').then(() => { aborted += 10; return attrOf(root) }) }
  }))
  peer.send('Tgetattr', 5, { fid: 0, mask: 0 })
  peer.send('Tversion', 0xffff, { msize: 8192, version: '9P2000.L' })
  assert.is((await peer.next()).name, 'Rversion')
  peer.send('Tclunk', 5, { fid: 0 })
  assert.equal(await peer.next(), refused(5, 'EBADF'))
  assert.ok(await peer.quiet())
  assert.is(aborted, 11)
  assert.is(sessions, 2)
  peer.stream.destroy()
})

test('a flush stands behind the answer to what it ends, a second one and one of a flush behind it', async () => {
  const { peer } = await begun(tree(() => ({ Tgetattr: async (_, { signal }) => { await once(signal, 'abort'); throw signal.reason } })))
  peer.send('Tgetattr', 5, { fid: 0, mask: 0 })
  assert.ok(await peer.quiet())
  peer.stream.write(Buffer.concat(([[6, 5], [7, 5], [8, 6], [9, 9], [10, 1234]] as const).map(([tag, oldtag]) => Buffer.from(frame('Tflush', tag, { oldtag })))))
  const answers = []
  for (let i = 0; i < 6; i++) answers.push(await peer.next())
  const order = answers.map(({ tag }) => tag)
  assert.equal(order.filter((tag) => tag < 9), [5, 6, 7, 8])
  assert.equal([...order].sort((a, b) => a - b), [5, 6, 7, 8, 9, 10])
  assert.equal(answers.find(({ tag }) => tag === 5), refused(5, 'EINTR'))
  peer.stream.destroy()
})

test('fids: those taken, unknown and of no number; a walk that fails leaves all as it was', async () => {
  const { peer } = await begun()
  const ask = async (name: any, fields: object) => {
    peer.send(name, 2, fields as never)
    const { name: answer, fields: { qids, ecode } } = await peer.next()
    return answer === 'Rlerror' ? Object.keys(errnos).find((code) => errnos[code as 'EIO'] === ecode) : qids?.length ?? answer
  }
  const walk = (fid: number, newfid: number, ...names: string[]) => ask('Twalk', { fid, newfid, names })
  assert.is(await walk(0, 1, 'a', 'b', 'c'), 3)
  assert.is(await walk(0, 1), 'EBADF')
  assert.is(await walk(9, 2), 'EBADF')
  assert.is(await walk(0, NOFID), 'EBADF')
  assert.is(await walk(0, 2, 'a', 'x'), 1)
  assert.is(await walk(0, 1, 'a', 'x'), 'EBADF')
  assert.is(await ask('Tclunk', { fid: 2 }), 'EBADF')
  assert.is(await walk(1, 2, 'x'), 'ENOTDIR')
  assert.is(await walk(0, 2, ...Array.from({ length: 17 }, () => '..')), 'EINVAL')
  assert.is(await walk(0, 2, ...Array.from({ length: 16 }, () => '..')), 16)
  assert.is(await walk(2, 2, 'a', 'x'), 1)
  assert.is(await walk(2, 2, 'a'), 1)
  assert.is(await walk(2, 2, 'b'), 1)
  assert.is(await walk(2, 2), 0)
  assert.is(await ask('Tattach', { fid: 2, afid: NOFID, uname: '', aname: '', nUname: 0 }), 'EBADF')
  assert.is(await ask('Tclunk', { fid: 2 }), 'Rclunk')
  assert.is(await ask('Tclunk', { fid: 2 }), 'EBADF')
  peer.stream.destroy()
})

test('what a handler throws: an Errno is the answer, all else is EIO and told, and so is an answer that is none', async () => {
  const bugs: string[] = []
  const { peer } = await begun(tree(() => ({
    Tgetattr: ({ fid }) => { throw fid === 0 ? errno('ESTALE') : new TypeError('oops') },
    Tstatfs: async ({ fid }) => { throw fid === 0 ? errno('EDQUOT') : new TypeError('later') },
    Treadlink: ({ fid }) => ({ target: fid === 0 ? 'x'.repeat(9000) : undefined as never }),
  })), { onBug: (error, request) => bugs.push(`${request}: ${(error as Error).name}`) })
  for (const [name, fid, code] of [
    ['Tgetattr', 0, 'ESTALE'], ['Tgetattr', 1, 'EIO'], ['Tstatfs', 0, 'EDQUOT'], ['Tstatfs', 1, 'EIO'], ['Treadlink', 0, 'EMSGSIZE'], ['Treadlink', 1, 'EIO'],
  ] as const) {
    peer.send(name, 4, { fid, mask: 0 })
    assert.equal(await peer.next(), refused(4, code), `${name} ${fid}`)
  }
  assert.equal(bugs, ['Tgetattr: TypeError', 'Tstatfs: TypeError', 'Treadlink: TypeError'])
  peer.stream.destroy()
})

test('a request of no handler, of no number, of no sense', async () => {
  const { peer } = await begun()
  peer.send('Tmkdir', 2, { dfid: 0, name: 'a', mode: 0, gid: 0 })
  assert.equal(await peer.next(), refused(2, 'EOPNOTSUPP'))
  peer.send('Tauth', 2, { afid: 7, uname: '', aname: '', nUname: 0 })
  assert.equal(await peer.next(), refused(2, 'ENOENT'))
  for (const type of [200, 25, 6]) {
    peer.stream.write(Buffer.from([7, 0, 0, 0, type, 2, 0]))
    assert.equal(await peer.next(), refused(2, 'EOPNOTSUPP'), `type ${type}`)
  }
  const cut = frame('Twalk', 2, { fid: 0, newfid: 1, names: ['a'] })
  cut[15] = 9
  peer.stream.write(cut)
  assert.equal(await peer.next(), refused(2, 'EINVAL'))
  peer.send('Tread', 2, { fid: 0, offset: 0, count: 0xffff_ffff })
  assert.is((await peer.next()).fields.data.length, 0)
  peer.stream.destroy()
})

test('what was written is the handler\'s to keep', async () => {
  const kept: Uint8Array[] = []
  const { peer } = await begun(tree(() => ({ Twrite: ({ data }) => { kept.push(data); return { count: data.length } } })))
  for (const letter of ['a', 'b', 'c']) {
    const bytes = frame('Twrite', 2, { fid: 0, offset: 0, data: Buffer.alloc(100, letter) })
    for (const part of [bytes.subarray(0, 50), bytes.subarray(50)]) {
      peer.stream.write(Buffer.from(part))
      await sleep(1)
    }
    await peer.next()
  }
  assert.equal(kept.map((data) => Buffer.from(data).toString()), ['a', 'b', 'c'].map((letter) => letter.repeat(100)))
  peer.stream.destroy()
})

for (const [name, pair] of Object.entries(pairs)) {
  test(`who asks for much over ${name} and reads nothing has little done, and all of it once it reads`, async () => {
    let served = 0
    const [ours, theirs] = pair()
    void serve(theirs, tree(() => ({ Tread: ({ count }) => { served++; return { data: content.subarray(0, count) } } })))
    const asked = [frame('Tversion', 0xffff, { msize: 1 << 20, version: '9P2000.L' }), ...Array.from({ length: 2000 }, (_, tag) => frame('Tread', tag, { fid: 0, offset: 0, count: 100_000 }))]
    const all = new Uint8Array(Buffer.concat(asked))
    let came = 0
    const want = 21 + 2000 * 100_011
    if ('on' in ours) {
      ours.write(all)
      await sleep(100)
      assert.ok(served > 0 && served < 50, `${served} were done`)
      await new Promise<void>((resolve) => ours.on('data', (chunk) => { if ((came += chunk.length) === want) resolve() }))
    } else {
      void ours.writable.getWriter().write(all)
      await sleep(100)
      assert.ok(served > 0 && served < 50, `${served} were done`)
      for (const reader = ours.readable.getReader(); came < want;) came += (await reader.read()).value!.length
    }
    assert.is(came, want)
    assert.is(served, 2000)
  })
}

for (const [what, bytes] of [['a frame of 6 bytes', [6, 0, 0, 0, 120, 0, 0]], ['one beyond msize', [1, 32, 0, 0, 120]]] as const) {
  test(`${what} ends the connection`, async () => {
    const { peer, over } = await begun()
    peer.stream.write(Buffer.from(bytes))
    assert.ok(isErrno(await over, 'EPROTO'))
  })
}
test('a tag that is in use ends the connection', async () => {
  const { peer, over } = await begun(tree(() => ({ Tgetattr: () => new Promise(() => {}) })))
  peer.send('Tgetattr', 5, { fid: 0, mask: 0 })
  peer.send('Tclunk', 5, { fid: 0 })
  assert.match(String(await over), /EPROTO: tag 5 again/)
})

test('a count is never more than an answer holds, and a listing that has no room is EINVAL', async () => {
  const { peer } = await begun()
  peer.send('Twalk', 2, { fid: 0, newfid: 1, names: ['large'] })
  await peer.next()
  peer.send('Tread', 2, { fid: 1, offset: 0, count: 0xffff_ffff })
  assert.is((await peer.next()).fields.data.length, 8192 - 11)
  peer.send('Treaddir', 2, { fid: 0, offset: 0n, count: 30 })
  assert.equal(await peer.next(), refused(2, 'EINVAL'))
  peer.send('Treaddir', 2, { fid: 0, offset: 1n << 62n, count: 30 })
  assert.is((await peer.next()).fields.data.length, 0)
  peer.stream.destroy()
})

for (const [dialect, said] of [['9P2000', { ename: 'No such file or directory' }], ['9P2000.u', { ename: 'No such file or directory', errno: 2 }]] as const) {
  test(`${dialect} is spoken, errors as it says them`, async () => {
    const socket = createServer((socket) => void serve(socket, ({ fids }) => ({
      Tattach: ({ fid }) => fids.add(fid, root),
      Twalk: (walk) => fids.walk(walk, () => undefined),
    }), { dialect: dialect as Exclude<Dialect, '9P2000.L'> })).listen(0, '127.0.0.1')
    await once(socket, 'listening')
    const stream = dial((socket.address() as AddressInfo).port, '127.0.0.1'), into = Buffer.alloc(8192)
    const { encoders, decoders } = codecs[dialect] as any
    const ask = async (name: string, fields: object) => {
      stream.write(Buffer.from(into.subarray(0, encoders[name](1, fields, into, 0))))
      const [answer] = await once(stream, 'data') as [Buffer]
      return { type: answer[4], read: (reply: string) => decoders[reply](answer, 7, answer.length) }
    }
    assert.is((await ask('Tversion', { msize: 8192, version: dialect })).read('Rversion').version, dialect)
    assert.equal((await ask('Tattach', { fid: 0, afid: NOFID, uname: 'u', aname: '', nUname: 0 })).read('Rattach'), { qid: root.qid })
    const answer = await ask('Twalk', { fid: 0, newfid: 1, names: ['x'] })
    assert.is(answer.type, 107)
    assert.equal(answer.read('Rerror'), said)
    stream.destroy()
    socket.close()
  })
}

test('fids that a server keeps by itself', () => {
  const fids = new Fids<Thing>()
  assert.is(fids.add(1, root), root)
  assert.is(fids.get(1), root)
  assert.throws(() => fids.add(1, root), (error: unknown) => isErrno(error, 'EBADF'))
  assert.equal([...fids.values()], [root])
  assert.is(fids.remove(1), root)
  assert.throws(() => fids.get(1), (error: unknown) => isErrno(error, 'EBADF'))
})
test.run()
