// A file of the peer, not open.

import { Attrs, deviceParts, errno, isErrno, nameLength, O, QT, TARGET_MAX } from 'ninep'
import type { Attr, File, Qid, SetAttr, Signal, StatFs } from 'ninep'
import { ACL_ACCESS } from '../acl.ts'
import type { Call, Created, Handle, Node, Owner, Volume } from '../translator.ts'
import { Fid, isSame } from './fid.ts'
import type { Again, Session } from './link.ts'
import { RemoteHandle } from './handle.ts'
import { plain } from './peer.ts'
import type { Peer } from './peer.ts'

/** What the peer is told of how to open. */
const OPEN = O.ACCMODE | O.TRUNC | O.APPEND | O.NONBLOCK | O.SYNC | O.NOATIME | O.DIRECTORY

/** setuid and setgid come when the owner is the one that it is to be: what is made is the user's at first, who may be root. */
const SPECIAL = 0o6000

export class RemoteNode implements Node {
  constructor(readonly peer: Peer, readonly fid: Fid, public qid: Qid) {}
  get volume(): Volume { return this.peer.volume }

  /** Runs f on this file, wherever it is by then. */
  #run<T>(again: Again, f: (file: File, session: Session, signal: Signal) => Promise<T>, call?: Call): Promise<T> {
    return this.peer.names.run(again, async (session, signal) => {
      const found = this.fid.on(session)
      return f(found instanceof Promise ? await found : found, session, signal)
    }, call)
  }
  /** The same, of what changes this directory. */
  async #change<T>(f: (file: File, session: Session) => Promise<T>): Promise<T> {
    if (!this.#isDirectory) throw errno('ENOTDIR', 'change of a directory')   // some peers would follow a link
    const result = await this.#run('once', f)
    await this.peer.changed(this.fid)
    return result
  }
  async #step(dir: File, name: string): Promise<{ node: RemoteNode; file: File }> {
    const { peer, fid } = this, file = await dir.walk(name)
    return { node: peer.node(fid.place.down(name), file.qid, file), file }
  }

  walk(name: string): Promise<Node> {
    if (!this.#isDirectory) throw errno('ENOTDIR', 'walk', name)
    return this.#run('reads', async (file) => (await this.#step(file, name)).node)
  }
  /** What is reached by these names, by one walk; by none, this directory. ENOENT ENOTDIR */
  reach(...names: string[]): Promise<RemoteNode> {
    return this.#run('reads', async (file) => {
      const found = await file.walk(...names)
      let place = this.fid.place.hold()
      for (const name of names) {
        const below = place.down(name)
        place.release()
        place = below
      }
      return this.peer.node(place, found.qid, found)
    })
  }
  async parent(): Promise<Node> {
    const { peer, fid: { place } } = this
    if (!this.#isDirectory) throw errno('ENOTDIR', 'parent')
    if (place.isRoot) return peer.attach('')
    return this.#run('reads', async (file) => {
      const up = await file.walk('..'), above = place.up()
      if (!above.isRoot) return peer.node(above, up.qid, up)
      above.release()
      void up.clunk().catch(() => {})
      return peer.attach('')
    })
  }
  get #isDirectory(): boolean { return (this.qid.type & QT.DIR) !== 0 }
  at(): never { throw errno('EOPNOTSUPP', 'at') }

  async getattr(mask: number): Promise<Attr> {
    const attr = await this.#run('reads', (file) => attributes(file, mask, this.qid.type))
    const checked = this.peer.checked(attr, this.fid)
    this.qid = checked.qid
    return checked
  }
  async setattr(attr: SetAttr): Promise<void> {
    if (this.qid.type & QT.SYMLINK && (attr.mode ?? attr.size) !== undefined) throw errno('EOPNOTSUPP', 'setattr of a symbolic link')
    await this.#run('writes', (file) => setAttributes(this.peer, file, attr))
    await this.peer.changed(this.fid)
  }

  async open(flags: number, call?: Call): Promise<Handle> {
    const { peer, fid: { place, identity } } = this
    if (this.qid.type & QT.SYMLINK) throw errno('ELOOP', 'open')
    return this.#run(flags & O.TRUNC ? 'writes' : 'reads', async (file, _session, signal) => {
      const opened = await file.clone()
      try { await opened.open(flags & OPEN, { signal }) } catch (e) {
        void opened.clunk().catch(() => {})
        throw e
      }
      const handle = new RemoteHandle(peer, new Fid(peer.names, place.hold(), identity, flags & OPEN, opened), this.qid.type)
      if (flags & O.TRUNC) await handle.changed()
      return handle
    }, call)
  }

  create(name: string, flags: number, mode: number, owner: Owner): Promise<Created> {
    const { peer, fid: { place } } = this, as = flags & OPEN & ~O.TRUNC
    return this.#change(async (dir) => {
      const opened = await dir.create(name, as | O.CREAT | O.EXCL, mode & ~SPECIAL, owner.gid)
      let node: RemoteNode | undefined
      try {
        await this.#owned(dir, name, opened, mode, owner)
        // By its name, for what is open can't be walked from; where that is another's already, some peers can.
        node = (await this.#step(dir, name)).node
        if (!isSame(plain(opened.qid), node.fid.identity)) {
          await node.close()
          const file = await opened.clone()
          node = peer.node(place.down(name), opened.qid, file)
        }
        const handle = new RemoteHandle(peer, new Fid(peer.names, node.fid.place.hold(), node.fid.identity, as, opened), node.qid.type)
        await handle.changed()
        return { node, handle }
      } catch (e) {
        if (!opened.client.closed) void opened.clunk().catch(() => {})
        await node?.close()
        throw e
      }
    })
  }
  mkdir(name: string, mode: number, owner: Owner): Promise<Node> { return this.#make(name, mode, owner, (dir) => dir.mkdir(name, mode & ~SPECIAL, owner.gid)) }
  symlink(name: string, target: string, owner: Owner): Promise<Node> { return this.#make(name, 0o777, owner, (dir) => dir.symlink(name, target, owner.gid)) }
  mknod(name: string, mode: number, rdev: bigint, owner: Owner): Promise<Node> {
    const { major, minor } = deviceParts(rdev)
    return this.#make(name, mode, owner, (dir) => dir.mknod(name, mode & ~SPECIAL, major, minor, owner.gid))
  }
  #make(name: string, mode: number, owner: Owner, make: (dir: File) => Promise<Qid>): Promise<Node> {
    return this.#change(async (dir) => {
      const qid = await make(dir), { node, file } = await this.#step(dir, name)
      try {
        if (!isSame(plain(qid), node.fid.identity)) throw errno('ESTALE', 'made, and renamed by another', name)
        await this.#owned(dir, name, file, mode, owner)
        await this.peer.changed(node.fid)
        return node
      } catch (e) {
        await node.close()
        throw e
      }
    })
  }
  /** Gives what was made to its owner; where the peer refuses that, it is not made. */
  async #owned(dir: File, name: string, file: File, mode: number, owner: Owner): Promise<void> {
    try { await this.peer.own(file, mode, owner) } catch (e) {
      await dir.unlinkat(name, file.qid.type & QT.DIR ? 0x200 : 0).catch(() => {})
      throw e
    }
  }

  async link(target: Node, name: string): Promise<void> {
    const other = this.#ours(target, 'link', name)
    await this.#change(async (dir, session) => dir.link(await other.fid.on(session), name))
  }
  async renameat(name: string, dir: Node, newName: string, expect?: bigint): Promise<void> {
    const to = this.#ours(dir, 'renameat', name)
    await this.#change(async (from, session) => {
      await this.#expect(from, name, expect)
      await from.renameat(name, await to.fid.on(session), newName)
      this.fid.place.move(name, to.fid.place, newName)
    })
    await this.peer.changed(to.fid)
  }
  #ours(node: Node, op: string, name: string): RemoteNode {
    if (node instanceof RemoteNode && node.peer === this.peer) return node
    throw errno('EXDEV', op, name)
  }
  unlinkat(name: string, flags: number, expect?: bigint): Promise<void> {
    return this.#change(async (dir) => {
      await this.#expect(dir, name, expect)
      await dir.unlinkat(name, flags)
      this.fid.place.remove(name)
    })
  }
  async #expect(dir: File, name: string, expect: bigint | undefined): Promise<void> {
    if (expect === undefined) return
    const file = await dir.walk(name)
    await file.clunk()
    if (file.qid.path !== expect) throw errno('ESTALE', 'the name is another file\'s', name)
  }

  async readlink(): Promise<string> {
    if ((this.qid.type & QT.SYMLINK) === 0) throw errno('EINVAL', 'readlink')
    const target = await this.#run('reads', (file) => file.readlink())
    if (target === '' || target.includes('\0') || nameLength(target) > TARGET_MAX) throw this.peer.voice.lie('a symbolic link to what is no path')
    return target
  }
  async statfs(): Promise<StatFs> {
    const found = await this.#run('reads', (file) => file.statfs()), { blocks, bfree, bavail, files, ffree } = found, most = (n: number) => Math.min(n, Number.MAX_SAFE_INTEGER)
    return { ...found, blocks: most(blocks), bfree: most(bfree), bavail: most(bavail), files: most(files), ffree: most(ffree) }  // some say 2^64 - 1 of what has no end
  }
  getxattr(name: string): Promise<Uint8Array> { return this.#run('reads', (file) => file.getxattr(name)) }
  listxattr(): Promise<string[]> { return this.#run('reads', (file) => file.listxattr()) }
  async setxattr(name: string, value: Uint8Array, flags: number): Promise<void> {
    await this.#run(flags === 0 ? 'writes' : 'once', (file) => file.setxattr(name, value, flags))
    await this.peer.changed(this.fid)
  }
  async removexattr(name: string): Promise<void> {
    await this.#run('once', (file) => file.removexattr(name))
    await this.peer.changed(this.fid)
  }

  close(): void {
    void this.fid.close()?.catch(() => {})                // nobody waits for it, and nothing can be lost by it
    this.fid.place.release()
  }
  async [Symbol.asyncDispose](): Promise<void> { this.close() }
}

/** With the ACL, which no message but that of an xattr has. */
export async function attributes(file: File, mask: number, type: number): Promise<Attr> {
  const attr = file.getattr(mask & Attrs.ALL)
  if ((mask & Attrs.ACL) === 0 || type & QT.SYMLINK) return attr
  const acl = file.getxattr(ACL_ACCESS).catch((e: unknown) => {
    if (isErrno(e, 'ENODATA') || isErrno(e, 'EOPNOTSUPP')) return undefined
    throw e
  })
  const [got, found] = await Promise.all([attr, acl])
  return found ? { ...got, acl: found } : got
}
/** Where owners are the peer's, nobody can change them: EPERM. */
export async function setAttributes(peer: Peer, file: File, attr: SetAttr): Promise<void> {
  const { uid, gid, ...rest } = attr
  if (peer.keepsOwners || (uid === undefined && gid === undefined)) return file.setattr(attr)
  const now = await file.getattr(Attrs.UID | Attrs.GID)
  if ((uid ?? now.uid) !== now.uid || (gid ?? now.gid) !== now.gid) throw errno('EPERM', 'chown: owners are the peer\'s')
  if (Object.keys(rest).length > 0) await file.setattr(rest)
}
