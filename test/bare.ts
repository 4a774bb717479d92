// Runs a program with ninep where there is nothing of Node: in a context that has the language, and of what all hosts have only
// what stands below. A module that asks for anything but ninep's own files is refused. Needs --experimental-vm-modules.
// Arguments: the folder of ninep's built files. Standard input: the program, which exports `result`. It is printed as JSON.

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { createContext, SourceTextModule, type Module } from 'node:vm'

const dist = resolve(process.argv[2]!)
const context = createContext({ AbortController, AbortSignal, clearTimeout, console, ReadableStream, setTimeout, TransformStream, WritableStream })
const modules = new Map<string, SourceTextModule>()
const refused = (name: string): never => { throw new Error(`${name} was asked for`) }
function load(file: string): SourceTextModule {
  if (!file.startsWith(`${dist}/`)) refused(file)
  const made = modules.get(file) ?? new SourceTextModule(readFileSync(file, 'utf8'), { context, identifier: file, importModuleDynamically: refused })
  modules.set(file, made)
  return made
}
const link = (name: string, from: Module) => name === 'ninep' ? load(`${dist}/index.js`) : name.startsWith('.') ? load(resolve(from.identifier, '..', name)) : refused(name)

const program = new SourceTextModule(readFileSync(0, 'utf8'), { context, identifier: `${dist}/program.js`, importModuleDynamically: refused })
await program.link(link)
await program.evaluate()
console.log(JSON.stringify((program.namespace as { result: unknown }).result))
