// A server that lies, against our own client: replies of the right kind with anything in them, of the wrong kind, spoiled, twice,
// never; and an end at any byte. Whatever comes, every call must end: with an answer, or with an Errno.

import { rmSync, mkdtempSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { codecs, connect, dialects, isErrno, nameOf, putDirent, putStat, putUnixStat } from 'ninep'
import type { Client, Dialect, File, Name } from 'ninep'
import { dice } from '../../server/dice.ts'
import { within } from '../wire/raw.ts'
import { mutate, raw } from './mutate.ts'
import { byField, count, name, one, size, u32Edges, u64 } from './pools.ts'
import type { Roll } from './pools.ts'

/** Seconds until a call must have ended, of a connection that has. */
const LIMIT = 30
const out = Buffer.allocUnsafeSlow(4 << 20)

/** A reply to this request, or what is told as one: from `at` to the end that is returned. */
function lie(roll: Roll, dialect: Dialect, asked: string, request: Buffer, at: number): number {
  const tag = roll(100) > 0 ? request.readUInt16LE(5) : roll(65536)
  const error = dialect === '9P2000.L' ? 'Rlerror' : 'Rerror'
  const replies = Object.keys(dialects[dialect]).filter((name) => name.startsWith('R'))
  const reply = roll(8) === 0 ? error : roll(60) === 0 ? one(roll, replies) : `R${asked.slice(1)}`
  const layout = (dialects[dialect] as Readonly<Record<string, readonly [number, Readonly<Record<string, string>>]>>)[reply]?.[1] ?? {}
  const fields = Object.fromEntries(Object.entries(layout).map(([field, kind]) => [field, value(roll, dialect, reply, field, kind, request)]))
  const encode = (codecs[dialect].encoders as Readonly<Record<string, (tag: number, fields: object, into: Buffer, at: number) => number>>)[reply]
  let end = at
  try { end = encode?.(tag, fields, out, at) ?? at } catch { /* a name too long, say: then nothing */ }
  return end > at && roll(12) === 0 ? mutate(roll, out, at, end, at) : end
}

function value(roll: Roll, dialect: Dialect, reply: string, field: string, kind: string, request: Buffer): unknown {
  const honest = roll(12) > 0
  switch (kind) {
    case 'u8': return honest ? roll(3) : roll(256)
    case 'u16': return roll(65536)
    case 'u64': return u64(roll)
    case 'size': return size(roll)
    case 'qid': return qid(roll)
    case 'time': return byField.atime!(roll)
    case 'stat': case 'unixStat': return byField.stat!(roll)
    case 'name': return name(roll)
    case 'qids': return Array.from({ length: honest && request.length >= 17 ? request.readUInt16LE(15) % 64 : roll(20) }, () => qid(roll))
    case 'data': {
      const asked = request.length >= 23 ? request.readUInt32LE(19) : 0, most = honest ? Math.min(asked, 200_000) : roll(300_000)
      return reply === 'Rreaddir' || (dialect !== '9P2000.L' && roll(2)) ? listing(roll, dialect, most) : Buffer.alloc(roll(3) ? most : roll(most + 1), 'lies ')
    }
    default: return reply === 'Rwrite' && field === 'count' && honest ? Math.max(0, request.length - 23) : field === 'iounit' && honest ? 0 : one(roll, u32Edges)
  }
}
function qid(roll: Roll): object { return { type: one(roll, [0, 0x80, 0x80, 2, 0xff]), version: roll(3), path: u64(roll) } }
/** Entries of a directory, some of them over again, the last perhaps in part. */
function listing(roll: Roll, dialect: Dialect, most: number): Buffer {
  const bytes = Buffer.alloc(Math.min(most, 4000))
  let at = 0
  for (let i = roll(20); i > 0; i--) {
    const stat = byField.stat!(roll) as Parameters<typeof putUnixStat>[3]
    const end = dialect === '9P2000.L' ? putDirent(bytes, at, bytes.length, roll(256), 0, u64(roll), u64(roll), roll(16), name(roll))
      : dialect === '9P2000' ? putStat(bytes, at, bytes.length, stat) : putUnixStat(bytes, at, bytes.length, stat)
    if (end < 0) break
    at = end
  }
  return bytes.subarray(0, roll(10) ? at : roll(at + 1))
}

/** One connection of the liar's: honest until there is a version, and gone after so many replies. */
function serve(socket: Socket, roll: Roll, dialect: Dialect): void {
  let have = Buffer.alloc(0), left = 20 + roll(300)
  const honest = roll(20) > 0
  socket.on('error', () => {})
  // One who waits for what never comes is given up.
  socket.setTimeout(200, () => socket.destroy())
  socket.on('data', (chunk: Buffer) => {
    have = Buffer.concat([have, chunk])
    let end = 0
    while (have.length >= 4 && have.length >= have.readUInt32LE(0) && have.readUInt32LE(0) >= 7) {
      const request = have.subarray(0, have.readUInt32LE(0)), asked = nameOf(request[4]!, dialect)
      have = have.subarray(request.length)
      if (asked === 'Tversion' && honest) end = codecs[dialect].encoders.Rversion(0xffff, { msize: Math.min(request.readUInt32LE(7), one(roll, [4096, 8192, 65536, 1 << 20])), version: dialect }, out, end)
      else if (roll(100) > 0) end = lie(roll, dialect, asked ?? 'Tclunk', request, end)
      if (roll(60) === 0) end = raw(roll, out, end, 8192)
      if (--left === 0) {
        socket.end(Buffer.from(out.subarray(0, roll(end + 1))), () => socket.destroy())
        socket.removeAllListeners('data')
        socket.resume()
        return
      }
      if (end > 1 << 20) break
    }
    const reply = Buffer.from(out.subarray(0, end)), cut = roll(3) ? 0 : roll(end + 1)
    socket.write(reply.subarray(0, cut))
    setImmediate(() => { if (!socket.destroyed) socket.write(reply.subarray(cut)) })
  })
}

type Deed = (file: File, roll: Roll, client: Client) => Promise<unknown>
const bytes = Buffer.alloc(100_000, 'w')
async function drain(all: AsyncIterable<unknown>): Promise<void> { let n = 0; for await (const _ of all) if (++n > 2000) return }
const lock = (roll: Roll) => ({ type: roll(3), flags: 1, start: u64(roll), length: u64(roll), procId: 1, clientId: 'c' })
const deeds: readonly Deed[] = [
  (file, roll) => file.walk(...Array.from({ length: roll(20) }, () => name(roll))), (file) => file.clone(), (file, roll) => file.open(roll(3)), (file, roll) => file.open(roll(3)),
  (file, roll) => file.create(name(roll), roll(3), 0o644), (file, roll) => file.read(size(roll), Math.min(count(roll, 65536), 1 << 20)), (file, roll) => file.readInto(Buffer.alloc(roll(300_000)), roll(100)),
  (file, roll) => file.write(bytes.subarray(0, roll(100_000)), roll(1000)), (file) => drain(file.stream()), (file) => drain(file.readdir()), (file) => drain(file.readdir({ dots: true })),
  (file) => file.getattr(), (file, roll) => file.setattr({ size: roll(100), mtime: 'now' }), (file) => file.statfs(), (file) => file.fsync(), (file) => file.readlink(),
  (file, roll) => file.mkdir(name(roll), 0o755), (file, roll) => file.symlink(name(roll), 't'), (file, roll) => file.mknod(name(roll), 0o644), (file, roll) => file.link(file, name(roll)),
  (file, roll) => file.rename(file, name(roll)), (file, roll) => file.renameat(name(roll), file, name(roll)), (file, roll) => file.unlinkat(name(roll), roll(2) * 0x200),
  (file, roll) => file.getxattr(name(roll)), (file) => file.listxattr(), (file, roll) => file.setxattr('user.a', bytes.subarray(0, roll(50))), (file) => file.removexattr('user.a'),
  (file, roll) => file.lock(lock(roll)), (file, roll) => file.getlock(lock(roll)), (file) => file.clunk(), (file) => file.remove(), (_file, _roll, client) => client.attach(),
  (file, roll) => file.read(0, 100_000, { signal: AbortSignal.timeout(roll(5)) }), (file, roll) => drain(file.stream(0, { signal: AbortSignal.timeout(roll(5)) })),
  (file, roll, client) => client.rpc(one(roll, ['Tclunk', 'Twalk', 'Tread', 'Tattach'] as Name[]) as 'Tclunk', { fid: file.fid, newfid: 9, names: ['a'], offset: 0, count: 10, afid: 1, uname: '', aname: '', nUname: 0 } as never, { signal: AbortSignal.timeout(roll(5)) }),
]

export interface Lies { readonly connections: number; readonly calls: number; readonly failed: number; readonly wrong: readonly string[] }

/** Calls on connections to the liar, for so many seconds. wrong: what ended otherwise than with an answer or an Errno, or not at all. */
export async function against(dialect: Dialect, seed: number, seconds: number): Promise<Lies> {
  const folder = mkdtempSync(join(tmpdir(), 'ninefold-liar-')), url = `unix:${folder}/socket`
  const started = performance.now(), wrong: string[] = []
  let connections = 0, calls = 0, failed = 0
  const server = createServer({ allowHalfOpen: true }, (socket) => serve(socket, dice(seed * 31 + connections), dialect))
  await new Promise<void>((resolve) => server.listen(`${folder}/socket`, resolve))
  const ended = async (what: string, deed: Promise<unknown>) => {
    calls++
    try { return await within(LIMIT, what, deed) } catch (e) {
      failed++
      const gaveUp = (e as Error).name === 'TimeoutError' || (e as Error).name === 'AbortError'
      if (!isErrno(e) && !gaveUp) wrong.push(`seed ${seed}, connection ${connections}: ${what}: ${(e as Error).stack}`)
      return undefined
    }
  }
  const unhandled = (e: unknown) => { wrong.push(`seed ${seed}, connection ${connections}: nobody asked for: ${(e as Error).stack}`) }
  process.on('unhandledRejection', unhandled).on('uncaughtException', unhandled)
  try {
    for (; performance.now() - started < seconds * 1000 && wrong.length === 0; connections++) {
      const roll = dice(seed * 17 + connections)
      const client = await ended('connect', connect(url, { dialect, msize: one(roll, [4096, 65536, 1 << 20]), timeout: 1000 })) as Client | undefined
      if (!client) continue
      const files: File[] = [], keep = (got: unknown) => { if (got && typeof got === 'object' && 'walk' in got) files.push(got as File) }
      const work: Promise<void>[] = []
      for (let n = 0; n < 200 && !client.closed; n++) {
        const which = roll(deeds.length), file = files.length > 0 ? one(roll, files) : undefined
        const deed = file ? () => deeds[which]!(file, roll, client) : () => client.attach()
        work.push(ended(`deed ${file ? which : 'attach'}`, (async () => deed())()).then(keep))
        if (roll(4) === 0) await Promise.race([Promise.all(work), new Promise((resolve) => setTimeout(resolve, 5))])
      }
      if (roll(2)) await within(LIMIT, 'all', Promise.all(work)).catch((e: Error) => wrong.push(e.message))
      await within(LIMIT, 'close', client.close()).catch((e: Error) => wrong.push(e.message))
      await within(LIMIT, 'all, after the close', Promise.all(work)).catch((e: Error) => wrong.push(e.message))
    }
  } finally {
    await new Promise(setImmediate)
    process.off('unhandledRejection', unhandled).off('uncaughtException', unhandled)
    server.close()
    rmSync(folder, { recursive: true })
  }
  return { connections, calls, failed, wrong }
}
