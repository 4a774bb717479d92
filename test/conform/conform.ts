// What every translator owes. For authors in and outside this repository:
//
//     import { conform } from 'ninefold/conform'
//     conform('rot13', async () => rot13({}, await memory({})))

import { suite } from 'uvu'
import { ordered } from '../../server/order.ts'
import { describe } from '../../translators/options.ts'
import type { Awaitable, Translator } from '../../translators/translator.ts'
import { acls } from './acls.ts'
import { appends } from './appends.ts'
import { attributes } from './attributes.ts'
import { concurrency } from './concurrency.ts'
import { directories } from './directories.ts'
import { durability } from './durability.ts'
import { errors } from './errors.ts'
import { files } from './files.ts'
import { handles } from './handles.ts'
import { holes } from './holes.ts'
import { large } from './large.ts'
import { links } from './links.ts'
import { listings } from './listings.ts'
import { names } from './names.ts'
import { needs } from './promises.ts'
import type { Check, Group, Need, World } from './promises.ts'
import { random } from './random.ts'
import { renames } from './renames.ts'
import { specials } from './specials.ts'
import { symlinks } from './symlinks.ts'
import { times } from './times.ts'
import { unlinked } from './unlinked.ts'
import { Watch } from './watched.ts'
import { xattrs } from './xattrs.ts'

export { suite } from 'uvu'                               // of this copy, so that an author's suites run in turn with these
export * as assert from 'uvu/assert'
export { conformBlobs } from './blobs.ts'
export type { BlobOptions } from './blobs.ts'
export type { Need } from './promises.ts'
export { fails, get, put, text } from './tools.ts'

const subjects: Readonly<Record<string, readonly Group[]>> = {
  names, directories, files, holes, appends, renames, links, symlinks, unlinked, attributes, times, xattrs, acls, specials, handles, listings,
  errors, concurrency, durability, large, random,
}

export interface Options {
  /** What the translator does not have. What needs it is not owed, but that it is lacked in the proper way is. */
  readonly lacks?: readonly Need[]
  /** Ends an instance as a crash would (it is not closed after), and starts it anew over what it stored. */
  readonly crash?: (translator: Translator) => Awaitable<Translator>
  /** Smaller numbers where a promise is about large ones. */
  readonly quick?: boolean
}

/** A promise that is owed, as a test: its sentence, and a run that throws where it is not kept. */
export interface Owed { readonly name: string; run(): Promise<void> }

/** Adds a suite that holds a translator to all that every translator owes. make gives a fresh, empty instance each time. */
export function conform(name: string, make: () => Awaitable<Translator>, options: Options = {}): void {
  const test = suite(`conform ${name}`)
  for (const { name, run } of promises(make, options)) test(name, run)
  test.run()
}

/** The promises that conform holds such a translator to. */
export function promises(make: () => Awaitable<Translator>, options: Options = {}): Owed[] {
  const lacks = new Set<Need>([...options.lacks ?? [], ...options.crash ? [] : ['crash'] as const])
  const owed: Owed[] = [], rests = new Map<Need, number>([...lacks].map((need) => [need, 0]))
  const owe = (name: string, check: Check) => owed.push({ name, run: () => keep(make, options, lacks, check) })
  for (const [subject, groups] of Object.entries(subjects)) {
    for (const group of groups) {
      const lacking = (group.needs ?? []).filter((need) => lacks.has(need))
      for (const need of lacking) rests.set(need, rests.get(need)! + Object.keys(group.promises).length)
      if (lacking.length === 0) for (const [promise, check] of Object.entries(group.promises)) owe(`${subject}: ${promise}`, check)
    }
  }
  for (const [need, count] of rests) owe(`lacks ${needs[need].about} (${count} promises), and says so`, needs[need].lacked)
  return owed
}

const patience = 60_000

async function keep(make: () => Awaitable<Translator>, options: Options, lacks: ReadonlySet<Need>, check: Check): Promise<void> {
  const running = new Set<Watch>()
  const enter = (translator: Translator) => {
    const watch = new Watch(isConcurrent(translator) ? translator : ordered(translator))
    running.add(watch)
    return watch
  }
  const made = await make(), first = enter(made)
  try {
    const { translator } = first
    const world: World = {
      translator, root: await translator.attach(''), quick: options.quick === true,
      lacks: (need) => lacks.has(need),
      another: async () => enter(await make()).translator,
      async crash() {
        const again = await options.crash!(made)
        running.delete(first)
        return enter(again).translator
      },
    }
    await within(patience, check(world))
    for (const watch of running) await watch.finish()
  } finally {
    for (const { closed, translator } of running) if (!closed) await translator.close()
  }
}

function isConcurrent(translator: Translator): boolean {
  try { return describe(translator).concurrent } catch { return false } // not from a factory: nothing is known of it
}

async function within(milliseconds: number, promise: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => { timer = setTimeout(() => reject(new Error(`not done after ${milliseconds} ms`)), milliseconds) })
  try { await Promise.race([promise, late]) } finally { clearTimeout(timer) }
}
