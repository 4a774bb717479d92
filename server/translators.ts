// Every translator that a stack can name. A new one is a folder of translators/ and a line here.

import type { Arity, Factory, Options } from '../translators/options.ts'
import { bind } from '../translators/bind/bind.ts'
import { crypt } from '../translators/crypt/crypt.ts'
import { fault } from '../translators/fault/fault.ts'
import { fifo } from '../translators/fifo/fifo.ts'
import { hello } from '../translators/hello/hello.ts'
import { idmap } from '../translators/idmap/idmap.ts'
import { memory } from '../translators/memory/memory.ts'
import { nullFile } from '../translators/null/null.ts'
import { posix } from '../translators/posix/posix.ts'
import { random } from '../translators/random/random.ts'
import { readonly } from '../translators/readonly/readonly.ts'
import { remote } from '../translators/remote/remote.ts'
import { rot13 } from '../translators/rot13/rot13.ts'
import { snapshot } from '../translators/snapshot/snapshot.ts'
import { stats } from '../translators/stats/stats.ts'
import { subdir } from '../translators/subdir/subdir.ts'
import { tar } from '../translators/tar/tar.ts'
import { trace } from '../translators/trace/trace.ts'
import { union } from '../translators/union/union.ts'
import { zero } from '../translators/zero/zero.ts'

/** from: what stacks have for one from outside our tree. */
export type AnyFactory = Factory<Options, Arity> & { readonly from?: string }

const all = [bind, crypt, fault, fifo, hello, idmap, memory, nullFile, posix, random, readonly, remote, rot13, snapshot, stats, subdir, tar, trace, union, zero]
export const translators: ReadonlyMap<string, AnyFactory> = new Map(all.map((factory) => [factory.definition.name, factory as unknown as AnyFactory]))
