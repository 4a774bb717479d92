// As much of classic-level as a tree uses, over a map: so that thousands of databases can be opened in a second.

type Change = readonly [key: string, value: Buffer | null]
interface Range { readonly gte?: Buffer; readonly gt?: Buffer; readonly lt?: Buffer; readonly lte?: Buffer; readonly limit?: number; readonly snapshot?: { readonly keys: Map<string, Buffer> } }

export class MapLevel {
  readonly location = 'memory'
  #sorted: string[] | undefined
  constructor(readonly keys: Map<string, Buffer>, private readonly written: (changes: readonly Change[]) => Promise<void>) {}
  async open(): Promise<void> {}
  async close(): Promise<void> {}
  getSync(key: Buffer): Buffer | undefined { return this.keys.get(key.toString('latin1')) }
  async get(key: Buffer): Promise<Buffer | undefined> { return this.getSync(key) }
  async getMany(keys: readonly Buffer[], { snapshot }: Range = {}): Promise<(Buffer | undefined)[]> { return keys.map((key) => (snapshot?.keys ?? this.keys).get(key.toString('latin1'))) }
  snapshot() { return { keys: new Map(this.keys), close: async () => {} } }
  batch() {
    const changes: Change[] = []
    const batch = {
      put: (key: Buffer, value: Buffer) => { changes.push([key.toString('latin1'), Buffer.from(value)]); return batch },
      del: (key: Buffer) => { changes.push([key.toString('latin1'), null]); return batch },
      close: async () => {},
      write: async ({ sync }: { sync?: boolean } = {}) => {
        if (!sync) throw new TypeError('a batch that is synced was expected')
        await this.written(changes)
        for (const [key, value] of changes) value ? this.keys.set(key, value) : this.keys.delete(key)
        this.#sorted = undefined
      },
    }
    return batch
  }
  iterator({ gte, gt, lt, lte, limit = Infinity, snapshot }: Range) {
    const keys = snapshot?.keys ?? this.keys, sorted = snapshot ? [...keys.keys()].sort() : this.#sorted ??= [...keys.keys()].sort()
    const [from, after, before, to] = [gte, gt, lt, lte].map((key) => key?.toString('latin1'))
    const found: [Buffer, Buffer][] = []
    let low = 0, high = sorted.length
    const start = from ?? after ?? ''
    while (low < high) { const middle = (low + high) >> 1; if (sorted[middle]! < start) low = middle + 1; else high = middle }
    for (let i = low; i < sorted.length && found.length < limit; i++) {
      const key = sorted[i]!
      if (before !== undefined && key >= before || to !== undefined && key > to) break
      if (after !== undefined && key === after) continue
      found.push([Buffer.from(key, 'latin1'), keys.get(key)!])
    }
    return { nextv: async (n: number) => found.splice(0, n), close: async () => {} }
  }
}
