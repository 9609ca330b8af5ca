/** Short words about what was just done. They are read aloud, stay long enough to be read, and take no focus. */

export type NoticeTone = 'done' | 'failed' | 'news'

export interface Notice {
  id: number
  words: string
  tone: NoticeTone
}

const SHOWN_MS = 5000
const KEPT = 3

const notices = ref<Notice[]>([])
let last = 0

export function useNotice() {
  function tell(words: string, tone: NoticeTone = 'done'): void {
    const notice = { id: ++last, words, tone }
    notices.value = [...notices.value, notice].slice(-KEPT)
    setTimeout(() => dismiss(notice.id), SHOWN_MS)
  }

  function dismiss(id: number): void {
    notices.value = notices.value.filter((each) => each.id !== id)
  }

  return { notices: readonly(notices), tell, dismiss }
}
