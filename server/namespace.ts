// The served tree: translators mounted at paths, fixed at start. A Place is a path that is a mount point or leads to
// one; a File is a file that some fid names, one per identity and mount, so that its node is shared and its place is
// known however it was reached.

import { Attrs, QT, errno, isErrno } from 'ninep'
import { describe } from '../translators/options.ts'
import type { Log } from '../translators/options.ts'
import type { Awaitable, Node, Translator, Volume } from '../translators/translator.ts'
import type { Fid } from './fid.ts'
import { drive, get } from './drive.ts'
import type { Steps } from './drive.ts'
import type { Identity } from './identity.ts'
import { ordered } from './order.ts'
import { Synthetic } from './synthetic.ts'
import { Work } from './work.ts'

/** A file that fids name. Counted: whoever holds one has retained it. */
export class File {
  refs = 1
  /** Where the tree goes on into other mounts from here, if it does. */
  place: Place | null = null
  listed = true
  /** The first of the fids that name it; they are linked to each other. */
  fids: Fid | null = null
  constructor(readonly mount: Mount, readonly node: Node, readonly wire: bigint) {}
  retain(): this { this.refs++; return this }
  release(): void { if (--this.refs === 0) this.mount.forget(this) }
  get isDirectory(): boolean { return isDirectory(this.node) }
}

/** A path of the served tree with mounts at it or below. file: what stands there, as clients see it. */
export class Place {
  readonly children = new Map<string, Place>()
  file!: File
  mount: Mount | null = null
  constructor(readonly path: string, readonly parent: Place | null) {}
}

/** A translator in the tree. */
export class Mount {
  #files = new Map<Volume, Map<bigint, File>>()
  /** Closes under way: the translator's own waits for them. */
  readonly closing = new Work()
  /** The translator as it is called: ordered, where it does not order its calls itself. */
  readonly face: Translator
  constructor(readonly path: string, readonly translator: Translator, private readonly identity: Identity, private readonly log: Log) {
    this.face = describe(translator).concurrent ? translator : ordered(translator)
  }

  /**
   * The File of a node that this mount's translator gave, and retained for the caller; the node is taken over. Where
   * the file is known, the node at hand is closed and the known one serves both.
   */
  adopt(node: Node): Awaitable<File> {
    const known = this.#files.get(node.volume)?.get(node.qid.path)
    if (!known) return this.#list(node)
    if (known.node.qid === node.qid) { this.close(node); return known.retain() }
    return drive(this.#same(known, node))
  }

  /** Two nodes of one number are one file if their generations agree: a number may have a new owner since. */
  *#same(known: File, node: Node): Steps<File> {
    known.retain()
    let same = false
    try {
      const [a, b] = [yield* get(known.node.getattr(Attrs.GEN)), yield* get(node.getattr(Attrs.GEN))]
      same = a.gen === b.gen
    } catch (e) {
      if (!isErrno(e, 'ESTALE') && !isErrno(e, 'ENOENT')) { known.release(); this.close(node); throw e }
    }
    if (same) { this.close(node); return known }
    this.#unlist(known)
    known.release()
    // Another may have come in between: then it is the one.
    const now = this.#files.get(node.volume)?.get(node.qid.path)
    if (now) { this.close(node); return now.retain() }
    return this.#list(node)
  }

  #list(node: Node): File {
    const { volume, qid } = node
    const file = new File(this, node, this.identity.wire(volume, qid.path))
    let paths = this.#files.get(volume)
    if (!paths) this.#files.set(volume, paths = new Map())
    paths.set(qid.path, file)
    return file
  }

  #unlist(file: File): void {
    if (!file.listed) return
    file.listed = false
    const { volume, qid } = file.node, paths = this.#files.get(volume)
    paths?.delete(qid.path)
    if (paths?.size === 0) this.#files.delete(volume)
  }

  /** The last holder let go. */
  forget(file: File): void {
    this.#unlist(file)
    this.close(file.node)
  }

  /** Closes what has nobody to tell that it failed. */
  close(resource: { close(): Awaitable<void> }): void {
    try {
      const closing = resource.close()
      if (!(closing instanceof Promise)) return
      this.closing.begin()
      closing.catch((e) => this.#failed(e)).finally(() => this.closing.end())
    } catch (e) { this.#failed(e) }
  }
  #failed(error: unknown): void { this.log.warn({ translator: this.path, err: error }, 'a close failed') }

  /** The number that clients see for an entry of this directory's volume. */
  wire(volume: Volume, path: bigint): bigint { return this.identity.wire(volume, path) }
}

export class Namespace {
  readonly root = new Place('/', null)
  readonly mounts: Mount[] = []

  /**
   * Mounts translators at absolute paths, shortest first. Where nothing is mounted at '/', or a directory on the way
   * does not exist below, an empty one stands in.
   */
  static async assemble(mounts: ReadonlyMap<string, Translator>, identity: Identity, log: Log): Promise<Namespace> {
    const namespace = new Namespace()
    for (const [path, translator] of mounts) {
      let place = namespace.root
      for (const name of split(path)) {
        let next = place.children.get(name)
        if (!next) place.children.set(name, next = new Place((place.path === '/' ? '/' : place.path + '/') + name, place))
        place = next
      }
      if (place.mount) throw new Error(`${path}: two translators for one path`)
      place.mount = new Mount(place.path, translator, identity, log)
      namespace.mounts.push(place.mount)
    }
    const synthetic = new Mount('(namespace)', await Synthetic({}), identity, log)
    namespace.mounts.push(synthetic)
    await namespace.#settle(namespace.root, synthetic)
    return namespace
  }

  async #settle(place: Place, synthetic: Mount): Promise<void> {
    place.file = await standing(place, synthetic)
    place.file.place = place
    for (const child of place.children.values()) await this.#settle(child, synthetic)
  }

  /** Steps by one name: into a mount, up out of one, or within. The result is retained. Names are checked by the caller. */
  step(from: File, name: string): Awaitable<File> {
    if (name === '..') return this.up(from)
    const over = from.place?.children.get(name)
    if (over) return over.file.retain()
    const node = from.node.walk(name)
    return node instanceof Promise ? node.then((n) => from.mount.adopt(n)) : from.mount.adopt(node)
  }

  /** The directory above; the root's is itself. */
  up(from: File): Awaitable<File> {
    const { place } = from
    if (place) return (place.parent ?? place).file.retain()
    const node = from.node.parent()
    return node instanceof Promise ? node.then((n) => from.mount.adopt(n)) : from.mount.adopt(node)
  }

  /** Syncs all, then closes all, when nodes and handles are closed (or `late` settles); the first failure is thrown when
   *  everything was tried. */
  async close(late?: Promise<void>): Promise<void> {
    const failures: unknown[] = []
    const release = (place: Place) => { place.children.forEach(release); place.file.release() }
    release(this.root)
    for (const mount of this.mounts) {
      await Promise.race([mount.closing.idle(), ...late ? [late] : []])
      try { await mount.translator.sync() } catch (e) { failures.push(e) }
      try { await mount.translator.close() } catch (e) { failures.push(e) }
    }
    if (failures.length) throw failures[0]
  }
}

function isDirectory({ qid }: Node): boolean { return (qid.type & QT.DIR) !== 0 }

/** What stands at a place: the root of its mount, the directory below, or an empty one made up. */
async function standing(place: Place, synthetic: Mount): Promise<File> {
  if (place.mount) {
    let root: Node
    try { root = await place.mount.face.attach('') } catch (e) { throw new Error(`${place.path}: its root can't be reached: ${(e as Error).message}`, { cause: e }) }
    if (place.children.size && !isDirectory(root)) throw errno('ENOTDIR', `${place.path}: is a file; nothing can be mounted below it`)
    return place.mount.adopt(root)
  }
  const { parent } = place
  if (parent && parent.file.mount !== synthetic) {
    const name = place.path.slice(place.path.lastIndexOf('/') + 1)
    try {
      const node = await parent.file.node.walk(name)
      if (isDirectory(node)) return await parent.file.mount.adopt(node)
      await node.close()
      throw errno('ENOTDIR', `${place.path}: is no directory; nothing can be mounted below it`)
    } catch (e) {
      if (!isErrno(e, 'ENOENT')) throw e
    }
  }
  const root = await synthetic.face.attach(place.path)
  return synthetic.adopt(root)
}

/** The names of an absolute path of the namespace. Throws for what is not one. */
export function split(path: string): string[] {
  if (!path.startsWith('/')) throw new Error(`"${path}": a path of the namespace begins with "/"`)
  const names = path.split('/').filter((name) => name !== '')
  for (const name of names) if (name === '.' || name === '..') throw new Error(`"${path}": a path of the namespace has no "${name}"`)
  return names
}
