// Errors are errnos with a sentence: the client gets the number, the log the sentence and its cause.

/** Linux's generic numbers, which is what .L carries on every host. */
export const errnos = {
  EPERM: 1, ENOENT: 2, ESRCH: 3, EINTR: 4, EIO: 5, ENXIO: 6, E2BIG: 7, ENOEXEC: 8, EBADF: 9, ECHILD: 10, EAGAIN: 11, ENOMEM: 12,
  EACCES: 13, EFAULT: 14, ENOTBLK: 15, EBUSY: 16, EEXIST: 17, EXDEV: 18, ENODEV: 19, ENOTDIR: 20, EISDIR: 21, EINVAL: 22, ENFILE: 23,
  EMFILE: 24, ENOTTY: 25, ETXTBSY: 26, EFBIG: 27, ENOSPC: 28, ESPIPE: 29, EROFS: 30, EMLINK: 31, EPIPE: 32, EDOM: 33, ERANGE: 34,
  EDEADLK: 35, ENAMETOOLONG: 36, ENOLCK: 37, ENOSYS: 38, ENOTEMPTY: 39, ELOOP: 40, EIDRM: 43, ENODATA: 61, EPROTO: 71, EBADMSG: 74,
  EOVERFLOW: 75, EILSEQ: 84, EUSERS: 87, EMSGSIZE: 90, EPROTONOSUPPORT: 93, EOPNOTSUPP: 95, EADDRINUSE: 98, EADDRNOTAVAIL: 99, ENOBUFS: 105,
  ECONNRESET: 104, ENOTCONN: 107, ETIMEDOUT: 110, ECONNREFUSED: 111, ESTALE: 116, EREMOTEIO: 121, EDQUOT: 122, ECANCELED: 125,
} as const
export type Code = keyof typeof errnos

const codes = new Map<number, Code>(Object.entries(errnos).map(([code, number]) => [number, code as Code]))

/** An errno with what was tried on what: `ENOTDIR: walk "a.txt"`. */
export class Errno extends Error {
  override readonly name = 'Errno'
  readonly code: Code
  /** Linux's number, 1..4095. */
  readonly errno: number
  constructor(code: Code, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.errno = errnos[code]
  }
}

/**
 * An Errno to throw: `throw errno('ENOTDIR', 'walk', name)`. No stack is captured, for a refusal is an answer and not
 * a fault, and a capture costs more than the rest of a failed lookup.
 */
export function errno(code: Code, op?: string, subject?: string, cause?: unknown): Errno {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 0
  try {
    return new Errno(code, op === undefined ? code : subject === undefined ? `${code}: ${op}` : `${code}: ${op} ${JSON.stringify(subject)}`, cause)
  } finally {
    Error.stackTraceLimit = limit
  }
}

/** The code of one of Linux's numbers; EIO for those that never reach a client. */
export function codeOf(number: number): Code { return codes.get(number) ?? 'EIO' }

/** Whether this is an Errno, and of this code where one is named; one of another copy of this package, too. */
export function isErrno(error: unknown, code?: Code): error is Errno {
  return error instanceof Error && error.name === 'Errno' && (code === undefined || (error as Errno).code === code)
}
