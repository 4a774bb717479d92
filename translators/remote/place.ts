// Names by which nodes were reached, as a tree that follows the renames made here: what a node is found by again on another
// connection. Renames by others are not known; who then has the name is told apart by its number.

/** A name in a directory. It lasts while somebody holds it, or a place below. */
export class Place {
  #held = 0
  #below = new Map<string, Place>()
  /** Its name was taken away. */
  #gone = false
  constructor(private above: Place | null = null, private name = '') {}

  /** The place of a name in this one, held. */
  down(name: string): Place {
    let place = this.#below.get(name)
    if (!place) {
      this.#below.set(name, place = new Place(this, name))
      this.hold()
    }
    return place.hold()
  }
  /** The directory it is in, held; of the root, the root. */
  up(): Place { return (this.above ?? this).hold() }
  hold(): this {
    this.#held++
    return this
  }
  release(): void {
    if (--this.#held > 0 || !this.above) return
    if (!this.#gone) this.above.#below.delete(this.name)
    this.above.release()
  }
  get isRoot(): boolean { return this.above === null }

  /** The names from the root to here; undefined: there is no way any more. */
  names(): string[] | undefined {
    const names: string[] = []
    for (let place: Place = this; place.above; place = place.above) {
      if (place.#gone) return undefined
      names.push(place.name)
    }
    return names.reverse()
  }

  /** A name in it was taken away. */
  remove(name: string): void {
    const place = this.#below.get(name)
    if (!place) return
    this.#below.delete(name)
    place.#gone = true
  }
  /** A name in it is now one in `to`, and what had that name has it no more. */
  move(name: string, to: Place, newName: string): void {
    const place = this.#below.get(name)
    if (this === to && name === newName) return
    to.remove(newName)
    if (!place) return
    this.#below.delete(name)
    place.above = to.hold()
    place.name = newName
    to.#below.set(newName, place)
    this.release()
  }
}
