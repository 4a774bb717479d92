// Standard input, as verbs take it.

import type { Fill } from './pump.ts'

/** All of a stream. */
export async function readAll(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** A stream as what pump reads from: as much as the buffer takes, and less only at the end. */
export function streamFiller(stream: AsyncIterable<Buffer>): Fill {
  const chunks = stream[Symbol.asyncIterator]()
  let left: Buffer = Buffer.alloc(0)
  return async (into) => {
    let filled = 0
    while (filled < into.length) {
      if (left.length === 0) {
        const next = await chunks.next()
        if (next.done) break
        left = next.value
      }
      const count = left.copy(into, filled)
      filled += count
      left = left.subarray(count)
    }
    return filled
  }
}
