// What a client's number stands for.

import type { Handle } from '../translators/translator.ts'
import type { AttachRules } from './users.ts'
import type { Steps } from './drive.ts'
import type { File, Namespace, Place } from './namespace.ts'
import type { User } from './permission.ts'

/** One Tattach: who came in, where, under which rules. Shared by the fids that descend from it: while there are any, the
 *  root is retained. */
export class Attach {
  fids = 0
  constructor(readonly user: User, readonly rules: AttachRules, readonly root: File) {}
}

/** An extended attribute on its way: a value being read, or one being written until its clunk. */
export type Xattr =
  | { readonly writing: false; readonly value: Uint8Array }
  | { readonly writing: true; readonly name: string; readonly size: number; readonly flags: number; value: Uint8Array | null; got: number }

/** Takes away the name of what was closed. */
export type Removal = (namespace: Namespace, attach: Attach, file: File, dir: File | null, name: string) => Steps<void>
/** offset: bytes that were read so far. Mounts that stand in the directory come first; cookie: of the last of the other entries. */
export interface Reading { readonly offset: number; readonly mounts: number; readonly cookie: bigint }

export class Fid {
  handle: Handle | null = null
  /** As it was opened: O bits. */
  flags = 0
  xattr: Xattr | null = null
  /** The name it was reached by, for Tremove and Trename; renames of ours keep it true. null: by '..', or the root. */
  dir: File | null = null
  name = ''
  /** reserved: the number is taken, and nothing stands behind it yet. */
  state: 'reserved' | 'ready' | 'opening' | 'gone' = 'ready'
  /** Opened to be removed when it is closed: how. */
  removal: Removal | null = null
  /** Of a directory that is read as stats: where the next read has to go on. */
  reading: Reading | null = null
  /** The last of such reads under way, if there are: the next begins where that ends. */
  lastRead: Promise<unknown> | null = null
  /** Its last read had to wait, and the next one will. */
  waits = false
  /** Requests at work on it: its handle closes when it is gone and they are done. */
  uses = 0
  /** What a listing of it began with that stands over names of the directory. */
  over: readonly Place[] = []
  #lost: (() => void) | null = null
  /** The next fid that names the same file, and the one before. */
  next: Fid | null = null
  #before: Fid | null = null
  constructor(readonly number: number, public file: File, readonly attach: Attach) {
    file.retain()
    if (attach.fids++ === 0) attach.root.retain()
    this.#link()
  }

  /** The name that this fid was reached by; takes its own hold of the directory. */
  reachedBy(dir: File | null, name: string): void {
    dir?.retain()
    this.dir?.release()
    this.dir = dir
    this.name = name
  }
  /** Stands for another file from here on, which was retained for it. */
  become(file: File): void {
    this.#unlink()
    this.file.release()
    this.file = file
    this.#link()
  }
  /** Has another handle from here on; its own is closed when nothing is at work on it. null: at once. */
  lose(instead: Handle, close: (handle: Handle) => void): Promise<void> | null {
    const { handle } = this
    if (!handle) return null
    this.handle = instead
    if (this.uses === 0) { close(handle); return null }
    return new Promise((resolve) => { this.#lost = () => { close(handle); resolve() } })
  }
  /** Nothing is at work on its handle. */
  idle(): void {
    this.#lost?.()
    this.#lost = null
  }
  /** Lets go of what it names. The handle is closed apart. */
  drop(): void {
    this.state = 'gone'
    this.#unlink()
    this.file.release()
    this.dir?.release()
    this.dir = null
    this.xattr = null
    if (--this.attach.fids === 0) this.attach.root.release()
  }
  #link(): void {
    const first = this.file.fids
    if (first) first.#before = this
    this.next = first
    this.#before = null
    this.file.fids = this
  }
  #unlink(): void {
    if (this.#before) this.#before.next = this.next
    else this.file.fids = this.next
    if (this.next) this.next.#before = this.#before
  }
}
