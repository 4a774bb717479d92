import { memory } from '../translators/memory/memory.ts'
import { conform } from './conform/conform.ts'

conform('memory', () => memory({}))
