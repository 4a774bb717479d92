// An author's way, from the tarball that npm would publish: install it, copy the example or have a package made, test it, serve it.
// And the README's chapter, as it is written.

import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { connect, O } from 'ninep'
import type { File } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

interface Packed { readonly filename: string; readonly files: { path: string }[] }
const root = resolve(fileURLToPath(import.meta.url), '../../..'), example = join(root, 'examples/own-translator')
const folder = mkdtempSync(join(tmpdir(), 'ninefold-own-')), home = join(folder, 'home'), bin = join(home, 'node_modules/.bin/ninefold')
const npm = (cwd: string, ...words: string[]) => execFileSync('npm', [...words, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], { cwd, encoding: 'utf8' })
const [ninefold, ninep, hide] = JSON.parse(npm(root, 'pack', '.', './protocol', './examples/own-translator', '--json', '--pack-destination', folder)) as [Packed, Packed, Packed]
const tarballs = [ninefold, ninep].map(({ filename }) => join(folder, filename))
mkdirSync(home)
writeFileSync(join(home, 'package.json'), '{ "private": true, "type": "module" }')
npm(home, 'install', '--offline', ...tarballs, join(folder, hide.filename))

const test = suite('own')
test.after(() => rmSync(folder, { recursive: true, force: true }))

/** What is done with a served tree: by the program that was installed, or, a process less each time, by the client. */
interface Tree { ls(): Promise<string>; cat(path: string): Promise<string>; put(path: string, text: string): Promise<unknown> }
const byProgram = (url: string): Tree => {
  const run = async (...words: string[]) => spawnSync(bin, [...words, '--server', url], { encoding: 'utf8', input: words[0] === 'put' ? 'Hurd\n' : '' }).stdout
  return { ls: () => run('ls', '-a', '/'), cat: (path) => run('cat', path), put: (path) => run('put', '-', path) }
}
const byClient = (root: File): Tree => ({
  async ls() {
    const names: string[] = []
    for await (const { name } of root.readdir()) names.push(`${name}\n`)
    return names.sort().join('')
  },
  async cat(path) {
    await using file = await (await root.walk(...path.split('/').filter(Boolean))).open()
    return Buffer.from(await file.read(0, 4096)).toString()
  },
  async put(path, text) {
    const names = path.split('/').filter(Boolean)
    await using file = await (await root.walk(...names.slice(0, -1))).create(names.at(-1)!, O.RDWR, 0o644)
    await file.write(Buffer.from(text), 0)
  },
})
/** Runs it while a server of these words serves from a folder; it must end well after. */
async function served(cwd: string, words: readonly string[], run: (tree: Tree) => Promise<void>, { program = bin, tool = false } = {}): Promise<void> {
  const url = `unix:${join(folder, 's.sock')}`
  const server = spawn(program, words.map((word) => word === 'URL' ? url : word), { cwd, stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(server, 'close')
  try {
    const first = await Promise.race([once(createInterface(server.stdout), 'line'), ended])
    assert.type(first[0], 'string', 'it did not start')
    await using client = await connect(url)
    await run(tool ? byProgram(url) : byClient(await client.attach()))
  } finally { server.kill('SIGTERM') }
  assert.is((await ended)[0], 0)
}
const serve = (...at: string[]) => ['serve', ...at.flatMap((each) => ['--at', each]), '--listen', 'URL', '--log', 'error']
/** A folder where the package can be worked on: what was installed is there. */
const link = (dir: string) => symlinkSync(join(home, 'node_modules'), join(dir, 'node_modules'))

test('the tarball holds what runs, and the types of what it exports', () => {
  const { exports, bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { exports: Record<string, string>; bin: Record<string, string> }
  const paths = ninefold.files.map(({ path }) => path)
  for (const target of [...Object.values(exports).map((target) => target.slice(2)), ...Object.values(bin)].filter((target) => !target.includes('*'))) assert.ok(paths.includes(target), target)
  assert.equal(paths.filter((path) => path.startsWith('dist/') && path.endsWith('.js') && !paths.includes(path.replace(/\.js$/, '.d.ts'))), [])
  assert.equal(paths.filter((path) => /\.map$|\.tsbuildinfo$|\.test\.js$/.test(path) && path !== 'examples/own-translator/hide.test.js'), [])
  assert.equal(hide.files.map(({ path }) => path).sort(), ['README.md', 'hide.js', 'package.json'])
})

test('the example: at most 40 lines, which keep all promises by its own test, served as a package and as a file', async () => {
  assert.ok(readFileSync(join(example, 'hide.js'), 'utf8').trim().split('\n').length <= 40)
  const own = join(folder, 'own')
  cpSync(example, own, { recursive: true })
  link(own)
  const { stdout, stderr, status } = spawnSync('npm', ['test'], { cwd: own, encoding: 'utf8' })
  assert.is(status, 0, stdout + stderr)
  assert.match(stdout, /Total: +30\d\n +Passed: +30\d\n/)
  mkdirSync(join(own, 'd'))
  for (const name of ['.dot', '_line', 'seen']) writeFileSync(join(own, 'd', name), name)
  const sees = (words: string[], names: string, how: { program?: string; tool?: boolean } = {}) => served(own, words, async (tree) => {
    assert.is(await tree.ls(), names)
    assert.is(await tree.cat('/seen'), 'seen')
  }, how)
  await sees(serve('/=npm:ninefold-hide prefix=_ | posix ./d'), '.dot\nseen\n', { tool: true })
  await sees(serve('/=./hide.js | posix ./d'), '_line\nseen\n', { program: join(root, 'bin/ninefold') })    // whose ninefold is another copy
  writeFileSync(join(own, 'n.yaml'), `translators: npm:ninefold-*\nlisten: unix:${join(folder, 's.sock')}\nnamespace: { /: [npm:ninefold-hide: _, posix: ./d] }\n`)
  await sees(['serve', 'n.yaml', '--log', 'error'], '.dot\nseen\n')
  await sees(['serve.js', './d', 'URL'], '_line\nseen\n', { program: process.execPath })
})

for (const [kind, flags, at, works] of [
  ['layer', [], '/=./a-b.js | memory', async (tree: Tree) => { await tree.put('/note', 'Hurd\n'); assert.is(await tree.cat('/note'), 'Hurd\n') }],
  ['brick', ['--brick'], '/=./a-b.js Hurd', async (tree: Tree) => { assert.is(await tree.cat('/'), 'Hello, Hurd!\n') }],
] as const) {
  test(`create-translator makes a ${kind} that keeps its test, is what its types say, and is served`, async () => {
    const dir = join(folder, kind), make = () => spawnSync(bin, ['create-translator', 'a-b', '--dir', dir, ...flags], { cwd: folder, encoding: 'utf8' })
    const { stdout, status } = make()
    assert.is(status, 0)
    assert.equal(readdirSync(dir).sort(), ['README.md', 'a-b.js', 'a-b.test.js', 'package.json'])
    assert.is(stdout.split('Next:')[1]!.trim(), `cd ${dir} && npm install\n    npm test\n    npx ninefold serve --at '${kind === 'layer' ? '/=./a-b.js | memory' : '/=./a-b.js'}'`)
    const again = make()
    assert.equal([again.status, again.stderr], [1, `ninefold: create-translator: ${dir}: is there already. Choose another folder: --dir\n`])
    link(dir)
    const tested = spawnSync('npm', ['test'], { cwd: dir, encoding: 'utf8' })
    assert.is(tested.status, 0, tested.stdout + tested.stderr)
    await served(dir, serve(at), works)
  })
}
test('create-translator refuses names that stacks could not have, or have already', () => {
  const refused = (name: string, status: number, says: RegExp) => {
    const made = spawnSync(bin, ['create-translator', name], { cwd: home, encoding: 'utf8' })
    assert.is(made.status, status)
    assert.match(made.stderr, says)
  }
  for (const name of ['Loud', '../loud', '1st', 'a_b']) refused(name, 2, /is not a name for a translator/)
  refused('memory', 1, /ninefold has a translator of that name/)
  assert.equal(readdirSync(home).filter((name) => name !== 'node_modules').sort(), ['package-lock.json', 'package.json'])
})

test('strict TypeScript takes what the packages export, and checks what is plain JavaScript', () => {
  writeFileSync(join(folder, 'own/program.ts'), `
import { conform, type Options } from 'ninefold/conform'
import { serve, type Server } from 'ninefold/server'
import { ForwardTranslator } from 'ninefold/translators/forward'
import { memory } from 'ninefold/translators/memory/memory'
import { int, translator } from 'ninefold/translators/options'
import type { Translator } from 'ninefold/translators/translator'
const typed = translator({ name: 'typed', about: '', children: 1, options: { n: int({ about: '', default: 1 }) }, start: ({ n }, [child]) => { const m: number = n; return new ForwardTranslator(String(m), child, (root) => root) } })
export const options: Options = { quick: true }
export const make = async (): Promise<Translator> => typed({ n: 2 }, await memory({}))
export const start = async (): Promise<Server> => serve({ listen: [], namespace: new Map([['/', await make()]]) })
// @ts-expect-error: an option that it does not have
export const wrong = typed({ m: 2 }, undefined as never)
conform('typed', make, options)
`)
  const files = ['own/program.ts', 'own/hide.js', 'own/hide.test.js', 'own/serve.js', 'layer/a-b.js', 'layer/a-b.test.js', 'brick/a-b.js', 'brick/a-b.test.js']
  const words = ['--noEmit', '--strict', '--allowJs', '--checkJs', '--target', 'es2022', '--module', 'nodenext', '--lib', 'es2023,esnext.disposable', '--types', 'node', '--typeRoots', join(root, 'node_modules/@types')]
  const { stdout, status } = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), ...words, ...files], { cwd: folder, encoding: 'utf8' })
  assert.is(stdout, '')
  assert.is(status, 0)
})

test("the README's chapter, step by step", async () => {
  const chapter = readFileSync(join(root, 'README.md'), 'utf8').split('\n## A translator of your own\n')[1]!.split('\n## ')[0]!
  const commands = [...chapter.replace(/```[^]*?```/g, '').matchAll(/^ {4}(\S.*)$/gm)].map((match) => match[1]!), [create, cd, install, check, last] = commands as [string, string, string, string, string]
  assert.is(commands.length, 5)
  const sh = (cwd: string, line: string) => { const { status, stdout, stderr } = spawnSync('sh', ['-ec', line], { cwd, encoding: 'utf8' }); assert.is(status, 0, `${line}: ${stdout}${stderr}`) }
  sh(home, create)
  const shout = join(home, cd.split(' ')[1]!), sources = '../ninefold ../ninefold/protocol'
  assert.ok(install.endsWith(sources))
  sh(shout, `${install.replace(sources, tarballs.join(' '))} --offline --ignore-scripts`)                       // what a checkout is packed to
  sh(shout, check)
  const [, at] = /^npx ninefold serve --at '(.*)'$/.exec(last)!
  const own = (path: string) => async (tree: Tree) => { await tree.put(path, 'Hurd\n'); assert.is(await tree.cat(path), 'Hurd\n') }
  await served(shout, serve(at!), own('/note'), { tool: true })
  const configs = [...chapter.matchAll(/```yaml\n([^]*?)```/g)].map((match) => match[1]!)
  assert.is(configs.length, 2)
  for (const config of configs) {
    writeFileSync(join(shout, 'n.yaml'), config)
    await served(shout, ['serve', 'n.yaml', '--listen', 'URL', '--log', 'error'], own('/loud/note'))
  }
})
test.run()
