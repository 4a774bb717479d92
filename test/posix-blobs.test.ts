import { spawn, type ChildProcess } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { AT_REMOVEDIR, isErrno, O } from 'ninep'
import { posix } from '../translators/posix/posix.ts'
import type { BlobId, Blobs, Translator } from '../translators/translator.ts'
import { base, descriptors, names, over, refused, user } from './exported.ts'

const test = suite('posix blobs')
const bytes = (s: string) => Buffer.from(s)
const id = (n: number): BlobId => new Uint8Array(16).fill(n)
async function all(blobs: Blobs, page: number): Promise<string[]> {
  const found: string[] = []
  for (let after: BlobId | null = null; ;) {
    const some: { id: BlobId; size: number }[] = await blobs.list(after, page)
    if (some.length === 0) return found
    found.push(...some.map(({ id, size }) => `${Buffer.from(id).toString('hex')} ${size}`))
    after = some.at(-1)!.id
  }
}
async function get(blobs: Blobs, blob: BlobId, length = 1 << 20, offset = 0): Promise<string> {
  return Buffer.from(await blobs.get(blob, new Uint8Array(length), offset)).toString()
}

/** Runs over a fresh store, and checks after that all descriptors were given back. */
async function store(run: (blobs: Blobs, dir: string, brick: Translator) => Promise<void>, where = base): Promise<void> {
  const dir = fs.mkdtempSync(path.join(where, 'ninefold-blobs-'))
  try {
    const brick = await posix({ path: dir })
    try { await run(brick.blobs!(), dir, brick) } finally { await brick.close() }
    assert.equal(descriptors(dir), [])
    for (const name of fs.readdirSync(`${dir}/temporary`)) assert.unreachable(`${name} was left behind`)
  } finally { fs.rmSync(dir, { recursive: true, force: true }) }
}

test('a blob is put in parts and got in ranges', () => store(async (blobs) => {
  await blobs.put(id(1), [bytes('one '), bytes(''), bytes('two '), bytes('three')])
  assert.is(await get(blobs, id(1)), 'one two three')
  assert.is(await get(blobs, id(1), 3, 4), 'two')
  assert.is(await get(blobs, id(1), 100, 8), 'three')
  assert.is(await get(blobs, id(1), 100, 13), '')
  assert.is(await get(blobs, id(1), 100, 5000), '')
  await refused('ENOENT', () => get(blobs, id(2)))
  await refused('EEXIST', () => blobs.put(id(1), [bytes('again')]))
  assert.is(await get(blobs, id(1)), 'one two three')
  await refused('EINVAL', () => blobs.put(new Uint8Array(15), []))
}))

test('64 MiB go in, and not a byte more', () => store(async (blobs) => {
  const parts = Array.from({ length: 2000 }, (_, i) => Buffer.alloc(Math.floor(64 * 2 ** 20 / 2000), i))
  const rest = Buffer.alloc(64 * 2 ** 20 - parts.length * parts[0]!.length, 7)
  await refused('EFBIG', () => blobs.put(id(1), [...parts, rest, bytes('x')]))
  await blobs.put(id(1), [...parts, rest])
  const hash = createHash('sha256')
  for (const part of [...parts, rest]) hash.update(part)
  const whole = await blobs.get(id(1), new Uint8Array(64 * 2 ** 20 + 1), 0)
  assert.is(whole.length, 64 * 2 ** 20)
  assert.is(createHash('sha256').update(whole).digest('hex'), hash.digest('hex'))
}, '/var/tmp'))

test('list ascends by id, in pages, after any id', () => store(async (blobs, dir) => {
  const expected: string[] = []
  for (let i = 0; i < 300; i++) {
    const blob = randomBytes(16)
    blob[0] = i % 7 * 40
    await blobs.put(blob, [Buffer.alloc(i)])
    expected.push(`${blob.toString('hex')} ${i}`)
  }
  expected.sort()
  fs.writeFileSync(`${dir}/blobs/00/stray`, '')
  for (const page of [1, 7, 300, 1000]) assert.equal(await all(blobs, page), expected)
  const after = await blobs.list(new Uint8Array(16).fill(0x50), 1000)
  assert.equal(after.map(({ id }) => Buffer.from(id).toString('hex')), expected.map((line) => line.slice(0, 32)).filter((name) => name > '50'.repeat(16)))
}))

test('drop takes what is there, and sync takes what was dropped', () => store(async (blobs) => {
  for (let i = 0; i < 10; i++) await blobs.put(id(i), [bytes('x')])
  await blobs.drop([id(3), id(4), id(77), id(3)])
  assert.is((await blobs.list(null, 100)).length, 8)
  await blobs.sync()
  await blobs.drop(Array.from({ length: 10 }, (_, i) => id(i)))
  await blobs.sync()
  assert.equal(await blobs.list(null, 100), [])
  for (let i = 100; i < 180; i++) await blobs.put(id(i), [bytes('x')])
  await blobs.sync()                                      // more than are synced one by one
  await blobs.put(id(3), [bytes('anew')])
  assert.is(await get(blobs, id(3)), 'anew')
}))

test('records are replaced whole, if what is expected stands there', () => store(async (blobs) => {
  await refused('ENOENT', async () => blobs.getRecord('super'))
  await refused('ESTALE', () => blobs.putRecord('super', bytes('1'), bytes('0')))
  await blobs.putRecord('super', bytes('1'), new Uint8Array())
  await refused('ESTALE', () => blobs.putRecord('super', bytes('2'), new Uint8Array()))
  await blobs.putRecord('super', bytes('2'), bytes('1'))
  await refused('ESTALE', () => blobs.putRecord('super', bytes('3'), bytes('1')))
  assert.is(Buffer.from(await blobs.getRecord('super')).toString(), '2')
  await blobs.putRecord('log.2', bytes(''))
  await blobs.putRecord('log.10', Buffer.alloc(2 ** 20, 1))
  await refused('EFBIG', () => blobs.putRecord('log.3', Buffer.alloc(2 ** 20 + 1)))
  assert.equal(await blobs.listRecords('log.'), ['log.10', 'log.2'])
  assert.equal(await blobs.listRecords(''), ['log.10', 'log.2', 'super'])
  assert.is((await blobs.getRecord('log.10')).length, 2 ** 20)
  for (const name of ['', '.hidden', '..', 'a/b', 'ä', 'x'.repeat(201), 'a b']) await refused('EINVAL', () => blobs.putRecord(name, bytes('')))
  await blobs.putRecord('x'.repeat(200), bytes('long'))
  await blobs.dropRecord('super')
  await blobs.dropRecord('super')
  await refused('ENOENT', async () => blobs.getRecord('super'))
}))

test('of many that replace a record at once, each on top of what it read, every one counts', () => store(async (blobs, dir) => {
  const other = await posix({ path: dir }), two = other.blobs!()   // as another server would: its own descriptors
  await blobs.putRecord('count', bytes('0'))
  const increment = async (through: Blobs) => {
    for (;;) {
      const was = await through.getRecord('count')
      try { return await through.putRecord('count', bytes(String(Number(Buffer.from(was).toString()) + 1)), was) } catch (e) { if (!isErrno(e, 'ESTALE')) throw e }
    }
  }
  await Promise.all(Array.from({ length: 20 }, (_, i) => increment(i % 2 ? blobs : two)))
  assert.is(Buffer.from(await blobs.getRecord('count')).toString(), '20')
  await other.close()
}))

test('a blob that a power cut tore is an EIO, is listed, and can be dropped', () => store(async (blobs, dir) => {
  for (const n of [1, 2, 3, 4]) await blobs.put(id(n), [Buffer.alloc(100, n)])
  const file = (n: number) => `${dir}/blobs/0${n}/${Buffer.from(id(n)).toString('hex')}`
  fs.truncateSync(file(1), 50)
  fs.truncateSync(file(2), 0)
  fs.appendFileSync(file(3), 'more')
  fs.mkdirSync(`${dir}/blobs/05`)
  fs.copyFileSync(file(4), file(5))                       // under another's name
  for (const n of [1, 2, 3, 5]) await refused('EIO', () => get(blobs, id(n)))
  assert.equal((await blobs.list(null, 10)).map(({ size }) => size), [18, 0, 104, 100, 100])
  await blobs.drop([id(1), id(2), id(3), id(5)])
  assert.equal((await blobs.list(null, 10)).length, 1)
}))

test('a store is not served as files, and no client makes or marks one', () => over({}, async (root, dir) => {
  const sub = await root.mkdir('store', 0o755, user)
  const { node, handle } = await sub.create('f', O.RDWR, 0o644, user)
  for (const make of [
    () => sub.create('ninefold-blobs', O.RDWR, 0o644, user), () => sub.mkdir('ninefold-blobs', 0o755, user), () => sub.symlink('ninefold-blobs', 'x', user),
    () => sub.mknod('ninefold-blobs', 0o100644, 0n, user), () => sub.link(node, 'ninefold-blobs'), () => sub.renameat('f', sub, 'ninefold-blobs'),
  ]) await refused('EPERM', make)
  await sub.unlinkat('f', 0)
  await handle.close()
  await node.close()
  await sub.close()

  const brick = await posix({ path: `${dir}/store` })
  await brick.blobs!().put(id(1), [bytes('x')])
  await refused('EBUSY', () => brick.attach(''))
  const seen = await root.walk('store')
  await refused('ENOENT', () => seen.walk('blobs'))
  await refused('ENOENT', () => seen.walk('ninefold-blobs'))
  assert.equal(await names(seen), [])
  await refused('EPERM', () => seen.create('f', O.RDWR, 0o644, user))
  await refused('EPERM', () => seen.unlinkat('ninefold-blobs', 0))
  await refused('EPERM', () => seen.renameat('blobs', root, 'mine'))
  await refused('ENOTEMPTY', () => root.unlinkat('store', AT_REMOVEDIR))
  await seen.close()
  await brick.close()
}))

test('a folder of files, or of a later format, or damaged, is refused and left alone', async () => {
  const dir = fs.mkdtempSync(path.join(base, 'ninefold-blobs-'))
  const told = async () => {
    const brick = await posix({ path: dir })
    try { await brick.blobs!().getRecord('x') } catch (e) { return (e as Error).message } finally { await brick.close() }
    return ''
  }
  fs.writeFileSync(`${dir}/precious`, '')
  assert.match(await told(), /^ENOTEMPTY: .* holds files already/)
  assert.equal(fs.readdirSync(dir), ['precious'])
  fs.writeFileSync(`${dir}/ninefold-blobs`, `ninefold blobs\nversion 2\nid ${'0'.repeat(32)}\n`)
  assert.match(await told(), /format version 2, and this build reads 1\. Use a later build/)
  fs.writeFileSync(`${dir}/ninefold-blobs`, 'rubbish')
  assert.match(await told(), /ninefold-blobs is damaged/)
  assert.equal(descriptors(dir), [])
  fs.rmSync(dir, { recursive: true })
})

test('a start that was killed before the marker is begun again; old temporary files go', async () => {
  const dir = fs.mkdtempSync(path.join(base, 'ninefold-blobs-'))
  for (const name of ['blobs', 'temporary', 'lost+found']) fs.mkdirSync(`${dir}/${name}`)
  fs.writeFileSync(`${dir}/temporary/old`, '')
  fs.utimesSync(`${dir}/temporary/old`, 1, 1)
  fs.writeFileSync(`${dir}/temporary/young`, '')
  const brick = await posix({ path: dir })
  await brick.blobs!().put(id(1), [bytes('x')])
  assert.equal(fs.readdirSync(`${dir}/temporary`), ['young'])
  await brick.close()
  fs.rmSync(dir, { recursive: true })
})

test('version 1 on disk is read by every build', async () => {
  const dir = fs.mkdtempSync(path.join(base, 'ninefold-blobs-'))
  const fixture = fileURLToPath(new URL('../../test/fixtures/posix-blobs-1', import.meta.url))
  fs.cpSync(fixture, dir, { recursive: true })
  const brick = await posix({ path: dir }), blobs = brick.blobs!()
  assert.equal(await all(blobs, 2), [[0x01, 0], [0xab, 19], [0xff, 5000]].map(([n, size]) => `${Buffer.alloc(16, n).toString('hex')} ${size}`))
  assert.is(await get(blobs, id(0xab)), 'five bytes and more')
  assert.is(await get(blobs, id(0xff)), Buffer.alloc(5000, 'ninefold ').toString())
  assert.equal(await blobs.listRecords(''), ['log.0001', 'superblock'])
  assert.is(Buffer.from(await blobs.getRecord('superblock')).toString(), 'volume 1\n')
  await blobs.put(id(2), [bytes('and written')])
  await blobs.sync()
  await brick.close()
  const file = fs.readFileSync(`${dir}/blobs/02/${'02'.repeat(16)}`)
  assert.is(file.toString('hex'), `3966626c6f62310a0b00000000000000${'02'.repeat(16)}${bytes('and written').toString('hex')}`)
  fs.rmSync(dir, { recursive: true })
})

test('killed at any instant: blobs are whole or absent, and a record is the old or the new', async () => {
  const dir = fs.mkdtempSync(path.join(base, 'ninefold-blobs-'))
  const script = `
    import { createHash } from 'node:crypto'
    const { posix } = await import(${JSON.stringify(new URL('../translators/posix/posix.js', import.meta.url).href)})
    const blobs = (await posix({ path: process.argv[1] })).blobs()
    process.send('ready')
    for (let i = 0; ; i++) {
      const content = Buffer.alloc(1 + (i * 7919) % 3_000_000, i % 251)   // some in one turn, some through the pool
      const id = createHash('sha256').update(content).digest().subarray(0, 16)
      try { await blobs.put(id, [content.subarray(0, 5), content.subarray(5)]) } catch (e) { if (e.code !== 'EEXIST') throw e }
      await blobs.putRecord('state', Buffer.alloc(100 + i % 5000, 48 + i % 10))
    }`
  let blobsSeen = 0
  for (let round = 0; round < 8; round++) {
    const child: ChildProcess = spawn(process.execPath, ['--input-type=module', '-e', script, dir], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    await new Promise((resolve, reject) => { child.once('message', resolve); child.once('exit', reject) })
    child.removeAllListeners('exit')
    await new Promise((resolve) => { setTimeout(resolve, 20 + round * 23) })
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
    const brick = await posix({ path: dir }), blobs = brick.blobs!()
    for (const blob of await blobs.list(null, 100_000)) {
      const content = await blobs.get(blob.id, new Uint8Array(blob.size), 0)
      assert.equal(createHash('sha256').update(content).digest().subarray(0, 16), Buffer.from(blob.id))
      blobsSeen++
    }
    const state = await Promise.resolve().then(() => blobs.getRecord('state')).catch((e: unknown) => { if (isErrno(e, 'ENOENT')) return new Uint8Array(100).fill(48); throw e })
    assert.ok(state.length >= 100 && state.every((byte) => byte === state[0]), 'a record of two minds')
    await brick.close()
  }
  assert.ok(blobsSeen > 0)
  fs.rmSync(dir, { recursive: true })
})

test.run()
