// One who attacks: connections, one after the other, each with its frames in bursts, and its own way to end.

import { connect } from 'node:net'
import type { Socket } from 'node:net'
import type { Dialect } from 'ninep'
import { Grammar } from './grammar.ts'
import { Ledger, Wrong } from './ledger.ts'
import { mutate, raw } from './mutate.ts'
import { PIT, one } from './pools.ts'
import type { Roll } from './pools.ts'
import { LIMIT } from './subject.ts'

/** What was done, to be done again. wait: until at most so many that can be answered are not; half: no more is sent. */
export interface Deed { readonly who: string; readonly what: 'open' | 'send' | 'wait' | 'half' | 'cut' | 'reset'; readonly bytes?: Buffer; readonly tcp?: boolean; readonly most?: number }
export interface Weapons { readonly urls: readonly string[]; readonly dialect: Dialect; readonly raw: boolean; readonly roll: Roll; readonly deeds: Deed[] }

const BURST = 192 * 1024
/** Behind a burst there is room for the longest frame, and for what mutation adds. */
const out = Buffer.allocUnsafeSlow(BURST + 2 * (1024 * 1024 + 70_000))
const zeros = Buffer.alloc(70_000)

/** A connection whose every frame is on record. */
export class Line {
  readonly ledger = new Ledger()
  wrong: Error | undefined
  closed = false
  readonly #socket: Socket
  #wake: (() => void) | undefined
  #ours = false
  #read = Buffer.allocUnsafeSlow(65536)
  constructor(url: string, readonly who: string, readonly deeds: Deed[], tcp = false) {
    const place = url.startsWith('unix:') ? { path: url.slice(5) } : { host: '127.0.0.1', port: Number(url.slice(url.lastIndexOf(':') + 1)), noDelay: true }
    const onread = { buffer: this.#read, callback: (n: number) => this.#came(n) }
    this.#socket = connect({ ...place, onread, allowHalfOpen: false } as never)
    this.#socket.on('error', () => {})
    this.#socket.on('drain', () => this.#wake?.())
    this.#socket.on('close', () => {
      this.closed = true
      if (!this.#ours && !this.ledger.mayClose) this.wrong ??= new Wrong('the server closed a connection that had done nothing to deserve it')
      this.#wake?.()
    })
    deeds.push({ who, what: 'open', tcp })
  }
  #came(n: number): boolean {
    if (this.wrong) return true
    try { this.ledger.came(this.#read.subarray(0, n)) } catch (e) {
      this.wrong = e as Error
      this.wrong.message += `\nbefore: ${this.ledger.trail}`
    }
    this.#wake?.()
    return true
  }
  get stuffed(): boolean { return this.#socket.writableLength > 1024 * 1024 }

  send(bytes: Buffer): void {
    if (this.closed || bytes.length === 0) return
    this.deeds.push({ who: this.who, what: 'send', bytes })
    this.ledger.sent(bytes)
    this.#socket.write(bytes)
  }
  /** Waits until it is so, or the connection is over. Throws what is wrong, and where nothing moves for so many seconds. */
  async until(what: string, so: () => boolean, limit = LIMIT): Promise<void> {
    let replies = -1, late = false
    const timer = setInterval(() => {
      late = this.ledger.replies === replies && !this.stuffed
      replies = this.ledger.replies
      this.#wake?.()
    }, limit * 1000 / 2)
    try {
      while (!this.wrong && !this.closed && !so()) {
        if (late) throw new Wrong(`${what}: nothing came for ${limit / 2} s and more, and no answer have: ${this.ledger.missing}\nbefore: ${this.ledger.trail}`)
        await new Promise<void>((resolve) => { this.#wake = resolve })
      }
    } finally { clearInterval(timer) }
    if (this.wrong) throw this.wrong
  }
  async answered(most: number, limit?: number): Promise<void> {
    this.deeds.push({ who: this.who, what: 'wait', most })
    await this.until('answers', () => this.ledger.open - this.ledger.waiting <= most && !this.stuffed, limit)
  }
  pause(): void { this.#socket.pause() }
  resume(): void { this.#socket.resume() }

  async half(limit?: number): Promise<void> {
    this.deeds.push({ who: this.who, what: 'half' })
    this.#ours = true
    this.#socket.end()
    await this.until('the end of a connection that was closed on our side', () => false, limit)
    const { ledger } = this
    if (ledger.open - ledger.waiting > 0 && !ledger.mayClose) throw new Wrong(`closed on our side, it was closed on theirs before they had answered: ${ledger.missing}`)
  }
  cut(reset = false): void {
    this.deeds.push({ who: this.who, what: reset ? 'reset' : 'cut' })
    this.#ours = true
    if (reset) this.#socket.resetAndDestroy()
    else this.#socket.destroy()
  }
}

/** Attacks with so many frames, or a few more. How many they were. Throws Wrong. */
export async function attack(weapons: Weapons, who: string, messages: number): Promise<number> {
  const { roll } = weapons
  let sent = 0
  for (let life = 0; sent < messages; life++) sent += await live(weapons, `${who}.${life}`, Math.min(messages - sent, one(roll, [20, 200, 1000, 4000, 20_000])))
  return sent
}

async function live({ urls, dialect, raw: isRaw, roll, deeds }: Weapons, who: string, messages: number): Promise<number> {
  const tcp = roll(4) === 0, line = new Line(urls[tcp ? 1 : 0]!, who, deeds, tcp), { ledger } = line
  const grammar = new Grammar(dialect, ledger, roll)
  try {
    let paused = 0
    while (ledger.frames < messages && !line.closed && !ledger.doomed) {
      const bytes = burst(grammar, isRaw, roll)
      if (roll(6) === 0) {
        const at = roll(bytes.length + 1)
        line.send(bytes.subarray(0, at))
        if (roll(8) === 0) break                            // and all else remains unsaid
        await new Promise(setImmediate)
        line.send(bytes.subarray(at))
      } else line.send(bytes)
      if (paused > 0 && --paused > 0) continue
      if (paused === 0) line.resume()
      if (roll(40) === 0) { line.pause(); paused = 1 + roll(3); continue }
      await line.answered(one(roll, [0, 0, 16, 200, 900]))
      if (ledger.lacks > 20_000 && roll(8) > 0) break
    }
    line.resume()
    await end(line, grammar, roll, tcp)
    return ledger.frames
  } finally { if (!line.closed) line.cut() }
}

function burst(grammar: Grammar, isRaw: boolean, roll: Roll): Buffer {
  const { ledger, dialect } = grammar
  let at = 0, before = 0
  grammar.again()
  if (ledger.agreed !== dialect && roll(10) > 0) at = grammar.writeOne('Tversion', out, at, { msize: one(roll, [8192, 16384, 65536, 131072, 1024 * 1024 + 24]), version: dialect })
  if (grammar.lost && roll(10) > 0) at = grammar.writeOne('Tattach', out, at, { afid: 0xffffffff, aname: PIT, nUname: process.getuid!(), uname: '' })
  for (let n = one(roll, [1, 3, 20, 100, 200, 400]); n > 0 && at < BURST; n--) {
    if (isRaw && roll(4) > 0) { at = raw(roll, out, at, ledger.least); continue }
    let end = grammar.write(out, at)
    if (end > at && roll(16) === 0 && end - at < 70_000) end = mutate(roll, out, at, end, before)
    before = at
    at = end
  }
  return Buffer.from(out.subarray(0, at))
}

async function end(line: Line, grammar: Grammar, roll: Roll, tcp: boolean): Promise<void> {
  const { ledger } = line
  switch (roll(6)) {
    case 0: line.cut(); return
    case 1: line.cut(tcp); return
    case 2: await line.half(); return
    default:
  }
  // All is to be answered now: what was begun is brought to an end, and what waits for a lock is flushed.
  for (let rest = ledger.lacks; rest > 0 && !ledger.doomed && !line.closed; rest = ledger.lacks) line.send(zeros.subarray(0, Math.min(rest, zeros.length)))
  await line.answered(0)
  let at = 0
  for (const oldtag of ledger.tags) at = grammar.writeOne('Tflush', out, at, { oldtag })
  line.send(Buffer.from(out.subarray(0, at)))
  line.deeds.push({ who: line.who, what: 'wait' })
  await line.until('answers to all', () => ledger.open === 0 || ledger.doomed)
  if (ledger.doomed) await line.until('the end of a connection that is out of step', () => false)
  else line.cut()
}
