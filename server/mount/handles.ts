// What is open: by a fid of its own, which is made again in a new session, and the locks that were taken through it.

import { Attrs, Lock, O, QT, errno } from 'ninep'
import type { Attr, Dirent } from 'ninep'
import type { Session } from './link.ts'
import { wasLost } from './link.ts'
import type { Mount } from './mount.ts'
import type { Node } from './nodes.ts'
import { Ranges } from './ranges.ts'

/** What of its open flags a server is told; the rest is the kernel's. */
const TOLD = O.ACCMODE | O.TRUNC | O.APPEND | O.NONBLOCK | O.SYNC | O.NOATIME | O.DIRECTORY
export function toldFlags(flags: number): number { return flags & TOLD }

/** One that holds locks through a handle: a process, or of flock(2) the open file. */
export interface Owner { readonly procId: number; readonly ranges: Ranges }

export class Handle {
  readonly id: number
  readonly node: Node
  readonly uid: number
  /** As the server was told. */
  readonly flags: number
  /** Locks taken through it, by the kernel's name of the owner. */
  readonly owners = new Map<bigint, Owner>()
  /** Of a directory: entries that were read and not passed on yet, and the cookie before the first. */
  ahead: { readonly cookie: bigint; readonly entries: readonly Dirent[] } | undefined
  /** Why it is of no use any more: its locks were lost. */
  broken: Error | undefined
  /** Bytes of one Tread or Twrite. */
  piece: number
  #session: Session
  #fid: number
  #opening: Promise<number> | undefined
  /** The same without O_APPEND, for what is written from mapped pages. */
  #plain: { readonly session: Session; readonly fid: Promise<number> } | undefined
  constructor(id: number, node: Node, uid: number, flags: number, session: Session, fid: number, iounit: number) {
    this.id = id
    this.node = node
    this.uid = uid
    this.flags = flags
    this.#session = session
    this.#fid = fid
    this.piece = pieceOf(session, iounit)
  }

  /** Its fid in this session: opened again where it was opened in another. */
  fid(mount: Mount, session: Session): number | Promise<number> {
    if (this.broken) throw this.broken
    return session === this.#session ? this.#fid : this.#opening ??= this.#reopen(mount, session).finally(() => { this.#opening = undefined })
  }
  /** Its fid where it is open in this session. */
  openFid(session: Session): number | undefined { return session === this.#session ? this.#fid : undefined }
  async #reopen(mount: Mount, session: Session): Promise<number> {
    const { fid, iounit } = await openNode(mount, session, this.node, this.uid, this.flags & ~O.TRUNC)
    this.#session = session
    this.#fid = fid
    this.piece = pieceOf(session, iounit)
    return fid
  }

  async plainFid(mount: Mount, session: Session): Promise<number> {
    if ((this.flags & O.APPEND) === 0) return this.fid(mount, session)
    if (this.#plain?.session !== session) {
      const fid = openNode(mount, session, this.node, this.uid, this.flags & ~(O.APPEND | O.TRUNC)).then(({ fid }) => fid)
      fid.catch(() => { this.#plain = undefined })
      this.#plain = { session, fid }
    }
    return this.#plain.fid
  }

  /** Gives its fids back. */
  close(mount: Mount): void {
    mount.retire(this.#session, this.#fid)             // what asks about the file may be using it
    const plain = this.#plain
    if (plain) plain.fid.then((fid) => mount.clunk(plain.session, fid), () => {})
  }
}

function pieceOf({ client }: Session, iounit: number): number { return iounit > 0 ? Math.min(iounit, client.msize - 24) : client.msize - 24 }

export interface Opened { readonly fid: number; readonly iounit: number; readonly version: number; readonly attr: Attr | undefined }
/** Opens a node: walk, open and, where it `asks`, getattr leave together where the server takes that. ESTALE: it is another file that is there now. */
export async function openNode(mount: Mount, session: Session, node: Node, uid: number, flags: number, signal?: AbortSignal, asks = false): Promise<Opened> {
  const { client } = session, at = mount.fid(session, node, uid), from = typeof at === 'number' ? at : await at
  const fid = client.takeFid(), options = signal ? { signal } : undefined
  const walked = client.rpc('Twalk', { fid: from, newfid: fid, names: [] })
  const early = session.pipelines ? client.rpc('Tlopen', { fid, flags }, options) : undefined
  const known = early && asks ? client.rpc('Tgetattr', { fid, mask: Attrs.BASIC }) : undefined
  early?.catch(() => {})
  known?.catch(() => {})
  try {
    await walked
  } catch (error) {
    await Promise.allSettled([early, known])
    client.freeFid(fid)
    throw error
  }
  try {
    const { qid, iounit } = await (early ? early.catch((error: unknown) => retry(session, error, () => client.rpc('Tlopen', { fid, flags }, options))) : client.rpc('Tlopen', { fid, flags }, options))
    if (qid.path !== node.qid.path && (qid.type & QT.DIR) === (node.qid.type & QT.DIR)) throw errno('ESTALE', 'open', node.name)
    const first = await known?.catch(() => undefined)
    const attr = !asks || first?.qid.path === qid.path ? first : await client.rpc('Tgetattr', { fid, mask: Attrs.BASIC })
    return { fid, iounit, version: qid.version, attr }
  } catch (error) {
    mount.clunk(session, fid)
    throw error
  }
}
/** Whether an error may have come because the server had not made the fid yet: then once more, and from there on one after the other. */
export function retry<T>(session: Session, error: unknown, again: () => Promise<T>): Promise<T> {
  const code = (error as { code?: string }).code
  if (wasLost(session, error) || (code !== 'EBADF' && code !== 'EINVAL' && code !== 'EIO' && code !== 'EPROTO')) throw error
  return again().then((result) => {
    session.pipelines = false
    return result
  })
}

export class Handles {
  readonly #open = new Map<number, Handle>()
  readonly #byNode = new Map<Node, Set<Handle>>()
  #next = 1

  get size(): number { return this.#open.size }
  /** EBADF */
  get(id: number): Handle {
    const handle = this.#open.get(id)
    if (!handle) throw errno('EBADF', 'handle', String(id))
    return handle
  }
  add(node: Node, uid: number, flags: number, session: Session, fid: number, iounit: number): Handle {
    const handle = new Handle(this.#next++, node, uid, flags, session, fid, iounit)
    this.#open.set(handle.id, handle)
    const others = this.#byNode.get(node)
    if (others) others.add(handle)
    else this.#byNode.set(node, new Set([handle]))
    return handle
  }
  remove(handle: Handle): void {
    this.#open.delete(handle.id)
    const others = this.#byNode.get(handle.node)
    others?.delete(handle)
    if (others?.size === 0) this.#byNode.delete(handle.node)
  }
  /** undefined: it is closed. */
  find(id: number): Handle | undefined { return this.#open.get(id) }
  isOpen(node: Node): boolean { return this.#byNode.has(node) }
  /** Of a node that this user has open, a fid. */
  fidOf(node: Node, session: Session, uid: number): number | undefined {
    for (const handle of this.of(node)) if (handle.uid === uid && !handle.broken) return handle.openFid(session)
    return undefined
  }
  of(node: Node): Iterable<Handle> { return this.#byNode.get(node) ?? [] }

  /** Takes all locks again in a new session, those that were taken first by others apart. */
  async relock(mount: Mount, session: Session): Promise<void> {
    const { client } = session
    for (const handle of this.#open.values()) {
      if (handle.owners.size === 0 || handle.broken) continue
      try {
        const fid = await handle.fid(mount, session)
        for (const { procId, ranges } of handle.owners.values()) {
          for (const { start, end, type } of ranges.all) {
            const { status } = await client.rpc('Tlock', { fid, type, flags: Lock.RECLAIM, start, length: lengthOf(start, end), procId, clientId: mount.host })
            if (status !== Lock.SUCCESS) throw errno('EIO', 'another client has its lock now', handle.node.name)
          }
        }
      } catch (error) {
        if (wasLost(session, error)) throw error
        handle.broken = errno('EIO', 'its locks were lost', handle.node.name, error)
        mount.log.warn({ err: error, file: handle.node.name }, 'a lock was lost with the server')
      }
    }
  }
}

/** The last byte there is. */
export const LAST = 2n ** 63n - 1n
/** Bytes from start to end, both included; 0n: to the end of the file. */
export function lengthOf(start: bigint, end: bigint): bigint { return end >= LAST ? 0n : end - start + 1n }
