// What plan9port's `9p` and `9pfuse` say, message by message, with their checks of what comes back: lengths are exact, a reply is of type
// T+1, and the two lengths of a stat agree. Both speak 9P2000 with an msize of 8192.

import { DM, DONT_TOUCH, NOFID, NOTAG, OPEN, statsOf } from 'ninep'
import type { Stat } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { me, Plan9 } from './plan9/client.ts'
import { onDisk, onMemory, onSlow, Stand } from './stand.ts'
import type { Stack } from './stand.ts'

const iosize = 8192 - 24

/** Tversion with NOTAG; the reply's string is not looked at. Then, as `9p` does and 9pfuse does not, Tauth, whose refusal is nothing to it; Tattach by name. */
async function mount(url: string, auth: boolean, aname = ''): Promise<{ p: Plan9; root: number; next: () => number }> {
  const p = await Plan9.connect(url, '9P2000')
  p.msize = (await p.ok('Tversion', { msize: 8192, version: '9P2000' }, NOTAG)).msize
  assert.is(p.msize, 8192)
  let fid = 0
  if (auth) await p.refused('Tauth', { afid: fid++, uname: me, aname, nUname: 0 }, 0)
  const root = fid++
  const { qid } = await p.ok('Tattach', { fid: root, afid: NOFID, uname: me, aname, nUname: 0 }, 0)
  assert.is(qid.type & 0x80, 0x80)
  return { p, root, next: () => fid++ }
}

/** A whole directory, as its reader takes it: a buffer of 65535, of which each Tread carries at most msize - 24. */
async function dirreadall(p: Plan9, fid: number): Promise<Stat[]> {
  const all: Stat[] = []
  for (let offset = 0; ;) {
    const { data } = await p.ok('Tread', { fid, offset, count: iosize })
    assert.ok(data.length <= iosize)
    if (data.length === 0) return all
    all.push(...statsOf(data))
    offset += data.length
  }
}
/** Tstat, whose body has to be its stat and nothing more. */
async function dirfstat(p: Plan9, fid: number): Promise<Stat> {
  const { bytes, fields: { stat } } = await p.call('Tstat', { fid })
  assert.is(bytes.readUInt16LE(7), bytes.length - 9)
  assert.is(bytes.readUInt16LE(9), bytes.length - 11)
  assert.is(bytes.length, 9 + 49 + [stat.name, stat.uid, stat.gid, stat.muid].reduce((sum, text) => sum + Buffer.byteLength(text), 0))
  return stat
}

const test = suite('plan9port')
for (const stack of [onMemory, onDisk, onSlow] as readonly Stack[]) {
  const on = (title: string, body: (stand: Stand) => Promise<void>) => test(`${title}: ${stack.name}`, async () => {
    const stand = await Stand.start(stack)
    try {
      await body(stand)
      if (stack === onSlow) await stand.control.idle(1)
      assert.equal([stand.control.violations, stand.log.bugs], [[], []])
    } finally { await stand.stop() }
  })

  for (const auth of [true, false]) {
    on(`9p ${auth ? '' : '-n '}create, write, read, stat, ls, rm`, async ({ unix }) => {
      const { p, root, next } = await mount(unix, auth)
      const text = 'x'.repeat(20_000)

      // 9p create f: a walk to the parent, Tcreate 0666 for reading
      const made = next()
      await p.walk(root, made)
      await p.ok('Tcreate', { fid: made, name: 'f', perm: 0o666, mode: OPEN.READ, extension: '' })
      await p.clunk(made)

      // 9p write f < text: opened OWRITE|OTRUNC, in pieces of msize - 24
      const written = next()
      await p.walk(root, written, 'f')
      await p.open(written, OPEN.WRITE | OPEN.TRUNC)
      for (let at = 0; at < text.length;) {
        const count = await p.write(written, text.slice(at, at + iosize), at)
        assert.is(count, Math.min(iosize, text.length - at))
        at += count
      }
      await p.clunk(written)

      // 9p read f: until 0
      const read = next()
      let got = ''
      await p.walk(root, read, 'f')
      await p.open(read)
      for (;;) {
        const piece = await p.read(read, got.length, iosize)
        if (piece === '') break
        got += piece
      }
      await p.clunk(read)
      assert.is(got, text)

      // 9p stat f
      const looked = next()
      await p.walk(root, looked, 'f')
      const stat = await dirfstat(p, looked)
      assert.equal([stat.name, stat.length, stat.mode, stat.uid, stat.type, stat.dev], ['f', 20_000, 0o666, me, 0, 0])
      await p.clunk(looked)

      // 9p write f < /dev/null: a write of nothing, which empties by OTRUNC alone
      const emptied = next()
      await p.walk(root, emptied, 'f')
      await p.open(emptied, OPEN.WRITE | OPEN.TRUNC)
      assert.is(await p.write(emptied, ''), 0)
      await p.clunk(emptied)

      // 9p ls -l: a stat, and the directory where it is one
      const listed = next()
      await p.walk(root, listed)
      assert.ok((await dirfstat(p, listed)).mode >= DM.DIR)
      await p.clunk(listed)
      await p.walk(root, listed)
      await p.open(listed)
      const all = await dirreadall(p, listed)
      assert.equal(all.map(({ name }) => name).sort(), ['f', 'full', 'other', 'ro'])
      assert.is(all.find(({ name }) => name === 'f')!.length, 0)
      await p.clunk(listed)

      // 9p rm f; and read of what is gone
      const removed = next()
      await p.walk(root, removed, 'f')
      await p.ok('Tremove', { fid: removed })
      assert.is(await p.refused('Twalk', { fid: root, newfid: removed, names: ['f'] }), 'ENOENT')
      await p.clunk(root)
      await p.end()
    })
  }

  on('9p rdwr and write -l: reads and writes in turn on one fid; each line is a write at its offset', async ({ tcp }) => {
    const { p, root, next } = await mount(tcp, true)
    const fid = next()
    await p.walk(root, fid)
    await p.ok('Tcreate', { fid, name: 'f', perm: 0o666, mode: OPEN.RDWR, extension: '' })
    assert.is(await p.write(fid, 'one\n', 0), 4)
    assert.is(await p.read(fid, 4, iosize), '')
    assert.is(await p.write(fid, 'two\n', 4), 4)
    assert.is(await p.read(fid, 0, iosize), 'one\ntwo\n')
    await p.end()
  })

  on('a path of many elements, 16 in a walk, and one that breaks off', async ({ tcp }) => {
    const { p, root, next } = await mount(tcp, true)
    const names = Array.from({ length: 40 }, (_, i) => `d${i}`), at = next()
    await p.walk(root, at)
    for (const name of names) {
      await p.mkdir(at, name)
      await p.walk(at, at, name)
    }
    const fid = next()
    assert.is((await p.walk(root, fid, ...names.slice(0, 16))).qids.length, 16)
    assert.is((await p.walk(fid, fid, ...names.slice(16, 32))).qids.length, 16)
    assert.is((await p.walk(fid, fid, ...names.slice(32))).qids.length, 8)
    assert.equal((await p.stat(fid)).qid, (await p.stat(at)).qid)
    // A later piece that fails: the fid is clunked, for it is one.
    const broken = next()
    await p.walk(root, broken, ...names.slice(0, 16))
    assert.is((await p.walk(broken, broken, ...names.slice(16, 20), 'missing')).qids.length, 4)
    await p.clunk(broken)
    await p.end()
  })

  on('9pfuse: lookup, create, mkdir, truncate, chmod, times, fsync, rename, readdir, unlink', async (stand) => {
    const { p, root, next } = await mount(stand.unix, false)
    /** A name becomes a node: Twalk and Tstat, and the fid is kept until the kernel forgets. */
    const lookup = async (dir: number, name: string) => {
      const fid = next()
      await p.walk(dir, fid, name)
      return { fid, stat: await dirfstat(p, fid) }
    }
    /** A clone, Tcreate, Tstat of what is open, and a walk for a fid that is not. */
    const create = async (dir: number, name: string, perm: number, mode: number) => {
      const open = next(), node = next()
      await p.walk(dir, open)
      await p.ok('Tcreate', { fid: open, name, perm, mode, extension: '' })
      const stat = await dirfstat(p, open)
      const { qids: [qid] } = await p.walk(dir, node, name)
      assert.equal([stat.name, stat.qid], [name, qid])
      return { open, node, stat }
    }
    const wstat = async (fid: number, fields: Partial<Stat>) => {
      await p.ok('Twstat', { fid, stat: { ...DONT_TOUCH, ...fields } })
      return dirfstat(p, fid)
    }
    assert.is((await dirfstat(p, root)).name, '/')
    assert.is(await p.refused('Twalk', { fid: root, newfid: next(), names: ['f'] }), 'ENOENT')

    // creat, write, close
    const f = await create(root, 'f', 0o644, OPEN.RDWR)
    assert.is(f.stat.mode, 0o644)
    assert.is(await p.write(f.open, 'hello world', 0), 11)
    assert.is((await dirfstat(p, f.node)).length, 11)
    // ftruncate on what is open, truncate by path, and to 0 by an open with OTRUNC
    assert.is((await wstat(f.open, { length: 5 })).length, 5)
    assert.is((await wstat(f.node, { length: 8 })).length, 8)
    assert.is(await p.read(f.open, 0, iosize), 'hello\0\0\0')
    const emptied = next()
    await p.walk(f.node, emptied)
    await p.open(emptied, OPEN.WRITE | OPEN.TRUNC)
    await p.clunk(emptied)
    assert.is((await dirfstat(p, f.node)).length, 0)
    // fsync of it; chmod; utimes
    await wstat(f.open, {})
    assert.is((await wstat(f.node, { mode: 0o600 })).mode, 0o600)
    const times = await wstat(f.node, { atime: 1_000_000_000, mtime: 1_100_000_000 })
    assert.equal([times.atime, times.mtime], [1_000_000_000, 1_100_000_000])
    await p.clunk(f.open)

    // mkdir, chmod and fsync of a directory
    const d = await create(root, 'd', DM.DIR + 0o755, OPEN.READ)
    assert.is(d.stat.mode, DM.DIR + 0o755)
    await p.clunk(d.open)
    assert.is((await wstat(d.node, { mode: DM.DIR + 0o700 })).mode, DM.DIR + 0o700)
    const opened = next()
    await p.walk(d.node, opened)
    await p.open(opened)
    await wstat(opened, {})
    assert.equal(await dirreadall(p, opened), [])
    await p.clunk(opened)

    // rename within a directory: lookup, a Twstat of the name alone. What was looked up before stays what it is.
    const again = await lookup(root, 'f')
    assert.is((await wstat(again.fid, { name: 'g' })).name, 'g')
    assert.is((await dirfstat(p, f.node)).name, 'g')
    assert.is(await p.refused('Twalk', { fid: root, newfid: next(), names: ['f'] }), 'ENOENT')

    // readdir: offsets that go on where the last ended, and from 0 again
    for (let i = 0; i < 200; i++) {
      const { open, node } = await create(d.node, `a file with a rather long name, number ${i}`, 0o644, OPEN.WRITE)
      await p.clunk(open, node)
    }
    const dir = next()
    await p.walk(d.node, dir)
    await p.open(dir)
    for (let round = 0; round < 2; round++) {
      const all = await dirreadall(p, dir)
      assert.is(new Set(all.map(({ name }) => name)).size, 200)
      assert.is(all.length, 200)
      for (const { qid } of all) assert.ok(qid.path < 2n ** 56n)
    }
    await p.clunk(dir)

    // access(2): opens and clunks
    for (const [node, mode] of [[f.node, OPEN.READ], [f.node, OPEN.WRITE], [f.node, OPEN.RDWR], [d.node, OPEN.READ]] as const) {
      const asked = next()
      await p.walk(node, asked)
      await p.open(asked, mode)
      await p.clunk(asked)
    }
    // unlink: lookup and Tremove; rmdir of what is not empty keeps its words for "not empty"
    const victim = await lookup(root, 'g')
    await p.ok('Tremove', { fid: victim.fid })
    const full = await lookup(root, 'd')
    assert.is((await p.call('Tremove', { fid: full.fid })).fields.ename, 'Directory not empty')
    await p.clunk(f.node, again.fid, d.node, root)
    await p.end()
  })
}
test.run()
