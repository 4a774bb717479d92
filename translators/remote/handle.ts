// A file of the peer, open: on the first connection, and for data on the others as well where there are more.

import { direntsOf, errno, IOHDRSZ, isErrno, Lock, NAME_MAX, nameLength, O, QT } from 'ninep'
import type { Attr, Dirent, File, Flock, LockStatus, SetAttr, Signal } from 'ninep'
import type { Call, DirSink, Handle } from '../translator.ts'
import { Fid } from './fid.ts'
import type { Again } from './link.ts'
import { attributes, setAttributes } from './node.ts'
import type { Peer } from './peer.ts'

/** Entries of one listing, beyond which it is taken for endless. */
const ENTRIES = 1 << 24
/** Bytes of a listing that is asked for with attributes, each of which is asked for apart. */
const WITH_ATTRIBUTES = 8192

export class RemoteHandle implements Handle {
  /** By connection; those that could not be opened are null, and their part is the first one's. */
  readonly #lanes: (Fid | null)[]
  #turn = 0
  /** How often it was changed, and how often by the last sync; what is owed to who syncs: what was written on a connection that is gone may be lost. */
  #changes = 0
  #synced = 0
  #owed: Error | undefined

  constructor(readonly peer: Peer, readonly fid: Fid, readonly type: number) {
    this.#lanes = [fid]
    fid.renewed = (file) => this.#renew(file)
  }
  get #dirty(): boolean { return this.#changes > this.#synced }
  /** It was changed. */
  changed(): Promise<void> {
    this.#changes++
    return this.peer.changed(this.fid)
  }
  async #renew(file: File): Promise<void> {
    if (this.#dirty) this.#owed = errno('EIO', 'the connection was lost with what was not synced yet')
    for (const want of this.peer.locks.of(this.fid.identity.path, this)) {
      if (await file.lock(want) !== Lock.SUCCESS) throw errno('EIO', 'a lock was lost with the connection')
    }
  }

  #run<T>(again: Again, f: (file: File, signal: Signal) => Promise<T>, call?: Call, fid = this.fid): Promise<T> {
    return fid.link.run(again, async (session, signal) => {
      const file = fid.on(session)
      return f(file instanceof Promise ? await file : file, signal)
    }, call)
  }
  /** One after the other. What appends keeps to one connection, and so to its order. */
  #lane(): Fid {
    const { links } = this.peer, { place, identity, flags = 0 } = this.fid, turn = this.#turn++ % links.length
    if (turn === 0 || flags & O.APPEND) return this.fid
    const lane = this.#lanes[turn]
    return (lane === undefined ? this.#lanes[turn] = new Fid(links[turn]!, place, identity, flags) : lane) ?? this.fid
  }
  async #data<T>(again: Again, f: (file: File, signal: Signal) => Promise<T>, call?: Call): Promise<T> {
    const lane = this.#lane()
    if (lane === this.fid) return this.#run(again, f, call)
    let opened = false
    try {
      return await this.#run(again, (file, signal) => {
        opened = true
        return f(file, signal)
      }, call, lane)
    } catch (e) {
      if (opened) throw e
      this.#lanes[this.#lanes.indexOf(lane)] = null       // it has no name, or may be opened no more
      return this.#run(again, f, call)
    }
  }

  async read(into: Uint8Array, offset: number, call?: Call): Promise<Uint8Array> {
    if (this.type & QT.DIR) throw errno('EISDIR', 'read')
    if (into.length === 0) return into
    const count = await this.#data('reads', (file, signal) => {
      const piece = file.client.msize - IOHDRSZ
      return into.length > piece ? file.readInto(into, offset, { signal }) : file.client.read(file.fid, offset, into, { signal })
    }, call)
    return into.subarray(0, count)
  }
  async write(bytes: Uint8Array, offset: number, call?: Call): Promise<number> {
    const appends = ((this.fid.flags ?? 0) & O.APPEND) !== 0
    try { return await this.#data(appends ? 'once' : 'writes', (file, signal) => file.write(bytes, offset, { signal }), call) } finally { await this.changed() }
  }

  async readdir(cookie: bigint, sink: DirSink, mask: number, call?: Call): Promise<boolean> {
    if ((this.type & QT.DIR) === 0) throw errno('ENOTDIR', 'readdir')
    let turn = cookie, steps = 0, length = 1, count = 0
    for (;;) {
      const entries = (await this.#run('reads', async (file, signal) => {
        const { fid, client } = file
        const { data } = await client.rpc('Treaddir', { fid, offset: cookie, count: mask === 0 ? client.msize - IOHDRSZ : WITH_ATTRIBUTES }, { signal })
        try { return direntsOf(data) } catch (e) { throw this.peer.voice.lie('an entry that is cut', e) }
      }, call)).map((entry) => this.#checked(entry))
      if (entries.length === 0) return true
      const attrs = mask === 0 ? [] : await Promise.all(entries.map((entry) => this.#attributes(entry, mask)))
      for (const [i, entry] of entries.entries()) {
        const { name, cookie: next, type, qid } = entry, attr = attrs[i]
        if (!isDots(name) && !(mask !== 0 && !attr) && !sink.add(qid.path, type, next, name, attr)) return false
        cookie = next
      }
      count += entries.length
      // Brent's: a cookie that comes again is met by one that waits for it, ever longer.
      if (cookie === turn || count > ENTRIES) throw this.peer.voice.lie('a directory without an end')
      if (++steps === length) {
        turn = cookie
        steps = 0
        length *= 2
      }
    }
  }
  /** undefined: it is gone by now. */
  async #attributes({ name, qid }: Dirent, mask: number): Promise<Attr | undefined> {
    if (isDots(name)) return undefined
    const node = this.peer.node(this.fid.place.down(name), qid)
    try { return await node.getattr(mask) } catch (e) {
      if (isErrno(e, 'ESTALE')) return undefined
      throw e
    } finally { node.close() }
  }
  #checked(entry: Dirent): Dirent {
    const { name, cookie } = entry
    if (name === '' || name.includes('/') || name.includes('\0') || nameLength(name) > NAME_MAX) throw this.peer.voice.lie('a name in a directory that is none')
    if (cookie <= 0n || cookie >= 1n << 63n) throw this.peer.voice.lie('a cookie out of range')
    return entry
  }

  async getattr(mask: number): Promise<Attr> {
    return this.peer.checked(await this.#run('reads', (file) => attributes(file, mask, this.type)), this.fid)
  }
  async setattr(attr: SetAttr): Promise<void> {
    if (attr.size !== undefined && ((this.fid.flags ?? 0) & O.ACCMODE) === O.RDONLY) throw errno('EINVAL', 'setattr: not open for writing')
    await this.#run('writes', (file) => setAttributes(this.peer, file, attr))
    await this.changed()
  }

  async fsync(dataOnly: boolean, call?: Call): Promise<void> {
    const own = this.#changes, all = this.peer.changes(this.fid)
    await this.#run('reads', (file, signal) => file.fsync(dataOnly, { signal }), call)
    this.#synced = Math.max(this.#synced, own)
    this.peer.synced(this.fid, all)
    this.#tell()
  }
  /** What was lost is told once. */
  #tell(): void {
    const owed = this.#owed
    this.#owed = undefined
    if (owed) throw owed
  }

  /** One that has to wait does so for as long as any call may: then it is blocked, and to be asked for again. */
  async lock(want: Flock, call?: Call): Promise<LockStatus> {
    const { peer, fid: { identity: { path } } } = this
    if (want.type !== Lock.UNLCK) peer.locks.checkRoom(path)
    let status: number
    try { status = await this.#run('reads', (file, signal) => file.lock(want, { signal }), call) } catch (e) {
      if (want.flags & Lock.BLOCK && isErrno(e, 'ETIMEDOUT')) return Lock.BLOCKED
      throw e
    }
    if (status === Lock.SUCCESS) peer.locks.granted(path, this, want)
    if (status > Lock.GRACE) throw peer.voice.lie('a status of a lock that is none')
    return status as LockStatus
  }
  async getlock(want: Flock): Promise<Flock> {
    const found = await this.#run('reads', (file) => file.getlock(want))
    if (found.type > Lock.UNLCK || nameLength(found.clientId) > NAME_MAX) throw this.peer.voice.lie('a lock that is none')
    return found
  }

  async close(): Promise<void> {
    try {
      for (const lane of this.#lanes.slice(1)) void lane?.close()?.catch(() => {})
      await this.#clunk()
      this.#tell()
    } finally {
      this.peer.locks.ended(this.fid.identity.path, this)
      this.fid.place.release()
    }
  }
  /** On a connection that is gone there is nothing to give back. */
  async #clunk(): Promise<void> {
    const clunked = this.fid.close()
    if (!clunked) return
    try { await this.fid.link.run('once', () => clunked) } catch (e) {
      if (!isErrno(e, 'EIO') && !isErrno(e, 'ETIMEDOUT') && !isErrno(e, 'ECONNRESET')) throw e
      if (this.#dirty) throw e
    }
  }
  async [Symbol.asyncDispose](): Promise<void> { await this.close() }
}
function isDots(name: string): boolean { return name === '.' || name === '..' }
