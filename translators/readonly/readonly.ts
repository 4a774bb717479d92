import { O, QT, errno } from 'ninep'
import type { Awaitable, Call, Created, Handle, Node } from '../translator.ts'
import { ForwardHandle, ForwardNode, ForwardTranslator } from '../forward.ts'
import { translator } from '../options.ts'

/** What is below can be looked at by everybody and changed by nobody, root included. */
export const readonly = translator({
  name: 'readonly',
  about: 'Nothing below can be changed: EROFS.',
  children: 1,
  confined: true,
  concurrent: true,
  options: {},
  start: (_options, [child]) => new ForwardTranslator('readonly', child, (root) => new ReadonlyNode(root, {})),
})
const refuse = (op: string) => (): never => { throw errno('EROFS', op) }

class ReadonlyNode extends ForwardNode<object> {
  protected override wrap(child: Node): Node { return new ReadonlyNode(child, this.layer) }
  protected override wrapHandle(child: Handle): Handle { return new ReadonlyHandle(child, this.layer) }
  override open(flags: number, call?: Call): Awaitable<Handle> {
    if ((flags & O.ACCMODE) !== O.RDONLY || flags & O.TRUNC) throw errno(this.qid.type & QT.DIR ? 'EISDIR' : 'EROFS', 'open')
    return super.open(flags, call)
  }
  override create: (...a: never) => Created = refuse('create')
  override setattr = refuse('setattr')
  override mkdir = refuse('mkdir')
  override symlink = refuse('symlink')
  override mknod = refuse('mknod')
  override link = refuse('link')
  override renameat = refuse('renameat')
  override unlinkat = refuse('unlinkat')
  override setxattr = refuse('setxattr')
  override removexattr = refuse('removexattr')
}

class ReadonlyHandle extends ForwardHandle<object> {
  override write = refuse('write')
  override setattr = refuse('setattr')
}
