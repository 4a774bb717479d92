// ninefold bench: what a server does in a second, and what that costs both sides.

import { userInfo } from 'node:os'
import { connect, isErrno } from 'ninep'
import { BadOption, duration, int, size } from '../../../translators/options.ts'
import type { Option } from '../../../translators/options.ts'
import { Failure, Misuse } from '../failure.ts'
import { print } from '../format.ts'
import { removeTree, session } from '../remote.ts'
import type { Where } from '../remote.ts'
import { Line } from './line.ts'
import { measure } from './round.ts'
import type { Result, Span } from './round.ts'
import { suites, workloads } from './workloads.ts'
import type { Bench, Step } from './workloads.ts'

/** The numbers that can be given, by flag: what they are, and what they are unless told. */
export const numbers = {
  connections: int({ about: 'connections', min: 1, max: 1024, default: 1 }),
  depth: int({ about: 'requests on their way, on each of them', min: 1, max: 1024, default: 8 }),
  duration: duration({ about: 'how long a workload is measured', min: 0.05, max: 86_400, default: 3 }),
  warmup: duration({ about: 'how long it runs before that', max: 600, default: 0.3 }),
  msize: size({ about: 'of messages; the server may lower it', min: 4128, max: 2 ** 26, default: 65536 }),
  io: size({ about: 'bytes of a sequential read or write (default: msize - 24)', min: 1, max: 2 ** 26, default: 0 }),
  'file-size': size({ about: 'of files that are read and written', min: 65536, max: 2 ** 40, default: 64 * 2 ** 20 }),
  files: int({ about: 'small files', min: 1, max: 1e7, default: 1000 }),
  entries: int({ about: 'of the directory that is listed', min: 1, max: 1e7, default: 2000 }),
  'walk-depth': int({ about: 'names of one walk', min: 1, max: 16, default: 4 }),
  reads: int({ about: 'of 100 operations of mixed', max: 100, default: 70 }),
  seed: int({ about: 'of what is chosen at random', max: 2 ** 31, default: 1 }),
} as const
type Numbers = { [K in keyof typeof numbers]: number }

export interface BenchOptions {
  readonly suite: string | undefined
  readonly workloads: readonly string[]
  /** As they were typed. */
  readonly given: Readonly<Partial<Record<keyof Numbers, string>>>
  readonly serverPid: string | undefined
  readonly json: boolean
}

/** Runs workloads against a server, in a directory that it makes there and takes away again. Status 1: there were errors. */
export async function bench(where: Where, options: BenchOptions): Promise<void> {
  const given = read(options.given), steps = stepsOf(options, given), server = pidOf(options.serverPid)
  const span = { warmup: given.warmup }, name = `bench-${process.pid}`
  let errors = 0, drawn = false
  const tell = (result: Result): void => {
    errors += result.errors
    if (options.json) return print(JSON.stringify(result))
    print(...drawn ? [] : [head], rowOf(result))
    drawn = true
    if (result.error !== undefined) print(`    ${result.errors} errors, the first: ${result.error}`)
  }
  await session({ ...where, dialects: ['9P2000.L'] }, async ({ root, client }) => {
    const removes = await client.rpc('Tunlinkat', { dirfid: root.fid, name, flags: 0 }).then(() => false, (e: unknown) => isErrno(e, 'EOPNOTSUPP'))
    await root.mkdir(name, 0o755).catch((e: unknown) => { throw new Failure(`${where.server}: a directory to work in can't be made: ${(e as Error).message}`) })
    const interrupted = interruption()
    try {
      for (const step of steps) {
        const lines: Line[] = []
        try {
          for (let i = 0; i < step.connections; i++) {
            const line = await Line.open(where.server, i, { msize: given.msize, depth: step.depth, aname: where.aname, uname: where.user ?? userInfo().username, uid: where.uid ?? process.getuid?.() ?? 0 })
            lines.push(line)
            await line.walkTo(0, 1, [name])
          }
          const { msize } = lines[0]!
          const run: Bench['run'] = async (workload, script, more) => {
            const wanted: Span = { ...span, seconds: step.seconds, ...more }
            const result = await measure(workload, lines, wanted, script, server)
            if (workload !== '' || result.errors > 0) tell(result)
          }
          await using dir = await root.walk(name)
          const sizes = { io: Math.min(given.io || msize - 24, msize - 24), file: given['file-size'], files: given.files, entries: given.entries, depth: given['walk-depth'], reads: given.reads, seed: given.seed }
          await Promise.race([workloads[step.workload]!.run({ lines, dir, sizes, removes, run }), interrupted.promise])
        } finally { for (const line of lines) line.close() }
      }
    } finally {
      interrupted.end()
      await removeTree(root, name, `/${name}`, () => {})
    }
  })
  if (errors > 0) process.exitCode = 1
}

/** Rejects at the first ^C, so that what was made can be taken away; the second one ends at once. */
function interruption(): { promise: Promise<never>; end(): void } {
  let hear = (): void => {}
  const promise = new Promise<never>((_, reject) => process.once('SIGINT', hear = () => reject(new Failure('interrupted'))))
  promise.catch(() => {})
  return { promise, end: () => { process.off('SIGINT', hear) } }
}

function read(given: BenchOptions['given']): Numbers {
  return Object.fromEntries(Object.entries(numbers).map(([key, option]: [string, Option<number, boolean>]) => {
    const value = given[key as keyof Numbers]
    try { return [key, value === undefined ? option.default! : option.parse(value)] } catch (e) {
      throw e instanceof BadOption ? new Misuse(`--${key}: ${e.message}`) : e
    }
  })) as Numbers
}
function stepsOf({ suite, workloads: names, given }: BenchOptions, { connections, depth, duration }: Numbers): readonly Step[] {
  if (suite === undefined) return (names.length > 0 ? names : ['getattr']).map((workload) => ({ workload, connections, depth, seconds: duration }))
  if (names.length > 0) throw new Misuse('--suite and -w exclude each other')
  if (given.connections !== undefined || given.depth !== undefined) throw new Misuse('a suite has its own --connections and --depth')
  return suites[suite]!.map((step) => given.duration === undefined ? step : { ...step, seconds: duration })
}
function pidOf(given: string | undefined): number | undefined {
  if (given === undefined) return undefined
  if (!/^[1-9]\d{0,9}$/.test(given)) throw new Misuse(`--server-pid takes the number of a process, not "${given}"`)
  return Number(given)
}

function rowOf({ workload, connections, depth, seconds, operations, bytes, entries, latency, cpu, serverRss }: Result): string {
  const rate = (n: number): string => String(Math.round(n / seconds)), us = (n: number): string => n.toFixed(n < 1000 ? 1 : 0)
  const of = (n: number | undefined): string => n === undefined || Number.isNaN(n) ? '-' : n.toFixed(2)
  return line([
    workload, `${connections}x${depth}`, rate(operations), bytes > 0 ? (bytes / seconds / 1e6).toFixed(1) : '-', entries > 0 ? rate(entries) : '-',
    us(latency.p50), us(latency.p90), us(latency.p99), us(latency.p999), us(latency.max), of(cpu.client), of(cpu.server), serverRss === undefined ? '-' : (serverRss / 1024).toFixed(0),
  ])
}
const head = line(['WORKLOAD', 'CONN', 'OPS/S', 'MB/S', 'ENTRIES/S', 'P50 us', 'P90 us', 'P99 us', 'P99.9 us', 'MAX us', 'OWN us', 'SERVER us', 'RSS MiB'])
/** OWN and SERVER: us of a processor for a request. */
function line(cells: readonly string[]): string { return cells.map((cell, i) => i === 0 ? cell.padEnd(20) : cell.padStart(i === 1 ? 6 : 9)).join(' ') }
