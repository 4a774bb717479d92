// What is checked of the head: inodes with all that is theirs, in one walk through the keys of all kinds by inode; names against listings;
// and that every directory hangs below the root.

import { S } from 'ninep'
import { CHUNK } from './chunks.ts'
import { attempt, fixOf, Lookups } from './fsck.ts'
import type { Check, TreeInfo } from './fsck.ts'
import { entryKey, inodeKey, inodePrefix, kindPrefix, orphanKey, parentKey, u32, u64, xattrKey } from './keys.ts'
import { DELETE, PUT } from './record.ts'
import { CUT, decodeDent, decodeEntry, decodeExtents, decodeInode, encodeDent, encodeEntry, encodeInode, encodeVersioned, INLINE, NAMES } from './values.ts'
import type { Inode } from './values.ts'
import { nameOfBytes } from 'ninep'

const INLINE_MAX = 2048
const typeName: Readonly<Record<number, string>> = { [S.IFREG]: 'file', [S.IFDIR]: 'directory', [S.IFLNK]: 'symbolic link', [S.IFIFO]: 'fifo', [S.IFSOCK]: 'socket', [S.IFCHR]: 'device', [S.IFBLK]: 'device' }

/** Keys of one kind of a tree, of which the next can be looked at. */
class Stream {
  #keys: AsyncGenerator<[string, Buffer]>
  next: [key: string, value: Buffer] | undefined
  constructor(private readonly check: Check, t: number, kind: string) { this.#keys = check.range('files', kindPrefix(t, kind)) }
  async move(): Promise<void> {
    for (;;) {
      this.next = (await this.#keys.next()).value as [string, Buffer] | undefined
      if (!this.next || this.next[0].length >= 13) return
      await this.check.report('wrong', this.next[0], 'is no key of version 1')
    }
  }
  get ino(): number { return this.next ? u64(this.next[0], 5) : Infinity }
  /** Those of one inode. */
  async *of(ino: number): AsyncGenerator<[string, Buffer]> {
    for (; this.ino === ino; await this.move()) yield this.next!
  }
}

export async function checkFiles(check: Check, tree: TreeInfo): Promise<void> {
  const { t } = tree, parents = new Map<number, number>()
  const streams = [...'ICPKAOU'].map((kind) => new Stream(check, t, kind)), lookups = new Lookups(check)
  for (const stream of streams) await stream.move()
  for (;;) {
    const ino = Math.min(...streams.map((stream) => stream.ino))
    if (ino === Infinity) break
    await inode(check, tree, ino, streams, lookups, parents)
  }
  await lookups.flush()
  await names(check, tree, lookups)
  await lookups.flush()
  await reachable(check, tree, parents)
}

async function inode(check: Check, { t, state }: TreeInfo, ino: number, streams: readonly Stream[], lookups: Lookups, parents: Map<number, number>): Promise<void> {
  const [I, C, P, K, A, O, U] = streams as [Stream, Stream, Stream, Stream, Stream, Stream, Stream]
  const key = inodeKey(t, ino), where = { t, ino }
  let v: Inode | undefined, seen: Buffer | undefined, damaged = false
  for await (const [k, value] of I.of(ino)) {
    if (k.length !== 13) { await check.report('wrong', k, 'is no key of version 1'); continue }
    seen = value
    if (value.length === 8) continue
    v = attempt(() => decodeInode(value))
    if (v && (v.mode > 0xffff || !typeName[v.mode & S.IFMT])) v = undefined
    if (!v) { damaged = true; await check.report('lost', k, 'the inode is damaged', where) }
  }
  const gone = !v && !damaged
  const wrong = (what: string, to?: Partial<Inode>) => check.report('wrong', key, what, where, to && v && fixOf(key, seen, encodeInode({ ...v, ...to })))
  const leftover = (k: string, value: Buffer, what: string) => check.report('wrong', k, `${what} of inode ${ino}, which is not there`, undefined, fixOf(k, value, null))
  if (v) {
    check.files++
    check.used += v.used + ((v.mode & S.IFMT) === S.IFREG ? v.inline?.length ?? 0 : 0)
    await check.beyond('ino', ino, key)
  }
  const isDir = v && (v.mode & S.IFMT) === S.IFDIR

  let entries = 0, subdirs = 0
  for await (const [k, value] of C.of(ino)) {
    const entry = k.length === 21 ? attempt(() => decodeEntry(value)) : undefined
    if (!entry) { await check.report('lost', k, 'an entry of the directory is damaged', where); continue }
    entries++
    if (entry.type === S.IFDIR) subdirs++
    await check.beyond('cookie', u64(k, 13), k)
    if (gone) { await check.report('lost', k, `an entry of directory ${ino}, which is not there: ${JSON.stringify(nameOf(entry.name))} is inode ${entry.ino}`); continue }
    if (v && !isDir) await check.report('wrong', k, 'is an entry of what is no directory', where)
    await checkEntry(check, t, ino, k, value, lookups)
  }
  let names = 0
  for await (const [k, value] of P.of(ino)) {
    if (k.length !== 29 || value.length !== 8 && value.length !== 9) { await check.report('wrong', k, 'where a name of the file is, is damaged', where); continue }
    if (value.length === 8) continue
    if (gone) { await leftover(k, value, 'a name'); continue }
    names++
    const dir = u64(k, 13), cookie = u64(k, 21)
    await lookups.ask([entryKey(t, dir, cookie)], async ([there]) => {
      if (!there || attempt(() => decodeEntry(there))?.ino !== ino) await check.report('wrong', k, `the file has no name in directory ${dir} at ${cookie}`, where, fixOf(k, value, null))
    })
  }
  let orphan = false, cut = Infinity
  for await (const [k, value] of O.of(ino)) {
    if (value.length === 8) continue
    if (gone) await leftover(k, value, 'the mark of an orphan')
    else orphan = true
  }
  for await (const [k, value] of U.of(ino)) {
    if (value.length === 8) continue
    if (gone) await leftover(k, value, 'the end')
    else if (value.length === 12) cut = value.readUInt32BE(8)
    else await check.report('wrong', k, 'where the file is being cut is damaged', where, fixOf(k, value, null))
  }
  let used = 0, end = 0
  for await (const [k, value] of K.of(ino)) {
    if (value.length === 8) continue
    const chunk = u32(k, 13), extents = k.length === 17 ? attempt(() => decodeExtents(value)) : undefined
    if (!extents) { await check.report('lost', k, `chunk ${chunk} is damaged`, where); continue }
    if (gone) { await leftover(k, value, `chunk ${chunk}`); continue }
    let last = 0
    for (const { off, len } of extents) {
      if (off < last || len === 0 || off + len > CHUNK) { await check.report('wrong', k, `the extents of chunk ${chunk} are out of order`, where); break }
      last = off + len
      used += len
    }
    if (chunk < cut) end = Math.max(end, chunk * CHUNK + last)
  }
  const apart = new Map([...v?.xattrs ?? []].filter(([, x]) => x.value === null).map(([name, x]) => [xattrKey(t, ino, name), x.length]))
  for await (const [k, value] of A.of(ino)) {
    if (value.length === 8) continue
    if (gone) await leftover(k, value, 'an attribute')
    else if (v && apart.get(k) !== value.length - 8) await check.report('wrong', k, 'an extended attribute that the inode does not have so', where, apart.has(k) ? undefined : fixOf(k, value, null))
    apart.delete(k)
  }
  if (!v) return
  for (const k of apart.keys()) await check.report('lost', k, 'an extended attribute is missing', where)

  const { parent, cookie, nlink, size, flags } = v, type = v.mode & S.IFMT
  if (isDir) {
    parents.set(ino, parent)
    if (size !== entries) await wrong(`the directory has ${entries} entries, and says ${size}`, { size: entries })
    if (nlink !== 0 && nlink !== 2 + subdirs) await wrong(`the directory has ${subdirs} below it, and a count of links of ${nlink}`, { nlink: 2 + subdirs })
  } else if (flags & NAMES) {
    if (nlink !== names) await wrong(`the file has ${names} names, and says ${nlink}`, names > 0 ? { nlink: names } : undefined)
  } else if (nlink > 1) await wrong(`the file has one name, and says ${nlink}`, { nlink: 1 })
  if (names > 0 && !(flags & NAMES)) await wrong('the file has several names, and does not say so')
  if (ino === state.root) {
    if (!isDir || parent !== ino || cookie !== 0) await wrong('the root is no directory, or not its own parent')
  } else if (nlink > 0 && !(flags & NAMES)) {
    await lookups.ask([entryKey(t, parent, cookie)], async ([there]) => {
      if (!there || attempt(() => decodeEntry(there))?.ino === ino) {
        if (!there) await nameless(check, t, ino, v!, seen!)
        return
      }
      await check.report('wrong', key, `its name, in directory ${parent} at ${cookie}, is another file's`, where)
    })
  }
  if (orphan !== (nlink === 0)) {
    const k = orphanKey(t, ino)
    await check.report('wrong', k, orphan ? 'counts as without a name, and has one' : 'has no name, and does not count as such', where,
      orphan ? { ops: [{ op: DELETE, key: k }], expect: new Map() } : { ops: [{ op: PUT, key: k, value: encodeVersioned(state.e, 0, Buffer.of(1)) }], expect: new Map([[k, undefined]]) })
  }
  if (!!(flags & CUT) !== (cut < Infinity)) await wrong('what is being cut off does not agree with what the inode says')
  if (cut * CHUNK < size && cut < Infinity) await wrong(`is being cut from chunk ${cut} on, and is ${size} bytes long`)
  if (used !== v.used) await wrong(`the file has ${used} bytes of data, and says ${v.used}`, { used })
  if (end > size) await wrong(`the file has data up to ${end}, behind its end at ${size}`)
  if (flags & INLINE && (type !== S.IFREG || used > 0 || size > INLINE_MAX || (v.inline?.length ?? 0) !== size)) await check.report('lost', key, 'the data in the inode are not those of a file of its size', where)
  if (type === S.IFLNK && v.inline?.length !== size) await check.report('lost', key, 'the target of the link is not of its length', where)
  if (type === S.IFREG && !(flags & INLINE) && v.inline) await wrong('the inode has data that do not count')
}

/** A file that no entry leads to gets a name in the root: what is in it may be dear to somebody. */
async function nameless(check: Check, t: number, ino: number, v: Inode, seen: Buffer): Promise<void> {
  const named = await check.get(entryKey(t, v.parent, v.cookie)), key = inodeKey(t, ino)
  if (named) return
  const dent = (await nameIn(check, t, ino, v))
  const fix = dent && { ops: [{ op: PUT, key: entryKey(t, v.parent, v.cookie), value: encodeEntry(dent.birth, ino, v.mode & S.IFMT, dent.name) }] as const, expect: new Map([[key, seen]]) }
  await check.report('lost', entryKey(t, v.parent, v.cookie), fix ? 'the file is not listed in its directory' : 'nothing leads to the file: its entry is gone', { t, ino }, fix)
}
/** What its directory still calls it, if so. */
async function nameIn(check: Check, t: number, ino: number, v: Inode): Promise<{ birth: number; name: Buffer } | undefined> {
  for await (const [key, value] of check.view.range(inodePrefix(t, 'N', v.parent), inodePrefix(t, 'N', v.parent + 1))) {
    const dent = attempt(() => decodeDent(value))
    if (dent?.ino === ino && dent.cookie === v.cookie) return { birth: dent.birth, name: Buffer.from(key.slice(13), 'latin1') }
  }
  return undefined
}

/** An entry of a listing against the name and the inode that it is about. */
async function checkEntry(check: Check, t: number, dir: number, key: string, value: Buffer, lookups: Lookups): Promise<void> {
  const { ino, type, name, birth } = decodeEntry(value), cookie = u64(key, 13), nkey = inodePrefix(t, 'N', dir) + name.toString('latin1')
  await lookups.ask([nkey, inodeKey(t, ino), parentKey(t, ino, dir, cookie)], async ([there, inode, parent]) => {
    const dent = there && attempt(() => decodeDent(there)), v = inode && inode.length > 8 ? attempt(() => decodeInode(inode)) : undefined
    const fix = { ops: [{ op: PUT, key: nkey, value: encodeDent({ birth, prev: there && there.length >= 8 ? there.readUInt32BE(4) : 0, ino, cookie, type }) }] as const, expect: new Map([[nkey, there], [key, value]]) }
    if (!dent) await check.report('lost', nkey, `${JSON.stringify(nameOf(name))} is listed, and is not found by its name`, { t, ino: dir }, fix)
    else if (dent.ino !== ino || dent.cookie !== cookie || dent.type !== type || dent.birth !== birth) await check.report('wrong', nkey, `${JSON.stringify(nameOf(name))} is listed as another than it is found by its name`, { t, ino: dir })
    if (!inode || inode.length === 8) {
      await check.report('lost', inodeKey(t, ino), `${JSON.stringify(nameOf(name))} leads to inode ${ino}, which is not there`, { t, ino: dir },
        { ops: [{ op: DELETE, key }, { op: DELETE, key: nkey }], expect: new Map([[key, value], [nkey, there], [inodeKey(t, ino), inode]]) })
    }
    if (!v) return
    if ((v.mode & S.IFMT) !== type) await check.report('wrong', key, `${JSON.stringify(nameOf(name))} is listed as a ${typeName[type]}, and is a ${typeName[v.mode & S.IFMT]}`, { t, ino: dir })
    if (v.flags & NAMES) {
      if (!parent || parent.length === 8) await check.report('wrong', parentKey(t, ino, dir, cookie), `the file does not know that its name ${JSON.stringify(nameOf(name))} is here`, { t, ino: dir },
        { ops: [{ op: PUT, key: parentKey(t, ino, dir, cookie), value: encodeVersioned(birth, parent ? parent.readUInt32BE(4) : 0, Buffer.of(1)) }], expect: new Map([[parentKey(t, ino, dir, cookie), parent]]) })
    } else if (v.parent !== dir || v.cookie !== cookie) await check.report('wrong', key, `${JSON.stringify(nameOf(name))} is a second name of a file that has its name in directory ${v.parent} at ${v.cookie}`, { t, ino: dir })
  })
}

/** Names against listings: the other way round is done above. */
async function names(check: Check, { t }: TreeInfo, lookups: Lookups): Promise<void> {
  for await (const [key, value] of check.range('names', kindPrefix(t, 'N'))) {
    const dir = u64(key, 5), dent = key.length > 13 ? attempt(() => decodeDent(value)) : undefined
    if (dent === null) continue
    if (!dent) { await check.report('lost', key, 'a name is damaged', { t, ino: dir }); continue }
    await lookups.ask([entryKey(t, dir, dent.cookie)], async ([there]) => {
      if (there) return                                   // compared above
      await check.report('wrong', entryKey(t, dir, dent.cookie), `${JSON.stringify(nameOf(Buffer.from(key.slice(13), 'latin1')))} is found by its name, and is not listed`, { t, ino: dir },
        { ops: [{ op: PUT, key: entryKey(t, dir, dent.cookie), value: encodeEntry(dent.birth, dent.ino, dent.type, Buffer.from(key.slice(13), 'latin1')) }], expect: new Map([[key, value], [entryKey(t, dir, dent.cookie), undefined]]) })
    })
  }
}

/** Directories whose way up does not end at the root; parents: of each. */
async function reachable(check: Check, { t, state }: TreeInfo, parents: Map<number, number>): Promise<void> {
  const good = new Set([state.root]), bad = new Set<number>()
  for (const ino of parents.keys()) {
    const way: number[] = [], on = new Set<number>()
    let at: number | undefined = ino
    while (at !== undefined && !good.has(at) && !bad.has(at) && !on.has(at)) { way.push(at); on.add(at); at = parents.get(at) }
    const ok = at !== undefined && good.has(at)
    if (at !== undefined && on.has(at)) await check.report('lost', inodeKey(t, at), 'the directory is below itself: nothing leads there', { t, ino: at })
    for (const each of way) (ok ? good : bad).add(each)
  }
}

const nameOf = (bytes: Buffer): string => nameOfBytes(bytes, 0, bytes.length)
