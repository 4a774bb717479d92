import * as assert from 'uvu/assert'
import { O, QT, S } from 'ninep'
import type { Group } from './promises.ts'
import { fails, file, has, ls, mkdir, other, owner, read, stat, text } from './tools.ts'

export const symlinks: readonly Group[] = [
  {
    needs: ['symlink'],
    promises: {
      'a target is kept byte for byte, whatever it means': async ({ root }) => {
        const targets = ['a', '/', '/etc/passwd', '..', '../../..', '.', 'a//b/', ' ', 'a\nb', 'C:\\x', '日本語', 'a b', '-', '\u00e9', 'e\u0301', 'x/'.repeat(100)]
        for (const [i, target] of targets.entries()) {
          const s = await root.symlink(`s${i}`, target, owner)
          assert.is(await s.readlink(), target)
          assert.is(await (await root.walk(`s${i}`)).readlink(), target)
          assert.is((await stat(s)).size, text(target).length, `the size of a link to ${target}`)
        }
      },
      'a target of 4095 bytes is kept': async ({ root }) => {
        const target = 'directory/'.repeat(409) + 'fives'
        assert.is(target.length, 4095)
        const s = await root.symlink('s', target, owner)
        assert.is(await s.readlink(), target)
        assert.is((await stat(s)).size, 4095)
      },
      'a symlink is a symlink to all who ask': async ({ root }) => {
        const s = await root.symlink('s', 'nowhere', owner), { mode, nlink, qid } = await stat(s)
        assert.is(s.qid.type, QT.SYMLINK)
        assert.is(qid.type, QT.SYMLINK)
        assert.is(mode, S.IFLNK | 0o777)
        assert.is(nlink, 1)
      },
      'a symlink is never followed: ELOOP, ENOTDIR': async ({ root }) => {
        const d = await mkdir(root, 'd')
        await file(d, 'f', 'x')
        await file(root, 'file', 'x')
        for (const target of ['d', 'file', 'nowhere', 's', '/etc']) {
          const s = await root.symlink('s', target, owner)
          for (const flags of [O.RDONLY, O.RDWR, O.WRONLY | O.TRUNC, O.RDONLY | O.NOFOLLOW]) await fails('ELOOP', () => s.open(flags))
          await fails('ENOTDIR', () => s.walk('f'))
          await fails('ENOTDIR', () => s.create('g', O.RDWR, 0o644, owner))
          await fails('ENOTDIR', () => s.mkdir('g', 0o755, owner))
          await root.unlinkat('s', 0)
        }
        assert.equal(await ls(d), ['f'])
        assert.is(await read(root, 'file'), 'x')
      },
      'only a symlink has a target: EINVAL': async ({ root }) => {
        await fails('EINVAL', () => root.readlink())
        const f = await file(root, 'f')
        await fails('EINVAL', () => f.readlink())
      },
      'unlinkat takes the symlink and leaves its target': async ({ root }) => {
        await file(root, 'target', 'kept')
        await mkdir(root, 'dir')
        for (const target of ['target', 'dir', 'nowhere']) {
          await root.symlink('s', target, owner)
          await root.unlinkat('s', 0)
        }
        assert.equal(await ls(root), ['dir', 'target'])
        assert.is(await read(root, 'target'), 'kept')
      },
      'symlink over anything is EEXIST': async ({ root }) => {
        await file(root, 'f', 'kept')
        await mkdir(root, 'd')
        await root.symlink('s', 'old', owner)
        for (const name of ['f', 'd', 's']) await fails('EEXIST', () => root.symlink(name, 'new', owner))
        assert.is(await (await root.walk('s')).readlink(), 'old')
      },
      'a symlink has no mode and no size to set': async ({ root }) => {
        await file(root, 'target', 'kept', 0o644)
        const s = await root.symlink('s', 'target', owner)
        await fails('EOPNOTSUPP', () => s.setattr({ mode: 0o600 }))
        await fails(['EINVAL', 'EOPNOTSUPP', 'ELOOP', 'EPERM'], () => s.setattr({ size: 0 }))
        assert.is(await read(root, 'target'), 'kept')
        assert.is((await stat(await root.walk('target'))).mode, S.IFREG | 0o644)
        assert.is((await stat(s)).size, 6)
      },
      'times of a symlink are its own': async ({ root }) => {
        const f = await file(root, 'target'), s = await root.symlink('s', 'target', owner), before = await stat(f)
        await s.setattr({ mtime: { sec: 1_000_000_000, nsec: 0 }, atime: { sec: 1_000_000_001, nsec: 0 } })
        assert.is((await stat(s)).mtime.sec, 1_000_000_000)
        assert.equal((await stat(f)).mtime, before.mtime)
      },
      'a renamed symlink keeps its target, which is not looked at': async ({ root }) => {
        const d = await mkdir(root, 'd'), s = await root.symlink('s', '../gone', owner)
        await root.renameat('s', d, 't')
        assert.is(await s.readlink(), '../gone')
        assert.is(await (await d.walk('t')).readlink(), '../gone')
        assert.not(await has(root, 's'))
      },
    },
  },
  {
    needs: ['symlink', 'byte-names'],
    promises: {
      'a target that is not UTF-8 is kept': async ({ root }) => {
        for (const [i, target] of ['\udcff', 'a/\udce9/b', '\udcc3', '/\udc80'].entries()) {
          const s = await root.symlink(`s${i}`, target, owner)
          assert.is(await s.readlink(), target)
          assert.is((await stat(s)).size, target.length)
        }
      },
    },
  },
  {
    needs: ['symlink', 'owner'],
    promises: {
      'the owner of a symlink is its own': async ({ root }) => {
        const f = await file(root, 'target'), s = await root.symlink('s', 'target', other)
        assert.equal([(await stat(s)).uid, (await stat(s)).gid], [other.uid, other.gid])
        await s.setattr({ uid: 77, gid: 78 })
        assert.equal([(await stat(s)).uid, (await stat(s)).gid], [77, 78])
        assert.equal([(await stat(f)).uid, (await stat(f)).gid], [owner.uid, owner.gid])
      },
    },
  },
]
