// Servers to test against: one a stack, reached by tcp and by a unix socket, with what the cases need around it.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { serve } from '../../server/server.ts'
import type { Server, ServerConfig } from '../../server/server.ts'
import { attachRules } from '../../server/users.ts'
import { memory } from '../../translators/memory/memory.ts'
import type { Log } from '../../translators/options.ts'
import { posix } from '../../translators/posix/posix.ts'
import type { Translator } from '../../translators/translator.ts'
import { Plan9, type Old } from './plan9/client.ts'
import { Raw } from './raw.ts'
import { Control, slow } from './slow.ts'

/** What stands at '/' of a server under test. */
export interface Stack { readonly name: string; make(control: Control): Promise<{ root: Translator; folder?: string }> }

async function folder(under: string): Promise<{ root: Translator; folder: string }> {
  const path = mkdtempSync(join(under, 'ninefold-wire-'))
  return { root: await posix({ path }), folder: path }
}
export const onMemory: Stack = { name: 'memory', make: async () => ({ root: await brick('/') }) }
export const onDisk: Stack = { name: 'posix', make: () => folder(tmpdir()) }
export const onShm: Stack = { name: 'posix on tmpfs', make: () => folder('/dev/shm') }
/** Each call takes a turn of the loop or some milliseconds, so that all replies come late and out of order. */
export const onSlow: Stack = { name: 'slow memory', make: async (control) => ({ root: await slow(control, await brick('/')) }) }

/** A memory translator that knows its name, so that its numbers are told from another's. */
export function brick(at: string, options: Record<string, unknown> = {}): Promise<Translator> {
  return memory.start(options, [], { name: `${at}: memory`, log: quiet })
}
export const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} }

/** A log that is kept. `bugs`: what the server calls its own. */
export class Kept implements Log {
  readonly warnings: { fields: any; message: string }[] = []
  readonly bugs: { fields: any; message: string }[] = []
  debug() {}
  info() {}
  warn(fields: object, message: string) { this.warnings.push({ fields, message }) }
  error(fields: object, message: string) { this.bugs.push({ fields, message }) }
}

/** Runs a server by TCP and a client that has attached as fid 0, and ends both. The server must have met no bug, and closed all that it started. */
export async function serving(config: Pick<ServerConfig, 'namespace'> & Partial<ServerConfig>, run: (server: Server, raw: Raw, log: Kept) => Promise<void>): Promise<void> {
  const log = new Kept(), server = await serve({ listen: ['tcp://127.0.0.1:0'], log, ...config })
  const raw = await Raw.versioned(server.urls[0]!)
  try {
    await raw.attach(0)
    await run(server, raw, log)
    await raw.end()
    assert.equal(log.bugs, [])
  } finally {
    raw.socket.destroy()
    await server.stop()
  }
  assert.is(server.mounts.instances.count, 0, 'all were closed')
}

/** A running server: the stack at '/', memory at '/other', one of 256 KiB at '/full'; '/ro' is attached read-only. */
export class Stand {
  readonly log = new Kept()
  readonly control = new Control()
  server!: Server
  /** Whether files have attributes of users, and owners that can be told apart. */
  xattrs = true
  readonly owners = process.getuid!() === 0
  tcp!: string
  unix!: string
  #folders: string[] = []
  private constructor(readonly stack: Stack) {}

  static async start(stack: Stack, config: Partial<ServerConfig> = {}): Promise<Stand> {
    const stand = new Stand(stack)
    const { root, folder } = await stack.make(stand.control)
    const run = mkdtempSync(join(tmpdir(), 'ninefold-run-'))
    stand.#folders = [run, ...folder ? [folder] : []]
    stand.server = await serve({
      listen: ['tcp://127.0.0.1:0', `unix:${run}/socket`], log: stand.log,
      namespace: new Map([['/', root], ['/other', await brick('/other')], ['/full', await brick('/full', { size: 256 * 1024 })]]),
      attach: new Map([['/', attachRules()], ['/ro', attachRules({ 'read-only': true })]]),
      ...config,
    })
    ;[stand.tcp, stand.unix] = stand.server.urls as [string, string]
    const raw = await Raw.versioned(stand.unix)
    await raw.attach(0)
    await raw.ok('Tsetattr', { fid: 0, valid: 1, mode: 0o777, uid: 0, gid: 0, size: 0, atime: { sec: 0, nsec: 0 }, mtime: { sec: 0, nsec: 0 } })
    await raw.mkdir(0, 'ro')
    await raw.walk(0, 1)
    await raw.ok('Txattrcreate', { fid: 1, name: 'user.probe', attrSize: 1, flags: 0 })
    await raw.write(1, 'x')
    stand.xattrs = await raw.outcome('Tclunk', { fid: 1 }) === 'ok'
    await raw.end()
    return stand
  }
  async stop(): Promise<void> {
    await this.server.stop()
    for (const folder of this.#folders) rmSync(folder, { recursive: true, force: true })
  }
}

/** What a case gets: a connection with fid 0 attached to an empty directory of its own, mode 0777. */
export class Bench {
  raw!: Raw
  #all: (Raw | Plan9)[] = []
  /** Open below the server before the case began: what an earlier one left is its own failure. */
  readonly #nodes: number
  readonly #handles: number
  private constructor(readonly stand: Stand, readonly url: string, readonly aname: string) {
    this.#nodes = stand.control.nodes
    this.#handles = stand.control.handles
  }

  static async set(stand: Stand, url: string, name: string): Promise<Bench> {
    const bench = new Bench(stand, url, name)
    const raw = await Raw.versioned(url)
    await raw.attach(0)
    await raw.mkdir(0, name, 0o777)
    await raw.walk(0, 1, name)
    await raw.ok('Tsetattr', { fid: 1, valid: 1, mode: 0o777, uid: 0, gid: 0, size: 0, atime: { sec: 0, nsec: 0 }, mtime: { sec: 0, nsec: 0 } })
    await raw.end()
    bench.raw = await bench.client()
    return bench
  }
  /** One more connection, not a word said. */
  async connect(): Promise<Raw> {
    const raw = await Raw.connect(this.url)
    this.#all.push(raw)
    return raw
  }
  /** One that is to speak an older dialect. */
  async old(dialect: Old): Promise<Plan9> {
    const client = await Plan9.connect(this.url, dialect)
    this.#all.push(client)
    return client
  }
  /** One more connection, attached to the same directory. */
  async client(msize = 65536, nUname = process.getuid!()): Promise<Raw> {
    const raw = await this.connect()
    await raw.version(msize)
    await raw.attach(0, this.aname, nUname)
    return raw
  }
  async end(): Promise<void> {
    const { stand } = this
    const wrong: string[] = []
    for (const raw of this.#all) await raw.end().catch((e: Error) => { wrong.push(e.message) })
    for (let tries = 0; stand.server.connections > 0 && tries < 200; tries++) await new Promise((resolve) => setTimeout(resolve, 2))
    if (stand.server.connections > 0) wrong.push(`${stand.server.connections} connections are still open on the server`)
    if (stand.stack === onSlow) await stand.control.idle(this.#nodes, this.#handles).catch((e: Error) => { wrong.push(e.message) })
    wrong.push(...new Set(stand.control.violations.splice(0)))
    wrong.push(...stand.log.bugs.splice(0).map(({ fields }) => `the server met a bug: ${fields.message}: ${fields.err?.stack}`))
    if (wrong.length > 0) throw new Error(wrong.join('\n'))
  }
}

/** A case of the checklist, or beside it. number: of the conformance point. */
export interface Case { readonly number: number; readonly title: string; readonly run: (bench: Bench) => Promise<void> }
/** A case in one line less. */
export function c(number: number, title: string, run: (bench: Bench) => Promise<void>): Case { return { number, title, run } }
