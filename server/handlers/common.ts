// What handlers share: checks at the door.

import { NAME_MAX, errno, nameLength } from 'ninep'
import type { Attr, Qid } from 'ninep'
import type { Awaitable, Handle, Node } from '../../translators/translator.ts'
import { get } from '../drive.ts'
import type { Steps } from '../drive.ts'
import type { Attach, Fid } from '../fid.ts'
import type { File, Place } from '../namespace.ts'
import { needed } from '../permission.ts'
import type { User } from '../permission.ts'

export const NOTHING = {} as const
/** The empty reply, when that is done. */
export function nothing(done: Awaitable<void>): Awaitable<typeof NOTHING> { return done instanceof Promise ? done.then(() => NOTHING) : NOTHING }

/** A name to be made, moved or removed: one component that is neither '.' nor '..'. */
export function checkName(name: string, op: string): void {
  if (name === '.' || name === '..') throw errno('EEXIST', op, name)
  checkComponent(name, op)
}
/** A name to be looked up. */
export function checkComponent(name: string, op: string): void {
  if (name === '' || name.includes('/') || name.includes('\0')) throw errno('EINVAL', op, name)
  if (name.length > NAME_MAX || (name.length > NAME_MAX / 3 && nameLength(name) > NAME_MAX)) throw errno('ENAMETOOLONG', op, name)
}

/** Refuses changes where the client came in read-only. */
export function mayChange(attach: Attach, op: string): void {
  if (attach.rules.readOnly) throw errno('EROFS', op)
}

/** What a call on the file's node gives. While it takes, the node stays, though the last fid of the file may go. */
export function keep<T>(file: File, result: Awaitable<T>): Awaitable<T> {
  if (!(result instanceof Promise)) return result
  file.retain()
  return result.finally(() => file.release())
}
/** The same for all that a fid is looked about from: its file, the directory it was reached by, the attach root. */
export function keepAround<T>({ file, dir, attach: { root } }: Fid, result: Awaitable<T>): Awaitable<T> {
  if (!(result instanceof Promise)) return result
  return keep(root, keep(file, dir ? keep(dir, result) : result))
}

/** The identity that clients see. */
export function qidOf(file: File): Qid {
  const { type, version } = file.node.qid
  return { type, version, path: file.wire }
}

/** A directory for a name operation. */
export function directory(fid: Fid, op: string): File {
  if (!fid.file.isDirectory) throw errno('ENOTDIR', op)
  return fid.file
}

/** Whether a file stays where it is: the root of an attach, or a mount point, or what leads to one. */
export function isFixed(file: File, attach: Attach): boolean { return file === attach.root || file.isPlace }
/** A name in a directory that is a mount point, or leads to one, stays as it is. */
export function notMounted(dir: File, name: string, op: string): void {
  if (dir.place?.children.has(name)) throw errno('EBUSY', op, name)
}

/** The names of mounts over a directory, which its own listing leaves to them; null: there is none. */
export function namesOver(over: readonly Place[]): ReadonlySet<string> | null { return over.length > 0 ? new Set(over.map(({ name }) => name)) : null }

/**
 * f, which takes a name of this directory away, and is given the file that has it, if a passive translator is recorded on that: with the last name that is
 * forgotten. EBUSY: somebody is in it; ENOTEMPTY: it holds what would go with it.
 */
export function* taking(dir: File, name: string, f: (recorded: File | null) => Awaitable<void>): Steps<void> {
  const { passive } = dir.mount, victim: File | null = passive?.any ? yield* get(passive.victim(dir, name)) : null
  try {
    if (victim) yield* get(passive!.mayGo(victim))
    yield* get(f(victim))
    if (victim) yield* get(passive!.taken(victim))
  } finally { victim?.release() }
}

/** What permission asks about this user and this file. */
export function rights(of: Node | Handle, user: User): Awaitable<Attr> { return of.getattr(needed(user)) }
/** The same, by the handle where there is one, for it outlives the name. */
export function attrOf(fid: Fid): Awaitable<Attr> { return rights(fid.handle ?? fid.file.node, fid.attach.user) }
