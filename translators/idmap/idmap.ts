// Other numbers for users and groups than those that are stored, as Linux's id-mapped mounts have them: what belongs to
// nobody above is shown as the overflow id's, can't be changed but by giving it an owner, and nothing new can be theirs.

import { Attrs, O, errno } from 'ninep'
import type { Attr, SetAttr } from 'ninep'
import { ACL_ACCESS, ACL_DEFAULT, mapAcl } from '../acl.ts'
import { ForwardHandle, ForwardNode, PassingTranslator, after } from '../forward.ts'
import { int, text, translator } from '../options.ts'
import type { Awaitable, Call, Created, DirSink, Handle, Node, Owner } from '../translator.ts'
import { Ids } from './ids.ts'

const overflow = { max: 0xfffffffe, default: 0xfffffffe } as const

export const idmap = translator({
  name: 'idmap',
  about: 'Users and groups have other numbers here than below.',
  children: 1,
  concurrent: true,
  options: {
    uids: text({ about: 'ABOVE:BELOW:COUNT of users, with commas between: 0:100000:65536. None: no user is known', default: '' }),
    gids: text({ about: 'the same of groups', default: '' }),
    'overflow-uid': int({ about: 'who owns what belongs to no user above', ...overflow }),
    'overflow-gid': int({ about: 'the group of what belongs to no group above', ...overflow }),
  },
  start(options, [child]) {
    const map: Map = { uids: new Ids('uids', options.uids, options['overflow-uid']), gids: new Ids('gids', options.gids, options['overflow-gid']) }
    return new PassingTranslator('idmap', child, (root) => new MappedNode(root, map))
  },
})

interface Map { readonly uids: Ids; readonly gids: Ids }

const isAcl = (name: string) => name === ACL_ACCESS || name === ACL_DEFAULT
/** Owners and ACL as they are above. */
function shown({ uids, gids }: Map, attr: Attr): Attr {
  const uid = uids.above(attr.uid) ?? uids.overflow, gid = gids.above(attr.gid) ?? gids.overflow
  if (uid === attr.uid && gid === attr.gid && attr.acl === undefined) return attr
  return { ...attr, uid, gid, ...attr.acl === undefined ? {} : { acl: aclAbove({ uids, gids }, attr.acl) } }
}
function aclAbove({ uids, gids }: Map, acl: Uint8Array): Uint8Array {
  return mapAcl(acl, (id) => uids.above(id) ?? uids.overflow, (id) => gids.above(id) ?? gids.overflow)
}
/** EINVAL: it names somebody who is nobody below. */
function aclBelow({ uids, gids }: Map, acl: Uint8Array): Uint8Array {
  const known = (id: number | undefined): number => {
    if (id === undefined) throw errno('EINVAL', 'setxattr', 'an id of the ACL is not mapped')
    return id
  }
  return mapAcl(acl, (id) => known(uids.below(id)), (id) => known(gids.below(id)))
}
/** EOVERFLOW: an id is nobody's below. */
function stored(ids: Ids, id: number, op: string): number {
  const below = ids.below(id)
  if (below === undefined) throw errno('EOVERFLOW', op, `${id} is not mapped`)
  return below
}
function ownerBelow({ uids, gids }: Map, { uid, gid }: Owner, op: string): Owner { return { uid: stored(uids, uid, op), gid: stored(gids, gid, op) } }
function setBelow({ uids, gids }: Map, set: SetAttr): SetAttr {
  if (set.uid === undefined && set.gid === undefined) return set
  return { ...set, ...set.uid === undefined ? {} : { uid: stored(uids, set.uid, 'setattr') }, ...set.gid === undefined ? {} : { gid: stored(gids, set.gid, 'setattr') } }
}

/** Whether both owners of it are known above, or given by this change. */
function isOwned({ uids, gids }: Map, { uid, gid }: Attr, set: SetAttr = {}): boolean {
  return (set.uid !== undefined || uids.above(uid) !== undefined) && (set.gid !== undefined || gids.above(gid) !== undefined)
}
function setattr(map: Map, of: Node | Handle, set: SetAttr): Awaitable<void> {
  const below = setBelow(map, set)
  return after(of.getattr(Attrs.UID | Attrs.GID), (attr) => {
    if (!isOwned(map, attr, set)) throw errno('EOVERFLOW', 'setattr', 'its owner is not mapped')
    return of.setattr(below)
  })
}

class MappedNode extends ForwardNode<Map> {
  protected override wrap(child: Node): Node { return new MappedNode(child, this.layer) }
  protected override wrapHandle(child: Handle): Handle { return new MappedHandle(child, this.layer) }
  /** f, unless this file is nobody's above: EACCES, for root too. */
  #change<T>(op: string, f: () => Awaitable<T>): Awaitable<T> {
    return after(this.child.getattr(Attrs.UID | Attrs.GID), (attr) => {
      if (!isOwned(this.layer, attr)) throw errno('EACCES', op, 'its owner is not mapped')
      return f()
    })
  }
  override getattr(mask: number): Awaitable<Attr> { return after(super.getattr(mask), (attr) => shown(this.layer, attr)) }
  override setattr(set: SetAttr): Awaitable<void> { return setattr(this.layer, this.child, set) }
  override open(flags: number, call?: Call): Awaitable<Handle> {
    const open = () => super.open(flags, call)
    return (flags & O.ACCMODE) === O.RDONLY && !(flags & O.TRUNC) ? open() : this.#change('open', open)
  }
  override create(name: string, flags: number, mode: number, owner: Owner): Awaitable<Created> {
    const below = ownerBelow(this.layer, owner, 'create')
    return this.#change('create', () => super.create(name, flags, mode, below))
  }
  override mkdir(name: string, mode: number, owner: Owner): Awaitable<Node> {
    const below = ownerBelow(this.layer, owner, 'mkdir')
    return this.#change('mkdir', () => super.mkdir(name, mode, below))
  }
  override symlink(name: string, target: string, owner: Owner): Awaitable<Node> {
    const below = ownerBelow(this.layer, owner, 'symlink')
    return this.#change('symlink', () => super.symlink(name, target, below))
  }
  override mknod(name: string, mode: number, rdev: bigint, owner: Owner): Awaitable<Node> {
    const below = ownerBelow(this.layer, owner, 'mknod')
    return this.#change('mknod', () => super.mknod(name, mode, rdev, below))
  }
  override link(target: Node, name: string): Awaitable<void> { return this.#change('link', () => super.link(target, name)) }
  override renameat(name: string, dir: Node, newName: string, expect?: bigint): Awaitable<void> {
    const rename = () => super.renameat(name, dir, newName, expect)
    this.unwrap(dir, 'renameat')
    return this.#change('renameat', () => (dir as MappedNode).#change('renameat', rename))
  }
  override unlinkat(name: string, flags: number, expect?: bigint): Awaitable<void> { return this.#change('unlinkat', () => super.unlinkat(name, flags, expect)) }
  override getxattr(name: string): Awaitable<Uint8Array> {
    const value = super.getxattr(name)
    return isAcl(name) ? after(value, (acl) => aclAbove(this.layer, acl)) : value
  }
  override setxattr(name: string, value: Uint8Array, flags: number): Awaitable<void> {
    const below = isAcl(name) ? aclBelow(this.layer, value) : value
    return this.#change('setxattr', () => super.setxattr(name, below, flags))
  }
  override removexattr(name: string): Awaitable<void> { return this.#change('removexattr', () => super.removexattr(name)) }
}

class MappedHandle extends ForwardHandle<Map> {
  override getattr(mask: number): Awaitable<Attr> { return after(super.getattr(mask), (attr) => shown(this.layer, attr)) }
  override setattr(set: SetAttr): Awaitable<void> { return setattr(this.layer, this.child, set) }
  override readdir(cookie: bigint, sink: DirSink, mask: number, call?: Call): Awaitable<boolean> {
    const { layer } = this
    const mapped: DirSink = { add: (path, type, at, name, attr) => sink.add(path, type, at, name, attr && shown(layer, attr)) }
    return super.readdir(cookie, mask === 0 ? sink : mapped, mask, call)
  }
}
