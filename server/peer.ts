// Who is at the other end of a connection, and whom they may claim to be (D12: a claim is believed only of those who may make it).

import { open } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { endianness } from 'node:os'
import { errno } from 'ninep'
import { peerCredentials } from '../translators/sys.ts'
import { NOBODY, applyRules } from './users.ts'
import type { AttachRules } from './users.ts'

/** The other end of a connection. uid: whose process it is, absent where that can't be known. address: of TCP, without a port. */
export interface Peer {
  readonly kind: 'unix' | 'tcp' | 'other'
  readonly uid?: number
  readonly loopback: boolean
  readonly address?: string
}

/**
 * Who is at the other end, asked once, when a connection comes in: by SO_PEERCRED on a unix socket; on loopback TCP by the
 * owner of the socket at the other end, from /proc/net/tcp and tcp6. A socket that is closed by the time, or is lost in a table
 * of more than 16 MiB, has no uid. A relay (ssh, a container's proxy) is who it runs as. Never rejects.
 */
export async function peerOf(socket: Socket): Promise<Peer> {
  const { remoteAddress, remotePort, localPort } = socket
  if (remoteAddress !== undefined && remotePort !== undefined && localPort !== undefined) {
    const address = remoteAddress.startsWith('::ffff:') ? remoteAddress.slice(7) : remoteAddress
    const loopback = address === '::1' || address.startsWith('127.')
    const uid = loopback ? await ownerOf(address, remotePort, localPort) : undefined
    return { kind: 'tcp', loopback, address, ...(uid === undefined ? {} : { uid }) }
  }
  const fd = (socket as { _handle?: { fd?: unknown } | null })._handle?.fd
  try {
    const { uid } = peerCredentials(typeof fd === 'number' ? fd : -1)
    if (uid !== 0xffffffff) return { kind: 'unix', loopback: true, uid }
  } catch { /* gone already, or no socket */ }
  return { kind: 'other', loopback: false }
}

/** A stream that the server was given when it was started (fd:N, standard input): whoever did that is the server's own user. */
export function inheritedPeer(): Peer { return { kind: 'other', loopback: true, uid: process.getuid!() } }

/** Whether a local peer may say that it is this uid: root and the server's own user (kernels mount as them) may be anybody,
 *  others themselves, and who is not known nobody. nobody as the server's own user is no privilege: too many are. */
export function mayClaim(peer: Peer, uid: number): boolean {
  if (peer.uid === undefined) return peer.loopback && uid === NOBODY
  const self = process.getuid!()
  return peer.uid === 0 || (peer.uid === self && self !== NOBODY) || peer.uid === uid
}

/**
 * The uid under which a peer that claims `uid` is served at an attach point. Local peers: EPERM if they may not claim it. TCP
 * from elsewhere: EPERM unless a `from` line admits the address; whoever is there may claim any uid, for there is no telling, but a claim
 * of 0 is served as nobody unless the line says root@. Then the map and the squashing of the rules.
 */
export function admit(peer: Peer, rules: AttachRules, uid: number): number {
  if (peer.kind === 'tcp' && !peer.loopback) {
    const line = rules.from.admits(peer.address!)
    if (!line) throw errno('EPERM', 'attach', `from ${peer.address}`)
    if (uid === 0 && line !== 'root') return NOBODY
  } else if (!mayClaim(peer, uid)) throw errno('EPERM', 'attach', `uid ${uid} by uid ${peer.uid ?? 'unknown'}`)
  return applyRules(rules, uid)
}

/** What of /proc/net/tcp is read: some 110 000 sockets. */
const TABLE = 16 * 2 ** 20

/** Who owns the socket that is connected from address:port to our port on loopback; undefined if it is not there. */
async function ownerOf(address: string, port: number, ourPort: number): Promise<number | undefined> {
  for (const table of address === '::1' ? ['/proc/net/tcp6'] : ['/proc/net/tcp', '/proc/net/tcp6']) {
    const uid = await search(table, address, port, ourPort).catch(() => undefined)
    if (uid !== undefined) return uid
  }
  return undefined
}

async function search(table: string, address: string, port: number, ourPort: number): Promise<number | undefined> {
  const want = hex(address, table.endsWith('6')) + ':' + port.toString(16).toUpperCase().padStart(4, '0')
  const to = ':' + ourPort.toString(16).toUpperCase().padStart(4, '0')
  const file = await open(table)
  try {
    const buffer = Buffer.alloc(65536)
    let rest = ''
    for (let total = 0; total < TABLE;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, null)
      if (bytesRead === 0) return undefined
      total += bytesRead
      const lines = (rest + buffer.toString('latin1', 0, bytesRead)).split('\n')
      rest = lines.pop()!
      for (const line of lines) {
        const [, local, remote, state, , , , uid, , inode] = line.trim().split(/\s+/)
        // Only ESTABLISHED: one that has been closed belongs to no process any more, and the kernel prints 0 for its owner.
        if (local === want && remote?.endsWith(to) && state === '01' && inode !== '0') return Number(uid)
      }
    }
    return undefined
  } finally {
    await file.close()
  }
}

/** An address of loopback as the table prints it: 32-bit words of the machine's order. */
function hex(address: string, v6: boolean): string {
  const v4 = address.includes('.') ? address.split('.').map(Number) : undefined
  const bytes = v6 ? (v4 ? [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...v4] : [...Array<number>(15).fill(0), 1]) : v4!
  const at = (i: number) => bytes[endianness() === 'LE' ? (i & ~3) + 3 - (i & 3) : i]!
  return bytes.map((_, i) => at(i).toString(16).toUpperCase().padStart(2, '0')).join('')
}
