// Twstat: several changes in one, all of them or none. All is checked before anything is changed; what then fails all the
// same (a full disk) undoes the rename that came first. The fid's file and handle stay while it takes.

import { Attrs, DM, DONT_TOUCH, NONUNAME, O, QT, S, errno, isErrno } from 'ninep'
import type { Attr, SetAttr, UnixStat } from 'ninep'
import type { Handle } from '../../translators/translator.ts'
import { drive, get } from '../drive.ts'
import type { Steps } from '../drive.ts'
import type { Fid } from '../fid.ts'
import { standsAt } from '../look.ts'
import type { File } from '../namespace.ts'
import { changes } from '../permission.ts'
import type { Request } from '../request.ts'
import type { Session } from '../session.ts'
import { attrOf, checkName, isFixed, mayChange, notMounted } from './common.ts'
import { rename } from './names.ts'
import { permOf, statOf } from './stats.ts'
import { locate, nameOf } from './where.ts'

/** muid is not looked at: kernels send who they are. */
export function* wstat(session: Session, unix: boolean, fid: Fid, stat: UnixStat, request: Request): Steps<void> {
  const { file } = fid
  identical(file, stat)
  if (stat.name !== '') yield* locate(session, fid)
  if (fid.file !== file || fid.state === 'gone') throw errno('EBADF', 'wstat', `${fid.number} stands for something else now`)
  const { dir } = fid
  dir?.retain()                                            // the fid may be clunked meanwhile
  try { yield* change(session, unix, fid, dir, stat, request) } finally { dir?.release() }
}
function* change(session: Session, unix: boolean, fid: Fid, dir: File | null, stat: UnixStat, request: Request): Steps<void> {
  const { attach, file, handle, name } = fid
  const newName = stat.name === '' || stat.name === nameOf(fid) ? undefined : stat.name
  const attr: Attr = yield* get(attrOf(fid))
  const wanted = yield* wish(session, unix, fid, attr, stat)
  if (newName !== undefined) yield* mayBeCalled(fid, dir, newName, unix && Object.keys(wanted).length === 0)
  if (Object.keys(wanted).length === 0 && newName === undefined) { yield* sync(file, handle, request); return }
  mayChange(attach, 'wstat')
  const writable = handle !== null && (fid.flags & O.ACCMODE) !== O.RDONLY
  const set = changes(attach.user, attr, wanted, handle && { writable }, name)
  const renamed = newName !== undefined && (yield* move(session, unix, fid, file, dir!, name, newName))
  if (Object.keys(set).length === 0) return
  try {
    yield* get(handle && (writable || set.size === undefined) ? handle.setattr(set) : file.node.setattr(set))
    if (set.uid !== undefined) yield* get(session.shared.passive.chowned(file))
  } catch (e) {
    if (renamed) yield* moveBack(session, unix, fid, file, dir!, newName!, name)
    throw e
  }
}

/** What nobody can change: as it was shown, or not touched. */
function identical({ wire, node }: File, { type, dev, qid }: UnixStat): void {
  const { type: none, dev: never, qid: nothing } = DONT_TOUCH
  const same = (type === 0 || type === none) && (dev === 0 || dev === never)
    && (qid.path === wire && qid.type === node.qid.type || qid.path === nothing.path && qid.type === nothing.type)
  if (!same) throw errno('EPERM', 'wstat: type, dev or qid')
}

/** replaces: what has the name. 9P2000 does not, nor does 9P2000.u where more is asked for: it could not be brought back. */
function* mayBeCalled({ file, attach, name }: Fid, dir: File | null, newName: string, replaces: boolean): Steps<void> {
  checkName(newName, 'wstat')
  if (isFixed(file, attach) || !dir) throw errno('EBUSY', 'wstat', name)
  notMounted(dir, newName, 'wstat')
  if (replaces) return
  try { dir.mount.close(yield* get(dir.node.walk(newName))) } catch (e) {
    if (isErrno(e, 'ENOENT')) return
    throw e
  }
  throw errno('EEXIST', 'wstat', newName)
}

/** Whether there was anything to rename. The fid has the new name then. */
function* move({ shared: { namespace } }: Session, unix: boolean, fid: Fid, file: File, dir: File, name: string, newName: string): Steps<true> {
  const { attach } = fid
  const subject = unix ? file.retain() : yield* standsAt(namespace, attach, file, dir, name)
  try { yield* rename({ attach, dir, name }, { attach, dir, name: newName }, subject) } finally { subject.release() }
  if (fid.dir === dir && fid.name === name) fid.reachedBy(dir, newName)      // one that a link led to is not among those of the link
  return true
}
function* moveBack(session: Session, unix: boolean, fid: Fid, file: File, dir: File, newName: string, name: string): Steps<void> {
  try { yield* move(session, unix, fid, file, dir, newName, name) } catch (err) {
    session.shared.repeats.warn({ session: session.name, file: newName, err }, 'a file was renamed, could not be changed otherwise, and has the new name still')
  }
}

/** What is asked for but the name. Values that were shown just so are no change, which only an owner could make. */
function* wish(session: Session, unix: boolean, fid: Fid, attr: Attr, stat: UnixStat): Steps<SetAttr> {
  const { attach } = fid, isDir = (attr.mode & S.IFMT) === S.IFDIR, none = DONT_TOUCH
  const touches = (field: 'length' | 'mode' | 'atime' | 'mtime') => stat[field] !== none[field]
  if (touches('length') && stat.length !== 0 && isDir) throw errno('EISDIR', 'wstat: length', fid.name)
  if (touches('length') && stat.length > Number.MAX_SAFE_INTEGER) throw errno(stat.length >= 2 ** 63 ? 'EINVAL' : 'EFBIG', 'wstat: length', fid.name)
  if (touches('mode')) {
    if (((stat.mode & DM.DIR) !== 0) !== isDir) throw errno('EPERM', 'wstat can\'t convert between files and directories', fid.name)
    refuseUnkept(stat.mode)
  }
  const { uid, gid } = yield* owners(session, unix, fid, attr, stat)
  const mode = permOf(stat.mode, unix) | (unix ? 0 : attr.mode & 0o7000)
  return {
    ...touches('length') && !isDir && { size: stat.length },
    ...touches('mode') && mode !== (attr.mode & 0o7777) && { mode },
    ...uid !== undefined && uid !== attr.uid && { uid },
    ...gid !== undefined && gid !== attr.gid && { gid },
    ...touches('mtime') && { mtime: { sec: stat.mtime, nsec: 0 } },
    ...touches('atime') && { atime: { sec: stat.atime, nsec: 0 } },
  }
}
/** Bits that would have to be kept with the file, and be held to in every dialect. DMTMP promises nothing, and is let go. */
export function refuseUnkept(dm: number): void {
  if (dm & (DM.APPEND | DM.EXCL | DM.AUTH | DM.MOUNT)) throw errno('EOPNOTSUPP', 'append-only, exclusive or other such files')
}

/** Who is to own the file: by number where there is one, else by a name that the host knows. EINVAL: it does not. */
function* owners(session: Session, unix: boolean, { attach }: Fid, attr: Attr, stat: UnixStat): Steps<{ uid: number | undefined; gid: number | undefined }> {
  const { uids } = attach.rules, { names } = session.shared.gate
  const byNumber = { uid: unix && stat.nUid !== NONUNAME, gid: unix && stat.nGid !== NONUNAME }
  const shown = stat.uid !== '' || stat.gid !== '' ? yield* statOf(session, attach, false, attr, 0n, '') : null
  const numberOf = function* (field: 'uid' | 'gid', number: number): Steps<number | undefined> {
    const name = stat[field]
    if (byNumber[field]) return number
    if (name === '' || name === shown?.[field]) return undefined
    const found: number | undefined = yield* get(session.inTurn(() => field === 'uid' ? names.uidOf(name) : names.gidOf(name)))
    if (found === undefined) throw errno('EINVAL', 'wstat: nobody is called', name)
    return found
  }
  const uid = yield* numberOf('uid', stat.nUid), gid = yield* numberOf('gid', stat.nGid)
  return { uid: uid === undefined ? undefined : uids.toServed(uid), gid }
}

/** What a Twstat that touches nothing asks for. A fid that is not open has a handle for this alone. */
function* sync(file: File, handle: Handle | null, request: Request): Steps<void> {
  if (handle) { yield* get(handle.fsync(false, request)); return }
  if (!file.isDirectory && (file.node.qid.type !== QT.FILE || ((yield* get(file.node.getattr(Attrs.MODE))).mode & S.IFMT) !== S.IFREG)) return
  const own = yield* get(file.node.open(O.RDONLY, request))
  try { yield* get(own.fsync(false, request)) } finally { yield* get(own.close()) }
}
