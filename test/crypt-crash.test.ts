// A crash between any two calls that change the child, and in the midst of a long write: what is opened again is as before or as after.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { AT_REMOVEDIR, errno, O } from 'ninep'
import type { SetAttr } from 'ninep'
import { ForwardHandle, ForwardNode, ForwardTranslator } from '../translators/forward.ts'
import { crypt } from '../translators/crypt/crypt.ts'
import { crash, fault } from '../translators/fault/fault.ts'
import { memory } from '../translators/memory/memory.ts'
import type { Awaitable, Handle, Node, Owner, Translator } from '../translators/translator.ts'
import { get, ls, mkdir, noise, outcome, owner, put, text } from './conform/tools.ts'
import { key, logged } from './crypt.ts'

const PAGE = 4096
/** How many changes are left until the crash, after which nothing is changed any more. */
class Fuse {
  left = Infinity
  burn(): boolean { return this.left-- > 0 }
  spend(): void { if (!this.burn()) throw errno('EIO', 'crash') }
}
class FusedNode extends ForwardNode<Fuse> {
  protected override wrap(child: Node) { return new FusedNode(child, this.layer) }
  protected override wrapHandle(child: Handle) { return new FusedHandle(child, this.layer) }
  override setattr(attr: SetAttr) { this.layer.spend(); return super.setattr(attr) }
  override create(name: string, flags: number, mode: number, who: Owner) { this.layer.spend(); return super.create(name, flags, mode, who) }
  override mkdir(name: string, mode: number, who: Owner) { this.layer.spend(); return super.mkdir(name, mode, who) }
  override symlink(name: string, target: string, who: Owner) { this.layer.spend(); return super.symlink(name, target, who) }
  override link(target: Node, name: string) { this.layer.spend(); return super.link(target, name) }
  override renameat(name: string, dir: Node, newName: string, expect?: bigint) { this.layer.spend(); return super.renameat(name, dir, newName, expect) }
  override unlinkat(name: string, flags: number, expect?: bigint) { this.layer.spend(); return super.unlinkat(name, flags, expect) }
  override setxattr(name: string, value: Uint8Array, flags: number) { this.layer.spend(); return super.setxattr(name, value, flags) }
  override removexattr(name: string) { this.layer.spend(); return super.removexattr(name) }
}
class FusedHandle extends ForwardHandle<Fuse> {
  /** A kill falls between two pages of a write, not within one. */
  override write(bytes: Uint8Array, offset: number): Awaitable<number> {
    if (this.layer.burn()) return super.write(bytes, offset)
    const pages = Math.floor(bytes.length / PAGE / 2)
    if (this.layer.left === -1 && offset % PAGE === 0 && pages > 0) return (async () => { await this.child.write(bytes.subarray(0, pages * PAGE), offset); throw errno('EIO', 'crash') })()
    throw errno('EIO', 'crash')
  }
  override setattr(attr: SetAttr) { this.layer.spend(); return super.setattr(attr) }
}

/** All that a tree shows, names to contents; links by target; values of attributes. */
async function portrait(node: Node, path = ''): Promise<string[]> {
  const found: string[] = []
  for (const name of await ls(node)) {
    const at = `${path}/${name.length > 20 ? `${name.slice(0, 10)}..${name.length}` : name}`, child = await node.walk(name), { nlink, size } = await child.getattr(0x3fff)
    if (child.qid.type & 0x80) found.push(`${at}/`, ...await portrait(child, at))
    else if (child.qid.type & 2) found.push(`${at} -> ${(await child.readlink()).length}`)
    else {
      const values: string[] = []
      for (const attribute of (await child.listxattr()).sort()) values.push(`${attribute}=${Buffer.from(await child.getxattr(attribute)).toString()}`)
      found.push(`${at} ${nlink} ${size} ${digest(await get(child))} ${values}`)
    }
    await child.close()
  }
  return found
}
/** Page by page: which of the two contents it has. */
let contents: readonly (readonly [string, Uint8Array])[] = []
function digest(bytes: Uint8Array): string {
  let all = ''
  for (let at = 0; at < bytes.length; at += PAGE) {
    const page = bytes.subarray(at, at + PAGE)
    all += contents.find(([, from]) => Buffer.compare(page, from.subarray(at, at + page.length)) === 0 && from.length >= at + page.length)?.[0] ?? (page.every((byte) => byte === 0) ? '0' : '?')
  }
  return all
}

interface Scenario { prepare(root: Node, top: Translator): Promise<void>; change(root: Node, top: Translator): Promise<void>; }
const test = suite('crypt, crashed')
const big = noise(70 * PAGE), other = noise(90 * PAGE), long = (c: string) => c.repeat(200)

/** Every crash of a change: as before, or as after; and where it is about the pages of one file, each of them. */
function crashes(name: string, { prepare, change }: Scenario, pages = false): void {
  test(name, async () => {
    contents = [['A', big], ['B', other]]
    let after: string[] | undefined, before: string[] = [], runs = 0
    for (let budget: number = Infinity; ; budget = runs++) {
      const fuse = new Fuse(), brick = await memory({})
      const fused = await crypt.start(key, [standIn(brick, fuse)], { name: 'crypt', log: { debug() {}, info() {}, warn() {}, error() {} } })
      const root = await fused.attach('')
      await prepare(root, fused)
      before = await portrait(root)
      fuse.left = budget
      const failed = await outcome(() => change(root, fused))
      fuse.left = -2
      const { translator, lines } = await logged(brick), again = await translator.attach(''), now = await portrait(again)
      after ??= now
      const show = () => `crash at change ${budget}:\n${now.join('\n')}\nbefore:\n${before.join('\n')}\nafter:\n${after!.join('\n')}`
      assert.equal(lines, [], show())
      if (pages) assert.ok(now.every((line) => !line.includes('?')), show())
      if (!pages) assert.ok([before, after].some((right) => String(right) === String(now)), show())
      // It goes on: what was interrupted can be done.
      const more = await outcome(() => change(again, translator))
      assert.ok(!more || ['ENOENT', 'EEXIST'].includes(more.code), `${more?.message} after ${show()}`)
      assert.equal(lines, [], show())
      await again.close()
      if (budget !== Infinity && !failed) break
      assert.ok(runs < 400)
    }
    assert.ok(runs > 1 && String(before) !== String(after))
  })
}
function standIn(brick: Translator, fuse: Fuse): Translator { return new ForwardTranslator('fused', brick, (root) => new FusedNode(root, fuse)) }
async function over(root: Node, name: string, bytes: Uint8Array, offset: number): Promise<void> {
  await using node = await root.walk(name)
  await using handle = await node.open(O.RDWR)
  await handle.write(bytes, offset)
}
const cut = async (root: Node, name: string, size: number) => { await using node = await root.walk(name); await node.setattr({ size }) }

crashes('pages are overwritten', { prepare: (root) => put(root, 'f', big), change: (root) => over(root, 'f', other.subarray(PAGE, 66 * PAGE), PAGE) }, true)
crashes('pages are overwritten twice', { prepare: async (root) => { await put(root, 'f', other.subarray(0, 70 * PAGE)); await over(root, 'f', big, 0) }, change: (root) => over(root, 'f', other.subarray(0, 70 * PAGE), 0) }, true)
crashes('a file gets longer', { prepare: (root) => put(root, 'f', big.subarray(0, 100)), change: (root) => over(root, 'f', big.subarray(100), 100) })
crashes('a file gets longer by a hole', { prepare: (root) => put(root, 'f', big.subarray(0, 2 * PAGE)), change: (root) => over(root, 'f', other.subarray(80 * PAGE, 82 * PAGE), 80 * PAGE) }, true)
crashes('a hole is written to', { prepare: async (root) => { await put(root, 'f', big.subarray(0, PAGE)); await cut(root, 'f', 80 * PAGE) }, change: (root) => over(root, 'f', other.subarray(2 * PAGE, 5 * PAGE), 2 * PAGE) }, true)
crashes('a hole of groups is written to', { prepare: async (root) => { await put(root, 'f', big.subarray(0, PAGE)); await cut(root, 'f', 800 * PAGE) }, change: (root) => over(root, 'f', other.subarray(70 * PAGE, 75 * PAGE), 70 * PAGE) }, true)
crashes('a file is cut', { prepare: (root) => put(root, 'f', big), change: (root) => cut(root, 'f', 3 * PAGE + 7) })
crashes('a file is emptied', { prepare: (root) => put(root, 'f', big), change: (root) => cut(root, 'f', 0) })
crashes('a file is made', { prepare: async () => {}, change: async (root) => { const { node, handle } = await root.create('f', O.RDWR, 0o600, owner); await handle.close(); await node.close() } })
crashes('a file of a long name is made', { prepare: async () => {}, change: async (root) => { const { node, handle } = await root.create(long('f'), O.RDWR, 0o600, owner); await handle.close(); await node.close() } })
crashes('a directory is made', { prepare: async () => {}, change: async (root) => { await (await mkdir(root, 'd')).close() } })
crashes('a link is made', { prepare: (root) => put(root, 'f', text('x')), change: async (root) => { await using node = await root.walk('f'); await root.link(node, long('g')) } })
crashes('one of two names goes', { prepare: async (root) => { await put(root, 'f', text('x')); await using node = await root.walk('f'); await root.link(node, 'g') }, change: (root) => root.unlinkat('f', 0) as Promise<void> })
crashes('a symbolic link is made', { prepare: async () => {}, change: async (root) => { await (await root.symlink('s', 'where', owner)).close() } })
crashes('one with a long target is made', { prepare: async () => {}, change: async (root) => { await (await root.symlink('s', 'w'.repeat(4000), owner)).close() } })
crashes('a file is renamed', { prepare: (root) => put(root, 'f', text('x')), change: (root) => root.renameat('f', root, long('g')) as Promise<void> })
crashes('a file of a long name is renamed', { prepare: (root) => put(root, long('f'), text('x')), change: (root) => root.renameat(long('f'), root, 'g') as Promise<void> })
crashes('a file takes the place of another, in another directory', {
  prepare: async (root) => { await (await mkdir(root, 'd')).close(); await put(root, 'f', big.subarray(0, 9)); await put(root, 'd/g', other.subarray(0, 9)) },
  change: async (root) => { await using d = await root.walk('d'); await root.renameat('f', d, 'g') },
})
crashes('a directory is renamed', {
  prepare: async (root) => { for (const name of ['d', 'e']) await (await mkdir(root, name)).close(); await put(root, 'd/g', text('x')) },
  change: async (root) => { await using e = await root.walk('e'); await root.renameat('d', e, long('h')) },
})
crashes('a directory takes the place of an empty one', {
  prepare: async (root) => { for (const name of ['d', 'e']) await (await mkdir(root, name)).close(); await put(root, 'd/g', text('x')) },
  change: (root) => root.renameat('d', root, 'e') as Promise<void>,
})
crashes('a directory is removed', { prepare: async (root) => { await (await mkdir(root, long('d'))).close() }, change: (root) => root.unlinkat(long('d'), AT_REMOVEDIR) as Promise<void> })
crashes('a file is removed', { prepare: (root) => put(root, long('f'), text('x')), change: (root) => root.unlinkat(long('f'), 0) as Promise<void> })
crashes('an attribute is changed', {
  prepare: async (root) => { await put(root, 'f', text('x')); await using node = await root.walk('f'); await node.setxattr('user.a', text('old'), 0) },
  change: async (root) => { await using node = await root.walk('f'); await node.setxattr('user.a', text('new'), 0) },
})
test('power loss that keeps some of what was not synced: a page is old, new, or EIO, and what was synced and not touched is as it was', async () => {
  let old = 0, fresh = 0, lost = 0
  for (let seed = 1; seed <= 30; seed++) {
    const child = await fault({ 'drop-unsynced': true, 'torn-rate': 0.5, seed }, await memory({})), { translator } = await logged(child), root = await translator.attach('')
    await put(root, 'f', big)
    await put(root, 'quiet', big)
    await translator.sync()
    for (const [first, end] of [[3, 9], [5, 20], [60, 68]] as const) await over(root, 'f', other.subarray(first * PAGE, end * PAGE), first * PAGE)
    await crash(child)
    const again = await logged(child), top = await again.translator.attach('')
    assert.is(Buffer.compare(await get(top, 'quiet'), big), 0)
    await using node = await top.walk('f')
    const opened = await outcome(async () => {
      await using handle = await node.open(O.RDONLY)
      for (let page = 0; page < 70; page++) {
        let bytes: Uint8Array = big
        const refused = await outcome(async () => { bytes = (await handle.read(new Uint8Array(PAGE), page * PAGE)).slice() })
        if (refused) { assert.is(refused.code, 'EIO'); lost++; continue }
        const is = (content: Uint8Array) => Buffer.compare(bytes, content.subarray(page * PAGE, (page + 1) * PAGE)) === 0
        assert.ok(is(big) || is(other), `seed ${seed}, page ${page}`)
        if (is(big)) old++
        else fresh++
      }
    })
    assert.is(opened, undefined)
    await again.translator.close()
  }
  assert.ok(old > 0 && fresh > 0 && lost > 0, `${old} old, ${fresh} new, ${lost} EIO`)
})
test.run()
