// ninefold explain: which layers serve a path, and what each takes by itself.

import { quote } from '../control/words.ts'
import { command, fieldsOf, figures, figuresOf, governing, quantile, table, timeOf, translators, wordLines } from './control.ts'
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
    print(...costs(layers))
    for (const { path, layers } of through) if (layers.length > 0) print('', `the passive translator of ${shown(path)}:`, ...costs(layers))
  })
}
/** What was called in each layer, and what that took. */
function costs(layers: readonly LayerFigures[]): string[] {
  const rows = layers.flatMap(({ layer, name, ops }) => [...ops].sort((a, b) => b.calls - a.calls).map((op, i) => [i === 0 ? `${layer} ${name}` : '', op.op, String(op.calls), String(op.errors), op.bytes > 0 ? sizeString(op.bytes) : '', ...timesOf(op)]))
  for (const { layer, name, ops } of layers) if (ops.length === 0) rows.push([`${layer} ${name}`, 'no calls yet'])
  return table(['LAYER', 'CALL', ' CALLS', ' ERRORS', ' BYTES', ' OWN MEAN', ' HALF BELOW', ' 99 % BELOW'], rows)
}
/** A record on the way to a path. layers: of what it runs. */
interface Through { readonly path: string; readonly stack: string; readonly state: string; readonly layers: readonly LayerFigures[] }
/** The records on the way from a mount to a path, outermost first. */
async function passives(where: Where, mount: string, path: string): Promise<Through[]> {
  const found: Through[] = [], names = namesOf(path)
  for (let length = namesOf(mount).length + 1; length <= names.length; length++) {
    const at = `/${names.slice(0, length).join('/')}`
    const [line] = wordLines(await command(where, `showtrans ${quote(at)}`).catch((e: unknown) => { if (e instanceof Failure) return ''; throw e })), { stack, state = '' } = fieldsOf(line ?? [])
    if (stack !== undefined) found.push({ path: at, stack, state, layers: figuresOf(wordLines(await command(where, `stats ${quote(at)}`))) })
  }
  return found
}
function timesOf({ own, timed, buckets }: OpFigures): string[] { return [timeOf(timed > 0 ? own / timed : undefined), timeOf(quantile(buckets, 0.5)), timeOf(quantile(buckets, 0.99))] }
