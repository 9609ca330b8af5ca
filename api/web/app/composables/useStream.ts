/**
 * The live stream: what changes on the server, as it changes. One connection for the whole page, whoever listens.
 *
 * It is read by `fetch`, not by EventSource, because only so it can name the last event after a renewed session and
 * notice a line that has gone silent. After `reset` the server tells everything anew; listeners forget what they had.
 */
import type { ActionTaken, Bot, ExecutionSeen } from '~/types/trading'

interface Events {
  bot: Bot
  execution: ExecutionSeen
  action: ActionTaken
  reset: object
}

type Kind = keyof Events
type Listener<K extends Kind> = (data: Events[K]) => void

/** The server says something every 15 s, if only that it is alive. */
const SILENCE_MS = 25_000
const PAUSES_MS = [300, 1_000, 2_000, 5_000]
/** So long without a line the figures are called old. */
const STALE_MS = 10_000

const listeners: { [K in Kind]: Set<Listener<K>> } = {
  bot: new Set(),
  execution: new Set(),
  action: new Set(),
  reset: new Set(),
}

let line: AbortController | null = null
let lastId = ''

export function useStream() {
  /** Hear of one kind of event as long as the component lives. */
  function on<K extends Kind>(kind: K, listener: Listener<K>): void {
    ;(listeners[kind] as Set<Listener<K>>).add(listener)
    void begin()
    onScopeDispose(() => {
      ;(listeners[kind] as Set<Listener<K>>).delete(listener)
      // The next page may want it at once.
      setTimeout(endIfUnheard, 1_000)
    })
  }

  return { on }
}

function isHeard(): boolean {
  return Object.values(listeners).some((each) => each.size > 0)
}

function endIfUnheard(): void {
  if (isHeard()) return
  line?.abort()
  line = null
  useConnection().set('idle')
}

async function begin(): Promise<void> {
  if (line) return
  const mine = (line = new AbortController())
  const connection = useConnection()
  const api = useApi()
  const session = useSession()
  let failures = 0
  let lostAt = Date.now()
  while (!mine.signal.aborted) {
    if (connection.freshness.value !== 'stale') connection.set('catching_up')
    try {
      await api.freshen()
      await follow(api.address('/stream'), mine.signal, () => {
        failures = 0
        connection.set('live')
      })
    } catch (error) {
      if (error instanceof Problem && error.status === 401 && !(await api.renew().catch(() => false))) {
        if (!session.current.value) break
      }
    }
    if (mine.signal.aborted) break
    if (connection.freshness.value === 'live') lostAt = Date.now()
    if (Date.now() - lostAt > STALE_MS) connection.set('stale')
    await sleep(PAUSES_MS[Math.min(failures++, PAUSES_MS.length - 1)]!, mine.signal)
  }
  if (line === mine) line = null
}

/** Read one connection to its end; throw when it cannot be opened or falls silent. */
async function follow(address: string, ended: AbortSignal, onOpen: () => void): Promise<void> {
  const silence = new AbortController()
  let timer = setTimeout(() => silence.abort(), SILENCE_MS)
  const headers: Record<string, string> = { Accept: 'text/event-stream' }
  if (lastId) headers['Last-Event-ID'] = lastId
  try {
    const response = await fetch(address, {
      headers,
      credentials: 'same-origin',
      cache: 'no-store',
      signal: AbortSignal.any([ended, silence.signal]),
    })
    if (!response.ok || !response.body) throw new Problem(response.status, 'stream', response.statusText)
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
    let text = ''
    let isOpen = false
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      clearTimeout(timer)
      timer = setTimeout(() => silence.abort(), SILENCE_MS)
      if (!isOpen) onOpen()
      isOpen = true
      const blocks = (text + value).split('\n\n')
      text = blocks.pop() ?? ''
      blocks.forEach(tell)
    }
  } finally {
    clearTimeout(timer)
  }
}

function tell(block: string): void {
  let kind = ''
  let data = ''
  for (const row of block.split('\n')) {
    if (row.startsWith('id: ')) lastId = row.slice(4)
    else if (row.startsWith('event: ')) kind = row.slice(7)
    else if (row.startsWith('data: ')) data = row.slice(6)
  }
  if (!data || !(kind in listeners)) return
  const event: unknown = JSON.parse(data)
  for (const listener of listeners[kind as Kind]) (listener as (data: unknown) => void)(event)
}

function sleep(ms: number, ended: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    ended.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true })
  })
}
