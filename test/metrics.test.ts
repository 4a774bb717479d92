// What Prometheus reads, from a server that is at work.

import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { connect, O } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseConfig } from '../server/config.ts'
import { parseStack } from '../server/stack.ts'
import { Totals } from '../server/totals.ts'
import { silent } from '../translators/options.ts'
import { startStack } from './started.ts'

const bin = join(resolve(fileURLToPath(import.meta.url), '../../..'), 'bin/ninefold')
const test = suite('metrics')

interface Sample { readonly name: string; readonly labels: Record<string, string>; readonly value: number }
/** The text format, version 0.0.4, each line of which must be one. */
function parse(text: string): { samples: Sample[]; types: Map<string, string> } {
  const samples: Sample[] = [], types = new Map<string, string>()
  for (const line of text.split('\n')) {
    const type = /^# TYPE (\S+) (counter|gauge|histogram|summary)$/.exec(line)
    if (type) { assert.not.ok(types.has(type[1]!), line); types.set(type[1]!, type[2]!) }
    if (line === '' || line.startsWith('#')) continue
    const [, name, inside = '', value] = /^([a-z_][a-z0-9_]*)(?:\{(.*)\})? (-?[0-9.e+-]+|NaN|\+Inf|Nan)$/.exec(line) ?? []
    assert.ok(name !== undefined, line)
    const labels = Object.fromEntries([...inside.matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, text]) => [key!, text!.replace(/\\(.)/g, (_, c: string) => c === 'n' ? '\n' : c)]))
    samples.push({ name: name!, labels, value: Number(value) })
  }
  return { samples, types }
}

test('a server at work is scraped and parsed', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ninefold-metrics-'))
  writeFileSync(join(folder, 'n.yaml'), 'listen: unix:./s.sock\nmetrics: tcp://127.0.0.1:0\nnamespace: { /: memory, "/odd \\"path\\\\": "rot13 | memory" }\n')
  const child = spawn(bin, ['serve', 'n.yaml'], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    const url = await new Promise<string>((ready, fail) => {
      let out = ''
      child.stdout.setEncoding('utf8').on('data', (text: string) => { const found = /^metrics: (http:.*)\n/m.exec(out += text); if (found) ready(found[1]!) })
      child.once('close', (code) => fail(new Error(`serve ended with ${code}`)))
    })
    const scrape = async () => {
      const answer = await fetch(url)
      assert.is(answer.status, 200)
      assert.match(answer.headers.get('content-type')!, /^text\/plain; version=0\.0\.4/)
      return parse(await answer.text())
    }
    const odd = '/odd "path\\'
    const client = await connect(`unix:${folder}/s.sock`), root = await client.attach({}), dir = await root.walk(odd.slice(1))
    await using file = await dir.create('f', O.RDWR, 0o644)
    const N = 1000, size = 100
    for (let i = 0; i < N; i++) await file.write(Buffer.alloc(size, 'x'), i * size)
    const { samples, types } = await scrape()
    const get = (name: string, labels: Record<string, string> = {}) => samples.filter((each) => each.name === name && Object.entries(labels).every(([key, value]) => each.labels[key] === value))
    for (const translator of ['rot13', 'memory']) {
      const labels = { path: odd, translator, op: 'write' }
      assert.equal(get('ninefold_calls_total', labels).map(({ value }) => value), [N])
      assert.equal(get('ninefold_bytes_total', labels).map(({ value }) => value), [N * size])
      assert.equal(get('ninefold_errors_total', labels), [])
      const buckets = get('ninefold_own_seconds_bucket', labels), [count] = get('ninefold_own_seconds_count', labels), [sum] = get('ninefold_own_seconds_sum', labels)
      assert.ok(count!.value > 0 && count!.value <= N, JSON.stringify(count))
      assert.ok(sum!.value > 0)
      assert.is(buckets.length, 14)
      assert.is(buckets.at(-1)!.labels.le, '+Inf')
      assert.is(buckets.at(-1)!.value, count!.value)
      for (let i = 1; i < buckets.length; i++) {
        assert.ok(buckets[i]!.value >= buckets[i - 1]!.value)
        if (i < buckets.length - 1) assert.ok(Math.abs(Number(buckets[i]!.labels.le) / Number(buckets[i - 1]!.labels.le) - 4) < 1e-9)
      }
      assert.is(get('ninefold_pending_calls', { path: odd, translator }).length, 1)
    }
    assert.is(get('ninefold_connections')[0]!.value, 1)
    assert.is(get('ninefold_fids')[0]!.value, 3)
    assert.is(get('ninefold_mounts')[0]!.value, 2)
    assert.is(get('ninefold_requests_in_flight')[0]!.value, 0)
    assert.ok(get('ninefold_held_bytes').length === 1 && get('process_resident_memory_bytes')[0]!.value > 1e6)
    assert.is(types.get('ninefold_calls_total'), 'counter')
    assert.is(types.get('ninefold_own_seconds'), 'histogram')
    for (const { name } of samples) assert.ok([name, name.replace(/_(bucket|sum|count)$/, '')].some((each) => types.has(each)), name)

    await client.close()
    const run = (...words: string[]) => spawnSync(bin, words, { env: { ...process.env, NINEFOLD_SERVER: `unix:${folder}/s.sock` }, encoding: 'utf8' })
    assert.is(run('settrans', '-g', '-f', odd).stderr, '')
    const after = await scrape()
    assert.is(after.samples.find(({ name, labels }) => name === 'ninefold_calls_total' && labels.path === odd && labels.translator === 'memory' && labels.op === 'write')!.value, N, 'a counter stays when what it counted has gone')
    for (const [path, method, status] of [['/', 'GET', 404], ['/metrics', 'POST', 405], ['/metrics', 'HEAD', 200]] as const) assert.is((await fetch(new URL(path, url), { method })).status, status)
    assert.match(run('serve', '--at', '/=memory', '--listen', `unix:${folder}/t.sock`, '--metrics', url.replace('http', 'tcp').replace('/metrics', '')).stderr, /metrics: tcp:\/\/127\.0\.0\.1:\d+: listen EADDRINUSE/)
    child.kill('SIGTERM')
    assert.is(await new Promise((done) => child.once('close', done)), 0)
  } finally {
    child.kill('SIGKILL')
    rmSync(folder, { recursive: true })
  }
})

test('an address that is none is refused, with its place', () => {
  for (const [url, says] of [['unix:./m.sock', 'n.yaml:1:10: metrics: unix:./m.sock: metrics are had over TCP. Write tcp://127.0.0.1:9100'], ['9100', /^n\.yaml:1:10: metrics: 9100/]] as const) {
    try { parseConfig(`metrics: "${url}"\nnamespace: { /: memory }\n`, 'n.yaml'); assert.unreachable() } catch (e) {
      if (typeof says === 'string') assert.is((e as Error).message, says)
      else assert.match((e as Error).message, says)
    }
  }
  assert.match(spawnSync(bin, ['serve', '--at', '/=memory', '--metrics', 'fd:3'], { encoding: 'utf8' }).stderr, /--metrics fd:3: metrics are had over TCP/)
})

test('paths that come and go cost a bounded number of labels, and none of the counts', async () => {
  const meters = new Totals(), calls = () => meters.pairs().reduce((sum, { sums }) => sum + (sums.get('getattr')?.calls ?? 0), 0)
  const start = (i: number) => startStack(parseStack('memory'), { path: `/${i}`, log: silent, meters })
  const call = async (i: number) => {
    const stack = await start(i), node = await stack.attach('')
    await node.getattr(0)
    await node.close()
    return stack
  }
  for (let i = 0; i < 700; i++) await (await call(i)).close()
  assert.is(calls(), 700)
  assert.is(meters.pairs().length, 101)
  const live = []
  for (let i = 1000; i < 1700; i++) live.push(await call(i))
  assert.is(calls(), 1400)
  assert.is(meters.pairs().length, 601)
  for (const stack of live) await stack.close()
  assert.is(calls(), 1400)
  assert.is(meters.pairs().length, 101)
})

test.run()
