// Empty directories that stand where the namespace has a path and no translator has one. Read-only; made by attach.

import { Attrs, NAME_MAX, QT, S, errno } from 'ninep'
import type { Attr, Qid } from 'ninep'
import { now } from '../translators/clock.ts'
import { translator } from '../translators/options.ts'
import type { Created, Handle, Node, Translator, Volume } from '../translators/translator.ts'

/** A translator whose attach(PATH) is an empty directory, the same one for the same PATH. */
export const Synthetic = translator({
  name: 'namespace', about: 'Empty directories on the way to mount points.', children: 0, options: {}, concurrent: true,
  start: (): Translator => {
    const volume: Volume = { label: 'namespace' }, made = new Map<string, Qid>(), born = now()
    return {
      name: 'namespace',
      attach(path) {
        let qid = made.get(path)
        if (!qid) made.set(path, qid = { type: QT.DIR, version: 1, path: BigInt(made.size + 1) })
        return new Empty(volume, qid, born)
      },
      sync() {}, close() {}, async [Symbol.asyncDispose]() {},
    }
  },
})
const refuse = (op: string) => (): never => { throw errno('EROFS', op) }
const unsupported = (op: string) => (): never => { throw errno('EOPNOTSUPP', op) }

class Empty implements Node, Handle {
  constructor(readonly volume: Volume, readonly qid: Qid, private readonly born: Attr['mtime']) {}
  walk(name: string): Node { throw errno('ENOENT', 'walk', name) }
  parent(): Node { return this }
  open(): Handle { return this }
  getattr(): Attr {
    const { qid, born } = this
    return {
      valid: Attrs.BASIC | Attrs.GEN, qid, mode: S.IFDIR | 0o555, uid: 0, gid: 0, nlink: 2, rdev: 0n, size: 0, blksize: 4096, blocks: 0,
      atime: born, mtime: born, ctime: born, btime: born, gen: 0n, dataVersion: 0n,
    }
  }
  statfs() { return { type: 0x01021997, bsize: 4096, blocks: 0, bfree: 0, bavail: 0, files: 0, ffree: 0, fsid: 0n, namelen: NAME_MAX } }
  readdir() { return true }
  read(): Uint8Array { throw errno('EISDIR', 'read') }
  fsync() {}
  close() {}
  listxattr() { return [] }
  getxattr(name: string): Uint8Array { throw errno('ENODATA', 'getxattr', name) }
  readlink(): string { throw errno('EINVAL', 'readlink') }
  at = unsupported('at')
  setattr = refuse('setattr')
  create: (...a: never) => Created = refuse('create')
  mkdir = refuse('mkdir')
  symlink = refuse('symlink')
  mknod = refuse('mknod')
  link = refuse('link')
  renameat = refuse('renameat')
  unlinkat = refuse('unlinkat')
  setxattr = refuse('setxattr')
  removexattr = refuse('removexattr')
  write = refuse('write')
  async [Symbol.asyncDispose]() {}
}
