// The translator of examples/hide: that an author outside this repository gets this far, by the package's name alone.

import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { AT_REMOVEDIR, O } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { hide } from '../examples/hide/hide.ts'
import { memory } from '../translators/memory/memory.ts'
import { conform, fails, put, text } from './conform/conform.ts'

const root = resolve(fileURLToPath(import.meta.url), '../../..')
conform('hide', async () => hide({ prefix: '~~' }, await memory({})), { quick: true })

const test = suite('hide')
test('what is hidden is not listed, not found, and can not be made, renamed or removed', async () => {
  const brick = await memory({})
  await put(brick, '.secret', text('s'))
  await put(brick, 'open', text('o'))
  await using layer = await hide({}, brick)
  const node = await layer.attach(''), owner = { uid: 0, gid: 0 }
  const handle = await node.open(O.RDONLY)
  const names: string[] = []
  await handle.readdir(0n, { add: (_path, _type, _cookie, name) => { names.push(String(name)); return true } }, 0)
  await handle.close()
  assert.equal(names, ['open'])
  await fails('ENOENT', async () => node.walk('.secret'))
  await fails('EPERM', async () => node.create('.other', O.RDWR, 0o644, owner))
  await fails('EPERM', async () => node.mkdir('.dir', 0o755, owner))
  await fails('EPERM', async () => node.symlink('.link', 'open', owner))
  await fails('EPERM', async () => node.renameat('open', node, '.open'))
  await fails('ENOENT', async () => node.renameat('.secret', node, 'seen'))
  await fails('ENOENT', async () => node.unlinkat('.secret', AT_REMOVEDIR))
  await node.close()
})
test('its server serves a directory, and ends at SIGTERM', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ninefold-hide-'))
  try {
    mkdirSync(join(folder, 'd'))
    writeFileSync(join(folder, 'd/.hidden'), '')
    writeFileSync(join(folder, 'd/seen'), 'seen')
    const url = `unix:${join(folder, 's.sock')}`
    const child = spawn(process.execPath, [join(root, 'dist/examples/hide/serve.js'), join(folder, 'd'), url], { stdio: ['ignore', 'pipe', 'inherit'] })
    const ended = new Promise((done) => child.once('close', done))
    await new Promise((ready) => child.stdout.once('data', ready))
    const { stdout } = spawnSync(join(root, 'bin/ninefold'), ['ls', '-a', '/', '--server', url], { encoding: 'utf8' })
    child.kill('SIGTERM')
    assert.is(await ended, 0)
    assert.is(stdout, 'seen\n')
  } finally {
    rmSync(folder, { recursive: true })
  }
})
test.run()
