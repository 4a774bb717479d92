// node small.js DIR COUNT: makes, looks at, reads and removes small files, and says how many of each a second.

import { closeSync, openSync, readFileSync, rmdirSync, mkdirSync, statSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'

const [dir, count] = [join(process.argv[2]!, 'small'), Number(process.argv[3])], text = Buffer.alloc(4096, 'x')
mkdirSync(dir)
const names = Array.from({ length: count }, (_, i) => join(dir, `file-${i}`))
const result: Record<string, number> = {}
function time(what: string, work: (name: string) => void, times = 1): void {
  const from = performance.now()
  for (let i = 0; i < times; i++) for (const name of names) work(name)
  result[what] = Math.round(count * times / (performance.now() - from) * 1000)
}
time('create', (name) => {
  const fd = openSync(name, 'wx')
  writeSync(fd, text)
  closeSync(fd)
})
await new Promise((done) => setTimeout(done, 1500))       // until nothing is believed any more
time('stat', (name) => { statSync(name) })
time('stat again', (name) => { statSync(name) }, 5)
time('read', (name) => { readFileSync(name) })
time('unlink', unlinkSync)
rmdirSync(dir)
console.log(JSON.stringify(result))
