// Locks that the peer gave, to be asked for again on another connection: who holds what of which file, by which handle.

import { errno, Lock } from 'ninep'
import type { Flock } from 'ninep'

/** Locks that may be held of one file. */
const MOST = 1024
/** Past the last byte. */
const END = 1n << 64n

/** by: the handle through which it was got, whose end is its own. Bytes from start to before end. */
interface Held { readonly by: object; readonly want: Flock; readonly start: bigint; readonly end: bigint }

export class Locks {
  readonly #files = new Map<bigint, Held[]>()

  /** ENOLCK: there are too many of this file for one more. */
  checkRoom(path: bigint): void {
    if ((this.#files.get(path)?.length ?? 0) >= MOST) throw errno('ENOLCK', 'lock')
  }
  /** This was granted, or unlocked: in its range it stands for whatever its owner had there, through any handle. */
  granted(path: bigint, by: object, want: Flock): void {
    const start = want.start, end = want.length === 0n ? END : start + want.length
    const left = (this.#files.get(path) ?? []).flatMap((held) => {
      if (held.want.procId !== want.procId || held.want.clientId !== want.clientId || held.end <= start || held.start >= end) return [held]
      return [{ ...held, end: start }, { ...held, start: end }].filter((part) => part.start < part.end)
    })
    this.#set(path, want.type === Lock.UNLCK ? left : [...left, { by, want, start, end }])
  }
  /** What is to be asked for again through this handle. */
  of(path: bigint, by: object): Flock[] {
    return (this.#files.get(path) ?? []).filter((held) => held.by === by)
      .map(({ want, start, end }) => ({ ...want, flags: 0, start, length: end === END ? 0n : end - start }))
  }
  /** The handle has ended. */
  ended(path: bigint, by: object): void {
    const held = this.#files.get(path)
    if (held) this.#set(path, held.filter((each) => each.by !== by))
  }
  #set(path: bigint, held: Held[]): void {
    if (held.length > 0) this.#files.set(path, held)
    else this.#files.delete(path)
  }
}
