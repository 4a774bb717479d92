// What is in an archive, as columns of numbers: some 120 bytes a file with its name, where objects would take 500. A file is an
// index into one set of columns, a name in a directory an index into the other.

import { bytesOfName, nameOfBytes } from 'ninep'
import type { Time } from 'ninep'

export const NONE = 0xffffffff

class Column<A extends Float64Array | Uint32Array | Uint16Array | Uint8Array> {
  constructor(public values: A) {}
  grow(): void {
    const { values } = this, more = new (values.constructor as new (n: number) => A)(values.length * 2)
    more.set(values as never)
    this.values = more
  }
}
const FIRST = 1024

export class Table {
  files = 0
  names = 0
  // Of a file. first, last: names of a directory. parent: of a directory.
  readonly mode = new Column(new Uint32Array(FIRST))
  readonly uid = new Column(new Uint32Array(FIRST))
  readonly gid = new Column(new Uint32Array(FIRST))
  readonly nlink = new Column(new Uint32Array(FIRST))
  readonly size = new Column(new Float64Array(FIRST))
  readonly sec = new Column(new Float64Array(FIRST))
  readonly nsec = new Column(new Uint32Array(FIRST))
  readonly rdev = new Column(new Uint32Array(FIRST))
  /** Where its headers and its data stand in the archive; head: -1 for a directory that only others' names tell of. */
  readonly head = new Column(new Float64Array(FIRST))
  readonly data = new Column(new Float64Array(FIRST))
  readonly stored = new Column(new Float64Array(FIRST))
  /** 1: sparse; 2: has extended attributes. */
  readonly flags = new Column(new Uint8Array(FIRST))
  readonly first = new Column(new Uint32Array(FIRST))
  readonly last = new Column(new Uint32Array(FIRST))
  readonly parent = new Column(new Uint32Array(FIRST))
  // Of a name: where its bytes stand, whose it is, the next in its directory, the next with its hash.
  readonly #at = new Column(new Uint32Array(FIRST))
  readonly #length = new Column(new Uint8Array(FIRST))
  readonly file = new Column(new Uint32Array(FIRST))
  readonly directory = new Column(new Uint32Array(FIRST))
  readonly next = new Column(new Uint32Array(FIRST))
  readonly #chain = new Column(new Uint32Array(FIRST))
  #buckets = new Uint32Array(FIRST).fill(NONE)
  #bytes = new Column(new Uint8Array(16 * FIRST))
  #used = 0

  readonly #ofFile = [this.mode, this.uid, this.gid, this.nlink, this.size, this.sec, this.nsec, this.rdev, this.head, this.data, this.stored, this.flags, this.first, this.last, this.parent]
  readonly #ofName = [this.#at, this.#length, this.file, this.directory, this.next, this.#chain]

  /** A file without a name yet. */
  addFile(mode: number, uid: number, gid: number, time: Time): number {
    if (this.files === this.mode.values.length) for (const column of this.#ofFile) column.grow()
    const file = this.files++
    this.mode.values[file] = mode
    this.uid.values[file] = uid
    this.gid.values[file] = gid
    this.sec.values[file] = time.sec
    this.nsec.values[file] = time.nsec
    this.head.values[file] = -1
    this.first.values[file] = this.last.values[file] = this.parent.values[file] = NONE
    return file
  }
  /** A name, which must be new, of 1 to 255 bytes, at the end of its directory. */
  addName(directory: number, name: string, file: number): void {
    const bytes = bytesOfName(name)
    if (this.names === this.file.values.length) for (const column of this.#ofName) column.grow()
    if (this.names >= this.#buckets.length) this.#rehash()
    while (this.#used + bytes.length > this.#bytes.values.length) this.#bytes.grow()
    const entry = this.names++
    this.#bytes.values.set(bytes, this.#used)
    this.#at.values[entry] = this.#used
    this.#length.values[entry] = bytes.length
    this.#used += bytes.length
    this.file.values[entry] = file
    this.directory.values[entry] = directory
    this.next.values[entry] = NONE
    this.#link(entry, hash(directory, bytes))
    const last = this.last.values[directory]!
    if (last === NONE) this.first.values[directory] = entry
    else this.next.values[last] = entry
    this.last.values[directory] = entry
  }
  /** The entry of a name; NONE. */
  find(directory: number, name: string): number {
    const bytes = bytesOfName(name)
    for (let entry = this.#buckets[hash(directory, bytes) & (this.#buckets.length - 1)]!; entry !== NONE; entry = this.#chain.values[entry]!) {
      if (this.directory.values[entry] === directory && Buffer.compare(bytes, this.bytes(entry)) === 0) return entry
    }
    return NONE
  }
  /** The bytes of a name. */
  bytes(entry: number): Buffer {
    const { buffer, byteOffset } = this.#bytes.values
    return Buffer.from(buffer, byteOffset + this.#at.values[entry]!, this.#length.values[entry]!)
  }
  name(entry: number): string { const bytes = this.bytes(entry); return nameOfBytes(bytes, 0, bytes.length) }

  #link(entry: number, h: number): void {
    const bucket = h & (this.#buckets.length - 1)
    this.#chain.values[entry] = this.#buckets[bucket]!
    this.#buckets[bucket] = entry
  }
  #rehash(): void {
    this.#buckets = new Uint32Array(this.#buckets.length * 2).fill(NONE)
    for (let entry = 0; entry < this.names; entry++) this.#link(entry, hash(this.directory.values[entry]!, this.bytes(entry)))
  }
}

/** FNV-1a, begun with the directory; the seed keeps an archive from being made to fill one bucket. */
const seed = (Math.random() * 2 ** 32) >>> 0
function hash(directory: number, bytes: Uint8Array): number {
  let h = Math.imul(directory ^ seed, 0x9e3779b1)
  for (let i = 0; i < bytes.length; i++) h = Math.imul(h ^ bytes[i]!, 0x01000193)
  h ^= h >>> 15
  return Math.imul(h, 0x85ebca6b) >>> 8
}
