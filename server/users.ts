// Who a uid is on this host, and what an attach point makes of who comes in.

import { execFile } from 'node:child_process'
import { BlockList, isIP } from 'node:net'
import { errno } from 'ninep'
import { BadOption, choice, flag, int, map } from '../translators/options.ts'
import type { Option, Values } from '../translators/options.ts'
import type { User } from './permission.ts'

/** Who has no rights of anybody: Linux's overflow uid and gid. */
export const NOBODY = 65534

/** How long an answer of the host's user database is believed, milliseconds. */
const TTL = 60_000
/** A name service that takes longer has failed, milliseconds. */
const TIMEOUT = 5_000
/** Lookups at the same time: each is a child process. The rest waits. */
const AT_ONCE = 4
/** Answers kept: whoever may claim any uid could ask for all of them. The oldest goes first. */
const KEPT = 4096

/**
 * The host's user database, as its own programs `id` and `getent` ask it (files, LDAP, whatever is configured), in child
 * processes: nothing here waits in the loop. Answers live for a minute, and lookups of the same key are shared. A lookup
 * that fails, or takes longer than five seconds, is an error (EIO, ETIMEDOUT) for those that wait for it, and not kept.
 */
export class UserDatabase {
  /** value: once it is there. */
  readonly #answers = new Map<string, { readonly answer: Promise<unknown>; readonly until: number; value?: unknown }>()
  readonly #queue: (() => void)[] = []
  #running = 0
  /** timeout: how long a name service may take, milliseconds. */
  constructor(private readonly timeout = TIMEOUT) {}

  /**
   * The user with the groups that the database says. A uid that it does not know (the users of a guest) is in one group, of
   * the uid's own number, as most systems give it; but not where that is a group of this host, which would be a way into it:
   * then in nobody's.
   */
  user(uid: number): Promise<User> {
    return this.#shared(`user ${uid}`, async () => {
      const known = await this.#ask('id', ['-G', '--', `+${uid}`])
      if (known !== undefined) {
        const groups = known.trim().split(/\s+/).map(Number)
        if (!groups.every((gid) => Number.isSafeInteger(gid))) throw errno('EIO', 'id', String(uid))
        return { uid, gid: groups[0]!, groups: new Set(groups) }
      }
      const gid = await this.#ask('getent', ['group', String(uid)]) === undefined ? uid : NOBODY
      return { uid, gid, groups: new Set([gid]) }
    })
  }

  /** The uid of a name (of digits: that number), undefined if there is none. */
  uidOf(name: string): Promise<number | undefined> {
    if (/^\d{1,10}$/.test(name)) return Promise.resolve(Number(name) < 0xffffffff ? Number(name) : undefined)
    if (!/^[^\0-\x20:+]{1,256}$/.test(name)) return Promise.resolve(undefined)
    return this.#shared(`name ${name}`, async () => {
      const known = await this.#ask('id', ['-u', '--', name])
      return known === undefined ? undefined : Number(known)
    })
  }

  /** The gid of a group's name, as uidOf. */
  gidOf(name: string): Promise<number | undefined> {
    if (/^\d{1,10}$/.test(name)) return Promise.resolve(Number(name) < 0xffffffff ? Number(name) : undefined)
    if (!/^[^\0-\x20:+]{1,256}$/.test(name)) return Promise.resolve(undefined)
    return this.#shared(`group name ${name}`, async () => {
      const known = await this.#ask('getent', ['group', '--', name])
      return known === undefined ? undefined : Number(known.split(':')[2])
    })
  }

  /** The name of a uid or gid; its digits where there is none, or where the database does not say within its time. Never rejects. */
  nameOf(database: 'passwd' | 'group', id: number): Promise<string> {
    return this.#shared(`${database} ${id}`, async () => {
      const line = await this.#ask('getent', [database, '--', String(id)]).catch(() => undefined)
      const name = line?.split(':')[0] ?? ''
      return /^[^\0-\x20]{1,64}$/.test(name) ? name : String(id)
    })
  }
  /** The same where it was asked for within the last minute, at once. */
  known(database: 'passwd' | 'group', id: number): string | undefined {
    const kept = this.#answers.get(`${database} ${id}`)
    return kept && kept.until > Date.now() ? kept.value as string | undefined : undefined
  }

  #shared<T>(key: string, look: () => Promise<T>): Promise<T> {
    const now = Date.now(), kept = this.#answers.get(key)
    if (kept && kept.until > now) return kept.answer as Promise<T>
    const answer = look(), fresh: { answer: Promise<T>; until: number; value?: T } = { answer, until: now + TTL }
    this.#answers.delete(key)                               // to stand last
    this.#answers.set(key, fresh)
    answer.then((value) => { fresh.value = value }, () => {})
    for (const oldest of this.#answers.keys()) if (this.#answers.size > KEPT) this.#answers.delete(oldest); else break
    answer.catch(() => { if (this.#answers.get(key)?.answer === answer) this.#answers.delete(key) })
    return answer
  }

  async #ask(name: string, args: readonly string[]): Promise<string | undefined> {
    while (this.#running >= AT_ONCE) await new Promise<void>((go) => { this.#queue.push(go) })
    this.#running++
    try {
      return await run(name, args, this.timeout)
    } finally {
      this.#running--
      this.#queue.shift()?.()
    }
  }
}

/** Runs `id` or `getent`; undefined: no such entry. ETIMEDOUT after so many milliseconds, EIO where it can't be run or says neither yes nor no. */
function run(name: string, args: readonly string[], timeout: number): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const env = { PATH: process.env.PATH ?? '/usr/bin:/bin', LC_ALL: 'C' }
    execFile(name, args, { env, timeout, killSignal: 'SIGKILL', maxBuffer: 2 ** 22 }, (error, stdout, stderr) => {
      if (!error) resolve(stdout)
      else if (error.killed) reject(errno('ETIMEDOUT', name, args.join(' '), error))
      else if (name === 'getent' ? error.code === 2 : /no such user|unknown user/.test(stderr)) resolve(undefined)
      else reject(errno('EIO', name, args.join(' '), error))
    })
  })
}

/** What an attach point makes of those who come in. uids: how theirs and ours correspond. */
export interface AttachRules {
  readonly squash: 'none' | 'root' | 'all'
  readonly readOnly: boolean
  /** Who comes in under a name that the host does not know. */
  readonly defaultUser: number
  readonly uids: Uids
  readonly from: AllowList
}

/**
 * Uids both ways. toServed is for what clients say (who they are, whom they chown to), toClient for what they are shown.
 * What the map does not name stays as it is, unless the other side uses that number for somebody else, who must be neither
 * impersonated nor mistaken: then it is nobody. Gids are the same on both sides.
 */
export interface Uids { toServed(uid: number): number; toClient(uid: number): number }
/** Nothing is mapped. */
export const sameUids: Uids = { toServed: (uid) => uid, toClient: (uid) => uid }

/** Which addresses outside this host may come in: 'root' where their uid 0 is believed to be root, too. */
export interface AllowList { readonly lines: readonly string[]; admits(address: string): 'root' | 'user' | undefined }

const pairs = map(int({ about: 'the uid that it is served as', max: 0xfffffffe }), { about: 'client uid to the uid that it is served as, one to one' })

/** The keys of `attach: PATH:` in a config. */
export const attachOptions = {
  squash: choice(['none', 'root', 'all'], { about: 'who is served as nobody: no one, root, or all', default: 'none' }),
  'read-only': flag({ about: 'refuse all changes', default: false }),
  'default-user': int({ about: 'the uid of whoever comes in under a name that the host does not know, or none', max: 0xfffffffe, default: NOBODY }),
  'uid-map': { ...pairs, optional: true, default: sameUids, parse: (value) => uidMap(pairs.parse(value)) } as Option<Uids, true>,
  from: {
    about: 'networks outside this host that may come in; root@ before one believes its root', takes: 'a list of networks (192.0.2.0/24, root@192.0.2.7)',
    optional: true, default: allowList([]), schema: { type: 'array', items: { type: 'string' } },
    parse: (value) => allowList(typeof value === 'string' ? value.split(',') : value),
  } as Option<AllowList, true>,
} as const

/** The rules of an attach point from the values of attachOptions; what is absent has its default. */
export function attachRules(values: Partial<Values<typeof attachOptions>> = {}): AttachRules {
  const { squash = 'none', 'read-only': readOnly = false, 'default-user': defaultUser = NOBODY, 'uid-map': uids = sameUids, from = attachOptions.from.default! } = values
  return { squash, readOnly, defaultUser, uids, from }
}

/** Who a client that claims this uid, and is believed, is here: mapped first, then squashed to nobody. */
export function applyRules({ squash, uids }: AttachRules, claimed: number): number {
  const uid = uids.toServed(claimed)
  return squash === 'all' || (squash === 'root' && uid === 0) ? NOBODY : uid
}

function uidMap(entries: Readonly<Record<string, number>>): Uids {
  const to = new Map<number, number>(), back = new Map<number, number>()
  for (const [key, served] of Object.entries(entries)) {
    const client = Number(key)
    if (!/^\d{1,10}$/.test(key) || client >= 0xffffffff) throw new BadOption(`"${key}" is not a uid. Write 1000:500.`)
    if (back.has(served)) throw new BadOption(`${back.get(served)} and ${client} both become ${served}, so its owner could not be shown. Map one of them.`)
    to.set(client, served)
    back.set(served, client)
  }
  if (to.size === 0) return sameUids
  return {
    toServed: (uid) => to.get(uid) ?? (back.has(uid) ? NOBODY : uid),
    toClient: (uid) => back.get(uid) ?? (to.has(uid) ? NOBODY : uid),
  }
}

function allowList(value: unknown): AllowList {
  if (!Array.isArray(value) || !value.every((line) => typeof line === 'string')) throw new BadOption(`${JSON.stringify(value)} is not a list of networks. Write ['192.0.2.0/24'].`)
  const user = new BlockList(), root = new BlockList(), lines = value.map((line: string) => line.trim())
  for (const line of lines) {
    const m = /^(root@)?([0-9a-fA-F.:]+)(?:\/(\d{1,3}))?$/.exec(line), family = m ? isIP(m[2]!) : 0
    const bits = family === 4 ? 32 : 128, prefix = Number(m?.[3] ?? bits)
    if (!m || family === 0 || prefix > bits) throw new BadOption(`"${line}" is not a network. Write 192.0.2.0/24, or an address.`)
    const list = m[1] ? root : user
    list.addSubnet(m[2]!, prefix, family === 4 ? 'ipv4' : 'ipv6')
  }
  return {
    lines,
    admits(address) {
      const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
      return root.check(address, family) ? 'root' : user.check(address, family) ? 'user' : undefined
    },
  }
}
