// A process that works on a tree until it is killed: random steps by seed, and a line for each that was answered.
// Words: state folder, folder of blobs, seed, steps, durability.

import { posix } from '../../translators/posix/posix.ts'
import { insides, snapshot } from '../../translators/snapshot/snapshot.ts'
import { gc } from '../../translators/tree/gc.ts'
import { Model } from './model.ts'
import { steps } from './run.ts'
import { Doer } from './steps.ts'
import { kills } from './ways.ts'

const [state, data, seed, count, durability] = process.argv.slice(2)
const layer = await snapshot({ state: state!, durability: durability as 'group' | 'sync', segment: 65536, uid: 0, gid: 0, mode: 0o755 }, await posix({ path: data! }))
const { tree: { epochs, instance }, packer } = insides(layer), model = new Model()
const doer = new Doer(async () => layer.attach(''), {
  sync: async () => layer.sync(),
  snapshot: (name) => epochs.create(name),
  delete: (name) => epochs.delete(name),
  rollback: (name) => epochs.rollback(name),
  pack: async () => { await packer.run(); await packer.compact() },
  gc: async () => void await gc(instance, [1]),
})
let done = 0
for (const step of steps(model, Number(seed), Number(count), kills)) {
  await doer.apply(step)
  model.apply(step)
  process.stdout.write(`${++done}\n`)
}
process.stdout.write('all\n')
setInterval(() => {}, 1000)                               // waits for its end
