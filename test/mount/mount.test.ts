// `ninefold mount` at this kernel: the checker of test/guest, which knows what a local file system does.

import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { checked, checker, expected } from '../guest/build.ts'
import { requires, skipping } from '../needs.ts'
import { folder, stand, unable, usual } from './stand.ts'

const test = suite('mount'), why = unable(), native = why ? skipping(test, why) : requires(test, 'gcc'), plain = why ? skipping(test, why) : test
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

for (const [name, options] of [['as it is', usual], ['with cache=none', `${usual},cache=none`]] as const) {
  plain(`two mounts ${name}: what one has closed the other sees when it opens`, async () => {
    await using mount = await stand('posix ./export', options)
    const other = await mount.another('other', options)
    for (let i = 0; i < 30; i++) {
      const text = `${i} `.repeat(1 + i * 7 % 11)
      await mount.must(`printf '%s' '${text}' > file`)
      assert.is(await mount.must(`cat '${other}/file'`), text)
      await mount.must(`printf more >> '${other}/file'`)
      assert.is(await mount.must('cat file; rm -f gone; > came; test -e came'), `${text}more`)
    }
  })
}
plain('names and attributes are believed for as long as was said, and no longer', async () => {
  await using mount = await stand('posix ./export', `${usual},attr-timeout=1,entry-timeout=1`)
  const other = await mount.another('other', `${usual},attr-timeout=1,entry-timeout=1`)
  await mount.must(`printf 1 > file; chmod 600 file; stat -c '%s %a' '${other}/file'; ! test -e '${other}/new'; printf 123 >> file; chmod 644 file; > new; mv file moved`)
  for (const end = Date.now() + 20_000; (await mount.sh(`test ! -e '${other}/file' -a -e '${other}/new' && stat -c '%s %a' '${other}/moved'`)).out !== '4 644\n';) assert.ok(Date.now() < end, 'it is not seen')
})
plain('with cache=none all is seen at once, by who has it open, too; and shared mappings work', async () => {
  await using mount = await stand('posix ./export', `${usual},cache=none`)
  const other = await mount.another('other', `${usual},cache=none`)
  const out = await mount.must(`printf one > file; exec 3< '${other}/file'; printf two >> file; cat <&3; printf three >> file; cat <&3; chmod 640 file; stat -c ' %a' '${other}/file'`)
  assert.is(out, 'onetwothree 640\n')
})
plain('reads and writes are as large as messages let them be', async () => {
  await using mount = await stand('trace trace.json | posix ./export')
  await mount.must('dd if=/dev/zero of=big bs=4M count=4 2> /dev/null; cat big > /dev/null')
  const ops = (await readFile(join(mount.home, 'trace.json'), 'utf8')).split('\n').filter((line) => /"(read|write)"/.test(line))
  assert.ok(ops.length >= 32, 'all went by the server')
  assert.ok(ops.filter((line) => line.includes('"write"')).length <= 24, `${ops.filter((line) => line.includes('"write"')).length} writes of 16 MiB`)
  assert.ok(ops.filter((line) => line.includes('"read"')).length <= 40, `${ops.filter((line) => line.includes('"read"')).length} reads of 16 MiB`)
})

test.run()
