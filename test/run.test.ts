// The runner, run on files that are red, crash, hang or skip: what it may never call green.

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

const root = resolve(fileURLToPath(import.meta.url), '../../..')
const test = suite('run')
mkdirSync(join(root, 'test-output'), { recursive: true })
const folder = mkdtempSync(join(root, 'test-output/run-'))       // below the root: the files import uvu
test.after(() => rmSync(folder, { recursive: true }))

const head = `import { suite } from 'uvu'; import * as assert from 'uvu/assert'; import { requires } from '${join(root, 'dist/test/needs.js')}'; const t = suite('s');\n`
function run(files: Record<string, string>, env: NodeJS.ProcessEnv = {}): { status: number | null; out: string; last: string } {
  const paths = Object.entries(files).map(([name, body]) => { const path = join(folder, name); writeFileSync(path, head + body); return path })
  const { CI: _, ...clean } = process.env
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'dist/test/run.js'), ...paths], { encoding: 'utf8', env: { ...clean, ...env } })
  return { status, out: stdout + stderr, last: stdout.trimEnd().split('\n').at(-1)! }
}

test('sums green files and ends with 0', () => {
  const { status, last, out } = run({ 'a.test.js': `t('one', () => {}); t('two', () => {}); t.run()`, 'b.test.js': `t('three', () => {}); t.run()` })
  assert.is(last, '3 passed, 0 failed, 0 skipped')
  assert.is(status, 0, out)
})
test('a red test fails the run and is shown in full', () => {
  const { status, last, out } = run({ 'red.test.js': `t('bad', () => assert.is(1, 2, 'the reason')); t('good', () => {}); t.run()` })
  assert.is(last, '1 passed, 1 failed, 0 skipped')
  assert.is(status, 1)
  assert.match(out, 'the reason')
})
for (const [what, body, why] of [
  ['a crash at import', `throw new Error('boom')`, 'ended without totals'],
  ['a crash after the totals', `t('fine', () => { process.on('exit', () => { process.exitCode = 3 }) }); t.run()`, 'exit status 3'],
  ['an exit before the totals', `t('leaves', () => process.exit(0)); t.run()`, 'without totals'],
  ['a death by signal', `t('dies', () => process.kill(process.pid, 'SIGKILL')); t.run()`, 'killed by SIGKILL'],
  ['a suite that is never run', `t('forgotten', () => {})`, 'without totals'],
  ['a suite without tests', `t.run()`, 'has no tests'],
] as const) {
  test(`${what} is a failure`, () => {
    const { status, last, out } = run({ 'x.test.js': body })
    assert.match(last, /passed, 1 failed, 0 skipped$/)
    assert.match(out, why)
    assert.is(status, 1)
  })
}
test('a before hook that throws fails its tests, which uvu calls passed', () => {
  const { status, last } = run({ 'hook.test.js': `t.before(() => { throw new Error('no ground') }); t('one', () => {}); t('two', () => {}); t.run()` })
  assert.is(last, '0 passed, 2 failed, 0 skipped')
  assert.is(status, 1)
})
test('a file that hangs is ended, with all its children', () => {
  const { status, out } = run({ 'hang.test.js': `import { spawn } from 'node:child_process'; t('hangs', async () => { spawn('sleep', ['60'], { stdio: 'inherit' }); await new Promise((r) => setTimeout(r, 60000)) }); t.run()` }, { NINEFOLD_TEST_LIMIT: '1' })
  assert.match(out, 'not done within 1 s')
  assert.is(status, 1)
})
const skips = { 'skip.test.js': `requires(t, 'no-such-program')('needs it', () => {}); requires(t, 'node')('runs', () => {}); t.run()` }
test('a skip is listed with its reason', () => {
  const { status, last, out } = run(skips)
  assert.match(out, 'skip.test.js: needs it: no-such-program is missing.')
  assert.is(last, '1 passed, 0 failed, 1 skipped')
  assert.is(status, 0)
})
test('a skip under CI=true is a failure', () => {
  const { status, last } = run(skips, { CI: 'true' })
  assert.is(last, '1 passed, 1 failed, 0 skipped')
  assert.is(status, 1)
})
test('a bare test.skip is counted too', () => {
  const { last, out } = run({ 'bare.test.js': `t.skip('quiet', () => {}); t('loud', () => {}); t.run()` })
  assert.is(last, '1 passed, 0 failed, 1 skipped')
  assert.match(out, 'no reason given')
})
test('a name that no file has is a usage error', () => {
  const wrong = spawnSync(process.execPath, [join(root, 'dist/test/run.js'), 'no-such-file'], { encoding: 'utf8' })
  assert.is(wrong.status, 2)
  assert.match(wrong.stderr, 'No test file is called no-such-file')
})
test.run()
