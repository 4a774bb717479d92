// What is done with open files: OPEN, CREATE's other half, READ, WRITE, FLUSH, FSYNC, RELEASE.

import { O, errno } from 'ninep'
import { FOpen, FSYNC_DATA_ONLY, OUT_HEADER, RELEASE_FLOCK, WRITE_CACHE, put } from './fuse.ts'
import { openNode, toldFlags } from './handles.ts'
import type { Handle } from './handles.ts'
import type { Session } from './link.ts'
import { unlockAll } from './locks.ts'
import type { Handlers, Mount } from './mount.ts'
import type { Node } from './nodes.ts'
import type { Request } from './request.ts'

export const files: Pick<Handlers, 'OPEN' | 'READ' | 'WRITE' | 'FLUSH' | 'FSYNC' | 'RELEASE'> = {
  async OPEN(mount, session, request) {
    const node = mount.node(request), flags = toldFlags(request.args.flags)
    const { fid, iounit, version, attr } = await openNode(mount, session, node, request.uid, flags, request.signal, mount.options.attrTimeout > 0)
    // Whoever opens a file sees what was closed before: its size, too, which the kernel may still believe to be another.
    if (attr && !mount.isTold(node, attr)) mount.outdated(node)
    replyOpen(mount, request, mount.handles.add(node, request.uid, flags, session, fid, iounit), version)
  },

  async READ(mount, session, request) {
    const { fh, offset, size } = request.args, handle = mount.handles.get(fh)
    const at = handle.fid(mount, session), fid = typeof at === 'number' ? at : await at
    const buffer = mount.buffer(size), { client } = session
    try {
      let done = 0
      while (done < size) {
        const want = Math.min(size - done, handle.piece), from = OUT_HEADER + done
        const count = await client.read(fid, offset + done, buffer.subarray(from, from + want), request)
        done += count
        if (count === 0 || (count < want && offset + done >= handle.node.size)) break
      }
      mount.device.sendBuffer(request.unique, buffer, OUT_HEADER + done)
    } finally {
      mount.give(buffer)
    }
  },

  async WRITE(mount, session, request) {
    const { fh, offset, size, ioFlags } = request.args, handle = mount.handles.get(fh), { node } = handle
    if (request.rest.length < size) throw errno('EINVAL', 'write')
    const data = request.rest.subarray(0, size), mapped = (ioFlags & WRITE_CACHE) !== 0
    const at = mapped ? handle.plainFid(mount, session) : handle.fid(mount, session), fid = typeof at === 'number' ? at : await at
    const appends = !mapped && (handle.flags & O.APPEND) !== 0
    if (!(appends && request.again && await wasAppended(mount, session, handle, data, offset, request.done))) {
      // What a broken connection left half appended is not appended again.
      const { client } = session
      if (!appends) request.done = 0
      while (request.done < size) {
        const piece = data.subarray(request.done, request.done + Math.min(handle.piece, size - request.done))
        const { count } = await client.rpc('Twrite', { fid, offset: offset + request.done, data: piece }, request)
        if (count === 0 || count > piece.length) throw errno('EIO', `the server wrote ${count} of ${piece.length} bytes`)
        request.done += count
      }
    }
    node.size = Math.max(node.size, offset + size)
    mount.device.send(request.unique, put.write(mount.device.scratch, OUT_HEADER, { size }))
  },

  async FLUSH(mount, session, request) {
    const handle = mount.handles.get(request.args.fh)
    await unlockAll(mount, session, handle.node, request.args.owner)
    mount.device.send(request.unique)
  },

  async FSYNC(mount, session, request) {
    const handle = mount.handles.get(request.args.fh), fid = await handle.fid(mount, session)
    await session.client.rpc('Tfsync', { fid, datasync: request.args.fsyncFlags & FSYNC_DATA_ONLY }, request)
    mount.device.send(request.unique)
  },

  RELEASE(mount, _, request) { release(mount, request) },
}

/** Nobody waits for the end of what was open: the server hears of it with the next requests. */
export function release(mount: Mount, { unique, args: { fh, releaseFlags } }: Request<'RELEASE' | 'RELEASEDIR'>): void {
  const handle = mount.handles.get(fh)
  mount.handles.remove(handle)
  if (releaseFlags & RELEASE_FLOCK || handle.owners.size > 0) mount.procs.release(handle.owners.keys())
  handle.close(mount)
  mount.device.send(unique)
}

/** FOPEN_* for a file, by what is known of its contents. */
export function openFlags(mount: Mount, node: Node, version: number): number {
  if (mount.options.cache === 'none') return FOpen.DIRECT_IO
  const same = version !== 0 && node.cached === version
  node.cached = version
  return same ? FOpen.KEEP_CACHE : 0
}

function replyOpen(mount: Mount, request: Request, handle: Handle, version: number): void {
  const end = put.open(mount.device.scratch, OUT_HEADER, { fh: handle.id, openFlags: openFlags(mount, handle.node, version) })
  if (mount.device.send(request.unique, end)) return
  mount.handles.remove(handle)
  handle.close(mount)
}

/**
 * Whether bytes that were to be appended when the connection ended are in the file: where they would have begun, or behind that if
 * others append as well. A server writes the whole of a request or nothing.
 */
async function wasAppended(mount: Mount, session: Session, handle: Handle, data: Uint8Array, offset: number, done: number): Promise<boolean> {
  const fid = await readable(mount, session, handle), { client } = session, rest = data.subarray(done)
  try {
    const { size } = await client.rpc('Tgetattr', { fid, mask: 0x200 })
    const from = offset + done
    if (size < from + rest.length) return false
    const tail = Buffer.alloc(Math.min(size - from, rest.length + 1024 * 1024))
    let filled = 0
    while (filled < tail.length) {
      const count = await client.read(fid, from + filled, tail.subarray(filled, filled + Math.min(client.msize - 24, tail.length - filled)))
      if (count === 0) break
      filled += count
    }
    return tail.subarray(0, filled).includes(Buffer.from(rest.buffer, rest.byteOffset, rest.length))
  } finally {
    mount.clunk(session, fid)
  }
}
/** The file of a handle, to read. */
async function readable(mount: Mount, session: Session, { node, uid }: Handle): Promise<number> {
  return (await openNode(mount, session, node, uid, O.RDONLY).catch((error: unknown) => {
    if ((error as { code?: string }).code !== 'EACCES' || uid === 0) throw error
    return openNode(mount, session, node, process.getuid!(), O.RDONLY)   // one that he may only write to
  })).fid
}
