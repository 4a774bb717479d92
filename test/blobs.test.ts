import { randomBytes } from 'node:crypto'
import { isErrno, O } from 'ninep'
import type { Code } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { blobsFace, blobsOf } from '../translators/blobs.ts'
import { ForwardHandle, ForwardNode } from '../translators/forward.ts'
import { memory } from '../translators/memory/memory.ts'
import { rot13 } from '../translators/rot13/rot13.ts'
import type { Awaitable, BlobId, Blobs, DirSink, Handle, Node } from '../translators/translator.ts'

const root = { uid: 0, gid: 0 }
const test = suite('blobs')

async function fails(code: Code, f: () => Awaitable<unknown>): Promise<void> {
  try { await f() } catch (e) {
    if (!isErrno(e)) throw e
    assert.is(e.code, code)
    return
  }
  assert.unreachable(`no ${code}`)
}
async function names(dir: Node): Promise<string[]> {
  await using handle = await dir.open(O.RDONLY)
  const found: string[] = []
  await handle.readdir(0n, { add: (_path, _type, _cookie, name) => found.push(String(name)) > 0 }, 0)
  return found.sort()
}
/** An id as trees make them: eight bytes of the mount, eight that count. */
function counted(mount: Uint8Array, n: number): BlobId {
  const id = Buffer.alloc(16)
  id.set(mount)
  id.writeUInt32BE(n, 12)
  return id
}
async function listAll(blobs: Blobs, max: number): Promise<string[]> {
  const found: string[] = []
  for (let after: BlobId | null = null; ;) {
    const some: { id: BlobId; size: number }[] = await blobs.list(after, max)
    if (some.length === 0) return found
    found.push(...some.map(({ id }) => Buffer.from(id).toString('hex')))
    after = some.at(-1)!.id
  }
}
const hex = (id: Uint8Array) => Buffer.from(id).toString('hex')

test('a face of its own is used where there is one, and made once where not', async () => {
  await using brick = await memory({})
  assert.is(await blobsFace(brick), await blobsFace(brick))
  const id = randomBytes(16)
  await (await blobsFace(brick)).put(id, [randomBytes(10)])
  await using dir = await brick.attach('')
  assert.equal(await names(dir), [], 'memory keeps them apart')
  await using layer = await rot13({}, await memory({}))
  const made = await blobsFace(layer)
  assert.is(made, await blobsFace(layer))
  await made.put(id, [Buffer.from('Hurd!')])
  await using below = await layer.attach('')
  assert.equal(await names(below), ['blobs', 'format', 'records', 'tmp'])
  assert.is(Buffer.from(await made.get(id, new Uint8Array(99), 0)).toString(), 'Hurd!')
})

/** A child that does no more than it must: listings without attributes, reads that come short and in memory of their own. */
class Sparing extends ForwardNode<object> {
  protected override wrap(child: Node): Node { return new Sparing(child, this.layer) }
  protected override wrapHandle(child: Handle): Handle { return new SparingHandle(child, this.layer) }
}
class SparingHandle extends ForwardHandle<object> {
  override async read(into: Uint8Array, offset: number): Promise<Uint8Array> {
    return Uint8Array.from(await super.read(into.subarray(0, Math.ceil(into.length / 2)), offset))
  }
  override readdir(cookie: bigint, sink: DirSink): Awaitable<boolean> {
    return super.readdir(cookie, { add: (path, type, cookie, name) => sink.add(path, type, cookie, name) }, 0)
  }
}
const sparing = async () => blobsOf(new Sparing(await (await memory({})).attach(''), {}))

test('records are listed in order, more than one piece of them, with a prefix or none', async () => {
  const blobs = await sparing(), names = Array.from({ length: 1300 }, (_, i) => `${i % 2 ? 'a' : 'b'}.${i}`).sort()
  await Promise.all(names.map((name) => blobs.putRecord(name, Buffer.from(name))))
  assert.equal(await blobs.listRecords(''), names)
  assert.equal(await blobs.listRecords('b.'), names.filter((name) => name.startsWith('b.')))
  assert.is(Buffer.from(await blobs.getRecord('a.1299')).toString(), 'a.1299')
})

for (const [kind, make] of [
  ['of files on a child that spares itself', sparing],
  ['of memory', async (): Promise<Blobs> => (await memory({})).blobs!()],
  ['of files', async () => blobsOf(await (await memory({})).attach(''))],
] as const) {
  test(`lists ${kind} come in the order of ids, in pieces of any size, whatever goes meanwhile`, async () => {
    const blobs = await make()
    const mounts = [randomBytes(8), randomBytes(8)]
    const ids = [...Array(700)].map((_, i) => i < 600 ? counted(mounts[i % 2]!, i) : randomBytes(16))
    for (const id of ids) await blobs.put(id, [id.subarray(0, 5), id.subarray(5)])
    const sorted = ids.map(hex).sort()
    for (const max of [1000, 97]) assert.equal(await listAll(blobs, max), sorted)
    assert.equal((await blobs.list(Buffer.from(sorted[9]!, 'hex'), 2)).map(({ id, size }) => [hex(id), size]), [[sorted[10], 16], [sorted[11], 16]])
    const seen: string[] = []
    for (let after: BlobId | null = null; ;) {
      const some: { id: BlobId }[] = await blobs.list(after, 50)
      if (some.length === 0) break
      seen.push(...some.map(({ id }) => hex(id)))
      after = some.at(-1)!.id
      await blobs.drop(some.map(({ id }) => id))
    }
    assert.equal(seen, sorted)
    assert.equal(await blobs.list(null, 10), [])
  })

  test(`puts ${kind} beside each other: all land, one id lands once`, async () => {
    const blobs = await make(), id = randomBytes(16)
    const results = await Promise.allSettled([...Array(8)].map(async (_, i) => blobs.put(id, [Buffer.from([i])])))
    assert.is(results.filter((r) => r.status === 'fulfilled').length, 1)
    assert.ok(results.every((r) => r.status === 'fulfilled' || isErrno(r.reason, 'EEXIST')))
    const bytes = randomBytes(200_000), mount = randomBytes(8)
    await Promise.all([...Array(300)].map(async (_, i) => blobs.put(counted(mount, i), [bytes.subarray(0, i), bytes.subarray(i)])))
    for (let i = 0; i < 300; i += 50) assert.ok(bytes.equals(await blobs.get(counted(mount, i), Buffer.alloc(200_001), 0)))
  })

  test(`a record ${kind} is replaced only by who knows it`, async () => {
    const blobs = await make()
    await blobs.putRecord('superblock', Buffer.from('0'), new Uint8Array(0))
    await fails('ESTALE', () => blobs.putRecord('superblock', Buffer.from('1'), new Uint8Array(0)))
    const step = async () => {                            // 8 at once, each again until it wins
      for (;;) {
        const old = await blobs.getRecord('superblock')
        try { return await blobs.putRecord('superblock', Buffer.from(String(Number(Buffer.from(old)) + 1)), Buffer.from(old)) } catch (e) { if (!isErrno(e, 'ESTALE')) throw e }
      }
    }
    await Promise.all([...Array(8)].map(step))
    assert.is(Buffer.from(await blobs.getRecord('superblock')).toString(), '8')
    for (const name of ['', '.hidden', 'a/b', 'a'.repeat(201)]) await fails('EINVAL', () => blobs.putRecord(name, new Uint8Array(1)))
    for (const name of ['log-2', 'log-10', 'other']) await blobs.putRecord(name, new Uint8Array(0))
    assert.equal(await blobs.listRecords('log-'), ['log-10', 'log-2'])
    await blobs.dropRecord('log-2')
    await blobs.dropRecord('log-2')
    await fails('ENOENT', () => blobs.getRecord('log-2'))
  })
}

test('files lie where the format says, and folders go when they are empty', async () => {
  await using brick = await memory({})
  await using dir = await brick.attach('')
  const blobs = blobsOf(await brick.attach(''))
  const id = Buffer.from('00112233445566778899aabbccddeeff', 'hex')
  await blobs.put(id, [Buffer.from('abc')])
  const folders = []
  let at = await dir.walk('blobs')
  for (const name of ['0011', '2233445566778899aabbccddee']) { folders.push(await names(at)); at = await at.walk(name) }
  assert.equal([...folders, await names(at)], [['0011'], ['2233445566778899aabbccddee'], [hex(id)]])
  await using tmp = await dir.walk('tmp')
  assert.equal(await names(tmp), [])
  await blobs.drop([id, randomBytes(16)])
  await using all = await dir.walk('blobs')
  assert.equal(await names(all), [])
})

test('a restart finds all, and removes what was being written', async () => {
  await using brick = await memory({})
  const first = blobsOf(await brick.attach('')), id = randomBytes(16)
  await first.put(id, [Buffer.from('kept')])
  await first.putRecord('r', Buffer.from('kept too'))
  await using dir = await brick.attach('')
  await using tmp = await dir.walk('tmp')
  const { node, handle } = await tmp.create('17', O.WRONLY, 0o600, root)
  await handle.close()
  await node.close()
  const second = blobsOf(await brick.attach(''))
  assert.is(Buffer.from(await second.get(id, new Uint8Array(9), 0)).toString(), 'kept')
  assert.is(Buffer.from(await second.getRecord('r')).toString(), 'kept too')
  assert.equal(await names(tmp), [])
})

test('a start that did not end is begun again; a directory with other files is refused; and another format', async () => {
  await using half = await memory({})
  await using dir = await half.attach('')
  await (await dir.mkdir('blobs', 0o700, root)).close()
  const { node, handle } = await dir.create('format.new', O.WRONLY, 0o600, root)
  await handle.write(Buffer.from('nine'), 0)
  await handle.close()
  await node.close()
  await blobsOf(await half.attach('')).putRecord('r', new Uint8Array(1))
  assert.equal(await names(dir), ['blobs', 'format', 'records', 'tmp'])
  await using format = await dir.walk('format')
  await using writer = await format.open(O.WRONLY)
  await writer.write(Buffer.from('2'), 15)
  await fails('EPROTONOSUPPORT', () => blobsOf(dir).list(null, 1))

  await using brick = await memory({})
  await using other = await brick.attach('')
  await (await other.mkdir('photos', 0o700, root)).close()
  await fails('ENOTEMPTY', () => blobsOf(other).list(null, 1))
  assert.equal(await names(other), ['photos'])
})

test('a full disk leaves nothing behind', async () => {
  await using brick = await memory({ size: 65536 })
  await using dir = await brick.attach('')
  const blobs = blobsOf(await brick.attach(''))
  await blobs.put(randomBytes(16), [randomBytes(10_000)])
  const { bfree } = await dir.statfs()
  await fails('ENOSPC', () => blobs.put(randomBytes(16), [randomBytes(60_000)]))
  assert.is((await dir.statfs()).bfree, bfree)
  await blobs.put(randomBytes(16), [randomBytes(40_000)])
})

test.run()
