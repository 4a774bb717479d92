// The recorder's captures are 9P to another reader of it, and what is relayed is what was sent.

import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { connect, O } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { serve } from '../server/server.ts'
import { memory } from '../translators/memory/memory.ts'
import { record } from './guest/record.ts'
import { requires } from './needs.ts'

const test = suite('recorder')
const run = promisify(execFile)
const home = await mkdtemp(join(tmpdir(), 'ninefold-record-'))
test.after(() => rm(home, { recursive: true }))

/** A session by way of the recorder: a large file, there and back, and a few small messages. */
async function session(file: string): Promise<number> {
  await using server = await serve({ listen: ['tcp://127.0.0.1:0'], namespace: new Map([['/', await memory({})]]) })
  const recorder = await record(Number(/\d+$/.exec(server.urls[0]!)![0]), file)
  const bytes = Buffer.alloc(300_000, 'Hurd')
  await using client = await connect(`tcp://127.0.0.1:${recorder.port}`, { msize: 65536 })
  await using dir = await client.attach()
  await dir.mkdir('d', 0o755)
  await using f = await dir.create('f', O.RDWR, 0o644)
  await f.write(bytes, 0)
  assert.equal(await f.read(0, bytes.length), bytes)
  assert.equal(recorder.seen.connections, 1)
  assert.ok(recorder.seen.bytes > 2 * bytes.length)
  await f.clunk()
  await dir.clunk()
  await client.close()
  await recorder.close()
  return recorder.port
}
async function dissect(file: string, port: number, ...args: string[]): Promise<string[]> {
  return (await run('tshark', ['-n', '-2', '-r', file, '-d', `tcp.port==${port},9p`, ...args])).stdout.split('\n').filter((line) => line !== '')
}

const dissected = requires(test, 'tshark')
dissected('every packet is 9P and none is malformed', async () => {
  const file = join(home, 'session.pcap')
  const port = await session(file)
  assert.equal(await dissect(file, port, '-Y', '_ws.malformed || tcp.analysis.flags'), [])
  assert.equal(await dissect(file, port, '-Y', 'tcp.len > 0 && !9p && !tcp.reassembled_in'), [])
  const types = new Set((await dissect(file, port, '-Y', '9p', '-T', 'fields', '-e', '9p.msgtype')).flatMap((line) => line.split(',').map(Number)))
  for (const type of [100, 101, 104, 105, 72, 73, 14, 15, 118, 119, 116, 117, 120, 121]) assert.ok(types.has(type), `no message of type ${type}`)
})

test.run()
