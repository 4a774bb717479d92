// Several translators in one tree, and who comes in where.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { connect } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Identity } from '../../server/identity.ts'
import { serve } from '../../server/server.ts'
import type { ServerConfig } from '../../server/server.ts'
import { attachRules } from '../../server/users.ts'
import { memory } from '../../translators/memory/memory.ts'
import { posix } from '../../translators/posix/posix.ts'
import type { Translator } from '../../translators/translator.ts'
import { REMOVEDIR, among, listing, ls, setattr } from './cases/common.ts'
import { Raw } from './raw.ts'
import { brick, Kept, serving as standing } from './stand.ts'

const test = suite('mounts')

async function serving(paths: readonly string[], config: Partial<ServerConfig>, run: (raw: Raw, url: string, log: Kept) => Promise<void>, make: (path: string) => Promise<Translator> = brick): Promise<void> {
  const namespace = new Map<string, Translator>()
  for (const path of paths) namespace.set(path, await make(path))
  await standing({ namespace, ...config }, (server, raw, log) => run(raw, server.urls[0]!, log))
}
const attached = async (url: string, aname: string, uid = process.getuid!()) => {
  const raw = await Raw.versioned(url)
  await raw.attach(0, aname, uid)
  return raw
}
const paths = (qids: readonly { path: bigint }[]) => qids.map(({ path }) => path)

test('a mount is walked into, and out of by ..; its root is what stands there', () => serving(['/', '/a', '/a/b', '/a/b/c'], {}, async (raw) => {
  const down = paths((await raw.walk(0, 1, 'a', 'b', 'c')).qids)
  assert.is(new Set([...down, (await raw.getattr(0)).qid.path]).size, 4)
  const up = paths((await raw.walk(1, 2, '..', '..', '..', '..')).qids)
  assert.equal(up, [down[1], down[0], (await raw.getattr(0)).qid.path, (await raw.getattr(0)).qid.path])
  await raw.walk(0, 3, 'a', 'b')
  await raw.mkdir(3, 'own')
  await raw.walk(3, 4, 'own')
  assert.equal(paths((await raw.walk(4, 5, '..', '..', 'b', 'own')).qids), [down[1], down[0], down[1], (await raw.getattr(4)).qid.path])
  assert.equal(await ls(raw, 'a', 'b'), ['c', 'own'])
}))

test('every mount is listed where it stands, with the number of its root, also where the directory below has the name', () => serving(['/', '/m', '/sub/deep'], {}, async (raw) => {
  await raw.file(0, 'f', 'text')
  await raw.walk(0, 1)
  await raw.open(1)
  const list = await listing(raw, 1, 60)
  assert.equal(list.map(({ name }) => name).sort(), ['.', '..', 'f', 'm', 'sub'])
  for (const { name, qid, type } of list) {
    if (name === '..') continue
    await raw.walk(0, 2, ...name === '.' ? [] : [name])
    assert.is((await raw.getattr(2)).qid.path, qid.path, name)
    assert.is(type, name === 'f' ? 8 : 4)
    await raw.clunk(2)
  }
  // From the cookie of each entry on.
  for (const [i, { cookie }] of list.entries()) {
    const { data } = await raw.ok('Treaddir', { fid: 1, offset: cookie, count: 4000 })
    assert.is(data.length > 0, i < list.length - 1)
  }
  assert.equal(await ls(raw, 'sub'), ['deep'])
}))

test('a mount over a name that is not UTF-8 is listed once, in every dialect', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'ninefold-mounts-'))
  try {
    mkdirSync(Buffer.concat([Buffer.from(`${dir}/`), Buffer.from([0x61, 0xff])]))
    await serving(['/', '/a\udcff'], {}, async (raw) => assert.equal(await ls(raw), ['a\udcff']), (path) => path === '/' ? posix({ path: dir }) : brick(path))
    const server = await serve({ listen: ['tcp://127.0.0.1:0'], namespace: new Map([['/', await posix({ path: dir })], ['/a\udcff', await memory({})]]) })
    try {
      for (const dialect of ['9P2000', '9P2000.u'] as const) {
        await using client = await connect(server.urls[0]!, { dialect })
        const names: string[] = []
        for await (const { name } of (await client.attach({ uname: userInfo().username })).readdir()) names.push(name)
        assert.equal(names, ['a\udcff'], dialect)
      }
    } finally { await server.stop() }
  } finally { rmSync(dir, { recursive: true }) }
})

test('names of mounts stay: EBUSY; between mounts: EXDEV', () => serving(['/', '/m', '/x/y'], {}, async (raw) => {
  await raw.mkdir(0, 'd')
  await raw.file(0, 'f')
  await raw.walk(0, 1, 'm')
  await raw.walk(0, 2, 'f')
  const rename = (olddirfid: number, oldname: string, newdirfid: number, newname: string) => raw.refused('Trenameat', { olddirfid, oldname, newdirfid, newname })
  for (const name of ['m', 'x']) {
    assert.is(await raw.refused('Tunlinkat', { dirfid: 0, name, flags: REMOVEDIR }), 'EBUSY')
    assert.is(await raw.refused('Tunlinkat', { dirfid: 0, name, flags: 0 }), 'EBUSY')
    assert.is(await rename(0, name, 0, 'z'), 'EBUSY')
    assert.is(await rename(0, 'd', 0, name), 'EBUSY')
    assert.is(await raw.refused('Tmkdir', { dfid: 0, name, mode: 0o755, gid: 0 }), 'EEXIST')
    assert.is(await raw.refused('Tsymlink', { dfid: 0, name, target: 't', gid: 0 }), 'EEXIST')
    assert.is(await raw.refused('Tmknod', { dfid: 0, name, mode: 0o100644, major: 0, minor: 0, gid: 0 }), 'EEXIST')
    assert.is(await raw.refused('Tlink', { dfid: 0, fid: 2, name }), 'EEXIST')
    await raw.walk(0, 7)
    assert.is(await raw.refused('Tlcreate', { fid: 7, name, flags: 0x42, mode: 0o644, gid: 0 }), 'EISDIR')
    assert.is(await raw.refused('Tlcreate', { fid: 7, name, flags: 0xc2, mode: 0o644, gid: 0 }), 'EEXIST')
    await raw.walk(0, 8, name)
    assert.is(await raw.refused('Trename', { fid: 8, dfid: 0, name: 'z' }), 'EBUSY')
    assert.is(await raw.refused('Tremove', { fid: 8 }), 'EBUSY')
    await raw.clunk(7)
  }
  assert.is(await rename(0, 'f', 1, 'f'), 'EXDEV')
  assert.is(await raw.refused('Trename', { fid: 2, dfid: 1, name: 'f' }), 'EXDEV')
  assert.is(await raw.refused('Tlink', { dfid: 1, fid: 2, name: 'f' }), 'EXDEV')
  assert.equal(await ls(raw), ['d', 'f', 'm', 'x'])
}))

test('nothing at the root: empty directories lead to the mounts, and are read-only', () => serving(['/a/b', '/c'], {}, async (raw) => {
  assert.equal([await ls(raw), await ls(raw, 'a')], [['a', 'c'], ['b']])
  const attr = await raw.getattr(0)
  assert.equal([attr.mode, attr.uid, attr.qid.type], [0o40555, 0, 0x80])
  assert.ok((await raw.ok('Tstatfs', { fid: 0 })).namelen === 255)
  // Their owner is root and their mode 0555: others are told that first.
  among(await raw.refused('Tmkdir', { dfid: 0, name: 'x', mode: 0o755, gid: 0 }), 'EROFS', 'EACCES')
  among(await raw.refused('Tunlinkat', { dirfid: 0, name: 'x', flags: 0 }), 'EROFS', 'EACCES')
  among(await setattr(raw, 0, 1, { mode: 0o777 }), 'EROFS', 'EPERM')
  assert.is(await raw.refused('Twalk', { fid: 0, newfid: 1, names: ['nothing'] }), 'ENOENT')
  await raw.walk(0, 1, 'a', 'b')
  await raw.file(1, 'f', 'text')
  assert.is(await raw.content(0, 'a', 'b', 'f'), 'text')
  assert.equal(paths((await raw.walk(1, 2, '..', '..', '..')).qids)[2], attr.qid.path)
  assert.is((await raw.walk(0, 3, 'a', 'x')).qids.length, 1)
}))

test('an attach name is a path of the tree: across mounts, and a root from which .. does not lead', () => serving(['/', '/m', '/m/n'], {}, async (raw, url) => {
  await raw.walk(0, 1, 'm', 'n')
  await raw.mkdir(1, 'd', 0o777)
  await raw.walk(1, 2, 'd')
  await raw.mkdir(2, 'e', 0o777)
  for (const aname of ['m/n/d', '/m/n/d', '//m//n/d/']) {
    const sub = await attached(url, aname)
    assert.is((await sub.getattr(0)).qid.path, (await raw.getattr(2)).qid.path)
    assert.equal(paths((await sub.walk(0, 1, '..', 'e', '..', '..')).qids).filter((_, i) => i !== 1), Array(3).fill((await raw.getattr(2)).qid.path))
    await sub.end()
  }
  for (const aname of ['m/x', 'm/n/d/e/f', 'x']) assert.is(await raw.refused('Tattach', { fid: 9, afid: 0xffffffff, uname: '', aname, nUname: process.getuid!() }), 'ENOENT')
}))

test('a directory that was moved out of an attach point leads to nothing above by ..', () => serving(['/'], {}, async (raw, url) => {
  await raw.mkdir(0, 'jail', 0o777)
  await raw.mkdir(0, 'secret', 0o777)
  await raw.walk(0, 1, 'jail')
  await raw.mkdir(1, 'd', 0o777)
  await raw.walk(0, 2, 'secret')
  await raw.file(2, 'f', 'secret')
  const sub = await attached(url, 'jail')
  await sub.walk(0, 1, 'd')
  await raw.ok('Trenameat', { olddirfid: 1, oldname: 'd', newdirfid: 2, newname: 'd' })
  const reply = await sub.call('Twalk', { fid: 1, newfid: 2, names: ['..'] })
  if (reply.name === 'Rwalk') assert.is.not(reply.fields.qids[0].path, (await raw.getattr(2)).qid.path)
  for (const names of [['..', 'f'], ['..', '..', 'secret'], ['..', '..', 'secret', 'f']]) {
    const reply = await sub.call('Twalk', { fid: 1, newfid: 3, names })
    assert.ok(reply.name === 'Rlerror' || reply.fields.qids.length < names.length, names.join('/'))
  }
  await sub.end()
}))

test('read-only, squash and the map go by the attach name, the longest that fits', () => serving(['/', '/m'], {
  attach: new Map([['/', attachRules()], ['/m', attachRules({ 'read-only': true })], ['/m/rw', attachRules({ squash: 'all' })]]),
}, async (raw, url) => {
  await raw.walk(0, 1, 'm')
  await raw.mkdir(1, 'rw', 0o777)
  await raw.walk(1, 2, 'rw')
  assert.is(await setattr(raw, 2, 1, { mode: 0o777 }), 'ok')
  await raw.mkdir(1, 'rwx', 0o777)
  const ro = await attached(url, '/m'), squashed = await attached(url, 'm/rw'), near = await attached(url, '/m/rwx')
  assert.is(await ro.refused('Tmkdir', { dfid: 0, name: 'x', mode: 0o755, gid: 0 }), 'EROFS')
  assert.is(await near.refused('Tmkdir', { dfid: 0, name: 'x', mode: 0o755, gid: 0 }), 'EROFS', '/m/rwx is not below /m/rw')
  await squashed.ok('Tmkdir', { dfid: 0, name: 'x', mode: 0o755, gid: 0xffffffff })
  await squashed.walk(0, 1, 'x')
  assert.is((await squashed.getattr(1)).uid, 65534)
  assert.is(await squashed.refused('Trename', { fid: 0, dfid: 0, name: 'y' }), 'EBUSY')
  // Who came in at the top is under the rules of the top, wherever he goes.
  await raw.mkdir(1, 'by the top')
  for (const each of [ro, squashed, near]) await each.end()
}))

test('two names of one directory by two attaches of one connection keep their own rules', () => serving(['/'], {
  attach: new Map([['/', attachRules()], ['/ro', attachRules({ 'read-only': true })]]),
}, async (raw) => {
  await raw.mkdir(0, 'ro', 0o777)
  await raw.attach(1, '/ro')
  await raw.walk(0, 2, 'ro')
  assert.is((await raw.getattr(1)).qid.path, (await raw.getattr(2)).qid.path)
  assert.is(await raw.refused('Tmkdir', { dfid: 1, name: 'x', mode: 0o755, gid: 0 }), 'EROFS')
  await raw.mkdir(2, 'x')
  assert.equal(await ls(raw, 'ro'), ['x'])
  // Neither a rename nor a link leads around it.
  await raw.file(0, 'f')
  assert.is(await raw.refused('Trenameat', { olddirfid: 0, oldname: 'f', newdirfid: 1, newname: 'f' }), 'EROFS')
  assert.is(await raw.refused('Trenameat', { olddirfid: 1, oldname: 'x', newdirfid: 0, newname: 'x' }), 'EROFS')
  await raw.walk(0, 3, 'f')
  assert.is(await raw.refused('Tlink', { dfid: 1, fid: 3, name: 'f' }), 'EROFS')
}))

test('paths that can not be mounts are refused, with a sentence, and nothing is left running', async () => {
  const fails = async (mounts: readonly string[], says: RegExp) => {
    const namespace = new Map<string, Translator>()
    for (const path of mounts) namespace.set(path, await brick(path))
    const error = await serve({ listen: ['tcp://127.0.0.1:0'], namespace }).then(async (server) => { await server.stop(); return undefined }, (e: Error) => e)
    assert.match(String(error), says)
  }
  await fails(['/', 'x'], /begins with "\/"/)
  await fails(['/', '/a/../b'], /has no "\.\."/)
  await fails(['/', '/a', '//a/'], /two translators for one path/)
})

// Identity

test('files have the same numbers after a restart, whatever is mounted in between', async () => {
  const state = mkdtempSync(join(tmpdir(), 'ninefold-state-'))
  const numbers = async (mounts: readonly string[]) => {
    const found: Record<string, bigint> = {}
    await serving(mounts, { state }, async (raw) => {
      for (const [i, path] of mounts.entries()) {
        await raw.walk(0, 10 + i, ...path.split('/').filter(Boolean))
        found[path] = (await raw.getattr(10 + i)).qid.path
      }
    })
    return found
  }
  try {
    const before = await numbers(['/', '/a', '/b'])
    assert.is(new Set(Object.values(before)).size, 3)
    const other = await numbers(['/', '/c', '/b'])
    assert.equal([other['/'], other['/b']], [before['/'], before['/b']])
    assert.ok(!Object.values(before).includes(other['/c']!))
    assert.equal(await numbers(['/', '/b', '/a']), before)
    const { version, volumes } = JSON.parse(readFileSync(join(state, 'volumes.json'), 'utf8')) as { version: number; volumes: Record<string, number> }
    assert.is(version, 1)
    assert.is(new Set(Object.values(volumes)).size, Object.keys(volumes).length)
    assert.not(existsSync(join(state, 'volumes.json.new')))
  } finally { rmSync(state, { recursive: true }) }
})

test('a volumes.json that is damaged is refused, named, and left as it is', async () => {
  const state = mkdtempSync(join(tmpdir(), 'ninefold-state-')), file = join(state, 'volumes.json')
  try {
    for (const text of ['', '{', '[]', 'null', '{"version":2,"volumes":{}}', '{"version":1}', '{"version":1,"volumes":[]}'.replace('[]', 'null'), '{"version":1,"volumes":{"a":0,"b":0}}', '{"version":1,"volumes":{"a":1}}', '{"version":1,"volumes":{"a":-1}}', '{"version":1,"volumes":{"a":"0"}}', '{"version":1,"volumes":{"a":65536}}', '\0\0\0\0']) {
      writeFileSync(file, text)
      const error = await serving(['/'], { state }, async () => {}).then(() => undefined, (e: Error) => e)
      assert.ok(error, text)
      assert.match(error!.message, /volumes\.json: .*Restore it, or remove it/, text)
      assert.is(readFileSync(file, 'utf8'), text)
    }
    rmSync(file)
    await serving(['/'], { state }, async () => {})
    assert.ok(existsSync(file))
  } finally { rmSync(state, { recursive: true }) }
})

test('two instances that were given no name of their own show no number twice', () => serving(['/', '/m'], {}, async (raw) => {
  await raw.walk(0, 1, 'm')
  await raw.file(0, 'f', 'text')
  await raw.file(1, 'f', 'text')
  const found = await Promise.all([['m'], ['f'], ['m', 'f']].map(async (names, i) => paths((await raw.walk(0, 10 + i, ...names)).qids).at(-1)))
  assert.is(new Set([...found, (await raw.getattr(0)).qid.path]).size, 4)
}, () => memory({})))

test('numbers of more than 40 bits have a place of their own in their volume, and keep it', () => {
  const identity = new Identity(), volume = { label: 'a' }, other = { label: 'b' }
  const numbers = [1n, 2n ** 40n - 2n ** 39n, 2n ** 40n, 2n ** 63n, 2n ** 64n - 1n]
  const shown = numbers.map((path) => identity.wire(volume, path))
  assert.is(new Set([...shown, ...numbers.map((path) => identity.wire(other, path))]).size, 10)
  assert.is(new Set(shown.map((path) => path >> 40n)).size, 1, 'one prefix a volume')
  assert.ok(shown.every((path) => path < 2n ** 56n), 'the top byte is left to 9pfuse')
  assert.equal(numbers.map((path) => identity.wire(volume, path)), shown)
})

test.run()
