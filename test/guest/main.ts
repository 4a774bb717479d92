// npm run test:guest [-- --all] [-- --way WAY] [-- --entry WORDS]: a real Linux kernel mounts the server, as examples/qemu says.
//
// One boot does the full list over posix and memory, two more run the checker, and "older" runs it in 9P2000.u and 9P2000; --all does
// everything in every way with every cache mode and writes RESULTS.md. --way (or older) and --entry do a part of it, and with --all renew
// the cells of that part. What a guest said stays in test-output/guest when something failed.

import { rmSync } from 'node:fs'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { missing } from '../needs.ts'
import { backends, boot, named, type Boot } from './boot.ts'
import { agent, checker, root } from './build.ts'
import { ways } from './chapters.ts'
import { kernel } from './kernel.ts'
import { caches, lists, olds, prepare } from './list.ts'
import { Report } from './report.ts'

const matrix = backends.flatMap((backend) => caches.map((cache) => ({ backend, cache, list: lists.full })))
const older = backends.flatMap((backend) => olds.map((dialect) => ({ backend, cache: 'none', dialect, list: lists[dialect] }) as const))
const all: readonly Boot[] = [...ways.map((way) => ({ name: way, way, mounts: matrix })), { name: 'older', way: 'tcp', mounts: older }]
/** uid 1000 has the two boots that do nothing else: the first is the longest as it is. */
const usual: readonly Boot[] = [
  { name: 'tcp', way: 'tcp', mounts: backends.map((backend) => ({ backend, cache: 'none', list: lists.programs })) },
  { name: 'guestfwd', way: 'guestfwd', mounts: [{ backend: 'posix', cache: 'mmap', list: lists.checker }] },
  { name: 'console', way: 'console', mounts: [{ backend: 'memory', cache: 'loose', list: lists.checker }] },
  { name: 'older', way: 'tcp', mounts: olds.map((dialect, i) => ({ backend: backends[i]!, cache: 'none', dialect, list: lists.root })) },
]

function skipAll(reason: string): never {
  console.log(`SKIP guest: ${reason.replaceAll('\n', ' ')}\n0 passed, 0 failed, 1 skipped`)
  process.exit(process.env['CI'] === 'true' ? 1 : 0)
}

const { values } = parseArgs({ options: { all: { type: 'boolean', default: false }, way: { type: 'string' }, entry: { type: 'string', default: '' } } })
if (process.arch !== 'x64') skipAll('the guest is an x86-64 machine: run this on one')
const lacks = ['qemu-system-x86_64', 'gcc', 'xz', 'apt-get', 'dpkg-deb', 'tar', 'socat'].map(missing).filter((reason) => reason !== undefined)
if (lacks.length > 0) skipAll(lacks.join(' '))
const found = await kernel().catch((e: Error) => skipAll(`no kernel for it (${e.message.trim()}). Get Debian's list of packages: apt-get update`))

const output = join(root, 'test-output/guest')
await rm(output, { recursive: true, force: true })
const home = await mkdtemp('/var/tmp/ninefold-guest-')     // on a disk, for user.* attributes; and short, as the names of sockets must be
process.once('exit', () => rmSync(home, { recursive: true, force: true, maxRetries: 5 }))
await chmod(home, 0o755)

const [built, program] = await Promise.all([agent(home), checker(home)])
const tools = await prepare(home, program), report = new Report()
const boots = (values.all ? all : usual).filter(({ name }) => values.way === undefined || name === values.way)
const part = ({ mounts, ...boot }: Boot) => ({ ...boot, mounts: mounts.map((mount) => ({ ...mount, list: mount.list.filter(({ name }) => name.includes(values.entry)) })) })
await Promise.all(boots.map((one) => boot(part(one), { machine: { ...found, ...built }, tools, report, home, output })))

if (values.all) {
  const results = join(root, 'test/guest/RESULTS.md'), earlier = await readFile(results, 'utf8').catch(() => '')
  await writeFile(results, report.page(all.map(({ name, mounts }) => ({ name, mounts: mounts.map(named) })), found.release, earlier))
}
console.log(report.totals)
process.exitCode = report.failed > 0 || (process.env['CI'] === 'true' && report.skipped > 0) ? 1 : 0
