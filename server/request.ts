import type { Call } from '../translators/translator.ts'
import type { Fid } from './fid.ts'

/** A request at work; what a translator sees of it is a Call. */
export class Request implements Call {
  aborted = false
  /** Nothing is ever sent for it: it was flushed, or its connection is gone. */
  silent = false
  /** Tags of the Tflushes that wait for its end. */
  flushes: Set<number> | null = null
  /** The fid that it works on, whose clunk ends it. */
  fid: Fid | null = null
  /** A newfid that it will make, to be given back where it is flushed before. */
  reserves: Fid | null = null
  /** Where a payload is being written: the frame begins at `at`. */
  bytes: Buffer | null = null
  at = 0
  /** Bytes that it keeps from being used again. */
  holds = 0
  /** Ends a wait (for a lock) at once, as if it had not been asked for; false: it is too late, or for the translator to end it by the abort. */
  cancel: (() => boolean) | null = null
  /** Whether it is such a wait. */
  locks = false
  #callbacks: (() => void)[] | null = null
  constructor(readonly tag: number, readonly type: number) {}
  onAbort(f: () => void): void {
    if (this.aborted) f()
    else (this.#callbacks ??= []).push(f)
  }
  /** failed: told of what a translator's callback throws. */
  abort(failed: (error: unknown) => void): void {
    if (this.aborted) return
    this.aborted = true
    for (const f of this.#callbacks ?? []) try { f() } catch (e) { failed(e) }
  }
}
