// A seeded run of operations at random, on a translator and on the model side by side. All is compared as it goes:
// results, errnos, attributes, contents, listings, extended attributes, identities. A step takes its numbers from the
// seed and its own index, and picks among what there is at that moment: so any part of a run is a run, and one that
// fails is made shorter until nothing can be left out.

import * as assert from 'uvu/assert'
import { AT_REMOVEDIR, Attrs, isErrno, O, QT, S, XATTR_CREATE, XATTR_REPLACE } from 'ninep'
import type { Attr, SetAttr } from 'ninep'
import type { Handle, Node } from '../../translators/translator.ts'
import { Model } from './model.ts'
import type { Kind, ModelFile, Refusals } from './model.ts'
import { atLeast } from './promises.ts'
import type { Group, World } from './promises.ts'
import { entries, nanoseconds, outcome, readAll, same, writeAll } from './tools.ts'

const seed = Number(process.env.NINEFOLD_SEED ?? 1)

export const random: readonly Group[] = [
  {
    promises: {
      '20 000 operations at random do what a simple model does': async (world) => {
        await world.root.close()
        const steps = Array.from({ length: world.quick ? 2000 : 20_000 }, (_, i) => i)
        const failure = await attempt(world, seed, steps)
        if (failure) throw await shrunk(world, seed, failure)
      },
      'four such runs beside each other do not disturb one another': async (world) => {
        const runs = await Promise.all([1, 2, 3, 4].map(async (n) => new Run(await world.root.mkdir(`run-${n}`, 0o755, { uid: 1000, gid: 1000 }), world, seed + n)))
        await Promise.all(runs.map(async (run) => {
          const failure = await run.all(Array.from({ length: world.quick ? 500 : 2500 }, (_, i) => i))
          if (failure) throw report(`${failure.message}\nNINEFOLD_SEED=${seed}, the last operations:\n${run.report()}`)
        }))
      },
    },
  },
]

function story(e: unknown): string {
  if (e instanceof assert.Assertion) return `${e.message}${e.details ?? ''}`
  return isErrno(e) ? e.message : e instanceof Error && e.stack ? e.stack : String(e)
}
/** An error whose story is in the message, and not in where it was thrown. */
function report(message: string): Error { return Object.assign(new Error(message), { stack: '' }) }

interface Failure { readonly message: string; readonly steps: readonly number[]; readonly report: string }

async function attempt(world: World, seed: number, steps: readonly number[]): Promise<Failure | undefined> {
  await using translator = await world.another()
  const run = new Run(await translator.attach(''), world, seed), failure = await run.all(steps)
  await run.end()
  return failure && { message: failure.message, steps: steps.slice(0, failure.at + 1), report: run.report() }
}

/** Leaves out ever smaller parts for as long as it still fails, for some seconds. */
async function shrunk(world: World, seed: number, failure: Failure): Promise<Error> {
  const end = Date.now() + 15_000, all = failure.steps.length
  for (let part = Math.ceil(failure.steps.length / 2); part >= 1; part = part === 1 ? 0 : Math.ceil(part / 2)) {
    for (let at = failure.steps.length - 1 - part; at >= 0 && Date.now() < end; at -= part) {
      const shorter = await attempt(world, seed, failure.steps.filter((_, i) => i < at || i >= at + part))
      if (shorter) failure = shorter
      at = Math.min(at, failure.steps.length - 1)
    }
  }
  return report(`${failure.message}\nNINEFOLD_SEED=${seed}, operation ${all}, made shorter to ${failure.steps.length}:\n${failure.report}`)
}

interface Held { readonly node: Node; readonly file: ModelFile; opened: number }
interface Opened { readonly handle: Handle; readonly file: ModelFile; readonly flags: number; readonly from: Held }
/** A directory that is being listed. begun: what was there at the start; touched: names that have changed since. */
interface Listing { readonly handle: Handle; readonly dir: ModelFile; readonly from: Held; cookie: bigint; begun: Map<string, ModelFile>; touched: Set<string>; seen: Set<string> }

const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'Name', 'name', 'ü', 'two words', 'x'.repeat(60)]
const xattrNames = ['user.a', 'user.b', 'user.ccc']
const types: Record<Kind, number> = { file: S.IFREG, directory: S.IFDIR, symlink: S.IFLNK, fifo: S.IFIFO }

class Run {
  readonly #model: Model
  readonly #world: World
  readonly #seed: number
  readonly #held: Held[] = []
  readonly #open: Opened[] = []
  readonly #listings: Listing[] = []
  readonly #paths = new Map<ModelFile, bigint>()
  readonly #versions = new Map<ModelFile, { changes: number; version: number }>()
  readonly #log: string[] = []
  readonly #root: Held
  #state = 0

  constructor(root: Node, world: World, seed: number) {
    this.#world = world
    this.#seed = seed
    this.#model = new Model(0o755, 1000, 1000, (dir, name) => {
      for (const listing of this.#listings) if (listing.dir === dir) listing.touched.add(name)
    })
    this.#root = { node: root, file: this.#model.root, opened: 0 }
    this.#paths.set(this.#model.root, root.qid.path)
  }

  async all(steps: readonly number[]): Promise<{ message: string; at: number } | undefined> {
    let at = 0
    try {
      const { mode, uid, gid } = await this.#root.node.getattr(Attrs.BASIC)
      Object.assign(this.#model.root, { mode: mode & 0o7777, uid, gid })
      for (; at < steps.length; at++) {
        await this.#step(steps[at]!)
        if (at % 2000 === 1999) await this.#compareTree(this.#root)
      }
      this.#say('at the end')
      await this.#compareTree(this.#root)
    } catch (e) { return { message: story(e), at: Math.min(at, steps.length - 1) } }
    return undefined
  }
  async end(): Promise<void> {
    for (const { handle } of [...this.#open, ...this.#listings]) await handle.close()
    for (const { node } of [this.#root, ...this.#held]) await node.close()
  }
  report(): string { return this.#log.slice(-40).map((line) => `  ${line}`).join('\n') }

  // Numbers and choices.

  /** 0 up to n, without n. Mulberry32, seeded anew at each step. */
  #below(n: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % n
  }
  #pick<T>(list: readonly T[]): T | undefined { return list.length > 0 ? list[this.#below(list.length)] : undefined }
  #bytes(n: number): Uint8Array {
    const bytes = new Uint8Array(n), start = this.#below(251)
    for (let i = 0; i < n; i++) bytes[i] = (start + i * 7 + (i >> 8)) & 0xff
    return bytes
  }
  #any(): Held { return this.#pick([this.#root, ...this.#held])! }
  /** Mostly a directory, for what needs one. */
  #dir(): Held {
    const dirs = [this.#root, ...this.#held.filter((h) => h.file.kind === 'directory')]
    return this.#below(40) === 0 ? this.#any() : this.#pick(dirs)!
  }
  /** Mostly a name that is there, or any. */
  #name(dir: ModelFile): string { return this.#below(3) ? this.#pick([...dir.names.keys()]) ?? names[0]! : this.#pick(names)! }
  #say(what: string): void {
    this.#log.push(what)
    if (this.#log.length > 60) this.#log.shift()
  }
  #call(held: { file: ModelFile }): string { return `${held.file.kind} ${held.file.number}` }

  /** What the model says must come of it. */
  async #expect<T>(allowed: Refusals, f: () => T | Promise<T>): Promise<T | undefined> {
    let value: T | undefined
    const refused = await outcome(async () => { value = await f() })
    const right = refused ? allowed.includes(refused.code) : allowed.length === 0
    if (!right) assert.unreachable(`expected ${allowed.join(' or ') || 'success'}, got ${refused?.message ?? 'success'}`)
    return value
  }
  #keep(node: Node, file: ModelFile): Held {
    const path = this.#paths.get(file)
    if (path === undefined) {
      for (const [theirs, taken] of this.#paths) {
        if (taken !== node.qid.path) continue
        const gone = theirs.nlink === 0 && ![...this.#open, ...this.#listings].some((o) => o.from.file === theirs)
        if (gone) this.#paths.delete(theirs)
        else assert.unreachable(`${node.qid.path} is the path of ${theirs.number} and ${file.number}`)
      }
      this.#paths.set(file, node.qid.path)
    } else assert.is(node.qid.path, path, 'qid.path')
    assert.is(node.qid.type, file.kind === 'directory' ? QT.DIR : file.kind === 'symlink' ? QT.SYMLINK : QT.FILE, 'qid.type')
    const held = { node, file, opened: 0 }
    this.#held.push(held)
    return held
  }
  /** A node of a file without a name is worth something only while it is open. */
  async #prune(): Promise<void> {
    for (const held of [...this.#held]) if (held.file.nlink === 0 && held.opened === 0) await this.#drop(held)
    while (this.#held.length > 60) await this.#drop(this.#held.find((h) => h.opened === 0) ?? this.#held[0]!)
  }
  async #drop(held: Held): Promise<void> {
    this.#held.splice(this.#held.indexOf(held), 1)
    await held.node.close()
  }

  // The operations.

  async #step(index: number): Promise<void> {
    this.#state = Math.imul(this.#seed + 1, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b)
    let at = this.#below(total)
    for (const [weight, operation] of operations) {
      if ((at -= weight) >= 0) continue
      await operation.call(this)
      return this.#prune()
    }
  }

  async make(): Promise<void> {
    const { lacks } = this.#world
    const dir = this.#dir(), name = this.#pick(names)!, mode = this.#pick([0o644, 0o600, 0o777, 0o711, 0o1755])! | atLeast(this.#world)
    let kind = this.#pick<Kind>(['file', 'file', 'file', 'directory', 'directory', 'symlink', 'fifo'])!
    if (kind === 'symlink' && lacks('symlink') || kind === 'fifo' && lacks('fifo')) kind = 'file'
    const owner = lacks('owner') ? { uid: this.#model.root.uid, gid: this.#model.root.gid } : { uid: this.#below(3), gid: this.#below(3) }
    this.#say(`make ${kind} ${JSON.stringify(name)} in ${this.#call(dir)}`)
    // no set-id bits: what a write or chown leaves of them is the host's or the server's to say
    const target = 't'.repeat(1 + this.#below(30)), special = this.#below(4) === 0
    const allowed = this.#model.make(dir.file, name, kind, kind === 'symlink' ? 0o777 : mode, owner, kind === 'symlink' ? target : '')
    const file = () => dir.file.names.get(name)!
    if (kind === 'file' && !special) {
      const flags = this.#pick([O.RDWR, O.WRONLY, O.RDWR | O.APPEND])!
      const made = await this.#expect(allowed, () => dir.node.create(name, flags, mode, owner))
      if (!made) return
      const held = this.#keep(made.node, file())
      return this.#open.length < 40 ? this.#opened(held, made.handle, flags) : void await made.handle.close()
    }
    const node = await this.#expect(allowed, () => kind === 'directory' ? dir.node.mkdir(name, mode, owner) : kind === 'symlink' ? dir.node.symlink(name, target, owner)
      : dir.node.mknod(name, types[kind] | mode, 0n, owner))
    if (node) this.#keep(node, file())
  }
  #opened(from: Held, handle: Handle, flags: number): void {
    from.opened++
    this.#open.push({ handle, file: from.file, flags, from })
  }
  async link(): Promise<void> {
    if (this.#world.lacks('hardlink')) return
    const target = this.#any(), dir = this.#dir(), name = this.#pick(names)!
    this.#say(`link ${this.#call(target)} as ${JSON.stringify(name)} in ${this.#call(dir)}`)
    await this.#expect(this.#model.link(target.file, dir.file, name), () => dir.node.link(target.node, name))
  }
  async rename(): Promise<void> {
    const from = this.#dir(), to = this.#below(3) ? this.#dir() : from, name = this.#name(from.file), newName = this.#below(2) ? this.#pick(names)! : this.#name(to.file)
    const file = from.file.names.get(name), expect = file && this.#below(4) === 0 ? this.#paths.get(file) : undefined
    this.#say(`rename ${JSON.stringify(name)} in ${this.#call(from)} to ${JSON.stringify(newName)} in ${this.#call(to)}`)
    await this.#expect(this.#model.rename(from.file, name, to.file, newName), () => from.node.renameat(name, to.node, newName, expect))
  }
  async unlink(): Promise<void> {
    const dir = this.#dir(), name = this.#name(dir.file), file = dir.file.names.get(name)
    const asDirectory = (file?.kind === 'directory') !== (this.#below(10) === 0), expect = file && this.#below(4) === 0 ? this.#paths.get(file) : undefined
    this.#say(`unlink ${JSON.stringify(name)} in ${this.#call(dir)}${asDirectory ? ' as a directory' : ''}`)
    await this.#expect(this.#model.unlink(dir.file, name, asDirectory), () => dir.node.unlinkat(name, asDirectory ? AT_REMOVEDIR : 0, expect))
  }
  async walk(): Promise<void> {
    const dir = this.#dir(), name = this.#name(dir.file)
    this.#say(`walk ${JSON.stringify(name)} in ${this.#call(dir)}`)
    const node = await this.#expect(this.#model.walk(dir.file, name), () => dir.node.walk(name))
    if (node) this.#keep(node, dir.file.names.get(name)!)
  }
  async parent(): Promise<void> {
    const dir = this.#pick(this.#held.filter((h) => h.file.kind === 'directory' && h.file.nlink > 0))
    if (!dir?.file.parent) return
    this.#say(`parent of ${this.#call(dir)}`)
    this.#keep(await dir.node.parent(), dir.file.parent)
  }
  async forget(): Promise<void> {
    const held = this.#pick(this.#held)
    if (!held || held.opened > 0 && held.file.nlink === 0) return
    this.#say(`close the node of ${this.#call(held)}`)
    await this.#drop(held)
  }

  async open(): Promise<void> {
    const held = this.#any(), { kind } = held.file
    if (kind === 'fifo' || this.#open.length >= 40 || held.file.nlink === 0) return
    const flags = this.#pick([O.RDONLY, O.RDONLY, O.WRONLY, O.RDWR, O.RDWR | O.APPEND, O.WRONLY | O.APPEND, O.RDWR | O.TRUNC])!
    this.#say(`open ${this.#call(held)} with flags ${flags}`)
    const allowed: Refusals = kind === 'symlink' ? ['ELOOP'] : kind === 'directory' && flags !== O.RDONLY ? ['EISDIR'] : []
    const handle = await this.#expect(allowed, () => held.node.open(flags))
    if (!handle) return
    if (kind === 'file' && flags & O.TRUNC) this.#model.truncate(held.file, 0)
    if (kind === 'directory') {
      held.opened++                                       // listings end by themselves
      this.#listings.push({ handle, dir: held.file, from: held, cookie: 0n, begun: new Map(held.file.names), touched: new Set(), seen: new Set() })
    } else this.#opened(held, handle, flags)
  }
  async close(): Promise<void> {
    const opened = this.#pick(this.#open)
    if (!opened) return
    this.#say(`close a handle of ${this.#call(opened)}`)
    this.#open.splice(this.#open.indexOf(opened), 1)
    opened.from.opened--
    await opened.handle.close()
  }
  async write(): Promise<void> {
    const opened = this.#pick(this.#open)
    if (!opened) return
    const { file, flags } = opened, bytes = this.#bytes(this.#below(8) ? this.#below(3000) : this.#below(40_000))
    const offset = this.#below(6) ? this.#below(file.content.length + 5000) : this.#below(300_000), writable = (flags & O.ACCMODE) !== O.RDONLY
    this.#say(`write ${bytes.length} bytes at ${flags & O.APPEND ? 'the end' : offset} of ${this.#call(opened)}${writable ? '' : ', opened to read'}`)
    await this.#expect(writable ? [] : ['EBADF'], async () => bytes.length > 0 ? writeAll(opened.handle, bytes, offset) : void await opened.handle.write(bytes, offset))
    if (writable) this.#model.write(file, bytes, flags & O.APPEND ? file.content.length : offset)
  }
  async read(): Promise<void> {
    const opened = this.#pick(this.#open)
    if (!opened) return
    const { file, flags } = opened, offset = this.#below(file.content.length + 100), length = 1 + this.#below(20_000), readable = (flags & O.ACCMODE) !== O.WRONLY
    this.#say(`read ${length} bytes at ${offset} of ${this.#call(opened)}`)
    const got = await this.#expect(readable ? [] : ['EBADF'], () => readAll(opened.handle, offset, length))
    if (got) same(got, file.content.subarray(offset, offset + length), 'read')
  }
  async truncate(): Promise<void> {
    const opened = this.#below(2) ? this.#pick(this.#open) : undefined, held = opened ?? this.#any(), { file } = held
    if (file.kind !== 'file' && file.kind !== 'directory') return
    const size = this.#below(3) ? this.#below(file.content.length + 1) : this.#below(100_000)
    this.#say(`truncate ${this.#call(held)} to ${size} by ${opened ? 'a handle' : 'a node'}`)
    const allowed: Refusals = file.kind === 'directory' ? ['EISDIR'] : opened && (opened.flags & O.ACCMODE) === O.RDONLY ? ['EBADF', 'EINVAL'] : []
    const setattr = 'handle' in held ? held.handle : held.node
    await this.#expect(allowed, () => setattr.setattr({ size }))
    if (allowed.length === 0) this.#model.truncate(file, size)
  }
  async setattr(): Promise<void> {
    const opened = this.#below(3) ? undefined : this.#pick(this.#open), held = opened ?? this.#any(), { file } = held
    const { uid, gid, mode } = { uid: this.#below(5), gid: this.#below(5), mode: this.#below(0o1000) | atLeast(this.#world) }, time = { sec: this.#below(2 ** 31) - 2 ** 30, nsec: this.#world.lacks('nsec') ? 0 : this.#below(1e9) }
    const attr: SetAttr = this.#pick<SetAttr>([file.kind === 'symlink' ? {} : { mode }, this.#world.lacks('owner') ? {} : { uid, gid }, this.#world.lacks('owner') ? {} : { gid }, { mtime: time }, { atime: time }, { atime: time, mtime: time }])!
    this.#say(`setattr ${Object.keys(attr).join(', ')} of ${this.#call(held)} by ${opened ? 'a handle' : 'a node'}`)
    await ('handle' in held ? held.handle : held.node).setattr(attr)
    if (attr.mtime) file.mtime = nanoseconds(time)
    const { mode: m = file.mode, uid: u = file.uid, gid: g = file.gid } = attr
    Object.assign(file, { mode: m, uid: u, gid: g })
  }
  async xattr(): Promise<void> {
    const held = this.#any(), { file, node } = held, name = this.#pick(xattrNames)!
    if (this.#world.lacks('xattr') || (file.kind !== 'file' && file.kind !== 'directory')) return
    const there = file.xattrs.get(name)
    switch (this.#below(5)) {
      case 0: {
        this.#say(`getxattr ${name} of ${this.#call(held)}`)
        const got = await this.#expect(there ? [] : ['ENODATA'], () => node.getxattr(name))
        if (there) same(got!, there, name)
        return
      }
      case 1: {
        this.#say(`removexattr ${name} of ${this.#call(held)}`)
        await this.#expect(there ? [] : ['ENODATA'], () => node.removexattr(name))
        file.xattrs.delete(name)
        return
      }
      case 2:
        this.#say(`listxattr of ${this.#call(held)}`)
        assert.equal((await node.listxattr()).filter((n) => n.startsWith('user.')).sort(), [...file.xattrs.keys()].sort())
        return
      default: {
        const value = this.#bytes(this.#below(300)), flags = this.#pick([0, XATTR_CREATE, XATTR_REPLACE])!
        this.#say(`setxattr ${name} of ${this.#call(held)} with flags ${flags}`)
        const allowed: Refusals = flags === XATTR_CREATE && there ? ['EEXIST'] : flags === XATTR_REPLACE && !there ? ['ENODATA'] : []
        await this.#expect(allowed, () => node.setxattr(name, value, flags))
        if (allowed.length === 0) file.xattrs.set(name, value)
      }
    }
  }
  async getattr(): Promise<void> {
    const opened = this.#below(2) ? this.#pick(this.#open) : undefined, held = opened ?? this.#any()
    this.#say(`getattr of ${this.#call(held)} by ${opened ? 'a handle' : 'a node'}`)
    this.#compare(held.file, await ('handle' in held ? held.handle : held.node).getattr(Attrs.BASIC))
  }
  async readlink(): Promise<void> {
    const held = this.#any()
    this.#say(`readlink of ${this.#call(held)}`)
    const target = await this.#expect(held.file.kind === 'symlink' ? [] : ['EINVAL'], () => held.node.readlink())
    if (target !== undefined) assert.is(target, held.file.target)
  }
  async fsync(): Promise<void> {
    const opened = this.#pick<Opened | Listing>([...this.#open, ...this.#listings])
    if (opened) await opened.handle.fsync(this.#below(2) === 0)
  }

  /** Goes on with a listing by some entries; at its end, all that stood still must have been seen, once. */
  async list(): Promise<void> {
    const listing = this.#pick(this.#listings)
    if (!listing) return
    const { dir, handle } = listing, max = 1 + this.#below(4), mask = this.#below(2) ? Attrs.BASIC : 0
    this.#say(`list ${max} entries of ${this.#call({ file: dir })} after ${listing.cookie}`)
    let part
    try { part = await entries(handle, { after: listing.cookie, max, mask }) } catch (e) {
      if (!isErrno(e, 'ENOENT') || dir.nlink > 0) throw e
      part = { list: [], end: true }
    }
    for (const { name, path, cookie, attr } of part.list) {
      listing.cookie = cookie
      if (listing.touched.has(name)) continue
      const file = listing.begun.get(name)
      if (!file) assert.unreachable(`${JSON.stringify(name)} was listed, and never was there`)
      assert.not(listing.seen.has(name), `${JSON.stringify(name)} was listed twice`)
      listing.seen.add(name)
      if (this.#paths.has(file!)) assert.is(path, this.#paths.get(file!), `path of ${JSON.stringify(name)}`)
      if (attr) this.#compare(file!, attr)
    }
    if (!part.end) return
    for (const name of listing.begun.keys()) assert.ok(listing.touched.has(name) || listing.seen.has(name), `${JSON.stringify(name)} was not listed`)
    if (this.#below(2)) Object.assign(listing, { cookie: 0n, begun: new Map(dir.names), touched: new Set(), seen: new Set() })
    else {
      this.#listings.splice(this.#listings.indexOf(listing), 1)
      listing.from.opened--
      await handle.close()
    }
  }

  #compare(file: ModelFile, attr: Attr): void {
    const { lacks } = this.#world, size = file.kind === 'symlink' ? file.target.length : file.content.length
    const got: Record<string, unknown> = { mode: attr.mode.toString(8) }, expected: Record<string, unknown> = { mode: (types[file.kind] | file.mode).toString(8) }
    const both = (key: string, a: unknown, e: unknown) => { got[key] = a; expected[key] = e }
    if (file.kind !== 'directory' || !lacks('dir-nlink')) both('nlink', attr.nlink, file.nlink)
    if (!lacks('owner')) { both('uid', attr.uid, file.uid); both('gid', attr.gid, file.gid) }
    if (file.kind !== 'directory') both('size', attr.size, size)
    if (file.mtime !== undefined) both('mtime', nanoseconds(attr.mtime), file.mtime)
    if (this.#paths.has(file)) both('path', attr.qid.path, this.#paths.get(file))
    assert.equal(got, expected)
    if (file.kind !== 'file') return
    const last = this.#versions.get(file), { version } = attr.qid
    if (last && last.changes !== file.changes) assert.is.not(version, last.version, 'qid.version stood still while the content changed')
    this.#versions.set(file, { changes: file.changes, version })
  }
  /** All that can be found from a directory down. */
  async #compareTree({ node, file }: { node: Node; file: ModelFile }): Promise<void> {
    this.#compare(file, await node.getattr(Attrs.BASIC))
    if (file.kind === 'symlink') assert.is(await node.readlink(), file.target)
    if (file.kind === 'file' || file.kind === 'directory') {
      const xattrs = this.#world.lacks('xattr') ? [] : (await node.listxattr()).filter((n) => n.startsWith('user.')).sort()
      assert.equal(xattrs, [...file.xattrs.keys()].sort())
      for (const name of xattrs) same(await node.getxattr(name), file.xattrs.get(name)!, name)
    }
    if (file.kind === 'file') {
      await using handle = await node.open(O.RDONLY)
      same(await readAll(handle), file.content, `content of ${this.#call({ file })}`)
    }
    if (file.kind !== 'directory') return
    {
      await using handle = await node.open(O.RDONLY)
      assert.equal((await entries(handle)).list.map((e) => e.name).sort(), [...file.names.keys()].sort())
    }
    for (const [name, child] of file.names) {
      await using next = await node.walk(name)
      await this.#compareTree({ node: next, file: child })
    }
  }
}

const { prototype: run } = Run
const operations: readonly (readonly [number, (this: Run) => Promise<void>])[] = [
  [16, run.make], [5, run.link], [10, run.rename], [10, run.unlink], [8, run.walk], [2, run.parent], [4, run.forget], [10, run.open], [6, run.close],
  [12, run.write], [10, run.read], [6, run.truncate], [8, run.setattr], [8, run.xattr], [8, run.getattr], [2, run.readlink], [1, run.fsync], [14, run.list],
]
const total = operations.reduce((sum, [weight]) => sum + weight, 0)
