// The promises, over encryption.

import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { crypt } from '../translators/crypt/crypt.ts'
import { crash, fault } from '../translators/fault/fault.ts'
import { memory } from '../translators/memory/memory.ts'
import { posix } from '../translators/posix/posix.ts'
import { snapshot } from '../translators/snapshot/snapshot.ts'
import type { Translator } from '../translators/translator.ts'
import { conform } from './conform/conform.ts'
import { key } from './crypt.ts'

const base = mkdtempSync('/dev/shm/ninefold-crypt-'), root = process.geteuid?.() === 0
process.on('exit', () => { rmSync(base, { recursive: true, force: true }) })
const paths = new WeakMap<Translator, string>()
const owner = root ? 'host' : 'mapped'
async function start(path: string): Promise<Translator> {
  const translator = await crypt(key, await posix({ path, owner, devices: true }))
  paths.set(translator, path)
  return translator
}

conform('crypt | memory', async () => crypt(key, await memory({})), { lacks: ['xattr-64k'] })
conform('crypt | posix', () => start(mkdtempSync(join(base, 'd-'))), { lacks: ['own-space', 'xattr-64k'], crash: (translator) => start(paths.get(translator)!) })
// Power loss, of all that was not synced.
const below = new WeakMap<Translator, Translator>()
async function dropping(child: Translator): Promise<Translator> {
  const translator = await crypt(key, child)
  below.set(translator, child)
  return translator
}
conform('crypt | fault that drops what was not synced', async () => dropping(await fault({ 'drop-unsynced': true }, await memory({}))), {
  lacks: ['own-space', 'xattr-64k'], quick: true,
  async crash(translator) {
    const child = below.get(translator)!
    await crash(child)
    return dropping(child)
  },
})

// The two ways to have both: blobs sealed below a tree, and a tree's files sealed above it.
const state = () => mkdtempSync(join(base, 's-'))
conform('snapshot | crypt | memory', async () => snapshot({ state: state() }, await crypt(key, await memory({}))), { quick: true })
conform('crypt | snapshot | memory', async () => crypt(key, await snapshot({ state: state() }, await memory({}))), { lacks: ['xattr-64k'], quick: true })
