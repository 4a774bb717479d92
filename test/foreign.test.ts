// Our verbs against servers that are not ours, and against ours in each dialect: what they did is looked up on the host.

import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { O } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { serve } from '../server/server.ts'
import type { Server } from '../server/server.ts'
import { memory } from '../translators/memory/memory.ts'
import { posix } from '../translators/posix/posix.ts'
import { diod, ganesha } from './foreign.ts'
import type { Foreign } from './foreign.ts'
import { requires, skipping } from './needs.ts'

const bin = resolve(fileURLToPath(import.meta.url), '../../../bin/ninefold')
const asRoot = process.getuid!() === 0
/** CAP_DAC_READ_SEARCH */
const byHandle = (parseInt(/^CapEff:\s*(\S+)/m.exec(fs.readFileSync('/proc/self/status', 'utf8'))![1]!.slice(-8), 16) & 4) !== 0

async function ours(): Promise<Foreign> {
  const folder = fs.mkdtempSync(join(tmpdir(), 'ninefold-dialects-')), dir = join(folder, 'served')
  fs.mkdirSync(dir)
  const server = await serve({ listen: [`unix:${folder}/socket`], namespace: new Map([['/', await posix({ path: dir, owner: asRoot ? 'host' : 'none' })]]) })
  return { url: server.urls[0]!, dir, aname: '/', pid: process.pid, async stop() { await server.stop(); fs.rmSync(folder, { recursive: true }) } }
}

/** Runs a program to its end. */
function run(program: string, words: readonly string[], { cwd, input = '' }: { cwd?: string; input?: string } = {}): Promise<{ code: number | null; out: Buffer; err: string }> {
  return new Promise((done, fail) => {
    const child = spawn(program, words, { cwd, stdio: 'pipe', env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` } })
    const out: Buffer[] = [], err: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk))
    child.stdin.on('error', () => {}).end(input)
    child.once('error', fail).once('close', (code) => done({ code, out: Buffer.concat(out), err: Buffer.concat(err).toString() }))
  })
}

/** What a tree is made of and how it is shown: kinds, files with several names, and whether times have fractions. */
interface Words { readonly specials: boolean; readonly links: boolean; readonly xattrs: boolean; readonly fractions: boolean; readonly owners: boolean }

function plant(top: string, { specials, links, xattrs }: Words): Promise<unknown> {
  const at = (name: string) => join(top, name)
  for (const name of ['', 'a', 'a/deep', 'a/deep/er', 'empty']) fs.mkdirSync(at(name), { recursive: true })
  for (const [name, size] of [['none', 0], ['one', 1], ['a/some', 5000], ['a/deep/large', 3_000_017], ['a/deep/er/.dot', 10]] as const) fs.writeFileSync(at(name), randomBytes(size))
  for (let i = 0; i < 150; i++) fs.writeFileSync(at(`a/deep/er/entry ${i} ${'x'.repeat(i % 150)}`), String(i))
  fs.writeFileSync(Buffer.concat([Buffer.from(at('caf')), Buffer.from([0xe9])]), 'not UTF-8')
  fs.chmodSync(at('one'), 0o640)
  fs.chmodSync(at('a/deep'), 0o711)
  if (asRoot) fs.chownSync(at('a/some'), 1000, 1001)
  if (links) {
    fs.linkSync(at('a/some'), at('empty/again'))
    fs.symlinkSync('../a/some', at('empty/link'))
    fs.symlinkSync('nowhere', at('dangling'))
    fs.chmodSync(at('none'), 0o6755)
  }
  for (const [i, name] of ['one', 'a/some', 'a/deep', 'empty'].entries()) fs.utimesSync(at(name), 1e9 + i, 1.1e9 + i + 0.25)
  return Promise.all([
    ...specials ? [run('mkfifo', [at('a/pipe')])] : [],
    ...xattrs ? [run('setfattr', ['-n', 'user.note', '-v', 'kept', at('one')]), run('setfattr', ['-n', 'user.big', '-v', `0x${'5a'.repeat(3000)}`, at('a')])] : [],
  ])
}

/** All that is known of a tree, a line a file. */
async function seen(top: string, { fractions, xattrs, owners }: Words): Promise<string[]> {
  const lines: string[] = []
  const look = (path: Buffer) => {
    const s = fs.lstatSync(path), directory = s.isDirectory()
    const content = s.isFile() ? createHash('md5').update(fs.readFileSync(path)).digest('hex') : s.isSymbolicLink() ? fs.readlinkSync(path) : directory ? '' : `${s.rdev}`
    lines.push([
      path.subarray(top.length).toString('latin1'), s.mode.toString(8), ...owners ? [s.uid, s.gid] : [], ...directory ? [] : [s.nlink, s.size],
      ...s.isSymbolicLink() ? [] : [fractions ? s.mtimeMs : Math.floor(s.mtimeMs / 1000)], content,
    ].join(' '))
    if (directory) for (const name of fs.readdirSync(path, 'buffer')) look(Buffer.concat([path, Buffer.from('/'), name]))
  }
  look(Buffer.from(top))
  if (xattrs) lines.push((await run('getfattr', ['-R', '-d', '-m', '^user\\.note|^user\\.big', '.'], { cwd: top })).out.toString().split('\n\n').sort().join('\n\n'))
  return lines.sort()
}

const all: Words = { specials: true, links: true, xattrs: true, fractions: true, owners: true }
for (const [what, start, { dialect, words, needs, ours: mine }] of [
  ['diod', diod, { dialect: '9P2000.L', words: all, needs: ['diod'], ours: false }],
  ['nfs-ganesha', ganesha, { dialect: '9P2000.L', words: all, needs: ['ganesha.nfsd', 'gcc'], ours: false }],
  ['ours in 9P2000.u', ours, { dialect: '9P2000.u', words: { ...all, xattrs: false, fractions: false }, needs: [], ours: true }],
  ['ours in 9P2000', ours, { dialect: '9P2000', words: { specials: false, links: false, xattrs: false, fractions: false, owners: false }, needs: [], ours: true }],
] as const) {
  const test = suite(`verbs: ${what}`)
  const declare = what === 'nfs-ganesha' && !byHandle ? skipping(test, 'nfs-ganesha needs a root that may open files by handle') : requires(test, 'setfattr', 'getfattr', ...needs)
  const folder = fs.mkdtempSync(join(tmpdir(), 'ninefold-verbs-')), here = (name: string) => join(folder, name)
  const linux = dialect === '9P2000.L', plan9 = dialect === '9P2000'
  let server: Foreign | undefined
  const there = (name: string) => join(server!.dir, name)
  const verb = (words: readonly string[], input?: string) =>
    run(bin, [...words, '--server', server!.url, '--aname', server!.aname, ...linux ? [] : ['--dialect', dialect]], { cwd: folder, ...input === undefined ? {} : { input } })
  /** One that must succeed: what it says. */
  const ok = async (...words: string[]) => {
    const { code, out, err } = await verb(words)
    assert.equal([code, err], [0, ''], words.join(' '))
    return out
  }
  test.after(async () => {
    await server?.stop()
    fs.rmSync(folder, { recursive: true })
  })

  declare('a tree is fetched, and stored, with all that the dialect has words for', async () => {
    server = await start()
    await plant(there('tree'), words)
    await ok('get', '-a', '/tree', here('fetched'))
    assert.equal(await seen(here('fetched'), words), await seen(there('tree'), words))
    const { code, err } = await verb(['put', '-a', here('fetched'), '/stored'])
    if (!plan9 || !asRoot) assert.equal([code, err], [0, ''])
    else assert.match(err, /^ninefold: put: owner of \d+ files could not be kept: 9P2000 has no owners by number\n$/)
    assert.equal(await seen(there('stored'), words), await seen(there('tree'), words))
  })

  declare('ls and stat say what the host says', async () => {
    const [json, long, one, none] = await Promise.all([
      ok('ls', '-a', '--json', '/tree', '/tree/a/deep/er'), ok('ls', '-l', '/tree/a/deep'), ok('stat', '/tree/one'), verb(['ls', '/tree/no']),
    ])
    const listed = JSON.parse(String(json)) as any[]
    const names = ['tree', 'tree/a/deep/er'].flatMap((dir) => fs.readdirSync(there(dir), 'latin1').map((name) => `/${dir}/${name}`))
    assert.equal(listed.map(({ path }) => Buffer.from(path.replace('\udce9', '\xe9'), 'latin1').toString('latin1')).sort(), names.sort())
    for (const { path, kind, mode, size, mtime, uid, user, nlink } of listed.filter(({ path }) => !path.includes('\udce9'))) {
      const s = fs.lstatSync(there(path))
      assert.is(mode, (s.mode & 0o7777).toString(8).padStart(4, '0'), path)
      assert.is(kind, s.isDirectory() ? 'directory' : s.isSymbolicLink() ? 'link' : 'file', path)
      if (s.isFile()) assert.is(size, s.size, path)
      assert.is(Math.floor(Date.parse(mtime) / 1000), Math.floor(s.mtimeMs / 1000), path)
      if (plan9) assert.equal([uid, typeof user, nlink], [null, 'string', null])
      else assert.is(uid, s.uid)
    }
    assert.match(String(long), plan9 ? /^drwxr-xr-x \? \w+ \w+ .* er\n-rw-r--r-- \? \w+ \w+ 3000017 .* large\n$/ : /^drwxr-xr-x . \d+ \d+ .* er\n-rw-r--r-- [1?] \d+ \d+ 3000017 .* large\n$/)
    assert.match(String(one), /File: \/tree\/one\n {2}Kind: file {3}Size: 1 .*\n {2}Mode: 0640 -rw-r-----/)
    assert.match(none.err, /^ninefold: ls: \/tree\/no: No such file or directory\n$/)
  })

  declare('cat, put from a pipe, mkdir, mv, rm', async () => {
    assert.ok((await ok('cat', '/tree/a/deep/large', '/tree/one')).equals(Buffer.concat([fs.readFileSync(there('tree/a/deep/large')), fs.readFileSync(there('tree/one'))])))
    const long = 'line\n'.repeat(500_000)
    assert.equal((await verb(['put', '-', '/piped'], long)).err, '')
    assert.ok(fs.readFileSync(there('piped'), 'utf8') === long)
    assert.equal((await verb(['put', '-', '/piped'], 'short')).err, '')
    assert.ok(fs.readFileSync(there('piped'), 'utf8') === 'short')
    await ok('mkdir', '-p', '-m', '0750', '/made/of/many')
    assert.is(fs.statSync(there('made/of/many')).mode & 0o7777, 0o750)
    await ok('mv', '/piped', '/renamed')
    assert.is(fs.readFileSync(there('renamed'), 'utf8'), 'short')
    const moved = await verb(['mv', '/renamed', '/made'])
    if (linux) assert.ok(moved.code === 0 && fs.existsSync(there('made/renamed')))
    else assert.is(moved.err, `ninefold: mv: /renamed to /made: ${dialect} renames within a directory only\n`)
    assert.match((await verb(['rm', '/made'])).err, /\/made: Is a directory\n$/)
    await ok('rm', '-r', '/made', '/stored')
    assert.not.ok(fs.existsSync(there('made')) || fs.existsSync(there('stored')))
  })

  declare('ln and xattr, or why not', async () => {
    const [hard, soft] = await Promise.all([verb(['ln', '/tree/one', '/second']), verb(['ln', '-s', 'tree/one', '/soft'])])
    if (plan9) {
      assert.equal([hard.code, hard.err, soft.code, soft.err], [1, 'ninefold: ln: /second: 9P2000 has no hard links\n', 1, 'ninefold: ln: /soft: 9P2000 has no symbolic links\n'])
      fs.symlinkSync('tree/one', there('soft'))
    } else {
      assert.equal([hard.err, soft.err], ['', ''])
      assert.is(fs.statSync(there('second')).ino, fs.statSync(there('tree/one')).ino)
      assert.is(fs.readlinkSync(there('soft')), 'tree/one')
    }
    assert.ok((await ok('cat', '/soft')).equals(fs.readFileSync(there('tree/one'))))
    if (!linux) {
      const { code, err } = await verb(['xattr', 'set', '/tree/one', 'user.note', 'x'])
      return assert.equal([code, err], [1, `ninefold: xattr: /tree/one: user.note: ${dialect} has no extended attributes\n`])
    }
    assert.is(String(await ok('xattr', 'get', '/tree/one', 'user.note')), 'kept')
    await ok('xattr', 'set', '/tree/one', 'user.more', 'a value')
    assert.match(String((await run('getfattr', ['--only-values', '-n', 'user.more', there('tree/one')])).out), /^a value$/)
    await ok('xattr', 'remove', '/tree/one', 'user.note')
    assert.is(String(await ok('xattr', 'list', '/tree/one')), 'user.more\n')
  })

  if (mine) declare('who is attached', async () => {
    const { code, err } = await verb(['ls', '--uid', '7', '/'])
    if (plan9) assert.equal([code, err], [1, 'ninefold: ls: --uid: 9P2000 knows users by name alone. Give one: --user\n'])
    await ok('ls', '--user', 'root', '/')
  })
  if (plan9) declare('a link that leads back is not followed for ever, and what links lead to is not removed', async () => {
    fs.mkdirSync(there('loop/deep'), { recursive: true })
    fs.symlinkSync('..', there('loop/deep/up'))
    fs.symlinkSync('../../tree', there('loop/deep/tree'))
    const { code, err } = await verb(['get', '-r', '--progress', '/loop', here('loop')])
    assert.is(code, 1)
    assert.match(err, /ninefold: get: \/loop\/deep\/up: Too many levels of symbolic links\n/)
    assert.equal(fs.readdirSync(here('loop/deep/tree')).length, fs.readdirSync(there('tree')).length)
    await ok('rm', '-r', '/loop')
    assert.ok(!fs.existsSync(there('loop')) && fs.existsSync(there('tree/a/deep/large')))
  })
  if (!mine) declare('a dialect that the server does not speak', async () => {
    const { code, err } = await run(bin, ['ls', '/', '--server', server!.url, '--aname', server!.aname, '--dialect', '9P2000'])
    assert.is(code, 1)
    assert.match(err, /^ninefold: ls: tcp:.*: EPROTONOSUPPORT: the server (refused 9P2000 \(|speaks "unknown", not 9P2000)/)
  })
  test.run()
}

// diod's own clients against ours. diodload wants a tree called ctl, with a file of zeros and one that takes all: a mount will do, but not for
// who would get the server's own there.
{
  const test = suite("diod's tools against ours"), declare = requires(test, 'diodls', 'diodcat', 'diodload')
  const folder = fs.mkdtempSync(join(tmpdir(), 'ninefold-diod-')), dir = join(folder, 'served')
  let server: Server
  test.before(async () => {
    fs.mkdirSync(dir)
    fs.chmodSync(folder, 0o755)
    const ctl = await memory({})
    const root = await ctl.attach('')
    for (const [name, size] of [['zero', 1 << 24], ['null', 0]] as const) {
      const { handle } = await root.create(name, O.RDWR, 0o666, { uid: 0, gid: 0 })
      await handle.setattr({ size })
      await handle.close()
    }
    await root.close()
    server = await serve({ listen: ['tcp://127.0.0.1:0', `unix:${folder}/socket?mode=0666`], namespace: new Map([['/', await posix({ path: dir })], ['/ctl', ctl]]) })
    fs.mkdirSync(join(dir, 'sub'))
    fs.mkdirSync(join(dir, 'many'))
    for (let i = 0; i < 2000; i++) fs.writeFileSync(join(dir, 'many', `${'x'.repeat(i % 100)}${i}`), '')
    fs.writeFileSync(join(dir, 'sub/file'), 'content\n')
    fs.chmodSync(join(dir, 'sub/file'), 0o640)
    fs.writeFileSync(join(dir, 'large'), randomBytes(5_000_001))
  })
  test.after(async () => {
    await server.stop()
    fs.rmSync(folder, { recursive: true })
  })
  for (const [i, what] of ['tcp', 'unix'].entries()) {
    const address = () => i === 0 ? server.urls[0]!.slice('tcp://'.length) : join(folder, 'socket')
    const tool = async (program: string, ...words: string[]) => {
      const { code, out, err } = await run(program, ['-s', address(), ...words])
      assert.equal([code, err], [0, ''], [program, ...words].join(' '))
      return out
    }
    declare(`${what}: diodls lists, by name and at length`, async () => {
      assert.equal(String(await tool('diodls', '-a', '/many')).trim().split('\n').sort(), fs.readdirSync(join(dir, 'many')).sort())
      const lines = String(await tool('diodls', '-l', '-a', '/sub')).trim().split('\n')
      const line = lines.find((line) => line.endsWith(' file'))
      assert.match(line ?? lines.join('\n'), /^-rw-r-----\.? +1 \S+ \S+ +8 /)
      assert.match(lines.find((line) => line.endsWith(' .')) ?? 'no dot', /^drwxr-xr-x/)
    })
    declare(`${what}: diodcat reads whole files, and says what is not there`, async () => {
      assert.ok((await tool('diodcat', '-a', '/', 'large')).equals(fs.readFileSync(join(dir, 'large'))))
      assert.ok((await tool('diodcat', '-m', '8192', '-a', '/', 'large', 'sub/file')).equals(Buffer.concat([fs.readFileSync(join(dir, 'large')), Buffer.from('content\n')])))
      const { code, err } = await run('diodcat', ['-s', address(), '-a', '/', 'nothing'])
      assert.ok(code !== 0 && /nothing: No such file or directory/.test(err), err)
    })
    const stranger = i === 1 ? ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'] : []
    if (i === 0 || process.getuid!() === 0) declare(`${what}: diodload reads, writes and asks for attributes`, async () => {
      for (const [words, says] of [[[], /^diodload: [1-9]\d* ops\/s, \d+ rMB\/s, \d+ wMB\/s\n$/], [['-g'], /^diodload: [1-9]\d* ops\/s, 0 rMB\/s, 0 wMB\/s\n$/]] as const) {
        const [program, ...line] = [...stranger, 'diodload', '-s', address(), '-n', '4', '-r', '1', ...words]
        const { code, err } = await run(program!, line)
        assert.is(code, 0)
        assert.match(err, says)
      }
    })
  }
  test.run()
}
