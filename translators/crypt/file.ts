// A file of the node face: its header, its tags, its pages. One for all nodes and handles of it. FORMAT.md, "The node face: files".

import { Attrs, errno } from 'ninep'
import { NONCE, open, openApart, randomInto, seal, sealApart, TAG } from '../sodium.ts'
import { Turn } from '../turn.ts'
import type { Call, Handle } from '../translator.ts'
import type { Ring } from './ring.ts'

const PAGE = 4096, PAGES = 64, HEADERS = 2 * PAGE, GROUP = PAGE * (1 + PAGES)
const VERSION = 1, OUTER = 3 + NONCE
const MOST_NAMES = 120, MOST_HOLES = 120
/** The largest size: the child's file still has a length that is a number. */
const LARGEST = Math.floor(Number.MAX_SAFE_INTEGER / GROUP) * PAGE * PAGES - PAGE * PAGES
/** Tag pages that are kept, of all files together: 4 KiB each. */
const KEPT = 4096
const none = Buffer.alloc(0)

const pagesOf = (size: number): number => Math.ceil(size / PAGE)
const groupsOf = (size: number): number => Math.ceil(size / (PAGE * PAGES))
const tagsAt = (group: number): number => HEADERS + group * GROUP
const pageAt = (page: number): number => tagsAt(Math.floor(page / PAGES)) + PAGE * (1 + page % PAGES)

/** Where a damage is told: one line in the log, and EIO. */
export interface Damage { (block: string | number, what: string): never }

interface Header {
  readonly id: Buffer; readonly seq: number; readonly size: number; readonly length: number; readonly settled: boolean
  readonly names: readonly Buffer[]
  readonly holes: readonly (readonly [from: number, to: number])[]
}
/** live: for each page the slot that fits it: 0: not known, 1: A, 2: B. */
interface Group { readonly tags: Buffer; readonly live: Uint8Array }
/** The oldest first, and how each is forgotten. A file that is no longer in use leaves its own until then. */
const kept = new Map<Group, () => void>()
const enum Entry { DATA, HOLE, NONE }

// What is used between two awaits only, by all files.
const nonce = Buffer.alloc(NONCE), plain = Buffer.alloc(PAGE), zeros = Buffer.alloc(PAGE)
/** Memory for a group, while a call needs it. */
const spare: Buffer[] = []
const borrow = (): Buffer => spare.pop() ?? Buffer.allocUnsafeSlow(GROUP)
const giveBack = (memory: Buffer): void => { if (spare.length < 4) spare.push(memory) }

export class SealedFile {
  readonly turn = new Turn()
  #header: Header | undefined
  #loading: Promise<Header> | undefined
  #groups = new Map<number, Group>()
  /** By which names it may be reached, as long as it is in use: a node may have been walked to before a rename. */
  readonly #known = new Set<string>()
  #guess = 1
  constructor(readonly ring: Ring) {}

  /** Its size, where that was read already. */
  get size(): number | undefined { return this.#header?.size }
  get id(): Buffer | undefined { return this.#header?.id }
  /** io: of the child, that can be read. */
  load(io: Handle, damage: Damage): Header | Promise<Header> {
    return this.#header ?? (this.#loading ??= this.#load(io, damage).then((header) => {
      for (const name of header.names) this.#known.add(name.toString('latin1'))
      return this.#header = header
    }).finally(() => { this.#loading = undefined }))
  }
  /** EIO unless it may be reached by this name. Loaded. */
  check(name: Buffer | null, damage: Damage): void { if (name && !this.#known.has(name.toString('latin1'))) damage('header', 'it is the file of another name') }

  async #load(io: Handle, damage: Damage): Promise<Header> {
    const memory = borrow()
    let a: Header, b: Header, length: number
    try {
      const bytes = await whole(io, memory.subarray(0, HEADERS), 0)
      length = (await io.getattr(Attrs.SIZE)).size
      if (bytes.length < HEADERS) damage('header', `it was cut to ${bytes.length} bytes`)
      a = this.#open(bytes, 0, damage)
      b = this.#open(bytes, 1, damage)
    } finally { giveBack(memory) }
    if (Math.abs(a.seq - b.seq) !== 1 || a.id.compare(b.id) !== 0) damage('header', 'its two slots do not go together')
    const header = a.seq > b.seq ? a : b
    if (header.settled ? length !== header.length : length > header.length) damage('end', `it has ${length} bytes, and ${header.length} were written`)
    return { ...header, length }                          // not settled: a start before this one was killed on its way there
  }
  #open(bytes: Buffer, slot: number, damage: Damage): Header {
    const at = slot * PAGE, length = bytes.readUInt16BE(at + 1), message = Buffer.alloc(Math.min(length, PAGE - OUTER - TAG))
    if (bytes[at] !== VERSION && bytes[at] !== 0) damage('header', `its slot ${slot} is of version ${bytes[at]}, and this one knows ${VERSION}`)
    if (message.length < 43 || !open(message, bytes.subarray(at + OUTER, at + OUTER + message.length + TAG), bytes.subarray(at + 3, at + OUTER), this.ring.header, Buffer.of(bytes[at]!, slot))) {
      damage('header', `its slot ${slot} was altered, or sealed by another key`)
    }
    const number = (from: number) => Number(message.readBigUInt64BE(from)), n = message[41]!, m = message[42]!
    const header: Header = {
      id: message.subarray(0, 16), seq: number(16), size: number(24), length: number(32), settled: message[40] === 1,
      names: Array.from({ length: n }, (_, i) => message.subarray(43 + 16 * i, 59 + 16 * i)),
      holes: Array.from({ length: m }, (_, i) => [number(43 + 16 * (n + i)), number(51 + 16 * (n + i))] as const),
    }
    if (header.seq % 2 !== slot) damage('header', 'its slots were swapped')
    return header
  }
  #sealed(header: Header): Buffer {
    const { names, holes } = header, message = Buffer.alloc(43 + 16 * (names.length + holes.length)), slot = Buffer.alloc(OUTER + message.length + TAG)
    header.id.copy(message)
    for (const [i, value] of [header.seq, header.size, header.length].entries()) message.writeBigUInt64BE(BigInt(value), 16 + 8 * i)
    message[40] = header.settled ? 1 : 0
    message[41] = names.length
    message[42] = holes.length
    for (const [i, name] of names.entries()) name.copy(message, 43 + 16 * i)
    for (const [i, [from, to]] of holes.entries()) {
      message.writeBigUInt64BE(BigInt(from), 43 + 16 * (names.length + i))
      message.writeBigUInt64BE(BigInt(to), 51 + 16 * (names.length + i))
    }
    slot[0] = VERSION
    slot.writeUInt16BE(message.length, 1)
    randomInto(slot.subarray(3, OUTER))
    seal(slot.subarray(OUTER), message, slot.subarray(3, OUTER), this.ring.header, Buffer.of(VERSION, header.seq % 2))
    return slot
  }
  async #put(io: Handle, change: Partial<Header>): Promise<void> {
    const header = { ...this.#header!, ...change, seq: this.#header!.seq + 1 }
    await writeAll(io, this.#sealed(header), header.seq % 2 * PAGE)
    this.#header = header
  }
  /** The first bytes of a new file. io: of the child, empty, and nobody else has it. */
  async begin(io: Handle, name: Buffer): Promise<void> {
    const id = Buffer.alloc(16), both = Buffer.alloc(HEADERS)
    randomInto(id)
    const first: Header = { id, seq: 1, size: 0, length: HEADERS, settled: true, names: [Buffer.from(name)], holes: [] }, second = { ...first, seq: 2 }
    this.#sealed(first).copy(both, PAGE)
    this.#sealed(second).copy(both, 0)
    await writeAll(io, both, 0)
    this.#header = second
    this.#known.add(name.toString('latin1'))
  }
  /** Gives it a name, or takes one. io: that can be written. EMLINK */
  bind(io: Handle, add: Buffer | null, drop: Buffer | null, damage: Damage): Promise<void> {
    return this.#alone(async () => {
      const { names } = await this.load(io, damage)
      const next = names.filter((name) => !(add && name.equals(add)) && !(drop && name.equals(drop)))
      if (add) {
        if (next.length >= MOST_NAMES) throw errno('EMLINK', 'crypt')
        next.push(Buffer.from(add))
        this.#known.add(add.toString('latin1'))
      }
      if (add || next.length < names.length) await this.#put(io, { names: next })
      if (add) await io.fsync(true)                       // before the name is there, which may be durable at any time
    })
  }
  /** f alone in the file. What failed midway is read again: the child has it as far as it came. */
  async #alone<T>(f: () => Promise<T>): Promise<T> {
    return this.turn.take(true, async () => {
      try { return await f() } catch (e) {
        this.#header = undefined
        this.#groups.clear()
        throw e
      }
    })
  }

  #isHole(group: number): boolean { return this.#header!.holes.some(([from, to]) => from <= group && group < to) }
  async #group(io: Handle, group: number, damage: Damage): Promise<Group> {
    return this.#groups.get(group) ?? this.#found(group, await whole(io, Buffer.alloc(PAGE), tagsAt(group)), damage)
  }
  #found(group: number, tags: Buffer, damage: Damage): Group {
    const found = { tags, live: new Uint8Array(PAGES) }
    if (tags.length < PAGE) damage(group * PAGES, 'its tags were cut off')
    this.#keep(group, found)
    return found
  }
  #keep(group: number, it: Group): void {
    if (kept.size >= KEPT) {
      const [oldest, forget] = kept.entries().next().value!
      kept.delete(oldest)
      forget()
    }
    this.#groups.set(group, it)
    kept.set(it, () => { if (this.#groups.get(group) === it) this.#groups.delete(group) })
  }

  read(io: Handle, into: Uint8Array, offset: number, damage: Damage, call?: Call): Promise<Uint8Array> | Uint8Array {
    return this.turn.take(false, () => this.#readNow(io, into, offset, damage, call) ?? this.#read(io, into, offset, damage, call))
  }
  /** Where header and tags are at hand, and the child's bytes too: in this turn of the loop. undefined: not so. */
  #readNow(io: Handle, into: Uint8Array, offset: number, damage: Damage, call?: Call): Uint8Array | Promise<Uint8Array> | undefined {
    if (!this.#header) return undefined
    const { size } = this.#header, length = Math.min(into.length, size - offset)
    if (length <= 0) return into.subarray(0, 0)
    const first = Math.floor(offset / PAGE), last = Math.ceil((offset + length) / PAGE), group = Math.floor(first / PAGES), it = this.#groups.get(group)
    if (!it || last > (group + 1) * PAGES) return undefined
    const memory = borrow(), answer = io.read(memory.subarray(0, (last - first) * PAGE), pageAt(first), call)
    if (answer instanceof Promise) return answer.then((text) => this.#opened(it, text, memory, first, last, into, offset, length, damage)).finally(() => { giveBack(memory) })
        .then((got) => got ?? this.#read(io, into, offset, damage, call))
    try { return this.#opened(it, answer, memory, first, last, into, offset, length, damage) } finally { giveBack(memory) }
  }
  /** undefined: the child gave less than it may have. */
  #opened(it: Group, got: Uint8Array, memory: Buffer, first: number, last: number, into: Uint8Array, offset: number, length: number, damage: Damage): Uint8Array | undefined {
    if (got.length < (last - first) * PAGE) return undefined
    const text = got.buffer === memory.buffer ? memory : Buffer.from(got.buffer, got.byteOffset, got.length)
    this.#openPages(it, text, first, last, into, offset, offset, offset + length, damage)
    return into.subarray(0, length)
  }
  /** Pages, their text from the first on, over `into`, which begins at `offset` of the file; as far as they lie in [at, stop). */
  #openPages(it: Group, text: Buffer, first: number, last: number, into: Uint8Array, offset: number, at: number, stop: number, damage: Damage): void {
    for (let page = first; page < last; page++) {
      const from = Math.max(at, page * PAGE), to = Math.min(stop, (page + 1) * PAGE), inside = to - from === PAGE
      const out = inside ? into.subarray(from - offset, to - offset) : plain
      this.#openPage(it, page, text.subarray((page - first) * PAGE, (page - first + 1) * PAGE), out, damage)
      if (!inside) into.set(plain.subarray(from - page * PAGE, to - page * PAGE), from - offset)
    }
  }
  async #read(io: Handle, into: Uint8Array, offset: number, damage: Damage, call?: Call): Promise<Uint8Array> {
    const { size } = await this.load(io, damage), length = Math.min(into.length, size - offset)
    if (length <= 0) return into.subarray(0, 0)
    const end = offset + length, memory = borrow()
    try {
      for (let at = offset; at < end;) {
        const first = Math.floor(at / PAGE), group = Math.floor(first / PAGES), last = Math.min(Math.ceil(end / PAGE), (group + 1) * PAGES)
        const stop = Math.min(end, last * PAGE)
        if (this.#isHole(group)) into.fill(0, at - offset, stop - offset)
        else {
          let it = this.#groups.get(group), text: Buffer
          if (!it && first % PAGES === 0) {               // tags and pages in one: all there is to read of a small file
            const all = await whole(io, memory.subarray(0, (1 + last - first) * PAGE), tagsAt(group), call)
            it = this.#found(group, Buffer.from(all.subarray(0, PAGE)), damage)
            text = all.subarray(PAGE)
          } else {
            it ??= await this.#group(io, group, damage)
            text = await this.#text(io, it, first, last, memory, call)
          }
          this.#openPages(it, text, first, last, into, offset, at, stop, damage)
        }
        at = stop
      }
    } finally { giveBack(memory) }
    return into.subarray(0, length)
  }
  /** The bytes of pages of a group: fewer, where the child has fewer. */
  async #text(io: Handle, it: Group, first: number, last: number, memory: Buffer, call?: Call): Promise<Buffer> {
    for (let page = first; page < last; page++) if (entryOf(it.tags, page) === Entry.DATA) return whole(io, memory.subarray(0, (last - first) * PAGE), pageAt(first), call)
    return none
  }
  /** A page to `out`. Which slot fits is known from then on. */
  #openPage(it: Group, page: number, text: Buffer, out: Uint8Array, damage: Damage): void {
    const { tags, live } = it, at = page % PAGES * 64, key = this.ring.file(this.#header!.id), entry = entryOf(tags, page)
    if (entry === Entry.HOLE) {
      setNonce(tags, at, page)
      if (!isNone(tags, at + 32) || !openApart(none, none, tags.subarray(at + 16, at + 32), nonce, key)) damage(page, 'its tag was altered')
      out.fill(0)
      return
    }
    if (text.length < PAGE) damage(page, 'it was cut off')
    const known = live[page % PAGES]!, first = known || this.#guess
    for (const slot of known ? [known] : [first, 3 - first]) {
      const from = at + (slot - 1) * 32
      if (isNone(tags, from)) continue
      setNonce(tags, from, page)
      if (openApart(out, text, tags.subarray(from + 16, from + 32), nonce, key)) {
        live[page % PAGES] = this.#guess = slot
        return
      }
    }
    damage(page, 'it was altered')
  }

  /** At the end, where offset is null. EFBIG */
  write(io: Handle, bytes: Uint8Array, offset: number | null, damage: Damage, call?: Call): Promise<number> {
    return this.#alone(async () => {
      const from = offset ?? (await this.load(io, damage)).size, end = from + bytes.length
      await this.load(io, damage)
      if (bytes.length === 0) return 0
      if (end > LARGEST) throw errno('EFBIG', 'write')
      if (from > this.#header!.size) await this.#grow(io, from, damage)
      const { size, length } = this.#header!, last = pagesOf(end) - 1, needed = pageAt(last) + PAGE
      if (needed > length) await this.#put(io, { length: needed, settled: false })
      await this.#fill(io, Math.floor(from / PAGE / PAGES), Math.floor(last / PAGES) + 1)
      await this.#pages(io, bytes, from, size, damage, call)
      if (end > size || !this.#header!.settled) await this.#put(io, { size: Math.max(size, end), settled: true })
      return bytes.length
    })
  }
  resize(io: Handle, size: number, damage: Damage): Promise<void> {
    return this.#alone(async () => {
      const header = await this.load(io, damage)
      if (size > LARGEST) throw errno('EFBIG', 'setattr')
      if (size > header.size) return this.#grow(io, size, damage)
      const groups = groupsOf(size), holes = header.holes.filter(([from]) => from < groups).map(([from, to]) => [from, Math.min(to, groups)] as const)
      const length = Math.min(header.length, size === 0 ? HEADERS : pageAt(pagesOf(size) - 1) + PAGE)
      for (const group of this.#groups.keys()) if (group >= groups) this.#groups.delete(group)
      if (length === header.length) return this.#put(io, { size, holes, settled: true })
      await this.#put(io, { size, holes, settled: false })
      await io.setattr({ size: length })
      await this.#put(io, { length, settled: true })
    })
  }
  /** Zeros to the new end. */
  async #grow(io: Handle, size: number, damage: Damage): Promise<void> {
    const old = this.#header!.size, group = groupsOf(old) - 1, tail = PAGE - old % PAGE
    if (tail < PAGE && !this.#isHole(group) && entryOf((await this.#group(io, group, damage)).tags, pagesOf(old) - 1) === Entry.DATA) {
      await this.#pages(io, zeros.subarray(0, tail), old, old, damage)
    }
    if (old > 0 && !this.#isHole(group)) {
      const it = await this.#group(io, group, damage), first = pagesOf(old), last = Math.min(pagesOf(size), (group + 1) * PAGES)
      for (let page = first; page < last; page++) this.#setHole(it, page)
      if (last > first) await writeAll(io, it.tags.subarray(first % PAGES * 64, ((last - 1) % PAGES + 1) * 64), tagsAt(group) + first % PAGES * 64)
    }
    let holes = this.#header!.holes
    if (groupsOf(size) > group + 1) {
      const end = holes.at(-1)
      holes = end && end[1] === group + 1 ? [...holes.slice(0, -1), [end[0], groupsOf(size)]] : [...holes, [group + 1, groupsOf(size)]]
    }
    await this.#put(io, { size, holes: await this.#few(io, holes), settled: true })
  }
  #setHole({ tags, live }: Group, page: number): void {
    const at = page % PAGES * 64
    randomInto(tags.subarray(at, at + 16))
    tags[at]! |= 1
    tags.fill(0, at + 32, at + 64)
    setNonce(tags, at, page)
    sealApart(none, tags.subarray(at + 16, at + 32), none, nonce, this.ring.file(this.#header!.id))
    live[page % PAGES] = 0
  }
  /** Groups that were never written get tags of holes, and are then in `holes` no more. */
  async #fill(io: Handle, first: number, end: number): Promise<void> {
    const holes: (readonly [number, number])[] = []
    let some = false
    for (const [from, to] of this.#header!.holes) {
      const lo = Math.max(from, first), hi = Math.min(to, end)
      if (lo >= hi) { holes.push([from, to]); continue }
      some = true
      await this.#writeHoles(io, lo, hi)
      if (from < lo) holes.push([from, lo])
      if (hi < to) holes.push([hi, to])
    }
    if (some) await this.#put(io, { holes: await this.#few(io, holes) })
  }
  async #writeHoles(io: Handle, first: number, end: number): Promise<void> {
    for (let group = first; group < end; group++) {
      const it: Group = { tags: Buffer.alloc(PAGE), live: new Uint8Array(PAGES) }
      for (let page = 0; page < PAGES; page++) this.#setHole(it, group * PAGES + page)
      if (tagsAt(group) + PAGE > this.#header!.length) await this.#put(io, { length: tagsAt(group) + PAGE, settled: false })
      await writeAll(io, it.tags, tagsAt(group))
      this.#keep(group, it)
    }
  }
  /** As many as the header has room for: the smallest are written out. */
  async #few(io: Handle, holes: Header['holes']): Promise<Header['holes']> {
    while (holes.length > MOST_HOLES) {
      const smallest = holes.reduce((a, b) => b[1] - b[0] < a[1] - a[0] ? b : a)
      await this.#writeHoles(io, ...smallest)
      holes = holes.filter((hole) => hole !== smallest)
    }
    return holes
  }

  /** Writes bytes into pages; their groups are in no hole, and the child's file may have the length that it takes. size: what was before is of the file. */
  async #pages(io: Handle, bytes: Uint8Array, offset: number, size: number, damage: Damage, call?: Call): Promise<void> {
    const end = offset + bytes.length, pages = pagesOf(size), room = borrow(), memory = room.subarray(PAGE)
    try {
      for (let at = offset; at < end;) {
        const first = Math.floor(at / PAGE), group = Math.floor(first / PAGES), last = Math.min(Math.ceil(end / PAGE), (group + 1) * PAGES), stop = Math.min(end, last * PAGE)
        const fresh = group * PAGES >= pages
        const it = fresh ? { tags: Buffer.alloc(PAGE), live: new Uint8Array(PAGES) } : await this.#group(io, group, damage)
        const isFull = (page: number) => at <= page * PAGE && stop >= (page + 1) * PAGE
        const isData = (page: number) => page < pages && entryOf(it.tags, page) !== Entry.HOLE
        // Pages that have to be read: in part overwritten, or not known by which slot they read.
        let low = last, high = first
        for (let page = first; page < last; page++) if (isData(page) && (!isFull(page) || it.live[page % PAGES] === 0)) { low = Math.min(low, page); high = page + 1 }
        const text = low < high ? await whole(io, memory.subarray((low - first) * PAGE, (high - first) * PAGE), pageAt(low), call) : none
        const before = Buffer.from(it.tags.subarray(first % PAGES * 64, ((last - 1) % PAGES + 1) * 64)), after = Buffer.from(before)
        const live = it.live.slice(), key = () => this.ring.file(this.#header!.id)
        let holes = 0
        for (let page = first; page < last; page++) {
          const cell = memory.subarray((page - first) * PAGE, (page - first + 1) * PAGE), data = isData(page), full = isFull(page)
          if (data && (!full || live[page % PAGES] === 0)) {
            this.#openPage(it, page, text.subarray((page - low) * PAGE, (page - low + 1) * PAGE), plain, damage)
            live[page % PAGES] = it.live[page % PAGES]!
          } else if (!full) plain.fill(0)
          let message: Uint8Array = plain
          if (full) message = bytes.subarray(page * PAGE - offset, (page + 1) * PAGE - offset)
          else {
            if (size < (page + 1) * PAGE) plain.fill(0, Math.max(0, size - page * PAGE))
            const from = Math.max(at, page * PAGE), to = Math.min(stop, (page + 1) * PAGE)
            plain.set(bytes.subarray(from - offset, to - offset), from - page * PAGE)
          }
          const slot = data ? 3 - live[page % PAGES]! : 1, entry = (page - first) * 64, from = entry + (slot - 1) * 32
          if (!data) after.fill(0, entry, entry + 64)
          randomInto(after.subarray(from, from + 16))
          after[from]! &= 0xfe
          setNonce(after, from, page)
          sealApart(cell, after.subarray(from + 16, from + 32), message, nonce, key())
          live[page % PAGES] = slot
          if (page < pages && !data) holes++
          else after.copy(before, entry, entry, entry + 64)
        }
        const tags = tagsAt(group) + first % PAGES * 64
        if (fresh) before.copy(it.tags, first % PAGES * 64)
        if (fresh && first % PAGES === 0) {               // nothing of it is of the file yet: in one
          it.tags.copy(room)
          await writeAll(io, room.subarray(0, (1 + last - first) * PAGE), tagsAt(group), call)
        } else {
          if (fresh) await writeAll(io, it.tags, tagsAt(group))
          else if (holes < last - first) await writeAll(io, before, tags)
          await writeAll(io, memory.subarray(0, (last - first) * PAGE), pageAt(first), call)
        }
        if (holes > 0) await writeAll(io, after, tags)
        after.copy(it.tags, first % PAGES * 64)
        it.live.set(live)
        if (fresh) this.#keep(group, it)
        at = stop
      }
    } finally { giveBack(room) }
  }
}

function setNonce(tags: Buffer, at: number, page: number): void {
  tags.copy(nonce, 0, at, at + 16)
  nonce.writeUInt32BE(Math.floor(page / 2 ** 32), 16)
  nonce.writeUInt32BE(page % 2 ** 32, 20)
}
function isNone(tags: Buffer, at: number): boolean {
  for (let i = at; i < at + 32; i += 4) if (tags.readInt32LE(i) !== 0) return false
  return true
}
/** What a page's tags say it is. */
function entryOf(tags: Buffer, page: number): Entry {
  const at = page % PAGES * 64
  if ((tags[at]! | tags[at + 32]!) & 1) return Entry.HOLE
  return isNone(tags, at) && isNone(tags, at + 32) ? Entry.NONE : Entry.DATA
}

/** As much as there is, at most into.length, in `into`. */
async function whole(io: Handle, into: Buffer, offset: number, call?: Call): Promise<Buffer> {
  let have = 0
  while (have < into.length) {
    const rest = into.subarray(have), answer = io.read(rest, offset + have, call), got = answer instanceof Promise ? await answer : answer
    if (got.length === 0) break
    if (got.buffer !== rest.buffer || got.byteOffset !== rest.byteOffset) rest.set(got)
    have += got.length
  }
  return into.subarray(0, have)
}
async function writeAll(io: Handle, bytes: Uint8Array, offset: number, call?: Call): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const n = io.write(bytes.subarray(done), offset + done, call)
    done += n instanceof Promise ? await n : n
  }
}
