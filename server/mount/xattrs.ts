// Extended attributes, and with them ACLs: GETXATTR, LISTXATTR, SETXATTR, REMOVEXATTR.

import { File, XATTR_REPLACE, XATTR_SIZE_MAX, errno, isErrno } from 'ninep'
import { OUT_HEADER, put } from './fuse.ts'
import type { Session } from './link.ts'
import type { Handlers, Mount } from './mount.ts'
import type { Request } from './request.ts'

/** What QEMU's mapped shares keep owners in. A server has that prefix for itself and refuses it, and so it goes by another: what a mount holds
 *  for QEMU is none of the server's. */
const MAPPED = 'user.virtfs.', SENT = 'user.mount.virtfs.'
function sent(name: string): string { return name.startsWith(MAPPED) ? SENT + name.slice(MAPPED.length) : name }
/** A list of names, each with a NUL, as they are shown. */
function shown(list: Uint8Array): Uint8Array {
  const text = Buffer.from(list.buffer, list.byteOffset, list.length).toString('latin1')
  return text.includes(SENT) ? Buffer.from(text.split('\0').map((name) => name.startsWith(SENT) ? MAPPED + name.slice(SENT.length) : name).join('\0'), 'latin1') : list
}

export const xattrs: Pick<Handlers, 'GETXATTR' | 'LISTXATTR' | 'SETXATTR' | 'REMOVEXATTR'> = {
  async GETXATTR(mount, session, request) { answer(mount, request, await (await fileOf(mount, session, request)).getxattr(sent(request.names[0]!))) },
  async LISTXATTR(mount, session, request) { answer(mount, request, shown(await (await fileOf(mount, session, request)).getxattr(''))) },

  async SETXATTR(mount, session, request) {
    const name = sent(request.names[0]!), { size, flags } = request.args, node = mount.node(request)
    if (size > XATTR_SIZE_MAX) throw errno('E2BIG', 'setxattr', name)
    if (request.rest.length < size) throw errno('EINVAL', 'setxattr', name)
    const file = await fileOf(mount, session, request), value = request.rest.subarray(0, size)
    // XATTR_REPLACE with nothing is how 9P removes one; an attribute that is empty is something else.
    const empties = size === 0 && flags === XATTR_REPLACE
    if (empties) await file.getxattr(name)
    await file.setxattr(name, value, empties ? 0 : flags).catch(async (error: unknown) => {
      if (!request.again || !isErrno(error, 'EEXIST') || !value.equals(await file.getxattr(name))) throw error
    })
    node.defaultAcl = undefined
    mount.device.send(request.unique)
  },
  async REMOVEXATTR(mount, session, request) {
    const name = sent(request.names[0]!), file = await fileOf(mount, session, request)
    await file.removexattr(name).catch((error: unknown) => { if (!request.again || !isErrno(error, 'ENODATA')) throw error })
    mount.node(request).defaultAcl = undefined
    mount.device.send(request.unique)
  },
}

async function fileOf(mount: Mount, session: Session, request: Request): Promise<File> {
  const node = mount.node(request)
  return new File(session.client, await mount.fid(session, node, request.uid), node.qid)
}
/** A size of 0 asks for how much there is. */
function answer(mount: Mount, { unique, args: { size } }: Request<'GETXATTR' | 'LISTXATTR'>, value: Uint8Array): void {
  if (size === 0) mount.device.send(unique, put.xattr(mount.device.scratch, OUT_HEADER, { size: value.length }))
  else if (value.length > size) throw errno('ERANGE', 'getxattr')
  else mount.device.sendParts(unique, value)
}
