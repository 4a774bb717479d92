// Reads the headers of an archive, one after the other, into a table. Data are passed over. What could do harm when
// unpacked can't here, for nothing is: a name with '..', or below what is no directory, has no place in a tree, and is left out.

import { NAME_MAX, S, nameLength } from 'ninep'
import { now } from '../clock.ts'
import type { Handle } from '../translator.ts'
import { BadArchive, readMember, roundUp } from './header.ts'
import type { Member, Source } from './header.ts'
import { NONE, Table } from './table.ts'

/** Bytes read at a time: small members stand side by side. */
const WINDOW = 16 * 1024
/** Milliseconds between turns of the loop. */
const TURN = 10

/** Bytes of an open file. Its buffer is used again by the next call. */
export function sourceOf(handle: Handle, size: number): Source {
  const window = Buffer.allocUnsafe(WINDOW)
  let from = 0, have = 0
  return async (at, length) => {
    if (at + length > size) throw new BadArchive(`byte ${at}: the archive ends in the middle of a file, at ${size}`)
    if (at >= from && at + length <= from + have) return window.subarray(at - from, at - from + length)
    const into = length > WINDOW ? Buffer.allocUnsafe(length) : window, want = length > WINDOW ? length : Math.min(WINDOW, size - at)
    if (into === window) have = 0
    let got = 0
    while (got < length) {
      const bytes = await handle.read(into.subarray(got, want), at + got)
      if (bytes.length === 0) throw new BadArchive(`byte ${at + got}: the archive became shorter`)
      into.set(bytes, got)
      got += bytes.length
    }
    if (into === window) { from = at; have = got }
    return into.subarray(0, length)
  }
}

export interface Scanned { readonly table: Table; readonly left: readonly string[]; readonly leftOut: number }

/** The table of an archive of `size` bytes. max: files and names that may be held. left: the first of those left out, and why. */
export async function scan(source: Source, size: number, max: number): Promise<Scanned> {
  const table = new Table(), global = new Map<string, Buffer>(), left: string[] = []
  const root = table.addFile(S.IFDIR | 0o755, 0, 0, now())
  table.parent.values[root] = root
  table.nlink.values[root] = 2
  let leftOut = 0, turn = performance.now()
  for (let at = 0; at < size;) {
    const member = await readMember(source, at, size, global)
    if (!member) break
    const end = member.data + member.stored
    if (end > size) throw new BadArchive(`byte ${member.head}: the archive ends at ${size}, in the middle of ${member.name}, which ends at ${end}`)
    const why = add(table, member)
    if (why !== null && ++leftOut <= 10) left.push(`${member.name}: ${why}`)
    if (Math.max(table.files, table.names) > max) throw new BadArchive(`more than ${max} files: raise the option members, at some 120 bytes of memory each`)
    at = Math.min(size, member.data + roundUp(member.stored))
    if (performance.now() - turn > TURN) {
      await new Promise((go) => { setImmediate(go) })
      turn = performance.now()
    }
  }
  return { table, left, leftOut }
}

/** Gives a member its place; else says why it has none. Of two with one name the later counts. */
function add(table: Table, member: Member): string | null {
  const { mode, type } = member
  if ((mode & S.IFMT) === 0 && type !== '1') return null             // a label, or another archiver's own business
  const found = place(table, member.name)
  if (typeof found === 'string') return found
  const { directory, name } = found
  if (name === '') {                                      // './'
    if ((mode & S.IFMT) !== S.IFDIR) return 'has no name'
    fill(table, 0, member)
    return null
  }
  const entry = table.find(directory, name), there = entry === NONE ? NONE : table.file.values[entry]!
  const isDirectory = there !== NONE && (table.mode.values[there]! & S.IFMT) === S.IFDIR
  if ((mode & S.IFMT) === S.IFDIR && isDirectory) { fill(table, there, member); return null }
  if (isDirectory) return 'a directory has that name'
  let file: number
  if (type === '1') {
    const target = place(table, member.target)
    const to = typeof target === 'string' || target.name === '' ? NONE : table.find(target.directory, target.name)
    if (to === NONE) return `a link to ${member.target}, which is not there before it`
    file = table.file.values[to]!
    if ((table.mode.values[file]! & S.IFMT) === S.IFDIR) return 'a hard link to a directory'
    if (file === there) return null
    table.nlink.values[file]!++
  } else {
    file = table.addFile(0, 0, 0, member.mtime)
    fill(table, file, member)
    if ((mode & S.IFMT) === S.IFDIR) settle(table, file, directory)
    else table.nlink.values[file] = 1
  }
  if (entry === NONE) table.addName(directory, name, file)
  else {
    table.nlink.values[there]!--
    table.file.values[entry] = file
  }
  return null
}
function settle(table: Table, file: number, parent: number): void {
  table.nlink.values[file] = 2
  table.parent.values[file] = parent
  table.nlink.values[parent]!++
}
function fill(table: Table, file: number, { mode, uid, gid, size, mtime, rdev, head, data, stored, sparse, xattrs }: Member): void {
  for (const [column, value] of [
    [table.mode, mode], [table.uid, uid], [table.gid, gid], [table.size, size], [table.sec, mtime.sec], [table.nsec, mtime.nsec], [table.rdev, Number(rdev)],
    [table.head, head], [table.data, data], [table.stored, stored], [table.flags, (sparse ? 1 : 0) | (xattrs.size > 0 ? 2 : 0)],
  ] as const) column.values[file] = value
}

/** The directory of a path, its parents made where they are missing, and the last name: '' for the top. Or why there is none. */
function place(table: Table, path: string): { directory: number; name: string } | string {
  const names = path.split('/').filter((name) => name !== '' && name !== '.')
  if (names.includes('..')) return 'leads out by ..'
  if (names.some((name) => name.includes('\0') || nameLength(name) > NAME_MAX)) return `a name of more than ${NAME_MAX} bytes`
  if (names.length > 1024) return 'more than 1024 directories deep'
  const name = names.pop() ?? ''
  let directory = 0
  for (const step of names) {
    const entry = table.find(directory, step)
    let next = entry === NONE ? NONE : table.file.values[entry]!
    if (next === NONE) {
      next = table.addFile(S.IFDIR | 0o755, 0, 0, { sec: table.sec.values[0]!, nsec: table.nsec.values[0]! })
      settle(table, next, directory)
      table.addName(directory, step, next)
    } else if ((table.mode.values[next]! & S.IFMT) !== S.IFDIR) return 'below what is no directory'
    directory = next
  }
  return { directory, name }
}
