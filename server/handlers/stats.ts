// Stats: what 9P2000 and 9P2000.u say of a file. Both are made as that of .u, whose last fields the other does not send.

import { Attrs, DM, S, deviceParts } from 'ninep'
import type { Attr, Qid, UnixStat } from 'ninep'
import type { Node } from '../../translators/translator.ts'
import { get } from '../drive.ts'
import type { Steps } from '../drive.ts'
import type { Attach } from '../fid.ts'
import type { Session } from '../session.ts'

/** What a stat is made of. */
export const STAT = Attrs.BASIC

/** The stat of a file under a name. wire: its identity to clients; unix: whether links, devices and the like are told of. node: asked for a link's target. */
export function* statOf(session: Session, attach: Attach, unix: boolean, attr: Attr, wire: bigint, name: string, node?: Node): Steps<UnixStat> {
  const { mode, qid } = attr, nUid = attach.rules.uids.toClient(attr.uid)
  const uid = yield* nameOf(session, 'passwd', nUid), gid = yield* nameOf(session, 'group', attr.gid)
  return {
    ...blankStat({ type: qid.type, version: qid.version, path: wire }, name, dmOf(mode, unix)), atime: seconds(attr.atime.sec), mtime: seconds(attr.mtime.sec),
    length: (mode & S.IFMT) === S.IFDIR ? 0 : attr.size, uid, gid, nUid, nGid: attr.gid, extension: unix ? yield* extensionOf(attr, node) : '',
  }
}

/** One of a file of which no more is known, or to be told. */
export function blankStat(qid: Qid, name: string, mode: number): UnixStat {
  return { type: 0, dev: 0, qid, mode, atime: 0, mtime: 0, length: 0, name, uid: '', gid: '', muid: '', extension: '', nUid: NONE, nGid: NONE, nMuid: NONE }
}
const NONE = 0xffffffff

/** Times are 32 bits, and all ones would mean something else in a Twstat. */
function seconds(sec: number): number { return Math.min(Math.max(sec, 0), NONE - 1) }

function* nameOf(session: Session, database: 'passwd' | 'group', id: number): Steps<string> {
  const { names } = session.shared.gate
  return names.known(database, id) ?? (yield* get(session.inTurn(() => names.nameOf(database, id))))
}

const types: Readonly<Record<number, number>> = { [S.IFDIR]: DM.DIR, [S.IFLNK]: DM.SYMLINK, [S.IFCHR]: DM.DEVICE, [S.IFBLK]: DM.DEVICE, [S.IFIFO]: DM.NAMEDPIPE, [S.IFSOCK]: DM.SOCKET }
const bits = [[S.ISUID, DM.SETUID], [S.ISGID, DM.SETGID], [S.ISVTX, DM.SETVTX]] as const

/** Stat.mode of a file of this st_mode. */
export function dmOf(mode: number, unix: boolean): number {
  const type = mode & S.IFMT
  if (!unix) return (mode & 0o777 | (type === S.IFDIR ? DM.DIR : 0)) >>> 0
  return bits.reduce((dm, [s, bit]) => mode & s ? dm | bit : dm, mode & 0o777 | (types[type] ?? 0)) >>> 0
}
/** The permission bits 07777 of Stat.mode or Tcreate's perm. */
export function permOf(dm: number, unix: boolean): number {
  return unix ? bits.reduce((mode, [s, bit]) => dm & bit ? mode | s : mode, dm & 0o777) : dm & 0o777
}

/** A link's target; a device's numbers; and how many names a file has, if it is not one, as Linux reads it. */
function* extensionOf({ mode, rdev, nlink }: Attr, node?: Node): Steps<string> {
  const type = mode & S.IFMT
  if (type === S.IFLNK) return node ? yield* get(node.readlink()) : ''
  if (type === S.IFREG) return nlink !== 1 ? `HARDLINKCOUNT ${nlink}` : ''
  if (type !== S.IFCHR && type !== S.IFBLK) return ''
  const { major, minor } = deviceParts(rdev)
  return `${type === S.IFCHR ? 'c' : 'b'} ${major} ${minor}`
}
