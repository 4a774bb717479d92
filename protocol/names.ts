// Names are bytes. In memory a name is a string in which each byte that is not part of valid UTF-8 is one lone
// surrogate U+DC80..U+DCFF, so that what was listed can be opened, byte for byte, and logs stay readable. (Python calls
// this surrogateescape: PEP 383.) Every byte string has exactly one such string.

import { NodeBuffer, allocate } from './bytes.ts'
import { errno } from './errno.ts'

/** What Buffer's toString comes to for latin1, of any Uint8Array: a fifth of a Twalk's time went into looking whether it is a Buffer. */
const latin1 = (NodeBuffer?.prototype as { latin1Slice?(start: number, end: number): string } | undefined)?.latin1Slice

/** The name that the bytes from start to end are. */
export function nameOfBytes(bytes: Uint8Array, start: number, end: number): string {
  for (let i = start; i < end; i++) {
    if (bytes[i]! >= 0x80) return beyondAscii(bytes, start, end)
  }
  if (latin1) return latin1.call(bytes, start, end)
  let name = ''
  for (let i = start; i < end; i++) name += String.fromCharCode(bytes[i]!)
  return name
}

/** The name of an entry of a listing, which may stand there as bytes. */
export function entryName(name: string | Uint8Array): string { return typeof name === 'string' ? name : nameOfBytes(name, 0, name.length) }

function beyondAscii(bytes: Uint8Array, start: number, end: number): string {
  if (NodeBuffer && bytes instanceof NodeBuffer) {
    const name = bytes.toString('utf8', start, end)
    if (!name.includes('\ufffd')) return name              // nothing was replaced
  }
  let name = ''
  for (let i = start; i < end;) {
    const length = sequence(bytes, i, end)
    name += length > 0 ? String.fromCodePoint(pointOf(bytes, i, length)) : String.fromCharCode(0xdc00 + bytes[i]!)
    i += length || 1
  }
  return name
}

/** Bytes of the valid sequence that begins at i, 0 for none. Bounds of the second byte: Unicode, table 3-7. */
function sequence(bytes: Uint8Array, i: number, end: number): number {
  const first = bytes[i]!
  if (first < 0x80) return 1
  const length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0
  if (length === 0 || i + length > end) return 0
  const second = bytes[i + 1]!
  if (second < (first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80) || second > (first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf)) return 0
  for (let k = 2; k < length; k++) if ((bytes[i + k]! & 0xc0) !== 0x80) return 0
  return length
}

/** The character whose sequence is at i. */
function pointOf(bytes: Uint8Array, i: number, length: number): number {
  let point = length === 1 ? bytes[i]! : bytes[i]! & 0x7f >> length
  for (let k = 1; k < length; k++) point = point << 6 | bytes[i + k]! & 0x3f
  return point
}

/** The bytes of a name. EILSEQ: it holds a surrogate that stands for no byte. */
export function bytesOfName(name: string): Uint8Array {
  const bytes = allocate(nameLength(name))
  putBytes(name, bytes, 0)
  return bytes
}

/** How many bytes a name has. EILSEQ as bytesOfName. */
export function nameLength(name: string): number {
  let length = name.length
  for (let i = 0; i < name.length; i++) {
    const unit = name.charCodeAt(i)
    if (unit < 0x80) continue
    if (unit < 0x800) length += 1
    else if (unit < 0xd800 || unit > 0xdfff) length += 2
    else if (isPair(name, i)) length += 2, i++
    else if (unit < 0xdc80 || unit > 0xdcff) throw errno('EILSEQ', 'encode', name)
  }
  return length
}

/** Writes the bytes of a name at `at` and returns their end. RangeError: they do not fit. EILSEQ as bytesOfName. */
export function putBytes(name: string, into: Uint8Array, at: number): number {
  const units = name.length
  if (at + units > into.length) throw new RangeError('no room for a name')
  for (let i = 0; i < units; i++) {
    const unit = name.charCodeAt(i)
    if (unit >= 0x80) return putRest(name, i, into, at + i)
    into[at + i] = unit
  }
  return at + units
}

/** Writes the bytes of a name at `at` and returns their end; -1, and some of them may stand there, if that would pass `limit`. */
export function putName(name: string, into: Uint8Array, at: number, limit: number): number {
  if (at + name.length > limit) return -1                  // each unit of a string is at least a byte
  for (let i = 0; i < name.length; i++) {
    const unit = name.charCodeAt(i)
    if (unit >= 0x80) return at + nameLength(name) > limit ? -1 : putRest(name, i, into, at + i)
    into[at + i] = unit
  }
  return at + name.length
}

function putRest(name: string, from: number, into: Uint8Array, at: number): number {
  const end = at + nameLength(name) - from                // before `from` all is ASCII
  if (end > into.length) throw new RangeError('no room for a name')
  for (let i = from; i < name.length; i++) {
    const unit = name.charCodeAt(i)
    if (unit < 0x80) into[at++] = unit
    else if (unit < 0x800) {
      into[at++] = 0xc0 | unit >> 6
      into[at++] = 0x80 | unit & 0x3f
    } else if (isPair(name, i)) {
      const point = name.codePointAt(i++)!
      into[at++] = 0xf0 | point >> 18
      into[at++] = 0x80 | point >> 12 & 0x3f
      into[at++] = 0x80 | point >> 6 & 0x3f
      into[at++] = 0x80 | point & 0x3f
    } else if (unit >= 0xd800 && unit <= 0xdfff) {
      into[at++] = unit & 0xff                             // nameLength refused all others
    } else {
      into[at++] = 0xe0 | unit >> 12
      into[at++] = 0x80 | unit >> 6 & 0x3f
      into[at++] = 0x80 | unit & 0x3f
    }
  }
  return end
}

/** Whether a surrogate pair begins at i. */
function isPair(name: string, i: number): boolean {
  return (name.charCodeAt(i) & 0xfc00) === 0xd800 && (name.charCodeAt(i + 1) & 0xfc00) === 0xdc00
}
