// The server's side of a verb: a connection, attached, and the files that paths of it name.

import { userInfo } from 'node:os'
import { AT_REMOVEDIR, connect, Dt, errno, isErrno, NONUNAME, QT } from 'ninep'
import type { AttachOptions, Client, Dialect, File } from 'ninep'
import { escape } from './format.ts'
import { Failure, Misuse, reason } from './failure.ts'

/** Which tree of which server, and as whom. */
export interface Where {
  readonly server: string
  readonly aname: string
  readonly uid?: number
  readonly user?: string
  /** What may be spoken, the best first. */
  readonly dialects: readonly Dialect[]
}

const LINKS = 40                                          // followed in one path, as Linux does
const PATIENCE = 10_000                                   // ms until a server must have answered

/** Does `work` on an attached connection, and closes it. */
export async function session<T>(where: Where, work: (remote: Remote) => Promise<T>): Promise<T> {
  const { server, aname, dialects } = where
  let client: Client
  if (!/^(tcp:\/\/(\[.+\]|[^:/]+):\d+$|unix:.)/.test(server)) throw new Misuse(`"${server}" is no server's address. Write unix:SOCKET or tcp://HOST:PORT`)
  try {
    client = await connect(server, { timeout: PATIENCE, dialect: dialects })
  } catch (e) {
    const cause = (e as { cause?: { code?: unknown } }).cause?.code
    if (cause === 'ENOTFOUND' || cause === 'EAI_AGAIN') throw new Failure(`${server}: no such host`)
    const absent = ['ENOENT', 'ECONNREFUSED'].includes((e as { code?: string }).code ?? '')
    throw new Failure(`${server}: ${reason(e)}${absent ? '. Is it running? Start it: ninefold serve, or name another: --server' : ''}`)
  }
  try {
    const root = await client.attach({ aname, ...user(where, client) }).catch((e: unknown) => { throw new Failure(`${server}: attach${aname && ` ${escape(aname)}`}: ${reason(e)}${aname === 'ctl' && isErrno(e, 'EACCES') ? '. The control tree is for the server\'s own user and root, by a unix socket' : ''}`) })
    return await work(new Remote(client, root))
  } finally {
    await client.close()
  }
}

/** Who is to be attached. 9P2000 has names alone, and where $USER is missing the one that this machine knows is better than none. */
function user({ uid, user }: Where, { dialect }: Client): AttachOptions {
  if (user !== undefined) return { uname: user, uid: NONUNAME }
  if (dialect !== '9P2000') return uid === undefined ? {} : { uid }
  if (uid !== undefined) throw new Failure('--uid: 9P2000 knows users by name alone. Give one: --user')
  try { return { uname: userInfo().username } } catch { return {} }
}

export const isDir = (file: File): boolean => (file.qid.type & QT.DIR) !== 0
const isLink = (file: File): boolean => (file.qid.type & QT.SYMLINK) !== 0

/** A path of the server as its names. */
export function namesOf(path: string): string[] {
  if (path === '') throw errno('ENOENT', 'a path without a name')
  return path.split('/').filter((name) => name !== '' && name !== '.')
}

export class Remote {
  constructor(readonly client: Client, readonly root: File) {}

  /** What a path names: of a symbolic link what that leads to, or with follow false the link itself. ENOENT ENOTDIR ELOOP */
  async find(path: string, follow = true): Promise<File> {
    const through = follow || path.endsWith('/')
    let file: File
    try {
      file = await this.root.walk(...namesOf(path))
    } catch (e) {
      if (!isErrno(e, 'ENOTDIR')) throw e
      return this.#byHand(path, through)                   // 9P leaves links to the client: perhaps there is one on the way
    }
    if (!isLink(file) || !through) return file
    await file.clunk()
    return this.#byHand(path, through)
  }

  /** The same path without links and dots. What is not there stays as it is written. ENOTDIR ELOOP */
  async real(path: string): Promise<string> { return `/${(await this.#without(path, true, true)).join('/')}` }
  async #byHand(path: string, follow: boolean): Promise<File> { return this.root.walk(...await this.#without(path, follow, false)) }
  /** The names on the way, none of them a link, but for the last one if that is not to be followed. absent: as far as they are there, then as they are. */
  async #without(path: string, follow: boolean, absent: boolean): Promise<string[]> {
    let at: string[] = []
    const ahead = namesOf(path)
    for (let links = 0; ;) {
      const name = ahead.shift()
      if (name === undefined) return at
      if (name === '..') { at.pop(); continue }
      const file = await this.root.walk(...at, name).catch((e: unknown) => { if (absent && isErrno(e, 'ENOENT') && !ahead.includes('..')) return undefined; throw e })
      if (!file) return [...at, name, ...ahead]
      if (!isLink(file) || (ahead.length === 0 && !follow)) {
        at.push(name)
        await file.clunk()
        continue
      }
      if (++links > LINKS) throw errno('ELOOP', 'walk', path)
      const target = await file.readlink()
      await file.clunk()
      if (target.startsWith('/')) at = []
      ahead.unshift(...namesOf(target))
    }
  }

  /** The directory that holds what a path names, and its name there, whether there is such a file or not. EBUSY: the root. */
  async place(path: string): Promise<{ dir: File; name: string }> {
    const names = namesOf(path), name = names.pop()
    if (name === undefined) throw errno('EBUSY', 'the root', path)
    if (name === '..') throw errno('EINVAL', 'a path that ends in ..', path)
    return { dir: await this.find(`${names.join('/')}/`), name }
  }

  /**
   * Where a file called `name` goes that is copied or moved to `path`: into the directory that is there, else under that
   * name; above: the path of that directory. through: where that name is a symbolic link, what it leads to is meant.
   */
  async target(path: string, name: string, through = false): Promise<{ dir: File; name: string; above: string }> {
    const there = await this.find(path).catch((e: unknown) => { if (isErrno(e, 'ENOENT')) return undefined; throw e })
    if (there && isDir(there)) return { dir: there, name, above: path }
    if (path.endsWith('/')) throw errno(there ? 'ENOTDIR' : 'ENOENT', 'walk', path)
    await there?.clunk()
    if (there && through) {
      const link = await this.find(path, false)
      const to = isLink(link) ? await link.readlink() : undefined
      await link.clunk()
      if (to !== undefined) return this.target(to.startsWith('/') ? to : `${path.slice(0, path.lastIndexOf('/') + 1)}${to}`, name, true)
    }
    return { ...await this.place(path), above: `/${namesOf(path).slice(0, -1).join('/')}` }
  }
}

/** The names of a directory, with their kinds. What a server may not call a file is EPROTO: it could lead out of a local tree. */
export async function* list(dir: File): AsyncGenerator<{ name: string; type: number }, void, void> {
  for await (const { name, type } of dir.readdir()) {
    if (name === '' || name.includes('/') || name.includes('\0')) throw errno('EPROTO', 'the server lists a file called', name)
    yield { name, type }
  }
}

/**
 * Removes a file or a whole tree below `dir`; `each` hears of every failure, and what is above it then stays. A directory is
 * first tried as if it were empty: where something is mounted that is EBUSY, and what is in there stays too.
 */
export async function removeTree(dir: File, name: string, path: string, each: (path: string, error: unknown) => void): Promise<void> {
  try {
    const file = await dir.walk(name)
    try {
      if (!isDir(file)) return await dir.unlinkat(name)
      try { return await dir.unlinkat(name, AT_REMOVEDIR) } catch (e) { if (!isErrno(e, 'ENOTEMPTY') && !isErrno(e, 'EEXIST')) throw e }
      const inside: string[] = []
      for await (const entry of list(file)) inside.push(entry.name)
      await inParallel(inside, 16, (child) => removeTree(file, child, `${path}/${child}`, each))
    } finally {
      await file.clunk()
    }
    await dir.unlinkat(name, AT_REMOVEDIR)
  } catch (e) {
    each(path, e)
  }
}

/** Runs `work` on each item, `limit` of them at a time. */
export async function inParallel<T>(items: Iterable<T>, limit: number, work: (item: T) => Promise<void>): Promise<void> {
  const queue = items[Symbol.iterator]()
  const lane = async () => { for (let next = queue.next(); !next.done; next = queue.next()) await work(next.value) }
  await Promise.all(Array.from({ length: limit }, lane))
}

/** Names that a shell takes as they are, blanks apart: bash puts a completion into the line unquoted, and a server's $(rm) is no word. */
const plain = /^[\p{L}\p{M}\p{N} ._+,:@%=^/-]*$/u
/** Paths of the server that begin with `prefix`, directories with a slash. */
export async function complete(where: Where, prefix: string): Promise<string[]> {
  const cut = prefix.lastIndexOf('/') + 1, above = prefix.slice(0, cut), begin = prefix.slice(cut)
  return session(where, async (remote) => {
    const found: string[] = []
    for await (const { name, type } of list(await remote.find(above))) if (name.startsWith(begin) && plain.test(name)) found.push(`${above}${name}${type === Dt.DIR ? '/' : ''}`)
    return found.sort()
  })
}
