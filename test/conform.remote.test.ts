// The promises, over a connection to our own server.

import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { memory } from '../translators/memory/memory.ts'
import { posix } from '../translators/posix/posix.ts'
import { remote } from '../translators/remote/remote.ts'
import type { Translator } from '../translators/translator.ts'
import { serve } from '../server/server.ts'
import { conform, conformBlobs } from './conform/conform.ts'

const folder = mkdtempSync('/dev/shm/ninefold-remote-'), root = process.geteuid?.() === 0
process.on('exit', () => { rmSync(folder, { recursive: true, force: true }) })
let count = 0

/** A remote of a server of its own, that ends with it. */
async function over(brick: Translator, more: object = {}): Promise<Translator> {
  const server = await serve({ listen: [`unix:${join(folder, `${count++}.sock`)}`], namespace: new Map([['/', brick]]) })
  return closing(await to(server.urls[0]!, more), () => server.stop())
}
/** Where a remote is attached. */
const urls = new WeakMap<Translator, string>()
async function to(url: string, more: object = {}): Promise<Translator> {
  const translator = await remote({ url, timeout: 20, ...more })
  urls.set(translator, url)
  return translator
}
/** The same, which ends its peer too. */
function closing(translator: Translator, end: () => Promise<void>): Translator {
  const close = translator.close.bind(translator)
  return Object.assign(translator, { close: async () => { try { await close() } finally { await end() } } })
}

conform('remote to memory', async () => over(await memory({ size: 2 ** 28 })))
conform('remote to memory by 3 connections', async () => over(await memory({ size: 2 ** 28 }), { connections: 3 }), { quick: true })
conform('remote to posix', async () => over(await posix({ path: mkdtempSync(join(folder, 'd-')), owner: root ? 'host' : 'none', devices: root })),
  { lacks: ['own-space', ...root ? [] : ['owner', 'device', 'fifo-acl', 'any-mode'] as const], quick: true })

// Its own face of blobs. The crash is one of this side: the server goes on, and ends with the next.
conformBlobs('remote to posix', async () => over(await posix({ path: mkdtempSync(join(folder, 'b-')), owner: root ? 'host' : 'none' }), { connections: 2 }), { crash: async (old) => closing(await to(urls.get(old)!), async () => old.close()) })
