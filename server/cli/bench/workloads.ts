// What a load does, operation by operation. Frames that are alike each time are made once.

import { AT_REMOVEDIR, Attrs, Dt, O, SetAttrs } from 'ninep'
import type { File } from 'ninep'
import { dice } from '../../dice.ts'
import { setOffset } from './line.ts'
import type { Line, Script, Slot } from './line.ts'
import type { Round, Span } from './round.ts'

/** Sizes are bytes. reads: of 100 operations of `mixed`. */
export interface Sizes { readonly io: number; readonly file: number; readonly files: number; readonly entries: number; readonly depth: number; readonly reads: number; readonly seed: number }

/** Where a workload runs: lines are attached with fid 0 at the root and fid 1 at the work directory, which is `dir` for who sets up. */
export interface Bench {
  readonly lines: readonly Line[]
  readonly dir: File
  readonly sizes: Sizes
  /** Whether files go by Tremove: the server has no Tunlinkat. */
  readonly removes: boolean
  run(name: string, script: (round: Round, slot: Slot) => Script, span?: Partial<Span>): Promise<void>
}

/** The fid of the file that all slots of a line share. */
const SHARED = 2
const DIR = 1
const gid = process.getgid?.() ?? 0
const SMALL = 4096

/** Bytes that no two places have alike. */
export function pattern(length: number, seed: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  let x = seed | 1
  for (let i = 0; i < length; i++) {
    x = Math.imul(x, 1664525) + 1013904223 | 0
    bytes[i] = x >>> 24
  }
  return bytes
}
function countOf({ bytes, at }: Line): number { return bytes.readUInt32LE(at) }

function* getattr(round: Round, slot: Slot): Script {
  const ask = slot.frame('Tgetattr', { fid: slot.fids, mask: Attrs.BASIC })
  while (round.begin(slot)) {
    slot.put(ask)
    yield
    if (!round.failed(slot, 'getattr')) round.end(slot)
  }
}

function* walk(round: Round, slot: Slot, names: readonly string[], stat: boolean): Script {
  const { line, fids: fid } = slot
  const go = slot.frame('Twalk', { fid: DIR, newfid: fid, names }), ask = slot.frame('Tgetattr', { fid, mask: Attrs.BASIC }), leave = slot.frame('Tclunk', { fid })
  while (round.begin(slot)) {
    slot.put(go)
    yield
    if (round.failed(slot, 'walk')) continue
    if (line.bytes.readUInt16LE(line.at) !== names.length) { round.wrong('walk: it went a part of the way'); continue }
    let failed = false
    if (stat) {
      slot.put(ask)
      yield
      failed = round.failed(slot, 'getattr')
    }
    slot.put(leave)
    yield
    if (!round.failed(slot, 'clunk') && !failed) round.end(slot)
  }
}

function* unlink(slot: Slot, name: string, removes: boolean): Script {
  if (!removes) {
    slot.send('Tunlinkat', { dirfid: DIR, name, flags: 0 })
    yield
    return
  }
  slot.send('Twalk', { fid: DIR, newfid: slot.fids, names: [name] })
  yield
  if (slot.error) return
  slot.send('Tremove', { fid: slot.fids })
  yield
}

/** A new file in place of the fid; false: it failed, and the fid is free again. */
function* create(round: Round, slot: Slot, clone: Buffer, leave: Buffer, name: string, flags: number): Generator<void, boolean, void> {
  slot.put(clone)
  yield
  if (round.failed(slot, 'clone')) return false
  slot.send('Tlcreate', { fid: slot.fids, name, flags: O.CREAT | O.EXCL | flags, mode: 0o644, gid })
  yield
  if (!round.failed(slot, 'lcreate')) return true
  slot.put(leave)
  yield
  return false
}

function* lookupCreateUnlink(round: Round, slot: Slot, removes: boolean): Script {
  const fid = slot.fids, clone = slot.frame('Twalk', { fid: DIR, newfid: fid, names: [] }), leave = slot.frame('Tclunk', { fid })
  while (round.begin(slot)) {
    const name = `t${slot.line.number}.${slot.tag}.${slot.index}`
    slot.send('Twalk', { fid: DIR, newfid: fid, names: [name] })
    yield
    if (slot.error !== 2) { round.wrong(`walk of a name that is not there: errno ${slot.error}`); continue }
    if (!(yield* create(round, slot, clone, leave, name, O.RDWR))) continue
    slot.put(leave)
    yield
    if (round.failed(slot, 'clunk')) continue
    yield* unlink(slot, name, removes)
    if (!round.failed(slot, 'unlink')) round.end(slot)
  }
}

function* createSmall(round: Round, slot: Slot, size: number): Script {
  const fid = slot.fids, clone = slot.frame('Twalk', { fid: DIR, newfid: fid, names: [] }), leave = slot.frame('Tclunk', { fid })
  const write = size > 0 ? slot.frame('Twrite', { fid, offset: 0, data: pattern(size, 1) }) : undefined
  while (round.begin(slot)) {
    if (!(yield* create(round, slot, clone, leave, `f${slot.index}`, O.WRONLY))) continue
    if (write) {
      write.writeUInt32LE(slot.index, write.length - 4)
      slot.put(write)
      yield
      if (!round.failed(slot, 'write') && countOf(slot.line) !== size) round.wrong('write: less was written')
    }
    slot.put(leave)
    yield
    if (!round.failed(slot, 'clunk')) round.end(slot, size)
  }
}
function* readSmall(round: Round, slot: Slot): Script {
  const { line, fids: fid } = slot, open = slot.frame('Tlopen', { fid, flags: O.RDONLY }), leave = slot.frame('Tclunk', { fid })
  const read = slot.frame('Tread', { fid, offset: 0, count: SMALL }), expected = pattern(SMALL, 1)
  while (round.begin(slot)) {
    slot.send('Twalk', { fid: DIR, newfid: fid, names: [`f${slot.index}`] })
    yield
    if (round.failed(slot, 'walk')) continue
    slot.put(open)
    yield
    let failed = round.failed(slot, 'lopen')
    if (!failed) {
      slot.put(read)
      yield
      failed = round.failed(slot, 'read')
      expected.writeUInt32LE(slot.index, SMALL - 4)
      if (!failed && (countOf(line) !== SMALL || expected.compare(line.bytes, line.at + 4, line.end) !== 0)) round.wrong('read: other bytes than were written')
    }
    slot.put(leave)
    yield
    if (!round.failed(slot, 'clunk') && !failed) round.end(slot, SMALL)
  }
}
function* unlinkSmall(round: Round, slot: Slot, removes: boolean): Script {
  while (round.begin(slot)) {
    yield* unlink(slot, `f${slot.index}`, removes)
    if (!round.failed(slot, 'unlink')) round.end(slot)
  }
}

function* readdir(round: Round, slot: Slot, entries: number): Script {
  const { line, fids: fid } = slot, clone = slot.frame('Twalk', { fid: DIR, newfid: fid, names: [] }), open = slot.frame('Tlopen', { fid, flags: O.RDONLY | O.DIRECTORY })
  const list = slot.frame('Treaddir', { fid, offset: 0n, count: line.msize - 24 }), leave = slot.frame('Tclunk', { fid })
  while (round.begin(slot)) {
    slot.put(clone)
    yield
    if (round.failed(slot, 'clone')) continue
    slot.put(open)
    yield
    let failed = round.failed(slot, 'lopen'), seen = 0
    list.fill(0, 11, 19)
    while (!failed) {
      slot.put(list)
      yield
      if (round.failed(slot, 'readdir')) failed = true
      const { bytes, at } = line, stop = at + 4 + bytes.readUInt32LE(at)
      if (failed || stop === at + 4) break
      for (let p = at + 4; p < stop; p += 24 + bytes.readUInt16LE(p + 22)) {
        const short = bytes.readUInt16LE(p + 22)
        if (bytes[p + 21] !== Dt.DIR || short > 2 || bytes[p + 24] !== 0x2e || (short === 2 && bytes[p + 25] !== 0x2e)) seen++
        bytes.copy(list, 11, p + 13, p + 21)
      }
    }
    slot.put(leave)
    yield
    if (!failed && seen !== entries) round.wrong(`readdir: ${seen} entries of ${entries}`)
    else if (!failed) round.end(slot, 0, seen)
  }
}

/** Offsets one after the other, which the slots of a line share. */
function ahead(line: Line, bytes: number, size: number): number {
  const at = line.next + bytes > size ? 0 : line.next
  line.next = at + bytes
  return at
}
function* read(round: Round, slot: Slot, bytes: number, next: () => number): Script {
  const { line } = slot, ask = slot.frame('Tread', { fid: SHARED, offset: 0, count: bytes })
  while (round.begin(slot)) {
    setOffset(ask, next())
    slot.put(ask)
    yield
    if (round.failed(slot, 'read')) continue
    if (countOf(line) !== bytes || line.end - line.at !== bytes + 4) round.wrong(`read: ${countOf(line)} bytes for ${bytes}`)
    else round.end(slot, bytes)
  }
}
function* write(round: Round, slot: Slot, fid: number, data: Buffer, next: () => number, fsync = false): Script {
  const ask = slot.frame('Twrite', { fid, offset: 0, data }), sync = slot.frame('Tfsync', { fid, datasync: 0 })
  while (round.begin(slot)) {
    setOffset(ask, next())
    slot.put(ask)
    yield
    if (round.failed(slot, 'write')) continue
    if (countOf(slot.line) !== data.length) { round.wrong('write: less was written'); continue }
    if (fsync) {
      slot.put(sync)
      yield
      if (round.failed(slot, 'fsync')) continue
    }
    round.end(slot, data.length)
  }
}
function* mixed(round: Round, slot: Slot, reads: number, die: (n: number) => number, blocks: number): Script {
  const { line } = slot, ask = slot.frame('Tread', { fid: SHARED, offset: 0, count: SMALL }), put = slot.frame('Twrite', { fid: SHARED, offset: 0, data: pattern(SMALL, slot.tag) })
  while (round.begin(slot)) {
    const frame = die(100) < reads ? ask : put
    setOffset(frame, die(blocks) * SMALL)
    slot.put(frame)
    yield
    if (round.failed(slot, frame === ask ? 'read' : 'write')) continue
    if (countOf(line) !== SMALL) round.wrong('read or write: less than was asked for')
    else round.end(slot, SMALL)
  }
}

/** Reads, writes, cuts and asks for the size of a file of its own, and compares with what it must be. */
const REGION = 2 ** 20
function* verify(round: Round, slot: Slot, die: (n: number) => number, model: { bytes: Buffer; size: number }): Script {
  const { line, fids: fid } = slot, most = Math.min(line.msize - 24, REGION)
  while (round.begin(slot)) {
    const what = die(100), length = 1 + die(die(4) > 0 ? Math.min(most, 16384) : most), offset = die(REGION - length + 1)
    if (what < 45) {
      const data = pattern(length, die(2 ** 31))
      slot.put(slot.frame('Twrite', { fid, offset, data }))
      yield
      if (round.failed(slot, 'write')) return
      if (countOf(line) !== length) return round.wrong('write: less was written')
      if (offset > model.size) model.bytes.fill(0, model.size, offset)
      data.copy(model.bytes, offset)
      model.size = Math.max(model.size, offset + length)
    } else if (what < 92) {
      slot.send('Tread', { fid, offset, count: length })
      yield
      if (round.failed(slot, 'read')) return
      const expected = Math.max(0, Math.min(length, model.size - offset))
      if (countOf(line) !== expected || model.bytes.compare(line.bytes, line.at + 4, line.end, offset, offset + expected) !== 0) return round.wrong(`read of ${length} at ${offset}: other bytes than were written`)
    } else if (what < 95) {
      const never = { sec: 0, nsec: 0 }, size = die(REGION)
      slot.send('Tsetattr', { fid, valid: SetAttrs.SIZE, mode: 0, uid: 0, gid: 0, size, atime: never, mtime: never })
      yield
      if (round.failed(slot, 'setattr')) return
      if (size > model.size) model.bytes.fill(0, model.size, size)
      model.size = size
    } else if (what < 98) {
      slot.send('Tgetattr', { fid, mask: Attrs.BASIC })
      yield
      if (round.failed(slot, 'getattr')) return
      const size = Number(line.bytes.readBigUInt64LE(line.at + 49))
      if (size !== model.size) return round.wrong(`getattr: size ${size} for ${model.size}`)
    } else {
      slot.send('Tfsync', { fid, datasync: 0 })
      yield
      if (round.failed(slot, 'fsync')) return
    }
    round.end(slot, what < 92 ? length : 0)
  }
}

/** Gives every slot, or every line, a fid of a file. */
async function each(lines: readonly Line[], names: (slot: Slot) => readonly string[], flags?: number): Promise<void> {
  for (const line of lines) for (const slot of line.slots) await line.walkTo(DIR, slot.fids, names(slot), flags)
}
async function letGo(lines: readonly Line[]): Promise<void> { for (const line of lines) for (const slot of line.slots) await line.clunk(slot.fids) }

async function made(dir: File, name: string, bytes: number): Promise<void> {
  await using file = await dir.create(name, O.WRONLY, 0o644, gid)
  const piece = pattern(Math.min(bytes, 2 ** 20), 7)
  for (let at = 0; at < bytes; at += piece.length) await file.write(piece.subarray(0, Math.min(piece.length, bytes - at)), at)
}
/** With a file that all slots share. */
async function shared({ lines, dir }: Bench, name: string, bytes: number, flags: number, work: () => Promise<void>): Promise<void> {
  await made(dir, name, bytes)
  for (const line of lines) {
    await line.walkTo(DIR, SHARED, [name], flags)
    line.next = 0
  }
  await work()
  for (const line of lines) await line.clunk(SHARED)
  await dir.unlinkat(name)
}
/** With a directory of its own at fid 1. */
async function within({ lines, dir }: Bench, name: string, work: () => Promise<void>): Promise<void> {
  await dir.mkdir(name, 0o755, gid)
  for (const line of lines) await line.walkTo(DIR, DIR, [name])
  await work()
  for (const line of lines) await line.walkTo(DIR, DIR, ['..'])
  await dir.unlinkat(name, AT_REMOVEDIR)
}

const page = pattern(SMALL, 3)

/** By name; what one does is said in its help. */
export const workloads: Readonly<Record<string, { readonly about: string; run(bench: Bench): Promise<void> }>> = {
  getattr: {
    about: 'Tgetattr, of a fid of its own',
    async run(bench) {
      await made(bench.dir, 'target', SMALL)
      await each(bench.lines, () => ['target'])
      await bench.run('getattr', getattr)
      await letGo(bench.lines)
      await bench.dir.unlinkat('target')
    },
  },
  walk: {
    about: 'Twalk of several names, Tclunk',
    async run(bench) {
      const names = Array.from({ length: bench.sizes.depth }, (_, i) => `p${i}`)
      for (const [i, name] of names.entries()) {
        await using above = await bench.dir.walk(...names.slice(0, i))
        await above.mkdir(name, 0o755, gid)
      }
      await bench.run(`walk-${names.length}`, (round, slot) => walk(round, slot, names, false))
      for (const [i, name] of [...names.entries()].reverse()) {
        await using above = await bench.dir.walk(...names.slice(0, i))
        await above.unlinkat(name, AT_REMOVEDIR)
      }
    },
  },
  stat: {
    about: 'Twalk, Tgetattr, Tclunk',
    async run(bench) {
      await made(bench.dir, 'target', SMALL)
      await bench.run('stat', (round, slot) => walk(round, slot, ['target'], true))
      await bench.dir.unlinkat('target')
    },
  },
  'lookup-create-unlink': {
    about: 'Twalk of a name that is not there, clone, Tlcreate, Tclunk, Tunlinkat',
    run: (bench) => bench.run('lookup-create-unlink', (round, slot) => lookupCreateUnlink(round, slot, bench.removes)),
  },
  smallfiles: {
    about: 'three rounds over files of 4 KiB: make and write, read and compare, unlink',
    run: (bench) => within(bench, 'small', async () => {
      // Its operations are few: first some without a name, so that this process is not learning while it measures.
      for (const [count, name] of [[Math.min(bench.sizes.files, 500), ''], [bench.sizes.files, 'smallfiles']] as const) {
        const called = (round: string) => name && `${name}.${round}`
        await bench.run(called('create'), (round, slot) => createSmall(round, slot, SMALL), { count })
        await bench.run(called('read'), readSmall, { count })
        await bench.run(called('unlink'), (round, slot) => unlinkSmall(round, slot, bench.removes), { count })
      }
    }),
  },
  readdir: {
    about: 'clone, Tlopen, Treaddir to the end, Tclunk',
    run: (bench) => within(bench, 'list', async () => {
      const count = bench.sizes.entries
      await bench.run('', (round, slot) => createSmall(round, slot, 0), { count })
      await bench.run(`readdir-${count}`, (round, slot) => readdir(round, slot, count))
      await bench.run('', (round, slot) => unlinkSmall(round, slot, bench.removes), { count })
    }),
  },
  seqwrite: {
    about: 'Twrite, one after the other, of a file a connection',
    run: (bench) => shared(bench, 'seq', 0, O.RDWR, () => {
      const data = pattern(bench.sizes.io, 5)
      return bench.run('seqwrite', (round, slot) => write(round, slot, SHARED, data, () => ahead(slot.line, data.length, bench.sizes.file)))
    }),
  },
  seqread: {
    about: 'Tread, one after the other, of a file that all share',
    run: (bench) => shared(bench, 'seq', bench.sizes.file, O.RDONLY, () => bench.run('seqread', (round, slot) => read(round, slot, bench.sizes.io, () => ahead(slot.line, bench.sizes.io, bench.sizes.file)))),
  },
  ...Object.fromEntries((['randread', 'randwrite', 'mixed'] as const).map((name) => [name, {
    about: { randread: 'Tread of 4 KiB anywhere in a file', randwrite: 'Twrite of 4 KiB anywhere in a file', mixed: 'either of them' }[name],
    run: (bench: Bench) => shared(bench, 'random', bench.sizes.file, O.RDWR, () => {
      const blocks = Math.floor(bench.sizes.file / SMALL), die = dice(bench.sizes.seed), at = () => die(blocks) * SMALL, { reads } = bench.sizes
      if (name === 'randread') return bench.run(name, (round, slot) => read(round, slot, SMALL, at))
      if (name === 'randwrite') return bench.run(name, (round, slot) => write(round, slot, SHARED, page, at))
      return bench.run(`mixed-${reads}/${100 - reads}`, (round, slot) => mixed(round, slot, reads, die, blocks))
    }),
  }])),
  'fsync-append': {
    about: 'Twrite of 4 KiB at the end of a file of its own, Tfsync',
    async run(bench) {
      const name = (slot: Slot) => `log${slot.line.number}.${slot.tag}`
      for (const line of bench.lines) for (const slot of line.slots) await made(bench.dir, name(slot), 0)
      await each(bench.lines, (slot) => [name(slot)], O.RDWR)
      await bench.run('fsync-append', (round, slot) => {
        let next = -SMALL
        return write(round, slot, slot.fids, page, () => next = (next + SMALL) % 2 ** 26, true)
      })
      await letGo(bench.lines)
      for (const line of bench.lines) for (const slot of line.slots) await bench.dir.unlinkat(name(slot))
    },
  },
  verify: {
    about: 'any of write, read, truncate, size, fsync of a file of its own, compared with what must be there',
    async run(bench) {
      const name = (slot: Slot) => `own${slot.line.number}.${slot.tag}`, models = new Map<Slot, { bytes: Buffer; size: number }>()
      for (const line of bench.lines) {
        for (const slot of line.slots) {
          await made(bench.dir, name(slot), 0)
          models.set(slot, { bytes: Buffer.alloc(REGION), size: 0 })
        }
      }
      await each(bench.lines, (slot) => [name(slot)], O.RDWR)
      await bench.run('verify', (round, slot) => verify(round, slot, dice(bench.sizes.seed + slot.fids + slot.line.number * 65536), models.get(slot)!))
      await letGo(bench.lines)
      // Once more, through another connection.
      for (const [slot, { bytes, size }] of models) {
        await using file = await bench.dir.walk(name(slot))
        await file.open(O.RDONLY)
        const got = await file.read(0, REGION + 1)
        if (!bytes.subarray(0, size).equals(got)) throw new Error(`verify: ${name(slot)} holds other bytes than were written`)
        await bench.dir.unlinkat(name(slot))
      }
    },
  },
}

/** A step of a suite. */
export interface Step { readonly workload: string; readonly connections: number; readonly depth: number; readonly seconds: number }
const step = (workload: string, connections: number, depth: number, seconds: number): Step => ({ workload, connections, depth, seconds })
/** ceiling: what also a server answers that keeps nothing; disk: where a disk shows. */
export const suites: Readonly<Record<string, readonly Step[]>> = {
  standard: [
    ...[1, 8, 64].map((depth) => step('getattr', 1, depth, 2)), step('getattr', 8, 4, 2), step('getattr', 4, 8, 2), step('walk', 1, 8, 2), step('stat', 1, 8, 2), step('lookup-create-unlink', 1, 1, 2),
    step('lookup-create-unlink', 1, 8, 2), step('smallfiles', 1, 8, 2), step('readdir', 1, 1, 2), step('seqwrite', 1, 8, 2), step('seqread', 1, 8, 2), step('randread', 1, 1, 1.5),
    step('randread', 1, 8, 1.5), step('randwrite', 1, 8, 1.5), step('mixed', 1, 8, 1.5), step('fsync-append', 1, 1, 1.5), step('verify', 2, 4, 2),
  ],
  disk: [step('smallfiles', 1, 8, 2), step('lookup-create-unlink', 1, 8, 2), step('seqwrite', 1, 8, 2), step('randread', 1, 8, 1.5), step('randwrite', 1, 8, 1.5), step('fsync-append', 1, 1, 2), step('fsync-append', 1, 8, 2)],
  ceiling: [
    ...[1, 8, 64].map((depth) => step('getattr', 1, depth, 2)), step('getattr', 4, 8, 2), step('walk', 1, 8, 2), step('stat', 1, 8, 2), step('seqwrite', 1, 8, 2), step('seqread', 1, 8, 2),
    step('randread', 1, 1, 1.5), step('randread', 1, 8, 1.5), step('randwrite', 1, 8, 1.5), step('mixed', 1, 8, 1.5),
  ],
  quick: [
    step('getattr', 1, 1, 0.5), step('getattr', 1, 64, 0.5), step('lookup-create-unlink', 1, 8, 0.5), step('smallfiles', 1, 8, 1), step('readdir', 1, 1, 0.5), step('seqwrite', 1, 8, 0.5),
    step('seqread', 1, 8, 0.5), step('randread', 1, 8, 0.5), step('fsync-append', 1, 1, 0.5), step('verify', 2, 4, 1),
  ],
}
