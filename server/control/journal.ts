// The log, as it passes: the last lines of each mount are kept for those who look later.

import type { Log } from '../../translators/options.ts'

/** Lines of one mount, characters of a line, and mounts: those that were heard of longest ago are forgotten first. */
const LINES = 100, WIDTH = 1000, MOUNTS = 1024

type Level = 'debug' | 'info' | 'warn' | 'error'

export class Journal implements Log {
  readonly #lines = new Map<string, string[]>()
  /** Told of warnings and errors. */
  onTrouble: (level: Level, fields: object, message: string) => void = () => {}
  constructor(private readonly under: Log) {}
  debug(fields: object, message: string): void { this.under.debug(fields, message) }
  info(fields: object, message: string): void { this.#take('info', fields, message) }
  warn(fields: object, message: string): void { this.#take('warn', fields, message) }
  error(fields: object, message: string): void { this.#take('error', fields, message) }

  #take(level: Level, fields: object, message: string): void {
    this.under[level](fields, message)
    const { translator } = fields as { translator?: unknown }
    if (typeof translator === 'string') this.#keep(translator.replace(/: [\w-]+$/, ''), `${new Date().toISOString()} ${level} ${translator}: ${JSON.stringify(message).slice(1, -1)}${rest(fields)}`)
    if (level !== 'info') this.onTrouble(level, fields, message)
  }
  #keep(path: string, line: string): void {
    const lines = this.#lines.get(path) ?? []
    this.#lines.delete(path)
    this.#lines.set(path, lines)
    lines.push(line.length > WIDTH ? `${line.slice(0, WIDTH)}...` : line)
    if (lines.length > LINES) lines.shift()
    if (this.#lines.size > MOUNTS) this.#lines.delete(this.#lines.keys().next().value!)
  }
  /** What was said of what is, or was, mounted there, the latest last. */
  of(path: string): readonly string[] { return this.#lines.get(path) ?? [] }
}

/** An error's message; all else as JSON, where that can be had. */
function rest(fields: object): string {
  const shown = Object.entries(fields).filter(([key]) => key !== 'translator').map(([key, value]) => {
    try { return ` ${key}=${value instanceof Error ? JSON.stringify(value.message) : JSON.stringify(value, (_, each: unknown) => typeof each === 'bigint' ? String(each) : each)}` } catch { return '' }
  })
  return shown.join('')
}

/** A log that says with every line whose it is: '/vault: crypt'. */
export function named(log: Log, translator: string): Log {
  const say = (level: Level) => (fields: object, message: string): void => log[level]({ translator, ...fields }, message)
  return { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') }
}
