// A directory of several children, open: each child's names in turn, less those that one before it has or hides. Nothing is
// remembered of what was listed: a cookie is the number of the child, 4 bits, and the child's own cookie; one that has more
// than 58 bits stands in a table. A name that moves up while the listing is at work is listed where it was.

import { Attrs, Dt, entryName, errno, O } from 'ninep'
import type { Attr, SetAttr } from 'ninep'
import type { Awaitable, Call, DirSink, Handle } from '../translator.ts'
import { rise } from './copy.ts'
import { isHidden, isReserved, walkIf } from './state.ts'
import type { Place } from './state.ts'

/** Names held at a time. */
const BATCH = 64
const CHILD = 59n, LARGE = 1n << 58n, VALUE = LARGE - 1n

export class Listing implements Handle {
  /** Names that moved up since it began. */
  readonly raised = new Set<string>()
  #open: { readonly index: number; readonly handle: Handle; readonly volume: Place['node']['volume'] }[] = []
  #large: bigint[] = []
  private constructor(readonly place: Place) {
    place.retain()
    place.listings.add(this)
  }
  static async open(place: Place): Promise<Listing> {
    const listing = new Listing(place)
    try { await listing.#begin() } catch (e) { await listing.close(); throw e }
    return listing
  }
  async #begin(): Promise<void> {
    const { place } = this
    this.raised.clear()
    this.#large = []
    if (place.layers.every(({ index }, i) => this.#open[i]?.index === index)) return
    for (const { handle } of this.#open.splice(0)) await handle.close()
    for (const { index, node } of place.layers) this.#open.push({ index, handle: await node.open(O.RDONLY | O.DIRECTORY), volume: node.volume })
  }

  async readdir(cookie: bigint, sink: DirSink, mask: number, call?: Call): Promise<boolean> {
    const { place } = this
    if (place.gone) return true
    if (cookie === 0n) await place.turn.take(false, () => this.#begin())
    let child = Number(cookie >> CHILD), after = cookie & VALUE
    if (cookie & LARGE) after = this.#large[Number(after) - 1] ?? 0n
    for (; child < this.#open.length; child++, after = 0n) {
      const { handle, index } = this.#open[child]!
      for (let end = false; !end;) {
        const batch: { path: bigint; type: number; cookie: bigint; name: string; parted: boolean }[] = []
        end = await handle.readdir(after, {
          add(path, type, cookie, name, attr) {
            if (batch.length >= BATCH) return false
            batch.push({ path, type, cookie, name: entryName(name), parted: attr !== undefined && attr.nlink > 1 })
            return true
          },
        }, index === place.union.upper ? 0 : Attrs.NLINK, call)
        for (const entry of batch) {
          after = entry.cookie
          const shown = await place.turn.take(false, () => this.#shown(child, entry.name, mask))
          if (!shown) continue
          const { union } = place, parted = entry.parted && entry.type !== Dt.DIR
          const path = shown.attr?.qid.path ?? (parted ? union.partedNumber(place, entry.name) : union.numberOf(this.#open[child]!.volume, entry.path))
          const table = entry.cookie > VALUE
          if (table) this.#large.push(entry.cookie)
          const value = table ? LARGE | BigInt(this.#large.length) : entry.cookie
          if (sink.add(path, entry.type, BigInt(child) << CHILD | value, entry.name, shown.attr)) continue
          if (table) this.#large.pop()
          return false
        }
      }
    }
    return true
  }
  /** Whether a name of this child is to be listed; with its attributes, if they are asked for. */
  async #shown(child: number, name: string, mask: number): Promise<{ attr?: Attr } | null> {
    const { place } = this, { union } = place, { index } = this.#open[child]!
    if (isReserved(name)) return null
    const moved = this.raised.has(name)
    if (moved && index === union.upper) return null
    for (const layer of place.layers) {
      if (layer.index >= index) break
      if (await isHidden(layer.node, name)) return null
      if (moved && layer.index === union.upper) continue
      const above = await walkIf(layer.node, name)
      await above?.close()
      if (above) return null
    }
    if (mask === 0) return {}
    let there: Place
    try { there = await union.place(place, name) } catch { return null }
    try { return { attr: await there.getattr(mask) } } finally { await there.release() }
  }

  read(): never { throw errno('EISDIR', 'read') }
  write(): never { throw errno('EBADF', 'write') }
  getattr(mask: number): Awaitable<Attr> { return this.place.getattr(mask) }
  async setattr(attr: SetAttr): Promise<void> {
    if (attr.size !== undefined) throw errno('EISDIR', 'setattr')
    await rise(this.place)
    await this.place.upper!.setattr(attr)
  }
  async fsync(dataOnly: boolean, call?: Call): Promise<void> {
    for (const { index, handle } of this.#open) if (index === this.place.union.upper) await handle.fsync(dataOnly, call)
  }
  async close(): Promise<void> {
    this.place.listings.delete(this)
    const settled = await Promise.allSettled(this.#open.splice(0).map(async ({ handle }) => handle.close()))
    await this.place.release()
    for (const one of settled) if (one.status === 'rejected') throw one.reason
  }
  async [Symbol.asyncDispose](): Promise<void> { await this.close() }
}
