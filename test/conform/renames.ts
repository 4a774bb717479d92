import * as assert from 'uvu/assert'
import { AT_REMOVEDIR, O, S } from 'ninep'
import type { Group } from './promises.ts'
import { entries, fails, file, find, has, isDead, ls, mkdir, owner, read, readAll, same, stat, text, writeAll } from './tools.ts'

export const renames: readonly Group[] = [
  {
    promises: {
      'a renamed file is the same file by another name': async ({ root }) => {
        const f = await file(root, 'a', 'content'), before = await stat(f)
        await root.renameat('a', root, 'b')
        assert.equal(await ls(root), ['b'])
        const b = await root.walk('b'), after = await stat(b)
        assert.is(b.qid.path, f.qid.path)
        assert.equal([after.mode, after.nlink, after.size, after.mtime], [before.mode, before.nlink, before.size, before.mtime])
        assert.is(await read(b), 'content')
      },
      'a file moves to another directory': async ({ root }) => {
        const a = await mkdir(root, 'a'), b = await mkdir(root, 'b')
        await file(a, 'f', 'moved')
        await a.renameat('f', b, 'g')
        assert.equal(await ls(a), [])
        assert.is(await read(b, 'g'), 'moved')
      },
      'a node follows its file': async ({ root }) => {
        const d = await mkdir(root, 'd'), f = await file(root, 'a', 'follow')
        await root.renameat('a', root, 'b')
        await root.renameat('b', d, 'c')
        assert.is(await read(f), 'follow')
        await f.setattr({ mode: 0o600 })
        assert.is((await stat(await d.walk('c'))).mode, S.IFREG | 0o600)
        await file(root, 'a', 'another')
        assert.is(await read(f), 'follow')
      },
      'a node follows its file through renames of directories above it': async ({ root }) => {
        const a = await mkdir(root, 'a'), b = await mkdir(a, 'b'), c = await mkdir(b, 'c'), f = await file(c, 'f', 'deep')
        const elsewhere = await mkdir(root, 'elsewhere')
        await a.renameat('b', elsewhere, 'x')
        await root.renameat('elsewhere', root, 'y')
        assert.is(await read(f), 'deep')
        await file(c, 'g', 'new')
        assert.is(await read(await find(root, 'y/x/c/g')), 'new')
        assert.is((await c.walk('f')).qid.path, f.qid.path)
        await f.setattr({ size: 2 })
        assert.is(await read(await find(root, 'y/x/c/f')), 'de')
        await fails('ENOENT', () => a.walk('b'))
      },
      'a handle follows its file and its directories': async ({ root }) => {
        const d = await mkdir(root, 'd'), f = await file(d, 'f', 'abc'), handle = await f.open(O.RDWR)
        await root.renameat('d', root, 'e')
        await (await root.walk('e')).renameat('f', root, 'g')
        await writeAll(handle, text('X'), 1)
        assert.is(await read(root, 'g'), 'aXc')
        assert.is((await stat(handle)).nlink, 1)
      },
      'parent() of a directory is where it was moved to': async ({ root }) => {
        const a = await mkdir(root, 'a'), b = await mkdir(root, 'b'), sub = await mkdir(a, 'sub')
        await a.renameat('sub', b, 'sub')
        assert.is((await sub.parent()).qid.path, b.qid.path)
        await b.renameat('sub', root, 'sub')
        assert.is((await sub.parent()).qid.path, root.qid.path)
        assert.is((await (await root.walk('sub')).parent()).qid.path, root.qid.path)
      },
      'a rename over a file replaces it': async ({ root }) => {
        const a = await file(root, 'a', 'new'), b = await file(root, 'b', 'old')
        await root.renameat('a', root, 'b')
        assert.equal(await ls(root), ['b'])
        assert.is((await root.walk('b')).qid.path, a.qid.path)
        assert.is.not(a.qid.path, b.qid.path)
        assert.is(await read(root, 'b'), 'new')
      },
      'a rename over an open file leaves its handles on the old one': async ({ root }) => {
        await file(root, 'new', 'new')
        const old = await file(root, 'f', 'old'), handle = await old.open(O.RDWR)
        await root.renameat('new', root, 'f')
        same(await readAll(handle), text('old'))
        await writeAll(handle, text('OLD+'))
        same(await readAll(handle), text('OLD+'))
        assert.is((await stat(handle)).nlink, 0)
        assert.is(await read(root, 'f'), 'new')
      },
      'a rename onto itself does nothing': async ({ root }) => {
        await file(root, 'f', 'kept')
        await file(await mkdir(root, 'd'), 'inside')
        await root.renameat('f', root, 'f')
        await root.renameat('d', root, 'd')
        assert.equal(await ls(root), ['d', 'f'])
        assert.is(await read(root, 'f'), 'kept')
        assert.ok(await has(await root.walk('d'), 'inside'))
      },
      'a directory replaces an empty one': async ({ root }) => {
        const full = await mkdir(root, 'full'), empty = await mkdir(root, 'empty'), listing = await empty.open(O.RDONLY)
        await file(full, 'f', 'x')
        await root.renameat('full', root, 'empty')
        assert.equal(await ls(root), ['empty'])
        assert.is(await read(await find(root, 'empty/f')), 'x')
        await isDead(listing)
        await fails(['ENOENT', 'ESTALE'], () => empty.mkdir('more', 0o755, owner))
      },
      'a directory does not replace one that is not empty: ENOTEMPTY': async ({ root }) => {
        await file(await mkdir(root, 'a'), 'in-a')
        await file(await mkdir(root, 'b'), 'in-b')
        await fails('ENOTEMPTY', () => root.renameat('a', root, 'b'))
        assert.ok(await has(await root.walk('a'), 'in-a'))
        assert.ok(await has(await root.walk('b'), 'in-b'))
      },
      'files and directories do not replace each other: ENOTDIR, EISDIR': async ({ root }) => {
        await file(root, 'file', 'kept')
        await mkdir(root, 'dir')
        await fails('ENOTDIR', () => root.renameat('dir', root, 'file'))
        await fails('EISDIR', () => root.renameat('file', root, 'dir'))
        assert.equal(await ls(root), ['dir', 'file'])
        assert.is(await read(root, 'file'), 'kept')
      },
      'a directory does not move into itself or below: EINVAL': async ({ root }) => {
        const a = await mkdir(root, 'a'), b = await mkdir(a, 'b'), c = await mkdir(b, 'c')
        for (const into of [a, b, c]) await fails('EINVAL', () => root.renameat('a', into, 'new'))
        await fails('EINVAL', () => a.renameat('b', c, 'new'))
        assert.ok(await find(root, 'a/b/c'))
        assert.equal(await ls(c), [])
      },
      'what is inside does not replace a directory above it: ENOTEMPTY': async ({ root }) => {
        const a = await mkdir(root, 'a'), b = await mkdir(a, 'b')
        await mkdir(b, 'c')
        await fails('ENOTEMPTY', () => b.renameat('c', root, 'a'))
        await fails('ENOTEMPTY', () => a.renameat('b', root, 'a'))
        assert.ok(await find(root, 'a/b/c'))
      },
      'what is not there is not renamed: ENOENT': async ({ root }) => {
        await file(root, 'target', 'kept')
        await fails('ENOENT', () => root.renameat('missing', root, 'target'))
        await fails('ENOENT', () => root.renameat('missing', root, 'missing'))
        assert.is(await read(root, 'target'), 'kept')
      },
      'nothing is renamed into a directory that was removed, or into a file': async ({ root }) => {
        const d = await mkdir(root, 'd'), f = await file(root, 'f')
        await file(root, 'x', 'kept')
        await root.unlinkat('d', AT_REMOVEDIR)
        await fails(['ENOENT', 'ESTALE'], () => root.renameat('x', d, 'y'))
        await fails('ENOTDIR', () => root.renameat('x', f, 'y'))
        await fails('ENOTDIR', () => f.renameat('x', root, 'y'))
        assert.equal(await ls(root), ['f', 'x'])
      },
      'renameat expects a file: ESTALE if it is another': async ({ root }) => {
        const f = await file(root, 'f'), g = await file(root, 'g')
        await fails('ESTALE', () => root.renameat('f', root, 'h', g.qid.path))
        assert.equal(await ls(root), ['f', 'g'])
        await root.renameat('f', root, 'h', f.qid.path)
        assert.equal(await ls(root), ['g', 'h'])
        await fails('ENOENT', () => root.renameat('f', root, 'i', f.qid.path))
      },
      'a node of another instance is not ours: EXDEV': async ({ root, another }) => {
        const theirs = await (await another()).attach('')
        await file(root, 'f')
        await fails('EXDEV', () => root.renameat('f', theirs, 'f'))
        assert.equal(await ls(root), ['f'])
        assert.equal(await ls(theirs), [])
      },
      'two files swap names by a third, and again a hundred times': async ({ root }) => {
        const a = await file(root, 'a', 'A'), b = await file(root, 'b', 'B')
        for (let i = 0; i < 101; i++) {
          await root.renameat('a', root, 'c')
          await root.renameat('b', root, 'a')
          await root.renameat('c', root, 'b')
        }
        assert.equal([await read(root, 'a'), await read(root, 'b')], ['B', 'A'])
        assert.equal([await read(a), await read(b)], ['A', 'B'])
      },
      'a directory renamed while it is listed goes on being listed': async ({ root }) => {
        const d = await mkdir(root, 'd')
        for (let i = 0; i < 10; i++) await file(d, `f${i}`)
        const handle = await d.open(O.RDONLY), first = await entries(handle, { max: 4 })
        await root.renameat('d', root, 'e')
        const rest = await entries(handle, { after: first.list[3]!.cookie })
        assert.equal([...first.list, ...rest.list].map((e) => e.name).sort(), Array.from({ length: 10 }, (_, i) => `f${i}`))
      },
      'a moved directory can be emptied and removed': async ({ root }) => {
        const a = await mkdir(root, 'a'), d = await mkdir(root, 'd')
        await file(d, 'f')
        await root.renameat('d', a, 'd')
        await fails('ENOTEMPTY', () => root.unlinkat('a', AT_REMOVEDIR))
        await d.unlinkat('f', 0)
        await a.unlinkat('d', AT_REMOVEDIR)
        await root.unlinkat('a', AT_REMOVEDIR)
        assert.equal(await ls(root), [])
      },
    },
  },
  {
    needs: ['symlink'],
    promises: {
      'rename moves and replaces symlinks themselves': async ({ root }) => {
        await file(root, 'target', 'kept')
        await root.symlink('link', 'target', owner)
        await root.renameat('link', root, 'moved')
        assert.is(await (await root.walk('moved')).readlink(), 'target')
        await file(root, 'f', 'f')
        await root.renameat('f', root, 'moved')
        assert.is(await read(root, 'moved'), 'f')
        assert.is(await read(root, 'target'), 'kept')
      },
      'a symlink to a directory is no directory to rename': async ({ root }) => {
        await mkdir(root, 'dir')
        await mkdir(root, 'source')
        await root.symlink('link', 'dir', owner)
        await fails('ENOTDIR', () => root.renameat('source', root, 'link'))
        await fails('EISDIR', () => root.renameat('link', root, 'dir'))
        assert.equal(await ls(root), ['dir', 'link', 'source'])
      },
    },
  },
  {
    needs: ['hardlink'],
    promises: {
      'a rename between two names of one file does nothing': async ({ root }) => {
        const d = await mkdir(root, 'd'), f = await file(root, 'a', 'one')
        await root.link(f, 'b')
        await d.link(f, 'c')
        await root.renameat('a', root, 'b')
        await root.renameat('a', d, 'c')
        assert.equal([await ls(root), await ls(d)], [['a', 'b', 'd'], ['c']])
        assert.is((await stat(f)).nlink, 3)
      },
      'a name that is renamed over takes one from nlink': async ({ root }) => {
        const f = await file(root, 'a', 'linked')
        await root.link(f, 'b')
        await file(root, 'x', 'x')
        await root.renameat('x', root, 'a')
        assert.is((await stat(f)).nlink, 1)
        assert.is(await read(f), 'linked')
        assert.is(await read(root, 'b'), 'linked')
        assert.is(await read(root, 'a'), 'x')
      },
    },
  },
]
