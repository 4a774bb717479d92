import * as assert from 'uvu/assert'
import { AT_REMOVEDIR, Attrs, O, S } from 'ninep'
import type { Node } from '../../translators/translator.ts'
import type { Group } from './promises.ts'
import { entries, file, get, has, ls, mkdir, noise, owner, read, readAll, same, stat, text, writeAll } from './tools.ts'

async function crowd(root: Node, count: number): Promise<Node> {
  const d = await mkdir(root, 'd')
  for (let i = 0; i < count; i++) await (await d.mknod(`f${i}`, S.IFREG | 0o644, 0n, owner)).close()
  return d
}

export const large: readonly Group[] = [
  {
    promises: {
      '5 000 entries are listed once each, in small portions': async ({ root, quick }) => {
        const count = quick ? 600 : 5000, d = await crowd(root, count), handle = await d.open(O.RDONLY), seen = new Set<string>()
        for (let after = 0n, end = false, max = 1; !end; max = max % 97 + 1) {
          const part = await entries(handle, { after, max, mask: max % 2 ? 0 : Attrs.BASIC })
          for (const { name } of part.list) {
            assert.not(seen.has(name), `${name} again`)
            seen.add(name)
          }
          end = part.end
          if (part.list.length > 0) after = part.list.at(-1)!.cookie
        }
        assert.is(seen.size, count)
        for (let i = 0; i < count; i += 100) assert.ok(await has(d, `f${i}`))
        assert.not(await has(d, `f${count}`))
      },
      '5 000 entries are removed while they are listed': async ({ root, quick }) => {
        const count = quick ? 600 : 5000, d = await crowd(root, count), handle = await d.open(O.RDONLY)
        let removed = 0
        for (let after = 0n, end = false; !end;) {
          const part = await entries(handle, { after, max: 113 })
          for (const { name } of part.list) { await d.unlinkat(name, 0); removed++ }
          end = part.end
          if (part.list.length > 0) after = part.list.at(-1)!.cookie
        }
        assert.is(removed, count)
        await root.unlinkat('d', AT_REMOVEDIR)
      },
      'a tree is 200 directories deep, of 200 bytes each': async ({ root, lacks, quick }) => {
        const depth = quick ? 40 : 200, name = (i: number) => String(i).padStart(lacks('long-names') ? 20 : 200, 'x')
        const path: Node[] = [root]
        for (let i = 0; i < depth; i++) path.push(await mkdir(path[i]!, name(i)))
        const bottom = path[depth]!, f = await file(bottom, 'f', 'deep')
        assert.is(await read(f), 'deep')
        await root.renameat(name(0), root, 'top')
        let at = await root.walk('top')
        for (let i = 1; i < depth; i++) at = await at.walk(name(i))
        assert.is(await read(at, 'f'), 'deep')
        for (let i = depth; i > 0; i--) {
          const up = await at.parent()
          assert.is(up.qid.path, path[i - 1]!.qid.path, `the parent of level ${i}`)
          at = up
        }
        await bottom.unlinkat('f', 0)
        for (let i = depth - 1; i > 0; i--) await path[i]!.unlinkat(name(i), AT_REMOVEDIR)
        await root.unlinkat('top', AT_REMOVEDIR)
        assert.equal(await ls(root), [])
      },
      'thousands of nodes are held, and the oldest still follows its file': async ({ root, quick }) => {
        const count = quick ? 300 : 3000, d = await mkdir(root, 'd'), nodes: Node[] = []
        for (let i = 0; i < count; i++) nodes.push(await file(d, `f${i}`, i % 100 ? '' : String(i)))
        await root.renameat('d', root, 'e')
        await d.renameat('f0', root, 'moved')
        await d.unlinkat('f1', 0)
        await file(d, 'f1', 'another')
        for (let i = 0; i < count; i += 100) assert.is(await read(nodes[i]!), String(i))
        assert.is((await stat(nodes[0]!)).qid.path, (await root.walk('moved')).qid.path)
        for (const node of nodes.splice(2)) await node.close()
        assert.is(await read(root, 'moved'), '0')
      },
      'a file of 16 MiB is kept': async ({ root, quick }) => {
        const block = noise(2 ** 20), count = quick ? 3 : 16, handle = await (await file(root, 'f')).open(O.RDWR)
        for (let i = 0; i < count; i++) {
          block[0] = i
          await writeAll(handle, block, i * block.length)
        }
        for (const i of [0, count - 1, 1]) {
          block[0] = i
          same(await readAll(handle, i * block.length, block.length), block, `block ${i}`)
        }
        assert.is((await stat(handle)).size, count * block.length)
      },
      'a file rewritten a thousand times is the last of them': async ({ root, quick }) => {
        const handle = await (await file(root, 'f')).open(O.RDWR), count = quick ? 100 : 1000
        for (let i = 0; i < count; i++) await writeAll(handle, text(String(i).padStart(5000, ' ')))
        assert.is(Buffer.from(await get(root, 'f')).toString(), String(count - 1).padStart(5000, ' '))
      },
    },
  },
]
