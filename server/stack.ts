// Stacks: what stands at a path of the namespace, outermost first. On one line:
//
//   stack  = layer { '|' layer }                   what follows a '|' is the one child of what stands before it
//   layer  = NAME { word } [ '(' stack { ',' stack } ')' ]
//   word   = key=value | value                     a bare value is the translator's positional option
//
// Quotes, '...' or "...", keep blanks and | ( ) , in a word. Between parentheses a comma ends a child, except in the
// maps of an option: keep=a:1,b:2.

import { BadOption, checkChildren, nearest, parseOptions } from '../translators/options.ts'
import type { Log } from '../translators/options.ts'
import type { Translator } from '../translators/translator.ts'
import { translators } from './translators.ts'
import type { AnyFactory } from './translators.ts'

/** A stack that was read and checked, and not yet started. */
export interface Stack {
  readonly factory: AnyFactory
  readonly options: Readonly<Record<string, unknown>>
  readonly children: readonly Stack[]
}

/** Reads a stack of one line. Everything is checked, its options too. Throws BadOption. known: the translators there are. */
export function parseStack(line: string, known: ReadonlyMap<string, AnyFactory> = translators): Stack {
  const tokens = tokenize(line)
  let at = 0
  const mark = () => { const token = tokens[at]; return token !== undefined && token.mark ? token.text : undefined }
  function layer(): Stack {
    const name = tokens[at++]
    if (!name || name.mark) throw new BadOption(`a translator is missing ${name ? `before "${name.text}"` : 'at the end'}. Write: rot13 | posix ./dir`)
    const words: Word[] = []
    while (at < tokens.length && mark() === undefined) words.push(tokens[at++]!)
    const children: Stack[] = []
    if (mark() === '(') {
      do { at++; children.push(layer()) } while (mark() === ',')
      if (mark() !== ')') throw new BadOption(`${name.text}: a ")" is missing${at < tokens.length ? ` before "${tokens[at]!.text}"` : ''}.`)
      at++
    } else if (mark() === '|') { at++; children.push(layer()) }
    return make(known, name.text, words, children)
  }
  const stack = layer()
  if (at < tokens.length) throw new BadOption(`"${tokens[at]!.text}" has no place here${mark() === ',' ? ': children stand in parentheses' : ''}.`)
  return stack
}

function make(known: ReadonlyMap<string, AnyFactory>, name: string, words: readonly Word[], children: readonly Stack[]): Stack {
  const factory = known.get(name)
  if (!factory) {
    const names = [...known.keys()], near = nearest(name, names)
    throw new BadOption(`no translator "${name}".${near ? ` Did you mean "${near}"?` : ''} There are: ${names.join(', ')}.`)
  }
  const { definition } = factory
  const bare = Object.keys(definition.options).find((key) => definition.options[key]!.positional)
  const options: Record<string, unknown> = {}
  for (const word of words) {
    const key = word.key ?? bare
    if (key === undefined) throw new BadOption(`${name}: takes no bare word, as "${word.text}" is. Write key=value; it takes: ${Object.keys(definition.options).join(', ') || 'none'}.`)
    if (Object.hasOwn(options, key)) throw new BadOption(`${name}: ${key} is given twice${word.key === undefined ? `, the second time as "${word.text}". Quote what has blanks in it` : ''}.`)
    options[key] = word.text
  }
  checkChildren(definition, children.length)
  parseOptions(definition, options)
  return { factory, options, children }
}

/** A word of a line; mark: it is one of | ( ) , and was not quoted. key: what stood before an = that was not quoted. */
interface Word { text: string; key?: string; mark?: boolean }

function tokenize(line: string): Word[] {
  const tokens: Word[] = []
  let word: Word | undefined, depth = 0
  const end = () => { if (word) tokens.push(word); word = undefined }
  for (let i = 0; i < line.length; i++) {
    const c = line[i]!
    if (c === '"' || c === "'") {
      const close = line.indexOf(c, i + 1)
      if (close < 0) throw new BadOption(`a closing ${c} is missing after ${line.slice(i)}`)
      word ??= { text: '' }
      word.text += line.slice(i + 1, close)
      i = close
    } else if (/\s/.test(c)) end()
    else if (c === '|' || c === '(' || c === ')' || (c === ',' && depth > 0 && !(word?.key !== undefined && /^[^\s,:=|()]+:/.test(line.slice(i + 1))))) {
      end()
      depth += c === '(' ? 1 : c === ')' ? -1 : 0
      tokens.push({ text: c, mark: true })
    } else if (c === '=' && word && word.key === undefined && /^[A-Za-z][\w-]*$/.test(word.text)) {
      word.key = word.text
      word.text = ''
    } else {
      word ??= { text: '' }
      word.text += c
    }
  }
  end()
  return tokens
}

/** Where a stack is to run. */
export interface Place {
  readonly path: string                                   // of the namespace: '/vault'
  readonly log: Log
  readonly state?: string                                 // the server's folder for what outlives a restart
}

/**
 * Starts a stack from the bottom up. Each instance is called after its place ('/vault: crypt') and has a folder of
 * its own below the state folder, named by path and position. If one does not start, those that did are closed.
 */
export async function startStack(stack: Stack, place: Place, position = '0'): Promise<Translator> {
  const children: Translator[] = []
  try {
    for (const [i, child] of stack.children.entries()) children.push(await startStack(child, place, `${position}.${i}`))
    return await stack.factory.start(stack.options, children, {
      name: `${place.path}: ${stack.factory.definition.name}`, log: place.log,
      ...(place.state === undefined ? {} : { state: `${place.state}/stacks/${encodeURIComponent(place.path)}/${position}` }),
    })
  } catch (e) {
    await Promise.allSettled(children.map((child) => child.close()))
    throw e
  }
}
