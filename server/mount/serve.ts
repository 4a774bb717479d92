// A mount from its beginning to its end, in the process that serves it.

import { errno } from 'ninep'
import type { Log } from '../../translators/options.ts'
import { Link, rootOf } from './link.ts'
import { Mount } from './mount.ts'
import type { MountOptions } from './options.ts'
import { attachKernel, readAhead } from './place.ts'

/** Milliseconds for the kernel to say INIT. */
const PATIENCE = 10_000

/** Connects, mounts, and resolves when the mount can be used. url: of a server; dir: a real path. */
export async function mount(url: string, dir: string, options: MountOptions, log: Log): Promise<Mount> {
  const { msize, reconnect, aname } = options
  const link = await Link.open({ url, msize, reconnect, log })
  try {
    const { qid } = await rootOf(link.session!, process.getuid!(), aname)
    if ((qid.type & 0x80) === 0) throw errno('ENOTDIR', 'attach', aname)
    const fd = await attachKernel(url, dir, options), mount = new Mount(fd, { options, link, log, root: qid })
    mount.ended.catch(() => {})
    const late = new Promise<never>((_, fail) => { setTimeout(() => fail(errno('ETIMEDOUT', 'the kernel said nothing')), PATIENCE).unref() })
    await Promise.race([mount.begun, mount.ended.then(() => { throw errno('EIO', 'it was unmounted at once') }), late]).catch((e: unknown) => {
      mount.close()
      throw e
    })
    readAhead(dir, mount.maxWrite)
    return mount
  } catch (e) {
    await link.close()
    throw e
  }
}
