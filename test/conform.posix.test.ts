import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { posix } from '../translators/posix/posix.ts'
import { conform } from './conform/conform.ts'
import type { Need } from './conform/conform.ts'

// On disk only once: closing syncs the device, which others use.
const root = process.geteuid?.() === 0
const runs = [...root ? [['host', '/dev/shm']] as const : [], ['mapped', '/dev/shm'], ['none', '/dev/shm'], [root ? 'host' : 'none', tmpdir()]] as const
for (const [owner, base] of runs) {
  const own = mkdtempSync(join(base, 'ninefold-conform-'))
  process.on('exit', () => rmSync(own, { recursive: true, force: true }))
  const lacks: Need[] = ['own-space']
  if (base !== '/dev/shm') lacks.push('xattr-64k')        // ext4 keeps attributes in one block
  if (owner === 'none') lacks.push('owner', 'device', 'fifo-acl')
  const make = () => posix({ path: mkdtempSync(join(own, 'd-')), owner, devices: owner !== 'none' })
  conform(`posix owner=${owner} in ${base}`, make, { lacks })
}
