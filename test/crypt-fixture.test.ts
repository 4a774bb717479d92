// What version 1 stored once opens with every build, and with a reader that was written from the document alone.

import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { blobsFace } from '../translators/blobs.ts'
import { crypt } from '../translators/crypt/crypt.ts'
import { memory } from '../translators/memory/memory.ts'
import { posix } from '../translators/posix/posix.ts'
import { find, get, ls } from './conform/tools.ts'
import { blake2b, readBlob, readRecord, readTree, volumeKey } from './crypt-reader.ts'

const fixture = resolve(fileURLToPath(import.meta.url), '../../../test/fixtures/crypt-1'), at = (name: string) => join(fixture, name)
const key = { 'key-file': at('key'), unlock: `file:${at('secret')}` }
const xattrs = JSON.parse(readFileSync(at('xattrs.json'), 'utf8')) as Record<string, Record<string, string>>
const record = readdirSync(fixture).find((name) => name.startsWith('record.'))!.slice('record.'.length), id = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex')
const data = Buffer.from(Uint8Array.from({ length: 10_000 }, (_, i) => i * 7 & 255))
const sparse = Buffer.alloc(4096 * 66 + 13)
sparse.fill('a', 0, 5000)
sparse.write('again', 100)
sparse.write('end', 4096 * 66 + 10)
const files: Record<string, Buffer> = { hello: Buffer.from('Hello, Hurd!\n'), empty: Buffer.alloc(0), sparse, [`d/${'l'.repeat(200)}`]: Buffer.from('of a long name'), 'd/日本': Buffer.from('utf-8') }
const test = suite('crypt, version 1')

test('files, names, links and attributes are what they were', async () => {
  const path = mkdtempSync('/dev/shm/ninefold-crypt-1-')
  try {
    cpSync(at('files'), path, { recursive: true, verbatimSymlinks: true })
    const brick = await posix({ path, owner: 'none' })
    for (const [name, values] of Object.entries(xattrs)) for (const [attribute, value] of Object.entries(values)) await (await find(brick, name)).setxattr(attribute, Buffer.from(value, 'base64'), 0)
    const top = await crypt(key, brick), root = await top.attach('')
    assert.equal(await ls(root), ['d', 'empty', 'hello', 'link', 'sparse'])
    for (const [name, bytes] of Object.entries(files)) assert.is(Buffer.compare(await get(top, name), bytes), 0, name)
    assert.is(await (await root.walk('link')).readlink(), 'hello')
    const hello = await root.walk('hello')
    assert.equal(await hello.listxattr(), ['user.note'])
    assert.is(Buffer.from(await hello.getxattr('user.note')).toString(), 'a note')
    await top.close()
  } finally { rmSync(path, { recursive: true, force: true }) }
})
test('a blob and a record are what they were', async () => {
  const brick = await memory({}), below = await blobsFace(brick), top = await crypt(key, brick), blobs = await blobsFace(top)
  await below.put(id, [readFileSync(at('blob'))])
  await below.putRecord(record, readFileSync(at(`record.${record}`)))
  assert.is(Buffer.compare(await blobs.get(id, Buffer.alloc(20_000), 0), data), 0)
  assert.equal(await blobs.listRecords(''), ['superblock'])
  assert.is(Buffer.from(await blobs.getRecord('superblock')).toString(), 'a record')
  await top.close()
})
test('the reader\'s BLAKE2b is the one of RFC 7693', () => {
  assert.is(blake2b(64, Buffer.alloc(0), Buffer.from('abc')).toString('hex').slice(0, 32), 'ba80a53f981c4d0d6a2797b69f12f6e9')
})
test('the document is complete: a reader that was written from it reads all of it', () => {
  const K = volumeKey(at('key'), readFileSync(at('secret'))), found = readTree(K, at('files'), xattrs)
  const expected: Record<string, Buffer | string> = Object.fromEntries(Object.entries(files).map(([name, bytes]) => [`/${name}`, bytes]))
  Object.assign(expected, { '/d/': '', '/link': 'hello', '/hello user.note': Buffer.from('a note') })
  assert.equal(Object.keys(found).sort(), Object.keys(expected).sort())
  for (const [name, value] of Object.entries(expected)) assert.ok(typeof value === 'string' ? found[name] === value : Buffer.compare(found[name] as Buffer, value) === 0, name)
  assert.is(Buffer.compare(readBlob(K, id, readFileSync(at('blob'))), data), 0)
  assert.equal(readRecord(K, record, readFileSync(at(`record.${record}`))), { name: 'superblock', bytes: Buffer.from('a record') })
})
test.run()
