// The table of messages.ts made into code: one flat function a message and direction, written as text and compiled when
// this module loads. It is what every request passes twice.

import { errno } from './errno.ts'
import { kinds, noRoom, putU16, putU32 } from './kinds.ts'
import { messages, typeOf, type Fields, type Kinds, type Layout, type Name } from './messages.ts'
import { HEADER } from './constants.ts'

/** Writes a whole frame at `at` and returns its end. RangeError: it does not fit. EILSEQ, ENAMETOOLONG: a name can't be sent. */
export type Encoder<N extends Name> = (tag: number, fields: Fields<N>, into: Buffer, at: number) => number
/** Reads a body, from the byte after the header to `end`, and looks at nothing else. More bytes than fields are
 *  tolerated; EINVAL: fewer, or a length that lies. What it returns may be a view of the frame: see Kinds. */
export type Decoder<N extends Name> = (frame: Buffer, start: number, end: number) => Fields<N>

const names = Object.keys(messages) as Name[]
/** `const name_put = kinds['name'].put` and so on: constants, so that V8 may inline what they hold. */
const prelude = Object.entries(kinds).flatMap(([kind, codec]) => Object.keys(codec).map((key) => `const ${called(kind, key)} = kinds['${kind}'].${key}`))
/** By name, to be called directly where time matters. */
export const encoders = compile(encoderOf) as { readonly [N in Name]: Encoder<N> }
export const decoders = compile(decoderOf) as { readonly [N in Name]: Decoder<N> }

/** encoders[name], as a function of the name. */
export function encode<N extends Name>(name: N, tag: number, fields: Fields<N>, into: Buffer, at: number): number {
  return encoders[name](tag, fields, into, at)
}
/** decoders[name], as a function of the name. */
export function decode<N extends Name>(name: N, frame: Buffer, start: number, end: number): Fields<N> {
  return decoders[name](frame, start, end)
}

function called(kind: string, key: string): string { return `${kind.replace('?', '_or_none')}_${key}` }

function compile(write: (name: Name) => string): object {
  const source = `${prelude.join('\n')}\nreturn { ${names.map((name) => `${name}: ${write(name)}`).join(',\n')} }`
  return new Function('kinds', 'noRoom', 'short', 'putU16', 'putU32', source)(kinds, noRoom, short, putU16, putU32) as object
}
function short(name: Name): Error { return errno('EINVAL', 'decode', name) }

/** Fields of fixed size that stand together are checked together, and found at p and a constant. */
function runs(layout: Layout): { fixed: { field: string; kind: keyof Kinds; offset: number }[]; size: number; varying?: { field: string; kind: keyof Kinds } }[] {
  const found: ReturnType<typeof runs> = []
  let run: ReturnType<typeof runs>[number] = { fixed: [], size: 0 }
  for (const [field, kind] of Object.entries(layout)) {
    const codec = kinds[kind]
    if ('size' in codec) {
      run.fixed.push({ field, kind, offset: run.size })
      run.size += codec.size
    } else {
      found.push({ ...run, varying: { field, kind } })
      run = { fixed: [], size: 0 }
    }
  }
  return [...found, run]
}

function encoderOf(name: Name): string {
  const body = runs(messages[name][1]).map(({ fixed, size, varying }) => `
    if (p + ${size} > b.length) throw noRoom()
    ${fixed.map(({ field, kind, offset }) => `${called(kind, 'put')}(b, p + ${offset}, f.${field})`).join('\n    ')}
    p += ${size}
    ${varying ? `p = ${called(varying.kind, 'put')}(b, p, f.${varying.field})` : ''}`)
  return `(tag, f, b, at) => {
    let p = at + ${HEADER}
    ${body.join('')}
    putU32(b, at, p - at)
    b[at + 4] = ${typeOf[name]}
    putU16(b, at + 5, tag)
    return p
  }`
}

function decoderOf(name: Name): string {
  const layout = messages[name][1]
  const body = runs(layout).map(({ fixed, size, varying }) => `
    if (p + ${size} > end) throw short('${name}')
    ${fixed.map(({ field, kind, offset }) => `const ${field} = ${called(kind, 'get')}(b, p + ${offset})`).join('\n    ')}
    p += ${size}
    ${varying ? `q = ${called(varying.kind, 'end')}(b, p, end)
    if (q > end) throw short('${name}')
    const ${varying.field} = ${called(varying.kind, 'get')}(b, p, q)
    p = q` : ''}`)
  return `(b, p, end) => {
    let q
    ${body.join('')}
    return { ${Object.keys(layout).join(', ')} }
  }`
}
