// The one table of record locks (Tlock, Tgetlock): POSIX semantics over ranges of bytes, for all connections together.
//
// An owner is a process of a client of a connection. What it locks replaces what it held there, so its ranges split and
// merge; a conflict refuses the whole request. One that may wait is kept in the queue of its file, and granted by a
// callback in the very turn of the release that made room.
//
// Fairness: waiters are granted in order, and who comes later waits behind those it conflicts with, even where the locks
// alone would let it in: else readers that come and go would starve a writer. Only an owner that holds nothing is held
// back so, since one that holds something might be whom the others wait for. So every wait is, in the end, for a
// holder; and a request that would wait, across whatever chain, for itself is refused with EDEADLK.

import { Lock, errno } from 'ninep'
import type { Flock, LockStatus } from 'ninep'

/** Locks a connection may hold: 64 Ki of them are some 20 MiB, and databases use a handful a process. Then ENOLCK. */
export const MAX_LOCKS = 65_536
/** Requests of a connection that may wait: a thread of the client sleeps behind each. Then ENOLCK. */
export const MAX_WAITERS = 1024
/** How many edges of the graph of waits are followed. A longer chain waits, and Tflush ends it. */
const MAX_EDGES = 4096
/** The last byte there is; a lock up to here is one to the end of file, however long that grows. */
const LAST = 2n ** 63n - 1n

/** A request that waits. cancel: forget it, without a callback (Tflush); nothing if it has been settled. */
export interface Waiting { cancel(): void }

/** Bytes from start to end, both included. */
interface Range { readonly start: bigint; readonly end: bigint; readonly type: number; readonly owner: Owner | undefined }
interface Span extends Range { readonly owner: Owner; readonly fid: object; readonly file: File }
interface Waiter extends Span { readonly settle: (status: LockStatus) => void }
interface Owner { readonly connection: Connection; readonly procId: number; readonly clientId: string; held: number; readonly waiting: Set<Waiter> }
interface Connection { readonly key: object; readonly owners: Map<string, Owner>; readonly locks: Set<Span>; readonly waiters: Set<Waiter> }
/** byOwner: what each holds, ascending. waiters: first come, first. */
interface File { readonly key: string | bigint; readonly held: Spans; readonly byOwner: Map<Owner, Span[]>; readonly waiters: Set<Waiter> }

export class LockTable {
  readonly #files = new Map<string | bigint, File>()
  readonly #connections = new Map<object, Connection>()
  /** Locks and waiters by the fid they came through. */
  readonly #fids = new Map<object, Set<Span | Waiter>>()

  /**
   * Tlock on the file `key`; the owner is want's process of want's client on this connection. SUCCESS; BLOCKED on a
   * conflict; or, with Lock.BLOCK and `settled`, a Waiting: then settled is called once, with SUCCESS when it is granted,
   * ERROR when its fid goes, and never after cancel() or releaseConnection(). settled may call the table.
   * EINVAL: no such type, flag or start; EOVERFLOW: beyond 2^63; ENOLCK: too many; EDEADLK: it would wait for itself.
   */
  lock(key: string | bigint, connection: object, fid: object, want: Flock, settled?: (status: LockStatus) => void): LockStatus | Waiting {
    const { start, end } = bounds(want)
    if (want.flags & ~(Lock.BLOCK | Lock.RECLAIM)) throw errno('EINVAL', 'lock')
    const file = this.#file(key), owner = this.#owner(connection, want), { type } = want
    const span: Span = { start, end, type, owner, fid, file }
    try {
      const wait = want.flags & Lock.BLOCK ? settled : undefined
      const conflict = type !== Lock.UNLCK && file.held.conflict(span) !== undefined
      const behind = wait !== undefined && owner.held === 0 && [...file.waiters].some((ahead) => conflicts(ahead, span))
      if (type === Lock.UNLCK || (!conflict && !behind)) {
        if (this.#set(span)) this.#wake(file)
        this.#wakeElsewhere(owner)
        return Lock.SUCCESS
      }
      if (!wait) return Lock.BLOCKED
      if (owner.connection.waiters.size >= MAX_WAITERS) throw errno('ENOLCK', 'lock')
      if (this.#waitsForItself(span)) throw errno('EDEADLK', 'lock')
      const waiter: Waiter = { ...span, settle: wait }
      this.#enqueue(waiter)
      return { cancel: () => { if (this.#dequeue(waiter)) this.#wake(file) } }
    } finally {
      this.#tidy(file, owner)
    }
  }

  /** Tgetlock: a lock of another owner that keeps this one from being set, as Rgetlock tells it; else `want` with type
   *  UNLCK. Type UNLCK asks as WRLCK does, since that is what kernels send. */
  getlock(key: string | bigint, connection: object, want: Flock): Flock {
    const owner = this.#connections.get(connection)?.owners.get(idOf(want))
    const range = { ...bounds(want), type: want.type === Lock.RDLCK ? Lock.RDLCK : Lock.WRLCK, owner }
    const found = this.#files.get(key)?.held.conflict(range)
    if (!found) return { ...want, type: Lock.UNLCK }
    const { procId, clientId } = found.owner
    return { type: found.type, flags: 0, start: found.start, length: found.end === LAST ? 0n : found.end - found.start + 1n, procId, clientId }
  }

  /** The fid is clunked: what was locked through it is unlocked, and what waits through it is settled with ERROR. */
  releaseFid(fid: object): void {
    const spans = [...this.#fids.get(fid) ?? []], waiters = spans.filter(isWaiter)
    this.#release(spans.filter((span) => !isWaiter(span)), waiters, true)
  }

  /** The connection is gone or begins anew: nothing of it stays, nothing of it is called. */
  releaseConnection(connection: object): void {
    const found = this.#connections.get(connection)
    if (found) this.#release([...found.locks], [...found.waiters], false)
  }

  /** How much there is of everything; all zero once all is released. */
  get counts(): { readonly files: number; readonly owners: number; readonly fids: number; readonly locks: number; readonly waiters: number } {
    let owners = 0, locks = 0, waiters = 0
    for (const c of this.#connections.values()) { owners += c.owners.size; locks += c.locks.size; waiters += c.waiters.size }
    return { files: this.#files.size, owners, fids: this.#fids.size, locks, waiters }
  }

  #file(key: string | bigint): File {
    let file = this.#files.get(key)
    if (!file) this.#files.set(key, file = { key, held: new Spans(), byOwner: new Map(), waiters: new Set() })
    return file
  }
  #owner(key: object, { procId, clientId }: Flock): Owner {
    let connection = this.#connections.get(key)
    if (!connection) this.#connections.set(key, connection = { key, owners: new Map(), locks: new Set(), waiters: new Set() })
    const id = idOf({ procId, clientId })
    let owner = connection.owners.get(id)
    if (!owner) connection.owners.set(id, owner = { connection, procId, clientId, held: 0, waiting: new Set() })
    return owner
  }
  /** Forgets a file and an owner of which nothing is left. */
  #tidy(file: File, owner: Owner): void {
    const { connection } = owner, { owners } = connection
    if (file.byOwner.size === 0 && file.waiters.size === 0 && this.#files.get(file.key) === file) this.#files.delete(file.key)
    if (owner.held > 0 || owner.waiting.size > 0 || owners.get(idOf(owner)) !== owner) return
    owners.delete(idOf(owner))
    if (owners.size === 0) this.#connections.delete(connection.key)
  }

  /** Gives the owner this span, or takes it away where type is UNLCK. True where others may now lock what they could not. ENOLCK. */
  #set(span: Span): boolean {
    const { owner, file, fid, type } = span, { connection } = owner
    const list = file.byOwner.get(owner) ?? []
    const from = lowest(list, span.start - 1n)              // the first that overlaps or touches
    const before: Span[] = [], after: Span[] = []
    let { start, end } = span, to = from, eased = false
    for (; to < list.length && list[to]!.start <= span.end + 1n; to++) {
      const old = list[to]!
      if (old.type === type && old.fid === fid) {
        if (old.start < start) start = old.start
        if (old.end > end) end = old.end
      } else if (old.end < span.start) before.push(old)
      else if (old.start > span.end) after.push(old)
      else {
        if (type === Lock.UNLCK || type < old.type) eased = true
        if (old.start < span.start) before.push({ ...old, end: span.start - 1n })
        if (old.end > span.end) after.push({ ...old, start: span.end + 1n })
      }
    }
    const now = type === Lock.UNLCK ? [...before, ...after] : [...before, { ...span, start, end }, ...after]
    const more = now.length - (to - from)
    if (more > 0 && connection.locks.size + more > MAX_LOCKS) throw errno('ENOLCK', 'lock')

    const old = list.splice(from, to - from, ...now)
    for (const gone of old) if (!now.includes(gone)) this.#drop(gone)
    for (const fresh of now) {
      if (old.includes(fresh)) continue
      file.held.add(fresh)
      connection.locks.add(fresh)
      owner.held++
      this.#through(fresh)
    }
    if (list.length > 0) file.byOwner.set(owner, list)
    else file.byOwner.delete(owner)
    return eased
  }
  #drop(span: Span): void {
    span.file.held.delete(span)
    span.owner.connection.locks.delete(span)
    span.owner.held--
    this.#notThrough(span)
  }

  #enqueue(waiter: Waiter): void {
    waiter.file.waiters.add(waiter)
    waiter.owner.waiting.add(waiter)
    waiter.owner.connection.waiters.add(waiter)
    this.#through(waiter)
  }
  /** False if it is no longer waiting. */
  #dequeue(waiter: Waiter): boolean {
    if (!waiter.file.waiters.delete(waiter)) return false
    waiter.owner.waiting.delete(waiter)
    waiter.owner.connection.waiters.delete(waiter)
    this.#notThrough(waiter)
    this.#tidy(waiter.file, waiter.owner)
    return true
  }

  #through(span: Span): void {
    const spans = this.#fids.get(span.fid)
    if (spans) spans.add(span)
    else this.#fids.set(span.fid, new Set([span]))
  }
  #notThrough(span: Span): void {
    const spans = this.#fids.get(span.fid)!
    spans.delete(span)
    if (spans.size === 0) this.#fids.delete(span.fid)
  }

  /** Grants, in order, what now can be. */
  #wake(file: File): void {
    const ahead = new Spans()
    let again = false
    for (const waiter of [...file.waiters]) {
      if (!file.waiters.has(waiter)) continue               // a callback has ended it
      const { settle, ...span } = waiter
      if (file.held.conflict(span) || (span.owner.held === 0 && ahead.conflict(span))) { ahead.add(span); continue }
      let status: LockStatus = Lock.SUCCESS
      try { if (this.#set(span)) again = true } catch { status = Lock.ERROR }
      this.#dequeue(waiter)
      settle(status)
      this.#wakeElsewhere(span.owner)
    }
    if (again) this.#wake(file)
  }
  /** An owner that has come to hold something is held back by no one, wherever else it waits. */
  #wakeElsewhere(owner: Owner): void {
    if (owner.held > 0) for (const file of new Set([...owner.waiting].map((waiter) => waiter.file))) this.#wake(file)
  }

  /** Whether those this span would wait for wait, directly or not, for its owner. */
  #waitsForItself(span: Span): boolean {
    const seen = new Set<Owner>(), todo = [span]
    let edges = 0, found = false
    for (let next = todo.pop(); next !== undefined && !found && edges < MAX_EDGES; next = todo.pop()) {
      next.file.held.conflict(next, ({ owner }) => {
        if (owner === span.owner) found = true
        else if (!seen.has(owner)) { seen.add(owner); todo.push(...owner.waiting) }
        return found || ++edges >= MAX_EDGES
      })
    }
    return found
  }

  #release(locks: readonly Span[], waiters: readonly Waiter[], tell: boolean): void {
    for (const waiter of waiters) this.#dequeue(waiter)
    const gone = new Set(locks), touched = new Map<Span[], Span>()
    for (const span of locks) {
      touched.set(span.file.byOwner.get(span.owner)!, span)
      this.#drop(span)
    }
    for (const [list, { file, owner }] of touched) {
      const rest = list.filter((span) => !gone.has(span))
      if (rest.length > 0) file.byOwner.set(owner, rest)
      else file.byOwner.delete(owner)
      this.#tidy(file, owner)
    }
    if (tell) for (const waiter of waiters) waiter.settle(Lock.ERROR)
    for (const file of new Set([...locks, ...waiters].map((span) => span.file))) this.#wake(file)
  }
}

function idOf({ procId, clientId }: { readonly procId: number; readonly clientId: string }): string { return `${procId} ${clientId}` }
function isWaiter(span: Span | Waiter): span is Waiter { return 'settle' in span }

/** First and last byte of a request. EINVAL EOVERFLOW. */
function bounds({ type, start, length }: Flock): { start: bigint; end: bigint } {
  if (type > Lock.UNLCK || start < 0n || start > LAST) throw errno('EINVAL', 'lock')
  const end = length === 0n ? LAST : start + length - 1n
  if (end > LAST) throw errno('EOVERFLOW', 'lock')
  return { start, end }
}
function conflicts(a: Range, b: Range): boolean {
  return a.owner !== b.owner && a.start <= b.end && b.start <= a.end && (a.type === Lock.WRLCK || b.type === Lock.WRLCK)
}
/** Index of the first of these, ascending and apart, that ends at `at` or after. */
function lowest(list: readonly Span[], at: bigint): number {
  let low = 0, high = list.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (list[middle]!.end < at) low = middle + 1
    else high = middle
  }
  return low
}

/** Spans of many owners, which may overlap: reads and writes apart, since a read has only writes to fear. */
class Spans {
  readonly #reads = new Tree()
  readonly #writes = new Tree()
  add(span: Span): void { this.#of(span).add(span) }
  delete(span: Span): void { this.#of(span).delete(span) }
  /** A span of another owner that conflicts with this one, and that `accept` takes. */
  conflict(want: Range, accept: (span: Span) => boolean = () => true): Span | undefined {
    const take = (span: Span) => span.owner !== want.owner && accept(span)
    return this.#writes.find(want, take) ?? (want.type === Lock.WRLCK ? this.#reads.find(want, take) : undefined)
  }
  #of(span: Span): Tree { return span.type === Lock.WRLCK ? this.#writes : this.#reads }
}

/** A treap of spans by start, each node knowing the last end below it: finding what overlaps a range takes O(log n). */
class Tree {
  #root: TreeNode | null = null
  #serial = 0
  readonly #nodes = new Map<Span, TreeNode>()
  add(span: Span): void {
    const node: TreeNode = { span, serial: this.#serial++, rank: Math.random(), max: span.end, left: null, right: null }
    this.#nodes.set(span, node)
    this.#root = insert(this.#root, node)
  }
  delete(span: Span): void {
    this.#root = remove(this.#root, this.#nodes.get(span)!)
    this.#nodes.delete(span)
  }
  find(range: Range, accept: (span: Span) => boolean): Span | undefined { return find(this.#root, range, accept) }
}
interface TreeNode { readonly span: Span; readonly serial: number; readonly rank: number; max: bigint; left: TreeNode | null; right: TreeNode | null }

function precedes(a: TreeNode, b: TreeNode): boolean { return a.span.start < b.span.start || (a.span.start === b.span.start && a.serial < b.serial) }
function updated(node: TreeNode): TreeNode {
  const { span, left, right } = node
  node.max = span.end
  if (left && left.max > node.max) node.max = left.max
  if (right && right.max > node.max) node.max = right.max
  return node
}
function insert(at: TreeNode | null, node: TreeNode): TreeNode {
  if (!at) return node
  if (node.rank > at.rank) {
    [node.left, node.right] = split(at, node)
    return updated(node)
  }
  if (precedes(node, at)) at.left = insert(at.left, node)
  else at.right = insert(at.right, node)
  return updated(at)
}
function remove(at: TreeNode | null, node: TreeNode): TreeNode | null {
  if (!at) return null
  if (at === node) return merge(node.left, node.right)
  if (precedes(node, at)) at.left = remove(at.left, node)
  else at.right = remove(at.right, node)
  return updated(at)
}
/** What precedes the node, and what follows it. */
function split(at: TreeNode | null, node: TreeNode): [TreeNode | null, TreeNode | null] {
  if (!at) return [null, null]
  if (precedes(at, node)) {
    const [low, high] = split(at.right, node)
    at.right = low
    return [updated(at), high]
  }
  const [low, high] = split(at.left, node)
  at.left = high
  return [low, updated(at)]
}
function merge(a: TreeNode | null, b: TreeNode | null): TreeNode | null {
  if (!a || !b) return a ?? b
  if (a.rank > b.rank) {
    a.right = merge(a.right, b)
    return updated(a)
  }
  b.left = merge(a, b.left)
  return updated(b)
}
/** The first, by start, that overlaps the range and is accepted. */
function find(at: TreeNode | null, range: Range, accept: (span: Span) => boolean): Span | undefined {
  if (!at || at.max < range.start) return undefined
  const earlier = find(at.left, range, accept)
  if (earlier || at.span.start > range.end) return earlier
  return at.span.end >= range.start && accept(at.span) ? at.span : find(at.right, range, accept)
}
