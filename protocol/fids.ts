// What a server keeps for a client: which file each of its fids stands for.

import { MAXWELEM, NOFID, QT } from './constants.ts'
import { errno, isErrno } from './errno.ts'
import type { Fields } from './messages.ts'
import type { Qid } from './types.ts'

/** The fids of one session. What they stand for is whatever a server calls a file, as long as it has a qid. */
export class Fids<F extends { readonly qid: Qid }> {
  readonly #files = new Map<number, F>()

  /** EBADF: the client has no such fid. */
  get(fid: number): F {
    const file = this.#files.get(fid)
    if (!file) throw errno('EBADF', `fid ${fid}`)
    return file
  }
  /** A new fid, or with `again` one that is there already. EBADF: it is taken. */
  add(fid: number, file: F, again = false): F {
    this.#mayAdd(fid, again)
    this.#files.set(fid, file)
    return file
  }
  #mayAdd(fid: number, again = false): void {
    if (fid === NOFID || (this.#files.has(fid) && !again)) throw errno('EBADF', `fid ${fid} for something new`)
  }
  /** Forgets a fid, as Tclunk wants it: what it stood for. EBADF */
  remove(fid: number): F {
    const file = this.get(fid)
    this.#files.delete(fid)
    return file
  }
  /** What they stand for. */
  values(): IterableIterator<F> { return this.#files.values() }

  /**
   * All that Twalk asks. `step` finds what a directory has by a name, '..' too: nothing stands for ENOENT, and what it throws
   * is told where it is the first name that fails.
   */
  async walk({ fid, newfid, names }: Fields<'Twalk'>, step: (dir: F, name: string) => F | undefined | Promise<F | undefined>): Promise<Fields<'Rwalk'>> {
    const again = newfid === fid
    let file = this.get(fid)
    this.#mayAdd(newfid, again)
    if (names.length > MAXWELEM) throw errno('EINVAL', `walk of ${names.length} names`)
    const qids: Qid[] = []
    for (const name of names) {
      try {
        if (!(file.qid.type & QT.DIR)) throw errno('ENOTDIR', 'walk', name)
        const next = await step(file, name)
        if (!next) throw errno('ENOENT', 'walk', name)
        file = next
      } catch (error) {
        if (qids.length === 0 || !isErrno(error)) throw error
        return { qids }
      }
      qids.push(file.qid)
    }
    this.add(newfid, file, again)                          // which may have been taken in the meantime
    return { qids }
  }
}
