// A TCP relay that writes down what passes as a pcap: a capture without the privilege to capture.

import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { finished } from 'node:stream/promises'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** Bytes of one packet, at most: an IPv4 packet has 16 bits for its length. */
const SEGMENT = 32768
const SYN = 2, FIN = 1, PUSH = 8, ACK = 16

export interface Recorder {
  readonly port: number
  /** Connections and payload bytes so far. */
  readonly seen: { connections: number; bytes: number }
  /** Ends the connections and the file. */
  close(): Promise<void>
}

/** Relays connections to 127.0.0.1:`to`, and writes them to `file` as packets of raw IPv4 (libpcap 2.4, link type 101). */
export async function record(to: number, file: string): Promise<Recorder> {
  const out = createWriteStream(file)
  const head = Buffer.alloc(24)
  head.writeUInt32LE(0xa1b2c3d4, 0)
  head.writeUInt16LE(2, 4)
  head.writeUInt16LE(4, 6)
  head.writeUInt32LE(65535, 16)
  head.writeUInt32LE(101, 20)
  out.write(head)
  const seen = { connections: 0, bytes: 0 }, sockets = new Set<Socket>()

  const door = createServer({ noDelay: true }, (client) => {
    const server = connect({ port: to, host: '127.0.0.1', noDelay: true })
    const port = client.remotePort!, here = (door.address() as AddressInfo).port
    const sent = [1, 1]                                   // next sequence number: of the client, of the server
    const packet = (from: 0 | 1, flags: number, bytes: Uint8Array = new Uint8Array()) => {
      out.write(frame(from === 0 ? [port, here] : [here, port], flags & SYN ? sent[from]! - 1 : sent[from]!, flags & ACK ? sent[1 - from]! : 0, flags, bytes))
      sent[from]! += bytes.length
    }
    const relay = (from: 0 | 1, source: Socket, sink: Socket) => {
      sockets.add(source)
      source.on('data', (bytes: Buffer) => {
        for (let at = 0; at < bytes.length; at += SEGMENT) packet(from, PUSH | ACK, bytes.subarray(at, at + SEGMENT))
        seen.bytes += bytes.length
        if (!sink.write(bytes)) { source.pause(); sink.once('drain', () => source.resume()) }
      })
      source.on('error', () => sink.destroy())
      source.on('end', () => { packet(from, FIN | ACK); sink.end() })
      source.on('close', () => { sockets.delete(source); sink.end() })
    }
    seen.connections++
    packet(0, SYN)
    packet(1, SYN | ACK)
    packet(0, ACK)
    relay(0, client, server)
    relay(1, server, client)
  }).listen(0, '127.0.0.1')
  await once(door, 'listening')
  return {
    port: (door.address() as AddressInfo).port, seen,
    async close() {
      door.close()
      for (const socket of sockets) socket.destroy()
      out.end()
      await finished(out)
    },
  }
}

/** One packet, with its time of day, as pcap has it. Checksums are left out: readers take 0 for "offloaded". */
function frame([source, target]: readonly [number, number] | number[], seq: number, ack: number, flags: number, bytes: Uint8Array): Buffer {
  const length = 40 + bytes.length, micros = Date.now() * 1000
  const packet = Buffer.alloc(16 + length)
  packet.writeUInt32LE(Math.floor(micros / 1e6), 0)
  packet.writeUInt32LE(micros % 1e6, 4)
  packet.writeUInt32LE(length, 8)
  packet.writeUInt32LE(length, 12)
  const ip = packet.subarray(16), tcp = ip.subarray(20)
  ip.writeUInt16BE(0x4500, 0)
  ip.writeUInt16BE(length, 2)
  ip.writeUInt16BE(0x4006, 8)                             // 64 hops, TCP
  ip.set([127, 0, 0, 1], 12)
  ip.set([127, 0, 0, 1], 16)
  tcp.writeUInt16BE(source!, 0)
  tcp.writeUInt16BE(target!, 2)
  tcp.writeUInt32BE(seq >>> 0, 4)
  tcp.writeUInt32BE(ack >>> 0, 8)
  tcp.writeUInt16BE(0x5000 | flags, 12)
  tcp.writeUInt16BE(65535, 14)
  packet.set(bytes, 56)
  return packet
}
