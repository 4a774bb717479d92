// npm run test:guest [-- --all] [--way WAY]: a real Linux kernel mounts the server, in each of the three ways of examples/qemu.
//
// One boot does the full list over posix and memory, two more run the checker; --all does everything in every way with every
// cache mode and writes RESULTS.md. What happened in a guest stays in test-output/guest when something failed.

import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { chmod, cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { missing } from '../needs.ts'
import { agent, checker, root } from './build.ts'
import { capture } from './capture.ts'
import { chapter, twice, ways, type Way } from './chapters.ts'
import { Guest } from './guest.ts'
import { initramfs, kernel, type Kernel } from './kernel.ts'
import { caches, lists, prepare, type Cache, type Entry, type Result, type Tools } from './list.ts'
import { serve } from './serve.ts'

const backends = ['posix', 'memory'] as const
type Backend = (typeof backends)[number]
interface Mount { readonly backend: Backend; readonly cache: Cache; readonly list: readonly Entry[] }
interface Boot { readonly way: Way; readonly mounts: readonly Mount[]; readonly capture?: boolean }

const all: readonly Boot[] = ways.map((way) => ({ way, capture: way === 'tcp', mounts: backends.flatMap((backend) => caches.map((cache) => ({ backend, cache, list: lists.full }))) }))
const usual: readonly Boot[] = [
  { way: 'tcp', capture: true, mounts: backends.map((backend) => ({ backend, cache: 'none', list: lists.programs })) },
  { way: 'guestfwd', mounts: [{ backend: 'posix', cache: 'mmap', list: lists.checker }] },
  { way: 'console', mounts: [{ backend: 'memory', cache: 'loose', list: lists.checker }] },
]

const output = join(root, 'test-output/guest')
const totals = { passed: 0, failed: 0, skipped: 0 }
/** For RESULTS.md: what came of each entry, by mount. */
const table = new Map<string, Map<string, string>>()

/** Counts and prints what one entry gave. An entry of many results is one line, and one more for each that is wrong. */
function report(where: string, entry: string, results: readonly Result[], seconds: number): void {
  const count = (how: Result['how']) => results.filter((result) => result.how === how).length
  const [ok, foreseen, wrong, skipped] = [count('ok'), count('expected'), count('not ok'), count('skip')]
  totals.passed += ok + foreseen
  totals.failed += wrong
  totals.skipped += skipped
  const many = results.length > 1 ? ` (${ok} ok${foreseen ? `, ${foreseen} as expected of 9P` : ''}${wrong ? `, ${wrong} not ok` : ''}${skipped ? `, ${skipped} skipped` : ''})` : ''
  console.log(`${wrong ? 'not ok' : skipped === results.length ? 'skip' : 'ok'} ${where}: ${entry}${many}, ${seconds.toFixed(0)} s`)
  for (const { name, how, why } of results) {
    if (how === 'not ok') console.log(`    ${name}: ${why}`)
    if (how === 'skip') console.log(`SKIP ${where}: ${name}: ${why?.replaceAll('\n', ' ')}`)
  }
  if (!table.has(where)) table.set(where, new Map())
  table.get(where)!.set(entry, wrong ? `**${wrong} not ok**` : skipped === results.length ? 'skipped' : results.length > 1 ? `${ok} ok${foreseen ? ` + ${foreseen}` : ''}` : 'ok')
}

async function freePort(): Promise<number> {
  const door = createServer().listen(0, '127.0.0.1')
  await once(door, 'listening')
  const { port } = door.address() as AddressInfo
  door.close()
  return port
}

/** The chapter's lines for a mount: at `dir`, with what this run changes. */
function mountLine(line: string, dir: string, backend: Backend, options: readonly string[]): string {
  const more = backend === 'posix' ? options : [...options, `aname=/${backend}`]
  return line.replace(/(msize=\d+)(.*) \/mnt\b/, (_, msize: string, rest: string) => `${[msize, ...more].join(',')}${rest} ${dir}`)
}

/** Mounts one way, once as the chapter has it and once more (without ACLs, as many do), does the list, and unmounts. True: all went well. */
async function work(guest: Guest, where: string, { backend, cache, list }: Mount, { mount, second }: { mount: string; second: string }, url: string, tools: Tools): Promise<boolean> {
  const at = backend === 'posix' ? '/mnt' : `/mnt-${backend}`, other = `/mnt-${backend}-2`
  let well = true
  const judge = (entry: string, results: readonly Result[], started: number) => {
    report(where, entry, results, (performance.now() - started) / 1000)
    if (results.some(({ how }) => how === 'not ok')) well = false
  }
  const demand = async (lines: string, limit: number) => {
    const ran = await guest.sh(lines, { limit })
    if (ran.status !== 0) throw new Error(`${lines}: ${ran.late ? `not done within ${limit} s` : ran.err}`)
  }
  const mode = cache === 'none' ? [] : [`cache=${cache}`]
  try {
    await demand(`mkdir -p ${at} ${other}\n${mountLine(mount, at, backend, mode)}\n${mountLine(second.replace('posixacl,', ''), other, backend, mode)}\nmkdir -m 777 ${at}/${cache}`, 30)
    for (const [i, entry] of list.entries()) {
      const started = performance.now(), dir = `${cache}/${i}`
      const lacks = (entry.needs ?? []).map(missing).filter((reason) => reason !== undefined)
      if (lacks.length > 0) { judge(entry.name, [{ name: entry.name, how: 'skip', why: lacks.join(' ') }], started); continue }
      try {
        await demand(`mkdir -m 777 ${at}/${dir}`, 10)
        const bench = { guest, dir: `${at}/${dir}`, other: `${other}/${dir}`, url, path: `${backend === 'posix' ? '' : backend}/${dir}`, cache, tools }
        judge(entry.name, await entry.run(bench) ?? [{ name: entry.name, how: 'ok' }], started)
        await guest.sh(`rm -rf ${at}/${dir}`, { limit: 120 })
      } catch (e) {
        judge(entry.name, [{ name: entry.name, how: 'not ok', why: (e as Error).message }], started)
      }
    }
    await demand(`umount ${other}; umount ${at}`, 60)
  } catch (e) {
    judge('mount and unmount', [{ name: 'mount', how: 'not ok', why: (e as Error).message }], performance.now())
  }
  return well
}

async function boot({ way, mounts, capture: captured }: Boot, machine: Kernel & { agent: string; counterKHz: number }, tools: Tools, home: string): Promise<void> {
  await mkdir(join(home, 'export'), { recursive: true })
  await mkdir(join(home, 'run'))
  await chmod(join(home, 'export'), 0o777)
  const port = await freePort()
  const url = way === 'tcp' ? `tcp://127.0.0.1:${port}` : `unix:${home}/run/ninefold.sock`
  const lines = twice(way, chapter(way, port))
  let well = true
  try {
    // The chapter's line, with what only root has: devices and trusted.* of a host directory; and memory beside it.
    const more = ['--at', `/=posix ./export ${process.getuid!() === 0 ? 'devices=on host-caps=on' : 'owner=mapped'}`, '--at', '/memory=memory']
    await using server = await serve(home, [...lines.serve, ...more])
    await initramfs(join(home, 'initramfs'), machine, machine.agent)
    await using guest = await Guest.boot({ ...machine, initramfs: join(home, 'initramfs'), devices: lines.devices, home, cwd: home })
    // By TCP both translators at once: a guest waits more than it works. The other ways have one connection for each mount.
    const lanes = way === 'tcp' ? backends.map((backend) => mounts.filter((mount) => mount.backend === backend)) : [mounts]
    const done = lanes.map(async (lane) => {
      for (const mount of lane) well = await work(guest, `${way} ${mount.backend} cache=${mount.cache}`, mount, lines, url, tools) && well
    })
    await Promise.all(done)
    if (captured) {
      const started = performance.now()
      const results = await capture(guest, port, join(home, 'session.pcap'), lines.mount, tools.checker)
      report(way, 'the session is 9P to tshark', results, (performance.now() - started) / 1000)
      well &&= results.every(({ how }) => how !== 'not ok')
    }
    if (!well) await guest.keep()
  } catch (e) {
    well = false
    report(way, 'boot', [{ name: 'boot', how: 'not ok', why: (e as Error).stack }], 0)
  } finally {
    if (!well) await keep(home, way)
  }
}

/** Copies what tells of a failure to test-output. */
async function keep(home: string, way: Way): Promise<void> {
  const to = join(output, way)
  await mkdir(to, { recursive: true })
  for (const file of await readdir(home)) if (/^(console\.log|dmesg|server\.log|session\.pcap)$/.test(file)) await cp(join(home, file), join(to, file))
  console.log(`# see ${to}`)
}

function skipAll(reason: string): never {
  console.log(`SKIP guest: ${reason.replaceAll('\n', ' ')}\n0 passed, 0 failed, 1 skipped`)
  process.exit(process.env['CI'] === 'true' ? 1 : 0)
}

const { values } = parseArgs({ options: { all: { type: 'boolean', default: false }, way: { type: 'string' }, entry: { type: 'string' } } })
const lacks = ['qemu-system-x86_64', 'gcc', 'xz', 'apt-get', 'dpkg-deb', 'tar'].map(missing).filter((reason) => reason !== undefined)
if (process.arch !== 'x64') skipAll('the guest is an x86-64 machine: run this on one')
if (lacks.length > 0) skipAll(lacks.join(' '))
const found = await kernel().catch((e: Error) => skipAll(`no kernel for it (${e.message}). Get Debian's list of packages: apt-get update`))

await rm(output, { recursive: true, force: true })
const home = await mkdtemp('/var/tmp/ninefold-guest-')   // on a disk, where files have user.* attributes; and its name is short, as those of sockets must be
process.once('exit', () => rmSync(home, { recursive: true, force: true }))
await chmod(home, 0o755)
const [built, program] = await Promise.all([agent(home), checker(home)])
const tools = await prepare(home, program)
const boots = (values.all ? all : usual).filter(({ way }) => !values.way || way === values.way)
  .map((boot) => values.entry === undefined ? boot : { ...boot, mounts: boot.mounts.map((mount) => ({ ...mount, list: mount.list.filter(({ name }) => name.includes(values.entry!)) })) })
await Promise.all(boots.map((one) => boot(one, { ...found, ...built }, tools, join(home, one.way))))
if (values.all && !values.way && values.entry === undefined) await writeFile(join(root, 'test/guest/RESULTS.md'), results(found.release))
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`)
process.exitCode = totals.failed > 0 || (process.env['CI'] === 'true' && totals.skipped > 0) ? 1 : 0

/** The page that is checked in. */
function results(release: string): string {
  const tables = ways.map((way) => {
    const mounts = backends.flatMap((backend) => caches.map((cache) => `${backend} cache=${cache}`))
    const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
    const entries = [...lists.full.map(({ name }) => name), 'mount and unmount'].filter((name) => mounts.some((mount) => table.get(`${way} ${mount}`)?.has(name)))
    const rows = entries.map((name) => row([name, ...mounts.map((mount) => table.get(`${way} ${mount}`)?.get(name) ?? '-')]))
    const capture = [...table.get(way) ?? []].map(([name, what]) => `\n${name}: ${what}.\n`)
    return `## ${way}\n\n${row(['', ...mounts])}\n${row(Array(mounts.length + 1).fill('---'))}\n${rows.join('\n')}\n${capture.join('')}`
  })
  return `# What a Linux guest made of it

Written by \`npm run test:guest -- --all\` on ${new Date().toISOString().slice(0, 10)}, Linux ${release} in the guest: ${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped.
"342 ok + 16": so many promises kept, and so many that [expected.txt](checker/expected.txt) says 9P or this kernel can't keep.

${tables.join('\n')}`
}
