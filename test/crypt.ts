// What the tests of crypt share: a key that opens quickly, and a log to look into.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createKeyFile } from '../translators/keys.ts'
import { crypt } from '../translators/crypt/crypt.ts'
import type { Log } from '../translators/options.ts'
import type { Translator } from '../translators/translator.ts'

export const folder = mkdtempSync(join(tmpdir(), 'ninefold-crypt-'))
process.on('exit', () => { rmSync(folder, { recursive: true, force: true }) })
writeFileSync(join(folder, 'secret'), 'what a machine has, 32 bytes of it')
await createKeyFile(join(folder, 'key'), 'test', 'secret', Buffer.from('what a machine has, 32 bytes of it'))
export const key = { 'key-file': join(folder, 'key'), unlock: `file:${join(folder, 'secret')}` }

export interface Line { readonly level: string; readonly message: string; readonly fields: Record<string, unknown> }
/** crypt over a child, and the lines that it logs. */
export async function logged(child: Translator, options: object = key): Promise<{ translator: Translator; lines: Line[] }> {
  const lines: Line[] = []
  const say = (level: string) => (fields: object, message: string) => { lines.push({ level, message, fields: fields as Record<string, unknown> }) }
  const log: Log = { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') }
  return { translator: await crypt.start(options as Record<string, unknown>, [child], { name: 'crypt', log }), lines }
}
