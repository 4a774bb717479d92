// What a Linux kernel says, word for word, from mount to umount (v9fs 6.x, cache=none, access=client).

import { Dt, NOFID, direntsOf } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Raw } from './raw.ts'
import { onDisk, onMemory, onSlow, Stand } from './stand.ts'
import type { Stack } from './stand.ts'

const test = suite('linux')
/** Somebody else, where files can have another owner than the server. */
const NONUNAME = 0xffffffff, uid = process.getuid!() || 1000, gid = process.getgid!() || 1000

for (const stack of [onMemory, onDisk, onSlow] as Stack[]) {
  test(`mount, ls, create, rm, mv, umount: ${stack.name}`, async () => {
    const stand = await Stand.start(stack)
    try {
      const k = await Raw.versioned(stand.tcp, 131096)
      assert.is(k.msize, 131096)
      await k.ok('Tattach', { fid: 0, afid: NOFID, uname: 'nobody', aname: '', nUname: NONUNAME }, 0)
      const root = await k.getattr(0, 0x17ff)

      // ls -l, by uid 1000
      await k.ok('Tattach', { fid: 1, afid: NOFID, uname: '', aname: '', nUname: uid }, 0)
      assert.equal((await k.getattr(1, 0x3fff)).qid, root.qid)
      await k.walk(1, 2)
      await k.open(2, 0x800)
      const first = direntsOf((await k.ok('Treaddir', { fid: 2, offset: 0n, count: 131072 })).data)
      assert.equal(first.map(({ name }) => name).sort(), ['.', '..', 'full', 'other', 'ro'])
      assert.ok(first.every(({ type }) => type === Dt.DIR))
      for (const { name } of first.slice(2)) {
        await k.walk(2, 3, name)
        await k.getattr(3, 0x17ff)
        for (const attribute of ['security.selinux', 'system.posix_acl_access', 'system.posix_acl_default']) assert.ok(['ENODATA', 'EOPNOTSUPP'].includes(await k.refused('Txattrwalk', { fid: 3, newfid: 4, name: attribute })))
        await k.clunk(3)
      }
      assert.is((await k.ok('Treaddir', { fid: 2, offset: first.at(-1)!.cookie, count: 131072 })).data.length, 0)
      await k.clunk(2)

      // echo hi > f
      assert.is(await k.refused('Twalk', { fid: 1, newfid: 3, names: ['f'] }), 'ENOENT')
      await k.walk(1, 3)
      await k.ok('Tlcreate', { fid: 3, name: 'f', flags: 0x8241 & 0x1fff, mode: 0o644, gid })
      const { qids: [made] } = await k.walk(1, 4, 'f')
      const attr = await k.getattr(4, 0x17ff)
      assert.equal([attr.mode, attr.qid, attr.nlink], [0o100644, made, 1])
      if (stand.owners) assert.is(attr.uid, uid)
      assert.ok(['ENODATA', 'EOPNOTSUPP'].includes(await k.refused('Txattrwalk', { fid: 4, newfid: 5, name: 'security.capability' })))
      assert.is(await k.write(3, 'hi\n'), 3)
      await k.clunk(3)

      // cat f; then truncation by open(O_TRUNC): Tlopen, and a Tsetattr on the open fid
      await k.walk(4, 3)
      await k.open(3, 0x8000)
      assert.is(await k.read(3, 0, 131072), 'hi\n')
      assert.is(await k.read(3, 3, 131069), '')
      await k.clunk(3)
      await k.walk(4, 3)
      await k.open(3, 1)
      await k.ok('Tsetattr', { fid: 3, valid: 0x68, mode: 0, uid: 0xffffffff, gid: 0xffffffff, size: 0, atime: { sec: 0, nsec: 0 }, mtime: { sec: 0, nsec: 0 } })
      assert.is((await k.getattr(4, 0x3fff)).size, 0)
      await k.clunk(3)

      // mkdir d; mv f d/b
      await k.ok('Tmkdir', { dfid: 1, name: 'd', mode: 0o40755, gid })
      await k.walk(1, 5, 'd')
      assert.is((await k.getattr(5, 0x17ff)).mode, 0o40755)
      await k.walk(1, 6)
      await k.walk(5, 7)
      await k.ok('Trenameat', { olddirfid: 6, oldname: 'f', newdirfid: 7, newname: 'b' })
      await k.clunk(6, 7)
      assert.is((await k.getattr(4, 0x3fff)).nlink, 1)

      // A partial walk, and the clunk of the fid that it did not make
      assert.is((await k.walk(1, 8, 'd', 'gone')).qids.length, 1)
      assert.is(await k.refused('Tclunk', { fid: 8 }), 'EBADF')

      // Unlinked while open; looked at by a clone of the open fid
      await k.walk(4, 9)
      await k.open(9, 2)
      await k.ok('Tunlinkat', { dirfid: 5, name: 'b', flags: 0 })
      await k.clunk(4)
      assert.is(await k.write(9, 'still'), 5)
      await k.walk(9, 10)
      assert.is((await k.getattr(9, 0x3fff)).nlink, 0)
      await k.clunk(10, 9)
      assert.is(await k.refused('Twalk', { fid: 5, newfid: 4, names: ['b'] }), 'ENOENT')
      await k.ok('Tunlinkat', { dirfid: 1, name: 'd', flags: 0x200 })

      // df, umount
      await k.ok('Tstatfs', { fid: 0 })
      await k.clunk(5, 1, 0)
      await k.end()
      if (stack === onSlow) await stand.control.idle(1)
      assert.equal([stand.control.violations, stand.log.bugs], [[], []])
    } finally { await stand.stop() }
  })
}

test.run()
