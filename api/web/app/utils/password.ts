/** The server decides; this says the same sooner. */
export const PASSWORD_LENGTH_MIN = 10

export function newPasswordProblem(password: string, t: (key: string, values: object) => string): { password?: string } {
  if (password.length >= PASSWORD_LENGTH_MIN) return {}
  return { password: t('auth.password_short', { n: PASSWORD_LENGTH_MIN }) }
}
