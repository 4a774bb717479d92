// Keys of the database, as FORMAT.md has them. In memory a key is a string with one byte in each character (latin1): it is
// what maps look up by, and compares as LevelDB compares.

import { putBytes } from 'ninep'

const scratch = Buffer.allocUnsafe(1024)

/** Writes a whole number below 2^53 in eight bytes. */
export function put64(into: Buffer, n: number, at: number): void {
  into.writeUInt32BE(Math.floor(n / 2 ** 32), at)
  into.writeUInt32BE(n >>> 0, at + 4)
}
export function get64(from: Buffer, at: number): number { return from.readUInt32BE(at) * 2 ** 32 + from.readUInt32BE(at + 4) }

function begin(t: number, kind: string): void {
  scratch.writeUInt32BE(t, 0)
  scratch[4] = kind.charCodeAt(0)
}
function with64(t: number, kind: string, a: number): string {
  begin(t, kind)
  put64(scratch, a, 5)
  return scratch.toString('latin1', 0, 13)
}
function with64and64(t: number, kind: string, a: number, b: number): string {
  begin(t, kind)
  put64(scratch, a, 5)
  put64(scratch, b, 13)
  return scratch.toString('latin1', 0, 21)
}
function withName(t: number, kind: string, a: number, name: string): string {
  begin(t, kind)
  put64(scratch, a, 5)
  return scratch.toString('latin1', 0, putBytes(name, scratch, 13))
}
function with32(t: number, kind: string, a: number, rest = ''): string {
  begin(t, kind)
  scratch.writeUInt32BE(a, 5)
  return scratch.toString('latin1', 0, 9) + rest
}

export const META = 'M', RESERVED = 'm'
export const stateKey = (t: number): string => { begin(t, 'T'); return scratch.toString('latin1', 0, 5) }
export const inodeKey = (t: number, ino: number): string => with64(t, 'I', ino)
export const nameKey = (t: number, dir: number, name: string): string => withName(t, 'N', dir, name)
export const entryKey = (t: number, dir: number, cookie: number): string => with64and64(t, 'C', dir, cookie)
export const goneKey = (t: number, dir: number, cookie: number, last: number): string => with64and64(t, 'c', dir, cookie) + be32(last)
export const parentKey = (t: number, ino: number, dir: number, cookie: number): string => with64(t, 'P', ino) + be64(dir) + be64(cookie)
export const chunkKey = (t: number, ino: number, chunk: number): string => with64(t, 'K', ino) + be32(chunk)
export const xattrKey = (t: number, ino: number, name: string): string => withName(t, 'A', ino, name)
export const orphanKey = (t: number, ino: number): string => with64(t, 'O', ino)
export const cutKey = (t: number, ino: number): string => with64(t, 'U', ino)
export const blobKey = (t: number, id: string): string => { begin(t, 'B'); return scratch.toString('latin1', 0, 5) + id }
/** What KEY was up to `last`. */
export const historyKey = (key: string, last: number): string => key.slice(0, 4) + 'h' + key.slice(4) + be32(last)
export const ledgerKey = (key: string, epoch: number): string => key.slice(0, 4) + 'E' + be32(epoch) + key.slice(4)
/** ref: of a blob, or a key of kind h or c without its tree. */
export const deadKey = (t: number, list: number, birth: number, ref: string): string => with32(t, 'D', list, be32(birth) + ref)
export const snapshotKey = (t: number, epoch: number): string => with32(t, 'S', epoch)
export const snapshotNameKey = (t: number, name: string): string => { begin(t, 's'); return scratch.toString('latin1', 0, putBytes(name, scratch, 5)) }
export const intentKey = (t: number, kind: string): string => { begin(t, 'R'); return scratch.toString('latin1', 0, 5) + kind }

/** Where all keys of a kind, or of one inode of it, begin; and the first key after all that begin so. */
export const kindPrefix = (t: number, kind: string): string => { begin(t, kind); return scratch.toString('latin1', 0, 5) }
export const inodePrefix = with64
export function afterPrefix(prefix: string): string {
  let at = prefix.length - 1
  while (prefix.charCodeAt(at) === 255) at--
  return prefix.slice(0, at) + String.fromCharCode(prefix.charCodeAt(at) + 1)
}

export const treeOf = (key: string): number => u32(key, 0)
export const kindOf = (key: string): string => key[4]!
export function be32(n: number): string { return String.fromCharCode(n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255) }
export function be64(n: number): string { return be32(Math.floor(n / 2 ** 32)) + be32(n >>> 0) }
export function u32(s: string, at: number): number {
  return s.charCodeAt(at) * 2 ** 24 + (s.charCodeAt(at + 1) << 16 | s.charCodeAt(at + 2) << 8 | s.charCodeAt(at + 3))
}
export function u64(s: string, at: number): number { return u32(s, at) * 2 ** 32 + u32(s, at + 4) }
export const bytesOfKey = (key: string): Buffer => Buffer.from(key, 'latin1')
