// ninefold events.

import { O, isErrno } from 'ninep'
import { governing } from './control.ts'
import { writeOut } from './pump.ts'
import type { Where } from './remote.ts'

/** Writes what happens as it does, a line of JSON each, until it is ended or the server stops. */
export async function events(where: Where): Promise<void> {
  await governing(where, async (remote) => {
    const { client, fid } = await (await remote.find('/events')).open(O.RDONLY), into = Buffer.allocUnsafe(65536)
    // a server that stops ends a read that waits, and takes no other
    const read = (at: number) => client.read(fid, at, into).catch((e: unknown) => { if (isErrno(e, 'ECONNRESET')) return 0; throw e })
    for (let at = 0, count; (count = await read(at)) > 0; at += count) await writeOut(into.subarray(0, count))
  })
}
