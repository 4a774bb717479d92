// The directory that is mounted on: mount(2) and umount(8) by root, fusermount3 by others. Nothing here looks into the mount: a process that
// waits for an answer of its own waits for ever.

import { spawn } from 'node:child_process'
import { constants, openSync, readFileSync, realpathSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { S, errno } from 'ninep'
import * as sys from '../../translators/sys.ts'
import type { MountOptions } from './options.ts'

/** Of /proc/self/mountinfo. */
interface Mounted { readonly dir: string; readonly type: string; readonly source: string; readonly device: string }

/** What is mounted where, in order: the last one at a place is what is seen. */
export function mounted(): Mounted[] {
  const plain = (word: string) => word.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(parseInt(code, 8)))
  return readFileSync('/proc/self/mountinfo', 'latin1').split('\n').filter((line) => line !== '').map((line) => {
    const [left, right] = line.split(' - ') as [string, string], fields = left.split(' '), [type, source] = right.split(' ') as [string, string]
    const utf8 = (word: string) => Buffer.from(plain(word), 'latin1').toString()
    return { dir: utf8(fields[4]!), type, source: utf8(source), device: fields[2]! }
  })
}

/** A directory to mount on, as its real path. ENOENT, ENOTDIR; EBUSY: this very thing is mounted there. */
export function placeOf(dir: string, source: string): string {
  const path = join(realpathSync(dirname(resolve(dir))), basename(resolve(dir))), there = mounted().findLast((one) => one.dir === path)
  if (there?.type === 'fuse.ninefold') throw errno('EBUSY', there.source === source ? 'it is mounted there already' : `${there.source} is mounted there`, path)
  const real = realpathSync(dir)
  if (!statSync(real).isDirectory()) throw errno('ENOTDIR', 'mount', dir)
  return real
}

/** Mounts, and gives the descriptor by which the kernel asks. Throws Errors whose message says all. */
export async function attachKernel(source: string, dir: string, options: MountOptions): Promise<number> {
  if (process.getuid!() !== 0) return byHelper(source, dir, options)
  let fd: number
  try {
    fd = openSync('/dev/fuse', constants.O_RDWR | constants.O_NONBLOCK)
  } catch (e) {
    const code = (e as NodeJS.ErrnoException).code
    throw new Error(`/dev/fuse can't be opened (${code}). ${code === 'ENOENT' || code === 'ENODEV' ? 'Load the kernel\'s module: modprobe fuse' : 'In a container it has to be let in: --device /dev/fuse --cap-add SYS_ADMIN'}`, { cause: e })
  }
  const data = [`fd=${fd}`, `rootmode=${S.IFDIR.toString(8)}`, 'user_id=0', 'group_id=0', ...shared(options)].join(',')
  try { sys.mount(source, dir, 'fuse.ninefold', options.flags, data) } catch (e) {
    sys.close(fd)
    throw e
  }
  return fd
}
function shared({ allowOther, defaultPermissions }: MountOptions): string[] { return [...allowOther ? ['allow_other'] : [], ...defaultPermissions ? ['default_permissions'] : []] }

async function byHelper(source: string, dir: string, options: MountOptions): Promise<number> {
  const [ours, theirs] = sys.socketpair()
  try {
    const words = [...options.words, `fsname=${source.replace(/[\\,]/g, '\\$&')}`, 'subtype=ninefold', ...shared(options)].join(',')
    const { status, said } = await run('fusermount3', ['-o', words, '--', dir], theirs)
    if (status !== 0) {
      const why = said.replace(/^fusermount3: /gm, '').replace(`${dir}: `, '').trim()
      throw new Error(why.includes('/dev/fuse: Permission denied') ? `${why}. It wants to be everybody's: chmod 666 /dev/fuse` : why || `fusermount3 ended with ${status}`)
    }
    const fd = sys.receiveDescriptor(ours)
    if (fd === undefined) throw new Error('fusermount3 sent no descriptor')
    return fd
  } finally {
    sys.close(ours)
    sys.close(theirs)
  }
}

/** Has the kernel read ahead in requests of this size: by itself it takes 128 KiB, and a request costs the same whatever its size. Root only. */
export function readAhead(dir: string, bytes: number): void {
  const device = mounted().findLast((one) => one.dir === dir)?.device
  try { writeFileSync(`/sys/class/bdi/${device}/read_ahead_kb`, String(bytes / 1024)) } catch { /* then as it is */ }
}

/** Unmounts. lazy: out of sight at once, and in full when nobody is in it any more. Throws an Error that says why not. */
export async function detachKernel(dir: string, lazy: boolean): Promise<void> {
  const [program, ...args] = process.getuid!() === 0 ? ['umount', ...lazy ? ['-l'] : []] : ['fusermount3', '-u', ...lazy ? ['-z'] : []]
  const { status, said } = await run(program!, [...args, '--', dir])
  if (status !== 0) throw new Error(/busy/i.test(said) ? 'it is in use (fuser -vm tells by whom). With --lazy it goes when they have gone' : said.replace(/^(u|fuser)mount3?: /gm, '').trim())
}

/** Runs a program; socket: a descriptor that it gets as number 3, and is told of as fusermount3 is. */
function run(program: string, args: readonly string[], socket?: number): Promise<{ readonly status: number | null; readonly said: string }> {
  return new Promise((done, fail) => {
    const child = spawn(program, args, {
      stdio: ['ignore', 'ignore', 'pipe', ...socket === undefined ? [] : [socket]], cwd: '/',
      env: { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin`, LC_ALL: 'C', ...socket === undefined ? {} : { _FUSE_COMMFD: '3' } },
    })
    let said = ''
    child.stderr!.setEncoding('utf8').on('data', (text: string) => { said += text })
    child.once('error', (e: NodeJS.ErrnoException) => fail(e.code === 'ENOENT' ? new Error(`${program} is missing. Install it: apt-get install ${program === 'umount' ? 'mount' : 'fuse3'}`) : e))
    child.once('close', (status) => done({ status, said }))
  })
}
