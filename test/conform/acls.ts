import * as assert from 'uvu/assert'
import { Attrs, O, S } from 'ninep'
import type { Node } from '../../translators/translator.ts'
import type { Group } from './promises.ts'
import { fails, file, has, later, mkdir, other, outcome, owner, same, stat, text, tick } from './tools.ts'

const ACCESS = 'system.posix_acl_access', DEFAULT = 'system.posix_acl_default'
const tags: Record<string, number> = { user: 2, group: 8, mask: 0x10, other: 0x20 }

/**
 * The value of an ACL written as getfacl does: 'user::rw-,user:7:r--,group::r--,mask::r--,other::---'. Layout, little-endian
 * (linux/include/uapi/linux/posix_acl_xattr.h): version[4] = 2, then for each entry tag[2] permissions[2] id[4], the id
 * being all ones where there is none.
 */
function acl(words: string): Uint8Array {
  const entries = words.split(',').map((word) => {
    const [kind, id, perm] = word.split(':') as [string, string, string]
    const tag = id === '' && kind === 'user' ? 1 : id === '' && kind === 'group' ? 4 : tags[kind]!
    const bits = (perm[0] === 'r' ? 4 : 0) | (perm[1] === 'w' ? 2 : 0) | (perm[2] === 'x' ? 1 : 0)
    return { tag, bits, id: id === '' ? 0xffffffff : Number(id) }
  })
  const bytes = Buffer.alloc(4 + 8 * entries.length)
  bytes.writeUInt32LE(2, 0)
  for (const [i, { tag, bits, id }] of entries.entries()) {
    bytes.writeUInt16LE(tag, 4 + 8 * i)
    bytes.writeUInt16LE(bits, 6 + 8 * i)
    bytes.writeUInt32LE(id, 8 + 8 * i)
  }
  return new Uint8Array(bytes)
}
const rich = 'user::rw-,user:7:rwx,group::r--,group:8:r-x,mask::rwx,other::---'

/** A directory with this default ACL. */
async function inheriting(root: Node, words: string): Promise<Node> {
  const d = await mkdir(root, 'd', 0o755)
  await d.setxattr(DEFAULT, acl(words), 0)
  return d
}
async function shows(node: Node, name: string): Promise<boolean> { return (await node.listxattr()).includes(name) }

export const acls: readonly Group[] = [
  {
    needs: ['acl'],
    promises: {
      'an access ACL is kept as it was set': async ({ root }) => {
        for (const [i, node] of [await file(root, 'f'), await mkdir(root, 'd')].entries()) {
          await node.setxattr(ACCESS, acl(rich), 0)
          same(await node.getxattr(ACCESS), acl(rich), i ? 'of a directory' : 'of a file')
          assert.ok(await shows(node, ACCESS))
        }
      },
      'getattr brings the access ACL along where it is asked for': async ({ root }) => {
        const f = await file(root, 'f')
        assert.is((await f.getattr(Attrs.BASIC | Attrs.ACL)).acl, undefined)
        await f.setxattr(ACCESS, acl(rich), 0)
        const attr = await f.getattr(Attrs.BASIC | Attrs.ACL)
        assert.ok(attr.acl)
        same(attr.acl, acl(rich))
        await using handle = await f.open(O.RDONLY)
        same((await handle.getattr(Attrs.BASIC | Attrs.ACL)).acl!, acl(rich))
      },
      'an access ACL is the mode: owner, mask and other': async ({ root }) => {
        const f = await file(root, 'f', '', 0o4600)
        await f.setxattr(ACCESS, acl('user::rwx,user:7:rw-,group::---,mask::rw-,other::r--'), 0)
        assert.is((await stat(f)).mode, S.IFREG | 0o4764)
      },
      'chmod is the access ACL: owner, mask and other': async ({ root }) => {
        const f = await file(root, 'f')
        await f.setxattr(ACCESS, acl(rich), 0)
        await f.setattr({ mode: 0o651 })
        same(await f.getxattr(ACCESS), acl('user::rw-,user:7:rwx,group::r--,group:8:r-x,mask::r-x,other::--x'))
        assert.is((await stat(f)).mode, S.IFREG | 0o651)
      },
      'an ACL that says no more than a mode is the mode alone': async ({ root }) => {
        const f = await file(root, 'f', '', 0o600)
        await f.setxattr(ACCESS, acl(rich), 0)
        await f.setxattr(ACCESS, acl('user::rw-,group::r-x,other::--x'), 0)
        assert.is((await stat(f)).mode, S.IFREG | 0o651)
        await fails('ENODATA', () => f.getxattr(ACCESS))
        assert.not(await shows(f, ACCESS))
        assert.is((await f.getattr(Attrs.BASIC | Attrs.ACL)).acl, undefined)
      },
      'an ACL that is removed is gone': async ({ root }) => {
        const f = await file(root, 'f', '', 0o640)
        await f.setxattr(ACCESS, acl(rich), 0)
        await f.removexattr(ACCESS)
        await fails('ENODATA', () => f.getxattr(ACCESS))
        assert.not(await shows(f, ACCESS))
      },
      'a file with no ACL says ENODATA': async ({ root }) => {
        const f = await file(root, 'f'), d = await mkdir(root, 'd')
        await fails('ENODATA', () => f.getxattr(ACCESS))
        await fails('ENODATA', () => d.getxattr(ACCESS))
        await fails('ENODATA', () => d.getxattr(DEFAULT))
        assert.equal((await f.listxattr()).filter((n) => n.startsWith('system.posix')), [])
      },
      'a default ACL is kept, and does not change the mode': async ({ root }) => {
        const d = await mkdir(root, 'd', 0o700)
        await d.setxattr(DEFAULT, acl(rich), 0)
        same(await d.getxattr(DEFAULT), acl(rich))
        assert.is((await stat(d)).mode, S.IFDIR | 0o700)
        assert.ok(await shows(d, DEFAULT))
        assert.not(await shows(d, ACCESS))
      },
      'only a directory has a default ACL: EACCES': async ({ root }) => {
        const f = await file(root, 'f')
        await fails(['EACCES', 'EINVAL', 'EOPNOTSUPP', 'EPERM'], () => f.setxattr(DEFAULT, acl(rich), 0))
        assert.not(await shows(f, DEFAULT))
      },
      'a file inherits the default ACL, and its mode takes away from it': async ({ root }) => {
        const d = await inheriting(root, rich), { node } = await d.create('f', O.RDWR, 0o640, owner)
        same(await node.getxattr(ACCESS), acl('user::rw-,user:7:rwx,group::r--,group:8:r-x,mask::r--,other::---'))
        assert.is((await stat(node)).mode, S.IFREG | 0o640)
        assert.not(await shows(node, DEFAULT))
      },
      'the default ACL takes away from the mode of what is made': async ({ root }) => {
        const d = await inheriting(root, 'user::r--,user:7:r-x,group::rwx,mask::r-x,other::--x'), { node } = await d.create('f', O.RDWR, 0o4777, owner)
        assert.is((await stat(node)).mode, S.IFREG | 0o4451)
        same(await node.getxattr(ACCESS), acl('user::r--,user:7:r-x,group::rwx,mask::r-x,other::--x'))
      },
      'a directory inherits both: to use, and to pass on': async ({ root }) => {
        const whole = rich.replace('user::rw-', 'user::rwx')
        const d = await inheriting(root, whole), sub = await d.mkdir('sub', 0o750, owner)
        same(await sub.getxattr(DEFAULT), acl(whole))
        same(await sub.getxattr(ACCESS), acl('user::rwx,user:7:rwx,group::r--,group:8:r-x,mask::r-x,other::---'))
        assert.is((await stat(sub)).mode, S.IFDIR | 0o750)
        const { node } = await sub.create('f', O.RDWR, 0o666, owner)
        assert.is((await stat(node)).mode, S.IFREG | 0o660)
        assert.ok(await shows(node, ACCESS))
      },
      'a default ACL that says no more than a mode leaves no access ACL': async ({ root }) => {
        const d = await inheriting(root, 'user::rwx,group::r-x,other::---'), { node } = await d.create('f', O.RDWR, 0o666, owner)
        assert.is((await stat(node)).mode, S.IFREG | 0o640)
        await fails('ENODATA', () => node.getxattr(ACCESS))
        const sub = await d.mkdir('sub', 0o777, owner)
        assert.is((await stat(sub)).mode, S.IFDIR | 0o750)
        same(await sub.getxattr(DEFAULT), acl('user::rwx,group::r-x,other::---'))
      },
      'without a default ACL the mode is kept, and nothing is inherited': async ({ root }) => {
        const d = await mkdir(root, 'd')
        await d.setxattr(ACCESS, acl('user::rwx,user:7:rwx,group::r-x,mask::rwx,other::r-x'), 0)
        const { node } = await d.create('f', O.RDWR, 0o666, owner)
        assert.is((await stat(node)).mode, S.IFREG | 0o666)
        assert.equal((await node.listxattr()).filter((n) => n.startsWith('system.posix')), [])
        await d.setxattr(DEFAULT, acl(rich), 0)
        await d.removexattr(DEFAULT)
        assert.is((await stat(await d.mkdir('sub', 0o777, owner))).mode, S.IFDIR | 0o777)
      },
      'an ACL comes along in a rename, and is no one else\'s': async ({ root }) => {
        const d = await inheriting(root, rich), f = await file(root, 'f')
        await f.setxattr(ACCESS, acl('user::rw-,user:9:r--,group::r--,mask::r--,other::---'), 0)
        await root.renameat('f', d, 'f')
        same(await f.getxattr(ACCESS), acl('user::rw-,user:9:r--,group::r--,mask::r--,other::---'))
        assert.ok(await has(d, 'f'))
      },
      'what is no ACL is refused: EINVAL': async ({ root }) => {
        const f = await file(root, 'f', '', 0o640), good = acl(rich)
        const version = good.slice()
        version[0] = 1
        const refused: Record<string, Uint8Array> = {
          'cut short': good.subarray(0, good.length - 1), 'no version': text('x'), 'another version': version, 'no owner': acl('group::r--,other::---'),
          'no others': acl('user::rw-,group::r--'), 'no mask': acl('user::rw-,user:7:r--,group::r--,other::---'), 'two owners': acl('user::rw-,user::rw-,group::r--,other::---'),
        }
        for (const [what, bad] of Object.entries(refused)) {
          const code = (await outcome(() => f.setxattr(ACCESS, bad, 0)))?.code
          assert.ok(code === 'EINVAL' || code === 'EOPNOTSUPP', `${what}: ${code ?? 'accepted'}`)
        }
        assert.is((await stat(f)).mode, S.IFREG | 0o640)
        await fails('ENODATA', () => f.getxattr(ACCESS))
      },
      'setting an ACL moves ctime': async ({ root }) => {
        const f = await file(root, 'f'), before = await stat(f)
        await tick()
        await f.setxattr(ACCESS, acl(rich), 0)
        later((await stat(f)).ctime, before.ctime, 'ctime')
      },
      'an inherited ACL does not change the owner who was told': async ({ root, lacks }) => {
        const d = await inheriting(root, rich), { node } = await d.create('f', O.RDWR, 0o600, other), { uid, gid } = await stat(node)
        if (!lacks('owner')) assert.equal({ uid, gid }, other)
        assert.is((await stat(node)).mode, S.IFREG | 0o600)
      },
    },
  },
  {
    needs: ['acl', 'fifo'],
    promises: {
      'the default ACL takes away from the mode of a FIFO': async ({ root }) => {
        const d = await inheriting(root, rich), p = await d.mknod('p', S.IFIFO | 0o666, 0n, owner), { mode } = await stat(p)
        assert.is(mode & 0o606, 0o600)
        assert.is(mode & 0o060, await shows(p, ACCESS) ? 0o060 : 0o040, 'the group may more than the ACL gave it')
      },
    },
  },
  {
    needs: ['acl', 'fifo', 'fifo-acl'],
    promises: {
      'a FIFO inherits as a file does': async ({ root }) => {
        const d = await inheriting(root, rich), p = await d.mknod('p', S.IFIFO | 0o644, 0n, owner)
        assert.is((await stat(p)).mode, S.IFIFO | 0o640)
        same(await p.getxattr(ACCESS), acl('user::rw-,user:7:rwx,group::r--,group:8:r-x,mask::r--,other::---'))
      },
    },
  },
  {
    needs: ['acl', 'symlink'],
    promises: {
      'a symlink inherits nothing': async ({ root }) => {
        const d = await inheriting(root, rich), s = await d.symlink('s', 't', owner)
        assert.is((await stat(s)).mode, S.IFLNK | 0o777)
        assert.equal((await s.listxattr()).filter((n) => n.startsWith('system.posix')), [])
      },
    },
  },
]
