/** Small helpers of pages that show lists which grow: ask, show, say what went wrong, ask for more. */
import type { Rows } from '~/types/trading'

/** A list that is read page by page, newest first. `query` may change: the list begins anew. */
export function usePaged<T>(path: () => string, query: () => Record<string, string | number | undefined>) {
  const api = useApi()
  const items = shallowRef<T[]>([])
  const problem = ref<Problem | null>(null)
  const isLoading = ref(true)
  const cursor = ref<string | null>(null)
  let asking: AbortController | null = null

  async function read(from: string | null): Promise<void> {
    asking?.abort()
    const mine = (asking = new AbortController())
    isLoading.value = true
    try {
      const answer = await api.get<Rows<T>>(path(), { ...query(), cursor: from ?? undefined }, mine.signal)
      items.value = from ? [...items.value, ...answer.items] : answer.items
      cursor.value = answer.next_cursor
      problem.value = null
    } catch (error) {
      if (mine.signal.aborted) return
      problem.value = toProblem(error)
    } finally {
      if (asking === mine) isLoading.value = false
    }
  }

  watch([path, query], () => void read(null), { immediate: true, deep: true })
  onScopeDispose(() => asking?.abort())

  return {
    items,
    problem,
    isLoading,
    hasMore: computed(() => cursor.value !== null),
    more: () => read(cursor.value),
    again: () => read(null),
  }
}

/** Whatever was thrown, as a problem that can be shown. */
export function toProblem(error: unknown): Problem {
  return error instanceof Problem ? error : new Problem(0, 'unknown', String(error))
}
