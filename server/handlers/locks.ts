// Tlock, Tgetlock: the table of the server, or where locks live below (another server's), that.

import { NAME_MAX, errno } from 'ninep'
import type { LockStatus } from 'ninep'
import type { Handlers } from './handlers.ts'

export const locks: Pick<Handlers, 'Tlock' | 'Tgetlock'> = {
  Tlock(session, { fid: number, ...want }, request) {
    const fid = session.file(number, 'lock'), { handle, file } = fid
    if (!handle) throw errno('EBADF', 'lock')
    if (want.clientId.length > NAME_MAX) throw errno('EINVAL', 'lock: the client id is a host name, and is kept with each lock')
    if (handle.lock) {
      const status = session.using(fid, request, () => handle.lock!(want, request))
      return status instanceof Promise ? status.then((status) => ({ status })) : { status }
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

  Tgetlock(session, { fid: number, ...asked }) {
    const { handle, file } = session.file(number, 'getlock'), want = { ...asked, flags: 0 }
    if (!handle) throw errno('EBADF', 'getlock')
    return handle.getlock ? handle.getlock(want) : session.shared.locks.getlock(file.wire, session, want)
  },
}
