import { direntsOf } from 'ninep'
import type { Dirent } from 'ninep'
import * as assert from 'uvu/assert'
import { SPARE } from '../raw.ts'
import type { Raw } from '../raw.ts'
import type { Bench } from '../stand.ts'

export const REMOVEDIR = 0x200

/** One of what is allowed. */
export function among(got: string, ...allowed: string[]): void { assert.ok(allowed.includes(got), `${got} is none of ${allowed.join(', ')}`) }

/** A file in the directory of the case, which no fid names. */
export function file(t: Bench, name: string, content: string | Uint8Array = '', mode = 0o644): Promise<void> { return t.raw.file(0, name, content, mode) }

/** Whether nothing comes for a while. */
export async function quiet(raw: { readonly arrived: readonly unknown[] }, ms = 20): Promise<boolean> {
  const seen = raw.arrived.length
  await new Promise((resolve) => setTimeout(resolve, ms))
  return raw.arrived.length === seen
}

/** Sets an attribute of the file `name` in the directory of fid 0, as kernels do. '' is that directory. */
export async function setXattr(raw: Raw, file: string, name: string, value: Uint8Array, flags = 0): Promise<string> {
  await raw.walk(0, SPARE, ...file === '' ? [] : [file])
  const begun = await raw.outcome('Txattrcreate', { fid: SPARE, name, attrSize: value.length, flags })
  if (begun !== 'ok') { await raw.clunk(SPARE); return begun }
  if (value.length > 0) await raw.write(SPARE, value)
  return raw.outcome('Tclunk', { fid: SPARE })
}
/** The value of an attribute, or the code of the refusal. */
export async function getXattr(raw: Raw, file: string, name: string): Promise<string> {
  await raw.walk(0, SPARE, ...file === '' ? [] : [file])
  const reply = await raw.call('Txattrwalk', { fid: SPARE, newfid: SPARE + 1, name })
  await raw.clunk(SPARE)
  if (reply.name === 'Rlerror') return `errno ${reply.fields.ecode}`
  const value = await raw.read(SPARE + 1, 0, 65536)
  assert.is(value.length, reply.fields.size)
  await raw.clunk(SPARE + 1)
  return value
}

/** One Treaddir. */
export async function entries(raw: Raw, fid: number, offset = 0n, count = 8192): Promise<Dirent[]> {
  const { data } = await raw.ok('Treaddir', { fid, offset, count })
  assert.ok(data.length <= count)
  return direntsOf(data)
}
/** A directory from beginning to end. */
export async function listing(raw: Raw, fid: number, count = 8192): Promise<Dirent[]> {
  const all: Dirent[] = []
  for (let offset = 0n; ;) {
    const some = await entries(raw, fid, offset, count)
    if (some.length === 0) return all
    all.push(...some)
    offset = some.at(-1)!.cookie
  }
}
/** The names of a directory below that of fid 0, but for the dots, sorted. */
export async function ls(raw: Raw, ...path: string[]): Promise<string[]> {
  await raw.walk(0, SPARE, ...path)
  await raw.open(SPARE)
  const names = (await listing(raw, SPARE)).map(({ name }) => name).filter((name) => name !== '.' && name !== '..')
  await raw.clunk(SPARE)
  return names.sort()
}

const time = { sec: 0, nsec: 0 }
/** Tsetattr with the fields given, and rubbish in those that do not count. */
export function setattr(raw: Raw, fid: number, valid: number, fields: Partial<Parameters<typeof raw.ok<'Tsetattr'>>[1]> = {}) {
  return raw.outcome('Tsetattr', { fid, valid, mode: 0xffffffff, uid: 0xffffffff, gid: 0xffffffff, size: 12345, atime: time, mtime: time, ...fields })
}
