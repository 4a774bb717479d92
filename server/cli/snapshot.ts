// ninefold snapshot.

import { quote } from '../control/words.ts'
import { command, fieldsOf, wordLines } from './control.ts'
import { print, shown } from './format.ts'
import type { Where } from './remote.ts'

export async function snapshot(where: Where, what: string, path: string, rest: readonly string[], { json }: { json: boolean }): Promise<void> {
  const lines = wordLines(await command(where, ['snapshot', what, quote(path), ...rest.map(quote)].join(' ')))
  if (json && what === 'list') return print(`${JSON.stringify(lines.map(([name, ...words]) => ({ name, time: fieldsOf(words).time, holds: words.filter((word) => word.startsWith('hold=')).map((word) => word.slice(5)) })))}\n`)
  for (const words of lines) await print(`${words.map(shown).join(' ')}\n`)
}

export async function gc(where: Where, path: string): Promise<void> { await print(await command(where, `gc ${quote(path)}`)) }
