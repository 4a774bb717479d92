// Words of the control tree's files: blanks part them, quotes ('...' or "...") keep blanks, as in stacks.

import { errno } from 'ninep'

/** Takes words off the front of a text, line by line. Quotes may hold newlines; else a newline ends a line. EINVAL: a quote is not closed. */
export class Words {
  #at = 0
  constructor(private readonly text: string) {}
  /** The next word of this line; undefined at its end. */
  next(): string | undefined {
    const { text } = this
    while (text[this.#at] === ' ' || text[this.#at] === '\t' || text[this.#at] === '\r') this.#at++
    if (this.#at >= text.length || text[this.#at] === '\n') return undefined
    let word = ''
    for (let c; (c = text[this.#at]) !== undefined && !/\s/.test(c); this.#at++) {
      if (c !== '"' && c !== "'") { word += c; continue }
      const close = this.#closing(this.#at)
      word += text.slice(this.#at + 1, close)
      this.#at = close
    }
    return word
  }
  /** The same, and leaves it there. */
  peek(): string | undefined {
    const at = this.#at
    try { return this.next() } finally { this.#at = at }
  }
  /** What is left of this line, as it stands. */
  rest(): string {
    const { text } = this, from = this.#at
    for (let c; (c = text[this.#at]) !== undefined && c !== '\n'; this.#at++) if (c === '"' || c === "'") this.#at = this.#closing(this.#at)
    return text.slice(from, this.#at).trim()
  }
  /** Goes to the next line. False: there is none. */
  line(): boolean {
    this.rest()
    this.#at++
    return this.#at < this.text.length
  }
  #closing(at: number): number {
    const close = this.text.indexOf(this.text[at]!, at + 1)
    if (close < 0) throw errno('EINVAL', `a closing ${this.text[at]} is missing after ${this.text.slice(at)}`)
    return close
  }
}

/** A word that Words reads back. */
export function quote(word: string): string {
  if (word !== '' && !/[\s"']/.test(word)) return word
  if (!word.includes("'")) return `'${word}'`
  return word.split("'").map((piece) => `'${piece}'`).join(`"'"`)
}

/** `key=value` words with blanks between them; what has no value is left out. */
export function pairs(fields: Readonly<Record<string, string | number | undefined>>): string {
  return Object.entries(fields).filter(([, value]) => value !== undefined).map(([key, value]) => `${key}=${quote(String(value))}`).join(' ')
}
