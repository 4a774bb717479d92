import * as fs from 'node:fs'
import { isErrno } from 'ninep'
import { BadOption, choice, flag, int, path, translator } from '../options.ts'
import * as sys from '../sys.ts'
import { Brick } from './brick.ts'
import { Descriptors } from './descriptors.ts'
import { HostOwner, MappedOwner, NoOwner, OWN } from './owner.ts'

const root = process.geteuid?.() === 0
/** What all bricks share that were given no budget of their own. */
let shared: Descriptors | undefined

/**
 * A directory of this machine. Confined to it by descriptors: nothing is ever reached by a path that was put together,
 * so a symbolic link planted in it leads nowhere. `owner` says how files belong to clients' users: see owner.ts.
 */
export const posix = translator({
  name: 'posix',
  about: 'A directory of this machine.',
  children: 0,
  concurrent: true,
  options: {
    path: path({ about: 'the directory to serve', positional: true }),
    owner: choice(['host', 'mapped', 'none'], {
      about: 'owners of files: the host\'s (needs root, and is the default there), kept in xattrs as QEMU does, or the server\'s own',
      default: root ? 'host' : 'none',
    }),
    devices: flag({ about: 'let device nodes be made and opened', default: false }),
    'host-caps': flag({ about: 'pass xattrs trusted.* and security.* on to the host', default: false }),
    'max-fds': int({ about: 'descriptors it may hold; 0: half of what the process may, shared with other bricks', default: 0 }),
  },
  start(options, _children, env) {
    const limit = sys.descriptorLimit()
    if (!fs.existsSync('/proc/self/fd')) throw new BadOption('posix: /proc is not mounted, and files are opened through /proc/self/fd. Mount it: mount -t proc proc /proc')
    const { owner, 'max-fds': own } = options
    if (owner === 'host' && !root) throw new BadOption('posix: owner=host gives files to other users, which takes root. Run the server as root, or write owner=mapped or owner=none.')
    if (own > 0 && own < 32) throw new BadOption(`posix: max-fds: ${own} is too few. Write at least 32, or 0.`)
    if (own > limit) throw new BadOption(`posix: max-fds: this process may hold ${limit} descriptors (ulimit -Hn). Write less, or raise that.`)
    const descriptors = own > 0 ? new Descriptors(own, true) : shared ??= new Descriptors(Math.min(limit >> 1, 65536))
    const ownership = owner === 'host' ? new HostOwner() : owner === 'mapped' ? new MappedOwner() : new NoOwner()
    let brick: Brick
    try { brick = new Brick(options.path, ownership, descriptors, options.devices, options['host-caps'], env.log) } catch (e) {
      if (isErrno(e)) throw new BadOption(`posix: ${options.path}: ${reasons[e.code] ?? e.message}`)
      throw e
    }
    if (owner === 'mapped' && !keepsXattrs(brick)) {
      throw new BadOption(`posix: ${options.path}: owner=mapped keeps owners in xattrs user.*, which this file system has not (tmpfs: since kernel 6.6). Write owner=none or take another.`)
    }
    return brick
  },
})

function keepsXattrs(brick: Brick): boolean {
  try { return sys.getxattr(brick.root.fd, `${OWN}uid`).length >= 0 } catch (e) { return !isErrno(e, 'EOPNOTSUPP') }
}
const reasons: Partial<Record<string, string>> = {
  ENOENT: 'there is no such directory. Make it: mkdir -p', ENOTDIR: 'is not a directory.', EACCES: 'this user may not enter it.',
}
