// What stands for a node or a handle whose translator was sent away from under it.

import { errno } from 'ninep'
import type { Errno, Qid } from 'ninep'
import type { Handle, Node, Volume } from '../translators/translator.ts'

/** The refusal. */
export function gone(path: string): Errno { return errno('ENXIO', `the translator at ${path} was sent away`) }

/** A file of which the identity is left. Whatever is asked of it is ENXIO. */
export class Gone implements Node, Handle {
  readonly volume: Volume
  readonly qid: Qid
  constructor(was: Pick<Node, 'volume' | 'qid'>, private readonly path: string) {
    this.volume = was.volume
    this.qid = was.qid
  }
  #refuse = (): never => { throw gone(this.path) }
  walk = this.#refuse
  parent = this.#refuse
  at = this.#refuse
  getattr = this.#refuse
  setattr = this.#refuse
  open = this.#refuse
  create = this.#refuse
  mkdir = this.#refuse
  symlink = this.#refuse
  mknod = this.#refuse
  link = this.#refuse
  renameat = this.#refuse
  unlinkat = this.#refuse
  readlink = this.#refuse
  statfs = this.#refuse
  getxattr = this.#refuse
  setxattr = this.#refuse
  listxattr = this.#refuse
  removexattr = this.#refuse
  read = this.#refuse
  write = this.#refuse
  readdir = this.#refuse
  fsync = this.#refuse
  close() {}
  async [Symbol.asyncDispose]() {}
}
