// The keys of the node face, and names by them. FORMAT.md, "The node face: directories".

import { bytesOfName, errno, nameOfBytes } from 'ninep'
import type { VolumeKey } from '../keys.ts'
import { hash, KEY, locked, NONCE, stream, wipe } from '../sodium.ts'

/** Bytes of the longest name that stands in the child itself. */
const SHORT = 160
const LONG = 256

/** A name as the child has it. siv: what it is known by. text: of a long one, what lies beside it. */
export interface Stored { readonly siv: Buffer; readonly stored: string; readonly text: Buffer | undefined }

/** Keys of files and directories are derived when they are needed, into memory that is shared: they hold until the next of their kind is asked for, so not over an await. */
export class Ring {
  readonly #memory = locked(8 * KEY)
  readonly header = this.#memory.subarray(0, KEY)
  readonly directory = this.#memory.subarray(KEY, 2 * KEY)
  readonly link = this.#memory.subarray(2 * KEY, 3 * KEY)
  readonly #file = this.#memory.subarray(3 * KEY, 4 * KEY)
  readonly #names = this.#memory.subarray(4 * KEY, 6 * KEY)
  readonly #xattr = this.#memory.subarray(6 * KEY, 8 * KEY)
  // Whose key stands there.
  #ofFile: Buffer | undefined
  #ofNames: Buffer | undefined
  #ofXattr: Buffer | undefined
  readonly #nonce = Buffer.alloc(NONCE)
  constructor(private readonly key: VolumeKey) {
    key.derive(this.header, 'header')
    key.derive(this.directory, 'directory')
    key.derive(this.link, 'symlink')
  }
  close(): void { wipe(this.#memory); this.#ofFile = this.#ofNames = this.#ofXattr = undefined }

  /** id: a buffer that is never altered. */
  file(id: Buffer): Buffer {
    if (this.#ofFile !== id) this.key.derive(this.#file, 'file', id)
    this.#ofFile = id
    return this.#file
  }
  #namesOf(dir: Buffer): Buffer {
    if (this.#ofNames !== dir) this.key.derive(this.#names, 'names', dir)
    this.#ofNames = dir
    return this.#names
  }
  /** Of attributes: mac, then seal. */
  xattr(id: Buffer): { mac: Buffer; seal: Buffer } {
    if (this.#ofXattr !== id) this.key.derive(this.#xattr, 'xattr', id)
    this.#ofXattr = id
    return { mac: this.#xattr.subarray(0, KEY), seal: this.#xattr.subarray(KEY) }
  }

  /** ENAMETOOLONG */
  store(dir: Buffer, name: string): Stored {
    const bytes = bytesOfName(name)
    if (bytes.length > 255) throw errno('ENAMETOOLONG', 'crypt', name)
    const keys = this.#namesOf(dir), size = bytes.length > SHORT ? LONG : Math.ceil(bytes.length / 16) * 16, all = Buffer.alloc(16 + size)
    const siv = all.subarray(0, 16), text = all.subarray(16)
    hash(siv, keys.subarray(0, KEY), bytes)
    text.set(bytes)
    siv.copy(this.#nonce)
    stream(text, text, this.#nonce, keys.subarray(KEY))
    return bytes.length > SHORT ? { siv, stored: `long.${siv.toString('base64url')}`, text } : { siv, stored: all.toString('base64url'), text: undefined }
  }
  /** undefined: it is not a name of this directory. text: of a long one. */
  name(dir: Buffer, stored: string, text?: Uint8Array): string | undefined {
    const all = text ? Buffer.concat([Buffer.from(stored.slice('long.'.length), 'base64url'), text]) : Buffer.from(stored, 'base64url')
    if (text ? all.length !== 16 + LONG : all.length < 32 || all.length > 16 + SHORT || all.length % 16 !== 0 || all.toString('base64url') !== stored) return undefined
    const keys = this.#namesOf(dir), plain = all.subarray(16), siv = Buffer.alloc(16)
    all.copy(this.#nonce, 0, 0, 16)
    stream(plain, plain, this.#nonce, keys.subarray(KEY))
    const end = plain.indexOf(0), bytes = end < 0 ? plain : plain.subarray(0, end)
    if (bytes.length === 0) return undefined
    hash(siv, keys.subarray(0, KEY), bytes)
    return siv.compare(all, 0, 16) === 0 ? nameOfBytes(bytes, 0, bytes.length) : undefined
  }
}
