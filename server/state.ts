// Small files of the state folder: JSON with a version, read when the server starts, and replaced whole by rename.

import { closeSync, constants, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { join } from 'node:path'

const FRESH = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW

export class StateFile {
  readonly #path: string
  /** The folder is made if need be. otherwise: what comes of a server that finds no such file. */
  constructor(folder: string, name: string, private readonly version: number, private readonly otherwise: string) {
    mkdirSync(folder, { recursive: true })
    this.#path = join(folder, name)
  }
  /** Its fields; undefined: it is not there yet. Throws what `bad` makes. */
  read(): Readonly<Record<string, unknown>> | undefined {
    let text: string
    try { text = readFileSync(this.#path, 'utf8') } catch (e) {
      if ((e as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw e
    }
    let value: unknown
    try { value = JSON.parse(text) } catch { throw this.bad('not JSON') }
    const fields = (value ?? {}) as Record<string, unknown>
    if (fields.version !== this.version) throw this.bad(`version ${JSON.stringify(fields.version)} is not ${this.version}`)
    return fields
  }
  /** That it does not read, and what can be done. */
  bad(what: string): Error { return new Error(`${this.#path}: ${what}. Restore it, or remove it while the server is down: ${this.otherwise}.`) }

  /** Replaces it; what it says then survives power loss. One at a time. */
  async write(fields: object): Promise<void> {
    const handle = await open(this.#fresh, FRESH, 0o600)
    try {
      await handle.writeFile(this.#text(fields))
      await handle.sync()
    } finally { await handle.close() }
    await rename(this.#fresh, this.#path)
  }
  /** The same, and waits. */
  writeSync(fields: object): void {
    const fd = openSync(this.#fresh, FRESH, 0o600)
    try {
      writeFileSync(fd, this.#text(fields))
      fsyncSync(fd)
    } finally { closeSync(fd) }
    renameSync(this.#fresh, this.#path)
  }
  get #fresh(): string { return `${this.#path}.new` }
  #text(fields: object): string { return `${JSON.stringify({ version: this.version, ...fields })}\n` }
}
