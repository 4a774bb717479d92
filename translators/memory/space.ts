import { Arena } from './arena.ts'

/** What an instance may hold and does: bytes, and files. */
export class Space {
  readonly arena = new Arena()
  used = 0
  files = 0
  constructor(public size: number, public inodes: number) {}
  /** Takes that many bytes (negative: gives back), or false and takes none. */
  take(bytes: number): boolean {
    if (bytes > 0 && this.used + bytes > this.size) return false
    this.used += bytes
    return true
  }
  get free(): number { return Math.max(0, this.size - this.used) }
  give(bytes: number): void { this.used -= bytes }
}
