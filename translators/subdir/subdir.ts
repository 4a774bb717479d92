import { text, translator } from '../options.ts'
import { Subtree, namesOf } from '../subtree.ts'

/** A directory or file of what is below, as all there is. */
export const subdir = translator({
  name: 'subdir',
  about: 'One directory, or one file, of what is below.',
  children: 1,
  concurrent: true,
  options: { path: text({ about: 'where it is below; symbolic links are not followed', positional: true }) },
  async start({ path }, [child]) {
    const layer = new Subtree('subdir', child, namesOf('subdir', path))
    await (await layer.attach('')).close()
    return layer
  },
})
