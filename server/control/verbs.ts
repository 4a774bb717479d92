// What can be written to `ctl`: a verb a line. What it has to say stands there to be read afterwards, by the same fid; of one
// that fails, the sentence, where 9P has an errno alone.

import { errno, isErrno } from 'ninep'
import { BadOption, nearest } from '../../translators/options.ts'
import { checkPath } from '../config.ts'
import type { Applied, How, Mounts } from '../mounts.ts'
import type { Stack } from '../stack.ts'
import { statsOf } from './stats.ts'
import { typed } from '../typed.ts'
import { until } from '../waiting.ts'
import { Words, pairs, quote } from './words.ts'

/** What came of a config that was read again. restart: the keys that differ and can't change while the server runs. */
export interface Reloaded extends Applied { readonly file: string; readonly restart: readonly string[] }

/** What verbs act on. */
export interface Governed {
  readonly mounts: Mounts
  /** file: as the server finds it; undefined: the one it was started with. Throws what has a `message` to tell. */
  reload(file: string | undefined): Promise<Reloaded>
}

export const HELP = `settrans [-a] [-p] [-g] [-f] [--timeout=SECONDS] PATH [STACK]
showtrans PATH
stats PATH
fsysopts [--layer=N] PATH KEY=VALUE...
snapshot create|delete|list|rename|hold|release|diff|rollback PATH [NAME] [TO]
gc PATH
fsck [-d] PATH
reload [FILE]
`

/** Does what the lines say, one after the other, up to the first that fails. The answer of all. Throws an Errno that has the whole sentence. */
export async function obey(text: string, governed: Governed): Promise<string> {
  const words = new Words(text)
  let answer = '', did = false
  do {
    const verb = words.next()
    if (verb === undefined || verb.startsWith('#')) continue
    const act = Object.hasOwn(verbs, verb) ? verbs[verb as keyof typeof verbs] : undefined
    if (!act) {
      const names = Object.keys(verbs), near = nearest(verb, names)
      throw errno('EINVAL', `no verb "${verb}".${near ? ` Did you mean "${near}"?` : ''} There are: ${names.join(', ')}.`)
    }
    answer += await act(words, governed)
    did = true
  } while (words.line())
  if (!did) throw errno('EINVAL', 'a verb is missing. There are: ' + Object.keys(verbs).join(', ') + '.')
  return answer
}

/** The sentence of what failed, and its errno. */
export function told(e: unknown): { readonly sentence: string; readonly error: unknown } {
  if (e instanceof BadOption) return { sentence: e.message, error: errno('EINVAL', e.message) }
  if (isErrno(e)) return { sentence: e.message.replace(/^E[A-Z0-9]+: /, ''), error: e }
  if (e instanceof Error) {
    const { cause } = e
    return { sentence: e.message, error: isErrno(cause) ? cause : errno('EINVAL', e.message) }
  }
  return { sentence: String(e), error: e }
}

const verbs = {
  async settrans(words: Words, { mounts }: Governed): Promise<string> {
    const { flags, values } = flagsOf(words, 'settrans', ['a', 'p', 'g', 'f'], ['timeout'])
    const path = pathOf(words), line = words.rest(), passive = flags.has('p'), active = flags.has('a') || !passive
    const stack = line === '' || !active ? undefined : await typed(line)
    const how = { force: flags.has('f'), ...(values.timeout === undefined ? {} : { timeout: seconds(values.timeout) }) }
    if (active && !stack && !flags.has('g')) throw errno('EINVAL', `STACK is missing. -g sends away what is mounted at ${path}`)
    const before = passive ? await mounts.recorded(path) : undefined
    if (passive) await mounts.record(path, line === '' ? null : line)
    const recorded = !passive ? '' : `${line === '' ? 'forgotten' : 'recorded'} ${quote(path)}\n`
    if (!active) return recorded
    try { return recorded + await activate(mounts, path, stack, flags.has('g'), how) } catch (e) {
      if (passive) await mounts.record(path, before?.stack ?? null)          // both, or neither
      throw e
    }
  },
  async showtrans(words: Words, { mounts }: Governed): Promise<string> {
    const path = pathOf(words), recorded = await mounts.recorded(path).catch((e: unknown) => { throw isErrno(e, 'ENOENT') ? errno('ENOENT', `${path}: nothing is mounted there`) : e })
    return recorded ? `${pairs({ path, state: recorded.state, fids: recorded.fids, error: recorded.error, stack: recorded.stack })}\n` : ''
  },
  async stats(words: Words, { mounts }: Governed): Promise<string> {
    return statsOf(await mounts.recordedLayers(pathOf(words))).map((line) => `${line}\n`).join('')
  },
  async fsysopts(words: Words, { mounts }: Governed): Promise<string> {
    const { values } = flagsOf(words, 'fsysopts', [], ['layer'])
    const path = pathOf(words), given: Record<string, string> = {}
    for (let word; (word = words.next()) !== undefined;) {
      const cut = word.indexOf('=')
      if (cut < 1) throw errno('EINVAL', `"${word}" is no option. Write key=value`)
      given[word.slice(0, cut)] = word.slice(cut + 1)
    }
    if (Object.keys(given).length === 0) throw errno('EINVAL', 'an option is missing. Write key=value')
    if (values.layer !== undefined && !/^\d{1,6}$/.test(values.layer)) throw errno('EINVAL', `--layer="${values.layer}" is not a number. The outermost is 0`)
    // without a layer: the outermost that knows them all
    const knows = values.layer === undefined ? mounts.state(path).layers.findIndex(({ options }) => Object.keys(given).every((key) => Object.hasOwn(options, key))) : Number(values.layer)
    await mounts.options(path, given, Math.max(knows, 0))
    return `changed ${quote(path)}\n`
  },
  async snapshot(words: Words, { mounts }: Governed): Promise<string> {
    const what = words.next(), path = pathOf(words), rest: string[] = [], answer: string[] = []
    for (let word; (word = words.next()) !== undefined;) rest.push(word)
    await mounts.tell(path, ['snapshot', what ?? '', ...rest], (line) => answer.push(`${line.map(quote).join(' ')}\n`))
    return answer.join('')
  },
  async gc(words: Words, { mounts }: Governed): Promise<string> {
    let answer = ''
    await mounts.tell(pathOf(words), ['gc'], (line) => { answer += `${line.map(quote).join(' ')}\n` })
    return answer
  },
  async fsck(words: Words, { mounts }: Governed): Promise<string> {
    const { flags } = flagsOf(words, 'fsck', ['d'], []), answer: string[] = []
    await mounts.tell(pathOf(words), ['fsck', ...flags.has('d') ? ['data'] : []], (line) => answer.push(`${line.map(quote).join(' ')}\n`))
    return answer.join('')
  },
  async reload(words: Words, governed: Governed): Promise<string> {
    const { restart, ...applied } = await governed.reload(words.next())
    return lines(applied) + restart.map((key) => `restart ${key}\n`).join('')
  },
}

/** Mounts a stack, or sends away what is mounted; goaway: that must not be in use, if something else is to stand there. */
async function activate(mounts: Mounts, path: string, stack: Stack | undefined, away: boolean, how: How): Promise<string> {
  if (!stack) {
    await mounts.remove(path, how)
    return `removed ${quote(path)}\n`
  }
  if (away) await goaway(mounts, path, how)
  return lines(await mounts.set(path, stack, how))
}
/** What is to be exchanged must not be in use, unless by force. */
async function goaway(mounts: Mounts, path: string, { force, timeout = 0 }: How): Promise<void> {
  const used = () => mounts.list().find((each) => each.path === path && each.state === 'running')?.fids ?? 0
  if (!force && !await until(() => used() === 0, timeout)) throw errno('EBUSY', `${path}: fids in it: ${used()}. Wait for them with a timeout, or send it away by force`)
}

/** `kept /a`, `started '/b c'`: a line a path. */
function lines({ kept, changed, started, replaced, removed }: Applied): string {
  return Object.entries({ kept, changed, started, replaced, removed }).flatMap(([what, paths]) => paths.map((path) => `${what} ${quote(path)}\n`)).join('')
}

/** Takes the flags that stand first: letters, alone or together, and --name=value. */
function flagsOf(words: Words, verb: string, letters: readonly string[], names: readonly string[]): { flags: Set<string>; values: Record<string, string> } {
  const flags = new Set<string>(), values: Record<string, string> = {}
  const refuse = (flag: string) => errno('EINVAL', `${verb} has no flag "${flag}". It takes: ${[...letters.map((letter) => `-${letter}`), ...names.map((name) => `--${name}=`)].join(', ')}`)
  for (let word; (word = words.peek())?.startsWith('-'); words.next()) {
    if (word === '--') { words.next(); break }
    const long = /^--([a-z]+)=(.*)$/s.exec(word)
    if (long) {
      if (!names.includes(long[1]!)) throw refuse(`--${long[1]}`)
      values[long[1]!] = long[2]!
      continue
    }
    for (const letter of word.slice(1)) {
      if (!letters.includes(letter)) throw refuse(`-${letter}`)
      flags.add(letter)
    }
  }
  return { flags, values }
}
function pathOf(words: Words): string {
  const path = words.next()
  if (path === undefined) throw errno('EINVAL', 'PATH is missing')
  return checkPath(path)
}
function seconds(given: string): number {
  const n = Number(given)
  if (given === '' || !(n >= 0 && n <= 86_400)) throw errno('EINVAL', `--timeout="${given}" is not a number of seconds, up to 86400`)
  return n
}
