// The server under fire for two minutes, by a seed that is told; and again what was found before: test/fuzz/.

import { randomInt } from 'node:crypto'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { codecs, dialects, nameOf } from 'ninep'
import type { Dialect } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { dice } from '../server/dice.ts'
import { Grammar } from './fuzz/grammar.ts'
import { Ledger } from './fuzz/ledger.ts'
import { against } from './fuzz/liar.ts'
import { run } from './fuzz/rounds.ts'
import { stacks } from './fuzz/serve.ts'
import { about, read, replay, write } from './fuzz/transcript.ts'
import { growth } from './fuzz/trend.ts'
import { frame } from './wire/raw.ts'

const test = suite('fuzz')
const seed = Number(process.env.NINEFOLD_SEED ?? randomInt(2 ** 31))
const SECONDS = 110, SIZE = 10_000

// What is held against the server, held against replies that are wrong.

const version = frame('Tversion', 0xffff, { msize: 8192, version: '9P2000.L' }), agreed = frame('Rversion', 0xffff, { msize: 8192, version: '9P2000.L' })
function talk(...turns: (readonly [sent: Buffer, came: Buffer])[]): Ledger {
  const ledger = new Ledger()
  for (const [sent, came] of turns) {
    ledger.sent(sent)
    ledger.came(came)
  }
  return ledger
}
const getattr = frame('Tgetattr', 1, { fid: 0, mask: 1 }), clunk = frame('Tclunk', 1, { fid: 0 }), clunked = frame('Rclunk', 1, {})
const none = Buffer.alloc(0)
const read4 = frame('Tread', 1, { fid: 0, offset: 0, count: 4 })
function long(name: 'Rread', size: number): Buffer { return frame(name, 1, { data: Buffer.alloc(size) }) }
for (const [what, says, turns] of [
  ['a second reply', /no request has/, [[clunk, clunked], [none, clunked]]],
  ['the reply to something else', /Rclunk came with tag 1, which is that of Tgetattr/, [[getattr, clunked]]],
  ['an error of another dialect', /Rerror came, and the dialect is 9P2000.L/, [[clunk, encoded('9P2000', 'Rerror', 1, { ename: 'Bad file descriptor' })]]],
  ['an error that is none', /Rlerror 0/, [[clunk, frame('Rlerror', 1, { ecode: 0 })]]],
  ['more than was asked for', /5 bytes, and 4 were asked for/, [[read4, long('Rread', 5)]]],
  ['a frame above msize', /msize is 8192/, [[frame('Tread', 1, { fid: 0, offset: 0, count: 9000 }), long('Rread', 8192)]]],
  ['bytes that don\'t belong', /don't belong/, [[clunk, Buffer.from('09000000790100abcd', 'hex')]]],
  ['a write of nothing', /Rwrite says 0 of 1/, [[frame('Twrite', 1, { fid: 0, offset: 0, data: Buffer.alloc(1) }), frame('Rwrite', 1, { count: 0 })]]],
  ['a reply after its Rflush', /no request has/, [[Buffer.concat([clunk, frame('Tflush', 2, { oldtag: 1 })]), Buffer.concat([frame('Rflush', 2, {}), clunked])]]],
  ['a Tflush refused', /Tflush was answered with an error/, [[frame('Tflush', 1, { oldtag: 7 }), frame('Rlerror', 1, { ecode: 22 })]]],
  ['a reply from before the Rversion', /no request has/, [[clunk, none], [version, agreed], [none, clunked]]],
] as [string, RegExp, [Buffer, Buffer][]][]) {
  test(`it would notice ${what}`, () => { assert.throws(() => talk([version, agreed], ...turns), says) })
}
function encoded(dialect: Dialect, name: string, tag: number, fields: object): Buffer {
  const into = Buffer.alloc(8192)
  return into.subarray(0, (codecs[dialect].encoders as unknown as Record<string, (tag: number, fields: object, into: Buffer, at: number) => number>)[name]!(tag, fields, into, 0))
}
test('it counts what is owed, however the bytes are cut', () => {
  const all = Buffer.concat([version, getattr, clunk, frame('Tflush', 3, { oldtag: 1 }), Buffer.from([20, 0])])
  for (let cut = 0; cut <= all.length; cut++) {
    const ledger = new Ledger()
    ledger.sent(all.subarray(0, cut))
    ledger.sent(all.subarray(cut))
    assert.equal([ledger.open, ledger.frames, ledger.mayClose, ledger.lacks], [4, 4, true, 7])
    const replies = Buffer.concat([agreed, frame('Rlerror', 1, { ecode: 9 }), frame('Rflush', 3, {})])
    ledger.came(replies.subarray(0, cut % replies.length))
    ledger.came(replies.subarray(cut % replies.length))
    assert.is(ledger.open, 0)
  }
})
test('a Tversion that is refused ends what came before it, whatever had its tag', () => {
  const old = frame('Tclunk', 0xffff, { fid: 0 }), small = frame('Tversion', 0xffff, { msize: 7, version: '9P2000.L' })
  const ledger = talk([version, agreed], [Buffer.concat([old, small, old, clunk]), frame('Rlerror', 0xffff, { ecode: 90 })])
  assert.equal([ledger.open, ledger.agreed], [1, undefined])
  ledger.came(encoded('9P2000', 'Rerror', 1, { ename: 'Invalid argument' }))
  assert.is(ledger.open, 0)
})
test('memory that grows is told from memory that moves', () => {
  assert.is(growth([900, 500, 300, 100, 110, 105, 108, 111, 104, 107, 109, 103]), 0)
  assert.is(growth([0, 0, 0, 10, 20, 30, 40, 50, 60, 70, 80, 90]), 40)
})
test('a transcript is read as it was written', () => {
  const deeds = [{ who: '0.1', what: 'open', tcp: true }, { who: '0.1', what: 'send', bytes: Buffer.concat([version, clunk, Buffer.from([1, 2])]) }, { who: '0.1', what: 'wait' }, { who: '0.1', what: 'cut' }] as const
  const text = write({ about: ['x'], stack: 'late', deeds })
  assert.is(text.split('\n')[4], `0.1 more ${clunk.toString('hex')}`)
  assert.is(write(read(text)), text)
  assert.equal(read(text).deeds[1]!.bytes, deeds[1].bytes)
})
for (const dialect of Object.keys(dialects) as Dialect[]) {
  test(`every request of ${dialect} is one that it makes, and each can be read`, () => {
    const ledger = new Ledger(), grammar = new Grammar(dialect, ledger, dice(1)), into = Buffer.alloc(2 ** 21), made = new Set<string>()
    const { decoders } = codecs[dialect] as unknown as { decoders: Record<string, (b: Buffer, at: number, end: number) => object> }
    for (let i = 0; i < 20_000; i++) {
      const end = grammar.write(into, 0)
      if (end === 0) continue
      const name = nameOf(into[4]!, dialect)!
      decoders[name]!(into, 7, end)
      made.add(name)
      ledger.sent(into.subarray(0, end))
    }
    assert.equal([...made].sort(), Object.keys(dialects[dialect]).filter((name) => name.startsWith('T')).sort())
  })
}

// What was found.

const found = fileURLToPath(new URL('../../test/fuzz/found', import.meta.url))
for (const name of readdirSync(found).filter((name) => name.endsWith('.txt')).sort()) {
  test(`found: ${basename(name, '.txt')}`, () => replay(read(readFileSync(join(found, name), 'utf8'))))
}

// What is not found yet.

const slices = stacks.flatMap((stack) => [...Object.keys(dialects) as Dialect[], 'raw' as const].map((kind) => ({ stack, dialect: kind === 'raw' ? '9P2000.L' : kind, raw: kind === 'raw' }) as const))
console.log(`NINEFOLD_SEED=${seed}`)
for (const { stack, dialect, raw } of slices) {
  test(`${stack}, ${raw ? 'bytes' : dialect}, seed ${seed}`, async () => {
    const { failure, messages, rounds } = await run({ stack, dialect, raw, seed, size: SIZE, seconds: SECONDS / slices.length, messages: Infinity })
    console.log(`${stack}, ${raw ? 'bytes' : dialect}: ${messages} messages in ${rounds} rounds`)
    if (!failure) return
    const { round, error, deeds } = failure, file = join(tmpdir(), `ninefold-fuzz-${seed}-${round}.txt`)
    writeFileSync(file, write({ about: about(stack, dialect, seed, round, error), stack, deeds }))
    throw new Error(`seed ${seed}, round ${round}: ${error.message}\nWhat was sent stands in ${file}; fewer of it: npm run fuzz -- --seed ${seed} --round ${round} --size ${SIZE} --messages 1 --stack ${stack} --dialect ${dialect}${raw ? ' --raw' : ''}`)
  })
}

for (const dialect of Object.keys(dialects) as Dialect[]) {
  test(`our client and a server that lies, ${dialect}, seed ${seed}`, async () => {
    const { connections, calls, failed, wrong } = await against(dialect, seed, 3)
    console.log(`a liar, ${dialect}: ${calls} calls on ${connections} connections, ${failed} failed`)
    assert.equal(wrong, [])
    assert.ok(failed < calls)
  })
}

test.run()
