// Passive translators over real sockets: recorded on nodes by clients, started by walks, stopped when idle, kept over restarts.

import { chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SetAttrs, XATTR_CREATE, XATTR_REPLACE } from 'ninep'
import type { Dialect } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { PassiveRules } from '../server/passive.ts'
import type { Server, ServerConfig } from '../server/server.ts'
import { parseStack } from '../server/stack.ts'
import { skipping } from './needs.ts'
import { REMOVEDIR, getXattr, listing, ls, setXattr, setattr } from './wire/cases/common.ts'
import { Plan9 } from './wire/plan9/client.ts'
import { Raw } from './wire/raw.ts'
import { serving as standing } from './wire/stand.ts'
import type { Kept } from './wire/stand.ts'

const RECORD = 'user.translator'
const me = process.getuid!()

function serving(run: (server: Server, raw: Raw, log: Kept) => Promise<void>, stack = 'memory', config: Partial<ServerConfig> & { passive?: Partial<PassiveRules> } = {}): Promise<void> {
  return standing({ namespace: new Map([['/', parseStack(stack)]]), ...config }, run)
}
async function soon(what: string, holds: () => boolean): Promise<void> {
  for (let i = 0; !holds(); i++) {
    if (i > 2000) throw new Error(`${what}: not within 20 s`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
const record = (raw: Raw, name: string, text: string, flags = 0) => setXattr(raw, name, RECORD, Buffer.from(text), flags)
const forget = (raw: Raw, name: string) => setXattr(raw, name, RECORD, new Uint8Array(0), XATTR_REPLACE)
const names = async (raw: Raw, file: string) => (await getXattr(raw, file, '')).split('\0').filter(Boolean)
function folder(): { path: string; end: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'ninefold-passive-'))
  return { path, end: () => rmSync(path, { recursive: true }) }
}

const test = suite('passive')

test('a record on a file: the first walk starts it over the file itself, and it is taken off again', () => serving(async ({ mounts }, raw) => {
  await raw.file(0, 'f', 'Hurd!')
  assert.is(await record(raw, 'f', 'rot13'), 'ok')
  assert.equal([await getXattr(raw, 'f', RECORD), await names(raw, 'f')], ['rot13', []])
  assert.equal(await mounts.recorded('/f'), { stack: 'rot13', state: 'running', fids: 0 })
  assert.is(await raw.content(0, 'f'), 'Uheq!')
  await raw.walk(0, 1, 'f')
  assert.is((await raw.getattr(1)).size, 5)
  await raw.open(1, 2)
  await raw.write(1, 'Mach!')
  await raw.clunk(1)
  assert.is(await forget(raw, 'f'), 'ok')
  assert.is(await raw.content(0, 'f'), 'Znpu!')
  assert.is(await getXattr(raw, 'f', RECORD), 'errno 61')
  assert.is(await mounts.recorded('/f'), undefined)
  assert.is(mounts.passive.any, false)
}))

test('on a directory: all below is seen through it, and .. leads out', () => serving(async (_, raw) => {
  await raw.mkdir(0, 'd')
  await raw.walk(0, 1, 'd')
  const number = (await raw.getattr(1)).qid.path
  await raw.mkdir(1, 'e')
  await raw.walk(1, 2, 'e')
  await raw.file(2, 'f', 'Hurd!')
  assert.is(await record(raw, 'd', 'rot13 shift=1'), 'ok')
  assert.is(await raw.content(0, 'd', 'e', 'f'), 'Gtqc!')
  assert.is(await raw.content(2, 'f'), 'Hurd!', 'who was there before is under it')
  const { qids } = await raw.walk(0, 3, 'd', 'e', '..', '..')
  assert.equal([qids[0]!.path, qids[2]!.path, qids[3]!.path], [number, number, (await raw.getattr(0)).qid.path])
  assert.equal([await ls(raw, 'd'), await ls(raw, 'd', 'e')], [['e'], ['f']])
  await raw.walk(0, 4, 'd', 'e')
  assert.is(await raw.refused('Trenameat', { olddirfid: 4, oldname: 'f', newdirfid: 0, newname: 'f' }), 'EXDEV')
  assert.is((await listing(raw, (await raw.walk(0, 5), await raw.open(5), 5))).find(({ name }) => name === 'd')!.qid.path, number)
}))

test('a stack that names what is under it needs no more; one over another file is not reached by the names of this one', () => serving(async ({ mounts }, raw) => {
  await raw.file(0, 'f', 'text')
  assert.is(await record(raw, 'f', 'rot13 | rot13 | node'), 'ok')
  assert.is(await raw.content(0, 'f'), 'text')
  assert.is(await record(raw, 'f', 'hello greetings'), 'ok')
  assert.is(await raw.content(0, 'f'), 'greetings')
  await raw.ok('Tunlinkat', { dirfid: 0, name: 'f', flags: 0 })
  await raw.file(0, 'f', 'another')
  assert.is(await raw.content(0, 'f'), 'another')
  assert.is(mounts.passive.any, false, 'it went with its file')
  await record(raw, 'f', 'rot13')
  await raw.ok('Trenameat', { olddirfid: 0, oldname: 'f', newdirfid: 0, newname: 'g' })
  assert.is(await raw.content(0, 'g'), 'nabgure', 'it moves with its file')
  await raw.file(0, 'h', 'over')
  await raw.ok('Trenameat', { olddirfid: 0, oldname: 'h', newdirfid: 0, newname: 'g' })
  assert.equal([await raw.content(0, 'g'), mounts.passive.any], ['over', false])
}))

/** A client of a dialect that has come in as fid 0, in the words that it has for these. */
async function speaking(server: Server, dialect: Dialect) {
  const url = server.urls[0]!
  if (dialect === '9P2000.L') {
    const raw = await Raw.versioned(url)
    await raw.attach(0)
    return {
      at: async (...names: string[]) => { await raw.walk(0, 1, ...names) }, clunk: () => raw.clunk(1), remove: () => raw.outcome('Tremove', { fid: 1 }), end: () => raw.end(),
      rename: (name: string) => raw.outcome('Trename', { fid: 1, dfid: 0, name }), name: undefined,
    }
  }
  const raw = await Plan9.versioned(url, dialect)
  await raw.attach(0)
  return {
    at: async (...names: string[]) => { await raw.walk(0, 1, ...names) }, clunk: () => raw.clunk(1), remove: () => raw.outcome('Tremove', { fid: 1 }), end: () => raw.end(),
    rename: (name: string) => raw.wstat(1, { name }), name: async () => (await raw.stat(1)).name,
  }
}
for (const dialect of ['9P2000.L', '9P2000.u', '9P2000'] as const) for (const brick of ['memory', 'posix'] as const) {
  test(`${dialect} over ${brick}: a file goes with its record, but not while somebody is in what that started`, async () => {
    const { path, end } = folder()
    try {
      await serving(async (server, raw) => {
        const { at, clunk, remove, rename, name, end } = await speaking(server, dialect), { passive } = server.mounts
        await raw.file(0, 'f', 'text')
        assert.is(await record(raw, 'f', 'rot13'), 'ok')
        await at('f')
        if (name) assert.is(await name(), 'f')
        assert.is(await rename('g'), 'ok')
        assert.equal([await ls(raw), await raw.content(0, 'g')], [['g'], 'grkg'])
        if (name) assert.is(await name(), 'g')
        await clunk()
        // in use by another
        await raw.walk(0, 5, 'g')
        await raw.open(5)
        await at('g')
        assert.is(await remove(), 'EBUSY')
        assert.is(await raw.outcome('Tunlinkat', { dirfid: 0, name: 'g', flags: 0 }), 'EBUSY')
        await raw.file(0, 'h', 'over')
        assert.is(await raw.outcome('Trenameat', { olddirfid: 0, oldname: 'h', newdirfid: 0, newname: 'g' }), 'EBUSY')
        assert.equal([await raw.read(5), await raw.content(0, 'g')], ['grkg', 'grkg'])
        await raw.clunk(5)
        // known to another, and not more
        await raw.walk(0, 5, 'g')
        await at('g')
        assert.is(await remove(), 'ok')
        await raw.clunk(5)
        assert.equal([await ls(raw), passive.any, [...passive.active].length], [['h'], false, 0])
        // of directories, who is below the root is in them
        await raw.mkdir(0, 'd')
        assert.is(await record(raw, 'd', 'rot13'), 'ok')
        await raw.walk(0, 6, 'd')
        await raw.mkdir(6, 'e')
        await raw.walk(6, 7, 'e')
        await at('d')
        assert.is(await remove(), 'EBUSY')
        await raw.clunk(7)
        await at('d')
        assert.is(await remove(), 'ENOTEMPTY')
        assert.is(await raw.outcome('Tunlinkat', { dirfid: 6, name: 'e', flags: REMOVEDIR }), 'ok')
        await at('d')
        assert.is(await remove(), 'ok')
        await raw.clunk(6)
        assert.equal([await ls(raw), passive.any], [['h'], false])
        // a file that shows itself as a directory, which holds what would be lost
        assert.is(await record(raw, 'h', 'memory'), 'ok')
        await raw.walk(0, 6, 'h')
        await raw.file(6, 'held', 'text')
        await at('h')
        assert.is(await remove(), 'ENOTEMPTY')
        assert.is(await raw.outcome('Tunlinkat', { dirfid: 0, name: 'h', flags: REMOVEDIR }), 'ENOTEMPTY')
        assert.is(await raw.content(6, 'held'), 'text')
        await raw.ok('Tunlinkat', { dirfid: 6, name: 'held', flags: 0 })
        await raw.clunk(6)
        assert.is(await raw.outcome('Tunlinkat', { dirfid: 0, name: 'h', flags: 0 }), 'EISDIR')
        await at('h')
        assert.is(dialect === '9P2000.L' ? await raw.outcome('Tunlinkat', { dirfid: 0, name: 'h', flags: REMOVEDIR }) : await remove(), 'ok')
        assert.equal([await ls(raw), passive.any], [[], false])
        await end()
      }, brick === 'memory' ? 'memory' : `posix ${path} owner=none`, { passive: { allow: ['rot13', 'memory'] } })
    } finally { end() }
  })
}

test('one of two names goes, whoever is in it', () => serving(async ({ mounts }, raw) => {
  await raw.file(0, 'f', 'text')
  await raw.walk(0, 1, 'f')
  await raw.ok('Tlink', { dfid: 0, fid: 1, name: 'g' })
  await raw.clunk(1)
  assert.is(await record(raw, 'f', 'rot13'), 'ok')
  await raw.walk(0, 1, 'f')
  await raw.open(1)
  assert.is(await raw.outcome('Tunlinkat', { dirfid: 0, name: 'g', flags: 0 }), 'ok')
  assert.equal([await raw.content(0, 'f'), mounts.passive.any], ['grkg', true])
  assert.is(await raw.outcome('Tunlinkat', { dirfid: 0, name: 'f', flags: 0 }), 'EBUSY')
  await raw.clunk(1)
}))

test('what may not be started, or does not read, is refused, and leaves nothing', () => serving(async ({ mounts }, raw) => {
  await raw.file(0, 'f', 'text')
  for (const [text, code] of [['posix /etc', 'EPERM'], ['memory', 'EPERM'], ['rot13 | memory', 'EPERM'], ['rot13 shift=99', 'EINVAL'], ['nothing', 'EINVAL'], ['rot13 |', 'EINVAL'], ['', 'EINVAL'], ['x'.repeat(5000), 'E2BIG']] as const) {
    assert.is(await record(raw, 'f', text), code, text)
  }
  assert.is(mounts.passive.any, false)
  assert.is(await record(raw, 'f', 'rot13', XATTR_REPLACE), 'ENODATA')
  assert.is(mounts.passive.any, false)
  assert.is(await record(raw, 'f', 'rot13', XATTR_CREATE), 'ok')
  assert.is(await record(raw, 'f', 'rot13', XATTR_CREATE), 'EEXIST')
  assert.is(await record(raw, '', 'rot13'), 'EBUSY', 'the root of a mount')
  await raw.ok('Tsymlink', { dfid: 0, name: 'link', target: 'f', gid: 0 })
  assert.is.not(await record(raw, 'link', 'rot13'), 'ok')
}))

test('the allow list of a config decides', () => serving(async (_, raw) => {
  await raw.mkdir(0, 'd')
  assert.is(await record(raw, 'd', 'rot13'), 'EPERM')
  assert.is(await record(raw, 'd', 'memory'), 'ok')
  await raw.walk(0, 1, 'd')
  await raw.file(1, 'f', 'held')
  assert.is(await raw.content(0, 'd', 'f'), 'held')
  await raw.clunk(1)
  // What would lose what it holds is not stopped for being idle.
  await new Promise((resolve) => setTimeout(resolve, 300))
  assert.is(await raw.content(0, 'd', 'f'), 'held')
}, 'memory', { passive: { allow: ['memory'], idle: 0.05 } }))

test('others than the owner may neither see nor set it', async () => {
  if (me !== 0) return
  await serving(async ({ urls }, raw) => {
    await raw.file(0, 'f', 'text', 0o666)
    assert.is(await record(raw, 'f', 'rot13'), 'ok')
    const other = await Raw.versioned(urls[0]!)
    await other.attach(0, '', 1000)
    assert.equal([await getXattr(other, 'f', RECORD), await record(other, 'f', 'hello'), await forget(other, 'f')], ['errno 1', 'EPERM', 'EPERM'])
    assert.is(await other.content(0, 'f'), 'grkg', 'but he goes through it')
    await other.file(0, 'own', 'text')
    assert.is(await record(other, 'own', 'rot13'), 'ok')
    assert.is(await raw.content(0, 'own'), 'grkg')
    await other.end()
  })
})

test('one that fails is an error on that node alone, tells why, is tried again later, and can be taken off', () => serving(async ({ mounts }, raw, log) => {
  await raw.file(0, 'f', 'text')
  await raw.file(0, 'g', 'text')
  await raw.mkdir(0, 'd')
  for (const name of ['f', 'd']) assert.is(await record(raw, name, 'posix /nowhere/at/all owner=none'), 'ok')
  assert.is(await record(raw, 'g', 'rot13'), 'EPERM')
  for (const name of ['f', 'd']) {
    await raw.walk(0, 1, name)
    assert.is((await raw.getattr(1)).qid.type, name === 'd' ? 0x80 : 0)
    assert.is(await raw.refused('Tlopen', { fid: 1, flags: 0 }), 'EIO')
    await raw.clunk(1)
    const state = (await mounts.recorded(`/${name}`))!
    assert.is(state.state, 'failed')
    assert.match(state.error!, /there is no such directory/)
  }
  assert.is(await raw.content(0, 'g'), 'text')
  assert.equal(await ls(raw), ['d', 'f', 'g'])
  const tries = () => log.warnings.filter(({ message }) => message === 'a passive translator did not start').length
  const before = tries()
  const began = Date.now()
  for (let i = 0; i < 20; i++) await raw.walk(0, 10 + i, 'f')
  assert.ok(tries() - before <= (Date.now() - began) / 1000 + 1, 'not at each walk')
  for (let i = 0; tries() === before && i < 1000; i++) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    await raw.walk(0, 2, 'f')
    await raw.clunk(2)
  }
  assert.ok(tries() > before, 'again, after a while')
  assert.is(await forget(raw, 'f'), 'ok')
  assert.is(await raw.content(0, 'f'), 'text')
}, 'memory', { passive: { allow: ['posix'] } }))

test('one that takes too long to start is given up, told so, and nothing of it is left when it is done at last', () => serving(async ({ mounts }, raw) => {
  await raw.file(0, 'd', Buffer.alloc(1024))
  const running = mounts.instances.count
  assert.is(await record(raw, 'd', 'tar | fault delay=1s ops=open,getattr,read | node'), 'ok')
  await raw.walk(0, 1, 'd')
  assert.is(await raw.refused('Tlopen', { fid: 1, flags: 0 }), 'EIO')
  const { state, error } = (await mounts.recorded('/d'))!
  assert.equal([state, error], ['failed', 'ETIMEDOUT: did not start within 0.1 s'])
  await raw.clunk(1)
  assert.is(await forget(raw, 'd'), 'ok')
  await soon('it has ended', () => mounts.instances.count === running)
  assert.is((await raw.content(0, 'd')).length, 1024)
}, 'memory', { passive: { allow: ['tar', 'fault'], timeout: 0.1 } }))

test('after each failure the next try comes later: a second, two, four', () => serving(async ({ mounts }, raw, log) => {
  await raw.file(0, 'f', 'text')
  assert.is(await record(raw, 'f', 'posix /nowhere'), 'ok')
  const tries = () => log.warnings.filter(({ message }) => message === 'a passive translator did not start').length
  for (let i = 1; i <= 3; i++) {
    let asked = 0
    for (const end = Date.now() + 60_000; tries() < i && Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 20))) {
      asked = Date.now()
      await raw.walk(0, 1, 'f')
      await raw.clunk(1)
    }
    const [active] = [...mounts.passive.active]
    assert.ok(active!.again - asked >= 1000 * 2 ** (i - 1), `${active!.again - asked} ms after try ${i}`)
  }
}, 'memory', { passive: { allow: ['posix'] } }))

test('what is made up belongs to whom the node does, and is no program of anybody', async () => {
  if (me !== 0) return
  await serving(async ({ urls }, raw) => {
    const other = await Raw.versioned(urls[0]!)
    await other.attach(0, '', 1000)
    await other.file(0, 'f', 'text')
    assert.is(await record(other, 'f', 'hello "root wrote this"'), 'ok')
    await raw.walk(0, 1, 'f')
    const { uid, mode } = await raw.getattr(1)
    assert.equal([uid, mode & 0o7777, await raw.content(0, 'f')], [1000, 0o444, 'root wrote this'])
    assert.is(await record(other, 'f', 'fifo mode=2541'), 'EINVAL')       // 04755
    await other.end()
  })
})

const SOMEBODY = 1000
/** As root: a client that is somebody else. */
async function somebody(server: Server, uid = SOMEBODY): Promise<Raw> {
  const raw = await Raw.versioned(server.urls[0]!)
  await raw.attach(0, '', uid)
  return raw
}
const asRoot = me === 0 ? test : skipping(test, 'needs root, to be several users')

asRoot('a user has so many records, and so much memory by them, and no more; others have theirs', () => serving(async (server, raw) => {
  const one = await somebody(server), two = await somebody(server, 1001)
  for (const [client, name] of [[one, 'one'], [two, 'two']] as const) for (let i = 0; i < 4; i++) await client.mkdir(0, `${name}-${i}`)
  for (let i = 0; i < 3; i++) assert.is(await record(one, `one-${i}`, 'rot13'), 'ok')
  assert.is(await record(one, 'one-3', 'rot13'), 'EDQUOT')
  assert.is(await record(one, 'one-2', 'rot13 shift=1'), 'ok', 'another in its place')
  assert.is(await record(two, 'two-0', 'rot13'), 'ok')
  assert.is(await forget(one, 'one-0'), 'ok')
  assert.is(await record(one, 'one-3', 'rot13'), 'ok')
  assert.equal([await forget(one, 'one-2'), await forget(one, 'one-3')], ['ok', 'ok'])
  // all that it may come to hold is what counts, whatever is in it
  for (const stack of ['memory', 'memory size=3MiB', 'memory size=1GiB inodes=1', 'rot13 | memory size=1TiB inodes=1']) assert.is(await record(one, 'one-0', stack), 'EDQUOT', stack)
  const small = 'memory size=1MiB inodes=1000'
  for (const name of ['one-0', 'one-1']) assert.is(await record(one, name, small), 'ok')
  await one.walk(0, 10, 'one-0')
  await one.file(10, 'f', 'held')
  await one.walk(0, 11, 'one-1')
  assert.equal([await one.outcome('Tlopen', { fid: 11, flags: 0 }), (await server.mounts.recorded('/one-1'))!.error], ['EIO', 'EDQUOT: those of uid 1000 may hold 3145728 bytes of memory, and 2072576 are taken: 2072576 more is too much'])
  assert.is(await record(two, 'two-1', small), 'ok')
  await two.walk(0, 10, 'two-1')
  await two.file(10, 'f', 'held')
  // one that was taken off counts for as long as somebody is in it
  assert.is(await forget(one, 'one-0'), 'ok')
  assert.is(await record(one, 'one-1', small), 'ok')
  await one.walk(0, 12, 'one-1')
  assert.is(await one.outcome('Tlopen', { fid: 12, flags: 0 }), 'EIO')
  await one.clunk(10, 11, 12)
  await soon('it has ended', () => server.mounts.instances.count === 3)
  assert.is(await record(one, 'one-1', small), 'ok')
  await one.walk(0, 12, 'one-1')
  await one.file(12, 'f', 'held')
  // root's are not counted
  for (let i = 0; i < 8; i++) {
    await raw.mkdir(0, `root-${i}`)
    assert.is(await record(raw, `root-${i}`, 'memory'), 'ok')
    await raw.walk(0, 1, `root-${i}`)
    await raw.file(1, 'f', 'held')
    await raw.clunk(1)
  }
  await one.end()
  await two.end()
}, 'memory', { passive: { allow: ['rot13', 'memory'] }, limits: { 'passive-records': 3, 'passive-memory': 3 * 2 ** 20 } }))

asRoot('so many of a user run at a time: one that nobody is in ends for the next, and where there is none the next fails', () => serving(async (server, raw) => {
  const { mounts } = server, one = await somebody(server), two = await somebody(server, 1001), running = mounts.instances.count
  for (const [client, name] of [[one, 'one'], [two, 'two']] as const) {
    for (let i = 0; i < 20; i++) {
      await client.file(0, `${name}-${i}`, 'text')
      assert.is(await record(client, `${name}-${i}`, 'rot13'), 'ok')
    }
  }
  for (let i = 0; i < 20; i++) assert.is(await raw.content(0, `one-${i}`), 'grkg')
  assert.is(mounts.instances.count, running + 3 * 2)
  for (let i = 0; i < 3; i++) { await raw.walk(0, 10 + i, `one-${i}`); await raw.open(10 + i) }
  await raw.walk(0, 20, 'one-3')
  assert.is(await raw.outcome('Tlopen', { fid: 20, flags: 0 }), 'EIO')
  assert.match((await mounts.recorded('/one-3'))!.error!, /3 passive translators of uid 1000 run and are in use/)
  for (let i = 0; i < 3; i++) assert.is(await raw.read(10 + i), 'grkg')
  assert.is(await raw.content(0, 'two-7'), 'grkg', 'those of others run')
  await raw.clunk(10, 11, 12, 20)
  assert.is(await raw.content(0, 'one-9'), 'grkg')
  await one.end()
  await two.end()
}, 'memory', { limits: { 'passive-running': 3 } }))

asRoot('a record is dropped when its node is another\'s, whoever saw to that', async () => {
  const { path, end } = folder()
  try {
    await serving(async (server, raw) => {
      const { mounts } = server, one = await somebody(server), old = await Plan9.versioned(server.urls[0]!, '9P2000.u')
      await old.attach(0, '', 'root', 0)
      await raw.walk(0, 1)
      await setattr(raw, 1, SetAttrs.MODE, { mode: 0o777 })
      for (const [name, give] of [
        ['by Tsetattr', async () => assert.is(await setattr(raw, 5, SetAttrs.UID, { uid: 1001 }), 'ok')],
        ['by Twstat', async () => { await old.walk(0, 5, 'by Twstat'); assert.is(await old.wstat(5, { nUid: 1001 }), 'ok'); await old.clunk(5) }],
        ['beside the server', async () => chownSync(join(path, 'beside the server'), 1001, 1001)],
      ] as const) {
        await one.file(0, name, 'text', 0o666)
        assert.is(await record(one, name, 'rot13'), 'ok')
        if (name !== 'beside the server') assert.is(await raw.content(0, name), 'grkg')
        await raw.walk(0, 5, name)
        await raw.clunk(5)
        await soon('it is not in use', () => [...mounts.passive.active].every(({ mount }) => mount!.used === 0))
        if (name === 'beside the server') await soon('it is stopped', () => [...mounts.passive.active].length === 0)
        if (name === 'by Tsetattr') await raw.walk(0, 5, name)
        await give()
        if (name === 'by Tsetattr') await raw.clunk(5)
        assert.is(await raw.content(0, name), 'text', name)
        assert.equal([mounts.passive.any, await mounts.recorded(`/${name}`)], [false, undefined], name)
      }
      // as long as it is his, whatever else is changed
      await one.file(0, 'his', 'text')
      assert.is(await record(one, 'his', 'rot13'), 'ok')
      await raw.walk(0, 5, 'his')
      assert.equal([await setattr(raw, 5, SetAttrs.GID, { gid: 1001 }), await setattr(raw, 5, SetAttrs.UID, { uid: SOMEBODY }), await setattr(raw, 5, SetAttrs.MODE, { mode: 0o600 })], ['ok', 'ok', 'ok'])
      await raw.clunk(5)
      assert.is(await raw.content(0, 'his'), 'grkg')
      // root's record on his node is bound to him as well
      await one.file(0, 'given', 'text')
      assert.is(await record(raw, 'given', 'hello'), 'ok')
      await raw.walk(0, 5, 'given')
      assert.is((await raw.getattr(5)).uid, SOMEBODY)
      await raw.clunk(5)
      await one.end()
      await old.end()
    }, `posix ${path} owner=mapped`.replace('mapped', 'host'), { passive: { idle: 0.2 } })
  } finally { end() }
})

test('no record leads past a directory that is closed to its owner', () => serving(async (_, raw) => {
  await raw.mkdir(0, 'd')
  assert.is(await record(raw, 'd', 'subdir closed/open'), 'EPERM')
}))

test('layers have an end, in one record and in those that lie in each other', () => serving(async (_, raw) => {
  await raw.mkdir(0, 'd')
  assert.is(await record(raw, 'd', Array(500).fill('rot13').join(' | ')), 'ELOOP')
  assert.is(await record(raw, 'd', Array(14).fill('rot13').join(' | ')), 'ok')
  await raw.walk(0, 1, 'd')
  await raw.file(1, 'f', 'text')
  const inside = async (text: string) => {
    await raw.walk(1, 2, 'f')
    await raw.ok('Txattrcreate', { fid: 2, name: RECORD, attrSize: text.length, flags: 0 })
    await raw.write(2, text)
    return raw.outcome('Tclunk', { fid: 2 })
  }
  assert.equal([await inside('rot13'), await inside('hello')], ['ELOOP', 'ok'])
}))

test('the names of files are no volumes: there are only so many of these, for ever', async () => {
  const { path, end } = folder()
  try {
    await serving(async (_, raw) => {
      for (const name of ['one-name', 'another-name']) {
        await raw.file(0, name, 'text')
        assert.is(await record(raw, name, 'hello'), 'ok')
        assert.is(await raw.content(0, name), 'Hello, world!\n')
      }
    }, 'memory', { state: path })
    const volumes = Object.keys(JSON.parse(readFileSync(join(path, 'volumes.json'), 'utf8')).volumes)
    assert.equal(volumes.filter((label) => label.includes('-name')), [])
  } finally { end() }
})

test('many walks at once start one', () => serving(async ({ mounts }, raw) => {
  await raw.mkdir(0, 'd')
  await raw.mkdir(0, 'e')
  await mounts.record('/d', 'rot13')
  const before = mounts.instances.count
  await Promise.all(Array.from({ length: 100 }, (_, i) => raw.walk(0, 100 + i, 'd')))
  assert.is(mounts.instances.count, before + 2)
  for (let i = 0; i < 100; i++) await raw.clunk(100 + i)
}))

test('one that nobody is in is stopped after a while, and starts again', () => serving(async ({ mounts }, raw) => {
  await raw.file(0, 'f', 'text')
  await record(raw, 'f', 'rot13')
  await raw.walk(0, 1, 'f')
  await raw.open(1)
  const running = mounts.instances.count
  await new Promise((resolve) => setTimeout(resolve, 300))
  assert.is(await raw.read(1), 'grkg', 'who is in it keeps it')
  assert.is(mounts.instances.count, running)
  await raw.clunk(1)
  await soon('it is stopped', () => mounts.instances.count < running)
  assert.is((await mounts.recorded('/f'))!.state, 'stopped')
  assert.is(await raw.content(0, 'f'), 'grkg')
}, 'memory', { passive: { idle: 0.05 } }))

test('it is there again after a restart, but where a copy was made beside the server', async () => {
  const { path, end } = folder(), state = join(path, 'state')
  const posix = `posix ${path} owner=none`
  try {
    await serving(async ({ mounts }, raw) => {
      await raw.file(0, 'f', 'text')
      if (await record(raw, 'f', 'rot13') === 'EOPNOTSUPP') return
      assert.is(await raw.content(0, 'f'), 'grkg')
      await raw.file(0, 'g', 'text')
      await mounts.record('/g', 'hello')
    }, posix, { state })
    writeFileSync(join(path, 'stray'), 'text')
    const { version } = JSON.parse(readFileSync(join(state, 'passive.json'), 'utf8')) as { version: number }
    assert.is(version, 2)
    await serving(async ({ mounts }, raw) => {
      assert.equal(await mounts.recorded('/f'), { stack: 'rot13', state: 'stopped', fids: 0 })
      assert.equal([await raw.content(0, 'f'), await raw.content(0, 'g'), await raw.content(0, 'stray')], ['grkg', 'Hello, world!\n', 'text'])
      assert.is(await forget(raw, 'g'), 'ok')
    }, posix, { state })
    await serving(async (_, raw) => {
      assert.equal([await raw.content(0, 'f'), await raw.content(0, 'g')], ['grkg', 'text'])
    }, posix, { state })
    for (const text of ['', '[]', '{"version":1}', '{"version":2}', '{"version":2,"nodes":{"x":{"zz":[0,""]}}}', '{"version":2,"nodes":{"x":{"1":["0",""]}}}']) {
      writeFileSync(join(state, 'passive.json'), text)
      assert.match(String(await serving(async () => {}, posix, { state }).catch((e: Error) => e)), /passive\.json: .*Restore it, or remove it/)
    }
  } finally { end() }
})

test('a mount goes with those in it that nobody uses, and by force with those somebody does', () => serving(async ({ mounts }, raw) => {
  /** A mount at /m, with a file in it that has a record; it is fid 1, for as long as that is not clunked. */
  const mounted = async () => {
    await mounts.set('/m', parseStack('memory'))
    await raw.walk(0, 1, 'm')
    await raw.file(1, 'f', 'text')
    await mounts.record('/m/f', 'rot13')
  }
  const opened = async () => {
    await raw.walk(1, 2, 'f')
    await raw.open(2)
  }
  await mounted()
  await raw.clunk(1)
  assert.is(await raw.content(0, 'm', 'f'), 'grkg')
  await mounts.remove('/m')
  await mounted()
  await opened()
  await raw.clunk(1)
  assert.match(String(await mounts.remove('/m').catch((e: Error) => e)), /EBUSY/)
  await mounts.set('/m', parseStack('rot13 | memory'))
  assert.is(await raw.read(2), 'grkg')
  await mounts.remove('/m', { force: true })
  assert.is(await raw.read(2), 'grkg', 'it is not in what was removed')
  await raw.clunk(2)
  await soon('what left has ended', () => mounts.list().length === 1)
  await mounted()
  await opened()
  await mounts.remove('/m', { force: true })
  assert.is(await raw.refused('Tread', { fid: 2, offset: 0, count: 9 }), 'ENXIO')
  await raw.clunk(1, 2)
}, 'memory', { passive: { idle: 0.05 } }))

test.run()
