/** Most keys of one run. */
const RUN = 512

/** A set of strings in the order of their code units: runs of keys, each sorted and before the next. All calls are O(log n). */
export class Sorted {
  #runs: string[][] = []

  add(key: string): void {
    const at = Math.max(0, this.#runOf(key)), run = this.#runs[at]
    if (!run) { this.#runs.push([key]); return }
    const i = search(run, key)
    if (run[i] === key) return
    run.splice(i, 0, key)
    if (run.length > RUN) this.#runs.splice(at + 1, 0, run.splice(RUN / 2))
  }
  delete(key: string): void {
    const at = this.#runOf(key), run = this.#runs[at]
    if (!run) return
    const i = search(run, key)
    if (run[i] !== key) return
    run.splice(i, 1)
    if (run.length === 0) this.#runs.splice(at, 1)
  }
  /** The first keys at or after `from`, at most that many. */
  take(from: string, max: number): string[] {
    const found: string[] = []
    let at = Math.max(0, this.#runOf(from))
    let i = this.#runs[at] ? search(this.#runs[at]!, from) : 0
    for (; at < this.#runs.length && found.length < max; at++, i = 0) found.push(...this.#runs[at]!.slice(i, i + max - found.length))
    return found
  }
  /** The last run that begins at or before key; -1: none does. */
  #runOf(key: string): number {
    let low = 0, high = this.#runs.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#runs[middle]![0]! <= key) low = middle + 1
      else high = middle
    }
    return low - 1
  }
}
/** Where key is, or belongs. */
function search(run: readonly string[], key: string): number {
  let low = 0, high = run.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (run[middle]! < key) low = middle + 1
    else high = middle
  }
  return low
}
