// `ninefold mount` at this kernel: the checker of test/guest, which knows what a local file system does.

import { rm } from 'node:fs/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { checked, checker, expected } from '../guest/build.ts'
import { requires, skipping } from '../needs.ts'
import { folder, stand, unable } from './stand.ts'

const test = suite('mount'), why = unable(), native = why ? skipping(test, why) : requires(test, 'gcc')
const home = await folder()
let program = ''
test.before(async () => { if (!why) program = await checker(home) })
test.after(() => rm(home, { recursive: true, force: true }))

for (const [name, stack] of [['posix', 'posix ./export devices=on host-caps=on'], ['memory', 'memory']] as const) {
  native(`${name} keeps every promise to this kernel, as root and as a user`, async () => {
    await using mount = await stand(stack)
    for (const uid of [0, 1000]) {
      await mount.must(`mkdir -m 777 ${uid}`)
      const { out, status, err } = await mount.sh(`${program} --uid ${uid} --expect ${expected} --on fuse --other ${mount.dir}/${uid} --many ${uid === 0 ? 150 : 50} ${mount.dir}/${uid}`, { limit: 120 })
      const lines = checked(out)
      assert.equal(lines.filter(({ how }) => how === 'not ok').map(({ name, why }) => `${name}: ${why}`), [], err)
      assert.is(status, 0)
      assert.ok(lines.filter(({ how }) => how === 'ok').length >= (uid === 0 ? 320 : 300), `only ${lines.length} checks`)
    }
  })
}

test.run()
