import { AroundTranslator } from '../around.ts'
import { Meter, bounds } from '../meter.ts'
import type { OpStats } from '../meter.ts'
import { duration, int, translator } from '../options.ts'

/** Counts and times the calls of what is below, whether or not the server measures all its layers. */
export const stats = translator({
  name: 'stats',
  about: 'Count and time the calls to what is below: for the log, and for metrics.',
  children: 1,
  concurrent: true,
  options: {
    log: duration({ about: 'how often a line with all figures goes to the log, if there were calls; 0: never', default: 0 }),
    every: int({ about: 'time one call in so many; all are counted', min: 1, default: 1 }),
  },
  start(options, [child], env) {
    const meter = new Meter(env.name, '', options.every), layer = new StatsTranslator(child, meter)
    env.meters?.add(meter)
    let calls = 0
    const timer = options.log > 0 ? setInterval(() => {
      const now = [...meter].reduce((sum, op) => sum + op.calls, 0)
      if (now > calls) env.log.info({ stats: Object.fromEntries([...meter].map((op) => [op.op, figures(op)])) }, env.name)
      calls = now
    }, options.log * 1000).unref() : undefined
    layer.done = () => { clearInterval(timer); env.meters?.delete(meter) }
    return layer
  },
})

class StatsTranslator extends AroundTranslator {
  done: () => void = () => {}
  constructor(child: AroundTranslator['child'], meter: Meter) { super(child, meter, 'stats') }
  override async close(): Promise<void> {
    try { await this.child.close() } finally { this.done() }
  }
}

/** Numbers for people: seconds are the mean, and what half of the calls and 99 in 100 of them stayed below. */
function figures({ calls, errors, bytes, timed, total, buckets }: OpStats): object {
  const below = (share: number): number => {
    let left = share * timed
    return bounds[buckets.findIndex((count) => (left -= count) <= 0)] ?? 0
  }
  return { calls, ...errors > 0 ? { errors } : {}, ...bytes > 0 ? { bytes } : {}, ...timed > 0 ? { mean: total / timed, half: below(0.5), most: below(0.99) } : {} }
}
