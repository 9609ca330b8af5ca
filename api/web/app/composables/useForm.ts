/**
 * What every form does: one request at a time, errors beside their fields, focus on the first of them, and what the
 * server says in the reader's language.
 */

export function useForm<T extends object>(initial: T) {
  const { t, te } = useI18n()
  const values = reactive({ ...initial }) as T
  const isBusy = ref(false)
  const problem = ref<Problem | null>(null)
  const found = ref<Partial<Record<keyof T & string, string>>>({})

  /** What stands beside each field. */
  const errors = computed(() => {
    const words: Record<string, string> = {}
    for (const field of Object.keys(values)) {
      const told = problem.value?.of(field)
      if (told) words[field] = sayField(told, t, te)
    }
    return { ...words, ...found.value } as Partial<Record<keyof T & string, string>>
  })

  /** What concerns the form as a whole. */
  const alert = computed(() => {
    if (!problem.value) return ''
    const isBesideField = problem.value.errors.length > 0 && problem.value.errors.every((each) => isShown(each))
    return isBesideField ? '' : say(problem.value, t, te)
  })

  function isShown(error: FieldProblem): boolean {
    return Object.keys(values).some((field) => error.pointer === `#/${field}`)
  }

  /**
   * Check, then run the request. `check` gives what is wrong before the server is asked.
   * Gives whether it succeeded; a problem is shown, anything else is thrown.
   */
  async function submit(work: () => Promise<void>, check: () => typeof found.value = () => ({})): Promise<boolean> {
    if (isBusy.value) return false
    problem.value = null
    found.value = check()
    if (Object.keys(found.value).length) {
      await focusFirst()
      return false
    }
    isBusy.value = true
    try {
      await work()
      return true
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      problem.value = error
      await focusFirst()
      return false
    } finally {
      isBusy.value = false
    }
  }

  return { values, isBusy, problem, errors, alert, submit }
}

/** Put a problem into one sentence of the reader's language. */
export function useProblem() {
  const { t, te } = useI18n()
  return { say: (problem: unknown) => (problem instanceof Problem ? say(problem, t, te) : t('common.went_wrong')) }
}

type Translate = (key: string, values?: Record<string, unknown>) => string

function say(problem: Problem, t: Translate, te: (key: string) => boolean): string {
  const wait = problem.retryAfterS && problem.status === 429 ? ` ${t('common.wait_s', { n: problem.retryAfterS })}` : ''
  const code = problem.errors.map((each) => each.code).find((each) => each && te(`problems.${each}`)) ?? problem.code
  if (te(`problems.${code}`)) return t(`problems.${code}`) + wait
  return (problem.detail || problem.title || t('common.went_wrong')) + wait
}

function sayField(error: FieldProblem, t: Translate, te: (key: string) => boolean): string {
  if (error.code && te(`problems.${error.code}`)) return t(`problems.${error.code}`)
  return error.allowed ? `${error.detail} (${error.allowed})` : error.detail
}

async function focusFirst(): Promise<void> {
  await nextTick()
  const first = document.querySelector<HTMLElement>('main [aria-invalid="true"], [role="dialog"] [aria-invalid="true"]')
  first?.focus()
}
