// What is done with names: LOOKUP, what makes, moves and removes, CREATE and LINK.
//
// Each is one round trip where the server takes requests for a fid that is still being made: the answer says what file it is of, so one
// that came too early is seen, and asked for again.

import { AT_REMOVEDIR, Attrs, O, QT, S, deviceParts, errno, isErrno } from 'ninep'
import type { Attr, Qid } from 'ninep'
import { OUT_HEADER, RENAME_NOREPLACE, put } from './fuse.ts'
import { openFlags } from './files.ts'
import { retry, toldFlags } from './handles.ts'
import { wasLost } from './link.ts'
import type { Session } from './link.ts'
import type { Handlers, Mount } from './mount.ts'
import type { Node } from './nodes.ts'
import type { Request } from './request.ts'

export const names: Pick<Handlers, 'LOOKUP' | 'MKDIR' | 'MKNOD' | 'SYMLINK' | 'LINK' | 'UNLINK' | 'RMDIR' | 'RENAME' | 'RENAME2' | 'CREATE'> = {
  async LOOKUP(mount, session, request) {
    const dir = mount.node(request), name = request.names[0]!
    const at = mount.fid(session, dir, request.uid), dirFid = typeof at === 'number' ? at : await at
    try {
      const { fid, attr } = await look(mount, session, dirFid, name)
      mount.entry(session, request, dir, name, attr, fid)
    } catch (error) {
      if (isErrno(error, 'ENOENT') && !wasLost(session, error)) mount.nodes.lost(dir, name)
      throw error
    }
  },

  async MKDIR(mount, session, request) {
    const dir = mount.node(request), mode = await mount.masked(session, request, dir, request.args.mode & 0o7777, request.args.umask)
    await make(mount, session, request, dir, (dfid, name) => session.client.rpc('Tmkdir', { dfid, name, mode, gid: request.gid }),
      (attr) => (attr.mode & S.IFMT) === S.IFDIR && attr.nlink <= 2)
  },
  async MKNOD(mount, session, request) {
    const dir = mount.node(request), { rdev, umask } = request.args, mode = await mount.masked(session, request, dir, request.args.mode, umask)
    await make(mount, session, request, dir, (dfid, name) => session.client.rpc('Tmknod', { dfid, name, mode, ...deviceParts(BigInt(rdev)), gid: request.gid }),
      (attr) => (attr.mode & S.IFMT) === (mode & S.IFMT || S.IFREG) && attr.size === 0)
  },
  async SYMLINK(mount, session, request) {
    const [name, target] = request.names as [string, string]
    await make(mount, session, request, mount.node(request), (dfid) => session.client.rpc('Tsymlink', { dfid, name, target, gid: request.gid }),
      async (attr, fid) => (attr.mode & S.IFMT) === S.IFLNK && (await session.client.rpc('Treadlink', { fid })).target === target)
  },

  async LINK(mount, session, request) {
    const dir = mount.node(request), node = mount.nodes.get(request.args.oldnodeid), name = request.names[0]!, { client } = session
    const [dfid, fid] = [await mount.fid(session, dir, request.uid), await mount.fid(session, node, request.uid)]
    try {
      await client.rpc('Tlink', { dfid, fid, name })
    } catch (error) {
      if (!request.again || !isErrno(error, 'EEXIST')) throw error
      const there = await mount.walk(session, dfid, [name])
      mount.clunk(session, there.fid)
      if (there.qid.path !== node.qid.path) throw error
    }
    mount.entry(session, request, dir, name, await client.rpc('Tgetattr', { fid, mask: Attrs.BASIC }), undefined)
  },

  UNLINK: (mount, session, request) => remove(mount, session, request, 0),
  RMDIR: (mount, session, request) => remove(mount, session, request, AT_REMOVEDIR),
  RENAME: (mount, session, request) => rename(mount, session, request, 0),
  RENAME2: (mount, session, request) => rename(mount, session, request, request.args.flags),

  async CREATE(mount, session, request) {
    const dir = mount.node(request), name = request.names[0]!, { args } = request
    const mode = await mount.masked(session, request, dir, args.mode & 0o7777, args.umask)
    const flags = toldFlags(args.flags) | O.CREAT | args.flags & O.EXCL
    const at = mount.fid(session, dir, request.uid), dirFid = typeof at === 'number' ? at : await at
    const { fid, iounit, qid, attr } = await create(mount, session, dirFid, name, flags, mode, request)
    const node = mount.nodes.found(dir, name, qid, attr)
    mount.nodes.refer(node)
    const handle = mount.handles.add(node, request.uid, flags & ~(O.CREAT | O.EXCL), session, fid, iounit), { scratch } = mount.device
    const end = put.open(scratch, mount.putEntry(scratch, OUT_HEADER, node, attr), { fh: handle.id, openFlags: openFlags(mount, node, qid.version) })
    if (mount.device.send(request.unique, end)) return
    mount.handles.remove(handle)
    handle.close(mount)
    mount.forget(node.id, 1)
  },
}

interface Looked { readonly fid: number; readonly attr: Attr }
/** What is found under a name. */
export async function look(mount: Mount, session: Session, dirFid: number, name: string): Promise<Looked> {
  const { client } = session, fid = client.takeFid()
  const walked = client.rpc('Twalk', { fid: dirFid, newfid: fid, names: [name] })
  const early = session.pipelines ? client.rpc('Tgetattr', { fid, mask: Attrs.BASIC }) : undefined
  early?.catch(() => {})
  let qid: Qid
  try {
    const { qids } = await walked
    if (qids.length === 0) throw errno('ENOENT', 'walk', name)
    qid = qids[0]!
  } catch (error) {
    await early?.catch(() => {})
    client.freeFid(fid)
    throw error
  }
  const ask = () => client.rpc('Tgetattr', { fid, mask: Attrs.BASIC })
  try {
    const attr = await (early ? early.catch((error: unknown) => retry(session, error, ask)) : ask())
    return { fid, attr: attr.qid.path === qid.path ? attr : { ...await ask(), qid } }
  } catch (error) {
    mount.clunk(session, fid)
    throw error
  }
}

/** Makes what has a name but is not opened. ours: whether what is there already is what an attempt that got no answer would have made. */
async function make(
  mount: Mount, session: Session, request: Request, dir: Node, ask: (dirFid: number, name: string) => Promise<{ qid: Qid }>,
  ours: (attr: Attr, fid: number) => boolean | Promise<boolean>,
): Promise<void> {
  const name = request.names[0]!, at = mount.fid(session, dir, request.uid), dirFid = typeof at === 'number' ? at : await at
  const made = ask(dirFid, name), early = session.pipelines && !request.again ? look(mount, session, dirFid, name) : undefined
  early?.catch(() => {})
  let qid: Qid
  try {
    qid = (await made).qid
  } catch (error) {
    early?.then(({ fid }) => mount.clunk(session, fid), () => {})
    if (!request.again || !isErrno(error, 'EEXIST')) throw error
    const there = await look(mount, session, dirFid, name)
    if (!madeBy(request, there.attr) || !await ours(there.attr, there.fid)) {
      mount.clunk(session, there.fid)
      throw error
    }
    return void mount.entry(session, request, dir, name, there.attr, there.fid)
  }
  const first = await early?.catch((error: unknown) => { if (wasLost(session, error)) throw error; return undefined })
  if (first && first.attr.qid.path !== qid.path) mount.clunk(session, first.fid)
  const { fid, attr } = first?.attr.qid.path === qid.path ? first : await look(mount, session, dirFid, name)
  mount.entry(session, request, dir, name, attr, fid)
}
/** Whether a file may be what this request made: his, and no older than it. A minute is for clocks that differ. */
function madeBy({ uid, since }: Request, attr: Attr): boolean { return (uid === 0 || attr.uid === uid) && attr.ctime.sec * 1000 >= since - 60_000 }

interface Created { readonly fid: number; readonly iounit: number; readonly qid: Qid; readonly attr: Attr }
async function create(mount: Mount, session: Session, dirFid: number, name: string, flags: number, mode: number, request: Request): Promise<Created> {
  const { client } = session, fid = client.takeFid(), fields = { fid, name, flags, mode, gid: request.gid }
  const walked = client.rpc('Twalk', { fid: dirFid, newfid: fid, names: [] })
  const early = session.pipelines ? { opened: client.rpc('Tlcreate', fields), attr: client.rpc('Tgetattr', { fid, mask: Attrs.BASIC }) } : undefined
  early?.opened.catch(() => {})
  early?.attr.catch(() => {})
  try {
    await walked
  } catch (error) {
    await Promise.allSettled([early?.opened, early?.attr])
    client.freeFid(fid)
    throw error
  }
  const again = () => client.rpc('Tlcreate', fields)
  try {
    const { qid, iounit } = await (early ? early.opened.catch((error: unknown) => retry(session, error, again)) : again())
    const first = await early?.attr.catch((error: unknown) => { if (wasLost(session, error)) throw error; return undefined })
    const attr = first?.qid.path === qid.path ? first : await client.rpc('Tgetattr', { fid, mask: Attrs.BASIC })
    return { fid, iounit, qid, attr }
  } catch (error) {
    await early?.attr.catch(() => {})
    mount.clunk(session, fid)
    // The first attempt made it, and nobody heard: what is there is opened, if it can be that.
    if (!request.again || !isErrno(error, 'EEXIST') || (flags & O.EXCL) === 0) throw error
    const there = await look(mount, session, dirFid, name)
    mount.clunk(session, there.fid)
    if (!madeBy(request, there.attr) || there.attr.size > 0 || there.attr.nlink !== 1 || (there.attr.mode & S.IFMT) !== S.IFREG) throw error
    return create(mount, session, dirFid, name, flags & ~O.EXCL, mode, request)
  }
}

async function remove(mount: Mount, session: Session, request: Request, flags: number): Promise<void> {
  const dir = mount.node(request), name = request.names[0]!, { client } = session
  const at = mount.fid(session, dir, request.uid), dirfid = typeof at === 'number' ? at : await at
  const node = mount.nodes.at(dir, name)
  if (node) {
    if (request.again && !await isAt(mount, session, dirfid, name, node)) return removed(mount, request, dir, name)
    // What is open and has no fid to be opened by again gets one while there still is a name.
    if (!node.isDirectory && node.fid(session, request.uid) === undefined && mount.handles.isOpen(node)) await Promise.resolve(mount.fid(session, node, request.uid)).catch(() => {})
  }
  try {
    await client.rpc('Tunlinkat', { dirfid, name, flags })
  } catch (error) {
    if (!isErrno(error, 'EOPNOTSUPP') || wasLost(session, error)) throw error
    await removeByFid(mount, session, dirfid, name, flags)
  }
  removed(mount, request, dir, name)
}
function removed(mount: Mount, { unique }: Request, dir: Node, name: string): void {
  mount.nodes.removed(dir, name)
  mount.device.send(unique)
}
/** For servers older than Tunlinkat: Tremove takes either, so what it is has to be looked at. */
async function removeByFid(mount: Mount, session: Session, dirFid: number, name: string, flags: number): Promise<void> {
  const { fid, qid } = await mount.walk(session, dirFid, [name]), isDir = (qid.type & QT.DIR) !== 0
  if (isDir !== (flags === AT_REMOVEDIR)) {
    mount.clunk(session, fid)
    throw errno(isDir ? 'EISDIR' : 'ENOTDIR', 'unlink', name)
  }
  await session.client.rpc('Tremove', { fid }).finally(() => session.client.freeFid(fid))
}
/** Whether this name still is this file's. */
async function isAt(mount: Mount, session: Session, dirFid: number, name: string, node: Node): Promise<boolean> {
  try {
    const { fid, qid } = await mount.walk(session, dirFid, [name])
    mount.clunk(session, fid)
    return qid.path === node.qid.path
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false
    throw error
  }
}

async function rename(mount: Mount, session: Session, request: Request<'RENAME' | 'RENAME2'>, flags: number): Promise<void> {
  const dir = mount.node(request), newDir = mount.nodes.get(request.args.newdir), [name, newName] = request.names as [string, string], { client } = session
  if (flags & ~RENAME_NOREPLACE) throw errno('EINVAL', 'rename')
  const olddirfid = await mount.fid(session, dir, request.uid), newdirfid = await mount.fid(session, newDir, request.uid)
  const node = mount.nodes.at(dir, name), over = mount.nodes.at(newDir, newName)
  const done = request.again && node !== undefined && !await isAt(mount, session, olddirfid, name, node) && await isAt(mount, session, newdirfid, newName, node)
  if (over && over !== node && !over.isDirectory && over.fid(session, request.uid) === undefined && mount.handles.isOpen(over)) {
    await Promise.resolve(mount.fid(session, over, request.uid)).catch(() => {})
  }
  if (!done && flags & RENAME_NOREPLACE) await renameAnew(mount, session, request, olddirfid, name, newdirfid, newName)
  else if (!done) {
    await client.rpc('Trenameat', { olddirfid, oldname: name, newdirfid, newname: newName }).catch(async (error: unknown) => {
      if (!isErrno(error, 'EOPNOTSUPP') || wasLost(session, error)) throw error
      const { fid } = await mount.walk(session, olddirfid, [name])
      await client.rpc('Trename', { fid, dfid: newdirfid, name: newName }).finally(() => mount.clunk(session, fid))
    })
  }
  mount.nodes.moved(dir, name, newDir, newName)
  mount.device.send(request.unique)
}
/** A rename that must not replace: by another name, then without the first. A directory can't have two: EINVAL. */
async function renameAnew(mount: Mount, session: Session, request: Request, olddirfid: number, name: string, newdirfid: number, newName: string): Promise<void> {
  const { client } = session, { fid, qid } = await mount.walk(session, olddirfid, [name])
  try {
    if (qid.type & QT.DIR) {
      const there = await mount.walk(session, newdirfid, [newName]).catch((error: unknown) => { if (isErrno(error, 'ENOENT')) return undefined; throw error })
      if (there) mount.clunk(session, there.fid)
      throw errno(there ? 'EEXIST' : 'EINVAL', 'rename', newName)
    }
    await client.rpc('Tlink', { dfid: newdirfid, fid, name: newName }).catch(async (error: unknown) => {
      if (!request.again || !isErrno(error, 'EEXIST')) throw error
      const there = await mount.walk(session, newdirfid, [newName])
      mount.clunk(session, there.fid)
      if (there.qid.path !== qid.path) throw error         // and not by the first attempt
    })
  } finally {
    mount.clunk(session, fid)
  }
  await client.rpc('Tunlinkat', { dirfid: olddirfid, name, flags: 0 })
}
