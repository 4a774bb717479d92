// A client that hides nothing: frames go out as the test wrote them, replies come back by tag, and a frame that nobody asked
// for is kept to be seen. It checks what a strict client checks: exact lengths, msize, and the type of the reply.

import { connect, type Socket } from 'node:net'
import { codecs, codeOf, codeOfEname, ENAME_MAX, enameOf, errnos, nameOf, NOFID, NOTAG, typeOf } from 'ninep'
import type { Code, Dialect, Encoder, Fields, Name, Reply, Request } from 'ninep'

type AnyName = { [D in Dialect]: Name<D> }[Dialect]
/** A frame that came, whole. */
export interface Frame { readonly name: AnyName; readonly tag: number; readonly fields: any; readonly bytes: Buffer }

const scratch = Buffer.allocUnsafeSlow((1 << 20) + 4096)
/** A frame as bytes of its own. */
export function frame<N extends Name>(name: N, tag: number, fields: Fields<N>): Buffer { return frameOf('9P2000.L', name, tag, fields) }
/** The same in any dialect. Fields that it does not have are left out. */
export function frameOf<D extends Dialect, N extends Name<D>>(dialect: D, name: N, tag: number, fields: Fields<N, D>): Buffer {
  return Buffer.from(scratch.subarray(0, encoderOf(dialect, name)(tag, fields, scratch, 0)))
}
function encoderOf<D extends Dialect, N extends Name<D>>(dialect: D, name: N): Encoder<N, D> { return (codecs[dialect].encoders as never)[name] }
/** A frame of any type and body. */
export function anyFrame(type: number, tag: number, body: Uint8Array = new Uint8Array(0)): Buffer {
  const bytes = Buffer.alloc(7 + body.length)
  bytes.writeUInt32LE(bytes.length, 0)
  bytes[4] = type
  bytes.writeUInt16LE(tag, 5)
  bytes.set(body, 7)
  return bytes
}

/** Rejects where `what` takes longer than this. Not by much: what is awaited here comes at once or never. */
export async function within<T>(seconds: number, what: string, promise: Promise<T>): Promise<T> {
  let timer!: NodeJS.Timeout
  const late = new Promise<never>((_, reject) => { timer = setTimeout(() => reject(new Error(`${what}: not within ${seconds} s`)), seconds * 1000) })
  try { return await Promise.race([promise, late]) } finally { clearTimeout(timer) }
}

/** What is alike in all dialects. D: whose messages it speaks. */
export class Wire<D extends Dialect> {
  dialect: Dialect
  readonly socket: Socket
  /** All that came, in order; cut by whoever wants to look at a part. */
  readonly arrived: Frame[] = []
  /** Frames with a tag that nobody waited for. */
  readonly strays: Frame[] = []
  /** What was wrong with a frame: then the connection is over for us. */
  fault: Error | undefined
  msize = 8192
  /** Settles when the server has closed. */
  readonly closed: Promise<void>
  ended = false
  #waiting = new Map<number, (frame: Frame) => void>()
  #sleepers: (() => void)[] = []
  #chunks: Buffer[] = []
  #have = 0
  #tag = 0

  protected constructor(socket: Socket, dialect: Dialect) {
    this.socket = socket
    this.dialect = dialect
    this.closed = new Promise((resolve) => { socket.once('close', () => { this.ended = true; this.#wake(); resolve() }) })
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => { this.#chunks.push(chunk); this.#have += chunk.length; this.#cut() })
  }

  protected static async dial(url: string): Promise<Socket> {
    const socket = connect(url.startsWith('unix:') ? { path: url.slice(5) } : { host: '127.0.0.1', port: Number(url.slice(url.lastIndexOf(':') + 1)), noDelay: true })
    await new Promise<void>((resolve, reject) => { socket.once('connect', resolve); socket.once('error', reject) })
    return socket
  }

  // Out

  bytes(...parts: Uint8Array[]): void { this.socket.write(Buffer.concat(parts)) }
  /** Sends a frame and waits for nothing. The tag is the caller's. */
  send<N extends Name<D>>(name: N, tag: number, fields: Fields<N, D>): void { this.bytes(frameOf(this.dialect as D, name, tag, fields)) }
  /** A tag that nothing uses. */
  tag(): number {
    do { this.#tag = (this.#tag + 1) % 0xfff0 } while (this.#waiting.has(this.#tag))
    return this.#tag
  }

  // In

  /** The reply with this tag. */
  reply(tag: number, what = 'a reply'): Promise<Frame> {
    const stray = this.strays.findIndex((frame) => frame.tag === tag)
    if (stray >= 0) return Promise.resolve(this.strays.splice(stray, 1)[0]!)
    const came = new Promise<Frame>((resolve, reject) => {
      this.#waiting.set(tag, resolve)
      void this.closed.then(() => { reject(this.fault ?? new Error(`${what}: the connection was closed`)) })
    })
    const awaited = within(5, `${what} to tag ${tag}`, came).finally(() => this.#waiting.delete(tag))
    awaited.catch(() => {})                                // whoever awaits it sees it; a test that failed before does not
    return awaited
  }
  /** Any reply, an error too. */
  async call<N extends Request<D>>(name: N, fields: Fields<N, D>, tag = this.tag()): Promise<Frame> {
    const reply = this.reply(tag, name)
    this.send(name, tag, fields)
    return await reply
  }
  /** The fields of the reply, which must be the one that belongs to the request. */
  async ok<N extends Request<D>>(name: N, fields: Fields<N, D>, tag = this.tag()): Promise<Fields<Reply<N, D>, D>> {
    return expected<D, N>(name, await this.call(name, fields, tag))
  }
  /** The code of the error, which must be one: 'ENOENT'. */
  async refused<N extends Request<D>>(name: N, fields: Fields<N, D>, tag = this.tag()): Promise<Code> {
    const reply = await this.call(name, fields, tag)
    if (!refusal(reply)) throw new Error(`${name} ${show(fields)} was answered by ${reply.name}, not refused`)
    return codeIn(reply)
  }
  /** 'ok', or the code of the refusal. */
  async outcome<N extends Request<D>>(name: N, fields: Fields<N, D>): Promise<Code | 'ok'> {
    const reply = await this.call(name, fields)
    return refusal(reply) ? codeIn(reply) : 'ok'
  }
  /** Waits until so many frames came that nobody waited for. */
  async strayed(count: number): Promise<readonly Frame[]> {
    await within(5, `${count} frames (${this.strays.length} came)`, (async () => {
      while (this.strays.length < count && !this.ended) await new Promise<void>((wake) => { this.#sleepers.push(wake) })
    })())
    return this.strays
  }

  #cut(): void {
    if (this.fault) return
    while (this.#have >= 4) {
      if (this.#chunks.length > 1 && (this.#chunks[0]!.length < 4 || this.#chunks[0]!.readUInt32LE(0) > this.#chunks[0]!.length)) {
        const size = this.#chunks[0]!.length < 4 ? 0 : this.#chunks[0]!.readUInt32LE(0)
        if (size > this.#have) return
        this.#chunks = [Buffer.concat(this.#chunks)]
      }
      const bytes = this.#chunks[0]!, size = bytes.length < 4 ? 0 : bytes.readUInt32LE(0)
      if (bytes.length < 4 || bytes.length < size) return
      const whole = bytes.subarray(0, size)
      this.#have -= size
      if (size === bytes.length) this.#chunks.shift()
      else this.#chunks[0] = bytes.subarray(size)
      try { this.#take(whole) } catch (e) {
        this.fault = e as Error
        this.socket.destroy()
        return
      }
    }
  }
  #take(bytes: Buffer): void {
    const { dialect } = this
    const size = bytes.length, name = nameOf(bytes[4]!, dialect), tag = bytes.readUInt16LE(5)
    if (size > this.msize) throw new Error(`${name}: ${size} bytes, and msize is ${this.msize}`)
    if (!name?.startsWith('R')) throw new Error(`a frame of type ${bytes[4]} came`)
    const { [name]: decoder } = codecs[dialect].decoders as Record<string, (bytes: Buffer, start: number, end: number) => object>
    const fields = decoder!(bytes, 7, size)
    if (!bytes.equals(frameOf(dialect, name, tag, fields as never))) throw new Error(`${name} has trailing or odd bytes: ${bytes.toString('hex', 0, 64)}`)
    const came: Frame = { name, tag, fields, bytes }
    this.arrived.push(came)
    const waiting = this.#waiting.get(tag)
    this.#waiting.delete(tag)
    if (waiting) waiting(came)
    else this.strays.push(came)
    this.#wake()
  }
  #wake(): void { for (const wake of this.#sleepers.splice(0)) wake() }

  /** Ends the connection as the kernel does for a client that crashed: by a reset, where the transport has one. */
  reset(): void {
    if (this.socket.remoteFamily === undefined) this.socket.destroy()
    else this.socket.resetAndDestroy()
  }
  /** Nothing that nobody asked for came; then the connection is closed. */
  async end(): Promise<void> {
    if (!this.ended) {
      this.socket.destroy()
      await this.closed
    }
    if (this.fault) throw this.fault
    if (this.strays.length > 0) throw new Error(`frames that nobody asked for: ${this.strays.map(({ name, tag }) => `${name} ${tag}`).join(', ')}`)
  }
}

/** A client of 9P2000.L, and the sequences that are common in it. */
export class Raw extends Wire<'9P2000.L'> {
  static async connect(url: string): Promise<Raw> { return new Raw(await Raw.dial(url), '9P2000.L') }
  /** Connected, and agreed on 9P2000.L. */
  static async versioned(url: string, msize = 65536): Promise<Raw> {
    const raw = await Raw.connect(url)
    await raw.version(msize)
    return raw
  }

  async version(msize = 65536): Promise<Fields<'Rversion'>> {
    const got = await this.ok('Tversion', { msize, version: '9P2000.L' }, NOTAG)
    this.msize = got.msize
    return got
  }
  attach(fid: number, aname = '', nUname = process.getuid!(), uname = ''): Promise<Fields<'Rattach'>> {
    return this.ok('Tattach', { fid, afid: NOFID, uname, aname, nUname })
  }
  walk(fid: number, newfid: number, ...names: string[]): Promise<Fields<'Rwalk'>> { return this.ok('Twalk', { fid, newfid, names }) }
  open(fid: number, flags = 0): Promise<Fields<'Rlopen'>> { return this.ok('Tlopen', { fid, flags }) }
  /** A new file in the directory `fid`, which `newfid` has open for reading and writing. */
  async create(fid: number, newfid: number, name: string, content: string | Uint8Array = '', mode = 0o644): Promise<Fields<'Rlcreate'>> {
    await this.walk(fid, newfid)
    const made = await this.ok('Tlcreate', { fid: newfid, name, flags: 0x42, mode: 0o100000 | mode, gid: process.getgid!() })
    const data = typeof content === 'string' ? Buffer.from(content) : content
    for (let at = 0; at < data.length;) at += (await this.ok('Twrite', { fid: newfid, offset: at, data: data.subarray(at, at + this.msize - 23) })).count
    return made
  }
  /** A new file that no fid names. */
  async file(fid: number, name: string, content: string | Uint8Array = '', mode = 0o644): Promise<void> {
    await this.create(fid, SPARE, name, content, mode)
    await this.clunk(SPARE)
  }
  mkdir(fid: number, name: string, mode = 0o755): Promise<Fields<'Rmkdir'>> { return this.ok('Tmkdir', { dfid: fid, name, mode: 0o40000 | mode, gid: process.getgid!() }) }
  async clunk(...fids: number[]): Promise<void> { for (const fid of fids) await this.ok('Tclunk', { fid }) }
  getattr(fid: number, mask = 0x7ff): Promise<Fields<'Rgetattr'>> { return this.ok('Tgetattr', { fid, mask }) }
  async read(fid: number, offset = 0, count = 4096): Promise<string> { return Buffer.from((await this.ok('Tread', { fid, offset, count })).data).toString('latin1') }
  async write(fid: number, data: string | Uint8Array, offset = 0): Promise<number> {
    return (await this.ok('Twrite', { fid, offset, data: typeof data === 'string' ? Buffer.from(data) : data })).count
  }
  /** What the file `name` in the directory `fid` holds. */
  async content(fid: number, ...names: string[]): Promise<string> {
    await this.walk(fid, SPARE, ...names)
    await this.open(SPARE)
    const text = await this.read(SPARE)
    await this.clunk(SPARE)
    return text
  }
}

/** The fid that helpers use and clunk again. */
export const SPARE = 0xfffffff0

/** The fields of the reply to a request, which must be the one that belongs to it. */
export function expected<D extends Dialect, N extends Request<D>>(name: N, reply: Frame): Fields<Reply<N, D>, D> {
  if (reply.bytes[4] === typeOf[name as keyof typeof typeOf] + 1) return reply.fields
  throw new Error(`${name} was answered by ${reply.name} ${refusal(reply) ? codeIn(reply) : show(reply.fields)}`)
}
function refusal({ name }: Frame): boolean { return name === 'Rlerror' || name === 'Rerror' }
/** Which error an Rlerror or Rerror tells of: by a string that clients know and have room for, and in 9P2000.u by the number that belongs to it. */
export function codeIn({ name, fields, bytes }: Frame): Code {
  if (name === 'Rlerror') {
    if (fields.ecode === 0) throw new Error('Rlerror 0')
    return codeOf(fields.ecode)
  }
  const code = codeOfEname(fields.ename)
  if (code === undefined || ![enameOf(code), 'bad offset in directory read', 'authentication not required'].includes(fields.ename)) {
    throw new Error(`Rerror "${fields.ename}" is known to nobody`)
  }
  if (bytes.readUInt16LE(7) > ENAME_MAX) throw new Error(`Rerror has a string of ${bytes.readUInt16LE(7)} bytes`)
  if (fields.errno !== undefined && fields.errno !== errnos[code]) throw new Error(`Rerror "${fields.ename}" has the number ${fields.errno}`)
  return code
}
function show(fields: object): string { return JSON.stringify(fields, (_, value: unknown) => typeof value === 'bigint' ? String(value) : value).slice(0, 200) }
