import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { draw } from '../../docs/images/draw.js'
import { read } from '../types/documents.ts'
import { repository } from '../types/installed-package.ts'

const texts = readdirSync(join(repository, 'docs/images')).filter(name => name.endsWith('.txt'))

t.test('each diagram is as its text says: `npm run pictures`', async (t) => {
  t.ok(texts.length >= 2)
  for (const name of texts) {
    t.equal(read(`docs/images/${name.replace('.txt', '.svg')}`), draw(read(`docs/images/${name}`)), name)
  }
})

t.test('a line that is no part of a diagram is refused', async (t) => {
  t.throws(() => draw('actor: A\nactor: B\nA => B: hello'), /not a line of a diagram: A => B: hello/)
  t.throws(() => draw('actor: A\nactor: B\nA -> C: hello'), /no actor C/)
})
