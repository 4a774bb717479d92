// The server is killed, and started again, while programs work in the mount: they wait, and find everything as it was.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { dice } from '../../server/dice.ts'
import { skipping } from '../needs.ts'
import { stand, unable, usual, within } from './stand.ts'

const test = suite('mount: the server restarts'), why = unable(), native = why ? skipping(test, why) : test
const load = fileURLToPath(new URL('load.js', import.meta.url))
const kills = Number(process.env['NINEFOLD_KILLS'] ?? 50)

native(`killed ${kills} times under load, nothing is lost or doubled, and nobody hears of it`, async () => {
  await using mount = await stand('posix ./export', `${usual},reconnect=120s`)
  const int = dice(kills)
  // Somebody holds a lock all the while, and somebody else would like to have it.
  await mount.must('echo > locked; setsid flock locked sh -c "echo > held; sleep 600" > /dev/null 2>&1 & while ! test -e held; do sleep 0.1; done')
  const other = await mount.another('other', usual)
  const child = spawn(process.execPath, ['--enable-source-maps', load, mount.dir], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, UV_THREADPOOL_SIZE: '16' } })
  let out = '', err = ''
  child.stdout.on('data', (bytes: Buffer) => { out += bytes.toString() })
  child.stderr.on('data', (bytes: Buffer) => { err += bytes.toString() })
  const ended = once(child, 'close') as Promise<[number | null, string | null]>
  let over = false
  void ended.then(() => { over = true })
  try {
    for (let i = 0; i < kills && !over; i++) {
      await new Promise((done) => setTimeout(done, 50 + int(300)))
      await mount.kill()
      await mount.restart()
      if (i % 10 === 0) await mount.must(`echo ${i} > again; if flock -n locked true; then echo taken here; exit 1; fi; if flock -n '${other}/locked' true; then echo taken there; exit 1; fi`)
    }
    child.kill('SIGTERM')
    const [status] = await within(120, ended, () => 'the load does not end')
    assert.is(err, '')
    assert.is(status, 0)
    const done = JSON.parse(out) as Record<string, number>
    for (const [what, count] of Object.entries(done)) assert.ok(count >= kills / 4, `${what}: only ${count}`)
    console.log(`  ${out.trim()}`)
  } finally {
    child.kill('SIGKILL')
    await mount.sh(`pkill -f '^sleep 600$' || true`, { cwd: '/' })
  }
})

native('a file that is open is found again where another client has moved it; one that is gone is ESTALE', async () => {
  await using mount = await stand('posix ./export')
  await mount.must('echo one > one; echo two > two; echo three > three')
  const script = `
    exec 3< one 4< two 5< three
    echo > '${mount.home}/open'
    while ! test -e '${mount.home}/go'; do sleep 0.1; done
    cat <&3; cat <&4 2>&1 || true; cat <&5`
  const reading = mount.sh(script)
  while ((await mount.sh(`test -e '${mount.home}/open'`, { cwd: '/' })).status !== 0) await new Promise((done) => setTimeout(done, 50))
  await mount.kill()
  await mount.must('mv one moved; rm two', { cwd: join(mount.home, 'export') })
  await mount.restart()
  await mount.must('> go', { cwd: mount.home })
  const { out } = await reading
  assert.match(out, /^one\n/)
  assert.match(out, /Stale file handle/)
  assert.match(out, /three\n$/)
})

native('a lock that another client took first is lost, and the open file with it: EIO, and not two who have it', async () => {
  await using mount = await stand('posix ./export')
  const other = await mount.another('other', usual)
  await mount.must('echo text > file')
  const holding = mount.sh(`
    exec 3<> file; flock 3
    echo > '${mount.home}/has'; while ! test -e '${mount.home}/go'; do sleep 0.1; done
    cat <&3 2>&1 || true; exec 3>&-; cat file`)
  while ((await mount.sh(`test -e '${mount.home}/has'`, { cwd: '/' })).status !== 0) await new Promise((done) => setTimeout(done, 50))
  mount.mount.child.kill('SIGSTOP')                        // it comes late
  await mount.kill()
  await mount.restart()
  const taken = mount.sh(`exec 4<> file; flock 4; echo > '${mount.home}/taken'; while ! test -e '${mount.home}/go'; do sleep 0.1; done`, { cwd: other })
  while ((await mount.sh(`test -e '${mount.home}/taken'`, { cwd: '/' })).status !== 0) await new Promise((done) => setTimeout(done, 50))
  mount.mount.child.kill('SIGCONT')
  await mount.must('> go', { cwd: mount.home })
  const { out } = await holding
  assert.match(out, /Input\/output error[^]*text\n$/)
  assert.is((await taken).status, 0)
})

native('when the time is up all is EIO, at once, until the server is back', async () => {
  await using mount = await stand('posix ./export', `${usual},reconnect=1s,attr-timeout=0,entry-timeout=0`)
  await mount.must('echo text > file')
  await mount.kill()
  const cat = `cat '${mount.dir}/file'`, away = { cwd: '/', limit: 20 }, from = Date.now(), first = await mount.sh(cat, away)
  assert.match(first.err, 'Input/output error')
  assert.ok(Date.now() - from >= 900, 'it was waited for')
  const many = await mount.sh(`for i in 1 2 3 4 5 6 7 8 9 10; do ${cat} 2>&1 || true; done`, away)
  assert.is(many.out.match(/Input\/output error/g)?.length, 10)
  await mount.restart()
  for (const end = Date.now() + 30_000; (await mount.sh(cat, away)).status !== 0;) assert.ok(Date.now() < end, 'it does not come back')
  assert.is((await mount.must('echo more >> file; cat file')), 'text\nmore\n')
})

native('who waits for the server can be interrupted, and killed', async () => {
  await using mount = await stand('posix ./export', `${usual},reconnect=1h`)
  await mount.must('echo text > file')
  await mount.kill()
  const { status } = await mount.sh(`timeout -s KILL 2 cat '${mount.dir}/file'`, { limit: 20, cwd: '/' })
  assert.ok(status === 137 || status === 128 || status === 9, String(status))
  await mount.restart()
  assert.is(await mount.must('cat file'), 'text\n')
})

test.run()
