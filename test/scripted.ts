// A server that is a script: a test answers a client frame by frame.

import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { duplexPair, type Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client, codecs, connect, isErrno, nameOf, NOTAG } from 'ninep'
import type { Code, Dialect, Fields, Name, Options } from 'ninep'
import * as assert from 'uvu/assert'

export interface Request { name: string; tag: number; fields: any }
/** The other end of a client's stream. */
export class Peer {
  readonly stream: Duplex
  dialect: Dialect = '9P2000.L'
  #bytes = Buffer.alloc(0)
  readonly chunks: number[] = []
  constructor(stream: Duplex) {
    this.stream = stream
    stream.on('data', (chunk: Buffer) => {
      this.chunks.push(chunk.length)
      this.#bytes = Buffer.concat([this.#bytes, chunk])
      this.#wake()
    })
    stream.on('error', () => {})
    stream.on('close', () => this.#wake())
  }
  #sleepers: (() => void)[] = []
  #wake(): void { for (const wake of this.#sleepers.splice(0)) wake() }
  /** The next request, in order. */
  async next(): Promise<Request> {
    while (this.#bytes.length < 4 || this.#bytes.length < this.#bytes.readUInt32LE(0)) {
      if (this.stream.destroyed) throw new Error('the client is gone')
      await new Promise<void>((resolve) => this.#sleepers.push(resolve))
    }
    const size = this.#bytes.readUInt32LE(0), name: string = nameOf(this.#bytes[4]!, this.dialect)!, tag = this.#bytes.readUInt16LE(5)
    const fields = (codecs[this.dialect].decoders as Record<string, any>)[name](this.#bytes, 7, size)
    this.#bytes = this.#bytes.subarray(size)
    return { name, tag, fields }
  }
  /** Whether nothing comes for a while. */
  async quiet(): Promise<boolean> {
    await sleep(20)
    return this.#bytes.length === 0
  }
  send<N extends Name>(name: N, tag: number, fields: Fields<N>): void { this.stream.write(frame(name, tag, fields)) }
  /** The same in its dialect. */
  say(name: string, tag: number, fields: object): void { this.stream.write(frame(name as never, tag, fields as never, this.dialect)) }
}
export function frame<N extends Name<D>, D extends Dialect = '9P2000.L'>(name: N, tag: number, fields: Fields<N, D>, dialect = '9P2000.L' as D): Buffer {
  const into = Buffer.alloc(1 << 16)
  return into.subarray(0, (codecs[dialect].encoders as Record<string, any>)[name](tag, fields, into, 0))
}

/** A client that agreed on a version, over memory, and who answers it. */
export async function talk(options: Options = {}, msize = 8192): Promise<{ client: Client; peer: Peer }> {
  const [ours, theirs] = duplexPair()
  const peer = new Peer(theirs)
  const client = Client.over(ours, options)
  const hello = await peer.next()
  assert.equal(hello, { name: 'Tversion', tag: NOTAG, fields: { msize: options.msize ?? 1048600, version: '9P2000.L' } })
  peer.send('Rversion', NOTAG, { msize, version: '9P2000.L' })
  return { client: await client, peer }
}

/** The same over a TCP socket. */
export async function talkByTcp(msize = 8192): Promise<{ client: Client; peer: Peer; socket: Socket }> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect(`tcp://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const [socket] = await once(server, 'connection') as [Socket]
  server.close()
  const peer = new Peer(socket)
  await peer.next()
  peer.send('Rversion', NOTAG, { msize, version: '9P2000.L' })
  return { client: await client, peer, socket }
}

/** Rejects with this code, and a message that says this. */
export async function fails(code: Code, says: RegExp, what: Promise<unknown>): Promise<void> {
  const error = await what.then((value) => assert.unreachable(`resolved with ${String(value)}`), (error: unknown) => error)
  assert.ok(isErrno(error, code), String(error))
  assert.match((error as Error).message, says)
}
