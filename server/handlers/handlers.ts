// The messages of each dialect, by subject. A handler gets decoded fields, checks what only the server can (fids, names,
// permission), calls the node or handle, and returns the fields of the reply: at once, or by a promise.

import type { Dialect, Fields, Reply, Request as Message } from 'ninep'
import type { Awaitable } from '../../translators/translator.ts'
import { asItIs } from '../look.ts'
import type { Request } from '../request.ts'
import type { Session } from '../session.ts'
import { attributes } from './attributes.ts'
import { fids } from './fids.ts'
import { io } from './io.ts'
import { locks } from './locks.ts'
import { names } from './names.ts'
import { plan9 } from './plan9.ts'
import { xattrs } from './xattrs.ts'

/** Rread and Rreaddir are written in place: their handlers return the bytes alone. */
type Result<M extends Message<D>, D extends Dialect> = M extends 'Tread' | 'Treaddir' ? Uint8Array : Fields<Reply<M, D>, D>
/** Tversion and Tflush are the session's own. */
export type Handlers<D extends Dialect = '9P2000.L'> = {
  readonly [M in Exclude<Message<D>, 'Tversion' | 'Tflush'>]: (session: Session, fields: Fields<M, D>, request: Request) => Awaitable<Result<M, D>>
}

export const handlers: { readonly [D in Dialect]: Handlers<D> } = {
  '9P2000': plan9('9P2000'),
  '9P2000.u': plan9('9P2000.u'),
  '9P2000.L': { ...fids(asItIs), ...io, ...names, ...attributes, ...xattrs, ...locks },
}
