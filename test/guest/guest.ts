// A guest: QEMU, and in it the agent that runs what it is told. agent.c has the other end of the conversation.

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'

export interface Ran {
  readonly status: number                                 // 128 + signal where it was killed
  readonly out: string                                    // bytes, as latin1
  readonly err: string
  readonly ms: number                                     // of the guest's own clock
  readonly late?: boolean                                 // its time ran out
  readonly stuck?: boolean                                // and not even SIGKILL ended it
}
export interface Command { readonly cwd?: string; readonly uid?: number; readonly limit?: number }
export interface Machine {
  readonly vmlinux: string
  readonly initramfs: string
  readonly counterKHz: number                             // of the host's time stamp counter, which is the guest's clock
  readonly devices: readonly string[]                     // QEMU options beside the bare machine's
  readonly home: string                                   // a folder for the socket, console.log and dmesg; QEMU runs here
  readonly cwd: string                                    // where QEMU stands: paths of `devices` are relative to it
}

interface Waiting { out: string; err: string; done(ran: Ran): void; fail(e: Error): void }
interface Said { ready?: string; fatal?: string; id?: number; out?: string; err?: string; exit?: number; ms?: number; late?: boolean; stuck?: boolean }

/** The kernel's: no checks and delays that an emulated machine pays for, and a panic that ends it. */
const parameters = 'console=ttyS0 quiet panic=-1 reboot=t mitigations=off nokaslr audit=0 lsm= init_on_alloc=0 preempt=none tsc=reliable no_timer_check '
  + 'nowatchdog random.trust_cpu=on cryptomgr.notests raid=noautodetect 8250.nr_uarts=1'

const bootLimit = 60, graceLimit = 8                      // seconds
const children = new Set<ChildProcess>()

/** Starts a program that ends with us, however we end. */
export function own(child: ChildProcess): ChildProcess {
  children.add(child)
  child.once('exit', () => children.delete(child))
  return child
}
function endAll() { for (const child of children) child.kill('SIGKILL') }
process.once('exit', endAll)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => { endAll(); process.exit(130) })

/** Waits no longer than `seconds`, then throws what `late` makes. */
export async function within<T>(seconds: number, promise: Promise<T>, late: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const out = new Promise<never>((_, fail) => { timer = setTimeout(() => fail(late()), seconds * 1000) })
  try { return await Promise.race([promise, out]) } finally { clearTimeout(timer) }
}

export class Guest implements AsyncDisposable {
  private readonly waiting = new Map<number, Waiting>()
  private next = 1
  private readonly home: string
  private readonly qemu: ChildProcess
  private readonly port: Socket
  private dead: Error | undefined

  private constructor(home: string, qemu: ChildProcess, port: Socket) {
    this.home = home
    this.qemu = qemu
    this.port = port
  }

  /** Boots and waits until the agent answers; throws where that takes more than a minute. */
  static async boot(machine: Machine): Promise<Guest> {
    await mkdir(machine.home, { recursive: true })
    const socket = join(machine.home, 'agent.sock')
    const door = createServer().listen(socket)
    await once(door, 'listening')
    const qemu = own(spawn('qemu-system-x86_64', [
      '-accel', 'tcg,thread=multi', '-M', 'q35,hpet=on,smbus=off,sata=off,usb=off,vmport=off,i8042=off', '-cpu', 'Nehalem-v1,+rdrand',
      '-smp', '1', '-m', '1536',
      '-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-monitor', 'none',
      '-kernel', machine.vmlinux, '-initrd', machine.initramfs,
      '-append', `${parameters} tsc_early_khz=${machine.counterKHz}`,
      '-serial', `file:${join(machine.home, 'console.log')}`,
      '-fsdev', 'local,id=root,path=/,security_model=none,readonly=on,multidevs=remap', '-device', 'virtio-9p-pci,fsdev=root,mount_tag=root',
      '-device', 'virtio-serial-pci', '-chardev', `socket,id=agent,path=${socket}`, '-device', 'virtserialport,chardev=agent,nr=1,name=agent',
      ...machine.devices,
    ], { cwd: machine.cwd, stdio: ['ignore', 'pipe', 'pipe'] }))
    let words = ''
    for (const stream of [qemu.stdout!, qemu.stderr!]) stream.on('data', (bytes) => { words += bytes })
    const gone = once(qemu, 'exit').then(([code]) => { throw new Error(`QEMU ended with ${code}: ${words.trim()}`) })
    try {
      const late = () => new Error(`the guest did not boot within ${bootLimit} s: see ${machine.home}`)
      const [port] = await within(bootLimit, Promise.race([once(door, 'connection'), gone]), late) as [Socket]
      const guest = new Guest(machine.home, qemu, port)
      await within(bootLimit, guest.hear(), late)
      return guest
    } catch (e) {
      qemu.kill('SIGKILL')
      throw e
    } finally {
      door.close()
      gone.catch(() => {})
    }
  }

  /** Runs a program; its exit status is for the caller to judge. Throws where the guest itself fails. */
  async run(argv: readonly string[], { cwd = '/', uid = 0, limit = 60 }: Command = {}): Promise<Ran> {
    if (this.dead) throw this.dead
    const id = this.next++
    const done = new Promise<Ran>((done, fail) => this.waiting.set(id, { out: '', err: '', done, fail }))
    this.port.write(`${quote({ id, uid, limit, cwd, argv })}\n`)
    return within(limit + graceLimit, done, () => this.fail(`${argv[0]}: no answer within ${limit + graceLimit} s`))
  }

  /** Runs shell lines. */
  sh(lines: string, options?: Command): Promise<Ran> { return this.run(['/bin/sh', '-euc', lines], options) }

  /** Keeps the kernel's messages beside the console's. */
  async keep(): Promise<void> {
    const ran = await this.run(['dmesg'], { limit: 10 }).catch((e: Error) => ({ out: `${e.message}\n` }))
    await writeFile(join(this.home, 'dmesg'), ran.out)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone: Promise<unknown> = this.qemu.exitCode === null && this.qemu.signalCode === null ? once(this.qemu, 'exit') : Promise.resolve()
    this.port.destroy()                                   // the agent hears that and ends the guest
    await within(graceLimit, gone, () => new Error('late')).catch(async () => { this.qemu.kill('SIGKILL'); await gone })
  }

  private fail(message: string): Error {
    this.dead ??= new Error(`${message}; see ${this.home}`)
    for (const { fail } of this.waiting.values()) fail(this.dead)
    this.waiting.clear()
    return this.dead
  }

  private hear(): Promise<void> {
    return new Promise((ready, failed) => {
      let rest = ''
      this.port.setEncoding('latin1')
      this.port.on('data', (text: string) => {
        const lines = (rest + text).split('\n')
        rest = lines.pop()!
        for (const line of lines) {
          const said = JSON.parse(line) as Said
          if (said.ready) ready()
          if (said.fatal) failed(this.fail(`agent: ${said.fatal}`))
          const waiting = said.id === undefined ? undefined : this.waiting.get(said.id)
          if (!waiting) continue
          waiting.out += said.out ?? ''
          waiting.err += said.err ?? ''
          if (said.exit === undefined) continue
          this.waiting.delete(said.id!)
          const { exit: status, ms = 0, late = false, stuck = false } = said
          waiting.done({ status, out: waiting.out, err: waiting.err, ms, late, stuck })
        }
      })
      this.port.on('close', () => failed(this.fail('the guest ended')))
      this.port.on('error', () => {})
    })
  }
}

/** JSON in ASCII: a character beyond it goes as its UTF-8 bytes, which the agent takes for what they are. */
function quote(value: object): string {
  return JSON.stringify(value).replace(/[^\x00-\x7f]+/g, (some) => [...Buffer.from(some)].map((byte) => `\\u00${byte.toString(16)}`).join(''))
}
