// C79-C86: Treaddir.

import { direntsOf, Dt, S } from 'ninep'
import * as assert from 'uvu/assert'
import type { Raw } from '../raw.ts'
import { frame } from '../raw.ts'
import { c } from '../stand.ts'
import { among, entries, file, listing } from './common.ts'

const names = (list: readonly { name: string }[]) => list.map(({ name }) => name)

/** Makes this many empty files f0, f1, ... in the directory of fid 0, 200 requests at a time. */
async function fill(raw: Raw, count: number): Promise<void> {
  const spare = 1000
  for (let from = 0; from < count; from += 200) {
    await Promise.all(Array.from({ length: Math.min(200, count - from) }, async (_, i) => {
      await raw.ok('Tmknod', { dfid: 0, name: `f${from + i}`, mode: 0o100644, major: 0, minor: 0, gid: 0 }, spare + i)
    }))
  }
}

export const directories = [
  c(79, 'an empty directory has . and .., then nothing', async ({ raw }) => {
    await raw.mkdir(0, 'd')
    await raw.walk(0, 1, 'd')
    await raw.open(1)
    const first = await entries(raw, 1)
    assert.equal(names(first), ['.', '..'])
    assert.equal(first.map(({ type }) => type), [Dt.DIR, Dt.DIR])
    assert.equal(first.map(({ qid }) => qid.path), [(await raw.getattr(1)).qid.path, (await raw.getattr(0)).qid.path])
    assert.equal(await entries(raw, 1, first[1]!.cookie), [])
    assert.equal(names(await entries(raw, 1, first[0]!.cookie)), ['..'])
    await raw.walk(0, 2)
    await raw.open(2)
    const [dot, dots] = await entries(raw, 2)
    assert.is(dots!.qid.path, dot!.qid.path, 'the root is its own parent')
  }),
  c(80, '5000 entries in small pieces: each name once', async ({ raw }) => {
    await fill(raw, 5000)
    await raw.walk(0, 1)
    await raw.open(1)
    const wanted = ['.', '..', ...Array.from({ length: 5000 }, (_, i) => `f${i}`)].sort()
    for (const count of [4072, 300, 65525]) {
      const list = await listing(raw, 1, count)
      assert.equal(names(list).sort(), wanted)
      assert.is(new Set(list.map(({ cookie }) => cookie)).size, 5002)
    }
  }),
  c(81, 'from the cookie of any entry on, what follows', async ({ raw }) => {
    await fill(raw, 300)
    await raw.walk(0, 1)
    await raw.open(1)
    const all = await listing(raw, 1, 1000)
    for (const i of [0, 1, 2, 3, 7, 50, 150, 149, 20, 299, 300, 301, 0]) {
      const some = await entries(raw, 1, all[i]!.cookie, 500)
      assert.equal(names(some), names(all.slice(i + 1, i + 1 + some.length)), `from ${i}`)
      assert.ok(some.length > 0 || i === 301)
    }
  }),
  c(82, 'each entry is removed before the next Treaddir: all go, none is skipped', async ({ raw }) => {
    await fill(raw, 500)
    await raw.walk(0, 1)
    await raw.open(1)
    let offset = 0n, removed = 0
    for (;;) {
      const some = await entries(raw, 1, offset, 400)
      if (some.length === 0) break
      for (const { name } of some) {
        if (name === '.' || name === '..') continue
        await raw.ok('Tunlinkat', { dirfid: removed % 2 ? 1 : 0, name, flags: 0 })
        removed++
      }
      offset = some.at(-1)!.cookie
    }
    assert.is(removed, 500)
    assert.equal(names(await entries(raw, 1)), ['.', '..'])
  }),
  c(82, 'what comes and goes meanwhile makes none of the others be missed or doubled', async ({ raw }) => {
    await fill(raw, 400)
    await raw.walk(0, 1)
    await raw.open(1)
    const seen: string[] = []
    let offset = 0n
    for (let i = 0; ; i++) {
      const some = await entries(raw, 1, offset, 700)
      if (some.length === 0) break
      seen.push(...names(some))
      offset = some.at(-1)!.cookie
      if (i < 40) {
        await raw.ok('Tmknod', { dfid: 0, name: `new${i}`, mode: 0o100644, major: 0, minor: 0, gid: 0 })
        await raw.ok('Tunlinkat', { dirfid: 0, name: `f${i * 2}`, flags: 0 })
        await raw.ok('Trenameat', { olddirfid: 0, oldname: `f${i * 2 + 1}`, newdirfid: 0, newname: `f${i * 2 + 1}` })
      }
    }
    for (let i = 80; i < 400; i++) assert.is(seen.filter((name) => name === `f${i}`).length, 1, `f${i}`)
    assert.is(new Set(seen).size, seen.length)
  }),
  c(83, 'from 0 again, and what was made since is there', async (t) => {
    const { raw } = t
    await raw.walk(0, 1)
    await raw.open(1)
    assert.equal(names(await listing(raw, 1)), ['.', '..'])
    await file(t, 'new')
    assert.equal(names(await listing(raw, 1)).sort(), ['.', '..', 'new'])
    await raw.ok('Tunlinkat', { dirfid: 0, name: 'new', flags: 0 })
    assert.equal(names(await listing(raw, 1)), ['.', '..'])
  }),
  c(84, 'Treaddir needs a directory that is open', async (t) => {
    const { raw } = t
    among(await raw.refused('Treaddir', { fid: 0, offset: 0n, count: 4000 }), 'EBADF', 'EINVAL')
    await raw.create(0, 1, 'f')
    among(await raw.refused('Treaddir', { fid: 1, offset: 0n, count: 4000 }), 'ENOTDIR', 'EBADF', 'EINVAL')
  }),
  c(85, 'cookies are not 0 and below 2^63; types are those of getdents', async (t) => {
    const { raw } = t
    await file(t, 'f')
    await raw.mkdir(0, 'd')
    await raw.ok('Tsymlink', { dfid: 0, name: 'l', target: 'f', gid: 0 })
    await raw.ok('Tmknod', { dfid: 0, name: 'p', mode: S.IFIFO | 0o644, major: 0, minor: 0, gid: 0 })
    await raw.ok('Tmknod', { dfid: 0, name: 's', mode: S.IFSOCK | 0o644, major: 0, minor: 0, gid: 0 })
    await raw.walk(0, 1)
    await raw.open(1)
    const list = await listing(raw, 1)
    for (const { cookie } of list) assert.ok(cookie > 0n && cookie < 2n ** 63n)
    const types = Object.fromEntries(list.map(({ name, type }) => [name, type]))
    assert.equal(types, { '.': Dt.DIR, '..': Dt.DIR, f: Dt.REG, d: Dt.DIR, l: Dt.LNK, p: Dt.FIFO, s: Dt.SOCK })
    for (const { name, qid } of list) {
      if (name === '..') continue
      await raw.walk(0, 2, ...name === '.' ? [] : [name])
      assert.is((await raw.getattr(2)).qid.path, qid.path, name)
      await raw.clunk(2)
    }
    for (const offset of [2n ** 63n, 2n ** 64n - 1n]) assert.is(await raw.refused('Treaddir', { fid: 1, offset, count: 4000 }), 'EINVAL')
    const odd = await raw.call('Treaddir', { fid: 1, offset: 2n ** 63n - 1n, count: 4000 })
    if (odd.name === 'Rreaddir') direntsOf(odd.fields.data)
  }),
  c(86, 'a count that is too small for the next entry is EINVAL', async (t) => {
    const { raw } = t
    await file(t, 'n'.repeat(255))
    await raw.walk(0, 1)
    await raw.open(1)
    for (const count of [0, 1, 24]) assert.is(await raw.refused('Treaddir', { fid: 1, offset: 0n, count }), 'EINVAL')
    const dots = await entries(raw, 1, 0n, 60)
    assert.equal(names(dots), ['.', '..'])
    assert.is(await raw.refused('Treaddir', { fid: 1, offset: dots[1]!.cookie, count: 278 }), 'EINVAL')
    assert.is((await entries(raw, 1, dots[1]!.cookie, 279)).length, 1)
    assert.equal(names(await entries(raw, 1, 0n, 25)), ['.'])
  }),
  c(86, 'a listing pipelined with changes and the clunk of its fid', async (t) => {
    const { raw } = t
    await fill(raw, 100)
    for (let round = 0; round < 5; round++) {
      await raw.walk(0, 1)
      await raw.open(1)
      raw.bytes(
        frame('Treaddir', 60001, { fid: 1, offset: 0n, count: 2000 }), frame('Tunlinkat', 60002, { dirfid: 1, name: `f${round}`, flags: 0 }),
        frame('Treaddir', 60003, { fid: 1, offset: 0n, count: 2000 }), frame('Tclunk', 60004, { fid: 1 }), frame('Treaddir', 60005, { fid: 1, offset: 0n, count: 2000 }),
      )
      const [first, , third, clunked, last] = [await raw.reply(60001), await raw.reply(60002), await raw.reply(60003), await raw.reply(60004), await raw.reply(60005)]
      for (const { name, fields } of [first, third]) if (name === 'Rreaddir') assert.ok(direntsOf(fields.data).length > 20)
      assert.equal([clunked.name, last.fields], ['Rclunk', { ecode: 9 }])
    }
  }),
]
