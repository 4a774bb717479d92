// @ts-check
import { assert, conform, fails, get, put, suite, text } from 'ninefold/conform'
import { memory } from 'ninefold/translators/memory/memory'
import { O } from 'ninep'
import { hide } from './hide.js'

conform('hide', async () => hide({ prefix: '~~' }, await memory({})), { quick: true })   // all that every translator owes, by name

const test = suite('hide')
test('what is hidden is not listed, not found, and can not be made, renamed or removed', async () => {
  const brick = await memory({}), owner = { uid: 0, gid: 0 }
  await put(brick, '.secret', text('s'))
  await put(brick, 'open', text('o'))
  const layer = await hide({}, brick), root = await layer.attach('')
  /** @type {string[]} */ const names = []
  const handle = await root.open(O.RDONLY)
  await handle.readdir(0n, { add: (_path, _type, _cookie, name) => { names.push(String(name)); return true } }, 0)
  await handle.close()
  assert.equal(names, ['open'])
  assert.equal(await get(layer, 'open'), text('o'))
  await fails('ENOENT', () => root.walk('.secret'))
  await fails('ENOENT', () => root.unlinkat('.secret', 0))
  await fails('ENOENT', () => root.renameat('.secret', root, 'seen'))
  await fails('EPERM', () => root.renameat('open', root, '.open'))
  await fails('EPERM', () => root.create('.other', O.RDWR, 0o644, owner))
  await fails('EPERM', () => root.mkdir('.dir', 0o755, owner))
  await fails('EPERM', () => root.symlink('.link', 'open', owner))
  await fails('EPERM', () => root.mknod('.pipe', 0o010644, 0n, owner))
  const open = await root.walk('open')
  await fails('EPERM', () => root.link(open, '.open'))
  for (const node of [open, root]) await node.close()
  await layer.close()
})
test.run()
