/**
 * The create form with everything that follows from it: a suggestion at the beginning, and after each change what the
 * server makes of it - the preview, or every refusal with its field, and the range of each field.
 */
import type { Account } from '~/types/contract'
import type { Bot, Direction, FieldRange, GridConfig, Instrument, Preview } from '~/types/trading'

const PAUSE_MS = 300

interface PriceRange {
  since_ms: number
  low: string
  high: string
  /** The price now against the first one, as a fraction. */
  change: string
}

export interface Ticker {
  price: string
  week: PriceRange | null
  month: PriceRange | null
  funding_rate: string | null
}

export function useGridForm() {
  const api = useApi()
  const form = reactive(emptyForm())
  const accounts = ref<Account[]>([])
  const instruments = shallowRef<Instrument[]>([])
  const ticker = ref<Ticker | null>(null)
  const preview = shallowRef<Preview | null>(null)
  /** What the preview was made of; another config has none yet. */
  const weighed = ref('')
  const problem = ref<Problem | null>(null)
  const ranges = ref<Record<string, FieldRange>>({})
  const isWeighing = ref(false)
  /** The numbers are there, their history is still being worked out. */
  const isRecalling = ref(false)
  const isReady = ref(false)
  const loadProblem = ref<Problem | null>(null)

  const market = computed(() => (form.direction === 'spot' ? 'spot' : 'linear') as 'spot' | 'linear')
  const account = computed(() => accounts.value.find((each) => each.id === form.account) ?? null)
  const instrument = computed(() => instruments.value.find((each) => each.symbol === form.symbol) ?? null)
  const read = computed(() => toConfig(form))
  const config = computed(() => ('config' in read.value ? read.value.config : null))
  const missing = computed(() => ('missing' in read.value ? read.value.missing : []))
  const words = computed(() => JSON.stringify([form.account, config.value]))
  const isCurrent = computed(() => preview.value !== null && weighed.value === words.value)

  // ------------------------------------------------------------------ the beginning

  async function load(): Promise<void> {
    loadProblem.value = null
    try {
      accounts.value = (await api.get<{ items: Account[] }>('/accounts', { owner: useSession().user.value?.id })).items
      if (!account.value) form.account = (accounts.value.find(isPaper) ?? accounts.value[0])?.id ?? ''
      if (form.account) await readMarket()
      isReady.value = true
    } catch (error) {
      loadProblem.value = toProblem(error)
    }
  }

  /** Read what this account's market lists, and keep the pair if it is there. */
  async function readMarket(): Promise<void> {
    const query = { account: form.account, market: market.value }
    instruments.value = (await api.get<{ items: Instrument[] }>('/market/instruments', query)).items
    if (!instrument.value) {
      form.symbol = (instruments.value.find((each) => each.symbol === 'BTCUSDT') ?? instruments.value[0])?.symbol ?? ''
    }
    if (form.symbol) await Promise.all([readTicker(), suggest()])
  }

  async function readTicker(): Promise<void> {
    if (!form.symbol || !form.account) return
    const query = { account: form.account, symbol: form.symbol, market: market.value }
    ticker.value = await api.get<Ticker>('/market/ticker', query)
  }

  /** Fill the form with what fits the market now; the amount stays if there is one. */
  async function suggest(): Promise<void> {
    const body = { account: form.account, symbol: form.symbol, direction: form.direction }
    const suggested = await api.post<GridConfig>('/bots/suggest', body)
    fill(form, suggested)
  }

  /** Change the account, the pair or the direction: what was typed no longer fits, so it is suggested anew. */
  async function choose(change: { account?: string; symbol?: string; direction?: Direction }): Promise<void> {
    const isOther = change.account !== undefined || change.direction !== undefined
    Object.assign(form, change)
    preview.value = null
    ticker.value = null
    try {
      await (isOther ? readMarket() : Promise.all([readTicker(), suggest()]))
    } catch (error) {
      loadProblem.value = toProblem(error)
    }
  }

  // ------------------------------------------------------------------ after each change

  let timer: ReturnType<typeof setTimeout> | undefined
  let asking: AbortController | null = null

  watch(words, () => {
    clearTimeout(timer)
    asking?.abort()
    if (!config.value || !form.account) {
      isWeighing.value = false
      return
    }
    isWeighing.value = true
    timer = setTimeout(weigh, PAUSE_MS)
  })

  async function weigh(): Promise<void> {
    const mine = (asking = new AbortController())
    const about = words.value
    const ask = (history: boolean) => {
      const body = { account: form.account, config: config.value, history }
      return api.post<Preview>('/bots/preview', body, { signal: mine.signal })
    }
    isRecalling.value = true
    try {
      // The numbers at once; what a week of candles says takes longer.
      preview.value = await ask(false)
      weighed.value = about
      problem.value = null
      ranges.value = byField(preview.value.ranges)
      isWeighing.value = false
      preview.value = await ask(true)
    } catch (error) {
      if (mine.signal.aborted) return
      problem.value = toProblem(error)
    } finally {
      if (asking === mine) isWeighing.value = isRecalling.value = false
    }
  }

  onScopeDispose(() => {
    clearTimeout(timer)
    asking?.abort()
  })

  /** Create the bot and start it. The same command until it is answered, so that a second press makes no second bot. */
  let commandId = newCommandId()
  let commandWords = ''
  async function launch(): Promise<Bot> {
    if (commandWords !== words.value) [commandId, commandWords] = [newCommandId(), words.value]
    const body = { account: form.account, name: form.name.trim(), config: config.value, start: true }
    const bot = await api.post<Bot>('/bots', body, { commandId })
    commandWords = ''
    return bot
  }

  return {
    form,
    accounts,
    account,
    instruments,
    instrument,
    ticker,
    market,
    config,
    missing,
    preview,
    isCurrent,
    isWeighing,
    isRecalling,
    problem,
    ranges,
    isReady,
    loadProblem,
    load,
    suggest,
    choose,
    launch,
  }
}

export type GridFormState = ReturnType<typeof useGridForm>

export function isPaper(account: Account): boolean {
  return account.environment === 'paper'
}

function byField(items: FieldRange[]): Record<string, FieldRange> {
  return Object.fromEntries(items.map((each) => [each.field, each]))
}
