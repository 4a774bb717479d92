// What all nodes of one remote share: its connections, who things belong to, and what is to be synced.

import { Attrs, O, QT, errno, isErrno, S } from 'ninep'
import type { Attr, Client, File, Qid } from 'ninep'
import type { Env } from '../options.ts'
import type { Blobs, Owner, Translator, Volume } from '../translator.ts'
import { RemoteBlobs } from './blobs.ts'
import { Fid, isSame } from './fid.ts'
import type { Identity } from './fid.ts'
import { Link, Voice } from './link.ts'
import type { Program, Where } from './link.ts'
import { Locks } from './locks.ts'
import { RemoteNode } from './node.ts'
import { Place } from './place.ts'

/** Files and directories that changed and were not synced, at most: then they are, so many at a time. */
const UNSYNCED = 4096, AT_A_TIME = 32

/** What changed and was not synced: on which connection first, and how often. fid: not open. busy: it is being synced. */
interface Unsynced { readonly fid: Fid; readonly client: Client | undefined; changes: number; busy: boolean }

export class Peer implements Translator {
  readonly name = 'remote'
  readonly volume: Volume
  readonly voice: Voice
  /** The first has all names; the others carry data alone. */
  readonly links: readonly Link[]
  readonly locks = new Locks()
  readonly #root = new Place().hold()
  #rootQid!: Qid
  /** By number. */
  readonly #unsynced = new Map<bigint, Unsynced>()
  /** What a sync that nobody asked for met. */
  #owed: unknown
  #blobs: Blobs | undefined
  #syncing: Promise<void> = Promise.resolve()
  /** What ends with it. */
  readonly #program: Program & AsyncDisposable | undefined

  constructor(readonly where: Where, connections: number, readonly keepsOwners: boolean, env: Env, program?: Program & AsyncDisposable) {
    this.volume = { label: env.name }
    this.voice = new Voice(env.log, where.url)
    this.links = Array.from({ length: connections }, () => new Link(where, this.voice, program))
    this.#program = program
    if (program) program.onGone = () => { for (const link of this.links) link.wake() }
  }
  get names(): Link { return this.links[0]! }

  async start(): Promise<this> {
    try {
      const { root } = await this.names.start()
      this.#rootQid = plain(root.qid)
      for (const link of this.links.slice(1)) await link.start()
      return this
    } catch (e) {
      await this.close()
      throw e
    }
  }
  attach(aname: string): RemoteNode {
    if (aname !== '' && aname !== '/') throw errno('ENOENT', 'attach', aname)
    return this.node(this.#root.hold(), this.#rootQid)
  }
  blobs(): Blobs { return this.#blobs ??= new RemoteBlobs(this.attach('')) }
  /** A node of a file that has this place, which is held for it. file: by which it was found, if it was. */
  node(place: Place, qid: Qid, file?: File): RemoteNode {
    const known = plain(qid), identity: Identity = { path: known.path, type: known.type }
    return new RemoteNode(this, new Fid(this.names, place, identity, undefined, file), known)
  }

  /** What the peer says of a file, if it can be true of this one. The root is whatever is attached to. */
  checked(attr: Attr, { identity, place }: Fid): Attr {
    const qid = place.isRoot ? { ...plain(attr.qid), path: identity.path } : plain(attr.qid)
    if (!isSame(qid, identity)) throw this.voice.lie('a file became another one')
    if (attr.valid & Attrs.MODE && ((attr.mode & S.IFMT) === S.IFDIR) !== ((qid.type & QT.DIR) !== 0)) throw this.voice.lie('a type and a mode that differ')
    if (![attr.size, attr.blocks, attr.nlink, attr.atime.sec, attr.mtime.sec, attr.ctime.sec].every(Number.isSafeInteger)) throw this.voice.lie('an attribute beyond 2^53')
    if ([attr.atime, attr.mtime, attr.ctime, attr.btime].some(({ nsec }) => nsec > 999_999_999)) throw this.voice.lie('a time with more nanoseconds than a second has')
    if (attr.valid & Attrs.GEN) identity.gen ??= attr.gen
    return { ...attr, qid }
  }

  /** Makes what was made what it was to be: its owner's, where owners are kept, with setuid and setgid as told, which mkdir and chown take off. */
  async own(file: File, mode: number, owner: Owner): Promise<void> {
    const made = await file.getattr(Attrs.MODE | Attrs.UID | Attrs.GID), chown = this.keepsOwners && (made.uid !== owner.uid || made.gid !== owner.gid)
    if (chown) await file.setattr({ uid: owner.uid, gid: owner.gid })
    const special = (made.mode ^ mode) & 0o6000 || (chown && mode & 0o6000)
    if (special && (made.mode & S.IFMT) !== S.IFLNK) await file.setattr({ mode: (made.mode & 0o1777) | (mode & 0o6000) })
  }

  /** To be synced by sync(). */
  async changed({ place, identity }: Fid): Promise<void> {
    const known = this.#unsynced.get(identity.path)
    if (known) {
      known.changes++
      return
    }
    this.#unsynced.set(identity.path, { fid: new Fid(this.names, place.hold(), identity), client: this.names.client, changes: 1, busy: false })
    if (this.#unsynced.size > UNSYNCED) await this.#sync()
  }
  /** How often it changed by now; to be said to synced(), if all that is synced then. */
  changes({ identity }: Fid): number { return this.#unsynced.get(identity.path)?.changes ?? 0 }
  synced({ identity }: Fid, changes: number): void {
    const known = this.#unsynced.get(identity.path)
    if (known?.changes === changes && !known.busy) this.#forget(known)
  }
  #forget({ fid }: Unsynced): void {
    this.#unsynced.delete(fid.identity.path)
    void fid.close()?.catch(() => {})
    fid.place.release()
  }

  async sync(): Promise<void> {
    await this.#sync()
    const owed = this.#owed
    this.#owed = undefined
    if (owed !== undefined) throw owed
  }
  /** One after the other. All is tried, and the first error kept. */
  #sync(): Promise<void> {
    return this.#syncing = this.#syncing.then(async () => {
      const left = [...this.#unsynced.values()]
      const lane = async () => { for (let next = left.pop(); next; next = left.pop()) await this.#syncOne(next).catch((e: unknown) => { this.#owed ??= e }) }
      await Promise.all(Array.from({ length: AT_A_TIME }, lane))
    })
  }
  async #syncOne(unsynced: Unsynced): Promise<void> {
    const { fid, changes, client } = unsynced
    unsynced.busy = true
    try {
      await this.names.run('reads', async (session, signal) => {
        const file = await fid.on(session), type = (await file.getattr(Attrs.MODE)).mode & S.IFMT
        if (type !== S.IFREG && type !== S.IFDIR) return   // nothing to open: its directory has all of it
        const opened = await file.clone()
        try {
          await opened.open(O.RDONLY, { signal }).catch((e: unknown) => { if (isErrno(e, 'EACCES')) return opened.open(O.WRONLY, { signal }); throw e })
          await opened.fsync(false, { signal })
        } finally { if (!session.client.closed) await opened.clunk() }
      })
      if (client !== this.names.client) throw errno('EIO', 'the connection was lost with what was not synced yet')
    } catch (e) {
      if (!isErrno(e, 'ESTALE')) throw e                  // it was removed
    } finally {
      unsynced.busy = false
      if (unsynced.changes === changes && this.#unsynced.get(fid.identity.path) === unsynced) this.#forget(unsynced)
    }
  }

  async close(): Promise<void> {
    try { if (this.#rootQid) await this.sync() } finally {
      await Promise.all(this.links.map((link) => link.close()))
      await this.#program?.[Symbol.asyncDispose]()
    }
  }
  async [Symbol.asyncDispose](): Promise<void> { await this.close() }
}

/** Of a type, only what nodes know. */
export function plain({ type, version, path }: Qid): Qid { return { type: type & (QT.DIR | QT.SYMLINK), version, path } }
