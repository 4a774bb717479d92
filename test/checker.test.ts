// The checker is right if it finds nothing wrong with the file systems of this kernel: they are its oracle.

import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
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

// A tmpfs of 4 MiB and a folder mounted read-only, where this machine lets root mount.
const places = join(home, 'places'), mounts = root && await mounted()
async function mounted(): Promise<boolean> {
  for (const dir of ['small', 'fixed', 'fixed/d', 'read-only']) await mkdir(join(places, dir), { recursive: true })
  await writeFile(join(places, 'fixed/f'), 'text')
  const lines = 'mount -t tmpfs -o size=4m,nr_inodes=500 small small && mount --bind fixed read-only && mount -o remount,bind,ro read-only'
  return new Promise((done) => execFile('sh', ['-c', lines], { cwd: places }, (e) => done(!e)))
}
test.after(async () => {
  if (mounts) await new Promise<void>((done) => execFile('umount', ['small', 'read-only'], { cwd: places }, () => done()))
  await rm(home, { recursive: true })
})
const placed = mounts ? native : skipping(test, 'needs a root that may mount')
placed('a read-only and a full file system keep their promises', () => within(tmpdir(), async (dir) => {
  const given = ['--read-only', join(places, 'read-only'), '--small', join(places, 'small')]
  for (const [only, least] of [['read-only: ', 5], ['small: ', 5]] as const) {
    const { status, lines } = await check(dir, ...given, '--only', only)
    assert.equal(wrong(lines), [])
    assert.is(status, 0)
    assert.ok(lines.length >= least)
  }
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
