// The C programs of the guest, built where they are used: static, so that they run anywhere this kernel does.

import { execFile } from 'node:child_process'
import { mkdir, readdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
/** The repository; this file runs from dist/test/guest. */
export const root = resolve(fileURLToPath(import.meta.url), '../../../..')
const sources = join(root, 'test/guest')

/** Builds one program into `dir`, and gives its path. Warnings are errors. */
async function build(dir: string, name: string, files: readonly string[]): Promise<string> {
  await mkdir(dir, { recursive: true })
  const to = join(dir, name)
  await run('gcc', ['-std=gnu99', '-O2', '-static', '-Wall', '-Wextra', '-Werror', '-o', to, ...files])
  return to
}

/** The guest's first process, and how fast the clock of its machine goes. */
export async function agent(dir: string): Promise<{ agent: string; counterKHz: number }> {
  const agent = await build(dir, 'agent', [join(sources, 'agent.c')])
  return { agent, counterKHz: Number((await run(agent)).stdout) }
}

/** The POSIX checker. */
export async function checker(dir: string): Promise<string> {
  const files = (await readdir(join(sources, 'checker'))).filter((file) => file.endsWith('.c')).sort()
  return build(dir, 'checker', files.map((file) => join(sources, 'checker', file)))
}

/** What the checker is told to expect of a 9P mount. */
export const expected = join(sources, 'checker/expected.txt')

/** One line of the checker. */
export interface Checked { readonly name: string; readonly how: 'ok' | 'not ok' | 'expected' | 'skip'; readonly why: string }

/** The checker's lines. A name ends at the colon behind its first ": ", or with the line. */
export function checked(out: string): Checked[] {
  return [...out.matchAll(/^(ok|not ok|expected|skip) ([^:\n]+: [^\n]*?)(?:: ([^\n]*))?$/gm)]
    .map(([, how, name, why = '']) => ({ how: how as Checked['how'], name: name!, why }))
}
