// ninep: 9P2000.L as values. Types first, then numbers, errors, messages, client.
export type * from './types.ts'
export * from './constants.ts'
export * from './errno.ts'
