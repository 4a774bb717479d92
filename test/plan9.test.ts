// The chapter on Plan 9's clients: its server is started as it stands there, and each client's line is taken at its word: the address is
// served, in the client's dialect, with what the line asks for.

import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseConfig } from '../server/config.ts'
import { root } from './guest/build.ts'
import { freePort } from './foreign.ts'
import { words } from './guest/chapters.ts'
import { serve } from './guest/serve.ts'
import type { Served } from './guest/serve.ts'
import { missing, requires } from './needs.ts'
import { Plan9, type Old } from './wire/plan9/client.ts'

const chapter = readFileSync(join(root, 'examples/plan9/README.md'), 'utf8')
const block = (kind: string) => new RegExp(`^\`\`\`${kind}\n(.*?)^\`\`\``, 'ms').exec(chapter)![1]!.trim()

const test = suite('examples/plan9')
const home = mkdtempSync(join(tmpdir(), 'ninefold-plan9-'))
let server: Served, port: number
/** The chapter's own words, where this server is. */
const here = (text: string) => text.replaceAll('5640', String(port)).replaceAll('$PWD', home)

test.before(async () => {
  port = await freePort()
  mkdirSync(join(home, 'export'))
  mkdirSync(join(home, 'run'))
  writeFileSync(join(home, 'export/notes'), 'text')
  const [npx, ninefold, ...args] = words(here(block('sh host')))
  assert.equal([npx, ninefold], ['npx', 'ninefold'])
  server = await serve(home, args)
})
test.after(async () => {
  await server?.[Symbol.asyncDispose]()
  rmSync(home, { recursive: true, force: true })
})

/** A dial string of Plan 9, or a socket's path, as an address of ours. */
function url(dial: string): string {
  const [net, host, service] = dial.split('!')
  if (net === 'tcp') return `tcp://${host}:${service}`
  return `unix:${net === 'unix' ? host : dial}`
}
async function attached(dial: string, aname: string, dialect: Old): Promise<Plan9> {
  const client = await Plan9.versioned(url(dial), dialect, 8192)
  await client.attach(0, aname, userInfo().username)
  return client
}

for (const line of block('sh 9p').split('\n')) {
  test(line, async () => {
    const [, , dial, , aname, verb, path] = /9p (-n )?-a ["']([^"']+)["'] (-A (\S+) )?(\S+)(?: -l)? \/(\S*)/.exec(here(line))!
    const client = await attached(dial!, aname ?? '', '9P2000')
    if (verb === 'create') await client.file(0, path!)
    if (verb === 'write') assert.is(await client.outcome('Twalk', { fid: 0, newfid: 1, names: [path!] }), 'ok')
    if (verb === 'ls') assert.equal(await client.ls(0), ['notes', 'scratch'])
    else assert.is((await client.statAt(0, path!)).name, path)
    await client.end()
  })
}

// Where plan9port is there, by its own program. What the lines before have made is gone again.
if (missing('9p') === undefined) {
  test('plan9port runs them', async () => {
    const lines = here(block('sh 9p')).replace('create /new', 'create /newer')
    const { stdout, stderr } = await promisify(execFile)('sh', ['-euc', lines], { cwd: home })
    assert.match(stdout, /notes\n.*scratch\ntext'notes' /s)
    assert.is(stderr, '')
    assert.is(readFileSync(join(home, 'export/notes'), 'utf8'), 'hello\n')
    const client = await attached(`tcp!127.0.0.1!${port}`, '/scratch', '9P2000')
    await client.walk(0, 1, 'newer')
    await client.ok('Tremove', { fid: 1 })
    await client.end()
  })
}

for (const kind of ['9pfuse', 'mount'] as const) {
  for (const line of block(`sh ${kind}`).split('\n')) {
    test(line, async () => {
      const [, , aname = '', dial] = /^9(?:pfuse| mount) (-a (\S+) )?["']([^"']+)["'] \S+$/.exec(here(line))!
      const client = await attached(dial!, aname, '9P2000')
      assert.equal(await client.ls(0), aname === '/scratch' ? ['new'] : ['notes', 'scratch'])
      await client.end()
    })
  }
}

for (const line of block('sh linux').split('\n')) {
  test(line, async () => {
    const version = /version=(\S+?),/.exec(line)?.[1] ?? '9p2000', [, at] = /(?:port=|!)(\d+)[,']/.exec(here(line))!
    assert.is(Number(at), port)
    const client = await attached(`tcp!127.0.0.1!${port}`, '', version.replace('9p', '9P') as Old)
    assert.equal(await client.ls(0), ['notes', 'scratch'])
    await client.end()
  })
}

requires(test, '9mount')('9mount says to the kernel what the chapter says of it', async () => {
  const line = here(block('sh linux').split('\n').at(-1)!).replace('"$HOME/n/ninefold"', 'export')
  const said = async (options: string) => (await promisify(execFile)('sh', ['-euc', line.replace('-i', options)], { cwd: home, env: { ...process.env, USER: userInfo().username } })).stderr
  const plain = await said('-n -i')
  assert.match(plain, /^mount -t 9p -o \S*\btrans=tcp,/)
  assert.match(plain, new RegExp(`\\bport=${port} 127\\.0\\.0\\.1 export`))
  assert.match(plain, /,noextend,/)
  assert.not.match(await said('-n -u -i'), /noextend|version/)
})

test('the config is a good one, and opens port 564 to whom it names alone', () => {
  const { listen, attach } = parseConfig(block('yaml'), 'README.md')
  assert.equal(listen, ['tcp://0.0.0.0:564'])
  assert.ok(attach.get('/'))
})
test.run()
