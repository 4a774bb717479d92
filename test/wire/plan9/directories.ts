// C79-C88 in 9P2000 and 9P2000.u: Tread of a directory.

import { codeOfEname } from 'ninep'
import * as assert from 'uvu/assert'
import { frameOf } from '../raw.ts'
import { onSlow } from '../stand.ts'
import { both, iosize, type Table } from './common.ts'

const names = (list: readonly { name: string }[]) => list.map(({ name }) => name)

/** Makes this many empty files f0, f1, ... in the directory of fid 0, 200 requests at a time. */
async function fill({ raw }: Table, count: number): Promise<void> {
  for (let from = 0; from < count; from += 200) {
    await Promise.all(Array.from({ length: Math.min(200, count - from) }, (_, i) =>
      raw.ok('Tmknod', { dfid: 0, name: `f${from + i}`, mode: 0o100644, major: 0, minor: 0, gid: 0 }, 1000 + i)))
  }
}
/** A fid of the directory of the case, open. */
async function opened({ p }: Table, fid = 1): Promise<void> {
  await p.walk(0, fid)
  await p.open(fid)
}

export const directories = [
  both(79, 'an empty directory has nothing: no dots', async (t) => {
    await opened(t)
    assert.equal(await t.p.entries(1), { stats: [], length: 0 })
    assert.equal(await t.p.entries(1), { stats: [], length: 0 })
  }),
  both(80, '5000 entries in small pieces: each name once', async (t) => {
    const count = t.stand.stack === onSlow ? 300 : 5000
    await fill(t, count)
    await opened(t)
    const wanted = Array.from({ length: count }, (_, i) => `f${i}`).sort()
    for (const size of [iosize(t.p), 300, 8168]) assert.equal(names(await t.p.listing(1, size)).sort(), wanted, `${size} bytes at a time`)
  }),
  both(80, 'each entry is what Tstat says of it', async (t) => {
    const { p } = t
    await p.file(0, 'f', 'text', 0o640)
    await p.mkdir(0, 'd', 0o700)
    await opened(t)
    for (const stat of await p.listing(1)) assert.equal(stat, await p.statAt(0, stat.name))
  }),
  both(80, 'entries of mounted places are those that a walk finds', async (t) => {
    const p = await t.client(8192, undefined, '')
    await p.walk(0, 1)
    await p.open(1)
    const stats = await p.listing(1)
    for (const name of ['other', 'full', 'ro']) assert.equal(stats.find((stat) => stat.name === name)?.qid.path, (await p.statAt(0, name)).qid.path, name)
  }),
  both(82, 'each entry is removed before the next Tread: all go, none is skipped', async (t) => {
    const { p } = t
    await fill(t, 300)
    await opened(t)
    let offset = 0, removed = 0
    for (;;) {
      const { stats, length } = await p.entries(1, offset, 700)
      if (length === 0) break
      for (const { name } of stats) {
        await p.walk(0, 2, name)
        await p.ok('Tremove', { fid: 2 })
        removed++
      }
      offset += length
    }
    assert.is(removed, 300)
    assert.equal(await p.ls(0), [])
  }),
  both(82, 'what comes and goes meanwhile makes none of the others be missed or doubled', async (t) => {
    const { p, raw } = t
    await fill(t, 200)
    await opened(t)
    const seen: string[] = []
    for (let i = 0, offset = 0; ; i++) {
      const { stats, length } = await p.entries(1, offset, 700)
      if (length === 0) break
      seen.push(...names(stats))
      offset += length
      if (i >= 20) continue
      await p.file(0, `new${i}`)
      await raw.ok('Tunlinkat', { dirfid: 0, name: `f${i * 2}`, flags: 0 })
    }
    for (let i = 40; i < 200; i++) assert.is(seen.filter((name) => name === `f${i}`).length, 1, `f${i}`)
    for (const name of new Set(seen)) assert.is(seen.filter((other) => other === name).length, 1, name)
  }),
  both(83, 'from 0 again, and what was made since is there', async (t) => {
    const { p } = t
    await opened(t)
    assert.equal(names(await p.listing(1)), [])
    await p.file(0, 'new')
    assert.equal(names(await p.listing(1)), ['new'])
    await p.walk(0, 2, 'new')
    await p.ok('Tremove', { fid: 2 })
    assert.equal(names(await p.listing(1)), [])
  }),
  both(87, 'the next offset is the sum of the bytes; any other is refused, and changes nothing', async (t) => {
    const { p } = t
    await fill(t, 50)
    await opened(t)
    const wanted = names(await p.listing(1)), seen: string[] = []
    for (let offset = 0; ;) {
      for (const odd of [offset + 1, offset - 1, offset + 4096, 2 ** 40]) {
        if (odd <= 0) continue
        const { name, fields } = await p.call('Tread', { fid: 1, offset: odd, count: 500 })
        assert.equal([name, fields.ename], ['Rerror', 'bad offset in directory read'], `${odd} where ${offset} is next`)
        assert.is(codeOfEname(fields.ename), 'ESPIPE')
      }
      const { stats, length } = await p.entries(1, offset, 500)
      if (length === 0) break
      seen.push(...names(stats))
      offset += length
    }
    assert.equal(seen, wanted)
  }),
  both(87, 'a count that is too small for the next entry gets 0 bytes, and the entry comes later', async (t) => {
    const { p } = t
    await p.file(0, 'n'.repeat(255))
    await opened(t)
    const size = (await p.data(1, 0, 8000)).length
    for (const count of [0, 1, 48, 200, size - 1]) assert.is((await p.data(1, 0, count)).length, 0, `${count} bytes`)
    assert.is((await p.data(1, 0, size)).length, size)
    assert.is((await p.data(1, size, size)).length, 0)
    await p.file(0, 'm')
    await opened(t, 2)
    // As Linux fills its buffer: what is left of it gets smaller, and 0 bytes end it.
    const first = await p.data(2, 0, 8000 - 300)
    for (const left of [300, 100, 10]) await p.data(2, first.length, Math.min(left, 8000 - first.length))
    assert.equal(names(await p.listing(2)).sort(), ['m', 'n'.repeat(255)])
  }),
  both(87, 'entries have the length that they need, and no byte is cut', async (t) => {
    const { p } = t
    const odd = ['a', 'n'.repeat(255), 'caf\u00e9', '\udcff\udcfe', '\ud83d\ude00'.repeat(60)]
    for (const name of odd) await p.file(0, name)
    await opened(t)
    for (const count of [330, 400, 700, 8168]) {
      const stats = await p.listing(1, count)
      assert.equal(names(stats).sort(), [...odd].sort())
    }
  }),
  both(88, 'offset 0 after a part begins anew', async (t) => {
    const { p } = t
    await fill(t, 50)
    await opened(t)
    const first = await p.entries(1, 0, 600)
    await p.entries(1, first.length, 600)
    assert.equal(names((await p.entries(1, 0, 600)).stats), names(first.stats))
    assert.is((await p.listing(1, 600)).length, 50)
    // Two fids of one directory count apart.
    await opened(t, 2)
    const one = await p.entries(1, 0, 600)
    await p.entries(2, 0, 300)
    assert.ok((await p.entries(1, one.length, 600)).length > 0)
  }),
  both(88, 'two Treads in one segment: the second goes on where the first ends, or both begin', async (t) => {
    const { p, dialect } = t
    await fill(t, 60)
    await opened(t)
    const { length } = await p.entries(1, 0, 600)
    await p.entries(1, 0, 0)
    for (let round = 0; round < 5; round++) {
      p.bytes(frameOf(dialect, 'Tread', 60001, { fid: 1, offset: 0, count: 600 }), frameOf(dialect, 'Tread', 60002, { fid: 1, offset: length, count: 600 }))
      const [a, b] = [await p.reply(60001), await p.reply(60002)]
      assert.equal([a.name, b.name], ['Rread', 'Rread'])
      assert.is(a.fields.data.length, length)
      assert.ok(b.fields.data.length > 0)
    }
  }),
]
