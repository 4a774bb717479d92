// What goes wrong with a frame on its way: bytes change, go, or come twice; sizes lie; and frames that were never any.

import { HEADER, typeOf } from 'ninep'
import { one, u32Edges } from './pools.ts'
import type { Roll } from './pools.ts'

const sizes = [0, 1, 4, 6, 7, 8, 11, 23, 24, 255, 256, 4096, 8191, 8192, 8193, 65536, 1024 * 1024 + 24, 1024 * 1024 + 25, 0x7fffffff, 0x80000000, 0xffffffff]
const types: readonly number[] = Object.values(typeOf)

/** Spoils the frame from `at` to `end`, in place; `before` is where an earlier one stands. Behind it is room. The new end. */
export function mutate(roll: Roll, b: Buffer, at: number, end: number, before: number): number {
  const size = end - at, body = size - HEADER
  switch (roll(100) < 3 ? 100 : roll(12)) {
    case 0: case 1: {                                      // some bytes of the body
      for (let n = 1 + roll(3); n > 0 && body > 0; n--) b[at + HEADER + roll(body)]! ^= 1 << roll(8)
      return end
    }
    case 2: {                                              // a number of the body
      if (body < 4) return end
      b.writeUInt32LE(one(roll, u32Edges), at + HEADER + roll(body - 3))
      return end
    }
    case 3: {                                              // a length in the body
      if (body < 2) return end
      b.writeUInt16LE(one(roll, [0, 1, 2, 16, 17, 255, 0x7fff, 0xfffe, 0xffff, body]) & 0xffff, at + HEADER + roll(body - 1))
      return end
    }
    case 4: return sized(b, at, end - (body > 0 ? 1 + roll(body) : 0))
    case 5: {                                              // more than there should be
      const more = 1 + roll(roll(4) ? 8 : 3000)
      for (let i = 0; i < more; i++) b[end + i] = roll(256)
      return sized(b, at, end + more)
    }
    case 6: b[at + 4] = roll(2) ? one(roll, types) : roll(256); return end
    case 7: {                                              // part of the body twice
      const from = at + HEADER + roll(body + 1), n = roll(Math.min(64, end - from) + 1)
      b.copyWithin(from + n, from, end)
      return sized(b, at, end + n)
    }
    case 8: {                                              // part of it not at all
      const from = at + HEADER + roll(body + 1), n = roll(end - from + 1)
      b.copyWithin(from, from + n, end)
      return sized(b, at, end - n)
    }
    case 9: {                                              // the same again
      b.copyWithin(end, at, end)
      return end + size
    }
    case 10: {                                             // the body of an earlier one
      const other = Math.min(at - before, 4000)
      if (other <= HEADER) return end
      b.copyWithin(at + HEADER, before + HEADER, before + other)
      return sized(b, at, at + other)
    }
    case 11: b.writeUInt16LE(roll(2) ? 0xffff : roll(65536), at + 5); return end
    default:                                               // the stream is out of step from here on
      if (roll(2)) return Math.max(at, end - 1 - roll(Math.min(size, 20)))
      b.writeUInt32LE(roll(2) ? one(roll, sizes) : Math.max(0, size + roll(9) - 4), at)
      return end
  }
}
function sized(b: Buffer, at: number, end: number): number {
  b.writeUInt32LE(end - at, at)
  return end
}

/** A frame of any bytes, or bytes that are none: their end. */
export function raw(roll: Roll, b: Buffer, at: number, most: number): number {
  const size = HEADER + roll(one(roll, [1, 8, 24, 64, 300, 300, Math.min(most, 2000)]))
  for (let p = at; p < at + size; p++) b[p] = roll(256)
  // Without a size that fits, all is over at once.
  b.writeUInt32LE(roll(400) > 0 ? size : one(roll, sizes), at)
  if (roll(4) > 0) b[at + 4] = one(roll, types)
  // Small numbers are what fields are made of.
  if (roll(2)) for (let p = at + HEADER; p < at + size; p++) if (roll(3) > 0) b[p] = roll(3)
  return at + size
}
