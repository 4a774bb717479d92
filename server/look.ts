// What a client finds under a name. 9P2000.L and 9P2000.u find what stands there. 9P2000 has words for files and directories
// alone: symbolic links are followed for it, within the attach root, and what it can't express is not there.

import { Attrs, QT, S, errno, isErrno } from 'ninep'
import type { Awaitable } from '../translators/translator.ts'
import { drive, get } from './drive.ts'
import type { Steps } from './drive.ts'
import type { Attach } from './fid.ts'
import { checkComponent, rights } from './handlers/common.ts'
import type { File, Namespace } from './namespace.ts'
import { mayWalk } from './permission.ts'
import type { User } from './permission.ts'

/** The file under a name of a directory, retained. Names were checked, and that the user may search this directory. root: what must not be left. */
export type Look = (namespace: Namespace, user: User, root: File, dir: File, name: string) => Awaitable<File>

/** What stands there, a link itself. */
export const asItIs: Look = (namespace, _user, _root, dir, name) => namespace.step(dir, name)

/** What 9P2000 can show; ENOENT, too, where that is a link that leads nowhere, or a device, pipe or socket. */
export const followed: Look = (namespace, user, root, dir, name) => drive(find(namespace, user, root, dir, name))

/** Links on the way to a file at most, as on Linux; names on the way, and what climbing up to look for the root counts among them. */
const LINKS = 40, NAMES = 512, CLIMB = 32
/** Directories on the way up that are passed in one turn of the loop: there is no end to how deep a tree is. */
const IN_A_TURN = 256

function* find(namespace: Namespace, user: User, root: File, dir: File, name: string): Steps<File> {
  let file: File = yield* get(namespace.step(dir, name))
  try {
    if (isLink(file)) {
      const target: File = yield* follow(namespace, user, root, dir, file)
      file.release()
      file = target
    }
    yield* plain(file, name)
    return file
  } catch (e) {
    file.release()
    throw isErrno(e, 'ENOTDIR') || isErrno(e, 'ELOOP') || isErrno(e, 'EINVAL') || isErrno(e, 'ENAMETOOLONG') ? errno('ENOENT', 'walk: a link that leads nowhere', name) : e
  }
}
/** What is renamed or removed where a file is known by a name: itself, or the link there that leads to it. Retained. ENOENT: the name is another's now. */
export function* standsAt(namespace: Namespace, { user, root }: Attach, file: File, dir: File, name: string): Steps<File> {
  const there: File = yield* get(namespace.step(dir, name))
  try {
    if (there === file) return there.retain()
    if (isLink(there)) {
      const target: File = yield* follow(namespace, user, root, dir, there)
      target.release()
      if (target === file) return there.retain()
    }
    throw errno('ENOENT', 'walk', name)
  } finally { there.release() }
}

/** Refuses what 9P2000 has no words for, as if it were not there. */
export function* plain(file: File, name: string): Steps<void> {
  if (file.isDirectory || ((yield* get(file.node.getattr(Attrs.MODE))).mode & S.IFMT) === S.IFREG) return
  throw errno('ENOENT', 'walk: no file or directory', name)
}
function isLink(file: File): boolean { return file.node.qid.type === QT.SYMLINK }

/** What a link in a directory leads to, itself no link. Its '/' is the attach root, and '..' stays there. ENOENT ENOTDIR EACCES ELOOP. */
function* follow(namespace: Namespace, user: User, root: File, dir: File, link: File): Steps<File> {
  const ahead: string[] = []
  let at = dir.retain(), left = NAMES
  const take = (target: string) => {
    for (const name of target.split('/').reverse()) ahead.push(name)
    if (!target.startsWith('/')) return
    at.release()
    at = root.retain()
  }
  try {
    take(yield* get(link.node.readlink()))
    for (let links = 1, name; (name = ahead.pop()) !== undefined;) {
      if (--left < 0) throw errno('ELOOP', 'walk', name)
      if (!at.isDirectory) throw errno('ENOTDIR', 'walk', name)
      if (name === '' || name === '.') continue
      checkComponent(name, 'walk')
      if (user.uid !== 0) mayWalk(user, yield* get(rights(at.node, user)), name)
      if (name === '..' && at.isAt(root)) continue
      const next: File = yield* get(namespace.step(at, name))
      if (isLink(next)) {
        try {
          if (++links > LINKS) throw errno('ELOOP', 'walk', name)
          take(yield* get(next.node.readlink()))
        } finally { next.release() }
        continue
      }
      at.release()
      at = next
      if (name === '..' && ahead.at(-1) !== '..') {
        left -= CLIMB
        if (!(yield* isBelow(namespace, at, root))) throw errno('ENOENT', 'walk', name)
      }
    }
    return at.retain()
  } finally { at.release() }
}

/** Whether a file lies below an attach point (or is it): one that was moved out of there must not lead on into what lies around. */
export function* isBelow(namespace: Namespace, file: File, root: File): Steps<boolean> {
  if (root === namespace.root.file) return true
  let at = file.retain()
  try {
    for (let n = 1; !at.isAt(root); n++) {
      if (n % IN_A_TURN === 0) yield new Promise(setImmediate)
      const up: File = yield* get(namespace.up(at)), stays = up === at
      at.release()
      at = up
      if (stays) return false
    }
    return true
  } finally { at.release() }
}
