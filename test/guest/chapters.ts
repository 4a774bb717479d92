// The four ways of examples/qemu, read from their chapters: what a user pastes is what the test runs.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './build.ts'

export const ways = ['tcp', 'guestfwd', 'console', 'port'] as const
export type Way = (typeof ways)[number]

export interface Chapter {
  readonly serve: readonly string[]                       // arguments of ninefold
  readonly devices: readonly string[]                     // options of QEMU
  readonly mount: string                                  // shell lines of the guest
}

/** A chapter with TCP at another port. Paths in it are relative to where its server and QEMU run. */
export function chapter(way: Way, port: number): Chapter {
  const text = readFileSync(join(root, 'examples/qemu', `${way}.md`), 'utf8').replaceAll('5640', String(port))
  const block = (kind: string) => {
    const found = new RegExp(`^\`\`\`sh ${kind}\n(.*?)^\`\`\``, 'ms').exec(text)?.[1]
    if (!found) throw new Error(`${way}.md has no block "sh ${kind}"`)
    return found
  }
  const serve = words(block('host'))
  if (serve.shift() !== 'npx' || serve.shift() !== 'ninefold') throw new Error(`${way}.md: the host's line is not of npx ninefold`)
  const lines = block('qemu').split('\n').slice(1)        // behind the machine's own options
  return { serve, devices: words(lines.join('\n').replaceAll('\\\n', ' ')), mount: block('guest').trim() }
}

/** A shell line as words: only blanks and single quotes mean something. */
export function words(line: string): string[] {
  return [...line.matchAll(/(?:[^\s']|'[^']*')+/g)].map(([word]) => word.replaceAll("'", ''))
}

/** The same with a second connection, for a second mount: where one takes a device of its own, that is repeated. */
export function twice(way: Way, { serve, devices, mount }: Chapter): Chapter & { readonly second: string } {
  const second = (text: string) => text.replaceAll('id=ninefold', 'id=ninefold2').replaceAll('chardev=ninefold', 'chardev=ninefold2')
    .replaceAll('chardev:ninefold', 'chardev:ninefold2').replaceAll('10.0.2.100', '10.0.2.101').replaceAll('hvc0', 'hvc1').replaceAll('name=ninefold', 'name=ninefold2')
    .replaceAll('virtio-ports/ninefold', 'virtio-ports/ninefold2').replaceAll('/run/share', '/run/share2')
  const more = devices.flatMap((device, i) => {
    const option = devices[i - 1]!
    if (!/ninefold/.test(device) || option === '-netdev') return []
    return [option, second(device)]
  })
  const wider = devices.map((device) => device.replace(/,guestfwd=.*/, (part) => part + second(part)))
  return { serve, devices: way === 'guestfwd' ? [...more, ...wider] : [...wider, ...more], mount, second: second(mount) }
}
