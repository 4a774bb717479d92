import * as assert from 'uvu/assert'
import { AT_REMOVEDIR, O, S } from 'ninep'
import type { Group } from './promises.ts'
import { codes, entries, file, find, has, ls, mkdir, noise, outcome, owner, read, readAll, same, stat, text, writeAll } from './tools.ts'

const times = <T>(n: number, f: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => f(i))
const count = <T>(list: readonly T[], value: T): number => list.filter((v) => v === value).length

export const concurrency: readonly Group[] = [
  {
    promises: {
      'fifty reads of a handle at once are each right': async ({ root }) => {
        const bytes = noise(200_000), handle = await (await file(root, 'f', bytes)).open(O.RDONLY)
        const got = await Promise.all(times(50, (i) => readAll(handle, i * 4000, 4000)))
        for (const [i, part] of got.entries()) same(part, bytes.subarray(i * 4000, (i + 1) * 4000))
      },
      'fifty writes of a handle at once are each kept': async ({ root }) => {
        const bytes = noise(200_000), handle = await (await file(root, 'f')).open(O.RDWR)
        await Promise.all(times(50, (i) => writeAll(handle, bytes.subarray(i * 4000, (i + 1) * 4000), i * 4000)))
        same(await readAll(handle), bytes)
      },
      'reads and writes beside each other are all answered': async ({ root }) => {
        const bytes = noise(100_000), f = await file(root, 'f', bytes), handles = await Promise.all(times(5, async () => f.open(O.RDWR)))
        await Promise.all(times(50, async (i) => {
          const at = (i >> 1) * 4000, part = bytes.subarray(at, at + 4000)
          if (i % 2) return writeAll(handles[i % 5]!, part, at)
          return same(await readAll(handles[i % 5]!, at, 4000), part)
        }))
        same(await readAll(handles[0]!), bytes)
      },
      'a write is whole or not there, to readers and to other writes': async ({ root }) => {
        const f = await file(root, 'f', new Uint8Array(40_000)), handles = await Promise.all(times(4, async () => f.open(O.RDWR)))
        for (let round = 0; round < 5; round++) {
          const reads: Promise<Uint8Array>[] = []
          await Promise.all(times(12, async (i) => {
            if (i % 3) return reads.push((async () => handles[i % 4]!.read(new Uint8Array(40_000), 0))())
            return assert.is(await handles[i % 4]!.write(new Uint8Array(40_000).fill(1 + i + 16 * round), 0), 40_000)
          }))
          for (const got of await Promise.all(reads)) assert.ok(got.every((b) => b === got[0]), 'a read saw half of a write')
        }
        const last = await readAll(handles[0]!)
        assert.ok(last.every((b) => b === last[0]), 'two writes are mixed')
      },
      'of many who create a name, one does': async ({ root }) => {
        for (const [name, mkdirs] of [['files', () => false], ['directories', () => true], ['both', (i: number) => i % 2 === 0]] as const) {
          const made = await codes(times(20, async (i) => mkdirs(i) ? root.mkdir(name, 0o755, owner) : root.create(name, O.RDWR, 0o644, owner)))
          assert.equal([count(made, 'done'), count(made, 'EEXIST')], [1, 19], name)
        }
        assert.equal(await ls(root), ['both', 'directories', 'files'])
      },
      'of many who remove a name, one does': async ({ root }) => {
        await file(root, 'f')
        await mkdir(root, 'd')
        const files = await codes(times(10, async () => root.unlinkat('f', 0))), dirs = await codes(times(10, async () => root.unlinkat('d', AT_REMOVEDIR)))
        for (const done of [files, dirs]) assert.equal([count(done, 'done'), count(done, 'ENOENT')], [1, 9])
        assert.equal(await ls(root), [])
      },
      'of many who rename a file away, one does': async ({ root }) => {
        await file(root, 'f', 'x')
        const done = await codes(times(10, async (i) => root.renameat('f', root, `to-${i}`)))
        assert.equal([count(done, 'done'), count(done, 'ENOENT')], [1, 9])
        assert.equal(await ls(root), [`to-${done.indexOf('done')}`])
      },
      'two directories moved into each other make no circle': async ({ root }) => {
        for (let i = 0; i < 20; i++) {
          const a = await mkdir(root, 'a'), b = await mkdir(root, 'b')
          const sub = [await mkdir(a, 'in-a'), await mkdir(b, 'in-b')]
          const done = await codes([(async () => root.renameat('a', sub[1]!, 'a'))(), (async () => root.renameat('b', sub[0]!, 'b'))()])
          assert.equal([count(done, 'done'), count(done, 'EINVAL') + count(done, 'ENOENT')], [1, 1], done.join())
          const [top] = await ls(root)
          await root.renameat(top!, root, `done-${i}`)
        }
        assert.is((await ls(root)).length, 20)
      },
      'a name that is renamed over is there at every moment': async ({ root }) => {
        await file(root, 'f', 'content-0')
        let going = true
        const look = async () => {
          for (; going; await new Promise(setImmediate)) assert.match(await read(root, 'f'), /^content-\d+$/)
        }
        const rename = async () => {
          for (let i = 1; i <= 60 && going; i++) {
            await file(root, 'temporary', `content-${i}`)
            await root.renameat('temporary', root, 'f')
          }
        }
        const end = () => { going = false }
        await Promise.all([rename().finally(end), ...times(3, () => look().finally(end))])
        assert.is(await read(root, 'f'), 'content-60')
      },
      'files made and removed beside each other are all there, and none else': async ({ root }) => {
        await Promise.all(times(60, async (i) => {
          const f = await file(root, `f${i}`, `content ${i}`)
          if (i % 3 === 0) await root.unlinkat(`f${i}`, 0)
          else if (i % 3 === 1) await root.renameat(`f${i}`, root, `g${i}`)
          await f.close()
        }))
        const expected = times(60, (i) => i).filter((i) => i % 3).map((i) => i % 3 === 1 ? `g${i}` : `f${i}`).sort()
        assert.equal(await ls(root), expected)
        for (const name of expected) assert.is(await read(root, name), `content ${name.slice(1)}`)
      },
      'a listing beside changes has all that stays, once': async ({ root }) => {
        for (let i = 0; i < 50; i++) await (await file(root, `stays-${i}`)).close()
        const handle = await root.open(O.RDONLY), seen: string[] = []
        const change = times(50, async (i) => { await (await file(root, `comes-${i}`)).close(); await root.unlinkat(`comes-${i}`, 0) })
        const list = async () => {
          for (let after = 0n, end = false; !end; await new Promise(setImmediate)) {
            const part = await entries(handle, { after, max: 5 })
            seen.push(...part.list.map((e) => e.name))
            end = part.end
            if (part.list.length > 0) after = part.list.at(-1)!.cookie
          }
        }
        await Promise.all([list(), ...change])
        assert.is(seen.filter((n) => n.startsWith('stays-')).length, 50)
        assert.is(new Set(seen).size, seen.length)
      },
      'a directory is not removed while something is made in it': async ({ root }) => {
        for (let i = 0; i < 20; i++) {
          const d = await mkdir(root, 'd')
          const [made, removed] = await codes([(async () => d.create('f', O.RDWR, 0o644, owner))(), (async () => root.unlinkat('d', AT_REMOVEDIR))()])
          if (made === 'done') assert.is(removed, 'ENOTEMPTY')
          else assert.equal([made === 'ESTALE' ? 'ENOENT' : made, removed], ['ENOENT', 'done'])
          if (made === 'done') { await d.unlinkat('f', 0); await root.unlinkat('d', AT_REMOVEDIR) }
        }
        assert.equal(await ls(root), [])
      },
      'sizes set beside writes leave one of the sizes, and no other bytes': async ({ root }) => {
        const f = await file(root, 'f'), handle = await f.open(O.RDWR)
        await Promise.all(times(40, async (i) => i % 4 ? writeAll(handle, text('x'.repeat(100)), 0) : f.setattr({ size: 50 })))
        const got = await readAll(handle)
        assert.ok([50, 100].includes(got.length) && got.every((b) => b === 0x78), `${got.length} bytes`)
      },
      'attributes set at once are all set': async ({ root }) => {
        const f = await file(root, 'f')
        await Promise.all([f.setattr({ mode: 0o600 }), f.setattr({ mtime: { sec: 5, nsec: 0 } }), f.setattr({ atime: { sec: 6, nsec: 0 } })])
        const { mode, mtime, atime } = await stat(f)
        assert.equal([mode, mtime.sec, atime.sec], [S.IFREG | 0o600, 5, 6])
      },
      'a tree is built by many at once': async ({ root }) => {
        const ensure = async (dir: string[]) => {
          let at = root
          for (const name of dir) {
            const refused = await outcome(() => at.mkdir(name, 0o755, owner))
            assert.ok(!refused || refused.code === 'EEXIST', refused?.message)
            at = await at.walk(name)
          }
          return at
        }
        await Promise.all(times(27, async (i) => file(await ensure([`a${i % 3}`, `b${Math.floor(i / 3) % 3}`, 'c']), `f${i}`, String(i))))
        for (let i = 0; i < 27; i++) assert.is(await read(await find(root, `a${i % 3}/b${Math.floor(i / 3) % 3}/c/f${i}`)), String(i))
        assert.not(await has(root, 'f0'))
      },
    },
  },
  {
    needs: ['hardlink'],
    promises: {
      'links made and removed beside each other are counted': async ({ root }) => {
        const f = await file(root, 'f', 'x')
        await Promise.all(times(40, async (i) => { await root.link(f, `l${i}`); if (i % 2) await root.unlinkat(`l${i}`, 0) }))
        assert.is((await stat(f)).nlink, 21)
        assert.is((await ls(root)).length, 21)
      },
    },
  },
]
