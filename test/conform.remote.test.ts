// The promises, over a connection: to our own server, and to diod as far as that can keep them.

import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { memory } from '../translators/memory/memory.ts'
import { posix } from '../translators/posix/posix.ts'
import { remote } from '../translators/remote/remote.ts'
import type { Translator } from '../translators/translator.ts'
import { serve } from '../server/server.ts'
import { conform } from './conform/conform.ts'

const folder = mkdtempSync('/dev/shm/ninefold-remote-'), root = process.geteuid?.() === 0
process.on('exit', () => { rmSync(folder, { recursive: true, force: true }) })
let count = 0

/** A remote of a server of its own, that ends with it. */
async function over(brick: Translator, more: object = {}): Promise<Translator> {
  const server = await serve({ listen: [`unix:${join(folder, `${count++}.sock`)}`], namespace: new Map([['/', brick]]) })
  const translator = await remote({ url: server.urls[0]!, timeout: 20, ...more })
  const close = translator.close.bind(translator)
  translator.close = async () => {
    await close()
    await server.stop()
  }
  return translator
}

conform('remote to memory', async () => over(await memory({ size: 2 ** 28 })))
conform('remote to memory by 3 connections', async () => over(await memory({ size: 2 ** 28 }), { connections: 3 }), { quick: true })
conform('remote to posix', async () => over(await posix({ path: mkdtempSync(join(folder, 'd-')), owner: root ? 'host' : 'none', devices: root })),
  { lacks: ['own-space', ...root ? [] : ['owner', 'device', 'fifo-acl', 'any-mode'] as const], quick: true })
