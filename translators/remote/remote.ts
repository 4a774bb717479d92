import { isErrno } from 'ninep'
import { BadOption, choice, duration, int, size, text, translator } from '../options.ts'
import { Attendant } from './attendant.ts'
import { Peer } from './peer.ts'

/**
 * The tree of another 9P2000.L server. The peer checks permission for the one user that it is attached as, and this server for
 * everybody else: so that is to be root there, or who owns all of it. Nothing is cached.
 *
 * When the connection is lost it is made anew, and every node and handle found again by its names; one that has another
 * number by then is ESTALE. Calls wait for that until their time is up (ETIMEDOUT); what can't be repeated, and was on its way, is EIO.
 */
export const remote = translator({
  name: 'remote',
  about: 'The tree of another 9P server, or of a program that is one, over 9P2000.L.',
  children: 0,
  concurrent: true,
  options: {
    url: text({ about: 'where it is: tcp://HOST:PORT or unix:PATH', positional: true, default: '' }),
    aname: text({ about: 'what of it to attach to', default: '' }),
    user: text({ about: 'who to attach as, a number or a name that the peer knows; unless told, the server\'s own user', default: '' }),
    owner: choice(['host', 'none'], { about: 'owners of what is made: as clients have them (the peer must let `user` give files away), or `user`', default: process.geteuid?.() === 0 ? 'host' : 'none' }),
    timeout: duration({ about: 'what a call may take, waiting for a lost connection included', min: 0.05, max: 86400, default: 30 }),
    connections: int({ about: 'connections; those after the first carry data alone', min: 1, max: 64, default: 1 }),
    msize: size({ about: 'the largest message', min: 4096, max: 2 ** 26, default: 2 ** 20 + 24 }),
    command: text({ about: 'a program to run as the peer, in place of a URL: {socket} in it is the path where it has to listen', default: '', reserved: true }),
  },
  async start({ url, aname, user, owner, timeout, connections, msize, command }, _children, env) {
    if ((url === '') === (command === '')) throw new BadOption('remote: write either where the peer is (remote tcp://HOST:PORT, remote unix:PATH), or command=.')
    if (command === '' && !/^(unix:.|tcp:\/\/.)/.test(url)) throw new BadOption(`remote: "${url}" is no address. Write tcp://HOST:PORT or unix:PATH.`)
    if (command !== '' && !command.includes('{socket}')) throw new BadOption('remote: command: it has to say where the program listens: write {socket} for the path')
    const attendant = command === '' ? undefined : new Attendant(command, env.log)
    const where = { url: attendant?.url ?? url, aname, user, timeout: timeout * 1000, msize }
    try { return await new Peer(where, connections, owner === 'host', env, attendant).start() } catch (e) {
      if (isErrno(e, 'EINVAL')) throw new BadOption(`remote: ${e.message}`)
      throw e
    }
  },
})
