// Calls in order, for what must not run side by side.

import type { Awaitable } from './translator.ts'

/** A queue of readers and writers, first come first served. */
export class Turn {
  #readers = 0
  #writing = false
  #waiting: { write: boolean; go: () => void }[] = []

  /** f when its turn comes: at once, in this turn of the loop, where nothing is before it. */
  take<T>(write: boolean, f: () => Awaitable<T>): Awaitable<T> {
    const free = this.#waiting.length === 0 && !this.#writing && (!write || this.#readers === 0)
    if (!free) return new Promise<void>((go) => { this.#waiting.push({ write, go }) }).then(() => lastly(f, () => this.#leave(write)))
    this.#hold(write)
    return lastly(f, () => this.#leave(write))
  }
  #leave(write: boolean): void {
    if (write) this.#writing = false
    else this.#readers--
    for (;;) {
      const next = this.#waiting[0]
      if (!next || this.#writing || (next.write && this.#readers > 0)) break
      this.#waiting.shift()
      this.#hold(next.write)
      next.go()
    }
  }
  #hold(write: boolean): void { if (write) this.#writing = true; else this.#readers++ }
}

/** f, then `end`, however f ended. */
export function lastly<T>(f: () => Awaitable<T>, end: () => void): Awaitable<T> {
  let result: Awaitable<T>
  try { result = f() } catch (e) { end(); throw e }
  if (result instanceof Promise) return result.finally(end)
  end()
  return result
}
