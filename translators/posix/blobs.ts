/** A file of this name in a directory makes it a store of blobs. */
export const MARKER = 'ninefold-blobs'
