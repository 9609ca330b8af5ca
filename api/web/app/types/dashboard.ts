/** What the dashboard's route answers: figures by quote coin, the curve of the result, what needs its owner. */
import type { Trade } from '~/types/trading'

export interface CoinFigures {
  coin: string
  today: string
  total: string
  grid_profit: string
  floating: string
  fees: string
  funding: string
  in_orders: string
  /** Null where an account does not answer. */
  free: string | null
}

export interface EquityPoint {
  at_ms: number
  coin: string
  total: string
}

export interface Attention {
  code: string
  severity: 'info' | 'warning' | 'error'
  text: string
  bot?: string | null
  account?: string | null
  at_ms?: number | null
}

export interface Dashboard {
  figures: CoinFigures[]
  equity: EquityPoint[]
  fills: Trade[]
  attention: Attention[]
  as_of_ms: number
}
