import { Instances } from '../server/instances.ts'
import type { Stack } from '../server/stack.ts'
import type { Meters } from '../translators/meter.ts'
import type { Log } from '../translators/options.ts'
import type { Translator } from '../translators/translator.ts'

/** Starts a stack on its own, as the server does; it ends when it is closed. path: what it is called after. */
export async function startStack(stack: Stack, { path, log, meters }: { path: string; log: Log; meters?: Meters }): Promise<Translator> {
  const instances = new Instances(log, undefined, meters)
  return (await instances.start(instances.plan(path, stack, null))).lease()
}
