// What is where. A Place is a file or directory of the union, as long as a node or handle stands for it: which children hold
// it, and where in the union it is. Nodes of one file share one Place, so that all of them see it move up.

import { createHash } from 'node:crypto'
import { Attrs, NAME_MAX, QT, bytesOfName, errno, isErrno, nameLength } from 'ninep'
import type { Attr, Qid } from 'ninep'
import { Turn } from '../turn.ts'
import type { Awaitable, Node, Translator, Volume } from '../translator.ts'
import type { Listing } from './listing.ts'

/** A file named PREFIX + NAME in a directory hides NAME of the children behind it, and OPAQUE all that they have there: as AUFS and
 *  OCI images have it. What the same child has under NAME is in sight all the same: so a directory over a hidden one is not merged. */
export const PREFIX = '.wh.'
const OPAQUE = '.wh..wh..opq'
/** Where copies are made, in the root of the child that takes changes. */
export const WORK = '.wh..work'

export function isReserved(name: string): boolean { return name.startsWith(PREFIX) }

/** A directory or file in one child. */
export interface Layer { readonly index: number; readonly node: Node }

const isDir = (node: Node) => (node.qid.type & QT.DIR) !== 0

/** undefined instead of ENOENT. */
export async function walkIf(dir: Node, name: string): Promise<Node | undefined> {
  try { return await dir.walk(name) } catch (e) {
    if (isErrno(e, 'ENOENT')) return undefined
    throw e
  }
}
async function exists(dir: Node, name: string): Promise<boolean> {
  const node = await walkIf(dir, name)
  await node?.close()
  return node !== undefined
}
export function canHide(name: string): boolean { return nameLength(name) + PREFIX.length <= NAME_MAX }
export async function isHidden(dir: Node, name: string): Promise<boolean> { return canHide(name) && exists(dir, PREFIX + name) }

export class Place {
  refs = 1
  /** Its names are gone, or hidden: it goes on for who has it open. */
  gone = false
  readonly turn = new Turn()
  readonly listings = new Set<Listing>()
  /** A copy being made. */
  rising: Promise<void> | undefined
  /** Children that once stood here: calls may still be at work on them. */
  readonly left: Node[] = []
  /** Added to versions below, so that what is shown only counts on. */
  base = 0
  #qid: Qid
  /** layers: where it is, the first in sight; one for what is no directory. */
  constructor(readonly union: Union, readonly id: bigint, public gen: bigint | undefined, public layers: Layer[], public parent: Place | null, public name: string, public key: string) {
    this.#qid = { type: layers[0]!.node.qid.type, version: this.#version(), path: id }
    parent?.retain()
  }
  get node(): Node { return this.layers[0]!.node }
  get isDir(): boolean { return isDir(this.node) }
  #version(): number { return (this.base + this.layers.reduce((sum, { node }) => sum + node.qid.version, 0)) >>> 0 || 1 }
  get qid(): Qid {
    const version = this.#version(), { type, version: known, path } = this.#qid
    return version === known ? this.#qid : this.#qid = { type, version, path }
  }
  /** In the child that takes changes; undefined: it is not there. */
  get upper(): Node | undefined { return this.layers.find(({ index }) => index === this.union.upper)?.node }
  /** Whether only that child has it. */
  get isOwn(): boolean { return this.layers.length === 1 && this.upper !== undefined }

  /** It is in the upper child from here on, where it was not. */
  rise(node: Node): void {
    const before = this.qid.version
    if (this.isDir) this.layers = [...this.layers, { index: this.union.upper, node }].sort((a, b) => a.index - b.index)
    else {
      this.left.push(this.node)
      this.layers = [{ index: this.union.upper, node }]
    }
    if (this.node === node && !this.gone) {
      this.union.live.delete(this.key)
      this.key = this.union.keyOf(node)
      this.union.live.set(this.key, this)
      this.union.moved.set(this.key, { id: this.id, gen: this.gen! })
    }
    this.base = (this.base + before + 1 - this.qid.version) >>> 0
  }

  /** A name of it is gone, or hidden. */
  async lost(): Promise<void> {
    if (!this.isDir && this.upper && (await this.upper.getattr(Attrs.NLINK)).nlink > 0) return
    this.gone = true
    if (this.union.live.get(this.key) === this) this.union.live.delete(this.key)
    if (this.upper) this.union.moved.delete(this.union.keyOf(this.upper))
  }
  retain(): this { this.refs++; return this }
  async release(): Promise<void> {
    if (--this.refs > 0) return
    if (this.union.live.get(this.key) === this) this.union.live.delete(this.key)
    const { parent } = this
    const settled = await Promise.allSettled([...this.layers.map(({ node }) => node), ...this.left].map(async (node) => node.close()))
    await parent?.release()
    for (const one of settled) if (one.status === 'rejected') throw one.reason
  }

  /** What is shown of attributes of the child that has it. */
  shown(attr: Attr): Attr {
    let { nlink } = attr
    if (this.gone) nlink = 0
    else if (this.upper === undefined && !this.isDir) nlink = Math.min(nlink, 1)
    const { gen } = this
    return { ...attr, qid: this.qid, nlink, ...gen === undefined ? {} : { gen } }
  }
  getattr(mask: number): Awaitable<Attr> {
    if (!this.isDir || this.layers.length === 1) {
      const attr = this.node.getattr(mask)
      return attr instanceof Promise ? attr.then((a) => this.shown(a)) : this.shown(attr)
    }
    return this.#merged(mask)
  }
  /** Subdirectories that two children have would be counted twice: then it is 1, which tells nothing, as on other file systems that don't count. */
  async #merged(mask: number): Promise<Attr> {
    const [first, ...others] = await Promise.all(this.layers.map(async ({ node }) => node.getattr(mask)))
    const counts = [first!, ...others].filter(({ nlink }) => nlink > 2)
    return this.shown({ ...first!, nlink: counts.length > 1 || counts.some(({ nlink }) => nlink === 1) ? 1 : counts[0]?.nlink ?? 2 })
  }
}

/** What all places share. */
export class Union {
  readonly volume: Volume
  readonly live = new Map<string, Place>()
  /** Of what was copied: the number that it was known by. */
  readonly moved = new Map<string, { id: bigint; gen: bigint }>()
  readonly renames = new Turn()
  #volumes = new Map<Volume, number>()
  #odd = new Map<string, bigint>()
  #count = 0n
  #copies = 0
  root!: Place
  /** The directory for copies, once there was one. */
  work: Promise<Node> | undefined
  /** upper: the child that takes changes; -1: none does. */
  constructor(readonly children: readonly Translator[], readonly upper: number, name: string) { this.volume = { label: `union:${name}` } }

  #ordinal(volume: Volume): number {
    let n = this.#volumes.get(volume)
    if (n === undefined) this.#volumes.set(volume, n = this.#volumes.size)
    return n
  }
  /** Names a file of a child. */
  keyOf({ volume, qid }: Node): string { return `${this.#ordinal(volume)}:${qid.path}` }
  /** The number of a file by that of its child: 15 volumes in 4 bits; what is beyond those gets numbers of its own. */
  numberOf(volume: Volume, path: bigint): bigint {
    const ordinal = this.#ordinal(volume), key = `${ordinal}:${path}`
    const moved = this.moved.get(key)
    if (moved) return moved.id
    if (ordinal < 15) return path << 4n | BigInt(ordinal)
    let id = this.#odd.get(key)
    if (id === undefined) this.#odd.set(key, id = this.fresh())
    return id
  }
  fresh(): bigint { return ++this.#count << 4n | 15n }
  temporary(): string { return `${PREFIX}copy-${++this.#copies}` }

  /**
   * What stands under a name in a directory: its layers, the first in sight. none: nothing is visible. Of what is no directory only the first counts.
   * below: only children behind the one that takes changes, as if it held nothing.
   */
  async find(dir: Place, name: string, below = false): Promise<Layer[]> {
    const found: Layer[] = []
    for (const [i, { index, node }] of dir.layers.entries()) {
      if (below && index <= this.upper) continue
      const child = await walkIf(node, name)
      if (child) {
        if (found.length > 0 && !isDir(child)) { await child.close(); break }
        found.push({ index, node: child })
        if (!isDir(child)) break
      }
      if (i === dir.layers.length - 1) break
      if (await isHidden(node, name) || (child && await exists(child, OPAQUE))) break
    }
    return found
  }
  async covered(dir: Place, name: string): Promise<boolean> {
    const found = await this.find(dir, name, true)
    for (const { node } of found) await node.close()
    return found.length > 0
  }

  /** The place of a name, retained. ENOENT. To be called in the directory's turn. */
  async place(dir: Place, name: string): Promise<Place> {
    if (!dir.isDir) throw errno('ENOTDIR', 'walk', name)
    if (dir.gone || isReserved(name)) throw errno('ENOENT', 'walk', name)
    const layers = await this.find(dir, name)
    if (layers.length === 0) throw errno('ENOENT', 'walk', name)
    return this.adopt(dir, name, layers)
  }
  /** The place of these layers, which are taken over. */
  async adopt(dir: Place, name: string, layers: Layer[]): Promise<Place> {
    const { node, index } = layers[0]!
    let key = this.keyOf(node)
    const parted = index !== this.upper && !isDir(node) && (await node.getattr(Attrs.NLINK)).nlink > 1
    if (parted) key = `${dir.id}/${name}`
    const known = this.live.get(key)
    if (known) {
      known.retain()
      for (const layer of layers) await layer.node.close()
      return known
    }
    const id = parted ? this.partedNumber(dir, name) : this.numberOf(node.volume, node.qid.path)
    const place = new Place(this, id, this.moved.get(key)?.gen, layers, dir, name, key)
    this.live.set(key, place)
    return place
  }
  /** A name that a copy would part from the other names of its file is a file of its own from the start: this is its number. */
  partedNumber(dir: Place, name: string): bigint {
    return createHash('sha1').update(`${dir.id}/`).update(bytesOfName(name)).digest().readBigUInt64BE() >> 8n << 4n | 15n
  }
}
