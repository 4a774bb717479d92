// How a running stack measures itself. A Meter counts the calls of one instance, and times one in some: what passed while a
// child was at work is the child's, so that what is left is the instance's own time.
//
// Whose call a child is at work for is known while that call has not left its turn of the loop, by `current`. One that goes
// on later is found among the calls under way in the instance above: exact where there is one; of several, one of
// the same kind, the youngest. So sums are right, and only how they divide between calls that overlap is a guess.

import { isErrno } from 'ninep'
import type { Attr } from 'ninep'
import { AroundNode, AroundTranslator, ops } from './around.ts'
import type { AroundHandle, Observer, Op } from './around.ts'
import { handsOn } from './forward.ts'
import { standIn } from './options.ts'
import type { Options, Values } from './options.ts'
import type { Awaitable, Node, Translator } from './translator.ts'

/** Upper bounds of the buckets of latencies, seconds: 1 us, doubled to some 34 s; the last has none. */
export const bounds: readonly number[] = [...Array.from({ length: 26 }, (_, i) => 1e-6 * 2 ** i), Infinity]
const BUCKETS = bounds.length

/**
 * One kind of call. calls, errors (refusals, but for ENOENT of walk and ENODATA of getxattr, which are answers) and bytes are of all;
 * the rest of the `timed` ones: seconds altogether, seconds of the instance's own, and in buckets[i] how many of those own times lay below bounds[i] and not below bounds[i - 1].
 */
export interface OpStats {
  readonly op: Op
  readonly calls: number
  readonly errors: number
  readonly bytes: number
  readonly timed: number
  readonly total: number
  readonly own: number
  readonly buckets: readonly number[]
}

/** A call under way. child: milliseconds that children were at work for it; under: how many are now, since then. */
interface Frame { readonly op: number; readonly timed: boolean; readonly began: number; child: number; under: number; since: number }
const UNTIMED: Frame = { op: -1, timed: false, began: 0, child: 0, under: 0, since: 0 }
/** The call at work in this turn. */
let current: Frame | null = null

const n = ops.length
const [WALK, GETATTR, GETXATTR, READ, WRITE, GET, PUT] =
  (['walk', 'getattr', 'getxattr', 'read', 'write', 'blobs.get', 'blobs.put'] as const).map((op) => ops.indexOf(op)) as [number, number, number, number, number, number, number]

/** Counts and times the calls of one instance. name: as in logs, '/vault: crypt'; position: in its stack, '0' the outermost, '0.1' its second child. */
export class Meter implements Observer {
  /** Of the instance above, whose time this one's calls are not. */
  above: Meter | null = null
  #calls = new Float64Array(n)
  #errors = new Float64Array(n)
  #bytes = new Float64Array(n)
  #timed = new Float64Array(n)
  #total = new Float64Array(n)
  #own = new Float64Array(n)
  #buckets = new Float64Array(n * BUCKETS)
  #flying = new Set<Frame>()
  #left = 1
  /** every: one call in so many is timed, by chance. */
  constructor(readonly name: string, readonly position: string, public every: number) {}
  get path(): string { return this.name.slice(0, Math.max(0, this.name.lastIndexOf(': '))) }
  get translator(): string { return this.name.slice(this.name.lastIndexOf(': ') + 2) }
  /** Calls that have not come back. */
  get pending(): number { return this.#flying.size }

  /** What there is to say of each kind of call that was made. */
  *[Symbol.iterator](): Iterator<OpStats> {
    for (const [i, op] of ops.entries()) {
      if (this.#calls[i] === 0) continue
      const ms = 1000
      yield {
        op, calls: this.#calls[i]!, errors: this.#errors[i]!, bytes: this.#bytes[i]!, timed: this.#timed[i]!, total: this.#total[i]! / ms, own: this.#own[i]! / ms,
        buckets: Array.from(this.#buckets.subarray(i * BUCKETS, (i + 1) * BUCKETS)),
      }
    }
  }

  around<T>(op: number, _on: AroundNode | AroundHandle | null, f: () => Awaitable<T>, _a?: unknown, b?: unknown): Awaitable<T> {
    this.#calls[op]!++
    if (op === PUT) this.#bytes[op]! += b as number
    const outer = current, under = outer ?? this.#under(op)
    if (under ? under.timed : this.#due()) return this.#time(op, f, outer, under)
    current = UNTIMED
    let result: Awaitable<T>
    try { result = f() } catch (e) { this.#failed(op, e); throw e } finally { current = outer }
    if (result instanceof Promise) this.#fly(op, result, { op, timed: false, began: 0, child: 0, under: 0, since: 0 }, null)
    else if (op === READ || op === WRITE || op === GET) this.#moved(op, result)
    return result
  }

  /**
   * The call that is made most, and that most layers hand on: one that is not to be timed goes straight from the outermost of
   * these nodes to the one that answers it, and all meters on its way count it.
   */
  getattr(node: MeasuredNode, mask: number): Awaitable<Attr> {
    const outer = current, under = outer ?? this.#under(GETATTR)
    if (under ? under.timed : this.#due()) {
      this.#calls[GETATTR]!++
      return this.#time(GETATTR, () => node.child.getattr(mask), outer, under)
    }
    const meters = node.way
    for (const meter of meters) meter.#calls[GETATTR]!++
    current = UNTIMED
    let result: Awaitable<Attr>
    try { result = node.answering.getattr(mask) } catch (e) {
      for (const meter of meters) meter.#failed(GETATTR, e)
      throw e
    } finally { current = outer }
    if (result instanceof Promise) for (const meter of meters) meter.#fly(GETATTR, result, { op: GETATTR, timed: false, began: 0, child: 0, under: 0, since: 0 }, null)
    return result
  }
  #ways: readonly Meter[] = []
  /** One array for all nodes whose calls go the same way. */
  way(meters: readonly Meter[]): readonly Meter[] {
    const known = this.#ways
    return known.length === meters.length && known.every((meter, i) => meter === meters[i]) ? known : this.#ways = meters
  }

  #time<T>(op: number, f: () => Awaitable<T>, outer: Frame | null, under: Frame | null): Awaitable<T> {
    const began = performance.now(), frame: Frame = { op, timed: true, began, child: 0, under: 0, since: 0 }
    if (under && under.under++ === 0) under.since = began
    current = frame
    let result: Awaitable<T>
    try { result = f() } catch (e) {
      this.#failed(op, e)
      this.#end(frame, under)
      throw e
    } finally { current = outer }
    if (result instanceof Promise) this.#fly(op, result, frame, under)
    else {
      this.#end(frame, under)
      if (op === READ || op === WRITE || op === GET) this.#moved(op, result)
    }
    return result
  }
  #fly(op: number, result: Promise<unknown>, frame: Frame, under: Frame | null): void {
    this.#flying.add(frame)
    result.then((value) => {
      this.#flying.delete(frame)
      if (frame.timed) this.#end(frame, under)
      if (op === READ || op === WRITE || op === GET) this.#moved(op, value)
    }, (e) => {
      this.#flying.delete(frame)
      if (frame.timed) this.#end(frame, under)
      this.#failed(op, e)
    })
  }
  #end(frame: Frame, under: Frame | null): void {
    const { op, began } = frame, now = performance.now()
    if (under && --under.under === 0) under.child += now - under.since
    const total = now - began, own = Math.max(0, total - frame.child - (frame.under > 0 ? now - frame.since : 0))
    const us = own * 1000, bucket = us < 1 ? 0 : us < 2 ** 25 ? 32 - Math.clz32(us) : BUCKETS - 1
    this.#timed[op]!++
    this.#total[op]! += total
    this.#own[op]! += own
    this.#buckets[op * BUCKETS + bucket]!++
  }
  #failed(op: number, e: unknown): void {
    if ((op === WALK && isErrno(e, 'ENOENT')) || (op === GETXATTR && isErrno(e, 'ENODATA'))) return
    this.#errors[op]!++
  }
  #moved(op: number, result: unknown): void { this.#bytes[op]! += typeof result === 'number' ? result : (result as Uint8Array).length }
  /** The call of the instance above that a call without a caller belongs to. */
  #under(op: number): Frame | null {
    let found: Frame | null = null
    if (this.above && this.above.#flying.size > 0) for (const frame of this.above.#flying) if (!found || frame.op === op || found.op !== op) found = frame
    return found
  }
  #due(): boolean {
    if (--this.#left > 0) return false
    this.#left = 1 + Math.floor(Math.random() * (2 * this.every - 1))
    return true
  }
}

/** The meters of a server, one an instance: what its control tree and its metrics show. every: as a Meter has it. */
export class Meters {
  readonly #all = new Set<Meter>()
  constructor(readonly every = 64) {}
  [Symbol.iterator](): Iterator<Meter> { return this.#all.values() }
  add(meter: Meter): Meter { this.#all.add(meter); return meter }
  delete(meter: Meter): void { this.#all.delete(meter) }
}

const measuredBy = new WeakMap<Translator, Meter>()
/** The meter of a translator, if it has one. */
export function meterOf(translator: Translator): Meter | undefined { return measuredBy.get(translator) }

/** The same translator with a meter on it, which is one of `meters` until it closes. The meters of its children are told of it. */
export function measured(translator: Translator, meters: Meters, name: string, position: string, children: readonly Translator[]): Translator {
  const meter = meters.add(new Meter(name, position, meters.every)), face = new Measured(translator, meter, () => meters.delete(meter))
  for (const child of children) {
    const below = measuredBy.get(child)
    if (below) below.above = meter
  }
  measuredBy.set(face, meter)
  standIn(face, translator)
  return face
}

/** A node with a meter on it. */
class MeasuredNode extends AroundNode {
  declare readonly layer: Meter
  /** The meters from here to who answers getattr. Found when it is asked for. */
  declare private meters: readonly Meter[] | null
  constructor(child: Node, meter: Meter) {
    super(child, meter)
    this.meters = null
  }
  protected override wrap(child: Node): Node { return new MeasuredNode(child, this.layer) }
  override getattr(mask: number): Awaitable<Attr> { return this.layer.getattr(this, mask) }
  get way(): readonly Meter[] {
    if (this.meters) return this.meters
    const meters: Meter[] = []
    let node: Node = this
    for (;;) {
      if (node instanceof MeasuredNode) meters.push(node.layer)
      else if (!handsOn(node)) break
      node = node.child
    }
    this.answers = node
    return this.meters = this.layer.way(meters)
  }
  /** Who answers getattr; known once `way` is. */
  get answering(): Node { return this.answers! }
}

class Measured extends AroundTranslator {
  constructor(child: Translator, meter: Meter, private readonly done: () => void) { super(child, meter, child.name, (root) => new MeasuredNode(root, meter)) }
  get reconfigure(): Translator['reconfigure'] {
    const { child } = this
    return child.reconfigure && ((options: Values<Options>) => child.reconfigure!(options))
  }
  override async close(): Promise<void> {
    try { await super.close() } finally { this.done() }
  }
}
