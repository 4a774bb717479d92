// The connection to the server, made again when it is lost, for as long as was said.

import { connect, isErrno, errno } from 'ninep'
import type { Client, Qid } from 'ninep'
import type { Log } from '../../translators/options.ts'

/** One life of the connection. Fids are of one session and mean nothing in the next: whoever holds one holds this beside it. */
export interface Session {
  readonly client: Client
  /** The root as each user came in, by uid: a fid, or what he was told. */
  readonly roots: Map<number, Promise<Root>>
  /** Whether the server took a request for a fid that was still being made. */
  pipelines: boolean
}
export interface Root { readonly fid: number; readonly qid: Qid }

export interface LinkOptions {
  readonly url: string
  readonly msize: number
  /** Seconds that callers wait for the server to return. */
  readonly reconnect: number
  readonly log: Log
}

/** Milliseconds between attempts, the first and the longest; what one may take. */
const FIRST = 20, LONGEST = 1000, PATIENCE = 5000

export class Link {
  /** Of now; undefined while there is none. */
  session: Session | undefined
  readonly #options: LinkOptions
  #ready: Promise<Session>
  #stopped = false
  /** Has what outlives a connection done in a new one, before anybody else comes to use it. */
  renew: (session: Session) => Promise<void> = async () => {}

  private constructor(options: LinkOptions, session: Session) {
    this.#options = options
    this.#ready = Promise.resolve(session)
    this.#take(session)
  }
  /** Throws what keeps the first connection from being made. */
  static async open(options: LinkOptions): Promise<Link> { return new Link(options, await dial(options)) }

  #take(session: Session): void {
    this.session = session
    void session.client.ended.then(() => this.lost(session))
  }

  /** To be called by who sees it first: requests fail before the stream has said that it is over. */
  lost(session: Session): void {
    if (this.session !== session) return
    this.session = undefined
    if (this.#stopped) return
    const { log, url, reconnect } = this.#options
    log.warn({ url }, `the server is gone: waiting up to ${reconnect} s for it`)
    const again = this.#again()
    // Callers wait for the time that was said, and from then on get EIO at once, until there is a connection again.
    this.#ready = new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        if (reconnect > 0) log.error({ url }, `the server did not return within ${reconnect} s: EIO until it does`)
        reject(errno('EIO', 'the server is gone'))
      }, reconnect * 1000)
      again.then((session) => {
        clearTimeout(late)
        resolve(session)
      }, reject)
    })
    this.#ready.catch(() => {})
    again.then((session) => {
      this.#ready = Promise.resolve(session)
      log.info({ url }, 'the server is back')
      this.#take(session)
    }, () => {})
  }

  async #again(): Promise<Session> {
    for (let wait = FIRST; !this.#stopped; wait = Math.min(wait * 2, LONGEST)) {
      try {
        const session = await dial(this.#options)
        try {
          await this.renew(session)
          return session
        } catch (error) {
          if (!session.client.closed) void session.client.close()
          throw error
        }
      } catch (error) {
        this.#options.log.debug({ err: error }, 'the server is not back yet')
      }
      await new Promise((done) => setTimeout(done, wait))
    }
    throw errno('EIO', 'unmounted')
  }

  /** A session, when there is one. EIO: the time for that is over. */
  ready(): Promise<Session> { return this.#ready }

  async close(): Promise<void> {
    this.#stopped = true
    await this.session?.client.close()
  }
}

async function dial({ url, msize }: LinkOptions): Promise<Session> {
  const client = await connect(url, { msize, timeout: PATIENCE })
  return { client, roots: new Map(), pipelines: true }
}

/** Whether this error is of a connection that ended, and not an answer. */
export function wasLost({ client }: Session, error: unknown): boolean {
  return client.closed && isErrno(error) && (error.code === 'ECONNRESET' || error.code === 'EPROTO' || error.code === 'EPIPE')
}

/** The root as this user may have it, once in each session. */
export function rootOf(session: Session, uid: number, aname: string): Promise<Root> {
  let root = session.roots.get(uid)
  if (!root) {
    session.roots.set(uid, root = attach(session.client, uid, aname))
    root.catch(() => session.roots.delete(uid))            // he may be let in another time
  }
  return root
}
async function attach(client: Client, uid: number, aname: string): Promise<Root> {
  const { fid, qid } = await client.attach({ uid, aname, uname: '' })
  return { fid, qid }
}
