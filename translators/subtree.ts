// A part of a tree as a tree: its root is a file or directory below, and nothing leads out of it.

import { QT, errno } from 'ninep'
import { ForwardNode, ForwardTranslator } from './forward.ts'
import { BadOption } from './options.ts'
import type { Handle, Node, Translator, Volume } from './translator.ts'

/** The names of a path; '/' and '' have none. BadOption: it has '.' or '..' in it. */
export function namesOf(whose: string, path: string): string[] {
  const names = path.split('/').filter((name) => name !== '')
  for (const name of names) if (name === '.' || name === '..') throw new BadOption(`${whose}: a path has no "${name}": ${path}`)
  return names
}

/** root: of the part; again: one more node of it. volumes: other ones for those below, so that a file that is shown here and elsewhere has two numbers; absent: the same. */
interface Part { readonly tree: Subtree; readonly root: Identity; readonly again: () => Promise<Node>; readonly volumes: ((volume: Volume) => Volume) | undefined }

/** What the child has at a path, which is looked up at each attach. Symbolic links are not followed. */
export class Subtree extends ForwardTranslator {
  constructor(name: string, child: Translator, private readonly path: readonly string[], private readonly volumes?: Part['volumes']) { super(name, child, (root) => root) }
  override async attach(aname: string): Promise<Node> {
    if (aname !== '' && aname !== '/') throw errno('ENOENT', 'attach', aname)
    const node = await this.#find(), root = { volume: node.volume, qid: node.qid }
    const part: Part = {
      tree: this, root, volumes: this.volumes,
      again: async () => {
        const found = await this.#find()
        if (same(found, root)) return new PartNode(found, part)
        await found.close()
        throw errno('ENOENT', 'parent', 'another has its name')
      },
    }
    return new PartNode(node, part)
  }
  async #find(): Promise<Node> {
    let node = await this.child.attach('')
    for (const name of this.path) {
      const from = node
      try { node = await from.walk(name) } finally { await from.close() }
    }
    return node
  }
}

class PartNode extends ForwardNode<Part> {
  protected override wrap(child: Node): Node { return new PartNode(child, this.layer) }
  protected override wrapHandle(child: Handle): Handle { return child }
  protected override unwrap(node: Node, op: string): Node {
    if (node instanceof PartNode && node.layer.tree === this.layer.tree) return node.child
    throw errno('EXDEV', op)
  }
  override get volume(): Volume {
    const { child: { volume }, layer: { volumes } } = this
    return volumes ? volumes(volume) : volume
  }
  /** The root's is itself. ENOENT: the directory was moved out of this part. */
  override async parent(): Promise<Node> {
    const { child, layer } = this
    if ((child.qid.type & QT.DIR) === 0) throw errno('ENOTDIR', 'parent')
    if (same(child, layer.root)) return layer.again()
    const above = await child.parent()
    if (await isWithin(above, layer.root)) return this.wrap(above)
    await above.close()
    throw errno('ENOENT', 'parent', 'it was moved out of here')
  }
}

/** Which file a node is. */
interface Identity { readonly volume: Volume; readonly qid: { readonly path: bigint } }
function same(a: Identity, b: Identity): boolean { return a.qid.path === b.qid.path && a.volume === b.volume }
/** Whether a directory is that one, or lies below it. */
async function isWithin(dir: Node, root: Identity): Promise<boolean> {
  let node = dir
  try {
    for (;;) {
      if (same(node, root)) return true
      const up = await node.parent(), top = same(up, node), before = node
      node = up
      if (before !== dir) await before.close()
      if (top) return false
    }
  } finally { if (node !== dir) await node.close() }
}
