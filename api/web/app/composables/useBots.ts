/** Bots as they are now: read once, then kept fresh by the live stream. */
import type { Bot } from '~/types/trading'

/** Many bots told within this time are drawn once: a fill must not wait behind twenty redrawn lists. */
const GATHER_MS = 250

export function useBots() {
  const api = useApi()
  const stream = useStream()
  const { user } = useSession()
  const byId = shallowRef(new Map<string, Bot>())
  const isLoading = ref(true)
  const problem = ref<Problem | null>(null)

  async function load(): Promise<void> {
    try {
      const { items } = await api.get<{ items: Bot[] }>('/bots', { owner: user.value?.id })
      byId.value = new Map(items.map((bot) => [bot.id, bot]))
      problem.value = null
    } catch (error) {
      problem.value = toProblem(error)
    } finally {
      isLoading.value = false
    }
  }

  const waiting = new Map<string, Bot>()
  let timer: ReturnType<typeof setTimeout> | undefined
  onScopeDispose(() => clearTimeout(timer))

  function take(bot: Bot): void {
    const known = waiting.get(bot.id) ?? byId.value.get(bot.id)
    // An operator hears of everybody's bots; this page is about one's own.
    if (bot.owner !== user.value?.id || bot.archived_ms !== null) return
    if (known && known.as_of_ms > bot.as_of_ms) return
    waiting.set(bot.id, bot)
    timer ??= setTimeout(show, GATHER_MS)
  }

  function show(): void {
    timer = undefined
    byId.value = new Map([...byId.value, ...waiting])
    waiting.clear()
  }

  stream.on('bot', take)
  stream.on('reset', () => void load())
  const bots = computed(() => [...byId.value.values()].sort((a, b) => b.created_ms - a.created_ms))

  return { bots, byId, isLoading, problem, load, take }
}

/** Whether the bot may have orders at the venue, or wants to. */
export function isActive(bot: Bot): boolean {
  return bot.status !== 'stopped' && (bot.status !== 'new' || bot.desired === 'running')
}

/** Whether a stop is already on its way or done. */
export function isEnding(bot: Bot): boolean {
  return ['stopping', 'closing', 'stopped'].includes(bot.status) || bot.desired.startsWith('stopped')
}

/** The two coins of a bot; old bots do not name them. */
export function coinsOf(bot: Bot): { base: string; quote: string } {
  if (bot.base && bot.quote) return { base: bot.base, quote: bot.quote }
  const found = /^(\w+?)(USDT|USDC|USD|EUR|BTC)$/.exec(bot.config.symbol)
  return { base: found?.[1] ?? bot.config.symbol, quote: found?.[2] ?? '' }
}
