// The verbs as they are typed: words, flags, help. What each does is in a module of its own, loaded when it is asked for.

import { dialects } from 'ninep'
import type { Dialect } from 'ninep'
import type { Argv } from 'yargs'
import { Misuse } from './failure.ts'
import type { Where } from './remote.ts'

const levels = ['debug', 'info', 'warn', 'error', 'silent'] as const

/** The best first. */
const spoken = (Object.keys(dialects) as Dialect[]).reverse()
const where = <T>(y: Argv<T>) => y
  .option('server', { type: 'string', nargs: 1, describe: 'where PATH lies: unix:SOCKET or tcp://HOST:PORT' })
  .option('uid', { type: 'string', nargs: 1, describe: 'act as this user id' })
  .option('user', { type: 'string', nargs: 1, describe: 'act as this user, by name', conflicts: 'uid' })
  .option('aname', { type: 'string', nargs: 1, describe: 'attach to this tree of the server', default: '' })
  .option('dialect', { choices: spoken, nargs: 1, describe: 'speak this one (default: the first of them that the server speaks)' })
/** The same for the control tree, which is for one user alone. */
const governs = <T>(y: Argv<T>) => y
  .option('server', { type: 'string', nargs: 1, describe: 'which one: unix:SOCKET' })
  .option('dialect', { choices: spoken, nargs: 1, describe: 'speak this one (default: the first of them that the server speaks)' })
/** What `top` can be sorted by. */
const sorts = ['calls', 'errors', 'bytes', 'time', 'latency', 'path'] as const
const json = { type: 'boolean', describe: 'print JSON', default: false } as const
const progress = { type: 'boolean', describe: 'tell how far it is (default: on a terminal)' } as const
const one = (describe: string) => ({ type: 'string', describe, demandOption: true }) as const
const many = (describe: string) => ({ type: 'string', array: true, describe, demandOption: true }) as const
/** 0xffffffff is 9P's "nobody named". */
function userId(given: string): number {
  if (!/^\d+$/.test(given) || Number(given) >= 0xffffffff) throw new Misuse(`--uid takes a number, not "${given}". A user by name is --user`)
  return Number(given)
}
/** Where the flags of `where` point. */
const at = (args: { server?: string | undefined; uid?: string | undefined; user?: string | undefined; aname?: string; dialect?: Dialect | undefined }): Where => ({
  server: args.server ?? (process.env.NINEFOLD_SERVER || 'unix:./run/ninefold.sock'), aname: args.aname ?? '', dialects: args.dialect ? [args.dialect] : spoken,
  ...(args.uid === undefined ? {} : { uid: userId(args.uid) }), ...(args.user === undefined ? {} : { user: args.user }),
})

/** Adds every verb but version and completion. width: of the help, characters. */
export function verbs(y: Argv, width: number): Argv {
  return y
    .command('serve [file]', 'serve a namespace until a signal ends it', async (y) => y
      .positional('file', { type: 'string', describe: 'a config, YAML' })
      .option('at', { type: 'string', array: true, nargs: 1, default: [] as string[], describe: 'PATH=STACK: mount this too' })
      .option('listen', { type: 'string', array: true, nargs: 1, default: [] as string[], describe: 'listen here, and not where the config says' })
      .option('state', { type: 'string', nargs: 1, describe: 'folder for what outlives a restart' })
      .option('metrics', { type: 'string', nargs: 1, describe: 'where Prometheus reads: tcp://127.0.0.1:9100' })
      .option('log', { choices: levels, default: 'info' as const, describe: 'least level to log' })
      .example('ninefold serve examples/quickstart.yaml', '')
      .example("ninefold serve --at /=memory --at '/src=posix ./src' --listen tcp://127.0.0.1:5640", '')
      .epilogue((await import('./translators.ts')).translatorsHelp(width)),
    async ({ file, at, listen, state, metrics, log }) => (await import('./serve.ts')).serve({ at, listen, level: log, ...(file === undefined ? {} : { file }), ...(state === undefined ? {} : { state }), ...(metrics === undefined ? {} : { metrics }) }))

    .command('schema', 'print the JSON Schema of a config, for editors', (y) => y
      .example('ninefold schema > ninefold.schema.json', '')
      .epilogue('A config whose first line is "# yaml-language-server: $schema=./ninefold.schema.json" is then completed and checked as it is typed.'),
    async () => console.log(JSON.stringify((await import('../schema.ts')).configSchema(), null, 2)))

    .command('create-translator <name>', 'make a package with a translator of your own, and its test', (y) => y
      .positional('name', one('what stacks call it'))
      .option('dir', { type: 'string', nargs: 1, describe: 'the folder to make (default: one of that name)' })
      .option('brick', { type: 'boolean', default: false, describe: 'one that holds something, and not a layer over what does' })
      .example('ninefold create-translator shout', '').example('ninefold create-translator --brick --dir ./clock clock', ''),
    async ({ name, dir, brick }) => (await import('./create.ts')).create(name, { brick, ...(dir === undefined ? {} : { dir }) }))

    .command('ls [path..]', 'list directories', (y) => where(y)
      .positional('path', { type: 'string', array: true, default: ['/'], describe: 'a directory or a file' })
      .option('l', { alias: 'long', type: 'boolean', default: false, describe: 'mode, links, owner, group, size, time' })
      .option('a', { alias: 'all', type: 'boolean', default: false, describe: 'names that begin with a dot, too' })
      .option('json', json)
      .example('ninefold ls -la /export', '').example('ninefold ls --dialect 9P2000 --server tcp://192.0.2.9:564', 'a Plan 9 machine'),
    async (args) => (await import('./list.ts')).ls(at(args), args.path, { long: args.l, all: args.a, json: args.json }))

    .command('stat <path..>', 'tell all about files', (y) => where(y)
      .positional('path', many('files, links not followed'))
      .option('L', { alias: 'follow', type: 'boolean', default: false, describe: 'what a link names, not the link' })
      .option('json', json)
      .example('ninefold stat --json /export/a', ''),
    async (args) => (await import('./list.ts')).stat(at(args), args.path, { follow: args.L, json: args.json }))

    .command('cat <path..>', 'write files to standard output', (y) => where(y)
      .positional('path', many('files'))
      .example('ninefold cat /export/a.gz | zcat', ''),
    async (args) => (await import('./cat.ts')).cat(at(args), args.path))

    .command('put <local> <path>', 'copy from here to the server', (y) => where(y)
      .positional('local', one('a local file; - is standard input'))
      .positional('path', one('its name there, or a directory to put it in'))
      .option('r', { alias: 'recursive', type: 'boolean', default: false, describe: 'a whole tree' })
      .option('a', { alias: 'archive', type: 'boolean', default: false, describe: 'a tree, and keep links, owners, modes, times, xattrs, holes' })
      .option('progress', progress)
      .example('ninefold put -a ./photos /export', '').example('tar c . | ninefold put - /export/all.tar', ''),
    async (args) => (await import('./transfer.ts')).put(at(args), args.local, args.path, { tree: args.r || args.a, keep: args.a, progress: args.progress ?? process.stderr.isTTY }))

    .command('get <path> <local>', 'copy from the server to here', (y) => where(y)
      .positional('path', one('a file there'))
      .positional('local', one('its name here, or a directory to put it in; - is standard output'))
      .option('r', { alias: 'recursive', type: 'boolean', default: false, describe: 'a whole tree' })
      .option('a', { alias: 'archive', type: 'boolean', default: false, describe: 'a tree, and keep links, owners, modes, times, xattrs, holes' })
      .option('progress', progress)
      .example('ninefold get -a /export/photos .', ''),
    async (args) => (await import('./transfer.ts')).get(at(args), args.path, args.local, { tree: args.r || args.a, keep: args.a, progress: args.progress ?? process.stderr.isTTY }))

    .command('rm <path..>', 'remove files', (y) => where(y)
      .positional('path', many('files, or with -r trees'))
      .option('r', { alias: 'recursive', type: 'boolean', default: false, describe: 'directories and all in them' })
      .option('f', { alias: 'force', type: 'boolean', default: false, describe: 'what is not there is no error' })
      .example('ninefold rm -r /export/old', ''),
    async (args) => (await import('./change.ts')).rm(at(args), args.path, { tree: args.r, force: args.f }))

    .command('mkdir <path..>', 'make directories', (y) => where(y)
      .positional('path', many('directories to make'))
      .option('p', { alias: 'parents', type: 'boolean', default: false, describe: 'those above too; one that is there is no error' })
      .option('m', { alias: 'mode', type: 'string', nargs: 1, describe: 'permission bits, octal' })
      .example('ninefold mkdir -p -m 0750 /export/a/b', ''),
    async (args) => (await import('./change.ts')).mkdir(at(args), args.path, { parents: args.p, ...(args.m === undefined ? {} : { mode: args.m }) }))

    .command('mv <from> <to>', 'rename or move a file', (y) => where(y)
      .positional('from', one('a file'))
      .positional('to', one('its new name, or a directory to move it to'))
      .example('ninefold mv /export/a /export/b', ''),
    async (args) => (await import('./change.ts')).mv(at(args), args.from, args.to))

    .command('ln <target> <path>', 'give a file a second name, or make a symbolic link', (y) => where(y)
      .positional('target', one('a file; with -s any text'))
      .positional('path', one('the new name, or a directory for it'))
      .option('s', { alias: 'symbolic', type: 'boolean', default: false, describe: 'a symbolic link' })
      .example('ninefold ln -s ../shared /export/link', ''),
    async (args) => (await import('./change.ts')).ln(at(args), args.target, args.path, { symbolic: args.s }))

    .command('key <action> <file>', 'make a key file, and change what opens it', (y) => y
      .positional('action', { choices: ['new', 'add', 'remove', 'list'] as const, demandOption: true })
      .positional('file', one('the key file of a `crypt`'))
      .option('name', { type: 'string', nargs: 1, describe: 'of the slot (default: its kind)' })
      .option('kind', { choices: ['passphrase', 'secret'] as const, default: 'passphrase' as const, describe: 'what people type, or 32 random bytes and more of a machine' })
      .option('from', { type: 'string', nargs: 1, describe: 'where the new one comes from: file:PATH, env:NAME, command:LINE (default: it is asked for)' })
      .option('with', { type: 'string', nargs: 1, describe: 'add: what opens the file now, from there' })
      .option('ops', { type: 'number', nargs: 1, describe: 'passes of Argon2id (default: 3)' })
      .option('mem', { type: 'number', nargs: 1, describe: 'memory of Argon2id, KiB (default: 65536)' })
      .option('yes-lose-data', { type: 'boolean', default: false, describe: 'remove the last slot, and all that the key has sealed' })
      .option('json', json)
      .example('ninefold key new ./vault.key', 'asks for a passphrase').example('ninefold key add --kind secret --from file:./machine.secret --name nas ./vault.key', '')
      .example('ninefold key remove --name nas ./vault.key', ''),
    async (args) => (await import('./key.ts')).key(args.action, args.file, {
      json: args.json, kind: args.kind, yesLoseData: args['yes-lose-data'], ...(args.name === undefined ? {} : { name: args.name }), ...(args.from === undefined ? {} : { from: args.from }),
      ...(args.with === undefined ? {} : { with: args.with }), ...(args.ops === undefined ? {} : { ops: args.ops }), ...(args.mem === undefined ? {} : { mem: args.mem }),
    }))

    .command('xattr <action> <path> [name] [value]', 'read and change extended attributes', (y) => where(y)
      .positional('action', { choices: ['list', 'get', 'set', 'remove'] as const, demandOption: true })
      .positional('path', one('a file'))
      .positional('name', { type: 'string', describe: 'of the attribute: user.note' })
      .positional('value', { type: 'string', describe: 'to set; - is standard input' })
      .option('json', json)
      .example('ninefold xattr set /export/a user.note "read me"', '').example('ninefold xattr list /export/a', ''),
    async (args) => (await import('./xattr.ts')).xattr(at(args), args.action, args.path, args.name, args.value, { json: args.json }))

    .command('settrans <path> [stack..]', 'mount a stack at a path, exchange it, or send it away', (y) => governs(y)
      .positional('path', one('of the namespace'))
      .positional('stack', { type: 'string', array: true, default: [] as string[], describe: 'translators, outermost first; in one word, or | ( ) , are quoted' })
      .option('a', { alias: 'active', type: 'boolean', default: false, describe: 'the translator that runs (the default)' })
      .option('p', { alias: 'passive', type: 'boolean', default: false, describe: 'the record on the node, that its first walk starts' })
      .option('g', { alias: 'goaway', type: 'boolean', default: false, describe: 'send away what is there; refused while it is in use' })
      .option('f', { alias: 'force', type: 'boolean', default: false, describe: 'also what is in use: its fids fail from there' })
      .option('timeout', { type: 'string', nargs: 1, describe: 'seconds that starting, or waiting for who uses it, may take' })
      .example("ninefold settrans /scratch 'rot13 | memory size=1GiB'", '').example('ninefold settrans -g --timeout 10 /scratch', '')
      .epilogue('What both the old stack and the new one have goes on running. Paths of the host are relative to where the server runs.'),
    async (args) => (await import('./trans.ts')).settrans(at(args), args.path, args.stack, { active: args.a, passive: args.p, goaway: args.g, force: args.f, ...(args.timeout === undefined ? {} : { timeout: args.timeout }) }))

    .command('showtrans [path..]', 'tell what is mounted where', (y) => governs(y)
      .positional('path', { type: 'string', array: true, default: [] as string[], describe: 'only what is mounted there' })
      .option('s', { alias: 'state', type: 'boolean', default: false, describe: 'its state, since when, and how many fids are in it' })
      .option('passive', { type: 'boolean', default: false, describe: 'what is recorded on files, at these paths and below, and how it fares' })
      .option('json', json)
      .example('ninefold showtrans -s', '').example('ninefold showtrans /export', 'its stack'),
    async (args) => (await import('./trans.ts')).showtrans(at(args), args.path, { state: args.s, passive: args.passive, json: args.json }))

    .command('fsysopts <path> [option..]', 'tell or change options of what runs', (y) => governs(y)
      .positional('path', one('where it is mounted'))
      .positional('option', { type: 'string', array: true, default: [] as string[], describe: 'key=value' })
      .option('layer', { type: 'string', nargs: 1, describe: 'of this layer, the outermost is 0 (default: the first that knows them)' })
      .option('json', json)
      .example('ninefold fsysopts /flaky error-rate=5%', '').example('ninefold fsysopts /flaky', 'all of them'),
    async (args) => (await import('./trans.ts')).fsysopts(at(args), args.path, args.option, { json: args.json, ...(args.layer === undefined ? {} : { layer: args.layer }) }))

    .command('snapshot <what> <path> [words..]', 'keep a tree as it is, under a name, and look after those that are kept', (y) => governs(y)
      .positional('what', { type: 'string', choices: ['create', 'list', 'rename', 'hold', 'release', 'diff', 'rollback', 'delete'] as const, demandOption: true, describe: 'to do' })
      .positional('path', one('where it is mounted'))
      .positional('words', { type: 'string', array: true, default: [] as string[], describe: 'NAME; of diff NAME, and TO or now; of rename NAME and TO, of hold and release NAME and a TAG' })
      .option('json', json)
      .example('ninefold snapshot create /vault monday', '').example('ninefold ls /vault/.snapshots/monday', 'what was there').example('ninefold cat /vault/a@monday', ''),
    async (args) => (await import('./snapshot.ts')).snapshot(at(args), args.what, args.path, args.words, { json: args.json }))

    .command('gc <path>', 'drop what nothing refers to, while it is in service', (y) => governs(y)
      .positional('path', one('where it is mounted'))
      .example('ninefold gc /vault', ''),
    async (args) => (await import('./snapshot.ts')).gc(at(args), args.path))
    .command('fsck <path>', 'check that a tree is as it should be, while it is in service', (y) => governs(y)
      .positional('path', one('where it is mounted'))
      .option('data', { type: 'boolean', default: false, describe: 'read all data as well, and check it' })
      .option('json', json)
      .example('ninefold fsck --data /vault', ''),
    async (args) => (await import('./snapshot.ts')).fsck(at(args), args.path, { data: args.data, json: args.json }))

    .command('reload [file]', 'have the server read its config again', (y) => governs(y)
      .positional('file', { type: 'string', describe: 'another config, from here on' })
      .option('json', json)
      .example('ninefold reload', '')
      .epilogue('Prints what was kept, changed, started, replaced, removed. What did not change keeps running, with its fids. A config with a fault changes nothing.'),
    async (args) => (await import('./trans.ts')).reload(at(args), args.file, { json: args.json }))

    .command('explain <path>', 'tell which layers serve a path, and what each takes', (y) => governs(y)
      .positional('path', one('of the namespace'))
      .option('json', json)
      .example('ninefold explain /export/a', ''),
    async (args) => (await import('./explain.ts')).explain(at(args), args.path, { json: args.json }))

    .command('top', 'show what all layers do, live', (y) => governs(y)
      .option('once', { type: 'boolean', default: false, describe: 'one interval, and end' })
      .option('interval', { type: 'string', nargs: 1, default: '2', describe: 'seconds' })
      .option('sort', { choices: sorts, nargs: 1, default: 'calls' as const, describe: 'what comes first' })
      .option('json', { ...json, describe: 'print JSON, a line an interval' })
      .example('ninefold top', 'h tells its keys, q ends it').example('ninefold top --once --json --interval 10', ''),
    async (args) => (await import('./top.ts')).top(at(args), { once: args.once, json: args.json, interval: args.interval, sort: args.sort }))

    .command('mount <url> <dir>', 'mount a server here, without 9p in the kernel (FUSE)', async (y) => y
      .positional('url', one('unix:SOCKET or tcp://HOST:PORT'))
      .positional('dir', one('a directory'))
      .option('o', { type: 'string', array: true, nargs: 1, default: [] as string[], describe: 'options, with commas between' })
      .option('f', { alias: 'foreground', type: 'boolean', default: false, describe: 'stay, until it is unmounted' })
      .option('log', { choices: levels, default: 'info' as const, describe: 'least level to log' })
      .option('ready', { type: 'number', nargs: 1, hidden: true })
      .example('ninefold mount unix:./run/ninefold.sock /mnt', '').example('ninefold mount tcp://192.0.2.9:5640 /mnt -o ro,allow_other,reconnect=5m', '')
      .epilogue((await import('../mount/options.ts')).optionsHelp()),
    async ({ url, dir, o, f, log, ready }) => (await import('./mount.ts')).mount(url, dir, { options: o, foreground: f, level: log, ...(ready === undefined ? {} : { ready }) }))

    .command('umount <dir>', 'unmount what was mounted so', (y) => y
      .positional('dir', one('where it is mounted'))
      .option('l', { alias: 'lazy', type: 'boolean', default: false, describe: 'out of sight at once, and in full when nobody is in it any more' })
      .example('ninefold umount /mnt', ''),
    async ({ dir, l }) => (await import('./mount.ts')).umount(dir, { lazy: l }))

    .command('bench [url]', 'measure what a server does in a second, and what that costs', async (y) => {
      const { numbers } = await import('./bench/bench.ts'), { suites, workloads } = await import('./bench/workloads.ts')
      let of = where(y)
        .positional('url', { type: 'string', describe: 'the server: unix:SOCKET or tcp://HOST:PORT (default: as --server)' })
        .option('suite', { choices: Object.keys(suites), nargs: 1, describe: 'several workloads, as they are usually compared' })
        .option('w', { alias: 'workload', choices: Object.keys(workloads), type: 'string', array: true, nargs: 1, default: [] as string[], describe: 'one of them (default: getattr)' })
        .option('server-pid', { type: 'string', nargs: 1, describe: 'its process, here: then its time and memory are told too' })
        .option('json', { ...json, describe: 'print JSON, a line a workload' })
      for (const [name, { about, default: value }] of Object.entries(numbers)) of = of.option(name, { type: 'string', nargs: 1, describe: name === 'io' ? about : `${about} (default: ${value})` })
      return of
        .example('ninefold bench tcp://127.0.0.1:5640 --suite standard --json', '').example('ninefold bench -w seqread -w seqwrite --msize 1MiB --depth 4', '')
        .epilogue(`Workloads:\n${Object.entries(workloads).map(([name, { about }]) => `  ${name.padEnd(22)}${about}`).join('\n')}\n\nIt works in a directory of its own, which it makes at the root and takes away. Compare servers on the same processors, in turn, by ratios.`)
    }, async (args) => {
      const { bench, numbers } = await import('./bench/bench.ts')
      const words = args as unknown as Record<string, string | undefined>, given = Object.fromEntries(Object.keys(numbers).flatMap((name) => words[name] === undefined ? [] : [[name, words[name]]]))
      await bench(at(args.url === undefined ? args : { ...args, server: args.url }), { suite: args.suite, workloads: args.w, given, serverPid: args['server-pid'], json: args.json })
    })

    .command('events', 'tell what happens, as it does', (y) => governs(y)
      .example('ninefold events | jq .event', '')
      .epilogue('A line of JSON each, until it is ended or the server stops.'),
    async (args) => (await import('./events.ts')).events(at(args)))
}

/** What may follow the words so far, from the verb on: verbs and flags, translators and options in a stack, paths of the server, where one goes. */
export function completeLine(words: readonly string[]) {
  const current = words.at(-1) ?? ''                       // yargs' own is shielded
  return async (_: string, args: Record<string, unknown>, defaults: (done: (error: Error | null, words: string[] | undefined) => void) => void, done: (words: string[]) => void): Promise<void> => {
    const { server, uid, user, aname, dialect } = args as { [flag: string]: string | undefined }
    const where = () => at({ server, uid, user, aname: aname ?? '', dialect: spoken.find((one) => one === dialect) })
    const stack = stackBefore(words)
    if (stack && !current.startsWith('-')) return done((await import('./translators.ts')).completeStack(stack.before, stack.current).map((word) => stack.prefix + word))
    if (words[0] === 'fsysopts' && positionals(words) === 1 && !current.startsWith('-')) return done(await (await import('./trans.ts')).completeOptions(where(), words[1]!, current).catch(() => []))
    if (words.length < 2 || !current.startsWith('/')) return defaults((_, words) => done((words ?? []).map((word) => word.replace(/^-(-\w)$/, '$1'))))
    // by hand: yargs does not know the verb's flags yet, and takes the /a of `ls -l /a` for a value
    const before = positionals(words)
    const here = words[0] === 'serve' || words[0] === 'create-translator' || words[0] === 'mount' || words[0] === 'umount' || words[0] === 'reload' || (words[0] === 'put' && before === 0) || (words[0] === 'get' && before === 1) || valued.includes(words.at(-2)!)
    if (here) return done([])                             // bash completes files of this machine itself
    done(await (await import('./remote.ts')).complete(where(), current).catch(() => []))
  }
}
/** Words behind the verb, but for flags and what belongs to them, and the one that is being typed. */
function positionals(words: readonly string[]): number { return words.slice(1, -1).filter((word, i) => (!word.startsWith('-') || word === '-') && !valued.includes(words[i]!)).length }
/** Where a stack is being typed: its words so far, and the last one, with what stands before it in that word. */
function stackBefore(words: readonly string[]): { before: readonly string[]; current: string; prefix: string } | undefined {
  const current = words.at(-1) ?? ''
  if (words[0] === 'settrans' && positionals(words) > 0 && !valued.includes(words.at(-2)!)) {
    const path = words.findIndex((word, i) => i > 0 && !word.startsWith('-') && !valued.includes(words[i - 1]!))
    return { before: words.slice(path + 1, -1).filter((word) => !word.startsWith('-')), current, prefix: '' }
  }
  const given = words[0] === 'serve' && words.at(-2) === '--at' ? /^(\/[^=]*=)(\S*)$/.exec(current) : null
  return given ? { before: [], current: given[2]!, prefix: given[1]! } : undefined
}
const valued = ['--server', '--uid', '--user', '--aname', '--dialect', '-m', '--mode', '--at', '--listen', '--state', '--log', '--dir', '--metrics', '--timeout', '--layer', '--interval', '--sort', '--suite', '-w', '--workload', '--server-pid', '--connections', '--depth', '--duration', '--warmup', '--msize', '--io', '--file-size', '--files', '--entries', '--walk-depth', '--reads', '--seed', '-o']
