// Tauth, Tattach, Twalk, Tclunk, Tremove: where fids come from and go.

import { AT_REMOVEDIR, MAXWELEM, NOFID, errno, isErrno } from 'ninep'
import type { Fields, Qid } from 'ninep'
import { drive, get } from '../drive.ts'
import type { Steps } from '../drive.ts'
import { Attach } from '../fid.ts'
import type { Fid } from '../fid.ts'
import type { File } from '../namespace.ts'
import { mayUnlink, mayWalk } from '../permission.ts'
import type { User } from '../permission.ts'
import type { Request } from '../request.ts'
import type { Session } from '../session.ts'
import { NOTHING, checkComponent, mayChange, notMounted, qidOf, rights } from './common.ts'
import type { Handlers } from './handlers.ts'
import { commit } from './xattrs.ts'

export const fids: Pick<Handlers, 'Tauth' | 'Tattach' | 'Twalk' | 'Tclunk' | 'Tremove'> = {
  Tauth() { throw errno('ENOENT', 'auth: not needed here') },
  Tattach: (session, fields, request) => drive(attach(session, fields, request)),
  Twalk: (session, fields, request) => drive(walk(session, fields, request)),
  Tclunk: (session, { fid: number }) => drive(clunk(session, session.fid(number, 'clunk'))),
  Tremove: (session, { fid: number }) => drive(remove(session, session.fid(number, 'remove'))),
}

function* attach(session: Session, { fid: number, afid, uname, aname, nUname }: Fields<'Tattach'>, request: Request): Steps<Fields<'Rattach'>> {
  if (afid !== NOFID) throw errno('EINVAL', 'attach: no afid is valid here')
  if (number === NOFID) throw errno('EINVAL', 'attach', 'NOFID')
  if (session.fids.has(number)) throw errno('EBADF', 'attach', `${number} is in use`)
  const { namespace, gate } = session.shared, names = aname.split('/').filter((name) => name !== '')
  const peer = yield* get(session.peer)
  const { user, rules } = yield* get(session.inTurn(() => {
    if (request.silent) throw errno('ECANCELED', 'attach', aname)
    return gate.admit(peer, uname, nUname, names)
  }))
  const root = yield* descend(session, user, namespace.root.file.retain(), names, aname)
  try {
    if (request.silent) throw errno('ECANCELED', 'attach', 'the client began anew')
    session.reserve(number, root, new Attach(user, rules, root), 'attach')
    return { qid: qidOf(root) }
  } finally { root.release() }
}

/** Walks an attach name from the root, which was retained and is let go. '..' is not taken: it can't leave what is served. */
function* descend(session: Session, user: User, from: File, names: string[], aname: string): Steps<File> {
  let file = from
  try {
    for (const name of names) {
      if (name === '.' || name === '..') throw errno('ENOENT', 'attach', aname)
      checkComponent(name, 'attach')
      if (!file.isDirectory) throw errno('ENOTDIR', 'attach', aname)
      if (user.uid !== 0) mayWalk(user, yield* get(rights(file.node, user)), name)
      const next = yield* get(session.shared.namespace.step(file, name))
      file.release()
      file = next
    }
    return file
  } catch (e) {
    file.release()
    throw e
  }
}

function* walk(session: Session, { fid: number, newfid, names }: Fields<'Twalk'>, request: Request): Steps<Fields<'Rwalk'>> {
  const fid = session.file(number, 'walk'), { attach } = fid
  if (names.length > MAXWELEM) throw errno('EINVAL', 'walk', `${names.length} names`)
  if (newfid === number ? fid.state !== 'ready' || fid.handle !== null : false) throw errno('EINVAL', 'walk', `${number} is open`)
  if (names.length > 0 && !fid.file.isDirectory) throw errno('ENOTDIR', 'walk', names[0])
  const made = newfid === number ? null : session.reserve(newfid, fid.file, attach, 'walk')
  if (names.length === 0) {
    made?.reachedBy(fid.dir, fid.name)
    return { qids: [] }
  }
  if (made) { made.state = 'reserved'; request.reserves = made }
  const qids: Qid[] = []
  let file = fid.file.retain(), dir: File | null = null, last = ''
  try {
    for (const [i, name] of names.entries()) {
      try {
        checkComponent(name, 'walk')
        if (!file.isDirectory) throw errno('ENOTDIR', 'walk', name)
        if (attach.user.uid !== 0) mayWalk(attach.user, yield* get(rights(file.node, attach.user)), name)
        const stays = name === '..' && file === attach.root
        const next: File = stays ? file.retain() : name === '.' ? refuseDot() : yield* get(session.shared.namespace.step(file, name))
        dir?.release()
        dir = file
        file = next
        last = name
        if (name === '..' && names[i + 1] !== '..' && !(yield* isBelow(session, file, attach.root))) throw errno('ENOENT', 'walk', name)
      } catch (e) {
        if (qids.length === 0 || !isErrno(e)) throw e
        if (made) giveBack(session, made, request)
        return { qids }
      }
      qids.push(qidOf(file))
    }
    if (request.silent) { made?.drop(); return { qids } }
    const moved = made ?? fid
    if (moved.state === 'gone') throw errno('EBADF', 'walk', String(newfid))
    // What was opened since stays what it is: else its handle would be one file's, and its checks another's.
    if (!made && (fid.state !== 'ready' || fid.handle || fid.xattr)) throw errno('EINVAL', 'walk', `${number} was opened`)
    moved.become(file.retain())
    moved.reachedBy(last === '..' ? null : dir, last)
    if (made) made.state = 'ready'
    return { qids }
  } catch (e) {
    if (made) giveBack(session, made, request)
    throw e
  } finally {
    file.release()
    dir?.release()
  }
}
/** Whether a file lies below an attach point (or is it): one that was moved out of there must not lead on into what lies around. */
function* isBelow({ shared: { namespace } }: Session, file: File, root: File): Steps<boolean> {
  const top = namespace.root.file
  if (root === top) return true
  let at = file.retain()
  try {
    for (; at !== root && at !== top;) {
      const up: File = yield* get(namespace.up(at))
      at.release()
      at = up
    }
    return at === root
  } finally { at.release() }
}
function refuseDot(): never { throw errno('ENOENT', 'walk', '.') }
function giveBack(session: Session, made: Fid, request: Request): void {
  if (session.fids.get(made.number) === made) session.fids.delete(made.number)
  if (made.state !== 'gone') made.drop()
  request.reserves = null
}

function* clunk(session: Session, fid: Fid): Steps<Fields<'Rclunk'>> {
  const { xattr, file, attach } = fid
  if (!xattr?.writing) {
    yield* get(session.release(fid))
    return NOTHING
  }
  file.retain()
  try {
    yield* get(session.release(fid))
    yield* commit(file, attach, xattr)
  } finally { file.release() }
  return NOTHING
}

function* remove(session: Session, fid: Fid): Steps<Fields<'Rremove'>> {
  const { file, dir, name, attach, xattr } = fid
  file.retain()
  dir?.retain()
  try {
    yield* get(session.release(fid))
    if (xattr) throw errno('EBADF', 'remove')
    mayChange(attach, 'remove')
    if (file === attach.root || file.place) throw errno('EBUSY', 'remove', name)
    if (!dir) throw errno('EINVAL', 'remove: reached by "..": use Tunlinkat')
    notMounted(dir, name, 'remove')
    if (attach.user.uid !== 0) mayUnlink(attach.user, yield* get(rights(dir.node, attach.user)), yield* get(rights(file.node, attach.user)), name)
    try {
      yield* get(dir.node.unlinkat(name, file.isDirectory ? AT_REMOVEDIR : 0, file.node.qid.path))
    } catch (e) {
      // Somebody else's file has the name now, so that this one has none to remove.
      throw isErrno(e, 'ESTALE') ? errno('ENOENT', 'remove', name) : e
    }
  } finally {
    file.release()
    dir?.release()
  }
  return NOTHING
}
