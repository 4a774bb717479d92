// A file system that is a map of maps, and that copies itself whole for a snapshot: what trees are held against. What is done to
// it is data (Step), so that a run can be kept, made shorter, and done again over what a crash left.

import { createHash } from 'node:crypto'
import type { Time } from 'ninep'

export type Kind = 'file' | 'directory' | 'symlink' | 'fifo'
/** Paths are names with slashes between, '' the root; seed: of the bytes; slot: a handle that is kept open. */
export type Step =
  | { readonly do: 'make'; readonly kind: Kind; readonly path: string; readonly mode: number; readonly target: string }
  | { readonly do: 'link' | 'rename'; readonly path: string; readonly to: string }
  | { readonly do: 'unlink' | 'open' | 'fsync'; readonly path: string; readonly slot: number }
  | { readonly do: 'write'; readonly path: string; readonly slot: number; readonly offset: number; readonly length: number; readonly seed: number }
  | { readonly do: 'cut'; readonly path: string; readonly size: number }
  | { readonly do: 'set'; readonly path: string; readonly mode: number; readonly uid: number; readonly gid: number; readonly mtime: Time | null }
  | { readonly do: 'xattr'; readonly path: string; readonly name: string; readonly length: number; readonly seed: number }
  | { readonly do: 'close'; readonly slot: number }
  | { readonly do: 'snapshot' | 'delete' | 'rollback'; readonly name: string }
  | { readonly do: 'sync' | 'pack' | 'gc' | 'restart' }

const BLOCK = 4096, CHUNK = 4 * 2 ** 20
/** Files to this size are compared whole, larger ones around the bounds of chunks: writes so far out go there. */
export const WHOLE = 16 * 2 ** 20, NEAR = 16384

export class File {
  nlink: number
  size = 0
  blocks = new Map<number, Uint8Array>()
  readonly names = new Map<string, File>()
  readonly xattrs = new Map<string, Uint8Array>()
  mtime: Time | null = null
  #digest = ''
  constructor(readonly kind: Kind, public mode: number, public uid: number, public gid: number, readonly target = '') { this.nlink = kind === 'directory' ? 2 : 1 }

  write(bytes: Uint8Array, offset: number): void {
    if (bytes.length === 0) return
    for (let done = 0; done < bytes.length;) {
      const at = offset + done, inside = at % BLOCK, n = Math.min(BLOCK - inside, bytes.length - done), block = this.#own(Math.floor(at / BLOCK))
      block.set(bytes.subarray(done, done + n), inside)
      done += n
    }
    this.size = Math.max(this.size, offset + bytes.length)
    this.touch()
  }
  cut(size: number): void {
    if (size < this.size) {
      for (const i of [...this.blocks.keys()]) if (i * BLOCK >= size) this.blocks.delete(i)
      if (size % BLOCK && this.blocks.has(Math.floor(size / BLOCK))) this.#own(Math.floor(size / BLOCK)).fill(0, size % BLOCK)
    }
    this.size = size
    this.touch()
  }
  touch(): void { this.mtime = null; this.#digest = '' }
  /** A block of its own, for copies share theirs. */
  #own(i: number): Uint8Array {
    const block = Uint8Array.from(this.blocks.get(i) ?? new Uint8Array(BLOCK))
    this.blocks.set(i, block)
    return block
  }
  read(offset: number, length: number): Uint8Array {
    const into = new Uint8Array(Math.max(0, Math.min(length, this.size - offset)))
    for (let done = 0; done < into.length;) {
      const at = offset + done, inside = at % BLOCK, n = Math.min(BLOCK - inside, into.length - done), block = this.blocks.get(Math.floor(at / BLOCK))
      if (block) into.set(block.subarray(inside, inside + n), done)
      done += n
    }
    return into
  }
  digest(): string { return this.#digest ||= digest(this.size, regions(this.size).map(([from, to]) => this.read(from, to - from))) }

  /** A whole copy; files: those that were copied already, for a file may have several names. */
  copy(files = new Map<File, File>()): File {
    const there = files.get(this)
    if (there) return there
    const copy = new File(this.kind, this.mode, this.uid, this.gid, this.target)
    files.set(this, copy)
    Object.assign(copy, { nlink: this.nlink, size: this.size, blocks: new Map(this.blocks), mtime: this.mtime })
    copy.#digest = this.#digest
    for (const [name, value] of this.xattrs) copy.xattrs.set(name, value)
    for (const [name, file] of this.names) copy.names.set(name, file.copy(files))
    return copy
  }
}

/** What of a file of that size is compared: [from, to). */
export function regions(size: number): [number, number][] {
  if (size <= WHOLE) return [[0, size]]
  return Array.from({ length: Math.ceil(size / CHUNK) + 1 }, (_, i): [number, number] => [Math.max(0, i * CHUNK - NEAR), Math.min(size, i * CHUNK + NEAR)]).filter(([from, to]) => from < to)
}
export function digest(size: number, parts: readonly Uint8Array[]): string {
  const hash = createHash('sha1')
  for (const part of parts) hash.update(part)
  return `${size}:${hash.digest('base64url').slice(0, 12)}`
}
/** Bytes that are known by their seed; one in four seeds gives zeros, which must not be taken for holes. */
export function bytesOf(seed: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  if (seed % 4 === 0) return bytes
  let x = Math.imul(seed, 0x9e3779b1) | 1
  for (let i = 0; i < length; i++) {
    x ^= x << 13; x ^= x >>> 17; x ^= x << 5
    bytes[i] = x
  }
  return bytes
}

/** One line for each name, in order, that says all that is to be equal; files with several names are told apart by the first of them. */
export function describe(root: File): string[] {
  const lines: string[] = [], first = new Map<File, string>()
  const visit = (file: File, path: string) => {
    const xattrs = [...file.xattrs].sort(([a], [b]) => a < b ? -1 : 1).map(([name, value]) => `${name}=${digest(value.length, [value])}`)
    lines.push(line(path, { ...file, content: file.kind === 'file' ? file.digest() : file.target, mtime: file.mtime, xattrs, first: first.get(file) ?? '' }))
    if (!first.has(file)) first.set(file, path)
    for (const name of [...file.names.keys()].sort()) visit(file.names.get(name)!, path === '' ? name : `${path}/${name}`)
  }
  visit(root, '')
  return lines
}
export interface Line { kind: Kind; mode: number; uid: number; gid: number; nlink: number; content: string; mtime: Time | null; xattrs: string[]; first: string }
export function line(path: string, { kind, mode, uid, gid, nlink, content, mtime, xattrs, first }: Line): string {
  return [JSON.stringify(path), kind, mode.toString(8), uid, gid, nlink, content, mtime ? `${mtime.sec}.${mtime.nsec}` : '-', ...xattrs, first && `is ${first}`].join(' ')
}

export class Model {
  root = new File('directory', 0o755, 0, 0)
  readonly snapshots = new Map<string, File>()
  /** Files that are held open, and may have lost their names. */
  readonly slots = new Map<number, File>()

  find(path: string): File | undefined {
    let file: File | undefined = this.root
    for (const name of path === '' ? [] : path.split('/')) file = file?.names.get(name)
    return file
  }
  #place(path: string): [dir: File, name: string] {
    const cut = path.lastIndexOf('/')
    return [this.find(path.slice(0, Math.max(0, cut)))!, path.slice(cut + 1)]
  }
  /** Does a step that can be done. */
  apply(step: Step): void {
    switch (step.do) {
      case 'make': {
        const [dir, name] = this.#place(step.path)
        dir.names.set(name, new File(step.kind, step.kind === 'symlink' ? 0o777 : step.mode, 0, 0, step.target))
        if (step.kind === 'directory') dir.nlink++
        return dir.touch()
      }
      case 'link': {
        const [dir, name] = this.#place(step.to), file = this.find(step.path)!
        dir.names.set(name, file)
        file.nlink++
        return dir.touch()
      }
      case 'unlink': {
        const [dir, name] = this.#place(step.path)
        this.#lost(dir, dir.names.get(name)!)
        dir.names.delete(name)
        return dir.touch()
      }
      case 'rename': {
        const [from, name] = this.#place(step.path), [to, newName] = this.#place(step.to), file = from.names.get(name)!, victim = to.names.get(newName)
        if (victim === file) return
        if (victim) this.#lost(to, victim)
        from.names.delete(name)
        to.names.set(newName, file)
        if (file.kind === 'directory') { from.nlink--; to.nlink++ }
        from.touch()
        return to.touch()
      }
      case 'write': return (step.slot >= 0 ? this.slots.get(step.slot)! : this.find(step.path)!).write(bytesOf(step.seed, step.length), step.offset)
      case 'cut': return this.find(step.path)!.cut(step.size)
      case 'set': {
        const file = this.find(step.path)!
        Object.assign(file, { mode: file.kind === 'symlink' ? 0o777 : step.mode, uid: step.uid, gid: step.gid, mtime: step.mtime ?? file.mtime })
        return
      }
      case 'xattr': {
        const { xattrs } = this.find(step.path)!
        return void (step.length < 0 ? xattrs.delete(step.name) : xattrs.set(step.name, bytesOf(step.seed, step.length)))
      }
      case 'open': return void this.slots.set(step.slot, this.find(step.path)!)
      case 'close': return void this.slots.delete(step.slot)
      case 'snapshot': return void this.snapshots.set(step.name, this.root.copy())
      case 'delete': return void this.snapshots.delete(step.name)
      case 'rollback': this.root = this.snapshots.get(step.name)!.copy(); return this.slots.clear()
      case 'restart': return this.slots.clear()
    }
  }
  #lost(dir: File, file: File): void {
    if (file.kind === 'directory') dir.nlink--
    file.nlink -= file.kind === 'directory' ? 2 : 1
  }
  /** The head, and each snapshot with `@NAME` before its lines. */
  describe(): string[] { return [...describe(this.root), ...[...this.snapshots.keys()].sort().flatMap((name) => describe(this.snapshots.get(name)!).map((l) => `@${name} ${l}`))] }
}
