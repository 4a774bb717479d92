// What is asked and changed of files beside their contents: GETATTR, SETATTR, READLINK, STATFS.

import { Attrs, SetAttrs, bytesOfName, errno, isErrno } from 'ninep'
import type { Attr } from 'ninep'
import { GETATTR_FH, OUT_HEADER, Valid, put } from './fuse.ts'
import { wasLost } from './link.ts'
import type { Session } from './link.ts'
import type { Handlers, Mount } from './mount.ts'
import type { Node } from './nodes.ts'

const never = { sec: 0, nsec: 0 }

export const attributes: Pick<Handlers, 'GETATTR' | 'SETATTR' | 'READLINK' | 'STATFS'> = {
  async GETATTR(mount, session, request) {
    const { getattrFlags, fh } = request.args, node = mount.node(request)
    const handle = getattrFlags & GETATTR_FH ? mount.handles.find(fh) : undefined
    const at = handle ? handle.fid(mount, session) : fidOf(mount, session, node, request.uid), fid = typeof at === 'number' ? at : await at
    mount.attr(request, node, known(node, await session.client.rpc('Tgetattr', { fid, mask: Attrs.BASIC })))
  },

  async SETATTR(mount, session, request) {
    const { args } = request, node = mount.node(request), { valid } = args, { client } = session
    // A size by way of what is open counts by how that was opened.
    const handle = valid & Valid.FH ? mount.handles.find(args.fh) : undefined
    const fid = await (handle && valid & Valid.SIZE ? handle.fid(mount, session) : fidOf(mount, session, node, request.uid))
    const bits = pick(valid, [
      [Valid.MODE, SetAttrs.MODE], [Valid.UID, SetAttrs.UID], [Valid.GID, SetAttrs.GID], [Valid.SIZE, SetAttrs.SIZE], [Valid.ATIME, SetAttrs.ATIME],
      [Valid.MTIME, SetAttrs.MTIME],
    ]) | (valid & Valid.ATIME && !(valid & Valid.ATIME_NOW) ? SetAttrs.ATIME_SET : 0) | (valid & Valid.MTIME && !(valid & Valid.MTIME_NOW) ? SetAttrs.MTIME_SET : 0)
    if (bits !== 0) {
      await client.rpc('Tsetattr', {
        fid, valid: bits, mode: args.mode & 0o7777, uid: args.uid, gid: args.gid, size: args.size,
        atime: valid & Valid.ATIME ? { sec: args.atime, nsec: args.atimensec } : never, mtime: valid & Valid.MTIME ? { sec: args.mtime, nsec: args.mtimensec } : never,
      })
    }
    if (valid & Valid.SIZE) node.size = args.size
    mount.attr(request, node, known(node, await client.rpc('Tgetattr', { fid, mask: Attrs.BASIC })))
  },

  async READLINK(mount, session, request) {
    const fid = await mount.fid(session, mount.node(request), request.uid)
    const { target } = await session.client.rpc('Treadlink', { fid })
    mount.device.sendParts(request.unique, bytesOfName(target))
  },

  async STATFS(mount, session, request) {
    const fid = await mount.fid(session, mount.node(request), request.uid)
    const { blocks, bfree, bavail, files, ffree, bsize, namelen } = await session.client.rpc('Tstatfs', { fid })
    mount.device.send(request.unique, put.statfs(mount.device.scratch, OUT_HEADER, { blocks, bfree, bavail, files, ffree, bsize, namelen, frsize: bsize }))
  },
}

/** What an answer says of a node is remembered with it. */
export function known(node: Node, attr: Attr): Attr {
  node.nlink = attr.nlink
  node.size = attr.size
  return attr
}
/** A fid to ask about a node: of a file that has no name any more, one that it is open by. */
function fidOf(mount: Mount, session: Session, node: Node, uid: number): number | Promise<number> {
  const fid = node.fid(session, uid)
  if (fid !== undefined) return fid
  const open = mount.handles.fidOf(node, session, uid)
  if (open !== undefined) return open
  const reached = mount.fid(session, node, uid)
  if (typeof reached === 'number') return reached
  return reached.catch((error: unknown) => {
    if (wasLost(session, error) || !isErrno(error, 'ESTALE')) throw error
    for (const handle of mount.handles.of(node)) return handle.fid(mount, session)
    throw errno('ESTALE', 'getattr', node.name)
  })
}
function pick(valid: number, pairs: readonly (readonly [number, number])[]): number { return pairs.reduce((bits, [theirs, ours]) => valid & theirs ? bits | ours : bits, 0) }
