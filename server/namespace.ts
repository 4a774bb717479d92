// The served tree: translators mounted at paths, which come and go while clients are in it. A Place is a path that is a
// mount point or leads to one; a File is a file that some fid names, one per identity and mount, so that its node is shared
// and its place is known however it was reached. A mount that has gone from its place serves the fids it has until they are
// clunked, and is closed then.

import { Attrs, QT, errno, isErrno } from 'ninep'
import { after } from '../translators/forward.ts'
import { describe } from '../translators/options.ts'
import type { Log } from '../translators/options.ts'
import type { Awaitable, Node, Translator, Volume } from '../translators/translator.ts'
import type { Fid } from './fid.ts'
import { SNAPSHOTS, Snapshots, meansPast, pastOf, snapshotsOf } from './browse.ts'
import { drive, get } from './drive.ts'
import type { Steps } from './drive.ts'
import { ends } from './ends.ts'
import { Gone, gone } from './gone.ts'
import type { Identity } from './identity.ts'
import { ordered } from './order.ts'
import type { Active, Passive } from './passive.ts'
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
  /** Whether it carries the record of a passive translator, and what runs by it. */
  recorded = false
  active: Active | null = null
  /** What its node was before it was cut off. */
  lost: Node | null = null
  constructor(readonly mount: Mount, public node: Node, readonly wire: bigint) {}
  retain(): this { this.refs++; return this }
  release(): void { if (--this.refs === 0) this.mount.forget(this) }
  get isDirectory(): boolean { return isDirectory(this.node) }
  /** What a passive translator stands on, where this is the root of one. */
  get underlying(): File { return this.mount.over !== null && this === this.mount.root ? this.mount.over.under : this }
  /** Whether the tree hangs on it: the root of a mount that has a path, or a directory that leads to one. */
  get isPlace(): boolean { return (this === this.mount.root && this.mount.over === null) || this.place?.file === this }
  /** Whether this is that file, or stands at the same path where a mount has come or gone. */
  isAt(other: File): boolean { return this === other || (this.place !== null && this.place === other.place) }
}

/** A path of the served tree with mounts at it or below. file: what stands there, as clients see it. */
export class Place {
  readonly children = new Map<string, Place>()
  file!: File
  mount: Mount | null = null
  /** What stands here is being exchanged, and neither the old nor the new can be had: whoever comes waits. */
  changing: Promise<void> | null = null
  readonly path: string
  constructor(readonly name: string, readonly parent: Place | null) {
    this.path = parent === null ? '/' : `${parent.parent === null ? '' : parent.path}/${name}`
  }
  /** False once nothing is mounted at it or below. */
  get stands(): boolean { return this.parent === null || this.parent.children.get(this.name) === this }
  /** What stands here, retained. */
  enter(): Awaitable<File> { return this.changing ? this.changing.then(() => this.enter()) : this.file.retain() }
}

/** A translator in the tree. */
export class Mount {
  #files = new Map<Volume, Map<bigint, File>>()
  /** Those that another has taken the number of. */
  #strays = new Set<File>()
  /** Volumes of which it has shown files. */
  #volumes = new Set<Volume>()
  /** Closes under way: the translator's own waits for them. */
  readonly closing = new Work()
  /** The translator as it is called: ordered, where it does not order its calls itself. */
  readonly face: Translator
  /** Its root, and where that stands or stood. */
  root: File | null = null
  place: Place | null = null
  /** What it stands over, if it is a passive translator. */
  over: Active | null = null
  /** Whether what it holds ends with it. */
  volatile = false
  /** Files that are held. */
  #live = 0
  #retired = false
  #cut = false
  #ending: Promise<void> | undefined
  /** Settles when it was closed. */
  readonly ended: Promise<void>
  #end!: () => void
  constructor(readonly path: string, readonly translator: Translator, private readonly identity: Identity, private readonly log: Log, readonly passive: Passive | null) {
    this.ended = new Promise((resolve) => { this.#end = resolve })
    this.face = describe(translator).concurrent ? translator : ordered(translator)
  }

  /**
   * The File of a node that this mount's translator gave, and retained for the caller; the node is taken over. Where
   * the file is known, the node at hand is closed and the known one serves both.
   */
  adopt(node: Node): Awaitable<File> {
    if (this.#cut) { this.close(node); throw gone(this.path) }
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
    this.#strays.add(known)
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
    if (!paths) {
      this.#files.set(volume, paths = new Map())
      if (!this.#volumes.has(volume)) {
        this.#volumes.add(volume)
        this.identity.hold(volume)
      }
    }
    paths.set(qid.path, file)
    this.#live++
    if (this.passive?.any) file.recorded = this.passive.has(volume, qid.path)
    return file
  }

  #unlist(file: File): void {
    file.listed = false
    const { volume, qid } = file.node, paths = this.#files.get(volume)
    paths?.delete(qid.path)
    if (paths?.size === 0) this.#files.delete(volume)
  }

  /** The last holder let go. */
  forget(file: File): void {
    if (file.listed) this.#unlist(file)
    else this.#strays.delete(file)
    this.close(file.lost ?? file.node)
    if (--this.#live === 0 && this.#retired) this.end().catch((e: unknown) => this.#failed(e))
  }

  get cutOff(): boolean { return this.#cut }
  get retired(): boolean { return this.#retired }
  /** Files that clients hold; what only the tree holds does not count. */
  get used(): number {
    let own = 0
    const look = (place: Place) => {
      if (place.file.mount === this && place.file.refs === 1) own++
      place.children.forEach(look)
    }
    if (this.place) look(this.place)
    if (this.over && this.root!.refs === 1) own++
    return this.#live - own
  }
  /** The fids that are in it. */
  *fids(): Generator<Fid> {
    for (const file of this.#all()) for (let fid = file.fids; fid; fid = fid.next) yield fid
  }
  *#all(): Generator<File> {
    for (const paths of this.#files.values()) yield* paths.values()
    yield* this.#strays
  }

  /** Stands nowhere any more: ends with the last file that is held. */
  retire(): void {
    this.#retired = true
    void this.passive?.stopIdle(this)
    if (this.#live === 0) this.end().catch((e: unknown) => this.#failed(e))
  }

  /**
   * Takes it away from those who are in it: their fids answer ENXIO from here on. What is at work in it may end in this many
   * milliseconds; then it is closed over that.
   */
  async cut(grace: number): Promise<void> {
    this.#cut = this.#retired = true
    this.passive?.cut(this, grace)
    const working: Promise<void>[] = []
    for (const file of this.#all()) {
      file.lost = file.node
      file.node = new Gone(file.node, this.path)
      for (let fid = file.fids; fid; fid = fid.next) {
        const closed = fid.lose(new Gone(file.node, this.path), (handle) => this.close(handle))
        if (closed) working.push(closed)
      }
    }
    if (this.#live === 0) return this.end()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => { timer = setTimeout(resolve, working.length > 0 ? grace : 0) })
    await Promise.race([Promise.all(working), late])
    clearTimeout(timer)
    await this.end(new Promise((resolve) => { setTimeout(resolve, grace) }))
  }

  /** Syncs and closes it, when what is being closed of it is closed (or `late` settles). The first failure is thrown when both were tried. */
  end(late?: Promise<void>): Promise<void> {
    return this.#ending ??= (async () => {
      const failures: unknown[] = []
      await Promise.race([this.closing.idle(), ...late ? [late] : []])
      const done = await ends.begin()
      for (const step of [() => this.translator.sync(), () => this.translator.close()]) {
        try { await step() } catch (e) { failures.push(e) }
      }
      done()
      for (const volume of this.#volumes) this.identity.letGo(volume)
      this.#end()
      if (failures.length) throw failures[0]
    })()
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

/** What a change would make of the tree, ready to be made. */
export interface Change {
  /** Makes it. What stood there before and does no more is retired. */
  commit(): void
  /** Lets go of it. */
  drop(): void
}

export class Namespace {
  readonly root = new Place('', null)
  readonly #synthetic: Mount
  readonly #mounts = new Set<Mount>()
  private constructor(synthetic: Translator, readonly identity: Identity, private readonly log: Log, private readonly passive: Passive | null) {
    this.#synthetic = this.mount('(namespace)', synthetic)
  }

  /** A tree of one empty directory. Where nothing is mounted at '/', or a directory on the way to a mount does not exist below, such a one stands in. */
  static async make(identity: Identity, log: Log, passive: Passive | null = null): Promise<Namespace> {
    const namespace = new Namespace(await Synthetic({}), identity, log, passive);
    (await namespace.prepare(new Map())).commit()
    return namespace
  }

  /** A translator that will stand at a path; it is the namespace's own from here. */
  mount(path: string, translator: Translator): Mount {
    const mount = new Mount(path, translator, this.identity, this.log, this.passive)
    this.#mounts.add(mount)
    void mount.ended.then(() => this.#mounts.delete(mount))
    return mount
  }

  /** The root of a translator that stands nowhere in the tree, and has one of its own; retained as long as the server runs. */
  async aside(path: string, translator: Translator): Promise<File> {
    const mount = this.mount(path, translator), root = mount.root = await mount.adopt(await mount.face.attach(''))
    mount.place = root.place = new Place('', null)
    root.place.file = root
    root.place.mount = mount
    return root
  }

  /**
   * Finds out what will stand where once each of these paths has that mount, or none. Changes one at a time, please. ENOTDIR: something would be
   * mounted below a file; or what attaching to a mount throws, with its path. keep: places stay where nothing is mounted for now.
   */
  async prepare(changes: ReadonlyMap<string, Mount | null>, keep = false): Promise<Change> {
    const mounts = new Map<Place, Mount | null>(), touched = new Set([this.root]), added = new Map<Place, Map<string, Place>>()
    const files = new Map<Place, File>(), vanish = new Set<Place>()
    for (const [path, mount] of changes) {
      let place = this.root
      for (const name of split(path)) {
        let fresh = added.get(place)
        let next = place.children.get(name) ?? fresh?.get(name)
        if (!next) {
          if (!fresh) added.set(place, fresh = new Map())
          fresh.set(name, next = new Place(name, place))
        }
        touched.add(place = next)
      }
      mounts.set(place, mount)
    }
    const mountOf = (place: Place) => mounts.has(place) ? mounts.get(place)! : place.mount
    const below = (place: Place) => [...place.children.values(), ...added.get(place)?.values() ?? []]
    const stays = (place: Place): boolean => mountOf(place) !== null || (keep && mounts.has(place)) || below(place).some(stays)
    const settle = async (place: Place, above: File | null, moved: boolean): Promise<void> => {
      const mount = mountOf(place)
      let { file } = place
      if (!file || mount !== place.mount || (moved && !mount)) {
        file = await this.#standing(place, mount, above)
        files.set(place, file)
        if (!isDirectory(file.node) && below(place).some(stays)) throw errno('ENOTDIR', `${place.path}: is a file; nothing can be mounted below it`)
      }
      const changed = file !== place.file
      for (const child of below(place)) {
        if (!changed && !touched.has(child)) continue
        if (stays(child)) await settle(child, file, changed)
        else vanish.add(child)
      }
    }
    const drop = () => { for (const file of files.values()) file.release() }
    try { await settle(this.root, null, false) } catch (e) {
      drop()
      throw e
    }
    return { drop, commit: () => this.#commit(mounts, added, files, vanish) }
  }

  #commit(mounts: ReadonlyMap<Place, Mount | null>, added: ReadonlyMap<Place, ReadonlyMap<string, Place>>, files: ReadonlyMap<Place, File>, vanish: ReadonlySet<Place>): void {
    const retired: Mount[] = [], old: File[] = []
    for (const [place, children] of added) for (const [name, child] of children) place.children.set(name, child)
    for (const [place, mount] of mounts) {
      if (place.mount && place.mount !== mount) retired.push(place.mount)
      place.mount = mount
      if (mount) mount.place = place
    }
    for (const [place, file] of files) {
      if (place.file) old.push(place.file)
      place.file = file
      file.place = place
    }
    for (const top of vanish) {
      top.parent!.children.delete(top.name)
      const clear = (place: Place) => {
        if (place.file) {
          if (place.file.place === place && place.file !== place.file.mount.root) place.file.place = null
          old.push(place.file)
        }
        place.children.forEach(clear)
        place.children.clear()
      }
      clear(top)
    }
    for (const mount of retired) mount.retire()
    for (const file of old) file.release()
  }

  /** What will stand at a place: the root of its mount, the directory below, or an empty one made up. Retained. */
  async #standing(place: Place, mount: Mount | null, above: File | null): Promise<File> {
    if (mount) {
      let root: Node
      try { root = await mount.face.attach('') } catch (e) { throw new Error(`${place.path}: its root can't be reached: ${(e as Error).message}`, { cause: e }) }
      return mount.root = await mount.adopt(root)
    }
    if (above && above.mount !== this.#synthetic) {
      try {
        const node = await above.node.walk(place.name)
        if (isDirectory(node)) return await above.mount.adopt(node)
        await node.close()
        throw errno('ENOTDIR', `${place.path}: is no directory; nothing can be mounted below it`)
      } catch (e) {
        if (!isErrno(e, 'ENOENT')) throw e
      }
    }
    return this.#synthetic.adopt(await this.#synthetic.face.attach(place.path))
  }

  /** Steps by one name: into a mount or a passive translator, up out of one, or within. The result is retained. Names are checked by the caller. */
  step(from: File, name: string): Awaitable<File> {
    if (name === '..') return this.up(from)
    const over = from.place?.children.get(name)
    if (over) return over.enter()
    const file = meansPast(name) && (from.mount.translator.snapshots || from.place) ? this.#nowOrThen(from, name) : this.#within(from, from.node.walk(name))
    if (!this.passive?.any) return file
    return after(file, (file) => file.recorded && file !== file.mount.root ? this.passive!.enter(file, from, name) : file)
  }

  /** What has that name, or had it: see browse.ts. */
  async #nowOrThen(from: File, name: string): Promise<File> {
    try { return await from.mount.adopt(await from.node.walk(name)) } catch (e) {
      if (!isErrno(e, 'ENOENT')) throw e
      from.retain()                                       // it may be let go meanwhile
      try {
        const over = from.place?.children.get(name.slice(0, name.lastIndexOf('@')))
        if (name === SNAPSHOTS) return await from.mount.adopt(await snapshotsOf(from))
        if (!over) return await from.mount.adopt(await pastOf(from, name))
        const mounted = await over.enter()
        try { return await mounted.mount.adopt(await mounted.node.at(name.slice(name.lastIndexOf('@') + 1))) } finally { mounted.release() }
      } catch (past) {
        if (isErrno(past, 'ENOENT') || isErrno(past, 'EOPNOTSUPP') || isErrno(past, 'ENOTDIR')) throw e
        throw past
      } finally { from.release() }
    }
  }
  /** The directory above; the root's is itself. */
  up(from: File): Awaitable<File> {
    const { over } = from.mount
    if (over && from === from.mount.root) return over.dir?.retain() ?? this.up(over.under)
    if (from.node instanceof Snapshots) return from.node.dir.retain()
    if (!from.isPlace) return this.#within(from, from.node.parent())
    const { parent } = from.place!
    return parent ? this.#at(parent) : from.retain()
  }
  #within({ mount }: File, node: Awaitable<Node>): Awaitable<File> { return node instanceof Promise ? node.then((node) => mount.adopt(node)) : mount.adopt(node) }
  /**
   * The node of a path, retained, that a record lies on: what a mount or a passive translator stands over, and not its root. through: passive translators on the way are
   * started and entered, else what they stand over is looked at. ENOENT ENOTDIR
   */
  async find(path: string, through = true): Promise<File> {
    let file = await this.root.enter()
    const names = split(path)
    for (const [i, name] of names.entries()) {
      try {
        if (!file.isDirectory) throw errno('ENOTDIR', path)
        const over = file.place?.children.get(name), last = i === names.length - 1
        const next = await (over && !last ? over.enter() : last || !through ? this.#within(file, file.node.walk(name)) : this.step(file, name))
        file.release()
        file = next
      } catch (e) {
        file.release()
        throw e
      }
    }
    return file
  }
  /** What stands at a place, also where nothing leads to a mount there any more. */
  #at(place: Place): Awaitable<File> {
    if (place.stands) return place.enter()
    return (async () => {
      const above = await this.#at(place.parent!)
      try { return await this.step(above, place.name) } finally { above.release() }
    })()
  }

  /** The place of a path, if it has one. */
  at(path: string): Place | undefined {
    let place: Place | undefined = this.root
    for (const name of split(path)) place = place?.children.get(name)
    return place
  }

  /** Syncs all, then closes all, when nodes and handles are closed (or `late` settles); the first failure is thrown when
   *  everything was tried. */
  async close(late?: Promise<void>): Promise<void> {
    const failures: unknown[] = []
    const release = (place: Place) => { place.children.forEach(release); place.file?.release() }
    this.passive?.close()
    release(this.root)
    for (const mount of [...this.#mounts].reverse()) {      // what stands over another came after it
      try { await mount.end(late) } catch (e) { failures.push(e) }
    }
    if (failures.length) throw failures[0]
  }
}

function isDirectory({ qid }: Node): boolean { return (qid.type & QT.DIR) !== 0 }

/** The names of an absolute path of the namespace. Throws for what is not one. */
export function split(path: string): string[] {
  if (!path.startsWith('/')) throw new Error(`"${path}": a path of the namespace begins with "/"`)
  const names = path.split('/').filter((name) => name !== '')
  for (const name of names) if (name === '.' || name === '..') throw new Error(`"${path}": a path of the namespace has no "${name}"`)
  return names
}
