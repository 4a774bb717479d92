import type { Ways } from './steps.ts'

/** What is done to a tree whose process is killed. */
export const kills: Ways = { far: true, files: 40, weights: { snapshot: 2, delete: 1.6, rollback: 1, pack: 0.5, gc: 0.3, sync: 1 } }
