import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { AT_REMOVEDIR, Attrs, Dt, isErrno, nameOfBytes, O, S, XATTR_CREATE, XATTR_REPLACE, type Attr } from 'ninep'
import { BadOption } from '../translators/options.ts'
import { posix } from '../translators/posix/posix.ts'
import type { Created, Node } from '../translators/translator.ts'
import { base, content, descriptors, held, isRoot, me, names, over, reach, refused, text, user } from './exported.ts'
import { skipping } from './needs.ts'

const test = suite(isRoot ? 'posix' : 'posix, as an ordinary user')
const privileged = isRoot ? test : skipping(test, 'needs root')
const owner = isRoot ? 'host' : 'none'
const bytes = (s: string) => Buffer.from(s)

async function make(dir: Node, name: string, said = '', mode = 0o644): Promise<Node> {
  const { node, handle } = await dir.create(name, O.RDWR, mode, user)
  if (said) await handle.write(bytes(said), 0)
  await handle.close()
  return node
}
async function closing(...nodes: (Node | Created)[]): Promise<void> {
  for (const n of nodes) if ('handle' in n) { await n.handle.close(); await n.node.close() } else await n.close()
}
async function mode(node: Node): Promise<string> { return ((await node.getattr(Attrs.BASIC)).mode & 0o7777).toString(8) }
async function size(node: Node): Promise<number> { return (await node.getattr(Attrs.BASIC)).size }

// Starting

test('a path that is no directory is refused with the cure', async () => {
  const said = async (options: Parameters<typeof posix>[0]) => {
    try { await (await posix(options)).close() } catch (e) {
      assert.instance(e, BadOption)
      return (e as Error).message
    }
    return ''
  }
  assert.match(await said({ path: `${base}/no/such` }), /no such directory\. Make it: mkdir -p/)
  assert.match(await said({ path: '/etc/passwd' }), /is not a directory/)
  assert.match(await said({ path: base, 'max-fds': 3 }), /at least 32/)
  assert.match(await said({ path: base, 'max-fds': 2 ** 31 }), /ulimit -Hn/)
  if (!isRoot) assert.match(await said({ path: base, owner: 'host' }), /Run the server as root, or write owner=mapped or owner=none/)
  if (fs.existsSync('/proc/version')) assert.match(await said({ path: '/proc', owner: 'mapped' }), /owner=mapped keeps owners in xattrs/)
})

if (!isRoot) test('a file that the server may not read still tells its attributes, with the ACL asked for', () => over({ owner }, async (root) => {
  const f = await make(root, 'f', 'text', 0o200)
  assert.is(((await f.getattr(Attrs.BASIC | Attrs.ACL)).mode & 0o7777).toString(8), '200')
  await using handle = await f.open(O.WRONLY)
  assert.is(await handle.write(bytes('TEXT'), 0), 4)
  await f.close()
}))

// Nodes, not paths

test('a node follows renames of its own, its parent and its grandparent', () => over({ owner }, async (root) => {
  const a = await root.mkdir('a', 0o755, user), b = await a.mkdir('b', 0o755, user), f = await make(b, 'f', 'here')
  await root.renameat('a', root, 'A')
  await a.renameat('b', root, 'B')
  await b.renameat('f', a, 'F')
  assert.is(await content(f), 'here')
  assert.is((await (await b.parent()).getattr(Attrs.BASIC)).qid.path, root.qid.path)
  const again = await reach(root, 'A', 'F')
  assert.equal(again.qid, f.qid)
  await closing(a, b, f, again)
}))

test('a file renamed on the host is the same node, and the name is another', () => over({ owner }, async (root, dir) => {
  const f = await make(root, 'f', 'one')
  fs.renameSync(`${dir}/f`, `${dir}/g`)
  fs.writeFileSync(`${dir}/f`, 'two')
  assert.is(await content(f), 'one')
  const other = await root.walk('f')
  assert.is(await content(other), 'two')
  assert.is.not(other.qid.path, f.qid.path)
  await closing(f, other)
}))

test('an unlinked file goes on, by nodes and by handles of before', () => over({ owner }, async (root) => {
  const f = await make(root, 'f', 'still here'), walked = await root.walk('f'), handle = await f.open(O.RDWR)
  await root.unlinkat('f', 0)
  await refused('ENOENT', () => root.walk('f'))
  for (const attr of [await f.getattr(Attrs.BASIC), await walked.getattr(Attrs.BASIC), await handle.getattr(Attrs.BASIC)]) assert.is(attr.nlink, 0)
  assert.is(await text(handle), 'still here')
  assert.is(await handle.write(bytes('Still'), 0), 5)
  assert.is(await content(walked), 'Still here')
  await handle.setattr({ size: 5 })
  assert.is(await size(walked), 5)
  await walked.setattr({ size: 3, mode: 0o600 })
  assert.is(await mode(f), '600')
  await handle.close()
  assert.is(await content(f), 'Sti')
  await closing(f, walked)
}))

test('a node goes on when only a handle held the file and the file is unlinked', () => over({ owner }, async (root) => {
  const { node, handle } = await root.create('f', O.RDWR, 0o644, user)
  await handle.write(bytes('x'), 0)
  await root.unlinkat('f', 0)
  await handle.close()
  assert.is(await content(node), 'x')
  await node.close()
}))

test('a file that was replaced by a rename goes on', () => over({ owner }, async (root) => {
  const old = await make(root, 'f', 'old'), fresh = await make(root, 'g', 'new')
  await root.renameat('g', root, 'f')
  assert.is(await content(old), 'old')
  assert.is(await content(fresh), 'new')
  assert.is((await old.getattr(Attrs.BASIC)).nlink, 0)
  const walked = await root.walk('f')
  assert.is(walked.qid.path, fresh.qid.path)
  await closing(old, fresh, walked)
}))

test('a rename between two names of one file changes nothing', () => over({ owner }, async (root) => {
  const f = await make(root, 'f', 'x')
  await root.link(f, 'g')
  const g = await root.walk('g')
  await root.renameat('f', root, 'g')
  await root.renameat('g', root, 'f')
  assert.equal((await names(root)).sort(), ['f', 'g'])
  assert.is((await g.getattr(Attrs.BASIC)).nlink, 2)
  assert.equal(f.qid, g.qid)
  await closing(f, g)
}))

test('the first name of a hard link goes, parked: its nodes stay', () => over({ owner, 'max-fds': 32 }, async (root, dir) => {
  for (let i = 0; i < 100; i++) fs.writeFileSync(`${dir}/n${i}`, '')
  fs.writeFileSync(`${dir}/first`, 'linked')
  fs.linkSync(`${dir}/first`, `${dir}/second`)
  const node = await root.walk('first')
  const others = []
  for (let i = 0; i < 100; i++) others.push(await root.walk(`n${i}`))
  assert.ok(descriptors(dir).length <= 32)
  assert.not(descriptors(dir).includes(`${dir}/first`), 'it should be parked')
  await root.unlinkat('first', 0)
  for (const other of others) await other.getattr(Attrs.BASIC)
  assert.is(await content(node), 'linked')
  assert.is((await node.getattr(Attrs.BASIC)).nlink, 1)
  await closing(node, ...others)
}))

test('100 000 nodes within 64 descriptors: the parent is renamed, the oldest works', () => over({ owner, 'max-fds': 64 }, async (root, dir) => {
  const many = 100_000, d = await root.mkdir('d', 0o755, user)
  for (let i = 0; i < many; i++) fs.closeSync(fs.openSync(`${dir}/d/${i}`, 'w'))
  const nodes: Node[] = []
  for (let i = 0; i < many; i++) nodes.push(await d.walk(String(i)))
  assert.ok(descriptors(dir).length <= 64, `${descriptors(dir).length} descriptors`)
  await root.renameat('d', root, 'renamed')
  for (const i of [0, 1, many >> 1, many - 1]) {
    const attr = await nodes[i]!.getattr(Attrs.BASIC)
    assert.is(attr.qid.path, BigInt(fs.statSync(`${dir}/renamed/${i}`).ino))
  }
  await nodes[0]!.setattr({ mode: 0o600 })
  assert.is(fs.statSync(`${dir}/renamed/0`).mode & 0o777, 0o600)
  const handle = await nodes[1]!.open(O.RDWR)
  await handle.write(bytes('x'), 0)
  await handle.close()
  assert.is(await size(nodes[1]!), 1)
  for (const node of nodes) await node.close()
  await d.close()
}))

test('parked files that others took away are ESTALE or ENOENT, and what took their name is not taken for them', () => over({ owner, 'max-fds': 32 }, async (root, dir) => {
  for (let i = 0; i < 200; i++) fs.writeFileSync(`${dir}/${i}`, String(i))
  const nodes: Node[] = []
  for (let i = 0; i < 200; i++) nodes.push(await root.walk(String(i)))
  for (const i of [0, 1]) assert.not(descriptors(dir).includes(`${dir}/${i}`), 'it should be parked')
  fs.unlinkSync(`${dir}/0`)
  fs.writeFileSync(`${dir}/0`, 'another')
  fs.unlinkSync(`${dir}/1`)
  for (const i of [0, 1]) {
    try {
      await nodes[i]!.getattr(Attrs.BASIC)
      assert.unreachable('it is gone')
    } catch (e) { assert.ok(isErrno(e, 'ESTALE') || isErrno(e, 'ENOENT'), String(e)) }
  }
  if (isRoot) {                                           // by its handle: no name is needed
    fs.mkdirSync(`${dir}/elsewhere`)
    fs.renameSync(`${dir}/2`, `${dir}/elsewhere/moved`)
    assert.is(await content(nodes[2]!), '2')
  }
  const anew = await root.walk('0')
  assert.is(await content(anew), 'another')
  await closing(anew, ...nodes)
}))

test('200 levels of names of 200 bytes, in a budget of 32 descriptors', () => over({ owner, 'max-fds': 32 }, async (root, dir) => {
  const name = (i: number) => String(i).padStart(200, 'd')
  let node = root
  const all: Node[] = []
  for (let i = 0; i < 200; i++) all.push(node = await node.mkdir(name(i), 0o755, user))
  const f = await make(node, 'f', 'deep')
  assert.ok(descriptors(dir).length <= 32)
  await root.renameat(name(0), root, 'top')
  assert.is(await content(f), 'deep')
  assert.is((await all[100]!.getattr(Attrs.BASIC)).nlink, 3)
  let up = all[199]!
  for (let i = 198; i >= 0; i--) {
    const above = await up.parent()
    assert.is(above.qid.path, all[i]!.qid.path)
    if (up !== all[199]) await up.close()
    up = above
  }
  await up.close()
  await closing(f, ...all)
  let bottom = root
  const down = [root]
  for (let i = 0; i < 200; i++) down.push(bottom = await bottom.walk(i ? name(i) : 'top'))
  await bottom.unlinkat('f', 0)
  for (let i = 199; i >= 0; i--) {
    await down[i + 1]!.close()
    await down[i]!.unlinkat(i ? name(i) : 'top', AT_REMOVEDIR)
  }
  assert.equal(fs.readdirSync(dir), [])
}))

test('handles end where the budget does, with EMFILE, and parked files are still found', () => over({ owner, 'max-fds': 32 }, async (root, dir) => {
  for (let i = 0; i < 64; i++) fs.writeFileSync(`${dir}/${i}`, String(i))
  const open = [], nodes = []
  for (let i = 0; i < 64; i++) nodes.push(await root.walk(String(i)))
  try { for (const node of nodes) open.push(await node.open(O.RDONLY)) } catch (e) { assert.ok(isErrno(e, 'EMFILE'), String(e)) }
  assert.ok(open.length >= 16 && open.length < 32, `${open.length} handles`)
  assert.ok(descriptors(dir).length <= 32)
  for (const node of nodes) await node.getattr(Attrs.BASIC)
  await refused('EMFILE', () => root.create('more', O.RDWR, 0o644, user))
  assert.not(fs.existsSync(`${dir}/more`))
  for (const handle of open) await handle.close()
  await closing(...nodes)
}))

test('unlinked files whose nodes are kept take half of the budget; what is beyond is ESTALE, and handles still open', () => over({ owner, 'max-fds': 32 }, async (root, dir) => {
  const nodes: Node[] = [], told: boolean[] = []
  for (let i = 0; i < 100; i++) {
    nodes.push(await make(root, 'f', String(i)))
    await root.unlinkat('f', 0)
  }
  assert.ok(descriptors(dir).length <= 32)
  for (const [i, node] of nodes.entries()) {
    try {
      assert.is(await content(node), String(i))
      told.push(true)
    } catch (e) {
      assert.ok(isErrno(e, 'ESTALE'), String(e))
      told.push(false)
    }
  }
  assert.is(told.filter(Boolean).length, 16)
  await closing(await make(root, 'g', 'new'), ...nodes)
}))

test('parent: the root is its own, and a directory moved by others is found, or is ESTALE outside', () => over({ owner }, async (root, dir) => {
  const a = await root.mkdir('a', 0o755, user), b = await a.mkdir('b', 0o755, user), c = await root.mkdir('c', 0o755, user)
  const up = await root.parent()
  assert.is(up.qid.path, root.qid.path)
  fs.renameSync(`${dir}/a/b`, `${dir}/c/b`)
  const above = await b.parent()
  assert.is(above.qid.path, c.qid.path)
  const outside = fs.mkdtempSync(`${base}/ninefold-out-`)
  fs.renameSync(`${dir}/c/b`, `${outside}/b`)
  await refused('ESTALE', () => b.parent())
  fs.rmSync(outside, { recursive: true })
  await closing(a, b, c, up, above)
}))

test('a directory that others moved below its own child is no loop', () => over({ owner }, async (root, dir) => {
  const a = await root.mkdir('a', 0o755, user), b = await a.mkdir('b', 0o755, user)
  fs.renameSync(`${dir}/a/b`, `${dir}/b`)
  fs.renameSync(`${dir}/a`, `${dir}/b/a`)
  const again = await b.walk('a')
  assert.is(again.qid.path, a.qid.path)
  await closing(again, a, b)
}))

test('expect: a name that is another file by now is ESTALE, for unlink and rename', () => over({ owner }, async (root, dir) => {
  const f = await make(root, 'f')
  fs.renameSync(`${dir}/f`, `${dir}/g`)
  fs.writeFileSync(`${dir}/f`, 'other')
  await refused('ESTALE', () => root.unlinkat('f', 0, f.qid.path))
  await refused('ESTALE', () => root.renameat('f', root, 'h', f.qid.path))
  await root.renameat('g', root, 'h', f.qid.path)
  await root.unlinkat('h', 0, f.qid.path)
  assert.equal(fs.readdirSync(dir), ['f'])
  await f.close()
}))

test('names that are paths, or ways up, reach nothing', () => over({ owner }, async (root, dir) => {
  fs.writeFileSync(`${dir}/f`, '')
  for (const name of ['', '.', '..', '../x', 'a/b', '/etc', 'f\0x']) {
    await refused('EINVAL', () => root.walk(name))
    await refused('EINVAL', () => root.create(name, O.RDWR, 0o644, user))
    await refused('EINVAL', () => root.mkdir(name, 0o755, user))
    await refused('EINVAL', () => root.unlinkat(name, 0))
    await refused('EINVAL', () => root.renameat('f', root, name))
    await refused('EINVAL', () => root.renameat(name, root, 'g'))
  }
  await refused('ENAMETOOLONG', () => root.walk('x'.repeat(256)))
  assert.equal(fs.readdirSync(dir), ['f'])
}))

test('a symbolic link is never followed, at the end or between', () => over({ owner }, async (root, dir) => {
  fs.symlinkSync('/etc', `${dir}/out`)
  const out = await root.walk('out')
  assert.is(out.qid.type, 2)
  await refused('ENOTDIR', () => out.walk('passwd'))
  await refused('ELOOP', () => out.open(O.RDONLY))
  await refused('EEXIST', () => root.create('out', O.RDWR, 0o644, user))
  await refused('EOPNOTSUPP', () => out.setattr({ mode: 0o777 }))
  await out.setattr({ mtime: { sec: 7, nsec: 8 } })
  assert.is(fs.lstatSync(`${dir}/out`).mtimeMs, 7000.000008)
  assert.is.not(fs.statSync('/etc').mtimeMs, 7000.000008)
  await out.close()
}))

// Names are bytes

test('a name that is not UTF-8 is listed, walked, renamed and removed to the byte', () => over({ owner }, async (root, dir) => {
  const raw = Buffer.from([0x66, 0xff, 0x80, 0xc3, 0x28]), name = nameOfBytes(raw, 0, raw.length)
  fs.writeFileSync(Buffer.concat([bytes(`${dir}/`), raw]), 'bytes')
  const handle = await root.open(O.RDONLY)
  let listed: Uint8Array | undefined
  await handle.readdir(0n, { add(_p, _t, _c, n) { listed = Uint8Array.from(n as Uint8Array); return true } }, 0)
  assert.equal(Buffer.from(listed!), raw)
  await handle.close()
  const node = await root.walk(name)
  assert.is(await content(node), 'bytes')
  await root.renameat(name, root, `${name}é\u{1f600}`)
  const there = fs.readdirSync(dir, { encoding: 'buffer' } as never) as unknown as Buffer[]
  assert.equal(there, [Buffer.concat([raw, bytes('é\u{1f600}')])])
  await root.unlinkat(`${name}é\u{1f600}`, 0)
  const link = await root.symlink('l', name, user)
  assert.is(await link.readlink(), name)
  await closing(node, link)
}))

// Attributes

test('getattr says what stat says', () => over({ owner }, async (root, dir) => {
  const f = await make(root, 'f', 'x'.repeat(5000), 0o640)
  const attr = await f.getattr(Attrs.ALL), stat = fs.statSync(`${dir}/f`, { bigint: true })
  assert.is(attr.valid & Attrs.BASIC, Attrs.BASIC)
  assert.equal([attr.mode, attr.uid, attr.gid, attr.nlink, attr.size, attr.blocks, attr.blksize, attr.qid.path],
    [Number(stat.mode), Number(stat.uid), Number(stat.gid), 1, 5000, Number(stat.blocks), Number(stat.blksize), stat.ino])
  for (const [time, ns] of [[attr.atime, stat.atimeNs], [attr.mtime, stat.mtimeNs], [attr.ctime, stat.ctimeNs], [attr.btime, stat.birthtimeNs]] as const) {
    assert.is(BigInt(time.sec) * 10n ** 9n + BigInt(time.nsec), ns)
  }
  const { type, bsize, blocks, namelen } = await f.statfs(), statfs = fs.statfsSync(dir)
  assert.equal([type, bsize, blocks, namelen], [statfs.type, statfs.bsize, statfs.blocks, 255])
  await f.close()
}))

test('times to the nanosecond, before 1970 too, and now', () => over({ owner }, async (root) => {
  const f = await make(root, 'f'), before = Math.floor(Date.now() / 1000) - 1
  await f.setattr({ atime: { sec: -2, nsec: 999_999_999 }, mtime: { sec: 4_000_000_000, nsec: 1 } })
  let attr = await f.getattr(Attrs.BASIC)
  assert.equal([attr.atime, attr.mtime], [{ sec: -2, nsec: 999_999_999 }, { sec: 4_000_000_000, nsec: 1 }])
  await f.setattr({ mtime: 'now' })
  attr = await f.getattr(Attrs.BASIC)
  assert.equal(attr.atime, { sec: -2, nsec: 999_999_999 })
  assert.ok(attr.mtime.sec >= before)
  await f.close()
}))

test('ctime alone is touched, and nothing else: set-user-id bits stay', () => over({ owner }, async (root) => {
  const f = await make(root, 'f', '', 0o6755), before = await f.getattr(Attrs.BASIC)
  await new Promise((resolve) => { setTimeout(resolve, 12) })
  await f.setattr({ ctime: 'now' })
  const after = await f.getattr(Attrs.BASIC)
  assert.is(after.mode & 0o7777, 0o6755)
  assert.equal(after.mtime, before.mtime)
  assert.is.not(`${after.ctime.sec}.${after.ctime.nsec}`, `${before.ctime.sec}.${before.ctime.nsec}`)
  await f.close()
}))

test('size and mode are refused before anything is changed', () => over({ owner }, async (root) => {
  const d = await root.mkdir('d', 0o755, user), link = await root.symlink('l', 'd', user), f = await make(root, 'f', 'abc')
  await refused('EISDIR', () => d.setattr({ mode: 0o700, size: 0 }))
  assert.is(await mode(d), '755')
  await refused('EOPNOTSUPP', () => link.setattr({ mode: 0o700, mtime: { sec: 1, nsec: 1 } }))
  assert.is.not((await link.getattr(Attrs.BASIC)).mtime.sec, 1)
  await refused('EFBIG', () => f.setattr({ size: 2 ** 63, mode: 0o600 }))
  await refused('EINVAL', () => f.setattr({ size: -1, mode: 0o600 }))
  assert.is(await mode(f), '644')
  const reader = await f.open(O.RDONLY)
  await refused('EINVAL', () => reader.setattr({ size: 0 }))
  assert.is(await size(f), 3)
  await closing(reader as never, d, link, f)
}))

test('mode is exact, whatever the umask', () => over({ owner }, async (root) => {
  const umask = process.umask(0o077)
  try {
    const f = await make(root, 'f', '', 0o6777), d = await root.mkdir('d', 0o3777, user), p = await root.mknod('p', S.IFIFO | 0o666, 0n, user)
    assert.equal([await mode(f), await mode(d), await mode(p)], ['6777', '3777', '666'])
    await closing(f, d, p)
  } finally { process.umask(umask) }
}))

test('qid.version moves with each write, also within one tick of the clock, and never is 0', () => over({ owner }, async (root) => {
  const { node, handle } = await root.create('f', O.RDWR, 0o644, user), seen = new Set<number>()
  for (let i = 0; i < 200; i++) {
    await handle.write(bytes('same'), 0)
    const { qid, dataVersion } = await node.getattr(Attrs.ALL)
    assert.is.not(qid.version, 0)
    assert.equal(qid, node.qid)
    assert.is(dataVersion, BigInt(qid.version))
    seen.add(qid.version)
  }
  assert.is(seen.size, 200)
  const before = node.qid.version
  await node.setattr({ size: 1 })
  assert.is.not((await node.getattr(0)).qid.version, before)
  assert.is((await node.getattr(0)).qid.version, node.qid.version)
  await closing({ node, handle })
}))

test('two files that have one number after the other differ in gen', () => over({ owner }, async (root) => {
  const seen = new Map<bigint, Set<bigint>>()
  for (let i = 0; i < 50; i++) {
    const f = await make(root, 'f')
    const { qid, gen, valid } = await f.getattr(Attrs.ALL)
    assert.ok(valid & Attrs.GEN && gen > 0n)
    assert.is((await f.getattr(Attrs.GEN)).gen, gen)
    const gens = seen.get(qid.path) ?? new Set()
    assert.not(gens.has(gen), 'a number came again with the same generation')
    seen.set(qid.path, gens.add(gen))
    await root.unlinkat('f', 0)
    await f.close()
  }
}, '/var/tmp'))

// Reading and writing

test('a large file is freed in the thread pool, and is gone when that is said', () => over({ owner }, async (root, dir) => {
  const large = 32 * 2 ** 20
  for (const lose of [
    async (f: Created) => { await f.handle.close(); await f.node.close(); return root.unlinkat('f', 0) },
    async (f: Created) => { await f.handle.close(); await root.unlinkat('f', 0); return { last: f.node.close() } },
    async (f: Created) => { await f.node.close(); await root.unlinkat('f', 0); return { last: f.handle.close() } },
    async (f: Created) => {
      await f.handle.close()
      await f.node.close()
      await closing(await make(root, 'g'))
      return { last: root.renameat('g', root, 'f') }
    },
  ]) {
    const made = await root.create('f', O.RDWR, 0o644, user)
    for (let at = 0; at < large; at += 2 ** 20) await made.handle.write(new Uint8Array(2 ** 20).fill(1), at)
    const lost = await lose(made)
    if (lost) {
      assert.instance(lost.last, Promise)
      await lost.last
    }
    assert.equal(descriptors(dir).filter((file) => file.endsWith('(deleted)')), [])
  }
}))

test('append goes to the end, offset or not, from two handles in turn', () => over({ owner }, async (root) => {
  const f = await make(root, 'f', 'start;'), one = await f.open(O.WRONLY | O.APPEND), two = await f.open(O.WRONLY | O.APPEND)
  await one.write(bytes('a;'), 0)
  await two.write(bytes('b;'), 1)
  await one.write(bytes('c;'), 99)
  assert.is(await content(f), 'start;a;b;c;')
  await closing(one as never, two as never, f)
}))

test('offsets beyond what a file can have: EFBIG to write, nothing to read', () => over({ owner }, async (root) => {
  const { node, handle } = await root.create('f', O.RDWR, 0o644, user)
  await refused('EFBIG', () => handle.write(bytes('x'), 2 ** 63))
  await refused('EFBIG', () => handle.write(bytes('x'), Number.MAX_SAFE_INTEGER))
  assert.is((await handle.read(new Uint8Array(4), 2 ** 63)).length, 0)
  assert.is((await handle.read(new Uint8Array(4), 2 ** 52)).length, 0)
  await closing({ node, handle })
}))

test('a handle does what it was opened for', () => over({ owner }, async (root) => {
  const f = await make(root, 'f', 'abc'), reader = await f.open(O.RDONLY), writer = await f.open(O.WRONLY)
  await refused('EBADF', () => reader.write(bytes('x'), 0))
  await refused('EBADF', () => writer.read(new Uint8Array(1), 0))
  await refused('ENOTDIR', () => reader.readdir(0n, { add: () => true }, 0))
  await refused('ENOTDIR', () => f.open(O.DIRECTORY))
  await refused('EISDIR', () => root.open(O.RDWR))
  await refused('EISDIR', () => root.open(O.RDONLY | O.TRUNC))
  const emptied = await f.open(O.RDWR | O.TRUNC)
  assert.is(await size(f), 0)
  await closing(reader as never, writer as never, emptied as never, f)
}))

test('fsync of files and directories; sync of all', () => over({ owner }, async (root, _dir, brick) => {
  const { node, handle } = await root.create('f', O.RDWR | O.DSYNC, 0o644, user), listing = await root.open(O.RDONLY)
  await handle.write(bytes('x'), 0)
  await handle.fsync(false)
  await handle.fsync(true)
  await listing.fsync(false)
  await brick.sync()
  const late = handle.fsync(false)
  await closing({ node, handle }, listing as never)       // closed under way: it still ends well
  await late
}))

test('large reads and writes, cold and hot, give the same bytes', () => over({ owner }, async (root, dir) => {
  const all = Buffer.alloc(5 * 2 ** 20)
  for (let i = 0; i < all.length; i += 4) all.writeUInt32LE(i, i)
  const { node, handle } = await root.create('f', O.RDWR, 0o644, user)
  for (let at = 0; at < all.length;) at += await handle.write(all.subarray(at), at)
  await handle.fsync(false)
  spawnSync('dd', [`if=${dir}/f`, 'iflag=nocache', 'count=0'])   // out of the page cache
  const whole = await handle.read(new Uint8Array(all.length + 100), 0)
  assert.ok(all.equals(whole))
  for (const [offset, length] of [[1, 4096], [all.length - 3, 100], [2 ** 20 + 7, 2 ** 20], [all.length, 5]] as const) {
    assert.ok(all.subarray(offset, offset + length).equals(await handle.read(new Uint8Array(length), offset)))
  }
  assert.ok(all.equals(fs.readFileSync(`${dir}/f`)))
  await closing({ node, handle })
}, '/var/tmp'))

test('a FIFO blocks nothing', () => over({ owner }, async (root, dir) => {
  const p = await root.mknod('p', S.IFIFO | 0o644, 0n, user), began = Date.now()
  const reader = await p.open(O.RDONLY)
  assert.is((await reader.read(new Uint8Array(10), 0)).length, 0)
  const writer = await p.open(O.WRONLY)
  await refused('EAGAIN', () => reader.read(new Uint8Array(10), 0))
  await writer.write(bytes('through'), 0)
  assert.is(await text(reader), 'through')
  await reader.close()
  await writer.close()
  await refused('ENXIO', () => p.open(O.WRONLY))
  assert.ok(Date.now() - began < 1000)
  assert.ok(fs.lstatSync(`${dir}/p`).isFIFO())
  const s = await root.mknod('s', S.IFSOCK | 0o600, 0n, user)
  await refused('ENXIO', () => s.open(O.RDWR))
  await closing(p, s)
}))

// Making

test('mknod: regular files, FIFOs, sockets; devices are refused, as is what is none', () => over({ owner }, async (root) => {
  const f = await root.mknod('f', S.IFREG | 0o604, 0n, user)
  assert.is((await f.getattr(Attrs.BASIC)).mode, S.IFREG | 0o604)
  await refused('EPERM', () => root.mknod('d', S.IFCHR | 0o600, 0x103n, user))
  await refused('EPERM', () => root.mknod('d', S.IFBLK | 0o600, 0x103n, user))
  await refused('EINVAL', () => root.mknod('d', S.IFDIR | 0o700, 0n, user))
  await refused('EEXIST', () => root.mknod('f', S.IFREG | 0o600, 0n, user))
  await f.close()
}))

privileged('devices=on makes and opens them, devices=off opens none', async () => {
  await over({ owner, devices: true }, async (root) => {
    const zero = await root.mknod('zero', S.IFCHR | 0o666, 0x105n, user)
    const attr = await zero.getattr(Attrs.BASIC)
    assert.equal([attr.mode, attr.rdev, attr.uid], [S.IFCHR | 0o666, 0x105n, user.uid])
    const handle = await zero.open(O.RDWR)
    assert.equal(await handle.read(new Uint8Array(4).fill(9), 0), new Uint8Array(4))
    await handle.close()
    await zero.close()
    const big = await root.mknod('big', S.IFBLK | 0o600, BigInt((0x12345 & 0xff) | 0xabc << 8 | (0x12345 & 0xfff00) << 12 >>> 0), user)
    assert.is((await big.getattr(Attrs.BASIC)).rdev, BigInt(((0x45) | 0xabc << 8 | (0x12300) << 12) >>> 0))
    await big.close()
  })
  await over({ owner }, async (root, dir) => {
    spawnSync('mknod', [`${dir}/zero`, 'c', '1', '5'])
    const zero = await root.walk('zero')
    await refused('EPERM', () => zero.open(O.RDONLY))
    await zero.close()
  })
})

privileged('owner=host: owners are the host\'s, with set-id bits', () => over({ owner: 'host' }, async (root, dir) => {
  const f = await make(root, 'f', 'x', 0o4755)
  const there = fs.statSync(`${dir}/f`)
  assert.equal([there.uid, there.gid, there.mode], [user.uid, user.gid, S.IFREG | 0o4755])
  await f.setattr({ uid: 2000, mode: 0o6711 })            // chown clears the bits, the mode comes after
  assert.equal([fs.statSync(`${dir}/f`).uid, fs.statSync(`${dir}/f`).mode], [2000, S.IFREG | 0o6711])
  await f.setattr({ gid: 2001 })
  const link = await root.symlink('l', 'f', user)
  await link.setattr({ uid: 5 })
  assert.equal([fs.lstatSync(`${dir}/l`).uid, fs.lstatSync(`${dir}/l`).gid, fs.statSync(`${dir}/f`).gid], [5, user.gid, 2001])
  fs.chmodSync(dir, 0o2777)
  const exact = await root.mkdir('d', 0o755, user)
  assert.equal([await mode(exact), (await exact.getattr(Attrs.BASIC)).gid], ['755', user.gid])
  await closing(f, link, exact)
}))

test('owner=none: files are the server\'s, and chown to anyone else is EPERM', () => over({ owner: 'none' }, async (root) => {
  const { node, handle } = await root.create('f', O.RDWR, 0o600, { uid: 77, gid: 78 })
  const attr = await node.getattr(Attrs.BASIC)
  assert.equal([attr.uid, attr.gid], [me.uid, attr.gid])
  await refused('EPERM', () => node.setattr({ uid: 77, mode: 0o644 }))
  assert.is(await mode(node), '600')
  await node.setattr({ uid: attr.uid, gid: attr.gid, mode: 0o644 })
  assert.is(await mode(node), '644')
  await closing({ node, handle })
}))

test('owner=mapped: QEMU\'s attributes, to the byte', () => over({ owner: 'mapped', devices: true }, async (root, dir) => {
  const f = await make(root, 'f', 'x'), d = await root.mkdir('d', 0o2750, { uid: 70000, gid: 3 })
  const link = await root.symlink('l', 'tärget', { uid: 5, gid: 6 }), dev = await root.mknod('c', S.IFCHR | 0o620, 0x1234n, user)
  await f.setattr({ uid: 123456, mode: 0o4711 })
  assert.equal(attrs(`${dir}/f`), { 'user.virtfs.gid': hex(4, user.gid), 'user.virtfs.mode': hex(4, S.IFREG | 0o4711), 'user.virtfs.uid': hex(4, 123456) })
  assert.equal(attrs(`${dir}/c`)['user.virtfs.rdev'], hex(8, 0x1234))
  assert.equal(attrs(`${dir}/c`)['user.virtfs.mode'], hex(4, S.IFCHR | 0o620))
  assert.is(fs.readFileSync(`${dir}/l`, 'utf8'), 'tärget')
  for (const [name, bits] of [['f', 0o100600], ['l', 0o100600], ['c', 0o100600], ['d', 0o40700]] as const) assert.is(fs.lstatSync(`${dir}/${name}`).mode, bits, name)

  const said = async (name: string) => {
    const node = await root.walk(name), a = await node.getattr(Attrs.BASIC)
    await node.close()
    return [a.mode, a.uid, a.gid, a.rdev, node.qid.type]
  }
  assert.equal(await said('f'), [S.IFREG | 0o4711, 123456, user.gid, 0n, 0])
  assert.equal(await said('d'), [S.IFDIR | 0o2750, 70000, 3, 0n, 0x80])
  assert.equal(await said('l'), [S.IFLNK | 0o777, 5, 6, 0n, 2])
  assert.equal(await said('c'), [S.IFCHR | 0o620, user.uid, user.gid, 0x1234n, 0])
  assert.is(await link.readlink(), 'tärget')
  assert.is((await link.getattr(Attrs.BASIC)).size, 7)
  await refused('ELOOP', () => link.open(O.RDONLY))
  await refused('ENXIO', () => dev.open(O.RDONLY))
  await refused('EPERM', () => link.setxattr('user.x', bytes('1'), 0))
  const types = new Map<string, number>(), handle = await root.open(O.RDONLY)
  await handle.readdir(0n, { add(_p, type, _c, name) { types.set(typeof name === 'string' ? name : Buffer.from(name).toString(), type); return true } }, 0)
  assert.equal([...types].sort(), [['c', Dt.CHR], ['d', Dt.DIR], ['f', Dt.REG], ['l', Dt.LNK]])
  assert.equal(await f.listxattr(), [])
  await refused('ENODATA', () => f.getxattr('user.virtfs.uid'))
  await refused('EPERM', () => f.setxattr('user.virtfs.uid', bytes('    '), 0))
  await refused('ENODATA', () => f.removexattr('user.virtfs.mode'))

  spawnSync('setfattr', ['-n', 'user.virtfs.mode', '-v', '0xed410000', `${dir}/f`])   // S_IFDIR, on a file
  const liar = await root.walk('f')
  assert.is((await liar.getattr(Attrs.BASIC)).mode & S.IFMT, S.IFREG)
  await closing(f, d, link, dev, handle as never, liar)
}))
function attrs(file: string): Record<string, string> {
  const { stdout } = spawnSync('getfattr', ['-d', '-m', '-', '-e', 'hex', '--absolute-names', '-h', file], { encoding: 'utf8' })
  return Object.fromEntries(stdout.split('\n').filter((line) => line.includes('=')).map((line) => line.split('=') as [string, string]).sort())
}
function hex(length: number, value: number): string {
  const b = Buffer.alloc(length)
  b.writeUInt32LE(value)
  return `0x${b.toString('hex')}`
}

// Extended attributes

test('xattrs of user.*: flags, lists, parked and unlinked files, 64 KiB', () => over({ owner, 'max-fds': 32 }, async (root, dir) => {
  const f = await make(root, 'f')
  for (let i = 0; i < 40; i++) fs.writeFileSync(`${dir}/n${i}`, '')
  for (let i = 0; i < 40; i++) await closing(await root.walk(`n${i}`))
  await f.setxattr('user.a', bytes('1'), XATTR_CREATE)
  await refused('EEXIST', () => f.setxattr('user.a', bytes('2'), XATTR_CREATE))
  await refused('ENODATA', () => f.setxattr('user.b', bytes('2'), XATTR_REPLACE))
  await f.setxattr('user.empty', new Uint8Array(), 0)
  await root.unlinkat('f', 0)
  assert.equal((await f.listxattr()).sort(), ['user.a', 'user.empty'])
  assert.is((await f.getxattr('user.empty')).length, 0)
  await f.removexattr('user.a')
  await refused('ENODATA', () => f.getxattr('user.a'))
  await f.close()
}))

test('trusted.* and security.* are the host\'s only with host-caps', async () => {
  await over({ owner }, async (root) => {
    const f = await make(root, 'f')
    await refused('EOPNOTSUPP', () => f.getxattr('security.capability'))
    await refused('EPERM', () => f.setxattr('trusted.x', bytes('1'), 0))
    await refused('EPERM', () => f.removexattr('security.x'))
    await refused('EOPNOTSUPP', () => f.setxattr('system.other', bytes('1'), 0))
    await refused('EOPNOTSUPP', () => f.getxattr('nonsense'))
    await f.close()
  })
  if (isRoot) await over({ owner, 'host-caps': true }, async (root, dir) => {
    const f = await make(root, 'f')
    await f.setxattr('trusted.x', bytes('1'), 0)
    assert.equal(await f.listxattr(), ['trusted.x'])
    assert.equal(attrs(`${dir}/f`), { 'trusted.x': '0x31' })
    await f.close()
  })
})

const acl = (...entries: [number, number, number][]) => {
  const b = Buffer.alloc(4 + 8 * entries.length)
  b.writeUInt32LE(2)
  entries.forEach(([tag, perm, id], i) => { b.writeUInt16LE(tag, 4 + 8 * i); b.writeUInt16LE(perm, 6 + 8 * i); b.writeUInt32LE(id >>> 0, 8 + 8 * i) })
  return b
}
const shared = acl([1, 7, -1], [2, 6, 1234], [4, 4, -1], [0x10, 6, -1], [0x20, 0, -1])

for (const kind of isRoot ? ['host', 'mapped', 'none'] as const : ['mapped', 'none'] as const) {
  test(`ACLs with owner=${kind}: kept, shown in getattr, moved by chmod, inherited`, () => over({ owner: kind }, async (root, dir) => {
    const f = await make(root, 'f', '', 0o640)
    const seen = async (node: Node): Promise<Attr> => node.getattr(Attrs.BASIC | Attrs.ACL)
    assert.is((await seen(f)).acl, undefined)
    await f.setxattr('system.posix_acl_access', shared, 0)
    assert.equal(Buffer.from((await seen(f)).acl!), shared)
    assert.is(await mode(f), '760')
    await f.setattr({ mode: 0o740 })
    assert.equal(Buffer.from(await f.getxattr('system.posix_acl_access')), acl([1, 7, -1], [2, 6, 1234], [4, 4, -1], [0x10, 4, -1], [0x20, 0, -1]))
    assert.equal(Buffer.from((await seen(f)).acl!).readUInt16LE(4 + 3 * 8 + 2), 4)
    assert.equal(await f.listxattr(), ['system.posix_acl_access'])
    await root.setxattr('system.posix_acl_default', shared, 0)
    const inherits = await make(root, 'g', '', 0o666), d = await root.mkdir('d', 0o777, user)
    assert.equal(Buffer.from((await seen(inherits)).acl!), acl([1, 6, -1], [2, 6, 1234], [4, 4, -1], [0x10, 6, -1], [0x20, 0, -1]))
    assert.is(await mode(inherits), '660')
    assert.equal(Buffer.from(await d.getxattr('system.posix_acl_default')), shared)
    await f.removexattr('system.posix_acl_access')
    assert.is((await seen(f)).acl, undefined)
    if (kind !== 'host') assert.ok(!('system.posix_acl_access' in attrs(`${dir}/g`)), 'the host must not go by it')
    await closing(f, inherits, d)
  }))
}

// Directories

test('readdir: each entry once, from any cookie, with types and attributes', () => over({ owner }, async (root, dir) => {
  for (let i = 0; i < 1000; i++) fs.writeFileSync(`${dir}/entry-${String(i).padStart(4, '0')}`, 'x'.repeat(i % 7))
  fs.mkdirSync(`${dir}/sub`)
  const handle = await root.open(O.RDONLY), all: { name: string; cookie: bigint; path: bigint; type: number }[] = []
  let room = 0
  const sink = { add(path: bigint, type: number, cookie: bigint, name: string | Uint8Array) {
    if (room-- === 0) return false
    all.push({ path, type, cookie, name: Buffer.from(name as Uint8Array).toString() })
    return true
  } }
  for (let cookie = 0n, step = 1; ; step = step % 97 + 1) {
    room = step
    const done = await handle.readdir(cookie, sink, 0)
    if (done) break
    cookie = all.at(-1)!.cookie
  }
  assert.is(all.length, 1001)
  assert.is(new Set(all.map(({ name }) => name)).size, 1001)
  for (const { cookie, path, name, type } of all) {
    assert.ok(cookie > 0n && cookie < 2n ** 63n)
    assert.is(path, BigInt(fs.statSync(`${dir}/${name}`).ino))
    assert.is(type, name === 'sub' ? Dt.DIR : Dt.REG)
  }
  for (const at of [0, 500, 999]) {
    const rest: string[] = []
    await handle.readdir(all[at]!.cookie, { add(_p, _t, _c, name) { rest.push(Buffer.from(name as Uint8Array).toString()); return true } }, 0)
    assert.equal(rest, all.slice(at + 1).map(({ name }) => name))
  }
  const sizes = new Map<string, number>()
  await handle.readdir(0n, { add(_p, _t, _c, name, attr) { sizes.set(name as string, attr!.size); return true } }, Attrs.BASIC)
  assert.is(sizes.get('entry-0005'), 5)
  fs.writeFileSync(`${dir}/later`, '')
  const afresh = await names(root)
  assert.ok(afresh.includes('later'))
  await handle.close()
}))

test('readdir of a removed directory ends', () => over({ owner }, async (root) => {
  const d = await root.mkdir('d', 0o755, user), handle = await d.open(O.RDONLY)
  await root.unlinkat('d', AT_REMOVEDIR)
  assert.is(await handle.readdir(0n, { add: () => assert.unreachable() as never }, 0), true)
  await refused('ENOENT', () => d.mkdir('x', 0o755, user))
  await handle.close()
  await d.close()
}))

test('errors of rename, link and unlink are the kernel\'s', () => over({ owner }, async (root) => {
  const d = await root.mkdir('d', 0o755, user), e = await d.mkdir('e', 0o755, user), f = await make(root, 'f')
  await refused('EINVAL', () => root.renameat('d', e, 'x'))
  await refused('EISDIR', () => root.renameat('f', root, 'd'))
  await refused('ENOTDIR', () => root.renameat('d', root, 'f'))
  await refused('ENOENT', () => root.renameat('no', root, 'x'))
  await refused('ENOTEMPTY', () => root.unlinkat('d', AT_REMOVEDIR))
  await refused('EISDIR', () => root.unlinkat('d', 0))
  await refused('ENOTDIR', () => root.unlinkat('f', AT_REMOVEDIR))
  await refused('EINVAL', () => root.unlinkat('f', 1))
  await refused('EPERM', () => root.link(d, 'l'))
  await refused('EEXIST', () => root.link(f, 'd'))
  await refused('ENOTDIR', () => f.walk('x'))
  await refused('EINVAL', () => f.readlink())
  await closing(d, e, f)
}))

test('another brick\'s nodes are EXDEV, also of the same directory', () => over({ owner }, async (root, dir) => {
  const brick = await posix({ path: dir, owner }), other = await brick.attach(''), f = await make(root, 'f')
  assert.is(other.volume, root.volume)
  assert.is(other.qid.path, root.qid.path)
  await refused('EXDEV', () => other.link(f, 'g'))
  await refused('EXDEV', () => root.renameat('f', other, 'g'))
  await closing(f, other)
  await brick.close()
}))

privileged('a mount point below is another volume, and EXDEV', () => over({ owner }, async (root, dir) => {
  fs.mkdirSync(`${dir}/m`)
  if (spawnSync('mount', ['-t', 'tmpfs', 'none', `${dir}/m`]).status !== 0) return
  try {
    const m = await root.walk('m'), f = await make(m, 'f', 'over there'), g = await make(root, 'g')
    assert.is.not(m.volume, root.volume)
    assert.is.not(m.volume.label, root.volume.label)
    assert.is((await m.statfs()).type, 0x01021994)
    await refused('EXDEV', () => m.renameat('f', root, 'h'))
    await refused('EXDEV', () => root.link(f, 'h'))
    await refused('EBUSY', () => root.unlinkat('m', AT_REMOVEDIR))
    const up = await m.parent()
    assert.is(up.qid.path, root.qid.path)
    await closing(m, f, g, up)
  } finally { spawnSync('umount', ['-l', `${dir}/m`]) }
}))

test('nothing is left open: 1000 rounds of all of it', () => over({ owner }, async (root, dir) => {
  const round = async (i: number) => {
    const d = await root.mkdir('d', 0o755, user), made = await d.create('f', O.RDWR, 0o644, user)
    const walked = await d.walk('f'), handle = await walked.open(O.RDWR), listing = await d.open(O.RDONLY)
    await refused('EEXIST', () => d.create('f', O.RDWR, 0o644, user))
    await refused('ENOENT', () => d.walk('none'))
    await listing.readdir(0n, { add: () => true }, Attrs.BASIC)
    const link = await d.symlink('l', 'x', user), up = await d.parent()
    await d.renameat('f', root, 'g')
    await d.unlinkat('l', 0)
    await root.unlinkat('g', 0)
    await root.unlinkat('d', AT_REMOVEDIR)
    const order = [made.node, made.handle, walked, handle, listing, link, up, d]
    for (let k = 0; k < order.length; k++) await order[(k + i) % order.length]!.close()
  }
  for (let i = 0; i < 8; i++) await round(i)
  const before = held()
  for (let i = 0; i < 1000; i++) await round(i)
  assert.is(held(), before)
  assert.equal(descriptors(dir).filter((file) => file !== dir), [])
}))

if (isRoot) test('the same as an ordinary user', () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--enable-source-maps', process.argv[1]!], { uid: 65534, gid: 65534, encoding: 'utf8', timeout: 120_000, env: { PATH: process.env.PATH } })
  assert.is(status, 0, stdout + stderr)
  assert.match(stdout, /posix, as an ordinary user/)
})

test.run()
