// Somebody else at work on the same server: files that hold what was written, fids that stand for what they stood for, locks
// that are there for the taking. And who clears up behind the others, and sees that they left nothing.

import { AT_REMOVEDIR, Dt, Lock, O, connect, isErrno } from 'ninep'
import type { Client, Dirent, File } from 'ninep'
import { within } from '../wire/raw.ts'
import { MOUNT, PIT, one } from './pools.ts'
import type { Roll } from './pools.ts'
import { LIMIT } from './subject.ts'
import type { Subject } from './subject.ts'

function must(ok: boolean, what: string): void { if (!ok) throw new Error(`another client was harmed: ${what}`) }
function awaited<T>(what: string, promise: Promise<T>): Promise<T> { return within(LIMIT, `another client hangs: ${what}`, promise) }

export class Witness {
  #files = new Map<string, Buffer>()
  #count = 0
  private constructor(readonly client: Client, readonly dir: File, readonly kept: File) {}

  static async enter(subject: Subject): Promise<Witness> {
    const client = await connect(subject.urls[0]!)
    const dir = await client.attach({ aname: subject.haven })
    const kept = await dir.create('kept', O.RDWR, 0o600)
    await kept.write(Buffer.from('kept'), 0)
    const witness = new Witness(client, dir, kept)
    witness.#files.set('kept', Buffer.from('kept'))
    return witness
  }

  /** Some work. */
  async step(roll: Roll): Promise<void> {
    const { dir } = this, names = [...this.#files.keys()].filter((name) => name !== 'kept')
    if (names.length < 4 || (names.length < 12 && roll(2))) {
      const name = `file ${this.#count++}`, content = Buffer.alloc(roll(30_000), name)
      const file = await awaited('create', dir.create(name, O.RDWR, 0o600))
      await awaited('write', file.write(content, 0))
      must(await awaited('lock', file.lock({ type: Lock.WRLCK, flags: 0, start: 0n, length: 0n, procId: 1, clientId: 'witness' })) === Lock.SUCCESS, 'a lock of its own file')
      await awaited('clunk', file.clunk())
      this.#files.set(name, content)
      return
    }
    const name = one(roll, names)
    switch (roll(3)) {
      case 0:
        await awaited('unlinkat', dir.unlinkat(name))
        this.#files.delete(name)
        return
      case 1: {
        const to = `file ${this.#count++}`
        await awaited('renameat', dir.renameat(name, dir, to))
        this.#files.set(to, this.#files.get(name)!)
        this.#files.delete(name)
        return
      }
      default: await this.#check(name)
    }
  }
  async #check(name: string): Promise<void> {
    const want = this.#files.get(name)!, file = await awaited('walk', this.dir.walk(name))
    await awaited('open', file.open())
    const got = await awaited('read', file.read(0, want.length + 1))
    must(want.equals(got), `${name} holds ${got.length} bytes that differ from the ${want.length} written`)
    await awaited('clunk', file.clunk())
  }
  /** All that it has. */
  async check(): Promise<void> {
    const listed = await awaited('readdir', names(this.dir))
    must(listed.map(({ name }) => name).sort().join() === [...this.#files.keys()].sort().join(), `its folder holds ${listed.map(({ name }) => name).join()}`)
    for (const name of this.#files.keys()) await this.#check(name)
    must((await awaited('read', this.kept.read(0, 10))).toString() === 'kept', 'a fid that was open all the time')
  }
  /** Removes what it made, but for the one file. */
  async tidy(): Promise<void> {
    for (const name of [...this.#files.keys()]) {
      if (name === 'kept') continue
      await awaited('unlinkat', this.dir.unlinkat(name))
      this.#files.delete(name)
    }
  }
  async leave(): Promise<void> { await awaited('close', this.client.close()) }
}

async function names(dir: File): Promise<Dirent[]> {
  await using open = await dir.walk()
  await open.open(O.RDONLY)
  const all: Dirent[] = []
  for await (const entry of open.readdir()) all.push(entry)
  return all
}

function orNone(e: unknown): string[] {
  if (isErrno(e, 'EOPNOTSUPP')) return []
  throw e
}

/** A call that may fail as the stack likes: until it does not. */
async function persist<T>(what: string, f: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try { return await awaited(what, f()) } catch (e) { if (!isErrno(e, 'EIO') || tries > 100) throw e }
  }
}

/** What a place has left, by its statfs. */
async function room(place: File): Promise<string> {
  const { files, ffree, bfree } = await persist('statfs', () => place.statfs())
  return `${files - ffree} files, ${bfree} blocks free`
}

export class Cleaner {
  #base: string | undefined
  /** Files whose locks are tried, a round. */
  #probes = 0
  private constructor(readonly client: Client, readonly pit: File, readonly mount: File, readonly counts: boolean) {}
  static async enter(subject: Subject): Promise<Cleaner> {
    // Whatever a first connection of either kind makes the server open stays open.
    for (const url of subject.urls) await (await connect(url)).close()
    const client = await connect(subject.urls[0]!)
    const pit = await client.attach({ aname: PIT })
    const mount = await persist('walk', () => pit.walk(MOUNT))
    const cleaner = new Cleaner(client, pit, mount, subject.stack !== 'posix')
    cleaner.#base = await cleaner.#room()
    return cleaner
  }
  async #room(): Promise<string> { return `${this.counts ? await room(this.pit) : ''} and ${await room(this.mount)}` }

  /** Removes all that others made. Throws where somebody gone still holds a lock, or (where that is counted) a file. */
  async clean(): Promise<void> {
    this.#probes = 60
    for (const place of [this.mount, this.pit]) {
      await this.#empty(place)
      for (const name of await persist('listxattr', () => place.listxattr().catch(orNone))) await persist('removexattr', () => place.removexattr(name))
      await persist('setattr', () => place.setattr({ mode: 0o777, ...process.getuid!() === 0 && { uid: 0, gid: 0 } }))
    }
    let left = ''
    for (let tries = 0; (left = await this.#room()) !== this.#base; tries++) {
      if (tries === 100) throw new Error(`files are held that no one has: ${left}; it began with ${this.#base}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  async #empty(dir: File): Promise<void> {
    if (process.getuid!() !== 0) await persist('setattr', () => dir.setattr({ mode: 0o777 }))
    const entries = await persist('readdir', () => names(dir))
    await Promise.all(entries.map(async ({ name, type }) => {
      if (dir === this.pit && name === MOUNT) return
      if (type === Dt.DIR) {
        const below = await persist('walk', () => dir.walk(name))
        await this.#empty(below)
        await persist('clunk', () => below.clunk())
      } else if (type === Dt.REG && this.#probes-- > 0) await this.#probe(dir, name)
      await persist('unlinkat', () => dir.unlinkat(name, type === Dt.DIR ? AT_REMOVEDIR : 0))
    }))
  }
  async #probe(dir: File, name: string): Promise<void> {
    const file = await persist('walk', () => dir.walk(name))
    if (process.getuid!() !== 0) await persist('setattr', () => file.setattr({ mode: 0o666 }))
    await persist('open', () => file.open(O.RDWR))
    const status = await awaited('lock', file.lock({ type: Lock.WRLCK, flags: 0, start: 0n, length: 0n, procId: 1, clientId: 'cleaner' }))
    if (status !== Lock.SUCCESS) throw new Error(`a lock on ${JSON.stringify(name)} outlived its client`)
    await persist('clunk', () => file.clunk())
  }
  async leave(): Promise<void> { await awaited('close', this.client.close()) }
}
