// A file of the peer by a fid, which is another one on each connection: found anew by its names, and known by its number.

import { Attrs, errno, isErrno, O } from 'ninep'
import type { File, Qid } from 'ninep'
import type { Link, Session } from './link.ts'
import type { Place } from './place.ts'

/** What a file is known by: path, and gen where the peer said one. Shared by a node and what is opened of it. */
export interface Identity { readonly path: bigint; readonly type: number; gen?: bigint }

export class Fid {
  #file: File | undefined
  #opening: { readonly session: Session; readonly file: Promise<File> } | undefined
  /** Called with a file that was opened anew, before it is used. */
  renewed?: (file: File) => Promise<void>

  /** place: held by who made it, until after close(). flags: of an open one. */
  constructor(readonly link: Link, readonly place: Place, readonly identity: Identity, readonly flags?: number, file?: File) { this.#file = file }

  /** On this connection. ESTALE: what has its name now is another file, or there is none. */
  on(session: Session): Promise<File> | File {
    if (this.#file?.client === session.client) return this.#file
    if (this.#opening?.session !== session) {
      const file = this.#find(session)
      this.#opening = { session, file }
      file.then((found) => { if (this.#opening?.file === file) this.#file = found }, () => {
        if (this.#opening?.file === file) this.#opening = undefined
      })
    }
    return this.#opening!.file
  }
  async #find(session: Session): Promise<File> {
    const { place, identity, flags } = this, names = place.names()
    if (!names) throw errno('ESTALE', 'a file that was removed is not there any more')
    const file = await session.root.walk(...names).catch((e: unknown) => { throw isErrno(e, 'ENOENT') || isErrno(e, 'ENOTDIR') ? errno('ESTALE', 'walk', names.join('/'), e) : e })
    try {
      if (!place.isRoot && (!isSame(file.qid, identity) || !await this.#sameGen(file))) throw errno('ESTALE', 'another file has the name', names.join('/'))
      if (flags !== undefined) await file.open(flags & ~(O.TRUNC | O.CREAT | O.EXCL))
      await this.renewed?.(file)
      return file
    } catch (e) {
      await file.clunk().catch(() => {})
      throw e
    }
  }
  async #sameGen(file: File): Promise<boolean> {
    if (this.identity.gen === undefined) return true
    const { valid, gen } = await file.getattr(Attrs.GEN)
    return (valid & Attrs.GEN) === 0 || gen === this.identity.gen
  }

  /** Gives it back: a promise where the peer was asked to. */
  close(): Promise<void> | undefined {
    const file = this.#file
    return file && !file.client.closed ? file.clunk() : undefined
  }
}

export function isSame(qid: Qid, { path, type }: Identity): boolean { return qid.path === path && qid.type === type }
