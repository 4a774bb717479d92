// The verbs as processes, against a real server over posix and memory.

import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, symlinkSync, truncateSync, utimesSync, writeFileSync, linkSync, chmodSync, openSync, closeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { serve as startServer } from '../server/server.ts'
import { translators } from '../server/translators.ts'
import { ForwardHandle, ForwardNode, ForwardTranslator } from '../translators/forward.ts'
import { memory } from '../translators/memory/memory.ts'
import { translator } from '../translators/options.ts'
import type { DirSink, Handle, Node } from '../translators/translator.ts'
import { requires } from './needs.ts'

const root = resolve(fileURLToPath(import.meta.url), '../../..')
const bin = join(root, 'bin/ninefold')
const folder = mkdtempSync(join(tmpdir(), 'ninefold-cli-'))
const at = (...names: string[]) => join(folder, ...names)
const asRoot = process.getuid!() === 0

interface Running { readonly process: ChildProcess; readonly out: string; readonly urls: string[]; end(signal?: NodeJS.Signals): Promise<{ code: number | null; err: string }> }
/** Starts `ninefold serve` and waits for what it prints when it is ready. */
async function serve(...words: string[]): Promise<Running> {
  const child = spawn(bin, ['serve', ...words], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  all.push(child)
  let out = '', err = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => { err += text })
  const ended = new Promise<{ code: number | null; err: string }>((done) => child.once('close', (code) => done({ code, err })))
  await new Promise<void>((ready, fail) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => { out += text; if (/^mount .*\n/m.test(out)) ready() })
    void ended.then(({ code }) => fail(new Error(`serve ended with ${code}: ${err}`)))
  })
  const urls = [...out.matchAll(/^mount -t 9p -o trans=(?:tcp,port=(\d+)\S* (\S+)|unix\S* (\S+))/gm)].map((m) => m[1] ? `tcp://${m[2]}:${m[1]}` : `unix:${m[3]}`)
  return { process: child, out, urls, end(signal = 'SIGTERM') { child.kill(signal); return ended } }
}
const all: ChildProcess[] = []
let server: Running
/** Runs a verb against the server. */
function run(words: (string | Buffer)[], { input, env = {} }: { input?: string | Buffer; env?: NodeJS.ProcessEnv } = {}): { code: number | null; out: string; bytes: Buffer; err: string } {
  const { status, stdout, stderr } = spawnSync(bin, words as string[], { cwd: folder, input: input ?? '', maxBuffer: 2 ** 28, env: { ...process.env, NINEFOLD_SERVER: server.urls[0], ...env } })
  return { code: status, out: stdout.toString(), bytes: stdout, err: stderr.toString() }
}
/** Runs a verb that must succeed and say nothing wrong; its output. */
function ok(...words: string[]): string {
  const { code, out, err } = run(words)
  assert.is(err, '')
  assert.is(code, 0)
  return out
}

const test = suite('cli')
test.before(async () => {
  mkdirSync(at('host'))
  server = await serve('--at', '/=memory', '--at', `/host=posix ${at('host')}`, '--listen', `unix:${at('s.sock')}`, '--listen', 'tcp://127.0.0.1:0', '--state', at('state'))
})
test.after(async () => {
  for (const child of all) child.kill('SIGKILL')
  rmSync(folder, { recursive: true })
})

test('serve prints a tree and a mount line for each address', () => {
  assert.match(server.out, /^\/ {8}memory\n└─ host {2}posix .*\/host\n\n/)
  assert.match(server.out, `mount -t 9p -o trans=unix,version=9p2000.L,access=client,msize=1048576 ${at('s.sock')} /mnt`)
  assert.match(server.out, /mount -t 9p -o trans=tcp,port=\d+,version=9p2000\.L,access=client,msize=1048576 127\.0\.0\.1 \/mnt/)
})
test('mkdir, put, ls, cat, mv, ln, rm, on unix and tcp, on memory and a host directory', () => {
  writeFileSync(at('hello'), 'hello\n')
  for (const [i, top] of ['/work', '/host/work'].entries()) {
    const verb = (...words: string[]) => ok(...words, '--server', server.urls[i]!)
    verb('mkdir', '-p', '-m', '0750', `${top}/a/b`)
    verb('put', at('hello'), `${top}/a`)
    verb('ln', '-s', 'a/hello', `${top}/link`)
    verb('ln', `${top}/a/hello`, `${top}/second`)
    assert.is(verb('cat', `${top}/link`, `${top}/second`), 'hello\nhello\n')
    verb('mv', `${top}/second`, `${top}/a/b`)
    assert.is(verb('ls', `${top}/a`, `${top}/link`), `${top}/link\n\n${top}/a:\nb\nhello\n`)
    assert.match(verb('ls', '-l', top), /^drwxr-xr-x 3 .* a\nlrwxrwxrwx 1 .* link -> a\/hello\n$/)
    assert.is(verb('stat', `${top}/a/b`).match(/Mode: (\d+)/)?.[1], '0750')
    verb('rm', '-r', top)
    assert.is(run(['ls', top, '--server', server.urls[i]!]).code, 1)
  }
})
test('an error is one line, and the status says which kind', () => {
  for (const [words, code, err] of [
    [['ls', '/x'], 1, 'ninefold: ls: /x: No such file or directory\n'],
    [['cat', '/'], 1, 'ninefold: cat: /: Is a directory\n'],
    [['rm', '/host'], 1, 'ninefold: rm: /host: Is a directory\n'],
    [['rm', '-r', '/host'], 1, 'ninefold: rm: /host: Device or resource busy\n'],
    [['rm', '/'], 1, 'ninefold: rm: /: Device or resource busy\n'],
    [['rm', '-f', '/x'], 0, ''],
    [['put', '/nowhere', '/'], 1, 'ninefold: put: /nowhere: No such file or directory\n'],
    [['get', '/x', '.'], 1, 'ninefold: get: /x: No such file or directory\n'],
    [['get', '/host', '.'], 1, 'ninefold: get: /host: Is a directory. Copy it with -r, or -a\n'],
    [['mkdir', '/host'], 1, 'ninefold: mkdir: /host: File exists\n'],
    [['mkdir', '-m', 'rwx', '/x'], 2, 'ninefold: mkdir: -m takes permission bits in octal, like 0750, not "rwx". See: ninefold mkdir --help\n'],
    [['xattr', 'get', '/host', 'user.none'], 1, 'ninefold: xattr: /host: user.none: No such attribute\n'],
    [['xattr', 'set', '/host', 'user.none'], 2, 'ninefold: xattr: set takes a value; - is standard input. See: ninefold xattr --help\n'],
    [['ls', '--jsn=1', '/'], 2, 'ninefold: ls: no option "--jsn". Did you mean "--json"? See: ninefold ls --help\n'],
    [['ls', '-lR'], 2, 'ninefold: ls: no option "-R". See: ninefold ls --help\n'],
    [['mv', '/a'], 2, 'ninefold: mv: TO is missing. Write: ninefold mv FROM TO. See: ninefold mv --help\n'],
    [['mv', '/a', '/b', '/c'], 2, 'ninefold: mv: "/c" is one word too many. Write: ninefold mv FROM TO. See: ninefold mv --help\n'],
    [['xattr', 'lst', '/'], 2, 'ninefold: xattr: "lst" is not one of list, get, set, remove. Did you mean "list"? See: ninefold xattr --help\n'],
    [['serve', '--log', 'loud'], 2, 'ninefold: serve: --log: "loud" is not one of debug, info, warn, error, silent. See: ninefold serve --help\n'],
    [['ls', '/', '--server'], 2, 'ninefold: ls: --server takes a value. See: ninefold ls --help\n'],
    [['ls', '--uid', 'root'], 2, 'ninefold: ls: --uid takes a number, not "root". A user by name is --user. See: ninefold ls --help\n'],
    [['ls', '--uid', '1', '--user', 'x'], 2, 'ninefold: ls: --user and --uid exclude each other. See: ninefold ls --help\n'],
    [['ls', '--server', 'unix:/x', '--server', 'here'], 2, 'ninefold: ls: "here" is no server\'s address. Write unix:SOCKET or tcp://HOST:PORT. See: ninefold ls --help\n'],
    [['lss'], 2, 'ninefold: no verb "lss". Did you mean "ls"? There are: serve, schema, create-translator, ls, stat, cat, put, get, rm, mkdir, mv, ln, key, xattr, settrans, showtrans, fsysopts, snapshot, gc, fsck, reload, explain, top, mount, umount, bench, events, version, completion. See: ninefold --help\n'],
    [['rm', '-r', ''], 1, 'ninefold: rm: "": No such file or directory\n'],
    [[], 2, 'ninefold: a verb is missing. See: ninefold --help\n'],
    [['ls', '--server', 'unix:/nowhere.sock'], 1, 'ninefold: ls: unix:/nowhere.sock: No such file or directory. Is it running? Start it: ninefold serve, or name another: --server\n'],
    [['ls', '--aname', '/x'], 1, `ninefold: ls: ${server.urls[0]}: attach /x: No such file or directory\n`],
  ] as const) {
    const got = run([...words])
    assert.is(got.err, err)
    assert.is(got.code, code, words.join(' '))
  }
})
test('rm -r stays out of what is mounted', () => {
  ok('mkdir', '-p', '/host/kept/inside')
  assert.is(run(['rm', '-r', '/host']).err, 'ninefold: rm: /host: Device or resource busy\n')
  assert.is(ok('ls', '/host/kept'), 'inside\n')
  ok('rm', '-r', '/host/kept')
})
test('serve --help tells of every translator and option', () => {
  const help = ok('serve', '--help')
  for (const { definition: { name, options } } of translators.values()) {
    assert.match(help, new RegExp(`^  ${name}\\b`, 'm'))
    for (const [key, { positional }] of Object.entries(options)) assert.match(help, new RegExp(`^    ${positional ? key.toUpperCase() : `${key}=`}`, 'm'))
  }
  assert.match(help, /size=1GiB .*\n.*\n +mode=01777 /)
})
test('one of several that fails does not stop the others', () => {
  ok('mkdir', '/many')
  const { code, out, err } = run(['ls', '/nope', '/many', '/nor'])
  assert.is(code, 1)
  assert.is(out, '/many:\n')
  assert.is(err.trim().split('\n').length, 2)
})
test('standard input and output', () => {
  const bytes = randomBytes(9_000_000)
  assert.is(run(['put', '-', '/stdin'], { input: bytes }).code, 0)
  assert.equal(run(['cat', '/stdin']).bytes, bytes)
  assert.equal(run(['get', '/stdin', '-']).bytes, bytes)
  assert.is(run(['put', '-', '/stdin'], { input: '' }).code, 0)
  assert.is(run(['cat', '/stdin']).bytes.length, 0)
})
test('Ctrl-C in a copy says what it leaves', async () => {
  const child = spawn(bin, ['put', '-', '/half'], { cwd: folder, env: { ...process.env, NINEFOLD_SERVER: server.urls[0] } })
  all.push(child)
  let err = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => { err += text })
  for (let i = 0; i < 100 && run(['stat', '/half']).code !== 0; i++) await new Promise((done) => setTimeout(done, 50))
  const ended = new Promise((done) => child.once('close', (_, signal) => done(signal)))
  child.kill('SIGINT')
  assert.is(await ended, 'SIGINT')
  assert.is(err, 'ninefold: put: /half: interrupted. What was written stays, and may be a part of a file\n')
  ok('rm', '/half')
})
test('names are bytes, from the command line to the listing', () => {
  const name = Buffer.from('n\xff\x01é', 'latin1')                                            // not UTF-8
  writeFileSync(at('x'), 'x')
  const script = (verb: string) => spawnSync('sh', ['-c', `${verb}`], { cwd: folder, env: { ...process.env, BIN: bin, NINEFOLD_SERVER: server.urls[0], NAME: 'x' } })
  for (const top of ['/', '/host/']) {
    const path = `"$(printf '${top}n\\377\\001\\351')"`
    assert.is(script(`"$BIN" put x ${path}`).status, 0)
    assert.equal(script(`"$BIN" cat ${path}`).stdout.toString(), 'x')
    assert.ok(script(`"$BIN" ls ${top}`).stdout.includes(Buffer.concat([name, Buffer.from('\n')])))
    assert.match(script(`"$BIN" ls --json ${top}`).stdout.toString(), '"n\\udcff\\u0001\\udce9"')
    assert.equal(script(`"$BIN" rm ${path}`).status, 0)
  }
})
test('a word that looks like a flag stands behind --', () => {
  assert.is(run(['put', '--', '-', '/-'], { input: 'dash' }).code, 0)
  assert.is(ok('cat', '--', '/-'), 'dash')
  ok('xattr', 'set', '--', '/-', 'user.n', '-5')
  assert.is(ok('xattr', 'get', '/-', 'user.n'), '-5')
})
test('links are followed on the way, not too often, and .. after them is of what they lead to', () => {
  ok('mkdir', '-p', '/links/real/deep')
  ok('ln', '-s', '/links/real/deep', '/links/abs')
  ok('ln', '-s', 'abs/..', '/links/up')
  ok('ln', '-s', 'loop', '/links/loop')
  assert.is(run(['put', '-', '/links/abs/f'], { input: 'f' }).code, 0)
  assert.is(ok('cat', '/links/real/deep/f'), 'f')
  assert.is(ok('cat', '/links/up/deep/f'), 'f')
  assert.is(ok('ls', '/links/up'), 'deep\n')
  assert.match(run(['cat', '/links/loop']).err, 'Too many levels of symbolic links')
  assert.is(ok('stat', '/links/loop').match(/Kind: (\w+)/)?.[1], 'link')
  ok('ln', '-s', 'real/deep/f', '/links/file')
  assert.is(run(['put', '-', '/links/file'], { input: 'through' }).code, 0)
  assert.is(ok('cat', '/links/real/deep/f'), 'through')
})
test('xattr: set, get, list, remove, as bytes and JSON', () => {
  run(['put', '-', '/host/x'], { input: '' })
  ok('xattr', 'set', '/host/x', 'user.one', 'first')
  assert.is(run(['xattr', 'set', '/host/x', 'user.two', '-'], { input: Buffer.from([0, 255]) }).code, 0)
  assert.is(ok('xattr', 'list', '/host/x'), 'user.one\nuser.two\n')
  assert.equal(run(['xattr', 'get', '/host/x', 'user.two']).bytes, Buffer.from([0, 255]))
  assert.equal(JSON.parse(ok('xattr', 'get', '/host/x', 'user.two', '--json')), { path: '/host/x', name: 'user.two', value: 'AP8=' })
  ok('xattr', 'remove', '/host/x', 'user.one')
  assert.equal(JSON.parse(ok('xattr', 'list', '/host/x', '--json')), ['user.two'])
})
test('stat and ls print JSON', () => {
  writeFileSync(at('host/j'), 'json')
  utimesSync(at('host/j'), 981173106.5, 981173106.5)
  const [one] = JSON.parse(ok('stat', '--json', '/host/j')) as [{ size: number; mtime: string; kind: string; mode: string }]
  assert.equal([one.size, one.mtime, one.kind, one.mode], [4, '2001-02-03T04:05:06.500000000Z', 'file', (statSync(at('host/j')).mode & 0o7777).toString(8).padStart(4, '0')])
  assert.ok((JSON.parse(ok('ls', '--json', '/host')) as { name: string; path: string }[]).some(({ name, path }) => name === 'j' && path === '/host/j'))
})

/** A tree with what -a has to keep. */
function makeTree(top: string): void {
  mkdirSync(join(top, 'd/empty'), { recursive: true })
  writeFileSync(join(top, 'small'), 'small')
  writeFileSync(join(top, 'large'), randomBytes(5_000_001))
  linkSync(join(top, 'small'), join(top, 'd/second'))
  symlinkSync('../small', join(top, 'd/link'))
  symlinkSync('/nowhere', join(top, 'dangling'))
  writeFileSync(join(top, 'sparse'), 'head')
  truncateSync(join(top, 'sparse'), 2 ** 27)
  chmodSync(join(top, 'small'), 0o640)
  chmodSync(join(top, 'd/empty'), 0o511)
  writeFileSync(Buffer.concat([Buffer.from(join(top, 'b')), Buffer.from([0xff, 0x0a])]), 'bytes')
  if (asRoot) spawnSync('chown', ['1000:1001', join(top, 'large')])
  spawnSync('mkfifo', [join(top, 'fifo')])
  spawnSync('setfattr', ['-n', 'user.note', '-v', 'kept', join(top, 'small')])
  for (const name of ['small', 'large', 'd/empty', 'd']) spawnSync('touch', ['-d', '2001-02-03 04:05:06.123456789', join(top, name)])
}
/** All that find and getfattr see of a tree. */
function picture(top: string): string {
  const { stdout } = spawnSync('sh', ['-c', `find . -printf '%P %y %m %n %U %G %s %T@ %l\\n' | sort; getfattr -R -h -d . 2>/dev/null; find . -type f | sort | xargs -d '\\n' md5sum 2>/dev/null`], { cwd: top })
  return stdout.toString('latin1').split('\n').filter((line) => !line.startsWith(' d ')).join('\n')   // the top itself is made by whoever copied
}
for (const side of ['/tree', '/host/tree']) {
  requires(test, 'setfattr', 'getfattr')(`put -a and get -a keep a tree as it is, by way of ${side}`, () => {
    const from = at(`from${side.replaceAll('/', '_')}/tree`), to = at(`to${side.replaceAll('/', '_')}`)
    makeTree(from)
    ok('put', '-a', from, side)
    ok('get', '-a', side, to)
    const whole = picture(from)
    assert.equal(picture(to), whole)
    assert.ok(statSync(join(to, 'sparse')).blocks * 512 < 2 ** 20, 'holes stay holes')
    assert.is(statSync(join(to, 'small')).ino, statSync(join(to, 'd/second')).ino)
    assert.is(readlinkSync(join(to, 'd/link')), '../small')
    ok('put', '-a', from, side.slice(0, -'/tree'.length) || '/')                               // again, over what is there
    ok('get', '-a', side, to + '-again')
    assert.equal(picture(join(to + '-again')), whole)
    ok('rm', '-r', side)
  })
}
test('put -r and get -r copy a tree, and leave what only -a takes', () => {
  const { code, err } = run(['put', '-r', at('from_tree/tree'), '/plain'])
  assert.is(code, 1)
  assert.match(err, /^ninefold: put: .*\/fifo: is no regular file\. Copy it with -a\n$/)
  ok('get', '-r', '/plain', at('plain'))
  assert.equal(readFileSync(at('plain/large')), readFileSync(at('from_tree/tree/large')))
  assert.is(readlinkSync(at('plain/d/link')), '../small')
  assert.not.ok(existsSync(at('plain/fifo')))
})
test('a tree goes into a directory that is there, a file over one that is', () => {
  ok('mkdir', '/into')
  ok('put', '-r', at('plain/d'), '/into')
  assert.is(ok('ls', '/into/d'), 'empty\nlink\nsecond\n')
  writeFileSync(at('longer'), 'longer text')
  ok('put', at('longer'), '/into/f')
  ok('put', at('hello'), '/into/f')
  assert.is(ok('cat', '/into/f'), 'hello\n')
  mkdirSync(at('here'))
  ok('get', '/into/f', at('here'))
  assert.is(readFileSync(at('here/f'), 'utf8'), 'hello\n')
})
test('a link that stands where a tree is copied to leads nowhere', () => {
  ok('mkdir', '-p', '/evil/sub')
  run(['put', '-', '/evil/sub/f'], { input: 'out' })
  mkdirSync(at('victim/evil'), { recursive: true })
  mkdirSync(at('outside'))
  symlinkSync(at('outside'), at('victim/evil/sub'))
  const { code, err } = run(['get', '-r', '/evil', at('victim')])
  assert.is(code, 1)
  assert.match(err, 'victim/evil/sub: is there, and is not a directory')
  assert.not.ok(existsSync(at('outside/f')))
})
test('a name that a server made up does not lead out of the tree', async () => {
  class Liar extends ForwardNode<object> {
    protected override wrap(child: Node) { return new Liar(child, this.layer) }
    protected override wrapHandle(child: Handle) { return new Lies(child, this.layer) }
    override walk(name: string) { return super.walk(name.replace('../', '')) }
  }
  class Lies extends ForwardHandle<object> {
    override readdir(cookie: bigint, sink: DirSink, mask: number) {
      return this.child.readdir(cookie, { add: (path, type, cookie, name, attr) => sink.add(path, type, cookie, `../${String(name)}`, attr) }, mask)
    }
  }
  const liar = translator({ name: 'liar', about: 'lists what it likes', children: 1, options: {}, start: (_, [child]) => new ForwardTranslator('liar', child, (root) => new Liar(root, {})) })
  const brick = await memory({})
  const made = await (await brick.attach('')).create('escaped', 2, 0o644, { uid: 0, gid: 0 })
  await made.handle.close()
  const host = await startServer({ listen: [`unix:${at('liar.sock')}`], namespace: new Map([['/', await liar({}, brick)]]) })
  mkdirSync(at('cage'))
  const child = spawn(bin, ['get', '-r', '/', at('cage/in'), '--server', `unix:${at('liar.sock')}`], { stdio: ['ignore', 'ignore', 'pipe'] })
  let err = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => { err += text })
  assert.is(await new Promise((done) => child.once('close', done)), 1)
  await host.stop()
  assert.match(err, /^ninefold: get: .*the server lists a file called "..\/escaped"\n$/)
  assert.not.ok(existsSync(at('cage/escaped')))
})
test('progress tells bytes, a rate and files', () => {
  const { code, err } = run(['put', '-r', '--progress', at('plain'), '/progress'])
  assert.is(code, 0)
  assert.match(err, /\d MiB of 13\d MiB {2}[\d.]+ [KMG]?i?B\/s/)
  assert.match(err, /\d files/)
})
test('a disk that is full is told with what is left there', async () => {
  const small = await serve('--at', '/=memory size=1MiB', '--listen', `unix:${at('small.sock')}`)
  const { code, err } = run(['put', at('plain/large'), '/large', '--server', small.urls[0]!])
  assert.is(code, 1)
  assert.match(err, /^ninefold: put: .*\/plain\/large: No space left on device\. What was written of it, at most .* of 4\.8 MiB, is left as \/large\n$/)
  await small.end()
})
test('cat of 10 GiB runs in constant memory', async () => {
  const shm = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : folder, 'ninefold-cli-'))     // holes cost nothing there, not even cache
  try {
    closeSync(openSync(join(shm, 'huge'), 'w'))
    truncateSync(join(shm, 'huge'), 10 * 2 ** 30)
    const host = await serve('--at', `/=posix ${shm}`, '--listen', `unix:${at('huge.sock')}`)
    const child = spawn(bin, ['cat', '/huge', '--server', host.urls[0]!], { stdio: ['ignore', openSync('/dev/null', 'w'), 'inherit'] })
    const peak = new Map<string, number>()                 // KiB
    const timer = setInterval(() => {
      for (const [who, { pid }] of [['client', child], ['server', host.process]] as const) {
        try { peak.set(who, Math.max(peak.get(who) ?? 0, Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0))) } catch { /* it has just ended */ }
      }
    }, 50)
    const code = await new Promise((done) => child.once('close', done))
    clearInterval(timer)
    assert.is(code, 0)
    for (const [who, most] of peak) assert.ok(most > 10_000 && most < 200 * 1024, `peak of ${who}: ${most} KiB`)
    await host.end()
  } finally {
    rmSync(shm, { recursive: true })
  }
})
test('what cat writes is what is there, a hundred megabytes through a pipe', () => {
  const bytes = randomBytes(100_000_003)
  writeFileSync(at('host/random'), bytes)
  const sum = (b: Buffer) => createHash('sha256').update(b).digest('hex')
  assert.is(sum(run(['cat', '/host/random']).bytes), sum(bytes))
})
test('a reader that leaves ends cat without a word', () => {
  const { status, stderr, stdout } = spawnSync('sh', ['-c', `"${bin}" cat /host/random | head -c 5 | wc -c`], { env: { ...process.env, NINEFOLD_SERVER: server.urls[0] } })
  assert.is(stderr.toString(), '')
  assert.is(stdout.toString().trim(), '5')
  assert.is(status, 0)
})
if (asRoot) {
  test('--uid and --user act as somebody else', () => {
    ok('mkdir', '-m', '0700', '/private')
    assert.match(run(['ls', '/private', '--uid', '12345']).err, '/private: Permission denied')
    assert.match(run(['ls', '/private', '--user', 'nobody']).err, '/private: Permission denied')
    ok('mkdir', '-m', '0777', '/open')
    ok('mkdir', '/open/theirs', '--uid', '12345')
    assert.match(ok('ls', '-l', '/open'), / 12345 /)
  })
}
test('completion knows verbs, flags and paths of the server', () => {
  const words = (...line: string[]) => {
    const { out, err } = run(['--get-yargs-completions', 'ninefold', ...line])
    assert.is(err, '')                                     // it would stand in the line that is being typed
    return out.trim().split('\n')
  }
  assert.ok(words('mk').some((word) => word.startsWith('mkdir')))
  assert.ok(words('ls', '--js').includes('--json'))
  ok('mkdir', '-p', '/complete/one')
  const remote = ['/complete/'], none = ['']
  for (const [line, found] of [
    [['ls', '/compl'], remote], [['ls', '-l', '/compl'], remote], [['ls', '--server', server.urls[1]!, '/compl'], remote], [['rm', '-r', '--', '/compl'], remote],
    [['put', '/compl'], none], [['put', '-a', '/compl'], none], [['put', '-a', './x', '/compl'], remote], [['put', '-', '/compl'], remote],
    [['get', '-a', '/compl'], remote], [['get', '/complete', '/compl'], none], [['mkdir', '-m', '0700', '/compl'], remote], [['serve', '/compl'], none],
    [['ls', '--aname', '/complete', '/o'], ['/one/']], [['ls', '--server', 'unix:/nowhere', '/compl'], none],
  ] as const) assert.equal(words(...line), found, line.join(' '))
  assert.ok(words('ls', '--').includes('--json'))
  for (const flag of ['-a', '-p', '-g', '-f', '--timeout']) assert.ok(words('settrans', '-').includes(flag) || words('settrans', '--').includes(flag), flag)
  assert.ok(words('showtrans', '--pa').includes('--passive'))
  for (const [line, found] of [
    [['settrans', '/x', 'ro'], ['rot13']], [['settrans', '-a', '--timeout', '3', '/x', 'rot'], ['rot13']], [['settrans', '/compl'], remote], [['settrans', '-g', '/compl'], remote],
    [['settrans', '/x', 'rot13', ''], ['shift=']], [['settrans', '/x', 'rot13', 'shift=3', '\\|', 'mem'], ['memory']], [['settrans', '/x', 'rot13', "'|'", 'memory', 's'], ['size=']],
    [['settrans', '/x', 'posix', './'], none], [['serve', '--at', '/x=rot'], ['/x=rot13']], [['serve', '--at', '/compl'], none],
    [['showtrans', '/compl'], remote], [['explain', '/compl'], remote], [['fsysopts', '/compl'], remote], [['fsysopts', '/', 'si'], ['size=']], [['fsysopts', '/nope', ''], none],
  ] as const) assert.equal(words(...line), found, line.join(' '))
  assert.ok(words('ls', '--').includes('-l'))
  assert.match(ok('completion'), 'ninefold')
})
test('every verb has --help with an example', () => {
  const verbs = [...ok('--help').matchAll(/^ {2}ninefold (\S+)/gm)].map((match) => match[1]!)
  for (const verb of ['serve', 'ls', 'cat', 'put', 'get', 'rm', 'mkdir', 'mv', 'ln', 'stat', 'xattr', 'version']) assert.ok(verbs.includes(verb), verb)
  for (const verb of ['serve', 'put', 'xattr']) assert.match(ok(verb, '--help'), /Examples:\n(.*\n)*? {2}(.*\| )?ninefold /)
  assert.match(ok('version'), /^\d+\.\d+\.\d+\n$/)
})
test('a server of another kind is no server', () => {
  for (const url of ['ftp://x', 'unix:', 'tcp://127.0.0.1', 'tcp://127.0.0.1:x']) {
    const hostile = run(['ls', '--server', url])
    assert.is(hostile.code, 2)
    assert.is(hostile.err, `ninefold: ls: "${url}" is no server's address. Write unix:SOCKET or tcp://HOST:PORT. See: ninefold ls --help\n`)
  }
  const nobody = run(['ls', '--server', 'tcp://nowhere.invalid:5640'])
  assert.is(nobody.code, 1)
  assert.is(nobody.err, 'ninefold: ls: tcp://nowhere.invalid:5640: no such host\n')
})
test.run()

const life = suite('serve')
life('SIGTERM ends it with 0, and the socket is gone', async () => {
  const running = await serve('--at', '/=memory', '--listen', `unix:${at('term.sock')}`)
  assert.ok(existsSync(at('term.sock')))
  const { code, err } = await running.end()
  assert.is(code, 0)
  assert.match(err, '"msg":"stopped"')
  assert.not.ok(existsSync(at('term.sock')))
})
life('SIGINT does too', async () => {
  const running = await serve('--at', '/=memory', '--listen', `unix:${at('int.sock')}`)
  assert.is((await running.end('SIGINT')).code, 0)
})
life('a wrong config is refused whole, with its lines, and nothing is left', () => {
  writeFileSync(at('wrong.yaml'), `listen: unix:${at('wrong.sock')}\nnamespace:\n  /: memory sise=1\n  /x: posxi .\n`)
  const { status, stderr, stdout } = spawnSync(bin, ['serve', 'wrong.yaml'], { cwd: folder, encoding: 'utf8' })
  assert.is(status, 1)
  assert.is(stdout, '')
  assert.match(stderr, /^ninefold: serve: wrong\.yaml:3:13: \/: memory: no option "sise"\. Did you mean "size"\?.*\nninefold: serve: wrong\.yaml:4:7: \/x: no translator "posxi"\. Did you mean "posix"\?.*\n$/)
  assert.not.ok(existsSync(at('wrong.sock')))
})
for (const [what, words, code, says] of [
  ['no config and no mount', [], 2, 'nothing to serve. Name a config or a mount: ninefold serve --at /=memory'],
  ['a config that is not there', ['none.yaml'], 1, 'none.yaml: No such file or directory'],
  ['--at without a stack', ['--at', 'memory'], 2, '--at memory: is not PATH=STACK, like /scratch=memory'],
  ['--at with a wrong stack', ['--at', '/=memroy'], 2, '--at /=memroy: no translator "memroy". Did you mean "memory"?'],
  ['--listen of another kind', ['--at', '/=memory', '--listen', 'http://x'], 2, '--listen http://x: is no place to listen.'],
  ['an address beyond this host that lets nobody in', ['--at', '/=memory', '--listen', 'tcp://0.0.0.0:0'], 1, 'tcp://0.0.0.0:0: is not loopback, and no attach point says who may come in.'],
  ['a folder for the socket that cannot be made', ['--at', '/=memory', '--listen', 'unix:/dev/null/x.sock'], 1, 'unix:/dev/null/x.sock: '],
  ['a directory that is not there', ['--at', '/=posix ./nope'], 1, '/: posix: ./nope: there is no such directory. Make it: mkdir -p'],
] as const) {
  life(`serve refuses ${what}`, () => {
    const { status, stderr } = spawnSync(bin, ['serve', ...words], { cwd: folder, encoding: 'utf8', timeout: 20_000 })
    assert.ok(stderr.startsWith(`ninefold: serve: ${says}`), stderr)
    assert.is(status, code)
  })
}
life('a socket that is alive is not taken away', async () => {
  const first = await serve('--at', '/=memory', '--listen', `unix:${at('one.sock')}`)
  const { status, stderr } = spawnSync(bin, ['serve', '--at', '/=memory', '--listen', `unix:${at('one.sock')}`], { cwd: folder, encoding: 'utf8', timeout: 20_000 })
  assert.is(status, 1)
  assert.match(stderr, 'a server listens there already')
  assert.is((await first.end()).code, 0)
})
life.before(() => { mkdirSync(folder, { recursive: true }) })
life.after(() => {
  for (const child of all) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})
life.run()
