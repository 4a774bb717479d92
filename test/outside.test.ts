// Translators from outside our tree: which are loaded, what is said of those that are not, and that a copy of ninefold that they
// bring along is as good as this one.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { errno, isErrno } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseConfig } from '../server/config.ts'
import { Outside } from '../server/outside.ts'
import { formatStack, parseStack } from '../server/stack.ts'
import { silent } from '../translators/options.ts'
import { fails, get, put, text } from './conform/conform.ts'
import { startStack } from './started.ts'

const root = resolve(fileURLToPath(import.meta.url), '../../..'), ninefold = join(root, 'bin/ninefold')
const folder = mkdtempSync(join(tmpdir(), 'ninefold-outside-'))
const write = (name: string, content: string) => { mkdirSync(dirname(join(folder, name)), { recursive: true }); writeFileSync(join(folder, name), content) }

// A copy of ours, and not a link to it: its classes are others.
cpSync(join(root, 'package.json'), join(folder, 'node_modules/ninefold/package.json'))
cpSync(join(root, 'dist/translators'), join(folder, 'node_modules/ninefold/dist/translators'), { recursive: true })
cpSync(join(root, 'protocol/package.json'), join(folder, 'node_modules/ninep/package.json'))
cpSync(join(root, 'protocol/dist'), join(folder, 'node_modules/ninep/dist'), { recursive: true })

/** A layer, by name, whose nodes have no file that begins with its prefix. */
const layer = (name: string, write = 'export default') => `
import { errno } from 'ninep'
  import { ForwardNode, ForwardTranslator } from 'ninefold/translators/forward'
  import { int, text, translator } from 'ninefold/translators/options'
${write} translator({
  name: '${name}', about: 'Less.', children: 1, concurrent: true,
  options: { prefix: text({ about: 'p', default: '.', positional: true }), depth: int({ about: 'd', max: 9, default: 1 }) },
  start: ({ prefix }, [child], env) => new ForwardTranslator('${name}', child, (root) => new Less(root, { prefix })),
})
class Less extends ForwardNode {
  wrap(child) { return new Less(child, this.layer) }
  walk(name) { if (name.startsWith(this.layer.prefix)) throw errno('ENOENT', 'walk', name); return super.walk(name) }
}
`
write('my/less.mjs', layer('less'))
write('my/named.mjs', `${layer('named', 'export const named =')}\nexport const other = 1`)
write('my/twin.mjs', layer('less'))
write('my/memory.mjs', layer('memory'))
write('my/throws.mjs', 'null.x')
write('my/syntax.mjs', 'export default (')
write('my/none.mjs', 'export const a = 1, b = () => 2')
write('my/empty.mjs', '')
write('my/two.mjs', `import { rot13 } from 'ninefold/translators/rot13/rot13'\nimport { memory } from 'ninefold/translators/memory/memory'\nexport { rot13, memory }`)
write('my/old.mjs', `export default Object.assign(() => {}, { edition: 99, definition: { name: 'old' }, start() {} })`)
write('my/odd.mjs', `import { translator } from 'ninefold/translators/options'\nexport default translator({ name: 'odd one', children: 0, options: {}, start() {} })`)
write('my/astray.mjs', `import 'nobody-has-this'`)
write('my/hangs.ts', '')
write('my/over.mjs', `
  import { rot13 } from 'ninefold/translators/rot13/rot13'
  import { translator } from 'ninefold/translators/options'
export default translator({ name: 'over', about: 'Two in one.', children: 1, concurrent: true, options: {}, start: (options, [child]) => rot13({ shift: 1 }, child) })`)
write('node_modules/lessen/package.json', '{ "name": "lessen", "version": "1.0.0", "type": "module", "exports": { ".": { "import": "./index.js" }, "./more": "./more.js" } }')
write('node_modules/lessen/index.js', layer('lessen'))
write('node_modules/lessen/more.js', layer('more'))
process.chdir(folder)

const outside = suite('outside')
outside.after(() => rmSync(folder, { recursive: true, force: true }))
const line = (stack: string, ...allow: string[]) => new Outside(allow).reading((known) => parseStack(stack, known))
const refusal = (promise: Promise<unknown>): Promise<string> => promise.then(() => assert.unreachable('it was taken') as never, (e: Error) => e.message)

for (const [stack, allow] of [
  ['./my/less.mjs | memory', './my/less.mjs'], ['./my/less.mjs x depth=2 | memory', './my/*.mjs'], [`${folder}/my/less.mjs | memory`, './my/../my/l*.mjs'],
  ['./my/named.mjs | memory', `${folder}/*/named.mjs`], ['rot13 | npm:lessen | memory', 'npm:lessen'], ['union (npm:lessen/more "x y" | memory, memory)', 'npm:lessen/*'],
] as const) outside(`${stack} is taken where ${allow} is allowed, and reads the same again`, async () => {
  assert.is(formatStack(await line(stack, allow)), stack)
})
for (const [stack, says, ...allow] of [
  ['./my/less.mjs | memory', /^\.\/my\/less\.mjs: is not of those that the server's owner allows, .* translators: \[\.\/my\/less\.mjs\]$/],
  ['npm:lessen | memory', /^npm:lessen: is not of those.*translators: \[npm:lesse, npm:less\*\/\*, npm:lessen\]$/, 'npm:lesse', 'npm:less*/*'],
  ['./my/sub/less.mjs | memory', /is not of those/, './my/*.mjs'], ['./my/../less.mjs | memory', /is not of those/, './my/*.mjs'], ['./my/lessxmjs | memory', /is not of those/, './my/less.mjs'],
  ['./my/nobody.mjs | memory', /^\.\/my\/nobody\.mjs: there is no file \/.*\/my\/nobody\.mjs$/, './my/*'],
  ['npm:nobody | memory', /^npm:nobody: no such package is found from \/.*\. Run there: npm install nobody$/, 'npm:*'],
  ['npm:lessen/missing | memory', /^npm:lessen\/missing: can't be loaded: .*subpath '\.\/missing'/, 'npm:lessen/*'],
  ['npm:fs | memory', /^npm:fs: "fs" is not the name of a package$/, 'npm:*'], ['npm:.. | memory', /^npm:\.\.: "\.\." is not the name/, 'npm:*'],
  ['npm:lessen/../../my/throws | memory', /is not of those/, 'npm:*'], ['npm:a:b | memory', /is not the name/, 'npm:*'],
  ['./my/throws.mjs | memory', /^\.\/my\/throws\.mjs: can't be loaded, it threw TypeError: Cannot read .* \(file:.*my\/throws\.mjs.*:1:6\)$/, './my/*'],
  ['./my/syntax.mjs | memory', /can't be loaded, it threw SyntaxError: /, './my/*'],
  ['./my/none.mjs | memory', /^\.\/my\/none\.mjs: exports no translator, only a, b\. Write: export default translator/, './my/*'],
  ['./my/empty.mjs | memory', /^\.\/my\/empty\.mjs: exports no translator\. /, './my/*'],
  ['./my/two.mjs | memory', /^\.\/my\/two\.mjs: exports 2 translators: memory, rot13\. Make one its default/, './my/*'],
  ['./my/old.mjs | memory', /^\.\/my\/old\.mjs: was made with a ninefold whose interface is edition 99; this server has 1\. Install the same/, './my/*'],
  ['./my/odd.mjs', /^\.\/my\/odd\.mjs: is no translator that can run: its name is not a word$/, './my/*'],
  ['./my/astray.mjs | memory', /^\.\/my\/astray\.mjs: \/.*\/my\/astray\.mjs imports "nobody-has-this", which is not found from there\./, './my/*'],
  ['./my/twin.mjs | memory', /^\.\/my\/twin\.mjs: calls itself less, as \.\/my\/less\.mjs does\./, './my/*'],
  ['./my/memory.mjs | memory', /^\.\/my\/memory\.mjs: calls itself memory, as one of ninefold's own does\./, './my/*'],
  ['./my/less.mjs depht=1 | memory', /^less: no option "depht"\. Did you mean "depth"\? It takes: prefix, depth\.$/, './my/*'],
  ['./my/less.mjs depth=10 | memory', /^less: depth: 10 is not an integer from 0 to 9\.$|^less: depth: "10" is not an integer from 0 to 9\.$/, './my/*'],
  ['./my/less.mjs', /^less: takes one child, not 0\./, './my/*'],
] as const) outside(`${stack} is refused where ${allow.join(' and ') || 'nothing'} is allowed`, async () => {
  assert.match(await refusal(line(stack, ...allow)), says)
})
outside('TypeScript is taken only where Node runs it', async () => {
  const says = await refusal(line('./my/hangs.ts | memory', './my/*'))
  assert.match(says, (process.features as { typescript?: unknown }).typescript ? /exports no translator/ : /^\.\/my\/hangs\.ts: Node .* does not run TypeScript\. Name the JavaScript/)
})
outside('a file that could not be loaded is loaded once it is mended', async () => {
  write('my/mended.mjs', 'null.x')
  assert.match(await refusal(line('./my/mended.mjs | memory', './my/*')), /TypeError/)
  write('my/mended.mjs', layer('mended'))
  await line('./my/mended.mjs | memory', './my/*')
})
outside('a config allows, by lines of its own, wherever they stand in it', async () => {
  const read = (yaml: string) => new Outside().reading((known) => parseConfig(yaml, 'n.yaml', known))
  const config = await read('namespace:\n  /: [{ ./my/less.mjs: { depth: 3 } }, memory]\ntranslators: [./my/less.mjs, "npm:less*"]\n')
  assert.equal([config.translators, formatStack(config.namespace.get('/')!)], [['./my/less.mjs', 'npm:less*'], './my/less.mjs depth=3 | memory'])
  assert.match(await refusal(read('namespace:\n  /a: npm:lessen | memory\n  /b: rot13 | ./my/less.mjs dpeth=1 | memory\n  /c: rot13 | ./my/throws.mjs | memory\ntranslators: [./my/*, less]\n')),
    new RegExp(['n.yaml:2:7: /a: npm:lessen: is not of those.*', 'n.yaml:3:29: /b: less: no option "dpeth".*', 'n.yaml:4:15: /c: \\./my/throws.mjs: can\'t be loaded.*', 'n.yaml:5:23: translators: "less" is neither a package nor a path. Write npm:NAME, .*'].map((says) => `^${says}$`).join('\\n'), 'm'))
})
outside('nothing is loaded that is not allowed, and no record or program that did not ask for it finds what was', async () => {
  write('my/plants.mjs', `globalThis.planted = true\n${layer('plants')}`)
  await refusal(line('./my/plants.mjs | memory'))
  assert.is((globalThis as { planted?: boolean }).planted, undefined)
  await line('./my/plants.mjs | memory', './my/*')
  assert.is((globalThis as { planted?: boolean }).planted, true)
  assert.throws(() => parseStack('./my/plants.mjs | memory'), /is not of those/)
})
outside('a copy of ninefold is as good as ours: its errnos, its factories over our bricks', async () => {
  await using stack = await startStack(await line('./my/over.mjs | ./my/less.mjs | memory', './my/*'), { path: '/x', log: silent })
  await put(stack, 'note', text('Hurd'))
  assert.equal(await get(stack, 'note'), text('Hurd'))
  await fails('ENOENT', () => get(stack, '.note'))
  const copy = await import(join(folder, 'node_modules/ninep/dist/index.js')) as typeof import('ninep')
  assert.is.not(copy.errno, errno)
  assert.ok(isErrno(copy.errno('ENOENT'), 'ENOENT') && !isErrno(copy.errno('ENOENT'), 'EIO') && copy.isErrno(errno('EIO')))
})
outside('serve takes what --at names, and says what is wrong with it', async () => {
  const url = `unix:${join(folder, 's.sock')}`
  const server = spawn(ninefold, ['serve', '--at', '/=./my/less.mjs prefix=x | memory', '--at', '/p=npm:lessen | memory', '--listen', url, '--log', 'error'], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(server, 'close')
  try {
    await once(createInterface(server.stdout), 'line')
    const run = (...words: string[]) => spawnSync(ninefold, [...words, '--server', url], { cwd: folder, encoding: 'utf8' })
    assert.is(run('mkdir', '/xa', '/b').stderr, '')
    assert.match(run('ls', '/xa').stderr, /No such file or directory/)
    assert.is(run('ls', '/b').status, 0)
  } finally { server.kill('SIGTERM') }
  assert.is((await ended)[0], 0)
  const { stderr, status } = spawnSync(ninefold, ['serve', '--at', '/=./my/none.mjs | memory'], { cwd: folder, encoding: 'utf8' })
  assert.is(status, 2)
  assert.match(stderr, /^ninefold: serve: --at \/=\.\/my\/none\.mjs \| memory: \.\/my\/none\.mjs: exports no translator, only a, b\./)
})
outside.run()
