import { crash, fault } from '../translators/fault/fault.ts'
import { memory } from '../translators/memory/memory.ts'
import { conform } from './conform/conform.ts'

conform('fault', async () => fault({}, await memory({})))
conform('fault that drops what was not synced', async () => fault({ 'drop-unsynced': true }, await memory({})), {
  lacks: ['own-space'],                                   // what is unlinked takes space until that is synced
  crash: async (layer) => { await crash(layer); return layer },
})
