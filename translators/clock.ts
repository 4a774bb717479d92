import type { Time } from 'ninep'

// Date.now() ends at milliseconds, and the monotonic clock has no epoch: their sum has both. `sec` and `nsec` are what to
// add to hrtime; they are found anew when the host's clock was set, seen as more than two milliseconds between the two.
let sec = 0, nsec = 0
function anchor(ms: number): void {
  const [s, n] = process.hrtime()
  sec = Math.floor(ms / 1000) - s
  nsec = Math.floor((ms % 1000) * 1e6) - n
}
anchor(performance.timeOrigin + performance.now())

/** The time of day to the nanosecond, about 0.1 us a call. It stands still or goes on, unless the host's clock is set back. */
export function now(): Time {
  const ms = Date.now()
  const time = read()
  const apart = time.sec * 1000 + time.nsec / 1e6 - ms
  if (apart > -2 && apart < 3) return time
  anchor(ms)
  return read()
}
function read(): Time {
  const [s, n] = process.hrtime()
  let whole = s + sec, part = n + nsec
  if (part < 0) { part += 1e9; whole-- } else if (part >= 1e9) { part -= 1e9; whole++ }
  return { sec: whole, nsec: part }
}
