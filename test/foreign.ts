// 9P servers that are not ours, each over a fresh folder, on loopback.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, isErrno } from 'ninep'

/** dir: what is served, to who attaches to aname. pid: its process. */
export interface Foreign { readonly url: string; readonly dir: string; readonly aname: string; readonly pid: number; stop(): Promise<void> }
/** dir: a folder to serve in place of a new one; before: words that its command line begins with, whose program becomes the server. */
export interface Asked { readonly dir?: string; readonly before?: readonly string[] }

export async function diod(asked: Asked = {}): Promise<Foreign> {
  const { folder, dir, port } = await prepare('diod', asked)
  return start(folder, dir, port, [...asked.before ?? [], 'diod', '-f', '-n', '-l', `127.0.0.1:${port}`, '-e', dir, '-L', join(folder, 'log')])
}

/** Only root can serve by it. It listens everywhere whatever its config says, so what it calls is replaced. */
export async function ganesha(asked: Asked = {}): Promise<Foreign> {
  const { folder, dir, port } = await prepare('ganesha', asked)
  const at = (name: string) => join(folder, name)
  writeFileSync(at('loopback.c'), loopback)
  const { status, stderr } = spawnSync('gcc', ['-shared', '-fPIC', '-o', at('loopback.so'), at('loopback.c')], { encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
  writeFileSync(at('config'), `
    NFS_CORE_PARAM { Protocols = 9P; Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; }
    NFSv4 { RecoveryRoot = ${at('recovery')}; }
    _9P { _9P_TCP_Port = ${port}; }
    EXPORT { Export_Id = 1; Path = ${dir}; Pseudo = /dir; Protocols = 9P; Access_Type = RW; Squash = No_Root_Squash; FSAL { Name = VFS; } }
  `)
  return start(folder, dir, port, [...asked.before ?? [], 'ganesha.nfsd', '-F', '-f', at('config'), '-L', at('log'), '-p', at('pid')], { LD_PRELOAD: at('loopback.so') })
}
const loopback = `
  #define _GNU_SOURCE
  #include <arpa/inet.h>
  #include <dlfcn.h>
  #include <netinet/in.h>
  int bind(int fd, const struct sockaddr *to, socklen_t size) {
    struct sockaddr_in6 copy = *(const struct sockaddr_in6 *)to;
    if (to->sa_family == AF_INET) ((struct sockaddr_in *)&copy)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (to->sa_family == AF_INET6) inet_pton(AF_INET6, "::ffff:127.0.0.1", &copy.sin6_addr);
    int (*real)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "bind");
    return real(fd, to->sa_family == AF_INET || to->sa_family == AF_INET6 ? (struct sockaddr *)&copy : to, size);
  }
`

async function prepare(what: string, { dir: given }: Asked): Promise<{ folder: string; dir: string; port: number }> {
  const folder = mkdtempSync(join(tmpdir(), `ninefold-${what}-`)), dir = given ?? join(folder, 'served')
  if (given === undefined) mkdirSync(dir)
  return { folder, dir, port: await freePort() }
}
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  return port
}

/** Runs a program that serves `dir` at a port of loopback, as soon as it answers. folder: its own, with its log, which goes when it stops. */
export async function start(folder: string, dir: string, port: number, [program, ...words]: string[], env: NodeJS.ProcessEnv = {}): Promise<Foreign> {
  const child = spawn(program!, words, { stdio: 'ignore', env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin`, ...env } })
  const ended = once(child, 'exit')
  const url = `tcp://127.0.0.1:${port}`
  const stop = async () => {
    child.kill('SIGKILL')
    await ended
    rmSync(folder, { recursive: true })
  }
  for (let tries = 0; ; tries++) {
    try {
      await (await connect(url, { timeout: 5000 })).close()
      return { url, dir, aname: dir, pid: child.pid!, stop }
    } catch (error) {
      if (isErrno(error, 'ECONNREFUSED') && tries < 600 && child.exitCode === null) {
        await sleep(50)
        continue
      }
      const log = readFileSync(join(folder, 'log'), { encoding: 'utf8', flag: 'a+' })
      await stop()
      throw new Error(`${program} does not answer: ${log}`, { cause: error })
    }
  }
}
