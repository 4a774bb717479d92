// A program that is run as the peer, for as long as the translator is: started again, ever later, when it ends.

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { errno } from 'ninep'
import type { Log } from '../options.ts'

/** Milliseconds before it is started again, doubled after each time that it did not last, to the most; and what lasting is. */
const AGAIN = 100, MOST = 30_000, LASTS = 10_000
/** Milliseconds between SIGTERM and SIGKILL. */
const PATIENCE = 5000
/** Before the command: ends its group, which is its own, when standard input does, and that is when this process does, however it does. */
const WATCH = `exec 3<&0 </dev/null; (trap '' TERM; read -r _ <&3; kill -TERM 0; sleep ${PATIENCE / 1000}; kill -KILL 0) >/dev/null 2>&1 & exec 3<&-; `

export class Attendant implements AsyncDisposable {
  /** A folder that only this user may enter. */
  readonly #folder = mkdtempSync(join(tmpdir(), 'ninefold-remote-'))
  readonly url = `unix:${this.#socket}`
  /** Why it does not run. */
  gone: Error | undefined
  onGone = () => {}
  #child!: ChildProcess
  #wait = AGAIN
  #timer: NodeJS.Timeout | undefined
  #ending = false
  constructor(readonly command: string, private readonly log: Log) { this.#start() }
  get #socket(): string { return join(this.#folder, 'socket') }

  #start(): void {
    rmSync(this.#socket, { force: true })                 // of one that was killed
    const began = performance.now()
    const child = this.#child = spawn('/bin/sh', ['-c', WATCH + this.command.replaceAll('{socket}', this.#socket)], { stdio: ['pipe', 'ignore', 'inherit'], detached: true })
    child.stdin?.on('error', () => {})
    this.gone = undefined
    const ended = (how: string) => {
      if (child.pid !== undefined) kill(child.pid, 'SIGKILL')   // what is left of its group
      if (this.#ending) return
      this.#wait = performance.now() - began > LASTS ? AGAIN : Math.min(2 * this.#wait, MOST)
      this.log.error({ command: this.command }, `the program ended (${how}), and is started again in ${this.#wait} ms`)
      this.gone = errno('EIO', `the program ended (${how}), and is started again in ${this.#wait} ms`)
      this.#timer = setTimeout(() => this.#start(), this.#wait)
      this.onGone()
    }
    child.once('error', (e) => { if (child.pid === undefined) ended(e.message) })
    child.once('exit', (code, signal) => ended(signal ?? `status ${code}`))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending = true
    clearTimeout(this.#timer)
    const child = this.#child
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit')
      kill(child.pid, 'SIGTERM')
      const timer = setTimeout(() => kill(child.pid!, 'SIGKILL'), PATIENCE)
      await ended
      clearTimeout(timer)
    }
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** The whole group; one that has ended meanwhile is no error. */
function kill(group: number, signal: NodeJS.Signals): void {
  try { process.kill(-group, signal) } catch (e) { if ((e as NodeJS.ErrnoException).code !== 'ESRCH') throw e }
}
