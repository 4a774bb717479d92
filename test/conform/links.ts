import * as assert from 'uvu/assert'
import { AT_REMOVEDIR, O, S } from 'ninep'
import type { Group } from './promises.ts'
import { fails, file, has, later, ls, mkdir, owner, read, readAll, same, stat, text, tick, writeAll } from './tools.ts'

export const links: readonly Group[] = [
  {
    needs: ['hardlink'],
    promises: {
      'a second name is the same file': async ({ root }) => {
        const f = await file(root, 'a', 'content')
        await root.link(f, 'b')
        const b = await root.walk('b')
        assert.is(b.qid.path, f.qid.path)
        assert.is(b.volume, f.volume)
        assert.equal(await stat(b), await stat(f))
        assert.is((await stat(b)).nlink, 2)
        assert.equal(await ls(root), ['a', 'b'])
      },
      'names in other directories are the same file too': async ({ root }) => {
        const d = await mkdir(root, 'd'), e = await mkdir(root, 'e'), f = await file(d, 'f', 'x')
        await e.link(f, 'g')
        await root.link(await e.walk('g'), 'h')
        assert.is((await stat(f)).nlink, 3)
        await d.unlinkat('f', 0)
        await root.unlinkat('d', AT_REMOVEDIR)
        assert.is(await read(e, 'g'), 'x')
        assert.is((await stat(await root.walk('h'))).nlink, 2)
      },
      'what is written by one name is read by the other': async ({ root }) => {
        const a = await file(root, 'a', 'old')
        await root.link(a, 'b')
        const b = await root.walk('b'), handle = await b.open(O.RDWR)
        await writeAll(handle, text('new!'))
        assert.is(await read(a), 'new!')
        await a.setattr({ size: 1, mode: 0o600 })
        same(await readAll(handle), text('n'))
        assert.is((await stat(b)).mode, S.IFREG | 0o600)
      },
      'a node outlives the name that it was found by': async ({ root }) => {
        const f = await file(root, 'a', 'still')
        await root.link(f, 'b')
        const walked = await root.walk('a')
        await root.unlinkat('a', 0)
        for (const node of [f, walked]) {
          assert.is(await read(node), 'still')
          assert.is((await stat(node)).nlink, 1)
          await node.setattr({ mode: 0o640 })
        }
        await root.renameat('b', root, 'c')
        assert.is(await read(walked), 'still')
        await root.link(walked, 'd')
        assert.is(await read(root, 'd'), 'still')
      },
      'a node does not become the file that took the name over': async ({ root }) => {
        const f = await file(root, 'a', 'first')
        await root.link(f, 'b')
        await root.unlinkat('a', 0)
        await file(root, 'a', 'second')
        assert.is(await read(f), 'first')
        await file(root, 'x', 'third')
        await root.renameat('x', root, 'b')
        assert.equal([await read(root, 'a'), await read(root, 'b')], ['second', 'third'])
      },
      'a link over anything is EEXIST': async ({ root }) => {
        const f = await file(root, 'f')
        await file(root, 'g', 'kept')
        await mkdir(root, 'd')
        for (const name of ['f', 'g', 'd']) await fails('EEXIST', () => root.link(f, name))
        assert.is(await read(root, 'g'), 'kept')
        assert.is((await stat(f)).nlink, 1)
      },
      'a directory has one name: EPERM': async ({ root }) => {
        const d = await mkdir(root, 'd')
        await fails('EPERM', () => root.link(d, 'e'))
        await fails('EPERM', () => d.link(d, 'self'))
        await fails('EPERM', () => d.link(root, 'up'))
        assert.equal([await ls(root), await ls(d)], [['d'], []])
      },
      'a file of another instance is not ours: EXDEV': async ({ root, another }) => {
        const theirs = await file(await (await another()).attach(''), 'f')
        await fails('EXDEV', () => root.link(theirs, 'g'))
        assert.equal(await ls(root), [])
      },
      'a file without a name gets none again: ENOENT': async ({ root }) => {
        const f = await file(root, 'f', 'x'), handle = await f.open(O.RDWR)
        await root.unlinkat('f', 0)
        await fails(['ENOENT', 'ESTALE'], () => root.link(f, 'g'))
        assert.not(await has(root, 'g'))
        same(await readAll(handle), text('x'))
      },
      'links are made in directories: ENOTDIR, ENOENT': async ({ root }) => {
        const f = await file(root, 'f'), d = await mkdir(root, 'd')
        await root.unlinkat('d', AT_REMOVEDIR)
        await fails('ENOTDIR', () => f.link(f, 'g'))
        await fails(['ENOENT', 'ESTALE'], () => d.link(f, 'g'))
        assert.is((await stat(f)).nlink, 1)
      },
      'a hundred names are counted up and down': async ({ root }) => {
        const f = await file(root, 'n0', 'x')
        for (let i = 1; i < 100; i++) await root.link(f, `n${i}`)
        assert.is((await stat(f)).nlink, 100)
        for (let i = 0; i < 99; i++) await root.unlinkat(`n${i}`, 0)
        assert.is((await stat(f)).nlink, 1)
        assert.is(await read(root, 'n99'), 'x')
      },
      'ctime of a file moves with its links': async ({ root }) => {
        const f = await file(root, 'a'), before = await stat(f)
        await tick()
        await root.link(f, 'b')
        const linked = await stat(f)
        later(linked.ctime, before.ctime, 'ctime on link')
        await tick()
        await root.unlinkat('b', 0)
        later((await stat(f)).ctime, linked.ctime, 'ctime on unlink')
        assert.equal((await stat(f)).mtime, before.mtime)
      },
    },
  },
  {
    needs: ['hardlink', 'symlink'],
    promises: {
      'a link to a symlink is that symlink': async ({ root }) => {
        await file(root, 'target', 'x')
        const s = await root.symlink('s', 'target', owner)
        await root.link(s, 't')
        const t = await root.walk('t')
        assert.is(t.qid.path, s.qid.path)
        assert.is(await t.readlink(), 'target')
        assert.is((await stat(t)).nlink, 2)
      },
    },
  },
  {
    needs: ['hardlink', 'fifo'],
    promises: {
      'a FIFO has second names': async ({ root }) => {
        const p = await root.mknod('p', S.IFIFO | 0o600, 0n, owner)
        await root.link(p, 'q')
        await root.unlinkat('p', 0)
        assert.is((await stat(await root.walk('q'))).mode, S.IFIFO | 0o600)
        assert.is((await stat(p)).nlink, 1)
      },
    },
  },
]
