// The blobs face of crypt: what every store of blobs owes, and what no altered one gives.

import { randomBytes } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { blobsFace } from '../translators/blobs.ts'
import { crypt } from '../translators/crypt/crypt.ts'
import { memory } from '../translators/memory/memory.ts'
import type { Blobs, BlobId } from '../translators/translator.ts'
import { conformBlobs } from './conform/conform.ts'
import { fails, noise, same, text } from './conform/tools.ts'
import { key, logged } from './crypt.ts'

const largest = { blob: 66_977_992, record: 2 ** 20 - 42 - 3 }
conformBlobs('crypt | memory', async () => crypt(key, await memory({})), { largest })

const test = suite('crypt blobs')
const newId = (): BlobId => randomBytes(16)
async function whole(blobs: Blobs, id: BlobId): Promise<Buffer> {
  const into = new Uint8Array(2 ** 20)
  return Buffer.from(await blobs.get(id, into, 0))
}
/** The two faces: of crypt, and of what is below it. */
async function pair() {
  const brick = await memory({}), { translator, lines } = await logged(brick)
  return { translator, lines, top: await blobsFace(translator), below: await blobsFace(brick) }
}
async function replace(below: Blobs, id: BlobId, bytes: Uint8Array): Promise<void> {
  await below.drop([id])
  await below.put(id, [bytes])
}

test('stored sizes are those of the document', async () => {
  const { translator, top, below } = await pair()
  for (const [n, stored] of [[0, 40], [1, 57], [8192, 8248], [8193, 8265], [2 ** 24, 16_810_024]] as const) {
    const id = newId()
    await top.put(id, [new Uint8Array(n)])
    assert.is((await below.list(null, 10)).find((one) => Buffer.compare(one.id, id) === 0)!.size, stored)
    assert.is((await top.list(null, 10)).find((one) => Buffer.compare(one.id, id) === 0)!.size, n)
    await top.drop([id])
  }
  await translator.close()
})
test('a flipped bit in any part is EIO and one line with blob and block, never a wrong byte', async () => {
  const { translator, lines, top, below } = await pair(), bytes = noise(20_000), id = newId()
  await top.put(id, [bytes])
  const good = await whole(below, id)
  for (let at = 0; at < good.length; at += at < 60 || at % 8208 > 8160 ? 1 : 397) {
    const bad = Buffer.from(good)
    bad[at]! ^= 1 << at % 8
    const brick = await memory({}), again = await logged(brick), over = await blobsFace(again.translator)
    await (await blobsFace(brick)).put(id, [bad])
    await fails('EIO', async () => { for (const from of [0, 8192, 16_384]) await over.get(id, new Uint8Array(8192), from) })
    assert.is(again.lines.length, 1)
    assert.is(again.lines[0]!.fields.blob, Buffer.from(id).toString('hex'))
    assert.ok('block' in again.lines[0]!.fields)
    await again.translator.close()
  }
  assert.equal(lines, [])
  await translator.close()
})
test('a range is read from sound frames beside a damaged one', async () => {
  const { translator, top, below } = await pair(), bytes = noise(40_000), id = newId()
  await top.put(id, [bytes])
  const bad = await whole(below, id)
  bad[40 + 8208 * 2 + 5]! ^= 1
  await replace(below, id, bad)
  same(await top.get(id, new Uint8Array(100), 16_384 - 100), bytes.subarray(16_284, 16_384))
  same(await top.get(id, new Uint8Array(20_000), 24_576), bytes.subarray(24_576))
  await fails('EIO', () => top.get(id, new Uint8Array(1), 16_384))
  await fails('EIO', () => top.get(id, new Uint8Array(1), 20_000))
  await translator.close()
})
test('cut, extended, under another id, put together from two, of another key: EIO', async () => {
  const bytes = noise(20_000), id = newId(), other = newId()
  for (const [what, spoil] of [
    ['cut to nothing', (b: Buffer) => b.subarray(0, 0)], ['cut in the head', (b: Buffer) => b.subarray(0, 39)], ['cut to the head', (b: Buffer) => b.subarray(0, 40)],
    ['cut at a frame', (b: Buffer) => b.subarray(0, 40 + 8208)], ['cut by a byte', (b: Buffer) => b.subarray(0, -1)], ['extended', (b: Buffer) => Buffer.concat([b, Buffer.of(0)])],
    ['frames swapped', (b: Buffer) => Buffer.concat([b.subarray(0, 40), b.subarray(8248, 16_456), b.subarray(40, 8248), b.subarray(16_456)])],
    ['zeroed', (b: Buffer) => Buffer.alloc(b.length)], ['another\'s', (_b: Buffer, o: Buffer) => o], ['another\'s frames', (b: Buffer, o: Buffer) => Buffer.concat([b.subarray(0, 40), o.subarray(40)])],
    ['another\'s head', (b: Buffer, o: Buffer) => Buffer.concat([o.subarray(0, 40), b.subarray(40)])],
  ] as const) {
    const { translator, top, below } = await pair()
    await top.put(id, [bytes])
    await top.put(other, [noise(20_000)])
    await replace(below, id, spoil(await whole(below, id), await whole(below, other)))
    await fails('EIO', async () => { for (const from of [0, 8192, 16_384]) await top.get(id, new Uint8Array(8192), from) }).catch((e: unknown) => { throw new Error(what, { cause: e }) })
    await translator.close()
  }
  const { translator, top, below } = await pair()
  await below.put(id, [bytes])
  await fails('EIO', () => top.get(id, new Uint8Array(10), 0))
  await below.put(other, [])
  await fails('EIO', () => top.get(other, new Uint8Array(10), 0))
  await translator.close()
})
test('an empty blob that was extended is EIO', async () => {
  const { translator, top, below } = await pair(), id = newId()
  await top.put(id, [])
  await replace(below, id, Buffer.concat([await whole(below, id), Buffer.of(1)]))
  await fails('EIO', async () => { await top.get(id, new Uint8Array(10), 0) })
  await translator.close()
})
test('records: altered, under another name, of another version: EIO; and nothing of them is readable', async () => {
  const { translator, lines, top, below } = await pair()
  await top.putRecord('superblock', text('what it says'))
  await top.putRecord('journal-1', text('what it says'))
  const [a, b] = await below.listRecords(''), sealed = Buffer.from(await below.getRecord(a!))
  assert.match(`${a} ${b}`, /^[\w-]{32} [\w-]{32}$/)
  assert.not.match(sealed.toString('latin1'), /what|superblock|journal/)
  for (let at = 0; at < sealed.length; at++) {
    const bad = Buffer.from(sealed)
    bad[at]! ^= 1
    await below.putRecord(a!, bad)
    await fails('EIO', async () => { await top.getRecord('superblock'); await top.getRecord('journal-1') })
    await fails('EIO', () => top.listRecords(''))
  }
  await below.putRecord(a!, await below.getRecord(b!))
  await fails('EIO', async () => { await top.getRecord('superblock'); await top.getRecord('journal-1') })
  await below.putRecord(a!, sealed)
  assert.equal(await top.listRecords(''), ['journal-1', 'superblock'])
  assert.ok(lines.length > 0 && lines.every((line) => line.level === 'error' && 'record' in line.fields))
  await translator.close()
})
test('two blobs of the same bytes have nothing in common below', async () => {
  const { translator, top, below } = await pair(), bytes = new Uint8Array(16_384), one = newId(), two = newId()
  await top.put(one, [bytes])
  await top.put(two, [bytes])
  const a = await whole(below, one), b = await whole(below, two)
  assert.is.not(a.subarray(40, 8248).compare(b.subarray(40, 8248)), 0)
  assert.is.not(a.subarray(40, 8232).compare(a.subarray(8248, 16_440)), 0)
  await translator.close()
})
test.run()
