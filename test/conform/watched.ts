import * as assert from 'uvu/assert'
import { Attrs } from 'ninep'
import type { Attr, Qid } from 'ninep'
import { after, ForwardHandle, ForwardNode, ForwardTranslator } from '../../translators/forward.ts'
import type { Awaitable, Call, Created, DirSink, Handle, Node, Owner, Translator } from '../../translators/translator.ts'
import { same } from './tools.ts'

/**
 * A layer that holds a translator to the rules of translator.ts in every call, whatever the promise at work is about:
 * memory that was lent is spoiled when the call settles, memory that was given must never change, nothing outside
 * `into` is touched, a full sink is full, a qid keeps its type and path, an Attr is whole. finish() checks what can be
 * checked only at the end, and closes what the promise left open, so that promises need not.
 */
export class Watch {
  readonly translator: Translator
  readonly open = new Set<{ close(): Awaitable<void> }>()
  closed = false
  readonly #given: { what: string; bytes: Uint8Array; copy: Uint8Array }[] = []
  constructor(child: Translator) {
    const close = () => {
      assert.not(this.closed, 'a translator closed twice')
      this.closed = true
      return child.close()
    }
    this.translator = Object.assign(new ForwardTranslator(child.name, child, (root) => new WatchedNode(root, this)), { close })
  }
  /** Bytes that the translator gave away. */
  given(what: string, bytes: Uint8Array): Uint8Array {
    if (this.#given.length < 1000) this.#given.push({ what, bytes, copy: bytes.slice() })
    return bytes
  }
  async finish(): Promise<void> {
    for (const { what, bytes, copy } of this.#given) same(bytes, copy, `memory that ${what} gave, later`)
    for (const it of [...this.open]) await it.close()
  }
}

/** f of a copy of these bytes, which is spoiled when f has settled. */
async function lend<T>(bytes: Uint8Array, f: (lent: Uint8Array) => Awaitable<T>): Promise<T> {
  const lent = bytes.slice()
  try { return await f(lent) } finally {
    same(lent, bytes, 'memory that was lent')
    lent.fill(0xee)
  }
}

function checkAttr(attr: Attr, mask: number, qid: Qid | undefined): Attr {
  const want = mask & Attrs.BASIC, { valid } = attr
  assert.is((valid & want) >>> 0, want, `getattr: valid ${valid.toString(16)} lacks some of ${want.toString(16)}`)
  if (qid) assert.is(attr.qid.path, qid.path, `getattr: qid.path ${attr.qid.path} of a node that is ${qid.path}`)
  if (qid) assert.is(attr.qid.type, qid.type, `getattr: qid.type ${attr.qid.type} of a node that is ${qid.type}`)
  for (const key of ['mode', 'uid', 'gid', 'nlink', 'size', 'blksize', 'blocks'] as const) {
    assert.ok(Number.isSafeInteger(attr[key]) && attr[key] >= 0, `getattr: ${key} is ${attr[key]}`)
  }
  for (const key of ['atime', 'mtime', 'ctime', 'btime'] as const) {
    const { sec, nsec } = attr[key]
    assert.ok(Number.isSafeInteger(sec) && Number.isInteger(nsec) && nsec >= 0 && nsec < 1e9, `getattr: ${key} is ${sec} s ${nsec} ns`)
  }
  return attr
}

class WatchedNode extends ForwardNode<Watch> {
  readonly #type: number
  readonly #path: bigint
  constructor(child: Node, watch: Watch) {
    super(child, watch)
    this.#type = child.qid.type
    this.#path = child.qid.path
    watch.open.add(this)
  }
  protected override wrap(child: Node) { return new WatchedNode(child, this.layer) }
  protected override wrapHandle(child: Handle) { return new WatchedHandle(child, this.layer) }
  /** Also of another instance under watch: the EXDEV to be seen is the translator's. */
  protected override unwrap(node: Node, op: string): Node { return node instanceof WatchedNode ? node.child : super.unwrap(node, op) }
  override get qid(): Qid {
    const { qid } = this.child
    assert.is(qid.type, this.#type, 'qid.type changed')
    assert.is(qid.path, this.#path, 'qid.path changed')
    return qid
  }
  override getattr(mask: number): Awaitable<Attr> { return after(super.getattr(mask), (attr) => checkAttr(attr, mask, this.qid)) }
  override create(name: string, flags: number, mode: number, owner: Owner): Awaitable<Created> {
    return after(super.create(name, flags, mode, owner), (made) => {
      assert.is(made.node.qid.type, 0, 'create made something else than a file')
      return made
    })
  }
  override setxattr(name: string, value: Uint8Array, flags: number): Awaitable<void> { return lend(value, (lent) => super.setxattr(name, lent, flags)) }
  override getxattr(name: string): Awaitable<Uint8Array> { return after(super.getxattr(name), (value) => this.layer.given('getxattr', value)) }
  override close(): Awaitable<void> {
    assert.ok(this.layer.open.delete(this), 'a node closed twice')
    return super.close()
  }
}

class WatchedHandle extends ForwardHandle<Watch> {
  constructor(child: Handle, watch: Watch) {
    super(child, watch)
    watch.open.add(this)
  }
  override async read(into: Uint8Array, offset: number, call?: Call): Promise<Uint8Array> {
    const guard = 16, memory = new Uint8Array(into.length + 2 * guard).fill(0xaa), inner = memory.subarray(guard, guard + into.length)
    const got = await this.child.read(inner, offset, call)
    assert.ok(memory.subarray(0, guard).every((b) => b === 0xaa) && memory.subarray(guard + into.length).every((b) => b === 0xaa), 'read wrote outside into')
    assert.ok(got.length <= into.length, `read gave ${got.length} bytes for ${into.length}`)
    if (got.length === 0) return got
    if (got.buffer === memory.buffer) {
      assert.is(got.byteOffset, inner.byteOffset, 'read gave another part of into than its head')
      into.set(got)
      return into.subarray(0, got.length)
    }
    return this.layer.given('read', got)
  }
  override write(bytes: Uint8Array, offset: number, call?: Call): Awaitable<number> {
    return lend(bytes, async (lent) => {
      const n = await this.child.write(lent, offset, call)
      assert.ok(Number.isInteger(n) && n <= bytes.length && (n > 0 || bytes.length === 0), `write answered ${n} to ${bytes.length} bytes`)
      return n
    })
  }
  override async readdir(cookie: bigint, sink: DirSink, mask: number, call?: Call): Promise<boolean> {
    let full = false
    const end = await this.child.readdir(cookie, {
      add(path, type, next, name, attr) {
        assert.not(full, 'readdir went on after the sink was full')
        assert.ok(next > 0n && next < 1n << 63n, `readdir: cookie ${next}`)
        if (mask !== 0) {
          assert.ok(attr, 'readdir gave no attributes')
          checkAttr(attr, mask, undefined)
          assert.is(attr.qid.path, path, 'readdir: attr.qid.path is not the entry\'s path')
        }
        return !(full = !sink.add(path, type, next, name, attr))
      },
    }, mask, call)
    assert.is(end, !full, full ? 'readdir said it was at the end, though the sink was full' : 'readdir stopped before the sink was full')
    return end
  }
  override getattr(mask: number): Awaitable<Attr> { return after(super.getattr(mask), (attr) => checkAttr(attr, mask, undefined)) }
  override close(): Awaitable<void> {
    assert.ok(this.layer.open.delete(this), 'a handle closed twice')
    return super.close()
  }
}
