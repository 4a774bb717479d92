import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { posix } from '../translators/posix/posix.ts'
import { rot13 } from '../translators/rot13/rot13.ts'
import type { Translator } from '../translators/translator.ts'
import { conform, conformBlobs } from './conform/conform.ts'
import type { Need } from './conform/conform.ts'

const tmpfs = '/dev/shm', root = process.geteuid?.() === 0
const own = new Map([tmpfs, tmpdir()].map((base) => [base, mkdtempSync(join(base, 'ninefold-conform-'))]))
process.on('exit', () => { for (const dir of own.values()) rmSync(dir, { recursive: true, force: true }) })

// On disk only once: closing syncs the device, which others use.
const runs = [...root ? [['host', tmpfs]] as const : [], ['mapped', tmpfs], ['none', tmpfs], [root ? 'host' : 'none', tmpdir()]] as const
for (const [owner, base] of runs) {
  const lacks: Need[] = ['own-space']
  if (base !== tmpfs) lacks.push('xattr-64k')             // ext4 keeps attributes in one block
  if (owner === 'none') lacks.push('owner', 'device', 'fifo-acl')
  if (owner === 'none' && !root) lacks.push('any-mode')
  const paths = new WeakMap<Translator, string>()
  const start = async (path: string) => {
    const translator = await posix({ path, owner, devices: owner !== 'none' })
    paths.set(translator, path)
    return translator
  }
  const make = () => start(mkdtempSync(join(own.get(base)!, 'd-')))
  /** The process was killed: one more begins where it stopped. What it held open goes with this process. */
  const crash = (translator: Translator) => start(paths.get(translator)!)
  conform(`posix owner=${owner} in ${base}`, make, { lacks, crash })
  if (owner === 'host') conformBlobs(`posix in ${base}`, make, { crash })
  if (owner === 'none' && base === tmpfs) conformBlobs(`files of posix in ${base}`, async () => rot13({}, await make()))
}
