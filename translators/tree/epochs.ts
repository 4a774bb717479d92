// Snapshots of a tree: making one is a number, deleting one costs what it frees. FORMAT.md, "Epochs".

import { errno, NAME_MAX, nameLength, nameOfBytes } from 'ninep'
import { now } from '../clock.ts'
import { Change } from './change.ts'
import { afterPrefix, be32, blobKey, deadKey, historyKey, intentKey, kindPrefix, snapshotKey, snapshotNameKey, stateKey, u32, u64 } from './keys.ts'
import { Past } from './past.ts'
import { resume } from './reclaim.ts'
import { restore } from './rollback.ts'
import type { Tree } from './tree.ts'
import { decodeSnapshot, encodeSnapshot, encodeState, versionOf } from './values.ts'
import type { SnapshotValue } from './values.ts'

/** Keys that one record takes away. */
const PIECE = 256
const DELETE = 'delete', ROLLBACK = 'rollback'

/** What is told of work that takes its time: how much of it is done. */
export type Progress = (done: number) => void

export class Epochs {
  /** By epoch, the oldest first. */
  readonly #all = new Map<number, SnapshotValue>()
  readonly #pasts = new Map<number, Past>()
  /** Deletions go one at a time. */
  #last: Promise<unknown> = Promise.resolve()
  constructor(private readonly tree: Tree) {}

  /** To be called once, when LevelDB has all there is: finds the snapshots, and goes on with what was not finished. */
  async open(): Promise<void> {
    const { tree } = this, { store } = tree.instance, prefix = kindPrefix(tree.t, 'S')
    const intent = store.get(intentKey(tree.t, DELETE)), leaving = intent ? intent.readUInt32BE(0) : 0
    for await (const [key, value] of store.range(prefix, afterPrefix(prefix))) {
      const epoch = u32(key, 5)
      if (epoch !== leaving) this.#all.set(epoch, decodeSnapshot(value))
    }
    const back = store.get(intentKey(tree.t, ROLLBACK))
    if (back) await this.#restore(back.readUInt32BE(0))
    if (leaving > 0) this.#inTurn(() => this.#free(leaving)).catch((err: unknown) => this.#later(err))
  }
  #later(err: unknown): void {
    const { instance } = this.tree
    if (!instance.closed) instance.setting.log.warn({ err }, 'a snapshot could not be deleted to the end: the next start goes on')
  }
  #inTurn<T>(f: () => Promise<T>): Promise<T> {
    const run = this.#last.then(f, f)
    this.#last = run.catch(() => {})
    return run
  }
  /** When what is under way is done. */
  async idle(): Promise<void> { await this.#last }

  /** All there are, the oldest first. */
  list(): { readonly epoch: number; readonly value: SnapshotValue }[] { return [...this.#all].map(([epoch, value]) => ({ epoch, value })) }
  /** ENOENT */
  find(name: string): number {
    for (const [epoch, value] of this.#all) if (value.name === name) return epoch
    throw errno('ENOENT', 'there is no snapshot', name)
  }
  has(name: string): boolean { return [...this.#all.values()].some((value) => value.name === name) }
  /** The tree as it was. ENOENT */
  past(name: string): Past {
    const epoch = this.find(name)
    let past = this.#pasts.get(epoch)
    if (!past) this.#pasts.set(epoch, past = new Past(this.tree, epoch))
    return past
  }

  /** The tree as it is between two operations is kept under a name. When it returns that survives power loss. EEXIST EINVAL */
  async create(name: string): Promise<void> {
    checkSnapshotName(name)
    if (this.has(name)) throw errno('EEXIST', 'a snapshot has that name', name)
    const { tree } = this, { t } = tree, change = tree.change(), { e, next, lists } = change.state
    const value = { name, time: now(), holds: [], lists }
    change.put(snapshotKey(t, e), encodeSnapshot(value))
    change.put(snapshotNameKey(t, name), epochBytes(e))
    change.put(stateKey(t), encodeState({ ...change.state, s: e, e: e + 1, lists: [next], next: next + 1 }))
    const done = change.commit()
    this.#all.set(e, value)
    await done
    await tree.instance.sync()
  }
  /** ENOENT EEXIST EINVAL */
  async rename(name: string, to: string): Promise<void> {
    checkSnapshotName(to)
    const epoch = this.find(name), { tree } = this, { t } = tree
    if (this.has(to)) throw errno('EEXIST', 'a snapshot has that name', to)
    const change = tree.change(), value = { ...this.#all.get(epoch)!, name: to }
    change.delete(snapshotNameKey(t, name))
    change.put(snapshotNameKey(t, to), epochBytes(epoch))
    await this.#changed(change, epoch, value)
  }
  /** Keeps it from being deleted for as long as the tag is there. EEXIST ENOENT */
  async hold(name: string, tag: string): Promise<void> {
    const epoch = this.find(name), value = this.#all.get(epoch)!
    if (nameLength(tag) > NAME_MAX || tag === '') throw errno('EINVAL', 'not a tag', tag)
    if (value.holds.includes(tag)) throw errno('EEXIST', 'it is held so already', tag)
    await this.#changed(this.tree.change(), epoch, { ...value, holds: [...value.holds, tag] })
  }
  /** ENOENT */
  async release(name: string, tag: string): Promise<void> {
    const epoch = this.find(name), value = this.#all.get(epoch)!
    if (!value.holds.includes(tag)) throw errno('ENOENT', 'it is not held so', tag)
    await this.#changed(this.tree.change(), epoch, { ...value, holds: value.holds.filter((held) => held !== tag) })
  }
  async #changed(change: Change, epoch: number, value: SnapshotValue): Promise<void> {
    change.put(snapshotKey(this.tree.t, epoch), encodeSnapshot(value))
    const done = change.commit()
    this.#all.set(epoch, value)
    await done
    await this.tree.instance.sync()
  }

  /** Makes the tree what it was. Nobody sees it half done; later snapshots stay. Files that were not there then are gone for who has them: ESTALE. ENOENT */
  rollback(name: string, progress?: Progress): Promise<void> {
    return this.#inTurn(async () => {
      const epoch = this.find(name), { tree } = this
      let open!: () => void
      tree.gate = new Promise((resolve) => { open = resolve })
      tree.era++
      try {
        const change = tree.change()
        change.put(intentKey(tree.t, ROLLBACK), epochBytes(epoch))
        await change.commit()
        await this.#restore(epoch, progress)
        await tree.instance.sync()
        tree.gate = null
        open()
      } catch (e) {                                       // half done: the next start goes on
        tree.instance.fail(e)
        tree.gate = Promise.reject(errno('EIO', 'a rollback did not end: the next start goes on with it', name, e))
        tree.gate.catch(() => {})
        open()
        throw e
      }
      await resume(tree)
    })
  }
  async #restore(epoch: number, progress: Progress = () => {}): Promise<void> {
    const { tree } = this
    await restore(tree, epoch, progress)
    const change = tree.change()
    change.delete(intentKey(tree.t, ROLLBACK))
    await change.commit()
    tree.refresh()
  }

  /** Deletes it, and frees what it alone held. It is not there any more from the first turn on. ENOENT; EBUSY: it is held. */
  delete(name: string, progress?: Progress): Promise<void> {
    return this.#inTurn(async () => {
      const epoch = this.find(name), value = this.#all.get(epoch)!, { tree } = this, { t } = tree
      if (value.holds.length > 0) throw errno('EBUSY', `the snapshot is held: ${value.holds.join(', ')}`, name)
      const change = tree.change(), { state } = change
      change.put(intentKey(t, DELETE), epochBytes(epoch))
      change.delete(snapshotNameKey(t, name))
      if (state.s === epoch) change.put(stateKey(t), encodeState({ ...state, s: this.#before(epoch) }))
      const done = change.commit()
      this.#all.delete(epoch)
      const past = this.#pasts.get(epoch)
      if (past) past.gone = true
      this.#pasts.delete(epoch)
      await done
      await this.#free(epoch, progress)
    })
  }
  #before(epoch: number): number { return Math.max(0, ...[...this.#all.keys()].filter((other) => other < epoch)) }
  #after(epoch: number): number | undefined { return [...this.#all.keys()].find((other) => other > epoch) }

  /** What only a snapshot held that was taken out of those that count. */
  async #free(epoch: number, progress: Progress = () => {}): Promise<void> {
    const { tree } = this, { t, instance } = tree, { store } = instance
    const before = this.#before(epoch), next = this.#after(epoch), { e } = instance.state(t)
    const lists = next === undefined ? instance.state(t).lists : this.#all.get(next)!.lists
    let done = 0
    const pieces = async (from: string, to: string, each: (change: Change, key: string) => void) => {
      let some: string[] = []
      const go = async () => {
        const change = tree.change()
        for (const key of some.splice(0)) if (store.find(key)) each(change, key)
        if (change.ops.length === 0) return
        await change.commit()
        progress(done += change.ops.length)
        await new Promise(setImmediate)
      }
      const fresh = store.changed(from, to)
      for (const key of fresh) if (some.push(key) >= PIECE) await go()
      await go()
      some = []
      for await (const [key] of store.range(from, to)) if (some.push(key) >= PIECE) await go()
      await go()
    }
    for (const list of lists) await pieces(deadKey(t, list, before + 1, ''), deadKey(t, list, epoch + 1, ''), (change, key) => this.#bury(change, key))
    if (before === 0) await pieces(kindPrefix(t, 'E'), kindPrefix(t, 'E') + be32((next ?? e) + 1), (change, key) => change.delete(key))
    const own = store.get(snapshotKey(t, epoch)), more: number[] = []
    for (const list of own ? decodeSnapshot(own).lists : []) if (await this.#any(list)) more.push(list)
    const change = tree.change(), heir = this.#after(epoch)      // there may be a newer one by now
    if (heir === undefined) change.put(stateKey(t), encodeState({ ...change.state, lists: [...more, ...change.state.lists] }))
    else {
      const value = { ...this.#all.get(heir)!, lists: [...this.#all.get(heir)!.lists, ...more] }
      change.put(snapshotKey(t, heir), encodeSnapshot(value))
      this.#all.set(heir, value)
    }
    change.delete(snapshotKey(t, epoch))
    change.delete(intentKey(t, DELETE))
    await change.commit()
    await instance.settle()                               // so that it survives power loss, and what died is dropped
  }
  async #any(list: number): Promise<boolean> {
    const { store } = this.tree.instance, from = deadKey(this.tree.t, list, 0, ''), to = deadKey(this.tree.t, list + 1, 0, '')
    if (store.changed(from, to).some((key) => store.find(key))) return true
    for await (const [key] of store.range(from, to)) if (store.find(key)) return true
    return false
  }
  /** One entry of a dead list: nothing holds what it refers to any more. */
  #bury(change: Change, key: string): void {
    const { t, instance } = this.tree, { store, chunks } = instance, list = u32(key, 5), ref = key.slice(13)
    change.delete(key)
    if (ref[0] === 'b') {
      const id = ref.slice(1), info = chunks.info(t, id)
      if (!info || info.list !== list || info.live > 0) return
      change.delete(blobKey(t, id))
      change.after(() => instance.doom(id, info.size))
      return
    }
    const gone = key.slice(0, 4) + ref
    if (ref[0] === 'c') { change.delete(gone); return }
    const old = store.get(gone)
    if (!old) return
    const { prev } = versionOf(old), last = u32(gone, gone.length - 4), head = gone.slice(0, 4) + gone.slice(5, -4)
    change.delete(gone)
    // The version after it has another one before it now.
    for (let newer = head; ;) {
      const value = store.get(newer)
      if (!value) return
      const version = versionOf(value)
      if (version.prev !== last) {
        if (version.prev === 0) return
        newer = historyKey(head, version.prev)
        continue
      }
      if (newer === head && prev === 0 && value.length === 8) change.delete(head)   // a tombstone of nothing
      else {
        const patched = Buffer.from(value)
        patched.writeUInt32BE(prev, 4)
        change.put(newer, patched)
      }
      if (newer === head) change.after(() => this.#patched(head, prev))
      return
    }
  }
  /** What is in memory of a value of the head whose `prev` has changed. */
  #patched(key: string, prev: number): void {
    const { files } = this.tree
    if (key[4] === 'I') {
      const file = files.known(u64(key, 5))
      if (file) file.set({ ...file.v, prev })
    } else if (key[4] === 'N') {
      const dir = files.known(u64(key, 5)), bytes = Buffer.from(key.slice(13), 'latin1'), name = nameOfBytes(bytes, 0, bytes.length), dent = dir?.names.get(name)
      if (!dir || !dent) return
      if (dent.ino > 0 || prev > 0) dir.names.set(name, { ...dent, prev })
      else dir.names.delete(name)
    }
  }
}

function epochBytes(epoch: number): Buffer {
  const b = Buffer.allocUnsafe(4)
  b.writeUInt32BE(epoch, 0)
  return b
}
/** EINVAL: it could not be told from a path, or from FILE@NAME. */
export function checkSnapshotName(name: string): void {
  if (name === '' || name === '.' || name === '..' || /[/@\0]/.test(name) || nameLength(name) > NAME_MAX / 2) throw errno('EINVAL', 'not a name for a snapshot: it has no "/" and no "@", and at most 127 bytes', name)
}
