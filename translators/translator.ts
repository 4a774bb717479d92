// Read this first: everything that Ninefold serves is a Translator, and this file is all that it owes.
//
// A translator attaches to a tree of nodes. A node is a file, not a path; a handle is a node opened. A brick has no
// children and holds real storage; a layer stands over children and changes what passes. The server turns 9P messages
// into these calls, checks names, flags and permission before it makes them, and keeps the order that is promised
// below; clients never see a translator's errors but as errnos.
//
// Rules said once: nobody keeps memory that was lent; nobody alters memory that was given; a method may answer at once
// or by a promise; a refusal is a thrown errno (ninep), anything else thrown is a bug and reaches the client as EIO.
//
// Lives: every node and handle is closed once, by who asked for it, when no call on it is under way, and is not called
// after. None of them keeps another: a handle outlives its node, a node its names and the node it was walked from. What
// was unlinked goes on answering while a node or handle of it is open, with nlink 0: that is how the server knows. What
// close() throws tells of something lost, and it is closed all the same: a handle's error is the reply to Tclunk, a
// node's a line in the log. A translator is closed last, synced before; a server that stops waits only so long, and
// then closes it over the nodes and handles that are left, and the calls at work on them: those fail, and harm nothing.

import type { Attr, Flock, LockStatus, Qid, SetAttr, StatFs, Time } from 'ninep'
import type { Arity, Children, Env, Options, Values } from './options.ts'

/** A hit in memory need not wait a turn of the loop. */
export type Awaitable<T> = T | Promise<T>

/** Who a new file belongs to. */
export interface Owner { readonly uid: number; readonly gid: number }

/** Whose numbers Qid.path are: one per device, instance or snapshot. Compared by ===. The label outlives a restart where
 *  the numbers do: it is how the server finds the prefix again under which it showed them. Of two with one label the second
 *  that is shown gets a prefix of its own, which is not certain to be its own again. */
export interface Volume { readonly label: string }

/** The request at work. An abort only hastens the end: what was lent stays lent until the method settles. */
export interface Call { readonly aborted: boolean; onAbort(f: () => void): void }

/** Does what only this translator knows, for an operator: the first of `words` says what, the others are its arguments. say: takes a line of words of what it has to tell, while
 *  it is at it or at the end. EOPNOTSUPP: it knows no such thing; EINVAL, with a sentence, for arguments that make no sense. */
export type Tell = (words: readonly string[], say: (line: readonly string[]) => void) => Awaitable<void>
/** What Node.at understands. */
export interface SnapshotInfo { readonly name: string; readonly time: Time }

/**
 * A running file service: a brick, or a layer over children. Closing it syncs it, then closes them: they are its own from
 * when it has started. A brick serves files or blobs, one of the two: the other face may refuse with EBUSY or ENOTEMPTY.
 */
export interface Translator extends AsyncDisposable {
  readonly name: string                                   // as the config has it: 'shard'
  /** Its root, for '' and '/': a node anew each time, free of users, for the server has checked. Any other name is
   *  ENOENT, but where a translator has more trees than one (remote). */
  attach(aname: string): Awaitable<Node>
  sync(): Awaitable<void>                                 // all that completed before this call survives power loss
  blobs?(): Blobs                                         // its flat face, for trees above; blobsOf(root) where absent
  snapshots?(): AsyncIterable<SnapshotInfo>               // what Node.at understands; a layer passes it on
  tell?: Tell
  reconfigure?(options: Values<Options>): Awaitable<boolean>   // fsysopts: all of them, parsed, where what differs is `live`; false: only a new instance can
  close(): Awaitable<void>
}

/**
 * One file: not a path, so it survives renameat and unlinkat. Ends at close().
 * Two nodes are the same file if volume and qid.path are equal; a layer over several children keeps that true. Where a
 * path may come to be another file's, attr.gen tells them apart (asked for by Attrs.GEN); where it never does, gen may be 0n.
 * Methods are 9P2000.L messages without the T. Unless the definition says `concurrent`, the server runs them as
 * marked: [r] beside other [r] of that node; [w] alone in that directory; unmarked, beside anything; never one file's
 * call behind another's. Handles are not marked: their calls come side by side. Names never hold '/' or NUL and are
 * never '', '.' or '..'. What it can't: EOPNOTSUPP.
 */
export interface Node extends AsyncDisposable {
  readonly volume: Volume
  /** type and path are for life; version moves with content. The same object from two nodes says that they are the same
   *  file, and spares the server to ask both for their gen at each walk: so one that is kept with the file, made anew
   *  when the version moves, and never shared by two files. */
  readonly qid: Qid
  walk(name: string): Awaitable<Node>                     // [r] ENOENT ENOTDIR; a symlink itself
  parent(): Awaitable<Node>                               // of a directory, else ENOTDIR; the root is its own
  at(snapshot: string): Awaitable<Node>                   // this file as it was: read-only; ENOENT: not there then
  getattr(mask: number): Awaitable<Attr>                  // [r] attr.valid covers mask where it can, and may say more
  setattr(attr: SetAttr): Awaitable<void>                 // [w] only the fields present; what is refused, before anything is changed
  open(flags: number, call?: Call): Awaitable<Handle>     // [r] EISDIR EROFS ELOOP; O_TRUNC empties, O_CREAT is not here
  /** Always exclusive: EEXIST. mode: permission bits 07777; a default ACL of the directory is inherited by what is made here. */
  create(name: string, flags: number, mode: number, owner: Owner): Awaitable<Created>  // [w]
  mkdir(name: string, mode: number, owner: Owner): Awaitable<Node>                     // [w] EEXIST
  symlink(name: string, target: string, owner: Owner): Awaitable<Node>                 // [w] EEXIST
  mknod(name: string, mode: number, rdev: bigint, owner: Owner): Awaitable<Node>       // [w] EEXIST; mode has S_IFMT
  link(target: Node, name: string): Awaitable<void>       // [w] EEXIST; EXDEV: the target is not ours; EPERM: a directory
  /** [w] in both directories, which the server takes in identity order; EXDEV. expect: as in unlinkat. */
  renameat(name: string, dir: Node, newName: string, expect?: bigint): Awaitable<void>
  unlinkat(name: string, flags: number, expect?: bigint): Awaitable<void>  // [w] ESTALE: the name is not that qid.path now
  readlink(): Awaitable<string>                           // EINVAL: no symlink
  statfs(): Awaitable<StatFs>
  // ACLs are the xattrs system.posix_acl_*. Who keeps them keeps them in step: with the mode at setxattr and setattr, and
  // in what is made below a directory (acl.ts has the rules). Who has none says EOPNOTSUPP.
  getxattr(name: string): Awaitable<Uint8Array>           // ENODATA EOPNOTSUPP
  setxattr(name: string, value: Uint8Array, flags: number): Awaitable<void>   // EEXIST ENODATA E2BIG ENOSPC
  listxattr(): Awaitable<string[]>
  removexattr(name: string): Awaitable<void>              // ENODATA
  close(): Awaitable<void>
}
export interface Created { readonly node: Node; readonly handle: Handle }

/** A node opened: what Tlopen or Tlcreate makes of a fid. It may outlive the node it came from. */
export interface Handle extends AsyncDisposable {
  /** At most into.length bytes from offset; empty at the end. The result is the head of `into` or, to
   *  spare a copy, memory that will never change again. So: use the result, never `into`. */
  read(into: Uint8Array, offset: number, call?: Call): Awaitable<Uint8Array>
  /** Atomic to readers and to other writes; bytes are lent until it settles. Opened with O_APPEND, offset is
   *  ignored and the end is found together with the write. Never 0 of more than 0 bytes: ENOSPC, EFBIG. */
  write(bytes: Uint8Array, offset: number, call?: Call): Awaitable<number>
  /** Entries after `cookie` (0n begins, and sees the directory afresh; no dots) into the sink until it says false, or
   *  there are no more: true. A cookie holds while the handle does: entries that come and go cause none of those that
   *  stay to be skipped or repeated. 0n < cookie < 2^63. mask asks for attributes along with the names, 0 for none. */
  readdir(cookie: bigint, sink: DirSink, mask: number, call?: Call): Awaitable<boolean>
  getattr(mask: number): Awaitable<Attr>                  // as the node's, and still when that is unlinked
  setattr(attr: SetAttr): Awaitable<void>                 // a size needs a handle that may write
  fsync(dataOnly: boolean, call?: Call): Awaitable<void>  // throws, once per handle, what failed after a reply
  lock?(want: Flock, call?: Call): Awaitable<LockStatus>  // only where locks live below (remote), where close() gives them back; else the server's table
  getlock?(want: Flock): Awaitable<Flock>
  close(): Awaitable<void>
}
/** Takes directory entries, until readdir settles. path: the entry's Qid.path in the directory's volume; type: a Dt value;
 *  a name as bytes is read at once. false: full, and this entry was not taken. The server's writes Rreaddir in place. */
export interface DirSink {
  add(path: bigint, type: number, cookie: bigint, name: string | Uint8Array, attr?: Attr): boolean
}

/**
 * Immutable byte strings by id: what a tree keeps its data in. No names, no owners, no permission. Calls come side by side;
 * they end with the translator, and there is nothing to close.
 */
export interface Blobs {
  put(id: BlobId, bytes: readonly Uint8Array[], call?: Call): Awaitable<void>   // whole or not at all; a fresh id (else EEXIST); <= 64 MiB (EFBIG)
  get(id: BlobId, into: Uint8Array, offset: number, call?: Call): Awaitable<Uint8Array>   // as Handle.read; ENOENT EIO
  drop(ids: readonly BlobId[]): Awaitable<void>           // absent ones are no error
  list(after: BlobId | null, max: number): Awaitable<{ id: BlobId; size: number }[]>      // by id, ascending; none: no more. For gc, fsck, healing
  /** Small (<= 1 MiB, else EFBIG), named, replaced whole: superblock, log segments. expect: what must stand there now (empty: nothing), else ESTALE.
   *  Names: 1 to 200 of [A-Za-z0-9._-], not beginning with a dot; else EINVAL. */
  putRecord(name: string, bytes: Uint8Array, expect?: Uint8Array): Awaitable<void>
  getRecord(name: string): Awaitable<Uint8Array>          // ENOENT
  listRecords(prefix: string): Awaitable<string[]>        // ascending
  dropRecord(name: string): Awaitable<void>               // absent is no error
  sync(): Awaitable<void>                                 // all changes that completed before it survive power loss
  statfs?(): Awaitable<StatFs>                            // of what holds them; absent: nobody knows
}
/** 16 bytes, never used twice. */
export type BlobId = Uint8Array

/** What a translator says of itself. CLI help and config errors are made from this and nothing else. */
export interface Definition<O extends Options, A extends Arity> {
  readonly name: string; readonly about: string           // about is one line, for --help
  readonly children: A                                    // 0: a brick; 1: a layer; 'many'
  readonly options: O                                     // each with about, default and parse
  readonly concurrent?: boolean                           // true: takes all calls at once and orders them itself
  readonly confined?: boolean                             // true: reaches nothing outside its children, shows nothing as another's, holds little: any user may start it
  readonly holds?: (options: Values<O>) => number         // bytes of the server's memory that it may come to hold, where that is much
  readonly volatile?: boolean                             // true: what it holds ends with it, so that it is not stopped for being idle
  /** What only one running instance may hold, by any name that says so: the folder that a database is in. One that stands in the
   *  way of another is waited for, or named. */
  readonly exclusive?: (options: Values<O>, env: Env) => readonly string[]
  start(options: Values<O>, children: Children<A>, env: Env): Awaitable<Translator>   // where it throws, the children stay the caller's
}
