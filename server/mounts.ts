// What is mounted where, and how that is changed while clients are in it: settrans, showtrans, fsysopts, and a config that
// changed. Changes go one at a time; each is checked, started and found out whole before anything is switched, and one that
// fails leaves all as it was. What both the old stack of a path and the new one have goes on running: see instances.ts.
//
// Two mounts never share an instance, though their stacks be equal: `memory` at two paths is two file systems, and a
// directory that a client saw under two names with one number would be taken for one that was moved.

import { errno, isErrno } from 'ninep'
import { meterOf } from '../translators/meter.ts'
import type { Meter, Meters } from '../translators/meter.ts'
import { describe, parseOptions } from '../translators/options.ts'
import type { Log } from '../translators/options.ts'
import type { Translator } from '../translators/translator.ts'
import { Instance, Instances, allOf } from './instances.ts'
import type { Plan } from './instances.ts'
import { ends } from './ends.ts'
import type { Identity } from './identity.ts'
import type { Limits } from './limits.ts'
import { Namespace, split } from './namespace.ts'
import type { File, Mount } from './namespace.ts'
import type { User } from './permission.ts'
import { Passive, defaultRules } from './passive.ts'
import type { PassiveRules, PassiveState } from './passive.ts'
import type { Repeats } from './repeats.ts'
import { formatStack } from './stack.ts'
import type { Stack } from './stack.ts'
import type { AnyFactory } from './translators.ts'
import { until, within } from './waiting.ts'

export interface How {
  /** Seconds that starting, or waiting for who holds on to something, may take: then ETIMEDOUT, or EBUSY. */
  readonly timeout?: number
  /** Takes away what is in use: its fids answer ENXIO from there. */
  readonly force?: boolean
}

/** A translator in the tree, as `showtrans` tells of it. */
export interface Standing {
  /** Never another's while the server runs. */
  readonly id: number
  readonly path: string
  /** The line that would make it again. */
  readonly stack: string
  /** leaving: it stands nowhere any more, and serves the fids that it has. */
  readonly state: 'running' | 'leaving'
  readonly since: Date
  readonly fids: number
  /** Outermost first. */
  readonly layers: readonly Layer[]
}
export interface Layer {
  readonly name: string
  readonly options: Readonly<Record<string, unknown>>
  /** The options that can change while it runs. */
  readonly live: readonly string[]
  /** How many stand over it: more than one while an old stack and a new one share it. */
  readonly held: number
  /** What counts its calls, if anything does. */
  readonly meter?: Meter
}

/** What came of a config: paths. */
export interface Applied {
  readonly kept: string[]
  /** The instance went on, with other options. */
  readonly changed: string[]
  readonly started: string[]
  readonly replaced: string[]
  readonly removed: string[]
}

/** A stack that did not start; the cause says why. */
export class NotStarted extends Error {
  override readonly name = 'NotStarted'
  constructor(readonly path: string, cause: unknown) { super(`${path}: ${(cause as Error).message}`, { cause }) }
}

/** own: its parts may go on in another stack; translators that a program started keep their children to themselves. */
interface Entry { readonly id: number; readonly mount: Mount; readonly top: Instance; readonly since: Date; readonly own: boolean }

/** How long a start may take unless told, seconds. */
const TIMEOUT = 30
/** Changes wait while more than these are still to be ended for the ones before. */
const MOST = 32
/** How long what is at work in a translator that is sent away by force may take, milliseconds. */
const GRACE = 1000

export class Mounts {
  readonly #entries = new Map<string, Entry>()
  readonly #leaving = new Set<Entry>()
  /** Started, and not yet in the tree. */
  #starting: readonly Entry[] = []
  #turn: Promise<unknown> = Promise.resolve()
  #closed = false
  #count = 0
  /** Told of what has changed. */
  onChange: (event: 'started' | 'replaced' | 'changed' | 'removed' | 'ended', standing: Standing) => void = () => {}
  private constructor(readonly namespace: Namespace, readonly instances: Instances, readonly passive: Passive, private readonly log: Log) { passive.namespace = namespace }

  /**
   * Starts stacks and takes over translators that run, each at its path. If one can't be, all of them are closed, and what it says
   * is thrown with its path before it.
   */
  static async start(given: ReadonlyMap<string, Stack | Translator>, identity: Identity, log: Log, { state, meters, passive: rules, limits, repeats }: { state?: string; meters?: Meters; passive?: Partial<PassiveRules>; limits: Limits; repeats: Repeats }): Promise<Mounts> {
    const entries: Entry[] = []
    let mounts: Mounts | undefined
    try {
      const instances = new Instances(log, state, meters, (names) => mounts!.#reach(names)), passive = new Passive({ ...defaultRules, ...rules }, limits, instances, log, repeats, state)
      mounts = new Mounts(await Namespace.make(identity, log, passive), instances, passive, log)
      mounts.#starting = entries
      const seen = new Set<string>()
      for (const path of given.keys()) {
        const normal = normalized(path)
        if (seen.has(normal)) throw new Error(`${path}: two translators for one path`)
        seen.add(normal)
      }
      for (const [path, what] of bindsLast([...given])) {
        if (!('factory' in what)) continue
        const top = await mounts.#started(mounts.instances.plan(normalized(path), what, null), TIMEOUT).catch((e: unknown) => { throw new NotStarted(path, e) })
        entries.push(mounts.#entry(normalized(path), top, true))
      }
      for (const [path, what] of given) if (!('factory' in what)) entries.push(mounts.#entry(normalized(path), foreign(path, what), false))
      const change = await mounts.namespace.prepare(new Map([...given.keys()].map((path) => [normalized(path), entries.find(({ mount }) => mount.path === normalized(path))!.mount])))
      change.commit()
      for (const entry of entries) mounts.#entries.set(entry.mount.path, entry)
      mounts.#starting = []
      return mounts
    } catch (e) {
      await mounts?.close().catch((err: unknown) => log.warn({ err }, 'a translator did not close well'))
      await Promise.allSettled([...given.values()].map(async (what) => { if (!('factory' in what) && !entries.some(({ top }) => top.translator === what)) await what.close() }))
      throw e
    }
  }

  /** Mounts a stack at a path, or exchanges what is there for it. BadOption, EBUSY, ETIMEDOUT, ENOTDIR, or what it throws that does not start. */
  async set(path: string, stack: Stack, how: How = {}): Promise<Applied> { return this.#alone(() => this.#apply(new Map([[normalized(path), stack]]), how)) }

  /** Sends away what is mounted at a path. ENOENT: nothing is; EBUSY: somebody is in it, who was waited for as long as `timeout` says (not at all, unless told). */
  async remove(path: string, how: How = {}): Promise<void> {
    const { timeout = 0, force = false } = how
    return this.#alone(async () => {
      const { mount } = this.#at(path)
      await this.passive.stopIdle(mount)
      if (!force && !await until(() => mount.used === 0, timeout)) throw errno('EBUSY', `${mount.path}: ${users(mount)}. Wait for them with a timeout, or send it away by force`)
      await this.#apply(new Map([[mount.path, null]]), how)
    })
  }

  /**
   * Makes the tree what a config says: `before` are the paths that the one before it had. What was mounted since by `set`, at other paths, stays. What
   * leaves serves the fids that it has.
   */
  async apply(config: ReadonlyMap<string, Stack>, before: Iterable<string>, how: How = {}): Promise<Applied> {
    return this.#alone(() => {
      const changes = new Map<string, Stack | null>([...config].map(([path, stack]) => [normalized(path), stack]))
      for (const path of before) if (!changes.has(normalized(path)) && this.#entries.has(normalized(path))) changes.set(normalized(path), null)
      return this.#apply(changes, how)
    })
  }

  /**
   * Gives a running layer other options (fsysopts); those that are not named stay as they are. layer: its number, outermost 0. EOPNOTSUPP: it can't
   * change them while it runs, and the sentence says which it can; BadOption; ENOENT.
   */
  async options(path: string, given: Readonly<Record<string, unknown>>, layer = 0): Promise<Layer> {
    return this.#alone(async () => {
      const { top, mount, own } = this.#at(path), instance = [...top.all()][layer]
      if (!instance) throw errno('ENOENT', `${mount.path}: has no layer ${layer}: there are ${[...top.all()].length}, from 0`)
      const { definition } = instance.factory, { stack: { options } } = instance
      parseOptions(definition, { ...options, ...given })
      const fixed = Object.keys(given).filter((key) => definition.options[key] && !definition.options[key].live)
      if (fixed.length > 0 || !instance.translator.reconfigure) {
        const live = own || instance.translator.reconfigure ? liveOptions(instance) : []
        throw errno('EOPNOTSUPP', `${instance.name}: ${fixed.join(', ') || 'it'} can't change while it runs. ${live.length > 0 ? `These can: ${live.join(', ')}` : 'None can'}: a new instance takes settrans`)
      }
      const plan = this.instances.plan(mount.path, { ...instance.stack, options: { ...options, ...given } }, instance)
      await this.instances.change([plan])
      this.onChange('changed', this.state(path))
      return layerOf(instance)
    })
  }

  /** Has the outermost layer at a path that knows the first word do what the words say. ENOENT; EOPNOTSUPP: none does. */
  async tell(path: string, words: readonly string[], say: (line: readonly string[]) => void): Promise<void> {
    const { top, mount } = this.#at(path)
    for (const { translator } of top.all()) {
      try { if (translator.tell) return await translator.tell(words, say) } catch (e) { if (!isErrno(e, 'EOPNOTSUPP')) throw e }
    }
    throw errno('EOPNOTSUPP', `${mount.path}: no layer of it knows "${words.join(' ')}"`)
  }

  /** Records a stack on the node at a path, that the first walk onto it starts, or with null takes the record off. Errors are those of setxattr: see Passive. ENOENT */
  async record(path: string, stack: string | null): Promise<void> {
    const file = await this.#node(path), owner: User = { uid: 0, gid: 0, groups: new Set() }
    try { await (stack === null ? this.passive.remove(file, owner) : this.passive.write(file, owner, Buffer.from(stack), 0, normalized(path))) } finally { file.release() }
  }
  /** The record of the node at a path, and how it fares; undefined where there is none. ENOENT */
  async recorded(path: string): Promise<PassiveState | undefined> {
    const file = await this.#node(path)
    try { return await this.passive.state(file) } finally { file.release() }
  }
  /** The layers that the record of the node at a path runs; none: it runs none. ENOENT */
  async recordedLayers(path: string): Promise<Layer[]> {
    const file = await this.#node(path)
    try { return this.passive.layers(file).map(layerOf) } finally { file.release() }
  }

  async #node(path: string): Promise<File> {
    try { return await this.namespace.find(path) } catch (e) { throw isErrno(e, 'ENOENT') ? errno('ENOENT', `${path}: there is no file that could have a record`) : e }
  }

  /** All that is mounted, and what is leaving. */
  list(): Standing[] {
    return [...[...this.#entries.values()].map((entry) => standing(entry, 'running')), ...[...this.#leaving].map((entry) => standing(entry, 'leaving'))]
  }
  /** The numbers of all of those. */
  ids(): number[] { return [...this.#entries.values(), ...this.#leaving].map(({ id }) => id) }
  /** One of them. */
  find(id: number): Standing | undefined {
    const of = (entry: Entry) => entry.id === id
    const entry = [...this.#entries.values()].find(of), leaving = entry ? undefined : [...this.#leaving].find(of)
    return entry ? standing(entry, 'running') : leaving && standing(leaving, 'leaving')
  }
  /** What is mounted at a path. ENOENT */
  state(path: string): Standing { return standing(this.#at(path), 'running') }

  #at(path: string): Entry {
    const entry = this.#entries.get(normalized(path))
    if (!entry) throw errno('ENOENT', `${path}: nothing is mounted there`)
    return entry
  }
  /** The longest path of these names where something is mounted, or about to be. */
  #reach(names: readonly string[]): { translator: Translator; rest: string[] } {
    for (let length = names.length; length >= 0; length--) {
      const path = '/' + names.slice(0, length).join('/')
      const entry = this.#starting.find(({ mount }) => mount.path === path) ?? this.#entries.get(path)
      if (entry) return { translator: entry.top.lease(), rest: names.slice(length) }
    }
    throw errno('ENOENT', `/${names.join('/')}: nothing is mounted there, or above`)
  }
  #alone<T>(f: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(() => until(() => ends.count < MOST, TIMEOUT)).then(f)
    this.#turn = mine.catch(() => {})
    return mine
  }
  #entry(path: string, top: Instance, own: boolean): Entry { return { id: ++this.#count, mount: this.namespace.mount(path, top.lease()), top, since: new Date(), own } }

  async #started(plan: Plan, timeout: number): Promise<Instance> {
    const starting = this.instances.start(plan)
    return within(starting, timeout, `${plan.env.name}: did not start`, (late) => { void late.letGo().catch((err: unknown) => this.log.warn({ err }, 'a translator did not close well')) })
  }

  async #apply(changes: ReadonlyMap<string, Stack | null>, { timeout = TIMEOUT, force = false }: How): Promise<Applied> {
    const plans = new Map<string, Plan>(), applied: Applied = { kept: [], changed: [], started: [], replaced: [], removed: [] }
    const swaps = new Map<string, Entry | null>(), fresh: Entry[] = [], emptied: Entry[] = []
    for (const [path, stack] of changes) {
      const now = this.#entries.get(path)
      if (stack === null) {
        if (now) swaps.set(path, null)
        continue
      }
      const plan = this.instances.plan(path, stack, now?.own ? now.top : null)
      plans.set(path, plan)
      if (!now || plan.reuse !== now.top) swaps.set(path, null)
      else applied[[...allOf(plan)].some(({ changed }) => changed) ? 'changed' : 'kept'].push(path)
    }
    const leave = [...swaps.keys()].flatMap((path) => this.#entries.get(path) ?? [])
    const held = this.#conflicts(plans, leave)
    // what goes on must not end with what has to end before
    const kept = held.size === 0 ? [] : [...plans.values()].flatMap((plan) => [...allOf(plan)].flatMap(({ reuse }) => reuse?.lease() ?? []))
    this.#starting = fresh
    let back: (() => Promise<void>) | undefined, reopen = () => {}
    try {
      const start = async (path: string) => {
        const entry = this.#entry(path, await this.#started(plans.get(path)!, timeout), true)
        fresh.push(entry)
        swaps.set(path, entry)
      }
      for (const [path] of bindsLast([...swaps.keys()].map((path) => [path, changes.get(path)!]))) if (plans.has(path) && !held.has(path)) await start(path)
      if (held.size > 0) {
        const holders = new Set([...held.values()].flat())
        reopen = await this.#empty(holders, timeout, force, emptied)
        for (const path of held.keys()) await start(path)
      }
      const change = await this.namespace.prepare(new Map([...swaps].map(([path, entry]) => [path, entry?.mount ?? null])))
      try { back = await this.instances.change([...plans.values()].flatMap((plan) => [...allOf(plan)])) } catch (e) {
        change.drop()
        throw e
      }
      if (this.#closed) {
        change.drop()
        throw errno('ECANCELED', 'the server stops')
      }
      change.commit()
    } catch (e) {
      await back?.()
      for (const { mount } of fresh) await mount.end().catch((err: unknown) => this.log.warn({ err }, 'a translator did not close well'))
      await this.#restore(emptied)
      throw e
    } finally {
      this.#starting = []
      reopen()
      for (const lease of kept) try { await lease.close() } catch (err) { this.log.warn({ err }, 'a translator did not close well') }
    }
    for (const [path, entry] of swaps) {
      const before = this.#entries.get(path)
      applied[!entry ? 'removed' : before ? 'replaced' : 'started'].push(path)
      if (entry) this.#entries.set(path, entry)
      else this.#entries.delete(path)
      if (before && !emptied.includes(before)) this.#leaves(before, force)
      this.onChange(!entry ? 'removed' : before ? 'replaced' : 'started', standing(entry ?? before!, entry ? 'running' : 'leaving'))
    }
    for (const path of applied.changed) this.onChange('changed', this.state(path))
    return applied
  }

  #leaves(entry: Entry, force: boolean): void {
    this.#leaving.add(entry)
    void entry.mount.ended.then(() => {
      this.#leaving.delete(entry)
      this.onChange('ended', standing(entry, 'leaving'))
    })
    if (force) entry.mount.cut(GRACE).catch((err: unknown) => this.log.warn({ translator: entry.mount.path, err }, 'a translator did not close well'))
  }

  /** What must end before a path's stack can start, since it holds what that needs. EBUSY: it stays. */
  #conflicts(plans: ReadonlyMap<string, Plan>, leave: readonly Entry[]): Map<string, Entry[]> {
    const held = new Map<string, Entry[]>(), wanted = new Map<string, string>()
    for (const [path, plan] of plans) {
      for (const { holds, env } of allOf(plan)) {
        for (const what of holds) {
          const other = wanted.get(what)
          if (other !== undefined) throw errno('EBUSY', `${env.name}: ${what} is wanted by ${other}, too`)
          wanted.set(what, env.name)
          const holder = this.instances.holder(what)
          if (!holder) continue
          const over = [...leave, ...this.#leaving].filter(({ top }) => [...top.all()].includes(holder))
          const stays = [...this.#entries.values()].some((entry) => !leave.includes(entry) && [...entry.top.all()].includes(holder))
          if (stays || over.length === 0) throw errno('EBUSY', `${env.name}: ${what} is in use by ${holder.name}`)
          held.set(path, [...held.get(path) ?? [], ...over])
        }
      }
    }
    return held
  }

  /**
   * Waits until nobody is in these, takes them out of the tree and waits for their end. Who comes to their places waits until the result is
   * called. EBUSY: somebody stays in one. ended: gets those that stood somewhere.
   */
  async #empty(holders: ReadonlySet<Entry>, timeout: number, force: boolean, ended: Entry[]): Promise<() => void> {
    const placed = [...holders].filter((entry) => this.#entries.get(entry.mount.path) === entry)
    for (const { mount } of holders) await this.passive.stopIdle(mount)
    const free = () => [...holders].every((entry) => this.#leaving.has(entry) ? false : entry.mount.used === 0)
    let open: (() => void) | undefined
    for (let end = Date.now() + timeout * 1000; !open;) {
      if (!force && !await until(free, (end - Date.now()) / 1000)) throw errno('EBUSY', [...holders].filter((entry) => this.#leaving.has(entry) || entry.mount.used > 0).map(({ mount }) => `${mount.path}: ${users(mount)}`).join('; '))
      open = this.#shut(placed)
      if (force || free()) break
      open()
      open = undefined
    }
    try {
      (await this.namespace.prepare(new Map(placed.map(({ mount }) => [mount.path, null])), true)).commit()
      ended.push(...placed)
      if (force) for (const { mount } of holders) mount.cut(GRACE).catch((err: unknown) => this.log.warn({ translator: mount.path, err }, 'a translator did not close well'))
      await within(Promise.all([...holders].map(({ mount }) => mount.ended)), TIMEOUT, 'what has to end before did not', () => {})
    } catch (e) {
      open!()
      throw e
    }
    return open!
  }
  /** Lets nobody in to these. The result lets them in again. */
  #shut(entries: readonly Entry[]): () => void {
    let open!: () => void
    const changing = new Promise<void>((resolve) => { open = resolve }), places = entries.flatMap(({ mount }) => mount.place ?? [])
    for (const place of places) place.changing = changing
    return () => {
      for (const place of places) place.changing = null
      open()
    }
  }

  /** Starts again what had to end for something that did not start. */
  async #restore(entries: readonly Entry[]): Promise<void> {
    for (const { mount: { path }, top } of entries) {
      if (!this.#entries.has(path)) continue
      let entry: Entry | null = null
      try { entry = this.#entry(path, await this.#started(this.instances.plan(path, top.stack, top), TIMEOUT), true) } catch (err) { this.log.error({ translator: path, err }, 'what stood there before could not be started again') }
      (await this.namespace.prepare(new Map([[path, entry?.mount ?? null]]))).commit()
      if (entry) this.#entries.set(path, entry)
      else this.#entries.delete(path)
    }
  }

  /** Syncs and closes all: see Namespace.close. */
  close(late?: Promise<void>): Promise<void> {
    this.#closed = true
    return this.namespace.close(late)
  }
}

/** What takes a part of the tree comes after what it takes it from. */
function bindsLast<T>(stacks: readonly (readonly [string, T])[]): (readonly [string, T])[] {
  const binds = (stack: Stack): boolean => stack.factory.definition.name === 'bind' || stack.children.some(binds)
  const late = (what: unknown) => what !== null && typeof what === 'object' && 'factory' in what && binds(what as Stack) ? 1 : 0
  return [...stacks].sort(([, a], [, b]) => late(a) - late(b))
}
function normalized(path: string): string { return '/' + split(path).join('/') }

/** A translator that a program started. */
function foreign(path: string, translator: Translator): Instance {
  const { definition, options } = describe(translator)
  return new Instance(`${path}: ${translator.name}`, translator, { definition } as AnyFactory, given(definition, options), [], [], () => {})
}
/** What differs from how it is unless told. */
function given({ options }: AnyFactory['definition'], values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([key, value]) => value !== options[key]!.default))
}

function standing({ id, mount, top, since }: Entry, state: Standing['state']): Standing {
  return { id, path: mount.path, stack: formatStack(top.stack), state, since, fids: [...mount.fids()].length, layers: [...top.all()].map(layerOf) }
}
function layerOf(instance: Instance): Layer {
  const meter = meterOf(instance.translator)
  return { name: instance.factory.definition.name, options: instance.values, live: liveOptions(instance), held: instance.held, ...(meter && { meter }) }
}
function liveOptions({ factory: { definition: { options } }, translator }: Instance): string[] {
  return translator.reconfigure ? Object.keys(options).filter((key) => options[key]!.live) : []
}

/** Who is in a mount, in words. */
function users(mount: Mount): string {
  const fids = [...mount.fids()], uids = [...new Set(fids.map(({ attach: { user } }) => user.uid))].sort((a, b) => a - b)
  return fids.length === 0 ? 'something is at work in it' : `${fids.length} fid${fids.length > 1 ? 's are' : ' is'} in it, of uid ${uids.slice(0, 8).join(', ')}${uids.length > 8 ? ', ...' : ''}`
}
