// A change in the making: the operations of one record, and what follows in memory once it is made. Versions and history as
// FORMAT.md, "Epochs", has them: what a snapshot holds is kept before it is replaced.

import { bytesOfName, errno } from 'ninep'
import type { Awaitable } from '../translator.ts'
import { EMPTY } from './chunks.ts'
import type { File } from './file.ts'
import type { Instance } from './instance.ts'
import { deadKey, entryKey, goneKey, historyKey, ledgerKey, nameKey } from './keys.ts'
import { DELETE, PUT } from './record.ts'
import type { Op } from './record.ts'
import { encodeDent, encodeEntry, encodeInode, encodeVersioned, versionOf } from './values.ts'
import type { Dent, Inode, State, Versioned } from './values.ts'

export class Change {
  readonly ops: Op[] = []
  /** By how much the counters of the instance change. */
  files = 0
  used = 0
  readonly state: State
  #inodes = new Map<File, Inode>()
  #after: (() => void)[] = []
  constructor(readonly instance: Instance, readonly t: number) { this.state = instance.state(t) }

  put(key: string, value: Buffer): void { this.ops.push({ op: PUT, key, value }) }
  delete(key: string): void { this.ops.push({ op: DELETE, key }) }
  /** To be done in memory once it is made. */
  after(f: () => void): void { this.#after.push(f) }

  /** Keeps the old value where a snapshot holds it, and returns what `prev` is for the new one. */
  #stamp(key: string, old: Versioned | null, encode: () => Buffer): number {
    const { s, e, lists } = this.state
    if (s === 0) return old?.prev ?? 0
    if (!old || old.birth < e) this.put(ledgerKey(key, e), EMPTY)
    if (!old || old.birth > s) return old?.prev ?? 0
    const past = historyKey(key, s)
    this.put(past, encode())
    this.put(deadKey(this.t, lists.at(-1)!, old.birth, past.slice(4)), EMPTY)
    return s
  }
  /** Puts a value that is birth, prev and these bytes over what is there. */
  set(key: string, rest?: Uint8Array): void {
    const old = this.instance.store.get(key) ?? null
    this.put(key, encodeVersioned(this.state.e, this.#stamp(key, old && versionOf(old), () => old!), rest ?? ZERO))
  }
  /** Puts what `encode` makes over what is there. */
  replace(key: string, encode: (birth: number, prev: number) => Buffer): void {
    const old = this.instance.store.get(key) ?? null
    this.put(key, encode(this.state.e, this.#stamp(key, old && versionOf(old), () => old!)))
  }
  /** Takes away what is there. */
  remove(key: string): void {
    const old = this.instance.store.get(key)
    if (old) this.#removed(key, versionOf(old), () => old)
  }
  #removed(key: string, old: Versioned, encode: () => Buffer): number {
    const prev = this.#stamp(key, old, encode)
    if (prev > 0) this.put(key, encodeVersioned(this.state.e, prev))
    else this.delete(key)
    return prev
  }

  /** A file as this change will have it. */
  of(file: File): Inode { return this.#inodes.get(file) ?? file.v }
  /** ESTALE: a rollback took the file away. */
  inode(file: File, v: Inode): void {
    if (file.gone) throw errno('ESTALE', 'tree', String(file.ino))
    this.#inodes.set(file, v)
  }
  /** The file is no more. */
  forget(file: File): void {
    this.#inodes.delete(file)
    if (file.stored) this.#removed(file.key, file.v, () => encodeInode(file.v))
  }

  /** A name for a file. old: what is under it; a name that is taken over keeps its cookie. Returns the cookie. */
  enter(dir: File, name: string, old: Dent | null, ino: number, type: number): number {
    const { e } = this.state, key = nameKey(this.t, dir.ino, name), taken = old !== null && old.ino > 0
    const cookie = taken ? old.cookie : this.instance.takeCookie(), bytes = bytesOfName(name)
    if (taken) this.bury(dir.ino, bytes, old)
    const prev = this.#stamp(key, old, () => encode(old!))
    const dent = { birth: e, prev, ino, cookie, type }
    this.put(key, encodeDent(dent))
    this.put(entryKey(this.t, dir.ino, cookie), encodeEntry(e, ino, type, bytes))
    this.after(() => dir.name(name, dent))
    return cookie
  }
  /** A name that goes. */
  leave(dir: File, name: string, old: Dent): void {
    const prev = this.#removed(nameKey(this.t, dir.ino, name), old, () => encodeDent(old))
    this.bury(dir.ino, bytesOfName(name), old)
    this.delete(entryKey(this.t, dir.ino, old.cookie))
    const { e } = this.state
    this.after(() => {
      dir.name(name, prev > 0 ? { birth: e, prev, ino: 0, cookie: 0, type: 0 } : null)
      if (prev === 0 && dir.complete) dir.names.delete(name)
    })
  }
  /** What snapshots hold of an entry of the listing that goes. */
  bury(dir: number, name: Uint8Array, { birth, ino, cookie, type }: Dent): void {
    const { s, lists } = this.state
    if (birth > s) return
    const key = goneKey(this.t, dir, cookie, s)
    this.put(key, encodeEntry(birth, ino, type, name))
    this.put(deadKey(this.t, lists.at(-1)!, birth, key.slice(4)), EMPTY)
  }

  /** Makes it: see Instance.commit. */
  commit(): Awaitable<void> {
    const { e } = this.state
    for (const [file, v] of this.#inodes) {
      const prev = this.#stamp(file.key, file.stored ? file.v : null, () => encodeInode(file.v))
      const value = { ...v, birth: e, prev }
      this.#inodes.set(file, value)
      this.put(file.key, encodeInode(value))
    }
    const done = this.instance.commit(this.ops, this.files, this.used)
    for (const [file, v] of this.#inodes) {
      file.set(v)
      file.stored = true
    }
    for (const f of this.#after) f()
    return done
  }
}

/** So that a value is not taken for a tombstone. */
const ZERO = Buffer.of(0)
function encode(old: Dent): Buffer { return old.ino > 0 ? encodeDent(old) : encodeVersioned(old.birth, old.prev) }
