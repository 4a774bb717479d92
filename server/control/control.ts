// The control tree: the server itself as files, for its owner. What there is, and how each file reads: FORMAT.md, beside this.

import { O, errno } from 'ninep'
import { formatValue } from '../stack.ts'
import type { Stream } from '../../translators/synthetic.ts'
import type { Translator } from '../../translators/translator.ts'
import type { Fid } from '../fid.ts'
import type { File } from '../namespace.ts'
import type { Mounts, Standing } from '../mounts.ts'
import type { Session } from '../session.ts'
import type { Events } from './events.ts'
import type { Journal } from './journal.ts'
import { told as telling, text, treeOf } from './tree.ts'
import type { Entry } from './tree.ts'
import { statsOf } from './stats.ts'
import { HELP, obey, told } from './verbs.ts'
import type { Governed } from './verbs.ts'
import { pairs, quote } from './words.ts'

/** The server, as the tree shows it. */
export interface Shown extends Governed {
  /** By number. */
  readonly sessions: ReadonlyMap<number, Session>
  readonly events: Events
  readonly journal: Journal
}

/** Fids of one connection that are listed. */
const LISTED = 10_000

/** Makes the tree; it is a translator like any other. */
export function controlTree(server: Shown): Promise<Translator> {
  const { mounts, sessions, events, journal } = server
  const standing = (id: number): Standing => {
    const found = mounts.find(id)
    if (!found) throw errno('ENOENT', 'it has ended')
    return found
  }
  const session = (id: number): Session => {
    const found = sessions.get(id)
    if (!found) throw errno('ENOENT', 'it has ended')
    return found
  }
  const names: Record<string, Entry> = {
    ctl: { writable: true, open: () => new Ctl(server) },
    events: { writable: false, open: () => events.open() },
    namespace: text(() => lines(mounts.list().filter(({ state }) => state === 'running').sort((a, b) => a.path < b.path ? -1 : 1).map(({ path, stack }) => `settrans -a ${quote(path)} ${stack}`))),
    passive: telling(() => records(mounts)),
    translators: {
      numbers: () => mounts.ids().sort((a, b) => a - b), has: (n) => mounts.ids().includes(n),
      each: (n) => ({
        stack: text(() => lines([standing(n).stack])),
        options: text(() => lines(standing(n).layers.flatMap(({ name, options, live }, i) => [
          `${i} ${name}`, ...Object.entries(options).map(([key, value]) => `${i} ${name} ${key}=${quote(formatValue(value))}${live.includes(key) ? ' live' : ''}`),
        ]))),
        stats: text(() => lines(statsOf(standing(n).layers))),
        state: text(() => {
          const { path, state, since, fids, layers } = standing(n)
          return lines([pairs({ path, state, since: since.toISOString(), fids, layers: layers.length })])
        }),
        log: text(() => lines(journal.of(standing(n).path))),
      }),
    },
    connections: {
      numbers: () => sessions.keys(), has: (n) => sessions.has(n),
      each: (n) => ({
        peer: text(() => {
          const { knownPeer: peer, name } = session(n)
          return lines([pairs({ kind: peer?.kind, uid: peer?.uid, address: peer?.address, on: name.slice(0, name.lastIndexOf('#')) })])
        }),
        user: text(() => {
          const attaches = new Set([...session(n).fids.values()].map(({ attach }) => attach))
          return lines([...attaches].map(({ user: { uid, gid, groups }, root }) => pairs({ uid, gid, groups: [...groups].join(','), root: placeOf(root) })))
        }),
        fids: text(() => {
          const { fids } = session(n), shown = [...fids.values()].slice(0, LISTED)
          return lines([...shown.map(fidLine), ...fids.size > shown.length ? [`... and ${fids.size - shown.length} more`] : []])
        }),
        stats: text(() => {
          const { since, ...figures } = session(n).figures
          return lines([pairs({ since: since.toISOString(), ...figures })])
        }),
      }),
    },
  }
  return treeOf(names)
}

async function* records({ passive }: Mounts): AsyncGenerator<string> {
  for await (const { path, volume, number, owner, state } of passive.list()) {
    yield `${pairs({ path, volume, node: number.toString(16), uid: owner, state: state?.state, fids: state?.fids, error: state?.error, stack: state?.stack })}\n`
  }
}

function lines(all: readonly string[]): string { return all.map((line) => `${line}\n`).join('') }

/** A path of the namespace, or of what is below a mount the mount. */
function placeOf({ place, mount }: File): string { return place?.path ?? `${mount.path} (below)` }

function fidLine({ number, state, file, name, attach, handle, flags, xattr }: Fid): string {
  const mode = flags & O.ACCMODE
  return `${number} ${pairs({
    mount: file.mount.path, name: name || undefined, qid: String(file.wire), uid: attach.user.uid,
    open: handle ? mode === O.RDONLY ? 'r' : mode === O.WRONLY ? 'w' : 'rw' : undefined, xattr: xattr ? 'on' : undefined, state: state === 'ready' ? undefined : state,
  })}`
}

/** An open `ctl`. Reading gives what the last write had to say, from wherever the first read of it begins; before any write, the verbs there are. */
class Ctl implements Stream {
  #answer = Buffer.from(HELP)
  #from: number | undefined
  constructor(private readonly governed: Governed) {}
  read(into: Uint8Array, offset: number): Uint8Array {
    if (this.#from === undefined || offset < this.#from) this.#from = offset
    const at = Math.min(offset - this.#from, this.#answer.length)
    return this.#answer.subarray(at, at + into.length)
  }
  async write(bytes: Uint8Array): Promise<number> {
    let failure: unknown, answer: string
    try { answer = await obey(Buffer.from(bytes).toString(), this.governed) } catch (e) {
      const { sentence, error } = told(e)
      answer = `${sentence}\n`
      failure = error
    }
    this.#answer = Buffer.from(answer)
    this.#from = undefined
    if (failure !== undefined) throw failure
    return bytes.length
  }
}
