import type { Account } from '~/types/contract'

/** Connect the paper exchange: no key, money of one's own. Saying it twice makes one account. */
export function connectPaperAccount(api: ReturnType<typeof useApi>, label: string): Promise<Account> {
  const body = { exchange: 'bybit', environment: 'paper', label }
  return api.post<Account>('/accounts', body, { commandId: newCommandId() })
}
