// Tauth, Tattach, Twalk, Tclunk, Tremove: where fids come from and go.

import { MAXWELEM, NOFID, errno, isErrno } from 'ninep'
import type { Fields, Qid } from 'ninep'
import { drive, get } from '../drive.ts'
import type { Steps } from '../drive.ts'
import { Attach } from '../fid.ts'
import type { Fid, Removal } from '../fid.ts'
import { followed, isBelow, plain } from '../look.ts'
import type { Look } from '../look.ts'
import type { File } from '../namespace.ts'
import { RECORD } from '../passive.ts'
import { mayWalk } from '../permission.ts'
import type { User } from '../permission.ts'
import type { Request } from '../request.ts'
import type { Session } from '../session.ts'
import { NOTHING, checkComponent, qidOf, rights } from './common.ts'
import type { Handlers } from './handlers.ts'
import { removeName } from './names.ts'
import { pathOf } from './where.ts'
import { commit } from './xattrs.ts'

/** look: how the dialect finds a name. */
export function fids(look: Look): Pick<Handlers, 'Tauth' | 'Tattach' | 'Twalk' | 'Tclunk' | 'Tremove'> {
  return {
    Tauth() { throw errno('ENOENT', 'auth: not needed here') },
    Tattach: (session, fields, request) => drive(attach(look, session, fields, request)),
    Twalk: (session, fields, request) => drive(walk(look, session, fields, request)),
    Tclunk: (session, { fid: number }) => drive(clunk(session, session.fid(number, 'clunk'))),
    Tremove: (session, { fid: number }) => drive(remove(session, session.fid(number, 'remove'), asNamed)),
  }
}

function* attach(look: Look, session: Session, { fid: number, afid, uname, aname, nUname }: Fields<'Tattach'>, request: Request): Steps<Fields<'Rattach'>> {
  if (afid !== NOFID) throw errno('EINVAL', 'attach: no afid is valid here')
  if (number === NOFID) throw errno('EINVAL', 'attach', 'NOFID')
  if (session.fids.has(number)) throw errno('EBADF', 'attach', `${number} is in use`)
  const { namespace, gate, control } = session.shared, names = aname.split('/').filter((name) => name !== '')
  const peer = yield* get(session.peer)
  // Whom the control tree is not for may mean a mount of that name: diod's clients do.
  const governs = aname === 'ctl' && (gate.governs(peer) || !namespace.root.children.has('ctl'))
  const { user, rules } = yield* get(session.inTurn(() => {
    if (request.silent) throw errno('ECANCELED', 'attach', aname)
    return governs ? gate.admitOwner(peer, uname, nUname) : gate.admit(peer, uname, nUname, names)
  }))
  const root = governs ? control.retain() : yield* descend(session, user, yield* get(namespace.root.enter()), names, aname)
  try {
    if (look === followed) yield* plain(root, aname)
    if (request.silent) throw errno('ECANCELED', 'attach', 'the client began anew')
    session.reserve(number, root, new Attach(user, rules, root), 'attach')
    return { qid: qidOf(root) }
  } finally { root.release() }
}

/** Walks an attach name from the root, which was retained and is let go. '..' is not taken: it can't leave what is served. Nor are links
 *  followed: the name says whose rules hold. */
function* descend({ shared: { namespace } }: Session, user: User, from: File, names: string[], aname: string): Steps<File> {
  let file = from
  try {
    for (const name of names) {
      if (name === '.' || name === '..') throw errno('ENOENT', 'attach', aname)
      checkComponent(name, 'attach')
      if (!file.isDirectory) throw errno('ENOTDIR', 'attach', aname)
      if (user.uid !== 0) mayWalk(user, yield* get(rights(file.node, user)), name)
      const next = yield* get(namespace.step(file, name))
      file.release()
      file = next
    }
    return file
  } catch (e) {
    file.release()
    throw e
  }
}

function* walk(look: Look, session: Session, { fid: number, newfid, names }: Fields<'Twalk'>, request: Request): Steps<Fields<'Rwalk'>> {
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
  const { namespace } = session.shared
  let file = fid.file.retain(), dir: File | null = null, last = ''
  const root = attach.root.retain()
  try {
    for (const [i, name] of names.entries()) {
      try {
        checkComponent(name, 'walk')
        if (!file.isDirectory) throw errno('ENOTDIR', 'walk', name)
        if (attach.user.uid !== 0) mayWalk(attach.user, yield* get(rights(file.node, attach.user)), name)
        if (name === '.') { qids.push(qidOf(file)); continue }   // diod's tools ask for it
        const stays = name === '..' && file.isAt(root)
        const next: File = stays ? file.retain() : yield* get(look(namespace, attach.user, root, file, name))
        dir?.release()
        dir = file
        file = next
        last = name
        if (name === '..' && names[i + 1] !== '..' && !(yield* isBelow(namespace, file, root))) throw errno('ENOENT', 'walk', name)
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
    if (dir) moved.reachedBy(last === '..' || file.isPlace ? null : dir, last)
    else moved.reachedBy(fid.dir, fid.name)                // by dots alone
    if (made) made.state = 'ready'
    return { qids }
  } catch (e) {
    if (made) giveBack(session, made, request)
    throw e
  } finally {
    file.release()
    dir?.release()
    root.release()
  }
}
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
    const path = xattr.name === RECORD ? yield* whereabouts(session, fid) : ''
    yield* get(session.release(fid))
    yield* commit(session, file, attach, xattr, path)
  } finally { file.release() }
  return NOTHING
}

/** The path of a file, if that can be had: no more than a help to who looks. */
function* whereabouts(session: Session, fid: Fid): Steps<string> {
  try { return yield* pathOf(session, fid) } catch (e) {
    if (isErrno(e)) return ''
    throw e
  }
}

/** Takes away the name that was walked to. */
export const asNamed: Removal = (_namespace, attach, file, dir, name) => removeName(attach, file, dir, name)

/** The fid is gone, whatever comes of it. */
export function* remove(session: Session, fid: Fid, removal: Removal): Steps<Fields<'Rremove'>> {
  const { file, dir, name, attach, xattr } = fid
  fid.removal = null
  file.retain()
  dir?.retain()
  attach.root.retain()
  try {
    yield* get(session.release(fid))
    if (xattr) throw errno('EBADF', 'remove')
    yield* removal(session.shared.namespace, attach, file, dir, name)
  } finally {
    file.release()
    dir?.release()
    attach.root.release()
  }
  return NOTHING
}
