// The part of libsodium that we use, with types, and what is done with it everywhere. Keys are in memory of sodium_malloc: locked, fenced, not dumped.

import { randomFillSync } from 'node:crypto'
// @ts-expect-error it has no types; those of what is used are here
import library from 'sodium-native'

interface Sodium {
  sodium_malloc(size: number): Buffer
  sodium_memzero(memory: Uint8Array): void
  sodium_mlock(memory: Uint8Array): void
  crypto_generichash(out: Uint8Array, message: Uint8Array, key: Uint8Array): void
  crypto_stream_xchacha20_xor(out: Uint8Array, message: Uint8Array, nonce: Uint8Array, key: Uint8Array): void
  crypto_aead_xchacha20poly1305_ietf_encrypt(out: Uint8Array, message: Uint8Array, ad: Uint8Array | null, none: null, nonce: Uint8Array, key: Uint8Array): number
  crypto_aead_xchacha20poly1305_ietf_decrypt(out: Uint8Array, none: null, sealed: Uint8Array, ad: Uint8Array | null, nonce: Uint8Array, key: Uint8Array): number
  crypto_aead_xchacha20poly1305_ietf_encrypt_detached(out: Uint8Array, tag: Uint8Array, message: Uint8Array, none: null, ad: null, nonce: Uint8Array, key: Uint8Array): number
  crypto_aead_xchacha20poly1305_ietf_decrypt_detached(out: Uint8Array, none: null, text: Uint8Array, tag: Uint8Array, ad: null, nonce: Uint8Array, key: Uint8Array): void
  crypto_pwhash_async(out: Uint8Array, password: Uint8Array, salt: Uint8Array, ops: number, memory: number, algorithm: number): Promise<void>
  readonly crypto_pwhash_ALG_ARGON2ID13: number
}
const sodium = library as Sodium

export const NONCE = 24, TAG = 16, KEY = 32

/** Memory for keys: never swapped, fenced by pages that fault, zero. It costs three pages and a lock: for keys that live, not for each call. */
export function locked(size: number): Buffer { const memory = sodium.sodium_malloc(size); wipe(memory); return memory }
/** Whether memory can be locked: sodium_malloc goes on where it can't (`ulimit -l`), and says nothing. */
export function canLock(): boolean {
  try { sodium.sodium_mlock(sodium.sodium_malloc(KEY)) } catch { return false }
  return true
}
export function wipe(memory: Uint8Array): void { sodium.sodium_memzero(memory) }

/** BLAKE2b, keyed: as many bytes as `out` has, 16 to 64. About 1.4 us. */
export function hash(out: Uint8Array, key: Uint8Array, message: Uint8Array): void { sodium.crypto_generichash(out, message, key) }
/** XChaCha20: message may be out. */
export function stream(out: Uint8Array, message: Uint8Array, nonce: Uint8Array, key: Uint8Array): void { sodium.crypto_stream_xchacha20_xor(out, message, nonce, key) }

/** XChaCha20-Poly1305: message.length + 16 bytes to `out`. */
export function seal(out: Uint8Array, message: Uint8Array, nonce: Uint8Array, key: Uint8Array, ad: Uint8Array | null = null): void {
  sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(out, message, ad, null, nonce, key)
}
/** False: it is not what was sealed so. sealed.length - 16 bytes to `out`, which may be the head of sealed. */
export function open(out: Uint8Array, sealed: Uint8Array, nonce: Uint8Array, key: Uint8Array, ad: Uint8Array | null = null): boolean {
  if (sealed.length < TAG) return false
  try { sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(out, null, sealed, ad, nonce, key) } catch (e) { return refused(e) }
  return true
}
/** The same with the tag apart. 3.7 us for 4 KiB. */
export function sealApart(out: Uint8Array, tag: Uint8Array, message: Uint8Array, nonce: Uint8Array, key: Uint8Array): void {
  sodium.crypto_aead_xchacha20poly1305_ietf_encrypt_detached(out, tag, message, null, null, nonce, key)
}
export function openApart(out: Uint8Array, text: Uint8Array, tag: Uint8Array, nonce: Uint8Array, key: Uint8Array): boolean {
  try { sodium.crypto_aead_xchacha20poly1305_ietf_decrypt_detached(out, null, text, tag, null, nonce, key) } catch (e) { return refused(e) }
  return true
}
/** All but a tag that does not fit is our mistake. */
function refused(e: unknown): false { if (e instanceof Error && e.message === 'could not verify data') return false; throw e }

/** Argon2id, in the thread pool. memory: KiB. */
export function stretch(out: Uint8Array, password: Uint8Array, salt: Uint8Array, ops: number, memory: number): Promise<void> {
  return sodium.crypto_pwhash_async(out, password, salt, ops, memory * 1024, sodium.crypto_pwhash_ALG_ARGON2ID13)
}

// Random bytes come 4 KiB at a time: a call costs more than the bytes.
const pool = Buffer.alloc(4096)
let used = pool.length
/** Random bytes over `into`, at most 4096. */
export function randomInto(into: Uint8Array): void {
  if (used + into.length > pool.length) { randomFillSync(pool); used = 0 }
  into.set(pool.subarray(used, used + into.length))
  pool.fill(0, used, used += into.length)
}
export function random(size: number): Buffer { const bytes = Buffer.alloc(size); randomInto(bytes); return bytes }
