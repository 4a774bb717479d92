// ninefold mount, ninefold umount, and what mount(8) calls for a line of fstab.

import { spawn } from 'node:child_process'
import { closeSync, openSync, writeSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { realpathSync } from 'node:fs'
import { BadOption } from '../../translators/options.ts'
import { parseMountOptions } from '../mount/options.ts'
import type { MountOptions } from '../mount/options.ts'
import { detachKernel, mounted, placeOf } from '../mount/place.ts'
import type { Mount } from '../mount/mount.ts'
import { Failure, Misuse, failure, reason } from './failure.ts'
import { makeLog } from './log.ts'

export interface MountCommand {
  readonly options: readonly string[]
  readonly foreground: boolean
  readonly level: string
  /** A descriptor to tell by when the mount can be used, or why not: it is the daemon that this process was started as. */
  readonly ready?: number
}

/** Mounts. In the foreground it returns when it was unmounted; else when the mount can be used. */
export async function mount(url: string, dir: string, command: MountCommand): Promise<void> {
  const options = read(command.options), source = sourceOf(url)
  if (command.ready === undefined) {
    const place = check(dir, source)
    if (command.foreground) await serve(source, place, options, command.level, (text) => { process.stdout.write(`${text}\n`) })
    else await daemon(source, place, options, command)
    return
  }
  const { ready } = command, tell = (said: object) => { writeSync(ready, JSON.stringify(said)); closeSync(ready) }
  try {
    await serve(source, dir, options, command.level, () => tell({ ready: true }))
  } catch (e) {
    try { tell({ why: reason(e) }) } catch { /* it was told of the mount before */ }
    throw e
  }
}

/** Unmounts what was mounted here. */
export async function umount(dir: string, { lazy }: { readonly lazy: boolean }): Promise<void> {
  const path = beside(dir)
  if (mounted().findLast((one) => one.dir === path)?.type !== 'fuse.ninefold') throw new Failure(`${dir}: nothing of ninefold is mounted there`)
  await detachKernel(path, lazy).catch((e: unknown) => { throw failure(dir, e) })
}

function read(given: readonly string[]): MountOptions {
  try { return parseMountOptions(given) } catch (e) { throw e instanceof BadOption ? new Misuse(e.message) : e }
}
/** A server's address, with its path where the daemon will find it, too. */
function sourceOf(url: string): string {
  if (!/^(tcp:\/\/(\[.+\]|[^:/]+):\d+\/?$|unix:.)/.test(url)) throw new Misuse(`"${url}" is no server's address. Write unix:SOCKET or tcp://HOST:PORT`)
  return url.startsWith('unix:') ? `unix:${resolve(url.slice(5))}` : url
}
function check(dir: string, source: string): string {
  try { return placeOf(dir, source) } catch (e) {
    const code = (e as { code?: string }).code
    if (code === 'ENOTCONN') throw new Failure(`${dir}: what was mounted there has died. Take it away: ninefold umount ${dir}`)
    throw code === 'EBUSY' ? new Failure((e as Error).message.replace(/^EBUSY: (.*) "(.*)"$/, '$2: $1')) : failure(dir, e)
  }
}
/** The path of a directory that must not be looked at itself. */
function beside(dir: string): string {
  const path = resolve(dir)
  try { return path === '/' ? path : join(realpathSync(dirname(path)), basename(path)) } catch { return path }
}

/** Starts the same again as a process of its own, and waits until it has mounted. */
async function daemon(source: string, place: string, { log }: MountOptions, { options, level }: MountCommand): Promise<void> {
  const to = log === undefined ? 'ignore' as const : openSync(log, 'a')
  const args = [...process.execArgv, process.argv[1]!, 'mount', source, place, ...options.flatMap((option) => ['-o', option]), '--log', level, '--ready', '3']
  const child = spawn(process.execPath, args, { cwd: '/', detached: true, stdio: ['ignore', to, to, 'pipe'] })
  let said = ''
  const told = new Promise<void>((done) => { child.stdio[3]!.on('data', (bytes: Buffer) => { said += bytes.toString() }).on('close', done) })
  const [status] = await Promise.race([told.then(() => [0]), new Promise<[number]>((done) => { child.once('exit', (code) => done([code ?? 1])) })])
  await told
  const { ready, why } = said === '' ? { ready: false, why: `it ended with ${status}` } : JSON.parse(said) as { ready?: boolean; why?: string }
  if (!ready) throw new Failure(`${place}: ${why}`)
  child.unref()
}

async function serve(source: string, place: string, { ...options }: MountOptions, level: string, ready: (text: string) => void): Promise<void> {
  process.chdir('/')                                       // to be in the mount would be to wait for oneself
  process.umask(0)
  const log = makeLog(level), { mount } = await import('../mount/serve.ts')
  let served: Mount
  try { served = await mount(source, place, options, log) } catch (e) { throw unreachable(source, place, e) }
  const broken = (err: unknown) => { log.error({ err }, 'the mount is given up'); served.close(); void detachKernel(place, true).catch(() => {}).finally(() => process.exit(1)) }
  process.on('uncaughtException', broken)
  process.on('unhandledRejection', broken)
  let ending = 0
  const end = (signal: string) => {
    if (ending++ > 0) { log.warn({ signal }, 'ended at once'); process.exit(1) }
    detachKernel(place, false).catch((e: unknown) => {
      log.warn({ signal, why: reason(e) }, 'it goes when nobody is in it any more; a second signal ends it at once')
      return detachKernel(place, true)
    }).catch((err: unknown) => { log.error({ err }, 'it can not be unmounted'); ending = 0 })
  }
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, end)
  ready(`${source} is mounted on ${place}`)
  log.info({ url: source, dir: place }, 'mounted')
  try { await served.ended } catch (e) { throw failure(place, e) }
  log.info({ dir: place }, 'unmounted')
  await served.link.close()
  process.exit(0)
}

function unreachable(source: string, place: string, e: unknown): Failure {
  const code = (e as { code?: string }).code
  if (code === 'ENOENT' || code === 'ECONNREFUSED') return new Failure(`${source}: ${reason(e)}. Is the server running?`)
  if (code === 'EPROTONOSUPPORT' || code === 'ETIMEDOUT' || code === 'EPROTO') return new Failure(`${source}: ${reason(e)}`)
  return failure(place, e)
}
