// What may stand behind -o: our own options, those of the kernel's fuse, and what mount(8) hands on of a line of fstab.

import { BadOption, choice, duration, nearest, path, size, text } from '../../translators/options.ts'
import type { Option } from '../../translators/options.ts'

export interface MountOptions {
  /** The tree to attach to. */
  readonly aname: string
  /** Seconds that the kernel may believe attributes, and names, without asking. */
  readonly attrTimeout: number
  readonly entryTimeout: number
  /** Bytes of the largest message. */
  readonly msize: number
  /** Seconds that callers wait for a server that is gone. */
  readonly reconnect: number
  /** none: contents are not kept either, and each read and write is a request. */
  readonly cache: 'auto' | 'none'
  readonly allowOther: boolean
  /** The kernel checks modes and ACLs; else the server alone says who may what. */
  readonly defaultPermissions: boolean
  /** MS_* bits of mount(2), and the same as words for fusermount3. */
  readonly flags: number
  readonly words: readonly string[]
  /** Where the daemon writes its log. */
  readonly log: string | undefined
}

const MS = { RDONLY: 1, NOSUID: 2, NODEV: 4, NOEXEC: 8, SYNCHRONOUS: 16, DIRSYNC: 128, NOATIME: 1024, NODIRATIME: 2048 } as const
/** A word: bits to set, bits to clear. */
const words: Readonly<Record<string, readonly [set: number, clear: number]>> = {
  ro: [MS.RDONLY, 0], rw: [0, MS.RDONLY], suid: [0, MS.NOSUID], nosuid: [MS.NOSUID, 0], dev: [0, MS.NODEV], nodev: [MS.NODEV, 0], exec: [0, MS.NOEXEC],
  noexec: [MS.NOEXEC, 0], sync: [MS.SYNCHRONOUS, 0], async: [0, MS.SYNCHRONOUS], dirsync: [MS.DIRSYNC, 0], noatime: [MS.NOATIME, 0], atime: [0, MS.NOATIME],
  nodiratime: [MS.NODIRATIME, 0], diratime: [0, MS.NODIRATIME],
}
/** Of fstab, and meant for others than us. */
const passed = /^(_netdev|nofail|(no)?auto|(no)?users?|(no)?owner|(no)?group|defaults|relatime|norelatime|strictatime|lazytime|nolazytime|(x-|comment=|fsname=|subtype=).*)$/

export const valued = {
  aname: text({ about: 'attach to this tree of the server' }),
  'attr-timeout': duration({ about: 'how long attributes are believed without asking', default: 1 }),
  'entry-timeout': duration({ about: 'how long names are', default: 1 }),
  msize: size({ about: 'largest message', min: 8192, max: 2 ** 20 + 24, default: 2 ** 20 + 24 }),
  reconnect: duration({ about: 'how long callers wait for a server that is gone; then they get EIO', default: 60 }),
  cache: choice(['auto', 'none'], { about: 'auto: contents are kept until the file is opened again, or is seen to have changed; none: nothing is kept', default: 'auto' }),
  log: path({ about: 'a file for the log of the daemon' }),
} satisfies Record<string, Option<unknown>>
/** Words of the kernel's. */
const bare = { allow_other: 'other users may come in, too', default_permissions: 'the kernel checks modes and ACLs itself, and not the server alone' } as const

/** Reads -o, once or more often. BadOption: an option that is none, or its value. */
export function parseMountOptions(given: readonly string[]): MountOptions {
  let flags: number = MS.NOSUID | MS.NODEV
  const values: Record<string, unknown> = {}, said = new Set<string>()
  for (const option of given.flatMap(split)) {
    const cut = option.indexOf('='), name = cut < 0 ? option : option.slice(0, cut), key = name.replaceAll('_', '-')
    if (option === '' || passed.test(option)) continue
    const word = cut < 0 && Object.hasOwn(words, option) ? words[option] : undefined
    if (word) flags = (flags | word[0]) & ~word[1]
    else if (Object.hasOwn(bare, name) && cut < 0) said.add(name)
    else if (Object.hasOwn(valued, key)) {
      if (cut < 0) throw new BadOption(`-o ${name} takes a value: ${name}=...`)
      try { values[key] = valued[key as keyof typeof valued].parse(option.slice(cut + 1)) } catch (e) { throw e instanceof BadOption ? new BadOption(`-o ${name}: ${e.message}`) : e }
    } else {
      const all = [...Object.keys(valued), ...Object.keys(bare), ...Object.keys(words)], near = nearest(name, all)
      throw new BadOption(`no option "${name}" of -o.${near ? ` Did you mean "${near}"?` : ''} It takes: ${[...Object.keys(valued), ...Object.keys(bare)].join(', ')}, and those of mount(8)`)
    }
  }
  const value = <T>(name: keyof typeof valued): T => (name in values ? values[name] : (valued[name] as { default?: unknown }).default) as T
  const none = value('cache') === 'none'
  return {
    aname: value<string | undefined>('aname') ?? '', msize: value('msize'), reconnect: value('reconnect'), cache: value('cache'), log: value('log'),
    attrTimeout: none ? 0 : value('attr-timeout'), entryTimeout: none ? 0 : value('entry-timeout'),
    allowOther: said.has('allow_other'), defaultPermissions: said.has('default_permissions'), flags,
    words: [flags & MS.RDONLY ? 'ro' : 'rw', ...flags & MS.NOEXEC ? ['noexec'] : [], ...flags & MS.NOATIME ? ['noatime'] : [], ...flags & MS.SYNCHRONOUS ? ['sync'] : []],
  }
}
/** At commas, but not at those behind a backslash. */
function split(list: string): string[] { return list.split(/(?<!\\),/).map((option) => option.replaceAll('\\,', ',')) }

/** A line for each option, for --help. */
export function optionsHelp(): string {
  const lines = Object.entries(valued).map(([name, { about, ...option }]) => [`${name}=...`, `${about}${'default' in option ? ` (default: ${String(option.default)})` : ''}`])
  return ['Behind -o, with commas between:', ...[...lines, ...Object.entries(bare)].map(([name, about]) => `  ${name!.padEnd(20)} ${about}`), '  ro, dev, suid, noexec, noatime, ... are mount(8)\'s'].join('\n')
}
