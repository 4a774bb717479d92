// A server of one's own, with that translator:
//
//   npm run build && node dist/examples/hide/serve.js ./export

import { serve } from 'ninefold/server'
import { posix } from 'ninefold/translators/posix/posix'
import { hide } from './hide.ts'

const [directory = '.', url = 'unix:./run/hide.sock'] = process.argv.slice(2)
const stack = await hide({ prefix: '.' }, await posix({ path: directory }))
const server = await serve({ listen: [url], namespace: new Map([['/', stack]]) })
console.log(`${directory}, without its hidden files, on ${server.urls.join(' ')}`)
process.once('SIGINT', () => void server.stop())
process.once('SIGTERM', () => void server.stop())
