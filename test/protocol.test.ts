import { decode, encode, errnos, nameOf, NOFID, NONUNAME, NOTAG } from 'ninep'
import type { Fields, Name } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

const test = suite('protocol')
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')
const qid = { type: 0x80, version: 1, path: 2n }

/** Written by hand from the field tables of the protocol's documents, not by the encoder: that is the point of them. */
const golden: { [N in Name]?: readonly (readonly [tag: number, fields: Fields<N>, bytes: string])[] } = {
  Tversion: [[NOTAG, { msize: 8192, version: '9P2000.L' }, '15000000 64 ffff 00200000 0800 3950323030302e4c']],
  Rversion: [[NOTAG, { msize: 8192, version: '9P2000.L' }, '15000000 65 ffff 00200000 0800 3950323030302e4c']],
  Tattach: [[0, { fid: 0, afid: NOFID, uname: 'nobody', aname: '', nUname: NONUNAME }, '1d000000 68 0000 00000000 ffffffff 0600 6e6f626f6479 0000 ffffffff']],
  Rattach: [[0, { qid }, '14000000 69 0000 80 01000000 0200000000000000']],
  Tgetattr: [[0, { fid: 0, mask: 0x17ff }, '13000000 18 0000 00000000 ff17000000000000']],
  Twalk: [[1, { fid: 0, newfid: 1, names: ['a', 'bc'] }, '18000000 6e 0100 00000000 01000000 0200 0100 61 0200 6263']],
  Rwalk: [[1, { qids: [{ type: 0x80, version: 7, path: 10n }] }, '16000000 6f 0100 0100 80 07000000 0a00000000000000']],
  Rlerror: [[1, { ecode: errnos.ENOENT }, '0b000000 07 0100 02000000']],
  Tlopen: [[1, { fid: 1, flags: 0x402 }, '0f000000 0c 0100 01000000 02040000']],
  Treaddir: [[1, { fid: 1, offset: 0n, count: 4072 }, '17000000 28 0100 01000000 0000000000000000 e80f0000']],
  Rreaddir: [[1, { data: hex('80 01000000 0200000000000000 0100000000000000 04 0100 2e') },
    '24000000 29 0100 19000000 80 01000000 0200000000000000 0100000000000000 04 0100 2e']],
  Tlock: [[1, { fid: 1, type: 1, flags: 1, start: 0n, length: 0n, procId: 99, clientId: 'h' },
    '27000000 34 0100 01000000 01 01000000 0000000000000000 0000000000000000 63000000 0100 68']],
  Tflush: [[2, { oldtag: 1 }, '09000000 6c 0200 0100']],
}
for (const name of Object.keys(golden) as Name[]) {
  test(`${name} is the golden frame, written and read`, () => {
    for (const [tag, fields, bytes] of golden[name] as readonly (readonly [number, Fields<Name>, string])[]) {
      const frame = hex(bytes), into = Buffer.alloc(frame.length + 8, 0xee)
      assert.is(encode(name, tag, fields, into, 4), frame.length + 4)
      assert.equal(into.toString('hex'), `eeeeeeee${frame.toString('hex')}eeeeeeee`)
      assert.is(nameOf(frame[4]!), name)
      assert.equal(decode(name, frame, 7, frame.length), fields)
    }
  })
}
test.run()
