// What tests need of the machine, and what to say when it is not there: a skip is seen, with its reason and its cure.

import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Callback, Test } from 'uvu'

type Declare<T> = (name: string, body: Callback<T>) => void

/** Program to Debian packages. What stands here, .ci/run installs. */
const packages: Readonly<Record<string, string>> = {
  'qemu-system-x86_64': 'qemu-system-x86',
  diod: 'diod', diodls: 'diod', diodcat: 'diod', diodload: 'diod', 'ganesha.nfsd': 'nfs-ganesha nfs-ganesha-vfs', '9mount': '9mount',
  tshark: 'tshark', fio: 'fio', dbench: 'dbench', 'stress-ng': 'stress-ng', sqlite3: 'sqlite3',
  setfattr: 'attr', getfattr: 'attr', setfacl: 'acl', getfacl: 'acl',
  gcc: 'gcc libc6-dev', git: 'git', xz: 'xz-utils', strace: 'strace', socat: 'socat', tar: 'tar', bsdtar: 'libarchive-tools', fusermount3: 'fuse3', bindfs: 'bindfs', script: 'bsdutils',
}

/** Whether the program is on the PATH (or in sbin, where some shells do not look). */
function present(program: string): boolean {
  for (const dir of [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin']) {
    try { accessSync(join(dir, program), constants.X_OK); return true } catch { /* look on */ }
  }
  return false
}

/** Why a program can't be used here, with the line that installs it; undefined if it can. */
export function missing(program: string): string | undefined {
  if (present(program)) return undefined
  const debian = packages[program]
  return `${program} is missing.${debian ? ` Install it: apt-get install -y --no-install-recommends ${debian}` : ''}`
}

/** Declares tests that can't run here: `skipping(test, 'needs root')('chown', ...)`. The runner shows each with the reason. */
export function skipping<T>(test: Test<T>, reason: string): Declare<T> {
  return (name) => {
    console.log(`SKIP ${name}: ${reason.replaceAll('\n', ' ')}`)
    test.skip(name)
  }
}

/** `requires(test, 'tshark')('dissects', ...)`: the suite's test where all the programs are there, else a skip that says how to get them. */
export function requires<T>(test: Test<T>, ...programs: string[]): Declare<T> {
  const reasons = programs.map(missing).filter((reason) => reason !== undefined)
  return reasons.length === 0 ? test : skipping(test, reasons.join(' '))
}
