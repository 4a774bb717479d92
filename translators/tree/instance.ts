// What all trees of one state folder share: journal, database, blobs, counters; and the way of a change into all of them. A change is
// one record; it is made in one turn of the loop, so no other sees half of it.

import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errno, isErrno } from 'ninep'
import { now } from '../clock.ts'
import type { Log } from '../options.ts'
import type { Awaitable, Blobs } from '../translator.ts'
import { Reader } from './blob.ts'
import { Chunks } from './chunks.ts'
import { isSegment, Journal } from './journal.ts'
import type { Found, Segment } from './journal.ts'
import { be32, be64, kindOf, META, RESERVED, snapshotKey, treeOf, u32 } from './keys.ts'
import { BARRIER, decodeHead, decodeOps, DELETE, encodeRecord, MAP, MOVE, PUT, SLICE, TRIM } from './record.ts'
import type { Op } from './record.ts'
import { levelDB, Store } from './store.ts'
import type { Database } from './store.ts'
import { decodeBlobInfo, decodeMeta, decodeReserved, decodeSnapshot, decodeState, encodeReserved, VERSION } from './values.ts'
import type { Meta, State } from './values.ts'

export type Durability = 'sync' | 'group' | 'async'
export interface Setting {
  readonly dir: string
  readonly blobs: Blobs
  readonly durability: Durability
  readonly log: Log
  /** Bytes after which a segment of the journal is full. */
  readonly segment: number
  /** What has the keys, if not LevelDB in a folder of `dir`. */
  readonly database?: Database
}

/** Numbers that one durable reservation is good for. */
const RANGE = 65536
/** LevelDB is written when the journal has this much more, bytes, when this much is to be written, or after so long, milliseconds. */
const BEHIND = 32 * 2 ** 20, CHANGES = 8 * 2 ** 20, LATE = 5000
/** With more than this to be written, bytes, replies wait. */
const TOO_MUCH = 4 * CHANGES
/** Bytes that are kept free for the database, once so many records were made; how often it is tried to be opened again, milliseconds. */
const RESERVE = 8 * 2 ** 20, WITHOUT = 4096, AGAIN = 1000
/** `async`: how long records may stay in memory, milliseconds. */
const HELD = 20

/** A blob that nothing refers to since record `seq`. */
interface Doomed { readonly seq: number; readonly id: string; readonly size: number }

export class Instance {
  readonly journal: Journal
  readonly chunks: Chunks
  readonly reader: Reader
  readonly states = new Map<number, State>()
  /** Inodes, and bytes of data, that there are. */
  files = 0
  used = 0
  #ino = 0
  #cookie = 0
  #inoEnd = 0
  #cookieEnd = 0
  #mount = ''
  #blobs = 0
  /** Of the last record that LevelDB has, that names a blob, and of the last up to which blobs are durable. */
  applied = 0
  #named = 0
  #barrier = 0
  #failed: unknown
  #since = 0
  #flushing: Promise<void> | undefined
  #syncing: Promise<void> | undefined
  #frozen: { seq: number; files: number; used: number } | undefined
  #timer: NodeJS.Timeout | undefined
  /** Whether there is a reserve. */
  #reserved = false
  #pushing: NodeJS.Timeout | undefined
  #doomed: Doomed[] = []
  /** Reads of blobs under way, each with the number of the last record when it began; the oldest first. */
  #reads = new Set<{ readonly seq: number }>()
  /** Bytes of blobs that are to be dropped. */
  doomedBytes = 0
  #record: Uint8Array = new Uint8Array()
  /** After LevelDB was written. */
  onFlush: (() => void) | undefined
  /** The database can't be asked until this settles. */
  pause: ((open: Promise<void>) => void) | undefined
  /** Whether changes come faster than data can be moved out of the journal: then replies wait. */
  crowded: (() => Promise<void> | undefined) | undefined
  closed = false

  private constructor(readonly setting: Setting, readonly store: Store, readonly uuid: Buffer) {
    this.journal = new Journal(join(setting.dir, 'journal'), uuid, setting.segment, setting.durability === 'async')
    this.chunks = new Chunks(store, (t) => this.state(t), (id, size) => this.doom(id, size))
    this.reader = new Reader(setting.blobs, uuid)
  }

  /** first: the operations that make a new file system, of so many files. EBUSY EIO EPROTONOSUPPORT ENOTEMPTY */
  static async open(setting: Setting, first: () => readonly Op[]): Promise<Instance> {
    mkdirSync(setting.dir, { recursive: true, mode: 0o700 })
    const store = new Store(setting.database ?? levelDB(join(setting.dir, 'db'), 16 * 2 ** 20))
    await store.open()
    let instance: Instance | undefined
    try {
      const value = store.get(META), fresh = value === undefined
      if (value && value.readUInt32BE(0) !== VERSION) throw errno('EPROTONOSUPPORT', `tree: ${setting.dir} is of version ${value.readUInt32BE(0)}, and this server reads version ${VERSION}`)
      const meta: Meta = value ? decodeMeta(value) : { version: VERSION, uuid: randomBytes(16), applied: 0, files: 0, used: 0, mount: '' }
      instance = new Instance(setting, store, Buffer.from(meta.uuid))
      await instance.#start(meta, fresh, first)
      return instance
    } catch (e) {
      instance?.journal.close()
      await store.close()
      throw e
    }
  }

  async #start(meta: Meta, fresh: boolean, first: () => readonly Op[]): Promise<void> {
    const { store, journal } = this
    if (fresh && journal.segments.length > 0) throw errno('EIO', `tree: ${this.setting.dir} has a journal and no database`)
    this.applied = meta.applied
    this.files = meta.files
    this.used = meta.used
    this.#mount = randomBytes(8).toString('latin1')
    await this.#claim(fresh)
    const reserved = store.get(RESERVED)
    if (reserved) ({ ino: this.#ino, cookie: this.#cookie } = decodeReserved(reserved))
    else this.#ino = this.#cookie = 2               // 1 is the root's
    await this.#replay(meta.applied)
    const later = store.get(RESERVED)                     // the journal may have reserved more
    if (later) ({ ino: this.#ino, cookie: this.#cookie } = decodeReserved(later))
    this.#inoEnd = this.#ino + RANGE
    this.#cookieEnd = this.#cookie + RANGE
    store.put(RESERVED, encodeReserved(this.#inoEnd, this.#cookieEnd))
    journal.begin(journal.seq)
    if (fresh) for (const op of first()) if (op.op === PUT) store.put(op.key, op.value)
    if (fresh) this.files = 1
    this.#barrier = journal.seq
    store.freeze()
    await this.setting.blobs.sync()
    await store.write({ ...meta, applied: journal.seq, files: this.files, used: this.used, mount: this.#mount })
    this.applied = journal.seq
    this.#timer = setInterval(() => { if (this.store.dirty && !this.#failed) this.flush().catch(() => {}) }, LATE).unref()
  }
  /** The child is ours, or says whose it is. */
  async #claim(fresh: boolean): Promise<void> {
    const { blobs } = this.setting
    let there: Uint8Array | undefined
    try { there = await blobs.getRecord('tree') } catch (e) { if (!isErrno(e, 'ENOENT')) throw e }
    if (there && !Buffer.from(there).subarray(8, 24).equals(this.uuid)) {
      throw errno('EIO', `tree: what is below holds the data of another tree, and its state is not in ${this.setting.dir}`)
    }
    if (!there && !fresh) throw errno('EIO', `tree: what is below does not hold the data of the tree in ${this.setting.dir}`)
    const record = Buffer.alloc(32)
    record.writeUInt32BE(VERSION, 0)
    this.uuid.copy(record, 8)
    record.write(this.#mount, 24, 8, 'latin1')
    await blobs.putRecord('tree', record)
    await blobs.sync()
    this.#record = record
  }

  /** Reads again what LevelDB has not got, as far as it is whole. */
  async #replay(applied: number): Promise<void> {
    const { journal } = this, log = (message: string) => this.setting.log.warn({ tree: this.setting.dir }, message)
    let barrier = applied
    if (journal.segments.length > 0) journal.syncNow()        // LevelDB is about to be written past it
    for (const { bytes } of journal.replay(applied + 1, log)) {
      for (const op of decodeOps(bytes, 0)) if (op.op === BARRIER) barrier = Math.max(barrier, op.upto)
    }
    for (const found of journal.replay(applied + 1, log)) {
      if (found.seq > barrier && !await this.#whole(found)) {
        log(`a blob that record ${found.seq} names is not whole: what was done from there on is lost`)
        journal.cut(found)
        break
      }
      const { files, used } = decodeHead(found.bytes)
      this.#apply(decodeOps(found.bytes, found.at), found.segment.id, 0)
      this.files = files
      this.used = used
      if (this.store.bytes > TOO_MUCH) {
        this.store.freeze()
        await this.store.write({ version: VERSION, uuid: this.uuid, applied: found.seq, files, used, mount: this.#mount })
      }
    }
  }
  /** Whether all blobs that a record names are there, whole. */
  async #whole({ bytes, at }: Found): Promise<boolean> {
    const sizes = new Map<string, number>(), named = new Map<string, number>()
    for (const op of decodeOps(bytes, at)) {
      if (op.op === PUT && kindOf(op.key) === 'B') sizes.set(op.key.slice(5), decodeBlobInfo(op.value).size)
      else if (op.op === MAP && !isSegment(op.blob)) named.set(op.blob, op.t)
      else if (op.op === MOVE) for (const { to } of op.moves) named.set(to, treeOf(op.key))
    }
    for (const [id, t] of named) {
      const size = sizes.get(id) ?? this.chunks.info(t, id)?.size
      if (size === undefined) return false
      try { await this.reader.verify(id, size) } catch (e) {
        if (isErrno(e, 'EIO')) return false
        throw e
      }
    }
    return true
  }

  state(t: number): State {
    let state = this.states.get(t)
    if (!state) {
      const value = this.store.get(`${be32(t)}T`)
      if (!value) throw errno('EIO', 'tree: the state of a tree is missing', String(t))
      this.states.set(t, state = decodeState(value))
    }
    return state
  }
  /** The first list of the snapshot after epoch `last`, or the head's current one. */
  listAfter(t: number, last: number): number {
    const { s, lists } = this.state(t)
    for (let epoch = last + 1; epoch <= s; epoch++) {
      const value = this.store.get(snapshotKey(t, epoch))
      if (value) return decodeSnapshot(value).lists[0]!
    }
    return lists.at(-1)!
  }
  takeIno(): number {
    if (this.#ino >= this.#inoEnd) this.#reserve()
    return this.#ino++
  }
  takeCookie(): number {
    if (this.#cookie >= this.#cookieEnd) this.#reserve()
    return this.#cookie++
  }
  /** All cookies that were given out are below. */
  get nextCookie(): number { return this.#cookie }
  /** Makes sure that no number of the next range was ever given out, whatever happens. */
  #reserve(): void {
    const inoEnd = this.#ino + RANGE, cookieEnd = this.#cookie + RANGE
    void this.commit([{ op: PUT, key: RESERVED, value: encodeReserved(inoEnd, cookieEnd) }], 0, 0, true)
    try { this.journal.syncNow() } catch (e) { throw this.fail(e) }
    this.#inoEnd = inoEnd
    this.#cookieEnd = cookieEnd
  }
  /** The id of a blob that is about to be put. */
  takeBlob(): string { return this.#mount + be64(++this.#blobs) }
  /** Blobs of this run, for gc: what it puts now may not be named yet. */
  isOurs(id: string): boolean { return id.startsWith(this.#mount) }

  /**
   * Makes a change: the record first, then what follows from it. files, used: by how much the counters change. When it returns the change is made; what is
   * returned is to be waited for before the reply. EROFS: the tree takes no changes any more; ENOSPC EIO, and nothing has changed.
   */
  commit(ops: readonly Op[], files: number, used: number, inner = false): Awaitable<void> {
    if (this.#failed || this.closed) throw errno('EROFS', 'tree')
    const { journal } = this, { sec, nsec } = now()
    const bytes = encodeRecord({ seq: journal.seq + 1, files: this.files + files, used: this.used + used, time: sec * 1e6 + Math.floor(nsec / 1000) }, ops)
    let id: string, base: number
    try {
      const { segment, at } = journal.place(bytes.length)
      id = segment.id
      base = at
      journal.append(bytes)
    } catch (e) { throw isErrno(e, 'ENOSPC') || isErrno(e, 'EDQUOT') ? e : this.fail(e) }
    try { this.#apply(ops, id, base) } catch (e) { throw this.fail(e) }
    this.files += files
    this.used += used
    this.#since += bytes.length
    if (inner) return
    if (this.#since > BEHIND || this.store.bytes > CHANGES) this.flush().catch(() => {})
    if (this.setting.durability === 'sync') return this.sync()
    if (journal.held && !this.#pushing) this.#pushing = setTimeout(() => this.#push(), HELD)
    if (this.store.bytes > TOO_MUCH && this.#flushing) return this.#flushing.catch(() => {})
    return this.crowded?.()
  }
  #push(): void {
    this.#pushing = undefined
    try { this.journal.push() } catch (e) { this.fail(e) }
  }

  #apply(ops: Iterable<Op>, segment: string, base: number): void {
    const { store, chunks } = this
    let born: Map<string, number> | undefined              // by key: the last snapshot that its data are of, of those that are not of the head alone
    for (const op of ops) switch (op.op) {
      case PUT: {
        const kind = op.key[4]
        store.put(op.key, op.value)
        if (kind === 'T') this.states.set(treeOf(op.key), decodeState(op.value))
        else if (kind === 'B') (born ??= new Map()).set(op.key, 0)
        else if (kind === 'K' || kind === 'h') chunks.forget(op.key)
        break
      }
      case DELETE:
        store.put(op.key, null)
        if (op.key[4] === 'K' || op.key[4] === 'h') chunks.forget(op.key)
        break
      case SLICE: chunks.map(op.t, op.ino, op.chunk, { off: op.off, len: op.data.length, blob: segment, at: base + op.at }); break
      case MAP:
        chunks.map(op.t, op.ino, op.chunk, { off: op.off, len: op.len, blob: op.blob, at: op.at })
        this.#named = this.journal.seq
        break
      case TRIM: chunks.trim(op.t, op.ino, op.chunk, op.keep); break
      case MOVE:
        chunks.move(treeOf(op.key), op.key, op.moves)
        this.#named = this.journal.seq
        if (born && op.key[4] === 'h') for (const key of born.keys()) born.set(key, Math.max(born.get(key)!, u32(op.key, op.key.length - 4)))
        break
      case BARRIER: this.#barrier = Math.max(this.#barrier, op.upto)
    }
    for (const [key, last] of born ?? []) {               // a blob that nothing of the head came to refer to
      const t = u32(key, 0), id = key.slice(5), info = chunks.info(t, id)
      if (info && info.live === 0 && info.list === 0) chunks.die(t, id, info, this.listAfter(t, last))
    }
  }

  /** All changes up to now survive power loss. */
  async sync(): Promise<void> {
    try {
      const want = this.#named
      while (this.#barrier < want) {
        this.#syncing ??= this.#syncBlobs().finally(() => { this.#syncing = undefined })
        await this.#syncing
      }
    } finally { this.#check() }
    try { await this.journal.sync() } catch (e) { throw this.fail(e) }
  }
  async #syncBlobs(): Promise<void> {
    const upto = this.journal.seq
    await this.setting.blobs.sync()
    if (this.#barrier < upto) void this.commit([{ op: BARRIER, upto }], 0, 0, true)
  }
  #check(): void { if (this.#failed) throw this.#failed }

  /** Brings LevelDB up to date with all changes before this call. A flush that is under way may have begun before the last of them. */
  async settle(): Promise<void> {
    await this.#flushing?.catch(() => {})
    await this.flush()
  }
  /** Brings LevelDB up to date, and drops what died. */
  flush(): Promise<void> {
    return this.#flushing ??= this.#flush().catch((e: unknown) => {
      this.setting.log.warn({ tree: this.setting.dir, err: e }, 'the database could not be written')
      throw e
    }).finally(() => { this.#flushing = undefined })
  }
  async #flush(): Promise<void> {
    const { store, journal } = this
    if (!store.writing) {
      store.freeze()
      this.#frozen = { seq: journal.seq, files: this.files, used: this.used }
      this.#since = 0
    }
    const { seq, files, used } = this.#frozen!
    await this.sync()
    await this.#stillOurs()
    try { await store.write({ version: VERSION, uuid: this.uuid, applied: seq, files, used, mount: this.#mount }) } catch (e) {
      const open = this.#reopen()
      this.pause?.(open)
      await open
      throw e
    }
    this.applied = seq
    await this.#keepReserve()
    this.onFlush?.()
    await this.#drop()
  }
  /** Until the database is open again there is nothing that could be answered. */
  async #reopen(): Promise<void> {
    await rm(this.#spare, { force: true })
    this.#reserved = false
    for (let tries = 0; !this.closed; tries++) {
      try { return await this.store.reopen() } catch (err) {
        if (tries === 0) this.setting.log.error({ tree: this.setting.dir, err }, 'the database can\'t be opened again for now: all wait until it can')
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN).unref())
    }
  }
  get #spare(): string { return join(this.setting.dir, 'reserve') }
  /** Room that nobody else can take, so that a full disk does not keep the database from being opened again. A small tree has none. */
  async #keepReserve(): Promise<void> {
    if (this.#reserved || this.applied < WITHOUT) return
    this.#reserved = true
    try { await writeFile(this.#spare, Buffer.alloc(RESERVE)) } catch {
      this.#reserved = false
      await rm(this.#spare, { force: true })
    }
  }
  /** ESTALE, and no more changes: another server has taken over what is below. */
  async #stillOurs(): Promise<void> {
    const there = await this.setting.blobs.getRecord('tree')
    if (Buffer.compare(there, this.#record) !== 0) throw this.fail(errno('ESTALE', 'tree: another server writes to what is below: this one stops'))
  }
  /** Nothing refers to a blob since the record that was just made: it is dropped in its time. */
  doom(id: string, size: number): void {
    this.#doomed.push({ seq: this.journal.seq, id, size })
    this.doomedBytes += size
  }
  isDoomed(id: string): boolean { return this.#doomed.some((each) => each.id === id) }
  /** Drops the dead, as far as LevelDB knows that they are and nobody reads them. */
  async #drop(): Promise<void> {
    const [oldest] = this.#reads, before = Math.min(this.applied, oldest?.seq ?? Infinity)
    let count = 0
    while (count < this.#doomed.length && this.#doomed[count]!.seq <= before) count++
    const gone = this.#doomed.splice(0, count)
    for (let i = 0; i < gone.length; i += 1000) {
      const some = gone.slice(i, i + 1000)
      for (const { id } of some) this.reader.forget(id)
      try { await this.setting.blobs.drop(some.map(({ id }) => Buffer.from(id, 'latin1'))) } finally { for (const { size } of some) this.doomedBytes -= size }
    }
  }
  /** f reads blobs that may die meanwhile: they are kept until it is done. */
  reading<T>(f: () => Awaitable<T>): Awaitable<T> {
    const read = { seq: this.journal.seq }
    this.#reads.add(read)
    let result: Awaitable<T>
    try { result = f() } catch (e) { this.#reads.delete(read); throw e }
    if (result instanceof Promise) return result.finally(() => this.#reads.delete(read))
    this.#reads.delete(read)
    return result
  }

  /** No changes any more: what is in memory may not be what is stored. */
  fail(e: unknown): unknown {
    if (!this.#failed) {
      this.#failed = e
      this.setting.log.error({ tree: this.setting.dir, err: e }, 'a change could not be recorded: the tree is read-only from here on')
    }
    return e
  }
  get failed(): unknown { return this.#failed }
  remove(segment: Segment): void { this.journal.remove(segment) }

  async close(): Promise<void> {
    if (this.closed) return
    clearInterval(this.#timer)
    clearTimeout(this.#pushing)
    try {
      await this.#flushing?.catch(() => {})
      if (!this.#failed) await this.flush()
    } finally {
      this.closed = true
      this.journal.close()
      await this.store.close()
    }
  }
  /** Ends as a killed process would: what was handed to the kernel is there, and nothing more is done. */
  async kill(): Promise<void> {
    clearInterval(this.#timer)
    clearTimeout(this.#pushing)
    this.#failed ??= errno('EIO', 'tree: it was killed')
    this.closed = true
    await this.#flushing?.catch(() => {})
    this.journal.close()
    await this.store.close()
  }
}
