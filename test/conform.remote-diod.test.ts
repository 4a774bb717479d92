// The promises, over a connection to diod, as far as that can keep them.

import { remote } from '../translators/remote/remote.ts'
import { assert, promises, suite } from './conform/conform.ts'
import { diod } from './foreign.ts'
import { requires } from './needs.ts'

// diod knows a fid by its path: what is renamed, replaced or removed is not reached by a fid of before, or that reaches another file.
const paths = [
  'directories: a removed directory is not the next of its name', 'renames: a node follows its file', 'renames: a node follows its file through renames of directories above it',
  'renames: a handle follows its file and its directories', 'renames: parent() of a directory is where it was moved to', 'renames: a rename over an open file leaves its handles on the old one',
  'renames: a directory replaces an empty one', 'renames: two files swap names by a third, and again a hundred times', 'renames: a moved directory can be emptied and removed',
  'renames: a name that is renamed over takes one from nlink', 'links: a node outlives the name that it was found by', 'links: a node does not become the file that took the name over',
  'links: a hundred names are counted up and down', 'links: a FIFO has second names', 'symlinks: a renamed symlink keeps its target, which is not looked at',
  'unlinked: an unlinked file is written, cut and grown by an open handle', 'unlinked: an unlinked file has attributes, and nlink 0', 'unlinked: a node that was opened goes on too',
  'unlinked: a node that was not opened is never the next file of its name', 'unlinked: a hundred unlinked files stay apart', 'unlinked: a removed directory that is open has nlink 0 and lists nothing',
  'times: a rename moves ctime of the file, and not its mtime', 'xattrs: values belong to the file: they follow it, and end with it', 'acls: an ACL comes along in a rename, and is no one else\'s',
  'specials: a FIFO is renamed, changed and removed as a file', 'large: a tree is 200 directories deep, of 200 bytes each', 'large: thousands of nodes are held, and the oldest still follows its file',
  'random: 20 000 operations at random do what a simple model does', 'random: four such runs beside each other do not disturb one another',
]
const others = [
  'files: qid.version moves with every change of content', 'files: qid.version of a file is not 0, which would forbid clients to cache it',   // it is 0
  'unlinked: no two files ever have one path and generation',                     // it tells no generation
  'attributes: a mode set along with an owner is kept, setuid included',          // the owner is set last
  'attributes: the time of birth is when the file was made, and stays',           // it is told as 0
  'xattrs: an empty value is a value', 'xattrs: a value grows and shrinks',       // an empty one is removed
  'xattrs: a value of 64 KiB is kept',                                            // not by the file system below
  'concurrency: a write is whole or not there, to readers and to other writes',   // of more than msize, which is 64 KiB
]
const root = process.geteuid?.() === 0, test = suite('conform remote to diod'), declare = requires(test, 'diod'), differs = new Set([...paths, ...others])
const overDiod = async () => {
  const peer = await diod()
  const translator = await remote({ url: peer.url, aname: peer.aname, timeout: 20, owner: root ? 'host' : 'none' }), close = translator.close.bind(translator)
  return Object.assign(translator, { close: async () => { try { await close() } finally { await peer.stop() } } })
}
const owed = promises(overDiod, { lacks: ['own-space', ...root ? [] : ['owner', 'device', 'fifo-acl', 'any-mode'] as const], quick: true })
for (const { name, run } of owed) if (!differs.has(name)) declare(name, run)
test('what differs is what is promised', () => assert.equal([...differs].filter((name) => !owed.some((promise) => promise.name === name)), []))
test.run()
