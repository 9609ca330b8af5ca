/** Words that depend on numbers, and addresses that must stay ours. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { ownPath } from '../app/utils/links.ts'
import { russianPlural } from '../app/utils/plural.ts'

test('Russian counts in three forms', () => {
  const forms = ['бот', 'бота', 'ботов']
  const said = (count: number) => `${count} ${forms[russianPlural(count, 3)]}`
  assert.deepEqual([0, 1, 2, 5, 11, 14, 21, 22, 25, 111, 112, 121].map(said), [
    '0 ботов', '1 бот', '2 бота', '5 ботов', '11 ботов', '14 ботов', '21 бот', '22 бота', '25 ботов', '111 ботов',
    '112 ботов', '121 бот',
  ])
})

test('after signing in one stays on this site', () => {
  assert.equal(ownPath('/bots/abc?tab=log'), '/bots/abc?tab=log')
  for (const foreign of ['//evil.example', '/\\evil.example', 'https://evil.example', 'javascript:alert(1)', undefined]) {
    assert.equal(ownPath(foreign), '/dashboard')
  }
})
