// Copying up: what is to be changed and lies in another child gets a copy in the one that takes changes, with its data, holes,
// owner, mode, times, extended attributes and ACLs. It is made under a name of its own and renamed when it is whole and
// on disk: a crash leaves the old one in sight.

import { AT_REMOVEDIR, Attrs, O, S, entryName, errno, isErrno } from 'ninep'
import type { Attr } from 'ninep'
import { ACL_ACCESS, ACL_DEFAULT } from '../acl.ts'
import type { Handle, Node } from '../translator.ts'
import { WORK } from './state.ts'
import type { Place, Union } from './state.ts'

const CHUNK = 2 ** 20
/** Zeros of this length are left out. */
const HOLE = 2 ** 16
const zeros = Buffer.alloc(HOLE)
const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }

/** Has the place in the child that takes changes. empty: its data are not needed. EROFS: no child takes changes, or one before it has this. Not to be called in a directory's turn. */
export async function rise(place: Place, empty = false): Promise<void> {
  const { union } = place
  while (!place.upper) {
    if (union.upper < 0 || (!place.isDir && place.layers[0]!.index < union.upper)) throw errno('EROFS', 'union', place.name)
    await (place.rising ??= copy(place, empty).finally(() => { place.rising = undefined }))
  }
}

async function copy(place: Place, empty: boolean): Promise<void> {
  const { union, node: source } = place
  if (!place.gone) await rise(place.parent!)
  const work = await (union.work ??= workOf(union).catch((e) => { union.work = undefined; throw e }))
  const attr = await source.getattr(Attrs.BASIC | Attrs.GEN), name = union.temporary()
  const { node, handle } = await twin(source, attr, work, name, empty)
  try {
    try {
      await attributes(source, attr, node)
      if (!empty) await handle?.fsync(false)
    } finally { await handle?.close() }
    place.gen = attr.gen
    await publish(place, work, name, node)
  } catch (e) {
    await node.close()
    try { await work.unlinkat(name, place.isDir ? AT_REMOVEDIR : 0) } catch { /* the next start removes it */ }
    throw e
  }
}

/** A new file of the same kind, with the data. */
async function twin(source: Node, attr: Attr, work: Node, name: string, empty: boolean): Promise<{ node: Node; handle?: Handle }> {
  const type = attr.mode & S.IFMT, { uid, gid } = attr
  if (type === S.IFDIR) return { node: await work.mkdir(name, 0o700, { uid, gid }) }
  if (type === S.IFLNK) return { node: await work.symlink(name, await source.readlink(), { uid, gid }) }
  if (type !== S.IFREG) return { node: await work.mknod(name, type | 0o600, attr.rdev, { uid, gid }) }
  const made = await work.create(name, O.RDWR, 0o600, { uid, gid })
  try { if (!empty) await data(source, made.handle) } catch (e) {
    await made.handle.close()
    await made.node.close()
    await work.unlinkat(name, 0)
    throw e
  }
  return made
}
async function data(source: Node, to: Handle): Promise<void> {
  await using from = await source.open(O.RDONLY | O.NOATIME)
  const buffer = Buffer.allocUnsafe(CHUNK)
  let at = 0, end = 0
  for (;;) {
    const got = await from.read(buffer, at)
    if (got.length === 0) break
    for (let start = 0; start < got.length; start += HOLE) {
      const part = got.subarray(start, start + HOLE)
      if (Buffer.compare(part, zeros.subarray(0, part.length)) === 0) continue
      for (let done = 0; done < part.length;) done += await to.write(part.subarray(done), at + start + done)
      end = at + start + part.length
    }
    at += got.length
  }
  if (at > end) await to.setattr({ size: at })
}
async function attributes(source: Node, attr: Attr, to: Node): Promise<void> {
  const type = attr.mode & S.IFMT, link = type === S.IFLNK
  for (const name of new Set([...await listed(source), ...link ? [] : [ACL_ACCESS], ...type === S.IFDIR ? [ACL_DEFAULT] : []])) {
    let value: Uint8Array
    try { value = await source.getxattr(name) } catch (e) {
      if (isErrno(e, 'ENODATA') || isErrno(e, 'EOPNOTSUPP')) continue
      throw e
    }
    await to.setxattr(name, value, 0)
  }
  await to.setattr({ ...link ? {} : { mode: attr.mode & 0o7777 }, atime: attr.atime, mtime: attr.mtime })
}
async function listed(source: Node): Promise<string[]> {
  try { return await source.listxattr() } catch (e) {
    if (isErrno(e, 'EOPNOTSUPP')) return []
    throw e
  }
}

/** Gives the copy the name of what it is of; or none, if that was removed meanwhile. */
async function publish(place: Place, work: Node, name: string, node: Node): Promise<void> {
  for (let done = false; !done;) {
    const parent = place.parent!
    done = await parent.turn.take(true, async () => {
      if (place.parent !== parent) return false             // renamed
      if (place.gone) await work.unlinkat(name, place.isDir ? AT_REMOVEDIR : 0)
      else {
        const to = parent.upper!, { mtime } = await to.getattr(Attrs.MTIME)
        await work.renameat(name, to, place.name)
        await to.setattr({ mtime })                         // nothing happened that anybody could see
        for (const listing of parent.listings) listing.raised.add(place.name)
      }
      place.rise(node)
      return true
    })
  }
}

/** The directory for copies, made or emptied. */
async function workOf(union: Union): Promise<Node> {
  const root = union.root.upper!, { mtime } = await root.getattr(Attrs.MTIME)
  try {
    const made = await root.mkdir(WORK, 0o700, owner)
    await root.setattr({ mtime })
    return made
  } catch (e) { if (!isErrno(e, 'EEXIST')) throw e }
  const work = await root.walk(WORK), names: string[] = []
  await using handle = await work.open(O.RDONLY)
  await handle.readdir(0n, { add: (_path, _type, _cookie, name) => { names.push(entryName(name)); return true } }, 0)
  for (const name of names) {
    try { await work.unlinkat(name, 0) } catch (e) {
      if (!isErrno(e, 'EISDIR')) throw e
      await work.unlinkat(name, AT_REMOVEDIR)
    }
  }
  return work
}
