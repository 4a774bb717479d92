// Waits that end.

import { errno } from 'ninep'

/** Whether it came true within these seconds. */
export async function until(holds: () => boolean, seconds: number): Promise<boolean> {
  const end = Date.now() + seconds * 1000
  for (let wait = 1; !holds(); wait = Math.min(2 * wait, 50)) {
    if (Date.now() >= end) return false
    await new Promise((resolve) => setTimeout(resolve, wait))
  }
  return true
}
/** What it gives, or ETIMEDOUT after these seconds; what comes later is for `late`. */
export async function within<T>(value: Promise<T>, seconds: number, says: string, late: (value: T) => void): Promise<T> {
  let timer: NodeJS.Timeout | undefined, over = false
  const end = new Promise<never>((_, reject) => { timer = setTimeout(() => { over = true; reject(errno('ETIMEDOUT', `${says} within ${seconds} s`)) }, seconds * 1000) })
  value.then((value) => { if (over) late(value) }, () => {})
  try { return await Promise.race([value, end]) } finally { clearTimeout(timer) }
}
