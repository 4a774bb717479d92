// A session of a mount, recorded on its way, as another reader of 9P sees it: tshark's dissector.

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { missing } from '../needs.ts'
import type { Guest } from './guest.ts'
import type { Result } from './list.ts'
import { record } from './record.ts'

const run = promisify(execFile)

/** Message types that a session of these lines must hold: what Linux sends of 9P2000.L. Values of the documents. */
const wanted: Readonly<Record<string, number>> = {
  Rlerror: 7, Tstatfs: 8, Tlopen: 12, Tlcreate: 14, Tsymlink: 16, Tmknod: 18, Treadlink: 22, Tgetattr: 24, Tsetattr: 26, Txattrwalk: 30,
  Txattrcreate: 32, Treaddir: 40, Tfsync: 50, Tlock: 52, Tgetlock: 54, Tlink: 70, Tmkdir: 72, Trenameat: 74, Tunlinkat: 76, Tversion: 100,
  Tattach: 104, Twalk: 110, Tread: 116, Twrite: 118, Tclunk: 120,
}

/** Checks that between them send all of these, but for what a plain copy does. */
const subjects = ['statvfs: ', 'symlink: ', 'rename: over', 'xattr: is', 'fcntl: F_GET', 'mknod: ', 'truncate: ', 'fsync: ', 'readdir: small']

/** Mounts by a recorder, works there, and dissects: each promise about the capture is a result. */
export async function capture(guest: Guest, port: number, file: string, mount: string, checker: string): Promise<Result[]> {
  const lack = missing('tshark')
  if (lack) return [{ name: 'tshark', how: 'skip', why: lack }]
  const recorder = await record(port, file)
  const ran = await guest.sh(`${mount.replaceAll(String(port), String(recorder.port))}
    mkdir -m 777 /mnt/session
    for subject in ${subjects.map((subject) => `'${subject}'`).join(' ')}; do
      ${checker} --many 50 --only "$subject" /mnt/session > /dev/null || true
    done
    head -c 300000 /dev/zero > /mnt/session/zeros; cat /mnt/session/zeros > /dev/null; rm -rf /mnt/session; umount /mnt`, { limit: 240 })
  await recorder.close()
  const results: Result[] = []
  const promise = (name: string, kept: boolean, why: string) => results.push(kept ? { name, how: 'ok' } : { name, how: 'not ok', why })
  promise('the recorded session works', ran.status === 0, `status ${ran.status}: ${ran.err}`)

  const dissect = async (...args: string[]) => {
    const { stdout } = await run('tshark', ['-n', '-r', file, '-d', `tcp.port==${recorder.port},9p`, ...args], { maxBuffer: 1 << 28 })
    return stdout.split('\n').filter((line) => line !== '')
  }
  // tshark 4.0 looks for flags[4] in Tgetlock and Rgetlock, which only Tlock has: those two it can't read, whoever sends them.
  const malformed = await dissect('-Y', '(_ws.malformed || _ws.expert.severity == error) && !(9p.msgtype == 54 || 9p.msgtype == 55)')
  promise('no packet is malformed', malformed.length === 0, `${malformed.length} are: ${malformed.slice(0, 5).join('\n')}`)
  const other = await dissect('-2', '-Y', 'tcp.len > 0 && !9p && !tcp.reassembled_in')
  promise('every packet is 9P', other.length === 0, `${other.length} are not: ${other.slice(0, 5).join('\n')}`)
  const types = new Map<number, number>()
  for (const line of await dissect('-Y', '9p', '-T', 'fields', '-e', '9p.msgtype')) {
    for (const type of line.split(',').map(Number)) types.set(type, (types.get(type) ?? 0) + 1)
  }
  const absent = Object.entries(wanted).filter(([, type]) => !types.has(type)).map(([name]) => name)
  promise('the session holds what Linux sends', absent.length === 0, `it has no ${absent.join(', ')}`)
  const unanswered = [...types].filter(([type, count]) => type % 2 === 0 && type !== 6 && count < (types.get(type + 1) ?? 0)).map(([type]) => type)
  promise('no type has more answers than questions', unanswered.length === 0, `types ${unanswered.join(', ')}`)
  return results
}
