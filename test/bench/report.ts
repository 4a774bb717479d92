// What the rounds came to, as a table and as a plot.

export interface Sample { readonly workload: string; readonly connections: number; readonly depth: number; readonly perSecond: number; readonly mbPerSecond: number; readonly p99: number; readonly client: number; readonly server: number; readonly rss: number }
/** samples: by contender, by round. */
export interface Section { readonly title: string; readonly base: string; readonly names: readonly string[]; readonly samples: Readonly<Record<string, readonly (readonly Sample[])[]>> }

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b), half = sorted.length >> 1
  return sorted.length === 0 ? NaN : sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}
const keyOf = ({ workload, connections, depth }: Sample): string => `${workload} ${connections}x${depth}`

/** One workload of a section. ratio: to the base, round by round. */
export interface Row { readonly key: string; readonly cells: ReadonlyMap<string, { readonly rate: number; readonly ratio: number; readonly least: number; readonly most: number; readonly p99: number; readonly server: number; readonly client: number }> }
export function rowsOf({ base, names, samples }: Section): Row[] {
  const keys = [...new Set(names.flatMap((name) => samples[name]!.flatMap((round) => round.map(keyOf))))]
  return keys.map((key) => {
    const of = (name: string) => samples[name]!.map((round) => round.find((sample) => keyOf(sample) === key))
    const bases = of(base)
    return {
      key, cells: new Map(names.flatMap((name) => {
        const rounds = of(name), there = rounds.filter((sample) => sample !== undefined)
        if (there.length === 0) return []
        const ratios = rounds.flatMap((sample, i) => sample && bases[i] ? [sample.perSecond / bases[i]!.perSecond] : [])
        const middle = (field: 'perSecond' | 'p99' | 'server' | 'client') => median(there.map((sample) => sample[field]))
        return [[name, { rate: middle('perSecond'), ratio: median(ratios), least: Math.min(...ratios), most: Math.max(...ratios), p99: middle('p99'), server: middle('server'), client: middle('client') }] as const]
      })),
    }
  })
}

/** A table of Markdown: operations a second, and in parentheses the ratio to the base, its range, and the p99 in us. */
export function table(section: Section): string {
  const { base, names } = section
  const lines = [`| ${section.title} | ${names.join(' | ')} |`, `|---|${names.map(() => '---:|').join('')}`]
  for (const { key, cells } of rowsOf(section)) {
    lines.push(`| ${key} | ${names.map((name) => {
      const cell = cells.get(name)
      if (!cell) return ''
      const rate = Math.round(cell.rate).toLocaleString('en-US')
      return name === base ? `${rate}, p99 ${cell.p99.toFixed(0)}` : Number.isNaN(cell.ratio) ? `${rate}, p99 ${cell.p99.toFixed(0)}` : `${rate}, p99 ${cell.p99.toFixed(0)}, **${cell.ratio.toFixed(2)}** [${cell.least.toFixed(2)}-${cell.most.toFixed(2)}]`
    }).join(' | ')} |`)
  }
  return lines.join('\n')
}

const colours = ['#1b6ca8', '#d1495b', '#edae49', '#66a182', '#8d6a9f', '#5c677d']
/** Bars of the ratios to the base, a group a workload; beyond `most` they are cut, and say by how much. */
export function plot(section: Section, most = 6): string {
  const { base, names, title } = section, bars = names.filter((name) => name !== base), rows = rowsOf(section)
  const left = 190, width = 560, bar = 9, group = bars.length * bar + 9, top = 58, height = top + rows.length * group + 30
  const x = (ratio: number): number => left + Math.min(ratio, most) / most * width
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${left + width + 70} ${height}" font-family="sans-serif" font-size="11">`,
    `<rect width="100%" height="100%" fill="#fff"/>`, `<text x="10" y="18" font-size="13" font-weight="bold">${title}: operations a second, ${base} = 1</text>`,
    ...bars.map((name, i) => `<rect x="${10 + i * 130}" y="28" width="10" height="10" fill="${colours[i % colours.length]}"/><text x="${24 + i * 130}" y="37">${name}</text>`),
    ...Array.from({ length: most + 1 }, (_, i) => `<line x1="${x(i)}" y1="${top - 6}" x2="${x(i)}" y2="${height - 24}" stroke="${i === 1 ? '#000' : '#ddd'}"/><text x="${x(i)}" y="${height - 10}" text-anchor="middle">${i}</text>`),
  ]
  rows.forEach(({ key, cells }, row) => {
    const y = top + row * group
    parts.push(`<text x="${left - 8}" y="${y + (bars.length * bar) / 2 + 4}" text-anchor="end">${key}</text>`)
    bars.forEach((name, i) => {
      const ratio = cells.get(name)?.ratio ?? NaN
      if (Number.isNaN(ratio)) return
      parts.push(`<rect x="${left}" y="${y + i * bar}" width="${(x(ratio) - left).toFixed(1)}" height="${bar - 1}" fill="${colours[i % colours.length]}"/>`)
      parts.push(`<text x="${(x(ratio) + 4).toFixed(1)}" y="${y + i * bar + 8}" font-size="8">${ratio.toFixed(2)}</text>`)
    })
  })
  return `${parts.join('\n')}\n</svg>\n`
}
