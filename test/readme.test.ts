// The README says what is so: its configs are read, its verbs are there, its code is the code.

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseConfig } from '../server/config.ts'
import { translators } from '../server/translators.ts'

const root = resolve(fileURLToPath(import.meta.url), '../../..')
const read = (file: string) => readFileSync(join(root, file), 'utf8')
const readme = read('README.md')
const test = suite('readme')

test('its configs are good ones', () => {
  const blocks = [...readme.matchAll(/```yaml\n([^]*?)```/g)].map((match) => match[1]!)
  assert.ok(blocks.length > 0)
  for (const block of blocks.filter((block) => !block.includes('/shout.js'))) parseConfig(block, 'README.md')   // that one: outside.package
})
test('its refusal is what a config is refused with', () => {
  const line = /ninefold\.yaml:\d+:\d+: \/scratch: .*/.exec(readme)![0]
  try { parseConfig('\n\n\n\n\nnamespace:\n  /scratch: memory size="4 parsecs"\n', 'ninefold.yaml'); assert.unreachable() } catch (e) { assert.is((e as Error).message, line) }
})
test('its verbs and their flags are there', () => {
  const rows = [...readme.matchAll(/^\| (`.*?`) \|/gm)].map((match) => match[1]!).filter((row) => /^`(serve|create-translator|ls|put|rm|xattr|settrans|showtrans|reload|explain|completion) /.test(row) || row.startsWith('`completion'))
  const seen = rows.flatMap((row) => [...row.matchAll(/`([a-z-]+)([^`]*)`/g)].map((match) => ({ verb: match[1]!, flags: [...match[2]!.matchAll(/(?:^|[[ ])(--?[a-zA-Z]+)/g)].map((m) => m[1]!) })))
  assert.ok(seen.length >= 19, JSON.stringify(seen))
  for (const { verb, flags } of seen) {
    const { status, stdout } = spawnSync(join(root, 'bin/ninefold'), [verb, '--help'], { encoding: 'utf8' })
    assert.is(status, 0, verb)
    for (const flag of flags) assert.ok(new RegExp(`(^|[ ,])${flag}\\b`, 'm').test(stdout), `${verb} ${flag}`)
  }
})
test('its translators are all there are', () => {
  const paragraph = /\*\*Translators\*\* there are: ([^]*?)\n\n/.exec(readme)![1]!
  for (const name of translators.keys()) assert.match(paragraph, `\`${name}`)
})
test('its translator is the one in the tree', () => {
  const code = /```ts\n(export const rot13[^]*?)```/.exec(readme)![1]!
  assert.ok(read('translators/rot13/rot13.ts').includes(code.trim()))
})
test('the files that it names are there', () => {
  const named = [...readme.matchAll(/`((?:examples|test|translators|server|protocol|\.ci)\/[\w./-]*)`/g)].map((match) => match[1]!)
  assert.equal(named.filter((name) => !existsSync(join(root, name))), [])
})
test('its scripts are in package.json', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  for (const name of [...readme.matchAll(/npm run ([\w:]+)/g)].map((match) => match[1]!)) assert.ok(name in scripts, name)
})
test.run()
