// Several trees as one. A name is looked for in each child in turn; directories of one name are merged, of other files the first
// is in sight. One child takes the changes: what lies behind it is copied into it before it is changed, and hidden by a whiteout where it is
// removed. The others are never written to.
//
// Turns: a directory's own, alone for what changes its names and where a copy gets its name there. Nothing is copied in a turn.

import { AT_REMOVEDIR, O, QT, entryName, errno, isErrno } from 'ninep'
import type { Attr, Qid, SetAttr, StatFs } from 'ninep'
import { after } from '../forward.ts'
import { BadOption, int, translator } from '../options.ts'
import type { Awaitable, Call, Created, Handle, Node, Owner, Translator, Volume } from '../translator.ts'
import { rise } from './copy.ts'
import { Listing } from './listing.ts'
import { PREFIX, Place, Union, canHide, isHidden, isReserved } from './state.ts'

const MAX_CHILDREN = 15

export const union = translator({
  name: 'union',
  about: 'Several trees as one: the first child takes all changes, the others are only read.',
  children: 'many',
  concurrent: true,
  options: { create: int({ about: 'which child takes changes and what is new, counted from 1; 0: none, all is read-only', max: MAX_CHILDREN, default: 1 }) },
  async start({ create }, children, env) {
    if (children.length > MAX_CHILDREN) throw new BadOption(`union: takes at most ${MAX_CHILDREN} children.`)
    if (create > children.length) throw new BadOption(`union: create: there is no child ${create}: from 0 to ${children.length}.`)
    const state = new Union(children, create - 1, env.name), layers: { index: number; node: Node }[] = []
    try {
      for (const [index, child] of children.entries()) {
        const node = await child.attach('')
        layers.push({ index, node })
        if ((node.qid.type & QT.DIR) === 0) throw new Error(`union: the root of child ${index + 1} (${child.name}) is no directory`)
      }
    } catch (e) {
      for (const { node } of layers) await node.close()
      throw e
    }
    for (const { node } of layers) state.keyOf(node)      // the volumes of roots come first: their numbers are the same at every start
    state.root = new Place(state, state.numberOf(layers[0]!.node.volume, layers[0]!.node.qid.path), undefined, layers, null, '', state.keyOf(layers[0]!.node))
    state.live.set(state.root.key, state.root)
    return new UnionTranslator(state)
  },
})

class UnionTranslator implements Translator {
  readonly name = 'union'
  constructor(readonly union: Union) {}
  attach(aname: string): Node {
    if (aname !== '' && aname !== '/') throw errno('ENOENT', 'attach', aname)
    return new UnionNode(this.union.root.retain())
  }
  async sync(): Promise<void> { for (const child of this.union.children) await child.sync() }
  async close(): Promise<void> {
    const { root, work, children } = this.union
    const settled = await Promise.allSettled([(async () => (await work)?.close())(), root.release()])
    settled.push(...await Promise.allSettled(children.map(async (child) => child.close())))
    for (const one of settled) if (one.status === 'rejected') throw one.reason
  }
  async [Symbol.asyncDispose](): Promise<void> { await this.close() }
}

class UnionNode implements Node {
  constructor(readonly place: Place) {}
  get volume(): Volume { return this.place.union.volume }
  get qid(): Qid { return this.place.qid }

  async walk(name: string): Promise<Node> {
    const { place } = this
    return new UnionNode(await place.turn.take(false, () => place.union.place(place, name)))
  }
  parent(): Node {
    const { place } = this
    if (!place.isDir) throw errno('ENOTDIR', 'parent')
    return new UnionNode((place.parent ?? place).retain())
  }
  at(snapshot: string): never { throw errno('ENOENT', 'at', snapshot) }
  getattr(mask: number): Awaitable<Attr> { return this.place.getattr(mask) }
  async setattr(attr: SetAttr): Promise<void> { await (await this.#raised()).setattr(attr) }
  readlink(): Awaitable<string> { return this.place.node.readlink() }
  statfs(): Awaitable<StatFs> { return (this.place.upper ?? this.place.union.root.upper ?? this.place.node).statfs() }
  getxattr(name: string): Awaitable<Uint8Array> { return this.place.node.getxattr(name) }
  listxattr(): Awaitable<string[]> { return this.place.node.listxattr() }
  async setxattr(name: string, value: Uint8Array, flags: number): Promise<void> { await (await this.#raised()).setxattr(name, value, flags) }
  async removexattr(name: string): Promise<void> {
    if (!this.place.upper) await this.place.node.getxattr(name)    // what is not there is not worth a copy
    await (await this.#raised()).removexattr(name)
  }
  async #raised(empty = false): Promise<Node> {
    await rise(this.place, empty)
    return this.place.upper!
  }

  async open(flags: number, call?: Call): Promise<Handle> {
    const { place } = this, writes = (flags & O.ACCMODE) !== O.RDONLY || (flags & O.TRUNC) !== 0
    if (place.isDir) {
      if (writes) throw errno('EISDIR', 'open')
      return place.turn.take(false, () => Listing.open(place))
    }
    if (place.qid.type & QT.SYMLINK) throw errno('ELOOP', 'open')
    if (flags & O.DIRECTORY) throw errno('ENOTDIR', 'open')
    if (writes) await this.#raised((flags & O.TRUNC) !== 0)
    const from = place.node, handle = await from.open(flags, call)
    return new UnionHandle(place.retain(), from, handle, flags)
  }

  /** A new name, made by `make` in the child that takes them. */
  async #make<T>(name: string, op: string, make: (dir: Node) => Awaitable<T>, node: (made: T) => Node | undefined): Promise<{ made: T; place: Place | undefined }> {
    const { place: dir } = this, { union } = dir
    if (!dir.isDir) throw errno('ENOTDIR', op, name)
    if (isReserved(name)) throw errno('EPERM', op, name)
    if (!dir.gone && !dir.upper) await dir.turn.take(false, () => free(dir, name, op))  // a refusal is not worth a copy
    if (!dir.gone) await rise(dir)
    return dir.turn.take(true, async () => {
      await free(dir, name, op)
      const made = await make(dir.upper!), child = node(made)
      return { made, place: child && await union.adopt(dir, name, [{ index: union.upper, node: child }]) }
    })
  }
  async create(name: string, flags: number, mode: number, owner: Owner): Promise<Created> {
    const { made: { node, handle }, place } = await this.#make(name, 'create', (dir) => dir.create(name, flags, mode, owner), ({ node }) => node)
    return { node: new UnionNode(place!), handle: new UnionHandle(place!.retain(), node, handle, flags) }
  }
  async mkdir(name: string, mode: number, owner: Owner): Promise<Node> { return new UnionNode((await this.#make(name, 'mkdir', (dir) => dir.mkdir(name, mode, owner), (node) => node)).place!) }
  async symlink(name: string, target: string, owner: Owner): Promise<Node> { return new UnionNode((await this.#make(name, 'symlink', (dir) => dir.symlink(name, target, owner), (node) => node)).place!) }
  async mknod(name: string, mode: number, rdev: bigint, owner: Owner): Promise<Node> { return new UnionNode((await this.#make(name, 'mknod', (dir) => dir.mknod(name, mode, rdev, owner), (node) => node)).place!) }
  async link(target: Node, name: string): Promise<void> {
    const { place } = this.#ours(target, 'link')
    if (place.isDir) throw errno('EPERM', 'link', name)
    if (place.gone) throw errno('ENOENT', 'link', name)
    await this.#make(name, 'link', async (dir) => {
      if (!place.upper) throw errno('ESTALE', 'link', name)
      await dir.link(place.upper, name)
    }, () => undefined).catch(async (e: unknown) => {
      if (!isErrno(e, 'ESTALE')) throw e
      await rise(place)
      return this.#make(name, 'link', (dir) => dir.link(place.upper!, name), () => undefined)
    })
  }

  async unlinkat(name: string, flags: number, expect?: bigint): Promise<void> {
    const { place: dir } = this, { union } = dir
    await this.#there(name, 'unlinkat', expect, async (victim) => {
      check(victim, flags, name)
      mayGo(victim, 'unlinkat', name)
      if (victim.isDir) await victim.turn.take(false, () => empty(victim, name))
      await rise(dir)
      await inTurns([dir, ...victim.isDir ? [victim] : []], async () => {
        await still(dir, name, victim)
        if (victim.isDir) await empty(victim, name)
        if (await union.covered(dir, name)) await hide(dir.upper!, name)
        if (victim.upper) {
          if (victim.isDir) await clear(victim.upper)
          await dir.upper!.unlinkat(name, flags)
        }
        await victim.lost()
      })
    })
  }

  async renameat(name: string, dir: Node, newName: string, expect?: bigint): Promise<void> {
    const { place: from } = this, { place: to } = this.#ours(dir, 'renameat'), { union } = from
    if (isReserved(newName)) throw errno('EPERM', 'renameat', newName)
    if (!to.isDir) throw errno('ENOTDIR', 'renameat', newName)
    const rename = (moved: Place) => this.#rename(from, name, moved, to, newName)
    await this.#there(name, 'renameat', expect, (moved) => moved.isDir ? union.renames.take(true, () => rename(moved)) : rename(moved))
  }
  async #rename(from: Place, name: string, moved: Place, to: Place, newName: string): Promise<void> {
    const { union } = from
    if (moved.isDir) for (let up: Place | null = to; up; up = up.parent) if (up === moved) throw errno('EINVAL', 'renameat', newName)
    if (to.gone) throw errno('ENOENT', 'renameat', newName)
    const victim = await to.turn.take(false, () => placeIf(to, newName))
    try {
      if (victim === moved) return
      if (victim && moved.isDir && !victim.isDir) throw errno('ENOTDIR', 'renameat', newName)
      if (victim && !moved.isDir && victim.isDir) throw errno('EISDIR', 'renameat', newName)
      if (victim?.isDir) await victim.turn.take(false, () => empty(victim, newName))
      for (const place of victim ? [moved, victim] : [moved]) mayGo(place, 'renameat', newName)
      // Part of it lies in a child that is only read: whoever moves files copies it then.
      if (moved.isDir && !moved.isOwn) throw errno('EXDEV', 'renameat', name)
      for (const place of [from, to, moved]) await rise(place)
      await inTurns([from, to, ...victim?.isDir ? [victim] : []], async () => {
        await still(from, name, moved)
        await still(to, newName, victim)
        if (victim?.isDir) await empty(victim, newName)
        if (await union.covered(from, name)) await hide(from.upper!, name)
        // A directory is not to be merged with what lies behind its new name.
        if (moved.isDir && await union.covered(to, newName)) await hide(to.upper!, newName)
        if (victim?.isDir && victim.upper) await clear(victim.upper)
        await from.upper!.renameat(name, to.upper!, newName)
        await victim?.lost()
        const { parent } = moved
        moved.parent = to.retain()
        moved.name = newName
        await parent?.release()
      })
    } finally { await victim?.release() }
  }

  /** f with the place of a name; again, where another has the name by the time that f has its turn. */
  async #there(name: string, op: string, expect: bigint | undefined, f: (place: Place) => Awaitable<void>): Promise<void> {
    const { place: dir } = this, { union } = dir
    for (;;) {
      const found = await dir.turn.take(false, () => union.place(dir, name))
      try {
        if (expect !== undefined && found.id !== expect) throw errno('ESTALE', op, name)
        return await f(found)
      } catch (e) { if (e !== CHANGED) throw e } finally { await found.release() }
    }
  }
  #ours(node: Node, op: string): UnionNode {
    if (node instanceof UnionNode && node.place.union === this.place.union) return node
    throw errno('EXDEV', op)
  }
  close(): Promise<void> { return this.place.release() }
  async [Symbol.asyncDispose](): Promise<void> { await this.close() }
}

const CHANGED = new Error('the names changed: to be tried again')
/** CHANGED, unless the name is that place still; undefined: unless it is free. */
async function still(dir: Place, name: string, place: Place | undefined): Promise<void> {
  const now = await placeIf(dir, name)
  await now?.release()
  if (now !== place || dir.gone) throw CHANGED
}
/** undefined instead of ENOENT. */
async function placeIf(dir: Place, name: string): Promise<Place | undefined> {
  try { return await dir.union.place(dir, name) } catch (e) {
    if (isErrno(e, 'ENOENT')) return undefined
    throw e
  }
}
/** EROFS: a child before the one that takes changes has it. */
function mayGo(victim: Place, op: string, name: string): void {
  if (victim.layers[0]!.index < victim.union.upper) throw errno('EROFS', op, name)
}
/** f alone in these directories, which are always taken in one order. */
function inTurns(places: readonly Place[], f: () => Promise<void>): Promise<void> {
  const [first, ...others] = [...new Set(places)].sort((a, b) => a.id < b.id ? -1 : 1)
  return first ? Promise.resolve(first.turn.take(true, () => inTurns(others, f))) : f()
}
/** EEXIST ENOENT */
async function free(dir: Place, name: string, op: string): Promise<void> {
  if (dir.gone) throw errno('ENOENT', op, name)
  const found = await dir.union.find(dir, name)
  for (const { node } of found) await node.close()
  if (found.length > 0) throw errno('EEXIST', op, name)
}
function check(victim: Place, flags: number, name: string): void {
  if (victim.isDir && !(flags & AT_REMOVEDIR)) throw errno('EISDIR', 'unlinkat', name)
  if (!victim.isDir && flags & AT_REMOVEDIR) throw errno('ENOTDIR', 'unlinkat', name)
}
/** ENOTEMPTY. To be called in its turn. */
async function empty(dir: Place, name: string): Promise<void> {
  for (const { index, node } of dir.layers) {
    for (const entry of await names(node)) {
      if (isReserved(entry)) continue
      let seen = true
      for (const above of dir.layers) {
        if (above.index >= index || !seen) break
        seen = !await isHidden(above.node, entry)
      }
      if (seen) throw errno('ENOTEMPTY', 'union', name)
    }
  }
}
/** Hides a name of the children behind. ENAMETOOLONG */
async function hide(dir: Node, name: string): Promise<void> {
  if (!canHide(name)) throw errno('ENAMETOOLONG', 'union', name)
  try {
    const { node, handle } = await dir.create(PREFIX + name, O.RDWR, 0o600, { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 })
    await handle.close()
    await node.close()
  } catch (e) { if (!isErrno(e, 'EEXIST')) throw e }
}
/** Takes the whiteouts out of a directory that holds nothing else. */
async function clear(dir: Node): Promise<void> { for (const name of await names(dir)) if (isReserved(name)) await dir.unlinkat(name, 0) }
async function names(dir: Node): Promise<string[]> {
  const found: string[] = []
  await using handle = await dir.open(O.RDONLY | O.DIRECTORY)
  await handle.readdir(0n, { add: (_path, _type, _cookie, name) => { found.push(entryName(name)); return true } }, 0)
  return found
}
/** A file open. Where it is read only and moves up, the copy is read from there on. */
class UnionHandle implements Handle {
  #left: Handle[] = []
  #moving: Promise<Handle> | undefined
  constructor(readonly place: Place, private from: Node, private handle: Handle, readonly flags: number) {}
  #now(): Awaitable<Handle> {
    const { node } = this.place
    if (node === this.from) return this.handle
    return this.#moving ??= (async () => {
      const handle = await node.open(this.flags & ~O.TRUNC)
      this.#left.push(this.handle)
      this.from = node
      return this.handle = handle
    })().finally(() => { this.#moving = undefined })
  }
  read(into: Uint8Array, offset: number, call?: Call): Awaitable<Uint8Array> { return after(this.#now(), (handle) => handle.read(into, offset, call)) }
  write(bytes: Uint8Array, offset: number, call?: Call): Awaitable<number> { return after(this.#now(), (handle) => handle.write(bytes, offset, call)) }
  readdir(): never { throw errno('ENOTDIR', 'readdir') }
  getattr(mask: number): Awaitable<Attr> {
    return after(this.#now(), (handle) => after(handle.getattr(mask), (attr) => this.place.shown(attr)))
  }
  async setattr(attr: SetAttr): Promise<void> {
    if (attr.size !== undefined && (this.flags & O.ACCMODE) === O.RDONLY) throw errno('EINVAL', 'setattr')
    await rise(this.place)
    await (await this.#now()).setattr(attr)
  }
  fsync(dataOnly: boolean, call?: Call): Awaitable<void> { return after(this.#now(), (handle) => handle.fsync(dataOnly, call)) }
  async close(): Promise<void> {
    const settled = await Promise.allSettled([this.handle, ...this.#left].map(async (handle) => handle.close()))
    await this.place.release()
    for (const one of settled) if (one.status === 'rejected') throw one.reason
  }
  async [Symbol.asyncDispose](): Promise<void> { await this.close() }
}
