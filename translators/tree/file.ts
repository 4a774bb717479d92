// Files in memory: one object for each inode that somebody has, and of those that nobody has as many as there is room for.

import { Attrs, qidType, S } from 'ninep'
import type { Attr, Qid } from 'ninep'
import { ACL_ACCESS } from '../acl.ts'
import { inodeKey } from './keys.ts'
import type { Dent, Inode } from './values.ts'

/** Names of one directory that are kept while not all are known, and how many a directory may have all of which are. */
const SOME = 4096, ALL = 65536

export class File {
  readonly key: string
  qid: Qid
  /** Nodes and handles that stand for it. */
  refs = 0
  /** Whether the database knows it, and knows it as one without a name. */
  stored = true
  orphan = false
  /** A rollback took it away while somebody had it. */
  gone = false
  /** Names in it, in the order of cookies where `complete` says that there are no others. ino 0: a name that is gone, and has a past; null: there is none. */
  names: Map<string, Dent | null> = new Map()
  complete = false
  /** What failed after a reply: each handle tells it once. */
  failure: { readonly error: unknown } | null = null
  /** Chunks from here on are being deleted; settles when they are. */
  cutting: Promise<void> | null = null

  constructor(t: number, readonly ino: number, public v: Inode) {
    this.key = inodeKey(t, ino)
    this.qid = { type: qidType(v.mode), version: v.version, path: BigInt(ino) }
  }
  set(v: Inode): void {
    this.v = v
    if (v.version !== this.qid.version) this.qid = { type: this.qid.type, version: v.version, path: this.qid.path }
  }
  is(type: number): boolean { return (this.v.mode & S.IFMT) === type }
  get isDirectory(): boolean { return (this.v.mode & S.IFMT) === S.IFDIR }

  /** Remembers what is under a name. */
  name(name: string, dent: Dent | null): void {
    const { names } = this, there = names.get(name)
    if (there && there.cookie !== dent?.cookie) names.delete(name)     // so that the order stays that of cookies
    if (dent || !this.complete) names.set(name, dent)
    if (names.size > (this.complete ? ALL : SOME)) this.forget()
  }
  /** A new map, for who goes through the old one. */
  forget(): void {
    this.names = new Map()
    this.complete = false
  }
}

export function attrOf(v: Inode, qid: Qid, mask: number): Attr {
  const type = v.mode & S.IFMT, bytes = v.inline?.length ?? 0
  return {
    valid: mask & Attrs.ACL ? Attrs.ALL | Attrs.ACL : Attrs.ALL, qid, mode: v.mode, uid: v.uid, gid: v.gid, nlink: v.nlink, rdev: v.rdev,
    size: type === S.IFDIR ? 4096 : v.size, blksize: 4096, blocks: Math.ceil((v.used + (type === S.IFREG ? bytes : 0)) / 512),
    atime: v.atime, mtime: v.mtime, ctime: v.ctime, btime: v.btime, gen: 0n,
    dataVersion: mask & Attrs.DATA_VERSION ? BigInt(v.version) : 0n, acl: mask & Attrs.ACL ? v.xattrs?.get(ACL_ACCESS)?.value ?? undefined : undefined,
  }
}

/** Files by inode number; load reads one. */
export class Files {
  #all = new Map<number, File>()
  /** Those that nobody has, the one that was let go first at the front. */
  #idle = new Map<number, File>()
  constructor(private readonly room: number, private readonly load: (ino: number) => File) {}
  get(ino: number): File {
    let file = this.#all.get(ino)
    if (!file) {
      file = this.load(ino)
      this.#all.set(ino, file)
      this.#rest(file)
    }
    return file
  }
  *[Symbol.iterator](): Generator<File> { yield* [...this.#all.values()] }
  known(ino: number): File | undefined { return this.#all.get(ino) }
  add(file: File): void { this.#all.set(file.ino, file) }
  retain(file: File): File {
    if (file.refs++ === 0) this.#idle.delete(file.ino)
    return file
  }
  /** True: nobody has it any more. */
  release(file: File): boolean {
    if (--file.refs > 0) return false
    this.#rest(file)
    return true
  }
  #rest(file: File): void {
    this.#idle.set(file.ino, file)
    if (this.#idle.size <= this.room) return
    const [oldest] = this.#idle.values()
    if (oldest!.cutting) { this.#idle.delete(oldest!.ino); this.#idle.set(oldest!.ino, oldest!) } else this.forget(oldest!)
  }
  forget(file: File): void {
    if (file.refs > 0) return
    this.#idle.delete(file.ino)
    this.#all.delete(file.ino)
  }
}
