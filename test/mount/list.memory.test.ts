import { list } from './list.ts'

list('memory', 'memory size=2GiB')
