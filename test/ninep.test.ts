// ninep as a package of its own: what is in it, its README's programs, and that nothing of it but the sockets needs Node.

import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { requires } from './needs.ts'

const root = resolve(fileURLToPath(import.meta.url), '../../..'), home = join(root, 'protocol')
const readme = readFileSync(join(home, 'README.md'), 'utf8')
const [server, client] = [...readme.matchAll(/```js\n([^]*?)```/g)].map((match) => match[1]!) as [string, string]
const address = ".listen(5640, '127.0.0.1')", url = 'tcp://127.0.0.1:5640'

/** A folder where the package was installed from its tarball, and what that holds. */
const folder = mkdtempSync(join(tmpdir(), 'ninep-'))
const npm = (cwd: string, ...words: string[]) => execFileSync('npm', [...words, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], { cwd, encoding: 'utf8' })
const [packed] = JSON.parse(npm(home, 'pack', '--json', '--pack-destination', folder)) as [{ filename: string; files: { path: string }[] }]
writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }')
npm(folder, 'install', '--offline', `./${packed.filename}`)
const installed = join(folder, 'node_modules/ninep')

const running: ChildProcess[] = []
const test = suite('ninep')
test.after(() => {
  for (const child of running) child.kill()
  rmSync(folder, { recursive: true, force: true })
})

/** The README's server, from the installed package: its port. */
async function start(): Promise<number> {
  assert.ok(server.includes(address))
  writeFileSync(join(folder, 'server.js'), server.replace(address, ".listen(0, '127.0.0.1', function () { console.log(this.address().port) })"))
  const child = spawn(process.execPath, ['server.js'], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] })
  running.push(child)
  const [port] = await once(createInterface(child.stdout!), 'line') as [string]
  return Number(port)
}
const lines = (text: string) => text.trim().split('\n').length

test('the tarball holds what was built of each source, and no more', () => {
  const sources = readdirSync(home).filter((file) => file.endsWith('.ts')).map((file) => file.slice(0, -3))
  const built = packed.files.map(({ path }) => path).filter((path) => !/^dist\/[^/]+\.(js|d\.ts)$/.test(path) || sources.includes(path.replace(/^dist\/|\.(js|d\.ts)$/g, '')))
  assert.equal(built.sort(), ['LICENSE', 'README.md', 'package.json', ...sources.flatMap((name) => [`dist/${name}.js`, `dist/${name}.d.ts`])].sort())
})

test('it depends on nothing, and is all that was installed', () => {
  const { dependencies, peerDependencies, optionalDependencies } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as Record<string, object>
  assert.equal([dependencies, peerDependencies, optionalDependencies], [undefined, undefined, undefined])
  assert.equal(readdirSync(join(folder, 'node_modules')).filter((name) => !name.startsWith('.')), ['ninep'])
})

test('a server in 15 lines and a client in 10: the one lists and reads the other', async () => {
  assert.ok(lines(server) <= 15 && lines(client) <= 10, `${lines(server)} and ${lines(client)} lines`)
  const port = await start()
  assert.ok(client.includes(url))
  writeFileSync(join(folder, 'client.js'), client.replace(url, `tcp://127.0.0.1:${port}`))
  const { stdout, stderr, status } = spawnSync(process.execPath, ['client.js'], { cwd: folder, encoding: 'utf8' })
  assert.equal({ stdout, stderr, status }, { stdout: 'hello.txt\nmotd\nHello, Hurd!\n', stderr: '', status: 0 })
})

test('ninefold lists and reads it', async () => {
  const port = await start()
  const ninefold = (...words: string[]) => spawnSync(join(root, 'bin/ninefold'), [...words, '--server', `tcp://127.0.0.1:${port}`], { encoding: 'utf8' })
  assert.is(ninefold('ls', '/').stdout, 'hello.txt\nmotd\n')
  assert.is(ninefold('cat', '/motd', '/hello.txt').stdout, 'Everything is a file.\nHello, Hurd!\n')
  assert.match(ninefold('cat', '/nobody').stderr, /No such file/)
  assert.is.not(ninefold('rm', '/motd').status, 0)
})

requires(test, 'diod')("diod's clients list and read it", async () => {
  const port = await start(), env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` }
  const foreign = (program: string, ...words: string[]) => spawnSync(program, ['-s', `127.0.0.1:${port}`, '-a', '', ...words], { encoding: 'utf8', env })
  const { stdout } = foreign('diodls', '/')
  for (const name of ['hello.txt', 'motd']) assert.match(stdout, name)
  assert.is(foreign('diodcat', 'motd', 'hello.txt').stdout, 'Everything is a file.\nHello, Hurd!\n')
})

test('its types stand without those of Node, and infer what the table says', () => {
  writeFileSync(join(folder, 'program.ts'), `
import { attrOf, Client, codecs, serve, type ByteStream, type Errno, type Fields, type Handlers, type Qid } from 'ninep'
interface File { readonly qid: Qid; readonly mode: number }
declare const file: File
export const handlers: Handlers<'9P2000.u'> = { Tstat: ({ fid }) => { const n: number = fid; throw n }, Twstat: ({ stat }) => { const s: string = stat.extension; return { s } } }
export function answer(stream: ByteStream): Promise<Errno | undefined> {
  return serve<File>(stream, ({ fids, signal }) => ({
    Tattach: ({ fid, uname }) => fids.add(fid, uname === '' ? file : file),
    Tgetattr: async ({ fid, mask }) => ({ ...attrOf(fids.get(fid)), valid: mask, aborted: signal.aborted }),
    // @ts-expect-error: not what Rread is made of
    Tread: ({ offset }) => ({ count: offset }),
  }))
}
export async function ask(web: { readable: ReadableStream<Uint8Array>; writable: WritableStream<Uint8Array> }): Promise<Uint8Array> {
  const client = await Client.over(web, { msize: 8192, signal: new AbortController().signal })
  const root = await client.attach({ uid: 1000 })
  const { stat }: Fields<'Rstat', '9P2000'> = codecs['9P2000'].decoders.Rstat(new Uint8Array(99), 7, 99)
  return (await root.walk(stat.name)).read(0, 100)
}
`)
  const words = ['--noEmit', '--strict', '--target', 'es2022', '--module', 'nodenext', '--lib', 'es2023,esnext.disposable,dom', '--types', '', 'program.ts']
  const { stdout, status } = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), ...words], { cwd: folder, encoding: 'utf8' })
  assert.is(stdout, '')
  assert.is(status, 0)
})

test('a client and a server talk where there is nothing of Node', () => {
  const program = `
import { Client, isErrno, O, serve, attrOf, listing, QT, S, codecs, nameOfBytes, bytesOfName } from 'ninep'
const globals = ['Buffer', 'process', 'require', 'setImmediate', 'TextDecoder', 'queueMicrotask'].filter((name) => name in globalThis)
const there = new TransformStream(), back = new TransformStream()
let content = new Uint8Array(0)
const root = { qid: { type: QT.DIR, version: 0, path: 0n }, mode: S.IFDIR | 0o755 }
const file = { name: 'caf\\u00e9 \\udcff \\u{1f600}', qid: { type: QT.FILE, version: 1, path: 1n }, mode: S.IFREG | 0o644 }
const over = serve({ readable: there.readable, writable: back.writable }, ({ fids }) => ({
  Tattach: ({ fid }) => fids.add(fid, root),
  Twalk: (walk) => fids.walk(walk, (dir, name) => name === file.name ? file : undefined),
  Tgetattr: ({ fid }) => attrOf({ ...fids.get(fid), size: content.length }),
  Tlopen: ({ fid }) => ({ qid: fids.get(fid).qid, iounit: 0 }),
  Treaddir: (ask) => listing([file], ask),
  Tread: ({ offset, count }) => ({ data: content.subarray(offset, offset + count) }),
  Twrite({ offset, data }) {
    const grown = new Uint8Array(Math.max(content.length, offset + data.length))
    grown.set(content)
    grown.set(data, offset)
    content = grown
    return { count: data.length }
  },
  Tclunk: ({ fid }) => fids.remove(fid),
}))
const client = await Client.over({ readable: back.readable, writable: there.writable }, { msize: 65536 })
const top = await client.attach(), names = []
for await (const { name } of top.readdir()) names.push(name)
const found = await (await top.walk(names[0])).open(O.RDWR)
const bytes = Uint8Array.from({ length: 1000000 }, (_, i) => i * 7)
await found.write(bytes, 0)
const read = await found.read(0, 2000000)
let streamed = 0
for await (const piece of found.stream(10)) streamed += piece.length
const refused = await top.walk('nobody').catch((error) => isErrno(error, 'ENOENT'))
const stat = { type: 0, dev: 0, qid: root.qid, mode: 0, atime: 0, mtime: 0, length: 5, name: file.name, uid: 'u', gid: 'g', muid: '' }
const { encoders, decoders } = codecs['9P2000'], frame = new Uint8Array(200), again = decoders.Rstat(frame, 7, encoders.Rstat(1, { stat }, frame, 0)).stat
const { size } = await found.getattr()
await client.close()
export const result = {
  globals, names: names.length, name: names[0] === file.name, plain: read.constructor === Uint8Array, same: read.length === 1000000 && read.every((byte, i) => byte === bytes[i]), streamed, size,
  refused, again: again.name === file.name && again.length === 5, bytes: nameOfBytes(bytesOfName(file.name), 0, 12) === file.name, wrong: (await over) ?? null,
}
`
  const words = ['--experimental-vm-modules', '--no-warnings', join(root, 'dist/test/bare.js'), join(installed, 'dist')]
  const { stdout, stderr } = spawnSync(process.execPath, words, { input: program, encoding: 'utf8' })
  assert.is(stderr, '')
  assert.equal(JSON.parse(stdout), {
    globals: [], names: 1, name: true, plain: true, same: true, streamed: 999_990, size: 1_000_000, refused: true, again: true, bytes: true, wrong: null,
  })
})

test('without sockets connect says what to do', () => {
  const { stdout } = spawnSync(process.execPath, ['--experimental-vm-modules', '--no-warnings', join(root, 'dist/test/bare.js'), join(installed, 'dist')], {
    input: "import { connect } from 'ninep'\nexport const result = await connect('tcp://127.0.0.1:1').catch((error) => [error.code, error.message])\n", encoding: 'utf8',
  })
  const [code, message] = JSON.parse(stdout) as [string, string]
  assert.is(code, 'EOPNOTSUPP')
  assert.match(message, /Client\.over/)
})
test.run()
