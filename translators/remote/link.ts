// One connection to the peer, made anew whenever it is lost; and the time that each call on it may take.

import { setTimeout as sleep } from 'node:timers/promises'
import { connect, errno, isErrno, NONUNAME } from 'ninep'
import type { AttachOptions, Client, File } from 'ninep'
import type { Log } from '../options.ts'
import type { Call } from '../translator.ts'

/** Milliseconds to the second attempt, doubled after each further one, to the most. */
const AGAIN = 50, MOST = 5000
/** Milliseconds that the peer has to answer a Tflush, before it is taken for dead. */
const GRACE = 1000
/** Milliseconds without a breach of the protocol, after which the next is told of. */
const QUIET = 60_000

/** timeout: milliseconds of a call, waiting for the peer included. user: digits, or a name of the peer's. */
export interface Where { readonly url: string; readonly aname: string; readonly user: string; readonly timeout: number; readonly msize: number }

/** A connection, and the root on it. killed: it was ended here, with what was on its way perhaps still to be done. */
export interface Session { readonly client: Client; readonly root: File; killed: boolean }

/**
 * What may be sent a second time when the connection went before the answer came: 'reads' change nothing; 'writes' come to the
 * same twice, unless the first may still be on its way; what is to be done 'once' never.
 */
export type Again = 'reads' | 'writes' | 'once'

/** What is said of a peer, once: that it is gone, that it is back, that it does not keep to the protocol. */
export class Voice {
  #down = 0
  #lied = -Infinity
  constructor(private readonly log: Log, private readonly url: string) {}
  lost(cause: unknown): void {
    if (this.#down++ === 0) this.log.warn({ peer: this.url }, `the peer is gone, and looked for: ${message(cause)}`)
  }
  back(): void {
    if (--this.#down > 0) return
    this.log.info({ peer: this.url }, 'the peer is back')
  }
  /** What the peer may not say. */
  lie(what: string, cause?: unknown): Error {
    const now = performance.now()
    if (now - this.#lied > QUIET) this.log.error({ peer: this.url }, `the peer breaks the protocol: ${what}`)
    this.#lied = now
    return errno('EIO', `the peer breaks the protocol: ${what}`, undefined, cause)
  }
}
export function message(error: unknown): string { return error instanceof Error ? error.message : String(error) }

export class Link {
  #session: Session | undefined
  #looking: Promise<void> | undefined
  readonly #ending = new AbortController()
  constructor(readonly where: Where, readonly voice: Voice) {}
  /** The connection there is. */
  get client(): Client | undefined { return this.#session?.client }

  /** The first connection. patient: a peer that is not there yet is waited for, as long as a call would be. */
  async start(patient: boolean): Promise<Session> {
    const until = performance.now() + this.where.timeout
    for (let wait = AGAIN; ; wait = Math.min(2 * wait, MOST)) {
      try { return await this.#dial(until) } catch (e) {
        if (!patient || performance.now() + wait > until) throw e
      }
      await sleep(wait, undefined, { signal: this.#ending.signal })
    }
  }

  /** Runs f on the connection there is, or on the next. The peer's refusals pass; ETIMEDOUT: it was not there in time, or did not answer; EIO. */
  async run<T>(again: Again, f: (session: Session, signal: AbortSignal) => Promise<T>, call?: Call): Promise<T> {
    const until = performance.now() + this.where.timeout
    for (;;) {
      const session = this.#session && !this.#session.client.closed ? this.#session : await this.#next(until)
      try { return await this.#within(session, until, f, call) } catch (e) {
        if (!session.client.closed || !isLoss(e)) throw isErrno(e, 'EPROTO') ? this.voice.lie(message(e), e) : e
        if (isErrno(e, 'EPROTO')) throw this.voice.lie(message(e), e)
        if (this.#ending.signal.aborted) throw e
        if (performance.now() >= until) throw errno('ETIMEDOUT', 'the peer does not answer', this.where.url, e)
        if (again === 'once' || (again === 'writes' && session.killed)) throw errno('EIO', 'the connection was lost before the answer: it may have been done', this.where.url, e)
      }
    }
  }
  async #within<T>(session: Session, until: number, f: (session: Session, signal: AbortSignal) => Promise<T>, call?: Call): Promise<T> {
    const controller = new AbortController()
    let grace: NodeJS.Timeout | undefined
    const timer = setTimeout(() => {
      controller.abort(errno('ETIMEDOUT', 'the peer does not answer', this.where.url))
      grace = setTimeout(() => this.#kill(session), GRACE)
    }, Math.max(0, until - performance.now()))
    call?.onAbort(() => controller.abort(errno('ECANCELED', 'call')))
    try { return await f(session, controller.signal) } finally {
      clearTimeout(timer)
      clearTimeout(grace)
    }
  }
  #kill(session: Session): void {
    session.killed = true
    void session.client.close()
  }

  /** The next connection, if it comes in time. */
  async #next(until: number): Promise<Session> {
    this.#look(errno('ECONNRESET', 'connection lost'))
    const late = new AbortController()
    const limit = sleep(Math.max(0, until - performance.now()), undefined, { signal: late.signal }).catch(() => {})
    try { await Promise.race([this.#looking, limit]) } finally { late.abort() }
    const session = this.#session
    if (this.#ending.signal.aborted) throw errno('EIO', 'the translator was closed')
    if (!session || session.client.closed) throw errno('ETIMEDOUT', 'the peer is not there', this.where.url)
    return session
  }
  #look(cause: unknown): void {
    if (this.#looking || this.#ending.signal.aborted) return
    this.#session = undefined
    this.voice.lost(cause)
    this.#looking = this.#search().finally(() => { this.#looking = undefined })
  }
  async #search(): Promise<void> {
    for (let wait = AGAIN; !this.#ending.signal.aborted; wait = Math.min(2 * wait, MOST)) {
      try {
        await this.#dial(performance.now() + this.where.timeout)
        return this.voice.back()
      } catch { /* it was said that it is gone */ }
      await sleep(wait * (0.75 + Math.random() / 2), undefined, { signal: this.#ending.signal }).catch(() => {})
    }
  }
  async #dial(until: number): Promise<Session> {
    const { url, msize, aname, user } = this.where, { signal } = this.#ending
    const left = () => Math.max(1, until - performance.now())
    const client = await connect(url, { msize, timeout: left(), signal })
    const late = setTimeout(() => void client.close(), left())
    try {
      const root = await client.attach({ aname, ...userOf(user) })
      signal.throwIfAborted()
      const session = this.#session = { client, root, killed: false }
      void client.ended.then(() => { if (this.#session === session) this.#look(errno('ECONNRESET', 'connection lost')) })
      return session
    } catch (e) {
      void client.close()
      throw e
    } finally { clearTimeout(late) }
  }

  async close(): Promise<void> {
    this.#ending.abort(errno('EIO', 'the translator was closed'))
    await this.#session?.client.close()
    await this.#looking
  }
}

/** Whether this is how a client tells that its connection is over. */
function isLoss(error: unknown): boolean { return isErrno(error, 'ECONNRESET') || isErrno(error, 'EPROTO') }

function userOf(user: string): AttachOptions {
  return user === '' ? {} : /^\d+$/.test(user) ? { uid: Number(user) } : { uname: user, uid: NONUNAME }
}
