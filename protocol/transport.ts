// Where a connection comes from: addresses, and sockets that read right into our buffer.

import { connect, type NetConnectOpts, type Socket } from 'node:net'
import { errno, Errno, errnos, type Code } from './errno.ts'

/** A place to listen at or connect to: `tcp://HOST:PORT` (an IPv6 host in brackets) or `unix:PATH`. */
export type Address = { readonly host: string; readonly port: number } | { readonly path: string }

/** Reads an address. EINVAL: neither of the two. */
export function addressOf(url: string): Address {
  if (url.startsWith('unix:') && url.length > 5) return { path: url.slice(5) }
  const [, ipv6, host, port] = /^tcp:\/\/(?:\[([^\]]+)\]|([^:/@]+)):(\d+)\/?$/.exec(url) ?? []
  if (port === undefined || Number(port) > 65535) throw errno('EINVAL', 'address: write tcp://HOST:PORT or unix:PATH, not', url)
  return { host: (ipv6 ?? host)!, port: Number(port) }
}

/** Takes the bytes of a socket: room() is where the next ones are put, and taken(n) says that n of them are there. */
export interface Reader { room(): Buffer; taken(count: number): void }

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
    const socket = connect({ ...addressOf(url), onread, noDelay: true, keepAlive: true } as unknown as NetConnectOpts)
    const settle = (end: () => void) => {
      socket.removeListener('error', refused)
      socket.removeListener('connect', connected)
      signal?.removeEventListener('abort', aborted)
      end()
    }
    const refused = (cause: Error) => settle(() => reject(systemError('connect', url, cause)))
    const connected = () => settle(() => resolve(socket))
    const aborted = () => settle(() => {
      socket.destroy()
      reject(signal!.reason)
    })
    socket.on('error', refused)
    socket.on('connect', connected)
    signal?.addEventListener('abort', aborted)
  })
}

/** What the system said, as an Errno: its code where it is one of ours, else EIO. */
export function systemError(op: string, subject: string, cause: Error): Errno {
  const code = (cause as NodeJS.ErrnoException).code ?? ''
  return errno(code in errnos ? code as Code : 'EIO', code in errnos ? op : `${op} (${cause.message})`, subject, cause)
}
