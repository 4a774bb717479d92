// ninefold settrans, showtrans, fsysopts, reload.

import { resolve } from 'node:path'
import { quote } from '../control/words.ts'
import { command, fieldsOf, governing, table, translators, wordLines, wordsOf } from './control.ts'
import type { Shown } from './control.ts'
import { Failure, Misuse } from './failure.ts'
import { escape, print, shown } from './format.ts'
import type { Remote, Where } from './remote.ts'

export interface SetOptions { readonly active: boolean; readonly passive: boolean; readonly goaway: boolean; readonly force: boolean; readonly timeout?: string }

/** stack: its words as the shell gave them: one is a line as it is, of several those with blanks in them were quoted. */
export async function settrans(where: Where, path: string, stack: readonly string[], { active, passive, goaway, force, timeout }: SetOptions): Promise<void> {
  if (stack.length === 0 && !goaway && !passive) throw new Misuse('STACK is missing; -g sends away what is there')
  if (timeout !== undefined && !/^\d+(\.\d+)?$/.test(timeout)) throw new Misuse(`--timeout takes seconds, not "${timeout}"`)
  const letters = [active && 'a', passive && 'p', goaway && 'g', force && 'f'].filter(Boolean).join('')
  const line = stack.length === 1 ? stack[0]! : stack.map(requoted).join(' ')
  await command(where, ['settrans', ...letters === '' ? [] : [`-${letters}`], ...timeout === undefined ? [] : [`--timeout=${timeout}`], quote(path), line.replaceAll('\n', ' ')].join(' '))
}
function requoted(word: string): string {
  if (!/\s/.test(word)) return word
  const [, key = '', value = word] = /^([A-Za-z][\w-]*=)(.*)$/s.exec(word) ?? []
  return key + quote(value)
}

/** What stands where. Paths: those alone, and their stacks alone. passive: all records, wherever they are. */
export async function showtrans(where: Where, paths: readonly string[], { state, passive, json }: { state: boolean; passive: boolean; json: boolean }): Promise<void> {
  if (passive) return records(where, paths, json)
  const all = await governing(where, translators)
  const recorded: Shown[] = []
  for (const path of paths) {
    const mounted = all.some((each) => each.path === trimmed(path))
    const answer = await command(where, `showtrans ${quote(trimmed(path))}`).catch((e: unknown) => { if (mounted && e instanceof Failure) return ''; throw e })
    const [line] = wordLines(answer), { state = '', fids = '0', stack = '', error } = fieldsOf(line ?? [])
    if (line) recorded.push({ number: 0, path: trimmed(path), state: `passive, ${state}${error === undefined ? '' : `: ${error}`}`, since: '', fids: Number(fids), stack })
  }
  const wanted = paths.length === 0 ? all : paths.flatMap((path) => {
    const found = [...all, ...recorded].filter((each) => each.path === trimmed(path))
    if (found.length === 0) throw new Failure(`${escape(path)}: nothing is mounted there`)
    return found
  })
  if (json) return print(JSON.stringify(wanted))
  if (state) return print(...table(['PATH', ' N', 'STATE', 'SINCE', ' FIDS', 'STACK'], wanted.map(({ path, number, state, since, fids, stack }) => [shown(path), String(number), state, since, String(fids), shown(stack)])))
  const running = wanted.filter(({ state }) => state !== 'leaving')
  if (paths.length > 0) return print(...running.map(({ stack }) => shown(stack)))
  print(...table(['', ''], running.map(({ path, stack }) => [shown(path), shown(stack)])).slice(1))
}
/** What is recorded on nodes, as the server has it; of these paths and below, if there are any. */
async function records(where: Where, paths: readonly string[], json: boolean): Promise<void> {
  const lines = await governing(where, async (remote) => await wordsOf(remote, '/passive') ?? [])
  const all = lines.map(fieldsOf).filter(({ path }) => paths.length === 0 || (path !== undefined && paths.some((above) => path === trimmed(above) || path.startsWith(`${above.replace(/\/+$/, '')}/`))))
    .map(({ path, volume = '', node = '', uid, state = 'lost', fids = '0', error, stack = '' }) => ({ path, volume, node, uid: Number(uid), state, fids: Number(fids), ...error !== undefined && { error }, stack }))
  if (json) return print(JSON.stringify(all))
  if (all.length === 0) return
  print(...table(['PATH', 'STATE', ' UID', ' FIDS', 'STACK'], all.map(({ path, volume, node, uid, state, fids, error, stack }) => [
    path === undefined ? `(${shown(volume)}, ${node})` : shown(path), error === undefined ? state : `${state}: ${shown(error)}`, String(uid), String(fids), shown(stack),
  ])))
}
function trimmed(path: string): string { return path.replace(/(?<=.)\/+$/, '') }

/** Tells, or changes, the options of what runs. */
export async function fsysopts(where: Where, path: string, given: readonly string[], { layer, json }: { layer?: string; json: boolean }): Promise<void> {
  if (given.length > 0) {
    for (const word of given) if (!/^[A-Za-z][\w-]*=/.test(word)) throw new Misuse(`"${word}" is no option. Write key=value`)
    await command(where, ['fsysopts', ...layer === undefined ? [] : [`--layer=${layer}`], quote(path), ...given.map(quote)].join(' '))
    return
  }
  const layers = (await governing(where, (remote) => layersAt(remote, path))).filter((each) => layer === undefined || String(each.layer) === layer)
  if (json) return print(JSON.stringify(layers))
  print(...layers.flatMap(({ layer, name, options, live }) => [`${layer} ${name}`, ...Object.entries(options).map(([key, value]) => `    ${key}=${shown(quote(value))}${live.includes(key) ? '   (can change)' : ''}`)]))
}

interface LayerOptions { readonly layer: number; readonly name: string; readonly options: Record<string, string>; readonly live: string[] }
async function layersAt(remote: Remote, path: string): Promise<LayerOptions[]> {
  const found = (await translators(remote)).find((each) => each.path === trimmed(path) && each.state !== 'leaving')
  if (!found) throw new Failure(`${escape(path)}: nothing is mounted there`)
  const lines = await wordsOf(remote, `/translators/${found.number}/options`) ?? []
  const layers: LayerOptions[] = []
  for (const [at, name, option, live] of lines) {
    if (option === undefined) layers.push({ layer: Number(at), name: name!, options: {}, live: [] })
    else {
      const [[key, value]] = Object.entries(fieldsOf([option])) as [[string, string]], last = layers.at(-1)!
      last.options[key] = value
      if (live === 'live') last.live.push(key)
    }
  }
  return layers
}
/** Options of what runs there that can be changed, as words that begin so. */
export async function completeOptions(where: Where, path: string, current: string): Promise<string[]> {
  const layers = await governing(where, (remote) => layersAt(remote, path))
  return [...new Set(layers.flatMap(({ live }) => live))].map((key) => `${key}=`).filter((word) => word.startsWith(current))
}

/** Has the server read its config again, or another one: it is found from where you are. */
export async function reload(where: Where, file: string | undefined, { json }: { json: boolean }): Promise<void> {
  const answer = await command(where, `reload${file === undefined ? '' : ` ${quote(resolve(file))}`}`).catch((e: unknown) => { throw e instanceof Misuse ? new Failure(e.message) : e })
  if (!json) return print(...answer.split('\n').filter((line) => line !== '').map((line) => shown(line.startsWith('restart ') ? `${line.slice(8)}: counts from the next start on` : line)))
  const all: Record<string, string[]> = { kept: [], changed: [], started: [], replaced: [], removed: [], restart: [] }
  for (const [what, path] of wordLines(answer)) if (what !== undefined && path !== undefined) all[what]?.push(path)
  print(JSON.stringify(all))
}
