// The system calls that Node lacks, or has only by path: each wrapped once, typed, and throwing errnos. Nothing else
// touches koffi: it takes a number for a pointer and NaN for an integer without a word.
//
// Linux, glibc, 64 bit. Calls are synchronous and cost 0.3 to 3 us, plus what the device takes; syncfs alone returns a
// promise and runs in the thread pool. Names go down as bytes, whatever they are.
//
// Pointers to memory of this module go as addresses: it never moves, and an address is 10 to 20 % cheaper to pass than
// an object.

import * as fs from 'node:fs'
import { createRequire } from 'node:module'
import { codeOf, deviceNumber, errno, nameOfBytes, putBytes, type Time } from 'ninep'

type Native = ((...args: (number | bigint | Uint8Array)[]) => number) & { async(...args: unknown[]): void }
interface Library { func(signature: string): Native }
interface Koffi { load(path: string): Library; errno(): number; address(view: ArrayBufferView): bigint }

let koffi: Koffi | undefined
function load(): Koffi {
  if (process.platform !== 'linux') throw new Error(`system calls: ninefold needs Linux for this, not ${process.platform}`)
  try {
    return koffi = createRequire(import.meta.url)('koffi') as Koffi
  } catch (cause) {
    throw new Error('system calls: koffi does not load on this machine. Run npm ci again, without --omit=optional; '
      + `koffi has prebuilt binaries for Linux on x64, arm64, riscv64 and loong64, and this is ${process.arch}.`, { cause })
  }
}

let libc: Library | undefined
/** A function of libc, bound when it is first called: what needs no system calls loads where koffi does not. */
function bind(signature: string): () => Native {
  let native: Native | undefined
  return () => native ??= (libc ??= (koffi ?? load()).load('libc.so.6')).func(signature)
}

function fail(op: string, subject?: string): never { throw errno(codeOf(koffi!.errno()), op, subject) }
function failFd(op: string, fd: number): never { return fail(op, `fd ${fd}`) }

// Memory that calls read and write; one of each is enough, since calls do not overlap.

function addressOf(memory: ArrayBufferView): number { return Number((koffi ?? load()).address(memory)) }

const PATH_MAX = 4096
/** Room for a C string. */
class Text {
  readonly bytes = Buffer.alloc(PATH_MAX * 3)
  #address = 0
  /** The name's bytes and a NUL; where they lie. ENAMETOOLONG: longer than any path. */
  put(name: string, op: string): number {
    if (name.length >= PATH_MAX) throw errno('ENAMETOOLONG', op)
    this.bytes[putBytes(name, this.bytes, 0)] = 0
    return this.#address ||= addressOf(this.bytes)
  }
  /** The name of an entry of a directory. EINVAL: a path, or a way up, or none at all, or cut short by a NUL. */
  entry(name: string, op: string): number {
    if (name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0')) throw errno('EINVAL', op, name)
    return this.put(name, op)
  }
}
const one = new Text(), other = new Text(), empty = new Text(), proc = new Text()
function nothing(): number { return empty.put('', '') }

let procFd = -1, procAddress = 0
/** `/proc/self/fd/N`: what a descriptor stands for, as a path that no rename moves. */
function procPath(fd: number): number {
  if (fd !== procFd) {
    procAddress = proc.put(`/proc/self/fd/${fd}`, '')
    procFd = fd
  }
  return procAddress
}

/** Words that the kernel fills. Over 64 bytes: below that V8 keeps an array in its heap, and moves it. */
class Words {
  readonly u32: Uint32Array
  readonly u64: BigUint64Array
  #address = 0
  constructor(bytes: number) {
    const memory = new ArrayBuffer(Math.max(bytes, 128))
    this.u32 = new Uint32Array(memory)
    this.u64 = new BigUint64Array(memory)
  }
  get address(): number { return this.#address ||= addressOf(this.u32) }
  /** 64 bits at a word as a number: exact to 2^53. */
  number(at: number): number { return this.u32[at]! + this.u32[at + 1]! * 2 ** 32 }
}

// Descriptors

/** The host's open flags; O.* of ninep are the wire's, which on some machines are others. */
export const Open = {
  RDONLY: fs.constants.O_RDONLY, WRONLY: fs.constants.O_WRONLY, RDWR: fs.constants.O_RDWR, CREAT: fs.constants.O_CREAT, EXCL: fs.constants.O_EXCL,
  NOCTTY: fs.constants.O_NOCTTY, TRUNC: fs.constants.O_TRUNC, APPEND: fs.constants.O_APPEND, NONBLOCK: fs.constants.O_NONBLOCK,
  DSYNC: fs.constants.O_DSYNC, SYNC: fs.constants.O_SYNC, DIRECTORY: fs.constants.O_DIRECTORY, NOFOLLOW: fs.constants.O_NOFOLLOW, PATH: 0x200000,
} as const
/** Instead of a directory: the folder the process runs in. */
const AT_FDCWD = -100
const O_CLOEXEC = 0x80000
const AT_SYMLINK_NOFOLLOW = 0x100, AT_SYMLINK_FOLLOW = 0x400, AT_NO_AUTOMOUNT = 0x800, AT_EMPTY_PATH = 0x1000

const openat_ = bind('int openat(int dir, size_t path, int flags, unsigned int mode)')
const close_ = bind('int close(int fd)')
const flock_ = bind('int flock(int fd, int operation)')
const fcntl_ = bind('int fcntl(int fd, int cmd, long arg)')
const lseek_ = bind('int64_t lseek(int fd, int64_t offset, int whence)')

/** openat(2) of one entry of a directory, closed on exec; flags are Open bits. */
export function openat(dir: number, name: string, flags: number, mode = 0): number {
  const fd = openat_()(dir, one.entry(name, 'open'), flags | O_CLOEXEC, mode)
  return fd >= 0 ? fd : fail('open', name)
}
/** open(2) of a path of the operator's: symbolic links are followed. */
export function openPath(path: string, flags: number): number {
  const fd = openat_()(AT_FDCWD, one.put(path, 'open'), flags | O_CLOEXEC, 0)
  return fd >= 0 ? fd : fail('open', path)
}
/** What an O_PATH descriptor stands for, opened: through a directory's `.`, or /proc/self/fd. */
export function reopen(fd: number, flags: number): number {
  const opened = openat_()(AT_FDCWD, procPath(fd), flags | O_CLOEXEC, 0)
  return opened >= 0 ? opened : failFd('open', fd)
}
/** A directory opened again: reopen without /proc, at half the price. */
export function reopenDirectory(fd: number): number {
  const opened = openat_()(fd, one.put('.', ''), Open.RDONLY | Open.DIRECTORY | O_CLOEXEC, 0)
  return opened >= 0 ? opened : failFd('open', fd)
}
/** The directory above, as O_PATH. It may lie above what is exported: the caller's to check. */
export function openParent(fd: number): number {
  const opened = openat_()(fd, one.put('..', ''), Open.PATH | Open.DIRECTORY | Open.NOFOLLOW | O_CLOEXEC, 0)
  return opened >= 0 ? opened : failFd('open ..', fd)
}
/** close(2). Throws what a delayed write ran into, and the descriptor is gone all the same. */
export function close(fd: number): void {
  if (close_()(fd) < 0) failFd('close', fd)
}
/** A duplicate of the descriptor, closed on exec: fcntl(F_DUPFD_CLOEXEC). EBADF EMFILE. */
export function dupCloexec(fd: number): number {
  const copy = fcntl_()(fd, 1030, 0)
  return copy >= 0 ? copy : failFd('dup', fd)
}
/** flock(LOCK_EX | LOCK_NB), given back when the descriptor is closed or by unlock. false: another has it. */
export function tryLock(fd: number): boolean {
  if (flock_()(fd, 2 | 4) === 0) return true
  return koffi!.errno() === 11 ? false : failFd('flock', fd)
}
export function unlock(fd: number): void { if (flock_()(fd, 8) < 0) failFd('flock', fd) }
/** lseek(SEEK_SET). A bigint for a directory's cookie: ext4's fill 63 bits. */
export function seek(fd: number, offset: bigint): void {
  if (lseek_()(fd, offset, 0) < 0) failFd('lseek', fd)
}

// What a file is

const statx_ = bind('int statx(int dir, size_t path, int flags, unsigned int mask, size_t to)')
const buffer = new Words(256)
/** STATX_BASIC_STATS | STATX_BTIME */
const STATX_MASK = 0xfff

/** What statx(2) said last: read it before the next call. Layout: linux/include/uapi/linux/stat.h. */
export const stat = {
  get mode(): number { return buffer.u32[7]! & 0xffff },
  get nlink(): number { return buffer.u32[4]! },
  get uid(): number { return buffer.u32[5]! },
  get gid(): number { return buffer.u32[6]! },
  get blksize(): number { return buffer.u32[1]! },
  /** The number of the inode; a number below 2^53, so that a Map finds it quickly, else a bigint. */
  get ino(): number | bigint { return buffer.u32[9]! < 0x200000 ? buffer.number(8) : buffer.u64[4]! },
  get size(): number { return buffer.number(10) },
  /** Units of 512 bytes. */
  get blocks(): number { return buffer.number(12) },
  /** The device that the file is on, in one number. */
  get device(): number { return buffer.u32[34]! * 2 ** 32 + buffer.u32[35]! },
  /** The device that the file is: Linux's 32 bits, as 9P carries them. */
  get rdev(): number { return deviceNumber(buffer.u32[32]!, buffer.u32[33]!) },
  get atime(): Time { return time(16) },
  get mtime(): Time { return time(28) },
  get ctime(): Time { return time(24) },
  /** Whether the file system tells when a file was made. */
  get hasBtime(): boolean { return (buffer.u32[0]! & 0x800) !== 0 },
  get btime(): Time { return time(20) },
  get ctimeSec(): number { return seconds(24) },
  get ctimeNsec(): number { return buffer.u32[26]! },
  get mtimeSec(): number { return seconds(28) },
  get mtimeNsec(): number { return buffer.u32[30]! },
  get btimeSec(): number { return seconds(20) },
  get btimeNsec(): number { return buffer.u32[22]! },
}
function seconds(at: number): number { return buffer.u32[at]! + (buffer.u32[at + 1]! | 0) * 2 ** 32 }
function time(at: number): Time { return { sec: seconds(at), nsec: buffer.u32[at + 2]! } }

/** What an open descriptor stands for, in `stat`. */
export function statFd(fd: number): void {
  if (statx_()(fd, nothing(), AT_EMPTY_PATH, STATX_MASK, buffer.address) < 0) failFd('stat', fd)
}
/** An entry of a directory, itself where it is a symbolic link, in `stat`. */
export function statAt(dir: number, name: string): void {
  if (statx_()(dir, one.entry(name, 'stat'), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_MASK, buffer.address) < 0) fail('stat', name)
}
/** The same; false where there is no such entry. */
export function statIfAny(dir: number, name: string): boolean {
  if (statx_()(dir, one.entry(name, 'stat'), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_MASK, buffer.address) === 0) return true
  if (koffi!.errno() === 2) return false
  return fail('stat', name)
}

const handleAt_ = bind('int name_to_handle_at(int dir, size_t path, size_t handle, size_t mount, int flags)')
const openHandle_ = bind('int open_by_handle_at(int mount, void *handle, int flags)')
/** struct file_handle {bytes, type, f_handle[128]}, and the mount's number after it. */
const handle = new Words(8 + 128 + 8)

/** What a file is to its file system for ever, number and generation: struct file_handle, as bytes. undefined: this one has none. */
export function handleOf(fd: number): Uint8Array | undefined {
  handle.u32[0] = 128
  if (handleAt_()(fd, nothing(), handle.address, handle.address + 136, AT_EMPTY_PATH) < 0) {
    if (koffi!.errno() === 95 || koffi!.errno() === 75) return undefined
    return failFd('handle', fd)
  }
  return new Uint8Array(handle.u32.buffer).slice(0, 8 + handle.u32[0])
}
/** The file of a handle, as O_PATH; `mount` is open (not O_PATH) on its file system. ESTALE: gone. EPERM: not for this user. */
export function openHandle(mount: number, bytes: Uint8Array): number {
  const fd = openHandle_()(mount, bytes, Open.PATH | Open.NOFOLLOW | O_CLOEXEC)
  return fd >= 0 ? fd : failFd('open by handle', mount)
}

// Names in directories

const mkdirat_ = bind('int mkdirat(int dir, size_t path, unsigned int mode)')
const mknodat_ = bind('int mknodat(int dir, size_t path, unsigned int mode, uint64_t device)')
const symlinkat_ = bind('int symlinkat(size_t target, int dir, size_t path)')
const linkat_ = bind('int linkat(int fromDir, size_t from, int dir, size_t path, int flags)')
const renameat2_ = bind('int renameat2(int fromDir, size_t from, int dir, size_t path, unsigned int flags)')
const unlinkat_ = bind('int unlinkat(int dir, size_t path, int flags)')
const readlinkat_ = bind('int64_t readlinkat(int dir, size_t path, size_t to, size_t size)')
const getdents64_ = bind('int64_t getdents64(int fd, void *to, size_t size)')

export function mkdirat(dir: number, name: string, mode: number): void {
  if (mkdirat_()(dir, one.entry(name, 'mkdir'), mode) < 0) fail('mkdir', name)
}
/** device: as deviceNumber. */
export function mknodat(dir: number, name: string, mode: number, device: number): void {
  if (mknodat_()(dir, one.entry(name, 'mknod'), mode, device) < 0) fail('mknod', name)
}
export function symlinkat(target: string, dir: number, name: string): void {
  if (symlinkat_()(other.put(target, 'symlink'), dir, one.entry(name, 'symlink')) < 0) fail('symlink', name)
}
/** Another name for what a descriptor stands for, a symbolic link itself included. */
export function linkFd(fd: number, dir: number, name: string): void {
  if (linkat_()(AT_FDCWD, procPath(fd), dir, one.entry(name, 'link'), AT_SYMLINK_FOLLOW) < 0) fail('link', name)
}
export function renameat(fromDir: number, from: string, dir: number, name: string): void {
  if (renameat2_()(fromDir, other.entry(from, 'rename'), dir, one.entry(name, 'rename'), 0) < 0) fail('rename', from)
}
/** renameat that refuses with EEXIST rather than replace: RENAME_NOREPLACE, or where a file system has not that, link and unlink. */
export function moveAnew(fromDir: number, from: string, dir: number, name: string): void {
  if (renameat2_()(fromDir, other.entry(from, 'rename'), dir, one.entry(name, 'rename'), 1) === 0) return
  if (koffi!.errno() !== 22) fail('rename', name)
  if (linkat_()(fromDir, other.entry(from, 'link'), dir, one.entry(name, 'link'), 0) < 0) fail('link', name)
  unlinkat(fromDir, from, 0)
}
/** flags: 0 or AT_REMOVEDIR. */
export function unlinkat(dir: number, name: string, flags: number): void {
  if (unlinkat_()(dir, one.entry(name, 'unlink'), flags) < 0) fail('unlink', name)
}
/** Where a symbolic link points, by an O_PATH descriptor of the link itself. EINVAL: no symlink. */
export function readlinkFd(fd: number): string {
  const address = other.put('', 'readlink'), size = readlinkat_()(fd, nothing(), address, other.bytes.length)
  if (size < 0) throw koffi!.errno() === 2 ? errno('EINVAL', 'readlink', `fd ${fd}`) : errno(codeOf(koffi!.errno()), 'readlink', `fd ${fd}`)
  return nameOfBytes(other.bytes, 0, size)
}
/** Entries of an open directory from where it stands: struct linux_dirent64, packed. 0: no more, or it was removed. */
export function getdents(fd: number, to: Uint8Array): number {
  const size = getdents64_()(fd, to, to.length)
  return size >= 0 ? size : koffi!.errno() === 2 ? 0 : failFd('getdents', fd)
}

// Attributes, by a descriptor that may be O_PATH

const fchownat_ = bind('int fchownat(int dir, size_t path, unsigned int uid, unsigned int gid, int flags)')
const chmod_ = bind('int chmod(size_t path, unsigned int mode)')
const truncate_ = bind('int truncate(size_t path, int64_t size)')
const ftruncate_ = bind('int ftruncate(int fd, int64_t size)')
const utimensat_ = bind('int utimensat(int dir, size_t path, size_t times, int flags)')

/** undefined leaves that one as it is. */
export function chown(fd: number, uid: number | undefined, gid: number | undefined): void {
  if (fchownat_()(fd, nothing(), uid ?? 0xffffffff, gid ?? 0xffffffff, AT_EMPTY_PATH) < 0) failFd('chown', fd)
}
/** By /proc/self/fd, since fchmodat2 came with kernel 6.6. EOPNOTSUPP: a symbolic link. */
export function chmod(fd: number, mode: number): void {
  if (chmod_()(procPath(fd), mode) < 0) failFd('chmod', fd)
}
/** open: whether the descriptor is open for writing; else it is O_PATH, and the file's mode is asked. */
export function truncate(fd: number, size: number, open: boolean): void {
  if ((open ? ftruncate_()(fd, size) : truncate_()(procPath(fd), size)) < 0) failFd('truncate', fd)
}
const times = new Words(32)
/** undefined leaves that time as it is. */
export function utimens(fd: number, atime: Time | 'now' | undefined, mtime: Time | 'now' | undefined): void {
  for (const [i, t] of [atime, mtime].entries()) {
    times.u64[2 * i] = t === 'now' || t === undefined ? 0n : BigInt.asUintN(64, BigInt(t.sec))
    times.u64[2 * i + 1] = t === 'now' ? 0x3fffffffn : t === undefined ? 0x3ffffffen : BigInt(t.nsec)
  }
  if (utimensat_()(fd, nothing(), times.address, AT_EMPTY_PATH) < 0) failFd('utimens', fd)
}

// Extended attributes, by /proc/self/fd: the f*xattr calls refuse an O_PATH descriptor

const getxattr_ = bind('int64_t getxattr(size_t path, size_t name, void *to, size_t size)')
const setxattr_ = bind('int setxattr(size_t path, size_t name, const void *value, size_t size, int flags)')
const listxattr_ = bind('int64_t listxattr(size_t path, void *to, size_t size)')
const removexattr_ = bind('int removexattr(size_t path, size_t name)')
/** XATTR_SIZE_MAX and XATTR_LIST_MAX */
const value = Buffer.alloc(65536)

/** A copy of the value. undefined: there is none (ENODATA), or there can't be (EOPNOTSUPP). */
export function xattrIfAny(fd: number, name: string): Uint8Array | undefined {
  const size = getxattr_()(procPath(fd), one.put(name, 'getxattr'), value, value.length)
  if (size >= 0) return Uint8Array.prototype.slice.call(value, 0, size)
  const number = koffi!.errno()
  if (number === 61 || number === 95) return undefined
  return fail('getxattr', name)
}
/** ENODATA EOPNOTSUPP. */
export function getxattr(fd: number, name: string): Uint8Array {
  const size = getxattr_()(procPath(fd), one.put(name, 'getxattr'), value, value.length)
  return size >= 0 ? Uint8Array.prototype.slice.call(value, 0, size) : fail('getxattr', name)
}
export function setxattr(fd: number, name: string, bytes: Uint8Array, flags: number): void {
  if (setxattr_()(procPath(fd), one.put(name, 'setxattr'), bytes.length ? bytes : value, bytes.length, flags) < 0) fail('setxattr', name)
}
export function listxattr(fd: number): string[] {
  const size = listxattr_()(procPath(fd), value, value.length)
  if (size < 0) failFd('listxattr', fd)
  const names: string[] = []
  for (let at = 0; at < size;) {
    const end = value.indexOf(0, at)
    names.push(nameOfBytes(value, at, end))
    at = end + 1
  }
  return names
}
export function removexattr(fd: number, name: string): void {
  if (removexattr_()(procPath(fd), one.put(name, 'removexattr')) < 0) fail('removexattr', name)
}

// Contents

const pread_ = bind('int64_t pread(int fd, void *to, size_t size, int64_t offset)')
const preadv2_ = bind('int64_t preadv2(int fd, size_t vectors, int count, int64_t offset, int flags)')
const pwrite_ = bind('int64_t pwrite(int fd, const void *from, size_t size, int64_t offset)')
const read_ = bind('int64_t read(int fd, void *to, size_t size)')
const write_ = bind('int64_t write(int fd, const void *from, size_t size)')

export function pread(fd: number, into: Uint8Array, offset: number): number {
  const size = pread_()(fd, into, into.length, offset)
  return size >= 0 ? size : failFd('read', fd)
}
const vector = new Words(16)
/**
 * pread of what needs no waiting for a device: perhaps less than there is. undefined: nothing of it is in memory.
 * EOPNOTSUPP: this file system can't tell.
 */
export function preadCached(fd: number, into: Uint8Array, offset: number): number | undefined {
  vector.u64[0] = (koffi ?? load()).address(into)
  vector.u64[1] = BigInt(into.length)
  const size = preadv2_()(fd, vector.address, 1, offset, 8 /* RWF_NOWAIT */)
  if (size >= 0) return size
  return koffi!.errno() === 11 ? undefined : failFd('read', fd)
}
export function pwrite(fd: number, bytes: Uint8Array, offset: number): number {
  const size = pwrite_()(fd, bytes, bytes.length, offset)
  return size >= 0 ? size : failFd('write', fd)
}
/** read(2): of what has no offsets, FIFOs and devices. EAGAIN: nothing there yet. */
export function read(fd: number, into: Uint8Array): number {
  const size = read_()(fd, into, into.length)
  return size >= 0 ? size : failFd('read', fd)
}
/** write(2): as read. EAGAIN: no room yet. */
export function write(fd: number, bytes: Uint8Array): number {
  const size = write_()(fd, bytes, bytes.length)
  return size >= 0 ? size : failFd('write', fd)
}

// File systems

const fstatfs_ = bind('int fstatfs(int fd, size_t to)')
const syncfs_ = bind('int syncfs(int fd)')
const volume = new Words(120)

interface Statfs {
  /** The magic number of statfs(2). */
  readonly type: number
  /** The unit of blocks, bytes: f_frsize. */
  readonly unit: number
  readonly blocks: number; readonly bfree: number; readonly bavail: number
  readonly files: number; readonly ffree: number
  /** 0n: it has none. */
  readonly fsid: bigint
  readonly namelen: number
}
export function statfs(fd: number): Statfs {
  if (fstatfs_()(fd, volume.address) < 0) failFd('statfs', fd)
  return {
    type: volume.u32[0]!, unit: volume.number(18) || volume.number(2), blocks: volume.number(4), bfree: volume.number(6), bavail: volume.number(8),
    files: volume.number(10), ffree: volume.number(12), fsid: volume.u64[7]!, namelen: volume.number(16),
  }
}
/** Settles when all that was written to the file system of an open (not O_PATH) descriptor survives power loss. In the thread pool. */
export function syncfs(fd: number): Promise<void> {
  return new Promise((resolve, reject) => syncfs_().async(fd, (problem: unknown, result: number) => {
    if (problem) reject(problem)
    else if (result < 0) reject(errno('EIO', 'syncfs', `fd ${fd}`))   // errno stayed behind in the pool's thread
    else resolve()
  }))
}

// The process

const getsockopt_ = bind('int getsockopt(int fd, int level, int name, size_t value, size_t length)')
const prlimit_ = bind('int prlimit(int pid, int resource, size_t set, size_t get)')
const poll_ = bind('int poll(size_t fds, unsigned long count, int timeout)')
const small = new Words(32)

/** Who made the other end of a connected unix socket, as it was then: getsockopt(SO_PEERCRED). */
export function peerCredentials(fd: number): { pid: number; uid: number; gid: number } {
  small.u32[4] = 12
  if (getsockopt_()(fd, 1, 17, small.address, small.address + 16) < 0) failFd('getsockopt', fd)
  return { pid: small.u32[0]!, uid: small.u32[1]!, gid: small.u32[2]! }
}

const socket_ = bind('int socket(int domain, int type, int protocol)')
const send_ = bind('int64_t send(int fd, const void *from, size_t size, int flags)')
const recv_ = bind('int64_t recv(int fd, void *to, size_t size, int flags)')
/** A socket to ask about sockets, kept: sock_diag(7). */
let asking = -1
const question = Buffer.alloc(72), reply = Buffer.alloc(4096)

/**
 * Whose process it is that holds the TCP socket of this machine at `from`, connected to `to`: addresses are 4 bytes or 16, in the
 * order of the wire. undefined: it is held by none any more. ENOENT: there is no such socket, or the kernel can't tell (no
 * tcp_diag); other errnos: it can't be asked. One lookup by hash, however many sockets there are: 10 us.
 */
export function tcpOwner(from: Uint8Array, fromPort: number, to: Uint8Array, toPort: number): number | undefined {
  if (asking < 0) {
    const fd = socket_()(16 /* AF_NETLINK */, 3 | O_CLOEXEC, 4 /* NETLINK_SOCK_DIAG */)
    if (fd < 0) fail('socket')
    asking = fd
  }
  // struct nlmsghdr, struct inet_diag_req_v2: linux/include/uapi/linux/inet_diag.h. No NLM_F_DUMP: this one alone.
  const sequence = (question.readUInt32LE(8) + 1) >>> 0
  question.writeUInt32LE(72, 0)
  question.writeUInt16LE(20, 4)
  question.writeUInt16LE(1, 6)
  question.writeUInt32LE(sequence, 8)
  question.fill(0, 16)
  question[16] = from.length === 4 ? 2 : 10
  question[17] = 6
  question.writeUInt32LE(0xffffffff, 20)
  question.writeUInt16BE(fromPort, 24)
  question.writeUInt16BE(toPort, 26)
  question.set(from, 28)
  question.set(to, 44)
  question.fill(0xff, 64)                                   // no cookie
  if (send_()(asking, question, question.length, 0) < 0) fail('sock_diag')
  for (;;) {
    const size = recv_()(asking, reply, reply.length, 0x40 /* MSG_DONTWAIT */)
    if (size < 0) fail('sock_diag')
    if (reply.readUInt32LE(8) !== sequence) continue
    const type = reply.readUInt16LE(4)
    if (type === 2) throw errno(codeOf(-reply.readInt32LE(16)), 'sock_diag')
    if (type !== 20) throw errno('EPROTO', 'sock_diag')
    // struct inet_diag_msg: only ESTABLISHED with an inode: one that has been closed belongs to no process any more.
    return reply[17] === 1 && reply.readUInt32LE(84) !== 0 ? reply.readUInt32LE(80) : undefined
  }
}

/** What has become of the other end of a socket that is not being read: 'gone' (closed, or reset), 'ended' (it will send no
 *  more), or undefined: poll(POLLRDHUP). */
export function otherEnd(fd: number): 'gone' | 'ended' | undefined {
  small.u32[0] = fd
  small.u32[1] = 0x2000
  if (poll_()(small.address, 1, 0) < 0) failFd('poll', fd)
  const found = small.u32[1]! >>> 16
  return found & 0x38 ? 'gone' : found & 0x2000 ? 'ended' : undefined
}
/** How many descriptors the process may hold: RLIMIT_NOFILE, with the soft limit raised to the hard one. */
export function descriptorLimit(): number {
  if (prlimit_()(0, 7, 0, small.address) < 0) fail('prlimit')
  small.u64[0] = small.u64[1]!
  if (prlimit_()(0, 7, small.address, 0) < 0) fail('prlimit')
  return Math.min(small.number(2), 2 ** 30)
}
// Mounting

const mount_ = bind('int mount(size_t source, size_t target, size_t type, unsigned long flags, size_t data)')
const source_ = new Text(), type_ = new Text()
/** mount(2). flags: MS_* bits; data: the file system's own options. */
export function mount(source: string, target: string, type: string, flags: number, data: string): void {
  if (mount_()(source_.put(source, 'mount'), one.put(target, 'mount'), type_.put(type, 'mount'), flags, other.put(data, 'mount')) < 0) fail('mount', target)
}
const socketpair_ = bind('int socketpair(int domain, int type, int protocol, size_t to)')
/** Two unix sockets that are each other's other end, closed on exec. */
export function socketpair(kind: 'stream' | 'seqpacket' = 'stream'): [number, number] {
  if (socketpair_()(1, (kind === 'stream' ? 1 : 5) | O_CLOEXEC, 0, small.address) < 0) fail('socketpair')
  return [small.u32[0]!, small.u32[1]!]
}
const dup3_ = bind('int dup3(int from, int to, int flags)')
/** Makes the number `to` stand for what `from` does, closed on exec. */
export function replaceDescriptor(from: number, to: number): void {
  if (dup3_()(from, to, O_CLOEXEC) < 0) failFd('dup', from)
}
/** O_NONBLOCK, and closed on exec. */
export function setNonblocking(fd: number): void {
  const flags = fcntl_()(fd, 3, 0)
  if (flags < 0 || fcntl_()(fd, 4, flags | Open.NONBLOCK) < 0 || fcntl_()(fd, 2, 1) < 0) failFd('fcntl', fd)
}
/** read(2) from the start of `into`; undefined: nothing is there yet. */
export function readIfAny(fd: number, into: Uint8Array): number | undefined {
  const size = read_()(fd, into, into.length)
  if (size >= 0) return size
  const number = koffi!.errno()
  return number === 11 || number === 4 ? undefined : failFd('read', fd)
}
const recvmsg_ = bind('int64_t recvmsg(int fd, size_t message, int flags)')
/** struct msghdr (56 bytes), an iovec, a byte to read, and 24 bytes of control data. */
const message = new Words(128)
/** The descriptor that the other end of a socket has sent (SCM_RIGHTS), without waiting for it. undefined: none came. */
export function receiveDescriptor(fd: number): number | undefined {
  message.u64.fill(0n)
  const at = BigInt(message.address)
  message.u64[2] = at + 64n                                 // msg_iov, msg_iovlen, msg_control, msg_controllen
  message.u64[3] = 1n
  message.u64[4] = at + 88n
  message.u64[5] = 24n
  message.u64[8] = at + 80n                                 // the iovec
  message.u64[9] = 1n
  const size = recvmsg_()(fd, message.address, 0x40 /* MSG_DONTWAIT */ | 0x40000000 /* MSG_CMSG_CLOEXEC */)
  if (size < 0) return koffi!.errno() === 11 ? undefined : failFd('recvmsg', fd)
  // struct cmsghdr: length[8] level[4] type[4], then the descriptor
  return message.u64[5] >= 20n && message.u32[24] === 1 && message.u32[25] === 1 ? message.u32[26] : undefined
}

let claimed = 0
/** Descriptors of that limit that translators may come to hold; a claim is given back by a negative one. */
export function claimDescriptors(count: number): void { claimed += count }
export function claimedDescriptors(): number { return claimed }
