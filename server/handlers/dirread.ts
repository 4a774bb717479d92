// Tread of a directory in 9P2000 and 9P2000.u: the stats of its entries, whole ones, written in place. What is remembered
// between two reads is where the first one ended, and not what the directory held.

import { DM, Dt, IOHDRSZ, entryName, errno, isErrno, putStat, putUnixStat, qidTypeOf } from 'ninep'
import type { Attr, UnixStat } from 'ninep'
import type { Awaitable, DirSink, Handle } from '../../translators/translator.ts'
import { drive, get } from '../drive.ts'
import type { Steps } from '../drive.ts'
import type { Fid, Reading } from '../fid.ts'
import { asItIs, followed } from '../look.ts'
import type { File } from '../namespace.ts'
import { X, allows } from '../permission.ts'
import type { Request } from '../request.ts'
import type { Session } from '../session.ts'
import { namesOver, qidOf, rights } from './common.ts'
import { STAT, blankStat, dmOf, statOf } from './stats.ts'

/** Entries that are asked for at once, and those whose files a translator is asked about at once. */
const BATCH = 64, AT_ONCE = 16
/** About as small as an entry is, bytes. */
const SMALL = 60
/** How long one reply may keep the loop, milliseconds: then others have their turn. */
const WHILE = 4

const BEGINNING: Reading = { offset: 0, mounts: 0, cookie: 0n }

/** Fills `into` from offset 0, or where the last read ended: ESPIPE. Nothing: that was all, or the next entry has no room. */
export function* readStats(session: Session, unix: boolean, fid: Fid, handle: Handle, offset: number, into: Buffer, request: Request): Steps<Uint8Array> {
  const { file, attach } = fid, { user } = attach
  const from = offset === 0 ? BEGINNING : fid.reading
  if (!from || from.offset !== offset) throw errno('ESPIPE', 'read', 'a directory, elsewhere than where the last read ended')
  const searchable = user.uid === 0 || allows(user, yield* get(rights(handle, user)), X)
  let { mounts, cookie } = from, end = 0, began = performance.now()
  const put = (stat: UnixStat) => {
    const to = putEntry(session, unix, into, end, stat)
    if (to > 0) end = to
    return to > 0
  }
  if (offset === 0) fid.over = [...file.place?.children.values() ?? []]
  const { over } = fid, names = namesOver(over)
  const waited = function* <T>(value: Awaitable<T>): Steps<T> {
    if (!(value instanceof Promise)) return value
    const got = (yield value) as T
    began = performance.now()
    return got
  }
  let more = true
  for (; mounts < over.length && more; mounts += more ? 1 : 0) {
    const { name, file: mounted, stands } = over[mounts]!
    if (!stands) continue                                   // it has gone since
    mounted.retain()
    try { more = put(yield* mountStat(session, unix, fid, name, mounted)) } finally { mounted.release() }
  }
  while (more) {
    const batch = new Batch(names, Math.min(BATCH, 1 + Math.floor((into.length - end) / SMALL)))
    let all: boolean
    try { all = yield* waited(handle.readdir(cookie, batch, STAT, request)) } finally { batch.closed = true }
    const stats = ahead(batch.entries, (entry) => drive(stat(session, unix, fid, entry, searchable)))
    try {
      for (const entry of batch.entries) {
        const found: UnixStat | null = yield* waited(stats.next())
        more = !found || put(found)
        if (!more) break
        cookie = entry.cookie
        if (performance.now() - began < WHILE) continue
        if (request.aborted) throw errno('EINTR', 'read')
        yield* waited(new Promise(setImmediate))
      }
    } finally { yield* get(stats.end()) }
    if (all || batch.entries.length === 0) break
  }
  if (!request.silent) fid.reading = { offset: offset + end, mounts, cookie }
  return into.subarray(0, end)
}

/** An extension for which the largest reply has no room is left out: what can't be read would look like the end. */
function putEntry(session: Session, unix: boolean, into: Buffer, at: number, stat: UnixStat): number {
  if (!unix) return putStat(into, at, into.length, stat)
  const end = putUnixStat(into, at, into.length, stat)
  return end < 0 && at === 0 && into.length >= session.msize - IOHDRSZ ? putUnixStat(into, at, into.length, { ...stat, extension: '' }) : end
}

interface Entry { readonly path: bigint; readonly type: number; readonly cookie: bigint; readonly name: string; readonly attr: Attr | undefined }
class Batch implements DirSink {
  readonly entries: Entry[] = []
  closed = false
  constructor(private readonly over: ReadonlySet<string> | null, private readonly most: number) {}
  add(path: bigint, type: number, cookie: bigint, name: string | Uint8Array, attr?: Attr): boolean {
    if (this.closed || this.entries.length >= this.most) return false
    const text = entryName(name)
    if (!this.over?.has(text)) this.entries.push({ path, type, cookie, name: text, attr })
    return true
  }
}

/** That of what is mounted there, also where it answers no more. */
function* mountStat(session: Session, unix: boolean, { attach }: Fid, name: string, file: File): Steps<UnixStat> {
  try { return yield* statOf(session, attach, unix, yield* get(file.node.getattr(STAT)), file.wire, name) } catch (e) {
    if (!isErrno(e)) throw e
    return blankStat(qidOf(file), name, file.isDirectory ? DM.DIR : 0)
  }
}

/** The stat of an entry; null: there is none to show. */
function* stat(session: Session, unix: boolean, { file: dir, attach }: Fid, { path, type, name, attr }: Entry, searchable: boolean): Steps<UnixStat | null> {
  const { namespace } = session.shared, wire = dir.mount.wire(dir.node.volume, path)
  const blank = () => {
    const mode = dmOf(type << 12, unix)
    return unix || type === Dt.REG || type === Dt.DIR ? blankStat({ type: qidTypeOf(type), version: 0, path: wire }, name, mode) : null
  }
  if (!searchable) return blank()
  if (!unix && (type === Dt.FIFO || type === Dt.SOCK || type === Dt.CHR || type === Dt.BLK)) return null
  try {
    if (attr && type !== Dt.LNK && type !== Dt.UNKNOWN) return yield* statOf(session, attach, unix, attr, wire, name)
    const look = unix ? asItIs : followed, file = yield* get(look(namespace, attach.user, attach.root, dir, name))
    try {
      return yield* statOf(session, attach, unix, yield* get(file.node.getattr(STAT)), file.wire, name, file.node)
    } finally { file.release() }
  } catch (e) {
    if (isErrno(e, 'ENOENT') || isErrno(e, 'ESTALE')) return null
    if (isErrno(e)) return blank()
    throw e
  }
}

/** f of each, in order, and while one is waited for, of some that follow. f never keeps what it needs from others. end: when none is under way any more. */
function ahead<T, U>(items: readonly T[], f: (item: T) => Awaitable<U>): { next(): Awaitable<U>; end(): Awaitable<void> } {
  const begun: Awaitable<U>[] = []
  let at = 0
  const begin = () => {
    const result = f(items[begun.length]!)
    if (result instanceof Promise) result.catch(() => {})
    begun.push(result)
    return result instanceof Promise
  }
  return {
    next() {
      if (begun.length === at) while (begun.length < items.length && begun.length < at + AT_ONCE) if (!begin()) break
      return begun[at++]!
    },
    end() {
      const rest = begun.slice(at).filter((result) => result instanceof Promise)
      return rest.length === 0 ? undefined : Promise.allSettled(rest).then(() => {})
    },
  }
}
