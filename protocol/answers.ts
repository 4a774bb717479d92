// Answers of a small server, made of what it knows of its files.

import { allocate } from './bytes.ts'
import { Attrs, Dt, QT } from './constants.ts'
import { putDirent } from './dirent.ts'
import { errno } from './errno.ts'
import type { Fields } from './messages.ts'
import type { Attr, Qid } from './types.ts'

const never = { sec: 0, nsec: 0 }
/** Bytes of one listing at most. */
const MOST = 64 * 1024

/** The fields of Rgetattr. What is not known is that of an empty file of root's, with one name, from 1970. */
export function attrOf(known: Partial<Attr> & { readonly qid: Qid; readonly mode: number }): Attr {
  const { qid, mode, size = 0, mtime = never } = known
  return {
    valid: known.valid ?? Attrs.BASIC, qid, mode, uid: known.uid ?? 0, gid: known.gid ?? 0, nlink: known.nlink ?? 1, rdev: known.rdev ?? 0n,
    size, blksize: known.blksize ?? 4096, blocks: known.blocks ?? Math.ceil(size / 512),
    atime: known.atime ?? mtime, mtime, ctime: known.ctime ?? mtime, btime: known.btime ?? never, gen: known.gen ?? 0n, dataVersion: known.dataVersion ?? 0n,
  }
}

/** The fields of Rreaddir for a directory that is a list: as many of its files as Treaddir asks for, from where it says. Cookies are places in
 *  the list. EINVAL: there is no room for one. */
export function listing(files: readonly { readonly name: string; readonly qid: Qid }[], { offset, count }: Pick<Fields<'Treaddir'>, 'offset' | 'count'>): Fields<'Rreaddir'> {
  const data = allocate(Math.min(count, MOST))
  let end = 0
  for (let i = Number(offset); i < files.length; i++) {
    const { name, qid: { type, version, path } } = files[i]!
    const next = putDirent(data, end, data.length, type, version, path, BigInt(i + 1), type & QT.DIR ? Dt.DIR : type & QT.SYMLINK ? Dt.LNK : Dt.REG, name)
    if (next < 0 && end === 0) throw errno('EINVAL', `listing of ${count} bytes`)
    if (next < 0) break
    end = next
  }
  return { data: data.subarray(0, end) }
}
