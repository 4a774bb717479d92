import { randomFillSync } from 'node:crypto'
import { size, translator } from '../options.ts'
import { FileTranslator, modeOption } from '../synthetic.ts'

/** Bytes of one read at most: some 0.1 ms of the loop's time. */
const AT_ONCE = 64 * 1024

/** /dev/urandom as a file: the host's generator, different at every read. */
export const random = translator({
  name: 'random',
  about: 'A file of random bytes without end, fit for keys; what is written is gone.',
  children: 0,
  confined: true,
  concurrent: true,
  options: {
    size: size({ about: 'where it ends; 0: it does not, and says that it is empty', default: 0 }),
    mode: modeOption,
  },
  start: ({ size, mode }, _children, env) => new FileTranslator('random', env, mode, {
    size, writable: true,
    open: () => ({
      read: (into, offset) => randomFillSync(into.subarray(0, Math.max(0, Math.min(into.length, AT_ONCE, size === 0 ? AT_ONCE : size - offset)))),
      write: (bytes) => bytes.length,
    }),
  }),
})
