// Handlers are generators that yield promises, so that one text serves both ways: where all answers are at hand it
// runs to its end in one turn, without a promise made or awaited; where one is not, it goes on when that settles.

import type { Awaitable } from '../translators/translator.ts'

export type Steps<T> = Generator<Promise<unknown>, T, any>

/** The value of an Awaitable, inside a generator: `const attr = yield* get(node.getattr(mask))`. */
export function* get<T>(value: Awaitable<T>): Steps<T> {
  return value instanceof Promise ? (yield value) as T : value
}

/** Runs a generator to its end: at once if it never had to wait. */
export function drive<T>(steps: Steps<T>): Awaitable<T> {
  const first = steps.next()
  return first.done ? first.value : rest(steps, first.value)
}
async function rest<T>(steps: Steps<T>, waiting: Promise<unknown>): Promise<T> {
  for (;;) {
    let value: unknown, failed = false
    try { value = await waiting } catch (e) { value = e; failed = true }
    const next = failed ? steps.throw(value) : steps.next(value)
    if (next.done) return next.value
    waiting = next.value
  }
}
