// Steps at random that can be done as the model stands, and how each is done to a translator.

import * as assert from 'uvu/assert'
import { AT_REMOVEDIR, Attrs, O, S } from 'ninep'
import type { Attr } from 'ninep'
import type { Handle, Node } from '../../translators/translator.ts'
import { entries, find, owner, readAll, writeAll } from '../conform/tools.ts'
import { bytesOf, digest, line, regions, WHOLE } from './model.ts'
import type { File, Kind, Model, Step } from './model.ts'

const names = ['a', 'ab', 'abc', 'abcd\x01\x01', 'b', 'c', 'd', 'ü', 'two words', 'bytes\udcff', 'x'.repeat(255)]
const xattrNames = ['user.a', 'user.ab', 'user.c']
const CHUNK = 4 * 2 ** 20

/** far: writes at chunks far out, too; weights: of steps that are not for every subject, 0 for those it can't. */
export interface Ways { readonly far: boolean; readonly files: number; readonly weights: Readonly<Partial<Record<Step['do'], number>>> }
const weights: Readonly<Record<Step['do'], number>> = {
  make: 16, link: 4, rename: 12, unlink: 10, write: 26, cut: 8, set: 5, xattr: 6, open: 5, close: 4, fsync: 2, sync: 0.5, pack: 0, gc: 0, snapshot: 0, delete: 0, rollback: 0, restart: 0,
}

export function randomStep(model: Model, below: (n: number) => number, ways: Ways): Step {
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]!
  const paths: string[] = [], visit = (file: File, path: string) => { for (const [name, child] of file.names) { const p = path === '' ? name : `${path}/${name}`; paths.push(p); visit(child, p) } }
  visit(model.root, '')
  const of = (...kinds: Kind[]) => paths.filter((path) => kinds.includes(model.find(path)!.kind))
  const directories = ['', ...of('directory')], files = of('file'), under = (dir: string, name: string) => dir === '' ? name : `${dir}/${name}`
  const fresh = () => { const path = under(pick(directories), pick(names)); return model.find(path) || path.split('/').length > 5 ? undefined : path }
  const all = Object.entries({ ...weights, ...ways.weights }), total = all.reduce((sum, [, w]) => sum + w, 0)
  for (;;) {
    let at = below(total * 1000) / 1000
    const what = all.find(([, w]) => (at -= w) < 0)![0] as Step['do']
    switch (what) {
      case 'make': {
        const path = fresh()
        if (path === undefined || paths.length >= ways.files) break
        const kind = pick<Kind>(['file', 'file', 'file', 'file', 'directory', 'directory', 'symlink', 'fifo'])
        return { do: what, kind, path, mode: pick([0o644, 0o600, 0o755, 0o711]), target: kind === 'symlink' ? 't'.repeat(1 + below(pick([20, 4000]))) : '' }
      }
      case 'link': {
        const path = pick(of('file', 'file', 'symlink', 'fifo')), to = fresh()
        if (path === undefined || to === undefined) break
        return { do: what, path, to }
      }
      case 'rename': {
        const path = pick(paths), to = below(2) ? fresh() : pick(paths)
        if (path === undefined || to === undefined || to === path || to.startsWith(`${path}/`) || path.startsWith(`${to}/`)) break
        const file = model.find(path)!, victim = model.find(to)
        if (victim && (file.kind === 'directory') !== (victim.kind === 'directory') || victim && victim.names.size > 0) break
        return { do: what, path, to }
      }
      case 'unlink': {
        const path = pick(paths)
        if (path === undefined || model.find(path)!.names.size > 0) break
        return { do: what, path, slot: -1 }
      }
      case 'write': {
        const slot = below(3) === 0 && model.slots.size > 0 ? pick([...model.slots.keys()]) : -1, path = slot < 0 ? pick(files) : ''
        if (path === undefined) break
        const { size } = slot < 0 ? model.find(path)! : model.slots.get(slot)!, length = 1 + below(pick([10, 300, 3000, 3000, 5000, ...below(6) ? [] : [40_000, 200_000]]))
        let offset = below(3) ? below(Math.min(size, WHOLE) + 3000) : size
        if (size > WHOLE || ways.far && below(25) === 0) offset = CHUNK * (1 + below(ways.far ? 70 : 4)) - below(8000)
        if (offset > WHOLE && (length > 5000 || offset % CHUNK > 8000 && offset % CHUNK < CHUNK - 8000)) break
        return { do: what, path, slot, offset, length, seed: below(1e6) }
      }
      case 'cut': {
        const path = pick(files)
        if (path === undefined) break
        const { size } = model.find(path)!
        return { do: what, path, size: below(4) ? below(Math.min(size, WHOLE) + 1) : below(5) ? 0 : below(ways.far ? 300 * 2 ** 20 : 50_000) }
      }
      case 'set': {
        const path = below(8) ? pick(paths) : ''
        if (path === undefined) break
        return { do: what, path, mode: pick([0o644, 0o700, 0o777]), uid: below(4), gid: below(4), mtime: below(2) ? { sec: below(2e9) - 1e9, nsec: below(1e9) } : null }
      }
      case 'xattr': {
        const path = below(8) ? pick(of('file', 'directory')) : '', name = pick(xattrNames)
        if (path === undefined) break
        const remove = below(3) === 0
        if (remove && !model.find(path)!.xattrs.has(name)) break
        return { do: what, path, name, length: remove ? -1 : below(pick([10, 600, 3000])), seed: below(1e6) }
      }
      case 'open': {
        const path = pick(files), slot = below(4)
        if (path === undefined || model.slots.has(slot)) break
        return { do: what, path, slot }
      }
      case 'close': {
        if (model.slots.size === 0) break
        return { do: what, slot: pick([...model.slots.keys()]) }
      }
      case 'fsync': {
        const path = below(3) ? pick(files) : pick(directories)
        if (path === undefined) break
        return { do: what, path, slot: -1 }
      }
      case 'snapshot': {
        if (model.snapshots.size >= 6) break
        return { do: what, name: `s${below(1e6)}` }
      }
      case 'delete': case 'rollback': {
        if (model.snapshots.size === 0) break
        return { do: what, name: pick([...model.snapshots.keys()]) }
      }
      default: return { do: what }
    }
  }
}

/** What is done to the whole of a tree; a step that it has no function for is not to be asked for. */
export interface Verbs {
  sync(): Promise<void>
  snapshot?(name: string): Promise<void>
  delete?(name: string): Promise<void>
  rollback?(name: string): Promise<void>
  pack?(): Promise<void>
  gc?(): Promise<void>
  restart?(): Promise<void>
}

/** Does steps through nodes, and keeps the handles that are to stay open. */
export class Doer {
  readonly #slots = new Map<number, Handle>()
  constructor(readonly root: () => Promise<Node>, readonly verbs: Verbs) {}

  async apply(step: Step): Promise<void> {
    switch (step.do) {
      case 'make': return this.#in(step.path, async (dir, name) => {
        if (step.kind === 'file') {
          const { node, handle } = await dir.create(name, O.RDWR, step.mode, root)
          await handle.close()
          return node.close()
        }
        const node = await (step.kind === 'directory' ? dir.mkdir(name, step.mode, root) : step.kind === 'symlink' ? dir.symlink(name, step.target, root) : dir.mknod(name, S.IFIFO | step.mode, 0n, root))
        await node.close()
      })
      case 'link': return this.#on(step.path, (file) => this.#in(step.to, (dir, name) => dir.link(file, name)))
      case 'rename': return this.#in(step.path, (from, name) => this.#in(step.to, (to, newName) => from.renameat(name, to, newName)))
      case 'unlink': return this.#in(step.path, async (dir, name) => {
        const node = await dir.walk(name), { mode } = await node.getattr(Attrs.MODE)
        await node.close()
        await dir.unlinkat(name, (mode & S.IFMT) === S.IFDIR ? AT_REMOVEDIR : 0)
      })
      case 'write': {
        const bytes = bytesOf(step.seed, step.length)
        if (step.slot >= 0) return writeAll(this.#slots.get(step.slot)!, bytes, step.offset)
        return this.#on(step.path, async (node) => { await using handle = await node.open(O.RDWR); await writeAll(handle, bytes, step.offset) })
      }
      case 'cut': return this.#on(step.path, (node) => node.setattr({ size: step.size }))
      case 'set': return this.#on(step.path, async (node) => {
        const link = (await node.getattr(Attrs.MODE)).mode >> 12 === S.IFLNK >> 12
        await node.setattr({ ...link ? {} : { mode: step.mode }, uid: step.uid, gid: step.gid, ...step.mtime ? { mtime: step.mtime } : {} })
      })
      case 'xattr': return this.#on(step.path, (node) => step.length < 0 ? node.removexattr(step.name) : node.setxattr(step.name, bytesOf(step.seed, step.length), 0))
      case 'open': return this.#on(step.path, async (node) => { this.#slots.set(step.slot, await node.open(O.RDWR)) })
      case 'close': {
        await this.#slots.get(step.slot)!.close()
        return void this.#slots.delete(step.slot)
      }
      case 'fsync': return this.#on(step.path, async (node) => { await using handle = await node.open(O.RDONLY); await handle.fsync(false) })
      case 'rollback': case 'restart': await this.end()
    }
    await this.verbs[step.do]!('name' in step ? step.name : '')
  }
  /** Closes what steps left open. */
  async end(): Promise<void> {
    for (const handle of this.#slots.values()) await handle.close()
    this.#slots.clear()
  }
  async #on(path: string, f: (node: Node) => unknown): Promise<void> {
    await using at = await this.root()
    const node = await find(at, path)
    try { await f(node) } finally { if (node !== at) await node.close() }
  }
  #in(path: string, f: (dir: Node, name: string) => unknown): Promise<void> {
    const cut = path.lastIndexOf('/')
    return this.#on(path.slice(0, Math.max(0, cut)), (dir) => f(dir, path.slice(cut + 1)))
  }
}
const root = { ...owner, uid: 0, gid: 0 }

const kinds = new Map<number, Kind>([[S.IFREG, 'file'], [S.IFDIR, 'directory'], [S.IFLNK, 'symlink'], [S.IFIFO, 'fifo']])
/**
 * All that is found from a directory down, in the lines of the model. expected: the model's own, of which each says whether the time of its
 * file is to be compared. seen: told of each file. A listing and walks must agree, and its cookies go up.
 */
export async function describeNode(at: Node, expected: readonly string[] = [], seen: (path: string, attr: Attr) => void = () => {}): Promise<string[]> {
  const lines: string[] = [], first = new Map<bigint, string>(), timed = new Set(expected.filter((l) => / -?\d+\.\d+/.test(l)).map((l) => l.slice(0, l.indexOf('" ') + 1)))
  async function visit(node: Node, path: string): Promise<void> {
    const attr = await node.getattr(Attrs.ALL), kind = kinds.get(attr.mode & S.IFMT)!
    seen(path, attr)
    const xattrs = kind === 'file' || kind === 'directory' ? (await node.listxattr()).sort() : [], values: string[] = []
    for (const name of xattrs) { const value = await node.getxattr(name); values.push(`${name}=${digest(value.length, [value])}`) }
    const content = kind === 'file' ? await contentOf(node, attr.size) : kind === 'symlink' ? await node.readlink() : ''
    const name = first.get(attr.qid.path)
    lines.push(line(path, { ...attr, kind, mode: attr.mode & 0o7777, content, mtime: timed.has(JSON.stringify(path)) ? attr.mtime : null, xattrs: values, first: name ?? '' }))
    if (name === undefined) first.set(attr.qid.path, path)
    if (kind !== 'directory') return
    await using handle = await node.open(O.RDONLY)
    const { list } = await entries(handle)
    list.forEach(({ cookie }, i) => assert.ok(i === 0 || cookie > list[i - 1]!.cookie, `${path}: cookies go up`))
    for (const entry of list.sort((a, b) => a.name < b.name ? -1 : 1)) {
      await using child = await node.walk(entry.name)
      assert.is(child.qid.path, entry.path, `${path}/${entry.name}: its number in the listing`)
      await visit(child, path === '' ? entry.name : `${path}/${entry.name}`)
    }
  }
  await visit(at, '')
  return lines
}
async function contentOf(node: Node, size: number): Promise<string> {
  await using handle = await node.open(O.RDONLY)
  const parts: Uint8Array[] = []
  for (const [from, to] of regions(size)) parts.push(await readAll(handle, from, to - from))
  return digest(size, parts)
}
