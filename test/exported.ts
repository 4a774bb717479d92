// A directory to export, a brick over it, and an eye on descriptors.

import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import * as assert from 'uvu/assert'
import { isErrno, O, type Code } from 'ninep'
import type { Given } from '../translators/options.ts'
import { posix } from '../translators/posix/posix.ts'
import type { Handle, Node, Translator } from '../translators/translator.ts'

/** In memory where the machine has a folder for that. */
export const base = fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir()
export const isRoot = process.geteuid!() === 0
export const me = { uid: process.geteuid!(), gid: process.getegid!() }
/** Someone else where the brick may have such, else the server itself. */
export const user = isRoot ? { uid: 1000, gid: 1001 } : me

/** Runs over a fresh exported directory, and checks after that all descriptors were given back. */
export async function over(options: Partial<Given<typeof posix.definition.options>>, run: (root: Node, dir: string, brick: Translator) => Promise<void>, where = base): Promise<void> {
  const dir = fs.mkdtempSync(path.join(where, 'ninefold-posix-'))
  const before = descriptors(dir)
  try {
    const brick = await posix({ path: dir, ...options })
    try {
      const root = await brick.attach('')
      await run(root, dir, brick)
      await root.close()
    } finally { await brick.close() }
    assert.equal(descriptors(dir), before, 'descriptors that were left open')
  } finally { fs.rmSync(dir, { recursive: true, force: true }) }
}

/** What is open below a directory. */
export function descriptors(dir: string): string[] {
  return fs.readdirSync('/proc/self/fd').flatMap((fd) => {
    try { return [fs.readlinkSync(`/proc/self/fd/${fd}`)] } catch { return [] }
  }).filter((target) => target.startsWith(dir))
}
/** How many descriptors the process holds. */
export function held(): number { return fs.readdirSync('/proc/self/fd').length }

/** That f is refused with this errno. */
export async function refused(code: Code, f: () => unknown): Promise<void> {
  try { await f() } catch (e) {
    assert.ok(isErrno(e, code), `${code} was expected, not ${String(e)}`)
    return
  }
  assert.unreachable(`${code} was expected`)
}

/** The node at names below a node; the ones between are closed. */
export async function reach(from: Node, ...names: string[]): Promise<Node> {
  let node = from
  for (const name of names) {
    const next = await node.walk(name)
    if (node !== from) await node.close()
    node = next
  }
  return node
}
export async function text(handle: Handle, size = 4096): Promise<string> { return Buffer.from(await handle.read(new Uint8Array(size), 0)).toString() }
/** What reading a node gives. */
export async function content(node: Node): Promise<string> {
  const handle = await node.open(O.RDONLY)
  try { return await text(handle) } finally { await handle.close() }
}
/** The names of a directory, as the kernel orders them. */
export async function names(dir: Node): Promise<string[]> {
  const handle = await dir.open(O.RDONLY), found: string[] = []
  try {
    await handle.readdir(0n, { add(_path, _type, _cookie, name) { found.push(typeof name === 'string' ? name : Buffer.from(name).toString()); return true } }, 0)
  } finally { await handle.close() }
  return found
}
