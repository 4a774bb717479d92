// The command line. Verbs are 9P clients, save serve. Status: 0 done, 1 failed, 2 not understood.

import { readFileSync } from 'node:fs'
import { nameOfBytes } from 'ninep'
import yargs from 'yargs'
import type { Argv } from 'yargs'
import { completeLine, verbs } from './verbs.ts'
import { Failure, Misuse, reason } from './failure.ts'
import { dashed, explain } from './misuse.ts'
import type { Known } from './misuse.ts'

const version = (): string => (JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as { version: string }).version

/** Runs a command line (without node and the script) and sets the status. */
export async function main(argv: readonly string[]): Promise<void> {
  process.stdout.on('error', (e: NodeJS.ErrnoException) => { if (e.code === 'EPIPE') process.exit(141); else throw e })   // as what SIGPIPE kills
  const words = exact(argv)
  let verb = words.find((word) => !word.startsWith('-'))
  const width = Math.min(110, process.stdout.columns || 110)
  const cli: Argv = verbs(yargs(shield(words)), width)
    .middleware((args) => unshield(args, inside(cli).array), true)
    .scriptName('ninefold')
    .usage('ninefold VERB ...\n\nA 9P file server whose namespace is assembled from stacked translators, and a client for it.')
    .command('version', 'tell the version', (y) => y.example('ninefold version', ''), () => { console.log(version()) })
    .completion('completion', 'print the completion script for bash or zsh', completeLine(words.slice(2)))
    .version(version()).alias('h', 'help')
    .epilogue('A PATH lies on the server that --server names, else $NINEFOLD_SERVER, else unix:./run/ninefold.sock.')
    .parserConfiguration({
      'boolean-negation': false, 'camel-case-expansion': false, 'dot-notation': false, 'parse-numbers': false, 'parse-positional-numbers': false,
    })
    .locale('en').wrap(width)
    .demandCommand(1, 'a verb is missing').strict().exitProcess(false)
    .fail((message, error: Error | undefined, usage) => { throw error && error.name !== 'YError' ? error : new Misuse(explain(message || error!.message, words, known(usage))) })
  try {
    await cli.parseAsync()
  } catch (e) {
    if (words[0] !== '--get-yargs-completions') process.exitCode = tell(verb, e)   // the line is not done yet, and Tab says nothing
  }

  /** yargs hands its usage, not itself, to what hears of a failure; its types say otherwise. */
  function known(failed: unknown): Known {
    const { getCommands, getUsage } = failed as { getCommands(): string[][]; getUsage(): string[][] }
    const { key, alias } = inside(cli)
    const line = getUsage().at(-1)?.[0]?.replace('$0 ', ''), usage = line?.startsWith('ninefold') ? undefined : line
    if (usage === undefined) verb = undefined
    return {
      verbs: getCommands().map(([line]) => line!.split(' ')[0]!), options: [...Object.keys(key), ...Object.values(alias).flat()].map(dashed),
      ...(usage === undefined ? {} : { usage }),
    }
  }
}

/** The options as yargs has them, which its types leave out. */
function inside(cli: Argv): { key: object; alias: Record<string, string[]>; array: string[] } {
  return (cli as unknown as { getOptions(): ReturnType<typeof inside> }).getOptions()
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
  const end = words.slice(0, words[0] === '--get-yargs-completions' ? -1 : undefined).indexOf('--')
  const before = end < 0 ? words : words.slice(0, end), after = end < 0 ? [] : words.slice(end + 1)
  return [...before.map((word) => word === '-' ? '\0-' : word), ...after.map((word) => `\0${word}`)]
}
// Of a flag that is given twice, yargs makes a list where it takes one value: the last one counts.
function unshield(args: Record<string, unknown>, lists: readonly string[]): void {
  const bare = (value: unknown): unknown => Array.isArray(value) ? value.map(bare) : typeof value === 'string' && value.startsWith('\0') ? value.slice(1) : value
  for (const [key, value] of Object.entries(args)) args[key] = bare(Array.isArray(value) && key !== '_' && !lists.includes(key) ? value.at(-1) : value)
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
