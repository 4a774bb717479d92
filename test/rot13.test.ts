import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { memory } from '../translators/memory/memory.ts'
import { rot13 } from '../translators/rot13/rot13.ts'
import { conform, fails, get, put, text } from './conform/conform.ts'

const make = async () => rot13({}, await memory({}))
conform('rot13', make)                                         // all that every translator owes, by name
const test = suite('rot13')
for (const [shift, plain, stored] of [[13, 'Hurd!', 'Uheq!'], [1, 'zZ', 'aA'], [25, '', '']] as const) {
  test(`shift ${shift} stores ${plain || 'nothing'} as ${stored || 'nothing'}`, async () => {
    const brick = await memory({})
    await using layer = await rot13({ shift }, brick)          // owns the brick from here, and closes it
    await put(layer, 'note', text(plain))
    assert.equal(await get(brick, 'note'), text(stored))
    assert.equal(await get(layer, 'note'), text(plain))
  })
}
test('a refusal passes through', () => fails('ENOENT', async () => get(await make(), 'nobody')))
test.run()
