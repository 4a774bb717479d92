// A server: translators at their paths, listeners, sessions.

import { closeSync } from 'node:fs'
import { Socket } from 'node:net'
import { silent } from '../translators/options.ts'
import type { Log } from '../translators/options.ts'
import type { Translator } from '../translators/translator.ts'
import { dupCloexec } from '../translators/sys.ts'
import { Connection } from './connection.ts'
import { Gate } from './gate.ts'
import { Identity } from './identity.ts'
import { defaultLimits } from './limits.ts'
import type { Limits } from './limits.ts'
import { listen, parseListen } from './listen.ts'
import type { Listener } from './listen.ts'
import { LockTable } from './locks.ts'
import { Namespace } from './namespace.ts'
import { inheritedPeer, mayClaim, peerOf } from './peer.ts'
import type { Peer } from './peer.ts'
import { Session } from './session.ts'
import type { Shared } from './session.ts'
import type { AttachRules } from './users.ts'
import { Work } from './work.ts'

export interface ServerConfig {
  /** URLs: see listen.ts. */
  readonly listen: readonly string[]
  /** Running translators by absolute path; the server owns them from here. */
  readonly namespace: ReadonlyMap<string, Translator>
  /** Rules by path of the namespace. */
  readonly attach?: ReadonlyMap<string, AttachRules>
  /** A folder that outlives restarts. */
  readonly state?: string
  readonly limits?: Partial<Limits>
  readonly log?: Log
}

export interface Server extends AsyncDisposable {
  /** Where it is reached, in the order of `listen`. */
  readonly urls: readonly string[]
  /** Connections that are open now. */
  readonly connections: number
  /** Accepts no more, answers what was accepted, ends all connections, syncs and closes all translators. */
  stop(): Promise<void>
  /** Ends all connections at once, whatever is under way: then stop() has nothing to wait for. */
  stopNow(): void
}

/** How often connections that are not being read are looked after, milliseconds. */
const LOOK = 1000

/** Starts serving. Throws an Error that names the place and the remedy; then nothing is left running, the translators neither. */
export async function serve(config: ServerConfig): Promise<Server> {
  const log = config.log ?? silent, limits: Limits = { ...defaultLimits, ...config.limits }
  const attach = config.attach ?? new Map<string, AttachRules>()
  let namespace: Namespace | undefined
  const listeners: Listener[] = []
  try {
    for (const url of config.listen) mayListen(url, attach)
    namespace = await Namespace.assemble(config.namespace, new Identity(config.state), log)
    const running = new Running(namespace, new Gate(attach), limits, log, listeners)
    for (const url of config.listen) listeners.push(await listen(url, (socket) => running.accept(socket, url), (err) => log.warn({ url, err }, 'a connection could not be accepted')))
    return running
  } catch (e) {
    for (const listener of listeners) listener.close()
    if (namespace) await namespace.close().catch((err: unknown) => log.warn({ err }, 'a translator did not close well'))
    else await Promise.allSettled([...config.namespace.values()].map(async (translator) => translator.close()))
    throw e
  }
}

/** Beyond loopback and unix sockets, a line must say who may come in. Throws an Error that says so. */
export function mayListen(url: string, attach: ReadonlyMap<string, AttachRules>): void {
  const address = parseListen(url)
  if (address.kind !== 'tcp' || address.loopback) return
  if ([...attach.values()].some(({ from }) => from.lines.length > 0)) return
  throw new Error(`${url}: is not loopback, and no attach point says who may come in. Write under "attach", "/": from: [192.0.2.0/24]`)
}

class Running implements Server {
  #sessions = new Set<Session>()
  #later: Session[] = []
  #shared: Shared
  #count = 0
  #stopped: Promise<void> | undefined
  #empty: (() => void) | undefined
  /** Waiting for translators was given up. */
  #given = givenUp()
  constructor(private readonly namespace: Namespace, gate: Gate, private readonly limits: Limits, private readonly log: Log, private readonly listeners: Listener[]) {
    this.#shared = { namespace, locks: new LockTable(), gate, limits, log, work: new Work(), later: (session) => this.#finishLater(session) }
  }

  #looks = setInterval(() => { for (const { connection } of this.#sessions) connection.look() }, LOOK).unref()

  get urls(): readonly string[] { return this.listeners.map(({ url }) => url) }
  get connections(): number { return this.#sessions.size }

  accept(socket: Socket, url: string): void {
    if (this.#sessions.size >= this.limits.connections) {
      this.log.warn({ url, limit: this.limits.connections }, 'too many connections: one was turned away')
      socket.destroy()
      return
    }
    const name = `${url}#${++this.#count}`
    const peer = url.startsWith('fd:') ? inheritedPeer() : peerOf(socket)
    const session = new Session(this.#shared, peer, name)
    session.onGone = () => {
      clearInterval(timer)
      this.#sessions.delete(session)
      if (this.#sessions.size === 0) this.#empty?.()
    }
    // Who is let in by the mode of a socket file may hold it ready without a word: QEMU opens it when a guest starts, which
    // mounts later, or never. The number of connections is its limit; and half a Tversion is still cut off.
    const local = !url.startsWith('tcp:')
    const timer = setInterval(() => {
      if (local && session.connection.silent) return
      clearInterval(timer)
      if (!session.versioned) session.connection.destroy(`no Tversion within ${this.limits['version-timeout']} s`)
    }, this.limits['version-timeout'] * 1000)
    timer.unref()
    this.#sessions.add(session)
    void Promise.resolve(peer).then((peer) => this.#admitted(session, peer))
    try { session.connection = new Connection(session, (onread) => adopt(socket, onread)) } catch (e) {
      this.log.warn({ url, err: e }, 'a connection could not be taken over')
      socket.destroy()
      session.onGone()
    }
  }

  /** Of all connections one user (or host) has half at most, so that there are some for others: but for those who may claim to be anybody. */
  #admitted(session: Session, peer: Peer): void {
    if (mayClaim(peer, 0) || !this.#sessions.has(session)) return
    const who = peer.uid ?? peer.address ?? 'unknown'
    session.who = who
    let count = 0
    for (const each of this.#sessions) if (each.who === who) count++
    if (count > this.limits.connections / 2) session.connection.destroy(`more than half of ${this.limits.connections} connections would be those of ${typeof who === 'number' ? 'uid ' : ''}${who}`)
  }

  /** Sessions whose requests settled in this turn answer together: one write each. */
  #finishLater(session: Session): void {
    if (this.#later.push(session) > 1) return
    setImmediate(() => { for (const each of this.#later.splice(0)) each.finish() })
  }

  stop(): Promise<void> { return this.#stopped ??= this.#stop() }
  async #stop(): Promise<void> {
    clearInterval(this.#looks)
    for (const listener of this.listeners) listener.close()
    const timer = setTimeout(() => this.#late(), this.limits['finish-timeout'] * 1000)
    try {
      if (this.#sessions.size > 0) {
        const empty = new Promise<void>((resolve) => { this.#empty = resolve })
        for (const session of [...this.#sessions]) session.stop()
        await empty
      }
      const { work } = this.#shared
      await Promise.race([work.idle(), this.#given.promise])
      if (work.count > 0) this.log.warn({ requests: work.count }, 'translators are still at work on requests, and are closed all the same')
      await this.namespace.close(this.#given.promise)
    } finally { clearTimeout(timer) }
  }
  /** Who has not finished by now is cut off. */
  #late(): void {
    for (const session of [...this.#sessions]) session.connection.destroy('it took too long to finish while the server stops')
    this.#given.up()
  }
  stopNow(): void {
    for (const session of [...this.#sessions]) session.connection.destroy()
    this.#given.up()
  }
  async [Symbol.asyncDispose](): Promise<void> { await this.stop() }
}

function givenUp(): { readonly promise: Promise<void>; readonly up: () => void } {
  let up!: () => void
  const promise = new Promise<void>((resolve) => { up = resolve })
  return { promise, up }
}

/**
 * The same connection as a socket that reads where we say. Node gives accepted sockets no such option, but takes a
 * descriptor: so a duplicate is made, and the socket that was accepted is let go, which ends nothing.
 */
function adopt(accepted: Socket, onread: { buffer: () => Buffer; callback: (n: number) => boolean }): Socket {
  const fd = dupCloexec((accepted as unknown as { _handle: { fd: number } })._handle.fd)
  accepted.destroy()
  try {
    // highWaterMark 1: whatever the kernel did not take at once is followed by a 'drain'
    const options = { fd, readable: true, writable: true, allowHalfOpen: true, writableHighWaterMark: 1, onread }
    return new Socket(options as unknown as ConstructorParameters<typeof Socket>[0])
  } catch (e) {
    closeSync(fd)
    throw e
  }
}
