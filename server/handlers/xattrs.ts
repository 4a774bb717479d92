// Txattrwalk, Txattrcreate, and what a clunk does with what was written.

import { S, XATTR_CREATE, XATTR_REPLACE, XATTR_SIZE_MAX, bytesOfName, errno } from 'ninep'
import type { Fields } from 'ninep'
import { ACL_ACCESS, ACL_DEFAULT, mapAcl } from '../../translators/acl.ts'
import { drive, get } from '../drive.ts'
import type { Steps } from '../drive.ts'
import type { Attach, Xattr } from '../fid.ts'
import type { File } from '../namespace.ts'
import { RECORD } from '../passive.ts'
import { afterSetAcl, mayXattr, visibleXattr } from '../permission.ts'
import type { User } from '../permission.ts'
import type { Request } from '../request.ts'
import type { Session } from '../session.ts'
import { sameUids } from '../users.ts'
import { NOTHING, mayChange, rights } from './common.ts'
import type { Handlers } from './handlers.ts'

export const xattrs: Pick<Handlers, 'Txattrwalk' | 'Txattrcreate'> = {
  Txattrwalk: (session, fields, request) => drive(walk(session, fields, request)),

  Txattrcreate(session, { fid: number, name, attrSize, flags }) {
    const fid = session.file(number, 'xattrcreate')
    if (fid.handle || fid.state === 'opening') throw errno('EINVAL', 'xattrcreate', `${number} is open`)
    if (flags & ~(XATTR_CREATE | XATTR_REPLACE)) throw errno('EINVAL', 'xattrcreate', `flags ${flags}`)
    if (attrSize > XATTR_SIZE_MAX) throw errno('E2BIG', 'xattrcreate', name)
    if (name === '' || name.includes('\0')) throw errno('EINVAL', 'xattrcreate', name)
    mayChange(fid.attach, 'xattrcreate')
    account(session, attrSize)
    fid.xattr = { writing: true, name, size: attrSize, flags, value: null, got: 0 }
    return NOTHING
  },
}

function account(session: Session, bytes: number): void {
  const limit = session.shared.limits['xattr-bytes']
  if (session.xattrBytes + bytes > limit) throw errno('ENOBUFS', 'xattr', `more than ${limit} bytes held`)
  session.xattrBytes += bytes
}

function* walk(session: Session, { fid: number, newfid, name }: Fields<'Txattrwalk'>, request: Request): Steps<Fields<'Rxattrwalk'>> {
  const { file, attach } = session.file(number, 'xattrwalk')
  if (newfid === number) throw errno('EINVAL', 'xattrwalk', 'newfid is fid')
  if (name.includes('\0')) throw errno('EINVAL', 'xattrwalk', name)
  const made = session.reserve(newfid, file, attach, 'xattrwalk')
  made.state = 'reserved'
  request.reserves = made
  try {
    const value = name === '' ? yield* listing(file, attach.user) : name === RECORD ? yield* get(session.shared.passive.read(file, attach.user)) : yield* read(file, attach, name)
    if (request.silent) { made.drop(); return { size: 0 } }
    account(session, value.length)
    made.xattr = { writing: false, value }
    made.state = 'ready'
    return { size: value.length }
  } catch (e) {
    if (session.fids.get(newfid) === made) session.fids.delete(newfid)
    made.drop()
    throw e
  }
}

function* read(file: File, { user, rules: { uids } }: Attach, name: string): Steps<Uint8Array> {
  // The kernel asks for security.capability before most writes: not to look at permission first is what makes its no cheap.
  if (user.uid === 0 || !name.startsWith('security.')) mayXattr(user, yield* get(rights(file.node, user)), name, 'get')
  const value = yield* get(file.node.getxattr(name))
  return isAcl(name) && uids !== sameUids ? mapAcl(value, uids.toClient, (gid) => gid) : value
}
function isAcl(name: string): boolean { return name === ACL_ACCESS || name === ACL_DEFAULT }

/** Names that this user may see, each with a NUL behind it. */
function* listing(file: File, user: User): Steps<Uint8Array> {
  const names = (yield* get(file.node.listxattr())).filter((name) => visibleXattr(user, name))
  return Buffer.concat(names.flatMap((name) => [bytesOfName(name), Buffer.alloc(1)]))
}

/** The clunk of a fid that an attribute was written to: sets it, or removes it. path: of the file, where it is known. */
export function* commit({ shared: { passive } }: Session, file: File, { user, rules: { uids } }: Attach, { name, size, flags, value, got }: Extract<Xattr, { writing: true }>, path: string): Steps<void> {
  if (got !== size) throw errno('EINVAL', 'xattr', `${got} of ${size} bytes of ${name} were written`)
  const remove = size === 0 && flags === XATTR_REPLACE
  if (name === RECORD) {
    yield* get(remove ? passive.remove(file, user) : passive.write(file, user, value ?? new Uint8Array(0), flags, path))
    return
  }
  const attr = yield* get(rights(file.node, user))
  mayXattr(user, attr, name, remove ? 'remove' : 'set')
  if (remove) {
    yield* get(file.node.removexattr(name))
    return
  }
  const bytes = value ?? new Uint8Array(0)
  yield* get(file.node.setxattr(name, isAcl(name) && uids !== sameUids ? mapAcl(bytes, uids.toServed, (gid) => gid) : bytes, flags))
  if (name !== ACL_ACCESS || (attr.mode & S.ISGID) === 0) return
  const mode = afterSetAcl(user, yield* get(rights(file.node, user)))
  if (mode !== null) yield* get(file.node.setattr({ mode }))
}
