// Requests that make sense, made from the table: every message of a dialect, field by field, on fids that stand for what the
// message wants, for the most part. What each fid stands for is learned from the replies, and guessed until they come.

import { NOFID, codecs, dialects, typeOf } from 'ninep'
import type { Dialect } from 'ninep'
import type { Due, Ledger } from './ledger.ts'
import { byField, byMessage, count, length, one, size, u32Edges, u64, version, name as aName } from './pools.ts'
import type { Roll } from './pools.ts'

/** What a fid stands for. */
const NONE = 0, DIR = 1, FILE = 2, LINK = 3, LISTED = 4, READ = 5, WRITE = 6, BOTH = 7, VALUE = 8, SETTING = 9
const set = (...kinds: number[]) => kinds.reduce((bits, kind) => bits | 1 << kind, 0)
const ANY = set(DIR, FILE, LINK, LISTED, READ, WRITE, BOTH, VALUE, SETTING), NAMED = set(DIR, FILE, LINK, LISTED, READ, WRITE, BOTH), DIRS = set(DIR, LISTED), OPEN = set(LISTED, READ, WRITE, BOTH)

/** How often a message is sent, and what its fids are to stand for, in their order. A message that is not here is sent at times. */
const usual: Readonly<Record<string, readonly [weight: number, ...fids: number[]]>> = {
  Tversion: [0.1], Tauth: [0.3], Tattach: [1.5], Tflush: [3], Twalk: [22, DIRS], Tclunk: [8, ANY], Tremove: [2, ANY],
  Tread: [9, set(READ, BOTH, VALUE, LISTED)], Twrite: [8, set(WRITE, BOTH, SETTING)],
  Topen: [7, set(DIR, FILE)], Tcreate: [7, set(DIR)], Tstat: [5, NAMED], Twstat: [6, NAMED],
  Tlopen: [7, set(DIR, FILE)], Tlcreate: [5, set(DIR)], Treaddir: [4, set(LISTED)], Tmkdir: [3, DIRS], Tsymlink: [2, DIRS], Tmknod: [1.5, DIRS], Tlink: [1.5, DIRS, set(FILE, READ, BOTH)],
  Trename: [2, set(DIR, FILE, BOTH), DIRS], Trenameat: [2, DIRS, DIRS], Tunlinkat: [3, DIRS], Treadlink: [1.5, set(LINK)], Tgetattr: [5, NAMED], Tsetattr: [4, NAMED], Tstatfs: [0.5, NAMED],
  Txattrwalk: [2, NAMED], Txattrcreate: [2, set(DIR, FILE)], Tfsync: [1, OPEN], Tlock: [3, set(READ, WRITE, BOTH)], Tgetlock: [1, set(READ, WRITE, BOTH)],
}
/** Fields that hold a fid which is there, and one that is to be. */
const fids = ['fid', 'dfid', 'dirfid', 'olddirfid', 'newdirfid']
/** Numbers in use: few, that they meet; the rest are odd ones. */
const FIDS = 24
const odd = [FIDS, 1000, 0x7fffffff, 0x80000000, 0xfffffffe, NOFID]
const contents = Buffer.alloc(1024 * 1024 + 64, 'ninefold fuzz ')

interface Field { readonly name: string; readonly value: (grammar: Grammar) => unknown }
interface Message { readonly name: string; readonly fields: readonly Field[]; readonly encode: (tag: number, fields: object, into: Buffer, at: number) => number }

/** Messages of a dialect, each as often as its weight says. */
const tables = Object.fromEntries((Object.keys(dialects) as Dialect[]).map((dialect) => [dialect, tableOf(dialect)])) as unknown as Readonly<Record<Dialect, { readonly all: readonly Message[]; readonly drawn: readonly Message[] }>>
function tableOf(dialect: Dialect) {
  const all = Object.entries(dialects[dialect]).filter(([name]) => name.startsWith('T')).map(([name, [, layout]]): Message => {
    let nth = 0
    const fields = Object.entries(layout as Record<string, string>).map(([field, kind]): Field => ({ name: field, value: valueOf(name, field, kind, fids.includes(field) ? nth++ : 0) }))
    return { name, fields, encode: (codecs[dialect].encoders as never)[name] }
  })
  return { all, drawn: all.flatMap((message) => new Array<Message>(Math.ceil(10 * (usual[message.name]?.[0] ?? 1))).fill(message)) }
}

function valueOf(message: string, field: string, kind: string, nth: number): Field['value'] {
  const special = byMessage[message]?.[field]
  if (special) return ({ roll }) => special(roll)
  if (message === 'Tversion') return (grammar) => version(grammar.roll, grammar.dialect)[field as 'msize' | 'version']
  if (message === 'Tattach' && field === 'fid' || field === 'newfid') return (grammar) => grammar.newFid()
  if (fids.includes(field)) {
    const wants = usual[message]?.[1 + nth] ?? ANY
    return message === 'Twalk' ? (grammar) => grammar.fid(grammar.roll(5) ? wants : NAMED) : (grammar) => grammar.fid(wants)
  }
  if (field === 'count') return ({ roll, ledger }) => count(roll, ledger.msize)
  if (field === 'oldtag') return (grammar) => grammar.oldTag()
  const known = byField[field]
  if (known) return ({ roll }) => known(roll)
  switch (kind) {
    case 'u8': return ({ roll }) => roll(256)
    case 'u16': return ({ roll }) => roll(65536)
    case 'u64': return ({ roll }) => u64(roll)
    case 'size': return ({ roll }) => size(roll)
    case 'name': return ({ roll }) => aName(roll)
    case 'names': return ({ roll }) => Array.from({ length: names(roll) }, () => roll(12) === 0 ? '..' : aName(roll))
    case 'data': case 'payload': return ({ roll, ledger }) => contents.subarray(0, length(roll, ledger.msize))
    default: return ({ roll }) => one(roll, u32Edges)
  }
}
function names(roll: Roll): number {
  switch (roll(10)) {
    case 0: case 1: return 0
    case 2: return 2
    case 3: return roll(18)
    default: return 1
  }
}

export class Grammar {
  #known = new Uint8Array(FIDS)
  /** As they would be if all goes well. */
  #guess = new Uint8Array(FIDS)
  #next = 0
  #recent = new Uint16Array(64)
  #sent = 0
  constructor(readonly dialect: Dialect, readonly ledger: Ledger, readonly roll: Roll) {
    ledger.learn = (due, type, bytes, at, end) => this.#learn(due, type, bytes, at, end)
  }

  /** No fid is known to stand for a directory. */
  get lost(): boolean { return !this.#known.includes(DIR) }
  /** Guesses begin again from what is known. */
  again(): void { this.#guess.set(this.#known) }

  /** A frame at `at`: its end; or `at`, where none came of it. */
  write(into: Buffer, at: number): number {
    const { drawn, all } = tables[this.dialect], message = this.roll(300) > 0 ? one(this.roll, drawn) : one(this.roll, all)
    return this.#encode(message, into, at)
  }
  /** A frame of this message. */
  writeOne(name: string, into: Buffer, at: number, over: Readonly<Record<string, unknown>> = {}): number {
    return this.#encode(tables[this.dialect].all.find((message) => message.name === name)!, into, at, over)
  }
  #encode({ name, fields, encode }: Message, into: Buffer, at: number, over?: Readonly<Record<string, unknown>>): number {
    const values: Record<string, unknown> = {}
    for (const field of fields) values[field.name] = over && field.name in over ? over[field.name] : field.value(this)
    let end: number
    const tag = this.#tag(name)
    // A name too long for a stat, or no room left.
    try { end = encode(tag, values, into, at) } catch { return at }
    // Longer than was agreed, the connection would end.
    if (end - at > this.ledger.least && this.roll(200) > 0) return at
    this.#recent[this.#sent++ % 64] = tag
    this.#expect(name, values)
    return end
  }

  #tag(name: string): number {
    if (name === 'Tversion' && this.roll(4) > 0) return 0xffff
    switch (this.roll(2000)) {
      case 0: return this.oldTag()
      case 1: return this.roll(65536)
      case 2: return 0xffff
      default:
    }
    for (let tries = 0; tries < 200; tries++) {
      this.#next = (this.#next + 1) % 4096
      if (!this.ledger.has(this.#next)) break
    }
    return this.#next
  }
  /** One that was used, just now or a while ago. */
  oldTag(): number {
    const { roll, ledger } = this
    if (roll(6) === 0) return roll(2) ? roll(65536) : this.#next + 1 & 0xffff
    if (ledger.waiting > 0 && roll(3) === 0) return one(roll, ledger.tags)
    return this.#recent[roll(64)]!
  }

  /** A fid that stands for one of these kinds. */
  fid(wants: number): number {
    const { roll } = this
    if (roll(60) === 0) return one(roll, odd)
    if (roll(24) === 0) return roll(FIDS)
    const start = roll(FIDS)
    for (let i = 0; i < FIDS; i++) {
      const fid = (start + i) % FIDS
      if (wants & 1 << this.#guess[fid]!) return fid
    }
    return start
  }
  /** A number for a new one. */
  newFid(): number {
    const { roll } = this
    if (roll(80) === 0) return one(roll, odd)
    if (roll(12) === 0) return roll(FIDS)
    const start = roll(FIDS)
    for (let i = 0; i < FIDS; i++) {
      const fid = (start + i) % FIDS
      if (this.#guess[fid] === NONE) return fid
    }
    return start
  }

  #expect(name: string, values: Record<string, unknown>): void {
    const guess = this.#guess, fid = values.fid as number
    switch (name) {
      case 'Tattach': guess[fid] = DIR; break
      case 'Twalk': {
        const names = values.names as readonly string[], newfid = values.newfid as number
        guess[newfid] = names.length > 0 ? this.roll(2) ? DIR : FILE : closed(guess[fid] ?? NONE)
        break
      }
      case 'Tlopen': guess[fid] = opened(guess[fid] === DIR, values.flags as number); break
      case 'Topen': guess[fid] = opened(guess[fid] === DIR, values.mode as number); break
      case 'Tlcreate': guess[fid] = opened(false, values.flags as number); break
      case 'Tcreate': guess[fid] = opened((values.perm as number) >= 0x80000000, values.mode as number); break
      case 'Txattrwalk': guess[values.newfid as number] = VALUE; break
      case 'Txattrcreate': guess[fid] = SETTING; break
      case 'Tclunk': case 'Tremove': guess[fid] = NONE; break
      case 'Tversion': guess.fill(NONE); break
      default:
    }
  }

  #learn({ type: asked, fid, newfid, asked: names, how }: Due, type: number, b: Buffer, at: number, end: number): void {
    const known = this.#known
    if (asked === typeOf.Tclunk || asked === typeOf.Tremove) { known[fid] = NONE; return }
    if (asked === typeOf.Tversion) { known.fill(NONE); return }
    if (type !== asked + 1) return
    switch (type) {
      case typeOf.Rattach: known[fid] = kindOf(b[at + 7]!); break
      case typeOf.Rwalk: {
        const got = b.readUInt16LE(at + 7)
        if (got === names) known[newfid] = got > 0 ? kindOf(b[end - 13]!) : closed(known[fid] ?? NONE)
        break
      }
      case typeOf.Rlopen: case typeOf.Ropen: case typeOf.Rlcreate: case typeOf.Rcreate: known[fid] = opened((b[at + 7]! & 0x80) !== 0, how); break
      case typeOf.Rxattrwalk: known[newfid] = VALUE; break
      case typeOf.Rxattrcreate: known[fid] = SETTING; break
      default:
    }
  }
}

function kindOf(qidType: number): number { return qidType & 0x80 ? DIR : qidType & 0x02 ? LINK : FILE }
function opened(dir: boolean, how: number): number { return dir ? LISTED : [READ, WRITE, BOTH, READ][how & 3]! }
function closed(kind: number): number { return kind === LISTED ? DIR : kind > LISTED && kind < VALUE ? FILE : kind }
