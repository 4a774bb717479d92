// Values as people read them.

import { Attrs, bytesOfName, deviceParts, S } from 'ninep'
import type { Attr, Time } from 'ninep'

const kinds: Readonly<Record<number, readonly [letter: string, word: string]>> = {
  [S.IFREG]: ['-', 'file'], [S.IFDIR]: ['d', 'directory'], [S.IFLNK]: ['l', 'link'], [S.IFIFO]: ['p', 'fifo'],
  [S.IFSOCK]: ['s', 'socket'], [S.IFCHR]: ['c', 'character device'], [S.IFBLK]: ['b', 'block device'],
}
/** What kind of file a mode says: 'directory'. */
export function kindOf(mode: number): string { return kinds[mode & S.IFMT]?.[1] ?? 'unknown' }

/** `drwxr-x--t` of a mode. */
export function modeString(mode: number): string {
  const bits = [...'rwxrwxrwx'].map((c, i) => mode & (0o400 >> i) ? c : '-')
  for (const [bit, at, letter] of [[S.ISUID, 2, 's'], [S.ISGID, 5, 's'], [S.ISVTX, 8, 't']] as const) {
    if (mode & bit) bits[at] = bits[at] === 'x' ? letter : letter.toUpperCase()
  }
  return (kinds[mode & S.IFMT]?.[0] ?? '?') + bits.join('')
}

/** `2026-11-22 09:15:02.123456789 +0000`, local time; the fraction and zone only if asked for. */
export function timeString({ sec, nsec }: Time, exact: boolean): string {
  const date = new Date(sec * 1000)
  if (Number.isNaN(date.getTime())) return `@${sec}`
  const pad = (n: number, width = 2) => String(n).padStart(width, '0')
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`
  const time = `${pad(date.getHours())}:${pad(date.getMinutes())}`
  const zone = -date.getTimezoneOffset(), away = Math.abs(zone)
  return exact ? `${day} ${time}:${pad(date.getSeconds())}.${pad(nsec, 9)} ${zone < 0 ? '-' : '+'}${pad(Math.floor(away / 60))}${pad(away % 60)}` : `${day} ${time}`
}

/** `12.3 MiB`. */
export function sizeString(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB']
  let unit = 0
  while (bytes >= 1024 && unit < units.length - 1) { bytes /= 1024; unit++ }
  return unit === 0 ? `${bytes} B` : `${bytes.toFixed(bytes < 100 ? 1 : 0)} ${units[unit]}`
}

/** A name for a terminal: what would move the cursor, and bytes that are not UTF-8, as ls -b has them. */
export function escape(name: string): string {
  return name.replace(/[\\\x00-\x1f\x7f-\x9f]|[\udc80-\udcff]/gu, (c) => {
    const short = { '\\': '\\\\', '\n': '\\n', '\t': '\\t', '\r': '\\r' }[c]
    return short ?? [...bytesOfName(c)].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('')
  })
}
/** A name as standard output takes it: escaped on a terminal, else as it is. */
export function shown(name: string): string { return process.stdout.isTTY ? escape(name) : name }

/** Writes lines to standard output, names in them byte for byte. */
export function print(...lines: readonly string[]): void {
  if (lines.length > 0) process.stdout.write(bytesOfName(lines.map((line) => `${line}\n`).join('')))
}

/** Who owns a file: a number, or where the server tells none the name. */
export function ownerOf({ valid, uid, names }: Attr): string { return valid & Attrs.UID ? String(uid) : names?.uid || '?' }
export function groupOf({ valid, gid, names }: Attr): string { return valid & Attrs.GID ? String(gid) : names?.gid || '?' }

/** An Attr as JSON has it: times in ISO form to the nanosecond, identities as text since they exceed 2^53. What the server did
 *  not tell is null, and names of owners are there only where it does. */
export function attrJson(attr: Attr): object {
  const time = ({ sec, nsec }: Time) => {
    const date = new Date(sec * 1000)
    return Number.isNaN(date.getTime()) ? `@${sec}.${String(nsec).padStart(9, '0')}` : date.toISOString().replace(/\.000Z$/, `.${String(nsec).padStart(9, '0')}Z`)
  }
  const { qid, mode, uid, gid, nlink, rdev, size, blksize, blocks, atime, mtime, ctime, names } = attr
  const told = <T>(bit: number, value: T) => attr.valid & bit ? value : null
  return {
    kind: kindOf(mode), mode: (mode & 0o7777).toString(8).padStart(4, '0'), uid: told(Attrs.UID, uid), gid: told(Attrs.GID, gid),
    ...(names ? { user: names.uid, group: names.gid, modifier: names.muid } : {}), nlink: told(Attrs.NLINK, nlink), size,
    blocks: told(Attrs.BLOCKS, blocks), blksize: told(Attrs.BLOCKS, blksize),
    ...(rdev === 0n ? {} : deviceParts(rdev)), atime: time(atime), mtime: time(mtime), ctime: told(Attrs.CTIME, time(ctime)),
    qid: { type: qid.type, version: qid.version, path: String(qid.path) },
  }
}
