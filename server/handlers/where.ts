// Where a file stands: the directory above, and its name there. Those of a directory that was reached by '..' are looked for.

import { O, entryName, isErrno } from 'ninep'
import type { DirSink, Node, Volume } from '../../translators/translator.ts'
import { get } from '../drive.ts'
import type { Steps } from '../drive.ts'
import type { Fid } from '../fid.ts'
import type { File } from '../namespace.ts'
import type { Session } from '../session.ts'
import { isFixed } from './common.ts'

/** Entries looked at in one turn of the loop. */
const IN_A_TURN = 1024

/** Notes with the fid where its directory stands, if that is not known, and can be. */
export function* locate({ shared: { namespace } }: Session, fid: Fid): Steps<void> {
  const { file, attach } = fid
  if (fid.dir || isFixed(file, attach) || !file.isDirectory) return
  const dir: File = yield* get(namespace.up(file))
  try {
    let name = nameAmong(file, dir)
    try { name ??= yield* nameIn(dir, file.underlying) } catch (e) { if (!isErrno(e)) throw e }
    if (name !== undefined && fid.file === file && fid.state !== 'gone') fid.reachedBy(dir, name)
  } finally { dir.release() }
}

/** The name by which some fid has reached a file from that directory. */
function nameAmong(file: File, dir: File): string | undefined {
  for (let other = file.fids; other; other = other.next) if (other.dir === dir) return other.name
  return undefined
}
/** The name of a directory in the one above. It is looked for there from end to end, unless it still has the name that it was last found by. */
function* nameIn(dir: File, file: File): Steps<string | undefined> {
  const { volume, qid: { path } } = file.node, names = found.get(volume) ?? new Map<bigint, string>(), last = names.get(path)
  if (last !== undefined && (yield* leadsTo(dir, last, file))) return last
  const name: string | undefined = yield* search(dir, path)
  names.delete(path)
  if (name === undefined) return undefined
  found.set(volume, names.set(path, name))
  if (names.size > REMEMBERED) names.delete(names.keys().next().value!)
  return name
}
/** Names that were looked for, of so many directories of each volume. */
const found = new WeakMap<Volume, Map<bigint, string>>(), REMEMBERED = 1024
function* leadsTo(dir: File, name: string, { node }: File): Steps<boolean> {
  try {
    const there: Node = yield* get(dir.node.walk(name)), same = there.volume === node.volume && there.qid.path === node.qid.path
    dir.mount.close(there)
    return same
  } catch (e) {
    if (isErrno(e)) return false
    throw e
  }
}
function* search(dir: File, path: bigint): Steps<string | undefined> {
  let found: string | undefined, cookie = 0n, left = 0
  const sink: DirSink = {
    add(entry, _type, at, name) {
      if (found !== undefined || left-- === 0) return false
      cookie = at
      if (entry === path) found = entryName(name)
      return true
    },
  }
  const handle = yield* get(dir.node.open(O.RDONLY))
  try {
    for (;;) {
      left = IN_A_TURN
      if ((yield* get(handle.readdir(cookie, sink, 0))) || found !== undefined) return found
      yield new Promise(setImmediate)
    }
  } finally { yield* get(handle.close()) }
}

/** Where the file of a fid is in the namespace, as far as that can be told: '' where a name on the way can't be had. */
export function* pathOf({ shared: { namespace } }: Session, { file, dir, name }: Fid): Steps<string> {
  const names: string[] = []
  let at = dir ?? file
  if (dir) names.unshift(name)
  at.retain()
  try {
    while (!at.isPlace) {
      const above: File = yield* get(namespace.up(at))
      const name = nameAmong(at, above) ?? (yield* nameIn(above, at.underlying))
      at.release()
      at = above
      if (name === undefined) return ''
      names.unshift(name)
    }
    return `${at.place!.path === '/' ? '' : at.place!.path}/${names.join('/')}`
  } finally { at.release() }
}

/** What Stat.name says: the last name on the way, and '/' at the attach root. */
export function nameOf({ dir, name, file, attach }: Fid): string {
  if (dir) return name
  if (file === attach.root) return '/'
  const { place } = file
  return place ? place.path.slice(place.path.lastIndexOf('/') + 1) || '/' : '..'
}
