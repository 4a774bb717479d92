// C98-C104: extended attributes.

import * as assert from 'uvu/assert'
import { frame } from '../raw.ts'
import { c as point } from '../stand.ts'
import type { Bench } from '../stand.ts'
import { among, file, getXattr, setXattr } from './common.ts'

/** A case where the file system has attributes; elsewhere the answer is EOPNOTSUPP and nothing else. */
function c(number: number, title: string, run: (t: Bench) => Promise<void>) {
  return point(number, title, async (t) => {
    if (t.stand.xattrs) return run(t)
    among(await setXattr(t.raw, '', 'user.a', Buffer.from('x')), 'EOPNOTSUPP')
    among(await t.raw.refused('Txattrwalk', { fid: 0, newfid: 1, name: 'user.a' }), 'EOPNOTSUPP', 'ENODATA')
  })
}

export const xattrs = [
  c(98, 'a missing attribute is ENODATA, and makes no fid; a name of no namespace is EOPNOTSUPP', async (t) => {
    const { raw } = t
    await file(t, 'f')
    await raw.walk(0, 1, 'f')
    for (const name of ['user.none', 'security.capability', 'security.selinux', 'system.posix_acl_access']) {
      among(await raw.refused('Txattrwalk', { fid: 1, newfid: 2, name }), 'ENODATA', ...name.startsWith('user.') ? [] : ['EOPNOTSUPP'])
      assert.is(await raw.refused('Tclunk', { fid: 2 }), 'EBADF')
    }
    for (const name of ['nothing', 'system.other', 'own.thing']) assert.is(await raw.refused('Txattrwalk', { fid: 1, newfid: 2, name }), 'EOPNOTSUPP', name)
    await raw.walk(0, 2)
    await setXattr(raw, 'f', 'user.a', Buffer.from('v'))
    assert.is(await raw.refused('Txattrwalk', { fid: 1, newfid: 2, name: 'user.a' }), 'EBADF')
    among(await raw.refused('Txattrwalk', { fid: 1, newfid: 1, name: 'user.a' }), 'EINVAL', 'EBADF')
    await raw.getattr(1)
  }),
  c(99, 'the list: as long as said, a NUL behind each name', async (t) => {
    const { raw } = t
    await file(t, 'f')
    assert.is(await getXattr(raw, 'f', ''), '')
    await raw.walk(0, 1, 'f')
    assert.equal(await raw.ok('Txattrwalk', { fid: 1, newfid: 2, name: '' }), { size: 0 })
    assert.is(await raw.read(2), '')
    await raw.clunk(2)
    for (const name of ['user.b', 'user.a', 'user.\u00e4']) assert.is(await setXattr(raw, 'f', name, Buffer.from('v')), 'ok')
    const list = Buffer.from(await getXattr(raw, 'f', ''), 'latin1').toString()
    assert.ok(list.endsWith('\0'))
    assert.equal(list.slice(0, -1).split('\0').sort(), ['user.a', 'user.b', 'user.\u00e4'])
  }),
  c(100, 'a value is read in any pieces, and not written', async (t) => {
    const { raw } = t
    await file(t, 'f')
    await setXattr(raw, 'f', 'user.a', Buffer.from('value'))
    await raw.walk(0, 1, 'f')
    assert.equal(await raw.ok('Txattrwalk', { fid: 1, newfid: 2, name: 'user.a' }), { size: 5 })
    let text = ''
    for (let i = 0; i < 5; i++) text += await raw.read(2, i, 1)
    assert.is(text, 'value')
    assert.is(await raw.read(2, 3, 1000), 'ue')
    for (const offset of [5, 6, 2 ** 40, 2 ** 53]) assert.is(await raw.read(2, offset, 10), '')
    assert.is(await raw.read(2, 0, 0xffffffff), 'value')
    among(await raw.refused('Twrite', { fid: 2, offset: 0, data: Buffer.from('x') }), 'EBADF', 'EINVAL')
    // It is the value of that moment, and outlives the fid it came from.
    await setXattr(raw, 'f', 'user.a', Buffer.from('other'))
    await raw.clunk(1)
    assert.is(await raw.read(2), 'value')
    await raw.clunk(2)
  }),
  c(101, 'a value is written in two pieces, and stands when its fid was clunked', async (t) => {
    const { raw } = t
    await file(t, 'f')
    await raw.walk(0, 1, 'f')
    await raw.ok('Txattrcreate', { fid: 1, name: 'user.a', attrSize: 10, flags: 0 })
    assert.is(await raw.write(1, 'first'), 5)
    assert.is(await raw.write(1, 'other', 5), 5)
    assert.is(await getXattr(raw, 'f', 'user.a'), 'errno 61')
    await raw.clunk(1)
    assert.is(await getXattr(raw, 'f', 'user.a'), 'firstother')
    // The next request may stand right behind the clunk.
    for (let i = 0; i < 10; i++) {
      await raw.walk(0, 1, 'f')
      raw.bytes(frame('Txattrcreate', 60001, { fid: 1, name: 'user.b', attrSize: 1, flags: 0 }), frame('Twrite', 60002, { fid: 1, offset: 0, data: Buffer.from(String(i)) }), frame('Tclunk', 60003, { fid: 1 }))
      for (const tag of [60001, 60002, 60003]) assert.is.not((await raw.reply(tag)).name, 'Rlerror')
      assert.is(await getXattr(raw, 'f', 'user.b'), String(i))
    }
    // A directory has attributes too.
    assert.is(await setXattr(raw, '', 'user.d', Buffer.from('dir')), 'ok')
    assert.is(await getXattr(raw, '', 'user.d'), 'dir')
  }),
  c(102, 'less than announced sets nothing, more is refused; the fid is free', async (t) => {
    const { raw } = t
    await file(t, 'f')
    await setXattr(raw, 'f', 'user.a', Buffer.from('old'))
    for (const pieces of [[], [[0, 'sho']], [[9, 'x']], [[0, 'abc'], [9, 'x']]] as const) {
      await raw.walk(0, 1, 'f')
      await raw.ok('Txattrcreate', { fid: 1, name: 'user.a', attrSize: 10, flags: 0 })
      for (const [offset, text] of pieces) await raw.write(1, text, offset)
      assert.is(await raw.refused('Tclunk', { fid: 1 }), 'EINVAL')
      assert.is(await raw.refused('Tclunk', { fid: 1 }), 'EBADF')
      assert.is(await getXattr(raw, 'f', 'user.a'), 'old')
    }
    await raw.walk(0, 1, 'f')
    await raw.ok('Txattrcreate', { fid: 1, name: 'user.a', attrSize: 3, flags: 0 })
    for (const [offset, text] of [[0, 'four'], [3, 'x'], [2, 'xx'], [2 ** 40, 'x'], [2 ** 53, 'x']] as const) {
      among(await raw.refused('Twrite', { fid: 1, offset, data: Buffer.from(text) }), 'ENOSPC', 'EINVAL')
    }
    const huge = frame('Twrite', 60001, { fid: 1, offset: 0, data: Buffer.from('xx') })
    huge.writeBigUInt64LE(2n ** 64n - 1n, 11)
    raw.bytes(huge)
    assert.is((await raw.reply(60001)).name, 'Rlerror')
    among(await raw.refused('Tread', { fid: 1, offset: 0, count: 3 }), 'EBADF', 'EINVAL')
    await raw.write(1, 'new')
    await raw.clunk(1)
    assert.is(await getXattr(raw, 'f', 'user.a'), 'new')
  }),
  c(103, 'CREATE and REPLACE; size 0 with REPLACE removes, and without sets the empty value', async (t) => {
    const { raw } = t, value = Buffer.from('v')
    await file(t, 'f')
    assert.is(await setXattr(raw, 'f', 'user.a', value, 2), 'ENODATA')
    assert.is(await setXattr(raw, 'f', 'user.a', value, 1), 'ok')
    assert.is(await setXattr(raw, 'f', 'user.a', value, 1), 'EEXIST')
    assert.is(await setXattr(raw, 'f', 'user.a', Buffer.from('w'), 2), 'ok')
    assert.is(await getXattr(raw, 'f', 'user.a'), 'w')
    for (const flags of [4, 8, 0x80000000]) assert.is(await setXattr(raw, 'f', 'user.a', value, flags), 'EINVAL')
    assert.is(await setXattr(raw, 'f', 'user.a', Buffer.alloc(0), 0), 'ok')
    assert.is(await getXattr(raw, 'f', 'user.a'), '')
    assert.is(await setXattr(raw, 'f', 'user.a', Buffer.alloc(0), 2), 'ok')
    assert.is(await getXattr(raw, 'f', 'user.a'), 'errno 61')
    assert.is(await setXattr(raw, 'f', 'user.a', Buffer.alloc(0), 2), 'ENODATA')
    assert.is(await setXattr(raw, 'f', 'user.b', Buffer.alloc(0), 1), 'ok')
    assert.is(await setXattr(raw, 'f', 'user.b', Buffer.alloc(0), 1), 'EEXIST')
  }),
  c(104, 'a size of 2^40 is E2BIG, and takes no memory; nor does what is announced and never written', async (t) => {
    const { raw } = t
    await file(t, 'f')
    for (const attrSize of [2 ** 40, 65537, 2 ** 53, 2 ** 63]) {
      await raw.walk(0, 1, 'f')
      among(await raw.refused('Txattrcreate', { fid: 1, name: 'user.a', attrSize, flags: 0 }), 'E2BIG', 'ENOSPC')
      await raw.getattr(1)
      await raw.clunk(1)
    }
    const before = process.memoryUsage().arrayBuffers
    for (let fid = 1; fid <= 64; fid++) {
      await raw.walk(0, fid, 'f')
      await raw.ok('Txattrcreate', { fid, name: 'user.a', attrSize: 65536, flags: 0 })
    }
    assert.ok(process.memoryUsage().arrayBuffers - before < 2 ** 21)
    await raw.walk(0, 65, 'f')
    assert.is(await raw.refused('Txattrcreate', { fid: 65, name: 'user.a', attrSize: 1, flags: 0 }), 'ENOBUFS')
    // What one fid gives back, another may have.
    assert.is(await raw.refused('Tclunk', { fid: 1 }), 'EINVAL')
    await raw.ok('Txattrcreate', { fid: 65, name: 'user.a', attrSize: 65536, flags: 0 })
    among(await raw.refused('Tlopen', { fid: 65, flags: 0 }), 'EBADF', 'EINVAL')
    await raw.create(0, 70, 'g')
    assert.is(await raw.refused('Txattrcreate', { fid: 70, name: 'user.a', attrSize: 1, flags: 0 }), 'EINVAL', 'on a fid that is open')
  }),
]
