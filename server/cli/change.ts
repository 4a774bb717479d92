// ninefold rm, mkdir, mv and ln.

import { errno, isErrno, QT } from 'ninep'
import { complain, failure, Misuse } from './failure.ts'
import { isDir, namesOf, removeTree, session } from './remote.ts'
import type { Remote, Where } from './remote.ts'

export async function rm(where: Where, paths: readonly string[], { tree, force }: { tree: boolean; force: boolean }): Promise<void> {
  await session(where, async (remote) => {
    for (const path of paths) {
      try {
        const { dir, name } = await remote.place(path)
        const file = await dir.walk(name)
        const directory = isDir(file)
        await file.clunk()
        if (directory && !tree) throw errno('EISDIR', 'unlinkat', name)
        await removeTree(dir, name, path.replace(/\/+$/, ''), (path, e) => { if (!(force && isErrno(e, 'ENOENT'))) complain('rm', failure(path, e)) })
        await dir.clunk()
      } catch (e) { if (!(force && isErrno(e, 'ENOENT'))) complain('rm', failure(path, e)) }
    }
  })
}

export async function mkdir(where: Where, paths: readonly string[], { parents, mode }: { parents: boolean; mode?: string }): Promise<void> {
  if (mode !== undefined && !/^[0-7]{1,4}$/.test(mode)) throw new Misuse(`-m takes permission bits in octal, like 0750, not "${mode}"`)
  const bits = mode === undefined ? 0o777 & ~process.umask() : parseInt(mode, 8)
  await session(where, async (remote) => {
    for (const path of paths) {
      try {
        if (parents) await makeAbove(remote, path)
        const { dir, name } = await remote.place(path)
        try {
          await dir.mkdir(name, bits)
        } catch (e) {
          if (!(parents && isErrno(e, 'EEXIST') && isDir(await remote.find(path)))) throw e
        }
        await dir.clunk()
      } catch (e) { complain('mkdir', failure(path, e)) }
    }
  })
}
async function makeAbove(remote: Remote, path: string): Promise<void> {
  const names = namesOf(path)
  for (let n = 1; n < names.length; n++) {
    const { dir, name } = await remote.place(`/${names.slice(0, n).join('/')}`)
    await dir.mkdir(name, 0o777 & ~process.umask() | 0o300).catch((e: unknown) => { if (!isErrno(e, 'EEXIST')) throw e })
    await dir.clunk()
  }
}

export async function mv(where: Where, from: string, to: string): Promise<void> {
  await session(where, async (remote) => {
    const { dir, name } = await remote.place(from).catch((e: unknown) => { throw failure(from, e) })
    await (await dir.walk(name).catch((e: unknown) => { throw failure(from, e) })).clunk()      // so that the message names the right one
    try {
      const target = await remote.target(to, name)
      await dir.renameat(name, target.dir, target.name)
    } catch (e) { throw failure(`${from} to ${to}`, e) }
  })
}

export async function ln(where: Where, target: string, path: string, { symbolic }: { symbolic: boolean }): Promise<void> {
  await session(where, async (remote) => {
    const last = namesOf(target).at(-1)
    try {
      const { dir, name } = last === undefined ? await remote.place(path) : await remote.target(path, last)
      if (symbolic) await dir.symlink(name, target)
      else {
        const file = await remote.find(target, false).catch((e: unknown) => { throw failure(target, e) })
        if (file.qid.type & QT.DIR) throw failure(target, errno('EISDIR', 'link'))
        await dir.link(file, name)
      }
    } catch (e) { throw failure(path, e) }
  })
}
