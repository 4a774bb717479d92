// The checker is right if it finds nothing wrong with the file systems of this kernel: they are its oracle.

import { execFile } from 'node:child_process'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { checked, checker, expected } from './guest/build.ts'
import type { Checked } from './guest/build.ts'
import { requires, skipping } from './needs.ts'

interface Outcome { readonly status: number; readonly lines: Checked[]; readonly err: string }

const test = suite('checker')
const home = await mkdtemp(join(tmpdir(), 'ninefold-checker-'))
const root = process.getuid?.() === 0
let program = ''

function check(dir: string, ...args: string[]): Promise<Outcome> {
  return new Promise((done) => execFile(program, [...args, dir], { maxBuffer: 1 << 24 }, (e, out, err) => done({ status: e ? Number(e.code) : 0, lines: checked(out), err })))
}
/** Runs `body` with a folder that anybody may write, and removes it. */
async function within(parent: string, body: (dir: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(parent, 'ninefold-checker-'))
  try { await chmod(dir, 0o777); await body(dir) } finally { await rm(dir, { recursive: true, force: true }) }
}
const wrong = (lines: readonly Checked[]) => lines.filter(({ how }) => how === 'not ok' || how === 'expected').map(({ name, why }) => `${name}: ${why}`)

test.before(async () => { await chmod(home, 0o755); program = await checker(home) })
test.after(() => rm(home, { recursive: true }))
const native = requires(test, 'gcc')

for (const [parent, what] of [[tmpdir(), 'the disk'], ['/dev/shm', 'tmpfs']] as const) {
  for (const uid of root ? [0, 1000] : [process.getuid!()]) {
    native(`${what} keeps every promise, as uid ${uid}`, () => within(parent, async (dir) => {
      const { status, lines } = await check(dir, '--uid', String(uid), '--other', dir)
      assert.equal(wrong(lines), [])
      assert.is(status, 0)
      const names = lines.map(({ name }) => name)
      assert.equal(names.filter((name, i) => names.indexOf(name) !== i), [])
      assert.ok(lines.filter(({ how }) => how === 'ok').length >= (uid === 0 ? 300 : 250), `only ${lines.length} checks`)
    }))
  }
}

native('what is expected to fail and passes is not ok', () => within(tmpdir(), async (dir) => {
  const { status, lines } = await check(dir, '--expect', expected, '--on', '9p', '--only', 'RENAME_')
  assert.equal(lines.map(({ how }) => how), ['not ok', 'not ok'])
  assert.is(status, 1)
}))

native('what is expected elsewhere is not expected here', () => within(tmpdir(), async (dir) => {
  const { status } = await check(dir, '--expect', expected, '--on', 'cache=mmap', '--only', 'mmap: two')
  assert.is(status, 0)
}))

// procfs is no place for files: almost nothing can be made there, and every line must say so.
const asRoot = root ? native : skipping(test, 'only root may mount a file system to fail on')
asRoot('what can not be done is said, check by check', async () => {
  const { status, lines } = await check('/proc', '--only', 'rename: ')
  assert.is(status, 1)
  assert.ok(lines.length > 20)
  assert.ok(lines.every(({ how, why }) => how === 'not ok' && why !== ''))
})

test.run()
