// A translator in a process of its own: what ends that process is EIO below its mount and nowhere else, until it has been started again.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { connect, isErrno, O } from 'ninep'
import type { File } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { serve } from '../server/server.ts'
import type { Server } from '../server/server.ts'
import { parseStack } from '../server/stack.ts'
import { text } from './conform/conform.ts'
import { Kept } from './wire/stand.ts'

const test = suite('remote process'), root = resolve(fileURLToPath(import.meta.url), '../../..'), bin = join(root, 'bin/ninefold')
const folder = mkdtempSync(join(tmpdir(), 'ninefold-process-')), pids = join(folder, 'pids')
cpSync(join(root, 'examples/own-translator/hide.js'), join(folder, 'hide.js'))
writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
mkdirSync(join(folder, 'node_modules'))
symlinkSync(root, join(folder, 'node_modules/ninefold'))
symlinkSync(join(root, 'protocol'), join(folder, 'node_modules/ninep'))
test.after(() => rmSync(folder, { recursive: true, force: true }))

/** The example of examples/own-translator, over a folder, as a program that says who it is. first: what the shell does before. */
const program = (name: string, first = ''): string => {
  mkdirSync(join(folder, name), { recursive: true })
  return `cd ${folder}; ${first} echo $$ >> ${pids}; exec ${bin} serve --at "/=./hide.js prefix=_ | posix ./${name}" --listen unix:{socket} --log error`
}
const running = () => Number(readFileSync(pids, 'utf8').trim().split('\n').at(-1))
const isThere = (pid: number) => { try { return process.kill(pid, 0) } catch { return false } }
async function until(what: string, is: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; !await is(); tries++) {
    if (tries > 6000) throw new Error(`not ${what} after a minute`)
    await sleep(10)
  }
}
/** Serves memory, and at /own such a program. */
async function serving(command: string, more: string, run: (tree: File, log: Kept, server: Server) => Promise<void>): Promise<void> {
  const log = new Kept()
  const server = await serve({ listen: [`unix:${join(folder, 's.sock')}`], namespace: new Map([['/', parseStack('memory')], ['/own', parseStack(`remote command='${command}' ${more}`)]]), log })
  const client = await connect(server.urls[0]!)
  try {
    await run(await client.attach(), log, server)
    await client.close()
    assert.equal(log.bugs.filter(({ message }) => !message.startsWith('the program ended')), [])
  } finally { await server.stop() }
  assert.not(isThere(running()), 'it ended with the server')
}
async function code(f: () => Promise<unknown>): Promise<string> {
  try { await f(); return 'ok' } catch (e) {
    if (!isErrno(e)) throw e
    return e.code
  }
}
async function make(dir: File, name: string, content: string): Promise<File> {
  const file = await dir.create(name, O.RDWR, 0o644)
  await file.write(text(content), 0)
  const opened = await (await dir.clone()).open()
  for (const synced of [file, opened]) await synced.fsync()    // else the end of the process would be told of at the next
  await opened.clunk()
  return file
}
const read = async (file: File) => Buffer.from(await file.read(0, 100)).toString()

test('killed: EIO there and nothing elsewhere, then it is started again, and what was open goes on', async () => {
  await serving(program('killed'), 'timeout=120', async (tree) => {
    const own = await tree.walk('own'), note = await make(own, 'note', 'kept'), beside = await make(tree, 'beside', 'as ever')
    assert.is(await code(() => own.create('_hidden', O.RDWR, 0o644)), 'EPERM')
    for (let round = 0; round < 2; round++) {
      const pid = running()
      process.kill(pid, 'SIGKILL')
      const told: string[] = []
      await until('told', async () => {
        assert.is(await read(beside), 'as ever')
        told.push(await code(() => note.read(0, 4)))
        return told.at(-1) !== 'ok'
      })
      assert.is(told.at(-1), 'EIO')
      await until('there again', async () => {
        const now = await code(() => own.walk('note').then((file) => file.clunk()))
        assert.ok(['ok', 'EIO'].includes(now), now)
        return now === 'ok'
      })
      assert.is.not(running(), pid)
      assert.is(await read(note), 'kept')
      assert.is(await note.write(text('kept'), 0), 4)
      await note.fsync()
    }
    await note.clunk()
  })
})

test('one that ends again and again is tried ever more seldom, and told of each time', async () => {
  const broken = join(folder, 'broken')
  await serving(program('again', `[ -e ${broken} ] && exit 3;`), 'timeout=120', async (tree, log) => {
    const own = await tree.walk('own')
    writeFileSync(broken, '')
    process.kill(running(), 'SIGKILL')
    const waits = () => log.bugs.flatMap(({ message }) => /^the program ended \(\S+(?: \d)?\), and is started again in (\d+) ms$/.exec(message)?.[1] ?? []).map(Number)
    await until('tried', () => waits().length >= 5)
    assert.is(await code(() => own.getattr()), 'EIO')
    for (const [i, wait] of waits().entries()) if (i > 0) assert.is(wait, 2 * waits()[i - 1]!)
    rmSync(broken)
    await until('there again', async () => await code(() => own.getattr()) === 'ok')
  })
})

test('stopped: a call there has an end, and the others go on', async () => {
  await serving(program('stopped'), 'timeout=1', async (tree) => {
    const own = await tree.walk('own'), beside = await make(tree, 'beside', 'as ever')
    await until('answering', async () => await code(() => own.getattr()) === 'ok')
    const pid = running()
    process.kill(pid, 'SIGSTOP')
    let over = false
    const calls = Promise.all([code(() => own.getattr()), code(() => own.create('f', O.RDWR, 0o644)), code(() => own.walk('g'))]).finally(() => { over = true })
    let others = 0
    for (; !over; others++) assert.is(await read(beside), 'as ever')
    assert.equal([...new Set(await calls)], ['ETIMEDOUT'])
    assert.ok(others > 10, `${others} reads beside`)
    process.kill(pid, 'SIGCONT')
    await until('answering again', async () => await code(() => own.getattr()) === 'ok')
    assert.is(running(), pid)
  })
})

test('a program that is none stops the start, and says how it ended', async () => {
  const started = serve({ listen: [], namespace: new Map([['/', parseStack(`remote command='exit 7; {socket}' timeout=60`)]]) })
  assert.match(await started.then(() => 'it started', (e: Error) => e.message), /the program ended \(status 7\)/)
})

test('it ends with a server that is killed', async () => {
  const server = spawn(bin, ['serve', '--at', `/=remote command='${program('orphan')}'`, '--listen', `unix:${join(folder, 'k.sock')}`, '--log', 'error'], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(createInterface(server.stdout), 'line')
  const pid = running(), ended = once(server, 'exit')
  assert.ok(isThere(pid))
  server.kill('SIGKILL')
  await ended
  await until('gone', () => !isThere(pid) || /^State:\s+Z/m.test(existsSync(`/proc/${pid}/status`) ? readFileSync(`/proc/${pid}/status`, 'utf8') : ''))
})
test.run()
