// What the promises are written with. An author outside uses fails, get, put and text of these.

import { randomFillSync } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { Attrs, Errno, isErrno, O } from 'ninep'
import type { Attr, Code, Time } from 'ninep'
import type { Awaitable, Created, Handle, Node, Owner, Translator } from '../../translators/translator.ts'

/** Who owns what the promises make; others where two are needed. */
export const owner: Owner = { uid: 1000, gid: 1000 }
export const other: Owner = { uid: 2001, gid: 2002 }

/** UTF-8 bytes of a text. */
export function text(s: string): Uint8Array { return new TextEncoder().encode(s) }
/** `length` bytes of noise: a different block each time, so that no two files look alike by chance. */
export function noise(length: number): Uint8Array { return randomFillSync(new Uint8Array(length)) }

/** Passes if f throws the errno of this code (or one of these), and says what it did instead if not. */
export async function fails(code: Code | readonly Code[], f: () => unknown): Promise<void> {
  const codes: readonly Code[] = typeof code === 'string' ? [code] : code
  const got = await outcome(f)
  if (got === undefined) assert.unreachable(`expected ${codes.join(' or ')}, but it succeeded`)
  else if (!codes.includes(got.code)) assert.unreachable(`expected ${codes.join(' or ')}, got ${got.message}`)
}
/** The errno that f throws; undefined if it succeeds. Anything else it throws is thrown on: a refusal is an errno. */
export async function outcome(f: () => unknown): Promise<Errno | undefined> {
  try { await f() } catch (e) {
    if (isErrno(e)) return e
    throw e
  }
  return undefined
}

/** Byte for byte, with the first difference in the message: a diff of a megabyte helps nobody. */
export function same(actual: Uint8Array, expected: Uint8Array, what = 'bytes'): void {
  if (Buffer.compare(actual, expected) === 0) return
  const end = Math.min(actual.length, expected.length)
  let at = 0
  while (at < end && actual[at] === expected[at]) at++
  const show = (b: Uint8Array) => at < b.length ? Buffer.from(b.subarray(at, at + 8)).toString('hex') : 'the end'
  assert.unreachable(`${what}: ${actual.length} bytes for ${expected.length}, different from byte ${at}: ${show(actual)} for ${show(expected)}`)
}

/** The node at a path below this one or below a translator's root ('' is itself). */
export async function find(at: Translator | Node, path: string): Promise<Node> {
  let node = 'attach' in at ? await at.attach('') : at
  for (const name of path.split('/')) {
    if (name === '') continue
    const next = await node.walk(name)
    if (node !== at) await node.close()
    node = next
  }
  return node
}
/** Closes what find gave, unless it is where it began. */
async function done(at: Translator | Node, node: Node): Promise<void> { if (node !== at) await node.close() }

/** The whole content of the file at a path. */
export async function get(at: Translator | Node, path = ''): Promise<Uint8Array> {
  const node = await find(at, path)
  try {
    await using handle = await node.open(O.RDONLY)
    return await readAll(handle)
  } finally { await done(at, node) }
}
/** Makes the file at a path have this content; it is created if it is not there, its directories are not. */
export async function put(at: Translator | Node, path: string, bytes: Uint8Array): Promise<void> {
  const cut = path.lastIndexOf('/')
  const dir = await find(at, path.slice(0, Math.max(cut, 0))), name = path.slice(cut + 1)
  try {
    let made: Created | undefined
    try { made = await dir.create(name, O.RDWR, 0o644, owner) } catch (e) { if (!isErrno(e, 'EEXIST')) throw e }
    const node = made?.node ?? await dir.walk(name)
    try {
      await using handle = made?.handle ?? await node.open(O.RDWR | O.TRUNC)
      await writeAll(handle, bytes)
    } finally { await node.close() }
  } finally { await done(at, dir) }
}

/** From offset to the end, or `length` bytes if there are as many; short reads are gone on with. */
export async function readAll(handle: Handle, offset = 0, length = Infinity): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for (let have = 0; have < length;) {
    const into = new Uint8Array(Math.min(length - have, 65536))
    const got = await handle.read(into, offset + have)
    if (got.length === 0) break
    parts.push(got)
    have += got.length
  }
  return new Uint8Array(Buffer.concat(parts))
}
/** All of these bytes; short writes are gone on with. */
export async function writeAll(handle: Handle, bytes: Uint8Array, offset = 0): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const n = await handle.write(bytes.subarray(done), offset + done)
    assert.ok(Number.isInteger(n) && n > 0 && n <= bytes.length - done, `write answered ${n} to ${bytes.length - done} bytes`)
    done += n
  }
}

/** A new file with this content, as a node. */
export async function file(dir: Node, name: string, content: string | Uint8Array = '', mode = 0o644): Promise<Node> {
  const { node, handle } = await dir.create(name, O.RDWR, mode, owner)
  await writeAll(handle, typeof content === 'string' ? text(content) : content)
  await handle.close()
  return node
}
/** A new directory. */
export async function mkdir(dir: Node, name: string, mode = 0o755): Promise<Node> { return dir.mkdir(name, mode, owner) }
/** Whether there is a file of this name. */
export async function has(dir: Node, name: string): Promise<boolean> {
  const refused = await outcome(async () => (await dir.walk(name)).close())
  if (refused && refused.code !== 'ENOENT') throw refused
  return !refused
}
/** The content as a text: of a node, or of the file of this name in a directory. */
export async function read(node: Node, name = ''): Promise<string> { return Buffer.from(await get(node, name)).toString() }

export interface Entry { readonly path: bigint; readonly type: number; readonly cookie: bigint; readonly name: string; readonly attr?: Attr }
/** What a directory lists after a cookie: to the end, or `max` entries, after which the sink is full. */
export async function entries(handle: Handle, { after = 0n, max = Infinity, mask = 0 } = {}): Promise<{ list: Entry[]; end: boolean }> {
  const list: Entry[] = []
  const end = await handle.readdir(after, {
    add(path, type, cookie, name, attr) {
      if (list.length >= max) return false
      list.push({ path, type, cookie, name: typeof name === 'string' ? name : unicode(name), ...(attr ? { attr } : {}) })
      return true
    },
  }, mask)
  return { list, end }
}
/** Passes for an open directory that was removed: it is empty, or, as the kernel has it, ENOENT. */
export async function isDead(handle: Handle): Promise<void> {
  const refused = await outcome(async () => assert.equal(await entries(handle), { list: [], end: true }))
  if (refused && refused.code !== 'ENOENT') throw refused
}
/** All names of a directory, sorted by their UTF-16 units. */
export async function ls(dir: Node): Promise<string[]> {
  await using handle = await dir.open(O.RDONLY)
  return (await entries(handle)).list.map((e) => e.name).sort()
}

/** A name as a string: each byte that is not valid UTF-8 becomes U+DC00 + byte. Written here anew, as a check on ninep's. */
export function unicode(bytes: Uint8Array): string {
  let s = ''
  for (let i = 0; i < bytes.length;) {
    const b = bytes[i]!, n = b < 0x80 ? 1 : b >= 0xc2 && b < 0xe0 ? 2 : b >= 0xe0 && b < 0xf0 ? 3 : b >= 0xf0 && b < 0xf5 ? 4 : 0
    const c = n > 0 && i + n <= bytes.length ? Buffer.from(bytes.subarray(i, i + n)).toString() : ''
    const valid = n > 0 && c.length === (n === 4 ? 2 : 1) && c !== '\ufffd' || (n === 3 && b === 0xef && bytes[i + 1] === 0xbf && bytes[i + 2] === 0xbd)
    if (valid) { s += c; i += n } else { s += String.fromCharCode(0xdc00 + b); i++ }
  }
  return s
}

/** getattr, of everything. */
export async function stat(of: Node | Handle): Promise<Attr> { return of.getattr(Attrs.ALL) }
/** Long enough for the coarsest clock that stamps files (10 ms) to have moved. */
export async function tick(): Promise<void> { await sleep(12) }
export function nanoseconds(t: Time): bigint { return BigInt(t.sec) * 1_000_000_000n + BigInt(t.nsec) }
/** Passes if a comes after b. */
export function later(a: Time, b: Time, what: string): void {
  assert.ok(nanoseconds(a) > nanoseconds(b), `${what} did not move: ${a.sec}.${a.nsec} after ${b.sec}.${b.nsec}`)
}
/** What all of these promise, and what all that failed was; so that one refusal never goes unheard beside others. */
export async function codes(calls: readonly Awaitable<unknown>[]): Promise<(Code | 'done')[]> {
  const settled = await Promise.allSettled(calls.map(async (c) => c))
  return settled.map((s) => {
    if (s.status === 'fulfilled') return 'done'
    if (isErrno(s.reason)) return s.reason.code
    throw s.reason
  })
}
