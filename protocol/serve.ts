// A server over one stream: frames in, replies out, by the table. What the messages do is for its handlers to say.

import { copied } from './bytes.ts'
import { codecs } from './codec.ts'
import { HEADER } from './constants.ts'
import { PAYLOAD_HEAD } from './dirent.ts'
import { enameOf } from './ename.ts'
import { errno, isErrno, type Errno } from './errno.ts'
import { Fids } from './fids.ts'
import { getU16 } from './fixed.ts'
import { Inbox, Outbox } from './frames.ts'
import { nameOf, type Dialect, type Fields, type Reply, type Request } from './messages.ts'
import { duplexOf, type ByteStream, type DuplexStream } from './stream.ts'
import type { Qid } from './types.ts'

/** What a request comes with. */
export interface Call {
  /** Aborts when nobody waits for the answer any more: Tflush, or the end of the session. It only hastens the end. */
  readonly signal: AbortSignal
}
/** What to do for each request: the fields of its answer, now or later. An Errno that is thrown is the answer, too. */
export type Handlers<D extends Dialect = '9P2000.L'> = {
  readonly [N in Exclude<Request<D>, 'Tversion' | 'Tflush'>]?: (fields: Fields<N, D>, call: Call) => Fields<Reply<N, D>, D> | Promise<Fields<Reply<N, D>, D>>
}
/** From one Tversion to the next, or to the end of the connection. */
export interface Session<F extends { readonly qid: Qid }> {
  readonly fids: Fids<F>
  /** The largest message, bytes. */
  readonly msize: number
  /** Aborts when the session ends: what its fids stand for is to be let go. */
  readonly signal: AbortSignal
}
export interface ServeOptions<D extends Dialect> {
  /** What is spoken. Default '9P2000.L'; who asks for another is told 'unknown'. */
  readonly dialect?: D
  /** The largest message to agree to, bytes. Default 1 MiB + 24. */
  readonly msize?: number
  /** Requests of this client that may be at work; more are read when they are done. Default 256. */
  readonly requests?: number
  /** Told what a handler threw that is no Errno, and so a bug; the client has EIO. Default: console.error. */
  readonly onBug?: (error: unknown, request: string) => void
}

const MSIZE = 1024 * 1024 + 24
const LEAST_MSIZE = 512

/**
 * Answers what comes over a stream, which is the server's from there on. `session` makes the handlers of each session.
 * A request without a handler is EOPNOTSUPP, or for Tauth ENOENT: nobody has to prove who he is. Tversion and Tflush are answered here; `count` of Tread and Treaddir is at most
 * what an answer holds. Settles when the connection is over, with what was wrong: undefined if the client just left.
 */
export function serve<F extends { readonly qid: Qid } = any, D extends Dialect = '9P2000.L'>(
  stream: ByteStream, session: (session: Session<F>) => Handlers<D>, options: ServeOptions<D> = {},
): Promise<Errno | undefined> {
  return new Promise((resolve) => new Connection(duplexOf(stream), session as never, options, resolve))
}

type Handler = (fields: object, call: Call) => object | Promise<object>
interface Run { readonly handlers: Readonly<Record<string, Handler | undefined>>; readonly ends: AbortController; readonly calls: Map<number, Pending> }

/** A request at work. */
class Pending implements Call {
  /** Of the Tflushes that wait for it. */
  readonly flushes: number[] = []
  #controller: AbortController | undefined
  #reason: Errno | undefined
  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#reason) this.#controller.abort(this.#reason)
    return this.#controller.signal
  }
  abort(reason: Errno): void {
    this.#reason ??= reason
    this.#controller?.abort(this.#reason)
  }
}

class Connection {
  readonly #stream: DuplexStream
  readonly #make: (session: Session<any>) => Run['handlers']
  readonly #dialect: Dialect
  readonly #most: number
  readonly #requests: number
  readonly #onBug: (error: unknown, request: string) => void
  readonly #inbox: Inbox
  readonly #outbox: Outbox
  #msize: number
  #run: Run | undefined
  #paused = false
  /** Frames that came when there was enough to do. */
  readonly #waiting: Uint8Array[] = []
  #wrong: Errno | undefined
  #over = false

  constructor(
    stream: DuplexStream, make: (session: Session<any>) => Run['handlers'],
    { dialect = '9P2000.L', msize = MSIZE, requests = 256, onBug = (error, request) => console.error(request, error) }: ServeOptions<Dialect>,
    done: (wrong: Errno | undefined) => void,
  ) {
    this.#stream = stream
    this.#make = make
    this.#dialect = dialect
    this.#msize = this.#most = msize
    this.#requests = requests
    this.#onBug = onBug
    this.#outbox = new Outbox(stream)
    this.#outbox.dialect = dialect
    this.#inbox = new Inbox(msize, (b, start, end) => this.#take(b, start, end), (size) => this.#fail(errno('EPROTO', `a frame of ${size} bytes`)))
    stream.on('error', (cause) => { this.#wrong ??= errno('ECONNRESET', `connection lost (${cause.message})`, undefined, cause) })
    stream.on('drain', () => this.#resume())
    stream.on('end', () => {
      this.#outbox.flush()
      this.#over = true
      stream.end(() => stream.destroy())
    })
    stream.on('close', () => {
      this.#end()
      done(this.#wrong)
    })
    stream.on('data', (chunk) => this.#inbox.feed(chunk))
  }

  #frame(b: Uint8Array, start: number, end: number): void {
    const tag = getU16(b, start + 5), name = nameOf(b[start + 4]!, this.#dialect) as string | undefined, run = this.#run
    if (name === 'Tversion') return this.#version(tag, b, start, end)
    if (!run) return this.#refuse(tag, errno('EINVAL', 'a request before Tversion'))
    if (name === 'Tflush') return this.#flush(run, tag, b, start, end)
    const handler = name === undefined ? undefined : run.handlers[name]
    if (!handler) return this.#refuse(tag, errno(name === 'Tauth' ? 'ENOENT' : 'EOPNOTSUPP', name))   // ENOENT: none is needed; diod's clients take no other
    if (run.calls.has(tag)) return this.#fail(errno('EPROTO', `tag ${tag} again, before its request was answered`))
    const call = new Pending()
    try {
      const reply = handler.call(run.handlers, this.#fields(name!, b, start, end), call)
      if (!(reply instanceof Promise)) return this.#answer(name!, tag, reply)
      run.calls.set(tag, call)
      reply.then((fields) => this.#settle(run, tag, call, () => this.#answer(name!, tag, fields)), (error) => this.#settle(run, tag, call, () => this.#failed(name!, tag, error)))
    } catch (error) {
      this.#failed(name!, tag, error)
    }
  }
  /** The fields of a request, the handler's to keep. */
  #fields(name: string, b: Uint8Array, start: number, end: number): object {
    const fields = (codecs[this.#dialect].decoders as any)[name](b, start + HEADER, end)
    if (name === 'Tread' || name === 'Treaddir') return { ...fields, count: Math.min(fields.count, this.#msize - PAYLOAD_HEAD) }
    return name === 'Twrite' ? { ...fields, data: copied(fields.data) } : fields
  }
  #settle(run: Run, tag: number, call: Pending, answer: () => void): void {
    if (run.calls.get(tag) !== call || this.#run !== run) return
    run.calls.delete(tag)
    answer()
    for (const flush of call.flushes) this.#put('Rflush', flush, {})
    this.#resume()
  }

  // Answers

  #answer(name: string, tag: number, fields: object): void {
    try { this.#put(`R${name.slice(1)}`, tag, fields) } catch (error) { this.#failed(name, tag, error) }
  }
  #failed(name: string, tag: number, error: unknown): void {
    if (!isErrno(error)) this.#onBug(error, name)
    this.#refuse(tag, isErrno(error) ? error : errno('EIO', name))
  }
  #refuse(tag: number, { code, errno }: Errno): void {
    if (this.#dialect === '9P2000.L') this.#put('Rlerror', tag, { ecode: errno })
    else this.#put('Rerror', tag, { ename: enameOf(code), errno })
  }
  #put(name: string, tag: number, fields: object): void { if (!this.#over) this.#outbox.put(name as never, tag, fields as never, this.#msize) }

  // Tversion, Tflush

  #version(tag: number, b: Uint8Array, start: number, end: number): void {
    let asked: Fields<'Tversion'>
    try { asked = codecs[this.#dialect].decoders.Tversion(b, start + HEADER, end) } catch (error) { return this.#failed('Tversion', tag, error) }
    this.#end()
    const known = asked.version === this.#dialect && asked.msize >= LEAST_MSIZE
    this.#msize = this.#inbox.limit = known ? Math.min(asked.msize, this.#most) : this.#most
    if (known) {
      const ends = new AbortController()
      this.#run = { handlers: this.#make({ fids: new Fids(), msize: this.#msize, signal: ends.signal }), ends, calls: new Map() }
    }
    this.#put('Rversion', tag, { msize: Math.min(asked.msize, this.#most), version: known ? this.#dialect : 'unknown' })
  }
  /** What is aborted is still answered, and Rflush stands behind that. */
  #flush(run: Run, tag: number, b: Uint8Array, start: number, end: number): void {
    let oldtag: number
    try { oldtag = codecs[this.#dialect].decoders.Tflush(b, start + HEADER, end).oldtag } catch (error) { return this.#failed('Tflush', tag, error) }
    const call = run.calls.get(oldtag) ?? [...run.calls.values()].find(({ flushes }) => flushes.includes(oldtag))
    if (!call) return this.#put('Rflush', tag, {})
    call.flushes.push(tag)
    call.abort(errno('EINTR', 'flush'))
  }

  // A client that is faster than its server waits

  #busy(): boolean { return this.#outbox.full || (this.#run !== undefined && this.#run.calls.size >= this.#requests) }
  /** What was read in one piece may ask for more than there is memory. */
  #take(b: Uint8Array, start: number, end: number): void {
    if (!this.#paused && !this.#busy()) return this.#frame(b, start, end)
    this.#waiting.push(copied(b.subarray(start, end)))
    if (this.#paused) return
    this.#paused = true
    this.#stream.pause()
  }
  #resume(): void {
    if (!this.#paused) return
    while (!this.#busy()) {
      const next = this.#waiting.shift()
      if (!next) {
        this.#paused = false
        return void this.#stream.resume()
      }
      this.#frame(next, 0, next.length)
    }
  }

  // Ends

  #fail(wrong: Errno): void {
    this.#wrong ??= wrong
    this.#over = true
    this.#waiting.length = 0
    this.#inbox.stop()
    this.#stream.destroy()
  }
  /** Of a session: nothing of it is answered any more. */
  #end(): void {
    const run = this.#run
    this.#run = undefined
    if (!run) return
    const reason = errno('ECONNRESET', 'the session is over')
    for (const call of run.calls.values()) call.abort(reason)
    run.ends.abort(reason)
  }
}
