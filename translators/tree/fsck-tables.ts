// LevelDB has a checksum for each block of its tables, and does not look at it when it reads: a byte that a disk altered would be taken
// for what was written. So they are looked at here. Format: doc/table_format.md of LevelDB.

import { readdirSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { isErrno } from 'ninep'

const FOOTER = 48, TRAILER = 5
const MAGIC = Buffer.from('57fb808b247547db', 'hex')

/** Reads all tables of a database that nobody may be writing to, and tells of each block that is not whole. progress: told of bytes. */
export async function checkTables(dir: string, report: (file: string, what: string) => void, progress: (bytes: number) => void = () => {}): Promise<void> {
  for (const name of readdirSync(dir).filter((name) => /\.(ldb|sst)$/.test(name)).sort()) {
    try {
      await checkTable(join(dir, name), (what) => report(name, what), progress)
    } catch (e) {
      if (isErrno(e, 'ENOENT') || (e as NodeJS.ErrnoException).code === 'ENOENT') continue    // compacted away meanwhile
      if (!(e instanceof RangeError)) throw e
      report(name, `a table is not of its format: ${e.message}`)
    }
  }
}

async function checkTable(path: string, report: (what: string) => void, progress: (bytes: number) => void): Promise<void> {
  const file = await open(path)
  try {
    const { size } = await file.stat()
    const read = async (at: number, length: number): Promise<Buffer> => {
      if (at < 0 || at + length > size) throw new RangeError(`a block from ${at} to ${at + length} of ${size} bytes`)
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(length), 0, length, at)
      if (bytesRead < length) throw new RangeError(`ends at ${at + bytesRead}`)
      progress(length)
      return buffer
    }
    if (size < FOOTER) return report(`a table of ${size} bytes is cut off`)
    const footer = await read(size - FOOTER, FOOTER)
    if (!footer.subarray(40).equals(MAGIC)) return report('a table has no end of its own: it is cut off, or damaged')
    const block = async (at: number, length: number): Promise<Buffer | undefined> => {
      const bytes = await read(at, length + TRAILER)
      if (masked(crc32c(bytes, length + 1)) === bytes.readUInt32LE(length + 1)) return bytes[length] === 1 ? unsnap(bytes.subarray(0, length)) : bytes.subarray(0, length)
      report(`the checksum of the block at ${at} is wrong`)
      return undefined
    }
    const [metaAt, p] = varint(footer, 0), [metaLength, q] = varint(footer, p), [indexAt, r] = varint(footer, q), [indexLength, s] = varint(footer, r)
    if (footer.subarray(s, 40).some((b) => b !== 0)) report('the end of a table is damaged')
    for (const at of [metaAt, indexAt]) {
      const index = await block(at, at === metaAt ? metaLength : indexLength)
      for (const handle of index ? values(index) : []) {
        const [at, p] = varint(handle, 0), [length] = varint(handle, p)
        await block(at, length)
      }
    }
  } finally { await file.close() }
}

/** Values of a block: entries of shared, unshared and value lengths, then where the restarts are. */
function* values(block: Buffer): Generator<Buffer> {
  const end = block.length - 4 - 4 * block.readUInt32LE(block.length - 4)
  for (let p = 0; p < end;) {
    const [, a] = varint(block, p), [unshared, b] = varint(block, a), [length, c] = varint(block, b)
    yield block.subarray(c + unshared, c + unshared + length)
    p = c + unshared + length
  }
}
function varint(b: Buffer, at: number): [value: number, next: number] {
  let value = 0
  for (let shift = 0; ; shift += 7) {
    const byte = b.readUInt8(at++)
    value += (byte & 127) * 2 ** shift
    if (byte < 128) return [value, at]
    if (shift > 49) throw new RangeError('a number without an end')
  }
}
/** Snappy: the length, then literals and copies. */
function unsnap(from: Buffer): Buffer {
  const [length, begin] = varint(from, 0)
  if (length > 2 ** 28) throw new RangeError(`a block of ${length} bytes`)
  const to = Buffer.alloc(length)
  let p = begin, at = 0
  while (p < from.length) {
    const tag = from.readUInt8(p++), kind = tag & 3
    if (kind === 0) {
      let n = tag >> 2
      if (n >= 60) { const size = n - 59; n = from.readUIntLE(p, size); p += size }
      from.copy(to, at, p, p + n + 1)
      p += n + 1
      at += n + 1
      continue
    }
    const n = kind === 1 ? ((tag >> 2) & 7) + 4 : (tag >> 2) + 1
    const back = kind === 1 ? ((tag >> 5) << 8) + from.readUInt8(p) : kind === 2 ? from.readUInt16LE(p) : from.readUInt32LE(p)
    p += kind === 1 ? 1 : kind === 2 ? 2 : 4
    for (let i = 0; i < n; i++, at++) to[at] = to.readUInt8(at - back)
  }
  return to
}

const table = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let i = 0; i < 8; i++) n = n & 1 ? (n >>> 1) ^ 0x82f63b78 : n >>> 1
  return n
})
function crc32c(b: Buffer, length: number): number {
  let crc = 0xffffffff
  for (let i = 0; i < length; i++) crc = table[(crc ^ b[i]!) & 255]! ^ (crc >>> 8)
  return (crc ^ 0xffffffff) >>> 0
}
function masked(crc: number): number { return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0 }
