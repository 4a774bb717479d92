// Tgetattr, Tsetattr, Tstatfs.

import { Attrs, O, SetAttrs, errno } from 'ninep'
import type { Attr, Fields, SetAttr } from 'ninep'
import type { Awaitable } from '../../translators/translator.ts'
import { drive, get } from '../drive.ts'
import type { Steps } from '../drive.ts'
import type { Fid } from '../fid.ts'
import { changes } from '../permission.ts'
import type { Request } from '../request.ts'
import type { Session } from '../session.ts'
import type { Uids } from '../users.ts'
import { NOTHING, attrOf, keep, mayChange } from './common.ts'
import type { Handlers } from './handlers.ts'

export const attributes: Pick<Handlers, 'Tgetattr' | 'Tsetattr' | 'Tstatfs'> = {
  Tgetattr(session, { fid: number, mask }, request) {
    const fid = session.file(number, 'getattr'), attr = attributesOf(session, fid, (mask & Attrs.ALL) | Attrs.BASIC, request)
    return attr instanceof Promise ? attr.then((attr) => shown(fid, attr)) : shown(fid, attr)
  },

  Tsetattr(session, fields, request) {
    const fid = session.file(fields.fid, 'setattr')
    return keep(fid.file, drive(setattr(session, fid, fields, request)))
  },

  Tstatfs(session, { fid: number }) {
    const { file } = session.file(number, 'statfs')
    return keep(file, file.node.statfs())
  },
}

/** By the handle where there is one. ENOENT: the file of a fid that is not open has no name any more. */
export function attributesOf(session: Session, fid: Fid, mask: number, request: Request): Awaitable<Attr> {
  const { handle, file } = fid
  if (handle) return session.using(fid, request, () => handle.getattr(mask))
  const attr = keep(file, file.node.getattr(mask))
  return attr instanceof Promise ? attr.then((attr) => there(session, fid, attr)) : there(session, fid, attr)
}

/**
 * A fid that is not open, of a file whose last name is gone, tells its client so by ENOENT: kernels drop what they hold of the
 * name on that alone. But one who has the file open asks by whichever fid, and still owns it.
 */
function there(session: Session, { file }: Fid, attr: Attr): Attr {
  if (attr.nlink > 0) return attr
  for (let other = file.fids; other; other = other.next) if (other.handle && session.fids.get(other.number) === other) return attr
  throw errno('ENOENT', 'getattr: the file has no name any more')
}

/** Attributes as this client sees them: the wire's identity, and mapped owners. */
function shown({ file, attach: { rules: { uids } } }: Fid, attr: Attr): Fields<'Rgetattr'> {
  const { qid } = attr
  return {
    valid: attr.valid & Attrs.ALL, qid: { type: qid.type, version: qid.version, path: file.wire },
    mode: attr.mode, uid: uids.toClient(attr.uid), gid: attr.gid, nlink: attr.nlink, rdev: attr.rdev,
    size: attr.size, blksize: attr.blksize, blocks: attr.blocks, atime: attr.atime, mtime: attr.mtime, ctime: attr.ctime, btime: attr.btime,
    gen: attr.gen, dataVersion: attr.dataVersion,
  }
}

function* setattr(session: Session, fid: Fid, fields: Fields<'Tsetattr'>, request: Request): Steps<Fields<'Rsetattr'>> {
  const { attach, handle, file } = fid
  const wanted = wish(fields, attach.rules.uids)
  if (Object.keys(wanted).length === 0) return NOTHING
  mayChange(attach, 'setattr')
  const writable = handle !== null && (fid.flags & O.ACCMODE) !== O.RDONLY
  yield* get(session.using(fid, request, () => drive(function* (): Steps<void> {
    const set = changes(attach.user, yield* get(attrOf(fid)), wanted, handle && { writable }, fid.name)
    yield* get(handle && (writable || set.size === undefined) ? handle.setattr(set) : file.node.setattr(set))
    if (set.uid !== undefined) yield* get(session.shared.passive.chowned(file))
  }())))
  return NOTHING
}

/** What the bits of Tsetattr ask for. */
function wish({ valid, mode, uid, gid, size, atime, mtime }: Fields<'Tsetattr'>, uids: Uids): SetAttr {
  if (valid & SetAttrs.SIZE && size > Number.MAX_SAFE_INTEGER) throw errno(size >= 2 ** 63 ? 'EINVAL' : 'EFBIG', 'setattr', 'size')
  return {
    ...(valid & SetAttrs.MODE && { mode: mode & 0o7777 }),
    ...(valid & SetAttrs.UID && { uid: uids.toServed(uid) }),
    ...(valid & SetAttrs.GID && { gid }),
    ...(valid & SetAttrs.SIZE && { size }),
    ...(valid & SetAttrs.ATIME && { atime: valid & SetAttrs.ATIME_SET ? checkTime(atime) : 'now' as const }),
    ...(valid & SetAttrs.MTIME && { mtime: valid & SetAttrs.MTIME_SET ? checkTime(mtime) : 'now' as const }),
    ...(valid & SetAttrs.CTIME && { ctime: 'now' as const }),
  }
}
function checkTime(time: Attr['mtime']): Attr['mtime'] {
  if (!(time.nsec >= 0 && time.nsec < 1e9) || !Number.isSafeInteger(time.sec)) throw errno('EINVAL', 'setattr', 'time')
  return time
}
