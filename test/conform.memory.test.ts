import { memory } from '../translators/memory/memory.ts'
import { rot13 } from '../translators/rot13/rot13.ts'
import { conform, conformBlobs } from './conform/conform.ts'

conform('memory', () => memory({}))
conformBlobs('memory', () => memory({}))
conformBlobs('files of memory', async () => rot13({}, await memory({})))   // a layer that has no flat face of its own
