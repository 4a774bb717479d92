// Many clients in one process, who come in and then say nothing: node dist/test/crowd.js URL COUNT
// Prints `in N` when each of them is attached or was turned away (N were let in). At a line of its standard input each begins
// a message of a mebibyte, and it prints `said`; at the end of that it ends.

import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { NOFID, NOTAG } from 'ninep'
import { frame } from './wire/raw.ts'

const [url, many] = process.argv.slice(2) as [string, string]
const hello = Buffer.concat([
  frame('Tversion', NOTAG, { msize: 1048600, version: '9P2000.L' }),
  frame('Tattach', 0, { fid: 0, afid: NOFID, uname: '', aname: '', nUname: process.getuid!() }),
])
const half = frame('Twrite', 1, { fid: 0, offset: 0, data: Buffer.alloc(1 << 20) }).subarray(0, 1000)
/** Rversion and Rattach. */
const REPLIES = 21 + 20
/** At most so many on their way at a time: a backlog is finite, and what it has no room for waits a second. */
const AT_ONCE = 500

const sockets: Socket[] = []
let refused = 0, wrong = ''
function one(): Promise<void> {
  return new Promise((resolve) => {
    let have = 0
    const socket = url.startsWith('unix:') ? connect(url.slice(5)) : connect({ host: '127.0.0.1', port: Number(url.slice(url.lastIndexOf(':') + 1)) })
    sockets.push(socket)
    socket.on('connect', () => { socket.write(hello) })
    socket.on('data', (chunk: Buffer) => { if ((have += chunk.length) === REPLIES) resolve() })
    socket.on('error', (e) => { wrong ||= e.message })
    socket.on('close', () => { refused++; resolve() })
  })
}

let left = Number(many)
await Promise.all(Array.from({ length: AT_ONCE }, async () => { while (left-- > 0) await one() }))
console.log(`in ${sockets.length - refused}${wrong && ` ${wrong}`}`)
process.stdin.on('data', () => {
  for (const socket of sockets) socket.write(half)
  console.log('said')
}).on('end', () => process.exit(0))
