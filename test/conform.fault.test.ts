// A layer that fails on purpose does not fail where it was not told to; and what it does to those above and below is what
// they may expect of the world: short reads, calls that overtake each other, a crash that loses what was not synced.

import { crash, fault } from '../translators/fault/fault.ts'
import { memory } from '../translators/memory/memory.ts'
import { rot13 } from '../translators/rot13/rot13.ts'
import type { Translator } from '../translators/translator.ts'
import { conform, conformBlobs } from './conform/conform.ts'

const dropping = async () => fault({ 'drop-unsynced': true }, await memory({}))
const crashing = async (layer: Translator) => { await crash(layer); return layer }

conform('fault', async () => fault({}, await memory({})))
conform('fault that drops what was not synced', dropping, {
  lacks: ['own-space'],                                   // what is unlinked takes space until that is synced
  crash: crashing,
})
conform('fault with short reads', async () => fault({ 'short-read-rate': 0.3 }, await memory({})), { quick: true })
conform('fault with calls that overtake each other', async () => fault({ delay: 0.001, 'delay-rate': 0.02 }, await memory({})), { quick: true })
conformBlobs('fault that drops what was not synced', dropping, { crash: crashing })

const below = new WeakMap<Translator, Translator>()
async function files(): Promise<Translator> {
  const child = await dropping(), layer = await rot13({}, child)
  below.set(layer, child)
  return layer
}
conformBlobs('files of fault that drops what was not synced', files, {
  async crash(layer) {                                    // a face made of files begins anew with its translator
    const child = below.get(layer)!
    await crash(child)
    return rot13({}, child)
  },
})
