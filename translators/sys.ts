// The system calls that Node lacks, or has only by path: each wrapped once, typed, and throwing errnos. Nothing else
// touches koffi: it takes a number for a pointer and NaN for an integer without a word.
//
// Linux, glibc. Names are bytes (D2 of the design: a byte that is not UTF-8 is a lone surrogate) and never pass
// through a decoder. Calls are synchronous and cost 0.3 to 3 us; what may wait for a device says so.

import { createRequire } from 'node:module'
import { codeOf, errno } from 'ninep'

type Native = (...args: (number | bigint | Uint8Array | null)[]) => number
interface Koffi { load(path: string): { func(signature: string): Native }; errno(): number; address(view: Uint8Array): bigint }

let koffi: Koffi | undefined
function load(): Koffi {
  if (process.platform !== 'linux') throw new Error(`system calls: ninefold needs Linux for this, not ${process.platform}`)
  try {
    return koffi = createRequire(import.meta.url)('koffi') as Koffi
  } catch (cause) {
    throw new Error('system calls: koffi does not load on this machine. Run npm ci again, without --omit=optional; '
      + `koffi has prebuilt binaries for Linux on x64, arm64, ia32, riscv64 and loong64, and this is ${process.arch}.`, { cause })
  }
}

let libc: { func(signature: string): Native } | undefined
/** A function of libc, bound when it is first called: what needs no system calls loads where koffi does not. */
function bind(signature: string): () => Native {
  let native: Native | undefined
  return () => native ??= (libc ??= (koffi ?? load()).load('libc.so.6')).func(signature)
}

function fail(op: string, subject?: string): never { throw errno(codeOf(koffi!.errno()), op, subject) }

const fcntl_ = bind('int fcntl(int fd, int cmd, long arg)')
const getsockopt_ = bind('int getsockopt(int fd, int level, int name, _Out_ void *value, void *length)')

/** A duplicate of the descriptor, closed on exec: fcntl(F_DUPFD_CLOEXEC). EBADF EMFILE. */
export function dupCloexec(fd: number): number {
  const n = fcntl_()(fd, 1030, 0)
  return n >= 0 ? n : fail('dup', String(fd))
}

/** Who made the other end of a connected unix socket, as it was then: getsockopt(SO_PEERCRED). */
export function peerCredentials(fd: number): { pid: number; uid: number; gid: number } {
  const value = new Uint32Array(new ArrayBuffer(12)), length = new Uint32Array(new ArrayBuffer(4))
  length[0] = 12
  if (getsockopt_()(fd, 1, 17, new Uint8Array(value.buffer), new Uint8Array(length.buffer)) < 0) fail('getsockopt', String(fd))
  return { pid: value[0]!, uid: value[1]!, gid: value[2]! }
}
