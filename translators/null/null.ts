import { translator } from '../options.ts'
import { FileTranslator, modeOption } from '../synthetic.ts'

const nothing = new Uint8Array(0)

/** /dev/null as a file of the tree: a client's kernel would open a device of that number itself. */
export const nullFile = translator({
  name: 'null',
  about: 'A file that is empty, and stays so whatever is written.',
  children: 0,
  confined: true,
  concurrent: true,
  options: { mode: modeOption },
  start: ({ mode }, _children, env) => new FileTranslator('null', env, mode, {
    size: 0, writable: true,
    open: () => ({ read: () => nothing, write: (bytes) => bytes.length }),
  }),
})
