// A config: YAML or flags to values, checked whole before anything starts. Every fault is told with its file, line and
// what to write instead.

import { LineCounter, isMap, isScalar, isSeq, parseDocument } from 'yaml'
import type { Document, Node as YamlNode, Pair, YAMLMap } from 'yaml'
import { BadOption, nearest } from '../translators/options.ts'
import type { Option, Options } from '../translators/options.ts'
import { limitOptions } from './limits.ts'
import type { Limits } from './limits.ts'
import { parseListen } from './listen.ts'
import { Outside, checkAllowed } from './outside.ts'
import { passiveOptions } from './passive.ts'
import type { PassiveRules } from './passive.ts'
import { BadStack, checkStack } from './stack.ts'
import type { Stack } from './stack.ts'
import { attachOptions, attachRules } from './users.ts'
import type { AttachRules } from './users.ts'
import { placeOf, stackOf, valueOf } from './yaml.ts'

export interface Config {
  readonly listen: readonly string[]
  readonly state?: string
  readonly namespace: ReadonlyMap<string, Stack>
  readonly attach: ReadonlyMap<string, AttachRules>
  readonly limits: Partial<Limits>
  readonly passive: Partial<PassiveRules>
  /** Translators from outside our tree that may be loaded: see outside.ts. */
  readonly translators: readonly string[]
  /** Where Prometheus reads: tcp://127.0.0.1:9100. */
  readonly metrics?: string
}

/** A config that is refused. The message has one line a fault: `ninefold.yaml:7:14: /scratch: memory: ...`. */
export class BadConfig extends Error {
  override readonly name = 'BadConfig'
}

/**
 * Reads a config. `file` is what faults are told by. Paths in it are relative to where the server runs. outside: has loaded what the
 * config names of what it allows, or it is refused: `await outside.reading((outside) => parseConfig(text, file, outside))`. Throws BadConfig.
 */
export function parseConfig(text: string, file: string, outside = new Outside()): Config {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const reader = new Reader(document, text, outside)
  const config = reader.faults.length === 0 ? reader.config() : undefined
  if (config && reader.faults.length === 0) return config
  throw new BadConfig(reader.faults.sort((a, b) => a.offset - b.offset).map(({ offset, message }) => {
    const { line, col } = lines.linePos(offset)
    return `${file}:${line}:${col}: ${message}`
  }).join('\n'))
}

/** The path of a namespace: absolute, without empty names, dots or a slash at its end. Throws BadOption. */
export function checkPath(path: string): string {
  const fault = !path.startsWith('/') ? 'is not absolute'
    : path !== '/' && path.split('/').slice(1).some((name) => name === '' || name === '.' || name === '..') ? 'has an empty name, "." or ".." in it'
    : path.includes('\0') ? 'has a NUL in it' : undefined
  if (fault) {
    const names = path.split('/').filter((name) => name !== '' && name !== '.')
    throw new BadOption(`"${path}" ${fault}.${names.includes('..') ? '' : ` Write "/${names.join('/')}".`}`)
  }
  return path
}

/** An address to listen on. Throws BadOption. */
export function checkListen(url: string): string {
  try { parseListen(url) } catch (e) { throw new BadOption((e as Error).message) }
  return url
}

/** Where metrics can be had: an address of TCP, as it is. Throws BadOption. */
export function checkMetrics(url: string): string {
  if (parseListen(checkListen(url)).kind !== 'tcp') throw new BadOption(`${url}: metrics are had over TCP. Write tcp://127.0.0.1:9100`)
  return url
}

class Reader {
  readonly faults: { offset: number; message: string }[]
  constructor(private readonly document: Document, private readonly source: string, private readonly outside: Outside) {
    this.faults = document.errors.map(({ code, pos, message }) => ({ offset: pos[0], message: code === 'DUPLICATE_KEY' ? `"${source.slice(...pos).trim()}" is given twice.` : message }))
  }

  config(): Config {
    const root = this.document.contents
    const listen: string[] = [], namespace = new Map<string, Stack>(), attach = new Map<string, AttachRules>()
    const translators: string[] = []
    let known = this.outside, state: string | undefined, metrics: string | undefined, limits: Partial<Limits> = {}, passive: Partial<PassiveRules> = {}
    const sections: Record<string, (value: YamlNode | null, at: number) => void> = {
      listen: (value, at) => {
        const items = isSeq(value) ? value.items as YamlNode[] : [value]
        for (const item of items) this.#try(placeOf(item, at), 'listen: ', () => listen.push(checkListen(this.#text(item, 'an address: tcp://127.0.0.1:5640'))))
      },
      state: (value, at) => this.#try(at, 'state: ', () => { state = this.#text(value, 'a folder: ./state') }),
      namespace: (value, at) => this.#entries(value, at, 'namespace', (path, stack, at) => this.#try(at, `${path}: `, () => {
        namespace.set(checkPath(path), checkStack(stackOf(stack, this.source, at), known))
      })),
      attach: (value, at) => this.#entries(value, at, 'attach', (path, rules, at) => this.#try(at, `attach: ${path}: `, () => {
        attach.set(checkPath(path), attachRules(this.#options(rules, at, `attach: ${path}`, attachOptions)))
      })),
      metrics: (value, at) => this.#try(placeOf(value, at), 'metrics: ', () => { metrics = checkMetrics(this.#text(value, 'an address: tcp://127.0.0.1:9100')) }),
      limits: (value, at) => { limits = this.#options(value, at, 'limits', limitOptions) },
      passive: (value, at) => { passive = this.#options(value, at, 'passive', passiveOptions) },
      translators: (value, at) => {
        const items = isSeq(value) ? value.items as YamlNode[] : [value]
        for (const item of items) this.#try(placeOf(item, at), 'translators: ', () => translators.push(checkAllowed(this.#text(item, 'a package or a path: npm:NAME'))))
        known = this.outside.allowing(translators)
      },
    }
    if (isMap(root)) root.items.sort((a, b) => Number(isTranslators(b)) - Number(isTranslators(a)))   // stacks are checked by them
    this.#entries(root, 0, 'a config', (key, value, at) => {
      const read = Object.hasOwn(sections, key) ? sections[key] : undefined
      if (read) read(value, at)
      else this.#fault(at, unknown(key, Object.keys(sections)))
    })
    if (this.faults.length === 0) {                         // else these would tell a fault again
      for (const path of attach.keys()) if (path !== '/' && !namespace.has(path)) this.#fault(this.#keyOffset(root, 'attach', path), `attach: ${path}: nothing stands there. The namespace has: ${[...namespace.keys()].join(', ') || 'nothing'}.`)
      if (namespace.size === 0) this.#fault(0, 'namespace is missing. Write, for one: namespace: { /: posix ./export }')
    }
    return { listen, ...(state === undefined ? {} : { state }), namespace, attach, limits, passive, translators, ...(metrics === undefined ? {} : { metrics }) }
  }

  #fault(offset: number, message: string): void { this.faults.push({ offset, message }) }

  /** The values of a mapping that its schema knows; all that are wrong are told. */
  #options(value: YamlNode | null, at: number, where: string, options: Options): Record<string, unknown> {
    const values: Record<string, unknown> = {}
    this.#entries(value, at, where, (key, node, at) => this.#try(at, `${where}: `, () => {
      const option: Option<unknown> | undefined = Object.hasOwn(options, key) ? options[key] : undefined
      if (!option) throw new BadOption(unknown(key, Object.keys(options)))
      try { values[key] = option.parse(valueOf(node)) } catch (e) { throw e instanceof BadOption ? new BadOption(`${key}: ${e.message}`) : e }
    }))
    return values
  }

  #entries(node: YamlNode | null, at: number, where: string, each: (key: string, value: YamlNode | null, at: number) => void): void {
    if (!isMap(node)) return this.#fault(placeOf(node, at), `${where}: is a mapping, of lines "name: value".`)
    for (const { key, value } of (node as YAMLMap<YamlNode, YamlNode | null>).items) {
      const offset = placeOf(key, at)
      if (isScalar(key) && key.value !== null) each(String(key.value), value, offset)
      else this.#fault(offset, `${where}: a key is a word.`)
    }
  }

  #text(node: YamlNode | null, example: string): string {
    if (isScalar(node) && typeof node.value === 'string' && node.value !== '') return node.value
    throw new BadOption(`${node === null || (isScalar(node) && (node.value === null || node.value === '')) ? 'is empty' : `${JSON.stringify(node.toJS(this.document))} is not text`}. Write ${example}`)
  }
  #try(at: number, where: string, read: () => void): void {
    try { read() } catch (e) {
      if (!(e instanceof BadOption)) throw e
      this.#fault(e instanceof BadStack ? e.at : at, where + e.message)
    }
  }
  #keyOffset(root: unknown, section: string, key: string): number {
    const inner = isMap(root) ? root.get(section, true) : undefined
    const pair = isMap(inner) ? inner.items.find((item) => isScalar(item.key) && item.key.value === key) : undefined
    return placeOf((pair?.key as YamlNode | undefined) ?? null, 0)
  }
}

function isTranslators({ key }: Pair<unknown, unknown>): boolean { return isScalar(key) && key.value === 'translators' }
function unknown(key: string, known: readonly string[]): string {
  const near = nearest(key, known)
  return `no key "${key}".${near ? ` Did you mean "${near}"?` : ''} There are: ${known.join(', ')}.`
}
