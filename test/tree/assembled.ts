// A tree over keys and blobs that need be no files: what snapshot is made of, for who has to have a hand on each part.

import type { Log } from '../../translators/options.ts'
import { fsck } from '../../translators/tree/fsck.ts'
import type { Problem } from '../../translators/tree/fsck.ts'
import { viewing } from '../../translators/tree/fsck-view.ts'
import { gc } from '../../translators/tree/gc.ts'
import { Instance } from '../../translators/tree/instance.ts'
import type { Setting } from '../../translators/tree/instance.ts'
import { TreeNode } from '../../translators/tree/node.ts'
import { Packer } from '../../translators/tree/packer.ts'
import { resume } from '../../translators/tree/reclaim.ts'
import { emptyTree, Tree } from '../../translators/tree/tree.ts'
import type { Node } from '../../translators/translator.ts'
import { told } from './snapshot.ts'
import type { Verbs } from './steps.ts'

export interface Assembled { readonly instance: Instance; readonly root: () => Promise<Node>; readonly verbs: Verbs; check(data?: boolean): Promise<string[]>; kill(): Promise<void> }
export const silent: Log = { debug() {}, info() {}, warn() {}, error() {} } as unknown as Log

/** What can be asked of a tree as a whole. */
export function verbsOf(tree: Tree, packer: Packer): Verbs {
  return {
    sync: () => tree.instance.sync(),
    snapshot: (name) => tree.epochs.create(name),
    delete: (name) => tree.epochs.delete(name),
    rollback: (name) => tree.epochs.rollback(name),
    pack: () => packer.compact(),
    gc: async () => { await gc(tree.instance, [tree.t]) },
  }
}
export async function assemble(setting: Setting): Promise<Assembled> {
  const instance = await Instance.open(setting, () => emptyTree(1, 0o755, { uid: 0, gid: 0 })), tree = new Tree(instance, 1)
  const packer = new Packer(instance)
  await tree.epochs.open()
  void packer.run()
  const resuming = resume(tree)
  return {
    instance,
    root: async () => new TreeNode(tree, tree.files.retain(tree.root)),
    verbs: verbsOf(tree, packer),
    async check(data = false) {
      await resuming
      await tree.epochs.idle()
      const problems: Problem[] = []
      await viewing(instance, (view) => fsck(view, { data, report: (problem) => problems.push(problem) }))
      return problems.filter(({ severity, what }) => severity !== 'garbage' || !/^a blob of .* that nothing names$/.test(what)).map(told)
    },
    async kill() {
      await resuming.catch(() => {})
      await instance.kill()
    },
  }
}
