// ninefold top: what all layers do, live.

import { emitKeypressEvents } from 'node:readline'
import { figures, governing, table, timeOf, translators } from './control.ts'
import type { LayerFigures, Shown } from './control.ts'
import { Misuse } from './failure.ts'
import { escape, print, shown, sizeString } from './format.ts'
import type { Remote, Where } from './remote.ts'

/** What a layer did in a while: figures a second; own: seconds of a call, that were its own; busy: of all seconds the part that it worked, about. */
export interface Row { readonly path: string; readonly translator: number; readonly layer: number; readonly name: string; readonly calls: number; readonly errors: number; readonly bytes: number; readonly own: number | null; readonly busy: number; readonly pending: number }

const sorts: Readonly<Record<string, readonly [key: string, about: string]>> = { c: ['calls', 'calls'], e: ['errors', 'errors'], b: ['bytes', 'bytes'], t: ['busy', 'time'], l: ['own', 'latency'], p: ['path', 'path'] }

export interface TopOptions { readonly once: boolean; readonly json: boolean; readonly interval: string; readonly sort: string }

/** Shows what all layers do, again and again. once: after one interval; so does one whose output is no terminal, but for JSON, which is a line an interval. */
export async function top(where: Where, { once, json, interval, sort }: TopOptions): Promise<void> {
  const seconds = Number(interval)
  if (interval === '' || !(seconds >= 0.1 && seconds <= 3600)) throw new Misuse(`--interval takes seconds, from 0.1 to 3600, not "${interval}"`)
  const live = !once && !json && process.stdout.isTTY && process.stdin.isTTY
  await governing(where, async (remote) => {
    const keys = live ? new Keys() : undefined
    try {
      let before = await sample(remote), due = before.at + seconds * 1000, rows: Row[] = []
      const shows: Shows = { by: sort, paused: false, help: false }
      const draw = () => process.stdout.write(screen(rows, shows, where.server))
      if (live) draw()
      for (; ;) {
        const key = await pause(shows.paused ? Infinity : due - performance.now(), keys)
        if (key === 'q') return
        if (key !== undefined) {
          shows.by = sorts[key]?.[1] ?? shows.by
          if (key === 'h' || key === '?') shows.help = !shows.help
          if (key === ' ') shows.paused = !shows.paused
          draw()
          continue
        }
        const now = await sample(remote)
        rows = rates(before, now)
        before = now
        due = now.at + seconds * 1000
        if (live) draw()
        else if (json) print(JSON.stringify({ time: new Date().toISOString(), seconds: round(now.elapsed), layers: sorted(rows, sort) }))
        else print(...lines(rows, sort))
        if (!live && (once || !json)) return
      }
    } finally { keys?.close() }
  })
}
/** What the screen shows, as its keys have it. */
interface Shows { by: string; paused: boolean; help: boolean }

interface Sample { readonly at: number; elapsed: number; readonly all: ReadonlyMap<number, { readonly shown: Shown; readonly layers: readonly LayerFigures[] }> }
async function sample(remote: Remote): Promise<Sample> {
  const all = new Map<number, { shown: Shown; layers: LayerFigures[] }>()
  for (const shown of await translators(remote)) {
    const layers = await figures(remote, shown.number)
    if (layers) all.set(shown.number, { shown, layers })
  }
  return { at: performance.now(), elapsed: 0, all }
}

function rates(before: Sample, now: Sample): Row[] {
  const seconds = now.elapsed = (now.at - before.at) / 1000
  const sum = (layer: LayerFigures | undefined) => (layer?.ops ?? []).reduce((all, op) => {
    // of the calls that were not timed the own time is as that of those that were
    const own = op.timed > 0 ? op.own * op.calls / op.timed : 0
    return { calls: all.calls + op.calls, errors: all.errors + op.errors, bytes: all.bytes + op.bytes, own: all.own + own }
  }, { calls: 0, errors: 0, bytes: 0, own: 0 })
  return [...now.all].flatMap(([translator, { shown: { path }, layers }]) => layers.map((layer, i) => {
    const a = sum(before.all.get(translator)?.layers[i]), b = sum(layer), calls = b.calls - a.calls, own = Math.max(0, b.own - a.own)
    return {
      path, translator, layer: layer.layer, name: layer.name, calls: round(calls / seconds), errors: round((b.errors - a.errors) / seconds), bytes: round((b.bytes - a.bytes) / seconds),
      own: calls > 0 && own > 0 ? own / calls : null, busy: round(own / seconds), pending: layer.pending,
    }
  }))
}
function round(n: number): number { return Math.round(n * 1000) / 1000 }

function sorted(rows: readonly Row[], by: string): Row[] {
  const key = Object.values(sorts).find(([, name]) => name === by)![0] as keyof Row
  return [...rows].sort((a, b) => (key === 'path' ? 0 : Number(b[key] ?? 0) - Number(a[key] ?? 0)) || (a.path < b.path ? -1 : a.path > b.path ? 1 : a.translator - b.translator || a.layer - b.layer))
}
function lines(rows: readonly Row[], by: string): string[] {
  return table(['PATH', 'LAYER', ' CALLS/s', ' ERRORS/s', ' BYTES/s', ' OWN', ' BUSY', ' PENDING'], sorted(rows, by).map(({ path, layer, name, calls, errors, bytes, own, busy, pending }) => [
    shown(path), `${layer} ${name}`, calls.toFixed(calls < 10 ? 1 : 0), errors.toFixed(errors < 10 ? 1 : 0), sizeString(Math.round(bytes)), timeOf(own ?? undefined), `${(busy * 100).toFixed(1)} %`, String(pending),
  ]))
}
function screen(rows: readonly Row[], { by, paused, help }: Shows, server: string): string {
  const { columns = 80, rows: height = 24 } = process.stdout
  const all = help ? helpLines() : [`ninefold top: ${escape(server)}, by ${by}${paused ? ', paused' : ''}    h help, q ends`, '', ...lines(rows, by)]
  // the last line is ended by no newline: that would scroll
  return `\x1b[H${all.slice(0, height).map((line) => `${line.slice(0, columns)}\x1b[K`).join('\n')}\x1b[J`
}
function helpLines(): string[] {
  return [
    'Keys:', '', ...Object.entries(sorts).map(([key, [, name]]) => `  ${key}      by ${name}`), '  space  pause, and go on', '  h ?    this, and back', '  q      end', '',
    'CALLS, ERRORS and BYTES are a second. OWN is what a call takes of the layer itself, without', 'what is below it; BUSY the part of all time that this makes; PENDING is under way.',
  ]
}

/** The terminal while it is ours: each key as it is typed, an empty one when its size has changed. However we end, it is given back as it was. */
class Keys {
  #typed: string[] = []
  #wake: () => void = () => {}
  readonly #take = (key: string) => {
    this.#typed.push(key)
    this.#wake()
  }
  readonly #key = (text: string | undefined, key: { name?: string; ctrl?: boolean }) => this.#take(key.ctrl && (key.name === 'c' || key.name === 'd') ? 'q' : text ?? '')
  readonly #end = () => this.#take('q')
  readonly #resize = () => this.#take('')
  readonly #signal = (signal: NodeJS.Signals) => {
    this.close()
    process.kill(process.pid, signal)
  }
  constructor() {
    emitKeypressEvents(process.stdin)
    process.stdin.setRawMode(true)
    process.stdin.on('keypress', this.#key).once('end', this.#end).resume()
    process.stdout.on('resize', this.#resize)
    for (const signal of ENDS) process.once(signal, this.#signal)
    process.stdout.write('\x1b[?1049h\x1b[?25l\x1b[2J')
  }
  take(): string | undefined { return this.#typed.shift() }
  typed(wake: () => void): void { this.#wake = wake }
  close(): void {
    process.stdin.off('keypress', this.#key).off('end', this.#end).setRawMode(false)
    process.stdin.pause()
    process.stdout.off('resize', this.#resize)
    for (const signal of ENDS) process.off(signal, this.#signal)
    process.stdout.write('\x1b[?25h\x1b[?1049l')
  }
}
const ENDS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
/** Waits so many milliseconds, or for a key. */
async function pause(ms: number, keys: Keys | undefined): Promise<string | undefined> {
  const key = keys?.take()
  if (key !== undefined) return key
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, Math.min(ms, 2 ** 31 - 1))
    keys?.typed(() => { clearTimeout(timer); resolve() })
  })
  return keys?.take()
}
