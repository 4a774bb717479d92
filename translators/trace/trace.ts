// Every call as a line of JSON, when it is done:
//
//   {"time":"2026-01-31T12:00:00.123Z","seconds":0.000012,"op":"walk","path":"/a","file":"2","name":"b"}
//
// time: when it began; seconds: how long it took; file: the qid.path of where it was called, path: how that was reached, which
// is not followed through renames. Then its arguments, by the names of translator.ts, without contents; `error` where it was
// refused; `bytes` for what was read or written. Names are JSON strings: a byte that is not UTF-8 is \udcXX.

import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { isErrno } from 'ninep'
import { AroundNode, AroundHandle, AroundTranslator, ops } from '../around.ts'
import type { Observer, Op } from '../around.ts'
import { choose, path, text, translator } from '../options.ts'
import type { Log } from '../options.ts'
import type { Awaitable, Created, Node } from '../translator.ts'

export const trace = translator({
  name: 'trace',
  about: 'Every call as a line of JSON with its time, without contents.',
  children: 1,
  concurrent: true,
  options: {
    file: path({ about: 'where the lines go, at its end; none: to the log', positional: true, default: '' }),
    ops: text({ about: 'the calls to trace, with commas: walk,read', default: 'all' }),
  },
  async start(options, [child], env) {
    const chosen = options.ops === 'all' ? undefined : choose('trace: ops', options.ops, ops)
    const { O_APPEND, O_CREAT, O_WRONLY, O_NOFOLLOW } = constants
    const file = options.file === '' ? undefined : await open(options.file, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600)
    return new TraceTranslator(child, new Tracer(chosen, file ? new Lines(file, env.log, env.name) : { line: (fields) => env.log.info(fields, env.name), close() {} }))
  },
})

class TraceTranslator extends AroundTranslator {
  constructor(child: AroundTranslator['child'], readonly tracer: Tracer) { super(child, tracer, 'trace') }
  override async close(): Promise<void> {
    try { await this.child.close() } finally { await this.tracer.out.close() }
  }
}

interface Out { line(fields: object): void; close(): Awaitable<void> }

/** What a, b and c are. */
const args: Partial<Record<Op, readonly string[]>> = {
  walk: ['name'], at: ['snapshot'], getattr: ['mask'], setattr: ['attr'], open: ['flags'], create: ['name', 'flags', 'mode'], mkdir: ['name', 'mode'],
  symlink: ['name', 'target'], mknod: ['name', 'mode', 'rdev'], link: ['target', 'name'], renameat: ['name', 'dir', 'newName'], unlinkat: ['name', 'flags'],
  getxattr: ['name'], setxattr: ['name', 'length', 'flags'], removexattr: ['name'], read: ['count', 'offset'], write: ['count', 'offset'], readdir: ['cookie', 'mask'],
  fsync: ['dataOnly'], lock: ['want'], getlock: ['want'],
  'blobs.put': ['id', 'length'], 'blobs.get': ['id', 'count', 'offset'], 'blobs.drop': ['count'], 'blobs.list': ['after', 'max'],
  'blobs.putRecord': ['name', 'length'], 'blobs.getRecord': ['name'], 'blobs.listRecords': ['prefix'], 'blobs.dropRecord': ['name'],
}

class Tracer implements Observer {
  constructor(readonly chosen: ReadonlySet<string> | undefined, readonly out: Out) {}

  around<T>(op: number, on: AroundNode | AroundHandle | null, f: () => Awaitable<T>, a?: unknown, b?: unknown, c?: unknown): Awaitable<T> {
    const name = ops[op]!, traced = !this.chosen || this.chosen.has(name)
    const began = performance.now(), file = traced && on instanceof AroundNode ? { file: String(on.qid.path) } : {}
    const done = (value: T | undefined, error?: unknown): void => {
      if (value !== undefined) reached(name, on?.path ?? '', value, a)
      if (!traced) return
      this.out.line({
        time: new Date(performance.timeOrigin + began).toISOString(), seconds: Math.round((performance.now() - began) * 1e3) / 1e6, op: name,
        ...on ? { path: on.path || '/', ...file } : {},
        ...Object.fromEntries((args[name] ?? []).map((arg, i) => [arg, said([a, b, c][i])])),
        ...error === undefined ? moved(value) : { error: isErrno(error) ? error.code : String(error) },
      })
    }
    let result: Awaitable<T>
    try { result = f() } catch (e) { done(undefined, e); throw e }
    if (result instanceof Promise) result.then((value) => done(value), (e) => done(undefined, e))
    else done(result)
    return result
  }
}
/** Notes the path of what a call led to. */
function reached(op: Op, path: string, value: unknown, name: unknown): void {
  if (op === 'create') {
    const { node, handle } = value as Created
    reached('walk', path, node, name)
    reached('walk', path, handle, name)
  } else if (value instanceof AroundNode || value instanceof AroundHandle) {
    value.path = op === 'open' ? path : op === 'parent' ? path.slice(0, Math.max(0, path.lastIndexOf('/'))) : op === 'at' ? `${path}@${String(name)}` : `${path}/${String(name)}`
  }
}
function said(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (value instanceof AroundNode) return value.path || '/'
  return value !== null && typeof value === 'object' ? Object.fromEntries(Object.entries(value).map(([key, part]) => [key, said(part)])) : value
}
function moved(value: unknown): object {
  return typeof value === 'number' ? { bytes: value } : value instanceof Uint8Array ? { bytes: value.length } : {}
}

/** Bytes that may wait for a slow disk; lines beyond are counted and left out. */
const WAITING = 4 * 2 ** 20

/** Lines into a file, in batches. What can't be written is told in the log once, and the calls go on. */
class Lines implements Out {
  #lines: string[] = []
  #bytes = 0
  #dropped = 0
  #failed = false
  #writing: Promise<void> | undefined
  constructor(readonly file: FileHandle, readonly log: Log, readonly name: string) {}
  line(fields: object): void {
    const line = JSON.stringify(fields) + '\n'
    if (this.#bytes + line.length > WAITING) { this.#dropped++; return }
    this.#lines.push(line)
    this.#bytes += line.length
    this.#writing ??= this.#write()
  }
  async #write(): Promise<void> {
    await new Promise((turn) => { setImmediate(turn) })
    while (this.#lines.length > 0) {
      const text = this.#lines.join(''), dropped = this.#dropped
      this.#lines.length = this.#bytes = this.#dropped = 0
      try { await this.file.appendFile(dropped > 0 ? `${text}${JSON.stringify({ dropped })}\n` : text) } catch (err) {
        if (!this.#failed) this.log.error({ translator: this.name, err }, 'the trace could not be written')
        this.#failed = true
      }
    }
    this.#writing = undefined
  }
  async close(): Promise<void> {
    await this.#writing
    await this.file.close()
  }
}
