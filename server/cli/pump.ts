// Bytes from one place to another in constant memory: two buffers, one being filled while the other is written.

/** Bytes of one buffer: several messages of the largest msize, which go out together. */
const BUFFER = 4 << 20
/** What may be skipped where it is all zeros, bytes: a page cache's read-ahead, and more than any file system's block. */
const HOLE = 64 << 10
const zeros = Buffer.alloc(HOLE)

/** Fills `into` from `offset`: how many bytes there were, 0 at the end. */
export type Fill = (into: Uint8Array, offset: number) => Promise<number>
/** Takes all of `bytes`; lent until it settles. */
export type Drain = (bytes: Uint8Array, offset: number) => Promise<unknown>

/** Moves everything, and returns how many bytes that were; about `size` are expected. Only 0 bytes are the end. */
export async function pump(fill: Fill, drain: Drain, size = BUFFER): Promise<number> {
  const length = Math.min(BUFFER, Math.max(size + 1, HOLE))
  const buffers = [Buffer.allocUnsafeSlow(length), Buffer.allocUnsafeSlow(size < length ? HOLE : length)]
  let offset = 0, writing: Promise<unknown> = Promise.resolve()
  for (let turn = 0; ; turn ^= 1) {
    const filling = fill(buffers[turn]!, offset)
    filling.catch(() => {})                                // told below; but first what is being written must end
    await writing.catch(async (e: unknown) => { await filling.catch(() => {}); throw e })
    const count = await filling
    if (count === 0) return offset
    writing = Promise.resolve(drain(buffers[turn]!.subarray(0, count), offset))
    writing.catch(() => {})
    offset += count
  }
}

/** A drain that leaves out long runs of zeros. The file must be empty where it writes, and its size set when all is done. */
export function sparsely(drain: Drain): Drain {
  return async (bytes, offset) => {
    let from = 0                                           // of what is to be written
    for (let at = 0; at <= bytes.length; at += HOLE) {
      const piece = bytes.subarray(at, at + HOLE)
      const hole = piece.length > 0 && Buffer.compare(piece, piece.length === HOLE ? zeros : zeros.subarray(0, piece.length)) === 0
      if (!hole && piece.length > 0) continue
      if (at > from) await drain(bytes.subarray(from, Math.min(at, bytes.length)), offset + from)
      from = at + HOLE
    }
    if (from < bytes.length) await drain(bytes.subarray(from), offset + from)
  }
}

/** Writes to standard output and waits until it was taken. */
export function writeOut(bytes: Uint8Array): Promise<void> {
  return new Promise((done, fail) => { process.stdout.write(bytes, (e) => { if (e) fail(e); else done() }) })
}
