// Checks all that FORMAT.md says of a state folder and its blobs, over one state of LevelDB: key by key in their order, so that a million
// files take no more memory than a thousand (but a number for each directory). What is wrong is told with the path of the file, and with
// what would put it right, where something would.

import type { Blobs } from '../translator.ts'
import { checkData } from './fsck-data.ts'
import { checkFiles } from './fsck-files.ts'
import { checkPast } from './fsck-past.ts'
import { afterPrefix, be32, entryKey, historyKey, inodeKey, kindPrefix, META, RESERVED, snapshotNameKey, treeOf, u32 } from './keys.ts'
import type { Found, Segment } from './journal.ts'
import type { Op } from './record.ts'
import { DELETE, PUT } from './record.ts'
import { decodeEntry, decodeInode, decodeMeta, decodeReserved, decodeSnapshot, decodeState, encodeReserved, encodeVersioned, VERSION, versionOf } from './values.ts'
import type { Meta, SnapshotValue, State } from './values.ts'
import { isErrno, nameOfBytes } from 'ninep'

/** One state of LevelDB, and what it refers to. */
export interface View {
  /** Keys and values in [from, to), in order, some at a time. */
  range(from: string, to: string): AsyncGenerator<[key: string, value: Buffer]>
  get(keys: readonly string[]): Promise<(Buffer | undefined)[]>
  readonly blobs: Blobs
  readonly segments: readonly Segment[]
  /** Whether the last of them may grow meanwhile. */
  readonly live: boolean
  scan(segment: Segment): Generator<Found>
  /** Whether what is missing here is missing still: it may have been done away with since. */
  still(key: string): Promise<boolean>
  /** Ids of blobs that may have no name yet. */
  isNew(id: string): boolean
}
/**
 * Something that is not as it should be. key: of the database, or the name of a blob or segment. path: of the file that it is about, or undefined. severity: `lost`: data or names
 * are gone; `wrong`: something contradicts something; `garbage`: space that nothing refers to. fix: what puts it right, if `expect` still stands.
 */
export interface Problem {
  readonly severity: 'lost' | 'wrong' | 'garbage'
  readonly what: string
  readonly key: string
  readonly path: string | undefined
  readonly fix: Fix | undefined
}
export interface Fix { readonly ops: readonly Op[]; readonly expect: ReadonlyMap<string, Buffer | undefined>; readonly drop?: Buffer; readonly files?: number; readonly used?: number }
export interface Options {
  /** Reads all data, and not only what proves that they are there. */
  readonly data: boolean
  readonly report: (problem: Problem) => void
  /** Told of what is done, of keys and blobs so far. */
  readonly progress?: (stage: string, done: number) => void
}
export interface Summary { readonly files: number; readonly keys: number; readonly blobs: number; readonly bytes: number; readonly problems: number; readonly lost: number }

/** Kinds of keys of a tree, in the order of LevelDB. */
const KINDS = 'ABCDEIKNOPRSTUchs'

/** Throws only what keeps it from looking: EIO of LevelDB, EPROTONOSUPPORT. */
export async function fsck(view: View, options: Options): Promise<Summary> {
  const check = new Check(view, options)
  const trees = await check.header()
  for (const tree of trees.values()) {
    await checkFiles(check, tree)
    await checkPast(check, tree)
  }
  await checkData(check, trees)
  check.totals()
  return { files: check.files, keys: check.keys, blobs: check.blobs, bytes: check.bytes, problems: check.problems, lost: check.lost }
}

/** A tree, as far as it could be read. snapshots: by epoch, ascending. busy: an operation on snapshots was begun, and not ended. */
export interface TreeInfo {
  readonly t: number
  readonly state: State
  readonly snapshots: readonly (SnapshotValue & { readonly epoch: number })[]
  readonly busy: boolean
}

export class Check {
  files = 0
  used = 0
  keys = 0
  blobs = 0
  bytes = 0
  problems = 0
  lost = 0
  meta: Meta | undefined
  reserved = { ino: Infinity, cookie: Infinity }
  constructor(readonly view: View, readonly options: Options) {}

  /** where: the inode that it is about, and the snapshot, 0 for the head. */
  async report(severity: Problem['severity'], key: string, what: string, where?: { t: number; ino: number; at?: number } | undefined, fix?: Fix): Promise<void> {
    this.problems++
    if (severity === 'lost') this.lost++
    this.options.report({ severity, what, key: printable(key), path: where && await this.path(where.t, where.ino, where.at ?? 0), fix })
  }
  step(stage: string): void { if (++this.keys % 10_000 === 0) this.options.progress?.(stage, this.keys) }
  async *range(stage: string, from: string, to = afterPrefix(from)): AsyncGenerator<[string, Buffer]> {
    for await (const entry of this.view.range(from, to)) {
      this.step(stage)
      yield entry
    }
  }
  async get(key: string): Promise<Buffer | undefined> { return (await this.view.get([key]))[0] }
  /** As a snapshot sees it; at 0: the head. A tombstone is nothing. */
  async getAt(key: string, at: number): Promise<Buffer | undefined> {
    let value = await this.get(key)
    for (let steps = 0; value && at > 0 && steps < 10_000; steps++) {
      const { birth, prev } = versionOf(value)
      if (birth <= at) break
      value = prev > 0 ? await this.get(historyKey(key, prev)) : undefined
    }
    return value && value.length > 8 ? value : undefined
  }

  /** By the inode's own word for where it is; as far as it can be followed. */
  async path(t: number, ino: number, at = 0): Promise<string> {
    const names: string[] = [], seen = new Set<number>()
    let lost = ''
    for (let i = ino; ;) {
      const value = await this.getAt(inodeKey(t, i), at), v = value && attempt(() => decodeInode(value))
      if (!v || seen.has(i)) { lost = `inode ${i}`; break }
      seen.add(i)
      if (v.parent === i) break
      const entry = await this.#entryAt(t, v.parent, v.cookie, at), e = entry && attempt(() => decodeEntry(entry))
      if (!e || e.ino !== i) { lost = `inode ${i}`; break }
      names.unshift(nameOfBytes(e.name, 0, e.name.length))
      i = v.parent
    }
    return `${at > 0 ? `@${at}` : ''}${lost === '' ? '/' : `<${lost}>${names.length > 0 ? '/' : ''}`}${names.join('/')}`
  }
  async #entryAt(t: number, dir: number, cookie: number, at: number): Promise<Buffer | undefined> {
    const head = await this.get(entryKey(t, dir, cookie))
    if (head && (at === 0 || head.readUInt32BE(0) <= at)) return head
    const prefix = entryKey(t, dir, cookie).replace(/^([^]{4})C/, '$1c')
    for await (const [key, value] of this.view.range(prefix + be32(at), afterPrefix(prefix))) {
      return u32(key, 21) >= at && value.length >= 4 && value.readUInt32BE(0) <= at ? value : undefined
    }
    return undefined
  }

  /** The keys that are there once, and the states of trees. */
  async header(): Promise<Map<number, TreeInfo>> {
    const meta = await this.get(META), reserved = await this.get(RESERVED)
    this.meta = meta && attempt(() => decodeMeta(meta))
    if (!this.meta) await this.report('lost', META, 'the head of the database is missing: which records it has is not known')
    else if (this.meta.version !== VERSION) await this.report('wrong', META, `is of version ${this.meta.version}`)
    if (reserved?.length === 16) this.reserved = decodeReserved(reserved)
    else await this.report('wrong', RESERVED, 'which numbers were given out is not known')
    for await (const [key] of this.range('trees', '', '\0\0\0\0')) if (key !== META && key !== RESERVED) await this.report('wrong', key, 'is no key of version 1')
    const trees = new Map<number, TreeInfo>()
    for (let from = '\0\0\0\0'; ;) {
      let first: string | undefined
      for await (const [key] of this.view.range(from, '\xff\xff\xff\xff\xff')) { first = key; break }
      if (first === undefined) break
      if (first.length < 5) {
        if (first !== META && first !== RESERVED) await this.report('wrong', first, 'is no key of version 1')
        from = `${first}\0`
        continue
      }
      const t = treeOf(first), tree = await this.#tree(t)
      if (tree) trees.set(t, tree)
      for (let i = 0; i <= KINDS.length; i++) {             // what lies between the kinds
        const low = i === 0 ? be32(t) : afterPrefix(kindPrefix(t, KINDS[i - 1]!)), high = i === KINDS.length ? afterPrefix(be32(t)) : kindPrefix(t, KINDS[i]!)
        if (low < high) for await (const [key] of this.view.range(low, high)) if (key.length > 4) await this.report('wrong', key, 'is no key of version 1')
      }
      if (t === 0xffffffff) break
      from = be32(t + 1)
    }
    if (trees.size === 0) await this.report('lost', kindPrefix(1, 'T'), 'there is no tree')
    return trees
  }
  async #tree(t: number): Promise<TreeInfo | undefined> {
    const value = await this.get(kindPrefix(t, 'T')), state = value && attempt(() => decodeState(value))
    const snapshots: (SnapshotValue & { epoch: number })[] = [], names = new Set<string>()
    for await (const [key, value] of this.range('trees', kindPrefix(t, 'S'))) {
      const snapshot = key.length === 9 ? attempt(() => decodeSnapshot(value)) : undefined
      if (!snapshot) { await this.report('lost', key, 'a snapshot is damaged'); continue }
      snapshots.push({ ...snapshot, epoch: u32(key, 5) })
      names.add(snapshotNameKey(t, snapshot.name))
      const back = await this.get(snapshotNameKey(t, snapshot.name))
      if (back?.length !== 4 || back.readUInt32BE(0) !== u32(key, 5)) {
        const name = snapshotNameKey(t, snapshot.name)
        await this.report('wrong', name, `the name of snapshot ${snapshot.name} does not lead to it`, undefined, { ops: [{ op: PUT, key: name, value: Buffer.from(be32(u32(key, 5)), 'latin1') }], expect: new Map([[name, back]]) })
      }
    }
    for await (const [key, value] of this.range('trees', kindPrefix(t, 's'))) {
      if (!names.has(key)) await this.report('wrong', key, 'the name of a snapshot that is not there', undefined, { ops: [{ op: DELETE, key }], expect: new Map([[key, value]]) })
    }
    let busy = false
    for await (const [] of this.range('trees', kindPrefix(t, 'R'))) busy = true
    if (!state) { await this.report('lost', kindPrefix(t, 'T'), 'the state of a tree is missing or damaged'); return undefined }
    const tree = { t, state, snapshots, busy }, lists = new Set<number>()
    for (const list of [...state.lists, ...snapshots.flatMap((s) => s.lists)]) {
      if (lists.has(list) || list >= state.next || list === 0) await this.report('wrong', kindPrefix(t, 'T'), `dead list ${list} is another's, or was never given out`)
      lists.add(list)
    }
    const newest = snapshots.at(-1)?.epoch ?? 0
    if (!busy && state.s !== newest) await this.report('wrong', kindPrefix(t, 'T'), `the newest snapshot is ${newest}, and not ${state.s}`)
    if (state.e <= state.s || state.e <= newest) await this.report('wrong', kindPrefix(t, 'T'), `the epoch ${state.e} is not after that of the newest snapshot`)
    return tree
  }
  totals(): void {
    const { meta } = this
    if (!meta) return
    const files = this.files - meta.files, used = this.used - meta.used
    if (files !== 0) void this.report('wrong', META, `says ${meta.files} files, and there are ${this.files}`, undefined, { ops: [], expect: new Map(), files, used: 0 })
    if (used !== 0) void this.report('wrong', META, `says ${meta.used} bytes of data, and there are ${this.used}`, undefined, { ops: [], expect: new Map(), files: 0, used })
  }
  /** A number that was never given out is in use. */
  async beyond(what: 'ino' | 'cookie', n: number, key: string): Promise<void> {
    if (n < this.reserved[what]) return
    const next = { ...this.reserved, [what]: n + 65536 }
    await this.report('wrong', key, `${what === 'ino' ? 'inode' : 'cookie'} ${n} is in use, and counts as not given out`, undefined, { ops: [{ op: PUT, key: RESERVED, value: encodeReserved(next.ino, next.cookie) }], expect: new Map() })
    this.reserved = next
  }
}

/** Questions that are asked many at a time. */
export class Lookups {
  #keys: string[] = []
  #asked: [count: number, then: (values: (Buffer | undefined)[]) => unknown][] = []
  constructor(private readonly check: Check) {}
  async ask(keys: readonly string[], then: (values: (Buffer | undefined)[]) => unknown): Promise<void> {
    this.#keys.push(...keys)
    this.#asked.push([keys.length, then])
    if (this.#keys.length >= 1000) await this.flush()
  }
  async flush(): Promise<void> {
    while (this.#keys.length > 0) {
      const keys = this.#keys, asked = this.#asked
      this.#keys = []
      this.#asked = []
      const values = await this.check.view.get(keys)
      let at = 0
      for (const [count, then] of asked) {
        await then(values.slice(at, at + count))
        at += count
      }
    }
  }
}

/** undefined where the value is not of its format. */
export function attempt<T>(decode: () => T): T | undefined {
  try { return decode() } catch (e) {
    if (isErrno(e, 'EIO') || e instanceof RangeError) return undefined
    throw e
  }
}
/** A fix that puts, or deletes with null, one key as it was seen. */
export function fixOf(key: string, seen: Buffer | undefined, value: Buffer | null): Fix {
  return { ops: [value ? { op: PUT, key, value } : { op: DELETE, key }], expect: new Map([[key, seen]]) }
}
export function withPrev(value: Buffer, prev: number): Buffer { return encodeVersioned(value.readUInt32BE(0), prev, value.subarray(8)) }
/** A key for people to read: its tree, kind and the rest in hex, names as they are. */
export function printable(key: string): string {
  if (key.length < 5) return key
  const rest = key.slice(5)
  return `${treeOf(key)} ${key[4]} ${/^[NA]$/.test(key[4]!) ? `${Buffer.from(rest.slice(0, 8), 'latin1').toString('hex')} ${JSON.stringify(nameOfBytes(Buffer.from(rest.slice(8), 'latin1'), 0, rest.length - 8))}` : Buffer.from(rest, 'latin1').toString('hex')}`
}
