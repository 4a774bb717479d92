// Archives as Debian's tools make them, against the tree that they were made of; and archives made to do harm.

import { execFileSync } from 'node:child_process'
import { ftruncateSync, linkSync, lstatSync, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync, readlinkSync, rmSync, symlinkSync, utimesSync, writeFileSync, writeSync, closeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Attrs, O, S } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseStack } from '../server/stack.ts'
import { memory } from '../translators/memory/memory.ts'
import { Meters } from '../translators/meter.ts'
import { silent } from '../translators/options.ts'
import { tar } from '../translators/tar/tar.ts'
import type { Node, Translator } from '../translators/translator.ts'
import { fails, get, put, text } from './conform/conform.ts'
import { entries, find, has, ls, readAll, same, stat } from './conform/tools.ts'
import { missing, requires } from './needs.ts'
import { startStack } from './started.ts'

const folder = mkdtempSync(join(tmpdir(), 'ninefold-tar-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
const test = suite('tar')

/** An archive served. */
async function opened(bytes: Uint8Array, options: Parameters<typeof tar>[0] = {}): Promise<Translator> {
  const brick = await memory({})
  await put(brick, 'a.tar', bytes)
  try { return await tar({ file: 'a.tar', ...options }, brick) } catch (e) { await brick.close(); throw e }
}
const refused = (bytes: Uint8Array, says: RegExp, options = {}) => opened(bytes, options).then(() => assert.unreachable('it was taken'), (e: Error) => assert.match(e.message, says))

// What is packed: everything that has a place in every format but v7.
const tree = join(folder, 'tree'), deep = 'directory-of-some-length/'.repeat(7)
mkdirSync(join(tree, deep), { recursive: true })
mkdirSync(join(tree, 'empty'), { mode: 0o700 })
writeFileSync(join(tree, 'text'), 'some text\n', { mode: 0o640 })
writeFileSync(join(tree, 'nothing'), '')
writeFileSync(join(tree, 'x'.repeat(99)), 'name of 99')
writeFileSync(join(tree, deep, 'below'), Buffer.alloc(70_000, 'block '))
writeFileSync(join(tree, 'ümläut'), 'u')
symlinkSync('text', join(tree, 'link'))
linkSync(join(tree, 'text'), join(tree, 'zz-hard'))
utimesSync(join(tree, 'text'), 1234567890, 1234567890)
const long = { name: 'y'.repeat(200), target: 'over/there/'.repeat(12) }

/** Each file of a served tree is as the host has it. */
async function alike(node: Node, path: string): Promise<number> {
  let count = 0
  const names = readdirSync(path).sort()
  assert.equal(await ls(node), names, path)
  for (const name of names) {
    const there = join(path, name), want = lstatSync(there), got = await node.walk(name), attr = await stat(got)
    assert.equal([attr.mode, attr.uid, attr.gid, attr.mtime.sec, attr.qid.path, got.qid.type], [want.mode, want.uid, want.gid, Math.floor(want.mtimeMs / 1000), got.qid.path, attr.qid.type], there)
    if (want.isDirectory()) count += await alike(got, there)
    else assert.is(attr.nlink, want.nlink, there)
    if (want.isFile()) same(await get(got), readFileSync(there), there)
    if (want.isFile() || want.isSymbolicLink()) assert.is(attr.size, want.size, there)
    if (want.isSymbolicLink()) assert.is(await got.readlink(), readlinkSync(there), there)
    if (want.isDirectory()) assert.is((await (await got.parent()).qid).path, node.qid.path)
    count++
  }
  return count
}
function pack(program: string, name: string, args: readonly string[], from = tree, what: readonly string[] = ['.']): Buffer {
  const file = join(folder, name)
  execFileSync(program, ['-c', '-f', file, ...args, '-C', from, ...what], { stdio: ['ignore', 'ignore', 'pipe'] })
  return readFileSync(file)
}

for (const [program, formats] of [['tar', ['oldgnu', 'gnu', 'ustar', 'pax']], ['bsdtar', ['ustar', 'pax', 'gnutar']]] as const) {
  for (const format of formats) {
    requires(test, program)(`${program} --format=${format}`, async () => {
      await using layer = await opened(pack(program, `${program}-${format}.tar`, [`--format=${format}`]))
      assert.is(await alike(await layer.attach(''), tree), 15)
    })
  }
}
test('v7: what it can hold', async () => {
  const small = join(folder, 'small')
  mkdirSync(join(small, 'd'), { recursive: true })
  writeFileSync(join(small, 'd/f'), 'seven')
  symlinkSync('d', join(small, 's'))
  await using layer = await opened(pack('tar', 'v7.tar', ['--format=v7'], small))
  assert.is(await alike(await layer.attach(''), small), 3)
})
for (const [program, format] of [['tar', 'gnu'], ['tar', 'pax'], ['bsdtar', 'pax'], ['bsdtar', 'gnutar']] as const) {
  requires(test, program)(`${program} --format=${format}: names and targets beyond 100 bytes, bytes that are not UTF-8, and times in parts`, async () => {
    const odd = join(folder, `odd-${program}-${format}`)
    mkdirSync(odd)
    writeFileSync(join(odd, long.name), 'long')
    symlinkSync(long.target, join(odd, 'link'))
    if (program === 'tar') writeFileSync(Buffer.concat([Buffer.from(join(odd, 'b')), Buffer.of(0xff)]), 'bytes')
    utimesSync(join(odd, long.name), 1.5, 1234567890.25)
    await using layer = await opened(pack(program, 'odd.tar', [`--format=${format}`], odd))
    assert.equal(await get(layer, long.name), text('long'))
    assert.is(await (await find(layer, 'link')).readlink(), long.target)
    if (program === 'tar') assert.equal(await get(layer, 'b\udcff'), text('bytes'))
    const { mtime } = await stat(await find(layer, long.name))
    assert.equal(mtime, { sec: 1234567890, nsec: format === 'pax' ? 250_000_000 : 0 })
  })
}

const holes = join(folder, 'holes')
mkdirSync(holes)
{
  const fd = openSync(join(holes, 'sparse'), 'w')
  for (let i = 0; i < 40; i++) writeSync(fd, `piece ${i};`, i * 1_000_000 + 4096)
  ftruncateSync(fd, 50_000_000)
  closeSync(fd)
  const empty = openSync(join(holes, 'void'), 'w')
  ftruncateSync(empty, 10_000_000)
  closeSync(empty)
  writeFileSync(join(holes, 'zz-after'), 'after')
}
for (const [program, ...args] of [
  ['tar', '--format=gnu'], ['tar', '--format=oldgnu'], ['tar', '--format=pax', '--sparse-version=0.0'], ['tar', '--format=pax', '--sparse-version=0.1'],
  ['tar', '--format=pax', '--sparse-version=1.0'], ['bsdtar', '--format=pax'],
] as const) {
  requires(test, program)(`sparse: ${program} ${args.join(' ')}`, async () => {
    const bytes = pack(program, 'sparse.tar', [...args, ...program === 'tar' ? ['-S'] : []], holes)
    assert.ok(bytes.length < 2_000_000, 'it was packed without holes')
    await using layer = await opened(bytes)
    assert.equal(await ls(await layer.attach('')), ['sparse', 'void', 'zz-after'])
    const want = readFileSync(join(holes, 'sparse')), node = await find(layer, 'sparse'), handle = await node.open(O.RDONLY)
    assert.is((await stat(node)).size, 50_000_000)
    assert.ok((await stat(node)).blocks < 4000)
    same(await readAll(handle), want)
    for (const [offset, length] of [[0, 10], [4090, 20], [4096, 8], [4100, 1_000_000], [39_004_090, 100], [49_999_990, 100], [50_000_000, 10], [60_000_000, 1]] as const) {
      const got = await handle.read(new Uint8Array(length).fill(1), offset)
      same(got, want.subarray(offset, offset + length))
    }
    assert.is((await get(layer, 'void')).length, 10_000_000)
    assert.equal(await get(layer, 'zz-after'), text('after'))
  })
}
/** Whether the folder's disk keeps attributes of users. */
const xattrs = missing('setfattr') === undefined && (() => { try { execFileSync('setfattr', ['-n', 'user.t', '-v', 'v', folder], { stdio: 'ignore' }); return true } catch { return false } })()
for (const [program, ...args] of [['tar', '--format=pax', '--xattrs'], ['bsdtar', '--format=pax', '--xattrs']] as const) {
  (xattrs ? requires(test, program, 'setfattr') : test.skip)(`extended attributes: ${program}`, async () => {
    const attributes = join(folder, `xattrs-${program}`)
    mkdirSync(attributes)
    writeFileSync(join(attributes, 'f'), 'f')
    execFileSync('setfattr', ['-n', 'user.colour', '-v', '0x00ff80', join(attributes, 'f')])
    await using layer = await opened(pack(program, 'x.tar', args, attributes))
    const f = await find(layer, 'f')
    assert.equal(await f.listxattr(), ['user.colour'])
    same(await f.getxattr('user.colour'), Uint8Array.of(0, 255, 128))
    await fails('ENODATA', () => f.getxattr('user.taste'))
    assert.equal(await (await layer.attach('')).listxattr(), [])
  })
}

// Archives by hand.

interface Fields { type?: string; size?: number | Buffer; mode?: number; target?: string; magic?: string; prefix?: string }
function header(name: string, { type = '0', size = 0, mode = 0o644, target = '', magic = 'ustar\x0000', prefix = '' }: Fields = {}): Buffer {
  const block = Buffer.alloc(512), octal = (n: number, at: number, length: number) => block.write(n.toString(8).padStart(length - 1, '0'), at, 'latin1')
  block.write(name, 0, 100)
  octal(mode, 100, 8)
  octal(0, 108, 8)
  octal(0, 116, 8)
  if (typeof size === 'number') octal(size, 124, 12)
  else size.copy(block, 124)
  octal(1000, 136, 12)
  block.write(type, 156, 'latin1')
  block.write(target, 157, 100)
  block.write(magic, 257, 'latin1')
  block.write(prefix, 345, 155)
  return sum(block)
}
function sum(block: Buffer): Buffer {
  block.fill(' ', 148, 156)
  block.write(block.reduce((a, b) => a + b).toString(8).padStart(6, '0') + '\0 ', 148, 'latin1')
  return block
}
const padded = (content: string | Buffer) => { const bytes = Buffer.from(content); return Buffer.concat([bytes, Buffer.alloc((512 - bytes.length % 512) % 512)]) }
const file = (name: string, content: string, fields: Fields = {}) => [header(name, { size: content.length, ...fields }), padded(content)]
const pax = (...pairs: [string, string][]) => {
  const body = pairs.map(([key, value]) => {
    let length = key.length + value.length + 3
    while (String(length).length + key.length + value.length + 3 !== length) length = String(length).length + key.length + value.length + 3
    return `${length} ${key}=${value}\n`
  }).join('')
  return file('pax', body, { type: 'x' })
}
const END = Buffer.alloc(1024)
const joined = (...blocks: (Buffer | Buffer[])[]) => Buffer.concat([...blocks.flat(), END])

test('star: its prefix is shorter, for times stand behind it', async () => {
  const star = header('f', { size: 1, prefix: 'dir' })
  star.write('00000000007\0', 476, 'latin1')
  star.write('tar\0', 508, 'latin1')
  await using layer = await opened(joined(sum(star), padded('s')))
  assert.equal(await get(layer, 'dir/f'), text('s'))
})
test('names that lead out are left out and told of; absolute ones lie within', async () => {
  const told: any[] = [], brick = await memory({})
  await put(brick, 'a.tar', joined(file('../evil', 'e'), file('a/../../evil', 'e'), file('/etc/passwd', 'p'), file('./a//b/./c', 'c'), file('s', '', { type: '2', target: '/etc' }), file('s/evil', 'e'), file('n'.repeat(40), 'x', { prefix: 'p/'.repeat(70) })))
  await using layer = await tar.start({ file: '/a.tar' }, [brick], { name: '/t: tar', log: { ...silent, warn: (fields) => { told.push(fields) } } })
  const root = await layer.attach('')
  assert.equal(await ls(root), ['a', 'etc', 'p', 's'])
  assert.equal(await get(layer, 'etc/passwd'), text('p'))
  assert.equal(await get(layer, 'a/b/c'), text('c'))
  assert.is((await root.walk('s')).qid.type, 2)
  assert.is(told.length, 1)
  assert.is(told[0].count, 3)
  assert.match(told[0].left.join('\n'), /\.\.\/evil: leads out.*\n.*evil: leads out.*\ns\/evil: below what is no directory/)
})
test('links: to what came before; to themselves, in circles, to directories or to nothing they are left out', async () => {
  const hard = (name: string, target: string) => header(name, { type: '1', target })
  await using layer = await opened(joined(file('f', 'one'), hard('g', 'f'), hard('g', './g'), hard('x', 'y'), hard('y', 'x'), hard('z', 'z'), header('d', { type: '5' }), hard('e', 'd'), hard('h', '../f'), file('f', 'two'),
    header('up', { type: '2', target: '..' }), header('loop', { type: '2', target: 'loop' })))
  const root = await layer.attach('')
  assert.equal(await ls(root), ['d', 'f', 'g', 'loop', 'up'])
  assert.equal([await get(layer, 'f'), await get(layer, 'g')], [text('two'), text('one')])
  assert.equal([(await stat(await find(layer, 'f'))).nlink, (await stat(await find(layer, 'g'))).nlink], [1, 1])
  assert.is(await (await find(layer, 'loop')).readlink(), 'loop')
})
test('of two with one name the later counts; a directory stays one', async () => {
  await using layer = await opened(joined(file('d/f', 'old'), header('d', { type: '5', mode: 0o700 }), file('d/f', 'new'), file('d', 'no'), file('e', 'file'), header('e', { type: '5' }), file('e/f', 'in')))
  assert.equal(await get(layer, 'd/f'), text('new'))
  assert.equal(await get(layer, 'e/f'), text('in'))
  const root = await layer.attach('')
  assert.equal([(await stat(await find(layer, 'd'))).mode, (await stat(root)).nlink], [S.IFDIR | 0o700, 4])
})
test('what claims to be enormous is refused, or costs nothing until it is read', async () => {
  const huge = Buffer.alloc(12)
  huge[0] = 0x80
  huge.writeBigUInt64BE(2n ** 62n, 4)
  await refused(joined(header('f', { size: huge })), /byte 0: a size of 4611686018427387904 can't be/)
  await refused(joined(header('L', { type: 'L', size: 2 ** 30 })), /extended header of 1073741824 bytes; more than 1048576 are not taken/)
  await refused(joined(header('f', { size: 2 ** 32 })), /ends at 1536, in the middle of f, which ends at 4294967808/)
  await refused(joined(file('1', 'x'), file('2', 'x'), file('a/b/c', 'x')), /more than 4 files: raise the option members/, { members: 4 })
  await refused(joined(pax(['size', '99999999999999999999']), file('f', 'x')), /no number that can be/)
  // A file of 8 PiB, all of it a hole.
  await using layer = await opened(joined(pax(['GNU.sparse.major', '1'], ['GNU.sparse.minor', '0'], ['GNU.sparse.name', 'hole'], ['GNU.sparse.realsize', String(2 ** 53 - 1)]), file('x', '0\n')))
  const node = await find(layer, 'hole'), handle = await node.open(O.RDONLY)
  assert.is((await stat(node)).size, 2 ** 53 - 1)
  same(await handle.read(new Uint8Array(100).fill(1), 2 ** 52), new Uint8Array(100))
})
test('maps of sparse files that overlap, run out, or go on for ever are refused when the file is opened, and it alone', async () => {
  const sparse = (content: string, size = 1000) => [...pax(['GNU.sparse.major', '1'], ['GNU.sparse.minor', '0'], ['GNU.sparse.realsize', String(size)]), ...file(`f${bad.length}`, content)]
  const bad: Buffer[][] = []
  for (const map of ['2\n0\n10\n5\n10\n', '1\n995\n10\n', '1\n0\n900000\n', '999999999999\n', '3\n1\n', '\n\n\n', 'x'.repeat(600)]) bad.push(sparse(map, 1000))
  bad.push(sparse('1\n0\n100000\n', 200_000))
  bad.push([...pax(['GNU.sparse.map', '0,10,5,10'], ['GNU.sparse.size', '100']), ...file('f8', 'x'.repeat(20))])
  await using layer = await opened(joined(...bad, file('good', 'good')))
  for (const i of bad.keys()) await fails('EIO', async () => (await find(layer, `f${i}`)).open(O.RDONLY))
  assert.equal(await get(layer, 'good'), text('good'))
})
test('archives that are cut, damaged, packed or none are refused with where and why', async () => {
  const good = joined(file('a', 'a'.repeat(2000)), file('b', 'b'))
  await refused(good.subarray(0, 1000), /byte 0: the archive ends at 1000, in the middle of a, which ends at 2512/)
  await refused(good.subarray(0, 2560 + 100), /byte 2560: the archive ends in the middle of a file/)
  const wrong = Buffer.from(good)
  wrong[2560 + 3]! ^= 1
  await refused(wrong, /byte 2560: the checksum of a header is wrong/)
  await refused(Buffer.from(`${'no archive at all '.repeat(100)}`), /a\.tar: it is no tar archive\.$/)
  await refused(Buffer.concat([Buffer.of(0x1f, 0x8b, 8, 0), Buffer.alloc(2000)]), /packed by gzip. Unpack it first/)
  await refused(joined(pax(['path', 'f'])), /extended header without a file/)
  await refused(joined(file('x', 'no records', { type: 'x' }), file('f', 'f')), /does not read/)
  await refused(joined(header('m', { type: 'M' })), /several volumes/)
  for (const part of [good.subarray(0, 2560 + 1024), Buffer.concat([good.subarray(0, 2560 + 1024), Buffer.alloc(512)]), Buffer.alloc(0), END]) {
    await using layer = await opened(part)                 // no blocks of zeros at the end, one, and nothing at all
    assert.equal(await ls(await layer.attach('')), part.length > 1024 ? ['a', 'b'] : [])
  }
})
test('global headers, unknown types, devices and labels', async () => {
  await using layer = await opened(joined(file('g', '20 comment=a0b1c2d3\n', { type: 'g' }), file('label', '', { type: 'V' }), file('odd', 'odd', { type: 'Z' }), header('null', { type: '3' }), header('pipe', { type: '6' }), header('old/', { type: '\0' })))
  const root = await layer.attach('')
  assert.equal(await ls(root), ['null', 'odd', 'old', 'pipe'])
  assert.equal(await Promise.all(['null', 'pipe', 'old'].map(async (name) => (await stat(await root.walk(name))).mode & S.IFMT)), [S.IFCHR, S.IFIFO, S.IFDIR])
  await fails('ENXIO', async () => (await root.walk('pipe')).open(O.RDONLY))
  assert.equal(await get(layer, 'odd'), text('odd'))
})
test('the group gets what the ACL gave the group, not its mask', async () => {
  await using layer = await opened(joined(pax(['SCHILY.acl.access', 'user::rw-,user:bob:rw-:1000,group::r--,mask::rw-,other::---']), file('f', 'x', { mode: 0o660 })))
  assert.is((await stat(await find(layer, 'f'))).mode & 0o777, 0o640)
})
test('nothing is changed: EROFS; and what is no archive, or not there, does not start', async () => {
  await using layer = await opened(joined(file('f', 'x')))
  const root = await layer.attach(''), f = await root.walk('f')
  await fails('EROFS', () => root.create('g', O.RDWR, 0o644, { uid: 0, gid: 0 }))
  await fails('EROFS', () => f.open(O.RDWR))
  await fails('EROFS', () => f.setattr({ mode: 0 }))
  await fails('ENOENT', () => root.walk('g'))
  await fails('ENOTDIR', () => f.walk('g'))
  const brick = await memory({})
  await tar({}, brick).then(() => assert.unreachable(), (e) => assert.match(e.message, /no regular file/))
  await fails('ENOENT', () => tar({ file: 'a/b' }, brick))
  await fails('EINVAL', () => tar({ file: '../b' }, brick))
  await brick.close()
})
test('a change of the archive behind its back is EIO, and never another file\'s bytes as attributes', async () => {
  const brick = await memory({})
  await put(brick, 'a.tar', joined(header('s', { type: '2', target: 'old' }), file('f', 'x'.repeat(600))))
  await using layer = await tar({ file: 'a.tar' }, brick)
  const handle = await (await find(layer, 'f')).open(O.RDONLY)
  await (await find(brick, 'a.tar')).setattr({ size: 600 })
  await fails('EIO', () => handle.read(new Uint8Array(10), 500))
  await (await find(brick, 'a.tar')).setattr({ size: 100 })
  await fails('EIO', async () => (await find(layer, 's')).readlink())
})
test('an archive of 5 GiB opens by its headers alone', async () => {
  const path = join(folder, 'large.tar'), fd = openSync(path, 'w'), body = 5 * 2 ** 30
  writeSync(fd, header('large', { size: body }), 0, 512, 0)
  writeSync(fd, text('the end'), 0, 7, 512 + body - 7)
  writeSync(fd, joined(file('last', 'last')), 0, undefined, 512 + body)
  closeSync(fd)
  const meters = new Meters()
  const stack = await startStack(parseStack(`tar large.tar | posix '${folder}'`), { path: '/', log: silent, meters })
  const read = () => [...[...meters].find(({ translator }) => translator === 'posix')!].find(({ op }) => op === 'read')!.bytes
  assert.ok(read() < 100_000, `${read()} bytes were read`)
  const handle = await (await find(stack, 'large')).open(O.RDONLY)
  assert.equal(Buffer.from(await handle.read(new Uint8Array(100), body - 7)).toString(), 'the end')
  assert.equal(await get(stack, 'last'), text('last'))
  await handle.close()
  await stack.close()
})
test('60 000 members: found, and listed in parts', async () => {
  const count = 60_000, blocks: Buffer[] = [], one = header('d/000000')
  for (let i = 0; i < count; i++) {
    const block = Buffer.from(one)
    block.write(String(i).padStart(6, '0'), 2, 'latin1')
    blocks.push(sum(block))
  }
  await using layer = await opened(joined(...blocks))
  const d = await find(layer, 'd')
  for (const i of [0, 1, 31_999, count - 1]) assert.ok(await has(d, String(i).padStart(6, '0')))
  assert.is(await has(d, '060000'), false)
  const handle = await d.open(O.RDONLY), seen = new Set<string>()
  for (let after = 0n, end = false; !end;) {
    const part = await entries(handle, { after, max: 7000, mask: Attrs.BASIC })
    for (const { name } of part.list) seen.add(name)
    end = part.end
    after = part.list.at(-1)?.cookie ?? after
  }
  assert.is(seen.size, count)
})
test.run()
