// ninep: 9P2000.L as values. Types first, then numbers, errors, messages, client.
export type * from './types.ts'
export * from './constants.ts'
export * from './errno.ts'
export { messages, nameOf, typeOf, type Fields, type Name, type Reply, type Request } from './messages.ts'
export { decode, decoders, encode, encoders, type Decoder, type Encoder } from './codec.ts'
export * from './dirent.ts'
export { bytesOfName, nameLength, nameOfBytes, putBytes } from './names.ts'
