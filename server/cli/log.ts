// Where the server's own lines go: JSON to standard error, or short lines where a person reads them.

import { pino } from 'pino'
import type { Logger } from 'pino'

const levels: Readonly<Record<number, string>> = { 10: 'trace', 20: 'debug', 30: 'info', 40: 'WARN', 50: 'ERROR', 60: 'FATAL' }

/** A pino logger to standard error. level: debug, info, warn, error or silent. */
export function makeLog(level: string): Logger {
  if (!process.stderr.isTTY) return pino({ level, base: null }, pino.destination({ dest: 2, sync: true }))
  return pino({ level, base: null }, { write: (line: string) => { process.stderr.write(short(line).replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`)) } })
}

/** `09:15:02 WARN  message key=value` of a line of JSON. */
function short(line: string): string {
  const { level, time, msg, err, ...fields } = JSON.parse(line) as { level: number; time: number; msg?: string; err?: { message?: string; stack?: string } }
  const rest = Object.entries(fields).map(([key, value]) => ` ${key}=${typeof value === 'string' && /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value)}`).join('')
  const why = err ? `\n${level >= 50 ? err.stack ?? err.message : err.message}` : ''
  return `${new Date(time).toTimeString().slice(0, 8)} ${(levels[level] ?? String(level)).padEnd(5)} ${msg ?? ''}${rest}${why}\n`
}
