import { errno } from 'ninep'
import { text, translator } from '../options.ts'
import { FileTranslator } from '../synthetic.ts'

/** One file with a greeting: the smallest brick there is. */
export const hello = translator({
  name: 'hello',
  about: 'A file that greets; where to begin reading translators that store nothing.',
  children: 0,
  confined: true,
  concurrent: true,
  options: { text: text({ about: 'what it says', positional: true, default: 'Hello, world!\n' }) },
  start: (options, _children, env) => {
    const bytes = Buffer.from(options.text)
    return new FileTranslator('hello', env, 0o444, {
      size: bytes.length, writable: false,
      open: () => ({
        read: (into, offset) => bytes.subarray(offset, offset + into.length),
        write() { throw errno('EBADF', 'write') },
      }),
    })
  },
})
