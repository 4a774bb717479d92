// The control tree, as verbs use it.

import { O, isErrno } from 'ninep'
import type { File } from 'ninep'
import { Words } from '../control/words.ts'
import { failure, Failure, Misuse, reason } from './failure.ts'
import { inParallel, list, session } from './remote.ts'
import type { Remote, Where } from './remote.ts'

/** Does `work` on the control tree of a server. */
export function governing<T>(where: Where, work: (remote: Remote) => Promise<T>): Promise<T> { return session({ ...where, aname: 'ctl' }, work) }

/** Writes a verb to `ctl`; what it says. A failure is told in the server's own words; what made no sense is a Misuse. */
export async function command(where: Where, line: string): Promise<string> {
  return governing(where, async (remote) => {
    await using ctl = await (await remote.find('/ctl')).open(O.RDWR)
    try { await ctl.write(Buffer.from(line), 0) } catch (e) {
      const sentence = (await contents(ctl).catch(() => '')).trimEnd()
      if (sentence === '') throw failure('ctl', e)
      throw isErrno(e, 'EINVAL') ? new Misuse(sentence) : new Failure(/\s/.test(sentence) ? sentence : reason(e))
    }
    return await contents(ctl)
  })
}

/** All of an open file. */
export async function contents(file: File): Promise<string> {
  const pieces: Buffer[] = []
  for (let at = 0; ;) {
    const into = Buffer.allocUnsafe(65536), count = await file.client.read(file.fid, at, into)
    if (count === 0) return Buffer.concat(pieces).toString()
    pieces.push(into.subarray(0, count))
    at += count
  }
}

/** What a file of the tree says, as the words of its lines; null: it is not there any more. */
export async function wordsOf(remote: Remote, path: string): Promise<string[][] | null> {
  try {
    await using file = await (await remote.find(path)).open(O.RDONLY)
    return wordLines(await contents(file))
  } catch (e) {
    if (isErrno(e, 'ENOENT')) return null
    throw e
  }
}
/** Lines as their words. */
export function wordLines(text: string): string[][] {
  const words = new Words(text), lines: string[][] = []
  if (text === '') return lines
  do {
    const line: string[] = []
    for (let word; (word = words.next()) !== undefined;) line.push(word)
    lines.push(line)
  } while (words.line())
  return lines
}
/** `key=value` words as an object. */
export function fieldsOf(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(words.flatMap((word) => { const cut = word.indexOf('='); return cut < 0 ? [] : [[word.slice(0, cut), word.slice(cut + 1)]] }))
}

/** A translator, as `translators/N` tells of it. */
export interface Shown { readonly number: number; readonly path: string; readonly state: string; readonly since: string; readonly fids: number; readonly stack: string }
/** All there are, by path; those that leave last. */
export async function translators(remote: Remote): Promise<Shown[]> {
  const all: Shown[] = [], numbers: string[] = []
  {
    await using dir = await remote.find('/translators')
    for await (const { name } of list(dir)) if (/^\d+$/.test(name)) numbers.push(name)
  }
  await inParallel(numbers, 16, async (name) => {
    const [state, stack] = await Promise.all([wordsOf(remote, `/translators/${name}/state`), textOf(remote, `/translators/${name}/stack`)])
    if (!state || stack === null) return
    const { path = '', state: now = '', since = '', fids = '0' } = fieldsOf(state[0] ?? [])
    all.push({ number: Number(name), path, state: now, since, fids: Number(fids), stack: stack.trimEnd() })
  })
  const rank = ({ state }: Shown) => state === 'leaving' ? 1 : 0
  return all.sort((a, b) => rank(a) - rank(b) || (a.path < b.path ? -1 : a.path > b.path ? 1 : a.number - b.number))
}
async function textOf(remote: Remote, path: string): Promise<string | null> {
  try {
    await using file = await (await remote.find(path)).open(O.RDONLY)
    return await contents(file)
  } catch (e) {
    if (isErrno(e, 'ENOENT')) return null
    throw e
  }
}

/** One kind of call of one layer. Times are seconds: of `timed` calls altogether, with and without what children took. */
export interface OpFigures { readonly op: string; readonly calls: number; readonly errors: number; readonly bytes: number; readonly timed: number; readonly total: number; readonly own: number; readonly buckets: readonly (readonly [below: number, count: number])[] }
export interface LayerFigures { readonly layer: number; readonly name: string; readonly pending: number; readonly ops: readonly OpFigures[] }
/** What the layers of a translator counted, outermost first; null: it has ended. */
export async function figures(remote: Remote, number: number): Promise<LayerFigures[] | null> {
  const lines = await wordsOf(remote, `/translators/${number}/stats`)
  return lines && figuresOf(lines)
}
/** The same, of such lines. */
export function figuresOf(lines: readonly (readonly string[])[]): LayerFigures[] {
  const layers: (LayerFigures & { readonly ops: OpFigures[] })[] = []
  for (const [layer, name, op, ...rest] of lines) {
    if (layer === undefined || name === undefined || op === undefined) continue
    if (op.startsWith('pending=')) { layers.push({ layer: Number(layer), name, pending: Number(op.slice(8)), ops: [] }); continue }
    const { buckets = '', ...given } = fieldsOf(rest), number = (key: string) => Number(given[key] ?? 0)
    layers.at(-1)?.ops.push({
      op, calls: number('calls'), errors: number('errors'), bytes: number('bytes'), timed: number('timed'), total: number('total'), own: number('own'),
      buckets: buckets === '' ? [] : buckets.split(',').map((pair) => { const [below, count] = pair.split(':'); return [below === 'inf' ? Infinity : Number(below), Number(count)] as const }),
    })
  }
  return layers
}

/** Below what so great a part of the timed calls stayed, seconds; undefined: none was timed. */
export function quantile(buckets: OpFigures['buckets'], part: number): number | undefined {
  let left = part * buckets.reduce((sum, [, count]) => sum + count, 0)
  if (left === 0) return undefined
  for (const [below, count] of buckets) if ((left -= count) <= 0) return below
  return buckets.at(-1)?.[0]
}

/** Rows in columns; numbers are given as text, and stand to the right where the head says so by a leading blank. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const width = head.map((title, i) => Math.max(title.trim().length, ...rows.map((row) => (row[i] ?? '').length)))
  return [head.map((title) => title.trim()), ...rows].map((row) => row.map((cell, i) => head[i]!.startsWith(' ') ? cell.padStart(width[i]!) : cell.padEnd(width[i]!)).join('  ').trimEnd())
}
/** `1.5 ms`, `12 us`. */
export function timeOf(seconds: number | undefined): string {
  if (seconds === undefined || Number.isNaN(seconds)) return '-'
  if (seconds === Infinity) return '>34 s'
  const [n, unit] = seconds < 1e-3 ? [seconds * 1e6, 'us'] : seconds < 1 ? [seconds * 1e3, 'ms'] : [seconds, 's']
  return `${n < 10 ? n.toFixed(1) : n.toFixed(0)} ${unit}`
}
