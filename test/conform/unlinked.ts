import * as assert from 'uvu/assert'
import { AT_REMOVEDIR, Attrs, O, S } from 'ninep'
import type { Group } from './promises.ts'
import { entries, fails, file, has, isDead, ls, mkdir, outcome, read, readAll, same, stat, text, writeAll } from './tools.ts'

export const unlinked: readonly Group[] = [
  {
    promises: {
      'an unlinked file keeps its content for an open handle': async ({ root }) => {
        const handle = await (await file(root, 'f', 'still here')).open(O.RDONLY)
        await root.unlinkat('f', 0)
        assert.not(await has(root, 'f'))
        same(await readAll(handle), text('still here'))
      },
      'an unlinked file is written, cut and grown by an open handle': async ({ root }) => {
        const handle = await (await file(root, 'f', 'abc')).open(O.RDWR)
        await root.unlinkat('f', 0)
        await writeAll(handle, text('XYZ'), 2)
        same(await readAll(handle), text('abXYZ'))
        await handle.setattr({ size: 1 })
        await handle.setattr({ size: 3 })
        same(await readAll(handle), Uint8Array.of(97, 0, 0))
        await handle.fsync(false)
      },
      'an unlinked file has attributes, and nlink 0': async ({ root }) => {
        const f = await file(root, 'f', 'abc'), handle = await f.open(O.RDWR), before = await stat(f)
        await root.unlinkat('f', 0)
        const attr = await handle.getattr(Attrs.BASIC)
        assert.equal([attr.nlink, attr.size, attr.mode, attr.qid.path], [0, 3, before.mode, f.qid.path])
        await handle.setattr({ mode: 0o600, mtime: { sec: 1_000_000, nsec: 0 } })
        const after = await handle.getattr(Attrs.BASIC)
        assert.equal([after.mode, after.mtime.sec], [S.IFREG | 0o600, 1_000_000])
      },
      'a node that was opened goes on too': async ({ root }) => {
        const f = await file(root, 'f', 'abc'), handle = await f.open(O.RDWR)
        await root.unlinkat('f', 0)
        assert.equal([(await stat(f)).nlink, (await stat(f)).size], [0, 3])
        await f.setattr({ size: 2 })
        same(await readAll(handle), text('ab'))
      },
      'two handles of an unlinked file share it, until the last is closed': async ({ root }) => {
        const f = await file(root, 'f', '....'), a = await f.open(O.RDWR), b = await f.open(O.RDONLY)
        await root.unlinkat('f', 0)
        await writeAll(a, text('##'), 1)
        same(await readAll(b), text('.##.'))
        await a.close()
        same(await readAll(b), text('.##.'))
        await f.close()
        same(await readAll(b), text('.##.'))
      },
      'the name of an unlinked file is free, and another file\'s': async ({ root }) => {
        const old = await file(root, 'f', 'old'), handle = await old.open(O.RDWR)
        await root.unlinkat('f', 0)
        const next = await file(root, 'f', 'new')
        assert.is.not(next.qid.path, old.qid.path)
        await writeAll(handle, text('OLD'))
        assert.is(await read(root, 'f'), 'new')
        same(await readAll(handle), text('OLD'))
        assert.equal(await ls(root), ['f'])
      },
      'a node that was not opened is never the next file of its name': async ({ root }) => {
        const old = await file(root, 'f', 'old')
        await root.unlinkat('f', 0)
        await file(root, 'f', 'new')
        const refused = await outcome(() => old.setattr({ size: 0 }))
        assert.ok(!refused || refused.code === 'ENOENT' || refused.code === 'ESTALE', refused?.message)
        assert.is(await read(root, 'f'), 'new')
        const opened = await outcome(() => old.open(O.RDWR | O.TRUNC))
        assert.ok(!opened || opened.code === 'ENOENT' || opened.code === 'ESTALE', opened?.message)
        assert.is(await read(root, 'f'), 'new')
        const asked = await outcome(async () => assert.is((await stat(old)).nlink, 0))
        assert.ok(!asked || asked.code === 'ENOENT' || asked.code === 'ESTALE', asked?.message)
      },
      'a hundred unlinked files stay apart': async ({ root }) => {
        const handles = []
        for (let i = 0; i < 100; i++) {
          handles.push(await (await file(root, 'f', `file ${i}`)).open(O.RDWR))
          await root.unlinkat('f', 0)
        }
        for (const [i, handle] of handles.entries()) await writeAll(handle, text(`, ${i}`), (await stat(handle)).size)
        for (const [i, handle] of handles.entries()) same(await readAll(handle), text(`file ${i}, ${i}`))
        assert.is(new Set(await Promise.all(handles.map(async (h) => (await stat(h)).qid.path))).size, 100)
      },
      'an unlinked file that is moved about by its directory goes on': async ({ root }) => {
        const d = await mkdir(root, 'd'), handle = await (await file(d, 'f', 'x')).open(O.RDWR)
        await d.unlinkat('f', 0)
        await root.renameat('d', root, 'e')
        await root.unlinkat('e', AT_REMOVEDIR)
        same(await readAll(handle), text('x'))
      },
      'a removed directory that is open has nlink 0 and lists nothing': async ({ root }) => {
        const d = await mkdir(root, 'd'), handle = await d.open(O.RDONLY)
        await root.unlinkat('d', AT_REMOVEDIR)
        assert.is((await handle.getattr(Attrs.BASIC)).nlink, 0)
        await isDead(handle)
      },
      'unlinkat expects a file: ESTALE if it is another': async ({ root }) => {
        const f = await file(root, 'f'), d = await mkdir(root, 'd')
        await fails('ESTALE', () => root.unlinkat('f', 0, d.qid.path))
        await fails('ESTALE', () => root.unlinkat('d', AT_REMOVEDIR, f.qid.path))
        assert.equal(await ls(root), ['d', 'f'])
        await root.unlinkat('f', 0, f.qid.path)
        await root.unlinkat('d', AT_REMOVEDIR, d.qid.path)
        assert.equal(await ls(root), [])
        await fails('ENOENT', () => root.unlinkat('f', 0, f.qid.path))
      },
      'no two files ever have one path and generation': async ({ root }) => {
        const seen = new Set<string>()
        for (let i = 0; i < 200; i++) {
          const f = await file(root, `f${i % 3}`), { valid, gen, qid } = await stat(f)
          const id = `${qid.path} ${valid & Attrs.GEN ? gen : 'no generation'}`
          assert.not(seen.has(id), `${id} came back`)
          seen.add(id)
          await f.close()
          await root.unlinkat(`f${i % 3}`, 0)
        }
      },
    },
  },
  {
    needs: ['own-space'],
    promises: {
      'an unlinked file gives its space back, when it is closed': async ({ root }) => {
        const before = (await root.statfs()).bfree, f = await file(root, 'f', new Uint8Array(2 ** 20).fill(1))
        const handle = await f.open(O.RDONLY), { bfree: full, bsize } = await root.statfs()
        assert.ok((before - full) * bsize >= 2 ** 20, 'a MiB took no space')
        await root.unlinkat('f', 0)
        assert.is((await readAll(handle)).length, 2 ** 20)
        await handle.close()
        await f.close()
        const after = (await root.statfs()).bfree
        assert.ok((before - after) * bsize < 2 ** 16, `${(before - after) * bsize} bytes did not come back`)
      },
    },
  },
]
