// ninefold serve: a config, started; what is mounted where, said; and its end.

import { mkdirSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { errno } from 'ninep'
import { BadOption } from '../../translators/options.ts'
import { BadConfig, checkListen, checkMetrics, checkPath, parseConfig } from '../config.ts'
import type { Config } from '../config.ts'
import { told } from '../control/verbs.ts'
import type { Reloaded } from '../control/verbs.ts'
import { parseListen } from '../listen.ts'
import { NotStarted } from '../mounts.ts'
import { mayListen, serve as start } from '../server.ts'
import type { Server } from '../server.ts'
import { Outside } from '../outside.ts'
import { formatStack } from '../stack.ts'
import type { Stack } from '../stack.ts'
import { Totals } from '../totals.ts'
import { typed } from '../typed.ts'
import { failure, Failure, Misuse } from './failure.ts'
import { makeLog } from './log.ts'

export interface ServeOptions {
  readonly file?: string
  readonly at: readonly string[]
  readonly listen: readonly string[]
  readonly state?: string
  readonly metrics?: string
  readonly level: string
}

/** Serves until a signal ends it. Throws Failure or Misuse where nothing was started, or it did not end well. */
export async function serve(options: ServeOptions): Promise<void> {
  const config = await gather(options)
  const log = makeLog(options.level)
  if (config.state !== undefined) {
    try { mkdirSync(config.state, { recursive: true, mode: 0o700 }) } catch (e) { throw failure(config.state, e) }
  }

  let server: Server
  const reload = reloading(options, config, () => server), meters = new Totals()
  server = await start({ ...config, log, meters, reload }).catch((e: unknown) => { throw e instanceof NotStarted ? failure(e.path, e.cause) : new Failure((e as Error).message, { cause: e }) })
  const metrics = config.metrics === undefined ? undefined : await (await import('../metrics.ts')).serveMetrics(config.metrics, server, meters).catch(async (e: unknown) => {
    await server.stop()
    throw new Failure((e as Error).message)
  })
  const ends = options.file === undefined ? ['SIGTERM', 'SIGINT', 'SIGHUP'] as const : ['SIGTERM', 'SIGINT'] as const
  const ended = new Promise<string>((done) => { for (const name of ends) process.once(name, done) })
  if (options.file !== undefined) process.on('SIGHUP', () => { reload(undefined).then((done) => log.info(done, 'the config was read again'), (e: unknown) => log.error({ why: told(e).sentence }, 'the config was not taken over: nothing has changed')) })
  process.stdout.write(`${tree(config.namespace)}\n\n${mountLines(server.urls)}\n${metrics ? `\nmetrics: ${metrics.url}\n` : ''}`)

  const signal = await ended
  log.info({ signal }, 'stopping: finishing what was accepted; a second signal stops now')
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => { server.stopNow(); log.warn({}, 'stopped now'); process.exit(1) })
  metrics?.close()
  await server.stop()
  log.info({}, 'stopped')
  process.exit(0)                                         // a child that hangs must not keep it
}

/** What differs from these only counts when the server is started again. */
const fixed = ['listen', 'state', 'metrics'] as const

/** Has a server take over what its config, or another one from then on, says now. One after the other. */
function reloading(options: ServeOptions, config: Config, server: () => Server): (file: string | undefined) => Promise<Reloaded> {
  let now = options, turn: Promise<unknown> = Promise.resolve()
  const reload = async (file: string | undefined): Promise<Reloaded> => {
    const next = file === undefined ? now : { ...now, file }
    if (next.file === undefined) throw errno('EINVAL', 'the server was started without a config. Name one')
    const read = await gather(next), done = await server().apply(read)
    now = next
    const result = { ...done, file: next.file, restart: fixed.filter((key) => !isDeepStrictEqual(read[key], config[key])) }
    server().events.emit('reloaded', () => result)
    return result
  }
  return (file) => {
    const mine = turn.then(() => reload(file))
    turn = mine.catch(() => {})
    return mine
  }
}

/** File and flags as one config: a flag --at replaces what the file has at its path, --listen all its addresses. */
async function gather({ file, at, listen, state, metrics }: ServeOptions): Promise<Config> {
  let config: Config = { listen: [], namespace: new Map(), attach: new Map(), limits: {}, passive: {}, translators: [] }
  if (file !== undefined) {
    let text: string
    try { text = readFileSync(file, 'utf8') } catch (e) { throw failure(file, e) }
    try { config = await new Outside().reading((outside) => parseConfig(text, file, outside)) } catch (e) { throw e instanceof BadConfig ? new Failure(e.message) : e }
  }
  const namespace = new Map(config.namespace)
  for (const given of at) await flag('--at', given, async () => {
    const cut = given.indexOf('=')
    if (cut < 1) throw new BadOption('is not PATH=STACK, like /scratch=memory')
    const path = checkPath(given.slice(0, cut)), line = given.slice(cut + 1)
    namespace.set(path, await typed(line, config.translators))
  })
  if (metrics !== undefined) await flag('--metrics', metrics, () => checkMetrics(metrics))
  for (const url of listen) await flag('--listen', url, () => checkListen(url))
  if (namespace.size === 0) throw new Misuse('nothing to serve. Name a config or a mount: ninefold serve --at /=memory')
  const urls = listen.length > 0 ? listen : config.listen.length > 0 ? config.listen : ['unix:./run/ninefold.sock']
  for (const url of urls) {
    try { mayListen(url, config.attach) } catch (e) { throw new Failure(`${listen.length > 0 || file === undefined ? '' : `${file}: listen: `}${(e as Error).message}`) }
  }
  return { ...config, namespace, listen: urls, ...(state === undefined ? {} : { state }), ...(metrics === undefined ? {} : { metrics }) }
}
async function flag(name: string, given: string, read: () => unknown): Promise<void> {
  try { await read() } catch (e) { throw e instanceof BadOption ? new Misuse(`${name} ${e.message.startsWith(`${given}: `) ? '' : `${given}: `}${e.message}`) : e }
}

/** What is mounted where, a line each: names as a tree, stacks in a column. */
export function tree(namespace: ReadonlyMap<string, Stack>): string {
  const lines: { left: string; stack: string }[] = []
  const paths = [...namespace.keys()]
  const draw = (path: string, head: string, tail: string, name: string) => {
    const stack = namespace.get(path)
    lines.push({ left: head + name, stack: stack ? formatStack(stack) : '' })
    const below = path === '/' ? '/' : `${path}/`
    const names = [...new Set(paths.filter((other) => other !== path && other.startsWith(below)).map((other) => other.slice(below.length).split('/')[0]!))].sort()
    for (const [i, name] of names.entries()) {
      const last = i === names.length - 1
      draw(below + name, `${tail}${last ? '└─ ' : '├─ '}`, `${tail}${last ? '   ' : '│  '}`, name)
    }
  }
  draw('/', '', '', '/')
  const width = Math.max(...lines.map(({ left }) => left.length))
  return lines.map(({ left, stack }) => `${left.padEnd(width)}  ${stack}`.trimEnd()).join('\n')
}
/** A line to paste for each address, as root of the machine that mounts. */
function mountLines(urls: readonly string[]): string {
  const common = 'version=9p2000.L,access=client,msize=1048576'
  return urls.map((url) => {
    const address = parseListen(url)
    if (address.kind === 'tcp') return `mount -t 9p -o trans=tcp,port=${address.port},${common} ${address.host} /mnt`
    if (address.kind === 'unix') return `mount -t 9p -o trans=unix,${common} ${resolve(address.path)} /mnt`
    return `# on ${url}`
  }).join('\n')
}
