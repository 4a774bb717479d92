// What was done in a round, as a file: to be read, made shorter, and done again as a test.
//
//   # what it is about
//   stack memory
//   0 open                    a connection named 0; `tcp` behind it: not over the unix socket
//   0 send 13000000...        a frame, in hex
//   0 more 1b000000...        another one of the same write
//   0 wait 16                 until no more than so many requests that can be answered are not
//   0 half | 0 cut | 0 reset  its end: no more is sent, or it is gone

import type { Dialect } from 'ninep'
import type { Deed } from './attacker.ts'
import { Line } from './attacker.ts'
import { stacks } from './serve.ts'
import type { StackName } from './serve.ts'
import { Subject } from './subject.ts'
import { Cleaner, Witness } from './witness.ts'
import { calm } from './rounds.ts'

export interface Transcript { readonly about: readonly string[]; readonly stack: StackName; readonly deeds: readonly Deed[] }

export function write({ about, stack, deeds }: Transcript): string {
  const lines = [...about.map((line) => `# ${line}`), `stack ${stack}`]
  for (const { who, what, bytes, tcp, most } of deeds) {
    if (what !== 'send') { lines.push(`${who} ${what}${tcp ? ' tcp' : ''}${most ? ` ${most}` : ''}`); continue }
    frames(bytes!).forEach((frame, i) => lines.push(`${who} ${i === 0 ? 'send' : 'more'} ${frame.toString('hex')}`))
  }
  return lines.join('\n') + '\n'
}
/** Bytes at their frames' ends; what is none stays whole. */
export function frames(bytes: Buffer): Buffer[] {
  const all: Buffer[] = []
  let at = 0
  while (bytes.length - at >= 4) {
    const size = bytes.readUInt32LE(at)
    if (size < 7 || size > bytes.length - at) break
    all.push(bytes.subarray(at, at += size))
  }
  if (at < bytes.length) all.push(bytes.subarray(at))
  return all
}

export function read(text: string): Transcript {
  const about: string[] = [], deeds: Deed[] = []
  let stack: StackName = 'memory'
  for (const line of text.split('\n')) {
    const [who = '', what = '', rest = ''] = line.split(' ')
    if (line.startsWith('#')) about.push(line.slice(2))
    else if (who === 'stack') stack = stacks.find((name) => name === what) ?? 'memory'
    else if (what === 'more') deeds.push({ who, what: 'send', bytes: Buffer.concat([deeds.pop()!.bytes!, Buffer.from(rest, 'hex')]) })
    else if (what === 'send') deeds.push({ who, what, bytes: Buffer.from(rest, 'hex') })
    else if (what !== '') deeds.push({ who, what: what as Deed['what'], tcp: rest === 'tcp', most: Number(rest) || 0 })
  }
  return { about, stack, deeds }
}

/** Does it all again, to a server of its own; throws what comes of it. limit: seconds that an answer may take. */
export async function replay({ stack, deeds }: Transcript, limit?: number): Promise<void> {
  const subject = await Subject.start(stack)
  try {
    const witness = await Witness.enter(subject), cleaner = await Cleaner.enter(subject)
    const base = await calm(subject, undefined)
    try {
      await act(subject, deeds, limit)
      await witness.check()
      await calm(subject, undefined, limit)
      await cleaner.clean()
      await calm(subject, base, limit)
      if (subject.harm) throw new Error(subject.harm)
    } catch (e) {
      await new Promise((resolve) => setTimeout(resolve, 300))
      throw subject.ended ? new Error(subject.ended) : e
    }
    await witness.leave()
    await cleaner.leave()
    await subject.stop()
  } finally { subject.kill() }
}
/** Attackers at once, each its connections one after the other. */
async function act(subject: Subject, deeds: readonly Deed[], limit?: number): Promise<void> {
  const lines = new Map<string, Line>()
  const one = async (deeds: readonly Deed[]) => {
    for (const { who, what, bytes, tcp, most = 0 } of deeds) {
      let line = lines.get(who)
      if (what === 'open') lines.set(who, line = new Line(subject.urls[tcp ? 1 : 0]!, who, [], tcp))
      if (!line) continue
      if (line.wrong) throw line.wrong
      if (what === 'send') line.send(bytes!)
      else if (what === 'wait') await line.answered(most, limit)
      else if (what === 'half') await line.half(limit)
      else if (what !== 'open') line.cut(what === 'reset')
    }
  }
  const attackers = new Set(deeds.map(({ who }) => who.split('.')[0]))
  try {
    await Promise.all([...attackers].map((attacker) => one(deeds.filter(({ who }) => who.split('.')[0] === attacker))))
    for (const line of lines.values()) if (!line.closed) await line.answered(0, limit)
  } finally { for (const line of lines.values()) line.cut() }
}

/**
 * The shortest that still fails alike, of those that can be tried in so many seconds: whole connections are left out first,
 * then half of what is left, a quarter, and so on down to frames.
 */
export async function minimise(transcript: Transcript, alike: (error: Error) => boolean, seconds: number, progress: (deeds: number) => void = () => {}): Promise<Transcript> {
  const until = performance.now() + seconds * 1000
  const fails = async (deeds: readonly Deed[]) => {
    try { await replay({ ...transcript, deeds }, 5) } catch (e) { return alike(e as Error) }
    return false
  }
  let deeds = transcript.deeds.flatMap((deed): Deed[] => deed.what === 'send' ? frames(deed.bytes!).map((bytes) => ({ ...deed, bytes })) : [deed])
  const attempt = async (fewer: readonly Deed[]) => {
    if (performance.now() > until || fewer.length === deeds.length || !await fails(fewer)) return false
    deeds = [...fewer]
    progress(deeds.length)
    return true
  }
  if (!await fails(deeds)) return transcript
  for (const who of new Set(deeds.map((deed) => deed.who))) await attempt(deeds.filter((deed) => deed.who !== who))
  for (let size = Math.ceil(deeds.length / 2); size >= 1 && performance.now() < until; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < deeds.length && performance.now() < until;) {
      const without = deeds.filter((deed, i) => i < at || i >= at + size || (deed.what === 'open' && deeds.some((other, j) => other.who === deed.who && (j < at || j >= at + size) && other !== deed)))
      if (!await attempt(without)) at += size
    }
  }
  return { ...transcript, deeds }
}

/** Of whatever dialect it was: for the line that tells what it is about. */
export function about(stack: StackName, dialect: Dialect, seed: number, round: number, error: Error): string[] {
  return [`${stack}, ${dialect}, seed ${seed}, round ${round}`, ...error.message.split('\n').slice(0, 12)]
}
