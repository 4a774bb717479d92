// Memory for bytes. Where there is Node's Buffer it is one: those are not filled with zeros first, and native code reads names from them.

export const NodeBuffer: BufferConstructor | undefined = globalThis.Buffer

/** So many bytes, whatever is in them. */
export function allocate(length: number): Uint8Array { return NodeBuffer ? NodeBuffer.allocUnsafe(length) : new Uint8Array(length) }

/** The same bytes in memory of their own. */
export function copied(bytes: Uint8Array): Uint8Array {
  const copy = allocate(bytes.length)
  copy.set(bytes)
  return copy
}
