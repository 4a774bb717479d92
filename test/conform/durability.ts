import * as assert from 'uvu/assert'
import { AT_REMOVEDIR, O, S } from 'ninep'
import type { Group } from './promises.ts'
import { file, find, get, has, ls, mkdir, noise, owner, read, same, stat, text, writeAll } from './tools.ts'

export const durability: readonly Group[] = [
  {
    needs: ['crash'],
    promises: {
      'what was synced survives a crash: names, contents, attributes': async ({ translator, root, crash, lacks }) => {
        const d = await mkdir(root, 'd', 0o750), bytes = noise(300_000), f = await file(d, 'f', bytes, 0o640)
        await f.setattr({ mtime: { sec: 1_000_000_000, nsec: 0 } })
        if (!lacks('symlink')) await d.symlink('s', 'target', owner)
        if (!lacks('hardlink')) await root.link(f, 'linked')
        if (!lacks('xattr')) await f.setxattr('user.a', text('value'), 0)
        const before = await stat(f)
        await translator.sync()
        const again = await (await crash()).attach('')
        assert.equal(await ls(again), lacks('hardlink') ? ['d'] : ['d', 'linked'])
        same(await get(again, 'd/f'), bytes)
        const g = await find(again, 'd/f'), after = await stat(g)
        assert.equal([after.mode, after.uid, after.gid, after.size, after.nlink, after.mtime], [before.mode, before.uid, before.gid, before.size, before.nlink, before.mtime])
        assert.is((await stat(await again.walk('d'))).mode, S.IFDIR | 0o750)
        if (!lacks('symlink')) assert.is(await (await find(again, 'd/s')).readlink(), 'target')
        if (!lacks('xattr')) same(await g.getxattr('user.a'), text('value'))
      },
      'what was fsynced survives a crash': async ({ translator, root, crash }) => {
        const { handle } = await root.create('f', O.RDWR, 0o644, owner), bytes = noise(100_000)
        await translator.sync()
        await writeAll(handle, bytes)
        await handle.fsync(false)
        await writeAll(handle, text('later, and not synced'), 0)
        const got = await get(await crash(), 'f')
        assert.is(got.length, 100_000)
        same(got.subarray(21), bytes.subarray(21))
      },
      'data synced alone are there with their size': async ({ translator, root, crash }) => {
        const f = await file(root, 'f', 'short'), handle = await f.open(O.RDWR), bytes = noise(50_000)
        await translator.sync()
        await writeAll(handle, bytes)
        await handle.fsync(true)
        same(await get(await crash(), 'f'), bytes)
      },
      'names survive when their directory was fsynced': async ({ root, crash }) => {
        const d = await mkdir(root, 'd')
        await (await root.open(O.RDONLY)).fsync(false)
        await (await (await file(d, 'f', 'x')).open(O.RDWR)).fsync(false)
        await (await d.open(O.RDONLY)).fsync(false)
        assert.is(await read(await (await crash()).attach(''), 'd/f'), 'x')
      },
      'what was synced as gone stays gone': async ({ translator, root, crash }) => {
        await file(root, 'f', 'x')
        await mkdir(root, 'd')
        await file(root, 'from', 'moved')
        await translator.sync()
        await root.unlinkat('f', 0)
        await root.unlinkat('d', AT_REMOVEDIR)
        await root.renameat('from', root, 'to')
        await translator.sync()
        const again = await (await crash()).attach('')
        assert.equal(await ls(again), ['to'])
        assert.is(await read(again, 'to'), 'moved')
      },
      'a rename over a synced file leaves the old or the new one, whole': async ({ translator, root, crash }) => {
        await file(root, 'f', 'old')
        await translator.sync()
        await (await (await file(root, 'temporary', 'new')).open(O.RDWR)).fsync(false)
        await root.renameat('temporary', root, 'f')
        assert.ok(['old', 'new'].includes(await read(await (await crash()).attach(''), 'f')))
      },
      'identities are the same after a restart, and none comes back': async ({ translator, root, crash }) => {
        const f = await file(root, 'f'), d = await mkdir(root, 'd'), gone = await file(root, 'gone')
        const before = [f, d, root].map((n) => n.qid.path), { label } = f.volume, lost = [gone.qid.path, (await stat(gone)).gen]
        await root.unlinkat('gone', 0)
        await translator.sync()
        const again = await (await crash()).attach('')
        assert.equal([(await again.walk('f')).qid.path, (await again.walk('d')).qid.path, again.qid.path], before)
        assert.is(again.volume.label, label)
        for (let i = 0; i < 20; i++) {
          const next = await file(again, `n${i}`)
          assert.not.equal([next.qid.path, (await stat(next)).gen], lost)
        }
      },
      'an instance that crashed and came back goes on': async ({ translator, root, crash }) => {
        await file(root, 'f', 'one')
        await translator.sync()
        const again = await (await crash()).attach(''), handle = await (await again.walk('f')).open(O.RDWR | O.APPEND)
        await handle.write(text(' two'), 0)
        await again.renameat('f', again, 'g')
        assert.is(await read(again, 'g'), 'one two')
        assert.not(await has(again, 'f'))
      },
      'a file unlinked while it was open does not come back': async ({ translator, root, crash }) => {
        const f = await file(root, 'f', 'x'), handle = await f.open(O.RDWR)
        await root.unlinkat('f', 0)
        await writeAll(handle, text('still'))
        await handle.fsync(false)
        await translator.sync()
        assert.equal(await ls(await (await crash()).attach('')), [])
      },
    },
  },
]
