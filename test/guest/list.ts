// What is done with a mount: the list that issues a result for each name. Each entry works in an empty folder of the mount and
// throws where something is not as it has to be. Times are never looked at, but as limits.

import { execFile } from 'node:child_process'
import { mkdir, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { connect } from 'ninep'
import { checked, expected } from './build.ts'
import type { Guest } from './guest.ts'

const run = promisify(execFile)

export const caches = ['none', 'mmap', 'loose'] as const
export type Cache = (typeof caches)[number]
/** As mount(8) has them. The older ones are mounted with the client's own defaults: no cache. */
export const olds = ['9p2000.u', '9p2000'] as const
export type Dialect = '9p2000.L' | (typeof olds)[number]

/** A mount in a guest. */
export interface Bench {
  readonly guest: Guest
  readonly dir: string                                    // an empty folder of the mount, for everybody to write
  readonly other: string                                  // the same folder by a second mount
  readonly url: string                                    // of the server, for the host
  readonly path: string                                   // of dir in its namespace
  readonly cache: Cache
  readonly dialect: Dialect
  readonly tools: Tools
  /** Mounts another place of the namespace at a folder. By TCP only: the other ways have a connection for each mount. */
  readonly mount: (aname: string, dir: string) => Promise<void>
}
/** What the host has prepared, by paths that the guest has too. */
export interface Tools { readonly checker: string; readonly tree: string; readonly repository: string; readonly sql: string }

export interface Result { readonly name: string; readonly how: 'ok' | 'not ok' | 'expected' | 'skip'; readonly why?: string }
export interface Entry {
  readonly name: string
  readonly needs?: readonly string[]                      // programs of the host
  readonly only?: string                                  // the one mount that does it, 'tcp memory cache=none'; absent: all do
  readonly run: (bench: Bench) => Promise<readonly Result[] | void>
}

/** Runs shell lines, with a folder of the guest's own as $local, and throws what they said unless they end well. */
async function sh({ guest, dir }: Bench, lines: string, limit: number): Promise<string> {
  const ran = await guest.sh(`local=$(mktemp -d /dev/shm/XXXXXX); trap 'rm -rf $local' EXIT\n${lines}`, { cwd: dir, limit })
  if (ran.status !== 0) throw new Error(`${ran.late ? `not done within ${limit} s` : `status ${ran.status}`}: ${(ran.err + ran.out).trim().slice(-1500)}`)
  return ran.out
}

/** Runs the checker. Each of its lines is a result; a run that ended otherwise is one too. */
async function check({ guest, cache, dialect, tools }: Bench, dir: string, uid: number, args: readonly string[], limit: number): Promise<Result[]> {
  const ran = await guest.run([tools.checker, '--uid', String(uid), '--expect', expected, '--on', `9p,${dialect},cache=${cache}`, ...args, dir], { limit })
  const results: Result[] = checked(ran.out)
  if (ran.late || ran.status > 1 || results.length === 0) {
    results.push({ name: 'the checker ends', how: 'not ok', why: ran.late ? `not within ${limit} s` : `status ${ran.status}: ${ran.err.trim()}` })
  }
  return results
}

/** Makes a folder of `count` empty files, named by their numbers, by a client of the host. */
async function fill({ url, path }: Bench, name: string, count: number): Promise<void> {
  await using client = await connect(url)
  await using dir = await (await client.attach({ aname: path })).walk()
  await dir.mkdir(name, 0o755)
  await using folder = await dir.walk(name)
  await Promise.all(Array.from({ length: count }, (_, i) => folder.mknod(`${i}`, 0o100644)))
}

/** All checks: those of ACLs by the first mount, the rest by the second, whose client spares two messages for each file it meets. */
async function checkAll(bench: Bench, uid: number, args: readonly string[]): Promise<Result[]> {
  if (bench.dialect !== '9p2000.L') return check(bench, bench.dir, uid, args, 500)
  return [...await check(bench, bench.other, uid, [...args, '--without', 'acl: '], 500), ...await check(bench, bench.dir, uid, ['--only', 'acl: '], 100)]
}

const checker: readonly Entry[] = [
  // The two mounts see each other's changes at once only where neither of them caches.
  { name: 'checker as root', run: (bench) => checkAll(bench, 0, ['--many', '150', ...(bench.cache === 'none' ? ['--other', bench.dialect === '9p2000.L' ? bench.dir : bench.other] : [])]) },
  { name: 'checker as uid 1000', run: (bench) => checkAll(bench, 1000, ['--many', '50']) },
]

/** Lists a folder with all that cp -a promises to keep; directories have sizes of their own. */
const describe = String.raw`
  describe() { (cd "$1" && find . ! -type d -printf '%P %y %m %U %G %s %n %l %T+\n' -o -printf '%P %y %m %U %G %T+\n' | sed 's/\.[0-9]*$//' | sort); }
`

const programs: readonly Entry[] = [
  { name: 'cp -a keeps modes, owners, times, links and xattrs', needs: ['setfattr', 'setfacl'], async run(bench) {
    await sh(bench, `${describe}
      mkdir -p from/sub/deep from/locked
      printf text > from/file; head -c 300000 /dev/urandom > from/sub/big; printf '#!/bin/sh\\n' > from/run; : > from/empty
      ln from/file from/sub/hard; ln -s ../file from/sub/soft; ln -s nowhere from/dangling; mkfifo from/fifo
      chmod 4755 from/run; chmod 0 from/empty; chmod 1777 from/sub; chmod 2750 from/sub/deep
      chown 1000:1000 from/file; chown -h 1001:1001 from/dangling
      setfattr -n user.note -v hello from/file; setfattr -n user.of-a-folder -v 1 from/sub; setfacl -m u:1000:r from/run
      touch -d @1000000000 from/file; touch -h -d @1100000000 from/sub/soft; touch -d @1200000000 from/sub; chmod 500 from/locked
      cp -a from to
      describe from > $local/from; describe to > $local/to; diff $local/from $local/to
      test "$(wc -l < $local/to)" -eq 12
      diff -r --no-dereference -x fifo from to
      (cd from && getfattr -R -d -m - . | sort) > $local/from; (cd to && getfattr -R -d -m - . | sort) > $local/to
      diff $local/from $local/to; grep -q 'user.note="hello"' $local/to; grep -q posix_acl_access $local/to
      cp -a to $local/back 2> /dev/null; describe to > $local/to; describe $local/back > $local/from
      diff $local/from $local/to`, 90)
  } },
  { name: 'tar in and out', async run(bench) {
    await sh(bench, `
      tar -C '${bench.tools.tree}' -cf $local/in.tar .
      mkdir tree; tar -C tree -xpf $local/in.tar; tar -C tree -df $local/in.tar
      tar -C tree -cf $local/out.tar .; tar -C '${bench.tools.tree}' -df $local/out.tar`, 120)
  } },
  { name: 'git clone, commit and fsck', needs: ['git'], async run(bench) {
    await sh(bench, `
      export GIT_CONFIG_COUNT=3 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
      export GIT_CONFIG_KEY_1=user.name GIT_CONFIG_VALUE_1=guest GIT_CONFIG_KEY_2=user.email GIT_CONFIG_VALUE_2=guest@example
      git clone -q 'file://${bench.tools.repository}' clone
      cd clone; git fsck --strict --full; test -z "$(git status --porcelain)"
      printf more >> 0/0; git commit -qam more; test "$(git rev-list --count HEAD)" -eq 11`, 180)
  } },
  { name: 'sqlite3 commits 500 transactions', needs: ['sqlite3'], async run(bench) {
    const out = await sh(bench, `sqlite3 db < '${bench.tools.sql}'; test ! -e db-journal`, 400)
    if (out.trim() !== 'delete\nok\n500|125250') throw new Error(out.trim())
  } },
  { name: 'dbench with four clients', needs: ['dbench'], async run(bench) {
    const out = await sh(bench, 'dbench -t 8 -c /usr/share/dbench/client.txt -D . 4 2>&1', 120)
    if (!/^Throughput /m.test(out) || /ERROR/.test(out)) throw new Error(out.slice(-1500))
  } },
  { name: 'stress-ng with 17 file stressors', needs: ['stress-ng'], async run(bench) {
    // Left out: link, symlink and filename make thousands of names for an operation, minutes under emulation; those that
    // are of no file system, or need what 9P has not (lease, fallocate, fiemap, ...).
    await sh(bench, `stress-ng --temp-path . --timeout 20 --verify --access 1 --chmod 1 --chown 1 --dentry 1 --dentries 32 --dir 1 --dir-dirs 64 \
      --dirdeep 1 --dirdeep-dirs 1 --dirdeep-inodes 50 --fcntl 1 --flock 2 --getdent 1 --hdd 1 --hdd-bytes 1M --hdd-write-size 16K --lockf 1 --locka 1 --rename 1 \
      --seek 1 --seek-size 1M --touch 1 --utime 1 --xattr 1`, 120)
  } },
  { name: 'fio writes at random and verifies', needs: ['fio'], async run(bench) {
    const job = '--ioengine=psync --rw=randwrite --bs=4k --size=2m --verify=crc32c --do_verify=1 --verify_fatal=1 --fsync=64 --minimal'
    await sh(bench, `fio --name=one ${job}; fio --name=two ${job} --rw=randrw --bsrange=512-64k --numjobs=2`, 180)
  } },
  { name: 'a read-only place, and one that is full', only: 'tcp memory cache=none', async run(bench) {
    const at = `/places${bench.dir}`
    await bench.mount('/read-only', `${at}/fixed`)
    await bench.mount('/small', `${at}/small`)
    const given = ['--read-only', `${at}/fixed`, '--small', `${at}/small`]
    const results = [...await check(bench, bench.dir, 0, [...given, '--only', 'read-only: '], 60), ...await check(bench, bench.dir, 0, [...given, '--only', 'small: '], 120)]
    await sh(bench, `umount ${at}/fixed; umount ${at}/small`, 30)
    return results
  } },
  // Made on the host, many at once: there it takes a second or two, here a minute of waiting for each reply. And where the
  // client does not ask for the ACLs of each.
  { name: '20 000 files in one directory', async run(bench) {
    const count = 20000
    await fill(bench, 'filled', count)
    return check(bench, bench.other, 0, ['--many', `${count}`, '--filled', `${bench.other}/filled`, '--only', 'readdir: a large directory'], 600)
  } },
]

/** Places that every server here has beside what is mounted: the file that says so, and what must be there. */
export const places = `namespace:
  /read-only: posix ./fixed
  /small: memory size=4MiB inodes=500
attach:
  /read-only: { read-only: true }
`

/** What asks for no attributes, ACLs, or locks that others see, and is no matter of thousands of names, each with four messages. In 9P2000 git is none of it: it replaces files by renaming. */
const plain = programs.filter(({ name }) => /^(tar|sqlite3|dbench|fio)/.test(name)), git = programs.filter(({ name }) => name.startsWith('git'))
export const lists = {
  full: [...checker, ...programs], programs: [checker[0]!, ...programs], checker, root: [checker[0]!],
  '9p2000.u': [...checker, ...git, ...plain], '9p2000': [checker[0]!, ...plain],
} satisfies Record<string, readonly Entry[]>

/** Writes what the list needs into `home`: a tree of 200 small files, a git repository of it, and 500 transactions. */
export async function prepare(home: string, checker: string): Promise<Tools> {
  const tree = join(home, 'tree'), repository = join(home, 'repository.git'), sql = join(home, 'transactions.sql')
  const git = (...args: string[]) => run('git', ['-C', tree, '-c', 'user.name=host', '-c', 'user.email=host@example', ...args])
  for (let d = 0; d < 10; d++) {
    await mkdir(join(tree, `${d}`), { recursive: true })
    for (let f = 0; f < 20; f++) {
      const file = join(tree, `${d}/${f}`)
      await writeFile(file, `${d} ${f}\n`.repeat(1 + 37 * f), { mode: f % 3 ? 0o644 : 0o755 })
      await utimes(file, 1e9 + f, 1e9 + d)
    }
    await utimes(join(tree, `${d}`), 1e9, 1e9)
  }
  await git('init', '-q', '--bare', repository).then(async () => {
    await run('cp', ['-a', tree, `${tree}.git`])
    const work = ['--git-dir', repository, '--work-tree', `${tree}.git`]
    for (let n = 0; n < 10; n++) {
      await writeFile(join(`${tree}.git`, `${n}/0`), `${n}\n`)
      await git(...work, 'add', '-A')
      await git(...work, 'commit', '-q', '-m', `change ${n}`)
    }
  }, () => {})                                            // no git here: its entry says so
  const commits = Array.from({ length: 500 }, (_, i) => `begin; insert into t values (${i + 1}, hex(randomblob(50))); commit;\n`).join('')
  const before = 'pragma journal_mode=delete;\ncreate table t (n integer, text text);\ncreate index i on t (text);\n'
  await writeFile(sql, `${before}${commits}pragma integrity_check;\nselect count(*), sum(n) from t;\n`)
  return { checker, tree, repository, sql }
}
