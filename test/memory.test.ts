import { randomBytes } from 'node:crypto'
import { AT_REMOVEDIR, Attrs, errnos, isErrno, O, S } from 'ninep'
import type { Code } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { memory } from '../translators/memory/memory.ts'
import type { Awaitable, DirSink, Handle, Node, Translator } from '../translators/translator.ts'

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

test.run()
