// The codec against the protocol's documents: frames written by hand, and layouts in the documents' own notation.

import { codecs, decode, dialects, direntSize, direntsOf, DM, DONT_TOUCH, encode, errnos, isErrno, nameOf, NOFID, NONUNAME, NOTAG, payloadHead, putDirent, typeOf } from 'ninep'
import type { Dialect, Dirent, Fields, Name, Stat, UnixStat } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

const test = suite('protocol')
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')
const all = Object.keys(dialects['9P2000.L']) as Name[]
const qid = { type: 0x80, version: 1, path: 2n }

/** Whole frames, written by hand. */
const golden: { [N in Name]?: readonly [tag: number, fields: Fields<N>, bytes: string] } = {
  Tversion: [NOTAG, { msize: 8192, version: '9P2000.L' }, '15000000 64 ffff 00200000 0800 3950323030302e4c'],
  Rversion: [NOTAG, { msize: 8192, version: '9P2000.L' }, '15000000 65 ffff 00200000 0800 3950323030302e4c'],
  Tattach: [0, { fid: 0, afid: NOFID, uname: 'nobody', aname: '', nUname: NONUNAME }, '1d000000 68 0000 00000000 ffffffff 0600 6e6f626f6479 0000 ffffffff'],
  Rattach: [0, { qid }, '14000000 69 0000 80 01000000 0200000000000000'],
  Tgetattr: [0, { fid: 0, mask: 0x17ff }, '13000000 18 0000 00000000 ff17000000000000'],
  Twalk: [1, { fid: 0, newfid: 1, names: ['a', 'bc'] }, '18000000 6e 0100 00000000 01000000 0200 0100 61 0200 6263'],
  Rwalk: [1, { qids: [{ type: 0x80, version: 7, path: 10n }] }, '16000000 6f 0100 0100 80 07000000 0a00000000000000'],
  Rlerror: [1, { ecode: errnos.ENOENT }, '0b000000 07 0100 02000000'],
  Tlopen: [1, { fid: 1, flags: 0x402 }, '0f000000 0c 0100 01000000 02040000'],
  Treaddir: [1, { fid: 1, offset: 0n, count: 4072 }, '17000000 28 0100 01000000 0000000000000000 e80f0000'],
  Rreaddir: [1, { data: hex('80 01000000 0200000000000000 0100000000000000 04 0100 2e') },
    '24000000 29 0100 19000000 80 01000000 0200000000000000 0100000000000000 04 0100 2e'],
  Tlock: [1, { fid: 1, type: 1, flags: 1, start: 0n, length: 0n, procId: 99, clientId: 'h' },
    '27000000 34 0100 01000000 01 01000000 0000000000000000 0000000000000000 63000000 0100 68'],
  Tflush: [2, { oldtag: 1 }, '09000000 6c 0200 0100'],
}
for (const [name, [tag, fields, bytes]] of Object.entries(golden) as [Name, readonly [number, Fields<Name>, string]][]) {
  test(`${name} is its golden frame, written and read`, () => {
    const frame = hex(bytes), into = Buffer.alloc(frame.length + 8, 0xee)
    assert.is(encode(name, tag, fields, into, 4), frame.length + 4)
    assert.is(into.toString('hex'), `eeeeeeee${frame.toString('hex')}eeeeeeee`)
    assert.is(nameOf(frame[4]!), name)
    assert.equal(decode(name, frame, 7, frame.length), fields)
  })
}

const stat = { type: 0, dev: 0, qid: { type: 0x80, version: 1, path: 2n }, mode: DM.DIR + 0o755, atime: 1, mtime: 2, length: 0, name: '/', uid: 'u', gid: 'g', muid: '' }
const { extension, nUid, nGid, nMuid, ...dontTouch } = DONT_TOUCH
test('golden frames of 9P2000 and 9P2000.u, written and read', () => {
  const { '9P2000': plain, '9P2000.u': unix } = codecs
  const both = <F>(fields: F, bytes: string, { encode, decode }: { encode(tag: number, fields: F, into: Buffer, at: number): number; decode(b: Buffer, start: number, end: number): F }) => {
    const frame = hex(bytes), into = Buffer.alloc(frame.length + 4)
    assert.is(encode(frame.readUInt16LE(5), fields, into, 4), into.length)
    assert.is(into.toString('hex'), `00000000${frame.toString('hex')}`)
    assert.equal(decode(frame, 7, frame.length), fields)
  }
  both({ ename: 'File exists' }, '14000000 6b 0100 0b00 46696c6520657869737473', { encode: plain.encoders.Rerror, decode: plain.decoders.Rerror })
  both({ ename: 'File exists', errno: 17 }, '18000000 6b 0100 0b00 46696c6520657869737473 11000000', { encode: unix.encoders.Rerror, decode: unix.decoders.Rerror })
  both({ stat }, `3d000000 7d 0100 3400 3200 0000 00000000 80 01000000 0200000000000000 ed010080 01000000 02000000 0000000000000000
    0100 2f 0100 75 0100 67 0000`.replaceAll(/\s/g, ''), { encode: plain.encoders.Rstat, decode: plain.decoders.Rstat })
  both({ fid: 1, stat: dontTouch }, `3e000000 7e 0100 01000000 3100 2f00 ffff ffffffff ff ffffffff ffffffffffffffff ffffffff ffffffff ffffffff ffffffffffffffff
    0000 0000 0000 0000`.replaceAll(/\s/g, ''), { encode: plain.encoders.Twstat, decode: plain.decoders.Twstat })
  assert.is(unix.encoders.Rstat(1, { stat: { ...stat, name: '', uid: '', gid: '', extension, nUid, nGid, nMuid } }, into, 0), 7 + 2 + 63)
})

// As 9p(5), the 9P2000.u draft and diod's protocol.md write them. `names` and `qids` stand for n[2] n*(...).
const inAll = `
100 Tversion msize[4] version[s]
101 Rversion msize[4] version[s]
103 Rauth qid[13]
105 Rattach qid[13]
108 Tflush oldtag[2]
109 Rflush
110 Twalk fid[4] newfid[4] names[names]
111 Rwalk qids[qids]
116 Tread fid[4] offset[8] count[4]
117 Rread data[d]
118 Twrite fid[4] offset[8] data[d]
119 Rwrite count[4]
120 Tclunk fid[4]
121 Rclunk
122 Tremove fid[4]
123 Rremove`
const inOlder = `
112 Topen fid[4] mode[1]
113 Ropen qid[13] iounit[4]
115 Rcreate qid[13] iounit[4]
124 Tstat fid[4]
127 Rwstat`
const documented: Readonly<Record<Dialect, readonly Documented[]>> = { '9P2000': read(`${inAll}${inOlder}
102 Tauth afid[4] uname[s] aname[s]
104 Tattach fid[4] afid[4] uname[s] aname[s]
107 Rerror ename[s]
114 Tcreate fid[4] name[s] perm[4] mode[1]
125 Rstat stat[stat]
126 Twstat fid[4] stat[stat]`), '9P2000.u': read(`${inAll}${inOlder}
102 Tauth afid[4] uname[s] aname[s] n_uname[4]
104 Tattach fid[4] afid[4] uname[s] aname[s] n_uname[4]
107 Rerror ename[s] errno[4]
114 Tcreate fid[4] name[s] perm[4] mode[1] extension[s]
125 Rstat stat[unix_stat]
126 Twstat fid[4] stat[unix_stat]`), '9P2000.L': read(`${inAll}
7 Rlerror ecode[4]
8 Tstatfs fid[4]
9 Rstatfs type[4] bsize[4] blocks[8] bfree[8] bavail[8] files[8] ffree[8] fsid[8] namelen[4]
12 Tlopen fid[4] flags[4]
13 Rlopen qid[13] iounit[4]
14 Tlcreate fid[4] name[s] flags[4] mode[4] gid[4]
15 Rlcreate qid[13] iounit[4]
16 Tsymlink dfid[4] name[s] target[s] gid[4]
17 Rsymlink qid[13]
18 Tmknod dfid[4] name[s] mode[4] major[4] minor[4] gid[4]
19 Rmknod qid[13]
20 Trename fid[4] dfid[4] name[s]
21 Rrename
22 Treadlink fid[4]
23 Rreadlink target[s]
24 Tgetattr fid[4] mask[8]
25 Rgetattr valid[8] qid[13] mode[4] uid[4] gid[4] nlink[8] rdev[8] size[8] blksize[8] blocks[8] atime_sec[8] atime_nsec[8] mtime_sec[8] mtime_nsec[8] ctime_sec[8] ctime_nsec[8] btime_sec[8] btime_nsec[8] gen[8] data_version[8]
26 Tsetattr fid[4] valid[4] mode[4] uid[4] gid[4] size[8] atime_sec[8] atime_nsec[8] mtime_sec[8] mtime_nsec[8]
27 Rsetattr
30 Txattrwalk fid[4] newfid[4] name[s]
31 Rxattrwalk size[8]
32 Txattrcreate fid[4] name[s] attr_size[8] flags[4]
33 Rxattrcreate
40 Treaddir fid[4] offset[cookie] count[4]
41 Rreaddir data[d]
50 Tfsync fid[4] datasync[4]
51 Rfsync
52 Tlock fid[4] type[1] flags[4] start[8] length[8] proc_id[4] client_id[s]
53 Rlock status[1]
54 Tgetlock fid[4] type[1] start[8] length[8] proc_id[4] client_id[s]
55 Rgetlock type[1] start[8] length[8] proc_id[4] client_id[s]
70 Tlink dfid[4] fid[4] name[s]
71 Rlink
72 Tmkdir dfid[4] name[s] mode[4] gid[4]
73 Rmkdir qid[13]
74 Trenameat olddirfid[4] oldname[s] newdirfid[4] newname[s]
75 Rrenameat
76 Tunlinkat dirfid[4] name[s] flags[4]
77 Runlinkat
102 Tauth afid[4] uname[s] aname[s] n_uname[4]
104 Tattach fid[4] afid[4] uname[s] aname[s] n_uname[4]`) }
/** n[2] of these, which begin with size[2]. */
const inStat = 'type[2] dev[4] qid[13] mode[4] atime[4] mtime[4] length[8] name[s] uid[s] gid[s] muid[s]'
const stats: Readonly<Record<string, string>> = { stat: inStat, unix_stat: `${inStat} extension[s] n_uid[4] n_gid[4] n_muid[4]` }

type Row = readonly [field: string, size: string]
interface Documented { readonly type: number; readonly name: string; readonly fields: readonly Row[] }
function rows(text: string): Row[] { return [...text.matchAll(/(\w+)\[(\w+)\]/g)].map(([, field, size]) => [field!, size!]) }
function read(text: string): Documented[] {
  return text.trim().split('\n').map((line) => {
    const [, type, name, fields] = /^(\d+) (\w+)(.*)$/.exec(line)!
    return { type: Number(type), name: name!, fields: rows(fields!) }
  })
}

/** What is called by names that are not known beforehand. */
interface Loose { encode(tag: number, fields: any, into: Buffer, at: number): number; decode(frame: Buffer, start: number, end: number): any; readonly layout: Readonly<Record<string, string>> }
function loose(dialect: Dialect, name: string): Loose {
  const { encoders, decoders } = codecs[dialect] as unknown as Record<string, Record<string, any>>
  return { encode: encoders![name]!, decode: decoders![name]!, layout: (dialects[dialect] as any)[name][1] }
}

test('every message of the documents is in the table, and no other', () => {
  for (const [dialect, messages] of Object.entries(documented) as [Dialect, Documented[]][]) {
    assert.equal(Object.entries(dialects[dialect]).map(([name, [type]]) => [name, type]).sort(), messages.map(({ name, type }) => [name, type]).sort())
    for (const { name, type } of messages) assert.is((typeOf as Record<string, number>)[name], type)
    for (let type = 0; type < 256; type++) assert.is(nameOf(type, dialect), messages.find((message) => message.type === type)?.name)
  }
  for (let type = 0; type < 256; type++) assert.is(nameOf(type), nameOf(type, '9P2000.L'))
})

/** A message by its documented layout: each field has a value of its own, made of `seed`, and its bytes. */
function written({ type, fields }: Documented, seed: number): { fields: any; frame: Buffer } {
  const { value, body } = filled(fields, seed), size = 7 + body.length
  return { fields: value, frame: Buffer.concat([Buffer.from([size & 255, size >> 8, 0, 0, type, 0x34, 0x12]), body]) }
}
const bigints = ['fsid', 'rdev', 'gen', 'data_version', 'start', 'length']
function filled(fields: readonly Row[], seed: number, identities = bigints): { value: any; body: Buffer } {
  const value: any = {}, parts: Buffer[] = []
  let n = seed
  const bytes = (count: number) => Buffer.from(Array.from({ length: count }, (_, i) => (n * 16 + i + 1) & 0xff))
  const le = (b: Buffer) => b.reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n)
  const prefixed = (size: number, count: number, b: Buffer) => Buffer.concat([Buffer.from([count & 255, count >> 8, 0, 0]).subarray(0, size), b])
  for (const [field, size] of fields) {
    n++
    const name = field.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())
    const time = /^(.time)_(n?sec)$/.exec(field)
    if (time) {
      const b = Buffer.concat([bytes(4), Buffer.alloc(4)])
      value[time[1]!] = { ...value[time[1]!], [time[2]!]: Number(le(b)) }
      parts.push(b)
    } else if (size === 's') {
      value[name] = `name${n}`
      parts.push(prefixed(2, value[name].length, Buffer.from(value[name])))
    } else if (size === 'd') {
      value[name] = bytes(n)
      parts.push(prefixed(4, n, value[name]))
    } else if (size === 'names') {
      value[name] = ['a', `b${n}`, 'c'.repeat(n)]
      parts.push(prefixed(2, 3, Buffer.concat(value[name].map((one: string) => prefixed(2, one.length, Buffer.from(one))))))
    } else if (size === 'qids' || size === '13') {
      const b = bytes(13), two = bytes(26).subarray(13)
      const read = (b: Buffer) => ({ type: b[0], version: Number(le(b.subarray(1, 5))), path: le(b.subarray(5)) })
      value[name] = size === '13' ? read(b) : [read(b), read(two)]
      parts.push(size === '13' ? b : prefixed(2, 2, Buffer.concat([b, two])))
    } else if (size in stats) {
      const { value: stat, body } = filled(rows(stats[size]!), n, [])
      value[name] = stat
      parts.push(prefixed(2, body.length + 2, prefixed(2, body.length, body)))
    } else if (size === '8' && !identities.includes(field)) {
      const b = Buffer.concat([bytes(field === 'mask' || field === 'valid' ? 4 : 6), Buffer.alloc(4)]).subarray(0, 8)
      value[name] = Number(le(b))
      parts.push(b)
    } else {
      const b = bytes(size === 'cookie' ? 8 : Number(size))
      value[name] = b.length === 8 ? le(b) : Number(le(b))
      parts.push(b)
    }
  }
  return { value, body: Buffer.concat(parts) }
}
for (const [dialect, messages] of Object.entries(documented) as [Dialect, Documented[]][]) {
  test(`the messages of ${dialect} are as documented, field by field`, () => {
    for (const message of messages) {
      const { encode, decode, layout } = loose(dialect, message.name)
      for (const seed of [0, 7, 100]) {
        const { fields, frame } = written(message, seed), into = Buffer.alloc(frame.length)
        assert.is(encode(0x1234, fields, into, 0), frame.length, message.name)
        assert.is(into.toString('hex'), frame.toString('hex'), message.name)
        assert.equal(decode(frame, 7, frame.length), fields)
        assert.equal(Object.keys(decode(frame, 7, frame.length)), Object.keys(layout))
      }
    }
  })
}

const plainStats: readonly Stat[] = [
  stat, dontTouch,
  { type: 0, dev: 0, qid: { type: 0, version: 0, path: 0n }, mode: 0, atime: 0, mtime: 0, length: 0, name: '', uid: '', gid: '', muid: '' },
  { ...stat, type: 0xfffe, dev: 0xffff_fffe, mode: 0xffff_fffe, atime: 0x8000_0000, length: 0x1_0000_0000, name: 'caf\u00e9', uid: '\udcff', gid: '\u{1f600}', muid: 'x'.repeat(255) },
  { ...stat, length: Number.MAX_SAFE_INTEGER, name: 'y'.repeat(30_000), uid: '\u00e9'.repeat(15_000) },
  { ...stat, uid: '', gid: '', name: 'z'.repeat(0xffff - 49) },
]
const unixStats: readonly UnixStat[] = [
  DONT_TOUCH,
  ...plainStats.slice(0, 5).map((stat) => ({ ...stat, extension: '', nUid: 0, nGid: 1, nMuid: 0xffff_ffff })),
  { ...stat, extension: '../\u20ac', nUid: 1000, nGid: 0x8000_0000, nMuid: 0xffff_fffe },
  { ...stat, name: '', uid: '', gid: '', extension: 'z'.repeat(0xffff - 63), nUid: 0, nGid: 0, nMuid: 0 },
]
const samples = {
  u8: [0, 1, 255],
  u16: [0, 1, 0x8000, 0xffff],
  u32: [0, 1, 0x8000_0000, 0xffff_ffff],
  'u32?': [0, 1, 0xffff_ffff],
  size: [0, 1, 0xffff_ffff, 0x1_0000_0000, 2 ** 52 + 1, Number.MAX_SAFE_INTEGER, 2 ** 63],
  mask: [0, 0x3fff, 0x8000_0000, 0xffff_ffff],
  u64: [0n, 1n, 0xffff_ffffn, 1n << 32n, (1n << 53n) + 1n, 1n << 63n, (1n << 64n) - 1n],
  name: ['', 'a', 'caf\u00e9', '\u20ac', '\u{1f600}', '\udcff', 'a\udc80\u{10ffff}', '\ufeffbom', '\0', 'x'.repeat(255), '\u00e9'.repeat(32767), 'y'.repeat(65535)],
  qid: [{ type: 0, version: 0, path: 0n }, { type: 255, version: 0xffff_ffff, path: (1n << 64n) - 1n }, qid],
  time: [{ sec: 0, nsec: 0 }, { sec: -1, nsec: 999_999_999 }, { sec: -(2 ** 32), nsec: 1 }, { sec: 2 ** 53 - 1, nsec: 2 }, { sec: 1 - 2 ** 53, nsec: 3 }],
  data: [Buffer.alloc(0), Buffer.from([1]), Buffer.alloc(100_000, 0xa5)],
  payload: [Buffer.alloc(0), Buffer.from([1]), Buffer.alloc(100_000, 0xa5)],
  names: [[], ['a'], [''], ['\udcff', 'b'.repeat(300)], Array.from({ length: 16 }, (_, i) => `${i}`)],
  qids: [[], [qid], Array.from({ length: 16 }, (_, i) => ({ type: i, version: i, path: BigInt(i) }))],
  stat: plainStats,
  unixStat: unixStats,
} as const
/** Every field with each of its samples, the others with one of theirs. */
function *values(message: Loose): Generator<any> {
  const layout = Object.entries(message.layout) as [string, keyof typeof samples][]
  const rounds = Math.max(1, ...layout.map(([, kind]) => samples[kind].length))
  for (let round = 0; round < rounds; round++) {
    yield Object.fromEntries(layout.map(([field, kind], i) => [field, samples[kind][(round + i) % samples[kind].length]]))
  }
}

/** Each message once: what dialects share is one function. */
const distinct = new Map((Object.keys(dialects) as Dialect[]).reverse().flatMap((dialect) => Object.keys(dialects[dialect]).map((name) => {
  const message = loose(dialect, name)
  return [message.encode, { dialect, name, message }] as const
})).reverse())
test('what dialects share is one function', () => assert.is(distinct.size, new Set(Object.values(dialects).flatMap((table) => Object.values(table).map(([, layout]) => layout))).size))

const into = Buffer.alloc(1 << 20)
for (const { dialect, name, message } of distinct.values()) {
  const { encode, decode } = message, what = dialect === '9P2000.L' ? name : `${name} of ${dialect}`
  test(`${what} comes back as it went, extremes too`, () => {
    for (const fields of values(message)) {
      into.fill(0xee)
      const end = encode(0xfffe, fields, into, 100)
      assert.is(into.readUInt32LE(100), end - 100)
      assert.is(into[104], (typeOf as Record<string, number>)[name])
      assert.is(into.readUInt16LE(105), 0xfffe)
      assert.equal(decode(into, 107, end), fields)
      assert.ok(into.subarray(0, 100).every((byte) => byte === 0xee) && into[end] === 0xee)
    }
  })
  test(`${what} cut anywhere is EINVAL, whatever stands behind it`, () => {
    for (const fields of values(message)) {
      const end = encode(1, fields, into, 0)
      const step = Math.max(1, Math.floor(end / 500))
      for (let cut = 7; cut < end; cut += cut < 200 || cut > end - 40 ? 1 : step) {
        if (name === 'Tfsync' && cut >= 11) continue        // the old form, and a byte or three
        for (const behind of [0x00, 0xff]) {
          const frame = Buffer.concat([into.subarray(0, cut), Buffer.alloc(64, behind)])
          assert.throws(() => decode(frame, 7, cut), (error: unknown) => isErrno(error, 'EINVAL'), `${name} cut at ${cut} of ${end}`)
        }
      }
    }
  })
  test(`${what} where there is no room is a RangeError`, () => {
    for (const fields of values(message)) {
      const end = encode(1, fields, into, 0)
      for (const room of new Set([0, 6, 7, 8, 11, 15, 30, end - 3, end - 1].filter((room) => room < end && room >= 0))) {
        assert.throws(() => encode(1, fields, Buffer.alloc(room), 0), (error: unknown) => error instanceof RangeError, `${room} of ${end}`)
        assert.throws(() => encode(1, fields, into, into.length - room), (error: unknown) => error instanceof RangeError)
      }
      assert.is(encode(1, fields, into, into.length - end), into.length)
    }
  })
  test(`${what} may be followed by bytes that nobody knows, unless they would be written`, () => {
    for (const fields of values(message)) {
      const end = encode(1, fields, into, 0)
      into.fill(0xff, end, end + 40)
      if (name === 'Twrite') assert.throws(() => decode(into, 7, end + 1), (error: unknown) => isErrno(error, 'EINVAL'))
      else assert.equal(decode(into, 7, end + 40), fields)
    }
  })
}

test('random bodies are read or are EINVAL, and what stands behind them makes no difference', () => {
  let seed = 3
  const random = () => (seed = Math.imul(seed, 1664525) + 1013904223 >>> 0) >>> 24
  const outcome = ({ decode }: Loose, frame: Buffer, end: number) => {
    try {
      return decode(frame, 0, end)
    } catch (error) {
      assert.ok(isErrno(error, 'EINVAL'), String(error))
      return 'EINVAL'
    }
  }
  let read = 0
  for (let round = 0; round < 300; round++) {
    // Mostly small numbers, so that lengths are often true.
    const body = Buffer.from(Array.from({ length: random() % 64 }, () => random() < 160 ? 0 : random() < 200 ? random() % 4 : random()))
    for (const { message } of distinct.values()) {
      const [a, b] = [0x00, 0xff].map((behind) => outcome(message, Buffer.concat([body, Buffer.alloc(64, behind)]), body.length))
      assert.equal(a, b)
      if (a !== 'EINVAL') read++
    }
  }
  assert.ok(read > 1000, `only ${read} were read`)
})

for (const [what, name, bytes] of [
  ['a name longer than its frame', 'Tmkdir', '01000000 ffff 61 00000000 00000000'],
  ['65535 names in a frame of none', 'Twalk', '01000000 02000000 ffff'],
  ['a name too many', 'Twalk', '01000000 02000000 0200 0100 61'],
  ['65535 qids in a frame of one', 'Rwalk', 'ffff 80 01000000 0200000000000000'],
  ['4 GiB of data in a frame of one byte', 'Rread', 'ffffffff 61'],
  ['a count above the payload', 'Twrite', '01000000 0000000000000000 02000000 61'],
  ['a count below the payload', 'Twrite', '01000000 0000000000000000 01000000 6161'],
] as const) {
  test(`${what} is EINVAL`, () => assert.throws(() => decode(name, hex(bytes), 0, hex(bytes).length), (error: unknown) => isErrno(error, 'EINVAL')))
}

test('Tfsync may lack datasync', () => {
  assert.equal(decode('Tfsync', hex('01000000'), 0, 4), { fid: 1, datasync: 0 })
  assert.equal(decode('Tfsync', hex('01000000 0100'), 0, 6), { fid: 1, datasync: 0 })
})

test('a size of 2^53 and more is never taken for a smaller one', () => {
  for (const bits of [1n << 53n, (1n << 53n) + 1n, 1n << 63n, (1n << 63n) + 5n, (1n << 64n) - 1n]) {
    const frame = Buffer.alloc(16)
    frame.writeBigUInt64LE(bits, 4)
    const { offset } = decode('Tread', frame, 0, 16)
    assert.ok(offset > Number.MAX_SAFE_INTEGER, `${bits} became ${offset}`)
    assert.is(offset, Number(bits))
  }
})

test('a size below 0 is EINVAL, not another size', () => {
  for (const offset of [-1, -(2 ** 40), NaN]) {
    assert.throws(() => encode('Tread', 1, { fid: 1, offset, count: 1 }, into, 0), (error: unknown) => isErrno(error, 'EINVAL'))
  }
})

test('data are a view of the frame, and names are not', () => {
  const end = encode('Twrite', 1, { fid: 1, offset: 2, data: Buffer.from('abc') }, into, 50)
  const { data } = decode('Twrite', into, 57, end)
  into[end - 3] = 0x41
  assert.is(Buffer.from(data).toString(), 'Abc')
  assert.is(data.buffer, into.buffer)
})

test('a name that no bytes make is EILSEQ, one too long for its length ENAMETOOLONG', () => {
  for (const name of ['\ud800', '\udc00', '\udc7f', 'a\udd00', '\udbff', '\udfff']) {
    assert.throws(() => encode('Tmkdir', 1, { dfid: 1, name, mode: 0, gid: 0 }, into, 0), (error: unknown) => isErrno(error, 'EILSEQ'))
  }
  assert.throws(() => encode('Tmkdir', 1, { dfid: 1, name: 'x'.repeat(65536), mode: 0, gid: 0 }, into, 0), (error: unknown) => isErrno(error, 'ENAMETOOLONG'))
  assert.throws(() => encode('Tmkdir', 1, { dfid: 1, name: '\u00e9'.repeat(32768), mode: 0, gid: 0 }, into, 0), (error: unknown) => isErrno(error, 'ENAMETOOLONG'))
})

test('a payload written in place makes the same frame', () => {
  for (const name of ['Rread', 'Rreaddir'] as const) {
    const data = Buffer.from('payload'), end = encode(name, 0x1234, { data }, into, 0), whole = Buffer.from(into.subarray(0, end))
    into.fill(0xee)
    data.copy(into, 11)
    payloadHead(typeOf[name], 0x1234, data.length, into, 0)
    assert.is(into.subarray(0, end).toString('hex'), whole.toString('hex'))
  }
})

const entries: Dirent[] = ['.', 'caf\u00e9', '\udcff', 'x'.repeat(255), '\u{1f600}'].map((name, i) => ({
  qid: { type: i, version: 0x01020304 + i, path: (1n << 63n) + BigInt(i) }, cookie: (1n << 62n) + BigInt(i), type: 8 + i, name,
}))
test('an entry is its documented bytes', () => {
  const end = putDirent(into, 3, 100, 0x80, 1, 2n, 1n, 4, '.')
  assert.is(into.subarray(3, end).toString('hex'), '800100000002000000000000000100000000000000040100' + '2e')
  assert.is(end - 3, direntSize(1))
})
test('entries come back as they went, by string and by bytes, and never pass the limit', () => {
  for (const asBytes of [false, true]) {
    let end = 0
    for (const { qid, cookie, type, name } of entries) {
      const bytes = Buffer.from(name === '\udcff' ? [0xff] : Buffer.from(name))
      const given = asBytes ? bytes : name, size = direntSize(bytes.length)
      for (let room = 0; room < size; room++) {
        into.fill(0xee, end + room, end + room + 400)
        assert.is(putDirent(into, end, end + room, qid.type, qid.version, qid.path, cookie, type, given), -1)
        assert.ok(into.subarray(end + room, end + room + 400).every((byte) => byte === 0xee), 'wrote behind the limit')
      }
      end = putDirent(into, end, end + size, qid.type, qid.version, qid.path, cookie, type, given)
    }
    assert.equal(direntsOf(into.subarray(0, end)), entries)
    for (let cut = 1; cut < direntSize(1); cut++) assert.throws(() => direntsOf(into.subarray(0, cut)), (error: unknown) => isErrno(error, 'EINVAL'))
  }
})
test.run()
