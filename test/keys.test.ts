// Key files: what opens them, what does not, and what is said then.

import { execFile, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { addSlot, createKeyFile, KeyError, listSlots, removeSlot, secretOf, unlock } from '../translators/keys.ts'
import { Sealing } from '../translators/sealing.ts'
import { fails, outcome } from './conform/tools.ts'

const folder = mkdtempSync(join(tmpdir(), 'ninefold-keys-')), root = resolve(fileURLToPath(import.meta.url), '../../..')
process.on('exit', () => { rmSync(folder, { recursive: true, force: true }) })
const test = suite('keys'), quick = { ops: 1, mem: 64 }
let count = 0
const fresh = () => join(folder, `${count++}.key`)
/** A place that gives this. */
const source = (secret: string) => { const path = join(folder, `${count++}.secret`); writeFileSync(path, secret); return `file:${path}` }
const machine = 'a machine has this: 32 bytes or so'
async function says(pattern: RegExp, f: () => Promise<unknown>): Promise<void> {
  try { await f() } catch (e) { assert.ok(e instanceof KeyError, String(e)); assert.match(e.message, pattern); return }
  assert.unreachable(`did not say ${pattern}`)
}
/** What a key is known by. */
async function print(path: string, from: string): Promise<string> {
  const key = await unlock(path, from), out = Buffer.alloc(32)
  key.derive(out, 'test')
  key.close()
  return out.toString('hex')
}

test('every slot opens the same key, and nothing else does', async () => {
  const path = fresh()
  await createKeyFile(path, 'me', 'passphrase', Buffer.from('correct horse'), quick)
  const first = await print(path, source('correct horse\n'))
  await addSlot(path, Buffer.from('correct horse'), 'nas', 'secret', Buffer.from(machine))
  process.env.NINEFOLD_TEST_KEY = machine
  for (const from of [source(machine), source('correct horse'), 'env:NINEFOLD_TEST_KEY', `command:printf '%s\\n' 'correct horse'`]) assert.is(await print(path, from), first)
  await says(/file:.* opens none of its 2 slots \(me, nas\)\./, () => unlock(path, source('wrong horse')))
  await says(/the command opens none/, () => unlock(path, 'command:echo wrong'))
  assert.is(statSync(path).mode & 0o777, 0o600)
  const other = fresh()
  await createKeyFile(other, 'me', 'passphrase', Buffer.from('correct horse'), quick)
  assert.is.not(await print(other, source('correct horse')), first)
})
test('a slot that was removed opens no more, and the last one stays unless it is said', async () => {
  const path = fresh()
  await createKeyFile(path, 'a', 'passphrase', Buffer.from('one'), quick)
  await addSlot(path, Buffer.from('one'), 'b', 'passphrase', Buffer.from('two'), quick)
  await removeSlot(path, 'a', false)
  await says(/opens none of its 1 slots \(b\)/, () => unlock(path, source('one')))
  await says(/there is no slot "a"\. It has: b\./, () => removeSlot(path, 'a', false))
  await says(/the last slot.*--yes-lose-data/, () => removeSlot(path, 'b', false))
  await removeSlot(path, 'b', true)
  assert.equal(await listSlots(path), [])
})
test('what is wrong with a key file is said', async () => {
  await says(/there is no key file\. Make one: ninefold key new/, () => unlock(join(folder, 'none'), source('x')))
  const path = fresh()
  for (const [text, pattern] of [['{', /it is no key file/], ['[]', /it is no key file/], ['{"ninefold-key":2,"id":"","slots":[]}', /of version 2, and this version knows 1/],
    ['{"ninefold-key":1,"id":"00","slots":[]}', /no id or no slots/], [`{"ninefold-key":1,"id":"${'0'.repeat(32)}","slots":[{"name":"x","kind":"secret","salt":"zz"}]}`, /the slot "x" does not read/]] as const) {
    writeFileSync(path, text)
    await says(pattern, () => unlock(path, source('x')))
  }
})
test('a slot of a kind that is not known is told of, and kept', async () => {
  const path = fresh()
  await createKeyFile(path, 'me', 'passphrase', Buffer.from('one'), quick)
  const file = JSON.parse(readFileSync(path, 'utf8')) as { slots: object[] }
  file.slots.push({ name: 'card', kind: 'smartcard' })
  writeFileSync(path, JSON.stringify(file))
  await says(/Slots of the kind smartcard were not tried: this version knows none such\./, () => unlock(path, source('two')))
  await addSlot(path, Buffer.from('one'), 'b', 'passphrase', Buffer.from('two'), quick)
  assert.equal((await listSlots(path)).map((slot) => slot.name), ['me', 'card', 'b'])
})
test('a slot is bound to its file, kind and parameters: whatever is altered, it opens nothing', async () => {
  const path = fresh()
  await createKeyFile(path, 'me', 'passphrase', Buffer.from('one'), quick)
  const good = JSON.parse(readFileSync(path, 'utf8')) as { id: string; slots: Record<string, unknown>[] }
  for (const [what, value] of [['ops', 2], ['mem', 65], ['salt', '0'.repeat(32)], ['nonce', '0'.repeat(48)], ['key', '0'.repeat(96)], ['id', '0'.repeat(32)]] as const) {
    const bad = structuredClone(good)
    if (what === 'id') bad.id = value as string
    else bad.slots[0]![what] = value
    writeFileSync(path, JSON.stringify(bad))
    await says(/opens none/, () => unlock(path, source('one')))
  }
  for (const [what, value] of [['ops', 65], ['mem', 2 ** 22 + 1], ['mem', -1]] as const) {
    const bad = structuredClone(good)
    bad.slots[0]![what] = value
    writeFileSync(path, JSON.stringify(bad))
    await says(/does not read/, () => unlock(path, source('one')))
  }
})
test('a machine has no short secrets, and where keys come from is said without them', async () => {
  await says(/a secret of 5 bytes is too short/, () => createKeyFile(fresh(), 'x', 'secret', Buffer.from('short'), quick))
  await says(/"hunter2" does not say where|does not say where/, () => secretOf('hunter2'))
  await says(/the environment has no NOT_THERE/, () => secretOf('env:NOT_THERE'))
  await says(/command:\.\.\.: the command failed \(3\)/, () => secretOf('command:echo hunter2 >&2; exit 3'))
  await says(/it is empty/, () => secretOf(source('\n')))
  const path = fresh()
  await createKeyFile(path, 'x', 'passphrase', Buffer.from('one'), quick)
  await says(/is there already/, () => createKeyFile(path, 'x', 'passphrase', Buffer.from('one'), quick))
})
test('a secret is wiped when it was used', async () => {
  const secret = Buffer.from('correct horse')
  await createKeyFile(fresh(), 'x', 'passphrase', secret, quick)
  assert.ok(secret.every((byte) => byte === 0))
})
test('the loop goes on while a passphrase is stretched', async () => {
  const path = fresh()
  await createKeyFile(path, 'x', 'passphrase', Buffer.from('one'), { ops: 3, mem: 65_536 })
  let turns = 0, stopped = false
  const turn = () => { if (!stopped) { turns++; setImmediate(turn) } }
  turn()
  await (await unlock(path, source('one'))).close()
  stopped = true
  assert.ok(turns > 50, `${turns} turns of the loop`)
})
test('derivations are what they were: known answers', async () => {
  const path = fresh()
  // A key file of version 1, made once. passphrase: "fixture".
  writeFileSync(path, readFileSync(join(root, 'test/fixtures/crypt-1/key')))
  assert.is(await print(path, source('fixture')), 'f6f355c3d063de14faee9e7d4c203737e20dece686c68412324d11389126c2db')
  const key = await unlock(path, source('fixture')), sealing = new Sealing(key, 'test')
  assert.is(sealing.hash(Buffer.from('name')).toString('hex'), '69961b4abd9c0643eda96532d953b543')
  assert.is(sealing.sealSame(Buffer.from('name')).toString('hex'), '69961b4abd9c0643eda96532d953b543d85508b5')
  key.close()
  assert.is(sealing.open(Buffer.from('e0b9b52f91ae3908d72c569226d2d6cb7d2c73d02367afa1060377f24f533f8948006967fc395435c1709a2b7a607f', 'hex'), Buffer.from('ad')).toString(), 'message')
  sealing.close()
})
test('what is sealed opens as it was, and only so', async () => {
  const path = fresh()
  await createKeyFile(path, 'x', 'passphrase', Buffer.from('one'), quick)
  const key = await unlock(path, source('one')), a = new Sealing(key, 'a'), b = new Sealing(key, 'b'), message = Buffer.from('attack at dawn')
  const sealed = a.seal(message, Buffer.from('here'))
  assert.equal(a.open(sealed, Buffer.from('here')), message)
  assert.is.not(a.seal(message).toString('hex'), a.seal(message).toString('hex'))
  await fails('EIO', () => a.open(sealed, Buffer.from('there')))
  await fails('EIO', () => b.open(sealed, Buffer.from('here')))
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const bad = Buffer.from(sealed)
    bad[bit >> 3]! ^= 1 << (bit & 7)
    assert.is((await outcome(() => a.open(bad, Buffer.from('here'))))?.code, 'EIO')
  }
  const same = a.sealSame(message)
  assert.equal(a.sealSame(message), same)
  assert.equal(a.openSame(same), message)
  assert.is.not(b.sealSame(message).toString('hex'), same.toString('hex'))
  same[20]! ^= 1
  await fails('EIO', () => a.openSame(same))
})
test('the verb makes, adds, lists and removes, and prints no secret', async () => {
  const path = fresh(), one = source('pass one'), two = source(machine)
  const run = (...words: string[]) => spawnSync(join(root, 'bin/ninefold'), ['key', ...words], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  const good = (...words: string[]) => { const { status, stdout, stderr } = run(...words); assert.is(status, 0, stderr); return stdout }
  assert.is(good('new', '--from', one, '--ops', '1', '--mem', '64', path), '')
  assert.equal(JSON.parse(good('add', '--json', '--with', one, '--kind', 'secret', '--name', 'nas', '--from', two, path)), [{ name: 'passphrase', kind: 'passphrase', ops: 1, mem: 64 }, { name: 'nas', kind: 'secret' }])
  assert.is(good('list', path), 'passphrase  passphrase  Argon2id 1 passes, 0.0625 MiB\nnas  secret\n')
  const wrong = run('add', '--with', source('no'), '--name', 'z', '--from', two, path)
  assert.is(wrong.status, 1)
  assert.match(wrong.stderr, /^ninefold: key: .*opens none of its 2 slots \(passphrase, nas\)\.\n$/)
  good('remove', '--name', 'passphrase', path)
  assert.match(run('remove', '--name', 'nas', path).stderr, /--yes-lose-data/)
  good('remove', '--name', 'nas', '--yes-lose-data', path)
  assert.match(run('new', fresh()).stderr, /there is no terminal to ask at/)
})
test('keys are not among what a process that dumps itself writes of them', async () => {
  // Locked memory is VmLck in the kernel's own account of the process.
  const script = `const { unlock } = await import(${JSON.stringify(new URL('../translators/keys.js', import.meta.url).href)})
    const locked = () => Number(/VmLck:\\s+(\\d+)/.exec((await import('node:fs')).readFileSync('/proc/self/status', 'utf8'))[1])`.replace('(await import(\'node:fs\'))', 'fs')
  const path = fresh()
  await createKeyFile(path, 'x', 'passphrase', Buffer.from('one'), quick)
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', `import fs from 'node:fs'; ${script}
    const before = locked(); await unlock(${JSON.stringify(path)}, ${JSON.stringify(source('one'))}); console.log(locked() - before)`])
  assert.ok(Number(stdout) >= 4, `${stdout.trim()} KiB more are locked`)
})
test.run()
