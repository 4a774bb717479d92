// The servers that are compared: ours with a stack, others', and one that only answers.

import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { diod, freePort, ganesha, start } from '../foreign.ts'
import type { Foreign } from '../foreign.ts'
import { root } from '../guest/build.ts'

/** name: in tables. suite: what it is asked, if that is not the one of all. */
export interface Contender {
  readonly name: string
  readonly suite?: string
  start(dir: string, before: readonly string[]): Promise<Foreign>
}

/** Ours. stack: of a directory. at: the checkout that it runs from. */
export function ours(name: string, stack: (dir: string) => string, at = root): Contender {
  return {
    name,
    async start(dir, before) {
      const folder = mkdtempSync(join(tmpdir(), 'ninefold-bench-')), port = await freePort()
      const words = [...before, process.execPath, join(at, 'bin/ninefold'), 'serve', '--at', `/=${stack(dir)}`, '--listen', `tcp://127.0.0.1:${port}`, '--state', join(folder, 'state'), '--log', 'error']
      return { ...await start(folder, dir, port, words), aname: '' }
    },
  }
}

const responder: Contender = {
  name: 'responder', suite: 'ceiling',
  async start(dir, before) {
    const folder = mkdtempSync(join(tmpdir(), 'ninefold-bench-')), port = await freePort(), program = join(folder, 'responder')
    execFileSync('gcc', ['-O2', '-o', program, join(root, 'test/bench/responder.c')])
    return start(folder, dir, port, [...before, program, String(port)])
  },
}

export const posix = ours('posix', (dir) => `posix ${dir}`)
/** Its blobs lie in a folder of their own. */
export const snapshot = ours('snapshot', (dir) => { const blobs = join(dir, '.blobs'); mkdirSync(blobs, { recursive: true }); return `snapshot | posix ${blobs}` })
export const others: readonly Contender[] = [{ name: 'diod', start: (dir, before) => diod({ dir, before }) }, { name: 'nfs-ganesha', start: (dir, before) => ganesha({ dir, before }) }]
export const inMemory: readonly Contender[] = [ours('memory', () => 'memory'), responder]
