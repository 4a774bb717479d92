// The node face: files, directories and names over those of a child. FORMAT.md has what is stored and in which order.

import { AT_REMOVEDIR, Attrs, Dt, O, QT, TARGET_MAX, bytesOfName, entryName, errno, isErrno, nameOfBytes, nameLength } from 'ninep'
import type { Attr, SetAttr, StatFs } from 'ninep'
import { after, Files, ForwardHandle, ForwardNode } from '../forward.ts'
import type { Log } from '../options.ts'
import { hash, NONCE, open, random, randomInto, seal, TAG } from '../sodium.ts'
import type { Awaitable, Call, Created, DirSink, Handle, Node, Owner } from '../translator.ts'
import { content, holds, isOurs, remove, SealedDirectory, store } from './directory.ts'
import { SealedFile } from './file.ts'
import type { Damage } from './file.ts'
import type { Ring, Stored } from './ring.ts'

const ACLS = new Set(['system.posix_acl_access', 'system.posix_acl_default'])
const XATTR = 'user.9f.'
/** Bytes of the longest target that a link of the child holds. */
const TARGET = 3031
/** In the root: the targets of longer ones. */
const LINKS = 'dir.links'
/** Entries of a directory that are decrypted together. */
const BATCH = 128

/** What all nodes of an instance share. */
export class Vault {
  readonly files: Files<SealedFile>
  readonly directories: Files<SealedDirectory>
  readonly #told = new Set<string>()
  /** root: of the child. */
  constructor(readonly ring: Ring, readonly log: Log, readonly root: () => Awaitable<Node>) {
    this.files = new Files(() => new SealedFile(ring))
    this.directories = new Files(() => new SealedDirectory(ring))
  }
  /** Tells of a damage, once for each place, and is EIO. */
  damage(path: string): Damage {
    return (block, what) => {
      this.tell(path, block, what)
      throw errno('EIO', 'crypt', `${path}: ${block}: ${what}`)
    }
  }
  tell(path: string, block: string | number, what: string): void {
    const place = `${path}\n${block}`
    if (!this.#told.has(place) && this.#told.size < 1000) this.log.error({ path, block }, `crypt: ${what}`)
    this.#told.add(place)
  }
}

/** The targets of links that are too long for a link. */
async function links(vault: Vault): Promise<Node> {
  await using root = await vault.root()
  const there = await find(root, LINKS)
  if (there) return there
  const { uid, gid } = await root.getattr(Attrs.UID | Attrs.GID)
  return root.mkdir(LINKS, 0o700, { uid, gid })
}
async function dropLong(vault: Vault, link: string): Promise<void> {
  if (!link.startsWith('~')) return
  await using dir = await links(vault)
  await remove(dir, link.slice(1))
}

type Identity = Pick<Node, 'volume' | 'qid'>
const isFile = (attr: { readonly mode: number }): boolean => (attr.mode & 0o170000) === 0o100000

/** A node of the child that others may hold longer than the node above it. */
class Held {
  #count = 1
  constructor(readonly node: Node) {}
  retain(): this { this.#count++; return this }
  release(): Awaitable<void> { if (--this.#count === 0) return this.node.close() }
}

export class CryptNode extends ForwardNode<Vault> {
  #held: Held
  /** Also of a FIFO or device, which a qid does not tell from a file: that is known when it is asked for. */
  readonly #sealed: SealedFile | null
  #regular: boolean | undefined
  readonly #dir: SealedDirectory | null
  /** path: for the log. name: by which it was reached; null: in another way. */
  constructor(child: Node, vault: Vault, readonly path: string, readonly name: Buffer | null) {
    super(child, vault)
    this.#held = new Held(child)
    this.#dir = child.qid.type & QT.DIR ? vault.directories.acquire(child) : null
    this.#sealed = child.qid.type & (QT.DIR | QT.SYMLINK) ? null : vault.files.acquire(child)
  }
  protected override wrap(child: Node): Node { return new CryptNode(child, this.layer, this.path, null) }
  protected override unwrap(node: Node, op: string): CryptNode['child'] { return this.#ours(node, op).child }
  #ours(node: Node, op: string): CryptNode {
    if (node instanceof CryptNode && node.layer === this.layer) return node
    throw errno('EXDEV', op)
  }
  get #damage(): Damage { return this.layer.damage(this.path) }
  get #isLink(): boolean { return (this.child.qid.type & QT.SYMLINK) !== 0 }

  // What kind of thing it is

  #directory(op: string): SealedDirectory {
    if (!this.#dir) throw errno('ENOTDIR', op)
    return this.#dir
  }
  /** Of a directory, after it was looked whether it is the one of its name. */
  id(op: string): Awaitable<Buffer> { return this.#directory(op).id(this.child, this.name, this.#damage) }
  /** Of a regular file; null: it is something else. */
  #file(): Awaitable<SealedFile | null> {
    if (!this.#sealed || this.#regular !== undefined) return this.#regular ? this.#sealed : null
    return after(this.child.getattr(Attrs.MODE), (attr) => (this.#regular = isFile(attr)) ? this.#sealed : null)
  }
  /** The same, with its header. */
  async #loaded(): Promise<SealedFile | null> {
    const file = await this.#file()
    if (!file) return null
    if (file.size === undefined) {
      const io = await reach(this.child, O.RDONLY)
      try { await file.load(io, this.#damage) } finally { await io.close() }
    }
    file.check(this.name, this.#damage)
    return file
  }

  // Names

  override async walk(name: string): Promise<Node> {
    const id = await this.id('walk'), { siv, stored } = this.layer.ring.store(id, name)
    return this.#below(await this.child.walk(stored), name, siv)
  }
  #below(child: Node, name: string, siv: Buffer): CryptNode { return new CryptNode(child, this.layer, this.path === '/' ? `/${name}` : `${this.path}/${name}`, siv) }
  override async parent(): Promise<Node> {
    const child = await this.child.parent(), cut = this.path.lastIndexOf('/')
    return new CryptNode(child, this.layer, cut > 0 ? this.path.slice(0, cut) : '/', null)
  }
  /** f with a new name of this directory, which is not there. What lies beside it is there before. */
  async #make<T>(name: string, op: string, f: (at: Stored) => Promise<T>): Promise<T> {
    const dir = this.#directory(op), id = await this.id(op)
    return dir.turn.take(false, async () => {
      if (dir.gone) throw errno('ENOENT', op, name)
      const at = this.layer.ring.store(id, name), there = await find(this.child, at.stored)
      if (there) {
        await there.close()
        throw errno('EEXIST', op, name)
      }
      await this.#beside(at)
      return f(at)
    })
  }
  async #beside({ siv, text }: Stored): Promise<void> {
    if (!text) return
    const name = `name.${siv.toString('base64url')}`, there = await content(this.child, name, text.length + 1)
    if (there?.equals(text)) return
    const temporary = `tmp.${random(8).toString('hex')}`
    await store(this.child, temporary, text)
    await this.child.renameat(temporary, this.child, name)
  }
  async #unbeside({ siv, text }: Stored): Promise<void> { if (text) await remove(this.child, `name.${siv.toString('base64url')}`) }

  override create(name: string, flags: number, mode: number, owner: Owner): Promise<Created> {
    return this.#make(name, 'create', async ({ siv, stored }) => {
      const temporary = `tmp.${random(8).toString('hex')}`
      const { node, handle } = await this.child.create(temporary, beneath(flags, true), mode, owner)
      const made = this.#below(node, name, siv)
      made.#regular = true
      try {
        await made.#sealed!.begin(handle, siv)
        await this.child.renameat(temporary, this.child, stored)
      } catch (e) {
        await remove(this.child, temporary)
        await handle.close()
        await made.close()
        throw e
      }
      return { node: made, handle: new CryptHandle(handle, made, this.layer.files.acquire(node), flags) }
    })
  }
  override mkdir(name: string, mode: number, owner: Owner): Promise<Node> {
    return this.#make(name, 'mkdir', async ({ siv, stored }) => {
      const made = this.#below(await this.child.mkdir(stored, mode, owner), name, siv)
      try { await made.#dir!.begin(made.child, siv) } catch (e) {
        await made.close()
        throw e
      }
      return made
    })
  }
  override async symlink(name: string, target: string, owner: Owner): Promise<Node> {
    if (nameLength(target) > TARGET_MAX) throw errno('ENAMETOOLONG', 'symlink', name)
    return this.#make(name, 'symlink', async ({ siv, stored }) => {
      const bytes = bytesOfName(target), sealed = Buffer.alloc(NONCE + bytes.length + TAG), id = bytes.length > TARGET ? random(16).toString('base64url') : ''
      randomInto(sealed.subarray(0, NONCE))
      seal(sealed.subarray(NONCE), bytes, sealed.subarray(0, NONCE), this.layer.ring.link, Buffer.from(id))
      if (id !== '') {
        await using dir = await links(this.layer)
        await store(dir, id, sealed)
      }
      return this.#below(await this.child.symlink(stored, id === '' ? sealed.toString('base64url') : `~${id}`, owner), name, siv)
    })
  }
  override async readlink(): Promise<string> {
    const link = await this.child.readlink(), id = link.startsWith('~') ? link.slice(1) : ''
    let sealed: Buffer | undefined = Buffer.from(link, 'base64url')
    if (id !== '') {
      await using dir = await links(this.layer)
      sealed = /^[\w-]{22}$/.test(id) ? await content(dir, id, 8192) : undefined
    } else if (sealed.toString('base64url') !== link) sealed = undefined
    const bytes = Buffer.alloc(Math.max(0, (sealed?.length ?? 0) - NONCE - TAG))
    if (!sealed || bytes.length === 0 || !open(bytes, sealed.subarray(NONCE), sealed.subarray(0, NONCE), this.layer.ring.link, Buffer.from(id))) this.#damage('target', 'it was altered')
    return nameOfBytes(bytes, 0, bytes.length)
  }
  /** What the child's link says, if it is one. */
  #raw(): Awaitable<string> { return this.#isLink ? this.child.readlink() : '' }
  override async mknod(name: string, mode: number, rdev: bigint, owner: Owner): Promise<Node> {
    if (isFile({ mode })) {
      const { node, handle } = await this.create(name, O.RDWR, mode & 0o7777, owner)
      await handle.close()
      return node
    }
    return this.#make(name, 'mknod', async ({ siv, stored }) => this.#below(await this.child.mknod(stored, mode, rdev, owner), name, siv))
  }

  override async link(target: Node, name: string): Promise<void> {
    const node = this.#ours(target, 'link')
    if (node.#dir) throw errno('EPERM', 'link', name)
    await this.#make(name, 'link', async ({ siv, stored }) => {
      await node.#bind(siv, null)
      try { await this.child.link(node.child, stored) } catch (e) {
        await node.#bind(null, siv)
        throw e
      }
    })
  }
  /** What it is reached by changes: a name comes, or one goes. names: all that a directory has then. Its times stay. */
  async #bind(add: Buffer | null, drop: Buffer | null, ...names: Buffer[]): Promise<void> {
    if (this.#dir) {
      await this.id('renameat')
      const { mtime, atime } = await this.child.getattr(Attrs.MTIME | Attrs.ATIME)
      await this.#dir.bind(this.child, ...names)
      await this.child.setattr({ mtime, atime })
      return
    }
    const file = await this.#loaded()
    if (!file) return
    const { mtime, atime } = await this.child.getattr(Attrs.MTIME | Attrs.ATIME), io = await reach(this.child, O.RDWR)
    try { await file.bind(io, add, drop, this.#damage) } finally { await io.close() }
    await this.child.setattr({ mtime, atime })
  }

  override async renameat(name: string, dir: Node, newName: string, expect?: bigint): Promise<void> {
    const to = this.#ours(dir, 'renameat'), { ring } = this.layer
    const from = ring.store(await this.id('renameat'), name)
    const toDir = to.#directory('renameat'), at = ring.store(await to.id('renameat'), newName)
    const moved = this.#below(await this.child.walk(from.stored), name, from.siv)
    let victim: CryptNode | undefined
    try {
      const found = await find(to.child, at.stored)
      if (found) victim = to.#below(found, newName, at.siv)
      if (expect !== undefined && moved.qid.path !== expect) throw errno('ESTALE', 'renameat', name)
      if (victim && victim.volume === moved.volume && victim.qid.path === moved.qid.path) return
      if (victim && moved.#dir && !victim.#dir) throw errno('ENOTDIR', 'renameat', newName)
      if (victim && victim.#dir && !moved.#dir) throw errno('EISDIR', 'renameat', newName)
      const link = victim && (await victim.child.getattr(Attrs.NLINK)).nlink === 1 ? await victim.#raw() : ''
      await toDir.turn.take(false, async () => {
        if (toDir.gone) throw errno('ENOENT', 'renameat', newName)
        if (moved.#dir) await moved.#notAbove(to)
        await to.#beside(at)
        await moved.#bind(at.siv, null, from.siv, at.siv)
        const rename = () => this.child.renameat(from.stored, to.child, at.stored, expect)
        try { await (victim && victim.#dir ? victim.#emptied(newName, rename) : rename()) } catch (e) {
          await moved.#bind(null, at.siv, from.siv)
          throw e
        }
      })
      await moved.#bind(null, from.siv, at.siv)
      await this.#unbeside(from)
      await dropLong(this.layer, link)
      if (victim && !victim.#dir) await victim.#lost(at.siv)
    } finally {
      await moved.close()
      await victim?.close()
    }
  }
  /** EINVAL: `dir` is this directory or lies below it. */
  async #notAbove(dir: CryptNode): Promise<void> {
    let node = dir.child, up: Node | undefined
    try {
      for (;;) {
        if (node.qid.path === this.qid.path && node.volume === this.volume) throw errno('EINVAL', 'renameat')
        const next = await node.parent(), top = next.qid.path === node.qid.path && next.volume === node.volume
        await up?.close()
        node = up = next
        if (top) return
      }
    } finally { await up?.close() }
  }
  /** A file that has lost a name, and has others. */
  async #lost(siv: Buffer): Promise<void> { if ((await this.child.getattr(Attrs.NLINK)).nlink > 0 && await this.#file()) await this.#bind(null, siv) }

  override async unlinkat(name: string, flags: number, expect?: bigint): Promise<void> {
    const at = this.layer.ring.store(await this.id('unlinkat'), name), victim = this.#below(await this.child.walk(at.stored), name, at.siv)
    try {
      if (expect !== undefined && victim.qid.path !== expect) throw errno('ESTALE', 'unlinkat', name)
      const unlink = () => this.child.unlinkat(at.stored, flags, expect)
      if (victim.#dir && flags & AT_REMOVEDIR) await victim.#emptied(name, unlink)
      else {
        const { nlink } = await victim.child.getattr(Attrs.NLINK), link = nlink === 1 ? await victim.#raw() : ''
        await unlink()
        await dropLong(this.layer, link)
        if (nlink > 1) await victim.#lost(at.siv).catch((e: unknown) => { if (!isErrno(e, 'EIO')) throw e })   // a damaged file can be removed
      }
      await this.#unbeside(at)
    } finally { await victim.close() }
  }
  /** f, which takes this directory away, when nothing is in it. ENOTEMPTY */
  #emptied(name: string, f: () => Awaitable<void>): Awaitable<void> {
    const dir = this.#dir!
    return dir.turn.take(true, async () => {
      const { ours, other } = await holds(this.child)
      if (other) throw errno('ENOTEMPTY', 'unlinkat', name)
      const { mtime, atime } = await this.child.getattr(Attrs.MTIME | Attrs.ATIME)
      await this.id('unlinkat')
      for (const stored of ours) await remove(this.child, stored)
      try { await f() } catch (e) {
        await dir.restore(this.child)
        await this.child.setattr({ mtime, atime })
        throw e
      }
      dir.gone = true
    })
  }

  // Contents

  override async open(flags: number, call?: Call): Promise<Handle> {
    if (this.#dir) {
      const id = await this.id('open'), handle = await this.child.open(flags, call)
      return new CryptDirectory(handle, this.layer, this.path, this.#held.retain(), id)
    }
    const file = await this.#file()
    if (!file) return this.child.open(flags, call)
    const truncates = (flags & O.TRUNC) !== 0, handle = await reach(this.child, beneath(flags, truncates), call)
    try {
      await file.load(handle, this.#damage)
      file.check(this.name, this.#damage)
      if (truncates) await file.resize(handle, 0, this.#damage)
      return new CryptHandle(handle, this, this.layer.files.acquire(this.child), flags)
    } catch (e) {
      await handle.close()
      throw e
    }
  }
  override getattr(mask: number): Awaitable<Attr> {
    return after(this.child.getattr(mask | Attrs.MODE), (attr) => {
      if ((mask & Attrs.SIZE) === 0) return sized(attr, undefined)
      if (this.#isLink) return after(this.readlink(), (link) => sized(attr, nameLength(link)))
      if (!isFile(attr)) return attr
      const size = this.#sealed?.size
      return size === undefined ? this.#loaded().then((file) => sized(attr, file!.size)) : sized(attr, size)
    })
  }
  override async setattr(attr: SetAttr): Promise<void> {
    const { size, ...others } = attr, file = size === undefined ? null : await this.#file()
    if (!file) return this.child.setattr(attr)
    const io = await reach(this.child, O.RDWR)
    try {
      await file.load(io, this.#damage)
      file.check(this.name, this.#damage)
      await file.resize(io, size!, this.#damage)
    } finally { await io.close() }
    if (Object.keys(others).length > 0) await this.child.setattr(others)
  }
  override async statfs(): Promise<StatFs> { return { ...await this.child.statfs(), namelen: 255 } }

  // Extended attributes

  /** Whose attributes they are; undefined: this kind of file has none. */
  async #attributes(): Promise<Buffer | undefined> {
    if (this.#dir) return this.id('xattr')
    const file = await this.#loaded()
    return file?.id
  }
  #xattr(id: Buffer, name: string): string {
    const out = Buffer.alloc(24)
    hash(out, this.layer.ring.xattr(id).mac, bytesOfName(name))
    return XATTR + out.toString('base64url')
  }
  override async getxattr(name: string): Promise<Uint8Array> {
    if (ACLS.has(name)) return this.child.getxattr(name)
    checkXattr(name, 'getxattr')
    const id = await this.#attributes()
    if (!id) throw errno('ENODATA', 'getxattr', name)
    const stored = this.#xattr(id, name)
    return this.#openXattr(id, stored, await this.child.getxattr(stored)).value
  }
  #openXattr(id: Buffer, stored: string, sealed: Uint8Array): { name: string; value: Buffer } {
    const message = Buffer.alloc(Math.max(0, sealed.length - NONCE - TAG))
    if (message.length < 1 || !open(message, sealed.subarray(NONCE), sealed.subarray(0, NONCE), this.layer.ring.xattr(id).seal, Buffer.from(stored))) this.#damage(stored, 'an attribute was altered')
    return { name: nameOfBytes(message, 1, 1 + message[0]!), value: message.subarray(1 + message[0]!) }
  }
  override async setxattr(name: string, value: Uint8Array, flags: number): Promise<void> {
    if (ACLS.has(name)) return this.child.setxattr(name, value, flags)
    checkXattr(name, 'setxattr')
    const id = await this.#attributes()
    if (!id) throw errno(name.startsWith('user.') ? 'EPERM' : 'EOPNOTSUPP', 'setxattr', name)
    const stored = this.#xattr(id, name), bytes = bytesOfName(name), message = Buffer.concat([Buffer.of(bytes.length), bytes, value])
    const sealed = Buffer.alloc(NONCE + message.length + TAG)
    randomInto(sealed.subarray(0, NONCE))
    seal(sealed.subarray(NONCE), message, sealed.subarray(0, NONCE), this.layer.ring.xattr(id).seal, Buffer.from(stored))
    await this.child.setxattr(stored, sealed, flags)
  }
  override async listxattr(): Promise<string[]> {
    const names: string[] = []
    for (const stored of await this.child.listxattr()) {
      if (ACLS.has(stored)) names.push(stored)
      if (!stored.startsWith(XATTR)) continue
      const id = await this.#attributes()
      if (id) names.push(this.#openXattr(id, stored, await this.child.getxattr(stored)).name)
    }
    return names
  }
  override async removexattr(name: string): Promise<void> {
    if (ACLS.has(name)) return this.child.removexattr(name)
    checkXattr(name, 'removexattr')
    const id = await this.#attributes()
    if (!id) throw errno('ENODATA', 'removexattr', name)
    await this.child.removexattr(this.#xattr(id, name))
  }

  override close(): Awaitable<void> {
    const { child, layer } = this
    if (this.#dir) layer.directories.release(child)
    if (this.#sealed) layer.files.release(child)
    return this.#held.release()
  }
}

/** What xattr(7) has no room for. */
function checkXattr(name: string, op: string): void {
  if (!/^(user|trusted|security)\./.test(name)) throw errno('EOPNOTSUPP', op, name)
  if (/^(user|trusted|security)\.$/.test(name)) throw errno('EINVAL', op, name)
  if (nameLength(name) > 255) throw errno('ERANGE', op, name)
}
/** size undefined: it was not asked for, and what the child says is not ours. */
function sized(attr: Attr, size: number | undefined): Attr { return size === undefined ? { ...attr, valid: attr.valid & ~Attrs.SIZE } : { ...attr, size } }
/** How the child is opened: what is changed has to be read first, and the end is ours to find. */
function beneath(flags: number, writes: boolean): number {
  return (flags & ~(O.ACCMODE | O.TRUNC | O.APPEND | O.DIRECT)) | (writes || (flags & O.ACCMODE) !== O.RDONLY ? O.RDWR : O.RDONLY)
}
/** Opens a file of the child for what was already allowed above: where its mode keeps even its owner out, that is changed for the moment. */
async function reach(node: Node, flags: number, call?: Call): Promise<Handle> {
  try { return await node.open(flags, call) } catch (e) {
    if (!isErrno(e, 'EACCES')) throw e
    const { mode } = await node.getattr(Attrs.MODE)
    await node.setattr({ mode: mode & 0o7777 | 0o600 })
    try { return await node.open(flags, call) } finally { await node.setattr({ mode: mode & 0o7777 }) }
  }
}
async function find(dir: Node, stored: string): Promise<Node | undefined> {
  try { return await dir.walk(stored) } catch (e) {
    if (isErrno(e, 'ENOENT')) return undefined
    throw e
  }
}
class CryptHandle extends ForwardHandle<Vault> {
  readonly #of: Identity
  readonly #damage: Damage
  constructor(child: Handle, node: CryptNode, readonly file: SealedFile, readonly flags: number) {
    super(child, node.layer)
    this.#of = { volume: node.child.volume, qid: node.child.qid }
    this.#damage = node.layer.damage(node.path)
  }
  override read(into: Uint8Array, offset: number, call?: Call): Awaitable<Uint8Array> {
    if ((this.flags & O.ACCMODE) === O.WRONLY) throw errno('EBADF', 'read')
    return this.file.read(this.child, into, offset, this.#damage, call)
  }
  override write(bytes: Uint8Array, offset: number, call?: Call): Awaitable<number> {
    if ((this.flags & O.ACCMODE) === O.RDONLY) throw errno('EBADF', 'write')
    return this.file.write(this.child, bytes, this.flags & O.APPEND ? null : offset, this.#damage, call)
  }
  override getattr(mask: number): Awaitable<Attr> {
    return after(this.child.getattr(mask), (attr) => (mask & Attrs.SIZE) === 0 ? sized(attr, undefined)
      : after(this.file.load(this.child, this.#damage), () => sized(attr, this.file.size)))
  }
  override async setattr(attr: SetAttr): Promise<void> {
    const { size, ...others } = attr
    if (size !== undefined) {
      if ((this.flags & O.ACCMODE) === O.RDONLY) throw errno('EINVAL', 'setattr')
      await this.file.resize(this.child, size, this.#damage)
    }
    if (size === undefined || Object.keys(others).length > 0) await this.child.setattr(others)
  }
  override close(): Awaitable<void> {
    this.layer.files.release(this.#of)
    return this.child.close()
  }
}

interface Found { readonly path: bigint; readonly type: number; readonly cookie: bigint; readonly stored: string; readonly attr: Attr | undefined }

class CryptDirectory extends ForwardHandle<Vault> {
  constructor(child: Handle, vault: Vault, readonly path: string, readonly held: Held, readonly id: Buffer) { super(child, vault) }
  override async readdir(cookie: bigint, sink: DirSink, mask: number, call?: Call): Promise<boolean> {
    for (;;) {
      const found: Found[] = []
      let last = cookie
      const ended = await this.child.readdir(cookie, {
        add(path, type, cookie, name, attr) {
          if (found.length >= BATCH) return false
          last = cookie
          found.push({ path, type, cookie, stored: entryName(name), attr })
          return true
        },
      }, mask === 0 ? 0 : mask | Attrs.MODE, call)
      for (const entry of found) {
        const name = await this.#name(entry.stored)
        if (name === undefined) continue
        const attr = mask === 0 || !entry.attr ? undefined : await this.#attr(entry, entry.attr, name, mask)
        if (mask !== 0 && !attr) continue                 // it went
        if (!(attr ? sink.add(entry.path, entry.type, entry.cookie, name, attr) : sink.add(entry.path, entry.type, entry.cookie, name))) return false
      }
      if (ended) return true
      cookie = last
    }
  }
  async #name(stored: string): Promise<string | undefined> {
    const { ring } = this.layer
    if (isOurs(stored) || stored === 'lost+found') return undefined
    const name = stored.startsWith('long.') ? await this.#long(stored) : ring.name(this.id, stored)
    if (name === undefined) this.layer.tell(this.path, stored, 'a name that is not of this directory')
    return name
  }
  async #long(stored: string): Promise<string | undefined> {
    const text = await content(this.held.node, `name.${stored.slice('long.'.length)}`, 257)
    return text && this.layer.ring.name(this.id, stored, text)
  }
  /** With the size that it has above. undefined: it is not there any more. */
  async #attr({ type, stored }: Found, attr: Attr, name: string, mask: number): Promise<Attr | undefined> {
    if ((mask & Attrs.SIZE) === 0) return sized(attr, undefined)
    if (type !== Dt.REG && type !== Dt.LNK && !isFile(attr)) return attr
    const child = await find(this.held.node, stored)
    if (!child) return undefined
    const siv = Buffer.from(stored.replace('long.', ''), 'base64url').subarray(0, 16)
    await using node = new CryptNode(child, this.layer, this.path === '/' ? `/${name}` : `${this.path}/${name}`, siv)
    try { return { ...attr, size: (await node.getattr(Attrs.SIZE)).size } } catch (e) {
      if (!isErrno(e, 'EIO')) throw e
      return { ...attr, size: 0 }                         // damaged, which was told: the others are to be seen
    }
  }
  override async close(): Promise<void> {
    try { await this.child.close() } finally { await this.held.release() }
  }
}
