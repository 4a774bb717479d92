// What a server that runs as root does for the kernel, over the wire: a client that attached as uid 1000, another as a uid
// that the host does not know, and root, on `memory` and on a directory of the host.

import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AT_REMOVEDIR, O, S, connect, isErrno } from 'ninep'
import type { Client, Code, File, SetAttr } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { serve } from '../server/server.ts'
import { attachOptions, attachRules } from '../server/users.ts'
import { Tag, formatAcl } from '../translators/acl.ts'
import { memory } from '../translators/memory/memory.ts'
import { posix } from '../translators/posix/posix.ts'
import type { Translator } from '../translators/translator.ts'
import { skipping } from './needs.ts'

const ALICE = 1000, EVE = 700_002, GROUP = 700_050

/** The directory of a row as each of three users sees it. */
interface Place { readonly root: File; readonly alice: File; readonly eve: File; file(name: string, mode: number, owner?: number, group?: number): Promise<void>; dir(name: string, mode: number, owner?: number, group?: number): Promise<void> }
type Row = readonly [name: string, refused: Code | null, run: (at: Place) => Promise<unknown>, mode?: number]

const set = async (dir: File, name: string, what: SetAttr) => { await using file = await dir.walk(name); await file.setattr(what) }
const modeOf = async (dir: File, name: string) => { await using file = await dir.walk(name); return (await file.getattr()).mode & 0o7777 }
const open = async (dir: File, name: string, flags: number) => { const file = await dir.walk(name); return file.open(flags) }
const xattr = async <T>(dir: File, name: string, f: (file: File) => Promise<T>) => { await using file = await dir.walk(name); return await f(file) }
const bytes = new Uint8Array([1])
const acl = (perm: number) => formatAcl([[Tag.USER_OBJ, 6], [Tag.USER, perm, EVE], [Tag.GROUP_OBJ, 0], [Tag.MASK, 7], [Tag.OTHER, 0]].map(([tag, perm, id = 0xffffffff]) => ({ tag: tag!, perm: perm!, id })))

const rows: readonly Row[] = [
  ['reading takes r', 'EACCES', async (at) => { await at.file('f', 0o600, ALICE); await open(at.eve, 'f', O.RDONLY) }],
  ['writing takes w', 'EACCES', async (at) => { await at.file('f', 0o644, ALICE); await open(at.eve, 'f', O.WRONLY) }],
  ['O_TRUNC takes w', 'EACCES', async (at) => { await at.file('f', 0o644, ALICE); await open(at.eve, 'f', O.RDONLY | O.TRUNC) }],
  ['the owner goes by the owner\'s bits', 'EACCES', async (at) => { await at.file('f', 0o077, ALICE); await open(at.alice, 'f', O.RDONLY) }],
  ['walking takes x', 'EACCES', async (at) => { await at.dir('d', 0o700, ALICE); await (await at.eve.walk('d')).walk('x') }],
  ['listing takes r', 'EACCES', async (at) => { await at.dir('d', 0o711, ALICE); await open(at.eve, 'd', O.RDONLY) }],
  ['creating takes w of the directory', 'EACCES', (at) => at.eve.create('f', O.RDWR, 0o644), 0o755],
  ['creating what is there, without x, opens nothing', 'EACCES', async (at) => { await at.dir('d', 0o700, ALICE); await (await at.alice.walk('d')).create('f', O.RDWR, 0o666); await (await at.eve.walk('d')).create('f', O.RDONLY, 0o666) }],
  ['nor tells that it is there', 'EACCES', async (at) => { await at.dir('d', 0o700, ALICE); await (await at.alice.walk('d')).mkdir('f', 0o777); await (await at.eve.walk('d')).mkdir('f', 0o777) }],
  ['a name that can\'t be unlinked for want of x is not told to be missing', 'EACCES', async (at) => { await at.dir('d', 0o1700, ALICE); await (await at.eve.walk('d')).unlinkat('x') }],
  ['nor one that can\'t be renamed', 'EACCES', async (at) => { await at.dir('d', 0o1700, ALICE); await (await at.eve.walk('d')).renameat('x', at.eve, 'y') }],
  ['mkdir takes w of the directory', 'EACCES', (at) => at.eve.mkdir('d', 0o755), 0o755],
  ['a device is root\'s', 'EPERM', (at) => at.alice.mknod('n', S.IFBLK | 0o600, 8, 1)],
  ['sticky: not another\'s file', 'EPERM', async (at) => { await at.file('f', 0o666, ALICE); await at.eve.unlinkat('f') }, 0o1777],
  ['sticky: one\'s own', null, async (at) => { await at.file('f', 0o666, ALICE); await at.alice.unlinkat('f') }, 0o1777],
  ['sticky: no rename of another\'s', 'EPERM', async (at) => { await at.file('f', 0o666, ALICE); await at.eve.renameat('f', at.eve, 'g') }, 0o1777],
  ['sticky: no rename over another\'s', 'EPERM', async (at) => { await at.file('f', 0o666, ALICE); await at.file('g', 0o666, EVE); await at.eve.renameat('g', at.eve, 'f') }, 0o1777],
  ['sticky: no Tremove of another\'s', 'EPERM', async (at) => { await at.file('f', 0o666, ALICE); await (await at.eve.walk('f')).remove() }, 0o1777],
  ['rmdir takes w of the directory', 'EACCES', async (at) => { await at.dir('d', 0o777, EVE); await at.eve.unlinkat('d', AT_REMOVEDIR) }, 0o755],
  ['a directory that moves must be writable', 'EACCES', async (at) => { await at.dir('d', 0o755, ALICE); await at.dir('e', 0o777); await at.eve.renameat('d', await at.eve.walk('e'), 'd') }],
  ['a link to another\'s file that one can\'t write', 'EPERM', async (at) => { await at.file('f', 0o644, ALICE); await at.eve.link(await at.eve.walk('f'), 'g') }],
  ['a link to another\'s setuid program', 'EPERM', async (at) => { await at.file('f', 0o4777, ALICE); await at.eve.link(await at.eve.walk('f'), 'g') }],
  ['a link to another\'s file that one can read and write', null, async (at) => { await at.file('f', 0o666, ALICE); await at.eve.link(await at.eve.walk('f'), 'g') }],
  ['chmod of another\'s', 'EPERM', async (at) => { await at.file('f', 0o666, ALICE); await set(at.eve, 'f', { mode: 0o600 }) }],
  ['chmod loses setgid of a group that is not one\'s own', null, async (at) => { await at.file('f', 0o755, ALICE, GROUP); await set(at.alice, 'f', { mode: 0o2755 }); assert.is(await modeOf(at.root, 'f'), 0o755) }],
  ['a writer may clear setuid, as kernels ask', null, async (at) => { await at.file('f', 0o4757, ALICE); await set(at.eve, 'f', { mode: 0o757 }); assert.is(await modeOf(at.root, 'f'), 0o757) }],
  ['chown by the owner', 'EPERM', async (at) => { await at.file('f', 0o666, ALICE); await set(at.alice, 'f', { uid: EVE }) }],
  ['chgrp to another\'s group', 'EPERM', async (at) => { await at.file('f', 0o666, EVE); await set(at.eve, 'f', { gid: GROUP }) }],
  ['chgrp to one\'s own clears setuid and setgid', null, async (at) => { await at.file('f', 0o6755, EVE, GROUP); await set(at.eve, 'f', { gid: EVE }); assert.is(await modeOf(at.root, 'f'), 0o755) }],
  ['chown by root clears them, too', null, async (at) => { await at.file('f', 0o6755, ALICE); await set(at.root, 'f', { uid: EVE }); assert.is(await modeOf(at.root, 'f'), 0o755) }],
  ['truncation takes w', 'EACCES', async (at) => { await at.file('f', 0o644, ALICE); await set(at.eve, 'f', { size: 0 }) }],
  ['truncation clears setuid and setgid', null, async (at) => { await at.file('f', 0o6777, ALICE); await set(at.eve, 'f', { size: 1 }); assert.is(await modeOf(at.root, 'f'), 0o777) }],
  ['O_TRUNC does, too', null, async (at) => { await at.file('f', 0o6777, ALICE); await open(at.eve, 'f', O.WRONLY | O.TRUNC); assert.is(await modeOf(at.root, 'f'), 0o777) }],
  ['and by Tlcreate of what is there', null, async (at) => { await at.file('f', 0o6777, ALICE); await at.eve.create('f', O.WRONLY | O.TRUNC, 0o644); assert.is(await modeOf(at.root, 'f'), 0o777) }],
  ['a write does', null, async (at) => { await at.file('f', 0o6777, ALICE); await (await open(at.eve, 'f', O.WRONLY)).write(bytes, 0); assert.is(await modeOf(at.root, 'f'), 0o777) }],
  ['root\'s write does not', null, async (at) => { await at.file('f', 0o6777, ALICE); await (await open(at.root, 'f', O.WRONLY)).write(bytes, 0); assert.is(await modeOf(at.root, 'f'), 0o6777) }],
  ['ftruncate goes by how the handle was opened', null, async (at) => { await at.file('f', 0o666, ALICE); const file = await open(at.eve, 'f', O.WRONLY); await set(at.alice, 'f', { mode: 0 }); await file.setattr({ size: 1 }) }],
  ['a handle opened to read gives no right to truncate', 'EACCES', async (at) => { await at.file('f', 0o644, ALICE); const file = await open(at.eve, 'f', O.RDONLY); await file.setattr({ size: 0 }) }],
  ['a time of one\'s choice is the owner\'s', 'EPERM', async (at) => { await at.file('f', 0o666, ALICE); await set(at.eve, 'f', { mtime: { sec: 1, nsec: 0 } }) }],
  ['both times now, by a writer', null, async (at) => { await at.file('f', 0o666, ALICE); await set(at.eve, 'f', { atime: 'now', mtime: 'now' }) }],
  ['a new file is its maker\'s', null, async (at) => { await at.eve.create('f', O.RDWR, 0o640); const { uid, gid, mode } = await (await at.root.walk('f')).getattr(); assert.equal([uid, gid, mode], [EVE, EVE, S.IFREG | 0o640]) }],
  ['in a group that is not one\'s own it can\'t be', null, async (at) => { await at.eve.create('f', O.RDWR, 0o640, GROUP); assert.is((await (await at.root.walk('f')).getattr()).gid, EVE) }],
  ['a setgid directory gives its group, and to directories the bit', null, async (at) => {
    await at.dir('d', 0o2777, 0, GROUP)
    await (await at.eve.walk('d')).mkdir('e', 0o755)
    const { gid, mode } = await (await at.root.walk('d', 'e')).getattr()
    assert.equal([gid, mode & 0o7777], [GROUP, 0o2755])
  }],
  ['a setgid program there loses the bit', null, async (at) => { await at.dir('d', 0o2777, 0, GROUP); await (await at.eve.walk('d')).create('f', O.RDWR, 0o2755); assert.is((await (await at.root.walk('d', 'f')).getattr()).mode & 0o7777, 0o755) }],
  ['trusted.* is not there for users', 'ENODATA', async (at) => { await at.file('f', 0o666, ALICE); await xattr(at.alice, 'f', (file) => file.getxattr('trusted.x')) }],
  ['nor theirs to set', 'EPERM', async (at) => { await at.file('f', 0o666, ALICE); await xattr(at.alice, 'f', (file) => file.setxattr('trusted.x', bytes)) }],
  ['security.* is not theirs to set', 'EPERM', async (at) => { await at.file('f', 0o666, ALICE); await xattr(at.alice, 'f', (file) => file.setxattr('security.x', bytes)) }],
  ['user.* takes w to set', 'EACCES', async (at) => { await at.file('f', 0o644, ALICE); await xattr(at.eve, 'f', (file) => file.setxattr('user.x', bytes)) }],
  ['user.* takes r to get', 'EACCES', async (at) => { await at.file('f', 0o622, ALICE); await xattr(at.eve, 'f', (file) => file.getxattr('user.x')) }],
  ['a translator\'s own names are no one\'s to set', 'EPERM', async (at) => { await at.file('f', 0o666, ALICE); await xattr(at.root, 'f', (file) => file.setxattr('user.virtfs.uid', bytes)) }],
  ['an ACL is the owner\'s to set', 'EPERM', async (at) => { await at.file('f', 0o666, ALICE); await xattr(at.eve, 'f', (file) => file.setxattr('system.posix_acl_access', acl(7))) }],
  ['an ACL lets in', null, async (at) => { await at.file('f', 0o600, ALICE); await xattr(at.alice, 'f', (file) => file.setxattr('system.posix_acl_access', acl(6))); await open(at.eve, 'f', O.RDWR) }],
  ['an ACL keeps out', 'EACCES', async (at) => { await at.file('f', 0o666, ALICE); await xattr(at.alice, 'f', (file) => file.setxattr('system.posix_acl_access', acl(2))); await open(at.eve, 'f', O.RDONLY) }],
  ['an ACL by an owner who is not in the group takes setgid off', null, async (at) => { await at.file('f', 0o2755, ALICE, GROUP); await xattr(at.alice, 'f', (file) => file.setxattr('system.posix_acl_access', acl(6))); assert.is((await modeOf(at.root, 'f')) & S.ISGID, 0) }],
  ['by root it stays', null, async (at) => { await at.file('f', 0o2755, ALICE, GROUP); await xattr(at.root, 'f', (file) => file.setxattr('system.posix_acl_access', acl(6))); assert.is((await modeOf(at.root, 'f')) & S.ISGID, S.ISGID) }],
  ['what is there and may not be made is told to be there', 'EEXIST', async (at) => { await at.dir('d', 0o755); await at.eve.mkdir('d', 0o755) }, 0o755],
  ['by Tlcreate with O_EXCL, too', 'EEXIST', async (at) => { await at.file('f', 0o644); await at.eve.create('f', O.RDONLY | O.EXCL, 0o644) }, 0o755],
  ['a name that is free is not', 'EACCES', (at) => at.eve.create('f', O.RDONLY | O.EXCL, 0o644), 0o755],
  ['a rename to another name of the same file does nothing, to no one\'s harm', null, async (at) => {
    await at.file('f', 0o600, ALICE)
    await at.root.link(await at.root.walk('f'), 'g')
    await at.eve.renameat('f', at.eve, 'g')
    assert.is((await (await at.root.walk('f')).getattr()).nlink, 2)
  }, 0o755],
  ['a default ACL is inherited', null, async (at) => {
    await at.dir('d', 0o777, ALICE)
    const dir = await at.alice.walk('d')
    await dir.setxattr('system.posix_acl_default', acl(4))
    await (await dir.clone()).create('f', O.RDWR, 0o660)
    await (await (await at.eve.walk('d', 'f')).open(O.RDONLY)).clunk()
    await (await at.eve.walk('d', 'f')).open(O.WRONLY).then(() => assert.unreachable('written'), (e: unknown) => assert.ok(isErrno(e, 'EACCES')))
  }],
]

const folder = mkdtempSync(join(tmpdir(), 'ninefold-rows-')), url = `unix:${join(folder, 'socket')}`
const test = suite('permission over the wire'), root = process.getuid!() === 0
const declare = root ? test : skipping(test, 'needs root, as the server and to be several users')
for (const [name, make] of [['memory', () => memory({})], ['posix', () => posix({ path: join(folder) })]] as readonly [string, () => Promise<Translator>][]) {
  const exports = root ? await serveThree(name, make) : undefined
  for (const [row, code, run, mode = 0o777] of rows) {
    declare(`${name}: ${row}${code ? `: ${code}` : ''}`, async () => {
      const { client } = exports!, dir = `row ${exports!.count++}`
      const top = await client.attach({ uid: 0, aname: name })
      await top.mkdir(dir, 0o777)
      await set(top, dir, { mode })
      const see = async (uid: number) => (await client.attach({ uid, aname: name })).walk(dir)
      const dress = async (path: string, mode: number, uid = 0, gid = uid) => { await set(at.root, path, { uid, gid }); await set(at.root, path, { mode }) }
      const at: Place = {
        root: await see(0), alice: await see(ALICE), eve: await see(EVE),
        file: async (path, ...how) => { await (await (await at.root.clone()).create(path, O.RDWR, 0o600)).clunk(); await dress(path, ...how) },
        dir: async (path, ...how) => { await at.root.mkdir(path, 0o700); await dress(path, ...how) },
      }
      if (code === null) { await run(at); return }
      try { await run(at) } catch (e) {
        if (!isErrno(e)) throw e
        assert.is(e.code, code, e.message)
        return
      }
      assert.unreachable(`allowed, and should be ${code}`)
    })
  }
  const enter = async (uid: number, aname: string) => exports!.client.attach({ uid, aname })
  declare(`${name}: squash=root makes root nobody`, async () => {
    const top = await enter(0, `${name}/squashed`)
    await top.create('f', O.RDWR, 0o644)
    assert.is((await (await (await enter(ALICE, `${name}/squashed`)).walk('f')).getattr()).uid, 65534)
  })
  declare(`${name}: read-only is EROFS, whoever asks`, async () => {
    const top = await enter(0, `${name}/quiet`)
    for (const f of [() => top.mkdir('d', 0o755), () => top.setattr({ mode: 0o700 }), () => top.setxattr('user.x', bytes)]) {
      await f().then(() => assert.unreachable('changed'), (e: unknown) => assert.ok(isErrno(e, 'EROFS'), String(e)))
    }
  })
  declare(`${name}: uid-map is for who comes in, what is shown and what is chowned to, ACLs too`, async () => {
    const mapped = await enter(ALICE, `${name}/mapped`), plain = await enter(0, `${name}`)
    await (await mapped.clone()).create('f', O.RDWR, 0o600)
    const file = await mapped.walk('f'), same = await plain.walk('mapped', 'f')
    assert.equal([(await file.getattr()).uid, (await same.getattr()).uid], [ALICE, 700_500])
    await file.setxattr('system.posix_acl_access', formatAcl([[Tag.USER_OBJ, 6], [Tag.USER, 7, ALICE], [Tag.GROUP_OBJ, 0], [Tag.MASK, 7], [Tag.OTHER, 0]].map(([tag, perm, id = 0xffffffff]) => ({ tag: tag!, perm: perm!, id }))))
    const idOf = (acl: Uint8Array) => Buffer.from(acl).readUInt32LE(4 + 8 + 4)
    assert.equal([idOf(await file.getxattr('system.posix_acl_access')), idOf(await same.getxattr('system.posix_acl_access'))], [ALICE, 700_500])
    await (await enter(0, `${name}/mapped`).then((top) => top.walk('f'))).setattr({ uid: ALICE })
    assert.is((await same.getattr()).uid, 700_500)
  })
  test.after(async () => { await exports?.stop() })
}
test.after(() => { rmSync(folder, { recursive: true }) })
test.run()

/** A server of this translator, and folders in it that are attach points of their own. */
async function serveThree(name: string, make: () => Promise<Translator>): Promise<{ client: Client; count: number; stop(): Promise<void> }> {
  chmodSync(folder, 0o755)
  const rule = (key: keyof typeof attachOptions, value: unknown) => attachRules({ [key]: attachOptions[key].parse(value) })
  const server = await serve({
    listen: [`${url}-${name}`], namespace: new Map([[`/${name}`, await make()]]),
    attach: new Map([[`/${name}/squashed`, rule('squash', 'root')], [`/${name}/quiet`, rule('read-only', true)], [`/${name}/mapped`, rule('uid-map', `${ALICE}:700500`)]]),
  })
  const client = await connect(`${url}-${name}`), top = await client.attach({ uid: 0, aname: name })
  for (const dir of ['squashed', 'quiet', 'mapped']) { await top.mkdir(dir, 0o777); await set(top, dir, { mode: 0o777 }) }
  return { client, count: 0, stop: async () => { await client.close(); await server.stop() } }
}
