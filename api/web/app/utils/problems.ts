/** Problems as values. */

/** Whatever was thrown, as a problem that can be shown. */
export function toProblem(error: unknown): Problem {
  return error instanceof Problem ? error : new Problem(0, 'unknown', String(error))
}
