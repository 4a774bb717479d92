import { errno } from 'ninep'
import { BLOCK, number, roundUp } from './header.ts'
import type { Member, Source } from './header.ts'

/** Pieces of a sparse file at most: 16 bytes of memory each. */
const MAX_PIECES = 2 ** 20

/** Where the bytes of a file stand in the archive: pieces in order, not touching each other; what is between them is zeros. */
export interface Extents { readonly offsets: Float64Array; readonly lengths: Float64Array; readonly at: Float64Array }

/** The pieces of a member, which is sparse. EIO: its map makes no sense. */
export async function extentsOf(source: Source, { sparse, data, size, stored }: Member): Promise<Extents> {
  const bad = (why: string) => errno('EIO', 'tar', `the map of a sparse file: ${why}`)
  let pairs: readonly number[] = [], start = data
  if (sparse!.kind === 'listed') pairs = sparse!.map
  else if (sparse!.kind === 'old') {
    const all: number[] = []
    const { at } = sparse!
    const take = (block: Buffer, from: number, count: number) => {
      for (let i = 0; i < count; i++) {
        if (block[from + 24 * i] === 0) break
        all.push(number(block, from + 24 * i, 12, at, 'offset'), number(block, from + 24 * i + 12, 12, at, 'length'))
      }
    }
    const head = Buffer.from(await source(at, BLOCK))
    take(head, 386, 4)
    for (let more = head[482] !== 0; more; start += BLOCK) {
      const block = Buffer.from(await source(start, BLOCK))
      take(block, 0, 21)
      if (all.length > 2 * MAX_PIECES) throw bad('too many pieces')
      more = block[504] !== 0
    }
    pairs = all
  } else {
    let text = '', next = data
    const end = data + stored
    const line = async (): Promise<number> => {
      let at = text.indexOf('\n')
      while (at < 0) {
        if (next >= end || text.length > 20) throw bad('it has no end')
        text += (await source(next, BLOCK)).toString('latin1')
        next += BLOCK
        at = text.indexOf('\n')
      }
      const word = text.slice(0, at)
      text = text.slice(at + 1)
      if (!/^\d{1,16}$/.test(word)) throw bad(`"${word.slice(0, 20)}" is no number`)
      return Number(word)
    }
    const count = await line(), all: number[] = []
    if (count > MAX_PIECES) throw bad('too many pieces')
    for (let i = 0; i < 2 * count; i++) all.push(await line())
    pairs = all
    start = next
  }
  const count = pairs.length / 2
  if (!Number.isInteger(count) || count > MAX_PIECES) throw bad('pairs are missing, or too many')
  const extents = { offsets: new Float64Array(count), lengths: new Float64Array(count), at: new Float64Array(count) }
  let last = 0
  for (let i = 0; i < count; i++) {
    const offset = pairs[2 * i]!, length = pairs[2 * i + 1]!
    if (offset < last || offset + length > size || start + length > data + roundUp(stored)) throw bad('pieces lie outside of the file, or in each other')
    extents.offsets[i] = offset
    extents.lengths[i] = length
    extents.at[i] = start
    last = offset + length
    start += length
  }
  return extents
}

/** The piece that holds the offset, or the first after it; their number where there is none. */
export function pieceAt({ offsets, lengths }: Extents, offset: number): number {
  let low = 0, high = offsets.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (offsets[middle]! + lengths[middle]! <= offset) low = middle + 1
    else high = middle
  }
  return low
}
