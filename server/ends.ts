// The ends of translators: a few at a time, since each may keep a thread, and the disk, for as long as its sync takes.

const AT_ONCE = 4
/** One that takes longer than this does not keep others waiting, milliseconds. */
const LONG = 5000

class Ends {
  #running = 0
  #waiting: (() => void)[] = []
  /** Those under way, and those that wait. */
  get count(): number { return this.#running + this.#waiting.length }
  /** Settles when one more may begin; the result is to be called when it is over. */
  async begin(): Promise<() => void> {
    if (this.#running >= AT_ONCE) await new Promise<void>((go) => { this.#waiting.push(go) })
    else this.#running++
    const timer = setTimeout(() => done(), LONG).unref()
    let over = false
    const done = () => {
      if (over) return
      over = true
      clearTimeout(timer)
      const next = this.#waiting.shift()
      if (next) next()
      else this.#running--
    }
    return done
  }
}
export const ends = new Ends()
