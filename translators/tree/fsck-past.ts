// What is checked of the past: each older value is led to by one newer one and is on one dead list, whose snapshot's deletion will look for
// it; the ledger says what changed; what listings hold of the past is what names hold.

import { crc32 } from 'node:zlib'
import { attempt, fixOf, Lookups, withPrev } from './fsck.ts'
import type { Check, TreeInfo } from './fsck.ts'
import { EMPTY } from './chunks.ts'
import { afterPrefix, be32, blobKey, bytesOfKey, deadKey, goneKey, historyKey, kindPrefix, ledgerKey, u32, u64 } from './keys.ts'
import { PUT } from './record.ts'
import { decodeBlobInfo, decodeDent, decodeEntry } from './values.ts'

/** Kinds that have a past. */
const VERSIONED = 'AIKNOPU'

/** Two heaps of keys, equal if what was added was taken away: so that neither need be remembered. */
class Tally {
  #a = 0
  #b = 0
  #count = 0
  add(key: string, sign: 1 | -1): void {
    const bytes = bytesOfKey(key), crc = crc32(bytes)
    this.#a += sign * crc
    this.#b += sign * crc32(bytes, (crc ^ 0x5bd1e995) >>> 0)
    this.#count += sign
  }
  get equal(): boolean { return this.#a === 0 && this.#b === 0 && this.#count === 0 }
}

export async function checkPast(check: Check, tree: TreeInfo): Promise<void> {
  const links = new Tally(), dead = new Tally(), lookups = new Lookups(check), { t } = tree
  for (const kind of VERSIONED) for await (const [key, value] of check.range('versions', kindPrefix(t, kind))) await version(check, tree, key, key, value, links, lookups)
  for await (const [key, value] of check.range('history', kindPrefix(t, 'h'))) {
    if (key.length < 18 || !VERSIONED.includes(key[5]!) || value.length < 8) { await check.report('lost', key, 'an older value is damaged'); continue }
    links.add(key, -1)
    dead.add(key.slice(4), -1)
    const last = u32(key, key.length - 4), now = key.slice(0, 4) + key.slice(5, -4)
    if (value.readUInt32BE(0) > last) await check.report('wrong', key, `an older value is born in ${value.readUInt32BE(0)}, after its last epoch ${last}`)
    await version(check, tree, key, now, value, links, lookups)
    if (key[5] === 'N' && value.length > 8) {
      const dent = attempt(() => decodeDent(value))
      if (!dent) { await check.report('lost', key, 'an older name is damaged'); continue }
      const gone = goneKey(t, u64(key, 6), dent.cookie, last)
      await lookups.ask([gone], async ([there]) => {
        if (!there) await check.report('lost', gone, 'a name of a snapshot is found, and is not listed', { t, ino: u64(key, 6), at: last })
      })
    }
  }
  await gone(check, tree, dead, lookups)
  for await (const [key, value] of check.range('blobs', kindPrefix(t, 'B'))) {
    const info = attempt(() => decodeBlobInfo(value))     // what is damaged is told with the data
    if (info && info.list > 0) dead.add(`b${key.slice(5)}`, -1)
  }
  await lists(check, tree, dead, lookups)
  for await (const [key, value] of check.range('ledger', kindPrefix(t, 'E'))) {
    const epoch = u32(key, 5), oldest = tree.snapshots[0]?.epoch ?? Infinity
    if (key.length < 10 || !VERSIONED.includes(key[9]!) || epoch > tree.state.e || value.length > 0) await check.report('wrong', key, 'is no line of the ledger', undefined, fixOf(key, value, null))
    else if (!tree.busy && epoch <= oldest) await check.report('garbage', key, 'a line of the ledger from before the oldest snapshot', undefined, fixOf(key, value, null))
  }
  await lookups.flush()
  if (!links.equal) await unlinked(check, tree)
  if (!dead.equal && !tree.busy) await undead(check, tree)
}

/** A value of now or then: what it replaced is there, and the ledger knows of it. now: the key that it is or was under. */
async function version(check: Check, { t, state, snapshots, busy }: TreeInfo, key: string, now: string, value: Buffer, links: Tally, lookups: Lookups): Promise<void> {
  if (value.length < 8) { await check.report('lost', key, 'a value is damaged'); return }
  const birth = value.readUInt32BE(0), prev = value.readUInt32BE(4), ino = now.length >= 13 ? u64(now, 5) : 0, oldest = snapshots[0]?.epoch
  if (birth === 0 || birth > state.e) await check.report('wrong', key, `a value is born in epoch ${birth}, and it is ${state.e} now`, { t, ino })
  if (prev > 0) {
    const past = historyKey(now, prev)
    links.add(past, 1)
    await lookups.ask([past], async ([old]) => {
      const fix = fixOf(key, value, withPrev(value, 0))
      if (!old) await check.report('lost', past, 'what a snapshot has of it is missing', { t, ino, at: prev }, value.length > 8 || key !== now ? fix : fixOf(key, value, null))
      else if (prev >= birth || old.length < 8 || old.readUInt32BE(0) > prev) await check.report('wrong', key, `a value of epoch ${birth} follows one of ${old.length < 8 ? 'no epoch' : old.readUInt32BE(0)} to ${prev}`, { t, ino })
    })
  } else if (value.length === 8 && key === now) await check.report('garbage', key, 'a mark of what is gone, that no snapshot needs', undefined, fixOf(key, value, null))
  if (oldest !== undefined && birth > oldest && !busy) {
    const line = ledgerKey(now, birth)
    await lookups.ask([line], async ([there]) => {
      if (!there) await check.report('wrong', line, 'the ledger does not know that it changed', { t, ino }, { ops: [{ op: PUT, key: line, value: EMPTY }], expect: new Map([[key, value], [line, undefined]]) })
    })
  }
}

/** Entries of listings that are gone from the head. */
async function gone(check: Check, { t, state }: TreeInfo, dead: Tally, lookups: Lookups): Promise<void> {
  let before = '', until = 0
  for await (const [key, value] of check.range('listings', kindPrefix(t, 'c'))) {
    const entry = key.length === 25 ? attempt(() => decodeEntry(value)) : undefined, dir = u64(key, 5), cookie = u64(key, 13), last = u32(key, 21)
    if (!entry) { await check.report('lost', key, 'an entry of a snapshot is damaged', key.length === 25 ? { t, ino: dir, at: last } : undefined); continue }
    dead.add(key.slice(4), -1)
    const place = key.slice(0, 21), where = { t, ino: dir, at: last }
    if (entry.birth > last || last >= state.e) await check.report('wrong', key, `an entry is of the epochs ${entry.birth} to ${last}`, where)
    if (place === before && entry.birth <= until) await check.report('wrong', key, `two entries have the cookie ${cookie} in epoch ${entry.birth}`, where)
    before = place
    until = last
    const head = `${place.slice(0, 4)}C${place.slice(5)}`, name = historyKey(`${be32(t)}N${key.slice(5, 13)}${entry.name.toString('latin1')}`, last)
    await lookups.ask([head, name], async ([now, then]) => {
      if (now && now.length >= 4 && now.readUInt32BE(0) <= last) await check.report('wrong', key, `two entries have the cookie ${cookie} in epoch ${last}`, where)
      const dent = then && attempt(() => decodeDent(then))
      if (!dent) await check.report('lost', name, 'a name of a snapshot is listed, and is not found', where)
      else if (dent.ino !== entry.ino || dent.cookie !== cookie || dent.type !== entry.type || dent.birth !== entry.birth) await check.report('wrong', key, 'a name of a snapshot is listed as another than it is found', where)
    })
  }
}

/** Whose the dead lists are, and whether what is on them is there and belongs there. */
async function lists(check: Check, { t, state, snapshots, busy }: TreeInfo, dead: Tally, lookups: Lookups): Promise<void> {
  const owners = new Map<number, { after: number; until: number }>()
  let after = 0
  for (const { epoch, lists } of snapshots) {
    for (const list of lists) owners.set(list, { after, until: epoch })
    after = epoch
  }
  for (const list of state.lists) owners.set(list, { after, until: Infinity })
  for await (const [key, value] of check.range('dead lists', kindPrefix(t, 'D'))) {
    const list = u32(key, 5), birth = u32(key, 9), ref = key.slice(13), kind = ref[0] ?? '', fix = fixOf(key, value, null), owner = owners.get(list)
    if (key.length < 14 || !'bhc'.includes(kind) || kind === 'b' && ref.length !== 17) { await check.report('wrong', key, 'is no entry of a dead list', undefined, fix); continue }
    dead.add(ref, 1)
    if (!busy) {
      const last = kind === 'b' ? undefined : u32(ref, ref.length - 4)
      if (!owner) await check.report('wrong', key, `dead list ${list} is of no snapshot`, undefined, fix)
      else if (birth > owner.after) await check.report('garbage', key, `is held by no snapshot: born in ${birth}, after ${owner.after}`)
      else if (last !== undefined && (last < owner.after || last >= owner.until)) await check.report('wrong', key, `was there to epoch ${last}, and is on a list of what died from ${owner.after} to ${owner.until}`)
    }
    const target = kind === 'b' ? blobKey(t, ref.slice(1)) : be32(t) + ref
    await lookups.ask([target], async ([there]) => {
      if (!there || there.length < 4) await check.report('wrong', key, 'a dead list has what is not there', undefined, fix)
      else if (kind === 'b' && there.length === 16 && decodeBlobInfo(there).list !== list) await check.report('wrong', key, `a blob is on dead list ${list}, and says ${decodeBlobInfo(there).list}`, undefined, fix)
      else if (there.readUInt32BE(0) !== birth) await check.report('wrong', key, `born in ${there.readUInt32BE(0)}, and listed as of ${birth}`)
    })
  }
}

/** Older values that no newer one leads to: found one by one, once it is known that there are any. */
async function unlinked(check: Check, { t }: TreeInfo): Promise<void> {
  let found = false
  for await (const [key, value] of check.range('history', kindPrefix(t, 'h'))) {
    const last = u32(key, key.length - 4), now = key.slice(0, 4) + key.slice(5, -4), base = key.slice(0, -4)
    let newer: Buffer | undefined
    for await (const [next, value] of check.view.range(base + be32(last + 1), afterPrefix(base))) if (next.length === key.length) { newer = value; break }
    newer ??= await check.get(now)
    if (newer && newer.length >= 8 && newer.readUInt32BE(4) === last) continue
    found = true
    const fix = newer && newer.readUInt32BE(4) === 0 && newer.readUInt32BE(0) > last ? undefined : fixOf(key, value, null)
    await check.report('wrong', key, 'an older value that nothing leads to', { t, ino: u64(now, 5), at: last }, fix)
  }
  if (!found) await check.report('wrong', kindPrefix(t, 'h'), 'newer values do not lead to older ones one by one')
}
/** What is dead and on no list, likewise. */
async function undead(check: Check, { t, state, snapshots }: TreeInfo): Promise<void> {
  let found = false
  const one = async (key: string, value: Buffer, ref: string, birth: number, last: number, only?: number) => {
    const after = snapshots.find(({ epoch }) => epoch > last), lists = only === undefined ? after?.lists ?? state.lists : [only]
    for (const list of lists) if (await check.get(deadKey(t, list, birth, ref))) return
    found = true
    const there = deadKey(t, lists.at(-1) ?? state.lists.at(-1)!, birth, ref)
    await check.report('wrong', key, 'is dead, and on no dead list', undefined, { ops: [{ op: PUT, key: there, value: EMPTY }], expect: new Map([[key, value]]) })
  }
  for (const kind of 'hc') {
    for await (const [key, value] of check.range('dead lists', kindPrefix(t, kind))) {
      if (value.length >= 8 || kind === 'c' && value.length >= 4) await one(key, value, key.slice(4), value.readUInt32BE(0), u32(key, key.length - 4))
    }
  }
  for await (const [key, value] of check.range('dead lists', kindPrefix(t, 'B'))) {
    const info = attempt(() => decodeBlobInfo(value))
    if (info && info.list > 0) await one(key, value, `b${key.slice(5)}`, info.birth, 0, info.list)
  }
  if (!found) await check.report('wrong', kindPrefix(t, 'D'), 'what is dead is not on dead lists one by one')
}
