// node dist/test/bench/mount.js [--rounds 5]: `ninefold mount` beside bindfs, both over the same tmpfs folder with the same timeouts, in turn. As root, on
// a machine that does nothing else. Prints medians, and what part of bindfs' they are.

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { missing } from '../needs.ts'
import { root } from '../guest/build.ts'
import { median } from './report.ts'

const run = promisify(execFile), program = join(root, 'bin/ninefold'), small = fileURLToPath(new URL('small.js', import.meta.url))
const { values } = parseArgs({ options: { rounds: { type: 'string', default: '5' }, files: { type: 'string', default: '2000' } } })
const lacks = ['bindfs', 'fio'].map(missing).filter((reason) => reason !== undefined)
if (lacks.length > 0) { console.error(lacks.join('\n')); process.exit(1) }

const home = await mkdtemp('/dev/shm/ninefold-bench-'), source = join(home, 'source'), url = `unix:${home}/s.sock`
const places = { bindfs: join(home, 'bindfs'), ninefold: join(home, 'ninefold') } as const
type Place = keyof typeof places
for (const dir of [source, ...Object.values(places)]) await mkdir(dir)

/** Starts what serves, and waits for its words. */
async function serving(args: readonly string[], says: RegExp): Promise<{ end(): Promise<void> }> {
  const child = spawn(process.execPath, [program, ...args], { cwd: home, stdio: ['ignore', 'pipe', 'inherit'] }), gone = once(child, 'exit')
  let out = ''
  await new Promise<void>((done) => { child.stdout.on('data', (bytes: Buffer) => { out += bytes.toString(); if (says.test(out)) done() }); void gone.then(() => done()) })
  return { async end() { child.kill('SIGTERM'); await gone } }
}
async function fio(dir: string, rw: 'read' | 'write'): Promise<number> {
  const { stdout } = await run('fio', ['--name=stream', `--directory=${dir}`, `--rw=${rw}`, '--bs=1m', '--size=512m', '--ioengine=psync', '--output-format=json', ...rw === 'read' ? ['--invalidate=1'] : ['--end_fsync=1']])
  return (JSON.parse(stdout) as { jobs: Record<string, { bw_bytes: number }>[] }).jobs[0]![rw]!.bw_bytes / 1e6
}
async function round(place: Place): Promise<Record<string, number>> {
  const dir = places[place], { stdout } = await run(process.execPath, [small, dir, values.files])
  const result = JSON.parse(stdout) as Record<string, number>
  const write = await fio(dir, 'write'), read = await fio(dir, 'read')
  await rm(join(source, 'stream.0.0'), { force: true })
  return { ...result, 'sequential write, MB/s': write, 'sequential read, MB/s': read }
}

const server = await serving(['serve', '--at', '/=posix ./source', '--listen', url, '--log', 'warn'], /^mount -t 9p /m)
const mount = await serving(['mount', '-f', url, places.ninefold, '-o', 'allow_other,default_permissions'], /is mounted on/)
await run('bindfs', ['-o', 'attr_timeout=1,entry_timeout=1', source, places.bindfs])
try {
  const all: Record<Place, Record<string, number>[]> = { bindfs: [], ninefold: [] }
  for (let i = 0; i < Number(values.rounds); i++) for (const place of Object.keys(places) as Place[]) all[place].push(await round(place))
  console.log('| | bindfs | ninefold mount | ratio |\n|---|---|---|---|')
  for (const what of Object.keys(all.bindfs[0]!)) {
    const [theirs, ours] = (['bindfs', 'ninefold'] as const).map((place) => median(all[place].map((one) => one[what]!)))
    const [low, high] = [Math.min, Math.max].map((pick) => pick(...all.ninefold.map((one, i) => one[what]! / all.bindfs[i]![what]!)))
    const name = what.includes(',') ? what : `${what}, 1/s`
    console.log(`| ${name} | ${Math.round(theirs!)} | ${Math.round(ours!)} | ${(ours! / theirs!).toFixed(2)} [${low!.toFixed(2)}–${high!.toFixed(2)}] |`)
  }
} finally {
  await run('umount', [places.bindfs]).catch(() => {})
  await mount.end()
  await server.end()
  await rm(home, { recursive: true, force: true })
}
