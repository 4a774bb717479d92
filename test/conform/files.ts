import * as assert from 'uvu/assert'
import { Attrs, O, S } from 'ninep'
import type { Group } from './promises.ts'
import { fails, file, get, mkdir, noise, owner, put, read, readAll, same, stat, text, writeAll } from './tools.ts'

export const files: readonly Group[] = [
  {
    promises: {
      'create makes an empty file and opens it': async ({ root }) => {
        const { node, handle } = await root.create('f', O.RDWR, 0o644, owner)
        assert.is((await stat(handle)).size, 0)
        assert.is((await stat(handle)).qid.path, node.qid.path)
        assert.is((await root.walk('f')).qid.path, node.qid.path)
        await writeAll(handle, text('hello'))
        assert.is(await read(node), 'hello')
      },
      'create over anything is EEXIST, and leaves it': async ({ root, lacks }) => {
        await file(root, 'file', 'kept')
        await mkdir(root, 'dir')
        if (!lacks('symlink')) await root.symlink('dangling', 'nowhere', owner)
        for (const name of ['file', 'dir', ...lacks('symlink') ? [] : ['dangling']]) {
          await fails('EEXIST', () => root.create(name, O.RDWR | O.TRUNC, 0o644, owner))
        }
        assert.is(await read(root, 'file'), 'kept')
      },
      'a new file has just this mode': async ({ root }) => {
        for (const mode of [0o644, 0, 0o777, 0o4755, 0o2711, 0o1666, 0o7777]) {
          const { node } = await root.create(mode.toString(8), O.RDWR, mode, owner)
          assert.is((await stat(node)).mode, S.IFREG | mode, mode.toString(8))
        }
      },
      'who creates a file may write it, whatever its mode': async ({ root }) => {
        const { node, handle } = await root.create('f', O.RDWR, 0, owner)
        await writeAll(handle, text('mine'))
        assert.is(Buffer.from(await readAll(handle)).toString(), 'mine')
        assert.is((await stat(node)).size, 4)
      },
      'what was written is read, whatever the length': async ({ root }) => {
        for (const length of [1, 511, 512, 4095, 4096, 4097, 65535, 65536, 65537, 100_003, 1_048_577]) {
          const bytes = noise(length)
          await put(root, 'f', bytes)
          same(await get(root, 'f'), bytes, `a file of ${length}`)
          assert.is((await stat(await root.walk('f'))).size, length)
        }
      },
      'any range of a file is read as it is': async ({ root }) => {
        const bytes = noise(20_000)
        await put(root, 'f', bytes)
        const handle = await (await root.walk('f')).open(O.RDONLY)
        for (const [from, length] of [[0, 1], [1, 4096], [4095, 2], [4096, 4096], [8191, 8194], [19_999, 1], [3, 19_997], [12_345, 0]] as const) {
          same(await readAll(handle, from, length), bytes.subarray(from, from + length), `${length} bytes from ${from}`)
        }
      },
      'a read at the end is empty, and across it is short': async ({ root }) => {
        const handle = await (await file(root, 'f', '0123456789')).open(O.RDONLY)
        same(await readAll(handle, 7, 100), text('789'))
        for (const offset of [10, 11, 4096, 2 ** 31, 2 ** 40]) assert.is((await handle.read(new Uint8Array(8), offset)).length, 0, `at ${offset}`)
        assert.is((await handle.read(new Uint8Array(0), 0)).length, 0)
      },
      'a file is read a byte at a time': async ({ root }) => {
        const handle = await (await file(root, 'f', 'bytewise')).open(O.RDONLY)
        const into = new Uint8Array(1)
        let s = ''
        for (let i = 0; ; i++) {
          const got = await handle.read(into, i)
          if (got.length === 0) break
          s += String.fromCharCode(got[0]!)
        }
        assert.is(s, 'bytewise')
      },
      'a write in the middle changes that and nothing else': async ({ root }) => {
        const bytes = noise(30_000), handle = await (await file(root, 'f', bytes)).open(O.RDWR)
        for (const [at, length] of [[0, 1], [4095, 2], [4096, 4096], [10_000, 5000], [29_999, 1], [1, 12_288]] as const) {
          const patch = noise(length)
          await writeAll(handle, patch, at)
          bytes.set(patch, at)
          same(await readAll(handle), bytes, `after ${length} bytes at ${at}`)
        }
      },
      'a write across the end makes the file longer by what is past it': async ({ root }) => {
        const f = await file(root, 'f', 'abcdef'), handle = await f.open(O.RDWR)
        await writeAll(handle, text('XYZ'), 5)
        assert.is(await read(f), 'abcdeXYZ')
      },
      'a write of nothing is 0, and changes nothing': async ({ root }) => {
        const f = await file(root, 'f', 'abc'), handle = await f.open(O.RDWR)
        for (const offset of [0, 3, 1000]) assert.is(await handle.write(new Uint8Array(0), offset), 0)
        assert.is(await read(f), 'abc')
      },
      'what one handle wrote, all others read at once': async ({ root }) => {
        const f = await file(root, 'f', '....'), writer = await f.open(O.WRONLY)
        const readers = [await f.open(O.RDONLY), await (await root.walk('f')).open(O.RDWR)]
        for (let i = 0; i < 4; i++) {
          await writer.write(text('#'), i)
          for (const reader of readers) assert.is(Buffer.from(await readAll(reader)).toString(), '#'.repeat(i + 1) + '.'.repeat(3 - i))
        }
        await writer.setattr({ size: 2 })
        for (const reader of readers) assert.is((await readAll(reader)).length, 2)
      },
      'O_TRUNC empties at open, for all': async ({ root }) => {
        const f = await file(root, 'f', 'old content'), before = await f.open(O.RDONLY)
        const handle = await f.open(O.WRONLY | O.TRUNC)
        assert.is((await stat(f)).size, 0)
        assert.is((await readAll(before)).length, 0)
        await writeAll(handle, text('new'))
        assert.is(await read(f), 'new')
      },
      'what was cut off is gone: a file made long again has zeros there': async ({ root }) => {
        const f = await file(root, 'f', noise(10_000))
        for (const [cut, back] of [[5000, 9000], [4096, 8192], [1, 4096], [0, 10]] as const) {
          const kept = (await get(f)).slice(0, cut)
          await f.setattr({ size: cut })
          await f.setattr({ size: back })
          const expected = new Uint8Array(back)
          expected.set(kept)
          same(await get(f), expected, `cut to ${cut}, grown to ${back}`)
        }
      },
      'bytes between a shorter end and a later write are zeros': async ({ root }) => {
        const f = await file(root, 'f', 'x'.repeat(6000)), handle = await f.open(O.RDWR)
        await handle.setattr({ size: 100 })
        await writeAll(handle, text('end'), 5000)
        const expected = new Uint8Array(5003)
        expected.fill(0x78, 0, 100)
        expected.set(text('end'), 5000)
        same(await readAll(handle), expected)
      },
      'setattr of a size truncates by node and by handle': async ({ root }) => {
        const f = await file(root, 'f', 'abcdef'), handle = await f.open(O.RDWR)
        await f.setattr({ size: 4 })
        assert.is(await read(f), 'abcd')
        await handle.setattr({ size: 2 })
        assert.is(await read(f), 'ab')
        await f.setattr({ size: 3 })
        same(await get(f), Uint8Array.of(97, 98, 0))
        assert.is((await handle.getattr(Attrs.SIZE)).size, 3)
      },
      'a handle does what it was opened for and no more: EBADF': async ({ root }) => {
        const f = await file(root, 'f', 'abc'), reader = await f.open(O.RDONLY), writer = await f.open(O.WRONLY)
        await fails('EBADF', () => reader.write(text('x'), 0))
        await fails('EBADF', () => writer.read(new Uint8Array(4), 0))
        await fails(['EBADF', 'EINVAL'], () => reader.setattr({ size: 0 }))
        const { handle } = await root.create('g', O.WRONLY, 0o644, owner)
        await fails('EBADF', () => handle.read(new Uint8Array(4), 0))
        assert.is(await read(f), 'abc')
      },
      'qid.version moves with every change of content': async ({ root }) => {
        const { node, handle } = await root.create('f', O.RDWR, 0o644, owner), seen = new Set<number>()
        const look = async (what: string) => {
          const { version } = (await node.getattr(Attrs.BASIC)).qid
          assert.not(seen.has(version), `qid.version ${version} stood still or came back, ${what}`)
          seen.add(version)
          assert.is((await handle.getattr(Attrs.BASIC)).qid.version, version, 'the handle says another version')
          assert.is((await root.walk('f')).qid.version, version, 'another node says another version')
        }
        await look('new')
        for (let i = 0; i < 30; i++) { await handle.write(text('x'), i % 3); await look('after a write') }
        for (const size of [10, 5, 0]) { await node.setattr({ size }); await look(`after truncating to ${size}`) }
        await handle.write(text('x'), 0)
        await look('after a write')
        await (await node.open(O.WRONLY | O.TRUNC)).close()
        await look('after O_TRUNC')
      },
      'qid.version of a file is not 0, which would forbid clients to cache it': async ({ root }) => {
        assert.is.not((await file(root, 'empty')).qid.version, 0)
        assert.is.not((await stat(await file(root, 'full', 'x'))).qid.version, 0)
      },
      'qid.version stays while the content does': async ({ root }) => {
        const f = await file(root, 'f', 'x'), { version } = (await stat(f)).qid
        await read(f)
        await (await f.open(O.RDWR)).close()
        assert.is((await stat(f)).qid.version, version)
      },
    },
  },
  {
    needs: ['any-mode'],
    promises: {
      'a node opens whatever the mode is: the server has checked': async ({ root }) => {
        const f = await file(root, 'f', 'secret', 0)
        assert.is(await read(f), 'secret')
        await (await f.open(O.RDWR | O.TRUNC)).close()
        const d = await mkdir(root, 'd', 0)
        await file(d, 'inside', 'too')
        assert.is(await read(d, 'inside'), 'too')
      },
    },
  },
  {
    needs: ['owner'],
    promises: {
      'a new file belongs to whom it was made for': async ({ root }) => {
        for (const who of [{ uid: 0, gid: 0 }, { uid: 1234, gid: 5678 }, { uid: 0xfffffffe, gid: 0xfffffffd }]) {
          const { node } = await root.create(String(who.uid), O.RDWR, 0o600, who), { uid, gid } = await stat(node)
          assert.equal({ uid, gid }, who)
        }
      },
    },
  },
]
