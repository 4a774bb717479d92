// What the kernel knows of the tree: a node for each file that it has looked up, with as many references as it was given, and the fids
// by which users reach it.

import { QT, S, errno } from 'ninep'
import type { Attr, Qid } from 'ninep'
import { ROOT_ID } from './fuse.ts'
import type { Session } from './link.ts'

/** A fid of one user, in one session. */
interface Held { readonly session: Session; readonly uid: number; readonly fid: number }

export class Node {
  /** References of the kernel: what it was told of, less what it forgot. */
  lookups = 0
  /** Where it was last found. name '': the root; parent undefined: nowhere any more. */
  parent: Node | undefined
  name = ''
  /** Where else it was found, of a file that has several names. */
  others: readonly { readonly parent: Node; readonly name: string }[] | undefined
  /** Those last found in here. */
  children: Map<string, Node> | undefined
  /** Names it has, as of the last answer that said. */
  nlink = 1
  /** Bytes, as of the last answer that said. */
  size = 0
  /** Attributes as the kernel was told them last. */
  told: Attr | undefined
  /** The qid's version of what the kernel may have in its cache. */
  cached = 0
  /** A directory's default ACL: whether there is one, and until when (ms) that is believed. */
  defaultAcl: { readonly there: boolean; readonly until: number } | undefined
  readonly id: number
  readonly qid: Qid
  #held: Held | undefined
  #more: Held[] | undefined
  constructor(id: number, qid: Qid) {
    this.id = id
    this.qid = qid
  }
  get isDirectory(): boolean { return (this.qid.type & QT.DIR) !== 0 }

  /** This user's fid in this session. */
  fid(session: Session, uid: number): number | undefined {
    const held = this.#held
    if (held && held.session === session && held.uid === uid) return held.fid
    return this.#more?.find((held) => held.session === session && held.uid === uid)?.fid
  }
  /** Any fid in this session. */
  anyFid(session: Session): number | undefined {
    if (this.#held?.session === session) return this.#held.fid
    return this.#more?.find((held) => held.session === session)?.fid
  }
  /** Keeps a fid, and gives the one back that this user had. */
  hold(session: Session, uid: number, fid: number): number | undefined {
    const held: Held = { session, uid, fid }, before = this.fid(session, uid)
    if (!this.#held || this.#held.session !== session || this.#held.uid === uid) this.#held = held
    else this.#more = [...(this.#more ?? []).filter((other) => other.session === session && other.uid !== uid), held]
    return before
  }
  /** Takes all fids of this session out. */
  drop(session: Session | undefined): number[] {
    const all = [...this.#held ? [this.#held] : [], ...this.#more ?? []]
    this.#held = this.#more = undefined
    return all.filter((held) => held.session === session).map(({ fid }) => fid)
  }
}

export class Nodes {
  readonly root: Node
  readonly #byId = new Map<number, Node>()
  /** By what the server calls the file: so that all names of it are one to the kernel, too. */
  readonly #byPath = new Map<bigint, Node>()
  #next = ROOT_ID + 1
  constructor(root: Qid) {
    this.root = new Node(ROOT_ID, root)
    this.root.lookups = Infinity                           // the mount's own
    this.#byId.set(ROOT_ID, this.root)
    this.#byPath.set(root.path, this.root)
  }
  get size(): number { return this.#byId.size }
  /** References there are in all, but for the root's. */
  get lookups(): number {
    let sum = 0
    for (const { lookups } of this.#byId.values()) if (lookups !== Infinity) sum += lookups
    return sum
  }

  /** ESTALE: the kernel was never told of it, or has forgotten it. */
  get(id: number): Node {
    const node = this.#byId.get(id)
    if (!node) throw errno('ESTALE', 'node', String(id))
    return node
  }

  /** The node of a file that was found under this name; it is there for as long as it is referred to. */
  found(dir: Node, name: string, qid: Qid, attr: Attr): Node {
    let node = this.#byPath.get(qid.path)
    if (node && (node.qid.type ^ qid.type) & (QT.DIR | QT.SYMLINK)) node = undefined   // another file, which has got its number
    if (!node) {
      node = new Node(this.#next++, { ...qid, type: (attr.mode & S.IFMT) === S.IFDIR ? qid.type | QT.DIR : qid.type & ~QT.DIR })
      this.#byId.set(node.id, node)
      this.#byPath.set(qid.path, node)
    }
    node.nlink = attr.nlink
    node.size = attr.size
    if (node !== this.root) this.place(node, dir, name)
    return node
  }
  /** Says where a node is now. */
  place(node: Node, dir: Node, name: string): void {
    const { parent, name: last } = node
    if (parent === dir && last === name) return
    const before = dir.children?.get(name)
    if (before && before !== node) this.#displace(before, dir, name)
    const others = node.nlink > 1 && !node.isDirectory ? [...node.others ?? [], ...parent ? [{ parent, name: last }] : []] : undefined
    if (!others) this.#unplace(node)
    node.others = others?.filter((other) => other.parent !== dir || other.name !== name)
    node.parent = dir
    node.name = name
    ;(dir.children ??= new Map()).set(name, node)
  }
  /** It is nowhere any more. */
  #unplace(node: Node): void {
    for (const { parent, name } of [...node.others ?? [], node]) if (parent?.children?.get(name) === node) parent.children.delete(name)
    node.parent = node.others = undefined
  }
  /** It is not there any more, but perhaps elsewhere. */
  #displace(node: Node, dir: Node, name: string): void {
    if (dir.children?.get(name) === node) dir.children.delete(name)
    if (node.parent !== dir || node.name !== name) node.others = node.others?.filter((other) => other.parent !== dir || other.name !== name)
    else {
      const next = node.others?.at(-1)
      node.parent = next?.parent
      node.name = next?.name ?? name
      node.others = node.others?.slice(0, -1)
    }
  }
  /** The node that was last found there. */
  at(dir: Node, name: string): Node | undefined { return dir.children?.get(name) }
  /** This name is gone. The file with it, where it had no other: a new one may then have its number. */
  removed(dir: Node, name: string): void {
    const node = this.at(dir, name)
    if (!node) return
    this.#displace(node, dir, name)
    if ((node.isDirectory || --node.nlink <= 0) && this.#byPath.get(node.qid.path) === node) this.#byPath.delete(node.qid.path)
  }
  /** Nothing is found there now. */
  lost(dir: Node, name: string): void {
    const node = this.at(dir, name)
    if (node) this.#displace(node, dir, name)
  }
  moved(dir: Node, name: string, newDir: Node, newName: string): void {
    const node = this.at(dir, name)
    const over = this.at(newDir, newName)
    if (over && over !== node) this.removed(newDir, newName)
    if (!node) return
    this.#displace(node, dir, name)
    this.place(node, newDir, newName)
  }

  /** One reference more. */
  refer(node: Node): void { node.lookups++ }
  /** So many references fewer: the node, if that was the last. */
  forget(id: number, count: number): Node | undefined {
    const node = this.#byId.get(id)
    if (!node || node === this.root) return undefined
    node.lookups -= count
    if (node.lookups > 0) return undefined
    this.#byId.delete(id)
    if (this.#byPath.get(node.qid.path) === node) this.#byPath.delete(node.qid.path)
    this.#unplace(node)
    return node
  }
  /** A node that nobody was told of goes, too. */
  tidy(node: Node): Node | undefined { return node.lookups > 0 ? undefined : this.forget(node.id, 0) }
  all(): IterableIterator<Node> { return this.#byId.values() }
}
