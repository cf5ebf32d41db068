import t from 'tap'
import { inspect } from 'node:util'
import * as errors from '../../lib/errors.ts'

const classes = Object.entries(errors) as [string, errors.OAuthErrorConstructor][]

t.test('each class is called as it is exported: a log shows it as the error\'s type', async (t) => {
  for (const [name, Class] of classes) t.equal(Class.name, name)
})

t.test('an error is printed with its code, its message and where it was thrown', async (t) => {
  t.match(inspect(new errors.LoginRequiredError('log in')), /^FST_OAUTH_LOGIN_REQUIRED: log in\n +at /)
})

t.test('who was refused, and whose password is wrong, has failed to log in', async (t) => {
  for (const Class of [errors.AccessDeniedError, errors.InvalidCredentialsError]) {
    const error = new Class('no')
    t.ok(error instanceof errors.AuthorizationFailedError)
    t.equal(error.code, 'FST_OAUTH_AUTHORIZATION_FAILED')
  }
  t.notOk(new errors.AuthorizationFailedError('no') instanceof errors.AccessDeniedError)
  t.notOk(new errors.AccessDeniedError('no') instanceof errors.InvalidCredentialsError)
})
