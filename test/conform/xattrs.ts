import * as assert from 'uvu/assert'
import { XATTR_CREATE, XATTR_REPLACE } from 'ninep'
import type { Node } from '../../translators/translator.ts'
import type { Group } from './promises.ts'
import { fails, file, get, later, mkdir, noise, owner, same, stat, text, tick } from './tools.ts'

/** The names in user.*: a host may have others of its own, such as security.selinux. */
async function list(node: Node): Promise<string[]> { return (await node.listxattr()).filter((n) => n.startsWith('user.')).sort() }

export const xattrs: readonly Group[] = [
  {
    needs: ['xattr'],
    promises: {
      'a value that was set is got, listed, replaced and removed': async ({ root }) => {
        const f = await file(root, 'f')
        assert.equal(await list(f), [])
        await f.setxattr('user.colour', text('red'), 0)
        same(await f.getxattr('user.colour'), text('red'))
        assert.equal(await list(f), ['user.colour'])
        await f.setxattr('user.colour', text('green'), 0)
        same(await f.getxattr('user.colour'), text('green'))
        await f.removexattr('user.colour')
        assert.equal(await list(f), [])
        await fails('ENODATA', () => f.getxattr('user.colour'))
      },
      'what is not there is ENODATA': async ({ root }) => {
        const f = await file(root, 'f')
        await f.setxattr('user.there', text('x'), 0)
        for (const name of ['user.not', 'user.ther', 'user.theres', 'user.There']) {
          await fails('ENODATA', () => f.getxattr(name))
          await fails('ENODATA', () => f.removexattr(name))
        }
      },
      'XATTR_CREATE makes, and does not replace: EEXIST': async ({ root }) => {
        const f = await file(root, 'f')
        await f.setxattr('user.a', text('first'), XATTR_CREATE)
        await fails('EEXIST', () => f.setxattr('user.a', text('second'), XATTR_CREATE))
        same(await f.getxattr('user.a'), text('first'))
      },
      'XATTR_REPLACE replaces, and does not make: ENODATA': async ({ root }) => {
        const f = await file(root, 'f')
        await fails('ENODATA', () => f.setxattr('user.a', text('first'), XATTR_REPLACE))
        assert.equal(await list(f), [])
        await f.setxattr('user.a', text('first'), 0)
        await f.setxattr('user.a', text('second'), XATTR_REPLACE)
        same(await f.getxattr('user.a'), text('second'))
      },
      'an empty value is a value': async ({ root }) => {
        const f = await file(root, 'f')
        await f.setxattr('user.empty', new Uint8Array(0), 0)
        assert.is((await f.getxattr('user.empty')).length, 0)
        assert.equal(await list(f), ['user.empty'])
        await fails('EEXIST', () => f.setxattr('user.empty', text('x'), XATTR_CREATE))
      },
      'a value holds any bytes': async ({ root }) => {
        const f = await file(root, 'f'), all = Uint8Array.from({ length: 256 }, (_, i) => i)
        await f.setxattr('user.all', all, 0)
        same(await f.getxattr('user.all'), all)
      },
      'a value grows and shrinks': async ({ root }) => {
        const f = await file(root, 'f')
        for (const length of [1, 1000, 10, 2000, 0, 1]) {
          const value = noise(length)
          await f.setxattr('user.a', value, 0)
          same(await f.getxattr('user.a'), value)
        }
      },
      'forty values stay apart': async ({ root }) => {
        const f = await file(root, 'f'), names = Array.from({ length: 40 }, (_, i) => `user.n${i}`)
        for (const name of names) await f.setxattr(name, text(name), 0)
        assert.equal(await list(f), [...names].sort())
        for (const name of names.slice(0, 20)) await f.removexattr(name)
        assert.equal(await list(f), names.slice(20).sort())
        for (const name of names.slice(20)) same(await f.getxattr(name), text(name))
      },
      'names are kept, what follows the first dot being anything': async ({ root }) => {
        const f = await file(root, 'f'), names = ['user.a.b', 'user. ', 'user.日本', 'user.__proto__', 'user.constructor', `user.${'n'.repeat(250)}`]
        for (const name of names) await f.setxattr(name, text(name), 0)
        assert.equal(await list(f), [...names].sort())
        for (const name of names) same(await f.getxattr(name), text(name))
      },
      'a name of 256 bytes, or of no namespace, is refused': async ({ root }) => {
        const f = await file(root, 'f')
        await fails(['ERANGE', 'ENAMETOOLONG', 'EINVAL', 'EOPNOTSUPP'], () => f.setxattr(`user.${'n'.repeat(251)}`, text('x'), 0))
        for (const name of ['user', 'nonsense.x', 'x']) await fails(['EOPNOTSUPP', 'EINVAL', 'EPERM'], () => f.setxattr(name, text('x'), 0))
        assert.equal(await list(f), [])
      },
      'a value past 64 KiB is refused: E2BIG': async ({ root }) => {
        const f = await file(root, 'f')
        await fails(['E2BIG', 'ENOSPC'], () => f.setxattr('user.a', new Uint8Array(65537), 0))
        await fails('ENODATA', () => f.getxattr('user.a'))
      },
      'a directory has values too, and so has the root': async ({ root }) => {
        const d = await mkdir(root, 'd')
        for (const node of [d, root]) {
          await node.setxattr('user.a', text('dir'), 0)
          same(await node.getxattr('user.a'), text('dir'))
          assert.equal(await list(node), ['user.a'])
          await node.removexattr('user.a')
          assert.equal(await list(node), [])
        }
      },
      'values belong to the file: they follow it, and end with it': async ({ root }) => {
        const d = await mkdir(root, 'd'), f = await file(root, 'f')
        await f.setxattr('user.a', text('mine'), 0)
        await root.renameat('f', d, 'g')
        same(await (await d.walk('g')).getxattr('user.a'), text('mine'))
        same(await f.getxattr('user.a'), text('mine'))
        await d.unlinkat('g', 0)
        await f.close()
        assert.equal(await list(await file(d, 'g')), [])
      },
      'two files have each their own': async ({ root }) => {
        const f = await file(root, 'f'), g = await file(root, 'g')
        await f.setxattr('user.a', text('f'), 0)
        await g.setxattr('user.a', text('g'), 0)
        await g.removexattr('user.a')
        same(await f.getxattr('user.a'), text('f'))
      },
      'setting a value moves ctime, and neither mtime nor content': async ({ root }) => {
        const f = await file(root, 'f', 'content'), before = await stat(f)
        await tick()
        await f.setxattr('user.a', text('x'), 0)
        const set = await stat(f)
        later(set.ctime, before.ctime, 'ctime on setxattr')
        assert.equal(set.mtime, before.mtime)
        await tick()
        await f.removexattr('user.a')
        later((await stat(f)).ctime, set.ctime, 'ctime on removexattr')
        same(await get(f), text('content'))
      },
    },
  },
  {
    needs: ['xattr', 'hardlink'],
    promises: {
      'values are the same by every name of a file': async ({ root }) => {
        const f = await file(root, 'f')
        await root.link(f, 'g')
        await f.setxattr('user.a', text('shared'), 0)
        const g = await root.walk('g')
        same(await g.getxattr('user.a'), text('shared'))
        await root.unlinkat('f', 0)
        same(await g.getxattr('user.a'), text('shared'))
      },
    },
  },
  {
    needs: ['xattr', 'symlink'],
    promises: {
      'a symlink has no user values: EPERM': async ({ root }) => {
        const f = await file(root, 'target'), s = await root.symlink('s', 'target', owner)
        await fails(['EPERM', 'EOPNOTSUPP'], () => s.setxattr('user.a', text('x'), 0))
        assert.equal(await list(f), [])
      },
    },
  },
  {
    needs: ['xattr-64k', 'xattr'],
    promises: {
      'a value of 64 KiB is kept': async ({ root }) => {
        const f = await file(root, 'f'), value = noise(65536)
        await f.setxattr('user.big', value, 0)
        same(await f.getxattr('user.big'), value)
        await f.setxattr('user.big', value.subarray(0, 3), XATTR_REPLACE)
        same(await f.getxattr('user.big'), value.subarray(0, 3))
      },
    },
  },
]
