// What the server has counted, as Prometheus reads it: text over HTTP, made when it is asked for.

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { isIP } from 'node:net'
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client'
import { bounds } from '../translators/meter.ts'
import { parseListen } from './listen.ts'
import type { Totals } from './totals.ts'

/** What of a server is told beside its meters. */
export interface Figures { readonly connections: number; readonly fids: number; readonly requests: number; readonly held: number; readonly mounts: { list(): readonly unknown[] } }

/** Every second bound of the meters: 1 us, times 4, to 17 s. */
const every = 2, upper = bounds.filter((bound, i) => i % every === 0 && bound < Infinity)

const labels = ['path', 'translator', 'op'] as const

/** Own times: prom-client's histogram would have to observe each call, and the meters have counted already. */
class OwnTimes extends Histogram<typeof labels[number] | 'le'> {
  constructor(register: Registry, private readonly totals: Totals) {
    super({ name: 'ninefold_own_seconds', help: 'Time of calls that was the translator\'s own and not its children\'s: of those calls that were timed.', labelNames: [...labels], buckets: [...upper], registers: [register] })
  }
  /** What the registry asks for its text; not in its types. */
  getForPromString(): ReturnType<Histogram<string>['get']> { return this.get() }
  override async get(): ReturnType<Histogram<string>['get']> {
    const { name, help } = this as unknown as { name: string; help: string }, values: Awaited<ReturnType<Histogram<string>['get']>>['values'] = []
    for (const { path, translator, sums } of this.totals.pairs()) {
      for (const [op, { timed, own, buckets }] of sums) {
        if (timed === 0) continue
        const of = { path, translator, op }
        let below = 0, at = 0
        for (const [i, le] of upper.entries()) {
          for (; at <= i * every; at++) below += buckets[at]!
          values.push({ metricName: `${name}_bucket`, labels: { ...of, le }, value: below })
        }
        values.push({ metricName: `${name}_bucket`, labels: { ...of, le: '+Inf' }, value: timed }, { metricName: `${name}_sum`, labels: of, value: own }, { metricName: `${name}_count`, labels: of, value: timed })
      }
    }
    return { name, help, type: 'histogram', values, aggregator: 'sum' } as unknown as ReturnType<Histogram<string>['get']>
  }
}

/** The metrics of a server. */
export function registryOf(server: Figures, totals: Totals): Registry {
  const register = new Registry(), registers = [register]
  for (const [key, what] of [['calls', 'Calls to translators.'], ['errors', 'Calls that were refused or failed.'], ['bytes', 'Bytes that were read and written.']] as const) {
    new Counter({
      name: `ninefold_${key}_total`, help: what, labelNames: labels, registers,
      collect() {
        this.reset()
        for (const { path, translator, sums } of totals.pairs()) for (const [op, sum] of sums) if (key === 'calls' || sum[key] > 0) this.inc({ path, translator, op }, sum[key])
      },
    })
  }
  new OwnTimes(register, totals)
  new Gauge({
    name: 'ninefold_pending_calls', help: 'Calls that have not come back.', labelNames: ['path', 'translator'], registers,
    collect() {
      this.reset()
      for (const { path, translator, pending } of totals.pairs()) this.inc({ path, translator }, pending)
    },
  })
  const gauge = (name: string, help: string, get: () => number) => new Gauge({ name: `ninefold_${name}`, help, registers, collect() { this.set(get()) } })
  gauge('connections', 'Connections that are open.', () => server.connections)
  gauge('fids', 'Fids of all connections.', () => server.fids)
  gauge('requests_in_flight', 'Requests that translators are at work on.', () => server.requests)
  gauge('held_bytes', 'Memory of requests, unsent replies, and messages that are not whole.', () => server.held)
  gauge('mounts', 'Translators in the tree, and those that leave it.', () => server.mounts.list().length)
  collectDefaultMetrics({ register })
  return register
}

/** Answers GET /metrics at an address that checkMetrics took. Throws an Error that names it. url: http://..., with the port that port 0 became. */
export async function serveMetrics(url: string, server: Figures, totals: Totals): Promise<{ readonly url: string; close(): void }> {
  const { host, port } = parseListen(url) as { host: string; port: number }
  const register = registryOf(server, totals)
  const http = createServer({ headersTimeout: 5000, requestTimeout: 5000, keepAliveTimeout: 60_000, maxHeaderSize: 8192 }, (request, response) => {
    request.resume()
    const get = request.method === 'GET' || request.method === 'HEAD', found = request.url?.split('?')[0] === '/metrics'
    if (!get || !found) {
      response.writeHead(found ? 405 : 404, found ? { allow: 'GET, HEAD' } : {}).end()
      return
    }
    register.metrics().then((text) => response.writeHead(200, { 'content-type': register.contentType }).end(text), (e: unknown) => response.writeHead(500).end(String(e)))
  })
  http.maxConnections = 16
  await new Promise<void>((resolve, reject) => {
    http.once('error', (e) => reject(new Error(`metrics: ${url}: ${e.message}`, { cause: e })))
    http.listen({ host, port }, resolve)
  })
  http.on('error', () => {})
  const bound = (http.address() as AddressInfo).port
  return {
    url: `http://${isIP(host) === 6 ? `[${host}]` : host}:${bound}/metrics`,
    close() {
      http.close()
      http.closeAllConnections()
    },
  }
}
