// The messages of 9P2000.L, by subject. A handler gets decoded fields, checks what only the server can (fids, names,
// permission), calls the node or handle, and returns the fields of the reply: at once, or by a promise.

import type { Fields, Reply, Request as Message } from 'ninep'
import type { Awaitable } from '../../translators/translator.ts'
import type { Request } from '../request.ts'
import type { Session } from '../session.ts'
import { attributes } from './attributes.ts'
import { fids } from './fids.ts'
import { io } from './io.ts'
import { locks } from './locks.ts'
import { names } from './names.ts'
import { xattrs } from './xattrs.ts'

/** Rread and Rreaddir are written in place: their handlers return the bytes alone. */
type Result<M extends Message> = M extends 'Tread' | 'Treaddir' ? Uint8Array : Fields<Reply<M>>
export type Handler<M extends Message> = (session: Session, fields: Fields<M>, request: Request) => Awaitable<Result<M>>
/** Tversion and Tflush are the session's own. */
export type Handlers = { readonly [M in Exclude<Message, 'Tversion' | 'Tflush'>]: Handler<M> }

export const handlers: Handlers = { ...fids, ...io, ...names, ...attributes, ...xattrs, ...locks }
