// node load.js DIR: works in DIR until SIGTERM, and knows at every moment what must be there. Nothing it does may fail. Its last line says how
// often it did what; what is wrong is on standard error, and the status is 1.

import { constants } from 'node:fs'
import { link, lstat, mkdir, open, readFile, readdir, readlink, rename, rmdir, stat, symlink, truncate, unlink, writeFile } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { dice } from '../../server/dice.ts'

const dir = process.argv[2]!, int = dice(7)
const done: Record<string, number> = {}
let stopped = false
process.on('SIGTERM', () => { stopped = true })
function check(right: boolean, what: string): void { if (!right) throw new Error(what) }
const absent = (path: string) => lstat(path).then(() => false, (e: NodeJS.ErrnoException) => { check(e.code === 'ENOENT', `${path}: ${e.code}`); return true })

/** Lines with their numbers, at the end of a file: each is there once, in order. */
async function appends(): Promise<void> {
  const path = join(dir, 'appended'), file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND)
  const line = (n: number) => `${String(n).padStart(15, '0')}\n`
  let n = 0
  for (; !stopped; n++) await file.write(line(n))
  await file.close()
  const text = await readFile(path, 'latin1'), wanted = Array.from({ length: n }, (_, i) => line(i)).join('')
  if (text !== wanted) {
    const at = [...wanted].findIndex((c, i) => text[i] !== c)
    throw new Error(`appended: ${text.length} of ${wanted.length} bytes, different from ${at} on: ${JSON.stringify(text.slice(Math.max(0, at - 32), at + 48))}`)
  }
  done['appends'] = n
}

/** A file that stays open, written and read at random beside a model of it. */
async function pages(): Promise<void> {
  const size = 1 << 20, model = Buffer.alloc(size), file = await open(join(dir, 'pages'), 'w+')
  await file.truncate(size)
  let n = 0
  for (; !stopped; n++) {
    const at = int(size - 20_000), length = 1 + int(20_000)
    if (n % 3 === 0) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, at)
      check(bytesRead === length && buffer.equals(model.subarray(at, at + length)), `pages: read ${bytesRead} of ${length} at ${at}`)
    } else {
      model.fill(1 + int(255), at, at + length)
      const { bytesWritten } = await file.write(model, at, length, at)
      check(bytesWritten === length, `pages: wrote ${bytesWritten} of ${length}`)
    }
    if (n % 50 === 0) await file.sync()
  }
  await file.close()
  check((await readFile(join(dir, 'pages'))).equals(model), 'pages: not what was written')
  done['pages'] = n
}

/** Names that come, move and go. */
async function names(lane: number): Promise<void> {
  const home = join(dir, `names-${lane}`), there = new Map<string, string>()
  await mkdir(home)
  let n = 0
  for (; !stopped; n++) {
    const name = join(home, `${n}`), moved = join(home, `moved-${n}`), text = `text ${n} of ${lane}`
    await writeFile(name, text, { flag: 'wx' })
    check((await lstat(name)).size === text.length, `${name}: its size`)
    await rename(name, moved)
    check(await absent(name), `${name} was moved`)
    there.set(`moved-${n}`, text)
    await link(moved, name)
    check((await stat(moved)).nlink === 2, `${name}: its links`)
    await unlink(name)
    await symlink(`moved-${n}`, name)
    check(await readlink(name) === `moved-${n}`, `${name}: its target`)
    await unlink(name)
    await mkdir(name)
    await rmdir(name)
    check(await absent(name), `${name} was removed`)
    await truncate(moved, 4)
    there.set(`moved-${n}`, 'text')
    const old = n - 3
    if (there.has(`moved-${old}`)) {
      if (int(2) === 0) {
        await rename(moved, join(home, `moved-${old}`))
        there.delete(`moved-${n}`)
        there.set(`moved-${old}`, 'text')
      } else {
        await unlink(join(home, `moved-${old}`))
        there.delete(`moved-${old}`)
        await writeFile(join(home, `moved-${old}`), 'anew', { flag: 'wx' })
        there.set(`moved-${old}`, 'anew')
      }
    }
  }
  const found = await readdir(home)
  check(found.sort().join() === [...there.keys()].sort().join(), `names-${lane}: ${found.length} of ${there.size}`)
  for (const [name, text] of there) check(await readFile(join(home, name), 'utf8') === text, `${name}: its text`)
  done[`names ${lane}`] = n
}

/** Files that are opened, kept, and read long after. */
async function keeps(): Promise<void> {
  const open_: { file: FileHandle; text: string }[] = []
  let n = 0
  for (; !stopped; n++) {
    const text = `kept ${n}`, path = join(dir, `kept-${n % 40}`)
    if (n >= 40) {
      const { file, text } = open_.shift()!
      check(await file.readFile('utf8') === text, `${text}: it is another file`)
      await file.close()
      await unlink(path)
    }
    await writeFile(path, text, { flag: 'wx' })
    open_.push({ file: await open(path, 'r'), text })
  }
  for (const { file } of open_) await file.close()
  done['kept'] = n
}

await Promise.all([appends(), pages(), names(0), names(1), keeps()].map((lane) => lane.catch((e: Error) => {
  process.exitCode = 1
  stopped = true
  process.stderr.write(`${e.stack}\n`)
})))
process.stdout.write(`${JSON.stringify(done)}\n`)
