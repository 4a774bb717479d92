import { randomBytes } from 'node:crypto'
import { AT_REMOVEDIR, Attrs, isErrno, O, S } from 'ninep'
import type { Code } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { blobsOf } from '../translators/blobs.ts'
import { Chance } from '../translators/fault/chance.ts'
import { crash, fault } from '../translators/fault/fault.ts'
import { memory } from '../translators/memory/memory.ts'
import { BadOption, describe, reconfigure } from '../translators/options.ts'
import type { Awaitable, Node, Translator } from '../translators/translator.ts'

const root = { uid: 0, gid: 0 }
const test = suite('fault')

async function codeOf(f: () => Awaitable<unknown>): Promise<Code | 'ok'> {
  try { await f(); return 'ok' } catch (e) { if (isErrno(e)) return e.code; throw e }
}
async function fails(code: Code, f: () => Awaitable<unknown>): Promise<void> { assert.is(await codeOf(f), code) }
/** f of the node at a path of names with slashes; '' is the root. */
async function at<T>(t: Translator, path: string, f: (node: Node) => Awaitable<T>): Promise<T> {
  let node = await t.attach('')
  try {
    for (const name of path.split('/').filter((name) => name !== '')) {
      const next = await node.walk(name)
      await node.close()
      node = next
    }
    return await f(node)
  } finally { await node.close() }
}
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString()
const split = (path: string): [dir: string, name: string] => [path.slice(0, path.lastIndexOf('/')), path.slice(path.lastIndexOf('/') + 1)]
async function make(t: Translator, path: string): Promise<void> {
  const [dir, name] = split(path)
  await at(t, dir, async (node) => {
    const made = await node.create(name, O.RDWR, 0o644, root)
    await made.handle.close()
    await made.node.close()
  })
}
async function mkdir(t: Translator, path: string): Promise<void> {
  const [dir, name] = split(path)
  await at(t, dir, async (node) => (await node.mkdir(name, 0o755, root)).close())
}
async function write(t: Translator, path: string, bytes: string | Uint8Array, offset = 0): Promise<void> {
  await at(t, path, async (node) => {
    await using handle = await node.open(O.RDWR)
    await handle.write(Buffer.from(bytes), offset)
  })
}
async function read(t: Translator, path: string): Promise<Buffer> {
  return at(t, path, async (node) => {
    await using handle = await node.open(O.RDONLY)
    const { size } = await handle.getattr(Attrs.SIZE)
    return Buffer.from(await handle.read(new Uint8Array(size), 0))
  })
}
async function fsync(t: Translator, path: string, dataOnly = false): Promise<void> {
  await at(t, path, async (node) => {
    await using handle = await node.open(O.RDONLY)
    await handle.fsync(dataOnly)
  })
}
async function ls(t: Translator, path: string): Promise<string[]> {
  return at(t, path, async (node) => {
    await using handle = await node.open(O.RDONLY)
    const names: string[] = []
    await handle.readdir(0n, { add: (_path, _type, _cookie, name) => names.push(String(name)) > 0 }, 0)
    return names.sort()
  })
}

test('as it stands it changes nothing', async () => {
  await using t = await fault({}, await memory({}))
  await make(t, '/f')
  await write(t, '/f', 'all of it')
  assert.is(String(await read(t, '/f')), 'all of it')
  assert.equal(await ls(t, ''), ['f'])
})

test('errors come at their rate, to the calls named alone, and again the same by the same seed', async () => {
  const run = async (seed: number) => {
    await using t = await fault({ seed, ops: 'getattr,mkdir', error: 'EDQUOT', 'error-rate': 0.2 }, await memory({}))
    return at(t, '', async (dir) => {
      const codes: string[] = []
      for (let i = 0; i < 500; i++) {
        codes.push(await codeOf(() => dir.getattr(Attrs.ALL)))
        await dir.statfs()                                // spared, and drawing nothing
      }
      return codes
    })
  }
  const [a, b, c] = [await run(1), await run(1), await run(2)]
  assert.equal(a, b)
  assert.not.equal(a, c)
  const failed = a.filter((code) => code === 'EDQUOT').length
  assert.ok(failed > 60 && failed < 140, `${failed} of 500`)
  assert.is(failed, 500 - a.filter((code) => code === 'ok').length)
})

test('draws of one name do not depend on those of others', () => {
  const one = new Chance(5), other = new Chance(5)
  const draws = Array.from({ length: 50 }, () => one.draw('write'))
  assert.equal(Array.from({ length: 50 }, () => { other.draw('read'); return other.draw('write') }), draws)
  assert.ok(draws.every((d) => d >= 0 && d < 1))
  assert.is(new Set(draws).size, 50)
})

test('options that mean nothing are refused with what was meant', async () => {
  const refusal = async (options: Record<string, unknown>) => {
    try { await fault.start(options, [await memory({})], { name: 'f', log: { debug() {}, info() {}, warn() {}, error() {} } }) } catch (e) { if (e instanceof BadOption) return e.message; throw e }
    return ''
  }
  assert.match(await refusal({ ops: 'read,getatr' }), /"getatr" is no call. Did you mean "getattr"\?/)
  assert.match(await refusal({ error: 'ENSPC' }), /Did you mean "ENOSPC"\?/)
  assert.match(await refusal({ 'error-rate': '120%' }), /not a rate/)
})

test('a delay holds what it befalls, and ends when the call is aborted', async () => {
  await using t = await fault({ delay: 0.05, ops: 'read' }, await memory({}))
  await make(t, '/f')
  await write(t, '/f', 'late')
  const start = performance.now()
  await read(t, '/f')
  assert.ok(performance.now() - start > 45)
  await reconfigure(t, { delay: '60s' })
  await at(t, '/f', async (node) => {
    await using handle = await node.open(O.RDONLY)
    let abort = () => {}
    const call = { aborted: false, onAbort(f: () => void) { abort = f } }
    const reading = codeOf(() => handle.read(new Uint8Array(1), 0, call))
    abort()
    assert.is(await reading, 'EINTR')
  })
})

test('a short read is never empty, and what it returns is right', async () => {
  await using t = await fault({ 'short-read-rate': 1 }, await memory({}))
  await make(t, '/f')
  const bytes = randomBytes(1000)
  await write(t, '/f', bytes)
  await at(t, '/f', async (node) => {
    await using handle = await node.open(O.RDONLY)
    let done = 0, calls = 0
    while (done < 1000) {
      const got = await handle.read(new Uint8Array(1000 - done), done)
      assert.ok(got.length > 0)
      assert.ok(bytes.subarray(done, done + got.length).equals(got))
      done += got.length
      calls++
    }
    assert.ok(calls > 2)
    assert.is((await handle.read(new Uint8Array(9), 1000)).length, 0)
  })
})

test('the disk is full after so many bytes, until it is told otherwise', async () => {
  await using t = await fault({ 'full-after': 10_000 }, await memory({}))
  await make(t, '/f')
  await at(t, '/f', async (node) => {
    await using handle = await node.open(O.WRONLY)
    assert.is(await handle.write(new Uint8Array(6000), 0), 6000)
    assert.is((await node.statfs()).bfree, 0, '4000 bytes are no block')
    assert.is(await handle.write(new Uint8Array(6000), 6000), 4000)
    await fails('ENOSPC', () => handle.write(new Uint8Array(1), 0))
    await fails('ENOSPC', () => mkdir(t, '/d'))
    await reconfigure(t, { 'full-after': '1GiB' })
    assert.is(await handle.write(new Uint8Array(6000), 6000), 6000)
  })
})

const dropping = async () => fault({ 'drop-unsynced': true }, await memory({}))

test('what was lost can not be known later: drop-unsynced wants a new instance', async () => {
  await using t = await fault({}, await memory({}))
  assert.is(await reconfigure(t, { 'drop-unsynced': 'on' }), false)
  assert.is(describe(t).options['drop-unsynced'], false)
})

test('write, fsync, write, crash: the first is there, the second is not', async () => {
  await using t = await dropping()
  await make(t, '/f')
  await t.sync()
  await write(t, '/f', 'first')
  await fsync(t, '/f')
  await write(t, '/f', 'second', 3)
  await at(t, '/f', (node) => node.setattr({ mode: 0o600 }))
  assert.is(String(await read(t, '/f')), 'firsecond')
  const { mtime } = await at(t, '/f', (node) => node.getattr(Attrs.ALL))
  await crash(t)
  assert.is(String(await read(t, '/f')), 'first')
  const after = await at(t, '/f', (node) => node.getattr(Attrs.ALL))
  assert.is(after.mode, S.IFREG | 0o644)
  assert.not.equal(after.mtime, mtime)
})

test('a file that was fsynced is lost with its name, until its directory is', async () => {
  await using t = await dropping()
  for (const name of ['lost', 'kept']) {
    await make(t, `/${name}`)
    await write(t, `/${name}`, name)
    await fsync(t, `/${name}`)
    if (name === 'kept') { await fsync(t, ''); break }
    await crash(t)
    assert.equal(await ls(t, ''), [])
  }
  await crash(t)
  assert.is(String(await read(t, '/kept')), 'kept')
})

test('fdatasync keeps data and size, not the mode', async () => {
  await using t = await dropping()
  await make(t, '/f')
  await t.sync()
  await write(t, '/f', 'data')
  await at(t, '/f', (node) => node.setattr({ mode: 0o700 }))
  await fsync(t, '/f', true)
  await crash(t)
  assert.is(String(await read(t, '/f')), 'data')
  assert.is((await at(t, '/f', (node) => node.getattr(Attrs.MODE))).mode & 0o777, 0o644)
})

test('O_SYNC keeps each write, truncation and holes come back, and xattrs', async () => {
  await using t = await dropping()
  await make(t, '/f')
  await t.sync()
  await at(t, '/f', async (node) => {
    await using handle = await node.open(O.RDWR | O.SYNC)
    await handle.write(Buffer.from('kept'), 100_000)
    await node.setxattr('user.a', Buffer.from('old'), 0)
    await using file = await node.open(O.RDONLY)
    await file.fsync(false)
    await handle.setattr({ size: 10 })
    await node.setxattr('user.a', Buffer.from('new'), 0)
    await node.setxattr('user.b', Buffer.from('b'), 0)
    await (await node.open(O.RDWR | O.TRUNC)).close()
  })
  assert.is((await read(t, '/f')).length, 0)
  await crash(t)
  const bytes = await read(t, '/f')
  assert.is(bytes.length, 100_004)
  assert.is(String(bytes.subarray(100_000)), 'kept')
  assert.ok(bytes.subarray(0, 100_000).every((b) => b === 0))
  assert.equal(await at(t, '/f', async (node) => [await node.listxattr(), text(await node.getxattr('user.a'))]), [['user.a'], 'old'])
})

test('what was unlinked or replaced is back, with all it had', async () => {
  await using t = await dropping()
  await mkdir(t, '/d')
  await mkdir(t, '/d/e')
  for (const path of ['/d/f', '/g', '/h']) { await make(t, path); await write(t, path, `in ${path}`) }
  await at(t, '', async (dir) => (await dir.symlink('l', 'target', root)).close())
  await at(t, '', (dir) => at(t, '/h', (node) => dir.link(node, 'h2')))
  await at(t, '/d/f', (node) => node.setxattr('user.a', Buffer.from('x'), 0))
  await at(t, '/d', (node) => node.setattr({ mode: 0o750, uid: 7, gid: 8 }))
  await t.sync()
  await at(t, '/d', async (dir) => { await dir.unlinkat('f', 0); await dir.unlinkat('e', AT_REMOVEDIR) })
  await at(t, '', async (dir) => {
    await dir.unlinkat('d', AT_REMOVEDIR)
    await dir.renameat('h', dir, 'g')
    await dir.unlinkat('h2', 0)
    await dir.unlinkat('l', 0)
  })
  await make(t, '/d')
  await write(t, '/g', 'overwritten')
  assert.equal(await ls(t, ''), ['d', 'g'])
  await crash(t)
  assert.equal(await ls(t, ''), ['d', 'g', 'h', 'h2', 'l'])
  assert.equal(await ls(t, '/d'), ['e', 'f'])
  for (const path of ['/d/f', '/g', '/h']) assert.is(String(await read(t, path)), `in ${path}`)
  assert.is(await at(t, '/l', (node) => node.readlink()), 'target')
  assert.is(text(await at(t, '/d/f', (node) => node.getxattr('user.a'))), 'x')
  const d = await at(t, '/d', (node) => node.getattr(Attrs.ALL))
  assert.equal([d.mode, d.uid, d.gid], [S.IFDIR | 0o750, 7, 8])
  assert.is((await at(t, '/h', (node) => node.getattr(Attrs.ALL))).nlink, 2)
})

test('after a crash what was open is stale, and closing it is no error', async () => {
  await using t = await dropping()
  await make(t, '/f')
  await t.sync()
  const dir = await t.attach(''), node = await dir.walk('f'), handle = await node.open(O.RDWR)
  await crash(t)
  await fails('ESTALE', () => handle.write(new Uint8Array(1), 0))
  await fails('ESTALE', () => node.getattr(Attrs.ALL))
  await fails('ESTALE', () => dir.walk('f'))
  for (const open of [handle, node, dir]) await open.close()
  assert.equal(await ls(t, ''), ['f'])
})

test('blobs and records go back to the last sync', async () => {
  await using t = await dropping()
  const blobs = t.blobs!(), [kept, lost, dropped] = [randomBytes(16), randomBytes(16), randomBytes(16)] as const
  for (const id of [kept, dropped]) await blobs.put(id, [id])
  await blobs.putRecord('r', Buffer.from('1'))
  await blobs.sync()
  await blobs.put(lost, [lost])
  await blobs.drop([dropped])
  await blobs.putRecord('r', Buffer.from('2'))
  await blobs.putRecord('new', Buffer.from('2'))
  await crash(t)
  assert.equal((await blobs.list(null, 9)).map(({ id }) => Buffer.from(id)), [kept])
  assert.equal(await blobs.listRecords(''), ['r'])
  assert.is(text(await blobs.getRecord('r')), '1')
})

test('at torn-rate 1 a dropped blob comes back, whole', async () => {
  await using t = await fault({ 'drop-unsynced': true, 'torn-rate': 1 }, await memory({}))
  const blobs = t.blobs!(), id = Buffer.alloc(16)
  await blobs.put(id, [Buffer.from('whole')])
  await blobs.sync()
  await blobs.drop([id])
  await crash(t)
  assert.is(text(await blobs.get(id, new Uint8Array(9), 0)), 'whole')
})

test('blobs made of files survive as they promise', async () => {
  await using t = await dropping()
  const ids = Array.from({ length: 20 }, (_, i) => Buffer.from([...Array(15).fill(i % 2), i])), bytes = randomBytes(3000)
  let blobs = blobsOf(await t.attach(''))
  for (const id of ids.slice(0, 7)) await blobs.put(id, [bytes])
  await blobs.sync()
  for (const id of ids.slice(7, 10)) await blobs.put(id, [bytes])
  await blobs.putRecord('r', bytes)
  await blobs.sync()
  for (const id of ids.slice(10)) await blobs.put(id, [bytes])
  await blobs.drop(ids.slice(0, 5))
  await crash(t)
  blobs = blobsOf(await t.attach(''))
  const there = (await blobs.list(null, 99)).map(({ id, size }) => { assert.is(size, 3000); return Buffer.from(id).toString('hex') })
  for (const id of ids.slice(5, 10)) assert.ok(there.includes(id.toString('hex')))
  assert.ok(bytes.equals(await blobs.getRecord('r')))
})

test('at torn-rate 1 a file keeps a prefix of its writes, the last in part', async () => {
  const outcomes = new Set<string>()
  for (let seed = 1; seed <= 40; seed++) {
    await using t = await fault({ seed, 'drop-unsynced': true, 'torn-rate': 1 }, await memory({}))
    await make(t, '/f')
    await write(t, '/f', '--------')
    await t.sync()
    await write(t, '/f', 'aaaa', 0)
    await write(t, '/f', 'bbbb', 2)
    await write(t, '/f', 'cccc', 6)
    await crash(t)
    const bytes = String(await read(t, '/f'))
    assert.match(bytes, /^(-{8}|a{1,4}-+|aab{1,4}(?<=^.{1,6})a{0,2}-*|aabbbb(c{1,4})?-{0,2})$/)
    outcomes.add(bytes)
  }
  assert.ok(outcomes.size > 5, [...outcomes].join(' '))
})

// A model beside the layer: each file with the data, each directory with the names that it has, and would have after a crash.
interface File { readonly kind: 'file'; live: Buffer; durable: Buffer }
interface Dir { readonly kind: 'dir'; live: Map<string, File | Dir>; durable: Map<string, File | Dir>; group: Set<Dir>; above: Dir | null; moved: boolean }

test('5 000 changes at random, 100 crashes: always what the model says', async () => {
  const random = new Chance(9), pick = (n: number) => random.below('pick', n)
  const brick = await memory({})
  await using t = await fault({ 'drop-unsynced': true }, brick)
  const newDir = (above: Dir | null): Dir => {
    const dir: Dir = { kind: 'dir', live: new Map(), durable: new Map(), group: new Set(), above, moved: above !== null }
    dir.group.add(dir)
    return dir
  }
  const top = newDir(null)
  const all = (): [string, File | Dir][] => {
    const found: [string, File | Dir][] = []
    const add = (path: string, file: File | Dir) => { found.push([path, file]); if (file.kind === 'dir') for (const [name, f] of file.live) add(`${path}/${name}`, f) }
    add('', top)
    return found
  }
  const commit = (dir: Dir) => {
    for (const d of [...dir.group]) {
      d.durable = new Map(d.live)
      d.group = new Set([d])
      for (const [, f] of all()) if (f.kind === 'dir' && f.above === d) f.moved = false
    }
  }
  const merge = (a: Dir, b: Dir) => { for (const d of [...b.group]) { a.group.add(d); d.group = a.group } }
  const compare = async (path: string, dir: Dir, which: 'live' | 'durable'): Promise<void> => {
    assert.equal(await ls(brick, path), [...dir[which].keys()].sort(), `names of ${path}`)
    for (const [name, file] of dir[which]) {
      if (file.kind === 'dir') await compare(`${path}/${name}`, file, which)
      else assert.ok(file[which].equals(await read(brick, `${path}/${name}`)), `data of ${path}/${name}`)
    }
  }
  const names = ['a', 'b', 'c', 'd']
  let crashes = 0
  for (let i = 0; i < 5000; i++) {
    const files = all(), dirs = files.filter((f): f is [string, Dir] => f[1].kind === 'dir')
    const [path, dir] = dirs[pick(dirs.length)]!, name = names[pick(4)]!, there = dir.live.get(name), full = `${path}/${name}`
    const what = pick(50)
    if (what < 14) {
      if (!there && dirs.length < 12 && what < 7) {
        await mkdir(t, full)
        dir.live.set(name, newDir(dir))
      } else if (!there) {
        await make(t, full)
        dir.live.set(name, { kind: 'file', live: Buffer.alloc(0), durable: Buffer.alloc(0) })
      }
    } else if (what < 24 && there?.kind === 'file') {
      const offset = pick(6000), bytes = randomBytes(1 + pick(3000))
      if (pick(4) > 0) {
        await write(t, full, bytes, offset)
        there.live = Buffer.concat([there.live, Buffer.alloc(Math.max(0, offset + bytes.length - there.live.length))])
        there.live.set(bytes, offset)
      } else {
        await at(t, full, (node) => node.setattr({ size: offset }))
        there.live = Buffer.concat([there.live.subarray(0, offset), Buffer.alloc(Math.max(0, offset - there.live.length))])
      }
    } else if (what < 28 && there && (there.kind === 'file' || there.live.size === 0)) {
      await at(t, path, (node) => node.unlinkat(name, there.kind === 'dir' ? AT_REMOVEDIR : 0))
      dir.live.delete(name)
    } else if (what < 38 && there) {
      const [newPath, to] = dirs[pick(dirs.length)]!, newName = names[pick(4)]!, victim = to.live.get(newName)
      if (`${newPath}/`.startsWith(`${full}/`) || victim && (victim.kind !== there.kind || victim.kind === 'dir' && victim.live.size > 0)) continue
      await at(t, path, (from) => at(t, newPath, (node) => from.renameat(name, node, newName)))
      if (victim === there) continue
      merge(dir, to)
      for (let d: Dir | null = to; d; d = d.above) if (d.moved) merge(dir, d.above!)
      dir.live.delete(name)
      to.live.set(newName, there)
      if (there.kind === 'dir') { there.above = to; there.moved = true }
    } else if (what < 40 && there?.kind === 'file') {
      const newName = names[pick(4)]!
      if (dir.live.has(newName)) continue
      await at(t, path, (node) => at(t, full, (file) => node.link(file, newName)))
      dir.live.set(newName, there)
    } else if (what < 44 && there?.kind === 'file') {
      await fsync(t, full)
      there.durable = there.live
    } else if (what < 47) {
      await fsync(t, path)
      commit(dir)
    } else if (what === 47 && pick(4) === 0) {
      await t.sync()
      for (const [, f] of all()) if (f.kind === 'dir') commit(f)
      else f.durable = f.live
    } else if (what === 48) {
      await compare('', top, 'live')
      await crash(t)
      await compare('', top, 'durable')
      crashes++
      const settle = (d: Dir, above: Dir | null) => {
        Object.assign(d, { live: new Map(d.durable), group: new Set([d]), above, moved: false })
        for (const f of d.live.values()) if (f.kind === 'dir') settle(f, d)
        else f.live = Buffer.from(f.durable)
      }
      settle(top, null)
    }
  }
  assert.ok(crashes > 50, `${crashes} crashes`)
})

test.run()
