/** Counts what is under way, so that an end can wait for it. */
export class Work {
  #count = 0
  #idle: (() => void)[] = []
  begin(): void { this.#count++ }
  end(): void { if (--this.#count === 0) for (const idle of this.#idle.splice(0)) idle() }
  get count(): number { return this.#count }
  /** Settles when nothing is under way. */
  idle(): Promise<void> { return this.#count === 0 ? Promise.resolve() : new Promise((resolve) => { this.#idle.push(resolve) }) }
}
