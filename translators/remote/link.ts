// One connection to the peer, made anew whenever it is lost; and the time that each call on it may take.

import { setTimeout as sleep } from 'node:timers/promises'
import { connect, errno, isErrno, NONUNAME } from 'ninep'
import type { AttachOptions, Client, File, Signal } from 'ninep'
import type { Log } from '../options.ts'
import type { Call } from '../translator.ts'

/** Milliseconds to the second attempt, doubled after each further one, to the most; after a connection that lasted so long there is no wait. */
const AGAIN = 50, MOST = 5000, LASTS = 10_000
/** The most where the peer is a program that is run here, and may be there soon. */
const SOON = 250
/** Milliseconds that a program may take until it listens. */
const STARTS = 30_000
/** Milliseconds that the peer has to answer a Tflush, before it is taken for dead. */
const GRACE = 1000
/** Milliseconds that pass before the same is said again. */
const QUIET = 60_000

/** timeout: milliseconds of a call, waiting for the peer included. user: digits, or a name of the peer's. */
export interface Where { readonly url: string; readonly aname: string; readonly user: string; readonly timeout: number; readonly msize: number }
/** A program that is the peer. gone: why there is none now. onGone: called when it has ended. */
export interface Program { readonly gone: Error | undefined; onGone: () => void }

/** A connection, the root on it, and since when. killed: it was ended here, with what was on its way perhaps still to be done. */
export interface Session { readonly client: Client; readonly root: File; readonly since: number; killed: boolean }

/**
 * What may be sent a second time when the connection went before the answer came: 'reads' change nothing; 'writes' come to the
 * same twice, unless the first may still be on its way; what is to be done 'once' never.
 */
export type Again = 'reads' | 'writes' | 'once'

/** What is said of a peer, each once: that it is gone, that it is back, that it does not keep to the protocol. */
export class Voice {
  readonly #down = new Set<Link>()
  #gone = false
  #saidGone = -Infinity
  #saidLie = -Infinity
  constructor(private readonly log: Log, private readonly url: string) {}
  /** It went, or can't be reached still. */
  lost(link: Link, cause: unknown): void {
    this.#down.add(link)
    const now = performance.now()
    if (this.#gone || now - this.#saidGone < QUIET) return
    this.#gone = true
    this.#saidGone = now
    this.log.warn({ peer: this.url }, `the peer is gone, and looked for: ${message(cause)}`)
  }
  back(link: Link): void {
    this.#down.delete(link)
    if (this.#down.size > 0 || !this.#gone) return
    this.#gone = false
    this.log.info({ peer: this.url }, 'the peer is back')
  }
  /** What the peer may not say. */
  lie(what: string, cause?: unknown): Error {
    const now = performance.now()
    if (now - this.#saidLie >= QUIET) this.log.error({ peer: this.url }, `the peer breaks the protocol: ${what}`)
    this.#saidLie = now
    return errno('EIO', `the peer breaks the protocol: ${what}`, undefined, cause)
  }
}
export function message(error: unknown): string { return error instanceof Error ? error.message : String(error) }

/** The time of a call, as the client's signal: an AbortController and a timer for each would cost more than the call. */
class Deadline implements Signal {
  aborted = false
  reason: unknown
  /** Where it is at work. */
  session: Session | undefined
  #told: ((event: { readonly target: unknown }) => void) | undefined
  constructor(readonly until: number) {}
  /** By the client, once for all that goes on under it. */
  addEventListener(_: 'abort', told: (event: { readonly target: unknown }) => void): void { this.#told = told }
  removeEventListener(): void { this.#told = undefined }
  abort(reason: unknown): void {
    if (this.aborted) return
    this.aborted = true
    this.reason = reason
    this.#told?.({ target: this })
  }
}

export class Link {
  #session: Session | undefined
  #looking: Promise<void> | undefined
  /** Milliseconds before the next attempt. */
  #wait = 0
  /** Told when there may be a connection, or none will be. */
  readonly #waiters = new Set<() => void>()
  readonly #ending = new AbortController()
  /** Of the calls under way, the oldest first; and when the next is to be looked at. */
  readonly #deadlines = new Set<Deadline>()
  #timer: NodeJS.Timeout | undefined
  /** program: the peer, where it is one that is run here. Then nothing waits for it while there is none, and nothing is repeated: what it held has ended with it. */
  constructor(readonly where: Where, readonly voice: Voice, readonly program?: Program) {}
  /** The connection there is. */
  get client(): Client | undefined { return this.#session?.client }

  /** The first connection. A program is waited for, as long as a call would be, or a start may take. */
  async start(): Promise<Session> {
    const until = performance.now() + Math.max(this.where.timeout, this.program ? STARTS : 0)
    for (;;) {
      try { return await this.#dial(until) } catch (e) {
        if (this.program?.gone) throw this.program.gone
        if (!this.program || performance.now() + this.#wait > until) throw e
      }
      await this.#pause()
    }
  }

  /** Runs f on the connection there is, or on the next. The peer's refusals pass; ETIMEDOUT: it was not there in time, or did not answer; EIO. */
  async run<T>(again: Again, f: (session: Session, signal: Signal) => Promise<T>, call?: Call): Promise<T> {
    const deadline = this.#begin()
    call?.onAbort(() => deadline.abort(errno('ECANCELED', 'call')))
    try {
      for (;;) {
        const session = deadline.session = this.#session && !this.#session.client.closed ? this.#session : await this.#next(deadline.until, call)
        try { return await f(session, deadline) } catch (e) {
          if (isErrno(e, 'EPROTO')) throw this.voice.lie(message(e), e)
          if (!session.client.closed || !isErrno(e, 'ECONNRESET') || this.#ending.signal.aborted) throw e
          if (performance.now() >= deadline.until) throw errno('ETIMEDOUT', 'the peer does not answer', this.where.url, e)
          if (this.program) throw errno('EIO', 'the program went before it answered', undefined, e)
          if (again === 'once' || (again === 'writes' && session.killed)) throw errno('EIO', 'the connection was lost before the answer: it may have been done', this.where.url, e)
        }
      }
    } finally { this.#deadlines.delete(deadline) }
  }
  #begin(): Deadline {
    const deadline = new Deadline(performance.now() + this.where.timeout)
    this.#deadlines.add(deadline)
    this.#timer ??= setTimeout(() => this.#expire(), this.where.timeout).unref()
    return deadline
  }
  /** What has had its time is given up, and a connection on which that takes too long. */
  #expire(): void {
    const now = performance.now()
    let next = Infinity
    for (const deadline of this.#deadlines) {
      const { until, session } = deadline
      if (until > now) {
        next = Math.min(next, until)
        break                                             // they are in order, all having the same time
      }
      deadline.abort(errno('ETIMEDOUT', 'the peer does not answer', this.where.url))
      if (session && until + GRACE <= now) this.#kill(session)
      next = Math.min(next, Math.max(until + GRACE, now + GRACE / 4))
    }
    this.#timer = next < Infinity ? setTimeout(() => this.#expire(), next - now).unref() : undefined
  }
  #kill(session: Session): void {
    session.killed = true
    void session.client.close()
  }

  /** The next connection, if it comes in time. */
  async #next(until: number, call?: Call): Promise<Session> {
    this.#look(errno('ECONNRESET', 'connection lost'))
    for (;;) {
      const session = this.#session
      if (this.#ending.signal.aborted) throw errno('EIO', 'the translator was closed')
      if (session && !session.client.closed) return session
      if (this.program?.gone) throw this.program.gone
      if (call?.aborted) throw errno('ECANCELED', 'call')
      if (performance.now() >= until) throw errno('ETIMEDOUT', 'the peer is not there', this.where.url)
      await new Promise<void>((resolve) => {
        const wake = () => {
          clearTimeout(timer)
          this.#waiters.delete(wake)
          resolve()
        }
        const timer = setTimeout(wake, Math.max(1, until - performance.now()))
        this.#waiters.add(wake)
        call?.onAbort(wake)
      })
    }
  }
  /** Has all who wait look again. */
  wake(): void { for (const wake of [...this.#waiters]) wake() }

  #look(cause: unknown): void {
    if (this.#looking || this.#ending.signal.aborted) return
    this.#wait = this.#session && performance.now() - this.#session.since > LASTS ? 0 : this.#longer
    this.#session = undefined
    this.voice.lost(this, cause)
    this.#looking = this.#search().finally(() => { this.#looking = undefined })
  }
  async #search(): Promise<void> {
    while (!this.#ending.signal.aborted) {
      await this.#pause()
      try {
        await this.#dial(performance.now() + this.where.timeout)
        this.voice.back(this)
        return this.wake()
      } catch (e) { this.voice.lost(this, e) }
    }
  }
  get #longer(): number { return Math.min(Math.max(AGAIN, 2 * this.#wait), this.program ? SOON : MOST) }
  async #pause(): Promise<void> {
    if (this.#wait > 0) await sleep(this.#wait * (0.75 + Math.random() / 2), undefined, { signal: this.#ending.signal }).catch(() => {})
    this.#wait = this.#longer
  }
  async #dial(until: number): Promise<Session> {
    const { url, msize, aname, user } = this.where, { signal } = this.#ending
    const left = () => Math.max(1, until - performance.now())
    const client = await connect(url, { msize, timeout: left(), signal })
    const late = setTimeout(() => void client.close(), left())
    try {
      const root = await client.attach({ aname, ...userOf(user) })
      signal.throwIfAborted()
      const session = this.#session = { client, root, since: performance.now(), killed: false }
      void client.ended.then(() => { if (this.#session === session) this.#look(errno('ECONNRESET', 'connection lost')) })
      return session
    } catch (e) {
      void client.close()
      throw e
    } finally { clearTimeout(late) }
  }

  async close(): Promise<void> {
    this.#ending.abort(errno('EIO', 'the translator was closed'))
    this.wake()
    clearTimeout(this.#timer)
    await this.#session?.client.close()
    await this.#looking
  }
}

function userOf(user: string): AttachOptions {
  return user === '' ? {} : /^\d+$/.test(user) ? { uid: Number(user) } : { uname: user, uid: NONUNAME }
}
