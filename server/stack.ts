// Stacks: what stands at a path of the namespace, outermost first. On one line:
//
//   stack  = layer { '|' layer }                   what follows a '|' is the one child of what stands before it
//   layer  = NAME { word } [ '(' stack { ',' stack } ')' ]
//   word   = key=value | value                     a bare value is the translator's positional option
//
// Quotes, '...' or "...", keep blanks and | ( ) , in a word. Between parentheses a comma ends a child, except in the
// maps of an option: keep=a:1,b:2. The same in YAML: config.ts.

import { BadOption, checkChildren, nearest, parseOptions } from '../translators/options.ts'
import { Outside } from './outside.ts'
import type { Known } from './outside.ts'
import type { AnyFactory } from './translators.ts'

/** A stack that was read and checked, and not yet started. options: as they were given, only those that were. */
export interface Stack {
  readonly factory: AnyFactory
  readonly options: Readonly<Record<string, unknown>>
  readonly children: readonly Stack[]
}

/** A layer as it was written, with what stands below it. at: where, in the text it was read from. */
export interface Layer {
  readonly name: string
  readonly at: number
  readonly words: readonly { readonly key?: string; readonly value: unknown; readonly at: number }[]
  readonly children: Layer[]
  /** Its children stood in parentheses: none can follow. */
  readonly closed: boolean
}

/** A stack that does not read, and where in its text. */
export class BadStack extends BadOption {
  constructor(message: string, readonly at: number) { super(message) }
}

/** The translators of our tree alone. */
const ours = new Outside()

/** Reads a stack of one line. Everything is checked, its options too. Throws BadStack. known: the translators there are. */
export function parseStack(line: string, known: Known = ours): Stack { return checkStack(readLine(line), known) }

/** The layers of a line that begins at `start` of its text, not yet checked. */
export function readLine(line: string, start = 0): Layer {
  const tokens = tokenize(line, start)
  let next = 0
  const mark = () => { const token = tokens[next]; return token !== undefined && token.mark ? token.text : undefined }
  function layer(): Layer {
    const token = tokens[next++]
    if (!token || token.mark) throw new BadStack(`a translator is missing ${token ? `before "${token.text}"` : 'at the end'}. Write: rot13 | posix ./dir`, token?.at ?? start + line.length)
    if (token.key !== undefined) throw new BadStack(`"${token.key}=${token.text}" stands where a translator's name should. Write: rot13 | posix ./dir`, token.at)
    const words: Layer['words'][number][] = [], children: Layer[] = []
    for (; next < tokens.length && mark() === undefined; next++) {
      const { key, text, at } = tokens[next]!
      words.push({ value: text, at, ...(key === undefined ? {} : { key }) })
    }
    const closed = mark() === '('
    if (closed) {
      do { next++; children.push(layer()) } while (mark() === ',')
      if (mark() !== ')') throw new BadStack(`${token.text}: a ")" is missing${next < tokens.length ? ` before "${tokens[next]!.text}"` : ''}.`, tokens[next]?.at ?? start + line.length)
      next++
    } else if (mark() === '|') { next++; children.push(layer()) }
    return { name: token.text, at: token.at, words, children, closed }
  }
  const first = layer()
  if (next < tokens.length) throw new BadStack(`"${tokens[next]!.text}" has no place here${mark() === ',' ? ': children stand in parentheses' : ''}.`, tokens[next]!.at)
  return first
}

/** Checks what was read: names, options, numbers of children. Throws BadStack. */
export function checkStack({ name, at, words, children }: Layer, known: Known = ours): Stack {
  let factory: AnyFactory | undefined
  try { factory = known.get(name) } catch (e) { throw e instanceof BadOption ? new BadStack(e.message, at) : e }
  if (!factory) {
    const names = [...known.keys()], near = nearest(name, names)
    throw new BadStack(`no translator "${name}".${near ? ` Did you mean "${near}"?` : ''} There are: ${names.join(', ')}.`, at)
  }
  const { definition } = factory
  const bare = positional(factory)
  const options: Record<string, unknown> = {}, places: Record<string, number> = {}
  for (const { key: named, value, at } of words) {
    const key = named ?? bare
    if (key === undefined) throw new BadStack(`${name}: takes no bare word, as "${value}" is. Write key=value; it takes: ${Object.keys(definition.options).join(', ') || 'none'}.`, at)
    if (Object.hasOwn(options, key)) throw new BadStack(`${name}: ${key} is given twice${named === undefined ? `, the second time as "${value}". Quote what has blanks in it` : ''}.`, at)
    options[key] = value
    places[key] = at
  }
  try {
    checkChildren(definition, children.length)
    parseOptions(definition, options)
  } catch (e) { throw e instanceof BadOption ? new BadStack(e.message, e.key === undefined ? at : places[e.key] ?? at) : e }
  return { factory, options, children: children.map((child) => checkStack(child, known)) }
}

/** A stack as its line: parseStack reads the same from it. */
export function formatStack({ factory, options, children }: Stack): string {
  const name = factory.from === undefined ? factory.definition.name : quote(factory.from, true), bare = positional(factory)
  const words = Object.entries(options).map(([key, value]) => {
    const text = formatValue(value)
    return key === bare ? quote(text, true) : `${key}=${quote(text)}`
  })
  const head = [name, ...words].join(' '), lines = children.map(formatStack)
  return lines.length === 0 ? head : lines.length === 1 ? `${head} | ${lines[0]}` : `${head} (${lines.join(', ')})`
}
/** The value of an option as a stack writes it, not quoted. */
export function formatValue(value: unknown): string {
  if (typeof value === 'boolean') return value ? 'on' : 'off'
  if (Array.isArray(value)) return value.map(formatValue).join(',')
  return value !== null && typeof value === 'object' ? Object.entries(value).map(([key, each]) => `${key}:${formatValue(each)}`).join(',') : String(value)
}
/** A word that has in it what ends words, or if bare what makes a key: in quotes. One that has quotes of its own: in pieces. */
function quote(word: string, bare = false): string {
  if (word !== '' && !/[\s|(),"']/.test(word) && !(bare && word.includes('='))) return word
  if (!word.includes('"')) return `"${word}"`
  return word.includes("'") ? word.split('"').map((piece) => `"${piece}"`).join(`'"'`) : `'${word}'`
}
function positional({ definition: { options } }: AnyFactory): string | undefined { return Object.keys(options).find((key) => options[key]!.positional) }

/** A word of a line; mark: it is one of | ( ) , and was not quoted. key: what stood before an = that was not quoted. */
interface Token { text: string; readonly at: number; key?: string; readonly mark?: boolean }

function tokenize(line: string, start: number): Token[] {
  const tokens: Token[] = []
  let word: Token | undefined, depth = 0
  const end = () => { if (word) tokens.push(word); word = undefined }
  for (let i = 0; i < line.length; i++) {
    const c = line[i]!
    if (c === '"' || c === "'") {
      const close = line.indexOf(c, i + 1)
      if (close < 0) throw new BadStack(`a closing ${c} is missing after ${line.slice(i)}`, start + i)
      word ??= { text: '', at: start + i }
      word.text += line.slice(i + 1, close)
      i = close
    } else if (/\s/.test(c)) end()
    else if (c === '|' || c === '(' || c === ')' || (c === ',' && depth > 0 && !(word?.key !== undefined && /^[^\s,:=|()]+:/.test(line.slice(i + 1))))) {
      end()
      depth += c === '(' ? 1 : c === ')' ? -1 : 0
      tokens.push({ text: c, at: start + i, mark: true })
    } else if (c === '=' && word && word.key === undefined && /^[A-Za-z][\w-]*$/.test(word.text)) {
      word.key = word.text
      word.text = ''
    } else {
      word ??= { text: '', at: start + i }
      word.text += c
    }
  }
  end()
  return tokens
}
