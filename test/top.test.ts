// ninefold top on a terminal: what is on the screen, by which key, and what is left of it afterwards.

import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { serve } from '../server/server.ts'
import type { Server } from '../server/server.ts'
import { parseStack } from '../server/stack.ts'
import { Meters } from '../translators/meter.ts'
import { requires } from './needs.ts'
import { Raw } from './wire/raw.ts'

const bin = join(resolve(fileURLToPath(import.meta.url), '../../..'), 'bin/ninefold')
const folder = mkdtempSync(join(tmpdir(), 'ninefold-top-')), url = `unix:${folder}/s.sock`
const all: ChildProcess[] = []
const start = (): Promise<Server> => serve({ listen: [url], namespace: new Map([['/', parseStack('rot13 | memory')], ['/m', parseStack('memory')]]), meters: new Meters() })

/** What a terminal shows of what it is sent: as much of one as is needed here. What it does not know is a failure. */
class Screen {
  rows: number
  alternate = false
  cursor = true
  readonly unknown: string[] = []
  #shown: string[][] = [[]]
  #main: [shown: string[][], x: number, y: number] = [[], 0, 0]
  #x = 0
  #y = 0
  #rest = ''
  constructor(rows: number) { this.rows = rows }
  get lines(): string[] { return this.#shown.map((line) => Array.from(line, (c) => c ?? ' ').join('').trimEnd()) }
  feed(text: string): void {
    const all = this.#rest + text, token = /\x1b\[(\?)?(\d*)([A-Za-z])|\x1b[^[]|[^\x1b]/gy
    let at = 0
    for (let found; (found = token.exec(all)); at = token.lastIndex) this.#take(found[0], found[1] === '?', found[2] ?? '', found[3])
    this.#rest = all.slice(at)
  }
  #take(text: string, mode: boolean, n: string, command: string | undefined): void {
    if (text === '\r') this.#x = 0
    else if (text === '\n') { if (++this.#y >= this.rows) { this.#y--; this.#shown.shift() } }
    else if (command === undefined) (this.#shown[this.#y] ??= [])[this.#x++] = text
    else if (mode && n === '25') this.cursor = command === 'h'
    else if (mode && n === '1049') {
      this.alternate = command === 'h'
      if (this.alternate) { this.#main = [this.#shown, this.#x, this.#y]; this.#shown = [[]] } else [this.#shown, this.#x, this.#y] = this.#main
    }
    else if (command === 'H') this.#x = this.#y = 0
    else if (command === 'K') (this.#shown[this.#y] ??= []).length = this.#x
    else if (command === 'J') {
      if (n === '2') this.#shown = []
      else { (this.#shown[this.#y] ??= []).length = this.#x; this.#shown.length = this.#y + 1 }
    }
    else this.unknown.push(text)
  }
}

/** `top` on a terminal of its own. */
class Terminal {
  readonly screen = new Screen(12)
  readonly ended: Promise<unknown>
  #script: ChildProcess
  constructor() {
    const tell = (name: string) => `${folder}/${name}`
    const lines = `tty > ${tell('tty')}; stty rows 12 cols 100; stty -g > ${tell('before')}; echo shell; sh -c 'echo $$ > ${tell('pid')}; exec ${bin} top --interval 0.2 --server ${url}'; echo "status $?"; stty -g > ${tell('after')}`
    this.#script = spawn('script', ['-q', '-e', '-c', lines, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] })
    all.push(this.#script)
    this.#script.stdout!.setEncoding('utf8').on('data', (text: string) => this.screen.feed(text))
    this.ended = new Promise((done) => this.#script.once('close', done))
  }
  type(keys: string): void { this.#script.stdin!.write(keys) }
  resize(rows: number, columns: number): void {
    this.screen.rows = rows
    assert.is(spawnSync('stty', ['-F', readFileSync(join(folder, 'tty'), 'utf8').trim(), 'rows', String(rows), 'cols', String(columns)]).status, 0)
  }
  kill(signal: NodeJS.Signals): void { process.kill(Number(readFileSync(join(folder, 'pid'), 'utf8')), signal) }
  /** Waits until the screen is so. */
  async until(what: string, holds: (lines: readonly string[]) => unknown): Promise<void> {
    for (let end = Date.now() + 60_000; !holds(this.screen.lines); ) {
      if (Date.now() > end) throw new Error(`${what} did not come:\n${this.screen.lines.join('\n')}`)
      await new Promise((done) => setTimeout(done, 10))
    }
  }
  /** The screen that there was before, and what this says; the terminal as it was. */
  async over(status: string, says = /^$/): Promise<void> {
    await this.ended
    const { alternate, cursor, lines, unknown } = this.screen
    assert.equal([alternate, cursor, unknown], [false, true, []])
    assert.is(lines[0], 'shell')
    const last = lines.indexOf(`status ${status}`)
    assert.ok(last > 0, lines.join('\n'))
    assert.equal(lines.slice(last + 1).filter((line) => line !== ''), [])
    assert.match(lines.slice(1, last).join('\n'), says)
    assert.is(readFileSync(join(folder, 'after'), 'utf8'), readFileSync(join(folder, 'before'), 'utf8'), 'stty')
  }
}

const suited = suite('top'), test = requires(suited, 'script')
let server: Server
suited.before(async () => { server = await start() })
suited.after(async () => {
  for (const child of all) child.kill('SIGKILL')
  await server.stop()
  rmSync(folder, { recursive: true })
})

const head = /^PATH +LAYER +CALLS\/s /
test('keys sort, pause and help, each on a whole screen; a change of size counts at once; q ends it and leaves nothing', async () => {
  const terminal = new Terminal(), { screen } = terminal, raw = await Raw.versioned(url)
  await raw.attach(0)
  await terminal.until('the layers', (lines) => head.test(lines[2] ?? '') && lines.length === 6 && lines.some((line) => /^\/ +0 rot13 /.test(line)))
  assert.equal([screen.alternate, screen.cursor], [true, false])
  assert.match(screen.lines[0]!, /^ninefold top: unix:\S+, by calls {4}h help, q ends$/)
  // in the rows there is what happens
  let running = true
  const busy = (async () => { while (running) { await raw.getattr(0); await new Promise((done) => setTimeout(done, 2)) } })()
  await terminal.until('calls', (lines) => lines.slice(3).some((line) => /^\/ +\d rot13 +[1-9]/.test(line)))
  for (const [key, by] of [['p', 'path'], ['e', 'errors'], ['b', 'bytes'], ['t', 'time'], ['l', 'latency'], ['c', 'calls']] as const) {
    terminal.type(key)
    await terminal.until(by, (lines) => lines[0]!.includes(`, by ${by} `))
  }
  terminal.type('p')
  await terminal.until('paths in order', (lines) => lines.slice(3).map((line) => line.split(/ +/).slice(0, 3).join(' ')).join() === '/ 0 rot13,/ 1 memory,/m 0 memory')
  terminal.type(' ')
  await terminal.until('a pause', (lines) => lines[0]!.includes(', paused '))
  const still = screen.lines
  await new Promise((done) => setTimeout(done, 700))
  assert.equal(screen.lines, still)
  terminal.type('h')
  await terminal.until('help', (lines) => lines[0] === 'Keys:')
  assert.not.ok(screen.lines.some((line) => head.test(line)), 'nothing is left of the screen before')
  terminal.type('?')
  await terminal.until('the end of help', (lines) => head.test(lines[2] ?? ''))
  assert.equal(screen.lines, still)
  terminal.type(' ')
  await terminal.until('the end of the pause', (lines) => !lines[0]!.includes('paused') && lines.join() !== still.join())
  terminal.resize(4, 30)
  await terminal.until('a small screen', (lines) => lines.length === 4 && lines.every((line) => line.length <= 30))
  terminal.resize(12, 100)
  await terminal.until('a large one', (lines) => lines.length === 6 && / PENDING$/.test(lines[2]!))
  terminal.type('xy\x1b[A')                                 // which mean nothing
  running = false
  await busy
  await raw.end()
  terminal.type('q')
  await terminal.over('0')
})
test('^C ends it as q does', async () => {
  const terminal = new Terminal()
  await terminal.until('the layers', (lines) => head.test(lines[2] ?? ''))
  terminal.type('\x03')
  await terminal.over('0')
})
for (const [signal, status] of [['SIGINT', 130], ['SIGHUP', 129]] as const) test(`${signal} ends it, and the terminal is as it was`, async () => {
  const terminal = new Terminal()
  await terminal.until('the layers', (lines) => head.test(lines[2] ?? ''))
  terminal.kill(signal)
  await terminal.over(String(status), /^$|^[^\n]*(Interrupt|Hangup)/)                // some shells say so
})
test('where the server ends, it says so, on the screen that there was before', async () => {
  const terminal = new Terminal()
  await terminal.until('the layers', (lines) => head.test(lines[2] ?? ''))
  await server.stop()
  await terminal.over('1', /^ninefold: top: /)
  server = await start()
})
suited('what is no terminal gets plain lines, once, or JSON', async () => {
  const piped = async (...words: string[]) => {
    const child = spawn(bin, ['top', '--interval', '0.1', '--server', url, ...words], { stdio: ['ignore', 'pipe', 'inherit'] })
    all.push(child)
    let out = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => { out += text; if (words.length === 1 && out.split('\n').length > 2) child.kill() })
    await new Promise((done) => child.once('close', done))
    return out
  }
  const plain = await piped()
  assert.match(plain, head)
  assert.not.match(plain, '\x1b')
  const json = await piped('--json')
  assert.not.match(json, '\x1b')
  for (const line of json.split('\n').slice(0, 2)) assert.equal(Object.keys(JSON.parse(line) as object), ['time', 'seconds', 'layers'])
})
suited.run()
