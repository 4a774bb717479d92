import * as assert from 'uvu/assert'
import { Attrs, O, S } from 'ninep'
import type { Node } from '../../translators/translator.ts'
import type { Group } from './promises.ts'
import { entries, fails, file, has, mkdir, owner, stat } from './tools.ts'
import type { Entry } from './tools.ts'

async function filled(root: Node, count: number): Promise<{ d: Node; names: string[] }> {
  const d = await mkdir(root, 'd'), names = Array.from({ length: count }, (_, i) => `entry-${i}`)
  for (const name of names) await (await file(d, name)).close()
  return { d, names: names.sort() }
}
const namesOf = (list: readonly Entry[]) => list.map((e) => e.name).sort()

export const listings: readonly Group[] = [
  {
    promises: {
      'every entry is listed once, and no dots': async ({ root }) => {
        const { d, names } = await filled(root, 100), { list, end } = await entries(await d.open(O.RDONLY))
        assert.ok(end)
        assert.equal(namesOf(list), names)
      },
      'an empty directory is at its end': async ({ root }) => {
        const handle = await (await mkdir(root, 'd')).open(O.RDONLY)
        for (const mask of [0, Attrs.BASIC]) assert.equal(await entries(handle, { mask }), { list: [], end: true })
      },
      'cookies are different, and between 0 and 2^63': async ({ root }) => {
        const { d } = await filled(root, 100), { list } = await entries(await d.open(O.RDONLY)), cookies = new Set(list.map((e) => e.cookie))
        assert.is(cookies.size, 100)
        for (const cookie of cookies) assert.ok(cookie > 0n && cookie < 1n << 63n)
      },
      'a sink that is full at each entry misses none': async ({ root }) => {
        const { d, names } = await filled(root, 40)
        for (const max of [1, 2, 7]) {
          const handle = await d.open(O.RDONLY), list: Entry[] = []
          for (let after = 0n, end = false; !end;) {
            const part = await entries(handle, { after, max })
            list.push(...part.list)
            end = part.end
            if (!end) { assert.is(part.list.length, max); after = part.list.at(-1)!.cookie }
          }
          assert.equal(namesOf(list), names, `${max} at a time`)
        }
      },
      'a sink that takes nothing gets the same entry again': async ({ root }) => {
        const { d } = await filled(root, 5), handle = await d.open(O.RDONLY)
        assert.equal(await entries(handle, { max: 0 }), { list: [], end: false })
        const [first] = (await entries(handle, { max: 1 })).list
        assert.equal(await entries(handle, { after: first!.cookie, max: 0 }), { list: [], end: false })
        assert.is((await entries(handle, { after: first!.cookie })).list.length, 4)
      },
      'a listing goes on from every entry that it gave': async ({ root }) => {
        const { d } = await filled(root, 30), handle = await d.open(O.RDONLY), { list } = await entries(handle)
        for (const from of [29, 0, 15, 7, 28, 14]) {
          const rest = (await entries(handle, { after: list[from]!.cookie })).list
          assert.equal(rest.map((e) => e.name), list.slice(from + 1).map((e) => e.name), `after entry ${from}`)
        }
      },
      'a cookie stays true while entries before and after it go': async ({ root }) => {
        const { d } = await filled(root, 60), handle = await d.open(O.RDONLY), { list } = await entries(handle)
        const at = 30, gone = new Set([0, 5, 29, 30, 31, 32, 45, 59])
        for (const i of gone) await d.unlinkat(list[i]!.name, 0)
        const rest = (await entries(handle, { after: list[at]!.cookie })).list.map((e) => e.name)
        const stay = list.filter((_, i) => i > at && !gone.has(i)).map((e) => e.name)
        assert.equal(rest.filter((name) => stay.includes(name)), stay)
        assert.is(new Set(rest).size, rest.length)
      },
      'a directory that is emptied while it is listed is emptied whole': async ({ root }) => {
        const { d } = await filled(root, 150), handle = await d.open(O.RDONLY)
        for (let after = 0n, end = false; !end;) {
          const part = await entries(handle, { after, max: 4 })
          for (const { name } of part.list) await d.unlinkat(name, 0)
          end = part.end
          if (part.list.length > 0) after = part.list.at(-1)!.cookie
        }
        assert.equal((await entries(handle)).list, [])
      },
      'each that stays is listed once while others come and go': async ({ root }) => {
        const { d, names } = await filled(root, 100), handle = await d.open(O.RDONLY), list: Entry[] = []
        const go = names.filter((_, i) => i % 4 === 0), stay = names.filter((_, i) => i % 4 !== 0)
        let round = 0
        for (let after = 0n, end = false; !end;) {
          const part = await entries(handle, { after, max: 3 })
          list.push(...part.list)
          end = part.end
          if (part.list.length > 0) after = part.list.at(-1)!.cookie
          const leaving = go[round]
          if (leaving !== undefined) await d.unlinkat(leaving, 0)
          for (const i of [0, 1]) if (round < 40) await (await file(d, `new-${round}-${i}`)).close()
          round++
          assert.ok(round < 1000, 'the listing does not end')
        }
        const seen = list.map((e) => e.name)
        for (const name of stay) assert.is(seen.filter((n) => n === name).length, 1, `${name} was listed ${seen.filter((n) => n === name).length} times`)
        assert.is(new Set(seen).size, seen.length, 'a name was listed twice')
      },
      'each that stays is listed once while others are renamed': async ({ root }) => {
        const { d, names } = await filled(root, 60), away = await mkdir(root, 'away'), handle = await d.open(O.RDONLY), seen: string[] = []
        let round = 0
        for (let after = 0n, end = false; !end;) {
          const part = await entries(handle, { after, max: 3 })
          seen.push(...part.list.map((e) => e.name))
          end = part.end
          if (part.list.length > 0) after = part.list.at(-1)!.cookie
          const name = names[round * 5]
          if (name !== undefined) await d.renameat(name, round % 2 ? away : d, `renamed-${round}`)
          round++
        }
        for (const [i, name] of names.entries()) if (i % 5 !== 0) assert.is(seen.filter((n) => n === name).length, 1, name)
      },
      'a listing ends where all that was left of it has gone': async ({ root }) => {
        for (let at = 0; at < 12; at++) {
          const d = await mkdir(root, `d${at}`), handle = await d.open(O.RDONLY)
          for (let i = 0; i < 12; i++) await (await file(d, `f${i}`)).close()
          const { list } = await entries(handle), first = await entries(handle, { max: at + 1 })
          for (const { name } of list.slice(at + 1)) await d.unlinkat(name, 0)
          const rest = (await entries(handle, { after: first.list[at]!.cookie })).list.map((e) => e.name)
          for (const { name } of first.list) assert.not(rest.includes(name), `${name} was listed again, after ${at + 1} entries`)
        }
      },
      'cookie 0 begins afresh': async ({ root }) => {
        const { d, names } = await filled(root, 10), handle = await d.open(O.RDONLY)
        await entries(handle, { max: 5 })
        await file(d, 'new')
        await d.unlinkat('entry-3', 0)
        assert.equal(namesOf((await entries(handle)).list), [...names.filter((n) => n !== 'entry-3'), 'new'].sort())
      },
      'the end stays the end': async ({ root }) => {
        const { d } = await filled(root, 10), handle = await d.open(O.RDONLY), { list } = await entries(handle)
        for (let i = 0; i < 3; i++) assert.equal(await entries(handle, { after: list.at(-1)!.cookie }), { list: [], end: true })
      },
      'two handles of a directory are at different places': async ({ root }) => {
        const { d, names } = await filled(root, 20), a = await d.open(O.RDONLY), b = await d.open(O.RDONLY)
        const first = await entries(a, { max: 7 })
        assert.equal(namesOf((await entries(b)).list), names)
        const rest = await entries(a, { after: first.list.at(-1)!.cookie })
        assert.equal(namesOf([...first.list, ...rest.list]), names)
      },
      'attributes in a listing are those of getattr': async ({ root, lacks }) => {
        await file(root, 'f', 'content', 0o4600)
        await mkdir(root, 'd', 0o1777)
        if (!lacks('symlink')) await root.symlink('s', 'target', owner)
        if (!lacks('fifo')) await root.mknod('p', S.IFIFO | 0o600, 0n, owner)
        if (!lacks('hardlink')) await root.link(await root.walk('f'), 'g')
        const { list } = await entries(await root.open(O.RDONLY), { mask: Attrs.BASIC })
        assert.is(list.length, 2 + [lacks('symlink'), lacks('fifo'), lacks('hardlink')].filter((l) => !l).length)
        for (const { name, attr, path } of list) {
          const node = await root.walk(name), own = await node.getattr(Attrs.BASIC)
          assert.is(path, node.qid.path)
          for (const key of ['mode', 'uid', 'gid', 'nlink', 'rdev', 'size', 'blocks', 'mtime', 'ctime', 'qid'] as const) assert.equal(attr![key], own[key], `${key} of ${name}`)
        }
      },
      'what is no directory has no entries: ENOTDIR': async ({ root }) => {
        const handle = await (await file(root, 'f')).open(O.RDONLY)
        await fails('ENOTDIR', () => entries(handle))
        assert.ok(await has(root, 'f'))
      },
      'a listing does not change the directory': async ({ root }) => {
        const { d } = await filled(root, 10), before = await stat(d), handle = await d.open(O.RDONLY)
        await entries(handle, { mask: Attrs.BASIC })
        const after = await stat(d)
        assert.equal([after.mtime, after.ctime, after.qid], [before.mtime, before.ctime, before.qid])
      },
    },
  },
]
