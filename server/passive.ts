// Passive translators: a stack that a node carries as a record of its own, in the xattr user.translator, and that the first walk
// onto the node starts. The record is where the file goes; which nodes have one is kept in the state folder, so that a walk
// need not ask each node for it. Records that were put there without this server are not believed: a copy must not plant any. A
// record is its node's owner's, whoever set it, and what it starts has his rights: once the node is another's, it is dropped.
//
// The innermost layer of such a stack stands on the node itself, where the stack names nothing under it: `rot13` shows the
// node's own content turned, as in the Hurd the underlying node is what a translator is given.
//
// passive.json, version 2: { "version": 2, "nodes": { LABEL OF A VOLUME: { QID.PATH IN HEX: [OWNER, PATH], ... }, ... } }, replaced whole
// by rename. PATH is where the node was when the record was set, as far as that was known, and '' else: for who looks, and for nothing more.

import { Attrs, O, errno, isErrno } from 'ninep'
import { ForwardNode } from '../translators/forward.ts'
import { BadOption, duration, parseOptions, translator } from '../translators/options.ts'
import type { Log, Option, Values } from '../translators/options.ts'
import type { Awaitable, Node, Owner, Translator, Volume } from '../translators/translator.ts'
import { failing } from './failing.ts'
import type { Instance, Instances } from './instances.ts'
import type { Limits } from './limits.ts'
import type { File, Mount, Namespace } from './namespace.ts'
import { isOutside } from './outside.ts'
import type { User } from './permission.ts'
import type { Repeats } from './repeats.ts'
import { checkStack, readLine } from './stack.ts'
import type { Layer, Stack } from './stack.ts'
import { StateFile } from './state.ts'
import { translators } from './translators.ts'
import type { AnyFactory } from './translators.ts'
import { within } from './waiting.ts'

/** Where the record is kept. */
export const RECORD = 'user.translator'

/** The keys of `passive` in a config. */
export const passiveOptions = {
  allow: {
    about: 'translators that the owner of a file may record on it', takes: 'a list of translators (rot13, memory)', optional: true,
    default: [...translators.values()].filter(({ definition }) => definition.confined).map(({ definition }) => definition.name),
    schema: { type: 'array', items: { enum: [...translators.keys()] } },
    parse: (value) => allowed(typeof value === 'string' ? value.split(',') : value),
  } as Option<readonly string[], true>,
  timeout: duration({ about: 'time that a start may take', min: 0.01, default: 10 }),
  idle: duration({ about: 'time after which one that nobody is in is stopped', min: 0.01, default: 60 }),
} as const
export type PassiveRules = Values<typeof passiveOptions>
/** All defaults. */
export const defaultRules = Object.fromEntries(Object.entries(passiveOptions).map(([key, option]) => [key, option.default])) as PassiveRules
function allowed(value: unknown): readonly string[] {
  const list = Array.isArray(value) ? value.map((name) => typeof name === 'string' ? name.trim() : name) : undefined
  const wrong = list?.find((name) => !translators.has(name))
  if (!list || wrong !== undefined) throw new BadOption(`${JSON.stringify(list ? wrong : value)} is not ${list ? 'a translator' : 'a list'}. There are: ${[...translators.keys()].join(', ')}.`)
  return list
}

/** Records there may be, bytes of one, and instances that run at a time, of all users together. */
const RECORDS = 65_536, BYTES = 4096, RUNNING = 1024
/** Longer paths are not kept with a record. */
const PATH = 256
/** Layers over a node, with those of the passive translators that it lies in: what each adds is done at every read, in one turn of the loop. */
const LAYERS = 16
/** Names for those that run. There is an identity for 65 536 volumes that ever were, which go by them: users must not make up any number. */
const SLOTS = 2 * RUNNING
/** After a start that failed the next is tried in this many seconds, twice as many after each further one, to the most. */
const AGAIN = 1, MOST = 300

/** A record: whose node has it, and by which path it was set, or ''. */
interface Noted { readonly owner: number; readonly path: string }

/** A translator that stands over a file that fids name, by its record. It holds the file. */
export class Active {
  /** What is entered, and the outermost layer of it: null while it starts. */
  mount: Mount | null = null
  top: Instance | null = null
  starting: Promise<void> | null = null
  error: Error | null = null
  failures = 0
  /** Milliseconds since 1970: when somebody was last seen in it; when it may be tried again. */
  used = Date.now()
  again = 0
  readonly since = new Date()
  /** Layers over the node, with those of what that lies in. */
  layers = 0
  /** Whose it is, and bytes of memory that it may come to hold. */
  owner = 0
  holds = 0
  /** Which name it runs by, until it is closed. */
  slot: number | null = null
  ending: Promise<void> | null = null
  /** dir: what '..' leads to where the file knows no directory. */
  constructor(readonly under: File, readonly dir: File | null, readonly name: string) {}
}

/** A record, for who looks at all of them. */
export interface Recorded {
  /** Where it is: undefined where it has been moved since it was set, or was not known then. */
  readonly path: string | undefined
  /** What it is, by which it is known all the same. */
  readonly volume: string
  readonly number: bigint
  readonly owner: number
  /** Undefined: the node can't be had by the path. */
  readonly state: PassiveState | undefined
}
/** How a passive translator is, as `showtrans -s` tells of it. */
export interface PassiveState {
  /** As it was recorded. */
  readonly stack: string
  readonly state: 'stopped' | 'starting' | 'running' | 'failed'
  /** Why it failed. */
  readonly error?: string
  readonly fids: number
}

export class Passive {
  /** Nodes that have a record, by the label of their volume. */
  readonly #nodes = new Map<string, Map<bigint, Noted>>()
  readonly #active = new Set<Active>()
  #count = 0
  /** How many records each user has. */
  readonly #counts = new Map<number, number>()
  /** Those that run, or end: they have a slot. */
  readonly #running = new Set<Active>()
  #slot = 0
  readonly #file: StateFile | undefined
  #saving: Promise<void> | null = null
  #again: Promise<void> | null = null
  #sweep: NodeJS.Timeout | undefined
  #closed = false
  namespace!: Namespace
  constructor(
    public rules: PassiveRules, private readonly limits: Limits, private readonly instances: Instances, private readonly log: Log, private readonly repeats: Repeats,
    state: string | undefined, private readonly known: ReadonlyMap<string, AnyFactory> = translators,
  ) {
    if (state === undefined) return
    this.#file = new StateFile(state, 'passive.json', 2, 'passive translators then sleep until they are set again')
    const fields = this.#file.read()
    if (fields) for (const [label, number, noted] of parse(fields.nodes, (what) => this.#file!.bad(what))) this.#add(label, number, noted)
  }

  /** Whether there are any: if not, a walk need not look. */
  get any(): boolean { return this.#count > 0 }
  has({ label }: Volume, path: bigint): boolean { return this.#nodes.get(label)?.has(path) ?? false }
  /** Those that run, or failed. */
  get active(): Iterable<Active> { return this.#active }

  /**
   * What a walk onto this file comes to, which was reached by this name in that directory, and retained: the root of what its record starts, or the file
   * where it has none, or where that does not start something that tells so. Retained instead of the file.
   */
  enter(file: File, dir: File, name: string): Awaitable<File> {
    const { active } = file
    if (active?.mount && (active.error === null || Date.now() < active.again)) {
      const root = active.mount.root!.retain()
      file.release()
      return root
    }
    return this.#entered(file, dir, name)
  }
  async #entered(file: File, dir: File, name: string): Promise<File> {
    try {
      for (let tries = 0; tries < 3 && file.recorded; tries++) {
        const active = file.active ?? this.#begin(file, dir, name)
        if (active.error !== null && Date.now() >= active.again && !active.starting) this.#retry(active)
        if (!active.mount) await (active.starting ??= this.#start(active).finally(() => { active.starting = null }))
        if (active.mount?.root && file.active === active) return active.mount.root.retain()
      }
      return file.retain()
    } finally { file.release() }
  }
  #begin(file: File, dir: File, name: string): Active {
    const active = new Active(file.retain(), file.isDirectory ? null : dir.retain(), name)
    file.active = active
    this.#active.add(active)
    this.#sweep ??= setInterval(() => this.#look(), Math.max(50, Math.min(this.rules.idle, 10) * 250)).unref()
    return active
  }

  async #start(active: Active): Promise<void> {
    const { under, name } = active
    try {
      if (this.#closed) throw errno('ECANCELED', 'the server stops')
      let text: string
      try { text = Buffer.from(await under.node.getxattr(RECORD)).toString() } catch (e) {
        if (!isErrno(e, 'ENODATA')) throw e
        await this.#forget(under)                           // another file has the number now, or somebody took it off below
        this.#end(active)
        return
      }
      const owner = await under.node.getattr(Attrs.UID | Attrs.GID), { timeout } = this.rules
      if (owner.uid !== this.#noted(under)?.owner) {
        await this.#drop(under)
        return
      }
      const stack = this.#parse(text, under, owner.uid)
      active.layers = layersOver(under) + depth(stack)
      active.owner = owner.uid
      active.holds = held(stack)
      await this.#admit(active)
      this.#stand(active, await within(this.#started(`passive ${active.slot}`, stack, owner), timeout, 'did not start', ({ mount: late }) => {
        late.retire()
        late.root!.release()
      }))
      active.error = null
      active.failures = 0
      this.log.debug({ translator: under.mount.path, file: name, stack: text }, 'a passive translator was started')
    } catch (e) {
      active.error = e as Error
      this.#letGo(active)
      active.again = Date.now() + 1000 * Math.min(MOST, AGAIN * 2 ** active.failures++)
      this.repeats.warn({ translator: under.mount.path, file: name, err: e }, 'a passive translator did not start')
      const factory = failing(under, e as Error)
      this.#stand(active, await this.#started('passive', { factory, options: {}, children: [] }))
    }
  }
  async #started(path: string, stack: Stack, { uid, gid }: Owner = { uid: 0, gid: 0 }): Promise<{ mount: Mount; top: Instance }> {
    const top = await this.instances.start(this.instances.plan(path, stack, null, { uid, gid })), mount = this.namespace.mount(top.name, top.lease())
    try {
      mount.root = await mount.adopt(await mount.face.attach(''))
    } catch (e) {
      await mount.end().catch(() => {})
      throw e
    }
    mount.volatile = [...top.all()].some(({ factory }) => factory.definition.volatile)
    return { mount, top }
  }
  /**
   * Lets one more run, by a slot that was let go long ago, for what is cached by its numbers. Where there are as many as there may be, of its owner or of all, one that
   * nobody is in ends for it. EAGAIN: there is none; EDQUOT: with what it may come to hold the owner's would hold too much.
   */
  async #admit(active: Active): Promise<void> {
    const { owner } = active, { 'passive-running': running, 'passive-memory': memory } = this.limits, { timeout } = this.rules
    const mine = () => isTrusted(owner) ? [] : [...this.#running].filter((each) => each.owner === owner)
    for (let own; (own = mine()).length >= running || this.#running.size >= RUNNING;) {
      const all = own.length >= running ? own : [...this.#running]
      const idle = all.filter((each) => this.#active.has(each) && this.#isIdle(each)).sort((a, b) => a.used - b.used)[0]
      if (!idle) throw errno('EAGAIN', `${all.length} passive translators${own.length >= running ? ` of uid ${owner}` : ''} run and are in use: that is the most`)
      await within(this.#end(idle), timeout, 'one that had to end for it did not', () => {})
    }
    const held = mine().reduce((sum, { holds }) => sum + holds, 0)
    if (active.holds > 0 && !isTrusted(owner) && held + active.holds > memory) throw errno('EDQUOT', `those of uid ${owner} may hold ${memory} bytes of memory, and ${held} are taken: ${active.holds} more is too much`)
    const taken = new Set([...this.#running].map(({ slot }) => slot))
    do this.#slot = (this.#slot + 1) % SLOTS; while (taken.has(this.#slot))
    active.slot = this.#slot
    this.#running.add(active)
  }
  #isIdle({ starting, mount }: Active): boolean { return !starting && mount !== null && mount.used === 0 && !mount.volatile }
  #letGo(active: Active): void {
    this.#running.delete(active)
    active.slot = null
  }
  #stand(active: Active, { mount, top }: { mount: Mount; top: Instance }): void {
    mount.over = active
    active.mount = mount
    active.top = top
    active.used = Date.now()
  }
  /** Takes away what told that it failed, so that it is tried again. */
  #retry(active: Active): void {
    const { mount } = active
    active.mount = null
    if (!mount) return
    mount.retire()
    mount.root!.release()
  }
  /** Ends one: new walks see what is under it, or start it anew. */
  #end(active: Active): Promise<void> {
    const { under, dir } = active
    if (!this.#active.delete(active)) return active.ending!
    if (under.active === active) under.active = null
    if (this.#active.size === 0) {
      clearInterval(this.#sweep)
      this.#sweep = undefined
    }
    return active.ending = (async () => {
      if (active.starting) await active.starting.catch(() => {})
      const { mount } = active
      if (mount) {
        mount.retire()
        mount.root!.release()
        await mount.ended
      }
      this.#letGo(active)
      under.release()
      dir?.release()
    })()
  }
  #look(): void {
    const now = Date.now()
    for (const active of this.#active) {
      if (active.starting || !active.mount) continue
      if (active.mount.used > 0) active.used = now
      else if (active.under.mount.retired || active.mount.cutOff) void this.#end(active)
      else if (now - active.used >= this.rules.idle * 1000 && now >= active.again && this.#isIdle(active)) void this.#end(active)
    }
  }
  /** Stops those in a mount that nobody is in, so that they do not hold it. */
  async stopIdle(mount: Mount): Promise<void> {
    await Promise.all([...this.#active].map(async (active) => {
      if (active.under.mount !== mount || active.starting || !active.mount) return
      await this.stopIdle(active.mount)
      if (active.mount.used === 0) await this.#end(active)
    }))
  }
  /** Those in a mount that is cut off are, too. */
  cut(mount: Mount, grace: number): void {
    for (const active of [...this.#active]) {
      if (active.under.mount !== mount) continue
      const over = active.mount
      void this.#end(active)
      over?.cut(grace).catch((err: unknown) => this.log.warn({ translator: over.path, err }, 'a translator did not close well'))
    }
  }

  // The record

  /** The record of a file, for its owner: EPERM; ENODATA. */
  async read(file: File, user: User): Promise<Uint8Array> {
    const { under } = await this.#owned(file, user, 'getxattr')
    return under.node.getxattr(RECORD)
  }
  /**
   * Sets the record of a file, whose owner the user is (EPERM) and whose translators may be started so (EPERM). EINVAL: it does not read; EBUSY: it is a mount's root;
   * EDQUOT: the owner has too many, or it would hold too much. path: where the file is, if that is known.
   */
  async write(file: File, user: User, value: Uint8Array, flags: number, path = ''): Promise<void> {
    const { under, owner } = await this.#owned(file, user, 'setxattr'), text = Buffer.from(value).toString(), { 'passive-records': records } = this.limits
    if (value.length > BYTES) throw errno('E2BIG', 'setxattr', RECORD)
    if (under.isPlace) throw errno('EBUSY', 'setxattr: a mount stands here', RECORD)
    try { this.#parse(text, under, owner) } catch (e) { throw e instanceof BadOption ? errno('EINVAL', `setxattr ${RECORD}: ${e.message}`) : e }
    const own = this.#noted(under)?.owner === owner
    if (!own && this.#count >= RECORDS) throw errno('ENOSPC', `more than ${RECORDS} passive translators are recorded`)
    if (!own && !isTrusted(owner) && (this.#counts.get(owner) ?? 0) >= records) throw errno('EDQUOT', `uid ${owner} has ${records} passive translators: that is the most`)
    await this.#note(under, { owner, path: path.length > PATH ? '' : path })
    try { await under.node.setxattr(RECORD, value, flags) } catch (e) {
      try { await under.node.getxattr(RECORD) } catch { await this.#forget(under) }
      throw e
    }
    this.#endAt(under)
  }
  /** Takes it off. EPERM ENODATA */
  async remove(file: File, user: User): Promise<void> {
    const { under } = await this.#owned(file, user, 'removexattr')
    await under.node.removexattr(RECORD)
    this.#endAt(under)
    await this.#forget(under)
  }
  /** The owner of a file may have changed: then its record is dropped. */
  async chowned(file: File): Promise<void> {
    const { underlying } = file, noted = this.#noted(underlying)
    if (noted && (await underlying.node.getattr(Attrs.UID)).uid !== noted.owner) await this.#drop(underlying)
  }
  /** Takes off a record that is not the owner's. One that can't be taken off is not believed all the same. */
  async #drop(file: File): Promise<void> {
    try { await file.node.removexattr(RECORD) } catch (e) { if (!isErrno(e)) throw e }
    this.#endAt(file)
    await this.#forget(file)
  }
  /** Ends what stands over a file, by whichever mount it was come to. */
  #endAt({ node: { volume, qid } }: File): void {
    for (const active of [...this.#active]) {
      const { node } = active.under
      if (node.qid.path === qid.path && node.volume.label === volume.label) void this.#end(active)
    }
  }
  /** The file of a name, retained, if one is recorded on it. */
  async victim({ node: dir, mount }: File, name: string): Promise<File | null> {
    let node: Node
    try { node = await dir.walk(name) } catch { return null }
    if (this.has(node.volume, node.qid.path)) return mount.adopt(node)
    mount.close(node)
    return null
  }
  /**
   * Whether the last name of a file with a record may be taken away. EBUSY: somebody is in what it started, and has not a mere name for it; ENOTEMPTY: that is a
   * directory whose files would go with it.
   */
  async mayGo(file: File): Promise<void> {
    const { active } = file, mount = active?.mount
    if (!mount || active!.error || (!file.isDirectory && (await file.node.getattr(Attrs.NLINK)).nlink > 1)) return
    if (this.#inside(mount)) throw errno('EBUSY', `unlink: somebody is in ${mount.path}`, active!.name)
    if (mount.volatile && mount.root!.isDirectory && !await isEmpty(mount.root!.node)) throw errno('ENOTEMPTY', 'unlink: what it holds would go with it', active!.name)
  }
  /** Whether a fid is open in it, or names what is below its root, or was attached there. */
  #inside(mount: Mount): boolean {
    const { root } = mount
    for (const fid of mount.fids()) if (fid.handle || fid.state === 'opening' || fid.file !== root || fid.attach.root === root) return true
    return [...this.#active].some((active) => active.under.mount === mount && active.mount !== null && this.#inside(active.mount))
  }
  /** A name of it was taken away: with the last goes the record. */
  async taken(file: File): Promise<void> {
    if ((await file.node.getattr(Attrs.NLINK)).nlink > 0) return
    this.#endAt(file)
    await this.#forget(file)
  }
  /** How the translator of a file is; undefined where it has none. */
  async state(file: File): Promise<PassiveState | undefined> {
    const under = file.underlying, { active } = under
    let stack: string
    try { stack = Buffer.from(await under.node.getxattr(RECORD)).toString() } catch (e) {
      if (isErrno(e, 'ENODATA') || isErrno(e, 'EOPNOTSUPP')) return undefined
      throw e
    }
    const state = !active ? 'stopped' : active.error ? 'failed' : active.mount ? 'running' : 'starting'
    return { stack, state, fids: active?.mount ? [...active.mount.fids()].length : 0, ...(active?.error ? { error: active.error.message } : {}) }
  }

  /** The layers that run by the record of a file, the outermost first; none: they do not run. */
  layers(file: File): readonly Instance[] {
    const { active } = file.underlying
    return active?.mount && !active.error ? [...active.top!.all()] : []
  }

  /** All that are recorded. Starts none of them. */
  async *list(): AsyncGenerator<Recorded> {
    for (const [volume, nodes] of this.#nodes) {
      for (const [number, { owner, path }] of nodes) {
        const is = ({ node }: File) => node.qid.path === number && node.volume.label === volume
        const there = await this.#at(path, is), file = there ?? [...this.#active].find(({ under }) => is(under))?.under.retain()
        let state: PassiveState | undefined
        try { state = file && await this.state(file) } catch (e) { if (!isErrno(e)) throw e } finally { file?.release() }
        yield { path: there && path, volume, number, owner, state }
      }
    }
  }
  /** What is at a path, retained, if it is that. */
  async #at(path: string, is: (file: File) => boolean): Promise<File | undefined> {
    if (path === '') return undefined
    try {
      const file = await this.namespace.find(path, false)
      if (is(file)) return file
      file.release()
    } catch (e) { if (!isErrno(e)) throw e }
    return undefined
  }

  async #owned(file: File, { uid }: User, op: string): Promise<{ under: File; owner: number }> {
    const under = file.underlying, { uid: owner } = await under.node.getattr(Attrs.UID)
    if (uid !== 0 && uid !== owner) throw errno('EPERM', op, RECORD)
    return { under, owner }
  }
  #parse(text: string, under: File, owner: number): Stack {
    const layer = innermost(readLine(text), this.known), known = new Map([...this.known, [NODE, onto(under)]])
    const outside = [...names(layer)].find(isOutside), refused = [...names(layer)].find((name) => this.known.has(name) && !this.rules.allow.includes(name))
    if (outside !== undefined) throw errno('EPERM', `${outside} is from outside, and would run code: no record on a node may start it. The server's owner mounts it with settrans -a`)
    if (refused !== undefined) throw errno('EPERM', `${refused} may not be started from a node: the server's owner would have to allow it`)
    const stack = checkStack(layer, known), reserved = reservedOf(stack)
    if (reserved) throw errno('EPERM', `${reserved} is for the server's owner to give, and for no record`)
    if (layersOver(under) + depth(stack) > LAYERS) throw errno('ELOOP', `more than ${LAYERS} layers over a node`)
    const { 'passive-memory': memory } = this.limits, holds = held(stack)
    if (holds > memory && !isTrusted(owner)) throw errno('EDQUOT', `${text}: may come to hold ${holds} bytes of memory, and all of one user ${memory}: give it less (size=, inodes=)`)
    return stack
  }

  #noted({ node: { volume, qid } }: File): Noted | undefined { return this.#nodes.get(volume.label)?.get(qid.path) }
  async #note(file: File, noted: Noted): Promise<void> {
    const { volume: { label }, qid: { path } } = file.node, before = this.#noted(file)
    file.recorded = true
    if (before?.owner === noted.owner && before.path === noted.path) return
    this.#remove(label, path)
    this.#add(label, path, noted)
    await this.#save()
  }
  async #forget(file: File): Promise<void> {
    const { volume: { label }, qid: { path } } = file.node
    file.recorded = false
    if (this.#remove(label, path)) await this.#save()
  }
  #add(label: string, number: bigint, noted: Noted): void {
    let nodes = this.#nodes.get(label)
    if (!nodes) this.#nodes.set(label, nodes = new Map())
    nodes.set(number, noted)
    this.#count++
    this.#counts.set(noted.owner, (this.#counts.get(noted.owner) ?? 0) + 1)
  }
  #remove(label: string, number: bigint): boolean {
    const nodes = this.#nodes.get(label), noted = nodes?.get(number)
    if (!nodes || !noted) return false
    nodes.delete(number)
    if (nodes.size === 0) this.#nodes.delete(label)
    this.#count--
    const left = this.#counts.get(noted.owner)! - 1
    if (left > 0) this.#counts.set(noted.owner, left)
    else this.#counts.delete(noted.owner)
    return true
  }
  /** Settles when what there is now is on disk. Those who come while one is being written share the next. */
  #save(): Promise<void> {
    if (this.#file === undefined) return Promise.resolve()
    if (!this.#saving) {
      const nodes = Object.fromEntries([...this.#nodes].map(([label, paths]) => [label, Object.fromEntries([...paths].map(([number, { owner, path }]) => [number.toString(16), [owner, path]]))]))
      return this.#saving = this.#file.write({ nodes }).finally(() => { this.#saving = null })
    }
    return this.#again ??= this.#saving.catch(() => {}).then(() => {
      this.#again = null
      return this.#save()
    })
  }
  /** Ends all. */
  close(): void {
    this.#closed = true
    clearInterval(this.#sweep)
    for (const active of [...this.#active]) void this.#end(active)
  }
}

/** What the underlying node is called in a stack. */
const NODE = 'node'
/** The same layers, the innermost with the node under it where it takes a child and names none. */
function innermost(layer: Layer, known: ReadonlyMap<string, AnyFactory>): Layer {
  const { children, name, at } = layer
  if (children.length > 0) return { ...layer, children: children.map((child) => innermost(child, known)) }
  return known.get(name)?.definition.children === 1 ? { ...layer, children: [{ name: NODE, at, words: [], children: [], closed: false }] } : layer
}
function* names({ name, children }: Layer): Generator<string> {
  yield name
  for (const child of children) yield* names(child)
}

/** Whose may be any number, and hold any amount: who can do as he likes with the server. */
function isTrusted(uid: number): boolean { return uid === 0 || uid === process.getuid?.() }
/** Bytes of memory that a stack may come to hold. */
function held({ factory: { definition }, options, children }: Stack): number {
  return (definition.holds?.(parseOptions(definition, options)) ?? 0) + children.reduce((sum, child) => sum + held(child), 0)
}
function depth({ children }: Stack): number { return 1 + children.reduce((sum, child) => sum + depth(child), 0) }
/** Those of the passive translator that a node lies in. */
function layersOver({ mount: { over } }: File): number { return over?.layers ?? 0 }

async function isEmpty(node: Node): Promise<boolean> {
  const handle = await node.open(O.RDONLY)
  let empty = true
  try { await handle.readdir(0n, { add: () => empty = false }, 0) } finally { await handle.close() }
  return empty
}

/** The file itself, as a brick. It is held by who started this. */
function onto(file: File): AnyFactory {
  return translator({
    name: NODE, about: 'The node that it is set on.', children: 0, options: {}, concurrent: true,
    start: (): Translator => ({
      name: NODE, attach: () => new UnderRoot(file.node, file), sync: () => file.mount.translator.sync(), close() {}, async [Symbol.asyncDispose]() {},
    }),
  }) as unknown as AnyFactory
}
/** A node below the file, from which nothing leads above that. */
class Under extends ForwardNode<File> {
  protected override wrap(child: Node): Node { return new Under(child, this.layer) }
  override async parent(): Promise<Node> {
    const { layer } = this, above = await this.child.parent(), { node } = layer
    if (above.volume !== node.volume || above.qid.path !== node.qid.path) return this.wrap(above)
    await above.close()
    return new UnderRoot(node, layer)
  }
}
/** The file itself, whose node is not ours to close. */
class UnderRoot extends Under {
  override async parent(): Promise<Node> { return new UnderRoot(this.child, this.layer) }
  override close(): void {}
}

function parse(nodes: unknown, bad: (what: string) => Error): [label: string, number: bigint, noted: Noted][] {
  if (nodes === null || typeof nodes !== 'object') throw bad('no nodes')
  return Object.entries(nodes as Record<string, unknown>).flatMap(([label, records]) => {
    if (records === null || typeof records !== 'object') throw bad(`no records of ${label}`)
    return Object.entries(records as Record<string, unknown>).map(([number, noted]): [string, bigint, Noted] => {
      const [owner, path] = Array.isArray(noted) ? noted as unknown[] : []
      if (!/^[0-9a-f]{1,16}$/.test(number) || !Number.isInteger(owner) || typeof path !== 'string') throw bad(`${number} of ${label} is no record`)
      return [label, BigInt(`0x${number}`), { owner: owner as number, path }]
    })
  })
}
/** An option of a stack that is reserved: 'remote: command'. */
function reservedOf({ factory: { definition }, options, children }: Stack): string | undefined {
  const key = Object.keys(options).find((key) => definition.options[key]!.reserved)
  return key === undefined ? children.map(reservedOf).find((found) => found !== undefined) : `${definition.name}: ${key}`
}
