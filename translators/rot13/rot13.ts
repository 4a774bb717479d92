import { ForwardHandle, ForwardNode, ForwardTranslator } from '../forward.ts'
import { int, translator } from '../options.ts'
import type { Call, Handle, Node } from '../translator.ts'

/** Rotates ASCII letters on their way down, and back on their way up. Sizes and offsets do not change. */
export const rot13 = translator({
  name: 'rot13',
  about: 'Rotate the letters of every file; a lesson in layering, not a cipher.',
  children: 1,
  confined: true,
  concurrent: true,
  options: { shift: int({ about: 'places to rotate by', min: 1, max: 25, default: 13 }) },
  start: (options, [child]) => new ForwardTranslator('rot13', child, (root) => new RotNode(root, options)),
})

class RotNode extends ForwardNode<{ shift: number }> {
  protected override wrap(child: Node) { return new RotNode(child, this.layer) }
  protected override wrapHandle(child: Handle) { return new RotHandle(child, this.layer) }
}

class RotHandle extends ForwardHandle<{ shift: number }> {
  override async read(into: Uint8Array, offset: number, call?: Call) {
    const got = await this.child.read(into, offset, call) // perhaps the child's memory: not ours to alter
    return rotate(got, into.subarray(0, got.length), 26 - this.layer.shift)
  }
  override write(bytes: Uint8Array, offset: number, call?: Call) {   // lent by the caller: not ours to alter either
    return this.child.write(rotate(bytes, new Uint8Array(bytes.length), this.layer.shift), offset, call)
  }
}

/** Writes `from`, letters moved `by` places, over `to` (same length; may be the same memory). */
function rotate(from: Uint8Array, to: Uint8Array, by: number): Uint8Array {
  for (const [i, byte] of from.entries()) {
    const a = byte & 0x20 ? 97 : 65                       // 'a' or 'A'
    to[i] = byte >= a && byte < a + 26 ? a + ((byte - a + by) % 26) : byte
  }
  return to
}
