// The server under test: the program itself, in a folder of its own.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { root } from './build.ts'
import { own, within } from './guest.ts'

export interface Served extends AsyncDisposable { readonly pid: number }

/** Runs `ninefold ...args` in `cwd` until it says where it is mounted; what it says is kept in server.log there. Disposing of it
 *  ends it by SIGTERM, and throws if it does not end well. */
export async function serve(cwd: string, args: readonly string[]): Promise<Served> {
  const program = ['--enable-source-maps', join(root, 'bin/ninefold')]
  const child = own(spawn(process.execPath, [...program, ...args], { cwd, stdio: ['ignore', 'pipe', 'pipe'] }))
  const log = createWriteStream(join(cwd, 'server.log'))
  let words = ''
  const gone = once(child, 'exit')
  const up = new Promise<void>((done) => {
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.pipe(log)
      stream.on('data', (bytes) => { words += bytes; if (/^mount -t 9p /m.test(words)) done() })
    }
  })
  const ended = gone.then(([code, signal]) => { throw new Error(`the server ended with ${signal ?? code}: ${words.trim()}`) })
  await within(20, Promise.race([up, ended]), () => new Error(`the server said nothing of a mount within 20 s: ${words.trim()}`))
  ended.catch(() => {})
  return {
    pid: child.pid!,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      const [code, signal] = await within(10, gone, () => { child.kill('SIGKILL'); return new Error('the server did not end within 10 s of SIGTERM') })
      if (code !== 0) throw new Error(`the server ended with ${signal ?? code}: ${words.trim().split('\n').slice(-5).join('\n')}`)
    },
  }
}
