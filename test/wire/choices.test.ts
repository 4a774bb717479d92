// Where translator.ts leaves a translator a choice, the server takes either; and what it may not do does no harm.

import { Attrs, Lock, O, S, errno } from 'ninep'
import type { Attr, Flock, LockStatus, Qid } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { serve } from '../../server/server.ts'
import type { ServerConfig } from '../../server/server.ts'
import { attachOptions, attachRules } from '../../server/users.ts'
import { ACL_ACCESS, Tag, formatAcl, parseAcl } from '../../translators/acl.ts'
import { ForwardHandle, ForwardNode, ForwardTranslator } from '../../translators/forward.ts'
import { translator } from '../../translators/options.ts'
import type { Awaitable, Call, Handle, Node } from '../../translators/translator.ts'
import { Raw } from './raw.ts'
import { Kept, brick } from './stand.ts'

/** What a layer does otherwise than its child. */
interface Ways {
  /** Open nodes, by name of the call that made them: all there are. */
  nodes: number
  /** A qid that is an object of its own at each look. */
  readonly fresh?: boolean
  gen?(path: bigint): bigint
  /** Thrown by getattr that asks for a gen. */
  genFails?: Error | undefined
  readonly late?: boolean
  closeNode?(): Awaitable<void>
  closeHandle?(): Awaitable<void>
  written?(count: number): number
  lock?: Handle['lock']
  getlock?: Handle['getlock']
  sync?(): void
  close?(): void
}
const later = () => new Promise<void>((go) => { setTimeout(go, 1) })

class WayNode extends ForwardNode<Ways> {
  constructor(child: Node, layer: Ways) { super(child, layer); layer.nodes++ }
  protected override wrap(child: Node): Node { return new WayNode(child, this.layer) }
  protected override wrapHandle(child: Handle): Handle { return new WayHandle(child, this.layer) }
  override get qid(): Qid { return this.layer.fresh ? { ...this.child.qid } : this.child.qid }
  override getattr(mask: number): Awaitable<Attr> {
    const { layer } = this
    if (mask & Attrs.GEN && layer.genFails) throw layer.genFails
    const shown = (attr: Attr) => ({ ...attr, qid: this.qid, gen: layer.gen?.(attr.qid.path) ?? attr.gen })
    return layer.late ? later().then(async () => shown(await super.getattr(mask))) : shown(super.getattr(mask) as Attr)
  }
  override close(): Awaitable<void> {
    this.layer.nodes--
    void super.close()
    return this.layer.closeNode?.()
  }
}
class WayHandle extends ForwardHandle<Ways> {
  override write(bytes: Uint8Array, offset: number, call?: Call): Awaitable<number> {
    const count = super.write(bytes, offset, call) as number
    return this.layer.written?.(count) ?? count
  }
  override get lock(): Handle['lock'] { return this.layer.lock }
  override get getlock(): Handle['getlock'] { return this.layer.getlock }
  override close(): Awaitable<void> {
    void super.close()
    return this.layer.closeHandle?.()
  }
}
const way = (ways: Ways) => translator({
  name: 'way', about: 'Another way to do it.', children: 1, concurrent: true, options: {},
  start: (_options, [child]) => new class extends ForwardTranslator {
    override sync(): Awaitable<void> { ways.sync?.(); return super.sync() }
    override close(): Awaitable<void> { ways.close?.(); return super.close() }
  }('way', child, (root) => new WayNode(root, ways)),
})

const test = suite('choices')
type Body = (raw: Raw, ways: Ways, log: Kept, another: () => Promise<Raw>) => Promise<void>
/** A test over a server whose '/' does things in these ways; at its end no node is left open but the root's. */
function over(title: string, made: () => Omit<Ways, 'nodes'>, body: Body, config: Partial<ServerConfig> = {}): void {
  test(title, async () => {
    const ways: Ways = { ...made(), nodes: 0 }, log = new Kept(), all: Raw[] = []
    const server = await serve({ listen: ['tcp://127.0.0.1:0'], namespace: new Map([['/', await way(ways)({}, await brick('/'))]]), log, ...config })
    const another = async () => {
      const raw = await Raw.versioned(server.urls[0]!)
      all.push(raw)
      await raw.attach(0)
      return raw
    }
    try {
      await body(await another(), ways, log, another)
      for (const raw of all) await raw.end()
      for (let tries = 0; server.connections > 0 && tries < 500; tries++) await later()
      assert.is(ways.nodes, 1, 'the root is open, and nothing else')
      assert.equal(log.bugs, [])
    } finally {
      for (const raw of all) raw.socket.destroy()
      await server.stop().catch(() => {})
    }
  })
}

for (const late of [false, true]) {
  over(`a qid may be a new object at each look: gen then says that the file is the same${late ? ', by and by' : ''}`, () => ({ fresh: true, late }), async (raw, ways, _log, another) => {
    await raw.file(0, 'f', 'text')
    await Promise.all([1, 2, 3].map((fid) => raw.walk(0, fid, 'f')))
    const other = await another()
    await other.walk(0, 1, 'f')
    assert.is(ways.nodes, 2, 'one node serves all fids of a file')
    await raw.open(1, O.RDWR)
    await raw.write(1, 'TEXT')
    assert.is(await other.content(0, 'f'), 'TEXT')
  })
}
over('a number that is another file\'s now is another file: the old fid stays with the old one', () => ({ fresh: true }), async (raw, ways) => {
  let gen = 1n
  ways.gen = () => gen
  await raw.file(0, 'f', 'text')
  await raw.walk(0, 1, 'f')
  assert.is(ways.nodes, 2)
  // The fids ask through nodes, of which each is asked for its gen in turn: the known one first.
  ways.gen = () => gen++
  await raw.walk(0, 2, 'f')
  assert.is(ways.nodes, 3, 'two files')
  ways.gen = () => 7n
  await raw.walk(0, 3, 'f')
  assert.is(ways.nodes, 3, 'the second is the one that is known now')
})
over('a gen that can not be asked for ends the walk; one that is gone makes way', () => ({ fresh: true }), async (raw, ways) => {
  await raw.file(0, 'f', 'text')
  await raw.walk(0, 1, 'f')
  ways.genFails = errno('EIO', 'getattr')
  assert.is(await raw.refused('Twalk', { fid: 0, newfid: 2, names: ['f'] }), 'EIO')
  assert.is(ways.nodes, 2)
  ways.genFails = errno('ESTALE', 'getattr')
  await raw.walk(0, 2, 'f')
  assert.is(ways.nodes, 3)
  ways.genFails = undefined
})

const want: Flock = { type: Lock.WRLCK, flags: 0, start: 3n, length: 4n, procId: 5, clientId: 'host' }
over('locks may live below: the server\'s table then holds none', () => ({}), async (raw, ways, _log, another) => {
  const asked: Flock[] = []
  let answer: Awaitable<LockStatus> = Lock.SUCCESS
  ways.lock = (lock) => { asked.push(lock); return answer }
  ways.getlock = (lock) => ({ ...lock, type: Lock.RDLCK, procId: 9 })
  await raw.file(0, 'f')
  const other = await another()
  for (const client of [raw, other]) { await client.walk(0, 1, 'f'); await client.open(1, O.RDWR) }
  assert.equal(await raw.ok('Tlock', { fid: 1, ...want }), { status: Lock.SUCCESS })
  answer = Promise.resolve(Lock.BLOCKED)
  assert.equal(await other.ok('Tlock', { fid: 1, ...want }), { status: Lock.BLOCKED })
  assert.equal(asked, [want, want])
  const { flags: _, ...asking } = want
  assert.equal(await raw.ok('Tgetlock', { fid: 1, ...asking }), { ...asking, type: Lock.RDLCK, procId: 9 })
})
over('a wait for a lock below ends by its abort, and Rflush comes after that', () => ({}), async (raw, ways) => {
  ways.lock = (_lock, call) => new Promise((_, fail) => { call!.onAbort(() => { setTimeout(() => fail(errno('EINTR', 'lock')), 5) }) })
  await raw.file(0, 'f')
  await raw.walk(0, 1, 'f')
  await raw.open(1, O.RDWR)
  const tag = raw.tag(), waiting = raw.refused('Tlock', { fid: 1, ...want, flags: Lock.BLOCK }, tag), order: string[] = []
  await Promise.all([waiting.then((code) => order.push(code)), raw.ok('Tflush', { oldtag: tag }).then(() => order.push('Rflush'))])
  assert.equal(order, ['EINTR', 'Rflush'])
})

over('waits for locks below are as many as there may be, hold up nothing, and end with the server', () => ({}), async (raw, ways) => {
  ways.lock = (_lock, call) => new Promise((_, fail) => { call!.onAbort(() => fail(errno('EINTR', 'lock'))) })
  await raw.file(0, 'f')
  await raw.walk(0, 1, 'f')
  await raw.open(1, O.RDWR)
  const waits = [1, 2, 3].map(() => raw.refused('Tlock', { fid: 1, ...want, flags: Lock.BLOCK }))
  await raw.getattr(0)
  await raw.ok('Tclunk', { fid: 1 })
  assert.equal(await Promise.all(waits), ['EINTR', 'EINTR', 'EINTR'], 'their fid is gone')
}, { limits: { requests: 1 } })
test('a wait for a lock below does not keep a server that stops', async () => {
  const ways: Ways = { nodes: 0, lock: (_lock, call) => new Promise((_, fail) => { call!.onAbort(() => fail(errno('EINTR', 'lock'))) }) }
  const server = await serve({ listen: ['tcp://127.0.0.1:0'], namespace: new Map([['/', await way(ways)({}, await brick('/'))]]) })
  const raw = await Raw.versioned(server.urls[0]!), started = performance.now()
  await raw.attach(0)
  await raw.file(0, 'f')
  await raw.walk(0, 1, 'f')
  await raw.open(1, O.RDWR)
  const waiting = raw.refused('Tlock', { fid: 1, ...want, flags: Lock.BLOCK })
  await raw.getattr(0)
  await server.stop()
  assert.is(await waiting, 'EINTR')
  assert.ok(performance.now() - started < 5000)
})

for (const late of [false, true]) {
  over(`what the close of a handle tells is the reply to Tclunk, what that of a node tells a line${late ? ', by and by' : ''}`, () => ({}), async (raw, ways, log) => {
    const failing = (code: 'ENOSPC' | 'EIO') => () => { if (late) return later().then(() => { throw errno(code, 'close') }); throw errno(code, 'close') }
    await raw.file(0, 'f')
    await raw.walk(0, 1, 'f')
    await raw.open(1, O.RDWR)
    ways.closeHandle = failing('ENOSPC')
    assert.is(await raw.refused('Tclunk', { fid: 1 }), 'ENOSPC')
    assert.is(await raw.refused('Tclunk', { fid: 1 }), 'EBADF', 'it is closed all the same')
    delete ways.closeHandle
    ways.closeNode = failing('EIO')
    await raw.walk(0, 1, 'f')
    await raw.clunk(1)
    for (let tries = 0; log.warnings.length < 2 && tries < 500; tries++) await later()
    delete ways.closeNode
    assert.ok(log.warnings.some(({ fields, message }) => message === 'a close failed' && fields.translator === '/' && fields.err.code === 'EIO'), JSON.stringify(log.warnings))
  })
}
over('a write of nothing, or of more than there was, is EIO and not the client\'s to puzzle over', () => ({}), async (raw, ways) => {
  await raw.file(0, 'f')
  await raw.walk(0, 1, 'f')
  await raw.open(1, O.RDWR)
  for (const count of [0, 5, -1, NaN]) {
    ways.written = () => count
    assert.is(await raw.refused('Twrite', { fid: 1, offset: 0, data: Buffer.from('text') }), 'EIO', String(count))
  }
})
test('what fails when a server stops is thrown when all has been tried', async () => {
  const done: string[] = []
  const one = await way({ nodes: 0, sync() { done.push('one syncs'); throw errno('EIO', 'first') }, close() { done.push('one closes'); throw errno('ENOSPC', 'second') } })({}, await brick('/'))
  const two = await way({ nodes: 0, sync() { done.push('two syncs') }, close() { done.push('two closes') } })({}, await brick('/two'))
  const server = await serve({ listen: ['tcp://127.0.0.1:0'], namespace: new Map([['/', one], ['/two', two]]), log: new Kept() })
  await server.stop().then(() => assert.unreachable(), (e) => assert.match(e.message, /^EIO: first/))
  assert.equal(done, ['two syncs', 'two closes', 'one syncs', 'one closes'])         // what stands over another first
})

for (const what of ['can not listen', 'may not listen'] as const) {
  test(`a server that ${what} says that, and closes all translators, whatever their closes say`, async () => {
    const done: string[] = [], log = new Kept(), taken = await serve({ listen: ['tcp://127.0.0.1:0'], namespace: new Map([['/', await brick('/')]]) })
    const make = (name: string) => way({ nodes: 0, close() { done.push(name); throw errno('EIO', name) } })
    const namespace = new Map([['/', await make('one')({}, await brick('/'))], ['/two', await make('two')({}, await brick('/two'))]])
    const listen = what === 'can not listen' ? taken.urls : ['tcp://192.0.2.1:5640']
    await serve({ listen, namespace, log }).then(() => assert.unreachable(), (e) => assert.match(e.message, /listens there already|is not loopback/))
    assert.equal(done.sort(), ['one', 'two'])
    await taken.stop()
  })
}

// Owners in ACLs are mapped as owners of files are.
const acl = (uid: number) => formatAcl([
  { tag: Tag.USER_OBJ, perm: 6, id: 0xffffffff }, { tag: Tag.USER, perm: 4, id: uid }, { tag: Tag.GROUP_OBJ, perm: 4, id: 0xffffffff },
  { tag: Tag.GROUP, perm: 4, id: uid }, { tag: Tag.MASK, perm: 4, id: 0xffffffff }, { tag: Tag.OTHER, perm: 0, id: 0xffffffff },
])
over('users that an ACL names are mapped both ways, groups are not', () => ({}), async (raw, ways, _log, another) => {
  await raw.file(0, 'f')
  await raw.walk(0, 1, 'f')
  await raw.ok('Txattrcreate', { fid: 1, name: ACL_ACCESS, attrSize: acl(700).length, flags: 0 })
  await raw.write(1, acl(700))
  await raw.clunk(1)
  const ids = async (client: Raw, aname: string) => {
    await client.attach(10, aname)
    await client.walk(10, 11, 'f')
    await client.ok('Txattrwalk', { fid: 11, newfid: 12, name: ACL_ACCESS })
    const { data } = await client.ok('Tread', { fid: 12, offset: 0, count: 4096 })
    return parseAcl(data)!.filter(({ tag }) => tag === Tag.USER || tag === Tag.GROUP).map(({ id }) => id)
  }
  assert.equal(await ids(raw, ''), [700, 700], 'as this client wrote it')
  await raw.ok('Tmkdir', { dfid: 0, name: 'plain', mode: S.IFDIR | 0o755, gid: 0 })
  const other = await another()
  await other.attach(20, '/plain')
  await other.walk(20, 21)
  await raw.ok('Tlink', { dfid: await raw.walk(0, 2, 'plain').then(() => 2), fid: await raw.walk(0, 3, 'f').then(() => 3), name: 'f' })
  assert.equal(await ids(other, '/plain'), [1700, 700], 'as it is kept')
}, { attach: new Map([['/', attachRules({ 'uid-map': attachOptions['uid-map'].parse({ 700: 1700 }) })], ['/plain', attachRules()]]) })

test.run()
