/** What the server says, in the reader's language: reasons, log lines, refusals, warnings. */
import type { Level } from '~/types/trading'

const LEVEL_STATES: Record<string, string> = {
  'on its way': 'server.on_its_way',
  'the venue has not said': 'server.not_said',
  'being cancelled': 'server.being_cancelled',
}

/** Where the words of a gap are; the first that knows one has it. */
const KEYS: Record<string, string[]> = {
  side: ['bot.side.'],
  status: ['bot.status.', 'bot.order.'],
  phase: ['bot.phase.'],
  reason: ['server.reason_'],
  way: ['server.way_'],
}

const AMOUNTS = new Set(['price', 'quantity', 'fee', 'net', 'amount', 'value', 'from', 'to'])

export function useServerWords() {
  const { t, te } = useI18n()
  const { number } = useMoney()

  /** Say a sentence of the server; one of unknown form is repeated as it is. */
  function say(text: string): string {
    const said = recognise(text)
    if (!said) return text
    const gaps: Record<string, string> = {}
    for (const [name, value] of Object.entries(said.gaps)) gaps[name] = word(name, value ?? '')
    // A reason after a colon is left out where there is none.
    const key = 'text' in said.gaps && !gaps.text ? `server.${said.key}_bare` : `server.${said.key}`
    return t(te(key) ? key : `server.${said.key}`, gaps)
  }

  function word(name: string, value: string): string {
    const key = KEYS[name]?.map((branch) => branch + value.replace(/ /g, '_')).find((found) => te(found))
    if (key) return t(key).toLowerCase()
    if (name === 'text') return say(value)
    // A number keeps its places: 0.10 is a price with two of them.
    if (AMOUNTS.has(name) && isDecimal(value)) return number(value, { places: Math.min(8, value.split('.')[1]?.length ?? 0) })
    return name === 'role' && te(`bot.${value}`) ? t(`bot.${value}`) : value
  }

  /** Why a level has, or has not, an order: what it does for the trader, not what it is called inside. */
  function why(level: Level): string {
    const known = recogniseLevel(level.why)
    if (!known || !level.side) return say(level.why)
    const purpose = t(`server.why_${known.opens ? 'opens' : 'closes'}_${level.side}`)
    const state = known.state && LEVEL_STATES[known.state]
    if (state) return `${purpose}; ${t(state)}`
    return known.behind ? `${purpose}; ${t('server.ticks_behind', { n: known.behind })}` : purpose
  }

  /** Why a value is refused, and what would be accepted. */
  function refusal(problem: { detail: string; code?: string; allowed?: string }): string {
    const key = `refusal.${problem.code}`
    const words = problem.code && te(key) ? t(key) : problem.detail
    return problem.allowed ? `${words}: ${say(problem.allowed)}` : words
  }

  return { say, why, refusal }
}
