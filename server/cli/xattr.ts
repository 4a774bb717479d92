// ninefold xattr.

import { bytesOfName } from 'ninep'
import { failure, Misuse } from './failure.ts'
import { print, shown } from './format.ts'
import { session } from './remote.ts'
import type { Where } from './remote.ts'
import { readAll } from './stream.ts'

type Action = 'list' | 'get' | 'set' | 'remove'

/** Values are bytes: get writes them as they are, with a newline on a terminal only; as JSON they are in base64. */
export async function xattr(where: Where, action: Action, path: string, name: string | undefined, value: string | undefined, { json }: { json: boolean }): Promise<void> {
  if (action === 'list' ? name !== undefined : name === undefined) throw new Misuse(action === 'list' ? 'list takes a path and no name' : `${action} takes a path and the name of an attribute`)
  if ((action === 'set') !== (value !== undefined)) throw new Misuse(action === 'set' ? 'set takes a value; - is standard input' : `${action} takes no value`)
  const bytes = value === undefined ? undefined : value === '-' ? await readAll(process.stdin) : bytesOfName(value)
  await session(where, async (remote) => {
    try {
      await using file = await remote.find(path)
      if (action === 'set') await file.setxattr(name!, bytes!)
      else if (action === 'remove') await file.removexattr(name!)
      else if (action === 'get') {
        const found = await file.getxattr(name!)
        if (json) print(JSON.stringify({ path, name, value: Buffer.from(found).toString('base64') }))
        else process.stdout.write(process.stdout.isTTY ? Buffer.concat([found, Buffer.from('\n')]) : found)
      } else {
        const names = (await file.listxattr()).sort()
        if (json) print(JSON.stringify(names))
        else print(...names.map(shown))
      }
    } catch (e) { throw failure(name === undefined ? path : `${path}: ${name}`, e) }
  })
}
