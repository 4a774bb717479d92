// A stack that was typed by who may run code as the server does: its owner, at the command line or in the control tree.

import { Outside, isOutside } from './outside.ts'
import { parseStack, readLine } from './stack.ts'
import type { Layer, Stack } from './stack.ts'

/** Reads it, and loads what it names from outside our tree. allowed: what may be loaded besides. Throws BadOption. */
export async function typed(line: string, allowed: readonly string[] = []): Promise<Stack> {
  const named = namesOf(readLine(line)).filter(isOutside)
  return new Outside([...allowed, ...named]).reading((outside) => parseStack(line, outside))
}
function namesOf({ name, children }: Layer): string[] { return [name, ...children.flatMap(namesOf)] }
