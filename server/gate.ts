// Who comes in, as whom: Tattach's claims against what the peer may claim and what the attach point says.

import { NONUNAME } from 'ninep'
import { admit, mayClaim } from './peer.ts'
import type { Peer } from './peer.ts'
import { NOBODY, UserDatabase, attachRules } from './users.ts'
import type { User } from './permission.ts'
import type { AttachRules } from './users.ts'

export class Gate {
  readonly users = new UserDatabase()
  #points: { readonly prefix: string; readonly rules: AttachRules }[]
  /** rules: by path of the namespace; an attach goes by the longest that its names lie at or below, else by the defaults. */
  constructor(rules: ReadonlyMap<string, AttachRules>) {
    const all = new Map(rules)
    if (!all.has('/')) all.set('/', attachRules())
    this.#points = [...all].map(([path, rules]) => ({ prefix: path.endsWith('/') ? path : path + '/', rules }))
      .sort((a, b) => b.prefix.length - a.prefix.length)
  }

  /**
   * The user that a claim makes, and the rules he is under. names: the attach name's. nUname counts where it is given, else the name; a name that the
   * host does not know is nobody. Kernels say "nobody" where they were told no name: from a peer who may not claim even that,
   * it is no claim, and he is who he is. EPERM: the peer may not claim that.
   */
  async admit(peer: Peer, uname: string, nUname: number, names: readonly string[]): Promise<{ user: User; rules: AttachRules }> {
    const named = nUname !== NONUNAME ? nUname : await this.users.uidOf(uname) ?? NOBODY
    const claimed = nUname === NONUNAME && named === NOBODY && peer.uid !== undefined && !mayClaim(peer, NOBODY) ? peer.uid : named
    const at = '/' + names.map((name) => name + '/').join('')
    const { rules } = this.#points.find(({ prefix }) => at.startsWith(prefix))!
    const user = await this.users.user(admit(peer, rules, claimed))
    return { user, rules }
  }
}
