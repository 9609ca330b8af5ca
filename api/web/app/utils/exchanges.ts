const NAMES: Record<string, string> = {
  binance: 'Binance',
  bybit: 'Bybit',
  gate: 'Gate',
  kucoin: 'KuCoin',
  mexc: 'MEXC',
  okx: 'OKX',
}

/** How an exchange writes its own name. */
export function exchangeName(id: string): string {
  return NAMES[id] ?? id.charAt(0).toUpperCase() + id.slice(1)
}
