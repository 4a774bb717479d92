// The server that is killed: serve.js URL FOLDER. It says that it is there by a line.

import { join } from 'node:path'
import { serve } from '../../server/server.ts'
import { parseStack } from '../../server/stack.ts'

const [url, dir] = process.argv.slice(2) as [string, string]
await serve({ listen: [url], state: join(dir, 'state'), namespace: new Map([['/', parseStack(`snapshot uid=0 gid=0 mode=493 segment=64KiB | posix ${join(dir, 'data')}`)]]) })
console.log('ready')
