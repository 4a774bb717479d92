// One guest and its server: mounts as a chapter of examples/qemu says, works through lists, and keeps what tells of a failure.

import { once } from 'node:events'
import { chmod, cp, mkdir, readdir, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../foreign.ts'
import { missing } from '../needs.ts'
import { root } from './build.ts'
import { capture } from './capture.ts'
import { chapter, twice, type Way } from './chapters.ts'
import { Guest } from './guest.ts'
import { initramfs, type Kernel } from './kernel.ts'
import { places, type Cache, type Dialect, type Entry, type Result, type Tools } from './list.ts'
import { passive } from './passive.ts'
import type { Report } from './report.ts'
import { serve } from './serve.ts'

export const backends = ['posix', 'memory'] as const
export type Backend = (typeof backends)[number]
/** dialect: where it is none of the older ones, 9p2000.L. */
export interface Mount { readonly backend: Backend; readonly cache: Cache; readonly dialect?: Dialect; readonly list: readonly Entry[] }
/** name: of its folders and in the report. */
export interface Boot { readonly name: string; readonly way: Way; readonly mounts: readonly Mount[] }
/** What all boots have in common. */
export interface Setting {
  readonly machine: Kernel & { readonly agent: string; readonly counterKHz: number }
  readonly tools: Tools
  readonly report: Report
  readonly home: string                                   // each boot has a folder in it
  readonly output: string                                 // where the remains of a failure go
}

/** The chapter's lines for a mount: at `dir`, with what this run changes. */
function mountLine(line: string, dir: string, { backend, cache, dialect = '9p2000.L' }: Mount, aname = backend === 'posix' ? '' : `/${backend}`): string {
  const more = [...(cache === 'none' ? [] : [`cache=${cache}`]), ...(aname === '' ? [] : [`aname=${aname}`])]
  if (dialect !== '9p2000.L') line = line.replace('posixacl,', '').replace('version=9p2000.L,access=client', `version=${dialect}`)
  // A client of 9P2000 knows users by name, and one for all: it, who owns the files to the guest's root, too.
  if (dialect === '9p2000') more.push(`uname=${userInfo().username}`, 'dfltuid=0', 'dfltgid=0')
  return line.replace(/(msize=\d+)(.*) \/mnt\b/, (_, msize: string, rest: string) => `${[msize, ...more].join(',')}${rest} ${dir}`)
}

/** What a mount is called. */
export function named({ backend, cache, dialect }: Mount): string { return `${backend} ${dialect ?? `cache=${cache}`}` }

/** Where the boot's mounts are to be made, and by which lines: the chapter's, and the same on a second connection. */
interface Lines { readonly mount: string; readonly second: string; readonly url: string }

/** Mounts, once as the chapter has it and once more (without ACLs, as many do), does the list, and unmounts. True: all went well. */
async function work(guest: Guest, name: string, mount: Mount, { mount: line, second, url }: Lines, { report, tools }: Setting): Promise<boolean> {
  const { backend, cache, dialect = '9p2000.L', list } = mount, how = dialect === '9p2000.L' ? cache : dialect
  const where = `${name} ${named(mount)}`
  const at = dialect !== '9p2000.L' ? `/mnt-${backend}-${dialect}` : backend === 'posix' ? '/mnt' : `/mnt-${backend}`, other = `${at === '/mnt' ? '/mnt-posix' : at}-2`
  const demand = async (lines: string, limit: number) => {
    const ran = await guest.sh(lines, { limit })
    if (ran.status !== 0) throw new Error(`${lines}: ${ran.late ? `not done within ${limit} s` : ran.err}`)
  }
  const attempt = async (name: string, does: () => Promise<readonly Result[] | void>) => {
    const started = performance.now()
    const results = await does().then((some) => some ?? [{ name, how: 'ok' as const }], (e: Error) => [{ name, how: 'not ok' as const, why: e.message }])
    return report.add(where, name, results, (performance.now() - started) / 1000)
  }
  const mounted = await attempt('mount', async () => {
    await demand(`mkdir -p ${at} ${other}\n${mountLine(line, at, mount)}`, 30)
    await demand(`${mountLine(second.replace('posixacl,', ''), other, mount)}\nmkdir -m 777 ${at}/${how}`, 30)
  })
  if (!mounted) return false
  let well = true
  for (const [i, entry] of list.entries()) {
    if (entry.only !== undefined && entry.only !== where) continue
    const dir = `${how}/${i}`, lacks = (entry.needs ?? []).map(missing).filter((reason) => reason !== undefined)
    well = await attempt(entry.name, async () => {
      if (lacks.length > 0) return [{ name: entry.name, how: 'skip', why: lacks.join(' ') }]
      await demand(`mkdir -m 777 ${at}/${dir}`, 10)
      const path = `${backend === 'posix' ? '' : backend}/${dir}`
      const more = (aname: string, dir: string) => demand(`mkdir -p ${dir}\n${mountLine(line, dir, mount, aname)}`, 30)
      return entry.run({ guest, dir: `${at}/${dir}`, other: `${other}/${dir}`, url, path, cache, dialect, tools, mount: more })
    }) && well
    await guest.sh(`rm -rf ${at}/${dir}`, { limit: 120 }).catch(() => {})
  }
  return await attempt('unmount', () => demand(`umount ${other}; umount ${at}`, 60)) && well
}

/** Starts a server and a guest, and makes all its mounts. Never throws: what goes wrong is in the report. */
export async function boot({ name, way, mounts }: Boot, setting: Setting): Promise<void> {
  const { machine, tools, report } = setting, home = join(setting.home, name)
  let well = true
  try {
    await mkdir(join(home, 'export'), { recursive: true })
    await mkdir(join(home, 'run'))
    await chmod(join(home, 'export'), 0o777)
    await mkdir(join(home, 'fixed/d'), { recursive: true })
    await writeFile(join(home, 'fixed/f'), 'text')
    await writeFile(join(home, 'places.yaml'), places)
    const port = await freePort(), lines = twice(way, chapter(way, port))
    const url = way === 'tcp' ? `tcp://127.0.0.1:${port}` : `unix:${home}/run/ninefold.sock`
    // The chapter's line, with what only root has: devices and trusted.* of a host directory; and other places beside it.
    const more = ['--at', `/=posix ./export ${process.getuid!() === 0 ? 'devices=on host-caps=on' : 'owner=mapped'}`, '--at', '/memory=memory', 'places.yaml']
    await using server = await serve(home, [...lines.serve, ...more])
    await initramfs(join(home, 'initramfs'), machine, machine.agent)
    await using guest = await Guest.boot({ ...machine, initramfs: join(home, 'initramfs'), devices: lines.devices, home, cwd: home })
    // As udev would. The agent's own port is among them.
    await guest.sh('mkdir /dev/virtio-ports; for port in /sys/class/virtio-ports/*; do ln -s ../${port##*/} /dev/virtio-ports/$(cat $port/name); done', { limit: 10 })
    // By TCP both translators at once: a guest waits more than it works. The other ways have one connection for each mount.
    const lanes = way === 'tcp' ? backends.map((backend) => mounts.filter((mount) => mount.backend === backend)) : [mounts]
    await Promise.all(lanes.map(async (lane) => {
      for (const mount of lane) well = await work(guest, name, mount, { ...lines, url }, setting) && well
    }))
    if (name === 'tcp') {
      const started = performance.now()
      const results = await capture(guest, port, join(home, 'session.pcap'), lines.mount, tools.checker)
      well = report.add(name, 'the session is 9P to tshark', results, (performance.now() - started) / 1000) && well
      const begun = performance.now(), other = await freePort()
      const kept = await passive(guest, home, other, lines.mount.replaceAll(String(port), String(other)))
      well = report.add(name, 'passive translators, set and found again', kept, (performance.now() - begun) / 1000) && well
    }
    if (!well) await guest.keep()
  } catch (e) {
    well = report.add(name, 'boot', [{ name: 'boot', how: 'not ok', why: (e as Error).stack ?? String(e) }], 0)
  }
  if (!well) await keep(home, join(setting.output, name))
}

/** Copies what tells of a failure. */
async function keep(home: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true })
  for (const file of await readdir(home)) {
    if (/^(console\.log|dmesg|server\.log|session\.pcap)$/.test(file)) await cp(join(home, file), join(to, file))
  }
  console.log(`# see ${to.replace(`${root}/`, '')}`)
}
