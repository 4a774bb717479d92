// Files that are made up, over real sockets: hello, null, zero, random, and the fifo between two clients.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseStack } from '../server/stack.ts'
import { serve } from '../server/server.ts'
import type { Server } from '../server/server.ts'
import { silent } from '../translators/options.ts'
import { Raw } from './wire/raw.ts'
import { setattr } from './wire/cases/common.ts'

const RDONLY = 0, WRONLY = 1, RDWR = 2, TRUNC = 0x200, NONBLOCK = 0x800, DIRECTORY = 0x10000

const stacks = {
  hello: 'hello', greeting: 'hello "Hurd!"', null: 'null', zero: 'zero', zeros: 'zero size=10', random: 'random', randoms: 'random size=5 mode=0600',
  fifo: 'fifo capacity=8KiB', pipe: 'fifo kernel-reads=off',
}
let server: Server, url: string
const test = suite('synthetic')
test.before(async () => {
  const namespace = new Map()
  for (const [name, stack] of Object.entries(stacks)) namespace.set(`/${name}`, parseStack(stack))
  server = await serve({ listen: ['tcp://127.0.0.1:0'], namespace, log: silent })
  url = server.urls[0]!
})
test.after(() => server.stop())

/** A client with a fid 1 on a file. */
async function at(name: string): Promise<Raw> {
  const raw = await Raw.versioned(url)
  await raw.attach(0)
  await raw.walk(0, 1, name)
  return raw
}
/** Two round trips: what could be answered by then was. */
async function settled(raw: Raw): Promise<void> { for (let i = 0; i < 2; i++) await raw.getattr(0) }
/** A request that is not answered yet; its reply is. */
async function waiting(raw: Raw, send: (tag: number) => void): Promise<{ tag: number; reply: Promise<{ name: string; fields: any }> }> {
  const tag = raw.tag(), reply = raw.reply(tag), before = raw.arrived.length
  send(tag)
  await settled(raw)
  assert.is(raw.arrived.slice(before).some((frame) => frame.tag === tag && frame.name !== 'Rgetattr'), false, 'it was answered')
  return { tag, reply }
}
const read = (raw: Raw, count = 100, offset = 0) => waiting(raw, (tag) => raw.send('Tread', tag, { fid: 1, offset, count }))
const open = (raw: Raw, flags: number) => waiting(raw, (tag) => raw.send('Tlopen', tag, { fid: 1, flags }))
const text = ({ name, fields }: { name: string; fields: any }) => name === 'Rread' ? Buffer.from(fields.data).toString() : `${name} ${fields.ecode}`

test('hello greets, can be read only, and says how long it is', async () => {
  for (const [name, says] of [['hello', 'Hello, world!\n'], ['greeting', 'Hurd!']] as const) {
    const raw = await at(name)
    const { size, mode } = await raw.getattr(1)
    assert.equal([size, mode], [says.length, 0o100444])
    assert.is(await raw.refused('Tlopen', { fid: 1, flags: RDWR }), 'EROFS')
    assert.is(await raw.refused('Tlopen', { fid: 1, flags: DIRECTORY }), 'ENOTDIR')
    await raw.open(1)
    assert.is(await raw.read(1), says)
    assert.is(await raw.read(1, 3, 2), says.slice(3, 5))
    assert.is(await raw.read(1, 100), '')
    assert.is(await raw.refused('Twrite', { fid: 1, offset: 0, data: Buffer.from('x') }), 'EBADF')
    await raw.end()
  }
})
test('null, zero and random take what is written, and truncation; each reads as it does', async () => {
  for (const name of ['null', 'zero', 'random', 'zeros', 'randoms']) {
    const raw = await at(name)
    await raw.open(1, RDWR | TRUNC)
    assert.is(await raw.write(1, 'gone', 7), 4)
    assert.is(await setattr(raw, 1, 8, { size: 0 }), 'ok')
    const first = await raw.read(1, 0, 16), second = await raw.read(1, 2 ** 40, 16)
    assert.is(first.length, name === 'null' ? 0 : name === 'zeros' ? 10 : name === 'randoms' ? 5 : 16)
    assert.is(second.length, name === 'null' || name.endsWith('s') ? 0 : 16)
    if (name.startsWith('zero')) assert.is(first, '\0'.repeat(first.length))
    if (name === 'random') assert.is.not(first, second)
    const { size, mode } = await raw.getattr(1)
    assert.equal([size, mode], [name === 'zeros' ? 10 : name === 'randoms' ? 5 : 0, name === 'randoms' ? 0o100600 : 0o100666])
    await raw.end()
  }
})
test('chmod, chown and times hold while it runs', async () => {
  const raw = await at('null')
  assert.is(await setattr(raw, 1, 0x121, { mode: 0o640, mtime: { sec: 5, nsec: 6 } }), 'ok')
  const { mode, mtime } = await raw.getattr(1)
  assert.equal([mode, mtime], [0o100640, { sec: 5, nsec: 6 }])
  assert.is(await setattr(raw, 1, 1, { mode: 0o666 }), 'ok')
  await raw.end()
})
test('a large read of zero comes whole, and what it gave stays zero', async () => {
  const raw = await Raw.versioned(url, 2 ** 20)
  await raw.attach(0)
  await raw.walk(0, 1, 'zero')
  await raw.open(1)
  const data = await raw.read(1, 1, 600_000)
  assert.is(data.length, 600_000)
  assert.not.match(data, /[^\0]/)
  await raw.end()
})

test('opening one end of a fifo waits for the other, and the bytes go through in order', async () => {
  const reader = await at('fifo'), writer = await at('fifo')
  const opened = await open(reader, RDONLY)
  await writer.open(1, WRONLY)
  assert.is((await opened.reply).name, 'Rlopen')
  const first = await read(reader)
  assert.is(await writer.write(1, 'one'), 3)
  assert.is(text(await first.reply), 'one')
  await writer.write(1, 'two')
  await writer.write(1, 'three')
  assert.is(await reader.read(1, 0, 4), 'twot')
  assert.is(await reader.read(1, 99, 100), 'hree')
  const last = await read(reader, 100, 0)
  await writer.clunk(1)
  assert.is(text(await last.reply), '')
  assert.is(await reader.read(1), '')
  await reader.end()
  await writer.end()
})
test('a writer waits for a reader, be it a short visit', async () => {
  const writer = await at('fifo'), reader = await at('fifo')
  const opened = await open(writer, WRONLY)
  await reader.open(1, RDONLY)
  await reader.clunk(1)
  assert.is((await opened.reply).name, 'Rlopen')
  assert.is(await writer.refused('Twrite', { fid: 1, offset: 0, data: Buffer.from('x') }), 'EPIPE')
  await writer.end()
  await reader.end()
})
test('without waiting: a reader opens, a writer finds nobody (ENXIO), reads are empty or EAGAIN', async () => {
  const reader = await at('fifo'), writer = await at('fifo')
  assert.is(await writer.refused('Tlopen', { fid: 1, flags: WRONLY | NONBLOCK }), 'ENXIO')
  await reader.open(1, RDONLY | NONBLOCK)
  assert.is(await reader.read(1), '')
  await writer.open(1, WRONLY | NONBLOCK)
  assert.is(await reader.refused('Tread', { fid: 1, offset: 0, count: 9 }), 'EAGAIN')
  await writer.write(1, Buffer.alloc(8000, 'a'))
  assert.is(await writer.refused('Twrite', { fid: 1, offset: 0, data: Buffer.alloc(4096) }), 'EAGAIN')
  assert.is(await writer.write(1, Buffer.alloc(5000, 'b')), 192)
  assert.is(await writer.refused('Twrite', { fid: 1, offset: 0, data: Buffer.alloc(4097) }), 'EAGAIN')
  assert.is(await reader.read(1, 0, 9000), 'a'.repeat(8000) + 'b'.repeat(192))
  await reader.end()
  await writer.end()
})
test('a write waits for room: a small one stands in one piece, a large one goes through in parts', async () => {
  const reader = await at('fifo'), writer = await at('fifo')
  await reader.open(1, RDWR)
  await writer.open(1, WRONLY)
  await writer.write(1, Buffer.alloc(6000, 'a'))
  const small = await waiting(writer, (tag) => writer.send('Twrite', tag, { fid: 1, offset: 0, data: Buffer.alloc(4000, 'b') }))
  const large = await waiting(writer, (tag) => writer.send('Twrite', tag, { fid: 1, offset: 0, data: Buffer.alloc(20_000, 'c') }))
  let got = await reader.read(1, 0, 1000)
  await settled(writer)
  while (got.length < 30_000) got += await reader.read(1, 0, 5000)
  assert.is((await small.reply).fields.count, 4000)
  assert.is((await large.reply).fields.count, 20_000)
  assert.is(got, 'a'.repeat(6000) + 'b'.repeat(4000) + 'c'.repeat(20_000))
  await reader.end()
  await writer.end()
})
test('readers are served in the order in which they came; each byte goes to one', async () => {
  const one = await at('fifo'), two = await at('fifo'), writer = await at('fifo')
  await writer.open(1, RDWR)
  await one.open(1)
  await two.open(1)
  const first = await read(one, 2), second = await read(two, 100)
  await writer.write(1, 'abcde')
  assert.is(text(await first.reply), 'ab')
  assert.is(text(await second.reply), 'cde')
  for (const raw of [one, two, writer]) await raw.end()
})
test('Tflush ends a read, an open and a write that wait, and takes nothing with it', async () => {
  const reader = await at('fifo'), writer = await at('fifo')
  const opened = await open(writer, WRONLY)
  await writer.ok('Tflush', { oldtag: opened.tag })
  await settled(writer)
  assert.is((await opened.reply.catch(() => ({ name: 'nothing' }))).name, 'Rlerror')
  // The end that was given up counts no more: a reader finds no writer.
  await reader.open(1, RDONLY | NONBLOCK)
  assert.is(await reader.read(1), '')
  await reader.clunk(1)
  await reader.walk(0, 1, 'fifo')
  const again = await open(reader, RDONLY)
  await writer.open(1, WRONLY)
  await again.reply
  const read1 = await read(reader)
  await reader.ok('Tflush', { oldtag: read1.tag })
  await writer.write(1, 'kept')
  assert.is(await reader.read(1), 'kept')
  await writer.write(1, Buffer.alloc(8192))
  const write = await waiting(writer, (tag) => writer.send('Twrite', tag, { fid: 1, offset: 0, data: Buffer.alloc(10) }))
  await writer.ok('Tflush', { oldtag: write.tag })
  assert.is((await write.reply).fields.ecode, 4)
  assert.is((await reader.read(1, 0, 9000)).length, 8192)
  assert.equal(reader.arrived.filter((frame) => frame.tag === read1.tag && frame.name === 'Rread'), [])
  await reader.end()
  await writer.end()
})
test('a client that dies is an end that closes, also while it waits', async () => {
  const reader = await at('fifo'), writer = await at('fifo'), waiter = await at('fifo')
  await reader.open(1, RDONLY | NONBLOCK)
  await writer.open(1, WRONLY)
  await reader.clunk(1)
  await reader.walk(0, 1, 'fifo')
  const opened = await reader.ok('Tlopen', { fid: 1, flags: RDONLY })
  assert.ok(opened)
  const pending = await read(reader)
  writer.socket.destroy()
  assert.is(text(await pending.reply), '')
  await reader.end()
  const blocked = await open(waiter, RDONLY)
  waiter.socket.destroy()
  await blocked.reply.catch(() => {})
  const late = await at('fifo')
  let refused = ''
  for (let tries = 0; refused !== 'ENXIO' && tries < 500; tries++) {
    await late.walk(1, 2)
    refused = await late.outcome('Tlopen', { fid: 2, flags: WRONLY | NONBLOCK })
    await late.clunk(2)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  assert.is(refused, 'ENXIO')
  await late.end()
})
test('a read that goes on where a short one ended is empty once, as kernels need it; told otherwise, it waits', async () => {
  for (const [name, waits] of [['fifo', false], ['pipe', true]] as const) {
    const reader = await at(name), writer = await at(name)
    await writer.open(1, RDWR)
    await reader.open(1)
    await writer.write(1, 'abc')
    assert.is(await reader.read(1, 0, 1000), 'abc')
    if (!waits) assert.is(await reader.read(1, 3, 997), '')
    const next = await read(reader, 997, 3)
    await writer.write(1, 'd')
    assert.is(text(await next.reply), 'd')
    await reader.end()
    await writer.end()
  }
})
test('what nobody read is gone with the last end', async () => {
  const writer = await at('fifo'), reader = await at('fifo')
  await writer.open(1, RDWR)
  await writer.write(1, 'lost')
  await writer.clunk(1)
  await reader.open(1, RDONLY | NONBLOCK)
  assert.is(await reader.read(1), '')
  await reader.end()
  await writer.end()
})
test.run()
