// One workload, measured: its operations, what they took, and what both sides spent on them.

import { readFileSync, readdirSync } from 'node:fs'
import { codeOf } from 'ninep'
import { Histogram } from './histogram.ts'
import type { Line, Script, Slot } from './line.ts'

/** seconds: measured, after `warmup` seconds that are not; count: or so many operations, all of them measured. */
export interface Span { readonly seconds: number; readonly warmup: number; readonly count?: number }

/** Figures a second are of the measured seconds; cpu: us of a processor for a request, of this process, of the server if its number is known. */
export interface Result {
  readonly workload: string
  readonly connections: number
  readonly depth: number
  readonly seconds: number
  readonly operations: number
  readonly requests: number
  readonly bytes: number
  readonly entries: number
  readonly errors: number
  readonly error?: string
  /** us. */
  readonly latency: { readonly mean: number; readonly p50: number; readonly p90: number; readonly p99: number; readonly p999: number; readonly max: number }
  readonly cpu: { readonly client: number; readonly server?: number }
  /** KiB. */
  readonly serverRss?: number
}

/** Errors after which a workload is given up. */
const ENOUGH = 1000

export class Round {
  readonly latencies = new Histogram()
  operations = 0
  bytes = 0
  entries = 0
  errors = 0
  error: string | undefined
  #next = 0
  #from: number
  #until: number
  readonly #count: number
  #given = false
  constructor({ seconds, warmup, count }: Span) {
    const now = performance.now()
    this.#count = count ?? Infinity
    this.#from = count === undefined ? now + warmup * 1000 : now
    this.#until = count === undefined ? this.#from + seconds * 1000 : Infinity
  }

  /** Whether there is one more operation. It begins when the reply came that was waited for: a look at the clock costs a tenth of a request. */
  begin(slot: Slot): boolean {
    const { now } = slot.line
    if (this.#given || now >= this.#until || this.#next >= this.#count) return false
    slot.index = this.#next++
    slot.began = now
    return true
  }
  /** The operation ended with the reply that is being looked at. */
  end(slot: Slot, bytes = 0, entries = 0): void {
    const { now } = slot.line
    if (now < this.#from || now >= this.#until) return
    this.operations++
    this.bytes += bytes
    this.entries += entries
    this.latencies.add(Math.max(0, now - slot.began) * 1000)
  }
  /** Whether the last reply was an error: then the operation failed. */
  failed(slot: Slot, what: string): boolean {
    if (slot.error === 0) return false
    this.wrong(`${what}: ${codeOf(slot.error)}`)
    return true
  }
  wrong(what: string): void {
    this.errors++
    this.error ??= what
    if (this.errors >= ENOUGH) this.#given = true
  }
  seconds(now: number): number { return (Math.min(now, this.#until) - this.#from) / 1000 }
}

/** Runs a script in every slot of every line. server: the number of the server's process. */
export async function measure(workload: string, lines: readonly Line[], span: Span, script: (round: Round, slot: Slot) => Script, server?: number): Promise<Result> {
  const round = new Round(span), replies = lines.map((line) => line.replies), spent = process.cpuUsage(), taken = server === undefined ? undefined : cpuOf(server)
  await Promise.all(lines.map((line) => line.run((slot) => script(round, slot))))
  const seconds = round.seconds(performance.now()), requests = lines.reduce((sum, line, i) => sum + line.replies - replies[i]!, 0)
  const { user, system } = process.cpuUsage(spent), { latencies: all } = round, a = (us: number): number => us / Math.max(1, requests)
  return {
    workload, connections: lines.length, depth: lines[0]!.slots.length, seconds, operations: round.operations, requests, bytes: round.bytes, entries: round.entries,
    errors: round.errors, ...round.error !== undefined && { error: round.error },
    latency: { mean: all.mean, p50: all.quantile(0.5), p90: all.quantile(0.9), p99: all.quantile(0.99), p999: all.quantile(0.999), max: all.most },
    cpu: { client: a(user + system), ...taken !== undefined && { server: a(cpuOf(server!) - taken) } }, ...server !== undefined && { serverRss: rssOf(server) },
  }
}

/** us of a processor that all threads of a process have had; NaN: it has gone. */
function cpuOf(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/task`).reduce((sum, task) => sum + Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'latin1').split(' ')[0]), 0) / 1000
  } catch { return NaN }
}
function rssOf(pid: number): number {
  try { return Number(/^VmHWM:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))![1]) } catch { return NaN }
}
