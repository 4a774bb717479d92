// Clients that do everything at once, by seed: requests pipelined on fids that are being opened, walked, clunked; flushes,
// new Tversions and hang-ups in between. Whatever the replies say, each request has exactly one, or none and an Rflush;
// and in the end nothing is left.

import { DM, DONT_TOUCH, NOTAG, OPEN } from 'ninep'
import type { Dialect, Request } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Plan9 } from './plan9/client.ts'
import { frameOf, Raw, within } from './raw.ts'
import type { Frame, Wire } from './raw.ts'
import { onDisk, onMemory, onSlow, Stand } from './stand.ts'
import type { Stack } from './stand.ts'

const test = suite('chaos')

/** Numbers that are the same in every run. */
function dice(seed: number): (below: number) => number {
  return (below) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return Math.floor(seed / 2 ** 32 * below)
  }
}

const uid = process.getuid!(), gid = process.getgid!()
/** A request that makes some sense, on few fids and names, so that they meet. */
function some(roll: (below: number) => number): readonly [Request, object] {
  const fid = () => roll(7), name = () => `n${roll(5)}`, dir = () => roll(2)
  const pick = roll(34)
  const lock = { start: BigInt(roll(3)), length: BigInt(roll(3)), procId: roll(2), clientId: 'c' }
  switch (pick) {
    case 0: return ['Tattach', { fid: fid(), afid: 0xffffffff, uname: '', aname: roll(2) ? '' : 'ro', nUname: roll(3) ? uid : 1000 }]
    case 1: case 2: case 3: case 4: return ['Twalk', { fid: fid(), newfid: fid(), names: [] }]
    case 5: case 6: case 7: return ['Twalk', { fid: dir(), newfid: fid(), names: [name(), ...roll(3) ? [] : [name()]] }]
    case 8: return ['Twalk', { fid: fid(), newfid: fid(), names: ['..'] }]
    case 9: case 10: return ['Tlopen', { fid: fid(), flags: [0, 2, 1, 0x200 | 2, 0x400 | 1][roll(5)]! }]
    case 11: case 12: return ['Tlcreate', { fid: fid(), name: name(), flags: roll(2) ? 0x42 : 0xc2, mode: 0o644, gid }]
    case 13: case 14: return ['Tread', { fid: fid(), offset: roll(100), count: roll(5000) }]
    case 15: case 16: return ['Twrite', { fid: fid(), offset: roll(2000), data: Buffer.alloc(roll(roll(5) ? 100 : 20_000), 'x') }]
    case 17: return ['Treaddir', { fid: fid(), offset: BigInt(roll(3)), count: roll(2000) }]
    case 18: case 19: case 20: return ['Tclunk', { fid: fid() }]
    case 21: return ['Tremove', { fid: 2 + roll(5) }]
    case 22: return ['Tgetattr', { fid: fid(), mask: 0x3fff }]
    case 23: return ['Tsetattr', { fid: fid(), valid: roll(2) ? 8 : 0x1ff & roll(512), mode: 0o777, uid, gid, size: roll(500), atime: { sec: 1, nsec: 1 }, mtime: { sec: 1, nsec: 1 } }]
    case 24: return ['Tmkdir', { dfid: dir(), name: name(), mode: 0o777, gid }]
    case 25: return ['Tunlinkat', { dirfid: dir(), name: name(), flags: roll(2) * 0x200 }]
    case 26: return ['Trenameat', { olddirfid: fid(), oldname: name(), newdirfid: fid(), newname: name() }]
    case 27: return ['Trename', { fid: fid(), dfid: dir(), name: name() }]
    case 28: return ['Tlink', { dfid: dir(), fid: fid(), name: name() }]
    case 29: return ['Tsymlink', { dfid: dir(), name: name(), target: 't', gid }]
    case 30: return ['Txattrwalk', { fid: fid(), newfid: fid(), name: roll(2) ? '' : 'user.a' }]
    case 31: return ['Txattrcreate', { fid: fid(), name: 'user.a', attrSize: roll(50), flags: roll(3) }]
    case 32: return ['Tlock', { fid: fid(), type: roll(3), flags: roll(2), ...lock }]
    default: return roll(2) ? ['Tgetlock', { fid: fid(), type: roll(3), ...lock }] : roll(2) ? ['Tfsync', { fid: fid(), datasync: roll(2) }] : ['Treadlink', { fid: fid() }]
  }
}

/** The same of 9P2000 and 9P2000.u. */
function older(roll: (below: number) => number): readonly [Request<'9P2000.u'>, object] {
  const fid = () => roll(7), name = () => `n${roll(5)}`, dir = () => roll(2)
  switch (roll(26)) {
    case 0: return ['Tattach', { fid: fid(), afid: 0xffffffff, uname: '', aname: roll(2) ? '' : 'ro', nUname: roll(3) ? uid : 1000 }]
    case 1: case 2: case 3: case 4: return ['Twalk', { fid: fid(), newfid: fid(), names: [] }]
    case 5: case 6: case 7: case 8: return ['Twalk', { fid: dir(), newfid: fid(), names: [name(), ...roll(3) ? [] : [name()]] }]
    case 9: return ['Twalk', { fid: fid(), newfid: fid(), names: ['..'] }]
    case 10: case 11: return ['Topen', { fid: fid(), mode: [OPEN.READ, OPEN.RDWR, OPEN.WRITE | OPEN.TRUNC, OPEN.EXEC, OPEN.RDWR | OPEN.RCLOSE, OPEN.RDWR | OPEN.APPEND][roll(6)]! }]
    case 12: case 13: return ['Tcreate', { fid: fid(), name: name(), perm: roll(3) ? 0o755 : DM.DIR + 0o755, mode: [OPEN.READ, OPEN.READ, OPEN.RDWR, OPEN.RDWR | OPEN.RCLOSE][roll(4)]!, extension: '' }]
    case 14: return ['Tcreate', { fid: fid(), name: name(), perm: DM.SYMLINK, mode: 0, extension: ['n1', '/n2', '../n3', './n4/n0', 'n0/../n1'][roll(5)]! }]
    case 15: return ['Tcreate', { fid: fid(), name: name(), perm: roll(3) ? DM.LINK : DM.NAMEDPIPE, mode: 0, extension: `${fid()}\n` }]
    case 16: case 17: return ['Tread', { fid: fid(), offset: roll(3) ? 0 : roll(300), count: roll(5000) }]
    case 18: return ['Twrite', { fid: fid(), offset: roll(2000), data: Buffer.alloc(roll(roll(5) ? 100 : 20_000), 'x') }]
    case 19: case 20: case 21: return ['Tclunk', { fid: fid() }]
    case 22: return ['Tremove', { fid: 2 + roll(5) }]
    case 23: return ['Tstat', { fid: fid() }]
    default: {
      const touched = { ...roll(2) && { name: name() }, ...roll(3) === 0 && { mode: 0o700 }, ...roll(3) === 0 && { length: roll(500) }, ...roll(3) === 0 && { mtime: roll(1e9) } }
      return ['Twstat', { fid: fid(), stat: { ...DONT_TOUCH, ...touched } }]
    }
  }
}

interface Sent { readonly name: string; flushed: boolean; replied: boolean }

/** One client for this many steps. */
async function client(url: string, seed: number, steps: number, dialect: Dialect): Promise<void> {
  const roll = dice(seed), either = dialect === '9P2000.L' ? await Raw.versioned(url) : await Plan9.versioned(url, dialect)
  const raw: Wire<never> = either as never, frame = frameOf as (dialect: Dialect, name: string, tag: number, fields: object) => Buffer
  await either.attach(0)
  let sent = new Map<number, Sent>(), flushes = new Map<number, { oldtag: number; of: Sent | undefined }>(), seen = raw.arrived.length, next = 0
  const unanswered = () => [...sent.values()].filter((request) => !request.replied && !request.flushed).length + flushes.size
  const check = () => {
    for (; seen < raw.arrived.length; seen++) {
      const { name, tag } = raw.arrived[seen] as Frame
      const flush = flushes.get(tag)
      if (flush) {
        assert.is(name, 'Rflush', `tag ${tag} of a Tflush`)
        flushes.delete(tag)
        if (flush.of) { flush.of.flushed = true; sent.delete(flush.oldtag) }
        continue
      }
      const request = sent.get(tag)
      assert.ok(request, `${name} with tag ${tag}, which stands for nothing`)
      assert.not(request!.replied, `a second reply to tag ${tag}: ${name}`)
      assert.ok(name === 'Rlerror' || name === 'Rerror' || name === `R${request!.name.slice(1)}`, `${name} to ${request!.name}`)
      request!.replied = true
      if (![...flushes.values()].some(({ oldtag }) => oldtag === tag)) sent.delete(tag)
    }
    raw.strays.length = 0
  }
  for (let step = 0; step < steps; step++) {
    const burst: Buffer[] = []
    for (let n = 1 + roll(8); n > 0; n--) {
      const tag = 30_000 + next++ % 20_000
      const waiting = [...sent].filter(([, request]) => !request.replied)
      if (roll(8) === 0) {
        const [oldtag, of] = waiting.length && roll(5) ? waiting[roll(waiting.length)]! : [tag - 1, sent.get(tag - 1)]
        flushes.set(tag, { oldtag, of })
        burst.push(frame(dialect, 'Tflush', tag, { oldtag }))
        continue
      }
      const [name, fields] = dialect === '9P2000.L' ? some(roll) : older(roll)
      sent.set(tag, { name, flushed: false, replied: false })
      burst.push(frame(dialect, name, tag, fields))
    }
    const all = Buffer.concat(burst), cut = roll(all.length + 1)
    raw.bytes(all.subarray(0, cut))
    if (roll(3) === 0) await new Promise(setImmediate)
    raw.bytes(all.subarray(cut))
    if (roll(4) === 0) await new Promise((resolve) => setTimeout(resolve, roll(3)))
    check()
    if (roll(60) === 0) {
      // Nothing of before may be answered after the Rversion.
      const reply = raw.reply(NOTAG)
      raw.bytes(frame(dialect, 'Tversion', NOTAG, { msize: 65536, version: dialect }))
      await reply
      const at = raw.arrived.findIndex(({ name }, i) => i >= seen && name === 'Rversion')
      const after = raw.arrived.splice(at).slice(1)
      check()
      assert.equal(after, [])
      sent = new Map()
      flushes = new Map()
      next += 100
      await either.attach(0)
      raw.arrived.length = seen = 0
    }
  }
  // What waits for a lock is flushed; the rest is answered.
  for (const [tag, request] of sent) if (request.name === 'Tlock' && !request.replied && ![...flushes.values()].some(({ oldtag }) => oldtag === tag)) {
    flushes.set(60_000 + tag - 30_000, { oldtag: tag, of: request })
    raw.bytes(frame(dialect, 'Tflush', 60_000 + tag - 30_000, { oldtag: tag }))
  }
  if (roll(3) === 0) { raw.reset(); await raw.closed; return }
  for (let tries = 0; unanswered() > 0; tries++) {
    assert.ok(tries < 1000, `${unanswered()} requests have no answer: ${[...sent.values()].filter((r) => !r.replied).map(({ name }) => name).join()}`)
    await new Promise((resolve) => setTimeout(resolve, 3))
    check()
  }
  raw.strays.length = 0
  await raw.end()
}

for (const [stack, steps] of [[onSlow, 150], [onMemory, 150], [onDisk, 60]] as const) {
  for (const [seed, dialects] of [[1, ['9P2000.L']], [2, ['9P2000.L']], [3, ['9P2000.L']], [4, ['9P2000']], [5, ['9P2000.u']], [6, ['9P2000.L', '9P2000.u', '9P2000']]] as const) {
    test(`${stack.name}, seed ${seed}, ${dialects.join(' and ')}`, async () => {
      const stand = await Stand.start(stack as Stack)
      try {
        await within(40, 'all clients', Promise.all([0, 1, 2].map((i) => client(i % 2 ? stand.tcp : stand.unix, seed * 100 + i, steps, dialects[i % dialects.length]!))))
        for (let tries = 0; stand.server.connections > 0; tries++) {
          assert.ok(tries < 500, 'connections end')
          await new Promise((resolve) => setTimeout(resolve, 2))
        }
        if (stack === onSlow) await stand.control.idle(1)
        assert.equal([stand.control.violations, stand.log.bugs.map(({ fields }) => `${fields.message}: ${fields.err?.stack}`)], [[], []])
        // No lock outlived its client.
        const raw = await Raw.versioned(stand.unix)
        await raw.attach(0)
        for (let i = 0; i < 5; i++) {
          if (await raw.outcome('Twalk', { fid: 0, newfid: 10 + i, names: [`n${i}`] }) !== 'ok' || await raw.outcome('Tlopen', { fid: 10 + i, flags: 0 }) !== 'ok') continue
          assert.equal(await raw.ok('Tlock', { fid: 10 + i, type: 1, flags: 0, start: 0n, length: 0n, procId: 99, clientId: 'last' }), { status: 0 })
        }
        await raw.end()
      } finally { await stand.stop() }
    })
  }
}

test.run()
