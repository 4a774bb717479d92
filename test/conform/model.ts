// A file system that is simple enough to be obviously right: what the random run holds translators against.

import type { Code } from 'ninep'

export type Kind = 'file' | 'directory' | 'symlink' | 'fifo'
export interface ModelFile {
  readonly number: number                                 // for reports
  readonly kind: Kind
  mode: number; uid: number; gid: number; nlink: number
  content: Uint8Array                                     // of a file
  readonly target: string                                 // of a symlink
  readonly names: Map<string, ModelFile>                  // of a directory
  parent: ModelFile | undefined
  readonly xattrs: Map<string, Uint8Array>
  mtime: bigint | undefined                               // nanoseconds, while it is what was set
  changes: number                                         // of the content
}
/** The codes that are right where something is to be refused; none: it must succeed. The order of checks is free. */
export type Refusals = readonly Code[]
const because = (...reasons: readonly (readonly [boolean, ...Code[]])[]): Refusals => reasons.flatMap(([holds, ...codes]) => holds ? codes : [])

export class Model {
  readonly root: ModelFile
  #count = 0
  /** names: told of each name in a directory that comes, goes or becomes another file. */
  constructor(mode: number, uid: number, gid: number, readonly names: (dir: ModelFile, name: string) => void) {
    this.root = this.#file('directory', mode, uid, gid, '')
    this.root.nlink = 2
  }
  #file(kind: Kind, mode: number, uid: number, gid: number, target: string): ModelFile {
    return {
      number: this.#count++, kind, mode, uid, gid, nlink: kind === 'directory' ? 2 : 1, content: new Uint8Array(0), target, names: new Map(), parent: undefined,
      xattrs: new Map(), mtime: undefined, changes: 0,
    }
  }
  /** Why nothing is found in dir. */
  #closed(dir: ModelFile): Refusals { return because([dir.kind !== 'directory', 'ENOTDIR'], [dir.kind === 'directory' && dir.nlink === 0, 'ENOENT', 'ESTALE']) }
  #set(dir: ModelFile, name: string, file: ModelFile | undefined): void {
    if (file) dir.names.set(name, file)
    else dir.names.delete(name)
    dir.mtime = undefined
    this.names(dir, name)
  }

  walk(dir: ModelFile, name: string): Refusals {
    const closed = this.#closed(dir)
    return closed.length > 0 ? closed : because([!dir.names.has(name), 'ENOENT'])
  }
  make(dir: ModelFile, name: string, kind: Kind, mode: number, owner: { uid: number; gid: number }, target = ''): Refusals {
    const no = [...this.#closed(dir), ...because([dir.names.has(name), 'EEXIST'])]
    if (no.length > 0) return no
    const file = this.#file(kind, mode, owner.uid, owner.gid, target)
    if (kind === 'directory') {
      file.parent = dir
      dir.nlink++
    }
    this.#set(dir, name, file)
    return []
  }
  link(target: ModelFile, dir: ModelFile, name: string): Refusals {
    const no = [...this.#closed(dir), ...because(
      [dir.names.has(name), 'EEXIST'], [target.kind === 'directory', 'EPERM'], [target.nlink === 0, 'ENOENT', 'ESTALE'],
    )]
    if (no.length > 0) return no
    target.nlink++
    this.#set(dir, name, target)
    return []
  }
  unlink(dir: ModelFile, name: string, asDirectory: boolean): Refusals {
    const missing = this.walk(dir, name)
    if (missing.length > 0) return missing
    const file = dir.names.get(name)!, isDirectory = file.kind === 'directory'
    const no = because([isDirectory && !asDirectory, 'EISDIR'], [!isDirectory && asDirectory, 'ENOTDIR'], [isDirectory && asDirectory && file.names.size > 0, 'ENOTEMPTY'])
    if (no.length > 0) return no
    this.#set(dir, name, undefined)
    this.#lost(file, dir)
    return []
  }
  /** A name in dir is not this file's any more. */
  #lost(file: ModelFile, dir: ModelFile): void {
    if (file.kind === 'directory') {
      file.nlink = 0
      dir.nlink--
    } else file.nlink--
  }
  rename(from: ModelFile, name: string, to: ModelFile, newName: string): Refusals {
    const missing = [...this.walk(from, name), ...this.#closed(to)]
    if (missing.length > 0) return missing
    const file = from.names.get(name)!, victim = to.names.get(newName), isDirectory = file.kind === 'directory'
    if (victim === file) return []
    let inside = false
    for (let up: ModelFile | undefined = to; up; up = up.parent) inside ||= up === file
    const no = because(
      [inside, 'EINVAL'],
      [!!victim && isDirectory && victim.kind !== 'directory', 'ENOTDIR'],
      [!!victim && !isDirectory && victim.kind === 'directory', 'EISDIR'],
      [!!victim && victim.kind === 'directory' && victim.names.size > 0, 'ENOTEMPTY'],
    )
    if (no.length > 0) return no
    if (victim) this.#lost(victim, to)
    this.#set(from, name, undefined)
    this.#set(to, newName, file)
    if (isDirectory) {
      from.nlink--
      to.nlink++
      file.parent = to
    }
    return []
  }
  /** To be called only for what is open. */
  write(file: ModelFile, bytes: Uint8Array, offset: number): void {
    if (bytes.length === 0) return
    if (offset + bytes.length > file.content.length) this.truncate(file, offset + bytes.length)
    file.content.set(bytes, offset)
    file.changes++
    file.mtime = undefined
  }
  truncate(file: ModelFile, size: number): void {
    if (size !== file.content.length) file.changes++
    const content = new Uint8Array(size)
    content.set(file.content.subarray(0, size))
    file.content = content
    file.mtime = undefined
  }
}
