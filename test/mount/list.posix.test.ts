import { list } from './list.ts'

list('posix', 'posix ./export devices=on host-caps=on')
