// What differs between two moments of a tree, in time that follows what has changed: the ledger has every key that did. Nothing is
// remembered of the files: one that changed in several epochs is told of in the first of them. What compaction moved has not changed.

import { nameOfBytes, S } from 'ninep'
import { be32, be64, entryKey, inodeKey, kindPrefix, ledgerKey, u32, u64 } from './keys.ts'
import { valueAt } from './past.ts'
import type { Tree } from './tree.ts'
import { decodeDent, decodeEntry, decodeInode, NAMES } from './values.ts'
import type { Inode } from './values.ts'

/** to: the new name of what was renamed. */
export interface Difference { readonly what: 'added' | 'removed' | 'renamed' | 'changed'; readonly path: string; readonly to?: string }

/** Directories whose path is remembered. */
const KEPT = 1024

/** From one epoch to a later one. Infinity: now. Of files with several names each name is told of that came or went. */
export async function* diff(tree: Tree, from: number, to: number): AsyncGenerator<Difference> {
  const { t, instance } = tree, { store } = instance, prefix = kindPrefix(t, 'E')
  await instance.flush()
  const last = Math.min(to, instance.state(t).e), before = new Paths(tree, from), after = new Paths(tree, to)
  for await (const [line] of store.range(prefix + be32(from + 1), prefix + be32(last + 1))) {
    const epoch = u32(line, 5), key = line.slice(0, 4) + line.slice(9)
    if (key[4] !== 'I' && key[4] !== 'N' || told(tree, key, from, epoch)) continue
    if (key[4] === 'N') { yield* name(tree, key, before, after); continue }
    const ino = u64(key, 5), a = before.inode(ino), b = after.inode(ino)
    if ((a ?? b)?.flags! & NAMES || (b?.flags ?? 0) & NAMES) {                           // its names speak for themselves
      if (a && b && changed(a, b)) yield { what: 'changed', path: await after.of(ino) }
      continue
    }
    if (!a && b) yield { what: 'added', path: await after.of(ino) }
    else if (a && !b) yield { what: 'removed', path: await before.of(ino) }
    else if (a && b) {
      const old = await before.of(ino), now = await after.of(ino)
      if (a.parent !== b.parent || a.cookie !== b.cookie || old.slice(old.lastIndexOf('/')) !== now.slice(now.lastIndexOf('/'))) yield { what: 'renamed', path: old, to: now }
      if (changed(a, b)) yield { what: 'changed', path: now }
    }
  }
}
/** Whether an earlier epoch has it in the ledger. */
function told({ instance: { store } }: Tree, key: string, from: number, epoch: number): boolean {
  for (let earlier = from + 1; earlier < epoch; earlier++) if (store.find(ledgerKey(key, earlier))) return true
  return false
}
/** A name of a file that has, or had, several. */
async function* name(tree: Tree, key: string, before: Paths, after: Paths): AsyncGenerator<Difference> {
  const dir = u64(key, 5), bytes = Buffer.from(key.slice(13), 'latin1'), last = nameOfBytes(bytes, 0, bytes.length)
  const at = (epoch: number) => { const value = valueAt(tree, key, epoch); return value ? decodeDent(value)!.ino : 0 }
  const a = at(before.epoch), b = at(after.epoch)
  if (a === b) return
  const many = (ino: number) => ((before.inode(ino)?.flags ?? 0) | (after.inode(ino)?.flags ?? 0)) & NAMES
  if (a > 0 && many(a)) yield { what: 'removed', path: `${await before.of(dir)}/${last}` }
  if (b > 0 && many(b)) yield { what: 'added', path: `${await after.of(dir)}/${last}` }
}
/** Contents or attributes; of a directory not what its entries make of it. */
function changed(a: Inode, b: Inode): boolean {
  const dir = (a.mode & S.IFMT) === S.IFDIR
  if (a.mode !== b.mode || a.uid !== b.uid || a.gid !== b.gid || xattrs(a) !== xattrs(b)) return true
  if (dir) return false
  return a.size !== b.size || a.version !== b.version || a.mtime.sec !== b.mtime.sec || a.mtime.nsec !== b.mtime.nsec
}
function xattrs({ xattrs }: Inode): string {
  return [...xattrs ?? []].map(([name, { value, length }]) => `${name}=${value ? Buffer.from(value).toString('latin1') : length}`).sort().join('\n')
}

/** Paths at one moment. The root's is empty. */
class Paths {
  #known = new Map<number, string>()
  constructor(readonly tree: Tree, readonly epoch: number) {}
  /** undefined: it was not there, or had no name. */
  inode(ino: number): Inode | undefined {
    const value = valueAt(this.tree, inodeKey(this.tree.t, ino), this.epoch), v = value && decodeInode(value)
    return v && v.nlink > 0 ? v : undefined
  }
  async of(ino: number): Promise<string> {
    const { root } = this.tree.instance.state(this.tree.t), names: string[] = [], passed: number[] = []
    let path = ''
    for (let at = ino; at !== root;) {
      const known = this.#known.get(at), v = this.inode(at)
      if (known !== undefined) { path = known; break }
      if (!v) break
      names.unshift(await this.#name(v.parent, v.cookie))
      passed.push(at)
      at = v.parent
    }
    path += names.map((name) => `/${name}`).join('')
    if (this.#known.size >= KEPT) this.#known.clear()
    this.#known.set(ino, path)
    return path
  }
  /** What an entry was called. */
  async #name(dir: number, cookie: number): Promise<string> {
    const { tree: { t, instance: { store } } } = this, head = store.get(entryKey(t, dir, cookie))
    let entry = head && decodeEntry(head)
    if (!entry || entry.birth > this.epoch) {
      entry = undefined
      const { found } = await store.entries(kindPrefix(t, 'c') + be64(dir), cookie - 1, 4096)
      for (const [rest, value] of found) {
        if (u64(rest, 0) !== cookie) break
        const then = decodeEntry(value)
        if (then.birth <= this.epoch && this.epoch <= u32(rest, 8)) entry = then
      }
    }
    return entry ? nameOfBytes(entry.name, 0, entry.name.length) : '?'
  }
}
