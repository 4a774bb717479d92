// One options schema per translator: types, parsing, defaults, help and errors come from it and from nothing else.

import { isDeepStrictEqual } from 'node:util'
import type { Meters } from './meter.ts'
import type { Awaitable, Definition, Translator } from './translator.ts'

/** An option: how it reads, and what it is when absent. T: its value. D: whether it may be left out. */
export interface Option<T, D extends boolean = boolean> {
  readonly about: string                                  // one line, for --help
  readonly unit?: string                                  // 'bytes', 'seconds', ...
  readonly optional: D
  readonly default?: T
  readonly positional?: boolean                           // a bare word of a stack line is this one
  readonly live?: boolean                                 // may change while it runs: reconfigure takes it
  readonly reserved?: boolean                             // only the server's owner may give it: no record on a node can
  readonly takes: string                                  // what is allowed, in words: 'an integer from 1 to 25'
  readonly schema: object                                 // what JSON Schema says of it
  /** Text of a stack line, or a value of YAML or of a program, to a value. Throws a BadOption. */
  parse(value: unknown): T
}
export type Options = Record<string, Option<any, boolean>>
export type Values<O extends Options> = { readonly [K in keyof O]: O[K] extends Option<infer T, boolean> ? T : never }
type Optional<O extends Options> = { [K in keyof O]: O[K] extends Option<any, true> ? K : never }[keyof O]
/** What a program passes: the same, less what has a default. */
export type Given<O extends Options> = Partial<Pick<Values<O>, Optional<O>>> & Omit<Values<O>, Optional<O>>

export type Arity = 0 | 1 | 'many'
export type Children<A extends Arity> = A extends 0 ? readonly [] : A extends 1 ? readonly [Translator] : readonly Translator[]

/** Where lines for the operator go; pino's loggers fit. */
export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}
/** Where an instance runs. */
export interface Env {
  readonly name: string                                   // for logs and metrics: '/vault: crypt'
  readonly log: Log
  readonly owner?: { readonly uid: number; readonly gid: number }   // of what is made up; absent: the server's user
  readonly state?: string                                 // a folder of its own, outliving restarts, to be made where it is not there; absent: none was given
  /** What is mounted over a path of the namespace, to be closed by who asked, and the rest of the path in it. ENOENT; absent: there is no namespace. */
  readonly reach?: (names: readonly string[]) => { translator: Translator; rest: string[] }
  readonly meters?: Meters                                // of the server, for what measures; absent: nobody looks
}
/** Hears nothing. */
export const silent: Log = { debug() {}, info() {}, warn() {}, error() {} }

/** An option that does not read. The message is the whole sentence: what was wrong, what to write instead. key: which one of those given. */
export class BadOption extends Error {
  override readonly name = 'BadOption'
  constructor(message: string, readonly key?: string) { super(message) }
}

/** Counts what a translator owes and may call, from the first on: those made for another edition are not loaded. */
export const EDITION = 1

/** What stands behind a running translator: its definition, options and children. */
export interface Running {
  readonly definition: Definition<any, Arity>
  /** As they are now. */
  readonly options: Values<Options>
  readonly children: readonly Translator[]
  /** Whether it, and all below it, order their calls themselves. */
  readonly concurrent: boolean
}
/** now: shared by all that stand for the same. */
class Entry implements Running {
  constructor(readonly definition: Running['definition'], readonly children: Running['children'], readonly concurrent: boolean, readonly now: { options: Values<Options> }) {}
  get options(): Values<Options> { return this.now.options }
}
/** One for all copies of this module in the process, since a translator from outside our tree may import a copy of its own. */
const running: WeakMap<Translator, Entry> = (globalThis as { [key: symbol]: WeakMap<Translator, Entry> })[Symbol.for(`ninefold.running.${EDITION}`)] ??= new WeakMap()

/** How this translator was started. Throws TypeError for one that did not come from a factory. */
export function describe(translator: Translator): Running {
  const found = running.get(translator)
  if (!found) throw new TypeError(`${translator.name}: not started by its factory`)
  return found
}

/** Says that `face` stands for this translator, and is to be described as it is. concurrent: it orders what comes to it. */
export function standIn(face: Translator, translator: Translator, concurrent = describe(translator).concurrent): void {
  const { definition, children, now } = describe(translator) as Entry
  running.set(face, new Entry(definition, children, concurrent, now))
}

/** A translator to call: `await rot13({ shift: 1 }, brick)`. It owns its children from there. */
export interface Factory<O extends Options, A extends Arity> {
  (options: Given<O>, ...children: Children<A>): Promise<Translator>
  readonly definition: Definition<O, A>
  readonly edition: number
  /** The same from a config: options as text or YAML has them, and where it runs. */
  start(options: Readonly<Record<string, unknown>>, children: readonly Translator[], env: Env): Promise<Translator>
}

/** Makes a factory of a definition. */
export function translator<const O extends Options, A extends Arity>(definition: Definition<O, A>): Factory<O, A> {
  async function start(given: Readonly<Record<string, unknown>>, children: readonly Translator[], env: Env): Promise<Translator> {
    checkChildren(definition, children.length)
    const options = parseOptions(definition, given)
    const started = await definition.start(options, children as Children<A>, env)
    const concurrent = definition.concurrent === true && children.every((child) => describe(child).concurrent)
    running.set(started, new Entry(definition, children, concurrent, { options }))
    return started
  }
  const factory = (options: Given<O>, ...children: Children<A>) => start(options as Record<string, unknown>, children, { name: definition.name, log: silent })
  return Object.assign(factory, { definition, edition: EDITION, start })
}

/**
 * Changes options of a running translator and leaves the others as they are: true. false: only a new instance can, since
 * not all that would change are `live`. BadOption, and nothing has changed. TypeError as describe.
 */
export async function reconfigure(translator: Translator, given: Readonly<Record<string, unknown>>): Promise<boolean> {
  const { definition, options } = describe(translator), changed: Record<string, unknown> = { ...options }
  for (const key of Object.keys(given)) changed[key] = parseOption(definition, key, given[key])
  return change(translator, changed)
}
/** The same, with values of all options that were parsed. */
export async function change(translator: Translator, values: Values<Options>): Promise<boolean> {
  const { definition, options, now } = describe(translator) as Entry
  if (!onlyLive(definition, options, values) || !await translator.reconfigure?.(values)) return false
  now.options = values
  return true
}

/** Whether what differs between two sets of values can change while the translator runs. */
export function onlyLive({ options }: Definition<any, Arity>, from: Values<Options>, to: Values<Options>): boolean {
  return Object.keys(options).every((key) => options[key]!.live || isDeepStrictEqual(from[key], to[key]))
}

/** Throws BadOption where a translator has too few or too many children. */
export function checkChildren(definition: Definition<any, Arity>, count: number): void {
  const { name, children } = definition
  if (children === 0 && count > 0) throw new BadOption(`${name}: is a brick and takes no children. Write it last.`)
  if (children === 1 && count !== 1) throw new BadOption(`${name}: takes one child, not ${count}. Write: ${name} | posix ./dir`)
  if (children === 'many' && count === 0) throw new BadOption(`${name}: takes children. Write: ${name} (posix ./d1, posix ./d2)`)
}

/** The values of all options, checked; unknown names, wrong values and missing ones are a BadOption. */
export function parseOptions<O extends Options>(definition: Definition<O, Arity>, given: Readonly<Record<string, unknown>>): Values<O> {
  const { name, options } = definition, values: Record<string, unknown> = {}
  for (const key of Object.keys(given)) known(definition, key)
  for (const [key, option] of Object.entries(options)) {
    const value = given[key]
    if (value !== undefined) values[key] = parseOption(definition, key, value)
    else if (option.optional) values[key] = option.default
    else throw new BadOption(`${name}: ${key} is missing. It is ${option.takes}: ${option.about}`)
  }
  return values as Values<O>
}
function parseOption(definition: Definition<any, Arity>, key: string, value: unknown): unknown {
  const option = known(definition, key)
  try { return option.parse(value) } catch (e) {
    if ((e as Error).name === 'BadOption') throw new BadOption(`${definition.name}: ${key}: ${(e as Error).message}`, key)   // perhaps another copy's
    throw e
  }
}
function known({ name, options }: Definition<any, Arity>, key: string): Option<unknown> {
  if (Object.hasOwn(options, key)) return options[key]
  const names = Object.keys(options), near = nearest(key, names)
  throw new BadOption(`${name}: no option "${key}".${near ? ` Did you mean "${near}"?` : ''} It takes: ${names.join(', ') || 'none'}.`, key)
}

/** The candidate that a slip of the pen would have made of `word`: at most a third of its letters differ. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined, least = Math.floor(word.length / 3) + 1
  for (const candidate of candidates) {
    const d = distance(word, candidate)
    if (d < least || (d === least && best === undefined && d <= word.length / 3)) { best = candidate; least = d }
  }
  return best
}
/** Letters to add, drop, change or swap with their neighbour. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i), above = row
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) next[j] = Math.min(next[j]!, above[j - 2]! + 1)
    }
    above = row
    row = next
  }
  return row[b.length]!
}

// The kinds of option. Each takes { about, default?, positional?, live?, reserved? }; without a default it must be given.

interface Saying<T> { readonly about: string; readonly default?: T; readonly positional?: boolean; readonly live?: boolean; readonly reserved?: boolean }
type Has<S> = S extends { default: unknown } ? true : false

function option<T, S extends Saying<T>>(say: S, takes: string, schema: object, parse: (value: unknown) => T, unit?: string): Option<T, Has<S>> {
  const optional = ('default' in say) as Has<S>
  return {
    about: say.about, optional, takes, schema, parse,
    ...(unit === undefined ? {} : { unit }), ...('default' in say ? { default: say.default as T } : {}), ...(say.positional ? { positional: true } : {}), ...(say.live ? { live: true } : {}), ...(say.reserved ? { reserved: true } : {}),
  }
}
function show(value: unknown): string { return typeof value === 'string' ? `"${value}"` : JSON.stringify(value) ?? String(value) }

/** A whole number; 0755 is octal, as in a mode. */
export function int<const S extends Saying<number> & { min?: number; max?: number }>(say: S): Option<number, Has<S>> {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = say
  const takes = max === Number.MAX_SAFE_INTEGER ? `an integer of at least ${min}` : `an integer from ${min} to ${max}`
  return option<number, S>(say, takes, { type: 'integer', minimum: min, maximum: max }, (value) => {
    const n = typeof value === 'number' ? value : typeof value === 'string' && /^[-+]?\d+$/.test(value) ? (/^0[0-7]+$/.test(value) ? parseInt(value, 8) : Number(value)) : NaN
    if (!Number.isSafeInteger(n) || n < min || n > max) throw new BadOption(`${show(value)} is not ${takes}.`)
    return n
  })
}

const sizes: Record<string, number> = { '': 1, B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40, PiB: 2 ** 50, kB: 1e3, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 }
/** Bytes: 4096, 64MiB, 1.5GiB. */
export function size<const S extends Saying<number> & { min?: number; max?: number }>(say: S): Option<number, Has<S>> {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = say
  return option<number, S>(say, 'a size (64MiB)', { anyOf: [{ type: 'integer', minimum: min, maximum: max }, { type: 'string', pattern: '^[0-9]+(\\.[0-9]+)?([kKMGTP]i?B|B)?$' }] }, (value) => {
    const m = typeof value === 'string' ? /^(\d+(?:\.\d+)?) ?([A-Za-z]*)$/.exec(value) : null
    const factor = m ? sizes[m[2]!] : undefined
    const n = typeof value === 'number' ? value : m && factor !== undefined ? Math.floor(Number(m[1]) * factor) : NaN
    if (!Number.isSafeInteger(n)) throw new BadOption(`${show(value)} is not a size. Write bytes or KiB, MiB, GiB: 64MiB.`)
    if (n < min || n > max) throw new BadOption(`${show(value)} is out of range: from ${min} to ${max} bytes.`)
    return n
  }, 'bytes')
}

const units: Record<string, number> = { '': 1, us: 1e-6, ms: 1e-3, s: 1, m: 60, min: 60, h: 3600, d: 86400 }
/** Seconds: 10s, 500ms, 5m, 1h, 2d; a bare number is seconds. */
export function duration<const S extends Saying<number> & { min?: number; max?: number }>(say: S): Option<number, Has<S>> {
  const { min = 0, max = 1e9 } = say
  return option<number, S>(say, 'a duration (10s)', { anyOf: [{ type: 'number', minimum: min }, { type: 'string', pattern: '^[0-9]+(\\.[0-9]+)?(us|ms|s|m|min|h|d)?$' }] }, (value) => {
    const m = typeof value === 'string' ? /^(\d+(?:\.\d+)?) ?([a-z]*)$/.exec(value) : null
    const factor = m ? units[m[2]!] : undefined
    const n = typeof value === 'number' ? value : m && factor !== undefined ? Number(m[1]) * factor : NaN
    if (!Number.isFinite(n)) throw new BadOption(`${show(value)} is not a duration. Write a number and ms, s, m, h or d: 10s.`)
    if (n < min || n > max) throw new BadOption(`${show(value)} is out of range: from ${min}s to ${max}s.`)
    return n
  }, 'seconds')
}

/** A part of one: 0.01 or 1%. */
export function rate<const S extends Saying<number>>(say: S): Option<number, Has<S>> {
  return option<number, S>(say, 'a rate from 0 to 1, or in percent (1%)', { anyOf: [{ type: 'number', minimum: 0, maximum: 1 }, { type: 'string', pattern: '^[0-9]+(\\.[0-9]+)?%?$' }] }, (value) => {
    const m = typeof value === 'string' ? /^(\d+(?:\.\d+)?)(%?)$/.exec(value) : null
    const n = typeof value === 'number' ? value : m ? Number(m[1]) / (m[2] ? 100 : 1) : NaN
    if (!(n >= 0 && n <= 1)) throw new BadOption(`${show(value)} is not a rate from 0 to 1. Write 0.01 or 1%.`)
    return n
  })
}

/** on or off (also true and false, yes and no). */
export function flag<const S extends Saying<boolean>>(say: S): Option<boolean, Has<S>> {
  return option<boolean, S>(say, 'on or off', { anyOf: [{ type: 'boolean' }, { enum: ['on', 'off'] }] }, (value) => {
    if (value === true || value === 'on' || value === 'true' || value === 'yes') return true
    if (value === false || value === 'off' || value === 'false' || value === 'no') return false
    throw new BadOption(`${show(value)} is neither on nor off.`)
  })
}

/** Any text but the empty one. */
export function text<const S extends Saying<string>>(say: S): Option<string, Has<S>> {
  return option<string, S>(say, 'text', { type: 'string', minLength: 1 }, readText)
}
function readText(value: unknown): string {
  if (typeof value !== 'string' || value === '') throw new BadOption(`${show(value)} is not text.`)
  if (value.includes('\0')) throw new BadOption('text with a NUL in it.')
  return value
}

/** A file or folder of the host, relative to where the server runs. */
export function path<const S extends Saying<string>>(say: S): Option<string, Has<S>> {
  return option<string, S>(say, 'a path (./dir)', { type: 'string', minLength: 1 }, readText)
}

/** Some words of these, with commas between. BadOption, which begins with `whose`: 'fault: ops'. */
export function choose(whose: string, words: string, among: readonly string[]): ReadonlySet<string> {
  return new Set(words.split(',').map((word) => {
    if (among.includes(word)) return word
    const near = nearest(word, among)
    throw new BadOption(`${whose}: "${word}" is no call.${near ? ` Did you mean "${near}"?` : ''} There are: ${among.join(', ')}.`)
  }))
}

/** One of some words. */
export function choice<const T extends string, const S extends Saying<NoInfer<T>>>(among: readonly T[], say: S): Option<T, Has<S>> {
  return option<T, S>(say, `one of ${among.join(', ')}`, { enum: among }, (value) => {
    if (typeof value === 'string' && (among as readonly string[]).includes(value)) return value as T
    const near = typeof value === 'string' ? nearest(value, among) : undefined
    throw new BadOption(`${show(value)} is not one of ${among.join(', ')}.${near ? ` Did you mean "${near}"?` : ''}`)
  })
}

/** A map from words to values of one kind: `key=a:1,b:2` on one line, a mapping in YAML. */
export function map<T, const S extends Saying<Readonly<Record<string, T>>>>(of: Option<T, boolean>, say: S): Option<Readonly<Record<string, T>>, Has<S>> {
  return option<Readonly<Record<string, T>>, S>(say, `a map of ${of.takes} (a:1,b:2)`, { type: 'object', additionalProperties: of.schema }, (value) => {
    const entries = typeof value === 'string' ? value.split(',').map((pair) => {
      const at = pair.indexOf(':')
      if (at < 1) throw new BadOption(`${show(pair)} is not of the form name:value.`)
      return [pair.slice(0, at), pair.slice(at + 1)] as const
    }) : value !== null && typeof value === 'object' && !Array.isArray(value) ? Object.entries(value) : undefined
    if (!entries) throw new BadOption(`${show(value)} is not a map. Write a:1,b:2.`)
    return Object.fromEntries(entries.map(([k, v]) => {
      try { return [k, of.parse(v)] } catch (e) {
        if (e instanceof BadOption) throw new BadOption(`${k}: ${e.message}`)
        throw e
      }
    }))
  })
}

