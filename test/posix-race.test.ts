// Someone on the host swaps directories and files of the export for symbolic links to the outside, and back, as fast as
// they can, while the export is in use. Nothing outside may be read, made, changed, or even looked at.

import { spawn } from 'node:child_process'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { AT_REMOVEDIR, Attrs, isErrno, O, S } from 'ninep'
import { posix } from '../translators/posix/posix.ts'
import type { Node } from '../translators/translator.ts'
import { base, isRoot, me, user } from './exported.ts'

const test = suite('posix, raced')
const SECONDS = 3

/** Swaps by rename alone: at any instant each name is the real thing, a link to the outside, or missing. */
const swapper = `
  const fs = require('node:fs'), [dir, out] = process.argv.slice(1)
  const tries = [
    () => { fs.renameSync(dir + '/d', dir + '/real'); fs.symlinkSync(out, dir + '/d') },
    () => { fs.unlinkSync(dir + '/d'); fs.renameSync(dir + '/real', dir + '/d') },
    () => { fs.renameSync(dir + '/d/f', dir + '/d/kept'); fs.symlinkSync(out + '/secret', dir + '/d/f') },
    () => { fs.unlinkSync(dir + '/d/f'); fs.renameSync(dir + '/d/kept', dir + '/d/f') },
    () => { fs.renameSync(dir + '/d/sub', dir + '/moved'); fs.symlinkSync('../../..' + out, dir + '/d/sub') },
    () => { fs.unlinkSync(dir + '/d/sub'); fs.renameSync(dir + '/moved', dir + '/d/sub') },
    () => { fs.symlinkSync(out + '/planted', dir + '/d/new') },
    () => { fs.unlinkSync(dir + '/d/new') },
    () => { fs.linkSync(dir + '/d/f', dir + '/d/hard') },
    () => { fs.unlinkSync(dir + '/d/hard') },
  ]
  const end = Date.now() + ${SECONDS * 1000 + 300}
  process.send('ready')
  for (let i = 0; Date.now() < end; i++) { try { tries[i % tries.length]() } catch {} }
`

/** All that can be known of a tree: names, types, modes, owners, contents, and times to the nanosecond. */
function portrait(dir: string): string {
  const of = (at: string): string[] => {
    const { mode, uid, gid, ino, nlink, size, atimeNs, mtimeNs, ctimeNs } = fs.lstatSync(at, { bigint: true })
    const own = [at, mode, uid, gid, ino, nlink, size, atimeNs, mtimeNs, ctimeNs].join(' ')
    return [own, ...(mode & 0o40000n ? fs.readdirSync(at).flatMap((name) => of(path.join(at, name))) : [])]
  }
  fs.readdirSync(dir)                                     // its atime settles first (relatime)
  return of(dir).join('\n')
}

test('nothing outside the export is reached', async () => {
  const dir = fs.mkdtempSync(`${base}/ninefold-race-`), out = fs.mkdtempSync(`${base}/ninefold-outside-`)
  fs.mkdirSync(`${dir}/d/sub`, { recursive: true })
  fs.writeFileSync(`${dir}/d/f`, 'inside')
  fs.writeFileSync(`${dir}/d/sub/g`, 'inside')
  for (const at of [dir, `${dir}/d`, `${dir}/d/sub`]) fs.chmodSync(at, 0o777)
  fs.writeFileSync(`${out}/secret`, 'outside')
  fs.writeFileSync(`${out}/f`, 'outside')
  fs.writeFileSync(`${out}/g`, 'outside')
  fs.mkdirSync(`${out}/sub`)
  fs.writeFileSync(`${out}/sub/g`, 'outside')
  const outside = new Set(['', '/secret', '/f', '/g', '/sub', '/sub/g'].map((name) => BigInt(fs.statSync(out + name).ino)))
  for (const at of [out, `${out}/sub`]) fs.readdirSync(at)
  const before = portrait(out)

  const brick = await posix({ path: dir, owner: isRoot ? 'host' : 'none', 'max-fds': 32 })
  const root = await brick.attach('')
  const child = spawn(process.execPath, ['-e', swapper, dir, out], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  await new Promise((resolve) => child.once('message', resolve))

  let steps = 0, won = 0, byPath = 0
  const inside = async (node: Node) => {
    const attr = await node.getattr(Attrs.ALL | Attrs.ACL)
    assert.not(outside.has(node.qid.path) || outside.has(attr.qid.path), 'a node of a file outside')
    if ((attr.mode & S.IFMT) !== S.IFREG) return
    const handle = await node.open(O.RDWR)
    const said = Buffer.from(await handle.read(new Uint8Array(100), 0)).toString()
    assert.is.not(said, 'outside')
    await handle.write(Buffer.from('inside'), 0)
    await node.setattr({ mode: 0o666, mtime: 'now' })
    await handle.close()
  }
  const kept: Node[] = []
  const moves: ((d: Node) => Promise<void>)[] = [
    async (d) => { const f = await d.walk('f'); kept.push(f); await inside(f) },
    async (d) => { const sub = await d.walk('sub'); kept.push(sub); const g = await sub.walk('g'); kept.push(g); await inside(g) },
    async (d) => { const made = await d.create('new', O.RDWR | O.TRUNC, 0o644, user); await made.handle.close(); kept.push(made.node); await inside(made.node); await d.unlinkat('new', 0) },
    async (d) => { kept.push(await d.mkdir('made', 0o777, user)); await d.unlinkat('made', AT_REMOVEDIR) },
    async (d) => { kept.push(await d.mknod('planted', S.IFREG | 0o600, 0n, user)); await d.unlinkat('planted', 0) },
    async (d) => { const f = await d.walk('f'); kept.push(f); await d.link(f, 'linked'); await d.unlinkat('linked', 0) },
    async (d) => { await d.renameat('f', d, 'f2'); await d.renameat('f2', d, 'f') },
    async (d) => { const sub = await d.walk('sub'); kept.push(sub); await d.renameat('f', sub, 'f'); await sub.renameat('f', d, 'f') },
    async (d) => { const sub = await d.walk('sub'); kept.push(sub); kept.push(await sub.parent()) },
    async (d) => {
      const handle = await d.open(O.RDONLY)
      try { await handle.readdir(0n, { add(path) { assert.not(outside.has(path), 'an entry of outside'); return true } }, Attrs.BASIC) } finally { await handle.close() }
    },
    async () => { for (const node of kept.slice(-3)) await inside(node) },
  ]
  const told = new Map<string, number>(), until = Date.now() + SECONDS * 1000
  while (Date.now() < until) {
    try {
      const d = await root.walk('d')
      kept.push(d)
      assert.not(outside.has(d.qid.path), 'a walk led outside')
      await moves[steps % moves.length]!(d)
      won++
    } catch (e) {
      if (!isErrno(e)) throw e
      told.set(e.code, (told.get(e.code) ?? 0) + 1)
    }
    // What a server that went by paths would have met: the race must be one.
    try { if (fs.statSync(`${dir}/d/f`, { throwIfNoEntry: false })?.ino !== undefined && outside.has(BigInt(fs.statSync(`${dir}/d/f`).ino))) byPath++ } catch { /* gone in between */ }
    steps++
    if (kept.length > 200) for (const node of kept.splice(0, 100)) await node.close()
    if (steps % 16 === 0) await new Promise((resolve) => { setImmediate(resolve) })
  }
  for (const node of kept) await node.close()
  await root.close()
  await brick.close()
  if (child.exitCode === null) await new Promise((resolve) => child.once('exit', resolve))

  const after = portrait(out)
  assert.is(after, before)
  for (const name of ['secret', 'f', 'g', 'sub/g']) assert.is(fs.readFileSync(`${out}/${name}`, 'utf8'), 'outside')
  console.log(`${steps} steps, ${won} to the end, ${byPath} times a path led outside; ${[...told].map(([code, n]) => `${code} ${n}`).join(', ')}`)
  assert.ok(byPath > 10, 'there was no race to win')
  assert.ok(won > 50, 'there was nothing but refusals')
  for (const code of told.keys()) assert.ok(['ENOENT', 'ESTALE', 'ENOTDIR', 'EEXIST', 'ELOOP', 'EXDEV', 'ENOTEMPTY', 'EISDIR', 'EPERM', 'EACCES'].includes(code), code)
  assert.is(me.uid, process.geteuid!())
  fs.rmSync(dir, { recursive: true })
  fs.rmSync(out, { recursive: true })
})

test.run()
