// One member of an archive: its header, and the extended ones before it. Formats: POSIX.1-2017 pax (ustar and pax), GNU
// tar's manual "Basic Tar Format" and "Storing Sparse Files", star(5), libarchive's tar(5).

import { S, nameOfBytes } from 'ninep'
import type { Time } from 'ninep'

export const BLOCK = 512
/** Bytes of an extended header at most: what comes from an archive is not believed. */
const MAX_EXTENDED = 2 ** 20

/** An archive that can't be read. The message says at which byte and why. */
export class BadArchive extends Error { override readonly name = 'BadArchive' }

/** Bytes of the archive: all of them, or BadArchive where it ends before. They are the caller's only until the next call. */
export type Source = (at: number, length: number) => Promise<Buffer>

export interface Member {
  /** Where the first of its headers begins, and where its data do; stored: bytes they take there. */
  readonly head: number
  readonly data: number
  readonly stored: number
  /** typeflag, as a character. */
  readonly type: string
  readonly name: string
  readonly target: string
  /** st_mode; 0 type bits for what is a hard link, or nothing. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Bytes of the file, with its holes. */
  readonly size: number
  readonly mtime: Time
  readonly rdev: bigint
  readonly xattrs: ReadonlyMap<string, Uint8Array>
  /** How to find the map of a sparse file, null for others. */
  readonly sparse: Sparse | null
}
/** old: from GNU's header at `at`; listed: as pairs of offset and length; data: 1.0, before the data. */
export type Sparse = { readonly kind: 'old'; readonly at: number } | { readonly kind: 'listed'; readonly map: readonly number[] } | { readonly kind: 'data' }

/** Records of an extended header, the later of two having its way; values are bytes. sparse: pairs of the 0.0 format. */
export interface Pax { readonly records: Map<string, Buffer>; readonly sparse: number[] }

/** The member whose headers begin at `at`; null at the end of the archive. Global records are added to `global`. size: of the archive. */
export async function readMember(source: Source, at: number, size: number, global: Map<string, Buffer>): Promise<Member | null> {
  const head = at, pax: Pax = { records: new Map(global), sparse: [] }
  let longName: string | undefined, longTarget: string | undefined
  for (;;) {
    if (at === size) {
      if (at > head) throw new BadArchive(`byte ${head}: an extended header without a file`)
      return null
    }
    const block = Buffer.from(await source(at, BLOCK))
    if (block.every((byte) => byte === 0)) {
      if (at > head) throw new BadArchive(`byte ${head}: an extended header without a file`)
      return null
    }
    checkSum(block, at)
    const type = String.fromCharCode(block[156]!)
    if (!'xgXLK'.includes(type)) return member(source, block, head, at, type, pax, longName, longTarget)
    const length = number(block, 124, 12, at, 'size')
    if (length > MAX_EXTENDED) throw new BadArchive(`byte ${at}: an extended header of ${length} bytes; more than ${MAX_EXTENDED} are not taken`)
    const body = Buffer.from(await source(at + BLOCK, length))
    if (type === 'L') longName = text(body, 0, body.length)
    else if (type === 'K') longTarget = text(body, 0, body.length)
    else if (type === 'g') {
      for (const [key, value] of parsePax(body, at).records) {
        global.set(key, value)
        pax.records.set(key, value)
      }
      if ([...global.values()].reduce((sum, value) => sum + value.length, 0) > MAX_EXTENDED) throw new BadArchive(`byte ${at}: global headers of more than ${MAX_EXTENDED} bytes`)
    } else {
      const more = parsePax(body, at)
      for (const [key, value] of more.records) pax.records.set(key, value)
      pax.sparse.push(...more.sparse)
    }
    at += BLOCK + roundUp(length)
  }
}

async function member(source: Source, block: Buffer, head: number, at: number, flag: string, { records, sparse: pairs }: Pax, longName: string | undefined, longTarget: string | undefined): Promise<Member> {
  const magic = block.toString('latin1', 257, 263), gnu = magic === 'ustar ', ustar = magic === 'ustar\0'
  const star = ustar && block.toString('latin1', 508, 512) === 'tar\0'
  const said = (key: string) => { const value = records.get(key); return value && (value.length === 0 ? undefined : value) }
  const string = (key: string) => { const value = said(key); return value && nameOfBytes(value, 0, value.length) }
  const decimal = (key: string) => { const value = said(key); return value && decimalOf(value.toString('latin1'), at, key) }

  const prefix = ustar ? text(block, 345, star ? 131 : 155) : ''
  const short = text(block, 0, 100)
  const name = string('GNU.sparse.name') ?? string('path') ?? longName ?? (prefix === '' ? short : `${prefix}/${short}`)
  const target = string('linkpath') ?? longTarget ?? text(block, 157, 100)
  // v7 and some later ones mark a directory by its name alone.
  const old = gnu && flag === 'S'
  const type = !old && kind(flag) === S.IFREG ? (name.endsWith('/') ? '5' : '0') : flag
  if (flag === 'M' || flag === 'N') throw new BadArchive(`byte ${at}: ${flag === 'M' ? 'a part of an archive of several volumes' : 'a long name of GNU tar before 1989'}; that is not read`)

  const size = decimal('size') ?? number(block, 124, 12, at, 'size')
  let stored = type === '1' && records.size === 0 ? 0 : '23456'.includes(type) ? 0 : size
  let real = size, sparse: Sparse | null = null
  const major = decimal('GNU.sparse.major')
  if (old) {
    sparse = { kind: 'old', at }
    real = number(block, 483, 12, at, 'real size')
    for (let more = block[482] !== 0, next = at + BLOCK; more; next += BLOCK) {
      more = (await source(next, BLOCK))[504] !== 0
      stored += BLOCK                                     // the blocks of the map stand before the data
    }
  } else if (type === '0') {
    const listed = string('GNU.sparse.map')
    if (major === 1) sparse = { kind: 'data' }
    else if (pairs.length > 0 || listed !== undefined) sparse = { kind: 'listed', map: pairs.length > 0 ? pairs : listed!.split(',').map((word) => decimalOf(word, at, 'GNU.sparse.map')) }
    if (sparse) real = decimal('GNU.sparse.realsize') ?? decimal('GNU.sparse.size') ?? size
  }
  const xattrs = new Map<string, Uint8Array>()
  for (const [key, value] of records) {
    if (key.startsWith('SCHILY.xattr.')) xattrs.set(key.slice(13), value)
    else if (key.startsWith('LIBARCHIVE.xattr.') && !xattrs.has(unescaped(key.slice(17)))) xattrs.set(unescaped(key.slice(17)), Buffer.from(value.toString('latin1'), 'base64'))
  }
  const device = type === '3' || type === '4'
  const major1 = device ? number(block, 329, 8, at, 'major') : 0, minor1 = device ? number(block, 337, 8, at, 'minor') : 0
  return {
    head, data: at + BLOCK, stored, type, name, target, sparse, xattrs,
    mode: kind(type) | withoutAcl(number(block, 100, 8, at, 'mode') & 0o7777, string('SCHILY.acl.access')),
    uid: id(decimal('uid') ?? number(block, 108, 8, at, 'uid')), gid: id(decimal('gid') ?? number(block, 116, 8, at, 'gid')),
    size: type === '0' || old ? real : type === '2' ? Buffer.byteLength(target) : 0,
    mtime: timeOf(string('mtime')) ?? { sec: number(block, 136, 12, at, 'mtime'), nsec: 0 },
    rdev: BigInt(device ? ((minor1 & 0xff) | (major1 & 0xfff) << 8 | (minor1 & 0xfff00) << 12) >>> 0 : 0),
  }
}

function kind(type: string): number {
  switch (type) {
    case '1': return 0
    case '2': return S.IFLNK
    case '3': return S.IFCHR
    case '4': return S.IFBLK
    case '5': case 'D': return S.IFDIR
    case '6': return S.IFIFO
    case 'V': case 'A': case 'I': return 0
    default: return S.IFREG                               // POSIX: what is not known is a regular file
  }
}
/** Where an ACL was recorded, the group's bits of the mode are its mask. It is not shown, so the group gets what was the group's. */
function withoutAcl(mode: number, acl: string | undefined): number {
  const group = acl && /(?:^|[,\n])\s*group::([r-])([w-])([x-])/.exec(acl)
  if (!group) return mode
  const bits = (group[1] === 'r' ? 4 : 0) | (group[2] === 'w' ? 2 : 0) | (group[3] === 'x' ? 1 : 0)
  return mode & (~0o070 | bits << 3)
}
/** Ids beyond 32 bits are nobody's. */
function id(n: number): number { return n >= 0 && n < 0xffffffff ? n : 65534 }
function unescaped(name: string): string { return name.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))) }

export function roundUp(n: number): number { return Math.ceil(n / BLOCK) * BLOCK }
/** Up to the first NUL. */
function text(bytes: Buffer, start: number, length: number): string {
  const nul = bytes.subarray(start, start + length).indexOf(0)
  return nameOfBytes(bytes, start, start + (nul < 0 ? length : nul))
}

function checkSum(block: Buffer, at: number): void {
  let unsigned = 8 * 32, signed = 8 * 32
  for (let i = 0; i < BLOCK; i++) {
    if (i >= 148 && i < 156) continue
    unsigned += block[i]!
    signed += block[i]! << 24 >> 24
  }
  const want = /^\s*([0-7]{1,8})[\0 ]*$/.exec(block.toString('latin1', 148, 156))
  const sum = want ? parseInt(want[1]!, 8) : NaN
  if (sum === unsigned || sum === signed) return
  if (at > 0) throw new BadArchive(`byte ${at}: the checksum of a header is wrong: the archive is damaged there`)
  throw new BadArchive(`it is no tar archive${packed(block)}`)
}
/** What it is instead, where that is known. */
function packed(block: Buffer): string {
  const hex = block.toString('hex', 0, 6)
  for (const [start, program] of [['1f8b', 'gzip'], ['fd377a585a00', 'xz'], ['425a68', 'bzip2'], ['28b52ffd', 'zstd'], ['504b0304', 'zip']] as const) {
    if (hex.startsWith(start)) return `: it is packed by ${program}. Unpack it first: what is packed can't be read from the middle.`
  }
  return '.'
}

/** A number of a header: octal digits, or with the top bit set two's complement of 255 or 256 bits, of which what a number can hold is taken. */
export function number(block: Buffer, start: number, length: number, at: number, what: string): number {
  const first = block[start]!
  if (first & 0x80) {
    let n = first & 0x40 ? BigInt(first | ~0xff) : BigInt(first & 0x7f)
    for (let i = 1; i < length; i++) n = n << 8n | BigInt(block[start + i]!)
    if (n > BigInt(Number.MAX_SAFE_INTEGER) || n < -BigInt(Number.MAX_SAFE_INTEGER) || (n < 0n && what !== 'mtime')) throw new BadArchive(`byte ${at}: a ${what} of ${n} can't be`)
    return Number(n)
  }
  const digits = /^[\s\0]*([0-7]*)[\s\0]*$/.exec(block.toString('latin1', start, start + length))
  if (!digits) throw new BadArchive(`byte ${at}: a ${what} that is no number`)
  return digits[1] === '' ? 0 : parseInt(digits[1]!, 8)
}
function decimalOf(word: string, at: number, key: string): number {
  const n = /^\d+$/.test(word) ? Number(word) : NaN
  if (!Number.isSafeInteger(n)) throw new BadArchive(`byte ${at}: ${key}=${word.slice(0, 40)} is no number that can be`)
  return n
}
function timeOf(word: string | undefined): Time | undefined {
  const m = word === undefined ? null : /^(-?)(\d{1,15})(?:\.(\d+))?$/.exec(word)
  if (!m) return undefined
  const nsec = Number(((m[3] ?? '') + '000000000').slice(0, 9)), sec = Number(m[2])
  return m[1] === '' ? { sec, nsec } : nsec === 0 ? { sec: -sec, nsec } : { sec: -sec - 1, nsec: 1e9 - nsec }
}

/** LENGTH KEY=VALUE\n, over and over. */
function parsePax(body: Buffer, at: number): Pax {
  const records = new Map<string, Buffer>(), sparse: number[] = []
  for (let start = 0; start < body.length && body[start] !== 0;) {
    const space = body.indexOf(0x20, start), length = space < 0 || space - start > 8 ? NaN : Number(body.toString('latin1', start, space))
    const end = start + length, equals = body.indexOf(0x3d, space)
    if (!(end <= body.length) || !(end > space) || body[end - 1] !== 0x0a || equals < 0 || equals >= end) throw new BadArchive(`byte ${at}: a record of an extended header that does not read`)
    const key = body.toString('utf8', space + 1, equals), value = body.subarray(equals + 1, end - 1)
    // 0.0 says the map as records of two names, over and over.
    if (key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes') sparse.push(decimalOf(value.toString('latin1'), at, key))
    else records.set(key, value)
    start = end
  }
  return { records, sparse }
}
