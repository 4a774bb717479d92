// Tlock, Tgetlock: the table of the server, or where locks live below (another server's), that.

import { Lock, NAME_MAX, errno } from 'ninep'
import type { LockStatus } from 'ninep'
import type { Handlers } from './handlers.ts'

export const locks: Pick<Handlers, 'Tlock' | 'Tgetlock'> = {
  Tlock(session, { fid: number, ...want }, request) {
    const fid = session.file(number, 'lock'), { handle, file } = fid
    if (!handle) throw errno('EBADF', 'lock')
    if (want.clientId.length > NAME_MAX) throw errno('EINVAL', 'lock: the client id is a host name, and is kept with each lock')
    if (handle.lock) {
      const status = session.using(fid, request, () => handle.lock!(want, request))
      if (!(status instanceof Promise)) return { status }
      if ((want.flags & Lock.BLOCK) === 0) return status.then((status) => ({ status }))
      // It may take as long as a lock is held: it does not count among the requests, and ends by its abort.
      const { work } = session.shared
      request.cancel = () => false
      work.begin()
      return status.then((status) => ({ status })).finally(() => work.end())
    }
    let settle!: (status: LockStatus) => void
    const result = session.shared.locks.lock(file.wire, session, fid, want, (status) => settle(status))
    if (typeof result === 'number') return { status: result }
    // The reply is held until the lock is granted, or the fid goes.
    request.fid = fid
    request.cancel = () => { result.cancel(); return true }
    return new Promise((answer) => {
      settle = (status) => {
        request.cancel = null
        answer({ status })
      }
    })
  },

  Tgetlock(session, { fid: number, ...asked }, request) {
    const fid = session.file(number, 'getlock'), { handle, file } = fid, want = { ...asked, flags: 0 }
    if (!handle) throw errno('EBADF', 'getlock')
    return handle.getlock ? session.using(fid, request, () => handle.getlock!(want)) : session.shared.locks.getlock(file.wire, session, want)
  },
}
