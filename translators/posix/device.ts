// A file system of the host below an export: what its files' numbers are unique in, and what can be asked of it.

import * as fs from 'node:fs'
import type { StatFs } from 'ninep'
import * as sys from '../sys.ts'
import type { Volume } from '../translator.ts'
import type { Inode } from './inode.ts'

/** statfs(2): always in memory, and no RWF_NOWAIT on older kernels. */
const TMPFS = 0x01021994, RAMFS = 0x858458f6, OVERLAYFS = 0x794c7630
/** Where another machine or process answers: NFS, CIFS, SMB2, 9P, FUSE, Ceph. */
const DISTANT = new Set([0x6969, 0xff534d42, 0xfe534d42, 0x01021997, 0x65735546, 0x00c36400])

/** The volumes of this process, by label: two exports of one file system show the same files. */
const volumes = new Map<string, { volume: Volume; device: number }>()
function volumeOf(device: number, fsid: bigint): Volume {
  const numbers = `${Math.floor(device / 2 ** 32)}:${device % 2 ** 32}`
  let label = fsid === 0n ? `device ${numbers}` : `fsid ${fsid.toString(16)}`
  const same = volumes.get(label)
  if (same && same.device === device) return same.volume
  if (same) label += ` device ${numbers}`                 // a copy of a file system, block by block, is mounted as well
  const volume = volumes.get(label)?.volume ?? { label }
  volumes.set(label, { volume, device })
  return volume
}

export class Device {
  readonly volume: Volume
  /** The files in use, by inode number. */
  readonly inodes = new Map<number | bigint, Inode>()
  /** A descriptor that is open, and not O_PATH, for syncfs and handles; -1: none could be had. */
  readonly root: number
  /** How to know whether a read must wait: never, by asking (RWF_NOWAIT), or it can't be known. */
  reads: 'memory' | 'ask' | 'unknown'
  /** Whether its files have ACLs; false once it said so. */
  acls = true

  /** Whether cookies of a directory hold while entries go. tmpfs begins anew where the entry that a cookie means, the last, has
   *  gone (6.18), or counts (before 6.6); a merged directory of overlayfs counts. */
  readonly steady: boolean
  /** Whether the kernel itself keeps its files, and its own clock their times. */
  readonly local: boolean

  /** fd: any file or directory on it. */
  constructor(readonly number: number, fd: number, directory: boolean) {
    const { type, fsid } = sys.statfs(fd)
    this.volume = volumeOf(number, fsid)
    this.reads = type === TMPFS || type === RAMFS ? 'memory' : 'ask'
    this.steady = type !== TMPFS && type !== RAMFS && type !== OVERLAYFS
    this.local = !DISTANT.has(type)
    this.root = open(fd, directory)
  }
  async sync(): Promise<void> { if (this.root >= 0) await sys.syncfs(this.root) }
  close(): void { if (this.root >= 0) fs.closeSync(this.root) }
}

function open(fd: number, directory: boolean): number {
  try { return directory ? sys.reopenDirectory(fd) : sys.reopen(fd, sys.Open.RDONLY | sys.Open.NONBLOCK | sys.Open.NOCTTY) } catch { return -1 }
}

/** What Tstatfs says of the file system that this descriptor is on. */
export function statfsOf(fd: number): StatFs {
  const { type, unit, blocks, bfree, bavail, files, ffree, fsid, namelen } = sys.statfs(fd)
  return { type, bsize: unit, blocks, bfree, bavail, files, ffree, fsid, namelen }
}
