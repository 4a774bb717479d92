// What may wait for a device, or take a thread's time, and how it is kept off the loop.

import * as fs from 'node:fs'
import { isErrno } from 'ninep'
import * as sys from '../sys.ts'
import { stat } from '../sys.ts'
import type { Awaitable } from '../translator.ts'
import type { Device } from './device.ts'

/** To free this many blocks of 512 bytes takes milliseconds: 16 MiB. */
export const MUCH = 32768
/** Runs a call of fs that ends in the thread pool. */
export type Pooled = <T>(work: (done: (error: NodeJS.ErrnoException | null, value?: T) => void) => void) => Promise<T>

/**
 * The head of `into`, filled from an offset of an open regular file: in this turn where all of it is in memory, else in the
 * thread pool. Short only at the end of the file.
 */
export function readAt(fd: number, device: Device, pooled: Pooled, into: Uint8Array, offset: number): Awaitable<Uint8Array> {
  if (into.length === 0 || offset > Number.MAX_SAFE_INTEGER) return into.subarray(0, 0)
  if (device.reads === 'memory') return into.subarray(0, sys.pread(fd, into, offset))
  if (device.reads === 'ask') {
    try {
      const got = sys.preadCached(fd, into, offset)
      if (got === into.length || got === 0 || (got !== undefined && ends(fd, offset + got))) return into.subarray(0, got)
    } catch (e) {
      if (!isErrno(e, 'EOPNOTSUPP')) throw e
      device.reads = 'unknown'
    }
  }
  return pooled<number>((done) => fs.read(fd, into, 0, into.length, offset, done)).then((got) => into.subarray(0, got))
}
function ends(fd: number, offset: number): boolean {
  sys.statFd(fd)
  return offset >= stat.size
}
