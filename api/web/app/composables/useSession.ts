/**
 * Who is signed in, and what the site is. Loaded once before the first page; nothing secret is kept outside memory.
 */
import type { Session, Site, User } from '~/types/contract'

const site = ref<Site | null>(null)
const current = ref<Session | null>(null)
const isLoaded = ref(false)

/** So long before its end a session is renewed, before the next request: one refused leaves an error in the console. */
const RENEW_AHEAD_MS = 60_000

export function useSession() {
  const user = computed(() => current.value?.user ?? null)
  const isOperator = computed(() => user.value?.roles.includes('operator') ?? false)

  /** Ask for the site and the session. Safe to call again. */
  async function load(): Promise<void> {
    const api = useApi()
    site.value = await api.get<Site>('/site')
    if (!current.value && mayBeSignedIn()) {
      try {
        set(await api.get<Session>('/session'))
      } catch (error) {
        if (!(error instanceof Problem) || error.status !== 401) throw error
        localStorage.removeItem(SIGNED_IN)
      }
    }
    isLoaded.value = true
  }

  /** Take a session that the server has just given. */
  function set(session: Session): void {
    current.value = session
    localStorage.setItem(SIGNED_IN, String(Date.now() + session.expires_in_ms - RENEW_AHEAD_MS))
    isLoaded.value = true
    prefer(session.user)
  }

  /** Take the first session of a new account: it begins with the time zone of this device. */
  async function welcome(session: Session): Promise<void> {
    set(session)
    const time_zone = Intl.DateTimeFormat().resolvedOptions().timeZone
    try {
      setUser(await useApi().patch<User>('/profile', { time_zone }))
    } catch {
      // Times are then shown in UTC, and the settings change that.
    }
  }

  /** Take the user's changed profile. */
  function setUser(changed: User): void {
    if (current.value) current.value = { ...current.value, user: changed }
    prefer(changed)
  }

  /** Tell whether the session should be renewed before anything else is asked. */
  function isOld(): boolean {
    return mayBeSignedIn() && Date.now() >= Number(localStorage.getItem(SIGNED_IN))
  }

  /** The server no longer knows us: forget everything and ask to sign in again, then come back here. */
  function ended(): void {
    localStorage.removeItem(SIGNED_IN)
    if (!current.value) return
    current.value = null
    const here = useRouter().currentRoute.value.fullPath
    void navigateTo({ path: '/login', query: { next: here, ended: '1' } })
  }

  /** Sign out here, on the server first. */
  async function signOut(): Promise<void> {
    await useApi().post('/auth/logout')
    localStorage.removeItem(SIGNED_IN)
    // A full load leaves nothing of this user in memory.
    window.location.assign('/login')
  }

  return { site, current, user, isOperator, isLoaded, load, set, welcome, setUser, isOld, ended, signOut }
}

// No secret, only a hint of until when: without it a newcomer's first page would begin with a refused request.
const SIGNED_IN = 'signed-in'

function mayBeSignedIn(): boolean {
  return localStorage.getItem(SIGNED_IN) !== null
}

function prefer(user: User): void {
  void useLanguage().use(user.locale)
  useTheme().use(user.theme)
}
