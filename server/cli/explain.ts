// ninefold explain, top: what layers do, and what each takes by itself.

import { emitKeypressEvents } from 'node:readline'
import { quote } from '../control/words.ts'
import { command, fieldsOf, figures, governing, quantile, table, timeOf, translators, wordLines } from './control.ts'
import type { LayerFigures, OpFigures, Shown } from './control.ts'
import { Failure, Misuse, failure } from './failure.ts'
import { escape, print, shown, sizeString } from './format.ts'
import { namesOf, session } from './remote.ts'
import type { Remote, Where } from './remote.ts'

/** Where a path leads, which mount serves that, what passive translators it is seen through, and what each layer of the mount was called for. */
export async function explain(where: Where, path: string, { json }: { json: boolean }): Promise<void> {
  const given = `/${namesOf(path).join('/')}`
  const normal = await session({ ...where, aname: '' }, (remote) => remote.real(path).catch((e: unknown) => { throw failure(path, e) }))
  await governing(where, async (remote) => {
    const over = (await translators(remote)).filter(({ path: at, state }) => state !== 'leaving' && (at === normal || normal.startsWith(at === '/' ? '/' : `${at}/`)))
    const found = over.sort((a, b) => b.path.length - a.path.length)[0]
    if (!found) throw new Failure(`${escape(path)}: nothing is mounted there or above`)
    const layers = await figures(remote, found.number)
    if (!layers) throw new Failure(`${escape(path)}: what served it has just ended`)
    const through = await passives(where, found.path, normal)
    if (json) return print(JSON.stringify({ path: normal, given, mount: found, passive: through, layers }, (_, value: unknown) => value === Infinity ? null : value))
    if (given !== normal) print(`${shown(given)} leads to ${shown(normal)}`)
    print(`${shown(normal)} is served by ${shown(found.path)}, number ${found.number}, ${found.state} since ${found.since}, fids: ${found.fids}`, `    ${shown(found.stack)}`)
    for (const { path, stack, state } of through) print(`    seen through the passive translator of ${shown(path)}, ${state}: ${shown(stack)}`)
    print('')
    const rows = layers.flatMap(({ layer, name, ops }) => [...ops].sort((a, b) => b.calls - a.calls).map((op, i) => [i === 0 ? `${layer} ${name}` : '', op.op, String(op.calls), String(op.errors), op.bytes > 0 ? sizeString(op.bytes) : '', ...timesOf(op)]))
    for (const { layer, name, ops } of layers) if (ops.length === 0) rows.push([`${layer} ${name}`, 'no calls yet'])
    print(...table(['LAYER', 'CALL', ' CALLS', ' ERRORS', ' BYTES', ' OWN MEAN', ' HALF BELOW', ' 99 % BELOW'], rows))
  })
}
/** The records on the way from a mount to a path, outermost first. */
async function passives(where: Where, mount: string, path: string): Promise<{ path: string; stack: string; state: string }[]> {
  const found: { path: string; stack: string; state: string }[] = [], names = namesOf(path)
  for (let length = namesOf(mount).length + 1; length <= names.length; length++) {
    const at = `/${names.slice(0, length).join('/')}`
    const [line] = wordLines(await command(where, `showtrans ${quote(at)}`).catch((e: unknown) => { if (e instanceof Failure) return ''; throw e })), { stack, state = '' } = fieldsOf(line ?? [])
    if (stack !== undefined) found.push({ path: at, stack, state })
  }
  return found
}
function timesOf({ own, timed, buckets }: OpFigures): string[] { return [timeOf(timed > 0 ? own / timed : undefined), timeOf(quantile(buckets, 0.5)), timeOf(quantile(buckets, 0.99))] }

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
      let by = sort, before = await sample(remote)
      let rows: Row[] = []
      const draw = () => process.stdout.write(screen(rows, by, where.server))
      for (; ;) {
        const key = await pause(seconds, keys)
        if (key === 'q') return
        if (key !== undefined) {
          by = sorts[key]?.[1] ?? by
          draw()
          continue
        }
        const now = await sample(remote)
        rows = rates(before, now)
        before = now
        if (live) draw()
        else if (json) print(JSON.stringify({ time: new Date().toISOString(), seconds: round(now.elapsed), layers: sorted(rows, by) }))
        else print(...lines(rows, by))
        if (!live && (once || !json)) return
      }
    } finally { keys?.close() }
  })
}

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
function screen(rows: readonly Row[], by: string, server: string): string {
  const { columns = 80, rows: height = 24 } = process.stdout, keys = Object.entries(sorts).map(([key, [, name]]) => `${key} ${name}`).join(', ')
  const all = [`ninefold top: ${escape(server)}, by ${by}    ${keys}; q ends`, '', ...lines(rows, by)]
  return `\x1b[H${all.slice(0, height - 1).map((line) => `${line.slice(0, columns)}\x1b[K\n`).join('')}\x1b[J`
}

/** Keys of a terminal, as they are typed. */
class Keys {
  #typed: string[] = []
  #wake: () => void = () => {}
  #on = (text: string | undefined, key: { name?: string; ctrl?: boolean }) => {
    this.#typed.push(key.ctrl && key.name === 'c' ? 'q' : text ?? '')
    this.#wake()
  }
  constructor() {
    emitKeypressEvents(process.stdin)
    process.stdin.setRawMode(true)
    process.stdin.on('keypress', this.#on).resume()
    process.stdout.write('\x1b[?1049h\x1b[?25l\x1b[2J')
  }
  take(): string | undefined { return this.#typed.shift() }
  typed(wake: () => void): void { this.#wake = wake }
  close(): void {
    process.stdin.off('keypress', this.#on).setRawMode(false)
    process.stdin.pause()
    process.stdout.write('\x1b[?25h\x1b[?1049l')
  }
}
/** Waits so long, or for a key. */
async function pause(seconds: number, keys: Keys | undefined): Promise<string | undefined> {
  const key = keys?.take()
  if (key !== undefined) return key
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000)
    keys?.typed(() => { clearTimeout(timer); resolve() })
  })
  return keys?.take()
}
