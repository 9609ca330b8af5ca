/** Take the one-time token out of the address, so that it stays neither in the history nor in what is copied. */
export function takeToken(): string {
  const { hash, search, pathname } = window.location
  const query = new URLSearchParams(search)
  const token = query.get('token') ?? new URLSearchParams(hash.slice(1)).get('token') ?? ''
  query.delete('token')
  const rest = query.toString()
  if (token) window.history.replaceState(window.history.state, '', pathname + (rest && `?${rest}`))
  return token
}

/** The page to go to after signing in: only one of our own. */
export function ownPath(wanted: unknown): string {
  const isOwn = typeof wanted === 'string' && /^\/(?![/\\])/.test(wanted)
  return isOwn ? wanted : '/dashboard'
}
