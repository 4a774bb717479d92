// ninefold snapshot, gc and fsck.

import { quote } from '../control/words.ts'
import { command, fieldsOf, wordLines } from './control.ts'
import { Failure } from './failure.ts'
import { print, shown } from './format.ts'
import type { Where } from './remote.ts'

export async function snapshot(where: Where, what: string, path: string, rest: readonly string[], { json }: { json: boolean }): Promise<void> {
  const lines = wordLines(await command(where, ['snapshot', what, quote(path), ...rest.map(quote)].join(' ')))
  if (json && what === 'list') return print(`${JSON.stringify(lines.map(([name, ...words]) => ({ name, time: fieldsOf(words).time, holds: words.filter((word) => word.startsWith('hold=')).map((word) => word.slice(5)) })))}\n`)
  for (const words of lines) await print(`${words.map(shown).join(' ')}\n`)
}

export async function gc(where: Where, path: string): Promise<void> { await print(await command(where, `gc ${quote(path)}`)) }

/** Status 1 where something is wrong; what is only garbage is not. */
export async function fsck(where: Where, path: string, { data, json }: { data: boolean; json: boolean }): Promise<void> {
  const lines = wordLines(await command(where, `fsck ${data ? '-d ' : ''}${quote(path)}`)), summary = fieldsOf(lines.pop() ?? [])
  const problems = lines.map(([severity = '', what = '', key = '', path]) => ({ severity, what, key, path }))
  if (json) await print(`${JSON.stringify({ ...Object.fromEntries(Object.entries(summary).map(([key, value]) => [key, Number(value)])), found: problems })}\n`)
  else {
    for (const { severity, what, key, path } of problems) await print(`${severity}: ${path === undefined ? '' : `${shown(path)}: `}${what} (${shown(key)})\n`)
    await print(`${summary.files} files, ${summary.blobs} blobs, ${summary.bytes} bytes of data: ${summary.problems === '0' ? 'nothing is wrong' : `${summary.problems} things found`}\n`)
  }
  const wrong = problems.filter(({ severity }) => severity !== 'garbage').length
  if (wrong > 0) throw new Failure(`${path}: ${wrong} things are wrong`)
}
