// Translators from outside our tree: a package (`npm:NAME`, as it is found from where the server runs) or a file (./hide.js).
// Loading one runs its code with all that the server may do, so only those are loaded that the server's owner has listed.

import { existsSync } from 'node:fs'
import { Module, isBuiltin } from 'node:module'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { BadOption, EDITION, translator } from '../translators/options.ts'
import { translators } from './translators.ts'
import type { AnyFactory } from './translators.ts'

/** Translators by the names that stacks have for them. */
export interface Known {
  /** Throws BadOption, with the whole sentence, where a name can't be had that might be. */
  get(name: string): AnyFactory | undefined
  keys(): Iterable<string>
}

/** Seconds that a module may take to load. */
const TIMEOUT = 10
/** Those that are loaded, by name as written: once for the process, as Node keeps modules, so that a stack read again is the same. */
const loaded = new Map<string, AnyFactory>()
/** How often a file could not be: Node keeps failures too, and is told of another file then. */
const failures = new Map<string, number>()

/** Whether a stack means something outside our tree by this name. */
export function isOutside(name: string): boolean { return name.startsWith('npm:') || /^\.{0,2}\//.test(name) }

/** One line of the owner's list: npm:NAME or a path, in which * stands for anything but a slash. Throws BadOption. */
export function checkAllowed(pattern: unknown): string {
  const package_ = typeof pattern === 'string' && pattern.startsWith('npm:') ? pattern.slice(4) : undefined
  if (typeof pattern !== 'string' || pattern.includes('\0') || !isOutside(pattern)) throw new BadOption(`${JSON.stringify(pattern)} is neither a package nor a path. Write npm:NAME, ./NAME.js or ./translators/*.js`)
  if (package_ !== undefined && !isPackage(package_.replaceAll('*', 'x'))) throw new BadOption(`"${pattern}": "${package_}" is not the name of a package`)
  return pattern
}
/** NAME, @SCOPE/NAME, or what such a package exports by a name: NAME/PART. */
function isPackage(name: string): boolean {
  return /^(@[\w~-][\w.~-]*\/)?[\w~-][\w.~-]*(\/[\w~-][\w.~-]*)*$/.test(name) && !isBuiltin(name)
}
function matches(pattern: string, name: string): boolean {
  const whole = (given: string) => given.startsWith('npm:') ? given : resolve(given)
  return new RegExp(`^${whole(pattern).replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '[^/]*')}$`).test(whole(name))
}

/** The translators of a server: ours, and those that are loaded of what its owner allows. */
export class Outside implements Known {
  readonly #wanted: Set<string>
  readonly #failed: Map<string, BadOption>
  /** allow: see checkAllowed. */
  constructor(readonly allow: readonly string[] = [], from?: Outside) {
    this.#wanted = from ? from.#wanted : new Set()
    this.#failed = from ? from.#failed : new Map()
  }
  /** The same with another list: what is wanted of it is loaded with what is wanted of this. */
  allowing(allow: readonly string[]): Outside { return new Outside(allow, this) }

  get(name: string): AnyFactory | undefined {
    if (!isOutside(name)) return translators.get(name)
    if (!this.allow.some((pattern) => matches(pattern, name))) throw new BadOption(`${name}: is not of those that the server's owner allows, since it would run code. In a config, allow it by: translators: [${[...this.allow, name].join(', ')}]`)
    const failed = this.#failed.get(name), factory = loaded.get(name)
    if (failed) throw failed
    if (!factory) this.#wanted.add(name)
    if (!factory) throw new BadOption(`${name}: is not loaded`)
    return factory
  }
  keys(): Iterable<string> { return translators.keys() }

  /** What `read` returns or throws once all is loaded that it asks for: it runs again after each time that something was. */
  async reading<T>(read: (known: Outside) => T): Promise<T> {
    this.#failed.clear()
    for (;;) {
      this.#wanted.clear()
      let result: T | undefined, error: unknown, failed = false
      try { result = read(this) } catch (e) { error = e; failed = true }
      if (this.#wanted.size === 0) {
        if (failed) throw error
        return result as T
      }
      for (const name of [...this.#wanted]) {
        try { loaded.set(name, await load(name)) } catch (e) { this.#failed.set(name, e instanceof BadOption ? e : new BadOption(`${name}: ${(e as Error).message}`)) }
      }
    }
  }
}

/** Imports as a module of the folder would in which the server runs. */
function importer(): (name: string) => Promise<Record<string, unknown>> {
  const file = join(process.cwd(), 'ninefold.cjs'), module = new Module(file) as Module & { _compile(code: string, file: string): void }
  module._compile('module.exports = (name) => import(name)', file)
  return module.exports as ReturnType<typeof importer>
}

async function load(name: string): Promise<AnyFactory> {
  const bad = (says: string) => new BadOption(`${name}: ${says}`)
  const package_ = name.startsWith('npm:') ? name.slice(4) : undefined
  const file = package_ === undefined ? resolve(name) : undefined
  if (package_ !== undefined && !isPackage(package_)) throw bad(`"${package_}" is not the name of a package`)
  if (file !== undefined && !existsSync(file)) throw bad(`there is no file ${file}`)
  if (file !== undefined && /\.[mc]?ts$/.test(file) && !(process.features as { typescript?: unknown }).typescript) throw bad(`Node ${process.versions.node} does not run TypeScript. Name the JavaScript that it is built to, or run the server with Node 22.18 or later`)
  let module: Record<string, unknown>, timer: NodeJS.Timeout | undefined
  try {
    const late = new Promise<never>((_, reject) => { timer = setTimeout(() => reject(new Error(`it did not load within ${TIMEOUT} s`)), TIMEOUT * 1000) })
    module = await Promise.race([importer()(file === undefined ? package_! : `${pathToFileURL(file).href}${failures.has(file) ? `?${failures.get(file)}` : ''}`), late])
  } catch (e) {
    if (file !== undefined) failures.set(file, (failures.get(file) ?? 0) + 1)
    throw bad(whyNot(e, package_))
  } finally { clearTimeout(timer) }
  const { definition } = factoryOf(module, bad)
  const twin = [...translators.values(), ...loaded.values()].find((other) => other.definition.name === definition.name && other.definition !== definition)
  if (twin) throw bad(`calls itself ${definition.name}, as ${'from' in twin ? twin.from : 'one of ninefold\'s own'} does. Logs and the state folder go by that name: give it one of its own`)
  // made by the copy of ninefold that it imports, perhaps another than this: of that we take no more than what was declared
  return Object.assign(translator(definition), { from: name })
}

function whyNot(e: unknown, package_: string | undefined): string {
  const { code, message } = e as { code?: unknown; message?: string }
  const missing = code === 'ERR_MODULE_NOT_FOUND' ? /^Cannot find package '([^']+)' imported from (.*)$/.exec(message ?? '') : null
  if (missing && package_ !== undefined && missing[2] === join(process.cwd(), 'ninefold.cjs')) return `no such package is found from ${process.cwd()}. Run there: npm install ${missing[1]}`
  if (missing) return `${missing[2]} imports "${missing[1]}", which is not found from there. Install it next to that file: npm install ${missing[1]}`
  if (typeof code === 'string' && code.startsWith('ERR_')) return `can't be loaded: ${message}`
  const at = e instanceof Error ? /^ +at .*?(file:[^\s)]+)/m.exec(e.stack ?? '')?.[1] : undefined
  return `can't be loaded, it threw ${e instanceof Error ? `${e.name}: ${message}` : String(e)}${at === undefined ? '' : ` (${at})`}`
}

/** What a module is to have: a factory as its default export, or one alone. */
function factoryOf(module: Record<string, unknown>, bad: (says: string) => BadOption): AnyFactory {
  const exported = Object.entries(module), found = isFactory(module.default) ? [module.default] : [...new Set(exported.map(([, value]) => value).filter(isFactory))]
  if (found.length === 0) throw bad(`exports no translator${exported.length === 0 ? '' : `, only ${exported.map(([name]) => name).join(', ')}`}. Write: export default translator({ name, about, ... })`)
  if (found.length > 1) throw bad(`exports ${found.length} translators: ${found.map(({ definition }) => definition.name).join(', ')}. Make one its default export, or each a module`)
  const [{ definition, edition }] = found as [AnyFactory]
  if (edition !== EDITION) throw bad(`was made with a ninefold whose interface is edition ${edition ?? 0}; this server has ${EDITION}. Install the same version of ninefold next to it`)
  const { name, children, options, start } = definition as { [key in keyof typeof definition]?: unknown }
  const fault = typeof name !== 'string' || !/^[a-z][\w-]*$/i.test(name) ? 'its name is not a word' : ![0, 1, 'many'].includes(children as number) ? 'its children are neither 0, 1 nor "many"'
    : options === null || typeof options !== 'object' ? 'it has no options: write {}' : typeof start !== 'function' ? 'it has no start' : undefined
  if (fault) throw bad(`is no translator that can run: ${fault}`)
  return found[0]!
}
function isFactory(value: unknown): value is AnyFactory {
  const { definition, start } = typeof value === 'function' ? value as unknown as Record<string, unknown> : {}
  return definition !== null && typeof definition === 'object' && typeof start === 'function'
}
