// The client's messages, against a peer that a test scripts frame by frame.

import { once } from 'node:events'
import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net'
import { Duplex, duplexPair } from 'node:stream'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import { Client, connect, errnos, isErrno, NOTAG, typeOf } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fails, frame, Peer, talk, talkByTcp, type Request } from './scripted.ts'

const test = suite('client')

test('a reply finds its request by tag, in any order', async () => {
  const { client, peer } = await talk()
  const [a, b] = [client.rpc('Treadlink', { fid: 1 }), client.rpc('Treadlink', { fid: 2 })]
  const [first, second] = [await peer.next(), await peer.next()]
  assert.equal([first.fields, second.fields], [{ fid: 1 }, { fid: 2 }])
  peer.send('Rreadlink', second.tag, { target: 'second' })
  peer.send('Rreadlink', first.tag, { target: 'first' })
  assert.equal([await a, await b], [{ target: 'first' }, { target: 'second' }])
  await client.close()
})

test('an Rlerror is an Errno that says what was tried on what', async () => {
  const { client, peer } = await talk()
  const made = client.rpc('Tmkdir', { dfid: 1, name: 'd', mode: 0o755, gid: 0 })
  peer.send('Rlerror', (await peer.next()).tag, { ecode: errnos.EEXIST })
  await fails('EEXIST', /^EEXIST: mkdir "d"$/, made)
  const odd = client.rpc('Tstatfs', { fid: 1 })
  peer.send('Rlerror', (await peer.next()).tag, { ecode: 3999 })
  await fails('EIO', /statfs \(error 3999\)/, odd)
  await client.close()
})

test('requests of one turn leave in one write', async () => {
  const { client, peer } = await talk()
  peer.chunks.length = 0
  const all = Array.from({ length: 50 }, (_, fid) => client.rpc('Tclunk', { fid }))
  const asked = await Promise.all(all.map(() => peer.next()))
  assert.equal(peer.chunks, [50 * 11])
  // and so do those that the answers of one burst lead to
  peer.chunks.length = 0
  const then = all.map(async (one, fid) => {
    await one
    return client.rpc('Tclunk', { fid: 100 + fid })
  })
  peer.stream.write(Buffer.concat(asked.map(({ tag }) => frame('Rclunk', tag, {}))))
  const next = await Promise.all(then.map(() => peer.next()))
  assert.equal(peer.chunks, [50 * 11])
  for (const { tag } of next) peer.send('Rclunk', tag, {})
  await Promise.all(then)
  await client.close()
})

test('a burst of replies may be cut anywhere', async () => {
  const { client, peer } = await talk()
  const all = Array.from({ length: 40 }, (_, fid) => client.rpc('Treadlink', { fid }))
  const burst = Buffer.concat(await Promise.all(all.map(async () => {
    const { tag, fields } = await peer.next()
    return frame('Rreadlink', tag, { target: `${fields.fid}`.repeat(fields.fid) })
  })))
  for (let at = 0, step = 1; at < burst.length; at += step++) peer.stream.write(burst.subarray(at, at + step))
  for (const [fid, one] of all.entries()) assert.is((await one).target, `${fid}`.repeat(fid))
  await client.close()
})

test('what rpc answers is the caller’s to keep', async () => {
  const { client, peer } = await talkByTcp()
  const kept: Uint8Array[] = []
  for (let i = 0; i < 8; i++) {
    const read = client.rpc('Tread', { fid: 1, offset: 0, count: 4000 })
    peer.send('Rread', (await peer.next()).tag, { data: Buffer.alloc(4000, i) })
    kept.push((await read).data)
  }
  for (const [i, data] of kept.entries()) assert.equal(Buffer.from(data), Buffer.alloc(4000, i))
  await client.close()
})

test('what a stream was given does not change any more', async () => {
  const kept: Buffer[] = []
  const stream = new Duplex({
    read() {},
    write(chunk: Buffer, _, done) {
      kept.push(chunk)
      if (kept.length === 1) this.push(frame('Rversion', NOTAG, { msize: 8192, version: '9P2000.L' }))
      else this.push(frame('Rclunk', chunk.readUInt16LE(5), {}))
      done()
    },
  })
  const client = await Client.over(stream)
  for (let fid = 0; fid < 5; fid++) await client.rpc('Tclunk', { fid })
  assert.equal(kept.slice(1).map((chunk) => chunk.readUInt32LE(7)), [0, 1, 2, 3, 4])
  await client.close()
})

test('large writes leave in order with what is small', async () => {
  const { client, peer } = await talkByTcp(1 << 20)
  const data = (i: number) => Buffer.alloc(i % 3 ? 60_000 + i : 10 + i, i)
  for (let round = 0; round < 3; round++) {
    const all = Array.from({ length: 60 }, (_, i) => client.rpc('Twrite', { fid: 1, offset: i, data: data(i) }))
    for (let i = 0; i < 60; i++) {
      const { tag, fields } = await peer.next()
      assert.is(fields.offset, i)
      assert.ok(data(i).equals(fields.data))
      peer.send('Rwrite', tag, { count: data(i).length })
    }
    for (const [i, one] of all.entries()) assert.equal(await one, { count: data(i).length })
  }
  await client.close()
})

test('a peer that does not read holds requests back, and gets them all later', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stream = createConnection((server.address() as AddressInfo).port, '127.0.0.1'), opening = Client.over(stream)
  const [socket] = await once(server, 'connection') as [Socket]
  server.close()
  const peer = new Peer(socket)
  await peer.next()
  peer.send('Rversion', NOTAG, { msize: 1 << 20, version: '9P2000.L' })
  const client = await opening
  socket.pause()
  // Small enough to be gathered, in many turns, and more than the kernel takes.
  const data = Array.from({ length: 600 }, (_, i) => Buffer.alloc(20_000, i))
  const all: Promise<unknown>[] = []
  for (const [i, bytes] of data.entries()) {
    all.push(client.rpc('Twrite', { fid: 1, offset: i, data: bytes }))
    if (i % 2) await setImmediate()
  }
  assert.ok(stream.writableLength > 0 && stream.writableLength < 1 << 20, `${stream.writableLength} bytes wait in the stream`)
  socket.resume()
  for (const [i, bytes] of data.entries()) {
    const { tag, fields } = await peer.next()
    assert.is(fields.offset, i)
    assert.ok(bytes.equals(fields.data), `request ${i} is not what was sent`)
    peer.send('Rwrite', tag, { count: bytes.length })
  }
  await Promise.all(all)
  await client.close()
})

test('an abort sends Tflush, and ends with its reason when Rflush comes', async () => {
  const { client, peer } = await talk()
  const controller = new AbortController()
  const slow = client.rpc('Tread', { fid: 1, offset: 0, count: 1 }, { signal: controller.signal })
  const { tag } = await peer.next()
  let settled = false
  slow.catch(() => {}).finally(() => { settled = true })
  controller.abort(new Error('enough'))
  const flush = await peer.next()
  assert.equal([flush.name, flush.fields], ['Tflush', { oldtag: tag }])
  await sleep(10)
  assert.not(settled, 'settled before Rflush')
  const others = Array.from({ length: 20 }, (_, fid) => client.rpc('Tclunk', { fid }))
  for (let i = 0; i < 20; i++) {
    const other = await peer.next()
    assert.ok(other.tag !== tag && other.tag !== flush.tag, 'a tag was reused before Rflush')
    peer.send('Rclunk', other.tag, {})
  }
  await Promise.all(others)
  peer.send('Rflush', flush.tag, {})
  const error = await slow.then(() => null, (error: Error) => error)
  assert.is(error?.message, 'enough')
  await client.close()
})

test('a reply that comes before Rflush counts; its tag is free only after', async () => {
  const { client, peer } = await talk()
  const controller = new AbortController()
  const slow = client.rpc('Treadlink', { fid: 1 }, { signal: controller.signal })
  const { tag } = await peer.next()
  controller.abort()
  const flush = await peer.next()
  peer.send('Rreadlink', tag, { target: 'after all' })
  assert.equal(await slow, { target: 'after all' })
  const next = client.rpc('Treadlink', { fid: 2 })
  const asked = await peer.next()
  assert.ok(asked.tag !== tag && asked.tag !== flush.tag)
  peer.send('Rflush', flush.tag, {})
  peer.send('Rreadlink', asked.tag, { target: 'b' })
  assert.equal(await next, { target: 'b' })
  await client.close()
})

test('a reply after Rflush ends the connection', async () => {
  const { client, peer } = await talk()
  const controller = new AbortController()
  const slow = client.rpc('Treadlink', { fid: 1 }, { signal: controller.signal })
  const { tag } = await peer.next()
  controller.abort(new Error('enough'))
  const flush = await peer.next()
  const waiting = client.rpc('Tclunk', { fid: 9 })
  peer.stream.write(Buffer.concat([frame('Rflush', flush.tag, {}), frame('Rreadlink', tag, { target: 'late' })]))
  assert.is(await slow.catch((error: Error) => error.message), 'enough')
  await fails('EPROTO', new RegExp(`answered tag ${tag}, which no request has`), waiting)
})

test('a signal aborted beforehand sends nothing', async () => {
  const { client, peer } = await talk()
  const error = await client.rpc('Tclunk', { fid: 1 }, { signal: AbortSignal.abort(new Error('no')) }).catch((error: Error) => error)
  assert.is((error as Error).message, 'no')
  assert.ok(await peer.quiet())
  await client.close()
})

for (const [what, bytes, says] of [
  ['a tag that no request has', frame('Rclunk', 999, {}), /answered tag 999/],
  ['a reply of another type', frame('Rremove', 0, {}), /answered Tclunk with type 123/],
  ['a request', frame('Tclunk', 0, { fid: 1 }), /answered Tclunk with type 120/],
  ['an Rerror that is cut', Buffer.from('090000006b0000ffff', 'hex'), /body that is none/],
  ['a frame of 6 bytes', Buffer.from('06000000790000', 'hex'), /frame of 6 bytes/],
  ['a frame of msize + 1', Buffer.from('01200000790000', 'hex'), /frame of 8193 bytes where msize is 8192/],
  ['a frame of 4 GiB', Buffer.from('ffffffff790000', 'hex'), /frame of 4294967295 bytes/],
  ['an Rlerror that is cut', Buffer.from('09000000070000ffff', 'hex'), /body that is none/],
] as const) {
  test(`${what} ends the connection with a sentence`, async () => {
    const { client, peer } = await talk()
    const all = Array.from({ length: 3 }, () => client.rpc('Tclunk', { fid: 1 }))
    for (const _ of all) await peer.next()
    peer.stream.write(bytes)
    for (const one of all) await fails('EPROTO', says, one)
    await fails('EPROTO', says, client.rpc('Tclunk', { fid: 1 }))
    assert.ok(client.closed)
    await client.close()
  })
}

test('more data than were asked for end the connection', async () => {
  const { client, peer } = await talk()
  const read = client.read(1, 0, new Uint8Array(4))
  peer.send('Rread', (await peer.next()).tag, { data: Buffer.alloc(5) })
  await fails('EPROTO', /Tread with a body/, read)
})

test('random bytes never do more than end the connection', async () => {
  let seed = 1
  const random = () => (seed = Math.imul(seed, 1664525) + 1013904223 >>> 0) >>> 24
  for (let round = 0; round < 300; round++) {
    const { client, peer } = await talk()
    const asked = [client.rpc('Tgetattr', { fid: 1, mask: 1 }), client.rpc('Twalk', { fid: 1, newfid: 2, names: ['a'] }), client.read(1, 0, new Uint8Array(10))]
    for (const _ of asked) await peer.next()
    const types = [typeOf.Rgetattr, typeOf.Rwalk, typeOf.Rread, typeOf.Rlerror, random()]
    const bytes = Buffer.from(Array.from({ length: 7 + random() }, random))
    bytes.writeUInt32LE(round % 3 ? bytes.length : 7 + random() % bytes.length, 0)
    bytes[4] = types[random() % types.length]!
    bytes.writeUInt16LE(random() % 4, 5)
    peer.stream.write(bytes)
    peer.stream.end()
    await Promise.allSettled(asked)
    await client.close()
  }
})

for (const how of ['destroy', 'resetAndDestroy', 'end'] as const) {
  test(`a connection lost by ${how} fails what waits, and what comes after`, async () => {
    const { client, peer, socket } = await talkByTcp()
    const waiting = client.rpc('Tclunk', { fid: 1 })
    await peer.next()
    socket[how]()
    await fails('ECONNRESET', /connection/, waiting)
    await fails('ECONNRESET', /connection/, client.rpc('Tclunk', { fid: 1 }))
    await client.close()
  })
}

test('close() fails what waits and ends the stream', async () => {
  const { client, peer } = await talk()
  const waiting = client.rpc('Tclunk', { fid: 1 })
  const lost = fails('ECONNRESET', /client was closed/, waiting)
  await client.close()
  await lost
  assert.equal((await peer.next()).fields, { fid: 1 })
})

test('65534 requests are on their way at once, the next one waits, and one can still be aborted', async () => {
  const { client, peer } = await talk()
  const controller = new AbortController()
  const all = Array.from({ length: 65536 }, (_, fid) => client.rpc('Tclunk', { fid }, fid === 7 ? { signal: controller.signal } : {}).then(() => 'done', () => 'aborted'))
  const asked: Request[] = []
  for (let i = 0; i < 65534; i++) asked.push(await peer.next())
  assert.is(new Set(asked.map(({ tag }) => tag)).size, 65534)
  assert.ok(await peer.quiet())
  controller.abort()
  const flush = await peer.next()
  assert.equal(flush.fields, { oldtag: asked[7]!.tag })
  peer.send('Rflush', flush.tag, {})
  assert.is(await all[7], 'aborted')
  for (const { tag, fields } of asked) if (fields.fid !== 7) peer.stream.write(frameOfClunk(tag))
  for (let i = 0; i < 2; i++) peer.stream.write(frameOfClunk((await peer.next()).tag))
  assert.is((await Promise.all(all)).filter((end) => end === 'done').length, 65535)
  await client.close()
})
function frameOfClunk(tag: number): Buffer { return Buffer.from([7, 0, 0, 0, typeOf.Rclunk, tag & 255, tag >> 8]) }

test('a request larger than msize is refused here, and the next one goes', async () => {
  const { client, peer } = await talk()
  await fails('EMSGSIZE', /Twrite/, client.rpc('Twrite', { fid: 1, offset: 0, data: Buffer.alloc(8192 - 22) }))
  await fails('EMSGSIZE', /Twrite/, client.rpc('Twrite', { fid: 1, offset: 0, data: Buffer.alloc(1 << 20) }))
  await fails('EMSGSIZE', /Tsymlink/, client.rpc('Tsymlink', { dfid: 1, name: 'a', target: 'x'.repeat(8192), gid: 0 }))
  await fails('EILSEQ', /encode/, client.rpc('Twalk', { fid: 1, newfid: 2, names: ['\ud800'] }))
  const write = client.rpc('Twrite', { fid: 1, offset: 5, data: Buffer.alloc(8192 - 23, 7) })
  const { tag, fields } = await peer.next()
  assert.is(tag, 0, 'a tag was lost')
  assert.equal(fields, { fid: 1, offset: 5, data: Buffer.alloc(8192 - 23, 7) })
  peer.send('Rwrite', tag, { count: 8192 - 23 })
  assert.equal(await write, { count: 8192 - 23 })
  await client.close()
})

for (const [what, version, msize, code, says] of [
  ['another dialect', '9P2000.u', 8192, 'EPROTONOSUPPORT', /speaks "9P2000.u", not 9P2000.L/],
  ['no dialect', 'unknown', 8192, 'EPROTONOSUPPORT', /speaks "unknown"/],
  ['a larger msize', '9P2000.L', 1 << 30, 'EPROTO', /msize 1073741824/],
  ['a tiny msize', '9P2000.L', 30, 'EPROTO', /msize 30/],
] as const) {
  test(`${what} is refused`, async () => {
    const [ours, theirs] = duplexPair()
    const peer = new Peer(theirs)
    const client = Client.over(ours)
    await peer.next()
    peer.send('Rversion', NOTAG, { msize, version })
    await fails(code, says, client)
    assert.ok(ours.destroyed)
  })
}

for (const msize of [511, 2 ** 32, NaN]) {
  test(`msize ${msize} is not asked for`, async () => {
    const [ours] = duplexPair()
    await fails('EINVAL', /msize/, Client.over(ours, { msize }))
  })
}

test('a server that never answers: timeout and abort', async () => {
  const [ours] = duplexPair()
  await fails('ETIMEDOUT', /connect/, Client.over(ours, { timeout: 20 }))
  assert.ok(ours.destroyed)
  const [mine] = duplexPair()
  const controller = new AbortController()
  setTimeout(() => controller.abort(new Error('enough')), 20)
  assert.is(await Client.over(mine, { signal: controller.signal }).then(() => '', (error: Error) => error.message), 'enough')
  assert.ok(mine.destroyed)
})

test('nobody there: an Errno that says where', async () => {
  await fails('ENOENT', /unix:\/nowhere\/at-all/, connect('unix:/nowhere/at-all'))
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await fails('ECONNREFUSED', new RegExp(`tcp://127.0.0.1:${port}`), connect(`tcp://127.0.0.1:${port}`))
  for (const url of ['http://localhost:1', 'tcp://localhost', 'tcp://:564', 'tcp://h:65536', 'tcp://::1:564', 'unix:', '']) {
    await fails('EINVAL', /write tcp:\/\/HOST:PORT or unix:PATH/, connect(url))
  }
})

test('IPv6, in brackets', async () => {
  const error = await connect('tcp://[::1]:1').catch((error: unknown) => error)   // nobody is there, or there is no IPv6
  assert.ok(isErrno(error) && ['ECONNREFUSED', 'EADDRNOTAVAIL', 'EIO'].includes(error.code), String(error))
})
test.run()
