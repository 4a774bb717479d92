import * as assert from 'uvu/assert'
import { O } from 'ninep'
import type { Group } from './promises.ts'
import { file, has, owner, read, readAll, same, stat, text, writeAll } from './tools.ts'

export const appends: readonly Group[] = [
  {
    promises: {
      'an appending handle writes at the end, wherever it was told to': async ({ root }) => {
        const f = await file(root, 'f', 'start'), handle = await f.open(O.WRONLY | O.APPEND)
        for (const [offset, s] of [[0, '-one'], [2, '-two'], [1000, '-three']] as const) assert.is(await handle.write(text(s), offset), s.length)
        assert.is(await read(f), 'start-one-two-three')
      },
      'create takes O_APPEND': async ({ root }) => {
        const { node, handle } = await root.create('f', O.RDWR | O.APPEND, 0o644, owner)
        await handle.write(text('ab'), 0)
        await handle.write(text('cd'), 0)
        assert.is(await read(node), 'abcd')
      },
      'an appending handle reads where it is told to': async ({ root }) => {
        const handle = await (await file(root, 'f', '0123456789')).open(O.RDWR | O.APPEND)
        await handle.write(text('!'), 3)
        same(await readAll(handle, 3, 2), text('34'))
        same(await readAll(handle, 9, 9), text('9!'))
      },
      'the end is where the file ends now, whoever moved it': async ({ root }) => {
        const f = await file(root, 'f', 'long content'), appender = await f.open(O.WRONLY | O.APPEND), writer = await f.open(O.RDWR)
        await f.setattr({ size: 4 })
        await appender.write(text('A'), 0)
        await writeAll(writer, text('B'), 8)
        await appender.write(text('C'), 0)
        same(await readAll(writer), Uint8Array.of(108, 111, 110, 103, 65, 0, 0, 0, 66, 67))
      },
      'two appenders never overwrite each other': async ({ root }) => {
        const f = await file(root, 'f'), a = await f.open(O.WRONLY | O.APPEND), b = await (await root.walk('f')).open(O.RDWR | O.APPEND)
        for (let i = 0; i < 20; i++) await (i % 3 ? a : b).write(text(`${i};`), 0)
        assert.is(await read(f), Array.from({ length: 20 }, (_, i) => `${i};`).join(''))
      },
      'appends at the same time are each whole, and none is lost': async ({ root }) => {
        const f = await file(root, 'f'), open = () => f.open(O.WRONLY | O.APPEND), handles = [await open(), await open(), await open(), await open()]
        const record = (i: number) => `${String(i).padStart(4, '0')}${'x'.repeat(i % 97)}\n`
        const sizes = await Promise.all(Array.from({ length: 200 }, async (_, i) => handles[i % 4]!.write(text(record(i)), 0)))
        for (const [i, n] of sizes.entries()) assert.is(n, record(i).length)
        assert.equal((await read(f)).trimEnd().split('\n').sort(), Array.from({ length: 200 }, (_, i) => record(i).trimEnd()))
      },
      'appends of one handle at the same time are kept too': async ({ root }) => {
        const f = await file(root, 'f'), handle = await f.open(O.WRONLY | O.APPEND)
        await Promise.all(Array.from({ length: 100 }, async (_, i) => handle.write(text(`<${i}>`), 0)))
        const got = (await read(f)).match(/<\d+>/g) ?? []
        assert.is(got.join('').length, (await stat(f)).size)
        assert.is(new Set(got).size, 100)
      },
      'appending to a file that was unlinked goes on': async ({ root }) => {
        const f = await file(root, 'f', 'a'), handle = await f.open(O.RDWR | O.APPEND)
        await root.unlinkat('f', 0)
        await handle.write(text('b'), 0)
        same(await readAll(handle), text('ab'))
        assert.not(await has(root, 'f'))
      },
      'appends and cuts beside each other leave whole records': async ({ root }) => {
        const f = await file(root, 'f'), handle = await f.open(O.WRONLY | O.APPEND)
        await Promise.all(Array.from({ length: 60 }, async (_, i) => i % 10 === 9 ? f.setattr({ size: 0 }) : handle.write(text('[record]'), 0)))
        assert.match(await read(f), /^(\[record\])*$/)
      },
    },
  },
  {
    needs: ['hardlink'],
    promises: {
      'appenders by two names find the same end': async ({ root }) => {
        const f = await file(root, 'f')
        await root.link(f, 'g')
        const a = await f.open(O.WRONLY | O.APPEND), b = await (await root.walk('g')).open(O.WRONLY | O.APPEND)
        for (let i = 0; i < 10; i++) await (i % 2 ? a : b).write(text(String(i)), 0)
        assert.is(await read(f), '0123456789')
      },
    },
  },
]
