// What the server promises a translator that does not order its calls itself: the marks of translator.ts.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ForwardNode, ForwardTranslator } from '../../translators/forward.ts'
import { translator } from '../../translators/options.ts'
import type { Awaitable, Call, Node, Owner, Translator } from '../../translators/translator.ts'
import type { SetAttr } from 'ninep'
import { Raw, within } from './raw.ts'
import { brick, Stand } from './stand.ts'

const test = suite('order')

/** A call on nodes: when it began and ended, counted in events. */
interface Span { readonly op: string; readonly mark: 'r' | 'w' | '-'; readonly nodes: readonly bigint[]; readonly directory: boolean; readonly began: number; ended: number }

class Probe {
  readonly spans: Span[] = []
  #events = 0
  #turn = 0
  /** Calls of this name wait for this. */
  held = new Map<string, Promise<void>>()
  async run<T>(op: string, mark: Span['mark'], nodes: readonly bigint[], f: () => Awaitable<T>, directory = false): Promise<T> {
    const span: Span = { op, mark, nodes, directory, began: this.#events++, ended: Infinity }
    this.spans.push(span)
    try {
      await this.held.get(`${op} ${nodes[0]}`)
      await this.held.get(op)
      const ms = this.#turn++ % 4
      await new Promise<void>((resolve) => { ms < 2 ? setImmediate(resolve) : setTimeout(resolve, ms - 1) })
      return await f()
    } finally { span.ended = this.#events++ }
  }
}
const overlap = (a: Span, b: Span) => a.began < b.ended && b.began < a.ended
const together = (a: Span, b: Span) => a.nodes.some((node) => b.nodes.includes(node))

class ProbeNode extends ForwardNode<Probe> {
  protected override wrap(child: Node) { return new ProbeNode(child, this.layer) }
  #run<T>(op: string, mark: Span['mark'], f: () => Awaitable<T>) { return this.layer.run(op, mark, [this.qid.path], f) }
  override walk(name: string) { return this.#run('walk', 'r', () => super.walk(name)) }
  override getattr(mask: number) { return this.#run('getattr', 'r', () => super.getattr(mask)) }
  override open(flags: number, call?: Call) { return this.#run('open', 'r', () => super.open(flags, call)) }
  override setattr(attr: SetAttr) { return this.#run('setattr', 'w', () => super.setattr(attr)) }
  override create(name: string, flags: number, mode: number, owner: Owner) { return this.#run('create', 'w', () => super.create(name, flags, mode, owner)) }
  override mkdir(name: string, mode: number, owner: Owner) { return this.#run('mkdir', 'w', () => super.mkdir(name, mode, owner)) }
  override symlink(name: string, target: string, owner: Owner) { return this.#run('symlink', 'w', () => super.symlink(name, target, owner)) }
  override mknod(name: string, mode: number, rdev: bigint, owner: Owner) { return this.#run('mknod', 'w', () => super.mknod(name, mode, rdev, owner)) }
  override link(target: Node, name: string) { return this.#run('link', 'w', () => super.link(target, name)) }
  override unlinkat(name: string, flags: number, expect?: bigint) { return this.#run('unlinkat', 'w', () => super.unlinkat(name, flags, expect)) }
  override statfs() { return this.#run('statfs', '-', () => super.statfs()) }
  override listxattr() { return this.#run('listxattr', '-', () => super.listxattr()) }
  override async renameat(name: string, dir: Node, newName: string, expect?: bigint) {
    const moved = await this.child.walk(name)
    await moved.close()
    return this.layer.run('renameat', 'w', [this.qid.path, dir.qid.path], () => super.renameat(name, dir, newName, expect), (moved.qid.type & 0x80) !== 0)
  }
}
function probing(probe: Probe, child: Translator): Promise<Translator> {
  const layer = translator({
    name: 'probe', about: 'Records its calls.', children: 1, options: {},
    start: (_, [below]) => new ForwardTranslator('probe', below, (root) => new ProbeNode(root, probe)),
  })
  return layer({}, child)
}

async function withProbe(run: (raws: Raw[], probe: Probe) => Promise<void>): Promise<void> {
  const probe = new Probe()
  const stand = await Stand.start({ name: 'probe', make: async () => ({ root: await probing(probe, await brick('/')) }) })
  const raws = await Promise.all([stand.unix, stand.tcp, stand.unix].map((url) => Raw.versioned(url)))
  for (const raw of raws) await raw.attach(0)
  probe.spans.length = 0
  try {
    await run(raws, probe)
    for (const raw of raws) await raw.end()
    assert.equal(stand.log.bugs, [])
  } finally {
    for (const raw of raws) raw.socket.destroy()
    await stand.stop()
  }
}

test('three clients at work on two directories: the marks are kept, and nothing else waits', () => withProbe(async (raws, probe) => {
  const [first] = raws as [Raw]
  await first.mkdir(0, 'a')
  await first.mkdir(0, 'b')
  for (const raw of raws) {
    await raw.walk(0, 1, 'a')
    await raw.walk(0, 2, 'b')
  }
  const gid = process.getgid!()
  for (let i = 0; i < 60; i++) {
    await first.mkdir(1 + i % 2, `D${i}`)
    await first.ok('Tmknod', { dfid: 2 - i % 2, name: `F${i}`, mode: 0o100644, major: 0, minor: 0, gid })
    await first.ok('Tmknod', { dfid: 1 + i % 2, name: `G${i}`, mode: 0o100644, major: 0, minor: 0, gid })
  }
  probe.spans.length = 0
  const all: Promise<unknown>[] = []
  for (let i = 0; i < 60; i++) {
    const raw = raws[i % 3]!, dir = 1 + i % 2, other = 3 - dir
    all.push(
      raw.outcome('Tmkdir', { dfid: dir, name: `d${i}`, mode: 0o755, gid }), raw.outcome('Twalk', { fid: dir, newfid: 100 + i, names: [`D${i}`] }),
      raw.outcome('Tgetattr', { fid: dir, mask: 1 }), raw.outcome('Tgetattr', { fid: other, mask: 1 }), raw.outcome('Tgetattr', { fid: other, mask: 1 }), raw.outcome('Tmknod', { dfid: other, name: `f${i}`, mode: 0o100644, major: 0, minor: 0, gid }),
      raw.outcome('Trenameat', { olddirfid: other, oldname: `F${i}`, newdirfid: dir, newname: `g${i}` }), raw.outcome('Trenameat', { olddirfid: dir, oldname: `D${i}`, newdirfid: other, newname: `e${i}` }),
      raw.outcome('Tunlinkat', { dirfid: dir, name: `G${i}`, flags: 0 }), raw.outcome('Tsymlink', { dfid: dir, name: `l${i}`, target: 'x', gid }), raw.outcome('Tstatfs', { fid: dir }),
    )
  }
  const outcomes = await within(20, 'all of it', Promise.all(all))
  assert.ok(outcomes.filter((o) => o === 'ok').length > 600, `${outcomes.filter((o) => o === 'ok').length} of ${outcomes.length} went well`)
  const { spans } = probe
  for (const w of spans.filter(({ mark }) => mark === 'w')) {
    for (const other of spans) if (other !== w && other.mark !== '-' && together(w, other) && overlap(w, other)) assert.unreachable(`${w.op} beside ${other.op} in one directory`)
  }
  const moves = spans.filter(({ op, directory }) => op === 'renameat' && directory)
  assert.ok(moves.length > 50)
  for (const a of moves) for (const b of moves) if (a !== b && overlap(a, b)) assert.unreachable('two directories moved at the same time')
  const pairs = (test: (a: Span, b: Span) => boolean) => spans.some((a) => spans.some((b) => a !== b && overlap(a, b) && test(a, b)))
  assert.ok(pairs((a, b) => a.mark === 'r' && b.mark === 'r' && together(a, b)), 'readers of one directory are beside each other')
  assert.ok(pairs((a, b) => a.mark === 'w' && b.mark === 'w'), 'writers of two directories too')
}))

test('a call that hangs holds up its own directory, and no other; when it ends, all go on', () => withProbe(async (raws, probe) => {
  const [raw, second] = raws as [Raw, Raw]
  const a = (await raw.mkdir(0, 'a')).qid
  await raw.mkdir(0, 'b')
  await raw.walk(0, 1, 'a')
  await raw.walk(0, 2, 'b')
  await second.walk(0, 1, 'a')
  await second.walk(0, 2, 'b')
  let go!: () => void
  const path = probe.spans.find(({ op, nodes }) => op === 'walk' && nodes[0] !== undefined) && a.path & ((1n << 40n) - 1n)
  probe.held.set(`mkdir ${path}`, new Promise((resolve) => { go = resolve }))
  const stuck = raw.outcome('Tmkdir', { dfid: 1, name: 'x', mode: 0o755, gid: 0 })
  await new Promise((resolve) => setTimeout(resolve, 10))
  const behind = [second.outcome('Twalk', { fid: 1, newfid: 5, names: ['x'] }), second.outcome('Tmkdir', { dfid: 1, name: 'y', mode: 0o755, gid: 0 }), raw.outcome('Tgetattr', { fid: 1, mask: 1 })]
  let done = 0
  for (const each of behind) void each.then(() => { done++ })
  for (let i = 0; i < 10; i++) {
    await second.mkdir(2, `d${i}`)
    await raw.ok('Tgetattr', { fid: 2, mask: 1 })
    await second.ok('Tstatfs', { fid: 1 })
    await raw.ok('Txattrwalk', { fid: 1, newfid: 50 + i, name: '' })
  }
  await raw.file(2, 'f', 'text')
  assert.is(await second.content(0, 'b', 'f'), 'text')
  assert.is(done, 0, 'what is behind it in its directory waits')
  // A move into it waits as well, and holds the other directory meanwhile only if it comes second.
  go()
  assert.is(await stuck, 'ok')
  assert.equal(await Promise.all(behind), ['ok', 'ok', 'ok'])
}))

test('directories move one at a time in the whole tree, files beside each other', () => withProbe(async (raws, probe) => {
  const [raw] = raws as [Raw]
  for (const name of ['a', 'b', 'c', 'd']) await raw.mkdir(0, name)
  for (const [i, name] of ['a', 'b', 'c', 'd'].entries()) await raw.walk(0, 1 + i, name)
  for (const dir of [1, 3]) { await raw.mkdir(dir, 'd'); await raw.file(dir, 'f') }
  probe.spans.length = 0
  for (const [name, beside] of [['d', 1], ['f', 2]] as const) {
    let go!: () => void
    probe.held.set('renameat', new Promise((resolve) => { go = resolve }))
    probe.spans.length = 0
    const moves = [1, 3].map((dir) => raw.ok('Trenameat', { olddirfid: dir, oldname: name, newdirfid: dir + 1, newname: name }))
    await new Promise((resolve) => setTimeout(resolve, 40))
    assert.is(probe.spans.filter(({ op }) => op === 'renameat').length, beside, name)
    go()
    await Promise.all(moves)
  }
}))

test('two directories moved into each other at the same time: one moves, and the tree has no loop', () => withProbe(async (raws) => {
  const [a, b] = raws as [Raw, Raw]
  for (let round = 0; round < 10; round++) {
    await a.mkdir(0, `p${round}`)
    await a.mkdir(0, `q${round}`)
    await a.walk(0, 10 + round, `p${round}`)
    await b.walk(0, 10 + round, `q${round}`)
    const outcomes = await Promise.all([
      b.outcome('Trenameat', { olddirfid: 0, oldname: `p${round}`, newdirfid: 10 + round, newname: 'in' }), a.outcome('Trenameat', { olddirfid: 0, oldname: `q${round}`, newdirfid: 10 + round, newname: 'in' }),
    ])
    assert.equal(outcomes.filter((o) => o === 'ok').length, 1, outcomes.join())
  }
}))

test('renames back and forth between two directories end, all of them', () => withProbe(async (raws) => {
  const [first] = raws as [Raw]
  await first.mkdir(0, 'a')
  await first.mkdir(0, 'b')
  for (let i = 0; i < 20; i++) { await first.file(0, `f${i}`); await first.mkdir(0, `d${i}`) }
  for (const raw of raws) { await raw.walk(0, 1, 'a'); await raw.walk(0, 2, 'b') }
  const all: Promise<unknown>[] = []
  for (let i = 0; i < 200; i++) {
    const raw = raws[i % 3]!, dirs = [0, 1, 2], from = dirs[i % 3]!, to = dirs[(i * 7 + 1) % 3]!
    all.push(raw.outcome('Trenameat', { olddirfid: from, oldname: `${i % 2 ? 'f' : 'd'}${i % 20}`, newdirfid: to, newname: `${i % 2 ? 'f' : 'd'}${i % 20}` }))
  }
  const outcomes = await within(20, 'all renames', Promise.all(all))
  assert.ok(outcomes.includes('ok'))
  let found = 0
  for (const raw of raws.slice(0, 1)) for (const dir of [0, 1, 2]) for (let i = 0; i < 20; i++) for (const kind of ['f', 'd']) if (await raw.outcome('Twalk', { fid: dir, newfid: 1000 + found, names: [`${kind}${i}`] }) === 'ok') found++
  assert.is(found, 40, 'none is lost, none is there twice')
}))

test.run()
