import { IOHDRSZ } from 'ninep'
import { suite } from 'uvu'
import { within } from '../raw.ts'
import { Bench, onSlow, Stand } from '../stand.ts'
import type { Stack } from '../stand.ts'
import { me, Plan9, type Old } from './client.ts'

/** What a case gets: the bench, whose `raw` speaks 9P2000.L, and a client of the dialect, fid 0 of both attached to the directory of the case. */
export class Table {
  readonly bench: Bench
  readonly p: Plan9
  constructor(bench: Bench, p: Plan9) {
    this.bench = bench
    this.p = p
  }
  get raw() { return this.bench.raw }
  get stand() { return this.bench.stand }
  get aname(): string { return this.bench.aname }
  get dialect(): Old { return this.p.dialect as Old }
  get unix(): boolean { return this.p.unix }
  /** Whether calls below the server can be stopped. */
  get stoppable(): boolean { return this.stand.stack === onSlow }
  /** Somebody who is not root, and may do no more than he owns; where the server can't be others, who it is. */
  get somebody(): string { return this.stand.owners ? 'nobody' : me }

  connect(): Promise<Plan9> { return this.bench.old(this.dialect) }
  /** One more connection of the dialect, attached to the same directory. */
  async client(msize = 65536, uname = me, aname = this.aname): Promise<Plan9> {
    const p = await this.connect()
    await p.version(msize)
    await p.attach(0, aname, uname)
    return p
  }
}

/** A case of the checklist for the dialects that it names; both, where none is named. */
export interface OldCase { readonly number: number; readonly title: string; readonly only: Old | undefined; readonly run: (t: Table) => Promise<void> }
export function both(number: number, title: string, run: (t: Table) => Promise<void>): OldCase { return { number, title, only: undefined, run } }
export function plain(number: number, title: string, run: (t: Table) => Promise<void>): OldCase { return { number, title, only: '9P2000', run } }
export function unix(number: number, title: string, run: (t: Table) => Promise<void>): OldCase { return { number, title, only: '9P2000.u', run } }

export const olds = ['9P2000', '9P2000.u'] as const
/** Declares a suite of each dialect on this stack, reached by this transport. */
export function declare(cases: readonly OldCase[], stack: Stack, transport: 'tcp' | 'unix'): void {
  for (const dialect of olds) {
    const test = suite(`${dialect} on ${stack.name}, ${transport}`)
    let stand: Stand
    test.before(async () => { stand = await Stand.start(stack) })
    test.after(() => stand.stop())
    cases.forEach(({ number, title, only, run }, i) => {
      if (only !== undefined && only !== dialect) return
      test(`C${number}: ${title}`, async () => {
        const bench = await Bench.set(stand, stand[transport], `case${i}`)
        const does = async () => {
          const p = await bench.old(dialect)
          await p.version()
          await p.attach(0, bench.aname)
          await run(new Table(bench, p))
        }
        try { await within(60, 'the case', does()) } catch (e) {
          await bench.end().catch(() => {})
          throw e
        }
        await bench.end()
      })
    })
    test.run()
  }
}

/** What a Tread of this session can carry as clients count it. */
export function iosize(p: Plan9): number { return p.msize - IOHDRSZ }
