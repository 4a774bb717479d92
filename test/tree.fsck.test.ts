// Damage: each kind of key lost or altered, blobs cut, swapped, altered and gone, the journal cut anywhere, LevelDB's tables altered at any
// byte. Each is found, and what can be put right is.

import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { posix } from '../translators/posix/posix.ts'
import { snapshot } from '../translators/snapshot/snapshot.ts'
import { hex } from '../translators/tree/blob.ts'
import { fsck, printable } from '../translators/tree/fsck.ts'
import type { Problem, View } from '../translators/tree/fsck.ts'
import { checkTables } from '../translators/tree/fsck-tables.ts'
import { viewingFolder } from '../translators/tree/fsck-view.ts'
import { Journal } from '../translators/tree/journal.ts'
import { bytesOfKey, META } from '../translators/tree/keys.ts'
import { decodeMeta } from '../translators/tree/values.ts'
import { dice } from '../server/dice.ts'
import { owner } from './conform/tools.ts'
import { assemble, silent } from './tree/assembled.ts'
import { MapBlobs } from './tree/disk.ts'
import { MapLevel } from './tree/level.ts'
import { Model } from './tree/model.ts'
import { folder, told } from './tree/snapshot.ts'
import { Doer, randomStep } from './tree/steps.ts'

interface State { readonly dir: string; readonly keys: Map<string, Buffer>; readonly blobs: Map<string, Buffer> }

/** What a run leaves: files of all kinds with a past. */
async function made(seed: number, count: number): Promise<State> {
  const dir = folder(), keys = new Map<string, Buffer>(), blobs = new MapBlobs(new Map(), new Map(), []), model = new Model(), below = dice(seed)
  mkdirSync(dir, { recursive: true })
  const tree = await assemble({ dir, blobs, database: new MapLevel(keys, async () => {}) as never, durability: 'group', segment: 65536, log: silent })
  const doer = new Doer(tree.root, tree.verbs)
  for (let i = 0; i < count; i++) {
    const step = randomStep(model, below, { far: true, files: 40, weights: { snapshot: 1.5, delete: 0.7, pack: 0.5 } })
    await doer.apply(step)
    model.apply(step)
  }
  for (const step of [
    { do: 'xattr', path: '', name: 'user.large', length: 3000, seed: 3 },
    { do: 'make', kind: 'file', path: 'orphan', mode: 0o644, target: '' }, { do: 'write', path: 'orphan', slot: -1, offset: 0, length: 5000, seed: 1 },
    { do: 'open', path: 'orphan', slot: 9 }, { do: 'unlink', path: 'orphan', slot: -1 }, { do: 'set', path: '', mode: 0o755, uid: 0, gid: 0, mtime: null },
    { do: 'set', path: '', mode: 0o700, uid: 0, gid: 0, mtime: null },
  ] as const) await doer.apply(step)
  assert.equal(await tree.check(true), [], 'before anything was damaged')
  await tree.kill()                                       // with what is open and has no name
  return { dir, keys, blobs: blobs.all }
}
async function check({ dir, keys, blobs }: State, data = false): Promise<Problem[]> {
  const problems: Problem[] = [], level = new MapLevel(keys, async () => {}), meta = keys.get(META)
  const journal = new Journal(join(dir, 'journal'), meta ? Buffer.from(decodeMeta(meta).uuid) : Buffer.alloc(16), 0)
  const view: View = {
    async *range(from, to) {
      const iterator = level.iterator({ gte: bytesOfKey(from), lt: bytesOfKey(to) })
      for (const [key, value] of await iterator.nextv(Infinity)) yield [key.toString('latin1'), value]
    },
    get: (keys) => level.getMany(keys.map(bytesOfKey)), blobs: new MapBlobs(blobs, new Map(), []), segments: journal.segments, live: false,
    scan: (segment) => journal.scan(segment), still: async () => true, isNew: () => false,
  }
  try { await fsck(view, { data, report: (problem) => problems.push(problem) }) } finally { journal.close() }
  return problems
}

const test = suite('tree fsck')
const state = await made(7, 300)
const kinds = new Map<string, string[]>()
for (const key of [...state.keys.keys()].sort()) {
  const kind = key.length < 5 ? key : key[4]!, list = kinds.get(kind)
  if (list) list.push(key)
  else kinds.set(kind, [key])
}
/** At most n of a list, evenly. */
const sparse = <T>(list: readonly T[], n: number): T[] => list.filter((_, i) => i % Math.ceil(list.length / n) === 0)
/** Some of the keys of a kind, evenly. */
const some = (kind: string, n: number): string[] => sparse(kinds.get(kind) ?? [], n)
/** Without what a kill leaves, which is no damage. */
const real = (problems: readonly Problem[]): Problem[] => problems.filter(({ what }) => !/that nothing names$/.test(what))

test('what a run leaves is without fault, and has keys of all kinds', async () => {
  assert.equal(real(await check(state, true)).map(told), [])
  assert.equal([...kinds.keys()].filter((kind) => kind !== 'U' && kind !== 'R').sort().join(''), 'ABCDEIKMNOPSTchms')
})
for (const kind of 'ABCDIKMNOPSTEchms') {
  test(`a key of kind ${kind} that is lost is missed`, async () => {
    for (const key of some(kind, 3)) {
      const value = state.keys.get(key)!
      // What was put and taken away again within an epoch may be in the ledger, and need not be.
      if (kind === 'E' && !/[IKNPAOU]/.test(key[9]!)) continue
      state.keys.delete(key)
      const problems = real(await check(state))
      state.keys.set(key, value)
      if (kind === 'E' && problems.length === 0) {
        const now = state.keys.get(key.slice(0, 4) + key.slice(9))
        assert.ok(!now || now.readUInt32BE(0) !== Buffer.from(key, 'latin1').readUInt32BE(5), `${printable(key)} was not missed`)
        continue
      }
      assert.ok(problems.length > 0, `${printable(key)} was not missed`)
    }
  })
}
/** Bytes of a value that others vouch for. */
const vouched: Readonly<Record<string, (value: Buffer) => readonly number[]>> = {
  B: () => [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], C: (v) => [...v.keys()], I: () => [8, 20, 23, 24, 31, 32, 39, 100, 107, 108, 115, 116],
  K: (v) => [4, 7, 8, 9, 12, 13, 16, 20, 31, 32].filter((i) => i < v.length), M: () => [3, 8, 24, 31, 32, 39, 40, 47], N: (v) => [...v.keys()].slice(4), S: () => [12], T: () => [3, 23, 35, 39], c: (v) => [...v.keys()], s: () => [0, 3],
  m: () => [0, 7], P: () => [4, 7], O: () => [4, 7], A: () => [4, 7], h: () => [4, 7],
}
for (const [kind, bytes] of Object.entries(vouched)) {
  test(`a key of kind ${kind} that is altered is noticed`, async () => {
    for (const key of some(kind, 2)) {
      const value = state.keys.get(key)!
      for (const at of sparse(bytes(value).filter((at) => at < value.length), 4)) {
        const altered = Buffer.from(value)
        // of the ranges of numbers: none was given out
        if (kind === 'm') altered.fill(0)
        else altered[at] = altered[at]! ^ (kind === 'I' && at === 8 ? 0xff : 0x41)
        state.keys.set(key, altered)
        const problems = real(await check(state))
        state.keys.set(key, value)
        assert.ok(problems.length > 0, `byte ${at} of ${printable(key)} ${value.toString('hex')}`)
      }
    }
  })
}
test('a key that is of no kind, or of a tree that is not there, is noticed', async () => {
  for (const key of ['\0\0\0\x01Z', '\0\0\0\x01Ia', '\0\0\0\x07I\0\0\0\0\0\0\0\x01', 'X']) {
    state.keys.set(key, Buffer.alloc(4))
    assert.ok(real(await check(state)).length > 0, printable(key))
    state.keys.delete(key)
  }
})
test('blobs that are gone, cut, swapped or altered are noticed, and the files that have to do with them are named', async () => {
  const ids = [...state.blobs.keys()].filter((id) => kinds.get('B')!.some((key) => hex(key.slice(5)) === id))
  assert.ok(ids.length > 2)
  const named = (problems: readonly Problem[]) => problems.some(({ severity, path }) => severity === 'lost' && path !== undefined)
  for (const [i, id] of ids.slice(0, 3).entries()) {
    const bytes = state.blobs.get(id)!, other = ids[(i + 1) % ids.length]!, theirs = state.blobs.get(other)!
    state.blobs.delete(id)
    assert.ok(named(await check(state)), 'gone')
    for (const length of [0, 4096, bytes.length - 57, bytes.length - 1]) {
      if (length >= bytes.length || length < 0) continue
      state.blobs.set(id, bytes.subarray(0, length))
      assert.ok(real(await check(state)).length > 0, `cut to ${length} of ${bytes.length}`)
    }
    state.blobs.set(id, theirs)
    state.blobs.set(other, bytes)
    assert.ok(named(await check(state)), 'swapped')
    state.blobs.set(other, theirs)
    for (let at = 0; at < bytes.length; at += Math.ceil(bytes.length / 6)) {
      const altered = Buffer.from(bytes)
      altered[at]! ^= 1
      state.blobs.set(id, altered)
      assert.ok(real(await check(state, true)).length > 0, `byte ${at} of ${bytes.length} altered`)
    }
    state.blobs.set(id, bytes)
  }
})
test('a segment of the journal cut at any byte of its last records is noticed', async () => {
  const dir = join(state.dir, 'journal'), name = readdirSync(dir).sort().at(-1)!, path = join(dir, name), bytes = readFileSync(path)
  const meta = decodeMeta(state.keys.get(META)!), ends: number[] = []
  for (let at = 32; at < bytes.length; at += bytes.readUInt32BE(at)) ends.push(at)
  const from = ends.at(-2) ?? 32
  // What the head of the database says is all that is asked of it here: so that each byte takes no longer than it must.
  const little = { ...state, keys: new Map([...state.keys].filter(([key]) => key.length < 6)) }, before = (await check(little)).length
  for (let at = bytes.length - 1; at >= from; at--) {
    truncateSync(path, at)
    const problems = (await check(little)).slice(before)
    writeFileSync(path, bytes)
    const whole = ends.filter((end) => end <= at).length - 1, last = parseInt(name, 16) + whole - 1
    if (ends.includes(at) && last >= meta.applied) continue                                  // it may have ended there
    assert.ok(problems.length > 0, `cut at ${at} of ${bytes.length}`)
  }
  assert.is(statSync(path).size, bytes.length)
})
test('a segment of the journal that is gone is noticed, if files have data in it', async () => {
  const dir = join(state.dir, 'journal')
  for (const name of readdirSync(dir)) {
    const bytes = readFileSync(join(dir, name))
    rmSync(join(dir, name))
    const lost = await check(state)
    writeFileSync(join(dir, name), bytes)
    assert.ok(lost.some(({ severity }) => severity === 'lost'), name)
  }
})

test('a byte of LevelDB\'s tables that a disk altered is noticed', async () => {
  const dir = folder(), data = join(dir, 'data')
  mkdirSync(data, { recursive: true })
  const start = async () => snapshot({ state: join(dir, 'state') }, await posix({ path: data }))
  for (let i = 0; i < 2; i++) {
    await using tree = await start()
    await using root = await tree.attach('')
    for (let n = 0; n < 300; n++) await (await root.mkdir(`${i} ${n}`, 0o755, owner)).close()
  }
  await (await start()).close()
  const db = join(dir, 'state', 'db'), tables = readdirSync(db).filter((name) => /\.(ldb|sst)$/.test(name)), found: string[] = []
  assert.ok(tables.length > 0)
  await checkTables(db, (file, what) => found.push(`${file}: ${what}`))
  assert.equal(found, [])
  const path = join(db, tables[0]!), bytes = readFileSync(path)
  for (let at = 0; at < bytes.length; at += Math.max(1, Math.floor(bytes.length / 100))) {
    const altered = Buffer.from(bytes)
    altered[at]! ^= 4
    writeFileSync(path, altered)
    found.length = 0
    await checkTables(db, (file, what) => found.push(`${file}: ${what}`))
    assert.ok(found.length > 0, `byte ${at} of ${bytes.length}`)
  }
  writeFileSync(path, bytes)
  const problems: Problem[] = []
  await viewingFolder(join(dir, 'state'), { list: () => [] } as never, (view) => fsck(view, { data: false, report: (problem) => problems.push(problem) }))
  assert.equal(problems.map(told), [], 'a folder that nobody has open')
})
test.run()
