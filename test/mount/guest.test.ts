// A guest of QEMU has our mount for its folder, as examples/qemu/virtfs.md says. QEMU's server can't do all that a file system does, so the
// same guest has a folder of the host's beside it: what the checker finds wrong with our mount, it has to find wrong with that one, too.

import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { agent, checked, checker, root } from '../guest/build.ts'
import { words } from '../guest/chapters.ts'
import { Guest } from '../guest/guest.ts'
import { initramfs, kernel } from '../guest/kernel.ts'
import type { Kernel } from '../guest/kernel.ts'
import { missing, skipping } from '../needs.ts'
import { folder, removeFolder, stand, unable } from './stand.ts'

const test = suite('mount: a guest by QEMU\'s own share'), why = unable() ?? ['qemu-system-x86_64', 'gcc', 'xz', 'apt-get', 'dpkg-deb', 'tar'].map(missing).find((reason) => reason !== undefined) ??
  (process.arch === 'x64' ? undefined : 'the guest is an x86-64 machine: run this on one')
let found: Kernel | undefined, home = ''
const lacking = why ?? await kernel().then((one) => { found = one; return undefined }, (e: Error) => `no kernel for it (${e.message.trim()}). Get Debian's list of packages: apt-get update`)
const native = lacking ? skipping(test, lacking) : test
const text = await readFile(join(root, 'examples/qemu/virtfs.md'), 'utf8')
const block = (kind: string) => new RegExp(`^\`\`\`sh ${kind}\n(.*?)^\`\`\``, 'ms').exec(text)![1]!
let machine: { readonly agent: string; readonly counterKHz: number }, program = ''

test.before(async () => {
  if (lacking) return
  home = await folder()
  machine = await agent(home)
  program = await checker(home)
})
test.after(async () => { if (home) await removeFolder(home) })

/** What the checker finds wrong in a share of the guest, by name. */
async function wrong(guest: Guest, tag: string, mountLine: string): Promise<{ readonly wrong: Map<string, string>; readonly right: number }> {
  const mount = await guest.sh(`mkdir -p /${tag}; ${mountLine.replace(/ninefold \/mnt/, `${tag} /${tag}`)}; mkdir -m 777 /${tag}/w`, { limit: 60 })
  assert.is(mount.status, 0, mount.err)
  const ran = await guest.run([program, '--uid', '0', '--many', '30', `/${tag}/w`], { limit: 400 }), lines = checked(ran.out)
  assert.not(ran.late)
  return { wrong: new Map(lines.filter(({ how }) => how === 'not ok').map(({ name, why }) => [name, why])), right: lines.filter(({ how }) => how === 'ok').length }
}

native('it is to the guest what a folder of the host is, with security_model=none and mapped-xattr', async () => {
  await using mount = await stand('posix ./export devices=on host-caps=on')
  const device = words(block('qemu').split('\n').slice(1).join('\n').replaceAll('\\\n', ' '))
  assert.is(device[0], '-virtfs')
  assert.match(device[1]!, 'security_model=mapped-xattr')
  await Promise.all(['none', 'mapped-xattr'].map(async (model) => {
    const here = join(home, model)
    await mount.must(`mkdir -m 777 ${model}`)
    await mkdir(join(here, 'plain'), { recursive: true })
    await initramfs(join(here, 'initramfs'), found!, machine.agent)
    const share = (path: string, tag: string) => ['-virtfs', device[1]!.replace('./share', path).replace('mount_tag=ninefold', `mount_tag=${tag}`).replace('mapped-xattr', model)]
    await using guest = await Guest.boot({
      ...found!, ...machine, initramfs: join(here, 'initramfs'), devices: [...share(join(mount.dir, model), 'ours'), ...share(join(here, 'plain'), 'plain')], home: here, cwd: here,
    })
    const ours = await wrong(guest, 'ours', block('guest').trim()), plain = await wrong(guest, 'plain', block('guest').trim())
    assert.equal([...ours.wrong].filter(([name]) => !plain.wrong.has(name)).map(([name, why]) => `${model}: ${name}: ${why}`), [])
    assert.ok(ours.right >= 270, `${model}: only ${ours.right} are right`)
  }))
})

test.run()
