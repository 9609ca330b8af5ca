/** How fresh the page is. The live stream says it, the mark beside the account shows it. */

export type Freshness = 'idle' | 'live' | 'catching_up' | 'stale'

const freshness = ref<Freshness>('idle')
const since = ref(0)

export function useConnection() {
  /** Tell how the stream is from now on. `idle`: this page needs none. */
  function set(state: Freshness): void {
    if (state === freshness.value) return
    freshness.value = state
    since.value = Date.now()
  }

  return { freshness: readonly(freshness), since: readonly(since), set }
}
