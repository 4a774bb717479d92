// What a verb says when it can't: one line, `ninefold: ls: /x: No such file or directory`.

import { getSystemErrorMap } from 'node:util'
import { isErrno } from 'ninep'
import { escape } from './format.ts'

/** Something a verb could not do. The message is the whole sentence, its subject first: '/x: No such file or directory'. */
export class Failure extends Error {
  override readonly name = 'Failure'
}
/** What was typed makes no sense; the status is 2. */
export class Misuse extends Error {
  override readonly name = 'Misuse'
}

/** Where the C library's words are better known than libuv's, or libuv has none. */
const words: Readonly<Record<string, string>> = {
  EISDIR: 'Is a directory', EEXIST: 'File exists', EBUSY: 'Device or resource busy', EXDEV: 'Invalid cross-device link', EIO: 'Input/output error',
  ELOOP: 'Too many levels of symbolic links', ENAMETOOLONG: 'File name too long', ENOMEM: 'Cannot allocate memory', ENODATA: 'No such attribute',
  EOPNOTSUPP: 'Operation not supported', ESTALE: 'Stale file handle', EDQUOT: 'Disk quota exceeded', ENOLCK: 'No locks available',
  EDEADLK: 'Resource deadlock avoided', EBADMSG: 'Bad message', ECHILD: 'No child processes', ENOTBLK: 'Block device required',
}
const system = new Map(getSystemErrorMap().values())

/** Why, in words: of an errno of the server or of this machine its text, of anything else its message. */
export function reason(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code
  if (code === 'EPROTO' || code === 'EPROTONOSUPPORT') return (error as Error).message   // what the other side did is told in its own words
  // and so is what a dialect lacks, and what a server says in words that stand for no errno
  if (isErrno(error) && ['EOPNOTSUPP', 'EXDEV', 'EIO'].includes(error.code) && error.cause instanceof Error) return error.cause.message
  if (typeof code === 'string') {
    const text = words[code] ?? system.get(code)
    if (text) return text[0]!.toUpperCase() + text.slice(1)
  }
  return error instanceof Error ? error.message : String(error)
}

/** A Failure about `subject`, a path; one that is a Failure already is passed on. */
export function failure(subject: string, error: unknown): Failure {
  return error instanceof Failure ? error : new Failure(`${escape(subject) || '""'}: ${reason(error)}`, { cause: error })
}

/** Says what went wrong with one of several things; the verb goes on, and its status is 1. */
export function complain(verb: string, error: unknown): void {
  process.stderr.write(`ninefold: ${verb}: ${reason(error)}\n`)
  process.exitCode = 1
}
