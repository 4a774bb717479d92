// Snapshots as clients see them: made and deleted over the control tree, browsed in place through a stack, on a real server.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Attrs, connect, isErrno, O } from 'ninep'
import type { Client, File } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseStack } from '../server/stack.ts'
import { serve } from '../server/server.ts'

const folder = mkdtempSync(join(process.env.NINEFOLD_TEST_DIR ?? '/dev/shm', 'ninefold-snapshots-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
let count = 0

interface Seat { readonly root: File; readonly client: Client; attach(aname: string): Promise<File>; verb(line: string): Promise<string> }
async function served(run: (seat: Seat) => Promise<void>): Promise<void> {
  const dir = join(folder, String(count++)), data = join(dir, 'data'), url = `unix:${dir}/s.sock`
  mkdirSync(data, { recursive: true })
  await using _server = await serving(url, dir, data)
  const client = await connect(url)
  try {
    const attach = (aname: string) => client.attach({ aname, uid: process.getuid!() })
    await run({
      root: await attach(''), client, attach,
      async verb(line) {
        await using ctl = await (await (await attach('ctl')).walk('ctl')).open(O.RDWR)
        await ctl.write(Buffer.from(line), 0).catch(async (e: unknown) => { throw Object.assign(new Error(Buffer.from(await ctl.read(0, 4096)).toString()), { code: isErrno(e) ? e.code : '' }) })
        return Buffer.from(await ctl.read(0, 4096)).toString()
      },
    })
  } finally { client.close() }
}
async function serving(url: string, state: string, data: string) {
  const server = await serve({ listen: [url], state, namespace: new Map([['/', parseStack(`memory`)], ['/vault', parseStack(`rot13 | snapshot | posix ${data}`)]]) })
  return { async [Symbol.asyncDispose]() { await server.stop() } }
}
async function put(dir: File, name: string, text: string): Promise<void> {
  let file: File
  try { file = await (await dir.walk(name)).open(O.WRONLY | O.TRUNC) } catch { file = await (await dir.clone()).create(name, O.WRONLY, 0o644) }
  await file.write(Buffer.from(text), 0)
  await file.clunk()
}
async function get(dir: File, path: string): Promise<string> {
  await using file = await (await dir.walk(...path.split('/'))).open()
  return Buffer.from(await file.read(0, 4096)).toString()
}
async function ls(dir: File, path = ''): Promise<string[]> {
  await using at = await (await dir.walk(...path.split('/').filter(Boolean))).open()
  const names: string[] = []
  for await (const { name } of at.readdir()) names.push(name)
  return names.sort()
}
async function code(f: () => Promise<unknown>): Promise<string> {
  try { await f() } catch (e) { return (e as { code: string }).code }
  return ''
}

const test = suite('snapshots')
test('the past is under .snapshots in every directory, under FILE@NAME, and as an attach name', () => served(async ({ root, attach, verb }) => {
  const vault = await root.walk('vault')
  await vault.mkdir('d', 0o755)
  const d = await vault.walk('d')
  await put(d, 'a', 'one')
  await put(d, 'gone', 'still')
  assert.is(await code(() => vault.walk('.snapshots')), 'ENOENT', 'before there is one')
  const before = await (await d.walk('a')).getattr(Attrs.ALL)
  await verb('snapshot create /vault monday')
  await put(d, 'a', 'another')
  await d.unlinkat('gone')
  await d.renameat('a', vault, 'b')
  await put(d, 'new', 'x')

  assert.equal(await ls(vault), ['b', 'd'])
  assert.equal(await ls(vault, '.snapshots'), ['monday'])
  assert.equal(await ls(vault, '.snapshots/monday/d'), ['a', 'gone'])
  assert.equal(await ls(d, '.snapshots/monday'), ['a', 'gone'])
  assert.is(await get(vault, '.snapshots/monday/d/a'), 'one')
  assert.is(await get(d, '.snapshots/monday/gone'), 'still')
  assert.is(await get(d, 'gone@monday'), 'still')
  assert.is(await get(vault, 'b@monday'), 'one', 'the file that was renamed')
  assert.is(await get(d, 'a@monday'), 'one', 'the name that it had')
  assert.is(await get(d, '@monday/a'), 'one')
  assert.is(await get(vault, 'b'), 'another')
  assert.is(await get(await attach('/vault/@monday'), 'd/a'), 'one')
  assert.is(await get(await attach('/vault@monday'), 'd/a'), 'one')
  const then = await (await vault.walk('.snapshots', 'monday', 'd', 'a')).getattr(Attrs.ALL)
  assert.equal([then.mtime, then.ctime, then.size, then.mode], [before.mtime, before.ctime, before.size, before.mode])
  assert.is.not(then.qid.path, before.qid.path, 'a file in a snapshot has a number of its own')
  for (const name of ['a@tuesday', 'nobody@monday', '@', '@tuesday']) assert.is(await code(() => d.walk(name)), 'ENOENT', name)
  await put(vault, 'b@monday', 'a file of that name comes first')
  assert.is(await get(vault, 'b@monday'), 'a file of that name comes first')
}))
test('nothing of the past can be changed', () => served(async ({ root, verb }) => {
  const vault = await root.walk('vault')
  await put(vault, 'a', 'one')
  await verb('snapshot create /vault s')
  const past = await vault.walk('.snapshots', 's'), a = await past.walk('a')
  assert.is(await code(async () => (await past.clone()).create('b', O.WRONLY, 0o644)), 'EROFS')
  assert.is(await code(() => past.mkdir('b', 0o755)), 'EROFS')
  assert.is(await code(() => past.unlinkat('a')), 'EROFS')
  assert.is(await code(() => past.renameat('a', past, 'b')), 'EROFS')
  assert.is(await code(() => a.setattr({ mode: 0o600 })), 'EROFS')
  assert.is(await code(async () => (await a.clone()).open(O.RDWR)), 'EROFS')
  assert.is(await code(async () => (await vault.walk('.snapshots')).mkdir('b', 0o755)), 'EROFS')
  assert.is(await get(vault, 'a@s'), 'one')
}))
test('they are listed, renamed, held, and deleted', () => served(async ({ root, verb }) => {
  const vault = await root.walk('vault')
  await put(vault, 'a', 'one')
  await verb('snapshot create /vault first')
  await verb('snapshot create /vault second')
  assert.is(await code(() => verb('snapshot create /vault first')), 'EEXIST')
  assert.is(await code(() => verb('snapshot create /vault a@b')), 'EINVAL')
  assert.is(await code(() => verb('snapshot create / x')), 'EOPNOTSUPP')
  await verb('snapshot rename /vault first eins')
  await verb('snapshot hold /vault eins backup')
  assert.match(await verb('snapshot list /vault'), /^eins time=\S+Z hold=backup\nsecond time=\S+Z\n$/)
  assert.is(await code(() => verb('snapshot delete /vault eins')), 'EBUSY')
  const open = await (await vault.walk('a@eins')).open()
  await verb('snapshot release /vault eins backup')
  await verb('snapshot delete /vault eins')
  assert.is(await code(() => open.read(0, 10)), 'ESTALE')
  assert.is(await code(() => vault.walk('a@eins')), 'ENOENT')
  assert.equal(await ls(vault, '.snapshots'), ['second'])
}))
test('a rollback brings all back, and leaves newer snapshots as they are', () => served(async ({ root, verb }) => {
  const vault = await root.walk('vault')
  await put(vault, 'a', 'one')
  await vault.mkdir('d', 0o750)
  await verb('snapshot create /vault old')
  await put(vault, 'a', 'two')
  await put(vault, 'new', 'x')
  await vault.unlinkat('d', 0x200)
  await verb('snapshot create /vault newer')
  const open = await (await vault.walk('new')).open(O.RDWR)
  await verb('snapshot rollback /vault old')
  assert.equal(await ls(vault), ['a', 'd'])
  assert.is(await get(vault, 'a'), 'one')
  assert.is((await (await vault.walk('d')).getattr(Attrs.ALL)).mode & 0o777, 0o750)
  assert.is(await code(() => open.read(0, 10)), 'ESTALE')
  assert.equal(await ls(vault, '.snapshots/newer'), ['a', 'new'])
  assert.is(await get(vault, 'a@newer'), 'two')
  await put(vault, 'a', 'three')
  assert.is(await get(vault, 'a@old'), 'one')
}))
test('diff tells what was added, removed, renamed and changed, and nothing of what only moved below', () => served(async ({ root, verb }) => {
  const vault = await root.walk('vault')
  for (const name of ['same', 'changed', 'gone', 'moved', 'linked']) await put(vault, name, name)
  await vault.mkdir('d', 0o755)
  const d = await vault.walk('d')
  await put(d, 'below', 'x')
  await verb('snapshot create /vault a')
  await put(vault, 'changed', 'anew')
  await vault.unlinkat('gone')
  await vault.renameat('moved', d, 'to')
  await vault.renameat('d', vault, 'e')
  await put(vault, 'added', 'x')
  await vault.link(await vault.walk('linked'), 'second')
  await get(vault, 'same')
  await verb('snapshot create /vault b')
  await put(vault, 'later', 'x')
  const lines = async (line: string) => (await verb(line)).split('\n').filter(Boolean).sort()
  const first = ['added /added', 'added /second', 'changed /changed', 'removed /gone', 'renamed /d /e', 'renamed /moved /e/to']
  assert.equal(await lines('snapshot diff /vault a b'), first)
  assert.equal(await lines('snapshot diff /vault b'), ['added /later'])
  assert.equal(await lines('snapshot diff /vault a'), [...first, 'added /later'].sort())
  assert.match(await verb('gc /vault'), /^blobs=0 bytes=0\n$/)
}))
test('fsck says over the control tree that nothing is wrong, and gc that nothing is to be dropped', () => served(async ({ root, verb }) => {
  const vault = await root.walk('vault')
  await put(vault, 'a', 'first')
  await verb('snapshot create /vault one')
  await put(vault, 'a', 'second')
  assert.match(await verb('fsck -d /vault'), /^files=2 keys=\d+ blobs=0 bytes=0 problems=0 lost=0\n$/)
  assert.match(await verb('gc /vault'), /blobs=0/)
}))
test.run()
