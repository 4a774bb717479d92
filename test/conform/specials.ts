import * as assert from 'uvu/assert'
import { direntType, O, QT, S } from 'ninep'
import type { Group } from './promises.ts'
import { entries, fails, file, ls, mkdir, owner, read, stat, text, writeAll } from './tools.ts'

export const specials: readonly Group[] = [
  {
    promises: {
      'mknod makes an empty regular file too': async ({ root }) => {
        const f = await root.mknod('f', S.IFREG | 0o640, 0n, owner)
        assert.is(f.qid.type, QT.FILE)
        const { mode, size, nlink } = await stat(f)
        assert.equal([mode, size, nlink], [S.IFREG | 0o640, 0, 1])
        await using handle = await f.open(O.RDWR)
        await writeAll(handle, text('content'))
        assert.is(await read(root, 'f'), 'content')
      },
      'mknod makes no directory, no symlink, and nothing without a type': async ({ root }) => {
        for (const type of [S.IFDIR, S.IFLNK, 0o030000]) await fails(['EPERM', 'EINVAL', 'EOPNOTSUPP'], () => root.mknod('x', type | 0o644, 0n, owner))
        assert.equal(await ls(root), [])
      },
      'mknod over anything is EEXIST': async ({ root }) => {
        await file(root, 'f', 'kept')
        await mkdir(root, 'd')
        for (const name of ['f', 'd']) await fails('EEXIST', () => root.mknod(name, S.IFREG | 0o644, 0n, owner))
        assert.is(await read(root, 'f'), 'kept')
      },
    },
  },
  {
    needs: ['fifo'],
    promises: {
      'a FIFO and a socket are of their kind, with just this mode': async ({ root }) => {
        for (const type of [S.IFIFO, S.IFSOCK]) {
          for (const mode of [0o644, 0, 0o777, 0o1600]) {
            const name = `${type.toString(8)}-${mode.toString(8)}`, node = await root.mknod(name, type | mode, 0n, owner), attr = await stat(node)
            assert.equal([attr.mode, attr.size, attr.nlink, node.qid.type], [type | mode, 0, 1, QT.FILE])
            assert.is((await root.walk(name)).qid.path, node.qid.path)
          }
        }
        for (const { name, type } of (await entries(await root.open(O.RDONLY))).list) assert.is(type, direntType(parseInt(name.split('-')[0]!, 8)))
      },
      'a FIFO is renamed, changed and removed as a file': async ({ root }) => {
        const d = await mkdir(root, 'd'), p = await root.mknod('p', S.IFIFO | 0o644, 0n, owner)
        await root.renameat('p', d, 'q')
        await p.setattr({ mode: 0o600, mtime: { sec: 5, nsec: 0 } })
        const { mode, mtime } = await stat(await d.walk('q'))
        assert.equal([mode, mtime.sec], [S.IFIFO | 0o600, 5])
        await file(d, 'f', 'over')
        await d.renameat('f', d, 'q')
        assert.is(await read(d, 'q'), 'over')
        await d.unlinkat('q', 0)
        assert.equal(await ls(d), [])
      },
      'a FIFO is no directory and no symlink': async ({ root }) => {
        const p = await root.mknod('p', S.IFIFO | 0o644, 0n, owner)
        await fails('ENOTDIR', () => p.walk('x'))
        await fails('EINVAL', () => p.readlink())
        await fails('EEXIST', () => root.mknod('p', S.IFIFO | 0o644, 0n, owner))
      },
    },
  },
  {
    needs: ['fifo', 'owner'],
    promises: {
      'a FIFO belongs to whom it was made for': async ({ root }) => {
        const { uid, gid } = await stat(await root.mknod('p', S.IFIFO | 0o644, 0n, { uid: 12, gid: 34 }))
        assert.equal([uid, gid], [12, 34])
      },
    },
  },
  {
    needs: ['device'],
    promises: {
      'a device keeps its kind, mode and number': async ({ root }) => {
        // rdev as Linux encodes it: minor low byte, major << 8, the rest of minor << 12
        const numbers = { null: 0x103n, 'minor-256': 0x100100n | 0x800n, 'major-4095': 0xfff01n, both: 0x12345n << 20n & 0xfff00000n | 0x11122n }
        for (const type of [S.IFCHR, S.IFBLK]) {
          for (const [name, rdev] of Object.entries(numbers)) {
            const node = await root.mknod(`${name}-${type}`, type | 0o660, rdev, owner), attr = await stat(await root.walk(`${name}-${type}`))
            assert.equal([attr.mode, attr.rdev, attr.size], [type | 0o660, rdev, 0], name)
            assert.is(node.qid.type, QT.FILE)
          }
        }
      },
      'what is no device has no number': async ({ root, lacks }) => {
        assert.is((await stat(await file(root, 'f'))).rdev, 0n)
        assert.is((await stat(await mkdir(root, 'd'))).rdev, 0n)
        if (!lacks('fifo')) assert.is((await stat(await root.mknod('p', S.IFIFO | 0o644, 0n, owner))).rdev, 0n)
      },
    },
  },
]
