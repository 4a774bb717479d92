// Small things sealed under a volume key: what a tree keeps in its state folder. Layouts: translators/crypt/FORMAT.md, "The state of a tree".

import { errno } from 'ninep'
import type { VolumeKey } from './keys.ts'
import { hash, KEY, locked, NONCE, open, randomInto, seal, stream, TAG, wipe } from './sodium.ts'

/** What seal adds to each message, bytes. */
export const SEALED = NONCE + TAG

/** Seals and hashes under one key of its own. use: what for; two uses have nothing in common. The volume key may be closed before it. */
export class Sealing {
  readonly #keys = locked(2 * KEY)
  readonly #mac = this.#keys.subarray(0, KEY)
  readonly #seal = this.#keys.subarray(KEY)
  constructor(key: VolumeKey, use: string) { key.derive(this.#keys, `seal ${use}`) }
  close(): void { wipe(this.#keys) }

  /** nonce[24] text tag[16]. ad: what it is bound to, such as the key that it is the value of. About 2 us, and 1 us for each KiB. */
  seal(message: Uint8Array, ad: Uint8Array | null = null): Buffer {
    const sealed = Buffer.allocUnsafe(message.length + SEALED)
    this.sealInto(sealed, message, ad)
    return sealed
  }
  /** The same, over `out`. */
  sealInto(out: Uint8Array, message: Uint8Array, ad: Uint8Array | null = null): void {
    const nonce = out.subarray(0, NONCE)
    randomInto(nonce)
    seal(out.subarray(NONCE, NONCE + message.length + TAG), message, nonce, this.#seal, ad)
  }
  /** EIO: it was not sealed so. */
  open(sealed: Uint8Array, ad: Uint8Array | null = null): Buffer {
    if (sealed.length < SEALED) throw errno('EIO', 'open', 'too short to be sealed')
    const message = Buffer.allocUnsafe(sealed.length - SEALED)
    if (!open(message, sealed.subarray(NONCE), sealed.subarray(0, NONCE), this.#seal, ad)) throw errno('EIO', 'open', 'altered, or sealed by another key')
    return message
  }

  /** A keyed hash of 16 to 64 bytes: equal messages have equal ones, and nothing else is to be seen. About 1.5 us. */
  hash(message: Uint8Array, size = 16): Buffer {
    const out = Buffer.allocUnsafe(size)
    hash(out, this.#mac, message)
    return out
  }
  /** siv[16] text: equal messages come to equal bytes, so that it can be looked for; what is read back was sealed under this key. */
  sealSame(message: Uint8Array): Buffer {
    const out = Buffer.alloc(16 + message.length)
    const nonce = Buffer.alloc(NONCE)
    hash(out.subarray(0, 16), this.#mac, message)
    nonce.set(out.subarray(0, 16))
    stream(out.subarray(16), message, nonce, this.#seal)
    return out
  }
  openSame(sealed: Uint8Array): Buffer {
    if (sealed.length < 16) throw errno('EIO', 'open', 'too short to be sealed')
    const message = Buffer.alloc(sealed.length - 16), nonce = Buffer.alloc(NONCE)
    nonce.set(sealed.subarray(0, 16))
    stream(message, sealed.subarray(16), nonce, this.#seal)
    if (this.hash(message).compare(sealed, 0, 16) !== 0) throw errno('EIO', 'open', 'altered, or sealed by another key')
    return message
  }
}
