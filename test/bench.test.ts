// The load generator, against servers of ours that are right, wrong, and gone. Figures are printed and never judged.

import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Histogram } from '../server/cli/bench/histogram.ts'
import type { Result } from '../server/cli/bench/round.ts'
import { workloads } from '../server/cli/bench/workloads.ts'
import { serve } from '../server/server.ts'
import { fault } from '../translators/fault/fault.ts'
import { memory } from '../translators/memory/memory.ts'
import type { Translator } from '../translators/translator.ts'
import { median, plot, table } from './bench/report.ts'
import { requires } from './needs.ts'

const test = suite('bench')
const here = dirname(fileURLToPath(import.meta.url)), bin = resolve(here, '../../bin/ninefold')

interface Ended { readonly code: number | null; readonly out: string; readonly err: string }
function run(program: string, words: readonly string[], signal?: { after: string; name: NodeJS.Signals }): Promise<Ended> {
  return new Promise((done, fail) => {
    const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'] })
    let out = '', err = ''
    child.stdout.on('data', (bytes) => {
      out += bytes
      if (signal && out.includes(signal.after)) child.kill(signal.name)
    })
    child.stderr.on('data', (bytes) => { err += bytes })
    child.once('error', fail).once('close', (code) => done({ code, out, err }))
  })
}
async function over(brick: Translator, work: (url: string, left: () => Promise<string[]>) => Promise<void>): Promise<void> {
  const server = await serve({ listen: ['tcp://127.0.0.1:0'], namespace: new Map([['/', brick]]) })
  const left = async () => (await run(bin, ['ls', '-a', '/', '--server', server.urls[0]!])).out.split('\n').filter(Boolean)
  try { await work(server.urls[0]!, left) } finally { await server.stop() }
}
const short = ['--duration', '60ms', '--warmup', '20ms', '--files', '50', '--entries', '300', '--file-size', '2MiB']

test('every workload runs, counts, and leaves nothing behind', async () => over(await memory({}), async (url, left) => {
  const { code, out, err } = await run(bin, ['bench', url, ...Object.keys(workloads).flatMap((name) => ['-w', name]), '--connections', '2', '--depth', '3', '--server-pid', String(process.pid), '--json', ...short])
  assert.equal([code, err], [0, ''])
  const results = out.trim().split('\n').map((line) => JSON.parse(line) as Result)
  assert.equal(results.map(({ workload }) => workload), [
    'getattr', 'walk-4', 'stat', 'lookup-create-unlink', 'smallfiles.create', 'smallfiles.read', 'smallfiles.unlink', 'readdir-300', 'seqwrite', 'seqread', 'randread', 'randwrite', 'mixed-70/30', 'fsync-append', 'verify',
  ])
  const requests: Readonly<Record<string, number>> = { getattr: 1, 'walk-4': 2, stat: 3, 'lookup-create-unlink': 5, 'smallfiles.create': 4, 'smallfiles.read': 4, 'smallfiles.unlink': 1, seqread: 1, 'fsync-append': 2 }
  for (const { workload, connections, depth, operations, requests: all, errors, latency, cpu, serverRss, seconds, bytes, entries } of results) {
    assert.equal([connections, depth, errors], [2, 3, 0], workload)
    assert.ok(operations > 0 && seconds > 0 && latency.p50 > 0 && latency.p50 <= latency.p99 && latency.p99 <= latency.p999 && latency.p999 <= latency.max, workload)
    assert.ok(cpu.client > 0 && cpu.server! >= 0 && serverRss! > 1000, workload)
    const each = requests[workload]
    if (each !== undefined) assert.ok(all >= operations * each, `${workload}: ${all} requests for ${operations}`)
    if (workload.startsWith('smallfiles')) assert.equal([operations, all], [50, 50 * each!])
    if (workload === 'seqread') assert.is(bytes, operations * (65536 - 24))
    if (workload === 'readdir-300') assert.is(entries, operations * 300)
  }
  assert.equal(await left(), [])
}))

test('a server that gives other bytes than it took is found out', async () => {
  for (const [ops, workload, says] of [['read', 'smallfiles', /^.*read: EIO/m], ['fsync', 'fsync-append', /fsync: EIO/], ['unlinkat', 'lookup-create-unlink', /unlink: EIO/]] as const) {
    await over(await fault({ ops, 'error-rate': 0.2 }, await memory({})), async (url) => {
      const { code, out } = await run(bin, ['bench', url, '-w', workload, ...short])
      assert.is(code, 1, out)
      assert.match(out, says)
    })
  }
  await over(await fault({ 'short-read-rate': 0.3 }, await memory({})), async (url) => {
    const { code, out } = await run(bin, ['bench', url, '-w', 'verify', ...short])
    assert.is(code, 1, out)
    assert.match(out, /errors, the first: read of \d+ at \d+: other bytes than were written/)
  })
})

test('what is typed wrong, and what is not there, is said', async () => {
  for (const [words, code, says] of [
    [['--depth', '0'], 2, /--depth: "0" is not an integer from 1 to 1024/], [['--duration', 'long'], 2, /--duration: "long" is not a duration/], [['-w', 'getatr'], 2, /getatr/],
    [['--suite', 'standard', '--depth', '2'], 2, /a suite has its own/], [['--suite', 'quick', '-w', 'stat'], 2, /exclude each other/], [['--server-pid', 'x'], 2, /takes the number of a process/],
    [[], 1, /Is it running\?/],
  ] as const) {
    const { code: got, err } = await run(bin, ['bench', 'tcp://127.0.0.1:1', ...words])
    assert.is(got, code, err)
    assert.match(err, says)
  }
})

test('what is interrupted takes its directory away', async () => over(await memory({}), async (url, left) => {
  const { code, err } = await run(bin, ['bench', url, '-w', 'getattr', '-w', 'stat', '-w', 'seqwrite', '--duration', '1s'], { after: 'getattr', name: 'SIGINT' })
  assert.is(code, 1)
  assert.match(err, /interrupted/)
  assert.equal(await left(), [])
}))

test('what loses its server ends, and says so', async () => {
  const server = await serve({ listen: ['tcp://127.0.0.1:0'], namespace: new Map([['/', await memory({})]]) })
  const ended = run(bin, ['bench', server.urls[0]!, '--duration', '60s'])
  for (let tries = 0; server.connections < 2 && tries < 500; tries++) await new Promise((resolve) => setTimeout(resolve, 10))
  await server.stop()
  const { code, err } = await ended
  assert.is(code, 1)
  assert.match(err, /closed the connection|reset|ended/i)
})

test('a histogram is right to 1.6 %', () => {
  const all = new Histogram()
  for (let i = 1; i <= 100_000; i++) all.add(i)
  assert.is(all.count, 100_000)
  for (const share of [0.1, 0.5, 0.9, 0.99, 0.999]) assert.ok(Math.abs(all.quantile(share) / (share * 100_000) - 1) < 0.016, String(all.quantile(share)))
  assert.is(all.quantile(1), 100_000)
  assert.ok(Math.abs(all.mean - 50_000.5) < 1)
  const one = new Histogram()
  one.add(1e9)
  assert.is(one.quantile(0.5), one.most)
})

test('ratios are taken round by round', () => {
  const at = (perSecond: number) => [{ workload: 'getattr', connections: 1, depth: 8, perSecond, mbPerSecond: 0, p99: 5, client: 1, server: 1, rss: 1 }]
  const section = { title: 'here', base: 'a', names: ['a', 'b'], samples: { a: [at(100), at(200), at(10)], b: [at(300), at(200), at(20)] } }
  assert.is(median([3, 1, 2]), 2)
  assert.match(table(section), /\| getattr 1x8 \| 100, p99 5 \| 200, p99 5, \*\*2\.00\*\* \[1\.00-3\.00\] \|/)
  assert.match(plot(section), /<rect .*<text [^>]*>2\.00<\/text>/s)
})

requires(test, 'diod', 'ganesha.nfsd', 'gcc')('all servers are compared, and none breaks', async () => {
  const { code, out, err } = await run(process.execPath, [join(here, 'bench/main.js'), '--quick'])
  assert.is(code, 0, err)
  for (const title of ['tmpfs, one processor', 'tmpfs, all processors', 'disk, one processor']) assert.ok(out.includes(`| ${title} |`), out)
  assert.ok(!out.includes('NaN'), out)
  assert.equal(readdirSync('/dev/shm').filter((name) => name.startsWith('ninefold-bench-')), [])
})

test.run()
