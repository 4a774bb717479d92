// The chapters of examples/qemu say each thing more than once: for a shell, for fstab, for libvirt. They must agree.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { root } from './guest/build.ts'
import { chapter, twice, ways } from './guest/chapters.ts'

const test = suite('chapters of examples/qemu')
const text = (way: string) => readFileSync(join(root, 'examples/qemu', `${way}.md`), 'utf8')
const options = (line: string) => / -o (\S+) /.exec(line)![1]!.split(',')

for (const way of ways) {
  test(`${way} has its three blocks, and the machine's own options are left out`, () => {
    const { serve, devices, mount } = chapter(way, 5640)
    assert.is(serve[0], 'serve')
    assert.equal(serve[serve.indexOf('--at') + 1], '/=posix ./export')
    assert.ok(devices.every((word, i) => (i % 2 === 0) === word.startsWith('-')), devices.join(' '))
    assert.match(mount, / \/mnt\b/)
  })
}

test('the port is said once: in the serve line and in the mount line', () => {
  const { serve, mount } = chapter('tcp', 7777)
  assert.ok(serve.includes('tcp://127.0.0.1:7777'))
  assert.ok(options(mount).includes('port=7777'))
})

test('all mount alike, but for the transport', () => {
  const own = /^(trans|port|rfdno|wfdno|msize)=/        // a console wants small messages
  const all = ways.map((way) => options(chapter(way, 5640).mount).filter((option) => !own.test(option)))
  assert.equal(all[1], all[0])
  assert.equal(all[2], all[0])
  assert.equal(all[3], all[0])
})

test("fstab's line has the options of the mount line", () => {
  const fstab = /^10\.0\.2\.2 +\/mnt +9p +(\S+)/m.exec(text('tcp'))![1]!.split(',')
  assert.equal(fstab, [...options(chapter('tcp', 5640).mount), '_netdev'])
})

test("libvirt's arguments are QEMU's", () => {
  const args = [...text('guestfwd').matchAll(/<qemu:arg value='([^']*)'\/>/g)].map(([, value]) => value!.replace('/srv/run/', './run/').replace(',addr=0x10', ''))
  assert.equal(args, chapter('guestfwd', 5640).devices)
})

test('a second mount has a connection of its own', () => {
  const forward = twice('guestfwd', chapter('guestfwd', 5640)), port = twice('port', chapter('port', 5640)), line = twice('console', chapter('console', 5640))
  assert.ok(forward.devices.some((device) => device.includes('guestfwd=tcp:10.0.2.100:564-chardev:ninefold,guestfwd=tcp:10.0.2.101:564-chardev:ninefold2')))
  assert.match(forward.second, / 10\.0\.2\.101 /)
  assert.equal(port.devices.filter((device) => device.startsWith('virtserialport')), ['virtserialport,chardev=ninefold,name=ninefold', 'virtserialport,chardev=ninefold2,name=ninefold2'])
  assert.match(port.second, /\/run\/share2\.sock,.* OPEN:\/dev\/virtio-ports\/ninefold2 [^]* \/run\/share2\.sock \/mnt/)
  assert.equal(line.devices.filter((device) => device.startsWith('virtconsole')), ['virtconsole,chardev=ninefold', 'virtconsole,chardev=ninefold2'])
  assert.match(line.second, /hvc1/)
  for (const { devices } of [forward, port, line]) assert.is(devices.filter((device) => device.startsWith('socket,id=ninefold')).length, 2)
})

test.run()
