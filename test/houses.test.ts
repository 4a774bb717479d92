// The plan of the house, kept: who may import whom, what the lock file may name, what tracked files may not say.

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, posix, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

const root = resolve(fileURLToPath(import.meta.url), '../../..')
const test = suite('houses')

/** What git tracks: a folder that somebody tried things in is not the repository's. */
const files = execFileSync('git', ['-C', root, 'ls-files', '-z', '--cached'], { encoding: 'utf8' })
  .split('\0').filter((file) => file !== '' && existsSync(join(root, file)))
const sources = files.filter((file) => file.endsWith('.ts') || /^examples\/.*\.js$/.test(file))
const read = (file: string) => readFileSync(join(root, file), 'utf8')

/** What a source imports: 'protocol/x.ts' for its own, else the package's name ('node:' left on); not what it has as text. types: types too. */
function imports(file: string, types = true): string[] {
  return [...read(file).replace(/`\n[^]*?\n`/g, '').matchAll(/^(?:import|export)\b[^'"]*?\bfrom\s*['"]([^'"]+)['"]|^import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm)]
    .filter((match) => types || !/^(import|export) type\b/.test(match[0]))
    .map((match) => match[1] ?? match[2] ?? match[3]!)
    .map((name) => name.startsWith('.') ? posix.normalize(posix.join(dirname(file), name)) : name)
}
const house = (file: string) => file.split('/')[0]!
const folder = (file: string) => file.split('/').slice(0, 2).join('/')

/** What each house may import of the repository and of packages; node: is free but where it is said otherwise. */
const plan: Readonly<Record<string, { readonly houses: readonly string[]; readonly packages: readonly string[]; readonly node?: readonly string[] }>> = {
  protocol: { houses: ['protocol'], packages: [], node: ['node:net'] },
  translators: { houses: ['translators'], packages: ['ninep', 'koffi', 'classic-level', 'sodium-native'] },
  server: { houses: ['server', 'translators'], packages: ['ninep', 'koffi', 'pino', 'prom-client', 'yaml', 'yargs', 'yargs/helpers'] },
  test: { houses: ['test', 'server', 'translators', 'protocol'], packages: ['ninep', 'koffi', 'classic-level', 'uvu', 'uvu/assert', 'uvu/diff', 'ajv/dist/2020.js', 'pino', 'yaml'] },
  examples: { houses: ['examples'], packages: ['ninep', 'ninefold/*'] },
}
for (const [name, { houses, packages, node }] of Object.entries(plan)) {
  test(`${name}/ imports only ${[...houses, ...packages].join(', ')}`, () => {
    const wrong = sources.filter((file) => house(file) === name).flatMap((file) => imports(file)
      .filter((target) => target.startsWith('node:') ? node && !node.includes(target) : /\.[jt]s$/.test(target) && target.includes('/') && !target.startsWith('ajv/') ? !houses.includes(house(target)) : !packages.includes(target) && !packages.includes(target.replace(/\/.*/, '/*')))
      .map((target) => `${file} imports ${target}`))
    assert.equal(wrong, [])
  })
}
test('in protocol/ only the sockets are Node\'s', () => {
  assert.equal(sources.filter((file) => house(file) === 'protocol' && imports(file).some((target) => target.startsWith('node:'))), ['protocol/transport.ts'])
})
test('every house of sources is in the plan', () => {
  assert.equal([...new Set(sources.map(house))].filter((name) => !(name in plan)), [])
})
test('translators meet only as children: none imports the folder of another', () => {
  const inFolder = (file: string) => file.split('/').length > 2
  const wrong = sources.filter((file) => house(file) === 'translators' && inFolder(file))
    .flatMap((file) => imports(file).filter((target) => house(target) === 'translators' && inFolder(target) && folder(target) !== folder(file)).map((target) => `${file} imports ${target}`))
  assert.equal(wrong.filter((line) => !/ imports translators\/tree\//.test(line)), [])
})
test('one translator, one folder, one export of a translator', () => {
  const wrong = sources.filter((file) => /^translators\/[^/]+\/[^/]+\.ts$/.test(file)).filter((file) => /\btranslator\(\{/.test(read(file)))
    .filter((file) => file.split('/')[1] !== file.split('/')[2]!.replace('.ts', ''))
  assert.equal(wrong, [])
})
// Types are not there at run time, and the files of one translator's folder are one room.
test('imports have no cycles between folders', () => {
  const done = new Set<string>()
  const look = (file: string, above: readonly string[]): string[] | undefined => {
    if (above.includes(file)) return [...above.slice(above.indexOf(file)), file]
    if (done.has(file) || !existsSync(join(root, file))) return
    for (const target of imports(file, false).filter((name) => name.endsWith('.ts'))) {
      const cycle = look(target, [...above, file])
      if (cycle) return cycle
    }
    done.add(file)
    return
  }
  const cycles = sources.map((file) => look(file, [])).filter((cycle) => cycle !== undefined)
    .filter((cycle) => cycle.some((file) => dirname(file) !== dirname(cycle[0]!) || !file.startsWith('translators/'))).map((cycle) => cycle.join(' -> '))
  assert.equal([...new Set(cycles)], [])
})
test('package-lock.json names no address to download from', () => {
  const lock = JSON.parse(read('package-lock.json')) as { packages: Record<string, { resolved?: string; link?: boolean }> }
  assert.equal(Object.entries(lock.packages).filter(([, { resolved, link }]) => resolved !== undefined && !link).map(([name]) => name), [])
})
test('packages with install scripts are allowed, or refused, by name', () => {
  const lock = JSON.parse(read('package-lock.json')) as { packages: Record<string, { hasInstallScript?: boolean }> }
  const { allowScripts } = JSON.parse(read('package.json')) as { allowScripts: Record<string, boolean> }
  assert.equal(Object.entries(lock.packages).filter(([, entry]) => entry.hasInstallScript).map(([name]) => name.replace(/^.*node_modules\//, '')).filter((name) => !(name in allowScripts)), [])
})
test('the root of the repository is short', () => {
  const known = ['protocol', 'translators', 'server', 'test', 'examples', 'bin', '.ci', 'README.md', 'LICENSE', 'package.json', 'package-lock.json', '.npmrc', '.gitignore', 'tsconfig.json', 'tsconfig.base.json']
  assert.equal([...new Set(files.map(house))].filter((name) => !known.includes(name)), [])
})
test('every suite is run', () => {
  const wrong = sources.filter((file) => file.endsWith('.test.ts')).flatMap((file) => {
    const text = read(file)
    return [...text.matchAll(/\b(?:const|let) (\w+) = suite\(/g)].map((match) => match[1]!).filter((name) => !new RegExp(`\\b${name}\\.run\\(\\)`).test(text)).map((name) => `${file}: ${name}`)
  })
  assert.equal(wrong, [])
})
test('no test is left marked only', () => {
  assert.equal(sources.filter((file) => file.startsWith('test/') && /^\s*\w+\.only\(/m.test(read(file))), [])
})
test('the project speaks of itself alone', () => {
  // Spelled in parts, so that this file passes its own test.
  const words = ['/wo' + 'rk/', '/tmp/' + 'w/', '9p' + 'load', 'the br' + 'ief', '\\bissue ' + '#?\\d', 'assis' + 'tant', 'chat' + 'gpt', 'lang' + 'uage model', 'registry\\.npm' + 'js']
  const pattern = new RegExp(words.join('|'), 'i')
  const wrong = files.filter((file) => !/\.(png|gz|xz|img|pcap|bin)$/.test(file) && file !== 'LICENSE')
    .flatMap((file) => read(file).split('\n').flatMap((line, i) => pattern.test(line) ? [`${file}:${i + 1}: ${line.trim().slice(0, 100)}`] : []))
  assert.equal(wrong, [])
})
test('sources end with a newline, and hold no tabs or trailing blanks', () => {
  const wrong = sources.filter((file) => { const text = read(file); return !text.endsWith('\n') || /\t|[ ]+$/m.test(text) })
  assert.equal(wrong, [])
})
test('CI installs what the tests say they need', () => {
  const ci = read('.ci/run')
  const packages = [...read('test/needs.ts').split('const packages')[1]!.split('\n}')[0]!.matchAll(/: '([^']+)'/g)].flatMap((match) => match[1]!.split(' '))
  assert.ok(packages.includes('fio'))
  assert.equal(packages.filter((name) => name !== 'tar' && !ci.includes(name)), [])
})
test.run()
