// The nouns of 9P2000 and 9P2000.L as values. Layouts of the messages that carry them: messages.ts.

/** Identity of a file. type: QT bits; version moves with content (0: do not cache); path: unique in its tree. */
export interface Qid { readonly type: number; readonly version: number; readonly path: bigint }

/** A point in time: whole seconds since 1970 (negative before), and nanoseconds 0..999999999. Two numbers and not
 *  one bigint, because that is what both stat(2) and the wire hold: converting costs 0.5 us a getattr. */
export interface Time { readonly sec: number; readonly nsec: number }

/** What Rgetattr says. Sizes are bytes, blocks units of 512 bytes; valid: the Attrs bits that are filled. */
export interface Attr {
  readonly valid: number
  readonly qid: Qid
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly nlink: number
  readonly rdev: bigint
  readonly size: number
  readonly blksize: number
  readonly blocks: number
  readonly atime: Time
  readonly mtime: Time
  readonly ctime: Time
  readonly btime: Time
  readonly gen: bigint
  readonly dataVersion: bigint
  /** Only below the server, if Attrs.ACL was asked for and the file has one: the value of system.posix_acl_access. */
  readonly acl?: Uint8Array
  /** Only of a server that speaks 9P2000 or 9P2000.u: who owns the file and who changed it last, by name. uid and gid then are
   *  NONUNAME, and not valid, where the server tells no numbers. */
  readonly names?: { readonly uid: string; readonly gid: string; readonly muid: string }
}

/** What Tsetattr asks: only fields that are present are touched. 'now' is the time where the change is made. */
export interface SetAttr {
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly size?: number
  readonly atime?: Time | 'now'
  readonly mtime?: Time | 'now'
  readonly ctime?: 'now'
}

/** Rstatfs. blocks are units of bsize bytes. */
export interface StatFs {
  readonly type: number
  readonly bsize: number
  readonly blocks: number
  readonly bfree: number
  readonly bavail: number
  readonly files: number
  readonly ffree: number
  readonly fsid: bigint
  readonly namelen: number
}

/** A POSIX record lock as Tlock and Tgetlock carry it. start and length are bytes; length 0n: to the end of file.
 *  bigint, unlike other offsets, since programs do lock the last byte before 2^63. */
export interface Flock {
  readonly type: number
  readonly flags: number
  readonly start: bigint
  readonly length: bigint
  readonly procId: number
  readonly clientId: string
}
/** One of Lock.SUCCESS, BLOCKED, ERROR, GRACE. */
export type LockStatus = 0 | 1 | 2 | 3

/** An entry of Rreaddir. cookie: where to go on after it; type: a Dt value. */
export interface Dirent { readonly qid: Qid; readonly cookie: bigint; readonly type: number; readonly name: string }

/** What Rstat says of a file in 9P2000, and what Twstat asks to change. mode: DM bits and permission; times are whole seconds
 *  since 1970; length is bytes. In Twstat DONT_TOUCH leaves as is: empty strings, and integers of all ones. */
export interface Stat {
  readonly type: number
  readonly dev: number
  readonly qid: Qid
  readonly mode: number
  readonly atime: number
  readonly mtime: number
  readonly length: number
  readonly name: string
  readonly uid: string
  readonly gid: string
  readonly muid: string
}
/** The same in 9P2000.u. extension: a link's target, or a device's `b MAJOR MINOR` or `c MAJOR MINOR`. */
export interface UnixStat extends Stat {
  readonly extension: string
  readonly nUid: number
  readonly nGid: number
  readonly nMuid: number
}
