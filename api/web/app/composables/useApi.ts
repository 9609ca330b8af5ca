/**
 * The one way to the server: cookies, the CSRF header, one renewal of an expired session, problems as exceptions.
 * It never retries a command by itself; a caller that repeats one sends the same `commandId`.
 */

export interface FieldProblem {
  detail: string
  pointer?: string
  parameter?: string
  code?: string
  allowed?: string
}

/** The server said no, or could not be asked (status 0). */
export class Problem extends Error {
  constructor(
    readonly status: number,
    /** The problem's kind in words_with_underscores: `wrong_credentials`, `refused`, `unreachable`. */
    readonly code: string,
    readonly title: string,
    readonly detail: string = '',
    readonly errors: FieldProblem[] = [],
    /** Seconds after which asking again may help. */
    readonly retryAfterS: number | null = null,
  ) {
    super(detail || title)
  }

  /** What is wrong with one field of the body, named by its JSON pointer without `#/`. */
  of(field: string): FieldProblem | undefined {
    return this.errors.find((each) => each.pointer === `#/${field}`)
  }
}

type Query = Record<string, string | number | boolean | null | undefined>

interface Options {
  query?: Query
  /** The Idempotency-Key: the same when the same command is sent again. */
  commandId?: string
  signal?: AbortSignal
}

const BASE = '/api/v1'

let renewing: Promise<boolean> | null = null

export function useApi() {
  const session = useSession()

  async function call<T>(method: string, path: string, body: unknown, options: Options = {}): Promise<T> {
    if (!path.startsWith('/auth/')) await freshen()
    const response = await send(method, path, body, options)
    if (response.ok) return (response.status === 204 ? undefined : await readJson(response)) as T
    const problem = await readProblem(response)
    if (problem.code === 'session_expired' && (await renew())) {
      const again = await send(method, path, body, options)
      if (again.ok) return (again.status === 204 ? undefined : await readJson(again)) as T
      throw await readProblem(again)
    }
    if (problem.status === 401 && session.current.value && SESSION_ENDS.has(problem.code)) session.ended()
    throw problem
  }

  async function send(method: string, path: string, body: unknown, options: Options): Promise<Response> {
    const headers: Record<string, string> = { Accept: 'application/json' }
    if (body !== undefined) headers['Content-Type'] = 'application/json'
    if (options.commandId) headers['Idempotency-Key'] = options.commandId
    if (method !== 'GET' && session.current.value) headers['X-CSRF-Token'] = session.current.value.csrf
    try {
      return await fetch(address(path, options.query), {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        credentials: 'same-origin',
        cache: 'no-store',
        signal: options.signal,
      })
    } catch (error) {
      if (options.signal?.aborted) throw error
      throw new Problem(0, 'unreachable', 'The server does not answer')
    }
  }

  /** Renew a session that is about to end; what fails here is told by the request that follows. */
  async function freshen(): Promise<void> {
    if (session.isOld()) await renew().catch(() => false)
  }

  /** Renew the session once for all calls, and for all tabs one after another. */
  function renew(): Promise<boolean> {
    renewing ??= inTurn(async () => {
      const response = await send('POST', '/auth/refresh', undefined, {})
      if (response.ok) session.set(await readJson(response))
      else if (response.status === 401) session.ended()
      return response.ok
    }).finally(() => {
      renewing = null
    })
    return renewing
  }

  /** Have the browser save what a route answers, however large; an expired session is renewed before. */
  async function download(path: string, query: Query, name: string): Promise<void> {
    await call('GET', '/session', undefined)
    const link = Object.assign(document.createElement('a'), { href: address(path, query), download: name })
    link.click()
  }

  return {
    get: <T>(path: string, query?: Query, signal?: AbortSignal) => call<T>('GET', path, undefined, { query, signal }),
    post: <T>(path: string, body?: unknown, options?: Options) => call<T>('POST', path, body, options),
    patch: <T>(path: string, body: unknown, options?: Options) => call<T>('PATCH', path, body, options),
    renew,
    freshen,
    address,
    download,
  }
}

const SESSION_ENDS = new Set(['unauthorised', 'session_ended', 'session_expired'])

/** Give the full path of a route, for links and the live stream. */
function address(path: string, query: Query = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== '')
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString()
  return BASE + path + (text && `?${text}`)
}

async function readJson(response: Response) {
  const text = await response.text()
  return text ? JSON.parse(text) : undefined
}

async function readProblem(response: Response): Promise<Problem> {
  const wait = Number(response.headers.get('Retry-After') ?? NaN)
  const retryAfterS = Number.isFinite(wait) ? wait : null
  try {
    const told = await response.json()
    const code = String(told.code ?? told.type?.split(':').pop() ?? 'unknown').replaceAll('-', '_')
    return new Problem(response.status, code, told.title ?? '', told.detail ?? '', told.errors ?? [], retryAfterS)
  } catch {
    return new Problem(response.status, 'unknown', response.statusText, '', [], retryAfterS)
  }
}

async function inTurn(work: () => Promise<boolean>): Promise<boolean> {
  // Two tabs that renew with the same cookie at once would look like a stolen one.
  return navigator.locks ? await navigator.locks.request('trellis-renew', work) : work()
}

/** A new Idempotency-Key. */
export function newCommandId(): string {
  return crypto.getRandomValues(new Uint8Array(16)).reduce((text, byte) => text + byte.toString(16).padStart(2, '0'), '')
}
