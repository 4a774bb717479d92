// 9P2000 and 9P2000.u beyond the checklist: who people are by name, where a directory stands that was reached by '..', what links may
// cost, and what a Twstat undoes. Over memory, a folder, and slow memory.

import { execFileSync } from 'node:child_process'
import { DM, OPEN, errno } from 'ninep'
import type { SetAttr } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { UserDatabase, attachRules } from '../../server/users.ts'
import { ForwardHandle, ForwardNode, ForwardTranslator } from '../../translators/forward.ts'
import { translator } from '../../translators/options.ts'
import type { Handle, Node, Translator } from '../../translators/translator.ts'
import { Plan9, me } from './plan9/client.ts'
import type { Old } from './plan9/client.ts'
import { within } from './raw.ts'
import type { Raw } from './raw.ts'
import { Bench, Stand, brick, onDisk, onMemory, onSlow } from './stand.ts'
import type { Stack } from './stand.ts'

interface Both { readonly p: Plan9; readonly raw: Raw; readonly bench: Bench; readonly stand: Stand; readonly dialect: Old }
type Cases = (test: (title: string, run: (t: Both) => Promise<void>, only?: Old) => void) => void

/** Suites of each dialect over a stack. */
function declare(stack: Stack, cases: Cases): void {
  for (const dialect of ['9P2000', '9P2000.u'] as const) {
    const test = suite(`${dialect}, ${stack.name}`)
    let stand: Stand, count = 0
    test.before(async () => { stand = await Stand.start(stack) })
    test.after(() => stand.stop())
    cases((title, run, only = dialect) => {
      if (only === dialect) test(title, async () => {
        const bench = await Bench.set(stand, stand.unix, `case${count++}`), p = await bench.old(dialect)
        await p.version()
        await p.attach(0, bench.aname)
        try { await within(60, title, run({ p, raw: bench.raw, bench, stand, dialect })) } catch (e) {
          await bench.end().catch(() => {})
          throw e
        }
        await bench.end()
      })
    })
    test.run()
  }
}
const somebody = 65534

for (const stack of [onMemory, onDisk, onSlow]) declare(stack, (test) => {
  test('a directory that was reached by .. is known by its name, and is renamed and removed', async ({ p, bench }) => {
    await p.mkdir(0, 'a')
    await p.walk(0, 1, 'a')
    await p.mkdir(1, 'b')
    const fresh = await bench.old(p.dialect as Old)                // whose fids say nothing of the names before
    await fresh.version()
    await fresh.attach(0, bench.aname)
    await p.walk(1, 2, 'b')
    await p.walk(2, 3, '..')
    await p.clunk(1)
    assert.is((await p.stat(3)).name, 'a')
    await fresh.walk(0, 1, 'a', 'b', '..')
    assert.is((await fresh.stat(1)).name, 'a')
    await fresh.walk(0, 2, 'a', '..')
    assert.is((await fresh.stat(2)).name, '/')
    assert.is(await fresh.wstat(1, { name: 'c' }), 'ok')
    assert.equal(await p.ls(0), ['c'])
    assert.is((await p.stat(3)).name, 'c')
    assert.is((await p.stat(2)).name, 'b')
    await p.ok('Tremove', { fid: 2 })
    await p.ok('Tremove', { fid: 3 })
    assert.equal(await p.ls(0), [])
    assert.is(await fresh.refused('Tremove', { fid: 1 }), 'ENOENT')
  })

  test('who may read a directory and not search it sees names, and no more', async ({ p, bench, stand, dialect }) => {
    if (!stand.owners) return
    await p.mkdir(0, 'd', 0o744)
    await p.walk(0, 1, 'd')
    await p.file(1, 'f', 'secret length', 0o644)
    await p.mkdir(1, 'sub')
    const other = await bench.old(dialect)
    await other.version()
    await other.attach(0, bench.aname, 'nobody', dialect === '9P2000' ? 0xffffffff : somebody)
    assert.is(await other.outcome('Twalk', { fid: 0, newfid: 1, names: ['d', 'f'] }), 'ok')
    await other.walk(0, 2, 'd')
    await other.open(2)
    const [f, sub] = (await other.listing(2)).sort((a, b) => a.name < b.name ? -1 : 1)
    assert.equal([f!.name, f!.length, f!.mtime, f!.mode, sub!.name, sub!.mode], ['f', 0, 0, 0, 'sub', DM.DIR])
    assert.is((await p.statAt(1, 'f')).qid.path, f!.qid.path)
  })

  test('40 links one behind the other are followed, 41 are not; nor is a name that is too far away', async ({ p, raw }) => {
    await p.file(0, 'l0', 'text')
    for (let i = 1; i <= 41; i++) await raw.ok('Tsymlink', { dfid: 0, name: `l${i}`, target: `l${i - 1}`, gid: 0 })
    assert.is(await p.content(0, 'l40'), 'text')
    assert.is(await p.refused('Twalk', { fid: 0, newfid: 1, names: ['l41'] }), 'ENOENT')
    await raw.mkdir(0, 'd')
    for (const [name, target] of [['far', './'.repeat(600) + 'l0'], ['near', './'.repeat(100) + 'l0'], ['round', 'd/../'.repeat(100) + 'l0'], ['up', '../'.repeat(100) + 'l0'], ['slashes', '//d///..//l0']]) {
      await raw.ok('Tsymlink', { dfid: 0, name: name!, target: target!, gid: 0 })
    }
    for (const name of ['far', 'round']) assert.is(await p.refused('Twalk', { fid: 0, newfid: 1, names: [name] }), 'ENOENT', name)
    for (const name of ['near', 'up', 'slashes']) assert.is(await p.content(0, name), 'text', name)
    const shown = await p.ls(0)
    assert.equal(['far', 'round', 'l41', 'near', 'up', 'l40'].map((name) => shown.includes(name)), [false, false, false, true, true, true])
  }, '9P2000')

  test('a directory of links that lead far and nowhere keeps nobody else waiting', async ({ p, raw, bench, stand }) => {
    if (stand.stack !== onMemory) return
    for (let i = 0; i < 2000; i++) await raw.ok('Tsymlink', { dfid: 0, name: `l${i}`, target: `./././l${i - 1}`, gid: 0 })
    const other = await bench.old('9P2000'), order: string[] = []
    await other.version()
    await other.attach(0, bench.aname)
    await p.walk(0, 1)
    await p.open(1)
    const reading = p.entries(1).then(({ stats }) => { order.push('listing'); return stats })
    const asking = other.stat(0).then(() => { order.push('stat') })
    await asking
    assert.equal(await reading, [])
    assert.equal(order, ['stat', 'listing'])
  }, '9P2000')

  test('a link is not followed where the user may not search, and an attach name follows none', async ({ p, raw, bench, stand }) => {
    await raw.mkdir(0, 'locked', 0o700)
    await raw.walk(0, 1, 'locked')
    await raw.file(1, 'f', 'text')
    await raw.ok('Tsymlink', { dfid: 0, name: 'to', target: 'locked/f', gid: 0 })
    await raw.ok('Tsymlink', { dfid: 0, name: 'dir', target: 'locked', gid: 0 })
    assert.is(await p.content(0, 'to'), 'text')
    assert.is(await p.refused('Tattach', { fid: 5, afid: 0xffffffff, uname: me, aname: `${bench.aname}/dir`, nUname: 0xffffffff }), 'ENOENT')
    assert.is(await p.refused('Tattach', { fid: 5, afid: 0xffffffff, uname: me, aname: `${bench.aname}/dir/f`, nUname: 0xffffffff }), 'ENOTDIR')
    if (!stand.owners) return
    const other = await bench.old('9P2000')
    await other.version()
    await other.attach(0, bench.aname, 'nobody')
    assert.is(await other.refused('Twalk', { fid: 0, newfid: 1, names: ['to'] }), 'EACCES')
    assert.equal(await other.ls(0), ['dir', 'locked'])
  }, '9P2000')

  test('a link whose target would fill the largest reply is listed without it, and does not end the listing', async ({ raw, bench }) => {
    const p = await bench.old('9P2000.u')
    await p.version(4096)
    await p.attach(0, bench.aname)
    for (const name of ['a', 'm'.repeat(200), 'z']) await raw.ok('Tsymlink', { dfid: 0, name, target: 't'.repeat(name.length > 1 ? 4000 : 10), gid: 0 })
    await p.walk(0, 1)
    await p.open(1)
    const found = new Map((await p.listing(1, 4096 - 24)).map(({ name, extension }) => [name, extension.length]))
    assert.equal([...found].sort(), [['a', 10], ['m'.repeat(200), 0], ['z', 10]])
    await p.walk(0, 2, 'm'.repeat(200))
    assert.is(await p.refused('Tstat', { fid: 2 }), 'EMSGSIZE')
  }, '9P2000.u')

  test('ORCLOSE removes what was renamed meanwhile under its new name, and only once', async ({ p, bench }) => {
    await p.create(0, 1, 'f', 0o644, OPEN.RDWR | OPEN.RCLOSE)
    await bench.raw.ok('Trenameat', { olddirfid: 0, oldname: 'f', newdirfid: 0, newname: 'g' })
    await p.file(0, 'f', 'another')
    await p.clunk(1)
    assert.equal(await p.ls(0), ['f'])
    await p.walk(0, 1, 'f')
    await p.open(1, OPEN.READ | OPEN.RCLOSE)
    await p.ok('Tremove', { fid: 1 })
    assert.equal(await p.ls(0), [])
    assert.equal(bench.stand.log.warnings, [])
  })

  test('append-only and exclusive files are refused, temporary ones are files', async ({ p }) => {
    for (const bit of [DM.APPEND, DM.EXCL, DM.AUTH, DM.MOUNT]) assert.is(await p.creation(0, 'x', bit + 0o644), 'EOPNOTSUPP')
    assert.is(await p.creation(0, 't', DM.TMP + 0o644), 'ok')
    assert.equal(await p.ls(0), ['t'])
    await p.walk(0, 1, 't')
    assert.is(await p.wstat(1, { mode: DM.APPEND + 0o600, name: 'u' }), 'EOPNOTSUPP')
    assert.is(await p.wstat(1, { mode: DM.TMP + 0o600 }), 'ok')
    assert.equal([(await p.stat(1)).name, (await p.stat(1)).mode], ['t', 0o600])
  })

  test('owners have names where the host knows them, and digits where it does not', async ({ p, raw, stand, dialect }) => {
    if (!stand.owners) return
    await p.file(0, 'f')
    await raw.walk(0, 1, 'f')
    await p.walk(0, 1, 'f')
    for (const [uid, name] of [[0, 'root'], [somebody, 'nobody'], [4_000_123, '4000123']] as const) {
      await raw.ok('Tsetattr', { fid: 1, valid: 2, mode: 0, uid, gid: 0, size: 0, atime: { sec: 0, nsec: 0 }, mtime: { sec: 0, nsec: 0 } })
      const { uid: shown, nUid } = await p.stat(1)
      assert.is(shown, name)
      if (dialect === '9P2000.u') assert.is(nUid, uid)
      // What was shown is what a Twstat takes.
      assert.is(await p.wstat(1, { uid: shown }), 'ok')
      assert.is((await raw.getattr(1)).uid, uid)
    }
    assert.is(await p.wstat(1, { uid: 'root', gid: 'nogroup' }), 'ok')
    assert.equal([(await p.stat(1)).uid, (await p.stat(1)).gid], ['root', 'nogroup'])
    assert.is(await p.wstat(1, { uid: 'no such user' }), 'EINVAL')
  })
})

// A brick that fails where it was not expected.
class Failing extends ForwardNode<object> {
  protected override wrap(child: Node): Node { return new Failing(child, this.layer) }
  protected override wrapHandle(child: Handle): Handle { return new FailingHandle(child, this.layer) }
  override setattr(attr: SetAttr) { if (attr.mtime !== undefined) throw errno('ENOSPC', 'setattr'); return super.setattr(attr) }
}
class FailingHandle extends ForwardHandle<object> {
  override setattr(attr: SetAttr) { if (attr.mtime !== undefined) throw errno('ENOSPC', 'setattr'); return super.setattr(attr) }
}
const failing = (child: Translator) => translator({
  name: 'failing', about: 'Has no room for times.', children: 1, options: {}, concurrent: true,
  start: (_, [below]) => new ForwardTranslator('failing', below, (root) => new Failing(root, {})),
})({}, child)

declare({ name: 'a brick that fails', make: async () => ({ root: await failing(await brick('/')) }) }, (test) => {
  test('a Twstat that fails when it is half done takes back the rename', async ({ p, raw, dialect }) => {
    await raw.file(0, 'f', 'text')
    await p.walk(0, 1, 'f')
    await p.walk(0, 2, 'f')
    await p.open(2, OPEN.RDWR)
    for (const fid of [1, 2]) {
      assert.is(await p.wstat(fid, { name: 'g', mode: 0o600, mtime: 5 }), 'ENOSPC')
      assert.equal([await p.ls(0), (await p.stat(fid)).name, (await p.stat(fid)).mode], [['f'], 'f', 0o644])
    }
    assert.is(await p.wstat(1, { name: 'g', mode: 0o600 }), 'ok')
    assert.equal([await p.ls(0), (await p.stat(2)).name], [['g'], 'g'])
    if (dialect === '9P2000') return
    await raw.file(0, 'h', 'in the way')
    assert.is(await p.wstat(1, { name: 'h', mtime: 5 }), 'EEXIST')
    assert.equal(await p.ls(0), ['g', 'h'])
    assert.equal([await p.content(0, 'g'), await p.content(0, 'h')], ['text', 'in the way'])
    assert.is(await p.wstat(1, { name: 'h' }), 'ok')
    assert.equal([await p.ls(0), await p.content(0, 'h')], [['h'], 'text'])
  })
})

const who = suite('who comes in by name')
who('a name that the host does not know is the default user of the attach point', async () => {
  if (process.getuid!() !== 0) return
  const stand = await Stand.start(onMemory, { attach: new Map([['/', attachRules()], ['/guests', attachRules({ 'default-user': 4321 })]]) })
  try {
    const p = await Plan9.versioned(stand.unix, '9P2000.u')
    await p.attach(0)
    await p.mkdir(0, 'guests', 0o777)
    await p.walk(0, 1, 'guests')
    await p.wstat(1, { mode: DM.DIR + 0o777 })
    for (const [fid, aname, uname, uid] of [[2, '/guests', 'no-such-user', 4321], [3, '/guests', '', 4321], [4, '/guests', 'root', 0], [5, '/', 'no-such-user', somebody], [6, '/guests', 'nobody', somebody]] as const) {
      await p.attach(fid, aname, uname)
      if (fid === 5) await p.walk(5, 5, 'guests')
      await p.create(fid, 9, `by${fid}`)
      assert.is((await p.stat(9)).nUid, uid, `${uname} at ${aname}`)
      await p.clunk(9)
    }
    await p.end()
  } finally { await stand.stop() }
})
who('the database says names both ways, remembers them, and has digits for what it does not know', async () => {
  const users = new UserDatabase()
  assert.is(users.known('passwd', 0), undefined)
  assert.is(await users.nameOf('passwd', 0), 'root')
  assert.is(users.known('passwd', 0), 'root')
  assert.equal([await users.nameOf('passwd', 4_000_123), await users.nameOf('group', 4_000_123)], ['4000123', '4000123'])
  const gid = process.getgid!(), group = execFileSync('getent', ['group', String(gid)], { encoding: 'utf8' }).split(':')[0]!
  assert.equal([await users.nameOf('group', gid), await users.gidOf(group), await users.gidOf(String(gid))], [group, gid, gid])
  for (const name of ['', '-h', 'no-such-group', 'a b', '+', '--', '4294967295']) assert.is(await users.gidOf(name), undefined, name)
  // One that takes too long is not waited for, and not asked again.
  const slow = new UserDatabase(0.001)
  assert.is(await slow.nameOf('passwd', 0), '0')
  assert.is(slow.known('passwd', 0), '0')
})
who.run()
