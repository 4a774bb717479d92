import type { Log } from '../translators/options.ts'

/** Seconds after which the rest of a burst is told, and the next one may begin. */
const WHILE = 5

/** Warnings that come in bursts: the first few are told one by one, the rest as one line with their number and the last one's fields. */
export class Repeats {
  #bursts = new Map<string, { readonly begun: number; told: number; untold: number; last: object }>()
  constructor(private readonly log: Log) {}

  warn(fields: object, message: string, few = 10): void {
    let burst = this.#bursts.get(message)
    if (!burst) this.#bursts.set(message, burst = { begun: performance.now() / 1000, told: 0, untold: 0, last: fields })
    if (burst.told < few) {
      burst.told++
      this.log.warn(fields, message)
    } else {
      burst.untold++
      burst.last = fields
    }
  }
  /** To be called now and then; all: tells what there is, finished or not. */
  look(all = false): void {
    const now = performance.now() / 1000
    for (const [message, { begun, untold, last }] of this.#bursts) {
      if (!all && now - begun < WHILE) continue
      this.#bursts.delete(message)
      if (untold > 0) this.log.warn({ ...last, times: untold }, message)
    }
  }
}
