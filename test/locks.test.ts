// The lock table: its rules by name, its ranges against a model that keeps a byte array, its answers against the
// kernel's own fcntl locks, and its cost with ten thousand locks.

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Lock, isErrno } from 'ninep'
import type { Code, Flock, LockStatus } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { LockTable, MAX_LOCKS, MAX_WAITERS } from '../server/locks.ts'
import type { Waiting } from '../server/locks.ts'
import { dice } from '../server/dice.ts'
import { missing, skipping } from './needs.ts'

const test = suite('locks')
const { RDLCK, WRLCK, UNLCK, BLOCK, SUCCESS, BLOCKED, ERROR } = Lock

/** A request: type, start, length (0: to the end), process. */
function flock(type: number, start: number | bigint, length: number | bigint, procId = 1, flags = 0): Flock {
  return { type, flags, start: BigInt(start), length: BigInt(length), procId, clientId: 'here' }
}
const KEY = 7n
/** A table with one connection and one fid a process, and a note of what was granted. */
class Bench {
  readonly table = new LockTable()
  readonly connection = {}
  readonly fids = new Map<number, object>()
  readonly settled: [string, LockStatus][] = []
  fid(procId: number): object {
    let fid = this.fids.get(procId)
    if (!fid) this.fids.set(procId, fid = {})
    return fid
  }
  set(type: number, start: number, length: number, procId = 1): LockStatus {
    const status = this.table.lock(KEY, this.connection, this.fid(procId), flock(type, start, length, procId))
    if (typeof status !== 'number') throw new Error('a request without Lock.BLOCK waits')
    return status
  }
  /** Asks to wait; what becomes of it is noted under this name. */
  ask(name: string, type: number, start: number, length: number, procId: number, key: bigint = KEY): LockStatus | Waiting {
    return this.table.lock(key, this.connection, this.fid(procId), flock(type, start, length, procId, BLOCK), (status) => { this.settled.push([name, status]) })
  }
  waits(name: string, type: number, start: number, length: number, procId: number, key: bigint = KEY): Waiting {
    const answer = this.ask(name, type, start, length, procId, key)
    if (typeof answer === 'number') throw new Error(`${name} does not wait: ${answer}`)
    return answer
  }
  /** What stands in the way of a write of the first 100 bytes, one by one, as a stranger sees it: r, w or a dot. */
  get picture(): string {
    let s = ''
    for (let at = 0; at < 100; at++) {
      const { type } = this.table.getlock(KEY, {}, flock(WRLCK, at, 1))
      s += type === WRLCK ? 'w' : type === RDLCK ? 'r' : '.'
    }
    return s.replace(/\.+$/, '')
  }
  get empty(): boolean { return Object.values(this.table.counts).every((n) => n === 0) }
}
function refused(code: Code, f: () => unknown): void {
  try { f() } catch (e) {
    if (!isErrno(e)) throw e
    assert.is(e.code, code)
    return
  }
  assert.unreachable(`taken, and should be ${code}`)
}

test('C105: a conflict is BLOCKED until the holder unlocks', () => {
  const b = new Bench()
  assert.is(b.set(WRLCK, 0, 10, 1), SUCCESS)
  assert.is(b.set(WRLCK, 5, 10, 2), BLOCKED)
  assert.is(b.set(RDLCK, 9, 1, 2), BLOCKED)
  assert.is(b.set(WRLCK, 10, 1, 2), SUCCESS)
  assert.is(b.set(UNLCK, 0, 10, 1), SUCCESS)
  assert.is(b.set(WRLCK, 5, 10, 2), SUCCESS)
})
test('readers share, a writer does not', () => {
  const b = new Bench()
  assert.is(b.set(RDLCK, 0, 0, 1), SUCCESS)
  assert.is(b.set(RDLCK, 0, 0, 2), SUCCESS)
  assert.is(b.set(WRLCK, 5, 1, 1), BLOCKED)
})
test('C106: unlocking the middle splits', () => {
  const b = new Bench()
  b.set(WRLCK, 0, 10)
  b.set(UNLCK, 3, 4)
  assert.is(b.picture, 'www....www')
  assert.is(b.table.counts.locks, 2)
})
test('C106: an owner upgrades and downgrades in part, and neighbours merge', () => {
  const b = new Bench()
  b.set(RDLCK, 0, 10)
  b.set(WRLCK, 4, 2)
  assert.is(b.picture, 'rrrrwwrrrr')
  b.set(RDLCK, 4, 2)
  assert.is(b.picture, 'rrrrrrrrrr')
  assert.is(b.table.counts.locks, 1)
  b.set(RDLCK, 10, 5)
  assert.is(b.table.counts.locks, 1)
})
test('C106: length 0 is to the end of file, however it grows', () => {
  const b = new Bench()
  b.set(WRLCK, 50, 0)
  const far = b.table.getlock(KEY, {}, flock(WRLCK, 2n ** 62n, 1))
  assert.equal([far.type, far.start, far.length], [WRLCK, 50n, 0n])
  b.set(UNLCK, 60, 0)
  assert.equal(b.table.getlock(KEY, {}, flock(WRLCK, 0, 0)).length, 10n)
})
test('the last byte there is can be locked', () => {
  const b = new Bench(), last = flock(WRLCK, 2n ** 63n - 1n, 1)
  assert.is(b.table.lock(KEY, b.connection, b.fid(1), last), SUCCESS)
  assert.equal(b.table.getlock(KEY, {}, flock(WRLCK, 0, 0)).start, 2n ** 63n - 1n)
})
test('what can\'t be a range is refused', () => {
  const b = new Bench(), lock = (want: Flock) => () => b.table.lock(KEY, b.connection, b.fid(1), want)
  refused('EINVAL', lock(flock(WRLCK, 2n ** 63n, 1)))
  refused('EOVERFLOW', lock(flock(WRLCK, 2n ** 63n - 1n, 2)))
  refused('EOVERFLOW', lock(flock(UNLCK, 1, 2n ** 64n - 1n)))
  refused('EINVAL', lock(flock(3, 0, 1)))
  refused('EINVAL', lock(flock(WRLCK, 0, 1, 1, 4)))
  refused('EINVAL', () => b.table.getlock(KEY, b.connection, flock(3, 0, 1)))
  assert.ok(b.empty)
})
test('unlocking what is not locked succeeds, and leaves nothing', () => {
  const b = new Bench()
  assert.is(b.set(UNLCK, 0, 0), SUCCESS)
  assert.ok(b.empty)
})
test('owners differ by process, by client and by connection; files by key', () => {
  const b = new Bench(), one = flock(WRLCK, 0, 0)
  assert.is(b.table.lock(KEY, b.connection, {}, one), SUCCESS)
  assert.is(b.table.lock(KEY, b.connection, {}, one), SUCCESS)
  assert.is(b.table.lock(KEY, b.connection, {}, { ...one, procId: 2 }), BLOCKED)
  assert.is(b.table.lock(KEY, b.connection, {}, { ...one, clientId: 'there' }), BLOCKED)
  assert.is(b.table.lock(KEY, {}, {}, one), BLOCKED)
  assert.is(b.table.lock('7', {}, {}, one), SUCCESS)
})
test('C108: Tgetlock of type UNLCK asks for a write, and tells the blocker', () => {
  const b = new Bench()
  b.set(RDLCK, 10, 5, 42)
  assert.equal(b.table.getlock(KEY, {}, flock(UNLCK, 0, 0)), { type: RDLCK, flags: 0, start: 10n, length: 5n, procId: 42, clientId: 'here' })
  assert.is(b.table.getlock(KEY, {}, flock(RDLCK, 0, 0)).type, UNLCK)
  assert.equal(b.table.getlock(KEY, {}, flock(UNLCK, 20, 3, 9)), flock(UNLCK, 20, 3, 9))
  assert.is(b.table.getlock(KEY, b.connection, flock(UNLCK, 0, 0, 42)).type, UNLCK)
})
test('C107: a request that may wait is granted in the turn of the release', () => {
  const b = new Bench()
  b.set(WRLCK, 0, 10, 1)
  b.waits('two', WRLCK, 5, 10, 2)
  assert.equal(b.settled, [])
  b.set(UNLCK, 0, 5, 1)
  assert.equal(b.settled, [])
  b.set(UNLCK, 5, 5, 1)
  assert.equal(b.settled, [['two', SUCCESS]])
  assert.is(b.picture, '.....wwwwwwwwww')
})
test('without a callback a request never waits', () => {
  const b = new Bench()
  b.set(WRLCK, 0, 10, 1)
  assert.is(b.table.lock(KEY, b.connection, {}, flock(WRLCK, 0, 1, 2, BLOCK)), BLOCKED)
})
test('a downgrade lets readers in', () => {
  const b = new Bench()
  b.set(WRLCK, 0, 10, 1)
  b.waits('reader', RDLCK, 0, 10, 2)
  b.waits('writer', WRLCK, 0, 10, 3)
  b.set(RDLCK, 0, 10, 1)
  assert.equal(b.settled, [['reader', SUCCESS]])
})
test('waiters are granted first come, first', () => {
  const b = new Bench()
  b.set(WRLCK, 0, 10, 1)
  for (const procId of [2, 3, 4]) b.waits(String(procId), WRLCK, 0, 10, procId)
  for (const procId of [1, 2, 3]) b.set(UNLCK, 0, 0, procId)
  assert.equal(b.settled, [['2', SUCCESS], ['3', SUCCESS], ['4', SUCCESS]])
})
test('readers that come later wait behind a writer, so it does not starve', () => {
  const b = new Bench()
  b.set(RDLCK, 0, 10, 1)
  b.waits('writer', WRLCK, 0, 10, 2)
  b.waits('late', RDLCK, 0, 10, 3)
  b.set(UNLCK, 0, 0, 1)
  assert.equal(b.settled, [['writer', SUCCESS]])
  b.set(UNLCK, 0, 0, 2)
  assert.equal(b.settled, [['writer', SUCCESS], ['late', SUCCESS]])
})
test('nor when one of two readers leaves', () => {
  const b = new Bench()
  b.set(RDLCK, 0, 10, 1)
  b.set(RDLCK, 0, 10, 4)
  b.waits('writer', WRLCK, 0, 10, 2)
  b.waits('late', RDLCK, 0, 10, 3)
  b.set(UNLCK, 0, 0, 1)
  b.table.releaseFid(b.fid(1))
  b.set(RDLCK, 20, 1, 1)
  b.set(UNLCK, 20, 1, 1)
  assert.equal(b.settled, [])
})
test('a grant that eases what its owner held lets in who was passed over', () => {
  const b = new Bench()
  b.set(WRLCK, 0, 5, 1)
  b.set(WRLCK, 5, 5, 2)
  b.waits('passed over', RDLCK, 0, 5, 3)
  b.waits('eases', RDLCK, 0, 10, 1)
  b.set(UNLCK, 5, 5, 2)
  assert.equal(b.settled, [['eases', SUCCESS], ['passed over', SUCCESS]])
})
test('but a waiter elsewhere in the file holds up no one', () => {
  const b = new Bench()
  b.set(RDLCK, 0, 10, 1)
  b.waits('writer', WRLCK, 0, 10, 2)
  assert.is(b.ask('apart', WRLCK, 10, 5, 3), SUCCESS)
})
test('nor does it hold up who holds a lock: they might be whom it waits for', () => {
  const b = new Bench()
  b.set(RDLCK, 0, 10, 1)
  b.waits('writer', WRLCK, 0, 20, 2)
  assert.is(b.ask('more', RDLCK, 5, 10, 1), SUCCESS)
})
test('nor a request that can\'t wait', () => {
  const b = new Bench()
  b.set(RDLCK, 0, 10, 1)
  b.waits('writer', WRLCK, 0, 10, 2)
  assert.is(b.set(RDLCK, 0, 10, 3), SUCCESS)
})
test('a thread held back is let in when its process comes to hold something', () => {
  const b = new Bench()
  b.set(RDLCK, 0, 10, 1)
  b.waits('writer', WRLCK, 0, 10, 2)
  b.waits('late', RDLCK, 0, 10, 3)
  assert.is(b.table.lock(8n, b.connection, b.fid(3), flock(WRLCK, 0, 0, 3)), SUCCESS)
  assert.equal(b.settled, [['late', SUCCESS]])
})
test('cancelling lets in those behind, and leaves nothing', () => {
  const b = new Bench()
  b.set(RDLCK, 0, 10, 1)
  const writer = b.waits('writer', WRLCK, 0, 10, 2)
  b.waits('late', RDLCK, 0, 10, 3)
  writer.cancel()
  assert.equal(b.settled, [['late', SUCCESS]])
  writer.cancel()
  b.set(UNLCK, 0, 0, 1)
  b.set(UNLCK, 0, 0, 3)
  assert.ok(b.empty)
})
test('cancelling what was granted changes nothing', () => {
  const b = new Bench()
  b.set(WRLCK, 0, 10, 1)
  const two = b.waits('two', WRLCK, 0, 10, 2)
  b.set(UNLCK, 0, 0, 1)
  two.cancel()
  assert.is(b.picture, 'wwwwwwwwww')
})
test('C109: a clunk unlocks what came through the fid, and no more', () => {
  const b = new Bench(), other = {}
  b.set(WRLCK, 0, 10, 1)
  b.table.lock(KEY, b.connection, other, flock(WRLCK, 10, 10, 1))
  b.table.releaseFid(b.fid(1))
  assert.is(b.picture, '..........wwwwwwwwww')
  b.table.releaseFid(other)
  assert.ok(b.empty)
})
test('a clunk settles what waits through the fid with ERROR, and lets others in', () => {
  const b = new Bench()
  b.set(RDLCK, 0, 10, 1)
  b.waits('writer', WRLCK, 0, 10, 2)
  b.waits('late', RDLCK, 0, 10, 3)
  b.table.releaseFid(b.fid(2))
  assert.equal(b.settled, [['writer', ERROR], ['late', SUCCESS]])
})
test('C109: a connection that goes leaves nothing, calls nothing and lets others in', () => {
  const b = new Bench(), granted: LockStatus[] = []
  b.set(WRLCK, 0, 10, 1)
  b.waits('mine', WRLCK, 0, 10, 2)
  const stranger = {}
  b.table.lock(KEY, stranger, stranger, flock(WRLCK, 0, 0, 1, BLOCK), (status) => granted.push(status))
  b.table.releaseConnection(b.connection)
  assert.equal([b.settled, granted], [[], [SUCCESS]])
  b.table.releaseConnection(stranger)
  b.table.releaseConnection(stranger)
  assert.ok(b.empty)
})
test('a callback may use the table', () => {
  const b = new Bench(), order: string[] = []
  b.set(WRLCK, 0, 10, 1)
  const ask = (procId: number, then: () => void) => b.table.lock(KEY, b.connection, b.fid(procId), flock(WRLCK, 0, 10, procId, BLOCK), () => { order.push(String(procId)); then() })
  ask(2, () => b.set(UNLCK, 0, 0, 2))
  ask(3, () => b.table.releaseConnection(b.connection))
  ask(4, () => {})
  b.set(UNLCK, 0, 0, 1)
  assert.equal(order, ['2', '3'])
  assert.ok(b.empty)
})
test('a callback that leaves and comes back does not lose the file', () => {
  const b = new Bench(), elsewhere = {}
  b.set(WRLCK, 0, 10, 1)
  b.table.lock(KEY, b.connection, b.fid(2), flock(WRLCK, 0, 10, 2, BLOCK), () => {
    b.table.releaseConnection(b.connection)
    b.table.lock(KEY, elsewhere, elsewhere, flock(WRLCK, 0, 10))
  })
  b.set(UNLCK, 0, 0, 1)
  assert.is(b.picture, 'wwwwwwwwww')
})

test('two that wait for one another: the second is refused', () => {
  const b = new Bench()
  b.set(WRLCK, 0, 1, 1)
  b.set(WRLCK, 1, 1, 2)
  b.waits('one', WRLCK, 1, 1, 1)
  refused('EDEADLK', () => b.ask('two', WRLCK, 0, 1, 2))
  b.set(UNLCK, 1, 1, 2)
  assert.equal(b.settled, [['one', SUCCESS]])
})
test('a ring of many, over many files, is seen when it closes', () => {
  const b = new Bench(), N = 50
  for (let i = 0; i < N; i++) b.table.lock(BigInt(i), b.connection, b.fid(i), flock(WRLCK, 0, 0, i))
  for (let i = 0; i < N - 1; i++) b.waits(String(i), WRLCK, 0, 0, i, BigInt(i + 1))
  refused('EDEADLK', () => b.ask('last', WRLCK, 0, 0, N - 1, 0n))
  b.table.lock(BigInt(N - 1), b.connection, b.fid(N - 1), flock(UNLCK, 0, 0, N - 1))
  assert.equal(b.settled, [[String(N - 2), SUCCESS]])
})
test('two readers that both want to write: the second is refused', () => {
  const b = new Bench()
  b.set(RDLCK, 0, 1, 1)
  b.set(RDLCK, 0, 1, 2)
  b.waits('one', WRLCK, 0, 1, 1)
  refused('EDEADLK', () => b.ask('two', WRLCK, 0, 1, 2))
})
test('waiting for who waits for a third is no ring', () => {
  const b = new Bench()
  b.set(WRLCK, 0, 1, 1)
  b.set(WRLCK, 1, 1, 2)
  b.waits('two', WRLCK, 0, 1, 2)
  b.waits('three', WRLCK, 1, 1, 3)
  b.set(UNLCK, 0, 0, 1)
  b.set(UNLCK, 0, 0, 2)
  assert.equal(b.settled, [['two', SUCCESS], ['three', SUCCESS]])
})

test('a connection that holds too much gets ENOLCK, and others do not', () => {
  const b = new Bench()
  for (let i = 0; i < MAX_LOCKS; i++) b.set(WRLCK, 2 * i, 1)
  refused('ENOLCK', () => b.set(WRLCK, 2 * MAX_LOCKS, 1))
  assert.is(b.set(WRLCK, 1, 1), SUCCESS)                    // merges: fewer than before
  assert.is(b.table.lock(KEY, {}, {}, flock(WRLCK, 3, 1)), SUCCESS)
  b.table.releaseConnection(b.connection)
  assert.is(b.table.counts.locks, 1)
})
test('an unlock that would split beyond the limit is refused whole', () => {
  const b = new Bench()
  for (let i = 0; i < MAX_LOCKS; i++) b.set(WRLCK, 4 * i, 3)
  refused('ENOLCK', () => b.set(UNLCK, 1, 1))
  assert.is(b.picture.slice(0, 4), 'www.')
  assert.is(b.set(UNLCK, 0, 0), SUCCESS)
  assert.ok(b.empty)
})
test('a connection that waits too much gets ENOLCK', () => {
  const b = new Bench()
  b.set(WRLCK, 0, 0, 1)
  for (let i = 0; i < MAX_WAITERS; i++) b.waits('', RDLCK, i, 1, 2 + i)
  refused('ENOLCK', () => b.ask('', RDLCK, 0, 1, 2))
  b.set(UNLCK, 0, 0, 1)
  assert.is(b.settled.length, MAX_WAITERS)
})

test('a request among ten thousand locks costs not much more than among a hundred', () => {
  /** Microseconds of a lock, a getlock and an unlock, the best of five. */
  const costs = (n: number) => {
    const b = new Bench(), stranger = {}
    for (let i = 0; i < n; i++) b.set(i % 2 ? WRLCK : RDLCK, 2 * (i * 7919 % n), 1, i % 100)
    assert.is(b.table.counts.locks, n)
    const best = [Infinity, Infinity, Infinity]
    for (let round = 0; round < 5; round++) {
      for (const [kind, f] of [
        (at: number) => { b.table.lock(KEY, stranger, stranger, flock(WRLCK, at + 1, 1)) },
        (at: number) => { b.table.getlock(KEY, stranger, flock(WRLCK, at, 1)) },
        (at: number) => { b.table.lock(KEY, stranger, stranger, flock(UNLCK, at + 1, 1)) },
      ].entries()) {
        const start = process.hrtime.bigint()
        for (let i = 0; i < 1000; i++) f(2 * (i * 31 % n))
        best[kind] = Math.min(best[kind]!, Number(process.hrtime.bigint() - start) / 1e6)
      }
    }
    return best
  }
  costs(100)                                                // for the compiler
  const few = costs(100), many = costs(10_000)
  for (const kind of [0, 1, 2]) assert.ok(many[kind]! < 25 * few[kind]!, `${many[kind]!.toFixed(1)} us, and ${few[kind]!.toFixed(1)} among a hundred`)
})


test('random requests of five processes agree with a model that keeps every byte', () => {
  const roll = dice(3), SIZE = 64, PROCS = 5
  for (let round = 0; round < 60; round++) {
    const b = new Bench(), bytes = Array.from({ length: PROCS }, () => new Array<number>(SIZE).fill(UNLCK))
    const free = (p: number, type: number, start: number, end: number) => type === UNLCK
      || !bytes.some((held, q) => q !== p && held.slice(start, end).some((t) => t === WRLCK || (t === RDLCK && type === WRLCK)))
    for (let i = 0; i < 200; i++) {
      const p = roll(PROCS), type = roll(3), start = roll(SIZE), length = roll(4) ? 1 + roll(12) : 0
      const end = length === 0 ? SIZE : Math.min(SIZE, start + length)
      const say = `round ${round}, step ${i}: ${['read', 'write', 'unlock'][type]} ${start}..${end} by ${p}`
      if (!roll(5)) {                                       // only ask
        const want = type === UNLCK ? WRLCK : type, got = b.table.getlock(KEY, b.connection, flock(type, start, end === SIZE ? 0 : end - start, p))
        assert.is(got.type === UNLCK, free(p, want, start, end), say)
        if (got.type === UNLCK) continue
        const at = Number(got.start), to = got.length === 0n ? SIZE : at + Number(got.length)
        assert.ok(at < end && to > start && got.procId !== p && bytes[got.procId]!.slice(at, to).every((t) => t === got.type), `${say}: told ${got.type} ${at}..${to} of ${got.procId}`)
        continue
      }
      const expect = free(p, type, start, end)
      assert.is(b.set(type, start, end === SIZE ? 0 : end - start, p), expect ? SUCCESS : BLOCKED, say)
      if (expect) bytes[p]!.fill(type, start, end)
      const runs = bytes.reduce((n, held) => n + held.filter((t, at) => t !== UNLCK && t !== held[at - 1]).length, 0)
      assert.is(b.table.counts.locks, runs, `${say}: merged`)
    }
    const strongest = Array.from({ length: SIZE }, (_, at) => bytes.some((h) => h[at] === WRLCK) ? 'w' : bytes.some((h) => h[at] === RDLCK) ? 'r' : '.').join('')
    assert.is(b.picture.slice(0, SIZE).padEnd(SIZE, '.'), strongest)
    b.table.releaseConnection(b.connection)
    assert.ok(b.empty)
  }
})

test('random waiting: nobody holds against another, nobody waits for nothing, and all of it ends', () => {
  const roll = dice(4)
  for (let round = 0; round < 200; round++) {
    const table = new LockTable(), connections = [{}, {}, {}], PROCS = 6
    const pending = new Map<number, { waiting: Waiting; want: Flock; key: bigint }>()
    const connection = (p: number) => connections[p % connections.length]!, fids = Array.from({ length: PROCS }, () => ({}))
    for (let i = 0; i < 150; i++) {
      const p = roll(PROCS), key = BigInt(roll(2))
      const waits = pending.get(p)
      if (waits) {                                          // asleep; sometimes a signal
        if (!roll(4)) { waits.waiting.cancel(); pending.delete(p) }
        continue
      }
      const want = flock(roll(3), roll(20), 1 + roll(8), p, BLOCK)
      try {
        const answer = table.lock(key, connection(p), fids[p]!, want, () => pending.delete(p))
        if (typeof answer !== 'number') pending.set(p, { waiting: answer, want, key })
      } catch (e) {
        if (!isErrno(e, 'EDEADLK')) throw e
      }
      // Not all may be asleep: then they wait for one another.
      assert.ok(pending.size < PROCS, `round ${round}, step ${i}: a deadlock`)
      assert.is(table.counts.waiters, pending.size)
      for (const [q, { want, key }] of pending) {
        const held = table.getlock(key, connection(q), want).type !== UNLCK
        const behind = [...pending].some(([r, other]) => r !== q && other.key === key && (want.type === WRLCK || other.want.type === WRLCK)
          && other.want.start < want.start + want.length && want.start < other.want.start + other.want.length)
        assert.ok(held || behind, `round ${round}, step ${i}: ${q} waits for nothing`)
      }
    }
    for (const c of connections) table.releaseConnection(c)
    assert.ok(Object.values(table.counts).every((n) => n === 0))
  }
})

const declare = missing('gcc') ? skipping(test, missing('gcc')!) : test
const helper = `
#include <fcntl.h>
#include <stdio.h>
#include <errno.h>
#include <string.h>
int main(int argc, char **argv) {
  int fd = open(argv[1], O_RDWR);
  char op; int type; long start, length;
  while (scanf(" %c %d %ld %ld", &op, &type, &start, &length) == 4) {
    struct flock l = { .l_type = type == 0 ? F_RDLCK : type == 1 ? F_WRLCK : F_UNLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = length };
    int r = fcntl(fd, op == 'g' ? F_GETLK : F_SETLK, &l);
    printf("%d %d\\n", r == 0 ? 0 : errno, l.l_type == F_UNLCK);
    fflush(stdout);
  }
  return 0;
}`
declare('three real processes and the kernel agree on fifteen hundred requests', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ninefold-locks-')), file = join(folder, 'file'), program = join(folder, 'helper')
  writeFileSync(file, '')
  const compiler = spawn('gcc', ['-x', 'c', '-o', program, '-'], { stdio: ['pipe', 'inherit', 'inherit'] })
  compiler.stdin.end(helper)
  assert.is(await new Promise((done) => compiler.on('exit', done)), 0)
  const processes = [1, 2, 3].map(() => {
    const child = spawn(program, [file], { stdio: ['pipe', 'pipe', 'inherit'] })
    return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() }
  })
  try {
    const b = new Bench(), roll = dice(5)
    for (let i = 0; i < 1500; i++) {
      const p = roll(3), ask = !roll(4), type = ask ? roll(2) : roll(3), start = roll(40), length = roll(5) ? 1 + roll(15) : 0
      processes[p]!.child.stdin.write(`${ask ? 'g' : 's'} ${type} ${start} ${length}\n`)
      const { value } = await processes[p]!.lines.next() as { value: string }
      const [failed, free] = value.split(' ').map(Number)
      if (ask) assert.is(b.table.getlock(KEY, b.connection, flock(type, start, length, p)).type === UNLCK, free === 1, `step ${i}`)
      else assert.is(b.set(type, start, length, p), failed === 0 ? SUCCESS : BLOCKED, `step ${i}: ${type} ${start}+${length} by ${p}, the kernel says ${failed}`)
    }
  } finally {
    for (const { child } of processes) child.stdin.end()
    await Promise.all(processes.map(({ child }) => new Promise((done) => child.on('exit', done))))
    rmSync(folder, { recursive: true })
  }
})

test.run()
