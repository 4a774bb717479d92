// The control tree, and the verbs over it: a real server, as a process, and real clients.

import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync, chmodSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { connect, isErrno, O } from 'ninep'
import type { Client, Dialect, File } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { main } from '../server/cli/main.ts'
import { Words, quote } from '../server/control/words.ts'

const bin = join(resolve(fileURLToPath(import.meta.url), '../../..'), 'bin/ninefold')
const folder = mkdtempSync(join(tmpdir(), 'ninefold-ctl-'))
const at = (...names: string[]) => join(folder, ...names)
const all: ChildProcess[] = []

interface Running { readonly process: ChildProcess; readonly url: string; readonly tcp: string; err(): string; ended: Promise<number | null> }
/** Starts a server on s.sock of a folder of its own, and tcp. */
async function serving(name: string, ...words: string[]): Promise<Running> {
  const dir = at(name)
  mkdirSync(dir, { recursive: true })
  const child = spawn(bin, ['serve', ...words, '--listen', `unix:${dir}/s.sock?mode=0666`, '--listen', 'tcp://127.0.0.1:0'], { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] })
  all.push(child)
  let out = '', err = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => { err += text })
  const ended = new Promise<number | null>((done) => child.once('close', done))
  await new Promise<void>((ready, fail) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => { out += text; if (/^mount .*tcp.*\n/m.test(out)) ready() })
    void ended.then((code) => fail(new Error(`serve ended with ${code}: ${err}`)))
  })
  return { process: child, url: `unix:${dir}/s.sock`, tcp: `tcp://127.0.0.1:${/trans=tcp,port=(\d+)/.exec(out)![1]}`, err: () => err, ended }
}
/** Runs a verb in this process: a process for each would take a third of a second. */
async function cli(server: Running, words: readonly string[]): Promise<{ code: number | undefined; out: string; err: string }> {
  const streams = [process.stdout, process.stderr] as const, said = ['', ''], writes = streams.map((stream) => stream.write)
  process.env.NINEFOLD_SERVER = server.url
  streams.forEach((stream, i) => {
    stream.write = ((bytes: Uint8Array | string, ...more: unknown[]) => {
      said[i] += Buffer.from(bytes as string).toString()
      const done = more.at(-1)
      if (typeof done === 'function') done()
      return true
    }) as typeof stream.write
  })
  try {
    await main(words)
    return { code: Number(process.exitCode ?? 0), out: said[0]!, err: said[1]! }
  } finally {
    streams.forEach((stream, i) => { stream.write = writes[i]! })
    process.exitCode = undefined
  }
}
async function ok(server: Running, ...words: string[]): Promise<string> {
  const { code, out, err } = await cli(server, words)
  assert.is(err, '', words.join(' '))
  assert.is(code, 0)
  return out
}
async function attached<T>(server: Running, use: (root: File, client: Client) => Promise<T>, dialect?: Dialect): Promise<T> {
  const client = await connect(server.url, dialect ? { dialect: [dialect] } : {})
  try { return await use(await client.attach({ aname: 'ctl', ...dialect === '9P2000' ? { uname: 'root' } : {} }), client) } finally { await client.close() }
}
async function read(root: File, ...names: string[]): Promise<string> {
  await using file = await (await root.walk(...names)).open(O.RDONLY)
  return Buffer.from(await file.read(0, 1 << 20)).toString()
}
async function names(dir: File): Promise<string[]> {
  const found: string[] = []
  for await (const { name } of dir.readdir()) if (name !== '.' && name !== '..') found.push(name)
  return found
}
/** Waits for what must come. */
async function until<T>(find: () => T | undefined | false | Promise<T | undefined | false>, what: string): Promise<T> {
  for (let end = Date.now() + 60_000; ;) {
    const found = await find()
    if (found !== undefined && found !== false) return found
    if (Date.now() > end) throw new Error(`${what} did not come`)
    await new Promise((done) => setTimeout(done, 10))
  }
}

const test = suite('ctl')
let server: Running
test.before(async () => {
  chmodSync(folder, 0o755)
  process.stdout.setMaxListeners(0)
  server = await serving('main', '--at', '/=memory', '--at', '/r=rot13 shift=3 | memory')
})
test.after(() => {
  for (const child of all) child.kill('SIGKILL')
  rmSync(folder, { recursive: true })
})

for (const dialect of ['9P2000.L', '9P2000.u', '9P2000'] as const) test(`the tree in ${dialect}`, () => attached(server, async (root) => {
  assert.equal(await names(await root.clone()), ['ctl', 'events', 'namespace', 'passive', 'translators', 'connections'])
  assert.equal(await names(await root.walk('translators', '2')), ['stack', 'options', 'stats', 'state', 'log'])
  assert.is(await read(root, 'namespace'), 'settrans -a / memory\nsettrans -a /r rot13 shift=3 | memory\n')
  assert.is(await read(root, 'translators', '2', 'stack'), 'rot13 shift=3 | memory\n')
  assert.match(await read(root, 'translators', '2', 'state'), /^path=\/r state=running since=\d{4}-\S+Z fids=0 layers=2\n$/)
  assert.match(await read(root, 'translators', '2', 'options'), /^0 rot13\n0 rot13 shift=3\n1 memory\n1 memory size=\d+ live\n/)
  const mine = (await names(await root.walk('connections'))).at(-1)!
  assert.is(await read(root, 'connections', mine, 'peer'), `kind=unix uid=${process.getuid!()} on=${server.url}?mode=0666\n`)
  assert.match(await read(root, 'connections', mine, 'user'), /^uid=0 gid=0 groups=0\S* root=\/\n$/)
  assert.match(await read(root, 'connections', mine, 'stats'), new RegExp(`^since=\\S+ dialect=${dialect.replaceAll('.', '\\.')} msize=\\d+ requests=\\d+ pending=\\d fids=\\d handles=\\d received=\\d{3,} sent=\\d{3,} unsent=0\n$`))
  const fids = await read(root, 'connections', mine, 'fids')
  assert.match(fids, /^\d+ mount=\(ctl\) qid=\d+ uid=0\n/)
  assert.match(fids, /^\d+ mount=\(ctl\) name=fids qid=\d+ uid=0 state=opening\n/m)
  for (const path of [['nope'], ['translators', '99'], ['translators', '02'], ['connections', '0'], ['ctl', 'x']]) {
    try { await root.walk(...path); assert.unreachable() } catch (e) { assert.ok(isErrno(e), String(e)) }
  }
}, dialect))

test('a connection tells who is at its other end, as whom he came in, and what he has open', async () => {
  const client = await connect(server.tcp), uid = process.getuid!()
  await attached(server, async (ctl) => {
    const root = await client.attach({}), below = await client.attach({ aname: '/r' })
    const all = await Promise.all((await names(await ctl.walk('connections'))).map(async (number) => ({ number, peer: await read(ctl, 'connections', number, 'peer') })))
    const { number, peer } = all.find(({ peer }) => peer.startsWith('kind=tcp '))!
    const told = (file: string) => read(ctl, 'connections', number, file)
    assert.is(peer, `kind=tcp uid=${uid} address=127.0.0.1 on=tcp://127.0.0.1:0\n`)          // as it was asked for
    assert.equal((await told('user')).trimEnd().split('\n').map((line) => line.replace(/ gid=.* root=/, ' root=')), [`uid=${uid} root=/`, `uid=${uid} root=/r`])
    const before = /requests=(\d+)/.exec(await told('stats'))![1]!
    await using file = await root.create('a file', O.RDWR, 0o600)
    await using again = await (await root.walk('a file')).open(O.RDONLY)
    await file.write(Buffer.alloc(5000), 0)
    const fids = (await told('fids')).trimEnd().split('\n')
    assert.is(fids.filter((line) => new RegExp(`^\\d+ mount=/ name='a file' qid=\\d+ uid=${uid} open=rw$`).test(line)).length, 1, fids.join('\n'))
    assert.is(fids.filter((line) => / name='a file' .* open=r$/.test(line)).length, 1)
    assert.is(fids.filter((line) => line.includes(' mount=/r ')).length, 1)
    const stats = await told('stats'), figure = (key: string) => Number(new RegExp(` ${key}=(\\d+)`).exec(stats)![1])
    assert.equal([figure('handles'), figure('fids'), figure('pending'), figure('unsent')], [2, fids.length, 0, 0])
    assert.ok(figure('requests') > Number(before) && figure('received') > 5000, stats)
    await again.clunk()
    await below.clunk()
    await client.close()
    await until(async () => { try { await ctl.walk('connections', number); return false } catch (e) { return isErrno(e, 'ENOENT') } }, 'the end of the connection')
  }).finally(() => client.close())
  await ok(server, 'rm', '/a file')
})

test('a file says what was so when it was opened', () => attached(server, async (root) => {
  await using file = await (await root.walk('namespace')).open(O.RDONLY)
  await ok(server, 'settrans', '/later', 'memory')
  assert.not.match(Buffer.from(await file.read(0, 9999)).toString(), /later/)
  assert.match(await read(root, 'namespace'), /^settrans -a \/later memory$/m)
  await ok(server, 'settrans', '-g', '/later')
}))

test('what is written to ctl is done, and its answer read by the same fid; a failure has its whole sentence', () => attached(server, async (root) => {
  await using ctl = await (await root.walk('ctl')).open(O.RDWR)
  const text = async (offset: number) => Buffer.from(await ctl.read(offset, 4096)).toString()
  const refused = async (line: string, code: string, sentence: string) => {
    try { await ctl.write(Buffer.from(line), 0); assert.unreachable(line) } catch (e) { assert.ok(isErrno(e, code as 'EINVAL'), `${line}: ${String(e)}`) }
    assert.is(await text(line.length), `${sentence}\n`)
  }
  assert.match(await text(0), /^settrans /)
  await ctl.write(Buffer.from("# comment\n\nsettrans '/a b' rot13 | memory size=1MiB\nsettrans -af --timeout=3 /c \"memory\" size='2MiB'\n"), 0)
  assert.is(await text(0), "started '/a b'\nstarted /c\n")
  assert.is(await text(0), "started '/a b'\nstarted /c\n", 'again')
  await ctl.write(Buffer.from('fsysopts /c size=3MiB'), 0)
  assert.is(await text(21), 'changed /c\n')
  assert.match(await read(root, 'namespace'), /^settrans -a '\/a b' rot13 \| memory size=1MiB\nsettrans -a \/c memory size=3MiB$/m)
  await refused('setrans /x memory', 'EINVAL', 'no verb "setrans". Did you mean "settrans"? There are: settrans, showtrans, stats, fsysopts, snapshot, gc, fsck, reload.')
  await refused('\n', 'EINVAL', 'a verb is missing. There are: settrans, showtrans, stats, fsysopts, snapshot, gc, fsck, reload.')
  await refused('settrans', 'EINVAL', 'PATH is missing')
  await refused('settrans /x', 'EINVAL', 'STACK is missing. -g sends away what is mounted at /x')
  await refused('settrans x memory', 'EINVAL', '"x" is not absolute. Write "/x".')
  await refused('settrans -z /x memory', 'EINVAL', 'settrans has no flag "-z". It takes: -a, -p, -g, -f, --timeout=')
  await refused('settrans --timeout=soon /x memory', 'EINVAL', '--timeout="soon" is not a number of seconds, up to 86400')
  await refused('settrans /x memory size=4parsecs', 'EINVAL', 'memory: size: "4parsecs" is not a size. Write bytes or KiB, MiB, GiB: 64MiB.')
  await refused("settrans '/x memory", 'EINVAL', "a closing ' is missing after '/x memory")
  await refused('settrans -g /nope', 'ENOENT', '/nope: nothing is mounted there')
  await refused('fsysopts /c', 'EINVAL', 'an option is missing. Write key=value')
  await refused('fsysopts /c sise=1', 'EINVAL', 'memory: no option "sise". Did you mean "size"? It takes: size, inodes, mode, uid, gid.')
  await refused('fsysopts /c mode=0700', 'EOPNOTSUPP', '/c: memory: mode can\'t change while it runs. These can: size, inodes: a new instance takes settrans')
  await refused('reload', 'EINVAL', 'the server was started without a config. Name one')
  await refused('settrans -g /c\nsettrans -g /c', 'ENOENT', '/c: nothing is mounted there')
  await ctl.write(Buffer.from("settrans -g '/a b'"), 0)
  assert.is(await text(0), "removed '/a b'\n")
  for (const name of ['namespace', 'events']) {
    const file = await root.walk(name)
    try { await file.open(O.RDWR); assert.unreachable() } catch (e) { assert.ok(isErrno(e)) }
  }
}))

test('the lines of namespace make the same namespace again', async () => {
  const stacks = { '/': 'memory size=2MiB', '/a b': 'rot13 shift=3 | memory', '/u': `union (memory, posix ${at()} | x)`.replace(' | x', '') }
  const one = await serving('one', ...Object.entries(stacks).flatMap(([path, stack]) => ['--at', `${path}=${stack}`])), two = await serving('two', '--at', '/=hello')
  const lines = await ok(one, 'cat', '--aname', 'ctl', '/namespace')
  await attached(two, async (root) => {
    await using ctl = await (await root.walk('ctl')).open(O.WRONLY)
    await ctl.write(Buffer.from(lines), 0)
    assert.is(await read(root, 'namespace'), lines)
  })
  for (const each of [one, two]) { each.process.kill('SIGTERM'); assert.is(await each.ended, 0) }
})

test('only the owner, and root, come in, by a unix socket, as themselves', async () => {
  assert.match((await cli(server, ['showtrans', '--server', server.tcp])).err, /^ninefold: showtrans: tcp:\S+: attach ctl: Permission denied\. The control tree is for the server's own user and root, by a unix socket\n$/)
  assert.is((await cli(server, ['ls', '--aname', 'ctl', '--uid', '12345', '/'])).code, 1)
  const client = await connect(server.tcp)
  try { await client.attach({ aname: 'ctl' }); assert.unreachable() } catch (e) { assert.ok(isErrno(e, 'EACCES')) } finally { await client.close() }
  assert.match((await cli(server, ['ls', '--aname', '/ctl'])).err, /No such file/, 'a path of the namespace is something else')
  if (process.getuid!() !== 0) return
  // the socket lets everybody in, and the tree not
  const script = `import { connect } from ${JSON.stringify(import.meta.resolve('ninep'))}
    const client = await connect(process.argv[1])
    await (await client.attach({ aname: '' })).clunk()
    console.log(await client.attach({ aname: 'ctl' }).then(() => 'in', (e) => e.code))
    process.exit()`
  const stranger = spawnSync(process.execPath, ['--input-type=module', '-e', script, server.url], { uid: 65533, gid: 65533, encoding: 'utf8', cwd: '/' })
  assert.is(stranger.stdout, 'EACCES\n', stranger.stderr)
})

test('settrans, showtrans, fsysopts', async () => {
  assert.is(await ok(server, 'settrans', '/x', 'rot13 | memory size=1MiB'), '')
  assert.is(await ok(server, 'settrans', '/y z', 'posix', at('main')), '')
  assert.match(await ok(server, 'showtrans'), /^\/ +memory\n\/r +rot13 shift=3 \| memory\n\/x +rot13 \| memory size=1MiB\n\/y z +posix \S+\n$/)
  assert.is(await ok(server, 'showtrans', '/x/'), 'rot13 | memory size=1MiB\n')
  assert.match(await ok(server, 'showtrans', '-s', '/x'), /^PATH +N +STATE +SINCE +FIDS +STACK\n\/x +\d+ +running +\S+Z +0 +rot13 \| memory size=1MiB\n$/)
  const [shown] = JSON.parse(await ok(server, 'showtrans', '--json', '/y z')) as [Record<string, unknown>]
  assert.equal([shown.path, shown.state, shown.fids, shown.stack], ['/y z', 'running', 0, `posix ${at('main')}`])
  assert.is(await ok(server, 'fsysopts', '/x', 'size=2MiB'), '')
  assert.match(await ok(server, 'fsysopts', '/x'), /^0 rot13\n {4}shift=13\n1 memory\n {4}size=2097152 {3}\(can change\)\n/)
  assert.equal(JSON.parse(await ok(server, 'fsysopts', '--json', '--layer', '0', '/x')), [{ layer: 0, name: 'rot13', options: { shift: '13' }, live: [] }])
  for (const [words, code, err] of [
    [['settrans', '/x', 'rott13', '|', 'memory'], 2, /^ninefold: settrans: no translator "rott13"\. Did you mean "rot13"\? There are: .*\. See: ninefold settrans --help\n$/],
    [['settrans', '/y z/s.sock/under', 'memory'], 1, /^ninefold: settrans: \/y z\/s\.sock: is no directory; nothing can be mounted below it\n$/],
    [['showtrans', '/nope'], 1, 'ninefold: showtrans: /nope: nothing is mounted there\n'],
    [['fsysopts', '/x', 'shift=4'], 1, /^ninefold: fsysopts: \/x: rot13: shift can't change while it runs\. None can: a new instance takes settrans\n$/],
    [['top', '--interval', '0'], 2, /^ninefold: top: --interval takes seconds/],
  ] as const) {
    const got = await cli(server, words)
    if (typeof err === 'string') assert.is(got.err, err)
    else assert.match(got.err, err)
    assert.is(got.code, code, words.join(' '))
  }
  await ok(server, 'settrans', '-g', '/x')
  await ok(server, 'settrans', '-g', '/y z')
  for (const verb of ['fsysopts', 'events']) assert.match(await ok(server, verb, '--help'), /Examples:\n +ninefold /, verb)
})

test('-g waits for who is in it, or takes it away by force', async () => {
  await ok(server, 'settrans', '/busy', 'memory')
  const client = await connect(server.url), root = await client.attach({}), inside = await root.walk('busy')
  assert.is((await cli(server, ['settrans', '-g', '/busy'])).err, `ninefold: settrans: /busy: 1 fid is in it, of uid ${process.getuid!()}. Wait for them with a timeout, or send it away by force\n`)
  assert.match(await ok(server, 'showtrans', '-s', '/busy'), / 1 +memory\n$/)
  await ok(server, 'settrans', '-g', '-f', '/busy')
  try { await inside.getattr(); assert.unreachable() } catch (e) { assert.ok(isErrno(e, 'ENXIO'), String(e)) }
  await client.close()
})

test('a record on a node is made, shown, crossed and taken off', async () => {
  await ok(server, 'mkdir', '/p')
  await ok(server, 'settrans', '-p', '/p', 'hello')
  assert.match(await ok(server, 'cat', '/p'), /^Hello/i)
  assert.is(await ok(server, 'showtrans', '/p'), 'hello\n')
  assert.match(await ok(server, 'showtrans', '-s', '/p'), /\n\/p +0 +passive, (running|stopped) +\d+ +hello\n$/)
  await ok(server, 'settrans', '-p', '/p')
  assert.is((await cli(server, ['showtrans', '/p'])).err, 'ninefold: showtrans: /p: nothing is mounted there\n')
})

test('showtrans --passive lists all records, wherever they are; -s tells of one that failed', async () => {
  mkdirSync(at('records'))
  writeFileSync(at('records', 'records.yaml'), 'namespace: { /: memory, /m: memory }\npassive: { allow: [rot13, hello, posix] }\n')
  const own = await serving('records', 'records.yaml')
  assert.is(await ok(own, 'showtrans', '--passive'), '')
  await ok(own, 'mkdir', '-p', '/d/e', '/m/x y', '/unknown')
  for (const [path, stack] of [['/d/e', 'rot13 shift=3'], ['/m/x y', 'hello "a b"'], ['/d', 'rot13'], ['/unknown', 'posix /nowhere']]) await ok(own, 'settrans', '-p', path!, stack!)
  await ok(own, 'ls', '/d')
  await ok(own, 'xattr', 'set', '/m', 'user.x', 'y')
  assert.is((await cli(own, ['ls', '/unknown'])).code, 1)
  const uid = process.getuid!()
  const shown = await ok(own, 'showtrans', '--passive')
  assert.match(shown, new RegExp(`^PATH +STATE +UID +FIDS +STACK\n/d/e +stopped +${uid} +0 +rot13 shift=3\n/d +running +${uid} +0 +rot13\n/unknown +failed: \\S*ENOENT: /nowhere: .* +${uid} +0 +posix /nowhere\n/m/x y +stopped +${uid} +0 +hello "a b"\n$`.replace('\\S*ENOENT: /nowhere: .*', '.*/nowhere.*')))
  assert.equal((JSON.parse(await ok(own, 'showtrans', '--passive', '--json', '/d')) as { path: string }[]).map(({ path }) => path), ['/d/e', '/d'])
  assert.match(await ok(own, 'showtrans', '-s', '/unknown'), /\n\/unknown +0 +passive, failed: .*there is no such directory/)
  assert.equal((JSON.parse(await ok(own, 'showtrans', '--json', '/unknown')) as { state: string }[])[0]!.state.slice(0, 16), 'passive, failed:')
  const [, , number] = /^(\S+ +)(\d+) /m.exec(await ok(own, 'showtrans', '-s', '/').then((text) => text.split('\n')[1]!))!
  assert.match(await ok(own, 'cat', '--aname', 'ctl', `/translators/${number}/log`), / warn \/: a passive translator did not start file="unknown" err=".*there is no such directory/)
  // set by a client, who names no path; moved since
  const client = await connect(own.url), root = await client.attach({})
  await (await root.walk('d', 'e')).setxattr('user.translator', Buffer.from('rot13'))
  assert.match(await ok(own, 'showtrans', '--passive', '/d/e'), /\n\/d\/e +stopped .* rot13\n$/)
  await ok(own, 'mv', '/unknown', '/moved')
  assert.match(await ok(own, 'showtrans', '--passive'), /^\(memory:\/: memory, [0-9a-f]+\) +(failed|lost)/m)
  // many: more than one read, none of them long
  for (let i = 0; i < 3000; i++) {
    await using file = await root.create(`f-${i}`, O.RDWR, 0o644)
    await file.setxattr('user.translator', Buffer.from(`hello "${'x'.repeat(50)}"`))
  }
  assert.is((JSON.parse(await ok(own, 'showtrans', '--passive', '--json')) as unknown[]).length, 3004)
  await attached(own, async (root) => {
    await using file = await (await root.walk('passive')).open(O.RDONLY)
    const first = await file.read(0, 1000)
    assert.is(first.length, 1000)
    try { await file.read(500, 1000); assert.unreachable() } catch (e) { assert.ok(isErrno(e, 'ESPIPE'), String(e)) }
    assert.is((await file.read(1000, 5000)).length, 5000)
  })
  await client.close()
  own.process.kill('SIGTERM')
  assert.is(await own.ended, 0)
})

test('-a -p mounts a stack and records it under that, both or neither; -g with a STACK waits for who is in the old one', async () => {
  await ok(server, 'mkdir', '/both')
  await ok(server, 'settrans', '-a', '-p', '/both', 'hello "one"')
  assert.equal([await ok(server, 'showtrans', '/both'), await ok(server, 'cat', '/both')], ['hello one\nhello "one"\n', 'one'])
  await ok(server, 'settrans', '-ap', '/both', 'hello "two"')
  assert.equal([await ok(server, 'showtrans', '/both'), await ok(server, 'cat', '/both')], ['hello two\nhello "two"\n', 'two'])
  // what can be recorded can't be mounted, and the other way round
  for (const stack of ['rot13', 'memory']) assert.ok((await cli(server, ['settrans', '-a', '-p', '/both', stack])).code! > 0)
  assert.is(await ok(server, 'showtrans', '/both'), 'hello two\nhello "two"\n')
  assert.is((await cli(server, ['settrans', '-a', '-p', '/both'])).code, 2)
  await ok(server, 'settrans', '-g', '/both')
  assert.equal([await ok(server, 'showtrans', '/both'), await ok(server, 'cat', '/both')], ['hello "two"\n', 'two'], 'the record counts when the mount is gone')
  await ok(server, 'settrans', '-p', '/both')
  assert.match((await cli(server, ['settrans', '-p', '/not/there', 'hello'])).err, /^ninefold: settrans: \/not\/there: there is no file that could have a record\n$/)
  // -g PATH STACK
  await ok(server, 'settrans', '/old', 'hello one')
  const client = await connect(server.url), inside = await (await client.attach({})).walk('old')
  assert.match((await cli(server, ['settrans', '-g', '/old', 'hello', 'two'])).err, /^ninefold: settrans: \/old: fids in it: 1\. Wait for them/)
  assert.is(await ok(server, 'cat', '/old'), 'one')
  const waits = ok(server, 'settrans', '-g', '--timeout', '60', '/old', 'hello', 'two')
  await inside.clunk()
  await waits
  assert.is(await ok(server, 'cat', '/old'), 'two')
  await ok(server, 'settrans', '-g', '/old')
  await client.close()
})

test('a log of each translator has its lines, the latest last', async () => {
  await ok(server, 'settrans', '/logs', 'stats log=50ms | memory')
  await ok(server, 'settrans', '/quiet', 'memory')
  const { number } = (JSON.parse(await ok(server, 'showtrans', '--json', '/logs')) as { number: number }[])[0]!, quiet = (JSON.parse(await ok(server, 'showtrans', '--json', '/quiet')) as { number: number }[])[0]!
  const log = () => ok(server, 'cat', '--aname', 'ctl', `/translators/${number}/log`)
  await until(async () => { await ok(server, 'ls', '/logs'); return (await log()).trimEnd().split('\n').length >= 3 }, 'lines')
  for (const line of (await log()).trimEnd().split('\n')) assert.match(line, /^\d{4}-\d\d-\d\dT\S+Z info \/logs: stats: \/logs: stats stats=\{/)
  assert.is(await ok(server, 'cat', '--aname', 'ctl', `/translators/${quiet.number}/log`), '')
  await ok(server, 'settrans', '-g', '/logs')
  await ok(server, 'settrans', '-g', '/quiet')
})

test('explain and top tell what each layer does', async () => {
  await ok(server, 'settrans', '/t', 'rot13 | memory')
  writeFileSync(at('hello'), 'hello')
  await ok(server, 'put', at('hello'), '/t/file')
  assert.is(await ok(server, 'cat', '/t/file'), 'hello')
  const told = await ok(server, 'explain', '/t/file')
  assert.match(told, /^\/t\/file is served by \/t, number \d+, running since \S+, fids: 0\n {4}rot13 \| memory\n\nLAYER +CALL +CALLS +ERRORS +BYTES +OWN MEAN +HALF BELOW +99 % BELOW\n0 rot13 /)
  assert.match(told, /^ +write +1 +0 +5 B/m)
  const { mount, layers } = JSON.parse(await ok(server, 'explain', '--json', '/t/file')) as { mount: { path: string }; layers: { layer: number; name: string; ops: { op: string; calls: number; bytes: number }[] }[] }
  assert.is(mount.path, '/t')
  assert.equal(layers.map(({ layer, name }) => `${layer} ${name}`), ['0 rot13', '1 memory'])
  for (const { ops } of layers) assert.equal(ops.filter(({ op }) => op === 'write').map(({ calls, bytes }) => [calls, bytes]), [[1, 5]])
  assert.match(await ok(server, 'explain', '/elsewhere/file'), /^\/elsewhere\/file is served by \/, /)
  assert.match(await ok(server, 'top', '--once', '--interval', '0.1', '--sort', 'path'), /^PATH +LAYER +CALLS\/s +ERRORS\/s +BYTES\/s +OWN +BUSY +PENDING\n\/ +0 memory +0\.0 /)
  // by a link, and through a passive translator
  await ok(server, 'ln', '-s', '/t', '/link')
  await ok(server, 'mkdir', '/t/d')
  await ok(server, 'settrans', '-p', '/t/d', 'rot13 shift=1')
  await ok(server, 'ln', '-s', '../link/d', '/t/again')
  assert.match(await ok(server, 'explain', '/link/file'), /^\/link\/file leads to \/t\/file\n\/t\/file is served by \/t, number \d+, [^]*\n0 rot13 /)
  assert.match(await ok(server, 'explain', '/link/again/absent'), /^\/link\/again\/absent leads to \/t\/d\/absent\n\/t\/d\/absent is served by \/t, .*\n {4}rot13 \| memory\n {4}seen through the passive translator of \/t\/d, running: rot13 shift=1\n\n/)
  assert.match(await ok(server, 'explain', '/t/d/../file'), /^\/t\/d\/\.\.\/file leads to \/t\/file\n/)
  await ok(server, 'ln', '-s', '/loop', '/loop')
  assert.is((await cli(server, ['explain', '/loop/x'])).err, 'ninefold: explain: /loop/x: Too many levels of symbolic links\n')
  await ok(server, 'put', at('hello'), '/t/d/turned')
  assert.match(await ok(server, 'explain', '/t/d/turned'), /\n\nthe passive translator of \/t\/d:\nLAYER +CALL +[^]*\n0 rot13 [^]*\n +write +1 +0 +5 B [^]*\n1 node [^]*\n +write +1 +0 +5 B /)
  const { given, path: real, passive } = JSON.parse(await ok(server, 'explain', '--json', '/link/d')) as { given: string; path: string; passive: { layers: { name: string; ops: { op: string; calls: number }[] }[] }[] }
  assert.equal([given, real, passive.map(({ layers, ...rest }) => rest)], ['/link/d', '/t/d', [{ path: '/t/d', stack: 'rot13 shift=1', state: 'running' }]])
  assert.equal(passive[0]!.layers.map(({ name, ops }) => [name, ops.find(({ op }) => op === 'create')!.calls]), [['rot13', 1], ['node', 1]])
  // load, while top looks
  const client = await connect(server.url), root = await client.attach({}), file = await (await root.walk('t', 'file')).open(O.RDONLY)
  const watching = spawn(bin, ['top', '--json', '--interval', '0.2'], { env: { ...process.env, NINEFOLD_SERVER: server.url }, stdio: ['ignore', 'pipe', 'inherit'] })
  all.push(watching)
  let out = ''
  watching.stdout.setEncoding('utf8').on('data', (text: string) => { out += text })
  const busy = () => out.split('\n').slice(0, -1).map((line) => JSON.parse(line) as { layers: { path: string; calls: number; bytes: number }[] }).find(({ layers }) => layers[0]!.path === '/t' && layers[0]!.calls > 0 && layers[0]!.bytes > 0)
  for (let end = Date.now() + 60_000; !busy(); ) {
    if (Date.now() > end) throw new Error(`top saw nothing: ${out}`)
    await file.read(0, 5)
    await new Promise((done) => setTimeout(done, 2))
  }
  watching.kill()
  await client.close()
  await ok(server, 'settrans', '-g', '/t')
})

test('events come as they happen; a flush ends a read, and a stop of the server all', async () => {
  const own = await serving('events', '--at', '/=memory')
  const reader = spawn(bin, ['events'], { env: { ...process.env, NINEFOLD_SERVER: own.url }, stdio: ['ignore', 'pipe', 'pipe'] })
  all.push(reader)
  let out = ''
  reader.stdout.setEncoding('utf8').on('data', (text: string) => { out += text })
  const ended = new Promise<number | null>((done) => reader.once('close', done))
  const seen = () => out.split('\n').slice(0, -1).map((line) => JSON.parse(line) as Record<string, unknown>)
  // it listens when it hears of a connection
  await until(async () => { await ok(own, 'ls', '/'); return seen().length > 0 }, 'an event')
  await ok(own, 'settrans', '/e', 'memory size=1MiB')
  await ok(own, 'fsysopts', '/e', 'size=2MiB')
  await ok(own, 'settrans', '/e', 'rot13 | memory')
  await ok(own, 'settrans', '-g', '/e')
  await until(() => seen().filter(({ event }) => event === 'ended').length === 2, 'the end')
  // the old stack's memory went on in the new one, with the options that it has there
  assert.equal(seen().filter(({ path }) => path === '/e').map(({ event, stack, translator }) => `${event} ${translator} ${stack}`), [
    'started 2 memory size=1MiB', 'changed 2 memory size=2MiB', 'replaced 3 rot13 | memory', 'ended 2 memory', 'removed 3 rot13 | memory', 'ended 3 rot13 | memory',
  ])
  assert.ok(seen().every(({ time }) => !Number.isNaN(Date.parse(time as string))))
  await attached(own, async (root, client) => {
    await using events = await (await root.walk('events')).open(O.RDONLY)
    const aborted = new AbortController(), waits = client.read(events.fid, 0, Buffer.alloc(100), { signal: aborted.signal })
    setTimeout(() => aborted.abort(new Error('enough')), 50)
    try { await waits; assert.unreachable() } catch (e) { assert.is((e as Error).message, 'enough') }
  })
  own.process.kill('SIGTERM')
  assert.is(await own.ended, 0)
  assert.is(await ended, 0)
})

test('who reads no events costs a bounded buffer, and is told what was lost', () => attached(server, async (root, client) => {
  await using events = await (await root.walk('events')).open(O.RDONLY)
  const name = 'n'.repeat(200), path = Array.from({ length: 15 }, () => name).join('/')
  await using ctl = await (await root.walk('ctl')).open(O.RDWR)
  for (let i = 0; i < 60; i++) await ctl.write(Buffer.from(`settrans /${path} memory\nsettrans -g /${path}`), 0)
  const into = Buffer.alloc(65536)
  let text = ''
  for (let at = 0; !/"event":"lost"/.test(text); ) {
    const count = await client.read(events.fid, at, into)
    text += into.toString('utf8', 0, count)
    at += count
  }
  const seen = text.trimEnd().split('\n').map((line) => JSON.parse(line) as { event: string; count?: number })
  assert.ok(text.length < 300_000, String(text.length))
  assert.is(seen.at(-1)!.event, 'lost')
  assert.is(seen.length - 1 + seen.at(-1)!.count!, 180)
}))

test('a config is read again by SIGHUP and reload; what did not change goes on with its fids; a wrong one changes nothing', async () => {
  const file = at('hup', 'n.yaml')
  mkdirSync(at('hup'))
  const config = (lines: string) => writeFileSync(file, `namespace:\n${lines}`)
  config('  /: memory\n  /a: rot13 | memory size=1MiB\n  /b: memory\n')
  const own = await serving('hup', 'n.yaml')
  writeFileSync(at('kept'), 'kept')
  await ok(own, 'put', at('kept'), '/a')
  const client = await connect(own.url), root = await client.attach({}), held = await root.walk('b')
  await ok(own, 'settrans', '/by-hand', 'memory')
  config('  /: memory\n  /a: memory size=1MiB\n  /c: memory\n')
  assert.is(await ok(own, 'reload'), 'kept /\nstarted /c\nreplaced /a\nremoved /b\n')
  assert.is(await ok(own, 'cat', '/a/kept'), 'xrcg', 'the brick went on, without the layer')
  assert.ok((await held.getattr()).mode > 0, 'who is in it stays')
  assert.match(await ok(own, 'showtrans'), /^\/ .*\n\/a .*\n\/by-hand .*\n\/c .*\n$/)
  config('  /: memory\n  /a: memory size=2MiB\n  /c: memory\n')
  own.process.kill('SIGHUP')
  await until(() => /the config was read again/.test(own.err()), 'the reload')
  assert.is(await ok(own, 'showtrans', '/a'), 'memory size=2MiB\n')
  config('  /: memory\n  /a: memory size=4parsecs\n  /d: memroy\n')
  const wrong = await cli(own, ['reload'])
  assert.is(wrong.code, 1)
  assert.match(wrong.err, /^ninefold: reload: n\.yaml:3:\d+: \/a: memory: size: "4parsecs" is not a size\..*\nninefold: reload: n\.yaml:4:\d+: \/d: no translator "memroy"\. Did you mean "memory"\?/)
  own.process.kill('SIGHUP')
  await until(() => /the config was not taken over/.test(own.err()), 'the refusal')
  // one that reads, and does not start
  config('  /: memory\n  /c: rot13 | memory\n  /e: posix ./nowhere\n')
  assert.match((await cli(own, ['reload'])).err, /^ninefold: reload: .*nowhere/)
  assert.match(await ok(own, 'showtrans'), /^\/ .*\n\/a .*size=2MiB\n\/by-hand .*\n\/c +memory\n$/)
  writeFileSync(at('other.yaml'), 'namespace: { /: memory, /o: memory }\nmetrics: tcp://127.0.0.1:1\n')
  assert.equal(JSON.parse(await ok(own, 'reload', '--json', at('other.yaml'))), { kept: ['/'], changed: [], started: ['/o'], replaced: [], removed: ['/a', '/c'], restart: ['metrics'] })
  assert.is(await ok(own, 'reload'), 'kept /\nkept /o\nmetrics: counts from the next start on\n')
  await client.close()
  own.process.kill('SIGTERM')
  assert.is(await own.ended, 0)
})

test('translators from outside: the owner sets, changes and exchanges them; a config has to allow them, and a record on a node never can', async () => {
  const dir = at('outside'), config = at('outside', 'n.yaml'), own = await outsiders(dir)
  try {
    // by file and by package, with options, over what goes on below
    await ok(own, 'settrans', '-a', '/f', './less.mjs prefix=_ | memory')
    await ok(own, 'settrans', '-a', '/n', 'npm:lessen x depth=2 | memory')
    assert.match(await ok(own, 'showtrans'), /^\/ +memory\n\/f +\.\/less\.mjs _ \| memory\n\/n +npm:lessen x depth=2 \| memory\n$/)
    writeFileSync(at('hello'), 'hello')
    const there = async () => (await ok(own, 'ls', '-a', '/f')).split('\n').filter(Boolean)
    for (const name of ['a', 'b']) await ok(own, 'put', at('hello'), `/f/${name}`)
    assert.match((await cli(own, ['put', at('hello'), '/f/_x'])).err, /Operation not permitted/)
    await ok(own, 'fsysopts', '/f', 'prefix=a')
    assert.equal(await there(), ['a', 'b'], 'a listing is not what it changes')
    assert.match((await cli(own, ['cat', '/f/a'])).err, /No such file/)
    assert.is(await ok(own, 'cat', '/f/b'), 'hello')
    assert.match(await ok(own, 'fsysopts', '/f'), /^0 less\n {4}prefix=a {3}\(can change\)\n {4}depth=1\n1 memory\n/)
    assert.match((await cli(own, ['fsysopts', '/f', 'depth=2'])).err, /^ninefold: fsysopts: \/f: less: depth can't change while it runs\. These can: prefix: a new instance takes settrans\n$/)
    assert.match((await cli(own, ['fsysopts', '/f', 'depht=2'])).err, /no option "depht"\. Did you mean "depth"\?/)
    await ok(own, 'settrans', '/f', 'npm:lessen b | ./less.mjs depth=2 | memory')
    assert.is(await ok(own, 'cat', '/f/a'), 'hello', 'the brick went on')
    // the lines of namespace make it again
    const lines = await attached(own, (root) => read(root, 'namespace'))
    assert.match(lines, /^settrans -a \/f npm:lessen b \| \.\/less\.mjs depth=2 \| memory$/m)
    for (const line of lines.trim().split('\n')) await attached(own, async (root) => { await using ctl = await (await root.walk('ctl')).open(O.WRONLY); await ctl.write(Buffer.from(line), 0) })
    assert.is(await ok(own, 'cat', '/f/a'), 'hello')

    for (const [stack, err] of [
      ['npm:nobody-has-this | memory', /^ninefold: settrans: npm:nobody-has-this: no such package is found from \S+\/outside\. Run there: npm install nobody-has-this\. See: .*\n$/],
      ['./no.mjs | memory', /^ninefold: settrans: \.\/no\.mjs: there is no file \S+\/outside\/no\.mjs/],
      ['./less.mjs dpeth=2 | memory', /^ninefold: settrans: less: no option "dpeth"\. Did you mean "depth"\?/],
    ] as const) assert.match((await cli(own, ['settrans', '/f', stack])).err, err)
    assert.is(await ok(own, 'cat', '/f/a'), 'hello')

    // a record is whoever's the node is: none may run code
    await ok(own, 'mkdir', '/d')
    for (const stack of ['./less.mjs', 'npm:lessen', `${dir}/less.mjs`]) {
      const refused = await cli(own, ['settrans', '-p', '/d', stack])
      assert.is(refused.code, 1)
      assert.is(refused.err, `ninefold: settrans: ${stack} is from outside, and would run code: no record on a node may start it. The server's owner mounts it with settrans -a\n`)
    }

    // a config allows by lines of its own
    const write = (translators: string, stack: string) => writeFileSync(config, `${translators}namespace:\n  /: memory\n  /f: ${stack}\n`)
    write('', 'npm:lessen b | ./less.mjs depth=2 | memory')
    const { code, err } = await cli(own, ['reload', config])
    assert.is(code, 1)
    assert.match(err, /n\.yaml:3:7: \/f: npm:lessen: is not of those that the server's owner allows, since it would run code\. In a config, allow it by: translators: \[npm:lessen\]/)
    write('translators: [npm:lessen, ./*.mjs]\n', 'npm:lessen b | ./less.mjs depth=2 | memory')
    assert.is(await ok(own, 'reload', config), 'kept /\nkept /f\n')
    write('translators: [npm:lessen, ./*.mjs]\n', 'npm:lessen q | ./less.mjs depth=2 | memory')
    assert.is(await ok(own, 'reload', config), 'kept /\nchanged /f\n')
    write('translators: [./*.mjs]\n', './less.mjs depth=2 | memory')
    assert.is(await ok(own, 'reload', config), 'kept /\nreplaced /f\n')
    assert.is(await ok(own, 'cat', '/f/b'), 'hello')
    assert.match(await ok(own, 'showtrans'), /^\/n /m, 'what was set by hand stays')
  } finally { process.kill(own.process.pid!, 'SIGTERM') }
  assert.is(await own.ended, 0)
})
test('what only one may have is refused with who has it, takes other options over, or is waited for', async () => {
  const own = await outsiders(at('outside2'), 'outside2')
  try {
    await ok(own, 'settrans', '/o', './one.mjs a | memory')
    assert.is((await cli(own, ['settrans', '/p', 'npm:lessen | ./one.mjs a | memory'])).err, 'ninefold: settrans: /p: one: one:a is in use by /o: one\n')
    const client = await connect(own.url), root = await client.attach({}), inside = await (await root.walk('o')).create('f', O.RDWR, 0o644)
    await inside.write(Buffer.from('kept'), 0)
    // in use, and it goes on
    await ok(own, 'settrans', '/o', './one.mjs a size=2 | memory')
    assert.is(await ok(own, 'showtrans', '/o'), './one.mjs a size=2 | memory\n')
    await ok(own, 'settrans', '/o', 'npm:lessen | ./one.mjs a size=3 | memory')
    assert.is(Buffer.from(await inside.read(0, 9)).toString(), 'kept')
    assert.match(await ok(own, 'showtrans', '-s'), /^\/o +\d+ +leaving +\S+ +[12] +\.\/one\.mjs a size=3 \| memory$/m)
    // another instance: in vain, and then in time
    const other = './one.mjs a kind=1 | memory', refused = await cli(own, ['settrans', '--timeout=0.1', '/o', other])
    assert.match(refused.err, /^ninefold: settrans: \/o: [12] fids? (is|are) in it, of uid \d+\n$/)
    assert.is(refused.code, 1)
    let done = false
    const waits = attached(own, async (ctl) => { await using verb = await (await ctl.walk('ctl')).open(O.WRONLY); await verb.write(Buffer.from(`settrans --timeout=60 /o ${other}`), 0) }).finally(() => { done = true })
    await new Promise((later) => setTimeout(later, 100))
    assert.is(done, false)
    assert.is(Buffer.from(await inside.read(0, 9)).toString(), 'kept')
    await client.close()
    await waits
    assert.is(await ok(own, 'showtrans', '-s').then((text) => /leaving/.test(text)), false)
    assert.is(await ok(own, 'showtrans', '/o'), `${other}\n`)
    assert.is(await ok(own, 'cat', '/o/f'), 'kept', 'what is beside it goes on')
  } finally { process.kill(own.process.pid!, 'SIGTERM') }
  assert.is(await own.ended, 0)
})
/** A server in a folder with a file and a package, each a layer that hides names, and takes another prefix while it runs. */
async function outsiders(dir: string, name = 'outside'): Promise<Running> {
  const layer = (name: string) => `
    import { errno } from 'ninep'
    import { ForwardNode, ForwardTranslator } from 'ninefold/translators/forward'
    import { int, text, translator } from 'ninefold/translators/options'
    export default translator({
      name: '${name}', about: 'Less.', children: 1, concurrent: true,
      options: { prefix: text({ about: 'p', default: '.', positional: true, live: true }), depth: int({ about: 'd', max: 9, default: 1 }) },
      start: ({ prefix }, [child]) => {
        const layer = { prefix }
        return Object.assign(new ForwardTranslator('${name}', child, (root) => new Less(root, layer)), { reconfigure: ({ prefix }) => { layer.prefix = prefix; return true } })
      },
    })
    class Less extends ForwardNode {
      wrap(child) { return new Less(child, this.layer) }
      seen(name, code) { if (name.startsWith(this.layer.prefix)) throw errno(code, 'hide', name); return name }
      walk(name) { return super.walk(this.seen(name, 'ENOENT')) }
      create(name, ...rest) { return super.create(this.seen(name, 'EPERM'), ...rest) }
    }`
  const modules = join(dir, 'node_modules')
  mkdirSync(join(modules, 'lessen'), { recursive: true })
  for (const [name, target] of [['ninefold', '.'], ['ninep', 'protocol']] as const) symlinkSync(join(resolve(bin, '../..'), target), join(modules, name))
  writeFileSync(join(modules, 'lessen/package.json'), '{ "name": "lessen", "version": "1.0.0", "type": "module", "exports": "./index.js" }')
  writeFileSync(join(modules, 'lessen/index.js'), layer('lessen'))
  writeFileSync(join(dir, 'less.mjs'), layer('less'))
  writeFileSync(join(dir, 'one.mjs'), `
    import { ForwardTranslator } from 'ninefold/translators/forward'
    import { int, text, translator } from 'ninefold/translators/options'
    export default translator({
      name: 'one', about: 'One of a kind.', children: 1, concurrent: true, exclusive: ({ id }) => ['one:' + id],
      options: { id: text({ about: 'i', positional: true }), size: int({ about: 's', default: 1, live: true }), kind: int({ about: 'k', default: 0 }) },
      start: (_, [child]) => Object.assign(new ForwardTranslator('one', child, (root) => root), { reconfigure: () => true }),
    })`)
  return serving(name, '--at', '/=memory')
}

test('words are quoted and read back', () => {
  for (const word of ['a', '', 'a b', "it's", '"', `a'b"c d`, 'new\nline', 'key=va lue', '\\', '#']) {
    const words = new Words(`${quote(word)} next\nlast`)
    assert.is(words.next(), word)
    assert.is(words.next(), 'next')
    assert.is(words.next(), undefined)
    assert.ok(words.line())
    assert.is(words.rest(), 'last')
  }
})

test.run()
