import * as assert from 'uvu/assert'
import { AT_REMOVEDIR, O, S } from 'ninep'
import type { Node } from '../../translators/translator.ts'
import type { Group } from './promises.ts'
import { fails, file, get, later, mkdir, nanoseconds, owner, stat, text, tick, writeAll } from './tools.ts'

const old = { sec: 1_000_000_000, nsec: 0 }

/** f moves mtime and ctime of each of these directories. */
async function moves(what: string, directories: readonly Node[], f: () => unknown): Promise<void> {
  const before = await Promise.all(directories.map((d) => stat(d)))
  await tick()
  await f()
  for (const [i, d] of directories.entries()) {
    const after = await stat(d)
    later(after.mtime, before[i]!.mtime, `mtime of the directory on ${what}`)
    later(after.ctime, before[i]!.ctime, `ctime of the directory on ${what}`)
  }
}

export const times: readonly Group[] = [
  {
    promises: {
      'a new file has the times at which it was made': async ({ root, lacks }) => {
        const began = BigInt(Date.now()) * 1_000_000n
        const nodes = [await file(root, 'f'), await mkdir(root, 'd')]
        if (!lacks('symlink')) nodes.push(await root.symlink('s', 't', owner))
        if (!lacks('fifo')) nodes.push(await root.mknod('p', S.IFIFO | 0o644, 0n, owner))
        for (const node of nodes) {
          const attr = await stat(node)
          for (const key of ['atime', 'mtime', 'ctime'] as const) {
            const off = nanoseconds(attr[key]) - began
            assert.ok(off > -50_000_000n && off < 10_000_000_000n, `${key} is ${off} ns from when it was made`)
          }
        }
      },
      'times that are set are kept, each for itself': async ({ root }) => {
        const f = await file(root, 'f')
        await f.setattr({ atime: { sec: 100, nsec: 0 }, mtime: { sec: 200, nsec: 0 } })
        await f.setattr({ atime: { sec: 300, nsec: 0 } })
        assert.equal([(await stat(f)).atime.sec, (await stat(f)).mtime.sec], [300, 200])
        await f.setattr({ mtime: { sec: 400, nsec: 0 } })
        assert.equal([(await stat(f)).atime.sec, (await stat(f)).mtime.sec], [300, 400])
      },
      'times before 1970 and far from now are kept': async ({ root }) => {
        const f = await file(root, 'f')
        for (const sec of [0, -1, -86_400, -2_000_000_000, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 13_569_465_600]) {
          await f.setattr({ atime: { sec, nsec: 0 }, mtime: { sec, nsec: 0 } })
          const { atime, mtime } = await stat(f)
          assert.equal([atime, mtime], [{ sec, nsec: 0 }, { sec, nsec: 0 }])
        }
      },
      '\'now\' is now': async ({ root }) => {
        const f = await file(root, 'f')
        await f.setattr({ atime: old, mtime: old })
        const began = BigInt(Date.now()) * 1_000_000n
        await f.setattr({ mtime: 'now' })
        const { atime, mtime } = await stat(f)
        assert.is(atime.sec, old.sec)
        const off = nanoseconds(mtime) - began
        assert.ok(off > -50_000_000n && off < 10_000_000_000n, `mtime is ${off} ns from now`)
        await f.setattr({ atime: 'now' })
        assert.ok((await stat(f)).atime.sec > old.sec)
      },
      'a write moves mtime and ctime, a read moves neither': async ({ root }) => {
        const f = await file(root, 'f', 'x'), handle = await f.open(O.RDWR), before = await stat(f)
        await tick()
        await get(f)
        assert.equal([(await stat(f)).mtime, (await stat(f)).ctime], [before.mtime, before.ctime])
        await writeAll(handle, text('y'))
        const after = await stat(f)
        later(after.mtime, before.mtime, 'mtime')
        later(after.ctime, before.ctime, 'ctime')
      },
      'a write moves an mtime that was set': async ({ root }) => {
        const f = await file(root, 'f', 'x'), handle = await f.open(O.RDWR)
        await f.setattr({ mtime: old })
        await writeAll(handle, text('y'))
        assert.ok((await stat(f)).mtime.sec > old.sec)
      },
      'a new size moves mtime and ctime': async ({ root }) => {
        const f = await file(root, 'f', 'abc')
        for (const size of [1, 5, 0]) {
          const before = await stat(f)
          await tick()
          await f.setattr({ size })
          later((await stat(f)).mtime, before.mtime, `mtime at size ${size}`)
          later((await stat(f)).ctime, before.ctime, `ctime at size ${size}`)
        }
      },
      'an mtime set along with a size is the one that was set': async ({ root }) => {
        const f = await file(root, 'f', 'abc')
        await f.setattr({ size: 1, mtime: old })
        assert.equal((await stat(f)).mtime, old)
      },
      'O_TRUNC moves mtime': async ({ root }) => {
        const f = await file(root, 'f', 'abc'), before = await stat(f)
        await tick()
        await (await f.open(O.WRONLY | O.TRUNC)).close()
        later((await stat(f)).mtime, before.mtime, 'mtime')
      },
      'chmod and utimens move ctime, and no one sets it': async ({ root }) => {
        const f = await file(root, 'f')
        for (const attr of [{ mode: 0o600 }, { mtime: old }, { atime: old }, { atime: 'now' }, { ctime: 'now' }] as const) {
          const before = await stat(f)
          await tick()
          await f.setattr(attr)
          later((await stat(f)).ctime, before.ctime, `ctime on ${Object.keys(attr)}`)
        }
        assert.equal((await stat(f)).mtime, old)
      },
      'touching ctime touches nothing else': async ({ root }) => {
        const f = await file(root, 'f', 'abc'), before = await stat(f)
        await tick()
        await f.setattr({ ctime: 'now' })
        const after = await stat(f)
        assert.equal([after.atime, after.mtime, after.mode, after.size], [before.atime, before.mtime, before.mode, before.size])
      },
      'a rename moves ctime of the file, and not its mtime': async ({ root }) => {
        const f = await file(root, 'f'), before = await stat(f)
        await tick()
        await root.renameat('f', root, 'g')
        later((await stat(f)).ctime, before.ctime, 'ctime')
        assert.equal((await stat(f)).mtime, before.mtime)
      },
      'times of a directory move when a name comes or goes': async ({ root, lacks }) => {
        const d = await mkdir(root, 'd')
        await moves('create', [d], () => file(d, 'f'))
        await moves('mkdir', [d], () => mkdir(d, 'sub'))
        if (!lacks('symlink')) await moves('symlink', [d], () => d.symlink('s', 't', owner))
        if (!lacks('fifo')) await moves('mknod', [d], () => d.mknod('p', S.IFIFO | 0o644, 0n, owner))
        if (!lacks('hardlink')) { const f = await d.walk('f'); await moves('link', [d], () => d.link(f, 'linked')) }
        await moves('unlink', [d], () => d.unlinkat('f', 0))
        await moves('rmdir', [d], () => d.unlinkat('sub', AT_REMOVEDIR))
      },
      'times of both directories move on a rename': async ({ root }) => {
        const a = await mkdir(root, 'a'), b = await mkdir(root, 'b')
        await file(a, 'f')
        await moves('rename', [a, b], () => a.renameat('f', b, 'f'))
        await moves('rename', [b], () => b.renameat('f', b, 'g'))
        await file(b, 'h')
        await moves('rename over', [b], () => b.renameat('g', b, 'h'))
      },
      'times of a directory stay while only its files change': async ({ root }) => {
        const d = await mkdir(root, 'd'), f = await file(d, 'f'), before = await stat(d)
        await tick()
        const handle = await f.open(O.RDWR)
        await writeAll(handle, text('x'))
        await f.setattr({ mode: 0o600 })
        assert.equal([(await stat(d)).mtime, (await stat(d)).ctime], [before.mtime, before.ctime])
      },
      'what was refused moves no time': async ({ root }) => {
        const d = await mkdir(root, 'd'), f = await file(d, 'f'), before = [await stat(d), await stat(f)]
        await tick()
        await fails('EEXIST', () => d.mkdir('f', 0o755, owner))
        await fails('ENOTDIR', () => d.unlinkat('f', AT_REMOVEDIR))
        await fails('ENOENT', () => d.renameat('no', d, 'f'))
        const after = [await stat(d), await stat(f)]
        assert.equal(after.map((a) => [a.mtime, a.ctime]), before.map((a) => [a.mtime, a.ctime]))
      },
      'times of a directory are set like a file\'s': async ({ root }) => {
        const d = await mkdir(root, 'd')
        await d.setattr({ atime: { sec: 7, nsec: 0 }, mtime: old })
        assert.equal([(await stat(d)).atime.sec, (await stat(d)).mtime], [7, old])
        await file(d, 'f')
        assert.ok((await stat(d)).mtime.sec > old.sec)
      },
    },
  },
  {
    needs: ['nsec'],
    promises: {
      'a time is kept to the nanosecond': async ({ root }) => {
        const f = await file(root, 'f'), handle = await f.open(O.RDWR)
        for (const nsec of [1, 999_999_999, 123_456_789, 500_000_001]) {
          for (const sec of [0, 1_700_000_000, -1, -1_000_000]) {
            await f.setattr({ atime: { sec, nsec }, mtime: { sec: sec + 1, nsec: nsec - 1 } })
            const { atime, mtime } = await stat(handle)
            assert.equal([atime, mtime], [{ sec, nsec }, { sec: sec + 1, nsec: nsec - 1 }])
          }
        }
      },
      'two files made one after the other are not older the later': async ({ root }) => {
        let last = 0n
        for (let i = 0; i < 20; i++) {
          const mtime = nanoseconds((await stat(await file(root, `f${i}`))).mtime)
          assert.ok(mtime >= last)
          last = mtime
        }
      },
    },
  },
]
