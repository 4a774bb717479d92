// The client's files: against a scripted peer, where the messages matter, and against servers, where the files do.

import { randomBytes } from 'node:crypto'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { AT_REMOVEDIR, Attrs, connect, direntSize, Dt, errnos, Lock, O, putDirent, QT, S, XATTR_CREATE, XATTR_REPLACE } from 'ninep'
import type { Client, Dialect, File } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { serve } from '../server/server.ts'
import { memory } from '../translators/memory/memory.ts'
import { diod } from './foreign.ts'
import type { Foreign } from './foreign.ts'
import { requires } from './needs.ts'
import { fails, talk, type Peer } from './scripted.ts'

const scripted = suite('file: messages')
const dirQid = { type: QT.DIR, version: 1, path: 1n }, fileQid = { type: 0, version: 1, path: 7n }

/** Attached, with a file opened on fid 1; iounit as given. */
async function opened({ iounit = 0, flags = O.RDWR as number, msize = 4096 + 24 } = {}): Promise<{ client: Client; peer: Peer; root: File; file: File }> {
  const { client, peer } = await talk({}, msize)
  const attaching = client.attach({ uname: 'me', aname: 'x', uid: 5 })
  const attach = await peer.next()
  assert.equal(attach.fields, { fid: 0, afid: 0xffffffff, uname: 'me', aname: 'x', nUname: 5 })
  peer.send('Rattach', attach.tag, { qid: dirQid })
  const root = await attaching
  const walking = root.walk('f')
  const walk = await peer.next()
  assert.equal(walk.fields, { fid: 0, newfid: 1, names: ['f'] })
  peer.send('Rwalk', walk.tag, { qids: [fileQid] })
  const file = await walking, opening = file.open(flags)
  const open = await peer.next()
  assert.equal([open.name, open.fields], ['Tlopen', { fid: 1, flags }])
  peer.send('Rlopen', open.tag, { qid: fileQid, iounit })
  return { client, peer, root, file: await opening }
}
/** Answers Treads of a file that holds `content`, at most `most` bytes each. */
async function answerReads(peer: Peer, content: Buffer, { most = Infinity } = {}): Promise<void> {
  for (;;) {
    const { name, tag, fields } = await peer.next()
    if (name === 'Tflush') peer.send('Rflush', tag, {})
    else peer.send('Rread', tag, { data: content.subarray(fields.offset, fields.offset + Math.min(fields.count, most)) })
  }
}

scripted('a read is split by msize, its parts on their way together, 16 at most', async () => {
  const { client, peer, file } = await opened()
  const content = randomBytes(4096 * 20 + 5)
  const reading = file.read(3, content.length - 3)
  const asked = []
  for (let i = 0; i < 16; i++) asked.push(await peer.next())
  assert.ok(await peer.quiet())
  assert.equal(asked.map(({ fields }) => fields), asked.map((_, i) => ({ fid: 1, offset: 3 + 4096 * i, count: 4096 })))
  for (const { tag, fields } of asked.reverse()) peer.send('Rread', tag, { data: content.subarray(fields.offset, fields.offset + fields.count) })
  answerReads(peer, content).catch(() => {})
  assert.ok(content.subarray(3).equals(await reading))
  await client.close()
})

for (const most of [1000, 4095, 4096]) {
  scripted(`reads that come short by ${4096 - most} bytes are gone on with, to the end of the file`, async () => {
    const { client, peer, file } = await opened()
    const content = randomBytes(4096 * 3 + 100)
    answerReads(peer, content, { most }).catch(() => {})
    assert.ok(content.equals(await file.read(0, 4096 * 6)))
    assert.ok(content.subarray(50, 50 + 4096 * 2).equals(await file.read(50, 4096 * 2)))
    assert.is((await file.read(content.length, 10)).length, 0)
    assert.is((await file.read(content.length + 9999, 4096 * 5)).length, 0)
    assert.is((await file.read(0, 0)).length, 0)
    const parts: Uint8Array[] = []
    for await (const part of file.stream(7)) parts.push(part)
    assert.ok(Buffer.concat(parts).equals(content.subarray(7)))
    parts.length = 0
    for await (const part of file.stream(7, { end: 5000 })) parts.push(part)
    assert.ok(Buffer.concat(parts).equals(content.subarray(7, 5000)))
    await client.close()
  })
}

scripted('iounit bounds a read and a write', async () => {
  const { client, peer, file } = await opened({ iounit: 1000 })
  const reading = file.read(0, 1500)
  for (const count of [1000, 500]) {
    const { tag, fields } = await peer.next()
    assert.is(fields.count, count)
    peer.send('Rread', tag, { data: Buffer.alloc(count) })
  }
  assert.is((await reading).length, 1500)
  await client.close()
})

scripted('a short write is gone on with; an empty one is an error, for it would never end', async () => {
  const { client, peer, file } = await opened()
  const content = randomBytes(4096 + 10), stored = Buffer.alloc(content.length)
  const writing = file.write(content, 5)
  for (let left = content.length; left > 0;) {
    const { tag, fields } = await peer.next()
    const data: Buffer = fields.data.subarray(0, 999)
    data.copy(stored, fields.offset - 5)
    left -= data.length
    peer.send('Rwrite', tag, { count: data.length })
  }
  assert.is(await writing, content.length)
  assert.ok(stored.equals(content))
  for (const count of [0, 4]) {
    const wrong = file.write(Buffer.alloc(3), 0)
    peer.send('Rwrite', (await peer.next()).tag, { count })
    await fails('EPROTO', new RegExp(`wrote ${count} of 3`), wrong)
  }
  await client.close()
})

scripted('appends go one after the other', async () => {
  const { client, peer, file } = await opened({ flags: O.WRONLY | O.APPEND })
  const writing = file.write(Buffer.alloc(4096 * 3), 0)
  for (let i = 0; i < 3; i++) {
    const { tag, fields } = await peer.next()
    assert.is(fields.offset, 4096 * i)
    assert.ok(await peer.quiet())
    peer.send('Rwrite', tag, { count: 4096 })
  }
  await writing
  await client.close()
})

scripted('a part that fails ends the whole, once no part is under way', async () => {
  const { client, peer, file } = await opened()
  const reading = file.read(0, 4096 * 3)
  let over = false
  reading.catch(() => {}).finally(() => { over = true })
  const asked = [await peer.next(), await peer.next(), await peer.next()]
  peer.send('Rlerror', asked[1]!.tag, { ecode: errnos.EIO })
  await sleep(10)
  assert.not(over, 'ended while memory of the caller was still lent')
  peer.send('Rread', asked[0]!.tag, { data: Buffer.alloc(4096) })
  peer.send('Rread', asked[2]!.tag, { data: Buffer.alloc(4096) })
  await fails('EIO', /read/, reading)
  await client.close()
})

scripted('an abort flushes every part', async () => {
  const { client, peer, file } = await opened()
  const controller = new AbortController()
  const reading = file.read(0, 4096 * 30, { signal: controller.signal })
  const tags = new Set<number>()
  for (let i = 0; i < 16; i++) tags.add((await peer.next()).tag)
  controller.abort(new Error('enough'))
  for (let i = 0; i < 16; i++) {
    const { name, tag, fields } = await peer.next()
    assert.is(name, 'Tflush')
    assert.ok(tags.delete(fields.oldtag))
    peer.send('Rflush', tag, {})
  }
  assert.is(await reading.then(() => '', (error: Error) => error.message), 'enough')
  assert.ok(await peer.quiet())
  await client.close()
})

scripted('a stream that is left flushes what it read ahead', async () => {
  const { client, peer, file } = await opened()
  const content = randomBytes(4096 * 100)
  let most = 0
  const served = (async () => {
    for (let left = 1; ;) {
      const { name, tag, fields } = await peer.next()
      if (name === 'Tread') most = Math.max(most, fields.offset)
      if (name === 'Tflush') peer.send('Rflush', tag, {})
      else if (left-- > 0) peer.send('Rread', tag, { data: content.subarray(fields.offset, fields.offset + fields.count) })
    }
  })()
  served.catch(() => {})
  for await (const part of file.stream()) {
    assert.ok(content.subarray(0, 4096).equals(part))
    break
  }
  assert.ok(most <= 4096 * 5, `read ahead to ${most}`)
  await client.close()
})

scripted('walks of more than 16 names go in pieces, and a later failure leaves no fid behind', async () => {
  const { client, peer, root } = await opened()
  const names = Array.from({ length: 40 }, (_, i) => `n${i}`)
  for (const [fail, last] of [[false, 8], [true, 3]] as const) {
    const walking = root.walk(...names)
    for (const [i, count] of [16, 16, 8].entries()) {
      const { tag, fields } = await peer.next()
      assert.equal(fields, { fid: i === 0 ? 0 : 2, newfid: 2, names: names.slice(16 * i, 16 * i + count) })
      peer.send('Rwalk', tag, { qids: Array.from({ length: i < 2 ? count : last }, () => dirQid) })
    }
    if (fail) {
      const clunk = await peer.next()
      assert.equal([clunk.name, clunk.fields], ['Tclunk', { fid: 2 }])
      peer.send('Rclunk', clunk.tag, {})
      await fails('ENOENT', /n0\/.*\/n35"$/, walking)
    } else {
      const clunking = (await walking).clunk()
      peer.send('Rclunk', (await peer.next()).tag, {})
      await clunking
    }
  }
  await client.close()
})

scripted('a fid is used again after Rclunk, and not before', async () => {
  const { client, peer, root, file } = await opened()
  const clunking = file.clunk()
  const clunk = await peer.next()
  const first = root.clone(), one = await peer.next()
  assert.is(one.fields.newfid, 2)
  peer.send('Rlerror', clunk.tag, { ecode: errnos.EIO })
  await fails('EIO', /clunk/, clunking)
  const second = root.clone(), two = await peer.next()
  assert.is(two.fields.newfid, 1)
  for (const { tag } of [one, two]) peer.send('Rwalk', tag, { qids: [] })
  assert.equal([(await first).fid, (await second).fid], [2, 1])
  await fails('EBADF', /after its clunk/, file.getattr())
  await file.clunk()
  assert.ok(await peer.quiet(), 'a second clunk was sent')
  await client.close()
})

scripted('a listing goes on from the last cookie, without dots unless asked', async () => {
  const { client, peer, root } = await opened()
  const entries = ['.', '..', 'a', 'b\udcff', 'c'].map((name, i) => {
    const bytes = Buffer.alloc(direntSize(3))
    return bytes.subarray(0, putDirent(bytes, 0, bytes.length, 0, 0, BigInt(i), BigInt(i * 10 + 10), Dt.REG, name))
  })
  for (const dots of [false, true]) {
    const listed = (async () => {
      const names: string[] = []
      for await (const { name } of root.readdir({ dots })) names.push(name)
      return names
    })()
    peer.send('Rwalk', (await peer.next()).tag, { qids: [] })
    peer.send('Rlopen', (await peer.next()).tag, { qid: dirQid, iounit: 0 })
    for (const [offset, from, to] of [[0n, 0, 3], [30n, 3, 5], [50n, 5, 5]] as const) {
      const { tag, fields } = await peer.next()
      assert.equal(fields, { fid: 2, offset, count: 4096 })
      peer.send('Rreaddir', tag, { data: Buffer.concat(entries.slice(from, to)) })
    }
    const { name, tag } = await peer.next()
    assert.is(name, 'Tclunk')
    peer.send('Rclunk', tag, {})
    assert.equal(await listed, [...dots ? ['.', '..'] : [], 'a', 'b\udcff', 'c'])
  }
  await client.close()
})

scripted('setattr says which fields it means', async () => {
  const { client, peer, file } = await opened()
  const time = { sec: -5, nsec: 7 }, zero = { sec: 0, nsec: 0 }
  for (const [attr, valid, fields] of [
    [{}, 0, {}],
    [{ mode: 0o600 }, 1, { mode: 0o600 }],
    [{ uid: 3, gid: 4 }, 6, { uid: 3, gid: 4 }],
    [{ size: 2 ** 40 }, 8, { size: 2 ** 40 }],
    [{ atime: 'now', mtime: time }, 0x130, { mtime: time }],
    [{ atime: time, mtime: 'now', ctime: 'now' }, 0xf0, { atime: time }],
  ] as const) {
    const setting = file.setattr(attr)
    const asked = await peer.next()
    assert.equal(asked.fields, { fid: 1, valid, mode: 0, uid: 0xffffffff, gid: 0xffffffff, size: 0, atime: zero, mtime: zero, ...fields })
    peer.send('Rsetattr', asked.tag, {})
    await setting
  }
  await client.close()
})

scripted('an offset or size below 0 is refused here', async () => {
  const { client, peer, file } = await opened()
  await fails('EINVAL', /offset of -1/, file.read(-1, 10))
  await fails('EINVAL', /offset of -1/, file.write(Buffer.alloc(10), -1))
  await fails('EINVAL', /offset of -1/, file.write(Buffer.alloc(100_000), -1))
  await fails('EINVAL', /size of -5/, file.setattr({ size: -5 }))
  assert.ok(await peer.quiet())
  await client.close()
})

scripted('an attribute that claims 4 GiB is not believed', async () => {
  const { client, peer, file } = await opened()
  const getting = file.getxattr('user.a')
  peer.send('Rxattrwalk', (await peer.next()).tag, { size: 2 ** 32 })
  const { name, tag } = await peer.next()
  assert.is(name, 'Tclunk')
  peer.send('Rclunk', tag, {})
  await fails('E2BIG', /user.a/, getting)
  await client.close()
})

scripted('of two errors, one of the work and one of the clunk behind it, the first is told', async () => {
  const { client, peer, file } = await opened()
  const refuse = async (ecode: number) => peer.send('Rlerror', (await peer.next()).tag, { ecode })
  const getting = file.getxattr('user.a')
  peer.send('Rxattrwalk', (await peer.next()).tag, { size: 5 })
  await refuse(errnos.EACCES)
  await refuse(errnos.EBADF)
  await fails('EACCES', /read/, getting)
  const removing = file.unlinkat('f', AT_REMOVEDIR)
  await refuse(errnos.EOPNOTSUPP)
  peer.send('Rwalk', (await peer.next()).tag, { qids: [{ type: 0, version: 0, path: 2n }] })
  await refuse(errnos.EIO)
  await fails('ENOTDIR', /unlinkat/, removing)
  await client.close()
})

scripted('an old server, without Trenameat and Tunlinkat, renames and removes all the same', async () => {
  const { client, peer, root } = await opened()
  const unsupported = async () => peer.send('Rlerror', (await peer.next()).tag, { ecode: errnos.EOPNOTSUPP })
  const expect = async (name: string, fields: object) => {
    const asked = await peer.next()
    assert.equal([asked.name, asked.fields], [name, fields])
    return asked.tag
  }
  const renaming = root.renameat('a', root, 'b')
  await unsupported()
  peer.send('Rwalk', await expect('Twalk', { fid: 0, newfid: 2, names: ['a'] }), { qids: [fileQid] })
  peer.send('Rrename', await expect('Trename', { fid: 2, dfid: 0, name: 'b' }), {})
  peer.send('Rclunk', await expect('Tclunk', { fid: 2 }), {})
  await renaming
  const removing = root.unlinkat('b')
  await unsupported()
  peer.send('Rwalk', await expect('Twalk', { fid: 0, newfid: 2, names: ['b'] }), { qids: [fileQid] })
  peer.send('Rremove', await expect('Tremove', { fid: 2 }), {})
  await removing
  const wrong = root.unlinkat('d')
  await unsupported()
  peer.send('Rwalk', await expect('Twalk', { fid: 0, newfid: 2, names: ['d'] }), { qids: [dirQid] })
  peer.send('Rclunk', await expect('Tclunk', { fid: 2 }), {})
  await fails('EISDIR', /unlinkat "d"/, wrong)
  await client.close()
})
scripted.run()

/** Where a suite's files are, and how it ends. */
interface Place { readonly client: Client; readonly root: File; stop(): Promise<void> }

async function ours(url: string, dialect: Dialect = '9P2000.L'): Promise<Place> {
  const server = await serve({ listen: [url], namespace: new Map([['/', await memory({})]]) })
  const client = await connect(server.urls[0]!, { dialect })
  return {
    client, root: await client.attach({ uname: userInfo().username }),
    async stop() {
      await client.close()
      await server.stop()
    },
  }
}
async function theirs(starting: Promise<Foreign>): Promise<Place> {
  const { url, aname, stop } = await starting
  const client = await connect(url)
  return {
    client, root: await client.attach({ aname, uid: process.getuid!() }),
    async stop() {
      await client.close()
      await stop()
    },
  }
}

const socket = join(tmpdir(), `ninep-${process.pid}.sock`)
/** linux: it speaks .L, and has words for all that a File does. plan9: it speaks 9P2000, and knows files and directories. */
for (const [what, start, { nine, linux, plan9, needs }] of [
  ['ninefold by unix', () => ours(`unix:${socket}`), { nine: true, linux: true, plan9: false, needs: [] }],
  ['ninefold by tcp', () => ours('tcp://127.0.0.1:0'), { nine: true, linux: true, plan9: false, needs: [] }],
  ['ninefold in 9P2000.u', () => ours(`unix:${socket}`, '9P2000.u'), { nine: false, linux: false, plan9: false, needs: [] }],
  ['ninefold in 9P2000', () => ours(`unix:${socket}`, '9P2000'), { nine: false, linux: false, plan9: true, needs: [] }],
  ['diod', () => theirs(diod()), { nine: false, linux: true, plan9: false, needs: ['diod'] }],
] as const) {
  const test = suite(`file: ${what}`)
  const declare = requires(test, ...needs)
  let place: Place, client: Client, root: File
  declare('connects, and agrees on a size', async () => {
    place = await start();
    ({ client, root } = place)
    assert.ok(client.msize >= 65536 && client.msize <= 1048600)
    assert.is(root.qid.type, QT.DIR)
  })

  declare('whole files of many sizes, there and back', async () => {
    await using file = await root.create('big', O.RDWR, 0o644)
    for (const size of [0, 1, client.msize - 25, client.msize - 24, client.msize - 23, 5_000_001]) {
      const content = randomBytes(size)
      await file.setattr({ size: 0 })
      assert.is(await file.write(content, 0), size)
      assert.ok(content.equals(await file.read(0, size + 100)))
      assert.ok(content.subarray(size >> 1).equals(await file.read(size >> 1, size)))
      const parts: Uint8Array[] = []
      for await (const part of file.stream(0)) parts.push(part)
      assert.ok(Buffer.concat(parts).equals(content))
      assert.is((await file.getattr()).size, size)
    }
  })

  declare('writes at many places at once', async () => {
    await using file = await root.create('places', O.RDWR, 0o644)
    const content = randomBytes(300 * 1000)
    const turns = Array.from({ length: 300 }, (_, i) => (i * 77) % 300)
    await Promise.all(turns.map((i) => file.write(content.subarray(i * 1000, i * 1000 + 1000), i * 1000)))
    const parts = await Promise.all(turns.map(async (i) => [i, await file.read(i * 1000, 1000)] as const))
    for (const [i, part] of parts) assert.ok(content.subarray(i * 1000, i * 1000 + 1000).equals(part))
  })

  declare('a large append keeps its order', async () => {
    await using file = await root.create('log', O.RDWR | O.APPEND, 0o644)
    const content = randomBytes(1_000_000)
    await file.write(content.subarray(0, 400_000), 0)
    await file.write(content.subarray(400_000), 0)
    assert.ok(content.equals(await file.read(0, 2_000_000)))
  })

  declare('a directory of 1000 names, listed whole, and while it is emptied', async () => {
    await root.mkdir('many', 0o755)
    await using dir = await root.walk('many')
    const names = Array.from({ length: 1000 }, (_, i) => `entry-${i}-${'x'.repeat(i % 200)}`)
    await Promise.all(names.map(async (name) => (await dir.create(name, O.WRONLY, 0o600)).clunk()))
    const listed: string[] = []
    for await (const { name, type } of dir.readdir()) {
      assert.ok(type === Dt.REG || type === Dt.UNKNOWN)
      listed.push(name)
    }
    assert.equal(listed.sort(), names.sort())
    let left = 1000
    for await (const { name } of dir.readdir()) {
      await dir.unlinkat(name)
      left--
    }
    assert.is(left, 0)
    await root.unlinkat('many', AT_REMOVEDIR)
    await fails('ENOENT', /walk "many"/, root.walk('many'))
  })

  declare('names that are not UTF-8', async () => {
    const odd = 'caf\udce9 \u{1f600}\udcff'
    await (await root.create(odd, O.WRONLY, 0o600)).clunk()
    const listed: string[] = []
    for await (const { name } of root.readdir()) listed.push(name)
    assert.ok(listed.includes(odd))
    await (await root.walk(odd)).clunk()
    await root.renameat(odd, root, '\udc80')
    await root.unlinkat('\udc80')
  })

  declare('trees deeper than a walk', async () => {
    const names = Array.from({ length: 40 }, (_, i) => `d${i}`)
    let dir = await root.clone()
    for (const name of names) {
      await dir.mkdir(name, 0o755)
      const next = await dir.walk(name)
      await dir.clunk()
      dir = next
    }
    await dir.clunk()
    await using deep = await root.walk(...names)
    assert.is((await deep.getattr()).qid.path, deep.qid.path)
    await fails('ENOENT', /d39\/no"$/, root.walk(...names, 'no'))
    await fails('ENOENT', /d20\/no"$/, root.walk(...names.slice(0, 21), 'no', 'more'))
  })

  declare('renames and refusals', async () => {
    await (await root.create('a', O.WRONLY, 0o644)).clunk()
    await root.renameat('a', root, 'b')
    await using file = await root.walk('b')
    await file.rename(root, 'c')
    await fails('ENOENT', /walk "b"/, root.walk('b'))
    await root.mkdir('apart', 0o755)
    await fails('EEXIST', /"apart"/, root.mkdir('apart', 0o755))
    await fails('EEXIST', /create "c"/, root.create('c', O.RDWR | O.EXCL, 0o600))
    await fails('EISDIR', /"apart"/, root.unlinkat('apart'))
    await fails('ENOTDIR', /"c"/, root.unlinkat('c', AT_REMOVEDIR))
    await fails('ENOTDIR', /walk "c\/x"/, root.walk('c', 'x'))
    await using apart = await root.walk('apart')
    if (linux) await root.renameat('c', apart, 'd')
    else {
      await fails('EXDEV', /rename "c"/, root.renameat('c', apart, 'd'))
      await fails('EXDEV', /rename "d"/, file.rename(apart, 'd'))
      await (await apart.create('d', O.WRONLY, 0o644)).clunk()
    }
    await fails('ENOTEMPTY', /unlinkat|remove/, root.unlinkat('apart', AT_REMOVEDIR))
    await (await apart.walk('d')).remove()
    await root.unlinkat('apart', AT_REMOVEDIR)
    await fails('ENOENT', /walk "apart"/, root.walk('apart'))
  })

  if (plan9) declare('links and special files are none of its words', async () => {
    for (const trying of [() => root.symlink('l', 't'), () => root.mknod('p', S.IFIFO | 0o600), async () => root.link(await root.walk('c'), 'l'), () => root.statfs(), () => root.listxattr()]) {
      await fails('EOPNOTSUPP', /./, trying())
    }
  })
  else declare('symlink, readlink, mknod', async () => {
    await root.symlink('link', 'a/../b')
    await using link = await root.walk('link')
    assert.is(await link.readlink(), 'a/../b')
    assert.is((await link.getattr()).mode & S.IFMT, S.IFLNK)
    await root.mknod('fifo', S.IFIFO | 0o600)
    await using fifo = await root.walk('fifo')
    assert.is((await fifo.getattr()).mode & S.IFMT, S.IFIFO)
    await fifo.rename(root, 'pipe')
    await (await root.walk('pipe')).remove()
    await fails('ENOENT', /walk "pipe"/, root.walk('pipe'))
    await root.mkdir('dir', 0o755)
    await fails('EEXIST', /create "link"/, root.create('link', O.RDWR | O.EXCL, 0o600))
    await fails('ENOTDIR', /walk "link\/x"/, root.walk('link', 'x'))
    if (!linux) return
    await using dir = await root.walk('dir')
    await root.renameat('link', dir, 'moved')
    assert.is(await (await root.walk('dir', 'moved')).readlink(), 'a/../b')
  })

  declare('attributes, statfs, fsync', async () => {
    await using file = await root.create('attr', O.RDWR, 0o644)
    await file.setattr({ mode: 0o600, size: 12345, mtime: { sec: 1e9, nsec: 123456789 }, atime: 'now' })
    const attr = await file.getattr()
    assert.equal([attr.mode, attr.size, attr.mtime], [S.IFREG | 0o600, 12345, { sec: 1e9, nsec: linux ? 123456789 : 0 }])
    assert.ok(Math.abs(attr.atime.sec - Date.now() / 1000) < 60)
    await file.fsync()
    await file.fsync(true)
    if (plan9) return assert.is(attr.names!.uid, userInfo().username)
    assert.equal([attr.uid, attr.nlink], [process.getuid!(), 1])
    if (!linux) return
    assert.is(attr.valid & Attrs.BASIC, Attrs.BASIC)
    await file.setattr({ mtime: { sec: -1, nsec: 5 } })
    assert.equal((await file.getattr()).mtime, { sec: -1, nsec: 5 })
    const { bsize, namelen } = await root.statfs()
    assert.ok(bsize > 0 && namelen === 255)
  })

  if (nine) declare('hard links and extended attributes', async () => {
    await using file = await root.create('x', O.RDWR, 0o644)
    await root.link(file, 'y')
    assert.is((await file.getattr()).nlink, 2)
    await fails('ENODATA', /user.a/, file.getxattr('user.a'))
    await file.setxattr('user.a', Buffer.from('one'), XATTR_CREATE)
    await fails('EEXIST', /./, file.setxattr('user.a', Buffer.from('two'), XATTR_CREATE))
    await fails('ENODATA', /./, file.setxattr('user.b', Buffer.from('two'), XATTR_REPLACE))
    await file.setxattr('user.b', randomBytes(60_000))
    assert.is(Buffer.from(await file.getxattr('user.a')).toString(), 'one')
    assert.is((await file.getxattr('user.b')).length, 60_000)
    assert.equal((await file.listxattr()).sort(), ['user.a', 'user.b'])
    await file.setxattr('user.a', new Uint8Array(0))
    assert.is((await file.getxattr('user.a')).length, 0)
    await file.removexattr('user.a')
    assert.equal(await file.listxattr(), ['user.b'])
  })

  if (nine) declare('locks: a wait that is granted, and one that is aborted', async () => {
    const want = { type: Lock.WRLCK, flags: Lock.BLOCK, start: 0n, length: 0n, clientId: 'test' }
    await using one = await root.create('lock', O.RDWR, 0o644)
    await using two = await (await root.walk('lock')).open(O.RDWR)
    assert.is(await one.lock({ ...want, procId: 1 }), Lock.SUCCESS)
    assert.is(await two.lock({ ...want, flags: 0, procId: 2 }), Lock.BLOCKED)
    assert.is((await two.getlock({ ...want, flags: 0, procId: 2 })).procId, 1)
    const controller = new AbortController()
    const aborted = two.lock({ ...want, procId: 2 }, { signal: controller.signal }).then(String, (error: Error) => error.message)
    const granted = two.lock({ ...want, procId: 3 })
    await sleep(20)
    controller.abort(new Error('enough'))
    assert.is(await aborted, 'enough')
    await one.lock({ ...want, type: Lock.UNLCK, procId: 1 })
    assert.is(await granted, Lock.SUCCESS)
    assert.is((await one.getlock({ ...want, flags: 0, procId: 1 })).procId, 3)
  })

  declare('64 requests at a time, a thousand each', async () => {
    await Promise.all(Array.from({ length: 64 }, async () => {
      for (let i = 0; i < 100; i++) {
        await using file = await root.clone()
        assert.is((await file.getattr()).qid.path, root.qid.path)
      }
    }))
  })

  declare('a disposed client and its files', async () => {
    const file = await root.clone()
    await client[Symbol.asyncDispose]()
    await file[Symbol.asyncDispose]()
    await fails('ECONNRESET', /client was closed/, root.getattr())
    await place.stop()
  })
  test.run()
}
