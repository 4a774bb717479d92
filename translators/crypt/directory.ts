// A directory of the node face: its id, and by which names it may be reached. FORMAT.md, "The node face: directories".

import { Attrs, O, entryName, isErrno } from 'ninep'
import { NONCE, open, randomInto, seal, TAG } from '../sodium.ts'
import { Turn } from '../turn.ts'
import type { Node } from '../translator.ts'
import type { Damage } from './file.ts'
import type { Ring } from './ring.ts'

export const ID = 'dir.id'
const VERSION = 1
/** id[16] n[1] and room for two names. */
const MESSAGE = 49

/** Whether a name in the child is one of ours, beside names. */
export function isOurs(stored: string): boolean { return stored === ID || stored === 'dir.links' || stored.startsWith('tmp.') || stored.startsWith('name.') }

export class SealedDirectory {
  /** Shared: names are made in it. Alone: it is removed. */
  readonly turn = new Turn()
  /** It was removed. */
  gone = false
  #id: Buffer | undefined
  #names: Buffer[] = []
  #loading: Promise<Buffer> | undefined
  readonly #known = new Set<string>()
  constructor(readonly ring: Ring) {}

  /** Its id. EIO: there is none that is valid, or it is not of this name (null: any). node: of the child. */
  id(node: Node, name: Buffer | null, damage: Damage): Buffer | Promise<Buffer> {
    if (this.#id) return this.#checked(name, damage)
    return (this.#loading ??= this.#load(node, name, damage).finally(() => { this.#loading = undefined })).then(() => this.#checked(name, damage))
  }
  #checked(name: Buffer | null, damage: Damage): Buffer {
    if (name && !this.#known.has(name.toString('latin1'))) damage(ID, 'it is the directory of another name')
    return this.#id!
  }
  async #load(node: Node, name: Buffer | null, damage: Damage): Promise<Buffer> {
    const bytes = await content(node, ID, 4096)
    if (!bytes || bytes.length === 0) {
      if ((await holds(node)).other) damage(ID, bytes ? 'its id is empty, and it is not' : 'it has no id')
      const id = Buffer.alloc(16)
      randomInto(id)
      this.#names = name ? [Buffer.from(name)] : []
      await this.#write(node, id)
      this.#id = id
    } else {
      const message = Buffer.alloc(Math.max(0, bytes.length - 1 - NONCE - TAG))
      if (bytes[0] !== VERSION) damage(ID, `its id is of version ${bytes[0]}, and this one knows ${VERSION}`)
      if (message.length !== MESSAGE || !open(message, bytes.subarray(1 + NONCE), bytes.subarray(1, 1 + NONCE), this.ring.directory)) damage(ID, 'its id was altered, or sealed by another key')
      this.#names = Array.from({ length: message[16]! }, (_, i) => message.subarray(17 + 16 * i, 33 + 16 * i))
      this.#id = message.subarray(0, 16)
    }
    for (const one of this.#names) this.#known.add(one.toString('latin1'))
    return this.#id
  }
  /** A new directory's. node: of the child, and nobody else has it. */
  async begin(node: Node, name: Buffer): Promise<void> {
    const id = Buffer.alloc(16)
    randomInto(id)
    this.#names = [Buffer.from(name)]
    await this.#write(node, id)
    this.#id = id
    this.#known.add(name.toString('latin1'))
  }
  /** Its names are these, one or two. Loaded. */
  async bind(node: Node, ...names: readonly Buffer[]): Promise<void> {
    this.#names = names.map((name) => Buffer.from(name))
    for (const name of names) this.#known.add(name.toString('latin1'))
    await this.#write(node, this.#id!)
  }
  /** Its id again, after it was emptied and not removed. */
  async restore(node: Node): Promise<void> { await this.#write(node, this.#id!) }
  async #write(node: Node, id: Buffer): Promise<void> {
    const message = Buffer.concat([id, Buffer.of(this.#names.length), ...this.#names], MESSAGE), bytes = Buffer.alloc(1 + NONCE + message.length + TAG)
    bytes[0] = VERSION
    randomInto(bytes.subarray(1, 1 + NONCE))
    seal(bytes.subarray(1 + NONCE), message, bytes.subarray(1, 1 + NONCE), this.ring.directory)
    await store(node, ID, bytes)
  }
}

/** The bytes of a small file of the child, at most `most`; undefined: there is none. */
export async function content(dir: Node, name: string, most: number): Promise<Buffer | undefined> {
  let node: Node
  try { node = await dir.walk(name) } catch (e) {
    if (isErrno(e, 'ENOENT')) return undefined
    throw e
  }
  try {
    await using handle = await node.open(O.RDONLY)
    const into = Buffer.alloc(most)
    let have = 0
    while (have < most) {
      const rest = into.subarray(have), got = await handle.read(rest, have)
      if (got.length === 0) break
      if (got.buffer !== rest.buffer || got.byteOffset !== rest.byteOffset) rest.set(got)
      have += got.length
    }
    return into.subarray(0, have)
  } finally { await node.close() }
}
/** A small file of the child with these bytes, by one write; it has the owner of its directory. One that is there has to be of the same length, or empty.
 *  It survives power loss from then on: a name that is there without it could not be read. */
export async function store(dir: Node, name: string, bytes: Uint8Array): Promise<void> {
  const { uid, gid } = await dir.getattr(Attrs.UID | Attrs.GID)
  let handle
  try {
    const made = await dir.create(name, O.RDWR, 0o600, { uid, gid })
    await made.node.close()
    handle = made.handle
  } catch (e) {
    if (!isErrno(e, 'EEXIST')) throw e
    await using node = await dir.walk(name)
    handle = await node.open(O.RDWR)
  }
  try {
    await handle.write(bytes, 0)
    await handle.fsync(false)
  } finally { await handle.close() }
}
/** What a directory of the child holds: our own, and whether anything else, which ends the looking. */
export async function holds(dir: Node): Promise<{ ours: string[]; other: boolean }> {
  const ours: string[] = []
  let other = false
  await using handle = await dir.open(O.RDONLY | O.DIRECTORY)
  await handle.readdir(0n, {
    add(_path, _type, _cookie, bytes) {
      const name = entryName(bytes)
      if (isOurs(name)) ours.push(name)
      else if (name !== 'lost+found') other = true
      return !other
    },
  }, 0)
  return { ours, other }
}
/** Nothing, where it is not there. */
export async function remove(dir: Node, name: string): Promise<void> {
  try { await dir.unlinkat(name, 0) } catch (e) { if (!isErrno(e, 'ENOENT')) throw e }
}
