// What a config says in YAML, with where it says it. A stack is text as on one line, or a list of its layers, outermost first:
//
//   - snapshot: { keep: { hourly: 24 } }          a mapping of one key: the translator, its options
//   - crypt: ./vault.key                          its positional option alone
//   - rot13 shift=3                               text: one layer, or several
//   - [posix ./d1, [rot13, posix ./d2]]           last: the children of the layer above, each a stack

import { isMap, isScalar, isSeq } from 'yaml'
import type { Node as YamlNode, Pair, YAMLMap } from 'yaml'
import { BadStack, readLine } from './stack.ts'
import type { Layer } from './stack.ts'

/** Where a node begins in its text; `otherwise` where it is nothing. */
export function placeOf(node: YamlNode | null, otherwise: number): number { return node?.range?.[0] ?? otherwise }

/** A value as options read it: scalars, lists and mappings. A number keeps the zero that makes it octal, as in a mode. */
export function valueOf(node: YamlNode | null): unknown {
  if (isScalar(node)) return typeof node.value === 'number' && /^0[0-7]+$/.test(node.source ?? '') ? node.source : node.value ?? undefined
  if (isSeq<YamlNode | null>(node)) return node.items.map(valueOf)
  if (isMap<YamlNode, YamlNode | null>(node)) return Object.fromEntries(node.items.map(({ key, value }) => [keyOf(key), valueOf(value)]))
  return undefined
}
function keyOf(key: YamlNode): string { return isScalar(key) ? key.source ?? String(key.value) : String(key) }

/** The layers of a stack. `text` is what the node was read from, `otherwise` a place for what is nothing. Throws BadStack. */
export function stackOf(node: YamlNode | null, text: string, otherwise: number): Layer {
  const at = placeOf(node, otherwise)
  if (isScalar(node) && typeof node.value === 'string' && node.value !== '') return lineOf(node.value, text, node.range!)
  if (isMap<YamlNode, YamlNode | null>(node)) return layerOf(node, at)
  if (!isSeq<YamlNode | null>(node)) throw new BadStack(`is ${node === null || (isScalar(node) && (node.value === null || node.value === '')) ? 'empty' : 'not a stack'}. Write a stack on one line (posix ./dir), or its layers as a list, outermost first`, at)
  let first: Layer | undefined
  for (const [i, item] of node.items.entries()) {
    const below = first && innermost(first)
    if (below?.closed) throw new BadStack(`nothing can stand below ${below.name}: its children were named before`, placeOf(item, at))
    if (isSeq<YamlNode | null>(item)) {
      if (!below || i < node.items.length - 1) throw new BadStack('a list in a stack is the children of the layer before it, and stands last', placeOf(item, at))
      below.children.push(...item.items.map((child) => stackOf(child, text, placeOf(item, at))))
    } else {
      const layer = stackOf(item, text, at)
      if (below) below.children.push(layer)
      else first = layer
    }
  }
  if (!first) throw new BadStack('is empty. Write the layers of a stack, outermost first', at)
  return first
}
function innermost(layer: Layer): Layer { return layer.children.length === 0 || layer.closed ? layer : innermost(layer.children.at(-1)!) }

/** `text` shows the line as it is, or in another way: with escapes, say. */
function lineOf(line: string, text: string, [start]: readonly number[]): Layer {
  const at = [start!, start! + 1].find((at) => text.startsWith(line, at))
  if (at !== undefined) return readLine(line, at)
  try { return moved(readLine(line), start!) } catch (e) { throw e instanceof BadStack ? new BadStack(e.message, start!) : e }
}
function moved({ words, children, ...layer }: Layer, at: number): Layer {
  return { ...layer, at, words: words.map((word) => ({ ...word, at })), children: children.map((child) => moved(child, at)) }
}

/** `name: options`, or `name: value` for the positional one. */
function layerOf(node: YAMLMap<YamlNode, YamlNode | null>, at: number): Layer {
  const [pair] = node.items
  if (!pair || node.items.length > 1) throw new BadStack(`a layer is one key, its translator: { memory: { size: 1GiB } }. Here are ${node.items.length || 'none'}`, at)
  const { key, value } = pair
  const layer = { name: keyOf(key), at: placeOf(key, at), children: [], closed: false }
  if (isMap<YamlNode, YamlNode | null>(value)) return { ...layer, words: value.items.map((option) => wordOf(option, at)) }
  if (isSeq(value)) throw new BadStack(`${layer.name}: its options are a mapping; children stand in a list below it`, placeOf(value, at))
  const bare = valueOf(value)
  return { ...layer, words: bare === undefined ? [] : [{ value: bare, at: placeOf(value, at) }] }
}
function wordOf({ key, value }: Pair<YamlNode, YamlNode | null>, at: number): Layer['words'][number] {
  const name = keyOf(key), given = valueOf(value)
  if (given === undefined) throw new BadStack(`${name}: has no value`, placeOf(key, at))
  return { key: name, value: given, at: placeOf(key, at) }
}
