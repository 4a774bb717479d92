// A server: translators at their paths, listeners, sessions.

import { closeSync } from 'node:fs'
import { Socket } from 'node:net'
import { errno } from 'ninep'
import type { Meters } from '../translators/meter.ts'
import { silent } from '../translators/options.ts'
import type { Log } from '../translators/options.ts'
import type { Translator } from '../translators/translator.ts'
import { claimedDescriptors, descriptorLimit, dupCloexec } from '../translators/sys.ts'
import { Connection, pinnedBytes } from './connection.ts'
import type { Adopt } from './connection.ts'
import { controlTree } from './control/control.ts'
import { Events } from './control/events.ts'
import { Journal } from './control/journal.ts'
import type { Governed } from './control/verbs.ts'
import { Gate } from './gate.ts'
import { Identity } from './identity.ts'
import { defaultLimits } from './limits.ts'
import type { Limits } from './limits.ts'
import { listen, parseListen } from './listen.ts'
import type { Listener } from './listen.ts'
import { LockTable } from './locks.ts'
import { Mounts } from './mounts.ts'
import type { Applied } from './mounts.ts'
import { defaultRules } from './passive.ts'
import type { PassiveRules } from './passive.ts'
import { inheritedPeer, mayClaim, peerOf } from './peer.ts'
import type { Peer } from './peer.ts'
import { Repeats } from './repeats.ts'
import { Session } from './session.ts'
import type { Shared } from './session.ts'
import type { Stack } from './stack.ts'
import type { AttachRules } from './users.ts'
import { Watch } from './watch.ts'
import { Work } from './work.ts'

export interface ServerConfig {
  /** URLs: see listen.ts. */
  readonly listen: readonly string[]
  /** Stacks to start, or running translators, by absolute path; the server owns them from here. */
  readonly namespace: ReadonlyMap<string, Stack | Translator>
  /** Rules by path of the namespace. */
  readonly attach?: ReadonlyMap<string, AttachRules>
  /** A folder that outlives restarts. */
  readonly state?: string
  readonly limits?: Partial<Limits>
  /** What files may carry as a record, to be started by who walks there. */
  readonly passive?: Partial<PassiveRules>
  /** To have every instance measured by that is started from a stack. */
  readonly meters?: Meters
  /** What `reload` in the control tree does. file: absent, that which the server was started with. */
  readonly reload?: Governed['reload']
  readonly log?: Log
}

/** What of a config can change while the server runs. */
export interface Changed extends Pick<ServerConfig, 'attach' | 'limits' | 'passive'> { readonly namespace: ReadonlyMap<string, Stack> }

export interface Server extends AsyncDisposable {
  /** Where it is reached, in the order of `listen`. */
  readonly urls: readonly string[]
  /** Connections that are open now. */
  readonly connections: number
  /** Fids that they have. */
  readonly fids: number
  /** Requests that translators are at work on. */
  readonly requests: number
  /** Bytes that they and their requests hold. */
  readonly held: number
  /** What is mounted, and how to change it. */
  readonly mounts: Mounts
  /**
   * Makes it what a changed config says, all or nothing: see Mounts.apply. Addresses and the state folder stay as they are; rules and limits hold for
   * who comes from then on. Throws an Error that says what is wrong.
   */
  apply(config: Changed): Promise<Applied>
  /** What happens, for who reads it in the control tree. */
  readonly events: Events
  /** Accepts no more, answers what was accepted, ends all connections, syncs and closes all translators. */
  stop(): Promise<void>
  /** Ends all connections at once, whatever is under way: then stop() has nothing to wait for. */
  stopNow(): void
}

/** How often connections are looked after, at the least, milliseconds. */
const LOOK = 1000
/** Connections that were turned away and have not heard it yet, milliseconds that they get for that, and how many do. */
const LEAVE = 1000, LEAVING = 256
/** Descriptors for anything else: listeners, the log, a database, users' lookups. */
const OTHER_FDS = 256

/** Starts serving. Throws an Error that names the place and the remedy; then nothing is left running, the translators neither. */
export async function serve(config: ServerConfig): Promise<Server> {
  const log = new Journal(config.log ?? silent), limits = fitting({ ...defaultLimits, ...config.limits }, config.limits?.connections, log)
  const attach = config.attach ?? new Map<string, AttachRules>()
  const repeats = new Repeats(log)
  let mounts: Mounts | undefined, starting = false
  const listeners: Listener[] = []
  try {
    for (const url of config.listen) mayListen(url, attach)
    const identity = new Identity(config.state)
    starting = true                                       // from here it closes them itself
    mounts = await Mounts.start(config.namespace, identity, log, { ...config, limits, repeats })
    const running = await Running.start(mounts, [...config.namespace.keys()], new Gate(attach), limits, log, repeats, listeners, config.reload)
    for (const url of config.listen) listeners.push(await listen(url, (socket) => running.accept(socket, url), (err) => running.failed(url, err)))
    return running
  } catch (e) {
    for (const listener of listeners) listener.close()
    if (mounts) await mounts.close().catch((err: unknown) => log.warn({ err }, 'a translator did not close well'))
    else if (!starting) await Promise.allSettled([...config.namespace.values()].map(async (what) => { if (!('factory' in what)) await what.close() }))
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
  /** By number. */
  #sessions = new Map<number, Session>()
  #later: Session[] = []
  #shared!: Shared
  #count = 0
  #stopped: Promise<void> | undefined
  #empty: (() => void) | undefined
  /** Waiting for translators was given up. */
  #given = givenUp()
  #watch: Watch
  /** Those that have agreed on nothing yet, and since when they are expected to. */
  #young = new Map<Session, { since: number; readonly local: boolean }>()
  /** How many connections each user or host has, but for those who may claim to be anybody. */
  #counts = new Map<number | string, number>()
  /** Turned away: they are read until they close, or what they said would turn the end into a reset. */
  #leaving = new Set<Socket>()
  #looks: NodeJS.Timeout
  readonly events = new Events()
  /** Those that the config names: what else is mounted came by settrans. */
  #paths: Iterable<string>
  private constructor(readonly mounts: Mounts, paths: Iterable<string>, private readonly limits: Limits, private readonly log: Journal, private readonly repeats: Repeats, private readonly listeners: Listener[]) {
    this.#paths = paths
    this.#watch = new Watch(limits, pinnedBytes)
    const shortest = Math.min(limits['version-timeout'], limits['frame-timeout'], limits['send-timeout'])
    this.#looks = setInterval(() => this.#look(), Math.min(LOOK, shortest * 250)).unref()
  }

  static async start(mounts: Mounts, paths: Iterable<string>, gate: Gate, limits: Limits, log: Journal, repeats: Repeats, listeners: Listener[], reload: Governed['reload'] = noConfig): Promise<Running> {
    const running = new Running(mounts, paths, limits, log, repeats, listeners), { events } = running
    try {
      const control = await mounts.namespace.aside('(ctl)', await controlTree({ mounts, sessions: running.#sessions, events, journal: log, reload }))
      running.#shared = {
        namespace: mounts.namespace, passive: mounts.passive, locks: new LockTable(), gate, control, limits, log, work: new Work(), watch: running.#watch, repeats: repeats,
        later: (session) => running.#finishLater(session),
      }
    } catch (e) {
      clearInterval(running.#looks)
      throw e
    }
    mounts.onChange = (event, { id, path, stack }) => events.emit(event, () => ({ translator: id, path, stack }))
    log.onTrouble = (level, fields, message) => events.emit('log', () => {
      const { translator, err } = fields as { translator?: unknown; err?: { message?: unknown } }
      return { level, message, translator, error: err?.message }
    })
    return running
  }

  async apply({ namespace, attach = new Map(), limits, passive }: Changed): Promise<Applied> {
    for (const { url } of this.listeners) mayListen(url, attach)
    const applied = await this.mounts.apply(namespace, this.#paths)
    this.#paths = [...namespace.keys()]
    this.#shared.gate.change(attach)
    this.mounts.passive.rules = { ...defaultRules, ...passive }
    Object.assign(this.limits, fitting({ ...defaultLimits, ...limits }, limits?.connections, this.log))
    return applied
  }

  get urls(): readonly string[] { return this.listeners.map(({ url }) => url) }
  get connections(): number { return this.#sessions.size }
  get fids(): number { return [...this.#sessions.values()].reduce((sum, { fids }) => sum + fids.size, 0) }
  get requests(): number { return this.#shared.work.count }
  get held(): number { return this.#watch.total }

  /** One sweep for all: what is idle costs no timer. */
  #look(): void {
    for (const { connection } of this.#sessions.values()) connection.lookAfter()
    const now = performance.now() / 1000, timeout = this.limits['version-timeout']
    for (const [session, young] of this.#young) {
      // Who is let in by the mode of a socket file may hold it ready without a word: QEMU opens it when a guest starts, which
      // mounts later, or never. The number of connections is its limit; and half a Tversion is still cut off.
      if (session.versioned) this.#young.delete(session)
      else if (young.local && session.connection.silent) young.since = now
      else if (now - young.since >= timeout) session.connection.destroy(`no Tversion within ${timeout} s`)
    }
    this.#watch.look()
    this.repeats.look()
  }

  failed(url: string, err: Error): void { this.repeats.warn({ url, err }, 'a connection could not be accepted') }

  accept(socket: Socket, url: string): void {
    const { limits } = this
    if (this.#sessions.size >= limits.connections) {
      this.#turnAway(socket, { url, limit: limits.connections }, 'too many connections: one was turned away')
      return
    }
    const peer = url.startsWith('fd:') ? inheritedPeer() : peerOf(socket)
    if (!(peer instanceof Promise) && this.#tooMany(peer)) {
      this.#turnAway(socket, { url, limit: limits.connections, who: nameOf(peer) }, 'half of all connections are one user\'s or host\'s: one was turned away')
      return
    }
    const number = ++this.#count, session = new Session(this.#shared, peer, `${url}#${number}`)
    session.onGone = () => {
      this.#sessions.delete(number)
      this.events.emit('disconnected', () => ({ connection: number, on: url }))
      this.#young.delete(session)
      this.#counted(session, -1)
      if (this.#sessions.size === 0) this.#empty?.()
    }
    this.#sessions.set(number, session)
    this.events.emit('connected', () => ({ connection: number, on: url }))
    this.#young.set(session, { since: performance.now() / 1000, local: !url.startsWith('tcp:') })
    try { session.connection = new Connection(session, socket, adopt, this.#watch) } catch (err) {
      this.repeats.warn({ url, err }, 'a connection could not be taken over')
      socket.destroy()
      session.onGone()
      return
    }
    if (peer instanceof Promise) void peer.then((peer) => this.#admitted(session, peer))
    else this.#admitted(session, peer)
  }

  /** Of all connections one user (or host) has half at most, so that there are some for others: but for those who may claim to be anybody. */
  #tooMany(peer: Peer): boolean {
    return !mayClaim(peer, 0) && (this.#counts.get(whoIs(peer)) ?? 0) + 1 > this.limits.connections / 2
  }
  #admitted(session: Session, peer: Peer): void {
    if (mayClaim(peer, 0) || session.over) return
    const late = this.#tooMany(peer)
    session.who = whoIs(peer)
    this.#counted(session, 1)
    if (late) session.connection.destroy(`half of ${this.limits.connections} connections are those of ${nameOf(peer)}`)
  }
  #counted({ who }: Session, by: number): void {
    if (who === undefined) return
    const count = (this.#counts.get(who) ?? 0) + by
    if (count > 0) this.#counts.set(who, count)
    else this.#counts.delete(who)
  }

  #turnAway(socket: Socket, fields: object, why: string): void {
    this.repeats.warn(fields, why, 1)
    socket.on('error', () => {})
    if (this.#leaving.size >= LEAVING) { socket.destroySoon(); return }
    this.#leaving.add(socket)
    const timer = setTimeout(() => socket.destroy(), LEAVE)
    socket.on('close', () => {
      clearTimeout(timer)
      this.#leaving.delete(socket)
    })
    socket.end()
    socket.resume()
  }

  /** Sessions whose requests settled in this turn answer together: one write each. */
  #finishLater(session: Session): void {
    if (this.#later.push(session) > 1) return
    setImmediate(() => { for (const each of this.#later.splice(0)) each.finish() })
  }

  stop(): Promise<void> { return this.#stopped ??= this.#stop() }
  async #stop(): Promise<void> {
    for (const listener of this.listeners) listener.close()
    for (const socket of this.#leaving) socket.destroy()
    this.events.end()
    const timer = setTimeout(() => this.#late(), this.limits['finish-timeout'] * 1000)
    try {
      if (this.#sessions.size > 0) {
        const empty = new Promise<void>((resolve) => { this.#empty = resolve })
        for (const session of [...this.#sessions.values()]) session.stop()
        await empty
      }
      const { work } = this.#shared
      await Promise.race([work.idle(), this.#given.promise])
      if (work.count > 0) this.log.warn({ requests: work.count }, 'translators are still at work on requests, and are closed all the same')
      await this.mounts.close(this.#given.promise)
    } finally {
      clearTimeout(timer)
      clearInterval(this.#looks)
      this.repeats.look(true)
    }
  }
  /** Who has not finished by now is cut off. */
  #late(): void {
    for (const session of [...this.#sessions.values()]) session.connection.destroy('it took too long to finish while the server stops')
    this.#given.up()
  }
  stopNow(): void {
    for (const session of [...this.#sessions.values()]) session.connection.destroy()
    this.#given.up()
  }
  async [Symbol.asyncDispose](): Promise<void> { await this.stop() }
}

/** Whose connections are counted together. */
function whoIs(peer: Peer): number | string { return peer.uid ?? peer.address ?? 'unknown' }
function nameOf(peer: Peer): string { return peer.uid === undefined ? String(whoIs(peer)) : `uid ${peer.uid}` }

/**
 * The limits, with no more connections than there are descriptors for, beside those that translators may take: who is beyond is to be
 * turned away, and not to find the server without a descriptor for anything.
 */
function fitting(limits: Limits, asked: number | undefined, log: Log): Limits {
  const may = descriptorLimit(), translators = claimedDescriptors(), left = Math.max(may - translators - OTHER_FDS, 16)
  if (limits.connections <= left) return limits
  const fields = { connections: limits.connections, descriptors: may, translators, 'room for': left }
  const message = 'the limit of connections is lower than it says, for want of descriptors: raise ulimit -Hn (LimitNOFILE), or lower max-fds of posix'
  if (asked === undefined) log.info(fields, message)
  else log.warn(fields, message)
  return { ...limits, connections: left }
}

function noConfig(): Promise<never> { return Promise.reject(errno('EINVAL', 'this server was not started with a config, and can read none')) }

function givenUp(): { readonly promise: Promise<void>; readonly up: () => void } {
  let up!: () => void
  const promise = new Promise<void>((resolve) => { up = resolve })
  return { promise, up }
}

/**
 * The same connection as a socket that reads where we say. Node gives accepted sockets no such option, but takes a
 * descriptor: so a duplicate is made, and the socket that was accepted is let go, which ends nothing.
 */
const adopt: Adopt = (accepted, onread) => {
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
