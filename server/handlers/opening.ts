// What Tlopen, Tlcreate, Topen and Tcreate share: handles, as a client may have them.

import { O, errno, isErrno } from 'ninep'
import type { Attr, Qid } from 'ninep'
import type { Handle, Node } from '../../translators/translator.ts'
import { get } from '../drive.ts'
import type { Steps } from '../drive.ts'
import type { Attach, Fid } from '../fid.ts'
import { gone } from '../gone.ts'
import type { File } from '../namespace.ts'
import { afterWrite, mayCreate, mayOpen, mayWalk, newFile } from '../permission.ts'
import type { User } from '../permission.ts'
import type { Request } from '../request.ts'
import type { Session } from '../session.ts'
import { checkName, directory, mayChange, qidOf, rights } from './common.ts'

/** What a translator is told of how to open; the rest of Linux's bits is the client's own business. */
const OPEN = O.ACCMODE | O.TRUNC | O.APPEND | O.NONBLOCK | O.SYNC | O.NOATIME

/** The handle of a fid that is open for this: EBADF. */
export function opened(fid: Fid, want: number, op: string): Handle {
  const mode = fid.flags & O.ACCMODE
  if (!fid.handle || (mode !== want && mode !== O.RDWR)) throw errno('EBADF', op)
  return fid.handle
}
/** Takes off setuid and setgid, where they would not outlive a write or truncation by this user. */
export function* unprivileged(user: User, attr: Attr, of: Node | Handle): Steps<void> {
  const mode = afterWrite(user, attr)
  if (mode !== null) yield* get(of.setattr({ mode }))
}

/** Opens the file of a fid. may: what decides whether this user may have it so; first: what else has to be looked at. */
export function* open(
  session: Session, fid: Fid, flags: number, request: Request, may: May = mayOpen, first?: (file: File) => Steps<void>,
): Steps<{ qid: Qid; iounit: number }> {
  const { attach, file } = fid
  if (fid.handle || fid.state === 'opening') throw errno('EINVAL', 'open', `${fid.number} is open`)
  room(session, 'open')
  fid.state = 'opening'
  try {
    if (first) yield* first(file)
    hold(session, fid, flags, yield* openAs(attach, file, flags, fid.name, request, may))
  } finally {
    if (fid.state === 'opening') fid.state = 'ready'
  }
  return { qid: qidOf(file), iounit: 0 }
}
type May = (user: User, attr: Attr, flags: number, name: string) => void

/** A handle of a file that is there, as this client may have it. */
function* openAs(attach: Attach, { node }: File, flags: number, name: string, request: Request, may: May): Steps<Handle> {
  const { user } = attach, attr = yield* get(rights(node, user))
  may(user, attr, flags, name)
  if ((flags & O.ACCMODE) !== O.RDONLY || flags & O.TRUNC) mayChange(attach, 'open')
  if (flags & O.TRUNC) yield* unprivileged(user, attr, node)
  return yield* get(node.open(flags & OPEN, request))
}
/** Refuses one open file more than there may be; those being opened count when they are. */
function room(session: Session, op: string): void {
  const { handles } = session.shared.limits
  if (session.handles >= handles) throw errno('EMFILE', op, `more than ${handles} open files`)
}
/** Gives a fid the handle that an open made, unless it is gone by then. */
function hold(session: Session, fid: Fid, flags: number, handle: Handle): void {
  try { stillThere(fid) } catch (e) {
    fid.file.mount.close(handle)
    throw e
  }
  session.handles++
  fid.handle = handle
  fid.flags = flags
}

function stillThere({ state, number, file: { mount } }: Fid): void {
  if (state === 'gone') throw errno('EBADF', 'open', `${number} was clunked`)
  if (mount.cutOff) throw gone(mount.path)
}

/** Makes something in the directory that a fid stands for; from then on it stands for that, open by the handle if there is one. */
export function* become(session: Session, fid: Fid, name: string, flags: number, make: (dir: File) => Steps<Made>): Steps<{ qid: Qid; iounit: number }> {
  if (fid.handle || fid.state === 'opening') throw errno('EINVAL', 'create', `${fid.number} is open`)
  room(session, 'create')
  const dir = directory(fid, 'create')
  checkName(name, 'create')
  fid.state = 'opening'
  try {
    const { file, handle } = yield* make(dir)
    try {
      if (handle) hold(session, fid, flags, handle)
      else stillThere(fid)
      fid.reachedBy(dir, name)
      fid.become(file.retain())
    } finally { file.release() }
  } finally {
    if (fid.state === 'opening') fid.state = 'ready'
  }
  return { qid: qidOf(fid.file), iounit: 0 }
}
/** file: retained. */
export interface Made { readonly file: File; readonly handle: Handle | null }

/** A new file, or without O_EXCL the one that is there. Two clients at once: whoever comes second opens the first one's. */
export function* create(session: Session, attach: Attach, dir: File, name: string, flags: number, wish: Wish, request: Request): Steps<Made> {
  const { user } = attach, { namespace } = session.shared
  const exclusive = (flags & O.EXCL) !== 0
  if (dir.place?.children.has(name)) throw errno(exclusive ? 'EEXIST' : 'EISDIR', 'create', name)
  const dirAttr = yield* get(rights(dir.node, user))
  mayWalk(user, dirAttr, name)
  for (let tries = 0; ; tries++) {
    let refused: unknown
    try {
      mayChange(attach, 'create')
      mayCreate(user, dirAttr, name)
      const { mode, gid } = wish(dirAttr)
      const fresh = newFile(user, dirAttr, mode & 0o7777, gid, false)
      const { node, handle } = yield* get(dir.node.create(name, flags & OPEN & ~O.TRUNC, fresh.mode, fresh.owner))
      return { file: yield* get(dir.mount.adopt(node)), handle }
    } catch (e) {
      if (isErrno(e, 'EEXIST') ? exclusive : !isErrno(e, 'EACCES') && !isErrno(e, 'EROFS')) throw e
      refused = e
    }
    let file: File
    try { file = yield* get(namespace.step(dir, name)) } catch (e) {
      if (!isErrno(e, 'ENOENT')) throw e
      if (isErrno(refused, 'EEXIST') && tries < 8) continue
      throw refused
    }
    try {
      if (exclusive) throw errno('EEXIST', 'create', name)
      if (file.isDirectory) throw errno('EISDIR', 'create', name)
      const handle = yield* openAs(attach, file, flags, name, request, mayOpen)
      return { file: file.retain(), handle }
    } finally { file.release() }
  }
}
/** Permission bits and group of what is made in a directory, before it has its own say. */
export type Wish = (dir: Attr) => { readonly mode: number; readonly gid: number }
