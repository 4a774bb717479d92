// A 9P client: requests go out as they are made, answers are matched by tag, and an abort becomes a Tflush.

import { copied } from './bytes.ts'
import { codecs } from './codec.ts'
import { HEADER, NOFID, NONUNAME, NOTAG } from './constants.ts'
import { codeOfEname } from './ename.ts'
import { codeOf, errno, errnos, isErrno, type Errno } from './errno.ts'
import { File } from './file.ts'
import { Inbox, Outbox } from './frames.ts'
import { getU16 } from './fixed.ts'
import { LegacyFile } from './legacy.ts'
import { nameOf, typeOf, type Dialect, type Fields, type Reply, type Request } from './messages.ts'
import { duplexOf, type ByteStream, type DuplexStream } from './stream.ts'

export interface Options {
  /** What to speak, or what can be spoken, the best first: '9P2000.L' unless told. */
  readonly dialect?: Dialect | readonly Dialect[]
  /** The largest message to ask for, bytes; the server may lower it. Default 1 MiB + 24. */
  readonly msize?: number
  /** Milliseconds until a version must be agreed on; ETIMEDOUT. Default: none. */
  readonly timeout?: number
  /** Gives up connecting, with its reason. */
  readonly signal?: AbortSignal
}
/** What of an AbortSignal is used: who makes many, for one call each, has lighter ones of his own. */
export interface Signal {
  readonly aborted: boolean
  readonly reason: unknown
  addEventListener(type: 'abort', told: (event: { readonly target: unknown }) => void): void
  removeEventListener(type: 'abort', told: (event: { readonly target: unknown }) => void): void
}
export interface CallOptions {
  /** An abort sends Tflush. The call then ends with the signal's reason, or with its answer where that came first. */
  readonly signal?: Signal
}
export interface AttachOptions {
  /** Default: none, and in 9P2000, which has no numbers, $USER or 'none'. */
  readonly uname?: string
  readonly aname?: string
  /** Default: the user of this process. 9P2000 can't say it. */
  readonly uid?: number
}

/** What is older than .L, and has other messages in the place of many of its. */
type Older = Exclude<Dialect, '9P2000.L'>

const MSIZE = 1024 * 1024 + 24
const LEAST_MSIZE = 512
/** Milliseconds that close() gives a peer which does not read. */
const CLOSE_WAIT = 1000

/** Connects to `tcp://HOST:PORT` or `unix:PATH` and agrees on a version. EPROTONOSUPPORT: the server does not speak what was asked for. */
export function connect(url: string, options: Options = {}): Promise<Client> { return Client.connect(url, options) }

/** Sockets are Node's, and all else here does without it. */
async function dialer(url: string): Promise<typeof import('./transport.ts').dial> {
  const without = (cause?: unknown) => errno('EOPNOTSUPP', 'connect without the sockets of Node: Client.over() takes any stream', url, cause)
  const { dial } = await import('./transport.ts').catch((cause: unknown) => { throw without(cause) })
  if (!dial) throw without()                               // a bundler for browsers left it out
  return dial
}

/** Runs `work` with a signal of the caller's and of the time allowed. */
async function within<T>({ timeout, signal }: Options, subject: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const passOn = () => controller.abort(signal!.reason)
  if (signal?.aborted) passOn()
  signal?.addEventListener('abort', passOn)
  const timer = timeout === undefined ? undefined : setTimeout(() => controller.abort(errno('ETIMEDOUT', 'connect', subject)), timeout)
  try {
    return await work(controller.signal)
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', passOn)
  }
}

/** A request on its way. */
interface Exchange {
  readonly name: Request | Request<Older>
  readonly fields: object
  readonly resolve: (reply: any) => void
  readonly reject: (error: unknown) => void
  /** Where Rread's data go; the reply then is their count. */
  readonly into: Uint8Array | undefined
  /** Of a Tflush: what it is to end. */
  readonly flushes: Exchange | undefined
  readonly signal: Signal | undefined
  /** -1 before it is sent. */
  tag: number
  /** A Tflush for it was made: its tag is taken until Rflush, whatever comes before that. */
  flushed: boolean
}

/** NOTAG first: an array that begins at its end would be a dictionary. */
function slotOf(tag: number): number { return tag + 1 & 0xffff }

/** Numbers from 0, those freed last first. */
class Numbers {
  readonly #free: number[] = []
  #next = 0
  get taken(): number { return this.#next - this.#free.length }
  take(): number { return this.#free.pop() ?? this.#next++ }
  free(number: number): void { this.#free.push(number) }
}

/** One connection. Its errors are Errnos; once it is lost every call ends with the one that says why. */
export class Client implements AsyncDisposable {
  /** The largest message both sides take, bytes. */
  msize: number
  #dialect: Dialect = '9P2000.L'
  readonly #stream: DuplexStream
  readonly #inbox: Inbox
  readonly #outbox: Outbox
  readonly #tags = new Numbers()
  readonly #fids = new Numbers()
  /** By slotOf(tag). */
  readonly #sent: (Exchange | undefined)[] = []
  /** Held back while tags are short or the stream is full; flushes go first. */
  readonly #waiting = new Set<Exchange>()
  readonly #flushes = new Set<Exchange>()
  /** What each signal would abort. */
  readonly #signals = new Map<Signal, Set<Exchange>>()
  /** Why it is over. */
  #end: { readonly error: unknown } | undefined
  readonly #closed: Promise<void>

  private constructor(stream: DuplexStream, msize: number, inbox: Inbox, copies: boolean) {
    this.msize = msize
    this.#stream = stream
    this.#inbox = inbox
    this.#outbox = new Outbox(stream, copies)
    stream.on('error', (cause) => this.#fail(errno('ECONNRESET', `connection lost (${cause.message})`, undefined, cause)))
    stream.on('end', () => this.#fail(errno('ECONNRESET', 'the server closed the connection')))
    stream.on('drain', () => this.#pump())
    this.#closed = new Promise((resolve) => stream.on('close', () => {
      this.#fail(errno('ECONNRESET', 'connection lost'))
      resolve()
    }))
  }

  /** Speaks over any stream of bytes, which is the client's from there on. */
  static over(stream: ByteStream, options: Options = {}): Promise<Client> {
    return within(options, 'stream', (signal) => {
      const { inbox, start } = Client.#prepare(options)
      const duplex = duplexOf(stream)
      duplex.on('data', (chunk) => inbox.feed(chunk))
      return start(duplex, signal, false)
    })
  }
  /** As connect(). */
  static connect(url: string, options: Options = {}): Promise<Client> {
    return within(options, url, async (signal) => {
      const { inbox, start } = Client.#prepare(options)
      const dial = await dialer(url)
      return start(await dial(url, inbox, signal), signal, true)
    })
  }
  static #prepare({ msize = MSIZE, dialect = '9P2000.L' }: Options): { inbox: Inbox; start: (stream: DuplexStream, signal: AbortSignal, copies: boolean) => Promise<Client> } {
    if (!(msize >= LEAST_MSIZE && msize <= 0xffffffff)) throw errno('EINVAL', `msize ${msize}: at least ${LEAST_MSIZE} bytes`)
    let client: Client
    const inbox = new Inbox(msize, (b, start, end) => client.#receive(b, start, end),
      (size) => client.#fail(errno('EPROTO', `the server sent a frame of ${size} bytes where msize is ${client.msize}`)))
    return {
      inbox,
      start: (stream, signal, copies) => {
        client = new Client(stream, msize, inbox, copies)
        return client.#agree(typeof dialect === 'string' ? [dialect] : dialect, signal)
      },
    }
  }

  async #agree(wanted: readonly Dialect[], signal: AbortSignal): Promise<this> {
    const give = () => this.#fail(signal.reason)
    if (signal.aborted) give()
    signal.addEventListener('abort', give)
    try {
      let refusal: unknown = errno('EINVAL', 'no dialect')
      for (const dialect of wanted) {
        try {
          const { msize, version } = await this.rpc('Tversion', { msize: this.msize, version: dialect })
          if (version !== dialect) throw errno('EPROTONOSUPPORT', `the server speaks ${JSON.stringify(version)}, not ${wanted.join(' or ')}`)
          if (msize > this.msize || msize < LEAST_MSIZE) throw errno('EPROTO', `the server answered msize ${msize} to ${this.msize}`)
          this.#inbox.limit = this.msize = msize
          this.#dialect = this.#outbox.dialect = dialect
          return this
        } catch (error) {
          if (this.#end || isErrno(error, 'EPROTO')) throw error
          refusal = isErrno(error, 'EPROTONOSUPPORT') ? error : errno('EPROTONOSUPPORT', `the server refused ${dialect} (${(error as Error).message})`, undefined, error)
        }
      }
      throw refusal
    } catch (error) {
      this.#fail(error)
      throw error
    } finally {
      signal.removeEventListener('abort', give)
    }
  }

  /** What is spoken. */
  get dialect(): Dialect { return this.#dialect }

  /** The root that `aname` names, as a user. */
  async attach({ uname = this.dialect === '9P2000' ? globalThis.process?.env.USER || 'none' : '', aname = '', uid = globalThis.process?.getuid?.() ?? NONUNAME }: AttachOptions = {}): Promise<File> {
    const fid = this.takeFid()
    try {
      const { qid } = await this.rpc('Tattach', { fid, afid: NOFID, uname, aname, nUname: uid })
      return this.dialect === '9P2000.L' ? new File(this, fid, qid) : new LegacyFile(this, fid, qid)
    } catch (error) {
      this.freeFid(fid)
      throw error
    }
  }

  /**
   * Sends a request and resolves with the fields of its answer, which are the caller's to keep. The fields sent are lent
   * until then. A refusal rejects with its code. EMSGSIZE: the request is larger than msize. EOPNOTSUPP: the dialect has no
   * such request.
   */
  rpc<N extends Request>(name: N, fields: Fields<N>, options?: CallOptions): Promise<Fields<Reply<N>>>
  /** The same for what 9P2000.L does not have. 9P2000 needs none of the fields that it lacks. */
  rpc<N extends Request<Older>>(name: N, fields: Fields<N, Older>, options?: CallOptions): Promise<Fields<Reply<N, Older>, Older>>
  rpc(name: Request | Request<Older>, fields: object, { signal }: CallOptions = {}): Promise<unknown> {
    return this.#call(name, fields, undefined, signal)
  }
  /** Tread into `into`: how many bytes came. */
  read(fid: number, offset: number, into: Uint8Array, { signal }: CallOptions = {}): Promise<number> {
    return this.#call('Tread', { fid, offset, count: into.length }, into, signal)
  }

  /** A number for a fid that none has. */
  takeFid(): number { return this.#fids.take() }
  /** To be called when the server is known to have forgotten it, and not before. */
  freeFid(fid: number): void { this.#fids.free(fid) }

  /** Ends the connection. What is not answered yet fails with ECONNRESET. */
  close(): Promise<void> {
    if (!this.#end) {
      this.#stop(errno('ECONNRESET', 'the client was closed'))
      this.#outbox.flush()
      const gone = setTimeout(() => this.#stream.destroy(), CLOSE_WAIT)
      this.#stream.end(() => this.#stream.destroy())
      this.#stream.on('close', () => clearTimeout(gone))
    }
    return this.#closed
  }
  [Symbol.asyncDispose](): Promise<void> { return this.close() }
  /** Whether the connection is over. */
  get closed(): boolean { return this.#end !== undefined }
  /** Resolves when it is over, whoever ended it. */
  get ended(): Promise<void> { return this.#closed }

  #call(name: Request | Request<Older>, fields: object, into: Uint8Array | undefined, signal: Signal | undefined): Promise<any> {
    return new Promise((resolve, reject) => {
      if (this.#end) return reject(this.#end.error)
      if (signal?.aborted) return reject(signal.reason)
      const exchange: Exchange = { name, fields, resolve, reject, into, flushes: undefined, signal, tag: -1, flushed: false }
      if (signal) this.#listen(signal, exchange)
      if (this.#waiting.size === 0 && this.#mayGo(exchange)) this.#send(exchange)
      else this.#waiting.add(exchange)
    })
  }

  // Tags are 0 to 65534, and the last one is left to a Tflush: else 65535 stuck requests could never be aborted.
  #mayGo({ flushes }: Exchange): boolean {
    return flushes ? this.#tags.taken < NOTAG : this.#tags.taken < NOTAG - 1 && !this.#outbox.full
  }

  #send(exchange: Exchange): void {
    const tag = exchange.name === 'Tversion' ? NOTAG : this.#tags.take()
    try {
      this.#outbox.put(exchange.name, tag, exchange.fields, this.msize)
      exchange.tag = tag
      this.#sent[slotOf(tag)] = exchange
    } catch (error) {
      this.#freeTag(tag)
      this.#settle(exchange).reject(error)
    }
  }
  #freeTag(tag: number): void { if (tag !== NOTAG) this.#tags.free(tag) }

  #pump(): void {
    for (const queue of [this.#flushes, this.#waiting]) {
      for (const exchange of queue) {
        if (!this.#mayGo(exchange)) break
        queue.delete(exchange)
        this.#send(exchange)
      }
    }
  }

  #abort(exchange: Exchange): void {
    if (this.#waiting.delete(exchange)) return this.#settle(exchange).reject(exchange.signal!.reason)
    exchange.flushed = true
    const flush: Exchange = {
      name: 'Tflush', fields: { oldtag: exchange.tag }, resolve() {}, reject() {},
      into: undefined, flushes: exchange, signal: undefined, tag: -1, flushed: false,
    }
    if (this.#mayGo(flush)) this.#send(flush)
    else this.#flushes.add(flush)
  }

  #receive(buffer: Uint8Array, start: number, end: number): void {
    const type = buffer[start + 4]!
    const tag = getU16(buffer, start + 5)
    const exchange = this.#sent[slotOf(tag)]
    if (!exchange) return this.#fail(errno('EPROTO', `the server answered tag ${tag}, which no request has, with type ${type}`))
    const { name, into, flushes } = exchange
    const refused = type === typeOf.Rerror || (type === typeOf.Rlerror && this.#dialect === '9P2000.L')
    if (refused ? flushes : type !== typeOf[name] + 1) return this.#fail(errno('EPROTO', `the server answered ${name} with type ${type}`))
    let reply: unknown
    try {
      if (refused) reply = refusal(exchange, type, this.dialect, buffer, start + HEADER, end)
      else if (into) reply = readInto(into, buffer, start + HEADER, end)
      else reply = owned(this.#decoder(type)(buffer, start + HEADER, end))
    } catch (error) {
      return this.#fail(errno('EPROTO', `the server answered ${name} with a body that is none`, undefined, error))
    }
    this.#sent[slotOf(tag)] = undefined
    if (!exchange.flushed) this.#freeTag(tag)
    if (flushes) this.#freeTag(flushes.tag)
    if (flushes && this.#sent[slotOf(flushes.tag)] === flushes) {
      this.#sent[slotOf(flushes.tag)] = undefined
      this.#settle(flushes).reject(flushes.signal!.reason)
    }
    this.#settle(exchange)[refused ? 'reject' : 'resolve'](reply)
    if (this.#flushes.size > 0 || this.#waiting.size > 0) this.#pump()
  }

  #decoder(type: number): (frame: Uint8Array, start: number, end: number) => object {
    return (codecs[this.#dialect].decoders as Readonly<Record<string, (frame: Uint8Array, start: number, end: number) => object>>)[nameOf(type, this.#dialect)!]!
  }

  /** To be told of its end, which no signal can change any more. */
  #settle(exchange: Exchange): Exchange {
    if (exchange.signal) this.#unlisten(exchange.signal, exchange)
    return exchange
  }

  // One listener a signal: a large read has many requests under one, and Node warns of the eleventh.
  #listen(signal: Signal, exchange: Exchange): void {
    const group = this.#signals.get(signal)
    if (group) return void group.add(exchange)
    this.#signals.set(signal, new Set([exchange]))
    signal.addEventListener('abort', this.#aborted)
  }
  #unlisten(signal: Signal, exchange: Exchange): void {
    const group = this.#signals.get(signal)!
    group.delete(exchange)
    if (group.size > 0) return
    this.#signals.delete(signal)
    signal.removeEventListener('abort', this.#aborted)
  }
  readonly #aborted = ({ target }: { readonly target: unknown }): void => {
    for (const exchange of [...this.#signals.get(target as Signal) ?? []]) this.#abort(exchange)
  }

  #fail(error: unknown): void {
    if (this.#end) return
    this.#stop(error)
    this.#stream.destroy()
  }
  #stop(error: unknown): void {
    this.#end = { error }
    this.#inbox.stop()
    const left = [...this.#sent, ...this.#waiting]
    this.#sent.length = 0
    this.#waiting.clear()
    this.#flushes.clear()
    for (const exchange of left) if (exchange) this.#settle(exchange).reject(error)
  }
}

/**
 * What an Rlerror or Rerror says, of what was asked. A server's own words that stand for no number are in the message, and the
 * cause. In .L, and before anything is agreed on, an Rerror of four bytes is taken for an Rlerror: so nfs-ganesha has it.
 */
function refusal({ name, fields }: Exchange, type: number, dialect: Dialect, buffer: Uint8Array, start: number, end: number): Errno {
  const { name: file, oldname, names, stat, aname, version } =
    fields as Partial<Fields<'Tlcreate'> & Fields<'Trenameat'> & Fields<'Twalk'> & Fields<'Twstat', Older> & Fields<'Tattach'> & Fields<'Tversion'>>
  const op = name.slice(1), subject = file ?? oldname ?? names?.join('/') ?? (stat?.name || aname) ?? version
  let number = 0, ename = ''
  if (type === typeOf.Rlerror || (dialect === '9P2000.L' && end - start === 4)) number = codecs['9P2000.L'].decoders.Rlerror(buffer, start, end).ecode
  else if (dialect === '9P2000.u') ({ ename, errno: number } = codecs[dialect].decoders.Rerror(buffer, start, end))
  else ename = codecs['9P2000'].decoders.Rerror(buffer, start, end).ename
  const code = codeOf(number)
  if (errnos[code] === number) return errno(code, op, subject)
  const told = codeOfEname(ename)
  return told ? errno(told, op, subject) : errno('EIO', `${op} (${ename || `error ${number}`})`, subject, ename ? new Error(ename) : undefined)
}

/** Copies the data of an Rread to where they were asked for: how many. */
function readInto(into: Uint8Array, buffer: Uint8Array, start: number, end: number): number {
  const { data } = codecs['9P2000.L'].decoders.Rread(buffer, start, end)
  into.set(data)                                           // RangeError: more than was asked for
  return data.length
}

/** The same reply, holding nothing of the buffer that the next one will be read to. */
function owned(reply: object): object { return 'data' in reply ? { data: copied(reply.data as Uint8Array) } : reply }
