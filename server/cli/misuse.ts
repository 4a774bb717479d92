// What yargs says of words that it does not understand, said so that the next try is right.

import { nearest } from '../../translators/options.ts'

/** What yargs knows where it fails: what may be typed here. */
export interface Known {
  /** Of verbs and options, as they are typed: 'put', '--json', '-l'. */
  readonly verbs: readonly string[]
  readonly options: readonly string[]
  /** Of the verb, if there is one: 'put <local> <path>'. */
  readonly usage?: string
}

/** The sentence for a message of yargs; one that is not known here stays as it is. words: what was typed. */
export function explain(message: string, words: readonly string[], { verbs, options, usage }: Known): string {
  const unknown = /^Unknown (?:argument|command)s?: ([^,]*)/.exec(message)?.[1]
  if (unknown !== undefined) {
    const typed = words.find((word) => word.replace(/^--?/, '').split('=')[0] === unknown && word.startsWith('-'))
    if (typed !== undefined || (words.some((word) => word.startsWith('-') && word.includes(unknown)) && !words.includes(unknown))) {
      const name = typed?.split('=')[0] ?? `-${unknown}`
      return `no option "${name}".${meant(name, options)}`
    }
    if (usage === undefined) return `no verb "${unknown}".${meant(unknown, verbs)} There are: ${verbs.join(', ')}`
    return `"${unknown}" is one word too many. Write: ninefold ${shape(usage)}`
  }
  const count = /^Not enough non-option arguments: got (\d+)/.exec(message)?.[1]
  if (count !== undefined && usage !== undefined) return `${shape(usage).split(' ')[Number(count) + 1]?.replace(/\.+$/, '')} is missing. Write: ninefold ${shape(usage)}`
  const choice = /^Invalid values:\n *Argument: (\S+), Given: "(.*?)", Choices: (.*)$/.exec(message)
  if (choice) {
    const among = choice[3]!.split(', ').map((word) => word.replaceAll('"', ''))
    return `${usage?.includes(`<${choice[1]}>`) ? '' : `${dashed(choice[1]!)}: `}"${choice[2]}" is not one of ${among.join(', ')}.${meant(choice[2]!, among)}`
  }
  const empty = /^Not enough arguments following: (\S+)/.exec(message)?.[1]
  if (empty !== undefined) return `${dashed(empty)} takes a value`
  const both = /^Arguments (\S+) and (\S+) are mutually exclusive/.exec(message)
  return both ? `${dashed(both[1]!)} and ${dashed(both[2]!)} exclude each other` : message
}

/** An option as it is typed. */
export function dashed(name: string): string { return name.length === 1 ? `-${name}` : `--${name}` }
function meant(word: string, candidates: readonly string[]): string {
  const near = nearest(word, candidates)
  return near === undefined ? '' : ` Did you mean "${near}"?`
}
/** `put LOCAL PATH` of `put <local> <path>`. */
function shape(usage: string): string {
  return usage.replace(/([<[])([a-z]+)(\.\.)?[>\]]/g, (_, open: string, name: string, more?: string) => { const text = name.toUpperCase() + (more ? '...' : ''); return open === '[' ? `[${text}]` : text })
}
