// A writer is killed at any instant. What it wrote to is opened again: each page is old or new, each name there or not, and nothing unreadable.

import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { AT_REMOVEDIR, Attrs, O } from 'ninep'
import { crypt } from '../translators/crypt/crypt.ts'
import { posix } from '../translators/posix/posix.ts'
import { snapshot } from '../translators/snapshot/snapshot.ts'
import type { Node, Translator } from '../translators/translator.ts'
import { get, has, ls, owner } from './conform/tools.ts'
import { key, logged } from './crypt.ts'
import type { Line } from './crypt.ts'

const PAGE = 4096, PAGES = 150
const NAMES = ['a', 'b', 'short name', 'l'.repeat(200), 'L'.repeat(255)]
/** What runs in a folder, by what it is called; the second with the state of the tree beside the blobs. */
const stacks: Readonly<Record<string, (path: string, crypt: (child: Translator) => Promise<Translator>) => Promise<Translator>>> = {
  'crypt | posix': async (path, crypt) => crypt(await posix({ path: made(`${path}/data`), owner: process.geteuid?.() === 0 ? 'host' : 'mapped' })),
  'snapshot | crypt | posix': async (path, crypt) => snapshot({ state: `${path}/state`, segment: 2 ** 20 }, await crypt(await posix({ path: made(`${path}/data`) }))),
}
function made(path: string): string { mkdirSync(path, { recursive: true }); return path }
/** Small numbers that look random, by seed. */
const dice = (seed: number) => (n: number) => (seed = (seed * 1103515245 + 12345) % 2 ** 31) % n

/** The writer. It says what it is about to do, and that it was done, until it is killed. */
async function write(stack: string, path: string, keys: typeof key, seed: number): Promise<void> {
  const top = await stacks[stack]!(path, (child) => crypt(keys, child)), root = await top.attach(''), random = dice(seed), say = (line: string) => { process.stdout.write(`${line}\n`) }
  const file = await root.walk('pages'), handle = await file.open(O.RDWR), d = await root.walk('d'), e = await root.walk('e')
  let size = (await file.getattr(Attrs.SIZE)).size
  say('ready')
  for (let generation = seed * 1_000_000 + 1; ; generation++) {
    const what = random(10)
    if (what < 7) {                                       // pages, from anywhere and beyond the end, all of one generation
      const first = random(PAGES), count = Math.min(1 + random(40), PAGES - first), bytes = Buffer.alloc(count * PAGE)
      for (let i = 0; i < bytes.length; i += 8) { bytes.writeUInt32BE(first + Math.floor(i / PAGE), i); bytes.writeUInt32BE(generation, i + 4) }
      say(`write ${first} ${count} ${generation}`)
      await handle.write(bytes, first * PAGE)
      size = Math.max(size, (first + count) * PAGE)
      say('done')
    } else if (what === 7) {
      const pages = random(PAGES)
      say(`cut ${pages}`)
      await handle.setattr({ size: pages * PAGE })
      size = pages * PAGE
      say('done')
    } else await shuffle(d, e, random)
  }
}
/** Names come, go, move. */
async function shuffle(d: Node, e: Node, random: (n: number) => number): Promise<void> {
  const from = random(2) ? d : e, to = random(2) ? d : e, name = NAMES[random(NAMES.length)]!, other = NAMES[random(NAMES.length)]!
  const ok = async (f: () => unknown) => { try { await f() } catch { /* it is there, or is not */ } }
  switch (random(6)) {
    case 0: return ok(async () => { const { node, handle } = await from.create(name, O.RDWR, 0o600, owner); await handle.write(Buffer.from('whole'), 0); await handle.close(); await node.close() })
    case 1: return ok(() => from.unlinkat(name, 0))
    case 2: return ok(() => from.renameat(name, to, other))
    case 3: return ok(async () => { await using node = await from.walk(name); await to.link(node, other) })
    case 4: return ok(async () => { await (await from.mkdir(name, 0o700, owner)).close() })
    default: return ok(() => from.unlinkat(name, AT_REMOVEDIR))
  }
}

if (process.argv[2] === 'write') await write(process.argv[3]!, process.argv[4]!, JSON.parse(process.argv[5]!) as typeof key, Number(process.argv[6]))
else {
  const test = suite('crypt, killed'), seed = Number(process.env.NINEFOLD_SEED ?? Date.now() % 10_000), kills = Number(process.env.NINEFOLD_KILLS ?? 4)
  for (const [stack, start] of Object.entries(stacks)) test(`${stack}: each page is old or new, after ${kills} kills (NINEFOLD_SEED=${seed})`, async () => {
    const path = mkdtempSync('/dev/shm/ninefold-crypt-kill-'), random = dice(seed)
    try {
      const first = await start(path, (child) => crypt(key, child)), root = await first.attach('')
      const { node, handle } = await root.create('pages', O.RDWR, 0o600, owner)
      await handle.close()
      await node.close()
      for (const name of ['d', 'e']) await (await root.mkdir(name, 0o700, owner)).close()
      await root.close()
      await first.close()
      /** Per page what it may read as: generations; 0: zeros. */
      let pages: Set<number>[] = []
      for (let kill = 0; kill < kills; kill++) {
        const child = spawn(process.execPath, [fileURLToPath(import.meta.url), 'write', stack, path, JSON.stringify(key), String(seed % 1000 + kill)], { stdio: ['ignore', 'pipe', 'inherit'] })
        const lines: string[] = [], reader = createInterface({ input: child.stdout }), ended = once(child, 'exit'), read = once(reader, 'close')
        let killing: Promise<void> | undefined
        reader.on('line', (line) => {
          lines.push(line)
          if (line === 'ready') killing = sleep(5 + random(150)).then(() => { child.kill('SIGKILL') })
        })
        await ended
        await read
        await killing
        assert.is(lines[0], 'ready')
        assert.is(child.signalCode, 'SIGKILL')
        let sizes = [pages.length]                        // in pages, that are possible
        for (let i = 1; i < lines.length; i++) {
          const [what, a, b, c] = lines[i]!.split(' '), done = lines[i + 1] === 'done'
          if (what === 'write') {
            const end = Number(a) + Number(b), old = pages.length
            while (pages.length < end) pages.push(new Set([0]))
            for (let page = Number(a); page < end; page++) { if (done) pages[page] = new Set(); pages[page]!.add(Number(c)) }
            sizes = done ? [pages.length] : [old, Number(a), end]
          } else if (what === 'cut') {
            const to = Number(a), old = pages
            const next = Array.from({ length: to }, (_, page) => old[page] ?? new Set([0]))
            if (done) { pages = next; sizes = [to] } else { sizes = [old.length, to]; pages = to > old.length ? next : old }
          }
        }
        let said: Line[] = []
        const translator = await start(path, async (child) => { const { translator, lines } = await logged(child); said = lines; return translator })
        const bytes = Buffer.from(await get(translator, 'pages'))
        assert.ok(bytes.length % PAGE === 0 && sizes.includes(bytes.length / PAGE), `kill ${kill}: ${bytes.length / PAGE} pages of ${sizes}`)
        for (let page = 0; page * PAGE < bytes.length; page++) {
          const generation = bytes.readUInt32BE(page * PAGE + 4)
          assert.ok(pages[page]!.has(generation), `kill ${kill}: page ${page} is of ${generation}, not of ${[...pages[page]!]}`)
          for (let i = page * PAGE; i < (page + 1) * PAGE; i += 8) {
            if (bytes.readUInt32BE(i) !== (generation === 0 ? 0 : page) || bytes.readUInt32BE(i + 4) !== generation) assert.unreachable(`kill ${kill}: page ${page} is of two`)
          }
        }
        await names(translator)
        assert.equal(said, [], `kill ${kill}`)
        await translator.close()
        // What was on its way is now one or the other.
        pages = Array.from({ length: bytes.length / PAGE }, (_, page) => new Set([bytes.readUInt32BE(page * PAGE + 4)]))
      }
    } finally { rmSync(path, { recursive: true, force: true }) }
  })
  test.run()
}

/** All that is listed can be read, written, and taken away again. */
async function names(translator: Translator): Promise<void> {
  const root = await translator.attach('')
  for (const dir of ['d', 'e']) {
    const node = await root.walk(dir)
    for (const name of await ls(node)) {
      assert.ok(NAMES.includes(name), name)
      assert.ok(await has(node, name))
      const found = await node.walk(name)
      if (found.qid.type === 0) assert.ok(['', 'whole'].includes(Buffer.from(await get(found)).toString()), name)
      else assert.equal(await ls(found), [])
      await found.close()
    }
    await node.close()
  }
  await root.close()
}
