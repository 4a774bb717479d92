// What an operator can have done to a tree: its snapshots.

import { setTimeout as sleep } from 'node:timers/promises'
import { errno } from 'ninep'
import { diff } from '../tree/diff.ts'
import { fsck } from '../tree/fsck.ts'
import { checkTables } from '../tree/fsck-tables.ts'
import { viewing } from '../tree/fsck-view.ts'
import { gc } from '../tree/gc.ts'
import type { Tree } from '../tree/tree.ts'

/** What the words after `snapshot` may be, each with how many more there are. */
const verbs: Readonly<Record<string, readonly [words: string, count: number]>> = {
  create: ['NAME', 1], delete: ['NAME', 1], list: ['', 0], rename: ['NAME TO', 2], hold: ['NAME TAG', 2], release: ['NAME TAG', 2], rollback: ['NAME', 1], diff: ['NAME [TO]', 1],
}

/** See Tell. */
export async function tell(tree: Tree, [area, what = '', ...rest]: readonly string[], say: (line: readonly string[]) => void): Promise<void> {
  if (area === 'gc') {
    const { blobs, bytes } = await gc(tree.instance, [tree.t])
    return say([`blobs=${blobs}`, `bytes=${bytes}`])
  }
  if (area === 'fsck') return check(tree, what === 'data', say)
  if (area !== 'snapshot') throw errno('EOPNOTSUPP', 'tell', area)
  const verb = Object.hasOwn(verbs, what) ? verbs[what]! : undefined
  if (!verb) throw errno('EINVAL', `snapshot "${what}" is not known. There are: ${Object.keys(verbs).join(', ')}`)
  if (rest.length !== verb[1] && !(what === 'diff' && rest.length === 2)) throw errno('EINVAL', `snapshot ${what} takes: PATH${verb[0] === '' ? '' : ` ${verb[0]}`}`)
  const { epochs } = tree, [name = '', other = ''] = rest
  switch (what) {
    case 'create': return epochs.create(name)
    case 'delete': return epochs.delete(name)
    case 'diff': {
      for await (const { what, path, to } of diff(tree, epochs.find(name), other === '' ? Infinity : epochs.find(other))) say(to === undefined ? [what, path || '/'] : [what, path, to])
      return
    }
    case 'rollback': return epochs.rollback(name)
    case 'rename': return epochs.rename(name, other)
    case 'hold': return epochs.hold(name, other)
    case 'release': return epochs.release(name, other)
    case 'list': for (const { value: { name, time: { sec, nsec }, holds } } of epochs.list()) {
      say([name, `time=${new Date(sec * 1000 + Math.floor(nsec / 1e6)).toISOString()}`, ...holds.map((hold) => `hold=${hold}`)])
    }
  }
}

/** Most lines of what is wrong. */
const TOLD = 10_000
/** A line for each thing that is wrong: how bad it is, what, the key, and the path where it is a file's; the last one counts. */
async function check(tree: Tree, data: boolean, say: (line: readonly string[]) => void): Promise<void> {
  const { instance } = tree
  let told = 0
  const tell = (line: readonly string[]) => { if (++told <= TOLD) say(line) }
  const summary = await viewing(instance, (view) => fsck(view, { data, report: ({ severity, what, key, path }) => tell([severity, what, key, ...path === undefined ? [] : [path]]) }))
  const bad = await damagedTables(instance.store.db.location), still = bad.length > 0 ? await sleep(1000).then(() => damagedTables(instance.store.db.location)) : []
  let tables = 0
  for (const [file, what] of still) if (bad.some(([other]) => other === file)) { tables++; tell(['lost', what, file]) }   // else it was being written
  say(Object.entries({ ...summary, problems: summary.problems + tables, lost: summary.lost + tables }).map(([key, value]) => `${key}=${value}`))
}
async function damagedTables(dir: string): Promise<[file: string, what: string][]> {
  const found: [string, string][] = []
  await checkTables(dir, (file, what) => found.push([file, what]))
  return found
}
