import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as net from 'node:net'
import * as os from 'node:os'
import * as path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isErrno } from 'ninep'
import type { Code } from 'ninep'
import * as sys from '../translators/sys.ts'

const test = suite('sys')

/** That f is refused with this errno, and with a message that names the call. */
function refused(code: Code, op: string, f: () => unknown): void {
  try { f() } catch (e) {
    assert.ok(isErrno(e, code), `${String(e)} is not ${code}`)
    assert.ok((e as Error).message.startsWith(`${code}: ${op}`), (e as Error).message)
    return
  }
  assert.unreachable(`${op} was not refused with ${code}`)
}

test('dupCloexec: another number for the same file, not inherited', () => {
  const fd = fs.openSync('/dev/null', 'r')
  const copy = sys.dupCloexec(fd)
  assert.is.not(copy, fd)
  assert.is(fs.readlinkSync(`/proc/self/fd/${copy}`), '/dev/null')
  assert.match(fs.readFileSync(`/proc/self/fdinfo/${copy}`, 'utf8'), /^flags:\s+0?2[0-7]{6}$/m)
  fs.closeSync(copy)
  fs.closeSync(fd)
  refused('EBADF', 'dup', () => sys.dupCloexec(copy))
})

test('peerCredentials: who is at the other end of a unix socket', async () => {
  const at = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'ninefold-sys-')), 's')
  const server = net.createServer().listen(at)
  try {
    const accepted = new Promise<net.Socket>((resolve) => server.once('connection', resolve))
    const client = net.connect(at)
    const socket = await accepted
    const fd = (socket as unknown as { _handle: { fd: number } })._handle.fd
    assert.equal(sys.peerCredentials(fd), { pid: process.pid, uid: process.getuid!(), gid: process.getgid!() })
    client.destroy()
    socket.destroy()
  } finally {
    server.close()
    fs.rmSync(path.dirname(at), { recursive: true })
  }
  const fd = fs.openSync('/dev/null', 'r')
  refused('EIO', 'getsockopt', () => sys.peerCredentials(fd))   // ENOTSOCK: none of the protocol's numbers
  fs.closeSync(fd)
})

test('without koffi the module loads, and the first call says what is missing', () => {
  const script = `
    import Module from 'node:module'
    const load = Module._load
    Module._load = (name, ...rest) => { if (name === 'koffi') throw new Error('no binary'); return load(name, ...rest) }
    const sys = await import(${JSON.stringify(new URL('../translators/sys.js', import.meta.url).href)})
    try { sys.dupCloexec(0) } catch (e) { console.log(e.message) }`
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
  assert.match(stdout, /koffi does not load on this machine\. Run npm ci/, stderr)
})

test.run()
