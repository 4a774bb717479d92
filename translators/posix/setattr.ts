import { errno, S, type SetAttr } from 'ninep'
import * as sys from '../sys.ts'
import type { Inode } from './inode.ts'
import { touch } from './owner.ts'

/** In the order owner, mode, size, times, and what can be refused is refused first. `stat` describes the file; writable: fd may ftruncate. */
export function setattr(inode: Inode, fd: number, writable: boolean, attr: SetAttr): void {
  const { mode, uid, gid, size, atime, mtime, ctime } = attr, { owner } = inode.brick
  if (mode !== undefined && inode.type === S.IFLNK) throw errno('EOPNOTSUPP', 'chmod')
  if (size !== undefined) {
    if (inode.isDirectory) throw errno('EISDIR', 'truncate')
    if (inode.type !== S.IFREG) throw errno('EINVAL', 'truncate')
    if (!(size >= 0)) throw errno('EINVAL', 'truncate')
    if (size > Number.MAX_SAFE_INTEGER) throw errno('EFBIG', 'truncate')
  }
  if (uid !== undefined || gid !== undefined) owner.checkChown(uid, gid)
  if (uid !== undefined || gid !== undefined) owner.chown(inode, fd, uid, gid)
  if (mode !== undefined) owner.chmod(inode, fd, mode)
  if (size !== undefined) {
    sys.truncate(fd, size, writable)
    inode.written()
  }
  if (atime !== undefined || mtime !== undefined) sys.utimens(fd, atime, mtime)
  else if (ctime !== undefined && mode === undefined && uid === undefined && gid === undefined && size === undefined) touch(fd)
}
