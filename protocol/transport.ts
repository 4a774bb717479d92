// Where a connection comes from: addresses, and sockets that read right into our buffer.

import { connect, type NetConnectOpts, type Socket } from 'node:net'
import { errno, errnos, type Code, type Errno } from './errno.ts'

/** What node:net calls a place: `tcp://HOST:PORT` (an IPv6 host in brackets) or `unix:PATH`. EINVAL: neither. */
function placeOf(url: string): { host: string; port: number } | { path: string } {
  if (url.startsWith('unix:') && url.length > 5) return { path: url.slice(5) }
  const [, ipv6, host, port] = /^tcp:\/\/(?:\[([^\]]+)\]|([^:/@]+)):(\d+)\/?$/.exec(url) ?? []
  if (port === undefined || Number(port) > 65535) throw errno('EINVAL', 'address: write tcp://HOST:PORT or unix:PATH, not', url)
  return { host: (ipv6 ?? host)!, port: Number(port) }
}

/** Takes the bytes of a socket: room() is where the next ones are put, and taken(n) says that n of them are there. */
export interface Reader { room(): Uint8Array; taken(count: number): void }

/** Opens a socket whose bytes go to `reader` without a copy. The system's errors come as Errno; an abort, as its reason. */
export function dial(url: string, reader: Reader, signal?: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted()
    const onread = {
      buffer: () => reader.room(),
      callback: (count: number) => {
        reader.taken(count)
        return true
      },
    }
    const socket = connect({ ...placeOf(url), onread, noDelay: true, keepAlive: true } as unknown as NetConnectOpts)
    const aborted = () => {
      socket.destroy()
      reject(signal!.reason)
    }
    socket.once('connect', () => resolve(socket))
    socket.once('error', (cause) => reject(systemError(url, cause)))
    socket.once('connect', () => signal?.removeEventListener('abort', aborted))
    socket.once('close', () => signal?.removeEventListener('abort', aborted))
    signal?.addEventListener('abort', aborted)
  })
}

/** What the system said, as an Errno: its code where it is one of ours, else EIO. */
function systemError(url: string, cause: Error): Errno {
  const code = (cause as NodeJS.ErrnoException).code ?? ''
  return code in errnos ? errno(code as Code, 'connect', url, cause) : errno('EIO', `connect (${cause.message})`, url, cause)
}
