// The messages that 9P2000 and 9P2000.u have instead of those of .L: Topen, Tcreate, Tstat, Twstat, and Tread of a directory.

import { DM, NONUNAME, O, OPEN, PAYLOAD_HEAD, S, deviceNumber, errno } from 'ninep'
import type { Attr, Fields, UnixStat } from 'ninep'
import type { Awaitable } from '../../translators/translator.ts'
import { drive, get } from '../drive.ts'
import type { Steps } from '../drive.ts'
import type { Fid, Removal } from '../fid.ts'
import { asItIs, followed, standsAt } from '../look.ts'
import type { File } from '../namespace.ts'
import { mayExecute, mayMknod, mayOpen } from '../permission.ts'
import type { Request } from '../request.ts'
import type { Session } from '../session.ts'
import { attributesOf } from './attributes.ts'
import { keepAround, nothing } from './common.ts'
import { readStats } from './dirread.ts'
import { asNamed, fids, remove } from './fids.ts'
import type { Handlers } from './handlers.ts'
import { LISTING, io, lent, payload } from './io.ts'
import { checkTarget, linkTo, make, mayRemove, removeName } from './names.ts'
import { become, create, open, opened } from './opening.ts'
import type { Made, Wish } from './opening.ts'
import { STAT, permOf, statOf } from './stats.ts'
import { locate, nameOf } from './where.ts'
import { refuseUnkept, wstat } from './wstat.ts'

/** What 9P2000.u makes besides files and directories: they are not open afterwards. */
const SPECIAL = DM.SYMLINK | DM.LINK | DM.DEVICE | DM.NAMEDPIPE | DM.SOCKET

export function plan9<D extends '9P2000' | '9P2000.u'>(dialect: D): Handlers<D> {
  const unix = dialect === '9P2000.u', { Tauth, Tattach, Twalk, Tclunk } = fids(unix ? asItIs : followed)
  const removal = unix ? asNamed : asShown
  const handlers: Handlers<'9P2000.u'> = {
    Tauth, Twalk, Tclunk,
    Tattach: (session, fields, request) => Tattach(session, unix ? fields : { ...fields, nUname: NONUNAME }, request),
    Twrite: io.Twrite,

    Topen(session, { fid: number, mode }, request) {
      const fid = session.file(number, 'open')
      return keepAround(fid, drive(openFile(session, unix, removal, fid, mode, request)))
    },
    Tcreate(session, fields, request) {
      const fid = session.file(fields.fid, 'create')
      return keepAround(fid, drive(createFile(session, unix, removal, fid, fields, request)))
    },

    Tread(session, fields, request) {
      const fid = session.file(fields.fid, 'read')
      if (!fid.file.isDirectory) return io.Tread(session, fields, request)
      const handle = opened(fid, O.RDONLY, 'read')
      const into = payload(session, fid, request, Math.min(fields.count, session.msize - PAYLOAD_HEAD, LISTING))
      return keepAround(fid, lent(session, fid, request, () => inTurn(fid, () => drive(readStats(session, unix, fid, handle, fields.offset, into, request)))))
    },

    Tremove(session, { fid: number }) {
      const fid = session.file(number, 'remove')
      return keepAround(fid, drive(locateAndRemove(session, fid, removal)))
    },

    Tstat(session, { fid: number }, request) {
      const fid = session.file(number, 'stat')
      return keepAround(fid, drive(stat(session, unix, fid, request)))
    },
    Twstat(session, { fid: number, stat }, request) {
      const fid = session.file(number, 'wstat')
      return nothing(keepAround(fid, session.using(fid, request, () => drive(wstat(session, unix, fid, stat, request)))))
    },
  }
  return handlers as unknown as Handlers<D>                // 9P2000 lacks fields that are not looked at for it, and encodes fewer
}

/** f after the reads of this directory that came before. */
function inTurn<T>(fid: Fid, f: () => Awaitable<T>): Awaitable<T> {
  const result = fid.lastRead ? fid.lastRead.then(f) : f()
  if (result instanceof Promise) {
    const last = result.then(() => {}, () => {}).finally(() => { if (fid.lastRead === last) fid.lastRead = null })
    fid.lastRead = last
  }
  return result
}

/** Takes away a name as 9P2000 shows it: where a link led to the file, that of the link. */
const asShown: Removal = function* (namespace, attach, file, dir, name) {
  if (!dir) { yield* removeName(attach, file, dir, name); return }
  const subject: File = yield* standsAt(namespace, attach, file, dir, name)
  try { yield* removeName(attach, subject, dir, name) } finally { subject.release() }
}
function* locateAndRemove(session: Session, fid: Fid, removal: Removal): Steps<Fields<'Rremove'>> {
  try { yield* locate(session, fid) } catch { /* then remove says what it lacks */ }
  if (fid.state === 'gone') throw errno('EBADF', 'remove', `${fid.number} was clunked`)
  return yield* remove(session, fid, removal)
}

function* stat(session: Session, unix: boolean, fid: Fid, request: Request): Steps<{ stat: UnixStat }> {
  const { attach, file } = fid, attr: Attr = yield* get(attributesOf(session, fid, STAT, request))
  yield* locate(session, fid)
  return { stat: yield* statOf(session, attach, unix, attr, file.wire, nameOf(fid), file.node) }
}

function* openFile(session: Session, unix: boolean, removal: Removal, fid: Fid, mode: number, request: Request): Steps<Fields<'Ropen', '9P2000'>> {
  const { attach, dir, name } = fid, closes = (mode & OPEN.RCLOSE) !== 0
  const removable = function* (file: File): Steps<void> {
    if (file.isDirectory) throw errno('EISDIR', 'open: to be removed when it is closed', name)
    const subject = unix || !dir ? file.retain() : yield* standsAt(session.shared.namespace, attach, file, dir, name)
    try { yield* mayRemove(attach, subject, dir, name) } finally { subject.release() }
  }
  const reply = yield* open(session, fid, flagsOf(mode, unix), request, (mode & OPEN.ACCESS) === OPEN.EXEC ? mayExecute : mayOpen, closes ? removable : undefined)
  if (closes) fid.removal = removal
  return reply
}
/** O bits of an open mode; OEXEC reads. */
function flagsOf(mode: number, unix: boolean): number {
  const access = mode & OPEN.ACCESS
  return (access === OPEN.EXEC ? O.RDONLY : access) | (mode & OPEN.TRUNC ? O.TRUNC : 0) | (unix && mode & OPEN.APPEND ? O.APPEND : 0)
}

function* createFile(
  session: Session, unix: boolean, removal: Removal, fid: Fid, { name, perm, mode, extension }: Fields<'Tcreate', '9P2000.u'>, request: Request,
): Steps<Fields<'Rcreate', '9P2000'>> {
  const { attach } = fid, isDirectory = (perm & DM.DIR) !== 0, wish = wishOf(perm, unix, isDirectory)
  refuseUnkept(perm)
  if (perm & SPECIAL) {
    if (!unix) throw errno('EOPNOTSUPP', 'create', name)
    return yield* become(session, fid, name, 0, (dir) => special(session, fid, dir, name, perm, extension, wish))
  }
  if (isDirectory) {
    if (mode & ~OPEN.CEXEC) throw errno('EINVAL', 'create: a directory is opened for reading', name)
    return yield* become(session, fid, name, O.RDONLY, function* (dir): Steps<Made> {
      const file = yield* make(attach, dir, name, 'mkdir', wish, true, (dir, mode, owner) => dir.mkdir(name, mode, owner))
      try {
        const handle = yield* get(file.node.open(O.RDONLY, request))
        return { file: file.retain(), handle }
      } finally { file.release() }
    })
  }
  const flags = flagsOf(mode, unix)
  return yield* becomeFor(removal, session, fid, name, mode, flags, (dir) => create(session, attach, dir, name, flags | O.EXCL, wish, request))
}
/** Made, and with ORCLOSE gone again when the fid is: also where that went in between. */
function* becomeFor(
  removal: Removal, session: Session, fid: Fid, name: string, mode: number, flags: number, make: (dir: File) => Steps<Made>,
): Steps<Fields<'Rcreate', '9P2000'>> {
  if ((mode & OPEN.RCLOSE) === 0) return yield* become(session, fid, name, flags, make)
  const { file: dir, attach } = fid, { root } = attach
  let made: File | undefined
  root.retain()
  try {
    const reply = yield* become(session, fid, name, flags, function* (dir): Steps<Made> {
      const one = yield* make(dir)
      made = one.file.retain()
      return one
    })
    fid.removal = removal
    return reply
  } catch (e) {
    if (made) try { yield* removal(session.shared.namespace, attach, made, dir, name) } catch { /* there is nobody to tell */ }
    throw e
  } finally {
    made?.release()
    root.release()
  }
}
/** In 9P2000 what is made has no permission that its directory lacks, and the directory's group. Kernels of 9P2000.u have applied a umask. */
function wishOf(perm: number, unix: boolean, isDirectory: boolean): Wish {
  const mask = isDirectory ? 0o777 : 0o666, mode = permOf(perm, unix)
  return unix ? () => ({ mode, gid: NONUNAME }) : (dir) => ({ mode: mode & (~mask | dir.mode & mask), gid: dir.gid })
}

function* special(session: Session, { attach }: Fid, dir: File, name: string, perm: number, extension: string, wish: Wish): Steps<Made> {
  if (perm & DM.LINK) {
    const number = /^(\d{1,10})\n?$/.exec(extension)
    if (!number) throw errno('EINVAL', 'link: no fid', extension)
    const fid = session.file(Number(number[1]), 'link'), { file } = fid
    file.retain()
    try { yield* linkTo(attach, dir, name, fid) } catch (e) { file.release(); throw e }
    return { file, handle: null }
  }
  if (perm & DM.SYMLINK) {
    checkTarget(extension, name)
    return { file: yield* make(attach, dir, name, 'symlink', () => ({ mode: 0o777, gid: NONUNAME }), false, (dir, _mode, owner) => dir.symlink(name, extension, owner)), handle: null }
  }
  const { type, rdev } = nodeOf(perm, extension)
  const file = yield* make(attach, dir, name, 'mknod', wish, false, (dir, mode, owner) => dir.mknod(name, type | mode, rdev, owner),
    (attach, attr) => mayMknod(attach.user, attr, type, rdev, name))
  return { file, handle: null }
}
/** The type and number of a pipe, socket or device: `c MAJOR MINOR` or `b MAJOR MINOR`. */
function nodeOf(perm: number, extension: string): { type: number; rdev: bigint } {
  if (perm & DM.NAMEDPIPE) return { type: S.IFIFO, rdev: 0n }
  if (perm & DM.SOCKET) return { type: S.IFSOCK, rdev: 0n }
  const device = /^([bc]) (\d{1,10}) (\d{1,10})\n?$/.exec(extension)
  if (!device) throw errno('EINVAL', 'mknod: no device', extension)
  return { type: device[1] === 'c' ? S.IFCHR : S.IFBLK, rdev: BigInt(deviceNumber(Number(device[2]), Number(device[3]))) }
}
