import * as assert from 'uvu/assert'
import { AT_REMOVEDIR, O, S } from 'ninep'
import type { Node } from '../../translators/translator.ts'
import type { Group } from './promises.ts'
import { fails, file, find, has, ls, mkdir, owner, read } from './tools.ts'

/** Makes a file of each name, finds each again by listing and walking, renames and removes it. */
async function holds(root: Node, names: readonly string[]): Promise<void> {
  for (const [i, name] of names.entries()) await file(root, name, String(i))
  assert.equal(await ls(root), [...names].sort())
  for (const [i, name] of names.entries()) assert.is(await read(root, name), String(i))
  for (const [i, name] of names.entries()) {
    await root.renameat(name, root, 'moved')
    await root.renameat('moved', root, name)
    assert.is(await read(root, name), String(i))
    await root.unlinkat(name, 0)
  }
  assert.equal(await ls(root), [])
}

export const names: readonly Group[] = [
  {
    promises: {
      'any byte but NUL and slash may stand in a name': async ({ root }) => {
        const all = Array.from({ length: 127 }, (_, i) => String.fromCharCode(i + 1)).filter((c) => c !== '/' && c !== '.')
        await holds(root, all)
      },
      'what means something to a shell, to Windows or to a URL is only bytes': ({ root }) =>
        holds(root, ['...', '.hidden', '-rf', '~', 'a.', 'a ', ' a', 'a\nb', 'a\\b', '"\'', '*?[]', 'con', 'c:', '%2f', '%00', '$HOME', '..a', 'a..', '\\', '\r\n']),
      'what means something to JavaScript is only a name': ({ root }) =>
        holds(root, ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'undefined', 'null', 'NaN', '0', '-1', '00', '1e3', 'then']),
      'names of every script are kept': ({ root }) => holds(root, ['ä', 'é', 'е', 'ß', 'İ', '日本語', 'עברית', '👩‍👩‍👧', '\u200b', '\ufeff', '\ufffd', '\uffff', '\u{10ffff}']),
      'composed and decomposed accents are two names': async ({ root }) => {
        await holds(root, ['\u00e9', 'e\u0301'])
      },
      'a name is found whole or not at all': async ({ root }) => {
        await file(root, 'name')
        for (const near of ['nam', 'names', 'name ', ' name', 'name.', 'name\n', 'Name\u0301']) assert.not(await has(root, near), near)
        await fails('ENOENT', () => root.walk('nam'))
      },
      'a name that was freed can be anything next': async ({ root, lacks }) => {
        await file(root, 'x', 'file')
        await root.unlinkat('x', 0)
        await file(await mkdir(root, 'x'), 'inside')
        await (await root.walk('x')).unlinkat('inside', 0)
        await root.unlinkat('x', AT_REMOVEDIR)
        if (!lacks('symlink')) {
          await root.symlink('x', 'target', owner)
          await root.unlinkat('x', 0)
        }
        assert.is(await read(await file(root, 'x', 'again')), 'again')
        assert.equal(await ls(root), ['x'])
      },
      'one name in two directories is two files': async ({ root }) => {
        const a = await mkdir(root, 'a'), b = await mkdir(root, 'b')
        await file(a, 'same', 'in a')
        await file(b, 'same', 'in b')
        await a.unlinkat('same', 0)
        assert.is(await read(await find(root, 'b/same')), 'in b')
        assert.not(await has(a, 'same'))
      },
      'a name longer than statfs says is ENAMETOOLONG, whoever makes it': async ({ root, lacks }) => {
        const { namelen } = await root.statfs(), long = 'n'.repeat(namelen + 1)
        const f = await file(root, 'f')
        await fails('ENAMETOOLONG', () => root.create(long, O.RDWR, 0o644, owner))
        await fails('ENAMETOOLONG', () => root.mkdir(long, 0o755, owner))
        await fails('ENAMETOOLONG', () => root.renameat('f', root, long))
        if (!lacks('symlink')) await fails('ENAMETOOLONG', () => root.symlink(long, 't', owner))
        if (!lacks('hardlink')) await fails('ENAMETOOLONG', () => root.link(f, long))
        if (!lacks('fifo')) await fails('ENAMETOOLONG', () => root.mknod(long, S.IFIFO | 0o644, 0n, owner))
        await fails(['ENAMETOOLONG', 'ENOENT'], () => root.walk(long))
        await fails(['ENAMETOOLONG', 'ENOENT'], () => root.unlinkat(long, 0))
        assert.equal(await ls(root), ['f'])
      },
    },
  },
  {
    needs: ['case'],
    promises: {
      'upper and lower case are two names': ({ root }) => holds(root, ['readme', 'README', 'ReadMe', 'é', 'É']),
    },
  },
  {
    needs: ['long-names'],
    promises: {
      'a name may have 255 bytes': async ({ root }) => {
        assert.is((await root.statfs()).namelen, 255)
        await holds(root, ['n'.repeat(255), 'n'.repeat(254), 'm'.repeat(255), 'ü'.repeat(127) + 'u', '👣'.repeat(63) + 'abc'])
      },
      'the limit counts bytes and not characters': async ({ root }) => {
        await fails('ENAMETOOLONG', () => root.create('ü'.repeat(128), O.RDWR, 0o644, owner))
        await fails('ENAMETOOLONG', () => root.mkdir('👣'.repeat(64), 0o755, owner))
      },
    },
  },
  {
    needs: ['byte-names'],
    promises: {
      'bytes that are not UTF-8 are kept, each for itself': ({ root }) =>
        holds(root, ['\udcff', '\udcfe', '\udc80', 'a\udce9b', '\udcc3', '\udcc3(', '\udce2\udc82', '\udced\udca0\udc80', '\udcf4\udc90\udc80\udc80', '\udcc0\udcaf']),
      'a byte of Latin-1 and the letter in UTF-8 are two names': ({ root }) => holds(root, ['\u00e9', '\udce9', '\ufffd']),
      'directories of such names hold files of such names': async ({ root }) => {
        const d = await mkdir(root, '\udcff\udcfe')
        await file(d, 'x\udc80', 'found')
        await root.renameat('\udcff\udcfe', root, '\udcfd')
        assert.is(await read(await find(root, '\udcfd/x\udc80')), 'found')
      },
    },
  },
  {
    needs: ['byte-names', 'long-names'],
    promises: {
      '255 bytes that are not UTF-8 are a name': async ({ root }) => {
        await holds(root, ['\udcff'.repeat(255)])
        await fails('ENAMETOOLONG', () => root.create('\udcff'.repeat(256), O.RDWR, 0o644, owner))
      },
    },
  },
]
