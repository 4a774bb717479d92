// What a session speaks: decoder, handler and encoder of each request by number, and how it tells of an error.

import { codeOf, codecs, enameOf, nameOf } from 'ninep'
import type { Dialect } from 'ninep'
import type { Awaitable } from '../translators/translator.ts'
import { handlers } from './handlers/handlers.ts'
import type { Request } from './request.ts'
import type { Session } from './session.ts'

export interface Entry {
  readonly name: string
  readonly decode: (frame: Buffer, start: number, end: number) => any
  readonly run: (session: Session, fields: any, request: Request) => Awaitable<any>
  readonly encode: Encode
  /** The reply may have a name, a target or a stat in it. */
  readonly long: boolean
}
type Encode = (tag: number, fields: any, into: Buffer, at: number) => number

export interface Spoken {
  readonly version: Dialect
  readonly entries: readonly (Entry | undefined)[]
  /** Kernels need 4096; a stat of 9P2000 with the longest name has room in 512. */
  readonly leastMsize: number
  /** Writes Rlerror or Rerror, which has at most ERROR bytes, and returns its end. */
  readonly error: (tag: number, errno: number, into: Buffer, at: number) => number
}
export const ERROR = 160

const long = new Set(['Treadlink', 'Tgetlock', 'Tstat'])
function entriesOf(dialect: Dialect): (Entry | undefined)[] {
  const { decoders, encoders } = codecs[dialect] as { decoders: Record<string, Entry['decode']>; encoders: Record<string, Encode> }
  const own = handlers[dialect] as unknown as Record<string, Entry['run']>
  return Array.from({ length: 256 }, (_, type) => {
    const name = nameOf(type, dialect), run = name && own[name]
    return run && { name, decode: decoders[name]!, run, encode: encoders[`R${name.slice(1)}`]!, long: long.has(name) }
  })
}

export const spoken: { readonly [D in Dialect]: Spoken } = {
  '9P2000': {
    version: '9P2000', entries: entriesOf('9P2000'), leastMsize: 512,
    error: (tag, errno, into, at) => codecs['9P2000'].encoders.Rerror(tag, { ename: enameOf(codeOf(errno)) }, into, at),
  },
  '9P2000.u': {
    version: '9P2000.u', entries: entriesOf('9P2000.u'), leastMsize: 4096,
    error: (tag, errno, into, at) => codecs['9P2000.u'].encoders.Rerror(tag, { ename: enameOf(codeOf(errno)), errno }, into, at),
  },
  '9P2000.L': {
    version: '9P2000.L', entries: entriesOf('9P2000.L'), leastMsize: 4096,
    error: (tag, ecode, into, at) => codecs['9P2000.L'].encoders.Rlerror(tag, { ecode }, into, at),
  },
}

/** What is agreed on where a client asks for this: itself, or as version(5) wants, the part before the dot, where that is 2000 or later. */
export function agreed(version: string): Dialect | undefined {
  if (Object.hasOwn(spoken, version)) return version as Dialect
  const year = /^9P(\d{4,9})(?:\.|$)/.exec(version)
  return year && Number(year[1]) >= 2000 ? '9P2000' : undefined
}
