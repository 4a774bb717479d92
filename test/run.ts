// The test runner: every test/**/*.test.ts as built, and the guest suite, each as a process of its own.
//
//   node dist/test/run.js [-j N] [WORD...]     WORD: part of a file's name (wire/, guest), or the path of a built file
//
// A file passes if it ends with status 0 and with totals: uvu's, or a last line `N passed, N failed, N skipped`. A line
// `SKIP name: reason` says why a test did not run. Under CI=true a skip is a failure, for nobody would see it there.

import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const built = dirname(fileURLToPath(import.meta.url))
const root = resolve(built, '../..')
/** Files that take long, longest first: they start first, so that the others fill the second lane; the guest alone. */
const slow = ['guest', 'mount/list', 'cli', 'fuzz', 'conform.posix', 'wire', 'checker', 'conform', 'posix']
/** Seconds a file may take, by the first word that its name begins with. */
const limits: readonly (readonly [string, number])[] = [['guest', 900], ['fuzz', 900], ['cli', 600], ['mount/', 600], ['', Number(process.env.NINEFOLD_TEST_LIMIT ?? 300)]]
/** Most bytes of one file's output that are kept: its tail, where totals and failures stand. */
const KEPT = 4 << 20

interface TestFile { readonly name: string; readonly path: string }
interface Result { readonly passed: number; readonly failed: number; readonly skipped: number; readonly skips: readonly string[]; readonly wrong: readonly string[] }

/** What there is to run: built files whose source is still there. The guest suite is one file to us. */
function discover(): TestFile[] {
  const names = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts') || name === join('guest', 'main.ts'))
    .map((name) => name.replace(/\.ts$/, '.js'))
  return names.map((name) => ({ name: name === join('guest', 'main.js') ? 'guest' : name.replace(/\.test\.js$/, ''), path: join(built, name) }))
}

function choose(words: readonly string[]): TestFile[] {
  const all = discover()
  if (words.length === 0) return all
  return words.flatMap((word) => existsSync(word) && word.endsWith('.js') ? [{ name: relative(root, resolve(word)), path: resolve(word) }] : all.filter((file) => file.name.includes(word)))
    .filter((file, i, files) => files.findIndex((other) => other.path === file.path) === i)
}
function rank(file: TestFile): number {
  const at = slow.findIndex((word) => file.name.startsWith(word))
  return at < 0 ? slow.length : at
}

const groups = new Set<number>()
function endGroup(pid: number): void { try { process.kill(-pid, 'SIGKILL') } catch { /* all gone */ } }

/** Runs one file in a process group of its own, so that what it leaves behind ends with it. */
async function run(file: TestFile): Promise<{ status: string; output: string; seconds: number }> {
  const started = performance.now()
  const limit = limits.find(([word]) => file.name.startsWith(word))![1]
  const child = spawn(process.execPath, ['--enable-source-maps', file.path], { cwd: root, detached: true, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NO_COLOR: '1' } })
  groups.add(child.pid!)
  let output = ''
  const take = (text: string) => { output = (output + text).slice(-KEPT) }
  child.stdout.setEncoding('utf8').on('data', take)
  child.stderr.setEncoding('utf8').on('data', take)
  let late = false
  const timer = setTimeout(() => { late = true; endGroup(child.pid!) }, limit * 1000)
  child.once('exit', () => endGroup(child.pid!))
  const [code, signal] = await new Promise<[number | null, string | null]>((done, fail) => { child.once('close', (...how) => done(how)).once('error', fail) })
  clearTimeout(timer)
  groups.delete(child.pid!)
  const status = late ? `not done within ${limit} s` : signal ? `killed by ${signal}` : code === 0 ? '' : `exit status ${code}`
  return { status, output, seconds: (performance.now() - started) / 1000 }
}

/** The totals that the output ends with, and what is wrong with them. */
function judge(status: string, output: string): Result {
  const skips = [...output.matchAll(/^.*?SKIP (.+)$/gm)].map((match) => match[1]!)
  const totals = /\n {2}Total: +(\d+)\n {2}Passed: +(\d+)\n {2}Skipped: +(\d+)\n {2}Duration: [^\n]*\s*$/.exec(output)
  const line = /(?:^|\n)(\d+) passed, (\d+) failed, (\d+) skipped\s*$/.exec(output)
  const wrong: string[] = []
  let [passed, failed, skipped] = [0, 0, skips.length]
  if (totals) [passed, failed, skipped] = [Number(totals[2]), Number(totals[1]) - Number(totals[2]), Number(totals[3])]
  else if (line) [passed, failed, skipped] = [Number(line[1]), Number(line[2]), Number(line[3])]
  else wrong.push('ended without totals')
  if (status && (failed === 0 || status !== 'exit status 1')) wrong.push(status)
  if (passed + failed + skipped === 0 && wrong.length === 0) wrong.push('has no tests')
  while (skips.length < skipped) skips.push('a test, with no reason given (test.skip, or test.only elsewhere in the file)')
  return { passed, failed: failed + (failed === 0 && wrong.length > 0 ? 1 : 0), skipped, skips, wrong }
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({ options: { jobs: { type: 'string', short: 'j', default: '2' }, list: { type: 'boolean' } }, allowPositionals: true })
  const files = choose(positionals).sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1))
  const unknown = positionals.filter((word) => choose([word]).length === 0)
  const jobs = Number(values.jobs)
  if (unknown.length > 0 || !(Number.isInteger(jobs) && jobs > 0)) {
    console.error(unknown.length > 0 ? `No test file is called ${unknown.join(' or ')}. There are: ${discover().map((file) => file.name).sort().join(' ')}` : `-j takes a number of files to run at once, not ${values.jobs}.`)
    return 2
  }
  if (values.list) { for (const file of files) console.log(file.name); return 0 }

  const sum = { passed: 0, failed: 0, skipped: 0 }
  const skips: string[] = [], red: string[] = []
  const width = Math.max(...files.map((file) => file.name.length))
  const waiting = [...files]
  async function one(file: TestFile): Promise<void> {
    const { status, output, seconds } = await run(file)
    const result = judge(status, output)
    sum.passed += result.passed; sum.failed += result.failed; sum.skipped += result.skipped
    skips.push(...result.skips.map((skip) => `${file.name}: ${skip}`))
    if (result.failed > 0) {
      red.push([file.name, ...result.wrong].join(': '))
      console.log(`\n==== ${red.at(-1)} ====\n${output.trimEnd()}\n==== end of ${file.name} ====\n`)
    }
    const count = `${result.passed} passed${result.failed ? `, ${result.failed} FAILED` : ''}${result.skipped ? `, ${result.skipped} skipped` : ''}`
    console.log(`${result.failed ? 'FAIL' : 'ok  '} ${file.name.padEnd(width)} ${seconds.toFixed(1).padStart(6)} s  ${count}`)
  }
  async function lane(): Promise<void> {
    for (let file = waiting.shift(); file; file = waiting.shift()) await one(file)
  }
  // Three machines fill the processors by themselves, and what runs beside them waits longer than it would behind them.
  if (waiting[0]?.name === 'guest') await one(waiting.shift()!)
  await Promise.all(Array.from({ length: jobs }, lane))

  if (skips.length > 0) console.log(`\nSkipped:\n${skips.map((skip) => `  ${skip}`).join('\n')}`)
  if (red.length > 0) console.log(`\nFailed:\n${red.map((name) => `  ${name}`).join('\n')}`)
  if (sum.skipped > 0 && process.env.CI === 'true') {
    console.log(`\nUnder CI=true what is skipped has failed (${sum.skipped}).`)
    sum.failed += sum.skipped
    sum.skipped = 0
  }
  console.log(`\n${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`)
  return sum.failed > 0 ? 1 : 0
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => { for (const pid of groups) endGroup(pid); process.exit(130) })
process.exitCode = await main()
