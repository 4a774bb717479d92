// The command line. Verbs are 9P clients, save serve. Status: 0 done, 1 failed, 2 not understood.

import { readFileSync } from 'node:fs'
import { nameOfBytes } from 'ninep'
import yargs from 'yargs'
import { completeLine, verbs } from './verbs.ts'
import { Failure, Misuse, reason } from './failure.ts'

const version = (): string => (JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as { version: string }).version

/** Runs a command line (without node and the script) and sets the status. */
export async function main(argv: readonly string[]): Promise<void> {
  process.stdout.on('error', (e: NodeJS.ErrnoException) => { if (e.code === 'EPIPE') process.exit(141); else throw e })   // as what SIGPIPE kills
  const words = exact(argv)
  const cli = verbs(yargs(shield(words)))
    .middleware(unshield, true)
    .scriptName('ninefold')
    .usage('ninefold VERB ...\n\nA 9P file server whose namespace is assembled from stacked translators, and a client for it.')
    .command('version', 'tell the version', (y) => y.example('ninefold version', ''), () => { console.log(version()) })
    .completion('completion', 'print the completion script for bash or zsh', completeLine)
    .version(version()).alias('h', 'help')
    .epilogue('A PATH lies on the server that --server names, else $NINEFOLD_SERVER, else unix:./run/ninefold.sock.')
    .parserConfiguration({
      'boolean-negation': false, 'camel-case-expansion': false, 'dot-notation': false, 'parse-numbers': false, 'parse-positional-numbers': false,
    })
    .locale('en').wrap(Math.min(110, process.stdout.columns ?? 110))
    .demandCommand(1, 'a verb is missing').strict().exitProcess(false)
    .fail((message, error: Error | undefined) => { throw error && error.name !== 'YError' ? error : new Misuse(message || error!.message) })
  try {
    await cli.parseAsync()
  } catch (e) {
    process.exitCode = tell(words.find((word) => !word.startsWith('-')), e)
  }
}

/** Writes what went wrong to standard error and returns the status. */
function tell(verb: string | undefined, error: unknown): number {
  const name = verb === undefined ? 'ninefold' : `ninefold: ${verb}`
  if (error instanceof Misuse) {
    const text = reason(error)
    process.stderr.write(`${name}: ${text}${/[.?!]$/.test(text) ? '' : '.'} See: ${name.replace(':', '')} --help\n`)
    return 2
  }
  const text = error instanceof Failure || typeof (error as { code?: unknown } | null)?.code === 'string' ? reason(error) : (error as Error | null)?.stack ?? String(error)
  for (const line of text.split('\n')) process.stderr.write(`${name}: ${line}\n`)
  return 1
}

// yargs takes a lone - for an option without a name, and loses the positionals behind a --. A NUL, which no word can hold,
// before such words keeps them whole until it is done.
function shield(words: readonly string[]): string[] {
  const end = words.indexOf('--')
  const before = end < 0 ? words : words.slice(0, end), after = end < 0 ? [] : words.slice(end + 1)
  return [...before.map((word) => word === '-' ? '\0-' : word), ...after.map((word) => `\0${word}`)]
}
function unshield(args: Record<string, unknown>): void {
  const bare = (value: unknown): unknown => Array.isArray(value) ? value.map(bare) : typeof value === 'string' && value.startsWith('\0') ? value.slice(1) : value
  for (const [key, value] of Object.entries(args)) args[key] = bare(value)
}

/**
 * The words as they were typed: node decodes them as UTF-8 and loses the bytes that are not, so where that shows they
 * are read again from the kernel, as names (ninep). Elsewhere than on Linux such names can't be typed.
 */
function exact(argv: readonly string[]): readonly string[] {
  if (!argv.some((word) => word.includes('\ufffd'))) return argv
  try {
    const bytes = readFileSync('/proc/self/cmdline')
    const words: string[] = []
    for (let at = 0; at < bytes.length;) {
      const end = bytes.indexOf(0, at)
      words.push(nameOfBytes(bytes, at, end))
      at = end + 1
    }
    return words.slice(words.length - argv.length)
  } catch {
    return argv
  }
}
