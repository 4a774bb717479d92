// The server of swaps.test.ts, in a process of its own: node --expose-gc dist/test/swapping.js SOCKET STATE PATH=STACK...
// Asked by a message, it tells what it has when it has nothing to do.

import { readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { ends } from '../server/ends.ts'
import { serve } from '../server/server.ts'
import { parseStack } from '../server/stack.ts'
import { Totals } from '../server/totals.ts'
import { silent } from '../translators/options.ts'

/** warnings: what the log was told of. */
export interface Held { readonly mounts: string[]; readonly descriptors: number; readonly instances: number; readonly fids: number; readonly requests: number; readonly ends: number; readonly meters: number; readonly heap: number; readonly rss: number; readonly warnings: string[] }

const [socket, state, ...at] = process.argv.slice(2) as [string, string, ...string[]], warnings: string[] = [], meters = new Totals()
const told = (fields: object, message: string) => { warnings.push(`${message} ${'err' in fields ? String(fields.err) : ''}`) }
const namespace = new Map(at.map((line) => [line.slice(0, line.indexOf('=')), parseStack(line.slice(line.indexOf('=') + 1))]))
const server = await serve({ listen: [`unix:${socket}`], state, namespace, meters, log: { ...silent, warn: told, error: told } })
process.on('message', async () => {
  for (let i = 0; i < 4; i++) {
    global.gc!()
    await sleep(20)
  }
  const { heapUsed: heap, rss } = process.memoryUsage(), { mounts, fids, requests } = server
  const held: Held = {
    mounts: mounts.list().map(({ path, state }) => `${path} ${state}`), descriptors: readdirSync('/proc/self/fd').length, instances: mounts.instances.count, fids, requests, ends: ends.count, meters: [...meters].length, heap, rss, warnings,
  }
  process.send!(held)
})
process.on('disconnect', () => { void server.stop() })
process.send!('ready')
