// A FIFO between clients, by the rules of fifo(7) and pipe(7). It shows itself as a regular file: a kernel that saw S_IFIFO
// would make a pipe of its own, which no other machine can reach.

import { O } from 'ninep'
import { flag, size, translator } from '../options.ts'
import { FileTranslator, modeOption } from '../synthetic.ts'
import type { Stream } from '../synthetic.ts'
import type { Awaitable, Call } from '../translator.ts'
import { PIPE_BUF, Pipe } from './pipe.ts'

export const fifo = translator({
  name: 'fifo',
  about: 'A pipe with a name: what one client writes, another reads. Opening waits for the other end.',
  children: 0,
  confined: true,
  concurrent: true,
  options: {
    capacity: size({ about: 'bytes it holds before writers wait', min: PIPE_BUF, max: 2 ** 20, default: 65536 }),
    'kernel-reads': flag({ about: 'answer a read that goes on where a short one ended with nothing, once: kernels ask so before they give programs what came', default: true }),
    mode: modeOption,
  },
  start: ({ capacity, mode, 'kernel-reads': kernel }, _children, env) => {
    const pipe = new Pipe(capacity)
    return new FileTranslator('fifo', env, mode, {
      size: 0, writable: true,
      async open(flags, call) {
        const reads = (flags & O.ACCMODE) !== O.WRONLY, writes = (flags & O.ACCMODE) !== O.RDONLY, waits = (flags & O.NONBLOCK) === 0
        await pipe.open(reads, writes, waits, call)
        return new End(pipe, reads, writes, waits, kernel)
      },
      close: () => pipe.end(),
    })
  },
})

/** An end of the pipe. Offsets mean nothing to it, but for whose read this is. */
class End implements Stream {
  /** Where the last read ended, and how much of it was left unfilled. */
  #at = 0
  #rest = 0
  constructor(readonly pipe: Pipe, readonly reads: boolean, readonly writes: boolean, readonly waits: boolean, readonly kernel: boolean) {}

  /**
   * Linux's client goes on asking until a program's whole buffer is full or a read is empty: then alone the program gets its
   * bytes. Such a read is known by where it begins and how long it is, and the end of file it is told of is nobody's but the kernel's.
   */
  read(into: Uint8Array, offset: number, call?: Call): Awaitable<Uint8Array> {
    const { pipe } = this, asked = into.length
    const goesOn = this.kernel && this.waits && this.#rest === asked && this.#at === offset
    this.#rest = 0
    if (goesOn && pipe.empty) return into.subarray(0, 0)
    const got = pipe.read(into, this.waits, call)
    return got instanceof Promise ? got.then((bytes) => this.#told(bytes, offset, asked)) : this.#told(got, offset, asked)
  }
  #told(bytes: Uint8Array, offset: number, asked: number): Uint8Array {
    this.#at = offset + bytes.length
    this.#rest = bytes.length > 0 ? asked - bytes.length : 0
    return bytes
  }
  write(bytes: Uint8Array, _offset: number, call?: Call): Awaitable<number> { return this.pipe.write(bytes, this.waits, call) }
  close(): void { this.pipe.close(this.reads, this.writes) }
}
