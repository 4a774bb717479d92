// What the guest boots: Debian's kernel, unpacked once into a cache folder, and an initramfs made at each start.

import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** The modules the guest needs, in the order that insmod needs; those built in or not known to a kernel are left out. */
const order = [
  'virtio_ring', 'virtio', 'virtio_pci_modern_dev', 'virtio_pci_legacy_dev', 'virtio_pci', 'netfs', 'fscache', '9pnet', '9pnet_virtio', '9p',
  'overlay', 'virtio_console', 'failover', 'net_failover', 'virtio_net', '9pnet_fd',
]

export interface Kernel { readonly vmlinux: string; readonly modules: string; readonly release: string }

/** Debian's generic kernel (its cloud kernel has no 9p), from the cache folder or by apt. Throws with apt's own words. */
export async function kernel(): Promise<Kernel> {
  const { stdout } = await run('apt-cache', ['depends', 'linux-image-amd64'])
  const name = /Depends: (linux-image-\d\S*)/.exec(stdout)?.[1]
  if (!name) throw new Error('apt knows no linux-image-amd64: run apt-get update')
  const cache = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'ninefold-guest')
  const home = join(cache, name)
  if (!existsSync(home)) {
    await mkdir(cache, { recursive: true })
    const work = await mkdtemp(join(cache, 'work-'))
    try {
      await unpack(name, work)
      await rename(work, home).catch((e) => { if (!existsSync(home)) throw e })      // another run may have been first
    } finally {
      await rm(work, { recursive: true, force: true })
    }
  }
  return { vmlinux: join(home, 'vmlinux'), modules: join(home, 'modules'), release: name.replace('linux-image-', '') }
}

async function unpack(name: string, work: string): Promise<void> {
  await run('apt-get', ['download', '-q', name], { cwd: work })
  const deb = (await readdir(work)).find((file) => file.endsWith('.deb'))!
  const wanted = ['fs/9p', 'net/9p', 'fs/netfs', 'fs/fscache', 'fs/overlayfs', 'drivers/virtio', 'drivers/net/virtio_net.ko', 'drivers/net/net_failover.ko',
    'net/core/failover.ko', 'drivers/char/virtio_console.ko'].map((path) => `./lib/modules/*/kernel/${path}*`)
  await run('sh', ['-c', 'deb=$1; shift; dpkg-deb --fsys-tarfile "$deb" | tar -x --wildcards ./boot/vmlinuz-* "$@"', 'sh', deb, ...wanted], { cwd: work })
  const boot = join(work, 'boot')
  await writeFile(join(work, 'vmlinux.xz'), payload(await readFile(join(boot, (await readdir(boot))[0]!))))
  await run('xz', ['--decompress', '--single-stream', '--quiet', 'vmlinux.xz'], { cwd: work })
  await mkdir(join(work, 'modules'))
  for (const file of await readdir(join(work, 'lib'), { recursive: true })) {
    if (file.endsWith('.ko')) await rename(join(work, 'lib', file), join(work, 'modules', basename(file)))
  }
  for (const left of [deb, 'boot', 'lib']) await rm(join(work, left), { recursive: true })
}

/** The packed vmlinux inside a bzImage. QEMU boots the unpacked one (its PVH entry): unpacking under TCG costs two seconds a boot.
 *  Source: Documentation/arch/x86/boot.rst, payload_offset and payload_length. */
function payload(image: Buffer): Buffer {
  const start = ((image[0x1f1] || 4) + 1) * 512 + image.readUInt32LE(0x248)
  return image.subarray(start, start + image.readUInt32LE(0x24c) - 4)              // less the length that the kernel's build appends
}

/** Writes an initramfs of the modules and `init`. */
export async function initramfs(to: string, { modules }: Kernel, init: string): Promise<void> {
  const known = order.filter((name) => existsSync(join(modules, `${name}.ko`)))
  const parts: Buffer[] = []
  let inode = 0
  const add = (name: string, mode: number, bytes: Buffer | string = '') => {       // "newc" of cpio(5)
    const head = [++inode, mode, 0, 0, 1, 0, bytes.length, 0, 0, 0, 0, name.length + 1, 0].map((n) => n.toString(16).padStart(8, '0')).join('')
    for (const part of [`070701${head}${name}\0`, bytes]) {
      const body = Buffer.from(part)
      const before = parts.reduce((sum, p) => sum + p.length, 0)
      parts.push(body, Buffer.alloc(-(before + body.length) & 3))
    }
  }
  for (const dir of ['modules', 'dev', 'proc', 'sys', 'lower', 'upper', 'root']) add(dir, 0o40755)
  for (const name of known) add(`modules/${name}.ko`, 0o100644, await readFile(join(modules, `${name}.ko`)))
  add('modules/order', 0o100644, known.join('\n'))
  add('init', 0o100755, await readFile(init))
  add('TRAILER!!!', 0)
  await writeFile(to, Buffer.concat(parts))
}
