// What came of it: counted, printed as it happens, and kept for the page that is checked in.

import type { Result } from './list.ts'

export class Report {
  passed = 0
  failed = 0
  skipped = 0
  /** By mount (or boot), then by entry: what its cell says. */
  readonly #cells = new Map<string, Map<string, string>>()

  /** Takes what one entry gave. It is one line, and one more for each result that is wrong or skipped. True: nothing was wrong. */
  add(where: string, entry: string, results: readonly Result[], seconds: number): boolean {
    const count = (how: Result['how']) => results.filter((result) => result.how === how).length
    const [ok, foreseen, wrong, skipped] = [count('ok'), count('expected'), count('not ok'), count('skip')]
    this.passed += ok + foreseen
    this.failed += wrong
    this.skipped += skipped
    const counts = [[ok, 'ok'], [foreseen, 'as expected of 9P'], [wrong, 'not ok'], [skipped, 'skipped']] as const
    const many = results.length > 1 ? ` (${counts.filter(([n]) => n > 0).map(([n, what]) => `${n} ${what}`).join(', ')})` : ''
    const all = wrong > 0 ? 'not ok' : skipped === results.length ? 'skip' : 'ok'
    console.log(`${all} ${where}: ${entry}${many}, ${seconds.toFixed(0)} s`)
    for (const { name, how, why } of results) {
      if (how === 'not ok') console.log(`    ${name}: ${why}`)
      if (how === 'skip') console.log(`SKIP ${where}: ${name}: ${why?.replaceAll('\n', ' ')}`)
    }
    const cells = this.#cells.get(where) ?? new Map<string, string>()
    this.#cells.set(where, cells.set(entry, wrong > 0 ? `**${wrong} not ok**` : all === 'ok' && results.length > 1 ? `${ok} ok${foreseen > 0 ? ` + ${foreseen}` : ''}` : all))
    return wrong === 0
  }

  /** The totals, as every test program here ends. */
  get totals(): string { return `${this.passed} passed, ${this.failed} failed, ${this.skipped} skipped` }

  /** RESULTS.md: a table for each boot, a column for each of its mounts. earlier: the page as it is, whose cells stay where nothing new was run. */
  page(boots: readonly { readonly name: string; readonly mounts: readonly string[] }[], release: string, earlier: string): string {
    const old = cellsOf(earlier)
    const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
    const tables = boots.map(({ name, mounts }) => {
      const columns = mounts.map((mount) => new Map([...old.get(`${name} ${mount}`) ?? [], ...this.#cells.get(`${name} ${mount}`) ?? []]))
      const entries = [...new Set(columns.flatMap((column) => [...column.keys()]))]
      const rows = entries.map((entry) => row([entry, ...columns.map((column) => column.get(entry) ?? '-')]))
      const rest = [...this.#cells.get(name) ?? []].map(([entry, what]) => `\n${entry}: ${what}.\n`)
      return `## ${name}\n\n${row(['', ...mounts])}\n${row(['---', ...mounts.map(() => '---')])}\n${rows.join('\n')}\n${rest.join('')}`
    })
    return `# What a Linux guest made of it

Written by \`npm run test:guest -- --all\`, whole or in parts (\`--way\`, \`--entry\`): each cell is what came of its last run. Linux ${release} in the guest.
"342 ok + 16": so many promises kept, and so many that [expected.txt](checker/expected.txt) says 9P or this kernel can't keep.

${tables.join('\n')}`
  }
}

/** The cells of a page that page() wrote: by mount, then by entry. */
function cellsOf(page: string): ReadonlyMap<string, ReadonlyMap<string, string>> {
  const cells = new Map<string, Map<string, string>>()
  for (const section of page.split(/^## /m).slice(1)) {
    const [way, ...lines] = section.split('\n')
    const [head, , ...rows] = lines.filter((line) => line.startsWith('|')).map((line) => line.split('|').slice(1, -1).map((cell) => cell.trim()))
    for (const [entry, ...row] of rows) {
      for (const [i, cell] of row.entries()) {
        const where = `${way} ${head![i + 1]}`
        if (cell !== '-') cells.set(where, (cells.get(where) ?? new Map<string, string>()).set(entry!, cell))
      }
    }
  }
  return cells
}
