import * as assert from 'uvu/assert'
import { Attrs, O, S } from 'ninep'
import { atLeast } from './promises.ts'
import type { Group } from './promises.ts'
import { entries, file, later, mkdir, nanoseconds, owner, put, stat, text, tick, writeAll } from './tools.ts'

export const attributes: readonly Group[] = [
  {
    promises: {
      'a file of every kind has all basic attributes': async ({ root, lacks }) => {
        const nodes = [root, await mkdir(root, 'd'), await file(root, 'f')]
        if (!lacks('symlink')) nodes.push(await root.symlink('s', 't', owner))
        if (!lacks('fifo')) nodes.push(await root.mknod('p', S.IFIFO | 0o644, 0n, owner))
        for (const node of nodes) {
          const attr = await node.getattr(Attrs.BASIC)
          assert.is(attr.valid & Attrs.BASIC, Attrs.BASIC)
          assert.ok(attr.nlink >= 1 && attr.blksize >= 512 && attr.blksize <= 2 ** 24)
          assert.ok((attr.mode & S.IFMT) !== 0 && (attr.mode & ~(S.IFMT | 0o7777)) === 0)
        }
      },
      'getattr answers whatever the mask is': async ({ root }) => {
        for (const mask of [0, Attrs.MODE, Attrs.SIZE, Attrs.BASIC, Attrs.ALL, Attrs.ALL | Attrs.ACL]) {
          const { valid } = await root.getattr(mask)
          assert.is(valid & mask & Attrs.BASIC, mask & Attrs.BASIC)
        }
      },
      'a new file is empty and has one link': async ({ root }) => {
        const { nlink, size } = await stat(await file(root, 'f'))
        assert.equal([nlink, size], [1, 0])
      },
      'chmod sets all twelve bits and keeps the type': async ({ root, lacks }) => {
        const f = await file(root, 'f'), d = await mkdir(root, 'd')
        for (const bits of [0o600, 0, 0o7777, 0o4711, 0o2640, 0o1777, 0o755]) {
          const mode = bits | atLeast({ lacks })
          await f.setattr({ mode })
          assert.is((await stat(f)).mode, S.IFREG | mode)
          await d.setattr({ mode })
          assert.is((await stat(d)).mode, S.IFDIR | mode)
        }
      },
      'type bits in a mode to set are not looked at': async ({ root }) => {
        const f = await file(root, 'f')
        await f.setattr({ mode: S.IFREG | 0o640 })
        assert.is((await stat(f)).mode, S.IFREG | 0o640)
      },
      'a setattr of nothing succeeds and changes nothing': async ({ root }) => {
        const f = await file(root, 'f', 'abc'), before = await stat(f), handle = await f.open(O.RDONLY)
        await tick()
        await f.setattr({})
        await handle.setattr({})
        const after = await stat(f)
        assert.equal([after.mode, after.uid, after.gid, after.size, after.mtime], [before.mode, before.uid, before.gid, before.size, before.mtime])
      },
      'what is not asked for is not touched': async ({ root }) => {
        const f = await file(root, 'f', 'abc', 0o640), before = await stat(f)
        await tick()
        await f.setattr({ mode: 0o600 })
        const after = await stat(f)
        assert.equal([after.uid, after.gid, after.size, after.mtime, after.atime], [before.uid, before.gid, before.size, before.mtime, before.atime])
      },
      'a handle sees and sets what its node does': async ({ root }) => {
        const f = await file(root, 'f', 'abc'), handle = await f.open(O.RDWR)
        await f.setattr({ mode: 0o604, mtime: { sec: 5, nsec: 0 } })
        assert.equal(await stat(handle), await stat(f))
        await handle.setattr({ mode: 0o640, mtime: { sec: 6, nsec: 0 }, size: 1 })
        const { mode, mtime, size } = await stat(f)
        assert.equal([mode, mtime.sec, size], [S.IFREG | 0o640, 6, 1])
        assert.equal(await stat(await root.walk('f')), await stat(handle))
      },
      'a read-only handle sets mode and times': async ({ root }) => {
        const f = await file(root, 'f'), handle = await f.open(O.RDONLY)
        await handle.setattr({ mode: 0o600, atime: { sec: 1, nsec: 0 }, mtime: { sec: 2, nsec: 0 } })
        const { mode, atime, mtime } = await stat(f)
        assert.equal([mode, atime.sec, mtime.sec], [S.IFREG | 0o600, 1, 2])
      },
      'all that one setattr asks for is there after it': async ({ root }) => {
        const f = await file(root, 'f', 'abcdef')
        await f.setattr({ mode: 0o600, size: 3, atime: { sec: 11, nsec: 0 }, mtime: { sec: 22, nsec: 0 } })
        const { mode, size, atime, mtime } = await stat(f)
        assert.equal([mode, size, atime.sec, mtime.sec], [S.IFREG | 0o600, 3, 11, 22])
      },
      'an identity is one for walk, getattr, listing and create': async ({ root }) => {
        const made = await file(root, 'f'), walked = await root.walk('f'), { list } = await entries(await root.open(O.RDONLY), { mask: Attrs.BASIC })
        const paths = [made.qid.path, walked.qid.path, (await stat(walked)).qid.path, list[0]!.path, list[0]!.attr!.qid.path]
        assert.equal(paths, Array(5).fill(made.qid.path))
        assert.is(made.volume, walked.volume)
        assert.is(made.volume, root.volume)
      },
      'different files have different identities': async ({ root }) => {
        const paths = new Set<bigint>([root.qid.path])
        for (let i = 0; i < 300; i++) paths.add((await (i % 3 ? file(root, `f${i}`) : mkdir(root, `f${i}`))).qid.path)
        assert.is(paths.size, 301)
        for (const path of paths) assert.ok(path >= 0n && path < 1n << 64n)
      },
      'an identity is the same after the last node is closed': async ({ root }) => {
        const f = await file(root, 'f'), { path } = f.qid, { gen } = await stat(f)
        await f.close()
        await file(root, 'g')
        const again = await root.walk('f')
        assert.is(again.qid.path, path)
        assert.is((await stat(again)).gen, gen)
      },
      'getattr while others write sees the size grow': async ({ root }) => {
        const f = await file(root, 'f'), handle = await f.open(O.RDWR)
        for (let i = 1; i <= 20; i++) {
          await writeAll(handle, text('x'.repeat(100)), (i - 1) * 100)
          assert.is((await stat(f)).size, i * 100)
        }
      },
    },
  },
  {
    needs: ['owner'],
    promises: {
      'chown sets one id and leaves the other': async ({ root }) => {
        const f = await file(root, 'f'), ids = async () => { const { uid, gid } = await stat(f); return [uid, gid] }
        await f.setattr({ uid: 5 })
        assert.equal(await ids(), [5, owner.gid])
        await f.setattr({ gid: 6 })
        assert.equal(await ids(), [5, 6])
        await f.setattr({ uid: 0xfffffffe, gid: 0xfffffffe })
        assert.equal(await ids(), [0xfffffffe, 0xfffffffe])
        await f.setattr({ uid: 0, gid: 0 })
        assert.equal(await ids(), [0, 0])
      },
      'a mode set along with an owner is kept, setuid included': async ({ root }) => {
        const f = await file(root, 'f', '', 0o755)
        await f.setattr({ uid: 7, gid: 8, mode: 0o6755 })
        const { mode, uid, gid } = await stat(f)
        assert.equal([mode, uid, gid], [S.IFREG | 0o6755, 7, 8])
      },
      'a directory and a handle are chowned too': async ({ root }) => {
        const d = await mkdir(root, 'd'), handle = await (await file(root, 'f')).open(O.RDONLY)
        await d.setattr({ uid: 3, gid: 4 })
        await handle.setattr({ uid: 5, gid: 6 })
        assert.equal([(await stat(d)).uid, (await stat(d)).gid, (await stat(handle)).uid, (await stat(handle)).gid], [3, 4, 5, 6])
      },
      'ctime moves on chown': async ({ root }) => {
        const f = await file(root, 'f'), before = await stat(f)
        await tick()
        await f.setattr({ gid: 9 })
        later((await stat(f)).ctime, before.ctime, 'ctime')
        assert.equal((await stat(f)).mtime, before.mtime)
      },
    },
  },
  {
    needs: ['btime'],
    promises: {
      'the time of birth is when the file was made, and stays': async ({ root }) => {
        const began = BigInt(Date.now()) * 1_000_000n
        const f = await file(root, 'f', 'x'), { btime, valid } = await stat(f)
        assert.ok(valid & Attrs.BTIME)
        const off = nanoseconds(btime) - began
        assert.ok(off > -50_000_000n && off < 10_000_000_000n, `btime is ${off} ns from when it was made`)
        await tick()
        await put(root, 'f', text('changed'))
        await f.setattr({ mode: 0o600, mtime: { sec: 1, nsec: 0 } })
        await root.renameat('f', root, 'g')
        assert.equal((await stat(f)).btime, btime)
      },
    },
  },
]
