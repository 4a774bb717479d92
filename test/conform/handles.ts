import * as assert from 'uvu/assert'
import { Attrs, O } from 'ninep'
import type { Call } from '../../translators/translator.ts'
import type { Group } from './promises.ts'
import { entries, file, mkdir, noise, owner, read, readAll, same, stat, text, writeAll } from './tools.ts'

export const handles: readonly Group[] = [
  {
    promises: {
      'a handle outlives the node that it came from': async ({ root }) => {
        const { node, handle } = await root.create('f', O.RDWR, 0o644, owner)
        await node.close()
        await writeAll(handle, text('abc'))
        same(await readAll(handle), text('abc'))
        assert.is((await stat(handle)).size, 3)
        const again = await root.walk('f'), opened = await again.open(O.RDWR)
        await again.close()
        await writeAll(opened, text('xyz'))
        same(await readAll(handle), text('xyz'))
        const d = await mkdir(root, 'd'), listing = await d.open(O.RDONLY)
        await file(d, 'g')
        await d.close()
        assert.equal((await entries(listing)).list.map((e) => e.name), ['g'])
      },
      'a node outlives its handles': async ({ root }) => {
        const { node, handle } = await root.create('f', O.RDWR, 0o644, owner)
        await writeAll(handle, text('abc'))
        await handle.close()
        assert.is(await read(node), 'abc')
        assert.is(await read(node), 'abc')
      },
      'handles of one node are each for themselves': async ({ root }) => {
        const f = await file(root, 'f', 'abc'), a = await f.open(O.RDONLY), b = await f.open(O.RDWR), c = await f.open(O.RDONLY)
        await a.close()
        await writeAll(b, text('X'))
        await b.close()
        same(await readAll(c), text('Xbc'))
      },
      'two hundred handles are open together': async ({ root }) => {
        const f = await file(root, 'f', 'x'), open = []
        for (let i = 0; i < 200; i++) open.push(await (i % 2 ? f : await root.walk('f')).open(i % 3 ? O.RDONLY : O.RDWR))
        for (const handle of open) same(await readAll(handle), text('x'))
        for (const handle of open) await handle.close()
        assert.is(await read(f), 'x')
      },
      '`await using` closes nodes and handles': async ({ root }) => {
        {
          await using f = await file(root, 'f', 'x')
          await using handle = await f.open(O.RDONLY)
          same(await readAll(handle), text('x'))
        }
        assert.is(await read(root, 'f'), 'x')
      },
      'what was read does not change when the file does': async ({ root }) => {
        const f = await file(root, 'f', noise(20_000)), handle = await f.open(O.RDWR), into = new Uint8Array(20_000)
        const got = await handle.read(into, 0), copy = got.slice()
        await writeAll(handle, noise(20_000))
        await f.setattr({ size: 0 })
        same(got, copy)
      },
      'what was written does not change when the writer uses its memory again': async ({ root }) => {
        const f = await file(root, 'f'), handle = await f.open(O.RDWR), bytes = noise(20_000), copy = bytes.slice()
        await writeAll(handle, bytes)
        bytes.fill(0)
        same(await readAll(handle), copy)
      },
      'a read takes no more of its memory than it was given': async ({ root }) => {
        const handle = await (await file(root, 'f', 'x'.repeat(1000))).open(O.RDONLY)
        const memory = new Uint8Array(300).fill(1)
        const got = await handle.read(memory.subarray(100, 200), 0)
        assert.is(got.length, 100)
        assert.ok(memory.subarray(0, 100).every((b) => b === 1) && memory.subarray(200).every((b) => b === 1))
      },
      'fsync succeeds on all that is open': async ({ root }) => {
        const f = await file(root, 'f', 'x')
        for (const handle of [await f.open(O.RDONLY), await f.open(O.RDWR), await f.open(O.WRONLY | O.APPEND), await root.open(O.RDONLY)]) {
          await handle.fsync(false)
          await handle.fsync(true)
        }
        const handle = await f.open(O.RDWR)
        await root.unlinkat('f', 0)
        await handle.fsync(false)
      },
      'flags that mean nothing here do no harm': async ({ root }) => {
        const f = await file(root, 'f', 'abc')
        for (const flags of [O.LARGEFILE, O.NOFOLLOW, O.CLOEXEC, O.NOCTTY, O.NONBLOCK, O.NOATIME, O.DSYNC, O.SYNC]) {
          await using handle = await f.open(O.RDWR | flags)
          await writeAll(handle, text('abc'))
          same(await readAll(handle), text('abc'))
        }
        await using listing = await root.open(O.RDONLY | O.DIRECTORY | O.NONBLOCK | O.LARGEFILE | O.NOFOLLOW)
        assert.is((await entries(listing)).list.length, 1)
      },
      'a handle answers getattr like its node, whatever the mask is': async ({ root }) => {
        const f = await file(root, 'f', 'abc')
        for (const node of [f, root]) {
          const handle = await node.open(O.RDONLY)
          for (const mask of [0, Attrs.SIZE, Attrs.BASIC, Attrs.ALL]) assert.is((await handle.getattr(mask)).valid & mask & Attrs.BASIC, mask & Attrs.BASIC)
          assert.equal(await stat(handle), await stat(node))
        }
      },
      'a call that was aborted ends, and leaves the handle in order': async ({ root }) => {
        const f = await file(root, 'f', 'before'), handle = await f.open(O.RDWR)
        const aborted: Call = { aborted: true, onAbort: (abort) => abort() }
        for (const call of [() => handle.read(new Uint8Array(3), 0, aborted), () => handle.write(text('AFTER!'), 0, aborted), () => handle.fsync(false, aborted)]) {
          try { await call() } catch { /* it may refuse */ }
        }
        assert.ok(['before', 'AFTER!'].includes(await read(f)))
        await writeAll(handle, text('again!'))
        assert.is(await read(f), 'again!')
      },
    },
  },
]
