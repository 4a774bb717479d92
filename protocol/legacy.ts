// Files of servers that speak 9P2000 or 9P2000.u, by the same calls as those of 9P2000.L. What these dialects have no words for
// is EOPNOTSUPP, and its cause says so.

import type { CallOptions } from './client.ts'
import { Attrs, direntType, DM, deviceNumber, NONUNAME, O, OPEN, QT, S } from './constants.ts'
import { errno, isErrno, type Errno } from './errno.ts'
import { File } from './file.ts'
import { DONT_TOUCH, statsOf, unixStatsOf } from './stat.ts'
import type { Attr, Dirent, Flock, LockStatus, Qid, SetAttr, Stat, StatFs, Time, UnixStat } from './types.ts'

/** How often a file may come and go between a walk and a create before that is told. */
const RACES = 3
/** Twstat's mode holds all of it, and these are not permission: they stay as they are. */
const KEPT = QT.DIR | QT.APPEND | QT.EXCL | QT.TMP | QT.SYMLINK
const setBits = [[S.ISUID, DM.SETUID], [S.ISGID, DM.SETGID], [S.ISVTX, DM.SETVTX]] as const

export class LegacyFile extends File {
  protected override of(fid: number, qid: Qid): LegacyFile { return new LegacyFile(this.client, fid, qid) }
  get #unix(): boolean { return this.client.dialect === '9P2000.u' }

  override async open(flags: number = O.RDONLY, options?: CallOptions): Promise<this> {
    if ((flags & O.DIRECTORY) !== 0 && (this.qid.type & QT.DIR) === 0) throw errno('ENOTDIR', 'open')
    const { iounit } = await this.client.rpc('Topen', { fid: this.fid, mode: this.#mode(flags) | (flags & O.TRUNC ? OPEN.TRUNC : 0) }, options)
    this.opened(flags, iounit)
    return this
  }
  /** Tcreate is for new files alone: one that is there is walked to. */
  override async create(name: string, flags: number, mode: number, gid: number = NONUNAME): Promise<File> {
    this.#noGroup('create', name, gid)
    const perm = this.#perm('create', mode, name)
    for (let tries = 1; ; tries++) {
      if ((flags & O.EXCL) === 0) {
        const there = await this.walk(name).catch((error: unknown) => { if (!isErrno(error, 'ENOENT')) throw error })
        if (there) return there.open(flags).catch(async (error: unknown) => { await leave(there); throw error })
      }
      try {
        const { file, iounit } = await this.#make(name, perm, this.#mode(flags))
        file.opened(flags, iounit)
        return file
      } catch (error) {
        if (!isErrno(error, 'EEXIST') || (flags & O.EXCL) !== 0 || tries === RACES) throw error
      }
    }
  }
  #mode(flags: number): number { return flags & O.ACCMODE | (this.#unix && flags & O.APPEND ? OPEN.APPEND : 0) }

  /** Opened with O.APPEND, the end is looked up: only a server that knows better keeps two writers apart there. */
  override async write(bytes: Uint8Array, offset: number, options?: CallOptions): Promise<number> {
    const appends = this.flags !== undefined && (this.flags & O.APPEND) !== 0
    return super.write(bytes, appends ? (await this.#stat()).length : offset, options)
  }
  /** The cookies are where the next read begins: of every entry the same. */
  protected override async entries(offset: bigint, options: CallOptions): Promise<Dirent[]> {
    const { data } = await this.client.rpc('Tread', { fid: this.fid, offset: Number(offset), count: this.piece }, options)
    const cookie = offset + BigInt(data.length)
    return (this.#unix ? unixStatsOf(data) : statsOf(data)).map((stat) => ({ qid: stat.qid, cookie, type: direntType(kindOf(stat)), name: stat.name }))
  }

  override async getattr(): Promise<Attr> { return attrOf(await this.#stat()) }
  /** Times in whole seconds; 'now' is this machine's. */
  override async setattr({ mode, uid, gid, size, atime, mtime }: SetAttr): Promise<void> {
    if (!this.#unix && (uid !== undefined || gid !== undefined)) throw this.#lacks('setattr', 'owners by number')
    if (size !== undefined && size >= 2 ** 63) throw errno('EFBIG', 'setattr')
    await this.#wstat({
      ...DONT_TOUCH, mode: mode === undefined ? DONT_TOUCH.mode : (this.#perm('setattr', mode) | (this.qid.type & KEPT) << 24) >>> 0,
      length: size ?? DONT_TOUCH.length, atime: seconds(atime), mtime: seconds(mtime), nUid: uid ?? NONUNAME, nGid: gid ?? NONUNAME,
    })
  }
  override async fsync(_dataOnly = false, options?: CallOptions): Promise<void> { await this.#wstat(DONT_TOUCH, options) }
  override async readlink(): Promise<string> {
    if (!this.#unix) throw this.#lacks('readlink', 'symbolic links')
    const { mode, extension } = await this.#stat()
    if ((mode & DM.SYMLINK) === 0) throw errno('EINVAL', 'readlink')
    return extension!
  }

  override async mkdir(name: string, mode: number, gid?: number): Promise<Qid> { return this.#new('mkdir', name, gid, this.#perm('mkdir', mode, name) | DM.DIR) }
  override async symlink(name: string, target: string, gid?: number): Promise<Qid> {
    return this.#special('symlink', 'symbolic links', name, DM.SYMLINK | 0o777, target, gid)
  }
  override async mknod(name: string, mode: number, major = 0, minor = 0, gid?: number): Promise<Qid> {
    const perm = this.#perm('mknod', mode, name)
    switch (mode & S.IFMT) {
      case S.IFREG: case 0: return this.#new('mknod', name, gid, perm)
      case S.IFIFO: return this.#special('mknod', 'pipes', name, perm | DM.NAMEDPIPE, '', gid)
      case S.IFSOCK: return this.#special('mknod', 'sockets', name, perm | DM.SOCKET, '', gid)
      case S.IFCHR: case S.IFBLK: return this.#special('mknod', 'devices', name, perm | DM.DEVICE, `${(mode & S.IFMT) === S.IFCHR ? 'c' : 'b'} ${major} ${minor}`, gid)
      default: throw errno('EINVAL', 'mknod', name)
    }
  }
  override async link(target: File, name: string): Promise<void> {
    await this.#special('link', 'hard links', name, DM.LINK, `${target.fid}\n`)   // the newline is Linux's
  }
  /** Both dialects rename within a directory only: EXDEV. */
  override async rename(dir: File, name: string): Promise<void> {
    const there = await dir.walk((await this.#stat()).name).catch((error: unknown) => { if (!isErrno(error, 'ENOENT')) throw error })
    const inDir = there !== undefined && there.qid.path === this.qid.path
    if (there) await leave(there)
    if (!inDir) throw this.#apart(name)
    await this.#wstat({ ...DONT_TOUCH, name })
  }
  override async renameat(name: string, dir: File, newName: string): Promise<void> {
    if (dir.qid.path !== this.qid.path) throw this.#apart(name)
    const file = await this.walk(name)
    try { await this.client.rpc('Twstat', { fid: file.fid, stat: { ...DONT_TOUCH, name: newName } }) } finally { await leave(file) }
  }

  override async statfs(): Promise<StatFs> { throw this.#lacks('statfs', 'sizes of file systems') }
  override async getxattr(name: string): Promise<Uint8Array> { throw this.#lacks('getxattr', 'extended attributes', name) }
  override async setxattr(name: string): Promise<void> { throw this.#lacks('setxattr', 'extended attributes', name) }
  override async lock(): Promise<LockStatus> { throw this.#lacks('lock', 'locks') }
  override async getlock(): Promise<Flock> { throw this.#lacks('getlock', 'locks') }

  async #stat(): Promise<Stat & Partial<UnixStat>> { return (await this.client.rpc('Tstat', { fid: this.fid })).stat }
  async #wstat(stat: UnixStat, options?: CallOptions): Promise<void> { await this.client.rpc('Twstat', { fid: this.fid, stat }, options) }

  async #make(name: string, perm: number, mode: number, extension = ''): Promise<{ file: LegacyFile; iounit: number }> {
    const dir = await this.clone()
    try {
      const { qid, iounit } = await this.client.rpc('Tcreate', { fid: dir.fid, name, perm: perm >>> 0, mode, extension })
      return { file: this.of(dir.fid, qid), iounit }
    } catch (error) {
      await leave(dir)
      throw error
    }
  }
  /** What is not to be opened. */
  async #new(op: string, name: string, gid: number | undefined, perm: number, extension?: string): Promise<Qid> {
    this.#noGroup(op, name, gid)
    const { file } = await this.#make(name, perm, OPEN.READ, extension)
    await file.clunk()
    return file.qid
  }
  /** What 9P2000 has none of. */
  async #special(op: string, what: string, name: string, perm: number, extension: string, gid?: number): Promise<Qid> {
    if (!this.#unix) throw this.#lacks(op, what, name)
    return this.#new(op, name, gid, perm, extension)
  }
  #perm(op: string, mode: number, name?: string): number {
    if (!this.#unix && (mode & 0o7000) !== 0) throw this.#lacks(op, 'set-user-id, set-group-id and sticky bits', name)
    return setBits.reduce((perm, [bit, dm]) => mode & bit ? perm | dm : perm, mode & 0o777)
  }
  #noGroup(op: string, name: string, gid: number = NONUNAME): void { if (gid !== NONUNAME) throw this.#lacks(op, 'a group for what is made', name) }
  #lacks(op: string, what: string, name?: string): Errno { return errno('EOPNOTSUPP', op, name, new Error(`${this.client.dialect} has no ${what}`)) }
  #apart(name: string): Errno { return errno('EXDEV', 'rename', name, new Error(`${this.client.dialect} renames within a directory only`)) }
}

/** clunk(), where another outcome is to be told. */
async function leave(file: File): Promise<void> { await file.clunk().catch(() => {}) }

/** Twstat's time. EOVERFLOW: it does not fit. */
function seconds(time: Time | 'now' | undefined): number {
  if (time === undefined) return DONT_TOUCH.mtime
  const sec = time === 'now' ? Math.floor(Date.now() / 1000) : time.sec
  if (!(sec >= 0 && sec < DONT_TOUCH.mtime)) throw errno('EOVERFLOW', 'setattr')
  return sec
}

/** What a stat says, as Rgetattr would have it: what is not valid is a guess. */
function attrOf(stat: Stat & Partial<UnixStat>): Attr {
  const { qid, mode, atime, mtime, length, uid, gid, muid, extension } = stat
  const links = /^ ?HARDLINKCOUNT (\d+)/.exec(extension ?? '')?.[1]   // that v9fs and servers for it agreed on
  const [, major, minor] = /^[bc] (\d+) (\d+)$/.exec(extension ?? '') ?? []
  const user = idOf(stat.nUid, uid), group = idOf(stat.nGid, gid)
  return {
    valid: Attrs.MODE | Attrs.ATIME | Attrs.MTIME | Attrs.INO | Attrs.SIZE | (links ? Attrs.NLINK : 0) | (minor ? Attrs.RDEV : 0) |
      (user === NONUNAME ? 0 : Attrs.UID) | (group === NONUNAME ? 0 : Attrs.GID),
    qid, mode: kindOf(stat) | mode & 0o777 | (extension === undefined ? 0 : setBits.reduce((set, [bit, dm]) => mode & dm ? set | bit : set, 0)),
    uid: user, gid: group, names: { uid, gid, muid }, nlink: links ? Number(links) : 1, rdev: minor ? BigInt(deviceNumber(Number(major), Number(minor))) : 0n,
    size: length, blksize: 4096, blocks: Math.ceil(length / 512), atime: { sec: atime, nsec: 0 }, mtime: { sec: mtime, nsec: 0 }, ctime: { sec: mtime, nsec: 0 },
    btime: { sec: 0, nsec: 0 }, gen: 0n, dataVersion: 0n,
  }
}
/** The S.IFMT of a stat; 9P2000 knows files and directories. */
function kindOf({ mode, extension }: Stat & Partial<UnixStat>): number {
  if (mode & DM.DIR) return S.IFDIR
  if (extension === undefined) return S.IFREG
  if (mode & DM.SYMLINK) return S.IFLNK
  if (mode & DM.DEVICE) return extension.startsWith('b') ? S.IFBLK : S.IFCHR
  return mode & DM.NAMEDPIPE ? S.IFIFO : mode & DM.SOCKET ? S.IFSOCK : S.IFREG
}
/** A user's or group's number, or the one that its name is. */
function idOf(number: number = NONUNAME, name: string): number {
  return number === NONUNAME && /^\d{1,9}$/.test(name) ? Number(name) : number
}
