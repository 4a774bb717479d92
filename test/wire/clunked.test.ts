// A fid that is clunked while requests are at work on it: what they look about from stays until they are done, and nothing is
// opened for who is gone.

import { DONT_TOUCH } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Plan9 } from './plan9/client.ts'
import type { Old } from './plan9/client.ts'
import { frameOf, Raw } from './raw.ts'
import { onSlow, Stand } from './stand.ts'

const test = suite('clunked meanwhile')

interface Stage { readonly stand: Stand; readonly raw: Raw; readonly p: Plan9; send(name: string, tag: number, fields: object): void }
/** A directory d with a file f in it, and below that s with a link l to it; then what the case does, by a client that has fid 0 attached. */
function staged(dialect: Old, title: string, run: (stage: Stage) => Promise<void>): void {
  test(`${dialect}: ${title}`, async () => {
    const stand = await Stand.start(onSlow)
    try {
      const raw = await Raw.versioned(stand.unix)
      await raw.attach(0)
      await raw.mkdir(0, 'd', 0o777)
      await raw.walk(0, 1, 'd')
      await raw.file(1, 'f', 'text', 0o666)
      await raw.mkdir(1, 's', 0o777)
      await raw.walk(1, 2, 's')
      await raw.ok('Tsymlink', { dfid: 2, name: 'l', target: '/f', gid: 0 })
      await raw.clunk(1, 2)
      await stand.control.idle(1)
      const p = await Plan9.connect(stand.unix, dialect)
      await p.version()
      await p.attach(0)
      await run({ stand, raw, p, send: (name, tag, fields) => p.bytes(frameOf(dialect, name as never, tag, fields as never)) })
      p.socket.destroy()
      await stand.control.idle(1)
      await raw.end()
      assert.equal([[...new Set(stand.control.violations)], stand.log.bugs], [[], []])
    } finally { await stand.stop() }
  })
}
const stat = (over: object) => ({ ...DONT_TOUCH, ...over })

for (const dialect of ['9P2000', '9P2000.u'] as const) {
  staged(dialect, 'a Twstat goes on by the handle', async ({ stand, p, send }) => {
    await p.walk(0, 1, 'd', 'f')
    await p.open(1, 2)
    const go = stand.control.stop('handle getattr')
    send('Twstat', 1, { fid: 1, stat: stat({ length: 2 }) })
    await stand.control.stopped('handle getattr')
    send('Tclunk', 2, { fid: 1 })
    await p.reply(2)
    go()
    assert.is((await p.reply(1)).name, 'Rwstat')
  })
  staged(dialect, 'a Twstat that renames has the directory still', async ({ stand, raw, p, send }) => {
    await p.walk(0, 1, 'd', 'f')
    const go = stand.control.stop('getattr')
    send('Twstat', 1, { fid: 1, stat: stat({ name: 'g' }) })
    await stand.control.stopped('getattr')
    send('Tclunk', 2, { fid: 1 })
    await p.reply(2)
    go()
    assert.is((await p.reply(1)).name, 'Rwstat')
    await raw.walk(0, 5, 'd', 'g')
    await raw.clunk(5)
  })
  if (dialect === '9P2000') staged(dialect, 'a Topen that is to remove opens nothing', async ({ stand, raw, p, send }) => {
    await p.walk(0, 1, 'd', 'f')
    const go = stand.control.stop('walk')
    send('Topen', 1, { fid: 1, mode: 0x40 })
    await stand.control.stopped('walk')
    send('Tclunk', 2, { fid: 1 })
    await p.reply(2)
    go()
    assert.is((await p.reply(1)).name, 'Rerror')
    await raw.walk(0, 5, 'd', 'f')
    await raw.clunk(5)
  })
  staged(dialect, 'a Tcreate of a directory that can not be opened keeps no hold of it', async ({ stand, p, send }) => {
    await p.walk(0, 1)
    const go = stand.control.stop('open')
    stand.control.yields = true
    send('Tcreate', 1, { fid: 1, name: 'e', perm: 0x800001ff, mode: 0, extension: '' })
    await stand.control.stopped('open')
    send('Tflush', 2, { oldtag: 1 })
    assert.is((await p.reply(1)).name, 'Rerror')
    go()
    await p.walk(0, 2, 'e')
  })
}
staged('9P2000', 'a Tremove does not take what has the number now', async ({ stand, raw, p, send }) => {
  await p.walk(0, 1, 'd')
  await raw.mkdir(0, 'e', 0o777)
  await p.walk(1, 1, '..')
  await p.walk(1, 1, 'd')
  await raw.walk(0, 1, 'd')
  await raw.mkdir(1, 'below')
  await raw.clunk(1)
  await p.walk(0, 2, 'd', 'below')
  await p.walk(2, 2, '..')
  const go = stand.control.stop('parent')
  send('Tremove', 1, { fid: 2 })
  await stand.control.stopped('parent')
  send('Tclunk', 2, { fid: 2 })
  await p.reply(2)
  await p.walk(0, 2, 'e')
  go()
  assert.is((await p.reply(1)).name, 'Rerror')
  await raw.walk(0, 5, 'e')
  await raw.clunk(5)
})
staged('9P2000', 'a Twalk along a link has the attach root still', async ({ stand, p, send }) => {
  const go = stand.control.stop('readlink')
  await p.attach(7, '/d')
  await p.walk(7, 7, 's')
  send('Twalk', 1, { fid: 7, newfid: 7, names: ['l'] })
  await stand.control.stopped('readlink')
  send('Tclunk', 2, { fid: 7 })
  await p.reply(2)
  go()
  assert.is((await p.reply(1)).name, 'Rerror')
})

test.run()
