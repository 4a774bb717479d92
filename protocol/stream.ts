// What a client or a server speaks over: any stream of bytes, as Node has it or as the Web does.

/** As much of Node's Duplex as is used here. A net.Socket is one, and a tls.TLSSocket, and what stream.duplexPair() makes. */
export interface DuplexStream {
  on(event: 'data', listener: (chunk: Uint8Array) => void): unknown
  on(event: 'error', listener: (cause: Error) => void): unknown
  on(event: 'drain' | 'end' | 'close', listener: () => void): unknown
  /** The bytes are the stream's from there on. */
  write(bytes: Uint8Array): unknown
  /** Bytes that were written and have not left yet. After more than a few, 'drain' says when there are none. */
  readonly writableLength: number
  /** Between these, what is written may be gathered. */
  cork(): void
  uncork(): void
  pause(): unknown
  resume(): unknown
  /** Nothing will be written any more; `done` is called when all has left. */
  end(done?: () => void): unknown
  /** Ends both ways at once. */
  destroy(): unknown
}

/** A stream of the Web each way, of Uint8Arrays: what Deno's connections and Cloudflare's sockets are, and WebTransport's streams. */
export interface StreamPair {
  readonly readable: {
    getReader(): { read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>; cancel(reason?: unknown): Promise<void> }
  }
  readonly writable: {
    getWriter(): { write(bytes: Uint8Array): Promise<void>; close(): Promise<void>; abort(reason?: unknown): Promise<void> }
  }
}

export type ByteStream = DuplexStream | StreamPair

/** The same, as the one kind. */
export function duplexOf(stream: ByteStream): DuplexStream { return 'on' in stream ? stream : new PairedStream(stream) }

/** From here on write() is followed by a 'drain'. */
const HIGH_WATER = 64 * 1024

class PairedStream implements DuplexStream {
  readonly #reader: ReturnType<StreamPair['readable']['getReader']>
  readonly #writer: ReturnType<StreamPair['writable']['getWriter']>
  readonly #listeners: Record<string, ((value?: any) => void)[]> = { data: [], error: [], drain: [], end: [], close: [] }
  #waiting = 0
  #full = false
  #paused = true
  #reading = false
  #ended = false
  #destroyed = false
  constructor({ readable, writable }: StreamPair) {
    this.#reader = readable.getReader()
    this.#writer = writable.getWriter()
  }

  on(event: string, listener: (value?: any) => void): void {
    this.#listeners[event]!.push(listener)
    if (event === 'data') this.resume()
  }
  #emit(event: string, value?: unknown): void { for (const listener of this.#listeners[event]!) listener(value) }

  pause(): void { this.#paused = true }
  resume(): void {
    this.#paused = false
    if (!this.#reading) void this.#read()
  }
  async #read(): Promise<void> {
    this.#reading = true
    while (!this.#paused && !this.#destroyed) {
      const got = await this.#reader.read().catch((cause: unknown) => this.#broken(cause))
      if (!got || this.#destroyed) return
      if (got.done) return this.#emit('end')
      this.#emit('data', got.value)
    }
    this.#reading = false
  }

  get writableLength(): number { return this.#waiting }
  write(bytes: Uint8Array): void {
    if (this.#ended || this.#destroyed) return
    this.#waiting += bytes.length
    if (this.#waiting > HIGH_WATER) this.#full = true
    this.#writer.write(bytes).then(() => this.#left(bytes.length), (cause: unknown) => this.#broken(cause))
  }
  #left(count: number): void {
    this.#waiting -= count
    if (!this.#full || this.#waiting > 0 || this.#destroyed) return
    this.#full = false
    this.#emit('drain')
  }
  cork(): void {}
  uncork(): void {}

  end(done?: () => void): void {
    if (this.#ended || this.#destroyed) return
    this.#ended = true
    this.#writer.close().then(done, (cause: unknown) => this.#broken(cause))
  }
  destroy(): void {
    if (this.#destroyed) return
    this.#destroyed = true
    // Either may be over already, and what is wrong with it was told.
    for (const over of [this.#reader.cancel(), this.#ended ? undefined : this.#writer.abort()]) over?.catch(() => {})
    void Promise.resolve().then(() => this.#emit('close'))
  }
  #broken(cause: unknown): void {
    if (this.#destroyed) return
    this.#emit('error', cause instanceof Error ? cause : new Error(String(cause)))
    this.destroy()
  }
}
