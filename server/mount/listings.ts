// Directories as they are listed: OPENDIR, READDIR, READDIRPLUS, RELEASEDIR, FSYNCDIR. Where a listing stands is said by the server's
// cookies, as they are: they hold for as long as the directory is open.

import { O, direntsOf, errno, isErrno, nameLength, putBytes } from 'ninep'
import type { Attr, Dirent } from 'ninep'
import { release } from './files.ts'
import { FSYNC_DATA_ONLY, OUT_HEADER, direntSize, put, replySize } from './fuse.ts'
import { openNode } from './handles.ts'
import type { Handle } from './handles.ts'
import { wasLost } from './link.ts'
import type { Session } from './link.ts'
import { look } from './names.ts'
import type { Handlers, Mount } from './mount.ts'
import type { Node } from './nodes.ts'

/** Bytes of one Treaddir. */
const PIECE = 64 * 1024

export const listings: Pick<Handlers, 'OPENDIR' | 'READDIR' | 'READDIRPLUS' | 'RELEASEDIR' | 'FSYNCDIR'> = {
  async OPENDIR(mount, session, request) {
    const node = mount.node(request), flags = O.RDONLY | O.DIRECTORY
    const { fid, iounit } = await openNode(mount, session, node, request.uid, flags, request.signal)
    const handle = mount.handles.add(node, request.uid, flags, session, fid, iounit)
    if (mount.device.send(request.unique, put.open(mount.device.scratch, OUT_HEADER, { fh: handle.id, openFlags: 0 }))) return
    mount.handles.remove(handle)
    handle.close(mount)
  },

  async READDIR(mount, session, request) {
    const { fh, size } = request.args, handle = mount.handles.get(fh), buffer = mount.buffer(size)
    try {
      let end = OUT_HEADER, at = 0
      const entries = await ahead(mount, session, handle, request.args.offset)
      for (; at < entries.length; at++) {
        const next = putDirent(buffer, end, OUT_HEADER + size, entries[at]!)
        if (next < 0) break
        end = next
      }
      if (at === 0 && entries.length > 0) throw errno('EINVAL', 'readdir')
      passed(handle, entries, at)
      mount.device.sendBuffer(request.unique, buffer, end)
    } finally {
      mount.give(buffer)
    }
  },

  async READDIRPLUS(mount, session, request) {
    const { fh, size } = request.args, handle = mount.handles.get(fh), buffer = mount.buffer(size), told: Node[] = []
    try {
      const entries = await ahead(mount, session, handle, request.args.offset), fitting: Dirent[] = []
      let room = size
      for (const entry of entries) {
        room -= replySize.entry + direntSize(nameLength(entry.name))
        if (room < 0) break
        fitting.push(entry)
      }
      if (fitting.length === 0 && entries.length > 0) throw errno('EINVAL', 'readdir')
      const dirFid = await mount.fid(session, handle.node, request.uid)
      const attrs = await Promise.all(fitting.map((entry) => attrOf(mount, session, dirFid, entry)))
      let end = OUT_HEADER
      for (const [i, entry] of fitting.entries()) {
        const attr = attrs[i]
        if (attr) {
          const node = mount.nodes.found(handle.node, entry.name, attr.qid, attr)
          mount.nodes.refer(node)
          told.push(node)
          mount.putEntry(buffer, end, node, attr)
        } else buffer.fill(0, end, end + replySize.entry)
        end = putDirent(buffer, end + replySize.entry, buffer.length, entry)
      }
      passed(handle, entries, fitting.length)
      if (!mount.device.sendBuffer(request.unique, buffer, end)) for (const node of told) mount.forget(node.id, 1)
    } finally {
      mount.give(buffer)
    }
  },

  RELEASEDIR(mount, _, request) { release(mount, request) },

  async FSYNCDIR(mount, session, request) {
    const handle = mount.handles.get(request.args.fh), fid = await handle.fid(mount, session)
    await session.client.rpc('Tfsync', { fid, datasync: request.args.fsyncFlags & FSYNC_DATA_ONLY }, request)
    mount.device.send(request.unique)
  },
}

/** Entries behind a cookie: those that were read before and not passed on, else as many as one message brings. */
async function ahead(mount: Mount, session: Session, handle: Handle, cookie: bigint): Promise<readonly Dirent[]> {
  const left = handle.ahead
  if (left && left.cookie === cookie && cookie !== 0n && left.entries.length > 0) return left.entries
  const at = handle.fid(mount, session), fid = typeof at === 'number' ? at : await at
  return direntsOf((await session.client.rpc('Treaddir', { fid, offset: cookie, count: Math.min(PIECE, handle.piece) })).data)
}
function passed(handle: Handle, entries: readonly Dirent[], count: number): void {
  handle.ahead = count > 0 && count < entries.length ? { cookie: entries[count - 1]!.cookie, entries: entries.slice(count) } : undefined
}

/** Writes an entry; -1 if it would pass `limit`. */
function putDirent(into: Buffer, at: number, limit: number, { qid, cookie, type, name }: Dirent): number {
  const namelen = nameLength(name), end = at + direntSize(namelen)
  if (end > limit) return -1
  const from = put.dirent(into, at, { ino: qid.path, off: cookie, namelen, type })
  into.fill(0, putBytes(name, into, from), end)
  return end
}

/** Attributes of an entry, where it still is there and this user may know. No fid is kept: most are only looked at. */
async function attrOf(mount: Mount, session: Session, dirFid: number, { name }: Dirent): Promise<Attr | undefined> {
  if (name === '.' || name === '..') return undefined
  try {
    const { fid, attr } = await look(mount, session, dirFid, name)
    mount.clunk(session, fid)
    return attr
  } catch (error) {
    if (!isErrno(error) || wasLost(session, error)) throw error
    return undefined
  }
}
