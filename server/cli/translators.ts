// What `serve --help` says of stacks and limits, made from the options that translators and the server declare.

import type { Option } from '../../translators/options.ts'
import { limitOptions } from '../limits.ts'
import { translators } from '../translators.ts'
import { sizeString } from './format.ts'

const COLUMN = 24

/** Every translator with its options, and every limit, and what they are unless told. width: of the lines, characters. */
export function translatorsHelp(width: number): string {
  const row = (left: string, text: string) => {
    const lines: string[] = ['']
    for (const word of text.split(' ')) {
      const last = lines.at(-1)!
      if (last !== '' && COLUMN + last.length + 1 + word.length > width) lines.push(word)
      else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`
    }
    return lines.map((line, i) => (i > 0 ? '' : left).padEnd(COLUMN - 1) + ` ${line}`)
  }
  const rows = [...translators.values()].flatMap(({ definition: { name, about, children, options } }) => [
    ...row(`  ${name}${Object.entries(options).map(([key, { positional }]) => positional ? ` ${key.toUpperCase()}` : '').join('')}${children === 0 ? '' : ' | ...'}`, about),
    ...Object.entries(options).flatMap(([key, option]) => row(`    ${option.positional ? key.toUpperCase() : `${key}=${standard(option)}`}`, option.about)),
  ])
  const limits = Object.entries(limitOptions).flatMap(([key, option]) => row(`  ${key}=${standard(option)}`, option.about))
  return ['A STACK: translators, outermost first, | before what is underneath.', 'There are, with what their options are unless told:', ...rows,
    ...row('  npm:NAME, ./FILE.js', 'one from outside: a package as it is found from here, or a file. It runs code: only those are loaded that --at names, or "translators:" in the config: [npm:NAME, ./my/*.js]'),
    '', 'LIMITS, under "limits:" in a config, and what they are unless told:', ...limits].join('\n')
}
/** The default as a stack would have it. */
function standard({ default: value, unit, schema }: Option<unknown>): string {
  if (typeof value === 'boolean') return value ? 'on' : 'off'
  if (typeof value !== 'number') return String(value ?? '')
  if (value === Number.MAX_SAFE_INTEGER) return 'SIZE'                // no limit
  if (unit === 'bytes') return sizeString(value).replace('.0', '').replace(' ', '')
  if ((schema as { maximum?: number }).maximum === 0o7777) return `0${value.toString(8)}`
  return `${value}${unit === 'seconds' ? 's' : ''}`
}

/** What may follow these words of a stack: translators where one has to stand, then its options. */
export function completeStack(before: readonly string[], current: string): string[] {
  let begun: readonly string[] = before
  for (const [i, word] of before.entries()) if (/^[\\'"]*[|(,][\\'"]*$/.test(word)) begun = before.slice(i + 1)
  const [name] = begun, words = name === undefined ? [...translators.keys()] : Object.keys(translators.get(name)?.definition.options ?? {}).map((key) => `${key}=`)
  return words.filter((word) => word.startsWith(current) && !begun.some((given) => given.startsWith(word)))
}
