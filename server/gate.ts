// Who comes in, as whom: Tattach's claims against what the peer may claim and what the attach point says.

import { NONUNAME, errno } from 'ninep'
import { admit, mayClaim } from './peer.ts'
import type { Peer } from './peer.ts'
import { NOBODY, UserDatabase, attachRules } from './users.ts'
import type { User } from './permission.ts'
import type { AttachRules } from './users.ts'

export class Gate {
  readonly users = new UserDatabase()
  /** Asked how owners are called: apart, so that who has files of many owners keeps nobody from coming in. */
  readonly names = new UserDatabase()
  #points: { readonly prefix: string; readonly rules: AttachRules }[] = []
  constructor(rules: ReadonlyMap<string, AttachRules>) { this.change(rules) }
  /** rules: by path of the namespace; an attach goes by the longest that its names lie at or below, else by the defaults. Who has come in stays. */
  change(rules: ReadonlyMap<string, AttachRules>): void {
    const all = new Map(rules)
    if (!all.has('/')) all.set('/', attachRules())
    this.#points = [...all].map(([path, rules]) => ({ prefix: path.endsWith('/') ? path : path + '/', rules }))
      .sort((a, b) => b.prefix.length - a.prefix.length)
  }

  /**
   * The user that a claim makes, and the rules he is under. names: the attach name's. nUname counts where it is given, else the name. One that the
   * host does not know is no claim, and neither is "nobody", which kernels say where they were told no name: who makes it is the
   * attach point's default user or nobody, but a peer who may not claim even that is who he is. EPERM: the peer may not claim that.
   */
  async admit(peer: Peer, uname: string, nUname: number, names: readonly string[]): Promise<{ user: User; rules: AttachRules }> {
    const known = nUname !== NONUNAME ? nUname : await this.users.uidOf(uname)
    const at = '/' + names.map((name) => name + '/').join('')
    const { rules } = this.#points.find(({ prefix }) => at.startsWith(prefix))!
    const named = known ?? rules.defaultUser, local = peer.kind !== 'tcp' || peer.loopback
    const claims = nUname !== NONUNAME || (known !== undefined && known !== NOBODY)
    const claimed = claims || !local || mayClaim(peer, named) ? named : peer.uid ?? NOBODY
    const user = await this.users.user(admit(peer, rules, claimed))
    return { user, rules }
  }

  /** Whether the control tree is for this peer. */
  governs(peer: Peer): boolean { return peer.kind === 'unix' && mayClaim(peer, 0) }

  /**
   * Who comes to the control tree: the server's own user or root, at the other end of a unix socket, whatever its mode lets in, and as nobody
   * else. The rules of attach points don't count. EACCES.
   */
  async admitOwner(peer: Peer, uname: string, nUname: number): Promise<{ user: User; rules: AttachRules }> {
    const refuse = () => errno('EACCES', 'attach', 'ctl')
    if (!this.governs(peer)) throw refuse()
    const uid = nUname !== NONUNAME ? nUname : await this.users.uidOf(uname) ?? peer.uid!
    if (uid !== 0 && uid !== process.getuid!()) throw refuse()
    return { user: await this.users.user(uid), rules: attachRules() }
  }
}
