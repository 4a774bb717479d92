// A client of 9P2000 or 9P2000.u: one set of types for both, that of .u, whose fields 9P2000 leaves out of what is sent and lacks in
// what comes. It is as strict as plan9port's: lengths are exact, and a stat is as long as it says.

import { DM, DONT_TOUCH, NOFID, NOTAG, OPEN, statsOf, unixStatsOf } from 'ninep'
import type { Code, Fields, UnixStat } from 'ninep'
import { userInfo } from 'node:os'
import { SPARE, Wire } from '../raw.ts'

export type Old = '9P2000' | '9P2000.u'
/** Who runs the tests, as a string: all that 9P2000 has. */
export const me = userInfo().username

export class Plan9 extends Wire<'9P2000.u'> {
  static async connect(url: string, dialect: Old): Promise<Plan9> { return new Plan9(await Plan9.dial(url), dialect) }
  /** Connected, and agreed on the dialect. */
  static async versioned(url: string, dialect: Old, msize = 65536): Promise<Plan9> {
    const client = await Plan9.connect(url, dialect)
    await client.version(msize)
    return client
  }

  get unix(): boolean { return this.dialect === '9P2000.u' }

  async version(msize = 65536): Promise<Fields<'Rversion', '9P2000.u'>> {
    const got = await this.ok('Tversion', { msize, version: this.dialect }, NOTAG)
    this.msize = got.msize
    return got
  }
  attach(fid: number, aname = '', uname = me, nUname = 0xffffffff): Promise<Fields<'Rattach', '9P2000.u'>> {
    return this.ok('Tattach', { fid, afid: NOFID, uname, aname, nUname })
  }
  walk(fid: number, newfid: number, ...names: string[]): Promise<Fields<'Rwalk', '9P2000.u'>> { return this.ok('Twalk', { fid, newfid, names }) }
  open(fid: number, mode: number = OPEN.READ): Promise<Fields<'Ropen', '9P2000.u'>> { return this.ok('Topen', { fid, mode }) }
  /** Tcreate on a clone of the directory `fid`: `newfid` is what was made. */
  async create(fid: number, newfid: number, name: string, perm = 0o644, mode: number = OPEN.RDWR, extension = ''): Promise<Fields<'Rcreate', '9P2000.u'>> {
    await this.walk(fid, newfid)
    return this.ok('Tcreate', { fid: newfid, name, perm, mode, extension })
  }
  /** How Tcreate on a clone of the directory ends; the fid is gone afterwards. */
  async creation(fid: number, name: string, perm = 0o644, mode: number = OPEN.READ, extension = ''): Promise<Code | 'ok'> {
    await this.walk(fid, SPARE)
    const outcome = await this.outcome('Tcreate', { fid: SPARE, name, perm, mode, extension })
    await this.clunk(SPARE)
    return outcome
  }
  /** A new file that no fid names. */
  async file(fid: number, name: string, content: string | Uint8Array = '', perm = 0o644): Promise<void> {
    await this.create(fid, SPARE, name, perm, OPEN.WRITE)
    if (content.length > 0) await this.write(SPARE, content)
    await this.clunk(SPARE)
  }
  async mkdir(fid: number, name: string, perm = 0o755): Promise<void> {
    await this.create(fid, SPARE, name, DM.DIR + perm, OPEN.READ)
    await this.clunk(SPARE)
  }
  async clunk(...fids: number[]): Promise<void> { for (const fid of fids) await this.ok('Tclunk', { fid }) }
  async stat(fid: number): Promise<UnixStat> { return (await this.ok('Tstat', { fid })).stat }
  /** The stat of what these names lead to from `fid`. */
  async statAt(fid: number, ...names: string[]): Promise<UnixStat> {
    await this.walk(fid, SPARE, ...names)
    const stat = await this.stat(SPARE)
    await this.clunk(SPARE)
    return stat
  }
  /** How a Twstat ends that touches only these fields. */
  wstat(fid: number, fields: Partial<UnixStat>): Promise<Code | 'ok'> { return this.outcome('Twstat', { fid, stat: { ...DONT_TOUCH, ...fields } }) }
  async data(fid: number, offset: number, count: number): Promise<Uint8Array> { return (await this.ok('Tread', { fid, offset, count })).data }
  async read(fid: number, offset = 0, count = 4096): Promise<string> { return Buffer.from(await this.data(fid, offset, count)).toString('latin1') }
  async write(fid: number, data: string | Uint8Array, offset = 0): Promise<number> {
    return (await this.ok('Twrite', { fid, offset, data: typeof data === 'string' ? Buffer.from(data) : data })).count
  }
  /** What the file holds that these names lead to from `fid`. */
  async content(fid: number, ...names: string[]): Promise<string> {
    await this.walk(fid, SPARE, ...names)
    await this.open(SPARE)
    const text = await this.read(SPARE)
    await this.clunk(SPARE)
    return text
  }
  /** One Tread of a directory that is open: whole entries, or an error. */
  async entries(fid: number, offset = 0, count = 8192): Promise<{ stats: readonly UnixStat[]; length: number }> {
    const data = await this.data(fid, offset, count)
    if (data.length > count) throw new Error(`Tread of ${count} bytes got ${data.length}`)
    return { stats: this.unix ? unixStatsOf(data) : statsOf(data) as UnixStat[], length: data.length }
  }
  /** A directory that is open, from beginning to end. */
  async listing(fid: number, count = 8192): Promise<UnixStat[]> {
    const all: UnixStat[] = []
    for (let offset = 0; ;) {
      const { stats, length } = await this.entries(fid, offset, count)
      if (length === 0) return all
      all.push(...stats)
      offset += length
    }
  }
  /** The names in the directory that these names lead to from `fid`, sorted. */
  async ls(fid: number, ...names: string[]): Promise<string[]> {
    await this.walk(fid, SPARE, ...names)
    await this.open(SPARE)
    const all = (await this.listing(SPARE)).map(({ name }) => name)
    await this.clunk(SPARE)
    return all.sort()
  }
}
