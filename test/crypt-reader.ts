// Reads what crypt stored, written from translators/crypt/FORMAT.md alone: it shares no code with the translator, and no library. BLAKE2b is RFC 7693's, HChaCha20
// draft-irtf-cfrg-xchacha's; ChaCha20 and Poly1305 are Node's.

import { createCipheriv, createDecipheriv } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'

const MASK = (1n << 64n) - 1n
const IV = [0x6a09e667f3bcc908n, 0xbb67ae8584caa73bn, 0x3c6ef372fe94f82bn, 0xa54ff53a5f1d36f1n, 0x510e527fade682d1n, 0x9b05688c2b3e6c1fn, 0x1f83d9abfb41bd6bn, 0x5be0cd19137e2179n]
const SIGMA = ['0123456789abcdef', 'ea489fd61c02b753', 'b8c052fdae367194', '7931dcbe265a40f8', '905724afe1bc683d', '2c6a0b834d75fe19', 'c51fed4a0763928b', 'db7ec13950f4862a', '6fe9b308c2d714a5', 'a2847615fb9e3cd0']
  .map((row) => [...row].map((digit) => parseInt(digit, 16)))
const rotate = (x: bigint, n: bigint) => (x >> n | x << 64n - n) & MASK

/** BLAKE2b of `size` bytes, keyed. */
export function blake2b(size: number, key: Uint8Array, message: Uint8Array): Buffer {
  const h = [...IV]
  h[0]! ^= 0x01010000n ^ BigInt(key.length) << 8n ^ BigInt(size)
  const first = Buffer.alloc(128)
  first.set(key)
  const all = Buffer.concat([key.length > 0 ? first : Buffer.alloc(0), message]), blocks = Math.max(1, Math.ceil(all.length / 128))
  for (let block = 0; block < blocks; block++) {
    const bytes = Buffer.alloc(128), last = block === blocks - 1
    all.copy(bytes, 0, block * 128, Math.min(all.length, (block + 1) * 128))
    const m = Array.from({ length: 16 }, (_, i) => bytes.readBigUInt64LE(8 * i)), v = [...h, ...IV]
    v[12]! ^= BigInt(last ? all.length : (block + 1) * 128)
    if (last) v[14]! ^= MASK
    const mix = (a: number, b: number, c: number, d: number, x: bigint, y: bigint) => {
      v[a] = v[a]! + v[b]! + x & MASK
      v[d] = rotate(v[d]! ^ v[a]!, 32n)
      v[c] = v[c]! + v[d]! & MASK
      v[b] = rotate(v[b]! ^ v[c]!, 24n)
      v[a] = v[a]! + v[b]! + y & MASK
      v[d] = rotate(v[d]! ^ v[a]!, 16n)
      v[c] = v[c]! + v[d]! & MASK
      v[b] = rotate(v[b]! ^ v[c]!, 63n)
    }
    for (let round = 0; round < 12; round++) {
      const s = SIGMA[round % 10]!.map((i) => m[i]!)
      mix(0, 4, 8, 12, s[0]!, s[1]!); mix(1, 5, 9, 13, s[2]!, s[3]!); mix(2, 6, 10, 14, s[4]!, s[5]!); mix(3, 7, 11, 15, s[6]!, s[7]!)
      mix(0, 5, 10, 15, s[8]!, s[9]!); mix(1, 6, 11, 12, s[10]!, s[11]!); mix(2, 7, 8, 13, s[12]!, s[13]!); mix(3, 4, 9, 14, s[14]!, s[15]!)
    }
    for (let i = 0; i < 8; i++) h[i]! ^= v[i]! ^ v[i + 8]!
  }
  const out = Buffer.alloc(64)
  for (const [i, word] of h.entries()) out.writeBigUInt64LE(word, 8 * i)
  return out.subarray(0, size)
}

function hchacha20(key: Uint8Array, nonce: Uint8Array): Buffer {
  const x = new Uint32Array(16), from = Buffer.concat([Buffer.from('expand 32-byte k'), key, nonce.subarray(0, 16)])
  for (let i = 0; i < 16; i++) x[i] = from.readUInt32LE(4 * i)
  const left = (a: number, n: number) => a << n | a >>> 32 - n
  const quarter = (a: number, b: number, c: number, d: number) => {
    x[a]! += x[b]!; x[d] = left(x[d]! ^ x[a]!, 16)
    x[c]! += x[d]!; x[b] = left(x[b]! ^ x[c]!, 12)
    x[a]! += x[b]!; x[d] = left(x[d]! ^ x[a]!, 8)
    x[c]! += x[d]!; x[b] = left(x[b]! ^ x[c]!, 7)
  }
  for (let round = 0; round < 10; round++) {
    quarter(0, 4, 8, 12); quarter(1, 5, 9, 13); quarter(2, 6, 10, 14); quarter(3, 7, 11, 15)
    quarter(0, 5, 10, 15); quarter(1, 6, 11, 12); quarter(2, 7, 8, 13); quarter(3, 4, 9, 14)
  }
  const out = Buffer.alloc(32)
  for (const [i, at] of [0, 1, 2, 3, 12, 13, 14, 15].entries()) out.writeUInt32LE(x[at]!, 4 * i)
  return out
}
/** The message, or throws. sealed: text, then tag[16]. */
function open(key: Uint8Array, nonce: Uint8Array, ad: Uint8Array, sealed: Uint8Array): Buffer {
  const cipher = createDecipheriv('chacha20-poly1305', hchacha20(key, nonce), Buffer.concat([Buffer.alloc(4), nonce.subarray(16, 24)]), { authTagLength: 16 }), n = sealed.length - 16
  cipher.setAAD(ad, { plaintextLength: n })
  cipher.setAuthTag(sealed.subarray(n))
  return Buffer.concat([cipher.update(sealed.subarray(0, n)), cipher.final()])
}
function stream(key: Uint8Array, nonce: Uint8Array, text: Uint8Array): Buffer {
  return createCipheriv('chacha20', hchacha20(key, nonce), Buffer.concat([Buffer.alloc(8), nonce.subarray(16, 24)])).update(text)
}
const none = Buffer.alloc(0)

/** The volume key of a key file, by a slot of the kind secret. */
export function volumeKey(file: string, secret: Buffer): Buffer {
  const { 'ninefold-key': version, id, slots } = JSON.parse(readFileSync(file, 'utf8')) as { 'ninefold-key': number; id: string; slots: { kind: string; salt: string; nonce: string; key: string }[] }
  const slot = slots.find(({ kind }) => kind === 'secret')!
  if (version !== 1) throw new Error(`version ${version}`)
  const wrap = blake2b(32, Buffer.from(slot.salt, 'hex'), secret)
  return open(wrap, Buffer.from(slot.nonce, 'hex'), Buffer.concat([Buffer.from('ninefold key 1 '), Buffer.from(id, 'hex'), Buffer.from('secret '), Buffer.alloc(8)]), Buffer.from(slot.key, 'hex'))
}
const derive = (size: number, K: Buffer, label: string, ...parts: Buffer[]) => blake2b(size, K, Buffer.concat([Buffer.from(`ninefold crypt 1 ${label}`), ...parts]))

export function readBlob(K: Buffer, id: Buffer, stored: Buffer): Buffer {
  const key = derive(32, K, 'blob', stored.subarray(0, 16), id), size = Number(open(key, Buffer.alloc(24, 0xff), none, stored.subarray(16, 40)).readBigUInt64BE()), parts: Buffer[] = []
  for (let i = 0, at = 40; i * 8192 < size; i++) {
    const n = Math.min(8192, size - i * 8192), nonce = Buffer.alloc(24)
    nonce.writeBigUInt64BE(BigInt(i), 16)
    parts.push(open(key, nonce, none, stored.subarray(at, at += n + 16)))
  }
  return Buffer.concat(parts)
}
export function readRecord(K: Buffer, storedName: string, stored: Buffer): { name: string; bytes: Buffer } {
  const keys = derive(64, K, 'record'), message = open(keys.subarray(32), stored.subarray(1, 25), Buffer.from(storedName), stored.subarray(25)), name = message.subarray(1, 1 + message[0]!)
  if (stored[0] !== 1 || blake2b(24, keys.subarray(0, 32), name).toString('base64url') !== storedName) throw new Error('not of this name')
  return { name: name.toString(), bytes: message.subarray(1 + message[0]!) }
}

const PAGE = 4096
type Tree = Record<string, Buffer | string>
/** A folder of the host: paths of files to their contents, of links to their targets, of directories (with a slash) to ''. xattrs: of the stored paths. */
export function readTree(K: Buffer, path: string, xattrs: Record<string, Record<string, string>>, at = '/', stored = '', binding: Buffer | null = null): Tree {
  const record = readFileSync(join(path, 'dir.id')), message = open(derive(32, K, 'directory'), record.subarray(1, 25), none, record.subarray(25)), found: Tree = {}
  const id = message.subarray(0, 16), names = bindings(message, 17, message[16]!), keys = derive(64, K, 'names', id)
  if (record[0] !== 1 || record.length !== 90 || binding && !names.includes(binding.toString('hex'))) throw new Error(`${at}: not of this name`)
  for (const name of readdirSync(path)) {
    if (name.startsWith('dir.') || name.startsWith('name.')) continue
    const long = name.startsWith('long.'), all = long ? Buffer.concat([Buffer.from(name.slice(5), 'base64url'), readFileSync(join(path, `name.${name.slice(5)}`))]) : Buffer.from(name, 'base64url')
    const siv = all.subarray(0, 16), padded = stream(keys.subarray(32), Buffer.concat([siv, Buffer.alloc(8)]), all.subarray(16)), end = padded.indexOf(0), plain = end < 0 ? padded : padded.subarray(0, end)
    if (!blake2b(16, keys.subarray(0, 32), plain).equals(siv) || padded.length !== (plain.length > 160 ? 256 : Math.ceil(plain.length / 16) * 16)) throw new Error(`${at}: ${name} is no name of it`)
    const below = join(path, name), to = `${at}${plain.toString()}`, stat = lstatSync(below), key = `${stored}${name}`
    if (stat.isDirectory()) Object.assign(found, { [`${to}/`]: '' }, readTree(K, below, xattrs, `${to}/`, `${key}/`, siv))
    else if (stat.isSymbolicLink()) {
      const link = Buffer.from(readlinkSync(below), 'base64url')
      found[to] = open(derive(32, K, 'symlink'), link.subarray(0, 24), none, link.subarray(24)).toString()
    } else {
      const file = readFile(K, readFileSync(below), siv)
      found[to] = file.bytes
      for (const [name, value] of Object.entries(xattrs[key] ?? {})) {
        const xkeys = derive(64, K, 'xattr', file.id), sealed = Buffer.from(value, 'base64'), message = open(xkeys.subarray(32), sealed.subarray(0, 24), Buffer.from(name), sealed.subarray(24)), own = message.subarray(1, 1 + message[0]!)
        if (name !== `user.9f.${blake2b(24, xkeys.subarray(0, 32), own).toString('base64url')}`) throw new Error(`${to}: not of this name`)
        found[`${to} ${own.toString()}`] = message.subarray(1 + message[0]!)
      }
    }
  }
  return found
}
const bindings = (message: Buffer, at: number, n: number) => Array.from({ length: n }, (_, i) => message.toString('hex', at + 16 * i, at + 16 * i + 16))
function readFile(K: Buffer, stored: Buffer, binding: Buffer): { id: Buffer; bytes: Buffer } {
  const slots = [0, 1].map((slot) => {
    const at = slot * PAGE, length = stored.readUInt16BE(at + 1)
    return open(derive(32, K, 'header'), stored.subarray(at + 3, at + 27), Buffer.of(stored[at]!, slot), stored.subarray(at + 27, at + 27 + length + 16))
  })
  const header = slots[0]!.readBigUInt64BE(16) > slots[1]!.readBigUInt64BE(16) ? slots[0]! : slots[1]!, id = header.subarray(0, 16), size = Number(header.readBigUInt64BE(24)), n = header[41]!, m = header[42]!
  if (stored[0] !== 1 || !bindings(header, 43, n).includes(binding.toString('hex')) || Number(header.readBigUInt64BE(32)) !== stored.length || header[40] !== 1) throw new Error('not this file')
  const holes = Array.from({ length: m }, (_, i) => [header.readBigUInt64BE(43 + 16 * (n + i)), header.readBigUInt64BE(51 + 16 * (n + i))] as const), key = derive(32, K, 'file', id), bytes = Buffer.alloc(size)
  for (let page = 0; page * PAGE < size; page++) {
    const group = Math.floor(page / 64), at = 8192 + 266_240 * group, tags = at + page % 64 * 64, from = at + PAGE * (1 + page % 64)
    if (holes.some(([first, end]) => first <= group && group < end)) continue
    const fits = [0, 32].flatMap((slot) => {
      const entry = stored.subarray(tags + slot, tags + slot + 32), index = Buffer.alloc(8)
      index.writeBigUInt64BE(BigInt(page))
      try { return [open(key, Buffer.concat([entry.subarray(0, 16), index]), none, Buffer.concat([entry[0]! & 1 ? none : stored.subarray(from, from + PAGE), entry.subarray(16)]))] } catch { return [] }
    })
    if (fits.length !== 1) throw new Error(`page ${page}`)
    fits[0]!.copy(bytes, page * PAGE)
  }
  return { id, bytes }
}
