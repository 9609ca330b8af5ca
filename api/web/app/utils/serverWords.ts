/**
 * The server's own sentences, found again by their form, so that they can be said in the reader's language.
 * Each pattern names a key of the section `server`; its groups fill the gaps. What no pattern knows stays as it is.
 */

const PATTERNS: [RegExp, string][] = [
  // Why a level has, or has not, an order (engine/grid/explain.py, cells.py).
  [/^is about to be placed$/, 'about_to_be_placed'],
  [/^the empty level: .*$/, 'empty_level'],
  [/^the bot is (?<status>[a-z ]+)$/, 'bot_is'],
  [/^the venue's own view is being read first$/, 'syncing'],
  [/^its order is (?<phase>\w+)$/, 'order_is'],
  [/^blocked after repeated refusals \((?<reason>.*)\)$/, 'blocked'],
  [/^waiting before it is tried again \((?<reason>.*)\)$/, 'waiting_again'],
  [/^the range is moving away from this level$/, 'moving_away'],
  [/^outside the window of (?<n>\d+) live orders nearest the price$/, 'outside_window'],
  [/^our own opposite order still rests at this price$/, 'own_opposite'],
  // How a bot is (lifecycle.py, stops.py, machine.py, host.py).
  [/^waits for (?<price>[\d.]+)$/, 'waits_for_price'],
  [/^(?<side>buy|sell) (?<n>\d+) lots at market first$/, 'enters'],
  [/^goes on with what it holds$/, 'goes_on'],
  [/^the starting position could not be bought; stop, or start again$/, 'entry_failed'],
  [/^emergency stop$/, 'emergency_stop'],
  [/^you wanted it running$/, 'wanted_running'],
  [/^you wanted it paused$/, 'wanted_paused'],
  [/^you wanted it stopped keeping$/, 'wanted_keeping'],
  [/^you wanted it stopped selling$/, 'wanted_selling'],
  [/^waits for the lease of its last process to run out$/, 'waits_for_lease'],
  [/^waits: (?<text>.*)$/, 'waits'],
  [/^not started: (?<text>.*)$/, 'not_started'],
  [/^stop-loss at (?<price>[\d.]+): the market traded at (?<value>[\d.]+)$/, 'stop_loss_hit'],
  [/^take-profit at (?<price>[\d.]+): the market traded at (?<value>[\d.]+)$/, 'take_profit_hit'],
  [/^target profit of (?<amount>[\d.]+) (?<coin>\w+) reached$/, 'target_reached'],
  [/^the position could not be closed at market; .*$/, 'close_failed'],
  [/^the venue refuses the key: (?<text>.*)$/, 'key_refused'],
  [/^the venue refused the market order: (?<text>.*)$/, 'market_refused'],
  [/^you asked$/, 'you_asked'],
  // The log (projection.py).
  [/^start at (?<price>[\d.]+)$/, 'start_at'],
  [/^stop and sell the position: (?<text>.*)$/, 'stop_selling'],
  [/^stop and keep the position: (?<text>.*)$/, 'stop_keeping'],
  [/^pause: (?<text>.*)$/, 'pause'],
  [/^(?<side>buy|sell) (?<quantity>[\d.]+) at market$/, 'placed_market'],
  [/^(?<side>buy|sell) (?<quantity>[\d.]+) at (?<price>[\d.]+)$/, 'placed'],
  [/^(?<side>buy|sell) (?<quantity>[\d.]+) at (?<price>[\d.]+) \((?<role>\w+)\), fee (?<fee>-?[\d.]+) (?<coin>\w+)$/, 'filled'],
  [/^round trip closed: (?<net>-?[\d.]+) (?<coin>\w+) net of fees$/, 'round_trip'],
  [/^cancels (?<order>\S+)$/, 'cancels'],
  [/^cancels (?<order>\S+), which belongs to no level now$/, 'cancels_orphan'],
  [/^took over (?<order>\S+)$/, 'took_over'],
  [/^(?<order>\S+) refused: (?<text>.*)$/, 'order_refused'],
  [/^(?<order>\S+) (?<status>cancelled|rejected) ?(?<text>.*)$/, 'order_ended'],
  [/^(?<order>\S+): no definite answer; (?<text>.*)$/, 'no_answer'],
  [/^(?<order>\S+): the venue has never seen it$/, 'never_seen'],
  [/^(?<order>\S+): cancel refused, (?<text>.*)$/, 'cancel_refused'],
  [/^no order of ours may be left$/, 'none_may_be_left'],
  [/^an order's executions are missing$/, 'executions_missing'],
  [/^(?<n>\d+) (?:lots|ticks) are outside (?<from>\d+) to (?<to>\d+)$/, 'outside_limits'],
  [/^the grid has no size yet$/, 'no_size'],
  [/^one order is worth more than the whole investment$/, 'order_too_dear'],
  [/^the position is already worth twice what the investment carries$/, 'position_too_large'],
  [/^funding: (?<amount>-?[\d.]+) (?<coin>\w+) paid$/, 'funding'],
  [/^the market is far on the wrong side of this level$/, 'off_market'],
  [/^order not placed: (?<text>.*)$/, 'not_placed'],
  [/^would have taken liquidity: (?<n>\d+) tick\(s\) behind$/, 'requoted'],
  [/^refused (?<n>\d+) times: (?<text>.*)$/, 'refused_times'],
  [/^(?<text>.*): again in (?<n>\d+) s$/, 'again_in'],
  [/^bought too little to sell again: kept as dust$/, 'dust'],
  [/^the range moved (?<way>up|down) by one level$/, 'range_moved'],
  [/^the range had moved before the restart$/, 'range_had_moved'],
  [/^the process started$/, 'process_started'],
  [/^private messages may have been missed$/, 'messages_missed'],
  [/^(?<status>new|awaiting_trigger|entering|running|pausing|paused|stopping|closing|stopped|halted)(?:: (?<text>.*))?$/, 'status_changed'],
  // A refusal of the venue (engine/errors.py), and behind it the venue's own words.
  [/^(?<reason>[a-z]+(?:_[a-z]+)+|permission|other)(?: (?<text>.*))?$/, 'refused'],
  // What would be accepted (config.py, levels.py, sizing.py).
  [/^at least (?<value>[\d.]+)$/, 'at_least'],
  [/^at most (?<value>[\d.]+)$/, 'at_most'],
  [/^above (?<value>[\d.]+)$/, 'above'],
  [/^below (?<value>[\d.]+)$/, 'below'],
  [/^above 0 and below (?<value>[\d.]+)$/, 'above_zero_below'],
  [/^(?<from>[\d.]+) to (?<to>[\d.]+)$/, 'from_to'],
  [/^at least (?<value>[\d.]+) (?<coin>\w+), or fewer grids$/, 'at_least_or_fewer'],
  [/^at most (?<n>\d+) grids in this range$/, 'at_most_grids'],
  [/^widen the range$/, 'widen'],
  [/^set a window of 2 to (?<n>\d+) live orders$/, 'set_window'],
]

const LEVEL =
  /^(?<purpose>opens|closes) interval -?\d+(?:; (?<state>on its way|the venue has not said|being cancelled).*|, (?<behind>\d+) tick.*)?$/

export interface Said {
  key: string
  gaps: Record<string, string>
}

/** Find the form of a sentence. */
export function recognise(text: string): Said | null {
  for (const [form, key] of PATTERNS) {
    const found = form.exec(text)
    if (found) return { key, gaps: { ...found.groups } }
  }
  return null
}

/** Read why a level has its order: whether it opens or closes its interval, and in which state it is. */
export function recogniseLevel(why: string): { opens: boolean; state: string | null; behind: string | null } | null {
  const found = LEVEL.exec(why)
  if (!found) return null
  const { purpose, state = null, behind = null } = found.groups as Record<string, string | undefined>
  return { opens: purpose === 'opens', state, behind }
}
