// The bytes of files: inline while they are few, else in chunks, whose extents lie in the journal or in blobs.

import { errno } from 'ninep'
import type { Time } from 'ninep'
import { now } from '../clock.ts'
import { after } from '../forward.ts'
import type { Awaitable, Call } from '../translator.ts'
import { encodeBlob, MAX_DATA } from './blob.ts'
import type { Piece } from './blob.ts'
import type { Change } from './change.ts'
import { CHUNK, covered, find } from './chunks.ts'
import type { File } from './file.ts'
import { isSegment } from './journal.ts'
import { blobKey, cutKey } from './keys.ts'
import { cut, cutting } from './reclaim.ts'
import { MAP, PUT, slice, TRIM } from './record.ts'
import { MANY, modified } from './tree.ts'
import type { Tree } from './tree.ts'
import { CUT, encodeBlobInfo, INLINE } from './values.ts'
import type { Extent, Inode } from './values.ts'

/** Offsets are numbers. */
const MAX_SIZE = Number.MAX_SAFE_INTEGER
/** Data that an inode has itself, and the longest write that goes to the journal, bytes. */
const SMALL = 2048, SHORT = 49152
/** Extents of a chunk: before it takes more it is written anew as a whole. */
const MOST = 4096

/** Bytes of data that a file has. */
export function bytesOf(v: Inode): number { return v.used + (v.flags & INLINE ? v.inline!.length : 0) }
/** Whether the data may be in the inode: they are, or there are none. */
function mayBeInline(v: Inode): boolean { return (v.flags & INLINE) !== 0 || (v.size === 0 && v.used === 0) }
function withInline(v: Inode, data: Buffer): Inode { return data.length > 0 ? { ...v, inline: data, flags: v.flags | INLINE, size: data.length } : { ...v, inline: null, flags: v.flags & ~INLINE, size: 0 } }

/** Parts of [at, at + len) by chunk. */
function* split(at: number, len: number): Generator<{ chunk: number; off: number; from: number; len: number }> {
  for (let from = 0; from < len;) {
    const chunk = Math.floor((at + from) / CHUNK), off = at + from - chunk * CHUNK, take = Math.min(len - from, CHUNK - off)
    yield { chunk, off, from, len: take }
    from += take
  }
}

/** As Handle.read, of what `extents` says each chunk has. */
export function read(tree: Tree, v: Inode, extents: (chunk: number) => readonly Extent[], into: Uint8Array, offset: number, call?: Call): Awaitable<Uint8Array> {
  const length = Math.min(into.length, v.size - offset)
  if (length <= 0) return into.subarray(0, 0)
  if (v.flags & INLINE) return v.inline!.subarray(offset, offset + length)
  const { instance, t } = tree, { journal, chunks, reader } = instance
  return instance.reading(() => {
    let waiting: Promise<void>[] | undefined
    for (const part of split(offset, length)) {
      let at = part.off
      const end = part.off + part.len, list = extents(part.chunk), shift = part.from - part.off
      for (let i = find(list, at); i < list.length && list[i]!.off < end; i++) {
        const extent = list[i]!, from = Math.max(at, extent.off), to = Math.min(end, extent.off + extent.len)
        if (from > at) into.fill(0, shift + at, shift + from)
        const space = into.subarray(shift + from, shift + to), place = extent.at + from - extent.off
        if (isSegment(extent.blob)) journal.read(extent.blob, place, space)
        else {
          const info = chunks.info(t, extent.blob)
          if (!info) throw errno('EIO', 'tree: a blob is not known', Buffer.from(extent.blob, 'latin1').toString('hex'))
          const reading = reader.read(extent.blob, info.size, place, space, call)
          if (reading instanceof Promise) (waiting ??= []).push(reading)
        }
        at = to
      }
      if (at < end) into.fill(0, shift + at, shift + end)
    }
    const got = length === into.length ? into : into.subarray(0, length)
    return waiting ? settled(waiting).then(() => got) : got
  })
}
/** When all are done, since they use what was lent: then the first failure. */
async function settled(promises: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(promises)).find((result) => result.status === 'rejected')
  if (failed) throw failed.reason
}

/** As Handle.write. offset null: at the end. */
export function write(tree: Tree, file: File, bytes: Uint8Array, offset: number | null): Awaitable<number> {
  if (bytes.length === 0) return 0
  if (offset !== null && offset > MAX_SIZE - bytes.length) throw errno('EFBIG', 'write')
  const wait = cutting(tree, file)
  if (wait) return wait.then(() => write(tree, file, bytes, offset))
  if (bytes.length > MAX_DATA) bytes = bytes.subarray(0, MAX_DATA)
  const v = file.v, at = offset ?? v.size
  if (bytes.length > SHORT) return long(tree, file, bytes, offset)
  const change = tree.change(), end = at + bytes.length, time = now()
  if (at > MAX_SIZE - bytes.length) throw errno('EFBIG', 'write')
  if (mayBeInline(v) && end <= SMALL) {
    const data = Buffer.allocUnsafe(Math.max(v.size, end))
    if (v.inline) data.set(v.inline)
    if (at > v.size) data.fill(0, v.size, at)
    data.set(bytes, at)
    change.used = data.length - v.size
    change.inode(file, withInline(modified(v, time), data))
    return after(change.commit(), () => bytes.length)
  }
  for (const { chunk } of split(at, bytes.length)) {
    if (tree.instance.chunks.extents(tree.t, file.ino, chunk).length >= MOST) return condense(tree, file, chunk).then(() => write(tree, file, bytes, offset))
  }
  let used = outOfInode(tree, change, file)
  for (const { chunk, off, from, len } of split(at, bytes.length)) {
    used += len - overlap(tree, change, file, chunk, off, off + len)
    change.ops.push(slice(tree.t, file.ino, chunk, off, bytes.subarray(from, from + len)))
  }
  return grown(change, file, used, end, time, bytes.length)
}

/** Data to be kept in a blob: put first, then named. */
async function long(tree: Tree, file: File, bytes: Uint8Array, offset: number | null): Promise<number> {
  const { instance, t } = tree, id = instance.takeBlob()
  const pieces: Piece[] = [...split(offset ?? file.v.size, bytes.length)].map(({ chunk, off, from, len }) => ({ t, ino: file.ino, chunk, off, len, at: from }))
  await instance.setting.blobs.put(Buffer.from(id, 'latin1'), encodeBlob(instance.uuid, id, [bytes], pieces))
  for (let wait; wait = tree.gate ?? cutting(tree, file);) await wait
  const at = offset ?? file.v.size                        // found together with the write
  try {
    if (at > MAX_SIZE - bytes.length) throw errno('EFBIG', 'write')
    const change = tree.change()
    let used = outOfInode(tree, change, file)
    change.put(blobKey(t, id), encodeBlobInfo({ birth: change.state.e, size: bytes.length, live: 0, list: 0 }))
    for (const { chunk, off, from, len } of split(at, bytes.length)) {
      used += len - overlap(tree, change, file, chunk, off, off + len)
      change.ops.push({ op: MAP, t, ino: file.ino, chunk, off, len, blob: id, at: from })
    }
    return await grown(change, file, used, at + bytes.length, now(), bytes.length)
  } catch (e) {
    if (!instance.failed) await Promise.resolve(instance.setting.blobs.drop([Buffer.from(id, 'latin1')])).catch(() => {})
    throw e
  }
}
/** Writes a chunk that is in too many pieces as one, its holes as zeros. */
async function condense(tree: Tree, file: File, chunk: number): Promise<void> {
  const { instance, t } = tree, { chunks, setting: { blobs } } = instance
  for (;;) {
    const list = chunks.extents(t, file.ino, chunk), last = list.at(-1), { v } = file
    if (!last || list.length < MOST) return
    const data = Buffer.alloc(last.off + last.len), id = instance.takeBlob(), name = Buffer.from(id, 'latin1')
    data.set(await read(tree, v, (chunk) => chunks.extents(t, file.ino, chunk), data, chunk * CHUNK))
    await blobs.put(name, encodeBlob(instance.uuid, id, [data], [{ t, ino: file.ino, chunk, off: 0, len: data.length, at: 0 }]))
    if (file.v.version !== v.version || tree.gate || file.gone) {                        // it was written to meanwhile
      await blobs.drop([name])
      while (tree.gate) await tree.gate
      continue
    }
    const change = tree.change(), used = data.length - covered(chunks.extents(t, file.ino, chunk), 0, data.length)
    change.put(blobKey(t, id), encodeBlobInfo({ birth: change.state.e, size: data.length, live: 0, list: 0 }))
    change.ops.push({ op: MAP, t, ino: file.ino, chunk, off: 0, len: data.length, blob: id, at: 0 })
    change.used = used
    change.inode(file, { ...file.v, used: file.v.used + used })
    return await change.commit()
  }
}
function grown(change: Change, file: File, used: number, end: number, time: Time, n: number): Awaitable<number> {
  const v = change.of(file)
  change.used = used
  change.inode(file, { ...modified(v, time), used: file.v.used + used + (file.v.inline?.length ?? 0), size: Math.max(v.size, end) })
  return after(change.commit(), () => n)
}
/** Data of the inode go to the journal, for the file has become too large. */
function outOfInode(tree: Tree, change: Change, file: File): number {
  const { v } = file
  if (!(v.flags & INLINE)) return 0
  change.ops.push(slice(tree.t, file.ino, 0, 0, v.inline!))
  change.inode(file, { ...v, inline: null, flags: v.flags & ~INLINE })
  return 0
}
/** How much of a part of a chunk there is already, with what this change brings out of the inode. */
function overlap(tree: Tree, change: Change, file: File, chunk: number, from: number, to: number): number {
  const { inline } = file.v
  if (inline) return chunk === 0 ? Math.max(0, Math.min(to, inline.length) - from) : 0
  return covered(tree.instance.chunks.extents(tree.t, file.ino, chunk), from, to)
}

/** Adds to a change what makes the file that long. EFBIG */
export function truncate(tree: Tree, change: Change, file: File, size: number, time: Time): void {
  if (size > MAX_SIZE) throw errno('EFBIG', 'truncate')
  const { v } = file
  if (mayBeInline(v) && size <= SMALL) {
    const data = Buffer.alloc(size)
    if (v.inline) data.set(v.inline.subarray(0, size))
    change.used += size - v.size
    change.inode(file, withInline(modified(v, time), data))
    return
  }
  if (v.flags & INLINE) {
    outOfInode(tree, change, file)
    change.inode(file, { ...modified(change.of(file), time), size, used: v.inline!.length })
    return
  }
  let { used, flags } = v
  if (size < v.size && used > 0) {
    const { t, instance: { chunks } } = tree, { ino } = file
    const first = Math.floor(size / CHUNK), keep = size - first * CHUNK, last = Math.floor((v.size - 1) / CHUNK), begin = keep > 0 ? first + 1 : first
    const trim = (chunk: number, keep: number) => {
      const gone = covered(chunks.extents(t, ino, chunk), keep, CHUNK)
      if (gone === 0) return
      change.ops.push({ op: TRIM, t, ino, chunk, keep })
      used -= gone
    }
    if (keep > 0) trim(first, keep)
    if (last - begin < MANY) for (let chunk = begin; chunk <= last; chunk++) trim(chunk, 0)
    else {
      const from = Buffer.allocUnsafe(4)
      from.writeUInt32BE(begin, 0)
      change.set(cutKey(t, ino), from)
      flags |= CUT
      change.after(() => { void cut(tree, file) })
    }
  }
  change.used += used - v.used
  change.inode(file, { ...modified(v, time), size, used, flags })
}
