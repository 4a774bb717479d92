import { randomBytes } from 'node:crypto'
import { AT_REMOVEDIR, Attrs, errnos, isErrno, O, S } from 'ninep'
import type { Code } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ACL_ACCESS, ACL_DEFAULT, formatAcl, parseAcl } from '../translators/acl.ts'
import { Arena } from '../translators/memory/arena.ts'
import { memory } from '../translators/memory/memory.ts'
import { describe, reconfigure } from '../translators/options.ts'
import { Pages } from '../translators/memory/pages.ts'
import { Space } from '../translators/memory/space.ts'
import type { Awaitable, DirSink, Handle, Node, Translator } from '../translators/translator.ts'
import { dice } from '../server/dice.ts'

const root = { uid: 0, gid: 0 }
const test = suite('memory')

async function fails(code: Code, f: () => Awaitable<unknown>): Promise<void> {
  try { await f() } catch (e) {
    if (!isErrno(e)) throw e
    assert.is(e.code, code)
    assert.is(e.errno, errnos[code])
    return
  }
  assert.unreachable(`no ${code}`)
}
/** A new file, opened to read and write. */
async function file(dir: Node, name: string): Promise<Handle> {
  const { node, handle } = await dir.create(name, O.RDWR, 0o644, root)
  await node.close()
  return handle
}
async function used(t: Translator): Promise<{ bytes: number; files: number }> {
  await using dir = await t.attach('')
  const { blocks, bfree, files, ffree } = await dir.statfs()
  return { bytes: (blocks - bfree) * 4096, files: files - ffree }
}
/** Names after the cookie, at most so many; and the cookies. */
async function names(handle: Handle, cookie = 0n, max = Infinity): Promise<[string, bigint][]> {
  const found: [string, bigint][] = []
  const sink: DirSink = { add: (_path, _type, cookie, name) => found.length < max && found.push([String(name), cookie]) > 0 }
  await handle.readdir(cookie, sink, 0)
  return found
}

test('data take whole blocks, holes none, and all is given back', async () => {
  await using t = await memory({ size: 2 ** 20 })
  await using dir = await t.attach('')
  const h = await file(dir, 'f')
  assert.equal(await used(t), { bytes: 0, files: 2 })
  await h.write(randomBytes(1), 2 ** 40)                  // alone at the start of its page
  assert.equal(await used(t), { bytes: 4096, files: 2 })
  const { size, blocks } = await h.getattr(Attrs.ALL)
  assert.equal([size, blocks], [2 ** 40 + 1, 8])
  await h.write(new Uint8Array(5000), 0)
  assert.equal((await used(t)).bytes, 4096 + 8192)
  await h.setattr({ size: 4097 })
  assert.equal((await used(t)).bytes, 8192)
  await h.setattr({ size: 4096 })
  assert.equal((await used(t)).bytes, 4096)
  await dir.unlinkat('f', 0)
  assert.equal(await used(t), { bytes: 4096, files: 2 }, 'still open')
  await h.close()
  assert.equal(await used(t), { bytes: 0, files: 1 })
})

test('a full disk writes what fits, then says ENOSPC; what is freed can be used again', async () => {
  await using t = await memory({ size: 40960 })
  await using dir = await t.attach('')
  const h = await file(dir, 'f')
  const bytes = randomBytes(65536)
  assert.is(await h.write(bytes.subarray(0, 12288), 0), 12288)
  await using g = await file(dir, 'g')
  assert.is(await g.write(bytes.subarray(0, 24576), 0), 24576)
  assert.is((await dir.statfs()).bfree, 1)
  assert.is(await h.write(bytes.subarray(12288, 12289), 12288), 1, 'grows by what is left, not by as much again')
  await fails('ENOSPC', () => h.write(bytes, 16384))
  assert.is(await h.write(bytes, 12288), 4096)
  assert.equal(Buffer.from(await h.read(new Uint8Array(99999), 0)), Buffer.concat([bytes.subarray(0, 12288), bytes.subarray(0, 4096)]))
  await dir.unlinkat('f', 0)
  await fails('ENOSPC', () => g.write(bytes, 24576 + 65536))
  await h.close()
  assert.is(await g.write(bytes.subarray(0, 16384), 24576), 16384)
})

test('inodes are counted to the last', async () => {
  await using t = await memory({ inodes: 4 })
  await using dir = await t.attach('')
  await (await dir.mkdir('d', 0o755, root)).close()
  await (await dir.symlink('l', 'd', root)).close()
  await (await dir.mknod('p', S.IFIFO | 0o600, 0n, root)).close()
  assert.is((await dir.statfs()).ffree, 0)
  await fails('ENOSPC', () => dir.create('f', O.RDWR, 0o644, root))
  await fails('ENOENT', () => dir.walk('f'))
  await dir.unlinkat('d', AT_REMOVEDIR)
  await (await dir.mkdir('e', 0o755, root)).close()
  assert.is((await dir.statfs()).ffree, 0)
})

test('writes, cuts and reads at random are those of one long array', async () => {
  await using t = await memory({ size: 2 ** 20 })
  await using dir = await t.attach('')
  await using h = await file(dir, 'f')
  await using other = await file(dir, 'other')            // shares the slabs
  const random = dice(7), length = 500_000
  let model = Buffer.alloc(0)
  for (let i = 0; i < 4000; i++) {
    const offset = random(length), n = random(random(2) ? 10_000 : 200_000)
    if (random(3) > 0) {
      const bytes = randomBytes(n)
      let wrote = 0
      try { wrote = await h.write(bytes, offset) } catch (e) { if (!isErrno(e, 'ENOSPC')) throw e }
      if (wrote > 0) {
        if (offset + wrote > model.length) model = Buffer.concat([model, Buffer.alloc(offset + wrote - model.length)])
        model.set(bytes.subarray(0, wrote), offset)
      }
    } else if (random(2)) {
      await h.setattr({ size: offset })
      model = offset < model.length ? Buffer.from(model.subarray(0, offset)) : Buffer.concat([model, Buffer.alloc(offset - model.length)])
    } else {
      await other.setattr({ size: 0 })
      try { await other.write(randomBytes(random(300_000) + 1), random(100_000)) } catch (e) { if (!isErrno(e, 'ENOSPC')) throw e }
    }
    const from = random(length)
    assert.ok(model.subarray(from, from + 70_000).equals(await h.read(Buffer.alloc(70_000, 255), from)), `step ${i}`)
    const taken = ((await h.getattr(Attrs.ALL)).blocks + (await other.getattr(Attrs.ALL)).blocks) * 512
    assert.is((await used(t)).bytes, taken)
  }
})

test('nothing written to one file shows in the holes of another', async () => {
  await using t = await memory({})
  await using dir = await t.attach('')
  const old = await file(dir, 'old')
  await old.write(Buffer.alloc(2 ** 20, 0x55), 0)
  await dir.unlinkat('old', 0)
  await old.close()
  await using h = await file(dir, 'new')
  for (let i = 0; i < 16; i++) await h.write(new Uint8Array([1]), i * 65536 + 15_000)
  const bytes = await h.read(new Uint8Array(2 ** 20), 0)
  assert.is(bytes.reduce((sum, b) => sum + b), 16)
})

test('100 000 names: listed once each though they go on the way, and from any cookie', async () => {
  await using t = await memory({})
  await using dir = await t.attach('')
  for (let i = 0; i < 100_000; i++) await (await dir.symlink(`n${i}`, 'x', root)).close()
  await using h = await dir.open(O.RDONLY)
  const all = await names(h)
  assert.is(new Set(all.map(([name]) => name)).size, 100_000)
  assert.equal(await names(h, all[49_999]![1], 3), all.slice(50_000, 50_003))

  const seen: string[] = []
  for (let cookie = 0n; ;) {
    const some = await names(h, cookie, 100)
    if (some.length === 0) break
    cookie = some.at(-1)![1]
    for (const [i, [name]] of some.entries()) {
      seen.push(name)
      if (i % 10 > 0) await dir.unlinkat(name, 0)         // and one in ten stays
      else await dir.renameat(name, dir, `${name}-seen`)
    }
  }
  assert.is(seen.length, 100_000, 'what was renamed is not found again')
  assert.is(new Set(seen).size, 100_000)
  const left = await names(h)
  assert.is(left.length, 10_000)
  assert.ok(left.every(([name]) => name.endsWith('-seen')))
  assert.equal(await names(h, all[50_000]![1]), left, 'a cookie of one that is gone')
})

test('names that are gone cost a listing nothing', async () => {
  await using t = await memory({})
  await using dir = await t.attach('')
  for (let i = 0; i < 100_000; i++) await (await dir.mkdir(`n${i}`, 0o755, root)).close()
  for (let i = 0; i < 100_000; i++) await dir.unlinkat(`n${i}`, AT_REMOVEDIR)
  await using h = await dir.open(O.RDONLY)
  const start = performance.now()
  for (let i = 0; i < 2000; i++) await h.readdir(0n, { add: () => true }, 0)
  assert.ok(performance.now() - start < 150)              // scanning them takes some hundred at best
})

test('pages never overlap, and what is freed is given out again', () => {
  const arena = new Arena(), random = dice(3), live: Uint8Array[] = []
  let blocks = 0, most = 0
  for (let i = 0; i < 30_000; i++) {
    if (live.length > 0 && (random(1000) < 500 || blocks > 2000)) {
      const [page] = live.splice(random(live.length), 1) as [Uint8Array], from = random(page.length / 4096)
      for (let at = 0; at < page.length; at += 1024) assert.is(page[at], page[0], 'none wrote to it but who had it')
      arena.free(page, from)
      blocks -= page.length / 4096 - from
      if (from > 0) live.push(page.subarray(0, from * 4096))
    } else {
      const page = arena.alloc(1 + random(4))
      page.fill(i)
      live.push(page)
      blocks += page.length / 4096
      most = Math.max(most, blocks)
    }
  }
  assert.ok(arena.bytes <= 4 * most * 4096, `${arena.bytes} bytes for ${most} blocks`)
  for (const page of live) arena.free(page)
  const { bytes } = arena
  for (let i = 0; i < bytes / 16384; i++) arena.alloc(4)
  assert.is(arena.bytes, bytes, 'all is in whole pages again')
})

test('a slab that holds nothing goes back to the host', () => {
  const arena = new Arena(), pages = Array.from({ length: 4000 }, () => arena.alloc(4))
  assert.ok(arena.bytes > 60 * 2 ** 20)
  for (const page of pages) arena.free(page)
  assert.is(arena.bytes, 2 ** 20)
})

test('a file that grows bit by bit, again and again, leaves nothing behind', () => {
  const space = new Space(2 ** 30, 1), bit = new Uint8Array(3000)
  for (let round = 0; round < 50; round++) {
    const pages = new Pages(space)
    for (let at = 0; at < 2 ** 19; at += bit.length) pages.write(bit, at)
    pages.truncate(100_001)
    pages.truncate(0)
    assert.equal([space.used, pages.allocated], [0, 0])
  }
  assert.is(space.arena.bytes, 2 ** 20)
})

test('a name that is replaced keeps its place in a listing', async () => {
  await using t = await memory({})
  await using dir = await t.attach('')
  for (const name of ['a', 'b', 'c']) await (await file(dir, name)).close()
  await using h = await dir.open(O.RDONLY)
  const [[, cookie]] = await names(h, 0n, 1) as [[string, bigint]]
  await dir.renameat('c', dir, 'a')
  assert.equal((await names(h, cookie)).map(([name]) => name), ['b'])
  assert.equal((await names(h, 0n)).map(([name]) => name), ['a', 'b'])
})

test('a second instance counts from the same numbers, but not in the same generation', async () => {
  await using a = await memory({})
  await using b = await memory({})
  await using x = await a.attach('')
  await using y = await b.attach('')
  const [p, q] = [await x.getattr(Attrs.ALL), await y.getattr(Attrs.ALL)]
  assert.is(p.qid.path, q.qid.path)
  assert.is.not(p.gen, q.gen)
  assert.is.not(x.volume, y.volume)
  await fails('EXDEV', () => x.link(y, 'l'))
  await fails('EXDEV', () => x.renameat('f', y, 'f'))
})

test('second names and attributes take of the size, and give it back', async () => {
  await using t = await memory({ size: 8192 })
  await using dir = await t.attach('')
  const { node, handle } = await dir.create('f', O.RDWR, 0o644, root)
  for (let i = 0; i < 16; i++) await dir.link(node, `l${i}`)
  await fails('ENOSPC', () => dir.link(node, 'more'))
  await fails('ENOSPC', () => handle.write(new Uint8Array(1), 0))
  await fails('ENOSPC', () => node.setxattr('user.a', new Uint8Array(1), 0))
  await fails('ENOSPC', () => dir.symlink('s', 'target', root))
  for (let i = 0; i < 16; i++) await dir.unlinkat(`l${i}`, 0)
  assert.is((await node.getattr(Attrs.NLINK)).nlink, 1)
  await node.setxattr('user.a', new Uint8Array(5000), 0)
  await fails('ENOSPC', () => handle.write(new Uint8Array(1), 0))
  await dir.unlinkat('f', 0)
  await handle.close()
  assert.is((await used(t)).bytes, 8192, 'the node still stands for it')
  await node.close()
  assert.equal(await used(t), { bytes: 0, files: 1 })
})

test('limits can be changed while it runs, below what is held too', async () => {
  await using t = await memory({ size: 2 ** 20, inodes: 10 })
  await using dir = await t.attach('')
  await using h = await file(dir, 'f')
  await h.write(new Uint8Array(65536), 0)
  assert.ok(await reconfigure(t, { size: '16KiB', inodes: 1 }))
  const { bfree, ffree } = await dir.statfs()
  assert.equal([bfree, ffree], [0, 0])
  await fails('ENOSPC', () => h.write(new Uint8Array(1), 65536))
  await h.write(new Uint8Array(65536), 0)
  await fails('ENOSPC', () => dir.mkdir('d', 0o755, root))
  await reconfigure(t, { size: '1MiB' })
  assert.is(await h.write(new Uint8Array(9), 65536), 9)
  await fails('ENOSPC', () => dir.mkdir('d', 0o755, root)) // inodes stays as it was
  assert.equal(describe(t).options.inodes, 1)
})

test('a default ACL is inherited, and chmod moves the mask', async () => {
  await using t = await memory({})
  await using dir = await t.attach('')
  const acl = formatAcl([[1, 7], [2, 6, 1000], [4, 5], [0x10, 7], [0x20, 0]].map(([tag, perm, id = 0xffffffff]) => ({ tag: tag!, perm: perm!, id })))
  await dir.setxattr(ACL_DEFAULT, acl, 0)
  await using sub = await dir.mkdir('d', 0o775, root)
  const { node, handle } = await dir.create('f', O.RDWR, 0o640, root)
  await handle.close()
  assert.equal(await sub.getxattr(ACL_DEFAULT), acl)
  assert.is((await node.getattr(Attrs.ALL)).mode, S.IFREG | 0o640)
  assert.equal((await node.getattr(Attrs.ACL)).acl, await node.getxattr(ACL_ACCESS))
  await node.setattr({ mode: 0o604 })
  assert.equal(parseAcl(await node.getxattr(ACL_ACCESS))!.map((e) => e.perm), [6, 6, 5, 0, 4])
  await node.setxattr(ACL_ACCESS, formatAcl([{ tag: 1, perm: 6, id: 0 }, { tag: 4, perm: 4, id: 0 }, { tag: 0x20, perm: 0, id: 0 }]), 0)
  await fails('ENODATA', () => node.getxattr(ACL_ACCESS))
  assert.is((await node.getattr(Attrs.ALL)).mode & 0o777, 0o640)
  await fails('EINVAL', () => node.setxattr(ACL_ACCESS, acl.subarray(0, 12), 0))
  await fails('EACCES', () => node.setxattr(ACL_DEFAULT, acl, 0))
  await node.close()
})

test('a million empty files take less than 1 KiB each', async () => {
  await using t = await memory({ inodes: 110_000 })
  await using dir = await t.attach('')
  const before = process.memoryUsage().heapUsed           // what garbage there is only adds
  for (let i = 0; i < 100_000; i++) {
    const { node, handle } = await dir.create(`a-name-of-common-length-${i}`, O.RDWR, 0o644, root)
    await handle.close()
    await node.close()
  }
  assert.ok((process.memoryUsage().heapUsed - before) / 100_000 < 1024)
})


test.run()
