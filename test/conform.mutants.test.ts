// The suite is held to what it promises: layers that break one thing each over a brick that is right, and the promise
// that must then be red.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Attrs, errno, isErrno, O, S } from 'ninep'
import type { Attr, SetAttr } from 'ninep'
import { ForwardHandle, ForwardNode, ForwardTranslator } from '../translators/forward.ts'
import { memory } from '../translators/memory/memory.ts'
import { translator } from '../translators/options.ts'
import type { DirSink, Handle, Node, Owner, Translator } from '../translators/translator.ts'
import { promises } from './conform/conform.ts'

type Wrong = { node?: new (child: Node, layer: Wrong) => WrongNode; handle?: new (child: Handle, layer: Wrong) => ForwardHandle<Wrong>; concurrent?: boolean }
class WrongNode extends ForwardNode<Wrong> {
  protected override wrap(child: Node): Node { return new (this.layer.node ?? WrongNode)(child, this.layer) }
  protected override wrapHandle(child: Handle): Handle { return this.layer.handle ? new this.layer.handle(child, this.layer) : child }
}
async function over(wrong: Wrong): Promise<Translator> {
  const layer = translator({
    name: 'mutant', about: 'Breaks one thing.', children: 1, options: {}, concurrent: wrong.concurrent ?? true,
    start: (_, [child]) => new ForwardTranslator('mutant', child, (root) => new (wrong.node ?? WrongNode)(root, wrong)),
  })
  return layer({}, await memory({}))
}
const turn = () => new Promise(setImmediate)

/** What each mutant does wrong, and the promise that says so. */
const mutants: Readonly<Record<string, readonly [caught: string, wrong: Wrong]>> = {
  'writes after it said that it had written': ['files: what one handle wrote, all others read at once', {
    handle: class extends ForwardHandle<Wrong> {
      override write(bytes: Uint8Array, offset: number) { const copy = bytes.slice(); setImmediate(() => this.child.write(copy, offset)); return bytes.length }
    },
  }],
  'keeps memory that was lent': ['handles: what was written does not change when the writer uses its memory again', {
    handle: class extends ForwardHandle<Wrong> {
      #last: [Uint8Array, number] | undefined
      override write(bytes: Uint8Array, offset: number) { this.#last = [bytes, offset]; return this.child.write(bytes, offset) }
      override read(into: Uint8Array, offset: number) { if (this.#last) void this.child.write(...this.#last); return this.child.read(into, offset) }
    },
  }],
  'gives memory that it uses again': ['handles: what was read does not change when the file does', {
    handle: class extends ForwardHandle<Wrong> {
      #own = new Uint8Array(2 ** 21)
      override async read(into: Uint8Array, offset: number) { return this.child.read(this.#own.subarray(0, into.length), offset) }
      override async write(bytes: Uint8Array, offset: number) { this.#own.set(bytes); return this.child.write(bytes, offset) }
    },
  }],
  'gives more than was asked for': ['files: a file is read a byte at a time', {
    handle: class extends ForwardHandle<Wrong> { override read(into: Uint8Array, offset: number) { return this.child.read(new Uint8Array(into.length + 1), offset) } },
  }],
  'counts cookies along a living list': ['listings: a directory that is emptied while it is listed is emptied whole', {
    handle: class extends ForwardHandle<Wrong> {
      override async readdir(cookie: bigint, sink: DirSink, mask: number) {
        const all: Parameters<DirSink['add']>[] = []
        await this.child.readdir(0n, { add: (...entry) => all.push(entry) > 0 }, mask)
        for (const [i, [path, type, , name, attr]] of all.entries()) if (BigInt(i) >= cookie && !sink.add(path, type, BigInt(i + 1), name, attr)) return false
        return true
      }
    },
  }],
  'goes on when the sink is full': ['listings: a sink that is full at each entry misses none', {
    handle: class extends ForwardHandle<Wrong> {
      override async readdir(cookie: bigint, sink: DirSink, mask: number) { return this.child.readdir(cookie, { add: (...entry) => { sink.add(...entry); return true } }, mask) }
    },
  }],
  'finds the end of an appending handle when it is opened': ['appends: two appenders never overwrite each other', {
    node: class extends WrongNode {
      override async open(flags: number) {
        let { size } = await this.child.getattr(Attrs.SIZE)
        const handle = await this.child.open(flags & ~O.APPEND), write = handle.write.bind(handle)
        return flags & O.APPEND ? Object.assign(handle, { write: async (bytes: Uint8Array) => { const n = await write(bytes, size); size += n; return n } }) : handle
      }
    },
  }],
  'tears a write in two': ['concurrency: a write is whole or not there, to readers and to other writes', {
    handle: class extends ForwardHandle<Wrong> {
      override async write(bytes: Uint8Array, offset: number) {
        if (bytes.length < 2) return this.child.write(bytes, offset)
        const half = bytes.length >> 1
        await this.child.write(bytes.subarray(0, half), offset)
        await turn()
        return half + await this.child.write(bytes.subarray(half), offset + half)
      }
    },
  }],
  'empties what it unlinks': ['unlinked: an unlinked file keeps its content for an open handle', {
    node: class extends WrongNode {
      override async unlinkat(name: string, flags: number, expect?: bigint) {
        await using node = await this.child.walk(name)
        await this.child.unlinkat(name, flags, expect)
        if (node.qid.type === 0) await node.setattr({ size: 0 })
      }
    },
  }],
  'ignores what is expected': ['unlinked: unlinkat expects a file: ESTALE if it is another', {
    node: class extends WrongNode { override unlinkat(name: string, flags: number) { return this.child.unlinkat(name, flags) } },
  }],
  'renames a file onto another name of its own': ['renames: a rename between two names of one file does nothing', {
    node: class extends WrongNode {
      override async renameat(name: string, dir: Node, newName: string, expect?: bigint) {
        await super.renameat(name, dir, newName, expect)
        if (name !== newName || dir !== this) await Promise.resolve(this.child.unlinkat(name, 0)).catch(() => {})
      }
    },
  }],
  'removes what a rename is in the way of, and then renames': ['concurrency: a name that is renamed over is there at every moment', {
    node: class extends WrongNode {
      override async renameat(name: string, dir: Node, newName: string, expect?: bigint) {
        const to = this.unwrap(dir, 'renameat')
        try { await to.unlinkat(newName, 0); await turn() } catch (e) { if (!isErrno(e)) throw e }
        return this.child.renameat(name, to, newName, expect)
      }
    },
  }],
  'looks before it makes': ['concurrency: of many who create a name, one does', { node: lookingFirst() }],
  'loses nanoseconds': ['times: a time is kept to the nanosecond', {
    node: class extends WrongNode {
      override setattr(attr: SetAttr) {
        const coarse = (t: SetAttr['atime']) => typeof t === 'object' ? { ...t, nsec: t.nsec - t.nsec % 1000 } : t
        return this.child.setattr({ ...attr, ...attr.atime ? { atime: coarse(attr.atime)! } : {}, ...attr.mtime ? { mtime: coarse(attr.mtime)! } : {} })
      }
    },
  }],
  'has a umask': ['files: a new file has just this mode', {
    node: class extends WrongNode { override create(name: string, flags: number, mode: number, owner: Owner) { return super.create(name, flags, mode & ~0o022, owner) } },
  }],
  'takes names as text': ['names: bytes that are not UTF-8 are kept, each for itself', {
    node: class extends WrongNode {
      override create(name: string, flags: number, mode: number, owner: Owner) { return super.create(Buffer.from(name).toString(), flags, mode, owner) }
      override walk(name: string) { return super.walk(Buffer.from(name).toString()) }
    },
  }],
  'composes accents': ['names: composed and decomposed accents are two names', {
    node: class extends WrongNode {
      override create(name: string, flags: number, mode: number, owner: Owner) { return super.create(name.normalize('NFC'), flags, mode, owner) }
      override walk(name: string) { return super.walk(name.normalize('NFC')) }
    },
  }],
  'says one version for ever': ['files: qid.version moves with every change of content', {
    node: class extends WrongNode {
      override get qid() { return { ...this.child.qid, version: 1 } }
      override async getattr(mask: number): Promise<Attr> { return { ...await this.child.getattr(mask), qid: this.qid } }
    },
  }],
  'ignores the flags of setxattr': ['xattrs: XATTR_CREATE makes, and does not replace: EEXIST', {
    node: class extends WrongNode { override setxattr(name: string, value: Uint8Array) { return this.child.setxattr(name, value, 0) } },
  }],
  'lets nothing be inherited': ['acls: a file inherits the default ACL, and its mode takes away from it', {
    node: class extends WrongNode {
      override async create(name: string, flags: number, mode: number, owner: Owner) {
        const made = await super.create(name, flags, mode, owner)
        await made.node.setattr({ mode })
        await Promise.resolve(made.node.removexattr('system.posix_acl_access')).catch(() => {})
        return made
      }
    },
  }],
  'fails with no errno': ['errors: walk of what is not there is ENOENT', {
    node: class extends WrongNode {
      override async walk(name: string): Promise<Node> { try { return await super.walk(name) } catch { throw new Error('no such file') } }
    },
  }],
  'answers another errno': ['directories: a directory that is not empty stays: ENOTEMPTY', {
    node: class extends WrongNode {
      override async unlinkat(name: string, flags: number, expect?: bigint) {
        try { await this.child.unlinkat(name, flags, expect) } catch (e) { throw isErrno(e, 'ENOTEMPTY') ? errno('EEXIST', 'unlinkat', name) : e }
      }
    },
  }],
  'tidies targets of symlinks': ['symlinks: a target is kept byte for byte, whatever it means', {
    node: class extends WrongNode { override symlink(name: string, target: string, owner: Owner) { return super.symlink(name, target.replace(/(.)\/+$/, '$1'), owner) } },
  }],
  'leaves old bytes where a file was cut': ['files: what was cut off is gone: a file made long again has zeros there', {
    node: class extends WrongNode {
      override async setattr(attr: SetAttr) {
        const { size = 0 } = await this.child.getattr(Attrs.SIZE)
        await this.child.setattr(attr)
        if (attr.size === undefined || attr.size <= size) return
        await using handle = await this.child.open(O.WRONLY)
        await handle.write(Buffer.from('old'), size)
      }
    },
  }],
  'closes what is open with its node': ['handles: a handle outlives the node that it came from', {
    node: class extends WrongNode {
      #open: { gone: boolean }[] = []
      protected override wrapHandle(child: Handle): Handle {
        const state = { gone: false }
        this.#open.push(state)
        return new class extends ForwardHandle<Wrong> {
          override write(bytes: Uint8Array, offset: number) { if (state.gone) throw errno('EBADF', 'write'); return this.child.write(bytes, offset) }
        }(child, this.layer)
      }
      override close() { for (const state of this.#open) state.gone = true; return this.child.close() }
    },
  }],
  'never says that a file was unlinked': ['unlinked: an unlinked file has attributes, and nlink 0', {
    handle: class extends ForwardHandle<Wrong> {
      override async getattr(mask: number): Promise<Attr> { const attr = await this.child.getattr(mask); return { ...attr, nlink: Math.max(1, attr.nlink) } }
    },
  }],
  'leaves out attributes that were asked for': ['attributes: a file of every kind has all basic attributes', {
    node: class extends WrongNode {
      override async getattr(mask: number): Promise<Attr> { const attr = await this.child.getattr(mask); return { ...attr, valid: attr.valid & ~Attrs.BLOCKS } }
    },
  }],
  'forgets special files': ['specials: a FIFO and a socket are of their kind, with just this mode', {
    node: class extends WrongNode {
      override mknod(name: string, mode: number, rdev: bigint, owner: Owner) { return super.mknod(name, mode & 0o7777 | S.IFREG, rdev, owner) }
    },
  }],
}

/** Not one step but three, with a turn of the loop between: right only where calls are kept apart. */
function lookingFirst() {
  return class extends WrongNode {
    override async mkdir(name: string, mode: number, owner: Owner): Promise<Node> {
      const there = await Promise.resolve(this.child).then((c) => c.walk(name)).then((n) => (n.close(), true), () => false)
      if (there) throw errno('EEXIST', 'mkdir', name)
      await turn()
      try { return await super.mkdir(name, mode, owner) } catch (e) { if (isErrno(e, 'EEXIST')) return this.walk(name); throw e }
    }
  }
}

function promise(name: string, wrong: Wrong) {
  const found = promises(() => over(wrong), { quick: true }).find((p) => p.name === name)
  assert.ok(found, `there is no promise ${name}`)
  return found!
}
async function isKept(name: string, wrong: Wrong): Promise<boolean> {
  try { await promise(name, wrong).run() } catch { return false }
  return true
}

const test = suite('conform mutants')
for (const [mutant, [caught, wrong]] of Object.entries(mutants)) {
  test(`a translator that ${mutant} is caught`, async () => {
    assert.ok(await isKept(caught, {}), 'the promise is not kept by a brick that is right')
    assert.not(await isKept(caught, wrong))
  })
}
test('calls are kept apart for a translator that does not order them itself', async () => {
  const name = 'concurrency: of many who create a name, one does'
  assert.ok(await isKept(name, { node: lookingFirst(), concurrent: false }))
})
test('a promise that is lacked is not owed, but must be lacked in the proper way', async () => {
  const owed = promises(() => memory({}), { lacks: ['xattr'], quick: true }), [lacked] = owed.filter((p) => p.name.startsWith('lacks'))
  assert.not(owed.some((p) => p.name.startsWith('xattrs:')))
  let red = false
  try { await lacked!.run() } catch { red = true }
  assert.ok(red, 'memory has extended attributes, and was allowed to say that it lacks them')
})
for (const mutant of ['leaves old bytes where a file was cut', 'counts cookies along a living list', 'empties what it unlinks', 'answers another errno', 'ignores the flags of setxattr', 'finds the end of an appending handle when it is opened']) {
  test(`the random run finds a translator that ${mutant}, and makes the run short`, async () => {
    const { run } = promise('random: 20 000 operations at random do what a simple model does', mutants[mutant]![1])
    let message = ''
    try { await run() } catch (e) { message = (e as Error).message }
    const [, length] = /made shorter to (\d+):/.exec(message) ?? []
    assert.ok(length, `it was not found: ${message}`)
    assert.ok(Number(length) <= 40, message)
  })
}
test.run()
