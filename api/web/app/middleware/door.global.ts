/** Who may see which page. The server checks the same; this only leads to the right door. */

const OPEN = new Set(['/login', '/register', '/confirm', '/recover', '/reset', '/setup'])

export default defineNuxtRouteMiddleware((to) => {
  const { site, user, isOperator, isLoaded } = useSession()
  if (!isLoaded.value) return
  if (site.value?.setup_needed && !user.value) return to.path === '/setup' ? undefined : navigateTo('/setup')
  if (to.path === '/') return navigateTo(user.value ? '/dashboard' : '/login')
  if (OPEN.has(to.path)) {
    // A confirmation link stays useful while another session is open.
    const isDone = user.value && ['/login', '/register', '/setup'].includes(to.path)
    return isDone ? navigateTo('/dashboard') : undefined
  }
  if (!user.value) return navigateTo({ path: '/login', query: to.fullPath === '/dashboard' ? {} : { next: to.fullPath } })
  if (to.path.startsWith('/operator') && !isOperator.value) return navigateTo('/dashboard')
})
