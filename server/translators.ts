// Every translator that a stack can name. A new one is a folder of translators/ and a line here.

import type { Arity, Factory, Options } from '../translators/options.ts'
import { fault } from '../translators/fault/fault.ts'
import { memory } from '../translators/memory/memory.ts'
import { posix } from '../translators/posix/posix.ts'
import { rot13 } from '../translators/rot13/rot13.ts'

export type AnyFactory = Factory<Options, Arity>

const all = [fault, memory, posix, rot13]
export const translators: ReadonlyMap<string, AnyFactory> = new Map(all.map((factory) => [factory.definition.name, factory as unknown as AnyFactory]))
