/**
 * What the accounts part of the API answers. Times are milliseconds since the epoch (UTC), amounts decimal strings.
 */

export type Locale = 'en' | 'ru'
export type Theme = 'system' | 'light' | 'dark'
export type Role = 'user' | 'operator'

export interface Site {
  version: string
  environment: string
  feed: string
  registration: 'open' | 'invite'
  setup_needed: boolean
}

export interface User {
  id: string
  email: string
  display_name: string
  locale: Locale
  time_zone: string
  theme: Theme
  roles: Role[]
  totp_enabled: boolean
}

export interface Session {
  user: User
  csrf: string
  expires_in_ms: number
}

export interface SessionRow {
  id: string
  device: string
  ip: string
  created_ms: number
  last_used_ms: number
  current: boolean
}

export interface Account {
  id: string
  exchange: string
  environment: string
  label: string
  key_hint: string | null
  /** Null until the exchange was asked. */
  permissions: string[] | null
  bound_to_ip: boolean | null
  checked_ms: number | null
  expires_ms: number | null
  /** Why a key that was accepted before would be refused now. */
  problems: { code: string; text: string; remedy: string }[]
  bots: number
  created_ms: number
}

export interface Exchange {
  exchange: string
  /** How it writes its own name. */
  title: string
  environments: string[]
  needs_passphrase: boolean
  markets: string[]
}

export interface Page<T> {
  items: T[]
  next_cursor?: string | null
}

export interface Letter {
  id: number
  to: string
  subject: string
  /** Text and link are forgotten once the letter was sent. */
  text: string
  link: string
  created_ms: number
  sent_ms: number | null
  attempts: number
  last_error: string
}

export interface Outbox extends Page<Letter> {
  /** No mail server is set when false: whoever reads this hands the letters on. */
  is_sent_by_mail: boolean
}

export interface Person {
  id: string
  email: string
  display_name: string
  status: 'active' | 'disabled'
  roles: Role[]
  created_ms: number
}

export interface Invite {
  id: number
  hint: string
  note: string
  uses_left: number
  created_ms: number
  expires_ms?: number | null
}
