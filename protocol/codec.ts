// The table of messages.ts made into code: one flat function a message and direction, written as text and compiled when
// this module loads. It is what every request passes twice.

import { HEADER } from './constants.ts'
import { errno } from './errno.ts'
import { bytes, fixed, getU64, noRoom, noSize, scratch, varying } from './kinds.ts'
import { messages, typeOf, type Fields, type Kinds, type Name } from './messages.ts'

/** Writes a whole frame at `at` and returns its end. RangeError: it does not fit. EILSEQ, ENAMETOOLONG: a name can't
 *  be sent. EINVAL: a size below 0. */
export type Encoder<N extends Name> = (tag: number, fields: Fields<N>, into: Buffer, at: number) => number
/** Reads a body, from the byte after the header to `end`, and looks at nothing else. More bytes than fields are
 *  tolerated; EINVAL: fewer, or a length that lies. What it returns may be a view of the frame: see Kinds. */
export type Decoder<N extends Name> = (frame: Buffer, start: number, end: number) => Fields<N>

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

function compile(functionOf: (name: Name) => string): object {
  const functions = (Object.keys(messages) as Name[]).map((name) => `${name}: ${functionOf(name)}`)
  const methods = Object.entries(varying).flatMap(([kind, { put, end, get }]) => Object.entries({ put, end, get }).map(([key, f]) => [method(kind, key), f]))
  const scope = { ...Object.fromEntries(methods), bytes, scratch, getU64, noRoom, noSize, short: (name: Name) => errno('EINVAL', 'decode', name) }
  return new Function(...Object.keys(scope), `return { ${functions.join(',\n')} }`)(...Object.values(scope)) as object
}
/** What a compiled function calls a method of a varying kind. */
function method(kind: string, key: string): string { return `${kind.replace('?', 'OrNone')}_${key}` }

interface Run { readonly size: number; readonly fixed: readonly { field: string; kind: keyof Kinds; offset: number }[]; readonly last?: { field: string; kind: keyof Kinds } }
/** Fields of fixed size that stand together, found at p and a constant, and the one of varying size that ends them. */
function runs(name: Name): Run[] {
  const found: Run[] = []
  let run: Run = { size: 0, fixed: [] }
  for (const [field, kind] of Object.entries(messages[name][1])) {
    const size = fixed[kind]?.size
    if (size) run = { size: run.size + size, fixed: [...run.fixed, { field, kind, offset: run.size }] }
    else {
      found.push({ ...run, last: { field, kind } })
      run = { size: 0, fixed: [] }
    }
  }
  return [...found, run]
}

function encoderOf(name: Name): string {
  return `(tag, f, b, at) => {
    let p = at + ${HEADER}, t
    ${runs(name).map(({ size, fixed: fields, last }) => `
      if (p + ${size} > b.length) throw noRoom()
      ${fields.map(({ field, kind, offset }) => fixed[kind]!.put(offset, `f.${field}`)).join('\n      ')}
      p += ${size}
      ${last ? `p = ${method(last.kind, 'put')}(b, p, f.${last.field})` : ''}`).join('')}
    const end = p
    p = at
    ${fixed.u32!.put(0, 'end - at')}
    ${fixed.u8!.put(4, `${typeOf[name]}`)}
    ${fixed.u16!.put(5, 'tag')}
    return end
  }`
}

function decoderOf(name: Name): string {
  return `(b, p, end) => {
    let q
    ${runs(name).map(({ size, fixed: fields, last }) => `
      if (p + ${size} > end) throw short('${name}')
      ${fields.map(({ field, kind, offset }) => `const ${field} = ${fixed[kind]!.get(offset)}`).join('\n      ')}
      p += ${size}
      ${last ? `q = ${method(last.kind, 'end')}(b, p, end)
      if (q > end) throw short('${name}')
      const ${last.field} = ${method(last.kind, 'get')}(b, p, q)
      p = q` : ''}`).join('')}
    return { ${Object.keys(messages[name][1]).join(', ')} }
  }`
}
