// The kernel's side of the protocol, spoken by this process over a socket in the place of /dev/fuse: what kernels of other ages say, and what
// none would. The server is the program.

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { errnos } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FOpen, IN_HEADER, Init, OUT_HEADER, opcodeOf } from '../../server/mount/fuse.ts'
import type { Operation } from '../../server/mount/fuse.ts'
import { Link, rootOf } from '../../server/mount/link.ts'
import { Mount } from '../../server/mount/mount.ts'
import { parseMountOptions } from '../../server/mount/options.ts'
import { silent } from '../../translators/options.ts'
import * as sys from '../../translators/sys.ts'
import { dice } from '../../server/dice.ts'
import { folder, start, within } from './stand.ts'
import type { Running } from './stand.ts'

const test = suite('mount: the protocol')
const home = await folder(), url = `unix:${home}/s.sock`
let server: Running
test.before(async () => { server = await start(['serve', '--at', '/=memory', '--listen', url, '--log', 'warn'], /^mount -t 9p /m, home, join(home, 'server.log')) })
test.after(async () => {
  server.child.kill('SIGKILL')
  await server.ended
  await rm(home, { recursive: true, force: true })
})

interface Reply { readonly error: number; readonly body: Buffer }
const u32 = (...words: number[]) => Buffer.from(Uint32Array.from(words).buffer)
const u64 = (...words: (number | bigint)[]) => Buffer.from(BigUint64Array.from(words.map(BigInt)).buffer)
const name = (text: string) => Buffer.from(`${text}\0`)

/** A kernel: it sends requests, and hears replies. */
class Kernel implements AsyncDisposable {
  readonly #fd: number
  readonly #waiting = new Map<number, (reply: Reply) => void>()
  readonly #buffer = Buffer.alloc(65536)
  readonly #unsent: Uint8Array[] = []
  /** What it was told without having asked. */
  readonly notices: number[] = []
  #unique = 2
  #over = false
  private constructor(fd: number, readonly mount: Mount, readonly link: Link) {
    this.#fd = fd
    sys.setNonblocking(fd)
    const hear = () => {
      if (this.#over) return
      this.#send()
      for (let size; (size = sys.readIfAny(fd, this.#buffer)) !== undefined && size > 0;) {
        assert.is(this.#buffer.readUInt32LE(0), size)
        if (this.#buffer.readBigUInt64LE(8) === 0n) { this.notices.push(this.#buffer.readInt32LE(4)); continue }
        const unique = this.#buffer.readUInt32LE(8), answer = this.#waiting.get(unique)
        assert.ok(answer, `a reply to ${unique}, which nobody has asked`)
        this.#waiting.delete(unique)
        answer({ error: -this.#buffer.readInt32LE(4), body: Buffer.from(this.#buffer.subarray(OUT_HEADER, size)) })
      }
      setImmediate(hear)
    }
    hear()
  }
  static async attach(options = ''): Promise<Kernel> {
    const link = await Link.open({ url, msize: 2 ** 16 + 24, reconnect: 1, log: silent })
    const { qid } = await rootOf(link.session!, 0, ''), [theirs, ours] = sys.socketpair('seqpacket')
    const mount = new Mount(theirs, { options: parseMountOptions([options]), link, log: silent, root: qid })
    mount.ended.catch(() => {})
    return new Kernel(ours, mount, link)
  }
  /** One that has agreed on a version. */
  static async begun(options = ''): Promise<Kernel> {
    const kernel = await Kernel.attach(options)
    assert.is((await kernel.init(7, 45, 0xffffffff)).error, 0)
    return kernel
  }

  init(major: number, minor: number, flags: number, flags2 = 0): Promise<Reply> {
    return this.ask('INIT', 0, u32(major, minor, 131072, flags), ...minor >= 36 ? [u32(flags2), Buffer.alloc(44)] : [])
  }
  ask(operation: Operation | number, nodeid: number | bigint, ...parts: Uint8Array[]): Promise<Reply> {
    return this.hear(operation, this.tell(operation, nodeid, ...parts))
  }
  /** The reply to what was told. */
  hear(operation: Operation | number, unique: number): Promise<Reply> {
    return within(20, new Promise<Reply>((done) => this.#waiting.set(unique, done)), () => `no reply to ${operation}`)
  }
  /** Sends what has no reply; its unique. */
  tell(operation: Operation | number, nodeid: number | bigint, ...parts: Uint8Array[]): number {
    const unique = this.#unique += 2, opcode = typeof operation === 'number' ? operation : opcodeOf(operation), body = Buffer.concat(parts)
    this.raw(Buffer.concat([u32(IN_HEADER + body.length, opcode), u64(unique, nodeid), u32(0, 0, process.pid, 0), body]))
    return unique
  }
  raw(bytes: Uint8Array): void { this.#unsent.push(bytes) }
  /** As much as there is room for: the other end is read by this very process. */
  #send(): void {
    for (let bytes; (bytes = this.#unsent[0]); this.#unsent.shift()) {
      try { sys.write(this.#fd, bytes) } catch (e) {
        if ((e as { code: string }).code === 'EAGAIN') return
        throw e
      }
    }
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true
    this.mount.close()
    await this.link.close()
    sys.close(this.#fd)
  }
  async lookup(dir: number | bigint, text: string): Promise<bigint> {
    const { error, body } = await this.ask('LOOKUP', dir, name(text))
    assert.is(error, 0, text)
    return body.readBigUInt64LE(0)
  }
  /** An empty file, and nothing that refers to it. */
  async make(text: string): Promise<void> {
    const { error, body } = await this.ask('MKNOD', 1, u32(0o100644, 0, 0, 0), name(text))
    assert.is(error, 0)
    this.tell('FORGET', body.readBigUInt64LE(0), u64(1))
  }
}

for (const [minor, size] of [[12, 24], [22, 24], [23, 64], [31, 64], [35, 64], [38, 64], [99, 64]] as const) {
  test(`a kernel of 7.${minor} is answered in ${size} bytes, and with nothing that it did not offer`, async () => {
    await using kernel = await Kernel.attach('default_permissions')
    const offered = minor < 20 ? Init.ASYNC_READ | Init.BIG_WRITES : minor < 28 ? Init.ASYNC_READ | Init.BIG_WRITES | Init.FLOCK_LOCKS | Init.DO_READDIRPLUS : 0xffffffff
    const { error, body } = await kernel.init(7, minor, offered >>> 0)
    assert.is(error, 0)
    assert.is(body.length, size)
    assert.is(body.readUInt32LE(0), 7)
    assert.is(body.readUInt32LE(4), Math.min(minor, 39))
    assert.is((body.readUInt32LE(12) & ~offered) >>> 0, 0)
    const maxWrite = body.readUInt32LE(20)
    assert.ok(maxWrite >= 4096 && maxWrite % 4096 === 0)
    if (minor >= 28) assert.is(body.readUInt16LE(28) * 4096, maxWrite)
    assert.is((await kernel.ask('GETATTR', 1, u32(0, 0), u64(0))).body.length, 104)
  })
}
test('a kernel of 8.1 is told 7, and asks again', async () => {
  await using kernel = await Kernel.attach()
  assert.is((await kernel.init(8, 1, 0)).body.readUInt32LE(0), 7)
  assert.is((await kernel.init(7, 45, 0)).error, 0)
  assert.is((await kernel.ask('GETATTR', 1, u32(0, 0), u64(0))).error, 0)
})
test('a kernel of 7.11 or 6.5 is refused, and the mount ends with a reason', async () => {
  for (const [major, minor] of [[7, 11], [6, 5]] as const) {
    await using kernel = await Kernel.attach()
    assert.is((await kernel.init(major, minor, 0)).error, errnos.EPROTO)
    await kernel.mount.ended.then(() => assert.unreachable(), (e: Error) => assert.match(e.message, `${major}.${minor}`))
  }
})
test('before INIT nothing is done, and a second INIT is refused', async () => {
  await using kernel = await Kernel.attach()
  assert.is((await kernel.ask('LOOKUP', 1, name('x'))).error, errnos.EIO)
  assert.is((await kernel.init(7, 31, 0)).error, 0)
  assert.is((await kernel.init(7, 31, 0)).error, errnos.EIO)
})
test('what is not known is ENOSYS, so that programs fall back', async () => {
  await using kernel = await Kernel.begun()
  // ACCESS, BMAP, IOCTL, POLL, FALLOCATE, LSEEK, COPY_FILE_RANGE, SETUPMAPPING, SYNCFS, TMPFILE, STATX, and one of tomorrow
  for (const opcode of [34, 37, 39, 40, 43, 46, 47, 48, 50, 51, 52, 999]) assert.is((await kernel.ask(opcode, 1, Buffer.alloc(64))).error, errnos.ENOSYS, String(opcode))
})

test('a million references are counted one by one, and nothing is left when they are forgotten', async () => {
  await using kernel = await Kernel.begun()
  const names = Array.from({ length: 500 }, (_, i) => `file-${i}`)
  // Not more at once than a socket has room for, which the device has for any number.
  const some = Array.from({ length: 20 }, (_, i) => names.slice(25 * i, 25 * i + 25))
  for (const part of some) await Promise.all(part.map((text) => kernel.make(text)))
  const counts = new Map<bigint, number>()
  // A reference is a reply that was heard. The rest of the million is what a kernel would have been told if it asked for ever.
  for (let round = 0; round < 40; round++) {
    for (const part of some) for (const id of await Promise.all(part.map((text) => kernel.lookup(1, text)))) counts.set(id, (counts.get(id) ?? 0) + 1)
  }
  assert.is(counts.size, 500)
  assert.is(kernel.mount.nodes.lookups, 20_000)
  for (const id of counts.keys()) {
    for (let i = 0; i < 1960; i++) kernel.mount.nodes.refer(kernel.mount.nodes.get(Number(id)))
    counts.set(id, 2000)
  }
  assert.is(kernel.mount.nodes.lookups, 1_000_000)
  const ids = [...counts.keys()]
  for (const id of ids) kernel.tell('FORGET', id, u64(1))
  kernel.tell('BATCH_FORGET', 0, u32(500, 0), ...ids.map((id) => u64(id, 1998)))
  await kernel.ask('GETATTR', 1, u32(0, 0), u64(0))
  assert.is(kernel.mount.nodes.lookups, 500)
  assert.is(kernel.mount.nodes.size, 501)
  for (const id of ids) assert.is((await kernel.ask('GETATTR', id, u32(0, 0), u64(0))).error, 0)
  kernel.tell('BATCH_FORGET', 0, u32(500, 0), ...ids.map((id) => u64(id, 1)))
  await kernel.ask('GETATTR', 1, u32(0, 0), u64(0))
  assert.is(kernel.mount.nodes.size, 1)
  assert.is((await kernel.ask('GETATTR', ids[0]!, u32(0, 0), u64(0))).error, errnos.ESTALE)
  // The fids went with them: the next one is a number of the first few, not one behind five hundred.
  await kernel.lookup(1, 'file-0')
  assert.ok(kernel.link.session!.client.takeFid() < 600)
})

test('a lookup of something that is known gives the same node; of a new file by an old name another', async () => {
  await using kernel = await Kernel.begun()
  await kernel.make('old')
  const id = await kernel.lookup(1, 'old')
  assert.is(await kernel.lookup(1, 'old'), id)
  assert.is((await kernel.ask('UNLINK', 1, name('old'))).error, 0)
  assert.is((await kernel.ask('LOOKUP', 1, name('old'))).error, errnos.ENOENT)
  await kernel.make('old')
  assert.is.not(await kernel.lookup(1, 'old'), id)
})

test('a wait for a lock ends with EINTR when it is interrupted, and the lock is not taken', async () => {
  await using kernel = await Kernel.begun()
  await kernel.make('locked')
  const id = await kernel.lookup(1, 'locked'), last = 2n ** 63n - 1n
  const open = async () => (await kernel.ask('OPEN', id, u32(2, 0))).body.readBigUInt64LE(0)
  const one = await open(), other = await open()
  const lock = (fh: bigint, owner: number, type: number) => [u64(fh, owner, 0, last), u32(type, owner, 0, 0)]
  assert.is((await kernel.ask('SETLK', id, ...lock(one, 100, 1))).error, 0)
  assert.is((await kernel.ask('SETLK', id, ...lock(other, 200, 1))).error, errnos.EAGAIN)
  const unique = kernel.tell('SETLKW', id, ...lock(other, 200, 1)), waiting = kernel.hear('SETLKW', unique)
  await kernel.ask('GETATTR', 1, u32(0, 0), u64(0))
  kernel.tell('INTERRUPT', 0, u64(unique))
  assert.is((await waiting).error, errnos.EINTR)
  assert.is((await kernel.ask('SETLK', id, ...lock(one, 100, 2))).error, 0)
  const { body } = await kernel.ask('GETLK', id, ...lock(one, 300, 1))
  assert.is(body.readUInt32LE(16), 2, 'nobody has it')
})

test('what no kernel says is refused, or passed over, and the mount goes on', async () => {
  await using kernel = await Kernel.begun()
  await kernel.make('there')
  const int = dice(2026), pick = <T>(some: readonly T[]) => some[int(some.length)]!, bytes = (count: number) => Buffer.from(Array.from({ length: count }, () => int(256)))
  const opcodes = Array.from({ length: 60 }, (_, i) => i).filter((opcode) => opcode !== 38)
  let asked = 0
  for (let i = 0; i < 3000; i++) {
    const opcode = pick(opcodes), body = bytes(int(120))
    // FORGET, BATCH_FORGET and INTERRUPT have no reply, whatever they say.
    if (opcode === 2 || opcode === 42 || opcode === 36) kernel.tell(opcode, pick([0, 1, 2, 77]), body)
    else {
      asked++
      const { error } = await kernel.ask(opcode, pick([0n, 1n, 2n, 77n, 2n ** 63n]), body)
      assert.ok(error >= 0 && error < 512)
    }
    if (i % 100 === 0) kernel.raw(bytes(1 + int(IN_HEADER - 1)))   // not even a header
  }
  assert.ok(asked > 2000)
  assert.is((await kernel.ask('GETATTR', 1, u32(0, 0), u64(0))).error, 0)
  assert.is(kernel.mount.busy, 0)
})
test('handles and nodes that are none are EBADF and ESTALE', async () => {
  await using kernel = await Kernel.begun()
  const io = [u64(99, 0), u32(4096, 0), u64(0), u32(0, 0)]
  assert.is((await kernel.ask('READ', 1, ...io)).error, errnos.EBADF)
  assert.is((await kernel.ask('WRITE', 1, u64(99, 0), u32(4, 0), u64(0), u32(0, 0), Buffer.from('four'))).error, errnos.EBADF)
  assert.is((await kernel.ask('READDIR', 1, ...io)).error, errnos.EBADF)
  assert.is((await kernel.ask('RELEASE', 1, u64(99), u32(0, 0), u64(0))).error, errnos.EBADF)
  assert.is((await kernel.ask('LOOKUP', 99, name('x'))).error, errnos.ESTALE)
  assert.is((await kernel.ask('RENAME2', 1, u64(1), u32(2, 0), name('a'), name('b'))).error, errnos.EINVAL)
})
test('an open of what has changed elsewhere says so first', async () => {
  await using kernel = await Kernel.begun(), other = await Kernel.begun()
  await kernel.make('shared')
  const [mine, his] = [await kernel.lookup(1, 'shared'), await other.lookup(1, 'shared')]
  const open = async (one: Kernel, id: bigint) => (await one.ask('OPEN', id, u32(1, 0))).body.readBigUInt64LE(0)
  await open(other, his)
  assert.equal(other.notices, [])
  const fh = await open(kernel, mine)
  assert.is((await kernel.ask('WRITE', mine, u64(fh, 0), u32(4, 0), u64(0), u32(0, 0), Buffer.from('text'))).error, 0)
  await open(other, his)
  assert.equal(other.notices, [2])
})
test('cache=none has contents kept by nobody', async () => {
  for (const [options, flag] of [['cache=none', FOpen.DIRECT_IO], ['', 0]] as const) {
    await using kernel = await Kernel.begun(options)
    await kernel.make(`file of ${options}`)
    const id = await kernel.lookup(1, `file of ${options}`), { body } = await kernel.ask('OPEN', id, u32(0, 0))
    assert.is(body.readUInt32LE(8) & FOpen.DIRECT_IO, flag)
  }
})

test.run()
