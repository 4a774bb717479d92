// @ts-check
import { errno, nameOfBytes } from 'ninep'
import { ForwardHandle, ForwardNode, ForwardTranslator } from 'ninefold/translators/forward'
import { text, translator } from 'ninefold/translators/options'
/** @import { Handle, Node } from 'ninefold/translators/translator' */

/** Hides every name that begins with a prefix: it is not listed, not found, and can't be made. */
export const hide = translator({
  name: 'hide',
  about: 'Hide names that begin with a prefix.',
  children: 1,
  concurrent: true, // it has no state of its own to keep in order
  options: { prefix: text({ about: 'what hidden names begin with', default: '.', positional: true }) },
  start: ({ prefix }, [child]) => new ForwardTranslator('hide', child, (root) => new HideNode(root, { prefix })),
})

/** @extends {ForwardNode<{ prefix: string }>} */
class HideNode extends ForwardNode {
  /** @param {Node} child */ wrap(child) { return new HideNode(child, this.layer) }
  /** @param {Handle} child */ wrapHandle(child) { return new HideHandle(child, this.layer) }
  /** The name, if it is not hidden. @param {string} name @param {'ENOENT' | 'EPERM'} code */
  seen(name, code) { if (name.startsWith(this.layer.prefix)) throw errno(code, 'hide', name); return name }

  /** @type {Node['walk']} */ walk(name) { return super.walk(this.seen(name, 'ENOENT')) }
  /** @type {Node['unlinkat']} */ unlinkat(name, ...rest) { return super.unlinkat(this.seen(name, 'ENOENT'), ...rest) }
  /** @type {Node['create']} */ create(name, ...rest) { return super.create(this.seen(name, 'EPERM'), ...rest) }
  /** @type {Node['mkdir']} */ mkdir(name, ...rest) { return super.mkdir(this.seen(name, 'EPERM'), ...rest) }
  /** @type {Node['symlink']} */ symlink(name, ...rest) { return super.symlink(this.seen(name, 'EPERM'), ...rest) }
  /** @type {Node['mknod']} */ mknod(name, ...rest) { return super.mknod(this.seen(name, 'EPERM'), ...rest) }
  /** @type {Node['link']} */ link(target, name) { return super.link(target, this.seen(name, 'EPERM')) }
  /** @type {Node['renameat']} */ renameat(name, dir, to, expect) { return super.renameat(this.seen(name, 'ENOENT'), dir, this.seen(to, 'EPERM'), expect) }
}

/** @extends {ForwardHandle<{ prefix: string }>} */
class HideHandle extends ForwardHandle {
  /** @type {Handle['readdir']} */ readdir(cookie, sink, ...rest) {
    /** @param {string | Uint8Array} name */ const hidden = (name) => (typeof name === 'string' ? name : nameOfBytes(name, 0, name.length)).startsWith(this.layer.prefix)
    return super.readdir(cookie, { add: (path, type, at, name, attr) => hidden(name) || sink.add(path, type, at, name, attr) }, ...rest)
  }
}
