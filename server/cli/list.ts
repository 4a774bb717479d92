// ninefold ls and stat.

import { Attrs, bytesOfName, deviceParts, isErrno, S } from 'ninep'
import type { Attr, File } from 'ninep'
import { complain, failure } from './failure.ts'
import { attrJson, groupOf, kindOf, modeString, ownerOf, print, shown, timeString } from './format.ts'
import { inParallel, isDir, list, namesOf, session } from './remote.ts'
import type { Where } from './remote.ts'

interface Entry { readonly path: string; readonly name: string; readonly attr?: Attr; readonly target?: string }

/** Lists directories, and files by their own names; what is not there is told, and the rest goes on. */
export async function ls(where: Where, paths: readonly string[], { long, all, json }: { long: boolean; all: boolean; json: boolean }): Promise<void> {
  await session(where, async (remote) => {
    const files: Entry[] = [], directories: { path: string; entries: Entry[] }[] = []
    for (const path of paths) {
      try {
        const file = await remote.find(path, !long)
        if (isDir(file)) directories.push({ path, entries: await read(file, path, long || json, all) })
        else files.push(await entry(file, path, path, long || json))
        await file.clunk()
      } catch (e) { complain('ls', failure(path, e)) }
    }
    if (json) return print(JSON.stringify([...files, ...directories.flatMap(({ entries }) => entries)].map(({ path, name, attr, target }) => ({ path, name, ...attrJson(attr!), ...(target === undefined ? {} : { target }) })), null, 2))
    print(...lines(files, long))
    for (const [i, { path, entries }] of directories.entries()) {
      if (paths.length > 1) print(...(i > 0 || files.length > 0 ? [''] : []), `${shown(path)}:`)
      print(...lines(entries, long))
    }
  })
}

async function read(dir: File, path: string, attributes: boolean, all: boolean): Promise<Entry[]> {
  const names: string[] = []
  for await (const { name } of list(dir)) if (all || !name.startsWith('.')) names.push(name)
  const entries: Entry[] = []
  const above = path === '/' ? '/' : `${path.replace(/\/+$/, '')}/`
  await inParallel(names, 32, async (name) => {
    if (!attributes) { entries.push({ path: above + name, name }); return }
    try {
      await using file = await dir.walk(name)
      entries.push(await entry(file, above + name, name, true))
    } catch (e) {
      if (!isErrno(e, 'ENOENT')) complain('ls', failure(above + name, e))   // else it is gone since it was listed
    }
  })
  const key = new Map(entries.map(({ name }) => [name, bytesOfName(name)]))
  return entries.sort((a, b) => Buffer.compare(key.get(a.name)!, key.get(b.name)!))
}
async function entry(file: File, path: string, name: string, attributes: boolean): Promise<Entry> {
  if (!attributes) return { path, name }
  const attr = await file.getattr()
  return { path, name, attr, ...((attr.mode & S.IFMT) === S.IFLNK ? { target: await file.readlink() } : {}) }
}

function lines(entries: readonly Entry[], long: boolean): string[] {
  if (!long) return entries.map(({ name }) => shown(name))
  const cells = entries.map(({ attr }) => [attr!.valid & Attrs.NLINK ? String(attr!.nlink) : '?', shown(ownerOf(attr!)), shown(groupOf(attr!)), extent(attr!)])
  const widths = [0, 1, 2, 3].map((i) => Math.max(0, ...cells.map((row) => row[i]!.length)))
  return entries.map(({ name, attr, target }, i) =>
    `${modeString(attr!.mode)} ${cells[i]!.map((cell, i) => cell.padStart(widths[i]!)).join(' ')} ${timeString(attr!.mtime, false)} ${shown(name)}${target === undefined ? '' : ` -> ${shown(target)}`}`)
}
/** The size; of a device its numbers. */
function extent({ mode, rdev, size }: Attr): string {
  const type = mode & S.IFMT
  if (type !== S.IFCHR && type !== S.IFBLK) return String(size)
  const { major, minor } = deviceParts(rdev)
  return `${major}, ${minor}`
}

/** Tells all of Rgetattr. */
export async function stat(where: Where, paths: readonly string[], { follow, json }: { follow: boolean; json: boolean }): Promise<void> {
  await session(where, async (remote) => {
    const found: object[] = []
    for (const path of paths) {
      try {
        const file = await remote.find(path, follow)
        const { path: _, name, attr, target } = await entry(file, path, namesOf(path).at(-1) ?? '/', true)
        await file.clunk()
        if (json) found.push({ path, name, ...attrJson(attr!), ...(target === undefined ? {} : { target }) })
        else print(...report(path, attr!, target))
      } catch (e) { complain('stat', failure(path, e)) }
    }
    if (json) print(JSON.stringify(found, null, 2))
  })
}
function report(path: string, attr: Attr, target: string | undefined): string[] {
  const told = (bit: number, value: string | number) => attr.valid & bit ? value : '?'
  return [
    `  File: ${shown(path)}${target === undefined ? '' : ` -> ${shown(target)}`}`,
    `  Kind: ${kindOf(attr.mode)}   Size: ${extent(attr)}   Blocks: ${told(Attrs.BLOCKS, attr.blocks)} of 512   IO block: ${told(Attrs.BLOCKS, attr.blksize)}`,
    `  Mode: ${(attr.mode & 0o7777).toString(8).padStart(4, '0')} ${modeString(attr.mode)}   Uid: ${shown(ownerOf(attr))}   Gid: ${shown(groupOf(attr))}   Links: ${told(Attrs.NLINK, attr.nlink)}`,
    `   Qid: path ${attr.qid.path}, version ${attr.qid.version}, type 0x${attr.qid.type.toString(16)}`,
    `Access: ${timeString(attr.atime, true)}`, `Modify: ${timeString(attr.mtime, true)}`, `Change: ${told(Attrs.CTIME, timeString(attr.ctime, true))}`,
  ]
}
