// @ts-check
// A server of one's own, with that translator: node serve.js ./export unix:./hide.sock
import { serve } from 'ninefold/server'
import { posix } from 'ninefold/translators/posix/posix'
import { hide } from './hide.js'

const [directory = '.', url = 'unix:./hide.sock'] = process.argv.slice(2)
const server = await serve({ listen: [url], namespace: new Map([['/', await hide({}, await posix({ path: directory }))]]) })
console.log(`${directory}, without its hidden files, on ${server.urls.join(' ')}`)
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void server.stop())
