// Who is at the other end, asked of real sockets between real processes of real users, and what attach points make of them.

import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { NONUNAME, isErrno } from 'ninep'
import type { Code } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Gate } from '../server/gate.ts'
import { admit, inheritedPeer, mayClaim, ownerInTables, peerOf } from '../server/peer.ts'
import type { Peer } from '../server/peer.ts'
import { NOBODY, UserDatabase, applyRules, attachOptions, attachRules } from '../server/users.ts'
import { BadOption } from '../translators/options.ts'
import { tcpOwner } from '../translators/sys.ts'
import type { Awaitable } from '../translators/translator.ts'
import { skipping } from './needs.ts'

const test = suite('peer')
const self = process.getuid!()
const asRoot = self === 0 ? test : skipping(test, 'needs root, to start processes of other users')

async function refused(code: Code, f: () => unknown): Promise<void> {
  try { await f() } catch (e) {
    if (!isErrno(e)) throw e
    assert.is(e.code, code)
    return
  }
  assert.unreachable(`taken, and should be ${code}`)
}

/** Connects a process of this user, which runs the script with `socket` in hand, and gives what `ask` says of our end. */
async function from<T>(where: string, uid: number, script: string, ask: (socket: Socket) => Awaitable<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'ninefold-peer-')), path = join(folder, 'socket')
  const server: Server = createServer({ allowHalfOpen: true, pauseOnConnect: true })
  try {
    const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve))
    await new Promise<void>((done) => { if (where === 'unix') server.listen(path, done); else server.listen(0, where, done) })
    if (where === 'unix') { chmodSync(folder, 0o755); chmodSync(path, 0o777) }
    const to = where === 'unix' ? JSON.stringify(path) : `${(server.address() as AddressInfo).port}, ${JSON.stringify(where === '::' ? '127.0.0.1' : where)}`
    const program = `const socket = require('node:net').connect(${to}, () => { ${script} }); setTimeout(() => process.exit(1), 10000)`
    const args = [process.execPath, '-e', program], user = uid === self ? [] : ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--']
    const [command, ...rest] = [...user, ...args] as [string, ...string[]]
    const child = spawn(command, rest, { stdio: ['ignore', 'inherit', 'inherit'], cwd: '/' })
    const ended = new Promise<void>((done) => child.on('exit', () => done()))
    try {
      const socket = await accepted
      try {
        if (script !== '') { await ended; await sleep(300) }          // so that the kernel has seen the end, too
        return await ask(socket)
      } finally { socket.destroy() }
    } finally { child.kill('SIGKILL'); await ended }
  } finally {
    server.close()
    rmSync(folder, { recursive: true })
  }
}

for (const [where, peer] of [
  ['unix', { kind: 'unix', loopback: true }],
  ['127.0.0.1', { kind: 'tcp', loopback: true, address: '127.0.0.1' }],
  ['::1', { kind: 'tcp', loopback: true, address: '::1' }],
  ['::', { kind: 'tcp', loopback: true, address: '127.0.0.1' }],
] as const) {
  test(`our own process on ${where} is the server's user, who may claim any uid`, async () => {
    const found = await from(where, self, '', peerOf)
    assert.equal(found, { ...peer, uid: self })
    assert.equal([self, 0, 1000].map((uid) => mayClaim(found, uid)), [true, true, true])
  })
  asRoot(`nobody on ${where} is nobody, who may claim only that`, async () => {
    const found = await from(where, NOBODY, '', peerOf)
    assert.equal(found, { ...peer, uid: NOBODY })
    assert.equal([NOBODY, 0, 1000].map((uid) => mayClaim(found, uid)), [true, false, false])
  })
}
for (const where of ['127.0.0.1', '::1', '::']) {
  asRoot(`the tables in /proc know as well as the kernel who is at the other end on ${where}, one reading for all that ask`, async () => {
    await from(where, NOBODY, '', async ({ remoteAddress, remotePort, localPort }) => {
      const address = remoteAddress!.replace('::ffff:', '')
      const asked = Array.from({ length: 50 }, (_, i) => ownerInTables(address, i === 20 ? 1 : remotePort!, i === 30 ? 1 : localPort!))
      assert.equal(await Promise.all(asked), asked.map((_, i) => i === 20 || i === 30 ? undefined : NOBODY))
      assert.is(await ownerInTables(address, remotePort!, localPort!), NOBODY)
    })
  })
}
asRoot('whose socket it is, is told of that one socket alone', () => from('127.0.0.1', NOBODY, '', async ({ remotePort, localPort }) => {
  const here = Uint8Array.of(127, 0, 0, 1)
  assert.is(tcpOwner(here, remotePort!, here, localPort!), NOBODY)
  assert.is(tcpOwner(here, localPort!, here, remotePort!), self)
  // A listener is at no other end.
  for (const [from, to] of [[remotePort!, 1], [1, localPort!], [localPort!, 1]] as const) {
    let uid: number | undefined
    try { uid = tcpOwner(here, from, here, to) } catch (e) { assert.ok(isErrno(e, 'ENOENT'), String(e)) }
    assert.is(uid, undefined)
  }
}))
for (const [how, script] of [['exits', 'process.exit(0)'], ['says something and exits', "socket.write('x', () => process.exit(0))"], ['resets', 'socket.resetAndDestroy(); process.exit(0)']] as const) {
  asRoot(`a process of nobody that connects over TCP and ${how} is not taken for root`, async () => {
    const found = await from('127.0.0.1', NOBODY, script, peerOf)
    assert.ok(found.uid === undefined || found.uid === NOBODY, `taken for ${found.uid}`)
    assert.equal([0, 1000].map((uid) => mayClaim(found, uid)), [false, false])
  })
  asRoot(`one that does so over a unix socket neither`, async () => {
    const found = await from('unix', NOBODY, script.replace('socket.resetAndDestroy(); ', ''), peerOf)
    assert.is(found.uid, NOBODY)
  })
}
asRoot('a server that runs as a user believes root and that user, and takes no user for nobody', () => {
  const claims = (self: number) => execFileSync(process.execPath, ['--input-type=module', '-e', `import { mayClaim } from ${JSON.stringify(import.meta.resolve('../server/peer.js'))}
    process.setgid(${self}); process.setuid(${self})
    console.log([[0, 5], [${self}, 5], [7, 7], [7, 5], [7, ${self}], [7, 0]].map(([uid, claim]) => mayClaim({ kind: 'unix', loopback: true, uid }, claim) ? 'y' : 'n').join(''))`], { encoding: 'utf8', cwd: '/' }).trim()
  assert.is(claims(1000), 'yyynnn')
  assert.is(claims(NOBODY), 'ynynnn')
})
test('an inherited stream is of the server\'s own user', () => {
  assert.ok(mayClaim(inheritedPeer(), 0))
})
test('who is not known may claim nobody, and only from here', () => {
  assert.equal([NOBODY, 0, 1000].map((uid) => mayClaim({ kind: 'tcp', loopback: true }, uid)), [true, false, false])
  assert.is(mayClaim({ kind: 'other', loopback: false }, NOBODY), false)
})

// Attach points
const rules = (given: Record<string, unknown> = {}) => attachRules(Object.fromEntries(Object.entries(given)
  .map(([key, value]) => [key, attachOptions[key as keyof typeof attachOptions].parse(value)])))
const local = (uid: number): Peer => ({ kind: 'unix', loopback: true, uid })
const remote = (address: string): Peer => ({ kind: 'tcp', loopback: false, address })

test('by default no one is squashed, nothing is mapped, and all may be changed', () => {
  const { squash, readOnly, uids, from } = attachRules()
  assert.equal([squash, readOnly, uids.toServed(7), uids.toClient(7), from.lines], ['none', false, 7, 7, []])
})
test('squash: root makes root nobody, all everyone', () => {
  assert.equal([0, 1000].map((uid) => applyRules(rules({ squash: 'root' }), uid)), [NOBODY, 1000])
  assert.equal([0, 1000].map((uid) => applyRules(rules({ squash: 'all' }), uid)), [NOBODY, NOBODY])
})
test('squash comes after the map: mapped root is no root, and who is mapped to root is', () => {
  assert.is(applyRules(rules({ squash: 'root', 'uid-map': { 0: 1000 } }), 0), 1000)
  assert.is(applyRules(rules({ squash: 'root', 'uid-map': '1000:0' }), 1000), NOBODY)
})
test('uid-map goes both ways, and no one else can be mistaken', () => {
  const { toServed, toClient } = rules({ 'uid-map': '1000:500,7:8' }).uids
  assert.equal([1000, 7, 9].map(toServed), [500, 8, 9])
  assert.equal([500, 8, 9].map(toClient), [1000, 7, 9])
  assert.equal([toServed(500), toClient(1000)], [NOBODY, NOBODY])
})
test('uid-map may swap two', () => {
  const { toServed, toClient } = rules({ 'uid-map': '1:2,2:1' }).uids
  assert.equal([1, 2].map(toServed), [2, 1])
  assert.equal([1, 2].map(toClient), [2, 1])
})
for (const [key, value] of [['uid-map', '1000:500,1001:500'], ['uid-map', 'alice:500'], ['uid-map', '1000:-1'], ['squash', 'some'], ['from', 'example.org'], ['from', ['192.0.2.0/33']], ['from', [7]], ['from', 'user@192.0.2.1']] as const) {
  test(`${key}: ${JSON.stringify(value)} is refused`, () => assert.throws(() => rules({ [key]: value }), (e: unknown) => e instanceof BadOption))
}
test('local peers are who they are', async () => {
  assert.is(admit(local(1000), rules(), 1000), 1000)
  assert.is(admit(local(0), rules(), 1000), 1000)
  if (self !== 1000) await refused('EPERM', () => admit(local(1000), rules(), 1001))
  if (self !== 1000) await refused('EPERM', () => admit(local(1000), rules({ squash: 'all' }), 0))
})
test('other hosts come in only by a line that says so', async () => {
  await refused('EPERM', () => admit(remote('192.0.2.7'), rules(), 1000))
  await refused('EPERM', () => admit(remote('192.0.3.7'), rules({ from: '192.0.2.0/24' }), 1000))
  assert.is(admit(remote('192.0.2.7'), rules({ from: '192.0.2.0/24' }), 1000), 1000)
  assert.is(admit(remote('2001:db8::5'), rules({ from: ['192.0.2.0/24', '2001:db8::/32'] }), 1000), 1000)
})
test('their root is nobody, unless the line says root@', () => {
  assert.is(admit(remote('192.0.2.7'), rules({ from: '192.0.2.0/24' }), 0), NOBODY)
  assert.is(admit(remote('192.0.2.7'), rules({ from: '192.0.2.0/24, root@192.0.2.7' }), 0), 0)
  assert.is(admit(remote('192.0.2.7'), rules({ from: 'root@192.0.2.7', squash: 'root' }), 0), NOBODY)
})

test('"nobody" where no uid is given is no claim: who may not make it is who he is', async () => {
  const gate = new Gate(new Map()), as = async (peer: Peer, uname: string, nUname = NONUNAME) => (await gate.admit(peer, uname, nUname, [])).user.uid
  assert.is(await as(local(700_001), 'nobody'), 700_001)
  assert.is(await as(local(700_001), ''), 700_001)
  assert.is(await as(local(0), 'nobody'), NOBODY)
  assert.is(await as(local(0), 'root'), 0)
  await refused('EPERM', () => as(local(700_001), 'root'))
  await refused('EPERM', () => as(local(700_001), '', NOBODY))
  assert.is(await as({ kind: 'tcp', loopback: true }, 'nobody'), NOBODY)
})

// The user database
const users = new UserDatabase()
test('the groups of a user are those that id tells', async () => {
  const user = await users.user(0)
  assert.is(user.uid, 0)
  assert.is(user.gid, 0)
  assert.ok(user.groups.has(0))
})
test('names have uids; digits are one; what is no name has none', async () => {
  assert.equal(await Promise.all(['root', '1234', 'nobody-of-that-name', '', '-u', 'a b', 'x\0y', '4294967295'].map((name) => users.uidOf(name))), [0, 1234, undefined, undefined, undefined, undefined, undefined, undefined])
})
test('an unknown uid is alone in a group of its number, but in no group of this host', async () => {
  const taken = new Set<number>(), groups = readFileSync('/etc/group', 'latin1').split('\n').map((line) => line.split(':'))
  const known = new Set(readFileSync('/etc/passwd', 'latin1').split('\n').map((line) => Number(line.split(':')[2])))
  for (const [, , gid] of groups) if (gid) taken.add(Number(gid))
  const free = [...Array(1000).keys()].map((i) => 700_000 + i).find((uid) => !known.has(uid) && !taken.has(uid))!
  assert.equal(await users.user(free), { uid: free, gid: free, groups: new Set([free]) })
  const trap = [...taken].find((gid) => !known.has(gid))
  if (trap !== undefined) assert.equal(await users.user(trap), { uid: trap, gid: NOBODY, groups: new Set([NOBODY]) })
})

/** Runs with an `id` of our own first on the PATH: a shell script, which may note its runs in $LOG. */
async function withId(script: string, f: (runs: () => number) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'ninefold-id-')), log = join(folder, 'log'), PATH = process.env.PATH
  writeFileSync(log, '')
  writeFileSync(join(folder, 'id'), `#!/bin/sh\necho run >> ${log}\n${script}\n`, { mode: 0o755 })
  process.env.PATH = `${folder}:${PATH ?? ''}`
  try { await f(() => readFileSync(log, 'latin1').split('\n').length - 1) } finally {
    if (PATH === undefined) delete process.env.PATH
    else process.env.PATH = PATH
    rmSync(folder, { recursive: true })
  }
}
test('lookups of one uid at the same time share one, and later ones its answer', () => withId('sleep 0.1; echo 7 8 9', async (runs) => {
  const database = new UserDatabase(), all = await Promise.all([1, 1, 1, 1].map((uid) => database.user(uid)))
  for (const user of [...all, await database.user(1)]) assert.equal(user, { uid: 1, gid: 7, groups: new Set([7, 8, 9]) })
  assert.is(runs(), 1)
}))
test('a name service that hangs is ETIMEDOUT for who asked, and the loop goes on', () => withId('exec sleep 20', async (runs) => {
  const database = new UserDatabase(300)
  let turns = 0
  const ticking = setInterval(() => { turns++ }, 10), begun = Date.now()
  try {
    await refused('ETIMEDOUT', () => database.user(1))
  } finally { clearInterval(ticking) }
  assert.ok(Date.now() - begun < 5000)
  assert.ok(turns > 10, `${turns} turns of the loop`)
  await refused('ETIMEDOUT', () => database.user(1))
  assert.is(runs(), 2)                                      // asked anew: a failure is not kept
}))
test('a name service that fails is EIO, not an unknown user', () => withId('echo "id: cannot find a server" >&2; exit 1', async () => {
  await refused('EIO', () => new UserDatabase().user(1))
}))
test('one that says nonsense is EIO', () => withId('echo staff wheel', async () => {
  await refused('EIO', () => new UserDatabase().user(1))
}))
test('at most four processes at a time', () => withId('d=$(dirname "$0")/at-once.$$; : > "$d"; ls "$(dirname "$0")" | grep -c at-once >> "$(dirname "$0")/most"; sleep 0.05; rm "$d"; echo 5', async () => {
  const database = new UserDatabase(), folder = process.env.PATH!.split(':')[0]!
  await Promise.all(Array.from({ length: 20 }, (_, uid) => database.user(uid)))
  const most = readFileSync(join(folder, 'most'), 'latin1').trim().split('\n').map(Number)
  assert.is(most.length, 20)
  assert.ok(Math.max(...most) <= 4, `${Math.max(...most)} at once`)
}))

test.run()
