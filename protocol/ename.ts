// Errors as 9P2000 tells them: by a string alone. Those sent are the C library's, which Linux's client and 9pfuse map back;
// those understood are Plan 9's, too. ESPIPE has Plan 9's,
// for it has but one cause here. Source: linux/net/9p/error.c, glibc's strerror.

import { errnos, type Code } from './errno.ts'

/** The longest string to send, bytes: Linux has buffers for small replies that hold no more. */
export const ENAME_MAX = 126

const sent: Readonly<Record<Code, string>> = {
  EPERM: 'Operation not permitted', ENOENT: 'No such file or directory', ESRCH: 'No such process', EINTR: 'Interrupted system call', EIO: 'Input/output error',
  ENXIO: 'No such device or address', E2BIG: 'Argument list too long', ENOEXEC: 'Exec format error', EBADF: 'Bad file descriptor', ECHILD: 'No child processes',
  EAGAIN: 'Resource temporarily unavailable', ENOMEM: 'Cannot allocate memory', EACCES: 'Permission denied', EFAULT: 'Bad address', ENOTBLK: 'Block device required',
  EBUSY: 'Device or resource busy', EEXIST: 'File exists', EXDEV: 'Invalid cross-device link', ENODEV: 'No such device', ENOTDIR: 'Not a directory',
  EISDIR: 'Is a directory', EINVAL: 'Invalid argument', ENFILE: 'Too many open files in system', EMFILE: 'Too many open files',
  ENOTTY: 'Inappropriate ioctl for device', ETXTBSY: 'Text file busy', EFBIG: 'File too large', ENOSPC: 'No space left on device', ESPIPE: 'bad offset in directory read',
  EROFS: 'Read-only file system', EMLINK: 'Too many links', EPIPE: 'Broken pipe', EDOM: 'Numerical argument out of domain', ERANGE: 'Numerical result out of range',
  EDEADLK: 'Resource deadlock avoided', ENAMETOOLONG: 'File name too long', ENOLCK: 'No locks available', ENOSYS: 'Function not implemented',
  ENOTEMPTY: 'Directory not empty', ELOOP: 'Too many levels of symbolic links', EIDRM: 'Identifier removed', ENODATA: 'No data available', EPROTO: 'Protocol error',
  EBADMSG: 'Bad message', EOVERFLOW: 'Value too large for defined data type', EILSEQ: 'Invalid or incomplete multibyte or wide character', EUSERS: 'Too many users',
  EMSGSIZE: 'Message too long', EPROTONOSUPPORT: 'Protocol not supported', EOPNOTSUPP: 'Operation not supported', EADDRINUSE: 'Address already in use',
  EADDRNOTAVAIL: 'Cannot assign requested address', ENOBUFS: 'No buffer space available', ECONNRESET: 'Connection reset by peer',
  ENOTCONN: 'Transport endpoint is not connected', ETIMEDOUT: 'Connection timed out', ECONNREFUSED: 'Connection refused', ESTALE: 'Stale file handle',
  EREMOTEIO: 'Remote I/O error', EDQUOT: 'Disk quota exceeded', ECANCELED: 'Operation canceled',
}

const understood: Readonly<Record<string, Code>> = {
  'file does not exist': 'ENOENT', 'file not found': 'ENOENT', 'directory entry not found': 'ENOENT', 'permission denied': 'EACCES', 'access permission denied': 'EACCES',
  'file already exists': 'EEXIST', 'file exists': 'EEXIST', 'directory is not empty': 'ENOTEMPTY', 'not a directory': 'ENOTDIR', 'file is a directory': 'EISDIR',
  'fid unknown or out of range': 'EBADF', 'fid already in use': 'EBADF', 'unknown fid': 'EBADF', 'bad use of fid': 'EBADF', 'file already open for i/o': 'EINVAL',
  'bad offset in directory read': 'ESPIPE', 'i/o error': 'EIO', 'read only file system': 'EROFS', 'file system is full': 'ENOSPC', 'illegal name': 'EINVAL',
  'unknown user': 'EPERM', 'authentication failed': 'ECONNREFUSED', 'wstat prohibited': 'EPERM', 'exclusive use file already open': 'EAGAIN',
  'i/o count too large': 'EIO', 'authentication not required': 'ENOENT',
  // u9fs, and servers made with lib9p
  'file or directory already exists': 'EEXIST', 'file in use': 'EBUSY', 'unknown specifier in attach': 'ENOENT', 'duplicate fid': 'EBADF', 'bad offset': 'EINVAL',
  'create in non-directory': 'ENOTDIR', 'walk in non-directory': 'ENOTDIR', 'create prohibited': 'EPERM', 'remove prohibited': 'EPERM', 'stat prohibited': 'EPERM',
  "wstat can't convert between files and directories": 'EINVAL', 'not a member of proposed group': 'EPERM', 'only owner can change group in wstat': 'EPERM',
  'unknown group': 'EINVAL',
}

const codes = new Map<string, Code>([...Object.entries(understood), ...Object.entries(sent).map(([code, text]) => [text.toLowerCase(), code as Code] as const)])

/** What Rerror says of an error: at most ENAME_MAX bytes. */
export function enameOf(code: Code): string { return sent[code] }
/** The error that an Rerror's string stands for, in any case of letters, or the longest that is told in it: servers name files beside it.
 *  undefined: none that is known here. */
export function codeOfEname(ename: string): Code | undefined {
  if (Object.hasOwn(errnos, ename)) return ename as Code
  const said = ename.toLowerCase(), code = codes.get(said)
  if (code) return code
  const told = [...codes.keys()].filter((text) => said.includes(text))
  return codes.get(told.reduce((longest, text) => text.length > longest.length ? text : longest, ''))
}
