// /dev/fuse as this process has it: requests come by the event loop, replies are one write each.
//
// No thread reads it. The loop polls the device as it does a socket, and one read is one request; a worker that blocks in read(2) is as
// quick to wake, but has to hand each request over (20 to 60 us), for it is the loop that hears from the server. Node polls only what it
// has opened itself, so that is a socket, whose number is then made to stand for the device.

import { writeSync, writevSync } from 'node:fs'
import { Socket } from 'node:net'
import { errno, errnos, isErrno } from 'ninep'
import type { Code } from 'ninep'
import * as sys from '../../translators/sys.ts'
import { IN_HEADER, OUT_HEADER } from './fuse.ts'

/** What comes beside the data of the largest WRITE, in a page of its own. */
const MORE = 4096
/** Free buffers that are kept. */
const SPARE = 8
/** Small replies are made here. */
const SCRATCH = 8192

export class Device {
  /** Where a small reply's payload is to be put: from OUT_HEADER on. */
  readonly scratch = Buffer.alloc(SCRATCH)
  readonly #fd: number
  readonly #socket: Socket
  readonly #size: number
  readonly #free: Buffer[] = []
  #current: Buffer
  #lent = false
  #closed = false
  readonly #received: (buffer: Buffer, size: number) => void

  /**
   * Takes over a descriptor of /dev/fuse. received: a request stands at the start of the buffer, until it returns, or until give()
   * where it called keep(). ended: no more will come, because it was unmounted (undefined) or for another reason.
   */
  constructor(fd: number, maxWrite: number, received: (buffer: Buffer, size: number) => void, ended: (error: unknown) => void) {
    this.#size = maxWrite + MORE
    this.#received = received
    this.#current = Buffer.allocUnsafeSlow(this.#size)
    const [mine, other] = sys.socketpair()
    this.#fd = mine
    const onread = { buffer: () => this.#current, callback: (count: number) => { this.#take(count); return true } }
    this.#socket = new Socket({ fd: mine, readable: true, writable: false, onread } as never)
    sys.setNonblocking(fd)
    sys.replaceDescriptor(fd, mine)                        // before the loop has come to poll it
    sys.close(fd)
    sys.close(other)
    const over = (error?: unknown) => {
      if (this.#closed) return
      this.#closed = true
      this.#socket.destroy()
      ended((error as { code?: string } | undefined)?.code === 'ENODEV' ? undefined : error)
    }
    this.#socket.on('error', over)
    this.#socket.on('end', () => over(errno('EIO', 'the device has ended')))
    this.#socket.on('close', () => over())
    this.#socket.resume()
  }

  #take(count: number): void {
    this.#show(count)
    if (this.drains()) {
      // Many are at work, so more may be waiting: each is a read, but no turn of the loop.
      for (let more = 0; more < 64 && !this.#closed; more++) {
        const size = this.#readMore()
        if (size === undefined) return
        this.#show(size)
      }
    }
  }
  #readMore(): number | undefined {
    try { return sys.readIfAny(this.#fd, this.#current) } catch { return undefined }   // the loop will meet it again, and say so
  }
  #show(count: number): void {
    if (count < IN_HEADER) return
    this.#received(this.#current, count)
    if (!this.#lent) return
    this.#lent = false
    this.#current = this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#size)
  }
  /** Whether it is worth a read to see if there is another request. */
  drains: () => boolean = () => false

  /** To be called while a request is shown: its buffer stays as it is until give(). */
  keep(): Buffer {
    this.#lent = true
    return this.#current
  }
  give(buffer: Buffer): void { if (this.#free.length < SPARE) this.#free.push(buffer) }

  /** Sends what stands in the scratch behind OUT_HEADER, up to `end`. False: the request is over already, and nobody has the reply. */
  send(unique: number, end: number = OUT_HEADER): boolean {
    header(this.scratch, end, 0, unique)
    return this.#write(this.scratch, end)
  }
  /** Sends a buffer of the caller's, whose payload begins at OUT_HEADER. */
  sendBuffer(unique: number, buffer: Buffer, end: number): boolean {
    header(buffer, end, 0, unique)
    return this.#write(buffer, end)
  }
  sendParts(unique: number, payload: Uint8Array): boolean {
    header(this.scratch, OUT_HEADER + payload.length, 0, unique)
    return this.#attempt(() => writevSync(this.#fd, [this.scratch.subarray(0, OUT_HEADER), payload]))
  }
  /** Tells the kernel something that it has not asked, from the scratch as send(). */
  notify(code: number, end: number): void {
    header(this.scratch, end, code, 0)
    this.#write(this.scratch, end)
  }
  /** An error by its number, 1 to 511 as the kernel takes it. */
  refuse(unique: number, number: number): boolean {
    header(this.scratch, OUT_HEADER, -(number > 0 && number < 512 ? number : errnos.EIO), unique)
    return this.#write(this.scratch, OUT_HEADER)
  }
  #write(buffer: Buffer, end: number): boolean { return this.#attempt(() => writeSync(this.#fd, buffer, 0, end)) }
  #attempt(write: () => unknown): boolean {
    if (this.#closed) return false
    try { write(); return true } catch (error) {
      // ENOENT: it was interrupted for good. ENODEV, ECONNABORTED: unmounted, which the next read tells as well. EINVAL: the kernel did not take it.
      const code = (error as { code?: Code }).code
      if (code === 'ENOENT' || code === 'ENODEV' || (code as string) === 'ECONNABORTED') return false
      throw isErrno(error) ? error : errno('EIO', `a reply was not taken (${(error as Error).message})`, undefined, error)
    }
  }

  /** Ends the mount if it still is there: whoever waits in it is told ENOTCONN, and so is who comes. */
  close(): void { this.#socket.destroy() }
}

function header(b: Buffer, size: number, error: number, unique: number): void {
  b.writeUInt32LE(size, 0)
  b.writeInt32LE(error, 4)
  b.writeUInt32LE(unique >>> 0, 8)
  b.writeUInt32LE(Math.floor(unique / 0x100000000), 12)
}
