/** What a market looks like now: its candles, kept up to date while the page is seen. */

export const INTERVALS = [1, 5, 15, 60, 240, 1440] as const
const REFRESH_MS = 4_000
const BARS = 300

export interface MarketRef {
  account: string
  symbol: string
  market: 'spot' | 'linear'
}

/** Candles of a market, oldest first; asked anew whole when the market or the interval changes, else only their end. */
export function useCandles(of: () => MarketRef | null, interval: Ref<number>) {
  const api = useApi()
  const candles = shallowRef<string[][]>([])
  const problem = ref<Problem | null>(null)
  const isLoading = ref(true)
  let asking: AbortController | null = null

  async function read(limit: number): Promise<void> {
    const market = of()
    if (!market?.symbol || !market.account) return
    asking?.abort()
    const mine = (asking = new AbortController())
    try {
      const query = { ...market, interval_min: interval.value, limit }
      const { items } = await api.get<{ items: string[][] }>('/market/candles', query, mine.signal)
      candles.value = limit === BARS ? items : joined(candles.value, items)
      problem.value = null
    } catch (error) {
      if (mine.signal.aborted) return
      problem.value = toProblem(error)
    } finally {
      if (asking === mine) isLoading.value = false
    }
  }

  const timer = setInterval(() => {
    if (!document.hidden && candles.value.length) void read(3)
  }, REFRESH_MS)
  watch(
    [() => JSON.stringify(of()), interval],
    () => {
      isLoading.value = true
      candles.value = []
      void read(BARS)
    },
    { immediate: true },
  )
  onScopeDispose(() => {
    clearInterval(timer)
    asking?.abort()
  })

  return { candles, problem, isLoading, again: () => read(BARS) }
}

function joined(known: string[][], news: string[][]): string[][] {
  const first = Number(news[0]?.[0] ?? Infinity)
  return [...known.filter((each) => Number(each[0]) < first), ...news]
}
