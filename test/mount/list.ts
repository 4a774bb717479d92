// What programs do in a mount, at the speed of this machine, as root and as a user: the list that every translator passes.

import { execFile } from 'node:child_process'
import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'ninep'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { root } from '../guest/build.ts'
import { requires, skipping } from '../needs.ts'
import { folder, removeFolder, stand, unable } from './stand.ts'
import type { Stand } from './stand.ts'

const run = promisify(execFile)

/** What the list needs beside the mount. */
interface Tools { readonly fsx: string; readonly repository: string }
interface Entry {
  readonly name: string
  readonly needs: readonly string[]
  /** Seconds. */
  readonly limit: number
  /** Shell lines in an empty folder of the mount, for a user. $1: the user's number. */
  readonly lines: (tools: Tools) => string
}

const entries: readonly Entry[] = [
  { name: 'git clones, checks, commits and repacks', needs: ['git'], limit: 120, lines: ({ repository }) => `
    export HOME=$PWD; git config --global safe.directory '*'; git config --global user.name somebody; git config --global user.email somebody@example
    git clone -q 'file://${repository}' clone
    cd clone; git fsck --strict --full; test -z "$(git status --porcelain)"
    echo more >> d1/f1; git commit -qam more; git gc -q; git fsck --full; test "$(git rev-list --count HEAD)" -eq 4` },
  { name: 'fio writes at random by four jobs, and verifies', needs: ['fio'], limit: 120, lines: () => `
    fio --name=verify --ioengine=psync --rw=randrw --bsrange=512-128k --size=8m --numjobs=4 --verify=crc32c --verify_fatal=1 --do_verify=1 --fsync=64 --minimal > /dev/null
    fio --name=mapped --ioengine=mmap --rw=randwrite --bs=4k --size=4m --numjobs=2 --verify=crc32c --verify_fatal=1 --do_verify=1 --minimal > /dev/null` },
  { name: 'sqlite3 in WAL and delete modes', needs: ['sqlite3'], limit: 120, lines: () => `
    for mode in wal delete; do
      { echo "pragma journal_mode=$mode; create table t (n integer primary key, text text); create index i on t (text);"
        for n in $(seq 200); do echo "begin; insert into t values ($n, hex(randomblob(40))); commit;"; done
        echo 'pragma integrity_check; select count(*), sum(n) from t;'; } > $mode.sql
      test "$(sqlite3 $mode.db < $mode.sql | tr '\\n' ' ')" = "$mode ok 200|20100 "
      for i in 1 2 3 4; do { sqlite3 -cmd '.timeout 60000' $mode.db 'update t set text = text || 1 where n < 50' || echo failed >> failed; } & done; wait
      test ! -e failed; test "$(sqlite3 $mode.db 'pragma integrity_check')" = ok
    done` },
  { name: 'dbench with eight clients', needs: ['dbench'], limit: 60, lines: () => `
    dbench -t 5 -c /usr/share/dbench/client.txt -D . 8 > out 2>&1; grep -q '^Throughput' out; if grep -q ERROR out; then cat out; exit 1; fi` },
  { name: 'stress-ng with the stressors of files', needs: ['stress-ng'], limit: 120, lines: () => `
    stress-ng --temp-path . --timeout 6 --verify --access 1 --chmod 1 --chown 1 --dentry 1 --dentries 64 --dir 1 --dir-dirs 64 --dirdeep 1 --dirdeep-dirs 1 \\
      --dirdeep-inodes 100 --fcntl 1 --flock 2 --getdent 1 --hdd 1 --hdd-bytes 4M --iomix 1 --iomix-bytes 4M --lockf 1 --locka 1 --mmap 1 --mmap-file --mmap-bytes 1M \\
      --rename 1 --seek 1 --seek-size 1M --touch 1 --utime 1 --xattr 1 --symlink 1 --link 1 > out 2>&1 || { cat out; exit 1; }` },
  { name: 'tar of /usr/include comes back as it was', needs: ['gcc'], limit: 240, lines: () => `
    mkdir tree; tar -C /usr/include --exclude=c++ -cf - . | tar -C tree --no-same-owner -xf -
    tar -C /usr/include --exclude=c++ --sort=name --owner=0 --group=0 --mtime=@0 --mode=a=r -cf - . | md5sum > one
    tar -C tree --sort=name --owner=0 --group=0 --mtime=@0 --mode=a=r -cf - . | md5sum > two
    cmp one two; rm -r tree` },
  { name: '100 000 random operations on a file, checked against a model', needs: ['gcc'], limit: 280, lines: ({ fsx }) => `
    ${fsx} . 1$1 50000 & one=$!; ${fsx} . 2$1 50000; wait $one` },
]

/** Declares the list for a translator. */
export function list(name: string, stack: string): void {
  const test = suite(`mount: programs over ${name}`), why = unable()
  let home = '', mount: Stand, tools: Tools
  test.before(async () => {
    if (why) return
    home = await folder()
    tools = { fsx: join(home, 'fsx'), repository: join(home, 'repository.git') }
    await run('gcc', ['-std=gnu99', '-O2', '-Wall', '-Wextra', '-Werror', '-o', tools.fsx, join(root, 'test/mount/fsx.c')]).catch(() => {})
    await run('sh', ['-euc', `
      mkdir work; cd work; git init -q; git config user.name somebody; git config user.email somebody@example
      for n in 1 2 3; do for d in 1 2 3 4 5; do mkdir -p d$d; for f in $(seq 20); do echo "$n $d $f" >> d$d/f$f; done; done; git add -A; git commit -qm "change $n"; done
      git clone -q --bare . ../repository.git; chmod -R a+rX ../repository.git`], { cwd: home }).catch(() => {})
    await chmod(home, 0o755)
    mount = await stand(stack)
  })
  test.after(async () => {
    await mount?.[Symbol.asyncDispose]()
    if (home) await removeFolder(home)
  })

  for (const { name, needs, limit, lines } of entries) {
    const native = why ? skipping(test, why) : requires(test, ...needs)
    for (const uid of [0, 1000]) {
      native(`${name}, as ${uid === 0 ? 'root' : 'a user'}`, async () => {
        const dir = `${needs[0]}-${limit}-${uid}`
        await mount.must(`mkdir -m 777 ${dir}`)
        await mount.must(`cd ${dir}; set -- ${uid}\n${lines(tools)}`, { limit, uid })
        await mount.must(`rm -rf ${dir}`, { limit: 120 })
      })
    }
  }

  const many = why ? skipping(test, why) : test, count = 100_000
  many(`${count} files in one directory are listed once each, and known`, async () => {
    await using client = await Client.connect(mount.url)
    await using top = await client.attach()
    await top.mkdir('many', 0o777)
    await using dir = await top.walk('many')
    let next = 0
    await Promise.all(Array.from({ length: 64 }, async () => { while (next < count) await dir.mknod(`file-${next++}`, 0o100644) }))
    const out = await mount.must(`
      ls -f many | grep -v '^[.]*$' | sort > '${home}/names'
      test -z "$(uniq -d < '${home}/names')"
      wc -l < '${home}/names'
      find many -type f -size 0 -perm 644 -links 1 | wc -l`, { limit: 120 })
    assert.is(out, `${count}\n${count}\n`)
  })
  test.run()
}
