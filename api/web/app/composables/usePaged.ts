/** Lists that grow: ask, show, say what went wrong, ask for more. */
import type { Rows } from '~/types/trading'

/** A list that is read page by page, newest first. `query` may change: the list begins anew. */
export function usePaged<T>(
  path: () => string,
  query: () => Record<string, string | number | undefined>,
  /** What else the first page's answer says. */
  onFirst: (answer: Rows<T>) => void = () => undefined,
) {
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
      if (!from) onFirst(answer)
      problem.value = null
    } catch (error) {
      if (mine.signal.aborted) return
      problem.value = toProblem(error)
    } finally {
      if (asking === mine) isLoading.value = false
    }
  }

  watch(() => JSON.stringify([path(), query()]), () => void read(null), { immediate: true })
  onScopeDispose(() => asking?.abort())

  return reactive({
    items,
    problem,
    isLoading,
    hasMore: computed(() => cursor.value !== null),
    more: () => void read(cursor.value),
    again: () => void read(null),
  })
}
