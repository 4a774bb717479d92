// npm run bench: servers against each other, in turn, on the same folder of the same machine. Figures are never a failure; a run that breaks is.
//
//   --quick            one short round of each (2 minutes)
//   --compare REF      this checkout against another commit of it, and no one else
//   --only WORDS       sections whose title has one of these words

import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Result } from '../../server/cli/bench/round.ts'
import { root } from '../guest/build.ts'
import { plot, table } from './report.ts'
import type { Sample, Section } from './report.ts'
import { inMemory, others, ours, posix, snapshot } from './servers.ts'
import type { Contender } from './servers.ts'
import type { Foreign } from '../foreign.ts'

interface Plan { readonly title: string; readonly suite: string; readonly parent: string; readonly pinned: boolean; readonly contenders: readonly Contender[]; readonly base: string }

const { values: { quick, compare, only } } = parseArgs({ options: { quick: { type: 'boolean', default: false }, compare: { type: 'string' }, only: { type: 'string', multiple: true, default: [] } } })
const rounds = quick ? 1 : 5, seconds = quick ? '150ms' : '400ms', warmup = quick ? '100ms' : '200ms'

/** One contender's round: every workload of the suite. */
async function round({ name, suite }: Contender, { url, aname, pid }: Foreign, plan: Plan): Promise<Sample[]> {
  const words = [...pin(plan), process.execPath, join(root, 'bin/ninefold'), 'bench', url, '--aname', aname, '--suite', suite ?? plan.suite, '--duration', seconds, '--warmup', warmup,
    '--msize', '65536', '--server-pid', String(pid), '--json']
  return (await output(words)).split('\n').filter(Boolean).map((line): Sample => {
    const { workload, connections, depth, operations, bytes, seconds, latency: { p99 }, cpu, serverRss, errors, error } = JSON.parse(line) as Result
    if (errors > 0) throw new Error(`${name}: ${workload}: ${errors} errors, the first: ${error}`)
    return { workload, connections, depth, perSecond: operations / seconds, mbPerSecond: bytes / seconds / 1e6, p99, client: cpu.client, server: cpu.server!, rss: serverRss! }
  })
}
function pin({ pinned }: Plan): string[] { return pinned ? ['taskset', '-c', String(availableParallelism() - 1)] : [] }
function output([program, ...words]: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program!, words, { stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    child.stdout.on('data', (bytes) => { text += bytes })
    child.on('error', reject)
    child.on('close', (code) => { if (code === 0) resolve(text); else reject(new Error(`${words.join(' ')} ended with ${code}\n${text}`)) })
  })
}

/** All servers run from the first round to the last, on one folder: a server that has just begun is not what anyone uses. */
async function section(plan: Plan): Promise<Section> {
  const { contenders, title, base } = plan, dir = mkdtempSync(join(plan.parent, 'ninefold-bench-')), servers = new Map<Contender, Foreign>()
  const samples: Record<string, Sample[][]> = Object.fromEntries(contenders.map(({ name }) => [name, []]))
  try {
    for (const contender of contenders) servers.set(contender, await contender.start(dir, pin(plan)))
    for (let i = 0; i < rounds; i++) {
      // A B C, then C B A: what drifts falls on all alike.
      for (const contender of i % 2 === 0 ? contenders : [...contenders].reverse()) {
        process.stderr.write(`${title}: round ${i + 1} of ${rounds}, ${contender.name}\n`)
        samples[contender.name]!.push(await round(contender, servers.get(contender)!, plan))
      }
    }
  } finally {
    for (const server of servers.values()) await server.stop()
    rmSync(dir, { recursive: true })
  }
  return { title, base, names: contenders.map(({ name }) => name), samples }
}

/** Another commit, built beside this one. */
function checkout(ref: string): { at: string; remove(): void } {
  const at = mkdtempSync(join(tmpdir(), 'ninefold-compare-'))
  execFileSync('git', ['worktree', 'add', '--detach', at, ref], { cwd: root, stdio: 'ignore' })
  execFileSync('npm', ['ci', '--prefer-offline', '--no-audit', '--no-fund'], { cwd: at, stdio: ['ignore', 'ignore', 'inherit'] })
  execFileSync(join(at, 'node_modules/.bin/tsc'), ['-b'], { cwd: at, stdio: 'inherit' })
  return { at, remove: () => { execFileSync('git', ['worktree', 'remove', '--force', at], { cwd: root }) } }
}

const shm = '/dev/shm', disk = tmpdir()
const other = compare === undefined ? undefined : checkout(compare)
try {
  const all = [posix, ...others, ...inMemory]
  const plans: Plan[] = other ? [
    ...[['posix', (dir: string) => `posix ${dir}`], ['memory', () => 'memory']].map(([name, stack]): Plan => ({
      title: `${name as string}, this and ${compare}`, suite: 'standard', parent: shm, pinned: true, base: compare!,
      contenders: [ours('this', stack as (dir: string) => string), ours(compare!, stack as (dir: string) => string, other.at)],
    })),
  ] : [
    { title: 'tmpfs, one processor', suite: 'standard', parent: shm, pinned: true, contenders: all, base: 'diod' },
    { title: 'tmpfs, all processors', suite: 'standard', parent: shm, pinned: false, contenders: all, base: 'diod' },
    { title: 'snapshot over posix, disk', suite: 'standard', parent: disk, pinned: false, contenders: [posix, snapshot], base: 'posix' },
    { title: 'disk, one processor', suite: 'disk', parent: disk, pinned: true, contenders: [posix, ...others], base: 'diod' },
  ]
  const chosen = plans.filter(({ title }) => only.length === 0 || only.some((word) => title.includes(word)))
  if (chosen.length === 0) throw new Error(`--only: no section has that in its title: ${plans.map(({ title }) => title).join('; ')}`)
  const began = Date.now(), sections: Section[] = []
  for (const plan of chosen) sections.push(await section(plan))
  const about = `Linux ${release()}, ${availableParallelism()} processors (${cpus()[0]!.model}), Node ${process.version}, msize 65536, medians of ${rounds}, ${new Date().toISOString().slice(0, 10)}, ${Math.round((Date.now() - began) / 1000)} s.`
  const text = `# Servers beside each other\n\nMade by \`npm run bench\`: ${about}\nOperations a second, p99 in us; bold: the ratio to ${sections[0]!.base}, taken round by round, with its range. The client is ours, and on the same processor where that is one.\n\n${sections.map(table).join('\n\n')}\n`
  process.stdout.write(text)
  if (!quick && !other && only.length === 0) {
    const results = join(root, 'test/bench/results')
    mkdirSync(results, { recursive: true })
    writeFileSync(join(results, 'servers.md'), text)
    writeFileSync(join(results, 'servers.json'), `${JSON.stringify(sections)}\n`)
    writeFileSync(join(results, 'servers.svg'), plot(sections[0]!))
  }
} finally { other?.remove() }
