// Volume keys. A key file holds one key, wrapped for each of its slots: translators/crypt/FORMAT.md, "The key file". What opens a slot is a
// passphrase, or a secret of a machine, and comes from where `unlock` says.

import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { open as openFile, readFile, rename, rm } from 'node:fs/promises'
import { promisify } from 'node:util'
import { hash, KEY, locked, NONCE, open, seal, stretch, TAG, wipe } from './sodium.ts'

/** A key file that does not read or a secret that does not open it. The message is the whole sentence. */
export class KeyError extends Error { override readonly name = 'KeyError' }

export type Kind = 'passphrase' | 'secret'
/** ops, mem (KiB): of Argon2id, for passphrases. */
export interface Slot { readonly name: string; readonly kind: string; readonly salt: string; readonly nonce: string; readonly key: string; readonly ops?: number; readonly mem?: number }
interface KeyFile { readonly id: string; readonly slots: readonly Slot[] }
/** How a passphrase is stretched. mem: KiB. */
export interface Stretch { readonly ops: number; readonly mem: number }
const STRETCH: Stretch = { ops: 3, mem: 65_536 }
/** A machine's secret has as many bytes at least: it is not stretched. */
const SECRET = 32
/** Argon2id's bounds for what a key file may ask of this machine: 64 passes, 4 GiB. */
const MOST: Stretch = { ops: 64, mem: 2 ** 22 }

/** A key that others are derived from, in locked memory until close(). */
export class VolumeKey {
  #key: Buffer | undefined
  constructor(key: Buffer) { this.#key = key }
  /** The key of this label (ASCII) and these bytes, over `out`, which should be locked. About 1.5 us. */
  derive(out: Uint8Array, label: string, ...parts: readonly Uint8Array[]): void {
    if (!this.#key) throw new TypeError('the key is closed')
    hash(out, this.#key, Buffer.concat([Buffer.from(`ninefold crypt 1 ${label}`, 'latin1'), ...parts]))
  }
  close(): void {
    if (this.#key) wipe(this.#key)
    this.#key = undefined
  }
  /** It, for a slot. */
  wrap(into: Uint8Array, nonce: Uint8Array, by: Uint8Array, ad: Uint8Array): void { seal(into, this.#key!, nonce, by, ad) }
}

/**
 * The bytes that `file:PATH`, `env:NAME` or `command:LINE` (of /bin/sh) give, less one newline at the end. They should be wiped when they
 * were used. KeyError.
 */
export async function secretOf(source: string): Promise<Buffer> {
  const [, kind, rest] = /^(file|env|command):(.+)$/s.exec(source) ?? []
  let bytes: Buffer
  try {
    if (kind === 'file') bytes = await readFile(rest!)
    else if (kind === 'env') bytes = Buffer.from(process.env[rest!] ?? fail(`${source}: the environment has no ${rest}.`))
    else if (kind === 'command') bytes = (await promisify(execFile)('/bin/sh', ['-c', rest!], { encoding: 'buffer', timeout: 60_000, maxBuffer: 2 ** 16 })).stdout
    else fail(`"${source}" does not say where a key comes from. Write file:PATH, env:NAME or command:LINE.`)
  } catch (e) {
    if (e instanceof KeyError) throw e
    const { code } = e as { code?: unknown }              // the message may hold what a command wrote
    throw new KeyError(`${kind}:${kind === 'file' ? rest : '...'}: ${kind === 'command' ? 'the command failed' : 'it could not be read'}${code === undefined ? '' : ` (${String(code)})`}.`)
  }
  const end = bytes.at(-1) === 10 ? bytes.length - 1 : bytes.length
  if (end === 0) fail(`${kind}: it is empty.`)
  return bytes.subarray(0, end)
}
function fail(message: string): never { throw new KeyError(message) }

/** Makes a key file with a new key and one slot. KeyError: it is there. secret: it is wiped. */
export async function createKeyFile(path: string, name: string, kind: Kind, secret: Buffer, how: Stretch = STRETCH): Promise<void> {
  const id = randomBytes(16).toString('hex'), bytes = locked(KEY)
  const key = new VolumeKey(bytes)
  try {
    const random = randomBytes(KEY)
    bytes.set(random)
    wipe(random)
    await writeKeyFile(path, { id, slots: [await slotOf(key, id, name, kind, secret, how)] }, true)
  } finally { key.close() }
}
/** The slots of a key file, as they are. */
export async function listSlots(path: string): Promise<readonly Slot[]> { return (await readKeyFile(path)).slots }
/** Adds a slot. KeyError: `by` opens none, or the name is taken. Secrets are wiped. */
export async function addSlot(path: string, by: Buffer, name: string, kind: Kind, secret: Buffer, how: Stretch = STRETCH): Promise<void> {
  const file = await readKeyFile(path)
  if (file.slots.some((slot) => slot.name === name)) fail(`${path}: there is a slot "${name}" already. Choose another name.`)
  const key = await openKeyFile(path, file, by, 'what was given')
  try { await writeKeyFile(path, { id: file.id, slots: [...file.slots, await slotOf(key, file.id, name, kind, secret, how)] }) } finally { key.close() }
}
/** Removes a slot. KeyError: there is none of that name, or it is the last, after which nobody reads what the key has sealed, and `last` is false. */
export async function removeSlot(path: string, name: string, last: boolean): Promise<void> {
  const file = await readKeyFile(path), slots = file.slots.filter((slot) => slot.name !== name)
  if (slots.length === file.slots.length) fail(`${path}: there is no slot "${name}". It has: ${file.slots.map((slot) => slot.name).join(', ')}.`)
  if (slots.length === 0 && !last) fail(`${path}: "${name}" is the last slot: without it, nobody can read what this key has sealed, ever. If that is what you want: --yes-lose-data`)
  await writeKeyFile(path, { id: file.id, slots })
}

/** The key of a key file, by what `source` gives (secretOf). KeyError: it opens none of the slots. Argon2id runs in the thread pool. */
export async function unlock(path: string, source: string): Promise<VolumeKey> {
  return openKeyFile(path, await readKeyFile(path), await secretOf(source), source.replace(/^command:.*/s, 'the command'))
}
async function openKeyFile(path: string, file: KeyFile, secret: Buffer, what: string): Promise<VolumeKey> {
  const wrap = locked(KEY), key = locked(KEY)
  try {
    for (const slot of file.slots.toSorted((a, b) => a.kind > b.kind ? -1 : 1)) {            // secrets first: they cost nothing
      if (slot.kind !== 'secret' && slot.kind !== 'passphrase' || slot.kind === 'secret' && secret.length < SECRET) continue
      await wrapOf(wrap, slot, secret)
      if (open(key, Buffer.from(slot.key, 'hex'), Buffer.from(slot.nonce, 'hex'), wrap, boundTo(file.id, slot))) return new VolumeKey(key)
    }
  } finally { wipe(wrap); wipe(secret) }
  const other = file.slots.filter(({ kind }) => kind !== 'secret' && kind !== 'passphrase')
  fail(`${path}: ${what} opens none of its ${file.slots.length} slots (${file.slots.map((slot) => slot.name).join(', ')}).${other.length > 0 ? ` Slots of the kind ${other[0]!.kind} were not tried: this version knows none such.` : ''}`)
}
async function slotOf(key: VolumeKey, id: string, name: string, kind: Kind, secret: Buffer, { ops, mem }: Stretch): Promise<Slot> {
  if (kind === 'secret' && secret.length < SECRET) fail(`a secret of ${secret.length} bytes is too short: it has ${SECRET} at least. What people remember is a passphrase.`)
  const nonce = randomBytes(NONCE), wrap = locked(KEY), sealed = Buffer.alloc(KEY + TAG)
  const slot = { name, kind, salt: randomBytes(16).toString('hex'), ...(kind === 'passphrase' ? { ops, mem } : {}) }
  try {
    await wrapOf(wrap, slot, secret)
    key.wrap(sealed, nonce, wrap, boundTo(id, slot))
  } finally { wipe(wrap); wipe(secret) }
  return { ...slot, nonce: nonce.toString('hex'), key: sealed.toString('hex') }
}
async function wrapOf(out: Buffer, slot: Pick<Slot, 'kind' | 'salt' | 'ops' | 'mem'>, secret: Uint8Array): Promise<void> {
  const salt = Buffer.from(slot.salt, 'hex')
  if (slot.kind === 'secret') hash(out, salt, secret)
  else await stretch(out, secret, salt, slot.ops!, slot.mem!)
}
function boundTo(id: string, { kind, ops = 0, mem = 0 }: Pick<Slot, 'kind' | 'ops' | 'mem'>): Buffer {
  const numbers = Buffer.alloc(8)
  numbers.writeUInt32BE(ops, 0)
  numbers.writeUInt32BE(mem, 4)
  return Buffer.concat([Buffer.from('ninefold key 1 '), Buffer.from(id, 'hex'), Buffer.from(`${kind} `), numbers])
}

async function readKeyFile(path: string): Promise<KeyFile> {
  let text: string
  try { text = await readFile(path, 'utf8') } catch (e) {
    fail((e as NodeJS.ErrnoException).code === 'ENOENT' ? `${path}: there is no key file. Make one: ninefold key new ${path}` : `${path}: it could not be read (${(e as NodeJS.ErrnoException).code}).`)
  }
  let file: { 'ninefold-key'?: unknown; id?: unknown; slots?: unknown }
  try { file = Object(JSON.parse(text)) as typeof file } catch { fail(`${path}: it is no key file.`) }
  if (file['ninefold-key'] === undefined) fail(`${path}: it is no key file.`)
  if (file['ninefold-key'] !== 1) fail(`${path}: a key file of version ${JSON.stringify(file['ninefold-key'])}, and this version knows 1.`)
  if (!isHex(file.id, 16) || !Array.isArray(file.slots)) fail(`${path}: it has no id or no slots.`)
  for (const slot of file.slots as unknown[]) if (!isSlot(slot)) fail(`${path}: the slot ${JSON.stringify((slot as { name?: unknown } | null)?.name ?? '')} does not read.`)
  return file as KeyFile
}
function isHex(value: unknown, bytes: number): boolean { return typeof value === 'string' && value.length === 2 * bytes && /^[0-9a-f]*$/.test(value) }
function isSlot(value: unknown): value is Slot {
  const { name, kind, salt, nonce, key, ops, mem } = Object(value) as Record<string, unknown>
  if (typeof name !== 'string' || typeof kind !== 'string') return false
  if (kind !== 'secret' && kind !== 'passphrase') return true
  const within = (n: unknown, least: number, most: number) => Number.isInteger(n) && (n as number) >= least && (n as number) <= most
  return isHex(salt, 16) && isHex(nonce, NONCE) && isHex(key, KEY + TAG) && (kind === 'secret' || within(ops, 1, MOST.ops) && within(mem, 8, MOST.mem))
}
async function writeKeyFile(path: string, { id, slots }: KeyFile, fresh = false): Promise<void> {
  const temporary = fresh ? path : `${path}.${randomBytes(4).toString('hex')}`
  let handle
  try { handle = await openFile(temporary, 'wx', 0o600) } catch (e) {
    fail((e as NodeJS.ErrnoException).code === 'EEXIST' ? `${path}: is there already. A key that is lost can't be had again: remove it yourself, or choose another name.` : `${path}: it could not be written (${(e as NodeJS.ErrnoException).code}).`)
  }
  try {
    try {
      await handle.writeFile(`${JSON.stringify({ 'ninefold-key': 1, id, slots }, null, 2)}\n`)
      await handle.sync()
    } finally { await handle.close() }
    if (!fresh) await rename(temporary, path)
  } catch (e) {
    await rm(temporary, { force: true })
    throw e
  }
}
