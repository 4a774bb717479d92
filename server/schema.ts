// The JSON Schema of a config, made of what reads it: editors complete and check by it.

import type { Option, Options } from '../translators/options.ts'
import { limitOptions } from './limits.ts'
import { passiveOptions } from './passive.ts'
import { translators } from './translators.ts'
import type { AnyFactory } from './translators.ts'
import { attachOptions } from './users.ts'

/** JSON Schema 2020-12 of the YAML that parseConfig takes. known: the translators there are. */
export function configSchema(known: ReadonlyMap<string, AnyFactory> = translators): object {
  const layers = [...known.values()].map(layer)
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Ninefold',
    description: 'What `ninefold serve FILE.yaml` serves.',
    type: 'object',
    required: ['namespace'],
    additionalProperties: false,
    properties: {
      listen: { description: 'Addresses: unix:SOCKET, tcp://HOST:PORT, fd:N.', anyOf: [address, { type: 'array', items: address }] },
      state: { description: 'Folder for what outlives a restart.', type: 'string', minLength: 1 },
      namespace: { description: 'What stands at which path.', type: 'object', minProperties: 1, additionalProperties: false, patternProperties: { '^/': { $ref: '#/$defs/stack' } } },
      metrics: { description: 'Address at which Prometheus reads metrics, by HTTP.', type: 'string', pattern: '^tcp://.' },
      attach: { description: 'Who comes in where, and as whom.', type: 'object', additionalProperties: false, patternProperties: { '^/': object(attachOptions) } },
      translators: { description: 'Translators from outside that may be loaded, which runs their code: npm:NAME, or a path, * for anything but a slash.', anyOf: [allowed, { type: 'array', items: allowed }] },
      limits: { description: 'What one client, and all together, may ask for.', ...object(limitOptions) },
      passive: { description: 'Translators that files carry as a record.', ...object(passiveOptions) },
    },
    $defs: {
      stack: {
        description: 'Layers, outermost first: on one line (rot13 | posix ./dir), or a list of them.',
        anyOf: [{ type: 'string', minLength: 1 }, { $ref: '#/$defs/layer' }, { type: 'array', minItems: 1, items: { anyOf: [{ type: 'string', minLength: 1 }, { $ref: '#/$defs/layer' }, { $ref: '#/$defs/children' }] } }],
      },
      children: { description: 'The children of the layer above, each a stack.', type: 'array', minItems: 1, items: { $ref: '#/$defs/stack' } },
      layer: { type: 'object', minProperties: 1, maxProperties: 1, additionalProperties: false, properties: Object.fromEntries(layers), patternProperties: { [allowed.pattern]: { description: 'A translator from outside; its options.', type: ['object', 'string', 'number', 'boolean', 'null'] } } },
    },
  }
}
const allowed = { type: 'string', pattern: '^(npm:.|\\.{0,2}/.)' }
const address = { type: 'string', pattern: '^(unix:.|tcp://.|fd:[0-9])' }

function layer({ definition: { name, about, options } }: AnyFactory): [name: string, schema: object] {
  const bare = Object.values(options).find((option) => option.positional)
  const alone = bare ? [bare.schema] : []
  const none = Object.values(options).every((option) => option.optional) ? [{ type: 'null' }] : []
  return [name, { description: about, anyOf: [object(options), ...alone, ...none] }]
}

function object(options: Options): object {
  const required = Object.entries(options).filter(([, option]) => !option.optional).map(([name]) => name)
  return {
    type: 'object', additionalProperties: false,
    properties: Object.fromEntries(Object.entries(options).map(([name, option]) => [name, property(option)])),
    ...(required.length === 0 ? {} : { required }),
  }
}
function property({ about, unit, schema, default: value }: Option<unknown>): object {
  const plain = value === null || ['string', 'number', 'boolean'].includes(typeof value)
  return { description: unit === undefined ? `${about}.` : `${about}; ${unit}.`, ...schema, ...(plain ? { default: value } : {}) }
}
