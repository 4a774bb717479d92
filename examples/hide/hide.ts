// A translator of one's own: a layer that hides names. Copy this folder into a project that has `ninefold` installed.

import { errno } from 'ninep'
import { ForwardHandle, ForwardNode, ForwardTranslator } from 'ninefold/translators/forward'
import { text, translator } from 'ninefold/translators/options'
import type { DirSink, Handle, Node, Owner } from 'ninefold/translators/translator'

/** Hides every name that begins with a prefix: it is not listed, not found, and can't be made. */
export const hide = translator({
  name: 'hide',
  about: 'Hide names that begin with a prefix.',
  children: 1,
  concurrent: true,                                       // it has no state of its own to keep in order
  options: { prefix: text({ about: 'what hidden names begin with', default: '.', positional: true }) },
  start: ({ prefix }, [child]) => new ForwardTranslator('hide', child, (root) => new HideNode(root, { prefix })),
})

interface Layer { readonly prefix: string }

class HideNode extends ForwardNode<Layer> {
  protected override wrap(child: Node) { return new HideNode(child, this.layer) }
  protected override wrapHandle(child: Handle) { return new HideHandle(child, this.layer) }

  #hidden(name: string): boolean { return name.startsWith(this.layer.prefix) }
  #allow(op: string, name: string): void { if (this.#hidden(name)) throw errno('EPERM', op, name) }

  override walk(name: string) {
    if (this.#hidden(name)) throw errno('ENOENT', 'walk', name)
    return super.walk(name)
  }
  override create(name: string, flags: number, mode: number, owner: Owner) { this.#allow('create', name); return super.create(name, flags, mode, owner) }
  override mkdir(name: string, mode: number, owner: Owner) { this.#allow('mkdir', name); return super.mkdir(name, mode, owner) }
  override symlink(name: string, target: string, owner: Owner) { this.#allow('symlink', name); return super.symlink(name, target, owner) }
  override mknod(name: string, mode: number, rdev: bigint, owner: Owner) { this.#allow('mknod', name); return super.mknod(name, mode, rdev, owner) }
  override link(target: Node, name: string) { this.#allow('link', name); return super.link(target, name) }
  override renameat(name: string, dir: Node, newName: string, expect?: bigint) {
    if (this.#hidden(name)) throw errno('ENOENT', 'renameat', name)
    this.#allow('renameat', newName)
    return super.renameat(name, dir, newName, expect)
  }
  override unlinkat(name: string, flags: number, expect?: bigint) {
    if (this.#hidden(name)) throw errno('ENOENT', 'unlinkat', name)
    return super.unlinkat(name, flags, expect)
  }
}

class HideHandle extends ForwardHandle<Layer> {
  override readdir(cookie: bigint, sink: DirSink, mask: number) {
    const prefix = Buffer.from(this.layer.prefix)
    return this.child.readdir(cookie, {
      add: (path, type, cookie, name, attr) => {
        const hidden = typeof name === 'string' ? name.startsWith(this.layer.prefix) : prefix.equals(name.subarray(0, prefix.length))
        return hidden || sink.add(path, type, cookie, name, attr)                            // true: go on
      },
    }, mask)
  }
}
