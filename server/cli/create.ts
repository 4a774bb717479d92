// ninefold create-translator: a package with a translator that runs, its test, and where to go on from.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { translators } from '../translators.ts'
import { failure, Failure, Misuse } from './failure.ts'

const root = resolve(fileURLToPath(import.meta.url), '../../../..')

/** Makes it in a folder that is not there yet, and prints what to type next. Throws Failure or Misuse, and then has made nothing. */
export function create(name: string, { dir = name, brick }: { dir?: string; brick: boolean }): void {
  if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name)) throw new Misuse(`"${name}" is not a name for a translator: it is of a-z, 0-9 and -, and begins with a letter`)
  if (translators.has(name)) throw new Failure(`${name}: ninefold has a translator of that name. Logs and the state folder go by it: choose another`)
  if (existsSync(dir)) throw new Failure(`${dir}: is there already. Choose another folder: --dir`)
  const files = filesOf(name, brick)
  try {
    mkdirSync(dir, { recursive: true })
    for (const [file, content] of Object.entries(files)) writeFileSync(join(dir, file), content, { flag: 'wx' })
  } catch (e) { throw failure(dir, e) }
  console.log(`${Object.keys(files).map((file) => join(dir, file)).join('\n')}\n\nNext:\n\n    cd ${quoted(dir)} && npm install${fromCheckout(resolve(dir))}\n    npm test\n    npx ninefold serve --at '/=./${name}.js${brick ? '' : ' | memory'}'`)
}

/** What is not installed from a registry, but a checkout: it is where this runs. */
function fromCheckout(dir: string): string {
  if (!existsSync(join(root, 'tsconfig.json'))) return ''
  return [root, join(root, 'protocol')].map((folder) => ` ${quoted(relative(dir, folder))}`).join('')
}
function quoted(path: string): string { return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'` }

function filesOf(name: string, brick: boolean): Record<string, string> {
  const read = (file: string) => JSON.parse(readFileSync(join(root, file), 'utf8')) as { version: string; dependencies: Record<string, string> }
  const { version, dependencies: { ninep } } = read('package.json')
  const types = name.replace(/(^|-)(.)/g, (_, _dash, letter: string) => letter.toUpperCase())
  const fill = (text: string) => text.replaceAll('NAME', name).replaceAll('Type', types).trimStart()
  return {
    'package.json': `${JSON.stringify({
      name: `ninefold-${name}`, version: '0.1.0', description: `A translator for ninefold: ${name}`, type: 'module', exports: `./${name}.js`, files: [`${name}.js`],
      scripts: { test: `node ${name}.test.js` }, peerDependencies: { ninefold: `^${version}`, ninep },
    }, null, 2)}\n`,
    [`${name}.js`]: fill(brick ? BRICK : LAYER),
    [`${name}.test.js`]: fill(brick ? BRICK_TEST : LAYER_TEST),
    'README.md': fill(README + (brick ? BRICK_USE : LAYER_USE)),
  }
}

const LAYER = `
// @ts-check
import { ForwardHandle, ForwardNode, ForwardTranslator } from 'ninefold/translators/forward'
import { flag, translator } from 'ninefold/translators/options'
/** @import { Handle, Node } from 'ninefold/translators/translator' */

/** Turns the case of the letters in every file, on their way down and on their way back. What yours does instead: begin at TypeHandle. */
export default translator({
  name: 'NAME',
  about: 'Turn the case of the letters in every file.',
  children: 1,
  concurrent: true, // it keeps nothing, so its calls need no order
  options: { turn: flag({ about: 'whether to', default: true }) },
  start: ({ turn }, [child]) => new ForwardTranslator('NAME', child, (root) => new TypeNode(root, { turn })),
})

/** A file or directory: what is not overridden goes to the child. @extends {ForwardNode<{ readonly turn: boolean }>} */
class TypeNode extends ForwardNode {
  /** @param {Node} child */ wrap(child) { return new TypeNode(child, this.layer) }
  /** @param {Handle} child */ wrapHandle(child) { return new TypeHandle(child, this.layer) }
}

/** One that was opened. @extends {ForwardHandle<{ readonly turn: boolean }>} */
class TypeHandle extends ForwardHandle {
  /** @type {Handle['read']} */
  async read(into, offset, call) {
    const got = await this.child.read(into, offset, call) // perhaps the child's memory: not ours to change
    return this.layer.turn ? turned(got, into.subarray(0, got.length)) : got
  }
  /** @type {Handle['write']} */
  write(bytes, offset, call) { // lent by the caller: not ours to change either
    return this.child.write(this.layer.turn ? turned(bytes, new Uint8Array(bytes.length)) : bytes, offset, call)
  }
}

/** @param {Uint8Array} from @param {Uint8Array} to as long, or the same */
function turned(from, to) {
  for (const [i, byte] of from.entries()) {
    const letter = (byte | 0x20) - 97
    to[i] = letter >= 0 && letter < 26 ? byte ^ 0x20 : byte
  }
  return to
}
`
const LAYER_TEST = `
// @ts-check
import { assert, conform, get, put, suite, text } from 'ninefold/conform'
import { memory } from 'ninefold/translators/memory/memory'
import layer from './NAME.js'

conform('NAME', async () => layer({}, await memory({})), { quick: true }) // all that every translator owes, by name

const test = suite('NAME')
test('letters are stored with their case turned, and read as they were written', async () => {
  const brick = await memory({}), top = await layer({}, brick) // which owns the brick from here, and closes it
  await put(top, 'note', text('Hurd, 1990'))
  assert.equal(await get(brick, 'note'), text('hURD, 1990'))
  assert.equal(await get(top, 'note'), text('Hurd, 1990'))
  await top.close()
})
test.run()
`
const BRICK = `
// @ts-check
import { errno } from 'ninep'
import { text, translator } from 'ninefold/translators/options'
import { FileTranslator } from 'ninefold/translators/synthetic'

/** One file, made up as it is read. What yours holds instead is up to you: translators/translator.ts of ninefold is all that it may be asked. */
export default translator({
  name: 'NAME',
  about: 'A file that is made up as it is read.',
  children: 0,
  concurrent: true, // it keeps nothing, so its calls need no order
  options: { greet: text({ about: 'who is greeted', default: 'world', positional: true }) },
  start: ({ greet }, _children, env) => {
    const bytes = Buffer.from('Hello, ' + greet + '!\\n')
    return new FileTranslator('NAME', env, 0o444, {
      size: bytes.length,
      writable: false,
      open: () => ({
        read: (into, offset) => bytes.subarray(offset, offset + into.length),
        write() { throw errno('EBADF', 'write') },
      }),
    })
  },
})
`
const BRICK_TEST = `
// @ts-check
import { assert, fails, suite } from 'ninefold/conform'
import { O } from 'ninep'
import brick from './NAME.js'

// Once it is a directory that files can be made in, this holds it to all that every such translator owes:
// conform('NAME', async () => brick({}), { quick: true })

const test = suite('NAME')
test('it says what it was told to, and can only be read', async () => {
  const top = await brick({ greet: 'Hurd' }), root = await top.attach('')
  const handle = await root.open(O.RDONLY)
  assert.is(Buffer.from(await handle.read(new Uint8Array(100), 0)).toString(), 'Hello, Hurd!\\n')
  assert.is((await handle.read(new Uint8Array(100), 13)).length, 0)
  await handle.close()
  await fails('EROFS', () => root.open(O.WRONLY))
  await root.close()
  await top.close()
})
test.run()
`
const README = `
# ninefold-NAME

A translator for Ninefold: NAME.js, plain JavaScript without a build. Its types are in comments; an editor checks them, or tsc --checkJs.

    npm install
    npm test

`
const LAYER_USE = `By its path, and as a package from where it was installed:

    npx ninefold serve --at '/=./NAME.js | posix .'
    npx ninefold serve --at '/=npm:ninefold-NAME turn=off | posix .'

A config allows it by: translators: [npm:ninefold-NAME]
`
const BRICK_USE = `By its path, and as a package from where it was installed:

    npx ninefold serve --at '/NAME=./NAME.js'
    npx ninefold serve --at '/NAME=npm:ninefold-NAME everybody'

A config allows it by: translators: [npm:ninefold-NAME]
`
