// How far a copy is: one line of standard error, drawn over on a terminal, else a new one now and then.

import { escape, sizeString } from './format.ts'

const WINDOW = 5000                                       // ms that the rate is taken over

export class Progress {
  #bytes = 0
  #files = 0
  #name = ''
  #samples: { at: number; bytes: number }[] = []
  #timer: NodeJS.Timeout | undefined
  #drawn = false
  /** total: bytes to expect, where that is known. */
  constructor(enabled: boolean, private total: number | undefined) {
    if (!enabled) return
    this.#sample()
    this.#timer = setInterval(() => this.#draw(), process.stderr.isTTY ? 200 : 1000)
    this.#timer.unref()
  }

  expect(bytes: number): void { this.total = (this.total ?? 0) + bytes }
  begin(name: string): void { this.#name = escape(name); this.#files++ }
  add(bytes: number): void { this.#bytes += bytes }

  /** The last line, and no more. */
  end(): void {
    if (!this.#timer) return
    clearInterval(this.#timer)
    this.#draw()
    if (process.stderr.isTTY && this.#drawn) process.stderr.write('\n')
    this.#timer = undefined
  }

  #sample(): void {
    const at = performance.now()
    this.#samples.push({ at, bytes: this.#bytes })
    while (this.#samples.length > 2 && this.#samples[1]!.at < at - WINDOW) this.#samples.shift()
  }
  #draw(): void {
    this.#sample()
    const first = this.#samples[0]!, last = this.#samples.at(-1)!
    const rate = (last.bytes - first.bytes) / Math.max(last.at - first.at, 1) * 1000
    const parts = [this.total === undefined ? sizeString(this.#bytes) : `${sizeString(this.#bytes)} of ${sizeString(this.total)}`, `${sizeString(Math.round(rate))}/s`]
    if (this.total !== undefined && rate > 0 && this.#bytes < this.total) parts.push(`ETA ${clock((this.total - this.#bytes) / rate)}`)
    if (this.#files > 1) parts.push(`${this.#files} files`)
    if (this.#name) parts.push(this.#name)
    const line = parts.join('  ')
    process.stderr.write(process.stderr.isTTY ? `\r${line.slice(0, (process.stderr.columns || 80) - 1)}\x1b[K` : `${line}\n`)
    this.#drawn = true
  }
}

/** `1:02:03` or `2:03` of seconds. */
function clock(seconds: number): string {
  const s = Math.ceil(seconds), pad = (n: number) => String(n).padStart(2, '0')
  return s >= 3600 ? `${Math.floor(s / 3600)}:${pad(Math.floor(s / 60) % 60)}:${pad(s % 60)}` : `${Math.floor(s / 60)}:${pad(s % 60)}`
}
