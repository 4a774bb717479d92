// A part of a tree at another place: subdir over a child, bind in the namespace of a server.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { O } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { serve } from '../server/server.ts'
import { parseStack } from '../server/stack.ts'
import { bind } from '../translators/bind/bind.ts'
import { memory } from '../translators/memory/memory.ts'
import { silent } from '../translators/options.ts'
import { subdir } from '../translators/subdir/subdir.ts'
import { tar } from '../translators/tar/tar.ts'
import type { Translator } from '../translators/translator.ts'
import { conform, fails, get, put, text } from './conform/conform.ts'
import { file, find, mkdir, stat } from './conform/tools.ts'
import { ls } from './wire/cases/common.ts'
import { Raw } from './wire/raw.ts'

async function deep(): Promise<Translator> {
  const brick = await memory({})
  await mkdir(await mkdir(await brick.attach(''), 'a'), 'b')
  return brick
}
const reach = (translator: Translator) => (names: readonly string[]) => ({ translator, rest: [...names] })
conform('subdir', async () => subdir({ path: 'a//b/' }, await deep()), { quick: true })
conform('bind', async () => bind.start({ path: '/a/b' }, [], { name: '/c: bind', log: silent, reach: reach(await deep()) }), { quick: true })

const folder = mkdtempSync(join(tmpdir(), 'ninefold-bind-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
const test = suite('bind')
test('subdir: a file is a root too; what is not there, or leads elsewhere, does not start', async () => {
  const brick = await deep()
  await put(brick, 'a/f', text('file'))
  await (await brick.attach('')).symlink('link', 'a', { uid: 0, gid: 0 })
  await fails('ENOENT', () => subdir({ path: 'a/nobody' }, brick))
  await fails('ENOTDIR', () => subdir({ path: 'link/f' }, brick))
  await subdir({ path: 'a/../a' }, brick).then(() => assert.unreachable(), (e) => assert.match(e.message, /a path has no "\.\."/))
  await using layer = await subdir({ path: 'a/f' }, brick)
  const root = await layer.attach('')
  assert.equal(await get(root), text('file'))
  await fails('ENOTDIR', () => root.walk('x'))
})
test('an archive is found where the child is a file', async () => {
  const brick = await memory({})
  await put(brick, 'empty.tar', new Uint8Array(1024))
  await using layer = await tar({}, await subdir({ path: 'empty.tar' }, brick))
  assert.is((await stat(await layer.attach(''))).mode, 0o40755)
})
test('.. does not lead out, from what was moved out neither', async () => {
  const brick = await deep(), top = await brick.attach('')
  await using layer = await subdir({ path: 'a/b' }, brick)
  const root = await layer.attach(''), d = await root.mkdir('d', 0o755, { uid: 0, gid: 0 }), e = await d.mkdir('e', 0o755, { uid: 0, gid: 0 })
  assert.is((await (await root.parent()).qid).path, root.qid.path)
  assert.is((await e.parent()).qid.path, d.qid.path)
  await (await find(brick, 'a/b')).renameat('d', top, 'out')
  await fails('ENOENT', () => d.parent())
  await fails('ENOENT', () => e.parent())
  await fails('ENOTDIR', async () => (await file(root, 'f')).parent())
})
test('a bound part is the same files under other numbers, without the mounts below; between the two nothing is renamed', async () => {
  mkdirSync(join(folder, 'in'))
  writeFileSync(join(folder, 'in/f'), 'inner')
  const namespace = new Map<string, ReturnType<typeof parseStack> | Translator>([
    ['/seen', parseStack('bind /data/in')], ['/data', parseStack(`posix '${folder}'`)], ['/data/in/mount', parseStack('memory')], ['/again', parseStack('readonly | bind /seen')],
  ])
  const server = await serve({ listen: ['tcp://127.0.0.1:0'], namespace, log: silent })
  const raw = await Raw.versioned(server.urls[0]!)
  try {
    await raw.attach(0)
    assert.equal([await ls(raw, 'data', 'in'), await ls(raw, 'seen'), await ls(raw, 'again')], [['f', 'mount'], ['f'], ['f']])
    assert.is(await raw.content(0, 'seen', 'f'), 'inner')
    await raw.walk(0, 1, 'seen')
    await raw.walk(0, 2, 'data', 'in')
    await raw.walk(0, 3, 'again')
    await raw.file(1, 'new', 'by seen')
    assert.is(await raw.content(2, 'new'), 'by seen')
    assert.is(await raw.content(3, 'new'), 'by seen')
    const paths = []
    for (const fid of [1, 2, 3]) {
      await raw.walk(fid, 4, 'new')
      paths.push((await raw.getattr(4)).qid.path)
      await raw.clunk(4)
    }
    assert.is(new Set(paths).size, 3)
    assert.is(await raw.refused('Trenameat', { olddirfid: 1, oldname: 'new', newdirfid: 2, newname: 'x' }), 'EXDEV')
    assert.is(await raw.refused('Tmkdir', { dfid: 3, name: 'd', mode: 0o755, gid: 0 }), 'EROFS')
    const up = await raw.walk(1, 5, '..')
    assert.is(up.qids[0]!.path, (await raw.getattr(0)).qid.path)
    // What was bound goes on when something else comes to its place.
    await server.mounts.set('/data', parseStack('memory'), { force: true })
    assert.equal(await ls(raw, 'data'), ['in'])
    await raw.walk(0, 6, 'seen', 'f')
    await raw.open(6, O.RDONLY)
    assert.is(await raw.read(6), 'inner')
    await raw.end()
  } finally {
    raw.socket.destroy()
    await server.stop()
  }
})
test('what can\'t be bound says why', async () => {
  await bind({ path: '/a' }).then(() => assert.unreachable(), (e) => assert.match(e.message, /no namespace here/))
  await bind({ path: 'a' }).then(() => assert.unreachable(), (e) => assert.match(e.message, /begins with "\/"/))
  const brick = await deep()
  await fails('ENOENT', () => bind.start({ path: '/a/c' }, [], { name: 'b', log: silent, reach: reach(brick) }))
})
test.run()
