// What one client, and all together, may ask for. Numbers, because a limit without one is a hope.

import { duration, int, size } from '../translators/options.ts'
import type { Values } from '../translators/options.ts'

const KiB = 1024, MiB = 1024 * KiB

/** The options of `limits` in a config. */
export const limitOptions = {
  msize: size({ about: 'largest message, with its head', min: 4096, max: MiB + 24, default: MiB + 24 }),
  fids: int({ about: 'fids of one connection', min: 16, max: 2 ** 24, default: 2 ** 18 }),
  handles: int({ about: 'open files of one connection', min: 16, max: 2 ** 20, default: 2 ** 14 }),
  requests: int({ about: 'requests of one connection that wait for something; beyond, nothing is read from it', min: 1, max: 2 ** 16, default: 1024 }),
  'bytes-in-flight': size({ about: 'bytes of one connection held by requests and unsent replies; beyond, nothing is read from it', min: 2 * MiB, default: 16 * MiB }),
  'xattr-bytes': size({ about: 'bytes of extended attributes held by fids of one connection', min: 64 * KiB, default: 4 * MiB }),
  'bytes-held': size({ about: 'bytes of all connections together: of requests, unsent replies, frames that are not whole; beyond half of it all take turns, beyond all of it who has stood still longest is dropped', min: 16 * MiB, default: 1024 * MiB }),
  connections: int({ about: 'connections at a time, half of them at most of one user or host (not of root and the server\'s own user); beyond, new ones are closed at once', min: 1, max: 2 ** 20, default: 10_000 }),
  'version-timeout': duration({ about: 'time a new connection has to send its Tversion; on a unix socket it may be silent for longer', min: 0.1, default: 10 }),
  'frame-timeout': duration({ about: 'time that a message may take to arrive once it has begun; a connection may be idle for ever', min: 0.1, default: 600 }),
  'send-timeout': duration({ about: 'time after which a client that takes nothing of replies that wait for it is dropped', min: 0.1, default: 600 }),
  'passive-records': int({ about: 'passive translators that the files of one user may carry; root and the server\'s own user may have any number', min: 0, default: 1024 }),
  'passive-running': int({ about: 'how many of those run at a time; beyond, one that nobody is in is stopped for the next', min: 1, default: 128 }),
  'passive-memory': size({ about: 'bytes of memory that those may come to hold, by their options (size and inodes of memory)', default: 64 * MiB }),
  'finish-timeout': duration({ about: 'time that requests have to finish when their client has gone, or the server stops', min: 0.1, default: 10 }),
} as const
export type Limits = Values<typeof limitOptions>

/** All defaults. */
export const defaultLimits: Limits = Object.fromEntries(Object.entries(limitOptions).map(([name, option]) => [name, option.default])) as Limits

/** The largest frame before Tversion, bytes. */
export const UNVERSIONED_MSIZE = 8192
