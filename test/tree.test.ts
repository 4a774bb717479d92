// What a tree does behind the interface: where data go, what is freed, what is refused.

import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { isErrno, O } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { blobsFace } from '../translators/blobs.ts'
import { memory } from '../translators/memory/memory.ts'
import { posix } from '../translators/posix/posix.ts'
import { insides, kill, snapshot } from '../translators/snapshot/snapshot.ts'
import type { Handle, Node } from '../translators/translator.ts'
import { tick } from '../translators/snapshot/keep.ts'
import { gc } from '../translators/tree/gc.ts'
import { META } from '../translators/tree/keys.ts'
import { fails, get, put, text } from './conform/conform.ts'
import { dice } from '../server/dice.ts'

const base = mkdtempSync(join(process.env.NINEFOLD_TEST_DIR ?? '/dev/shm', 'ninefold-tree-test-'))
process.on('exit', () => rmSync(base, { recursive: true, force: true }))
let count = 0
const owner = { uid: 0, gid: 0 }
function folders(): { state: string; data: string } {
  const dir = join(base, String(count++))
  mkdirSync(join(dir, 'data'), { recursive: true })
  return { state: join(dir, 'state'), data: join(dir, 'data') }
}
async function made(root: Node, name: string): Promise<Handle> {
  const { node, handle } = await root.create(name, O.RDWR, 0o644, owner)
  await node.close()
  return handle
}
async function readAll(handle: Handle, length: number): Promise<Buffer> {
  const into = Buffer.alloc(length)
  let done = 0
  while (done < length) {
    const got = await handle.read(into.subarray(done), done)
    if (got.length === 0) break
    into.set(got, done)
    done += got.length
  }
  return into.subarray(0, done)
}
const test = suite('tree')

test('small writes leave the journal, which does not grow, and are there after a restart', async () => {
  const { state, data } = folders(), start = async () => snapshot({ state, segment: 65536 }, await posix({ path: data }))
  const below = dice(1), expected = Buffer.alloc(2 ** 20)
  {
    await using layer = await start()
    const handle = await made(await layer.attach(''), 'f')
    for (let i = 0; i < 600; i++) {
      const at = below(expected.length - 4096), bytes = Buffer.alloc(1 + below(4096), 1 + below(255))
      expected.set(bytes, at)
      await handle.write(bytes, at)
    }
    const { packer, tree: { instance } } = insides(layer)
    await packer.run()
    await instance.flush()
    assert.ok(instance.journal.segments.length <= 2, `${instance.journal.segments.length} segments`)
    await handle.close()
  }
  await using layer = await start()
  const f = await (await layer.attach('')).walk('f'), handle = await f.open(O.RDONLY), { size } = await f.getattr(0x7ff)
  assert.ok((await readAll(handle, size)).equals(expected.subarray(0, size)))
})
test('a chunk of very many pieces is written as one', async () => {
  const { state } = folders()
  await using layer = await snapshot({ state }, await memory({}))
  const handle = await made(await layer.attach(''), 'f'), n = 4200
  for (let i = 0; i < n; i++) await handle.write(Buffer.of(1 + i % 255), 3000 + 2 * i)
  const { tree } = insides(layer), ino = tree.lookup(tree.root, 'f').ino
  assert.ok(tree.instance.chunks.extents(1, ino, 0).length < 200)
  const bytes = await readAll(handle, 3000 + 2 * n)
  for (let i = 0; i < n; i++) if (bytes[3000 + 2 * i] !== 1 + i % 255 || bytes[2999 + 2 * i] !== 0) assert.unreachable(`byte ${i}`)
})
test('blobs that died are dropped, and gc finds those that no record names', async () => {
  const { state } = folders(), child = await memory({}), blobs = await blobsFace(child)
  const layer = await snapshot({ state }, child), root = await layer.attach(''), { tree: { instance } } = insides(layer)
  for (const name of ['a', 'b']) await (await made(root, name)).write(Buffer.alloc(200_000, 7), 0)
  assert.is((await blobs.list(null, 10)).length, 2)
  await (await (await root.walk('a')).open(O.RDWR | O.TRUNC)).write(text('short'), 0)
  await instance.flush()
  assert.is((await blobs.list(null, 10)).length, 1)
  await blobs.put(Buffer.alloc(16, 9), [Buffer.alloc(1000)])
  assert.equal(await gc(instance, [1]), { blobs: 1, bytes: 1000 })
  assert.is((await blobs.list(null, 10)).length, 1)
  await layer.close()
})
test('deleting a snapshot frees what it alone held', async () => {
  const { state } = folders(), child = await memory({}), blobs = await blobsFace(child)
  const layer = await snapshot({ state }, child), root = await layer.attach(''), { tree: { epochs } } = insides(layer)
  for (const name of ['kept', 'old']) await put(layer, name, Buffer.alloc(200_000, 7))
  await epochs.create('one')
  await root.unlinkat('old', 0)
  await put(layer, 'new', Buffer.alloc(200_000, 8))
  await epochs.create('two')
  await root.unlinkat('new', 0)
  assert.is((await blobs.list(null, 10)).length, 3)
  await epochs.delete('one')
  assert.is((await blobs.list(null, 10)).length, 2, 'what only `one` saw')
  await epochs.delete('two')
  assert.is((await blobs.list(null, 10)).length, 1, 'what is left is of the head')
  await layer.close()
})
test('making a snapshot is one record of the same size, whatever there is', async () => {
  const { state } = folders(), layer = await snapshot({ state }, await memory({})), { tree } = insides(layer)
  const sizes: number[] = []
  for (const files of [1, 3000]) {
    for (let i = 0; i < files; i++) await put(layer, `f${files}-${i}`, text('x'))
    await layer.sync()
    const { seq, current: { size } } = tree.instance.journal
    await tree.epochs.create(`s${files % 10}`)
    assert.is(tree.instance.journal.seq - seq, 1)
    sizes.push(tree.instance.journal.current.size - size)
  }
  assert.is(sizes[0], sizes[1])
  await layer.close()
})
test('snapshots by the clock: one for each period, so many are kept, and those that are held', async () => {
  const { state } = folders(), layer = await snapshot({ state }, await memory({})), { tree: { epochs } } = insides(layer)
  const at = (text: string) => tick(epochs, { hourly: 2, weekly: 1 }, new Date(text)), names = () => epochs.list().map(({ value }) => value.name)
  await epochs.create('mine')
  await at('2026-11-22T16:01:00Z')
  await at('2026-11-22T16:59:59Z')
  assert.equal(names(), ['mine', 'hourly-20261122T1600Z', 'weekly-20261116T0000Z'])
  await epochs.hold('hourly-20261122T1600Z', 'tag')
  await at('2026-11-22T17:00:00Z')
  await at('2026-11-22T18:00:00Z')
  await at('2026-11-23T00:00:00Z')
  assert.equal(names(), ['mine', 'hourly-20261122T1600Z', 'hourly-20261122T1800Z', 'hourly-20261123T0000Z', 'weekly-20261123T0000Z'])
  await layer.close()
  await using clocked = await snapshot({ state: folders().state, keep: { daily: 3 } }, await memory({}))
  for (let i = 0; i < 500 && insides(clocked).tree.epochs.list().length === 0; i++) await new Promise((resolve) => setTimeout(resolve, 10))
  assert.is(insides(clocked).tree.epochs.list().length, 1)
  const e = await snapshot({ state: folders().state, keep: { fortnightly: 1 } }, await memory({})).then(() => assert.unreachable('it was taken') as never, (e: Error) => e)
  assert.match(e.message, /"fortnightly" is no period/)
})
test('on a full child a write is refused, all else works, and what is deleted makes room', async () => {
  const { state } = folders(), child = await memory({ size: 4 * 2 ** 20 }), layer = await snapshot({ state }, child), root = await layer.attach('')
  let refused = ''
  for (let i = 0; i < 100 && refused === ''; i++) try { await put(layer, `f${i}`, Buffer.alloc(500_000, i)) } catch (e) { refused = isErrno(e) ? e.code : String(e) }
  assert.is(refused, 'ENOSPC')
  await root.mkdir('d', 0o755, owner)
  assert.is((await get(layer, 'f1')).length, 500_000)
  for (const name of ['f0', 'f1', 'f2']) await root.unlinkat(name, 0)
  await insides(layer).tree.instance.flush()
  await put(layer, 'again', Buffer.alloc(500_000, 1))
  await layer.close()
})
test('a full disk under the state refuses changes, loses none, and is forgotten when there is room', async () => {
  const { state } = folders(), disk = join(state, '..', 'disk'), child = await memory({})
  mkdirSync(disk)
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=40m', 'none', disk]).status !== 0) return   // only root may
  try {
    const make = async (root: Node, name: string) => { await (await made(root, name)).close() }
    let names = 0
    {
      await using layer = await snapshot({ state: join(disk, 'state') }, child)
      const root = await layer.attach(''), { tree: { instance } } = insides(layer)
      for (; names < 6000; names++) await make(root, `a${names}`)
      await instance.flush()
      const { bsize, bfree } = statfsSync(disk)
      writeFileSync(join(disk, 'fill'), Buffer.alloc(bsize * (bfree - 120)))
      let refused = ''
      for (let i = 0; i < 20_000 && refused === ''; i++) {
        try { await make(root, `b${i}`); names++ } catch (e) { refused = isErrno(e) ? e.code : String(e) }
      }
      assert.is(refused, 'ENOSPC')
      await instance.flush().then(() => assert.unreachable('there was room'), (e: unknown) => assert.ok(isErrno(e, 'ENOSPC') || isErrno(e, 'EIO'), String(e)))
      await (await root.walk('a5')).close()
      rmSync(join(disk, 'fill'))
      for (let i = 0; i < 100; i++, names++) await make(root, `c${i}`)
      await instance.flush()
    }
    await using again = await snapshot({ state: join(disk, 'state') }, child)
    await using handle = await (await again.attach('')).open(O.RDONLY)
    let found = 0
    await handle.readdir(0n, { add: () => { found++; return true } }, 0)
    assert.is(found, names)
  } finally { spawnSync('umount', [disk]) }
})
test('a server that was superseded stops, and says so once', async () => {
  const { state } = folders(), child = await memory({}), blobs = await blobsFace(child), said: string[] = []
  const log = { debug() {}, info() {}, warn() {}, error(_: object, message: string) { said.push(message) } }
  const layer = await snapshot.start({ state }, [child], { name: 's', log }), root = await layer.attach('')
  await put(layer, 'f', text('x'))
  await layer.sync()
  const record = Buffer.from(await blobs.getRecord('tree'))
  record[31]! ^= 1
  await blobs.putRecord('tree', record)
  await insides(layer).tree.instance.flush().catch((e: unknown) => assert.ok(isErrno(e, 'ESTALE')))
  await fails('EROFS', () => root.mkdir('d', 0o755, owner))
  await fails('EROFS', () => root.mkdir('e', 0o755, owner))
  assert.is(said.length, 1)
  assert.is((await get(layer, 'f')).length, 1, 'what is there can be read')
  await layer.close()
})
test('state and data that do not belong together are refused', async () => {
  const one = folders(), two = folders(), child = await memory({})
  await (await snapshot({ state: one.state }, await posix({ path: one.data }))).close()
  await fails('EIO', async () => snapshot({ state: two.state }, await posix({ path: one.data })))
  await fails('EIO', () => snapshot({ state: one.state }, child))
})
test('another version is refused with a sentence', async () => {
  const { state, data } = folders()
  await (await snapshot({ state }, await posix({ path: data }))).close()
  const db = new ClassicLevel<string, Buffer>(join(state, 'db'), { valueEncoding: 'buffer' }), meta = (await db.get(META))!
  meta.writeUInt32BE(2, 0)
  await db.put(META, meta)
  await db.close()
  const e = await snapshot({ state }, await posix({ path: data })).then(() => assert.unreachable('it was opened') as never, (e: Error) => e)
  assert.ok(isErrno(e, 'EPROTONOSUPPORT'))
  assert.match(e.message, /is of version 2, and this server reads version 1/)
})
test('a journal that is cut within its last record loses that record alone', async () => {
  const { state, data } = folders(), { state: copy } = folders()
  const layer = await snapshot({ state }, await posix({ path: data })), root = await layer.attach('')
  for (let i = 0; i < 5; i++) await root.mkdir(`d${i}`, 0o755, owner)
  await layer.sync()
  await kill(layer)
  const [segment] = readdirSync(join(state, 'journal')), whole = readFileSync(join(state, 'journal', segment!))
  const seen = new Set<number>()
  for (let cut = whole.length - 1; cut > whole.length - 700; cut -= 37) {
    rmSync(copy, { recursive: true, force: true })
    cpSync(state, copy, { recursive: true })
    truncateSync(join(copy, 'journal', segment!), cut)
    await using again = await snapshot({ state: copy }, await posix({ path: data }))
    const names: string[] = []
    await using handle = await (await again.attach('')).open(O.RDONLY)
    await handle.readdir(0n, { add: (_path, _type, _cookie, name) => { names.push(String(name)); return true } }, 0)
    seen.add(names.length)
    assert.ok(names.length < 5)
  }
  assert.ok(seen.has(4) && Math.min(...seen) >= 2, [...seen].join(' '))
})
test.run()
