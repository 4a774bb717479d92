// Whether a quantity grows with the rounds: not by a bound that one round may miss, but by where it stood and where it stands.

/**
 * How much more, in the unit of the values, the last third has than the first third of what follows the warm-up: the least
 * of the last over the most of the first. Above 0 every late round held more than every early one. 0 while there are too few.
 */
export function growth(values: readonly number[], warmup = 3): number {
  const settled = values.slice(warmup), third = Math.floor(settled.length / 3)
  if (third < 2) return 0
  return Math.max(0, Math.min(...settled.slice(-third)) - Math.max(...settled.slice(0, third)))
}
