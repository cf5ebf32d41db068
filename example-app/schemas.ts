// JSON Schemas of the requests that the board and the API accept.
import { menu, statuses } from './orders.ts'

export const newOrder = {
  type: 'object',
  required: ['item', 'quantity', 'customer'],
  additionalProperties: false,
  properties: {
    item: { enum: menu },
    quantity: { type: 'integer', minimum: 1, maximum: 48 },
    customer: { type: 'string', minLength: 1, maxLength: 40 },
  },
} as const

export const orderChange = {
  type: 'object',
  required: ['status'],
  additionalProperties: false,
  properties: { status: { enum: statuses } },
} as const

export const orderId = {
  type: 'object',
  properties: { id: { type: 'integer', minimum: 1 } },
} as const
