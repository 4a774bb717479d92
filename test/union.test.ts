// Several trees as one: what is in sight, what a change does to which child, and what stays where it was.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AT_REMOVEDIR, Attrs, O, S } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { crash, fault } from '../translators/fault/fault.ts'
import { memory } from '../translators/memory/memory.ts'
import { posix } from '../translators/posix/posix.ts'
import type { Node, Translator } from '../translators/translator.ts'
import { union } from '../translators/union/union.ts'
import { conform, fails, get, put, text } from './conform/conform.ts'
import { entries, file, find, has, ls, mkdir, outcome, read, readAll, same, stat } from './conform/tools.ts'
import { dice } from '../server/dice.ts'

const folder = mkdtempSync(join(tmpdir(), 'ninefold-union-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
const quick = { quick: true }
conform('union (memory, memory)', async () => union({}, await memory({}), await memory({})), quick)
conform('union (memory, posix)', async () => union({}, await memory({}), await posix({ path: mkdtempSync(join(folder, 'l-')), owner: 'none' })), quick)

const owner = { uid: 1000, gid: 1000 }
const test = suite('union')

/** Three children: what the names say is where they are. */
async function three(options = {}): Promise<{ layer: Translator; children: [Translator, Translator, Translator]; root: Node }> {
  const children = [await memory({}), await memory({}), await memory({})] as [Translator, Translator, Translator]
  for (const [i, child] of children.entries()) {
    const root = await child.attach('')
    await mkdir(root, 'all')
    await put(child, 'all/same', text(`of ${i + 1}`))
    await put(child, `all/only-${i + 1}`, text(`${i + 1}`))
    if (i > 0) { await mkdir(root, 'low'); await put(child, `low/only-${i + 1}`, text(`${i + 1}`)) }
  }
  await put(children[1], 'f', text('file of 2'))
  await mkdir(await children[2].attach(''), 'f')
  await put(children[2], 'deep', text('file of 3'))
  const layer = await union(options, ...children)
  return { layer, children, root: await layer.attach('') }
}
/** All that a tree holds, as text. */
async function shown(at: Translator | Node, all = false): Promise<string[]> {
  const node = 'attach' in at ? await at.attach('') : at, found: string[] = []
  for (const name of await ls(node)) {
    if (!all && name.startsWith('.wh.')) continue
    const child = await node.walk(name)
    if (child.qid.type === 0x80) found.push(`${name}/`, ...(await shown(child, all)).map((line) => `${name}/${line}`))
    else found.push(`${name}=${child.qid.type === 2 ? `-> ${await child.readlink()}` : await read(child)}`)
    await child.close()
  }
  if (node !== at) await node.close()
  return found
}

test('directories are merged, of files the first is in sight, and a file hides a directory behind it', async () => {
  const { layer } = await three()
  assert.equal(await shown(layer), ['all/', 'all/only-1=1', 'all/only-2=2', 'all/only-3=3', 'all/same=of 1', 'deep=file of 3', 'f=file of 2', 'low/', 'low/only-2=2', 'low/only-3=3'])
  await layer.close()
})
test('a change is made in the first child; the others stay as they are, to the byte', async () => {
  const { layer, children, root } = await three()
  const before = await Promise.all(children.slice(1).map((child) => shown(child, true)))
  await put(layer, 'f', text('new'))
  await put(layer, 'low/fresh', text('fresh'))
  const low = await root.walk('low')
  await low.unlinkat('only-2', 0)
  await low.renameat('only-3', root, 'moved')
  await (await find(layer, 'all/same')).setattr({ mode: 0o600 })
  await (await find(layer, 'deep')).setattr({ mode: 0o600, mtime: { sec: 7, nsec: 8 } })
  await root.link(await find(layer, 'all/only-3'), 'linked')
  await (await find(layer, 'all/only-2')).setxattr('user.a', text('b'), 0)
  assert.equal(await shown(layer), [
    'all/', 'all/only-1=1', 'all/only-2=2', 'all/only-3=3', 'all/same=of 1', 'deep=file of 3', 'f=new', 'linked=3', 'low/', 'low/fresh=fresh', 'moved=3',
  ])
  assert.equal(await Promise.all(children.slice(1).map((child) => shown(child, true))), before)
  assert.equal(await shown(children[0]), ['all/', 'all/only-1=1', 'all/only-2=2', 'all/only-3=3', 'all/same=of 1', 'deep=file of 3', 'f=new', 'linked=3', 'low/', 'low/fresh=fresh', 'moved=3'])
  assert.equal((await ls(await find(children[0], 'low'))), ['.wh.only-2', '.wh.only-3', 'fresh'])
  const deep = await stat(await find(layer, 'deep'))
  assert.equal([deep.mode, deep.mtime], [S.IFREG | 0o600, { sec: 7, nsec: 8 }])
  await layer.close()
})
test('what is copied keeps its number, owner, mode, times, attributes, ACL, holes and bytes, and is seen moved by who has it open', async () => {
  const lower = await memory({}), below = await lower.attach('')
  const f = await file(below, 'f', 'x'.repeat(200_000), 0o640)
  await (await f.open(O.RDWR)).write(text('end'), 9_000_000)
  await f.setattr({ uid: 5, gid: 6, mtime: { sec: 100, nsec: 5 }, atime: { sec: 50, nsec: 4 } })
  await f.setxattr('user.colour', text('red'), 0)
  const acl = Uint8Array.of(2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 7, 0, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255)
  await f.setxattr('system.posix_acl_access', acl, 0)
  const want = await readAll(await f.open(O.RDONLY))
  await using layer = await union({}, await memory({}), lower)
  const root = await layer.attach(''), node = await root.walk('f'), reader = await node.open(O.RDONLY), before = await stat(node), { mtime } = await stat(root)
  same((await reader.read(new Uint8Array(3), 0)), text('xxx'))
  const writer = await (await root.walk('f')).open(O.RDWR)
  const after = await stat(node)
  assert.equal((await stat(root)).mtime, mtime)
  assert.equal([after.qid.path, after.mode, after.uid, after.gid, after.mtime, after.size, after.gen, after.nlink], [before.qid.path, before.mode, 5, 6, { sec: 100, nsec: 5 }, before.size, before.gen, 1])
  assert.ok(after.blocks * 512 < 1_000_000, `${after.blocks}`)
  assert.is.not(node.qid.version, before.qid.version)
  same(await readAll(reader), want)
  same(await node.getxattr('user.colour'), text('red'))
  same(await node.getxattr('system.posix_acl_access'), acl)
  await writer.write(text('NEW'), 0)
  same(await reader.read(new Uint8Array(3), 0), text('NEW'))
  same((await get(lower, 'f')).subarray(0, 3), text('xxx'))
  for (const each of [node, reader, writer]) await each.close()
  assert.is((await stat(await root.walk('f'))).qid.path, before.qid.path)
  const listed = (await entries(await root.open(O.RDONLY))).list.map(({ path }) => path)
  assert.equal(listed, [before.qid.path])
})
test('truncating copies no data, and a name that is not there is not copied for', async () => {
  const lower = await memory({}), upper = await memory({ size: 65536 })
  await put(lower, 'large', new Uint8Array(2 ** 20).fill(1))
  await mkdir(await lower.attach(''), 'd')
  await using layer = await union({}, upper, lower)
  const root = await layer.attach('')
  await fails('ENOSPC', async () => (await root.walk('large')).setattr({ mode: 0o600 }))
  assert.is((await get(layer, 'large')).length, 2 ** 20)
  await put(layer, 'large', text('small'))
  assert.equal(await get(layer, 'large'), text('small'))
  const d = await root.walk('d')
  await fails('ENOENT', () => d.unlinkat('nobody', 0))
  await fails('ENODATA', () => d.removexattr('user.none'))
  assert.is(await has(await upper.attach(''), 'd'), false)
})
test('what was removed stays so: a name made again, as a directory too, shows nothing of what lay behind', async () => {
  const { layer, children, root } = await three()
  await fails('ENOTEMPTY', () => root.unlinkat('low', AT_REMOVEDIR))
  const low = await root.walk('low')
  for (const name of await ls(low)) await low.unlinkat(name, 0)
  await root.unlinkat('low', AT_REMOVEDIR)
  await fails('ENOENT', () => root.walk('low'))
  await mkdir(root, 'low')
  assert.equal(await ls(await root.walk('low')), [])
  await root.unlinkat('low', AT_REMOVEDIR)
  // A directory that is moved there is not merged either.
  const own = await mkdir(root, 'own')
  await file(own, 'inside', 'i')
  await root.renameat('own', root, 'low')
  assert.equal(await ls(await root.walk('low')), ['inside'])
  assert.is((await own.getattr(Attrs.NLINK)).nlink, 2)
  assert.is((await stat(low)).nlink, 0)
  await fails('ENOENT', () => low.create('x', O.RDWR, 0o644, owner))
  assert.ok(await has(await children[1].attach(''), 'low'))
  await layer.close()
})
test('a directory that replaces one emptied by removals is not merged with what was hidden there', async () => {
  const { layer, root } = await three()
  const low = await root.walk('low')
  for (const name of await ls(low)) await low.unlinkat(name, 0)
  await low.close()
  const own = await mkdir(root, 'own'), inside = await file(own, 'inside', 'i')
  await inside.close()
  await own.close()
  await root.renameat('own', root, 'low')
  assert.equal(await shown(await root.walk('low')), ['inside=i'])
  await layer.close()
})
test('of two who take one name at once one succeeds', async () => {
  const lower = await memory({}), below = await lower.attach('')
  for (let i = 0; i < 40; i++) await file(below, `f${i}`, `${i}`)
  await using layer = await union({}, await memory({}), lower)
  const root = await layer.attach('')
  for (let i = 0; i < 40; i++) {
    const name = `f${i}`, calls = [() => root.unlinkat(name, 0), () => root.renameat(name, root, `g${i}`), () => root.unlinkat(name, 0)]
    const done = await Promise.all((i % 2 ? calls : calls.reverse()).map((call) => outcome(call)))
    assert.equal(done.map((e) => e?.code ?? 'done').sort(), ['ENOENT', 'ENOENT', 'done'], name)
    assert.is(await has(root, name), false)
  }
})
test('a directory of a child that is read can\'t be renamed: EXDEV, as where it is another device', async () => {
  const { layer, root } = await three()
  await fails('EXDEV', () => root.renameat('low', root, 'other'))
  await fails('EXDEV', () => root.renameat('all', root, 'other'))
  await fails('EISDIR', () => root.renameat('f', root, 'all'))
  const own = await mkdir(root, 'own')
  await fails('ENOTEMPTY', () => root.renameat('own', root, 'low'))
  await fails('EINVAL', () => root.renameat('own', own, 'self'))
  await layer.close()
})
test('names of one file in a child that is read are files of their own, before a change as after it', async () => {
  const lower = await memory({}), below = await lower.attach('')
  const a = await file(below, 'a', 'shared')
  await below.link(a, 'b')
  await using layer = await union({}, await memory({}), lower)
  const root = await layer.attach(''), [one, two] = [await root.walk('a'), await root.walk('b')]
  assert.is.not(one.qid.path, two.qid.path)
  assert.equal([(await stat(one)).nlink, (await stat(two)).nlink], [1, 1])
  const paths = (await entries(await root.open(O.RDONLY))).list.map(({ path }) => path)
  assert.equal(paths, [one.qid.path, two.qid.path])
  const { path } = one.qid
  await put(layer, 'a', text('own'))
  assert.equal([await read(one), await read(two), one.qid.path], ['own', 'shared', path])
})
test('create=2: the second child takes changes, what the first has can\'t be changed; create=0: nothing can', async () => {
  const { layer, children, root } = await three({ create: 2 })
  await put(layer, 'all/new', text('new'))
  assert.equal(await get(children[1], 'all/new'), text('new'))
  await put(layer, 'deep', text('changed'))
  assert.equal(await get(children[1], 'deep'), text('changed'))
  await fails('EROFS', () => put(layer, 'all/same', text('x')))
  const all = await root.walk('all')
  await fails('EROFS', () => all.unlinkat('same', 0))
  await fails('EROFS', () => all.renameat('only-2', all, 'same'))
  await all.unlinkat('only-3', 0)
  assert.is(await has(all, 'only-3'), false)
  await layer.close()
  const none = await three({ create: 0 })
  await fails('EROFS', () => none.root.create('x', O.RDWR, 0o644, owner))
  await fails('EROFS', () => none.root.unlinkat('f', 0))
  await fails('EROFS', async () => (await none.root.walk('f')).open(O.RDWR))
  await fails('EEXIST', () => none.root.create('f', O.RDWR, 0o644, owner))
  await none.layer.close()
  const brick = await memory({})
  await union({ create: 3 }, brick).then(() => assert.unreachable(), (e) => assert.match(e.message, /there is no child 3/))
  await brick.close()
})
test('names of whiteouts are neither seen nor made; those of images count in every child', async () => {
  const image = await memory({}), base = await memory({}), below = await base.attach('')
  for (const name of ['gone', 'kept']) await file(below, name)
  for (const name of ['opaque', 'open']) await file(await mkdir(below, name), 'below')
  const top = await image.attach('')
  await file(top, '.wh.gone')
  await file(await mkdir(top, 'opaque'), '.wh..wh..opq')
  await file(await mkdir(top, 'open'), 'own')
  await using layer = await union({}, await memory({}), image, base)
  const root = await layer.attach('')
  assert.equal(await shown(layer, true), ['kept=', 'opaque/', 'open/', 'open/below=', 'open/own='].sort())
  for (const name of ['.wh.gone', '.wh..work']) {
    await fails('ENOENT', () => root.walk(name))
    await fails('EPERM', () => root.create(name, O.RDWR, 0o644, owner))
    await fails('EPERM', () => root.renameat('kept', root, name))
  }
})
test('a listing shows each name once, in parts too, while names move up, come and go', async () => {
  const lower = await memory({}), upper = await memory({}), below = await lower.attach(''), above = await upper.attach('')
  for (let i = 0; i < 300; i++) await file(below, `lower-${i}`)
  for (let i = 0; i < 150; i++) await file(above, i % 2 ? `lower-${i}` : `upper-${i}`)
  await using layer = await union({}, upper, lower)
  const root = await layer.attach(''), stay = new Set(await ls(root)), handle = await root.open(O.RDONLY), seen: string[] = []
  assert.is(stay.size, 375)
  let after = 0n
  for (let i = 0, end = false; !end; i++) {
    const part = await entries(handle, { after, max: 7 })
    seen.push(...part.list.map(({ name }) => name))
    end = part.end
    after = part.list.at(-1)?.cookie ?? after
    const victim = `lower-${(i * 37) % 300}`, raised = `lower-${(i * 53 + 200) % 300}`
    if (i % 2 && await has(root, victim)) { await root.unlinkat(victim, 0); stay.delete(victim) }
    if (await has(root, raised)) await (await root.walk(raised)).setattr({ mode: 0o600 })
    await file(root, `new-${i}`)
  }
  assert.is(new Set(seen).size, seen.length, 'a name was listed twice')
  assert.equal([...stay].filter((name) => !seen.includes(name)), [])
})
test('a crash between the steps leaves what was in sight: a copy that was begun is thrown away', async () => {
  const lower = await memory({}), upper = await memory({}), top = await upper.attach('')
  await put(lower, 'f', text('lower'))
  const work = await mkdir(top, '.wh..work')
  await file(work, '.wh.copy-1', 'half')
  await mkdir(work, '.wh.copy-2')
  // Unlinking hides first: killed then, the file is still there. Made anew, the whiteout stays.
  await file(top, '.wh.g')
  await file(top, 'g', 'upper')
  await using layer = await union({}, upper, lower)
  assert.equal(await shown(layer), ['f=lower', 'g=upper'])
  await put(layer, 'f', text('changed'))
  assert.equal(await ls(work), [])
})
test('power lost after a copy: the old file is there, or the whole new one', async () => {
  const content = text('0123456789'.repeat(30_000))
  for (let seed = 1; seed <= 12; seed++) {
    const lower = await memory({}), brick = await memory({}), upper = await fault({ seed, 'drop-unsynced': true, 'torn-rate': 0.5 }, brick)
    await put(lower, 'f', content)
    await put(lower, 'gone', text('gone'))
    const layer = await union({}, upper, lower), root = await layer.attach(''), f = await root.walk('f')
    await (await f.open(O.RDWR)).write(text('NEW'), 5)
    await root.unlinkat('gone', 0)
    await crash(upper)
    const after = await union({}, brick, lower), got = await get(after, 'f')
    assert.is(got.length, content.length, `seed ${seed}`)
    same(got.subarray(8), content.subarray(8))
    if (await has(await after.attach(''), 'gone')) assert.equal(await get(after, 'gone'), text('gone'))
  }
})
test('many at once: each file is copied one time, and none that was removed comes back', async () => {
  const lower = await memory({}), below = await lower.attach('')
  for (let i = 0; i < 30; i++) await file(below, `f${i}`, 'x'.repeat(100_000))
  await using layer = await union({}, await memory({}), lower)
  const root = await layer.attach('')
  await Promise.all(Array.from({ length: 30 }, async (_, i) => {
    const node = await root.walk(`f${i}`)
    const done = await Promise.all([
      outcome(async () => (await node.open(O.RDWR)).write(text('A'), 0)), outcome(() => node.setattr({ mode: 0o600 })),
      outcome(() => i % 3 === 0 ? root.unlinkat(`f${i}`, 0) : i % 3 === 1 ? root.renameat(`f${i}`, root, `g${i}`) : undefined),
    ])
    assert.equal(done.map((e) => e?.code), [undefined, undefined, undefined])
    assert.is((await read(node)).slice(0, 2), 'Ax')
    assert.is((await stat(node)).nlink, i % 3 === 0 ? 0 : 1)
  }))
  assert.equal(await ls(root), Array.from({ length: 30 }, (_, i) => i).filter((i) => i % 3).map((i) => `${i % 3 === 1 ? 'g' : 'f'}${i}`).sort())
})

/** f with the node of a path, which is closed after: what is held is remembered, and what is remembered is not looked up. */
async function on<T>(at: Translator, path: string, f: (node: Node) => T | Promise<T>): Promise<T> {
  const node = await find(at, path)
  try { return await f(node) } finally { await node.close() }
}
/** Does the same on both, and what one refuses the other does. */
async function alike(seed: number, steps: number): Promise<void> {
  const below = dice(seed), pick = <T>(list: readonly T[]): T => list[below(list.length)]!
  const plain = await memory({}), lowers = [await memory({}), await memory({})], names = ['a', 'b', 'c', 'd'], dirs = ['', 'a', 'b', 'a/a', 'b/c', 'c/d/a']
  const fill = async (at: Translator, i: number) => {
    const root = await at.attach('')
    for (const name of i === 0 ? ['a', 'b'] : ['b', 'c']) {
      const dir = await outcome(() => root.walk(name)) ? await mkdir(root, name) : await root.walk(name)
      for (const inner of i === 0 ? ['a', 'c'] : ['c', 'd']) {
        const deep = await outcome(() => dir.walk(inner)) ? await mkdir(dir, inner) : await dir.walk(inner)
        for (const leaf of ['a', 'b']) if (await outcome(() => deep.walk(leaf))) await file(deep, leaf, `${name}${inner}${leaf}`)
      }
    }
    if (await outcome(() => root.walk('d'))) await file(root, 'd', 'd')
  }
  for (const [i, lower] of lowers.entries()) { await fill(lower, i); await fill(plain, i) }
  const upper = await memory({})
  await using layer = await union({}, upper, ...lowers)
  const both = [layer, plain] as const
  const story: string[] = []
  const path = () => `${pick(dirs)}/${pick(names)}`
  const split = (p: string) => [p.slice(0, p.lastIndexOf('/')), p.slice(p.lastIndexOf('/') + 1)] as const
  for (let i = 0; i < steps; i++) {
    const one = path(), two = path(), [dir, name] = split(one), [dir2, name2] = split(two), content = text(`${i}`.repeat(1 + below(3))), mode = 0o600 + below(64)
    const op = pick<readonly [string, (at: Translator) => Promise<unknown>]>([
      ['put', (at) => put(at, one, content)],
      ['append', (at) => on(at, one, async (node) => { await using h = await node.open(O.RDWR | O.APPEND); await h.write(content, 0) })],
      ['mkdir', (at) => on(at, dir, async (node) => (await node.mkdir(name, 0o755, owner)).close())],
      ['symlink', (at) => on(at, dir, async (node) => (await node.symlink(name, two, owner)).close())],
      ['unlink', (at) => on(at, dir, (node) => node.unlinkat(name, 0))],
      ['unlink', (at) => on(at, dir, (node) => node.unlinkat(name, 0))],
      ['rmdir', (at) => on(at, dir, (node) => node.unlinkat(name, AT_REMOVEDIR))],
      ['rename', (at) => on(at, dir, (from) => on(at, dir2, (to) => from.renameat(name, to, name2)))],
      ['rename', (at) => on(at, dir, (from) => on(at, dir2, (to) => from.renameat(name, to, name2)))],
      ['link', (at) => on(at, dir, (to) => on(at, two, (node) => to.link(node, name)))],
      ['chmod', (at) => on(at, one, (node) => node.setattr({ mode }))],
      ['truncate', (at) => on(at, one, (node) => node.setattr({ size: i % 5 }))],
      ['xattr', (at) => on(at, one, (node) => node.setxattr('user.x', content, 0))],
    ])
    story.push(`${op[0]} ${one} ${two}`)
    const got = await outcome(() => op[1](layer))
    if (got?.code === 'EXDEV') continue
    const want = await outcome(() => op[1](plain))
    // Where there are two reasons to refuse, either may be given.
    assert.is(got === undefined, want === undefined, `seed ${seed}, step ${i}: ${story.slice(-3).join('; ')}: ${got?.message} where it was ${want?.message}`)
    if (i % 25 === 24) assert.equal(await shown(layer), await shown(plain), `seed ${seed}, after step ${i}:\n${story.slice(-25).join('\n')}`)
  }
  const tree = async (at: Translator, dir: string): Promise<void> => {
    for (const name of await ls(await find(at, dir))) {
      const where = `${dir}/${name}`, [a, b] = await Promise.all(both.map((each) => find(each, where))) as [Node, Node], [x, y] = [await stat(a), await stat(b)]
      assert.equal([x.mode, x.uid, x.size, x.qid.type], [y.mode, y.uid, y.size, y.qid.type], where)
      if ((x.mode & S.IFMT) === S.IFDIR) await tree(at, where)
      else {
        assert.is(x.nlink, y.nlink, where)
        assert.equal(await outcome(() => a.getxattr('user.x')).then((e) => e?.code), await outcome(() => b.getxattr('user.x')).then((e) => e?.code), where)
      }
    }
  }
  await tree(plain, '')
  // What one that starts over the same children shows: nothing was but in memory.
  assert.equal(await shown(await union({}, upper, ...lowers)), await shown(plain), `seed ${seed}, started anew`)
  await plain.close()
}
for (const seed of [1, 2, 3, 4, 5, 6]) test(`does what one plain tree with the same content does, ${seed}`, () => alike(seed, 600))
test.run()
