// What a Linux kernel says on a mount with version=9p2000.u or version=9p2000, from mount to umount (v9fs 6.x, cache=none).

import { DM, DONT_TOUCH, NOFID, OPEN } from 'ninep'
import type { UnixStat } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseStack } from '../../server/stack.ts'
import { Meters } from '../../translators/meter.ts'
import { olds } from './plan9/common.ts'
import { me, Plan9 } from './plan9/client.ts'
import { onDisk, onMemory, onSlow, serving, Stand } from './stand.ts'
import type { Stack } from './stand.ts'

const NONUNAME = 0xffffffff, uid = process.getuid!()

const test = suite('linux, before .L')
for (const stack of [onMemory, onDisk, onSlow] as readonly Stack[]) {
  for (const dialect of olds) {
    test(`mount, ls, create, mv, chmod, truncate, rm, umount with ${dialect}: ${stack.name}`, async () => {
      const stand = await Stand.start(stack)
      try {
        const k = await Plan9.versioned(stand.tcp, dialect, 131096), { unix } = k
        // One attach as 9P2000 has it: all users are who mounts. In .u one more for each user, without a name.
        const uname = unix ? 'nobody' : me
        await k.ok('Tattach', { fid: 0, afid: NOFID, uname, aname: '', nUname: NONUNAME }, 0)
        assert.is((await k.stat(0)).name, '/')
        if (unix) await k.ok('Tattach', { fid: 1, afid: NOFID, uname: '', aname: '', nUname: uid }, 0)
        else await k.walk(0, 1)
        const wstat = (fid: number, fields: Partial<UnixStat>) => k.ok('Twstat', { fid, stat: { ...DONT_TOUCH, ...fields } })

        // ls -l: Treads that fill one buffer, each for what is left of it, until one gets nothing
        await k.walk(1, 2)
        await k.open(2)
        let offset = 0
        for (;;) {
          const data = await k.data(2, offset, k.msize - 24 - offset)
          if (data.length === 0) break
          offset += data.length
        }
        assert.ok(offset > 0)
        assert.is((await k.data(2, offset, k.msize - 24)).length, 0)
        await k.clunk(2)

        // echo hi > f: the name, a clone of the directory, Tcreate, the name again, Tstat
        assert.is(await k.refused('Twalk', { fid: 1, newfid: 3, names: ['f'] }), 'ENOENT')
        await k.walk(1, 3)
        await k.ok('Tcreate', { fid: 3, name: 'f', perm: 0o644, mode: OPEN.WRITE | OPEN.TRUNC, extension: '' })
        await k.walk(1, 4, 'f')
        const made = await k.stat(4)
        assert.equal([made.name, made.mode], ['f', 0o644])
        if (unix) assert.is(made.nUid, uid)
        assert.is(await k.write(3, 'hi\n'), 3)
        await k.clunk(3)

        // echo more >> f
        await k.walk(4, 3)
        await k.open(3, unix ? OPEN.WRITE | OPEN.APPEND : OPEN.WRITE)
        assert.is(await k.write(3, 'more\n', 3), 5)
        await k.clunk(3)
        await k.walk(4, 3)
        await k.open(3)
        assert.is(await k.read(3, 0, 131072), 'hi\nmore\n')
        assert.is(await k.read(3, 8, 131064), '')
        await k.clunk(3)

        // mkdir d; chmod 700 d; chmod 600 f; touch -d f; truncate; fsync
        await k.walk(1, 3)
        await k.ok('Tcreate', { fid: 3, name: 'd', perm: DM.DIR + 0o755, mode: OPEN.READ, extension: '' })
        await k.clunk(3)
        await k.walk(1, 5, 'd')
        assert.is((await k.stat(5)).mode, DM.DIR + 0o755)
        await wstat(5, { mode: DM.DIR + 0o700 })
        await wstat(4, { mode: 0o600 })
        await wstat(4, { atime: 1e9, mtime: 1.1e9 })
        const touched = await k.stat(4)
        assert.equal([touched.mode, touched.atime, touched.mtime, (await k.stat(5)).mode], [0o600, 1e9, 1.1e9, DM.DIR + 0o700])
        await k.walk(4, 3)
        await k.open(3, OPEN.RDWR)
        await wstat(3, { length: 2 })
        await wstat(3, {})
        assert.equal([(await k.stat(4)).length, await k.read(3)], [2, 'hi'])

        // mv f g, while it is open: a clone, and a Twstat with the name and muid
        await k.walk(4, 6)
        await wstat(6, { name: 'g', muid: uname })
        await k.clunk(6)
        assert.equal([(await k.stat(4)).name, await k.read(3)], ['g', 'hi'])
        assert.is(await k.refused('Twalk', { fid: 1, newfid: 6, names: ['f'] }), 'ENOENT')

        // rm g, while it is open: a clone, and Tremove
        await k.walk(4, 6)
        await k.ok('Tremove', { fid: 6 })
        await k.clunk(4)
        assert.equal([await k.write(3, 'still', 0), (await k.stat(3)).length], [5, 5])
        await k.clunk(3)
        await k.walk(5, 6)
        await k.ok('Tremove', { fid: 6 })
        await k.clunk(5)
        // umount
        await k.clunk(1, 0)
        await k.end()
        if (stack === onSlow) await stand.control.idle(1)
        assert.equal([stand.control.violations, stand.log.bugs], [[], []])
      } finally { await stand.stop() }
    })
  }

  test(`ln -s, readlink, ln, mknod, chown with 9P2000.u: ${stack.name}`, async () => {
    const stand = await Stand.start(stack)
    try {
      const k = await Plan9.versioned(stand.tcp, '9P2000.u', 131096)
      await k.ok('Tattach', { fid: 0, afid: NOFID, uname: 'nobody', aname: '', nUname: NONUNAME }, 0)
      await k.ok('Tattach', { fid: 1, afid: NOFID, uname: '', aname: '', nUname: uid }, 0)
      /** A clone of the directory, Tcreate for reading, Twalk to it and its stat; the clone is clunked, whatever it has become. */
      const special = async (fid: number, name: string, perm: number, extension: string) => {
        await k.walk(1, 20)
        await k.ok('Tcreate', { fid: 20, name, perm, mode: OPEN.READ, extension })
        if (!(perm & DM.LINK)) {
          await k.walk(1, fid, name)
          await k.stat(fid)
        }
        await k.clunk(20)
      }
      await special(2, 'f', 0o644, '')
      await special(3, 'l', DM.SYMLINK, 'f')
      assert.equal([(await k.stat(3)).extension, (await k.stat(3)).mode & DM.SYMLINK, (await k.stat(3)).qid.type], ['f', DM.SYMLINK, 0x02])
      await k.walk(2, 4)
      await special(5, 'h', DM.LINK, '4\n')
      await k.clunk(4)
      assert.is((await k.walk(1, 5, 'h')).qids[0]!.path, (await k.stat(2)).qid.path)
      await special(6, 'p', DM.NAMEDPIPE + 0o600, '')
      await special(7, 's', DM.SOCKET + 0o600, '')
      assert.equal([(await k.stat(6)).mode, (await k.stat(7)).mode], [DM.NAMEDPIPE + 0o600, DM.SOCKET + 0o600])
      if (stand.owners) {
        await k.ok('Twstat', { fid: 2, stat: { ...DONT_TOUCH, nUid: 1000, nGid: 1001 } })
        assert.equal([(await k.stat(5)).nUid, (await k.stat(5)).nGid], [1000, 1001])
      }
      for (const fid of [2, 3, 5, 6, 7]) await k.ok('Tremove', { fid })
      await k.clunk(1, 0)
      await k.end()
      if (stack === onSlow) await stand.control.idle(1)
      assert.equal([stand.control.violations, stand.log.bugs], [[], []])
    } finally { await stand.stop() }
  })
}
for (const dialect of olds) test(`the name of a directory that was come to by .. is looked for once, and again when it has another, with ${dialect}`, async () => {
  const meters = new Meters()
  await serving({ namespace: new Map([['/', parseStack('memory')]]), meters }, async ({ urls, mounts }, raw) => {
    const p = await Plan9.versioned(urls[0]!, dialect), listings = () => [...mounts.state('/').layers[0]!.meter!].find(({ op }) => op === 'readdir')?.calls ?? 0
    await p.attach(0)
    for (let i = 0; i < 100; i++) await raw.mkdir(0, `d${i}`)
    await raw.walk(0, 1, 'd50')
    await raw.mkdir(1, 'below')
    const name = async () => {
      await p.walk(0, 1, 'd50', 'below')
      await p.walk(1, 2, '..')
      await p.clunk(1)
      const { name } = await p.stat(2)
      await p.clunk(2)
      return name
    }
    await raw.clunk(1)
    assert.is(await name(), 'd50')
    const before = listings()
    assert.ok(before > 0)
    for (let i = 0; i < 20; i++) assert.is(await name(), 'd50')
    assert.is(listings(), before)
    // another has the name now
    await raw.ok('Trenameat', { olddirfid: 0, oldname: 'd50', newdirfid: 0, newname: 'moved' })
    await raw.mkdir(0, 'd50')
    await p.walk(0, 1, 'moved', 'below')
    await p.walk(1, 2, '..')
    assert.is((await p.stat(2)).name, 'moved')
    assert.ok(listings() > before)
    await p.end()
  })
})
test.run()
