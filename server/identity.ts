// Wire identity: what a client sees as qid.path. A volume is given a 16-bit prefix the first time it is shown, which
// stands in bits 40-55 (9pfuse needs the top byte); the low 40 bits are the volume's own number, or for larger ones a
// number from a table. Prefixes are kept in the state folder, so identity outlives a restart.
//
// volumes.json, version 1: { "version": 1, "volumes": { LABEL: PREFIX, ... } }, replaced whole by rename.

import { errno } from 'ninep'
import type { Volume } from '../translators/translator.ts'
import { StateFile } from './state.ts'

const LOW = 1n << 40n
const PREFIXES = 1 << 16

export class Identity {
  #prefixes = new Map<string, number>()
  /** Who has a label now: two instances of one name are two volumes, and the second is told apart by a number. */
  #holders = new Map<string, WeakRef<Volume>>()
  #tables = new WeakMap<Volume, { high: bigint; large: Map<bigint, bigint> }>()
  /** How many mounts show it. */
  #shown = new WeakMap<Volume, number>()
  #labels = new WeakMap<Volume, string>()
  #file: StateFile | undefined

  /** state: the folder that holds volumes.json; absent: prefixes last as long as the process. */
  constructor(state?: string) {
    if (state === undefined) return
    this.#file = new StateFile(state, 'volumes.json', 1, 'files then get new numbers')
    const fields = this.#file.read()
    if (fields) this.#prefixes = parse(fields.volumes, (what) => this.#file!.bad(what))
  }

  /** The number that clients see for a volume's own. ENOSPC after 65 536 volumes. */
  wire(volume: Volume, path: bigint): bigint {
    let table = this.#tables.get(volume)
    if (!table) this.#tables.set(volume, table = { high: BigInt(this.#prefix(this.#labelOf(volume))) << 40n, large: new Map() })
    if (path < LOW) return table.high | path
    // Numbers of 2^39 and above are where large ones go: a volume that has both kinds would need 2^39 files to meet.
    let low = table.large.get(path)
    if (low === undefined) table.large.set(path, low = LOW - 1n - BigInt(table.large.size))
    return table.high | low
  }

  /** A mount shows files of this volume from here on. */
  hold(volume: Volume): void { this.#shown.set(volume, (this.#shown.get(volume) ?? 0) + 1) }
  /** It does no more. After the last, another volume may have the name, and its prefix. */
  letGo(volume: Volume): void {
    const left = (this.#shown.get(volume) ?? 0) - 1, label = this.#labels.get(volume)
    this.#shown.set(volume, left)
    if (left === 0 && label !== undefined && this.#holders.get(label)?.deref() === volume) this.#holders.delete(label)
  }

  #labelOf(volume: Volume): string {
    for (let n = 1; ; n++) {
      const label = n === 1 ? volume.label : `${volume.label} (${n})`
      if (this.#holders.get(label)?.deref()) continue
      this.#holders.set(label, new WeakRef(volume))
      this.#labels.set(volume, label)
      return label
    }
  }

  #prefix(label: string): number {
    const known = this.#prefixes.get(label)
    if (known !== undefined) return known
    const next = this.#prefixes.size
    if (next >= PREFIXES) throw errno('ENOSPC', 'identity: more than 65536 volumes were shown; remove volumes.json while the server is down', label)
    this.#prefixes.set(label, next)
    this.#file?.writeSync({ volumes: Object.fromEntries(this.#prefixes) })
    return next
  }
}

function parse(volumes: unknown, bad: (what: string) => Error): Map<string, number> {
  if (volumes === null || typeof volumes !== 'object') throw bad('no volumes')
  const prefixes = new Map<string, number>(), seen = new Set<number>()
  for (const [label, prefix] of Object.entries(volumes)) {
    if (!Number.isInteger(prefix) || prefix < 0 || prefix >= PREFIXES || seen.has(prefix)) throw bad(`prefix ${prefix} of ${label} is wrong or double`)
    seen.add(prefix)
    prefixes.set(label, prefix)
  }
  // The next prefix is the count: they must be dense.
  for (let i = 0; i < prefixes.size; i++) if (!seen.has(i)) throw bad(`prefix ${i} is missing`)
  return prefixes
}
