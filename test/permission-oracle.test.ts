// The kernel as the oracle of permission.ts and acl.ts: the same operation is done by the kernel, as some user, on real
// files of random modes, owners and ACLs, and predicted by us from their attributes. Both must say the same errno or, where
// it is allowed, leave the same mode, owner and ACLs.

import { chmodSync, chownSync, closeSync, existsSync, ftruncateSync, linkSync, lstatSync, mkdirSync, mkdtempSync, openSync, readFileSync, renameSync, rmSync, rmdirSync, symlinkSync, unlinkSync, writeFileSync, writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Errno, O, S, errno, errnos } from 'ninep'
import type { Attr, SetAttr } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { afterSetAcl, afterWrite, changes, mayCreate, mayLink, mayMknod, mayOpen, mayRename, mayUnlink, mayWalk, mayXattr, newFile } from '../server/permission.ts'
import type { User } from '../server/permission.ts'
import { ACL_ACCESS, ACL_DEFAULT, Tag, chmodAcl, equivalentMode, formatAcl, inherit, modeAfterSetAcl, parseAcl } from '../translators/acl.ts'
import type { AclEntry } from '../translators/acl.ts'
import { dice } from '../server/dice.ts'
import { skipping } from './needs.ts'

const test = suite('permission, by the kernel')
const ROUNDS = 1500, ACLS = 2000
/** Where files are made: in memory where there is such a place, since each round makes a dozen. */
const PLACE = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

// Calls that Node does not have, by path.
interface Koffi { load(path: string): { func(signature: string): (...args: unknown[]) => number }; errno(): number }
const koffi = createRequire(import.meta.url)('koffi') as Koffi
const libc = koffi.load('libc.so.6')
const native = {
  truncate: libc.func('int truncate(const char *path, int64_t size)'),
  mknod: libc.func('int mknod(const char *path, uint32_t mode, uint64_t dev)'),
  utimensat: libc.func('int utimensat(int dir, const char *path, const void *times, int flags)'),
  lgetxattr: libc.func('int64_t lgetxattr(const char *path, const char *name, _Out_ void *value, size_t size)'),
  lsetxattr: libc.func('int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags)'),
  lremovexattr: libc.func('int lremovexattr(const char *path, const char *name)'),
}
function call(name: keyof typeof native, ...args: unknown[]): number {
  const n = Number(native[name](...args))
  if (n < 0) {
    const number = koffi.errno()
    throw Object.assign(new Error(name), { code: Object.entries(errnos).find(([, value]) => value === number)?.[0] ?? String(number) })
  }
  return n
}
function getxattr(path: string, name: string): Uint8Array | undefined {
  const value = new Uint8Array(4096)
  try { return value.slice(0, call('lgetxattr', path, name, value, value.length)) } catch (e) {
    if (code(e) === 'ENODATA' || code(e) === 'EOPNOTSUPP') return undefined
    throw e
  }
}
const setxattr = (path: string, name: string, value: Uint8Array) => call('lsetxattr', path, name, value, value.length, 0)

function code(e: unknown): string {
  const c = e instanceof Error && 'code' in e ? e.code : undefined
  if (typeof c !== 'string') throw e
  return c
}
function outcome(f: () => unknown): string {
  try { f(); return 'done' } catch (e) { return code(e) }
}

/** Runs f with the file system rights of this user. */
function as<T>(user: User, f: () => T): T {
  process.setgroups!([...user.groups])
  process.setegid!(user.gid)
  process.seteuid!(user.uid)
  try { return f() } finally {
    process.seteuid!(0)
    process.setegid!(0)
    process.setgroups!([])
  }
}

interface Seen { readonly attr: Attr; readonly default: Uint8Array | undefined }
/** What a server knows of the file. */
function look(path: string): Seen {
  const s = lstatSync(path), acl = getxattr(path, ACL_ACCESS), time = { sec: 0, nsec: 0 }
  const attr: Attr = {
    valid: 0, qid: { type: 0, version: 0, path: BigInt(s.ino) }, mode: s.mode, uid: s.uid, gid: s.gid, nlink: s.nlink, rdev: 0n, size: s.size, blksize: 4096, blocks: 0,
    atime: time, mtime: time, ctime: time, btime: time, gen: 0n, dataVersion: 0n, ...(acl ? { acl } : {}),
  }
  return { attr, default: (s.mode & S.IFMT) === S.IFDIR ? getxattr(path, ACL_DEFAULT) : undefined }
}
/** What is compared afterwards. */
interface Left { readonly mode: string; readonly uid: number; readonly gid: number; readonly acl: string; readonly default: string }
function left(mode: number, uid: number, gid: number, acl: Uint8Array | undefined, fallback: Uint8Array | undefined): Left {
  const say = (bytes: Uint8Array | undefined) => bytes ? Buffer.from(bytes).toString('hex') : ''
  return { mode: (mode & 0o7777).toString(8), uid, gid, acl: say(acl), default: say(fallback) }
}
function leftAt(path: string): Left {
  const seen = look(path)
  return left(seen.attr.mode, seen.attr.uid, seen.attr.gid, seen.attr.acl, seen.default)
}

/** Whether this process can do as root all that root can: a container's root often can't. */
function wholeRoot(): boolean {
  const effective = BigInt('0x' + /^CapEff:\s*(\w+)/m.exec(readFileSync('/proc/self/status', 'latin1'))![1]!)
  return [0, 1, 2, 3, 4, 21, 27].every((capability) => effective >> BigInt(capability) & 1n)
}

function randomAcl(roll: (n: number) => number): Uint8Array {
  const entries: AclEntry[] = [{ tag: Tag.USER_OBJ, perm: roll(8), id: 0xffffffff }]
  for (const id of [1000, 1001]) if (roll(2)) entries.push({ tag: Tag.USER, perm: roll(8), id })
  entries.push({ tag: Tag.GROUP_OBJ, perm: roll(8), id: 0xffffffff })
  for (const id of [2000, 2001]) if (roll(2)) entries.push({ tag: Tag.GROUP, perm: roll(8), id })
  if (entries.length > 2 || roll(2)) entries.push({ tag: Tag.MASK, perm: roll(3) ? 7 : roll(8), id: 0xffffffff })
  entries.push({ tag: Tag.OTHER, perm: roll(8), id: 0xffffffff })
  return formatAcl(entries)
}

const declare = process.getuid?.() === 0 ? test : skipping(test, 'needs root, to become other users')

declare('an ACL is one to us as it is to the kernel', () => {
  const folder = mkdtempSync(join(PLACE, 'ninefold-acl-')), file = join(folder, 'file'), roll = dice(1)
  writeFileSync(file, '')
  try {
    for (let i = 0; i < ACLS; i++) {
      const bytes = randomAcl(roll), view = new DataView(bytes.buffer), entry = (n: number) => 4 + 8 * n
      const count = (bytes.length - 4) / 8
      let value = bytes
      for (let n = roll(3); n > 0; n--) {
        switch (roll(7)) {
          case 0: view.setUint16(entry(roll(count)), [1, 2, 4, 8, 16, 32, 64, 3, 0][roll(9)]!, true); break
          case 1: view.setUint16(entry(roll(count)) + 2, roll(10), true); break
          case 2: view.setUint32(entry(roll(count)) + 4, roll(2) ? 0xffffffff : 1000, true); break
          case 3: value = value.slice(0, roll(value.length + 1)); break
          case 4: view.setUint32(0, 1 + roll(3), true); break
          case 5: value = value.slice(0, entry(roll(count + 1))); break
          case 6: { const [a, b] = [entry(roll(count)), entry(roll(count))]; bytes.copyWithin(a, b, b + 8); break }
        }
      }
      const ours = outcome(() => { parseAcl(value) }), kernels = outcome(() => setxattr(file, ACL_ACCESS, value))
      assert.is(ours, kernels, `round ${i}: ${Buffer.from(value).toString('hex')}`)
      if (ours !== 'done' || !parseAcl(value)) continue
      const mode = lstatSync(file).mode
      assert.is(mode & 0o777, modeAfterSetAcl(value, 0), `round ${i}: mode`)
      assert.is(getxattr(file, ACL_ACCESS) === undefined, equivalentMode(value) !== undefined, `round ${i}: kept`)
    }
  } finally { rmSync(folder, { recursive: true }) }
})

declare('what a user may do, and what it leaves, is what the kernel says', () => {
  const umask = process.umask(0), folder = mkdtempSync(join(PLACE, 'ninefold-oracle-')), roll = dice(2)
  chmodSync(folder, 0o755)
  const pick = <T>(...from: readonly T[]) => from[roll(from.length)]!
  const whole = wholeRoot(), hardlinks = readFileSync('/proc/sys/fs/protected_hardlinks', 'latin1').trim() === '1'
  const probe = join(folder, 'probe')
  writeFileSync(probe, '')
  const userXattrs = outcome(() => setxattr(probe, 'user.x', new Uint8Array(1))) === 'done'
  const counts = new Map<string, number>()
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const root = join(folder, String(round)), d = join(root, 'd'), e = join(root, 'e'), f = join(d, 'f'), g = join(e, 'g')
      mkdirSync(root)
      const mode = () => pick(0o777, 0o700, 0o070, 0o007, 0o755, roll(512), roll(512)) | pick(0, 0, 0, S.ISUID, S.ISGID, S.ISGID, S.ISVTX, roll(8) << 9)
      const uid = () => pick(0, 1000, 1000, 1001), gid = () => pick(0, 2000, 2000, 2001)
      /** Owner, ACLs and mode, in an order in which none undoes another. */
      const dress = (path: string, isDir: boolean) => {
        chownSync(path, uid(), gid())
        if (!roll(3)) setxattr(path, ACL_ACCESS, randomAcl(roll))
        if (isDir && !roll(3)) setxattr(path, ACL_DEFAULT, randomAcl(roll))
        if (roll(4)) chmodSync(path, isDir && roll(2) ? mode() | 0o777 : mode())
      }
      const type = pick('file', 'file', 'file', 'directory', 'fifo', 'symlink')
      const make = (path: string) => {
        if (type === 'symlink') return symlinkSync('nowhere', path)
        if (type === 'file') writeFileSync(path, 'some')
        else if (type === 'directory') mkdirSync(path)
        else call('mknod', path, S.IFIFO | 0o600, 0)
        dress(path, type === 'directory')
      }
      mkdirSync(d)
      mkdirSync(e)
      make(f)
      const target = roll(2) === 1
      if (target) make(g)
      dress(d, true)
      dress(e, true)
      const userGid = pick(1000, 2000, 2001)
      const user: User = { uid: pick(1000, 1000, 1000, 1001, ...(whole ? [0] : [])), gid: userGid, groups: new Set([userGid, ...pick<number[]>([], [2000], [2001], [2000, 2001])]) }
      const dir = look(d), other = look(e), file = look(f), over = target ? look(g) : undefined
      const isFile = type === 'file', fresh = join(d, 'new')

      let said: string, done: string, path = f
      let expect: Left | undefined = leftAt(f)
      const walked = (decide: () => void) => outcome(() => { mayWalk(user, dir.attr); decide() })
      const born = (asked: number, isDir: boolean, link = false) => {
        const { mode, owner } = newFile(user, dir.attr, asked, 0xffffffff, isDir)
        const got = link ? { mode: 0o777 } : inherit(dir.default, mode, isDir)
        path = fresh
        expect = left(got.mode, owner.uid, owner.gid, 'access' in got ? got.access : undefined, 'default' in got ? got.default : undefined)
      }
      /** What is left once these changes are applied, as a translator does. */
      const applied = (set: SetAttr) => {
        const mode = set.mode ?? file.attr.mode, acl = file.attr.acl && chmodAcl(file.attr.acl, mode)
        expect = left(mode, set.uid ?? file.attr.uid, set.gid ?? file.attr.gid, acl, file.default)
      }

      const op = pick('open', 'create', 'mkdir', 'mknod', 'symlink', 'unlink', 'rename', 'link', 'chmod', 'chown', 'truncate', 'ftruncate', 'write', 'utimes', 'getxattr', 'setxattr', 'removexattr', 'acl')
      let detail = ''
      switch (op) {
        case 'open': {
          const flags = pick(O.RDONLY, O.WRONLY, O.RDWR) | pick(0, 0, O.TRUNC) | pick(0, 0, O.NOATIME) | pick(0, 0, 0, O.DIRECTORY)
          detail = flags.toString(16)
          said = walked(() => {
            mayOpen(user, file.attr, flags)
            if (isFile && flags & O.TRUNC) applied(changes(user, file.attr, { size: 0 }, { writable: true }))
          })
          done = as(user, () => outcome(() => closeSync(openSync(f, flags | O.NONBLOCK | O.NOFOLLOW))))
          if (done === 'ENXIO') done = 'done'               // a FIFO that nobody reads: it was allowed
          break
        }
        case 'create': {
          const asked = mode()
          said = walked(() => { mayCreate(user, dir.attr); born(asked, false) })
          done = as(user, () => outcome(() => closeSync(openSync(fresh, O.CREAT | O.EXCL | O.RDWR, asked))))
          break
        }
        case 'mkdir': {
          const asked = mode()
          said = walked(() => { mayCreate(user, dir.attr); born(asked, true) })
          done = as(user, () => outcome(() => mkdirSync(fresh, asked)))
          break
        }
        case 'mknod': {
          const asked = mode() | pick(S.IFIFO, S.IFSOCK, S.IFREG, S.IFCHR, S.IFBLK), rdev = pick(0n, 0x103n)
          detail = asked.toString(8)
          said = walked(() => { mayMknod(user, dir.attr, asked, rdev); born(asked, false) })
          done = as(user, () => outcome(() => call('mknod', fresh, asked, rdev)))
          break
        }
        case 'symlink':
          said = walked(() => { mayCreate(user, dir.attr); born(0o777, false, true) })
          done = as(user, () => outcome(() => symlinkSync('x', fresh)))
          break
        case 'unlink':
          said = walked(() => mayUnlink(user, dir.attr, file.attr))
          done = as(user, () => outcome(() => type === 'directory' ? rmdirSync(f) : unlinkSync(f)))
          expect = undefined
          break
        case 'rename': {
          const to = pick(g, g, fresh)
          said = walked(() => {
            if (to === g) mayWalk(user, other.attr)
            mayRename(user, { from: dir.attr, source: file.attr, to: to === g ? other.attr : dir.attr, ...(to === g && over ? { target: over.attr } : {}) })
            path = to
          })
          done = as(user, () => outcome(() => renameSync(f, to)))
          break
        }
        case 'link':
          if (!hardlinks || target) continue
          said = walked(() => { mayWalk(user, other.attr); mayLink(user, file.attr, other.attr) })
          done = as(user, () => outcome(() => linkSync(f, g)))
          break
        case 'chmod': {
          if (type === 'symlink') continue
          const asked = mode()
          said = walked(() => applied(changes(user, file.attr, { mode: asked }, null)))
          done = as(user, () => outcome(() => chmodSync(f, asked)))
          // Kernels clear these two bits for a writer in a chmod of their own: that one is allowed here.
          if (said === 'done' && done === 'EPERM' && ((asked ^ file.attr.mode) & 0o1777) === 0) continue
          break
        }
        case 'chown': {
          if (type === 'symlink') continue
          const to = { ...pick({}, { uid: uid() }), ...pick({}, { gid: gid() }) } as { uid?: number; gid?: number }
          if (to.uid === undefined && to.gid === undefined) continue
          detail = JSON.stringify(to)
          said = walked(() => applied(changes(user, file.attr, to, null)))
          done = as(user, () => outcome(() => chownSync(f, to.uid ?? 0xffffffff, to.gid ?? 0xffffffff)))
          break
        }
        case 'truncate':
          if (type === 'symlink') continue
          said = walked(() => applied(changes(user, file.attr, { size: 2 }, null)))
          done = as(user, () => outcome(() => call('truncate', f, 2)))
          break
        case 'ftruncate': {
          if (!isFile) continue
          const fd = openSync(f, O.RDWR)
          said = outcome(() => applied(changes(user, file.attr, { size: 2, mtime: 'now' }, { writable: true })))
          done = as(user, () => outcome(() => ftruncateSync(fd, 2)))
          closeSync(fd)
          break
        }
        case 'write': {
          if (!isFile) continue
          const fd = openSync(f, O.RDWR), after = afterWrite(user, file.attr)
          said = 'done'
          if (after !== null) applied({ mode: after })
          done = as(user, () => outcome(() => writeSync(fd, 'x')))
          closeSync(fd)
          break
        }
        case 'utimes': {
          const [NOW, OMIT] = [(1n << 30n) - 1n, (1n << 30n) - 2n]
          const which = pick(null, [NOW, NOW], [NOW, OMIT], [OMIT, NOW], [5n, OMIT], [NOW, 5n], [7n, 5n]) as bigint[] | null
          detail = String(which)
          const wire = (nsec: bigint) => nsec === NOW ? 'now' as const : { sec: 0, nsec: Number(nsec) }
          const set: SetAttr = which === null ? { atime: 'now', mtime: 'now' } : { ...(which[0] === OMIT ? {} : { atime: wire(which[0]!) }), ...(which[1] === OMIT ? {} : { mtime: wire(which[1]!) }) }
          said = walked(() => { changes(user, file.attr, set, null) })
          const times = which && new BigInt64Array([0n, which[0]!, 0n, which[1]!])
          done = as(user, () => outcome(() => call('utimensat', -100, f, times && new Uint8Array(times.buffer), 0x100)))
          break
        }
        case 'getxattr': case 'setxattr': case 'removexattr': {
          const name = pick('user.x', 'user.x', 'trusted.x', 'security.x', 'other.x', 'user.', ACL_ACCESS, ACL_DEFAULT)
          if (name === 'user.x' && !userXattrs) continue
          if (!name.startsWith('system.') && outcome(() => mayXattr(rootUser, file.attr, name, 'set')) === 'done' && roll(2)) setxattr(f, name, new Uint8Array(1))
          if (op === 'setxattr' && name.startsWith('system.')) continue
          detail = name
          const what = op.slice(0, 3) as 'get' | 'set' | 'rem'
          said = walked(() => mayXattr(user, file.attr, name, what === 'rem' ? 'remove' : what))
          done = as(user, () => outcome(() => what === 'get' ? call('lgetxattr', f, name, new Uint8Array(999), 999)
            : what === 'set' ? call('lsetxattr', f, name, new Uint8Array(3), 3, 0) : call('lremovexattr', f, name)))
          if (said === 'done' && done === 'ENODATA') done = 'done'
          if (name.startsWith('system.') && op === 'removexattr') expect = undefined        // it was there, or not
          break
        }
        case 'acl': {
          if (type === 'symlink') continue
          const name = pick(ACL_ACCESS, ACL_ACCESS, ACL_DEFAULT), acl = randomAcl(roll)
          detail = `${name} ${Buffer.from(acl).toString('hex')}`
          said = walked(() => {
            mayXattr(user, file.attr, name, 'set')
            if (name === ACL_DEFAULT) { expect = left(file.attr.mode, file.attr.uid, file.attr.gid, file.attr.acl, acl); return }
            const set = modeAfterSetAcl(acl, file.attr.mode), after = afterSetAcl(user, { ...file.attr, mode: set }) ?? set
            expect = left(after, file.attr.uid, file.attr.gid, equivalentMode(acl) === undefined ? acl : undefined, file.default)
          })
          done = as(user, () => outcome(() => setxattr(f, name, acl)))
          break
        }
      }
      const story = () => `round ${round}: ${op} ${detail} of a ${type} by ${user.uid}:${user.gid} {${[...user.groups]}}\n`
        + `f ${JSON.stringify(left(file.attr.mode, file.attr.uid, file.attr.gid, file.attr.acl, file.default))}\nd ${JSON.stringify(left(dir.attr.mode, dir.attr.uid, dir.attr.gid, dir.attr.acl, dir.default))}\n`
        + `e ${JSON.stringify(left(other.attr.mode, other.attr.uid, other.attr.gid, other.attr.acl, other.default))} ${over ? JSON.stringify(left(over.attr.mode, over.attr.uid, over.attr.gid, over.attr.acl, over.default)) : ''}`
      assert.is(said, done, `${story()}\nours ${said}, the kernel's ${done}`)
      if (done === 'done' && expect) assert.equal(leftAt(path), expect, story())
      const key = `${op} ${done === 'done' ? 'allowed' : 'refused'}`
      counts.set(key, (counts.get(key) ?? 0) + 1)
      rmSync(root, { recursive: true })
    }
    // Each operation was seen to be allowed, and (all but the two that need only a descriptor) to be refused.
    for (const op of ['open', 'create', 'mkdir', 'mknod', 'symlink', 'unlink', 'rename', 'link', 'chmod', 'chown', 'truncate', 'utimes', 'acl']) {
      for (const end of ['allowed', 'refused']) if (op !== 'link' || hardlinks) assert.ok((counts.get(`${op} ${end}`) ?? 0) > 5, `${op} was ${end} ${counts.get(`${op} ${end}`) ?? 0} times`)
    }
  } finally {
    process.umask(umask)
    rmSync(folder, { recursive: true, force: true })
  }
})
const rootUser: User = { uid: 0, gid: 0, groups: new Set([0]) }

test.run()
