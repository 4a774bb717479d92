// Encryption together with snapshots, in both orders, through a server.

import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { connect, O } from 'ninep'
import type { File } from 'ninep'
import { parseStack } from '../server/stack.ts'
import { serve } from '../server/server.ts'
import { folder, key } from './crypt.ts'

const test = suite('crypt, stacked'), sealed = `crypt ${key['key-file']} unlock=${key.unlock}`
async function put(dir: File, name: string, text: string): Promise<void> {
  let file: File
  try { file = await (await dir.walk(name)).open(O.WRONLY | O.TRUNC) } catch { file = await (await dir.clone()).create(name, O.WRONLY, 0o644) }
  await file.write(Buffer.from(text), 0)
  await file.clunk()
}
async function get(dir: File, path: string): Promise<string> {
  await using file = await (await dir.walk(...path.split('/'))).open()
  return Buffer.from(await file.read(0, 100_000)).toString()
}
function all(dir: string): string[] { return readdirSync(dir, { recursive: true, encoding: 'utf8' }).map((name) => join(dir, name)).filter((path) => statSync(path).isFile()) }

for (const [i, order] of [`${sealed} | snapshot`, `snapshot | ${sealed}`].entries()) {
  test(`${order.replaceAll(sealed, 'crypt')} | posix: a snapshot shows what was, and nothing of it is in clear in the folder below`, async () => {
    const dir = join(folder, `stack-${i}`), data = join(dir, 'data'), planted = 'PLANTED'.repeat(2000)
    mkdirSync(data, { recursive: true })
    const server = await serve({ listen: [`unix:${dir}/s.sock`], state: dir, namespace: new Map([['/', parseStack('memory')], ['/vault', parseStack(`${order} | posix ${data}`)]]) })
    const client = await connect(`unix:${dir}/s.sock`), root = await client.attach({ uid: process.getuid!() }), vault = await root.walk('vault')
    try {
      await vault.mkdir('d', 0o755)
      const d = await vault.walk('d')
      await put(d, 'a', planted)
      await put(d, 'PLANTED', 'gone later')
      await vault.symlink('link', 'PLANTED')
      const ctl = await client.attach({ aname: 'ctl', uid: process.getuid!() })
      await using verbs = await (await ctl.walk('ctl')).open(O.RDWR)
      await verbs.write(Buffer.from('snapshot create /vault one'), 0)
      await put(d, 'a', 'two')
      await d.unlinkat('PLANTED')
      await vault.renameat('d', vault, 'e')
      assert.is(await get(vault, 'e/a'), 'two')
      assert.is(await get(vault, '.snapshots/one/d/a'), planted)
      assert.is(await get(vault, '.snapshots/one/d/PLANTED'), 'gone later')
      assert.is(await (await vault.walk('.snapshots', 'one', 'link')).readlink(), 'PLANTED')
      assert.is(await get(await vault.walk('e'), 'a@one'), planted)
    } finally {
      client.close()
      await server.stop()
    }
    const files = all(data)
    assert.ok(files.length > 0)
    assert.equal(files.filter((path) => path.includes('PLANTED') || readFileSync(path).includes('PLANTED')), [])
  })
}
test.run()
