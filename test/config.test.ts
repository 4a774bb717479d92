// The config: what it reads as, and what it says of each fault.

import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Ajv2020 as Ajv } from 'ajv/dist/2020.js'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parse, parseDocument } from 'yaml'
import type { Node } from 'yaml'
import { parseConfig } from '../server/config.ts'
import { Instances } from '../server/instances.ts'
import { configSchema } from '../server/schema.ts'
import { checkStack, formatStack, parseStack } from '../server/stack.ts'
import type { Stack } from '../server/stack.ts'
import { stackOf } from '../server/yaml.ts'
import { translators } from '../server/translators.ts'
import type { AnyFactory } from '../server/translators.ts'
import { ForwardTranslator } from '../translators/forward.ts'
import { int, map, size, text, translator } from '../translators/options.ts'
import type { Log } from '../translators/options.ts'
import { memory } from '../translators/memory/memory.ts'

const root = resolve(fileURLToPath(import.meta.url), '../../..')
const log: Log = { debug() {}, info() {}, warn() {}, error() {} }

/** Stand-ins with the shapes that a grammar must carry: many children, maps, a start that is seen and one that fails. */
const seen: string[] = []
const watch = (name: string) => ({ name, about: 'tells when it starts and closes', concurrent: true })
const brick = translator({
  ...watch('brick'), children: 0, options: { at: text({ about: 'where', positional: true }), size: size({ about: 'how large', default: 1 }) },
  start: async (options, _, env) => {
    seen.push(`start ${env.name} ${options.at} ${env.state ?? '-'}`)
    const child = await memory({})
    return Object.assign(new ForwardTranslator('brick', child, (node) => node), { close: async () => { seen.push(`close ${options.at}`); await child.close() } })
  },
})
const many = translator({
  ...watch('many'), children: 'many', options: { keep: map(int({ about: 'n' }), { about: 'how many', default: {} }), fail: text({ about: 'why', default: '' }) },
  start: (options, children) => {
    if (options.fail) throw new Error(options.fail)
    return Object.assign(new ForwardTranslator('many', children[0]!, (node) => node), { close: async () => { for (const child of children) await child.close() } })
  },
})
const known = new Map<string, AnyFactory>([...translators, ['brick', brick as unknown as AnyFactory], ['many', many as unknown as AnyFactory]])
const show = (stack: Stack): string => {
  const { factory: { definition }, options, children } = stack
  return [definition.name, ...Object.entries(options).map(([key, value]) => `${key}<${value}>`), ...children.length ? [`(${children.map(show).join(' ; ')})`] : []].join(' ')
}

const stacks = suite('stack')
for (const [line, means] of [
  ['memory', 'memory'],
  ['memory size=1GiB', 'memory size<1GiB>'],
  ['rot13 shift=1|memory', 'rot13 shift<1> (memory)'],
  ['rot13 | rot13 shift=2 | memory', 'rot13 (rot13 shift<2> (memory))'],
  ['brick ./d1', 'brick at<./d1>'],
  ['brick at=./d1 size=2', 'brick at<./d1> size<2>'],
  [`brick "a dir | (with), all"`, 'brick at<a dir | (with), all>'],
  [`brick at='it is "so"'`, 'brick at<it is "so">'],
  [`brick ./a" "b`, 'brick at<./a b>'],
  ['brick ./a,b', 'brick at<./a,b>'],
  ['brick "key=value"', 'brick at<key=value>'],
  ['brick tcp://nas:5640/?a=b', 'brick at<tcp://nas:5640/?a=b>'],
  ['many (brick ./d1, brick ./d2,brick ./d3)', 'many (brick at<./d1> ; brick at<./d2> ; brick at<./d3>)'],
  ['many keep=a:1,b:2 (rot13 | brick x, many(brick y,brick z))', 'many keep<a:1,b:2> (rot13 (brick at<x>) ; many (brick at<y> ; brick at<z>))'],
  ['many (many keep=a:1,b:2 (brick x, brick y), brick z size=4,brick w)', 'many (many keep<a:1,b:2> (brick at<x> ; brick at<y>) ; brick at<z> size<4> ; brick at<w>)'],
] as const) stacks(`reads ${line}`, () => assert.is(show(parseStack(line, known)), means))

for (const [line, says] of [
  ['', 'a translator is missing at the end. Write: rot13 | posix ./dir'],
  ['memory |', 'a translator is missing at the end.'],
  ['| memory', 'a translator is missing before "|".'],
  ['memroy', 'no translator "memroy". Did you mean "memory"? There are: '],
  ['rot13', 'rot13: takes one child, not 0.'],
  ['memory | memory', 'memory: is a brick and takes no children. Write it last.'],
  ['rot13 (memory, memory)', 'rot13: takes one child, not 2.'],
  ['memory size=', 'memory: size: "" is not a size. Write bytes or KiB, MiB, GiB: 64MiB.'],
  ['memory size="4 parsecs"', 'memory: size: "4 parsecs" is not a size. Write bytes or KiB, MiB, GiB: 64MiB.'],
  ['memory sise=1', 'memory: no option "sise". Did you mean "size"?'],
  ['memory size=1 size=2', 'memory: size is given twice.'],
  ['rot13 3 | memory', 'rot13: takes no bare word, as "3" is. Write key=value; it takes: shift.'],
  ['brick my dir', 'brick: at is given twice, the second time as "dir". Quote what has blanks in it.'],
  ['brick', 'brick: at is missing. It is text: where'],
  ['rot13 shift=26 | memory', 'rot13: shift: "26" is not an integer from 1 to 25.'],
  ['many (brick a', 'many: a ")" is missing.'],
  ['many (brick a) b', '"b" has no place here.'],
  ['many (brick a) | brick b', '"|" has no place here.'],
  ['many ()', 'a translator is missing before ")".'],
  ['brick a)', '")" has no place here.'],
  ['brick "a', 'a closing " is missing after "a'],
] as const) {
  stacks(`refuses ${line || 'nothing'}`, () => assert.throws(() => parseStack(line, known), (e: Error) => e.name === 'BadOption' && (e.message.startsWith(says) || assert.is(e.message, says))))
}
stacks('starts from the bottom up, each with a name and a folder of its own', async () => {
  seen.length = 0
  const instances = new Instances(log, 'st')
  const started = await instances.start(instances.plan('/v', parseStack('rot13 | many (brick a, brick b)', known), null))
  assert.equal(seen, ['start /v: brick a st/stacks/%2Fv/brick', 'start /v: brick b st/stacks/%2Fv/brick-2'])
  assert.is(instances.count, 4)
  await started.lease().close()
  assert.equal([instances.count, ...seen.slice(2)], [0, 'close a', 'close b'])
})
stacks('closes what it started when a layer above does not start', async () => {
  seen.length = 0
  const instances = new Instances(log)
  await instances.start(instances.plan('/', parseStack('many fail=sorry (brick a, brick b)', known), null)).then(() => assert.unreachable(), (e: Error) => assert.is(e.message, 'sorry'))
  assert.equal(seen, ['start /: brick a -', 'start /: brick b -', 'close a', 'close b'])
  assert.is(instances.count, 0)
})
stacks.run()

const test = suite('config')
const good = `listen: ['tcp://127.0.0.1:5640', 'unix:./run/ninefold.sock']
state: ./state
namespace:
  /: memory
  /scratch: rot13 shift=3 | memory size=64MiB
attach:
  /: { squash: root, read-only: on, uid-map: { 1000: 1001 } }
limits:
  msize: 64KiB
  fids: 100
`
test('reads a whole one', () => {
  const config = parseConfig(good, 'n.yaml')
  assert.equal(config.listen, ['tcp://127.0.0.1:5640', 'unix:./run/ninefold.sock'])
  assert.is(config.state, './state')
  assert.equal([...config.namespace].map(([path, stack]) => [path, show(stack)]), [['/', 'memory'], ['/scratch', 'rot13 shift<3> (memory size<64MiB>)']])
  assert.equal(config.limits, { msize: 65536, fids: 100 })
})
for (const [what, yaml, line] of [
  ['a list of layers', '[rot13: { shift: 3 }, memory: { size: 1GiB, mode: 0755 }]', 'rot13 shift=3 | memory size=1GiB mode=0755'],
  ['a layer alone', '{ memory: { size: 64MiB } }', 'memory size=64MiB'],
  ['a positional option alone', '[rot13, posix: ./d]', 'rot13 | posix ./d'],
  ['a layer without options', '[rot13: , memory: ]', 'rot13 | memory'],
  ['lines in a list', '["rot13 shift=3 | rot13", memory]', 'rot13 shift=3 | rot13 | memory'],
  ['values of YAML', '{ fault: { error-rate: 0.01, crash: on } }', undefined],
  ['words with blanks', "{ posix: 'a (b), \"c\"' }", `posix 'a (b), "c"'`],
] as const) {
  test(`a stack in YAML, ${what}, is its line`, () => {
    const read = () => parseConfig(`namespace:\n  /: ${yaml}\n`, 'n.yaml').namespace.get('/')!
    if (line === undefined) return assert.throws(read, /takes one child, not 0|no option/)
    assert.is(formatStack(read()), line)
    assert.is(formatStack(parseStack(line)), line)
  })
}
test('a stack in YAML may have many children, each a stack', () => {
  const { contents } = parseDocument('- many: { keep: { a: 1, b: 2 } }\n- [brick ./d1, [rot13, brick: ./d2], { brick: { at: "./d 3", size: 2 } }]')
  const stack = checkStack(stackOf(contents as Node, '', 0), known)
  assert.is(formatStack(stack), 'many keep="a:1,b:2" (brick ./d1, rot13 | brick ./d2, brick "./d 3" size=2)')
  assert.is(formatStack(parseStack(formatStack(stack), known)), formatStack(stack))
})
test('the schema takes what is read, and refuses what is not', () => {
  const valid = new Ajv({ strict: true, allowUnionTypes: true }).compile(configSchema())
  const check = (text: string) => valid(parse(text))
  for (const text of [good, readFileSync(join(root, 'examples/quickstart.yaml'), 'utf8'), 'namespace: { /: [rot13: , memory: { size: 1GiB }] }', 'namespace: { /: { posix: ./d } }']) {
    assert.ok(check(text), `${text}: ${JSON.stringify(valid.errors)}`)
  }
  for (const text of ['', 'listen: fd:3', 'namespace: {}', 'namespace: { x: memory }', 'namespace: { /: { memroy: } }', 'namespace: { /: { memory: { sise: 1 } } }', 'namespace: { /: { posix: } }',
    'namespace: { /: { rot13: { shift: 26 } } }', good.replace('limits', 'limit'), good.replace('fids: 100', 'fids: x'), good.replace('squash: root', 'squash: rot')]) assert.not(check(text), text)
})
test('the quickstart is a good one', () => {
  const config = parseConfig(readFileSync(join(root, 'examples/quickstart.yaml'), 'utf8'), 'quickstart.yaml')
  assert.equal(config.listen, ['unix:./run/ninefold.sock', 'tcp://127.0.0.1:5640'])
})
for (const [what, text, says] of [
  ['an option that does not read', good.replace('64MiB', '"4 parsecs"'), 'n.yaml:5:36: /scratch: memory: size: "4 parsecs" is not a size. Write bytes or KiB, MiB, GiB: 64MiB.'],
  ['a translator misspelt', good.replace('/: memory', '/: memroy'), `n.yaml:4:6: /: no translator "memroy". Did you mean "memory"? There are: ${[...translators.keys()].join(', ')}.`],
  ['a section misspelt', good.replace('limits', 'limit'), 'n.yaml:8:1: no key "limit". Did you mean "limits"? There are: listen, state, namespace, attach, metrics, limits, passive, translators.'],
  ['a limit misspelt', good.replace('fids', 'fid'), /^n\.yaml:10:3: limits: no key "fid"\. Did you mean "fids"\? There are: msize, /],
  ['a limit out of range', good.replace('64KiB', '1KiB'), 'n.yaml:9:3: limits: msize: "1KiB" is out of range: from 4096 to 1048600 bytes.'],
  ['an address of another kind', good.replace('tcp:', 'udp:'), /^n\.yaml:1:10: listen: udp:\/\/127.0.0.1:5640: .* Write tcp:\/\/127.0.0.1:5640, unix:.* or fd:3/],
  ['a port beyond all', good.replace('5640', '65536'), /^n\.yaml:1:10: listen: tcp:\/\/127.0.0.1:65536: there is no port 65536/],
  ['a relative path', good.replace('/scratch', 'scratch/'), 'n.yaml:5:3: scratch/: "scratch/" is not absolute. Write "/scratch".'],
  ['a path with dots', good.replace('/scratch', '/a/../b'), 'n.yaml:5:3: /a/../b: "/a/../b" has an empty name, "." or ".." in it.'],
  ['a path twice', good.replace('/scratch', '/'), 'n.yaml:5:3: "/" is given twice.'],
  ['squash misspelt', good.replace('squash: root', 'squash: rot'), /^n\.yaml:7:8: attach: \/: squash: "rot" is not one of none, root, all\. Did you mean "root"\?/],
  ['a uid that is none', good.replace('1001', 'joe'), /^n\.yaml:7:37: attach: \/: uid-map: 1000: "joe" is not an integer/],
  ['rules for what is not there', good.replace(/attach:\n {2}\//, 'attach:\n  /nowhere'), 'n.yaml:7:3: attach: /nowhere: nothing stands there. The namespace has: /, /scratch.'],
  ['a layer below one that has its children', good.replace('/: memory', '/: [rot13 (memory), memory]'), 'n.yaml:4:23: /: nothing can stand below rot13: its children were named before'],
  ['children in the middle', good.replace('/: memory', '/: [rot13, [memory], memory]'), /^n\.yaml:4:14: \/: a list in a stack is the children of the layer before it/],
  ['a layer of two keys', good.replace('/: memory', '/: { memory: , rot13: }'), 'n.yaml:4:6: /: a layer is one key, its translator: { memory: { size: 1GiB } }. Here are 2'],
  ['a layer whose options are a list', good.replace('/: memory', '/: { memory: [size] }'), /^n\.yaml:4:16: \/: memory: its options are a mapping/],
  ['an option without a value', good.replace('/: memory', '/: { memory: { size: } }'), 'n.yaml:4:18: /: size: has no value'],
  ['an option misspelt in a mapping', good.replace('/: memory', '/: { memory: { inodes: 5, sise: 1 } }'), /^n\.yaml:4:29: \/: memory: no option "sise"\. Did you mean "size"\?/],
  ['an option misspelt in quotes', good.replace('/: memory', '/: "rot13 | memory sise=1"'), /^n\.yaml:4:22: \/: memory: no option "sise"/],
  ['a stack that is a number', good.replace('/: memory', '/: 5'), /^n\.yaml:4:6: \/: is not a stack\. Write/],
  ['a stack that is empty', good.replace('/: memory', '/:'), 'n.yaml:4:5: /: is empty. Write a stack on one line (posix ./dir), or its layers as a list, outermost first'],
  ['a namespace that is a word', good.replace(/namespace:[^]*attach/, 'namespace: memory\nattach'), 'n.yaml:3:12: namespace: is a mapping, of lines "name: value".'],
  ['no namespace', 'listen: fd:3\n', /^n\.yaml:1:1: namespace is missing\. Write/],
  ['nothing', '', 'n.yaml:1:1: a config: is a mapping, of lines "name: value".'],
  ['YAML that is none', 'namespace: { /: memory\nlisten', /^n\.yaml:\d+:\d+: /],
  ['two faults, both', good.replace('64KiB', 'x').replace('/: memory', '/: memroy'), /^n\.yaml:4:6: .*\nn\.yaml:9:3: /],
] as const) {
  test(`refuses ${what}`, () => {
    try { parseConfig(text, 'n.yaml') } catch (e) {
      if (typeof says === 'string') assert.is((e as Error).message, says)
      else assert.match((e as Error).message, says)
      return assert.is((e as Error).name, 'BadConfig')
    }
    assert.unreachable('it was taken')
  })
}
test.run()
