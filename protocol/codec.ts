// The table of messages.ts made into code: one flat function a message and direction, written as text and compiled when
// this module loads. It is what every request passes twice.

import { HEADER } from './constants.ts'
import { errno } from './errno.ts'
import { bytes, fixed, getU64, noSize, scratch } from './fixed.ts'
import { noRoom, varying } from './kinds.ts'
import { dialects, type Dialect, type Fields, type Kinds, type Layout, type Name } from './messages.ts'

/** Writes a whole frame at `at` and returns its end. RangeError: it does not fit. EILSEQ, ENAMETOOLONG: a name can't
 *  be sent. EINVAL: a size below 0. */
export type Encoder<N extends Name<D>, D extends Dialect = '9P2000.L'> = (tag: number, fields: Fields<N, D>, into: Uint8Array, at: number) => number
/** Reads a body, from the byte after the header to `end`, and looks at nothing else. More bytes than fields are
 *  tolerated; EINVAL: fewer, or a length that lies. What it returns may be a view of the frame: see Kinds. */
export type Decoder<N extends Name<D>, D extends Dialect = '9P2000.L'> = (frame: Uint8Array, start: number, end: number) => Fields<N, D>

export interface Codec<D extends Dialect> {
  readonly encoders: { readonly [N in Name<D>]: Encoder<N, D> }
  readonly decoders: { readonly [N in Name<D>]: Decoder<N, D> }
}
/** By dialect and name, to be called directly where time matters. A message that dialects share is one function. */
export const codecs = compile()
/** Those of 9P2000.L. */
export const { encoders, decoders } = codecs['9P2000.L']

/** encoders[name], as a function of the name. */
export function encode<N extends Name>(name: N, tag: number, fields: Fields<N>, into: Uint8Array, at: number): number {
  return encoders[name](tag, fields, into, at)
}
/** decoders[name], as a function of the name. */
export function decode<N extends Name>(name: N, frame: Uint8Array, start: number, end: number): Fields<N> {
  return decoders[name](frame, start, end)
}

function compile(): { readonly [D in Dialect]: Codec<D> } {
  const methods = Object.entries(varying).flatMap(([kind, { put, end, get }]) => Object.entries({ put, end, get }).map(([key, f]) => [method(kind, key), f]))
  const scope = { ...Object.fromEntries(methods), bytes, scratch, getU64, noRoom, noSize, short: (name: string) => errno('EINVAL', 'decode', name) }
  const compiled = new Map<Layout, { encoder: unknown; decoder: unknown }>()
  const functions = (name: string, type: number, layout: Layout) => {
    let both = compiled.get(layout)
    if (!both) {
      const text = `return { encoder: ${encoderOf(type, layout)}, decoder: ${decoderOf(name, layout)} }`
      compiled.set(layout, both = new Function(...Object.keys(scope), text)(...Object.values(scope)) as { encoder: unknown; decoder: unknown })
    }
    return both
  }
  const codecOf = (table: Readonly<Record<string, readonly [number, Layout]>>) => {
    const made = Object.entries(table).map(([name, [type, layout]]) => [name, functions(name, type, layout)] as const)
    return {
      encoders: Object.fromEntries(made.map(([name, { encoder }]) => [name, encoder])),
      decoders: Object.fromEntries(made.map(([name, { decoder }]) => [name, decoder])),
    }
  }
  return Object.fromEntries(Object.entries(dialects).map(([dialect, table]) => [dialect, codecOf(table)])) as never
}
/** What a compiled function calls a method of a varying kind. */
function method(kind: string, key: string): string { return `${kind.replace('?', 'OrNone')}_${key}` }

interface Run { readonly size: number; readonly fixed: readonly { field: string; kind: keyof Kinds; offset: number }[]; readonly last?: { field: string; kind: keyof Kinds } }
/** Fields of fixed size that stand together, found at p and a constant, and the one of varying size that ends them. */
function runs(layout: Layout): Run[] {
  const found: Run[] = []
  let run: Run = { size: 0, fixed: [] }
  for (const [field, kind] of Object.entries(layout)) {
    const size = fixed[kind]?.size
    if (size) run = { size: run.size + size, fixed: [...run.fixed, { field, kind, offset: run.size }] }
    else {
      found.push({ ...run, last: { field, kind } })
      run = { size: 0, fixed: [] }
    }
  }
  return [...found, run]
}

function encoderOf(type: number, layout: Layout): string {
  return `(tag, f, b, at) => {
    let p = at + ${HEADER}, t
    ${runs(layout).map(({ size, fixed: fields, last }) => `
      if (p + ${size} > b.length) throw noRoom()
      ${fields.map(({ field, kind, offset }) => fixed[kind]!.put(offset, `f.${field}`)).join('\n      ')}
      p += ${size}
      ${last ? `p = ${method(last.kind, 'put')}(b, p, f.${last.field})` : ''}`).join('')}
    const end = p
    p = at
    ${fixed.u32!.put(0, 'end - at')}
    ${fixed.u8!.put(4, `${type}`)}
    ${fixed.u16!.put(5, 'tag')}
    return end
  }`
}

function decoderOf(name: string, layout: Layout): string {
  return `(b, p, end) => {
    let q
    ${runs(layout).map(({ size, fixed: fields, last }) => `
      if (p + ${size} > end) throw short('${name}')
      ${fields.map(({ field, kind, offset }) => `const ${field} = ${fixed[kind]!.get(offset)}`).join('\n      ')}
      p += ${size}
      ${last ? `q = ${method(last.kind, 'end')}(b, p, end)
      if (q > end) throw short('${name}')
      const ${last.field} = ${method(last.kind, 'get')}(b, p, q)
      p = q` : ''}`).join('')}
    return { ${Object.keys(layout).join(', ')} }
  }`
}
