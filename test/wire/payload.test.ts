// Payloads: however they are cut on the way in, wherever they stand on the way out, they arrive as they were.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { translator } from '../../translators/options.ts'
import { ForwardHandle, ForwardNode, ForwardTranslator } from '../../translators/forward.ts'
import type { Handle, Node, Translator } from '../../translators/translator.ts'
import { frame, Raw } from './raw.ts'
import { brick, onMemory, onSlow, Stand } from './stand.ts'
import type { Stack } from './stand.ts'

const test = suite('payload')
const MiB = 2 ** 20

/** Numbers that are the same in every run. */
function dice(seed: number): (below: number) => number {
  return (below) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return Math.floor(seed / 2 ** 32 * below)
  }
}
/** Bytes that tell where they belong. */
function pattern(seed: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  for (let i = 0; i < length; i++) bytes[i] = (seed * 31 + i * 7 + (i >> 8)) & 0xff
  return bytes
}

for (const [stack, limits] of [[onMemory, {}], [onSlow, {}], [onSlow, { requests: 2 }], [onSlow, { requests: 16, 'bytes-in-flight': 2 * MiB }]] as const) {
  test(`frames of all sizes, cut anywhere: ${stack.name} ${JSON.stringify(limits)}`, async () => {
    const stand = await Stand.start(stack as Stack, { limits })
    for (const url of [stand.unix, stand.tcp]) {
      const raw = await Raw.versioned(url, MiB + 24), roll = dice(url.length)
      await raw.attach(0)
      await raw.create(0, 1, `f${url.length}`)
      const frames: Buffer[] = [], written: [at: number, bytes: Buffer][] = []
      let at = 0
      for (let i = 0; i < 120; i++) {
        const kind = roll(10)
        if (kind < 2) { frames.push(frame('Tgetattr', 10_000 + i, { fid: 1, mask: 1 })); continue }
        if (kind < 3) { frames.push(frame('Tread', 10_000 + i, { fid: 1, offset: 0, count: roll(70_000) })); continue }
        const bytes = pattern(i, kind < 6 ? roll(200) : kind < 8 ? roll(20_000) : kind < 9 ? roll(200_000) : roll(MiB))
        frames.push(frame('Twrite', 10_000 + i, { fid: 1, offset: at, data: bytes }))
        written.push([at, bytes])
        at += bytes.length
      }
      const all = Buffer.concat(frames)
      for (let from = 0; from < all.length;) {
        const to = Math.min(all.length, from + (roll(3) === 0 ? roll(30) : roll(2) === 0 ? roll(300_000) : roll(5000)) + 1)
        if (!raw.socket.write(all.subarray(from, to)) || roll(4) === 0) await new Promise(setImmediate)
        from = to
      }
      for (let i = 0; i < 120; i++) {
        const { name, fields } = await raw.reply(10_000 + i)
        assert.is.not(name, 'Rlerror', `frame ${i}: ${fields.ecode}`)
      }
      for (const [from, bytes] of written) {
        for (let done = 0; done < bytes.length;) {
          const { data } = await raw.ok('Tread', { fid: 1, offset: from + done, count: bytes.length - done })
          assert.ok(Buffer.from(data).equals(bytes.subarray(done, done + data.length)), `bytes at ${from + done}`)
          done += data.length
        }
      }
      await raw.end()
    }
    if (stack === onSlow) {
      await stand.control.idle(1)
      assert.equal(stand.control.violations, [], 'what was lent to a write stayed as it was')
    }
    assert.equal(stand.log.bugs, [])
    await stand.stop()
  })
}

/** How a translator may answer a read: in place or from memory of its own, at once or later. */
const ways = ['in place', 'own memory', 'in place later', 'own memory later', 'by turns'] as const
function answering(way: () => typeof ways[number], child: Translator): Promise<Translator> {
  const layer = translator({
    name: 'answering', about: 'Answers reads in all ways.', children: 1, options: {}, concurrent: true,
    start: (_, [below]) => new ForwardTranslator('answering', below, (root) => new AnsweringNode(root, { way })),
  })
  return layer({}, child)
}
class AnsweringNode extends ForwardNode<{ way: () => typeof ways[number] }> {
  protected override wrap(child: Node) { return new AnsweringNode(child, this.layer) }
  protected override wrapHandle(child: Handle) { return new AnsweringHandle(child, this.layer) }
}
class AnsweringHandle extends ForwardHandle<{ way: () => typeof ways[number] }> {
  override read(into: Uint8Array, offset: number): Uint8Array | Promise<Uint8Array> {
    const way = this.layer.way()
    const memory = way.startsWith('own') ? new Uint8Array(into.length) : into
    if (way.startsWith('own')) into.fill(0xee)              // "use the result, never `into`"
    const read = () => {
      const got = this.child.read(memory, offset) as Uint8Array
      if (got.buffer !== memory.buffer) memory.set(got)
      return memory.subarray(0, got.length)
    }
    return way.endsWith('later') ? new Promise((resolve) => { setTimeout(() => resolve(read()), offset % 5) }) : read()
  }
}

for (const way of ways) {
  test(`reads answered ${way}, of all sizes, many at once`, async () => {
    let turn = 0
    const stand = await Stand.start({ name: way, make: async () => ({ root: await answering(() => way === 'by turns' ? ways[turn++ % 4]! : way, await brick('/')) }) })
    const content = pattern(5, 3 * MiB)
    const raws = await Promise.all([stand.unix, stand.tcp, stand.unix].map((url) => Raw.versioned(url, MiB + 24)))
    for (const [i, raw] of raws.entries()) {
      await raw.attach(0)
      if (i === 0) await raw.create(0, 1, 'f', content)
      else { await raw.walk(0, 1, 'f'); await raw.open(1) }
    }
    const roll = dice(7)
    const asked = Array.from({ length: 150 }, () => ({ raw: raws[roll(3)]!, offset: roll(3 * MiB), count: roll(4) === 0 ? roll(MiB) : roll(3) === 0 ? roll(40_000) : roll(600) }))
    await Promise.all(asked.map(async ({ raw, offset, count }) => {
      const { data } = await raw.ok('Tread', { fid: 1, offset, count })
      const want = content.subarray(offset, offset + count)
      assert.ok(data.length === want.length && want.equals(data), `${count} at ${offset}: ${data.length} came`)
    }))
    assert.is((await raws[0]!.ok('Tread', { fid: 1, offset: 0, count: 0xffffffff })).data.length, MiB + 24 - 11)
    for (const raw of raws) await raw.end()
    assert.equal(stand.log.bugs, [])
    await stand.stop()
  })
}

test('a client that reads slowly gets all of it right, and memory stays flat', async () => {
  const stand = await Stand.start(onMemory, { limits: { 'bytes-in-flight': 2 * MiB } })
  const raw = await Raw.versioned(stand.tcp, 256 * 1024)
  await raw.attach(0)
  const content = pattern(3, 8 * MiB), piece = 200_000, count = 200
  await raw.create(0, 1, 'f', content)
  const before = process.memoryUsage.rss()
  for (let i = 0; i < count; i++) raw.send('Tread', 10_000 + i, { fid: 1, offset: i * 31_337, count: piece })
  let most = 0
  for (let i = 0; i < count; i++) {
    if (i % 10 === 0) {
      raw.socket.pause()
      await new Promise((resolve) => setTimeout(resolve, 4))
      most = Math.max(most, process.memoryUsage.rss())
      raw.socket.resume()
    }
    const { data } = (await raw.reply(10_000 + i)).fields
    assert.ok(content.subarray(i * 31_337, i * 31_337 + piece).equals(data), `reply ${i}`)
    raw.arrived.length = 0
  }
  assert.ok((most - before) / MiB < 64, `${((most - before) / MiB).toFixed(0)} MiB more`)
  await raw.end()
  await stand.stop()
})

test.run()
