// A promise is a sentence and what checks it: data, so that they can be counted, chosen, and run outside a suite.

import * as assert from 'uvu/assert'
import { Attrs, O, S } from 'ninep'
import type { Node, Translator } from '../../translators/translator.ts'
import { fails, file, has, outcome, owner, stat, text } from './tools.ts'

export interface World {
  /** Fresh and empty, under watch; closed after the promise, with all nodes and handles that it left open. */
  readonly translator: Translator
  readonly root: Node
  readonly quick: boolean
  lacks(need: Need): boolean
  /** One more instance, as fresh. */
  another(): Promise<Translator>
  /** Ends the instance as a crash would, and starts it anew over what was stored. Only with the need 'crash'. */
  crash(): Promise<Translator>
}
export type Check = (world: World) => Promise<void>
/** Promises that need the same: where one of the needs is lacked, they are not owed. */
export interface Group { readonly needs?: readonly Need[]; readonly promises: Readonly<Record<string, Check>> }

/** What a translator may lack. Each has a check that it is lacked in the proper way: by a refusal, or for all to see. */
export const needs = {
  'byte-names': { about: 'names that are not UTF-8', lacked: ({ root }) => fails(['EILSEQ', 'EINVAL'], () => root.create('\udcff', O.RDWR, 0o644, owner)) },
  'long-names': { about: 'names of 255 bytes', lacked: async ({ root }) => assert.ok((await root.statfs()).namelen < 255) },
  case: { about: 'names that differ in case', async lacked({ root }) { await file(root, 'a'); assert.ok(await has(root, 'A')) } },
  'dir-nlink': {
    about: 'a count of subdirectories in nlink',
    async lacked({ root }) {
      const before = await stat(root)
      await root.mkdir('d', 0o755, owner)
      assert.is((await stat(root)).nlink, before.nlink)
    },
  },
  sparse: {
    about: 'holes that take no space',
    async lacked({ root }) {
      const { node, handle } = await root.create('f', O.RDWR, 0o644, owner)
      await handle.write(text('x'), 2 ** 20)
      await handle.fsync(false)
      assert.ok((await stat(node)).blocks >= 2 ** 20 / 512)
    },
  },
  'big-files': { about: 'files of a TiB', async lacked({ root }) { const f = await file(root, 'f'); await fails('EFBIG', () => f.setattr({ size: 2 ** 40 })) } },
  symlink: { about: 'symbolic links', lacked: ({ root }) => fails(['EOPNOTSUPP', 'EPERM'], () => root.symlink('s', 't', owner)) },
  hardlink: { about: 'hard links', async lacked({ root }) { const f = await file(root, 'f'); await fails(['EOPNOTSUPP', 'EPERM'], () => root.link(f, 'g')) } },
  fifo: { about: 'FIFOs and sockets', lacked: ({ root }) => fails(['EOPNOTSUPP', 'EPERM'], () => root.mknod('p', S.IFIFO | 0o644, 0n, owner)) },
  device: { about: 'device nodes', lacked: ({ root }) => fails(['EOPNOTSUPP', 'EPERM'], () => root.mknod('null', S.IFCHR | 0o644, 0x103n, owner)) },
  xattr: { about: 'extended attributes', async lacked({ root }) { const f = await file(root, 'f'); await fails(['EOPNOTSUPP', 'EPERM'], () => f.setxattr('user.a', text('v'), 0)) } },
  'xattr-64k': {
    about: 'extended attributes of 64 KiB',
    async lacked({ root }) { const f = await file(root, 'f'); await fails(['E2BIG', 'ENOSPC', 'EOPNOTSUPP'], () => f.setxattr('user.a', new Uint8Array(65536), 0)) },
  },
  acl: {
    about: 'POSIX ACLs',
    lacked: ({ root }) => fails(['EOPNOTSUPP', 'EPERM'], () => root.setxattr('system.posix_acl_default',
      Uint8Array.of(2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 4, 0, 5, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255), 0)),
  },
  'fifo-acl': {
    about: 'ACLs of FIFOs',
    async lacked({ root }) {
      const p = await root.mknod('p', S.IFIFO | 0o644, 0n, owner)
      await fails(['EOPNOTSUPP', 'EPERM'], () => p.setxattr('system.posix_acl_access',
        Uint8Array.of(2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 6, 0, 7, 0, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16, 0, 6, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255), 0))
    },
  },
  owner: {
    about: 'owners as told',
    async lacked({ root }) {
      const f = await file(root, 'f'), { uid, gid } = await stat(f)
      const refused = await outcome(() => f.setattr({ uid: uid + 1, gid: gid + 1 })), after = await stat(f)
      assert.ok(refused ? refused.code === 'EPERM' || refused.code === 'EOPNOTSUPP' : true, `chown: ${refused?.message}`)
      assert.equal([after.uid, after.gid], [uid, gid])
    },
  },
  'any-mode': { about: 'files open whatever their mode is', async lacked({ root }) { const f = await file(root, 'f', '', 0); await fails('EACCES', () => f.open(O.RDONLY)) } },
  nsec: {
    about: 'times to the nanosecond',
    async lacked({ root }) { const f = await file(root, 'f'); await f.setattr({ mtime: { sec: 1, nsec: 123456789 } }); assert.is.not((await stat(f)).mtime.nsec, 123456789) },
  },
  btime: { about: 'the time of birth', async lacked({ root }) { assert.not((await stat(root)).valid & Attrs.BTIME) } },
  'own-space': { about: 'space that no one else takes', lacked: async () => {} },
  crash: { about: 'a crash to come back from', lacked: async () => {} },
} as const satisfies Record<string, { about: string; lacked(world: World): Promise<void> }>
export type Need = keyof typeof needs

/** What a mode must not take away where a translator may not enter its own files against it. */
export function atLeast(world: Pick<World, 'lacks'>): number { return world.lacks('any-mode') ? 0o700 : 0 }
