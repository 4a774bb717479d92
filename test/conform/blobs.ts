// What every store of blobs owes: a translator's own flat face, or the one that is made of its files.

import { randomBytes } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { blobsFace } from '../../translators/blobs.ts'
import type { Awaitable, BlobId, Blobs, Translator } from '../../translators/translator.ts'
import { codes, fails, noise, outcome, same, text } from './tools.ts'

export interface BlobOptions {
  /** Ends an instance as a crash would (it is not closed after), and starts it anew over what it stored. */
  readonly crash?: (translator: Translator) => Awaitable<Translator>
  /** Bytes of the largest blob and record, where that is less than 64 MiB and 1 MiB: a layer adds to what the child stores. */
  readonly largest?: { readonly blob: number; readonly record: number }
}
interface World { readonly blobs: Blobs; readonly largest: Required<BlobOptions>['largest']; crash(): Promise<Blobs> }

const newId = (): BlobId => new Uint8Array(randomBytes(16))
/** An id with this first and this last byte. */
const id = (first: number, last = 0): BlobId => { const bytes = new Uint8Array(16); bytes[0] = first; bytes[15] = last; return bytes }
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

/** All of a blob, or what is there from `offset` up to `length` bytes. */
async function got(blobs: Blobs, id: BlobId, offset = 0, length = 2 ** 21): Promise<Uint8Array> {
  const into = new Uint8Array(length), parts: Uint8Array[] = []
  for (let have = 0; have < length;) {
    const part = await blobs.get(id, into.subarray(have), offset + have)
    if (part.length === 0) break
    parts.push(part.slice())
    have += part.length
  }
  return Buffer.concat(parts)
}
/** All ids in order, by pages of `max`. */
async function all(blobs: Blobs, max = 1000): Promise<{ id: string; size: number }[]> {
  const found: { id: string; size: number }[] = []
  for (let after: BlobId | null = null; ;) {
    const page = await blobs.list(after, max)
    if (page.length === 0) return found
    assert.ok(page.length <= max, `a page of ${page.length} for ${max}`)
    found.push(...page.map(({ id, size }) => ({ id: hex(id), size })))
    after = page.at(-1)!.id
  }
}

const promises: Readonly<Record<string, (world: World) => Promise<void>>> = {
  'what was put is got, whatever the size': async ({ blobs }) => {
    for (const size of [0, 1, 4095, 4096, 4097, 100_000, 2 ** 20]) {
      const name = newId(), bytes = noise(size)
      await blobs.put(name, [bytes])
      same(await got(blobs, name), bytes, `a blob of ${size}`)
    }
  },
  'the parts of a blob are joined in their order': async ({ blobs }) => {
    const name = newId(), parts = [noise(1), noise(5000), new Uint8Array(0), noise(4096), noise(3)]
    await blobs.put(name, parts)
    same(await got(blobs, name), Buffer.concat(parts))
    const empty = newId()
    await blobs.put(empty, [])
    assert.is((await got(blobs, empty)).length, 0)
  },
  'any range is got as it is, and past the end is nothing': async ({ blobs }) => {
    const name = newId(), bytes = noise(20_000)
    await blobs.put(name, [bytes])
    for (const [from, length] of [[0, 1], [1, 4096], [4095, 2], [8191, 8194], [19_999, 1], [19_990, 100], [0, 20_000]] as const) {
      same(await got(blobs, name, from, length), bytes.subarray(from, from + length), `${length} bytes from ${from}`)
    }
    for (const from of [20_000, 20_001, 2 ** 33]) assert.is((await blobs.get(name, new Uint8Array(10), from)).length, 0)
    assert.is((await blobs.get(name, new Uint8Array(0), 0)).length, 0)
  },
  'get takes no more memory than it was given': async ({ blobs }) => {
    const name = newId(), memory = new Uint8Array(300).fill(1)
    await blobs.put(name, [noise(1000)])
    assert.ok((await blobs.get(name, memory.subarray(100, 200), 0)).length <= 100)
    assert.ok(memory.subarray(0, 100).every((b) => b === 1) && memory.subarray(200).every((b) => b === 1))
  },
  'a blob does not change when the memory that it came from does': async ({ blobs }) => {
    const name = newId(), own = name.slice(), bytes = noise(5000), copy = bytes.slice()
    await blobs.put(name, [bytes])
    bytes.fill(0)
    name.fill(0)
    same(await got(blobs, own), copy)
  },
  'what was got does not change when the blob is dropped': async ({ blobs }) => {
    const name = newId(), bytes = noise(5000)
    await blobs.put(name, [bytes])
    const part = await blobs.get(name, new Uint8Array(5000), 0)
    await blobs.drop([name])
    for (let i = 0; i < 5; i++) await blobs.put(newId(), [noise(5000)])
    same(part, bytes.subarray(0, part.length))
  },
  'a blob that is not there is ENOENT': async ({ blobs }) => {
    await blobs.put(id(1), [text('x')])
    await fails('ENOENT', () => blobs.get(id(2), new Uint8Array(1), 0))
    await fails('ENOENT', () => blobs.get(id(1, 1), new Uint8Array(1), 0))
  },
  'an id is put once: EEXIST, and what is there stays': async ({ blobs }) => {
    await blobs.put(id(1), [text('first')])
    await fails('EEXIST', () => blobs.put(id(1), [text('second, and longer')]))
    same(await got(blobs, id(1)), text('first'))
    assert.equal(await all(blobs), [{ id: hex(id(1)), size: 5 }])
  },
  'any 16 bytes are an id': async ({ blobs }) => {
    const ids = [id(0), new Uint8Array(16).fill(0xff), Uint8Array.from(Buffer.from('..//../../passwd')), new Uint8Array(16).fill(0x2e), Uint8Array.from({ length: 16 }, (_, i) => i)]
    for (const [i, name] of ids.entries()) await blobs.put(name, [text(String(i))])
    for (const [i, name] of ids.entries()) same(await got(blobs, name), text(String(i)))
  },
  'the largest blob (64 MiB) is kept, and one byte more is EFBIG': async ({ blobs, largest: { blob } }) => {
    const MiB = 2 ** 20, block = noise(MiB), name = newId(), large = newId(), parts = [...Array<Uint8Array>(63).fill(block), block.subarray(0, blob - 63 * MiB)]
    await blobs.put(name, parts)
    same(await got(blobs, name, 63 * MiB + 10, MiB), parts[63]!.subarray(10), 'the last MiB')
    await fails('EFBIG', () => blobs.put(large, [...parts, text('x')]))
    await fails('ENOENT', () => blobs.get(large, new Uint8Array(1), 0))
    assert.equal(await all(blobs), [{ id: hex(name), size: blob }])
  },
  'what was dropped is gone, and what is absent is dropped with no error': async ({ blobs }) => {
    for (let i = 0; i < 5; i++) await blobs.put(id(i), [text('x')])
    await blobs.drop([])
    await blobs.drop([id(1), id(77), id(3)])
    await blobs.drop([id(1)])
    assert.equal((await all(blobs)).map((b) => b.id), [id(0), id(2), id(4)].map(hex))
    await fails('ENOENT', () => blobs.get(id(3), new Uint8Array(1), 0))
    same(await got(blobs, id(2)), text('x'))
  },
  'a fresh store lists nothing': async ({ blobs }) => {
    assert.equal(await blobs.list(null, 100), [])
    assert.equal(await blobs.list(id(5), 100), [])
    assert.equal(await blobs.listRecords(''), [])
  },
  'a list is in the order of ids as bytes, with sizes': async ({ blobs }) => {
    const ids = [id(0, 1), id(0, 255), id(1), id(9), id(10), id(127), id(128), id(255, 1), id(255, 2)]
    for (const [i, name] of [...ids.entries()].reverse()) await blobs.put(name, [new Uint8Array(i * 10)])
    assert.equal(await all(blobs), ids.map((name, i) => ({ id: hex(name), size: i * 10 })))
  },
  'a list is read by pages of any size': async ({ blobs }) => {
    const ids = Array.from({ length: 50 }, newId), sorted = ids.map(hex).sort()
    for (const name of ids) await blobs.put(name, [text('x')])
    for (const max of [1, 7, 49, 50, 51]) assert.equal((await all(blobs, max)).map((b) => b.id), sorted, `pages of ${max}`)
  },
  'a list goes on after any id, there or not': async ({ blobs }) => {
    for (const first of [10, 20, 30]) await blobs.put(id(first), [text('x')])
    for (const [after, rest] of [[id(0), [10, 20, 30]], [id(10), [20, 30]], [id(15), [20, 30]], [id(20, 1), [30]], [id(30), []], [id(255), []]] as const) {
      assert.equal((await blobs.list(after, 10)).map((b) => b.id[0]), rest, `after ${after[0]}`)
    }
  },
  'blobs that stay are listed once while others come and go': async ({ blobs }) => {
    const stay = Array.from({ length: 30 }, (_, i) => id(i * 8 + 4))
    for (const name of stay) await blobs.put(name, [text('x')])
    for (let i = 0; i < 30; i++) await blobs.put(id(i * 8 + 2), [text('goes')])
    const seen: string[] = []
    let after: BlobId | null = null
    for (let i = 0; ; i++) {
      const page: { id: BlobId }[] = await blobs.list(after, 3)
      if (page.length === 0) break
      seen.push(...page.map((b) => hex(b.id)))
      after = page.at(-1)!.id
      if (i < 30) {
        await blobs.drop([id(i * 8 + 2)])
        await blobs.put(id(i * 8 + 6), [text('comes')])
      }
    }
    for (const name of stay) assert.is(seen.filter((s) => s === hex(name)).length, 1)
    assert.equal(seen, [...seen].sort())
  },
  'an id that was listed is got and dropped': async ({ blobs }) => {
    for (let i = 0; i < 5; i++) await blobs.put(newId(), [text(`blob ${i}`)])
    for (const { id, size } of await blobs.list(null, 10)) {
      assert.is(id.length, 16)
      assert.is((await got(blobs, id)).length, size)
      await blobs.drop([id])
    }
    assert.equal(await blobs.list(null, 10), [])
  },
  'many are put at once, and got at once': async ({ blobs }) => {
    const many = Array.from({ length: 40 }, (_, i) => [newId(), noise(i * 1000)] as const)
    await Promise.all(many.map(async ([name, bytes]) => blobs.put(name, [bytes])))
    await Promise.all(many.map(async ([name, bytes]) => same(await got(blobs, name), bytes)))
    assert.is((await all(blobs)).length, 40)
  },
  'a blob is there whole or not at all, while it is put and while it is dropped': async ({ blobs }) => {
    const name = newId(), bytes = noise(300_000)
    const look = async () => {
      const part = await outcome(async () => same(await got(blobs, name, 299_990, 10), bytes.subarray(299_990)))
      assert.ok(!part || part.code === 'ENOENT', part?.message)
    }
    await Promise.all([blobs.put(name, [bytes]), ...Array.from({ length: 20 }, look)])
    await Promise.all([blobs.drop([name]), ...Array.from({ length: 20 }, look)])
    await fails('ENOENT', () => blobs.get(name, new Uint8Array(1), 0))
  },
  'of two who put one id, one does': async ({ blobs }) => {
    const name = newId(), done = await codes(['a', 'b'].map(async (s) => blobs.put(name, [text(s.repeat(1000))])))
    assert.equal(done.sort(), ['EEXIST', 'done'])
    assert.match(Buffer.from(await got(blobs, name)).toString(), /^(a{1000}|b{1000})$/)
  },
  'a record is replaced whole': async ({ blobs }) => {
    for (const value of ['first', 'a longer second', 'x', 'fourth']) {
      await blobs.putRecord('name', text(value))
      same(await blobs.getRecord('name'), text(value))
    }
    assert.equal(await blobs.listRecords(''), ['name'])
  },
  'a record holds up to a MiB, and one byte more is EFBIG': async ({ blobs, largest: { record } }) => {
    const bytes = noise(record)
    await blobs.putRecord('big', bytes)
    same(await blobs.getRecord('big'), bytes)
    await fails('EFBIG', () => blobs.putRecord('bigger', new Uint8Array(2 ** 20 + 1)))
    assert.equal(await blobs.listRecords(''), ['big'])
  },
  'a record that is not there is ENOENT, and is dropped with no error': async ({ blobs }) => {
    await fails('ENOENT', () => blobs.getRecord('missing'))
    await blobs.dropRecord('missing')
    await blobs.putRecord('there', text('x'))
    await blobs.dropRecord('there')
    await fails('ENOENT', () => blobs.getRecord('there'))
    assert.equal(await blobs.listRecords(''), [])
  },
  'records are listed by prefix, in order': async ({ blobs }) => {
    for (const name of ['log.10', 'log.9', 'log', 'Log.1', 'super', 'log-1', 'lo', 'log_2', '0']) await blobs.putRecord(name, text(name))
    assert.equal(await blobs.listRecords('log'), ['log', 'log-1', 'log.10', 'log.9', 'log_2'])
    assert.equal(await blobs.listRecords('log.'), ['log.10', 'log.9'])
    assert.equal(await blobs.listRecords(''), ['0', 'Log.1', 'lo', 'log', 'log-1', 'log.10', 'log.9', 'log_2', 'super'])
    assert.equal(await blobs.listRecords('none'), [])
  },
  'a record\'s name is of few letters: EINVAL': async ({ blobs }) => {
    for (const name of ['', '.', '..', '.hidden', 'a/b', 'a b', 'ä', 'a\0', 'a\n', 'n'.repeat(201), '~', '*']) {
      await fails('EINVAL', () => blobs.putRecord(name, text('x')))
      await fails('EINVAL', () => blobs.getRecord(name))
    }
    for (const name of ['n'.repeat(200), 'a..b', '-', '_', 'A-z_0.9', 'constructor', '__proto__']) {
      await blobs.putRecord(name, text(name))
      same(await blobs.getRecord(name), text(name))
    }
  },
  'a record does not change when memory does': async ({ blobs }) => {
    const bytes = text('value')
    await blobs.putRecord('r', bytes)
    bytes.fill(0)
    const first = await blobs.getRecord('r')
    same(first, text('value'))
    await blobs.putRecord('r', text('other'))
    same(first, text('value'))
  },
  'a record is replaced only where what is expected stands: ESTALE': async ({ blobs }) => {
    await blobs.putRecord('r', text('one'), new Uint8Array(0))
    await fails('ESTALE', () => blobs.putRecord('r', text('two'), new Uint8Array(0)))
    await blobs.putRecord('empty', new Uint8Array(0))
    await fails('ESTALE', () => blobs.putRecord('empty', text('two'), new Uint8Array(0))) // it is there, and nothing was expected
    for (const wrong of ['two', 'on', 'onee', 'One']) await fails('ESTALE', () => blobs.putRecord('r', text('two'), text(wrong)))
    same(await blobs.getRecord('r'), text('one'))
    await blobs.putRecord('r', text('two'), text('one'))
    same(await blobs.getRecord('r'), text('two'))
    await blobs.dropRecord('r')
    await fails('ESTALE', () => blobs.putRecord('r', text('three'), text('two')))
    await fails('ENOENT', () => blobs.getRecord('r'))
  },
  'of many who replace what they all saw, one does': async ({ blobs }) => {
    for (const [expect, round] of [['', 'a'], ['a3', 'b']] as const) {
      if (expect) await blobs.putRecord('r', text(expect))
      const done = await codes(Array.from({ length: 10 }, async (_, i) => blobs.putRecord('r', text(round + i), text(expect))))
      assert.is(done.filter((d) => d === 'done').length, 1)
      assert.is(done.filter((d) => d === 'ESTALE').length, 9)
      same(await blobs.getRecord('r'), text(round + done.indexOf('done')))
    }
  },
  'a count that many raise by compare and swap is right': async ({ blobs }) => {
    await blobs.putRecord('count', text('0'))
    const raise = async () => {
      for (let tries = 0; tries < 1000; tries++) {
        const was = await blobs.getRecord('count'), next = text(String(Number(Buffer.from(was).toString()) + 1))
        const refused = await outcome(() => blobs.putRecord('count', next, was))
        if (!refused) return
        assert.is(refused.code, 'ESTALE')
      }
      assert.unreachable('it did not get through in a thousand tries')
    }
    await Promise.all(Array.from({ length: 12 }, raise))
    same(await blobs.getRecord('count'), text('12'))
  },
  'blobs and records do not see each other': async ({ blobs }) => {
    const name = Uint8Array.from(Buffer.from('0123456789abcdef'))
    await blobs.put(name, [text('blob')])
    for (const record of ['0123456789abcdef', hex(name)]) await blobs.putRecord(record, text('record'))
    assert.equal(await all(blobs), [{ id: hex(name), size: 4 }])
    await blobs.drop([name])
    assert.equal((await blobs.listRecords('')).length, 2)
  },
  'sync returns, however often': async ({ blobs }) => {
    await blobs.sync()
    await blobs.put(id(1), [text('x')])
    await Promise.all([blobs.sync(), blobs.sync()])
    same(await got(blobs, id(1)), text('x'))
  },
}

const afterCrash: typeof promises = {
  'what was synced survives a crash': async ({ blobs, crash }) => {
    const bytes = noise(100_000)
    await blobs.put(id(1), [bytes])
    await blobs.put(id(2), [text('goes')])
    await blobs.putRecord('r', text('one'))
    await blobs.sync()
    await blobs.drop([id(2)])
    await blobs.putRecord('r', text('two'))
    await blobs.sync()
    const again = await crash()
    same(await got(again, id(1)), bytes)
    same(await again.getRecord('r'), text('two'))
    assert.equal(await all(again), [{ id: hex(id(1)), size: 100_000 }])
  },
  'what was not synced is there whole or not at all after a crash': async ({ blobs, crash }) => {
    await blobs.putRecord('r', text('old'))
    await blobs.sync()
    const many = Array.from({ length: 10 }, (_, i) => [id(i), noise(50_000)] as const)
    for (const [name, bytes] of many) await blobs.put(name, [bytes])
    await blobs.putRecord('r', text('newer'))
    const again = await crash(), listed = new Set((await all(again)).map((b) => b.id))
    for (const [name, bytes] of many) {
      if (listed.has(hex(name))) same(await got(again, name), bytes)
      else await fails('ENOENT', () => again.get(name, new Uint8Array(1), 0))
    }
    assert.ok(['old', 'newer'].includes(Buffer.from(await again.getRecord('r')).toString()))
    await again.put(id(99), [text('on')])
    same(await got(again, id(99)), text('on'))
  },
}

/** Adds a suite that holds the flat face of a translator, its own or the one made of its files, to all that it owes. make gives a fresh,
 *  empty instance each time. */
export function conformBlobs(name: string, make: () => Awaitable<Translator>, options: BlobOptions = {}): void {
  const test = suite(`conform blobs ${name}`)
  for (const [promise, check] of Object.entries({ ...promises, ...options.crash ? afterCrash : {} })) {
    test(promise, async () => {
      let translator = await make()
      try {
        await check({
          blobs: await blobsFace(translator), largest: { blob: 64 * 2 ** 20, record: 2 ** 20, ...options.largest },
          async crash() {
            translator = await options.crash!(translator)
            return blobsFace(translator)
          },
        })
      } finally { await translator.close() }
    })
  }
  test.run()
}
