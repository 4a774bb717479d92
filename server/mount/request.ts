// A request of the kernel's, as its handler has it.

import { errno, nameOfBytes } from 'ninep'
import { IN_HEADER, getHead, shapeOf } from './fuse.ts'
import type { Args, Head, Operation } from './fuse.ts'

/** As much of an AbortSignal as ninep's client uses: most requests are never interrupted, and a real one costs more than they do. */
class Interruption {
  aborted = false
  readonly reason = errno('EINTR')
  #listeners: ((event: { target: Interruption }) => void)[] = []
  addEventListener(_: string, listener: (event: { target: Interruption }) => void): void { this.#listeners.push(listener) }
  removeEventListener(_: string, listener: (event: { target: Interruption }) => void): void { this.#listeners = this.#listeners.filter((other) => other !== listener) }
  abort(): void {
    if (this.aborted) return
    this.aborted = true
    for (const listener of [...this.#listeners]) listener({ target: this })
  }
}

export class Request<O extends Operation = Operation> implements Pick<Head, 'unique' | 'nodeid' | 'uid' | 'gid' | 'pid'> {
  readonly unique: number
  readonly nodeid: number
  readonly uid: number
  readonly gid: number
  readonly pid: number
  readonly operation: O
  readonly args: Args<O>
  readonly names: readonly string[]
  /** Behind all of that: of the buffer that the request came in. */
  readonly rest: Buffer
  /** Whether it was made before, on a connection that ended: perhaps it was done. */
  again = false
  /** Bytes of a WRITE that the server has. */
  done = 0
  /** In which order requests came. */
  order = 0
  /** When it came, ms. */
  readonly since = Date.now()
  readonly #interruption = new Interruption()
  constructor(head: Head, operation: O, args: Args<O>, names: readonly string[], rest: Buffer) {
    this.unique = head.unique
    this.nodeid = head.nodeid
    this.uid = head.uid
    this.gid = head.gid
    this.pid = head.pid
    this.operation = operation
    this.args = args
    this.names = names
    this.rest = rest
  }
  /** For what may wait long. */
  get signal(): AbortSignal { return this.#interruption as unknown as AbortSignal }
  get interrupted(): boolean { return this.#interruption.aborted }
  interrupt(): void { this.#interruption.abort() }
}

/** Reads what stands in a buffer. A number: it can't be answered but with this error, and that has this unique (0: with none at all). */
export function parse(buffer: Buffer, size: number): Request | { readonly unique: number; readonly refuse: 'ENOSYS' | 'EINVAL' } {
  const head = getHead(buffer, 0), { unique } = head, shape = shapeOf(head.opcode)
  if (head.len !== size) return { unique, refuse: 'EINVAL' }
  if (!shape) return { unique, refuse: 'ENOSYS' }
  let at = IN_HEADER + shape.fixed
  if (at > size) return { unique, refuse: 'EINVAL' }
  const args = shape.read(buffer, IN_HEADER) as never
  const names: string[] = []
  for (let i = 0; i < shape.names; i++) {
    const end = buffer.indexOf(0, at)
    if (end < 0 || end >= size) return { unique, refuse: 'EINVAL' }
    names.push(nameOfBytes(buffer, at, end))
    at = end + 1
  }
  return new Request(head, shape.operation, args, names, buffer.subarray(at, size))
}
