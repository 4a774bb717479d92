// Listeners: tcp://HOST:PORT, unix:PATH[?mode=0600&owner=UID[:GID]], fd:N.

import { chmodSync, chownSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs'
import { BlockList, connect, createServer, isIP } from 'node:net'
import type { AddressInfo, Server as NetServer, Socket } from 'node:net'
import { dirname } from 'node:path'

/** Connections that wait to be accepted; the system has its own limit (net.core.somaxconn). */
const BACKLOG = 4096

export interface Listener {
  /** Where it is reached: with the port that port 0 became. */
  readonly url: string
  close(): void
}

/** A listen URL, checked. Throws an Error that says what to write instead. */
export type Address =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly loopback: boolean }
  | { readonly kind: 'unix'; readonly path: string; readonly mode: number; readonly owner?: readonly [uid: number, gid: number] }
  | { readonly kind: 'fd'; readonly fd: number }

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

export function parseListen(url: string): Address {
  const tcp = /^tcp:\/\/(?:\[([0-9a-fA-F:.]+)\]|([^:/[\]]+)):(\d{1,5})\/?$/.exec(url)
  if (tcp) {
    const host = tcp[1] ?? tcp[2]!, port = Number(tcp[3]), version = isIP(host)
    if (port > 65535) throw new Error(`${url}: there is no port ${port}`)
    if (version === 0 && host !== 'localhost') throw new Error(`${url}: "${host}" is no address. Write the numbers: tcp://127.0.0.1:5640`)
    return { kind: 'tcp', host, port, loopback: version === 0 || loopback.check(host, version === 6 ? 'ipv6' : 'ipv4') }
  }
  const unix = /^unix:([^?]+)(?:\?(.*))?$/.exec(url)
  if (unix) return parseUnix(url, unix[1]!, unix[2] ?? '')
  const fd = /^fd:(\d{1,6})$/.exec(url)
  if (fd) return { kind: 'fd', fd: Number(fd[1]) }
  throw new Error(`${url}: is no place to listen. Write tcp://127.0.0.1:5640, unix:./run/ninefold.sock or fd:3`)
}

function parseUnix(url: string, path: string, query: string): Address {
  if (Buffer.byteLength(path) > 107) throw new Error(`${url}: the path of a unix socket has at most 107 bytes`)
  let mode = 0o600, owner: readonly [number, number] | undefined
  for (const [key, value] of new URLSearchParams(query)) {
    if (key === 'mode' && /^0?[0-7]{3}$/.test(value)) mode = parseInt(value, 8)
    else if (key === 'owner' && /^\d+(:\d+)?$/.test(value)) { const [uid, gid] = value.split(':').map(Number); owner = [uid!, gid ?? -1] }
    else throw new Error(`${url}: ${key}=${value} is not understood. It takes: mode=0600, owner=UID or owner=UID:GID`)
  }
  return { kind: 'unix', path, mode, ...(owner && { owner }) }
}

/** Listens; `accept` gets each connection, paused, `failed` what kept one from being accepted. */
export async function listen(url: string, accept: (socket: Socket) => void, failed: (error: Error) => void): Promise<Listener> {
  const address = parseListen(url)
  const server = createServer({ pauseOnConnect: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 }, accept)
  if (address.kind === 'unix') {
    allowed(url, () => mkdirSync(dirname(address.path), { recursive: true }))
    await clear(address.path)
    // The mode counts from the first moment on: a socket that is made open and closed later was open.
    const before = process.umask(0o777 & ~address.mode)
    try { await listening(server, url, failed, () => server.listen({ path: address.path, backlog: BACKLOG })) } finally { process.umask(before) }
    const { owner } = address
    if (owner) {
      try { allowed(url, () => chownSync(address.path, owner[0], owner[1] === -1 ? process.getgid!() : owner[1])) } catch (e) { server.close(); throw e }
    }
    chmodSync(address.path, address.mode)
    const mine = lstatSync(address.path)
    return {
      url,
      close() {
        // Node removes the path when it closes: unless another server has taken it since.
        try { if (lstatSync(address.path).ino !== mine.ino) { server.unref(); return } } catch { /* gone already */ }
        server.close()
      },
    }
  }
  await listening(server, url, failed, () => address.kind === 'tcp' ? server.listen({ port: address.port, host: address.host, backlog: BACKLOG }) : server.listen({ fd: address.fd, backlog: BACKLOG }))
  if (address.kind === 'fd') return { url, close: () => { server.close() } }
  const { port } = server.address() as AddressInfo
  return { url: `tcp://${isIP(address.host) === 6 ? `[${address.host}]` : address.host}:${port}`, close: () => { server.close() } }
}

/** Does what the system may refuse, and says for which address that was. */
function allowed(url: string, act: () => void): void {
  try { act() } catch (e) { throw new Error(`${url}: ${(e as Error).message}`, { cause: e }) }
}

function listening(server: NetServer, url: string, failed: (error: Error) => void, begin: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (e: NodeJS.ErrnoException) => reject(new Error(
      e.code === 'EADDRINUSE' ? `${url}: something listens there already` : e.code === 'EACCES' ? `${url}: not allowed to listen there` : `${url}: ${e.message}`, { cause: e })))
    server.once('listening', () => {
      server.on('error', failed)                          // without a listener an error would end the process
      resolve()
    })
    begin()
  })
}

/** Removes a socket that nobody listens on any more; refuses what is alive, or no socket. */
async function clear(path: string): Promise<void> {
  let found
  try { found = lstatSync(path) } catch { return }
  if (!found.isSocket()) throw new Error(`unix:${path}: a file that is no socket is there. Remove it, or choose another path.`)
  const alive = await new Promise<boolean>((resolve, reject) => {
    const probe = connect(path)
    probe.once('connect', () => { probe.destroy(); resolve(true) })
    probe.once('error', (e: NodeJS.ErrnoException) => { e.code === 'ECONNREFUSED' || e.code === 'ENOENT' ? resolve(false) : reject(new Error(`unix:${path}: ${e.message}`)) })
  })
  if (alive) throw new Error(`unix:${path}: a server listens there already`)
  unlinkSync(path)
}
