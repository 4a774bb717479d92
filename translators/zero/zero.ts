import { size, translator } from '../options.ts'
import { FileTranslator, modeOption } from '../synthetic.ts'

/** What is given out is never written to: one block of zeros serves all reads. */
const zeros = new Uint8Array(2 ** 20)

/** /dev/zero as a file. */
export const zero = translator({
  name: 'zero',
  about: 'A file of zero bytes without end; what is written is gone.',
  children: 0,
  confined: true,
  concurrent: true,
  options: {
    size: size({ about: 'where it ends; 0: it does not, and says that it is empty', default: 0 }),
    mode: modeOption,
  },
  start: ({ size, mode }, _children, env) => new FileTranslator('zero', env, mode, {
    size, writable: true,
    open: () => ({
      read: (into, offset) => zeros.subarray(0, Math.max(0, Math.min(into.length, size === 0 ? into.length : size - offset))),
      write: (bytes) => bytes.length,
    }),
  }),
})
