// Tmkdir, Tsymlink, Tmknod, Tlink, Treadlink, Trename, Trenameat, Tunlinkat: names in directories.

import { AT_REMOVEDIR, QT, S, TARGET_MAX, deviceNumber, errno, isErrno, nameLength } from 'ninep'
import type { Attr, Fields, Qid } from 'ninep'
import type { Awaitable, Node, Owner } from '../../translators/translator.ts'
import { drive, get } from '../drive.ts'
import type { Steps } from '../drive.ts'
import type { Attach, Fid } from '../fid.ts'
import type { File } from '../namespace.ts'
import { mayCreate, mayLink, mayMknod, mayRename, mayUnlink, mayWalk, newFile } from '../permission.ts'
import type { User } from '../permission.ts'
import type { Session } from '../session.ts'
import { NOTHING, checkName, directory, isFixed, keep, mayChange, notMounted, nothing, qidOf, rights, taking } from './common.ts'
import type { Handlers } from './handlers.ts'
import type { Wish } from './opening.ts'

export const names: Pick<Handlers, 'Tmkdir' | 'Tsymlink' | 'Tmknod' | 'Tlink' | 'Treadlink' | 'Trename' | 'Trenameat' | 'Tunlinkat'> = {
  Tmkdir: (session, { dfid, name, mode, gid }) =>
    drive(made(session, dfid, name, 'mkdir', () => ({ mode, gid }), true, (dir, mode, owner) => dir.mkdir(name, mode, owner))),

  Tsymlink(session, { dfid, name, target, gid }) {
    checkTarget(target, name)
    return drive(made(session, dfid, name, 'symlink', () => ({ mode: 0o777, gid }), false, (dir, _mode, owner) => dir.symlink(name, target, owner)))
  },

  Tmknod(session, { dfid, name, mode, major, minor, gid }) {
    const type = mode & S.IFMT, device = type === S.IFCHR || type === S.IFBLK
    const rdev = device ? BigInt(deviceNumber(major, minor)) : 0n
    return drive(made(session, dfid, name, 'mknod', () => ({ mode, gid }), false, (dir, mode, owner) => dir.mknod(name, type | mode, rdev, owner),
      (attach, attr) => mayMknod(attach.user, attr, mode, rdev, name)))
  },

  Tlink: (session, fields) => drive(link(session, fields)),

  Treadlink(session, { fid }) {
    const { file } = session.file(fid, 'readlink')
    if (file.node.qid.type !== QT.SYMLINK) throw errno('EINVAL', 'readlink')
    const target = keep(file, file.node.readlink())
    return target instanceof Promise ? target.then((target) => ({ target })) : { target }
  },

  Trename(session, { fid: number, dfid, name }) {
    const { file, attach, dir, name: oldName } = session.file(number, 'rename'), to = session.file(dfid, 'rename')
    if (isFixed(file, attach)) throw errno('EBUSY', 'rename', name)
    if (!dir) throw errno('EINVAL', 'rename: reached by "..": use Trenameat')
    return nothing(drive(rename({ attach, dir, name: oldName }, { attach: to.attach, dir: to.file, name }, file)))
  },
  Trenameat(session, { olddirfid, oldname, newdirfid, newname }) {
    const from = session.file(olddirfid, 'renameat'), to = session.file(newdirfid, 'renameat')
    return nothing(drive(rename({ attach: from.attach, dir: directory(from, 'renameat'), name: oldname }, { attach: to.attach, dir: to.file, name: newname })))
  },

  Tunlinkat: (session, fields) => drive(unlink(session, fields)),
}

/** What a symbolic link is to point at. */
export function checkTarget(target: string, name: string): void {
  if (target === '') throw errno('ENOENT', 'symlink', name)
  if (target.includes('\0')) throw errno('EINVAL', 'symlink', name)
  if (nameLength(target) > TARGET_MAX) throw errno('ENAMETOOLONG', 'symlink', name)
}

type Make = (dir: Node, mode: number, owner: Owner) => Awaitable<Node>
type May = (attach: Attach, attr: Attr) => void
/** What mkdir, symlink and mknod share: the directory stays what its fid stands for. */
function* made(session: Session, dfid: number, name: string, op: string, wish: Wish, isDirectory: boolean, run: Make, may?: May): Steps<{ qid: Qid }> {
  const { file: dir, attach } = session.file(dfid, op)
  const file = yield* make(attach, dir, name, op, wish, isDirectory, run, may)
  const qid = qidOf(file)
  file.release()
  return { qid }
}
/** Something new in a directory, not open; retained. */
export function* make(
  attach: Attach, dir: File, name: string, op: string, wish: Wish, isDirectory: boolean, run: Make, may: May = (attach, attr) => mayCreate(attach.user, attr, name),
): Steps<File> {
  if (!dir.isDirectory) throw errno('ENOTDIR', op, name)
  checkName(name, op)
  if (dir.place?.children.has(name)) throw errno('EEXIST', op, name)
  dir.retain()
  try {
    const attr = yield* get(rights(dir.node, attach.user))
    mayWalk(attach.user, attr, name)
    yield* allowed(dir, name, () => { mayChange(attach, op); may(attach, attr) })
    const { mode, gid } = wish(attr), fresh = newFile(attach.user, attr, mode & 0o7777, gid, isDirectory)
    return yield* get(dir.mount.adopt(yield* get(run(dir.node, fresh.mode, fresh.owner))))
  } finally { dir.release() }
}

/** A refusal to make a name that exists says so, as Linux does, rather than that it may not be made. */
function* allowed(dir: File, name: string, check: () => void): Steps<void> {
  try { check() } catch (e) {
    if (isErrno(e, 'EACCES') || isErrno(e, 'EROFS')) {
      let node: Node | undefined
      try { node = yield* get(dir.node.walk(name)) } catch { throw e }
      dir.mount.close(node)
      throw errno('EEXIST', 'create', name)
    }
    throw e
  }
}

function* link(session: Session, { dfid, fid: number, name }: Fields<'Tlink'>): Steps<Fields<'Rlink'>> {
  const { file: dir, attach } = session.file(dfid, 'link')
  yield* linkTo(attach, dir, name, session.file(number, 'link'))
  return NOTHING
}
/** One more name of the file of a fid, in a directory. */
export function* linkTo(attach: Attach, dir: File, name: string, { file, attach: from }: Fid): Steps<void> {
  if (!dir.isDirectory) throw errno('ENOTDIR', 'link', name)
  checkName(name, 'link')
  if (dir.mount !== file.mount) throw errno('EXDEV', 'link', name)
  if (file.isDirectory) throw errno('EPERM', 'link', name)
  if (dir.place?.children.has(name)) throw errno('EEXIST', 'link', name)
  dir.retain()
  file.retain()
  try {
    const attr = yield* get(rights(file.node, attach.user)), dirAttr = yield* get(rights(dir.node, attach.user))
    mayWalk(attach.user, dirAttr, name)
    yield* allowed(dir, name, () => { mayChange(attach, 'link'); mayChange(from, 'link'); mayLink(attach.user, attr, dirAttr, name) })
    yield* get(dir.node.link(file.node, name))
  } finally {
    dir.release()
    file.release()
  }
}

function* unlink(session: Session, { dirfid, name, flags }: Fields<'Tunlinkat'>): Steps<Fields<'Runlinkat'>> {
  const { file: dir, attach } = session.file(dirfid, 'unlinkat'), { user } = attach
  if (!dir.isDirectory) throw errno('ENOTDIR', 'unlinkat', name)
  if (flags & ~AT_REMOVEDIR) throw errno('EINVAL', 'unlinkat', `flags ${flags}`)
  if (name === '.') throw errno('EINVAL', 'unlinkat', name)
  if (name === '..') throw errno('ENOTEMPTY', 'unlinkat', name)
  checkName(name, 'unlinkat')
  notMounted(dir, name, 'unlinkat')
  mayChange(attach, 'unlinkat')
  dir.retain()
  try {
    let expect: bigint | undefined
    if (user.uid !== 0) {
      const dirAttr = yield* get(rights(dir.node, user))
      mayWalk(user, dirAttr, name)
      if (dirAttr.mode & S.ISVTX) {
        const victim = yield* get(dir.node.walk(name))
        expect = victim.qid.path
        try { mayUnlink(user, dirAttr, yield* get(rights(victim, user)), name) } finally { dir.mount.close(victim) }
      } else mayUnlink(user, dirAttr, dirAttr, name)
    }
    yield* taking(dir, name, (recorded) => dir.node.unlinkat(name, recorded ? underneath(recorded, flags, name) : flags, expect))
  } finally { dir.release() }
  return NOTHING
}

/** What the flags that name a kind, as clients see it, are for the node that a passive translator stands on. ENOTDIR EISDIR */
function underneath(file: File, flags: number, name: string): number {
  const root = file.active?.mount?.root
  if (!root || root.isDirectory === file.isDirectory) return flags
  if (root.isDirectory !== ((flags & AT_REMOVEDIR) !== 0)) throw errno(root.isDirectory ? 'EISDIR' : 'ENOTDIR', 'unlinkat', name)
  return file.isDirectory ? AT_REMOVEDIR : 0
}

/** Refuses to take away a name of a file; both are retained by the caller. */
export function* mayRemove(attach: Attach, file: File, dir: File | null, name: string): Steps<void> {
  const { user } = attach
  mayChange(attach, 'remove')
  if (isFixed(file, attach)) throw errno('EBUSY', 'remove', name)
  if (!dir) throw errno('EINVAL', 'remove: reached by "..": use Tunlinkat')
  notMounted(dir, name, 'remove')
  if (user.uid !== 0) mayUnlink(user, yield* get(rights(dir.node, user)), yield* get(rights(file.underlying.node, user)), name)
}
/** Takes it away. ENOENT: it is somebody else's now. */
export function* removeName(attach: Attach, file: File, dir: File | null, name: string): Steps<void> {
  yield* mayRemove(attach, file, dir, name)
  const { underlying: { isDirectory, node } } = file
  try {
    yield* taking(dir!, name, () => dir!.node.unlinkat(name, isDirectory ? AT_REMOVEDIR : 0, node.qid.path))
  } catch (e) {
    // Somebody else's file has the name now, so that this one has none to remove.
    throw isErrno(e, 'ESTALE') ? errno('ENOENT', 'remove', name) : e
  }
}

/** A place of a name: the directory, and who came in how to it. */
export interface Spot { readonly attach: Attach; readonly dir: File; readonly name: string }
/** expected: what must stand there; ENOENT. */
export function* rename({ attach, dir: from, name: oldName }: Spot, { attach: into, dir: to, name: newName }: Spot, expected?: File): Steps<void> {
  const { user } = attach
  if (!to.isDirectory) throw errno('ENOTDIR', 'rename', newName)
  checkName(oldName, 'rename')
  checkName(newName, 'rename')
  if (from.mount !== to.mount) throw errno('EXDEV', 'rename', newName)
  mayChange(attach, 'rename')
  mayChange(into, 'rename')
  notMounted(from, oldName, 'rename')
  notMounted(to, newName, 'rename')
  from.retain()
  to.retain()
  try {
    const { mount } = from
    if (user.uid !== 0) for (const dir of [from, to]) mayWalk(user, yield* get(rights(dir.node, user)), newName)
    const moved: File = yield* get(mount.adopt(yield* get(from.node.walk(oldName))))
    try {
      if (expected && moved !== expected.underlying) throw errno('ENOENT', 'rename', oldName)
      if (user.uid !== 0) yield* check(user, from, moved, to, newName)
      yield* taking(to, newName, () => from.node.renameat(oldName, to.node, newName, moved.node.qid.path))
      for (const known of [moved, moved.active?.mount?.root]) {
        for (let fid = known?.fids; fid; fid = fid.next) if (fid.dir === from && fid.name === oldName) fid.reachedBy(to, newName)
      }
    } finally { moved.release() }
  } finally {
    from.release()
    to.release()
  }
}
function* check(user: User, from: File, moved: File, to: File, newName: string): Steps<void> {
  let target: Attr | undefined
  try {
    const node = yield* get(to.node.walk(newName))
    try {
      if (node.qid.path === moved.node.qid.path && node.volume === moved.node.volume) return       // two names of one file: nothing happens, to no one's harm
      target = yield* get(rights(node, user))
    } finally { to.mount.close(node) }
  } catch (e) { if (!isErrno(e, 'ENOENT')) throw e }
  const source = yield* get(rights(moved.node, user))
  const [fromAttr, toAttr] = [yield* get(rights(from.node, user)), yield* get(rights(to.node, user))]
  mayRename(user, { from: fromAttr, source, to: toAttr, ...(target && { target }) }, newName)
}
