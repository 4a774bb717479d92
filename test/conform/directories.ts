import * as assert from 'uvu/assert'
import { AT_REMOVEDIR, direntType, Dt, O, QT, S } from 'ninep'
import { atLeast } from './promises.ts'
import type { Group } from './promises.ts'
import { entries, fails, file, find, has, isDead, ls, mkdir, other, outcome, owner, read, stat, text } from './tools.ts'

export const directories: readonly Group[] = [
  {
    promises: {
      'a fresh instance is an empty directory': async ({ root }) => {
        assert.is(root.qid.type, QT.DIR)
        assert.is((await stat(root)).mode & S.IFMT, S.IFDIR)
        assert.equal(await ls(root), [])
      },
      'every attach is the same root': async ({ translator, root }) => {
        const again = await translator.attach('')
        assert.is(again.qid.path, root.qid.path)
        assert.is(again.volume, root.volume)
        await file(root, 'f', 'seen')
        assert.is(await read(again, 'f'), 'seen')
      },
      'the root is its own parent': async ({ root }) => assert.is((await root.parent()).qid.path, root.qid.path),
      'the parent of a directory is where it is': async ({ root }) => {
        const a = await mkdir(root, 'a'), b = await mkdir(a, 'b'), c = await mkdir(b, 'c')
        assert.is((await c.parent()).qid.path, b.qid.path)
        assert.is((await (await c.parent()).parent()).qid.path, a.qid.path)
        assert.is((await a.parent()).qid.path, root.qid.path)
        await file(await c.parent(), 'through', 'parent')
        assert.is(await read(await find(root, 'a/b/through')), 'parent')
      },
      'a new directory is empty, of just this mode': async ({ root, lacks }) => {
        for (const bits of [0o755, 0o700, 0o777, 0, 0o1777, 0o2755, 0o3070]) {
          const mode = bits | atLeast({ lacks })
          const d = await root.mkdir(bits.toString(8), mode, owner)
          assert.is((await stat(d)).mode, S.IFDIR | mode, `mkdir ${mode.toString(8)}`)
          assert.equal(await ls(d), [])
        }
      },
      'mkdir over anything is EEXIST, and leaves it': async ({ root, lacks }) => {
        await file(root, 'file', 'kept')
        await file(await mkdir(root, 'dir'), 'inside', 'kept')
        if (!lacks('symlink')) await root.symlink('dangling', 'nowhere', owner)
        for (const name of ['file', 'dir', ...lacks('symlink') ? [] : ['dangling']]) await fails('EEXIST', () => root.mkdir(name, 0o755, owner))
        assert.is(await read(root, 'file'), 'kept')
        assert.is(await read(await find(root, 'dir/inside')), 'kept')
        assert.not(await has(root, 'nowhere'))
      },
      'a directory that is not empty stays: ENOTEMPTY': async ({ root }) => {
        const d = await mkdir(root, 'd')
        await file(d, 'f')
        await fails('ENOTEMPTY', () => root.unlinkat('d', AT_REMOVEDIR))
        await d.unlinkat('f', 0)
        await mkdir(d, 'sub')
        await fails('ENOTEMPTY', () => root.unlinkat('d', AT_REMOVEDIR))
        await d.unlinkat('sub', AT_REMOVEDIR)
        await root.unlinkat('d', AT_REMOVEDIR)
        assert.equal(await ls(root), [])
      },
      'unlinkat tells files from directories: EISDIR, ENOTDIR': async ({ root, lacks }) => {
        await mkdir(root, 'dir')
        await file(root, 'file')
        await fails('EISDIR', () => root.unlinkat('dir', 0))
        await fails('ENOTDIR', () => root.unlinkat('file', AT_REMOVEDIR))
        if (!lacks('symlink')) {
          await root.symlink('link', 'dir', owner)
          await fails('ENOTDIR', () => root.unlinkat('link', AT_REMOVEDIR))
          await root.unlinkat('link', 0)
        }
        assert.equal(await ls(root), ['dir', 'file'])
      },
      'nothing is made in a directory that was removed': async ({ root }) => {
        const d = await mkdir(root, 'd'), handle = await d.open(O.RDONLY)
        await root.unlinkat('d', AT_REMOVEDIR)
        await fails(['ENOENT', 'ESTALE'], () => d.create('f', O.RDWR, 0o644, owner))
        await fails(['ENOENT', 'ESTALE'], () => d.mkdir('d', 0o755, owner))
        await fails(['ENOENT', 'ESTALE'], () => d.walk('f'))
        await isDead(handle)
      },
      'a removed directory is not the next of its name': async ({ root }) => {
        const before = await mkdir(root, 'd'), held = await before.open(O.RDONLY)
        await root.unlinkat('d', AT_REMOVEDIR)
        const next = await mkdir(root, 'd')
        await file(next, 'f')
        await isDead(held)
        await fails(['ENOENT', 'ESTALE'], () => before.walk('f'))
      },
      'two nodes of a directory see the same': async ({ root }) => {
        await mkdir(root, 'd')
        const a = await root.walk('d'), b = await root.walk('d')
        await file(a, 'f', 'one')
        assert.is(await read(b, 'f'), 'one')
        await b.unlinkat('f', 0)
        assert.not(await has(a, 'f'))
      },
      'the type in a qid and in a listing is the file\'s own': async ({ root, lacks }) => {
        await file(root, 'f')
        await mkdir(root, 'd')
        const kinds: [string, number, number][] = [['d', QT.DIR, Dt.DIR], ['f', QT.FILE, Dt.REG]]
        if (!lacks('symlink')) { await root.symlink('s', 'd', owner); kinds.push(['s', QT.SYMLINK, Dt.LNK]) }
        if (!lacks('fifo')) { await root.mknod('p', S.IFIFO | 0o600, 0n, owner); kinds.push(['p', QT.FILE, Dt.FIFO]) }
        const { list } = await entries(await root.open(O.RDONLY))
        for (const [name, qt, dt] of kinds) {
          const node = await root.walk(name)
          assert.is(node.qid.type, qt, name)
          assert.is(direntType((await stat(node)).mode), dt, name)
          assert.is(list.find((e) => e.name === name)?.type, dt, name)
        }
      },
      'a directory opens for reading alone: EISDIR': async ({ root }) => {
        const d = await mkdir(root, 'd')
        for (const flags of [O.WRONLY, O.RDWR, O.RDONLY | O.TRUNC]) await fails('EISDIR', () => d.open(flags))
        await using handle = await d.open(O.RDONLY | O.DIRECTORY)
        await fails('EISDIR', () => handle.read(new Uint8Array(10), 0))
        await fails(['EBADF', 'EISDIR'], () => handle.write(text('x'), 0))
        await handle.fsync(false)
      },
      'a directory has no size to set: EISDIR': async ({ root }) => {
        const d = await mkdir(root, 'd')
        for (const size of [0, 1]) await fails('EISDIR', () => d.setattr({ size }))
      },
    },
  },
  {
    needs: ['owner'],
    promises: {
      'a new directory belongs to whom it was made for': async ({ root }) => {
        const d = await root.mkdir('d', 0o755, other)
        const { uid, gid } = await stat(d)
        assert.equal({ uid, gid }, other)
      },
      'a setgid directory changes neither mode nor owner of what is made in it: the server has done so': async ({ root }) => {
        const d = await root.mkdir('d', 0o2775, { uid: 1000, gid: 7 })
        const sub = await stat(await d.mkdir('sub', 0o750, other))
        assert.equal([sub.mode, sub.uid, sub.gid], [S.IFDIR | 0o750, other.uid, other.gid])
        const { node } = await d.create('f', O.RDWR, 0o640, other), made = await stat(node)
        assert.equal([made.mode, made.uid, made.gid], [S.IFREG | 0o640, other.uid, other.gid])
      },
    },
  },
  {
    needs: ['dir-nlink'],
    promises: {
      'nlink of a directory counts itself, its name and its subdirectories': async ({ root }) => {
        const d = await mkdir(root, 'd'), nlink = async () => (await stat(d)).nlink
        assert.is(await nlink(), 2)
        await file(d, 'f')
        assert.is(await nlink(), 2)
        await mkdir(d, 'one')
        await mkdir(d, 'two')
        assert.is(await nlink(), 4)
        await d.renameat('one', root, 'one')
        assert.is(await nlink(), 3)
        await root.renameat('one', d, 'two')
        assert.is(await nlink(), 3, 'after a rename over a subdirectory')
        await d.unlinkat('two', AT_REMOVEDIR)
        assert.is(await nlink(), 2)
      },
      'nlink of the root moves with its subdirectories': async ({ root }) => {
        const { nlink } = await stat(root)
        await mkdir(root, 'd')
        assert.is((await stat(root)).nlink, nlink + 1)
        await root.unlinkat('d', AT_REMOVEDIR)
        assert.is((await stat(root)).nlink, nlink)
        assert.is(await outcome(() => root.getattr(0)), undefined)
      },
    },
  },
]
