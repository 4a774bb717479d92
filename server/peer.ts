// Who is at the other end of a connection, and whom they may claim to be (D12: a claim is believed only of those who may make it).

import { open } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { endianness } from 'node:os'
import { errno } from 'ninep'
import { peerCredentials, tcpOwner } from '../translators/sys.ts'
import type { Awaitable } from '../translators/translator.ts'
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
 * owner of the socket at the other end, which sock_diag knows, or where it is not there the tables in /proc. A socket that is closed by the
 * time, or is lost in a table of more than 16 MiB, has no uid. A relay (ssh, a container's proxy) is who it runs as. Never rejects.
 */
export function peerOf(socket: Socket): Awaitable<Peer> {
  const { remoteAddress, remotePort, localAddress, localPort } = socket
  if (remoteAddress !== undefined && remotePort !== undefined && localAddress !== undefined && localPort !== undefined) {
    const address = plain(remoteAddress), loopback = address === '::1' || address.startsWith('127.')
    const peer = (uid: number | undefined): Peer => ({ kind: 'tcp', loopback, address, ...(uid === undefined ? {} : { uid }) })
    if (!loopback) return peer(undefined)
    try { return peer(tcpOwner(bytesOf(address), remotePort, bytesOf(plain(localAddress)), localPort)) } catch { /* it can't tell */ }
    return ownerInTables(address, remotePort, localPort).then(peer)
  }
  const fd = (socket as { _handle?: { fd?: unknown } | null })._handle?.fd
  try {
    const { uid } = peerCredentials(typeof fd === 'number' ? fd : -1)
    if (uid !== 0xffffffff) return { kind: 'unix', loopback: true, uid }
  } catch { /* gone already, or no socket */ }
  return { kind: 'other', loopback: false }
}
/** An IPv4 address as itself, where it comes in the clothes of an IPv6 one. */
function plain(address: string): string { return address.startsWith('::ffff:') ? address.slice(7) : address }
/** An address of loopback, as on the wire. */
function bytesOf(address: string): Uint8Array {
  return Uint8Array.from(address.includes('.') ? address.split('.').map(Number) : [...Array<number>(15).fill(0), 1])
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

/** What of a table in /proc/net is read: some 110 000 sockets. */
const TABLE = 16 * 2 ** 20

/** Who asks: for the socket at one of `places` (as tcp and tcp6 print it) connected to `port`. */
interface Asked { readonly places: readonly string[]; readonly port: string; answer(uid: number | undefined): void }
let asked: Asked[] = []
let reading = false

/**
 * Who owns the socket that is connected from address:port to our port on loopback; undefined if it is not there. The tables are
 * as long as there are sockets, so one reading answers all who asked before it began.
 */
export function ownerInTables(address: string, port: number, ourPort: number): Promise<number | undefined> {
  return new Promise((answer) => {
    const bytes = bytesOf(address), place = (words: Uint8Array) => hex(words) + ':' + hexPort(port)
    const places = bytes.length === 16 ? [place(bytes)] : [place(bytes), place(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...bytes))]
    asked.push({ places, port: ':' + hexPort(ourPort), answer })
    if (!reading) void readTables()
  })
}

async function readTables(): Promise<void> {
  reading = true
  while (asked.length > 0) {
    const now = asked
    asked = []
    const wanted = new Map<string, Asked[]>()
    for (const one of now) for (const place of one.places) wanted.set(place + one.port, [...wanted.get(place + one.port) ?? [], one])
    for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) await search(table, wanted).catch(() => {})
    for (const one of now) one.answer(undefined)            // whom it was not answered yet
  }
  reading = false
}

async function search(table: string, wanted: Map<string, Asked[]>): Promise<void> {
  const file = await open(table)
  try {
    const buffer = Buffer.alloc(65536)
    let rest = ''
    for (let total = 0; total < TABLE;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, null)
      if (bytesRead === 0) return
      total += bytesRead
      const lines = (rest + buffer.toString('latin1', 0, bytesRead)).split('\n')
      rest = lines.pop()!
      for (const line of lines) {
        const [, local, remote, state, , , , uid, , inode] = line.trim().split(/\s+/)
        // Only ESTABLISHED: one that has been closed belongs to no process any more, and the kernel prints 0 for its owner.
        if (state !== '01' || inode === '0') continue
        for (const one of wanted.get(local! + remote!.slice(remote!.indexOf(':'))) ?? []) one.answer(Number(uid))
      }
    }
  } finally {
    await file.close()
  }
}

/** An address as the tables print it: 32-bit words of the machine's order. */
function hex(bytes: Uint8Array): string {
  const at = (i: number) => bytes[endianness() === 'LE' ? (i & ~3) + 3 - (i & 3) : i]!
  return Array.from(bytes, (_, i) => at(i).toString(16).toUpperCase().padStart(2, '0')).join('')
}
function hexPort(port: number): string { return port.toString(16).toUpperCase().padStart(4, '0') }
