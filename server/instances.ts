// Running translators, and how one graph of them becomes another. An instance is held by whoever stands over it: mounts
// and other instances. Where a stack replaces another, the two are compared from the bricks up: what has the same translator,
// the same options and the same children goes on, and is shared by old and new for as long as both are there.

import { isDeepStrictEqual } from 'node:util'
import { errno } from 'ninep'
import { measured } from '../translators/meter.ts'
import type { Meters } from '../translators/meter.ts'
import { change, describe, onlyLive, parseOptions, standIn } from '../translators/options.ts'
import type { Env, Log, Options, Values } from '../translators/options.ts'
import type { Awaitable, Blobs, Node, SnapshotInfo, Translator } from '../translators/translator.ts'
import { named } from './control/journal.ts'
import { ordered } from './order.ts'
import type { Stack } from './stack.ts'

/** A running translator, held by all that stand over it: it closes when the last of them has let go. */
export class Instance {
  #held = 0
  /** Nobody holds it any more: it closes, or has. */
  ended = false
  /** As it is called: ordered, where it does not order its calls itself. */
  readonly face: Translator
  constructor(
    readonly name: string, readonly translator: Translator, readonly factory: Stack['factory'], public given: Stack['options'],
    readonly children: readonly Instance[], readonly holds: readonly string[], private readonly onEnd: (self: Instance) => void,
  ) {
    this.face = describe(translator).concurrent ? translator : ordered(translator)
  }
  get values(): Values<Options> { return describe(this.translator).options }
  /** What it was made of, with the options that it has now. */
  get stack(): Stack { return { factory: this.factory, options: this.given, children: this.children.map(({ stack }) => stack) } }
  /** How many stand over it. */
  get held(): number { return this.#held }
  /** A translator that is this one, for somebody who will close it. */
  lease(): Translator {
    this.#held++
    return new Lease(this)
  }
  async release(): Promise<void> {
    this.#held--
    await this.letGo()
  }
  /** Closes it if nobody holds it. */
  async letGo(): Promise<void> {
    if (this.#held > 0 || this.ended) return
    this.ended = true
    try { await this.translator.close() } finally { this.onEnd(this) }
  }
  /** Itself and all below. */
  *all(): Generator<Instance> {
    yield this
    for (const child of this.children) yield* child.all()
  }
}

class Lease implements Translator {
  readonly name: string
  readonly blobs?: () => Blobs
  readonly snapshots?: () => AsyncIterable<SnapshotInfo>
  readonly reconfigure?: (options: Values<Options>) => Awaitable<boolean>
  #closing: Promise<void> | undefined
  constructor(private readonly instance: Instance) {
    const { translator } = instance
    this.name = translator.name
    if (translator.blobs) this.blobs = () => translator.blobs!()
    if (translator.snapshots) this.snapshots = () => translator.snapshots!()
    if (translator.reconfigure) this.reconfigure = (options) => translator.reconfigure!(options)
    standIn(this, translator, true)
  }
  attach(aname: string): Awaitable<Node> { return this.instance.face.attach(aname) }
  sync(): Awaitable<void> { return this.instance.translator.sync() }
  close(): Promise<void> { return this.#closing ??= this.instance.release() }
  async [Symbol.asyncDispose](): Promise<void> { await this.close() }
}

/** A stack, and what of it runs already. */
export interface Plan {
  readonly stack: Stack
  /** '0' the outermost, '0.1' its second child. */
  readonly position: string
  readonly values: Values<Options>
  readonly env: Env
  readonly children: readonly Plan[]
  /** The instance that serves it, if one does; changed: once it has taken over these values. */
  readonly reuse: Instance | null
  readonly changed: boolean
  /** What only one instance may hold. */
  readonly holds: readonly string[]
}

/** Itself and all below. */
export function* allOf(plan: Plan): Generator<Plan> {
  yield plan
  for (const child of plan.children) yield* allOf(child)
}

export class Instances {
  #holders = new Map<string, Instance>()
  /** How many run. */
  count = 0
  /** state: the server's folder for what outlives a restart; meters: to have every instance measured by; reach: as Env has it. */
  constructor(private readonly log: Log, private readonly state?: string, private readonly meters?: Meters, private readonly reach?: Env['reach']) {}

  holder(what: string): Instance | undefined { return this.#holders.get(what) }

  /**
   * How a stack could come to stand at a path, where what runs of `old` may be reused. Each instance is called after its place ('/vault: crypt')
   * and has a folder of its own below the state folder, named by path and translator, with a number from the second on: so
   * that a layer more or less above does not part it from what it kept. passing: who owns what it makes up, where it has no path to be found by again.
   */
  plan(path: string, stack: Stack, old: Instance | null, passing?: Env['owner']): Plan {
    const unused = new Set([...old?.all() ?? []].filter(({ ended }) => !ended)), seen = new Map<string, number>()
    const match = (stack: Stack, position: string): Plan => {
      const { factory: { definition }, options } = stack, { name } = definition
      const count = (seen.get(name) ?? 0) + 1
      seen.set(name, count)
      const children = stack.children.map((child, i) => match(child, `${position}.${i}`)), values = parseOptions(definition, options)
      const fits = [...unused].filter((instance) => instance.factory === stack.factory && instance.children.length === children.length && instance.children.every((child, i) => child === children[i]!.reuse))
      const equal = fits.find((instance) => isDeepStrictEqual(instance.values, values))
      const reuse = equal ?? fits.find(({ translator, values: now }) => translator.reconfigure && onlyLive(definition, now, values)) ?? null
      if (reuse) unused.delete(reuse)
      const env: Env = {
        name: `${path}: ${name}`, log: named(this.log, `${path}: ${name}`), ...(this.meters && { meters: this.meters }), ...(this.reach && { reach: this.reach }), ...(passing && { owner: passing }),
        ...(this.state === undefined || passing ? {} : { state: `${this.state}/stacks/${encodeURIComponent(path)}/${name}${count > 1 ? `-${count}` : ''}` }),
      }
      return { stack, position, values, env, children, reuse, changed: reuse !== null && !equal, holds: reuse ? [] : definition.exclusive?.(values, env) ?? [] }
    }
    return match(stack, '0')
  }

  /** Starts what does not run yet, from the bottom up. If one does not start, those that did are closed. EBUSY: another holds what it needs. */
  async start(plan: Plan): Promise<Instance> {
    if (plan.reuse) return plan.reuse
    const { stack: { factory, options }, env, holds } = plan, children: Instance[] = [], leases: Translator[] = []
    try {
      for (const child of plan.children) {
        const instance = await this.start(child)
        children.push(instance)
        leases.push(instance.lease())
      }
      for (const what of holds) if (this.#holders.has(what)) throw errno('EBUSY', `${env.name}: ${what} is in use by ${this.#holders.get(what)!.name}`)
      const started = await factory.start(options, leases, env)
      const translator = env.meters ? measured(started, env.meters, env.name, plan.position, children.map((child) => child.translator)) : started
      const instance = new Instance(env.name, translator, factory, options, children, holds, (self) => this.#ended(self))
      for (const what of holds) this.#holders.set(what, instance)
      this.count++
      return instance
    } catch (e) {
      await Promise.allSettled(leases.map((lease) => lease.close()))
      throw e
    }
  }
  #ended(instance: Instance): void {
    this.count--
    for (const what of instance.holds) if (this.#holders.get(what) === instance) this.#holders.delete(what)
  }

  /** Gives running instances the values that a plan has for them. If one refuses, those before it get back theirs: EOPNOTSUPP, or what it threw. */
  async change(plans: Iterable<Plan>): Promise<() => Promise<void>> {
    const undo: (() => Promise<unknown>)[] = []
    const back = async () => { for (const f of undo.reverse()) await f().catch((err: unknown) => this.log.error({ err }, 'options could not be put back')) }
    try {
      for (const { reuse, changed, values, stack, env } of plans) {
        if (!reuse || !changed) continue
        const before = reuse.values, { given } = reuse
        if (!await change(reuse.translator, values)) throw errno('EOPNOTSUPP', `${env.name}: does not take these options while it runs`)
        reuse.given = stack.options
        undo.push(() => { reuse.given = given; return change(reuse.translator, before) })
      }
    } catch (e) {
      await back()
      throw e
    }
    return back
  }
}
