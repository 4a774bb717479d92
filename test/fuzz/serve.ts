// The server under fire: a process of its own, so that what it holds can be read from outside. It is told its stack and where
// to listen, and answers what it is asked: what it holds now, and what it logged that it should not have.

import { randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { serve } from '../../server/server.ts'
import { attachRules } from '../../server/users.ts'
import { fault } from '../../translators/fault/fault.ts'
import { posix } from '../../translators/posix/posix.ts'
import type { Translator } from '../../translators/translator.ts'
import { Control, slow } from '../wire/slow.ts'
import { Kept, brick } from '../wire/stand.ts'
import { MOUNT, PIT } from './pools.ts'

/** What stands at '/' and in the pit. late: replies come late, out of order, and some calls fail. */
export const stacks = ['memory', 'posix', 'late'] as const
export type StackName = typeof stacks[number]
export interface Orders { readonly stack: StackName; readonly folder: string; readonly run: string; readonly haven: string }
/** What the server holds, when it has had time to let go. */
export interface Holdings {
  readonly heap: number
  readonly buffers: number
  readonly rss: number
  readonly descriptors: readonly string[]
  readonly connections: number
  readonly nodes: number
  readonly handles: number
  readonly calls: number
  readonly bugs: readonly string[]
  readonly violations: readonly string[]
  readonly ended: Readonly<Record<string, number>>
}

/** A path that no one guesses, for those who are not to be met. */
export function haven(): string { return `haven-${randomBytes(9).toString('hex')}` }

async function start({ stack, folder, run, haven }: Orders): Promise<void> {
  const log = new Kept(), control = new Control(stack === 'late' ? undefined : [])
  const size = 96 * 1024 * 1024, inodes = 50_000
  const namespace = new Map<string, Translator>()
  if (stack === 'posix') namespace.set('/', await posix({ path: folder }))
  else if (stack === 'memory') namespace.set('/', await brick('/', { size, inodes }))
  else {
    namespace.set('/', await slow(control, await brick('/', { size, inodes })))
    const failing = { seed: 7, 'error-rate': 0.02, 'short-read-rate': 0.1, ops: 'walk,getattr,open,create,mkdir,link,renameat,unlinkat,read,write,readdir,getxattr,setxattr,fsync' }
    namespace.set(`/${PIT}`, await fault(failing, await slow(control, await brick(`/${PIT}`, { size, inodes, mode: 0o777 }))))
  }
  const root = await namespace.get('/')!.attach(''), owner = { uid: process.getuid!(), gid: process.getgid!() }
  for (const [name, mode] of [[PIT, 0o777], [haven, 0o700]] as const) await (await root.mkdir(name, mode, owner)).close()
  await root.close()
  namespace.set(`/${PIT}/${MOUNT}`, await brick(`/${PIT}/${MOUNT}`, { size: 1024 * 1024, inodes: 200, mode: 0o777 }))
  // The whole is seen by all, and changed below two points alone.
  const attach = new Map([['/', attachRules({ 'read-only': true })], [`/${PIT}`, attachRules()], [`/${haven}`, attachRules()]])
  const server = await serve({ listen: [`unix:${run}/socket`, 'tcp://127.0.0.1:0'], namespace, attach, log, limits: { 'finish-timeout': 60, 'version-timeout': 600 } })

  const holdings = (): Holdings => {
    const { heapUsed, external, arrayBuffers, rss } = process.memoryUsage()
    const ended: Record<string, number> = {}
    for (const { fields, message } of log.warnings.splice(0)) {
      const why = message === 'connection ended' ? String(fields.why).replace(/\d+/g, 'N') : `${message}: ${fields.err?.message ?? ''}`
      ended[why] = (ended[why] ?? 0) + 1
    }
    return {
      heap: heapUsed, buffers: external + arrayBuffers, rss,
      descriptors: readdirSync('/proc/self/fd'), connections: server.connections,
      nodes: control.nodes, handles: control.handles, calls: control.calls, violations: control.violations.splice(0),
      bugs: log.bugs.splice(0).map(({ fields, message }) => `${message}: ${fields.message ?? ''} ${fields.err?.stack ?? ''}`), ended,
    }
  }
  process.on('message', (what: 'holdings' | 'stop') => {
    if (what === 'stop') void server.stop().then(() => { process.send!({ stopped: true }); process.disconnect() })
    else {
      // Twice: what finalizers let go of is gone the second time.
      const { gc } = globalThis as { gc?: () => void }
      gc!()
      setImmediate(() => { gc!(); process.send!(holdings()) })
    }
  })
  process.on('disconnect', () => process.exit())
  process.send!({ urls: server.urls })
}

if (process.send) process.once('message', (orders: Orders) => {
  start(orders).catch((e: Error) => { console.error(e.stack); process.exit(1) })
})
