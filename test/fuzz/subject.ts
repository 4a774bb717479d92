// The server process as its enemies hold it: started, asked, looked at from outside, stopped.

import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { within } from '../wire/raw.ts'
import { haven } from './serve.ts'
import type { Holdings, Orders, StackName } from './serve.ts'

/** Seconds for anything that comes at once or never. */
export const LIMIT = 60

export class Subject {
  readonly haven = haven()
  urls!: readonly string[]
  /** Why it ended, once it has. */
  ended: string | undefined
  readonly #folder: string
  readonly #run = mkdtempSync(join(tmpdir(), 'ninefold-fuzz-'))
  readonly #child: ChildProcess
  #stderr = ''
  #stopping = false
  #before: string

  private constructor(readonly stack: StackName) {
    this.#folder = mkdtempSync(`${stack === 'posix' ? '/dev/shm' : tmpdir()}/ninefold-fuzz-`)
    for (const name of ['export', 'outside']) mkdirSync(join(this.#folder, name))
    const file = join(this.#folder, 'outside/file')
    writeFileSync(file, 'not to be touched')
    utimesSync(file, 1, 2)                                  // a read would be seen by its atime, which is older
    this.#before = this.#around()
    this.#child = fork(fileURLToPath(new URL('serve.js', import.meta.url)), { execArgv: ['--expose-gc', '--enable-source-maps', '--max-old-space-size=1024'], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => { this.#stderr = (this.#stderr + text).slice(-20_000) })
    this.#child.once('exit', (code, signal) => { this.ended = this.#stopping ? 'stopped' : `the server ended with ${signal ?? `status ${code}`}\n${this.#stderr}` })
  }
  static async start(stack: StackName): Promise<Subject> {
    const subject = new Subject(stack)
    const orders: Orders = { stack, folder: join(subject.#folder, 'export'), run: subject.#run, haven: subject.haven }
    subject.urls = (await subject.#ask<{ urls: string[] }>(orders)).urls
    return subject
  }
  get pid(): number { return this.#child.pid! }

  /** Asks, and rejects where the server ends instead. */
  async #ask<T>(what: unknown): Promise<T> {
    if (this.ended) throw new Error(this.ended)
    const answer = new Promise<T>((resolve, reject) => {
      const done = () => { this.#child.off('message', came); this.#child.off('close', gone) }
      const came = (message: unknown) => { done(); resolve(message as T) }
      const gone = () => { done(); reject(new Error(this.ended)) }
      this.#child.on('message', came).on('close', gone)
    })
    this.#child.send(what as object)
    return within(LIMIT, 'the server hangs: an answer', answer)
  }
  holdings(): Promise<Holdings> { return this.#ask<Holdings>('holdings') }
  /** As the kernel sees it. */
  get descriptors(): number { return readdirSync(`/proc/${this.pid}/fd`).length }
  get rss(): number { return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))![1]) * 1024 }

  /** What lies beside the served folder. */
  #around(): string {
    const list = [this.#folder, join(this.#folder, 'outside')].map((path) => readdirSync(path).sort().join())
    const facts = ['outside/file', 'outside'].map((name) => { const s = statSync(join(this.#folder, name)); return [s.mode, s.uid, s.gid, s.size, s.mtimeMs, s.ctimeMs, s.ino, s.nlink] })
    return JSON.stringify([list, facts, statSync(join(this.#folder, 'outside/file')).atimeMs])
  }
  /** What was done outside of what is served, if anything. */
  get harm(): string | undefined {
    const now = this.#around()
    return now === this.#before ? undefined : `what lies outside the served folder was touched: ${this.#before} became ${now}`
  }

  /** Stops it as SIGTERM would; throws where it does not. */
  async stop(): Promise<void> {
    try {
      if (this.ended) return
      this.#stopping = true
      const exit = new Promise<void>((resolve) => this.#child.once('exit', () => resolve()))
      this.#child.send('stop')
      await within(LIMIT, 'the server hangs: its stop', exit)
    } finally { this.kill() }
  }
  /** Ends it as it is, and clears up. */
  kill(): void {
    this.#stopping = true
    this.#child.kill('SIGKILL')
    for (const path of [this.#folder, this.#run]) rmSync(path, { recursive: true, force: true })
  }
}
