// Stats and error strings: what 9P2000 and 9P2000.u say of files and of failures.

import koffi from 'koffi'
import { codecs, codeOfEname, DM, DONT_TOUCH, ENAME_MAX, enameOf, errnos, getStat, getUnixStat, isErrno, putStat, putUnixStat, statsOf, unixStatsOf } from 'ninep'
import type { Code, Stat, UnixStat } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

const test = suite('stat')
const into = Buffer.alloc(1 << 18)
const refused = (code: Code) => (error: unknown) => isErrno(error, code)
const stat: Stat = {
  type: 0, dev: 0, qid: { type: 0x80, version: 1, path: 2n }, mode: DM.DIR + 0o755, atime: 1, mtime: 2, length: 0, name: 'bin', uid: 'glenda', gid: 'sys', muid: '',
}
const unix: UnixStat = { ...stat, extension: 'c 1 3', nUid: 1000, nGid: 100, nMuid: 0xffffffff }
const both = [
  { name: 'of 9P2000', put: putStat, get: getStat, all: statsOf, least: 49 },
  { name: 'of 9P2000.u', put: putUnixStat, get: getUnixStat, all: unixStatsOf, least: 63 },
] as unknown as { name: string; put: typeof putUnixStat; get: typeof getUnixStat; all: typeof unixStatsOf; least: number }[]
const of = (stat: UnixStat, least: number): UnixStat => {
  const { extension: _, nUid: _u, nGid: _g, nMuid: _m, ...plain } = stat
  return least === 49 ? plain as UnixStat : stat
}

for (const { name, put, get, all, least } of both) {
  const entries = ['a', '', 'caf\u00e9', '\udcff', 'x'.repeat(255), '\u{1f600}'].map((name, i) =>
    of({ ...unix, name, uid: name, mode: 0o644 + i, length: 2 ** 40 + i, qid: { type: i, version: i, path: (1n << 63n) + BigInt(i) } }, least))

  test(`stats ${name} never pass the limit, one byte less than they need is -1`, () => {
    for (const entry of entries) {
      const size = put(into, 5, into.length, entry) - 5
      for (let room = 0; room < size; room++) {
        into.fill(0xee)
        assert.is(put(into, 5, 5 + room, entry), -1)
        assert.ok(into.subarray(5 + room, 5 + room + 900).every((byte) => byte === 0xee), `wrote behind ${room} of ${size}`)
      }
      assert.is(put(into, 5, 5 + size, entry), 5 + size)
      assert.is(into.readUInt16LE(5), size - 2)
      assert.equal(get(into, 5, 5 + size), entry)
    }
  })

  test(`a directory of stats ${name} is read back, and a cut one is EINVAL`, () => {
    const ends = [0]
    for (const entry of entries) ends.push(put(into, ends.at(-1)!, into.length, entry))
    const end = ends.at(-1)!
    for (let cut = 0; cut <= end; cut++) {
      if (ends.includes(cut)) assert.equal(all(into.subarray(0, cut)), entries.slice(0, ends.indexOf(cut)))
      else assert.throws(() => all(into.subarray(0, cut)), refused('EINVAL'), `cut at ${cut}`)
    }
    assert.equal(all(new Uint8Array(into.subarray(0, end))), entries, 'of memory that is no Buffer')
  })

  test(`what a stat ${name} says of its own size is believed and not exceeded`, () => {
    const end = put(into, 0, into.length, of(unix, least)), second = put(into, end, into.length, of(unix, least))
    for (let size = 0; size < end - 2; size++) {
      into.writeUInt16LE(size, 0)
      assert.throws(() => get(into, 0, second), refused('EINVAL'), `size ${size} of ${end - 2}`)
    }
    into.writeUInt16LE(second - 1, 0)
    assert.throws(() => get(into, 0, second), refused('EINVAL'))
    into.writeUInt16LE(second - 2, 0)
    assert.equal(get(into, 0, second), of(unix, least), 'fields that nobody knows')
  })

  test(`a string in a stat ${name} that is longer than the stat is EINVAL`, () => {
    const end = put(into, 0, into.length, of({ ...unix, name: '', uid: '', gid: '', extension: '' }, least))
    assert.is(end, least)
    for (let at = 41; at < 41 + 2 * (least === 49 ? 4 : 5); at += 2) {
      for (const lie of [least - at, 0xffff]) {
        into.writeUInt16LE(lie, at)
        assert.throws(() => get(into, 0, into.length), refused('EINVAL'), `${lie} at ${at}`)
        into.writeUInt16LE(0, at)
      }
    }
  })

  test(`a stat ${name} that its size can't say is ENAMETOOLONG, one byte less is not`, () => {
    const longest = of({ ...unix, name: 'n'.repeat(65535 - least), uid: '', gid: '', extension: '' }, least)
    assert.is(put(into, 0, into.length, longest), 65535)
    for (const tooLong of [{ ...longest, muid: 'm' }, { ...longest, name: `${longest.name.slice(1)}\u00e9` }, { ...longest, name: 'n'.repeat(65536) }, { ...longest, muid: longest.name }]) {
      assert.throws(() => put(into, 0, into.length, tooLong), refused('ENAMETOOLONG'))
    }
  })

  test(`a stat ${name} that can't be sent`, () => {
    for (const length of [-1, -(2 ** 40), NaN]) assert.throws(() => put(into, 0, into.length, { ...of(unix, least), length }), refused('EINVAL'))
    for (const field of ['name', 'uid', 'gid', 'muid']) assert.throws(() => put(into, 0, into.length, { ...of(unix, least), [field]: 'a\ud800' }), refused('EILSEQ'))
  })

  test(`a length ${name} of all ones stands for none, those next to it do not`, () => {
    for (const [length, hex] of [[DONT_TOUCH.length, 'ff'.repeat(8)], [0, '00'.repeat(8)], [2 ** 53, '0000000000002000'], [2 ** 63, '0000000000000080']] as const) {
      put(into, 0, into.length, { ...of(unix, least), length })
      assert.is(into.subarray(33, 41).toString('hex'), hex)
      assert.is(get(into, 0, into.length).length, length)
    }
  })
}

test('n[2] of Rstat and Twstat bounds the stat, whatever that says', () => {
  const { encoders, decoders } = codecs['9P2000']
  for (const [at, encode, decode] of [
    [7, () => encoders.Rstat(1, { stat }, into, 0), decoders.Rstat], [11, () => encoders.Twstat(1, { fid: 1, stat }, into, 0), decoders.Twstat],
  ] as const) {
    const end = encode()
    assert.is(into.readUInt16LE(at), end - at - 2)
    for (const n of [...Array(end - at - 2).keys(), end - at - 1, 0xffff]) {
      into.writeUInt16LE(n, at)
      assert.throws(() => decode(into, 7, end), refused('EINVAL'), `n ${n}`)
    }
  }
})

const codes = Object.keys(errnos) as Code[]
test('every error has a string that fits, and that stands for it again', () => {
  for (const code of codes) {
    assert.ok(Buffer.byteLength(enameOf(code)) <= ENAME_MAX, code)
    for (const ename of [enameOf(code), enameOf(code).toUpperCase(), code]) assert.is(codeOfEname(ename), code)
  }
})
test("the strings are the C library's, which Linux maps back, but for the one that Plan 9's clients wait for", () => {
  const strerror = koffi.load('libc.so.6').func('const char *strerror(int)') as (errno: number) => string
  const own = { ESPIPE: 'bad offset in directory read' } as Partial<Record<Code, string>>
  for (const code of codes) assert.is(enameOf(code), own[code] ?? strerror(errnos[code]), code)
})
for (const [ename, code] of [
  ['file does not exist', 'ENOENT'], ['file not found', 'ENOENT'], ['permission denied', 'EACCES'], ['file already exists', 'EEXIST'], ['directory is not empty', 'ENOTEMPTY'],
  ['not a directory', 'ENOTDIR'], ['fid unknown or out of range', 'EBADF'], ['fid already in use', 'EBADF'], ['bad use of fid', 'EBADF'],
  ['file already open for I/O', 'EINVAL'], ['bad offset in directory read', 'ESPIPE'], ['i/o error', 'EIO'], ['read only file system', 'EROFS'],
  ['file system is full', 'ENOSPC'], ['illegal name', 'EINVAL'], ['unknown user', 'EPERM'], ['authentication failed', 'ECONNREFUSED'],
  ['wstat prohibited', 'EPERM'], ['exclusive use file already open', 'EAGAIN'], ['i/o count too large', 'EIO'],
  ["'/lib/ndb' file does not exist", 'ENOENT'], ['open: Permission denied', 'EACCES'], ["'x' directory is not empty (3 files)", 'ENOTEMPTY'],
  ['file or directory already exists', 'EEXIST'], ['create prohibited', 'EPERM'], ['walk in non-directory', 'ENOTDIR'],
  ['phase error', undefined], ['', undefined], ['toString', undefined], ['__proto__', undefined],
] as const) test(`${JSON.stringify(ename)} stands for ${code ?? 'nothing known'}`, () => assert.is(codeOfEname(ename), code))
test.run()
