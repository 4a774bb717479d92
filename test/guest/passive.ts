// Passive translators as a user of a mount has them: set, crossed, and found again by a server that was started anew.

import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { missing } from '../needs.ts'
import type { Guest } from './guest.ts'
import type { Result } from './list.ts'
import { serve } from './serve.ts'

/** Serves a folder of its own on this port, twice, and mounts it by this line: each promise is a result. */
export async function passive(guest: Guest, home: string, port: number, mount: string): Promise<Result[]> {
  const lack = missing('setfattr')
  if (lack) return [{ name: 'setfattr', how: 'skip', why: lack }]
  const results: Result[] = [], own = process.getuid!() === 0 ? '' : ' owner=mapped'
  await mkdir(join(home, 'passive'))
  const words = ['serve', '--at', `/=posix ./passive${own}`, '--listen', `tcp://127.0.0.1:${port}`, '--state', './passive-state']
  /** Starts the server, mounts it, and does each of these lines; what they say must be this. */
  const served = async (when: string, lines: readonly (readonly [name: string, line: string, says: string])[]) => {
    await using server = await serve(home, words)
    const mounted = await guest.sh(mount, { limit: 30 })
    if (mounted.status !== 0) throw new Error(`mount: ${mounted.err}`)
    for (const [name, line, says] of lines) {
      const ran = await guest.sh(line, { cwd: '/mnt', limit: 30 }), said = (ran.out + ran.err).trim()
      results.push({ name: `${when}: ${name}`, ...(ran.status === 0 && said === says ? { how: 'ok' } : { how: 'not ok', why: `status ${ran.status}: ${said}, and not ${says}` }) })
    }
    const left = await guest.sh('umount /mnt', { limit: 30 })
    if (left.status !== 0) throw new Error(`umount: ${left.err}`)
  }
  const value = (file: string) => `getfattr --only-values -n user.translator ${file}`
  await served('first', [
    ['a record is set and the file is crossed', 'printf Hurd! > notes; setfattr -n user.translator -v rot13 notes; cat notes', 'Uheq!'],
    ['it is read', value('notes'), 'rot13'],
    ['and not listed', 'setfattr -n user.other -v x notes; getfattr -d -m - notes', '# file: notes\nuser.other="x"'],
    ['a copy does not carry it', `cp -a notes copy; cat copy; ${value('copy')} 2>&1 || true`, 'Uheq!copy: user.translator: No such attribute'],
    ['a directory is crossed', 'mkdir d; printf Mach > d/f; setfattr -n user.translator -v "rot13 shift=1" d; cat d/f; printf Lzbg > d/g', 'Lzbg'],
    ['what is not allowed is refused', 'setfattr -n user.translator -v "posix /etc" copy 2>&1 || true', 'setfattr: copy: Operation not permitted'],
    ['one that is taken off is gone', 'printf a > off; setfattr -n user.translator -v rot13 off; cat off; setfattr -x user.translator off; cat off', 'na'],
  ])
  const stored = await readFile(join(home, 'passive/notes'), 'utf8')
  results.push({ name: 'the folder has what was written', ...(stored === 'Hurd!' ? { how: 'ok' } : { how: 'not ok', why: stored }) })
  await served('after a restart', [
    ['the file is crossed again', 'cat notes', 'Uheq!'],
    ['the directory, too', 'cat d/f d/g', 'LzbgLzbg'],
    ['the record is read', `${value('notes')}; ${value('d')}`, 'rot13rot13 shift=1'],
    ['one that is open is not removed', 'exec 3< notes; rm notes 2>&1 || true; cat notes', 'rm: cannot remove \'notes\': Device or resource busy\nUheq!'],
    ['one that is not open goes with its record', 'rm notes; printf new > notes; cat notes', 'new'],
    ['a directory goes with its record', 'rm -r d; mkdir d; printf Mach > d/f; cat d/f', 'Mach'],
  ])
  return results
}
