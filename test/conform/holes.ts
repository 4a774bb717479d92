import * as assert from 'uvu/assert'
import { O } from 'ninep'
import type { Group } from './promises.ts'
import { fails, file, get, noise, owner, read, readAll, same, stat, text, writeAll } from './tools.ts'

const MiB = 2 ** 20, TiB = 2 ** 40

export const holes: readonly Group[] = [
  {
    promises: {
      'a hole reads as zeros': async ({ root }) => {
        const { node, handle } = await root.create('f', O.RDWR, 0o644, owner)
        await writeAll(handle, text('a'), 0)
        await writeAll(handle, text('z'), 100_000)
        const expected = new Uint8Array(100_001)
        expected[0] = 97
        expected[100_000] = 122
        same(await get(node), expected)
      },
      'a file made longer has zeros there': async ({ root }) => {
        const f = await file(root, 'f', 'abc')
        await f.setattr({ size: 70_000 })
        const expected = new Uint8Array(70_000)
        expected.set(text('abc'))
        same(await get(f), expected)
      },
      'writes into a hole leave zeros around them': async ({ root }) => {
        const f = await file(root, 'f'), handle = await f.open(O.RDWR), expected = new Uint8Array(200_000)
        await f.setattr({ size: expected.length })
        for (const [at, length] of [[4096, 4096], [50_001, 3], [65_530, 12], [131_071, 2], [199_999, 1], [8190, 5]] as const) {
          const bytes = noise(length)
          await writeAll(handle, bytes, at)
          expected.set(bytes, at)
          same(await readAll(handle), expected, `after ${length} bytes at ${at}`)
        }
      },
      'scattered writes, cuts and growths read as they should': async ({ root }) => {
        const f = await file(root, 'f'), handle = await f.open(O.RDWR)
        let expected = new Uint8Array(0), seed = 7
        const random = (n: number) => (seed = (seed * 1103515245 + 12345) % 2 ** 31) % n
        const resize = (size: number) => { const next = new Uint8Array(size); next.set(expected.subarray(0, size)); expected = next }
        for (let i = 0; i < 60; i++) {
          if (random(4) === 0) {
            const size = random(300_000)
            await handle.setattr({ size })
            resize(size)
          } else {
            const at = random(300_000), bytes = noise(1 + random(20_000))
            await writeAll(handle, bytes, at)
            if (at + bytes.length > expected.length) resize(at + bytes.length)
            expected.set(bytes, at)
          }
          if (i % 5 === 4) same(await readAll(handle), expected, `after step ${i}`)
        }
      },
      'what ends past 2^53 - 1 is refused, and changes nothing: EFBIG': async ({ root }) => {
        const f = await file(root, 'f', 'abc'), handle = await f.open(O.RDWR)
        await fails(['EFBIG', 'EINVAL'], () => handle.write(text('xy'), Number.MAX_SAFE_INTEGER))
        await fails(['EFBIG', 'EINVAL'], () => handle.write(new Uint8Array(65536), Number.MAX_SAFE_INTEGER - 1))
        assert.is(await read(f), 'abc')
        assert.is((await readAll(handle, Number.MAX_SAFE_INTEGER - 10, 5)).length, 0)
      },
    },
  },
  {
    needs: ['big-files'],
    promises: {
      'a byte at 2^40 is kept, and nothing before it appears': async ({ root }) => {
        const { node, handle } = await root.create('f', O.RDWR, 0o644, owner)
        await writeAll(handle, text('far'), TiB)
        assert.is((await stat(node)).size, TiB + 3)
        same(await readAll(handle, TiB - 5, 100), Uint8Array.of(0, 0, 0, 0, 0, 102, 97, 114))
        same(await readAll(handle, 0, 4096), new Uint8Array(4096))
        same(await readAll(handle, 2 ** 32, 10), new Uint8Array(10))
        await node.setattr({ size: 5 })
        same(await readAll(handle), new Uint8Array(5))
      },
      'offsets that agree in their low 32 bits are different': async ({ root }) => {
        const handle = await (await file(root, 'f')).open(O.RDWR)
        for (const [i, at] of [0, 2 ** 31, 2 ** 32, 2 ** 33, 2 ** 39].entries()) await writeAll(handle, text(`#${i}`), at + 100)
        for (const [i, at] of [0, 2 ** 31, 2 ** 32, 2 ** 33, 2 ** 39].entries()) same(await readAll(handle, at + 100, 2), text(`#${i}`))
      },
      'a file grown to 2^40 and cut again is as it was': async ({ root }) => {
        const f = await file(root, 'f', 'small')
        await f.setattr({ size: TiB })
        assert.is((await stat(f)).size, TiB)
        await f.setattr({ size: 5 })
        assert.is(await read(f), 'small')
      },
    },
  },
  {
    needs: ['sparse'],
    promises: {
      'a hole takes no blocks': async ({ root }) => {
        const { node, handle } = await root.create('f', O.RDWR, 0o644, owner)
        await writeAll(handle, text('x'), 64 * MiB)
        await handle.fsync(false)
        const { blocks } = await stat(node)
        assert.ok(blocks * 512 <= 2 * MiB, `${blocks} blocks for one byte`)
      },
      'what is written takes blocks, of 512 bytes each': async ({ root }) => {
        const f = await file(root, 'f', noise(MiB))
        const handle = await f.open(O.RDONLY)
        await handle.fsync(false)
        const { blocks } = await stat(f)
        assert.ok(blocks * 512 >= MiB && blocks * 512 <= 3 * MiB, `${blocks} blocks for a MiB`)
      },
      'what is cut off gives its blocks back': async ({ root }) => {
        const f = await file(root, 'f', noise(4 * MiB)), handle = await f.open(O.RDWR)
        await handle.fsync(false)
        const before = (await stat(f)).blocks
        await f.setattr({ size: 0 })
        await f.setattr({ size: 4 * MiB })
        await handle.fsync(false)
        assert.ok((await stat(f)).blocks <= before / 2, 'the blocks are still taken')
      },
    },
  },
]
