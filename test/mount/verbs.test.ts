// `ninefold mount` and `umount` as they are typed, as mount(8) calls them, and as a user without rights has them.

import { chmod, chown, mkdir, readFile, symlink, unlink, writeFile } from 'node:fs/promises'
import { chmodSync, existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { mounted } from '../../server/mount/place.ts'
import { root } from '../guest/build.ts'
import { requires, skipping } from '../needs.ts'
import { folder, ninefold, removeFolder, run, start, unable, within } from './stand.ts'
import type { Running } from './stand.ts'

const test = suite('mount: the verbs'), why = unable(), native = why ? skipping(test, why) : test
const home = await folder(), url = `unix:${home}/s.sock`, dir = join(home, 'mnt')
let server: Running
const at = (dir: string) => mounted().findLast((one) => one.dir === dir)
const sh = (lines: string, options = {}) => run('sh', ['-euc', lines], { limit: 30, ...options })
async function until(true_: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const end = Date.now() + 30_000; !await true_(); await new Promise((done) => setTimeout(done, 50))) if (Date.now() > end) throw new Error(`not within 30 s: ${what}`)
}
/** Who serves the mount there. */
async function serving(dir: string): Promise<number | undefined> {
  const { out } = await sh(`for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline 2> /dev/null | grep -q 'mount .* ${dir} ' && echo \${p#/proc/}; done; true`)
  return out.trim() === '' ? undefined : Number(out.trim().split('\n')[0])
}

test.before(async () => {
  if (why) return
  await mkdir(dir)
  await mkdir(join(home, 'export'))
  await writeFile(join(home, 'export/hello'), 'hello\n')
  server = await start(['serve', '--at', '/=posix ./export', '--listen', url, '--log', 'warn'], /^mount -t 9p /m, home, join(home, 'server.log'))
})
test.after(async () => {
  server?.child.kill('SIGKILL')
  await server?.ended
  await removeFolder(home)
})

native('a daemon: mount returns when it can be used, umount ends it', async () => {
  const { status, out, err } = await ninefold(['mount', url, dir])
  assert.is(status, 0, err)
  assert.is(out, '')
  assert.is(at(dir)?.type, 'fuse.ninefold')
  assert.is(at(dir)?.source, url)
  assert.is((await sh(`cat ${dir}/hello`)).out, 'hello\n')
  const pid = await serving(dir)
  assert.ok(pid !== undefined)
  const again = await ninefold(['mount', url, dir])
  assert.is(again.status, 1)
  assert.match(again.err, `${dir}: it is mounted there already`)
  assert.is((await ninefold(['umount', dir])).status, 0)
  assert.is(at(dir), undefined)
  await until(() => !existsSync(`/proc/${pid}`), 'the daemon ends')
})

native('a mount that is in use stays, and goes with --lazy when nobody is in it', async () => {
  assert.is((await ninefold(['mount', url, dir])).status, 0)
  const inside = run('sleep', ['60'], { cwd: dir, limit: 60 })
  await until(async () => (await sh(`ls -l /proc/[0-9]*/cwd 2> /dev/null | grep -c '${dir}$' || true`)).out.trim() === '1', 'somebody is in it')
  const { status, err } = await ninefold(['umount', dir])
  assert.is(status, 1)
  assert.match(err, 'in use')
  assert.is((await ninefold(['umount', '--lazy', dir])).status, 0)
  assert.is(at(dir), undefined)
  const pid = await serving(dir)
  assert.ok(pid !== undefined)
  await sh(`for p in /proc/[0-9]*; do [ "$(cat $p/comm 2> /dev/null)" = sleep ] && readlink $p/cwd | grep -q '${dir}' && kill \${p#/proc/}; done; true`)
  await inside
  await until(() => !existsSync(`/proc/${pid}`), 'the daemon ends when the last one leaves')
})

native('in the foreground it says when it is ready, and a signal unmounts and ends it with 0', async () => {
  const running = await start(['mount', '-f', url, dir], /is mounted on/, home, join(home, 'mount.log'))
  assert.is((await sh(`cat ${dir}/hello`)).out, 'hello\n')
  running.child.kill('SIGTERM')
  assert.is(await within(30, running.ended, () => 'it does not end'), 0)
  assert.is(at(dir), undefined)
})

native('killed, it leaves a mount that fails at once, and can be taken away', async () => {
  const running = await start(['mount', '-f', url, dir], /is mounted on/, home, join(home, 'mount.log'))
  running.child.kill('SIGKILL')
  await running.ended
  assert.match((await sh(`cat ${dir}/hello`)).err, 'Transport endpoint is not connected')
  const again = await ninefold(['mount', url, dir])
  assert.is(again.status, 1)
  assert.match(again.err, 'is mounted there')
  assert.is((await ninefold(['umount', dir])).status, 0)
  assert.is(at(dir), undefined)
})

for (const [what, args, status, says] of [
  ['an address that is none', ['mount', 'nonsense', dir], 2, 'is no server\'s address'],
  ['a server that is not there', ['mount', `unix:${home}/nobody`, dir], 1, 'Is the server running?'],
  ['a port where nobody listens', ['mount', 'tcp://127.0.0.1:1', dir], 1, 'Connection refused'],
  ['a directory that is not there', ['mount', url, join(home, 'nowhere')], 1, 'No such file or directory'],
  ['a file', ['mount', url, join(home, 'export/hello')], 1, 'Not a directory'],
  ['an option that is none', ['mount', url, dir, '-o', 'atrr-timeout=1'], 2, 'Did you mean "attr-timeout"?'],
  ['an option of no sense', ['mount', url, dir, '-o', 'reconnect=soon'], 2, 'not a duration'],
  ['a tree that is not served', ['mount', url, dir, '-o', 'aname=/nowhere'], 1, 'No such file or directory'],
  ['an umount of nothing', ['umount', dir], 1, 'nothing of ninefold is mounted there'],
] as const) {
  native(`${what} is status ${status}, and said`, async () => {
    const ran = await ninefold(args)
    assert.is(ran.status, status, ran.err)
    assert.match(ran.err, says)
    assert.is(at(dir), undefined)
  })
}

native('its options: ro, nosuid and nodev unless told, aname, default_permissions', async () => {
  await mkdir(join(home, 'export/sub'), { recursive: true })
  await writeFile(join(home, 'export/sub/inner'), 'inner\n')
  const line = () => readFile('/proc/mounts', 'utf8').then((text) => text.split('\n').find((line) => line.includes(` ${dir} `))!)
  assert.is((await ninefold(['mount', url, dir, '-o', 'ro,aname=/sub', '-o', 'allow_other,default_permissions'])).status, 0)
  assert.match(await line(), /fuse\.ninefold ro,nosuid,nodev,.*default_permissions,allow_other/)
  assert.is((await sh(`cat ${dir}/inner; ! touch ${dir}/x`)).out, 'inner\n')
  assert.is((await ninefold(['umount', dir])).status, 0)
  assert.is((await ninefold(['mount', url, dir, '-o', 'dev,suid,noexec'])).status, 0)
  assert.match(await line(), /fuse\.ninefold rw,noexec,/)
  assert.is((await ninefold(['umount', dir])).status, 0)
})

// As a package would install them: two links in /sbin, which are taken away again.
const links = ['/sbin/mount.ninefold', '/sbin/mount.fuse.ninefold']
for (const [type, link] of [['ninefold', links[0]!], ['fuse.ninefold', links[1]!]] as const) {
  native(`mount -t ${type} finds its helper, also by a line of fstab`, async () => {
    assert.not(existsSync(link), `${link} is there already`)
    await symlink(join(root, 'bin/mount.ninefold'), link)
    try {
      const plain = await sh(`mount -t ${type} ${url} ${dir} -o allow_other,attr-timeout=2s`)
      assert.is(plain.status, 0, plain.err)
      assert.is((await sh(`cat ${dir}/hello`)).out, 'hello\n')
      const gone = await sh(`umount ${dir}`)
      assert.is(gone.status, 0, gone.err)
      const fstab = join(home, 'fstab'), example = await readFile(join(root, 'examples/mount/fstab'), 'utf8')
      const given = example.split('\n').find((line) => line.split(/\s+/)[2] === type)
      assert.ok(given, `examples/mount/fstab has no line of type ${type}`)
      const [, , , options] = given.split(/\s+/)
      await writeFile(fstab, `${url} ${dir} ${type} ${options} 0 0\n`)
      const line = await sh(`mount -T ${fstab} ${dir}`)
      assert.is(line.status, 0, line.err)
      assert.is((await sh(`cat ${dir}/hello; umount ${dir}`)).out, 'hello\n')
      const failed = await sh(`mount -t ${type} unix:${home}/nobody ${dir}`)
      assert.is(failed.status, 32)
      assert.match(failed.err, 'Is the server running?')
      assert.is((await sh(`mount -t ${type} ${url} ${dir} -o nonsense`)).status, 1)
      assert.is((await sh(`mount -f -t ${type} ${url} ${dir}`)).status, 0)
      assert.is(at(dir), undefined)
    } finally {
      await unlink(link)
    }
  })
}
native('the units in examples/ have the lines that systemd wants', async () => {
  for (const file of ['srv-ninefold.mount', 'ninefold-mount@.service', 'fstab']) assert.ok(existsSync(join(root, 'examples/mount', file)), file)
  const unit = await readFile(join(root, 'examples/mount/srv-ninefold.mount'), 'utf8')
  assert.match(unit, /^Where=\/srv\/ninefold$/m)           // which is what its name says, and has to
  assert.match(unit, /^Type=fuse\.ninefold$/m)
})

// A user, with a server of his own.
const users = why ? native : requires(test, 'fusermount3')
const mode = why ? 0 : statSync('/dev/fuse').mode & 0o777
test.before(() => { if (!why) chmodSync('/dev/fuse', 0o666) })   // as udev has it, where there is one
test.after(() => { if (!why) chmodSync('/dev/fuse', mode) })
users('an ordinary user mounts by fusermount3, for himself alone, and unmounts', async () => {
  const mine = join(home, 'user'), place = join(mine, 'mnt'), his = { uid: 1000, gid: 1000 }, address = `unix:${mine}/s.sock`
  for (const path of [mine, place, join(mine, 'export')]) { await mkdir(path); await chown(path, 1000, 1000) }
  await chmod(mine, 0o755)
  const server = await start(['serve', '--at', '/=posix ./export', '--listen', address, '--log', 'warn'], /^mount -t 9p /m, mine, join(home, 'user.log'), his)
  try {
    const { status, err } = await ninefold(['mount', address, place], { ...his, cwd: mine })
    assert.is(status, 0, err)
    assert.match(await readFile('/proc/mounts', 'utf8'), `${place} fuse.ninefold rw,nosuid,nodev,relatime,user_id=1000,group_id=1000`)
    const { out } = await sh(`echo text > ${place}/f; cat ${place}/f; stat -c %u ${place}/f`, his)
    assert.is(out, 'text\n1000\n')
    assert.match((await sh(`cat ${place}/f`)).err, 'Permission denied')   // root, too, is somebody else
    const other = await ninefold(['mount', address, '/usr'], { ...his, cwd: mine })
    assert.is(other.status, 1)
    assert.match(other.err, /no write access|Permission denied/i)
    const allowed = await ninefold(['mount', address, join(mine, 'export'), '-o', 'allow_other'], { ...his, cwd: mine })
    assert.is(allowed.status, 1)
    assert.match(allowed.err, 'user_allow_other')
    chmodSync('/dev/fuse', 0o600)
    const closed = await ninefold(['mount', address, join(mine, 'export')], { ...his, cwd: mine })
    assert.match(closed.err, 'chmod 666 /dev/fuse')
    chmodSync('/dev/fuse', 0o666)
    const end = await ninefold(['umount', place], { ...his, cwd: mine })
    assert.is(end.status, 0, end.err)
    assert.is(at(place), undefined)
  } finally {
    await run('umount', ['-l', place])
    server.child.kill('SIGKILL')
    await server.ended
  }
})
users('who can not reach the server is told so before anything is mounted', async () => {
  const mine = join(home, 'lacking')
  await mkdir(mine)
  await chown(mine, 1000, 1000)
  const { status, err } = await ninefold(['mount', 'tcp://127.0.0.1:1', mine], { uid: 1000, gid: 1000, cwd: '/' })
  assert.is(status, 1)
  assert.match(err, 'refused')
})
test.run()
