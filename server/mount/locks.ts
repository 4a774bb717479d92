// Locks: fcntl(2)'s and flock(2)'s, both as Tlock. Who holds one is a process to 9P, by number; to the kernel it is a set of open files, or
// of flock one open file, by a number of 64 bits. The process it is of stands for the first of them, and numbers beyond all processes for others.

import { Lock, errno } from 'ninep'
import type { Flock } from 'ninep'
import { LK_FLOCK, OUT_HEADER, put } from './fuse.ts'
import { LAST, lengthOf } from './handles.ts'
import type { Handle } from './handles.ts'
import type { Session } from './link.ts'
import type { Handlers, Mount } from './mount.ts'
import type { Node } from './nodes.ts'
import { Ranges } from './ranges.ts'
import type { Request } from './request.ts'

/** Linux's F_RDLCK, F_WRLCK, F_UNLCK are 0, 1 and 2, and so are 9P's. */
const FIRST_OTHER = 0x80000000
/** Milliseconds between attempts where a server refuses and does not wait. */
const ASK_AGAIN = 50, ASK_LAST = 1000

/** Numbers for those who hold locks. */
export class Procs {
  readonly #byOwner = new Map<bigint, { readonly procId: number; readonly pid: number; uses: number }>()
  readonly #byNumber = new Map<number, bigint>()
  #next = FIRST_OTHER

  /** The number of an owner; used from here on until release(). flock: never that of the process, whose other locks are not these. */
  take(owner: bigint, pid: number, flock: boolean): number {
    let known = this.#byOwner.get(owner)
    if (!known) {
      let procId = pid
      if (flock || pid === 0 || this.#byNumber.has(pid)) {
        do procId = this.#next = this.#next >= 0xfffffffe ? FIRST_OTHER : this.#next + 1
        while (this.#byNumber.has(procId))
      }
      this.#byOwner.set(owner, known = { procId, pid, uses: 0 })
      this.#byNumber.set(procId, owner)
    }
    known.uses++
    return known.procId
  }
  find(owner: bigint): number | undefined { return this.#byOwner.get(owner)?.procId }
  pidOf(procId: number): number {
    const owner = this.#byNumber.get(procId)
    return owner === undefined ? procId < FIRST_OTHER ? procId : 0 : this.#byOwner.get(owner)!.pid
  }
  release(owners: Iterable<bigint>): void {
    for (const owner of owners) {
      const known = this.#byOwner.get(owner)
      if (!known || --known.uses > 0) continue
      this.#byOwner.delete(owner)
      this.#byNumber.delete(known.procId)
    }
  }
}

export const locks: Pick<Handlers, 'GETLK' | 'SETLK' | 'SETLKW'> = {
  async GETLK(mount, session, request) {
    const { fh, owner, start, end, type, pid } = request.args, handle = mount.handles.get(fh), fid = await handle.fid(mount, session)
    const procId = mount.procs.take(owner, pid, false)
    try {
      const found = await session.client.rpc('Tgetlock', { fid, type, start, length: lengthOf(start, end), procId, clientId: mount.host })
      const free = found.type === Lock.UNLCK, last = found.length === 0n ? LAST : found.start + found.length - 1n
      const holder = free || found.clientId !== mount.host ? 0 : mount.procs.pidOf(found.procId)
      mount.device.send(request.unique, put.lock(mount.device.scratch, OUT_HEADER, { start: free ? start : found.start, end: free ? end : last, type: found.type, pid: holder }))
    } finally {
      mount.procs.release([owner])
    }
  },
  SETLK: (mount, session, request) => set(mount, session, request, false),
  SETLKW: (mount, session, request) => set(mount, session, request, true),
}

async function set(mount: Mount, session: Session, request: Request<'SETLK' | 'SETLKW'>, waits: boolean): Promise<void> {
  const { fh, owner, start, end, type, pid, lkFlags } = request.args, handle = mount.handles.get(fh), { node } = handle
  const fid = await handle.fid(mount, session), flock = (lkFlags & LK_FLOCK) !== 0
  // One number for all that an owner has of a file, whichever way it is open.
  const procId = mount.procs.take(owner, pid, flock)
  try {
    const want: Flock = { type, flags: waits && type !== Lock.UNLCK ? Lock.BLOCK : 0, start, length: lengthOf(start, end), procId, clientId: mount.host }
    await take(session, request, fid, want, waits)
    record(mount, handle, node, owner, procId, start, end, type)
  } finally {
    mount.procs.release([owner])
  }
  mount.device.send(request.unique)
}
async function take(session: Session, request: Request, fid: number, want: Flock, waits: boolean): Promise<void> {
  for (let wait = ASK_AGAIN; ; wait = Math.min(wait * 2, ASK_LAST)) {
    const { status } = await session.client.rpc('Tlock', { fid, ...want }, request)
    if (status === Lock.SUCCESS) return
    if (status !== Lock.BLOCKED && status !== Lock.GRACE) throw errno('ENOLCK', 'lock')
    if (!waits && status === Lock.BLOCKED) throw errno('EAGAIN', 'lock')
    await pause(wait, request.signal)
  }
}
/** Rejects with what interrupts it. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const over = () => { clearTimeout(timer); reject(signal.reason) }
    const timer = setTimeout(() => { signal.removeEventListener('abort', over); resolve() }, ms)
    if (signal.aborted) over()
    else signal.addEventListener('abort', over)
  })
}

/** Remembers what an owner holds, with the handle that it was first taken through. */
function record(mount: Mount, through: Handle, node: Node, owner: bigint, procId: number, start: bigint, end: bigint, type: number): void {
  let handle = through
  for (const other of mount.handles.of(node)) if (other.owners.has(owner)) handle = other
  let held = handle.owners.get(owner)
  if (!held) {
    if (type === Lock.UNLCK) return
    handle.owners.set(owner, held = { procId, ranges: new Ranges() })
    mount.procs.take(owner, 0, false)
  }
  held.ranges.set(start, end, type)
  if (held.ranges.all.length > 0) return
  handle.owners.delete(owner)
  mount.procs.release([owner])
}

/** What closing any of a process's descriptors of a file does to its locks there. */
export async function unlockAll(mount: Mount, session: Session, node: Node, owner: bigint): Promise<void> {
  for (const handle of mount.handles.of(node)) {
    const held = handle.owners.get(owner)
    if (!held || handle.broken) continue
    const fid = await handle.fid(mount, session)
    await session.client.rpc('Tlock', { fid, type: Lock.UNLCK, flags: 0, start: 0n, length: 0n, procId: held.procId, clientId: mount.host })
    if (handle.owners.delete(owner)) mount.procs.release([owner])
  }
}
