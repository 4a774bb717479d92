import type { Volume } from '../translator.ts'
import { BadOption, text, translator } from '../options.ts'
import { Subtree, namesOf } from '../subtree.ts'

/**
 * A part of the namespace at another place, as it is when it starts: what is mounted there goes on running for as long as it is
 * bound, though something else be mounted in its place. Mounts below it are not seen. Its files have numbers of their own,
 * since clients take one that they see twice for one that was moved.
 */
export const bind = translator({
  name: 'bind',
  about: 'A part of the namespace at another place: what is mounted there, without the mounts below.',
  children: 0,
  concurrent: true,
  options: { path: text({ about: 'of the namespace: /export/src', positional: true }) },
  async start({ path }, _children, env) {
    if (!path.startsWith('/')) throw new BadOption(`bind: "${path}": a path of the namespace begins with "/"`)
    const names = namesOf('bind', path)
    if (!env.reach) throw new BadOption('bind: there is no namespace here to bind a part of')
    const { translator: child, rest } = env.reach(names)
    const volumes = new Map<Volume, Volume>()
    const layer = new Subtree('bind', child, rest, (volume) => {
      let own = volumes.get(volume)
      if (!own) volumes.set(volume, own = { label: `${env.name}:${volume.label}` })
      return own
    })
    try { await (await layer.attach('')).close() } catch (e) {
      await layer.close()
      throw e
    }
    return layer
  },
})
