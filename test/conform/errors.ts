import * as assert from 'uvu/assert'
import { AT_REMOVEDIR, O, S } from 'ninep'
import type { Code } from 'ninep'
import type { Node } from '../../translators/translator.ts'
import type { Group } from './promises.ts'
import { fails, file, ls, mkdir, owner, read, stat } from './tools.ts'

/** What each call that takes a name does in a node that is no directory, or for a name that is not there. */
const calls: Readonly<Record<string, (dir: Node, name: string, root: Node) => unknown>> = {
  walk: (dir, name) => dir.walk(name),
  create: (dir, name) => dir.create(name, O.RDWR, 0o644, owner),
  mkdir: (dir, name) => dir.mkdir(name, 0o755, owner),
  symlink: (dir, name) => dir.symlink(name, 'target', owner),
  mknod: (dir, name) => dir.mknod(name, S.IFREG | 0o644, 0n, owner),
  'unlinkat of a file': (dir, name) => dir.unlinkat(name, 0),
  'unlinkat of a directory': (dir, name) => dir.unlinkat(name, AT_REMOVEDIR),
  renameat: (dir, name, root) => dir.renameat(name, root, 'renamed'),
}
const finding = ['walk', 'unlinkat of a file', 'unlinkat of a directory', 'renameat']
function each(names: readonly string[], sentence: (name: string) => string, check: (call: (dir: Node, name: string, root: Node) => unknown, root: Node) => Promise<void>) {
  return Object.fromEntries(names.map((name) => [sentence(name), ({ root }: { root: Node }) => check(calls[name]!, root)]))
}
const expectAll = async (code: Code | Code[], root: Node, f: () => unknown) => {
  const before = await ls(root)
  await fails(code, f)
  assert.equal(await ls(root), before)
}

export const errors: readonly Group[] = [
  {
    promises: {
      ...each(Object.keys(calls).filter((n) => n !== 'symlink'), (name) => `${name} in a file is ENOTDIR`, async (call, root) => {
        const f = await file(root, 'f', 'kept')
        await expectAll('ENOTDIR', root, () => call(f, 'x', root))
        assert.is(await read(f), 'kept')
      }),
      ...each(finding, (name) => `${name} of what is not there is ENOENT`, async (call, root) => {
        await expectAll('ENOENT', root, () => call(root, 'missing', root))
        const d = await mkdir(root, 'd')
        await expectAll('ENOENT', d, () => call(d, 'missing', root))
      }),
      ...each(Object.keys(calls).filter((n) => n !== 'symlink'), (name) => `${name} in a directory that was removed is ENOENT`, async (call, root) => {
        const d = await mkdir(root, 'd')
        await file(root, 'x')
        await root.unlinkat('d', AT_REMOVEDIR)
        await expectAll(['ENOENT', 'ESTALE'], root, () => call(d, 'x', root))
      }),
      'a refusal says what was tried': async ({ root }) => {
        for (const refused of [() => root.walk('missing'), () => root.unlinkat('missing', 0), () => root.readlink()]) {
          try {
            await refused()
            assert.unreachable('it was not refused')
          } catch (e) {
            if (e instanceof assert.Assertion) throw e
            const { code, errno, message } = e as { code: string; errno: number; message: string }
            assert.ok(errno > 0 && errno < 4096 && code.startsWith('E') && message.includes(code), message)
          }
        }
      },
      'a refusal is an answer like another: all goes on': async ({ root }) => {
        const f = await file(root, 'f', 'x')
        for (let i = 0; i < 300; i++) {
          await fails('ENOENT', () => root.walk(`missing-${i}`))
          await fails('EEXIST', () => root.mkdir('f', 0o755, owner))
          await fails('ENOTDIR', () => f.walk('x'))
        }
        assert.is(await read(f), 'x')
        assert.equal(await ls(root), ['f'])
      },
      'statfs is sane, and the same from every node': async ({ root }) => {
        const f = await file(root, 'f'), d = await mkdir(root, 'd')
        for (const node of [root, f, d]) {
          const s = await node.statfs()
          for (const key of ['type', 'bsize', 'blocks', 'bfree', 'bavail', 'files', 'ffree', 'namelen'] as const) assert.ok(Number.isSafeInteger(s[key]) && s[key] >= 0, `${key} ${s[key]}`)
          assert.ok(s.bsize >= 512 && s.bfree <= s.blocks && s.bavail <= s.bfree && s.ffree <= s.files, 'free is more than there is')
          assert.ok(s.blocks > 0 && s.namelen > 0 && s.namelen <= 255)
          assert.is(s.bsize, (await root.statfs()).bsize)
          assert.is(s.fsid, (await root.statfs()).fsid)
        }
      },
      'sync returns, however often': async ({ translator, root }) => {
        await translator.sync()
        await file(root, 'f', 'x')
        await translator.sync()
        await translator.sync()
        assert.is(await read(root, 'f'), 'x')
      },
      'another instance is another volume with other files': async ({ root, another }) => {
        const theirs = await (await another()).attach('')
        await file(root, 'f', 'ours')
        assert.equal(await ls(theirs), [])
        await file(theirs, 'f', 'theirs')
        assert.is(await read(root, 'f'), 'ours')
        assert.not(root.volume === theirs.volume && root.qid.path === theirs.qid.path, 'two roots of one identity')
      },
      'a snapshot that is not there is refused: ENOENT': async ({ root }) => {
        await fails(['ENOENT', 'EOPNOTSUPP'], () => root.at('no such snapshot'))
        assert.is((await stat(root)).mode & S.IFMT, S.IFDIR)
      },
    },
  },
]
