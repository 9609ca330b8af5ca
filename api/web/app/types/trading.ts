/**
 * What the trading part of the API answers. Times are milliseconds since the epoch (UTC), amounts, prices and
 * quantities decimal strings; they stay strings everywhere but in the pixels of a chart.
 */

export type Direction = 'spot' | 'long' | 'short' | 'neutral'
export type Spacing = 'arithmetic' | 'geometric'
export type PaidIn = 'quote' | 'base' | 'both'
export type StopAction = 'stop' | 'cancel' | 'close'
export type Side = 'buy' | 'sell'
export type Market = 'spot' | 'linear'

export type BotStatus =
  | 'new'
  | 'awaiting_trigger'
  | 'entering'
  | 'running'
  | 'pausing'
  | 'paused'
  | 'stopping'
  | 'closing'
  | 'stopped'
  | 'halted'

export interface PriceStop {
  price: string
  action: StopAction
}

export interface GridConfig {
  symbol: string
  direction: Direction
  lower: string
  upper: string
  grids: number
  amount: string
  spacing: Spacing
  paid_in: PaidIn
  base_amount: string | null
  leverage: number
  trigger_price: string | null
  stop_loss: PriceStop | null
  take_profit: PriceStop | null
  target_profit: string | null
  trailing_up_limit: string | null
  trailing_down_limit: string | null
  post_only: boolean
  live_orders: number | null
  reinvest: boolean
}

/** total = grid_profit + exit_profit + floating − fees − funding, exactly. */
export interface ProfitReport {
  mark_price: string
  investment: string
  grid_profit: string
  exit_profit: string
  floating: string
  fees: string
  funding: string
  total: string
  base_inventory: string
  inventory_cost: string
  trips: number
  trades: number
  volume: string
  profit_factor: string | null
  roi: string
  apr: string | null
  max_drawdown: string
  other_fees: Record<string, string>
  runtime_ms: number
}

export interface Bot {
  id: string
  owner: string
  name: string
  account: string
  config: GridConfig
  /** What its owner wants: running, paused, stopped_keeping, stopped_selling. */
  desired: string
  status: BotStatus
  status_reason: string
  feed: string
  placement: string
  price: string | null
  profit: ProfitReport | null
  /** False: its process did not answer, and this is the last written state. */
  live: boolean
  as_of_ms: number
  created_ms: number
  open_orders: number
  levels: number
  base: string
  quote: string
  exchange: string
  environment: string
  archived_ms: number | null
}

export interface Level {
  level: number
  price: string
  side: Side | null
  order: string | null
  phase: 'none' | 'sent' | 'live' | 'cancelling' | 'unknown'
  order_price: string | null
  quantity: string
  filled: string
  why: string
}

export interface Levels {
  bot: string
  price: string | null
  live: boolean
  as_of_ms: number
  items: Level[]
}

export interface Execution {
  exec_id: string
  link_id: string
  side: Side
  price: string
  quantity: string
  fee: string
  fee_asset: string
  is_maker: boolean
  at_ms: number
  seq: number
}

export interface Order {
  link_id: string
  venue_id: string | null
  level: number | null
  side: Side
  kind: 'limit' | 'post_only' | 'market'
  price: string | null
  quantity: string
  filled: string
  status: string
  reason: string
  is_live: boolean
  created_at_ms: number
  updated_at_ms: number
  seq: number
}

export interface RoundTrip {
  seq: number
  ordinal: number
  level: number
  opened_by: Side
  buy_price: string | null
  sell_price: string | null
  quantity: string
  gross: string
  fees: string
  net: string
  opened_at_ms: number
  closed_at_ms: number
}

export interface Action {
  seq: number
  ordinal: number
  at_ms: number
  kind: string
  level: number | null
  text: string
  details?: Record<string, unknown>
}

export interface Metric {
  at_ms: number
  price: string
  position: string
  grid_profit: string
  floating_profit: string
  fees: string
  funding: string
  total_profit: string
  drawdown: string
}

/** A page of a list, newest first. */
export interface Rows<T> {
  items: T[]
  next_cursor: string | null
}

export interface ExecutionSeen {
  bot: string
  execution: Execution
}

export interface ActionTaken {
  bot: string
  action: Action
}

export interface PlannedOrder {
  level: number | null
  side: Side
  price: string | null
  quantity: string
}

export interface Preview {
  symbol: string
  price: string
  levels: string[]
  quantity: string
  orders: PlannedOrder[]
  profit_per_grid_min: string
  profit_per_grid_max: string
  profit_per_grid_min_rate: string
  profit_per_grid_max_rate: string
  maker_fee: string
  taker_fee: string
  investment: string
  invested: string
  least_investment: string
  recommended_investment: string
  deposit_suffices: boolean | null
  missing: string
  worst_price: string
  worst_inventory: string
  worst_result: string
  liquidation_price: string | null
  liquidation_in_range: boolean
  history: {
    start_ms: number
    end_ms: number
    path: string
    trips: number
    trips_per_day: string
    grid_profit: string
    fees: string
    total: string
    max_drawdown: string
  } | null
  warnings: { code: string; text: string }[]
  ranges: FieldRange[]
}

/** What one field of the form may be. */
export interface FieldRange {
  field: string
  least: string | null
  most: string | null
}

/** Both ways to stop now, in numbers. */
export interface StopPreview {
  price: string
  orders_to_cancel: number
  position: string
  position_value: string
  total_if_kept: string
  exit_side: Side | null
  exit_quantity: string
  exit_price: string | null
  exit_fee: string
  left_over: string
  total_if_sold: string
  difference: string
  book_suffices: boolean
}

export interface Instrument {
  symbol: string
  market: Market
  base: string
  quote: string
  tick_size: string
  lot_size: string
  min_notional: string
  leverage_max: string
  max_open_orders: number
}

export interface Trade {
  bot: string
  bot_name: string
  symbol: string
  base: string
  quote: string
  exec_id: string
  link_id: string
  side: Side
  price: string
  quantity: string
  value: string
  fee: string
  fee_asset: string
  is_maker: boolean
  at_ms: number
}

export interface TradeTotals {
  quote: string
  trades: number
  bought: string
  sold: string
  fees: Record<string, string>
}
