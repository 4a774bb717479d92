// Mounts for tests: a server and `ninefold mount`, each a process of its own, in a folder of their own.
//
// Who waits in a mount whose server hangs waits for ever, and can't be killed. So nothing in this process looks into one, every program that
// does has its time, and what is late ends by the end of the mount: the kernel fails all requests when the process that serves them is gone.

import { execFile, spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants, createWriteStream, readFileSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { mounted } from '../../server/mount/place.ts'
import { root } from '../guest/build.ts'

const program = join(root, 'bin/ninefold')
const prefix = '/var/tmp/ninefold-mount-'
const children = new Set<ChildProcess>()

/** Why no mount can be made here; undefined: they can. */
export function unable(): string | undefined {
  if (process.getuid!() !== 0) return 'only root may mount by mount(2)'
  try { accessSync('/dev/fuse', constants.R_OK | constants.W_OK) } catch { return 'there is no /dev/fuse. Load the module: modprobe fuse' }
  return undefined
}

/** What earlier runs left when they were killed; and our own, at the end. */
function sweep(ours: boolean): void {
  for (const { dir, type } of mounted()) {
    const pid = new RegExp(`^${prefix}(\\d+)-`).exec(dir)?.[1]
    if (pid === undefined || !type.startsWith('fuse') || (Number(pid) === process.pid ? !ours : alive(Number(pid)))) continue
    spawnSync('umount', ['-l', dir], { timeout: 10_000, stdio: 'ignore' })
  }
}
function alive(pid: number): boolean { try { process.kill(pid, 0); return true } catch { return false } }
function endAll(): void {
  for (const child of children) child.kill('SIGKILL')
  sweep(true)
}
process.once('exit', endAll)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130))
sweep(false)

/** A folder for a test, that anybody may enter. On a disk, for user.* attributes; short, as the names of sockets must be. */
export async function folder(): Promise<string> {
  const home = await mkdtemp(`${prefix}${process.pid}-`)
  await chmod(home, 0o755)
  return home
}
export async function removeFolder(home: string): Promise<void> { await rm(home, { recursive: true, force: true, maxRetries: 5 }) }

export interface Ran { readonly status: number; readonly out: string; readonly err: string }
export interface Running { readonly child: ChildProcess; readonly said: () => string; readonly ended: Promise<number | string> }

/** Starts the program, and gives it back when it has said what matches. */
export async function start(args: readonly string[], says: RegExp, cwd: string, log: string, by?: { uid: number; gid: number }): Promise<Running> {
  const child = spawn(process.execPath, ['--enable-source-maps', program, ...args], { cwd, stdio: ['ignore', 'pipe', 'pipe'], ...by })
  children.add(child)
  const to = createWriteStream(log, { flags: 'a' })
  let words = ''
  const ended = once(child, 'exit').then(([code, signal]) => { children.delete(child); return (signal ?? code) as number | string })
  const up = new Promise<void>((done) => {
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.on('data', (bytes: Buffer) => { to.write(bytes); if (words.length < 65536) words += bytes.toString(); if (says.test(words)) done() })
    }
  })
  await within(60, Promise.race([up, ended.then((how) => { throw new Error(`ninefold ${args[0]} ended with ${how}: ${words.trim()}`) })]), () => `ninefold ${args[0]} does not say ${says}: ${words.trim()}`)
  return { child, said: () => words, ended }
}
/** Runs the program to its end. */
export function ninefold(args: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv; uid?: number; gid?: number } = {}): Promise<Ran> {
  return run(process.execPath, [program, ...args], options)
}
/** Runs any program to its end, or for `limit` seconds. */
export function run(file: string, args: readonly string[], { limit = 60, late = () => {}, ...options }: { cwd?: string; env?: NodeJS.ProcessEnv; uid?: number; gid?: number; limit?: number; late?: () => void } = {}): Promise<Ran> {
  return new Promise((done) => {
    const child = execFile(file, args, { maxBuffer: 64 << 20, ...options }, (e, out, err) => {
      clearTimeout(timer)
      children.delete(child)
      done({ status: e ? typeof e.code === 'number' ? e.code : 128 : 0, out, err: `${err}${e && typeof e.code !== 'number' ? e.message : ''}` })
    })
    children.add(child)
    const timer = setTimeout(() => { child.kill('SIGKILL'); late() }, limit * 1000)
  })
}
export async function within<T>(seconds: number, promise: Promise<T>, late: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  try {
    return await Promise.race([promise, new Promise<never>((_, fail) => { timer = setTimeout(() => fail(new Error(late())), seconds * 1000) })])
  } finally {
    clearTimeout(timer)
  }
}

export interface Stand extends AsyncDisposable {
  readonly home: string
  readonly url: string
  /** Where it is mounted. Not to be looked into by this process. */
  readonly dir: string
  readonly server: Running
  readonly mount: Running
  /** Runs shell lines, in the mount unless told, as root or somebody else, with the mount's end where they take too long. */
  sh(lines: string, options?: { readonly limit?: number; readonly uid?: number; readonly cwd?: string }): Promise<Ran>
  /** The same, and throws what was said unless they end well. */
  must(lines: string, options?: { readonly limit?: number; readonly uid?: number; readonly cwd?: string }): Promise<string>
  /** Kills the server. */
  kill(): Promise<void>
  /** Starts it again. */
  restart(): Promise<void>
  /** Mounts the same server once more, with these options. */
  another(name: string, options: string): Promise<string>
}

/** What a test of a whole machine wants: all users, their modes checked by the kernel, and devices. */
export const usual = 'allow_other,default_permissions,dev,suid'

/** Serves a stack and mounts it. */
export async function stand(stack: string, options: string = usual): Promise<Stand> {
  const home = await folder(), url = `unix:${home}/s.sock`, dir = join(home, 'mnt')
  await mkdir(join(home, 'export'))
  await chmod(join(home, 'export'), 0o777)
  await mkdir(dir)
  const serve = () => start(['serve', '--at', `/=${stack}`, '--listen', url, '--state', join(home, 'state'), '--log', 'warn'], /^mount -t 9p /m, home, join(home, 'server.log'))
  let server = await serve()
  const mounts: { readonly running: Running; readonly dir: string }[] = []
  const mountAt = async (dir: string, options: string) => {
    const running = await start(['mount', '-f', url, dir, '-o', options], /is mounted on/, home, join(home, 'mount.log'))
    mounts.push({ running, dir })
    return running
  }
  const mount = await mountAt(dir, options)
  const sh: Stand['sh'] = (lines, { limit = 60, uid, cwd = dir } = {}) =>
    run('sh', ['-euc', `cd '${cwd}'\n${lines}`], { limit, late: () => mount.child.kill('SIGKILL'), ...uid === undefined ? {} : { uid, gid: uid } })
  return {
    home, url, dir, get server() { return server }, mount, sh,
    async must(lines, options) {
      const { status, out, err } = await sh(lines, options)
      if (status !== 0) throw new Error(`status ${status}: ${(err + out).trim().slice(-2000)}\n${tail(join(home, 'mount.log'))}`)
      return out
    },
    async kill() {
      server.child.kill('SIGKILL')
      await server.ended
    },
    async restart() { server = await serve() },
    async another(name, options) {
      const dir = join(home, name)
      await mkdir(dir)
      await mountAt(dir, options)
      return dir
    },
    async [Symbol.asyncDispose]() {
      for (const { running, dir } of mounts.reverse()) {
        const { status } = await run('umount', [dir], { limit: 20 })
        if (status !== 0) running.child.kill('SIGKILL')
        await within(20, running.ended, () => 'the mount does not end').catch(() => running.child.kill('SIGKILL'))
        if (status !== 0) await run('umount', ['-l', dir], { limit: 20 })
      }
      server.child.kill('SIGTERM')
      await within(20, server.ended, () => 'the server does not end').catch(() => server.child.kill('SIGKILL'))
      await removeFolder(home)
    },
  }
}
function tail(file: string): string { try { return readFileSync(file, 'utf8').slice(-1500) } catch { return '' } }
