// ninefold key: the slots of a key file. What opens them is never printed, and never a word of the command line, which others can see.

import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { addSlot, createKeyFile, KeyError, listSlots, removeSlot, secretOf } from '../../translators/keys.ts'
import type { Kind } from '../../translators/keys.ts'
import { Failure, Misuse } from './failure.ts'
import { print } from './format.ts'

export interface KeyFlags { readonly json: boolean; readonly name?: string; readonly kind: Kind; readonly from?: string; readonly with?: string; readonly yesLoseData: boolean; readonly ops?: number; readonly mem?: number }

export async function key(action: 'new' | 'add' | 'remove' | 'list', file: string, flags: KeyFlags): Promise<void> {
  const { name, kind, from, json } = flags, how = { ops: flags.ops ?? 3, mem: flags.mem ?? 65_536 }
  if (action === 'remove' && name === undefined) throw new Misuse('remove takes the slot: --name')
  try {
    if (action === 'new') await createKeyFile(file, name ?? kind, kind, await asked(from, `New ${kind}`, true), how)
    else if (action === 'add') await addSlot(file, await asked(flags.with, 'A passphrase of the file', false), name ?? kind, kind, await asked(from, `New ${kind}`, true), how)
    else if (action === 'remove') await removeSlot(file, name!, flags.yesLoseData)
    const slots = (await listSlots(file)).map(({ name, kind, ops, mem }) => ({ name, kind, ...(ops === undefined ? {} : { ops, mem }) }))
    if (json) print(JSON.stringify(slots))
    else if (action === 'list') print(...slots.map(({ name, kind, ops, mem }) => `${name}  ${kind}${ops === undefined ? '' : `  Argon2id ${ops} passes, ${mem! / 1024} MiB`}`))
  } catch (e) { throw e instanceof KeyError ? new Failure(e.message) : e }
}

async function asked(source: string | undefined, prompt: string, twice: boolean): Promise<Buffer> {
  if (source !== undefined) return secretOf(source)
  if (!process.stdin.isTTY) throw new Misuse(`${prompt}: there is no terminal to ask at. Say where it comes from: --from${twice ? '' : ' or --with'} file:PATH, env:NAME or command:LINE`)
  const first = await typed(`${prompt}: `)
  if (first === '') throw new Failure('nothing was typed')
  if (twice && first !== await typed('Again: ')) throw new Failure('these were two different ones')
  return Buffer.from(first)
}
/** A line from the terminal, which is not shown. */
function typed(prompt: string): Promise<string> {
  process.stderr.write(prompt)
  const hidden = new Writable({ write: (_chunk, _encoding, done) => { done() } })
  const reader = createInterface({ input: process.stdin, output: hidden, terminal: true })
  return new Promise((resolve, reject) => {
    reader.once('line', (line) => { resolve(line); reader.close() })
    reader.once('SIGINT', () => { reject(new Failure('interrupted')); reader.close() })
  }).finally(() => process.stderr.write('\n')) as Promise<string>
}
