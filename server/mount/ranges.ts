// The record locks of one owner on one file: what is locked replaces what was, so ranges split and merge.

import { Lock } from 'ninep'

export interface Range { readonly start: bigint; readonly end: bigint; readonly type: number }

export class Ranges {
  /** Ascending; no two touch that are of one type. */
  all: readonly Range[] = []
  /** Locks from start to end, both included; of type UNLCK: unlocks. */
  set(start: bigint, end: bigint, type: number): void {
    const rest = this.all.flatMap((range) => [
      ...range.start < start ? [{ ...range, end: range.end < start ? range.end : start - 1n }] : [],
      ...range.end > end ? [{ ...range, start: range.start > end ? range.start : end + 1n }] : [],
    ])
    if (type !== Lock.UNLCK) rest.push({ start, end, type })
    rest.sort((a, b) => a.start < b.start ? -1 : 1)
    const merged: Range[] = []
    for (const range of rest) {
      const last = merged.at(-1)
      if (last && last.type === range.type && last.end + 1n === range.start) merged[merged.length - 1] = { ...last, end: range.end }
      else merged.push(range)
    }
    this.all = merged
  }
}
