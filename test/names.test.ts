// Names are bytes: whatever the bytes, they come back.

import { isUtf8 } from 'node:buffer'
import { bytesOfName, isErrno, nameLength, nameOfBytes } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

const test = suite('names')
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })
/** The name, once it is seen to make the same bytes again. */
function name(bytes: Buffer): string {
  const padded = Buffer.concat([Buffer.from([0xc3]), bytes, Buffer.from([0xa9])])   // what stands around it is not looked at
  const name = nameOfBytes(padded, 1, 1 + bytes.length)
  assert.is(nameLength(name), bytes.length, bytes.toString('hex'))
  assert.is(Buffer.from(bytesOfName(name)).toString('hex'), bytes.toString('hex'))
  if (isUtf8(bytes)) assert.is(name, utf8.decode(bytes))
  else assert.match(name, /[\udc80-\udcff]/, `${bytes.toString('hex')} passed for UTF-8`)
  return name
}

test('all strings of no, one and two bytes, each a name of its own', () => {
  const seen = new Set([name(Buffer.alloc(0))])
  for (let a = 0; a < 256; a++) {
    seen.add(name(Buffer.from([a])))
    for (let b = 0; b < 256; b++) seen.add(name(Buffer.from([a, b])))
  }
  assert.is(seen.size, 1 + 256 + 65536)
})

test('all strings of three bytes that begin a sequence, and of four at its borders', () => {
  const edges = [0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff]
  for (let a = 0xe0; a < 0xf0; a++) {
    for (let b = 0; b < 256; b++) for (const c of edges) name(Buffer.from([a, b, c]))
  }
  for (const a of [0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff]) {
    for (let b = 0; b < 256; b++) for (const c of edges) for (const d of edges) name(Buffer.from([a, b, c, d]))
  }
})

test('random longer strings', () => {
  let seed = 7
  const random = (below: number) => ((seed = Math.imul(seed, 1664525) + 1013904223 >>> 0) >>> 8) % below
  const pieces = ['61', 'c3a9', 'e282ac', 'f09f9880', 'ff', 'eda080', 'edb080', 'c080', 'e28285', 'f0808080', 'f4908080', 'e282', 'f09f98', '80', 'efbbbf', '00', '2f']
  for (let round = 0; round < 20_000; round++) {
    name(round % 2 ? Buffer.from(Array.from({ length: random(40) }, () => random(256)))
      : Buffer.from(Array.from({ length: random(12) }, () => pieces[random(pieces.length)]).join(''), 'hex'))
  }
})

for (const [what, bytes, expected] of [
  ['ASCII', '612e747874', 'a.txt'],
  ['a byte that begins nothing', '61ff62', 'a\udcff' + 'b'],
  ['an encoded surrogate', 'eda080', '\udced\udca0\udc80'],
  ['a pair of encoded surrogates', 'eda080edb080', '\udced\udca0\udc80\udced\udcb0\udc80'],
  ['an overlong slash', 'c0af', '\udcc0\udcaf'],
  ['a longer overlong slash', 'e080af', '\udce0\udc80\udcaf'],
  ['a sequence that is cut', 'e28261', '\udce2\udc82a'],
  ['a sequence that is cut at the end', 'f09f98', '\udcf0\udc9f\udc98'],
  ['a point beyond Unicode', 'f4908080', '\udcf4\udc90\udc80\udc80'],
  ['the last point of Unicode', 'f48fbfbf', '\u{10ffff}'],
  ['a pair, then a byte', 'f09f9880ff', '\u{1f600}\udcff'],
  ['a mark of byte order', 'efbbbf61', '\ufeffa'],
] as const) {
  test(`${what}: ${bytes}`, () => assert.is(name(Buffer.from(bytes, 'hex')), expected))
}

test('surrogates that stand for no byte are EILSEQ', () => {
  for (let unit = 0xd800; unit <= 0xdfff; unit++) {
    if (unit >= 0xdc80 && unit <= 0xdcff) continue
    for (const text of [String.fromCharCode(unit), `a${String.fromCharCode(unit)}b`]) {
      assert.throws(() => bytesOfName(text), (error: unknown) => isErrno(error, 'EILSEQ'))
      assert.throws(() => nameLength(text), (error: unknown) => isErrno(error, 'EILSEQ'))
    }
  }
})
test.run()
