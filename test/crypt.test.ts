// The node face of crypt, with its child altered by hand: EIO and one line with path and block, and never a wrong byte.

import { spawnSync } from 'node:child_process'
import { chmodSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Attrs, connect, O } from 'ninep'
import { serve } from '../server/server.ts'
import { crash, fault } from '../translators/fault/fault.ts'
import { memory } from '../translators/memory/memory.ts'
import { createKeyFile } from '../translators/keys.ts'
import type { Node, Translator } from '../translators/translator.ts'
import { entries, fails, find, get, has, ls, mkdir, noise, outcome, owner, put, same, text } from './conform/tools.ts'
import { folder, key, logged } from './crypt.ts'
import type { Line } from './crypt.ts'

const test = suite('crypt')
const bin = resolve(fileURLToPath(import.meta.url), '../../../bin')
const PAGE = 4096, HEADERS = 8192
const pageAt = (page: number) => HEADERS + Math.floor(page / 64) * 65 * PAGE + PAGE * (1 + page % 64)
const tagAt = (page: number) => HEADERS + Math.floor(page / 64) * 65 * PAGE + page % 64 * 64

interface Case { readonly top: Translator; readonly brick: Translator; readonly lines: Line[] }
async function pair(): Promise<Case> {
  const brick = await memory({}), { translator, lines } = await logged(brick)
  await (await translator.attach('')).close()
  return { top: translator, brick, lines }
}
/** Names of the child that are names above, and those beside them. */
const stored = async (dir: Node) => (await ls(dir)).filter((name) => !name.startsWith('dir.') && !name.startsWith('name.'))
/** Makes a file above; what the child calls it. */
async function plant(it: Case, path: string, bytes: Uint8Array): Promise<string> {
  const cut = path.lastIndexOf('/'), below = await beneath(it, path.slice(0, Math.max(0, cut)))
  const dir = await find(it.brick, below), before = await stored(dir)
  await put(it.top, path, bytes)
  const name = (await stored(dir)).find((one) => !before.includes(one))
  await dir.close()
  return `${below}/${name}`
}
const known = new WeakMap<Case, Map<string, string>>()
/** Where the child has a directory that `folderOf` made. */
async function beneath(it: Case, path: string): Promise<string> { return path === '' ? '' : known.get(it)!.get(path)! }
async function folderOf(it: Case, name: string): Promise<void> {
  const root = await find(it.brick, ''), before = await stored(root), top = await it.top.attach('')
  await (await mkdir(top, name)).close()
  await top.close()
  const map = known.get(it) ?? new Map<string, string>()
  known.set(it, map.set(name, (await stored(root)).find((one) => !before.includes(one))!))
  await root.close()
}
const put1 = async (it: Case, path: string, bytes: Uint8Array) => put(it.brick, path, bytes)
/** Passes if reading fails with EIO and one line that names this path; else the bytes must be those. */
async function refused(it: Case, path: string, what: string, block?: string | number): Promise<void> {
  const before = it.lines.length, refusal = await outcome(() => get(it.top, path))
  assert.is(refusal?.code, 'EIO', `${what}: ${refusal?.message ?? 'was read'}`)
  const said = it.lines.slice(before)
  assert.is(said.length, 1, `${what}: ${JSON.stringify(said)}`)
  assert.equal([said[0]!.level, said[0]!.fields.path], ['error', `/${path}`], what)
  if (block !== undefined) assert.is(said[0]!.fields.block, block, what)
  await outcome(() => get(it.top, path))
  assert.is(it.lines.length, before + 1, `${what}: told twice`)
}

test('stored sizes are those of the document', async () => {
  const it = await pair()
  for (const [n, size] of [[0, 8192], [1, 16_384], [262_144, 274_432], [262_145, 282_624]] as const) {
    const name = await plant(it, `n${n}`, noise(n))
    assert.is((await get(it.brick, name)).length, size)
  }
  await it.top.close()
})
test('names are as long in the child as the document says', async () => {
  const it = await pair()
  for (const [n, size] of [[1, 43], [16, 43], [17, 64], [145, 235], [160, 235], [161, 27], [255, 27]] as const) assert.is((await plant(it, 'x'.repeat(n), text(''))).length - 1, size)
  const lengths = (await ls(await find(it.brick, ''))).filter((name) => name.startsWith('name.'))
  assert.is(lengths.length, 2)
  for (const name of lengths) assert.is((await get(it.brick, name)).length, 256)
  await it.top.close()
})
test('a bit that is flipped anywhere is EIO, or not read: no byte is wrong', async () => {
  const bytes = noise(3 * PAGE + 100), where = { header: 0, tags: 0, pages: 0 }
  const one = await pair(), name = await plant(one, 'f', bytes), good = Buffer.from(await get(one.brick, name))
  const used = 3 + 24 + 43 + 16 + 16
  const dense = [[0, 110], [PAGE, PAGE + 110], [HEADERS, tagAt(4) + 64]] as const
  const places = [...dense.flatMap(([from, to]) => Array.from({ length: to - from }, (_, i) => from + i)), ...Array.from({ length: Math.floor(good.length / 61) }, (_, i) => i * 61)]
  for (const at of new Set(places)) {
    const bad = Buffer.from(good)
    bad[at]! ^= 1 << at % 8
    await put1(one, name, bad)
    const got = await outcome(async () => same(await get(one.top, 'f'), bytes, `byte ${at}`))
    const live = at < used || at >= PAGE && at < PAGE + used || at >= pageAt(0) || at >= HEADERS && at < tagAt(4) && at % 64 < 32
    assert.ok(got ? got.code === 'EIO' : !live, `byte ${at}`)
    if (got) where[at < HEADERS ? 'header' : at < pageAt(0) ? 'tags' : 'pages']++
  }
  assert.ok(where.header >= 2 * used && where.tags >= 4 * 32 && where.pages > 200, JSON.stringify(where))
  assert.equal([...new Set(one.lines.map((line) => line.fields.block))].sort(), [0, 1, 2, 3, 'header'])
  await one.top.close()
})
test('pages swapped, moved, zeroed, put together: EIO', async () => {
  const a = noise(80 * PAGE), b = noise(80 * PAGE)
  const it = await pair(), A = await plant(it, 'a', a), B = await plant(it, 'b', b)
  const good = Buffer.from(await get(it.brick, A)), other = Buffer.from(await get(it.brick, B))
  const page = (from: Buffer, n: number) => Buffer.from(from.subarray(pageAt(n), pageAt(n) + PAGE)), tag = (from: Buffer, n: number) => Buffer.from(from.subarray(tagAt(n), tagAt(n) + 64))
  const kinds: Record<string, [block: number | string, spoil: (x: Buffer) => void]> = {
    'two pages of a file, swapped': [3, (x) => { page(good, 4).copy(x, pageAt(3)); page(good, 3).copy(x, pageAt(4)) }],
    'and with their tags': [3, (x) => { page(good, 4).copy(x, pageAt(3)); page(good, 3).copy(x, pageAt(4)); tag(good, 4).copy(x, tagAt(3)); tag(good, 3).copy(x, tagAt(4)) }],
    'a page of another group, with its tags': [6, (x) => { page(good, 70).copy(x, pageAt(6)); tag(good, 70).copy(x, tagAt(6)) }],
    'the same page of another file': [5, (x) => { page(other, 5).copy(x, pageAt(5)) }],
    'and with its tags': [5, (x) => { page(other, 5).copy(x, pageAt(5)); tag(other, 5).copy(x, tagAt(5)) }],
    'a page zeroed': [7, (x) => { x.fill(0, pageAt(7), pageAt(8)) }],
    'its tags zeroed': [7, (x) => { x.fill(0, tagAt(7), tagAt(8)) }],
    'both zeroed': [7, (x) => { x.fill(0, pageAt(7), pageAt(8)); x.fill(0, tagAt(7), tagAt(8)) }],
    'a group zeroed, tags and all': [64, (x) => { x.fill(0, tagAt(64)) }],
    'all but the header zeroed': [0, (x) => { x.fill(0, HEADERS) }],
    'all zeroed': ['header', (x) => { x.fill(0) }],
    'the header of another file': ['header', (x) => { other.copy(x, 0, 0, HEADERS) }],
    'a slot of another file': ['header', (x) => { other.copy(x, 0, 0, PAGE) }],
    'slots swapped': ['header', (x) => { good.copy(x, 0, PAGE, HEADERS); good.copy(x, PAGE, 0, PAGE) }],
    'one slot twice': ['header', (x) => { good.copy(x, PAGE, 0, PAGE) }],
    'a slot zeroed': ['header', (x) => { x.fill(0, PAGE, HEADERS) }],
    'another file\'s bytes': ['header', (x) => { other.copy(x) }],
    'tags of a data page said to be a hole\'s': [9, (x) => { x[tagAt(9)]! ^= 1 }],
    'version 2': ['header', (x) => { x[0] = 2; x[PAGE] = 2 }],
  }
  for (const [what, [block, spoil]] of Object.entries(kinds)) {
    const fresh = await logged(it.brick), bad = Buffer.from(good)
    spoil(bad)
    await put1(it, A, bad)
    await refused({ ...it, top: fresh.translator, lines: fresh.lines }, 'a', what, block)
  }
  await put1(it, A, good)
  same(await get(it.top, 'a'), a)
  await it.top.close()
})
test('a file cut at any length, or extended: EIO', async () => {
  const bytes = noise(66 * PAGE + 5), it = await pair(), name = await plant(it, 'f', bytes), good = Buffer.from(await get(it.brick, name))
  const lengths = [0, 1, 50, 4095, 4096, 8191, 8192, 8193, 12_287, 12_288]
  for (let at = 16_384; at < good.length; at += 16_384) lengths.push(at - 1, at, at + 1)
  lengths.push(good.length - PAGE, good.length - 1)
  for (const length of lengths) {
    const { translator, lines } = await logged(it.brick)
    await put1(it, name, good.subarray(0, length))
    await refused({ ...it, top: translator, lines }, 'f', `cut to ${length}`)
  }
  for (const more of [1, PAGE, 65 * PAGE]) {
    const { translator, lines } = await logged(it.brick)
    await put1(it, name, Buffer.concat([good, Buffer.alloc(more)]))
    await refused({ ...it, top: translator, lines }, 'f', `${more} more`, 'end')
  }
  await it.top.close()
})
test('holes are recorded: one that is filled, or data made to look like one, is EIO', async () => {
  const it = await pair(), top = await it.top.attach(''), name = await plant(it, 'f', text('x')), node = await top.walk('f')
  const handle = await node.open(O.RDWR)
  await handle.write(noise(PAGE), 10 * PAGE)
  await handle.write(noise(PAGE), 200 * PAGE)
  await handle.close()
  await node.close()
  const bytes = await get(it.top, 'f'), good = Buffer.from(await get(it.brick, name))
  const kinds: Record<string, [number, (x: Buffer) => void]> = {
    'the tag of a hole altered': [4, (x) => { x[tagAt(4) + 20]! ^= 1 }],
    'a hole from another place': [4, (x) => { x.copy(x, tagAt(4), tagAt(5), tagAt(6)) }],
    'data where a hole was said': [10, (x) => { x.copy(x, tagAt(10), tagAt(5), tagAt(6)) }],
    'a second tag beside a hole\'s': [4, (x) => { x.copy(x, tagAt(4) + 32, tagAt(10), tagAt(10) + 32) }],
    'tags of holes zeroed': [4, (x) => { x.fill(0, tagAt(4), tagAt(5)) }],
  }
  for (const [what, [block, spoil]] of Object.entries(kinds)) {
    const { translator, lines } = await logged(it.brick), bad = Buffer.from(good)
    spoil(bad)
    await put1(it, name, bad)
    await refused({ ...it, top: translator, lines }, 'f', what, block)
  }
  await put1(it, name, Buffer.from(good).fill(7, pageAt(3), pageAt(9)))   // what lies in a hole is not read
  same(await get(it.top, 'f'), bytes)
  await it.top.close()
})
test('a file in the place of another, by its name: EIO; and so is a directory', async () => {
  const it = await pair(), A = (await plant(it, 'a', text('a'))).slice(1), B = (await plant(it, 'b', text('b'))).slice(1), root = await find(it.brick, '')
  await folderOf(it, 'c')
  await folderOf(it, 'd')
  await plant(it, 'c/x', text('x'))
  const [C, D] = [await beneath(it, 'c'), await beneath(it, 'd')]
  await root.renameat(A, root, 'tmp.swap')
  await root.renameat(B, root, A)
  await root.renameat('tmp.swap', root, B)
  await refused(it, 'a', 'a file under the name of another', 'header')
  await refused(it, 'b', 'and the other way', 'header')
  await root.renameat(C, root, 'tmp.swap')
  await root.renameat(D, root, C)
  await root.renameat('tmp.swap', root, D)
  await refused(it, 'c/x', 'a directory under the name of another').catch(() => {})
  assert.ok(it.lines.some((line) => line.fields.path === '/c' && line.fields.block === 'dir.id'))
  await fails('EIO', () => get(it.top, 'd/x'))
  await root.close()
  await it.top.close()
})
test('an id of a directory that was copied, removed, emptied or altered: EIO', async () => {
  const it = await pair()
  await folderOf(it, 'c')
  await folderOf(it, 'd')
  await plant(it, 'c/x', text('x'))
  await plant(it, 'd/x', text('y'))
  const C = `${await beneath(it, 'c')}/dir.id`, D = `${await beneath(it, 'd')}/dir.id`, good = await get(it.brick, C), theirs = await get(it.brick, D)
  assert.is(good.length, 90)
  const altered = Buffer.from(good)
  for (const [what, bytes] of [['another\'s', theirs], ['none', new Uint8Array(0)], ['cut', good.subarray(0, 40)], ['zeros', new Uint8Array(90)], ['altered', altered]] as const) {
    altered[60]! ^= 1
    await put1(it, C, bytes)
    const { translator, lines } = await logged(it.brick)
    await fails('EIO', () => get(translator, 'c/x'))
    assert.equal(lines.map((line) => [line.fields.path, line.fields.block]), [['/c', 'dir.id']], what)
  }
  const dir = await find(it.brick, await beneath(it, 'c'))
  await dir.unlinkat('dir.id', 0)
  await fails('EIO', () => get(it.top, 'c/x'))
  await put1(it, C, good)
  assert.equal(await get(it.top, 'c/x'), text('x'))
  await dir.close()
  await it.top.close()
})
test('a name moved to another directory is not shown there, and the log says so', async () => {
  const it = await pair(), long = 'l'.repeat(200)
  await folderOf(it, 'c')
  await folderOf(it, 'd')
  const moved = (await plant(it, 'c/x', text('x'))).split('/')[1]!, far = (await plant(it, `c/${long}`, text('x'))).split('/')[1]!
  const c = await find(it.brick, await beneath(it, 'c')), d = await find(it.brick, await beneath(it, 'd')), top = await it.top.attach(''), dir = await top.walk('d')
  await c.renameat(moved, d, moved)
  await c.renameat(far, d, far)
  await c.renameat(far.replace('long', 'name'), d, far.replace('long', 'name'))
  assert.equal(await ls(dir), [])
  assert.equal(it.lines.map((line) => [line.level, line.fields.path, line.fields.block]).sort(), [['error', '/d', far], ['error', '/d', moved]].sort())
  assert.not(await has(dir, 'x'))
  assert.not(await has(dir, long))
  await it.top.close()
})
test('attributes: altered, under another name, at another file: EIO', async () => {
  const it = await pair(), A = await plant(it, 'a', text('a')), B = await plant(it, 'b', text('b')), top = await it.top.attach('')
  const a = await top.walk('a'), b = await top.walk('b')
  await a.setxattr('user.one', text('1'), 0)
  await a.setxattr('user.two', text('2'), 0)
  await b.setxattr('user.one', text('1'), 0)
  const below = await find(it.brick, A), other = await find(it.brick, B), [x, y] = (await below.listxattr()).sort(), [z] = await other.listxattr()
  assert.match(x!, /^user\.9f\.[\w-]{32}$/)
  assert.is.not(x, z)
  const good = await below.getxattr(x!), bad = Buffer.from(good)
  bad[30]! ^= 1
  for (const value of [bad, await below.getxattr(y!), await other.getxattr(z!), new Uint8Array(0), good.subarray(0, 40)]) {
    await below.setxattr(x!, value, 0)
    await fails('EIO', async () => { await a.getxattr('user.one'); await a.getxattr('user.two') })
    await fails('EIO', () => a.listxattr())
  }
  await below.setxattr(x!, good, 0)
  await below.setxattr(z!, await other.getxattr(z!), 0)
  await fails('EIO', () => a.listxattr())
  await below.removexattr(z!)
  assert.equal((await a.listxattr()).sort(), ['user.one', 'user.two'])
  await it.top.close()
})
test('a link\'s target that was altered: EIO', async () => {
  const it = await pair(), top = await it.top.attach(''), root = await find(it.brick, '')
  for (const target of ['where', 'w/'.repeat(1800)]) {
    await (await top.symlink('s', target, owner)).close()
    const [name] = await stored(root), raw = await (await root.walk(name!)).readlink()
    if (raw.startsWith('~')) {
      const [file] = await ls(await find(it.brick, 'dir.links')), bytes = Buffer.from(await get(it.brick, `dir.links/${file}`))
      bytes[100]! ^= 1
      await put1(it, `dir.links/${file}`, bytes)
    } else {
      await root.unlinkat(name!, 0)
      await (await root.symlink(name!, `${raw[0] === 'A' ? 'B' : 'A'}${raw.slice(1)}`, owner)).close()
    }
    await fails('EIO', async () => (await top.walk('s')).readlink())
    await root.unlinkat(name!, 0)
  }
  assert.is(it.lines.length, 1)                             // one place, one line
  await it.top.close()
})
test('what a crash leaves of a long link is taken with it', async () => {
  const it = await pair(), top = await it.top.attach(''), links = async () => ls(await find(it.brick, 'dir.links'))
  await (await top.symlink('s', 'w/'.repeat(1800), owner)).close()
  await (await top.symlink('t', 'w/'.repeat(1801), owner)).close()
  assert.is((await links()).length, 2)
  await top.renameat('s', top, 't')
  assert.is(await (await top.walk('t')).readlink(), 'w/'.repeat(1800))
  assert.is((await links()).length, 1)
  await top.unlinkat('t', 0)
  assert.equal(await links(), [])
  await it.top.close()
})
test('a damaged file can be removed, and does not keep others from being listed', async () => {
  const it = await pair(), name = await plant(it, 'f', text('x'))
  await plant(it, 'g', text('y'))
  await put1(it, name, text(''))
  const top = await it.top.attach('')
  assert.equal(await ls(top), ['f', 'g'])
  const handle = await top.open(O.RDONLY), { list } = await entries(handle, { mask: Attrs.BASIC })
  assert.equal(list.map(({ name, attr }) => [name, attr!.size]).sort(), [['f', 0], ['g', 1]])
  await handle.close()
  const server = await serve({ listen: [`unix:${folder}/damaged.sock`], namespace: new Map([['/', it.top]]) })
  const client = await connect(server.urls[0]!), far = await client.attach()
  assert.is((await outcome(() => far.walk('f').then((file) => file.open())))?.code, 'EIO')
  await far.unlinkat('f')
  assert.equal(await ls(top), ['g'])
  await top.close()
  await client.close()
  await server.stop()
})
test('another key opens nothing, and says so once', async () => {
  const it = await pair()
  await plant(it, 'f', text('x'))
  await createKeyFile(`${folder}/other`, 'x', 'secret', Buffer.from('what a machine has, 32 bytes of it'))
  const { translator, lines } = await logged(it.brick, { ...key, 'key-file': `${folder}/other` })
  await fails('EIO', () => translator.attach(''))
  assert.equal(lines.map(({ level, message, fields }) => [level, message, fields]), [['error', 'crypt: its id was altered, or sealed by another key', { path: '/', block: 'dir.id' }]])
  await translator.close()
})
test('a folder that holds other files is not taken over', async () => {
  const brick = await memory({})
  await put(brick, 'mine', text('plain'))
  const { translator } = await logged(brick)
  await fails('EIO', () => translator.attach(''))
  assert.equal(await ls(await brick.attach('')), ['mine'])
  await translator.close()
})
test('equal files, names and values in two directories have nothing in common below', async () => {
  const it = await pair(), bytes = new Uint8Array(PAGE)
  await folderOf(it, 'c')
  await folderOf(it, 'd')
  const one = await plant(it, 'c/same', bytes), two = await plant(it, 'd/same', bytes), a = Buffer.from(await get(it.brick, one)), b = Buffer.from(await get(it.brick, two))
  assert.is.not(one.split('/')[1], two.split('/')[1])
  for (const at of [0, PAGE, tagAt(0), pageAt(0)]) assert.is.not(a.compare(b, at, at + 32, at, at + 32), 0)
  await it.top.close()
})
test('nothing that was put in is to be read below: names, contents, attributes, targets', async () => {
  const it = await pair(), top = await it.top.attach(''), planted = 'PLANTED', seen: string[] = []
  for (const name of [planted, `${planted}${'x'.repeat(200)}`]) {
    await put(it.top, name, text(planted.repeat(3000)))
    const node = await top.walk(name)
    await node.setxattr(`user.${planted}`, text(planted), 0)
    await node.close()
    await (await top.symlink(`s${name}`, planted, owner)).close()
    await (await mkdir(top, `d${name.slice(0, 200)}`)).close()
    await put(it.top, `d${name.slice(0, 200)}/${planted}`, text(planted))
  }
  await (await top.symlink('far', planted.repeat(500), owner)).close()
  const look = async (dir: Node): Promise<void> => {
    for (const name of await ls(dir)) {
      const node = await dir.walk(name)
      seen.push(name, ...await node.listxattr())
      for (const attribute of await node.listxattr()) seen.push(Buffer.from(await node.getxattr(attribute)).toString('latin1'))
      if (node.qid.type & 0x80) await look(node)
      else if (node.qid.type & 2) seen.push(await node.readlink())
      else seen.push(Buffer.from(await get(node)).toString('latin1'))
      await node.close()
    }
  }
  await look(await it.brick.attach(''))
  assert.ok(seen.length > 30)
  assert.equal(seen.filter((one) => one.includes(planted) || one.includes('user.PL')), [])
  await it.top.close()
})
test('a server with a wrong key does not start, and says which file in one line', () => {
  const run = (stack: string, env: object = {}) => spawnSync(join(bin, 'ninefold'), ['serve', '--at', `/=${stack}`, '--listen', `unix:${folder}/s.sock`], { encoding: 'utf8', env: { ...process.env, ...env }, timeout: 60_000 })
  for (const [stack, said] of [
    [`crypt ${folder}/none | memory`, /crypt: .*\/none: there is no key file\. Make one: ninefold key new/],
    [`crypt ${key['key-file']} | memory`, /crypt: env:NINEFOLD_KEY: the environment has no NINEFOLD_KEY\./],
    [`crypt ${key['key-file']} unlock='command:echo wrong' | memory`, /crypt: .*\/key: the command opens none of its 1 slots \(test\)\./],
  ] as const) {
    const { status, stderr } = run(stack)
    assert.is(status, 1, stderr)
    assert.match(stderr, said)
    assert.is(stderr.trim().split('\n').length, 1, stderr)
  }
})
test('what was synced is readable under its new name, if that survives power loss', async () => {
  const child = await fault({ 'drop-unsynced': true }, await memory({})), { translator } = await logged(child), root = await translator.attach('')
  await put(translator, 'f', text('x'))
  await (await mkdir(root, 'd')).close()
  await put(translator, 'd/f', text('y'))
  await put(translator, 'l', text('z'))
  await translator.sync()
  await root.renameat('f', root, 'g')
  await root.renameat('d', root, 'e')
  await root.link(await root.walk('l'), 'm'.repeat(255))
  const handle = await root.open(O.RDONLY)
  await handle.fsync(false)
  await crash(child)
  const again = await logged(child), top = await again.translator.attach('')
  assert.equal(await ls(top), ['e', 'g', 'l', 'm'.repeat(255)])
  for (const [name, content] of [['g', 'x'], ['e/f', 'y'], ['l', 'z'], ['m'.repeat(255), 'z']] as const) assert.equal(await get(again.translator, name), text(content))
  assert.equal(again.lines, [])
  await again.translator.close()
})
test('more holes than a header has room for are written out, the smallest first', async () => {
  const it = await pair(), top = await it.top.attach(''), group = 64 * PAGE, { node, handle } = await top.create('f', O.RDWR, 0o600, owner)
  for (let i = 0; i < 300; i++) await handle.write(text(`#${i}`), (2 * i + 1 + (i > 200 ? i * 5 : 0)) * group + 9)
  const before = await handle.getattr(Attrs.SIZE)
  await handle.close()
  await node.close()
  const again = await logged(it.brick), file = await find(again.translator, 'f')
  await using reader = await file.open(O.RDONLY)
  assert.is((await reader.getattr(Attrs.SIZE)).size, before.size)
  for (let i = 0; i < 300; i++) {
    const at = (2 * i + 1 + (i > 200 ? i * 5 : 0)) * group + 9
    assert.is(Buffer.from(await reader.read(new Uint8Array(8), at - 2)).toString('latin1').replace(/\0+$/, ''), `\0\0#${i}`)
    assert.ok((await reader.read(new Uint8Array(PAGE), at - group)).every((byte) => byte === 0))
  }
  assert.equal(again.lines, [])
  await it.top.close()
})
test('a file has 120 names, and not one more: EMLINK; those that went leave room', async () => {
  const it = await pair(), top = await it.top.attach(''), { node, handle } = await top.create('n0', O.RDWR, 0o600, owner)
  await handle.close()
  for (let i = 1; i < 120; i++) await top.link(node, `n${i}`)
  await fails('EMLINK', () => top.link(node, 'n120'))
  assert.not(await has(top, 'n120'))
  for (let i = 0; i < 50; i++) {
    await top.unlinkat(`n${i}`, 0)
    await put(it.top, 'over', text('x'))
    await top.link(node, 'more')
    await top.renameat('over', top, 'more')
    await top.unlinkat('more', 0)
  }
  assert.is((await node.getattr(Attrs.NLINK)).nlink, 70)
  for (let i = 50; i < 120; i++) assert.equal(await get(it.top, `n${i}`), text(''))
  assert.equal(it.lines, [])
  await it.top.close()
})
test('who may not lock memory is told that keys may be swapped', () => {
  const script = `const { crypt } = await import(${JSON.stringify(new URL('../translators/crypt/crypt.js', import.meta.url).href)}), { memory } = await import(${JSON.stringify(new URL('../translators/memory/memory.js', import.meta.url).href)})
    const say = (fields, message) => console.log(message), log = { debug: say, info: say, warn: say, error: say }
    await crypt.start(${JSON.stringify(key)}, [await memory({})], { name: 'crypt', log })`
  const said = (limit: string) => {
    const lower = process.geteuid?.() === 0 ? 'exec setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set -all --inh-caps -all' : 'exec'
    const { stdout, stderr } = spawnSync('/bin/sh', ['-c', `ulimit -l ${limit}; ${lower} "$0" --input-type=module -e "$1"`, process.execPath, script], { encoding: 'utf8' })
    return stdout + stderr
  }
  chmodSync(folder, 0o755)
  for (const file of ['key', 'secret']) chmodSync(join(folder, file), 0o644)
  assert.match(said('0'), /^crypt: keys may be swapped/)
  assert.is(said('64'), '')
})
test('statfs is the child\'s, with names of 255 bytes', async () => {
  const it = await pair(), top = await it.top.attach('')
  assert.equal(await top.statfs(), { ...await (await it.brick.attach('')).statfs(), namelen: 255 })
  await it.top.close()
})
test.run()
