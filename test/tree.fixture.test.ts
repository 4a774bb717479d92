// Version 1 of the format, opened by every build: a state folder and blobs that were made once, of a process that was killed.
//
//     node dist/test/tree.fixture.test.js make       makes test/fixtures/tree-1.tgz anew, which is right only before a version is released

import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { O, S } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { memory } from '../translators/memory/memory.ts'
import { posix } from '../translators/posix/posix.ts'
import { insides, instanceOf, kill, snapshot } from '../translators/snapshot/snapshot.ts'
import type { Node, Translator } from '../translators/translator.ts'
import { fsck } from '../translators/tree/fsck.ts'
import type { Problem } from '../translators/tree/fsck.ts'
import { viewing } from '../translators/tree/fsck-view.ts'
import { describeNode } from './tree/steps.ts'

const fixture = join(resolve(fileURLToPath(import.meta.url), '../../..'), 'test/fixtures/tree-1.tgz')
const base = mkdtempSync(join(process.env.NINEFOLD_TEST_DIR ?? '/dev/shm', 'ninefold-fixture-'))
process.on('exit', () => rmSync(base, { recursive: true, force: true }))
const owner = { uid: 1000, gid: 100 }
const noise = (length: number, step: number): Buffer => Buffer.from(Array.from({ length }, (_, i) => (i * step + (i >> 8)) & 255))

async function file(dir: Node, name: string, ...writes: readonly (readonly [bytes: Uint8Array, offset: number])[]): Promise<Node> {
  const { node, handle } = await dir.create(name, O.RDWR, 0o640, owner)
  for (const [bytes, offset] of writes) await handle.write(bytes, offset)
  await handle.close()
  return node
}
/** One of each. Some of it LevelDB has, some only the journal. */
async function fill(layer: Translator): Promise<void> {
  const root = await layer.attach(''), { tree: { epochs, instance }, packer } = insides(layer)
  const d = await root.mkdir('d', 0o2750, owner)
  await file(root, 'empty')
  const inline = await file(root, 'inline', [noise(1500, 3), 0])
  await file(d, 'packed', [noise(9000, 5), 100], [noise(9000, 7), 5000], [noise(100, 11), 9 * 2 ** 20])
  await file(d, 'blob', [noise(300_000, 13), 4 * 2 ** 20 - 1000])
  const many = await file(root, 'many names', [noise(4000, 17), 0])
  await d.link(many, 'second')
  await root.symlink('link', 'd/blob', owner)
  await root.mknod('fifo', S.IFIFO | 0o600, 0n, owner)
  await root.mknod('device', S.IFCHR | 0o600, 0x103n, owner)
  await file(root, 'bytes \udcff')
  await inline.setxattr('user.small', noise(20, 19), 0)
  await inline.setxattr('user.large', noise(5000, 23), 0)
  await d.setxattr('system.posix_acl_default', Buffer.from('0200000001000700ffffffff02000500e803000004000500ffffffff10000500ffffffff20000000ffffffff', 'hex'), 0)
  await packer.run()
  await epochs.create('first')
  await d.renameat('blob', root, 'moved')
  await inline.setattr({ size: 700, mode: 0o600 })
  await (await (await d.walk('packed')).open(O.RDWR)).write(noise(6000, 29), 2000)
  await root.unlinkat('empty', 0)
  await epochs.create('second')
  await instance.flush()
  await d.unlinkat('second', 0)
  await file(d, 'inherits')
  await (await (await root.walk('many names')).open(O.RDWR | O.APPEND)).write(noise(4000, 31), 0)
  await epochs.hold('first', 'tag')
}

const start = async (dir: string) => snapshot({ state: join(dir, 'state'), segment: 65536, mode: 0o755, uid: 0, gid: 0 }, await posix({ path: join(dir, 'data') }))
if (process.argv[2] === 'make') {
  const dir = join(base, 'made')
  mkdirSync(join(dir, 'data'), { recursive: true })
  const layer = await start(dir)
  await fill(layer)
  await kill(layer)
  mkdirSync(join(fixture, '..'), { recursive: true })
  execFileSync('tar', ['--sort=name', '--owner=0', '--group=0', '-C', dir, '-czf', fixture, 'state', 'data'])
}

const test = suite('tree fixture')
test('a state of version 1 is what it was, and its books agree', async () => {
  const dir = join(base, 'found')
  mkdirSync(dir)
  execFileSync('tar', ['--no-same-owner', '-C', dir, '-xzf', fixture])
  await using found = await start(dir)
  await using fresh = await snapshot({ state: join(base, 'fresh'), mode: 0o755, uid: 0, gid: 0 }, await memory({}))
  await fill(fresh)
  for (const at of ['', 'first', 'second']) {
    const [there, here] = await Promise.all([found, fresh].map(async (layer) => { const root = await layer.attach(''); return describeNode(at === '' ? root : await root.at(at)) }))
    assert.ok(here!.length > 10)
    assert.equal(there, here, at)
  }
  assert.equal(insides(found).tree.epochs.list().map(({ value: { name, holds } }) => [name, holds]), [['first', ['tag']], ['second', []]])
  const problems: Problem[] = []
  await viewing(instanceOf(found)!, (view) => fsck(view, { data: true, report: (problem) => problems.push(problem) }))
  assert.equal(problems, [])
})
test.run()
